//! Owns the time that reading a dataset back takes, from its size and what its storage gives.
//!
//! Never counts people, checks or queues: it is a lower bound, and a runbook's course adds the rest. The interesting function is
//! [`Recovery::recovery_time`].

use super::{LossCase, Recovery};
use crate::duration::Seconds;
use crate::id::{DatasetId, LocationId};
use crate::model::{Dataset, Eligibility, Plan};

impl Recovery<'_> {
    /// How long reading the dataset back takes in a loss case, from the best copy that is left. A reconstructed dataset takes as
    /// long as the slowest of its sources. None where nothing is left to read, or a throughput is zero.
    pub fn recovery_time(&self, dataset: &DatasetId, case: &LossCase) -> Option<Seconds> {
        let known = self.model.datasets.get(dataset)?;
        match known.eligibility {
            Eligibility::Reconstructed if self.plans_of(dataset).is_empty() => known
                .derived_from
                .iter()
                // Sources that are themselves reconstructed would need a walk over circles; rules refuse them.
                .map(|source| self.read_time(source, case))
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .max(),
            Eligibility::BackedUp | Eligibility::Reconstructed | Eligibility::Excluded => {
                self.read_time(dataset, case)
            }
        }
    }

    fn read_time(&self, id: &DatasetId, case: &LossCase) -> Option<Seconds> {
        let dataset = self.model.datasets.get(id)?;
        let lost = case.domains();
        self.plans_of(id)
            .iter()
            .filter_map(|plan| {
                let copies = self.copies.get(&(id, &plan.plan_id))?;
                if copies.key_is_lost(&lost) {
                    return None;
                }
                let left = copies.survivors(&lost);
                left.iter()
                    .filter_map(|location| self.read_from(plan, dataset, location))
                    .min()
            })
            .min()
    }

    /// Thaw and transfer from one location, through the best of the plan's profiles that name it. The location's bandwidth bounds
    /// whatever a profile promises.
    fn read_from(&self, plan: &Plan, dataset: &Dataset, location: &LocationId) -> Option<Seconds> {
        let settings = &self.model.settings;
        let bandwidth = settings.locations.get(location)?.bandwidth_bytes_per_second;
        plan.storage_profiles
            .iter()
            .filter_map(|profile| settings.storage.get(profile))
            .filter(|profile| profile.locations.contains(location))
            .filter_map(|profile| {
                let rate = profile.restore_throughput_bytes_per_second.min(bandwidth);
                let whole = dataset.sizing.size_bytes.checked_div(rate)?;
                let rest = u64::from(dataset.sizing.size_bytes.checked_rem(rate)? > 0);
                let transfer = Seconds::new(whole.saturating_add(rest));
                Some(profile.thaw_time_s.saturating_add(transfer))
            })
            .min()
    }
}
