//! Owns carrying out what retention decided: marks of recovery points that are to be deleted, and the deletion of those whose grace is
//! over. Decides nothing. The interesting functions are [`prune`] and [`what_became_of`].

use std::collections::BTreeSet;
use std::time::Duration;

use contract::code;
use contract::id::{BackupId, LocationId};
use jiff::{SignedDuration, Timestamp};

use super::execute::{self, Done, limit, operation_of, until};
use super::policy::{self, Followed};
use super::{Daemon, copies, look, recover};
use crate::domain::{
    Change, Deletion, Leaving, Operation, OperationKind, Outcome, Pruning, Run, State,
};
use crate::failure::Failure;
use crate::operation::Ending;
use crate::plan::{self, Mark, Planned, Prune, Step, stamp};
use crate::review;
use crate::words::{bytes, count};
use crate::worker::Access;
use crate::worker::protocol::{Answer, Order};
use crate::worker::supervisor::NoAnswer;
use crate::world::vault::{PruneRequest, Pruned};

/// Snapshots that were deleted before and are deleted again where they are back: a location that is older than these is not brought
/// forward from a copy but filled anew.
const DELETED_BEFORE: u32 = 10_000;

/// How many recovery points of all plans count against the delete budget now.
pub(super) fn deleted(
    daemon: &Daemon,
    followed: &Followed,
    now: Timestamp,
) -> Result<u64, Failure> {
    let Some(budget) = &followed.active.model.environment.delete_budget else {
        return Ok(0);
    };
    let within = SignedDuration::from_secs(budget.within_s.signed());
    let since = now.checked_sub(within).unwrap_or(Timestamp::MIN);
    Ok(daemon.store.deletions_since(since)?)
}

/// Marks points that are to be deleted, and takes back marks of points that stay.
pub(super) fn mark(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    mark: &Mark,
) -> Result<Done, Failure> {
    let mut marked = 0;
    for (id, why) in &mark.going {
        marked += set(daemon, followed, planned, id, Some(why), why)?;
    }
    for (id, why) in &mark.staying {
        marked += set(daemon, followed, planned, id, None, why)?;
    }
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: mark.plan_id.clone(),
        backup_id: None,
        outcome: Outcome::Success,
        failure: None,
        summary: format!("recorded {}", count(marked, "retention decision")),
    })
}

/// Sets or takes back one mark. A point that has it already is left alone.
fn set(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    id: &BackupId,
    leaves: Option<&String>,
    why: &str,
) -> Result<u64, Failure> {
    let now = daemon.now();
    let run = daemon.store.point(id)?;
    let Some(run) = run.filter(|run| run.leaving.is_some() != leaves.is_some()) else {
        return Ok(0);
    };
    let word = if leaves.is_some() { "mark" } else { "keep" };
    let subject = followed.subject_of(&run.plan_id, &run.dataset_ids);
    let mut operation = Operation {
        operation_id: format!("{word}.{id}.{}", stamp(now)),
        backup_id: Some(id.clone()),
        ..operation_of(daemon, planned, OperationKind::Retention, &run.kid)
    };
    let leaving = leaves.map(|why| Leaving {
        since: now,
        why: why.clone(),
    });
    let mut ending = Ending::new(Outcome::Success, None);
    ending.say("decision", if leaving.is_some() { "goes" } else { "stays" });
    ending.say("why", why);
    ending
        .changes
        .push(Change::RunChanged(Box::new(Run { leaving, ..run })));
    daemon.record(
        &mut operation,
        &subject,
        until(planned.deadline),
        ending,
        now,
    )?;
    Ok(1)
}

