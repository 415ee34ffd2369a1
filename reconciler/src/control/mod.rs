//! Owns the shell around the pure core: it fetches, looks, asks [`crate::plan`] and [`crate::review`], executes and records.
//! Never decides about policy. The interesting function is [`execute::execute`].
#![expect(
    clippy::disallowed_methods,
    reason = "shell: this is where what was planned is carried out"
)]

pub mod acceptance;
pub mod care;
pub mod copies;
pub mod doctor;
pub mod effects;
pub mod execute;
mod findings;
pub mod impact;
mod judged;
pub mod locations;
pub mod look;
pub mod notify;
pub mod operate;
pub mod overview;
pub mod policy;
pub mod rebuild;
pub mod recover;
pub mod restore;
mod retention;
pub mod source;
mod spool;
pub mod suspension;
pub mod timekeeping;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use contract::code;
use contract::id::{Kid, LocationId, PlanId};
use contract::receipt::{Authority, Origin};
use contract::seal::PublicKey;
use jiff::Timestamp;

use crate::config::{Config, KeySource, LocationBinding, Tcp};
use crate::domain::{Change, Draft, Operation};
use crate::failure::Failure;
use crate::metrics::LastRuns;
use crate::operation::{self, Details, Ending, Event, Subject};
use crate::progress::Stage;
use crate::spans;
use crate::store::{Store, StoreError};
use crate::worker::Access;
use crate::worker::meter::Meter;
use crate::worker::protocol::{Answer, Limit, Order};
use crate::worker::supervisor::{self, Helper, NoAnswer, Silence};
use crate::world::access::{self, Trusted};
use crate::world::bucket::Credentials;
use crate::world::cancel::Cancel;
use crate::world::channel::ChannelBinding;
use crate::world::connector::Binding;
use crate::world::keys;
use crate::world::location::{self, NoReply, Reply};
use crate::world::receipts::{self, ReceiptLog};
use crate::world::store_sqlite::SqliteStore;
use crate::world::vault::derived;

use effects::{Effects, Machine};
use locations::Locations;
use notify::{Silent, Windows};

/// How often a thread that waits for a lock, or for the next second, checks again.
const TICK: Duration = Duration::from_millis(20);

/// A wait notices within this time that it is to end.
const STOPS_WITHIN: Duration = Duration::from_millis(100);

/// A worker that has looked for long enough says so within this time, before it is ended.
const SAYS_SO_WITHIN: Duration = Duration::from_secs(5);

/// A running daemon looks this often whether a later one has taken its store over, and then ends.
pub const HOLD_LOOK: Duration = Duration::from_secs(15);

/// A daemon that took a store over begins after this time: the one before has noticed, and ended its workers.
const PREDECESSOR_ENDS: Duration = Duration::from_secs(30);

/// One process, or a part of its work that can be ended alone.
#[derive(Debug, Clone)]
pub struct Daemon {
    shared: Arc<Shared>,
    /// Whether to end: effects are stopped, nothing new begins.
    pub stop: Cancel,
    /// Who asked for the work, where that was a person.
    pub requested_by: Option<String>,
    /// How far the work is.
    pub meter: Meter,
}

impl Deref for Daemon {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// What a process has: its configuration, the store it holds alone, and the receipt log.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The state.
    pub store: Box<dyn Store>,
    /// Everything else that it sees and has done.
    pub effects: Arc<dyn Effects>,
    /// The receipts; whoever holds them commits.
    log: Mutex<ReceiptLog>,
    /// What is known of the locations, and whether a round has used it.
    locations: Mutex<Option<(Locations, bool)>>,
    /// Operations that this process carries out now.
    at_work: Mutex<BTreeMap<String, Work>>,
    /// The newest instant that was given to anybody.
    given: Mutex<Option<Timestamp>>,
    /// One at a time waits for one.
    asking: Mutex<()>,
    /// One at a time lays out the receipts to copy.
    copying: Mutex<()>,
    /// Held from the look at the delete budget to the intent that reserves a part of it.
    deleting: Mutex<()>,
    /// How the last runs of this process went.
    pub last_runs: LastRuns,
    /// Channels that take no messages now.
    pub silent: Silent,
    /// What ended within the windows of alert policies, as it was counted last.
    windows: Windows,
    /// One at a time changes what is remembered of alerts.
    alerting: Mutex<()>,
    /// Whether this process holds the store and may write to locations.
    records: bool,
    /// Whether its state goes with this process, so that what it records stays here.
    is_aside: bool,
    /// What other users of this machine can change or read, and should not.
    pub exposed: Vec<Failure>,
}

