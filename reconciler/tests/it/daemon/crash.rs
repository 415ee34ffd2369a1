//! The daemon killed at every point of a backup: the next round finishes the work, no slot ends twice, and nothing that was
//! left counts as good.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{World, same};

/// What the log says at each point, in the order of a run.
const POINTS: [&str; 11] = [
    "bundle accepted",
    "step begins",
    "intent is recorded",
    "connector prepares the source",
    "vault reads the sources",
    "connectors judge what was read",
    "recovery point is visible",
    "the effect has ended",
    "recovery point is in the catalog",
    "location is sound",
    "the check is recorded",
];

/// Runs `once` and kills it as soon as it says this. False when it ended before.
pub fn kill_at(world: &World, point: &str) -> bool {
    let mut child = world
        .command(&["once"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut struck = false;
    for line in lines.map_while(Result::ok) {
        if line.contains(point) {
            child.kill().unwrap();
            struck = true;
            break;
        }
    }
    child.wait().unwrap();
    struck
}

#[test]
fn killed_at_any_point_the_next_round_finishes_the_work() {
    for point in POINTS {
        let world = World::new();
        assert!(kill_at(&world, point), "`{point}` was never reached");
        // Whatever the child of the killed daemon still does, it ends by itself: its standard input is gone.
        let round = world.json(0, &["once"]);
        assert_eq!(
            round["status"]["light"], "green",
            "after `{point}`: {round}"
        );
        assert!(
            world.expect(0, &["once"]).starts_with("nothing to do"),
            "after `{point}`"
        );

        let slots = world.json(0, &["slots"]);
        let slots = slots.as_array().unwrap();
        assert_eq!(slots.len(), 1, "after `{point}`: {slots:?}");
        assert_eq!(slots[0]["outcome"], "success", "after `{point}`: {slots:?}");
        let catalog = world.json(0, &["catalog"]);
        let points: BTreeSet<&str> = catalog
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["backup_id"].as_str().unwrap())
            .collect();
        assert_eq!(points.len(), 1, "after `{point}`: {catalog}");
        same(
            &world.path("loc_a/dev/bp_files"),
            &world.path("loc_b/dev/bp_files"),
        );
        let verified = world.json(0, &["receipts", "verify"]);
        assert_eq!(verified["open"], 0, "after `{point}`: {verified}");
        let out = world.path("out");
        world.expect(
            0,
            &[
                "restore",
                "--dataset",
                "ds_files",
                "--point",
                "latest",
                "--mode",
                "export-only",
                "--target",
                out.to_str().unwrap(),
            ],
        );
        same(&out, &world.path("live"));
    }
}

fn wait_for(child: &mut Child, said: &str) {
    let stderr = child.stderr.take().unwrap();
    let found = BufReader::new(stderr)
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains(said));
    assert!(found, "`{said}` was never said");
}

#[test]
fn one_process_holds_the_store_and_ends_cleanly_when_asked() {
    let world = World::new();
    let mut daemon = world
        .command(&["run"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut daemon, "round ended");
    assert!(world.refused(4, &["once"]).contains("SW1301"));
    // Who only reads is let in.
    assert_eq!(world.json(0, &["status"])["light"], "green");
    kill(
        Pid::from_raw(daemon.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = daemon.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    world.expect(0, &["receipts", "verify"]);
}

#[test]
fn a_receipt_log_that_lost_its_end_is_never_extended() {
    let world = World::new();
    world.json(0, &["once"]);
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let said = world.refused(3, &["once"]);
    assert!(said.contains("SW1714"), "{said}");
}

#[test]
fn one_flipped_byte_in_a_copy_of_the_receipts_is_told() {
    let world = World::new();
    world.json(0, &["once"]);
    let copy = world.path("loc_a/dev/receipts/rec");
    let file = copy.join("receipts.jsonl");
    let good = std::fs::read(&file).unwrap();
    for place in (0..good.len()).step_by(good.len() / 12) {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        let said = world.refused(3, &["receipts", "verify", "--dir", copy.to_str().unwrap()]);
        assert!(said.contains("SW17"), "byte {place}: {said}");
    }
    std::fs::write(&file, &good).unwrap();
    world.expect(0, &["receipts", "verify", "--dir", copy.to_str().unwrap()]);
}
