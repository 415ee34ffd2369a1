//! The whole path from a published bundle to restored bytes, and what happens when a part of it is missing.

use std::io::{BufRead as _, BufReader};

use super::world::{World, exporting, replacing, same, same_objects};

#[test]
fn a_round_protects_and_the_next_finds_nothing_to_do() {
    let world = World::new();
    let plan = world.json(0, &["plan"]);
    assert_eq!(plan["plan"]["steps"].as_array().unwrap().len(), 1, "{plan}");

    let round = world.json(0, &["once"]);
    assert_eq!(round["done"][0]["outcome"], "success", "{round}");
    assert_eq!(round["status"]["light"], "green", "{round}");

    let again = world.expect(0, &["once"]);
    assert!(again.starts_with("nothing to do"), "{again}");
    same_objects(
        &world.path("loc_a/dev/bp_files"),
        &world.path("loc_b/dev/bp_files"),
    );

    let slots = world.json(0, &["slots"]);
    assert_eq!(slots.as_array().unwrap().len(), 1);
    assert_eq!(slots[0]["outcome"], "success");
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[0]["verification"]["is"], "verified", "{catalog}");
    assert_eq!(catalog[0]["backup_type"], "full");

    world.expect(0, &["receipts", "verify"]);
    let copy = world.path("loc_b/dev/receipts/rec");
    world.expect(0, &["receipts", "verify", "--dir", copy.to_str().unwrap()]);
}

#[test]
fn every_way_back_gives_the_bytes_of_the_point() {
    let world = World::new();
    world.json(0, &["once"]);
    std::fs::rename(world.path("live"), world.path("first")).unwrap();
    std::fs::create_dir_all(world.path("live")).unwrap();
    std::fs::write(world.path("live/three.txt"), "three").unwrap();
    // Another folder with little in it: the point counts once a person says that it is right.
    world.expect(1, &["backup", "bp_files"]);
    world.expect(0, &["source", "accept", "ds_files"]);

    let out = world.path("out");
    let catalog = world.json(0, &["catalog"]);
    let first = catalog[0]["backup_id"].as_str().unwrap();
    world.expect(0, &exporting("ds_files", &["backup-id", first], &out));
    same(&out, &world.path("first"));

    let newest = world.path("newest");
    world.export("ds_files", &newest);
    same(&newest, &world.path("live"));

    // In place: what stood there is in a recovery point of its own, and the live data are those of the first point.
    let restored = world.json(0, &replacing("ds_files", &["backup-id", first]));
    same(&world.path("live"), &world.path("first"));
    assert!(
        restored["before"].as_str().unwrap().contains(".op-"),
        "{restored}"
    );
    assert_eq!(world.json(0, &["catalog"]).as_array().unwrap().len(), 3);
    world.expect(0, &["receipts", "verify"]);
}

/// The disaster itself: the live data are gone. There is nothing to take a point of, and the restore in place works.
#[test]
fn data_that_are_gone_come_back_in_place() {
    let world = World::new();
    world.json(0, &["once"]);
    std::fs::rename(world.path("live"), world.path("gone")).unwrap();
    let restored = world.restore_in_place("ds_files");
    assert!(restored["before"].is_null(), "{restored}");
    same(&world.path("live"), &world.path("gone"));
    let receipts = world.json(0, &["receipts"]).to_string();
    assert!(receipts.contains("the live data were absent"), "{receipts}");
    // A source that is there and cannot be read is not absent: nothing is replaced without a point of it.
    std::fs::remove_dir_all(world.path("live")).unwrap();
    std::os::unix::fs::symlink("live", world.path("live")).unwrap();
    world.refused(1, &replacing("ds_files", &["latest"]));
    assert!(world.path("live").symlink_metadata().unwrap().is_symlink());
    let receipts = world.json(0, &["receipts"]);
    let restores = receipts.as_array().unwrap().iter();
    let begun = restores.filter(|it| it["decision_type"] == "restore" && it["phase"] == "intent");
    assert_eq!(begun.count(), 1, "the second was never begun: {receipts}");
}

