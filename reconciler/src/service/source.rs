//! Owns following the published policy: a look at git at each interval, and telling the scheduler when another policy is in
//! force. A repository that hangs delays nothing else. The interesting function is [`follow`].

use std::sync::Arc;
use std::time::Duration;

use crate::control::policy::{self, Followed};
use crate::control::recover;
use crate::failure::Failure;
use crate::plan::own_plans;
use crate::world::clock;

use super::scheduler::Wake;
use super::{Service, blocking, is_fatal, told};

/// Follows the published policy until the daemon is asked to end.
pub(super) async fn follow(service: Arc<Service>) -> Result<(), Failure> {
    loop {
        let daemon = service.daemon.clone();
        let looked = blocking(move || {
            let followed = policy::follow(&daemon, clock::now())?;
            // What is open of a plan that left the policy has nobody else who would look after it.
            let is_former = |id: &_| own_plans(&followed.in_force).all(|(own, _)| own != id);
            recover::recover_of(&daemon, &followed, is_former)?;
            Ok(followed)
        });
        match looked.await {
            Ok(followed) => announce(&service, followed),
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => told(&failure),
        }
        let interval = Duration::from_secs(service.daemon.config.interval.get());
        if !service.rest(interval).await {
            return Ok(());
        }
    }
}

fn announce(service: &Service, followed: Followed) {
    let before = service.active.send_replace(Some(Arc::new(followed)));
    let changes = {
        let now = service.active.borrow();
        match (&before, &*now) {
            (Some(before), Some(now)) => decides(before) != decides(now),
            (None, _) | (_, None) => true,
        }
    };
    if changes {
        // Nobody listens only while the daemon ends.
        let _ = service.wake.send(Wake::All);
    }
    service.view.look_again();
}

/// What the steps of all plans depend on.
fn decides(followed: &Followed) -> impl PartialEq {
    let in_force = &followed.in_force;
    (
        followed.serial,
        followed.payload,
        in_force.standing,
        in_force.clock,
    )
}
