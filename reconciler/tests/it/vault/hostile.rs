//! Whoever owns one location can put anything there. It costs that location, and neither the others nor what they hold.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::digest::Digest;
use reconciler::worker::protocol::Limit;
use reconciler::worker::supervisor::Helper;
use reconciler::world::vault::{
    LocationFolder, LocationState, Mark, Place, Portion, StoreError, Vault,
};
use rstest::rstest;

use super::world::{KEY, World, assert_same, helper, name, noise};

/// Two locations with one recovery point.
fn world() -> World {
    let mut world = World::new(2);
    world.file("one", 1, 3 << 20);
    world.backup(2).unwrap();
    world.file("two", 2, 1 << 20);
    world
}

fn is_quarantined(world: &World, location: &str) -> bool {
    matches!(world.state(location), LocationState::Quarantined { .. })
}

/// The other location takes a point, serves it, and holds nothing that was planted.
fn others_go_on(world: &mut World, planted: &[PathBuf]) {
    world.reopen();
    let before = world.objects("b", "");
    let began = Instant::now();
    let outcome = world.backup(1).unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(outcome.committed, [world.locations[1].clone()]);
    world.vault.catch_up().unwrap();
    for path in planted {
        let below = path.strip_prefix(world.repository("a")).unwrap();
        let copied = world.repository("b").join(below);
        assert!(
            before.contains(&copied) || !copied.exists(),
            "{}",
            copied.display()
        );
    }
    let wanted = world.restore_request(&outcome.snapshot_id);
    let restored = world.vault.restore(&wanted, &helper()).unwrap();
    assert_eq!(restored.location.as_str(), "b");
    assert_same(&world.path("src"), &world.path("out"));
    world.restic_ok("b", &["check", "--read-data"]);
}

/// Where an object of this kind and name is at `a`.
fn object(world: &World, kind: &str, name: &str) -> PathBuf {
    let folder = world.repository("a").join(kind);
    let folder = if kind == "data" {
        folder.join(&name[..2])
    } else {
        folder
    };
    fs::create_dir_all(&folder).unwrap();
    if kind == "config" {
        fs::remove_dir(&folder).ok();
        return world.repository("a").join("config");
    }
    folder.join(name)
}

const SPARSE: u64 = 40 << 30;

#[rstest]
fn a_file_that_is_larger_than_any_object_is_never_read(
    #[values("keys", "index", "snapshots", "data", "locks")] kind: &str,
) {
    let mut world = world();
    let planted = object(&world, kind, &"00".repeat(32));
    fs::File::create(&planted).unwrap().set_len(SPARSE).unwrap();
    if kind != "locks" {
        assert!(is_quarantined(&world, "a"));
    }
    others_go_on(&mut world, &[planted]);
    let a = world.locations[0].clone();
    let checked = world.vault.check(&a, Portion::All, &helper()).unwrap();
    assert_eq!(checked.is_sound(), kind == "locks");
}

#[test]
fn a_configuration_that_is_larger_than_any_is_never_read() {
    let mut world = world();
    let config = world.repository("a").join("config");
    fs::File::create(&config).unwrap().set_len(SPARSE).unwrap();
    assert!(is_quarantined(&world, "a"));
    others_go_on(&mut world, &[]);
}

/// A link, a pipe or a folder in place of an object: nobody waits, and nothing is read or written through it.
#[rstest]
fn what_is_no_file_is_no_object(
    #[values("keys", "index", "snapshots", "data")] kind: &str,
    #[values("link", "pipe", "folder", "loop")] what: &str,
) {
    let mut world = world();
    fs::write(world.path("precious"), "root's").unwrap();
    let planted = object(&world, kind, &"00".repeat(32));
    match what {
        "link" => symlink(world.path("precious"), &planted).unwrap(),
        "loop" => symlink(&planted, &planted).unwrap(),
        "pipe" => nix::unistd::mkfifo(&planted, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        _ => fs::create_dir(&planted).unwrap(),
    }
    assert!(is_quarantined(&world, "a"));
    others_go_on(&mut world, &[planted]);
    assert_eq!(fs::read(world.path("precious")).unwrap(), b"root's");
}

/// Every folder on the way to an object, in turn, leads to a folder of root.
#[rstest]
fn no_folder_of_a_location_leads_elsewhere(
    #[values(
        "dev",
        "dev/bp_test",
        "dev/bp_test/backup-test-01",
        "dev/bp_test/backup-test-01/data"
    )]
    below: &str,
) {
    let mut world = world();
    let folder = world.path("a").join(below);
    let outside = world.path("outside");
    fs::rename(&folder, &outside).unwrap();
    symlink(&outside, &folder).unwrap();
    let files = |at: &Path| -> BTreeSet<PathBuf> {
        walkdir::WalkDir::new(at)
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .collect()
    };
    let before = files(&outside);
    assert!(is_quarantined(&world, "a"), "{:?}", world.state("a"));
    others_go_on(&mut world, &[]);
    assert_eq!(files(&outside), before, "nothing is written through a link");
}

