//! Owns the proofs of recovery: worst-case loss, survivors, cut sets, redundancy, and the conditions on which they rest.
//!
//! Never judges a number against an objective except for coverage, never reads a clock, and never counts on catch-up.
//! The interesting functions are [`Recovery::loss`] and, beneath it, `plan_loss`, which is the formula of the design.

mod case;
mod conditions;
mod loss;
mod redundancy;
mod survivors;
mod time;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

pub use case::LossCase;
pub use conditions::Condition;
pub use loss::{Bound, Loss, Unbounded, Witness};
pub use redundancy::{Redundancy, Shortfall};
pub use survivors::{CutSets, MAX_CUT_SETS, MAX_CUT_SIZE};

use crate::calendar::{Calendar, Gaps, Timing, Zones};
use crate::duration::Seconds;
use crate::id::{DatasetId, LocationId, PlanId};
use crate::model::{Dataset, Eligibility, FaultDomain, LoseCase, Model, Plan, Trigger};
use case::Parents;
use survivors::Copies;
use timeline::{Corruption, MAX_SLOTS, Terms, Timeline};

/// How far the proofs look, in years from the settings' `effective_from`: every kind of year and clock change lies in it.
const HORIZON_YEARS: i64 = 5;

/// The proofs about one model. Making it does the work that schedules share; asking is then cheap.
#[derive(Debug)]
pub struct Recovery<'m> {
    model: &'m Model,
    parents: Parents,
    from: Timestamp,
    to: Timestamp,
    timings: BTreeMap<&'m PlanId, Timing>,
    schedules: BTreeMap<Timing, Schedule>,
    plans: BTreeMap<&'m DatasetId, Vec<&'m Plan>>,
    detected: BTreeMap<&'m DatasetId, Seconds>,
}

/// What is known about one schedule, whoever uses it.
#[derive(Debug)]
struct Schedule {
    calendar: Calendar,
    gaps: BTreeMap<u32, Gaps>,
    corruptions: BTreeMap<Terms, Option<Corruption>>,
    shallow: BTreeMap<Terms, Option<i64>>,
}

/// Whether a dataset is protected as its tier demands, as far as policy alone can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Every loss that its tier survives stays within the objective, and its redundancy profiles are met.
    Protected,
    /// It has a plan, or sources with plans, that do not hold what the tier demands.
    PlannedButUnmet,
    /// It is excluded, with a reason.
    Excluded,
    /// Nothing protects it.
    Unprotected,
}

/// All facts about one dataset, as rules and `seawall prove` see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetFacts {
    /// Whether it is protected.
    pub coverage: Coverage,
    /// Worst-case loss by loss case.
    pub loss: BTreeMap<LossCase, Loss>,
    /// The smallest losses that leave nothing.
    pub cut_sets: CutSets,
    /// Copies and their fault domains over all plans.
    pub redundancy: Redundancy,
    /// Which locations are left, by loss case; corruption takes none.
    pub survivors: BTreeMap<LossCase, BTreeSet<LocationId>>,
    /// How long reading it back takes with all copies left; [`Seconds::MAX`] where nothing can be read.
    pub recovery_seconds: Seconds,
}

