//! Owns what happens to an effect whose outcome was lost: the locations are looked at, and what they show closes it. Never
//! runs anything again. The interesting function is [`probe`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use contract::code;
use contract::id::{BackupId, Kid, LocationId, PlanId};
use contract::receipt::{DecisionType, Phase};
use jiff::Timestamp;

use super::execute::{Subject, checksums, connector_states, decision, describe_point, result};
use super::policy::Followed;
use super::{Daemon, source};
use crate::domain::{
    BackupType, Execution, ExecutionKind, Observation, Outcome, Run, RunStatus, Verification,
};
use crate::failure::Failure;
use crate::store::Change;
use crate::worker::Access;
use crate::worker::protocol::Judged;
use crate::world::connector::{self, Bounds, Cancel, InPlace};
use crate::world::vault::{AllSnapshots, SnapshotInfo};

/// Listing snapshots takes seconds; a location that hangs longer is unknown.
const PROBE_DEADLINE: Duration = Duration::from_mins(1);

/// A recovery point that was found by its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub backup_id: BackupId,
    /// Its snapshot.
    pub info: SnapshotInfo,
    /// Where it is visible.
    pub locations: BTreeSet<LocationId>,
    /// `<environment>/<plan_id>/<kid>`.
    pub repository: String,
}

/// What the locations show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Enough of them hold it.
    Present(Box<Found>),
    /// It is nowhere, and it cannot be committed out of sight.
    Absent,
    /// Nobody can tell.
    Unknown(String),
}

/// Closes every effect that is open and that nobody works on: a former life of the process left it, or its outcome was unknown.
pub fn recover(daemon: &Daemon, followed: &Followed) -> Result<u64, Failure> {
    recover_of(daemon, followed, |_| true)
}

/// The same for some plans.
pub fn recover_of(
    daemon: &Daemon,
    followed: &Followed,
    is_wanted: impl Fn(&PlanId) -> bool,
) -> Result<u64, Failure> {
    let mut closed = 0;
    for execution in daemon.store.open_executions()? {
        if !is_wanted(&execution.plan_id) || daemon.is_at_work(&execution.operation_id) {
            continue;
        }
        // What is not at work any more has recorded its end before it said so.
        if !is_still_open(daemon, &execution)? {
            continue;
        }
        let failure = Failure::new(
            code::RUN_INTERRUPTED,
            format!("the process ended while `{}` ran", execution.operation_id),
            "the next round finishes the work",
        );
        let probe = match execution.kind {
            ExecutionKind::Backup => {
                let (commit, locations) = wanted(daemon, followed, &execution.plan_id);
                probe(daemon, &execution, commit, &locations)
            }
            ExecutionKind::Restore => {
                closed += close_restore(daemon, followed, &execution)?;
                continue;
            }
            // Both only read or copy what is there; the state that they left plans them again.
            ExecutionKind::Verify | ExecutionKind::CatchUp => Probe::Absent,
        };
        if execution.outcome == Some(Outcome::Unknown) && matches!(probe, Probe::Unknown(_)) {
            continue;
        }
        close(daemon, followed, &execution, probe, &failure)?;
        let _ = std::fs::remove_dir_all(spool_of(daemon, &execution));
        closed += 1;
    }
    Ok(closed)
}

fn is_still_open(daemon: &Daemon, execution: &Execution) -> Result<bool, Failure> {
    let open = daemon.store.open_executions()?;
    Ok(open
        .iter()
        .any(|open| open.operation_id == execution.operation_id))
}

fn spool_of(daemon: &Daemon, execution: &Execution) -> PathBuf {
    daemon.config.spool_path().join(&execution.operation_id)
}

/// What the connectors had said before the process was lost.
pub fn left_by(daemon: &Daemon, execution: &Execution) -> Judged {
    Judged::left_in(&spool_of(daemon, execution))
}