/// An operation that is carried out now.
#[derive(Debug, Clone)]
pub struct Work {
    /// Since when.
    pub since: Timestamp,
    /// How far it is.
    pub meter: Meter,
    stop: Cancel,
}

/// Every file that the configuration trusts, itself first, as far as others can change or read it.
fn exposed(config: &Config) -> Vec<Failure> {
    let mut files = vec![
        (&config.file, Trusted::Settings),
        (&config.receipt_key, Trusted::Secret),
    ];
    let key_files = config.keys.values().filter_map(|source| match source {
        KeySource::File(path) => Some(path),
        KeySource::Env(_) | KeySource::Command(_) => None,
    });
    let git = &config.git;
    let buckets = || {
        config
            .locations
            .values()
            .filter_map(LocationBinding::bucket)
    };
    let database = config
        .datasets
        .values()
        .filter_map(|binding| match binding {
            Binding::Postgres(postgres) => postgres.password_file.as_ref(),
            Binding::Files(_) | Binding::Jsonl(_) | Binding::Sqlite(_) => None,
        });
    let secrets = key_files
        .chain(database)
        .chain(git.credentials.iter().map(|it| &it.password_file))
        .chain(git.ssh.iter().map(|it| &it.key))
        .chain(config.tcp.iter().flat_map(Tcp::secret_files))
        .chain(
            config
                .channels
                .values()
                .filter_map(ChannelBinding::secret_file),
        )
        .chain(buckets().filter_map(|bucket| match &bucket.credentials {
            Credentials::File(path) => Some(path),
            Credentials::Env(_) | Credentials::Command(_) | Credentials::InstanceRole => None,
        }));
    files.extend(secrets.map(|path| (path, Trusted::Secret)));
    let settings = git
        .ca_file
        .iter()
        .chain(git.ssh.iter().filter_map(|it| it.known_hosts.as_ref()))
        .chain(config.channels.values().filter_map(ChannelBinding::ca_file))
        .chain(buckets().filter_map(|bucket| bucket.ca_file.as_ref()));
    files.extend(settings.map(|path| (path, Trusted::Settings)));
    files
        .into_iter()
        .filter_map(|(path, trusted)| access::failure(path, trusted))
        .collect()
}

/// Waits; false when it is to end.
fn outlast(effects: &dyn Effects, stop: &Cancel, length: Duration) -> bool {
    let mut waited = Duration::ZERO;
    while waited < length && !stop.is_cancelled() {
        effects.pause(STOPS_WITHIN);
        waited += STOPS_WITHIN;
    }
    !stop.is_cancelled()
}

impl Daemon {
    /// Takes the store's lock and reads the receipt log back.
    pub fn open(config: Config, stop: Cancel) -> Result<Self, Failure> {
        let was_open = access::take_state(&config.state)?;
        let store = Box::new(SqliteStore::open(&config.store_path())?);
        Self::open_with(config, stop, was_open, store, Arc::new(Machine))
    }

    /// The same for a state that may be older than the receipts at the locations: nothing but rebuilding it is done with it.
    pub fn open_behind(config: Config, stop: Cancel) -> Result<Self, Failure> {
        Self::behind(config, stop, false)
    }

