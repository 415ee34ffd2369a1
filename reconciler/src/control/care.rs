//! Owns the steps that look after recovery points already taken: reading them again, recording which are gone, and catching a
//! location up. Never takes or forgets a point. The interesting functions are [`check`], [`read_part`] and [`bring_forward`].

use std::time::Duration;

use contract::code;
use contract::id::LocationId;
use jiff::Timestamp;

use super::Daemon;
use super::execute::{self, Done, limit, operation_of, seconds_until, until};
use super::findings::{self, Place, Proves, Read};
use super::policy::Followed;
use super::recover;
use crate::domain::{
    Change, Operation, OperationKind, Outcome, PartRead, PartReading, Run, Verification,
};
use crate::failure::Failure;
use crate::operation::check::{self, Seen};
use crate::operation::{Ending, Subject};
use crate::plan::{CatchUp, Check, Overdue, Planned, Points, Verify, stamp};
use crate::words::{bytes, count};
use crate::worker::Access;
use crate::worker::protocol::{Answer, CatchUpReport, Order};
use crate::worker::supervisor::NoAnswer;
use crate::world::vault::{Checked, Kind, LocationState, Object, Portion, Reading};

/// Reads a recovery point's repository again at every location of the step.
pub(super) fn check(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    verify: &Verify,
    portion: &Portion,
) -> Result<Done, Failure> {
    let answer = |outcome, failure, summary| Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: verify.plan_id.clone(),
        backup_id: Some(verify.backup_id.clone()),
        outcome,
        failure,
        summary,
    };
    let Some(run) = daemon.store.point(&verify.backup_id)? else {
        let failure = Failure::new(
            code::PRECONDITION_FAILED,
            format!("the catalog has no recovery point `{}`", verify.backup_id),
            "nothing was done; the next round plans again",
        );
        return Ok(answer(Outcome::Failure, Some(failure), String::new()));
    };
    let subject = followed.subject_of(&verify.plan_id, &run.dataset_ids);
    let mut operation = Operation {
        backup_id: Some(verify.backup_id.clone()),
        ..operation_of(daemon, planned, OperationKind::Verify, &run.kid)
    };
    daemon.begin(&mut operation, &subject, until(planned.deadline))?;
    let seen = check_locations(daemon, planned, verify, &run, portion)?;
    let now = daemon.now();
    // As it is now: what the locations showed is remembered already.
    let run = daemon.store.point(&verify.backup_id)?;
    let ending = check::checked(verify, &seen, run, planned.deadline, now);
    let (outcome, failure) = (ending.outcome, ending.failure.clone());
    daemon.end(&mut operation, &subject, ending, now)?;
    tracing::debug!(event = "check_recorded", "the check is recorded");
    Ok(answer(outcome, failure, seen.summary(outcome)))
}

/// Reads location after location, and remembers what each one showed before the next is read.
fn check_locations(
    daemon: &Daemon,
    planned: &Planned,
    verify: &Verify,
    run: &Run,
    portion: &Portion,
) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let access = Access::new(
        daemon,
        &run.plan_id,
        &run.kid,
        verify.locations.iter().cloned(),
    );
    let access = match access {
        Ok(access) => access,
        Err(failure) => {
            let all = verify.locations.iter();
            seen.unread = all.map(|id| (id.clone(), failure.clone())).collect();
            return Ok(seen);
        }
    };
    let snapshot = run.snapshot_id.clone().unwrap_or_default();
    for location in &verify.locations {
        if daemon.stop.is_cancelled() {
            let failure = ended_early(daemon);
            seen.unread.insert(location.clone(), failure);
            continue;
        }
        let began = daemon.now();
        let limit = limit(daemon, planned);
        let checked = match findings::read(daemon, &access, location, portion.clone(), limit) {
            Read::Checked(checked) => checked,
            Read::Nothing => {
                seen.absent.insert(location.clone());
                continue;
            }
            Read::Unread(failure) => {
                seen.unread.insert(location.clone(), failure);
                continue;
            }
        };
        let now = daemon.now();
        let (plan_id, kid) = (&run.plan_id, &run.kid);
        let place = Place {
            plan_id,
            kid,
            location,
        };
        let proves = match portion {
            Portion::All => Proves::AllUntil(began),
            Portion::Part { .. } | Portion::Packs(_) => Proves::One(&run.backup_id),
        };
        let mut lesson = findings::learn(daemon, place, &checked, proves, began, now)?;
        if *portion == Portion::All {
            let read = part_read(place, (1, 1), &checked, None, began);
            lesson.changes.push(Change::PartRead(read));
        }
        daemon.store.commit(&lesson.changes, &[])?;
        seen.news.extend(lesson.news);
        if !checked.held.contains(&snapshot) {
            seen.absent.insert(location.clone());
        } else if let Some(why) = checked.broken.get(&snapshot) {
            seen.damaged.insert(location.clone(), why.clone());
        } else {
            tracing::info!(event = "location_checked", %location, packs = checked.packs, "location is sound");
            seen.sound.insert(location.clone());
        }
    }
    Ok(seen)
}

