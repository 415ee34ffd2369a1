//! What is doubted: a lost outcome, a check that read nothing, damage, a source that contradicts its checksums, a repository
//! that is gone, a key that is over. None of it counts as good, and nothing is done twice or put in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::crash::{self, Victim};
use super::world::World;

fn files(folder: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

const LOCATIONS: [&str; 2] = ["loc_a", "loc_b"];

/// Takes locations away.
fn darken(world: &World, locations: &[&str]) {
    for location in locations {
        let away = world.path(&format!("{location}-away"));
        fs::rename(world.path(location), away).unwrap();
    }
}

fn lighten(world: &World, locations: &[&str]) {
    for location in locations {
        let away = world.path(&format!("{location}-away"));
        fs::rename(away, world.path(location)).unwrap();
    }
}

fn kill_at(world: &World, point: &str) -> bool {
    crash::kill_at(world, &["once"], &[point], Victim::Daemon)
}

fn snapshots(world: &World, location: &str) -> usize {
    files(&world.path(location).join("dev/bp_files/k1/snapshots")).len()
}

#[test]
fn a_point_that_was_committed_is_found_and_not_taken_again() {
    for point in ["recovery point is visible", "the effect has ended"] {
        let world = World::new();
        assert!(kill_at(&world, point), "`{point}` was never reached");
        world.json(0, &["once"]);
        assert_eq!(snapshots(&world, "loc_a"), 1, "after `{point}`");
        assert_eq!(snapshots(&world, "loc_b"), 1, "after `{point}`");
    }
}

#[test]
fn a_lost_outcome_stays_unknown_while_no_location_can_be_asked() {
    let world = World::new();
    assert!(kill_at(&world, "recovery point is visible"));
    darken(&world, &LOCATIONS);
    for _ in 0..2 {
        world.run(&["once"]);
        assert_eq!(world.json(0, &["receipts", "verify"])["open"], 1);
        let slots = world.json(0, &["slots"]);
        assert!(slots.as_array().unwrap().is_empty(), "{slots}");
    }
    lighten(&world, &LOCATIONS);
    let round = world.json(0, &["once"]);
    assert_eq!(round["status"]["light"], "green", "{round}");
    assert_eq!(world.json(0, &["receipts", "verify"])["open"], 0);
    let slots = world.json(0, &["slots"]);
    assert_eq!(slots[0]["outcome"], "success", "{slots}");
    assert_eq!(snapshots(&world, "loc_a"), 1);
}

/// One location holds the point alone, and is away. Its outcome and its slot wait; the data do not.
#[test]
fn an_unknown_outcome_stops_no_plan_whose_other_locations_answer() {
    let world = World::new();
    assert!(kill_at(&world, "recovery point is visible"));
    // As if `loc_b` had failed before the snapshot.
    let below = world.path("loc_b/dev/bp_files/k1/snapshots");
    for snapshot in files(&below) {
        fs::remove_file(snapshot).unwrap();
    }
    darken(&world, &["loc_a"]);
    for _ in 0..2 {
        world.run(&["once"]);
        // Once a slot, and not in each round.
        assert_eq!(snapshots(&world, "loc_b"), 1);
        assert_eq!(world.json(0, &["receipts", "verify"])["open"], 1);
        let slots = world.json(0, &["slots"]);
        assert!(slots.as_array().unwrap().is_empty(), "{slots}");
    }
    let catalog = world.json(0, &["catalog"]);
    assert!(catalog[0]["slot"].is_null(), "{catalog}");
    assert_eq!(catalog[0]["verification"]["is"], "verified", "{catalog}");

    lighten(&world, &["loc_a"]);
    let round = world.json(0, &["once"]);
    assert_eq!(round["status"]["light"], "green", "{round}");
    assert_eq!(world.json(0, &["receipts", "verify"])["open"], 0);
    let slots = world.json(0, &["slots"]);
    assert_eq!(slots[0]["outcome"], "success", "{slots}");
    assert_eq!(
        [snapshots(&world, "loc_a"), snapshots(&world, "loc_b")],
        [2; 2]
    );
}

#[test]
fn a_check_that_could_read_nothing_proves_nothing() {
    let world = World::new();
    assert!(kill_at(&world, "recovery point is in the catalog"));
    darken(&world, &LOCATIONS);
    world.run(&["once"]);
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[0]["verification"]["is"], "pending", "{catalog}");
    let slots = world.json(0, &["slots"]);
    assert_eq!(slots[0]["outcome"], "failure", "{slots}");
}

