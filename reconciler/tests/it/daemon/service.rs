//! The daemon as a service: what takes long for one plan delays no other, and no newer policy.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::stopping::freeze;
use super::world::World;
use crate::postgres_server::{Server, Session};

pub(super) const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'seawalld'";

/// How often the fast plan is due: several times as long as its run takes on a busy machine.
const EVERY: Duration = Duration::from_secs(10);

/// Waits until a slot has most of its window left: one whose end comes while the daemon starts is rightly missed.
fn early_in_a_slot() {
    let into_slot = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() % EVERY.as_secs()
    };
    while into_slot() > EVERY.as_secs() / 2 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

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

/// Asks for a backup of the database, and waits until its dump waits for a lock.
pub(super) fn backup_that_waits(world: &World, server: &Server) -> Child {
    let client = world
        .command(&["backup", "bp_db"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait("the dump never waits for the lock", || {
        server.sql("postgres", WAITING) != "0"
    });
    client
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
    early_in_a_slot();
    let service = Service::start(&world);
    wait("the dump never waits for the lock", || {
        server.sql("postgres", WAITING) != "0"
    });
    let before = slots(&world, "bp_files", "success");
    wait("the other plan stands still", || {
        slots(&world, "bp_files", "success") >= before + 3
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

/// A location that takes one worker at a time keeps the plans that use it waiting, and no other.
#[test]
fn a_location_is_used_by_as_many_workers_as_it_may() {
    let mut world = with_plans(3);
    let whole = [
        format!("{{ path: {} }}", world.path("loc_a").display()),
        format!("{{ path: {}, workers: 1 }}", world.path("loc_a").display()),
    ];
    let file = world.path("seawalld.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&whole[0]), "{text}");
    std::fs::write(&file, text.replace(&whole[0], &whole[1])).unwrap();
    let plans = &mut world.model["plans"];
    for plan in ["bp_0", "bp_1", "bp_2"] {
        plans[plan]["locations"] = json!(["loc_a"]);
    }
    plans["bp_2"]["locations"] = json!(["loc_b"]);
    let last = plans.as_object_mut().unwrap().remove("bp_2").unwrap();
    world.publish();
    let service = Service::start(&world);
    let works = freeze(service.id(), || {});
    world.model["plans"]["bp_2"] = last;
    world.publish();
    wait("a plan at another location waits", || {
        slots(&world, "bp_2", "success") == 1
    });
    let begun = |plan: &str| {
        let receipts = world.json(0, &["receipts"]);
        let all = receipts.as_array().unwrap().iter();
        all.filter(|it| it["plan_id"] == plan && it["phase"] == "intent")
            .count()
    };
    assert_eq!(begun("bp_0") + begun("bp_1"), 1);
    // What a person asks for waits for nobody.
    let other = if begun("bp_0") == 0 { "bp_0" } else { "bp_1" };
    let done = world.json(0, &["backup", other]);
    assert_eq!(done[0]["outcome"], "success", "{done}");
    kill(works, Signal::SIGCONT).unwrap();
    wait("the others do not follow", || {
        ["bp_0", "bp_1"]
            .iter()
            .all(|plan| slots(&world, plan, "success") == 1)
    });
    drop(service);
}

/// An inspection of the locations that the end cuts short says nothing of them: what a stopped backup left is still looked for.
#[test]
fn an_inspection_that_is_cut_short_sets_no_location_aside() {
    let server = Server::start();
    let world = with_a_database(&server);
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_db", "success") == 1
    });
    let held = lock(&server);
    let mut client = backup_that_waits(&world, &server);
    // Whoever inspects a location waits for its lock file.
    let locks = ["loc_a", "loc_b"].map(|id| {
        let file = std::fs::File::open(world.path(&format!("state/locations/{id}"))).unwrap();
        file.lock().unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
        file
    });
    std::thread::sleep(Duration::from_secs(3));
    let (status, took) = service.end();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(client.wait().unwrap().code(), Some(1));
    drop((held, locks));
    let verified = world.json(0, &["receipts", "verify"]);
    assert_eq!(verified["open"], 0, "{verified}");
}

/// Kilobytes that a process has in memory, and its CPU time with that of the children that ended, in hundredths of a second.
fn taken(process: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = fields[11..15].iter().map(|it| it.parse::<u64>().unwrap());
    (resident.unwrap(), ticks.sum())
}

/// The middle and the 99th of a hundred.
fn ranked(mut all: Vec<Duration>) -> (Duration, Duration) {
    all.sort();
    (all[all.len() / 2], all[all.len() * 99 / 100])
}

fn from_environment(name: &str, or: usize) -> usize {
    std::env::var(name).map_or(or, |text| text.parse().unwrap())
}

/// Plans `bp_0`, `bp_1` … of a folder each, daily.
fn with_plans(count: usize) -> World {
    let mut world = World::new();
    let plan = world.model["plans"]["bp_files"].take();
    let dataset = world.model["datasets"]["ds_files"].take();
    world.model["plans"] = json!({});
    world.model["datasets"] = json!({});
    let mut bindings = Vec::new();
    for number in 0..count {
        let (plan_id, dataset_id) = (format!("bp_{number}"), format!("ds_{number}"));
        let (mut plan, mut dataset) = (plan.clone(), dataset.clone());
        plan["plan_id"] = plan_id.clone().into();
        plan["dataset_ids"] = json!([dataset_id]);
        dataset["dataset_id"] = dataset_id.clone().into();
        world.model["plans"][plan_id] = plan;
        world.model["datasets"][&dataset_id] = dataset;
        let live = world.path(&format!("live/{number}"));
        std::fs::create_dir(&live).unwrap();
        std::fs::write(live.join("file"), dataset_id.repeat(1_000)).unwrap();
        let path = live.display();
        bindings.push(format!("{dataset_id}: {{ files: {{ path: {path} }} }}"));
    }
    let files = format!(
        "ds_files: {{ files: {{ path: {} }} }}",
        world.path("live").display()
    );
    world.configure(&[
        (&files, &bindings.join(", ")),
        ("interval: PT1S", "interval: PT1S\nlook_interval: PT5M"),
    ]);
    world.publish();
    world
}

/// What the log says from a place on.
fn logged(world: &World, said: &str) -> usize {
    let log = std::fs::read_to_string(world.path("run.log")).unwrap();
    log.lines().filter(|line| line.contains(said)).count()
}

/// Slots of all plans but the one that hangs, by how they ended.
fn ended(world: &World, outcome: &str) -> u64 {
    let all = world.json(0, &["slots"]);
    let all = all.as_array().unwrap().iter();
    all.filter(|it| it["plan_id"] != "bp_db" && it["outcome"] == outcome)
        .filter_map(|it| it["count"].as_u64())
        .sum()
}

/// A dump that waits for a lock for as long as its window allows, beside many plans that are due every five minutes.
#[test]
#[ignore = "takes a quarter of an hour: scripts/bench-service runs it"]
fn a_plan_that_hangs_for_long_costs_many_others_nothing() {
    let plans = from_environment("BESIDE", 100);
    let minutes = from_environment("MINUTES", 10) as u64;
    let server = Server::start();
    let mut world = with_plans(plans);
    let database = serde_json::to_string(&server.binding("shop")).unwrap();
    let file = world.path("seawalld.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, tail) = text.split_once("datasets: { ").unwrap();
    let bound = format!("{head}datasets: {{ ds_db: {{ postgres: {database} }}, {tail}");
    std::fs::write(&file, bound).unwrap();
    let usual = with_a_database(&server);
    world.model["datasets"]["ds_db"] = usual.model["datasets"]["ds_db"].clone();
    world.model["plans"]["bp_db"] = usual.model["plans"]["bp_db"].clone();
    world.model["settings"]["connectors"] = usual.model["settings"]["connectors"].clone();
    let all = world.model["plans"].as_object_mut().unwrap();
    for (plan_id, plan) in all {
        let schedule = &mut plan["backup_frequency"];
        let long = plan_id == "bp_db";
        schedule["every_s"] = if long { 86_400 } else { 300 }.into();
        schedule["jitter_s"] = if long { 0 } else { 200 }.into();
        schedule["start_window_s"] = if long { 60 } else { 280 }.into();
        schedule["completion_window_s"] = if long { minutes * 60 } else { 299 }.into();
    }
    world.publish();
    let held = lock(&server);
    let service = Service::start(&world);
    let begin = Instant::now();
    while server.sql("postgres", WAITING) == "0" {
        std::thread::sleep(Duration::from_secs(1));
        assert!(begin.elapsed() < Duration::from_mins(10), "it never waits");
    }
    // All of them are due at once at the beginning; what is missed then is told by another measurement.
    while ended(&world, "success") < plans as u64 {
        std::thread::sleep(Duration::from_secs(2));
        assert!(
            begin.elapsed() < Duration::from_mins(10),
            "they are never ready"
        );
    }
    let before = ["success", "missed", "failure"].map(|it| ended(&world, it));
    let begin = Instant::now();
    let (mut pushes, mut hung) = (Vec::new(), Duration::ZERO);
    while server.sql("postgres", WAITING) != "0"
        && begin.elapsed() < Duration::from_mins(minutes + 1)
    {
        world.model["plans"]["bp_0"]["name"] = format!("{}", world.serial).into();
        world.publish();
        let pushed = Instant::now();
        let said = format!("bundle accepted serial={}", world.serial);
        while logged(&world, &said) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        pushes.push(pushed.elapsed());
        hung = begin.elapsed();
        std::thread::sleep(Duration::from_secs(20));
    }
    let pushed = pushes.len();
    let (middle, last) = ranked(pushes);
    let after = ["success", "missed", "failure"].map(|it| ended(&world, it));
    let [succeeded, missed, failed] = [0, 1, 2].map(|at| after[at] - before[at]);
    println!(
        "one plan hung for {} s beside {plans}: {} slots succeeded, {} missed, {} failed; {pushed} pushes accepted after {middle:.2?} (median), {last:.2?} (longest)",
        hung.as_secs(),
        succeeded,
        missed,
        failed
    );
    drop(held);
    let (status, took) = service.end();
    println!("       ended with {status:?} after {took:.2?}");
    assert_eq!((missed, failed), (0, 0));
}

#[test]
#[ignore = "a benchmark: scripts/bench-service runs it"]
fn what_a_service_costs() {
    let plans = from_environment("PLANS", 100);
    let pushes = from_environment("PUSHES", 200);
    let idle = Duration::from_secs(from_environment("IDLE_S", 60) as u64);
    let mut world = with_plans(plans);
    let begin = Instant::now();
    let service = Service::start(&world);
    while logged(&world, "light=Green") == 0 {
        std::thread::sleep(Duration::from_millis(200));
        assert!(begin.elapsed() < Duration::from_hours(1), "never ready");
    }
    println!(
        "{plans:>6} plans ready after {:>8.1} s",
        begin.elapsed().as_secs_f64()
    );
    let (_, before) = taken(service.id());
    std::thread::sleep(idle);
    let (resident, after) = taken(service.id());
    let hours = idle.as_secs_f64() / 3_600.0;
    let seconds = f64::from(u32::try_from(after - before).unwrap()) / 100.0;
    println!(
        "{:>6} MiB resident, idle CPU {:.0} s an hour",
        resident / 1_024,
        seconds / hours
    );
    let mut taken_after = Vec::new();
    for _ in 0..pushes {
        world.model["plans"]["bp_0"]["name"] = format!("{}", world.serial).into();
        world.publish();
        let begin = Instant::now();
        let said = format!("bundle accepted serial={}", world.serial);
        while logged(&world, &said) == 0 {
            std::thread::sleep(Duration::from_millis(5));
            assert!(begin.elapsed() < Duration::from_mins(1), "{said}");
        }
        taken_after.push(begin.elapsed());
    }
    let (middle, last) = ranked(taken_after);
    println!(
        "{pushes:>6} pushes accepted after {middle:.2?} (median), {last:.2?} (p99), looking at git each second"
    );
    let (status, took) = service.end();
    println!("       ended with {status:?} after {took:.2?}");
}
