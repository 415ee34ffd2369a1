//! Owns the parent's side of restores and checks: which locations are asked, in which order, and what their answers mean.
//! Never lets a failed attempt look like a good one. The interesting function is [`restore`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use contract::id::{DatasetId, LocationId};
use serde::{Deserialize, Serialize};

use super::check::{Checked, Reading};
use super::derived::derived;
use super::error::VaultError;
use super::job::{Done, Hands, Job, Order, Portion, Restore, Restored};
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
    /// The folder that the content is copied to afterwards: a restore is refused when that lacks room.
    pub goes_to: Option<PathBuf>,
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
    hands: &dyn Hands,
) -> Result<RestoreOutcome, VaultError> {
    require_empty(&request.target)?;
    let mut failed: Vec<(LocationId, String)> = Vec::new();
    let mut absent = true;
    for location in candidates(vault, request.location.as_ref()) {
        let job = Job::Restore(Restore {
            place: place(vault, &location)?,
            damaged: damaged(vault, &location),
            snapshot: request.snapshot_id.clone(),
            dataset: request.dataset.to_string(),
            target: request.target.clone(),
            goes_to: request.goes_to.clone(),
            again: !failed.is_empty(),
        });
        match restored(hands.perform(order(vault, job))) {
            Ok(restored) => {
                return Ok(RestoreOutcome {
                    location,
                    restored,
                    failed,
                });
            }
            // The folder is missing everywhere, and the deadline was for the whole restore.
            Err(
                error @ (VaultError::DatasetAbsent { .. }
                | VaultError::Deadline { .. }
                | VaultError::Stopped
                | VaultError::RoomLacking { .. }),
            ) => {
                return Err(error);
            }
            // The engine ends its process when a write fails. Another location would fill the same disk.
            Err(VaultError::Child { .. }) if super::room::is_full(&request.target) => {
                return Err(VaultError::StagingFull {
                    folder: request.target.display().to_string(),
                });
            }
            Err(error) => {
                absent &= matches!(error, VaultError::SnapshotAbsent { .. });
                tracing::warn!(event = "location_failed", %location, error = %chain(&error), "location cannot serve the restore");
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

/// What the worker says of a restore.
fn restored(done: Result<Done, VaultError>) -> Result<Restored, VaultError> {
    match done? {
        Done::Restored(restored) if restored.differing == 0 => Ok(restored),
        Done::Restored(restored) => Err(VaultError::RestoreDiffers {
            count: restored.differing,
            first: restored.examples.into_iter().next().unwrap_or_default(),
        }),
        Done::Checked(_) => Err(confused()),
    }
}

fn confused() -> VaultError {
    VaultError::Child {
        why: "it answered another question".to_owned(),
    }
}

/// See [`Vault::check`].
pub(super) fn check(
    vault: &Vault,
    location: &LocationId,
    reading: Reading,
    hands: &dyn Hands,
) -> Result<Checked, VaultError> {
    if let Portion::Part { part, of } = reading.portion
        && !(1..=of).contains(&part)
    {
        return Err(VaultError::Request {
            why: format!("{part}/{of} is no portion"),
        });
    }
    let job = Job::Check {
        place: place(vault, location)?,
        damaged: damaged(vault, location),
        reading,
    };
    match hands.perform(order(vault, job))? {
        Done::Checked(checked) => Ok(checked),
        Done::Restored(_) => Err(confused()),
    }
}

/// See [`Vault::impact`].
pub(super) fn impact(
    vault: &Vault,
    location: &LocationId,
    object: &str,
    hands: &dyn Hands,
) -> Result<Checked, VaultError> {
    let mut objects = damaged(vault, location);
    objects.insert(object.to_owned());
    let place = place(vault, location)?;
    match hands.perform(order(vault, Job::Impact { place, objects }))? {
        Done::Checked(checked) => Ok(checked),
        Done::Restored(_) => Err(confused()),
    }
}

fn place(vault: &Vault, location: &LocationId) -> Result<Place, VaultError> {
    vault
        .places
        .get(location)
        .cloned()
        .ok_or_else(|| VaultError::Request {
            why: format!("`{location}` is no location of this repository"),
        })
}

fn damaged(vault: &Vault, location: &LocationId) -> BTreeSet<String> {
    vault.damaged.get(location).cloned().unwrap_or_default()
}

fn order(vault: &Vault, job: Job) -> Order {
    Order {
        repository: vault.repository.clone(),
        password: (*vault.password).clone(),
        derived: derived(&vault.repository),
        job,
    }
}

/// Locations in sync first: they hold every point. A lagging one may still hold the point that is asked for, and one that
/// could not be listed may answer by now. Quarantined ones are asked last: a snapshot's id proves all that is restored from it.
/// One that is set aside is never asked.
fn candidates(vault: &Vault, named: Option<&LocationId>) -> Vec<LocationId> {
    if let Some(location) = named {
        return vec![location.clone()];
    }
    let seen = vault.observe().locations;
    let (mut first, mut later, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for one in seen {
        match one.state {
            LocationState::InSync => first.push(one.location),
            LocationState::Lagging { .. }
            | LocationState::CatchingUp
            | LocationState::Unknown { .. } => later.push(one.location),
            LocationState::Quarantined { .. } => last.push(one.location),
            LocationState::Absent => {}
        }
    }
    first.append(&mut later);
    first.append(&mut last);
    first.retain(|location| !vault.aside.contains_key(location));
    first
}

fn require_empty(target: &std::path::Path) -> Result<(), VaultError> {
    let path = target.display().to_string();
    match std::fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(VaultError::TargetNotEmpty { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(VaultError::Target {
            path,
            why: error.to_string(),
        }),
    }
}
