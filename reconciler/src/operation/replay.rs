//! Owns what a receipt log says of what the store knew: recovery points, checks, marks of locations, and what has begun and not ended. Pure.
//! The interesting functions are [`Replay::see`] and [`Replay::points`].
//!
//! Receipts say less than the store did. What they leave out is not made up: a point of which no receipt tells is unconfirmed, one that no
//! receipt calls checked waits for its check, and what tells a collapsed source from a good one begins anew.

use std::collections::{BTreeMap, BTreeSet};

use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId};
use contract::receipt::{DecisionType, Outcome as Result_, Phase, Receipt, SOURCE_IN_DOUBT};
use jiff::Timestamp;

use super::backup::DOUBT_IN_RECEIPT;
use crate::domain::{
    BackupType, Change, Deletion, Leaving, LocationIdentity, Operation, OperationKind, Outcome,
    Restores, Run, RunStatus, SlotOutcome, SlotRecord, State, Verification,
};

/// Why a recovery point without a receipt has to be confirmed.
const NO_RECEIPT: &str = "its receipt was lost with the state";

/// Stands for the key of a repository that an intent does not name.
const UNKNOWN_KID: &str = "unknown";

/// How a check ended at one location, as receipts say it.
const SOUND: &str = "sound";

/// What receipts say.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// What marks each location, by the newest receipt.
    pub identities: BTreeMap<LocationId, LocationIdentity>,
    /// Every plan that receipts name.
    pub plans: BTreeSet<PlanId>,
    /// How slots ended.
    pub slots: Vec<SlotRecord>,
    /// Restores in place that ended, as operations.
    pub restores: Vec<Operation>,
    /// How each operation ended that did.
    ended: BTreeMap<String, (Outcome, Option<String>, Timestamp)>,
    points: BTreeMap<BackupId, Told>,
    /// Points that were deleted.
    pub removed: BTreeMap<BackupId, Deletion>,
    /// Doubts about sources that a person settled.
    accepted: BTreeMap<BackupId, BTreeSet<DatasetId>>,
    intents: BTreeMap<String, Operation>,
}

/// A recovery point as its receipts tell it.
#[derive(Debug, Clone)]
struct Told {
    run: Run,
    /// The key of its repository, where its receipt says so.
    kid: Option<Kid>,
    /// Where it was.
    locations: BTreeSet<LocationId>,
    /// The place in the log of the newest receipt that says whether it is sound.
    checked: u64,
    /// The place of the newest one that says whether it is to be deleted.
    marked: u64,
}

/// What the locations show, and what of it is not known.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The snapshots.
    pub shown: Vec<Shown>,
    /// Where the repository of a plan and key could not be listed, or not whole.
    pub unlisted: BTreeSet<(PlanId, Kid, LocationId)>,
    /// The keys under which repositories were listed.
    pub kids: BTreeSet<Kid>,
    /// `<environment>`, with which the names of repositories begin.
    pub environment: String,
}

impl Listing {
    /// Whether a snapshot that is not shown at a location is not there.
    fn is_known(&self, plan: &PlanId, kid: &Kid, location: &LocationId) -> bool {
        let place = (plan.clone(), kid.clone(), location.clone());
        self.kids.contains(kid) && !self.unlisted.contains(&place)
    }

    fn repository(&self, plan: &PlanId, kid: &Kid) -> String {
        format!("{}/{plan}/{kid}", self.environment)
    }
}

/// A snapshot as a location shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its id.
    pub snapshot_id: String,
    /// The point that its tags name.
    pub backup_id: BackupId,
    /// The plan that its tags name.
    pub plan_id: PlanId,
    /// The slot that its tags name.
    pub slot: Option<Timestamp>,
    /// Its datasets.
    pub dataset_ids: BTreeSet<DatasetId>,
    /// The key that opens it.
    pub kid: Kid,
    /// What it shows, as it says.
    pub time: Timestamp,
    /// Bytes in it, as it says.
    pub bytes: u64,
    /// Bytes that it added, as it says.
    pub added_bytes: u64,
    /// Whether it shows what a restore was about to replace.
    pub before_restore: bool,
    /// `<environment>/<plan_id>/<kid>`.
    pub repository: String,
    /// Where it is.
    pub locations: BTreeSet<LocationId>,
}

