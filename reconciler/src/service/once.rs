//! Owns the turns of every plan without a daemon that stays: policy is followed, locations are inspected, each plan gets turns until nothing
//! of it is due, and the receipts are copied. The interesting function is [`once`].

use std::sync::Arc;
use std::time::Duration;

use contract::id::PlanId;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::control::execute::Done;
use crate::control::policy::{self, Followed};
use crate::control::{Daemon, copies, overview};
use crate::failure::Failure;
use crate::plan::{Planned, own_plans};
use crate::review::Objection;
use crate::status::Status;

use super::attend::{Turns, attend, look_again};
use super::source::{announce, look_after_former};
use super::{Service, blocking, ended, is_fatal, panicked, runtime, view};

/// A plan whose run takes longer than its interval is due again at each end: what is due then is left to the next `once`.
const TURNS: u32 = 8;

/// What a round did.
#[derive(Debug)]
pub struct Round {
    /// When it began.
    pub now: Timestamp,
    /// The policy it followed.
    pub followed: Arc<Followed>,
    /// What was due.
    pub due: Vec<Planned>,
    /// Steps that the review stopped.
    pub objections: Vec<Objection>,
    /// Steps that were carried out.
    pub done: Vec<Done>,
    /// Why turns of plans came to no end of their own.
    pub failures: Vec<Failure>,
    /// How everything stands afterwards.
    pub status: Status,
    /// Copies of the receipts that could not be written.
    pub copy_failures: Vec<Failure>,
}

/// Gives every plan its turns.
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
    let (mut due, mut objections, mut done) = (Vec::new(), Vec::new(), Vec::new());
    let mut failures = Vec::new();
    for (turns, failure) in attend_to_all(&service, &followed).await? {
        due.extend(turns.due);
        objections.extend(turns.objections);
        done.extend(turns.done);
        failures.extend(failure);
    }
    let is_cut_short = service.is_asked_to_end();
    if is_cut_short {
        let daemon = service.daemon.clone();
        blocking(&service.daemon, move || Ok(daemon.store.holds()?)).await?;
        failures.push(ended());
    }
    look_at_all(&service, &followed).await;
    // The verdict on the clock may be another one than at the beginning.
    let now_active = service.active.borrow().clone();
    let under = now_active.unwrap_or_else(|| Arc::clone(&followed));
    let beside = Arc::clone(&service);
    let (status, copy_failures) = blocking(&service.daemon, move || {
        let status = view::derive(&beside, &under)?;
        // What was not looked at any more is unknown, and not to be remembered as that.
        if !is_cut_short {
            overview::remember(&beside.daemon, &status)?;
        }
        Ok((status, copies::copy_receipts(&beside.daemon)))
    })
    .await?;
    Ok(Round {
        now,
        followed,
        due,
        objections,
        done,
        failures,
        status,
        copy_failures,
    })
}

/// The turns of all plans, side by side, in the order of the plans. One that fails is shown in the status, and costs no other plan its own.
async fn attend_to_all(
    service: &Arc<Service>,
    followed: &Followed,
) -> Result<Vec<(Turns, Option<Failure>)>, Failure> {
    let mut tasks = JoinSet::new();
    for (place, (plan_id, _)) in own_plans(&followed.active).enumerate() {
        let (service, plan_id) = (Arc::clone(service), plan_id.clone());
        tasks.spawn(async move { (place, attend_until_done(&service, &plan_id).await) });
    }
    let mut all = Vec::new();
    let mut fatal = None;
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((_, (_, Some(failure)))) if is_fatal(&failure) => {
                // The others end what they have under way, and record it if they can.
                service.daemon.stop.cancel();
                fatal.get_or_insert(failure);
            }
            Ok(one) => all.push(one),
            Err(error) => {
                service.daemon.stop.cancel();
                fatal.get_or_insert(panicked(&error));
            }
        }
    }
    all.sort_by_key(|(place, _)| *place);
    let all = all.into_iter().map(|(_, turns)| turns).collect();
    fatal.map_or(Ok(all), Err)
}

/// A last look at every plan: one that was done first may have waited hours for the others.
async fn look_at_all(service: &Arc<Service>, followed: &Followed) {
    let mut tasks = JoinSet::new();
    for (plan_id, _) in own_plans(&followed.active) {
        let (service, plan_id) = (Arc::clone(service), plan_id.clone());
        tasks.spawn(async move {
            let looked = look_again(&service, &plan_id).await;
            if let Err(failure) = looked
                && !service.is_asked_to_end()
            {
                service.view.turn_ended(&plan_id, Some(&failure));
            }
        });
    }
    tasks.join_all().await;
}

/// What became due during a long step is done in a further turn.
async fn attend_until_done(service: &Arc<Service>, plan_id: &PlanId) -> (Turns, Option<Failure>) {
    let mut turns = Turns::default();
    let mut taken = 0;
    while taken < TURNS {
        let before = turns.done.len();
        let attended = attend(service, plan_id, &mut turns).await;
        taken += u32::from(turns.done.len() > before);
        match attended {
            Ok(attended) if attended.lacks_place && !service.is_asked_to_end() => {}
            // A turn that did nothing has nothing to do in the next one either.
            Ok(attended) if attended.wait == Duration::ZERO && turns.done.len() > before => {}
            Ok(_) => return (turns, None),
            // What ends with the process is no fault of the plan.
            Err(failure) if service.is_asked_to_end() && !is_fatal(&failure) => {
                return (turns, None);
            }
            Err(failure) => {
                service.view.turn_ended(plan_id, Some(&failure));
                return (turns, Some(failure));
            }
        }
    }
    (turns, None)
}

impl Round {
    /// 3 when trust was refused, 4 when policy could not be looked at, 1 when something failed or is stalled, else 0.
    pub fn exit_status(&self) -> u8 {
        let problems = self.followed.problem.iter().chain(&self.failures);
        if let Some(worst) = problems.map(Failure::exit_status).max() {
            return worst;
        }
        let failed = self.done.iter().any(|done| done.failure.is_some());
        if failed || !self.objections.is_empty() || self.status.is_stalled() {
            return 1;
        }
        0
    }
}
