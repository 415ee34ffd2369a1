//! Owns what this reconciler answers for: its plans, split ones included, and datasets that policy wants backed up. What nothing
//! covers is a condition, never silence. The interesting function is [`unprotected`].

use std::collections::BTreeSet;

use contract::code::{self, Code};
use contract::id::{DatasetId, PlanId};
use contract::model::{BackupPlan, DataRetention, Eligibility, Model};

use crate::plan::{ActivePolicy, own_plans, split_plans};

/// Every plan that has a dataset of this reconciler.
pub(super) fn plans(active: &ActivePolicy) -> impl Iterator<Item = (&PlanId, &BackupPlan)> {
    own_plans(active).chain(split_plans(active))
}

/// What policy wants from this reconciler and gives it no plan for.
pub(super) fn unprotected(active: &ActivePolicy) -> Vec<(Code, String)> {
    let ours = &active.reconciler_id;
    let mut found = Vec::new();
    if plans(active).next().is_none() {
        let why = format!("the policy has no backup plan for reconciler `{ours}`");
        found.push((code::NO_PLAN, why));
    }
    let covered: BTreeSet<&DatasetId> = plans(active)
        .flat_map(|(_, policy)| &policy.dataset_ids)
        .collect();
    let model = &active.model;
    let uncovered: Vec<String> = model
        .datasets
        .iter()
        .filter(|(id, dataset)| {
            dataset.eligibility == Eligibility::BackedUp
                && !covered.contains(id)
                && model
                    .settings
                    .sites
                    .get(&dataset.site)
                    .is_none_or(|site| site.reconciler_id == *ours)
        })
        .map(|(id, _)| format!("`{id}`"))
        .collect();
    if !uncovered.is_empty() {
        let why = format!("no backup plan covers {}", uncovered.join(", "));
        found.push((code::DATASET_UNCOVERED, why));
    }
    found
}

/// What a policy says that is proven and shown, and that no step of this version takes into account.
pub fn unheeded(model: &Model) -> Option<String> {
    let purges = |law: &DataRetention| law.archive_after_s.is_some() || law.purge_after_s.is_some();
    let said = [
        (
            model.environment.delete_budget.is_some() && model.environment.delete_grace_s.is_none(),
            "`delete_budget` (without a `delete_grace` nothing is deleted)",
        ),
        (
            model.settings.data_retention.values().any(purges),
            "`archive_after` and `purge_after` of live data",
        ),
        (!model.standbys.is_empty(), "standbys"),
    ];
    let said = said.into_iter();
    let unheeded: Vec<&str> = said
        .filter_map(|(is_said, what)| is_said.then_some(what))
        .collect();
    let is_any = !unheeded.is_empty();
    is_any.then(|| format!("this version does not act on {}", unheeded.join(", ")))
}