/// Why work that only reads goes on no further.
pub fn ended_early(daemon: &Daemon) -> Failure {
    let help = "run it again when it is needed";
    if daemon.is_ending() {
        Failure::new(code::RUN_INTERRUPTED, "the daemon was asked to end", help)
    } else {
        Failure::new(code::OPERATION_CANCELLED, "a person cancelled it", help)
    }
}

/// A part that was read to its end, in one piece or several. It counts from when it began: what was read first is that old.
fn part_read(
    place: Place<'_>,
    (part, of): (u32, u32),
    checked: &Checked,
    begun: Option<&PartReading>,
    at: Timestamp,
) -> PartRead {
    PartRead {
        plan_id: place.plan_id.clone(),
        kid: place.kid.clone(),
        location_id: place.location.clone(),
        part,
        of,
        at,
        is_sound: checked.is_sound() && begun.is_none_or(|begun| begun.is_sound),
        objects: checked.packs + begun.map_or(0, |begun| begun.objects),
        bytes: checked.bytes + begun.map_or(0, |begun| begun.bytes),
    }
}

/// Reads the part of a repository that is due at one location, or the next piece of it.
pub(super) fn read_part(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    step: &Check,
) -> Result<Done, Failure> {
    let subject = followed.subject(&step.plan_id);
    let mut operation = operation_of(daemon, planned, OperationKind::Verify, &step.kid);
    daemon.begin(&mut operation, &subject, until(planned.deadline))?;
    let place = Place {
        plan_id: &step.plan_id,
        kid: &step.kid,
        location: &step.location,
    };
    let began = daemon.now();
    let (part, of) = (step.part, step.of);
    let reading = Reading {
        portion: Portion::Part { part, of },
        after: step.begun.as_ref().map(|begun| begun.through.clone()),
        within: Some(Duration::from_secs(seconds_until(daemon, step.makes_way))),
    };
    let access = Access::new(daemon, &step.plan_id, &step.kid, [step.location.clone()]);
    let read = match access {
        Ok(access) => {
            let limit = limit(daemon, planned);
            findings::read(daemon, &access, &step.location, reading, limit)
        }
        Err(failure) => Read::Unread(failure),
    };
    let now = daemon.now();
    let mut changes = Vec::new();
    let (outcome, failure, summary) = match read {
        Read::Checked(checked) => {
            let since = step.begun.as_ref().map_or(began, |begun| begun.since);
            let proves = if of == 1 && checked.through.is_none() {
                Proves::AllUntil(since)
            } else {
                Proves::Structure
            };
            let lesson = findings::learn(daemon, place, &checked, proves, began, now)?;
            let read = part_read(place, (part, of), &checked, step.begun.as_ref(), since);
            changes.extend(lesson.changes);
            changes.push(match &checked.through {
                None => Change::PartRead(read),
                Some(through) => Change::PartReading(PartReading {
                    plan_id: read.plan_id,
                    kid: read.kid,
                    location_id: read.location_id,
                    part,
                    of,
                    since,
                    through: through.clone(),
                    is_sound: read.is_sound,
                    objects: read.objects,
                    bytes: read.bytes,
                }),
            });
            told_of_part(step, &checked, lesson.news.first())
        }
        Read::Nothing => {
            let failure = Failure::new(
                code::LOCATION_LAGGING,
                format!("location `{}` does not hold the repository", step.location),
                "the next round copies what it lacks, or records what is lost",
            );
            (Outcome::Failure, Some(failure), String::new())
        }
        Read::Unread(failure) => (Outcome::Failure, Some(failure), String::new()),
    };
    let mut ending = Ending::new(outcome, failure.clone());
    ending.changes = changes;
    ending.say("location", &step.location);
    ending.say("part", format!("{part} of {of}"));
    ending.say("read", &summary);
    daemon.end(&mut operation, &subject, ending, now)?;
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: step.plan_id.clone(),
        backup_id: None,
        outcome,
        failure,
        summary,
    })
}

