//! Owns who hears of what: thresholds, escalation, and channels by id. Never holds an address or a secret; the reconciler
//! binds what a channel is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::duration::Seconds;
use crate::id::{AlertId, ChannelId, TierId};

/// What is watched for some tiers, and who hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertPolicy {
    /// Its id.
    pub alert_id: AlertId,
    /// The tiers that it watches.
    pub tiers: BTreeSet<TierId>,
    /// What is watched.
    pub thresholds: Vec<Threshold>,
    /// The time over which shares are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_s: Option<Seconds>,
    /// Who hears of it, and of what nobody took on since.
    pub escalation: Vec<EscalationStep>,
}

/// One number that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Which.
    pub watch: Watch,
    /// The whole percent at which it is a warning.
    pub warning_percent: u32,
    /// The whole percent at which it is critical.
    pub critical_percent: u32,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// Slots that ended with a usable point; fewer are worse.
    BackupSuccess,
    /// Restore tests that brought the data back; fewer are worse.
    RestoreSuccess,
    /// Checks that found stored data whole; fewer are worse.
    Integrity,
    /// What is used of the capacity of a location; more is worse.
    Capacity,
    /// How much of the objective the age of the newest usable point is; more is worse.
    ObjectiveUsed,
}

impl Watch {
    /// As policy writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackupSuccess => "backup_success",
            Self::RestoreSuccess => "restore_success",
            Self::Integrity => "integrity",
            Self::Capacity => "capacity",
            Self::ObjectiveUsed => "objective_used",
        }
    }

    /// Whether it is a share of what happened, counted over a window.
    pub const fn is_share(self) -> bool {
        match self {
            Self::BackupSuccess | Self::RestoreSuccess | Self::Integrity => true,
            Self::Capacity | Self::ObjectiveUsed => false,
        }
    }

    /// The ends that a share counts; `success` is the good one among them, and a number that is no share counts none.
    pub const fn counted_ends(self) -> &'static [&'static str] {
        match self {
            Self::BackupSuccess => &["success", "failure", "missed"],
            Self::RestoreSuccess => &["success", "partial", "failure"],
            // A check that gives way to a backup is partial: it found nothing wrong, and continues later.
            Self::Integrity => &["success", "failure"],
            Self::Capacity | Self::ObjectiveUsed => &[],
        }
    }

    /// Whether a larger number is worse.
    pub const fn more_is_worse(self) -> bool {
        match self {
            Self::BackupSuccess | Self::RestoreSuccess | Self::Integrity => false,
            Self::Capacity | Self::ObjectiveUsed => true,
        }
    }
}

/// One step of an escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationStep {
    /// When nobody took it on for this long.
    pub after_s: Seconds,
    /// The channels that hear of it then.
    pub channels: BTreeSet<ChannelId>,
}

/// A channel by which people hear of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationChannel {
    /// Its id, which the reconciler binds.
    pub channel_id: ChannelId,
    /// What people call it.
    pub name: String,
    /// How it reaches them.
    pub medium: Medium,
}

/// How a channel reaches people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// Mail.
    Mail,
    /// A chat room.
    Chat,
    /// A pager.
    Paging,
    /// Another program.
    Webhook,
}

impl Medium {
    /// As policy writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Chat => "chat",
            Self::Paging => "paging",
            Self::Webhook => "webhook",
        }
    }
}