/// Looks how far an interrupted restore got, and says so. What it left at a target beside the live data is not to be used; over
/// the live data, the connector can tell which of the two is there now.
fn close_restore(
    daemon: &Daemon,
    followed: &Followed,
    execution: &Execution,
) -> Result<u64, Failure> {
    let (outcome, failure) = restore_seen(daemon, execution);
    if execution.outcome == Some(outcome) {
        return Ok(0);
    }
    let now = daemon.now();
    let mut subject = Subject::of(followed, &execution.plan_id);
    let phase = phase_after(execution);
    if let Some(restores) = &execution.restores {
        subject.dataset_ids = vec![restores.dataset_id.clone()];
    }
    let mut draft = subject.draft(DecisionType::Restore, phase, &execution.operation_id);
    draft.backup_id.clone_from(&execution.backup_id);
    draft.restore_id = execution
        .restores
        .as_ref()
        .map(|restores| restores.restore_id.clone());
    draft.result = Some(result(outcome));
    draft.error = Some(failure.note());
    draft
        .details
        .insert("probed".to_owned(), "after a lost outcome".to_owned());
    let changes = [Change::ExecutionEnded {
        operation_id: execution.operation_id.clone(),
        outcome,
        error: Some(failure.code.to_string()),
        at: now,
    }];
    tracing::warn!(operation = %execution.operation_id, outcome = outcome.as_str(), "{failure}");
    daemon.commit(&changes, vec![draft], now)?;
    let _ = std::fs::remove_dir_all(spool_of(daemon, execution));
    Ok(1)
}

fn restore_seen(daemon: &Daemon, execution: &Execution) -> (Outcome, Failure) {
    let told = |outcome, code, what: String, help: &str| {
        let message = format!("`{}` was interrupted: {what}", execution.operation_id);
        (outcome, Failure::new(code, message, help))
    };
    let again = "restore again";
    let Some(restores) = execution.restores.as_ref().filter(|it| it.in_place) else {
        let what = "what lies at its target is not whole".to_owned();
        let help = "remove the target and restore again";
        return told(Outcome::Failure, code::RUN_INTERRUPTED, what, help);
    };
    let Some(binding) = daemon.config.datasets.get(&restores.dataset_id) else {
        let what = format!("dataset `{}` is not bound any more", restores.dataset_id);
        let help = "bind it again, so that the next round can look";
        return told(Outcome::Unknown, code::OUTCOME_UNKNOWN, what, help);
    };
    let bounds = Bounds::within(PROBE_DEADLINE, Cancel::new());
    match connector::probe_in_place(binding, &restores.restore_id, &bounds) {
        Observation::Known { value, .. } => match value {
            InPlace::Done { kept } => {
                let what = format!("the restored data are live, the old ones are kept as `{kept}`");
                let help = "nobody checked the restored data afterwards: `seawalld doctor` and your own checks tell";
                told(Outcome::Partial, code::RUN_INTERRUPTED, what, help)
            }
            InPlace::Exchanged => {
                let what = "the restored data are live, the old ones still lie in its staging folder beside them";
                let help =
                    "look at the live data; move the old ones to where you want to keep them";
                let what = what.to_owned();
                told(Outcome::Partial, code::RUN_INTERRUPTED, what, help)
            }
            InPlace::NotDone { left } => {
                let what = format!("the live data are the old ones, `{left}` was left");
                told(Outcome::Failure, code::RUN_INTERRUPTED, what, again)
            }
        },
        Observation::Absent { .. } => {
            let what = "it left no trace, so it changed nothing, or filled a place that was empty";
            let help = "look at the live data, then restore again if they are missing";
            told(
                Outcome::Failure,
                code::RUN_INTERRUPTED,
                what.to_owned(),
                help,
            )
        }
        Observation::Unknown { why } => {
            let help = "make the dataset reachable; the next round looks again";
            told(Outcome::Unknown, code::OUTCOME_UNKNOWN, why, help)
        }
    }
}

const fn phase_after(execution: &Execution) -> Phase {
    match execution.outcome {
        None => Phase::Outcome,
        Some(_) => Phase::Resolution,
    }
}