impl<'m> Recovery<'m> {
    /// Proves what schedules share. A schedule that cannot be read makes its plans unbounded instead of failing the rest.
    pub fn new(model: &'m Model, zones: &Zones) -> Recovery<'m> {
        let from = model.snapshot.effective_from;
        let mut recovery = Recovery {
            model,
            parents: Parents::of(model),
            from,
            to: horizon_end(from),
            timings: BTreeMap::new(),
            schedules: BTreeMap::new(),
            plans: BTreeMap::new(),
            detected: BTreeMap::new(),
        };
        for scenario in model
            .scenarios
            .values()
            .filter(|scenario| scenario.trigger == Trigger::Corruption)
        {
            for dataset in &scenario.datasets {
                let longest = recovery.detected.entry(dataset).or_default();
                *longest = scenario.detected_within_s.max(*longest);
            }
        }
        for (id, plan) in &model.plans {
            for dataset in &plan.dataset_ids {
                recovery.plans.entry(dataset).or_default().push(plan);
            }
            let Ok(timing) = plan.backup_frequency.timing() else {
                continue;
            };
            if !recovery.schedules.contains_key(&timing) {
                let Ok(calendar) = Calendar::new(timing.clone(), zones) else {
                    continue;
                };
                let schedule = Schedule {
                    calendar,
                    gaps: BTreeMap::new(),
                    corruptions: BTreeMap::new(),
                    shallow: BTreeMap::new(),
                };
                recovery.schedules.insert(timing.clone(), schedule);
            }
            recovery.timings.insert(id, timing);
        }
        recovery.walk_schedules();
        recovery
    }

    /// Walks each schedule once for everything that its plans need.
    fn walk_schedules(&mut self) {
        let (from, to) = (self.from, self.to);
        let mut wanted: BTreeMap<Timing, (BTreeSet<Terms>, BTreeSet<Terms>)> = BTreeMap::new();
        for (id, timing) in &self.timings {
            let Some(plan) = self.model.plans.get(*id) else {
                continue;
            };
            let (corruptions, shallow) = wanted.entry(timing.clone()).or_default();
            shallow.extend(Some(terms(plan, Seconds::ZERO)).filter(|terms| !terms.deep_by_count()));
            let detected = plan
                .dataset_ids
                .iter()
                .filter_map(|dataset| self.detected.get(dataset));
            corruptions.extend(detected.map(|detected| terms(plan, *detected)));
            if let Some(schedule) = self.schedules.get_mut(timing) {
                let misses = plan.backup_frequency.tolerated_misses;
                let Schedule { calendar, gaps, .. } = schedule;
                gaps.entry(misses)
                    .or_insert_with(|| calendar.gaps(from, to, misses));
            }
        }
        for (timing, (corruptions, shallow)) in wanted {
            let Some(schedule) = self.schedules.get_mut(&timing) else {
                continue;
            };
            let slots = schedule
                .gaps
                .values()
                .map(|gaps| gaps.slots)
                .max()
                .unwrap_or(0);
            let timeline =
                (slots <= MAX_SLOTS).then(|| Timeline::new(&schedule.calendar, from, to));
            for terms in corruptions {
                let proof = timeline
                    .as_ref()
                    .map(|timeline| timeline.corruption(&terms));
                schedule.corruptions.insert(terms, proof);
            }
            for terms in shallow {
                let proof = timeline
                    .as_ref()
                    .and_then(|timeline| timeline.first_too_shallow(&terms));
                schedule.shallow.insert(terms, proof);
            }
        }
    }

    /// The interval that the proofs look at, its end excluded.
    pub fn horizon(&self) -> (Timestamp, Timestamp) {
        (self.from, self.to)
    }

    /// The plans of a dataset, in the order of their ids.
    pub fn plans_of(&self, dataset: &DatasetId) -> &[&'m Plan] {
        self.plans.get(dataset).map_or(&[], Vec::as_slice)
    }

    /// The worst-case loss of a dataset: the least over its plans; for a reconstructed one without plans, the worst of its sources.
    pub fn loss(&self, dataset: &DatasetId, case: &LossCase) -> Loss {
        self.loss_beyond(dataset, case, &mut BTreeSet::new())
    }

    fn loss_beyond<'a>(
        &'a self,
        id: &'a DatasetId,
        case: &LossCase,
        seen: &mut BTreeSet<&'a DatasetId>,
    ) -> Loss {
        let Some(dataset) = self.model.datasets.get(id) else {
            return Loss::unbounded(Unbounded::UnknownDataset);
        };
        let losses = self
            .plans_of(id)
            .iter()
            .map(|plan| self.plan_loss(plan, id, dataset, case));
        if let Some(least) = losses.reduce(Loss::least) {
            return least;
        }
        match dataset.eligibility {
            Eligibility::BackedUp => Loss::unbounded(Unbounded::NoPlan),
            Eligibility::Excluded => Loss::unbounded(Unbounded::Excluded),
            Eligibility::Reconstructed => {
                if !seen.insert(id) {
                    return Loss::unbounded(Unbounded::NoSource);
                }
                let sources = dataset
                    .derived_from
                    .iter()
                    .map(|source| self.loss_beyond(source, case, seen));
                let worst = sources.max_by(|a, b| a.seconds().cmp(&b.seconds()));
                seen.remove(id);
                worst.unwrap_or(Loss::unbounded(Unbounded::NoSource))
            }
        }
    }

    /// The formula of the design for one plan and one of its datasets.
    fn plan_loss(&self, plan: &Plan, id: &DatasetId, dataset: &Dataset, case: &LossCase) -> Loss {
        let unbounded = |why| Loss::Unbounded {
            why,
            plan: Some(plan.plan_id.clone()),
        };
        let Some((timing, schedule)) = self.schedule(plan) else {
            return unbounded(Unbounded::NoCalendar);
        };
        let copies = self.copies(plan, dataset);
        let lost = case.domains();
        let survivors = copies.survivors(&lost).len();
        let (locations, commit) = (plan.locations.len(), plan.redundancy_profile.commit);
        let commit = usize::try_from(commit).unwrap_or(usize::MAX);
        if copies.key_is_lost(&lost) {
            return unbounded(Unbounded::KeyLost);
        }
        if survivors == 0 {
            return unbounded(Unbounded::NoSurvivor);
        }
        let Some(late) = locations.checked_sub(commit) else {
            return unbounded(Unbounded::CommitAboveLocations);
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
            (Timing::Cron { .. } | Timing::Every { .. }, None) => gap_loss(bound, plan, schedule),
            (Timing::Cron { .. } | Timing::Every { .. }, Some(detected)) => {
                corruption_loss(bound, plan, schedule, detected)
            }
        };
        proved.map_or_else(unbounded, Loss::Bounded)
    }

