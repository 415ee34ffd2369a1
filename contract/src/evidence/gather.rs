//! Owns what one receipt log tells, in the order in which it was written: recovery points and their checks, restores, drills.
//!
//! Judges nothing and knows no policy. What a receipt does not say is not made up: a point without a consistency point, or a
//! restore without a start, is no proof. The interesting function is [`Gathered::take`].

use std::collections::{BTreeMap, BTreeSet};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::Serialize;

use crate::digest::Digest;
use crate::duration::Seconds;
use crate::id::{BackupId, DatasetId, LocationId, ScenarioId};
use crate::receipt::{DecisionType, Outcome, POINT_BEFORE, Phase, Receipt, SOURCE_IN_DOUBT};

/// What one log tells as of an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gathered {
    at: Timestamp,
    /// Number of receipts.
    pub(super) size: u64,
    /// When the first was written.
    pub(super) oldest: Option<Timestamp>,
    /// When the last was written.
    pub(super) newest: Option<Timestamp>,
    points: BTreeMap<BackupId, Point>,
    of_dataset: BTreeMap<DatasetId, BTreeSet<BackupId>>,
    restores: BTreeMap<DatasetId, Attempts>,
    drills: BTreeMap<ScenarioId, Attempts>,
    /// When that began of which the end may come, by the leaf of its intent.
    begun: BTreeMap<Digest, Timestamp>,
}

/// A recovery point and its checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) consistent_at: Option<Timestamp>,
    /// When a check first found it sound.
    pub(super) usable_since: Option<Timestamp>,
    /// Whether its source had collapsed, and nobody accepted that.
    pub(super) in_doubt: bool,
    /// The last check.
    pub(super) checked: Option<Check>,
}

/// One check of a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) at: Timestamp,
    pub(super) result: Outcome,
    pub(super) code: Option<String>,
}

/// The last time something was tried, and the last time it went well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    pub(super) newest: Option<Attempt>,
    pub(super) succeeded: Option<Attempt>,
}

/// A restore or a drill that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// What it was.
    pub kind: DecisionType,
    /// When it ended.
    pub at: Timestamp,
    /// How long ago that is.
    pub age_s: Seconds,
    /// How it ended.
    pub result: Outcome,
    /// The code of what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// From its intent to its end; absent where the log does not tell when it began or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Seconds>,
    /// Bytes that came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
}

impl Point {
    /// Whether its last check found it sound.
    pub(super) fn is_sound(&self) -> bool {
        let last = self.checked.as_ref();
        !self.in_doubt && last.is_some_and(|check| check.result == Outcome::Success)
    }
}

