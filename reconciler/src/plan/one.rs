//! Owns the steps of one plan: what happens to its open slots, its unchecked points and its lagging copies. Never orders
//! the steps of different plans. The interesting function is [`plan_one`].

use contract::calendar::{Calendar, offset};
use contract::code;
use contract::duration::Seconds;
use contract::id::BackupId;
use contract::model::{BackupPlan, CatchUp as CatchUpRule};
use jiff::{SignedDuration, Timestamp};

use super::slots::{self, Open};
use super::{
    ActivePolicy, Backup, CatchUp, Forget, Missed, Planned, Stall, Step, Verify, Wait, checks,
    points,
};
use crate::domain::{
    BackupType, CopyState, Observation, Operation, OperationKind, Outcome, PlanObserved, Run, State,
};
use crate::doubt::Clock;

/// Steps are executed by rank, then by when they were due: records first, then what a quorum needs, then recovery points,
/// because they are what is lost for good, then everything that can be made up for later.
const RANK_RECORD: u8 = 0;
const RANK_QUORUM: u8 = 1;
const RANK_BACKUP: u8 = 2;
const RANK_VERIFY: u8 = 3;
const RANK_CATCH_UP: u8 = 4;
const RANK_PRUNE: u8 = 5;

/// What one plan adds to the round.
#[derive(Debug, Default)]
pub(super) struct Mine {
    pub(super) steps: Vec<(u8, Timestamp, Planned)>,
    pub(super) waits: Vec<Wait>,
    pub(super) stalled: Vec<Stall>,
    pub(super) would_forget: Vec<Forget>,
}

struct Context<'a> {
    active: &'a ActivePolicy,
    policy: &'a BackupPlan,
    seen: &'a PlanObserved,
    calendar: &'a Calendar,
    makes_way: Timestamp,
    now: Timestamp,
}

/// Everything that one plan needs now.
pub(super) fn plan_one(
    active: &ActivePolicy,
    policy: &BackupPlan,
    seen: &PlanObserved,
    makes_way: Timestamp,
    now: Timestamp,
) -> Mine {
    let mut mine = Mine::default();
    if !seen.unbound.is_empty() {
        let lacks: Vec<String> = seen.unbound.iter().map(ToString::to_string).collect();
        let weak = seen
            .unbound
            .iter()
            .all(|lack| matches!(lack, crate::domain::Lack::Capability(..)));
        let (code, what) = if weak {
            (code::CONNECTOR_TOO_WEAK, "too weak for the policy")
        } else {
            (code::PLAN_UNBOUND, "not bound")
        };
        mine.stall(policy, code, format!("{what}: {}", lacks.join(", ")));
        return mine;
    }
    let calendar = match policy.backup_frequency.calendar(&active.zones) {
        Ok(calendar) => calendar,
        Err(error) => {
            mine.stall(policy, code::SCHEDULE_UNREADABLE, error.to_string());
            return mine;
        }
    };
    let context = Context {
        active,
        policy,
        seen,
        calendar: &calendar,
        makes_way,
        now,
    };
    point_steps(&context, &mut mine);
    catch_up_steps(&context, &mut mine);
    let maintenance = check_steps(&context, &mut mine);
    if policy.backup_frequency.continuous.is_some() {
        let why = "its schedule is continuous, and no bound connector archives continuously";
        mine.stall(policy, code::CONTINUOUS_UNSUPPORTED, why.to_owned());
        return mine;
    }
    match active.clock {
        Clock::Ahead { .. } => steps_in_doubt(&context, &mut mine),
        Clock::Plausible | Clock::Behind { .. } => slot_steps(&context, &mut mine),
    }
    // After the slot's own wait, which says when the plan runs next.
    if let Some(next) = maintenance {
        let on = "a maintenance window, for a check".to_owned();
        mine.wait(policy, on, None, Some(next));
    }
    retention_steps(&context, &mut mine);
    mine
}

impl Mine {
    fn stall(&mut self, policy: &BackupPlan, code: code::Code, why: String) {
        self.stalled.push(Stall {
            plan_id: policy.plan_id.clone(),
            code,
            why,
        });
    }

    fn wait(
        &mut self,
        policy: &BackupPlan,
        on: String,
        code: Option<code::Code>,
        until: Option<Timestamp>,
    ) {
        self.waits.push(Wait {
            plan_id: policy.plan_id.clone(),
            on,
            code,
            until,
        });
    }
}

