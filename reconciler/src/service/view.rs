//! Owns what the service knows of all plans at once, and the status that follows from it. Never looks at anything itself. The
//! interesting function is [`keep`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::id::PlanId;
use tokio::sync::Notify;

use crate::control::policy::Followed;
use crate::control::{Daemon, overview};
use crate::domain::{CopyState, Observation, Observed, Operation, PlanObserved, Run};
use crate::failure::Failure;
use crate::metrics::Lag;
use crate::plan::{self, Plan, Stall, own_plans};
use crate::review::Objection;
use crate::status::{self, Light, Status};

use super::{Service, blocking, is_fatal, told};

/// Many plans change at the same time; the status is derived once for all of them.
const GATHERED: Duration = Duration::from_secs(1);

/// What follows from the last look at one plan.
#[derive(Debug, Clone)]
pub(super) struct Follows {
    pub(super) plan: Plan,
    pub(super) objections: Vec<Objection>,
}

/// What was last seen of all plans.
#[derive(Debug, Default)]
pub(super) struct View {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    observed: Observed,
    follows: BTreeMap<PlanId, Follows>,
    /// Plans whose last turn came to no end of its own.
    failed: BTreeMap<PlanId, Stall>,
}

impl View {
    /// What was seen of one plan; none when its policy changed under the look.
    pub(super) fn put(&self, plan_id: PlanId, seen: Option<PlanObserved>, follows: Follows) {
        let mut known = self.lock();
        match seen {
            Some(seen) => known.observed.plans.insert(plan_id.clone(), seen),
            None => known.observed.plans.remove(&plan_id),
        };
        known.follows.insert(plan_id, follows);
        drop(known);
        self.look_again();
    }

    /// How a turn of a plan ended. What was seen before it stands no more where it failed: the plan is shown as stalled until a turn
    /// ends well.
    pub(super) fn turn_ended(&self, plan_id: &PlanId, failure: Option<&Failure>) {
        let mut known = self.lock();
        let is_news = match failure {
            None => known.failed.remove(plan_id).is_some(),
            Some(failure) => {
                let stall = Stall {
                    plan_id: plan_id.clone(),
                    code: failure.code,
                    why: format!("its last turn failed: {}", failure.message),
                };
                known.failed.insert(plan_id.clone(), stall);
                true
            }
        };
        drop(known);
        if is_news {
            self.look_again();
        }
    }

    /// Something changed that the status depends on.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Points of plans that this reconciler does not act for any more: what they hold is protected all the same.
    pub(super) fn put_former(&self, runs: Vec<Run>) {
        self.lock().observed.former = runs;
        self.look_again();
    }

