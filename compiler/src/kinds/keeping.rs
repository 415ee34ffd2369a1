//! Owns the shapes of RetentionClass, RedundancyProfile and StorageProfile: what is kept, how many copies, and where.

use schemars::JsonSchema;

use super::text::{
    Count, DurationOrNone, DurationOrZero, EnvironmentId, Id, LocationId, Optional, OrDefault,
    Positive, Rate, SetOf, SomeOf, Target,
};

/// What is kept, and for how long.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionClass {
    /// Its id.
    pub retention_id: Id,
    /// Floor: never fewer recovery points than this.
    pub min_versions: OrDefault<Positive>,
    /// Floor: no recovery point younger than this is forgotten.
    pub min_duration: OrDefault<DurationOrZero>,
    /// Which recovery points are kept beyond the floors.
    pub keep: OrDefault<Keep>,
    /// No recovery point older than this is kept, floors aside; `none` for no limit.
    pub max_duration: OrDefault<DurationOrNone>,
    /// Nobody may delete a recovery point within this time of its slot.
    pub immutable_for: OrDefault<DurationOrZero>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

impl Target for RetentionClass {
    const TARGET: &'static str = "retention";
}

/// Retention rules; they are ORed.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The newest recovery points, counted.
    pub last: OrDefault<Count>,
    /// The newest of each of the last hours that have one.
    pub hourly: OrDefault<Count>,
    /// The same for days.
    pub daily: OrDefault<Count>,
    /// The same for ISO weeks.
    pub weekly: OrDefault<Count>,
    /// The same for months.
    pub monthly: OrDefault<Count>,
    /// The same for years.
    pub yearly: OrDefault<Count>,
}

/// How many copies, how far apart, and when a recovery point counts.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedundancyProfile {
    /// Its id.
    pub redundancy_id: Id,
    /// Copies at different locations.
    pub copies: OrDefault<Positive>,
    /// Distinct fault domains that the copies must span, by kind.
    pub distinct: OrDefault<Distinct>,
    /// Copies at locations that are immutable.
    pub immutable_copies: OrDefault<Count>,
    /// Locations that must hold a recovery point before it counts.
    pub commit: OrDefault<Positive>,
    /// By when the other locations hold it, counted from the commit.
    pub copy_within: OrDefault<DurationOrZero>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// Distinct fault domains that copies must span.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distinct {
    /// Providers.
    pub provider: OrDefault<Count>,
    /// Regions.
    pub region: OrDefault<Count>,
    /// Zones.
    pub zone: OrDefault<Count>,
    /// Accounts.
    pub account: OrDefault<Count>,
    /// Credentials that can delete.
    pub credential: OrDefault<Count>,
    /// Engines that write.
    pub engine: OrDefault<Count>,
}

/// A set of locations with what restoring from them takes.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageProfile {
    /// Its id.
    pub storage_id: Id,
    /// The locations.
    pub locations: SomeOf<LocationId>,
    /// What a restore from here reads in a second.
    pub restore_throughput: OrDefault<Rate>,
    /// Time before the first byte of a cold copy can be read.
    pub thaw_time: OrDefault<DurationOrZero>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}
