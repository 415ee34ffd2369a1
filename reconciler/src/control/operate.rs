//! Owns what an operator asks for by hand: a backup now, a check now. Both go through the same steps, review and receipts as
//! a round. The interesting function is [`backup`].

use std::collections::BTreeSet;

use contract::code;
use contract::id::{BackupId, DatasetId, PlanId};
use contract::model::BackupPlan;
use jiff::{SignedDuration, Timestamp};

use super::execute::{self, Done};
use super::policy::{self, Followed};
use super::{Daemon, copies, locations, look, recover};
use crate::domain::Observed;
use crate::failure::Failure;
use crate::plan::{self, Plan, Planned, Step, Verify};
use crate::review;

/// A person waits for the check and can stop it; reading every copy may take days, whatever the plan's windows are.
const LONGEST_CHECK: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Takes a recovery point of a plan now, outside its slots.
pub fn backup(daemon: &Daemon, plan_id: &PlanId) -> Result<Vec<Done>, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::follow(daemon, now)?;
    locations::confirm(daemon, now)?;
    recover::recover(daemon, &followed)?;
    let done = backup_under(daemon, &followed, plan_id, None, now)?;
    let _ = copies::copy_receipts(daemon);
    Ok(vec![done])
}

/// The same under a policy that is known already, of all datasets or only some; in-place restores begin with it.
pub fn backup_under(
    daemon: &Daemon,
    followed: &Followed,
    plan_id: &PlanId,
    only: Option<&BTreeSet<DatasetId>>,
    now: Timestamp,
) -> Result<Done, Failure> {
    let policy = policy_of(followed, plan_id)?;
    let observed = look::look(daemon, followed, now)?;
    let seen = observed
        .plans
        .get(plan_id)
        .ok_or_else(|| foreign(plan_id))?;
    if !seen.unbound.is_empty() {
        let lacks: Vec<String> = seen.unbound.iter().map(ToString::to_string).collect();
        return Err(Failure::new(
            code::PLAN_UNBOUND,
            format!("plan `{plan_id}` is not bound: {}", lacks.join(", ")),
            "bind what is missing in the configuration",
        ));
    }
    let deadline = deadline(policy, now);
    let dataset_ids = only.unwrap_or(&policy.dataset_ids);
    let mut planned =
        plan::operator_backup(policy, dataset_ids, seen, now, deadline).map_err(|error| {
            Failure::new(
                code::UNKNOWN_OBJECT,
                error,
                "name a plan of `seawalld status`",
            )
        })?;
    if let (Step::Backup(step), Some(_)) = (&mut planned.step, only) {
        step.before_restore = true;
        "a restore is about to replace the data".clone_into(&mut planned.reason);
    }
    reviewed(&planned, &observed, followed, now)?;
    execute::execute(daemon, followed, &planned)
}

/// Reads recovery points again: one, or the newest of each plan.
pub fn verify(daemon: &Daemon, wanted: Option<&BackupId>) -> Result<Vec<Done>, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::follow(daemon, now)?;
    locations::confirm(daemon, now)?;
    recover::recover(daemon, &followed)?;
    let mut done = Vec::new();
    for planned in checks_under(daemon, &followed, wanted, now)? {
        done.push(execute::execute(daemon, &followed, &planned)?);
    }
    let _ = copies::copy_receipts(daemon);
    Ok(done)
}

