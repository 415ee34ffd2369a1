//! Owns what the daemon remembers and the border to where it is kept: a [`Change`] is committed together with the receipt
//! that tells of it, or not at all. Never decides; never deletes. The trait is [`Store`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId};
use contract::seal::Serial;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observed::SlotOutcome;
use crate::world::connector::{Manifest, SourceProfile};

/// Whether a run read everything again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupType {
    /// It read everything and stands on no earlier run.
    Full,
    /// It took over what had not changed since an earlier run.
    Incremental,
}

impl BackupType {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// A whole recovery point is committed.
    Success,
    /// The source could not be read whole; no recovery point was kept.
    Partial,
    /// It failed; no recovery point was kept.
    Failure,
}

impl RunStatus {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failure => "failure",
        }
    }
}

/// Whether a recovery point was read again and found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Verification {
    /// Not looked at since it was taken.
    Pending,
    /// Every byte of it was read and is what it was.
    Verified {
        /// When.
        at: Timestamp,
        /// Where.
        locations: BTreeSet<LocationId>,
    },
    /// Something in it is damaged or missing, at every location that holds it.
    Suspect {
        /// When that was found.
        at: Timestamp,
        /// What was found.
        why: String,
    },
    /// Every location where it should be was listed, and none has it.
    Lost {
        /// When that was seen.
        at: Timestamp,
    },
}

/// One run in the catalog: a backup that ended, with or without a recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its id.
    pub backup_id: BackupId,
    /// The plan that made it.
    pub plan_id: PlanId,
    /// What it holds.
    pub dataset_ids: BTreeSet<DatasetId>,
    /// The slot it was for; absent for an operator's backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The earliest consistency point of its datasets; absent without a recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_at: Option<Timestamp>,
    /// Full or incremental.
    pub backup_type: BackupType,
    /// The recovery point without which this one cannot be read. Absent for a snapshot, which needs no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BackupId>,
    /// How it ended.
    pub status: RunStatus,
    /// The kid of the repository that it is in.
    pub kid: Kid,
    /// The snapshot in that repository; absent without a recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Locations that hold it, as descriptors `<location_id>:<environment>/<plan_id>/<kid>`.
    pub storage_locations: BTreeMap<LocationId, String>,
    /// SHA-256 of the snapshot's tree and of other payloads, by name.
    pub checksums: BTreeMap<String, String>,
    /// Whether it was checked.
    pub verification: Verification,
    /// Locations at which it is known to be damaged, and what was found there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub damaged_at: BTreeMap<LocationId, String>,
    /// Bytes of the datasets.
    pub bytes: u64,
    /// Bytes that the run added to each location.
    pub added_bytes: u64,
    /// The policy that it was taken under; absent for a run that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_snapshot_hash: Option<Digest>,
    /// Checksums of the files that connectors made, for the restore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manifests: BTreeMap<DatasetId, Manifest>,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What each source was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<DatasetId, SourceProfile>,
    /// Datasets whose source had collapsed or was another one, and what was seen; a person may accept it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collapsed: BTreeMap<DatasetId, String>,
    /// Whether the clock that its times are by was in doubt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_in_doubt: bool,
    /// Whether it needed longer than its completion window, or was ended for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overran: bool,
}

impl Run {
    /// Whether it left a recovery point.
    pub fn is_point(&self) -> bool {
        self.status == RunStatus::Success && self.snapshot_id.is_some()
    }

    /// Whether its point passed its check.
    pub fn is_verified(&self) -> bool {
        matches!(self.verification, Verification::Verified { .. })
    }

    /// Whether its point is known to be gone from every location.
    pub fn is_lost(&self) -> bool {
        matches!(self.verification, Verification::Lost { .. })
    }

    /// Whether its point is known to be damaged everywhere.
    pub fn is_suspect(&self) -> bool {
        matches!(self.verification, Verification::Suspect { .. })
    }

    /// Whether a restore may choose its point automatically: as far as is known, some location has it sound, and it shows what its
    /// sources should be.
    pub fn may_serve(&self) -> bool {
        self.is_point() && self.is_good()
    }

    /// Whether it is not damaged, not lost, and no source of it had collapsed.
    pub fn is_good(&self) -> bool {
        !self.is_suspect() && !self.is_lost() && self.collapsed.is_empty()
    }

    /// Whether its instant can be believed: no clock in doubt wrote it, and it has come.
    pub fn is_of_known_time(&self, now: Timestamp) -> bool {
        !self.clock_in_doubt && self.instant() <= now
    }

    /// What makes one run newer than another: an instant that can be believed before any that cannot.
    pub fn rank(&self, now: Timestamp) -> (bool, Timestamp) {
        (self.is_of_known_time(now), self.instant())
    }

    /// The instant that it is ordered by.
    pub fn instant(&self) -> Timestamp {
        self.slot.or(self.consistent_at).unwrap_or(self.started_at)
    }
}

