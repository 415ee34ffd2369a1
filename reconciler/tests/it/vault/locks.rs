//! Lock files: restic and we respect each other, and a dead run of ours blocks nobody.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use reconciler::world::vault::{Job, Order, Place, SUBCOMMAND, VaultError, Word};

use super::world::{KEY, World, name};

#[test]
fn an_exclusive_lock_of_restic_is_respected() {
    let mut world = World::new(2);
    world.file("one", 1, 1000);
    world.backup(2).unwrap();
    // A check that reads everything holds its exclusive lock for its whole life; stopped in the middle, it stays alive.
    let stopped = stopped_restic(&world);
    let error = world.backup(2).unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("process"), "{error}");
    assert_eq!(
        fs::read_dir(world.repository("a").join("locks"))
            .unwrap()
            .count(),
        1,
        "only restic's"
    );
    drop(stopped);
}

/// A restic process that holds an exclusive lock until this value goes.
struct Stopped(std::process::Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn stopped_restic(world: &World) -> Stopped {
    // `key add` reads the new password while it holds no lock; `check` waits on a pipe that nobody reads instead.
    let child = Command::new("restic")
        .args(["--no-cache", "--verbose", "check", "--read-data", "--repo"])
        .arg(world.repository("a"))
        .arg("--password-file")
        .arg(world.path("key"))
        .env("HOME", world.path("home"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut stopped = Stopped(child);
    let locks = world.repository("a").join("locks");
    loop {
        let held = fs::read_dir(&locks).map_or(0, Iterator::count);
        if held > 0 {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
            // It may have removed its lock between the look and the signal.
            if fs::read_dir(&locks).unwrap().count() > 0 {
                return stopped;
            }
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
        }
        assert!(
            stopped.0.try_wait().unwrap().is_none(),
            "restic was too fast"
        );
    }
}

/// `kill -9` at the moment when the child has stored everything and asks for the verdict.
#[test]
fn a_killed_run_leaves_no_point_and_its_locks_block_nobody() {
    let mut world = World::new(2);
    world.file("one", 1, 3 << 20);
    let request = world.request(2);
    let places = world
        .locations
        .iter()
        .map(|location| {
            (
                location.clone(),
                Place::Folder(world.path(location.as_str())),
            )
        })
        .collect();
    let order = Order {
        repository: name().to_string(),
        password: KEY.to_owned(),
        job: Job::Backup {
            places,
            aside: std::collections::BTreeMap::new(),
            request: Box::new(request),
        },
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_seawalld"))
        .arg(SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", serde_json::to_string(&order).unwrap()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let word: Word = serde_json::from_str(&line).unwrap();
    assert!(matches!(word, Word::Verdict(_)), "{line}");
    for location in ["a", "b"] {
        assert_eq!(
            world.objects(location, "locks").len(),
            1,
            "the run holds its lock"
        );
        assert!(!world.objects(location, "data").is_empty());
        assert!(world.objects(location, "snapshots").is_empty());
    }
    child.kill().unwrap();
    child.wait().unwrap();
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
    world.assert_identical();
    world.restic_ok("a", &["check", "--read-data"]);
}

/// A parent that dies takes its child along, before anything becomes visible.
#[test]
fn a_child_without_a_parent_stops() {
    let mut world = World::new(1);
    world.file("one", 1, 1000);
    let request = world.request(1);
    let order = Order {
        repository: name().to_string(),
        password: KEY.to_owned(),
        job: Job::Backup {
            places: [("a".parse().unwrap(), Place::Folder(world.path("a")))].into(),
            aside: std::collections::BTreeMap::new(),
            request: Box::new(request),
        },
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_seawalld"))
        .arg(SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", serde_json::to_string(&order).unwrap()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(world.objects("a", "snapshots").is_empty());
}