/// The checks that this comes to under a policy that is known already.
pub fn checks_under(
    daemon: &Daemon,
    followed: &Followed,
    wanted: Option<&BackupId>,
    now: Timestamp,
) -> Result<Vec<Planned>, Failure> {
    let observed = look::look(daemon, followed, now)?;
    let mut steps = Vec::new();
    for (plan_id, seen) in &observed.plans {
        let policy = policy_of(followed, plan_id)?;
        let newest = seen.points().max_by_key(|run| run.instant());
        let chosen = match wanted {
            Some(id) => seen.point(id),
            None => newest,
        };
        if let Some(run) = chosen {
            // Everywhere where it should be: policy says so, or the catalog.
            let mut locations = policy.locations.clone();
            locations.extend(run.storage_locations.keys().cloned());
            steps.push(Planned {
                operation_id: format!("verify.{}.{}", run.backup_id, plan::stamp(now)),
                step: Step::Verify(Verify {
                    plan_id: plan_id.clone(),
                    backup_id: run.backup_id.clone(),
                    ends_slot: None,
                    enough: locations.len(),
                    locations,
                }),
                reason: "an operator asked for it".to_owned(),
                deadline: now.checked_add(LONGEST_CHECK).unwrap_or(Timestamp::MAX),
                stall_limit: None,
            });
        }
    }
    if let Some(run) = wanted.and_then(|id| {
        let mut former = observed.former.iter();
        former.find(|run| run.backup_id == *id && run.is_point())
    }) {
        return Err(Failure::new(
            code::UNKNOWN_OBJECT,
            format!(
                "`{}` was taken by plan `{}`, which this reconciler does not act for any more",
                run.backup_id, run.plan_id
            ),
            "restore it side by side: a restore reads and checks every byte that it brings back",
        ));
    }
    if steps.is_empty() {
        return Err(Failure::new(
            code::POINT_NOT_FOUND,
            match wanted {
                Some(id) => format!("there is no recovery point `{id}`"),
                None => "there is no recovery point yet".to_owned(),
            },
            "`seawalld catalog` lists what there is",
        ));
    }
    for planned in &steps {
        reviewed(planned, &observed, followed, now)?;
    }
    Ok(steps)
}

/// The same check, named after the instant at which it begins: it may have waited.
pub fn named_at(check: Planned, now: Timestamp) -> Planned {
    let operation_id = match &check.step {
        Step::Verify(verify) => format!("verify.{}.{}", verify.backup_id, plan::stamp(now)),
        Step::RecordMissed(_)
        | Step::Backup(_)
        | Step::Check(_)
        | Step::RecordOverdue(_)
        | Step::RecordLost(_)
        | Step::RecordFound(_)
        | Step::CatchUp(_)
        | Step::Mark(_)
        | Step::Prune(_) => check.operation_id.clone(),
    };
    Planned {
        operation_id,
        ..check
    }
}

/// A person's wish is reviewed like a planned step.
fn reviewed(
    planned: &Planned,
    observed: &Observed,
    followed: &Followed,
    now: Timestamp,
) -> Result<(), Failure> {
    let alone = Plan {
        steps: vec![planned.clone()],
        ..Plan::empty(now)
    };
    match review::review(&alone, observed, &followed.active, now).first() {
        None => Ok(()),
        Some(objection) => Err(Failure::new(
            code::PLAN_OBJECTION,
            format!("`{}`: {}", objection.operation_id, objection.why),
            "check `seawalld status`",
        )),
    }
}

/// The plan of this name, if this reconciler acts for it.
pub fn policy_of<'f>(followed: &'f Followed, plan_id: &PlanId) -> Result<&'f BackupPlan, Failure> {
    plan::own_plans(&followed.active)
        .find(|(id, _)| *id == plan_id)
        .map(|(_, policy)| policy)
        .ok_or_else(|| foreign(plan_id))
}

/// A plan that neither the policy nor the catalog knows is a typing error, not an empty list.
pub fn known(daemon: &Daemon, plan: Option<&PlanId>) -> Result<(), Failure> {
    let Some(plan) = plan else { return Ok(()) };
    let active = policy::active(daemon, daemon.now(), None);
    let in_policy = active.is_ok_and(|it| it.active.model.plans.contains_key(plan));
    if in_policy
        || !daemon.store.plans_since(Some(plan))?.is_empty()
        || daemon.store.newest_run(plan)?.is_some()
    {
        return Ok(());
    }
    Err(foreign(plan))
}

/// Neither the policy nor the catalog knows the plan.
pub fn foreign(plan_id: &PlanId) -> Failure {
    Failure::new(
        code::UNKNOWN_OBJECT,
        format!("the active policy has no plan `{plan_id}` for this reconciler"),
        "`seawalld status` lists the plans there are",
    )
}

/// An operator's run gets the plan's whole completion window.
pub fn deadline(policy: &BackupPlan, now: Timestamp) -> Timestamp {
    let window = policy.backup_frequency.completion_window_s;
    now.checked_add(SignedDuration::from_secs(window.signed()))
        .unwrap_or(Timestamp::MAX)
}
