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
    let request = RestoreRequest {
        snapshot_id: outcome.snapshot_id.clone(),
        dataset: "ds_files".parse().unwrap(),
        target: world.path("out"),
        location: None,
    };
    let restored = world
        .vault
        .restore(&request, &helper(), &mut |_| {})
        .unwrap();
    assert_eq!((restored.restored.files, restored.restored.others), (5, 1));
    assert_eq!(restored.restored.bytes, outcome.bytes);
    assert_same(&world.path("src"), &world.path("out"));
    let checked = world
        .vault
        .check(&world.locations[0], Portion::ALL, &helper(), &mut |_| {})
        .unwrap();
    assert!(checked.is_sound(), "{checked:?}");
    assert!(checked.packs > 0 && checked.oddities.is_empty());
    let list = world.vault.all_snapshots().unwrap();
    assert_eq!(list.points.len(), 1);
    assert_eq!(list.points[0].1, world.locations);
    assert_eq!(list.points[0].0.tags.as_ref().unwrap().plan_id, "bp_test");
}
