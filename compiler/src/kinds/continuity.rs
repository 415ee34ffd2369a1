//! Owns the shapes of Standby and DatasetGroup: what keeps service going beside backups, and what comes back together.

use schemars::JsonSchema;

use super::text::{DatasetId, Duration, Id, Optional, SetOf, SiteId, Text};

/// A second running copy of a dataset.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    /// Its id.
    pub standby_id: Id,
    /// The dataset that it follows.
    pub dataset: DatasetId,
    /// The site whose data it follows.
    pub primary: SiteId,
    /// The site where it runs.
    pub standby: SiteId,
    /// How changes reach it.
    pub replication: Replication,
    /// How far it may lie behind; beyond it, the standby is no way back.
    pub lag_limit: Duration,
    /// How often it shows that it lives.
    pub heartbeat: Duration,
}

/// How changes reach a standby.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// A write is acknowledged when the standby has it.
    Synchronous,
    /// The standby follows.
    Asynchronous,
}

/// Datasets that are restored and failed over together.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetGroup {
    /// Its id.
    pub group_id: Id,
    /// What people call it.
    pub name: Text,
    /// The datasets; the strictest RPO among them is that of the group.
    pub members: Vec<GroupMember>,
}

/// One dataset of a group.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMember {
    /// The dataset.
    pub dataset: DatasetId,
    /// The members that are back before it.
    pub after: Optional<SetOf<Id>>,
}
