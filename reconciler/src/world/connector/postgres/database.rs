//! Databases as the server lists them: named, created, given their settings, renamed, dropped.
//!
//! Never drops or replaces a database that does not carry the mark of an unfinished restore, unless this run created it.
//! The interesting function is [`rename`].

use std::thread;
use std::time::Duration;

use super::client::{attempt, literal, name, query};
use super::dump::Properties;
use crate::world::connector::{Bounds, Cancel, ConnectorError, PostgresBinding};

/// PostgreSQL cuts longer names off silently, and two names cut off could be one.
const NAME_BYTES: usize = 63;

/// The comment of a database that is being filled. Nobody takes it for a good one, and the next restore may replace it.
const MARKER: &str = "seawall: restore not finished";

/// For dropping a half-made database after a restore failed, when the deadline itself may be what ended it.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// Between two rounds of ending sessions that hold the database while it is renamed.
const TERMINATE_EVERY: Duration = Duration::from_millis(100);

/// Attempts at the rename. PostgreSQL itself waits five seconds in each for the sessions to end.
const RENAME_ATTEMPTS: u32 = 3;

/// Whether the server lists this database.
pub(super) fn exists(
    binding: &PostgresBinding,
    database: &str,
    bounds: &Bounds,
) -> Result<bool, ConnectorError> {
    let sql = format!(
        "SELECT count(*) FROM pg_database WHERE datname = {};",
        literal(database)
    );
    let answer = query(binding, binding.maintenance(), &sql, bounds)?;
    Ok(answer.trim() != "0")
}

pub(super) fn check_name(target: &str) -> Result<(), ConnectorError> {
    let invalid = |detail: &str| ConnectorError::TargetInvalid {
        target: target.escape_debug().to_string(),
        detail: detail.to_owned(),
    };
    if target.is_empty() || target.len() > NAME_BYTES || target.chars().any(char::is_control) {
        return Err(invalid(
            "a database name has 1 to 63 bytes and no control characters",
        ));
    }
    if ["postgres", "template0", "template1"].contains(&target) {
        return Err(invalid("the server needs this database for itself"));
    }
    Ok(())
}

/// `<database>_<what>_<id>`, the database's part shortened so that the id is never cut off.
pub(super) fn derived(
    database: &str,
    what: &str,
    restore_id: &str,
) -> Result<String, ConnectorError> {
    let id: String = restore_id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let suffix = format!("_{what}_{id}");
    let room = NAME_BYTES.saturating_sub(suffix.len());
    if id.is_empty() || room == 0 {
        return Err(ConnectorError::TargetInvalid {
            target: restore_id.escape_debug().to_string(),
            detail: "the restore id is empty or too long for the name of a database".to_owned(),
        });
    }
    let mut base = String::new();
    for c in database.chars() {
        if base.len() + c.len_utf8() > room {
            break;
        }
        base.push(c);
    }
    Ok(base + &suffix)
}

/// A target that exists is refused, unless a restore that was killed has left it.
pub(super) fn take_name(
    binding: &PostgresBinding,
    target: &str,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    if !exists(binding, target, bounds)? {
        return Ok(());
    }
    let sql = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {};",
        literal(target)
    );
    if query(binding, binding.maintenance(), &sql, bounds)?.trim() != MARKER {
        return Err(ConnectorError::TargetNotEmpty {
            target: target.to_owned(),
        });
    }
    execute(
        binding,
        target,
        &format!("DROP DATABASE {} WITH (FORCE);", name(target)),
        bounds,
    )?;
    notes.push(format!(
        "`{target}` was left by a restore that did not finish, and was dropped first"
    ));
    Ok(())
}

pub(super) fn create(
    binding: &PostgresBinding,
    target: &str,
    properties: &Properties,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let mut clauses = vec![format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        name(target),
        literal(&properties.encoding),
        literal(&properties.collate),
        literal(&properties.ctype)
    )];
    if let (Some("i"), Some(locale)) = (properties.provider.as_deref(), &properties.icu_locale) {
        clauses.push(format!(
            "LOCALE_PROVIDER icu ICU_LOCALE {}",
            literal(locale)
        ));
    }
    if binding.no_owner {
        notes.push("owners and grants of the dump were left out, as the binding says".to_owned());
    } else {
        clauses.push(format!("OWNER {}", name(&properties.owner)));
    }
    let ended = attempt(
        binding,
        binding.maintenance(),
        &format!(
            "{};
COMMENT ON DATABASE {} IS {};",
            clauses.join(" "),
            name(target),
            literal(MARKER)
        ),
        bounds,
    )?;
    if ended.is_clean() {
        Ok(())
    } else {
        Err(failed(target, ended.reason()))
    }
}

