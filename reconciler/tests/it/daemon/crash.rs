//! The daemon killed at every point of a backup: the next round finishes the work, no slot ends twice, and nothing that was
//! left counts as good.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{World, descendants, replacing, same, same_objects};

/// What the log says at each point, in the order of a run; all words of a point stand in one line.
const POINTS: [&[&str]; 23] = [
    &["bundle accepted"],
    &["operation_started"],
    &["intent is recorded"],
    &["connector prepares the source"],
    &["vault reads the sources"],
    &["object is durable", "loc_a", "Key"],
    &["object is durable", "loc_b", "Key"],
    &["object is durable", "loc_a", "Config"],
    &["object is durable", "loc_b", "Config"],
    &["location is locked", "loc_a"],
    &["location is locked", "loc_b"],
    &["object is durable", "loc_a", "Pack"],
    &["object is durable", "loc_b", "Pack"],
    &["object is durable", "loc_a", "Index"],
    &["object is durable", "loc_b", "Index"],
    &["connectors judge what was read"],
    &["object is durable", "loc_a", "Snapshot"],
    &["object is durable", "loc_b", "Snapshot"],
    &["recovery point is visible"],
    &["the effect has ended"],
    &["recovery point is in the catalog"],
    &["location is sound"],
    &["the check is recorded"],
];

/// Who dies: the daemon alone, whose child then ends by itself, or everything at once, as when the power goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Daemon,
    Everything,
}

fn strike(child: &mut Child, victim: Victim) {
    let family = match victim {
        Victim::Daemon => vec![],
        Victim::Everything => descendants(child.id()),
    };
    child.kill().unwrap();
    for pid in family {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
    child.wait().unwrap();
}

/// Runs a command and strikes as soon as it says all these words in one line. False when it ended before.
pub fn kill_at(world: &World, arguments: &[&str], words: &[&str], victim: Victim) -> bool {
    let mut child = world
        .command(arguments)
        .env("SEAWALLD_LOG", "warn,reconciler=debug")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let reached = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| words.iter().all(|word| line.contains(word)));
    strike(&mut child, victim);
    reached
}

/// Everything is as if nobody had been killed: one slot, one point, the same at both locations, and it restores.
fn made_whole(world: &World, after: &str) {
    let round = world.json(0, &["once"]);
    assert_eq!(round["status"]["light"], "green", "after {after}: {round}");
    assert!(
        world.expect(0, &["once"]).starts_with("nothing to do"),
        "after {after}"
    );
    let slots = world.json(0, &["slots"]);
    let slots = slots.as_array().unwrap();
    assert_eq!(slots.len(), 1, "after {after}: {slots:?}");
    assert_eq!(slots[0]["outcome"], "success", "after {after}: {slots:?}");
    let catalog = world.json(0, &["catalog"]);
    let points: BTreeSet<&str> = catalog
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["backup_id"].as_str().unwrap())
        .collect();
    assert_eq!(points.len(), 1, "after {after}: {catalog}");
    same_objects(
        &world.path("loc_a/dev/bp_files"),
        &world.path("loc_b/dev/bp_files"),
    );
    let verified = world.json(0, &["receipts", "verify"]);
    assert_eq!(verified["open"], 0, "after {after}: {verified}");
    let out = world.path("out");
    world.export("ds_files", &out);
    same(&out, &world.path("live"));
}

fn killed_at(points: &[&[&str]], victim: Victim) {
    for words in points {
        let world = World::new();
        let point = words.join(" ");
        assert!(
            kill_at(&world, &["once"], words, victim),
            "`{point}` was never reached"
        );
        made_whole(&world, &point);
        println!("killed at `{point}`; the next round made it whole");
    }
}

#[test]
fn killed_with_its_children_before_and_in_the_first_writes_the_next_round_finishes_the_work() {
    killed_at(&POINTS[..9], Victim::Everything);
}

#[test]
fn killed_with_its_children_while_packs_and_indexes_are_written_the_next_round_finishes_the_work() {
    killed_at(&POINTS[9..16], Victim::Everything);
}

#[test]
fn killed_with_its_children_from_the_snapshot_on_the_next_round_finishes_the_work() {
    killed_at(&POINTS[16..], Victim::Everything);
}

#[test]
fn killed_alone_the_daemon_leaves_a_child_that_ends_and_the_next_round_finishes_the_work() {
    let every_third: Vec<_> = POINTS.iter().copied().step_by(3).collect();
    killed_at(&every_third, Victim::Daemon);
}

/// What the connector knew of a JSON log is not lost with the process: the record of the point has its manifest.
#[test]
fn a_point_that_was_found_after_a_crash_keeps_its_manifest() {
    let (world, file) = World::with_log("{\"a\":1}\n{\"a\":2}\n");
    let struck = kill_at(
        &world,
        &["once"],
        &["recovery point is visible"],
        Victim::Everything,
    );
    assert!(struck);
    let round = world.json(0, &["once"]);
    assert_eq!(round["status"]["light"], "green", "{round}");
    let catalog = world.json(0, &["catalog"]);
    assert!(catalog[0]["manifests"]["ds_files"].is_object(), "{catalog}");
    // The connector's own memory is there too: a log that was rewritten since is noticed.
    std::fs::write(&file, "{\"b\":1}\n{\"b\":2}\n{\"b\":3}\n").unwrap();
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(said.contains("SW1508"), "{said}");
}

/// A restore over the live data that dies on its way: the receipt says which data are live, and that is true.
#[test]
fn a_restore_in_place_that_was_killed_is_looked_at_and_told() {
    for (words, outcome) in [
        (&["content is checked"][..], None),
        (&["the folders are exchanged"][..], Some("partial")),
    ] {
        let world = World::new();
        world.json(0, &["once"]);
        std::fs::write(world.path("live/one.txt"), "changed since\n").unwrap();
        let catalog = world.json(0, &["catalog"]);
        let first = catalog[0]["backup_id"].as_str().unwrap().to_owned();
        let restore = replacing("ds_files", &["backup-id", &first]);
        assert!(kill_at(&world, &restore, words, Victim::Everything));
        world.run(&["once"]);

        let receipts = world.json(0, &["receipts"]);
        let ends: Vec<_> = receipts
            .as_array()
            .unwrap()
            .iter()
            .filter(|receipt| receipt["decision_type"] == "restore" && receipt["phase"] != "intent")
            .collect();
        assert_eq!(ends.len(), 1, "{receipts}");
        let told = ends[0]["error"]["summary"].as_str().unwrap();
        let live = std::fs::read_to_string(world.path("live/one.txt")).unwrap();
        if told.contains("the restored data are live") {
            assert_eq!(live, "one\n", "{told}");
            assert_eq!(ends[0]["result"], "partial");
        } else {
            assert_eq!(live, "changed since\n", "{told}");
            assert_eq!(ends[0]["result"], "failure");
        }
        if let Some(outcome) = outcome {
            assert_eq!(ends[0]["result"], outcome, "{told}");
        }
        let verified = world.json(0, &["receipts", "verify"]);
        assert_eq!(verified["open"], 0, "{verified}");
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
    wait_for(&mut daemon, "light=Green");
    let said = world.refused(4, &["once"]);
    assert!(said.contains("SW1301"), "{said}");
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
