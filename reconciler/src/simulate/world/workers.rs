//! Owns what a simulated worker does step by step, each of which takes time and may be its last. The interesting function is
//! [`World::take`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::code;
use contract::id::{LocationId, PlanId};

use super::super::script::What;
use super::super::storage::{OBJECT_BYTES, Snapshot, Storage, path};
use super::{OBJECT_TAKES, World};
use crate::domain::SourceReport;
use crate::failure::Failure;
use crate::progress::{Progress, Stage};
use crate::worker::Access;
use crate::worker::protocol::{Answer, BackupOrder, BackupReport, CatchUpReport, Limit};
use crate::worker::supervisor::{Helper, Silence};
use crate::world::vault::{
    BackupOutcome, Kind, LocationState, PointTags, PruneRequest, Pruned, SnapshotInfo, SourceCount,
    VaultError,
};

/// How often work that takes long looks at the world.
const SLICE: Duration = Duration::from_secs(30);

/// What one worker has used of its limit.
#[derive(Default)]
pub(super) struct Spent {
    pub(super) all: Duration,
    still: Duration,
}

impl World {
    /// One step of a worker; the reason when it is ended in it.
    pub(super) fn step(
        &self,
        worker: &Helper,
        spent: &mut Spent,
        length: Duration,
        moves: bool,
    ) -> Result<(), Silence> {
        let left = match worker.limit {
            Limit::Within(limit) => limit.saturating_sub(spent.all),
            Limit::Still(limit) => limit.saturating_sub(spent.still),
        };
        self.wait(length.min(left), Some(&worker.cancel));
        if worker.cancel.is_cancelled() {
            return Err(Silence::Stopped);
        }
        spent.all += length.min(left);
        spent.still = if moves {
            Duration::ZERO
        } else {
            spent.still + length.min(left)
        };
        match worker.limit {
            Limit::Within(limit) if spent.all >= limit => Err(Silence::Deadline(limit)),
            Limit::Still(limit) if spent.still >= limit => Err(Silence::Still(limit)),
            Limit::Within(_) | Limit::Still(_) => {
                let steps = spent.all.as_secs();
                let stage = Stage::Reading;
                worker.meter.hear(Progress {
                    stage,
                    steps,
                    ..Progress::default()
                });
                Ok(())
            }
        }
    }

