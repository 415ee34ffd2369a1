//! The `postgres` connector: one database through `psql`, `pg_dump` and `pg_restore`. Consistency point: the start of the
//! dump's snapshot.
//!
//! Never puts a password into an argument and never drops a database that it did not create in the same run. The dump
//! is in [`dump`], the ways back in [`restore`], the talk with the server in [`client`].

mod client;
mod database;
mod dump;
mod restore;

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Bounds, Check, ConnectorError, Fingerprint, Manifest, Observation, PostgresBinding, SourceView,
    Target, ValidationQuery,
};

pub(super) use dump::prepare;
pub(super) use restore::{in_place, probe, side_by_side};

/// Counts what a dump of the database would bring back: tables, views, sequences of users.
const RELATIONS: &str = "(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' \
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')";

#[derive(Debug, Deserialize)]
struct Seen {
    system_identifier: String,
    oid: String,
    bytes: u64,
    committed: Option<String>,
}

/// Size, newest commit where the server tracks it, and identity.
pub(super) fn observe(binding: &PostgresBinding, bounds: &Bounds) -> SourceView {
    let at = Timestamp::now();
    match look(binding, bounds) {
        Ok(seen) => SourceView {
            bytes: Observation::Known {
                value: seen.bytes,
                at,
            },
            newest_change: match seen.committed.as_deref().map(str::parse::<Timestamp>) {
                Some(Ok(value)) => Observation::Known { value, at },
                Some(Err(error)) => Observation::Unknown {
                    why: error.to_string(),
                },
                None => Observation::Unknown {
                    why: "the server does not track commit timestamps".to_owned(),
                },
            },
            fingerprint: Observation::Known {
                value: identity(binding, &seen),
                at,
            },
        },
        Err(error) if is_absent(binding, bounds) => {
            tracing::debug!(%error, database = %binding.database, "the database is absent");
            SourceView {
                bytes: Observation::Absent { at },
                newest_change: Observation::Absent { at },
                fingerprint: Observation::Absent { at },
            }
        }
        Err(error) => super::unknown_view(&error.to_string()),
    }
}

/// The server's system identifier with the database's number and name.
pub(super) fn fingerprint(
    binding: &PostgresBinding,
    bounds: &Bounds,
) -> Result<Fingerprint, ConnectorError> {
    look(binding, bounds).map(|seen| identity(binding, &seen))
}

/// Looks at a database, or at a dump that was restored as files.
pub(super) fn validate(
    binding: &PostgresBinding,
    target: &Target,
    manifest: Option<&Manifest>,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    match target {
        Target::Live => validate_database(binding, &binding.database, bounds),
        Target::Database(name) => validate_database(binding, name, bounds),
        Target::Path(folder) => validate_dump(binding, folder, manifest, bounds),
    }
}

/// Whether the dump's files are those of the backup and hold what its table of contents names. Needs no server.
fn validate_dump(
    binding: &PostgresBinding,
    folder: &Path,
    manifest: Option<&Manifest>,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let mut checks = match manifest {
        Some(_) => super::files::validate(folder, manifest, bounds)?,
        None => Vec::new(),
    };
    let wanted = dump::facts(folder)?.tables_with_data;
    checks.push(
        match dump::contents(binding, &folder.join(dump::DUMP), bounds) {
            Ok(found) if found == wanted => {
                Check::passed("contents", format!("{found} tables with data"))
            }
            Ok(found) => Check::failed("contents", format!("{found} of {wanted} tables with data")),
            Err(ConnectorError::DumpIncomplete { detail, .. }) => Check::failed("contents", detail),
            Err(error) => return Err(error),
        },
    );
    Ok(checks)
}

/// Whether the database answers, what it holds, and what the binding's queries say.
fn validate_database(
    binding: &PostgresBinding,
    database: &str,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let relations = client::query(binding, database, &format!("SELECT {RELATIONS};"), bounds)?;
    let mut checks = vec![Check::passed(
        "connect",
        format!(
            "`{database}` answers and holds {} relations",
            relations.trim()
        ),
    )];
    for query in &binding.validation {
        checks.push(ask(binding, database, query, bounds)?);
    }
    Ok(checks)
}

/// Runs one validation query in a read-only transaction and judges the first value that it returns.
fn ask(
    binding: &PostgresBinding,
    database: &str,
    query: &ValidationQuery,
    bounds: &Bounds,
) -> Result<Check, ConnectorError> {
    let ended = client::read_only(binding, database, &query.sql, bounds)?;
    if !ended.is_clean() {
        return Ok(Check::failed(&query.name, ended.reason()));
    }
    let value = ended.stdout.lines().next().unwrap_or_default();
    let value = value.split(client::SEPARATOR).next().unwrap_or_default();
    let wanted = match (&query.equals, query.at_least) {
        (Some(wanted), _) if value != wanted => Some(format!("`{wanted}`")),
        (None, Some(least)) if value.parse::<i64>().map_or(true, |found| found < least) => {
            Some(format!("at least `{least}`"))
        }
        (_, _) => None,
    };
    Ok(match wanted {
        None => Check::passed(&query.name, format!("`{value}`")),
        Some(wanted) => Check::failed(&query.name, format!("`{value}` instead of {wanted}")),
    })
}

fn look(binding: &PostgresBinding, bounds: &Bounds) -> Result<Seen, ConnectorError> {
    let sql = "SELECT json_build_object(\
        'system_identifier', (SELECT system_identifier::text FROM pg_control_system()), \
        'oid', d.oid::text, \
        'bytes', pg_database_size(d.oid), \
        'committed', CASE WHEN current_setting('track_commit_timestamp')::bool THEN \
            (SELECT to_char(\"timestamp\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pg_last_committed_xact()) END\
        ) FROM pg_database d WHERE d.datname = current_database();";
    let answer = client::query(binding, &binding.database, sql, bounds)?;
    serde_json::from_str(answer.trim())
        .map_err(|error| client::unreachable(binding, format!("its answer is unreadable: {error}")))
}

/// Known absent means that the server answered and lists no such database; anything else is unknown.
fn is_absent(binding: &PostgresBinding, bounds: &Bounds) -> bool {
    database::exists(binding, &binding.database, bounds).is_ok_and(|exists| !exists)
}

fn identity(binding: &PostgresBinding, seen: &Seen) -> Fingerprint {
    Fingerprint::new(format!(
        "postgresql:{}:{}:{}",
        seen.system_identifier, seen.oid, binding.database
    ))
}
