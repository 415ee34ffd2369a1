//! Owns what keeps service going beside backups: standbys, and datasets that come back together. Never fails anything over.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::duration::Seconds;
use crate::id::{DatasetId, GroupId, SiteId, StandbyId};

/// A second running copy of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    /// Its id.
    pub standby_id: StandbyId,
    /// The dataset that it follows.
    pub dataset: DatasetId,
    /// The site whose data it follows.
    pub primary: SiteId,
    /// The site where it runs.
    pub standby: SiteId,
    /// How changes reach it.
    pub replication: Replication,
    /// How far it may lie behind; beyond it, the standby is no way back.
    pub lag_limit_s: Seconds,
    /// How often it shows that it lives.
    pub heartbeat_s: Seconds,
}

/// How changes reach a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// A write is acknowledged when the standby has it.
    Synchronous,
    /// The standby follows.
    Asynchronous,
}

/// Datasets that are restored and failed over together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetGroup {
    /// Its id.
    pub group_id: GroupId,
    /// What people call it.
    pub name: String,
    /// The datasets; the strictest RPO among them is that of the group.
    pub members: Vec<GroupMember>,
}

/// One dataset of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupMember {
    /// The dataset.
    pub dataset: DatasetId,
    /// The members that are back before it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<DatasetId>,
}