    fn schedule(&self, plan: &Plan) -> Option<(&Timing, &Schedule)> {
        let timing = self.timings.get(&plan.plan_id)?;
        Some((timing, self.schedules.get(timing)?))
    }

    fn copies(&self, plan: &Plan, dataset: &Dataset) -> Copies {
        let age = self
            .schedule(plan)
            .and_then(|(timing, schedule)| match timing {
                Timing::Continuous { max_lag } => Some(*max_lag),
                Timing::Cron { .. } | Timing::Every { .. } => {
                    let gaps = schedule.gaps.get(&plan.backup_frequency.tolerated_misses)?;
                    gaps.widest.map(|gap| gap.length())
                }
            });
        let needed = age.map(|age| {
            let window = plan.backup_frequency.completion_window_s;
            age.saturating_add(window)
                .saturating_add(plan.redundancy_profile.copy_within_s)
        });
        survivors::copies(self.model, &self.parents, plan, dataset, needed)
    }

    /// The locations that still hold readable copies of a dataset, over all its plans.
    pub fn survivors(&self, dataset: &DatasetId, case: &LossCase) -> BTreeSet<LocationId> {
        let Some(known) = self.model.datasets.get(dataset) else {
            return BTreeSet::new();
        };
        let lost = case.domains();
        let copies = self
            .plans_of(dataset)
            .iter()
            .map(|plan| self.copies(plan, known));
        copies
            .filter(|copies| !copies.key_is_lost(&lost))
            .flat_map(|copies| copies.survivors(&lost))
            .collect()
    }

    /// The smallest losses that leave no readable copy of a dataset; empty for a dataset without plans.
    pub fn cut_sets(&self, dataset: &DatasetId) -> CutSets {
        survivors::cut_sets(&self.killers(dataset))
    }

    /// For each copy of a dataset, what destroys it or makes it unreadable.
    fn killers(&self, dataset: &DatasetId) -> Vec<BTreeSet<FaultDomain>> {
        let Some(known) = self.model.datasets.get(dataset) else {
            return Vec::new();
        };
        let copies = self
            .plans_of(dataset)
            .iter()
            .map(|plan| self.copies(plan, known));
        copies
            .flat_map(|copies| copies.at.into_values().map(move |at| &at | &copies.key))
            .collect()
    }

    /// The copies of a dataset and what its profiles demand beyond them.
    pub fn redundancy(&self, dataset: &DatasetId) -> Option<Redundancy> {
        let known = self.model.datasets.get(dataset)?;
        Some(redundancy::redundancy(
            self.model,
            dataset,
            known,
            self.plans_of(dataset),
        ))
    }

    /// The loss cases that concern a dataset: `none`, `corruption`, each single domain near its live data or its copies, and the
    /// losses of scenarios that name it.
    pub fn cases(&self, dataset: &DatasetId) -> BTreeSet<LossCase> {
        let mut cases = BTreeSet::from([LossCase::None, LossCase::Corruption]);
        cases.extend(
            self.near(dataset)
                .into_iter()
                .map(|domain| LossCase::of(BTreeSet::from([domain]))),
        );
        let scenarios = self
            .model
            .scenarios
            .values()
            .filter(|scenario| scenario.datasets.contains(dataset));
        cases.extend(scenarios.map(|scenario| LossCase::of(scenario.losses.clone())));
        cases
    }

    /// The loss cases that a tier means: any one domain of the kind, whichever it is.
    pub fn cases_of(&self, dataset: &DatasetId, lose: LoseCase) -> BTreeSet<LossCase> {
        match (lose, lose.domain_kind()) {
            (LoseCase::Corruption, _) => BTreeSet::from([LossCase::Corruption]),
            (_, None) => BTreeSet::from([LossCase::None]),
            (_, Some(kind)) => {
                let near = self
                    .near(dataset)
                    .into_iter()
                    .filter(|domain| domain.kind == kind);
                near.map(|domain| LossCase::of(BTreeSet::from([domain])))
                    .collect()
            }
        }
    }

