//! Owns playing the real daemon in a simulated world: its service, plan, review, store and receipts, over git, locations and workers that
//! fail as a script says, in virtual time. The same script is the same run. Never touches a real location, source or repository. The
//! interesting function is [`play`].
#![expect(
    clippy::disallowed_methods,
    reason = "shell: the daemon under test has a real state folder"
)]

mod chance;
mod coroutine;
mod policy;
mod properties;
mod script;
mod storage;
mod store;
mod world;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::code;
use contract::digest::Digest;
use jiff::SignedDuration;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

pub use chance::of_chance;
pub use script::{Script, What};
pub use world::Counts;

use properties::Broken;
use script::Event;
use store::Fated;
use world::{Fate, Shared, World};

use crate::api::server::Handler;
use crate::api::{Ask, Asked, OperationState};
use crate::control::{Daemon, effects};
use crate::failure::Failure;
use crate::service;
use crate::status::{Status, Word};
use crate::store::Store as _;
use crate::world::cancel::Cancel;
use crate::world::store_sqlite::SqliteStore;

/// A service manager starts a daemon again after this time.
const STARTS_AGAIN: Duration = Duration::from_secs(5);
/// Lives that end at once: more in a row, and the daemon does not come back at all.
const STILLBORN: u32 = 20;
/// A daemon that is asked to end has ended, and recorded everything, within this time.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// A policy is active within this time after it was published and the daemon was notified.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(2);
/// A daemon whose store was taken over has ended within this time.
const SUPERSEDED_ENDS: Duration = Duration::from_secs(30);
/// How often retention is checked in one simulation.
const LOOKS_AT_RETENTION: u64 = 24;

/// What a simulation came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Decided what the script left open.
    pub seed: u64,
    /// Virtual seconds.
    pub seconds: u64,
    /// What was done.
    pub counts: Counts,
    /// Slots that ended: with a point, with a run that left none, without a run.
    pub slots: (u64, u64, u64),
    /// Receipts.
    pub receipts: u64,
    /// The commits at which it was killed, or which failed: the kinds of their changes.
    pub struck: Vec<String>,
    /// Identifies the run: SHA-256 of its receipts and its counts.
    pub run: Digest,
    /// Properties that do not hold.
    pub broken: Vec<Broken>,
}

/// What the lives of a daemon share.
struct Play {
    world: Shared,
    /// The next event.
    next: Mutex<usize>,
    /// How long the daemon is away after its end.
    away: Mutex<Duration>,
    /// Since when it is asked to end.
    asked_to_end: Mutex<Option<Duration>>,
    broken: Mutex<Vec<Broken>>,
    last: Mutex<Option<Status>>,
    /// The daemon that took the store over, and since when.
    successor: Mutex<Option<Successor>>,
    /// Daemons that took the store over. Their store must not be dropped within a task.
    kept: Mutex<Vec<Daemon>>,
    events: Vec<Event>,
}

/// A daemon that serves, and since when it is there.
type Successor = (JoinHandle<Result<(), Failure>>, Duration);

/// Why a life of the daemon ended.
enum Life {
    /// It was killed.
    Killed,
    /// It ended by itself.
    Ended(Result<(), Failure>),
}

fn unusable(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        code::SIMULATION_UNUSABLE,
        format!("the simulation cannot be played: {why}"),
        "correct the script; the state folder needs room below the system's folder for temporary files",
    )
}

/// A folder in memory where there is one: what the daemon makes durable is given up in the end.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let mut named = tempfile::Builder::new();
    named.prefix("seawall-simulation-");
    if memory.is_dir() {
        named.tempdir_in(memory)
    } else {
        named.tempdir()
    }
}

/// Plays one script to its end.
pub fn play(script: &Script) -> Result<Report, Failure> {
    if let Some(fault) = script.fault() {
        return Err(unusable(&fault));
    }
    let folder = folder().map_err(|error| unusable(&error))?;
    let world = Arc::new(World::new(script)?);
    let config = world.config(folder.path())?;
    std::fs::create_dir(&config.state).map_err(|error| unusable(&error))?;
    let mut events = script.events.clone();
    events.sort_by_key(|event| event.at);
    let play = Arc::new(Play {
        world: Arc::clone(&world),
        next: Mutex::default(),
        away: Mutex::default(),
        asked_to_end: Mutex::default(),
        broken: Mutex::default(),
        last: Mutex::default(),
        successor: Mutex::default(),
        kept: Mutex::default(),
        events,
    });
    let lasts = Duration::from_secs(script.lasts.get());
    let mut stillborn = 0;
    while world.elapsed() < lasts && stillborn < STILLBORN {
        let began = world.elapsed();
        *lock(&play.away) = STARTS_AGAIN;
        let daemon = match open(&world, config.clone()) {
            Ok(daemon) => daemon,
            // What the first one needs is the simulation's own; what a later one needs, an earlier one left.
            Err(failure) if world.counts().lives == 0 => return Err(failure),
            Err(failure) => {
                play.broke("starts again", failure.to_string());
                break;
            }
        };
        match live(&play, daemon)? {
            Life::Killed => {}
            Life::Ended(ended) => play.ended(ended),
        }
        let away = *lock(&play.away);
        stillborn = if world.elapsed() > began {
            0
        } else {
            stillborn + 1
        };
        // After the end nothing is away.
        if world.elapsed() < lasts {
            world.pass(away);
        }
    }
    if stillborn == STILLBORN {
        play.broke(
            "convergence",
            "the daemon does not start any more".to_owned(),
        );
    }
    report(&play, script, config)
}