fn told_of_part(
    step: &Check,
    checked: &Checked,
    news: Option<&String>,
) -> (Outcome, Option<Failure>, String) {
    let what = format!(
        "{} ({}) of part {} of {} at location `{}`",
        count(checked.packs, "pack"),
        bytes(checked.bytes),
        step.part,
        step.of,
        step.location
    );
    match (news, &checked.through) {
        (Some(first), _) => {
            let failure = Failure::new(
                code::CHECK_FAILED,
                format!("the check found damage: {first}"),
                "the next round repairs the location from an intact one; `seawalld catalog` shows the affected recovery points",
            );
            (Outcome::Failure, Some(failure), format!("read {what}"))
        }
        // What was read is sound: making way for a backup is no fault.
        (None, Some(_)) => {
            let summary =
                format!("read {what}; it gave way to a backup, and continues in its next turn");
            (Outcome::Success, None, summary)
        }
        (None, None) => (Outcome::Success, None, format!("read {what}")),
    }
}

/// Records that a check was not done in time: a check of which nobody hears would be missed by nobody.
pub(super) fn record_overdue(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    overdue: &Overdue,
) -> Result<Done, Failure> {
    let failure = Failure::new(
        code::CHECK_OVERDUE,
        format!(
            "location `{}` was not read again since a check was due at {}",
            overdue.location, overdue.since
        ),
        "let `seawalld run` run and the location answer; `seawalld status` shows what keeps it",
    );
    let operation = operation_of(daemon, planned, OperationKind::Verify, &overdue.kid);
    let subject = followed.subject(&overdue.plan_id);
    record(daemon, &subject, planned, operation, failure, Vec::new())
}

/// Records recovery points that are gone, or there again.
pub(super) fn record_points(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    points: &Points,
    are_lost: bool,
) -> Result<Done, Failure> {
    let subject = followed.subject(&points.plan_id);
    let mut last = None;
    for id in &points.backup_ids {
        let run = daemon.store.point(id)?;
        let Some(mut run) = run.filter(|run| run.is_lost() != are_lost) else {
            continue;
        };
        let word = if are_lost { "lost" } else { "found" };
        let operation_id = format!("{word}.{}.{}", run.backup_id, stamp(daemon.now()));
        let operation = Operation {
            operation_id,
            backup_id: Some(run.backup_id.clone()),
            ..operation_of(daemon, planned, OperationKind::Verify, &run.kid)
        };
        let (verification, message, help) = if are_lost {
            (
                Verification::Lost { at: daemon.now() },
                format!(
                    "recovery point `{}` is at no location any more",
                    run.backup_id
                ),
                "find out how it was removed and restore it; a new backup protects the data again",
            )
        } else {
            (
                Verification::Pending,
                format!(
                    "recovery point `{}` is there again and not checked",
                    run.backup_id
                ),
                "nothing has to be done; it is checked in its turn",
            )
        };
        run.verification = verification;
        let failure = Failure::new(code::POINT_LOST, message, help);
        let change = Change::RunChanged(Box::new(run));
        last = Some(record(
            daemon,
            &subject,
            planned,
            operation,
            failure,
            vec![change],
        )?);
    }
    let failure = last.and_then(|done| done.failure).filter(|_| are_lost);
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: points.plan_id.clone(),
        backup_id: points.backup_ids.last().cloned(),
        outcome: if are_lost {
            Outcome::Failure
        } else {
            Outcome::Success
        },
        failure,
        summary: format!(
            "recorded {}",
            count(points.backup_ids.len() as u64, "recovery point")
        ),
    })
}

/// An observation in the form of a check that failed. Nothing happens between its intent and its outcome, so that both are recorded
/// together: a crash between them would leave an operation that can neither be ended as what it is nor begun again.
fn record(
    daemon: &Daemon,
    subject: &Subject,
    planned: &Planned,
    mut operation: Operation,
    failure: Failure,
    changes: Vec<Change>,
) -> Result<Done, Failure> {
    let now = daemon.now();
    let mut ending = Ending::new(Outcome::Failure, Some(failure.clone()));
    ending.changes = changes;
    daemon.record(
        &mut operation,
        subject,
        until(planned.deadline),
        ending,
        now,
    )?;
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: subject.plan_id.clone(),
        backup_id: operation.backup_id,
        outcome: Outcome::Failure,
        failure: Some(failure),
        summary: String::new(),
    })
}

/// Why a location did not catch up.
fn behind(location: &LocationId, state: &LocationState) -> Failure {
    let why = match state {
        LocationState::Lagging {
            missing,
            bytes: size,
            why,
        } => format!(
            "{} ({}) are missing: {why}",
            count(*missing, "object"),
            bytes(*size)
        ),
        LocationState::Quarantined { why } | LocationState::Unknown { why } => why.clone(),
        LocationState::CatchingUp => "objects are still being copied to it".to_owned(),
        LocationState::Absent | LocationState::InSync => "it has no repository".to_owned(),
    };
    Failure::new(
        code::LOCATION_LAGGING,
        format!("location `{location}` did not catch up: {why}"),
        "make room at the location or repair it; the copy is tried again",
    )
}

