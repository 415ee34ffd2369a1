//! Owns one count of what ended.

use serde::{Deserialize, Serialize};

/// How often something ended in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tallied {
    /// `slot`, `backup`, `verify`, `catch_up` or `restore`; `added_bytes` counts bytes.
    pub what: String,
    /// The plan; the dataset of a restore.
    pub subject: String,
    /// How it ended.
    pub outcome: String,
    /// How often.
    pub count: u64,
}
