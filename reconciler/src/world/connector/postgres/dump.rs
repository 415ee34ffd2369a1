//! The dump: a session exports its snapshot and tells the server's clock, `pg_dump` dumps that snapshot, and the result is
//! held against its own table of contents.
//!
//! A killed, failed or incomplete dump is an error, whatever it left in the spool. The interesting function is [`prepare`].

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{self, Ended, Session};
use super::{RELATIONS, client::program};
use crate::world::connector::manifest::Manifest;
use crate::world::connector::selection::Excludes;
use crate::world::connector::{
    After, Bounds, ConnectorError, Kind, PostgresBinding, Prepared, tree,
};

/// The folder of `pg_dump`'s directory format within the source.
pub(super) const DUMP: &str = "dump";

/// What a restore needs to know about the database beside the dump.
pub(super) const FACTS: &str = "database.json";

/// The roles of the server, without passwords, for a person who rebuilds it; no restore applies them.
const ROLES: &str = "roles.sql";

const FACTS_FORMAT: u32 = 1;

/// The database as the dump's transaction saw it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    pub format: u32,
    pub database: String,
    /// The server's `system_identifier`, in decimal digits.
    pub system_identifier: String,
    /// As `server_version_num`.
    pub server_version: u32,
    pub consistency_point: Timestamp,
    /// Tables, views and sequences of users.
    pub relations: u64,
    pub tables_with_data: u64,
    /// The row of `pg_database`, with names in place of numbers where a restore needs them.
    pub properties: Properties,
}

/// What `CREATE DATABASE` and `ALTER DATABASE` need to make one like it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Properties {
    pub owner: String,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    /// `i` for ICU; absent on servers that know no providers.
    pub provider: Option<String>,
    pub icu_locale: Option<String>,
    pub comment: Option<String>,
    pub settings: Vec<Setting>,
    /// Absent when the privileges are the default ones.
    pub grants: Option<Vec<Grant>>,
}

/// One `ALTER DATABASE … SET`, or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    pub role: Option<String>,
    pub name: String,
    pub value: String,
}

/// One privilege on the database; `PUBLIC` when nobody is named.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub grantee: Option<String>,
    pub privilege: String,
    pub grantable: bool,
}

/// What the session answers.
#[derive(Debug, Deserialize)]
struct Answer {
    snapshot: String,
    began: Timestamp,
    system_identifier: String,
    version: u32,
    bytes: u64,
    relations: u64,
    properties: Properties,
}

/// Dumps the database into the spool.
pub(in crate::world::connector) fn prepare(
    binding: &PostgresBinding,
    spool: &Path,
    bounds: &Bounds,
) -> Result<Prepared, ConnectorError> {
    let source = tree::make_spool(spool)?;
    let mut notes = Vec::new();
    let before = Timestamp::now();
    let (session, answer) = open(binding, bounds)?;
    // The earlier of both clocks: the dump never claims more than it holds.
    let consistency_point = before.min(answer.began);
    let skew = answer.began.duration_since(before).as_secs().abs();
    if skew > 1 {
        notes.push(format!("the clocks of server and reconciler differ by {skew} s; the earlier one is the consistency point"));
    }
    let folder = source.join(DUMP);
    let ended = dump(binding, &folder, &answer.snapshot, bounds)?;
    drop(session);
    notes.extend(ended.warnings().map(str::to_owned));
    let tables_with_data = contents(binding, &folder, bounds)?;
    let facts = Facts {
        format: FACTS_FORMAT,
        database: binding.database.clone(),
        system_identifier: answer.system_identifier,
        server_version: answer.version,
        consistency_point,
        relations: answer.relations,
        tables_with_data,
        properties: answer.properties,
    };
    notes.push(format!(
        "PostgreSQL {} with system identifier {}: {} relations, {tables_with_data} tables with data, {} bytes live",
        facts.server_version, facts.system_identifier, facts.relations, answer.bytes
    ));
    let text = serde_json::to_vec_pretty(&facts)
        .map_err(|error| incomplete(binding, error.to_string()))?;
    let path = source.join(FACTS);
    fs::write(&path, text).map_err(|error| ConnectorError::io("write", &path, error))?;
    roles(binding, &source.join(ROLES), &mut notes, bounds)?;
    let manifest = Manifest::of(&source, bounds)?;
    Ok(Prepared {
        source,
        stable: false,
        consistency_point,
        expected_bytes: manifest.bytes(),
        expected_items: manifest.files().len() as u64,
        manifest: Some(manifest),
        excludes: Excludes::none(),
        problems: Vec::new(),
        notes,
        after: After::Spool,
    })
}

/// Reads and checks the facts that lie beside a dump.
pub(super) fn facts(folder: &Path) -> Result<Facts, ConnectorError> {
    let invalid = |detail: String| ConnectorError::MaterialInvalid {
        connector: Kind::Postgres,
        folder: folder.to_owned(),
        detail,
    };
    let text = fs::read_to_string(folder.join(FACTS))
        .map_err(|error| invalid(format!("`{FACTS}`: {error}")))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| invalid(format!("`{FACTS}`: {error}")))?;
    match value.get("format").and_then(Value::as_u64) {
        Some(format) if format == u64::from(FACTS_FORMAT) => {}
        Some(_) | None => {
            return Err(invalid(format!(
                "`{FACTS}` has a format that this version does not read"
            )));
        }
    }
    serde_json::from_value(value).map_err(|error| invalid(format!("`{FACTS}`: {error}")))
}