fn open(world: &Shared, config: crate::config::Config) -> Result<Daemon, Failure> {
    let store = Fated {
        store: SqliteStore::open(&config.store_path())?,
        world: Arc::clone(world),
    };
    world.opened(store.epoch());
    let effects = Arc::<World>::clone(world);
    Daemon::open_with(config, Cancel::new(), None, Box::new(store), effects)
}

/// One life of the process, in virtual time.
fn live(play: &Arc<Play>, daemon: Daemon) -> Result<Life, Failure> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| unusable(&error))?;
    let world = Arc::clone(&play.world);
    let life = runtime.block_on(async {
        world.live();
        let beside = Arc::clone(play);
        let shown = daemon.clone();
        let serves = service::serve(daemon.clone(), move |handler| {
            events(beside, shown, handler)
        });
        let life = tokio::select! {
            biased;
            () = world.killed() => Life::Killed,
            ended = last_of_all(play, serves) => Life::Ended(ended),
        };
        lock(&play.successor).take();
        world.rest();
        life
    });
    // Whatever was under way ends where it waits, as in a process that is killed.
    drop(runtime);
    lock(&play.kept).clear();
    drop(daemon);
    Ok(life)
}

/// The end of the daemon, or of the last one that took its store over: those before it end by themselves, and soon.
async fn last_of_all(
    play: &Play,
    serves: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut ended = tokio::select! {
        biased;
        ended = serves => ended,
        () = outlived(play) => Ok(()),
    };
    loop {
        let Some((mut next, _)) = lock(&play.successor).take() else {
            return ended;
        };
        ended = tokio::select! {
            biased;
            joined = &mut next => joined.map_err(|error| unusable(&error))?,
            () = outlived(play) => Ok(()),
        };
    }
}

/// Ends when another daemon took the store over so long ago that the one before must have ended.
async fn outlived(play: &Play) {
    loop {
        let since = lock(&play.successor).as_ref().map(|(_, since)| *since);
        let age = since.map(|since| play.world.elapsed().saturating_sub(since));
        if age.is_some_and(|age| age > SUPERSEDED_ENDS) {
            let what = "a superseded daemon does not end";
            return play.broke("one daemon", what.to_owned());
        }
        tokio::time::sleep(SUPERSEDED_ENDS / 3).await;
    }
}