    pub(super) fn keep_only<'a>(&self, plans: impl Iterator<Item = &'a PlanId>) {
        let kept: BTreeSet<&PlanId> = plans.collect();
        let mut known = self.lock();
        known.observed.plans.retain(|id, _| kept.contains(id));
        known.follows.retain(|id, _| kept.contains(id));
        known.failed.retain(|id, _| kept.contains(id));
    }

    /// Steps that are due, and what locations lack of repositories.
    pub(super) fn backlog(&self) -> (u64, Vec<Lag>) {
        let known = self.lock();
        let due = known.follows.values().map(|it| it.plan.steps.len() as u64);
        let plans = known.observed.plans.iter();
        let copies = plans.flat_map(|(id, seen)| seen.copies.iter().map(move |copy| (id, copy)));
        let lag = copies.filter_map(|(plan_id, (location_id, copy))| match copy {
            Observation::Known {
                value: CopyState::Lagging { missing, bytes },
                ..
            } => Some(Lag {
                plan_id: plan_id.clone(),
                location_id: location_id.clone(),
                objects: *missing,
                bytes: *bytes,
            }),
            Observation::Known { .. }
            | Observation::Absent { .. }
            | Observation::Unknown { .. } => None,
        });
        (due.sum(), lag.collect())
    }

    /// How many of these plans were not inspected yet.
    pub(super) fn unseen<'a>(&self, plans: impl Iterator<Item = &'a PlanId>) -> usize {
        let known = self.lock();
        plans
            .filter(|id| !known.follows.contains_key(*id) && !known.failed.contains_key(*id))
            .count()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Derives the status and remembers its conditions whenever something changed, until the daemon is asked to end.
pub(super) async fn keep(service: Arc<Service>) -> Result<(), Failure> {
    let mut light = None;
    loop {
        tokio::select! {
            biased;
            () = service.asked_to_end() => return Ok(()),
            () = service.view.changed.notified() => {}
        }
        tokio::time::sleep(GATHERED).await;
        let Some(followed) = service.active.borrow().clone() else {
            continue;
        };
        let beside = Arc::clone(&service);
        match blocking(&service.daemon, move || remember(&beside, &followed)).await {
            Ok((status, is_whole)) => {
                if is_whole {
                    tell(&status, &mut light);
                }
                service.status.send_replace(Some(Arc::new(status)));
            }
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => told(&failure),
        }
    }
}

/// Derives the status, and whether every plan was inspected; only then are its conditions remembered.
fn remember(service: &Service, followed: &Followed) -> Result<(Status, bool), Failure> {
    let plans = own_plans(&followed.active);
    let is_whole = service.view.unseen(plans.map(|(id, _)| id)) == 0;
    let status = derive(service, followed)?;
    if is_whole {
        overview::remember(&service.daemon, &status)?;
    }
    Ok((status, is_whole))
}

fn tell(status: &Status, light: &mut Option<Light>) {
    if light.replace(status.light) == Some(status.light) {
        return;
    }
    let (light, serial) = (status.light, status.serial);
    let what = wrong(status);
    match light {
        Light::Red => tracing::warn!(event = "status_changed", ?light, serial, "{what}"),
        Light::Yellow | Light::Green => {
            tracing::info!(event = "status_changed", ?light, serial, "{what}");
        }
    }
}

/// Conditions that are named in one line of the log; `seawalld status` has them all.
const NAMED: usize = 3;

/// What is wrong, in one line.
fn wrong(status: &Status) -> String {
    let plans = status.plans.iter().map(|plan| &plan.condition);
    let mut all: Vec<_> = status
        .overall
        .iter()
        .chain(plans)
        .filter(|it| it.code.is_some())
        .collect();
    all.sort_by_key(|it| std::cmp::Reverse(status::light(it.condition)));
    let named = all.iter().take(NAMED).map(|it| {
        let plan = it.plan_id.as_ref().map(|id| format!("plan `{id}`: "));
        let code = it.code.map(|code| format!("[{code}] ")).unwrap_or_default();
        format!("{code}{}{}", plan.unwrap_or_default(), it.why)
    });
    let named: Vec<String> = named.collect();
    match all.len() {
        0 if status.light == Light::Green => "every plan is ready".to_owned(),
        0 => "work is due or under way".to_owned(),
        count if count > NAMED => format!("{}; and {} more", named.join("; "), count - NAMED),
        _ => named.join("; "),
    }
}

/// The status as of now. A plan that was not looked at yet is unknown.
pub(super) fn derive(service: &Service, followed: &Followed) -> Result<Status, Failure> {
    let daemon: &Daemon = &service.daemon;
    let now = daemon.now();
    let source = overview::source_of(daemon, followed);
    let before = daemon.store.conditions()?;
    // What began since a plan was looked at, and what ended.
    let mut open: BTreeMap<PlanId, Vec<Operation>> = BTreeMap::new();
    for one in daemon.store.open_operations(None)? {
        open.entry(one.plan_id.clone()).or_default().push(one);
    }
    let mut suspended = daemon.store.suspensions(None)?;
    suspended.retain(|_, it| it.until > now);
    let mut plan = Plan::empty(now);
    plan.stalled = plan::split(&followed.active);
    let mut objections = Vec::new();
    // Held while the status is derived and never over the store: what was seen of all plans together is too much to be copied.
    let mut known = service.view.lock();
    for (plan_id, _) in own_plans(&followed.active) {
        if let Some(follows) = known.follows.get(plan_id) {
            plan.extend(follows.plan.clone());
            objections.extend(follows.objections.iter().cloned());
        }
    }
    plan.stalled.extend(known.failed.values().cloned());
    known.observed.running = Some(daemon.store.epoch());
    for (plan_id, seen) in &mut known.observed.plans {
        seen.open = open.remove(plan_id).unwrap_or_default();
        seen.suspended = suspended.remove(plan_id);
    }
    let (active, observed) = (&followed.active, &known.observed);
    Ok(status::status(
        active,
        observed,
        &plan,
        &objections,
        &source,
        &before,
        now,
    ))
}
