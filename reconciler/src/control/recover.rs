//! Owns what happens to an effect whose outcome was lost: the locations are looked at, and what they show closes it. Never
//! runs anything again. The interesting function is [`probe`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use contract::code;
use contract::id::{Kid, LocationId, PlanId};

use super::execute::confused;
use super::policy::Followed;
use super::retention;
use super::spool::give_back;
use super::{Daemon, source};
use crate::domain::{
    Change, Observation, Operation, OperationKind, Outcome, Run, SourceReport, State,
};
use crate::failure::Failure;
use crate::operation::Ending;
use crate::operation::backup::{self, Snapshot, Taken};
use crate::operation::lost::{self, Evidence, Left, Probe};
use crate::plan::CatchUp;
use crate::worker::Access;
use crate::worker::protocol::{Answer, Order, report_left_in};
use crate::worker::supervisor::NoAnswer;
use crate::world::vault::AllSnapshots;

/// Listing snapshots takes seconds; a location that hangs longer is unknown.
const PROBE_DEADLINE: Duration = Duration::from_mins(1);

/// Closes every effect that is open and that nobody works on: a former life of the process left it, or its outcome was unknown.
pub fn recover(daemon: &Daemon, followed: &Followed) -> Result<u64, Failure> {
    recover_of(daemon, followed, None)
}

/// The same for one plan, or for all.
pub fn recover_of(
    daemon: &Daemon,
    followed: &Followed,
    plan: Option<&PlanId>,
) -> Result<u64, Failure> {
    let mut closed = 0;
    for mut operation in daemon.store.open_operations(plan)? {
        if daemon.is_at_work(&operation.operation_id) {
            continue;
        }
        // What is not at work any more has recorded its end before it said so.
        if !is_still_open(daemon, &operation)? {
            continue;
        }
        let failure = Failure::new(
            code::RUN_INTERRUPTED,
            format!("the process ended while `{}` ran", operation.operation_id),
            "the next round finishes the work",
        );
        let probe = match operation.kind {
            OperationKind::Backup => {
                let (commit, locations) = wanted(daemon, followed, &operation.plan_id);
                probe(daemon, &operation, commit, &locations)
            }
            OperationKind::Restore => {
                closed += close_restore(daemon, followed, &mut operation)?;
                continue;
            }
            OperationKind::Prune => {
                closed += retention::close(daemon, followed, &mut operation, &failure)?;
                continue;
            }
            // They only read, copy or mark what is there; the state that they left plans them again.
            OperationKind::Verify | OperationKind::CatchUp | OperationKind::Retention => {
                Probe::Absent
            }
        };
        if operation.state == State::Ended(Outcome::Unknown) && matches!(probe, Probe::Unknown(_)) {
            continue;
        }
        close(daemon, followed, &mut operation, probe, &failure)?;
        give_back(daemon, &operation);
        closed += 1;
    }
    Ok(closed)
}

fn is_still_open(daemon: &Daemon, operation: &Operation) -> Result<bool, Failure> {
    let open = daemon.store.open_operations(Some(&operation.plan_id))?;
    Ok(open
        .iter()
        .any(|open| open.operation_id == operation.operation_id))
}

fn spool_of(daemon: &Daemon, operation: &Operation) -> PathBuf {
    daemon.config.spool_path().join(&operation.operation_id)
}

/// What the connectors had reported before the process was lost.
pub fn left_by(daemon: &Daemon, operation: &Operation) -> SourceReport {
    report_left_in(&spool_of(daemon, operation))
}

/// What an interrupted restore left, as far as the live data show it.
pub fn left_by_restore(daemon: &Daemon, operation: &Operation) -> Ending {
    let restores = operation.restores.as_ref().filter(|it| it.in_place);
    let seen = restores.and_then(|restores| {
        let order = Order::Probe {
            binding: daemon.config.datasets.get(&restores.dataset_id)?.clone(),
            restore_id: restores.restore_id.clone(),
            within: PROBE_DEADLINE,
        };
        Some(match daemon.look_within(&order, PROBE_DEADLINE) {
            Ok(Answer::Probed(seen)) => seen,
            other => Observation::Unknown {
                why: unseen(other).message,
            },
        })
    });
    lost::restore(operation, seen)
}

/// Why a worker could not say how a source looks.
pub fn unseen(answer: Result<Answer, NoAnswer>) -> Failure {
    match answer {
        Ok(_) | Err(NoAnswer::Stopped) => confused(),
        Err(NoAnswer::Failed(failure) | NoAnswer::Lost(failure)) => failure,
    }
}

/// Looks how far an interrupted restore got, and records it.
fn close_restore(
    daemon: &Daemon,
    followed: &Followed,
    operation: &mut Operation,
) -> Result<u64, Failure> {
    let ending = left_by_restore(daemon, operation);
    if operation.state == State::Ended(ending.outcome) {
        return Ok(0);
    }
    let restores = operation.restores.as_ref();
    let dataset = restores.map(|restores| &restores.dataset_id);
    let subject = followed.subject_of(&operation.plan_id, dataset);
    let outcome = ending.outcome.as_str();
    if let Some(failure) = &ending.failure {
        tracing::warn!(event = "outcome_resolved", operation = %operation.operation_id, outcome, "{failure}");
    }
    daemon.end(operation, &subject, ending, daemon.now())?;
    // What was staged there is not used again.
    let _ = std::fs::remove_dir_all(spool_of(daemon, operation));
    Ok(1)
}

fn wanted(daemon: &Daemon, followed: &Followed, plan_id: &PlanId) -> (u32, BTreeSet<LocationId>) {
    match followed.active.model.plans.get(plan_id) {
        Some(policy) => (policy.redundancy_profile.commit, policy.locations.clone()),
        // The plan left the policy: one copy anywhere is a recovery point.
        None => (1, daemon.config.locations.keys().cloned().collect()),
    }
}

