//! The `sqlite` connector: `VACUUM INTO` the spool, then an integrity check of the copy. Consistency point: the start of the
//! read transaction that `VACUUM INTO` opens.
//!
//! Never writes to the live database and never copies its files behind SQLite's back. Row ids of tables without an
//! `INTEGER PRIMARY KEY` may change, as with every `VACUUM`. The interesting function is [`dump`].

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::manifest::{Manifest, hash_file};
use super::selection::Excludes;
use super::{
    After, Bounds, Check, ConnectorError, Kind, Material, Observation, Prepared, RestoreSummary,
    SourceView, SqliteBinding, live, target, tree,
};

/// The longest wait for an application's write transaction; after that its holder needs a look, not more patience.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Steps of SQLite's machine between two looks at the deadline: below a millisecond.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

pub(super) fn prepare(
    binding: &SqliteBinding,
    spool: &Path,
    bounds: &Bounds,
) -> Result<Prepared, ConnectorError> {
    let metadata = fs::metadata(&binding.path)
        .map_err(|error| ConnectorError::source(&binding.path, error))?;
    if !metadata.is_file() {
        return Err(super::binding::invalid(format!(
            "`{}` is not a database file",
            binding.path.display()
        )));
    }
    fs::File::open(&binding.path).map_err(|error| ConnectorError::source(&binding.path, error))?;
    let Some(name) = binding.path.file_name() else {
        return Err(super::binding::invalid(format!(
            "`{}` has no file name",
            binding.path.display()
        )));
    };
    let source = tree::make_spool(spool)?;
    let copy = source.join(name);
    let consistency_point = Timestamp::now();
    blocking(dump(&binding.path, &copy, bounds))?;
    let found = blocking(integrity(&copy, bounds))?;
    if let Some(first) = found.first() {
        return Err(ConnectorError::SourceDamaged {
            path: binding.path.clone(),
            detail: first.clone(),
        });
    }
    tree::carry(&binding.path, &copy, &metadata)?;
    let sum = hash_file(&copy, bounds)?;
    let expected_bytes = sum.bytes;
    let mut manifest = Manifest::default();
    manifest.insert(Path::new(name), sum);
    Ok(Prepared {
        source,
        stable: false,
        consistency_point,
        expected_bytes,
        expected_items: 1,
        manifest: Some(manifest),
        excludes: Excludes::none(),
        problems: Vec::new(),
        notes: vec!["integrity check of the copy: ok".to_owned()],
        after: After::Spool,
    })
}

/// Puts the database beside the original, as a file that does not exist yet.
pub(super) fn restore(
    binding: &SqliteBinding,
    material: Material<'_>,
    target: &Path,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    target::refuse_production(target, Some(&binding.path))?;
    for path in with_companions(target) {
        if fs::symlink_metadata(&path).is_ok() {
            return Err(ConnectorError::TargetNotEmpty {
                target: path.display().to_string(),
            });
        }
    }
    let database = only_file(material)?;
    let filled = fill(&database, material, target, bounds);
    if filled.is_err() {
        let _ = fs::remove_file(target);
    }
    let (bytes, checks) = filled?;
    Ok(RestoreSummary {
        target: target.display().to_string(),
        items: 1,
        bytes,
        checks,
        kept: None,
        notes: Vec::new(),
    })
}

fn fill(
    database: &Path,
    material: Material<'_>,
    target: &Path,
    bounds: &Bounds,
) -> Result<(u64, Vec<Check>), ConnectorError> {
    let failed = |detail: String| ConnectorError::ValidationFailed {
        target: target.display().to_string(),
        detail,
    };
    let metadata =
        fs::metadata(database).map_err(|error| ConnectorError::io("read", database, error))?;
    let (bytes, _) = tree::copy_file(database, target, &metadata, bounds)?;
    let mut checks = Vec::new();
    let wanted = database
        .file_name()
        .and_then(|name| material.manifest?.get(Path::new(name)));
    if let Some(wanted) = wanted {
        if hash_file(target, bounds)? != *wanted {
            return Err(failed("its checksum is not that of the backup".to_owned()));
        }
        checks.push(Check::passed(
            "checksums",
            format!("sha256 {} as in the backup", wanted.sha256),
        ));
    }
    if let Some(first) = blocking(integrity(target, bounds))?.first() {
        return Err(failed(first.clone()));
    }
    checks.push(Check::passed("integrity", "integrity check: ok".to_owned()));
    tree::sync_one(target)?;
    if let Some(parent) = target.parent() {
        tree::sync_one(parent)?;
    }
    Ok((bytes, checks))
}

/// The integrity check of the file, or of the only file in a restored folder.
pub(super) fn validate(path: &Path, bounds: &Bounds) -> Result<Vec<Check>, ConnectorError> {
    let database = if path.is_dir() {
        only_file(Material {
            folder: path,
            manifest: None,
        })?
    } else {
        path.to_owned()
    };
    fs::metadata(&database).map_err(|error| ConnectorError::source(&database, error))?;
    let found = blocking(integrity(&database, bounds))?;
    Ok(vec![match found.first() {
        None => Check::passed("integrity", "integrity check: ok".to_owned()),
        Some(first) => Check::failed("integrity", first.clone()),
    }])
}

