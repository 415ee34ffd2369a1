//! One fault at each write of a backup to three locations, in turn: at a folder and in a bucket. Afterwards stock restic finds every point
//! that was committed whole at every location that counts as in sync, and one run of catching up makes all of them alike.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contract::id::LocationId;
use reconciler::world::vault::{
    Kind, LocationBucket, LocationState, Object, Place, Portion, PruneRequest, Store, StoreError,
};

use super::world::{World, helper, name};
use crate::bucket_server::BucketServer;

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It fails, and nothing is there.
    Fails,
    /// There is no room.
    Full,
    /// It takes its time.
    Late,
    /// It arrives twice.
    Twice,
    /// It is confirmed, and the end is missing.
    Short,
    /// It is confirmed, and one bit is another one.
    Flipped,
    /// It and everything after it, at every location, does not happen: a crash.
    Crash,
}

/// What all locations of a run share.
#[derive(Default)]
struct Switch {
    dead: AtomicBool,
    struck: AtomicBool,
}

struct Faulty {
    inner: Arc<dyn Store>,
    switch: Arc<Switch>,
    /// Writes before the one that is struck; none is where absent.
    left: Option<AtomicU64>,
    fault: Fault,
}

impl Faulty {
    fn alive(&self) -> Result<(), StoreError> {
        if self.switch.dead.load(Ordering::SeqCst) {
            return Err(self.failed());
        }
        Ok(())
    }

    fn failed(&self) -> StoreError {
        StoreError::Failed {
            place: self.inner.place(),
            object: "an object".to_owned(),
            why: "injected fault".to_owned(),
        }
    }

    /// Whether this write is the one.
    fn strikes(&self) -> bool {
        let Some(left) = &self.left else { return false };
        let strikes = left.fetch_sub(1, Ordering::SeqCst) == 0;
        if strikes {
            self.switch.struck.store(true, Ordering::SeqCst);
        }
        strikes
    }
}

impl Store for Faulty {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        self.alive()?;
        self.inner.list(kind)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.alive()?;
        self.inner.read(object)
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.alive()?;
        self.inner.read_range(object, range)
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        self.alive()?;
        if !self.strikes() {
            return self.inner.write(object, content);
        }
        let mut whole = content.concat();
        match self.fault {
            Fault::Fails => Err(self.failed()),
            Fault::Full => Err(StoreError::Full {
                place: self.inner.place(),
            }),
            Fault::Crash => {
                self.switch.dead.store(true, Ordering::SeqCst);
                Err(self.failed())
            }
            Fault::Late => {
                std::thread::sleep(Duration::from_millis(300));
                self.inner.write(object, content)
            }
            Fault::Twice => {
                self.inner.write(object, content)?;
                self.inner.write(object, content)
            }
            Fault::Short => {
                whole.truncate(whole.len() / 2);
                self.inner.write(object, &[whole.into()])
            }
            Fault::Flipped => {
                let middle = whole.len() / 2;
                whole[middle] ^= 1;
                self.inner.write(object, &[whole.into()])
            }
        }
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.alive()?;
        if object.kind == Kind::Lock || !self.strikes() {
            return self.inner.remove(object);
        }
        match self.fault {
            Fault::Fails | Fault::Full | Fault::Short | Fault::Flipped => Err(self.failed()),
            Fault::Crash => {
                self.switch.dead.store(true, Ordering::SeqCst);
                Err(self.failed())
            }
            Fault::Late => {
                std::thread::sleep(Duration::from_millis(300));
                self.inner.remove(object)
            }
            Fault::Twice => {
                self.inner.remove(object)?;
                self.inner.remove(object)
            }
        }
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.alive()?;
        self.inner.remove_unfinished()
    }
}

/// Puts faulty storage before every location; the fault is at `c`.
fn break_at(world: &mut World, writes: u64, fault: Fault) -> Arc<Switch> {
    let switch = Arc::<Switch>::default();
    for (id, place) in world.places() {
        let faulty = Faulty {
            inner: place.store(&name().to_string()),
            switch: Arc::clone(&switch),
            left: (id.as_str() == "c").then(|| AtomicU64::new(writes)),
            fault,
        };
        world.vault.set_store(id, Arc::new(faulty));
    }
    switch
}

