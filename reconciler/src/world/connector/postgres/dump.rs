//! The dump: a session exports its snapshot and tells the server's clock, `pg_dump` dumps that snapshot, and the result is
//! held against its own table of contents.
//!
//! A killed, failed or incomplete dump is an error, whatever it left in the spool. The interesting function is [`prepare`].

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{self, Ended, Login, Session, program, unreadable};
use super::error::DatabaseError;
use super::lock::LockWatch;
use super::role::{Power, permit, power_of_session};
use super::{RELATIONS, is_absent};
use crate::domain::Manifest;
use crate::world::connector::selection::Excludes;
use crate::world::connector::{
    After, Bounds, ConnectorError, Kind, PostgresBinding, Prepared, SuperuserWork, tree,
};

/// The folder of `pg_dump`'s directory format within the source.
pub(super) const DUMP: &str = "dump";

/// What a restore needs to know about the database beside the dump.
pub(super) const FACTS: &str = "database.json";

/// The roles of the server, without passwords, for a person who rebuilds it; no restore applies them.
const ROLES: &str = "roles.sql";

/// Format 2 names the tables; a restore still reads 1.
const FACTS_FORMAT: u32 = 2;
const OLDEST_FORMAT: u32 = 1;

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
    /// The tables by the number that the dump's table of contents gives them; empty in format 1.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// The row of `pg_database`, with names in place of numbers where a restore needs them.
    pub properties: Properties,
}

/// A table of the dump.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub oid: u64,
    pub schema: String,
    pub name: String,
}

impl Table {
    /// Its name for a message.
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
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
    tables: Vec<Table>,
    properties: Properties,
    power: Option<Power>,
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
    let login = Login::reader(binding);
    let (session, answer) = open(&login, bounds).map_err(|error| {
        if is_absent(&login, bounds) {
            ConnectorError::from(DatabaseError::DatabaseMissing {
                database: binding.database.clone(),
                server: binding.server(),
            })
        } else {
            error
        }
    })?;
    permit(&login, answer.power.as_ref(), SuperuserWork::Backup)?;
    // The earlier of both clocks: the dump never claims more than it holds.
    let consistency_point = before.min(answer.began);
    let skew = answer.began.duration_since(before).as_secs().abs();
    if skew > 1 {
        notes.push(format!("the clocks of server and reconciler differ by {skew} s; the earlier one is the consistency point"));
    }
    let folder = source.join(DUMP);
    let ended = dump(&login, &folder, &answer.snapshot, bounds)?;
    drop(session);
    notes.extend(ended.warnings().map(str::to_owned));
    let tables_with_data = contents(&login, &folder, bounds)?;
    let facts = Facts {
        format: FACTS_FORMAT,
        database: binding.database.clone(),
        system_identifier: answer.system_identifier,
        server_version: answer.version,
        consistency_point,
        relations: answer.relations,
        tables_with_data,
        tables: answer.tables,
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
    roles(&login, &source.join(ROLES), &mut notes, bounds)?;
    let manifest = Manifest::of(&source, bounds)?;
    Ok(Prepared {
        source,
        identity: None,
        run_as: None,
        stable: false,
        consistency_point,
        expected_bytes: manifest.bytes(),
        expected_items: manifest.files().len() as u64,
        manifest: Some(manifest),
        excludes: Excludes::none(),
        problems: Vec::new(),
        doubts: Vec::new(),
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
        Some(format) if (u64::from(OLDEST_FORMAT)..=u64::from(FACTS_FORMAT)).contains(&format) => {}
        Some(_) | None => {
            return Err(invalid(format!(
                "`{FACTS}` has a format that this version does not read"
            )));
        }
    }
    serde_json::from_value(value).map_err(|error| invalid(format!("`{FACTS}`: {error}")))
}

/// Begins the transaction whose snapshot is dumped. `transaction_timestamp()` is before the snapshot, never after it.
fn open(login: &Login<'_>, bounds: &Bounds) -> Result<(Session, Answer), ConnectorError> {
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
         SELECT pg_catalog.json_build_object(
           'snapshot', pg_catalog.pg_export_snapshot(),
           'began', pg_catalog.to_char(pg_catalog.transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
           'system_identifier', (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()),
           'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
           'bytes', pg_catalog.pg_database_size(d.oid),
           'power', {power},
           'relations', {RELATIONS},
           'tables', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                 'oid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.relname)), '[]')
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
           'properties', pg_catalog.json_build_object(
             'owner', pg_catalog.pg_get_userbyid(d.datdba),
             'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
             'collate', d.datcollate,
             'ctype', d.datctype,
             'provider', pg_catalog.to_jsonb(d) ->> 'datlocprovider',
             'icu_locale', coalesce(pg_catalog.to_jsonb(d) ->> 'daticulocale', pg_catalog.to_jsonb(d) ->> 'datlocale'),
             'comment', pg_catalog.shobj_description(d.oid, 'pg_database'),
             'settings', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                 'role', CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole) END,
                 'name', pg_catalog.split_part(one, '=', 1),
                 'value', pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1))), '[]')
               FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) one WHERE s.setdatabase = d.oid),
             'grants', CASE WHEN d.datacl IS NOT NULL THEN (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                 'grantee', CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END,
                 'privilege', a.privilege_type,
                 'grantable', a.is_grantable)), '[]') FROM pg_catalog.aclexplode(d.datacl) a) END))::pg_catalog.jsonb::pg_catalog.text
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database();\n",
        power = power_of_session(),
    );
    let (session, line) = Session::open(login, &sql, bounds)?;
    let answer = serde_json::from_str(&line)
        .map_err(|error| unreadable(login, &login.binding.database, &error))?;
    Ok((session, answer))
}

