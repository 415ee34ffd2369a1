//! Owns the time that reading a dataset back takes, from its size and what its storage gives, or from how long it took.
//!
//! Never counts people, checks or queues: it is a lower bound, and a runbook's course adds the rest. The interesting function is
//! [`Recovery::recovery_time`]; `readings` tells what is read where, for whoever reads several datasets at once.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use serde::Serialize;

use super::derived::{self, Fold};
use super::{LossCase, Recovery};
use crate::duration::Seconds;
use crate::evidence::Measured;
use crate::id::{DatasetId, LocationId};
use crate::model::{BackupPlan, Dataset, Eligibility};

/// One dataset read from one location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading {
    /// How long it takes when nobody else reads there.
    pub(super) alone: Seconds,
    pub(super) location: LocationId,
    pub(super) thaw: Seconds,
    pub(super) bytes: u64,
    /// Bytes a second that it can take, above zero and never above the location's bandwidth.
    pub(super) rate: u64,
    /// Bytes a second that all readers of the location share.
    pub(super) bandwidth: u64,
    /// How much of it was seen.
    pub(super) seen: Seen,
}

/// How much of a recovery time was seen, and how much settings promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Seen {
    /// At least as many bytes came back as there are said to be.
    #[serde(rename = "evidence")]
    All,
    /// Some came back; for the rest settings promise a throughput.
    #[serde(rename = "evidence and sizing")]
    Part,
    /// All of it is computed from settings.
    #[serde(rename = "sizing")]
    Nothing,
}

