//! Locations that are not what they should be: nothing is written to them or believed of them, and the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contract::digest::Digest;
use rstest::rstest;
use serde_json::Value;

use super::service::{Service, slots, wait};
use super::world::World;

const MARK: &str = ".seawall-location.json";

/// Something mounted or frozen for a test, undone when it goes.
pub struct Undo(Vec<Command>);

impl Drop for Undo {
    fn drop(&mut self) {
        for command in &mut self.0 {
            let _ = command.status();
        }
    }
}

fn ran(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(
        status.success(),
        "{program} {arguments:?}: these tests run as root"
    );
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Recovery points, and at how many of them each location is named.
fn points(world: &World) -> (usize, BTreeMap<String, usize>) {
    let catalog = world.json(0, &["catalog"]);
    let mut at = BTreeMap::new();
    let runs: Vec<&Value> = catalog
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["status"] == "success")
        .collect();
    for run in &runs {
        for location in run["storage_locations"].as_object().unwrap().keys() {
            *at.entry(location.clone()).or_insert(0) += 1;
        }
    }
    (runs.len(), at)
}

fn light(world: &World) -> String {
    let status = world.run(&["--format", "json", "status"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    status["light"].as_str().unwrap().to_owned()
}

fn finding(world: &World, subject: &str) -> Value {
    let all = world.run(&["--format", "json", "doctor"]);
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    let all = all.as_array().cloned().unwrap_or_default();
    all.into_iter()
        .find(|finding| finding["subject"] == subject)
        .unwrap()
}

/// A disk of its own at a location.
fn mount(at: &Path) -> Undo {
    mounted(at, "50m")
}

pub fn mounted(at: &Path, size: &str) -> Undo {
    let size = format!("size={size}");
    ran(
        "mount",
        &["-t", "tmpfs", "-o", &size, "seawall-test", text(at)],
    );
    Undo(vec![command("umount", &["--lazy", text(at)])])
}

#[test]
fn an_empty_mount_point_is_not_the_location() {
    let world = World::new();
    let disk = mount(&world.path("loc_b"));
    world.json(0, &["once"]);
    assert_eq!(points(&world).1["loc_b"], 1);
    drop(disk);
    assert!(names(&world.path("loc_b")).is_empty());
    let found = finding(&world, "location loc_b");
    assert_eq!(found["code"], "SW1422", "{found}");
    world.expect(1, &["doctor"]);
    fs::write(world.path("live/new"), "new").unwrap();
    world.run(&["backup", "bp_files"]);
    world.run(&["once"]);
    assert!(
        names(&world.path("loc_b")).is_empty(),
        "nothing is written there"
    );
    assert_ne!(light(&world), "green");
    let (all, at) = points(&world);
    assert_eq!((all, at["loc_a"], at["loc_b"]), (2, 2, 1));
}

/// Two years ago there were no marks: a location that holds what the catalog names is taken over, an empty one is not.
#[test]
fn an_installation_without_marks_is_recognised_by_its_points() {
    let world = World::new();
    world.json(0, &["once"]);
    forget_marks(&world);
    world.json(0, &["once"]);
    for location in ["loc_a", "loc_b"] {
        assert!(world.path(location).join(MARK).exists());
    }
    assert_eq!(light(&world), "green");
    forget_marks(&world);
    fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    fs::create_dir(world.path("loc_b")).unwrap();
    world.run(&["once"]);
    assert!(names(&world.path("loc_b")).is_empty());
    assert_ne!(light(&world), "green");
}

/// As an older version would have left it.
fn forget_marks(world: &World) {
    for location in ["loc_a", "loc_b"] {
        fs::remove_file(world.path(location).join(MARK)).unwrap();
    }
    let store = world.path("state/store.sqlite");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        use sqlx::{Connection as _, Executor as _};
        let mut store = sqlx::SqliteConnection::connect(text(&store)).await.unwrap();
        store
            .execute("DELETE FROM location_identity")
            .await
            .unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_person_adopts_a_new_disk_and_a_receipt_says_so() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::remove_dir_all(world.path("loc_b")).unwrap();
    fs::create_dir(world.path("loc_b")).unwrap();
    world.run(&["once"]);
    assert!(names(&world.path("loc_b")).is_empty());
    world.refused(2, &["location", "adopt", "loc_c"]);
    world.expect(0, &["location", "adopt", "loc_b"]);
    assert!(world.path("loc_b").join(MARK).exists());
    let receipts = world.json(0, &["receipts"]);
    let adopted = receipts
        .as_array()
        .unwrap()
        .iter()
        .filter(|receipt| receipt["details"]["how"] == "adopted")
        .count();
    assert_eq!(adopted, 1, "{receipts}");
    world.json(0, &["receipts", "verify"]);
    world.json(0, &["once"]);
    world.json(0, &["once"]);
    assert_eq!(light(&world), "green");
    assert_eq!(points(&world).1["loc_b"], 1, "it has caught up");
}

/// The disk of another location at this one's mount point.
#[test]
fn the_disk_of_another_location_is_neither_used_nor_adopted() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::rename(world.path("loc_b"), world.path("b-away")).unwrap();
    ran(
        "cp",
        &["-a", text(&world.path("loc_a")), text(&world.path("loc_b"))],
    );
    let before = names(&world.path("loc_b/dev/bp_files/k1/snapshots"));
    world.run(&["backup", "bp_files"]);
    assert_eq!(
        names(&world.path("loc_b/dev/bp_files/k1/snapshots")),
        before
    );
    assert_eq!(
        names(&world.path("loc_a/dev/bp_files/k1/snapshots")).len(),
        2
    );
    assert_eq!(light(&world), "red");
    let said = world.refused(1, &["location", "adopt", "loc_b"]);
    assert!(said.contains("SW1427"), "{said}");
}

/// `loc_b` is `loc_a`, by a link, by a folder below it, and by a bind mount.
#[test]
fn two_locations_that_are_one_folder_are_refused() {
    let prepare: [(&str, fn(&World) -> Undo); 4] = [
        ("link", |world| {
            fs::remove_dir(world.path("loc_b")).unwrap();
            symlink("loc_a", world.path("loc_b")).unwrap();
            Undo(vec![])
        }),
        ("below", |world| {
            fs::create_dir(world.path("loc_a/below")).unwrap();
            fs::remove_dir(world.path("loc_b")).unwrap();
            symlink("loc_a/below", world.path("loc_b")).unwrap();
            Undo(vec![])
        }),
        ("bind mount", |world| {
            let (a, b) = (world.path("loc_a"), world.path("loc_b"));
            ran("mount", &["--bind", text(&a), text(&b)]);
            Undo(vec![command("umount", &["--lazy", text(&b)])])
        }),
        ("bind mount below", |world| {
            fs::create_dir(world.path("loc_a/below")).unwrap();
            let (a, b) = (world.path("loc_a/below"), world.path("loc_b"));
            ran("mount", &["--bind", text(&a), text(&b)]);
            Undo(vec![command("umount", &["--lazy", text(&b)])])
        }),
    ];
    for (how, prepare) in prepare {
        let world = World::new();
        let _undo = prepare(&world);
        let found = finding(&world, "location loc_b");
        assert_eq!(found["code"], "SW1423", "{how}: {found}");
        world.run(&["once"]);
        let (all, at) = points(&world);
        assert!(at.values().sum::<usize>() <= all, "{how}: {at:?}");
        assert_eq!(light(&world), "red", "{how}");
    }
}

/// A location that was used before goes on when another one is bound to its folder.
#[test]
fn the_location_that_was_there_first_goes_on() {
    let world = World::new();
    world.json(0, &["once"]);
    fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    symlink("loc_a", world.path("loc_b")).unwrap();
    world.run(&["backup", "bp_files"]);
    let (all, at) = points(&world);
    assert_eq!((all, at["loc_a"], at["loc_b"]), (2, 2, 1));
}

#[test]
fn a_location_and_live_data_are_apart() {
    let world = World::new();
    fs::create_dir(world.path("live/backup")).unwrap();
    fs::remove_dir(world.path("loc_b")).unwrap();
    symlink("live/backup", world.path("loc_b")).unwrap();
    let found = finding(&world, "location loc_b");
    assert_eq!(found["code"], "SW1424", "{found}");
    world.run(&["once"]);
    assert!(names(&world.path("live/backup")).is_empty());
    assert_eq!(
        points(&world),
        (1, BTreeMap::from([("loc_a".to_owned(), 1)]))
    );
    assert_eq!(light(&world), "red");
}

/// The owner of one location puts links where the log of receipts is copied to.
#[test]
fn no_copy_of_receipts_is_written_through_a_link() {
    for name in [
        "receipts.jsonl",
        "receipts.jsonl.new",
        "checkpoint",
        "checkpoint.new",
        ".",
    ] {
        let world = World::new();
        world.json(0, &["once"]);
        let precious = world.path("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("checkpoint"), "root's").unwrap();
        fs::write(world.path("file"), "root's").unwrap();
        let copy = world.path("loc_b/dev/receipts/rec");
        if name == "." {
            fs::remove_dir_all(&copy).unwrap();
            symlink(&precious, &copy).unwrap();
        } else {
            let _ = fs::remove_file(copy.join(name));
            symlink(world.path("file"), copy.join(name)).unwrap();
        }
        world.run(&["backup", "bp_files"]);
        assert_eq!(fs::read(world.path("file")).unwrap(), b"root's", "{name}");
        assert_eq!(names(&precious), ["checkpoint"], "{name}");
        let verify = world.path("loc_a/dev/receipts/rec");
        world.json(0, &["receipts", "verify", "--dir", text(&verify)]);
    }
}

/// A checkpoint that cannot be read may be a newer one: the copy is left as it is, and somebody hears of it.
#[test]
fn a_checkpoint_that_cannot_be_read_is_not_a_missing_one() {
    let world = World::new();
    world.json(0, &["once"]);
    let copy = world.path("loc_b/dev/receipts/rec");
    fs::write(copy.join("checkpoint"), "garbage").unwrap();
    let log = fs::read(copy.join("receipts.jsonl")).unwrap();
    fs::write(world.path("live/new"), "new").unwrap();
    world.expect(0, &["backup", "bp_files"]);
    let round = world.json(0, &["once"]);
    assert_eq!(round["copy_failures"][0]["code"], "SW1713", "{round}");
    assert_eq!(fs::read(copy.join("checkpoint")).unwrap(), b"garbage");
    assert_eq!(fs::read(copy.join("receipts.jsonl")).unwrap(), log);
}

/// A file system whose writes never return.
struct Frozen {
    at: PathBuf,
    undo: Undo,
}

impl Frozen {
    fn mount(world: &World, location: &str) -> Self {
        let (image, at) = (world.path("image"), world.path(location));
        ran("truncate", &["--size=40M", text(&image)]);
        ran("mkfs.ext4", &["-q", "-m", "0", text(&image)]);
        ran("mount", &["-o", "loop", text(&image), text(&at)]);
        fs::remove_dir(at.join("lost+found")).unwrap();
        Self {
            undo: Undo(vec![
                command("fsfreeze", &["--unfreeze", text(&at)]),
                command("umount", &["--lazy", text(&at)]),
            ]),
            at,
        }
    }

    fn freeze(&self) {
        ran("fsfreeze", &["--freeze", text(&self.at)]);
    }

    fn thaw(&self) {
        ran("fsfreeze", &["--unfreeze", text(&self.at)]);
    }
}

/// Runs a command whose output goes to a file: a child that cannot be killed would hold a pipe open.
fn timed(world: &World, arguments: &[&str]) -> (Option<i32>, Duration, String) {
    let log = world.path("command.log");
    let file = fs::File::create(&log).unwrap();
    let began = Instant::now();
    let status = world
        .command(arguments)
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .status()
        .unwrap();
    let took = began.elapsed();
    (status.code(), took, fs::read_to_string(log).unwrap())
}

/// The standard output of a command as JSON, whatever its status.
fn answered(world: &World, arguments: &[&str]) -> Value {
    let log = world.path("command.json");
    let mut all = vec!["--format", "json"];
    all.extend(arguments);
    let file = fs::File::create(&log).unwrap();
    world
        .command(&all)
        .stdout(file)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    serde_json::from_slice(&fs::read(log).unwrap()).unwrap()
}

fn impatient(world: &World) {
    let file = world.path("seawalld.yaml");
    let mut all = fs::read_to_string(&file).unwrap();
    for location in ["loc_a", "loc_b"] {
        let path = world.path(location);
        let bound = format!("{} }}", path.display());
        assert!(all.contains(&bound));
        all = all.replace(&bound, &format!("{}, patience: PT3S }}", path.display()));
    }
    fs::write(file, all).unwrap();
}

/// The disk hangs before the run: the location is set aside by its inspection, and nothing else touches it.
#[test]
fn a_hung_location_is_left_out_and_nobody_waits_for_it() {
    let world = World::new();
    impatient(&world);
    let disk = Frozen::mount(&world, "loc_b");
    world.json(0, &["once"]);
    disk.freeze();
    fs::write(world.path("live/new"), "new").unwrap();
    let (status, took, said) = timed(&world, &["backup", "bp_files"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(took < Duration::from_secs(40), "{took:?}");
    // The child that hangs keeps the location's lock, so that no second one begins to hang.
    let (_, _, said) = timed(&world, &["once"]);
    assert!(said.contains("SW1425"), "{said}");
    assert_eq!(children_waiting_for(&world), 1);
    let (all, at) = points(&world);
    assert_eq!((all, at["loc_a"], at["loc_b"]), (2, 2, 1));
    disk.thaw();
    let until = Instant::now() + Duration::from_secs(30);
    while children_waiting_for(&world) > 0 {
        assert!(Instant::now() < until, "it ends when the disk is back");
        std::thread::yield_now();
    }
    world.json(0, &["once"]);
    assert_eq!(points(&world).1["loc_b"], 2, "it has caught up");
    assert_eq!(light(&world), "green");
}

/// Threads and resident kilobytes of a process.
fn held_by(process: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    (number("Threads:"), number("VmRSS:"))
}

/// A location that hangs for long holds neither threads nor memory, and costs no slot.
#[test]
#[ignore = "takes ten minutes: scripts/bench-service runs it"]
fn a_location_that_hangs_for_long_costs_nothing() {
    let minutes = std::env::var("MINUTES").map_or(10, |text| text.parse().unwrap());
    let mut world = World::new();
    for schedule in [
        "/plans/bp_files/backup_frequency",
        "/settings/schedules/daily",
    ] {
        let schedule = world.model.pointer_mut(schedule).unwrap();
        schedule["every_s"] = 30.into();
        schedule["start_window_s"] = 20.into();
        schedule["completion_window_s"] = 29.into();
    }
    world.publish();
    impatient(&world);
    let disk = Frozen::mount(&world, "loc_b");
    world.json(0, &["once"]);
    let service = Service::start(&world);
    wait("it takes no point", || {
        slots(&world, "bp_files", "success") > 1
    });
    disk.freeze();
    let before = slots(&world, "bp_files", "success");
    std::thread::sleep(Duration::from_mins(1));
    let mut seen = vec![held_by(service.id())];
    for _ in 0..minutes * 4 {
        std::thread::sleep(Duration::from_secs(15));
        seen.push(held_by(service.id()));
    }
    let (succeeded, missed) = (
        slots(&world, "bp_files", "success") - before,
        slots(&world, "bp_files", "missed") + slots(&world, "bp_files", "failure"),
    );
    let of = |number: fn(&(u64, u64)) -> u64| {
        let all = || seen.iter().map(number);
        (all().min().unwrap(), all().max().unwrap())
    };
    let (threads, resident) = (of(|it| it.0), of(|it| it.1 >> 10));
    println!(
        "a location hung for {minutes} min: threads {threads:?}, MiB resident {resident:?}, {succeeded} slots succeeded, {missed} did not"
    );
    disk.thaw();
    let (status, took) = service.end();
    println!("       ended with {status:?} after {took:.2?}");
    // A run has some for as long as it takes; what stays is what it was.
    let least = |part: &[(u64, u64)]| part.iter().map(|it| it.0).min().unwrap();
    let (first, last) = seen.split_at(seen.len() / 2);
    assert!(least(last) <= least(first) + 2, "{seen:?}");
    assert_eq!(missed, 0);
}

/// Children of the program that name this world's locations and live on.
fn children_waiting_for(world: &World) -> usize {
    let lock = world.path("state/locations/loc_b");
    let holders = Command::new("fuser").arg(&lock).output().unwrap();
    String::from_utf8_lossy(&holders.stdout)
        .split_whitespace()
        .count()
}

/// The disk hangs in the middle of the run, where nothing was known before.
#[test]
fn a_location_that_hangs_in_the_run_is_left_out_of_it() {
    let world = World::new();
    impatient(&world);
    let disk = Frozen::mount(&world, "loc_b");
    world.json(0, &["once"]);
    fs::write(world.path("live/new"), vec![3_u8; 3_000_000]).unwrap();
    let freezer = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // The run has locked the location.
            let locks = world.path("loc_b/dev/bp_files/k1/locks");
            let until = Instant::now() + Duration::from_mins(1);
            while names(&locks).is_empty() && Instant::now() < until {
                std::thread::yield_now();
            }
            disk.freeze();
        });
        let ended = timed(&world, &["backup", "bp_files"]);
        watcher.join().unwrap();
        ended
    });
    let (status, took, said) = freezer;
    assert_eq!(status, Some(0), "{said}");
    assert!(took < Duration::from_mins(1), "{took:?}");
    let (all, at) = points(&world);
    assert_eq!((all, at["loc_a"]), (2, 2), "{said}");
    disk.thaw();
}

