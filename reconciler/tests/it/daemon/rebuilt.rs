//! The state folder is lost, or older than what happened: the locations have everything, and one command goes on from it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::buckets::Bucket;
use super::world::{World, exporting, key, same};

/// The catalog without what only the state knew.
fn known(catalog: &Value) -> Vec<Value> {
    let mut all: Vec<Value> = catalog.as_array().unwrap().clone();
    for run in &mut all {
        let run = run.as_object_mut().unwrap();
        for lost in ["profiles", "manifests", "overran"] {
            run.remove(lost);
        }
    }
    all
}

fn rebuild(world: &World) -> Value {
    world.json(0, &["catalog", "rebuild"])
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.unwrap().success());
}

fn of_type(world: &World, kind: &str) -> Vec<Value> {
    let receipts = world.json(0, &["receipts"]);
    let all = receipts.as_array().unwrap().iter();
    all.filter(|it| it["decision_type"] == kind)
        .cloned()
        .collect()
}

/// Nothing goes on from less than there was, and one command is the way on: the same points, verified as they were, the same log, the
/// policy that was accepted last, and backups that go on.
#[test]
fn a_lost_state_is_rebuilt_from_the_locations() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::write(world.path("live/one.txt"), "changed\n").unwrap();
    world.json(0, &["backup", "bp_files"]);
    let before = world.json(0, &["catalog"]);
    let receipts = world.json(0, &["receipts"]).as_array().unwrap().len();
    fs::remove_dir_all(world.path("state")).unwrap();
    let said = world.refused(3, &["once"]);
    assert!(
        said.contains("SW1714") && said.contains("catalog rebuild"),
        "{said}"
    );
    // What only reads needs neither, and records nothing.
    let out = world.path("before");
    world.export("ds_files", &out);
    same(&out, &world.path("live"));
    assert_eq!(known(&world.json(0, &["catalog"])), known(&before));
    let log = world.path("loc_a").join("dev/receipts/rec/receipts.jsonl");
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count(), receipts);
    let mut over = vec!["restore", "--dataset", "ds_files", "--mode", "in-place"];
    over.extend(["--point", "latest"]);
    let said = world.refused(3, &over);
    assert!(said.contains("SW1714"), "{said}");
    // A look changes nothing.
    let would = world.json(0, &["catalog", "rebuild", "--dry-run"]);
    assert_eq!(would["points"].as_array().unwrap().len(), 2, "{would}");
    let said = world.refused(3, &["once"]);
    assert!(said.contains("SW1714"), "{said}");
    let rebuilt = rebuild(&world);
    assert_eq!(rebuilt["new_receipts"], receipts, "{rebuilt}");
    assert_eq!(known(&world.json(0, &["catalog"])), known(&before));
    // A second time there is nothing to do.
    assert_eq!(rebuild(&world)["points"], json!([]));
    let out = world.path("out");
    world.export("ds_files", &out);
    same(&out, &world.path("live"));
    let round = world.json(0, &["once"]);
    assert_eq!(of_type(&world, "bundle_accepted").len(), 2, "{round}");
    world.expect(0, &["receipts", "verify"]);
    fs::write(world.path("live/one.txt"), "once more\n").unwrap();
    world.json(0, &["backup", "bp_files"]);
    for location in ["loc_a", "loc_b"] {
        let folder = world.path(location).join("dev/receipts/rec");
        world.expect(
            0,
            &["receipts", "verify", "--dir", folder.to_str().unwrap()],
        );
    }
    let adopted = of_type(&world, "adoption");
    assert!(
        adopted.iter().any(|it| it["details"]["how"] == "rebuilt"),
        "{adopted:#?}"
    );
}

