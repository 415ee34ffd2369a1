//! Lock files: restic and we respect each other, and a dead run of ours blocks nobody.

use std::io::Write as _;
use std::process::{Command, Stdio};

use reconciler::worker::SUBCOMMAND;
use reconciler::worker::protocol::Answer;
use reconciler::worker::supervisor::{self, Helper};
use reconciler::world::vault::VaultError;

use super::world::World;

#[test]
fn an_exclusive_lock_of_restic_is_respected() {
    let mut world = World::new(2);
    world.file("one", 1, 1000);
    world.backup(2).unwrap();
    let holder = Holder::start(&world);
    let error = world.backup(2).unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("process"), "{error}");
    assert_eq!(world.objects("a", "locks").len(), 1, "only restic's");
    drop(holder);
}

/// Commit is 1: a location that somebody else holds is left out like one that is full, and catches up later.
#[test]
fn a_locked_location_is_left_out_while_the_others_suffice() {
    let mut world = World::new(2);
    world.file("one", 1, 1000);
    world.backup(2).unwrap();
    let holder = Holder::start(&world);
    let outcome = world.backup(1).unwrap();
    assert_eq!(outcome.committed, [world.locations[1].clone()]);
    let told = format!("{:?}", outcome.locations[0].state);
    assert!(told.contains("is locked by"), "{told}");
    let caught = world.vault.catch_up().unwrap();
    assert!(caught.locations[0].stopped.is_some(), "{caught:?}");
    assert_eq!(world.objects("a", "snapshots").len(), 1);
    drop(holder);
    world.vault.catch_up().unwrap();
    world.assert_identical();
}

/// restic's own rule: a process of this host that is gone, or half an hour without a refresh. On another host a process
/// cannot be looked for, so only time tells.
#[rstest::rstest]
#[case::dead_process(&[], "+0", true)]
#[case::long_ago_elsewhere(&["unshare", "--uts", "sh", "-c", ELSEWHERE, "sh"], "+45m", true)]
#[case::lately_elsewhere(&["unshare", "--uts", "sh", "-c", ELSEWHERE, "sh"], "+20m", false)]
fn a_lock_is_stale_by_the_rule_of_restic(
    #[case] within: &[&str],
    #[case] later: &str,
    #[case] is_stale: bool,
) {
    let mut world = World::new(2);
    world.file("one", 1, 1000);
    world.backup(2).unwrap();
    drop(Holder::start_within(within, &world));
    let is_lock = |path: &std::path::PathBuf| path.file_name().unwrap().len() == 64;
    let left = world
        .objects("a", "locks")
        .into_iter()
        .filter(is_lock)
        .count();
    assert_eq!(left, 1, "the killed process left its lock");
    let order = world.order(1);
    let real = super::world::helper();
    let arguments = ["-f", later, real.program.to_str().unwrap(), SUBCOMMAND];
    let helper = Helper {
        program: "faketime".into(),
        arguments: arguments.iter().map(Into::into).collect(),
        ..real
    };
    let Ok(Answer::Backup(report)) = supervisor::effect(helper.ask(&order)) else {
        panic!("no recovery point");
    };
    assert_eq!(report.outcome.committed.len(), if is_stale { 2 } else { 1 });
    let left = world
        .objects("a", "locks")
        .into_iter()
        .filter(is_lock)
        .count();
    assert_eq!(left, usize::from(!is_stale));
}

const ELSEWHERE: &str = "hostname elsewhere && exec \"$@\"";

/// A restic process that holds an exclusive lock until this value goes: it waits for a new password on a pipe that nobody
/// writes to.
struct Holder(std::process::Child);

impl Holder {
    fn start(world: &World) -> Self {
        Self::start_within(&[], world)
    }

    /// The same, begun by other programs that become it.
    fn start_within(within: &[&str], world: &World) -> Self {
        let pipe = world.path("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let program = within.iter().chain(&["restic"]).collect::<Vec<_>>();
        let child = Command::new(program[0])
            .args(&program[1..])
            .args(["--no-cache", "key", "passwd", "--new-password-file"])
            .arg(&pipe)
            .arg("--repo")
            .arg(world.repository("a"))
            .arg("--password-file")
            .arg(world.path("key"))
            .env("HOME", world.path("home"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut holder = Self(child);
        // Under a temporary name it is no lock yet.
        let is_lock = |path: &std::path::PathBuf| path.file_name().unwrap().len() == 64;
        while !world.objects("a", "locks").iter().any(is_lock) {
            assert!(holder.0.try_wait().unwrap().is_none(), "restic ended");
            std::thread::yield_now();
        }
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A restic process that adds to a repository until this value goes: it reads what nobody writes.
pub struct Busy(std::process::Child);

impl Busy {
    pub fn backup(world: &World, location: &str) -> Self {
        let mut child = Command::new("restic")
            .args(["--no-cache", "backup", "--stdin", "--repo"])
            .arg(world.repository(location))
            .arg("--password-file")
            .arg(world.path("key"))
            .env("HOME", world.path("home"))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let is_lock = |path: &std::path::PathBuf| path.file_name().unwrap().len() == 64;
        while !world.objects(location, "locks").iter().any(is_lock) {
            assert!(child.try_wait().unwrap().is_none(), "restic ended");
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A worker that reads a source which takes it long, after it has stored a part of it.
struct Worker {
    child: std::process::Child,
    input: Option<std::process::ChildStdin>,
}

impl Worker {
    fn start(world: &mut World) -> Self {
        world.file("a", 1, 96 << 20);
        // A hole of so many bytes takes hours to read, and nothing to store.
        let endless = std::fs::File::create(world.path("src/z")).unwrap();
        endless.set_len(1 << 43).unwrap();
        let order = world.order(world.locations.len());
        let mut child = Command::new(env!("CARGO_BIN_EXE_seawalld"))
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{}", serde_json::to_string(&order).unwrap()).unwrap();
        let mut worker = Self {
            child,
            input: Some(input),
        };
        for location in &world.locations {
            while world.objects(location.as_str(), "data").is_empty() {
                assert!(worker.child.try_wait().unwrap().is_none(), "it ended");
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let locks = world.objects(location.as_str(), "locks").len();
            assert_eq!(locks, 1, "the run holds its lock");
        }
        std::fs::remove_file(world.path("src/z")).unwrap();
        worker
    }
}

/// `kill -9` while it stores.
#[test]
fn a_killed_run_leaves_no_point_and_its_locks_block_nobody() {
    let mut world = World::new(2);
    let mut worker = Worker::start(&mut world);
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    for location in ["a", "b"] {
        assert!(world.objects(location, "snapshots").is_empty());
    }
    assert!(world.vault.all_snapshots().unwrap().points.is_empty());
    let outcome = world.backup(2).unwrap();
    assert_eq!(outcome.committed.len(), 2);
    for location in ["a", "b"] {
        assert!(
            world.objects(location, "locks").is_empty(),
            "the dead run's lock is gone too"
        );
        assert_eq!(world.objects(location, "snapshots").len(), 1);
    }
    for location in ["a", "b"] {
        world.restic_ok(location, &["check", "--read-data"]);
    }
}

/// A parent that dies takes its worker along, before anything becomes visible.
#[test]
fn a_worker_without_a_parent_stops() {
    let mut world = World::new(1);
    let mut worker = Worker::start(&mut world);
    drop(worker.input.take());
    assert_eq!(worker.child.wait().unwrap().code(), Some(4));
    assert!(world.objects("a", "snapshots").is_empty());
}
