//! Sessions of SQLite: how a database file is opened, checked, and what its errors mean.
//!
//! Never makes a database and never runs what a database brings along. The interesting function is [`integrity`].

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};

use crate::world::connector::{Bounds, ConnectorError};
use crate::world::owner::{Owner, working_as};

/// The longest wait for an application's write transaction; after that its holder needs a look, not more patience.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Steps of SQLite's machine between two looks at the deadline: below a millisecond.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

/// An application brings one or two; whoever names more keeps the check from its end.
const COLLATIONS: usize = 32;

/// What the integrity check found.
#[derive(Debug, Default)]
pub(super) struct Integrity {
    /// Its messages, empty when all is well.
    pub messages: Vec<String>,
    /// What it could not check, in words.
    pub unchecked: Vec<String>,
}

/// SQLite's integrity check. An application may define collations of its own, which nobody else has: the order of what uses
/// them cannot be checked, everything else is.
pub(super) async fn integrity(path: &Path, bounds: &Bounds) -> Result<Integrity, ConnectorError> {
    let wait = LOCK_WAIT.min(bounds.left());
    let mut unknown: Vec<String> = Vec::new();
    loop {
        let asked = ask(path, wait, bounds, &unknown).await;
        let messages = match asked {
            Ok(messages) => messages,
            Err(error) => match unknown_collation(&error) {
                Some(name) if unknown.len() < COLLATIONS && !unknown.contains(&name) => {
                    unknown.push(name);
                    continue;
                }
                Some(_) | None => match failure(path, path, wait, bounds, error) {
                    ConnectorError::SourceDamaged { detail, .. } => vec![detail],
                    other => return Err(other),
                },
            },
        };
        let ordered =
            |message: &String| unknown.is_empty() || !message.contains("not in PRIMARY KEY order");
        return Ok(Integrity {
            messages: messages.into_iter().filter(ordered).collect(),
            unchecked: unknown
                .iter()
                .map(|name| {
                    format!("collation `{name}` is the application's own: the order of what uses it was not checked")
                })
                .collect(),
        });
    }
}

async fn ask(
    path: &Path,
    wait: Duration,
    bounds: &Bounds,
    unknown: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let mut connection = open(path, wait, bounds, unknown).await?;
    // The quick check leaves the order of indexes out, which an unknown collation decides.
    let check = if unknown.is_empty() {
        "PRAGMA integrity_check"
    } else {
        "PRAGMA quick_check"
    };
    let rows = sqlx::query(check).fetch_all(&mut connection).await?;
    let _ = connection.close().await;
    let messages = rows.iter().map(|row| {
        row.try_get::<String, _>(0)
            .unwrap_or_else(|error| error.to_string())
    });
    Ok(messages.filter(|message| message != "ok").collect())
}

fn unknown_collation(error: &sqlx::Error) -> Option<String> {
    let message = error.as_database_error()?.message();
    let name = message.strip_prefix("no such collation sequence: ")?;
    Some(name.to_owned())
}

/// Opens for reading. Collations that only the application has are stood in for by the order of bytes.
pub(super) async fn open(
    path: &Path,
    wait: Duration,
    bounds: &Bounds,
    unknown: &[String],
) -> Result<SqliteConnection, sqlx::Error> {
    let mut options = SqliteConnectOptions::new().read_only(true);
    for name in unknown {
        options = options.collation(name.as_str(), str::cmp);
    }
    connect(options.filename(path), wait, bounds).await
}

/// Opens a copy of ours for writing.
pub(super) async fn open_to_write(
    path: &Path,
    wait: Duration,
    bounds: &Bounds,
) -> Result<SqliteConnection, sqlx::Error> {
    // It is read again at once, and made anew by the next run.
    let options = SqliteConnectOptions::new().synchronous(SqliteSynchronous::Off);
    connect(options.filename(path), wait, bounds).await
}

async fn connect(
    options: SqliteConnectOptions,
    wait: Duration,
    bounds: &Bounds,
) -> Result<SqliteConnection, sqlx::Error> {
    let options = options.create_if_missing(false).busy_timeout(wait);
    let mut connection = options.disable_statement_logging().connect().await?;
    let limits = bounds.clone();
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS_BETWEEN_CHECKS, move || {
            limits.step();
            !limits.is_over()
        });
    Ok(connection)
}

/// SQLite's primary result codes that need an answer of their own.
pub(super) fn failure(
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

/// Runs on a thread with a runtime of its own, so that callers may be asynchronous or not. The thread, and those that SQLite's
/// driver starts from it, work as `reader`.
pub(super) fn blocking<T: Send>(
    reader: Option<&Owner>,
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
            working_as(reader, || runtime.block_on(future)).map_err(lost)?
        });
        worker
            .join()
            .unwrap_or_else(|_| Err(lost(std::io::Error::other("the thread ended early"))))
    })
}