fn lock<T>(one: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Play {
    fn broke(&self, property: &'static str, what: String) {
        let at = self.world.elapsed().as_secs();
        lock(&self.broken).push(Broken { property, at, what });
    }

    /// The service ended by itself: it was asked to, it could not record, or the script is over.
    fn ended(&self, ended: Result<(), Failure>) {
        if let Some(asked) = lock(&self.asked_to_end).take() {
            let took = self.world.elapsed().saturating_sub(asked);
            if took > ENDS_WITHIN {
                let what = format!("it took {} s to end", took.as_secs());
                self.broke("stopping", what);
            }
        }
        if let Err(failure) = ended {
            tracing::info!(event = "simulated", code = %failure.code, "the daemon ended: {}", failure.message);
            if failure.code.family() == 11 {
                self.broke("no panic", failure.to_string());
            }
        }
    }
}

/// Lets happen what the script says, until it is over.
async fn events(play: Arc<Play>, daemon: Daemon, handler: Arc<dyn Handler>) -> Result<(), Failure> {
    let script = &play.world.script;
    let quiet = Duration::from_secs(script.quiet_from());
    let lasts = Duration::from_secs(script.lasts.get());
    let step = Duration::from_secs((script.lasts.get() / LOOKS_AT_RETENTION).max(1));
    let mut is_quiet = false;
    loop {
        let now = play.world.elapsed();
        if now >= lasts {
            *lock(&play.last) = Some(handler.status().await?);
            return Ok(());
        }
        if now >= quiet && !is_quiet {
            is_quiet = true;
            settle(&play, &handler, now);
        }
        let number = *lock(&play.next);
        let event = play.events.get(number).cloned();
        let at = event.as_ref().map(|it| Duration::from_secs(it.at.get()));
        match (event, at) {
            (Some(event), Some(at)) if at <= now => {
                *lock(&play.next) = number + 1;
                happens(&play, &daemon, &handler, &event, number).await?;
            }
            (_, at) => {
                // Looked at on the way, and not at whole steps alone: faults begin and end there.
                let mut until = (now + step).min(lasts).min(at.unwrap_or(lasts));
                if now < quiet {
                    until = until.min(quiet);
                }
                tokio::time::sleep(until.saturating_sub(now)).await;
                properties::retention(&play.world, &daemon)
                    .await
                    .into_iter()
                    .for_each(|broken| lock(&play.broken).push(broken));
                unseen(&play, &handler).await;
            }
        }
    }
}

/// A plan that cannot be looked at is not shown as ready.
async fn unseen(play: &Play, handler: &Arc<dyn Handler>) {
    let unseen = play.world.unseen();
    if unseen.is_empty() {
        return;
    }
    // Without a policy nothing is shown.
    let Ok(status) = Arc::clone(handler).status().await else {
        return;
    };
    for condition in status.plans.iter().map(|plan| &plan.condition) {
        let is_unseen = condition
            .plan_id
            .as_ref()
            .is_some_and(|id| unseen.contains(id));
        if is_unseen && condition.condition == Word::Ready {
            let what = format!(
                "{:?} is shown as ready, and cannot be inspected",
                condition.plan_id
            );
            play.broke("nothing green unchecked", what);
        }
    }
}

/// Nothing goes wrong from here on, and the operators put right what only they can.
fn settle(play: &Arc<Play>, handler: &Arc<dyn Handler>, now: Duration) {
    play.world.forget_fates();
    let ahead = play.world.ahead();
    play.world.jump(-ahead);
    ask(handler, "confirms", now.as_secs(), Asked::ConfirmClock {});
}

fn ask(handler: &Arc<dyn Handler>, who: &str, number: u64, asked: Asked) {
    let id = format!("{who}-{number}");
    // What is refused is refused: too much under way, or no policy yet.
    if let Err(failure) = Arc::clone(handler).ask(Ask { id, asked }, "uid:0".to_owned()) {
        tracing::info!(event = "simulated", code = %failure.code, "refused: {}", failure.message);
    }
}

async fn happens(
    play: &Arc<Play>,
    daemon: &Daemon,
    handler: &Arc<dyn Handler>,
    event: &Event,
    number: usize,
) -> Result<(), Failure> {
    let world = &play.world;
    let number = number as u64;
    tracing::info!(event = "simulated", what = ?event.what);
    if !event.what.is_fate() {
        world.happens(event);
    }
    // Over when the script says so, even where a daemon that was away comes to it late.
    let lasts = Duration::from_secs(event.until().get()).saturating_sub(world.elapsed());
    match &event.what {
        What::PolicyPublished => publish(play, handler).await?,
        What::ObjectRots(location) => world.rot(location),
        What::WorkerDies { plan, step } => world.worker_dies(plan, *step),
        What::WorkerRepeats(plan) => world.worker_repeats(plan),
        What::Killed => {
            *lock(&play.away) = STARTS_AGAIN.max(lasts);
            world.kill();
            std::future::pending::<()>().await;
        }
        What::KilledAtCommit { number, durable } => {
            let (durable, dies) = (*durable, true);
            world.commit_fate(*number, Fate { durable, dies });
        }
        What::CommitFails { number, durable } => {
            let (durable, dies) = (*durable, false);
            world.commit_fate(*number, Fate { durable, dies });
        }
        What::KilledAtPause(number) => world.die_at_pause(*number),
        What::Stopped => {
            *lock(&play.away) = STARTS_AGAIN.max(lasts);
            *lock(&play.asked_to_end) = Some(world.elapsed());
            daemon.stop.cancel();
            std::future::pending::<()>().await;
        }
        What::SecondDaemon => second_daemon(play, daemon),
        What::TakenOver => {
            taken_over(play, daemon)?;
            std::future::pending::<()>().await;
        }
        What::ClockJumps(jump) => world.jump(jump.seconds),
        What::Backup(plan) => {
            let plan_id = plan.clone();
            ask(handler, "backs-up", number, Asked::Backup { plan_id });
        }
        What::Verify => {
            let asked = Asked::Verify { backup_id: None };
            ask(handler, "verifies", number, asked);
        }
        What::Cancel(plan) => {
            for operation in handler.operations() {
                if operation.state == OperationState::Running
                    && operation.id.contains(plan.as_str())
                {
                    handler.cancel(&operation.id);
                }
            }
        }
        What::Suspend(plan) => {
            let length = SignedDuration::try_from(lasts).unwrap_or_default();
            let asked = Asked::Suspend {
                plan_id: plan.clone(),
                until: daemon.now() + length,
                reason: "the simulation says so".to_owned(),
            };
            ask(handler, "suspends", number, asked);
        }
        // These go on for a time, and the world knows.
        What::GitHangs
        | What::GitRewinds
        | What::LocationHangs(_)
        | What::LocationFails(_)
        | What::LocationIsStale(_)
        | What::LocationSeemsEmpty(_)
        | What::SourceHangs(_)
        | What::SourceFails(_)
        | What::LookPanics(_) => {}
    }
    Ok(())
}

/// Publishes the next policy and notifies the daemon, as a webhook does: it is active soon after, whatever else is running.
async fn publish(play: &Play, handler: &Arc<dyn Handler>) -> Result<(), Failure> {
    let serial = play.world.publish()?;
    handler.look_at_source();
    if !play.world.shows_policy() || play.world.ahead() != 0 {
        return Ok(());
    }
    tokio::time::sleep(IN_FORCE_WITHIN).await;
    let active = Arc::clone(handler)
        .status()
        .await
        .map(|status| status.serial);
    if !play.world.shows_policy() || active.as_ref().is_ok_and(|active| *active == serial) {
        return Ok(());
    }
    let what = format!("bundle {serial} is not active after 2 s: {active:?}");
    play.broke("policy active", what);
    Ok(())
}

/// A second daemon takes the store over, and from here on the script happens to it.
fn taken_over(play: &Arc<Play>, daemon: &Daemon) -> Result<(), Failure> {
    let store = daemon.config.store_path();
    let file = store.parent().unwrap_or(&store).join("lock");
    std::fs::remove_file(file).map_err(|error| unusable(&error))?;
    let (beside, config) = (Arc::clone(play), daemon.config.clone());
    // A task of its own: that of the first daemon ends with it.
    let next = tokio::spawn(async move {
        let world = Arc::clone(&beside.world);
        let opened = effects::answer(beside.world.as_ref(), move || open(&world, config)).await;
        let next = opened.map_err(|why| unusable(&why))??;
        lock(&beside.kept).push(next.clone());
        let shown = next.clone();
        service::serve(next, move |handler| events(beside, shown, handler)).await
    });
    *lock(&play.successor) = Some((next, play.world.elapsed()));
    Ok(())
}

/// Two daemons never work on one state folder.
fn second_daemon(play: &Play, daemon: &Daemon) {
    let path = daemon.config.store_path();
    let opened = std::thread::spawn(move || SqliteStore::open(&path).map(drop)).join();
    if !matches!(opened, Ok(Err(crate::store::StoreError::Locked { .. }))) {
        let what = "a second daemon opened the store of one that lives".to_owned();
        play.broke("one daemon", what);
    }
}

fn report(play: &Play, script: &Script, config: crate::config::Config) -> Result<Report, Failure> {
    let mut broken = std::mem::take(&mut *lock(&play.broken));
    broken.extend(play.world.unjust().into_iter().map(|what| Broken {
        property: "nothing deleted that must stay",
        at: play.world.elapsed().as_secs(),
        what,
    }));
    broken.extend(play.world.outdated().into_iter().map(|what| Broken {
        property: "one daemon",
        at: play.world.elapsed().as_secs(),
        what,
    }));
    let store = SqliteStore::open_read_only(&config.store_path())?;
    let receipts = store.receipts_size()?;
    let mut lines = store.receipts(0, receipts)?;
    let counts = play.world.counts();
    lines.push(format!("{counts:?}"));
    let slots = properties::slots_by_outcome(&store)?;
    drop(store);
    match Daemon::open_read_only(config) {
        Ok(daemon) => {
            let last = lock(&play.last).take();
            broken.extend(properties::hold(&play.world, &daemon, last.as_ref())?);
        }
        // Nothing can be judged by a log that does not hold.
        Err(failure) => broken.push(Broken {
            property: "receipts",
            at: play.world.elapsed().as_secs(),
            what: failure.to_string(),
        }),
    }
    Ok(Report {
        seed: script.seed,
        seconds: script.lasts.get(),
        counts,
        slots,
        receipts,
        struck: play.world.struck(),
        run: Digest::of(lines.join("\n").as_bytes()),
        broken,
    })
}
