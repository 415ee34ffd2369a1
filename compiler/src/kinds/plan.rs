//! Owns the shape of BackupPlan: how datasets are protected.

use schemars::JsonSchema;

use super::inventory::{Plane, Selector};
use super::keeping::RetentionClass;
use super::text::{
    CompressionLevel, Count, DatasetId, Flag, Id, KeyReference, Optional, OrDefault, Policy,
    Positive, Rate, RedundancyId, Rpo, Rto, SomeOf, StorageId, Text,
};
use super::time::Schedule;

/// A backup plan, for the datasets that it names or for each that it selects.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupPlan {
    /// Its id.
    pub plan_id: Id,
    /// What people call it.
    pub name: Text,
    /// What it protects; one run takes all of them into one recovery point.
    pub dataset_ids: Optional<SomeOf<DatasetId>>,
    /// In place of `dataset_ids`: one plan for each dataset that matches, `<plan_id>.<dataset_id>`.
    pub for_each: Optional<Selector>,
    /// The plane it acts in.
    pub plane: Plane,
    /// When it runs.
    pub backup_frequency: Policy<Schedule>,
    /// When a run is a full one.
    pub full_frequency: Optional<Policy<Schedule>>,
    /// The RPO that the plan promises; never looser than its strictest dataset's.
    pub target_rpo: Optional<Policy<Rpo>>,
    /// The RTO that the plan promises.
    pub target_rto: Optional<Policy<Rto>>,
    /// What is kept.
    pub retention: Policy<RetentionClass>,
    /// Where it is kept.
    pub storage_profiles: SomeOf<StorageId>,
    /// How many copies, how far apart.
    pub redundancy_profile: RedundancyId,
    /// The key that seals it.
    pub encryption_key_ref: KeyReference,
    /// What is checked.
    pub verification: OrDefault<Verification>,
    /// Zstandard level; 0 stores without compression.
    pub compression: OrDefault<CompressionLevel>,
    /// Parallel readers of a dump or restore.
    pub parallel_jobs: OrDefault<Positive>,
    /// How often a run that failed is tried again within its completion window; not at all where it is absent.
    pub retries: Optional<Count>,
    /// What a run may send to each location in a second; without limit where it is absent.
    pub bandwidth: Optional<Rate>,
}

/// What a plan demands of verification.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Every run is verified by checksum before it counts.
    pub checksum_required: OrDefault<Flag>,
    /// Its recovery points are restored for a test at the tier's cadence.
    pub periodic_restore_test_required: OrDefault<Flag>,
}
