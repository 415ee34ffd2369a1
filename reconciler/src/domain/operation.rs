//! Owns what is known of one operation: its intent, its state, and its outcome once there is one. How it gets from one state to the
//! next is [`crate::operation::transition`].

use std::collections::BTreeSet;

use contract::id::{BackupId, DatasetId, Kid, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupType;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Takes a recovery point.
    Backup,
    /// Reads one again.
    Verify,
    /// Copies what a location misses.
    CatchUp,
    /// Brings data back.
    Restore,
    /// Marks a recovery point that retention lets go, or takes the mark back.
    Retention,
    /// Removes recovery points, and what nothing needs any more.
    Prune,
}

impl OperationKind {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::CatchUp => "catch_up",
            Self::Restore => "restore",
            Self::Retention => "retention",
            Self::Prune => "prune",
        }
    }
}

/// How an operation ended.
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

/// Where an operation stands. Stored as the outcome, which an operation that runs has none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum State {
    /// It was decided; nothing is recorded yet, and nothing may happen.
    #[serde(skip)]
    Ready,
    /// Its intent is recorded, its outcome is not.
    #[serde(skip)]
    Running,
    /// It ended; an unknown outcome is resolved later, once.
    Ended(Outcome),
}

impl State {
    const fn running() -> Self {
        Self::Running
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    const fn is_running(&self) -> bool {
        matches!(self, Self::Running)
    }

    /// How it ended, if it did.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Ready | Self::Running => None,
        }
    }

    /// Whether an outcome is still to come: exactly one follows an intent, and an unknown one is resolved once.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Ended(Outcome::Unknown))
    }
}

/// One effect: begun with an intent, ended with exactly one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `<kind>.<subject>.<attempt>`.
    pub operation_id: String,
    /// What it does.
    pub kind: OperationKind,
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
    /// Whether it takes what a restore is about to replace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_restore: bool,
    /// What it restores, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<Restores>,
    /// The recovery points that it removes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removes: BTreeSet<BackupId>,
    /// The kid of the repository it works in.
    pub kid: Kid,
    /// When it began.
    pub started_at: Timestamp,
    /// When it must have ended.
    pub deadline: Timestamp,
    /// Which life of the process began it.
    pub epoch: u64,
    /// Where it stands.
    #[serde(
        rename = "outcome",
        default = "State::running",
        skip_serializing_if = "State::is_running"
    )]
    pub state: State,
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

/// What can be seen of an in-place restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// The live data are the restored ones, the old ones are kept here.
    Done {
        /// Its name.
        kept: String,
    },
    /// The live data are the restored ones, the old ones are not put aside yet.
    Exchanged,
    /// The live data are the old ones; this is what was left beside them.
    NotDone {
        /// Its name.
        left: String,
    },
}
