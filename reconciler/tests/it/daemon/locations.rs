//! Locations that are not what they should be: nothing is written to them or believed of them, and the others go on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use contract::digest::Digest;
use serde_json::Value;

use super::world::World;

const MARK: &str = ".seawall-location.json";

/// Something mounted or frozen for a test, undone when it goes.
struct Undo(Vec<Command>);

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
    ran(
        "mount",
        &["-t", "tmpfs", "-o", "size=50m", "seawall-test", text(at)],
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
    _undo: Undo,
}

impl Frozen {
    fn mount(world: &World, location: &str) -> Self {
        let (image, at) = (world.path("image"), world.path(location));
        ran("truncate", &["--size=40M", text(&image)]);
        ran("mkfs.ext4", &["-q", "-m", "0", text(&image)]);
        ran("mount", &["-o", "loop", text(&image), text(&at)]);
        fs::remove_dir(at.join("lost+found")).unwrap();
        Self {
            _undo: Undo(vec![
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

fn impatient(world: &World) {
    for location in ["loc_a", "loc_b"] {
        let path = world.path(location);
        let bound = format!("{} }}", path.display());
        let patient = format!("{}, patience: PT3S }}", path.display());
        if location == "loc_a" {
            world.configure(&[(&bound, &patient)]);
        } else {
            let file = world.path("seawalld.yaml");
            let all = fs::read_to_string(&file).unwrap();
            fs::write(file, all.replace(&bound, &patient)).unwrap();
        }
    }
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

/// What is done to `loc_a` after both plans have a point at both locations.
type Fault = fn(&World) -> Undo;

fn repository(world: &World, plan: &str) -> PathBuf {
    world.path("loc_a").join("dev").join(plan).join("k1")
}

fn plant(world: &World, kind: &str, content: &[u8]) {
    let folder = repository(world, "bp_files").join(kind);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(Digest::of(content).to_string()), content).unwrap();
}

fn no_undo() -> Undo {
    Undo(vec![])
}

const FAULTS: [(&str, Fault); 15] = [
    ("folder is gone", |world| {
        fs::rename(world.path("loc_a"), world.path("away")).unwrap();
        no_undo()
    }),
    ("disk is not mounted", |world| {
        fs::rename(world.path("loc_a"), world.path("away")).unwrap();
        fs::create_dir(world.path("loc_a")).unwrap();
        no_undo()
    }),
    ("folder of another location", |world| {
        fs::rename(world.path("loc_a"), world.path("away")).unwrap();
        symlink("loc_b", world.path("loc_a")).unwrap();
        no_undo()
    }),
    ("mark of another identity", |world| {
        let mark = "{\"location_id\":\"loc_a\",\"identity\":\"other\"}";
        fs::write(world.path("loc_a").join(MARK), mark).unwrap();
        no_undo()
    }),
    ("read-only", |world| {
        let at = world.path("loc_a");
        ran("mount", &["--bind", text(&at), text(&at)]);
        ran("mount", &["-o", "remount,bind,ro", text(&at)]);
        Undo(vec![command("umount", &["--lazy", text(&at)])])
    }),
    ("40 GiB in `snapshots/`", |world| sparse(world, "snapshots")),
    ("40 GiB in `keys/`", |world| sparse(world, "keys")),
    ("40 GiB in `index/`", |world| sparse(world, "index")),
    ("junk in `keys/`", |world| {
        plant(world, "keys", b"no key");
        no_undo()
    }),
    ("junk in `index/`", |world| {
        plant(world, "index", b"no index");
        no_undo()
    }),
    ("junk in `snapshots/`", |world| {
        plant(world, "snapshots", b"no snapshot");
        no_undo()
    }),
    ("pipe in `index/`", |world| {
        let path = repository(world, "bp_files")
            .join("index")
            .join("00".repeat(32));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        no_undo()
    }),
    ("rotten `config`", |world| {
        let config = repository(world, "bp_files").join("config");
        let mut content = fs::read(&config).unwrap();
        content[30] ^= 1;
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(config, content).unwrap();
        no_undo()
    }),
    ("repository is a link", |world| {
        let at = repository(world, "bp_files");
        fs::rename(&at, world.path("elsewhere")).unwrap();
        symlink(world.path("elsewhere"), at).unwrap();
        no_undo()
    }),
    ("cut pack", |world| {
        let data = repository(world, "bp_files").join("data");
        let pack = walkdir::WalkDir::new(data)
            .into_iter()
            .map(Result::unwrap)
            .find(|entry| entry.file_type().is_file())
            .unwrap();
        let file = fs::File::options().write(true).open(pack.path()).unwrap();
        file.set_len(10).unwrap();
        no_undo()
    }),
];

fn sparse(world: &World, kind: &str) -> Undo {
    let path = repository(world, "bp_files")
        .join(kind)
        .join("00".repeat(32));
    fs::File::create(path).unwrap().set_len(40 << 30).unwrap();
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

/// Each fault of one location: what the other location, the plan and the other plan get. The snapshot is the table.
#[test]
fn one_bad_location_costs_no_other_anything() {
    let mut table = String::from(
        "fault at loc_a | points of bp_files at loc_b | points of bp_two at loc_b | bp_files at loc_a | backup | once | status\n",
    );
    for (what, fault) in FAULTS {
        let world = with_two_plans();
        world.json(0, &["once"]);
        let _undo = fault(&world);
        fs::write(world.path("live/new"), "new").unwrap();
        fs::write(world.path("live-two/new"), "new").unwrap();
        let status = |arguments: &[&str]| timed(&world, arguments).0;
        let backups = [
            status(&["backup", "bp_files"]),
            status(&["backup", "bp_two"]),
        ];
        let once = status(&["once"]);
        let catalog = world.json(0, &["catalog"]);
        let at = |plan: &str, location: &str| {
            catalog
                .as_array()
                .unwrap()
                .iter()
                .filter(|run| {
                    let held = run["storage_locations"].as_object().unwrap();
                    let ours = run["plan_id"] == plan && run["status"] == "success";
                    ours && held.contains_key(location)
                })
                .count()
        };
        let status = world.run(&["--format", "json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let said = &status["plans"][0]["condition"];
        let code = said["code"].as_str().unwrap_or("-");
        let light = status["light"].as_str().unwrap();
        let b = [at("bp_files", "loc_b"), at("bp_two", "loc_b")];
        writeln!(
            table,
            "{what} | {} | {} | {} | {:?} {:?} | {once:?} | {light} {code}",
            b[0],
            b[1],
            at("bp_files", "loc_a"),
            backups[0].unwrap(),
            backups[1].unwrap()
        )
        .unwrap();
        assert_eq!(b, [2, 2], "{what}: {table}");
        assert_eq!(backups, [Some(0), Some(0)], "{what}: {table}");
        assert_ne!(light, "green", "{what}: {table}");
    }
    println!("{table}");
}
