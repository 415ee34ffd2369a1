//! What a recovery point is at each location: the same bytes, readable by stock restic, restorable by us.

use std::fs;
use std::os::unix::fs::symlink;

use reconciler::world::vault::{Portion, RestoreRequest};

use super::world::{World, assert_same, helper};

fn mixed_source(world: &World) {
    world.file("big.bin", 1, 6 << 20);
    world.file("small/one.txt", 2, 100);
    world.file("small/two.txt", 3, 70_000);
    world.file("small/empty", 4, 0);
    world.file("name with spaces/ü.txt", 5, 10);
    symlink("small/one.txt", world.path("src/link")).unwrap();
    fs::create_dir(world.path("src/empty folder")).unwrap();
}

#[test]
fn stock_restic_lists_checks_and_restores_every_copy() {
    let mut world = World::new(3);
    mixed_source(&world);
    let outcome = world.backup(2).unwrap();
    assert_eq!(outcome.committed, world.locations);
    assert_eq!(outcome.files, 6);
    assert_eq!(outcome.source.problems, 0);
    world.assert_identical();
    for location in ["a", "b", "c"] {
        let list: serde_json::Value =
            serde_json::from_str(&world.restic_ok(location, &["snapshots", "--json"])).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(list[0]["id"], outcome.snapshot_id);
        assert_eq!(list[0]["paths"], serde_json::json!(["/ds_files"]));
        assert_eq!(list[0]["time"], outcome.consistency_point.to_string());
        let tags: Vec<_> = list[0]["tags"].as_array().unwrap().iter().collect();
        assert!(tags.contains(&&serde_json::json!("seawall.v=1")));
        assert!(tags.contains(&&serde_json::json!("plan_id=bp_test")));
        world.restic_ok(location, &["check", "--read-data"]);
        let target = world.path(&format!("out-{location}"));
        world.restic_ok(
            location,
            &[
                "restore",
                "latest",
                "--verify",
                "--target",
                target.to_str().unwrap(),
            ],
        );
        assert_same(&world.path("src"), &target.join("ds_files"));
        let locks = fs::read_dir(world.repository(location).join("locks"));
        assert_eq!(locks.map_or(0, Iterator::count), 0, "no lock stays behind");
    }
}

#[test]
fn a_restore_gives_back_what_was_there() {
    let mut world = World::new(2);
    mixed_source(&world);
    let outcome = world.backup(2).unwrap();
    let request = world.restore_request(&outcome.snapshot_id);
    let restored = world.vault.restore(&request, &helper()).unwrap();
    assert_eq!((restored.restored.files, restored.restored.others), (5, 1));
    assert_eq!(restored.restored.bytes, outcome.bytes);
    assert_same(&world.path("src"), &world.path("out"));
    let checked = world
        .vault
        .check(&world.locations[0], Portion::All, &helper())
        .unwrap();
    assert!(checked.is_sound(), "{checked:?}");
    assert!(checked.packs > 0 && checked.oddities.is_empty());
    let list = world.vault.all_snapshots().unwrap();
    assert_eq!(list.points.len(), 1);
    assert_eq!(list.points[0].1, world.locations);
    assert_eq!(list.points[0].0.tags.as_ref().unwrap().plan_id, "bp_test");
}

#[test]
fn an_incremental_run_adds_little_and_a_fresh_one_reads_everything() {
    let mut world = World::new(2);
    for file in 0..20 {
        world.file(&format!("f{file}"), file, 300_000);
    }
    let first = world.backup(2).unwrap();
    world.file("f3", 1000, 300_000);
    let second = world.backup(2).unwrap();
    assert_eq!(second.parent.as_ref(), Some(&first.snapshot_id));
    assert_eq!(second.source.files_read, 1);
    assert!(second.added_bytes < first.added_bytes / 10);

    // A dump with other content of the same length, whose time was set back: only reading can tell.
    let path = world.path("src/f5");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    world.file("f5", 2000, 300_000);
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
    let mut request = world.request(2);
    request.sources[0].fresh = true;
    let third = world.vault.backup(&request, |_| Ok(())).unwrap();
    assert_eq!(third.parent, None);
    assert_eq!(third.source.files_read, 20);
    let target = world.path("out");
    world.restic_ok(
        "b",
        &["restore", "latest", "--target", target.to_str().unwrap()],
    );
    assert_same(&world.path("src"), &target.join("ds_files"));
    world.assert_identical();
}

#[test]
fn several_datasets_share_one_snapshot_and_excludes_are_left_out() {
    let mut world = World::new(1);
    world.file("keep", 1, 10);
    world.file("skip.tmp", 2, 10);
    world.file("deep/cache/x", 3, 10);
    world.file("deep/keep", 4, 10);
    world.file("exact[1]/y", 5, 10);
    fs::create_dir(world.path("other")).unwrap();
    fs::write(world.path("other/o"), "other").unwrap();
    let mut request = world.request(1);
    let mut other = request.sources[0].clone();
    other.dataset = "ds_a_other".parse().unwrap();
    other.folder = world.path("other");
    request.sources[0].exclude = vec!["*.tmp".into(), "cache/".into(), "/exact[[]1[]]".into()];
    request.sources.push(other);
    let outcome = world.vault.backup(&request, |_| Ok(())).unwrap();
    assert_eq!(outcome.files, 3);
    let list = world.restic_ok("a", &["ls", "latest"]);
    let paths: Vec<_> = list.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(
        paths,
        [
            "/ds_a_other",
            "/ds_a_other/o",
            "/ds_files",
            "/ds_files/deep",
            "/ds_files/deep/keep",
            "/ds_files/keep"
        ]
    );
    let wanted = RestoreRequest {
        dataset: "ds_a_other".parse().unwrap(),
        ..world.restore_request(&outcome.snapshot_id)
    };
    world.vault.restore(&wanted, &helper()).unwrap();
    assert_same(&world.path("other"), &world.path("out"));
}

/// The level is policy and may change from run to run; what the locations hold as configuration never does.
#[test]
fn each_run_compresses_as_it_is_told() {
    let mut world = World::new(2);
    let text = "the same words again and again, line after line\n".repeat(1 << 15);
    let mut stored = |level: u32, name: &str| {
        // Other content each time, so that nothing is taken from the run before.
        let text = text.replace("words", name);
        std::fs::write(world.path("src").join(name), text).unwrap();
        let mut request = world.request(2);
        request.compression = level;
        let outcome = world.vault.backup(&request, |_| Ok(())).unwrap();
        let config = std::fs::read(world.repository("a").join("config")).unwrap();
        (outcome.added_bytes, config)
    };
    let (packed, config) = stored(3, "one");
    let (plain, after) = stored(0, "two");
    assert!(packed * 10 < plain, "{packed} {plain}");
    assert_eq!(config, after);
    world.assert_identical();
    world.restic_ok("b", &["check", "--read-data"]);
}
