//! What ends a restore or a check, and what does not: a person can stop it at any moment, and no window of backups ends it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reconciler::store::Store as _;
use reconciler::world::store_sqlite::SqliteStore;
use rstest::rstest;
use serde_json::Value;

use crate::postgres_server::Server;

use super::service::with_a_database;
use super::world::{World, descendants, exporting, replacing, same};

/// A world with a recovery point of some MiB.
fn backed_up() -> World {
    let world = World::new();
    fs::write(world.path("live/large.bin"), vec![9_u8; 8 << 20]).unwrap();
    world.json(0, &["once"]);
    world
}

/// Starts a command and freezes the process that reads or writes for it, as a disk does that stops to answer.
fn frozen(world: &World, arguments: &[&str]) -> (Child, Pid) {
    let mut child = world
        .command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let works = freeze(child.id(), || {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
    });
    (child, works)
}

/// Freezes the process that reads or writes for a daemon, as soon as there is one.
pub(super) fn freeze(daemon: u32, mut looks: impl FnMut()) -> Pid {
    loop {
        let works = descendants(daemon).into_iter().find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(8).any(|word| word == b"__worker"))
        });
        if let Some(pid) = works {
            let pid = Pid::from_raw(pid.cast_signed());
            kill(pid, Signal::SIGSTOP).unwrap();
            return pid;
        }
        looks();
    }
}

/// The exit status of a command, and how long it took to end.
fn ended(mut child: Child) -> (Option<i32>, Duration) {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), begin.elapsed());
        }
        if begin.elapsed() > Duration::from_mins(1) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_restore_outlasts_the_window_of_backups() {
    let mut world = backed_up();
    let frequency = &mut world.model["plans"]["bp_files"]["backup_frequency"];
    assert!(frequency["completion_window_s"].is_u64());
    frequency["completion_window_s"] = Value::from(1);
    world.publish();
    let out = world.path("out");
    let (child, works) = frozen(&world, &exporting("ds_files", &["latest"], &out));
    std::thread::sleep(Duration::from_secs(2));
    kill(works, Signal::SIGCONT).unwrap();
    assert_eq!(ended(child).0, Some(0));
    same(&world.path("live"), &out);
}

#[rstest]
fn whoever_is_asked_to_end_does_so_at_once_and_says_so(
    #[values("verify", "export-only", "side-by-side", "in-place")] what: &str,
) {
    let world = backed_up();
    let (before, out) = (world.path("before"), world.path("out"));
    let copy = [
        "-a",
        world.path("live").to_str().unwrap(),
        before.to_str().unwrap(),
    ]
    .map(str::to_owned);
    assert!(Command::new("cp").args(copy).status().unwrap().success());
    let mut beside = exporting("ds_files", &["latest"], &out);
    beside[4] = "side-by-side";
    let (about, arguments) = match what {
        "verify" => ("verification", vec!["verify"]),
        "export-only" => ("restore", exporting("ds_files", &["latest"], &out)),
        "side-by-side" => ("restore", beside),
        _ => (
            "restore",
            [
                replacing("ds_files", &["latest"]),
                vec!["--without-safety-point"],
            ]
            .concat(),
        ),
    };
    let (child, _works) = frozen(&world, &arguments);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let (status, took) = ended(child);
    assert_eq!(status, Some(1));
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Ended and recorded, with nothing half done.
    let receipts = world.json(0, &["receipts"]);
    let last = receipts.as_array().unwrap().last().unwrap();
    let told = (&last["decision_type"], &last["phase"], &last["result"]);
    let wanted = (
        &Value::from(about),
        &Value::from("outcome"),
        &Value::from("failure"),
    );
    assert_eq!(told, wanted, "{last}");
    assert!(last["error"].to_string().contains("SW1102"), "{last}");
    assert!(!out.exists());
    same(&before, &world.path("live"));
    let spool = fs::read_dir(world.path("state/spool"));
    assert_eq!(
        spool.map_or(0, Iterator::count),
        0,
        "nothing is left in the spool"
    );
    // The next one does it.
    world.expect(0, &arguments);
}

/// A world of which a restore takes some seconds to put in place, whose live data have changed since the point was taken.
fn with_many_files() -> World {
    let world = World::new();
    for number in 0..6_000 {
        fs::write(world.path(&format!("live/{number:05}")), "a line\n").unwrap();
    }
    world.json(0, &["once"]);
    fs::write(world.path("live/00000"), "changed since\n").unwrap();
    world
}

