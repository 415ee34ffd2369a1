//! Owns the values that the daemon remembers: one [`Change`] for each kind of them. Never says how or where they are kept.

use std::collections::BTreeSet;

use contract::digest::Digest;
use contract::id::{ChannelId, DatasetId, Kid, LocationId, PlanId};
use contract::seal::Serial;
use jiff::Timestamp;

use super::{
    AlertRecord, DamagedObject, Deletion, Operation, Outcome, PartRead, PartReading, Pruning, Run,
    SlotRecord, StoredCondition, Suspension,
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
    OperationBegun(Operation),
    /// It ended, or an unknown one was resolved.
    OperationEnded {
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
    /// A recovery point is at no location any more, as retention wanted.
    PointRemoved(Deletion),
    /// A repository was pruned; replaces what was known of it.
    Pruned(Pruning),
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
    /// An alert as it is now.
    Alert(Box<AlertRecord>),
    /// An alert is over, and every channel that was notified of it knows.
    AlertOver {
        /// Which one.
        alert_id: String,
    },
    /// A channel was sent what ended, up to a place in the receipt log.
    CompletionsSent {
        /// The channel.
        channel_id: ChannelId,
        /// How many receipts.
        receipts: u64,
    },
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
