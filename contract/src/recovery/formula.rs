//! Owns the formula of worst-case loss: gaps, windows, copy lag, source lag and late detection added up, the least over all plans.
//!
//! Never counts on catch-up and never rounds in favour of a plan. The interesting function is `plan_loss`.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;

use super::derived::{self, Fold};
use super::loss::{Bound, Loss, Unbounded, Witness};
use super::schedules::{Schedule, terms};
use super::timeline::Corruption;
use super::{LossCase, Recovery};
use crate::calendar::{Calendar, Timing};
use crate::duration::Seconds;
use crate::id::DatasetId;
use crate::model::{BackupPlan, Dataset, Eligibility};

impl Recovery<'_> {
    /// The worst-case loss of a dataset: the least over its plans; for a reconstructed one without plans, the worst of its sources.
    pub fn loss(&self, dataset: &DatasetId, case: &LossCase) -> Loss {
        let Some((dataset, _)) = self.model.datasets.get_key_value(dataset) else {
            return Loss::unbounded(Unbounded::UnknownDataset);
        };
        let sources = |id: &DatasetId| {
            let known = self
                .model
                .datasets
                .get(id)
                .filter(|_| self.is_only_rebuilt(id))?;
            let is_copied = !self.standby_losses(id, case).is_empty();
            (!is_copied).then_some(&known.derived_from)
        };
        if sources(dataset).is_none() {
            return self.loss_by_copies(dataset, case, &BTreeSet::from([dataset]));
        }
        let known = derived::of_case(&self.losses, case);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        // None stands for a circle, or for nothing to rebuild from.
        let worst = |losses: Vec<Option<Arc<Loss>>>| {
            let losses = losses.into_iter().collect::<Option<Vec<_>>>()?;
            let worst = losses.into_iter();
            worst.max_by(|a, b| a.seconds().cmp(&b.seconds()))
        };
        let fold = Fold {
            sources: &sources,
            // The live data of what is rebuilt from this one is gone as well.
            itself: &|id, gone| Some(Arc::new(self.loss_by_copies(id, case, gone))),
            circle: None,
            join: &worst,
        };
        let loss = derived::fold(dataset, &self.needs.turns, &mut known, &fold);
        loss.map_or(Loss::unbounded(Unbounded::NoSource), |loss| {
            loss.as_ref().clone()
        })
    }

    /// The loss of a dataset by its own plans and standbys, when the live data of these is gone as well. Of a reconstructed one
    /// without plans it says nothing.
    pub fn loss_by_copies(
        &self,
        id: &DatasetId,
        case: &LossCase,
        gone: &BTreeSet<&DatasetId>,
    ) -> Loss {
        let Some(dataset) = self.model.datasets.get(id) else {
            return Loss::unbounded(Unbounded::UnknownDataset);
        };
        let losses = self
            .plans_of(id)
            .iter()
            .map(|plan| self.plan_loss(plan, (id, dataset), case, gone))
            .chain(self.standby_losses(id, case));
        losses.reduce(Loss::least).unwrap_or_else(|| {
            Loss::unbounded(match dataset.eligibility {
                Eligibility::BackedUp => Unbounded::NoPlan,
                Eligibility::Excluded => Unbounded::Excluded,
                Eligibility::Reconstructed => Unbounded::NoSource,
            })
        })
    }

    /// The lag limits of the standbys whose sites are left. Corruption reaches a standby as it reaches the primary.
    pub(super) fn standby_losses(&self, id: &DatasetId, case: &LossCase) -> Vec<Loss> {
        let lost = match case {
            LossCase::Corruption => return Vec::new(),
            LossCase::None | LossCase::Domains(_) => case.domains(),
        };
        let standbys = self.standbys.get(id).into_iter().flatten();
        standbys
            .filter(|standby| !self.site_is_lost(&standby.standby, &lost))
            .map(|standby| Loss::Replicated {
                standby: standby.standby_id.clone(),
                lag: standby.lag_limit_s,
            })
            .collect()
    }

    /// The formula of the design for one plan and one of its datasets. `gone` are the datasets whose live data is gone whatever else
    /// is lost, this one among them.
    pub(super) fn plan_loss(
        &self,
        plan: &BackupPlan,
        (id, dataset): (&DatasetId, &Dataset),
        case: &LossCase,
        gone: &BTreeSet<&DatasetId>,
    ) -> Loss {
        let unbounded = |why| Loss::Unbounded {
            why,
            plan: Some(plan.plan_id.clone()),
        };
        let Ground {
            bound,
            timing,
            schedule,
        } = match self.ground(plan, (id, dataset), case, gone) {
            Ok(ground) => ground,
            Err(why) => return unbounded(why),
        };
        let detected = match case {
            LossCase::None | LossCase::Domains(_) => None,
            LossCase::Corruption => match self.detected.get(id) {
                Some(detected) => Some(*detected),
                None => return unbounded(Unbounded::DetectionUnknown),
            },
        };
        let proved = match (timing, detected) {
            (Timing::Continuous { max_lag }, detected) => {
                continuous_loss(bound, plan, *max_lag, detected)
            }
            (Timing::Cron { .. } | Timing::Every { .. }, None) => {
                let late = bound.completion_window.saturating_add(bound.copy_within);
                gap_loss(bound, plan, schedule, schedule.late(plan, late))
            }
            (Timing::Cron { .. } | Timing::Every { .. }, Some(detected)) => {
                corruption_loss(bound, plan, schedule, detected)
            }
        };
        proved.map_or_else(unbounded, Loss::Bounded)
    }

    /// What every loss of a plan shares, before its gap is known: lags and windows, or the reason why there is no bound.
    pub(super) fn ground(
        &self,
        plan: &BackupPlan,
        (id, dataset): (&DatasetId, &Dataset),
        case: &LossCase,
        gone: &BTreeSet<&DatasetId>,
    ) -> Result<Ground<'_>, Unbounded> {
        let Some((timing, schedule)) = self.schedule(plan) else {
            return Err(Unbounded::NoCalendar);
        };
        let Some(copies) = self.copies.get(&(id, &plan.plan_id)) else {
            return Err(Unbounded::NoPlan);
        };
        let lost = case.domains();
        let survivors = copies.survivors(&lost).len();
        let (locations, commit) = (plan.locations.len(), plan.redundancy_profile.commit);
        let commit = usize::try_from(commit).unwrap_or(usize::MAX);
        if self.key_is_lost(plan, copies, case, gone) {
            return Err(Unbounded::KeyLost);
        }
        if survivors == 0 {
            return Err(Unbounded::NoSurvivor);
        }
        let Some(late) = locations.checked_sub(commit) else {
            return Err(Unbounded::CommitAboveLocations);
        };
        let window = plan.backup_frequency.completion_window_s;
        let bound = Bound {
            plan: plan.plan_id.clone(),
            gap: Seconds::ZERO,
            completion_window: window,
            // More survivors than locations that may lag: one of them held the point at its commit.
            copy_within: if survivors > late {
                Seconds::ZERO
            } else {
                plan.redundancy_profile.copy_within_s
            },
            source_lag: self
                .model
                .settings
                .connectors
                .get(&dataset.connector)
                .map_or(Seconds::ZERO, |c| c.source_lag_s),
            detected_within: Seconds::ZERO,
            witness: None,
        };
        Ok(Ground {
            bound,
            timing,
            schedule,
        })
    }
}