fn restoring<'a>(mode: &'a str, out: &'a std::path::Path) -> Vec<&'a str> {
    let mut all = match mode {
        "in-place" => replacing("ds_files", &["latest"]),
        _ => exporting("ds_files", &["latest"], out),
    };
    if mode == "in-place" {
        all.push("--without-safety-point");
    } else {
        all[4] = mode;
    }
    all
}

/// Starts a restore and waits until its worker puts data in place.
fn applying(world: &World, arguments: &[&str]) -> Child {
    let mut child = world
        .command(arguments)
        .env("SEAWALLD_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = log
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("is put in place"));
    assert!(begun, "it never puts anything in place");
    std::thread::spawn(move || log.map_while(Result::ok).count());
    child
}

/// The one outcome of the restore.
fn outcome(world: &World) -> Value {
    let receipts = world.json(0, &["receipts"]);
    let all = receipts.as_array().unwrap().iter();
    let mut ends = all.filter(|it| it["decision_type"] == "restore" && it["phase"] != "intent");
    let end = ends.next().unwrap().clone();
    assert!(ends.next().is_none(), "{receipts}");
    assert_eq!(world.json(0, &["receipts", "verify"])["open"], 0);
    end
}

#[rstest]
fn a_restore_that_is_ended_while_it_puts_data_in_place_undoes_it(
    #[values("export-only", "side-by-side", "in-place")] mode: &str,
) {
    let world = with_many_files();
    let (before, out) = (world.path("before"), world.path("out"));
    let copied = Command::new("cp")
        .arg("-a")
        .args([&world.path("live"), &before])
        .status();
    assert!(copied.unwrap().success());
    let names = || {
        let beside = fs::read_dir(world.path("")).unwrap();
        let mut all: Vec<_> = beside.map(|it| it.unwrap().file_name()).collect();
        all.sort();
        all
    };
    let at_first = names();
    let arguments = restoring(mode, &out);
    let child = applying(&world, &arguments);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let (status, took) = ended(child);
    assert_eq!(status, Some(1));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let end = outcome(&world);
    assert_eq!(end["result"], "failure", "{end}");
    assert_eq!(end["error"]["code"], "SW1513", "{end}");
    same(&before, &world.path("live"));
    assert_eq!(names(), at_first, "nothing is left beside it");
    world.expect(0, &arguments);
}