    /// The fault domains of a dataset's site and of everything that can destroy its copies or those of its sources.
    fn near(&self, dataset: &DatasetId) -> BTreeSet<FaultDomain> {
        let mut near = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![dataset];
        while let Some(id) = open.pop() {
            let Some(known) = self.model.datasets.get(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            if let Some(site) = self.model.settings.sites.get(&known.site) {
                near.extend(site.fault_domains.iter());
            }
            near.extend(self.killers(id).into_iter().flatten());
            open.extend(&known.derived_from);
        }
        near
    }

    /// Whether a dataset is protected as its tier demands.
    pub fn coverage(&self, dataset: &DatasetId) -> Coverage {
        let Some(known) = self.model.datasets.get(dataset) else {
            return Coverage::Unprotected;
        };
        let planned = !self.plans_of(dataset).is_empty();
        match known.eligibility {
            Eligibility::Excluded if !planned => return Coverage::Excluded,
            Eligibility::BackedUp if !planned => return Coverage::Unprotected,
            Eligibility::Excluded | Eligibility::BackedUp | Eligibility::Reconstructed => {}
        }
        let within = |case: &LossCase, rpo: Seconds| {
            let loss = self.loss(dataset, case);
            loss.is_bounded() && loss.seconds() <= rpo
        };
        let tier = self.model.settings.tiers.get(&known.criticality);
        let survives = tier.is_some_and(|tier| {
            tier.survives.iter().all(|survival| {
                let rpo = survival.objective.rpo_s;
                self.cases_of(dataset, survival.lose)
                    .iter()
                    .all(|case| within(case, rpo))
            })
        });
        let redundant = self
            .redundancy(dataset)
            .is_some_and(|found| found.shortfalls.is_empty());
        if survives && redundant && within(&LossCase::None, known.rpo_s) {
            Coverage::Protected
        } else {
            Coverage::PlannedButUnmet
        }
    }

    /// All facts about a dataset; none when the model does not have it.
    pub fn facts(&self, dataset: &DatasetId) -> Option<DatasetFacts> {
        let redundancy = self.redundancy(dataset)?;
        let cases = self.cases(dataset);
        Some(DatasetFacts {
            coverage: self.coverage(dataset),
            loss: cases
                .iter()
                .map(|case| (case.clone(), self.loss(dataset, case)))
                .collect(),
            cut_sets: self.cut_sets(dataset),
            redundancy,
            survivors: cases
                .iter()
                .map(|case| (case.clone(), self.survivors(dataset, case)))
                .collect(),
            recovery_seconds: self
                .recovery_time(dataset, &LossCase::None)
                .unwrap_or(Seconds::MAX),
        })
    }
}

/// The end of the horizon, a civil number of years later in UTC.
fn horizon_end(from: Timestamp) -> Timestamp {
    let later = from
        .to_zoned(TimeZone::UTC)
        .checked_add(HORIZON_YEARS.years());
    later.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

fn terms(plan: &Plan, detected: Seconds) -> Terms {
    let schedule = &plan.backup_frequency;
    Terms::new(
        schedule.tolerated_misses,
        schedule.completion_window_s,
        detected,
        &plan.retention,
    )
}

/// `max over i of (t[i+m+1] − t[i]) + F + G(L) + R`.
fn gap_loss(bound: Bound, plan: &Plan, schedule: &Schedule) -> Result<Bound, Unbounded> {
    let gaps = schedule.gaps.get(&plan.backup_frequency.tolerated_misses);
    let widest = gaps
        .and_then(|gaps| gaps.widest)
        .ok_or(Unbounded::TooFewSlots)?;
    let bound = Bound {
        gap: widest.length(),
        ..bound
    };
    let late = bound.completion_window.saturating_add(bound.copy_within);
    let witness = witness(
        &schedule.calendar,
        widest.from.as_second(),
        widest.to.as_second(),
        late,
        None,
    );
    Ok(Bound { witness, ..bound })
}

/// `δ + the largest x − (newest point ≤ x that retention still keeps at x + δ)`, where points are as old as misses and windows let
/// them be, so that corruption noticed at once costs as much as losing the live data.
fn corruption_loss(
    bound: Bound,
    plan: &Plan,
    schedule: &Schedule,
    detected: Seconds,
) -> Result<Bound, Unbounded> {
    match schedule.corruptions.get(&terms(plan, detected)) {
        None | Some(None) => Err(Unbounded::TooManySlots),
        Some(Some(Corruption::TooShort)) => Err(Unbounded::TooFewSlots),
        Some(Some(Corruption::NothingKept { corrupted: _ })) => Err(Unbounded::NothingKept),
        Some(Some(Corruption::Worst {
            point,
            next,
            corrupted,
        })) => {
            let late = Seconds::new(corrupted.saturating_sub(*next).unsigned_abs());
            let gap = Seconds::new(next.saturating_sub(*point).unsigned_abs());
            let witness = witness(&schedule.calendar, *point, *next, late, Some(detected));
            Ok(Bound {
                gap,
                detected_within: detected,
                witness,
                ..bound
            })
        }
    }
}

/// `max_lag + G(L) + R`; for corruption the log must reach back over the time until it is noticed.
fn continuous_loss(
    bound: Bound,
    plan: &Plan,
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

fn witness(
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
