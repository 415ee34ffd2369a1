//! Owns one turn of every plan, without a daemon that goes on: policy is followed, locations are inspected, every plan gets its turn
//! beside the others, and the receipts are copied. The interesting function is [`once`].

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::id::PlanId;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::control::execute::Done;
use crate::control::policy::{self, Followed};
use crate::control::{Daemon, copies, overview};
use crate::failure::Failure;
use crate::plan::{Plan, own_plans};
use crate::review::Objection;
use crate::status::Status;

use super::attend::{Attended, attend};
use super::source::{announce, look_after_former};
use super::{Service, blocking, is_fatal, panicked, runtime, told, view};

/// What a round did.
#[derive(Debug)]
pub struct Round {
    /// When it began.
    pub now: Timestamp,
    /// The policy it followed.
    pub followed: Arc<Followed>,
    /// What was due.
    pub plan: Plan,
    /// Steps that the review stopped.
    pub objections: Vec<Objection>,
    /// Steps that were carried out.
    pub done: Vec<Done>,
    /// How everything stands afterwards.
    pub status: Status,
    /// Copies of the receipts that could not be written.
    pub copy_failures: Vec<Failure>,
}

/// Gives every plan one turn.
pub fn once(daemon: Daemon) -> Result<Round, Failure> {
    let runtime = runtime()?;
    let ended = runtime.block_on(turns(daemon.clone()));
    // A look at a location that hangs is left behind; it only reads.
    runtime.shutdown_background();
    drop(daemon);
    ended
}

async fn turns(daemon: Daemon) -> Result<Round, Failure> {
    // Nothing wakes a plan for a second turn.
    let (wake, _woken) = mpsc::unbounded_channel();
    let service = Arc::new(Service::new(daemon, wake));
    let daemon = service.daemon.clone();
    let (now, followed) = blocking(&service.daemon, move || {
        let now = daemon.fresh_now()?;
        Ok((now, policy::follow(&daemon, now)?))
    })
    .await?;
    let followed = Arc::new(followed);
    announce(&service, &followed);
    service.inspect().await?;
    look_after_former(&service, &followed).await?;
    let attended = attend_to_all(&service, &followed).await?;
    let mut plan = Plan::empty(now);
    let (mut objections, mut done) = (Vec::new(), Vec::new());
    for turn in attended.into_values() {
        plan.extend(turn.follows.plan);
        objections.extend(turn.follows.objections);
        done.extend(turn.done);
    }
    let (beside, under) = (Arc::clone(&service), Arc::clone(&followed));
    let (status, copy_failures) = blocking(&service.daemon, move || {
        let status = view::derive(&beside, &under)?;
        overview::remember(&beside.daemon, &status)?;
        Ok((status, copies::copy_receipts(&beside.daemon)))
    })
    .await?;
    Ok(Round {
        now,
        followed,
        plan,
        objections,
        done,
        status,
        copy_failures,
    })
}

/// The turns of all plans, side by side. One that fails is shown in the status, and costs no other plan its own.
async fn attend_to_all(
    service: &Arc<Service>,
    followed: &Followed,
) -> Result<BTreeMap<PlanId, Attended>, Failure> {
    let mut turns = JoinSet::new();
    for (plan_id, _) in own_plans(&followed.active) {
        let (service, plan_id) = (Arc::clone(service), plan_id.clone());
        turns.spawn(async move {
            let attended = attend(&service, &plan_id).await;
            (plan_id, attended)
        });
    }
    let mut all = BTreeMap::new();
    let mut fatal = None;
    while let Some(ended) = turns.join_next().await {
        let (plan_id, attended) = ended.map_err(|error| panicked(&error))?;
        match attended {
            Ok(attended) => {
                all.insert(plan_id, attended);
            }
            Err(failure) if is_fatal(&failure) => {
                // The others end what they have under way, and record it if they can.
                service.daemon.stop.cancel();
                fatal.get_or_insert(failure);
            }
            Err(failure) => {
                told(&failure);
                service.view.turn_ended(&plan_id, Some(&failure));
            }
        }
    }
    fatal.map_or(Ok(all), Err)
}

impl Round {
    /// 3 when trust was refused, 4 when policy could not be looked at, 1 when something failed or is stalled, else 0.
    pub fn exit_status(&self) -> u8 {
        if let Some(problem) = &self.followed.problem {
            return problem.exit_status();
        }
        let failed = self.done.iter().any(|done| done.failure.is_some());
        if failed || !self.objections.is_empty() || self.status.is_stalled() {
            return 1;
        }
        0
    }
}