fn wanted(daemon: &Daemon, followed: &Followed, plan_id: &PlanId) -> (u32, BTreeSet<LocationId>) {
    match followed.active.model.plans.get(plan_id) {
        Some(policy) => (policy.redundancy_profile.commit, policy.locations.clone()),
        // The plan left the policy: one copy anywhere is a recovery point.
        None => (1, daemon.config.locations.keys().cloned().collect()),
    }
}

/// Looks for the recovery point of an execution by its tag.
pub fn probe(
    daemon: &Daemon,
    execution: &Execution,
    commit: u32,
    locations: &BTreeSet<LocationId>,
) -> Probe {
    let Some(id) = &execution.backup_id else {
        return Probe::Unknown("it names no recovery point".to_owned());
    };
    let locations = locations.iter().cloned();
    let (all, repository) = match snapshots(
        daemon,
        &execution.plan_id,
        &execution.kid,
        locations.collect(),
    ) {
        Ok(found) => found,
        Err(why) => return Probe::Unknown(why),
    };
    let commit = usize::try_from(commit).unwrap_or(usize::MAX);
    let found = all.points.into_iter().find(|(info, _)| {
        info.tags
            .as_ref()
            .is_some_and(|tags| tags.backup_id == id.as_str())
    });
    match found {
        Some((info, at)) if at.len() >= commit => Probe::Present(Box::new(Found {
            backup_id: id.clone(),
            info,
            locations: at.into_iter().collect(),
            repository,
        })),
        Some((_, at)) => Probe::Unknown(format!(
            "it is visible at {} of {commit} locations and waits for catching up",
            at.len()
        )),
        // Fewer unknown locations than `commit` cannot have committed it among themselves. With a commit of 1 any location that
        // is away may hold it alone, so the outcome stays unknown until that one answers; the plan takes points without a slot
        // meanwhile, where enough other locations answer.
        None if all.unknown.len() + all.damaged.len() >= commit.max(1) => {
            let names: Vec<&str> = all.unknown.keys().map(LocationId::as_str).collect();
            Probe::Unknown(format!("locations cannot be read: {}", names.join(", ")))
        }
        None => Probe::Absent,
    }
}

fn snapshots(
    daemon: &Daemon,
    plan_id: &PlanId,
    kid: &Kid,
    locations: Vec<LocationId>,
) -> Result<(AllSnapshots, String), String> {
    let access = Access::new(daemon, plan_id, kid, locations).map_err(|failure| failure.message)?;
    let repository = access.repository();
    let (sender, receiver) = channel();
    let effects = Arc::clone(&daemon.effects);
    daemon.effects.beside(Box::new(move || {
        let _ = sender.send(effects.snapshots(&access));
    }));
    match receiver.recv_timeout(PROBE_DEADLINE) {
        Ok(Ok(all)) => Ok((all, repository)),
        Ok(Err(failure)) => Err(failure.message),
        Err(_) => Err("the locations did not answer in time".to_owned()),
    }
}

/// The catalog entry of a recovery point that was found.
pub fn run_of(
    followed: &Followed,
    execution: &Execution,
    found: &Found,
    judged: &Judged,
    now: Timestamp,
) -> Run {
    let policy = followed.active.model.plans.get(&execution.plan_id);
    Run {
        backup_id: found.backup_id.clone(),
        plan_id: execution.plan_id.clone(),
        dataset_ids: if execution.dataset_ids.is_empty() {
            policy
                .map(|policy| policy.dataset_ids.clone())
                .unwrap_or_default()
        } else {
            execution.dataset_ids.clone()
        },
        slot: execution.slot,
        started_at: execution.started_at,
        finished_at: now,
        consistent_at: Some(found.info.time),
        backup_type: execution.backup_type.unwrap_or(BackupType::Incremental),
        base: None,
        status: RunStatus::Success,
        kid: execution.kid.clone(),
        snapshot_id: Some(found.info.snapshot_id.clone()),
        storage_locations: found
            .locations
            .iter()
            .map(|id| (id.clone(), format!("{id}:{}", found.repository)))
            .collect(),
        checksums: checksums(&found.info.snapshot_id, judged),
        verification: Verification::Pending,
        damaged_at: BTreeMap::new(),
        bytes: found.info.bytes,
        added_bytes: found.info.added_bytes,
        policy_snapshot_hash: Some(followed.snapshot_hash),
        manifests: judged.manifests.clone(),
        error: None,
        profiles: judged.profiles.clone(),
        collapsed: judged.doubts.clone(),
        clock_in_doubt: followed.active.clock.is_ahead(),
        overran: false,
    }
}

