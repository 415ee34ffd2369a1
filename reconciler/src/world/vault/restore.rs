//! Owns the parent's side of restores and checks: which locations are asked, in which order, and what their answers mean.
//! Never lets a failed attempt look like a good one. The interesting function is [`restore`].

use std::path::PathBuf;

use contract::id::{DatasetId, LocationId};
use serde::{Deserialize, Serialize};

use super::child::{Helper, ask};
use super::error::VaultError;
use super::job::{Checked, Job, Order, Portion, Progress, Restored, Word};
use super::observe::LocationState;
use super::store::Place;
use super::{Vault, chain};

/// What to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The snapshot's id, 64 hex digits.
    pub snapshot_id: String,
    /// Its folder in the snapshot.
    pub dataset: DatasetId,
    /// A folder that is empty or does not exist yet.
    pub target: PathBuf,
    /// Ask this location only; otherwise all, those in sync first.
    pub location: Option<LocationId>,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOutcome {
    /// The location that served.
    pub location: LocationId,
    /// What was written and verified.
    pub restored: Restored,
    /// Locations that failed before, each with the reason.
    pub failed: Vec<(LocationId, String)>,
}

/// See [`Vault::restore`].
pub(super) fn restore(
    vault: &Vault,
    request: &RestoreRequest,
    helper: &Helper,
    progress: &mut dyn FnMut(&Progress),
) -> Result<RestoreOutcome, VaultError> {
    require_empty(&request.target)?;
    let mut failed: Vec<(LocationId, String)> = Vec::new();
    let mut absent = true;
    for location in candidates(vault, request.location.as_ref()) {
        let job = Job::Restore {
            snapshot: request.snapshot_id.clone(),
            dataset: request.dataset.to_string(),
            target: request.target.clone(),
            again: !failed.is_empty(),
        };
        let order = order(vault, &location, job)?;
        match restored(request, ask(helper, &order, progress)) {
            Ok(restored) => {
                return Ok(RestoreOutcome {
                    location,
                    restored,
                    failed,
                });
            }
            // Neither depends on the location.
            Err(error @ (VaultError::DatasetAbsent { .. } | VaultError::Deadline { .. })) => {
                return Err(error);
            }
            Err(error) => {
                absent &= matches!(error, VaultError::SnapshotAbsent { .. });
                tracing::warn!(%location, error = %chain(&error), "location cannot serve the restore");
                failed.push((location, chain(&error)));
            }
        }
    }
    if absent {
        return Err(VaultError::SnapshotAbsent {
            snapshot: request.snapshot_id.clone(),
        });
    }
    Err(VaultError::RestoreFailed {
        why: failed
            .iter()
            .map(|(location, why)| format!("`{location}`: {why}"))
            .collect::<Vec<_>>()
            .join("; "),
    })
}

/// The child's last word about a restore.
fn restored(
    request: &RestoreRequest,
    word: Result<Word, VaultError>,
) -> Result<Restored, VaultError> {
    let snapshot = request.snapshot_id.clone();
    match word? {
        Word::Restored(restored) if restored.differing == 0 => Ok(restored),
        Word::Restored(restored) => Err(VaultError::RestoreDiffers {
            count: restored.differing,
            first: restored.examples.into_iter().next().unwrap_or_default(),
        }),
        Word::SnapshotAbsent => Err(VaultError::SnapshotAbsent { snapshot }),
        Word::DatasetAbsent => Err(VaultError::DatasetAbsent {
            snapshot,
            dataset: request.dataset.to_string(),
        }),
        Word::WrongKey => Err(VaultError::WrongKey {
            repository: "it".to_owned(),
        }),
        Word::Failed(why) => Err(VaultError::Child { why }),
        Word::Checked(_) | Word::Progress(_) => Err(VaultError::Child {
            why: "it answered another question".to_owned(),
        }),
    }
}

/// See [`Vault::check`].
pub(super) fn check(
    vault: &Vault,
    location: &LocationId,
    portion: Portion,
    helper: &Helper,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Checked, VaultError> {
    if portion.of == 0 || portion.part == 0 || portion.part > portion.of {
        return Err(VaultError::Request {
            why: format!("{}/{} is no portion", portion.part, portion.of),
        });
    }
    match ask(
        helper,
        &order(vault, location, Job::Check { portion })?,
        progress,
    )? {
        Word::Checked(checked) => Ok(checked),
        Word::WrongKey => Err(VaultError::WrongKey {
            repository: vault.repository.clone(),
        }),
        Word::Failed(why) => Err(VaultError::Child { why }),
        Word::Restored(_) | Word::Progress(_) | Word::SnapshotAbsent | Word::DatasetAbsent => {
            Err(VaultError::Child {
                why: "it answered another question".to_owned(),
            })
        }
    }
}

fn order(vault: &Vault, location: &LocationId, job: Job) -> Result<Order, VaultError> {
    let place: &Place = vault
        .places
        .get(location)
        .ok_or_else(|| VaultError::Request {
            why: format!("`{location}` is no location of this repository"),
        })?;
    Ok(Order {
        place: place.clone(),
        repository: vault.repository.clone(),
        password: vault.password.clone(),
        job,
    })
}

/// Locations in sync first: they hold every point. A lagging one may still hold the point that is asked for, and one that
/// could not be listed may answer by now. Quarantined ones are never asked unless named.
fn candidates(vault: &Vault, named: Option<&LocationId>) -> Vec<LocationId> {
    if let Some(location) = named {
        return vec![location.clone()];
    }
    let seen = vault.observe().locations;
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for one in seen {
        match one.state {
            LocationState::InSync => first.push(one.location),
            LocationState::Lagging { .. }
            | LocationState::CatchingUp
            | LocationState::Unknown { .. } => later.push(one.location),
            LocationState::Quarantined { .. } | LocationState::Absent => {}
        }
    }
    first.append(&mut later);
    first
}

fn require_empty(target: &std::path::Path) -> Result<(), VaultError> {
    let path = target.display().to_string();
    match std::fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(VaultError::TargetNotEmpty { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(VaultError::Target { path, source }),
    }
}