impl Recovery<'_> {
    /// How long reading the dataset back takes in a loss case, from the best copy that is left. A dataset that is reconstructed takes
    /// as long as the slowest of its sources, through however many that are themselves reconstructed. None where nothing is left
    /// to read, a throughput is zero, or what it is rebuilt from leads nowhere or back to itself.
    pub fn recovery_time(&self, dataset: &DatasetId, case: &LossCase) -> Option<Seconds> {
        self.time_and_seen(dataset, case).map(|(time, _)| time)
    }

    /// How much of the recovery time was seen, of what was seen least of.
    pub fn seen(&self, dataset: &DatasetId, case: &LossCase) -> Seen {
        let known = self.time_and_seen(dataset, case);
        known.map_or(Seen::Nothing, |(_, seen)| seen)
    }

    /// The longest of all readings, and how much was seen of the one that was seen least of.
    fn time_and_seen(&self, dataset: &DatasetId, case: &LossCase) -> Option<(Seconds, Seen)> {
        let (dataset, _) = self.model.datasets.get_key_value(dataset)?;
        let itself = |id: &DatasetId, gone: &BTreeSet<&DatasetId>| {
            let known = self.model.datasets.get(id)?;
            let reading = self.best_reading(id, known, case, gone)?;
            Some((reading.alone, reading.seen))
        };
        let sources = |id: &DatasetId| {
            let known = self
                .model
                .datasets
                .get(id)
                .filter(|_| self.is_only_rebuilt(id));
            known.map(|known| &known.derived_from)
        };
        if sources(dataset).is_none() {
            return itself(dataset, &BTreeSet::from([dataset]));
        }
        let join = |readings: Vec<Option<(Seconds, Seen)>>| {
            let readings = readings.into_iter().collect::<Option<Vec<_>>>()?;
            readings
                .into_iter()
                .reduce(|(time, seen), (other, other_seen)| (time.max(other), seen.max(other_seen)))
        };
        let known = derived::of_case(&self.times, case);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let fold = Fold {
            sources: &sources,
            itself: &|id, gone| itself(id, gone),
            circle: None,
            join: &join,
        };
        derived::fold(dataset, &self.needs.turns, &mut known, &fold)
    }

    /// What has to be read to have a dataset back, at least one reading; each source once.
    pub(super) fn readings(&self, dataset: &DatasetId, case: &LossCase) -> Option<Vec<Reading>> {
        let mut readings = Vec::new();
        let mut done = BTreeSet::new();
        // The datasets on the way to the one that is looked at: to meet one of them again is a circle.
        let mut way = BTreeSet::new();
        let mut open = vec![(dataset, false)];
        while let Some((id, leaving)) = open.pop() {
            if leaving {
                way.remove(id);
                done.insert(id);
                continue;
            }
            if done.contains(id) {
                continue;
            }
            if !way.insert(id) {
                return None;
            }
            open.push((id, true));
            let known = self.model.datasets.get(id)?;
            let planned = !self.plans_of(id).is_empty();
            match known.eligibility {
                Eligibility::Reconstructed if !planned => {
                    if known.derived_from.is_empty() {
                        return None;
                    }
                    open.extend(known.derived_from.iter().map(|source| (source, false)));
                }
                Eligibility::BackedUp | Eligibility::Reconstructed | Eligibility::Excluded => {
                    readings.push(self.best_reading(id, known, case, &way)?);
                }
            }
        }
        Some(readings)
    }

    /// The best copy that is left; what was measured counts before what settings promise, also of another copy.
    fn best_reading(
        &self,
        id: &DatasetId,
        dataset: &Dataset,
        case: &LossCase,
        gone: &BTreeSet<&DatasetId>,
    ) -> Option<Reading> {
        let lost = case.domains();
        let measured = self.measured.get(id);
        let plans = self.plans_of(id).iter();
        let readings = plans.filter_map(|plan| {
            let copies = self.copies.get(&(id, &plan.plan_id))?;
            if self.key_is_lost(plan, copies, case, gone) {
                return None;
            }
            let left = copies.survivors(&lost);
            if let Some(measured) = measured.filter(|measured| left.contains(&measured.location)) {
                return self.as_measured(measured, plan, dataset);
            }
            left.iter()
                .filter_map(|location| self.read_from(plan, dataset, location))
                .min()
        });
        readings.min_by_key(|reading| (reading.seen, reading.clone()))
    }

    /// As long as it took for what came back then, thaw and all; what there is beyond is read as settings promise.
    fn as_measured(
        &self,
        measured: &Measured,
        plan: &BackupPlan,
        dataset: &Dataset,
    ) -> Option<Reading> {
        let promised = self.read_from(plan, dataset, &measured.location)?;
        let rest = promised.bytes.saturating_sub(measured.bytes);
        let seconds = transfer(rest.into(), promised.rate)?;
        let seconds = seconds.saturating_add(Seconds::new(measured.seconds));
        let bytes = promised.bytes.max(measured.bytes);
        // Beside others it takes its part of the bandwidth all of the time.
        let rate = bytes.checked_div(seconds.get())?.max(1);
        let rate = rate.min(promised.bandwidth);
        Some(Reading {
            alone: seconds,
            thaw: Seconds::ZERO,
            bytes,
            rate,
            seen: if rest == 0 { Seen::All } else { Seen::Part },
            ..promised
        })
    }

    /// Thaw and transfer from one location, through the best of the plan's profiles that name it. The location's bandwidth bounds
    /// whatever a profile promises.
    fn read_from(
        &self,
        plan: &BackupPlan,
        dataset: &Dataset,
        location: &LocationId,
    ) -> Option<Reading> {
        let settings = &self.model.settings;
        let bandwidth = settings.locations.get(location)?.bandwidth_bytes_per_second;
        let bytes = dataset.sizing.size_bytes;
        plan.storage_profiles
            .iter()
            .filter_map(|profile| settings.storage.get(profile))
            .filter(|profile| profile.locations.contains(location))
            .filter_map(|profile| {
                let rate = profile.restore_throughput_bytes_per_second.min(bandwidth);
                let transfer = transfer(bytes.into(), rate)?;
                Some(Reading {
                    alone: profile.thaw_time_s.saturating_add(transfer),
                    location: location.clone(),
                    thaw: profile.thaw_time_s,
                    bytes,
                    rate,
                    bandwidth,
                    seen: Seen::Nothing,
                })
            })
            .min()
    }
}

/// How long so many bytes take, rounded up; none at a rate of zero.
pub(super) fn transfer(bytes: u128, rate: u64) -> Option<Seconds> {
    let rate = u128::from(rate);
    let rest = u128::from(bytes.checked_rem(rate)? > 0);
    let seconds = bytes.checked_div(rate)?.saturating_add(rest);
    Some(Seconds::new(u64::try_from(seconds).unwrap_or(u64::MAX)))
}
