//! Owns removing recovery points and what nothing needs any more, at all locations alike. Never chooses a point: it removes the
//! snapshots that it is given, and then what none of the others needs. The interesting function is [`run`].
//!
//! Everything is gone about in the order in which a crash, or a location that fails, loses nothing: first the whole of it is planned, while
//! every object is still there; then the snapshots go, then new packs and indexes take the place of old indexes, and packs that are
//! not needed are marked in those. Only packs that were marked for the grace are removed, after every location was read without them.
//! Where anything fails, all objects that remain are copied to all locations again as to any that lags, and the next prune begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contract::id::LocationId;
use rustic_core::repofile::SnapshotId;
use rustic_core::{LimitOption, PruneOptions, WriteBackend};
use serde::{Deserialize, Serialize};

use super::backup::describe;
use super::check::{self, Reading};
use super::error::VaultError;
use super::job::{Job, Order, Portion};
use super::lock::{Beside, Identity, Locks, Refused};
use super::mirror::Mirror;
use super::observe::LocationState;
use super::repository::{self, engine};
use super::store::{Kind, Object, Store};
use super::trust::Doubted;
use super::{Vault, chain};
use crate::progress::Stage;

/// Data that nothing needs may stay in packs that are needed, up to this part of a repository: packing them again costs more than the room.
const UNUSED_PERCENT: u64 = 5;

