//! Owns which copies belong to the repository, and which objects: proof by its key, never a vote. Whoever can write to a
//! location can plant anything there, but nothing that opens with a key he does not have. Never writes.
//! The interesting functions are [`prove`] and [`authenticity`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use contract::id::LocationId;
use rustic_core::repofile::MasterKey;

use super::error::VaultError;
use super::lock::Sealer;
use super::observe::{LocationState, Seen, config, is_content_of};
use super::repository::{self, KeyFileIs};
use super::store::{Kind, Object, Store, StoreError};

/// Objects that one look proves before it believes that other locations lack them. Copying proves each of them again, so more
/// would only make a look slow while a new location is filled.
const PROVEN_AT_A_LOOK: usize = 256;

/// What opens the repository, and how its points are recognised.
pub(super) struct Means<'vault> {
    pub(super) stores: &'vault BTreeMap<LocationId, Arc<dyn Store>>,
    pub(super) password: &'vault str,
    pub(super) repository: &'vault str,
    /// Snapshots that the catalog knows: the repository that holds one of them is ours.
    pub(super) known: &'vault BTreeSet<String>,
}

/// The key, and the copies that it does not open.
pub(super) struct Proof {
    pub(super) key: MasterKey,
    pub(super) foreign: BTreeMap<LocationId, LocationState>,
}

/// One configuration and the locations that hold it.
struct Group {
    config: Bytes,
    locations: Vec<LocationId>,
}

/// Finds the master key whose configuration is authentic. `key` is the one that is known already, if any. Each other
/// configuration sets its locations aside.
pub(super) fn prove(
    means: &Means<'_>,
    aside: &BTreeMap<LocationId, LocationState>,
    key: Option<MasterKey>,
) -> Result<Proof, VaultError> {
    let (groups, mut last) = groups(means, aside);
    let mut keys: Vec<(MasterKey, Sealer)> = Vec::new();
    let mut opened_by: Vec<Option<usize>> = Vec::new();
    if let Some(key) = key
        && let Some(sealer) = Sealer::new(&key)
    {
        keys.push((key, sealer));
    }
    let is_known = !keys.is_empty();
    for group in &groups {
        let mut by = opener(&keys, &group.config);
        if by.is_none() && !is_known {
            for location in &group.locations {
                let Some(store) = means.stores.get(location) else {
                    continue;
                };
                match repository::master_key(store.as_ref(), means.password, means.repository) {
                    Ok(Some(found)) => {
                        if let Some(sealer) = Sealer::new(&found.key) {
                            keys.push((found.key, sealer));
                        }
                    }
                    Ok(None) => {}
                    Err(error) => last = error,
                }
                by = opener(&keys, &group.config);
                if by.is_some() {
                    break;
                }
            }
        }
        opened_by.push(by);
    }
    let chosen = choose(means, &groups, &opened_by, &keys)?.or(is_known.then_some(0));
    let Some((key, _)) = chosen.and_then(|chosen| keys.into_iter().nth(chosen)) else {
        return Err(last);
    };
    let foreign = groups
        .iter()
        .zip(&opened_by)
        .filter(|(_, by)| **by != chosen)
        .flat_map(|(group, _)| &group.locations)
        .map(|location| {
            let why = "its configuration does not open with the repository's key".to_owned();
            (location.clone(), LocationState::Quarantined { why })
        })
        .collect();
    Ok(Proof { key, foreign })
}

/// The configurations of all locations that can be read, the one that most of them hold first.
fn groups(
    means: &Means<'_>,
    aside: &BTreeMap<LocationId, LocationState>,
) -> (Vec<Group>, VaultError) {
    let mut groups: Vec<Group> = Vec::new();
    let mut last = VaultError::RepositoryAbsent {
        repository: means.repository.to_owned(),
    };
    for (location, store) in means.stores {
        if aside.contains_key(location) {
            continue;
        }
        match store.read(&config()) {
            Ok(found) => match groups.iter_mut().find(|group| group.config == found) {
                Some(group) => group.locations.push(location.clone()),
                None => groups.push(Group {
                    config: found,
                    locations: vec![location.clone()],
                }),
            },
            Err(StoreError::NotFound { .. }) => {}
            Err(source) => {
                last = VaultError::Location {
                    location: location.clone(),
                    source,
                };
            }
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.locations.len()));
    (groups, last)
}

