//! Owns following the published policy: a look at git at each interval, and telling the scheduler when another policy is in
//! force. A repository that hangs delays nothing else. The interesting function is [`follow`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contract::id::PlanId;

use crate::control::policy::{self, Followed};
use crate::control::recover;
use crate::failure::Failure;
use crate::plan::own_plans;

use super::scheduler::Wake;
use super::{Service, blocking, is_fatal, told};

/// Follows the published policy until the daemon is asked to end.
pub(super) async fn follow(service: Arc<Service>) -> Result<(), Failure> {
    loop {
        let daemon = service.daemon.clone();
        let last = service.active.borrow().clone();
        let looked = blocking(&service.daemon, move || {
            policy::follow_on(&daemon, last, daemon.now())
        });
        let after = match looked.await {
            Ok(followed) => {
                announce(&service, &followed);
                look_after_former(&service, &followed).await
            }
            Err(failure) => Err(failure),
        };
        match after {
            Ok(()) => {}
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => told(&failure),
        }
        let interval = Duration::from_secs(service.daemon.config.interval.get());
        tokio::select! {
            biased;
            () = service.look_at_source.notified() => {}
            goes_on = service.rest(interval) => if !goes_on {
                return Ok(());
            },
        }
    }
}

/// Tells everybody which policy is in force.
pub(super) fn announce(service: &Service, followed: &Arc<Followed>) {
    let before = service.active.send_replace(Some(Arc::clone(followed)));
    if before.is_none_or(|before| decides(&before) != decides(followed)) {
        // Nobody listens only while the daemon ends.
        let _ = service.wake.send(Wake::All);
    }
    service.view.look_again();
}

/// What is open of a plan that left the policy has nobody else who would close it, and its points nobody who would show them.
pub(super) async fn look_after_former(
    service: &Arc<Service>,
    followed: &Arc<Followed>,
) -> Result<(), Failure> {
    let (daemon, under) = (service.daemon.clone(), Arc::clone(followed));
    let (open, points) = blocking(&service.daemon, move || {
        let is_former = |id: &PlanId| own_plans(&under.active).all(|(own, _)| own != id);
        let open = daemon.store.open_operations(None)?.into_iter();
        let open: BTreeSet<PlanId> = open
            .map(|it| it.plan_id)
            .filter(|id| is_former(id))
            .collect();
        let mut points = Vec::new();
        for plan_id in daemon.store.plans_since(None)?.into_keys() {
            if is_former(&plan_id) {
                points.extend(daemon.store.points(Some(&plan_id))?);
            }
        }
        Ok((open, points))
    })
    .await?;
    service.view.put_former(points);
    for plan_id in open {
        // Who works on it still will close it.
        let Some(_claim) = service.claims.try_plan(&plan_id) else {
            continue;
        };
        let (daemon, under) = (service.daemon.clone(), Arc::clone(followed));
        blocking(&service.daemon, move || {
            recover::recover_of(&daemon, &under, Some(&plan_id))
        })
        .await?;
    }
    Ok(())
}

/// What the steps of all plans depend on.
fn decides(followed: &Followed) -> impl PartialEq {
    let active = &followed.active;
    (
        followed.serial,
        followed.payload,
        active.standing,
        active.clock,
    )
}