/// What a plan's loss is built on.
pub(super) struct Ground<'a> {
    /// The bound without its gap and its witness.
    pub(super) bound: Bound,
    timing: &'a Timing,
    schedule: &'a Schedule,
}

/// `max over i of (t[i+m+1] − t[i]) + F + G(L) + R`.
fn gap_loss(
    bound: Bound,
    plan: &BackupPlan,
    schedule: &Schedule,
    witness: Option<&Witness>,
) -> Result<Bound, Unbounded> {
    let gaps = schedule.gaps.get(&plan.backup_frequency.tolerated_misses);
    let widest = gaps
        .and_then(|gaps| gaps.widest)
        .ok_or(Unbounded::TooFewSlots)?;
    Ok(Bound {
        gap: widest.length(),
        witness: witness.cloned(),
        ..bound
    })
}

/// `δ + the largest x − (newest point ≤ x that retention still keeps at x + δ)`, where points are as old as misses and windows let
/// them be, so that corruption noticed at once costs as much as losing the live data.
fn corruption_loss(
    bound: Bound,
    plan: &BackupPlan,
    schedule: &Schedule,
    detected: Seconds,
) -> Result<Bound, Unbounded> {
    let proof = schedule.corruptions.get(&terms(plan, detected));
    let (gap, witness) = worst(schedule, proof, Some(detected))?;
    Ok(Bound {
        gap,
        detected_within: detected,
        witness,
        ..bound
    })
}

/// The gap that a proof over the slots of a schedule found, with the instants that show it; or why there is none.
pub(super) fn worst(
    schedule: &Schedule,
    proof: Option<&Option<Corruption>>,
    detected: Option<Seconds>,
) -> Result<(Seconds, Option<Witness>), Unbounded> {
    match proof {
        None | Some(None) => Err(Unbounded::TooManySlots),
        Some(Some(Corruption::TooShort)) => Err(Unbounded::TooFewSlots),
        Some(Some(Corruption::NothingKept { corrupted: _ })) => Err(Unbounded::NothingKept),
        Some(Some(Corruption::Worst {
            point,
            next,
            corrupted,
        })) => {
            let late = Seconds::new(corrupted.abs_diff(*next));
            let shown = witness(&schedule.calendar, *point, *next, late, detected);
            Ok((Seconds::new(next.abs_diff(*point)), shown))
        }
    }
}

/// `max_lag + G(L) + R`; for corruption the log must reach back over the time until it is noticed.
fn continuous_loss(
    bound: Bound,
    plan: &BackupPlan,
    max_lag: Seconds,
    detected: Option<Seconds>,
) -> Result<Bound, Unbounded> {
    let detected = detected.unwrap_or(Seconds::ZERO);
    if !detected.is_zero()
        && crate::retention::floor_of_age(&plan.retention) < detected.saturating_add(max_lag)
    {
        return Err(Unbounded::NothingKept);
    }
    Ok(Bound {
        gap: max_lag,
        completion_window: Seconds::ZERO,
        detected_within: detected,
        ..bound
    })
}

/// The instants that show a gap: its two slots, and how much later the second one's point is usable.
pub(super) fn witness(
    calendar: &Calendar,
    point: i64,
    next: i64,
    late: Seconds,
    detected: Option<Seconds>,
) -> Option<Witness> {
    let written = |second: i64| {
        Timestamp::from_second(second)
            .ok()
            .map(|at| calendar.written(at))
    };
    let failure = next.saturating_add(late.signed());
    let noticed = detected.map(|detected| written(failure.saturating_add(detected.signed())));
    Some(Witness {
        point: written(point)?,
        next_slot: written(next)?,
        failure_before: written(failure)?,
        noticed_before: noticed.flatten(),
    })
}