/// Planted so that it sorts first and last.
#[rstest]
fn what_our_key_did_not_make_is_not_copied_and_blocks_nobody(
    #[values("keys", "index", "snapshots", "data")] kind: &str,
    #[values("00", "ff")] first: &str,
) {
    let mut world = world();
    // Its end could be the length of a pack's header.
    let junk = (0..1_000_000_u64)
        .map(|number| {
            [
                format!("no object {number}").as_bytes(),
                &8_u32.to_le_bytes(),
            ]
            .concat()
        })
        .find(|junk| Digest::of(junk).to_string().starts_with(first))
        .unwrap();
    let planted = object(&world, kind, &Digest::of(&junk).to_string());
    fs::write(&planted, junk).unwrap();
    assert!(is_quarantined(&world, "a"));
    assert_eq!(world.state("b"), LocationState::InSync);
    others_go_on(&mut world, std::slice::from_ref(&planted));
    // With the file gone everything is as before.
    fs::remove_file(&planted).unwrap();
    if kind == "data" {
        fs::remove_dir(planted.parent().unwrap()).ok();
    }
    world.reopen();
    world.vault.catch_up().unwrap();
    world.assert_identical();
}

/// More junk than one look proves: copying finds it, and it is not copied either.
#[test]
fn much_junk_is_found_while_it_is_copied() {
    let mut world = world();
    let mut planted = Vec::new();
    for number in 0..400 {
        // Larger than anything that is proven first.
        let junk = noise(number + 1000, 9000);
        let path = object(&world, "index", &Digest::of(&junk).to_string());
        fs::write(&path, junk).unwrap();
        planted.push(path);
    }
    let caught = world.vault.catch_up().unwrap();
    assert!(caught.damaged.len() <= 1, "{caught:?}");
    others_go_on(&mut world, &planted);
}

/// A key for another password is somebody's second key: it is left alone.
#[test]
fn a_key_file_of_another_password_is_no_harm() {
    let mut world = world();
    fs::write(world.path("other"), "another password\n").unwrap();
    let other = world.path("other");
    let add = ["key", "add", "--new-password-file", other.to_str().unwrap()];
    world.restic_ok("a", &add);
    assert_eq!(world.objects("a", "keys").len(), 2);
    assert_eq!(world.state("a"), LocationState::InSync);
    assert_eq!(world.state("b"), LocationState::InSync);
    world.reopen();
    let outcome = world.backup(2).unwrap();
    assert_eq!(outcome.committed.len(), 2);
    world.vault.catch_up().unwrap();
    assert_eq!(world.objects("b", "keys").len(), 1);
}

/// A key file may ask for any amount of work and memory; the engine would pay.
#[rstest]
#[case(1 << 25, 8, 1)]
#[case(1 << 15, 8, 1 << 20)]
#[case(1 << 20, 1 << 10, 1)]
#[case::by_a_little(1 << 15, 8, 128)]
fn a_key_file_that_costs_too_much_is_not_tried(#[case] n: u32, #[case] r: u32, #[case] p: u32) {
    let mut world = world();
    let real = world.objects("a", "keys").into_iter().next().unwrap();
    let mut key: serde_json::Value = serde_json::from_slice(&fs::read(real).unwrap()).unwrap();
    for (field, value) in [("N", n), ("r", r), ("p", p)] {
        key[field] = value.into();
    }
    let text = key.to_string();
    let planted = object(&world, "keys", &Digest::of(text.as_bytes()).to_string());
    fs::write(&planted, text).unwrap();
    let began = Instant::now();
    assert!(is_quarantined(&world, "a"));
    assert!(began.elapsed() < Duration::from_secs(10));
    others_go_on(&mut world, &[planted]);
}