    /// The same for a state that goes with this process.
    fn open_aside(config: Config, stop: Cancel) -> Result<Self, Failure> {
        Self::behind(config, stop, true)
    }

    fn behind(config: Config, stop: Cancel, is_aside: bool) -> Result<Self, Failure> {
        let was_open = access::take_state(&config.state)?;
        let store = Box::new(SqliteStore::open(&config.store_path())?);
        // Without an accepted bundle the published one says which other keys may have signed the log.
        let keys = rebuild::published_keys(&config, &Machine, &stop);
        let behind = Behind { keys, is_aside };
        Self::hold(config, stop, was_open, store, Arc::new(Machine), behind)
    }

    /// The same with another store and other effects; whether the state folder was open to others is known already.
    pub fn open_with(
        config: Config,
        stop: Cancel,
        was_open: Option<Failure>,
        store: Box<dyn Store>,
        effects: Arc<dyn Effects>,
    ) -> Result<Self, Failure> {
        let daemon = Self::hold(config, stop, was_open, store, effects, Behind::default())?;
        // Only who holds the lock can compare: beside a running daemon the copies may be newer than what was just read.
        copies::nothing_was_lost(&daemon)?;
        spool::sweep(&daemon)?;
        Ok(daemon)
    }

    /// Makes sure that this process alone has the store.
    fn hold(
        config: Config,
        stop: Cancel,
        was_open: Option<Failure>,
        store: Box<dyn Store>,
        effects: Arc<dyn Effects>,
        behind: Behind,
    ) -> Result<Self, Failure> {
        if store.took_over() {
            let seconds = PREDECESSOR_ENDS.as_secs();
            tracing::warn!(
                event = "store_taken_over",
                seconds,
                "the lock in the state folder is another file than before: whatever holds the old one gets some seconds to end"
            );
            outlast(effects.as_ref(), &stop, PREDECESSOR_ENDS);
        }
        // A wait that was cut short is begun again by the next process.
        if stop.is_cancelled() {
            let message = "the process is asked to end before it began";
            return Err(Failure::new(code::RUN_INTERRUPTED, message, "run it again"));
        }
        store.settle()?;
        let exposed = was_open.into_iter().chain(exposed(&config)).collect();
        let daemon = Self::over(config, store, effects, stop, true, (exposed, behind))?;
        for failure in &daemon.exposed {
            tracing::warn!(event = "file_open_to_others", code = %failure.code, "{}", failure.message);
        }
        Ok(daemon)
    }

    /// For commands that only read: works beside a running daemon, and records nothing.
    pub fn open_read_only(config: Config) -> Result<Self, Failure> {
        let store = Box::new(SqliteStore::open_read_only(&config.store_path())?);
        let effects = Arc::new(Machine);
        let neither = (Vec::new(), Behind::default());
        Self::over(config, store, effects, Cancel::new(), false, neither)
    }

    fn over(
        config: Config,
        store: Box<dyn Store>,
        effects: Arc<dyn Effects>,
        stop: Cancel,
        records: bool,
        (exposed, behind): (Vec<Failure>, Behind),
    ) -> Result<Self, Failure> {
        let key = receipts::read_key(&config.receipt_key)?;
        let mut keys: Vec<PublicKey> = vec![key.public()];
        keys.extend(behind.keys);
        // Lines of an earlier receipt key hold by the trust root that was accepted with them.
        if let Some(bundle) = store.accepted()?
            && let Ok(root) = policy::roots(&config, &bundle.roots)
        {
            keys.extend(root.reconciler_keys(&config.environment, &config.reconciler_id));
        }
        let authority = Authority {
            origin: Origin {
                environment: config.environment.clone(),
                reconciler_id: config.reconciler_id.clone(),
            },
            keys,
        };
        let log = ReceiptLog::open(store.as_ref(), key, authority)?;
        let shared = Shared {
            config,
            store,
            effects,
            log: Mutex::new(log),
            locations: Mutex::new(None),
            at_work: Mutex::new(BTreeMap::new()),
            given: Mutex::new(None),
            asking: Mutex::new(()),
            copying: Mutex::new(()),
            deleting: Mutex::new(()),
            last_runs: LastRuns::default(),
            silent: Silent::default(),
            windows: Windows::default(),
            alerting: Mutex::new(()),
            records,
            is_aside: behind.is_aside,
            exposed,
        };
        Ok(Self {
            shared: Arc::new(shared),
            stop,
            requested_by: None,
            meter: Meter::default(),
        })
    }

