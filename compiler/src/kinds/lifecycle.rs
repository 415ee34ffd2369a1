//! Owns the shape of DataRetention: what the law and data governance say of data of a classification or a layer.

use schemars::JsonSchema;

use super::text::{DurationOrNone, DurationOrZero, EnvironmentId, Flag, Id, Optional, SetOf};

/// What governance says of the data of a classification or a layer.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataRetention {
    /// Its id.
    pub data_retention_id: Id,
    /// The classification that it is about; any where it is absent.
    pub data_classification: Optional<Id>,
    /// The layer that it is about; any where it is absent.
    pub layer: Optional<Id>,
    /// Recovery points are kept at least this long.
    pub min_duration: DurationOrZero,
    /// Recovery points are kept at most this long, or `none`.
    pub max_duration: DurationOrNone,
    /// Live data is archived after this long, or `none`.
    pub archive_after: DurationOrNone,
    /// Live data is purged after this long, or `none`.
    pub purge_after: DurationOrNone,
    /// Nothing of it may be purged, whatever else is written.
    pub legal_hold: Flag,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}
