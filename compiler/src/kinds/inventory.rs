//! Owns the shape of Dataset: what is protected, where it lives and how critical it is.

use schemars::JsonSchema;

use super::text::{
    ConnectorId, DatasetId, Id, Optional, OrDefault, Policy, Rpo, Rto, SiteId, Size, SomeOf, Text,
    TierId,
};

/// The planes of a platform.
#[derive(Debug, JsonSchema)]
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
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its id.
    pub dataset_id: Id,
    /// What people call it.
    pub name: Text,
    /// The plane it belongs to.
    pub plane: Plane,
    /// The site where it lives.
    pub site: SiteId,
    /// The tenant whose data it is.
    pub tenant: Optional<Id>,
    /// The layer of a data platform it belongs to.
    pub layer: Optional<Id>,
    /// What kind of store it is: `files`, `jsonl`, `sqlite`, `postgres` …
    pub store_type: Id,
    /// Its tier.
    pub criticality: TierId,
    /// How sensitive it is, in the words of data governance.
    pub data_classification: OrDefault<Id>,
    /// Where it and its copies may reside.
    pub residency: OrDefault<SomeOf<Id>>,
    /// Recovery point objective.
    pub rpo: Policy<Rpo>,
    /// Recovery time objective.
    pub rto: Policy<Rto>,
    /// Whether it is backed up.
    pub eligibility: OrDefault<Eligibility>,
    /// What it is rebuilt from; given exactly when it is reconstructed.
    pub derived_from: Optional<SomeOf<DatasetId>>,
    /// Why it is not backed up; given exactly when it is excluded.
    pub justification: Optional<Text>,
    /// How large it is.
    pub sizing: Sizing,
    /// The connector that reads and restores it.
    pub connector: ConnectorId,
    /// The id it had before a rename.
    pub formerly: Optional<Id>,
}

/// Whether a dataset is backed up.
#[derive(Debug, JsonSchema)]
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
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sizing {
    /// Its size.
    pub size: Size,
    /// What changes in a day.
    pub change_per_day: Size,
}

/// Which datasets a plan is made for: all fields that are given must match.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The plane.
    pub plane: Optional<Plane>,
    /// The kind of store.
    pub store_type: Optional<Id>,
    /// The tier.
    pub criticality: Optional<TierId>,
    /// The classification.
    pub data_classification: Optional<Id>,
    /// The site.
    pub site: Optional<SiteId>,
    /// The tenant.
    pub tenant: Optional<Id>,
}

/// A selector is used by plans through this list of its fields, which are fields of [`Dataset`] too.
pub const SELECTOR_FIELDS: [&str; 6] = [
    "plane",
    "store_type",
    "criticality",
    "data_classification",
    "site",
    "tenant",
];
