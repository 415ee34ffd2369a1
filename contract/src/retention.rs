//! Owns retention: which recovery points a class keeps, which it would forget, and why. Pure, and the only place that decides it.
//!
//! Never deletes, never names a location or a pack, and never forgets what it is not sure of: unknown points and points of the
//! future stay and do not count, and what a kept point needs stays with it. The interesting function is [`decide`]; what points need
//! of each other is in `chain`. [`Buckets`] and [`Lifetimes`], which tells the same of all time at once, are shared with the proofs
//! of `recovery`.

mod chain;
mod lifetime;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::Serialize;

use crate::duration::Seconds;
use crate::id::BackupId;
use crate::model::Retention;
use chain::Chains;
pub(crate) use lifetime::Lifetimes;

/// What is known about a recovery point's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Its checks passed and a receipt says so: it counts.
    Verified,
    /// A check failed: it never counts, and goes as soon as a newer verified point stands and no floor holds it.
    Suspect,
    /// Nobody knows: it never counts, and stays.
    Unknown,
}

/// A recovery point as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its id.
    pub backup_id: BackupId,
    /// Its slot, or its consistency point when it was taken by hand.
    pub at: Timestamp,
    /// What is known about it.
    pub trust: Trust,
    /// The point without which it cannot be read: the full of an incremental, or the one before; none for one that stands alone.
    pub base: Option<BackupId>,
}

/// Why a point is kept; a point can have several reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// One of the newest points.
    Last,
    /// The newest of its hour.
    Hourly,
    /// The newest of its day.
    Daily,
    /// The newest of its week, which begins on Monday.
    Weekly,
    /// The newest of its month.
    Monthly,
    /// The newest of its year.
    Yearly,
    /// Floor: fewer points than `min_versions` would stay.
    MinVersions,
    /// Floor: it is younger than `min_duration`.
    MinDuration,
    /// Floor: it is younger than `immutable_for`.
    Immutable,
    /// Floor: nothing newer is verified.
    NewestVerified,
    /// Nobody knows whether it is good, or whether all that it needs is there.
    Unknown,
    /// It, or one that it needs, is a failed point with no newer verified one.
    NothingBetter,
    /// It lies after now, so the clock or the point is wrong.
    Future,
    /// A point that is kept cannot be read without it.
    Needed,
}

/// Why a point would be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forget {
    /// No rule keeps it.
    NoRule,
    /// A rule keeps it, and it is older than `max_duration`.
    MaxDuration,
    /// Its check failed, or that of a point that it needs, and a newer verified point stands.
    Suspect,
}

/// What happens to one point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It stays, for these reasons, at least one.
    Keep(BTreeSet<Keep>),
    /// It would go, for this reason.
    Forget(Forget),
}

impl Verdict {
    /// Whether the point stays.
    pub fn is_kept(&self) -> bool {
        match self {
            Verdict::Keep(_) => true,
            Verdict::Forget(_) => false,
        }
    }
}

/// The decision about one point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The point.
    pub backup_id: BackupId,
    /// Its instant.
    pub at: Timestamp,
    /// What happens to it.
    pub verdict: Verdict,
    /// The floor that holds a point which `max_duration` would remove: policy contradicts itself, and the floor wins.
    pub conflict: Option<Keep>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Keep(reasons) => {
                let reasons: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
                write!(f, "keep `{}`: {}", self.backup_id, reasons.join(", "))
            }
            Verdict::Forget(reason) => {
                write!(f, "forget `{}`: {}", self.backup_id, reason.as_str())
            }
        }
    }
}

impl Keep {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Keep::Last => "last",
            Keep::Hourly => "hourly",
            Keep::Daily => "daily",
            Keep::Weekly => "weekly",
            Keep::Monthly => "monthly",
            Keep::Yearly => "yearly",
            Keep::MinVersions => "floor of versions",
            Keep::MinDuration => "floor of age",
            Keep::Immutable => "immutable",
            Keep::NewestVerified => "newest verified",
            Keep::Unknown => "not known to be bad",
            Keep::NothingBetter => "no newer verified point",
            Keep::Future => "lies in the future",
            Keep::Needed => "kept points need it",
        }
    }
}

impl Forget {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Forget::NoRule => "no rule keeps it",
            Forget::MaxDuration => "older than the maximum",
            Forget::Suspect => "its check failed and a newer point is verified",
        }
    }
}