/// Names and sizes of what lasts at a location.
fn held(world: &World, location: &str) -> BTreeSet<(String, u64)> {
    let id: LocationId = location.parse().unwrap();
    let store = world.places()[&id].store(&name().to_string());
    let kinds = [
        Kind::Pack,
        Kind::Index,
        Kind::Key,
        Kind::Config,
        Kind::Snapshot,
    ];
    let listed = kinds.into_iter().flat_map(|kind| {
        let all = store.list(kind).unwrap().into_iter();
        all.map(move |(name, size)| (Object { kind, name }.path(), size))
    });
    listed.collect()
}

/// The recovery points that a location shows.
fn points(world: &World, location: &str) -> BTreeSet<String> {
    let id: LocationId = location.parse().unwrap();
    let list = world.vault.snapshots(&id).unwrap();
    list.snapshots
        .into_iter()
        .map(|info| info.snapshot_id)
        .collect()
}

/// Strikes each write of a run in turn. Gives how many there were.
fn strike_each(world: &mut World, restic: &dyn Fn(&World), fault: Fault) -> u64 {
    let c: LocationId = "c".parse().unwrap();
    world.file("base", 1, 1 << 20);
    let mut committed = BTreeSet::from([world.backup(3).unwrap().snapshot_id]);
    for writes in 0.. {
        world.file(&format!("more{writes}"), writes + 2, 1 << 20);
        let switch = break_at(world, writes, fault);
        let result = world.backup(2);
        let case = format!("{fault:?} at write {writes}: {:?}", result.as_ref().err());
        if let Ok(outcome) = &result {
            committed.insert(outcome.snapshot_id.clone());
        }
        if !switch.struck.load(Ordering::SeqCst) {
            assert!(result.is_ok(), "{case}");
            return writes;
        }
        // Only a crash leaves fewer than two locations.
        assert!(result.is_ok() || fault == Fault::Crash, "{case}");
        world.reopen();
        // What was confirmed and is not there shows when it is read; its lock file is nobody's.
        let silent = matches!(fault, Fault::Short | Fault::Flipped);
        if silent && writes > 0 {
            let checked = world.vault.check(&c, Portion::All, &helper()).unwrap();
            assert!(!checked.is_sound(), "{case}");
            let damaged = checked.damaged.into_keys().collect();
            world
                .vault
                .distrust(&BTreeMap::from([(c.clone(), damaged)]));
        }
        if world.state("c") == LocationState::InSync {
            restic(world);
            assert!(points(world, "c").is_superset(&committed), "{case}");
        }
        world.vault.catch_up().unwrap();
        world.reopen();
        assert_eq!(world.state("c"), LocationState::InSync, "{case}");
        assert_eq!(held(world, "c"), held(world, "a"), "{case}");
        assert!(points(world, "c").is_superset(&committed), "{case}");
        restic(world);
    }
    0
}

/// At least its lock, a pack of data, one of trees, an index and a snapshot.
const WRITES: u64 = 5;

