//! Owns the check-up: configuration, git, trust, locations, keys, connectors and store, each with advice. Changes nothing.
//! The interesting function is [`examine`].

use std::io::Write as _;
use std::time::Duration;

use contract::code::{self, Code};
use contract::model::{DataRetention, Model, Plan};
use serde::Serialize;

use super::policy;
use super::{Daemon, round};
use crate::failure::Failure;
use crate::world::connector::{self, Bounds, Cancel, Observation};
use crate::world::{clock, keys};

/// A look at one source ends after this time: a check-up is watched by a person.
const SOURCE_DEADLINE: Duration = Duration::from_secs(20);

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What: `git`, `location loc_a` …
    pub subject: String,
    /// Whether it is well.
    pub ok: bool,
    /// Its code when it is not.
    pub code: Option<Code>,
    /// What was found.
    pub told: String,
    /// What to do when it is not well.
    pub help: String,
}

fn well(subject: impl Into<String>, told: impl Into<String>) -> Finding {
    Finding {
        subject: subject.into(),
        ok: true,
        code: None,
        told: told.into(),
        help: String::new(),
    }
}

fn ill(subject: impl Into<String>, failure: Failure) -> Finding {
    Finding {
        subject: subject.into(),
        ok: false,
        code: Some(failure.code),
        told: failure.message,
        help: failure.help,
    }
}

/// Looks at everything that a round needs.
pub fn examine(daemon: &Daemon) -> Vec<Finding> {
    let mut findings = vec![well("configuration", "it reads")];
    findings.push(well(
        "store",
        format!(
            "receipt log of {} lines holds",
            daemon.log().ledger().size()
        ),
    ));
    policy_findings(daemon, &mut findings);
    for (id, location) in &daemon.config.locations {
        findings.push(location_finding(&format!("location {id}"), &location.path));
    }
    for (kid, source) in &daemon.config.keys {
        findings.push(match keys::load(kid, source) {
            Ok(_) => well(format!("key {kid}"), "its source gives it"),
            Err(error) => ill(format!("key {kid}"), error.into()),
        });
    }
    for (id, binding) in &daemon.config.datasets {
        let bounds = Bounds::within(SOURCE_DEADLINE, Cancel::new());
        let seen = connector::observe(binding, &bounds);
        let subject = format!("dataset {id}");
        findings.push(match seen.bytes {
            Observation::Known { value, .. } => {
                let size = super::execute::bytes(value);
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
    findings
}

fn policy_findings(daemon: &Daemon, findings: &mut Vec<Finding>) {
    match policy::peek(daemon, clock::now()) {
        Err(failure) => findings.push(ill("policy", failure)),
        Ok(followed) => {
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
            findings.push(if round::receipt_key_listed(daemon, &followed) {
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
            let unheeded = unheeded(&followed.in_force.model);
            if !unheeded.is_empty() {
                let told = format!("this version does not act on {}", unheeded.join(", "));
                findings.push(well("policy ahead of the daemon", told));
            }
            for (plan_id, policy) in crate::plan::own_plans(&followed.in_force) {
                let lacks = super::look::lacks(&daemon.config, &followed, policy);
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
    }
}

/// What a policy says that is proven and shown, and that no step of this version takes into account.
fn unheeded(model: &Model) -> Vec<&'static str> {
    let limited = |plan: &Plan| plan.bandwidth_bytes_per_second.is_some();
    let purges = |law: &DataRetention| law.archive_after_s.is_some() || law.purge_after_s.is_some();
    let environment = &model.environment;
    [
        (model.plans.values().any(limited), "`bandwidth` of plans"),
        (
            !environment.maintenance_windows.is_empty(),
            "`maintenance_windows`",
        ),
        (
            environment.delete_budget.is_some(),
            "`delete_budget`: nothing is deleted",
        ),
        (!model.settings.alerts.is_empty(), "alert policies"),
        (
            model.settings.data_retention.values().any(purges),
            "`archive_after` and `purge_after` of live data",
        ),
        (!model.standbys.is_empty(), "standbys"),
    ]
    .into_iter()
    .filter_map(|(is_said, what)| is_said.then_some(what))
    .collect()
}

fn location_finding(subject: &str, path: &std::path::Path) -> Finding {
    if !path.is_dir() {
        return ill(
            subject,
            Failure::new(
                code::VAULT_LOCATION_UNREACHABLE,
                format!("`{}` is not there", path.display()),
                "mount the disk or create the folder",
            ),
        );
    }
    let probe = tempfile::NamedTempFile::new_in(path)
        .and_then(|mut file| file.write_all(b"seawall").map(|()| file))
        .and_then(|file| file.as_file().sync_all());
    match probe {
        Ok(()) => well(subject, "it can be written"),
        Err(error) => ill(
            subject,
            Failure::new(
                code::VAULT_LOCATION_FAILED,
                format!("`{}` cannot be written: {error}", path.display()),
                "let the daemon's user write there, and check free space",
            ),
        ),
    }
}
