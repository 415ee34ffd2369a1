//! Owns when each plan is attended to: at the instant that it waits for, at each interval, and at once when the policy or its
//! locations change. Plans do not wait for each other. Never looks at a plan itself. The interesting function is [`schedule`].

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::id::PlanId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::plan::own_plans;

use super::attend::{Attended, Turns, attend};
use super::{Service, is_fatal, panicked, told};

/// Why plans are looked at before their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wake {
    /// Another policy is in force.
    All,
    /// Other locations can be used than before; no plan is attended to before the first such word.
    Locations,
    /// A person's request changed this one.
    Plan(PlanId),
}

/// One plan of the policy.
struct Entry {
    next: Instant,
    /// It is attended to now.
    is_busy: bool,
    /// Something changed meanwhile.
    again: bool,
}

impl Entry {
    fn look_now(&mut self) {
        self.next = Instant::now();
        self.again = self.is_busy;
    }
}

/// Attends to the plans of the policy until the daemon is asked to end.
pub(super) async fn schedule(
    service: Arc<Service>,
    mut woken: mpsc::UnboundedReceiver<Wake>,
) -> Result<(), Failure> {
    let mut entries: BTreeMap<PlanId, Entry> = BTreeMap::new();
    let mut turns: JoinSet<(PlanId, Result<Attended, Failure>)> = JoinSet::new();
    let mut are_locations_known = false;
    while !service.is_asked_to_end() {
        let due = entries.values().filter(|entry| !entry.is_busy);
        let next = due.map(|entry| entry.next).min();
        tokio::select! {
            biased;
            () = service.asked_to_end() => break,
            Some(wake) = woken.recv() => {
                are_locations_known |= wake == Wake::Locations;
                match wake {
                    Wake::All | Wake::Locations => renew(&mut entries, &service),
                    Wake::Plan(plan_id) => {
                        if let Some(entry) = entries.get_mut(&plan_id) {
                            entry.look_now();
                        }
                    }
                }
            }
            Some(ended) = turns.join_next(), if !turns.is_empty() => {
                let (plan_id, attended) = ended.map_err(|error| panicked(&error))?;
                conclude(&service, &mut entries, &plan_id, attended)?;
            }
            () = sleep_until(next), if are_locations_known => {}
        }
        if are_locations_known {
            begin(&service, &mut entries, &mut turns);
        }
    }
    Ok(())
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Every plan of the policy is due; those that left it are forgotten.
fn renew(entries: &mut BTreeMap<PlanId, Entry>, service: &Service) {
    let active = service.active.borrow().clone();
    let Some(followed) = active else { return };
    let mut left = std::mem::take(entries);
    for (plan_id, _) in own_plans(&followed.active) {
        let mut entry = left.remove(plan_id).unwrap_or(Entry {
            next: Instant::now(),
            is_busy: false,
            again: false,
        });
        entry.look_now();
        entries.insert(plan_id.clone(), entry);
    }
    // A plan that left the policy while it is attended to may come back before that ends.
    let busy = left.into_iter().filter(|(_, entry)| entry.is_busy);
    entries.extend(busy);
    service.view.keep_only(entries.keys());
}

fn begin(
    service: &Arc<Service>,
    entries: &mut BTreeMap<PlanId, Entry>,
    turns: &mut JoinSet<(PlanId, Result<Attended, Failure>)>,
) {
    let now = Instant::now();
    for (plan_id, entry) in entries {
        if !entry.is_busy && entry.next <= now {
            entry.is_busy = true;
            let (service, plan_id) = (Arc::clone(service), plan_id.clone());
            turns.spawn(async move {
                let attended = attend(&service, &plan_id, &mut Turns::default()).await;
                (plan_id, attended)
            });
        }
    }
}

fn conclude(
    service: &Service,
    entries: &mut BTreeMap<PlanId, Entry>,
    plan_id: &PlanId,
    attended: Result<Attended, Failure>,
) -> Result<(), Failure> {
    let active = service.active.borrow().clone();
    let is_ours =
        active.is_some_and(|followed| own_plans(&followed.active).any(|(own, _)| own == plan_id));
    let Some(entry) = entries.get_mut(plan_id) else {
        return Ok(());
    };
    entry.is_busy = false;
    let wait = match attended {
        Ok(attended) => {
            service.view.turn_ended(plan_id, None);
            attended.wait
        }
        Err(failure) if is_fatal(&failure) => return Err(failure),
        Err(failure) => {
            told(&failure);
            // What ends with the daemon is no fault of the plan.
            if !service.is_asked_to_end() {
                service.view.turn_ended(plan_id, Some(&failure));
            }
            service.look_interval()
        }
    };
    let now = Instant::now();
    let wait = wait.min(service.look_interval());
    entry.next = if std::mem::take(&mut entry.again) {
        now
    } else {
        now + wait
    };
    if !is_ours {
        service.view.turn_ended(plan_id, None);
        entries.remove(plan_id);
    }
    Ok(())
}
