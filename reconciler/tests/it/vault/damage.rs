//! Damage: it is found, it does not spread, and a restore goes to another copy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reconciler::worker::supervisor::Helper;
use reconciler::world::vault::{LocationState, Portion, RestoreRequest, VaultError};

use super::world::{World, assert_same, helper};

fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

fn largest_pack(world: &World, location: &str) -> PathBuf {
    let packs = world.objects(location, "data");
    packs
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

fn request(world: &World, snapshot_id: &str, location: Option<&str>) -> RestoreRequest {
    RestoreRequest {
        location: location.map(|location| location.parse().unwrap()),
        ..world.restore_request(snapshot_id)
    }
}

#[test]
fn a_flipped_byte_is_found_and_a_restore_uses_another_copy() {
    let mut world = World::new(2);
    world.file("big", 1, 8 << 20);
    let outcome = world.backup(2).unwrap();
    flip(&largest_pack(&world, "a"));
    let a = world.locations[0].clone();
    let checked = world.vault.check(&a, Portion::All, &helper()).unwrap();
    assert_eq!(checked.damaged.len(), 1, "{checked:?}");
    let mut found = 0;
    for part in 1..=5 {
        let portion = Portion::Part { part, of: 5 };
        let checked = world.vault.check(&a, portion, &helper()).unwrap();
        found += checked.damaged.len();
    }
    assert_eq!(found, 1, "exactly one part of five holds the pack");

    let wanted = request(&world, &outcome.snapshot_id, None);
    let restored = world.vault.restore(&wanted, &helper()).unwrap();
    assert_eq!(restored.location.as_str(), "b");
    assert_eq!(restored.failed.len(), 1);
    assert_same(&world.path("src"), &world.path("out"));
    fs::remove_dir_all(world.path("out")).unwrap();
    let error = world
        .vault
        .restore(&request(&world, &outcome.snapshot_id, Some("a")), &helper())
        .unwrap_err();
    assert!(matches!(error, VaultError::RestoreFailed { .. }), "{error}");
}

#[test]
fn damage_does_not_spread_when_another_copy_catches_up() {
    let mut world = World::new(2);
    world.file("big", 1, 4 << 20);
    fs::rename(world.path("b"), world.path("b-away")).unwrap();
    world.backup(1).unwrap();
    fs::rename(world.path("b-away"), world.path("b")).unwrap();
    flip(&largest_pack(&world, "a"));
    let caught = world.vault.catch_up().unwrap();
    assert!(
        caught.locations[0]
            .stopped
            .as_ref()
            .unwrap()
            .contains("damaged")
    );
    assert_eq!(caught.damaged.len(), 1);
    assert!(world.objects("b", "snapshots").is_empty());
    assert!(world.objects("b", "index").is_empty());
}

#[test]
fn a_cut_object_quarantines_its_location() {
    let mut world = World::new(3);
    world.file("big", 1, 4 << 20);
    let outcome = world.backup(3).unwrap();
    let pack = largest_pack(&world, "c");
    let content = fs::read(&pack).unwrap();
    fs::write(&pack, &content[..content.len() - 1]).unwrap();
    assert!(matches!(
        world.state("c"),
        LocationState::Quarantined { .. }
    ));
    world.file("more", 2, 1000);
    let next = world.backup(2).unwrap();
    assert_eq!(next.committed.len(), 2);
    world.vault.catch_up().unwrap();
    assert_eq!(
        world.objects("c", "snapshots").len(),
        1,
        "it gets nothing more"
    );
    let wanted = request(&world, &outcome.snapshot_id, None);
    let restored = world.vault.restore(&wanted, &helper()).unwrap();
    assert_ne!(restored.location.as_str(), "c");
}

#[test]
fn a_stranger_repository_is_quarantined() {
    let mut world = World::new(3);
    world.file("one", 1, 1000);
    world.backup(3).unwrap();
    fs::remove_dir_all(world.repository("c")).unwrap();
    fs::create_dir_all(world.repository("c")).unwrap();
    world.restic_ok("c", &["init"]);
    assert!(matches!(
        world.state("c"),
        LocationState::Quarantined { .. }
    ));
    let outcome = world.backup(2).unwrap();
    assert_eq!(outcome.committed.len(), 2);
    assert!(world.objects("c", "snapshots").is_empty());
}

#[test]
fn packs_that_vanished_everywhere_are_stored_again() {
    let mut world = World::new(2);
    world.file("big", 1, 4 << 20);
    world.backup(2).unwrap();
    let name = largest_pack(&world, "a");
    let name = name.strip_prefix(world.repository("a")).unwrap().to_owned();
    for location in ["a", "b"] {
        fs::remove_file(world.repository(location).join(&name)).unwrap();
    }
    let outcome = world.backup(2).unwrap();
    assert_eq!(outcome.missing_packs, 1);
    assert!(outcome.added_bytes > 4 << 20, "{}", outcome.added_bytes);
    let wanted = request(&world, &outcome.snapshot_id, None);
    world.vault.restore(&wanted, &helper()).unwrap();
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_target_with_content_is_left_alone() {
    let mut world = World::new(1);
    world.file("one", 1, 1000);
    let outcome = world.backup(1).unwrap();
    fs::create_dir(world.path("out")).unwrap();
    fs::write(world.path("out/precious"), "x").unwrap();
    let wanted = request(&world, &outcome.snapshot_id, None);
    let error = world.vault.restore(&wanted, &helper()).unwrap_err();
    assert!(
        matches!(error, VaultError::TargetNotEmpty { .. }),
        "{error}"
    );
    let mut wanted = request(&world, &"0".repeat(64), None);
    wanted.target = world.path("out2");
    let error = world.vault.restore(&wanted, &helper()).unwrap_err();
    assert!(
        matches!(error, VaultError::SnapshotAbsent { .. }),
        "{error}"
    );
    let mut wanted = request(&world, &outcome.snapshot_id, None);
    wanted.target = world.path("out3");
    wanted.dataset = "ds_other".parse().unwrap();
    let error = world.vault.restore(&wanted, &helper()).unwrap_err();
    assert!(matches!(error, VaultError::DatasetAbsent { .. }), "{error}");
}

#[test]
fn a_wrong_key_opens_nothing() {
    let mut world = World::new(1);
    world.file("one", 1, 1000);
    world.backup(1).unwrap();
    fs::write(world.path("key"), "another key\n").unwrap();
    world.reopen();
    let error = world.backup(1).unwrap_err();
    assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
}

/// After a run its own packs are read again and nothing else: a pack that is missing or bad is damage, an older one is left to
/// the checks at the tier's cadence.
#[test]
fn the_packs_of_one_run_can_be_checked_alone() {
    let mut world = World::new(1);
    let a = world.locations[0].clone();
    world.file("old", 1, 1 << 20);
    let old = world.backup(1).unwrap().packs;
    world.file("new", 2, 1 << 20);
    let new = world.backup(1).unwrap().packs;
    assert!(!new.is_empty() && old.is_disjoint(&new));
    let checked = |portion: Portion| world.vault.check(&a, portion, &helper()).unwrap();
    let whole = checked(Portion::Packs(new.clone()));
    assert!(whole.is_sound(), "{whole:?}");
    assert_eq!(whole.packs, new.len() as u64);

    let path = |pack: &String| {
        world
            .repository("a")
            .join("data")
            .join(&pack[..2])
            .join(pack)
    };
    // A pack of the older run that holds data: its tree packs are read by the engine in any check.
    let data = old
        .iter()
        .max_by_key(|pack| std::fs::metadata(path(pack)).unwrap().len())
        .unwrap();
    flip(&path(data));
    assert!(checked(Portion::Packs(new.clone())).is_sound());
    assert!(!checked(Portion::All).is_sound());
    flip(&path(data));
    let first = new
        .iter()
        .max_by_key(|pack| std::fs::metadata(path(pack)).unwrap().len())
        .unwrap();
    flip(&path(first));
    assert!(!checked(Portion::Packs(new.clone())).is_sound());
    std::fs::remove_file(path(first)).unwrap();
    assert!(!checked(Portion::Packs(new)).is_sound());
}

/// What a killed write leaves has no name and is removed once no write can still be under way; nothing else is.
#[test]
fn only_old_unfinished_writes_are_removed() {
    let mut world = World::new(1);
    world.file("one", 1, 1 << 20);
    world.backup(1).unwrap();
    let name = "ab".repeat(32);
    let folder = world.repository("a").join("data/ab");
    std::fs::create_dir_all(&folder).unwrap();
    let put = |name: &str, hours: u64| {
        let path = folder.join(name);
        std::fs::write(&path, "half").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_hours(hours);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(then)
            .unwrap();
        path
    };
    let old = put(&format!("{name}#1"), 2);
    let fresh = put(&format!("{name}#2"), 0);
    let foreign = put("notes#1", 2);
    let whole = put(&name, 2);
    world.file("two", 2, 1 << 20);
    world.backup(1).unwrap();
    assert!(!old.exists());
    assert!(fresh.exists() && foreign.exists() && whole.exists());
}

/// A child that first lays a folder at the target, which its parent has just seen empty.
fn helper_that_plants(world: &World, planted: &Path) -> Helper {
    let script = world.path("planting");
    let real = helper();
    let text = format!(
        "#!/bin/sh\n[ -e {out} ] || cp -a {planted} {out}\nexec {program} {arguments}\n",
        out = world.path("out").display(),
        planted = planted.display(),
        program = real.program.display(),
        arguments = real.arguments[0].to_str().unwrap(),
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    Helper {
        program: script,
        arguments: vec![],
        ..real
    }
}

/// The engine takes a file of the same size and time for restored. Reading it again tells, and the second attempt heals it.
#[test]
fn what_stands_at_the_target_is_read_before_it_is_believed() {
    let mut world = World::new(2);
    world.file("one", 1, 300_000);
    world.file("two", 2, 1000);
    let outcome = world.backup(2).unwrap();
    let planted = world.path("planted");
    fs::create_dir(&planted).unwrap();
    let source = fs::metadata(world.path("src/one")).unwrap();
    fs::write(planted.join("one"), super::world::noise(9, 300_000)).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(planted.join("one"))
        .unwrap();
    file.set_modified(source.modified().unwrap()).unwrap();

    let named = request(&world, &outcome.snapshot_id, Some("a"));
    let planting = helper_that_plants(&world, &planted);
    let error = world.vault.restore(&named, &planting).unwrap_err();
    assert!(error.to_string().contains("one"), "{error}");

    fs::remove_dir_all(world.path("out")).unwrap();
    let any = request(&world, &outcome.snapshot_id, None);
    let restored = world.vault.restore(&any, &planting).unwrap();
    assert_eq!(restored.failed.len(), 1, "{restored:?}");
    assert_same(&world.path("src"), &world.path("out"));
}
