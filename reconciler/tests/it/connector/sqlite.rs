//! The `sqlite` connector.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use contract::code;
use reconciler::world::connector::{
    self, Bounds, Cancel, Material, Mode, Observation, Target, Verdict,
};
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