/// Begins the transaction whose snapshot is dumped. `transaction_timestamp()` is before the snapshot, never after it.
fn open(binding: &PostgresBinding, bounds: &Bounds) -> Result<(Session, Answer), ConnectorError> {
    let sql = format!(
        "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
         SELECT json_build_object(
           'snapshot', pg_export_snapshot(),
           'began', to_char(transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
           'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
           'version', current_setting('server_version_num')::int,
           'bytes', pg_database_size(d.oid),
           'relations', {RELATIONS},
           'properties', json_build_object(
             'owner', pg_get_userbyid(d.datdba),
             'encoding', pg_encoding_to_char(d.encoding),
             'collate', d.datcollate,
             'ctype', d.datctype,
             'provider', to_jsonb(d) ->> 'datlocprovider',
             'icu_locale', coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale'),
             'comment', shobj_description(d.oid, 'pg_database'),
             'settings', (SELECT coalesce(json_agg(json_build_object(
                 'role', CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END,
                 'name', split_part(one, '=', 1),
                 'value', substr(one, strpos(one, '=') + 1))), '[]')
               FROM pg_db_role_setting s, unnest(s.setconfig) one WHERE s.setdatabase = d.oid),
             'grants', CASE WHEN d.datacl IS NOT NULL THEN (SELECT coalesce(json_agg(json_build_object(
                 'grantee', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END,
                 'privilege', a.privilege_type,
                 'grantable', a.is_grantable)), '[]') FROM aclexplode(d.datacl) a) END))::jsonb::text
         FROM pg_database d WHERE d.datname = current_database();\n"
    );
    let (session, line) = Session::open(binding, &sql, bounds)?;
    let answer = serde_json::from_str(&line).map_err(|error| {
        client::unreachable(binding, format!("its answer is unreadable: {error}"))
    })?;
    Ok((session, answer))
}

fn dump(
    binding: &PostgresBinding,
    folder: &Path,
    snapshot: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    // Uncompressed, because the vault deduplicates and compresses and a compressed dump never looks like the one before.
    let mut command = program(binding, "pg_dump", &binding.database)?;
    command.args([
        "--format=directory",
        "--compress=0",
        "--no-sync",
        "--no-password",
    ]);
    command.arg(format!("--jobs={}", bounds.jobs()));
    command.arg(format!("--snapshot={snapshot}"));
    command.arg("--file").arg(folder);
    let ended = client::run(&mut command, None, "the dump", bounds)?;
    if ended.is_clean() {
        Ok(ended)
    } else if ended.stderr.contains("No space left on device") {
        Err(ConnectorError::DiskFull {
            path: folder.to_owned(),
        })
    } else {
        Err(ConnectorError::DumpFailed {
            database: binding.database.clone(),
            detail: ended.reason(),
        })
    }
}

/// Puts the server's roles beside the dump. They are not part of the database, so a refusal is told and nothing more.
fn roles(
    binding: &PostgresBinding,
    path: &Path,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let mut command = program(binding, "pg_dumpall", binding.maintenance())?;
    command.args(["--roles-only", "--no-role-passwords", "--no-password"]);
    let ended = match client::run(&mut command, None, "dumping the roles", bounds) {
        Ok(ended) => ended,
        Err(ConnectorError::ToolMissing { .. }) => {
            notes.push(
                "the server's roles are not beside the dump: `pg_dumpall` is missing".to_owned(),
            );
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if ended.is_clean() {
        fs::write(path, ended.stdout).map_err(|error| ConnectorError::io("write", path, error))
    } else {
        notes.push(format!(
            "the server's roles are not beside the dump: {}",
            ended.reason()
        ));
        Ok(())
    }
}

/// Reads the table of contents and looks for the file of each table's data. Returns how many tables have data.
pub(super) fn contents(
    binding: &PostgresBinding,
    folder: &Path,
    bounds: &Bounds,
) -> Result<u64, ConnectorError> {
    let mut command = program(binding, "pg_restore", &binding.database)?;
    command.arg("--list").arg(folder);
    let ended = client::run(&mut command, None, "reading the dump's contents", bounds)?;
    if !ended.is_clean() {
        return Err(incomplete(binding, ended.reason()));
    }
    let mut tables = 0;
    for line in ended.stdout.lines().filter(|line| !line.starts_with(';')) {
        // An entry is `<dump id>; <catalog> <object> <type> <schema> <name> <owner>`.
        let Some((id, rest)) = line.split_once("; ") else {
            continue;
        };
        let mut words = rest.split(' ').skip(2);
        if (words.next(), words.next()) == (Some("TABLE"), Some("DATA")) {
            tables += 1;
            let file = folder.join(format!("{id}.dat"));
            if !file.is_file() {
                return Err(incomplete(
                    binding,
                    format!("the file of entry `{line}` is missing"),
                ));
            }
        }
    }
    Ok(tables)
}

fn incomplete(binding: &PostgresBinding, detail: String) -> ConnectorError {
    ConnectorError::DumpIncomplete {
        database: binding.database.clone(),
        detail,
    }
}
