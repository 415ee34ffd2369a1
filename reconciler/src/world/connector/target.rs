//! Folders that a restore goes to: refused when they are production or hold something, filled, held against the backup.
//!
//! Never writes into a folder that holds something, and clears what a failed restore left. The interesting function is
//! [`export`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::manifest::walk_error;
use super::tree::{Copied, Identity, copy, private_folder, sync};
use super::{Binding, Bounds, Check, ConnectorError, Material, RestoreSummary, live_path};

/// Export-only for every connector, and side by side for those whose backup is the data itself.
pub(super) fn export(
    binding: &Binding,
    material: Material<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let created = take_target_folder(folder, live_path(binding))?;
    let filled = fill(material, folder, bounds);
    if filled.is_err() {
        // What is half-made must not be taken for good. The target was empty, so everything in it is ours.
        clear(folder, created);
    }
    let (copied, checks) = filled?;
    Ok(RestoreSummary {
        target: folder.display().to_string(),
        items: copied.items,
        bytes: copied.bytes,
        checks,
        kept: None,
        notes: copied.notes,
    })
}

fn fill(
    material: Material<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<(Copied, Vec<Check>), ConnectorError> {
    let copied = copy(material.folder, folder, bounds)?;
    let check = hold_against(folder, material, &copied, bounds)?;
    sync(folder, bounds)?;
    Ok((copied, vec![check]))
}

/// The copy must have what was copied, by checksum where there is a manifest and by count and size where there is none.
pub(super) fn hold_against(
    folder: &Path,
    material: Material<'_>,
    copied: &Copied,
    bounds: &Bounds,
) -> Result<Check, ConnectorError> {
    let failed = |detail: String| ConnectorError::ValidationFailed {
        target: folder.display().to_string(),
        detail,
    };
    if let Some(manifest) = material.manifest {
        let differences = manifest.compare(folder, bounds)?;
        return match differences.first() {
            None => Ok(Check::passed(
                "checksums",
                format!(
                    "{} files equal the backup's manifest",
                    manifest.files().len()
                ),
            )),
            Some(first) => Err(failed(format!(
                "{first}, one of {} differences from the backup's manifest",
                differences.len()
            ))),
        };
    }
    let mut items = 0_u64;
    for entry in WalkDir::new(folder).min_depth(1).follow_links(false) {
        let entry = entry.map_err(|error| walk_error(folder, error))?;
        items += u64::from(!entry.file_type().is_dir());
    }
    if items == copied.items {
        Ok(Check::passed(
            "copied",
            format!("{items} files and links, {} bytes", copied.bytes),
        ))
    } else {
        Err(failed(format!(
            "{items} of {} files and links are there",
            copied.items
        )))
    }
}

fn clear(folder: &Path, created: bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let removed = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove what a failed restore left");
        }
    }
    if created {
        let _ = fs::remove_dir(folder);
    }
}

/// Refuses production and anything that holds something; creates the folder when it is missing and tells whether it did.
fn take_target_folder(folder: &Path, live: Option<&Path>) -> Result<bool, ConnectorError> {
    refuse_production(folder, live)?;
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(ConnectorError::TargetNotEmpty {
                target: folder.display().to_string(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private_folder(folder).map_err(|error| ConnectorError::io("create", folder, error))?;
            Ok(true)
        }
        Err(error) => Err(target_invalid(folder, &error.to_string())),
    }
}

/// A target that is the live data, lies in them or holds them is refused, whatever links lead there.
pub(super) fn refuse_production(target: &Path, live: Option<&Path>) -> Result<(), ConnectorError> {
    if !target.is_absolute() {
        return Err(target_invalid(target, "not an absolute path"));
    }
    let Some(live) = live else { return Ok(()) };
    let (Some(target_real), Some(live_real)) = (resolve(target), resolve(live)) else {
        return Err(target_invalid(target, "its parent folder does not exist"));
    };
    let same_file = match (fs::metadata(target), fs::metadata(live)) {
        (Ok(target), Ok(live)) => Identity::of(&target) == Identity::of(&live),
        (Ok(_) | Err(_), _) => false,
    };
    if same_file || target_real.starts_with(&live_real) || live_real.starts_with(&target_real) {
        return Err(ConnectorError::TargetIsProduction {
            target: target.display().to_string(),
        });
    }
    Ok(())
}

/// The path without links. What does not exist yet is named below its nearest existing ancestor.
fn resolve(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|ancestor| {
        let real = fs::canonicalize(ancestor).ok()?;
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(if rest.as_os_str().is_empty() {
            real
        } else {
            real.join(rest)
        })
    })
}

pub(super) fn target_invalid(target: &Path, detail: &str) -> ConnectorError {
    ConnectorError::TargetInvalid {
        target: target.display().to_string(),
        detail: detail.to_owned(),
    }
}
