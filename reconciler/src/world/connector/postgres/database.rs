//! Databases as the server lists them: named, created, given their settings, renamed, dropped.
//!
//! Never drops or replaces a database that does not carry the mark of an unfinished restore, unless this run created it.
//! Every statement runs in the maintenance database, where nothing of the restored one has a say. The interesting function
//! is [`rename`].

use std::thread;
use std::time::Duration;

use super::client::{Login, attempt, literal, name, query};
use super::crew::{Crew, Owners};
use super::dump::{Grant, Properties, Setting};
use super::load::Failing;
use super::settings;
use crate::world::connector::{Bounds, Cancel, ConnectorError};

/// PostgreSQL cuts longer names off silently, and two names cut off could be one.
const NAME_BYTES: usize = 63;

/// The comment of a database that is being filled. Nobody takes it for a good one, and the next restore may replace it.
const MARKER: &str = "seawall: restore not finished";

/// The start of the comment of a database that holds what could be restored of it. Unlike an unfinished one, it may be the
/// best copy that is left, so no restore replaces it.
const INCOMPLETE: &str = "seawall: restore incomplete";

/// For dropping a half-made database after a restore failed, when the deadline itself may be what ended it.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// Between two rounds of ending sessions that hold the database while it is renamed.
const TERMINATE_EVERY: Duration = Duration::from_millis(100);

/// Attempts at the rename. PostgreSQL itself waits five seconds in each for the sessions to end.
const RENAME_ATTEMPTS: u32 = 3;

/// Whether the server lists this database.
pub(super) fn exists(
    login: &Login<'_>,
    database: &str,
    bounds: &Bounds,
) -> Result<bool, ConnectorError> {
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_database WHERE datname = {};",
        literal(database)
    );
    let answer = query(login, login.maintenance(), &sql, bounds)?;
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
    keeper: &Login<'_>,
    target: &str,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    if !exists(keeper, target, bounds)? {
        return Ok(());
    }
    let sql = format!(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = {};",
        literal(target)
    );
    if query(keeper, keeper.maintenance(), &sql, bounds)?.trim() != MARKER {
        return Err(ConnectorError::TargetNotEmpty {
            target: target.to_owned(),
        });
    }
    execute(
        keeper,
        target,
        &format!("DROP DATABASE {} WITH (FORCE);", name(target)),
        bounds,
    )?;
    notes.push(format!(
        "`{target}` was left by a restore that did not finish, and was dropped first"
    ));
    Ok(())
}

/// Makes the database, marked as unfinished and closed to everyone but its owner until it is whole.
pub(super) fn create(
    crew: &Crew<'_>,
    target: &str,
    properties: &Properties,
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
    if let Some(owner) = &crew.owner {
        clauses.push(format!("OWNER {}", name(owner)));
    }
    let target_name = name(target);
    let sql = format!(
        "{};\nCOMMENT ON DATABASE {target_name} IS {};\nREVOKE ALL ON DATABASE {target_name} FROM PUBLIC;",
        clauses.join(" "),
        literal(MARKER)
    );
    let ended = attempt(&crew.keeper, crew.keeper.maintenance(), &sql, bounds)?;
    if ended.is_clean() {
        Ok(())
    } else {
        Err(failed(target, ended.reason()))
    }
}