    /// Whether the worker of a plan dies at this step of its run.
    fn dies_at(&self, plan: &PlanId) -> Result<(), Silence> {
        let mut state = self.state();
        match state.dying.get_mut(plan) {
            Some(0) => {
                state.dying.remove(plan);
                let what = What::WorkerDies {
                    plan: plan.clone(),
                    step: 0,
                };
                state.strikes(what);
                Err(Silence::Died("it was killed: the simulation".to_owned()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Reads the source for as long as the plan's run takes.
    fn read_source(
        &self,
        worker: &Helper,
        spent: &mut Spent,
        plan: &PlanId,
    ) -> Result<Result<(), Failure>, Silence> {
        let run = self.plans.get(plan).map_or(0, |plan| plan.run.get());
        let longer = self.state().random.u64(0..=run / 4);
        let mut left = Duration::from_secs(run + longer);
        while left > Duration::ZERO {
            if self.goes_on(|what| matches!(what, What::SourceFails(id) if id == plan)) {
                let failure = Failure::new(
                    code::CONNECTOR_IO,
                    "the source cannot be read: input/output error",
                    "inspect the source",
                );
                return Ok(Err(failure));
            }
            let hangs = self.goes_on(|what| matches!(what, What::SourceHangs(id) if id == plan));
            let slice = left.min(SLICE);
            self.step(worker, spent, slice, !hangs)?;
            if !hangs {
                left -= slice;
            }
        }
        Ok(Ok(()))
    }

    /// Takes a recovery point as the vault does: packs to every location that answers, then the snapshot where all packs are.
    pub(super) fn take(&self, worker: &Helper, order: &BackupOrder) -> Result<Answer, Silence> {
        let plan = &order.access.plan;
        let mut spent = Spent::default();
        self.dies_at(plan)?;
        if let Err(failure) = self.read_source(worker, &mut spent, plan)? {
            return Ok(failed(failure));
        }
        self.dies_at(plan)?;
        let compared = self.compared(&order.access);
        let usable: Vec<LocationId> = compared
            .iter()
            .filter(|(_, (state, _))| {
                matches!(state, LocationState::InSync | LocationState::Absent)
            })
            .map(|(id, _)| id.clone())
            .collect();
        if order.existing && compared.values().all(|(_, held)| held.is_empty()) {
            let repository = order.access.repository();
            return Ok(failed(VaultError::RepositoryLost { repository }.into()));
        }
        if usable.len() < order.commit {
            let error = VaultError::QuorumNotMet {
                usable: usable.len(),
                wanted: order.commit,
                why: "the others cannot take it".to_owned(),
            };
            return Ok(failed(error.into()));
        }
        let count = self.state().random.u32(1..=2);
        let packs: BTreeSet<String> = (0..count)
            .map(|_| path(Kind::Pack, self.draw("pack")))
            .collect();
        let mut holding = BTreeSet::new();
        for location in compared.keys() {
            self.step(worker, &mut spent, OBJECT_TAKES, true)?;
            self.dies_at(plan)?;
            if !self.is_writable(&order.access, location) {
                continue;
            }
            let now = self.elapsed().as_secs();
            for pack in &packs {
                self.state().storage.write(plan, location, pack, now);
            }
            if usable.contains(location) {
                holding.insert(location.clone());
            }
        }
        if holding.len() < order.commit {
            let error = VaultError::QuorumNotMet {
                usable: holding.len(),
                wanted: order.commit,
                why: "the others failed meanwhile".to_owned(),
            };
            return Ok(failed(error.into()));
        }
        let again = {
            let mut state = self.state();
            let again = state.repeating.remove(plan);
            if again {
                state.strikes(What::WorkerRepeats(plan.clone()));
            }
            again
        };
        let mut ended = self.make_visible(worker, &mut spent, order, &packs, &holding)?;
        if again {
            ended = self.make_visible(worker, &mut spent, order, &packs, &holding)?;
        }
        self.dies_at(plan)?;
        Ok(ended)
    }

    /// Writes the snapshot to each location that holds all packs.
    fn make_visible(
        &self,
        worker: &Helper,
        spent: &mut Spent,
        order: &BackupOrder,
        packs: &BTreeSet<String>,
        holding: &BTreeSet<LocationId>,
    ) -> Result<Answer, Silence> {
        let plan = &order.access.plan;
        let snapshot = self.snapshot(plan, &order.tags, packs);
        let id = snapshot.info.snapshot_id.clone();
        let (path, time) = (snapshot.path(), snapshot.info.time);
        {
            let mut state = self.state();
            let made = state.storage.snapshots.entry(plan.clone()).or_default();
            made.insert(id.clone(), snapshot);
        }
        let mut committed = Vec::new();
        for location in holding {
            if self.is_writable(&order.access, location) {
                let now = self.elapsed().as_secs();
                self.state().storage.write(plan, location, &path, now);
                committed.push(location.clone());
            }
            self.step(worker, spent, OBJECT_TAKES, true)?;
            self.dies_at(plan)?;
        }
        if committed.len() < order.commit {
            let error = VaultError::CommitIncomplete {
                snapshot: id,
                committed,
                wanted: order.commit,
            };
            return Ok(failed(error.into()));
        }
        self.state().told.insert(id.clone());
        let outcome = BackupOutcome {
            snapshot_id: id,
            parent: None,
            consistency_point: time,
            files: 1,
            folders: 1,
            bytes: 1_000,
            added_bytes: 1_000,
            source: SourceCount::default(),
            missing_packs: 0,
            packs: packs.iter().filter_map(|path| name_of(path)).collect(),
            locations: Vec::new(),
            committed,
            milliseconds: u64::try_from(spent.all.as_millis()).unwrap_or(u64::MAX),
        };
        let sources = SourceReport::default();
        Ok(Answer::Backup(Box::new(BackupReport { outcome, sources })))
    }

    fn snapshot(&self, plan: &PlanId, tags: &PointTags, packs: &BTreeSet<String>) -> Snapshot {
        let snapshot_id = self.draw("snapshot");
        let now = self.clock();
        let state = self.state();
        // What did not change is in the packs of the snapshot before.
        let made = state.storage.snapshots.get(plan);
        let newest = made
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|one| state.told.contains(&one.info.snapshot_id))
            .max_by_key(|one| one.info.time);
        let shared = newest.and_then(|one| one.packs.first().cloned());
        Snapshot {
            info: SnapshotInfo {
                snapshot_id,
                time: now,
                hostname: "simulation".to_owned(),
                paths: Vec::new(),
                tags: Some(tags.clone()),
                files: 1,
                bytes: 1_000,
                added_bytes: 1_000,
            },
            packs: packs.iter().cloned().chain(shared).collect(),
        }
    }

    /// Copies to each location what it misses.
    pub(super) fn catch_up(&self, worker: &Helper, access: &Access) -> Result<Answer, Silence> {
        let mut spent = Spent::default();
        let compared = self.compared(access);
        let mut report = CatchUpReport {
            after: BTreeMap::new(),
            copied: (0, 0),
            repaired: BTreeMap::new(),
        };
        for (location, (state, _)) in &compared {
            if !matches!(state, LocationState::Lagging { .. }) {
                continue;
            }
            let mut left = 0;
            for path in Storage::missing(&compared, location) {
                self.step(worker, &mut spent, OBJECT_TAKES, true)?;
                let is_sound =
                    self.state()
                        .storage
                        .is_sound_somewhere(&access.plan, &compared, &path);
                if !self.is_writable(access, location) || !is_sound {
                    left += 1;
                    continue;
                }
                let now = self.elapsed().as_secs();
                self.state()
                    .storage
                    .write(&access.plan, location, &path, now);
                report.copied.0 += 1;
                report.copied.1 += OBJECT_BYTES;
                let damaged = access.damaged.get(location);
                if damaged.is_some_and(|damaged| damaged.contains(&path)) {
                    let repaired = report.repaired.entry(location.clone()).or_default();
                    repaired.insert(path);
                }
            }
            let after = match left {
                0 => LocationState::InSync,
                missing => LocationState::Lagging {
                    missing,
                    bytes: missing * OBJECT_BYTES,
                    why: "not all could be copied".to_owned(),
                },
            };
            report.after.insert(location.clone(), after);
        }
        Ok(Answer::CatchUp(report))
    }
}

/// Packs of the simulation are not marked: those of a point that goes, and of no other, go with it.
impl World {
    pub(super) fn prune(
        &self,
        worker: &Helper,
        access: &Access,
        request: &PruneRequest,
    ) -> Result<Answer, Silence> {
        let mut spent = Spent::default();
        let compared = self.compared(access);
        let is_alike =
            |(state, _): &(LocationState, BTreeSet<String>)| *state == LocationState::InSync;
        if !compared.values().all(is_alike) {
            let why = "a location is not in sync".to_owned();
            return Ok(failed(VaultError::NotDeleted { why }.into()));
        }
        let mut pruned = Pruned::default();
        self.state()
            .judge_deletion(&access.plan, &request.snapshots);
        let unneeded = self
            .state()
            .storage
            .unneeded(&access.plan, &request.snapshots);
        let going = request
            .snapshots
            .iter()
            .map(|name| path(Kind::Snapshot, name.clone()));
        for path in going.chain(unneeded) {
            for location in compared.keys() {
                self.step(worker, &mut spent, OBJECT_TAKES, true)?;
                if !self.is_writable(access, location) {
                    let why = format!("location `{location}` removes nothing");
                    return Ok(failed(VaultError::NotDeleted { why }.into()));
                }
                self.state().storage.remove(&access.plan, location, &path);
            }
            pruned.packs += u64::from(path.starts_with("data/"));
        }
        Ok(Answer::Pruned(pruned))
    }
}

pub(super) fn name_of(path: &str) -> Option<String> {
    crate::world::vault::Object::at(path).map(|object| object.name)
}

fn failed(failure: Failure) -> Answer {
    Answer::Failed {
        code: failure.code.to_string(),
        message: failure.message,
        help: failure.help,
    }
}