/// Yesterday's copy of the state: what happened since comes from the locations.
#[test]
fn an_older_state_is_brought_up_to_what_happened() {
    let world = World::new();
    world.json(0, &["once"]);
    copy(&world.path("state"), &world.path("yesterday"));
    fs::write(world.path("live/one.txt"), "changed\n").unwrap();
    world.json(0, &["backup", "bp_files"]);
    let before = world.json(0, &["catalog"]);
    fs::remove_dir_all(world.path("state")).unwrap();
    copy(&world.path("yesterday"), &world.path("state"));
    // What only reads has the newest point all the same.
    world.export("ds_files", &world.path("out"));
    same(&world.path("out"), &world.path("live"));
    let said = world.refused(3, &["once"]);
    assert!(said.contains("SW1714"), "{said}");
    let rebuilt = rebuild(&world);
    assert_eq!(rebuilt["points"].as_array().unwrap().len(), 1, "{rebuilt}");
    assert_eq!(known(&world.json(0, &["catalog"])), known(&before));
    world.export("ds_files", &world.path("out"));
    same(&world.path("out"), &world.path("live"));
    world.json(0, &["once"]);
}

/// A location that cannot be read may know more: a person decides. Its copy, which then differs, is told of and never overwritten.
#[test]
fn nothing_is_decided_over_a_location_that_cannot_be_read() {
    let world = World::new();
    world.json(0, &["once"]);
    // The newest receipts reach one location alone.
    let away = world.path("away");
    fs::rename(world.path("loc_b"), &away).unwrap();
    world.json(0, &["backup", "bp_files"]);
    fs::rename(world.path("loc_a"), world.path("a-away")).unwrap();
    fs::rename(&away, world.path("loc_b")).unwrap();
    fs::remove_dir_all(world.path("state")).unwrap();
    let said = world.refused(3, &["catalog", "rebuild"]);
    assert!(
        said.contains("SW1715") && said.contains("loc_a") && said.contains("--from"),
        "{said}"
    );
    let rebuilt = world.json(0, &["catalog", "rebuild", "--from", "loc_b"]);
    assert_eq!(rebuilt["points"].as_array().unwrap().len(), 1, "{rebuilt}");
    assert!(rebuilt["not_read"]["loc_a"].is_string(), "{rebuilt}");
    // The other one is back, with a longer log that is not ours.
    fs::rename(world.path("a-away"), world.path("loc_a")).unwrap();
    let log = world.path("loc_a").join("dev/receipts/rec/receipts.jsonl");
    let kept = fs::read(&log).unwrap();
    let said = world.refused(3, &["once"]);
    assert!(said.contains("SW1714"), "{said}");
    assert_eq!(fs::read(&log).unwrap(), kept);
}

/// Two lives of the daemon went different ways from one state: each wrote a log that holds, and a person says which one counts.
#[test]
fn two_logs_that_part_need_a_person() {
    let world = World::new();
    world.json(0, &["once"]);
    copy(&world.path("state"), &world.path("kept"));
    for (away, change) in [("loc_b", "one way\n"), ("loc_a", "the other\n")] {
        fs::remove_dir_all(world.path("state")).unwrap();
        copy(&world.path("kept"), &world.path("state"));
        fs::write(world.path("live/one.txt"), change).unwrap();
        fs::rename(world.path(away), world.path("away")).unwrap();
        // The name of a point has its second.
        std::thread::sleep(Duration::from_secs(1));
        world.json(0, &["backup", "bp_files"]);
        fs::rename(world.path("away"), world.path(away)).unwrap();
    }
    fs::remove_dir_all(world.path("state")).unwrap();
    let said = world.refused(3, &["catalog", "rebuild"]);
    assert!(
        said.contains("SW1715") && said.contains("differ within"),
        "{said}"
    );
    let rebuilt = world.json(0, &["catalog", "rebuild", "--from", "loc_b"]);
    let points = rebuilt["points"].as_array().unwrap();
    let standings: Vec<&str> = points
        .iter()
        .map(|it| it["standing"].as_str().unwrap())
        .collect();
    // What the other one took is there, and no receipt of this log tells of it.
    assert_eq!(
        standings.iter().filter(|it| **it == "verified").count(),
        2,
        "{rebuilt}"
    );
    assert_eq!(
        standings.iter().filter(|it| **it == "unconfirmed").count(),
        1,
        "{rebuilt}"
    );
}

