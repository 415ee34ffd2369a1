//! Owns what persons ask of the running daemon: each request runs beside everything else, waits only for what must not run with
//! it, and is remembered for a while after its end. Never decides whether it may: the same checks as without a daemon do. The
//! interesting function is [`carry_out`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::code;
use contract::id::{DatasetId, PlanId};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, watch};

use crate::api::server::Handler;
use crate::api::{Ask, Asked, Operation, State, is_name};
use crate::control::policy::Followed;
use crate::control::restore::{Request, Wanted};
use crate::control::{
    Daemon, acceptance, doctor, execute, locations, operate, recover, restore, source, timekeeping,
};
use crate::failure::Failure;
use crate::plan::{Planned, own_plans};
use crate::world::cancel::Cancel;
use crate::world::clock;

use super::scheduler::Wake;
use super::{Service, blocking, ended};

/// Requests that may be under way: nobody waits for more, and each may hold a worker.
pub(super) const MOST_REQUESTS: u32 = 64;

/// Requests that are remembered after their end, so that whoever lost the connection can still see how they ended.
const REMEMBERED: usize = 1_000;

/// The requests of persons.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    running: BTreeMap<String, Running>,
    ended: VecDeque<Operation>,
}

#[derive(Debug)]
struct Running {
    operation: Operation,
    stop: Cancel,
    ended: watch::Sender<bool>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Option<Operation> {
        let known = self.lock();
        let running = known.running.get(id).map(|it| &it.operation);
        running
            .or_else(|| known.ended.iter().find(|it| it.id == id))
            .cloned()
    }

    fn end(&self, id: &str, result: Result<Value, Failure>) {
        let mut known = self.lock();
        let Some(mut running) = known.running.remove(id) else {
            return;
        };
        match result {
            Ok(value) => {
                running.operation.state = State::Succeeded;
                running.operation.result = Some(value);
            }
            Err(failure) => {
                tracing::error!(request = id, code = %failure.code, "{}", failure.message);
                running.operation.state = State::Failed;
                running.operation.failure = Some(failure);
            }
        }
        if known.ended.len() >= REMEMBERED {
            known.ended.pop_front();
        }
        known.ended.push_back(running.operation);
        running.ended.send_replace(true);
    }
}

impl Handler for Service {
    fn ask(self: Arc<Self>, ask: Ask, requested_by: String) -> Result<Operation, Failure> {
        let refused = |why: &str, help: &str| Failure::new(code::API_REFUSED, why, help);
        if !is_name(&ask.id) {
            let help = "use letters, digits, `-`, `_` and `.`";
            return Err(refused("the request's name is none", help));
        }
        if let Some(known) = self.requests.find(&ask.id) {
            return if known.asked.as_ref() == Some(&ask.asked) {
                Ok(known)
            } else {
                let help = "use another name for another request";
                Err(refused("another request has this name", help))
            };
        }
        let Ok(permit) = Arc::clone(&self.asked).try_acquire_owned() else {
            let help = "wait for one of them, or end it with `seawalld cancel`";
            return Err(refused("too many requests are under way", help));
        };
        let operation = Operation {
            id: ask.id.clone(),
            asked: Some(ask.asked.clone()),
            state: State::Running,
            asked_at: Some(clock::now()),
            requested_by: Some(requested_by.clone()),
            result: None,
            failure: None,
        };
        let stop = self.daemon.stop.below();
        let running = Running {
            operation: operation.clone(),
            stop: stop.clone(),
            ended: watch::Sender::new(false),
        };
        self.requests.lock().running.insert(ask.id.clone(), running);
        tracing::info!(event = "request_taken", request = ask.id, by = requested_by);
        tokio::spawn(async move {
            let daemon = self.daemon.part(stop, Some(requested_by));
            let result = carry_out(&self, daemon, ask.asked).await;
            self.requests.end(&ask.id, result);
            drop::<OwnedSemaphorePermit>(permit);
        });
        Ok(operation)
    }

    fn operations(&self) -> Vec<Operation> {
        let mut all: Vec<Operation> = self
            .daemon
            .at_work()
            .into_iter()
            .map(|id| Operation {
                id,
                asked: None,
                state: State::Running,
                asked_at: None,
                requested_by: None,
                result: None,
                failure: None,
            })
            .collect();
        let known = self.requests.lock();
        all.extend(known.running.values().map(|it| it.operation.clone()));
        // Who wants to know what one came to asks for that one.
        all.extend(known.ended.iter().rev().map(|it| Operation {
            result: None,
            ..it.clone()
        }));
        all
    }

    async fn operation(self: Arc<Self>, id: String, within: Duration) -> Option<Operation> {
        let ended = {
            let known = self.requests.lock();
            known.running.get(&id).map(|it| it.ended.subscribe())
        };
        if let Some(mut ended) = ended {
            let _ = tokio::time::timeout(within, ended.wait_for(|ended| *ended)).await;
        }
        self.requests.find(&id)
    }

    fn cancel(&self, id: &str) -> bool {
        if self.daemon.cancel(id) {
            tracing::info!(event = "operation_cancelled", operation = id);
            return true;
        }
        let known = self.requests.lock();
        let running = known.running.get(id);
        running.inspect(|it| it.stop.cancel()).is_some()
    }
}

