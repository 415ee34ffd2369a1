//! Owns when people are notified: alerts are derived whenever the status was, and each channel is sent what is due for it at a pace of
//! its own. A receiver that fails delays no other one. The interesting functions are [`keep`] and [`deliver`].

use std::sync::Arc;
use std::time::Duration;

use contract::id::ChannelId;
use jiff::Timestamp;

use crate::control::notify::{self, Letter};
use crate::failure::Failure;

use super::{Service, blocking, is_fatal, monitor, told};

/// A receiver that was away for hours is tried again within this time: an alert does not wait for longer once it is back.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What becomes due within this time after a message goes into the next one: a fault that spreads is not a message for each plan.
const GATHERED: Duration = Duration::from_secs(10);

/// Derives the alerts until the daemon is asked to end.
pub(super) async fn keep(service: Arc<Service>) -> Result<(), Failure> {
    let mut status = service.status.subscribe();
    let mut next = None;
    loop {
        let wait = until(&service, next);
        tokio::select! {
            biased;
            () = service.asked_to_end() => return Ok(()),
            _ = status.changed() => {}
            // A channel took a message: what it was about may be over now.
            () = service.notified.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let (seen, followed) = (
            status.borrow_and_update().clone(),
            service.active.borrow().clone(),
        );
        let (Some(seen), Some(followed)) = (seen, followed) else {
            continue;
        };
        let here = Arc::clone(&service);
        let work = move || {
            let capacities = monitor::capacities(&here);
            notify::follow(&here.daemon, &followed, &seen, &capacities)
        };
        match blocking(&service.daemon, work).await {
            Ok(instant) => next = instant,
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => {
                told(&failure);
                next = None;
            }
        }
        service.alerts.send_replace(());
    }
}

/// Sends one channel what is due for it until the daemon is asked to end.
pub(super) async fn deliver(service: Arc<Service>, channel: ChannelId) -> Result<(), Failure> {
    let mut alerts = service.alerts.subscribe();
    let (daemon, id) = (service.daemon.clone(), channel.clone());
    blocking(&service.daemon, move || {
        notify::completions::begin(&daemon, &id)
    })
    .await?;
    // What is remembered of a former life may not hold any more.
    tokio::select! {
        biased;
        () = service.asked_to_end() => return Ok(()),
        _ = alerts.changed() => {}
    }
    let mut next = Some(service.daemon.now());
    loop {
        let wait = until(&service, next);
        tokio::select! {
            biased;
            () = service.asked_to_end() => return Ok(()),
            _ = alerts.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let pause;
        (next, pause) = match send_all(&service, &channel).await {
            Ok(sent) => sent,
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => {
                told(&failure);
                (None, LONGEST_PAUSE)
            }
        };
        // What becomes due meanwhile is sent together.
        if !service.rest(pause).await {
            return Ok(());
        }
    }
}

/// Sends what is due; gives when something else is, and how long the channel is left alone.
async fn send_all(
    service: &Arc<Service>,
    channel: &ChannelId,
) -> Result<(Option<Timestamp>, Duration), Failure> {
    let mut pause = Duration::ZERO;
    let gathered = GATHERED.min(service.look_interval());
    loop {
        let Some(followed) = service.active.borrow().clone() else {
            return Ok((None, pause));
        };
        let (daemon, id) = (service.daemon.clone(), channel.clone());
        let work = move || notify::pending(&daemon, &followed, &id);
        let (letter, next) = blocking(&service.daemon, work).await?;
        let Some(letter) = letter else {
            return Ok((next, pause));
        };
        let is_alert = !letter.alerts.is_empty();
        match send(service, channel, letter).await? {
            // No operator waits for what ended well.
            None if !is_alert => return Ok((Some(service.daemon.now()), gathered)),
            None => pause = gathered,
            // At the instant that has passed already, so that it is tried again after the pause.
            Some(longer) => return Ok((Some(service.daemon.now()), longer)),
        }
        if service.is_asked_to_end() {
            return Ok((None, pause));
        }
    }
}

/// Sends one message; gives the pause after which it is tried again when the receiver did not take it.
async fn send(
    service: &Arc<Service>,
    channel: &ChannelId,
    letter: Letter,
) -> Result<Option<Duration>, Failure> {
    let (daemon, id) = (service.daemon.clone(), channel.clone());
    let work = move || {
        let Some(binding) = daemon.config.channels.get(&id) else {
            return Ok(None);
        };
        let size = letter.message.alerts.len() + letter.message.completed.len();
        match daemon.effects.notify(binding, &letter.message) {
            Ok(()) => {
                notify::delivered_to(&daemon, &id, &letter)?;
                tracing::info!(event = "notification_sent", channel = %id, message = letter.message.message_id, size, "{}", letter.message.headline());
                Ok(daemon.silent.took(&id).then_some(0))
            }
            Err(failure) => {
                let tries = daemon.silent.failed(&id, &failure.message, daemon.now());
                tracing::warn!(event = "notification_failed", channel = %id, tries, code = %failure.code, help = failure.help, "{}", failure.message);
                Ok(Some(tries))
            }
        }
    };
    let tries = blocking(&service.daemon, work).await?;
    if tries.is_some() {
        // Whether messages arrive is part of the status.
        service.view.look_again();
    }
    service.notified.notify_one();
    Ok(tries.filter(|tries| *tries > 0).map(|tries| {
        let doubled = 1_u32 << tries.saturating_sub(1).min(10);
        (service.look_interval() * doubled).min(LONGEST_PAUSE)
    }))
}

/// The time to an instant; a look interval where there is none.
fn until(service: &Service, next: Option<Timestamp>) -> Duration {
    let Some(next) = next else {
        return service.look_interval();
    };
    let left = next.duration_since(service.daemon.now());
    Duration::try_from(left).unwrap_or(Duration::ZERO)
}
