//! The `files` connector.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use contract::code;
use reconciler::world::connector::{self, Binding, FilesBinding, Mode, Target, Verdict};

use super::{Scratch, bounds, files_at, restore, same_tree, side_by_side};
use crate::vault::world::World;

#[test]
fn files_tell_links_special_files_and_excludes() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a"), "aa").unwrap();
    fs::create_dir(scratch.live.join("cache")).unwrap();
    fs::write(scratch.live.join("cache/b"), "b").unwrap();
    symlink("a", scratch.live.join("link")).unwrap();
    nix::unistd::mkfifo(&scratch.live.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let binding = Binding::Files(FilesBinding {
        exclude: vec!["cache/".to_owned()],
        ..files_at(&scratch.live)
    });

    let prepared = scratch.prepare(&binding, None).unwrap();
    assert!(prepared.stable);
    assert_eq!((prepared.expected_items, prepared.expected_bytes), (1, 2));
    assert!(prepared.excludes.matches(Path::new("cache/b")));
    assert!(!prepared.excludes.matches(Path::new("link")));
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    assert_eq!(finished.verdict, Verdict::Complete);
    assert!(
        finished.notes.iter().any(|note| note.contains("`pipe`")),
        "{:?}",
        finished.notes
    );
    assert_eq!(finished.notes.len(), 3, "{:?}", finished.notes);
}

#[test]
fn files_missing_empty_or_replaced_are_refused() {
    let scratch = Scratch::new();
    let missing = Binding::Files(files_at(&scratch.path("nowhere")));
    assert_eq!(
        scratch.prepare(&missing, None).unwrap_err().code(),
        code::SOURCE_MISSING
    );
    let live = Binding::Files(files_at(&scratch.live));
    assert_eq!(
        scratch.prepare(&live, None).unwrap_err().code(),
        code::SOURCE_EMPTY
    );

    fs::write(scratch.live.join("a"), "a").unwrap();
    let prepared = scratch.prepare(&live, None).unwrap();
    fs::rename(&scratch.live, scratch.path("away")).unwrap();
    fs::create_dir(&scratch.live).unwrap();
    let error = connector::finish(&live, prepared, &bounds()).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_CHANGED);
}

#[test]
fn files_are_held_against_their_checksums() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("good"), "good\n").unwrap();
    fs::write(scratch.live.join("bad"), "bad\n").unwrap();
    let output = Command::new("sha256sum")
        .args(["good", "bad"])
        .current_dir(&scratch.live)
        .output()
        .unwrap();
    let sums = scratch.path("sums");
    fs::write(&sums, output.stdout).unwrap();
    let binding = Binding::Files(FilesBinding {
        checksums: Some(sums.clone()),
        ..files_at(&scratch.live)
    });
    assert_eq!(
        scratch.backup(&binding, None).unwrap().verdict,
        Verdict::Complete
    );

    fs::write(scratch.live.join("bad"), "BAD\n").unwrap();
    let Verdict::Partial { problems } = scratch.backup(&binding, None).unwrap().verdict else {
        panic!("a corrupt file passed")
    };
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "bad");

    fs::write(&sums, "nonsense\n").unwrap();
    assert_eq!(
        scratch.prepare(&binding, None).unwrap_err().code(),
        code::BINDING_INVALID
    );
}

/// Runs this test binary again as `nobody`, because root reads everything.
fn as_nobody(test: &str, folder: &Path) -> std::process::Output {
    let binary = scratch_copy_of_this_binary(folder);
    Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(binary)
        .args(["--exact", test, "--nocapture"])
        .env("SEAWALL_TEST_FOLDER", folder)
        .output()
        .unwrap()
}

