//! Owns the one pass: a backend for the engine that writes each object to every location, keeps a ledger of faults per
//! location, and holds the snapshot file back. Never retries; a location that failed once gets nothing more in this run. Removes
//! nothing but for [`super::prune`], and then indexes alone: packs that the engine wants removed are only noted. The interesting
//! functions are [`Mirror::barrier`] and [`Mirror::release`].
//!
//! Order at each location: packs durable, then index, then snapshot; what is removed goes in the reverse order. The engine believes that a write which it handed over has
//! succeeded and masks errors that come later, so nothing here relies on what the engine returns: the gate reads the ledgers.

use std::collections::{BTreeSet, HashSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use contract::id::LocationId;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};
use serde::{Deserialize, Serialize};

use super::observe::is_content_of;
use super::store::{Kind, Object, Store, StoreError};
use crate::progress::Gauge;

/// Objects waiting per location. Packs are shared between the queues, so this bounds memory, not copies.
const QUEUE_DEPTH: usize = 2;

/// Writers per location: one waits for the disk while the other hands over.
const WRITERS: usize = 2;

/// What happened at one location during a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Objects made durable.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The fault that ended its part in this run.
    pub failed: Option<String>,
    /// Reads that another location had to serve.
    pub bad_reads: Vec<String>,
}

/// An object on its way to a location.
type Parcel = (Object, Vec<Bytes>);

/// One location of a run.
struct Lane {
    location: LocationId,
    store: Arc<dyn Store>,
    ledger: Mutex<Ledger>,
    waiting: Mutex<u64>,
    drained: Condvar,
    queue: Mutex<Option<SyncSender<Parcel>>>,
    gauge: Arc<Gauge>,
}

impl Lane {
    fn usable(&self) -> bool {
        lock(&self.ledger).failed.is_none()
    }

