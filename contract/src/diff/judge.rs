//! Owns the vocabulary of the comparison: which direction of a leaf is stronger. Never knows a struct of the model but tiers' ranks
//! and renamed datasets. The interesting functions are the ones named after directions: [`Judge::shorter`], [`Judge::more`] …

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde::Serialize;

use super::{Change, Comparison, Effect};
use crate::calendar::{Timing, Zones};
use crate::duration::Seconds;
use crate::id::{DatasetId, TierId};
use crate::model::{Model, Schedule};

/// How many steps of calendars one comparison takes, some seconds of work. A signed bundle of 64 MiB could otherwise ask for
/// days of it. What is left over when it is spent is incomparable, so it needs the owners.
const STEPS: u64 = 200_000_000;

/// What reading one expression and finding its zone is worth in steps.
const READING: u64 = 2_000;

/// Collects the changes below a path.
pub(super) struct Judge<'a> {
    zones: &'a Zones,
    /// Steps of calendars that are left.
    steps: u64,
    /// Widest gaps that are known, by what the schedule says. Plans repeat the schedules that they follow.
    gaps: BTreeMap<String, Option<Seconds>>,
    horizon: (Timestamp, Timestamp),
    renamed: BTreeMap<&'a DatasetId, &'a DatasetId>,
    ranks: [BTreeMap<&'a TierId, u32>; 2],
    path: Vec<String>,
    changes: Vec<Change>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(zones: &'a Zones, old: &'a Model, new: &'a Model) -> Judge<'a> {
        let from = old.snapshot.effective_from.min(new.snapshot.effective_from);
        let later = from.to_zoned(TimeZone::UTC).checked_add(5.years());
        let ranks = |model: &'a Model| {
            model
                .settings
                .tiers
                .iter()
                .map(|(id, tier)| (id, tier.rank))
                .collect()
        };
        Judge {
            zones,
            steps: STEPS,
            gaps: BTreeMap::new(),
            horizon: (
                from,
                later.map_or(Timestamp::MAX, |zoned| zoned.timestamp()),
            ),
            renamed: renamed(old, new),
            ranks: [ranks(old), ranks(new)],
            path: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Comparison {
        Comparison {
            changes: self.changes,
        }
    }

    /// The id that a dataset of the old model has in the new one.
    pub(super) fn present_id(&self, id: &'a DatasetId) -> &'a DatasetId {
        self.renamed.get(id).copied().unwrap_or(id)
    }

    /// The same for a set of datasets.
    pub(super) fn present_ids(&self, ids: &'a BTreeSet<DatasetId>) -> BTreeSet<DatasetId> {
        ids.iter().map(|id| self.present_id(id).clone()).collect()
    }

    /// The ranks of a tier before and after.
    pub(super) fn ranks_of(&self, old: &TierId, new: &TierId) -> Option<(u32, u32)> {
        let [before, after] = &self.ranks;
        Some((*before.get(old)?, *after.get(new)?))
    }

    /// Judges what stands below one more step of the path.
    pub(super) fn at(&mut self, step: impl Display, below: impl FnOnce(&mut Judge<'a>)) {
        self.path.push(step.to_string());
        below(self);
        self.path.pop();
    }

    pub(super) fn change(
        &mut self,
        key: impl Display,
        from: Option<String>,
        to: Option<String>,
        effect: Effect,
    ) {
        let mut path = self.path.clone();
        path.push(key.to_string());
        self.changes.push(Change {
            path,
            from,
            to,
            effect,
        });
    }

    fn leaf<T: PartialEq + Serialize>(&mut self, key: &str, old: &T, new: &T, effect: Effect) {
        if old != new {
            self.change(key, Some(told(old)), Some(told(new)), effect);
        }
    }

    /// A leaf that says what something is, not how well it is protected.
    pub(super) fn label<T: PartialEq + Serialize>(&mut self, key: &str, old: &T, new: &T) {
        self.leaf(key, old, new, Effect::Equal);
    }

    /// A leaf that ties the model to the world or to a person: no direction is better.
    pub(super) fn binding<T: PartialEq + Serialize>(&mut self, key: &str, old: &T, new: &T) {
        self.leaf(key, old, new, Effect::Incomparable);
    }

    /// A length of time that is better when shorter.
    pub(super) fn shorter(&mut self, key: &str, old: Seconds, new: Seconds) {
        self.shorter_if_any(key, Some(old), Some(new));
    }

    /// A limit in time that is better when shorter, and worst when absent.
    pub(super) fn shorter_if_any(&mut self, key: &str, old: Option<Seconds>, new: Option<Seconds>) {
        let effect = if unlimited(new) < unlimited(old) {
            Effect::Stronger
        } else {
            Effect::Weaker
        };
        if old != new {
            self.change(key, Some(length(old)), Some(length(new)), effect);
        }
    }

    /// A length of time that is better when longer.
    pub(super) fn longer(&mut self, key: &str, old: Seconds, new: Seconds) {
        self.longer_if_any(key, Some(old), Some(new));
    }

    /// A limit in time that is better when longer, and best when absent.
    pub(super) fn longer_if_any(&mut self, key: &str, old: Option<Seconds>, new: Option<Seconds>) {
        let effect = if unlimited(new) > unlimited(old) {
            Effect::Stronger
        } else {
            Effect::Weaker
        };
        if old != new {
            self.change(key, Some(length(old)), Some(length(new)), effect);
        }
    }

    /// A number, or a rank made of one, that is better when larger.
    pub(super) fn more<T: Ord + Serialize>(&mut self, key: &str, old: &T, new: &T) {
        self.leaf(
            key,
            old,
            new,
            if new > old {
                Effect::Stronger
            } else {
                Effect::Weaker
            },
        );
    }

    /// A number that is better when smaller.
    pub(super) fn fewer<T: Ord + Serialize>(&mut self, key: &str, old: &T, new: &T) {
        self.leaf(
            key,
            old,
            new,
            if new < old {
                Effect::Stronger
            } else {
                Effect::Weaker
            },
        );
    }

    /// Something that policy demands or not.
    pub(super) fn demand(&mut self, key: &str, old: bool, new: bool) {
        self.more(key, &old, &new);
    }

    /// A choice whose values have ranks, the larger the better.
    pub(super) fn ranked<T: Copy + PartialEq + Serialize>(
        &mut self,
        key: &str,
        old: T,
        new: T,
        rank: impl Fn(T) -> u8,
    ) {
        let effect = if rank(new) > rank(old) {
            Effect::Stronger
        } else {
            Effect::Weaker
        };
        self.leaf(key, &old, &new, effect);
    }

    /// A set of which every member protects.
    pub(super) fn more_is_stronger<T: Ord + Serialize>(
        &mut self,
        key: &str,
        old: &BTreeSet<T>,
        new: &BTreeSet<T>,
    ) {
        self.members(key, old, new, Effect::Stronger, Effect::Weaker);
    }

    /// A set of which every member permits.
    pub(super) fn more_is_weaker<T: Ord + Serialize>(
        &mut self,
        key: &str,
        old: &BTreeSet<T>,
        new: &BTreeSet<T>,
    ) {
        self.members(key, old, new, Effect::Weaker, Effect::Stronger);
    }

    fn members<T: Ord + Serialize>(
        &mut self,
        key: &str,
        old: &BTreeSet<T>,
        new: &BTreeSet<T>,
        added: Effect,
        removed: Effect,
    ) {
        for gone in old.difference(new) {
            self.change(key, Some(told(gone)), None, removed);
        }
        for come in new.difference(old) {
            self.change(key, None, Some(told(come)), added);
        }
    }

    /// A collection by id. `added` is the effect of an entry that only the new model has; one that only the old has does the opposite.
    pub(super) fn entries<K: Ord + Display, V>(
        &mut self,
        collection: &str,
        old: &'a BTreeMap<K, V>,
        new: &'a BTreeMap<K, V>,
        added: impl Fn(&V) -> Effect,
        both: impl Fn(&mut Judge<'a>, &'a V, &'a V),
    ) {
        for (id, before) in old {
            match new.get(id) {
                Some(after) => self.at(collection, |judge| {
                    judge.at(id, |judge| both(judge, before, after));
                }),
                None => self.change(
                    collection,
                    Some(id.to_string()),
                    None,
                    opposite(added(before)),
                ),
            }
        }
        for (id, come) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
            self.change(collection, None, Some(id.to_string()), added(come));
        }
    }

    /// Things that protect, by id: one more is stronger, one less weaker. `present` is the id that an old one has now.
    pub(super) fn each<K: Ord + Display, V>(
        &mut self,
        old: &'a BTreeMap<K, V>,
        new: &'a BTreeMap<K, V>,
        present: impl Fn(&Self, &'a K) -> &'a K,
        both: impl Fn(&mut Judge<'a>, &'a V, &'a V),
    ) {
        let mut known = BTreeSet::new();
        for (id, before) in old {
            let present = present(self, id);
            known.insert(present);
            match new.get(present) {
                Some(after) => self.at(present, |judge| both(judge, before, after)),
                None => self.change(id, Some(id.to_string()), None, Effect::Weaker),
            }
        }
        for id in new.keys().filter(|id| !known.contains(id)) {
            self.change(id, None, Some(id.to_string()), Effect::Stronger);
        }
    }

    /// When a schedule runs: the shorter widest gap is stronger; another time of day with the same gap is neither.
    pub(super) fn timing(&mut self, old: &Schedule, new: &Schedule) {
        let say = |schedule: &Schedule| match (
            &schedule.cron,
            &schedule.timezone,
            schedule.every_s,
            &schedule.continuous,
        ) {
            (Some(cron), Some(zone), _, _) => format!("{cron} {zone}"),
            (Some(cron), None, _, _) => cron.clone(),
            (None, _, Some(period), _) => format!("every {period}"),
            (None, _, None, Some(continuous)) => {
                format!("continuous within {}", continuous.max_lag_s)
            }
            (None, _, None, None) => "never".to_owned(),
        };
        let (before, after) = (say(old), say(new));
        if before == after {
            return;
        }
        let effect = match (self.widest(&before, old), self.widest(&after, new)) {
            (Some(was), Some(is)) if is < was => Effect::Stronger,
            (Some(was), Some(is)) if is > was => Effect::Weaker,
            (Some(_), Some(_)) | (None, _) | (_, None) => Effect::Incomparable,
        };
        self.change("timing", Some(before), Some(after), effect);
    }

    /// None when the schedule has no calendar, and when there are no steps left to walk it.
    fn widest(&mut self, says: &str, schedule: &Schedule) -> Option<Seconds> {
        if let Some(known) = self.gaps.get(says) {
            return *known;
        }
        let found = self.walk(schedule);
        self.gaps.insert(says.to_owned(), found);
        found
    }

    fn walk(&mut self, schedule: &Schedule) -> Option<Seconds> {
        self.spend(READING)?;
        let calendar = schedule.calendar(self.zones).ok()?;
        match calendar.timing() {
            Timing::Continuous { max_lag } => Some(*max_lag),
            Timing::Cron { .. } | Timing::Every { .. } => {
                let (from, to) = self.horizon;
                self.spend(calendar.steps(from, to))?;
                calendar.gaps(from, to, 0).widest.map(|gap| gap.length())
            }
        }
    }

    fn spend(&mut self, steps: u64) -> Option<()> {
        self.steps = self.steps.checked_sub(steps)?;
        Some(())
    }
}

/// The present ids of datasets that were renamed with `formerly`, by the ones before.
pub(super) fn renamed<'a>(
    old: &'a Model,
    new: &'a Model,
) -> BTreeMap<&'a DatasetId, &'a DatasetId> {
    let moved = new.datasets.iter();
    let moved = moved.filter_map(|(id, dataset)| Some((dataset.formerly.as_ref()?, id)));
    let renamed = moved.filter(|(before, id)| {
        old.datasets.contains_key(*before)
            && !new.datasets.contains_key(*before)
            && !old.datasets.contains_key(*id)
    });
    renamed.collect()
}

pub(super) fn opposite(effect: Effect) -> Effect {
    match effect {
        Effect::Stronger => Effect::Weaker,
        Effect::Weaker => Effect::Stronger,
        Effect::Equal => Effect::Equal,
        Effect::Incomparable => Effect::Incomparable,
    }
}

/// A leaf as bundle.json has it, without the quotes around a text.
pub(super) fn told<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        // Leaves of the model are plain data; if one were not, it would still count as changed.
        Err(error) => error.to_string(),
    }
}

fn length(limit: Option<Seconds>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

fn unlimited(limit: Option<Seconds>) -> u128 {
    limit.map_or(u128::MAX, |limit| u128::from(limit.get()))
}
