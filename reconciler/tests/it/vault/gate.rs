//! The gate: a run that is not whole leaves nothing that anyone could take for a recovery point.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use reconciler::world::vault::{Expect, Place, Source, VaultError};

use super::flaky::Fuse;
use super::world::{World, assert_same, name};

impl World {
    fn assert_no_snapshots(&self, but: usize) {
        for location in &self.locations {
            assert_eq!(
                self.objects(location.as_str(), "snapshots").len(),
                but,
                "{location}"
            );
        }
    }
}

/// A folder of the kernel's: its files say that they hold a page and hold less, so each of them shrinks while it is read.
fn shrinking_folder() -> &'static Path {
    let folder = Path::new("/sys/kernel/mm/transparent_hugepage");
    assert!(folder.join("enabled").is_file());
    folder
}

#[test]
fn a_source_that_cannot_be_read_whole_leaves_no_snapshot() {
    let mut world = World::new(2);
    world.file("good", 1, 1000);
    world.backup(2).unwrap();
    let closed = world.path("closed");
    for (folder, mode) in [(world.path(""), 0o755), (closed.clone(), 0o755)] {
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(closed.join("secret"), "of root").unwrap();
    let alone = fs::Permissions::from_mode(0o600);
    fs::set_permissions(closed.join("secret"), alone).unwrap();
    let mut request = world.request(2);
    request.sources.push(Source {
        run_as: Some("nobody".to_owned()),
        ..source("ds_closed", &closed)
    });
    let error = world.vault.backup(&request, |_| Ok(())).unwrap_err();
    let VaultError::SourceIncomplete { count: 1, first } = &error else {
        panic!("{error}");
    };
    assert!(first.contains("secret"), "{error}");
    assert_eq!(error.code().to_string(), "SW1411");
    world.assert_no_snapshots(1);
    for location in ["a", "b"] {
        world.restic_ok(location, &["check", "--read-data"]);
    }
    world.backup(2).unwrap();
    world.assert_identical();
}

/// Logs are emptied whenever it suits their owner. restic itself finds the content that the sizes promise.
#[test]
fn a_file_that_shrinks_while_it_is_read_costs_no_point() {
    let mut world = World::new(2);
    world.file("good", 1, 1000);
    let mut request = world.request(2);
    request
        .sources
        .push(source("ds_kernel", shrinking_folder()));
    let outcome = world.vault.backup(&request, |_| Ok(())).unwrap();
    assert_eq!(outcome.source.problems, 0, "{:?}", outcome.source);
    assert!(outcome.source.shrank.count > 0, "{:?}", outcome.source);
    let notes = outcome.source.notes();
    assert!(
        notes.iter().any(|note| note.contains("shrank")),
        "{notes:?}"
    );
    world.assert_no_snapshots(1);
    let out = world.path("out");
    let target = out.to_str().unwrap();
    world.restic_ok("b", &["restore", "latest", "--verify", "--target", target]);
    let live = fs::read(shrinking_folder().join("enabled")).unwrap();
    let stored = fs::read(out.join("ds_kernel/enabled")).unwrap();
    let (content, rest) = stored.split_at(live.len());
    assert_eq!(content, live);
    assert!(!rest.is_empty() && rest.iter().all(|byte| *byte == 0));
    assert_same(&world.path("src"), &out.join("ds_files"));
}

fn source(dataset: &str, folder: &Path) -> Source {
    Source {
        dataset: dataset.parse().unwrap(),
        folder: folder.to_owned(),
        exclude: vec![],
        identity: None,
        fresh: false,
        run_as: None,
    }
}

#[test]
fn a_verdict_of_the_caller_closes_the_gate() {
    let mut world = World::new(2);
    world.file("dump", 1, 5 << 20);
    let request = world.request(2);
    let mut asked = 0;
    let error = world
        .vault
        .backup(&request, |count| {
            asked += 1;
            assert_eq!(
                count.bytes_read,
                5 << 20,
                "the whole source was read before"
            );
            Err("the dump was killed".to_owned())
        })
        .unwrap_err();
    assert_eq!(asked, 1);
    assert_eq!(
        error.to_string(),
        "the source is not good: the dump was killed"
    );
    world.assert_no_snapshots(0);
    let outcome = world.vault.backup(&request, |_| Ok(())).unwrap();
    assert_eq!(outcome.committed.len(), 2);
    world.assert_identical();
}

#[test]
fn fewer_locations_than_commit_get_nothing() {
    let mut world = World::new(3);
    world.file("one", 1, 4 << 20);
    world.backup(3).unwrap();
    world.file("two", 2, 4 << 20);
    let (b, c) = (Fuse::after(1), Fuse::after(1));
    world.make_flaky("b", &b, false);
    world.make_flaky("c", &c, false);
    let error = world.backup(2).unwrap_err();
    assert!(b.is_blown() && c.is_blown());
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
    assert!(error.to_string().contains("injected fault"), "{error}");
    world.assert_no_snapshots(1);
    world.reopen();
    world.vault.catch_up().unwrap();
    world.backup(3).unwrap();
    world.assert_identical();
    world.restic_ok("c", &["check", "--read-data"]);
}

#[test]
fn a_missing_source_folder_is_an_error_and_no_empty_backup() {
    let mut world = World::new(1);
    fs::remove_dir_all(world.path("src")).unwrap();
    let error = world.backup(1).unwrap_err();
    assert!(matches!(error, VaultError::SourceMissing { .. }), "{error}");
    assert!(!world.repository("a").exists());
}

/// Everything stops at one moment, at each moment in turn: what a power cut or `kill -9` leaves. Afterwards no location shows
/// a point that is not whole, and the next run works.
#[test]
fn a_run_that_stops_anywhere_leaves_no_half_point() {
    let mut struck = 0;
    for writes in 0.. {
        let mut world = World::new(2);
        world.file("one", 1, 1 << 20);
        let fuse = Fuse::after(writes);
        world.make_flaky("a", &fuse, true);
        world.make_flaky("b", &fuse, true);
        let result = world.backup(2);
        if let Ok(outcome) = &result {
            assert_eq!(outcome.committed.len(), 2);
            if !fuse.is_blown() {
                break;
            }
        }
        struck += 1;
        world.reopen();
        for (info, locations) in world.vault.all_snapshots().unwrap_or_default().points {
            for location in locations {
                // A snapshot that is visible is whole. The run that stopped could not remove its lock.
                world.restic_ok(location.as_str(), &["check", "--read-data", "--no-lock"]);
            }
            assert_eq!(info.tags.unwrap().plan_id, "bp_test");
        }
        if world.repository("a").join("config").exists()
            || world.repository("b").join("config").exists()
        {
            world.vault.catch_up().unwrap();
        }
        world.file("two", 2, 1 << 20);
        world
            .backup(2)
            .unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
        world.assert_identical();
        if writes % 4 == 0 {
            world.restic_ok("a", &["check", "--read-data"]);
        }
    }
    assert!(struck >= 12, "only {struck} moments were tried");
}

#[test]
fn a_lost_repository_is_not_replaced() {
    let mut world = World::new(2);
    world.file("one", 1, 1000);
    world.backup(2).unwrap();
    for location in ["a", "b"] {
        fs::remove_dir_all(world.path(location).join("dev")).unwrap();
    }
    let mut request = world.request(2);
    request.repository = Expect::Existing;
    let error = world.vault.backup(&request, |_| Ok(())).unwrap_err();
    assert!(
        matches!(error, VaultError::RepositoryLost { .. }),
        "{error}"
    );
    assert!(!world.repository("a").exists());
}

/// A limit holds for what is written to each location, and for nothing that is read.
#[test]
fn no_second_has_more_than_the_bandwidth() {
    let mut world = World::new(1);
    world.file("one", 1, 6 << 20);
    let mut place = Place::folder(world.path("a"));
    place.slow_down(4 << 20);
    place.slow_down(2 << 20);
    let store = place.store(&name().to_string());
    world.vault.set_store(world.locations[0].clone(), store);
    let began = Instant::now();
    world.backup(1).unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(2_900),
        "{:?}",
        began.elapsed()
    );
}
