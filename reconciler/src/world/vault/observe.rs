//! Owns what is known about the copies of a repository, and what follows from comparing them. Never writes.
//! The interesting function is [`compare`]: copies are in sync when names and sizes are equal, because every name except the
//! configuration's is the SHA-256 of the content.

use std::collections::{BTreeMap, BTreeSet};

use contract::digest::Digest;
use contract::id::LocationId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::store::{Kind, LASTING, Object, Store, StoreError};

/// How a location stands towards the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LocationState {
    /// It holds every object that any of them holds.
    InSync,
    /// It misses objects; it gets no index and no snapshot file before it has caught up.
    Lagging {
        /// Objects that it misses.
        missing: u64,
        /// Their bytes.
        bytes: u64,
        /// Why it fell behind, as far as this run knows.
        why: String,
    },
    /// Missing objects are being copied to it.
    CatchingUp,
    /// It holds something that its name forbids; a person must look.
    Quarantined {
        /// What was found.
        why: String,
    },
    /// No location has the repository yet.
    Absent,
    /// It could not be read; this authorises nothing.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl std::fmt::Display for LocationState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InSync => formatter.write_str("it is in sync"),
            Self::Lagging {
                missing,
                bytes,
                why,
            } => write!(
                formatter,
                "it lacks {missing} objects of {bytes} bytes: {why}"
            ),
            Self::CatchingUp => formatter.write_str("it is still being caught up"),
            Self::Quarantined { why } => write!(formatter, "it is quarantined: {why}"),
            Self::Absent => formatter.write_str("it has no repository"),
            Self::Unknown { why } => write!(formatter, "it cannot be read: {why}"),
        }
    }
}

/// What one look at one location gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Known(Inventory),
    Absent,
    /// It holds what cannot be an object.
    Damaged(String),
    Unknown(String),
}

/// The lasting objects of one copy, with sizes; digests for the few small ones that every copy must share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    pub(super) objects: BTreeMap<Object, u64>,
    pub(super) config: Option<Digest>,
}

/// One location in an [`Observation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationSeen {
    /// The location.
    pub location: LocationId,
    /// How it stands.
    pub state: LocationState,
    /// Lasting objects it holds; none when unknown.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshot files it holds, by id.
    pub snapshots: BTreeSet<String>,
}

/// All copies of one repository, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When the look ended.
    pub at: Timestamp,
    /// In the order of the plan.
    pub locations: Vec<LocationSeen>,
}

impl Observation {
    /// The locations that hold every object there is.
    pub fn in_sync(&self) -> impl Iterator<Item = &LocationId> {
        self.locations
            .iter()
            .filter(|seen| seen.state == LocationState::InSync)
            .map(|seen| &seen.location)
    }

    /// The locations that catching up would bring forward.
    pub fn lagging(&self) -> impl Iterator<Item = &LocationId> {
        self.locations
            .iter()
            .filter(|seen| matches!(seen.state, LocationState::Lagging { .. }))
            .map(|seen| &seen.location)
    }
}

/// Lists one copy. Objects that vanish between list and read make it unknown: it is changing under our eyes.
pub(super) fn look(store: &dyn Store) -> Seen {
    let mut inventory = Inventory::default();
    for kind in LASTING {
        match store.list(kind) {
            Ok(found) => inventory.objects.extend(
                found
                    .into_iter()
                    .map(|(name, size)| (Object { kind, name }, size)),
            ),
            Err(error) => return unseen(&error),
        }
    }
    if inventory.objects.is_empty() {
        return Seen::Absent;
    }
    let config = config();
    if inventory.objects.contains_key(&config) {
        match store.read(&config) {
            Ok(content) => inventory.config = Some(Digest::of(&content)),
            Err(error) => return unseen(&error),
        }
    }
    Seen::Known(inventory)
}

fn unseen(error: &StoreError) -> Seen {
    if error.is_damage() {
        Seen::Damaged(error.to_string())
    } else {
        Seen::Unknown(error.to_string())
    }
}

/// Whether locations hold different configurations.
pub(super) fn configs_differ(
    seen: &BTreeMap<LocationId, Seen>,
    aside: &BTreeMap<LocationId, LocationState>,
) -> bool {
    let mut configs = seen
        .iter()
        .filter(|(location, _)| !aside.contains_key(*location))
        .filter_map(|(_, what)| match what {
            Seen::Known(inventory) => inventory.config,
            Seen::Absent | Seen::Damaged(_) | Seen::Unknown(_) => None,
        });
    let first = configs.next();
    configs.any(|config| Some(config) != first)
}

