//! Connectors against real files and SQLite databases: what is taken, what is refused, what comes back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use contract::code;
use reconciler::world::connector::{
    self, Binding, Bounds, Cancel, ConnectorError, FilesBinding, Finished, JsonlBinding, Material,
    Mode, Observation, Prepared, SqliteBinding, Target, Verdict,
};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;

pub fn bounds() -> Bounds {
    Bounds::within(Duration::from_mins(2), Cancel::new())
}

fn files(path: &Path) -> FilesBinding {
    FilesBinding {
        path: path.to_owned(),
        exclude: vec![],
        checksums: None,
        allow_empty: false,
    }
}

fn jsonl(path: &Path) -> JsonlBinding {
    JsonlBinding {
        path: path.to_owned(),
        include: vec![],
        rotates: false,
        append_only_epoch: 0,
    }
}

fn sqlite(path: &Path) -> Binding {
    Binding::Sqlite(SqliteBinding {
        path: path.to_owned(),
    })
}

/// A scratch folder with an empty `live` folder in it.
struct Scratch {
    root: TempDir,
    live: PathBuf,
    spools: AtomicU64,
}

impl Scratch {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let live = root.path().join("live");
        fs::create_dir(&live).unwrap();
        Self {
            root,
            live,
            spools: AtomicU64::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn prepare(
        &self,
        binding: &Binding,
        previous: Option<&Value>,
    ) -> Result<Prepared, ConnectorError> {
        let spool = self.path(&format!(
            "spool-{}",
            self.spools.fetch_add(1, Ordering::SeqCst)
        ));
        connector::prepare(binding, previous, &spool, &bounds())
    }

    fn backup(
        &self,
        binding: &Binding,
        previous: Option<&Value>,
    ) -> Result<Finished, ConnectorError> {
        let prepared = self.prepare(binding, previous)?;
        connector::finish(binding, prepared, &bounds())
    }
}

fn restore(
    binding: &Binding,
    from: &Path,
    mode: &Mode,
) -> Result<connector::RestoreSummary, ConnectorError> {
    connector::restore(
        binding,
        Material {
            folder: from,
            manifest: None,
        },
        mode,
        &bounds(),
    )
}

fn side_by_side(target: &Path) -> Mode {
    Mode::SideBySide {
        target: target.to_str().unwrap().to_owned(),
    }
}

fn same_tree(left: &Path, right: &Path) {
    let output = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(left)
        .arg(right)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

// files

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
        ..files(&scratch.live)
    });

    let prepared = scratch.prepare(&binding, None).unwrap();
    assert!(prepared.stable);
    assert_eq!((prepared.expected_items, prepared.expected_bytes), (1, 2));
    assert!(prepared.excludes.matches(Path::new("cache/b")));
    assert!(
        prepared.excludes.matches(Path::new("pipe")),
        "the vault must not open a pipe"
    );
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
    let missing = Binding::Files(files(&scratch.path("nowhere")));
    assert_eq!(
        scratch.prepare(&missing, None).unwrap_err().code(),
        code::SOURCE_MISSING
    );
    let live = Binding::Files(files(&scratch.live));
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
        ..files(&scratch.live)
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
        "connector::an_unreadable_file_makes_the_verdict_partial",
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
    let binding = Binding::Files(files(&folder.join("live")));
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
    let binding = Binding::Files(files(&scratch.live));

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
        assert_eq!((summary.items, summary.bytes), (5, 300_005), "{target}");
        if let Some(kept) = summary.kept {
            assert_eq!(
                fs::read_to_string(Path::new(&kept).join("old")).unwrap(),
                "old"
            );
        }
    }
    assert!(!scratch.path(".live.seawall-rs-1").exists());
    let manifest = connector::Manifest::of(&from, &bounds()).unwrap();
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
    let binding = Binding::Files(files(&scratch.live));
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
            &Binding::Files(files(&folder.join("live"))),
            &folder.join("from"),
            &Mode::InPlace {
                restore_id: "r".to_owned(),
            },
        )
        .unwrap();
        return;
    }
    let (mut old, mut new) = (0, 0);
    for delay in 0..12 {
        let scratch = Scratch::new();
        let from = scratch.path("from");
        fs::create_dir(&from).unwrap();
        for (folder, content) in [(&scratch.live, "old"), (&from, "new")] {
            (0..200).for_each(|n| fs::write(folder.join(format!("f{n}")), content).unwrap());
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "connector::a_restore_in_place_that_is_killed_leaves_old_or_new",
            ])
            .env("SEAWALL_TEST_RESTORE", scratch.root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The instants of the kills follow the progress of the work, not the clock: so many entries are staged.
        let staging = scratch.path(".live.seawall-r");
        let wanted = delay * 25;
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
        assert_eq!(fs::read_dir(&scratch.live).unwrap().count(), 200);
        assert_eq!(contents.len(), 1, "old and new are mixed: {contents:?}");
        if contents.contains("old") {
            old += 1;
        } else {
            new += 1;
        }

        let again = restore(
            &Binding::Files(files(&scratch.live)),
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

// jsonl

#[test]
fn jsonl_takes_whole_lines_and_goes_on_from_there() {
    let scratch = Scratch::new();
    let log = scratch.live.join("a.jsonl");
    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n{\"n\":").unwrap();
    fs::write(scratch.live.join("other.txt"), "x").unwrap();
    let binding = Binding::Jsonl(jsonl(&scratch.live));

    let prepared = scratch.prepare(&binding, None).unwrap();
    assert!(!prepared.stable);
    assert_eq!(
        fs::read_to_string(prepared.source.join("a.jsonl")).unwrap(),
        "{\"n\":1}\n{\"n\":2}\n"
    );
    assert_eq!(fs::read_dir(&prepared.source).unwrap().count(), 1);
    let checks = connector::validate(
        &binding,
        &Target::Path(prepared.source.clone()),
        prepared.manifest.as_ref(),
        &bounds(),
    )
    .unwrap();
    assert!(
        checks.iter().all(connector::Check::has_passed),
        "{checks:?}"
    );
    // The writer goes on while the vault reads; that changes nothing.
    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n").unwrap();
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    assert_eq!(finished.verdict, Verdict::Complete);
    assert!(
        finished.notes[0].contains("5 bytes of an unfinished line"),
        "{:?}",
        finished.notes
    );

    let second = scratch.prepare(&binding, finished.state.as_ref()).unwrap();
    assert_eq!(second.expected_bytes, 24);
    assert!(
        connector::finish(&binding, second, &bounds())
            .unwrap()
            .notes
            .is_empty()
    );
}

#[test]
fn jsonl_raises_the_alarm_for_a_prefix_that_shrank_changed_or_vanished() {
    let scratch = Scratch::new();
    let log = scratch.live.join("a.jsonl");
    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let binding = Binding::Jsonl(jsonl(&scratch.live));
    let state = scratch.backup(&binding, None).unwrap().state;

    for tampered in [
        "{\"n\":1}\n",
        "{\"n\":1}\n{\"n\":9}\n",
        "{\"n\":1}\n{\"n\":2} ",
        "{\"n\":0}\n{\"n\":2}\n{\"n\":3}\n",
    ] {
        fs::write(&log, tampered).unwrap();
        let error = scratch.prepare(&binding, state.as_ref()).unwrap_err();
        assert_eq!(error.code(), code::PREFIX_REWRITTEN, "{tampered}");
    }
    let accepted = Binding::Jsonl(JsonlBinding {
        append_only_epoch: 1,
        ..jsonl(&scratch.live)
    });
    let finished = scratch.backup(&accepted, state.as_ref()).unwrap();
    assert!(
        finished.notes[0].contains("epoch 1"),
        "a person's acceptance is told: {:?}",
        finished.notes
    );
    let error = scratch
        .prepare(&binding, finished.state.as_ref())
        .unwrap_err();
    assert_eq!(
        error.code(),
        code::STATE_INVALID,
        "an epoch that goes back is not an acceptance"
    );

    fs::rename(&log, scratch.live.join("b.jsonl")).unwrap();
    let error = scratch.prepare(&binding, state.as_ref()).unwrap_err();
    assert_eq!(error.code(), code::PREFIX_REWRITTEN);
    let rotating = Binding::Jsonl(JsonlBinding {
        rotates: true,
        ..jsonl(&scratch.live)
    });
    assert_eq!(
        scratch.backup(&rotating, state.as_ref()).unwrap().verdict,
        Verdict::Complete
    );
    let error = scratch
        .prepare(&binding, Some(&serde_json::json!({"format": 1})))
        .unwrap_err();
    assert_eq!(error.code(), code::STATE_INVALID);
}

#[test]
fn jsonl_that_is_rewritten_while_it_is_backed_up_gets_no_verdict() {
    let scratch = Scratch::new();
    let log = scratch.live.join("a.jsonl");
    fs::write(&log, "{\"n\":1}\n").unwrap();
    let binding = Binding::Jsonl(jsonl(&log));
    let prepared = scratch.prepare(&binding, None).unwrap();
    fs::write(&log, "{\"n\":7}\n").unwrap();
    let error = connector::finish(&binding, prepared, &bounds()).unwrap_err();
    assert_eq!(error.code(), code::PREFIX_REWRITTEN);
}

#[test]
fn jsonl_comes_back_side_by_side_and_never_in_place() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{\"n\":1}\nnot json\n").unwrap();
    let binding = Binding::Jsonl(jsonl(&scratch.live));
    let prepared = scratch.prepare(&binding, None).unwrap();
    restore(
        &binding,
        &prepared.source,
        &side_by_side(&scratch.path("beside")),
    )
    .unwrap();
    same_tree(&scratch.live, &scratch.path("beside"));
    let checks = connector::validate(
        &binding,
        &Target::Path(scratch.path("beside")),
        None,
        &bounds(),
    )
    .unwrap();
    assert!(
        !checks[0].has_passed(),
        "a line that is no JSON is told: {checks:?}"
    );
    let error = restore(
        &binding,
        &prepared.source,
        &Mode::InPlace {
            restore_id: "r".to_owned(),
        },
    )
    .unwrap_err();
    assert_eq!(error.code(), code::MODE_UNSUPPORTED);
}

#[test]
fn a_spool_that_loses_a_file_gets_no_verdict() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
    let binding = Binding::Jsonl(jsonl(&scratch.live));
    let prepared = scratch.prepare(&binding, None).unwrap();
    fs::remove_file(prepared.source.join("a.jsonl")).unwrap();
    assert_eq!(
        connector::finish(&binding, prepared, &bounds())
            .unwrap_err()
            .code(),
        code::SOURCE_CHANGED
    );
}

