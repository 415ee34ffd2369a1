//! Owns which slots of one plan are open, and how slots become ids. Never decides what to do with an open slot.
//! The interesting function is [`open`].

use contract::calendar::Calendar;
use contract::id::{BackupId, InvalidId, PlanId};
use jiff::Timestamp;

/// A run of slots, each without a terminal record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
}

/// Slots that have begun and have no terminal record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// Older slots, oldest first.
    pub(super) older: Vec<Timestamp>,
    /// The newest slot that has begun.
    pub(super) newest: Timestamp,
    /// Whether the newest is the plan's very first slot, which is due at once.
    pub(super) is_first: bool,
}

/// The slot that a plan's slots begin with: the last at or before the acceptance of the bundle that brought or changed it; where
/// the calendar begins later, its first.
pub fn first_slot(calendar: &Calendar, since: Timestamp) -> Option<Timestamp> {
    calendar
        .slot_at_or_before(since)
        .or_else(|| calendar.next_after(since))
}

/// The open slots at an instant; none when every slot that has begun has its record.
pub(super) fn open(
    calendar: &Calendar,
    since: Timestamp,
    ended_through: Option<Timestamp>,
    now: Timestamp,
) -> Option<Open> {
    let (start, begins) = next_open(calendar, since, ended_through)?;
    let newest = calendar.slot_at_or_before(now)?;
    if newest < start {
        return None;
    }
    Some(Open {
        older: calendar.slots(start, newest).collect(),
        newest,
        is_first: begins && newest == start,
    })
}

/// The slot that ends next, and whether the plan's slots begin with it. Records of slots before that are of another schedule.
fn next_open(
    calendar: &Calendar,
    since: Timestamp,
    ended_through: Option<Timestamp>,
) -> Option<(Timestamp, bool)> {
    let first = first_slot(calendar, since)?;
    match ended_through {
        Some(ended) if ended >= first => Some((calendar.next_after(ended)?, false)),
        Some(_) | None => Some((first, true)),
    }
}

/// Joins neighbours into runs, broken wherever `keep` takes a slot out.
pub(super) fn range(slots: &[Timestamp]) -> Option<Range> {
    let (first, last) = (slots.first()?, slots.last()?);
    Some(Range {
        first: *first,
        last: *last,
        count: u64::try_from(slots.len()).unwrap_or(u64::MAX),
    })
}

/// An instant as ids carry it: `20261025T003000Z`.
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The id of a slot's recovery point.
pub fn backup_id(plan: &PlanId, slot: Timestamp) -> Result<BackupId, InvalidId> {
    format!("{plan}.{}", stamp(slot)).parse()
}

/// The id of a recovery point that an operator asks for.
pub fn operator_backup_id(plan: &PlanId, at: Timestamp) -> Result<BackupId, InvalidId> {
    format!("{plan}.op-{}", stamp(at)).parse()
}