/// The worker dies and its daemon does not: what it left is looked at at once, and the receipt says which data are live.
#[rstest]
fn a_restore_whose_worker_dies_while_it_puts_data_in_place_is_looked_at(
    #[values("export-only", "side-by-side", "in-place")] mode: &str,
) {
    let world = with_many_files();
    let out = world.path("out");
    let arguments = restoring(mode, &out);
    let child = applying(&world, &arguments);
    for pid in descendants(child.id()) {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
    assert_eq!(ended(child).0, Some(1));
    let end = outcome(&world);
    let told = end["error"]["summary"].as_str().unwrap();
    assert_eq!(end["details"]["probed"], "after a lost outcome", "{end}");
    assert!(end["details"]["lost"].is_string(), "{end}");
    let live = fs::read_to_string(world.path("live/00000")).unwrap();
    if told.contains("the restored data are live") {
        assert_eq!((mode, live.as_str()), ("in-place", "a line\n"));
        assert_eq!(end["result"], "partial", "{end}");
    } else {
        assert_eq!(live, "changed since\n", "{told}");
        assert_eq!(end["result"], "failure", "{end}");
    }
    assert!(!out.exists(), "what is not whole has not the name");
    world.expect(0, &arguments);
}

/// A database that was being loaded is dropped, and its server works for nobody any more.
#[test]
fn a_restore_of_a_database_that_is_ended_leaves_no_database() {
    let server = Server::start();
    let world = with_a_database(&server);
    server.sql(
        "shop",
        "INSERT INTO orders SELECT generate_series(1, 2000000)",
    );
    server.sql("shop", "CREATE INDEX orders_id ON orders (id)");
    world.json(0, &["once"]);
    let databases = || {
        server.sql(
            "postgres",
            "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database",
        )
    };
    let at_first = databases();
    let mut arguments = exporting("ds_db", &["latest"], std::path::Path::new("shop_copy"));
    arguments[4] = "side-by-side";
    let child = applying(&world, &arguments);
    while databases() == at_first {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let (status, took) = ended(child);
    assert_eq!(status, Some(1));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(databases(), at_first);
    let end = outcome(&world);
    assert_eq!(end["result"], "failure", "{end}");
    world.expect(0, &arguments);
    assert_eq!(
        server.sql("shop_copy", "SELECT count(*) FROM orders"),
        "2000000"
    );
}

/// Another process takes the store over while a check goes on: what the check found is not recorded, and the newer one closes it.
#[test]
fn a_process_whose_store_was_taken_over_records_nothing_more() {
    let world = backed_up();
    let (child, _works) = frozen(&world, &["verify"]);
    let before = world.json(0, &["receipts"]).as_array().unwrap().len();
    world.refused(4, &["backup", "bp_files"]);
    // Whoever removes the lock takes it away from a process that is still there.
    fs::remove_file(world.path("state/lock")).unwrap();
    let begin = Instant::now();
    let done = world.json(0, &["backup", "bp_files"]);
    assert_eq!(done[0]["outcome"], "success", "{done}");
    assert!(
        begin.elapsed() > Duration::from_secs(20),
        "it waits for the other to end"
    );
    let after = world.json(0, &["receipts"]).as_array().unwrap().len();
    assert!(after > before, "{before} {after}");
    // It has noticed by then, and ended its worker.
    let (status, took) = ended(child);
    assert_eq!(status, Some(4));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let receipts = world.json(0, &["receipts"]);
    let receipts = receipts.as_array().unwrap();
    assert_eq!(receipts.len(), after, "nothing was added");
    let closed = receipts
        .iter()
        .find(|it| it["details"]["probed"].is_string());
    assert_eq!(closed.unwrap()["decision_type"], "verification");
    world.expect(0, &["receipts", "verify"]);
    // The lock is the same file as before again: nothing is waited for.
    let begin = Instant::now();
    world.json(0, &["backup", "bp_files"]);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// The worker of a process that lost the store stores the point of a collapsed source. What the connectors saw is kept for the newer process,
/// which finds the point and does not take it for a good one.
#[test]
fn a_point_of_a_collapsed_source_is_found_and_not_good() {
    let world = backed_up();
    fs::rename(world.path("live"), world.path("good")).unwrap();
    fs::create_dir(world.path("live")).unwrap();
    fs::write(world.path("live/README"), "a mount point\n").unwrap();
    let (child, works) = frozen(&world, &["backup", "bp_files"]);
    let epoch = || {
        let store = SqliteStore::open_read_only(&world.path("state/store.sqlite"));
        store.unwrap().epoch()
    };
    let before = epoch();
    fs::remove_file(world.path("state/lock")).unwrap();
    let mut newer = world
        .command(&["verify"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while epoch() == before {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(works, Signal::SIGCONT).unwrap();
    assert_eq!(ended(child).0, Some(4));
    newer.wait().unwrap();
    let catalog = world.json(0, &["catalog"]);
    let found = catalog.as_array().unwrap().last().unwrap();
    assert_eq!(found["status"], "success", "{catalog}");
    assert!(found["collapsed"]["ds_files"].is_string(), "{catalog}");
    // Nothing of either process is left, and what a killed one left goes at the next start.
    let spool = || fs::read_dir(world.path("state/spool")).map_or(0, Iterator::count);
    assert_eq!(spool(), 0);
    fs::create_dir_all(world.path("state/spool/backup.bp_files.left")).unwrap();
    world.json(0, &["verify"]);
    assert_eq!(spool(), 0);
}

/// One `once` does what a long run made due, and not only what was due when it began.
#[test]
fn once_does_what_became_due_during_a_long_step() {
    let mut world = World::new();
    let frequency = &mut world.model["plans"]["bp_files"]["backup_frequency"];
    for (name, seconds) in [
        // Whenever it begins, a slot is open after the long step.
        ("every_s", 10),
        ("start_window_s", 10),
        ("completion_window_s", 10),
    ] {
        assert!(frequency[name].is_u64(), "{name}");
        frequency[name] = Value::from(seconds);
    }
    world.publish();
    let (child, works) = frozen(&world, &["once"]);
    std::thread::sleep(Duration::from_secs(11));
    kill(works, Signal::SIGCONT).unwrap();
    ended(child);
    let catalog = world.json(0, &["catalog"]);
    assert!(catalog.as_array().unwrap().len() > 1, "{catalog}");
}
