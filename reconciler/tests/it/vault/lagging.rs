//! Locations that fall behind: they get no snapshot with holes, and catching up moves only the difference.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reconciler::world::vault::{LocationState, Place, VaultError};

use super::flaky::{Fuse, Order, Slow};
use super::world::{World, name};

fn source(world: &World, round: u64) {
    for file in 0..4 {
        world.file(&format!("r{round}/f{file}"), round * 10 + file, 3 << 20);
    }
}

#[test]
fn a_location_that_fails_in_the_run_lags_and_gets_no_snapshot() {
    let mut world = World::new(3);
    source(&world, 1);
    world.backup(3).unwrap();
    source(&world, 2);
    // Its lock file is one write, so the fault strikes among the packs.
    let fuse = Fuse::after(1);
    world.make_flaky("b", &fuse, false);
    let before = world.objects("b", "snapshots");
    let index_before = world.objects("b", "index");
    let outcome = world.backup(2).unwrap();
    assert!(fuse.is_blown());
    assert_eq!(
        outcome.committed,
        [world.locations[0].clone(), world.locations[2].clone()]
    );
    let b = &outcome.locations[1];
    assert!(matches!(b.state, LocationState::Lagging { .. }), "{b:?}");
    assert!(b.ledger.failed.as_ref().unwrap().contains("injected fault"));
    assert_eq!(world.objects("b", "snapshots"), before);
    assert_eq!(world.objects("b", "index"), index_before);
    world.restic_ok("b", &["check", "--read-data"]);

    world.reopen();
    let LocationState::Lagging { missing, bytes, .. } = world.state("b") else {
        panic!("{:?}", world.state("b"));
    };
    let size = world.size("b");
    let caught = world.vault.catch_up().unwrap();
    assert_eq!(caught.locations.len(), 1);
    assert_eq!(
        (caught.locations[0].objects, caught.locations[0].bytes),
        (missing, bytes)
    );
    assert_eq!(caught.locations[0].after, LocationState::InSync);
    assert_eq!(world.size("b") - size, bytes);
    world.assert_identical();
    world.restic_ok("b", &["check", "--read-data"]);
    let again = world.vault.catch_up().unwrap();
    assert!(again.locations.is_empty(), "nothing is left to do");
}

/// The fault passes at once. What the location missed it misses, however well it is again.
#[test]
fn a_location_that_stumbled_once_gets_nothing_more_in_that_run() {
    let mut world = World::new(3);
    source(&world, 1);
    world.backup(3).unwrap();
    source(&world, 2);
    // Its lock file is one write, so the fault strikes a pack.
    world.make_flaky("b", &Fuse::once_after(1), false);
    let seen = |world: &World| ["snapshots", "index"].map(|kind| world.objects("b", kind));
    let before = seen(&world);
    let outcome = world.backup(2).unwrap();
    assert_eq!(
        outcome.committed,
        [world.locations[0].clone(), world.locations[2].clone()]
    );
    let failed = outcome.locations[1].ledger.failed.clone().unwrap();
    assert!(failed.contains("injected fault"), "{failed}");
    assert_eq!(seen(&world), before);
    world.restic_ok("b", &["check", "--read-data"]);
    world.vault.catch_up().unwrap();
    world.assert_identical();
}

#[test]
fn no_index_arrives_before_the_packs_that_it_names() {
    let mut world = World::new(2);
    source(&world, 1);
    let order = Arc::new(Order::default());
    let slow = Slow {
        inner: Place::folder(world.path("b")).store(&name().to_string()),
        order: Arc::clone(&order),
    };
    world
        .vault
        .set_store(world.locations[1].clone(), Arc::new(slow));
    world.backup(2).unwrap();
    assert!(order.packs.load(Ordering::SeqCst) > 0);
    assert!(!order.index_came_early.load(Ordering::SeqCst));
}

