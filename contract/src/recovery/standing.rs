//! Owns which recovery points stand at once over the last year of the horizon, when a schedule has always run and no slot failed.
//!
//! Never decides what is kept; that is `retention`. The interesting function is [`slots_that_matter`]: how few slots have to be
//! looked at, and why no other changes anything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::calendar::Calendar;
use crate::model::Retention;
use crate::retention::{Buckets, Keep, Lifetimes, bucket_rules, floor_of_age};

/// Most slots that are looked at: one a minute for almost four years. Where more may stand, nothing is told.
pub(super) const MAX_SLOTS: usize = 2_000_000;

/// A stretch of time, in whole seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The schedule has run since then.
    pub(super) begin: i64,
    /// The first second that is looked at.
    pub(super) from: i64,
    /// The last one.
    pub(super) until: i64,
}

/// The points that stand at some second of a stretch.
#[derive(Debug)]
pub(super) struct Standing {
    over: Stretch,
    /// How many stand, and how far back they reach.
    pub(super) extent: Extent,
    /// Those that stand when it begins, ascending.
    first: Vec<i64>,
    /// When a point comes or goes, and which one, in the order of time; it comes at its own instant.
    events: Vec<(i64, i64)>,
    /// What keeps how many in the last second.
    pub(super) by_reason: BTreeMap<Keep, u64>,
}

/// How many points stand, and how far back they reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) least: u64,
    pub(super) most: u64,
    /// The least age of the oldest point.
    pub(super) nearest: i64,
    /// The largest age of the oldest point.
    pub(super) farthest: i64,
}

impl Standing {
    /// None where more slots than are looked at would matter.
    pub(super) fn new(calendar: &Calendar, class: &Retention, over: Stretch) -> Option<Standing> {
        let slots = slots_that_matter(calendar, class, over)?;
        let lifetimes = Lifetimes::new(slots, class, calendar.zone());
        let by_reason = lifetimes.by_reason(over.until);
        let mut first = Vec::new();
        let mut events = Vec::new();
        for (at, end) in lifetimes.ends().filter(|(_, end)| *end > over.from) {
            if at <= over.from {
                first.push(at);
            } else {
                events.push((at, at));
            }
            if end <= over.until {
                events.push((end, at));
            }
        }
        events.sort_unstable_by_key(|(now, at)| (*now, now != at, *at));
        events.shrink_to_fit();
        let mut standing = Standing {
            over,
            extent: Extent::default(),
            first,
            events,
            by_reason,
        };
        standing.extent = standing.find_extent();
        Some(standing)
    }

    /// The least and the most that stand, over every second of the stretch.
    fn find_extent(&self) -> Extent {
        let mut standing: BTreeSet<i64> = self.first.iter().copied().collect();
        let told = |standing: &BTreeSet<i64>, now: i64| {
            let count = u64::try_from(standing.len()).unwrap_or(u64::MAX);
            let age = standing.first().map_or(0, |oldest| now - oldest);
            (count, age)
        };
        let (count, age) = told(&standing, self.over.from);
        let mut extent = Extent {
            least: count,
            most: count,
            nearest: age,
            farthest: age,
        };
        for together in self.events.chunk_by(|a, b| a.0 == b.0) {
            let Some((now, _)) = together.first().copied() else {
                continue;
            };
            // The oldest is at its oldest just before it goes.
            extent.farthest = extent.farthest.max(told(&standing, now - 1).1);
            for (_, at) in together {
                if *at == now {
                    standing.insert(*at);
                } else {
                    standing.remove(at);
                }
            }
            let (count, age) = told(&standing, now);
            extent.least = extent.least.min(count);
            extent.most = extent.most.max(count);
            extent.nearest = extent.nearest.min(age);
        }
        extent.farthest = extent.farthest.max(told(&standing, self.over.until).1);
        extent
    }