fn opener(keys: &[(MasterKey, Sealer)], config: &[u8]) -> Option<usize> {
    keys.iter()
        .position(|(_, sealer)| sealer.open(config).is_some())
}

/// One kid's password opens the repositories of all its plans, so a copied repository of another plan opens too. Ours is the
/// one that holds a recovery point of the catalog; before the first point, the one that most locations hold.
fn choose(
    means: &Means<'_>,
    groups: &[Group],
    opened_by: &[Option<usize>],
    keys: &[(MasterKey, Sealer)],
) -> Result<Option<usize>, VaultError> {
    let mut held: BTreeMap<usize, Vec<&LocationId>> = BTreeMap::new();
    for (group, by) in groups.iter().zip(opened_by) {
        if let Some(by) = by {
            held.entry(*by).or_default().extend(&group.locations);
        }
    }
    if held.len() < 2 {
        return Ok(held.keys().next().copied());
    }
    let is_ours = |by: usize, locations: &[&LocationId]| {
        let Some((_, sealer)) = keys.get(by) else {
            return false;
        };
        locations
            .iter()
            .filter_map(|location| means.stores.get(*location))
            .any(|store| {
                means
                    .known
                    .iter()
                    .any(|name| is_authentic_snapshot(store.as_ref(), sealer, name))
            })
    };
    let ours: Vec<usize> = held
        .iter()
        .filter(|(by, locations)| is_ours(**by, locations))
        .map(|(by, _)| *by)
        .collect();
    if let [one] = ours.as_slice() {
        return Ok(Some(*one));
    }
    let most = held.values().map(Vec::len).max().unwrap_or(0);
    let mut largest = held
        .iter()
        .filter(|(_, locations)| locations.len() == most)
        .map(|(by, _)| *by);
    match (largest.next(), largest.next()) {
        (Some(one), None) if means.known.is_empty() => Ok(Some(one)),
        _ => Err(VaultError::RepositoryDisputed {
            repository: means.repository.to_owned(),
        }),
    }
}

fn is_authentic_snapshot(store: &dyn Store, sealer: &Sealer, name: &str) -> bool {
    let object = Object {
        kind: Kind::Snapshot,
        name: name.to_owned(),
    };
    store
        .read(&object)
        .is_ok_and(|content| is_content_of(&object, &content) && sealer.open(&content).is_some())
}

/// What an object is to the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authenticity {
    /// Made by whoever holds the key.
    Ours,
    /// A key file for another password: no harm, and none of our business.
    ForeignKey,
    /// What its name forbids, or what our key does not open.
    Junk,
}

/// Judges a whole object.
pub(super) fn authenticity(
    sealer: &Sealer,
    password: &str,
    object: &Object,
    content: &[u8],
) -> Authenticity {
    if !is_content_of(object, content) {
        return Authenticity::Junk;
    }
    let opens = match object.kind {
        Kind::Index | Kind::Snapshot | Kind::Config | Kind::Lock => sealer.open(content).is_some(),
        Kind::Pack => header_of(content).is_some_and(|header| sealer.unseal(header).is_some()),
        Kind::Key => match repository::judge_key(content, password) {
            KeyFileIs::Ours(_) => true,
            KeyFileIs::Foreign => return Authenticity::ForeignKey,
            KeyFileIs::Junk => false,
        },
    };
    if opens {
        Authenticity::Ours
    } else {
        Authenticity::Junk
    }
}

/// A pack ends with its encrypted header and the header's length.
const HEADER_LENGTH: usize = 4;

fn header_of(pack: &[u8]) -> Option<&[u8]> {
    let (rest, length) = pack.split_last_chunk::<HEADER_LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.get(rest.len().checked_sub(length)?..)
}

