//! Owns what the daemon remembers and the border to where it is kept: a [`Change`] is committed together with the receipt
//! that tells of it, or not at all. Never decides; never deletes. The trait is [`Store`].

use std::collections::BTreeMap;
use std::fmt;

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::id::{BackupId, ChannelId, DatasetId, Kid, LocationId, PlanId};
use jiff::Timestamp;

use crate::domain::{
    Acknowledgement, AlertRecord, Change, DamagedObject, LocationIdentity, Operation, PartRead,
    PartReading, Pruning, ReceiptCopy, RefusedBundle, Run, SlotRecord, StoredBundle,
    StoredCondition, Suspension, Tallied,
};

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
    /// A later life of the process holds it.
    #[error(
        "another `seawalld` process (start {newest}) has taken over the state store; this one is start {epoch}"
    )]
    TakenOver {
        /// This life.
        epoch: u64,
        /// The newest.
        newest: u64,
    },
    /// An operation would be begun a second time.
    #[error("operation `{operation_id}` was begun before")]
    OperationKnown {
        /// The operation.
        operation_id: String,
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
            Self::TakenOver { .. } => code::STORE_TAKEN_OVER,
            Self::OperationKnown { .. } => code::PRECONDITION_FAILED,
            Self::SlotRecorded { .. } => code::SLOT_RECORDED,
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Locked { .. } => {
                "the service does what is due automatically; `seawalld once` runs when no other `seawalld` runs"
            }
            Self::Unusable { .. } => "check free space and permissions of the state folder",
            Self::Damaged { .. } => {
                "keep the file for analysis, restore the state folder, or begin with an empty one"
            }
            Self::Migration { .. } => "run the version that wrote it, or a newer one",
            Self::NotNext { .. } => "start it again; it reads the log as it is stored",
            Self::TakenOver { .. } => {
                "let one unit on one machine start `seawalld`, and keep the state folder on a local disk"
            }
            Self::OperationKnown { .. } => "report this as a bug; nothing was begun twice",
            Self::SlotRecorded { .. } => "report this as a bug; nothing was recorded twice",
        }
    }
}