/// The terminal record of one slot, or of a run of missed ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The plan.
    pub plan_id: PlanId,
    /// The first slot.
    pub first: Timestamp,
    /// The last slot; the same as the first, missed ones aside.
    pub last: Timestamp,
    /// How many slots.
    pub count: u64,
    /// How they ended.
    pub outcome: SlotOutcome,
    /// The recovery point or the failed run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// Why, where it is no success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When the record was made.
    pub ended_at: Timestamp,
}

/// What an execution does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionKind {
    /// Takes a recovery point.
    Backup,
    /// Reads one again.
    Verify,
    /// Copies what a location misses.
    CatchUp,
    /// Brings data back.
    Restore,
}

impl ExecutionKind {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::CatchUp => "catch_up",
            Self::Restore => "restore",
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// A part was done; what was done is told.
    Partial,
    /// It did not.
    Failure,
    /// Nobody can tell yet; a later resolution closes it.
    Unknown,
}

impl Outcome {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }
}

/// One effect: begun with an intent, ended with exactly one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// `<kind>.<subject>.<attempt>`.
    pub operation_id: String,
    /// What it does.
    pub kind: ExecutionKind,
    /// The plan it acts for.
    pub plan_id: PlanId,
    /// The datasets it takes or restores; empty in records of earlier versions, and where it concerns the repository.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dataset_ids: BTreeSet<DatasetId>,
    /// The recovery point it makes or reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// The slot it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// Full or incremental, where it takes a recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_type: Option<BackupType>,
    /// What it restores, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<Restores>,
    /// The kid of the repository it works in.
    pub kid: Kid,
    /// When it began.
    pub started_at: Timestamp,
    /// When it must have ended.
    pub deadline: Timestamp,
    /// Which life of the process began it.
    pub epoch: u64,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What an interrupted restore has to be looked for by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restores {
    /// `rs.<dataset_id>.<instant>`.
    pub restore_id: String,
    /// The dataset.
    pub dataset_id: DatasetId,
    /// Whether it goes over the live data.
    pub in_place: bool,
}

/// An accepted bundle with everything that opening it again needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBundle {
    /// Its serial.
    pub serial: Serial,
    /// SHA-256 of the statement's payload.
    pub payload: Digest,
    /// Version of the newest trust root then.
    pub root_version: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// `bundle.dsse.json`.
    pub envelope: Vec<u8>,
    /// `bundle.json`.
    pub bundle: Vec<u8>,
    /// `provenance.json`.
    pub provenance: Vec<u8>,
    /// The root chain, in order.
    pub roots: Vec<Vec<u8>>,
    /// The plans that it has for this reconciler.
    pub plans: BTreeSet<PlanId>,
    /// Those whose slots begin with its acceptance: new ones, and those with other slots or more datasets than before.
    pub begins: BTreeSet<PlanId>,
}

/// A condition as it was last told, so that `since` survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCondition {
    /// The plan; for the whole empty, or [`FURTHER`](Self::FURTHER) and a code.
    pub subject: String,
    /// The word of the condition.
    pub condition: String,
    /// Its code, or empty.
    pub code: String,
    /// Since when.
    pub since: Timestamp,
}

/// One part of a repository at one location, as it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRead {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it was read.
    pub location_id: LocationId,
    /// Which part, from 1 to `of`.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
    /// When the reading began.
    pub at: Timestamp,
    /// Whether everything in it was what its name says.
    pub is_sound: bool,
    /// Objects read.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// A reading of a part that has not come to its end, because it made way for a backup or was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReading {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it is read.
    pub location_id: LocationId,
    /// Which part, from 1 to `of`.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
    /// When it began.
    pub since: Timestamp,
    /// The name of the last pack that was read; the next one in order is next.
    pub through: String,
    /// Whether everything so far was what its name says.
    pub is_sound: bool,
    /// Objects read so far.
    pub objects: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// An object that a location holds damaged, or does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedObject {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it is damaged.
    pub location_id: LocationId,
    /// Its path in the repository: `data/…`, `index/…`, `snapshots/…`.
    pub object: String,
    /// When that was found.
    pub found_at: Timestamp,
    /// What was found.
    pub why: String,
}

/// What marks the place that a location is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationIdentity {
    /// The location.
    pub location_id: LocationId,
    /// Its random id.
    pub identity: String,
    /// When it was first seen there.
    pub first_seen: Timestamp,
}

/// A bundle that was judged and refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBundle {
    /// What was refused.
    pub payload: String,
    /// What it was judged by; under anything else it is judged again.
    pub judged_by: String,
    /// When.
    pub at: Timestamp,
    /// Why, as JSON.
    pub failure: String,
}

