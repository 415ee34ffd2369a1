//! Recovery points that vanish: the catalog is compared with what the locations hold, and a location that cannot be listed
//! proves nothing.

use std::fs;

use serde_json::Value;

use super::world::{World, same};

const LOCATIONS: [&str; 2] = ["loc_a", "loc_b"];

/// A world with two recovery points; gives their ids, oldest first.
fn two_points() -> (World, [String; 2]) {
    let world = World::new();
    world.json(0, &["once"]);
    fs::rename(world.path("live"), world.path("first")).unwrap();
    fs::create_dir_all(world.path("live")).unwrap();
    fs::write(world.path("live/two.txt"), "two\n").unwrap();
    // Another folder with little in it: the point counts once a person says that it is right.
    world.expect(1, &["backup", "bp_files"]);
    world.expect(0, &["source", "accept", "ds_files"]);
    let catalog = world.json(0, &["catalog"]);
    let ids = [0, 1].map(|run| catalog[run]["backup_id"].as_str().unwrap().to_owned());
    (world, ids)
}

/// Removes a recovery point's snapshot at a location, as `restic forget` does.
fn forget(world: &World, location: &str, id: &str) {
    let catalog = world.json(0, &["catalog"]);
    let runs = catalog.as_array().unwrap();
    let run = runs.iter().find(|run| run["backup_id"] == id).unwrap();
    let snapshot = run["snapshot_id"].as_str().unwrap();
    let path = world
        .path(location)
        .join("dev/bp_files/k1/snapshots")
        .join(snapshot);
    fs::rename(path, world.path(&format!("{location}-snapshot"))).unwrap();
}

fn bring_back(world: &World, location: &str, id: &str) {
    let catalog = world.json(0, &["catalog"]);
    let runs = catalog.as_array().unwrap();
    let run = runs.iter().find(|run| run["backup_id"] == id).unwrap();
    let snapshot = run["snapshot_id"].as_str().unwrap();
    let path = world
        .path(location)
        .join("dev/bp_files/k1/snapshots")
        .join(snapshot);
    fs::rename(world.path(&format!("{location}-snapshot")), path).unwrap();
}

