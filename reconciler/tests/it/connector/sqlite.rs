//! The `sqlite` connector.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use contract::code;
use reconciler::domain::Observation;
use reconciler::world::connector::{self, Bounds, Cancel, Material, Mode, Target, Verdict};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, Row};

use super::{Scratch, bounds, side_by_side, sqlite_at};

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
            let prepared = scratch.prepare(&sqlite_at(&path), None).unwrap();
            let (rows, sum) = run(count(&prepared.source.join("app.db")));
            assert_eq!((rows % 2, sum), (0, 0), "{mode:?} round {round}");
            assert!(
                rows >= 2 * i64::try_from(before).unwrap(),
                "what was committed before the start is in the copy"
            );
            assert_eq!(
                connector::finish(&sqlite_at(&path), prepared, &bounds())
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
        connector::prepare(&sqlite_at(&path), None, &scratch.path("locked"), &short).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_LOCKED, "{error}");
    run(async {
        sqlx::query("rollback").execute(&mut holder).await.unwrap();
        holder.close().await.unwrap();
    });
    assert!(scratch.backup(&sqlite_at(&path), None).is_ok());

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xEE);
    fs::write(&path, bytes).unwrap();
    let error = scratch.prepare(&sqlite_at(&path), None).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_DAMAGED, "{error}");
    assert!(
        !connector::validate(&sqlite_at(&path), &Target::Live, None, &bounds()).unwrap()[0]
            .has_passed()
    );

    fs::write(&path, "this is no database, whatever its name says").unwrap();
    assert_eq!(
        scratch.prepare(&sqlite_at(&path), None).unwrap_err().code(),
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
    let binding = sqlite_at(&path);
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

fn shell(path: &Path, sql: &str) {
    let output = std::process::Command::new("sqlite3")
        .arg(path)
        .arg(sql)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn an_empty_sqlite_file_is_no_recovery_point() {
    let scratch = Scratch::new();
    let path = scratch.live.join("app.db");
    fs::write(&path, "").unwrap();
    assert_eq!(
        scratch.prepare(&sqlite_at(&path), None).unwrap_err().code(),
        code::SOURCE_EMPTY
    );
    // A database that was made anew has a header and no table.
    shell(&path, "create table t (x); drop table t;");
    assert!(fs::metadata(&path).unwrap().len() > 0);
    assert_eq!(
        scratch.prepare(&sqlite_at(&path), None).unwrap_err().code(),
        code::SOURCE_EMPTY
    );
    let allowed = connector::Binding::Sqlite(connector::SqliteBinding {
        path: path.clone(),
        allow_empty: true,
        run_as: None,
    });
    assert!(scratch.backup(&allowed, None).is_ok());
    shell(&path, "create table t (x)");
    assert!(scratch.backup(&sqlite_at(&path), None).is_ok());
}

/// An application defines a collation that nobody else has. The database is copied and checked as far as that goes.
#[test]
fn sqlite_with_a_collation_of_the_application_is_taken_and_comes_back() {
    let scratch = Scratch::new();
    let path = scratch.live.join("app.db");
    run(async {
        let mut connection = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .collation("backwards", |one, other| other.cmp(one))
            .connect()
            .await
            .unwrap();
        for sql in [
            "create table t (n integer, x text collate backwards)",
            "create index i on t (x)",
            "create table w (x text collate backwards primary key) without rowid",
            "insert into t values (1, 'a'), (2, 'b'), (39, 'c')",
            "insert into w values ('a'), ('b'), ('c')",
        ] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
    let prepared = scratch.prepare(&sqlite_at(&path), None).unwrap();
    assert!(
        prepared
            .notes
            .iter()
            .any(|note| note.contains("`backwards`")),
        "{:?}",
        prepared.notes
    );
    let material = Material {
        folder: &prepared.source,
        manifest: prepared.manifest.as_ref(),
    };
    let beside = scratch.path("beside.db");
    connector::restore(
        &sqlite_at(&path),
        material,
        &side_by_side(&beside),
        &bounds(),
    )
    .unwrap();
    assert_eq!(run(count(&beside)), (3, 42));
    assert_eq!(
        fs::read(&beside).unwrap().len(),
        fs::read(&path).unwrap().len()
    );
    // Damage is seen all the same.
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..last + 64].fill(0xEE);
    fs::write(&path, bytes).unwrap();
    let error = scratch.prepare(&sqlite_at(&path), None).unwrap_err();
    assert_eq!(error.code(), code::SOURCE_DAMAGED, "{error}");
}

#[test]
fn journals_that_are_links_are_not_read() {
    let scratch = Scratch::new();
    let path = scratch.live.join("app.db");
    shell(
        &path,
        "pragma journal_mode = wal; create table t (n); insert into t values (1)",
    );
    let secret = scratch.path("secret");
    fs::write(&secret, "precious").unwrap();
    for name in ["app.db-wal", "app.db-journal", "app.db-shm"] {
        let link = scratch.live.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let taken = scratch.prepare(&sqlite_at(&path), None);
        if let Ok(prepared) = &taken {
            let copy = fs::read(prepared.source.join("app.db")).unwrap();
            assert!(!copy.windows(8).any(|part| part == b"precious"));
        }
        assert_eq!(fs::read_to_string(&secret).unwrap(), "precious", "{name}");
        fs::remove_file(&link).unwrap();
    }
}

/// What a database brings along is data: no trigger, view, generated column or extension runs when it is backed up or restored.
#[test]
fn hostile_schemas_run_nothing() {
    let scratch = Scratch::new();
    let path = scratch.live.join("we ird%20?mode=rwc#.db");
    let marker = scratch.path("marker.db");
    let plain = scratch.live.join("plain.db");
    shell(
        &plain,
        &format!(
            "create table t (n); insert into t values (1);
             create view v as select load_extension('/nonexistent') as x;
             create trigger r after insert on t begin select writefile('{0}', 'x'); end;
             create virtual table f using fts5 (body); insert into f values ('text');
             create table w (x, y generated always as (x || x) virtual);
             create table \"odd \"\" name\" (n);",
            marker.display()
        ),
    );
    fs::rename(&plain, &path).unwrap();
    let prepared = scratch.prepare(&sqlite_at(&path), None).unwrap();
    let material = Material {
        folder: &prepared.source,
        manifest: prepared.manifest.as_ref(),
    };
    let beside = scratch.path("beside.db");
    connector::restore(
        &sqlite_at(&path),
        material,
        &side_by_side(&beside),
        &bounds(),
    )
    .unwrap();
    assert!(!marker.exists());
    assert_eq!(fs::read(&beside).unwrap(), fs::read(&path).unwrap());
    // A header alone, and a page that points to itself.
    let whole = fs::read(&path).unwrap();
    for damaged in [whole[..100].to_vec(), {
        let mut looped = whole.clone();
        let end = looped.len();
        looped[end - 4096..].fill(5);
        looped
    }] {
        fs::write(&path, damaged).unwrap();
        let error = scratch.prepare(&sqlite_at(&path), None).unwrap_err();
        assert_eq!(error.code(), code::SOURCE_DAMAGED, "{error}");
    }
}
