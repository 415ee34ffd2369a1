//! Owns what must not run side by side: two who work on one plan, and a restore over live data beside whoever reads them. Who
//! waits for several waits for plans first and for data then, each in the order of their names, so that no two wait for each
//! other. The interesting function is [`Claims::data_to_write`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use contract::id::{DatasetId, PlanId};
use jiff::Timestamp;
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::config::Config;
use crate::world::connector::live_path;

/// Who works on a plan, with the instant that the last one named its operations after.
pub(super) type PlanClaim = OwnedMutexGuard<Option<Timestamp>>;

/// Who works on what. Ids come from policies, so that there are never more than plans and datasets.
#[derive(Debug, Default)]
pub(super) struct Claims {
    plans: Mutex<BTreeMap<PlanId, Arc<tokio::sync::Mutex<Option<Timestamp>>>>>,
    data: Mutex<BTreeMap<DatasetId, Arc<RwLock<()>>>>,
}

impl Claims {
    /// Waits until nobody else works on a plan. Who asks first comes first.
    pub(super) async fn plan(&self, plan_id: &PlanId) -> PlanClaim {
        self.of_plan(plan_id).lock_owned().await
    }

    /// The claim on a plan, when nobody works on it.
    pub(super) fn try_plan(&self, plan_id: &PlanId) -> Option<PlanClaim> {
        self.of_plan(plan_id).try_lock_owned().ok()
    }

    fn of_plan(&self, plan_id: &PlanId) -> Arc<tokio::sync::Mutex<Option<Timestamp>>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(plans.entry(plan_id.clone()).or_default())
    }

    fn of_data(&self, dataset: &DatasetId) -> Arc<RwLock<()>> {
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(data.entry(dataset.clone()).or_default())
    }

    /// Waits until nobody replaces the live data of datasets.
    pub(super) async fn data_to_read(
        &self,
        datasets: &BTreeSet<DatasetId>,
    ) -> Vec<OwnedRwLockReadGuard<()>> {
        let mut held = Vec::new();
        for dataset in datasets {
            held.push(self.of_data(dataset).read_owned().await);
        }
        held
    }

    /// Waits until nobody reads or replaces the live data of a dataset, or of another one that is bound to the same.
    pub(super) async fn data_to_write(
        &self,
        config: &Config,
        dataset: &DatasetId,
    ) -> Vec<OwnedRwLockWriteGuard<()>> {
        let mut held = Vec::new();
        for dataset in bound_to_the_same(config, dataset) {
            held.push(self.of_data(&dataset).write_owned().await);
        }
        held
    }
}

/// The dataset, and those whose live data are inside of its own, around them, or the same.
fn bound_to_the_same(config: &Config, dataset: &DatasetId) -> BTreeSet<DatasetId> {
    let mut all = BTreeSet::from([dataset.clone()]);
    let Some(binding) = config.datasets.get(dataset) else {
        return all;
    };
    let overlaps = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
    for (id, other) in &config.datasets {
        let is_same = match (live_path(binding), live_path(other)) {
            (Some(one), Some(other)) => overlaps(one, other),
            // A database has no path: its binding says which one it is.
            (None, None) => binding.same_database(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_same {
            all.insert(id.clone());
        }
    }
    all
}
