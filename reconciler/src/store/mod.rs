//! Owns what the daemon remembers and the border to where it is kept: a [`Change`] is committed together with the receipt
//! that tells of it, or not at all. Never decides; never deletes. The trait is [`Store`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId};
use contract::seal::Serial;
use jiff::Timestamp;

use crate::domain::{
    DamagedObject, Execution, Outcome, PartRead, PartReading, Run, SlotRecord, StoredCondition,
    Suspension,
};

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
    /// No scheduled backup of a plan begins for a time.
    Suspended(Suspension),
    /// The schedule of a plan counts again.
    Resumed(PlanId),
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
    /// Its place in the log, counted from 0: the next one, or nothing is committed.
    pub position: u64,
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
    /// A receipt would get a place in the log that is not the next.
    #[error("a receipt was sealed as number {position} of the log, which has {size} of them")]
    NotNext {
        /// Its place, counted from 0.
        position: u64,
        /// How many there are.
        size: u64,
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

crate::failure::coded!(StoreError);

impl StoreError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Locked { .. } => code::STORE_LOCKED,
            Self::Unusable { .. } => code::STORE_UNUSABLE,
            Self::Damaged { .. } => code::STORE_DAMAGED,
            Self::Migration { .. } => code::STORE_MIGRATION,
            Self::NotNext { .. } => code::LOG_END_UNKNOWN,
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
            Self::NotNext { .. } => "start it again; it reads the log as it is stored",
            Self::SlotRecorded { .. } => "report this as a bug; nothing was recorded twice",
        }
    }
}

/// What the daemon remembers. One process holds it; calls block.
pub trait Store: fmt::Debug + Send + Sync {
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
    /// Plans whose schedule a person suspended, those of which the end has come among them.
    fn suspensions(&self) -> Result<BTreeMap<PlanId, Suspension>, StoreError>;
    /// When each part of each repository was last read at each location.
    fn parts_read(&self) -> Result<Vec<PartRead>, StoreError>;
    /// Readings that are not at their end.
    fn parts_reading(&self) -> Result<Vec<PartReading>, StoreError>;
    /// Objects that are damaged or missing now.
    fn damaged_objects(&self) -> Result<Vec<DamagedObject>, StoreError>;
    /// The number of this life of the process; each opening counts one up.
    fn epoch(&self) -> u64;
    /// The life of another process that holds the store beside this one; none when this one holds it, or none does.
    fn running(&self) -> Option<u64>;
}