/// What retention lets go is marked at once and deleted last: room can be made up for later.
fn retention_steps(context: &Context<'_>, mine: &mut Mine) {
    let Context {
        active,
        policy,
        seen,
        calendar,
        now,
        ..
    } = *context;
    let judged = super::retention::judge(active, policy, seen, calendar, now);
    for planned in judged.steps(active, policy, seen, now) {
        let rank = if planned.step.is_record() {
            RANK_RECORD
        } else {
            RANK_PRUNE
        };
        mine.steps.push((rank, now, planned));
    }
    mine.would_forget = judged.would_forget(policy);
}

/// While the clock is in doubt no slot ends, because that could not be taken back. What it would do for its newest slot, the plan
/// does without one: once a slot, so that a source that fails is not asked in every round.
fn steps_in_doubt(context: &Context<'_>, mine: &mut Mine) {
    let Context { policy, seen, .. } = *context;
    let on = "an operator to confirm the clock".to_owned();
    mine.wait(policy, on, Some(code::CLOCK_WRONG), None);
    if backups_open(seen).next().is_none() {
        point_without_slot(context, "the clock is not trusted", mine);
    }
}

/// A recovery point that ends no slot: one for each slot of the plan, whatever became of it.
fn point_without_slot(context: &Context<'_>, why: &str, mine: &mut Mine) {
    let Context {
        policy, seen, now, ..
    } = *context;
    let Some(slot) = context.calendar.slot_at_or_before(now) else {
        return;
    };
    if held_back(context).is_some() {
        return;
    }
    let served = |run: &Run| slot <= run.started_at && run.started_at <= now;
    // One whose outcome is unknown may have left its point, too.
    let tried = |open: &Operation| open.slot.is_none() && open.started_at >= slot;
    if seen.runs.iter().any(served) || backups_open(seen).any(tried) {
        return;
    }
    let deadline = after(now, policy.backup_frequency.completion_window_s);
    match super::operator_backup(policy, &policy.dataset_ids, seen, now, deadline) {
        Ok(planned) => {
            let reason = format!("{why}: a recovery point without its slot");
            let planned = Planned { reason, ..planned };
            mine.steps.push((RANK_BACKUP, now, planned));
        }
        Err(error) => mine.stall(policy, code::SCHEDULE_UNREADABLE, error.to_string()),
    }
}

/// Older open slots are recorded, the newest is run, waited for or recorded.
fn slot_steps(context: &Context<'_>, mine: &mut Mine) {
    let Context {
        policy, seen, now, ..
    } = *context;
    let next = context.calendar.next_after(now);
    let Some(open) = slots::open(context.calendar, seen.since, seen.ended_through, now) else {
        let until = next.map(|slot| after(slot, start_offset(policy)));
        mine.wait(policy, "the next slot".to_owned(), None, until);
        return;
    };
    // An operation whose outcome nobody knows may have served its slot: that slot and the ones after it are left alone.
    let unknown = seen
        .open
        .iter()
        .filter_map(|operation| operation.slot)
        .min();
    let mut run_of_missed: Vec<Timestamp> = Vec::new();
    for slot in &open.older {
        if unknown.is_some_and(|unknown| *slot >= unknown) {
            break;
        }
        if let Some(point) = point_of_slot(seen, *slot) {
            record_missed(policy, now, &mut run_of_missed, mine);
            end_by_check(context, point, *slot, mine);
        } else {
            run_of_missed.push(*slot);
        }
    }
    if unknown.is_some() {
        record_missed(policy, now, &mut run_of_missed, mine);
        let on = "the outcome of the run that has begun".to_owned();
        mine.wait(policy, on, Some(code::OUTCOME_UNKNOWN), None);
        // The location that could tell may be away for days. The slot waits for it, the data need not.
        if all_lost(seen) && answering(policy, seen) && key_is_valid(context, mine) {
            point_without_slot(context, "the outcome of a run is unknown", mine);
        }
        return;
    }
    newest_slot(context, &open, run_of_missed, mine);
}

/// Checks and restores read, and stand in no backup's way.
fn backups_open(seen: &PlanObserved) -> impl Iterator<Item = &Operation> {
    let open = seen.open.iter();
    open.filter(|operation| operation.kind == OperationKind::Backup)
}

