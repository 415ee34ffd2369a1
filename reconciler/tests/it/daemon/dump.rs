//! A `pg_dump` that dies under the daemon, and a daemon that dies over its `pg_dump`.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::world::{World, descendants};
use crate::postgres_server::{Server, Session};

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'seawalld'";
const OURS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'seawalld'";

/// A world whose one plan protects a database with one table.
fn world(server: &Server) -> World {
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE orders (id int); INSERT INTO orders SELECT generate_series(1, 1000)",
    );
    let mut world = World::new();
    world.model["datasets"]["ds_files"]["store_type"] = json!("postgres");
    let connector = &mut world.model["settings"]["connectors"]["files"];
    connector["capabilities"] = json!(["backup"]);
    connector["consistency"] = json!("transaction");
    let files = format!("files: {{ path: {} }}", world.path("live").display());
    let binding = serde_json::to_string(&server.binding("shop")).unwrap();
    world.configure(&[(&files, &format!("postgres: {binding}"))]);
    world.publish();
    world
}

/// A table lock that no dump gets past while this lives.
fn lock(server: &Server) -> Session {
    Session::open(
        server,
        "shop",
        "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;",
    )
}

/// Starts a round and waits until its `pg_dump` hangs in the lock. Gives the daemon and the dump's pid.
fn stuck(server: &Server, world: &World) -> (Child, Pid) {
    let daemon = world
        .command(&["once"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait(|| server.sql("postgres", WAITING) != "0");
    let dump = descendants(daemon.id())
        .into_iter()
        .find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|command| {
                command
                    .split('\0')
                    .next()
                    .is_some_and(|program| program.ends_with("pg_dump"))
            })
        })
        .expect("the dump runs");
    (daemon, Pid::from_raw(dump.cast_signed()))
}

fn wait(until: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !until() {
        assert!(Instant::now() < end, "it never happens");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_dump_that_is_killed_leaves_no_point_and_a_failure_receipt() {
    let server = Server::start();
    let world = world(&server);
    let held = lock(&server);
    let (mut daemon, dump) = stuck(&server, &world);
    kill(dump, Signal::SIGKILL).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(1));
    drop(held);

    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog.as_array().unwrap().len(), 1);
    assert_eq!(catalog[0]["status"], "failure", "{catalog}");
    assert_eq!(catalog[0].get("snapshot_id"), None, "{catalog}");
    for location in ["loc_a", "loc_b"] {
        let snapshots = world.path(location).join("dev/bp_files/k1/snapshots");
        let found = std::fs::read_dir(snapshots).map_or(0, Iterator::count);
        assert_eq!(found, 0, "{location}");
    }
    let slots = world.json(0, &["slots"]);
    assert_eq!(slots[0]["outcome"], "failure", "{slots}");
    let receipts = world.json(0, &["receipts"]);
    let ends: Vec<_> = receipts
        .as_array()
        .unwrap()
        .iter()
        .filter(|receipt| receipt["decision_type"] == "backup" && receipt["phase"] == "outcome")
        .collect();
    assert_eq!(ends.len(), 1, "{receipts}");
    assert_eq!(ends[0]["result"], "failure", "{receipts}");
    assert_eq!(
        ends[0]["error"]["code"],
        contract::code::DUMP_FAILED.to_string()
    );

    // Nothing of it stands in the way of the next run.
    world.expect(0, &["backup", "bp_files"]);
    assert_eq!(world.json(0, &["catalog"])[1]["status"], "success");
}

#[test]
fn a_daemon_that_is_killed_leaves_no_dump_running() {
    let server = Server::start();
    let world = world(&server);
    let held = lock(&server);
    let (mut daemon, dump) = stuck(&server, &world);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    wait(|| kill(dump, None).is_err());
    // The lock is still held: a server process that waits for it ends with its client.
    wait(|| server.sql("postgres", OURS) == "0");
    drop(held);
    let round = world.json(0, &["once"]);
    assert_eq!(round["status"]["light"], "green", "{round}");
    assert_eq!(world.json(0, &["slots"]).as_array().unwrap().len(), 1);
}

/// The last hour of a plan is a minute: the failure comes before its deadline and says what a person has to know.
#[test]
fn a_dump_that_waits_for_a_lock_names_it_and_its_holder() {
    let server = Server::start();
    let mut world = world(&server);
    for schedule in [
        "/plans/bp_files/backup_frequency",
        "/settings/schedules/daily",
    ] {
        let schedule = world.model.pointer_mut(schedule).unwrap();
        schedule["start_window_s"] = json!(1);
        schedule["completion_window_s"] = json!(12);
    }
    world.publish();
    let held = lock(&server);
    let round = world.json(1, &["once"]);
    drop(held);
    let failed = round["done"][0]["failure"].to_string();
    for word in [
        &contract::code::SOURCE_LOCKED.to_string(),
        "ds_files",
        "pg_dump",
        "public.orders",
        "role `keeper`",
    ] {
        assert!(failed.contains(word), "{round}");
    }
    wait(|| server.sql("postgres", OURS) == "0");
}