/// Looks for the recovery point of an operation by its tag.
pub fn probe(
    daemon: &Daemon,
    operation: &Operation,
    commit: u32,
    locations: &BTreeSet<LocationId>,
) -> Probe {
    let Some(id) = &operation.backup_id else {
        return Probe::Unknown("it names no recovery point".to_owned());
    };
    let locations = locations.iter().cloned().collect();
    let (plan_id, kid) = (&operation.plan_id, &operation.kid);
    let (all, repository) = match snapshots(daemon, plan_id, kid, locations) {
        Ok(found) => found,
        Err(why) => return Probe::Unknown(why),
    };
    let found = all.points.into_iter().find(|(info, _)| {
        let tags = info.tags.as_ref();
        tags.is_some_and(|tags| tags.backup_id == id.as_str())
    });
    let evidence = Evidence {
        found: found.map(|(info, at)| Snapshot {
            id: info.snapshot_id,
            shows: info.time,
            bytes: info.bytes,
            added_bytes: info.added_bytes,
            locations: at.into_iter().collect(),
            repository,
        }),
        unreadable: all.unknown.into_keys().collect(),
        damaged: all.damaged.len(),
    };
    lost::judge(commit, evidence)
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

/// The snapshots that the locations show where some recovery points are by the catalog; why nobody can tell, where one of them was not
/// read whole.
pub fn held_anywhere(
    daemon: &Daemon,
    operation: &Operation,
    points: &[Run],
) -> Result<BTreeSet<String>, String> {
    let wanted = points.iter().flat_map(|run| run.storage_locations.keys());
    let wanted: BTreeSet<LocationId> = wanted.cloned().collect();
    let standings = daemon
        .locations()
        .map_err(|failure| failure.message)?
        .standings;
    if let Some(location) = wanted.iter().find(|id| !standings.contains_key(*id)) {
        return Err(format!("location `{location}` is not bound"));
    }
    let (plan_id, kid) = (&operation.plan_id, &operation.kid);
    let (all, _) = snapshots(daemon, plan_id, kid, wanted.into_iter().collect())?;
    if let Some((location, why)) = all.unknown.first_key_value() {
        return Err(format!("location `{location}`: {why}"));
    }
    if let Some(location) = all.damaged.keys().next() {
        return Err(format!("location `{location}` holds damaged snapshots"));
    }
    // A prune leaves some: a repository that shows none was emptied by somebody else, or is not the one.
    if all.points.is_empty() {
        return Err("no location shows a recovery point".to_owned());
    }
    let points = all.points.into_iter();
    Ok(points.map(|(info, _)| info.snapshot_id).collect())
}

/// The catalog entry of a recovery point, its sources compared with those of the point before.
pub fn point(
    daemon: &Daemon,
    followed: &Followed,
    operation: &Operation,
    snapshot: &Snapshot,
    report: &SourceReport,
) -> Result<Run, Failure> {
    let subject = followed.subject(&operation.plan_id);
    let taken = Taken {
        snapshot_hash: followed.snapshot_hash,
        clock_in_doubt: followed.active.clock.is_ahead(),
        at: daemon.now(),
    };
    let run = backup::point(operation, &subject, snapshot, report, taken);
    let run = run.ok_or_else(|| {
        let message = format!("`{}` names no recovery point", operation.operation_id);
        Failure::new(code::PRECONDITION_FAILED, message, "report this as a bug")
    })?;
    source::hold_against_before(daemon, followed, run)
}

/// Records what a lost operation turned out to be.
pub fn close(
    daemon: &Daemon,
    followed: &Followed,
    operation: &mut Operation,
    probe: Probe,
    failure: &Failure,
) -> Result<(), Failure> {
    let subject = if operation.dataset_ids.is_empty() {
        followed.subject(&operation.plan_id)
    } else {
        followed.subject_of(&operation.plan_id, &operation.dataset_ids)
    };
    let ending = match probe {
        Probe::Present(found) => {
            let report = left_by(daemon, operation);
            let run = point(daemon, followed, operation, &found, &report)?;
            lost::closed(Left::Point(&run, &report), failure)
        }
        Probe::Absent => lost::closed(Left::Nothing, failure),
        Probe::Unknown(why) => lost::closed(Left::Unknown(why), failure),
    };
    let outcome = ending.outcome.as_str();
    tracing::warn!(event = "outcome_resolved", operation = %operation.operation_id, outcome, "an unknown outcome was resolved");
    daemon.end(operation, &subject, ending, daemon.now())
}

/// How many recovery points a location held by the catalog, and shows no more.
pub fn missing_at(
    daemon: &Daemon,
    step: &CatchUp,
    locations: &[LocationId],
) -> Result<u64, Failure> {
    let locations = locations.to_vec();
    let Ok((all, _)) = snapshots(daemon, &step.plan_id, &step.kid, locations) else {
        return Ok(0);
    };
    if all.unknown.contains_key(&step.location) {
        return Ok(0);
    }
    let there = all
        .points
        .iter()
        .filter(|(_, at)| at.contains(&step.location));
    let there: BTreeSet<&str> = there.map(|(info, _)| info.snapshot_id.as_str()).collect();
    let points = daemon.store.points(Some(&step.plan_id))?;
    let missing = points.iter().filter(|run| {
        run.kid == step.kid
            && run.storage_locations.contains_key(&step.location)
            && run
                .snapshot_id
                .as_deref()
                .is_some_and(|id| !there.contains(id))
    });
    Ok(missing.count() as u64)
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
