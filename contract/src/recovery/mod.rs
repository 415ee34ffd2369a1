//! Owns the proofs of recovery: worst-case loss, survivors, cut sets, redundancy, and the conditions on which they rest.
//!
//! Never judges a number against an objective except for coverage, never reads a clock, and never counts on catch-up.
//! Here the questions are answered; `schedules` does once what they share, and the formula itself is in `formula`.

mod bad_base;
mod case;
mod components;
mod conditions;
mod course;
mod derived;
mod effort;
mod formula;
mod kept;
mod keys;
mod loss;
mod redundancy;
mod schedules;
mod standing;
mod storage;
mod survivors;
mod time;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

pub use case::LossCase;
pub use conditions::Condition;
pub use course::{ScenarioCourse, SlowStep};
pub use effort::{MAX_EFFORT, too_much};
pub use kept::Kept;
pub use keys::{KeyProof, Link};
pub use loss::{Bound, Loss, Unbounded, Witness};
pub use redundancy::{Redundancy, Shortfall};
pub use storage::{Forecast, Holding, MAX_BYTES, Share, TOLD_SHARES, holdings};
pub use survivors::{CutSets, MAX_CUT_SETS, MAX_CUT_SIZE};
pub use time::Seen;

use crate::calendar::{Timing, Zones};
use crate::duration::Seconds;
use crate::evidence::Measured;
use crate::id::{DatasetId, LocationId, PlanId, SiteId};
use crate::model::{
    BackupPlan, DomainKind, Eligibility, FaultDomain, LoseCase, Model, Standby, Trigger,
};
use case::Parents;
use derived::{Known, Needs};
use kept::StandingBy;
use keys::Kept as KeptKeys;
use schedules::Schedule;
use survivors::Copies;

/// How far the proofs look, in years from the settings' `effective_from`: every kind of year and clock change lies in it.
const HORIZON_YEARS: i64 = 5;

