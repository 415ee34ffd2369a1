//! Owns how long each point stands when every slot yields a verified one: what [`super::decide`] tells of one instant, told of all.
//!
//! Never decides about points that exist. Every reason holds from a point's own instant on, and none comes back once it has ended,
//! so one instant a reason says it all; a property holds this against `decide`. The interesting function is [`Lifetimes::reasons`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Buckets, Keep, bucket_rules, count};
use crate::model::Retention;

/// Points in the order of time, and until when each rule of buckets keeps each of them.
pub(crate) struct Lifetimes<'a> {
    class: &'a Retention,
    points: Vec<Timestamp>,
    rules: [Rule; 5],
}

impl Lifetimes<'_> {
    /// Looks at verified points, ascending and distinct, one after the other.
    pub(crate) fn new<'a>(
        points: Vec<Timestamp>,
        class: &'a Retention,
        zone: &TimeZone,
    ) -> Lifetimes<'a> {
        let mut buckets = Buckets::new(zone.clone());
        let mut rules = bucket_rules(class).map(|(_, limit)| Rule::new(count(limit)));
        for (index, at) in points.iter().enumerate() {
            for (rule, bucket) in rules.iter_mut().zip(buckets.of(*at)) {
                rule.take(index, *at, bucket);
            }
        }
        Lifetimes {
            class,
            points,
            rules,
        }
    }

    /// The points with the second from which each is forgotten; `i64::MAX` where no later point of the list pushes it out.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (i64, i64)> {
        let points = self.points.iter().enumerate();
        points.map(|(index, point)| {
            let ends = self.reasons(index, *point).map(|(_, end)| end);
            (point.as_second(), ends.max().unwrap_or(i64::MAX))
        })
    }

    /// How many points each reason keeps at an instant after which the list has no point.
    pub(crate) fn by_reason(&self, now: i64) -> BTreeMap<Keep, u64> {
        let mut counts = BTreeMap::new();
        for (index, point) in self.points.iter().enumerate() {
            let hold = self.reasons(index, *point).filter(|(_, end)| *end > now);
            for (reason, _) in hold {
                *counts.entry(reason).or_default() += 1;
            }
        }
        counts
    }

    /// Every reason to keep a point, with the second from which it does not hold any more.
    fn reasons(&self, index: usize, point: Timestamp) -> impl Iterator<Item = (Keep, i64)> {
        let class = self.class;
        let at = point.as_second();
        // The instant from which so many newer points stand.
        let newer = |number: u32| match number {
            0 => at,
            number => {
                let newer = index.checked_add(count(number));
                let newer = newer.and_then(|newer| self.points.get(newer));
                newer.map_or(i64::MAX, |newer| newer.as_second())
            }
        };
        // The maximum ends rules, not floors, and a point as old as the maximum still stands.
        let too_old = class.max_duration_s.map_or(i64::MAX, |max| {
            at.saturating_add(max.signed()).saturating_add(1)
        });
        let floors = [
            (Keep::MinVersions, newer(class.min_versions)),
            (
                Keep::MinDuration,
                at.saturating_add(class.min_duration_s.signed()),
            ),
            (
                Keep::Immutable,
                at.saturating_add(class.immutable_for_s.signed()),
            ),
            (Keep::NewestVerified, newer(1)),
            (Keep::Last, newer(class.keep.last).min(too_old)),
        ];
        let rules = self.rules.iter().zip(bucket_rules(class));
        floors
            .into_iter()
            .chain(rules.map(move |(rule, (reason, _))| {
                let end = rule.ends.get(index).copied().unwrap_or(at);
                (reason, end.min(too_old))
            }))
    }
}

/// What one rule keeps while points come in: the newest point of each of its newest buckets.
struct Rule {
    limit: usize,
    /// The bucket of the newest point, and that point.
    open: Option<(i64, usize)>,
    /// The newest point of each other bucket.
    newest: BTreeMap<i64, usize>,
    /// The same the other way round: the point that goes first stands first.
    bucket: BTreeMap<usize, i64>,
    /// Until when each point is kept; empty where the rule keeps nothing.
    ends: Vec<i64>,
}

impl Rule {
    fn new(limit: usize) -> Rule {
        Rule {
            limit,
            open: None,
            newest: BTreeMap::new(),
            bucket: BTreeMap::new(),
            ends: Vec::new(),
        }
    }

    /// A new point takes the place of the one of its bucket, or opens a bucket and pushes the oldest out.
    fn take(&mut self, index: usize, at: Timestamp, bucket: i64) {
        if self.limit == 0 {
            return;
        }
        self.ends.push(i64::MAX);
        let before = self.open.replace((bucket, index));
        let gone = match before {
            Some((open, point)) if open == bucket => Some(point),
            Some((open, point)) => {
                self.newest.insert(open, point);
                self.bucket.insert(point, open);
                self.again_or_oldest(bucket)
            }
            None => None,
        };
        if let Some(end) = gone.and_then(|gone| self.ends.get_mut(gone)) {
            *end = at.as_second();
        }
    }

    /// The point that goes when a bucket opens: where a clock set back opens one again, its own, else the oldest of too many.
    fn again_or_oldest(&mut self, bucket: i64) -> Option<usize> {
        if let Some(again) = self.newest.remove(&bucket) {
            self.bucket.remove(&again);
            return Some(again);
        }
        if self.bucket.len() < self.limit {
            return None;
        }
        let (oldest, closed) = self.bucket.pop_first()?;
        self.newest.remove(&closed);
        Some(oldest)
    }
}