/// Records what a lost effect turned out to be. Its slot stays open: a point that was found ends it by its check, and a slot
/// without one is run again.
pub fn close(
    daemon: &Daemon,
    followed: &Followed,
    execution: &Execution,
    probe: Probe,
    failure: &Failure,
) -> Result<(), Failure> {
    let now = daemon.now();
    let mut subject = Subject::of(followed, &execution.plan_id);
    if !execution.dataset_ids.is_empty() {
        subject.dataset_ids = execution.dataset_ids.iter().cloned().collect();
    }
    let phase = phase_after(execution);
    let mut draft = subject.draft(decision(execution.kind), phase, &execution.operation_id);
    draft.backup_id.clone_from(&execution.backup_id);
    let mut changes = Vec::new();
    let (outcome, error) = match probe {
        Probe::Present(found) => {
            let judged = left_by(daemon, execution);
            let run = run_of(followed, execution, &found, &judged, now);
            let run = source::hold_against_before(daemon, followed, run)?;
            describe_point(&mut draft, &run);
            changes.extend(connector_states(&execution.plan_id, &judged));
            changes.push(Change::RunEnded(Box::new(run)));
            (Outcome::Success, None)
        }
        Probe::Absent => (Outcome::Failure, Some(failure.clone())),
        Probe::Unknown(why) => {
            let told = format!("{}: {why}", failure.message);
            let unknown = Failure::new(code::OUTCOME_UNKNOWN, told, failure.help.clone());
            (Outcome::Unknown, Some(unknown))
        }
    };
    draft.result = Some(result(outcome));
    draft.error = error.as_ref().map(Failure::note);
    draft
        .details
        .insert("probed".to_owned(), "after a lost outcome".to_owned());
    changes.push(Change::ExecutionEnded {
        operation_id: execution.operation_id.clone(),
        outcome,
        error: error.map(|error| error.code.to_string()),
        at: now,
    });
    tracing::warn!(operation = %execution.operation_id, outcome = outcome.as_str(), "a lost outcome was looked at");
    daemon.commit(&changes, vec![draft], now)
}

/// Corrects, for all points of a repository, the locations that the catalog names.
pub fn held_now(
    daemon: &Daemon,
    plan_id: &PlanId,
    kid: &Kid,
    locations: &[LocationId],
) -> Result<Vec<Change>, Failure> {
    let Ok((all, repository)) = snapshots(daemon, plan_id, kid, locations.to_vec()) else {
        return Ok(Vec::new());
    };
    let held: BTreeMap<String, BTreeSet<LocationId>> = all
        .points
        .into_iter()
        .map(|(info, at)| (info.snapshot_id, at.into_iter().collect()))
        .collect();
    let mut changes = Vec::new();
    for mut run in daemon.store.points(Some(plan_id))? {
        let Some(at) = run.snapshot_id.as_ref().and_then(|id| held.get(id)) else {
            continue;
        };
        if run.kid != *kid {
            continue;
        }
        let mut now: BTreeMap<LocationId, String> = at
            .iter()
            .map(|id| (id.clone(), format!("{id}:{repository}")))
            .collect();
        // What cannot be seen keeps what was known of it.
        for (id, descriptor) in &run.storage_locations {
            if all.unknown.contains_key(id) {
                now.insert(id.clone(), descriptor.clone());
            }
        }
        if now != run.storage_locations {
            run.storage_locations = now;
            changes.push(Change::RunChanged(Box::new(run)));
        }
    }
    Ok(changes)
}
