//! Owns the world of a simulation: its time, git, locations and workers, and what is wrong with each at an instant. It answers the
//! daemon as a machine would. The interesting function is [`World::answers`].

mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contract::digest::Digest;
use contract::duration::Seconds;
use contract::id::{LocationId, PlanId};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::coroutine::{self, Coroutine, Said};
use super::policy::{MIN_VERSIONS, Policy};
use super::script::{Event, PlanScript, Script, What};
use super::storage::{Answers, Compared, Snapshot, Storage};
use workers::{Spent, name_of};

use crate::config::Config;
use crate::control::effects::{Effects, Work};
use crate::domain::Message;
use crate::failure::Failure;
use crate::worker::Access;
use crate::worker::protocol::{Answer, Order};
use crate::worker::supervisor::{Helper, Silence};
use crate::world::cancel::Cancel;
use crate::world::channel::ChannelBinding;
use crate::world::git::{GitError, Published};
use crate::world::location::{self, Inspected, NoReply, Reply};
use crate::world::vault::{AllSnapshots, Checked, LocationSeen, Mark, Reading, VaultError};

/// Writing, copying or reading one object takes this long.
const OBJECT_TAKES: Duration = Duration::from_secs(1);
/// A look at a location that hangs is given up after this time, as on a machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The world. Clones of the `Arc` are the same one.
pub(super) struct World {
    pub(super) script: Script,
    pub(super) plans: BTreeMap<PlanId, PlanScript>,
    state: Mutex<State>,
    /// The process dies now.
    death: Notify,
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("World").finish_non_exhaustive()
    }
}

/// What changes.
struct State {
    /// Since the beginning, by a clock that does not jump.
    elapsed: Duration,
    /// Whether this life of the process is over, and nothing of it may go on.
    is_dead: bool,
    /// When this life of the process began, by both clocks.
    life: Option<(Duration, Instant)>,
    /// What the daemon's clock is ahead, in seconds.
    ahead: i64,
    random: fastrand::Rng,
    policy: Policy,
    published: Published,
    before: Option<Published>,
    marks: BTreeMap<LocationId, Mark>,
    checkpoints: BTreeMap<LocationId, String>,
    storage: Storage,
    /// Snapshots that a worker reported, by their id.
    told: BTreeSet<String>,
    /// Snapshots that were deleted, and the points that they were.
    deleted: BTreeSet<String>,
    /// What was deleted that had to stay.
    unjust: Vec<String>,
    dying: BTreeMap<PlanId, u32>,
    repeating: BTreeSet<PlanId>,
    /// What happens to commits and pauses to come.
    fates: Fates,
    names: u64,
    counts: Counts,
    /// The commits that a fate struck, by what they were about.
    struck: Vec<String>,
    /// What went wrong, when it did.
    happened: Vec<Event>,
    /// The newest life that opened the store.
    newest: u64,
    /// What an earlier life committed all the same.
    outdated: Vec<String>,
}

/// What is to happen at commits and pauses, counted down.
#[derive(Debug, Default)]
struct Fates {
    commit: Option<(u32, Fate)>,
    pause: Option<u32>,
}

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// Whether what it commits is durable.
    pub(super) durable: bool,
    /// Whether the process dies; otherwise the commit fails.
    pub(super) dies: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Backups that workers were asked for.
    pub backups: u64,
    /// Locations that were read.
    pub checks: u64,
    /// Repositories that were brought forward.
    pub catch_ups: u64,
    /// Looks at locations.
    pub looks: u64,
    /// Commits of the store.
    pub commits: u64,
    /// Waits in which virtual time passed.
    pub pauses: u64,
    /// Lives of the daemon.
    pub lives: u64,
}

impl State {
    /// What waited for its moment strikes now.
    fn strikes(&mut self, what: What) {
        let at = Seconds::new(self.elapsed.as_secs());
        let lasts = Seconds::new(0);
        self.happened.push(Event { at, lasts, what });
    }