    fn write(&self, object: &Object, content: &[Bytes]) {
        if !self.usable() {
            return;
        }
        let result = self.store.write(object, content);
        let mut ledger = lock(&self.ledger);
        match result {
            Ok(()) => {
                tracing::debug!(location = %self.location, kind = ?object.kind, "object is durable");
                self.gauge.step();
                ledger.objects += 1;
                ledger.bytes += content.iter().map(|part| part.len() as u64).sum::<u64>();
            }
            Err(error) => {
                tracing::warn!(event = "location_failed", location = %self.location, %error, "location fails; it is left out of the rest of this run");
                ledger.failed.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Hands an object to this location's writers; waits while their queue is full.
    fn enqueue(&self, object: Object, content: Vec<Bytes>) {
        let queue = lock(&self.queue).clone();
        if let (true, Some(queue)) = (self.usable(), queue) {
            *lock(&self.waiting) += 1;
            if queue.send((object, content)).is_err() {
                self.done();
                lock(&self.ledger)
                    .failed
                    .get_or_insert_with(|| "its writer ended".to_owned());
            }
        }
    }

    /// What is gone already is as good as removed.
    fn remove(&self, object: &Object) {
        if !self.usable() {
            return;
        }
        match self.store.remove(object) {
            Ok(()) | Err(StoreError::NotFound { .. }) => self.gauge.step(),
            Err(error) => {
                tracing::warn!(event = "location_failed", location = %self.location, %error, "location removes nothing; nothing more is removed anywhere");
                lock(&self.ledger)
                    .failed
                    .get_or_insert_with(|| error.to_string());
            }
        }
    }

    fn done(&self) {
        *lock(&self.waiting) -= 1;
        self.drained.notify_all();
    }

    fn drain(&self) {
        let mut waiting = lock(&self.waiting);
        while *waiting > 0 {
            waiting = self
                .drained
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A poisoned lock only means that a writer panicked; the counters inside stay true.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The backend of one run.
pub(super) struct Mirror {
    lanes: Vec<Arc<Lane>>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    /// Locations that must stay usable.
    commit: usize,
    held: Mutex<Vec<Parcel>>,
    /// Packs that the engine handed over.
    packs: Mutex<BTreeSet<String>>,
    /// When set, the engine reads this as the repository's configuration.
    config: Mutex<Option<Bytes>>,
    /// When set, only these packs are shown to the engine.
    visible: Mutex<Option<HashSet<String>>>,
    /// Packs that the engine has no use for; none where nothing may be removed.
    unneeded: Mutex<Option<BTreeSet<String>>>,
    /// Index files that were removed.
    removed: Mutex<Vec<Parcel>>,
}

impl Mirror {
    /// Starts the writers of each location.
    pub(super) fn start(
        stores: Vec<(LocationId, Arc<dyn Store>)>,
        commit: usize,
        gauge: &Arc<Gauge>,
    ) -> Arc<Self> {
        let mut writers = Vec::new();
        let lanes = stores
            .into_iter()
            .map(|(location, store)| {
                let (sender, receiver) = sync_channel::<Parcel>(QUEUE_DEPTH);
                let lane = Arc::new(Lane {
                    location,
                    store,
                    ledger: Mutex::default(),
                    waiting: Mutex::new(0),
                    drained: Condvar::new(),
                    queue: Mutex::new(Some(sender)),
                    gauge: Arc::clone(gauge),
                });
                let receiver = Arc::new(Mutex::new(receiver));
                for _ in 0..WRITERS {
                    let (lane, receiver) = (Arc::clone(&lane), Arc::clone(&receiver));
                    writers.push(std::thread::spawn(move || carry(&lane, &receiver)));
                }
                lane
            })
            .collect();
        Arc::new(Self {
            lanes,
            writers: Mutex::new(writers),
            commit,
            held: Mutex::default(),
            packs: Mutex::default(),
            config: Mutex::default(),
            visible: Mutex::default(),
            unneeded: Mutex::default(),
            removed: Mutex::default(),
        })
    }

    /// Ends the writers and returns each location's ledger.
    pub(super) fn finish(&self) -> Vec<(LocationId, Ledger)> {
        for lane in &self.lanes {
            lock(&lane.queue).take();
        }
        for writer in lock(&self.writers).drain(..) {
            // A writer that panicked has marked its location as failed.
            drop(writer.join());
        }
        self.lanes
            .iter()
            .map(|lane| (lane.location.clone(), lock(&lane.ledger).clone()))
            .collect()
    }

    /// Waits until everything handed over is durable or its location has failed. Fails when fewer than `commit` locations
    /// are left, because then no point of this run can count.
    pub(super) fn barrier(&self) -> Result<(), StoreError> {
        for lane in &self.lanes {
            lane.drain();
        }
        self.quorum()
    }

    fn quorum(&self) -> Result<(), StoreError> {
        let usable = self.usable();
        if usable >= self.commit.max(1) {
            return Ok(());
        }
        Err(StoreError::Failed {
            place: self.location(),
            object: "the mirror".to_owned(),
            why: format!("{usable} of {} locations are left", self.commit),
        })
    }

    /// Locations that hold everything written so far.
    pub(super) fn usable(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.usable()).count()
    }

    /// Why each failed location failed, for messages.
    pub(super) fn faults(&self) -> Vec<(LocationId, String)> {
        self.lanes
            .iter()
            .filter_map(|lane| {
                let why = lock(&lane.ledger).failed.clone()?;
                Some((lane.location.clone(), why))
            })
            .collect()
    }

    /// Shows the engine this configuration in place of the stored one.
    pub(super) fn show_config(&self, sealed: Bytes) {
        *lock(&self.config) = Some(sealed);
    }

    /// Packs of this run.
    pub(super) fn packs(&self) -> BTreeSet<String> {
        lock(&self.packs).clone()
    }

    /// Shows the engine only these packs: the others are in no index yet, and data inside them would be taken for stored.
    pub(super) fn show_only(&self, packs: HashSet<String>) {
        *lock(&self.visible) = Some(packs);
    }

    /// Lets the engine remove index files, and note packs that it has no use for.
    pub(super) fn let_remove(&self) {
        *lock(&self.unneeded) = Some(BTreeSet::new());
    }

    /// Packs that the engine wanted removed.
    pub(super) fn unneeded(&self) -> BTreeSet<String> {
        lock(&self.unneeded).clone().unwrap_or_default()
    }

    /// Writes the index files again that were removed: what they name is then known as before.
    pub(super) fn put_back(&self) {
        for (object, content) in lock(&self.removed).drain(..) {
            self.write_everywhere(&object, &content);
        }
    }

    /// Removes an object at every location. Before it begins, everything that was written is durable everywhere; where a location fails,
    /// nothing more is removed at any.
    pub(super) fn remove_everywhere(&self, object: &Object) -> Result<(), StoreError> {
        self.barrier()?;
        std::thread::scope(|scope| {
            for lane in &self.lanes {
                scope.spawn(|| lane.remove(object));
            }
        });
        self.quorum()
    }

    /// Lets the held snapshot pass to every location that holds everything before it, and says which have it now.
    /// The caller has already judged source and engine.
    pub(super) fn release(&self) -> Result<Vec<LocationId>, StoreError> {
        self.barrier()?;
        for (object, content) in lock(&self.held).drain(..) {
            self.write_everywhere(&object, &content);
        }
        Ok(self
            .lanes
            .iter()
            .filter(|lane| lane.usable())
            .map(|lane| lane.location.clone())
            .collect())
    }

    /// Forgets the held snapshot: it never becomes visible anywhere.
    pub(super) fn discard(&self) {
        lock(&self.held).clear();
    }

    /// Writes to every usable location at once and waits; a location that fails is left out from then on.
    pub(super) fn write_everywhere(&self, object: &Object, content: &[Bytes]) {
        std::thread::scope(|scope| {
            for lane in &self.lanes {
                scope.spawn(|| lane.write(object, content));
            }
        });
    }

    /// Asks the locations one after the other until one serves.
    fn first<T>(&self, ask: impl Fn(&Lane) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut last = StoreError::Unreachable {
            place: self.location(),
            why: "no location is left".to_owned(),
        };
        for lane in self.lanes.iter().filter(|lane| lane.usable()) {
            match ask(lane) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    lock(&lane.ledger).bad_reads.push(error.to_string());
                    last = error;
                }
            }
        }
        Err(last)
    }
}

fn carry(lane: &Lane, receiver: &Mutex<Receiver<Parcel>>) {
    loop {
        let next = lock(receiver).recv();
        let Ok((object, content)) = next else { return };
        let _done = Done(lane);
        lane.write(&object, &content);
    }
}

/// Counts an object as done even when its writer panics, so that no barrier waits for ever; such a location has failed.
struct Done<'lane>(&'lane Lane);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.ledger)
                .failed
                .get_or_insert_with(|| "its writer panicked".to_owned());
        }
        self.0.done();
    }
}

