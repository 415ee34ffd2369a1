//! Owns what receipts show of recovery, as of one instant: the age and result of the last check, restore and drill, the most that
//! would have been lost, and how long reading back took. Holds it against nothing but how old evidence may be.
//!
//! A log speaks for what its reconciler acts on, and for nothing else. Data without its log is not known to be well. The
//! interesting functions are [`Evidence::add`], the only way in, and [`Evidence::of`].

mod gather;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::duration::Seconds;
use crate::id::{BackupId, DatasetId, LocationId, ReconcilerId, ScenarioId};
use crate::model::{Dataset, Model, Tier};
use crate::receipt::{Authority, LogFault, Opened, Outcome, VerifiedLog, verify_log_seeing};
pub use gather::Attempt;
use gather::{Attempts, Gathered, Point, between};

/// What verified logs show, as of one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    at: Timestamp,
    logs: BTreeMap<ReconcilerId, Gathered>,
}

/// A log of which evidence was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSeen {
    /// Receipts in it that were written by then.
    pub receipts: u64,
    /// When the last of them was written.
    pub newest: Option<Timestamp>,
    /// How long ago that was.
    pub age_s: Option<Seconds>,
}

/// What receipts show of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetEvidence {
    /// The newest recovery point whose last check found it sound.
    pub newest_point: Option<PointSeen>,
    /// Recovery points whose last check did not end well, as far as evidence of that age counts.
    pub unsound: Vec<UnsoundPoint>,
    /// The last restore or restore test.
    pub restore: Option<Attempt>,
    /// The last one that succeeded.
    pub restored: Option<Attempt>,
    /// The most that a failure would have taken, of what was seen for as long as evidence counts.
    pub largest_loss: Option<LossSeen>,
    /// Why the dataset is not known to be protected now; empty where it is.
    pub stale: Vec<Stale>,
}

/// A recovery point that a check found sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointSeen {
    /// Its id.
    pub backup_id: BackupId,
    /// As of when its data is.
    pub consistent_at: Timestamp,
    /// When it was last checked.
    pub checked_at: Timestamp,
    /// How long ago that was.
    pub age_s: Seconds,
}

/// A recovery point that its last check did not find sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnsoundPoint {
    /// Its id.
    pub backup_id: BackupId,
    /// When that was found.
    pub at: Timestamp,
    /// The code of what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// What a failure would have taken just before an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossSeen {
    /// How much.
    pub seconds: Seconds,
    /// As of when the newest usable point was.
    pub point: Timestamp,
    /// The instant just before which the failure is assumed: a newer point became usable, or the log ends.
    pub failure_before: Timestamp,
}

/// Why something is not known to be well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Stale {
    /// No receipt shows a recovery point that a check found sound.
    NoPoint,
    /// The last check that found one sound is too long ago.
    Unchecked {
        /// How long ago.
        seconds: Seconds,
        /// How long ago it may be.
        limit_s: Seconds,
    },
    /// A check did not find a recovery point sound.
    Unsound {
        /// The point found last.
        backup_id: BackupId,
    },
    /// No restore succeeded for too long.
    Unrestored {
        /// How long ago the last one was, or how long receipts go back when there was none.
        seconds: Seconds,
        /// How long ago it may be.
        limit_s: Seconds,
        /// Whether there ever was one.
        ever: bool,
    },
    /// The last restore did not succeed.
    RestoreFailed,
    /// No drill succeeded for too long.
    Undrilled {
        /// How long ago the last one was, or how long receipts go back when there was none.
        seconds: Seconds,
        /// How long ago it may be.
        limit_s: Seconds,
        /// Whether there ever was one.
        ever: bool,
    },
    /// The last drill did not succeed.
    DrillFailed,
}

/// What receipts show of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScenarioEvidence {
    /// The last drill.
    pub drill: Option<Attempt>,
    /// The last one that succeeded.
    pub drilled: Option<Attempt>,
    /// Why nobody knows whether its runbook works; empty where it was shown.
    pub stale: Vec<Stale>,
}

/// How long it took to bring back so much from somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// From where.
    pub location: LocationId,
    /// How much, above zero.
    pub bytes: u64,
    /// How long, above zero.
    pub seconds: u64,
}

impl Evidence {
    /// Nothing yet, as of this instant.
    pub const fn new(at: Timestamp) -> Self {
        Self {
            at,
            logs: BTreeMap::new(),
        }
    }

    /// Verifies a log against its checkpoint and takes what it tells. On a fault nothing is taken of it.
    pub fn add(
        &mut self,
        log: &[u8],
        checkpoint: &[u8],
        authority: &Authority,
    ) -> Result<VerifiedLog, LogFault> {
        let mut gathered = Gathered::new(self.at);
        let mut see = |opened: &Opened| gathered.take(&opened.receipt, opened.leaf);
        let verified = verify_log_seeing(log, Some(checkpoint), authority, &mut see)?;
        let reconciler = authority.origin.reconciler_id.clone();
        self.logs.insert(reconciler, gathered);
        Ok(verified)
    }

