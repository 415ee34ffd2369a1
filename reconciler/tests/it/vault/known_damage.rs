//! Damage that is remembered: it counts as absent, so a sound copy replaces it, no restore reads it, and what is sound nowhere is
//! stored again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reconciler::world::vault::{
    Done, Job, LocationState, Order, Place, Portion, Reading, RestoreRequest, Vault,
};

use super::world::{KEY, World, assert_same, helper, name};

/// Packs below the repository, largest first.
fn packs(world: &World, location: &str) -> Vec<String> {
    let root = world.repository(location);
    let mut all: Vec<PathBuf> = world.objects(location, "data").into_iter().collect();
    all.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    all.iter()
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect()
}

fn rot(world: &World, location: &str, object: &str) {
    let path = world.repository(location).join(object);
    let mut content = fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

/// Checks everything at a location and remembers what it finds, as the daemon does.
fn find(world: &mut World, location: &str) -> BTreeMap<String, String> {
    let id = location.parse().unwrap();
    let checked = world.vault.check(&id, Portion::All, &helper()).unwrap();
    let paths: BTreeSet<String> = checked.damaged.keys().cloned().collect();
    world.vault.distrust(&BTreeMap::from([(id, paths)]));
    checked.broken
}

fn restore(world: &World, snapshot_id: &str, location: Option<&str>) -> Result<String, String> {
    let _ = fs::remove_dir_all(world.path("out"));
    let request = RestoreRequest {
        location: location.map(|location| location.parse().unwrap()),
        ..world.restore_request(snapshot_id)
    };
    let restored = world.vault.restore(&request, &helper());
    restored
        .map(|outcome| outcome.location.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn a_damaged_object_is_replaced_from_a_sound_copy() {
    for kind in ["data", "index", "snapshots", "keys"] {
        let mut world = World::new(2);
        world.file("big", 1, 4 << 20);
        let outcome = world.backup(2).unwrap();
        let object = world.objects("a", kind).into_iter().next_back().unwrap();
        let object = object.strip_prefix(world.repository("a")).unwrap();
        let object = object.display().to_string();
        rot(&world, "a", &object);
        let broken = find(&mut world, "a");
        let has_points = kind != "snapshots";
        assert_eq!(
            broken.contains_key(&outcome.snapshot_id),
            has_points,
            "{kind}: {broken:?}"
        );
        let state = world.state("a");
        assert!(
            matches!(state, LocationState::Lagging { missing: 1, .. }),
            "{kind}: {state:?}"
        );
        let caught = world.vault.catch_up().unwrap();
        assert_eq!(
            caught.locations[0].repaired,
            BTreeSet::from([object]),
            "{kind}: {caught:?}"
        );
        assert_eq!(world.state("a"), LocationState::InSync);
        world.reopen();
        assert!(find(&mut world, "a").is_empty());
        world.assert_identical();
        world.restic_ok("a", &["check", "--read-data"]);
    }
}

#[test]
fn what_is_damaged_everywhere_is_stored_again_and_damages_no_later_point() {
    let mut world = World::new(2);
    world.file("big", 1, 4 << 20);
    world.file("other", 2, 1 << 20);
    let first = world.backup(2).unwrap();
    let pack = packs(&world, "a").remove(0);
    for location in ["a", "b"] {
        rot(&world, location, &pack);
        let broken = find(&mut world, location);
        assert_eq!(broken.keys().collect::<Vec<_>>(), [&first.snapshot_id]);
    }
    // Neither lags: no location has it. The source has all of it but one file.
    assert_eq!(world.state("a"), LocationState::InSync);
    fs::remove_file(world.path("src/other")).unwrap();
    let second = world.backup(2).unwrap();
    assert!(second.added_bytes > 3 << 20, "{}", second.added_bytes);
    for location in ["a", "b"] {
        let id = location.parse().unwrap();
        let own = Portion::Packs(second.packs.clone());
        let checked = world.vault.check(&id, own, &helper()).unwrap();
        let broken: Vec<&String> = checked.broken.keys().collect();
        assert_eq!(broken, [&first.snapshot_id], "the later point is whole");
        let served = restore(&world, &second.snapshot_id, Some(location)).unwrap();
        assert_eq!(served, location);
        assert_same(&world.path("src"), &world.path("out"));
    }
    let said = restore(&world, &first.snapshot_id, None).unwrap_err();
    assert!(!said.contains("panicked"), "{said}");
    // The file is there again: the next backup makes the first point whole too.
    world.file("other", 2, 1 << 20);
    world.backup(2).unwrap();
    restore(&world, &first.snapshot_id, None).unwrap();
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_reading_in_pieces_reads_every_pack_once_and_finds_the_same() {
    let mut world = World::new(1);
    for file in 0..4 {
        world.file("big", file, 2 << 20);
        world.backup(1).unwrap();
    }
    let all = packs(&world, "a");
    assert!(all.len() >= 8, "{}", all.len());
    rot(&world, "a", &all[0]);
    let a = world.locations[0].clone();
    for of in [1, 3] {
        let (mut read, mut pieces, mut damaged) = (0, 0, BTreeSet::new());
        for part in 1..=of {
            let mut after = None;
            loop {
                let reading = Reading {
                    portion: Portion::Part { part, of },
                    after: after.clone(),
                    within: Some(Duration::ZERO),
                };
                let checked = world.vault.check(&a, reading, &helper()).unwrap();
                assert!(checked.packs <= 1, "no time, one pack");
                read += checked.packs;
                pieces += 1;
                damaged.extend(checked.damaged.into_keys());
                if checked.through.is_none() {
                    break;
                }
                assert!(checked.through > after, "it comes forward");
                after = checked.through;
            }
        }
        assert_eq!(usize::try_from(read).unwrap(), all.len(), "each once");
        assert!(pieces >= all.len(), "{pieces}");
        assert_eq!(damaged, BTreeSet::from([all[0].clone()]));
    }
}

/// A location that goes away while it is read is not damaged.
#[test]
fn a_location_that_is_gone_is_no_damage() {
    let mut world = World::new(1);
    world.file("one", 1, 1000);
    world.backup(1).unwrap();
    let a = world.locations[0].clone();
    fs::rename(world.path("a"), world.path("away")).unwrap();
    let error = world.vault.check(&a, Portion::All, &helper()).unwrap_err();
    assert!(error.to_string().contains("storage"), "{error}");
}

/// Backups beside a check write packs and name them while it reads.
#[test]
fn a_check_beside_backups_finds_no_damage() {
    let mut world = World::new(1);
    for number in 0..40 {
        world.file(&format!("first{number}"), number, 1 << 20);
    }
    world.backup(1).unwrap();
    let place = Place::folder(world.path("a"));
    let order = || Order {
        repository: name().to_string(),
        password: KEY.to_owned(),
        derived: Vec::new(),
        job: Job::Check {
            place: place.clone(),
            reading: Portion::All.into(),
            damaged: BTreeSet::new(),
        },
    };
    let is_over = AtomicBool::new(false);
    let mut checks = 0;
    std::thread::scope(|scope| {
        let backups = scope.spawn(|| {
            for number in 0..12 {
                world.file(&format!("more{number}"), 1_000 + number, 1 << 20);
                world.backup(1).unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) {
            let Done::Checked(checked) = Vault::perform(&order(), &Arc::default()).unwrap() else {
                panic!("no check");
            };
            assert!(checked.is_sound(), "{:?}", checked.damage());
            checks += 1;
        }
        backups.join().unwrap();
    });
    assert!(checks > 1, "{checks} checks");
}
