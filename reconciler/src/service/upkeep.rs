//! Owns knowing which locations can be used: they are inspected at each interval. A location that hangs delays neither policy nor
//! plans. The interesting function is [`keep_up`].

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::code;
use contract::id::LocationId;

use crate::control::Daemon;
use crate::failure::Failure;

use crate::control::HOLD_LOOK;

use super::scheduler::Wake;
use super::{Service, blocking, is_fatal, told};

/// Inspects the locations until the daemon is asked to end.
pub(super) async fn keep_up(service: Arc<Service>) -> Result<(), Failure> {
    // Marks of new locations are recorded under the policy that wants them.
    if service.policy().await.is_none() {
        return Ok(());
    }
    let mut before = None;
    loop {
        let inspected = match service.inspect().await {
            Ok(()) => {
                let daemon = service.daemon.clone();
                blocking(&service.daemon, move || usable(&daemon)).await
            }
            Err(failure) => Err(failure),
        };
        match inspected {
            Ok(usable) if before.as_ref() != Some(&usable) => {
                before = Some(usable);
                let _ = service.wake.send(Wake::Locations);
            }
            Ok(_) => {}
            Err(_) if service.is_asked_to_end() => return Ok(()),
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => told(&failure),
        }
        if !service.rest(service.look_interval()).await {
            return Ok(());
        }
    }
}

/// Ends the service when a later daemon has taken the store over: nothing that it does could be recorded.
pub(super) async fn hold(service: Arc<Service>) -> Result<(), Failure> {
    while service.rest(HOLD_LOOK).await {
        let daemon = service.daemon.clone();
        match blocking(&service.daemon, move || Ok(daemon.store.holds()?)).await {
            Ok(()) => {}
            Err(failure) if failure.code == code::STORE_TAKEN_OVER => return Err(failure),
            // What is recorded next says whether the store still works.
            Err(failure) => told(&failure),
        }
    }
    Ok(())
}

fn usable(daemon: &Daemon) -> Result<BTreeSet<LocationId>, Failure> {
    let all = daemon.locations()?.standings.into_iter();
    Ok(all
        .filter(|(_, standing)| standing.aside.is_none())
        .map(|(id, _)| id)
        .collect())
}