/// What is done to `loc_a`, and undone when the value goes.
type Fault = fn(&World) -> Undo;

fn repository(world: &World, plan: &str) -> PathBuf {
    world.path("loc_a").join("dev").join(plan).join("k1")
}

fn plant(world: &World, kind: &str, content: &[u8]) -> Undo {
    let folder = repository(world, "bp_files").join(kind);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(Digest::of(content).to_string()), content).unwrap();
    no_undo()
}

fn no_undo() -> Undo {
    Undo(vec![])
}

/// What `loc_a` is before the first round.
fn folder(_: &World) -> Undo {
    no_undo()
}

fn small_disk(world: &World) -> Undo {
    let at = world.path("loc_a");
    ran(
        "mount",
        &["-t", "tmpfs", "-o", "size=8m", "seawall-test", text(&at)],
    );
    Undo(vec![command("umount", &["--lazy", text(&at)])])
}

fn disk_that_can_hang(world: &World) -> Undo {
    impatient(world);
    Frozen::mount(world, "loc_a").undo
}

fn folder_is_gone(world: &World) -> Undo {
    fs::rename(world.path("loc_a"), world.path("away")).unwrap();
    no_undo()
}

fn disk_is_not_mounted(world: &World) -> Undo {
    fs::rename(world.path("loc_a"), world.path("away")).unwrap();
    fs::create_dir(world.path("loc_a")).unwrap();
    no_undo()
}

