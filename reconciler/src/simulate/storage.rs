//! Owns what the repositories of a simulation hold: objects at locations, written and removed one by one as the vault does.
//! The interesting function is [`Storage::compare`].

use std::collections::{BTreeMap, BTreeSet};

use contract::id::{LocationId, PlanId};

use crate::worker::Access;
use crate::world::vault::{
    AllSnapshots, Checked, Kind, LocationSeen, LocationState, Object, Portion, SnapshotInfo,
};

/// Bytes of every object.
pub(super) const OBJECT_BYTES: u64 = 1_000;

/// The locations, and what each holds of the repository of each plan.
#[derive(Debug, Default)]
pub(super) struct Storage {
    held: BTreeMap<(PlanId, LocationId), Held>,
    /// Every snapshot that was ever made, by its plan.
    pub(super) snapshots: BTreeMap<PlanId, BTreeMap<String, Snapshot>>,
}

/// What a location holds of one repository.
#[derive(Debug, Default)]
struct Held {
    /// Paths, each with the second at which it was written.
    objects: BTreeMap<String, u64>,
    rotten: BTreeSet<String>,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) info: SnapshotInfo,
    /// Its packs, those that it shares with the snapshot before among them.
    pub(super) packs: BTreeSet<String>,
}

impl Snapshot {
    pub(super) fn path(&self) -> String {
        let name = self.info.snapshot_id.clone();
        path(Kind::Snapshot, name)
    }
}

pub(super) fn path(kind: Kind, name: String) -> String {
    Object { kind, name }.path()
}

/// How a location answers now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// With what it holds.
    Truly,
    /// With what it held at a second.
    AsOf(u64),
    /// As if it held nothing.
    Empty,
    /// With errors.
    Fails,
    /// Not at all.
    Hangs,
}

impl Answers {
    pub(super) const fn is_reachable(self) -> bool {
        !matches!(self, Self::Fails | Self::Hangs)
    }

    const fn why_not(self) -> &'static str {
        match self {
            Self::Hangs => "it does not answer",
            Self::Truly | Self::AsOf(_) | Self::Empty | Self::Fails => "input/output error",
        }
    }
}

/// How each location stands, by what it shows.
pub(super) type Compared = BTreeMap<LocationId, (LocationState, BTreeSet<String>)>;

impl Storage {
    fn held(&self, plan: &PlanId, location: &LocationId) -> Option<&Held> {
        self.held.get(&(plan.clone(), location.clone()))
    }

    pub(super) fn write(&mut self, plan: &PlanId, location: &LocationId, path: &str, now: u64) {
        let key = (plan.clone(), location.clone());
        let held = self.held.entry(key).or_default();
        held.objects.entry(path.to_owned()).or_insert(now);
        held.rotten.remove(path);
    }

    pub(super) fn remove(&mut self, plan: &PlanId, location: &LocationId, path: &str) {
        if let Some(held) = self.held.get_mut(&(plan.clone(), location.clone())) {
            held.objects.remove(path);
            held.rotten.remove(path);
        }
    }

    /// Packs that no snapshot needs but those that go.
    pub(super) fn unneeded(&self, plan: &PlanId, going: &BTreeSet<String>) -> BTreeSet<String> {
        let made = self.snapshots.get(plan).into_iter().flatten();
        let is_held = |snapshot: &Snapshot| {
            let here = self.held.iter().filter(|((of, _), _)| of == plan);
            here.into_iter()
                .any(|(_, held)| held.objects.contains_key(&snapshot.path()))
        };
        let (going, staying): (Vec<_>, Vec<_>) = made
            .filter(|(id, snapshot)| going.contains(*id) || is_held(snapshot))
            .partition(|(id, _)| going.contains(*id));
        let packs = |of: Vec<(&String, &Snapshot)>| -> BTreeSet<String> {
            of.into_iter()
                .flat_map(|(_, it)| it.packs.clone())
                .collect()
        };
        let staying = packs(staying);
        let mut unneeded = packs(going);
        unneeded.retain(|pack| !staying.contains(pack));
        unneeded
    }

    /// Lets an object at a location rot, where it holds any: the one in the middle of its names, so that it is the same one each time.
    pub(super) fn rot(&mut self, location: &LocationId) {
        let mut all = self.held.iter_mut().filter(|((_, at), _)| at == location);
        let Some((_, held)) = all.find(|(_, held)| held.packs().next().is_some()) else {
            return;
        };
        let packs: Vec<String> = held.packs().cloned().collect();
        if let Some(pack) = packs.get(packs.len() / 2) {
            held.rotten.insert(pack.clone());
        }
    }