impl Replay {
    /// Takes the next receipt of the log.
    pub fn see(&mut self, receipt: &Receipt) {
        self.plans.extend(receipt.plan_id.clone());
        match (receipt.decision_type, receipt.phase) {
            (DecisionType::Adoption, Phase::Decision) => self.adopted(receipt),
            (
                DecisionType::Backup
                | DecisionType::Verification
                | DecisionType::CatchUp
                | DecisionType::Restore
                | DecisionType::Prune,
                Phase::Intent,
            ) => {
                if let Some(operation) = begun(receipt) {
                    self.intents.insert(receipt.operation_id.clone(), operation);
                }
            }
            (_, Phase::Outcome | Phase::Resolution) => self.ended(receipt),
            (DecisionType::SlotEnded, Phase::Decision) => self.slots.extend(slot(receipt)),
            (_, Phase::Intent | Phase::Decision) => {}
        }
    }

    fn adopted(&mut self, receipt: &Receipt) {
        let details = &receipt.details;
        if let (Some(location), Some(identity)) = (details.get("location"), details.get("identity"))
            && let Ok(location_id) = location.parse::<LocationId>()
        {
            let identity = LocationIdentity {
                location_id: location_id.clone(),
                identity: identity.clone(),
                first_seen: receipt.created_at,
            };
            self.identities.insert(location_id, identity);
        }
        if let Some(id) = &receipt.backup_id {
            let settled = self.accepted.entry(id.clone()).or_default();
            settled.extend(receipt.dataset_ids.iter().cloned());
        }
    }

    fn ended(&mut self, receipt: &Receipt) {
        let outcome = match receipt.result {
            Some(Result_::Success) => Outcome::Success,
            Some(Result_::Partial) => Outcome::Partial,
            Some(Result_::Failure) | None => Outcome::Failure,
            Some(Result_::Unknown) => Outcome::Unknown,
        };
        let error = receipt.error.as_ref().map(|error| error.code.clone());
        if outcome == Outcome::Unknown {
            if let Some(operation) = self.intents.get_mut(&receipt.operation_id) {
                operation.state = State::Ended(outcome);
                operation.ended_at = Some(receipt.created_at);
                operation.error.clone_from(&error);
            }
        } else {
            let operation = self.intents.remove(&receipt.operation_id);
            let is_in_place = |it: &Operation| it.restores.as_ref().is_some_and(|it| it.in_place);
            self.restores.extend(operation.filter(is_in_place));
            let end = (outcome, error, receipt.created_at);
            self.ended.insert(receipt.operation_id.clone(), end);
        }
        match receipt.decision_type {
            DecisionType::Backup if outcome == Outcome::Success => {
                if let Some(told) = told(receipt) {
                    self.removed.remove(&told.run.backup_id);
                    self.points.insert(told.run.backup_id.clone(), told);
                }
            }
            DecisionType::Verification => self.checked(receipt),
            DecisionType::Retention => self.decided(receipt),
            DecisionType::Prune => {
                for id in named_in(receipt, "removed") {
                    let told = self.points.remove(&id);
                    self.removed.extend(deletion(receipt, id, told));
                }
            }
            _ => {}
        }
    }

    /// Whether a point is to be deleted.
    fn decided(&mut self, receipt: &Receipt) {
        let told = receipt.backup_id.as_ref();
        let Some(told) = told.and_then(|id| self.points.get_mut(id)) else {
            return;
        };
        let details = &receipt.details;
        let goes = details.get("decision").is_some_and(|it| it == "goes");
        told.run.leaving = goes.then(|| Leaving {
            since: receipt.created_at,
            why: details.get("why").cloned().unwrap_or_default(),
        });
        told.marked = receipt.log_index;
    }

