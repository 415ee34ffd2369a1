//! Owns the shapes of AlertPolicy and NotificationChannel: what is watched, and who hears of it.

use schemars::JsonSchema;

use super::text::{
    ChannelId, Duration, DurationOrZero, EnvironmentId, Id, Optional, Percent, SetOf, SomeOf, Text,
    TierId,
};

/// What is watched for some tiers, and who hears of it.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertPolicy {
    /// Its id.
    pub alert_id: Id,
    /// The tiers that it watches.
    pub tiers: SomeOf<TierId>,
    /// What is watched.
    pub thresholds: Vec<Threshold>,
    /// The time over which shares (`backup_success`, `restore_success`, `integrity`) are counted; `seawall alerts` needs it for them.
    pub window: Optional<Duration>,
    /// Who hears of it, and of what nobody took on since.
    pub escalation: Vec<EscalationStep>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// One number that is watched.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Which.
    pub watch: Watch,
    /// The whole percent at which it is a warning.
    pub warning_percent: Percent,
    /// The whole percent at which it is critical.
    pub critical_percent: Percent,
}

/// What is watched.
#[derive(Debug, JsonSchema)]
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

/// One step of an escalation.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationStep {
    /// When nobody took it on for this long.
    pub after: DurationOrZero,
    /// The channels that hear of it then.
    pub channels: SomeOf<ChannelId>,
}

/// A channel by which people hear of something. Never an address or a secret: the reconciler binds it.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationChannel {
    /// Its id.
    pub channel_id: Id,
    /// What people call it.
    pub name: Text,
    /// How it reaches them.
    pub medium: Medium,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// How a channel reaches people.
#[derive(Debug, JsonSchema)]
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
