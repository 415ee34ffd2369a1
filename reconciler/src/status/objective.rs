//! Owns whether the usable recovery points are as new as policy demands: by dataset, whichever plan took them. A slot that is due
//! changes nothing about it. The interesting function is [`Newest::missed`].

use std::collections::BTreeMap;

use contract::duration::Seconds;
use contract::id::{DatasetId, PlanId};
use contract::model::BackupPlan;
use jiff::Timestamp;

use crate::domain::{Observed, Run, has_come};
use crate::plan::ActivePolicy;

/// The RPO that a plan is judged by: its own promise, or that of its strictest dataset.
pub(super) fn strictest(active: &ActivePolicy, policy: &BackupPlan) -> Option<Seconds> {
    let datasets = policy.dataset_ids.iter();
    let rpos = datasets.filter_map(|id| active.model.datasets.get(id).map(|it| it.rpo_s));
    rpos.chain(policy.target_rpo_s).min()
}

/// The newest usable recovery points: found in one pass, because a status is derived of all plans at once.
#[derive(Debug)]
pub(super) struct Newest<'o> {
    /// Of a dataset, of all plans that there are or were.
    of_dataset: BTreeMap<&'o DatasetId, &'o Run>,
    /// Of a dataset in one plan.
    of_plan: BTreeMap<(&'o PlanId, &'o DatasetId), &'o Run>,
}

impl<'o> Newest<'o> {
    pub(super) fn of(active: &ActivePolicy, observed: &'o Observed, now: Timestamp) -> Self {
        let mut newest = Self {
            of_dataset: BTreeMap::new(),
            of_plan: BTreeMap::new(),
        };
        let own = observed.plans.values().flat_map(|seen| &seen.runs);
        for run in own.chain(&observed.former) {
            // A state of a time that has not come proves nothing.
            let is_of_known_time =
                !run.clock_in_doubt && run.consistent_at.is_some_and(|at| has_come(at, now));
            if !run.is_point() || !is_of_known_time || !is_usable(active, run) {
                continue;
            }
            for id in &run.dataset_ids {
                let known = newest.of_dataset.entry(id).or_insert(run);
                *known = newer(known, run);
                let known = newest.of_plan.entry((&run.plan_id, id)).or_insert(run);
                *known = newer(known, run);
            }
        }
        newest
    }

    /// Why a plan misses an RPO, if it does: the worst of its datasets.
    pub(super) fn missed(
        &self,
        active: &ActivePolicy,
        observed: &Observed,
        policy: &BackupPlan,
        now: Timestamp,
    ) -> Option<String> {
        let mut worst: Option<(Seconds, String)> = None;
        for id in &policy.dataset_ids {
            let Some(dataset) = active.model.datasets.get(id) else {
                continue;
            };
            let of_plan = policy.target_rpo_s.map(|rpo| {
                let newest = self.of_plan.get(&(&policy.plan_id, id));
                (rpo, newest.copied())
            });
            let of_dataset = self.of_dataset.get(id).copied();
            for (rpo, newest) in of_plan.into_iter().chain([(dataset.rpo_s, of_dataset)]) {
                let seen = observed.plans.get(&policy.plan_id);
                let from = newest.and_then(|run| run.consistent_at);
                let Some(from) = from.or_else(|| seen.map(|seen| seen.since)) else {
                    continue;
                };
                let age = age(from, now);
                if age <= rpo || worst.as_ref().is_some_and(|(known, _)| *known >= age) {
                    continue;
                }
                let what = match newest {
                    Some(_) => "the newest usable recovery point shows its state of",
                    None => "there was no usable recovery point for",
                };
                let ago = if newest.is_some() { " ago" } else { "" };
                let (age_told, rpo) = (age.human(), rpo.human());
                worst = Some((
                    age,
                    format!("`{id}`: {what} {age_told}{ago}, its RPO is {rpo}"),
                ));
            }
        }
        worst.map(|(_, why)| why)
    }

    /// The newest usable recovery point of a dataset, of whichever plan.
    pub(super) fn of_dataset(&self, id: &DatasetId) -> Option<&'o Run> {
        self.of_dataset.get(id).copied()
    }

    /// Datasets of a plan that no usable recovery point holds.
    pub(super) fn lacking<'p>(
        &self,
        policy: &'p BackupPlan,
    ) -> impl Iterator<Item = &'p DatasetId> {
        let datasets = policy.dataset_ids.iter();
        datasets.filter(|id| !self.of_dataset.contains_key(*id))
    }

    /// The recovery point that says how old the plan's protection is: of the newest of each dataset, the oldest.
    pub(super) fn of_plan(&self, policy: &BackupPlan) -> Option<&'o Run> {
        let datasets = policy.dataset_ids.iter();
        let newest: Option<Vec<&Run>> = datasets
            .map(|id| self.of_dataset.get(id).copied())
            .collect();
        newest?.into_iter().min_by_key(|run| run.consistent_at)
    }
}

/// Of two points of the same time the later one of the catalog.
fn newer<'o>(known: &'o Run, run: &'o Run) -> &'o Run {
    if run.consistent_at >= known.consistent_at {
        run
    } else {
        known
    }
}

/// A point counts once it was verified, unless its plan says that it counts unverified.
fn is_usable(active: &ActivePolicy, run: &Run) -> bool {
    let policy = active.model.plans.get(&run.plan_id);
    let unverified_counts = policy.is_some_and(|policy| !policy.verification.checksum_required);
    run.is_good() && (run.is_verified() || unverified_counts)
}

/// Whole seconds since an instant.
pub(super) fn age(from: Timestamp, now: Timestamp) -> Seconds {
    Seconds::new(u64::try_from(now.duration_since(from).as_secs()).unwrap_or(0))
}
