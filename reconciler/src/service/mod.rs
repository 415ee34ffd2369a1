//! Owns the daemon as a service: policy is followed, locations are inspected, plans are attended to and receipts are copied,
//! each at its own pace. What decides and records never waits for what takes long. Never decides about policy. The interesting
//! function is [`run`].

mod admission;
mod attend;
mod claims;
mod copies;
mod monitor;
mod notifier;
pub mod once;
mod requests;
mod scheduler;
mod source;
mod upkeep;
mod view;

use std::sync::Arc;
use std::time::Duration;

use contract::code;
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::api::remote::Remote;
use crate::api::server::{self, Handler};
use crate::config::Tcp;
use crate::control::policy::Followed;
use crate::control::{Daemon, effects, locations};
use crate::failure::Failure;
use crate::status::Status;
use crate::world::cancel::Cancel;

use admission::Admission;
use claims::Claims;
use requests::{MOST_REQUESTS, Requests};
use scheduler::Wake;
use view::View;

/// Threads that decide. They never block, and there is little to decide at a time.
const DECIDING: usize = 2;

/// Effects that may run at the same time, those that go on past their deadline among them: a number that no machine reaches.
const MOST_EFFECTS: u32 = 100_000;

/// Plans that are looked at side by side. A look takes milliseconds; one at a location that hangs holds a thread for a minute.
const LOOKS: usize = 32;

/// Answers that are on their way when the service ends get this time to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The pause before TCP is tried again: a person corrects what is wrong, or another process ends.
const LISTENS_AGAIN: Duration = Duration::from_mins(1);

/// What the tasks share.
struct Service {
    daemon: Daemon,
    /// When it began.
    since: Timestamp,
    admission: Admission,
    /// One permit for each effect that runs, those that go on past their deadline among them.
    running: Arc<Semaphore>,
    looks: Semaphore,
    /// The policy in force; none before the first was accepted.
    active: watch::Sender<Option<Arc<Followed>>>,
    wake: mpsc::UnboundedSender<Wake>,
    view: View,
    /// The status as it was last derived of all plans.
    status: watch::Sender<Option<Arc<Status>>>,
    /// What is remembered of alerts may have changed.
    alerts: watch::Sender<()>,
    /// A channel was sent a message, or did not take it.
    notified: Notify,
    claims: Claims,
    /// Something was recorded that the copies of the receipts lack.
    recorded: Notify,
    /// The published policy is to be looked at now.
    look_at_source: Notify,
    /// One probe of the store at a time: one that hangs holds one thread, however many ask.
    probing: Arc<tokio::sync::Mutex<()>>,
    /// One inspection of the locations at a time.
    inspecting: tokio::sync::Mutex<()>,
    requests: Requests,
    /// One permit for each request that may be under way.
    asked: Arc<Semaphore>,
}

fn runtime() -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(DECIDING).enable_all();
    builder.build().map_err(|error| {
        Failure::new(
            code::EFFECT_PANICKED,
            format!("the service cannot start: {error}"),
            "check the resource limits of this process",
        )
    })
}

/// Serves until the daemon is asked to end, or can record nothing any more.
pub fn run(daemon: Daemon) -> Result<(), Failure> {
    let runtime = runtime()?;
    // The store ends after the tasks, and not within one.
    let ended = runtime.block_on(async {
        let listener = server::bind(&daemon.config.socket_path())?;
        let (tcp, end) = (daemon.config.tcp.clone(), daemon.stop.clone());
        let answers = |handler: Arc<dyn Handler>| async move {
            // Ended with this task, whatever ends it.
            let mut strangers = JoinSet::new();
            if let Some(tcp) = tcp {
                strangers.spawn(answer_on_tcp(tcp, Arc::clone(&handler), end.clone()));
            }
            server::listen(listener, handler, async move { end.cancelled().await }).await?;
            strangers.join_all().await;
            Ok(())
        };
        serve(daemon.clone(), answers).await
    });
    // A look at a location that hangs is left behind; it only reads.
    runtime.shutdown_background();
    drop(daemon);
    ended
}

/// Answers on TCP until the daemon is asked to end. What keeps it from listening costs nothing else.
async fn answer_on_tcp(config: Tcp, handler: Arc<dyn Handler>, stop: Cancel) {
    loop {
        match Remote::bind(&config).await {
            Ok(remote) => return remote.listen(handler, stop.cancelled()).await,
            Err(failure) => told(&failure),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LISTENS_AGAIN) => {}
        }
    }
}

