//! What ends a restore or a check, and what does not: a person can stop it at any moment, and no window of backups ends it.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use serde_json::Value;

use super::world::{World, descendants, same};

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
    loop {
        let works = descendants(child.id()).into_iter().find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(7).any(|word| word == b"__vault"))
        });
        if let Some(pid) = works {
            let pid = Pid::from_raw(pid.cast_signed());
            kill(pid, Signal::SIGSTOP).unwrap();
            return (child, pid);
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
    }
}

/// The exit status of a command, and how long it took to end.
fn ended(mut child: Child) -> (Option<i32>, Duration) {
    let begin = Instant::now();
    (child.wait().unwrap().code(), begin.elapsed())
}

#[test]
fn a_restore_outlasts_the_window_of_backups() {
    let mut world = backed_up();
    let frequency = &mut world.model["plans"]["bp_files"]["backup_frequency"];
    assert!(frequency["completion_window_s"].is_u64());
    frequency["completion_window_s"] = Value::from(1);
    world.publish();
    let out = world.path("out");
    let (child, works) = frozen(
        &world,
        &[
            "restore",
            "ds_files",
            "--mode",
            "export-only",
            "--target",
            out.to_str().unwrap(),
        ],
    );
    std::thread::sleep(Duration::from_secs(2));
    kill(works, Signal::SIGCONT).unwrap();
    assert_eq!(ended(child).0, Some(0));
    same(&world.path("live"), &out);
}

#[rstest]
#[case::verify(&["verify"], "verification")]
#[case::export(&["restore", "ds_files", "--mode", "export-only", "--target", "OUT"], "restore")]
#[case::side_by_side(&["restore", "ds_files", "--mode", "side-by-side", "--target", "OUT"], "restore")]
#[case::in_place(&["restore", "ds_files", "--mode", "in-place", "--without-safety-point"], "restore")]
fn whoever_is_asked_to_end_does_so_at_once_and_says_so(
    #[case] arguments: &[&str],
    #[case] about: &str,
) {
    let world = backed_up();
    let before = world.path("before");
    assert!(
        std::process::Command::new("cp")
            .args([
                std::ffi::OsStr::new("-a"),
                world.path("live").as_os_str(),
                before.as_os_str()
            ])
            .status()
            .unwrap()
            .success()
    );
    let out = world.path("out");
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| {
            if *word == "OUT" {
                out.to_str().unwrap()
            } else {
                word
            }
        })
        .collect();
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
    assert_eq!(last["error"]["code"], "SW1102", "{last}");
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