    /// The log of a reconciler; none where it was not given.
    pub fn log(&self, reconciler: &ReconcilerId) -> Option<LogSeen> {
        let known = self.logs.get(reconciler)?;
        Some(LogSeen {
            receipts: known.size,
            newest: known.newest,
            age_s: known.newest.map(|newest| between(newest, self.at)),
        })
    }

    /// What is shown of a dataset that has plans; none without the log of the reconciler that acts where it lives.
    pub fn of(&self, model: &Model, dataset: &DatasetId) -> Option<DatasetEvidence> {
        let known = model.datasets.get(dataset)?;
        let log = self.log_of(model, known)?;
        let tier = model.settings.tiers.get(&known.criticality);
        let ids = ids(known);
        let points: Vec<(&BackupId, &Point)> = log.points(&ids).collect();
        let newest_point = newest(&points, self.at);
        let counts = tier.map_or(Seconds::MAX, |tier| tier.staleness_limit_s);
        let unsound = unsound(&points, self.at, counts);
        let Attempts {
            newest: restore,
            succeeded: restored,
        } = log.restores(&ids);
        let mut stale = Vec::new();
        match (&newest_point, tier) {
            (None, _) => stale.push(Stale::NoPoint),
            (Some(point), Some(tier)) if point.age_s > tier.staleness_limit_s => {
                stale.push(Stale::Unchecked {
                    seconds: point.age_s,
                    limit_s: tier.staleness_limit_s,
                });
            }
            (Some(_), _) => {}
        }
        let found = unsound.last();
        stale.extend(found.map(|found| Stale::Unsound {
            backup_id: found.backup_id.clone(),
        }));
        if let Some(limit_s) = tier.and_then(|tier| tier.restore_test_every_s) {
            // Before there was anything to restore nobody could have tried.
            let first = points.iter().filter_map(|(_, point)| point.usable_since);
            let since = first.min().map(|first| between(first, self.at));
            let (seconds, ever) = last(restored.as_ref(), since);
            if seconds > limit_s {
                stale.push(Stale::Unrestored {
                    seconds,
                    limit_s,
                    ever,
                });
            }
        }
        stale.extend(failed(restore.as_ref()).then_some(Stale::RestoreFailed));
        Some(DatasetEvidence {
            largest_loss: largest_loss(&points, (self.at, counts), log.newest),
            newest_point,
            unsound,
            restore,
            restored,
            stale,
        })
    }

    /// What is shown of a scenario; none without a log of any reconciler that acts where its datasets live.
    pub fn of_scenario(&self, model: &Model, scenario: &ScenarioId) -> Option<ScenarioEvidence> {
        let known = model.scenarios.get(scenario)?;
        let datasets = || {
            let ids = known.datasets.iter();
            ids.filter_map(|id| model.datasets.get(id))
        };
        let logs: Vec<&Gathered> = datasets()
            .filter_map(|dataset| self.log_of(model, dataset))
            .collect();
        let oldest = logs.iter().filter_map(|log| log.oldest).min()?;
        let mut drills = Attempts::default();
        for of_log in logs.iter().filter_map(|log| log.drills(scenario)) {
            drills.merge(of_log);
        }
        let tiers = datasets().filter_map(|dataset| model.settings.tiers.get(&dataset.criticality));
        let strictest = tiers.filter_map(|tier| tier.drill_every_s).min();
        let since = between(oldest, self.at);
        let (seconds, ever) = last(drills.succeeded.as_ref(), Some(since));
        let overdue = strictest.filter(|limit| seconds > *limit);
        let mut stale: Vec<Stale> = overdue
            .map(|limit_s| Stale::Undrilled {
                seconds,
                limit_s,
                ever,
            })
            .into_iter()
            .collect();
        stale.extend(failed(drills.newest.as_ref()).then_some(Stale::DrillFailed));
        Some(ScenarioEvidence {
            drill: drills.newest,
            drilled: drills.succeeded,
            stale,
        })
    }

    /// How long bringing back each dataset took the last time that it succeeded, as long as such evidence counts in its tier.
    pub fn measured(&self, model: &Model) -> BTreeMap<DatasetId, Measured> {
        let measured = model.datasets.iter().filter_map(|(id, dataset)| {
            let log = self.log_of(model, dataset)?;
            let restored = log.restores(&ids(dataset)).succeeded?;
            let tier = model.settings.tiers.get(&dataset.criticality)?;
            counts(&restored, tier).then_some(())?;
            let measured = Measured {
                location: restored.location?,
                bytes: restored.bytes.filter(|bytes| *bytes > 0)?,
                // Receipts tell whole seconds: what took less is told as one.
                seconds: restored.seconds?.get().max(1),
            };
            Some((id.clone(), measured))
        });
        measured.collect()
    }

