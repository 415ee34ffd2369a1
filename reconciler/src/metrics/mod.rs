//! Owns how the counts of the store, the last runs and the status read in Prometheus' text format. Looks at nothing: whoever shows
//! metrics brings a [`Scene`]. The interesting function is [`text`].

mod text;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::duration::Seconds;
use contract::id::{DatasetId, LocationId, PlanId};
use contract::model::Model;
use jiff::Timestamp;

use crate::domain::{Change, Operation, OperationKind, Outcome, Tallied};
use crate::status::Status;

pub use text::text;

/// How long the last successful runs of this process took, and how large they were.
#[derive(Debug, Default)]
pub struct LastRuns(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    backups: BTreeMap<PlanId, LastBackup>,
    restores: BTreeMap<DatasetId, Seconds>,
}

#[derive(Debug, Clone, Copy)]
struct LastBackup {
    took: Seconds,
    bytes: u64,
}

impl LastRuns {
    /// Remembers what was just committed.
    pub fn committed(&self, changes: &[Change]) {
        for change in changes {
            if let Change::RunEnded(run) = change
                && run.is_point()
            {
                let last = LastBackup {
                    took: length(run.started_at, run.finished_at),
                    bytes: run.bytes,
                };
                self.lock().backups.insert(run.plan_id.clone(), last);
            }
        }
    }

    /// Remembers an operation whose end was just committed.
    pub fn ended(&self, operation: &Operation) {
        let is_success = operation.state.outcome() == Some(Outcome::Success);
        if let (OperationKind::Restore, true, Some(end)) =
            (operation.kind, is_success, operation.ended_at)
        {
            let took = length(operation.started_at, end);
            let mut known = self.lock();
            for id in &operation.dataset_ids {
                known.restores.insert(id.clone(), took);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn length(from: Timestamp, to: Timestamp) -> Seconds {
    Seconds::new(u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0))
}

/// Everything that the metrics show besides the last runs.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The name of this reconciler.
    pub reconciler: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The active policy and its status; none before the first was accepted.
    pub followed: Option<(&'a Model, &'a Status, Timestamp)>,
    /// What ended so far.
    pub tallies: Vec<Tallied>,
    /// Effects that may run at the same time.
    pub workers: u64,
    /// How many of them run now.
    pub busy: u64,
    /// Operations that are carried out now, by kind.
    pub running: BTreeMap<String, u64>,
    /// Steps that are due and not begun.
    pub due: u64,
    /// Receipts in the log.
    pub receipts: u64,
    /// How many of them each location has.
    pub copied: BTreeMap<LocationId, u64>,
    /// The locations.
    pub locations: Vec<Place>,
    /// What a location lacks of a plan's repository.
    pub lag: Vec<Lag>,
}

/// One location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub location_id: LocationId,
    /// Whether it can be used.
    pub is_usable: bool,
    /// How large its file system is, and what is left of it.
    pub size_and_free: Option<(u64, u64)>,
}

/// What a location lacks of a plan's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The plan.
    pub plan_id: PlanId,
    /// The location.
    pub location_id: LocationId,
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}