/// Bytes and newest change of the database and its write-ahead log.
pub(super) fn observe(binding: &SqliteBinding, bounds: &Bounds) -> SourceView {
    let mut view = live::observe(&binding.path, bounds);
    let wal = with_suffix(&binding.path, "-wal");
    if let Ok(metadata) = fs::metadata(wal) {
        if let Observation::Known { value, .. } = &mut view.bytes {
            *value += metadata.len();
        }
        if let Observation::Known { value, .. } = &mut view.newest_change {
            *value = (*value).max(live::modified(&metadata));
        }
    }
    view
}

async fn dump(live: &Path, copy: &Path, bounds: &Bounds) -> Result<(), ConnectorError> {
    let wait = LOCK_WAIT.min(bounds.left());
    let mut connection = open(live, wait, bounds)
        .await
        .map_err(|error| failure(live, copy, wait, bounds, error))?;
    let Some(target) = copy.to_str() else {
        return Err(super::binding::invalid(format!(
            "`{}` is not UTF-8",
            copy.display()
        )));
    };
    let vacuumed = sqlx::query("VACUUM INTO ?1")
        .bind(target)
        .execute(&mut connection)
        .await;
    vacuumed.map_err(|error| failure(live, copy, wait, bounds, error))?;
    let _ = connection.close().await;
    Ok(())
}

/// The messages of SQLite's integrity check, empty when all is well.
async fn integrity(path: &Path, bounds: &Bounds) -> Result<Vec<String>, ConnectorError> {
    let wait = LOCK_WAIT.min(bounds.left());
    let fail = |error| failure(path, path, wait, bounds, error);
    let mut connection = open(path, wait, bounds).await.map_err(fail)?;
    let rows = match sqlx::query("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await
    {
        Ok(rows) => rows,
        Err(error) => match fail(error) {
            ConnectorError::SourceDamaged { detail, .. } => return Ok(vec![detail]),
            other => return Err(other),
        },
    };
    let _ = connection.close().await;
    let messages = rows.iter().map(|row| {
        row.try_get::<String, _>(0)
            .unwrap_or_else(|error| error.to_string())
    });
    Ok(messages.filter(|message| message != "ok").collect())
}

async fn open(
    path: &Path,
    wait: Duration,
    bounds: &Bounds,
) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(wait);
    let mut connection = options.disable_statement_logging().connect().await?;
    let limits = bounds.clone();
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS_BETWEEN_CHECKS, move || !limits.is_over());
    Ok(connection)
}

/// SQLite's primary result codes that need an answer of their own.
fn failure(
    live: &Path,
    written: &Path,
    wait: Duration,
    bounds: &Bounds,
    error: sqlx::Error,
) -> ConnectorError {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const INTERRUPTED: u32 = 9;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const NOT_A_DATABASE: u32 = 26;
    let code = error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .map(|extended| extended & 0xff);
    match code {
        Some(BUSY | LOCKED) => ConnectorError::SourceLocked {
            path: live.to_owned(),
            waited_s: wait.as_secs(),
        },
        Some(INTERRUPTED) => match bounds.check("reading the database") {
            Err(over) => over,
            Ok(()) => ConnectorError::Cancelled {
                what: "reading the database".to_owned(),
            },
        },
        Some(CORRUPT | NOT_A_DATABASE) => ConnectorError::SourceDamaged {
            path: live.to_owned(),
            detail: error.to_string(),
        },
        Some(FULL) => ConnectorError::DiskFull {
            path: written.to_owned(),
        },
        Some(_) | None => ConnectorError::SourceUnreadable {
            path: live.to_owned(),
            source: std::io::Error::other(error),
        },
    }
}

/// Runs on a thread with a runtime of its own, so that callers may be asynchronous or not.
fn blocking<T: Send>(
    future: impl Future<Output = Result<T, ConnectorError>> + Send,
) -> Result<T, ConnectorError> {
    let lost = |error: std::io::Error| {
        ConnectorError::io("start a thread for", Path::new("sqlite"), error)
    };
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(lost)?;
            runtime.block_on(future)
        });
        worker
            .join()
            .unwrap_or_else(|_| Err(lost(std::io::Error::other("the thread ended early"))))
    })
}

fn only_file(material: Material<'_>) -> Result<PathBuf, ConnectorError> {
    let invalid = |detail: String| ConnectorError::MaterialInvalid {
        connector: Kind::Sqlite,
        folder: material.folder.to_owned(),
        detail,
    };
    let entries = fs::read_dir(material.folder).map_err(|error| invalid(error.to_string()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file),
        (_, more) => Err(invalid(format!(
            "one database file is expected, not {more} beside it or none"
        ))),
    }
}

/// A database is its file and the journals beside it; a leftover journal would be played into a fresh file.
fn with_companions(target: &Path) -> [PathBuf; 4] {
    [
        target.to_owned(),
        with_suffix(target, "-wal"),
        with_suffix(target, "-shm"),
        with_suffix(target, "-journal"),
    ]
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