/// Whether no backup runs, and what began before was probed in vain.
fn all_lost(seen: &PlanObserved) -> bool {
    backups_open(seen).all(|operation| operation.state == State::Ended(Outcome::Unknown))
}

/// Whether as many locations as a run needs hold all that can be seen. One that holds nothing yet does not count: its
/// repository may be another one than that of the location that is away.
fn answering(policy: &BackupPlan, seen: &PlanObserved) -> bool {
    let in_sync = policy.locations.iter().filter(|location| {
        matches!(
            seen.copies.get(*location),
            Some(Observation::Known {
                value: CopyState::InSync,
                ..
            })
        )
    });
    in_sync.count() as u64 >= u64::from(policy.redundancy_profile.commit.max(1))
}

fn newest_slot(
    context: &Context<'_>,
    open: &Open,
    mut run_of_missed: Vec<Timestamp>,
    mine: &mut Mine,
) {
    let Context {
        policy, seen, now, ..
    } = *context;
    let schedule = &policy.backup_frequency;
    let slot = open.newest;
    if let Some(point) = point_of_slot(seen, slot) {
        record_missed(policy, now, &mut run_of_missed, mine);
        end_by_check(context, point, slot, mine);
        return;
    }
    let due = after(slot, start_offset(policy));
    let in_time = now <= after(slot, schedule.start_window_s);
    let runs = if open.is_first {
        Some("its first slot is due immediately")
    } else if now < due {
        record_missed(policy, now, &mut run_of_missed, mine);
        mine.wait(policy, "the start of its slot".to_owned(), None, Some(due));
        return;
    } else if in_time {
        Some("its slot is due")
    } else {
        match schedule.catch_up {
            CatchUpRule::Latest => Some("its latest slot was missed and runs late"),
            CatchUpRule::None => None,
        }
    };
    match runs {
        None => {
            run_of_missed.push(slot);
            record_missed(policy, now, &mut run_of_missed, mine);
        }
        Some(_) if let Some((why, code, until)) = held_back(context) => {
            record_missed(policy, now, &mut run_of_missed, mine);
            key_is_valid(context, mine);
            mine.wait(policy, why, code, Some(until));
        }
        Some(reason) => {
            record_missed(policy, now, &mut run_of_missed, mine);
            // A late run gets the whole window from now: its slot's own window may be over already.
            let from = if in_time { slot } else { now };
            let deadline = after(from, schedule.completion_window_s);
            backup_step(context, slot, due, deadline, reason, mine);
        }
    }
}

/// Why no scheduled backup begins now, and until when: policy froze the plane, or a person suspended the plan.
fn held_back(context: &Context<'_>) -> Option<(String, Option<code::Code>, Timestamp)> {
    let Context {
        active,
        policy,
        seen,
        now,
        ..
    } = *context;
    if let Some(suspension) = &seen.suspended {
        let why = format!(
            "the end of its suspension by {}: {}",
            suspension.actor, suspension.reason
        );
        return Some((why, Some(code::PLAN_SUSPENDED), suspension.until));
    }
    let window = super::freeze(&active.model, policy, now)?;
    let why = format!("the end of a freeze window: {}", window.reason);
    Some((why, None, window.to))
}

fn backup_step(
    context: &Context<'_>,
    slot: Timestamp,
    due: Timestamp,
    deadline: Timestamp,
    reason: &str,
    mine: &mut Mine,
) {
    let Context { policy, seen, .. } = *context;
    if !key_is_valid(context, mine) {
        return;
    }
    let id = match slots::backup_id(&policy.plan_id, slot) {
        Ok(id) => id,
        Err(error) => {
            mine.stall(policy, code::SCHEDULE_UNREADABLE, error.to_string());
            return;
        }
    };
    let attempt = attempt(seen, &id);
    let backup_type = backup_type(context, slot);
    let step = backup_of(policy, id, Some(slot), due, backup_type);
    mine.steps.push((
        RANK_BACKUP,
        due,
        Planned {
            operation_id: format!("backup.{}.{attempt}", step.backup_id),
            reason: format!("{reason}: slot {}", context.calendar.written(slot)),
            step: Step::Backup(step),
            deadline,
            stall_limit: stall_limit(policy, seen),
        },
    ));
}

