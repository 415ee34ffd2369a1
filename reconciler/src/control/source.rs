//! Owns holding a run's sources against the point before, and a person's word that a source is what it should be. A point of a
//! source that collapsed is kept, and never counts as good until then. The interesting functions are [`hold_against_before`] and
//! [`accept`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code;
use contract::duration::Seconds;
use contract::id::{BackupId, DatasetId, PlanId};
use contract::receipt::{DecisionType, Outcome as Result_, Phase, SOURCE_IN_DOUBT as IN_DOUBT};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::{self, Followed};
use super::{Daemon, copies};
use crate::collapse;
use crate::domain::{Acknowledgement, Change, Draft, Run};
use crate::failure::Failure;

/// Marks the datasets of a run whose source is not what the newest good point before showed.
pub fn hold_against_before(
    daemon: &Daemon,
    followed: &Followed,
    mut run: Run,
) -> Result<Run, Failure> {
    if run.profiles.is_empty() {
        return Ok(run);
    }
    let restored = restored(daemon, &run.dataset_ids)?;
    for (id, before) in newest_before(daemon, followed, &run)? {
        let (Some(dataset), Some(profile)) = (
            followed.active.model.datasets.get(&id),
            run.profiles.get(&id),
        ) else {
            continue;
        };
        // What a restore in place brought back is meant to be another source, and to hold less.
        if restored.get(&id).is_some_and(|at| *at >= before.started_at) {
            continue;
        }
        let since = run.started_at.duration_since(before.started_at).as_secs();
        let since = Seconds::new(u64::try_from(since).unwrap_or(0));
        let why = before
            .profiles
            .get(&id)
            .and_then(|before| collapse::judge(before, profile, &dataset.sizing, since));
        if let Some(why) = why {
            run.collapsed.entry(id).or_insert(why);
        }
    }
    Ok(run)
}

/// Points that are read at a time, newest first; the point before is nearly always among the first.
const POINTS_AT_A_TIME: u32 = 64;

/// The newest good point before a run that shows each of its datasets, of whichever plan. One of a time that cannot be believed
/// counts only where there is no other.
fn newest_before(
    daemon: &Daemon,
    followed: &Followed,
    run: &Run,
) -> Result<BTreeMap<DatasetId, Run>, Failure> {
    let datasets = &followed.active.model.datasets;
    let known = run.profiles.keys().filter(|id| datasets.contains_key(*id));
    let mut wanted: BTreeSet<&DatasetId> = known.collect();
    let mut found: BTreeMap<DatasetId, Run> = BTreeMap::new();
    let mut last = None;
    while !wanted.is_empty() {
        let page = daemon
            .store
            .points_before(None, last.as_ref(), POINTS_AT_A_TIME)?;
        let Some(oldest) = page.last() else { break };
        last = Some(oldest.backup_id.clone());
        for before in page {
            let shows = |id: &DatasetId| {
                before.backup_id != run.backup_id
                    && !before.collapsed.contains_key(id)
                    && before.profiles.contains_key(id)
            };
            let shown: Vec<&DatasetId> = wanted.iter().copied().filter(|id| shows(id)).collect();
            for id in shown {
                if before.is_of_known_time(run.finished_at) && before.started_at <= run.finished_at
                {
                    wanted.remove(id);
                }
                let rank = |one: &Run| one.rank(run.finished_at);
                if found.get(id).is_none_or(|best| rank(best) < rank(&before)) {
                    found.insert(id.clone(), before.clone());
                }
            }
        }
    }
    Ok(found)
}

/// When each dataset was last restored in place, or may have been.
pub fn restored<'a>(
    daemon: &Daemon,
    datasets: impl IntoIterator<Item = &'a DatasetId>,
) -> Result<BTreeMap<DatasetId, Timestamp>, Failure> {
    let mut restored = BTreeMap::new();
    for dataset in datasets {
        if let Some(last) = daemon.store.last_restore(dataset)? {
            let at = last.ended_at.unwrap_or(last.started_at);
            restored.insert(dataset.clone(), at);
        }
    }
    Ok(restored)
}