/// Reading them all would hold up every run, at all locations.
#[test]
fn locks_without_number_leave_out_their_location_alone() {
    let mut world = world();
    let locks = world.repository("a").join("locks");
    fs::create_dir_all(&locks).unwrap();
    // Hard links are made faster than files; ext4 takes 65,000 of one file.
    let one = world.path("lock");
    for file in 0..2_u32 {
        fs::write(&one, vec![b'x'; 300]).unwrap();
        for number in 0..50_000 {
            let name = Digest::of(&(file * 50_000 + number).to_le_bytes()).to_string();
            fs::hard_link(&one, locks.join(name)).unwrap();
        }
        fs::remove_file(&one).unwrap();
    }
    let began = Instant::now();
    let outcome = world.backup(1).unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(outcome.committed, ["b".parse().unwrap()]);
    let told = format!("{:?}", outcome.locations[0].state);
    assert!(told.contains("100000 lock files"), "{told}");
    let caught = world.vault.catch_up().unwrap();
    assert!(caught.locations[0].stopped.is_some(), "{caught:?}");
    fs::remove_dir_all(&locks).unwrap();
    world.vault.catch_up().unwrap();
    assert_eq!(world.state("a"), LocationState::InSync);
    world.assert_identical();
}

/// Locks that nobody can open, and folders without an end.
#[test]
fn foreign_locks_and_deep_folders_stop_nobody() {
    let mut world = world();
    let locks = world.repository("a").join("locks");
    fs::create_dir_all(&locks).unwrap();
    for number in 0..900_u32 {
        let name = Digest::of(&number.to_le_bytes()).to_string();
        fs::write(locks.join(name), "x").unwrap();
    }
    let mut deep = world.repository("a").join("data/00");
    for _ in 0..400 {
        deep.push("deeper");
    }
    fs::create_dir_all(&deep).unwrap();
    symlink("..", deep.join("up")).unwrap();
    let outcome = world.backup(2).unwrap();
    assert_eq!(outcome.committed.len(), 2);
}

#[test]
fn a_location_that_was_set_back_catches_up() {
    let mut world = world();
    let (now, old) = (world.path("a"), world.path("a-old"));
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&now, &old])
        .status();
    assert!(copied.unwrap().success());
    world.backup(2).unwrap();
    fs::remove_dir_all(&now).unwrap();
    fs::rename(&old, &now).unwrap();
    assert!(matches!(world.state("a"), LocationState::Lagging { .. }));
    world.vault.catch_up().unwrap();
    assert_eq!(world.state("a"), LocationState::InSync);
    world.assert_identical();
}

fn rot(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, content).unwrap();
}

/// There is no vote: the configuration that opens with the key is right, also against a majority.
#[rstest]
#[case(&["a"], "b")]
#[case(&["b"], "a")]
#[case(&["a", "b"], "c")]
fn a_rotten_configuration_is_proven_and_not_voted_on(#[case] bad: &[&str], #[case] good: &str) {
    let mut world = World::new(bad.len() + 1);
    world.file("one", 1, 1 << 20);
    let first = world.backup(bad.len() + 1).unwrap();
    for location in bad {
        rot(&world.repository(location).join("config"));
    }
    world.reopen();
    for location in bad {
        assert!(is_quarantined(&world, location));
    }
    assert_eq!(world.state(good), LocationState::InSync);
    world.file("two", 2, 1 << 20);
    let outcome = world.backup(1).unwrap();
    assert_eq!(outcome.committed, [good.parse().unwrap()]);
    let wanted = world.restore_request(&first.snapshot_id);
    let restored = world.vault.restore(&wanted, &helper()).unwrap();
    assert_eq!(restored.location.as_str(), good);
}

