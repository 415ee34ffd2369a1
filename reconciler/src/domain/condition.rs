//! Owns a condition as it is remembered, so that its beginning outlives the process.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A condition as it was last told, so that `since` survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCondition {
    /// The plan; for the whole empty, or [`FURTHER`](Self::FURTHER) and a code.
    pub subject: String,
    /// The word of the condition.
    pub condition: String,
    /// Its code, or empty.
    pub code: String,
    /// Since when.
    pub since: Timestamp,
}

impl StoredCondition {
    /// What the subjects of further conditions of the whole begin with; no plan's id does.
    pub const FURTHER: &str = ":";

    /// Whether it is about the whole.
    pub fn is_of_the_whole(&self) -> bool {
        self.subject.is_empty() || self.subject.starts_with(Self::FURTHER)
    }
}
