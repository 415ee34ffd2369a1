//! Owns the check-up: configuration, git, trust, locations, keys, connectors and store, each with advice. Changes nothing.
//! The interesting function is [`examine`].

mod ahead;
mod promises;

use std::fmt::Write as _;
use std::time::Duration;

use contract::code::{self, Code};
use contract::id::DatasetId;
use serde::{Deserialize, Serialize};

use super::policy::{self, Followed};
use super::{Daemon, locations, notify, overview, recover};
use crate::config::{Config, Tcp};
use crate::domain::Observation;
use crate::failure::Failure;
use crate::status::{self, Word};
use crate::worker::protocol::{Answer, Examined, Order};
use crate::world::channel::{self, ChannelBinding};
use crate::world::{clock, keys, secret};

/// A look at one source ends after this time: a check-up is watched by a person.
const SOURCE_DEADLINE: Duration = Duration::from_secs(20);

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is well.
    Ok,
    /// It works now and will not for long, or not in a disaster.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// What: `git`, `location loc_a` …
    pub subject: String,
    /// False for a failure.
    pub ok: bool,
    /// How serious it is.
    pub level: Level,
    /// Its code when it is not.
    pub code: Option<Code>,
    /// What was found.
    pub message: String,
    /// What to do when it is not well.
    pub help: String,
}

fn well(subject: impl Into<String>, told: impl Into<String>) -> Finding {
    Finding {
        subject: subject.into(),
        ok: true,
        level: Level::Ok,
        code: None,
        message: told.into(),
        help: String::new(),
    }
}

fn ill(subject: impl Into<String>, failure: Failure) -> Finding {
    Finding {
        subject: subject.into(),
        ok: false,
        level: Level::Fail,
        code: Some(failure.code),
        message: failure.message,
        help: failure.help,
    }
}

/// What an operator should see to before it fails.
fn warning(subject: impl Into<String>, failure: Failure) -> Finding {
    Finding {
        ok: true,
        level: Level::Warn,
        ..ill(subject, failure)
    }
}

/// Looks at everything that a round needs.
pub fn examine(daemon: &Daemon) -> Vec<Finding> {
    let mut findings = vec![well("configuration", "readable")];
    findings.push(well(
        "store",
        format!(
            "receipt log of {} lines holds",
            daemon.log().ledger().size()
        ),
    ));
    findings.extend(
        daemon
            .exposed
            .iter()
            .map(|failure| ill("file access", failure.clone())),
    );
    let followed = policy::peek(daemon, clock::now());
    match &followed {
        Ok(followed) => policy_findings(daemon, followed, &mut findings),
        Err(failure) => findings.push(ill("policy", failure.clone())),
    }
    location_findings(daemon, &mut findings);
    for (kid, source) in &daemon.config.keys {
        findings.push(match keys::load(kid, source) {
            Ok(_) => well(format!("key {kid}"), "readable"),
            Err(error) => ill(format!("key {kid}"), error.into()),
        });
    }
    // A policy that cannot be followed is a finding already.
    if let Ok(followed) = followed {
        findings.extend(promises::unopened(daemon, &followed.active));
        status_findings(daemon, followed, &mut findings);
    }
    for file in daemon.config.tcp.iter().flat_map(Tcp::secret_files) {
        findings.push(match secret::read_shared(file) {
            Ok(_) => well(
                "tcp",
                format!("the secret in `{}` can be read", file.display()),
            ),
            Err(failure) => ill("tcp", failure),
        });
    }
    channel_findings(&daemon.config, &mut findings);
    let mut largest: Option<(u64, DatasetId)> = None;
    for (id, binding) in &daemon.config.datasets {
        let subject = format!("dataset {id}");
        let order = Order::Examine {
            binding: binding.clone(),
            within: SOURCE_DEADLINE,
        };
        let Examined { seen, rights } = match daemon.look_within(&order, SOURCE_DEADLINE) {
            Ok(Answer::Examined(examined)) => *examined,
            other => {
                findings.push(ill(subject, recover::unseen(other)));
                continue;
            }
        };
        let is_refused = rights.iter().any(Result::is_err);
        for right in rights {
            findings.push(match right {
                Ok(told) => well(subject.clone(), told),
                Err(failure) => ill(subject.clone(), failure),
            });
        }
        if is_refused && matches!(seen.bytes, Observation::Unknown { .. }) {
            continue;
        }
        findings.push(match seen.bytes {
            Observation::Known { value, .. } => {
                largest = largest.max(Some((value, id.clone())));
                let size = crate::words::bytes(value);
                well(subject, format!("{} source of {size}", binding.kind()))
            }
            Observation::Absent { .. } => ill(
                subject,
                Failure::new(
                    code::SOURCE_MISSING,
                    "its source is not there",
                    "check the binding, and that its file system is mounted",
                ),
            ),
            Observation::Unknown { why } => ill(
                subject,
                Failure::new(
                    code::SOURCE_UNREADABLE,
                    format!("its source cannot be seen: {why}"),
                    "let the daemon's user reach it",
                ),
            ),
        });
    }
    findings.extend(ahead::lacks_room(&daemon.config, largest));
    findings
}