// sqlite

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

async fn open(path: &Path, mode: SqliteJournalMode) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(mode);
    options
        .busy_timeout(Duration::from_secs(20))
        .connect()
        .await
        .unwrap()
}

async fn count(path: &Path) -> (i64, i64) {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .connect()
        .await
        .unwrap();
    let row = sqlx::query("select count(*), coalesce(sum(n), 0) from t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

/// Each transaction of the writer adds two rows whose sum is 0: a copy with an odd count or another sum is torn.
#[test]
fn sqlite_under_a_writer_gives_one_transactions_view() {
    for mode in [SqliteJournalMode::Wal, SqliteJournalMode::Delete] {
        let scratch = Scratch::new();
        let path = scratch.live.join("app.db");
        run(async {
            let mut connection = open(&path, mode).await;
            sqlx::query("create table t (id integer primary key, n integer, filler text)")
                .execute(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
        });
        let (stop, written) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let writer = std::thread::spawn({
            let (path, stop, written) = (path.clone(), stop.clone(), written.clone());
            move || {
                run(async {
                    let mut connection = open(&path, mode).await;
                    while !stop.load(Ordering::SeqCst) {
                        let mut transaction = connection.begin().await.unwrap();
                        for n in [5, -5] {
                            sqlx::query(
                                "insert into t (n, filler) values (?1, hex(randomblob(200)))",
                            )
                            .bind(n)
                            .execute(&mut *transaction)
                            .await
                            .unwrap();
                        }
                        transaction.commit().await.unwrap();
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let mut before = 0;
        for round in 0..4 {
            while written.load(Ordering::SeqCst) <= before {
                std::thread::yield_now();
            }
            before = written.load(Ordering::SeqCst);
            let prepared = scratch.prepare(&sqlite(&path), None).unwrap();
            let (rows, sum) = run(count(&prepared.source.join("app.db")));
            assert_eq!((rows % 2, sum), (0, 0), "{mode:?} round {round}");
            assert!(
                rows >= 2 * i64::try_from(before).unwrap(),
                "what was committed before the start is in the copy"
            );
            assert_eq!(
                connector::finish(&sqlite(&path), prepared, &bounds())
                    .unwrap()
                    .verdict,
                Verdict::Complete
            );
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
    }
}

#[test]
fn sqlite_that_is_locked_damaged_or_no_database_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.live.join("app.db");
    let mut holder = run(open(&path, SqliteJournalMode::Delete));
    run(async {
        sqlx::query("create table t (n integer, filler text)")
            .execute(&mut holder)
            .await
            .unwrap();
        sqlx::query("with recursive c(x) as (select 1 union all select x + 1 from c where x < 2000) insert into t select x, hex(randomblob(100)) from c")
            .execute(&mut holder)
            .await
            .unwrap();
        sqlx::query("begin exclusive")
            .execute(&mut holder)
            .await
            .unwrap();
    });
    let short = Bounds::within(Duration::from_secs(1), Cancel::new());
    let error =
        connector::prepare(&sqlite(&path), None, &scratch.path("locked"), &short).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_LOCKED, "{error}");
    run(async {
        sqlx::query("rollback").execute(&mut holder).await.unwrap();
        holder.close().await.unwrap();
    });
    assert!(scratch.backup(&sqlite(&path), None).is_ok());

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xEE);
    fs::write(&path, bytes).unwrap();
    let error = scratch.prepare(&sqlite(&path), None).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_DAMAGED, "{error}");
    assert!(
        !connector::validate(&sqlite(&path), &Target::Live, None, &bounds()).unwrap()[0]
            .has_passed()
    );

    fs::write(&path, "this is no database, whatever its name says").unwrap();
    assert_eq!(
        scratch.prepare(&sqlite(&path), None).unwrap_err().code(),
        code::SOURCE_DAMAGED
    );
}

#[test]
fn sqlite_comes_back_as_another_file_only() {
    let scratch = Scratch::new();
    let path = scratch.live.join("app.db");
    run(async {
        let mut connection = open(&path, SqliteJournalMode::Wal).await;
        sqlx::query("create table t (n integer)")
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("insert into t values (1), (2), (39)")
            .execute(&mut connection)
            .await
            .unwrap();
        // No close and so no checkpoint: the rows are in the write-ahead log alone.
        std::mem::forget(connection);
    });
    let binding = sqlite(&path);
    assert!(
        matches!(connector::observe(&binding, &bounds()).bytes, Observation::Known { value, .. } if value > 4096)
    );
    let prepared = scratch.prepare(&binding, None).unwrap();
    let material = Material {
        folder: &prepared.source,
        manifest: prepared.manifest.as_ref(),
    };
    let beside = scratch.path("beside.db");
    let summary =
        connector::restore(&binding, material, &side_by_side(&beside), &bounds()).unwrap();
    assert_eq!(summary.checks.len(), 2);
    assert_eq!(run(count(&beside)), (3, 42));
    assert!(
        connector::validate(&binding, &Target::Path(beside.clone()), None, &bounds()).unwrap()[0]
            .has_passed()
    );

    for (mode, wanted) in [
        (side_by_side(&beside), code::TARGET_NOT_EMPTY),
        (side_by_side(&path), code::TARGET_IS_PRODUCTION),
        (
            Mode::InPlace {
                restore_id: "r".to_owned(),
            },
            code::MODE_UNSUPPORTED,
        ),
    ] {
        assert_eq!(
            connector::restore(&binding, material, &mode, &bounds())
                .unwrap_err()
                .code(),
            wanted
        );
    }
    fs::write(prepared.source.join("app.db"), "damaged").unwrap();
    let error = connector::restore(
        &binding,
        material,
        &side_by_side(&scratch.path("third.db")),
        &bounds(),
    )
    .unwrap_err();
    assert_eq!(error.code(), code::VALIDATION_FAILED);
    assert!(
        !scratch.path("third.db").exists(),
        "nothing half-made is left"
    );
}

// bounds and observation

#[test]
fn cancelled_and_late_calls_end_with_their_code() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let cancelled = Bounds::within(Duration::from_mins(1), cancel);
    let late = Bounds::within(Duration::ZERO, Cancel::new());
    for binding in [
        Binding::Files(files(&scratch.live)),
        Binding::Jsonl(jsonl(&scratch.live)),
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
    let view = connector::observe(&Binding::Files(files(&scratch.live)), &bounds());
    assert!(matches!(view.bytes, Observation::Known { value: 5, .. }));
    let view = connector::observe(&Binding::Files(files(&scratch.path("nowhere"))), &bounds());
    assert!(matches!(view.bytes, Observation::Absent { .. }));
    let late = Bounds::within(Duration::ZERO, Cancel::new());
    let view = connector::observe(&Binding::Files(files(&scratch.live)), &late);
    assert!(matches!(view.bytes, Observation::Unknown { .. }));
}
