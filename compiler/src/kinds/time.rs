//! Owns the shapes of Objective and Schedule: how much may be lost, and when backups run.

use schemars::JsonSchema;

use super::text::{
    Count, CronExpression, Duration, DurationOrZero, EnvironmentId, Id, Optional, OrDefault,
    Policy, Rpo, Rto, SetOf, Target, TimeZone,
};

/// How much may be lost and how long recovery may take.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Its id.
    pub objective_id: Id,
    /// Recovery point objective.
    pub rpo: Policy<Rpo>,
    /// Recovery time objective.
    pub rto: Policy<Rto>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

impl Target for Objective {
    const TARGET: &'static str = "objectives";
}

/// When backups run: exactly one of `cron` with `timezone`, `every` and `continuous`.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its id.
    pub schedule_id: Id,
    /// Five cron fields: minute, hour, day of month, month, day of week.
    pub cron: Optional<CronExpression>,
    /// The IANA zone in which `cron` is read.
    pub timezone: Optional<TimeZone>,
    /// A period, counted from 1970-01-01T00:00:00Z.
    pub every: Optional<Duration>,
    /// Continuous archiving.
    pub continuous: Optional<Continuous>,
    /// Runs are spread over this long after the slot.
    pub jitter: OrDefault<DurationOrZero>,
    /// A run begins at most this long after the slot.
    pub start_window: OrDefault<DurationOrZero>,
    /// A run, its verification included, ends at most this long after the slot.
    pub completion_window: OrDefault<Duration>,
    /// Slots in a row that may end without a usable recovery point.
    pub tolerated_misses: OrDefault<Count>,
    /// What happens to slots that were missed.
    pub catch_up: OrDefault<CatchUp>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

impl Target for Schedule {
    const TARGET: &'static str = "schedules";
}

/// Continuous archiving: there are no slots.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Continuous {
    /// How far the archive may lag behind the source.
    pub max_lag: Duration,
}

/// What happens to slots that were missed.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The latest missed slot runs, late.
    Latest,
    /// Missed slots are recorded as missed.
    None,
}