    /// What a location shows when it is listed; the reason when it shows nothing.
    fn shown(
        &self,
        access: &Access,
        location: &LocationId,
        answers: Answers,
    ) -> Result<BTreeSet<String>, LocationState> {
        if let Some(state) = access.aside.get(location) {
            return Err(state.clone());
        }
        // What was written until then is shown.
        let until = match answers {
            Answers::Truly => Some(u64::MAX),
            Answers::AsOf(second) => Some(second),
            Answers::Empty => None,
            Answers::Fails | Answers::Hangs => {
                let why = answers.why_not().to_owned();
                return Err(LocationState::Unknown { why });
            }
        };
        let damaged = access.damaged.get(location);
        let held = self.held(&access.plan, location).into_iter();
        let objects = held.flat_map(|held| &held.objects);
        let shown = objects
            .filter(|(_, written)| until.is_some_and(|until| **written <= until))
            .map(|(path, _)| path)
            .filter(|path| damaged.is_none_or(|damaged| !damaged.contains(*path)));
        Ok(shown.cloned().collect())
    }

    /// Lists the locations of a repository and compares them.
    pub(super) fn compare(
        &self,
        access: &Access,
        answers: impl Fn(&LocationId) -> Answers,
    ) -> Compared {
        let shown: BTreeMap<&LocationId, _> = access
            .places
            .keys()
            .map(|id| (id, self.shown(access, id, answers(id))))
            .collect();
        let live: BTreeSet<&String> = shown.values().flatten().flatten().collect();
        let state = |shown: &Result<BTreeSet<String>, LocationState>| match shown {
            Err(state) => (state.clone(), BTreeSet::new()),
            Ok(_) if live.is_empty() => (LocationState::Absent, BTreeSet::new()),
            Ok(held) => {
                let missing = live.iter().filter(|path| !held.contains(**path)).count() as u64;
                let state = if missing == 0 {
                    LocationState::InSync
                } else {
                    LocationState::Lagging {
                        missing,
                        bytes: missing * OBJECT_BYTES,
                        why: "it misses objects".to_owned(),
                    }
                };
                (state, held.clone())
            }
        };
        let all = shown
            .iter()
            .map(|(id, shown)| ((*id).clone(), state(shown)));
        all.collect()
    }

    /// The same in the words of the vault.
    pub(super) fn seen(compared: Compared) -> Vec<LocationSeen> {
        let seen = |(location, (state, held)): (LocationId, (LocationState, BTreeSet<String>))| {
            let objects = held.len() as u64;
            LocationSeen {
                location,
                state,
                objects,
                bytes: objects * OBJECT_BYTES,
                snapshots: snapshots_in(&held),
            }
        };
        compared.into_iter().map(seen).collect()
    }

    /// The recovery points of all locations.
    pub(super) fn all_snapshots(&self, plan: &PlanId, compared: &Compared) -> AllSnapshots {
        let mut all = AllSnapshots::default();
        for (location, (state, _)) in compared {
            if let LocationState::Unknown { why } | LocationState::Quarantined { why } = state {
                all.unknown.insert(location.clone(), why.clone());
            }
        }
        let made = self
            .snapshots
            .get(plan)
            .into_iter()
            .flat_map(BTreeMap::values);
        let mut made: Vec<&Snapshot> = made.collect();
        made.sort_by_key(|one| (one.info.time, one.info.snapshot_id.clone()));
        for snapshot in made {
            let path = snapshot.path();
            let holding = compared
                .iter()
                .filter(|(_, (_, held))| held.contains(&path));
            let at: Vec<LocationId> = holding.map(|(id, _)| id.clone()).collect();
            if !at.is_empty() {
                all.points.push((snapshot.info.clone(), at));
            }
        }
        all
    }

    /// Objects that others show and a location misses, those of snapshots last.
    pub(super) fn missing(compared: &Compared, location: &LocationId) -> Vec<String> {
        let held = compared.get(location).map(|(_, held)| held);
        let live: BTreeSet<&String> = compared.values().flat_map(|(_, held)| held).collect();
        let mut missing: Vec<String> = live
            .into_iter()
            .filter(|path| held.is_none_or(|held| !held.contains(*path)))
            .cloned()
            .collect();
        missing.sort_by_key(|path| (is_snapshot(path), path.clone()));
        missing
    }