pub(super) fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::Config => Kind::Config,
        FileType::Index => Kind::Index,
        FileType::Key => Kind::Key,
        FileType::Snapshot => Kind::Snapshot,
        FileType::Pack => Kind::Pack,
    }
}

pub(super) fn object_of(kind: FileType, id: &Id) -> Object {
    let name = if kind == FileType::Config {
        String::new()
    } else {
        id.to_hex().to_string()
    };
    Object {
        kind: kind_of(kind),
        name,
    }
}

pub(super) fn backend_error(error: StoreError) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "storage failed", error)
}

/// Turns a listing into the engine's form. Sizes above 4 GiB cannot be objects of this format.
pub(super) fn listed(
    found: std::collections::BTreeMap<String, u64>,
) -> RusticResult<Vec<(Id, u32)>> {
    found
        .into_iter()
        .map(|(name, size)| {
            let id = if name.is_empty() {
                Id::default()
            } else {
                name.parse()?
            };
            let size = u32::try_from(size).map_err(|error| {
                RusticError::with_source(ErrorKind::Backend, "an object is too large", error)
            })?;
            Ok((id, size))
        })
        .collect()
}

impl ReadBackend for Mirror {
    fn location(&self) -> String {
        let places: Vec<_> = self.lanes.iter().map(|lane| lane.store.place()).collect();
        places.join(" + ")
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let mut found = self
            .first(|lane| lane.store.list(kind_of(kind)))
            .map_err(backend_error)?;
        if let (FileType::Pack, Some(visible)) = (kind, lock(&self.visible).as_ref()) {
            found.retain(|name, _| visible.contains(name));
        }
        listed(found)
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        if let (FileType::Config, Some(shown)) = (kind, lock(&self.config).as_ref()) {
            return Ok(shown.clone());
        }
        let object = object_of(kind, id);
        self.first(|lane| {
            let content = lane.store.read(&object)?;
            if is_content_of(&object, &content) {
                return Ok(content);
            }
            Err(StoreError::Damaged {
                place: lane.store.place(),
                object: object.path(),
            })
        })
        .map_err(backend_error)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let object = object_of(kind, id);
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        self.first(|lane| lane.store.read_range(&object, range.clone()))
            .map_err(backend_error)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        object_of(kind, id).path()
    }
}

impl WriteBackend for Mirror {
    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let object = object_of(kind, id);
        let content = content.into_vec();
        match object.kind {
            Kind::Snapshot => {
                lock(&self.held).push((object, content));
                return Ok(());
            }
            Kind::Pack => {
                lock(&self.packs).insert(object.name.clone());
                for lane in &self.lanes {
                    lane.enqueue(object.clone(), content.clone());
                }
            }
            Kind::Index | Kind::Key | Kind::Config | Kind::Lock => {
                self.barrier().map_err(backend_error)?;
                self.write_everywhere(&object, &content);
            }
        }
        self.quorum().map_err(backend_error)
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        let object = object_of(kind, id);
        match (object.kind, lock(&self.unneeded).as_mut()) {
            (Kind::Index, Some(_)) => {}
            (Kind::Pack, Some(unneeded)) => {
                unneeded.insert(object.name);
                return Ok(());
            }
            (Kind::Key | Kind::Config | Kind::Snapshot | Kind::Lock, _)
            | (Kind::Index | Kind::Pack, None) => return Err(removes_nothing(&object)),
        }
        let content = self.read_full(kind, id)?;
        lock(&self.removed).push((object.clone(), vec![content]));
        self.remove_everywhere(&object).map_err(backend_error)
    }
}

fn removes_nothing(object: &Object) -> Box<RusticError> {
    RusticError::new(
        ErrorKind::Unsupported,
        "this backend does not remove `{object}`",
    )
    .attach_context("object", object.path())
}