    /// Judges by what there is, and not by what the daemon knows, what is about to be deleted of a plan.
    fn judge_deletion(&mut self, plan: &PlanId, going: &BTreeSet<String>) {
        let made = self.storage.snapshots.get(plan).into_iter().flatten();
        let mut sound: Vec<&Snapshot> = made
            .filter(|(id, snapshot)| {
                self.told.contains(*id) && !self.storage.sound_at(plan, snapshot).is_empty()
            })
            .map(|(_, snapshot)| snapshot)
            .collect();
        sound.sort_by_key(|snapshot| snapshot.info.time);
        // What policy keeps at least, whatever else it says.
        for snapshot in sound.iter().rev().take(MIN_VERSIONS) {
            if going.contains(&snapshot.info.snapshot_id) {
                let what = format!(
                    "`{}` is deleted, and is among the newest",
                    snapshot.info.snapshot_id
                );
                self.unjust.push(what);
            }
        }
        for snapshot in sound {
            if going.contains(&snapshot.info.snapshot_id) {
                self.deleted.insert(snapshot.info.snapshot_id.clone());
                let tags = snapshot.info.tags.as_ref();
                self.deleted.extend(tags.map(|tags| tags.backup_id.clone()));
            }
        }
    }
}

impl World {
    pub(super) fn new(script: &Script) -> Result<Self, Failure> {
        let mut policy = Policy::of(script)?;
        let published = policy.publish(script.begins)?;
        let state = State {
            elapsed: Duration::ZERO,
            is_dead: false,
            life: None,
            ahead: 0,
            random: fastrand::Rng::with_seed(script.seed),
            policy,
            published,
            before: None,
            marks: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            storage: Storage::default(),
            told: BTreeSet::new(),
            deleted: BTreeSet::new(),
            unjust: Vec::new(),
            dying: BTreeMap::new(),
            repeating: BTreeSet::new(),
            fates: Fates::default(),
            names: 0,
            counts: Counts::default(),
            struck: Vec::new(),
            happened: Vec::new(),
            newest: 0,
            outdated: Vec::new(),
        };
        Ok(Self {
            plans: script.all_plans(),
            script: script.clone(),
            state: Mutex::new(state),
            death: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self, folder: &std::path::Path) -> Result<Config, Failure> {
        self.state().policy.configure(&self.script, folder)
    }

    /// A life of the process begins, in a runtime whose time is virtual.
    pub(super) fn live(&self) {
        let mut state = self.state();
        state.life = Some((state.elapsed, Instant::now()));
        state.is_dead = false;
        state.counts.lives += 1;
    }

    /// The process is killed: nothing of it goes on.
    pub(super) fn kill(&self) {
        self.state().is_dead = true;
        self.death.notify_one();
    }

    /// Waits until it is.
    pub(super) async fn killed(&self) {
        while !self.state().is_dead {
            self.death.notified().await;
        }
    }

    /// It is over.
    pub(super) fn rest(&self) {
        self.elapsed();
        self.state().life = None;
    }

    /// Time passes without a process.
    pub(super) fn pass(&self, length: Duration) {
        let mut state = self.state();
        // A process that was not there when it was to be stopped is stopped later.
        let at = Seconds::new(state.elapsed.as_secs());
        let lasts = Seconds::new(length.as_secs());
        let what = What::Stopped;
        state.happened.push(Event { at, lasts, what });
        state.elapsed += length;
    }

    /// Something of the script happens: what a daemon is needed for, later than the script says where none ran.
    pub(super) fn happens(&self, event: &Event) {
        let mut event = event.clone();
        if !event.what.is_outside() {
            let until = event.until().get();
            event.at = Seconds::new(self.elapsed().as_secs());
            event.lasts = Seconds::new(until.saturating_sub(event.at.get()));
        }
        self.state().happened.push(event);
    }

    /// What went wrong so far, when it did.
    pub(super) fn happened(&self) -> Vec<Event> {
        self.state().happened.clone()
    }

    /// How long it is since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        let mut state = self.state();
        // Only the runtime's own thread knows its time; the others run at the instant at which it let them go on.
        if let (Some((began, at)), Ok(_)) = (state.life, tokio::runtime::Handle::try_current()) {
            state.elapsed = began + at.elapsed();
        }
        state.elapsed
    }

    /// The daemon's clock.
    fn clock(&self) -> Timestamp {
        let elapsed = self.elapsed().as_secs();
        let ahead = SignedDuration::from_secs(self.state().ahead);
        let at = self.script.instant(elapsed);
        at.checked_add(ahead).unwrap_or(at)
    }

    pub(super) fn jump(&self, seconds: i64) {
        self.state().ahead += seconds;
    }

    pub(super) fn ahead(&self) -> i64 {
        self.state().ahead
    }

    /// Publishes the next policy, and gives its serial.
    pub(super) fn publish(&self) -> Result<u64, Failure> {
        let now = self.script.instant(self.elapsed().as_secs());
        let mut state = self.state();
        let next = state.policy.publish(now)?;
        let before = std::mem::replace(&mut state.published, next);
        state.before = Some(before);
        Ok(state.policy.serial())
    }

    /// Whether git shows the newest policy now.
    pub(super) fn shows_policy(&self) -> bool {
        !self.goes_on(|what| matches!(what, What::GitHangs | What::GitRewinds))
    }

    pub(super) fn rot(&self, location: &LocationId) {
        self.state().storage.rot(location);
    }

    pub(super) fn worker_dies(&self, plan: &PlanId, step: u32) {
        self.state().dying.insert(plan.clone(), step);
    }

    pub(super) fn worker_repeats(&self, plan: &PlanId) {
        self.state().repeating.insert(plan.clone());
    }

    pub(super) fn commit_fate(&self, number: u32, fate: Fate) {
        self.state().fates.commit = Some((number.max(1), fate));
    }

    pub(super) fn die_at_pause(&self, number: u32) {
        self.state().fates.pause = Some(number.max(1));
    }

    /// What happens to the commit that begins now.
    pub(super) fn next_commit(&self, border: impl FnOnce() -> String) -> Option<Fate> {
        let mut state = self.state();
        state.counts.commits += 1;
        let (left, fate) = state.fates.commit?;
        if left > 1 {
            state.fates.commit = Some((left - 1, fate));
            return None;
        }
        state.fates.commit = None;
        state.struck.push(border());
        Some(fate)
    }

    /// A life of the daemon opened the store.
    pub(super) fn opened(&self, epoch: u64) {
        self.state().newest = epoch;
    }

    /// One of them committed something.
    pub(super) fn committed(&self, epoch: u64, border: impl FnOnce() -> String) {
        let mut state = self.state();
        if epoch < state.newest {
            let told = format!(
                "life {epoch} committed {} beside {}",
                border(),
                state.newest
            );
            state.outdated.push(told);
        }
    }

    /// What was deleted that had to stay.
    pub(super) fn unjust(&self) -> Vec<String> {
        self.state().unjust.clone()
    }

    /// Snapshots that were deleted, and the names of the points that they were.
    pub(super) fn deleted(&self) -> BTreeSet<String> {
        self.state().deleted.clone()
    }

    /// What lives committed that were no longer the newest.
    pub(super) fn outdated(&self) -> Vec<String> {
        self.state().outdated.clone()
    }

    /// No commit and no pause is the last one any more.
    pub(super) fn forget_fates(&self) {
        let mut state = self.state();
        state.fates = Fates::default();
        state.dying.clear();
        state.repeating.clear();
    }

    pub(super) fn struck(&self) -> Vec<String> {
        self.state().struck.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Reads what the repositories hold.
    pub(super) fn with_storage<T>(&self, read: impl FnOnce(&Storage, &BTreeSet<String>) -> T) -> T {
        let state = self.state();
        let told: BTreeSet<String> = state.told.difference(&state.deleted).cloned().collect();
        read(&state.storage, &told)
    }

    /// Something that lasts and goes on now.
    fn goes_on(&self, is: impl Fn(&What) -> bool) -> bool {
        let now = self.elapsed().as_secs();
        let mut events = self.script.events.iter();
        events.any(|event| event.is_at(now) && is(&event.what))
    }

    /// Plans that could not be looked at for longer than the daemon leaves between two looks.
    pub(super) fn unseen(&self) -> BTreeSet<PlanId> {
        let now = self.elapsed().as_secs();
        let before = now.saturating_sub(self.script.look_interval.get() + PATIENCE.as_secs());
        let events = self.script.events.iter();
        events
            .filter(|event| event.is_at(now) && event.is_at(before))
            .filter_map(|event| match &event.what {
                What::LookPanics(plan) => Some(plan.clone()),
                _ => None,
            })
            .collect()
    }

    /// How a location answers now.
    pub(super) fn answers(&self, location: &LocationId) -> Answers {
        let now = self.elapsed().as_secs();
        let mut worst = Answers::Truly;
        for event in self.script.events.iter().filter(|it| it.is_at(now)) {
            worst = match &event.what {
                What::LocationHangs(id) if id == location => return Answers::Hangs,
                What::LocationFails(id) if id == location => Answers::Fails,
                What::LocationIsStale(id) if id == location && worst.is_reachable() => {
                    Answers::AsOf(event.at.get())
                }
                What::LocationSeemsEmpty(id) if id == location && worst.is_reachable() => {
                    Answers::Empty
                }
                _ => worst,
            };
        }
        worst
    }

    fn wait(&self, length: Duration, until: Option<&Cancel>) {
        let dies = {
            let mut state = self.state();
            state.counts.pauses += 1;
            match state.fates.pause {
                Some(1) => {
                    state.fates.pause = None;
                    true
                }
                Some(left) => {
                    state.fates.pause = Some(left - 1);
                    false
                }
                None => false,
            }
        };
        if dies {
            coroutine::die();
        }
        if !coroutine::pause(length, until) {
            // No process lives yet: its time passes all the same.
            self.pass(length);
        }
    }

    /// Waits while a location hangs, as long as whoever looks has patience.
    fn patience<'a>(&self, locations: impl IntoIterator<Item = &'a LocationId>) {
        let mut locations = locations.into_iter();
        if locations.any(|id| self.answers(id) == Answers::Hangs) {
            self.wait(PATIENCE, None);
        }
    }

    /// A name that is used once.
    fn draw(&self, what: &str) -> String {
        let mut state = self.state();
        state.names += 1;
        let text = format!("{what} {} {}", state.names, self.script.seed);
        Digest::of(text.as_bytes()).to_string()
    }

    fn is_writable(&self, access: &Access, location: &LocationId) -> bool {
        !access.aside.contains_key(location) && self.answers(location).is_reachable()
    }

    fn compared(&self, access: &Access) -> Compared {
        self.state().counts.looks += 1;
        self.patience(access.places.keys());
        let answers: BTreeMap<LocationId, Answers> = access
            .places
            .keys()
            .map(|id| (id.clone(), self.answers(id)))
            .collect();
        let of = |id: &LocationId| answers.get(id).copied().unwrap_or(Answers::Hangs);
        self.state().storage.compare(access, of)
    }

    fn at_location(&self, order: &location::Order) -> Result<Reply, NoReply> {
        let Some(at) = order.at() else {
            return Ok(Reply::Resolved(Vec::new()));
        };
        let id = &at.location_id;
        match self.answers(id) {
            Answers::Hangs => return Err(NoReply::Silent),
            Answers::Fails => return Ok(Reply::Failed("input/output error".to_owned())),
            Answers::Truly | Answers::AsOf(_) | Answers::Empty => {}
        }
        let mut state = self.state();
        match order {
            location::Order::Mark { mark, .. } => {
                state.marks.insert(id.clone(), mark.clone());
                Ok(Reply::Done)
            }
            location::Order::CopyReceipts { from, .. } => {
                let note = std::fs::read_to_string(from.join("checkpoint"))
                    .map_err(|error| NoReply::Broken(error.to_string()))?;
                state.checkpoints.insert(id.clone(), note);
                Ok(Reply::Copied("simulated".to_owned()))
            }
            location::Order::ReadReceipts { .. } => Ok(Reply::Failed(
                "a simulated location keeps no receipts".to_owned(),
            )),
            location::Order::Inspect { .. } | location::Order::Resolve { .. } => {
                let number = self.script.locations().iter().position(|one| one == id);
                Ok(Reply::Inspected(Box::new(Inspected {
                    folder: Some((1, number.unwrap_or(0) as u64)),
                    in_file_system: None,
                    mark: state.marks.get(id).cloned(),
                    mark_problem: None,
                    checkpoint: state.checkpoints.get(id).cloned(),
                    checkpoint_problem: None,
                    holds_known: true,
                    unwritable: None,
                    capacity: None,
                })))
            }
        }
    }
}

#[async_trait]
impl Effects for World {
    fn now(&self) -> Timestamp {
        self.clock()
    }

