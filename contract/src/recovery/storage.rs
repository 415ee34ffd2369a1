//! Owns the forecast of storage: how many bytes each location needs in the steady state, held against what fits.
//!
//! Never counts on compression or deduplication: it is an upper bound from sizing, as good as the sizing is. The interesting
//! function is `needed`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Recovery;
use super::kept::Numbers;
use crate::calendar::{Gaps, Timing};
use crate::id::{DatasetId, LocationId, PlanId};
use crate::model::{BackupPlan, Model, Sizing};

/// What a location has to hold in the steady state, before compression and deduplication.
///
/// A plan's points share what did not change: the newest holds all of a dataset, each older one at most what changed between it and
/// the next that is kept, and never more than all. Where a plan takes fulls, every full that a kept point needs is a whole copy with
/// all increments up to the next. A continuous archive holds its fulls and the log since the oldest. Datasets are as large as
/// their sizing says, and do not grow. Not counted: what a running backup writes, and what waits to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// The most that the plans need together over the horizon's last year, bytes; [`MAX_BYTES`] where no number holds.
    pub needed_bytes: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// What fits, bytes.
    pub capacity_bytes: u64,
    /// Whether it fits; never where no number holds.
    pub fits: bool,
    /// What takes most, the most first, at most [`TOLD_SHARES`]; empty where nothing is kept here.
    pub largest: Vec<Share>,
    /// Plans of which no number is known: their schedules cannot be read or have too many slots, or a full copy never comes again.
    pub unbounded: BTreeSet<PlanId>,
}

/// What one plan keeps of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The plan.
    pub plan: PlanId,
    /// The dataset.
    pub dataset: DatasetId,
    /// What it needs, bytes; [`MAX_BYTES`] where no number holds.
    pub bytes: u64,
}

/// The largest number of bytes that is told, 2^53 − 1, which JSON holds without rounding.
pub const MAX_BYTES: u64 = 9_007_199_254_740_991;

/// How many shares of a location are named.
pub const TOLD_SHARES: usize = 3;

const DAY: u64 = 86_400;

/// A dataset that a plan protects, of the model or like one of it.
#[derive(Debug, Clone)]
pub struct Holding<'m> {
    /// The plan of the model that says how it is kept.
    pub kept_by: &'m BackupPlan,
    /// What its own plan is called.
    pub plan: PlanId,
    /// What it is called.
    pub dataset: DatasetId,
    /// How much of it there is.
    pub sizing: Sizing,
}

/// What is known of points that stand, for a length of time in which a dataset changes wholly.
type Spreads<'a> = BTreeMap<(&'a Timing, Numbers, u64), u64>;

/// The bytes that a plan needs for a dataset; none where no number holds.
type Need<'a> = (Option<u64>, &'a PlanId, &'a DatasetId);

/// What each plan of a model keeps.
pub fn holdings(model: &Model) -> impl Iterator<Item = Holding<'_>> {
    let pairs = model.plans.values().flat_map(|plan| {
        let datasets = plan.dataset_ids.iter();
        datasets.map(move |dataset| (plan, dataset))
    });
    pairs.filter_map(|(plan, dataset)| {
        Some(Holding {
            kept_by: plan,
            plan: plan.plan_id.clone(),
            dataset: dataset.clone(),
            sizing: model.datasets.get(dataset)?.sizing.clone(),
        })
    })
}

