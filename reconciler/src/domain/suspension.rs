//! Owns that a person wants no scheduled backups of a plan for a time.

use contract::id::PlanId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// No scheduled backup of the plan begins before its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The plan.
    pub plan_id: PlanId,
    /// Its end.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who wanted it.
    pub actor: String,
    /// Since when.
    pub at: Timestamp,
}