/// Copies what a location misses, and tells the catalog which points it holds now.
pub(super) fn bring_forward(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    step: &CatchUp,
) -> Result<Done, Failure> {
    let subject = followed.subject(&step.plan_id);
    let mut operation = operation_of(daemon, planned, OperationKind::CatchUp, &step.kid);
    daemon.begin(&mut operation, &subject, until(planned.deadline))?;
    let locations: Vec<LocationId> = followed
        .active
        .model
        .plans
        .get(&step.plan_id)
        .map(|policy| policy.locations.iter().cloned().collect())
        .unwrap_or_default();
    let removed = recover::missing_at(daemon, step, &locations)?;
    let copied = catch_up_child(daemon, planned, step, &locations);
    if let Ok(report) = &copied {
        after_repair(daemon, planned, step, report)?;
    }
    let now = daemon.now();
    let copied = copied.and_then(|report| match report.after.get(&step.location) {
        None | Some(LocationState::InSync) => Ok(report.copied),
        Some(state) => Err(behind(&step.location, state)),
    });
    let (outcome, failure, summary) = match &copied {
        Ok((objects, moved)) => {
            let copied = format!("copied {} ({})", count(*objects, "object"), bytes(*moved));
            // Whoever made room there has to hear that it is taken again.
            let summary = if removed > 0 {
                let points = count(removed, "recovery point");
                format!("{copied}; brought back {points} that the location had lost")
            } else {
                copied
            };
            (Outcome::Success, None, summary)
        }
        Err(failure) => (Outcome::Failure, Some(failure.clone()), String::new()),
    };
    let mut ending = Ending::new(outcome, failure.clone());
    ending.changes = recover::held_now(daemon, &step.plan_id, &step.kid, &locations)?;
    ending.say("location", &step.location);
    if let Ok((objects, moved)) = &copied {
        if removed > 0 {
            ending.say("brought_back", removed);
        }
        ending.say("objects", objects);
        ending.say("bytes", moved);
    }
    daemon.end(&mut operation, &subject, ending, now)?;
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: step.plan_id.clone(),
        backup_id: None,
        outcome,
        failure,
        summary,
    })
}

/// Remembers what was copied over damaged objects, and looks which recovery points can be read whole again at each location.
fn after_repair(
    daemon: &Daemon,
    planned: &Planned,
    step: &CatchUp,
    report: &CatchUpReport,
) -> Result<(), Failure> {
    for (location, objects) in &report.repaired {
        let place = Place {
            plan_id: &step.plan_id,
            kid: &step.kid,
            location,
        };
        let mut changes: Vec<Change> = objects
            .iter()
            .map(|object| findings::repaired(place, object))
            .collect();
        daemon.store.commit(&changes, &[])?;
        let packs = objects
            .iter()
            .filter_map(|path| Object::at(path))
            .filter(|object| object.kind == Kind::Pack)
            .map(|object| object.name)
            .collect();
        let access = Access::new(daemon, &step.plan_id, &step.kid, [location.clone()])?;
        let began = daemon.now();
        let limit = limit(daemon, planned);
        let read = findings::read(daemon, &access, location, Portion::Packs(packs), limit);
        if let Read::Checked(checked) = read {
            let now = daemon.now();
            changes =
                findings::learn(daemon, place, &checked, Proves::Structure, began, now)?.changes;
            daemon.store.commit(&changes, &[])?;
            tracing::info!(event = "objects_repaired", %location, objects = objects.len(), "damaged objects are repaired");
        }
    }
    Ok(())
}

pub(super) fn catch_up_child(
    daemon: &Daemon,
    planned: &Planned,
    step: &CatchUp,
    locations: &[LocationId],
) -> Result<CatchUpReport, Failure> {
    let access = Access::new(daemon, &step.plan_id, &step.kid, locations.iter().cloned())?;
    match daemon.effect(limit(daemon, planned), &Order::CatchUp { access }) {
        Ok(Answer::CatchUp(report)) => Ok(report),
        Ok(_) => Err(execute::confused()),
        Err(NoAnswer::Failed(failure) | NoAnswer::Lost(failure)) => Err(failure),
        Err(NoAnswer::Stopped) => Err(Failure::new(
            code::RUN_INTERRUPTED,
            "the daemon was asked to end while the effect ran",
            "the next round continues",
        )),
    }
}
