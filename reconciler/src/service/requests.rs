//! Owns what persons ask of the running daemon: each request runs beside everything else, waits only for what must not run with
//! it, and is remembered for a while after its end. Never decides whether it may: the same checks as without a daemon do. The
//! interesting function is [`carry_out`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contract::code;
use contract::id::{BackupId, DatasetId, PlanId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::api::resources::{
    AlertView, PlanView, ReceiptView, RecoveryPoint, ScheduleView, SlotView,
};
use crate::api::server::Handler;
use crate::api::{Ask, Asked, OperationState, OperationView};
use crate::control::execute::Done;
use crate::control::policy::Followed;
use crate::control::restore::{Request, Wanted};
use crate::control::{
    Daemon, Work, acceptance, care, doctor, execute, locations, notify, operate, recover, restore,
    source, suspension, timekeeping,
};
use crate::failure::Failure;
use crate::plan::own_plans;
use crate::status::{DaemonStatus, Status};
use crate::worker::meter::Meter;
use crate::world::cancel::Cancel;

use super::claims::PlanClaim;
use super::scheduler::Wake;
use super::{Service, blocking, monitor, view};

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
    ended: VecDeque<OperationView>,
    /// What policy wanted and is done.
    carried_out: VecDeque<OperationView>,
}

/// What a request came to. What was done may have failed, and is told all the same.
struct Answer {
    value: Value,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Running {
    operation: OperationView,
    stop: Cancel,
    meter: Meter,
    ended: watch::Sender<bool>,
}

impl Running {
    fn now(&self) -> OperationView {
        OperationView {
            progress: self.meter.pace(),
            ..self.operation.clone()
        }
    }
}

/// An operation that policy wants.
fn of_policy(id: String, work: &Work) -> OperationView {
    OperationView {
        id,
        asked: None,
        state: OperationState::Running,
        asked_at: Some(work.since),
        requested_by: None,
        result: None,
        failure: None,
        progress: work.meter.pace(),
    }
}

fn keep(queue: &mut VecDeque<OperationView>, operation: OperationView) {
    if queue.len() >= REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(operation);
}

impl Known {
    fn find(&self, id: &str) -> Option<OperationView> {
        let running = self.running.get(id).map(Running::now);
        let ended = || self.ended.iter().chain(&self.carried_out);
        running.or_else(|| ended().find(|it| it.id == id).cloned())
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, id: &str, result: Result<Answer, Failure>) {
        let mut known = self.lock();
        let Some(mut running) = known.running.remove(id) else {
            return;
        };
        let (value, failure) = match result {
            Ok(Answer { value, failure }) => (Some(value), failure),
            Err(failure) => (None, Some(failure)),
        };
        if let Some(failure) = &failure {
            tracing::error!(event = "request_failed", request = id, code = %failure.code, "{}", failure.message);
        }
        running.operation.state = OperationState::of(failure.as_ref());
        running.operation.result = value;
        running.operation.failure = failure;
        keep(&mut known.ended, running.operation);
        running.ended.send_replace(true);
    }

