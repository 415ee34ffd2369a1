//! Damage is remembered on the location and the object that have it: it is repaired from a sound copy, later backups do not
//! build on it, and it is told until it is gone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::world::{World, exporting, same, same_objects};

const LOCATIONS: [&str; 2] = ["loc_a", "loc_b"];

/// A world with one recovery point of data that fill a pack; gives the path of the pack below a location.
fn protected() -> (World, PathBuf) {
    let world = World::new();
    let noise: Vec<u8> = (0..600_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(world.path("live/big.bin"), noise).unwrap();
    world.json(0, &["once"]);
    let packs = world.path("loc_a/dev/bp_files/k1/data");
    let largest = walkdir::WalkDir::new(packs)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .max_by_key(|entry| entry.metadata().unwrap().len())
        .unwrap();
    let below = largest
        .path()
        .strip_prefix(world.path("loc_a"))
        .unwrap()
        .to_owned();
    (world, below)
}

fn rot(world: &World, location: &str, pack: &Path) {
    let path = world.path(location).join(pack);
    let mut content = fs::read(&path).unwrap();
    content[5_000] ^= 1;
    fs::write(path, content).unwrap();
}

fn restore(world: &World) -> Value {
    let out = world.path("out");
    let restored = world.export("ds_files", &out);
    same(&world.path("live"), &out);
    restored
}

/// Locations at which the newest point is verified.
fn verified_at(world: &World) -> Vec<String> {
    let catalog = world.json(0, &["catalog"]);
    let newest = catalog.as_array().unwrap().last().unwrap();
    let all = newest["verification"]["locations"].as_array();
    all.into_iter()
        .flatten()
        .map(|location| location.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn one_rotten_copy_of_two_is_set_aside_and_repaired_from_the_other() {
    let (world, pack) = protected();
    rot(&world, "loc_a", &pack);
    let said = world.refused(1, &["verify"]);
    assert!(said.contains("SW1110") && said.contains("loc_a"), "{said}");
    assert_eq!(verified_at(&world), ["loc_b"]);
    assert_eq!(restore(&world)["location"], "loc_b");

    // A backup before the repair goes where the data are sound, and is not called good where they are not.
    fs::write(world.path("live/small"), "x").unwrap();
    world.expect(0, &["backup", "bp_files"]);
    assert_eq!(verified_at(&world), ["loc_b"]);
    assert_ne!(world.json(0, &["status"])["light"], "green");
    assert_eq!(restore(&world)["location"], "loc_b");

    let round = world.json(0, &["once"]);
    assert_eq!(round["done"][0]["kind"], "catch_up", "{round}");
    same_objects(
        &world.path("loc_a/dev/bp_files"),
        &world.path("loc_b/dev/bp_files"),
    );
    let catalog = world.json(0, &["catalog"]);
    for run in catalog.as_array().unwrap() {
        assert!(run.get("damaged_at").is_none(), "{run}");
    }
    world.expect(0, &["verify"]);
    assert_eq!(world.json(0, &["status"])["light"], "green");
    assert_eq!(verified_at(&world), LOCATIONS);
}

#[test]
fn a_pack_that_is_sound_nowhere_is_stored_again_by_the_next_backup() {
    for vanishes in [false, true] {
        let (world, pack) = protected();
        for location in LOCATIONS {
            if vanishes {
                fs::remove_file(world.path(location).join(&pack)).unwrap();
            } else {
                rot(&world, location, &pack);
            }
        }
        world.refused(1, &["verify"]);
        let catalog = world.json(0, &["catalog"]);
        assert_eq!(catalog[0]["verification"]["is"], "suspect", "{catalog}");
        let status = world.json(1, &["status"]);
        assert_eq!(
            status["plans"][0]["condition"]["code"], "SW1008",
            "{status}"
        );

        world.expect(0, &["backup", "bp_files"]);
        assert_eq!(verified_at(&world), LOCATIONS, "vanishes: {vanishes}");
        let catalog = world.json(0, &["catalog"]);
        assert!(
            catalog[1]["added_bytes"].as_u64() > Some(2_000_000),
            "{catalog}"
        );
        restore(&world);
        // Its data are whole again for the older point too, once that was read.
        assert_eq!(catalog[0]["verification"]["is"], "pending", "{catalog}");
        let round = world.json(0, &["once"]);
        let catalog = world.json(0, &["catalog"]);
        assert_eq!(catalog[0]["verification"]["is"], "verified", "{catalog}");
        world.expect(0, &["verify"]);
        // The rotten pack is still there, and other programs may read it.
        let condition = &round["status"]["plans"][0]["condition"];
        assert_eq!(condition["code"], "SW1020", "{round}");
        assert_eq!(round["status"]["light"], "yellow", "{round}");
    }
}

/// What the source does not have any more stays damaged in the points that had it, and stays told until a person accepts it.
#[test]
fn damage_that_nothing_repairs_is_told_until_it_is_accepted() {
    let (world, pack) = protected();
    for location in LOCATIONS {
        rot(&world, location, &pack);
    }
    fs::remove_file(world.path("live/big.bin")).unwrap();
    world.refused(1, &["verify"]);
    // Most of the source is gone with it, which a person accepts.
    world.expect(1, &["backup", "bp_files"]);
    world.expect(0, &["source", "accept", "ds_files"]);
    assert_eq!(verified_at(&world), LOCATIONS);
    restore(&world);
    for _ in 0..2 {
        let round = world.json(1, &["once"]);
        let condition = &round["status"]["plans"][0]["condition"];
        assert_eq!(condition["code"], "SW1008", "{round}");
        let catalog = world.json(0, &["catalog"]);
        assert_eq!(catalog[0]["verification"]["is"], "suspect", "{catalog}");
        world.expect(0, &["verify"]);
    }
    let catalog = world.json(0, &["catalog"]);
    let first = catalog[0]["backup_id"].as_str().unwrap();
    world.expect(0, &["accept-loss", first, "--note", "it was old"]);
    let status = world.json(0, &["status"]);
    let condition = &status["plans"][0]["condition"];
    assert_eq!(condition["code"], "SW1020", "{status}");
}

/// Rot that nobody looked for is met by a restore: the message names the location, and no library speaks.
#[test]
fn a_restore_from_rotten_copies_says_so_in_its_own_words() {
    let (world, pack) = protected();
    for location in LOCATIONS {
        rot(&world, location, &pack);
    }
    let out = world.path("out");
    let said = world.refused(1, &exporting("ds_files", &["latest"], &out));
    let message = said.lines().rfind(|line| line.contains("SW1417"));
    let said = message.expect("no error was told").to_owned();
    assert!(said.contains("loc_a"), "{said}");
    for foreign in ["panicked", ".rs:", "unwrap()", "RusticError"] {
        assert!(!said.contains(foreign), "{foreign}: {said}");
    }
}

/// The tier's cadence finds rot although every backup is newer than it, and the next round repairs it.
#[test]
fn rot_between_checks_is_found_at_the_cadence() {
    let (mut world, pack) = protected();
    let tier = &mut world.model["settings"]["tiers"]["tier1"]["verification"];
    tier["every_s"] = 5.into();
    tier["portion_percent"] = 50.into();
    world.publish();
    rot(&world, "loc_b", &pack);
    let found = (0..60).find_map(|_| {
        world.expect(0, &["backup", "bp_files"]);
        let output = world.run(&["--format", "json", "once"]);
        let round: Value = serde_json::from_slice(&output.stdout).unwrap();
        let done = round["done"].as_array().unwrap().clone();
        let check = done.into_iter().find(|done| {
            let id = done["operation_id"].as_str().unwrap();
            id.starts_with("recheck.") && done["failure"]["code"] == "SW1110"
        });
        check.map(|check| (check, output.status.code()))
    });
    let (check, status) = found.expect("no check found the rot");
    assert_eq!(status, Some(1));
    assert!(
        check["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("loc_b"),
        "{check}"
    );
    let receipts = world.json(0, &["receipts"]);
    let told = receipts.as_array().unwrap().iter().any(|receipt| {
        receipt["operation_id"] == check["operation_id"] && receipt["result"] == "failure"
    });
    assert!(told, "{receipts}");
    world.run(&["once"]);
    let (a, b) = ("loc_a/dev/bp_files", "loc_b/dev/bp_files");
    same_objects(&world.path(a), &world.path(b));
}

/// A person asks before anything is broken, by any name of a pack; what is broken then is what was said.
#[test]
fn what_needs_a_pack_is_told_before_it_is_lost() {
    let world = World::new();
    world.json(0, &["once"]);
    let packs = || -> std::collections::BTreeSet<std::path::PathBuf> {
        walkdir::WalkDir::new(world.path("loc_a/dev/bp_files/k1/data"))
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect()
    };
    let first = packs();
    std::fs::write(world.path("live/later.bin"), vec![9_u8; 200_000]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    world.json(0, &["backup", "bp_files"]);
    let later: Vec<_> = packs().difference(&first).cloned().collect();
    let affected = |object: &str| -> Vec<String> {
        let found = world.json(0, &["impact", "loc_a", object]);
        let all = found[0]["affected"].as_array().unwrap().iter();
        assert_eq!(found[0]["is_there"], true, "{found}");
        all.map(|it| {
            assert_eq!(it["elsewhere"], serde_json::json!(["loc_b"]), "{it}");
            it["backup_id"].as_str().unwrap().to_owned()
        })
        .collect()
    };
    let points = world.json(0, &["catalog"]);
    let ids: std::collections::BTreeSet<&str> = points
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["backup_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2, "{points}");
    for pack in &later {
        // Its name, its path in the repository, below the location, and on this machine.
        let whole = pack.display().to_string();
        let below = pack.strip_prefix(world.path("loc_a")).unwrap();
        let object = below.strip_prefix("dev/bp_files/k1").unwrap();
        let names = [
            pack.file_name().unwrap().to_str().unwrap(),
            object.to_str().unwrap(),
            below.to_str().unwrap(),
            &whole,
        ];
        for name in names {
            let hurt = affected(name);
            assert_eq!(hurt.len(), 1, "{name}");
            assert!(hurt[0].contains("op-"), "{hurt:?}");
        }
    }
    // The content of the first is in the second as well: some pack of it is needed by both.
    let both = first
        .iter()
        .filter(|pack| affected(&pack.display().to_string()).len() == 2);
    assert!(both.count() > 0);
    assert_eq!(affected("config").len(), 2);
    let said = world.refused(2, &["impact", "loc_a", "data/ab/none"]);
    assert!(said.contains("SW1107"), "{said}");
    let said = world.refused(2, &["impact", "loc_x", "config"]);
    assert!(said.contains("SW1107"), "{said}");
    // It is lost, and what a check finds is what was said.
    let expected = affected(&later[0].display().to_string());
    std::fs::remove_file(&later[0]).unwrap();
    world.run(&["verify", &expected[0]]);
    let points = world.json(0, &["catalog"]);
    for point in points.as_array().unwrap() {
        let is_damaged = point["damaged_at"]["loc_a"].is_string();
        let id = point["backup_id"].as_str().unwrap().to_owned();
        assert_eq!(is_damaged, expected.contains(&id), "{point}");
    }
}
