//! Owns the two steps that look after recovery points already taken: reading them again, and catching a location up.
//! Never takes or forgets a point. The interesting functions are [`check`] and [`bring_forward`].

use std::collections::BTreeSet;
use std::time::Duration;

use contract::code;
use contract::id::LocationId;
use contract::receipt::{DecisionType, Phase};

use super::child::{self, NoAnswer, Order, Reply};
use super::execute::{
    Done, Subject, begin, bytes, count, describe_point, ended, result, seconds_until,
    slot_operation, slot_receipt,
};
use super::policy::Followed;
use super::recover;
use super::{Access, Daemon};
use crate::failure::Failure;
use crate::plan::{CatchUp, Planned, Reads, Verify};
use crate::store::{Change, Execution, ExecutionKind, Outcome, Run, Store as _, Verification};
use crate::world::clock;
use crate::world::vault::{Helper, Portion};

/// Reads a recovery point's repository again at every location that holds it.
pub(super) fn check(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    verify: &Verify,
    portion: &Portion,
) -> Result<Done, Failure> {
    let subject = Subject::of(followed, &verify.plan_id);
    let answer = |outcome, failure, summary| Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind(),
        plan_id: verify.plan_id.clone(),
        backup_id: Some(verify.backup_id.clone()),
        outcome,
        failure,
        summary,
    };
    let mut runs = daemon.store.runs()?;
    runs.retain(|run| run.backup_id == verify.backup_id && run.is_point());
    let Some(run) = runs.pop() else {
        let failure = Failure::new(
            code::PRECONDITION_FAILED,
            format!("the catalog has no recovery point `{}`", verify.backup_id),
            "nothing was done; the next round plans again",
        );
        return Ok(answer(Outcome::Failure, Some(failure), String::new()));
    };
    let execution = Execution {
        operation_id: planned.operation_id.clone(),
        kind: ExecutionKind::Verify,
        plan_id: verify.plan_id.clone(),
        backup_id: Some(verify.backup_id.clone()),
        slot: None,
        backup_type: None,
        restores: None,
        kid: run.kid.clone(),
        started_at: clock::now(),
        deadline: planned.deadline,
        epoch: daemon.store.epoch(),
        outcome: None,
        ended_at: None,
        error: None,
    };
    begin(daemon, &subject, ExecutionKind::Verify, execution)?;
    let (sound, damage, unread) = check_locations(daemon, planned, &run, portion);
    conclude(
        daemon,
        &subject,
        planned,
        verify,
        run,
        (sound, damage, unread),
    )
    .map(|(outcome, failure, summary)| answer(outcome, failure, summary))
}

type Checks = (BTreeSet<LocationId>, Vec<String>, Vec<Failure>);

/// Which packs a planned check reads.
pub(super) const fn portion_of(reads: Reads) -> Portion {
    match reads {
        Reads::Everything => Portion::All,
        Reads::Part { part, of } => Portion::Part { part, of },
    }
}

pub(super) fn check_locations(
    daemon: &Daemon,
    planned: &Planned,
    run: &Run,
    portion: &Portion,
) -> Checks {
    let (mut sound, mut damage, mut unread) = (BTreeSet::new(), Vec::new(), Vec::new());
    let access = Access::new(
        daemon,
        &run.plan_id,
        &run.kid,
        run.storage_locations.keys().cloned(),
    );
    let vault = match access.and_then(|access| access.vault()) {
        Ok(vault) => vault,
        Err(failure) => return (sound, damage, vec![failure]),
    };
    for location in run.storage_locations.keys() {
        let within = Duration::from_secs(seconds_until(planned.deadline));
        let checked = Helper::this_program(within)
            .and_then(|helper| vault.check(location, portion.clone(), &helper, &mut |_| {}));
        match checked {
            Ok(checked) if checked.is_sound() => {
                tracing::info!(%location, packs = checked.packs, "location is sound");
                sound.insert(location.clone());
            }
            Ok(checked) => damage.extend(
                checked
                    .damage
                    .iter()
                    .take(3)
                    .map(|what| format!("location `{location}`: {what}")),
            ),
            Err(error) => unread.push(error.into()),
        }
    }
    (sound, damage, unread)
}

type Conclusion = (Outcome, Option<Failure>, String);