/// What became of the points of a source that were in doubt when a person accepted it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// They count from now on.
    pub accepted: Vec<Run>,
    /// They are older, and stay in doubt.
    pub in_doubt: Vec<Run>,
}

/// Records that a person says a source is what it should be: the newest point of it in each plan counts from now on. Older ones may show
/// what the person did not look at, such as a log before it was put right, and so does every point from before a restore.
pub fn accept(daemon: &Daemon, dataset: &DatasetId, note: &str) -> Result<Accepted, Failure> {
    let now = daemon.fresh_now()?;
    policy::active(daemon, now, None)?;
    let restored = restored(daemon, [dataset])?.get(dataset).copied();
    let is_current = |run: &Run| {
        let is_since = restored.is_none_or(|at| at < run.started_at);
        is_since && !run.before_restore && run.is_point() && run.dataset_ids.contains(dataset)
    };
    let points = daemon.store.points(None)?;
    let mut newest: BTreeMap<&PlanId, &Run> = BTreeMap::new();
    for run in points.iter().filter(|run| is_current(run)) {
        let known = newest.entry(&run.plan_id).or_insert(run);
        if run.rank(now) > known.rank(now) {
            *known = run;
        }
    }
    let newest: BTreeSet<BackupId> = newest.values().map(|run| run.backup_id.clone()).collect();
    let in_doubt = points
        .into_iter()
        .filter(|run| run.collapsed.contains_key(dataset));
    let (mut accepted, in_doubt): (Vec<Run>, Vec<Run>) =
        in_doubt.partition(|run| newest.contains(&run.backup_id));
    if accepted.is_empty() {
        return Err(nothing_to_accept(dataset, in_doubt.last()));
    }
    let actor = daemon.person();
    let mut changes = vec![Change::Acknowledged(Acknowledgement {
        subject: dataset.to_string(),
        kind: IN_DOUBT.to_owned(),
        at: now,
        actor: actor.clone(),
        note: note.to_owned(),
    })];
    let mut drafts = Vec::new();
    for run in &mut accepted {
        let why = run.collapsed.remove(dataset).unwrap_or_default();
        let operation = format!("source.{dataset}.{}", run.backup_id);
        let mut draft = Draft::new(DecisionType::Adoption, Phase::Decision, &operation);
        draft.plan_id = Some(run.plan_id.clone());
        draft.dataset_ids = vec![dataset.clone()];
        draft.backup_id = Some(run.backup_id.clone());
        draft.result = Some(Result_::Success);
        draft.actor.clone_from(&actor);
        draft.details.insert(IN_DOUBT.to_owned(), why);
        if !note.is_empty() {
            let note = note.chars().take(1_000).collect();
            draft.details.insert("note".to_owned(), note);
        }
        drafts.push(draft);
        changes.push(Change::RunChanged(Box::new(run.clone())));
    }
    daemon.commit(&changes, drafts, now)?;
    let _ = copies::copy_receipts(daemon);
    Ok(Accepted { accepted, in_doubt })
}

fn nothing_to_accept(dataset: &DatasetId, in_doubt: Option<&Run>) -> Failure {
    let (what, help) = match in_doubt {
        None => (
            format!("no recovery point of `{dataset}` has an unconfirmed source"),
            "a backup finds out whether the source changed: run `seawalld backup PLAN` first",
        ),
        Some(run) => (
            format!(
                "the newest recovery point of `{dataset}` needs no confirmation; `{}`, which is unconfirmed, is older or was replaced by a restore",
                run.backup_id
            ),
            "nothing has to be accepted; `restore --point backup-id ID` restores the unconfirmed one",
        ),
    };
    Failure::new(code::UNKNOWN_OBJECT, what, help)
}