/// A condition that a person cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// What the condition is about: a plan, a dataset, a recovery point, or the daemon.
    pub subject: String,
    /// Which kind of condition.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Why, in that person's words.
    pub note: String,
}

impl StoredCondition {
    /// What the subjects of further conditions of the whole begin with; no plan's id does.
    pub const FURTHER: &str = ":";

    /// Whether it is about the whole.
    pub fn is_of_the_whole(&self) -> bool {
        self.subject.is_empty() || self.subject.starts_with(Self::FURTHER)
    }
}

/// One thing to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A bundle is in force from now on; plans not known before, and those that it says, begin now.
    BundleAccepted(Box<StoredBundle>),
    /// A bundle was refused; the same refusal is told once.
    BundleRefused {
        /// What was refused, by a digest of its files.
        digest: Digest,
        /// The code of the refusal.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// An effect is about to begin.
    ExecutionStarted(Execution),
    /// It ended, or an unknown one was resolved.
    ExecutionEnded {
        /// Which one.
        operation_id: String,
        /// How.
        outcome: Outcome,
        /// The code of its failure.
        error: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A run ended; replaces a failed run of the same id, never one that left a point.
    RunEnded(Box<Run>),
    /// A recovery point was checked, or reached more locations.
    RunChanged(Box<Run>),
    /// A slot, or a run of missed ones, ended.
    SlotEnded(SlotRecord),
    /// What a connector wants to be told at the next run.
    ConnectorState {
        /// The plan.
        plan_id: PlanId,
        /// The dataset.
        dataset_id: DatasetId,
        /// Canonical JSON; none forgets what was kept.
        state: Option<String>,
    },
    /// All conditions as they stand now.
    Conditions(Vec<StoredCondition>),
    /// A part of a repository was read to its end at a location; replaces what was known of that part.
    PartRead(PartRead),
    /// A reading made way before its end; the next one goes on there.
    PartReading(PartReading),
    /// An object is damaged or missing at a location; the first finding is kept.
    ObjectDamaged(DamagedObject),
    /// It is sound there again.
    ObjectRepaired {
        /// The plan.
        plan_id: PlanId,
        /// The repository's key.
        kid: Kid,
        /// The location.
        location_id: LocationId,
        /// Its path in the repository.
        object: String,
    },
    /// A location was marked, or a person accepted another mark.
    LocationIdentity(LocationIdentity),
    /// A bundle was refused for a reason that its own bytes give.
    BundleJudged(RefusedBundle),
    /// A person cleared a condition.
    Acknowledged(Acknowledgement),
    /// The receipts that are committed with it, and all before, lead to this state of the log.
    Frontier {
        /// How many lines the log has then.
        size: u64,
        /// The state, signed.
        sealed: String,
    },
    /// The receipt log was copied to a location.
    ReceiptsCopied(ReceiptCopy),
}

/// The copy of the receipt log at a location, as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptCopy {
    /// The location.
    pub location_id: LocationId,
    /// Lines in it.
    pub size: u64,
    /// What identifies the file and its state; another value means that somebody else wrote to it.
    pub seen: String,
}

/// A receipt of the log: its line, and the instant that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptLine {
    /// One line of `receipts.jsonl`, without its LF.
    pub line: String,
    /// Its `created_at`.
    pub at: Timestamp,
}

/// Why the store does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process works here.
    #[error("state store `{path}` is held by another process")]
    Locked {
        /// The folder.
        path: String,
    },
    /// It cannot be opened, read or written.
    #[error("state store cannot be used while {doing}: {why}")]
    Unusable {
        /// What was tried.
        doing: &'static str,
        /// The reason.
        why: String,
    },
    /// It holds what was never written.
    #[error("state store is damaged at {what}: {why}")]
    Damaged {
        /// The table or row.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// It was written by another version.
    #[error("state store has another version than this program: {why}")]
    Migration {
        /// The difference.
        why: String,
    },
    /// A slot would get a second terminal record.
    #[error("slot `{slot}` of plan `{plan}` has its terminal record already")]
    SlotRecorded {
        /// The plan.
        plan: PlanId,
        /// The slot.
        slot: Timestamp,
    },
}

impl StoreError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Locked { .. } => code::STORE_LOCKED,
            Self::Unusable { .. } => code::STORE_UNUSABLE,
            Self::Damaged { .. } => code::STORE_DAMAGED,
            Self::Migration { .. } => code::STORE_MIGRATION,
            Self::SlotRecorded { .. } => code::SLOT_RECORDED,
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Locked { .. } => {
                "the service does what is due by itself; `seawalld once` runs when no other `seawalld` does"
            }
            Self::Unusable { .. } => "check free space and permissions of the state folder",
            Self::Damaged { .. } => {
                "keep the file for a look, restore the state folder, or begin with an empty one"
            }
            Self::Migration { .. } => "run the version that wrote it, or a newer one",
            Self::SlotRecorded { .. } => "report this as a bug; nothing was recorded twice",
        }
    }
}

