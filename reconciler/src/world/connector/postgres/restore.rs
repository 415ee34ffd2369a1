//! The ways back of a dump: into a new database beside the original, or into one that then takes the original's name.
//!
//! Never drops or overwrites a database that it did not create in the same run: what an in-place restore replaces is
//! renamed and kept, and a database that holds a part of what it should is kept and marked. The interesting functions are
//! [`side_by_side`] and [`in_place`].

use std::path::Path;

use super::client::{Login, name, query};
use super::crew::Crew;
use super::database::{
    apply, check_name, clean_up, create, derived, drop_own, exists, is_gone, mark_incomplete,
    rename, take_name, unmark,
};
use super::dump::{Facts, facts};
use super::error::DatabaseError;
use super::judge::{Judged, judge};
use super::load::{Failing, load};
use super::seal;
use crate::world::connector::{
    Bounds, Check, ConnectorError, InPlace, Kind, Material, PostgresBinding, RestoreSummary,
};

/// Names at most so many failed objects in a message; the log has all of them.
const NAMED: usize = 5;

/// Restores into a database that does not exist yet, on the binding's server.
pub(in crate::world::connector) fn side_by_side(
    binding: &PostgresBinding,
    material: Material<'_>,
    target: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let keeper = Login::restorer(binding);
    if target == binding.database {
        let target = target.to_owned();
        return Err(if exists(&keeper, &target, bounds)? {
            ConnectorError::TargetIsProduction { target }
        } else {
            ConnectorError::from(DatabaseError::TargetHasProductionName { target })
        });
    }
    check_name(target)?;
    let facts = check_material(material, bounds)?;
    let crew = Crew::of(keeper, &facts.properties, bounds)?;
    let filled = fill(&crew, material.folder, &facts, target, bounds);
    crew.dismiss(holder_of(&filled, target), &clean_up());
    filled
}

/// Restores into a new database, checks it, and lets it take the name of the original in one transaction.
pub(in crate::world::connector) fn in_place(
    binding: &PostgresBinding,
    material: Material<'_>,
    restore_id: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let keeper = Login::restorer(binding);
    let facts = check_material(material, bounds)?;
    let fresh = derived(&binding.database, "restoring", restore_id)?;
    let kept = derived(&binding.database, "before", restore_id)?;
    if exists(&keeper, &kept, bounds)? {
        return Err(ConnectorError::TargetNotEmpty { target: kept });
    }
    let live = exists(&keeper, &binding.database, bounds)?;
    let crew = Crew::of(keeper, &facts.properties, bounds)?;
    let filled = fill(&crew, material.folder, &facts, &fresh, bounds);
    crew.dismiss(holder_of(&filled, &fresh), &clean_up());
    let mut summary = filled?;
    let renamed = rename(&crew.keeper, live.then_some(kept.as_str()), &fresh, bounds);
    if let Err(error) = renamed
        && !is_gone(&crew.keeper, &fresh)
    {
        drop_own(&crew.keeper, &fresh);
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

/// What can be seen of the in-place restore with this id; nothing when it has left no trace.
pub(in crate::world::connector) fn probe(
    binding: &PostgresBinding,
    restore_id: &str,
    bounds: &Bounds,
) -> Result<Option<InPlace>, ConnectorError> {
    let login = Login::restorer(binding);
    let kept = derived(&binding.database, "before", restore_id)?;
    if exists(&login, &kept, bounds)? {
        return Ok(Some(InPlace::Done { kept }));
    }
    let fresh = derived(&binding.database, "restoring", restore_id)?;
    Ok(exists(&login, &fresh, bounds)?.then_some(InPlace::NotDone { left: fresh }))
}

/// The database that a restore left on the server, whole or incomplete.
fn holder_of<'t>(
    filled: &Result<RestoreSummary, ConnectorError>,
    target: &'t str,
) -> Option<&'t str> {
    match filled {
        Ok(_)
        | Err(
            ConnectorError::Database(DatabaseError::RestoreIncomplete { .. })
            | ConnectorError::ValidationFailed { .. },
        ) => Some(target),
        Err(_) => None,
    }
}