impl Gathered {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            at,
            size: 0,
            oldest: None,
            newest: None,
            points: BTreeMap::new(),
            of_dataset: BTreeMap::new(),
            restores: BTreeMap::new(),
            drills: BTreeMap::new(),
            begun: BTreeMap::new(),
        }
    }

    /// Takes the next receipt of the log. One that was written later than the instant in question is not known yet.
    pub(super) fn take(&mut self, receipt: &Receipt, leaf: Digest) {
        if receipt.created_at > self.at {
            return;
        }
        self.size += 1;
        self.oldest = self.oldest.or(Some(receipt.created_at));
        self.newest = self.newest.max(Some(receipt.created_at));
        match receipt.decision_type {
            DecisionType::Backup => self.take_point(receipt),
            DecisionType::Verification => {
                self.take_point(receipt);
                self.take_check(receipt);
            }
            DecisionType::Restore | DecisionType::RestoreTest => {
                self.take_replaced(receipt);
                if let Some(attempt) = self.attempt(receipt, leaf) {
                    for dataset in &receipt.dataset_ids {
                        let known = self.restores.entry(dataset.clone()).or_default();
                        known.take(attempt.clone());
                    }
                }
            }
            DecisionType::Drill => {
                if let Some((attempt, scenario)) = self
                    .attempt(receipt, leaf)
                    .zip(receipt.scenario_id.as_ref())
                {
                    let known = self.drills.entry(scenario.clone()).or_default();
                    known.take(attempt);
                }
            }
            DecisionType::Adoption => {
                if let Some(id) = receipt.backup_id.as_ref()
                    && let Some(point) = self.points.get_mut(id)
                {
                    point.in_doubt = false;
                }
            }
            DecisionType::BundleAccepted
            | DecisionType::BundleRefused
            | DecisionType::RequestRefused
            | DecisionType::SlotEnded
            | DecisionType::CatchUp
            | DecisionType::Retention
            | DecisionType::Prune
            | DecisionType::Failover
            | DecisionType::Failback
            | DecisionType::Approval
            | DecisionType::ConfigurationChange
            | DecisionType::ValidationError
            | DecisionType::Suspension
            | DecisionType::Notification => {}
        }
    }

    /// A restore in place replaces data that somebody did not want any more. A recovery point of that data whose source was in doubt
    /// is kept, but the dataset is no longer judged by it.
    fn take_replaced(&mut self, receipt: &Receipt) {
        let before = receipt.details.get(POINT_BEFORE);
        let Some(before) = before.and_then(|id| id.parse::<BackupId>().ok()) else {
            return;
        };
        let in_doubt = self.points.get(&before).is_some_and(|point| point.in_doubt);
        if receipt.result == Some(Outcome::Success) && in_doubt {
            for dataset in &receipt.dataset_ids {
                if let Some(known) = self.of_dataset.get_mut(dataset) {
                    known.remove(&before);
                }
            }
        }
    }

    /// A point is known from any receipt that names it; it is usable only once a check says so.
    fn take_point(&mut self, receipt: &Receipt) {
        let Some(id) = &receipt.backup_id else {
            return;
        };
        let point = self.points.entry(id.clone()).or_default();
        let consistent_at = receipt.details.get("consistent_at");
        let consistent_at = consistent_at.and_then(|text| text.parse().ok()).map(whole);
        point.consistent_at = point.consistent_at.or(consistent_at);
        if receipt.result.is_some() {
            point.in_doubt = receipt.details.contains_key(SOURCE_IN_DOUBT);
        }
        for dataset in &receipt.dataset_ids {
            let known = self.of_dataset.entry(dataset.clone()).or_default();
            known.insert(id.clone());
        }
    }

    fn take_check(&mut self, receipt: &Receipt) {
        let (Some(id), Some(result)) = (&receipt.backup_id, receipt.result) else {
            return;
        };
        let Some(point) = self.points.get_mut(id) else {
            return;
        };
        if result == Outcome::Success {
            point.usable_since = point.usable_since.or(Some(receipt.created_at));
        }
        point.checked = Some(Check {
            at: receipt.created_at,
            result,
            code: receipt.error.as_ref().map(|error| error.code.clone()),
        });
    }

    /// An effect with a result; the start of one is kept for when its end comes.
    fn attempt(&mut self, receipt: &Receipt, leaf: Digest) -> Option<Attempt> {
        let began = match receipt.phase {
            Phase::Intent => {
                self.begun.insert(leaf, receipt.created_at);
                return None;
            }
            Phase::Outcome => receipt.closes.and_then(|intent| self.begun.remove(&intent)),
            // Somebody found out later how it had ended, which says nothing of how long it took.
            Phase::Resolution | Phase::Decision => None,
        };
        let known = |name: &str| receipt.details.get(name);
        let succeeded = receipt.result? == Outcome::Success;
        Some(Attempt {
            kind: receipt.decision_type,
            at: receipt.created_at,
            age_s: between(receipt.created_at, self.at),
            result: receipt.result?,
            code: receipt.error.as_ref().map(|error| error.code.clone()),
            seconds: began
                .filter(|_| succeeded)
                .map(|began| between(began, receipt.created_at)),
            bytes: known("bytes").and_then(|bytes| bytes.parse().ok()),
            location: known("location").and_then(|location| location.parse().ok()),
        })
    }

    /// The recovery points of a dataset, which may have had another id before.
    pub(super) fn points<'a>(
        &'a self,
        ids: &'a [&DatasetId],
    ) -> impl Iterator<Item = (&'a BackupId, &'a Point)> {
        let of = ids.iter().filter_map(|id| self.of_dataset.get(*id));
        let named: BTreeSet<&BackupId> = of.flatten().collect();
        named
            .into_iter()
            .filter_map(|id| Some((id, self.points.get(id)?)))
    }

    /// The restores of a dataset, which may have had another id before.
    pub(super) fn restores(&self, ids: &[&DatasetId]) -> Attempts {
        let of = ids.iter().filter_map(|id| self.restores.get(*id));
        of.fold(Attempts::default(), |mut all, more| {
            all.merge(more);
            all
        })
    }

    /// The drills of a scenario.
    pub(super) fn drills(&self, scenario: &ScenarioId) -> Option<&Attempts> {
        self.drills.get(scenario)
    }
}

impl Attempts {
    fn take(&mut self, attempt: Attempt) {
        if attempt.result == Outcome::Success {
            self.succeeded = Some(attempt.clone());
        }
        self.newest = Some(attempt);
    }

    pub(super) fn merge(&mut self, more: &Self) {
        let newer = |one: &Option<Attempt>, two: &Option<Attempt>| match (one, two) {
            (Some(one), Some(two)) => Some(if two.at > one.at { two } else { one }.clone()),
            (one, two) => one.as_ref().or(two.as_ref()).cloned(),
        };
        self.newest = newer(&self.newest, &more.newest);
        self.succeeded = newer(&self.succeeded, &more.succeeded);
    }
}

/// The whole second at or before an instant: data is never told as newer than it is.
fn whole(at: Timestamp) -> Timestamp {
    let unit = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(RoundMode::Floor);
    at.round(unit).unwrap_or(at)
}

/// Seconds from one instant to a later one; none when it is not later.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Seconds {
    let seconds = to.as_second().saturating_sub(from.as_second());
    Seconds::new(u64::try_from(seconds).unwrap_or(0))
}