/// What the daemon remembers. One process holds it; calls block.
pub trait Store: Send + Sync {
    /// Commits all changes and all receipts in one transaction, or nothing.
    fn commit(&self, changes: &[Change], receipts: &[ReceiptLine]) -> Result<(), StoreError>;
    /// The bundle in force.
    fn accepted(&self) -> Result<Option<StoredBundle>, StoreError>;
    /// The newest refusal: the digest of what was refused, and the code.
    fn last_refusal(&self) -> Result<Option<(Digest, String)>, StoreError>;
    /// When the first bundle with each plan was accepted.
    fn plans_since(&self) -> Result<BTreeMap<PlanId, Timestamp>, StoreError>;
    /// Terminal records, oldest first; of one plan or of all.
    fn slots(&self, plan: Option<&PlanId>) -> Result<Vec<SlotRecord>, StoreError>;
    /// At most so many terminal records, newest first, each with its number; of one plan or of all, those before a number alone.
    fn slots_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<(u64, SlotRecord)>, StoreError>;
    /// The newest terminal record of each plan as of an instant: what a clock wrote that was ahead of it does not count.
    fn last_slots(&self, now: Timestamp) -> Result<BTreeMap<PlanId, SlotRecord>, StoreError>;
    /// The catalog, oldest first. Grows for ever.
    fn runs(&self) -> Result<Vec<Run>, StoreError>;
    /// Runs that left a recovery point, oldest first; of one plan or of all.
    fn points(&self, plan: Option<&PlanId>) -> Result<Vec<Run>, StoreError>;
    /// The run that left this recovery point.
    fn point(&self, id: &BackupId) -> Result<Option<Run>, StoreError>;
    /// The run of a plan that began last, however it ended.
    fn newest_run(&self, plan: &PlanId) -> Result<Option<Run>, StoreError>;
    /// All executions, oldest first. Grows for ever.
    fn executions(&self) -> Result<Vec<Execution>, StoreError>;
    /// Executions without an outcome, or of an unknown one, oldest first.
    fn open_executions(&self) -> Result<Vec<Execution>, StoreError>;
    /// Backups that were begun for slots of a plan after an instant, or for any, oldest first.
    fn executions_of_slots(
        &self,
        plan: &PlanId,
        after: Option<Timestamp>,
    ) -> Result<Vec<Execution>, StoreError>;
    /// The newest operations of a plan that ended with a code, at most so many.
    fn operations_with_error(
        &self,
        plan: &PlanId,
        error: Code,
        most: u32,
    ) -> Result<Vec<String>, StoreError>;
    /// Restores, oldest first.
    fn restores(&self) -> Result<Vec<Execution>, StoreError>;
    /// When the newest execution began.
    fn newest_start(&self) -> Result<Option<Timestamp>, StoreError>;
    /// What a connector wants to be told.
    fn connector_state(
        &self,
        plan: &PlanId,
        dataset: &DatasetId,
    ) -> Result<Option<String>, StoreError>;
    /// Receipts from a place in the log on, counted from 0, oldest first; at most so many.
    fn receipts(&self, from: u64, most: u64) -> Result<Vec<String>, StoreError>;
    /// How many receipts there are.
    fn receipts_size(&self) -> Result<u64, StoreError>;
    /// Bytes of `receipts.jsonl` up to a size of the log.
    fn receipt_bytes(&self, size: u64) -> Result<u64, StoreError>;
    /// The newest signed state of the log.
    fn frontier(&self) -> Result<Option<String>, StoreError>;
    /// How far the copies of the log are.
    fn receipt_copies(&self) -> Result<BTreeMap<LocationId, ReceiptCopy>, StoreError>;
    /// Conditions as they were last told.
    fn conditions(&self) -> Result<Vec<StoredCondition>, StoreError>;
    /// What marks each location.
    fn location_identities(&self) -> Result<BTreeMap<LocationId, LocationIdentity>, StoreError>;
    /// Whether a bundle was refused by the same judgement before.
    fn refused_bundle(
        &self,
        payload: &str,
        judged_by: &str,
    ) -> Result<Option<RefusedBundle>, StoreError>;
    /// Conditions that persons cleared, oldest first.
    fn acknowledgements(&self) -> Result<Vec<Acknowledgement>, StoreError>;
    /// When each part of each repository was last read at each location.
    fn parts_read(&self) -> Result<Vec<PartRead>, StoreError>;
    /// Readings that are not at their end.
    fn parts_reading(&self) -> Result<Vec<PartReading>, StoreError>;
    /// Objects that are damaged or missing now.
    fn damaged_objects(&self) -> Result<Vec<DamagedObject>, StoreError>;
    /// The number of this life of the process; each opening counts one up.
    fn epoch(&self) -> u64;
}