fn verification(world: &World, run: usize) -> String {
    let catalog = world.json(0, &["catalog"]);
    catalog[run]["verification"]["is"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn condition(status: &Value) -> (&Value, &Value) {
    (&status["light"], &status["plans"][0]["condition"]["code"])
}

fn restore_latest(world: &World) -> String {
    let restored = world.export("ds_files", &world.path("out"));
    restored["backup_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_point_that_no_location_holds_is_lost_and_latest_goes_on_to_the_next() {
    let (world, [first, second]) = two_points();
    for location in LOCATIONS {
        forget(&world, location, &second);
    }
    // Seen at once, before any round has recorded it.
    let status = world.json(1, &["status"]);
    assert_eq!(
        condition(&status),
        (&"red".into(), &"SW1018".into()),
        "{status}"
    );
    assert_eq!(restore_latest(&world), first);
    same(&world.path("out"), &world.path("first"));
    let receipts = world.json(0, &["receipts"]);
    let last = receipts.as_array().unwrap().last().unwrap();
    assert_eq!(last["backup_id"], first.as_str(), "{last}");
    let skipped = last["details"]["skipped_00"].as_str().unwrap();
    assert!(
        skipped.starts_with(&second),
        "it says which one, and why: {last}"
    );

    let round = world.json(1, &["once"]);
    assert_eq!(condition(&round["status"]).0, "red", "{round}");
    assert_eq!(verification(&world, 1), "lost");
    let said = world.refused(1, &["verify", &second]);
    assert!(said.contains("SW1018"), "{said}");
    let receipts = world.json(0, &["receipts"]);
    let failed = receipts.as_array().unwrap().iter().filter(|receipt| {
        receipt["decision_type"] == "verification"
            && receipt["backup_id"] == second.as_str()
            && receipt["result"] == "failure"
            && receipt["error"]["code"] == "SW1018"
    });
    assert_eq!(
        failed.count(),
        2,
        "one when it was seen, one of the verify: {receipts}"
    );
    world.expect(0, &["receipts", "verify"]);
    let again = world.json(1, &["once"]);
    assert!(again["planned"].as_array().unwrap().is_empty(), "{again}");

    for location in LOCATIONS {
        bring_back(&world, location, &second);
    }
    // It is there again, and counts after it was read: the next turn of the same command does that.
    let round = world.json(0, &["once"]);
    let kinds: Vec<&Value> = round["done"]
        .as_array()
        .unwrap()
        .iter()
        .map(|done| &done["kind"])
        .collect();
    assert_eq!(kinds[0], "record_found", "{round}");
    assert!(kinds[1..].iter().all(|kind| *kind == "check"), "{round}");
    assert!(kinds.len() > 1, "{round}");
    assert_eq!(condition(&round["status"]).0, "green", "{round}");
    assert_eq!(verification(&world, 1), "verified");
    assert_eq!(restore_latest(&world), second);
}

#[test]
fn a_verify_of_a_lost_point_fails_before_any_round_saw_it() {
    let (world, [_, second]) = two_points();
    for location in LOCATIONS {
        forget(&world, location, &second);
    }
    let said = world.refused(1, &["verify", &second]);
    assert!(said.contains("SW1018"), "{said}");
    assert_eq!(verification(&world, 1), "lost");
    assert_eq!(
        verification(&world, 0),
        "verified",
        "the other one was read"
    );
}

#[test]
fn a_location_that_cannot_be_listed_never_proves_a_loss() {
    let (world, [_, second]) = two_points();
    forget(&world, "loc_a", &second);
    fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    for command in ["status", "once"] {
        let output = world.run(&["--format", "json", command]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.is_empty() && !said.contains("SW1018"), "{said}");
    }
    assert_ne!(verification(&world, 1), "lost");
    let said = world.refused(1, &["verify", &second]);
    assert!(!said.contains("SW1018"), "{said}");
    assert_ne!(verification(&world, 1), "lost");
    // It comes back, and what was missing is copied from it.
    fs::rename(world.path("away"), world.path("loc_b")).unwrap();
    world.json(0, &["once"]);
    let said = world.json(0, &["verify", &second]);
    assert_eq!(said[0]["outcome"], "success", "{said}");
}

#[test]
fn a_repository_that_is_gone_everywhere_turns_the_status_red() {
    let (world, _) = two_points();
    for location in LOCATIONS {
        fs::rename(
            world.path(location).join("dev/bp_files"),
            world.path(&format!("{location}-repository")),
        )
        .unwrap();
    }
    let status = world.json(1, &["status"]);
    assert_eq!(
        condition(&status),
        (&"red".into(), &"SW1018".into()),
        "{status}"
    );
    world.json(1, &["once"]);
    for run in [0, 1] {
        assert_eq!(verification(&world, run), "lost");
    }
    for location in LOCATIONS {
        fs::rename(
            world.path(&format!("{location}-repository")),
            world.path(location).join("dev/bp_files"),
        )
        .unwrap();
    }
    world.json(0, &["once"]);
    world.json(0, &["once"]);
    let status = world.json(0, &["status"]);
    assert_eq!(condition(&status).0, "green", "{status}");
}

/// A person may give up what is lost: it is not told any more, and the repository may begin again.
#[test]
fn a_loss_that_a_person_accepts_is_told_no_more() {
    let (world, ids) = two_points();
    let said = world.refused(1, &["accept-loss", &ids[0], "--note", "x"]);
    assert!(
        said.contains("SW1105"),
        "only what is lost or damaged: {said}"
    );
    for location in LOCATIONS {
        fs::remove_dir_all(world.path(location).join("dev/bp_files")).unwrap();
    }
    world.json(1, &["once"]);
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(said.contains("SW1408"), "nothing takes its place: {said}");
    for id in &ids {
        world.expect(0, &["accept-loss", id, "--note", "the disk was replaced"]);
    }
    let receipts = world.json(0, &["receipts"]).to_string();
    assert!(receipts.contains("the disk was replaced"), "{receipts}");
    world.expect(0, &["backup", "bp_files"]);
    let status = world.json(0, &["status"]);
    assert_eq!(condition(&status).0, "green", "{status}");
    for run in [0, 1] {
        assert_eq!(
            verification(&world, run),
            "lost",
            "the catalog forgets nothing"
        );
    }
}

/// What an operator is told of a check is what was read, location by location.
#[test]
fn a_verify_is_no_success_unless_every_location_was_read() {
    let (world, [_, second]) = two_points();
    fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    let said = world.refused(1, &["verify", &second]);
    assert!(said.contains("SW1115") && said.contains("loc_b"), "{said}");
    let receipts = world.json(0, &["receipts"]);
    let last = receipts.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["result"], "partial", "{last}");
    assert_eq!(last["details"]["location_loc_a"], "sound", "{last}");
    let b = last["details"]["location_loc_b"].as_str().unwrap();
    assert!(b.starts_with("not read: SW14"), "{last}");
}

/// The completion window is for backups. Here it is over before any check can begin.
#[test]
fn a_verify_is_not_killed_by_the_completion_window() {
    let (mut world, [_, second]) = two_points();
    let schedule = &mut world.model["plans"]["bp_files"]["backup_frequency"];
    schedule["start_window_s"] = 0.into();
    schedule["completion_window_s"] = 0.into();
    world.publish();
    let said = world.json(0, &["verify", &second]);
    assert_eq!(said[0]["outcome"], "success", "{said}");
    assert_eq!(said[0]["summary"], "checked at 2 locations", "{said}");
    let receipts = world.json(0, &["receipts"]);
    let intent = receipts
        .as_array()
        .unwrap()
        .iter()
        .rfind(|receipt| receipt["phase"] == "intent");
    let intent = intent.unwrap();
    let at = |value: &Value| -> jiff::Timestamp { value.as_str().unwrap().parse().unwrap() };
    let (begun, deadline) = (
        at(&intent["created_at"]),
        at(&intent["details"]["deadline"]),
    );
    assert!(deadline.duration_since(begun).as_hours() > 24, "{intent}");
}
