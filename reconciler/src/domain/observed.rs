//! Owns what is known of the world when a round plans: values with the time they were seen, never a guess. Never looks at
//! anything itself. The root is [`Observed`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code;
use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Operation, PartRead, PartReading, Pruning, Run, SlotOutcome, Suspension};

/// Something seen in the world. `Unknown` never authorises anything that destroys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation<T> {
    /// It was seen.
    Known {
        /// What was seen.
        value: T,
        /// When.
        at: Timestamp,
    },
    /// It was looked for and is not there.
    Absent {
        /// When.
        at: Timestamp,
    },
    /// It could not be looked at.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// Everything that a round knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// By plan; a plan that is missing here was never looked at.
    pub plans: BTreeMap<PlanId, PlanObserved>,
    /// Runs of plans that this reconciler does not act for any more.
    pub former: Vec<Run>,
    /// The life of another process that holds the store now: its open effects are running, not interrupted.
    pub running: Option<u64>,
}

/// What is known of one plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanObserved {
    /// When the bundle was accepted that brought the plan, or gave it other slots or more datasets.
    pub since: Timestamp,
    /// What the configuration lacks for it; empty when everything is bound.
    pub unbound: Vec<Lack>,
    /// The newest slot that has its terminal record; every slot before it has one too.
    pub ended_through: Option<Timestamp>,
    /// How the newest terminal record ended.
    pub last_outcome: Option<SlotOutcome>,
    /// Why, where that is no success.
    pub last_why: Option<String>,
    /// The slots before and with it that ended without success, where it did.
    pub failing: Option<Failing>,
    /// Every run that left a recovery point, oldest first; then the newest run, where that left none.
    pub runs: Vec<Run>,
    /// Operations without an outcome, or whose outcome is unknown.
    pub open: Vec<Operation>,
    /// Backups of each slot without its terminal record that were begun, for the number of the next attempt.
    pub attempts: BTreeMap<BackupId, u32>,
    /// Operations that recorded an overdue check.
    pub recorded: BTreeSet<String>,
    /// Whether a person wants no scheduled backups of it for a time.
    pub suspended: Option<Suspension>,
    /// Recovery points whose loss or damage a person has accepted.
    pub acknowledged: BTreeSet<BackupId>,
    /// Each repository that the catalog knows or policy wants, by its key.
    pub repositories: BTreeMap<Kid, RepositoryObserved>,
    /// When each dataset was last restored in place.
    pub restored: BTreeMap<DatasetId, Timestamp>,
    /// How each location stands.
    pub copies: BTreeMap<LocationId, Observation<CopyState>>,
    /// Recovery points of all plans that count against the delete budget now.
    pub deleted: u64,
}

/// Slots in a row that ended without a usable recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// The first of them.
    pub since: Timestamp,
    /// How many.
    pub slots: u64,
    /// Whether there may be earlier ones, which were not counted.
    pub at_least: bool,
}

/// What is known of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryObserved {
    /// The snapshots that each location holds.
    pub held: BTreeMap<LocationId, Observation<BTreeSet<String>>>,
    /// When each part was last read at each location.
    pub read: Vec<PartRead>,
    /// Readings that are not at their end.
    pub reading: Vec<PartReading>,
    /// Paths of objects that are damaged, by location.
    pub damaged: BTreeMap<LocationId, BTreeSet<String>>,
    /// The newest prune.
    pub pruned: Option<Pruning>,
}

/// One thing that is missing or too weak.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// A dataset has no binding.
    Dataset(DatasetId),
    /// A location has no folder.
    Location(LocationId),
    /// A kid has no key source.
    Key(Kid),
    /// The bound connector cannot do what policy relies on; the text names it.
    Capability(DatasetId, String),
}

impl std::fmt::Display for Lack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dataset(id) => write!(formatter, "dataset `{id}`"),
            Self::Location(id) => write!(formatter, "location `{id}`"),
            Self::Key(kid) => write!(formatter, "key `{kid}`"),
            Self::Capability(id, what) => write!(formatter, "dataset `{id}` ({what})"),
        }
    }
}