fn folder_of_another_location(world: &World) -> Undo {
    fs::rename(world.path("loc_a"), world.path("away")).unwrap();
    symlink("loc_b", world.path("loc_a")).unwrap();
    no_undo()
}

fn mark_of_another_identity(world: &World) -> Undo {
    let mark = "{\"location_id\":\"loc_a\",\"identity\":\"other\"}";
    fs::write(world.path("loc_a").join(MARK), mark).unwrap();
    no_undo()
}

fn read_only(world: &World) -> Undo {
    let at = world.path("loc_a");
    ran("mount", &["--bind", text(&at), text(&at)]);
    ran("mount", &["-o", "remount,bind,ro", text(&at)]);
    Undo(vec![command("umount", &["--lazy", text(&at)])])
}

/// To the last byte.
fn full(world: &World) -> Undo {
    use std::io::Write as _;
    let mut filler = fs::File::create(world.path("loc_a/filler")).unwrap();
    for size in [1 << 16, 1] {
        while filler.write_all(&vec![1; size]).is_ok() {}
    }
    no_undo()
}

fn hangs(world: &World) -> Undo {
    let at = world.path("loc_a");
    ran("fsfreeze", &["--freeze", text(&at)]);
    Undo(vec![command("fsfreeze", &["--unfreeze", text(&at)])])
}