    /// What a check found, at each location.
    fn checked(&mut self, receipt: &Receipt) {
        let is_sound = receipt.result == Some(Result_::Success);
        let Some(id) = &receipt.backup_id else {
            // A part of a repository was damaged: which points it hurts, receipts do not say.
            if !is_sound {
                self.unverify(receipt);
            }
            return;
        };
        let Some(told) = self.points.get_mut(id) else {
            return;
        };
        told.checked = receipt.log_index;
        let at = receipt.created_at;
        let by_location = receipt.details.iter().filter_map(|(name, what)| {
            let location = name.strip_prefix("location_")?.parse::<LocationId>().ok()?;
            Some((location, what))
        });
        let mut sound = BTreeSet::new();
        let mut damaged = None;
        for (location, what) in by_location {
            if what == SOUND {
                told.run.damaged_at.remove(&location);
                sound.insert(location);
            } else if let Some(why) = what.strip_prefix("damaged: ") {
                damaged = Some(why.to_owned());
                told.run.damaged_at.insert(location, why.to_owned());
            }
        }
        told.run.verification = match (sound.is_empty(), damaged) {
            (false, _) => Verification::Verified {
                at,
                locations: sound,
            },
            (true, Some(why)) => Verification::Suspect { at, why },
            // It was lost, or is there again: nobody read it since.
            (true, None) => Verification::Pending,
        };
    }

    /// No point of a plan is verified any more at a location, or anywhere.
    fn unverify(&mut self, receipt: &Receipt) {
        let named = receipt.details.get("location");
        let location: Option<LocationId> = named.and_then(|id| id.parse().ok());
        let of_plan = self
            .points
            .values_mut()
            .filter(|told| Some(&told.run.plan_id) == receipt.plan_id.as_ref());
        for told in of_plan {
            told.checked = receipt.log_index;
            if let Verification::Verified { locations, .. } = &mut told.run.verification {
                match &location {
                    Some(location) => drop(locations.remove(location)),
                    None => locations.clear(),
                }
                if locations.is_empty() {
                    told.run.verification = Verification::Pending;
                }
            }
        }
    }

    /// What began and has not ended, each with the key of its repository where that is known.
    pub fn open(
        &self,
        listing: &Listing,
        kid_of: impl Fn(&PlanId) -> Option<Kid>,
    ) -> Vec<Operation> {
        let kid_of = |operation: &Operation| {
            let mut shown = listing.shown.iter();
            let made = shown.find(|shown| Some(&shown.backup_id) == operation.backup_id.as_ref());
            let kid = made.map(|shown| shown.kid.clone());
            kid.or_else(|| kid_of(&operation.plan_id))
        };
        let all = self.intents.values().cloned();
        all.filter_map(|mut operation| {
            if operation.kid.as_str() != UNKNOWN_KID {
                return Some(operation);
            }
            operation.kid = kid_of(&operation)?;
            Some(operation)
        })
        .collect()
    }

    /// What a store lacks that knows these operations: the end of those that ended since, restores in place, and what is `open`.
    pub fn operations(
        &self,
        known: &[Operation],
        open: Vec<Operation>,
        now: Timestamp,
    ) -> Vec<Change> {
        let ids: BTreeSet<&str> = known.iter().map(|it| it.operation_id.as_str()).collect();
        let ended = known
            .iter()
            .filter(|it| it.state.is_open())
            .filter_map(|it| {
                let (outcome, error, at) = self.ended.get(&it.operation_id)?.clone();
                let operation_id = it.operation_id.clone();
                Some(Change::OperationEnded {
                    operation_id,
                    outcome,
                    error,
                    at,
                })
            });
        let restores = self.restores.iter().cloned().map(|mut operation| {
            if let Some((outcome, error, at)) = self.ended.get(&operation.operation_id) {
                operation.state = State::Ended(*outcome);
                operation.error.clone_from(error);
                operation.ended_at = Some(*at);
            }
            operation
        });
        let begun = restores
            .chain(open)
            .filter(|it| !ids.contains(it.operation_id.as_str()))
            .map(|mut operation| {
                operation.deadline = now;
                Change::OperationBegun(operation)
            });
        ended.chain(begun).collect()
    }