#[test]
fn an_approval_that_is_asked_for_refuses_the_restore() {
    let mut world = World::new();
    world.model["settings"]["approvals"]["in_place"]["environments"] = serde_json::json!(["dev"]);
    world.publish();
    world.json(0, &["once"]);
    let said = world.refused(3, &replacing("ds_files", &["latest"]));
    assert!(said.contains("SW1601"), "{said}");
    assert_eq!(world.json(0, &["catalog"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_refused_bundle_leaves_the_last_good_one_in_force() {
    let mut world = World::new();
    world.json(0, &["once"]);
    // Another model, and the owner has not signed.
    world.model["datasets"]["ds_files"]["rpo_s"] = serde_json::json!(9_999_999);
    world.signers = vec!["ci"];
    world.publish();
    for _ in 0..2 {
        let said = world.refused(3, &["once"]);
        assert!(said.contains("SW05"), "{said}");
    }
    let status = world.json(1, &["status"]);
    assert_eq!(status["serial"], 1, "{status}");
    let receipts = world.json(0, &["receipts"]);
    let refused = receipts
        .as_array()
        .unwrap()
        .iter()
        .filter(|receipt| receipt["decision_type"] == "bundle_refused")
        .count();
    assert_eq!(refused, 1, "the same refusal is told once");
}

/// A plan with `retries` gives a source that was away for a moment another chance, within the one slot.
#[test]
fn a_run_that_failed_is_tried_again_as_often_as_the_plan_says() {
    let mut world = World::new();
    world.model["plans"]["bp_files"]["retries"] = 1.into();
    world.publish();
    std::fs::rename(world.path("live"), world.path("gone")).unwrap();
    let mut once = world
        .command(&["once"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(once.stderr.take().unwrap()).lines();
    let again = |line: std::io::Result<String>| line.unwrap().contains("it is tried again");
    assert!(lines.by_ref().any(again), "it was never tried again");
    std::fs::rename(world.path("gone"), world.path("live")).unwrap();
    lines.for_each(drop);
    assert!(once.wait().unwrap().success());
    let slots = world.json(0, &["slots"]);
    assert_eq!(slots.as_array().unwrap().len(), 1, "{slots}");
    assert_eq!(slots[0]["outcome"], "success", "{slots}");
    let verified = world.json(0, &["receipts", "verify"]);
    assert_eq!(verified["open"], 0, "{verified}");

    std::fs::rename(world.path("live"), world.path("gone")).unwrap();
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(
        said.contains("SW1501") && said.contains("(tried 2 times)"),
        "{said}"
    );
}

/// Policy may be ahead of the daemon: that is a failure of the check-up, and a condition.
#[test]
fn what_policy_says_and_the_daemon_does_not_do_is_shown() {
    let mut world = World::new();
    assert!(!world.expect(0, &["doctor"]).contains("does not act on"));
    // What it heeds is not told.
    world.model["plans"]["bp_files"]["bandwidth_bytes_per_second"] = 1_000_000.into();
    world.publish();
    assert!(!world.expect(0, &["doctor"]).contains("does not act on"));
    world.model["environment"]["delete_budget"] =
        serde_json::json!({"points": 1, "within_s": 86_400});
    world.publish();
    let said = world.expect(1, &["doctor"]);
    assert!(said.contains("does not act on `delete_budget`"), "{said}");
    assert!(said.contains("SW1021"), "{said}");
    // Everything else goes on, and it is not green.
    world.json(0, &["once"]);
    let status = world.json(0, &["status"]);
    assert_eq!(status["overall"][0]["code"], "SW1021", "{status}");
    assert_eq!(status["plans"][0]["condition"]["condition"], "Ready");
    assert_eq!(status["light"], "yellow", "{status}");
}

#[test]
fn an_unreadable_source_leaves_no_recovery_point() {
    let world = World::new();
    world.json(0, &["once"]);
    std::fs::rename(world.path("live"), world.path("gone")).unwrap();
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(said.contains("SW1501"), "{said}");
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[1]["status"], "failure", "{catalog}");
    let said = world.refused(
        1,
        &[
            "restore",
            "--dataset",
            "ds_files",
            "--point",
            "latest-before",
            "2026-01-01T00:00:00Z",
            "--mode",
            "side-by-side",
            "--target",
            "/nowhere",
        ],
    );
    assert!(said.contains("SW1106"), "{said}");
}

#[test]
fn what_nothing_binds_is_stalled_and_told() {
    let world = World::new();
    world.configure(&[("ds_files: {", "ds_other: {")]);
    let said = world.json(1, &["once"]);
    assert_eq!(
        said["status"]["plans"][0]["condition"]["code"], "SW1001",
        "{said}"
    );
    assert!(world.json(0, &["catalog"]).as_array().unwrap().is_empty());
}

#[test]
fn bad_environments_have_their_status_and_code() {
    let world = World::new();
    world.configure(&[("branch: main", "branch: other")]);
    assert!(world.refused(4, &["once"]).contains("SW1205"));
    world.configure(&[("interval: PT1S", "interval: soon")]);
    assert!(world.refused(2, &["once"]).contains("SW1202"));
    world.configure(&[("policy, branch", "nowhere, branch")]);
    assert!(world.refused(4, &["once"]).contains("SW1203"));
    world.configure(&[]);
    std::fs::remove_file(world.path("rec.key")).unwrap();
    assert!(world.refused(4, &["once"]).contains("SW1712"));
}

#[test]
fn a_dark_location_catches_up_when_it_is_back() {
    let world = World::new();
    std::fs::rename(world.path("loc_b"), world.path("dark")).unwrap();
    world.run(&["once"]);
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(
        catalog[0]["storage_locations"].as_object().unwrap().len(),
        1
    );
    for round in 0..2 {
        std::fs::write(world.path("live/more.txt"), format!("round {round}")).unwrap();
        world.expect(0, &["backup", "bp_files"]);
    }
    std::fs::rename(world.path("dark"), world.path("loc_b")).unwrap();
    let round = world.json(0, &["once"]);
    assert_eq!(round["done"][0]["kind"], "catch_up", "{round}");
    same_objects(
        &world.path("loc_a/dev/bp_files"),
        &world.path("loc_b/dev/bp_files"),
    );
    let catalog = world.json(0, &["catalog"]);
    for run in catalog.as_array().unwrap() {
        assert_eq!(
            run["storage_locations"].as_object().unwrap().len(),
            2,
            "{run}"
        );
    }
    assert!(world.expect(0, &["once"]).starts_with("nothing to do"));
}

#[test]
fn what_only_strengthens_needs_no_owner() {
    let mut world = World::new();
    world.json(0, &["once"]);
    world.model["plans"]["bp_files"]["retention"]["min_versions"] = serde_json::json!(3);
    world.model["settings"]["retention"]["short"]["min_versions"] = serde_json::json!(3);
    world.signers = vec!["ci"];
    world.publish();
    let round = world.json(0, &["once"]);
    assert_eq!(round["serial"], 2, "{round}");
}

#[test]
fn a_stale_bundle_still_protects_and_says_so() {
    let mut world = World::new();
    world.json(0, &["once"]);
    world.validity = jiff::SignedDuration::from_secs(10);
    world.publish();
    let accepted = world.json(0, &["once"]);
    assert_eq!(accepted["serial"], 2, "{accepted}");
    let expires_at: jiff::Timestamp = accepted["status"]["expires_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    while jiff::Timestamp::now() <= expires_at {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let round = world.json(1, &["once"]);
    assert_eq!(round["status"]["overall"][0]["code"], "SW1002", "{round}");
    world.expect(0, &["backup", "bp_files"]);
}