/// At most this part of a repository is packed again in one prune: until the grace is over, it takes its room twice.
const REPACKED_PERCENT: u64 = 10;

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneRequest {
    /// Snapshots, 64 hex digits each. One that is gone already is no fault.
    pub snapshots: BTreeSet<String>,
    /// How long a pack stays marked before it is removed.
    pub grace: Duration,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruned {
    /// Packs that are gone, at each location.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that stay until their grace is over.
    pub marked: u64,
    /// Packs that took the place of others.
    pub repacked: u64,
}

/// See [`Vault::prune`].
pub(super) fn run(vault: &Vault, request: &PruneRequest) -> Result<Pruned, VaultError> {
    alike(vault)?;
    let _locks = lock_all(vault)?;
    // Another program may have written until it was kept out.
    let held = alike(vault)?;
    let present = |kind: Kind| held.iter().filter(move |(object, _)| object.kind == kind);
    let going: Vec<Object> = present(Kind::Snapshot)
        .map(|(object, _)| object.clone())
        .filter(|object| request.snapshots.contains(&object.name))
        .collect();
    if !going.is_empty() && going.len() == present(Kind::Snapshot).count() {
        return Err(not_deleted("no recovery point would be left".to_owned()));
    }
    vault.gauge.begin(Stage::Pruning, None);
    let stores = vault.usable_stores();
    let mirror = Mirror::start(stores.clone(), stores.len(), &vault.gauge);
    mirror.let_remove();
    let done = through(vault, request, &going, &held, &mirror);
    for (location, ledger) in mirror.finish() {
        if let (Some(why), true) = (ledger.failed, done.is_ok()) {
            return Err(not_deleted(format!("location `{location}`: {why}")));
        }
    }
    let done = done?;
    alike(vault)?;
    Ok(done)
}

/// Every location has to hold the same, and all of it sound: what one of them lacks may be all that another point has.
fn alike(vault: &Vault) -> Result<BTreeMap<Object, u64>, VaultError> {
    let seen = vault.look();
    for (location, compared) in vault.judge(&seen) {
        match compared.state {
            LocationState::InSync => {}
            state @ (LocationState::Lagging { .. }
            | LocationState::CatchingUp
            | LocationState::Quarantined { .. }
            | LocationState::Absent
            | LocationState::Unknown { .. }) => {
                let state = describe(&state);
                return Err(not_deleted(format!("location `{location}`: {state}")));
            }
        }
    }
    // In sync means that whatever one of them holds, the others do.
    let mut held: Option<BTreeMap<Object, u64>> = None;
    for seen in seen.into_values() {
        let super::Seen::Known(inventory) = seen else {
            return Err(not_deleted("a location could not be listed".to_owned()));
        };
        // A key file for another password is nobody's but the location's.
        let mut objects = inventory.objects;
        objects.retain(|object, _| object.kind != Kind::Key);
        let first = held.get_or_insert_with(|| objects.clone());
        let differs = first
            .iter()
            .find(|(object, size)| objects.get(*object) != Some(*size));
        let differs = differs.or_else(|| {
            objects
                .iter()
                .find(|(object, _)| !first.contains_key(*object))
        });
        if let Some((object, _)) = differs {
            return Err(not_deleted(format!(
                "the locations differ by `{}`",
                object.path()
            )));
        }
    }
    held.ok_or_else(|| not_deleted("there is no location".to_owned()))
}

fn not_deleted(why: String) -> VaultError {
    VaultError::NotDeleted { why }
}

/// Nobody else may be in the repository, at any location.
fn lock_all(vault: &Vault) -> Result<Locks, VaultError> {
    let (stores, here) = (vault.usable_stores(), Identity::of_this_process());
    let (locks, refused) = Locks::take(&stores, &vault.sealer()?, &here, Beside::Nobody);
    match refused.into_iter().next() {
        None => Ok(locks),
        Some((location, Refused::Held(holder))) => Err(VaultError::Locked { location, holder }),
        Some((location, Refused::Store(source))) => Err(VaultError::Location { location, source }),
    }
}

fn through(
    vault: &Vault,
    request: &PruneRequest,
    going: &[Object],
    held: &BTreeMap<Object, u64>,
    mirror: &Arc<Mirror>,
) -> Result<Pruned, VaultError> {
    let pruning = engine("pruning");
    let storage = |source| VaultError::Storage { source };
    let backend: Arc<dyn WriteBackend> = Arc::<Mirror>::clone(mirror);
    let opened = repository::open(&backend, &vault.key()?)?;
    let ids = going.iter().map(|object| object.name.parse());
    let ids: Vec<SnapshotId> = ids.collect::<Result<_, _>>().map_err(&pruning)?;
    let options = options(request.grace, ids)?;
    // A snapshot that stays and cannot be read to its last tree ends it here, while everything is there.
    let plan = opened.prune_plan(&options).map_err(&pruning)?;
    let stats = &plan.stats;
    let mut pruned = Pruned {
        marked: stats.packs_to_delete.keep
            + stats.packs.unused
            + stats.packs.repack
            + stats.packs_unref,
        ..Pruned::default()
    };
    for snapshot in going {
        mirror.remove_everywhere(snapshot).map_err(storage)?;
    }
    opened.prune(&options, plan).map_err(&pruning)?;
    drop(opened);
    mirror.barrier().map_err(storage)?;
    let (unneeded, new) = (mirror.unneeded(), mirror.packs());
    pruned.repacked = new.len() as u64;
    if let Err(error) = whole_without(vault, &unneeded, &new) {
        mirror.put_back();
        return Err(error);
    }
    vault.gauge.begin(Stage::Pruning, None);
    for name in unneeded {
        let kind = Kind::Pack;
        let pack = Object { kind, name };
        mirror.remove_everywhere(&pack).map_err(storage)?;
        pruned.packs += 1;
        pruned.bytes += held.get(&pack).copied().unwrap_or(0);
        vault.gauge.add(1, 0);
    }
    Ok(pruned)
}

fn options(grace: Duration, going: Vec<SnapshotId>) -> Result<PruneOptions, VaultError> {
    let grace = jiff::Span::try_from(grace).map_err(|error| VaultError::Request {
        why: error.to_string(),
    })?;
    Ok(PruneOptions::default()
        .max_unused(LimitOption::Percentage(UNUSED_PERCENT))
        .max_repack(LimitOption::Percentage(REPACKED_PERCENT))
        .keep_delete(grace)
        .ignore_snaps(going))
}

/// Reads every location as it would be without some packs: all trees of all points, and the bytes of the packs that are new there.
fn whole_without(
    vault: &Vault,
    unneeded: &BTreeSet<String>,
    new: &BTreeSet<String>,
) -> Result<(), VaultError> {
    let paths: BTreeSet<String> = unneeded
        .iter()
        .map(|name| {
            let (kind, name) = (Kind::Pack, name.clone());
            Object { kind, name }.path()
        })
        .collect();
    for (location, store) in vault.usable_stores() {
        let without: Arc<dyn Store> = Arc::new(Doubted::new(store, &paths));
        let found = check_one(vault, &location, &without, new)?;
        if let Some(first) = found.into_iter().next() {
            return Err(not_deleted(format!(
                "location `{location}` would not be whole: {first}"
            )));
        }
    }
    Ok(())
}

fn check_one(
    vault: &Vault,
    location: &LocationId,
    store: &Arc<dyn Store>,
    new: &BTreeSet<String>,
) -> Result<Vec<String>, VaultError> {
    let reading = Reading::from(Portion::Packs(new.clone()));
    let known = BTreeSet::new();
    let place = vault.places.get(location).cloned();
    let order = Order {
        repository: vault.repository.clone(),
        password: vault.password.to_string(),
        derived: Vec::new(),
        job: Job::Check {
            place: place.ok_or_else(|| VaultError::Request {
                why: format!("`{location}` is no location of this repository"),
            })?,
            reading: reading.clone(),
            damaged: BTreeSet::new(),
        },
    };
    let found = check::check(&order, store, &reading, &known, &vault.gauge);
    let found = found.map_err(|error| not_deleted(format!("`{location}`: {}", chain(&error))))?;
    let broken = found
        .broken
        .iter()
        .map(|(snapshot, why)| format!("snapshot `{snapshot}` {why}"));
    Ok(found.damage().into_iter().chain(broken).collect())
}
