//! The ways back of a dump: into a new database beside the original, or into one that then takes the original's name.
//!
//! Never drops or overwrites a database that it did not create in the same run: what an in-place restore replaces is
//! renamed and kept. The interesting functions are [`side_by_side`] and [`in_place`].

use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::client::{self, attempt, conninfo, literal, name, program, query};
use super::dump::{DUMP, Facts, Properties, facts};
use super::{RELATIONS, validate};
use crate::world::connector::process;
use crate::world::connector::{
    Bounds, Cancel, Check, ConnectorError, Kind, Material, PostgresBinding, RestoreSummary, Target,
};

/// PostgreSQL cuts longer names off silently, and two names cut off could be one.
const NAME_BYTES: usize = 63;

/// For dropping a half-made database after a restore failed, when the deadline itself may be what ended it.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// Between two rounds of ending sessions that hold the database while it is renamed.
const TERMINATE_EVERY: Duration = Duration::from_millis(100);

/// Attempts at the rename. PostgreSQL itself waits five seconds in each for the sessions to end.
const RENAME_ATTEMPTS: u32 = 3;

/// Restores into a database that does not exist yet, on the binding's server.
pub(in crate::world::connector) fn side_by_side(
    binding: &PostgresBinding,
    material: Material<'_>,
    target: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    if target == binding.database {
        return Err(ConnectorError::TargetIsProduction {
            target: target.to_owned(),
        });
    }
    check_name(target)?;
    let facts = check_material(material, bounds)?;
    fill(binding, material.folder, &facts, target, bounds)
}

/// Restores into a new database, checks it, and lets it take the name of the original in one transaction.
pub(in crate::world::connector) fn in_place(
    binding: &PostgresBinding,
    material: Material<'_>,
    restore_id: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let facts = check_material(material, bounds)?;
    let fresh = derived(&binding.database, "restoring", restore_id)?;
    let kept = derived(&binding.database, "before", restore_id)?;
    if exists(binding, &kept, bounds)? {
        return Err(ConnectorError::TargetNotEmpty { target: kept });
    }
    let live = exists(binding, &binding.database, bounds)?;
    let mut summary = fill(binding, material.folder, &facts, &fresh, bounds)?;
    let renamed = rename(binding, live.then_some(kept.as_str()), &fresh, bounds);
    if let Err(error) = renamed
        && !is_gone(binding, &fresh)
    {
        drop_own(binding, &fresh);
        return Err(error);
    }
    summary.target.clone_from(&binding.database);
    if live {
        summary.notes.push(format!(
            "the database before is kept as `{kept}`; drop it with: DROP DATABASE {};",
            name(&kept)
        ));
        summary
            .notes
            .push("replication slots and subscriptions stay with the kept database".to_owned());
        summary.kept = Some(kept);
    }
    Ok(summary)
}

/// Whether the fresh database has taken its new name after all: the answer to a commit can get lost. Not knowing is no.
fn is_gone(binding: &PostgresBinding, fresh: &str) -> bool {
    let bounds = Bounds::within(CLEAN_UP, Cancel::new());
    exists(binding, fresh, &bounds).is_ok_and(|exists| !exists)
}

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

/// Creates the database, fills it and checks it. On any failure the half-made database is dropped again.
fn fill(
    binding: &PostgresBinding,
    folder: &Path,
    facts: &Facts,
    target: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    if exists(binding, target, bounds)? {
        return Err(ConnectorError::TargetNotEmpty {
            target: target.to_owned(),
        });
    }
    let mut notes = Vec::new();
    create(binding, target, &facts.properties, &mut notes, bounds)?;
    let filled = load(binding, folder, target, bounds).and_then(|warnings| {
        notes.extend(warnings);
        apply(binding, target, &facts.properties, &mut notes, bounds)?;
        judge(binding, target, facts, bounds)
    });
    if filled.is_err() {
        drop_own(binding, target);
    }
    let (bytes, checks) = filled?;
    Ok(RestoreSummary {
        target: target.to_owned(),
        items: facts.tables_with_data,
        bytes,
        checks,
        kept: None,
        notes,
    })
}