    /// The recovery points, from what receipts say and what locations show. `kept` is what the store knows of one, which has the log up to
    /// a place.
    pub fn points(
        &self,
        listing: &Listing,
        kept: impl Fn(&BackupId) -> Option<Run>,
        has: u64,
        kid_of: impl Fn(&PlanId) -> Option<Kid>,
        now: Timestamp,
    ) -> Vec<Run> {
        let mut found: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
        for shown in &listing.shown {
            found.entry(&shown.snapshot_id).or_default().push(shown);
        }
        let mut points = Vec::new();
        for (id, told) in &self.points {
            let snapshot = told.run.snapshot_id.as_deref().unwrap_or_default();
            let here = found.remove(snapshot).unwrap_or_default();
            let stored = kept(id);
            let kid = here.first().map(|shown| shown.kid.clone());
            let kid = kid
                .or_else(|| stored.as_ref().map(|run| run.kid.clone()))
                .or_else(|| told.kid.clone())
                .or_else(|| kid_of(&told.run.plan_id));
            let Some(kid) = kid else { continue };
            let mut told = told.clone();
            if let Some(stored) = stored {
                told = told.over(stored, has);
            }
            for dataset in self.accepted.get(id).into_iter().flatten() {
                told.run.collapsed.remove(dataset);
            }
            points.push(joined(told, &here, kid, listing, now));
        }
        // Two of one name are no better than none: the one that is at more locations is listed.
        let mut others: BTreeMap<&BackupId, &Shown> = BTreeMap::new();
        for shown in found.into_values().flatten() {
            let known = others.entry(&shown.backup_id).or_insert(shown);
            if known.locations.len() < shown.locations.len() {
                *known = shown;
            }
        }
        let others = others.into_iter();
        let unreceipted = others.filter(|(id, _)| {
            // What was deleted, and is at a location that was away then, is no point again.
            !self.points.contains_key(*id) && !self.removed.contains_key(*id) && kept(id).is_none()
        });
        points.extend(unreceipted.map(|(id, shown)| {
            let mut run = unconfirmed(shown);
            for dataset in self.accepted.get(id).into_iter().flatten() {
                run.collapsed.remove(dataset);
            }
            run
        }));
        points
    }
}

impl Told {
    /// The store knows more of a point than its receipts, but for what they say since.
    fn over(self, stored: Run, has: u64) -> Self {
        let is_news = self.checked >= has;
        let is_marked_since = self.marked >= has;
        let locations = stored.storage_locations.keys().cloned();
        Self {
            locations: self.locations.into_iter().chain(locations).collect(),
            run: Run {
                storage_locations: BTreeMap::new(),
                verification: if is_news {
                    self.run.verification
                } else {
                    stored.verification
                },
                leaving: if is_marked_since {
                    self.run.leaving
                } else {
                    stored.leaving
                },
                damaged_at: if is_news {
                    self.run.damaged_at
                } else {
                    stored.damaged_at
                },
                ..stored
            },
            ..self
        }
    }
}

/// A point that a receipt tells of, where locations show it.
fn joined(told: Told, here: &[&Shown], kid: Kid, listing: &Listing, now: Timestamp) -> Run {
    let mut run = told.run;
    run.slot = run
        .slot
        .or_else(|| here.iter().find_map(|shown| shown.slot));
    for shown in here {
        let held = shown.locations.iter();
        run.storage_locations
            .extend(held.map(|id| (id.clone(), format!("{id}:{}", shown.repository))));
        run.before_restore |= shown.before_restore;
    }
    // What cannot be listed now holds what it held.
    let is_sure = told.kid.is_some() || !here.is_empty();
    for id in &told.locations {
        if !is_sure || !listing.is_known(&run.plan_id, &kid, id) {
            let repository = listing.repository(&run.plan_id, &kid);
            run.storage_locations
                .entry(id.clone())
                .or_insert_with(|| format!("{id}:{repository}"));
        }
    }
    run.damaged_at
        .retain(|location, _| run.storage_locations.contains_key(location));
    if run.storage_locations.is_empty() {
        run.verification = Verification::Lost { at: now };
    } else if let Verification::Verified { locations, .. } = &mut run.verification {
        locations.retain(|location| run.storage_locations.contains_key(location));
        if locations.is_empty() {
            run.verification = Verification::Pending;
        }
    }
    run.kid = kid;
    run
}