/// One password opens the repositories of all plans, so another plan's repository opens too. The catalog knows which is ours.
#[test]
fn another_repository_of_the_same_password_is_recognised_by_its_points() {
    let mut world = world();
    let known = world.vault.all_snapshots().unwrap().points[0]
        .0
        .snapshot_id
        .clone();
    let mut stranger = World::new(1);
    stranger.file("other", 9, 1 << 20);
    stranger.backup(1).unwrap();
    fs::remove_dir_all(world.repository("a")).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([stranger.repository("a"), world.repository("a")])
        .status();
    assert!(copied.unwrap().success());
    world.reopen();
    for location in ["a", "b"] {
        assert!(
            is_quarantined(&world, location),
            "nobody can say which it is"
        );
    }
    let mut reopened = Vault::new(&name(), world.places(), KEY.as_bytes()).unwrap();
    reopened.expect_snapshots(BTreeSet::from([known]));
    world.vault = reopened;
    assert!(is_quarantined(&world, "a"));
    assert_eq!(world.state("b"), LocationState::InSync);
    let outcome = world.backup(1).unwrap();
    assert_eq!(outcome.committed, [world.locations[1].clone()]);
}

/// The first backup of a plan: junk at one location keeps no repository from being made at the others.
#[rstest]
fn junk_before_the_first_backup_costs_one_location(
    #[values("keys", "snapshots", "data")] kind: &str,
) {
    let mut world = World::new(2);
    world.file("one", 1, 1 << 20);
    let planted = object(&world, kind, &"00".repeat(32));
    fs::write(&planted, "junk").unwrap();
    others_go_on(&mut world, &[planted]);
}

/// A fault that looks like one of the storage, where it is a location with a mark.
fn marked(world: &World, identity: &str) -> Place {
    Place::Folder(LocationFolder {
        bandwidth: None,
        path: world.path("a"),
        mark: Some(Mark {
            location_id: "a".parse().unwrap(),
            identity: identity.to_owned(),
        }),
        patience: Duration::from_secs(20),
    })
}

fn put_mark(world: &World, location: &str, identity: &str) {
    let text = serde_json::json!({ "location_id": location, "identity": identity }).to_string();
    fs::write(world.path("a/.seawall-location.json"), text).unwrap();
}

#[test]
fn every_call_looks_at_the_mark() {
    use reconciler::world::vault::Kind;
    let world = world();
    let store = marked(&world, "0123").store(&name().to_string());
    let refused = |why: &str| {
        let error = store.list(Kind::Pack).unwrap_err();
        assert!(matches!(error, StoreError::NotExpected { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        let lock = reconciler::world::vault::Object {
            kind: Kind::Lock,
            name: "00".repeat(32),
        };
        store.write(&lock, &[]).unwrap_err();
        assert!(world.objects("a", "locks").is_empty());
    };
    refused("lacks its mark");
    put_mark(&world, "b", "0123");
    refused("location `b`");
    put_mark(&world, "a", "4567");
    refused("another one");
    put_mark(&world, "a", "0123");
    assert!(!store.list(Kind::Pack).unwrap().is_empty());
    symlink("/dev/zero", world.path("a/link")).unwrap();
    fs::rename(world.path("a/link"), world.path("a/.seawall-location.json")).unwrap();
    refused("link");
}

#[test]
fn what_is_made_at_a_location_is_for_its_owner_alone() {
    let world = world();
    for entry in walkdir::WalkDir::new(world.path("a/dev")) {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        let expected = if entry.file_type().is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(mode, expected, "{:?}", entry.path());
    }
}

/// A child that never answers is not waited for beyond its deadline.
#[test]
fn a_check_of_a_quarantined_location_ends() {
    let world = world();
    let planted = object(&world, "snapshots", &"00".repeat(32));
    nix::unistd::mkfifo(&planted, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let within = Helper {
        limit: Limit::Within(Duration::from_mins(1)),
        ..helper()
    };
    let began = Instant::now();
    let a = world.locations[0].clone();
    let checked = world.vault.check(&a, Portion::All, &within).unwrap();
    assert!(!checked.is_sound());
    assert!(began.elapsed() < Duration::from_secs(30));
}
