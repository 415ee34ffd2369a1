//! Owns bringing lagging copies forward: exactly the missing objects are copied, packs first and snapshots last, each read,
//! hashed and only then written. Never removes anything, overwrites only what is known to be damaged, and touches no
//! quarantined copy.
//! The interesting function is [`fetch`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use contract::id::LocationId;
use serde::{Deserialize, Serialize};

use super::Vault;
use super::error::VaultError;
use super::lock::{Beside, Identity, Locks, Refused, Sealer};
use super::mirror::lock as guard;
use super::observe::{LocationState, Seen};
use super::proof::{Authenticity, authenticity};
use super::store::{LASTING, Object, Store, StoreError};
use crate::progress::Stage;

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
    /// Paths of those that were damaged before.
    pub repaired: BTreeSet<String>,
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

/// See [`Vault::catch_up`]. A location on which damage is found adds nothing from then on, and what the others hold is copied
/// in a further pass.
pub(super) fn run(vault: &Vault) -> Result<CatchUp, VaultError> {
    let sealer = vault.sealer()?;
    let (_locks, refused) = Locks::take(
        &vault.usable_stores(),
        &sealer,
        &Identity::of_this_process(),
        Beside::Others,
    );
    let mut result = CatchUp::default();
    let mut locked: BTreeMap<LocationId, String> = BTreeMap::new();
    for (location, why) in refused {
        let why = match why {
            Refused::Held(holder) => format!("it is locked by `{holder}`"),
            Refused::Store(error) => error.to_string(),
        };
        locked.insert(location, why);
    }
    for _ in 0..=vault.stores.len() {
        let found = pass(vault, &sealer, &locked, &mut result);
        if found.is_empty() {
            break;
        }
        result.damaged.extend(found);
    }
    let after = vault.judge_without(&vault.look(), &result.damaged);
    for caught in &mut result.locations {
        if let Some(compared) = after.get(&caught.location) {
            caught.after = compared.state.clone();
        }
    }
    Ok(result)
}

/// Copies to every lagging location and returns the damage that was met.
fn pass(
    vault: &Vault,
    sealer: &Sealer,
    locked: &BTreeMap<LocationId, String>,
    result: &mut CatchUp,
) -> BTreeMap<LocationId, String> {
    let seen = vault.look();
    let compared = vault.judge_without(&seen, &result.damaged);
    let is_aside = |state: &LocationState| match state {
        LocationState::Quarantined { .. } | LocationState::Unknown { .. } => true,
        LocationState::InSync
        | LocationState::Lagging { .. }
        | LocationState::CatchingUp
        | LocationState::Absent => false,
    };
    let job = Job {
        vault,
        seen: &seen,
        aside: compared
            .iter()
            .filter(|(location, compared)| {
                is_aside(&compared.state) || locked.contains_key(*location)
            })
            .map(|(location, _)| location.clone())
            .collect(),
        sealer,
        damaged: Mutex::default(),
    };
    let missing = compared
        .iter()
        .filter(|(location, _)| !job.aside.contains(*location))
        .flat_map(|(_, compared)| compared.missing.values());
    vault.gauge.begin(Stage::Copying, Some(missing.sum()));
    for (location, compared) in &compared {
        let (LocationState::Lagging { .. }, Some(store)) =
            (&compared.state, vault.stores.get(location))
        else {
            continue;
        };
        let known = result
            .locations
            .iter()
            .position(|caught| caught.location == *location);
        let mut caught = match known {
            Some(known) => result.locations.remove(known),
            None => CaughtUp {
                location: location.clone(),
                before: compared.state.clone(),
                after: compared.state.clone(),
                objects: 0,
                bytes: 0,
                repaired: BTreeSet::new(),
                stopped: None,
            },
        };
        caught.stopped = match locked.get(location) {
            Some(why) => Some(why.clone()),
            None => copy(&job, store.as_ref(), &compared.missing, &mut caught)
                .err()
                .map(|error| error.to_string()),
        };
        result.locations.push(caught);
    }
    result.locations.sort_by(|a, b| a.location.cmp(&b.location));
    job.damaged
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
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
            let Some(content) = fetch(job, object)? else {
                continue;
            };
            target.write(object, std::slice::from_ref(&content))?;
            let damaged = job.vault.damaged.get(&caught.location);
            if damaged.is_some_and(|damaged| damaged.contains(&object.path())) {
                caught.repaired.insert(object.path());
            }
            caught.objects += 1;
            caught.bytes += content.len() as u64;
            job.vault.gauge.add(1, content.len() as u64);
        }
    }
    Ok(())
}

/// Reads an object from the first copy that gives what our key made: whoever can write to one location must not spread files
/// to the others through us. A key file for another password is no object that anybody misses.
fn fetch(job: &Job<'_>, object: &Object) -> Result<Option<Bytes>, StoreError> {
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
            Ok(content) => match authenticity(job.sealer, &job.vault.password, object, &content) {
                Authenticity::Ours => return Ok(Some(content)),
                Authenticity::ForeignKey => return Ok(None),
                Authenticity::Junk => {
                    let error = StoreError::Damaged {
                        place: store.place(),
                        object: object.path(),
                    };
                    guard(&job.damaged).insert(location.clone(), error.to_string());
                    last = error;
                }
            },
            Err(error) if error.is_damage() => {
                guard(&job.damaged).insert(location.clone(), error.to_string());
                last = error;
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