impl Recovery<'_> {
    /// What each location has to hold. The first question does the work of [`Recovery::kept`].
    pub fn forecast(&self) -> BTreeMap<LocationId, Forecast> {
        self.forecast_of(&holdings(self.model).collect::<Vec<_>>())
    }

    /// The same of these alone: all that plans keep, or more than the model says where it stands for a larger one.
    pub fn forecast_of(&self, holdings: &[Holding<'_>]) -> BTreeMap<LocationId, Forecast> {
        let mut shares: BTreeMap<&LocationId, Vec<Need<'_>>> = BTreeMap::new();
        let mut spreads = Spreads::new();
        for holding in holdings {
            let plan = holding.kept_by;
            let bytes = self.needed(plan, &holding.sizing, &mut spreads);
            for location in &plan.locations {
                let here = shares.entry(location).or_default();
                here.push((bytes, &holding.plan, &holding.dataset));
            }
        }
        let locations = self.model.settings.locations.iter();
        locations
            .map(|(id, location)| {
                let here = shares.get(id).map_or(&[][..], Vec::as_slice);
                (id.clone(), forecast(here, location.capacity_bytes))
            })
            .collect()
    }

    /// The bytes that a plan needs for a dataset at each of its locations; none where no number holds.
    fn needed<'a>(
        &'a self,
        plan: &'a BackupPlan,
        sizing: &Sizing,
        spreads: &mut Spreads<'a>,
    ) -> Option<u64> {
        let (timing, schedule) = self.schedule(plan)?;
        let fulls = plan.full_frequency.as_ref().map(|_| {
            let (timing, schedule) = self.full_schedule(plan)?;
            let Gaps {
                widest, narrowest, ..
            } = schedule.gaps.get(&0)?;
            let (widest, narrowest) = (widest.as_ref()?, narrowest.as_ref()?);
            Some((timing, widest.length().get(), narrowest.length().get()))
        });
        let Sizing {
            size_bytes: size,
            change_per_day_bytes: change,
        } = *sizing;
        match (timing, fulls) {
            (_, Some(None)) | (Timing::Continuous { .. }, None) => None,
            (Timing::Continuous { .. }, Some(Some((fulls, widest, _)))) => {
                // The log reaches back to the oldest full, or to the one before where the floor of age lies between them.
                let extent = self.standing(fulls, &plan.retention)?.extent;
                let log = extent.farthest.max(0).unsigned_abs().saturating_add(widest);
                let copies = size.saturating_mul(extent.most.saturating_add(1));
                Some(copies.saturating_add(changed(change, log)))
            }
            (Timing::Cron { .. } | Timing::Every { .. }, Some(Some((_, widest, narrowest)))) => {
                // Each point hangs on one full: one of those since the oldest point, or the last one before it.
                let extent = self.standing(timing, &plan.retention)?.extent;
                let reach = extent.farthest.max(0).unsigned_abs();
                let since = reach.checked_div(narrowest)?.saturating_add(2);
                // A full is taken by the first run at or after its slot.
                let run = schedule.gaps.get(&0)?.widest?.length().get();
                let chain = size.saturating_add(changed(change, widest.saturating_add(run)));
                Some(chain.saturating_mul(since.min(extent.most)))
            }
            (Timing::Cron { .. } | Timing::Every { .. }, None) => {
                let standing = self.standing(timing, &plan.retention)?;
                let whole = u128::from(size) * u128::from(DAY);
                let Some(rewritten) = whole.checked_div(change.into()) else {
                    return Some(size);
                };
                // Rounded up, so that datasets share the work; never below the time in which all bytes change.
                let rewritten = rounded_up(
                    u64::try_from(rewritten)
                        .unwrap_or(u64::MAX)
                        .saturating_add(1),
                );
                let key = (timing, super::kept::numbers(&plan.retention), rewritten);
                let spread = *spreads
                    .entry(key)
                    .or_insert_with(|| standing.spread(rewritten));
                let older = size.saturating_mul(standing.extent.most.saturating_sub(1));
                Some(size.saturating_add(changed(change, spread).min(older)))
            }
        }
    }
}

fn forecast(shares: &[Need<'_>], capacity: u64) -> Forecast {
    let unbounded: BTreeSet<PlanId> = shares
        .iter()
        .filter(|(bytes, _, _)| bytes.is_none())
        .map(|(_, plan, _)| (*plan).clone())
        .collect();
    let needed = shares.iter().fold(0_u64, |sum, (bytes, _, _)| {
        sum.saturating_add(bytes.unwrap_or(u64::MAX))
    });
    // What has no number takes most; of equals the first by its id.
    let mut largest: Vec<&Need<'_>> = shares.iter().collect();
    largest.sort_by_key(|(bytes, plan, dataset)| {
        (Reverse(bytes.unwrap_or(u64::MAX)), *plan, *dataset)
    });
    let largest = largest.into_iter().take(TOLD_SHARES);
    Forecast {
        needed_bytes: needed.min(MAX_BYTES),
        bounded: unbounded.is_empty(),
        capacity_bytes: capacity,
        fits: unbounded.is_empty() && needed <= capacity,
        largest: largest
            .map(|(bytes, plan, dataset)| Share {
                plan: (*plan).clone(),
                dataset: (*dataset).clone(),
                bytes: bytes.unwrap_or(u64::MAX).min(MAX_BYTES),
            })
            .collect(),
        unbounded,
    }
}

/// What changes in so many seconds, rounded up.
fn changed(per_day: u64, seconds: u64) -> u64 {
    let bytes = (u128::from(per_day) * u128::from(seconds)).div_ceil(DAY.into());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The next number of four binary digits and zeros: at most an eighth more.
fn rounded_up(number: u64) -> u64 {
    let shift = (u64::BITS - number.leading_zeros()).saturating_sub(4);
    let unit = 1_u64 << shift;
    number.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}