/// Creates the database, fills it and checks it. What could be restored is kept, marked as incomplete; a database of which
/// nothing is known, because the program failed or time ran out, is dropped again.
fn fill(
    crew: &Crew<'_>,
    folder: &Path,
    facts: &Facts,
    target: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let mut notes = crew.notes.clone();
    take_name(&crew.keeper, target, &mut notes, bounds)?;
    note_versions(&crew.keeper, facts, &mut notes, bounds)?;
    create(crew, target, &facts.properties, bounds)?;
    let filled = load(crew, folder, target, bounds).and_then(|mut loaded| {
        notes.extend(loaded.warnings);
        match seal::functions(crew, target, bounds) {
            Ok(note) => notes.extend(note),
            Err(failing) => loaded.failing.push(failing),
        }
        let judged = judge(&crew.worker, folder, target, facts, bounds)?;
        Ok((loaded.failing, judged))
    });
    let (mut failing, judged) = match filled {
        Ok(filled) => filled,
        Err(error) => {
            drop_own(&crew.keeper, target);
            return Err(error);
        }
    };
    // From here on the data are there, and no failure drops them.
    let finished = apply(crew, target, &facts.properties, &mut notes, bounds).and_then(|more| {
        failing.extend(more);
        conclude(target, &failing, &judged.checks)?;
        unmark(&crew.keeper, target, &facts.properties, bounds)
    });
    if let Err(error) = finished {
        if let Err(unmarked) = mark_incomplete(&crew.keeper, target, &error.to_string()) {
            tracing::warn!(event = "restore_left_behind", database = target, error = %unmarked, "cannot mark the database as incomplete");
        }
        return Err(error);
    }
    let Judged { bytes, checks } = judged;
    Ok(RestoreSummary {
        target: target.to_owned(),
        items: facts.tables_with_data,
        bytes,
        checks,
        kept: None,
        notes,
    })
}

/// A database is whole when no statement failed and every check passed.
fn conclude(target: &str, failing: &[Failing], checks: &[Check]) -> Result<(), ConnectorError> {
    let failed = checks.iter().filter(|check| !check.has_passed());
    let failed: Vec<String> = failed
        .map(|check| format!("check `{}`: {}", check.name, check.outcome.detail()))
        .collect();
    if failing.is_empty() {
        return if failed.is_empty() {
            Ok(())
        } else {
            Err(ConnectorError::ValidationFailed {
                target: target.to_owned(),
                detail: failed.join("; "),
            })
        };
    }
    let counted: Vec<String> = checks
        .iter()
        .filter(|check| ["relations", "rows"].contains(&check.name.as_str()))
        .map(|check| format!("{} {}", check.name, check.outcome.detail()))
        .collect();
    let mut listed: Vec<String> = failing.iter().take(NAMED).map(Failing::to_string).collect();
    let more = failing.len().saturating_sub(NAMED);
    if more > 0 {
        listed.push(format!("{more} more in the log"));
    }
    Err(ConnectorError::from(DatabaseError::RestoreIncomplete {
        target: target.to_owned(),
        objects: failing.len(),
        detail: format!("{}; failed: {}", counted.join(", "), listed.join("; ")),
        is_about_roles: failing.iter().any(is_about_a_role),
    }))
}

/// Whether an owner or a grantee of the dump is missing here, or is one that the restoring role may not act for.
fn is_about_a_role(failing: &Failing) -> bool {
    let object = &failing.object;
    object.contains(" OWNER TO ")
        || object.starts_with("GRANT ")
        || object.starts_with("grant of ")
        || object.starts_with("owner ")
        || object.starts_with("ALTER DEFAULT PRIVILEGES")
        || failing.why.starts_with("role \"")
}

/// A dump that moves to another version is a step that a person should know of.
fn note_versions(
    keeper: &Login<'_>,
    facts: &Facts,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let answer = query(
        keeper,
        keeper.maintenance(),
        "SHOW server_version_num;",
        bounds,
    )?;
    if answer.trim() != facts.server_version.to_string() {
        notes.push(format!(
            "compatibility: dumped from server version {}, restored to {}",
            facts.server_version,
            answer.trim()
        ));
    }
    Ok(())
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