/// What was found about objects that some locations lack.
#[derive(Default)]
pub(super) struct Sorted {
    /// Locations that hold junk.
    pub(super) damaged: BTreeMap<LocationId, LocationState>,
    /// Objects that nobody misses.
    pub(super) ignored: BTreeSet<Object>,
}

/// Proves objects that some locations hold and others lack: what is not ours must not make the others lag.
pub(super) fn sort_out(
    means: &Means<'_>,
    seen: &BTreeMap<LocationId, Seen>,
    aside: &BTreeMap<LocationId, LocationState>,
    sealer: &Sealer,
) -> Sorted {
    let mut sorted = Sorted::default();
    for (object, size) in lacking(seen, aside).into_iter().take(PROVEN_AT_A_LOOK) {
        for (location, store) in means.stores {
            let holds = matches!(seen.get(location), Some(Seen::Known(inventory))
                if inventory.objects.contains_key(&object));
            if !holds || aside.contains_key(location) || sorted.damaged.contains_key(location) {
                continue;
            }
            match inspect(means, store.as_ref(), sealer, &object, size) {
                Ok(Authenticity::Ours) => {}
                Ok(Authenticity::ForeignKey) => {
                    sorted.ignored.insert(object.clone());
                }
                Ok(Authenticity::Junk) => {
                    let why = format!("`{}` is not an object of this repository", object.path());
                    sorted
                        .damaged
                        .insert(location.clone(), LocationState::Quarantined { why });
                }
                Err(error) if error.is_damage() => {
                    let why = error.to_string();
                    sorted
                        .damaged
                        .insert(location.clone(), LocationState::Quarantined { why });
                }
                // It vanished or cannot be read now; copying tells.
                Err(_) => {}
            }
        }
    }
    sorted
}

/// Objects that at least one readable location lacks, small ones first.
fn lacking(
    seen: &BTreeMap<LocationId, Seen>,
    aside: &BTreeMap<LocationId, LocationState>,
) -> Vec<(Object, u64)> {
    let readable = || {
        seen.iter()
            .filter(|(location, _)| !aside.contains_key(*location))
            .filter_map(|(_, what)| match what {
                Seen::Known(inventory) => Some(Some(&inventory.objects)),
                Seen::Absent => Some(None),
                Seen::Damaged(_) | Seen::Unknown(_) => None,
            })
    };
    let mut objects: BTreeMap<&Object, u64> = BTreeMap::new();
    for held in readable().flatten() {
        objects.extend(held.iter().map(|(object, size)| (object, *size)));
    }
    let mut lacking: Vec<(Object, u64)> = objects
        .into_iter()
        .filter(|(object, _)| {
            readable().any(|held| held.is_none_or(|held| !held.contains_key(*object)))
        })
        .map(|(object, size)| (object.clone(), size))
        .collect();
    lacking.sort_by_key(|(object, size)| (object.kind == Kind::Pack, *size));
    lacking
}

/// Of a pack only the header is read: whether the rest is what the name says is proven when it is copied.
fn inspect(
    means: &Means<'_>,
    store: &dyn Store,
    sealer: &Sealer,
    object: &Object,
    size: u64,
) -> Result<Authenticity, StoreError> {
    if object.kind != Kind::Pack {
        let content = store.read(object)?;
        return Ok(authenticity(sealer, means.password, object, &content));
    }
    let Some(start) = size.checked_sub(HEADER_LENGTH as u64) else {
        return Ok(Authenticity::Junk);
    };
    let length = store.read_range(object, start..size)?;
    let length = length
        .first_chunk::<HEADER_LENGTH>()
        .map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    let Some(begin) = start.checked_sub(length) else {
        return Ok(Authenticity::Junk);
    };
    let header = store.read_range(object, begin..start)?;
    Ok(if sealer.unseal(&header).is_some() {
        Authenticity::Ours
    } else {
        Authenticity::Junk
    })
}