/// Whether the files that each channel needs can be read.
fn channel_findings(config: &Config, findings: &mut Vec<Finding>) {
    for (id, binding) in &config.channels {
        let subject = format!("channel {id}");
        findings.push(match (channel::readable(binding), binding) {
            (Err(failure), _) => ill(subject, failure),
            (Ok(()), ChannelBinding::External(system)) => {
                well(subject, format!("{system} delivers its alerts"))
            }
            (Ok(()), _) => well(
                subject,
                format!("`seawalld alerts test {id}` sends a test message"),
            ),
        });
    }
}

fn policy_findings(daemon: &Daemon, followed: &Followed, findings: &mut Vec<Finding>) {
    match &followed.problem {
        Some(problem) => findings.push(ill("policy", problem.clone())),
        None => findings.push(well(
            "policy",
            format!(
                "bundle {} is published and would be followed",
                followed.serial
            ),
        )),
    }
    findings.push(if overview::receipt_key_listed(daemon, followed) {
        well("receipt key", "the trust root lists it")
    } else {
        ill(
            "receipt key",
            Failure::new(
                code::RECEIPT_KEY_UNUSABLE,
                "the trust root does not list it for this reconciler",
                "publish a trust root that names the key in role reconciler",
            ),
        )
    });
    findings.extend(promises::broken(&daemon.config, &followed.active));
    findings.extend(ahead::expires_soon(followed, clock::now()));
    for (code, why) in notify::problems(daemon, &followed.active.model) {
        let help = format!("`seawall explain {code}` says what to do");
        findings.push(ill("alert policies", Failure::new(code, why, help)));
    }
    if let Some(why) = status::unheeded(&followed.active.model) {
        let help = "keep that by other means, or take it out of the policy";
        let failure = Failure::new(code::POLICY_UNHEEDED, why, help);
        findings.push(ill("policy", failure));
    }
    for (plan_id, policy) in crate::plan::own_plans(&followed.active) {
        let lacks = super::look::lacks(&daemon.config, followed, policy);
        if !lacks.is_empty() {
            let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
            let failure = Failure::new(
                code::PLAN_UNBOUND,
                format!("not bound: {}", lacks.join(", ")),
                "bind it in the configuration",
            );
            findings.push(ill(format!("plan {plan_id}"), failure));
        }
    }
}

/// Whatever makes `status` red under the policy that would be followed is a failure here too, once, and so is what cannot be seen.
/// What will probably pass is a warning.
fn status_findings(daemon: &Daemon, followed: Followed, findings: &mut Vec<Finding>) {
    let judged = overview::observe_and_plan(daemon, followed, clock::now())
        .and_then(|preview| overview::status_of(daemon, &preview, clock::now()));
    let status = match judged {
        Ok(status) => status,
        Err(failure) => return findings.push(ill("status", failure)),
    };
    let plans = status.plans.iter().map(|plan| &plan.condition);
    for condition in status.overall.iter().chain(plans) {
        let Some(code) = condition.code else {
            continue;
        };
        let finding: fn(String, Failure) -> Finding = match condition.condition {
            Word::Stalled | Word::Unknown => ill,
            Word::Waiting => warning,
            Word::Ready | Word::Reconciling => continue,
        };
        let subject = match &condition.plan_id {
            Some(plan_id) => format!("plan {plan_id}"),
            None => "status".to_owned(),
        };
        let known = |finding: &Finding| {
            finding.code == Some(code)
                && (condition.plan_id.is_none() || finding.subject == subject)
        };
        if !findings.iter().any(known) {
            let help = format!("`seawall explain {code}` says what to do");
            findings.push(finding(subject, Failure::new(code, &condition.why, help)));
        }
    }
}

fn location_findings(daemon: &Daemon, findings: &mut Vec<Finding>) {
    let locations = match daemon.locations() {
        Ok(locations) => locations,
        Err(failure) => return findings.push(ill("locations", failure)),
    };
    let together = locations::on_one_device(&locations);
    for (id, standing) in &locations.standings {
        let subject = format!("location {id}");
        let inspected = standing.inspected.as_ref();
        if let Some(aside) = &standing.aside {
            findings.push(ill(subject, aside.failure.clone()));
            continue;
        }
        if let Some(why) = inspected.and_then(|inspected| inspected.unwritable.as_ref()) {
            let failure = Failure::new(
                code::VAULT_LOCATION_FAILED,
                format!("it cannot be written: {why}"),
                "let the daemon's user write there, and check free space",
            );
            findings.push(ill(subject, failure));
            continue;
        }
        let mut told = if inspected.is_some_and(|inspected| inspected.mark.is_some()) {
            "it is the expected one and can be written".to_owned()
        } else {
            "it is new: the first round marks it".to_owned()
        };
        for (one, other) in &together {
            let other = match id {
                id if id == one => other,
                id if id == other => one,
                _ => continue,
            };
            let _ = write!(told, "; it shares a device with location `{other}`");
        }
        findings.push(well(subject, told));
    }
}
