//! Owns backup plans, resolved: every number that a reference led to stands in the plan itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::inventory::Plane;
use super::settings::{Redundancy, Retention, Schedule};
use crate::duration::Seconds;
use crate::id::{DatasetId, Kid, LocationId, PlanId, StorageId};

/// A backup plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPlan {
    /// Its id.
    pub plan_id: PlanId,
    /// What people call it.
    pub name: String,
    /// What it protects; one run takes all of them into one recovery point.
    pub dataset_ids: BTreeSet<DatasetId>,
    /// The plane it acts in.
    pub plane: Plane,
    /// When it runs.
    pub backup_frequency: Schedule,
    /// When a run is a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_frequency: Option<Schedule>,
    /// The RPO that the plan promises; never looser than its strictest dataset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_rpo_s: Option<Seconds>,
    /// The RTO that the plan promises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_rto_s: Option<Seconds>,
    /// What is kept.
    pub retention: Retention,
    /// Where it is kept, by profile.
    pub storage_profiles: BTreeSet<StorageId>,
    /// The locations of those profiles together.
    pub locations: BTreeSet<LocationId>,
    /// How many copies, how far apart.
    pub redundancy_profile: Redundancy,
    /// The key that seals it, without the prefix `kid:`.
    pub encryption_key_ref: Kid,
    /// What is checked.
    pub verification: Verification,
    /// Zstandard level; 0 stores without compression.
    pub compression: u32,
    /// Parallel readers of a dump or restore.
    pub parallel_jobs: u32,
    /// How often a run that failed is tried again within its completion window; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// What a run may send in a second; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes_per_second: Option<u64>,
}

/// What a plan demands of verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Every run is verified by checksum before it counts.
    pub checksum_required: bool,
    /// Its points are restored for a test at the tier's cadence.
    pub periodic_restore_test_required: bool,
}