/// Carries out one request.
async fn carry_out(service: &Arc<Service>, daemon: Daemon, asked: Asked) -> Result<Value, Failure> {
    match asked {
        Asked::Backup { plan_id } => backup(service, daemon, plan_id).await,
        Asked::Verify { backup_id } => {
            let followed = service.policy().await.ok_or_else(ended)?;
            let (beside, under) = (daemon.clone(), Arc::clone(&followed));
            let checks = blocking(move || {
                let now = beside.fresh_now()?;
                operate::checks_under(&beside, &under, backup_id.as_ref(), now)
            });
            let mut all = Vec::new();
            for check in checks.await? {
                let plan_id = check.step.plan_id().clone();
                let _claim = claim(service, &daemon, &plan_id).await?;
                all.push(execute_one(&daemon, &followed, check).await?);
                service.look_again_at(plan_id);
            }
            json(all)
        }
        Asked::Restore { request } => restore_one(service, daemon, request).await,
        Asked::AcceptLoss { backup_id, note } => {
            answered(move || acceptance::accept(&daemon, &backup_id, &note).map(|run| vec![run]))
                .await
        }
        Asked::AdoptLocation { location_id } => {
            answered(move || {
                let actor = daemon.requested_by.clone().unwrap_or_default();
                locations::adopt(&daemon, &location_id, &actor, clock::now())
            })
            .await
        }
        Asked::ConfirmClock {} => answered(move || timekeeping::confirm(&daemon)).await,
        Asked::AcceptSource { dataset_id, note } => {
            // What is known of its points is written again.
            let _claims = claims_on(service, &daemon, &dataset_id).await?;
            answered(move || source::accept(&daemon, &dataset_id, &note)).await
        }
        Asked::Doctor {} => answered(move || Ok(doctor::examine(&daemon))).await,
    }
}

fn json<T: Serialize>(value: T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| {
        Failure::new(
            code::EFFECT_PANICKED,
            format!("the answer cannot be written: {error}"),
            "report this as a bug",
        )
    })
}

async fn answered<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Value, Failure> {
    json(blocking(work).await?)
}

/// Waits until nobody else works on a plan; the request can be ended meanwhile.
async fn claim(
    service: &Service,
    daemon: &Daemon,
    plan_id: &PlanId,
) -> Result<OwnedMutexGuard<()>, Failure> {
    let claim = service.claim(plan_id);
    tokio::select! {
        held = claim => Ok(held),
        () = super::cancelled(&daemon.stop) => Err(Failure::new(
            code::OPERATION_CANCELLED,
            format!("it was ended while it waited for other work on plan `{plan_id}`"),
            "ask again when it is wanted",
        )),
    }
}

/// Waits until nobody works on any plan that takes a dataset. In the order of their names, so that two who wait do not wait for
/// each other.
async fn claims_on(
    service: &Service,
    daemon: &Daemon,
    dataset: &DatasetId,
) -> Result<Vec<(PlanId, OwnedMutexGuard<()>)>, Failure> {
    let followed = service.policy().await.ok_or_else(ended)?;
    let mut claims = Vec::new();
    for (plan_id, policy) in own_plans(&followed.in_force) {
        if policy.dataset_ids.contains(dataset) {
            claims.push((plan_id.clone(), claim(service, daemon, plan_id).await?));
        }
    }
    Ok(claims)
}

async fn execute_one(
    daemon: &Daemon,
    followed: &Arc<Followed>,
    planned: Planned,
) -> Result<execute::Done, Failure> {
    let (daemon, followed) = (daemon.clone(), Arc::clone(followed));
    blocking(move || execute::execute(&daemon, &followed, &planned)).await
}

async fn backup(service: &Arc<Service>, daemon: Daemon, plan_id: PlanId) -> Result<Value, Failure> {
    let followed = service.policy().await.ok_or_else(ended)?;
    operate::policy_of(&followed, &plan_id)?;
    let _claim = claim(service, &daemon, &plan_id).await?;
    let wanted = plan_id.clone();
    let done = answered(move || {
        recover::recover_of(&daemon, &followed, |id| *id == wanted)?;
        let now = daemon.fresh_now()?;
        operate::backup_under(&daemon, &followed, &wanted, None, now).map(|done| vec![done])
    });
    let done = done.await;
    service.look_again_at(plan_id);
    done
}

/// Data come back beside every backup. Only where they replace the live ones, nothing may read those meanwhile.
async fn restore_one(
    service: &Arc<Service>,
    daemon: Daemon,
    request: Request,
) -> Result<Value, Failure> {
    let followed = service.policy().await.ok_or_else(ended)?;
    let claims = match request.mode {
        Wanted::InPlace => claims_on(service, &daemon, &request.dataset).await?,
        Wanted::ExportOnly | Wanted::SideBySide => Vec::new(),
    };
    let restored = answered(move || {
        let now = daemon.fresh_now()?;
        restore::restore_under(&daemon, &followed, &request, now)
    });
    let restored = restored.await;
    for (plan_id, held) in claims {
        drop(held);
        service.look_again_at(plan_id);
    }
    restored
}

impl Service {
    /// Looks at a plan again, because a person's request changed it.
    fn look_again_at(&self, plan_id: PlanId) {
        let _ = self.wake.send(Wake::Plan(plan_id));
    }
}