/// Decides about every point of one repository: rules ORed, then `max_duration`, then the floors and the newest verified point, then
/// what the points that stay need.
///
/// A point is as good as the worst of its chain, itself and all that it needs: what hangs on a failed point does not count, and what
/// hangs on one that is unknown, not there, or in the end on itself does not count and stays. `zone` is the schedule's, in which hours, days, weeks, months and years are counted. Decisions come oldest first.
pub fn decide(
    points: &[Point],
    class: &Retention,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Decision> {
    let chains = Chains::of(points, now);
    let mut newest_first: Vec<&Point> = points.iter().collect();
    newest_first.sort_by(|a, b| (b.at, &b.backup_id).cmp(&(a.at, &a.backup_id)));
    let counted: Vec<&Point> = newest_first
        .iter()
        .copied()
        .filter(|point| chains.trust(point) == Trust::Verified && point.at <= now)
        .collect();
    let ruled = rules(&counted, class, zone);
    let newest_verified = counted.first().copied();
    let versions = counted
        .iter()
        .take(count(class.min_versions))
        .map(|point| &point.backup_id);
    let versions: BTreeSet<&BackupId> = versions.collect();

    let decide_one = |point: &&Point| {
        let age = now.as_second().saturating_sub(point.at.as_second());
        let mut floors = BTreeSet::new();
        if versions.contains(&point.backup_id) {
            floors.insert(Keep::MinVersions);
        }
        if age < class.min_duration_s.signed() {
            floors.insert(Keep::MinDuration);
        }
        if age < class.immutable_for_s.signed() {
            floors.insert(Keep::Immutable);
        }
        if newest_verified.is_some_and(|newest| newest.backup_id == point.backup_id) {
            floors.insert(Keep::NewestVerified);
        }
        let in_force = ruled.get(&point.backup_id).cloned().unwrap_or_default();
        let too_old = class
            .max_duration_s
            .is_some_and(|limit| age > limit.signed());
        let better = newest_verified.is_some_and(|newest| newest.at > point.at);
        let (verdict, conflict) = match chains.trust(point) {
            _ if point.at > now => (Verdict::Keep(BTreeSet::from([Keep::Future])), None),
            Trust::Unknown => (Verdict::Keep(BTreeSet::from([Keep::Unknown])), None),
            Trust::Suspect if !better => {
                (Verdict::Keep(BTreeSet::from([Keep::NothingBetter])), None)
            }
            Trust::Suspect if floors.is_empty() => (Verdict::Forget(Forget::Suspect), None),
            Trust::Verified if floors.is_empty() && in_force.is_empty() => {
                (Verdict::Forget(Forget::NoRule), None)
            }
            Trust::Verified if floors.is_empty() && too_old => {
                (Verdict::Forget(Forget::MaxDuration), None)
            }
            Trust::Verified | Trust::Suspect => {
                let conflict = floors.first().copied().filter(|_| too_old);
                let rules = if too_old { BTreeSet::new() } else { in_force };
                (
                    Verdict::Keep(floors.into_iter().chain(rules).collect()),
                    conflict,
                )
            }
        };
        Decision {
            backup_id: point.backup_id.clone(),
            at: point.at,
            verdict,
            conflict,
        }
    };
    let mut decisions: Vec<Decision> = newest_first.iter().rev().map(decide_one).collect();
    let kept = decisions.iter().filter(|one| one.verdict.is_kept());
    let needed = chains.needed(kept.map(|one| &one.backup_id));
    for decision in &mut decisions {
        if needed.contains(&decision.backup_id) {
            let mut reasons = match &decision.verdict {
                Verdict::Keep(reasons) => reasons.clone(),
                Verdict::Forget(_) => BTreeSet::new(),
            };
            reasons.insert(Keep::Needed);
            decision.verdict = Verdict::Keep(reasons);
        }
    }
    decisions
}

/// Which rules keep which of the counted points, newest first.
fn rules<'a>(
    counted: &[&'a Point],
    class: &Retention,
    zone: &TimeZone,
) -> BTreeMap<&'a BackupId, BTreeSet<Keep>> {
    let mut kept: BTreeMap<&BackupId, BTreeSet<Keep>> = BTreeMap::new();
    for point in counted.iter().take(count(class.keep.last)) {
        kept.entry(&point.backup_id).or_default().insert(Keep::Last);
    }
    let mut buckets = Buckets::new(zone.clone());
    let keyed: Vec<(&Point, [i64; 5])> = counted
        .iter()
        .map(|point| (*point, buckets.of(point.at)))
        .collect();
    for (rule, (reason, limit)) in bucket_rules(class).into_iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (point, keys) in &keyed {
            let Some(key) = keys.get(rule) else { continue };
            if seen.len() < count(limit) && seen.insert(*key) {
                kept.entry(&point.backup_id).or_default().insert(reason);
            }
        }
    }
    kept
}