/// Gives the database the settings and privileges that a dump of its content does not hold.
pub(super) fn apply(
    binding: &PostgresBinding,
    target: &str,
    properties: &Properties,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let mut statements = Vec::new();
    for setting in &properties.settings {
        let value = if is_list(&setting.name) {
            setting.value.clone()
        } else {
            literal(&setting.value)
        };
        let on = match &setting.role {
            Some(role) if binding.no_owner => {
                notes.push(format!(
                    "setting `{}` of role `{role}` was left out",
                    setting.name
                ));
                continue;
            }
            Some(role) => format!("ROLE {} IN DATABASE {}", name(role), name(target)),
            None => format!("DATABASE {}", name(target)),
        };
        statements.push(format!(
            "ALTER {on} SET {} TO {value};",
            dotted(&setting.name)
        ));
    }
    if let (Some(grants), false) = (&properties.grants, binding.no_owner) {
        statements.push(format!(
            "REVOKE ALL ON DATABASE {} FROM PUBLIC;",
            name(target)
        ));
        for grant in grants {
            let grantee = grant
                .grantee
                .as_deref()
                .map_or_else(|| "PUBLIC".to_owned(), name);
            let option = if grant.grantable {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            statements.push(format!(
                "GRANT {} ON DATABASE {} TO {grantee}{option};",
                privilege(&grant.privilege)?,
                name(target)
            ));
        }
    }
    if statements.is_empty() {
        return Ok(());
    }
    let sql = format!("BEGIN;\n{}\nCOMMIT;", statements.join("\n"));
    execute(binding, target, &sql, bounds)
}

/// Gives the database the comment of the original: from here on it is a whole one.
pub(super) fn unmark(
    binding: &PostgresBinding,
    target: &str,
    properties: &Properties,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let comment = properties
        .comment
        .as_deref()
        .map_or_else(|| "NULL".to_owned(), literal);
    let sql = format!("COMMENT ON DATABASE {} IS {comment};", name(target));
    execute(binding, target, &sql, bounds)
}

/// Both renames in one transaction. While it waits with the database locked, nobody can connect, and others' sessions are ended.
pub(super) fn rename(
    binding: &PostgresBinding,
    kept: Option<&str>,
    fresh: &str,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let live = &binding.database;
    let away = kept
        .map(|kept| format!("ALTER DATABASE {} RENAME TO {};", name(live), name(kept)))
        .unwrap_or_default();
    let sql = format!(
        "BEGIN; {away} ALTER DATABASE {} RENAME TO {}; COMMIT;",
        name(fresh),
        name(live)
    );
    let terminate = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN ({}, {}) AND pid <> pg_backend_pid();",
        literal(live),
        literal(fresh)
    );
    let mut last = String::new();
    for _ in 0..RENAME_ATTEMPTS {
        query(binding, binding.maintenance(), &terminate, bounds)?;
        let ended = thread::scope(|scope| {
            let renaming = scope.spawn(|| attempt(binding, binding.maintenance(), &sql, bounds));
            while !renaming.is_finished() {
                thread::sleep(TERMINATE_EVERY);
                // A round that fails is made up for by the next one; the rename itself decides.
                let _ = query(binding, binding.maintenance(), &terminate, bounds);
            }
            renaming
                .join()
                .unwrap_or_else(|_| Err(failed(live, "the renaming thread ended early".to_owned())))
        })?;
        if ended.is_clean() {
            return Ok(());
        }
        last = ended.reason();
    }
    Err(failed(live, last))
}

/// Whether the fresh database has taken its new name after all: the answer to a commit can get lost. Not knowing is no.
pub(super) fn is_gone(binding: &PostgresBinding, fresh: &str) -> bool {
    let bounds = Bounds::within(CLEAN_UP, Cancel::new());
    exists(binding, fresh, &bounds).is_ok_and(|exists| !exists)
}

/// Only for a database that this run has created.
pub(super) fn drop_own(binding: &PostgresBinding, target: &str) {
    let bounds = Bounds::within(CLEAN_UP, Cancel::new());
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", name(target));
    match attempt(binding, binding.maintenance(), &sql, &bounds) {
        Ok(ended) if ended.is_clean() => {}
        Ok(ended) => tracing::warn!(
            database = target,
            reason = ended.reason(),
            "cannot drop what a failed restore left"
        ),
        Err(error) => {
            tracing::warn!(database = target, %error, "cannot drop what a failed restore left");
        }
    }
}

pub(super) fn failed(target: &str, detail: String) -> ConnectorError {
    ConnectorError::RestoreFailed {
        target: target.to_owned(),
        detail,
    }
}

/// Runs SQL on the maintenance database; a refusal is a failure of the restore into `target`.
fn execute(
    binding: &PostgresBinding,
    target: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let ended = attempt(binding, binding.maintenance(), sql, bounds)?;
    if ended.is_clean() {
        Ok(())
    } else {
        Err(failed(target, ended.reason()))
    }
}

/// Settings whose stored value is a list that is quoted already.
fn is_list(setting: &str) -> bool {
    [
        "search_path",
        "temp_tablespaces",
        "session_preload_libraries",
        "shared_preload_libraries",
        "local_preload_libraries",
        "unix_socket_directories",
    ]
    .contains(&setting)
}

/// A setting's name, each part quoted.
fn dotted(setting: &str) -> String {
    setting.split('.').map(name).collect::<Vec<_>>().join(".")
}

/// Only the privileges that a database has; the text came out of a file.
fn privilege(text: &str) -> Result<&'static str, ConnectorError> {
    match text {
        "CONNECT" => Ok("CONNECT"),
        "CREATE" => Ok("CREATE"),
        "TEMPORARY" => Ok("TEMPORARY"),
        _ => Err(failed(text, "no privilege of a database".to_owned())),
    }
}
