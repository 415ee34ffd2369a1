//! Deadlines, cancelling, full disks, mount points, and what can be seen of a source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use contract::code;
use reconciler::domain::Observation;
use reconciler::world::connector::{self, Binding, Bounds, Cancel, Mode};

use super::{Scratch, bounds, files_at, jsonl_at, restore, side_by_side, sqlite_at};

/// A file system of its own, ended when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path, size: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={size}");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .status()
            .unwrap();
        assert!(
            status.success(),
            "this test mounts a small file system, so it runs as root"
        );
        Self(folder.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_spool_or_target_is_told_and_left_clean() {
    let scratch = Scratch::new();
    let line = format!("{{\"filler\":\"{}\"}}\n", "x".repeat(1000));
    fs::write(scratch.live.join("a.jsonl"), line.repeat(3000)).unwrap();
    let database = scratch.path("app.db");
    let output = Command::new("sqlite3")
        .arg(&database)
        .arg("create table t (x); with recursive c(n) as (select 1 union all select n + 1 from c where n < 3000) insert into t select randomblob(1000) from c")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let small = Small::mount(&scratch.path("small"), "1m");
    for binding in [
        Binding::Jsonl(jsonl_at(&scratch.live)),
        sqlite_at(&database),
    ] {
        let error =
            connector::prepare(&binding, None, &small.0.join("spool"), &bounds()).unwrap_err();
        assert_eq!(error.code(), code::SPOOL_FULL, "{error}");
    }
    fs::remove_dir_all(small.0.join("spool")).unwrap();
    let files = Binding::Files(files_at(&scratch.path("elsewhere")));
    for target in [small.0.clone(), small.0.join("new")] {
        let error = restore(&files, &scratch.live, &side_by_side(&target)).unwrap_err();
        assert_eq!(error.code(), code::SPOOL_FULL, "{error}");
        assert_eq!(
            fs::read_dir(&small.0).unwrap().count(),
            0,
            "nothing half-made is left"
        );
    }
}

#[test]
fn a_mount_point_is_not_exchanged() {
    let scratch = Scratch::new();
    let from = scratch.path("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("a"), "new").unwrap();
    let mount = Small::mount(&scratch.live, "1m");
    fs::write(mount.0.join("a"), "old").unwrap();
    let binding = Binding::Files(files_at(&scratch.live));
    let error = restore(
        &binding,
        &from,
        &Mode::InPlace {
            restore_id: "r".to_owned(),
        },
    )
    .unwrap_err();
    assert_eq!(error.code(), code::SWAP_REFUSED, "{error}");
    assert_eq!(fs::read_to_string(mount.0.join("a")).unwrap(), "old");
    assert!(
        !scratch.path(".live.seawall-r").exists(),
        "nothing half-made is left"
    );
}

#[test]
fn cancelled_and_late_calls_end_with_their_code() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let cancelled = Bounds::within(Duration::from_mins(1), cancel);
    let late = Bounds::within(Duration::ZERO, Cancel::new());
    for binding in [
        Binding::Files(files_at(&scratch.live)),
        Binding::Jsonl(jsonl_at(&scratch.live)),
    ] {
        let run = |bounds| {
            connector::prepare(&binding, None, &scratch.path("spool"), bounds)
                .unwrap_err()
                .code()
        };
        assert_eq!(run(&cancelled), code::CONNECTOR_CANCELLED);
        assert_eq!(run(&late), code::CONNECTOR_DEADLINE);
    }
}

#[test]
fn a_source_is_known_absent_or_unknown() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a"), "12345").unwrap();
    let view = connector::observe(&Binding::Files(files_at(&scratch.live)), &bounds());
    assert!(matches!(view.bytes, Observation::Known { value: 5, .. }));
    let view = connector::observe(
        &Binding::Files(files_at(&scratch.path("nowhere"))),
        &bounds(),
    );
    assert!(matches!(view.bytes, Observation::Absent { .. }));
    let late = Bounds::within(Duration::ZERO, Cancel::new());
    let view = connector::observe(&Binding::Files(files_at(&scratch.live)), &late);
    assert!(matches!(view.bytes, Observation::Unknown { .. }));
}

#[test]
fn a_spool_that_cannot_be_made_is_told() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));
    let error =
        connector::prepare(&binding, None, &scratch.path("no/parent"), &bounds()).unwrap_err();
    assert_eq!(error.code(), code::CONNECTOR_IO);
}

/// A restore needs its room in the staging folder and at the target; both are asked before anything is written.
#[test]
fn a_restore_without_room_says_which_folder_lacks_how_much() {
    use crate::vault::world::{World, helper};
    let mut world = World::new(2);
    world.file("big", 7, 6 << 20);
    let outcome = world.backup(2).unwrap();
    let small = Small::mount(&world.path("small"), "4m");
    let request =
        |target: PathBuf, goes_to: Option<PathBuf>| reconciler::world::vault::RestoreRequest {
            snapshot_id: outcome.snapshot_id.clone(),
            dataset: "ds_files".parse().unwrap(),
            target,
            goes_to,
            location: None,
        };
    for (wanted, folder) in [
        (
            request(small.0.join("staging"), None),
            small.0.join("staging"),
        ),
        (
            request(world.path("staging"), Some(small.0.join("out"))),
            small.0.join("out"),
        ),
    ] {
        let error = world.vault.restore(&wanted, &helper()).unwrap_err();
        assert_eq!(error.code(), code::RESTORE_ROOM_LACKING, "{error}");
        let message = error.to_string();
        assert!(message.contains(folder.to_str().unwrap()), "{message}");
        assert!(message.contains("bytes are free, 2"), "{message}");
        assert!(!error.help().contains("location"), "{}", error.help());
        assert_eq!(
            fs::read_dir(&small.0).unwrap().count(),
            0,
            "nothing was written"
        );
    }
    world
        .vault
        .restore(&request(world.path("staging"), None), &helper())
        .unwrap();
}
