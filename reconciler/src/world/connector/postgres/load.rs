//! Loads a dump with `pg_restore` as the worker, and reads from its messages which statements failed.
//!
//! A statement that fails ends nothing: what can be restored is restored, and the rest is listed. The interesting function
//! is [`load`].

use std::path::Path;

use super::client::{Ended, conninfo, name, program, run};
use super::crew::{Crew, Owners};
use super::database::failed;
use super::dump::{DUMP, table_of_contents};
use super::role::powerful_roles;
use crate::world::connector::{Bounds, ConnectorError};

/// The line by which `pg_restore` says that it got to the end over statements that failed.
const TOLERATED: &str = "pg_restore: warning: errors ignored on restore:";

/// More of a statement or a message helps nobody in a list.
const TEXT_CHARACTERS: usize = 160;

/// One object that could not be restored as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failing {
    pub object: String,
    pub why: String,
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.why)
    }
}

/// What a load did.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub failing: Vec<Failing>,
    pub warnings: Vec<String>,
}

/// Loads the dump in `folder` into a database that is empty.
///
/// Schemas and their grants go first: a role that is no superuser can give a table only to an owner that may create in its
/// schema, and `pg_restore` grants that last.
pub(super) fn load(
    crew: &Crew<'_>,
    folder: &Path,
    target: &str,
    bounds: &Bounds,
) -> Result<Loaded, ConnectorError> {
    let lines = table_of_contents(&crew.worker, &folder.join(DUMP), bounds);
    let lines = lines.map_err(|error| match error {
        ConnectorError::DumpIncomplete { detail, .. } => failed(target, detail),
        other => other,
    })?;
    let (schemas, rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| is_schema(line));
    let mut loaded = Loaded::default();
    for part in [schemas, rest].iter().filter(|part| !part.is_empty()) {
        let ended = restore(crew, folder, target, part, bounds)?;
        let is_at_end = ended.stderr.lines().any(|line| line.starts_with(TOLERATED));
        if ended.is_clean() {
            loaded.warnings.extend(ended.warnings().map(str::to_owned));
        } else if is_at_end {
            loaded.failing.extend(failing(&ended.stderr));
        } else {
            return Err(failed(target, ended.reason()));
        }
    }
    if loaded.failing.is_empty() {
        return Ok(loaded);
    }
    let powerful = powerful_roles(&crew.worker, target, bounds)?;
    let (kept_back, failing): (Vec<_>, Vec<_>) = loaded
        .failing
        .into_iter()
        .partition(|one| is_kept_back(one, &powerful));
    for Failing { object, why } in &failing {
        tracing::warn!(
            event = "object_not_restored",
            database = target,
            object,
            reason = why,
            "an object was not restored"
        );
    }
    loaded.failing = failing;
    loaded.warnings.extend(kept_back.iter().map(|one| {
        format!(
            "`{}` was left out: that owner can become superuser, and `{}` owns it instead",
            one.object, crew.worker.role
        )
    }));
    Ok(loaded)
}

/// Whether a line of the table of contents is a schema, or the grants on one.
fn is_schema(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').skip(3).take(3).collect();
    matches!(
        words.as_slice(),
        ["SCHEMA", "-", ..] | ["ACL", "-", "SCHEMA"]
    )
}

/// Whether a statement failed because it would give an object to a role that can become superuser, which no restore does.
fn is_kept_back(failing: &Failing, powerful: &[String]) -> bool {
    failing.object.starts_with("ALTER ")
        && powerful.iter().any(|role| {
            let object = &failing.object;
            object.ends_with(&format!(" OWNER TO {role}"))
                || object.ends_with(&format!(" OWNER TO {}", name(role)))
        })
}

/// Restores the entries of these lines. They go through standard input, so that no file of theirs has to be made.
fn restore(
    crew: &Crew<'_>,
    folder: &Path,
    target: &str,
    lines: &[String],
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    let mut command = program(&crew.worker, "pg_restore", target)?;
    command.args(["--no-password", "--use-list=/dev/stdin"]);
    match crew.owners {
        Owners::AsDumped => {}
        Owners::WorkerWithGrants => {
            command.arg("--no-owner");
        }
        Owners::WorkerAlone => {
            command.args(["--no-owner", "--no-privileges"]);
        }
    }
    command.arg(format!("--jobs={}", bounds.jobs()));
    command.arg(format!("--dbname={}", conninfo(target)));
    command.arg(folder.join(DUMP));
    let list = lines.join("\n") + "\n";
    run(&mut command, Some(&list), "the restore", bounds)
}

/// The failed statements, each by the first line of its command. Text of the dump could forge lines here, and gains nothing:
/// that something failed is known from the exit status, and the result is judged by what is in the database.
fn failing(stderr: &str) -> Vec<Failing> {
    let mut all: Vec<Failing> = Vec::new();
    let mut is_open = false;
    for line in stderr.lines() {
        if let Some(error) = line.strip_prefix("pg_restore: error: ") {
            let (object, why) = error
                .split_once("ERROR:")
                .map_or(("", error), |(object, why)| (object, why));
            let object = object.trim().trim_end_matches(':');
            let object = object.trim_start_matches("could not execute query");
            all.push(Failing {
                object: short(object),
                why: short(why),
            });
            is_open = true;
        } else if line.starts_with("pg_restore: ") {
            is_open = false;
        } else if let (Some(command), true, Some(last)) =
            (line.strip_prefix("Command was: "), is_open, all.last_mut())
        {
            last.object = short(command);
            is_open = false;
        }
    }
    all
}

fn short(text: &str) -> String {
    let text = text.trim().trim_end_matches(';');
    if text.chars().count() <= TEXT_CHARACTERS {
        return text.to_owned();
    }
    let cut: String = text.chars().take(TEXT_CHARACTERS).collect();
    format!("{cut} …")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_statements_are_listed_with_their_reason() {
        let stderr = "pg_restore: error: could not execute query: ERROR:  must be member of role \"postgres\"\n\
            Command was: ALTER TABLE public.adm OWNER TO postgres;\n\n\
            pg_restore: error: COPY failed for table \"t\": ERROR:  new row violates check\nCONTEXT:  COPY t, line 1\n\
            pg_restore: error: could not execute query: ERROR:  boom\nDETAIL:  x\nCommand was: CREATE VIEW v AS\n SELECT 1;\n\
            pg_restore: warning: errors ignored on restore: 3\n";
        let told: Vec<String> = failing(stderr).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "ALTER TABLE public.adm OWNER TO postgres: must be member of role \"postgres\"",
                "COPY failed for table \"t\": new row violates check",
                "CREATE VIEW v AS: boom",
            ]
        );
    }
}
