//! The ways back of a dump: into a new database beside the original, or into one that then takes the original's name.
//!
//! Never drops or overwrites a database that it did not create in the same run: what an in-place restore replaces is
//! renamed and kept. The interesting functions are [`side_by_side`] and [`in_place`].

use std::path::Path;

use super::client::{self, conninfo, name, program, query};
use super::database::{
    apply, check_name, create, derived, drop_own, exists, failed, is_gone, rename, take_name,
    unmark,
};
use super::dump::{DUMP, Facts, facts};
use super::{RELATIONS, validate_database};
use crate::world::connector::{
    Bounds, Check, ConnectorError, InPlace, Kind, Material, PostgresBinding, RestoreSummary,
};

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

/// What can be seen of the in-place restore with this id; nothing when it has left no trace.
pub(in crate::world::connector) fn probe(
    binding: &PostgresBinding,
    restore_id: &str,
    bounds: &Bounds,
) -> Result<Option<InPlace>, ConnectorError> {
    let kept = derived(&binding.database, "before", restore_id)?;
    if exists(binding, &kept, bounds)? {
        return Ok(Some(InPlace::Done { kept }));
    }
    let fresh = derived(&binding.database, "restoring", restore_id)?;
    Ok(exists(binding, &fresh, bounds)?.then_some(InPlace::NotDone { left: fresh }))
}

/// Creates the database, fills it and checks it. On any failure the half-made database is dropped again.
fn fill(
    binding: &PostgresBinding,
    folder: &Path,
    facts: &Facts,
    target: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let mut notes = Vec::new();
    take_name(binding, target, &mut notes, bounds)?;
    note_versions(binding, facts, &mut notes, bounds)?;
    create(binding, target, &facts.properties, &mut notes, bounds)?;
    let filled = load(binding, folder, target, bounds).and_then(|warnings| {
        notes.extend(warnings);
        apply(binding, target, &facts.properties, &mut notes, bounds)?;
        let judged = judge(binding, target, facts, bounds)?;
        unmark(binding, target, &facts.properties, bounds)?;
        Ok(judged)
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

/// A dump that moves to another version is a step that a person should know of.
fn note_versions(
    binding: &PostgresBinding,
    facts: &Facts,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let answer = query(
        binding,
        binding.maintenance(),
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

fn load(
    binding: &PostgresBinding,
    folder: &Path,
    target: &str,
    bounds: &Bounds,
) -> Result<Vec<String>, ConnectorError> {
    let mut command = program(binding, "pg_restore", target)?;
    command.args(["--exit-on-error", "--no-password"]);
    if binding.no_owner {
        command.args(["--no-owner", "--no-privileges"]);
    }
    command.arg(format!("--jobs={}", bounds.jobs()));
    command.arg(format!("--dbname={}", conninfo(target)));
    command.arg(folder.join(DUMP));
    let ended = client::run(&mut command, None, "the restore", bounds)?;
    if ended.is_clean() {
        Ok(ended.warnings().map(str::to_owned).collect())
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
    let mut checks = validate_database(binding, target, bounds)?;
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