    fn pause(&self, length: Duration) {
        self.wait(length, None);
    }

    async fn run(&self, work: Work) -> Result<(), String> {
        let work = Coroutine::new(work).map_err(|error| error.to_string())?;
        loop {
            self.elapsed();
            // What died holds what it held, and whoever waited for that would wait for ever.
            if self.state().is_dead {
                std::future::pending::<()>().await;
            }
            match work.proceed() {
                Said::Ended(ended) => return ended,
                Said::Pauses(length, None) => tokio::time::sleep(length).await,
                Said::Pauses(length, Some(until)) => tokio::select! {
                    biased;
                    () = until.cancelled() => {}
                    () = tokio::time::sleep(length) => {}
                },
                Said::Dies => {
                    self.kill();
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    fn beside(&self, work: Work) {
        work();
    }

    fn name(&self) -> Result<String, String> {
        Ok(self.draw("name").chars().take(32).collect())
    }

    fn published(
        &self,
        config: &Config,
        known: Option<&str>,
        stop: &Cancel,
    ) -> Result<Option<Published>, Failure> {
        if self.goes_on(|what| *what == What::GitHangs) {
            let deadline = config.git.deadline.get();
            self.wait(Duration::from_secs(deadline), Some(stop));
            let (url, seconds) = (config.git.url.clone(), deadline);
            return Err(GitError::Deadline { url, seconds }.into());
        }
        self.wait(Duration::from_secs(1), Some(stop));
        let rewinds = self.goes_on(|what| *what == What::GitRewinds);
        let state = self.state();
        let shown = state.before.as_ref().filter(|_| rewinds);
        let shown = shown.unwrap_or(&state.published);
        Ok((known != Some(&shown.commit)).then(|| shown.clone()))
    }

    fn at_locations(
        &self,
        orders: &[location::Order],
        _stop: &Cancel,
    ) -> Vec<Result<Reply, NoReply>> {
        let at = orders.iter().filter_map(location::Order::at);
        self.patience(at.map(|at| &at.location_id));
        orders.iter().map(|order| self.at_location(order)).collect()
    }

    fn observe(&self, access: &Access) -> Result<Vec<LocationSeen>, Failure> {
        if self.goes_on(|what| matches!(what, What::LookPanics(id) if *id == access.plan)) {
            std::panic::resume_unwind(Box::new("the simulation lets it panic"));
        }
        Ok(Storage::seen(self.compared(access)))
    }

    fn snapshots(&self, access: &Access) -> Result<AllSnapshots, Failure> {
        let compared = self.compared(access);
        Ok(self.state().storage.all_snapshots(&access.plan, &compared))
    }

    fn ask(&self, worker: &Helper, order: &Order) -> Result<Answer, Silence> {
        match order {
            Order::Backup(order) => {
                self.state().counts.backups += 1;
                self.take(worker, order)
            }
            Order::CatchUp { access } => {
                self.state().counts.catch_ups += 1;
                self.catch_up(worker, access)
            }
            Order::Prune { access, request } => self.prune(worker, access, request),
            Order::Location(_)
            | Order::Apply(_)
            | Order::Open { .. }
            | Order::Examine { .. }
            | Order::Probe { .. } => {
                Err(Silence::Died("the simulation restores nothing".to_owned()))
            }
        }
    }

    fn notify(&self, _: &ChannelBinding, _: &Message) -> Result<(), Failure> {
        Ok(())
    }

    fn check(
        &self,
        worker: &Helper,
        access: &Access,
        location: &LocationId,
        reading: Reading,
    ) -> Result<Option<Checked>, Failure> {
        self.state().counts.checks += 1;
        self.patience([location]);
        let unread = |silence: Silence| Failure::from(VaultError::from(silence));
        let mut spent = Spent::default();
        let Reading {
            portion,
            after,
            within,
        } = reading;
        let packs = self
            .state()
            .storage
            .to_read(&access.plan, location, &portion, after.as_ref());
        let (mut read, mut through) = (Vec::new(), None);
        for (number, pack) in packs.iter().enumerate() {
            self.step(worker, &mut spent, OBJECT_TAKES, true)
                .map_err(unread)?;
            if !self.is_writable(access, location) {
                let silence = Silence::Died("input/output error".to_owned());
                return Err(unread(silence));
            }
            read.push(pack.clone());
            let is_last = number + 1 == packs.len();
            if !is_last && within.is_some_and(|within| spent.all >= within) {
                through = name_of(pack);
                break;
            }
        }
        if !self.is_writable(access, location) {
            return Err(unread(Silence::Died("input/output error".to_owned())));
        }
        let state = self.state();
        Ok(state.storage.check(access, location, &read, through))
    }
}

/// The world as the daemon holds it.
pub(super) type Shared = Arc<World>;