#[test]
fn a_location_dark_for_three_rounds_comes_back_without_holes() {
    let mut world = World::new(3);
    source(&world, 1);
    world.backup(2).unwrap();
    fs::rename(world.path("c"), world.path("c-away")).unwrap();
    let mut moved = 0;
    for round in 2..5 {
        source(&world, round);
        let size = world.size("a");
        let outcome = world.backup(2).unwrap();
        moved += world.size("a") - size;
        assert_eq!(outcome.committed.len(), 2);
        assert!(matches!(world.state("c"), LocationState::Unknown { .. }));
        assert!(
            !world.path("c").exists(),
            "a missing location is never created"
        );
    }
    fs::rename(world.path("c-away"), world.path("c")).unwrap();
    assert!(matches!(world.state("c"), LocationState::Lagging { .. }));
    // A run before the catch-up leaves it out: deduplicating against the others would give it a snapshot with holes.
    source(&world, 5);
    let size = world.size("a");
    let outcome = world.backup(2).unwrap();
    moved += world.size("a") - size;
    assert_eq!(outcome.committed.len(), 2);
    assert_eq!(world.objects("c", "snapshots").len(), 1);
    let caught = world.vault.catch_up().unwrap();
    assert_eq!(caught.locations[0].bytes, moved, "exactly the difference");
    world.assert_identical();
    world.restic_ok("c", &["check", "--read-data"]);
    assert_eq!(world.vault.all_snapshots().unwrap().points.len(), 5);
}

#[test]
fn a_catch_up_that_stops_half_way_shows_no_snapshot_and_goes_on_later() {
    let mut world = World::new(2);
    source(&world, 1);
    fs::rename(world.path("b"), world.path("b-away")).unwrap();
    world.backup(1).unwrap();
    fs::rename(world.path("b-away"), world.path("b")).unwrap();
    let all = world.objects("a", "").len() as u64;
    for writes in 1..all {
        let fuse = Fuse::after(2);
        world.make_flaky("b", &fuse, false);
        let caught = world.vault.catch_up().unwrap();
        assert!(fuse.is_blown());
        if writes < all - 1 {
            assert!(
                world.objects("b", "snapshots").is_empty(),
                "after {writes} writes"
            );
            assert!(caught.locations[0].stopped.is_some());
            assert_eq!(
                caught.locations[0].objects, 1,
                "the other write is its lock"
            );
        }
    }
    world.reopen();
    world.vault.catch_up().unwrap();
    world.assert_identical();
    world.restic_ok("b", &["check", "--read-data"]);
}

#[test]
fn a_new_disk_is_filled_by_catching_up() {
    let mut world = World::new(2);
    source(&world, 1);
    world.backup(2).unwrap();
    fs::remove_dir_all(world.path("b")).unwrap();
    fs::create_dir(world.path("b")).unwrap();
    assert!(matches!(world.state("b"), LocationState::Lagging { .. }));
    world.vault.catch_up().unwrap();
    assert_eq!(world.state("b"), LocationState::InSync);
    world.assert_identical();
}

/// A tmpfs of a few megabytes: a disk that really is full.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf) -> Self {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(status.success(), "these tests run as root");
        Self(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_lags_and_says_so() {
    let mut world = World::new(2);
    let _disk = SmallDisk::mount(world.path("b"));
    source(&world, 1);
    let outcome = world.backup(1).unwrap();
    assert_eq!(outcome.committed.len(), 1);
    let failed = outcome.locations[1].ledger.failed.clone().unwrap();
    assert!(failed.ends_with("is full"), "{failed}");
    assert!(world.objects("b", "snapshots").is_empty());
    let caught = world.vault.catch_up().unwrap();
    assert!(
        caught.locations[0]
            .stopped
            .as_ref()
            .unwrap()
            .ends_with("is full")
    );
    assert!(world.objects("b", "snapshots").is_empty());
    let error = world.backup(2).unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::QuorumNotMet {
                usable: 1,
                wanted: 2,
                ..
            }
        ),
        "{error}"
    );
}
