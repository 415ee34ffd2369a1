//! Owns how a slot of a plan ends, and the record of it.

use contract::id::{BackupId, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotOutcome {
    /// With a usable recovery point.
    Success,
    /// It ran and left none.
    Failure,
    /// It did not run in time.
    Missed,
}

impl SlotOutcome {
    /// The word in tables and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Missed => "missed",
        }
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
