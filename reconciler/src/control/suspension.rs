//! Owns that a person suspends a plan's schedule for a time, and resumes it. Its points are checked and copied meanwhile, and what is
//! missed is told as missed: a suspension makes nothing look good. The interesting function is [`suspend`].

use contract::code;
use contract::id::PlanId;
use contract::receipt::{DecisionType, Outcome, Phase};
use jiff::Timestamp;

use super::policy::{self, Followed};
use super::{Daemon, copies, operate};
use crate::domain::{Change, Draft, Suspension};
use crate::failure::Failure;
use crate::plan::stamp;

/// A reason longer than this has no place in a receipt.
const REASON: usize = 1_000;

/// An operator's words as a receipt holds them.
pub(super) fn reason(words: &str) -> String {
    contract::hidden::one_line(words)
        .chars()
        .take(REASON)
        .collect()
}

/// No scheduled backup of a plan begins until an instant.
pub fn suspend(
    daemon: &Daemon,
    plan_id: &PlanId,
    until: Timestamp,
    reason: &str,
) -> Result<Suspension, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::active(daemon, now, None)?;
    operate::policy_of(&followed, plan_id)?;
    let unfit = |why: String, help: &str| Err(Failure::new(code::PRECONDITION_FAILED, why, help));
    if until <= now {
        let help = "name an instant that is to come";
        return unfit(format!("{until} is over already"), help);
    }
    if reason.trim().is_empty() {
        let help = "give the reason in `--reason`: the receipt and the status show it";
        return unfit("a suspension needs a reason".to_owned(), help);
    }
    let suspension = Suspension {
        plan_id: plan_id.clone(),
        until,
        reason: self::reason(reason),
        actor: daemon.person(),
        at: now,
    };
    let details = [
        ("suspension", "suspended".to_owned()),
        ("until", until.to_string()),
        ("reason", suspension.reason.clone()),
    ];
    let change = Change::Suspended(suspension.clone());
    record(daemon, &followed, plan_id, &details, change, now)?;
    Ok(suspension)
}

/// The schedule of a plan counts again.
pub fn resume(daemon: &Daemon, plan_id: &PlanId) -> Result<Suspension, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::active(daemon, now, None)?;
    let mut all = daemon.store.suspensions(Some(plan_id))?;
    let Some(suspension) = all.remove(plan_id).filter(|it| it.until > now) else {
        return Err(Failure::new(
            code::PRECONDITION_FAILED,
            format!("plan `{plan_id}` is not suspended"),
            "`seawalld status` shows which plans are",
        ));
    };
    let details = [
        ("suspension", "resumed".to_owned()),
        ("suspended_since", suspension.at.to_string()),
        ("reason", suspension.reason.clone()),
    ];
    let change = Change::Resumed(plan_id.clone());
    record(daemon, &followed, plan_id, &details, change, now)?;
    Ok(suspension)
}

fn record(
    daemon: &Daemon,
    followed: &Followed,
    plan_id: &PlanId,
    details: &[(&str, String)],
    change: Change,
    now: Timestamp,
) -> Result<(), Failure> {
    let operation = format!("suspension.{plan_id}.{}", stamp(now));
    let mut draft = Draft::new(DecisionType::Suspension, Phase::Decision, &operation);
    draft.policy = Some(followed.receipts.clone());
    draft.result = Some(Outcome::Success);
    draft.plan_id = Some(plan_id.clone());
    draft.actor = format!("operator:{}", daemon.person());
    for (name, value) in details {
        draft.details.insert((*name).to_owned(), value.clone());
    }
    daemon.commit(&[change], vec![draft], daemon.now())?;
    let _ = copies::copy_receipts(daemon);
    Ok(())
}