    /// Whether an object can be copied from some location that shows it.
    pub(super) fn is_sound_somewhere(
        &self,
        plan: &PlanId,
        compared: &Compared,
        path: &str,
    ) -> bool {
        compared.iter().any(|(location, (_, held))| {
            let rotten = self.held(plan, location).map(|held| &held.rotten);
            held.contains(path) && rotten.is_none_or(|rotten| !rotten.contains(path))
        })
    }

    /// What reading packs of one location shows. None when the repository is not there.
    pub(super) fn check(
        &self,
        access: &Access,
        location: &LocationId,
        read: &[String],
        through: Option<String>,
    ) -> Option<Checked> {
        let held = self.held(&access.plan, location)?;
        let known = access.damaged.get(location).cloned().unwrap_or_default();
        let mut checked = Checked {
            packs: read.len() as u64,
            bytes: read.len() as u64 * OBJECT_BYTES,
            through,
            ..Checked::default()
        };
        for pack in read {
            if held.rotten.contains(pack) {
                let why = "is not what its name says".to_owned();
                checked.damaged.insert(pack.clone(), why);
            } else if known.contains(pack) {
                checked.repaired.insert(pack.clone());
            }
        }
        if checked.through.is_some() {
            return Some(checked);
        }
        let made = self.snapshots.get(&access.plan);
        for snapshot in made.into_iter().flat_map(BTreeMap::values) {
            if !held.objects.contains_key(&snapshot.path()) {
                continue;
            }
            let id = snapshot.info.snapshot_id.clone();
            for pack in &snapshot.packs {
                if !held.objects.contains_key(pack) {
                    let why = "is missing".to_owned();
                    checked.damaged.insert(pack.clone(), why);
                }
                // A pack that is known to be damaged, or was just found so, takes its points with it.
                let is_known = known.contains(pack) && !checked.repaired.contains(pack);
                if is_known || checked.damaged.contains_key(pack) {
                    let why = format!("`{pack}` is damaged");
                    checked.broken.entry(id.clone()).or_insert(why);
                }
            }
            checked.held.insert(id);
        }
        Some(checked)
    }

    /// The packs that a reading of a location is about, in the order in which they are read.
    pub(super) fn to_read(
        &self,
        plan: &PlanId,
        location: &LocationId,
        portion: &Portion,
        after: Option<&String>,
    ) -> Vec<String> {
        let held = self.held(plan, location);
        let is_wanted = |path: &&String| {
            let name = Object::at(path)
                .map(|object| object.name)
                .unwrap_or_default();
            portion.holds(&name) && after.is_none_or(|after| name > *after)
        };
        let packs = held.into_iter().flat_map(Held::packs);
        packs.filter(is_wanted).cloned().collect()
    }

    /// Locations of a plan that hold a snapshot whole.
    pub(super) fn sound_at(&self, plan: &PlanId, snapshot: &Snapshot) -> BTreeSet<LocationId> {
        let here = self.held.iter().filter(|((of, _), _)| of == plan);
        here.filter(|(_, held)| {
            let is_sound =
                |path: &String| held.objects.contains_key(path) && !held.rotten.contains(path);
            is_sound(&snapshot.path()) && snapshot.packs.iter().all(is_sound)
        })
        .map(|((_, location), _)| location.clone())
        .collect()
    }

    /// Locations that hold rotten objects.
    pub(super) fn rotten_at(&self) -> BTreeSet<&LocationId> {
        let rotten = self.held.iter().filter(|(_, held)| !held.rotten.is_empty());
        rotten.map(|((_, location), _)| location).collect()
    }
}

impl Held {
    fn packs(&self) -> impl Iterator<Item = &String> {
        self.objects.keys().filter(|path| path.starts_with("data/"))
    }
}

fn is_snapshot(path: &str) -> bool {
    Object::at(path).is_some_and(|object| object.kind == Kind::Snapshot)
}

fn snapshots_in(held: &BTreeSet<String>) -> BTreeSet<String> {
    let objects = held.iter().filter_map(|path| Object::at(path));
    objects
        .filter(|object| object.kind == Kind::Snapshot)
        .map(|object| object.name)
        .collect()
}
