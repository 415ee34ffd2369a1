//! The vault: repositories in restic's format, one for each plan and key, written to all locations of the plan in one pass.
//! Owns how recovery points come to be, how they are read back and how they are removed. Never decides which or when: schedules,
//! retention and approvals belong to others. Calls block; give them a thread.
//!
//! [`Vault`] is the entry: [`Vault::backup`], [`Vault::observe`], [`Vault::catch_up`], [`Vault::snapshots`],
//! [`Vault::check`], [`Vault::restore`], [`Vault::prune`]. The gate that makes a partial backup invisible is in `backup`, the barrier that
//! orders packs, index and snapshot in `mirror`.

mod backup;
mod bucket;
mod catch_up;
mod check;
mod derived;
mod error;
mod job;
mod lock;
mod mirror;
mod objects;
mod observe;
mod pace;
mod parent;
mod patience;
mod proof;
mod prune;
mod reader;
mod repository;
mod room;
mod snapshots;
mod source;
mod store;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use contract::id::{EnvironmentId, Kid, LocationId, PlanId};
use jiff::Timestamp;
use rustic_core::repofile::MasterKey;
use zeroize::Zeroizing;

pub use backup::{BackupOutcome, BackupRequest, Expect, LocationOutcome, PointTags};
pub use bucket::read_mark_in;
pub use catch_up::{CatchUp, CaughtUp};
pub use check::{Checked, Reading};
pub use derived::{Derived, all_derived, derived, learn};
pub use error::VaultError;
pub use job::{Done, Hands, Job, Order, Portion, Restore, Restored};
pub use mirror::Ledger;
pub use objects::read_mark;
pub use observe::{LocationSeen, LocationState, Observation};
pub use parent::{RestoreOutcome, RestoreRequest};
pub use prune::{PruneRequest, Pruned};
pub use snapshots::{AllSnapshots, SnapshotInfo, SnapshotList};
pub use source::{Source, SourceCount};
pub use store::{
    DEFAULT_PATIENCE, Kind, LocationBucket, LocationFolder, MARK_FILE, Mark, Object, Place, Store,
    StoreError,
};

use lock::Sealer;
use mirror::{Mirror, lock as guard};
use observe::{Compared, Seen};
use trust::Doubted;

use crate::progress::Gauge;

/// One repository at all locations of its plan.
pub struct Vault {
    repository: String,
    places: BTreeMap<LocationId, Place>,
    stores: BTreeMap<LocationId, Arc<dyn Store>>,
    aside: BTreeMap<LocationId, LocationState>,
    known: BTreeSet<String>,
    damaged: BTreeMap<LocationId, BTreeSet<String>>,
    password: Zeroizing<String>,
    /// Deriving it from the password costs a third of a second on purpose, so it is kept.
    key: Mutex<Option<MasterKey>>,
    /// Counts what is done.
    gauge: Arc<Gauge>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Vault")
            .field("repository", &self.repository)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// Names a repository below each location: `<environment>/<plan_id>/<kid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    /// The environment.
    pub environment: EnvironmentId,
    /// The plan.
    pub plan: PlanId,
    /// The key; another key is another repository.
    pub kid: Kid,
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.environment, self.plan, self.kid)
    }
}

impl Vault {
    /// Binds a repository to its locations. Touches nothing yet. `key` is the content of the key source: text on one line.
    ///
    /// # Errors
    /// [`VaultError::KeyUnusable`].
    pub fn new(
        name: &RepositoryName,
        places: BTreeMap<LocationId, Place>,
        key: &[u8],
    ) -> Result<Self, VaultError> {
        let repository = name.to_string();
        let password = repository::password(&repository, key)?;
        Ok(Self::at(repository, places, password))
    }

    fn at(
        repository: String,
        places: BTreeMap<LocationId, Place>,
        password: Zeroizing<String>,
    ) -> Self {
        let stores = places
            .iter()
            .map(|(location, place)| (location.clone(), place.store(&repository)))
            .collect();
        Self {
            password,
            repository,
            places,
            stores,
            aside: BTreeMap::new(),
            known: BTreeSet::new(),
            damaged: BTreeMap::new(),
            key: Mutex::new(None),
            gauge: Arc::default(),
        }
    }

    /// Replaces the storage of one location, for storage that is reached in another way.
    pub fn set_store(&mut self, location: LocationId, store: Arc<dyn Store>) {
        self.stores.insert(location, store);
    }

    /// Sets a location aside because of damage that was found elsewhere, for example by [`Vault::check`]: it gets nothing and
    /// serves nothing.
    pub fn quarantine(&mut self, location: LocationId, why: String) {
        self.set_aside(location, LocationState::Quarantined { why });
    }

