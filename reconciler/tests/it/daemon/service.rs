//! The daemon as a service: what takes long for one plan delays no other, and no newer policy.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::world::World;
use crate::postgres_server::{Server, Session};

pub(super) const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'seawalld'";

/// How often the fast plan is due.
const EVERY: Duration = Duration::from_secs(5);

/// A daemon that serves until it is dropped, and its log.
pub(super) struct Service(Child, PathBuf);

impl Service {
    /// What it logs is in `run.log` of the world.
    pub(super) fn start(world: &World) -> Self {
        let log = std::fs::File::create(world.path("run.log")).unwrap();
        let mut daemon = world
            .command(&["run"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        // It listens as soon as it holds the store.
        while UnixStream::connect(world.path("state/seawalld.sock")).is_err() {
            assert!(daemon.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(daemon, world.path("run.log"))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, and says how it ended and after how long.
    pub(super) fn end(mut self) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        let status = self.0.wait().unwrap().code();
        if status != Some(0) {
            eprintln!("{}", std::fs::read_to_string(&self.1).unwrap_or_default());
        }
        (status, begin.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for what must happen within a minute, and says how long it took.
pub(super) fn wait(what: &str, until: impl Fn() -> bool) -> Duration {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}

/// `bp_files` every few seconds, and a copy of it, `bp_db`, daily, of a database with one table.
pub(super) fn with_a_database(server: &Server) -> World {
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE orders (id int)");
    let mut world = World::new();
    let model = &mut world.model;
    let mut connector = model["settings"]["connectors"]["files"].clone();
    connector["connector_id"] = "pg".into();
    connector["capabilities"] = json!(["backup"]);
    connector["consistency"] = "transaction".into();
    model["settings"]["connectors"]["pg"] = connector;
    let mut dataset = model["datasets"]["ds_files"].clone();
    dataset["dataset_id"] = "ds_db".into();
    dataset["store_type"] = "postgres".into();
    dataset["connector"] = "pg".into();
    model["datasets"]["ds_db"] = dataset;
    let mut plan = model["plans"]["bp_files"].clone();
    plan["plan_id"] = "bp_db".into();
    plan["dataset_ids"] = json!(["ds_db"]);
    model["plans"]["bp_db"] = plan;
    let every = &mut model["plans"]["bp_files"]["backup_frequency"];
    every["every_s"] = EVERY.as_secs().into();
    every["start_window_s"] = EVERY.as_secs().into();
    let files = format!(
        "ds_files: {{ files: {{ path: {} }} }}",
        world.path("live").display()
    );
    let database = serde_json::to_string(&server.binding("shop")).unwrap();
    let both = format!("{files}, ds_db: {{ postgres: {database} }}");
    world.configure(&[(&files, &both)]);
    world.publish();
    world
}

pub(super) fn slots(world: &World, plan: &str, outcome: &str) -> u64 {
    // Before the first policy is accepted there is no such plan.
    let slots = world.run(&["--format", "json", "slots", "--plan", plan]);
    let slots: Vec<Value> = serde_json::from_slice(&slots.stdout).unwrap_or_default();
    slots
        .iter()
        .filter(|slot| slot["outcome"] == outcome)
        .filter_map(|slot| slot["count"].as_u64())
        .sum()
}

/// A table lock that no dump gets past while this lives.
pub(super) fn lock(server: &Server) -> Session {
    Session::open(
        server,
        "shop",
        "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;",
    )
}

fn serial(world: &World) -> Value {
    let status = world.run(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
    status["serial"].clone()
}

/// F2 of the newcomer's diary, and the same between a dump that waits for a lock and every other plan.
#[test]
fn a_plan_that_hangs_makes_no_other_miss_a_slot_and_holds_no_policy_up() {
    let server = Server::start();
    let mut world = with_a_database(&server);
    let held = lock(&server);
    let service = Service::start(&world);
    wait("the dump never waits for the lock", || {
        server.sql("postgres", WAITING) != "0"
    });
    let before = slots(&world, "bp_files", "success");
    wait("the other plan stands still", || {
        slots(&world, "bp_files", "success") >= before + 4
    });
    world.model["plans"]["bp_files"]["name"] = "renamed".into();
    world.publish();
    let published = Value::from(world.serial);
    let took = wait("the newer policy is not taken", || {
        serial(&world) == published
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(slots(&world, "bp_files", "missed"), 0);
    assert_eq!(slots(&world, "bp_db", "success"), 0, "it still waits");
    drop(held);
    wait("what hung goes on", || {
        slots(&world, "bp_db", "success") == 1
    });
    assert_eq!(slots(&world, "bp_files", "missed"), 0);
    let (status, took) = service.end();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    // What ended under the newer bundle was decided under the older one, and says so.
    let receipts = world.json(0, &["receipts"]);
    let of_db = receipts.as_array().unwrap().iter();
    let of_db: Vec<&Value> = of_db
        .filter(|it| it["plan_id"] == "bp_db" && it["decision_type"] == "backup")
        .map(|it| &it["bundle"]["serial"])
        .collect();
    assert_eq!(of_db.len(), 2);
    assert_eq!(of_db[0], of_db[1]);
    assert_ne!(*of_db[1], published);
    world.expect(0, &["receipts", "verify"]);
}

/// Whoever asks the service to end while it works finds everything ended and recorded.
#[test]
fn a_service_that_is_asked_to_end_records_what_it_stopped() {
    let server = Server::start();
    let world = with_a_database(&server);
    let held = lock(&server);
    let service = Service::start(&world);
    let backups = |phase: &str| {
        let receipts = world.json(0, &["receipts"]);
        let all = receipts.as_array().unwrap().iter();
        all.filter(|it| it["plan_id"] == "bp_db" && it["phase"] == phase)
            .count()
    };
    wait("the dump never waits for the lock", || {
        server.sql("postgres", WAITING) != "0"
    });
    assert_eq!((backups("intent"), backups("outcome")), (1, 0));
    let (status, took) = service.end();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(backups("outcome"), 1);
    drop(held);
    let service = Service::start(&world);
    wait("the slot is not served", || {
        slots(&world, "bp_db", "success") == 1
    });
    drop(service);
}