/// A run that is ended when its window is over has protected nothing, and the next one meets the same. So the first run of a
/// repository, and any after one that did not fit its window, goes on for as long as it makes progress; without any it gets as
/// long as the window is.
pub(super) fn stall_limit(policy: &BackupPlan, seen: &PlanObserved) -> Option<Seconds> {
    let is_first = !seen
        .points()
        .any(|run| run.kid == policy.encryption_key_ref);
    let overran = seen.runs.last().is_some_and(|run| run.overran);
    (is_first || overran).then_some(policy.backup_frequency.completion_window_s)
}

/// Whether the plan's key may encrypt; one that may not stalls the plan.
fn key_is_valid(context: &Context<'_>, mine: &mut Mine) -> bool {
    let Context {
        active,
        policy,
        now,
        ..
    } = *context;
    let kid = &policy.encryption_key_ref;
    let key = active.model.settings.keys.get(kid);
    let is_valid = key.is_some_and(|key| now < key.not_after);
    if !is_valid {
        let why = format!("key `{kid}` is past its `not_after`");
        mine.stall(policy, code::KEY_EXPIRED, why);
    }
    is_valid
}

/// A backup of the plan as policy wants it.
pub(super) fn backup_of(
    policy: &BackupPlan,
    backup_id: BackupId,
    slot: Option<Timestamp>,
    due: Timestamp,
    backup_type: BackupType,
) -> Backup {
    Backup {
        plan_id: policy.plan_id.clone(),
        backup_id,
        slot,
        due,
        dataset_ids: policy.dataset_ids.clone(),
        backup_type,
        locations: policy.locations.clone(),
        commit: policy.redundancy_profile.commit,
        kid: policy.encryption_key_ref.clone(),
        compression: policy.compression,
        parallel_jobs: policy.parallel_jobs,
        // A plan that says nothing asks for no second try.
        retries: policy.retries.unwrap_or(0),
        bandwidth: policy.bandwidth_bytes_per_second,
        checksum_required: policy.verification.checksum_required,
        before_restore: false,
    }
}

/// A run is full when nothing in the key's repository can carry it, and when the full schedule has a slot since the last
/// full one.
fn backup_type(context: &Context<'_>, slot: Timestamp) -> BackupType {
    let policy = context.policy;
    let mut in_repository = context
        .seen
        .points()
        .filter(|run| run.kid == policy.encryption_key_ref);
    if in_repository.clone().next().is_none() {
        return BackupType::Full;
    }
    // A full run of a time that has not come says nothing about when the next is due.
    let last_full = in_repository
        .rfind(|run| run.backup_type == BackupType::Full && run.instant() <= context.now);
    let full = policy
        .full_frequency
        .as_ref()
        .and_then(|schedule| schedule.calendar(&context.active.zones).ok())
        .and_then(|calendar| calendar.slot_at_or_before(slot));
    match (full, last_full) {
        (Some(full), Some(last)) if last.instant() < full => BackupType::Full,
        (Some(_), None) => BackupType::Full,
        (Some(_) | None, Some(_)) | (None, None) => BackupType::Incremental,
    }
}

fn record_missed(
    policy: &BackupPlan,
    now: Timestamp,
    missed: &mut Vec<Timestamp>,
    mine: &mut Mine,
) {
    let Some(range) = slots::range(missed) else {
        return;
    };
    missed.clear();
    mine.steps.push((
        RANK_RECORD,
        range.first,
        Planned {
            operation_id: format!(
                "record_missed.{}.{}",
                policy.plan_id,
                slots::stamp(range.first)
            ),
            reason: match range.count {
                1 => "1 slot passed without a run".to_owned(),
                count => format!("{count} slots passed without a run"),
            },
            step: Step::RecordMissed(Missed {
                plan_id: policy.plan_id.clone(),
                first: range.first,
                last: range.last,
                count: range.count,
            }),
            deadline: now,
            stall_limit: None,
        },
    ));
}

fn point_of_slot(seen: &PlanObserved, slot: Timestamp) -> Option<&Run> {
    seen.points().find(|run| run.slot == Some(slot))
}