/// The configuration's name.
pub(super) fn config() -> Object {
    Object {
        kind: Kind::Config,
        name: String::new(),
    }
}

/// True when the content is what the name promises. The configuration's name promises nothing.
pub(super) fn is_content_of(object: &Object, content: &[u8]) -> bool {
    object.kind == Kind::Config || Digest::of(content).to_string() == object.name
}

/// What comparing gave for one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) state: LocationState,
    /// Objects that others hold and it does not, with sizes.
    pub(super) missing: BTreeMap<Object, u64>,
}

/// Compares copies by names and sizes. `aside` names locations that add nothing to the truth, and how they stand; `ignored`
/// names objects that nobody misses. An object that any other copy holds belongs to the repository, so the truth is the union.
pub(super) fn compare(
    seen: &BTreeMap<LocationId, Seen>,
    aside: &BTreeMap<LocationId, LocationState>,
    ignored: &BTreeSet<Object>,
) -> BTreeMap<LocationId, Compared> {
    let mut union: BTreeMap<&Object, u64> = BTreeMap::new();
    for (location, what) in seen {
        if let (Seen::Known(inventory), false) = (what, aside.contains_key(location)) {
            union.extend(
                inventory
                    .objects
                    .iter()
                    .filter(|(object, _)| !ignored.contains(*object))
                    .map(|(object, size)| (object, *size)),
            );
        }
    }
    let alone = |state| Compared {
        state,
        missing: BTreeMap::new(),
    };
    seen.iter()
        .map(|(location, what)| {
            let compared = match (aside.get(location), what) {
                (Some(state), _) => alone(state.clone()),
                (None, Seen::Damaged(why)) => {
                    alone(LocationState::Quarantined { why: why.clone() })
                }
                (None, Seen::Unknown(why)) => alone(LocationState::Unknown { why: why.clone() }),
                (None, Seen::Absent) if union.is_empty() => alone(LocationState::Absent),
                (None, Seen::Absent) => behind(&union, &BTreeMap::new(), "it holds nothing yet"),
                (None, Seen::Known(inventory)) => {
                    behind(&union, &inventory.objects, "objects are missing")
                }
            };
            (location.clone(), compared)
        })
        .collect()
}

fn behind(union: &BTreeMap<&Object, u64>, held: &BTreeMap<Object, u64>, why: &str) -> Compared {
    let missing: BTreeMap<Object, u64> = union
        .iter()
        .filter(|(object, _)| !held.contains_key(**object))
        .map(|(object, size)| ((*object).clone(), *size))
        .collect();
    let state = if missing.is_empty() {
        LocationState::InSync
    } else {
        LocationState::Lagging {
            missing: missing.len() as u64,
            bytes: missing.values().sum(),
            why: why.to_owned(),
        }
    };
    Compared { state, missing }
}

/// Objects that two copies hold with different sizes: at most one of them can be right, and reading tells which.
pub(super) fn disputed(seen: &BTreeMap<LocationId, Seen>) -> BTreeSet<Object> {
    let mut sizes: BTreeMap<&Object, u64> = BTreeMap::new();
    let mut disputed = BTreeSet::new();
    for what in seen.values() {
        if let Seen::Known(inventory) = what {
            for (object, size) in &inventory.objects {
                if *sizes.entry(object).or_insert(*size) != *size && object.kind != Kind::Config {
                    disputed.insert(object.clone());
                }
            }
        }
    }
    disputed
}

