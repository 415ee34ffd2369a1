//! Owns bringing lagging copies forward: exactly the missing objects are copied, packs first and snapshots last, each read,
//! hashed and only then written. Never removes or overwrites anything, and touches no quarantined copy.
//! The interesting function is [`fetch`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use contract::id::LocationId;
use serde::{Deserialize, Serialize};

use super::Vault;
use super::error::VaultError;
use super::lock::{Identity, Locks, Refused, Sealer};
use super::mirror::lock as guard;
use super::observe::{LocationState, Seen, is_content_of};
use super::store::{Kind, LASTING, Object, Store, StoreError};

/// What catching up did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    /// Each location that lagged.
    pub locations: Vec<CaughtUp>,
    /// Sound locations on which damage was found while reading from them.
    pub damaged: BTreeMap<LocationId, String>,
}

/// What was copied to one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtUp {
    /// The location.
    pub location: LocationId,
    /// How it stood.
    pub before: LocationState,
    /// How it stands.
    pub after: LocationState,
    /// Objects copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it stopped before the end.
    pub stopped: Option<String>,
}

/// What all copies to the lagging locations share.
struct Job<'vault> {
    vault: &'vault Vault,
    seen: &'vault BTreeMap<LocationId, Seen>,
    aside: BTreeSet<LocationId>,
    sealer: &'vault Sealer,
    damaged: Mutex<BTreeMap<LocationId, String>>,
}

/// See [`Vault::catch_up`].
pub(super) fn run(vault: &Vault) -> Result<CatchUp, VaultError> {
    let sealer = vault.sealer()?;
    let stores: Vec<_> = vault
        .stores
        .iter()
        .map(|(location, store)| (location.clone(), Arc::clone(store)))
        .collect();
    let (_locks, refused) = Locks::take(&stores, &sealer, &Identity::of_this_process());
    for (location, why) in refused {
        if let Refused::Held(holder) = why {
            return Err(VaultError::Locked { location, holder });
        }
    }
    let seen = vault.look();
    let compared = vault.judge(&seen);
    let job = Job {
        vault,
        seen: &seen,
        aside: compared
            .iter()
            .filter(|(_, compared)| matches!(compared.state, LocationState::Quarantined { .. }))
            .map(|(location, _)| location.clone())
            .collect(),
        sealer: &sealer,
        damaged: Mutex::default(),
    };
    let mut result = CatchUp::default();
    for (location, compared) in &compared {
        if let (LocationState::Lagging { .. }, Some(store)) =
            (&compared.state, vault.stores.get(location))
        {
            let mut caught = CaughtUp {
                location: location.clone(),
                before: compared.state.clone(),
                after: compared.state.clone(),
                objects: 0,
                bytes: 0,
                stopped: None,
            };
            if let Err(error) = copy(&job, store.as_ref(), &compared.missing, &mut caught) {
                caught.stopped = Some(error.to_string());
            }
            result.locations.push(caught);
        }
    }
    let after = vault.compare();
    for caught in &mut result.locations {
        if let Some(compared) = after.get(&caught.location) {
            caught.after = compared.state.clone();
        }
    }
    result.damaged = guard(&job.damaged).clone();
    Ok(result)
}

/// Kind after kind: no index arrives before all packs, no snapshot before all indexes. The first object that cannot be had
/// stops the location, so it never shows a point with holes.
fn copy(
    job: &Job<'_>,
    target: &dyn Store,
    missing: &BTreeMap<Object, u64>,
    caught: &mut CaughtUp,
) -> Result<(), StoreError> {
    for kind in LASTING {
        for object in missing.keys().filter(|object| object.kind == kind) {
            let content = fetch(job, object)?;
            target.write(object, std::slice::from_ref(&content))?;
            caught.objects += 1;
            caught.bytes += content.len() as u64;
        }
    }
    Ok(())
}

/// Reads an object from the first copy that gives sound content. Index and snapshot files must also open with our key:
/// whoever can write to one location must not spread files to the others through us.
fn fetch(job: &Job<'_>, object: &Object) -> Result<Bytes, StoreError> {
    let mut last = StoreError::NotFound {
        place: "every other location".to_owned(),
        object: object.path(),
    };
    for (location, store) in &job.vault.stores {
        let holds = matches!(job.seen.get(location), Some(Seen::Known(inventory))
            if inventory.objects.contains_key(object));
        if !holds || job.aside.contains(location) || guard(&job.damaged).contains_key(location) {
            continue;
        }
        match store.read(object) {
            Ok(content) if is_sound(job.sealer, object, &content) => return Ok(content),
            Ok(_) => {
                let error = StoreError::Damaged {
                    place: store.place(),
                    object: object.path(),
                };
                guard(&job.damaged).insert(location.clone(), error.to_string());
                last = error;
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_sound(sealer: &Sealer, object: &Object, content: &[u8]) -> bool {
    let opens = match object.kind {
        Kind::Index | Kind::Snapshot | Kind::Config => sealer.open(content).is_some(),
        Kind::Pack | Kind::Key | Kind::Lock => true,
    };
    opens && is_content_of(object, content)
}
