//! Owns a schedule's slots over the horizon together with the retention buckets they fall into, and two proofs over them:
//! what is left of the past when corruption is noticed late, and whether retention keeps what the loss formula relies on.
//!
//! Never asks what really ran: up to `misses` slots in a row yield nothing, everything else goes as late as its window allows.
//! The interesting function is [`Timeline::corruption`].

use jiff::Timestamp;

use crate::calendar::Calendar;
use crate::duration::Seconds;
use crate::model::Retention;
use crate::retention::{Buckets, bucket_rules, floor_of_age};

/// Most slots that are looked at one by one: one a minute over five years, and half as many again. More is told as unbounded.
pub(super) const MAX_SLOTS: u64 = 4_000_000;

/// The slots of the horizon, ascending, and for each retention rule the ordinal of the bucket that each slot falls into.
pub(super) struct Timeline {
    slots: Vec<i64>,
    rules: [Ordinals; 5],
    end: i64,
}

/// The buckets of one rule, numbered from 0 in the order of time.
#[derive(Default)]
struct Ordinals {
    /// The bucket of each slot.
    of: Vec<u32>,
    /// The first slot of each bucket.
    begins: Vec<usize>,
}

/// What the proofs need to know of a plan, as plain numbers, so that equal plans are proved once. Lengths are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Terms {
    misses: u32,
    completion: i64,
    detected: i64,
    last: u32,
    min_versions: u32,
    buckets: [u32; 5],
    floor: i64,
    max: Option<i64>,
}

impl Terms {
    pub(super) fn new(
        misses: u32,
        completion: Seconds,
        detected: Seconds,
        class: &Retention,
    ) -> Terms {
        Terms {
            misses,
            completion: completion.signed(),
            detected: detected.signed(),
            last: class.keep.last,
            min_versions: class.min_versions,
            buckets: bucket_rules(class).map(|(_, limit)| limit),
            floor: floor_of_age(class).signed(),
            max: class.max_duration_s.map(Seconds::signed),
        }
    }
}

impl Terms {
    /// Whether counts alone keep the newest `misses + 1` points, so that no slot has to be looked at.
    pub(super) fn deep_by_count(&self) -> bool {
        self.last.max(self.min_versions) > self.misses
    }
}

/// The worst that unnoticed corruption does; instants are seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Corruption {
    /// The newest good point that is still kept, the next slot's, and the instant just before which the data went bad.
    Worst {
        point: i64,
        next: i64,
        corrupted: i64,
    },
    /// Data that went bad just before this instant is noticed when no older point is kept.
    NothingKept { corrupted: i64 },
    /// The horizon is too short to tell.
    TooShort,
}

/// What one instant of the proof leaves.
enum Left {
    /// The slot with this index.
    Slot(usize),
    /// Nothing at all.
    Nothing,
    /// A point that lies before the horizon.
    Before,
}

/// Each with the one that comes after it when so many between them are missed.
fn pairs<T>(all: &[T], misses: u32) -> impl Iterator<Item = (&T, &T)> {
    let apart = usize::try_from(misses)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    all.iter().zip(all.iter().skip(apart))
}

impl Timeline {
    /// Lists the slots of a calendar from `from` until `to`, with their buckets in the calendar's zone.
    pub(super) fn new(calendar: &Calendar, from: Timestamp, to: Timestamp) -> Timeline {
        let mut buckets = Buckets::new(calendar.zone().clone());
        let mut rules: [Ordinals; 5] = std::array::from_fn(|_| Ordinals::default());
        let mut slots = Vec::new();
        let mut before: Option<[i64; 5]> = None;
        for slot in calendar.slots(from, to) {
            let keys = buckets.of(slot);
            let known = before.map(|keys| keys.map(Some)).unwrap_or_default();
            for ((rule, key), last) in rules.iter_mut().zip(keys).zip(known) {
                if last != Some(key) {
                    rule.begins.push(slots.len());
                }
                rule.of.push(
                    u32::try_from(rule.begins.len())
                        .unwrap_or(u32::MAX)
                        .saturating_sub(1),
                );
            }
            before = Some(keys);
            slots.push(slot.as_second());
        }
        Timeline {
            slots,
            rules,
            end: to.as_second(),
        }
    }

