//! Owns how much work the proofs about a model are, counted before any of it is done: a few lines of a schedule or a retention
//! class can stand for millions of slots.
//!
//! Never proves anything. The interesting function is [`too_much`].

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::horizon_end;
use super::kept::{Numbers, numbers};
use super::standing;
use super::timeline::MAX_SLOTS;
use crate::calendar::Zones;
use crate::duration::Seconds;
use crate::id::PlanId;
use crate::model::{Model, Retention, Schedule};
use crate::retention::floor_of_age;

/// Most slots that the proofs about one model look at: some ten seconds, and as much memory as half of what a run may take.
pub const MAX_EFFORT: u64 = 200_000_000;

/// What a point that stands costs, in slots that are only looked at: its lifetime is found, and it is sorted.
const STANDING_POINT: u64 = 4;

/// The same for a bucket of the past: the slot before it is searched.
const PAST_BUCKET: u64 = 32;

/// What a schedule says of when it runs, as it is written.
type Written<'m> = (Option<&'m str>, Option<&'m str>, Option<Seconds>);

/// The plan, by the order of ids, with which the proofs would look at more slots than [`MAX_EFFORT`]. What plans share
/// is looked at once.
pub fn too_much<'m>(model: &'m Model, zones: &Zones) -> Option<&'m PlanId> {
    let from = model.snapshot.effective_from;
    let horizon = (from, horizon_end(from));
    let mut slots_of: BTreeMap<Written<'m>, u64> = BTreeMap::new();
    let mut retained: BTreeSet<(Written<'m>, Numbers)> = BTreeSet::new();
    let mut proved: BTreeSet<(Written<'m>, Numbers, u32, Seconds)> = BTreeSet::new();
    let mut effort = 0_u64;
    for (id, plan) in &model.plans {
        let class = numbers(&plan.retention);
        for schedule in [Some(&plan.backup_frequency), plan.full_frequency.as_ref()] {
            let Some(schedule) = schedule else {
                continue;
            };
            let written: Written<'m> = (
                schedule.cron.as_deref(),
                schedule.timezone.as_deref(),
                schedule.every_s,
            );
            let slots = *slots_of.entry(written).or_insert_with(|| {
                let slots = slots(schedule, zones, horizon);
                effort = effort.saturating_add(looked_at(slots));
                slots
            });
            if retained.insert((written, class)) {
                effort = effort.saturating_add(standing_of(slots, &plan.retention, horizon));
            }
            let (misses, window) = (schedule.tolerated_misses, schedule.completion_window_s);
            if proved.insert((written, class, misses, window)) {
                effort = effort.saturating_add(looked_at(slots));
            }
        }
        if effort > MAX_EFFORT {
            return Some(id);
        }
    }
    None
}

/// Schedules with more slots are not looked at slot by slot.
fn looked_at(slots: u64) -> u64 {
    if slots > MAX_SLOTS { 0 } else { slots }
}

fn slots(schedule: &Schedule, zones: &Zones, (from, to): (Timestamp, Timestamp)) -> u64 {
    let calendar = schedule.calendar(zones);
    calendar.map_or(0, |calendar| calendar.slots_at_most(from, to))
}

/// What it costs to find the points that stand over a year, when a schedule has so many slots in the horizon.
fn standing_of(slots: u64, class: &Retention, (from, to): (Timestamp, Timestamp)) -> u64 {
    const YEAR: u64 = 366 * 86_400;
    let horizon = to.as_second().abs_diff(from.as_second()).max(1);
    let within = |seconds: u64| {
        let points = u128::from(slots) * u128::from(seconds) / u128::from(horizon);
        u64::try_from(points).unwrap_or(u64::MAX)
    };
    let keep = &class.keep;
    let counted = u64::from(keep.last.max(class.min_versions));
    let young = within(floor_of_age(class).get());
    let points = within(YEAR).saturating_add(counted.max(young));
    // A rule counts at most the buckets since 1970.
    let since = from.as_second().unsigned_abs().saturating_add(horizon);
    let past = [
        (keep.hourly, 3_600),
        (keep.daily, 86_400),
        (keep.weekly, 604_800),
        (keep.monthly, 2_419_200),
        (keep.yearly, 31_536_000),
    ];
    let buckets: u64 = past
        .iter()
        .map(|(limit, length)| u64::from(*limit).min(since / length))
        .sum();
    points
        .min(standing::MAX_SLOTS as u64)
        .saturating_mul(STANDING_POINT)
        .saturating_add(buckets.saturating_mul(PAST_BUCKET))
}
