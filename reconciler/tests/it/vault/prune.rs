//! Removing recovery points from three locations: what is named goes, everything else stays whole, at every location alike, and stock
//! restic agrees. What becomes of a prune that fails is in `faults`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reconciler::world::vault::{Kind, Object, PruneRequest, Store, StoreError, VaultError};

use super::locks::Busy;
use super::world::{World, helper, name, noise};

fn request<'id>(snapshots: impl IntoIterator<Item = &'id String>) -> PruneRequest {
    PruneRequest {
        snapshots: snapshots.into_iter().cloned().collect(),
        grace: Duration::ZERO,
    }
}

/// Some recovery points, each with a file of its own and one that all share.
fn points(world: &mut World, count: u64) -> Vec<String> {
    world.file("shared", 99, 1 << 20);
    let mut points = Vec::new();
    for seed in 0..count {
        world.file("own", seed, 3 << 20);
        world.file(&format!("kept{seed}"), 1000 + seed, 1 << 18);
        points.push(world.backup(3).unwrap().snapshot_id);
    }
    points
}

/// Stock restic reads every byte of every location, and each point that stays comes back as it was.
fn whole(world: &World, points: &[(u64, &String)]) {
    for location in world.locations.clone() {
        let location = location.as_str();
        let said = world.restic_ok(location, &["check", "--read-data", "--no-lock"]);
        assert!(said.contains("no errors were found"), "{said}");
    }
    for (seed, snapshot) in points {
        let mut restore = world.restore_request(snapshot);
        let target = world.path(&format!("back-{snapshot}"));
        restore.target.clone_from(&target);
        world.vault.restore(&restore, &helper()).unwrap();
        assert!(fs::read(target.join("own")).unwrap() == noise(*seed, 3 << 20));
        fs::remove_dir_all(&target).unwrap();
    }
}

fn numbered(points: &[String]) -> Vec<(u64, &String)> {
    (0..).zip(points).collect()
}

#[test]
fn what_retention_lets_go_goes_everywhere_and_the_rest_stays_whole() {
    let mut world = World::new(3);
    let points = points(&mut world, 6);
    let before = world.size("a");
    let first = world.vault.prune(&request(&points[..4])).unwrap();
    // The packs are only marked: their room is freed when the grace is over.
    assert_eq!((first.packs, first.bytes), (0, 0), "{first:?}");
    assert!(first.marked >= 4, "{first:?}");
    world.assert_identical();
    let left = numbered(&points)[4..].to_vec();
    whole(&world, &left);
    let second = world.vault.prune(&request(&[])).unwrap();
    assert!(second.packs >= 4 && second.bytes > 9 << 20, "{second:?}");
    world.assert_identical();
    whole(&world, &left);
    assert!(
        world.size("a") < before / 2,
        "{} of {before}",
        world.size("a")
    );
    // One index, whatever the number of runs was.
    assert_eq!(world.objects("a", "index").len(), 1);
    // Another run stores again what it needs, and finds the shared part there.
    world.file("own", 2, 3 << 20);
    let again = world.backup(3).unwrap().snapshot_id;
    whole(&world, &[left[0], left[1], (2, &again)]);
    // What is removed already may be asked for again.
    assert_eq!(world.vault.prune(&request(&points[..4])).unwrap().packs, 0);
}

#[test]
fn packs_stay_marked_for_the_grace() {
    let mut world = World::new(3);
    let points = points(&mut world, 3);
    let request = PruneRequest {
        grace: Duration::from_hours(24),
        ..request(&points[..2])
    };
    assert!(world.vault.prune(&request).unwrap().marked > 0);
    let again = world.vault.prune(&request).unwrap();
    assert_eq!(again.packs, 0);
    assert!(again.marked > 0);
    whole(&world, &numbered(&points)[2..]);
}