    /// The same with any state: what is not known of a location, and what stands against it, is told by it.
    pub fn set_aside(&mut self, location: LocationId, state: LocationState) {
        self.aside.insert(location, state);
    }

    /// Lets what backups and copies do be counted by this.
    pub fn count_with(&mut self, gauge: Arc<Gauge>) {
        self.gauge = gauge;
    }

    /// Names snapshots that the catalog knows, 64 hex digits each. When locations hold different repositories, ours is the one
    /// with such a snapshot.
    pub fn expect_snapshots(&mut self, known: BTreeSet<String>) {
        self.known = known;
    }

    /// Names objects that are known to be damaged, by location and path. They count as absent: they are neither read nor
    /// believed, and a sound copy replaces them when the location catches up.
    pub fn distrust(&mut self, damaged: &BTreeMap<LocationId, BTreeSet<String>>) {
        for (location, paths) in damaged {
            if let Some(store) = self.stores.get_mut(location) {
                *store = Arc::new(Doubted::new(Arc::clone(store), paths));
                self.damaged.insert(location.clone(), paths.clone());
            }
        }
    }

    /// Lists all locations and compares them. Reads only.
    pub fn observe(&self) -> Observation {
        let seen = self.look();
        let compared = self.judge(&seen);
        let locations = compared
            .into_iter()
            .map(|(location, compared)| {
                let held = match seen.get(&location) {
                    Some(Seen::Known(inventory)) => Some(&inventory.objects),
                    Some(Seen::Absent | Seen::Damaged(_) | Seen::Unknown(_)) | None => None,
                };
                LocationSeen {
                    location,
                    state: compared.state,
                    objects: held.map_or(0, |held| held.len() as u64),
                    bytes: held.map_or(0, |held| held.values().sum()),
                    snapshots: held
                        .into_iter()
                        .flat_map(BTreeMap::keys)
                        .filter(|object| object.kind == Kind::Snapshot)
                        .map(|object| object.name.clone())
                        .collect(),
                }
            })
            .collect();
        Observation {
            at: Timestamp::now(),
            locations,
        }
    }

    /// Takes one recovery point. `verdict` is asked after the source has been read to its end and before anything becomes
    /// visible; it says whether the source itself ended well.
    ///
    /// # Errors
    /// Every error but [`VaultError::CommitIncomplete`] means that no location shows a new recovery point.
    pub fn backup(
        &self,
        request: &BackupRequest,
        mut verdict: impl FnMut(&SourceCount) -> Result<(), String>,
    ) -> Result<BackupOutcome, VaultError> {
        backup::run(self, request, &mut verdict)
    }

    /// Copies to each lagging location what it misses. A location that cannot be brought forward stays lagging and says why.
    ///
    /// # Errors
    /// When no location can be read with the key, or another program holds one exclusively.
    pub fn catch_up(&self) -> Result<CatchUp, VaultError> {
        catch_up::run(self)
    }

    /// Removes snapshots, and what nothing needs any more, at all locations.
    ///
    /// # Errors
    /// [`VaultError::NotDeleted`] where it is not certain that every other recovery point stays whole everywhere. Whatever fails, no
    /// recovery point but those that were named is lost at any location.
    pub fn prune(&self, request: &PruneRequest) -> Result<Pruned, VaultError> {
        prune::run(self, request)
    }

    /// The recovery points of one location.
    ///
    /// # Errors
    /// When the location cannot be listed or no key file opens.
    pub fn snapshots(&self, location: &LocationId) -> Result<SnapshotList, VaultError> {
        let store = self.store(location)?;
        let sealer = match self.sealer() {
            Err(VaultError::RepositoryAbsent { .. }) => {
                return Ok(SnapshotList::default());
            }
            other => other?,
        };
        snapshots::list(store.as_ref(), &sealer).map_err(|source| VaultError::Location {
            location: location.clone(),
            source,
        })
    }

    /// The recovery points of all locations together, each with the locations that have it.
    ///
    /// # Errors
    /// When no key file opens.
    pub fn all_snapshots(&self) -> Result<AllSnapshots, VaultError> {
        let mut all = AllSnapshots::default();
        let mut points: BTreeMap<(Timestamp, String), (SnapshotInfo, Vec<LocationId>)> =
            BTreeMap::new();
        for location in self.stores.keys() {
            if let Some(state) = self.aside.get(location) {
                all.unknown
                    .insert(location.clone(), backup::describe(state));
                continue;
            }
            match self.snapshots(location) {
                Ok(list) => {
                    for info in list.snapshots {
                        points
                            .entry((info.time, info.snapshot_id.clone()))
                            .or_insert_with(|| (info, Vec::new()))
                            .1
                            .push(location.clone());
                    }
                    if !list.damaged.is_empty() {
                        all.damaged.insert(location.clone(), list.damaged);
                    }
                }
                Err(error @ (VaultError::Location { .. } | VaultError::Storage { .. })) => {
                    all.unknown.insert(location.clone(), chain(&error));
                }
                Err(error) => return Err(error),
            }
        }
        all.points = points.into_values().collect();
        Ok(all)
    }

