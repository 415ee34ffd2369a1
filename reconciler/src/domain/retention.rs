//! Owns what is remembered of recovery points that retention lets go, and of the removal of what nothing needs.

use contract::id::{BackupId, Kid, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A recovery point that is to be deleted when its grace is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaving {
    /// When it was marked.
    pub since: Timestamp,
    /// Why retention lets it go.
    pub why: String,
}

/// A recovery point that is at no location any more, as retention wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The recovery point.
    pub backup_id: BackupId,
    /// Its plan.
    pub plan_id: PlanId,
    /// The key of its repository.
    pub kid: Kid,
    /// Its snapshot, which an older copy of a location may bring back.
    pub snapshot_id: String,
    /// What removed it.
    pub operation_id: String,
    /// When.
    pub at: Timestamp,
}

/// The newest prune of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruning {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// When it began.
    pub at: Timestamp,
    /// Packs that stay until their grace is over.
    pub marked: u64,
    /// Whether it came to its end.
    pub is_good: bool,
}