/// What a dying location, or a person, may have left is no reason to delete.
#[test]
fn nothing_goes_while_a_location_is_not_known_to_hold_everything() {
    let refused = |world: &World, points: &[String]| {
        let held = world.objects("a", "snapshots");
        let why = world.vault.prune(&request(&points[..1])).unwrap_err();
        assert!(
            matches!(
                why,
                VaultError::NotDeleted { .. } | VaultError::Locked { .. }
            ),
            "{why:?}"
        );
        assert_eq!(world.objects("a", "snapshots"), held);
        why.to_string()
    };
    // One is not there.
    let mut world = World::new(3);
    let points = points(&mut world, 3);
    fs::rename(world.path("c"), world.path("away")).unwrap();
    refused(&world, &points);
    fs::rename(world.path("away"), world.path("c")).unwrap();
    // One lacks a snapshot, or a pack.
    for kind in ["snapshots", "data"] {
        let lost = world.objects("b", kind).into_iter().next().unwrap();
        let content = fs::read(&lost).unwrap();
        fs::remove_file(&lost).unwrap();
        refused(&world, &points);
        fs::write(&lost, content).unwrap();
    }
    // One holds damage that is known.
    let pack = world.objects("b", "data").into_iter().next().unwrap();
    let path = pack.strip_prefix(world.repository("b")).unwrap();
    let path = path.display().to_string();
    world
        .vault
        .distrust(&[("b".parse().unwrap(), BTreeSet::from([path]))].into());
    refused(&world, &points);
    world.reopen();
    // Somebody works there.
    let lock = Busy::backup(&world, "b");
    refused(&world, &points);
    drop(lock);
    // All of them would go.
    let why = world
        .vault
        .prune(&request(&points))
        .unwrap_err()
        .to_string();
    assert!(why.contains("no recovery point would be left"), "{why}");
    whole(&world, &numbered(&points));
    assert_eq!(world.vault.prune(&request(&points[..1])).unwrap().packs, 0);
}

/// A snapshot that is in no request keeps what it needs, whoever made it.
#[test]
fn a_snapshot_that_nobody_named_keeps_its_data() {
    let mut world = World::new(3);
    let points = points(&mut world, 3);
    // As if the catalog had never heard of the second one.
    world
        .vault
        .prune(&request([&points[0], &points[2]]))
        .unwrap();
    world.vault.prune(&request(&[])).unwrap();
    whole(&world, &[(1, &points[1])]);
}

/// A point that cannot be read to its end may need anything.
#[test]
fn nothing_goes_while_another_point_cannot_be_read() {
    let mut world = World::new(3);
    let points = points(&mut world, 2);
    let before = world.objects("a", "data");
    world.file("own", 7, 3 << 20);
    world.backup(3).unwrap();
    // The packs of its trees are gone everywhere, as after `rm` by a person.
    let new = world.objects("a", "data");
    let new = new.difference(&before);
    let smallest = new.min_by_key(|pack| fs::metadata(pack).unwrap().len());
    let smallest = smallest.unwrap().strip_prefix(world.repository("a"));
    let smallest = smallest.unwrap().to_owned();
    for location in ["a", "b", "c"] {
        fs::remove_file(world.repository(location).join(&smallest)).unwrap();
    }
    let held = world.objects("a", "snapshots");
    world.vault.prune(&request(&points[..1])).unwrap_err();
    assert_eq!(world.objects("a", "snapshots"), held);
}

/// A location whose lists of snapshots are a moment old, as those of some stores are: they lack one.
struct Behind {
    inner: Arc<dyn Store>,
    lacks: String,
    lists: AtomicU64,
}

impl Store for Behind {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut found = self.inner.list(kind)?;
        let take = |left: u64| left.checked_sub(1);
        if kind == Kind::Snapshot
            && self
                .lists
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            found.remove(&self.lacks);
        }
        Ok(found)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.inner.read(object)
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.read_range(object, range)
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        self.inner.write(object, content)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.inner.remove(object)
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.inner.remove_unfinished()
    }
}

/// A point that shows only after everything was planned, such as one that an older copy of a location brought back, still has its packs:
/// they are read once more before any goes.
#[test]
fn no_pack_goes_that_a_point_needs_which_showed_late() {
    let mut world = World::new(3);
    let points = points(&mut world, 3);
    let file = |location: &str| {
        world
            .repository(location)
            .join("snapshots")
            .join(&points[0])
    };
    let content = fs::read(file("a")).unwrap();
    let request = request(&points[..1]);
    world.vault.prune(&request).unwrap();
    for location in ["a", "b", "c"] {
        fs::write(file(location), &content).unwrap();
    }
    // Two looks before, and the engine's own at the first location.
    for (location, lists) in [("a", 3), ("b", 2), ("c", 2)] {
        let id = location.parse().unwrap();
        let behind = Behind {
            inner: world.places()[&id].store(&name().to_string()),
            lacks: points[0].clone(),
            lists: AtomicU64::new(lists),
        };
        world.vault.set_store(id, Arc::new(behind));
    }
    let packs = world.objects("a", "data");
    let none = PruneRequest {
        snapshots: BTreeSet::new(),
        ..request
    };
    let why = world.vault.prune(&none).unwrap_err().to_string();
    assert!(why.contains("would not be whole"), "{why}");
    assert_eq!(world.objects("a", "data"), packs);
    // The next one sees it, and takes its packs back.
    world.reopen();
    world.vault.prune(&none).unwrap();
    let all = numbered(&points);
    whole(&world, &all);
}