fn create(
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
        &format!("{};", clauses.join(" ")),
        bounds,
    )?;
    if ended.is_clean() {
        Ok(())
    } else {
        Err(failed(target, ended.reason()))
    }
}

fn load(
    binding: &PostgresBinding,
    folder: &Path,
    target: &str,
    bounds: &Bounds,
) -> Result<Vec<String>, ConnectorError> {
    let mut args: Vec<OsString> = ["--exit-on-error", "--no-password"]
        .map(OsString::from)
        .to_vec();
    if binding.no_owner {
        args.extend(["--no-owner", "--no-privileges"].map(OsString::from));
    }
    args.push(format!("--jobs={}", binding.jobs()).into());
    args.push(format!("--dbname={}", conninfo(target)).into());
    args.push(folder.join(DUMP).into());
    let ended = process::run(
        &program(binding, "pg_restore", target, args)?,
        "the restore",
        bounds,
    )?;
    if ended.is_clean() {
        Ok(ended.warnings().map(str::to_owned).collect())
    } else {
        Err(failed(target, ended.reason()))
    }
}

/// Gives the database the settings and privileges that a dump of its content does not hold.
fn apply(
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
    if let Some(comment) = &properties.comment {
        statements.push(format!(
            "COMMENT ON DATABASE {} IS {};",
            name(target),
            literal(comment)
        ));
    }
    if statements.is_empty() {
        return Ok(());
    }
    let sql = format!("BEGIN;\n{}\nCOMMIT;", statements.join("\n"));
    let ended = attempt(binding, binding.maintenance(), &sql, bounds)?;
    if ended.is_clean() {
        Ok(())
    } else {
        Err(failed(target, ended.reason()))
    }
}

/// Counts what is there and asks the binding's queries. A check that fails ends the restore.
fn judge(
    binding: &PostgresBinding,
    target: &str,
    facts: &Facts,
    bounds: &Bounds,
) -> Result<(u64, Vec<Check>), ConnectorError> {
    let mut checks = validate(binding, &Target::Database(target.to_owned()), bounds)?;
    let answer = query(
        binding,
        target,
        &format!("SELECT {RELATIONS}, pg_database_size(current_database());"),
        bounds,
    )?;
    let mut numbers = answer
        .trim()
        .split(client::SEPARATOR)
        .map(str::parse::<u64>);
    let (Some(Ok(relations)), Some(Ok(bytes))) = (numbers.next(), numbers.next()) else {
        return Err(client::unreachable(
            binding,
            "its answer is unreadable".to_owned(),
        ));
    };
    checks.push(if relations == facts.relations {
        Check::passed("relations", format!("{relations} as in the dump"))
    } else {
        Check::failed(
            "relations",
            format!("{relations} of {} are there", facts.relations),
        )
    });
    match checks.iter().find(|check| !check.has_passed()) {
        None => Ok((bytes, checks)),
        Some(check) => Err(ConnectorError::ValidationFailed {
            target: target.to_owned(),
            detail: format!("check `{}`: {}", check.name, check.outcome.detail()),
        }),
    }
}

/// Both renames in one transaction. While it waits with the database locked, nobody can connect, and others' sessions are ended.
fn rename(
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

/// Only for a database that this run has created.
fn drop_own(binding: &PostgresBinding, target: &str) {
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

fn check_material(material: Material<'_>, bounds: &Bounds) -> Result<Facts, ConnectorError> {
    if let Some(manifest) = material.manifest
        && let Some(first) = manifest.compare(material.folder, bounds)?.first()
    {
        return Err(ConnectorError::MaterialInvalid {
            connector: Kind::Postgres,
            folder: material.folder.to_owned(),
            detail: first.clone(),
        });
    }
    facts(material.folder)
}

fn check_name(target: &str) -> Result<(), ConnectorError> {
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
fn derived(database: &str, what: &str, restore_id: &str) -> Result<String, ConnectorError> {
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

fn failed(target: &str, detail: String) -> ConnectorError {
    ConnectorError::RestoreFailed {
        target: target.to_owned(),
        detail,
    }
}
