//! The `postgres` connector: one database through `psql`, `pg_dump` and `pg_restore`. Consistency point: the start of the
//! dump's snapshot.
//!
//! Never puts a password into an argument, never drops a database that it did not create in the same run, and never gives
//! code of a database the rights of a superuser. The dump is in [`dump`], the ways back in [`restore`], who does what there in
//! [`crew`], sessions in [`client`], the rights of roles in [`role`].

mod client;
mod crew;
mod database;
mod dump;
mod error;
mod judge;
mod load;
mod lock;
mod restore;
mod role;
mod seal;
mod settings;

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Bounds, Check, ConnectorError, Fingerprint, Observation, PostgresBinding, SourceView,
    SuperuserWork, Target, ValidationQuery,
};
use crate::domain::Manifest;
use client::{Login, unreadable};
use role::{Power, permit, power_of_session, standing};

pub(super) use dump::prepare;
pub use error::DatabaseError;
pub(super) use restore::{in_place, probe, side_by_side};
pub(super) use role::rights;

/// Counts what a dump of the database would bring back: tables, views, sequences of users.
const RELATIONS: &str = "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' \
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')";

#[derive(Debug, Deserialize)]
struct Seen {
    system_identifier: String,
    oid: String,
    bytes: u64,
    committed: Option<String>,
    power: Option<Power>,
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
        Err(error) if is_absent(&Login::reader(binding), bounds) => {
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
        Target::Live => validate_as_restorer(binding, &binding.database, bounds),
        Target::Database(name) => validate_as_restorer(binding, name, bounds),
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
        match dump::contents(&Login::reader(binding), &folder.join(dump::DUMP), bounds) {
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

/// A validation query may read a view, and a view calls functions of its owner: never as a superuser, whatever the binding
/// asks for.
fn validate_as_restorer(
    binding: &PostgresBinding,
    database: &str,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let login = Login::restorer(binding);
    let standing = standing(&login, &login.role, bounds)?;
    permit(&login, standing.power.as_ref(), SuperuserWork::Validation)?;
    validate_database(&login, database, bounds)
}

/// Whether the database answers, what it holds, and what the binding's queries say.
fn validate_database(
    login: &Login<'_>,
    database: &str,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let relations = client::query(login, database, &format!("SELECT {RELATIONS};"), bounds)?;
    let mut checks = vec![Check::passed(
        "connect",
        format!(
            "`{database}` answers and holds {} relations",
            relations.trim()
        ),
    )];
    for query in &login.binding.validation {
        checks.push(ask(login, database, query, bounds)?);
    }
    Ok(checks)
}

/// Runs one validation query in a read-only transaction and judges the first value that it returns.
fn ask(
    login: &Login<'_>,
    database: &str,
    query: &ValidationQuery,
    bounds: &Bounds,
) -> Result<Check, ConnectorError> {
    let ended = client::read_only(login, database, &query.sql, bounds)?;
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
    let sql = format!(
        "SELECT pg_catalog.json_build_object(\
        'system_identifier', (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()), \
        'oid', d.oid::pg_catalog.text, \
        'bytes', pg_catalog.pg_database_size(d.oid), \
        'power', {}, \
        'committed', CASE WHEN pg_catalog.current_setting('track_commit_timestamp')::pg_catalog.bool THEN \
            (SELECT pg_catalog.to_char(\"timestamp\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
             FROM pg_catalog.pg_last_committed_xact()) END\
        ) FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database();",
        power_of_session()
    );
    let login = Login::reader(binding);
    let answer = client::query(&login, &binding.database, &sql, bounds)?;
    let seen: Seen = serde_json::from_str(answer.trim())
        .map_err(|error| unreadable(&login, &binding.database, &error))?;
    // A superuser that is asked for by name for any work may look: these statements call nothing but `pg_catalog`.
    if binding.superuser.is_empty() {
        permit(&login, seen.power.as_ref(), SuperuserWork::Backup)?;
    }
    Ok(seen)
}

/// Known absent means that the server answered and lists no such database; anything else is unknown.
fn is_absent(login: &Login<'_>, bounds: &Bounds) -> bool {
    database::exists(login, &login.binding.database, bounds).is_ok_and(|exists| !exists)
}

fn identity(binding: &PostgresBinding, seen: &Seen) -> Fingerprint {
    Fingerprint::new(format!(
        "postgresql:{}:{}:{}",
        seen.system_identifier, seen.oid, binding.database
    ))
}
