//! Judges a restored database by what is in it: whether it answers, its relations, the rows of each table, and the
//! binding's validation queries.
//!
//! Runs as the worker, so that views and functions of the restored database have no power. The interesting function is
//! [`judge`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::client::{self, Login, literal, name, query, unreadable};
use super::dump::{DUMP, Entry, Facts, Table, table_data};
use super::{RELATIONS, validate_database};
use crate::world::connector::manifest::CHUNK_BYTES;
use crate::world::connector::{Bounds, Check, ConnectorError};

/// So many tables are counted by one statement: few round trips, and no statement that a server refuses for its length.
const TABLES_A_STATEMENT: usize = 100;

/// The end of a table's data in a dump, after its last row.
const END_OF_DATA: &[u8] = b"\\.\n\n\n";

/// Names at most so many tables in a message.
const NAMED: usize = 5;

/// What is there now.
#[derive(Debug)]
pub(super) struct Judged {
    pub bytes: u64,
    pub checks: Vec<Check>,
}

/// Counts what is there and asks the binding's queries.
pub(super) fn judge(
    worker: &Login<'_>,
    folder: &Path,
    target: &str,
    facts: &Facts,
    bounds: &Bounds,
) -> Result<Judged, ConnectorError> {
    let mut checks = validate_database(worker, target, bounds)?;
    let answer = query(
        worker,
        target,
        &format!("SELECT {RELATIONS}, pg_catalog.pg_database_size(pg_catalog.current_database());"),
        bounds,
    )?;
    let mut numbers = answer
        .trim()
        .split(client::SEPARATOR)
        .map(str::parse::<u64>);
    let (Some(Ok(relations)), Some(Ok(bytes))) = (numbers.next(), numbers.next()) else {
        return Err(unreadable(worker, target, &"two numbers are missing"));
    };
    checks.push(if relations == facts.relations {
        Check::passed("relations", format!("{relations} as in the dump"))
    } else {
        Check::failed(
            "relations",
            format!("{relations} of {} are there", facts.relations),
        )
    });
    checks.push(rows(worker, folder, target, facts, bounds)?);
    Ok(Judged { bytes, checks })
}

/// Holds the rows of each table against the lines of its data in the dump.
fn rows(
    worker: &Login<'_>,
    folder: &Path,
    target: &str,
    facts: &Facts,
    bounds: &Bounds,
) -> Result<Check, ConnectorError> {
    let entries = table_data(worker, &folder.join(DUMP), bounds)?;
    let named: BTreeMap<u64, &Table> = facts
        .tables
        .iter()
        .map(|table| (table.oid, table))
        .collect();
    let mut wanted: Vec<(&Table, u64)> = Vec::new();
    for Entry { dump_id, oid } in &entries {
        // Recovery points of older versions do not name their tables.
        let Some(table) = named.get(oid) else {
            continue;
        };
        let file = folder.join(DUMP).join(format!("{dump_id}.dat"));
        wanted.push((*table, lines(&file, bounds)?));
    }
    if wanted.len() < entries.len() && facts.tables.is_empty() {
        let detail = "not counted: the recovery point does not name its tables";
        return Ok(Check::passed("rows", detail.to_owned()));
    }
    let mut found = BTreeMap::new();
    for tables in wanted.chunks(TABLES_A_STATEMENT) {
        let names: Vec<&Table> = tables.iter().map(|(table, _)| *table).collect();
        found.extend(count(worker, target, &names, bounds)?);
    }
    let mut short = Vec::new();
    let (mut there, mut all) = (0_u64, 0_u64);
    for (table, rows) in &wanted {
        all += rows;
        match found.get(&table.oid).copied().flatten() {
            Some(count) => {
                there += count.min(*rows);
                if count != *rows {
                    short.push(format!("`{}` holds {count} of {rows}", table.qualified()));
                }
            }
            None => short.push(format!("`{}` cannot be counted", table.qualified())),
        }
    }
    if short.is_empty() {
        return Ok(Check::passed("rows", format!("{all} as in the dump")));
    }
    let more = match short.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    short.truncate(NAMED);
    let listed = short.join(", ");
    Ok(Check::failed(
        "rows",
        format!("{there} of {all} are there: {listed}{more}"),
    ))
}

/// The rows of each table, none for one that cannot be read or whose rows a policy hides. A table is counted on its own when
/// one of its statement cannot be.
fn count(
    worker: &Login<'_>,
    target: &str,
    tables: &[&Table],
    bounds: &Bounds,
) -> Result<BTreeMap<u64, Option<u64>>, ConnectorError> {
    let parts: Vec<String> = tables
        .iter()
        .map(|table| {
            format!(
                "SELECT {}, pg_catalog.count(*) FROM ONLY {}.{}",
                literal(&table.oid.to_string()),
                name(&table.schema),
                name(&table.name)
            )
        })
        .collect();
    // With row security off, a count that a policy would falsify is an error.
    let sql = format!("SET row_security = off;\n{};", parts.join("\nUNION ALL "));
    let ended = client::attempt(worker, target, &sql, bounds)?;
    if ended.is_clean() {
        let parsed = ended.stdout.lines().filter_map(|line| {
            let (oid, rows) = line.split_once(client::SEPARATOR)?;
            Some((oid.parse().ok()?, Some(rows.parse().ok()?)))
        });
        return Ok(parsed.collect());
    }
    match tables {
        [] | [_] => Ok(BTreeMap::new()),
        [_, _, ..] => {
            let mut all = BTreeMap::new();
            for table in tables {
                all.extend(count(worker, target, &[*table], bounds)?);
            }
            Ok(all)
        }
    }
}

/// The rows in one table's data: the lines before its end mark. A line end within a value is written as `\n`.
fn lines(file: &Path, bounds: &Bounds) -> Result<u64, ConnectorError> {
    let io = |error| ConnectorError::io("read", file, error);
    let mut reader = File::open(file).map_err(io)?;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    let mut lines = 0_u64;
    loop {
        bounds.check("counting the rows of the dump")?;
        let read = reader.read(&mut buffer).map_err(io)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        lines += chunk.split(|byte| *byte == b'\n').count().saturating_sub(1) as u64;
    }
    let mut tail = [0_u8; END_OF_DATA.len()];
    let back = i64::try_from(tail.len()).unwrap_or(0);
    let has_end = reader.seek(SeekFrom::End(-back)).is_ok()
        && reader.read_exact(&mut tail).is_ok()
        && tail == END_OF_DATA;
    let end = if has_end { 3 } else { 0 };
    Ok(lines.saturating_sub(end))
}