/// A copy that somebody changed is no copy, whatever it says.
#[test]
fn a_forged_copy_rebuilds_nothing() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::remove_dir_all(world.path("state")).unwrap();
    let folder = world.path("loc_a").join("dev/receipts/rec");
    let log = fs::read_to_string(folder.join("receipts.jsonl")).unwrap();
    // One line less, and one twice.
    let lines: Vec<&str> = log.lines().collect();
    for forged in [
        &lines[..lines.len() - 1],
        &[&lines[..1], &lines[..]].concat(),
    ] {
        let text: String = forged.iter().flat_map(|line| [line, "\n"]).collect();
        fs::write(folder.join("receipts.jsonl"), text).unwrap();
        let said = world.refused(3, &["catalog", "rebuild", "--from", "loc_a"]);
        assert!(said.contains("loc_a") && said.contains("SW17"), "{said}");
        // What only reads takes the other one.
        let catalog = world.json(0, &["catalog"]);
        assert_eq!(catalog.as_array().unwrap().len(), 1, "{catalog}");
    }
    rebuild_from(&world, "loc_b");
}

fn rebuild_from(world: &World, location: &str) {
    let rebuilt = world.json(0, &["catalog", "rebuild", "--from", location]);
    assert_eq!(rebuilt["points"].as_array().unwrap().len(), 1, "{rebuilt}");
}

/// A point that no receipt tells of can be made by whoever has the key: it is there, and it is unconfirmed. A snapshot of something else is
/// none, whatever its tags say.
#[test]
fn a_point_without_a_receipt_is_unconfirmed() {
    let world = World::new();
    world.json(0, &["once"]);
    let receipts = |location: &str| world.path(location).join("dev/receipts");
    for location in ["loc_a", "loc_b"] {
        copy(&receipts(location), &world.path(&format!("of-{location}")));
    }
    let receipted = world.json(0, &["catalog"])[0]["backup_id"].clone();
    let kept = world.path("kept");
    copy(&world.path("live"), &kept);
    fs::write(world.path("live/one.txt"), "by whom?\n").unwrap();
    world.json(0, &["backup", "bp_files"]);
    for location in ["loc_a", "loc_b"] {
        fs::remove_dir_all(receipts(location)).unwrap();
        copy(&world.path(&format!("of-{location}")), &receipts(location));
        let repository = world.path(location).join("dev/bp_files/k1");
        let tags = "seawall.v=1,backup_id=bp_files.op-20991231T000000Z,plan_id=bp_files";
        let forged = Command::new("restic")
            .args(["--no-cache", "-r"])
            .arg(&repository)
            .arg("--password-file")
            .arg(world.path("k1.key"))
            .args(["backup", "--tag", tags])
            .arg(world.path("live"))
            .output()
            .unwrap();
        assert!(forged.status.success(), "{forged:?}");
    }
    fs::remove_dir_all(world.path("state")).unwrap();
    let rebuilt = rebuild(&world);
    let points = rebuilt["points"].as_array().unwrap();
    let standings: Vec<(&Value, &str)> = points
        .iter()
        .map(|it| (&it["backup_id"], it["standing"].as_str().unwrap()))
        .collect();
    assert_eq!(standings.len(), 2, "{rebuilt}");
    assert!(standings.contains(&(&receipted, "verified")), "{rebuilt}");
    assert!(
        standings
            .iter()
            .any(|(_, standing)| *standing == "unconfirmed"),
        "{rebuilt}"
    );
    // What is chosen for a restore is the one with a receipt.
    let out = world.path("out");
    world.expect(0, &exporting("ds_files", &["latest"], &out));
    same(&out, &kept);
    // A person who looked at it can accept it.
    world.expect(1, &["once"]);
    world.expect(0, &["source", "accept", "ds_files"]);
    world.expect(0, &["once"]);
}

