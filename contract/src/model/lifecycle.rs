//! Owns what the law and data governance say of data: how long recovery points must and may be kept, when live data is
//! archived or purged, and what is held. Never deletes anything.

use serde::{Deserialize, Serialize};

use crate::duration::Seconds;
use crate::id::DataRetentionId;

/// What governance says of the data of a classification or a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRetention {
    /// Its id.
    pub data_retention_id: DataRetentionId,
    /// The classification that it is about; any where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_classification: Option<String>,
    /// The layer that it is about; any where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Recovery points are kept at least this long.
    pub min_duration_s: Seconds,
    /// Recovery points are kept at most this long; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<Seconds>,
    /// Live data is archived after this long; absent where it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_after_s: Option<Seconds>,
    /// Live data is purged after this long; absent where it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_after_s: Option<Seconds>,
    /// Nothing of it may be purged, whatever else is written.
    pub legal_hold: bool,
}