    /// The longest time between the newest point that is good and still kept when corruption is noticed, and the corruption.
    ///
    /// Data goes bad just before a slot's run reads it, as late as its window allows. By the time it is noticed, every newer slot
    /// has a point, which counts for retention although it is bad.
    pub(super) fn corruption(&self, terms: &Terms) -> Corruption {
        let mut worst: Option<(i64, i64, i64)> = None;
        let mut newest = 0;
        for (next, next_slot) in self.slots.iter().copied().enumerate().skip(1) {
            let corrupted = next_slot.saturating_add(terms.completion);
            let noticed = corrupted.saturating_add(terms.detected);
            if noticed >= self.end {
                break;
            }
            while self
                .slots
                .get(newest + 1)
                .is_some_and(|slot| *slot < noticed)
            {
                newest += 1;
            }
            match self.left(terms, next - 1, newest, noticed) {
                Left::Before => {}
                Left::Nothing => return Corruption::NothingKept { corrupted },
                Left::Slot(point) => {
                    let Some(point) = self.slots.get(point).copied() else {
                        continue;
                    };
                    if worst.is_none_or(|(low, high, _)| next_slot - point > high - low) {
                        worst = Some((point, next_slot, corrupted));
                    }
                }
            }
        }
        worst.map_or(Corruption::TooShort, |(point, next, corrupted)| {
            Corruption::Worst {
                point,
                next,
                corrupted,
            }
        })
    }

    /// The longest time from the newest point that is left to the next full, when the newest full cannot be used and nothing on it.
    ///
    /// A full is taken by the first run at or after its slot. It is worst when that run comes in time after as many missed slots as
    /// are tolerated, and the next full, after as many fulls as may be missed, comes late by as many missed slots again.
    pub(super) fn bad_base(&self, fulls: &[i64], full_misses: u32, terms: &Terms) -> Corruption {
        let run = |full: &i64| self.slots.partition_point(|slot| slot < full);
        let runs: Vec<usize> = fulls.iter().map(run).collect();
        let misses = usize::try_from(terms.misses).unwrap_or(usize::MAX);
        let pairs = pairs(&runs, full_misses).map_while(|(base, next)| {
            let next = next.checked_add(misses)?;
            Some((*base, *self.slots.get(next)?))
        });
        self.longest(terms, pairs, |_, left| left)
    }

    /// The longest time from one full to the next when a continuous archive breaks just after a full has begun: it holds all until
    /// then, as long as retention keeps a full from before.
    pub(super) fn archive_gap(&self, terms: &Terms) -> Corruption {
        let indices: Vec<usize> = (0..self.slots.len()).collect();
        let pairs = pairs(&indices, terms.misses)
            .map_while(|(base, next)| Some((*base, *self.slots.get(*next)?)));
        self.longest(terms, pairs, |base, left| match left {
            Left::Slot(_) | Left::Before => Left::Slot(base),
            Left::Nothing => Left::Nothing,
        })
    }

    /// The longest time between what is left of the points before a slot and another slot, when that other one's point is usable.
    fn longest(
        &self,
        terms: &Terms,
        pairs: impl Iterator<Item = (usize, i64)>,
        counts: impl Fn(usize, Left) -> Left,
    ) -> Corruption {
        let mut worst: Option<(i64, i64, i64)> = None;
        let mut newest = 0;
        for (base, next_slot) in pairs {
            let usable = next_slot.saturating_add(terms.completion);
            if usable >= self.end {
                break;
            }
            while self
                .slots
                .get(newest + 1)
                .is_some_and(|slot| *slot < usable)
            {
                newest += 1;
            }
            let left = base.checked_sub(1).map_or(Left::Before, |top| {
                self.left(terms, top, newest.max(top), usable)
            });
            let point = match counts(base, left) {
                Left::Before => None,
                Left::Nothing => return Corruption::NothingKept { corrupted: usable },
                Left::Slot(point) => self.slots.get(point).copied(),
            };
            if let Some(point) = point
                && worst.is_none_or(|(low, high, _)| next_slot - point > high - low)
            {
                worst = Some((point, next_slot, usable));
            }
        }
        worst.map_or(Corruption::TooShort, |(point, next, corrupted)| {
            Corruption::Worst {
                point,
                next,
                corrupted,
            }
        })
    }