/// The build's folder may be closed to `nobody`.
fn scratch_copy_of_this_binary(folder: &Path) -> PathBuf {
    let copy = folder.join("test-binary");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

#[test]
fn an_unreadable_file_makes_the_verdict_partial() {
    if let Ok(folder) = std::env::var("SEAWALL_TEST_FOLDER") {
        return nobody_backs_up(Path::new(&folder));
    }
    let scratch = Scratch::new();
    fs::write(scratch.live.join("open"), "x").unwrap();
    fs::write(scratch.live.join("closed"), "x").unwrap();
    fs::set_permissions(
        scratch.live.join("closed"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    fs::create_dir(scratch.live.join("dark")).unwrap();
    fs::set_permissions(scratch.live.join("dark"), fs::Permissions::from_mode(0o700)).unwrap();
    let output = as_nobody(
        "connector::files::an_unreadable_file_makes_the_verdict_partial",
        scratch.root.path(),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("partial: closed,dark"), "{text}");
}

fn nobody_backs_up(folder: &Path) {
    let binding = Binding::Files(files_at(&folder.join("live")));
    let prepared = connector::prepare(&binding, None, &folder.join("spool"), &bounds()).unwrap();
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    assert_eq!(finished.verdict.code(), Some(code::SOURCE_PARTIAL));
    let Verdict::Partial { problems } = finished.verdict else {
        panic!("unreadable files passed")
    };
    let paths: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    println!("partial: {}", paths.join(","));
    let dark = Binding::Files(files_at(&folder.join("live/dark")));
    let error = connector::prepare(&dark, None, &folder.join("spool"), &bounds()).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_UNREADABLE);
}

fn sample_tree(folder: &Path) {
    fs::create_dir_all(folder.join("sub/deep")).unwrap();
    fs::write(folder.join("sub/a"), "new a").unwrap();
    fs::write(folder.join("sub/deep/b"), vec![7_u8; 300_000]).unwrap();
    fs::hard_link(folder.join("sub/a"), folder.join("hard")).unwrap();
    symlink("sub/a", folder.join("link")).unwrap();
    symlink("/nonexistent", folder.join("dangling")).unwrap();
    fs::set_permissions(folder.join("sub/a"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(folder.join("sub/deep/b"), Some(12), Some(34)).unwrap();
    for name in ["sub/a", "sub/deep/b", "sub/deep"] {
        let status = Command::new("touch")
            .args(["-h", "-d", "2020-02-03T04:05:06.789Z"])
            .arg(folder.join(name))
            .status()
            .unwrap();
        assert!(status.success());
    }
    xattr::set(folder.join("sub/a"), "user.seawall", b"kept").unwrap();
    fs::set_permissions(folder.join("sub/deep"), fs::Permissions::from_mode(0o550)).unwrap();
}

fn same_metadata(left: &Path, right: &Path) {
    for entry in walkdir::WalkDir::new(left).min_depth(1) {
        let entry = entry.unwrap();
        let other =
            fs::symlink_metadata(right.join(entry.path().strip_prefix(left).unwrap())).unwrap();
        let one = entry.metadata().unwrap();
        let facts = |m: &fs::Metadata| {
            (
                m.mode(),
                m.uid(),
                m.gid(),
                m.mtime(),
                m.mtime_nsec(),
                m.nlink(),
            )
        };
        assert_eq!(facts(&one), facts(&other), "{}", entry.path().display());
    }
}

#[test]
fn files_come_back_side_by_side_and_in_place_with_their_metadata() {
    let scratch = Scratch::new();
    let from = scratch.path("from");
    fs::create_dir(&from).unwrap();
    sample_tree(&from);
    fs::write(scratch.live.join("old"), "old").unwrap();
    let binding = Binding::Files(files_at(&scratch.live));

    for (mode, target) in [
        (side_by_side(&scratch.path("beside")), "beside"),
        (
            Mode::ExportOnly {
                folder: scratch.path("export"),
            },
            "export",
        ),
        (
            Mode::InPlace {
                restore_id: "rs-1".to_owned(),
            },
            "live",
        ),
    ] {
        let summary = restore(&binding, &from, &mode).unwrap();
        same_tree(&from, &scratch.path(target));
        same_metadata(&from, &scratch.path(target));
        let attribute = xattr::get(scratch.path(target).join("sub/a"), "user.seawall").unwrap();
        assert_eq!(attribute.as_deref(), Some(b"kept".as_slice()));
        assert_eq!((summary.items, summary.bytes), (5, 300_005), "{target}");
        if let Some(kept) = summary.kept {
            assert_eq!(
                fs::read_to_string(Path::new(&kept).join("old")).unwrap(),
                "old"
            );
        }
    }
    assert!(!scratch.path(".live.seawall-rs-1").exists());
    let manifest = reconciler::domain::Manifest::of(&from, &bounds()).unwrap();
    let target = Target::Path(scratch.path("beside"));
    assert!(
        connector::validate(&binding, &target, Some(&manifest), &bounds()).unwrap()[0].has_passed()
    );
    fs::write(scratch.path("beside/sub/a"), "other").unwrap();
    assert!(
        !connector::validate(&binding, &target, Some(&manifest), &bounds()).unwrap()[0]
            .has_passed()
    );
}

#[test]
fn targets_that_are_production_or_hold_something_are_refused() {
    let scratch = Scratch::new();
    let from = scratch.path("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("a"), "new").unwrap();
    fs::write(scratch.live.join("a"), "old").unwrap();
    fs::create_dir(scratch.path("full")).unwrap();
    fs::write(scratch.path("full/x"), "x").unwrap();
    symlink(&scratch.live, scratch.path("link")).unwrap();
    let binding = Binding::Files(files_at(&scratch.live));
    for (target, wanted) in [
        (scratch.live.clone(), code::TARGET_IS_PRODUCTION),
        (scratch.path("link"), code::TARGET_IS_PRODUCTION),
        (scratch.live.join("below"), code::TARGET_IS_PRODUCTION),
        (scratch.path("link/below"), code::TARGET_IS_PRODUCTION),
        (scratch.root.path().to_owned(), code::TARGET_IS_PRODUCTION),
        (scratch.path("full"), code::TARGET_NOT_EMPTY),
        (PathBuf::from("relative"), code::TARGET_INVALID),
    ] {
        let error = restore(&binding, &from, &side_by_side(&target)).unwrap_err();
        assert_eq!(error.code(), wanted, "{}", target.display());
    }
    assert_eq!(fs::read_to_string(scratch.live.join("a")).unwrap(), "old");
    assert_eq!(fs::read_dir(&scratch.live).unwrap().count(), 1);
}

/// Killed at ever later instants of a real restore in a child process, the live folder is whole, old or new, each time.
#[test]
fn a_restore_in_place_that_is_killed_leaves_old_or_new() {
    if let Ok(folder) = std::env::var("SEAWALL_TEST_RESTORE") {
        let folder = Path::new(&folder);
        restore(
            &Binding::Files(files_at(&folder.join("live"))),
            &folder.join("from"),
            &Mode::InPlace {
                restore_id: "r".to_owned(),
            },
        )
        .unwrap();
        return;
    }
    let (mut old, mut new) = (0, 0);
    for delay in 0..8 {
        let scratch = Scratch::new();
        let from = scratch.path("from");
        fs::create_dir(&from).unwrap();
        for (folder, content) in [(&scratch.live, "old"), (&from, "new")] {
            (0..80).for_each(|n| fs::write(folder.join(format!("f{n}")), content).unwrap());
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "connector::files::a_restore_in_place_that_is_killed_leaves_old_or_new",
            ])
            .env("SEAWALL_TEST_RESTORE", scratch.root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The instants of the kills follow the progress of the work, not the clock: so many entries are staged.
        let staging = scratch.path(".live.seawall-r");
        let wanted = delay * 10;
        loop {
            let staged = fs::read_dir(staging.join("fresh")).map_or(0, Iterator::count);
            if staged > wanted || child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        let contents: std::collections::BTreeSet<String> = fs::read_dir(&scratch.live)
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        assert_eq!(fs::read_dir(&scratch.live).unwrap().count(), 80);
        assert_eq!(contents.len(), 1, "old and new are mixed: {contents:?}");
        if contents.contains("old") {
            old += 1;
        } else {
            new += 1;
        }

        let again = restore(
            &Binding::Files(files_at(&scratch.live)),
            &from,
            &Mode::InPlace {
                restore_id: "r".to_owned(),
            },
        );
        match again {
            Ok(_) => {}
            Err(error) => assert_eq!(
                error.code(),
                code::TARGET_NOT_EMPTY,
                "the killed run had ended"
            ),
        }
        assert_eq!(fs::read_to_string(scratch.live.join("f0")).unwrap(), "new");
    }
    assert!(
        old > 0,
        "no kill struck before the exchange: {old} old, {new} new"
    );
}

/// What the connector leaves out, the vault's walk leaves out: both read the same globs the same way.
#[test]
fn the_vault_takes_exactly_what_the_connector_offers() {
    let mut world = World::new(1);
    for name in [
        "keep",
        "a.tmp",
        "deep/a.tmp",
        "cache/x",
        "deep/cache/x",
        "top/x",
        "deep/top/x",
        "a[1]/x",
        "deep/only/here/x",
        "only/here/x",
        "we ird",
    ] {
        world.file(name, 1, 10);
    }
    nix::unistd::mkfifo(
        &world.path("src/deep/pipe [*]"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    let exclude = ["*.tmp", "cache/", "/top", "only/here", "a[[]1]"]
        .map(str::to_owned)
        .to_vec();
    let binding = Binding::Files(FilesBinding {
        exclude,
        ..files_at(&world.path("src"))
    });
    let prepared = connector::prepare(&binding, None, &world.path("spool"), &bounds()).unwrap();
    let mut request = world.request(1);
    request.sources[0].exclude = prepared.excludes.globs();
    let outcome = world.vault.backup(&request, |_| Ok(())).unwrap();
    assert_eq!(outcome.files, prepared.expected_items);

    world.restic_ok(
        "a",
        &[
            "restore",
            "latest",
            "--target",
            world.path("out").to_str().unwrap(),
        ],
    );
    let out = world.path("out/ds_files");
    let mut restored: Vec<String> = walkdir::WalkDir::new(&out)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            entry
                .path()
                .strip_prefix(&out)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    restored.sort();
    assert_eq!(
        restored,
        ["deep/only/here/x", "deep/top/x", "keep", "we ird"]
    );
    assert_eq!(
        connector::finish(&binding, prepared, &bounds())
            .unwrap()
            .verdict,
        Verdict::Complete
    );
}

/// Sockets and pipes with odd names stand beside regular files; their names must not keep one out.
#[test]
fn special_files_are_left_out_by_kind_and_never_by_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let pipe = |path: &Path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    };
    let mut world = World::new(1);
    let src = world.path("src");
    let odd = |bytes: &[u8]| src.join(std::ffi::OsStr::from_bytes(bytes));
    drop(std::os::unix::net::UnixListener::bind(odd(b"log\xff")).unwrap());
    for name in [
        &b"sp "[..],
        b"run-a\\x2db.sock",
        b"odd\\",
        b"[a]*",
        b"!no",
        b"#no",
    ] {
        pipe(&odd(name));
    }
    let regular = [
        &b"loga"[..],
        b"log1",
        b"logxx",
        b"sp",
        b"run-ax2db.sock",
        b"a",
        b"keep",
        b"bytes\xfe",
        b"line\nend",
        b"back\\slash",
        b"blank ",
    ];
    for name in regular {
        fs::write(odd(name), "precious").unwrap();
    }
    let binding = Binding::Files(files_at(&src));
    let prepared = connector::prepare(&binding, None, &world.path("spool"), &bounds()).unwrap();
    assert_eq!(prepared.expected_items, regular.len() as u64);
    assert!(
        prepared
            .notes
            .iter()
            .any(|note| note.contains("7 special files")),
        "{:?}",
        prepared.notes
    );
    let outcome = world.backup(1).unwrap();
    assert_eq!(outcome.files, regular.len() as u64);
    let restored = world.path("out");
    let request = world.restore_request(&outcome.snapshot_id);
    world
        .vault
        .restore(&request, &crate::vault::world::helper())
        .unwrap();
    for name in regular {
        let path = restored.join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "precious",
            "{}",
            path.display()
        );
    }
    let target = world.path("target");
    restore(&binding, &restored, &side_by_side(&target)).unwrap();
    same_tree(&restored, &target);
}

/// A mail spool: files are delivered by rename and go away all the time.
#[test]
fn files_that_come_and_go_cost_no_recovery_point() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let mut world = World::new(1);
    for number in 0..300 {
        world.file(&format!("mail.{number}"), number, 10);
    }
    let (stop, delivered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let churn = std::thread::spawn({
        let (stop, delivered, src) = (Arc::clone(&stop), Arc::clone(&delivered), world.path("src"));
        move || {
            while !stop.load(Ordering::SeqCst) {
                let number = delivered.fetch_add(1, Ordering::SeqCst);
                fs::write(src.join(format!("tmp.{number}")), "x").unwrap();
                fs::rename(
                    src.join(format!("tmp.{number}")),
                    src.join(format!("new.{number}")),
                )
                .unwrap();
                let _ = fs::remove_file(src.join(format!("new.{}", number.saturating_sub(3))));
            }
        }
    });
    let mut gone = 0;
    for _ in 0..6 {
        let before = delivered.load(Ordering::SeqCst);
        let outcome = world.backup(1).unwrap();
        assert!(outcome.files >= 300, "{}", outcome.files);
        assert_eq!(outcome.source.problems, 0);
        let named = &outcome.source.gone;
        gone += named.count;
        assert_eq!(
            outcome.source.notes().is_empty(),
            named.count == 0 && outcome.source.changed.count == 0
        );
        assert!(named.first.iter().all(|name| name.starts_with("ds_files/")));
        assert!(delivered.load(Ordering::SeqCst) > before);
    }
    stop.store(true, Ordering::SeqCst);
    churn.join().unwrap();
    println!("{gone} names went away");
}

#[test]
fn a_dataset_that_is_a_link_of_another_user_is_refused() {
    let scratch = Scratch::new();
    fs::set_permissions(scratch.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(scratch.live.join("a"), "root's").unwrap();
    let theirs = scratch.path("theirs");
    fs::create_dir(&theirs).unwrap();
    let link = theirs.join("link");
    symlink(&scratch.live, &link).unwrap();
    let binding = Binding::Files(files_at(&link));
    assert!(
        scratch.prepare(&binding, None).is_ok(),
        "the operator's link is followed"
    );
    let refused = |what: &str| {
        for binding in [
            Binding::Files(files_at(&link)),
            Binding::Jsonl(super::jsonl_at(&link)),
            super::sqlite_at(&link),
        ] {
            let error = scratch.prepare(&binding, None).unwrap_err();
            assert_eq!(error.code(), code::SOURCE_UNTRUSTED, "{what}: {error}");
        }
        let view = connector::observe(&binding, &bounds());
        assert!(
            matches!(view.bytes, reconciler::domain::Observation::Unknown { .. }),
            "{what}"
        );
    };
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    refused("the link belongs to another user");
    std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
    std::os::unix::fs::chown(&theirs, Some(65_534), None).unwrap();
    refused("the folder of the link belongs to another user");
}

/// Root reads and restores as `nobody`: the kernel refuses what `nobody` could not do alone.
#[test]
fn run_as_reads_and_writes_with_the_rights_of_that_user() {
    let scratch = Scratch::new();
    fs::set_permissions(scratch.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let give = |path: &Path| std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
    fs::write(scratch.live.join("a"), "theirs").unwrap();
    fs::create_dir(scratch.live.join("sub")).unwrap();
    fs::write(scratch.live.join("sub/tool"), "tool").unwrap();
    fs::set_permissions(
        scratch.live.join("sub/tool"),
        fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    for path in ["", "a", "sub"] {
        give(&scratch.live.join(path));
    }
    let as_nobody = |path: &Path| {
        Binding::Files(FilesBinding {
            run_as: Some("nobody".to_owned()),
            ..files_at(path)
        })
    };
    let binding = as_nobody(&scratch.live);
    assert_eq!(
        scratch.backup(&binding, None).unwrap().verdict,
        Verdict::Complete
    );

    let target = scratch.path("theirs");
    fs::create_dir(&target).unwrap();
    give(&target);
    restore(&binding, &scratch.live, &side_by_side(&target.join("out"))).unwrap();
    same_tree(&scratch.live, &target.join("out"));
    for entry in walkdir::WalkDir::new(target.join("out")) {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), 65_534, "{entry:?}");
    }
    let tool = fs::metadata(target.join("out/sub/tool")).unwrap();
    assert_eq!(
        tool.mode() & 0o7777,
        0o755,
        "root's set-id bit is not given to nobody"
    );
    // Where `nobody` cannot write, nothing is written.
    fs::create_dir(scratch.path("ours")).unwrap();
    for place in ["ours/out", "ours"] {
        let error =
            restore(&binding, &scratch.live, &side_by_side(&scratch.path(place))).unwrap_err();
        assert_eq!(error.code(), code::CONNECTOR_IO, "{error}");
    }
    assert_eq!(fs::read_dir(scratch.path("ours")).unwrap().count(), 0);

    fs::write(scratch.live.join("closed"), "root's").unwrap();
    fs::set_permissions(
        scratch.live.join("closed"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let verdict = scratch.backup(&binding, None).unwrap().verdict;
    let Verdict::Partial { problems } = verdict else {
        panic!("a file that nobody cannot read was read")
    };
    assert_eq!(problems[0].path, "closed");
    assert_eq!(
        scratch
            .backup(&Binding::Files(files_at(&scratch.live)), None)
            .unwrap()
            .verdict,
        Verdict::Complete,
        "root reads it"
    );
    let mut world = World::new(1);
    let mut request = world.request(1);
    request.sources[0].folder.clone_from(&scratch.live);
    request.sources[0].run_as = Some("nobody".to_owned());
    let error = world.vault.backup(&request, |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    fs::set_permissions(&scratch.live, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&scratch.live, Some(0), None).unwrap();
    let error = scratch.prepare(&binding, None).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_UNREADABLE, "{error}");

    let unknown = Binding::Files(FilesBinding {
        run_as: Some("no-such-user".to_owned()),
        ..files_at(&scratch.live)
    });
    let error = scratch.prepare(&unknown, None).unwrap_err();
    assert_eq!(error.code(), code::OWNER_UNUSABLE, "{error}");
}

/// Whatever the umask: nobody else enters what is staged, and what comes back has the modes of the backup.
#[test]
fn modes_do_not_depend_on_the_umask() {
    for mask in [0, 0o022, 0o077] {
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
        let scratch = Scratch::new();
        let from = scratch.path("from");
        fs::create_dir(&from).unwrap();
        sample_tree(&from);
        fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
        let binding = Binding::Files(files_at(&scratch.live));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        restore(&binding, &from, &side_by_side(&scratch.path("out"))).unwrap();
        assert_eq!(mode(&scratch.path("out")), 0o700, "{mask:o}");
        same_metadata(&from, &scratch.path("out"));
        let prepared = scratch
            .prepare(&Binding::Jsonl(super::jsonl_at(&scratch.live)), None)
            .unwrap();
        assert_eq!(mode(&prepared.source), 0o700, "{mask:o}");
        let live = mode(&scratch.live);
        let in_place = Mode::InPlace {
            restore_id: "r".to_owned(),
        };
        restore(&binding, &from, &in_place).unwrap();
        same_metadata(&from, &scratch.live);
        assert_eq!(mode(&scratch.live), live, "{mask:o}");
        nix::sys::stat::umask(before);
    }
}

#[test]
fn holes_come_back_as_holes() {
    let mut world = World::new(1);
    let size = 256 << 20;
    let sparse = fs::File::create(world.path("src/sparse")).unwrap();
    sparse.set_len(size).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"middle", size / 2).unwrap();
    drop(sparse);
    let outcome = world.backup(1).unwrap();
    let restored = world.path("out");
    let request = reconciler::world::vault::RestoreRequest {
        goes_to: Some(world.path("target")),
        ..world.restore_request(&outcome.snapshot_id)
    };
    world
        .vault
        .restore(&request, &crate::vault::world::helper())
        .unwrap();
    let binding = Binding::Files(files_at(&world.path("src")));
    restore(&binding, &restored, &side_by_side(&world.path("target"))).unwrap();
    for folder in ["out", "target"] {
        let metadata = fs::metadata(world.path(folder).join("sparse")).unwrap();
        assert_eq!(metadata.len(), size);
        assert!(
            metadata.blocks() * 512 < 32 << 20,
            "{folder}: {} blocks",
            metadata.blocks()
        );
        let mut middle = [0; 6];
        let file = fs::File::open(world.path(folder).join("sparse")).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut middle, size / 2).unwrap();
        assert_eq!(&middle, b"middle");
    }
}