    fn log_of(&self, model: &Model, dataset: &Dataset) -> Option<&Gathered> {
        let site = model.settings.sites.get(&dataset.site)?;
        self.logs.get(&site.reconciler_id)
    }
}

/// A restore counts for as long as the tier may wait for the next test, or as any evidence does.
fn counts(restored: &Attempt, tier: &Tier) -> bool {
    let limit = tier.restore_test_every_s.max(Some(tier.staleness_limit_s));
    Some(restored.age_s) <= limit
}

/// The ids under which receipts may speak of a dataset.
fn ids(dataset: &Dataset) -> Vec<&DatasetId> {
    let formerly = dataset.formerly.as_ref();
    [&dataset.dataset_id].into_iter().chain(formerly).collect()
}

fn failed(newest: Option<&Attempt>) -> bool {
    newest.is_some_and(|newest| newest.result != Outcome::Success)
}

/// How long ago something last succeeded, else how long it could have; and whether it ever did.
fn last(succeeded: Option<&Attempt>, since: Option<Seconds>) -> (Seconds, bool) {
    match succeeded {
        Some(succeeded) => (succeeded.age_s, true),
        None => (since.unwrap_or(Seconds::ZERO), false),
    }
}

/// The point with the newest data among those that were found sound last.
fn newest(points: &[(&BackupId, &Point)], at: Timestamp) -> Option<PointSeen> {
    let sound = points.iter().filter(|(_, point)| point.is_sound());
    let seen = sound.filter_map(|(id, point)| {
        let checked_at = point.checked.as_ref()?.at;
        Some(PointSeen {
            backup_id: (*id).clone(),
            consistent_at: point.consistent_at?,
            checked_at,
            age_s: between(checked_at, at),
        })
    });
    seen.max_by_key(|seen| (seen.consistent_at, seen.checked_at))
}

/// Points whose last check did not end well, the one found last at the end.
fn unsound(points: &[(&BackupId, &Point)], at: Timestamp, counts: Seconds) -> Vec<UnsoundPoint> {
    let mut unsound: Vec<UnsoundPoint> = points
        .iter()
        .filter(|(_, point)| !point.is_sound())
        .filter_map(|(id, point)| {
            let check = point.checked.as_ref()?;
            Some(UnsoundPoint {
                backup_id: (*id).clone(),
                at: check.at,
                code: check.code.clone(),
            })
        })
        .filter(|found| between(found.at, at) <= counts)
        .collect();
    unsound.sort_by(|one, two| (one.at, &one.backup_id).cmp(&(two.at, &two.backup_id)));
    unsound
}

/// The most that a failure would have taken at any time for which evidence counts, from the first usable point on. What was usable
/// is what a check had found sound by then; at the end of the log it is what still is.
fn largest_loss(
    points: &[(&BackupId, &Point)],
    (at, counts): (Timestamp, Seconds),
    log_ends: Option<Timestamp>,
) -> Option<LossSeen> {
    // By the instant from which it was usable, the newest data.
    let mut usable: BTreeMap<Timestamp, Timestamp> = BTreeMap::new();
    for (_, point) in points {
        if let (Some(since), Some(consistent_at)) = (point.usable_since, point.consistent_at) {
            let known = usable.entry(since).or_insert(consistent_at);
            *known = consistent_at.max(*known);
        }
    }
    let mut largest: Option<LossSeen> = None;
    let mut newest: Option<Timestamp> = None;
    let mut fail = |point: Option<Timestamp>, failure_before: Timestamp| {
        let Some(point) = point.filter(|_| between(failure_before, at) <= counts) else {
            return;
        };
        let seconds = between(point, failure_before);
        if largest.as_ref().is_none_or(|known| seconds > known.seconds) {
            largest = Some(LossSeen {
                seconds,
                point,
                failure_before,
            });
        }
    };
    for (usable_since, consistent_at) in &usable {
        if newest < Some(*consistent_at) {
            fail(newest, *usable_since);
            newest = Some(*consistent_at);
        }
    }
    let sound = points.iter().filter(|(_, point)| point.is_sound());
    let left = sound.filter_map(|(_, point)| point.consistent_at).max();
    if let Some(end) = log_ends {
        // What counted until then, and what still does.
        let before = usable.range(..end).map(|(_, consistent_at)| *consistent_at);
        fail(before.max(), end);
        fail(left, end);
    }
    largest
}