/// Damage anywhere makes the point suspect. Without damage it is verified where it was read; unread everywhere proves nothing.
pub(super) fn conclude(
    daemon: &Daemon,
    subject: &Subject,
    planned: &Planned,
    verify: &Verify,
    mut run: Run,
    (sound, damage, unread): Checks,
) -> Result<Conclusion, Failure> {
    let now = clock::now();
    let (outcome, failure, summary) = if let Some(first) = damage.first() {
        let failure = Failure::new(
            code::CHECK_FAILED,
            format!("recovery point `{}` is damaged: {first}", run.backup_id),
            "restore from another location or point; repair this location before it serves again",
        );
        (
            Outcome::Failure,
            Some(failure),
            "check found damage".to_owned(),
        )
    } else if sound.is_empty() {
        let failure = unread.into_iter().next().unwrap_or_else(|| {
            Failure::new(
                code::CHECK_FAILED,
                "no location could be read",
                "repair a location",
            )
        });
        (
            Outcome::Failure,
            Some(failure),
            "check could not read it".to_owned(),
        )
    } else {
        let summary = format!("checked at {}", count(sound.len() as u64, "location"));
        (Outcome::Success, None, summary)
    };
    if !damage.is_empty() {
        run.verification = Verification::Suspect {
            at: now,
            why: damage.join("; "),
        };
    } else if !sound.is_empty() {
        run.verification = Verification::Verified {
            at: now,
            locations: sound,
        };
    }
    let mut changes = vec![
        Change::ExecutionEnded {
            operation_id: planned.operation_id.clone(),
            outcome,
            error: failure.as_ref().map(|failure| failure.code.to_string()),
            at: now,
        },
        Change::RunChanged(Box::new(run.clone())),
    ];
    let id = &planned.operation_id;
    let mut draft = subject.draft(DecisionType::Verification, Phase::Outcome, id);
    describe_point(&mut draft, &run);
    draft.result = Some(result(outcome));
    draft.error = failure.as_ref().map(Failure::note);
    let mut drafts = vec![draft];
    if let Some(slot) = verify.ends_slot {
        let why = failure.as_ref().map(ToString::to_string);
        let record = ended(&verify.plan_id, slot, &verify.backup_id, why, now);
        let id = slot_operation(&verify.plan_id, slot);
        drafts.push(slot_receipt(subject, &id, &record, failure.as_ref()));
        changes.push(Change::SlotEnded(record));
    }
    daemon.commit(&changes, drafts, now)?;
    tracing::info!(point = "checked", "the check is recorded");
    Ok((outcome, failure, summary))
}

/// Copies what a location misses, and tells the catalog which points it holds now.
pub(super) fn bring_forward(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    step: &CatchUp,
) -> Result<Done, Failure> {
    let subject = Subject::of(followed, &step.plan_id);
    let execution = Execution {
        operation_id: planned.operation_id.clone(),
        kind: ExecutionKind::CatchUp,
        plan_id: step.plan_id.clone(),
        backup_id: None,
        slot: None,
        backup_type: None,
        restores: None,
        kid: step.kid.clone(),
        started_at: clock::now(),
        deadline: planned.deadline,
        epoch: daemon.store.epoch(),
        outcome: None,
        ended_at: None,
        error: None,
    };
    begin(daemon, &subject, ExecutionKind::CatchUp, execution)?;
    let locations: Vec<LocationId> = followed
        .in_force
        .model
        .plans
        .get(&step.plan_id)
        .map(|policy| policy.locations.iter().cloned().collect())
        .unwrap_or_default();
    let copied = catch_up_child(daemon, planned, step, &locations);
    let now = clock::now();
    let (outcome, failure, summary) = match &copied {
        Ok((objects, moved)) => {
            let summary = format!("copied {} ({})", count(*objects, "object"), bytes(*moved));
            (Outcome::Success, None, summary)
        }
        Err(failure) => (Outcome::Failure, Some(failure.clone()), String::new()),
    };
    let mut changes = vec![Change::ExecutionEnded {
        operation_id: planned.operation_id.clone(),
        outcome,
        error: failure.as_ref().map(|failure| failure.code.to_string()),
        at: now,
    }];
    changes.extend(recover::held_now(
        daemon,
        &step.plan_id,
        &step.kid,
        &locations,
    )?);
    let id = &planned.operation_id;
    let mut draft = subject.draft(DecisionType::CatchUp, Phase::Outcome, id);
    draft.result = Some(result(outcome));
    draft.error = failure.as_ref().map(Failure::note);
    draft
        .details
        .insert("location".to_owned(), step.location.to_string());
    if let Ok((objects, moved)) = &copied {
        draft
            .details
            .insert("objects".to_owned(), objects.to_string());
        draft.details.insert("bytes".to_owned(), moved.to_string());
    }
    daemon.commit(&changes, vec![draft], now)?;
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind(),
        plan_id: step.plan_id.clone(),
        backup_id: None,
        outcome,
        failure,
        summary,
    })
}

pub(super) fn catch_up_child(
    daemon: &Daemon,
    planned: &Planned,
    step: &CatchUp,
    locations: &[LocationId],
) -> Result<(u64, u64), Failure> {
    let access = Access::new(daemon, &step.plan_id, &step.kid, locations.iter().cloned())?;
    let deadline = Duration::from_secs(seconds_until(planned.deadline));
    let reply = child::ask(&Order::CatchUp { access }, deadline, &daemon.stop);
    match reply {
        Ok(Reply::CatchUp(report)) => match report.after.get(&step.location) {
            None | Some(crate::world::vault::LocationState::InSync) => Ok(report.copied),
            Some(state) => Err(Failure::new(
                code::LOCATION_LAGGING,
                format!("location `{}` did not catch up: {state:?}", step.location),
                "repair the location; the next round tries again",
            )),
        },
        Ok(Reply::Backup(_) | Reply::Failed { .. }) => Err(Failure::new(
            code::EFFECT_PANICKED,
            "the process of the effect answered something else",
            "report this as a bug",
        )),
        Err(NoAnswer::Failed(failure) | NoAnswer::Lost(failure)) => Err(failure),
        Err(NoAnswer::Stopped) => Err(Failure::new(
            code::RUN_INTERRUPTED,
            "the daemon was asked to end while the effect ran",
            "the next round goes on",
        )),
    }
}
