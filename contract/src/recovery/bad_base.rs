//! Owns the loss when a base cannot be used: the newest full and all increments on it, or a continuous archive with a gap in it.
//!
//! Never asks whether a base is bad. The interesting functions are [`Recovery::loss_with_bad_base`] here and `Timeline::bad_base`,
//! which looks at each pair of fulls.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::formula::{Ground, worst};
use super::loss::{Bound, Loss, Unbounded};
use super::timeline::{Corruption, MAX_SLOTS, Terms, Timeline};
use super::{LossCase, Recovery};
use crate::calendar::{Calendar, Timing};
use crate::duration::Seconds;
use crate::id::DatasetId;
use crate::model::{BackupPlan, Dataset};

/// What the proof about one plan needs, so that equal plans are proved once. It belongs to the schedule of the points that
/// retention counts: that of backups, and for continuous plans that of fulls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bases {
    /// The timing of fulls, and how many of them may be missed in a row; none for a continuous plan, whose points are fulls.
    fulls: Option<(Timing, u32)>,
    terms: Terms,
}

impl Recovery<'_> {
    /// The worst-case loss of a dataset when the newest base of each of its plans turns out to be bad: the newest full cannot be used
    /// and no increment on it, so the newest point before that full is what is left. It is
    ///
    /// - for a plan with fulls: the longest time from the newest point that retention still keeps from before a full to the slot at
    ///   which the next full is taken, both schedules' tolerated misses included;
    /// - for a continuous plan, where the archive breaks just after a full began: the longest time from one full to the next;
    ///
    /// and in both the longer of the two completion windows, copy lag and source lag. Plans whose points are independent, and
    /// standbys, help as ever. `retention::decide` keeps the full that others still need.
    ///
    /// None where no plan has a base, and for corruption, which asks for an older point already: two faults at once are not told.
    pub fn loss_with_bad_base(&self, dataset: &DatasetId, case: &LossCase) -> Option<Loss> {
        match case {
            LossCase::Corruption => return None,
            LossCase::None | LossCase::Domains(_) => {}
        }
        let known = self.model.datasets.get(dataset)?;
        let plans = self.plans_of(dataset);
        if !plans.iter().any(|plan| has_base(plan)) {
            return None;
        }
        let losses = plans.iter().map(|plan| {
            if !has_base(plan) {
                let gone = BTreeSet::from([dataset]);
                return self.plan_loss(plan, (dataset, known), case, &gone);
            }
            let proved = self.bad_base_of(plan, dataset, known, case);
            proved.map_or_else(
                |why| Loss::Unbounded {
                    why,
                    plan: Some(plan.plan_id.clone()),
                },
                Loss::Bounded,
            )
        });
        losses
            .chain(self.standby_losses(dataset, case))
            .reduce(Loss::least)
    }

    fn bad_base_of(
        &self,
        plan: &BackupPlan,
        id: &DatasetId,
        dataset: &Dataset,
        case: &LossCase,
    ) -> Result<Bound, Unbounded> {
        let gone = BTreeSet::from([id]);
        let Ground { bound, .. } = self.ground(plan, (id, dataset), case, &gone)?;
        if plan.full_frequency.is_none() {
            return Err(Unbounded::NoFull);
        }
        let (timing, bases) = self
            .bases(plan, bound.copy_within)
            .ok_or(Unbounded::NoCalendar)?;
        let schedule = self.schedules.get(&timing).ok_or(Unbounded::NoCalendar)?;
        let (gap, witness) = worst(schedule, schedule.bases.get(&bases), None)?;
        Ok(Bound {
            gap,
            completion_window: window(plan),
            witness,
            ..bound
        })
    }

    /// The proof that a plan needs when copies are so late, and the timing to whose slots it belongs.
    fn bases(&self, plan: &BackupPlan, copy_within: Seconds) -> Option<(Timing, Bases)> {
        let fulls = plan.full_frequency.as_ref()?;
        let timing = self.timings.get(&plan.plan_id)?;
        let full_timing = self.fulls.get(&plan.plan_id)?;
        let terms = |misses| {
            let late = window(plan).saturating_add(copy_within);
            Terms::new(misses, late, Seconds::ZERO, &plan.retention)
        };
        let misses = fulls.tolerated_misses;
        Some(match timing {
            Timing::Continuous { .. } => {
                let terms = terms(misses);
                (full_timing.clone(), Bases { fulls: None, terms })
            }
            Timing::Cron { .. } | Timing::Every { .. } => {
                let fulls = Some((full_timing.clone(), misses));
                let terms = terms(plan.backup_frequency.tolerated_misses);
                (timing.clone(), Bases { fulls, terms })
            }
        })
    }

    /// Everything that may be asked about a plan's bases: with copies that held a point at its commit, and with others.
    pub(super) fn all_bases(&self, plan: &BackupPlan) -> impl Iterator<Item = (Timing, Bases)> {
        let late = [Seconds::ZERO, plan.redundancy_profile.copy_within_s];
        late.into_iter().filter_map(|late| self.bases(plan, late))
    }
}

/// Whether a plan's points hang on others.
fn has_base(plan: &BackupPlan) -> bool {
    plan.backup_frequency.continuous.is_some() || plan.full_frequency.is_some()
}

/// The completion window of a full: the longer of the plan's two, or that of its fulls alone where nothing else has slots.
fn window(plan: &BackupPlan) -> Seconds {
    let backups = &plan.backup_frequency;
    let fulls = plan.full_frequency.as_ref();
    let window = fulls.map_or(Seconds::ZERO, |fulls| fulls.completion_window_s);
    if backups.continuous.is_some() {
        return window;
    }
    window.max(backups.completion_window_s)
}

impl Bases {
    /// The proof over the slots of the schedule that it belongs to; none where there are too many to look at each. `calendar` gives
    /// the calendar of the fulls.
    pub(super) fn prove<'c>(
        &self,
        timeline: &Timeline,
        calendar: impl Fn(&Timing) -> Option<&'c Calendar>,
        (from, to): (Timestamp, Timestamp),
    ) -> Option<Corruption> {
        let Some((fulls, misses)) = &self.fulls else {
            return Some(timeline.archive_gap(&self.terms));
        };
        let most = usize::try_from(MAX_SLOTS).unwrap_or(usize::MAX);
        let slots = calendar(fulls)?.slots(from, to);
        let slots: Vec<i64> = slots
            .take(most.saturating_add(1))
            .map(Timestamp::as_second)
            .collect();
        (slots.len() <= most).then(|| timeline.bad_base(&slots, *misses, &self.terms))
    }
}