/// restic of another machine waits for a new password, on a pipe that nobody writes to, and holds the lock meanwhile.
fn locked_elsewhere(world: &World) -> Undo {
    let (pipe, at) = (world.path("pipe"), repository(world, "bp_files"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = "hostname elsewhere && exec \"$@\"";
    let mut holder = Command::new("unshare")
        .args(["--uts", "sh", "-c", script, "sh", "restic", "--no-cache"])
        .args(["key", "passwd", "--new-password-file", text(&pipe)])
        .args(["--repo", text(&at), "--password-file"])
        .arg(world.path("k1.key"))
        .env("HOME", world.path("home"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Under a temporary name it is no lock yet.
    while names(&at.join("locks")).iter().all(|name| name.len() != 64) {
        assert!(holder.try_wait().unwrap().is_none(), "restic ended");
        std::thread::yield_now();
    }
    let pid = holder.id().to_string();
    std::thread::spawn(move || holder.wait());
    Undo(vec![command("kill", &["-KILL", &pid])])
}

fn sparse(world: &World, kind: &str) -> Undo {
    let path = repository(world, "bp_files")
        .join(kind)
        .join("00".repeat(32));
    fs::File::create(path).unwrap().set_len(40 << 30).unwrap();
    no_undo()
}

fn sparse_in_snapshots(world: &World) -> Undo {
    sparse(world, "snapshots")
}

fn sparse_in_keys(world: &World) -> Undo {
    sparse(world, "keys")
}

fn sparse_in_index(world: &World) -> Undo {
    sparse(world, "index")
}

fn junk_in_keys(world: &World) -> Undo {
    plant(world, "keys", b"no key")
}

fn junk_in_index(world: &World) -> Undo {
    plant(world, "index", b"no index")
}

fn junk_in_snapshots(world: &World) -> Undo {
    plant(world, "snapshots", b"no snapshot")
}

fn pipe_in_index(world: &World) -> Undo {
    let path = repository(world, "bp_files")
        .join("index")
        .join("00".repeat(32));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    no_undo()
}

fn rotten_config(world: &World) -> Undo {
    let config = repository(world, "bp_files").join("config");
    let mut content = fs::read(&config).unwrap();
    content[30] ^= 1;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(config, content).unwrap();
    no_undo()
}

fn repository_is_a_link(world: &World) -> Undo {
    let at = repository(world, "bp_files");
    fs::rename(&at, world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), at).unwrap();
    no_undo()
}

fn cut_pack(world: &World) -> Undo {
    let data = repository(world, "bp_files").join("data");
    let pack = walkdir::WalkDir::new(data)
        .into_iter()
        .map(Result::unwrap)
        .find(|entry| entry.file_type().is_file())
        .unwrap();
    let file = fs::File::options().write(true).open(pack.path()).unwrap();
    file.set_len(10).unwrap();
    no_undo()
}

/// Adds the plan `bp_two`, of other live data at the same locations.
fn with_two_plans() -> World {
    let mut world = World::new();
    let mut dataset = world.model["datasets"]["ds_files"].clone();
    dataset["dataset_id"] = "ds_two".into();
    dataset["name"] = "two".into();
    world.model["datasets"]["ds_two"] = dataset;
    let mut plan = world.model["plans"]["bp_files"].clone();
    plan["plan_id"] = "bp_two".into();
    plan["name"] = "two".into();
    plan["dataset_ids"] = serde_json::json!(["ds_two"]);
    world.model["plans"]["bp_two"] = plan;
    fs::create_dir(world.path("live-two")).unwrap();
    fs::write(world.path("live-two/file"), "two").unwrap();
    let live = world.path("live");
    let bound = format!("ds_files: {{ files: {{ path: {} }} }}", live.display());
    let both = format!(
        "{bound}, ds_two: {{ files: {{ path: {}-two }} }}",
        live.display()
    );
    world.configure(&[(&bound, &both)]);
    world.publish();
    world
}

/// Objects of a plan that `loc_b` holds and `loc_a` does not, by name and length.
fn lag(world: &World, plan: &str) -> usize {
    let objects = |location: &str| -> BTreeSet<(PathBuf, u64)> {
        let at = world.path(location).join("dev").join(plan).join("k1");
        walkdir::WalkDir::new(&at)
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let below = entry.path().strip_prefix(&at).unwrap().to_owned();
                (below, entry.metadata().unwrap().len())
            })
            .filter(|(below, _)| !below.starts_with("locks"))
            .collect()
    };
    objects("loc_b").difference(&objects("loc_a")).count()
}

/// What is seen of both plans after a fault of `loc_a`: first `bp_files`, then `bp_two`.
#[derive(Debug, PartialEq, Eq)]
struct Row<'text> {
    at_a: [usize; 2],
    lag: [usize; 2],
    codes: [&'text str; 2],
    once: i32,
    light: &'text str,
}

/// The location cannot be seen: nothing it held counts as there.
const AWAY: Row<'static> = Row {
    at_a: [1, 1],
    lag: [10, 10],
    codes: ["SW1007", "SW1007"],
    once: 0,
    light: "yellow",
};
/// It can be read.
const SILENT: Row<'static> = Row {
    lag: [4, 4],
    ..AWAY
};
const NOT_EXPECTED: Row<'static> = Row {
    at_a: [1, 1],
    lag: [4, 4],
    codes: ["SW1016", "SW1016"],
    once: 1,
    light: "red",
};
/// The folder behind both is one.
const ONE_FOLDER: Row<'static> = Row {
    lag: [0, 0],
    ..NOT_EXPECTED
};
/// It is caught up as soon as it takes writes; `once` says why it does not.
const TAKES_NO_WRITES: Row<'static> = Row {
    at_a: [1, 1],
    lag: [4, 4],
    codes: ["SW1006", "SW1006"],
    once: 1,
    light: "yellow",
};
const LOCKED: Row<'static> = Row {
    at_a: [1, 2],
    lag: [4, 0],
    codes: ["SW1006", "-"],
    ..TAKES_NO_WRITES
};
/// A fault in the repository of `bp_files`: the other plan goes on at both locations.
const REPOSITORY: Row<'static> = Row {
    at_a: [1, 2],
    lag: [4, 0],
    codes: ["SW1016", "-"],
    once: 1,
    light: "red",
};
/// The pack that was cut is one more that is missing.
const CUT: Row<'static> = Row {
    lag: [5, 0],
    ..REPOSITORY
};