    /// The newest point at or before slot `top` that is kept just before `noticed`, when `newest` is the last slot by then.
    ///
    /// With misses in a row, the point `misses` slots before stands in: it is then the newest of its bucket and no later in rank,
    /// because the missed slots neither fill buckets nor count. Its own age decides.
    fn left(&self, terms: &Terms, top: usize, newest: usize, noticed: i64) -> Left {
        let misses = usize::try_from(terms.misses).unwrap_or(usize::MAX);
        let mut found: Option<usize> = None;
        let mut before = false;
        let mut consider = |slot: Option<usize>, floor: bool| match slot
            .and_then(|slot| slot.checked_sub(misses))
        {
            Some(slot) => {
                let young = self
                    .age(slot, noticed)
                    .is_some_and(|age| terms.max.is_none_or(|max| age <= max));
                if floor || young {
                    found = found.max(Some(slot));
                }
            }
            None => before = true,
        };
        let newer = u64::try_from(newest - top).unwrap_or(u64::MAX);
        if newer < u64::from(terms.min_versions) || newer == 0 {
            // The newest verified point stays like a floor.
            consider(Some(top), true);
        }
        if top
            .checked_sub(misses)
            .and_then(|slot| self.age(slot, noticed))
            .is_some_and(|age| age <= terms.floor)
        {
            consider(Some(top), true);
        }
        if newer < u64::from(terms.last) {
            consider(Some(top), false);
        }
        for (rule, limit) in self.rules.iter().zip(terms.buckets) {
            let ordinal = |slot: usize| rule.of.get(slot).copied().unwrap_or(u32::MAX);
            let complete = top == newest || ordinal(top + 1) != ordinal(top);
            let last_of_bucket = if complete {
                Some(top)
            } else {
                let begin = usize::try_from(ordinal(top))
                    .ok()
                    .and_then(|o| rule.begins.get(o).copied());
                begin.and_then(|begin| begin.checked_sub(1))
            };
            // The bucket before the horizon would be one further than the first.
            let rank = last_of_bucket.map_or(ordinal(newest).saturating_add(1), |slot| {
                ordinal(newest) - ordinal(slot)
            });
            if rank < limit {
                consider(last_of_bucket, false);
            }
        }
        match (found, before) {
            (Some(slot), _) => Left::Slot(slot),
            (None, true) => Left::Before,
            (None, false) => Left::Nothing,
        }
    }

    fn age(&self, slot: usize, at: i64) -> Option<i64> {
        self.slots.get(slot).map(|slot| at.saturating_sub(*slot))
    }

