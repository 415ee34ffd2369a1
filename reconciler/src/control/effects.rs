//! Owns the border to everything outside the store: the clock, git, the locations, and the workers. The daemon reaches them through
//! [`Effects`] alone, so that the same daemon runs on a machine and in a simulation. Never decides anything.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use contract::code;
use contract::id::LocationId;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::domain::Message;
use crate::failure::Failure;
use crate::spans::TARGET;
use crate::worker::Access;
use crate::worker::protocol::{Answer, Order};
use crate::worker::supervisor::{Helper, Silence};
use crate::world::cancel::Cancel;
use crate::world::channel::{self, ChannelBinding};
use crate::world::git::{self, Published};
use crate::world::location::{self, NoReply, Reply};
use crate::world::vault::{AllSnapshots, Checked, LocationSeen, Reading, VaultError};
use crate::world::{clock, random};

/// Work that blocks.
pub type Work = Box<dyn FnOnce() + Send>;

/// What the daemon sees and has done outside its store.
#[async_trait]
pub trait Effects: fmt::Debug + Send + Sync {
    /// The time, in whole seconds.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn pause(&self, length: Duration);
    /// Runs what blocks where it holds up no task; the reason when it ended without an end of its own.
    async fn run(&self, work: Work) -> Result<(), String>;
    /// Runs what may hang beside the caller, who waits for its word and no longer than it wants.
    fn beside(&self, work: Work);
    /// A name that is used once.
    fn name(&self) -> Result<String, String>;
    /// The published policy; none where it is still that of a known commit.
    fn published(
        &self,
        config: &Config,
        known: Option<&str>,
        stop: &Cancel,
    ) -> Result<Option<Published>, Failure>;
    /// Has each order done, each at its location and all at the same time; the answers have the order of the orders.
    fn at_locations(
        &self,
        orders: &[location::Order],
        stop: &Cancel,
    ) -> Vec<Result<Reply, NoReply>>;
    /// Lists the locations of a repository and compares them.
    fn observe(&self, access: &Access) -> Result<Vec<LocationSeen>, Failure>;
    /// The recovery points of all locations of a repository.
    fn snapshots(&self, access: &Access) -> Result<AllSnapshots, Failure>;
    /// Has an order done by a worker.
    fn ask(&self, worker: &Helper, order: &Order) -> Result<Answer, Silence>;
    /// Sends a message; returns once the receiver has taken it.
    fn notify(&self, channel: &ChannelBinding, message: &Message) -> Result<(), Failure>;
    /// Has one location of a repository read by a worker; none when the location does not hold the repository.
    fn check(
        &self,
        worker: &Helper,
        access: &Access,
        location: &LocationId,
        reading: Reading,
    ) -> Result<Option<Checked>, Failure>;
}

/// Runs what blocks, and gives what it came to; the reason when it came to nothing.
pub async fn answer<T: Send + 'static>(
    effects: &dyn Effects,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, mut receiver) = oneshot::channel();
    let ended = effects
        .run(Box::new(move || {
            // The caller may be gone, and with it whoever wants the answer.
            let _ = sender.send(work());
        }))
        .await;
    let silent = |_| {
        ended
            .err()
            .unwrap_or_else(|| "it gave no answer".to_owned())
    };
    receiver.try_recv().map_err(silent)
}

/// The machine that the process runs on.
#[derive(Debug)]
pub struct Machine;

#[async_trait]
impl Effects for Machine {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn pause(&self, length: Duration) {
        std::thread::sleep(length);
    }

    async fn run(&self, work: Work) -> Result<(), String> {
        spawn_blocking(work)
            .await
            .map_err(|error| error.to_string())
    }

    fn beside(&self, work: Work) {
        std::thread::spawn(work);
    }

    fn name(&self) -> Result<String, String> {
        random::name().map_err(|error| error.to_string())
    }

    fn published(
        &self,
        config: &Config,
        known: Option<&str>,
        stop: &Cancel,
    ) -> Result<Option<Published>, Failure> {
        let _span = tracing::debug_span!(target: TARGET, "policy").entered();
        let stopped = || stop.is_cancelled();
        Ok(git::published(
            &config.git,
            &config.mirror_path(),
            &config.environment,
            known,
            &stopped,
        )?)
    }

    fn at_locations(
        &self,
        orders: &[location::Order],
        stop: &Cancel,
    ) -> Vec<Result<Reply, NoReply>> {
        let _span =
            tracing::debug_span!(target: TARGET, "locations", count = orders.len()).entered();
        let stop = || stop.is_cancelled();
        std::thread::scope(|scope| {
            let asked: Vec<_> = orders
                .iter()
                .map(|order| scope.spawn(|| location::ask(order, &stop)))
                .collect();
            let panicked = |_| Err(NoReply::Broken("asking the location panicked".to_owned()));
            asked
                .into_iter()
                .map(|asked| asked.join().unwrap_or_else(panicked))
                .collect()
        })
    }

    fn observe(&self, access: &Access) -> Result<Vec<LocationSeen>, Failure> {
        let _span = tracing::debug_span!(target: TARGET, "listing").entered();
        Ok(access.vault()?.observe().locations)
    }

    fn snapshots(&self, access: &Access) -> Result<AllSnapshots, Failure> {
        let _span = tracing::debug_span!(target: TARGET, "listing").entered();
        Ok(access.vault()?.all_snapshots()?)
    }

    fn ask(&self, worker: &Helper, order: &Order) -> Result<Answer, Silence> {
        worker.ask(order)
    }

    fn notify(&self, channel: &ChannelBinding, message: &Message) -> Result<(), Failure> {
        let _span = tracing::debug_span!(target: TARGET, "notification", kind = channel.kind(), message = %message.message_id).entered();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                let help = "check the resource limits of this process";
                Failure::new(code::NOTIFICATION_FAILED, error, help)
            })?;
        let sent = runtime.block_on(channel::send(channel, message));
        // A name that is still being looked up holds nothing up.
        runtime.shutdown_background();
        sent
    }

    fn check(
        &self,
        worker: &Helper,
        access: &Access,
        location: &LocationId,
        reading: Reading,
    ) -> Result<Option<Checked>, Failure> {
        match access.vault()?.check(location, reading, worker) {
            Ok(checked) => Ok(Some(checked)),
            Err(VaultError::RepositoryAbsent { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