/// What the daemon remembers. One process holds it; calls block.
pub trait Store: fmt::Debug + Send + Sync {
    /// Commits all changes and all receipts in one transaction, or nothing; nothing, too, when a later life has taken it over.
    fn commit(&self, changes: &[Change], receipts: &[ReceiptLine]) -> Result<(), StoreError>;
    /// The bundle in force.
    fn accepted(&self) -> Result<Option<StoredBundle>, StoreError>;
    /// The newest refusal: the digest of what was refused, and the code.
    fn last_refusal(&self) -> Result<Option<(Digest, String)>, StoreError>;
    /// When the first bundle with each plan was accepted; of one plan or of all.
    fn plans_since(&self, plan: Option<&PlanId>)
    -> Result<BTreeMap<PlanId, Timestamp>, StoreError>;
    /// Terminal records, oldest first; of one plan or of all.
    fn slots(&self, plan: Option<&PlanId>) -> Result<Vec<SlotRecord>, StoreError>;
    /// At most so many terminal records, newest first, each with its number; of one plan or of all, those before a number alone.
    fn slots_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<(u64, SlotRecord)>, StoreError>;
    /// The newest terminal records of a plan as of an instant, newest first, at most so many: what a clock wrote that was ahead of it
    /// does not count.
    fn newest_slots(
        &self,
        plan: &PlanId,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<SlotRecord>, StoreError>;
    /// The newest of them.
    fn last_slot(&self, plan: &PlanId, now: Timestamp) -> Result<Option<SlotRecord>, StoreError> {
        Ok(self.newest_slots(plan, now, 1)?.into_iter().next())
    }
    /// The catalog, oldest first. Grows for ever.
    fn runs(&self) -> Result<Vec<Run>, StoreError>;
    /// Runs that left a recovery point, oldest first; of one plan or of all.
    fn points(&self, plan: Option<&PlanId>) -> Result<Vec<Run>, StoreError>;
    /// At most so many recovery points, newest first; of one plan or of all, those before one of them alone.
    fn points_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<&BackupId>,
        most: u32,
    ) -> Result<Vec<Run>, StoreError>;
    /// The newest recovery points of a repository, newest first, at most so many.
    fn newest_points(&self, plan: &PlanId, kid: &Kid, most: u32) -> Result<Vec<Run>, StoreError>;
    /// The newest recovery points that the catalog names at a location, newest first, at most so many. Reads the whole catalog where
    /// it names none.
    fn points_at(&self, location: &LocationId, most: u32) -> Result<Vec<Run>, StoreError>;
    /// The run that left this recovery point.
    fn point(&self, id: &BackupId) -> Result<Option<Run>, StoreError>;
    /// The run of a plan that began last, however it ended.
    fn newest_run(&self, plan: &PlanId) -> Result<Option<Run>, StoreError>;
    /// All operations, oldest first. Grows for ever.
    fn operations(&self) -> Result<Vec<Operation>, StoreError>;
    /// Operations without an outcome, or of an unknown one, oldest first; of one plan or of all.
    fn open_operations(&self, plan: Option<&PlanId>) -> Result<Vec<Operation>, StoreError>;
    /// Backups that were begun for slots of a plan after an instant, or for any, oldest first.
    fn operations_of_slots(
        &self,
        plan: &PlanId,
        after: Option<Timestamp>,
    ) -> Result<Vec<Operation>, StoreError>;
    /// The newest operations of a plan that ended with a code, at most so many.
    fn operations_with_error(
        &self,
        plan: &PlanId,
        error: Code,
        most: u32,
    ) -> Result<Vec<String>, StoreError>;
    /// The newest restore over the live data of a dataset that has not failed.
    fn last_restore(&self, dataset: &DatasetId) -> Result<Option<Operation>, StoreError>;
    /// When the newest operation began.
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
    /// What ended so far, counted.
    fn tallies(&self) -> Result<Vec<Tallied>, StoreError>;
    /// What ended between two instants, counted: whole hours, that of the first instant among them.
    fn tallies_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Tallied>, StoreError>;
    /// Alerts that are active, or of which a channel has to hear that they are over.
    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError>;
    /// Up to which place in the receipt log each channel was sent what ended.
    fn completions_sent(&self) -> Result<BTreeMap<ChannelId, u64>, StoreError>;
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
    /// Plans whose schedule a person suspended, those of which the end has come among them; one or all.
    fn suspensions(
        &self,
        plan: Option<&PlanId>,
    ) -> Result<BTreeMap<PlanId, Suspension>, StoreError>;
    /// When each part of a plan's repositories was last read at each location.
    fn parts_read(&self, plan: &PlanId) -> Result<Vec<PartRead>, StoreError>;
    /// Readings of a plan's repositories that are not at their end.
    fn parts_reading(&self, plan: &PlanId) -> Result<Vec<PartReading>, StoreError>;
    /// How many recovery points count against a delete budget that began at an instant: removed since, or about to be.
    fn deletions_since(&self, at: Timestamp) -> Result<u64, StoreError>;
    /// The snapshots of a repository that were deleted last, at most so many.
    fn deleted_snapshots(
        &self,
        plan: &PlanId,
        kid: &Kid,
        most: u32,
    ) -> Result<Vec<String>, StoreError>;
    /// The newest prune of each of a plan's repositories.
    fn prunes(&self, plan: &PlanId) -> Result<Vec<Pruning>, StoreError>;
    /// Objects of a plan's repositories that are damaged or missing now.
    fn damaged_objects(&self, plan: &PlanId) -> Result<Vec<DamagedObject>, StoreError>;
    /// The number of this life of the process; each opening counts one up. Nothing is committed once there is a higher one.
    fn epoch(&self) -> u64;
    /// Fails when a later life has taken the store over.
    fn holds(&self) -> Result<(), StoreError>;
    /// Whether the life before may still act: its lock was not the one that this life holds.
    fn took_over(&self) -> bool;
    /// From now on the lock of this life is the one that counts.
    fn settle(&self) -> Result<(), StoreError>;
    /// The life of another process that holds the store beside this one; none when this one holds it, or none does.
    fn running(&self) -> Option<u64>;
}
