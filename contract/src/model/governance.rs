//! Owns waivers: findings that somebody accepted, for exact targets, up to a bound and a date. Never decides whether one
//! holds; the compiler does, and `diff` says that one more is weaker.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::duration::Seconds;
use crate::id::{EnvironmentId, RoleId, WaiverId};

/// An accepted finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Its id.
    pub waiver_id: WaiverId,
    /// The code of the findings that it accepts.
    pub code: String,
    /// What suffers, as exact paths of the model: `datasets/ds_orders`.
    pub targets: BTreeSet<String>,
    /// The environments in which it holds; empty where it holds in all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<EnvironmentId>,
    /// The role that answers for it.
    pub owner: RoleId,
    /// Why the finding is accepted.
    pub reason: String,
    /// From this instant on it accepts nothing.
    pub expiry: Timestamp,
    /// The largest length of time in a finding that it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_s: Option<Seconds>,
    /// The largest number in a finding that it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_count: Option<u32>,
}