/// A point that no receipt tells of: whoever holds the key may have made it.
fn unconfirmed(shown: &Shown) -> Run {
    let held = shown.locations.iter();
    let why = |id: &DatasetId| (id.clone(), NO_RECEIPT.to_owned());
    Run {
        backup_id: shown.backup_id.clone(),
        plan_id: shown.plan_id.clone(),
        dataset_ids: shown.dataset_ids.clone(),
        slot: shown.slot,
        started_at: shown.time,
        finished_at: shown.time,
        consistent_at: Some(shown.time),
        backup_type: BackupType::Incremental,
        base: None,
        status: RunStatus::Success,
        kid: shown.kid.clone(),
        snapshot_id: Some(shown.snapshot_id.clone()),
        storage_locations: held
            .map(|id| (id.clone(), format!("{id}:{}", shown.repository)))
            .collect(),
        checksums: BTreeMap::from([("snapshot".to_owned(), shown.snapshot_id.clone())]),
        verification: Verification::Pending,
        damaged_at: BTreeMap::new(),
        bytes: shown.bytes,
        added_bytes: shown.added_bytes,
        policy_snapshot_hash: None,
        manifests: BTreeMap::new(),
        error: None,
        profiles: BTreeMap::new(),
        collapsed: shown.dataset_ids.iter().map(why).collect(),
        clock_in_doubt: false,
        overran: false,
        before_restore: shown.before_restore,
        leaving: None,
    }
}

fn told(receipt: &Receipt) -> Option<Told> {
    let snapshot = receipt.evidence.get("snapshot")?.to_string();
    let detail = |name: &str| receipt.details.get(name);
    let instant = |name: &str| detail(name).and_then(|text| text.parse::<Timestamp>().ok());
    let number = |name: &str| detail(name).and_then(|text| text.parse::<u64>().ok());
    let dataset_ids: BTreeSet<DatasetId> = receipt.dataset_ids.iter().cloned().collect();
    let doubt = detail(SOURCE_IN_DOUBT);
    let collapsed = dataset_ids.iter().filter_map(|id| {
        // One that was cut names not all of them.
        let names = |why: &&String| {
            why.contains(&format!("`{id}`")) || why.chars().count() >= DOUBT_IN_RECEIPT
        };
        let why = doubt.filter(names)?;
        Some((id.clone(), why.clone()))
    });
    let locations = detail("locations").map(String::as_str).unwrap_or_default();
    let clock = detail(contract::receipt::CLOCK).map(String::as_str);
    let checksums = receipt.evidence.iter();
    let kid = detail("kid").and_then(|kid| kid.parse::<Kid>().ok());
    Some(Told {
        checked: receipt.log_index,
        marked: receipt.log_index,
        locations: locations
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect(),
        run: Run {
            backup_id: receipt.backup_id.clone()?,
            plan_id: receipt.plan_id.clone()?,
            slot: None,
            started_at: instant("started_at").unwrap_or(receipt.created_at),
            finished_at: receipt.created_at,
            consistent_at: instant("consistent_at"),
            backup_type: match detail("backup_type").map(String::as_str) {
                Some("full") => BackupType::Full,
                _ => BackupType::Incremental,
            },
            base: None,
            status: RunStatus::Success,
            // The caller knows it.
            kid: kid.clone().or_else(|| "unknown".parse().ok())?,
            snapshot_id: Some(snapshot),
            storage_locations: BTreeMap::new(),
            checksums: checksums
                .map(|(name, digest)| (name.clone(), digest.to_string()))
                .collect(),
            verification: Verification::Pending,
            damaged_at: BTreeMap::new(),
            bytes: number("bytes").unwrap_or_default(),
            added_bytes: number("added_bytes").unwrap_or_default(),
            policy_snapshot_hash: receipt.policy_snapshot_hash,
            manifests: BTreeMap::new(),
            error: None,
            profiles: BTreeMap::new(),
            collapsed: collapsed.collect(),
            clock_in_doubt: clock == Some(contract::receipt::CLOCK_IN_DOUBT),
            overran: false,
            before_restore: false,
            leaving: None,
            dataset_ids,
        },
        kid,
    })
}