/// Strikes each write and each removal of a prune in turn. Gives how many there were.
fn strike_each_of_prune(world: &mut World, restic: &dyn Fn(&World), fault: Fault) -> u64 {
    let c: LocationId = "c".parse().unwrap();
    world.file("base", 1, 1 << 20);
    let mut kept: Vec<String> = Vec::new();
    for calls in 0.. {
        for more in 0..2 {
            world.file("own", 1_000 + 2 * calls + more, 1 << 20);
            kept.push(world.backup(3).unwrap().snapshot_id);
        }
        let going = kept.drain(..kept.len() - 2).collect();
        let request = PruneRequest {
            snapshots: going,
            grace: Duration::ZERO,
        };
        let committed: BTreeSet<String> = kept.iter().cloned().collect();
        let switch = break_at(world, calls, fault);
        let result = world.vault.prune(&request);
        let case = format!("{fault:?} at call {calls}: {:?}", result.as_ref().err());
        let struck = switch.struck.load(Ordering::SeqCst);
        let harmless = matches!(fault, Fault::Late | Fault::Twice);
        assert!(result.is_ok() || struck && !harmless, "{case}");
        world.reopen();
        let checked = world.vault.check(&c, Portion::All, &helper()).unwrap();
        let silent = matches!(fault, Fault::Short | Fault::Flipped);
        assert!(
            checked.is_sound() || silent,
            "{case}: {:?}",
            checked.damage()
        );
        let damaged = checked.damaged.into_keys().collect();
        world
            .vault
            .distrust(&BTreeMap::from([(c.clone(), damaged)]));
        world.vault.catch_up().unwrap();
        world.reopen();
        for location in ["a", "b", "c"] {
            assert_eq!(world.state(location), LocationState::InSync, "{case}");
            assert!(points(world, location).is_superset(&committed), "{case}");
        }
        assert_eq!(held(world, "c"), held(world, "a"), "{case}");
        restic(world);
        // Whatever was left is done by the next one.
        world.vault.prune(&request).unwrap();
        assert_eq!(points(world, "c"), committed, "{case}");
        assert_eq!(held(world, "c"), held(world, "a"), "{case}");
        restic(world);
        if !struck {
            return calls;
        }
    }
    0
}

/// At least its lock, a snapshot, an index, an old index, and a pack.
const CALLS: u64 = 5;

/// What the location is at which the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    Folder,
    Bucket,
}

impl Site {
    /// A world with its third location there, and stock restic's check of that.
    fn world(self) -> (World, Box<dyn Fn(&World)>) {
        let mut world = World::new(3);
        if self == Self::Folder {
            let check =
                |world: &World| drop(world.restic_ok("c", &["check", "--read-data", "--no-lock"]));
            return (world, Box::new(check));
        }
        let server = BucketServer::start(&world.path("server"), None);
        let place = Place::Bucket(Box::new(LocationBucket {
            binding: server.binding(&world.path("")),
            handed: None,
            mark: None,
            patience: Duration::from_secs(10),
            bandwidth: None,
        }));
        world.elsewhere("c", place);
        let check = move |world: &World| server.check(&name().to_string(), &world.path("key"));
        (world, Box::new(check))
    }

    fn assert_alike(self, world: &World) {
        match self {
            Self::Folder => world.assert_identical(),
            Self::Bucket => assert_eq!(held(world, "a"), held(world, "c")),
        }
    }
}

#[rstest::rstest]
fn a_fault_at_any_write_costs_no_point(
    #[values(Site::Folder, Site::Bucket)] site: Site,
    #[values(
        Fault::Fails,
        Fault::Full,
        Fault::Late,
        Fault::Twice,
        Fault::Short,
        Fault::Flipped,
        Fault::Crash
    )]
    fault: Fault,
) {
    let (mut world, restic) = site.world();
    let writes = strike_each(&mut world, &restic, fault);
    assert!(writes >= WRITES, "{writes}");
    site.assert_alike(&world);
}

#[rstest::rstest]
fn a_fault_at_any_call_of_a_prune_costs_no_point(
    #[values(
        Fault::Fails,
        Fault::Full,
        Fault::Late,
        Fault::Twice,
        Fault::Short,
        Fault::Flipped,
        Fault::Crash
    )]
    fault: Fault,
) {
    prune_with(Site::Folder, fault);
}

/// What differs in a bucket is what a call leaves.
#[rstest::rstest]
fn a_fault_at_any_call_of_a_prune_in_a_bucket_costs_no_point(
    #[values(Fault::Fails, Fault::Short, Fault::Crash)] fault: Fault,
) {
    prune_with(Site::Bucket, fault);
}

fn prune_with(site: Site, fault: Fault) {
    let (mut world, restic) = site.world();
    let calls = strike_each_of_prune(&mut world, &restic, fault);
    assert!(calls >= CALLS, "{calls}");
    site.assert_alike(&world);
}
