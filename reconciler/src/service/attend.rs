//! Owns one turn of one plan: close what was left open, look, plan, review, carry out what passes, and look again. Nothing of
//! another plan is touched or waited for, but a free worker. The interesting function is [`attend`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::code;
use contract::id::{LocationId, PlanId};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::control::execute::Done;
use crate::control::policy::{self, Followed};
use crate::control::{Daemon, execute, look, recover};
use crate::domain::PlanObserved;
use crate::failure::Failure;
use crate::plan::{self, Plan, Planned};
use crate::review::{self, Objection};

use super::admission::Admitted;
use super::claims::PlanClaim;
use super::source::announce;
use super::view::Follows;
use super::{Service, blocking, ended};

/// How often a look waits for the next second.
const TICK: Duration = Duration::from_millis(100);

/// What a turn came to.
#[derive(Debug)]
pub(super) struct Attended {
    /// What the plan waits for is then.
    pub(super) wait: Duration,
    /// Something is due that found no place at a location.
    pub(super) lacks_place: bool,
}

/// What turns of a plan did, however they ended.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What was due.
    pub(super) due: Vec<Planned>,
    /// Steps that the review stopped.
    pub(super) objections: Vec<Objection>,
    /// What was carried out.
    pub(super) done: Vec<Done>,
}

impl Service {
    /// How long a plan waits for a place at a location, with the next instant that it waits for, before it is looked at again.
    fn patience(&self, until: Duration) -> Duration {
        until.min(self.look_interval()).max(SHORTEST_WAIT)
    }
}

/// A plan that waits for a place at a location is not looked at more often.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// What follows from a look at a plan.
struct Looked {
    followed: Arc<Followed>,
    follows: Follows,
}

/// Attends to a plan once.
pub(super) async fn attend(
    service: &Arc<Service>,
    plan_id: &PlanId,
    turns: &mut Turns,
) -> Result<Attended, Failure> {
    let mut claim = service.claims.plan(plan_id).await;
    let mut looked = look_at(service, plan_id, &mut claim).await?;
    if looked.steps().is_empty() {
        turns.plans(&looked);
        return Ok(looked.attended(service.daemon.now()));
    }
    let mut first = None;
    if let Some(locations) = looked.first_effect() {
        first = service.admission.try_enter(&locations, None);
        if first.is_none() {
            // Requests for the plan go ahead meanwhile.
            drop(claim);
            tracing::debug!(plan = %plan_id, "waits for a free worker");
            // A place at a location may be hours away, and meanwhile something else may become due.
            let patience = service.patience(looked.attended(service.daemon.now()).wait);
            first = service.admission.enter(&locations, patience).await?;
            let again = service.claims.try_plan(plan_id);
            let (Some(again), true) = (again, first.is_some()) else {
                return Ok(Attended {
                    wait: Duration::ZERO,
                    lacks_place: first.is_none(),
                });
            };
            claim = again;
            // What was due then may be over, or go elsewhere.
            looked = look_at(service, plan_id, &mut claim).await?;
            if looked.first_effect().is_none_or(|now| now != locations) {
                first = None;
            }
        }
    }
    let policy = looked.followed.active.model.plans.get(plan_id);
    let datasets = policy.map(|policy| policy.dataset_ids.clone());
    let _data = service
        .claims
        .data_to_read(&datasets.unwrap_or_default())
        .await;
    turns.plans(&looked);
    let mut is_over = false;
    let mut tried = BTreeSet::new();
    let (mut worker, mut lacks_place) = (None, false);
    for step in looked.steps() {
        // What was decided before a long run is decided anew after it.
        is_over = !step.step.is_record() && step.deadline < service.daemon.now();
        if is_over || service.is_asked_to_end() {
            break;
        }
        let admitted = if step.step.is_record() {
            None
        } else {
            let locations = step.step.locations();
            let own = first.take();
            let own = own.or_else(|| service.admission.try_enter(&locations, worker.take()));
            // A later turn waits for a place, and holds no claim meanwhile.
            lacks_place = own.is_none();
            if lacks_place {
                break;
            }
            own
        };
        tried.insert(step.subject().to_owned());
        let daemon = service.daemon.part(service.daemon.stop.below(), None);
        let followed = Arc::clone(&looked.followed);
        let running = Arc::clone(&service.running).acquire_owned().await;
        let running = running.map_err(|_| ended())?;
        let overtime = admitted.map(|it| Overtime::of(&step, service.daemon.now(), it));
        let beside = Arc::clone(service);
        let done = blocking(&service.daemon, move || {
            let since = daemon.now();
            let done = execute::execute(&daemon, &followed, &step);
            // Given back where the work is: nobody stops waiting for it before.
            drop(running);
            let done = done?;
            beside.requests.carried_out(since, &done);
            Ok(done)
        })
        .await?;
        turns.done.push(done);
        worker = overtime.and_then(Overtime::end).or(worker);
        service.recorded.notify_one();
    }
    if !service.is_asked_to_end() {
        looked = look_at(service, plan_id, &mut claim).await?;
    }
    let mut attended = looked.attended(service.daemon.now());
    // What became due while the steps ran waits for no interval. What was tried does: it may fail again.
    let is_new = |step: &Planned| !tried.contains(step.subject());
    let until = attended.wait;
    attended.lacks_place = lacks_place;
    if is_over || looked.steps().iter().any(is_new) {
        attended.wait = Duration::ZERO;
    }
    // What failed in this turn would be tried again before what waits for the place.
    if lacks_place && !tried.is_empty() {
        attended.wait = service.patience(until);
    }
    Ok(attended)
}