/// What cannot be looked at is where it was: without its key no repository can be listed, and no point of it is lost for that.
#[test]
fn what_cannot_be_listed_is_not_lost() {
    let world = World::new();
    world.json(0, &["once"]);
    let before = world.json(0, &["catalog"]);
    fs::remove_dir_all(world.path("state")).unwrap();
    let key = format!("k1: {{ file: {} }}", world.path("k1.key").display());
    world.configure(&[(&key, &key.replace("k1:", "k9:"))]);
    let rebuilt = rebuild(&world);
    assert_eq!(
        rebuilt["points"][0]["locations"],
        json!(["loc_a", "loc_b"]),
        "{rebuilt}"
    );
    assert_eq!(rebuilt["points"][0]["standing"], "verified", "{rebuilt}");
    world.configure(&[]);
    assert_eq!(rebuild(&world)["points"], json!([]));
    let mut after = known(&world.json(0, &["catalog"]));
    // Only what a snapshot says of itself was not known.
    after[0]["slot"] = before[0]["slot"].clone();
    assert_eq!(after, known(&before));
    world.export("ds_files", &world.path("out"));
    same(&world.path("out"), &world.path("live"));
}

/// The key that signs receipts is lost with the machine: the trust root lists another one, by which the log continues.
#[test]
fn a_log_continues_under_another_key() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::remove_dir_all(world.path("state")).unwrap();
    fs::write(world.path("rec.key"), key("rec2").to_pem().unwrap()).unwrap();
    // It reads nothing of what is there, so that it does not begin another log over it.
    let said = world.refused(4, &["once"]);
    assert!(said.contains("catalog rebuild"), "{said}");
    let rebuilt = rebuild(&world);
    assert_eq!(rebuilt["points"].as_array().unwrap().len(), 1, "{rebuilt}");
    world.json(0, &["once"]);
    world.json(0, &["backup", "bp_files"]);
    world.expect(0, &["receipts", "verify"]);
    for location in ["loc_a", "loc_b"] {
        let folder = world.path(location).join("dev/receipts/rec");
        let folder = folder.to_str().unwrap();
        world.expect(0, &["receipts", "verify", "--dir", folder]);
    }
}

/// Killed at any moment, a rebuild is begun again, and nothing else is done with a part of it.
#[test]
fn a_rebuild_that_is_killed_is_begun_again() {
    let world = World::new();
    world.json(0, &["once"]);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(1));
        world.json(0, &["backup", "bp_files"]);
    }
    let before = world.json(0, &["catalog"]);
    let (mut killed, mut ended) = (0, false);
    fs::remove_dir_all(world.path("state")).unwrap();
    for wait in (0..).map(|round| Duration::from_millis(30 * round)) {
        let mut child = world
            .command(&["catalog", "rebuild"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(wait);
        let over = child.try_wait().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        if let Some(over) = over {
            assert!(over.success(), "{over}");
            ended = true;
            break;
        }
        killed += 1;
        let said = world.run(&["once"]);
        let said = String::from_utf8_lossy(&said.stderr);
        if said.is_empty() || !said.contains("SW1714") {
            // It came to its end before it was killed.
            break;
        }
    }
    assert!(killed > 3, "{killed}");
    if !ended {
        rebuild(&world);
    }
    let all = world.json(0, &["catalog"]);
    let all = known(&all);
    assert!(
        known(&before).iter().all(|point| all.contains(point)),
        "{all:#?}"
    );
}

/// The machine is lost: another one, with the configuration, the keys, git, and one location in a bucket.
#[test]
fn a_lost_machine_goes_on_from_one_bucket() {
    let it = Bucket::new();
    it.world.json(0, &["once"]);
    let before = it.world.json(0, &["catalog"]);
    fs::remove_dir_all(it.world.path("state")).unwrap();
    fs::remove_dir_all(it.world.path("loc_a")).unwrap();
    let live = it.world.path("live");
    fs::rename(&live, it.world.path("kept")).unwrap();
    let rebuilt = it.world.json(0, &["catalog", "rebuild", "--from", "loc_b"]);
    assert_eq!(rebuilt["from"], "loc_b", "{rebuilt}");
    assert_eq!(
        it.world.json(0, &["catalog"])[0]["snapshot_id"],
        before[0]["snapshot_id"]
    );
    let out = it.world.path("out");
    it.world.export("ds_files", &out);
    same(&out, &it.world.path("kept"));
}