/// Reads the disputed objects and says which copies are damaged.
pub(super) fn settle(
    stores: &BTreeMap<LocationId, std::sync::Arc<dyn Store>>,
    seen: &BTreeMap<LocationId, Seen>,
) -> BTreeMap<LocationId, LocationState> {
    let mut damaged = BTreeMap::new();
    for object in disputed(seen) {
        for (location, store) in stores {
            let holds = matches!(seen.get(location), Some(Seen::Known(inventory))
                if inventory.objects.contains_key(&object));
            if !holds {
                continue;
            }
            let state = match store.read(&object) {
                Ok(content) if is_content_of(&object, &content) => continue,
                Ok(_) => {
                    let error = StoreError::Damaged {
                        place: store.place(),
                        object: object.path(),
                    };
                    let why = error.to_string();
                    LocationState::Quarantined { why }
                }
                Err(error) if error.is_damage() => LocationState::Quarantined {
                    why: error.to_string(),
                },
                Err(error) => LocationState::Unknown {
                    why: error.to_string(),
                },
            };
            damaged.insert(location.clone(), state);
        }
    }
    damaged
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn copy(config: &str, packs: &[(&str, u64)]) -> Seen {
        let mut objects: BTreeMap<Object, u64> = packs
            .iter()
            .map(|(name, size)| {
                let object = Object {
                    kind: Kind::Pack,
                    name: (*name).to_owned(),
                };
                (object, *size)
            })
            .collect();
        objects.insert(super::config(), 100);
        Seen::Known(Inventory {
            objects,
            config: Some(Digest::of(config.as_bytes())),
        })
    }

    fn check(copies: Vec<Seen>) -> String {
        check_without(copies, &[])
    }

    /// One word a location, `+` for each missing object.
    fn check_without(copies: Vec<Seen>, aside: &[&str]) -> String {
        let aside = aside
            .iter()
            .map(|name| {
                let why = String::new();
                (name.parse().unwrap(), LocationState::Quarantined { why })
            })
            .collect();
        let seen: BTreeMap<LocationId, Seen> = ["a", "b", "c", "d"]
            .iter()
            .zip(copies)
            .map(|(name, copy)| (name.parse().unwrap(), copy))
            .collect();
        let words: Vec<String> = compare(&seen, &aside, &BTreeSet::new())
            .into_values()
            .map(|compared| match compared.state {
                LocationState::InSync => "sync".to_owned(),
                LocationState::Lagging { missing, bytes, .. } => format!("lag{missing}:{bytes}"),
                LocationState::CatchingUp => "catching".to_owned(),
                LocationState::Quarantined { .. } => "quarantined".to_owned(),
                LocationState::Absent => "absent".to_owned(),
                LocationState::Unknown { .. } => "unknown".to_owned(),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_truth_is_the_union_of_sound_copies() {
        let full = copy("r", &[("p1", 5), ("p2", 7)]);
        let dark = || Seen::Unknown("dark".to_owned());
        assert_eq!(check(vec![full.clone(), full.clone()]), "sync sync");
        assert_eq!(
            check(vec![full.clone(), copy("r", &[("p1", 5)])]),
            "sync lag1:7"
        );
        // After a run that was killed, each may hold what the other lacks.
        let (one, other) = (copy("r", &[("p1", 5)]), copy("r", &[("p2", 7)]));
        assert_eq!(check(vec![one, other]), "lag1:7 lag1:5");
        assert_eq!(check(vec![full.clone(), Seen::Absent]), "sync lag3:112");
        assert_eq!(check(vec![Seen::Absent, Seen::Absent]), "absent absent");
        assert_eq!(check(vec![Seen::Absent, dark()]), "absent unknown");
        assert_eq!(check(vec![full, dark()]), "sync unknown");
    }

    #[test]
    fn a_stranger_is_set_aside_and_adds_nothing_to_the_truth() {
        let ours = copy("r", &[("p1", 5)]);
        let stranger = copy("s", &[("p9", 9)]);
        assert_eq!(
            check_without(vec![ours.clone(), stranger, ours], &["b"]),
            "sync quarantined sync"
        );
    }

    #[test]
    fn different_configurations_are_noticed_and_not_voted_on() {
        let seen = |configs: &[&str]| -> BTreeMap<LocationId, Seen> {
            ["a", "b", "c"]
                .iter()
                .zip(configs)
                .map(|(name, config)| (name.parse().unwrap(), copy(config, &[])))
                .collect()
        };
        let none = BTreeMap::new();
        assert!(!configs_differ(&seen(&["r", "r"]), &none));
        assert!(configs_differ(&seen(&["r", "r", "s"]), &none));
        let c = "c".parse().unwrap();
        let state = LocationState::Absent;
        assert!(!configs_differ(
            &seen(&["r", "r", "s"]),
            &BTreeMap::from([(c, state)])
        ));
    }
}
