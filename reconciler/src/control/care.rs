//! Owns the steps that look after recovery points already taken: reading them again, recording which are gone, and catching a
//! location up. Never takes or forgets a point. The interesting functions are [`check`], [`read_part`] and [`bring_forward`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::code;
use contract::id::{Kid, LocationId};
use contract::receipt::{DecisionType, Phase};
use jiff::Timestamp;

use super::execute::{
    self, Done, Subject, begin, bytes, count, describe_point, ended, late, limit, result,
    seconds_until, slot_operation, slot_receipt,
};
use super::findings::{self, Place, Proves, Read};
use super::policy::Followed;
use super::recover;
use super::{Daemon, source};
use crate::domain::{Execution, ExecutionKind, Outcome, PartRead, PartReading, Run, Verification};
use crate::failure::Failure;
use crate::plan::{CatchUp, Check, Overdue, Planned, Points, Verify, stamp};
use crate::store::Change;
use crate::worker::Access;
use crate::worker::protocol::{Answer, CatchUpReport, Order};
use crate::worker::supervisor::NoAnswer;
use crate::world::vault::{Checked, Kind, LocationState, Object, Portion, Reading};

/// A receipt has room for this much about each location.
const DETAIL: usize = 400;

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
    let Some(run) = point(daemon, verify)? else {
        let failure = Failure::new(
            code::PRECONDITION_FAILED,
            format!("the catalog has no recovery point `{}`", verify.backup_id),
            "nothing was done; the next round plans again",
        );
        return Ok(answer(Outcome::Failure, Some(failure), String::new()));
    };
    let subject = Subject::of_point(followed, &verify.plan_id, &run.dataset_ids);
    let execution = of_care(daemon, planned, ExecutionKind::Verify, &run.kid);
    let execution = Execution {
        backup_id: Some(verify.backup_id.clone()),
        ..execution
    };
    begin(daemon, &subject, ExecutionKind::Verify, execution)?;
    let seen = check_locations(daemon, planned, verify, &run, portion)?;
    conclude(daemon, &subject, planned, verify, seen)
        .map(|(outcome, failure, summary)| answer(outcome, failure, summary))
}

fn point(daemon: &Daemon, verify: &Verify) -> Result<Option<Run>, Failure> {
    Ok(daemon.store.point(&verify.backup_id)?)
}

fn of_care(daemon: &Daemon, planned: &Planned, kind: ExecutionKind, kid: &Kid) -> Execution {
    Execution {
        operation_id: planned.operation_id.clone(),
        kind,
        plan_id: planned.step.plan_id().clone(),
        dataset_ids: BTreeSet::new(),
        backup_id: None,
        slot: None,
        backup_type: None,
        restores: None,
        kid: kid.clone(),
        started_at: daemon.now(),
        deadline: planned.deadline,
        epoch: daemon.store.epoch(),
        outcome: None,
        ended_at: None,
        error: None,
    }
}

/// What a recovery point is at each location.
#[derive(Debug, Default)]
struct Seen {
    sound: BTreeSet<LocationId>,
    damaged: BTreeMap<LocationId, String>,
    absent: BTreeSet<LocationId>,
    unread: BTreeMap<LocationId, Failure>,
    /// Damage that nobody knew of, the point's own and other.
    news: Vec<String>,
}

impl Seen {
    /// One word for each location, for receipts and people.
    fn told(&self) -> BTreeMap<&LocationId, String> {
        let sound = self.sound.iter().map(|id| (id, "sound".to_owned()));
        let absent = self
            .absent
            .iter()
            .map(|id| (id, "does not hold it".to_owned()));
        let damaged = self
            .damaged
            .iter()
            .map(|(id, why)| (id, format!("damaged: {why}")));
        let unread = self
            .unread
            .iter()
            .map(|(id, why)| (id, format!("not read: {} {}", why.code, why.message)));
        sound.chain(absent).chain(damaged).chain(unread).collect()
    }
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
            tracing::info!(%location, packs = checked.packs, "location is sound");
            seen.sound.insert(location.clone());
        }
    }
    Ok(seen)
}

