//! Owns the look at the world before a round plans: the store, the bindings, and every location of every plan, at the same
//! time and under a deadline. Reads only. The interesting function is [`look`].

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use contract::id::{LocationId, PlanId};
use contract::model::Plan as Policy;
use jiff::Timestamp;

use super::policy::Followed;
use super::{Access, Daemon};
use crate::config::Config;
use crate::failure::Failure;
use crate::observed::{CopyState, Lack, Observation, Observed, PlanObserved};
use crate::plan::{is_recheck, own_plans};
use crate::store::{Execution, ExecutionKind, Outcome, Run, Store as _};
use crate::world::connector;
use crate::world::vault::{LocationState, Vault};

/// A location that does not answer within this time is unknown for this round. Listing a repository takes seconds; this keeps
/// one hung mount from holding a round.
const LOOK_DEADLINE: Duration = Duration::from_mins(1);

/// Everything that a round knows.
pub fn look(daemon: &Daemon, followed: &Followed, now: Timestamp) -> Result<Observed, Failure> {
    let since = daemon.store.plans_since()?;
    let mut last = daemon.store.last_slots()?;
    let mut runs: BTreeMap<PlanId, Vec<Run>> = BTreeMap::new();
    for run in daemon.store.runs()? {
        runs.entry(run.plan_id.clone()).or_default().push(run);
    }
    let mut executions: BTreeMap<PlanId, Vec<Execution>> = BTreeMap::new();
    for execution in daemon.store.executions()? {
        executions
            .entry(execution.plan_id.clone())
            .or_default()
            .push(execution);
    }
    let mut copies = look_at_copies(daemon, followed, now);
    let mut observed = Observed {
        plans: BTreeMap::new(),
        newest_receipt: daemon.log().ledger().newest(),
    };
    for (plan_id, policy) in own_plans(&followed.in_force) {
        let executions = executions.remove(plan_id).unwrap_or_default();
        let last = last.remove(plan_id);
        let seen = PlanObserved {
            since: since.get(plan_id).copied().unwrap_or(followed.accepted_at),
            unbound: lacks(&daemon.config, followed, policy),
            ended_through: last.as_ref().map(|slot| slot.last),
            last_outcome: last.map(|slot| slot.outcome),
            runs: runs.remove(plan_id).unwrap_or_default(),
            attempts: attempts(&executions),
            rechecks: rechecks(&executions),
            open: executions.into_iter().filter(is_open).collect(),
            copies: copies.remove(plan_id).unwrap_or_default(),
        };
        observed.plans.insert(plan_id.clone(), seen);
    }
    Ok(observed)
}

/// Whether an execution still waits for its outcome, or for what an unknown one turned out to be.
pub fn is_open(execution: &Execution) -> bool {
    match execution.outcome {
        None | Some(Outcome::Unknown) => true,
        Some(Outcome::Success | Outcome::Partial | Outcome::Failure) => false,
    }
}

fn attempts(executions: &[Execution]) -> BTreeMap<contract::id::BackupId, u32> {
    let mut attempts = BTreeMap::new();
    for execution in executions {
        if let (ExecutionKind::Backup, Some(id)) = (execution.kind, &execution.backup_id) {
            *attempts.entry(id.clone()).or_insert(0) += 1;
        }
    }
    attempts
}

fn rechecks(executions: &[Execution]) -> u64 {
    let passed = executions.iter().filter(|execution| {
        is_recheck(&execution.operation_id) && execution.outcome == Some(Outcome::Success)
    });
    passed.count() as u64
}

/// What the configuration lacks for a plan.
pub fn lacks(config: &Config, followed: &Followed, policy: &Policy) -> Vec<Lack> {
    let model = &followed.in_force.model;
    let mut lacks = Vec::new();
    for id in &policy.dataset_ids {
        let Some(binding) = config.datasets.get(id) else {
            lacks.push(Lack::Dataset(id.clone()));
            continue;
        };
        let relied_on = model
            .datasets
            .get(id)
            .and_then(|dataset| model.settings.connectors.get(&dataset.connector));
        let Some(relied_on) = relied_on else { continue };
        let declared = connector::capabilities(binding.kind()).declared();
        let missing: Vec<String> = relied_on
            .capabilities
            .difference(&declared)
            .map(|capability| format!("{capability:?}"))
            .collect();
        if !missing.is_empty() {
            let what = format!("`{}` lacks {}", binding.kind(), missing.join(", "));
            lacks.push(Lack::Capability(id.clone(), what));
        }
    }
    for id in &policy.locations {
        if !config.locations.contains_key(id) {
            lacks.push(Lack::Location(id.clone()));
        }
    }
    if !config.keys.contains_key(&policy.encryption_key_ref) {
        lacks.push(Lack::Key(policy.encryption_key_ref.clone()));
    }
    lacks.sort();
    lacks
}

type Copies = BTreeMap<LocationId, Observation<CopyState>>;

/// Each plan is looked at in a thread of its own. One that does not come back in time is left behind: it only reads.
fn look_at_copies(
    daemon: &Daemon,
    followed: &Followed,
    now: Timestamp,
) -> BTreeMap<PlanId, Copies> {
    let mut all: BTreeMap<PlanId, Copies> = BTreeMap::new();
    let (sender, receiver) = channel();
    let mut waiting = 0_usize;
    for (plan_id, policy) in own_plans(&followed.in_force) {
        let unknown = |why: &str| -> Copies {
            policy
                .locations
                .iter()
                .map(|id| {
                    let why = why.to_owned();
                    (id.clone(), Observation::Unknown { why })
                })
                .collect()
        };
        if !lacks(&daemon.config, followed, policy).is_empty() {
            all.insert(plan_id.clone(), unknown("the plan is not bound"));
            continue;
        }
        let vault = match open(daemon, policy) {
            Ok(vault) => vault,
            Err(failure) => {
                all.insert(plan_id.clone(), unknown(&failure.message));
                continue;
            }
        };
        all.insert(plan_id.clone(), unknown("it did not answer in time"));
        let (sender, plan_id) = (sender.clone(), plan_id.clone());
        waiting += 1;
        std::thread::spawn(move || sender.send((plan_id, seen(&vault, now))));
    }
    drop(sender);
    let until = Instant::now() + LOOK_DEADLINE;
    while waiting > 0 {
        let left = until.saturating_duration_since(Instant::now());
        let Ok((plan_id, copies)) = receiver.recv_timeout(left) else {
            break;
        };
        waiting -= 1;
        all.insert(plan_id, copies);
    }
    all
}

fn open(daemon: &Daemon, policy: &Policy) -> Result<Vault, Failure> {
    Access::new(
        daemon,
        &policy.plan_id,
        &policy.encryption_key_ref,
        policy.locations.iter().cloned(),
    )?
    .vault()
}

fn seen(vault: &Vault, at: Timestamp) -> Copies {
    let known = |value| Observation::Known { value, at };
    vault
        .observe()
        .locations
        .into_iter()
        .map(|one| {
            let state = match one.state {
                LocationState::InSync => known(CopyState::InSync),
                LocationState::Lagging { missing, bytes, .. } => {
                    known(CopyState::Lagging { missing, bytes })
                }
                LocationState::CatchingUp => known(CopyState::Lagging {
                    missing: 0,
                    bytes: 0,
                }),
                LocationState::Quarantined { why } => known(CopyState::Quarantined { why }),
                LocationState::Absent => Observation::Absent { at },
                LocationState::Unknown { why } => Observation::Unknown { why },
            };
            (one.location, state)
        })
        .collect()
}
