//! Owns what is counted since the process began, and how it reads in Prometheus' text format together with the status. Looks at
//! nothing: whoever shows metrics brings a [`Scene`]. The interesting functions are [`Tally::count`] and [`text`].

mod text;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::duration::Seconds;
use contract::id::{DatasetId, LocationId, PlanId};
use contract::model::Model;
use jiff::Timestamp;

use crate::domain::{Change, Operation, OperationKind, Outcome, Run, RunStatus, SlotOutcome};
use crate::status::Status;

pub use text::text;

/// Counts what is recorded. A restart begins at zero, which Prometheus' `rate` and `increase` expect.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    slots: BTreeMap<(PlanId, SlotOutcome), u64>,
    backups: BTreeMap<(PlanId, DatasetId, RunStatus), u64>,
    newest: BTreeMap<PlanId, NewestBackup>,
    added_bytes: BTreeMap<PlanId, u64>,
    checks: BTreeMap<(PlanId, Outcome), u64>,
    catch_ups: BTreeMap<(PlanId, Outcome), u64>,
    restores: BTreeMap<(DatasetId, Outcome), u64>,
    restored: BTreeMap<DatasetId, Seconds>,
}

/// What the last run of a plan was that left a recovery point.
#[derive(Debug, Clone, Copy)]
struct NewestBackup {
    took: Seconds,
    bytes: u64,
}

impl Tally {
    /// Counts what was just committed.
    pub fn count(&self, changes: &[Change]) {
        let mut counted = self.lock();
        for change in changes {
            match change {
                Change::SlotEnded(slot) => {
                    let key = (slot.plan_id.clone(), slot.outcome);
                    *counted.slots.entry(key).or_default() += slot.count;
                }
                Change::RunEnded(run) => counted.backup(run),
                _ => {}
            }
        }
    }

    /// Counts an operation whose end was just committed. Backups are counted as runs.
    pub fn count_end(&self, operation: &Operation) {
        let Some(outcome) = operation.state.outcome() else {
            return;
        };
        let mut counted = self.lock();
        let of_plan = (operation.plan_id.clone(), outcome);
        match operation.kind {
            OperationKind::Backup => {}
            OperationKind::Verify => *counted.checks.entry(of_plan).or_default() += 1,
            OperationKind::CatchUp => *counted.catch_ups.entry(of_plan).or_default() += 1,
            OperationKind::Restore => {
                for id in &operation.dataset_ids {
                    let key = (id.clone(), outcome);
                    *counted.restores.entry(key).or_default() += 1;
                    if let (Outcome::Success, Some(end)) = (outcome, operation.ended_at) {
                        let took = length(operation.started_at, end);
                        counted.restored.insert(id.clone(), took);
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn backup(&mut self, run: &Run) {
        for id in &run.dataset_ids {
            let key = (run.plan_id.clone(), id.clone(), run.status);
            *self.backups.entry(key).or_default() += 1;
        }
        *self.added_bytes.entry(run.plan_id.clone()).or_default() += run.added_bytes;
        if run.is_point() {
            let newest = NewestBackup {
                took: length(run.started_at, run.finished_at),
                bytes: run.bytes,
            };
            self.newest.insert(run.plan_id.clone(), newest);
        }
    }
}

fn length(from: Timestamp, to: Timestamp) -> Seconds {
    Seconds::new(u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0))
}

/// Everything that the metrics show besides what was counted.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The name of this reconciler.
    pub reconciler: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The active policy and its status; none before the first was accepted.
    pub followed: Option<(&'a Model, &'a Status, Timestamp)>,
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