fn slot(receipt: &Receipt) -> Option<SlotRecord> {
    let slots = receipt.slots.as_ref()?;
    let outcome = match receipt.details.get("outcome").map(String::as_str) {
        Some("success") => SlotOutcome::Success,
        Some("missed") => SlotOutcome::Missed,
        Some(_) | None => SlotOutcome::Failure,
    };
    let error = receipt.error.as_ref();
    Some(SlotRecord {
        plan_id: receipt.plan_id.clone()?,
        first: slots.first,
        last: slots.last,
        count: slots.count,
        outcome,
        backup_id: receipt.backup_id.clone(),
        why: error
            .map(|error| format!("{} {}", error.code, error.summary))
            .or_else(|| receipt.details.get("late").cloned()),
        ended_at: receipt.created_at,
    })
}

/// The deletion of a point, as the receipt of a prune says it.
fn deletion(receipt: &Receipt, id: BackupId, told: Option<Told>) -> Option<(BackupId, Deletion)> {
    let kid = receipt.details.get("kid").and_then(|kid| kid.parse().ok());
    let deletion = Deletion {
        backup_id: id.clone(),
        plan_id: receipt.plan_id.clone()?,
        kid: kid?,
        snapshot_id: told
            .and_then(|told| told.run.snapshot_id)
            .unwrap_or_default(),
        operation_id: receipt.operation_id.clone(),
        at: receipt.created_at,
    };
    Some((id, deletion))
}

/// The recovery points that a receipt names.
fn named_in<'r>(receipt: &'r Receipt, name: &str) -> impl Iterator<Item = BackupId> + use<'r> {
    let named = receipt.details.get(name).map_or("", String::as_str);
    named.split_whitespace().filter_map(|id| id.parse().ok())
}

/// The operation of an intent. Its key is in the receipt of a prune alone.
fn begun(receipt: &Receipt) -> Option<Operation> {
    let kind = match receipt.decision_type {
        DecisionType::Backup => OperationKind::Backup,
        DecisionType::Verification => OperationKind::Verify,
        DecisionType::CatchUp => OperationKind::CatchUp,
        DecisionType::Restore => OperationKind::Restore,
        DecisionType::Prune => OperationKind::Prune,
        _ => return None,
    };
    let restores = match (&receipt.restore_id, receipt.dataset_ids.first()) {
        (Some(restore_id), Some(dataset_id)) => Some(Restores {
            restore_id: restore_id.clone(),
            dataset_id: dataset_id.clone(),
            in_place: receipt
                .details
                .get("mode")
                .is_some_and(|mode| mode == "in_place"),
        }),
        (Some(_) | None, _) => None,
    };
    Some(Operation {
        operation_id: receipt.operation_id.clone(),
        kind,
        plan_id: receipt.plan_id.clone()?,
        dataset_ids: receipt.dataset_ids.iter().cloned().collect(),
        backup_id: receipt.backup_id.clone(),
        slot: None,
        backup_type: None,
        before_restore: false,
        restores,
        removes: named_in(receipt, "removes").collect(),
        kid: receipt
            .details
            .get("kid")
            .and_then(|kid| kid.parse().ok())
            .or_else(|| UNKNOWN_KID.parse().ok())?,
        started_at: receipt.created_at,
        deadline: receipt.created_at,
        epoch: 0,
        state: State::Running,
        ended_at: None,
        error: None,
    })
}