/// The run committed its point, and the process ended before the slot did: the check that is left ends it. Its rank is that
/// of records, because later slots of the plan wait for it.
fn end_by_check(context: &Context<'_>, point: &Run, slot: Timestamp, mine: &mut Mine) {
    let policy = context.policy;
    let commit = usize::try_from(policy.redundancy_profile.commit).unwrap_or(usize::MAX);
    let planned = Planned {
        operation_id: format!("verify.{}.{}", point.backup_id, slots::stamp(context.now)),
        reason: "its slot waits for the check of its recovery point".to_owned(),
        step: Step::Verify(Verify {
            plan_id: policy.plan_id.clone(),
            backup_id: point.backup_id.clone(),
            ends_slot: Some(slot),
            locations: point.storage_locations.keys().cloned().collect(),
            enough: commit.max(1),
        }),
        deadline: after(context.now, policy.backup_frequency.completion_window_s),
        stall_limit: stall_limit(policy, context.seen),
    };
    mine.steps.push((RANK_RECORD, slot, planned));
}

/// Reading again what is stored already: the parts that are due, and points that nobody has checked yet.
/// Returns the maintenance window that a check waits for.
fn check_steps(context: &Context<'_>, mine: &mut Mine) -> Option<Timestamp> {
    let Context {
        active,
        policy,
        seen,
        makes_way,
        now,
        ..
    } = *context;
    let found = checks::checks(active, policy, seen, makes_way, now);
    let records = found.overdue.into_iter().map(|due| (RANK_RECORD, due));
    let reads = found.steps.into_iter().map(|due| (RANK_VERIFY, due));
    for (rank, (due, planned)) in records.chain(reads) {
        mine.steps.push((rank, due, planned));
    }
    if let Some(late) = found.late {
        mine.stall(policy, code::CHECK_OVERDUE, late);
    }
    found.waits
}

/// What became of recovery points.
fn point_steps(context: &Context<'_>, mine: &mut Mine) {
    let Context {
        policy, seen, now, ..
    } = *context;
    for planned in points::steps(policy, seen, now) {
        mine.steps.push((RANK_RECORD, now, planned));
    }
    for (code, why) in points::stalls(policy, seen) {
        mine.stall(policy, code, why);
    }
}

/// When the plan's next backup starts, if its schedule has slots.
pub(super) fn next_start(
    active: &ActivePolicy,
    policy: &BackupPlan,
    now: Timestamp,
) -> Option<Timestamp> {
    let calendar = policy.backup_frequency.calendar(&active.zones).ok()?;
    let begun = calendar
        .slot_at_or_before(now)
        .map(|slot| after(slot, start_offset(policy)))
        .filter(|start| *start > now);
    let next = || {
        calendar
            .next_after(now)
            .map(|slot| after(slot, start_offset(policy)))
    };
    begun.or_else(next)
}

fn catch_up_steps(context: &Context<'_>, mine: &mut Mine) {
    let Context {
        policy, seen, now, ..
    } = *context;
    let in_sync = seen
        .copies
        .values()
        .filter(|state| {
            matches!(
                state,
                Observation::Known {
                    value: CopyState::InSync,
                    ..
                } | Observation::Absent { .. }
            )
        })
        .count();
    let commit = usize::try_from(policy.redundancy_profile.commit).unwrap_or(usize::MAX);
    let rank = if in_sync < commit {
        RANK_QUORUM
    } else {
        RANK_CATCH_UP
    };
    for location in seen.lagging() {
        let deadline = after(now, policy.redundancy_profile.copy_within_s);
        mine.steps.push((
            rank,
            now,
            Planned {
                operation_id: format!(
                    "catch_up.{}.{location}.{}",
                    policy.plan_id,
                    slots::stamp(now)
                ),
                reason: if seen.is_damaged_at(location, &policy.encryption_key_ref) {
                    format!("location `{location}` holds damaged objects that others hold sound")
                } else {
                    "it misses objects that other locations hold".to_owned()
                },
                step: Step::CatchUp(CatchUp {
                    plan_id: policy.plan_id.clone(),
                    location: location.clone(),
                    kid: policy.encryption_key_ref.clone(),
                }),
                deadline,
                stall_limit: None,
            },
        ));
    }
}

fn attempt(seen: &PlanObserved, id: &BackupId) -> u32 {
    seen.attempts
        .get(id)
        .copied()
        .unwrap_or(0)
        .saturating_add(1)
}

fn start_offset(policy: &BackupPlan) -> Seconds {
    offset(policy.plan_id.as_str(), policy.backup_frequency.jitter_s)
}

/// An instant and a length; the end of time where the calendar ends.
pub fn after(at: Timestamp, length: Seconds) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(length.signed()))
        .unwrap_or(Timestamp::MAX)
}