#[test]
fn a_point_found_damaged_everywhere_is_suspect_and_never_chosen_automatically() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::write(world.path("live/new.bin"), vec![9_u8; 200_000]).unwrap();
    let packs = world.path("loc_a/dev/bp_files/k1/data");
    let before = files(&packs);
    world.expect(0, &["backup", "bp_files"]);
    let mut packs = files(&packs);
    packs.retain(|pack| !before.contains(pack));
    let mut content = fs::read(&packs[0]).unwrap();
    content[0] ^= 1;
    let below = packs[0]
        .strip_prefix(world.path("loc_a"))
        .unwrap()
        .to_owned();

    let catalog = world.json(0, &["catalog"]);
    let [first, second] = [0, 1].map(|run| catalog[run]["backup_id"].as_str().unwrap());
    for (location, expected) in [("loc_a", "verified"), ("loc_b", "suspect")] {
        fs::write(world.path(location).join(&below), &content).unwrap();
        let said = world.refused(1, &["verify", second]);
        assert!(said.contains("SW1110"), "{said}");
        let catalog = world.json(0, &["catalog"]);
        assert_eq!(catalog[1]["verification"]["is"], expected, "{catalog}");
    }

    let out = world.path("out");
    let restored = world.export("ds_files", &out);
    assert_eq!(restored["backup_id"], first, "{restored}");
    let skipped = restored["skipped"].as_array().unwrap();
    assert!(skipped.is_empty(), "it was not even tried: {restored}");
    assert!(!out.join("new.bin").exists());
}

/// Lets the live folder be held against a sum that it does not have.
fn contradict(world: &World) {
    let (live, sums) = (world.path("live"), world.path("sums"));
    fs::write(&sums, format!("{}  one.txt\n", "0".repeat(64))).unwrap();
    let bound = format!("{} }}", live.display());
    let held = format!("{}, checksums: {} }}", live.display(), sums.display());
    world.configure(&[(&bound, &held)]);
}

#[test]
fn a_source_that_contradicts_its_checksums_leaves_no_recovery_point() {
    let world = World::new();
    contradict(&world);
    let said = world.refused(1, &["once"]);
    assert!(
        said.contains("SW1509") && said.contains("one.txt"),
        "{said}"
    );
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[0]["status"], "partial", "{catalog}");
    assert_eq!(snapshots(&world, "loc_a"), 0);
    let slots = world.json(0, &["slots"]);
    assert_eq!(slots[0]["outcome"], "failure", "{slots}");
}

#[test]
fn nothing_is_replaced_that_no_recovery_point_holds() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::write(world.path("live/one.txt"), "of today\n").unwrap();
    contradict(&world);
    let in_place = "restore --dataset ds_files --point latest --mode in-place";
    let said = world.refused(1, &in_place.split(' ').collect::<Vec<_>>());
    assert!(said.contains("SW1509"), "{said}");
    let live = fs::read_to_string(world.path("live/one.txt")).unwrap();
    assert_eq!(live, "of today\n");
}

/// What cannot be seen may be there: only data that are surely gone come back without a point of what stands.
#[test]
fn data_that_cannot_be_seen_are_not_taken_for_gone() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::rename(world.path("live"), world.path("aside")).unwrap();
    std::os::unix::fs::symlink("live", world.path("live")).unwrap();
    let in_place = "restore --dataset ds_files --point latest --mode in-place";
    let said = world.refused(1, &in_place.split(' ').collect::<Vec<_>>());
    assert!(
        said.contains("SW150"),
        "the point before it is what fails: {said}"
    );
    assert!(
        fs::symlink_metadata(world.path("live"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_repository_that_is_gone_everywhere_is_not_begun_anew() {
    let world = World::new();
    world.json(0, &["once"]);
    for location in LOCATIONS {
        fs::remove_dir_all(world.path(location).join("dev/bp_files")).unwrap();
    }
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(said.contains("SW1408"), "{said}");
    assert!(!world.path("loc_a/dev/bp_files/k1/config").exists());
}

#[test]
fn a_key_that_is_over_seals_nothing_more() {
    let mut world = World::new();
    world.model["settings"]["keys"]["k1"]["not_after"] = "2026-01-01T00:00:00Z".into();
    world.publish();
    let round = world.json(1, &["once"]);
    let condition = &round["status"]["plans"][0]["condition"];
    assert_eq!(condition["code"], "SW1013", "{round}");
    assert!(world.json(0, &["catalog"]).as_array().unwrap().is_empty());
}

#[test]
fn what_a_run_spools_is_closed_to_others() {
    let world = World::new();
    assert!(kill_at(&world, "connectors judge what was read"));
    let folders: Vec<PathBuf> = fs::read_dir(world.path("state/spool"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(folders.len(), 1, "a killed run leaves its folder");
    let mode = fs::metadata(&folders[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