/// Gives the database the settings and privileges that a dump of its content does not hold. Each statement runs on its own:
/// a role that is missing costs its own grant and no other. Returns what failed.
pub(super) fn apply(
    crew: &Crew<'_>,
    target: &str,
    properties: &Properties,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<Vec<Failing>, ConnectorError> {
    let mut failing = Vec::new();
    if let Some(owner) = &crew.lacks_owner {
        failing.push(Failing {
            object: format!("owner `{owner}` of the database"),
            why: format!(
                "role `{owner}` does not exist, or `{}` is not a member of it",
                crew.keeper.role
            ),
        });
    }
    let mut statements = Vec::new();
    for setting in &properties.settings {
        if let (Some(role), Owners::WorkerAlone) = (&setting.role, crew.owners) {
            notes.push(format!(
                "setting `{}` of role `{role}` was left out",
                setting.name
            ));
            continue;
        }
        let object = format!("setting `{}` of the database", setting.name);
        match set(target, setting) {
            Some(sql) => statements.push((object, sql)),
            None => failing.push(Failing {
                object,
                why: format!("its value `{}` is not a list of names", setting.value),
            }),
        }
    }
    match crew.owners {
        Owners::AsDumped | Owners::WorkerWithGrants => {
            statements.extend(grants(target, properties.grants.as_deref())?);
        }
        Owners::WorkerAlone => {}
    }
    for (object, sql) in statements {
        let ended = attempt(&crew.keeper, crew.keeper.maintenance(), &sql, bounds)?;
        if !ended.is_clean() {
            let why = ended.reason();
            failing.push(Failing { object, why });
        }
    }
    Ok(failing)
}

/// One setting as SQL; nothing when its value does not parse.
fn set(target: &str, setting: &Setting) -> Option<String> {
    let on = match &setting.role {
        Some(role) => format!("ROLE {} IN DATABASE {}", name(role), name(target)),
        None => format!("DATABASE {}", name(target)),
    };
    let value = settings::value(&setting.name, &setting.value)?;
    Some(format!(
        "ALTER {on} SET {} TO {value};",
        settings::dotted(&setting.name)
    ))
}

/// The privileges of the database; without any recorded, those that PostgreSQL gives to each new one.
fn grants(
    target: &str,
    recorded: Option<&[Grant]>,
) -> Result<Vec<(String, String)>, ConnectorError> {
    let Some(recorded) = recorded else {
        let sql = format!(
            "GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC;",
            name(target)
        );
        return Ok(vec![("default grants of the database".to_owned(), sql)]);
    };
    let mut statements = Vec::new();
    for grant in recorded {
        let grantee = grant
            .grantee
            .as_deref()
            .map_or_else(|| "PUBLIC".to_owned(), name);
        let option = if grant.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let privilege = privilege(&grant.privilege)?;
        statements.push((
            format!(
                "grant of {privilege} on the database to `{}`",
                grant.grantee.as_deref().unwrap_or("PUBLIC")
            ),
            format!(
                "GRANT {privilege} ON DATABASE {} TO {grantee}{option};",
                name(target)
            ),
        ));
    }
    Ok(statements)
}

/// Gives the database the comment of the original: from here on it is a whole one.
pub(super) fn unmark(
    keeper: &Login<'_>,
    target: &str,
    properties: &Properties,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    comment(keeper, target, properties.comment.as_deref(), bounds)
}

/// Says in the comment of the database that it is not whole, and why.
pub(super) fn mark_incomplete(
    keeper: &Login<'_>,
    target: &str,
    detail: &str,
) -> Result<(), ConnectorError> {
    let bounds = clean_up();
    let text = format!("{INCOMPLETE}: {detail}");
    comment(keeper, target, Some(&text), &bounds)
}

fn comment(
    keeper: &Login<'_>,
    target: &str,
    text: Option<&str>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let text = text.map_or_else(|| "NULL".to_owned(), literal);
    let sql = format!("COMMENT ON DATABASE {} IS {text};", name(target));
    execute(keeper, target, &sql, bounds)
}

/// Both renames in one transaction. While it waits with the database locked, nobody can connect, and others' sessions are ended.
pub(super) fn rename(
    keeper: &Login<'_>,
    kept: Option<&str>,
    fresh: &str,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let live = &keeper.binding.database;
    let away = kept
        .map(|kept| format!("ALTER DATABASE {} RENAME TO {};", name(live), name(kept)))
        .unwrap_or_default();
    let sql = format!(
        "BEGIN; {away} ALTER DATABASE {} RENAME TO {}; COMMIT;",
        name(fresh),
        name(live)
    );
    // The server refuses to end the session of a role that ours does not include, and the refusal would spare the rest.
    let terminate = format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a
           JOIN pg_catalog.pg_roles u ON u.oid = a.usesysid JOIN pg_catalog.pg_roles me ON me.rolname = session_user
         WHERE a.datname IN ({}, {}) AND a.pid <> pg_catalog.pg_backend_pid() AND (me.rolsuper OR NOT u.rolsuper AND
           (pg_catalog.pg_has_role(session_user, u.oid, 'USAGE') OR pg_catalog.pg_has_role(session_user, 'pg_signal_backend', 'USAGE')));",
        literal(live),
        literal(fresh)
    );
    let mut last = String::new();
    for _ in 0..RENAME_ATTEMPTS {
        query(keeper, keeper.maintenance(), &terminate, bounds)?;
        let ended = thread::scope(|scope| {
            let renaming = scope.spawn(|| attempt(keeper, keeper.maintenance(), &sql, bounds));
            while !renaming.is_finished() {
                thread::sleep(TERMINATE_EVERY);
                // A round that fails is made up for by the next one; the rename itself decides.
                let _ = query(keeper, keeper.maintenance(), &terminate, bounds);
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
    let left = format!(
        "SELECT pg_catalog.string_agg(pg_catalog.format('process %s of role `%s`', a.pid, a.usename), ', ')
         FROM pg_catalog.pg_stat_activity a WHERE a.datname IN ({}, {}) AND a.pid <> pg_catalog.pg_backend_pid();",
        literal(live),
        literal(fresh)
    );
    let left = query(keeper, keeper.maintenance(), &left, bounds).unwrap_or_default();
    let left = match left.trim() {
        "" => String::new(),
        sessions => format!(
            "; role `{}` may not end the sessions of {sessions}",
            keeper.role
        ),
    };
    Err(failed(live, last + &left))
}

/// Whether the fresh database has taken its new name after all: the answer to a commit can get lost. Not knowing is no.
pub(super) fn is_gone(keeper: &Login<'_>, fresh: &str) -> bool {
    let bounds = clean_up();
    exists(keeper, fresh, &bounds).is_ok_and(|exists| !exists)
}

/// Only for a database that this run has created.
pub(super) fn drop_own(keeper: &Login<'_>, target: &str) {
    let bounds = clean_up();
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", name(target));
    match attempt(keeper, keeper.maintenance(), &sql, &bounds) {
        Ok(ended) if ended.is_clean() => {}
        Ok(ended) => tracing::warn!(
            event = "restore_left_behind",
            database = target,
            reason = ended.reason(),
            "cannot drop what a failed restore left"
        ),
        Err(error) => {
            tracing::warn!(event = "restore_left_behind", database = target, %error, "cannot drop what a failed restore left");
        }
    }
}

/// Bounds for what has to be done after the deadline, too.
pub(super) fn clean_up() -> Bounds {
    Bounds::within(CLEAN_UP, Cancel::new())
}

pub(super) fn failed(target: &str, detail: String) -> ConnectorError {
    ConnectorError::RestoreFailed {
        target: target.to_owned(),
        detail,
    }
}

/// Runs SQL on the maintenance database; a refusal is a failure of the restore into `target`.
fn execute(
    keeper: &Login<'_>,
    target: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let ended = attempt(keeper, keeper.maintenance(), sql, bounds)?;
    if ended.is_clean() {
        Ok(())
    } else {
        Err(failed(target, ended.reason()))
    }
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