/// The rules that count buckets, in the order of [`Buckets::of`], each with how many buckets it keeps.
pub(crate) fn bucket_rules(class: &Retention) -> [(Keep, u32); 5] {
    [
        (Keep::Hourly, class.keep.hourly),
        (Keep::Daily, class.keep.daily),
        (Keep::Weekly, class.keep.weekly),
        (Keep::Monthly, class.keep.monthly),
        (Keep::Yearly, class.keep.yearly),
    ]
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The class's shortest guarantee by age: no point younger than this is ever forgotten.
pub fn floor_of_age(class: &Retention) -> Seconds {
    class.min_duration_s.max(class.immutable_for_s)
}

/// Tells in which hour, day, week, month and year of a zone an instant lies.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    zone: TimeZone,
    /// The stretch of constant offset that was met last: from, to, offset, all in seconds.
    stretch: (i64, i64, i64),
    /// The local day that was met last, with its month and year.
    day: Option<(i64, i64, i64)>,
}

impl Buckets {
    pub(crate) fn new(zone: TimeZone) -> Buckets {
        Buckets {
            zone,
            stretch: (0, 0, 0),
            day: None,
        }
    }

    /// Keys that are equal exactly for instants of one hour, day, week, month, year. An hour that the clock repeats is two hours.
    pub(crate) fn of(&mut self, at: Timestamp) -> [i64; 5] {
        const DAY: i64 = 86_400;
        let second = at.as_second();
        let (from, to, _) = self.stretch;
        if second < from || second >= to {
            self.stretch = self.stretch_at(at);
        }
        let offset = self.stretch.2;
        let local = second + offset;
        let day = local.div_euclid(DAY);
        let (month, year) = self.month_and_year(day);
        // Offsets lie within 26 hours, so the product leaves room for each of them.
        let hour = local.div_euclid(3_600) * 4 * DAY + offset;
        // The epoch was a Thursday.
        [hour, day, (day + 3).div_euclid(7), month, year]
    }

    /// Since when the key of one rule, by its place in [`Buckets::of`], is what it is at an instant: since its hour, day, week,
    /// month or year began, or since the zone's offset changed within it.
    pub(crate) fn since(&self, at: Timestamp, rule: usize) -> i64 {
        const DAY: i64 = 86_400;
        let offset = i64::from(self.zone.to_offset(at).seconds());
        let local = at.as_second() + offset;
        let day = local.div_euclid(DAY);
        let date = self.zone.to_datetime(at).date();
        let begin = match rule {
            0 => local - local.rem_euclid(3_600),
            1 => day * DAY,
            2 => (day - (day + 3).rem_euclid(7)) * DAY,
            3 => (day + 1 - i64::from(date.day())) * DAY,
            _ => (day + 1 - i64::from(date.day_of_year())) * DAY,
        };
        let after = Timestamp::from_second(at.as_second().saturating_add(1)).unwrap_or(at);
        let change = self.zone.preceding(after).next();
        let changed = change.map_or(i64::MIN, |change| change.timestamp().as_second());
        changed.max(begin - offset)
    }

    fn stretch_at(&self, at: Timestamp) -> (i64, i64, i64) {
        let offset = i64::from(self.zone.to_offset(at).seconds());
        let next = self.zone.following(at).next();
        let end = next.map_or(i64::MAX, |change| change.timestamp().as_second());
        (at.as_second(), end, offset)
    }

    fn month_and_year(&mut self, day: i64) -> (i64, i64) {
        if let Some((known, month, year)) = self.day
            && known == day
        {
            return (month, year);
        }
        let date =
            Timestamp::from_second(day * 86_400).map(|at| Offset::UTC.to_datetime(at).date());
        // Outside jiff's calendar a day stands for itself: nothing is merged, so nothing more is forgotten.
        let (month, year) = date.map_or((day, day), |date| {
            let year = i64::from(date.year());
            (year * 12 + i64::from(date.month()), year)
        });
        self.day = Some((day, month, year));
        (month, year)
    }
}
