//! Owns what follows when recovery points are gone or damaged: they are recorded as what they are, and a person is asked for.
//! A location that could not be listed proves nothing. The interesting function is [`is_nowhere`].

use std::collections::BTreeSet;

use contract::code::{self, Code};
use contract::id::BackupId;
use contract::model::BackupPlan;
use jiff::Timestamp;

use super::{Planned, Points, Step, slots};
use crate::domain::{Observation, PlanObserved, Run};

/// What the recovery points of one plan come to.
pub(super) fn steps(policy: &BackupPlan, seen: &PlanObserved, now: Timestamp) -> Vec<Planned> {
    let of = |wanted: &dyn Fn(&Run) -> bool| -> BTreeSet<BackupId> {
        seen.points()
            .filter(|run| wanted(run))
            .map(|run| run.backup_id.clone())
            .collect()
    };
    let lost = of(&|run| !run.is_lost() && is_nowhere(policy, seen, run));
    let found = of(&|run| run.is_lost() && is_somewhere(seen, run));
    let points = |backup_ids| Points {
        plan_id: policy.plan_id.clone(),
        backup_ids,
    };
    let mut steps = Vec::new();
    let mut add = |word: &str, reason: &str, step| {
        steps.push(Planned {
            operation_id: format!("{word}.{}.{}", policy.plan_id, slots::stamp(now)),
            reason: reason.to_owned(),
            step,
            deadline: now,
            stall_limit: None,
        });
    };
    if !lost.is_empty() {
        let step = Step::RecordLost(points(lost));
        add("lost", "recovery points are at no location any more", step);
    }
    if !found.is_empty() {
        let step = Step::RecordFound(points(found));
        add("found", "lost recovery points are there again", step);
    }
    steps
}

/// Why a person is needed, unless one has accepted it.
pub(super) fn stalls(policy: &BackupPlan, seen: &PlanObserved) -> Vec<(Code, String)> {
    let open = |run: &&Run| !seen.acknowledged.contains(&run.backup_id);
    let told = |code, what: &str, runs: Vec<&Run>| {
        let newest = runs.iter().max_by_key(|run| run.instant())?;
        let more = match runs.len() {
            1 => String::new(),
            2 => ", and 1 more".to_owned(),
            count => format!(", and {} more", count - 1),
        };
        Some((
            code,
            format!("recovery point `{}` {what}{more}", newest.backup_id),
        ))
    };
    let lost = seen
        .points()
        .filter(open)
        .filter(|run| is_nowhere(policy, seen, run) || (run.is_lost() && !is_somewhere(seen, run)))
        .collect();
    let suspect = seen
        .points()
        .filter(open)
        .filter(|run| run.is_suspect())
        .collect();
    let lost = told(code::POINT_LOST, "is at no location any more", lost);
    let suspect = told(
        code::POINT_SUSPECT,
        "is damaged at every location that holds it",
        suspect,
    );
    lost.into_iter().chain(suspect).collect()
}

/// Whether a point is gone: every location where it should be was listed, and none has its snapshot.
pub(super) fn is_nowhere(policy: &BackupPlan, seen: &PlanObserved, run: &Run) -> bool {
    let (Some(repository), Some(id)) = (seen.repositories.get(&run.kid), &run.snapshot_id) else {
        return false;
    };
    let mut wanted = policy
        .locations
        .iter()
        .chain(run.storage_locations.keys())
        .peekable();
    wanted.peek().is_some()
        && wanted.all(|location| match repository.held.get(location) {
            Some(Observation::Known { value, .. }) => !value.contains(id),
            Some(Observation::Absent { .. }) => true,
            Some(Observation::Unknown { .. }) | None => false,
        })
}

fn is_somewhere(seen: &PlanObserved, run: &Run) -> bool {
    let (Some(repository), Some(id)) = (seen.repositories.get(&run.kid), &run.snapshot_id) else {
        return false;
    };
    repository
        .held
        .values()
        .any(|held| matches!(held, Observation::Known { value, .. } if value.contains(id)))
}