/// Serves, with the one who brings what persons ask; the service ends when that one does.
pub async fn serve<Front>(
    daemon: Daemon,
    front: impl FnOnce(Arc<dyn Handler>) -> Front,
) -> Result<(), Failure>
where
    Front: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (wake, woken) = mpsc::unbounded_channel();
    let service = Arc::new(Service::new(daemon, wake));
    let mut tasks = JoinSet::new();
    tasks.spawn(source::follow(Arc::clone(&service)));
    tasks.spawn(upkeep::keep_up(Arc::clone(&service)));
    tasks.spawn(scheduler::schedule(Arc::clone(&service), woken));
    tasks.spawn(view::keep(Arc::clone(&service)));
    tasks.spawn(copies::keep(Arc::clone(&service)));
    tasks.spawn(notifier::keep(Arc::clone(&service)));
    for channel in service.daemon.config.channels.keys() {
        tasks.spawn(notifier::deliver(Arc::clone(&service), channel.clone()));
    }
    tasks.spawn(upkeep::hold(Arc::clone(&service)));
    tasks.spawn(front(Arc::<Service>::clone(&service)));
    let ended = tokio::select! {
        biased;
        () = service.asked_to_end() => Ok(()),
        Some(ended) = tasks.join_next() => ended.unwrap_or_else(|error| Err(panicked(&error))),
    };
    // Whatever the reason: nothing new begins, and what is under way is ended and recorded.
    service.daemon.stop.cancel();
    let _all = service.running.acquire_many(MOST_EFFECTS).await;
    let _asked = service.asked.acquire_many(MOST_REQUESTS).await;
    copies::last(&service).await;
    let _ = tokio::time::timeout(LAST_WORDS, tasks.join_all()).await;
    ended
}

impl Service {
    fn new(daemon: Daemon, wake: mpsc::UnboundedSender<Wake>) -> Self {
        let admission = Admission::new(&daemon.config);
        Self {
            since: daemon.now(),
            daemon,
            admission,
            running: Arc::new(Semaphore::new(MOST_EFFECTS as usize)),
            looks: Semaphore::new(LOOKS),
            active: watch::Sender::new(None),
            wake,
            view: View::default(),
            status: watch::Sender::new(None),
            alerts: watch::Sender::new(()),
            notified: Notify::new(),
            claims: Claims::default(),
            recorded: Notify::new(),
            look_at_source: Notify::new(),
            probing: Arc::default(),
            inspecting: tokio::sync::Mutex::new(()),
            requests: Requests::default(),
            asked: Arc::new(Semaphore::new(MOST_REQUESTS as usize)),
        }
    }

    async fn asked_to_end(&self) {
        self.daemon.stop.cancelled().await;
    }

    /// Makes sure what each location is.
    async fn inspect(&self) -> Result<(), Failure> {
        let _alone = self.inspecting.lock().await;
        let daemon = self.daemon.clone();
        blocking(&self.daemon, move || {
            locations::confirm(&daemon, daemon.now())
        })
        .await
    }

    /// Reads for an answer at the socket, where it holds up no task.
    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let daemon = self.daemon.clone();
        blocking(&daemon, move || read(&self)).await
    }

    fn is_asked_to_end(&self) -> bool {
        self.daemon.stop.is_cancelled()
    }

    /// The time between two looks at locations and plans for which nothing is due.
    fn look_interval(&self) -> Duration {
        Duration::from_secs(self.daemon.config.look_interval().get())
    }

    /// Waits; false when the daemon is asked to end.
    async fn rest(&self, length: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.asked_to_end() => false,
            () = tokio::time::sleep(length) => true,
        }
    }

    /// The policy in force, once there is one; none when the daemon is asked to end.
    async fn policy(&self) -> Option<Arc<Followed>> {
        let mut active = self.active.subscribe();
        tokio::select! {
            biased;
            () = self.asked_to_end() => None,
            found = active.wait_for(Option::is_some) => found.ok().and_then(|found| found.clone()),
        }
    }
}

fn ended() -> Failure {
    Failure::new(
        code::RUN_INTERRUPTED,
        "the daemon is asked to end",
        "start it again; it continues where it stopped",
    )
}

/// Runs what blocks where it delays nobody.
async fn blocking<T: Send + 'static>(
    daemon: &Daemon,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    effects::answer(daemon.effects.as_ref(), work)
        .await
        .unwrap_or_else(|why| Err(panicked(&why)))
}

fn panicked(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        code::EFFECT_PANICKED,
        format!("a task of the service ended: {error}"),
        "report this as a bug; the next look finds what was left",
    )
}

/// Without a store or a receipt log nothing may be done: the next start begins with a look at what was left. A record that the store
/// refuses for one plan ends nothing: nothing was recorded, and the other plans go on.
fn is_fatal(failure: &Failure) -> bool {
    [13, 17].contains(&failure.code.family()) && failure.code != code::SLOT_RECORDED
}

/// Tells a failure that ends nothing.
fn told(failure: &Failure) {
    tracing::error!(event = "failure", code = %failure.code, help = %failure.help, "{}", failure.message);
}