    /// Remembers for a while what was done because policy wants it.
    pub(super) fn carried_out(&self, since: Timestamp, done: &Done) {
        let operation = OperationView {
            id: done.operation_id.clone(),
            asked: None,
            state: OperationState::of(done.failure.as_ref()),
            asked_at: Some(since),
            requested_by: None,
            result: serde_json::to_value(done).ok(),
            failure: done.failure.clone(),
            progress: None,
        };
        keep(&mut self.lock().carried_out, operation);
    }
}

#[async_trait]
impl Handler for Service {
    fn ask(self: Arc<Self>, ask: Ask, requested_by: String) -> Result<OperationView, Failure> {
        let refused = |why: &str, help: &str| Failure::new(code::API_REFUSED, why, help);
        let mut known = self.requests.lock();
        if let Some(known) = known.find(&ask.id) {
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
        let operation = OperationView {
            id: ask.id.clone(),
            asked: Some(ask.asked.clone()),
            state: OperationState::Running,
            asked_at: Some(self.daemon.now()),
            requested_by: Some(requested_by.clone()),
            result: None,
            failure: None,
            progress: None,
        };
        let daemon = self
            .daemon
            .part(self.daemon.stop.below(), Some(requested_by.clone()));
        let running = Running {
            operation: operation.clone(),
            stop: daemon.stop.clone(),
            meter: daemon.meter.clone(),
            ended: watch::Sender::new(false),
        };
        known.running.insert(ask.id.clone(), running);
        drop(known);
        tracing::info!(event = "request_taken", request = ask.id, by = requested_by);
        tokio::spawn(async move {
            let result = carry_out(&self, daemon, ask.asked).await;
            self.requests.end(&ask.id, result);
            self.recorded.notify_one();
            drop::<OwnedSemaphorePermit>(permit);
        });
        Ok(operation)
    }

    fn operations(&self) -> Vec<OperationView> {
        let mut all: Vec<OperationView> = self
            .daemon
            .at_work()
            .into_iter()
            .map(|(id, work)| of_policy(id, &work))
            .collect();
        let known = self.requests.lock();
        all.extend(known.running.values().map(Running::now));
        // Who wants to know what one came to asks for that one.
        let ended = known.ended.iter().chain(&known.carried_out);
        all.extend(ended.map(|it| OperationView {
            result: None,
            ..it.clone()
        }));
        // In progress first, then the newest.
        all.sort_by_key(|it| (it.state != OperationState::Running, Reverse(it.asked_at)));
        all
    }

    fn operation_now(&self, id: &str) -> Option<OperationView> {
        let at_work = self.daemon.at_work();
        let of_policy = at_work.get(id).map(|work| of_policy(id.to_owned(), work));
        of_policy.or_else(|| self.requests.lock().find(id))
    }

    async fn operation(self: Arc<Self>, id: String, within: Duration) -> Option<OperationView> {
        let ended = {
            let known = self.requests.lock();
            known.running.get(&id).map(|it| it.ended.subscribe())
        };
        if let Some(mut ended) = ended {
            let _ = tokio::time::timeout(within, ended.wait_for(|ended| *ended)).await;
        }
        self.operation_now(&id)
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

    async fn status(self: Arc<Self>) -> Result<Status, Failure> {
        let followed = policy_now(&self)?;
        let daemon = DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since,
        };
        self.read(move |service| {
            let status = view::derive(service, &followed)?;
            Ok(Status {
                daemon: Some(daemon),
                ..status
            })
        })
        .await
    }

    async fn metrics(self: Arc<Self>) -> Result<String, Failure> {
        self.read(monitor::metrics).await
    }

    async fn alive(self: Arc<Self>) -> Result<(), Failure> {
        let alone = Arc::clone(&self.probing).lock_owned().await;
        self.read(move |service| {
            let _alone = alone;
            monitor::alive(service)
        })
        .await
    }

    fn ready(&self) -> Result<(), Failure> {
        monitor::ready(self)
    }

    async fn plans(self: Arc<Self>) -> Result<Vec<PlanView>, Failure> {
        let followed = policy_now(&self)?;
        self.read(move |service| {
            let status = view::derive(service, &followed)?;
            let plans = &followed.active.model.plans;
            let shown = status.plans.into_iter().filter_map(|status| {
                let plan_id = status.condition.plan_id.clone()?;
                let policy = plans.get(&plan_id)?;
                Some(PlanView {
                    plan_id,
                    name: policy.name.clone(),
                    dataset_ids: policy.dataset_ids.clone(),
                    locations: policy.locations.clone(),
                    schedule: ScheduleView::from(&policy.backup_frequency),
                    status,
                })
            });
            let mut shown: Vec<PlanView> = shown.collect();
            shown.sort_by(|a, b| a.plan_id.cmp(&b.plan_id));
            Ok(shown)
        })
        .await
    }

    async fn slots(
        self: Arc<Self>,
        plan: Option<PlanId>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<(u64, SlotView)>, Failure> {
        self.read(move |service| {
            operate::known(&service.daemon, plan.as_ref())?;
            let found = service
                .daemon
                .store
                .slots_before(plan.as_ref(), before, most)?;
            let found = found.into_iter();
            Ok(found.map(|(number, slot)| (number, slot.into())).collect())
        })
        .await
    }

    async fn points(
        self: Arc<Self>,
        plan: Option<PlanId>,
        before: Option<BackupId>,
        most: u32,
    ) -> Result<Option<Vec<RecoveryPoint>>, Failure> {
        self.read(move |service| {
            let daemon = &service.daemon;
            operate::known(daemon, plan.as_ref())?;
            if let Some(before) = &before
                && daemon.store.point(before)?.is_none()
            {
                return Ok(None);
            }
            let found = daemon
                .store
                .points_before(plan.as_ref(), before.as_ref(), most)?;
            Ok(Some(found.into_iter().map(Into::into).collect()))
        })
        .await
    }

    async fn point(self: Arc<Self>, id: BackupId) -> Result<Option<RecoveryPoint>, Failure> {
        self.read(move |service| Ok(service.daemon.store.point(&id)?.map(Into::into)))
            .await
    }

    async fn receipts(self: Arc<Self>, from: u64, most: u32) -> Result<Vec<ReceiptView>, Failure> {
        self.read(move |service| {
            let found = service.daemon.store.receipts(from, u64::from(most))?;
            let shown = (from..).zip(found).map(|(sequence, line)| {
                let envelope = serde_json::from_str(&line).map_err(|error| unwritten(&error))?;
                Ok(ReceiptView { sequence, envelope })
            });
            shown.collect()
        })
        .await
    }

    async fn alerts(self: Arc<Self>) -> Result<Vec<AlertView>, Failure> {
        self.read(|service| {
            Ok(notify::shown(&service.daemon)?
                .into_iter()
                .map(Into::into)
                .collect())
        })
        .await
    }

    fn look_at_source(&self) {
        self.look_at_source.notify_one();
    }
}

/// Carries out one request.
async fn carry_out(
    service: &Arc<Service>,
    daemon: Daemon,
    asked: Asked,
) -> Result<Answer, Failure> {
    match asked {
        Asked::Backup { plan_id } => backup(service, daemon, plan_id).await,
        Asked::Verify { backup_id } => verify(service, daemon, backup_id).await,
        Asked::Restore { request } => restore_one(service, daemon, request).await,
        Asked::AcceptLoss { backup_id, note } => {
            answered(&service.daemon, move || {
                acceptance::accept(&daemon, &backup_id, &note).map(|run| vec![run])
            })
            .await
        }
        Asked::AdoptLocation { location_id } => {
            let adopted = answered(&service.daemon, move || {
                let actor = daemon.person();
                locations::adopt(&daemon, &location_id, &actor, daemon.now())
            });
            let adopted = adopted.await?;
            // From now on it is used.
            service.inspect().await?;
            let _ = service.wake.send(Wake::Locations);
            Ok(adopted)
        }
        Asked::ConfirmClock {} => {
            answered(&service.daemon, move || timekeeping::confirm(&daemon)).await
        }
        Asked::AcceptSource { dataset_id, note } => {
            // What is known of its points is written again.
            let claims = claims_on(service, &daemon, &dataset_id).await?;
            let accepted = answered(&service.daemon, move || {
                source::accept(&daemon, &dataset_id, &note)
            })
            .await;
            look_again_at(service, claims.plans);
            accepted
        }
        Asked::Suspend {
            plan_id,
            until,
            reason,
        } => {
            let suspended = plan_id.clone();
            let suspended = answered(&service.daemon, move || {
                suspension::suspend(&daemon, &suspended, until, &reason)
            })
            .await;
            let _ = service.wake.send(Wake::Plan(plan_id));
            suspended
        }
        Asked::Resume { plan_id } => {
            let resumed = plan_id.clone();
            let resumed = answered(&service.daemon, move || {
                suspension::resume(&daemon, &resumed)
            })
            .await;
            let _ = service.wake.send(Wake::Plan(plan_id));
            resumed
        }
        Asked::AcknowledgeAlert { alert_id, note } => {
            answered(&service.daemon, move || {
                notify::acknowledge(&daemon, &alert_id, &note)
            })
            .await
        }
        Asked::TestChannel { channel_id } => {
            answered(&service.daemon, move || notify::test(&daemon, &channel_id)).await
        }
        Asked::Doctor {} => {
            service.inspect().await?;
            answered(&service.daemon, move || Ok(doctor::examine(&daemon))).await
        }
    }
}

fn json<T: Serialize>(value: T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| unwritten(&error))
}

fn unwritten(error: &serde_json::Error) -> Failure {
    Failure::new(
        code::EFFECT_PANICKED,
        format!("the answer cannot be written: {error}"),
        "report this as a bug",
    )
}

async fn answered<T: Serialize + Send + 'static>(
    daemon: &Daemon,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Answer, Failure> {
    let value = json(blocking(daemon, work).await?)?;
    Ok(Answer {
        value,
        failure: None,
    })
}

fn done(all: &[Done]) -> Result<Answer, Failure> {
    Ok(Answer {
        value: json(all)?,
        failure: all.iter().find_map(|done| done.failure.clone()),
    })
}

/// The policy in force. A person is told that there is none, and does not wait for it.
fn policy_now(service: &Service) -> Result<Arc<Followed>, Failure> {
    let active = service.active.borrow().clone();
    active.ok_or_else(|| {
        Failure::new(
            code::NO_POLICY,
            "no policy is active yet",
            "`seawalld status` says what keeps the published bundle away",
        )
    })
}

/// Waits for what must not run beside a request; the request can be ended meanwhile.
async fn waited<T>(daemon: &Daemon, what: impl Future<Output = T>) -> Result<T, Failure> {
    let was_ended = || {
        Failure::new(
            code::OPERATION_CANCELLED,
            "it was ended while it waited for other work on the same plan or data",
            "ask again when it is needed",
        )
    };
    tokio::select! {
        biased;
        () = daemon.stop.cancelled() => Err(was_ended()),
        held = what => Ok(held),
    }
}

/// What a request holds while it works on live data or on all plans that take them.
struct Held {
    plans: Vec<(PlanId, PlanClaim)>,
    followed: Arc<Followed>,
}

/// Waits until nobody works on any plan that takes a dataset. A newer policy may have other plans by then.
async fn claims_on(
    service: &Service,
    daemon: &Daemon,
    dataset: &DatasetId,
) -> Result<Held, Failure> {
    let taking = |followed: &Followed| -> Vec<PlanId> {
        own_plans(&followed.active)
            .filter(|(_, policy)| policy.dataset_ids.contains(dataset))
            .map(|(plan_id, _)| plan_id.clone())
            .collect()
    };
    loop {
        let wanted = taking(policy_now(service)?.as_ref());
        let mut plans = Vec::new();
        for plan_id in &wanted {
            let claim = waited(daemon, service.claims.plan(plan_id)).await?;
            plans.push((plan_id.clone(), claim));
        }
        let followed = policy_now(service)?;
        if taking(&followed) == wanted {
            return Ok(Held { plans, followed });
        }
    }
}

/// Looks at plans again that a request changed, and gives them back.
fn look_again_at(service: &Service, plans: Vec<(PlanId, PlanClaim)>) {
    for (plan_id, claim) in plans {
        drop(claim);
        let _ = service.wake.send(Wake::Plan(plan_id));
    }
}

async fn backup(
    service: &Arc<Service>,
    daemon: Daemon,
    plan_id: PlanId,
) -> Result<Answer, Failure> {
    operate::policy_of(policy_now(service)?.as_ref(), &plan_id)?;
    service.inspect().await?;
    let mut claim = waited(&daemon, service.claims.plan(&plan_id)).await?;
    // What held the claim may have held it for hours.
    let followed = policy_now(service)?;
    let datasets = operate::policy_of(&followed, &plan_id)?.dataset_ids.clone();
    let data = waited(&daemon, service.claims.data_to_read(&datasets)).await?;
    let wanted = plan_id.clone();
    let taken = blocking(&service.daemon, move || {
        recover::recover_of(&daemon, &followed, Some(&wanted))?;
        let now = daemon.fresh_now()?;
        operate::backup_under(&daemon, &followed, &wanted, None, now).map(|done| (now, done))
    });
    let taken = taken.await.map(|(now, done)| {
        *claim = Some(now);
        done
    });
    drop(data);
    look_again_at(service, vec![(plan_id, claim)]);
    done(&[taken?])
}

/// A check only reads: the plan goes on beside it.
async fn verify(
    service: &Arc<Service>,
    daemon: Daemon,
    backup_id: Option<BackupId>,
) -> Result<Answer, Failure> {
    service.inspect().await?;
    let (beside, under) = (daemon.clone(), policy_now(service)?);
    let checks = blocking(&service.daemon, move || {
        let now = beside.fresh_now()?;
        operate::checks_under(&beside, &under, backup_id.as_ref(), now)
    });
    let mut all = Vec::new();
    for check in checks.await? {
        if daemon.stop.is_cancelled() {
            return Err(care::ended_early(&daemon));
        }
        let plans = [check.step.plan_id().clone()];
        let (beside, under) = (daemon.clone(), policy_now(service)?);
        let checked = blocking(&service.daemon, move || {
            let now = beside.fresh_now()?;
            let check = operate::named_at(check, now);
            execute::execute(&beside, &under, &check)
        });
        let checked = checked.await;
        for plan_id in plans {
            let _ = service.wake.send(Wake::Plan(plan_id));
        }
        all.push(checked?);
    }
    done(&all)
}

/// Data come back beside every backup. Only where they replace the live ones, nobody may read those meanwhile.
async fn restore_one(
    service: &Arc<Service>,
    daemon: Daemon,
    request: Request,
) -> Result<Answer, Failure> {
    service.inspect().await?;
    if request.mode != Wanted::InPlace {
        let followed = policy_now(service)?;
        return answered(&service.daemon, move || {
            let now = daemon.fresh_now()?;
            restore::restore_under(&daemon, &followed, &request, now)
        })
        .await;
    }
    let mut held = claims_on(service, &daemon, &request.dataset).await?;
    let live = service
        .claims
        .data_to_write(&daemon.config, &request.dataset);
    let live = waited(&daemon, live).await?;
    let followed = Arc::clone(&held.followed);
    let plans: Vec<PlanId> = held.plans.iter().map(|(id, _)| id.clone()).collect();
    let restored = blocking(&service.daemon, move || {
        for plan in &plans {
            recover::recover_of(&daemon, &followed, Some(plan))?;
        }
        let now = daemon.fresh_now()?;
        restore::restore_under(&daemon, &followed, &request, now).map(|restored| (now, restored))
    });
    let restored = restored.await.map(|(now, restored)| {
        for (_, claim) in &mut held.plans {
            **claim = Some(now);
        }
        restored
    });
    drop(live);
    look_again_at(service, held.plans);
    let value = json(restored?)?;
    Ok(Answer {
        value,
        failure: None,
    })
}