    /// The most, over every second, that the times between each point and the next add up to, none counted for more than `longest`;
    /// all in seconds.
    pub(super) fn spread(&self, longest: u64) -> u64 {
        let between = |older: Option<&i64>, newer: Option<&i64>| match (older, newer) {
            (Some(older), Some(newer)) => newer.abs_diff(*older).min(longest),
            (None, _) | (_, None) => 0,
        };
        let mut standing = BTreeSet::new();
        let mut sum = 0_u64;
        for at in &self.first {
            sum += between(standing.last(), Some(at));
            standing.insert(*at);
        }
        let mut most = sum;
        for together in self.events.chunk_by(|a, b| a.0 == b.0) {
            for (now, at) in together {
                if now == at {
                    sum += between(standing.last(), Some(at));
                    standing.insert(*at);
                } else {
                    standing.remove(at);
                    let older = standing.range(..at).next_back();
                    let newer = standing.range(at..).next();
                    sum += between(older, newer);
                    sum -= between(older, Some(at)) + between(Some(at), newer);
                }
            }
            most = most.max(sum);
        }
        most
    }
}

/// Slots of which retention keeps, at every second of the stretch, exactly what it would keep of all slots since `begin`.
///
/// Whatever stands after the first second stood then or came later: nothing that was forgotten is ever kept again. So all slots of
/// the stretch matter, and of the past only what may stand in its first second: the newest points as far as counts reach, those
/// younger than the floors, and of each of as many buckets as a rule counts the newest. A slot that does not stand changes nothing
/// for others: it is neither the newest of a bucket that counts nor among the newest that are counted.
fn slots_that_matter(
    calendar: &Calendar,
    class: &Retention,
    over: Stretch,
) -> Option<Vec<Timestamp>> {
    let Stretch { begin, from, until } = over;
    let counted = class.keep.last.max(class.min_versions).max(1);
    let young = from.saturating_sub(floor_of_age(class).signed()).max(begin);
    let recent_from = newest(calendar, over, counted)?.min(young);
    let recent: Vec<Timestamp> = slots(calendar, recent_from, until)?
        .take(MAX_SLOTS + 1)
        .collect();
    if recent.len() > MAX_SLOTS {
        return None;
    }
    let oldest = class.max_duration_s.map_or(begin, |max| {
        // What is older than the maximum stands by floors alone.
        from.saturating_sub(max.signed()).max(begin)
    });
    let mut buckets = Buckets::new(calendar.zone().clone());
    let mut found = BTreeSet::new();
    for (rule, (_, limit)) in bucket_rules(class).into_iter().enumerate() {
        let mut seen = BTreeSet::new();
        let mut bound = recent_from;
        while u32::try_from(seen.len()).is_ok_and(|seen| seen < limit) {
            let before = Timestamp::from_second(bound.saturating_sub(1)).ok();
            let Some(slot) = before
                .and_then(|before| calendar.slot_at_or_before(before))
                .filter(|slot| slot.as_second() >= oldest)
            else {
                break;
            };
            seen.insert(buckets.of(slot).get(rule).copied());
            found.insert(slot);
            // The last slot of each stretch of one bucket is enough; a bucket that comes back is no new one.
            bound = buckets.since(slot, rule);
        }
    }
    Some(found.into_iter().chain(recent).collect())
}

/// An instant since which a calendar has had so many slots by the first second of the stretch; its begin where it has fewer.
fn newest(calendar: &Calendar, over: Stretch, number: u32) -> Option<i64> {
    let number = usize::try_from(number)
        .unwrap_or(usize::MAX)
        .min(MAX_SLOTS + 1);
    let mut reach: i64 = 3_600;
    loop {
        let since = over.from.saturating_sub(reach).max(over.begin);
        let enough = slots(calendar, since, over.from)?.take(number).count() == number;
        if enough || since == over.begin {
            return Some(since);
        }
        reach = reach.saturating_mul(2);
    }
}

/// The slots from one second to another, both included.
fn slots(
    calendar: &Calendar,
    from: i64,
    until: i64,
) -> Option<impl Iterator<Item = Timestamp> + '_> {
    let from = Timestamp::from_second(from).ok()?;
    let to = Timestamp::from_second(until.checked_add(1)?).ok()?;
    Some(calendar.slots(from, to))
}