/// Why work that only reads goes on no further.
pub fn ended_early(daemon: &Daemon) -> Failure {
    let help = "run it again when it is wanted";
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

type Conclusion = (Outcome, Option<Failure>, String);

/// Damage is a failure, wherever it is; a location that was not read, or does not hold the point, makes it partial; a point
/// that every location lacks is lost.
fn judge(verify: &Verify, seen: &Seen) -> (Outcome, Option<Failure>) {
    let id = &verify.backup_id;
    let told = |outcome, code, message: String, help: &str| {
        (outcome, Some(Failure::new(code, message, help)))
    };
    if let Some((location, why)) = seen.damaged.first_key_value() {
        let message = format!("recovery point `{id}` is damaged: location `{location}`: {why}");
        let help = "restore from another location or point; `seawalld once` repairs the location from a sound one, and a new backup stores again what no location has";
        return told(Outcome::Failure, code::CHECK_FAILED, message, help);
    }
    if let Some(first) = seen.news.first() {
        let help = "`seawalld once` repairs the location from a sound one; `seawalld catalog` shows which recovery points suffer";
        let message = format!("the check found damage: {first}");
        return told(Outcome::Failure, code::CHECK_FAILED, message, help);
    }
    if seen.sound.len() >= verify.enough {
        return (Outcome::Success, None);
    }
    if seen.sound.is_empty() && seen.unread.is_empty() {
        let message = format!("recovery point `{id}` is at no location any more");
        let help = "find out who removed it and bring it back, or restore another point; a new backup protects the data again";
        return told(Outcome::Failure, code::POINT_LOST, message, help);
    }
    let missing: Vec<String> = seen
        .told()
        .into_iter()
        .filter(|(location, _)| !seen.sound.contains(*location))
        .map(|(location, what)| format!("location `{location}` {what}"))
        .collect();
    let outcome = if seen.sound.is_empty() {
        Outcome::Failure
    } else {
        Outcome::Partial
    };
    let message = format!(
        "recovery point `{id}` was checked at {} of {}: {}",
        seen.sound.len(),
        count(verify.locations.len() as u64, "location"),
        missing.join("; ")
    );
    let help = "repair the locations that are named, let them catch up, and verify again";
    told(outcome, code::CHECK_INCOMPLETE, message, help)
}

fn conclude(
    daemon: &Daemon,
    subject: &Subject,
    planned: &Planned,
    verify: &Verify,
    seen: Seen,
) -> Result<Conclusion, Failure> {
    let now = daemon.now();
    let (outcome, failure) = judge(verify, &seen);
    let summary = match outcome {
        Outcome::Success => format!("checked at {}", count(seen.sound.len() as u64, "location")),
        Outcome::Partial | Outcome::Failure | Outcome::Unknown => "check is no success".to_owned(),
    };
    let mut changes = vec![Change::ExecutionEnded {
        operation_id: planned.operation_id.clone(),
        outcome,
        error: failure.as_ref().map(|failure| failure.code.to_string()),
        at: now,
    }];
    let mut draft = subject.draft(
        DecisionType::Verification,
        Phase::Outcome,
        &planned.operation_id,
    );
    if let Some(mut run) = point(daemon, verify)? {
        describe_point(&mut draft, &run);
        let is_lost = failure
            .as_ref()
            .is_some_and(|failure| failure.code == code::POINT_LOST);
        if is_lost && !run.is_lost() && covers(verify, &run) {
            run.verification = Verification::Lost { at: now };
            changes.push(Change::RunChanged(Box::new(run)));
        }
    }
    draft.result = Some(result(outcome));
    draft.error = failure.as_ref().map(Failure::note);
    for (location, what) in seen.told() {
        draft.details.insert(
            format!("location_{location}"),
            what.chars().take(DETAIL).collect(),
        );
    }
    let mut drafts = vec![draft];
    if let Some(slot) = verify.ends_slot {
        // Whatever else was found: the slot has its point where enough locations hold it sound.
        let missing = failure.clone().filter(|_| seen.sound.len() < verify.enough);
        let mut run = point(daemon, verify)?;
        if let Some(run) = run
            .as_mut()
            .filter(|run| !run.overran && now > planned.deadline)
        {
            run.overran = true;
            changes.push(Change::RunChanged(Box::new(run.clone())));
        }
        // A point of a source in doubt ends its slot, and not well.
        let in_doubt = run.as_ref().and_then(source::failure_of);
        let failure = missing.or(in_doubt);
        let late = run.as_ref().and_then(late);
        let slot = (&verify.plan_id, slot, &verify.backup_id);
        let record = ended(slot, failure.as_ref(), late, now);
        let id = slot_operation(&verify.plan_id, record.first);
        drafts.push(slot_receipt(subject, &id, &record, failure.as_ref()));
        changes.push(Change::SlotEnded(record));
    }
    daemon.commit(&changes, drafts, now)?;
    tracing::info!(point = "checked", "the check is recorded");
    Ok((outcome, failure, summary))
}

/// Whether the check read every location that the catalog names: only then is a point lost that it did not find.
fn covers(verify: &Verify, run: &Run) -> bool {
    run.storage_locations
        .keys()
        .all(|location| verify.locations.contains(location))
}

/// Reads the part of a repository that is due at one location, or the next piece of it.
pub(super) fn read_part(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    step: &Check,
) -> Result<Done, Failure> {
    let subject = Subject::of(followed, &step.plan_id);
    let execution = of_care(daemon, planned, ExecutionKind::Verify, &step.kid);
    begin(daemon, &subject, ExecutionKind::Verify, execution)?;
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
    changes.push(Change::ExecutionEnded {
        operation_id: planned.operation_id.clone(),
        outcome,
        error: failure.as_ref().map(|failure| failure.code.to_string()),
        at: now,
    });
    let mut draft = subject.draft(
        DecisionType::Verification,
        Phase::Outcome,
        &planned.operation_id,
    );
    draft.result = Some(result(outcome));
    draft.error = failure.as_ref().map(Failure::note);
    let details = [
        ("location", step.location.to_string()),
        ("part", format!("{part} of {of}")),
        ("read", summary.clone()),
    ];
    for (name, value) in details {
        draft.details.insert(name.to_owned(), value);
    }
    daemon.commit(&changes, vec![draft], now)?;
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

fn told_of_part(step: &Check, checked: &Checked, news: Option<&String>) -> Conclusion {
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
                "the next round repairs the location from a sound one; `seawalld catalog` shows which recovery points suffer",
            );
            (Outcome::Failure, Some(failure), format!("read {what}"))
        }
        // What was read is sound: making way for a backup is no fault.
        (None, Some(_)) => {
            let summary = format!("read {what}; it made way, and goes on in its next turn");
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
    let execution = of_care(daemon, planned, ExecutionKind::Verify, &overdue.kid);
    let subject = Subject::of(followed, &overdue.plan_id);
    record(daemon, &subject, planned, execution, failure, Vec::new())
}

/// Records recovery points that are gone, or there again.
pub(super) fn record_points(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    points: &Points,
    are_lost: bool,
) -> Result<Done, Failure> {
    let subject = Subject::of(followed, &points.plan_id);
    let mut last = None;
    for id in &points.backup_ids {
        let run = daemon.store.point(id)?;
        let Some(mut run) = run.filter(|run| run.is_lost() != are_lost) else {
            continue;
        };
        let word = if are_lost { "lost" } else { "found" };
        let operation_id = format!("{word}.{}.{}", run.backup_id, stamp(daemon.now()));
        let execution = Execution {
            operation_id,
            backup_id: Some(run.backup_id.clone()),
            ..of_care(daemon, planned, ExecutionKind::Verify, &run.kid)
        };
        let (verification, message, help) = if are_lost {
            (
                Verification::Lost { at: daemon.now() },
                format!(
                    "recovery point `{}` is at no location any more",
                    run.backup_id
                ),
                "find out who removed it and bring it back; a new backup protects the data again",
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
            execution,
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

/// An observation in the form of a check that failed: an intent, and its outcome in the transaction of what it changes.
fn record(
    daemon: &Daemon,
    subject: &Subject,
    planned: &Planned,
    execution: Execution,
    failure: Failure,
    mut changes: Vec<Change>,
) -> Result<Done, Failure> {
    let now = daemon.now();
    let (id, backup_id) = (execution.operation_id.clone(), execution.backup_id.clone());
    begin(daemon, subject, ExecutionKind::Verify, execution)?;
    let mut draft = subject.draft(DecisionType::Verification, Phase::Outcome, &id);
    draft.backup_id.clone_from(&backup_id);
    draft.result = Some(result(Outcome::Failure));
    draft.error = Some(failure.note());
    changes.push(Change::ExecutionEnded {
        operation_id: id,
        outcome: Outcome::Failure,
        error: Some(failure.code.to_string()),
        at: now,
    });
    daemon.commit(&changes, vec![draft], now)?;
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: subject.plan_id.clone(),
        backup_id,
        outcome: Outcome::Failure,
        failure: Some(failure),
        summary: String::new(),
    })
}

/// Copies what a location misses, and tells the catalog which points it holds now.
pub(super) fn bring_forward(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    step: &CatchUp,
) -> Result<Done, Failure> {
    let subject = Subject::of(followed, &step.plan_id);
    let execution = of_care(daemon, planned, ExecutionKind::CatchUp, &step.kid);
    begin(daemon, &subject, ExecutionKind::CatchUp, execution)?;
    let locations: Vec<LocationId> = followed
        .active
        .model
        .plans
        .get(&step.plan_id)
        .map(|policy| policy.locations.iter().cloned().collect())
        .unwrap_or_default();
    let copied = catch_up_child(daemon, planned, step, &locations);
    if let Ok(report) = &copied {
        after_repair(daemon, planned, step, report)?;
    }
    let now = daemon.now();
    let copied = copied.and_then(|report| match report.after.get(&step.location) {
        None | Some(LocationState::InSync) => Ok(report.copied),
        Some(state) => Err(Failure::new(
            code::LOCATION_LAGGING,
            format!("location `{}` did not catch up: {state:?}", step.location),
            "repair the location; the next round tries again",
        )),
    });
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
            tracing::info!(%location, objects = objects.len(), "damaged objects are repaired");
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
            "the next round goes on",
        )),
    }
}