    /// Checks one location in another process: structure, names against content, and a portion of the packs to the last byte.
    ///
    /// # Errors
    /// When the check itself could not be done; damage is no error but a finding.
    pub fn check(
        &self,
        location: &LocationId,
        reading: impl Into<Reading>,
        hands: &dyn Hands,
    ) -> Result<Checked, VaultError> {
        parent::check(self, location, reading.into(), hands)
    }

    /// Says in another process which recovery points of a location need an object, those that are broken without it by what is known to be
    /// damaged among them.
    ///
    /// # Errors
    /// When the location cannot be read.
    pub fn impact(
        &self,
        location: &LocationId,
        object: &str,
        hands: &dyn Hands,
    ) -> Result<Checked, VaultError> {
        parent::impact(self, location, object, hands)
    }

    /// Restores one dataset of a snapshot into an empty folder, in another process, and reads everything again to compare.
    /// Locations are tried in turn until one serves.
    ///
    /// # Errors
    /// [`VaultError::RestoreFailed`] when none did; the target then holds unusable content.
    pub fn restore(
        &self,
        request: &RestoreRequest,
        hands: &dyn Hands,
    ) -> Result<RestoreOutcome, VaultError> {
        parent::restore(self, request, hands)
    }

    /// Does one job in this process, and counts what is done.
    ///
    /// # Errors
    /// As [`Hands::perform`].
    pub fn perform(order: &Order, gauge: &Arc<Gauge>) -> Result<Done, VaultError> {
        learn(order.derived.clone());
        job::perform(order, gauge)
    }

    fn store(&self, location: &LocationId) -> Result<&Arc<dyn Store>, VaultError> {
        self.stores
            .get(location)
            .ok_or_else(|| VaultError::Request {
                why: format!("`{location}` is no location of this repository"),
            })
    }

    /// Every location that is not set aside.
    fn usable_stores(&self) -> Vec<(LocationId, Arc<dyn Store>)> {
        self.stores
            .iter()
            .filter(|(location, _)| !self.aside.contains_key(*location))
            .map(|(location, store)| (location.clone(), Arc::clone(store)))
            .collect()
    }

    fn look(&self) -> BTreeMap<LocationId, Seen> {
        std::thread::scope(|scope| {
            let looks: Vec<_> = self
                .stores
                .iter()
                .map(|(location, store)| {
                    let look = || match self.aside.get(location) {
                        // It may hang, and whatever is there adds nothing.
                        Some(state) => Seen::Unknown(backup::describe(state)),
                        None => observe::look(store.as_ref()),
                    };
                    (location.clone(), scope.spawn(look))
                })
                .collect();
            looks
                .into_iter()
                .map(|(location, look)| {
                    let seen = look
                        .join()
                        .unwrap_or_else(|_| Seen::Unknown("its listing panicked".to_owned()));
                    (location, seen)
                })
                .collect()
        })
    }

    fn judge(&self, seen: &BTreeMap<LocationId, Seen>) -> BTreeMap<LocationId, Compared> {
        self.judge_without(seen, &BTreeMap::new())
    }

    /// `damaged` names locations whose content was read and is wrong.
    fn judge_without(
        &self,
        seen: &BTreeMap<LocationId, Seen>,
        damaged: &BTreeMap<LocationId, String>,
    ) -> BTreeMap<LocationId, Compared> {
        let mut aside = observe::settle(&self.stores, seen);
        aside.extend(damaged.iter().map(|(location, why)| {
            let why = why.clone();
            (location.clone(), LocationState::Quarantined { why })
        }));
        aside.extend(self.aside.clone());
        let differ = observe::configs_differ(seen, &aside);
        let incomplete = observe::compare(seen, &aside, &BTreeSet::new())
            .values()
            .any(|compared| !compared.missing.is_empty());
        if !differ && !incomplete {
            return observe::compare(seen, &aside, &BTreeSet::new());
        }
        let means = self.means();
        let known = guard(&self.key).clone();
        let proof = match proof::prove(&means, &aside, known) {
            Ok(proof) => proof,
            Err(error) => {
                // Nobody can say which of them is right.
                if differ {
                    for (location, what) in seen {
                        if matches!(what, Seen::Known(_)) {
                            let why = chain(&error);
                            let state = LocationState::Quarantined { why };
                            aside.entry(location.clone()).or_insert(state);
                        }
                    }
                }
                return observe::compare(seen, &aside, &BTreeSet::new());
            }
        };
        *guard(&self.key) = Some(proof.key.clone());
        aside.extend(proof.foreign);
        let Some(sealer) = Sealer::new(&proof.key) else {
            return observe::compare(seen, &aside, &BTreeSet::new());
        };
        let sorted = proof::sort_out(&means, seen, &aside, &sealer);
        aside.extend(sorted.damaged);
        observe::compare(seen, &aside, &sorted.ignored)
    }