    /// Ends what this process does once a later one has taken its store over.
    pub fn watch_hold(&self) {
        let (shared, stop) = (Arc::downgrade(&self.shared), self.stop.clone());
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(HOLD_LOOK);
                match shared.upgrade().map(|shared| shared.store.holds()) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        tracing::error!(event = "store_not_held", code = %error.code(), "{error}");
                        if matches!(error, StoreError::TakenOver { .. }) {
                            return stop.cancel();
                        }
                    }
                    None => return,
                }
            }
        });
    }

    /// The same process for one part of its work, which `stop` ends.
    #[must_use]
    pub fn part(&self, stop: Cancel, requested_by: Option<String>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            stop,
            requested_by,
            meter: Meter::default(),
        }
    }

    /// Who asks: the client at the socket, or the user that runs the command.
    pub fn person(&self) -> String {
        let own = || format!("uid:{}", nix::unistd::getuid());
        self.requested_by.clone().unwrap_or_else(own)
    }

    /// Whether the whole process is asked to end, and not this part of its work alone.
    pub fn is_ending(&self) -> bool {
        self.stop.is_whole_cancelled()
    }

    /// The receipt log. A poisoned lock only means that a thread panicked between two commits; the log itself is whole.
    pub fn log(&self) -> MutexGuard<'_, ReceiptLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records changes and receipts in one transaction.
    pub fn commit(
        &self,
        changes: &[Change],
        drafts: Vec<Draft>,
        at: Timestamp,
    ) -> Result<(), Failure> {
        self.log()
            .commit(self.store.as_ref(), changes, drafts, at)?;
        self.last_runs.committed(changes);
        Ok(())
    }

    /// Takes an operation one step on: its next state, and everything that is recorded with it.
    fn advance(
        &self,
        operation: &mut Operation,
        subject: &Subject,
        event: Event,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let next = operation::transition(operation, subject, event, now)?;
        self.commit(&next.changes, next.drafts, now)?;
        *operation = next.operation;
        spans::describe(operation);
        self.last_runs.ended(operation);
        Ok(())
    }

    /// Records and signs the intent, before anything happens.
    fn begin(
        &self,
        operation: &mut Operation,
        subject: &Subject,
        mut details: Details,
    ) -> Result<(), Failure> {
        if let Some(by) = &self.requested_by {
            details.insert("requested_by".to_owned(), by.clone());
        }
        let at = operation.started_at;
        self.advance(operation, subject, Event::Begin(details), at)?;
        tracing::debug!(event = "intent_recorded", "intent is recorded");
        Ok(())
    }

    /// Records an operation that has no effect: its intent and its outcome in one transaction.
    fn record(
        &self,
        operation: &mut Operation,
        subject: &Subject,
        details: Details,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let begin = Event::Begin(details);
        let begun = operation::transition(operation, subject, begin, operation.started_at)?;
        let end = Event::End(Box::new(ending));
        let ended = operation::transition(&begun.operation, subject, end, now)?;
        let changes = [begun.changes, ended.changes].concat();
        let drafts = [begun.drafts, ended.drafts].concat();
        self.commit(&changes, drafts, now)?;
        spans::describe(&begun.operation);
        *operation = ended.operation;
        spans::describe(operation);
        Ok(())
    }

    /// Records how an operation ended.
    fn end(
        &self,
        operation: &mut Operation,
        subject: &Subject,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.advance(operation, subject, Event::End(Box::new(ending)), now)
    }

    /// Says that this process carries out an operation, until what it gives is dropped. Two of one name never run.
    pub fn works_on(&self, operation_id: &str) -> Result<AtWork<'_>, Failure> {
        let mut at_work = self.at_work_lock();
        if at_work.contains_key(operation_id) {
            return Err(Failure::new(
                code::PRECONDITION_FAILED,
                format!("`{operation_id}` is under way already"),
                "wait for its end",
            ));
        }
        let operation_id = operation_id.to_owned();
        self.meter.begin(Stage::Waiting);
        let work = Work {
            since: self.now(),
            stop: self.stop.clone(),
            meter: self.meter.clone(),
        };
        at_work.insert(operation_id.clone(), work);
        Ok(AtWork {
            daemon: self,
            operation_id,
        })
    }

    /// Whether this process carries it out now. What is open and not at work was left by somebody else.
    pub fn is_at_work(&self, operation_id: &str) -> bool {
        self.at_work_lock().contains_key(operation_id)
    }

    /// The operations that this process carries out now, and how far each is.
    pub fn at_work(&self) -> BTreeMap<String, Work> {
        self.at_work_lock().clone()
    }

    /// Asks an operation that this process carries out to end; false when there is none of this id.
    pub fn cancel(&self, operation_id: &str) -> bool {
        let at_work = self.at_work_lock();
        let found = at_work.get(operation_id);
        found.inspect(|work| work.stop.cancel()).is_some()
    }

    fn at_work_lock(&self) -> MutexGuard<'_, BTreeMap<String, Work>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instant later than every effect so far, and than every other one given, so that ids that are derived from it are new. Waits
    /// a second at most for each who asks at the same time.
    pub fn fresh_now(&self) -> Result<Timestamp, Failure> {
        // One after the other, so that each has a second of its own to wait for.
        let _alone = self.alone(&self.asking);
        for _ in 0..55 {
            if let Some(fresh) = self.give_now()? {
                return Ok(fresh);
            }
            self.effects.pause(TICK);
        }
        let now = self.now();
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(now)
    }

    /// This instant, if it is later than all that were given.
    fn give_now(&self) -> Result<Option<Timestamp>, Failure> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.store.newest_start()?.max(*given);
        let now = self.now();
        // A clock that was set back is not a reason to wait: a condition reports it.
        let is_fresh =
            newest.is_none_or(|newest| newest < now || newest.duration_since(now).as_secs() > 1);
        if is_fresh {
            *given = Some(now);
        }
        Ok(is_fresh.then_some(now))
    }

    /// Takes a lock that is held for long. Waiting for it lets simulated time pass.
    fn alone<'lock>(&self, lock: &'lock Mutex<()>) -> MutexGuard<'lock, ()> {
        loop {
            match lock.try_lock() {
                Ok(held) => return held,
                Err(TryLockError::Poisoned(held)) => return held.into_inner(),
                Err(TryLockError::WouldBlock) => self.effects.pause(TICK),
            }
        }
    }

    /// What is known of the locations; they are inspected when nobody did it yet.
    pub fn locations(&self) -> Result<Locations, Failure> {
        let mut kept = self.locations_lock();
        if let Some((locations, _)) = kept.as_ref() {
            return Ok(locations.clone());
        }
        let locations = locations::inspect(self, self.records)?;
        *kept = Some((locations.clone(), false));
        Ok(locations)
    }

    /// The locations are inspected again before anything else is done there.
    fn forget_locations(&self) {
        *self.locations_lock() = None;
    }

    /// What is known of the locations, and whether a round has used it.
    fn locations_lock(&self) -> MutexGuard<'_, Option<(Locations, bool)>> {
        self.locations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the checkpoint that was just copied to a location.
    fn receipts_copied(&self, id: &LocationId, note: &str) {
        if let Some((locations, _)) = self.locations_lock().as_mut()
            && let Some(standing) = locations.standings.get_mut(id)
            && let Some(inspected) = &mut standing.inspected
        {
            inspected.checkpoint = Some(note.to_owned());
        }
    }

    /// A worker for this part of the work, which ends with it and shows how far it is.
    pub fn worker(&self, limit: Limit) -> Result<Helper, Silence> {
        // What it did could not be recorded.
        match self.store.holds() {
            Ok(()) => {}
            Err(StoreError::TakenOver { .. }) => return Err(Silence::Stopped),
            Err(error) => return Err(Silence::Died(error.to_string())),
        }
        Helper::this_program(limit, self.stop.clone(), self.meter.clone())
    }

    /// Has a worker take a recovery point or copy.
    fn effect(&self, limit: Limit, order: &Order) -> Result<Answer, NoAnswer> {
        let worker = self.worker(limit)?;
        supervisor::effect(self.effects.ask(&worker, order))
    }

    /// Has a worker inspect a source within a time. It changes nothing, and a process that is shutting down still has to inspect what it
    /// leaves: only the time ends it.
    fn look_within(&self, order: &Order, within: Duration) -> Result<Answer, NoAnswer> {
        let limit = Limit::Within(within.saturating_add(SAYS_SO_WITHIN));
        let worker = Helper::this_program(limit, Cancel::new(), Meter::default())?;
        supervisor::effect(self.effects.ask(&worker, order))
    }

    /// The time, in whole seconds.
    pub fn now(&self) -> Timestamp {
        self.effects.now()
    }

    /// Has an order done at one location.
    fn at_location(&self, order: location::Order) -> Result<Reply, NoReply> {
        let asked = self.effects.at_locations(&[order], &self.stop).pop();
        asked.unwrap_or_else(|| Err(NoReply::Broken("it gave no answer".to_owned())))
    }

    /// Where below each location the copy of the receipt log goes.
    pub fn receipts_below(&self) -> PathBuf {
        Path::new(self.config.environment.as_str())
            .join("receipts")
            .join(self.config.reconciler_id.as_str())
    }
}