    /// The first slot after which retention would not keep the newest `misses + 1` points until the next one is usable.
    pub(super) fn first_too_shallow(&self, terms: &Terms) -> Option<i64> {
        let needed = usize::try_from(terms.misses).unwrap_or(usize::MAX);
        let counted = terms.last.max(terms.min_versions);
        if terms.deep_by_count() {
            return None;
        }
        let mut pairs = self
            .slots
            .iter()
            .copied()
            .zip(self.slots.iter().copied().skip(1))
            .enumerate()
            .skip(needed);
        let shallow = |(newest, (_, next)): &(usize, (i64, i64))| {
            let until = next.saturating_add(terms.completion);
            (newest - needed..*newest).any(|slot| {
                let newer = u64::try_from(newest - slot).unwrap_or(u64::MAX);
                let by_count = newer < u64::from(counted);
                let by_age = self.age(slot, until).is_some_and(|age| age <= terms.floor);
                let by_bucket = self.rules.iter().zip(terms.buckets).any(|(rule, limit)| {
                    let ordinal = |slot: usize| rule.of.get(slot).copied().unwrap_or(u32::MAX);
                    ordinal(slot + 1) != ordinal(slot) && ordinal(*newest) - ordinal(slot) < limit
                });
                !(by_count || by_age || by_bucket)
            })
        };
        pairs.find(shallow).map(|(_, (slot, _))| slot)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests fail by panicking"
    )]

    use proptest::prelude::*;

    use super::*;
    use crate::calendar::{Cron, Timing, Zones};
    use crate::model::Keep;
    use crate::retention::{Point, Trust, decide};

    fn class() -> impl Strategy<Value = Retention> {
        let counts = [0..4_u32, 0..9_u32, 0..4_u32, 0..3_u32, 0..2_u32];
        (
            0..6_u32,
            counts,
            0..3_u32,
            0..200_u64,
            proptest::option::of(1..600_u64),
            0..100_u64,
        )
            .prop_map(
                |(
                    last,
                    [hourly, daily, weekly, monthly, yearly],
                    min_versions,
                    floor,
                    max,
                    lock,
                )| Retention {
                    retention_id: "test".parse().unwrap(),
                    min_versions,
                    min_duration_s: Seconds::hours(floor),
                    keep: Keep {
                        last,
                        hourly,
                        daily,
                        weekly,
                        monthly,
                        yearly,
                    },
                    max_duration_s: max.map(Seconds::hours),
                    immutable_for_s: Seconds::hours(lock),
                },
            )
    }

    fn calendar() -> impl Strategy<Value = Calendar> {
        let texts = [
            "0 */6 * * *",
            "30 2 * * *",
            "15 1,2,3,22 * * *",
            "0 4 * * mon-fri",
            "0 0,12 1-20 * *",
            "45 */8 * * 1-6",
        ];
        (
            proptest::sample::select(texts.to_vec()),
            proptest::sample::select(vec!["Europe/Berlin", "America/Havana", "UTC"]),
        )
            .prop_map(|(text, zone)| {
                let timing = Timing::Cron {
                    cron: Cron::parse(text).unwrap(),
                    zone: zone.to_owned(),
                };
                Calendar::new(timing, &Zones::bundled()).unwrap()
            })
    }

    fn points(slots: &[i64]) -> Vec<Point> {
        let point = |second: &i64| {
            let at = Timestamp::from_second(*second).unwrap();
            let backup_id = format!("bp.{}", at.strftime("%Y%m%dT%H%M%SZ"))
                .parse()
                .unwrap();
            Point {
                backup_id,
                at,
                trust: Trust::Verified,
                base: None,
            }
        };
        slots.iter().map(point).collect()
    }

    /// The newest point at or before `good_until` that retention keeps just before `noticed`.
    fn kept(
        slots: &[i64],
        class: &Retention,
        calendar: &Calendar,
        good_until: i64,
        noticed: i64,
    ) -> Option<i64> {
        let taken: Vec<i64> = slots
            .iter()
            .copied()
            .filter(|slot| *slot < noticed)
            .collect();
        let now = Timestamp::from_second(noticed - 1).unwrap();
        let decisions = decide(&points(&taken), class, calendar.zone(), now);
        let good = decisions
            .iter()
            .filter(|d| d.verdict.is_kept() && d.at.as_second() <= good_until);
        good.map(|decision| decision.at.as_second()).max()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        /// The shortcut over bucket ordinals equals asking the retention function itself, at every slot.
        #[test]
        fn what_is_left_equals_retention_itself(class in class(), calendar in calendar(), completion in 0..300_u64, detected in 0..400_u64) {
            let from: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
            let to: Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
            let timeline = Timeline::new(&calendar, from, to);
            let terms = Terms::new(0, Seconds::minutes(completion), Seconds::hours(detected), &class);
            let mut newest = 0;
            for next in 1..timeline.slots.len() {
                let noticed = timeline.slots[next] + terms.completion + terms.detected;
                while newest + 1 < timeline.slots.len() && timeline.slots[newest + 1] < noticed { newest += 1; }
                let expected = kept(&timeline.slots, &class, &calendar, timeline.slots[next - 1], noticed);
                match timeline.left(&terms, next - 1, newest, noticed) {
                    Left::Slot(slot) => prop_assert_eq!(Some(timeline.slots[slot]), expected),
                    Left::Nothing | Left::Before => prop_assert_eq!(None, expected),
                }
            }
        }

        /// Whichever slots are missed, as long as no more than tolerated in a row: reality is never worse than the proof.
        #[test]
        fn missed_slots_never_beat_the_proof(class in class(), calendar in calendar(), misses in 0..3_u32, completion in 0..300_u64, detected in 0..300_u64, draws in proptest::collection::vec(any::<bool>(), 300)) {
            let from: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
            let to: Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
            let timeline = Timeline::new(&calendar, from, to);
            let terms = Terms::new(misses, Seconds::minutes(completion), Seconds::hours(detected), &class);
            let mut run = 0;
            let taken: Vec<i64> = timeline.slots.iter().zip(&draws).filter_map(|(slot, missed)| {
                run = if *missed && run < misses { run + 1 } else { 0 };
                (run == 0).then_some(*slot)
            }).collect();
            let proof = timeline.corruption(&terms);
            // The first slots have too little past to tell.
            for pair in taken.windows(2).skip(taken.len() / 2) {
                let corrupted = pair[1] + terms.completion;
                let noticed = corrupted + terms.detected;
                if noticed >= timeline.end { break; }
                let left = kept(&taken, &class, &calendar, pair[0], noticed);
                match (proof, left) {
                    (Corruption::Worst { point, next, corrupted: last }, Some(left)) => {
                        prop_assert!(corrupted - left <= (next - point) + (last - next), "{left} at {corrupted} against {proof:?}");
                    }
                    (Corruption::Worst { .. }, None) => {
                        // A rule may still wait for a point from before the horizon.
                        let needed = class.keep.monthly + class.keep.yearly + class.keep.weekly + class.keep.daily;
                        prop_assert!(needed > 0, "nothing left at {corrupted} against {proof:?}");
                    }
                    (Corruption::NothingKept { .. } | Corruption::TooShort, _) => {}
                }
            }
        }
    }
}