/// Deletes recovery points whose grace is over, and packs that nothing needs.
pub(super) fn prune(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    step: &Prune,
) -> Result<Done, Failure> {
    // A backup may have run since it was decided, a person may have suspended the plan, and policy may be another one.
    if !is_still_due(daemon, step)? {
        let summary = "deleted nothing: what was decided before is not so any more".to_owned();
        return Ok(done(planned, step, Outcome::Success, None, summary));
    }
    let subject = followed.subject(&step.plan_id);
    let mut operation = Operation {
        removes: step.backup_ids.clone(),
        ..operation_of(daemon, planned, OperationKind::Prune, &step.kid)
    };
    let began = operation.started_at;
    let mut details = until(planned.deadline);
    details.insert("removes".to_owned(), listed(&step.backup_ids));
    details.insert("kid".to_owned(), step.kid.to_string());
    {
        // What another plan reserves meanwhile is counted.
        let _alone = daemon.alone(&daemon.deleting);
        if let Some(failure) = beyond_budget(daemon, followed, step, began)? {
            return Ok(done(
                planned,
                step,
                Outcome::Failure,
                Some(failure),
                String::new(),
            ));
        }
        daemon.begin(&mut operation, &subject, details)?;
    }
    let points = points_of(daemon, &operation)?;
    let prepared = prepared(daemon, step, &points);
    let is_asked = prepared.is_ok();
    let answer = prepared.and_then(|order| asked(daemon, planned, &order));
    let (outcome, failure, ending, summary) = match answer {
        Ok(pruned) => {
            let mut ending = Ending::new(Outcome::Success, None);
            gone(&mut ending, &operation, &points, daemon.now());
            ending.changes.push(Change::Pruned(Pruning {
                marked: pruned.marked,
                is_good: true,
                ..failed(&operation)
            }));
            ending.say("packs_removed", pruned.packs);
            ending.say("bytes_removed", pruned.bytes);
            ending.say("packs_marked", pruned.marked);
            ending.say("packs_written", pruned.repacked);
            let summary = format!(
                "deleted {} and {} ({}); {} in their grace",
                count(step.backup_ids.len() as u64, "recovery point"),
                count(pruned.packs, "pack"),
                bytes(pruned.bytes),
                count(pruned.marked, "pack"),
            );
            (Outcome::Success, None, ending, summary)
        }
        Err(failure) => {
            let mut ending = if is_asked {
                what_became_of(daemon, &operation, &failure)?
            } else {
                Ending::new(Outcome::Failure, Some(failure.clone()))
            };
            // What refused now refuses in a minute, too. What was only interrupted begins again.
            if failure.code != code::RUN_INTERRUPTED {
                ending.changes.push(Change::Pruned(failed(&operation)));
            }
            (ending.outcome, Some(failure), ending, String::new())
        }
    };
    daemon.end(&mut operation, &subject, ending, daemon.now())?;
    Ok(done(planned, step, outcome, failure, summary))
}

/// Whether a prune of the same points would be decided now, and the review has nothing against it.
fn is_still_due(daemon: &Daemon, step: &Prune) -> Result<bool, Failure> {
    let now = daemon.now();
    let followed = policy::active(daemon, now, None)?;
    let observed = look::look_at_plan(daemon, &followed, &step.plan_id, now)?;
    let Some(seen) = observed.plans.get(&step.plan_id) else {
        return Ok(false);
    };
    let mut again = plan::plan_alone(&followed.active, &step.plan_id, seen, now);
    again
        .steps
        .retain(|planned| matches!(planned.step, Step::Prune(_)));
    let objections = review::review(&again, &observed, &followed.active, now);
    Ok(again.steps.iter().any(|planned| {
        let is_let = objections
            .iter()
            .all(|it| it.operation_id != planned.operation_id);
        let Step::Prune(now) = &planned.step else {
            return false;
        };
        is_let
            && (&now.kid, &now.locations, now.grace) == (&step.kid, &step.locations, step.grace)
            && now.backup_ids.is_superset(&step.backup_ids)
    }))
}

fn done(
    planned: &Planned,
    step: &Prune,
    outcome: Outcome,
    failure: Option<Failure>,
    summary: String,
) -> Done {
    Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: step.plan_id.clone(),
        backup_id: None,
        outcome,
        failure,
        summary,
    }
}

/// A prune that did not come to its end; another one begins when the grace is over.
fn failed(operation: &Operation) -> Pruning {
    Pruning {
        plan_id: operation.plan_id.clone(),
        kid: operation.kid.clone(),
        at: operation.started_at,
        marked: 1,
        is_good: false,
    }
}

/// Recovery points by their names, as a receipt has them.
fn listed(ids: &BTreeSet<BackupId>) -> String {
    let ids: Vec<&str> = ids.iter().map(BackupId::as_str).collect();
    ids.join(" ")
}

/// Whoever rebuilds the catalog after the state was lost has to read there that these points were to go, and why.
fn receipts_are_copied(daemon: &Daemon, step: &Prune) -> Result<(), Failure> {
    let size = daemon.store.receipts_size()?;
    let failures = copies::copy_receipts(daemon);
    let copies = daemon.store.receipt_copies()?;
    let lacks = |id: &&LocationId| copies.get(*id).is_none_or(|copy| copy.size < size);
    match step.locations.iter().find(lacks) {
        None => Ok(()),
        Some(location) => Err(failures.into_iter().next().unwrap_or_else(|| {
            Failure::new(
                code::RECEIPT_COPY_FAILED,
                format!("location `{location}` lacks the newest receipts, so nothing is deleted"),
                "repair the location; its copy of the receipts is completed automatically",
            )
        })),
    }
}

/// Why the budget does not allow it; none where it does.
fn beyond_budget(
    daemon: &Daemon,
    followed: &Followed,
    step: &Prune,
    now: Timestamp,
) -> Result<Option<Failure>, Failure> {
    let budget = followed.active.model.environment.delete_budget.as_ref();
    let allowed = budget.map_or(0, |budget| u64::from(budget.points));
    let wanted = step.backup_ids.len() as u64;
    let spent = deleted(daemon, followed, now)?;
    if wanted == 0 || spent.saturating_add(wanted) <= allowed {
        return Ok(None);
    }
    Ok(Some(Failure::new(
        code::PRECONDITION_FAILED,
        format!(
            "the delete budget allows {allowed} recovery points, and {spent} are deleted already"
        ),
        "nothing has to be done; deletion continues when the budget allows it",
    )))
}

