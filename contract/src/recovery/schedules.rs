//! Owns what is known of schedules: each is walked once, for everything that the plans which use it need to have proved.
//!
//! Never judges what was found. The interesting function is [`Recovery::walk_schedules`].

use std::collections::{BTreeMap, BTreeSet};

use super::bad_base::Bases;
use super::timeline::{Corruption, MAX_SLOTS, Terms, Timeline};
use super::{Recovery, Witness, formula};
use crate::calendar::{Calendar, Gaps, Timing, Zones};
use crate::duration::Seconds;
use crate::model::{self, BackupPlan};

/// What is known about one schedule, whoever uses it.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) calendar: Calendar,
    pub(super) gaps: BTreeMap<u32, Gaps>,
    /// By tolerated misses and how late after its slot the next point is usable; writing instants down is slow.
    witnesses: BTreeMap<(u32, Seconds), Witness>,
    pub(super) corruptions: BTreeMap<Terms, Option<Corruption>>,
    pub(super) shallow: BTreeMap<Terms, Option<i64>>,
    pub(super) bases: BTreeMap<Bases, Option<Corruption>>,
}

/// What is proved over the slots of one schedule: corruptions, shallow retention, bad bases.
type Proved = (
    BTreeMap<Terms, Option<Corruption>>,
    BTreeMap<Terms, Option<i64>>,
    BTreeMap<Bases, Option<Corruption>>,
);

/// What the plans of one schedule need to have proved over its slots.
#[derive(Default)]
struct Wanted {
    corruptions: BTreeSet<Terms>,
    shallow: BTreeSet<Terms>,
    bases: BTreeSet<Bases>,
}

impl Schedule {
    /// Writes down the instants that show the widest gap when the next point is usable this long after its slot.
    fn show(&mut self, misses: u32, late: Seconds) {
        let widest = self.gaps.get(&misses).and_then(|gaps| gaps.widest);
        if let Some(widest) = widest.filter(|_| !self.witnesses.contains_key(&(misses, late))) {
            let (point, next) = (widest.from.as_second(), widest.to.as_second());
            let shown = formula::witness(&self.calendar, point, next, late, None);
            self.witnesses
                .extend(shown.map(|shown| ((misses, late), shown)));
        }
    }

    pub(super) fn late(&self, plan: &BackupPlan, late: Seconds) -> Option<&Witness> {
        let misses = plan.backup_frequency.tolerated_misses;
        self.witnesses.get(&(misses, late))
    }
}

impl Recovery<'_> {
    /// Makes the calendar of a schedule known; none when it cannot be read.
    pub(super) fn learn(&mut self, schedule: &model::Schedule, zones: &Zones) -> Option<Timing> {
        let timing = schedule.timing().ok()?;
        if !self.schedules.contains_key(&timing) {
            let schedule = Schedule {
                calendar: Calendar::new(timing.clone(), zones).ok()?,
                gaps: BTreeMap::new(),
                witnesses: BTreeMap::new(),
                corruptions: BTreeMap::new(),
                shallow: BTreeMap::new(),
                bases: BTreeMap::new(),
            };
            self.schedules.insert(timing.clone(), schedule);
        }
        Some(timing)
    }

    /// Walks each schedule once for everything that its plans need.
    pub(super) fn walk_schedules(&mut self) {
        let (from, to) = (self.from, self.to);
        let mut wanted: BTreeMap<Timing, Wanted> = BTreeMap::new();
        let mut distances: BTreeSet<(Timing, u32)> = BTreeSet::new();
        for (id, timing) in &self.timings {
            let Some(plan) = self.model.plans.get(*id) else {
                continue;
            };
            let of_plan = wanted.entry(timing.clone()).or_default();
            let shallow = Some(terms(plan, Seconds::ZERO)).filter(|terms| !terms.deep_by_count());
            of_plan.shallow.extend(shallow);
            let detected = plan
                .dataset_ids
                .iter()
                .filter_map(|dataset| self.detected.get(dataset));
            of_plan
                .corruptions
                .extend(detected.map(|detected| terms(plan, *detected)));
            for (timing, bases) in self.all_bases(plan) {
                wanted.entry(timing).or_default().bases.insert(bases);
            }
            distances.insert((timing.clone(), plan.backup_frequency.tolerated_misses));
            if let Some(fulls) = self.fulls.get(*id) {
                distances.extend([(timing.clone(), 0), (fulls.clone(), 0)]);
            }
        }
        for (timing, misses) in distances {
            if let Some(schedule) = self.schedules.get_mut(&timing) {
                let gaps = schedule.calendar.gaps(from, to, misses);
                schedule.gaps.insert(misses, gaps);
            }
        }
        for (id, timing) in &self.timings {
            let plan = self.model.plans.get(*id);
            let Some((plan, schedule)) = plan.zip(self.schedules.get_mut(timing)) else {
                continue;
            };
            let runs = &plan.backup_frequency;
            let (misses, window) = (runs.tolerated_misses, runs.completion_window_s);
            let copied = plan.redundancy_profile.copy_within_s;
            schedule.show(misses, window);
            schedule.show(misses, window.saturating_add(copied));
        }
        for (timing, wanted) in wanted {
            let Some(proved) = self.prove(&timing, wanted) else {
                continue;
            };
            if let Some(schedule) = self.schedules.get_mut(&timing) {
                (schedule.corruptions, schedule.shallow, schedule.bases) = proved;
            }
        }
    }

    /// Everything that is wanted of one schedule, over its slots.
    fn prove(&self, timing: &Timing, wanted: Wanted) -> Option<Proved> {
        let schedule = self.schedules.get(timing)?;
        let Wanted {
            corruptions,
            shallow,
            bases,
        } = wanted;
        let none = corruptions.is_empty() && shallow.is_empty() && bases.is_empty();
        let slots = schedule.gaps.values().map(|gaps| gaps.slots).max();
        let few = !none && slots.unwrap_or(0) <= MAX_SLOTS;
        let timeline = few.then(|| Timeline::new(&schedule.calendar, self.from, self.to));
        let timeline = timeline.as_ref();
        let calendar = |timing: &Timing| Some(&self.schedules.get(timing)?.calendar);
        let corruptions = corruptions.into_iter().map(|terms| {
            let proof = timeline.map(|timeline| timeline.corruption(&terms));
            (terms, proof)
        });
        let shallow = shallow.into_iter().map(|terms| {
            let proof = timeline.and_then(|timeline| timeline.first_too_shallow(&terms));
            (terms, proof)
        });
        let bases = bases.into_iter().map(|bases| {
            let horizon = (self.from, self.to);
            let proof = timeline.and_then(|timeline| bases.prove(timeline, calendar, horizon));
            (bases, proof)
        });
        Some((corruptions.collect(), shallow.collect(), bases.collect()))
    }

    pub(super) fn schedule(&self, plan: &BackupPlan) -> Option<(&Timing, &Schedule)> {
        let timing = self.timings.get(&plan.plan_id)?;
        Some((timing, self.schedules.get(timing)?))
    }

    /// The schedule of a plan's fulls.
    pub(super) fn full_schedule(&self, plan: &BackupPlan) -> Option<(&Timing, &Schedule)> {
        let timing = self.fulls.get(&plan.plan_id)?;
        Some((timing, self.schedules.get(timing)?))
    }
}

/// What a proof over the slots of a plan's schedule depends on.
pub(super) fn terms(plan: &BackupPlan, detected: Seconds) -> Terms {
    let schedule = &plan.backup_frequency;
    Terms::new(
        schedule.tolerated_misses,
        schedule.completion_window_s,
        detected,
        &plan.retention,
    )
}