/// The process of the effect, between the daemon and the dump.
fn effect(daemon: &Child) -> Pid {
    let pid = descendants(daemon.id()).into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|command| command.split('\0').nth(1) == Some("__worker"))
    });
    Pid::from_raw(pid.expect("the effect runs").cast_signed())
}

fn pid_of(daemon: &Child) -> Pid {
    Pid::from_raw(daemon.id().cast_signed())
}

/// Whoever is asked to end, the dump is gone before anybody lets go of what it waits for, and its work at the server is, too.
#[test]
fn whoever_is_asked_to_end_leaves_no_dump_and_no_session() {
    for (asked, signal) in [
        ("daemon", Signal::SIGTERM),
        ("daemon", Signal::SIGINT),
        ("effect", Signal::SIGTERM),
        ("effect", Signal::SIGINT),
        ("effect", Signal::SIGHUP),
        ("effect", Signal::SIGQUIT),
    ] {
        let server = Server::start();
        let world = world(&server);
        let held = lock(&server);
        let (mut daemon, dump) = stuck(&server, &world);
        let target = if asked == "daemon" {
            pid_of(&daemon)
        } else {
            effect(&daemon)
        };
        kill(target, signal).unwrap();
        daemon.wait().unwrap();
        assert!(
            kill(dump, None).is_err(),
            "{asked} {signal}: the dump lives on"
        );
        wait(|| server.sql("postgres", OURS) == "0");
        drop(held);
        world.expect(0, &["backup", "bp_files"]);
    }
}

/// Nobody can clean up after being killed, so somebody else does: the daemon for its effect, the kernel for both.
#[test]
fn whoever_is_killed_leaves_no_dump() {
    for both in [false, true] {
        let server = Server::start();
        let world = world(&server);
        let held = lock(&server);
        let (mut daemon, dump) = stuck(&server, &world);
        let effect = effect(&daemon);
        if both {
            // Stopped first, so that neither sees the other end.
            kill(effect, Signal::SIGSTOP).unwrap();
            daemon.kill().unwrap();
        }
        kill(effect, Signal::SIGKILL).unwrap();
        daemon.wait().unwrap();
        if both {
            wait(|| kill(dump, None).is_err());
        } else {
            assert!(kill(dump, None).is_err(), "the dump lives on");
        }
        drop(held);
        wait(|| server.sql("postgres", OURS) == "0");
        world.expect(0, &["backup", "bp_files"]);
    }
}

#[test]
fn a_plan_that_hangs_delays_no_other() {
    let server = Server::start();
    let mut world = world(&server);
    let text = world.model.to_string();
    let twin: serde_json::Value = serde_json::from_str(
        &text
            .replace("ds_files", "ds_more")
            .replace("bp_files", "bp_more"),
    )
    .unwrap();
    let mut dataset = twin["datasets"]["ds_more"].clone();
    dataset["store_type"] = json!("files");
    dataset["connector"] = json!("plain");
    let mut plain = twin["settings"]["connectors"]["files"].clone();
    plain["connector_id"] = json!("plain");
    plain["consistency"] = json!("file");
    world.model["settings"]["connectors"]["plain"] = plain;
    world.model["datasets"]["ds_more"] = dataset;
    world.model["plans"]["bp_more"] = twin["plans"]["bp_more"].clone();
    let config = world.path("seawalld.yaml");
    let bound = std::fs::read_to_string(&config).unwrap();
    let live = world.path("live");
    let more = format!(
        "datasets: {{ ds_more: {{ files: {{ path: {} }} }}, ",
        live.display()
    );
    std::fs::write(&config, bound.replace("datasets: { ", &more)).unwrap();
    world.publish();

    let held = lock(&server);
    let (mut daemon, dump) = stuck(&server, &world);
    let snapshots = world.path("loc_b/dev/bp_more/k1/snapshots");
    wait(|| std::fs::read_dir(&snapshots).map_or(0, Iterator::count) == 1);
    assert!(
        daemon.try_wait().unwrap().is_none(),
        "the other plan still hangs"
    );
    kill(dump, Signal::SIGKILL).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(1));
    drop(held);
    let catalog = world.json(0, &["catalog"]);
    let good = |plan: &str| {
        let runs = catalog.as_array().unwrap();
        let run = runs.iter().find(|run| run["plan_id"] == plan).unwrap();
        run["status"] == "success"
    };
    assert!(good("bp_more") && !good("bp_files"), "{catalog}");
}