/// Each fault of one location: what both plans get at the other location, and what is said of it.
#[rstest]
#[case::folder_is_gone(folder, folder_is_gone, AWAY)]
#[case::disk_is_not_mounted(folder, disk_is_not_mounted, AWAY)]
#[case::folder_of_another_location(folder, folder_of_another_location, ONE_FOLDER)]
#[case::mark_of_another_identity(folder, mark_of_another_identity, NOT_EXPECTED)]
#[case::read_only(folder, read_only, TAKES_NO_WRITES)]
#[case::full(small_disk, full, TAKES_NO_WRITES)]
#[case::hangs(disk_that_can_hang, hangs, SILENT)]
#[case::locked_elsewhere(folder, locked_elsewhere, LOCKED)]
#[case::sparse_in_snapshots(folder, sparse_in_snapshots, REPOSITORY)]
#[case::sparse_in_keys(folder, sparse_in_keys, REPOSITORY)]
#[case::sparse_in_index(folder, sparse_in_index, REPOSITORY)]
#[case::junk_in_keys(folder, junk_in_keys, REPOSITORY)]
#[case::junk_in_index(folder, junk_in_index, REPOSITORY)]
#[case::junk_in_snapshots(folder, junk_in_snapshots, REPOSITORY)]
#[case::pipe_in_index(folder, pipe_in_index, REPOSITORY)]
#[case::rotten_config(folder, rotten_config, REPOSITORY)]
#[case::repository_is_a_link(folder, repository_is_a_link, REPOSITORY)]
#[case::cut_pack(folder, cut_pack, CUT)]
fn one_bad_location_costs_no_other_anything(
    #[case] disk: Fault,
    #[case] fault: Fault,
    #[case] expected: Row<'static>,
) {
    const PLANS: [&str; 2] = ["bp_files", "bp_two"];
    let world = with_two_plans();
    let _disk = disk(&world);
    world.json(0, &["once"]);
    let _undo = fault(&world);
    fs::write(world.path("live/new"), "new").unwrap();
    fs::write(world.path("live-two/new"), "new").unwrap();
    for plan in PLANS {
        let (status, took, said) = timed(&world, &["backup", plan]);
        assert_eq!(status, Some(0), "{plan}: {said}");
        assert!(took < Duration::from_mins(1), "{plan}: {took:?}");
    }
    let once = timed(&world, &["once"]).0.unwrap();
    let catalog = answered(&world, &["catalog"]);
    let points = |plan: &str, location: &str| {
        let runs = catalog.as_array().unwrap().iter();
        runs.filter(|run| {
            let held = run["storage_locations"].as_object().unwrap();
            let ours = run["plan_id"] == plan && run["status"] == "success";
            ours && held.contains_key(location)
        })
        .count()
    };
    assert_eq!(PLANS.map(|plan| points(plan, "loc_b")), [2, 2], "{catalog}");
    let status = answered(&world, &["status"]);
    let code = |number: usize| status["plans"][number]["condition"]["code"].as_str();
    let seen = Row {
        at_a: PLANS.map(|plan| points(plan, "loc_a")),
        lag: PLANS.map(|plan| lag(&world, plan)),
        codes: [0, 1].map(|number| code(number).unwrap_or("-")),
        once,
        light: status["light"].as_str().unwrap(),
    };
    assert_eq!(seen, expected, "{status}");
}
