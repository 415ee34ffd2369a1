//! Owns an alert as it is remembered: what is wrong, since when, and which channels were notified. Never decides about any of it.

use std::collections::{BTreeMap, BTreeSet};

use contract::code::Code;
use contract::id::{AlertId, ChannelId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It needs attention.
    Warning,
    /// An operator is needed now.
    Critical,
}

impl Severity {
    /// The word of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that is wrong, and that alert policies watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// The same problem has the same id.
    pub alert_id: String,
    /// How urgent it is.
    pub severity: Severity,
    /// Its code, whose page says what to do.
    pub code: Code,
    /// What it is about: `plan bp_shop`.
    pub subject: String,
    /// What is watched, in a few words that hold when it is over as well.
    pub title: String,
    /// What is wrong, in one line.
    pub summary: String,
    /// The alert policies that watch it.
    pub policies: BTreeSet<AlertId>,
}

/// An operator took an alert on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// In that person's words.
    pub note: String,
    /// How urgent it was then.
    pub severity: Severity,
}

/// What a channel was last notified of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notified {
    /// How urgent it was then.
    pub severity: Severity,
    /// When.
    pub at: Timestamp,
}

/// An alert and its life so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRecord {
    /// What is wrong, as it was last seen.
    pub alert: Alert,
    /// Since when.
    pub since: Timestamp,
    /// Since when it does not hold any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
    /// Whether a channel was notified of that.
    #[serde(default)]
    pub is_over: bool,
    /// Since when it is less urgent than it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eased_at: Option<Timestamp>,
    /// Whether an operator took it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
    /// The channels that were notified.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notified: BTreeMap<ChannelId, Notified>,
}

impl AlertRecord {
    /// Whether an operator took it on as it is: one that became worse since is not.
    pub fn is_taken(&self) -> bool {
        let taken = self.taken.as_ref();
        taken.is_some_and(|taken| taken.severity >= self.alert.severity)
    }
}