/// Looks at a plan once more, and does nothing.
pub(super) async fn look_again(service: &Arc<Service>, plan_id: &PlanId) -> Result<(), Failure> {
    let mut claim = service.claims.plan(plan_id).await;
    look_at(service, plan_id, &mut claim).await.map(drop)
}

/// The right to run one step. A run that may go on past its deadline gives its worker back there: however long it takes, other
/// plans wait for it only where a location is bounded.
struct Overtime {
    clock: Option<JoinHandle<()>>,
    worker: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    _places: Vec<OwnedSemaphorePermit>,
}

impl Overtime {
    fn of(step: &Planned, now: Timestamp, admitted: Admitted) -> Self {
        let worker = Arc::new(Mutex::new(Some(admitted.worker)));
        let clock = step.stall_limit.map(|_| {
            let left = step.deadline.duration_since(now).as_secs();
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
            let held = Arc::clone(&worker);
            tokio::spawn(async move {
                tokio::time::sleep(left).await;
                held.lock().unwrap_or_else(PoisonError::into_inner).take();
            })
        });
        Self {
            clock,
            worker,
            _places: admitted.places,
        }
    }

    /// The worker, where it was not given back, for the next step.
    fn end(self) -> Option<OwnedSemaphorePermit> {
        if let Some(clock) = self.clock {
            clock.abort();
        }
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        worker.take()
    }
}

/// Looks at a plan at an instant that is later than that of the look before, because operations are named after it.
async fn look_at(
    service: &Arc<Service>,
    plan_id: &PlanId,
    claim: &mut PlanClaim,
) -> Result<Looked, Failure> {
    let followed = service.policy().await.ok_or_else(ended)?;
    let at = later_than(service, **claim).await;
    **claim = Some(at);
    let _permit = service.looks.acquire().await.map_err(|_| ended())?;
    let (beside, plan_id) = (Arc::clone(service), plan_id.clone());
    blocking(&service.daemon, move || {
        let followed = judged_at(&beside, followed, at)?;
        let (seen, follows) = see(&beside.daemon, &followed, &plan_id, at)?;
        beside.view.put(plan_id, seen, follows.clone());
        Ok(Looked { followed, follows })
    })
    .await
}

/// Time passes and clocks jump between two looks at git: what is decided at an instant is decided by what the clock is worth then.
fn judged_at(
    service: &Service,
    followed: Arc<Followed>,
    at: Timestamp,
) -> Result<Arc<Followed>, Failure> {
    let newest = service.daemon.log().ledger().newest();
    if followed.holds_at(newest, at) {
        return Ok(followed);
    }
    let problem = followed.problem.clone();
    let now = Arc::new(policy::active(&service.daemon, at, problem)?);
    announce(service, &now);
    Ok(now)
}

/// A clock that was set back is no reason to wait: that is told as a condition.
async fn later_than(service: &Service, before: Option<Timestamp>) -> Timestamp {
    loop {
        let now = service.daemon.now();
        if before != Some(now) {
            return now;
        }
        tokio::time::sleep(TICK).await;
    }
}

fn see(
    daemon: &Daemon,
    followed: &Followed,
    plan_id: &PlanId,
    at: Timestamp,
) -> Result<(Option<PlanObserved>, Follows), Failure> {
    recover::recover_of(daemon, followed, Some(plan_id))?;
    let observed = look::look_at_plan(daemon, followed, plan_id, at)?;
    let plan = match observed.plans.get(plan_id) {
        Some(seen) => plan::plan_alone(&followed.active, plan_id, seen, at),
        None => Plan::empty(at),
    };
    let objections = review::review(&plan, &observed, &followed.active, at);
    for objection in &objections {
        tracing::error!(event = "step_stopped", code = %code::PLAN_OBJECTION, operation = %objection.operation_id, "{}", objection.why);
    }
    let seen = observed.plans.into_values().next();
    Ok((seen, Follows { plan, objections }))
}

impl Turns {
    fn plans(&mut self, looked: &Looked) {
        let Follows { plan, objections } = &looked.follows;
        for step in &plan.steps {
            if self
                .due
                .iter()
                .all(|it| it.operation_id != step.operation_id)
            {
                self.due.push(step.clone());
            }
        }
        // As of the last look: what it stops is stopped in each.
        self.objections.clone_from(objections);
    }
}

impl Looked {
    /// The steps that the review let pass, in their order.
    fn steps(&self) -> Vec<Planned> {
        let Follows { plan, objections } = &self.follows;
        let passed = |step: &&Planned| {
            let id = &step.operation_id;
            objections.iter().all(|it| it.operation_id != *id)
        };
        plan.steps.iter().filter(passed).cloned().collect()
    }

    /// Where the first step that needs a worker works; none where there is no such step.
    fn first_effect(&self) -> Option<BTreeSet<LocationId>> {
        let mut steps = self.steps().into_iter();
        let first = steps.find(|step| !step.step.is_record())?;
        Some(first.step.locations())
    }

    fn attended(&self, now: Timestamp) -> Attended {
        let until = self.follows.plan.waits.iter().filter_map(|wait| wait.until);
        let wait = until.min().map_or(Duration::MAX, |until| {
            let left = until.duration_since(now).as_secs();
            Duration::from_secs(u64::try_from(left).unwrap_or(0))
        });
        Attended {
            wait,
            lacks_place: false,
        }
    }
}
