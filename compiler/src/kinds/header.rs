//! Owns the shapes of Snapshot and Defaults: the header of the settings and the only fallbacks there are.

use schemars::JsonSchema;

use super::text::{Id, Instant, Text};

/// The header of the settings: which policy this is, and from when it holds.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: Id,
    /// The module that the settings are for.
    pub module_id: Id,
    /// The version of the settings' schema.
    pub schema_version: Text,
    /// The versions of policy that went into it; receipts name them.
    pub policy_version_ids: Vec<Text>,
    /// The instant from which it holds; proofs over the calendar begin here.
    pub effective_from: Instant,
}

/// Values for policy fields that documents leave out, by collection. The collections are added when the schema is
/// built: exactly the fields that a kind leaves to Defaults.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Its id.
    pub defaults_id: Id,
}