/// The proofs about one model. Making it does the work that schedules share; asking is then cheap.
#[derive(Debug)]
pub struct Recovery<'m> {
    model: &'m Model,
    from: Timestamp,
    to: Timestamp,
    timings: BTreeMap<&'m PlanId, Timing>,
    /// The timings of fulls, of plans that take them.
    fulls: BTreeMap<&'m PlanId, Timing>,
    schedules: BTreeMap<Timing, Schedule>,
    plans: BTreeMap<&'m DatasetId, Vec<&'m BackupPlan>>,
    copies: BTreeMap<(&'m DatasetId, &'m PlanId), Copies>,
    needs: Needs<'m>,
    /// Proofs about what datasets are rebuilt from.
    losses: Known<'m, Option<Arc<Loss>>>,
    times: Known<'m, Option<(Seconds, Seen)>>,
    kept_keys: KeptKeys<'m>,
    detected: BTreeMap<&'m DatasetId, Seconds>,
    standbys: BTreeMap<&'m DatasetId, Vec<&'m Standby>>,
    standing: OnceLock<StandingBy>,
    measured: BTreeMap<DatasetId, Measured>,
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
            from,
            to: horizon_end(from),
            timings: BTreeMap::new(),
            fulls: BTreeMap::new(),
            schedules: BTreeMap::new(),
            plans: BTreeMap::new(),
            copies: BTreeMap::new(),
            needs: Needs::default(),
            losses: Known::default(),
            times: Known::default(),
            kept_keys: KeptKeys::default(),
            detected: BTreeMap::new(),
            standbys: BTreeMap::new(),
            standing: OnceLock::new(),
            measured: BTreeMap::new(),
        };
        for standby in model.standbys.values() {
            let known = recovery.standbys.entry(&standby.dataset).or_default();
            known.push(standby);
        }
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
            if let Some(timing) = recovery.learn(&plan.backup_frequency, zones) {
                recovery.timings.insert(id, timing);
            }
            let fulls = plan.full_frequency.as_ref();
            if let Some(timing) = fulls.and_then(|fulls| recovery.learn(fulls, zones)) {
                recovery.fulls.insert(id, timing);
            }
        }
        recovery.walk_schedules();
        recovery.find_copies();
        recovery.needs = Needs::of(&recovery);
        recovery
    }

    /// The same proofs, with what was seen of how long reading takes in the place of what settings promise.
    #[must_use]
    pub fn with(mut self, measured: BTreeMap<DatasetId, Measured>) -> Recovery<'m> {
        self.measured = measured;
        self.times = Known::default();
        self
    }

    /// The model that they are about.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// The interval that the proofs look at, its end excluded.
    pub fn horizon(&self) -> (Timestamp, Timestamp) {
        (self.from, self.to)
    }

    /// The plans of a dataset, in the order of their ids.
    pub fn plans_of(&self, dataset: &DatasetId) -> &[&'m BackupPlan] {
        self.plans.get(dataset).map_or(&[], Vec::as_slice)
    }

    /// Finds what can destroy each copy of each dataset.
    fn find_copies(&mut self) {
        let parents = Parents::of(self.model);
        let mut found = BTreeMap::new();
        for (id, plans) in &self.plans {
            let Some(dataset) = self.model.datasets.get(*id) else {
                continue;
            };
            for plan in plans {
                let needed = self.lock_needed(plan);
                let copies = survivors::copies(self.model, &parents, plan, dataset, needed);
                found.insert((*id, &plan.plan_id), copies);
            }
        }
        self.copies = found;
    }

    /// How old the newest usable point of a plan can become with all locations but the last to hold it gone.
    fn lock_needed(&self, plan: &BackupPlan) -> Option<Seconds> {
        let (timing, schedule) = self.schedule(plan)?;
        let age = match timing {
            Timing::Continuous { max_lag } => *max_lag,
            Timing::Cron { .. } | Timing::Every { .. } => {
                let gaps = schedule.gaps.get(&plan.backup_frequency.tolerated_misses)?;
                gaps.widest?.length()
            }
        };
        let window = plan.backup_frequency.completion_window_s;
        Some(
            age.saturating_add(window)
                .saturating_add(plan.redundancy_profile.copy_within_s),
        )
    }

    /// The copies of a dataset, plan by plan.
    fn copies_of<'a>(&'a self, dataset: &'a DatasetId) -> impl Iterator<Item = &'a Copies> {
        let plans = self.plans_of(dataset).iter();
        plans.filter_map(move |plan| self.copies.get(&(dataset, &plan.plan_id)))
    }

    /// The locations that still hold readable copies of a dataset, over all its plans.
    pub fn survivors(&self, dataset: &DatasetId, case: &LossCase) -> BTreeSet<LocationId> {
        let lost = case.domains();
        let gone = BTreeSet::from([dataset]);
        let plans = self.plans_of(dataset).iter();
        let copies = plans.filter_map(|plan| {
            let copies = self.copies.get(&(dataset, &plan.plan_id))?;
            (!self.key_is_lost(plan, copies, case, &gone)).then_some(copies)
        });
        copies.flat_map(|copies| copies.survivors(&lost)).collect()
    }

    /// The smallest losses that leave no readable copy of a dataset; empty for a dataset without plans.
    pub fn cut_sets(&self, dataset: &DatasetId) -> CutSets {
        let keepers = self.keeper_cuts(dataset);
        let (threats, more) = self.threats(dataset, &keepers);
        let mut found = survivors::cut_sets(&threats);
        found.more |= more;
        if !keepers.is_empty() {
            // Of what takes a key not every set may be known; then one that is found may still hold a smaller one.
            let smallest = found.sets.iter().map(|set| self.smallest(dataset, set));
            let smallest: BTreeSet<_> = smallest.map(|set| (set.len(), set)).collect();
            found.sets = smallest.into_iter().map(|(_, set)| set).collect();
        }
        found
    }

    /// What is left of a set that leaves nothing when all is taken out of it without which it still does.
    fn smallest(&self, dataset: &DatasetId, set: &BTreeSet<FaultDomain>) -> BTreeSet<FaultDomain> {
        let mut left = set.clone();
        for domain in set {
            left.remove(domain);
            if !self
                .survivors(dataset, &LossCase::of(left.clone()))
                .is_empty()
            {
                left.insert(domain.clone());
            }
        }
        left
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
                .map(|domain| LossCase::of(BTreeSet::from([domain.clone()]))),
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
                let near = self.near(dataset).filter(|domain| domain.kind == kind);
                near.map(|domain| LossCase::of(BTreeSet::from([domain.clone()])))
                    .collect()
            }
        }
    }

    /// The fault domains of a dataset's site and of everything that can destroy its copies or those of its sources.
    fn near(&self, dataset: &DatasetId) -> impl Iterator<Item = &FaultDomain> {
        self.needs
            .near
            .get(dataset)
            .into_iter()
            .flat_map(|near| near.iter())
    }

    /// The fault domains of a site and the machine that can delete there.
    fn domains_of(&self, site: &SiteId) -> Vec<FaultDomain> {
        let Some(site) = self.model.settings.sites.get(site) else {
            return Vec::new();
        };
        let host = FaultDomain {
            kind: DomainKind::Host,
            id: site.host.clone(),
        };
        site.fault_domains.iter().chain([host]).collect()
    }

    /// Whether a site is gone; one that nobody declared is.
    fn site_is_lost(&self, site: &SiteId, lost: &BTreeSet<FaultDomain>) -> bool {
        if !self.model.settings.sites.contains_key(site) {
            return true;
        }
        !lost.is_empty()
            && self
                .domains_of(site)
                .iter()
                .any(|domain| lost.contains(domain))
    }

    /// The fault domains of a dataset's own live data and copies.
    fn domains_near(&self, id: &DatasetId) -> BTreeSet<FaultDomain> {
        let mut near = BTreeSet::new();
        let Some(known) = self.model.datasets.get(id) else {
            return near;
        };
        near.extend(self.domains_of(&known.site));
        let standbys = self.standbys.get(id).into_iter().flatten();
        near.extend(standbys.flat_map(|standby| self.domains_of(&standby.standby)));
        // A lock takes a domain off the list of killers; its loss is still a case, and one that is survived.
        let locations = self.plans_of(id).iter().flat_map(|plan| &plan.locations);
        let known_locations = locations.filter_map(|id| self.model.settings.locations.get(id));
        near.extend(known_locations.flat_map(|location| location.fault_domains.iter()));
        for copies in self.copies_of(id) {
            let killers = copies.key.iter().chain(copies.at.values().flatten());
            near.extend(killers.cloned());
        }
        near
    }

    /// What a dataset is rebuilt from, and what holds the keys of its copies.
    fn may_need(&self, id: &DatasetId) -> impl Iterator<Item = &'m DatasetId> {
        let known = self.model.datasets.get(id).into_iter();
        let plans = self.plans.get(id).into_iter().flatten();
        let keepers = plans.filter_map(|plan| self.keeper(&plan.encryption_key_ref));
        known.flat_map(|known| &known.derived_from).chain(keepers)
    }

    /// Whether a dataset is protected as its tier demands.
    pub fn coverage(&self, dataset: &DatasetId) -> Coverage {
        let redundancy = self.redundancy(dataset);
        self.covered(dataset, redundancy.as_ref(), &|case| {
            self.loss(dataset, case).seconds()
        })
    }

    /// The same, of losses that are known; an unbounded one is longer than any objective.
    fn covered(
        &self,
        dataset: &DatasetId,
        redundancy: Option<&Redundancy>,
        loss: &dyn Fn(&LossCase) -> Seconds,
    ) -> Coverage {
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
            let loss = loss(case);
            loss < Seconds::MAX && loss <= rpo
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
        let redundant = redundancy.is_some_and(|found| found.shortfalls.is_empty());
        if survives && redundant && within(&LossCase::None, known.rpo_s) {
            Coverage::Protected
        } else {
            Coverage::PlannedButUnmet
        }
    }

    /// All facts about a dataset; none when the model does not have it.
    pub fn facts(&self, dataset: &DatasetId) -> Option<DatasetFacts> {
        let redundancy = self.redundancy(dataset)?;
        let (mut loss, mut survivors) = (BTreeMap::new(), BTreeMap::new());
        for case in self.cases(dataset) {
            survivors.insert(case.clone(), self.survivors(dataset, &case));
            let lost = self.loss(dataset, &case);
            loss.insert(case, lost);
        }
        let seconds = |case: &LossCase| loss.get(case).map_or(Seconds::MAX, Loss::seconds);
        Some(DatasetFacts {
            coverage: self.covered(dataset, Some(&redundancy), &seconds),
            loss,
            cut_sets: self.cut_sets(dataset),
            redundancy,
            survivors,
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