    fn means(&self) -> proof::Means<'_> {
        proof::Means {
            stores: &self.stores,
            password: &self.password,
            repository: &self.repository,
            known: &self.known,
        }
    }

    fn compare(&self) -> BTreeMap<LocationId, Compared> {
        self.judge(&self.look())
    }

    /// True for a location that has no repository while no location has one: nothing at all, or key files of an
    /// initialisation that was interrupted.
    fn may_initialise(&self, location: &LocationId, all: &BTreeMap<LocationId, Compared>) -> bool {
        let blank = |location: &LocationId| {
            self.stores
                .get(location)
                .is_some_and(|store| backup::only_keys(store.as_ref()))
        };
        // What somebody planted must not keep the others from being used; only what may be a repository does.
        let in_the_way = |location: &LocationId, state: &LocationState| match state {
            LocationState::InSync
            | LocationState::Lagging { .. }
            | LocationState::CatchingUp
            | LocationState::Quarantined { .. } => {
                !self.aside.contains_key(location)
                    && !blank(location)
                    && self.stores.get(location).is_some_and(|store| {
                        repository::may_be_at(store.as_ref(), &self.password, &self.repository)
                    })
            }
            LocationState::Absent | LocationState::Unknown { .. } => false,
        };
        let others_blank = !all
            .iter()
            .any(|(other, seen)| in_the_way(other, &seen.state));
        let unknown = all.get(location).is_none_or(|seen| {
            matches!(
                seen.state,
                LocationState::Unknown { .. } | LocationState::Quarantined { .. }
            )
        });
        others_blank && !unknown && blank(location)
    }

    fn initialise(&self, locations: &[LocationId], commit: usize) -> Result<(), VaultError> {
        let mut stores = Vec::new();
        let mut existing: Option<repository::KeyFound> = None;
        for location in locations {
            let Some(store) = self.stores.get(location) else {
                continue;
            };
            match repository::master_key(store.as_ref(), &self.password, &self.repository) {
                Ok(found) => existing = existing.or(found),
                Err(error) => {
                    tracing::warn!(event = "location_failed", %location, error = %chain(&error), "its key files cannot be used; no repository is made there");
                    continue;
                }
            }
            stores.push((location.clone(), Arc::clone(store)));
        }
        if stores.len() < commit.max(1) {
            return Err(VaultError::QuorumNotMet {
                usable: stores.len(),
                wanted: commit.max(1),
                why: "the key files at the other locations cannot be used".to_owned(),
            });
        }
        let mirror = Mirror::start(stores, commit, &self.gauge);
        if let Some(found) = &existing {
            mirror.write_everywhere(&found.object, std::slice::from_ref(&found.content));
        }
        let backend: Arc<dyn rustic_core::WriteBackend> = Arc::<Mirror>::clone(&mirror);
        let key = existing.map(|found| found.key);
        let made = repository::initialise(&backend, key, &self.password);
        mirror.finish();
        *guard(&self.key) = Some(made?);
        Ok(())
    }

    /// Whether some location has the repository; fails where the key opens it at none of those.
    pub fn opens(&self) -> Result<bool, VaultError> {
        match self.key() {
            Ok(_) => Ok(true),
            Err(VaultError::RepositoryAbsent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The master key: the one whose configuration it opens. A location that is set aside is not asked.
    fn key(&self) -> Result<MasterKey, VaultError> {
        if let Some(key) = guard(&self.key).as_ref() {
            return Ok(key.clone());
        }
        let key = proof::prove(&self.means(), &self.aside, None)?.key;
        *guard(&self.key) = Some(key.clone());
        Ok(key)
    }

    fn sealer(&self) -> Result<Sealer, VaultError> {
        Sealer::new(&self.key()?).ok_or_else(|| VaultError::Engine {
            doing: "reading key files".to_owned(),
            why: "the master key has an odd length".to_owned(),
        })
    }
}

/// The whole chain of an error in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        text.push_str(": ");
        text.push_str(&at.to_string());
        cause = at.source();
    }
    text
}