fn dump(
    login: &Login<'_>,
    folder: &Path,
    snapshot: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    let database = &login.binding.database;
    // Uncompressed, because the vault deduplicates and compresses and a compressed dump never looks like the one before.
    let mut command = program(login, "pg_dump", database)?;
    command.args([
        "--format=directory",
        "--compress=0",
        "--no-sync",
        "--no-password",
    ]);
    command.arg(format!("--jobs={}", bounds.jobs()));
    command.arg(format!("--snapshot={snapshot}"));
    command.arg("--file").arg(folder);
    let what = format!("`pg_dump` of database `{database}`");
    let watch = LockWatch::new(login, bounds);
    let ended = client::run_until(&mut command, None, &what, bounds, &|| watch.gives_up());
    let ended = ended.map_err(|error| watch.explain(&what, error))?;
    if ended.is_clean() {
        Ok(ended)
    } else if ended.stderr.contains("No space left on device") {
        Err(ConnectorError::DiskFull {
            path: folder.to_owned(),
        })
    } else {
        Err(ConnectorError::from(DatabaseError::DumpFailed {
            database: database.clone(),
            detail: ended.reason(),
        }))
    }
}

/// Puts the server's roles beside the dump. They are not part of the database, so a refusal is told and nothing more.
fn roles(
    login: &Login<'_>,
    path: &Path,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let mut command = program(login, "pg_dumpall", login.maintenance())?;
    command.args(["--roles-only", "--no-role-passwords", "--no-password"]);
    let ended = match client::run(&mut command, None, "dumping the roles", bounds) {
        Ok(ended) => ended,
        Err(ConnectorError::ToolMissing { .. }) => {
            notes.push(
                "the server's roles are not stored with the dump: `pg_dumpall` is missing"
                    .to_owned(),
            );
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if ended.is_clean() {
        fs::write(path, ended.stdout).map_err(|error| ConnectorError::io("write", path, error))
    } else {
        notes.push(format!(
            "the server's roles are not stored with the dump: {}",
            ended.reason()
        ));
        Ok(())
    }
}

/// The data of one table in a dump's table of contents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its file is `<dump_id>.dat`.
    pub dump_id: u64,
    /// The table's number at the source.
    pub oid: u64,
}

/// Reads the table of contents and looks for the file of each table's data. Returns how many tables have data.
pub(super) fn contents(
    login: &Login<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<u64, ConnectorError> {
    let entries = table_data(login, folder, bounds)?;
    for Entry { dump_id, .. } in &entries {
        let file = format!("{dump_id}.dat");
        if !folder.join(&file).is_file() {
            return Err(incomplete(
                login.binding,
                format!("the file `{file}` of its table of contents is missing"),
            ));
        }
    }
    Ok(entries.len() as u64)
}

/// The tables with data in the table of contents.
pub(super) fn table_data(
    login: &Login<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<Vec<Entry>, ConnectorError> {
    let lines = table_of_contents(login, folder, bounds)?;
    Ok(lines.iter().filter_map(|line| entry(line)).collect())
}

/// The lines of the table of contents, `<dump id>; <catalog> <object> <type> <schema> <name> <owner>`. No server is asked.
pub(super) fn table_of_contents(
    login: &Login<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<Vec<String>, ConnectorError> {
    let mut command = program(login, "pg_restore", &login.binding.database)?;
    command.arg("--list").arg(folder);
    let ended = client::run(&mut command, None, "reading the dump's contents", bounds)?;
    if !ended.is_clean() {
        return Err(incomplete(login.binding, ended.reason()));
    }
    let lines = ended.stdout.lines().filter(|line| !line.starts_with(';'));
    Ok(lines.map(str::to_owned).collect())
}

/// Only entries of type `TABLE DATA` count.
fn entry(line: &str) -> Option<Entry> {
    let (dump_id, rest) = line.split_once("; ")?;
    let mut words = rest.split(' ').skip(1);
    let oid = words.next()?.parse().ok()?;
    let is_data = (words.next(), words.next()) == (Some("TABLE"), Some("DATA"));
    let dump_id = dump_id.parse().ok()?;
    is_data.then_some(Entry { dump_id, oid })
}

fn incomplete(binding: &PostgresBinding, detail: String) -> ConnectorError {
    ConnectorError::DumpIncomplete {
        database: binding.database.clone(),
        detail,
    }
}
