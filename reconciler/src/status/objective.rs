//! Owns whether the usable recovery points are as new as policy demands: by dataset, whichever plan took them. A slot that is due
//! changes nothing about it. The interesting function is [`missed`].

use crate::domain::{Observed, Run};
use crate::plan::ActivePolicy;
use contract::duration::Seconds;
use contract::id::DatasetId;
use contract::model::BackupPlan;
use jiff::Timestamp;

/// The RPO that a plan is judged by: its own promise, or that of its strictest dataset.
pub(super) fn strictest(active: &ActivePolicy, policy: &BackupPlan) -> Option<Seconds> {
    let datasets = policy.dataset_ids.iter();
    let rpos = datasets.filter_map(|id| active.model.datasets.get(id).map(|it| it.rpo_s));
    rpos.chain(policy.target_rpo_s).min()
}

/// Why a plan misses an RPO, if it does: the worst of its datasets.
pub(super) fn missed(
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
        let ours = |run: &Run| run.plan_id == policy.plan_id;
        let of_plan = policy.target_rpo_s.map(|rpo| {
            let newest = points(active, observed, id, now).filter(|run| ours(run));
            (rpo, newest.max_by_key(|run| run.consistent_at))
        });
        let of_dataset = newest_of(active, observed, id, now);
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

/// Datasets of a plan that no usable recovery point holds.
pub(super) fn without_point<'p>(
    active: &'p ActivePolicy,
    observed: &'p Observed,
    policy: &'p BackupPlan,
    now: Timestamp,
) -> impl Iterator<Item = &'p DatasetId> {
    let datasets = policy.dataset_ids.iter();
    datasets.filter(move |id| newest_of(active, observed, id, now).is_none())
}

/// The recovery point that says how old the plan's protection is: of the newest of each dataset, the oldest.
pub(super) fn newest<'o>(
    active: &ActivePolicy,
    observed: &'o Observed,
    policy: &BackupPlan,
    now: Timestamp,
) -> Option<&'o Run> {
    let datasets = policy.dataset_ids.iter();
    let newest: Option<Vec<&Run>> = datasets
        .map(|id| newest_of(active, observed, id, now))
        .collect();
    newest?.into_iter().min_by_key(|run| run.consistent_at)
}

fn newest_of<'o>(
    active: &ActivePolicy,
    observed: &'o Observed,
    id: &DatasetId,
    now: Timestamp,
) -> Option<&'o Run> {
    points(active, observed, id, now).max_by_key(|run| run.consistent_at)
}

/// Usable recovery points of a dataset, of all plans that there are or were. A state of a time that has not come proves nothing.
fn points<'o>(
    active: &ActivePolicy,
    observed: &'o Observed,
    id: &DatasetId,
    now: Timestamp,
) -> impl Iterator<Item = &'o Run> {
    let own = observed.plans.values().flat_map(|seen| &seen.runs);
    own.chain(&observed.former).filter(move |run| {
        run.is_point()
            && run.dataset_ids.contains(id)
            && !run.clock_in_doubt
            && run.consistent_at.is_some_and(|at| at <= now)
            && is_usable(active, run)
    })
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