/// What the worker is told. Nothing is deleted before.
fn prepared(daemon: &Daemon, step: &Prune, points: &[Run]) -> Result<Order, Failure> {
    receipts_are_copied(daemon, step)?;
    let locations = step.locations.iter().cloned();
    let access = Access::new(daemon, &step.plan_id, &step.kid, locations)?;
    let going = points.iter().filter_map(|run| run.snapshot_id.clone());
    // What an older copy of a location brought back was to go before.
    let back = daemon
        .store
        .deleted_snapshots(&step.plan_id, &step.kid, DELETED_BEFORE)?;
    let snapshots = going.chain(back).collect();
    let grace = Duration::from_secs(step.grace.get());
    let request = PruneRequest { snapshots, grace };
    Ok(Order::Prune { access, request })
}

fn asked(daemon: &Daemon, planned: &Planned, order: &Order) -> Result<Pruned, Failure> {
    match daemon.effect(limit(daemon, planned), order) {
        Ok(Answer::Pruned(pruned)) => Ok(pruned),
        Ok(_) => Err(execute::confused()),
        Err(NoAnswer::Failed(failure) | NoAnswer::Lost(failure)) => Err(failure),
        Err(NoAnswer::Stopped) if !daemon.is_ending() => Err(Failure::new(
            code::OPERATION_CANCELLED,
            "a person cancelled it",
            "nothing has to be done; another prune begins when the grace is over",
        )),
        Err(NoAnswer::Stopped) => Err(Failure::new(
            code::RUN_INTERRUPTED,
            "the daemon was asked to end while the effect ran",
            "the next round inspects what was left and finishes the work",
        )),
    }
}

/// The points are in the catalog no more, and the receipt names them.
fn gone(ending: &mut Ending, operation: &Operation, points: &[Run], at: Timestamp) {
    if points.is_empty() {
        return;
    }
    let ids = points.iter().map(|run| run.backup_id.clone()).collect();
    ending.say("removed", listed(&ids));
    ending.say("kid", &operation.kid);
    let removed = points.iter().map(|run| {
        Change::PointRemoved(Deletion {
            backup_id: run.backup_id.clone(),
            plan_id: run.plan_id.clone(),
            kid: run.kid.clone(),
            snapshot_id: run.snapshot_id.clone().unwrap_or_default(),
            operation_id: operation.operation_id.clone(),
            at,
        })
    });
    ending.changes.extend(removed);
}

/// The points that an operation is about, as far as the catalog has them in its repository.
fn points_of(daemon: &Daemon, operation: &Operation) -> Result<Vec<Run>, Failure> {
    let mut points = Vec::new();
    for id in &operation.removes {
        points.extend(daemon.store.point(id)?);
    }
    points.retain(|run| run.kid == operation.kid);
    Ok(points)
}

/// What a prune did that gave no answer, or failed: a point is gone when every location was listed and none has it. One that some have is
/// copied to the others again, and keeps its mark.
pub(super) fn what_became_of(
    daemon: &Daemon,
    operation: &Operation,
    failure: &Failure,
) -> Result<Ending, Failure> {
    let mut points = points_of(daemon, operation)?;
    let held = if points.is_empty() {
        Ok(BTreeSet::new())
    } else {
        recover::held_anywhere(daemon, operation, &points)
    };
    let held = match held {
        Ok(held) => held,
        Err(why) => {
            let failure = Failure::new(
                code::OUTCOME_UNKNOWN,
                format!(
                    "it is not known what `{}` deleted: {why}",
                    operation.operation_id
                ),
                "let the location answer again; it is found out then",
            );
            return Ok(Ending::new(Outcome::Unknown, Some(failure)));
        }
    };
    points.retain(|run| run.snapshot_id.as_ref().is_none_or(|id| !held.contains(id)));
    let mut ending = Ending::new(Outcome::Failure, Some(failure.clone()));
    gone(&mut ending, operation, &points, daemon.now());
    Ok(ending)
}

/// Finds out what an interrupted prune deleted, and records it.
pub(super) fn close(
    daemon: &Daemon,
    followed: &Followed,
    operation: &mut Operation,
    failure: &Failure,
) -> Result<u64, Failure> {
    let ending = what_became_of(daemon, operation, failure)?;
    if operation.state == State::Ended(ending.outcome) {
        return Ok(0);
    }
    let mut ending = ending;
    // What ended the process would end it again.
    ending.changes.push(Change::Pruned(failed(operation)));
    let subject = followed.subject(&operation.plan_id);
    let outcome = ending.outcome.as_str();
    tracing::warn!(event = "outcome_resolved", operation = %operation.operation_id, outcome, "{failure}");
    daemon.end(operation, &subject, ending, daemon.now())?;
    Ok(1)
}
