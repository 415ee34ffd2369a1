//! Owns the inventory: what is protected, where it lives and how critical it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::duration::Seconds;
use crate::id::{ConnectorId, DatasetId, SiteId, TierId};

/// The planes of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Laptops and edge agents.
    Edge,
    /// What a tenant hosts.
    TenantCloud,
    /// What the platform operates for all tenants.
    ProductCloud,
    /// Trust, policy, observability, receipts.
    SharedServices,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its id.
    pub dataset_id: DatasetId,
    /// What people call it.
    pub name: String,
    /// The plane it belongs to.
    pub plane: Plane,
    /// The site where it lives.
    pub site: SiteId,
    /// The tenant whose data it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The layer of a data platform it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// What kind of store it is: `files`, `jsonl`, `sqlite`, `postgres` …
    pub store_type: String,
    /// Its tier.
    pub criticality: TierId,
    /// How sensitive it is, in the words of data governance.
    pub data_classification: String,
    /// Where it and its copies may reside.
    pub residency: BTreeSet<String>,
    /// Recovery point objective.
    pub rpo_s: Seconds,
    /// Recovery time objective.
    pub rto_s: Seconds,
    /// Whether it is backed up.
    pub eligibility: Eligibility,
    /// What it is rebuilt from; present exactly when it is reconstructed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub derived_from: BTreeSet<DatasetId>,
    /// Why it is not backed up; present exactly when it is excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// How large it is.
    pub sizing: Sizing,
    /// The connector that reads and restores it.
    pub connector: ConnectorId,
    /// The id it had before a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formerly: Option<DatasetId>,
}

/// Whether a dataset is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eligibility {
    /// By at least one plan.
    BackedUp,
    /// It is rebuilt from other datasets.
    Reconstructed,
    /// Not at all, for a reason.
    Excluded,
}

/// How large a dataset is and how quickly it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizing {
    /// Its size.
    pub size_bytes: u64,
    /// What changes in a day.
    pub change_per_day_bytes: u64,
}