/// How a state that may be behind is opened.
#[derive(Debug, Default)]
struct Behind {
    /// Keys that may have signed its receipts.
    keys: Vec<PublicKey>,
    /// Whether it goes with this process.
    is_aside: bool,
}

/// An operation that this process carries out; given back however it ends.
#[derive(Debug)]
pub struct AtWork<'daemon> {
    daemon: &'daemon Daemon,
    operation_id: String,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.daemon.at_work_lock().remove(&self.operation_id);
    }
}

impl Access {
    /// Reads the key and binds the plan's locations.
    pub fn new(
        daemon: &Daemon,
        plan: &PlanId,
        kid: &Kid,
        locations: impl IntoIterator<Item = LocationId>,
    ) -> Result<Self, Failure> {
        let config = &daemon.config;
        let source = config.keys.get(kid).ok_or_else(|| {
            Failure::new(
                code::PLAN_UNBOUND,
                format!("key `{kid}` is not bound"),
                format!("bind it under `keys.{kid}`"),
            )
        })?;
        let all = daemon.locations()?;
        let mut places = BTreeMap::new();
        let mut aside = BTreeMap::new();
        for id in locations {
            let Some(standing) = all.standings.get(&id) else {
                continue;
            };
            places.insert(id.clone(), standing.place.clone());
            if let Some(why) = &standing.aside {
                aside.insert(id, why.state());
            }
        }
        let mut access = Self {
            environment: config.environment.clone(),
            plan: plan.clone(),
            kid: kid.clone(),
            places,
            aside,
            known: locations::known(daemon, plan, kid)?,
            damaged: findings::damaged(daemon, plan, kid)?,
            key: keys::load(kid, source)?,
            derived: Vec::new(),
        };
        access.derived = derived(&access.repository());
        Ok(access)
    }
}