/// How one location stands towards the others of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum CopyState {
    /// It holds every live object.
    InSync,
    /// It misses objects.
    Lagging {
        /// How many.
        missing: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It holds what its name forbids; a person must look.
    Quarantined {
        /// What was found.
        why: String,
    },
}

impl PlanObserved {
    /// The run with this id that left a recovery point.
    pub fn point(&self, id: &BackupId) -> Option<&Run> {
        self.points().find(|run| run.backup_id == *id)
    }

    /// Runs that left a recovery point, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &Run> + Clone {
        self.runs.iter().filter(|run| run.is_point())
    }

    /// Whether a location holds damaged objects of a repository.
    pub fn is_damaged_at(&self, location: &LocationId, kid: &Kid) -> bool {
        self.repositories
            .get(kid)
            .is_some_and(|repository| repository.damaged.contains_key(location))
    }

    /// Whether an operator took a good recovery point since the last slot began.
    pub fn is_made_good(&self) -> bool {
        let ours = self.runs.iter().filter(|run| run.slot.is_none());
        let mut good = ours.filter(|run| run.may_serve() && run.is_verified());
        good.any(|run| self.ended_through.is_some_and(|slot| run.started_at > slot))
    }

    /// The backup that an operator asked for, where it is the newest run and failed. One that an operator ended says nothing.
    pub fn failed_request(&self, now: Timestamp) -> Option<&Run> {
        let runs = self.runs.iter().filter(|run| !run.before_restore);
        let newest = runs.max_by_key(|run| run.rank(now))?;
        let cancelled = format!("[{}]", code::OPERATION_CANCELLED);
        let is_cancelled = newest
            .error
            .as_deref()
            .is_some_and(|why| why.starts_with(&cancelled));
        (newest.slot.is_none() && !newest.is_point() && !is_cancelled).then_some(newest)
    }

    /// Locations that hold damaged objects which no other location has sound, and how many: one that lags by them is repaired.
    pub fn irreparable(&self) -> impl Iterator<Item = (&LocationId, usize)> {
        let in_sync = |location: &LocationId| {
            matches!(
                self.copies.get(location),
                Some(Observation::Known {
                    value: CopyState::InSync,
                    ..
                })
            )
        };
        self.repositories
            .values()
            .flat_map(|repository| &repository.damaged)
            .filter(move |(location, _)| in_sync(location))
            .map(|(location, objects)| (location, objects.len()))
    }

    /// The newest recovery point. One that says it is of a time to come, or of a clock in doubt, is not newer than the others.
    pub fn newest_point(&self, now: Timestamp) -> Option<&Run> {
        self.points().max_by_key(|run| run.rank(now))
    }

    /// Datasets whose newest point shows a source in doubt, and that point. A restore in place after it settled the matter.
    pub fn in_doubt(&self, now: Timestamp) -> BTreeMap<&DatasetId, &Run> {
        let mut newest: BTreeMap<&DatasetId, &Run> = BTreeMap::new();
        for run in self.points() {
            for id in &run.dataset_ids {
                let known = newest.entry(id).or_insert(run);
                if run.rank(now) > known.rank(now) {
                    *known = run;
                }
            }
        }
        newest
            .into_iter()
            .filter(|(id, run)| self.restored.get(*id).is_none_or(|at| *at < run.started_at))
            .filter(|(id, run)| run.collapsed.contains_key(*id))
            .collect()
    }

    /// Locations that are known to lag.
    pub fn lagging(&self) -> BTreeSet<&LocationId> {
        self.copies
            .iter()
            .filter(|(_, state)| {
                matches!(
                    state,
                    Observation::Known {
                        value: CopyState::Lagging { .. },
                        ..
                    }
                )
            })
            .map(|(id, _)| id)
            .collect()
    }
}
