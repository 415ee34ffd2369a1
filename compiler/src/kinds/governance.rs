//! Owns the shapes of Tier, ApprovalPolicy, Role, Environment and Waiver: what must be survived, who decides, where, and
//! what is accepted all the same.

use schemars::JsonSchema;

use super::inventory::Plane;
use super::text::{
    Anything, Count, CronExpression, Duration, DurationOrNone, EnvironmentId, FindingCode, Flag,
    Id, Instant, Optional, OrDefault, OverridePath, Percent, Policy, RoleId, SetOf, SomeOf, Text,
    TierId, TimeZone, WaiverTarget,
};
use super::time::Objective;

/// How critical a dataset is, and what it must survive.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Its id.
    pub tier_id: Id,
    /// Order of criticality: 0 is the most critical.
    pub rank: Count,
    /// The losses that it must survive, each with its objective.
    pub survives: Vec<Survival>,
    /// A restore is tested at least this often, or `none`.
    pub restore_test_every: OrDefault<DurationOrNone>,
    /// A drill runs at least this often, or `none`.
    pub drill_every: OrDefault<DurationOrNone>,
    /// Evidence older than this is stale.
    pub staleness_limit: OrDefault<Duration>,
    /// How often stored data is read again.
    pub verification: OrDefault<VerificationCadence>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// One loss that a tier must survive.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Survival {
    /// What is lost: any single fault domain of this kind, or the live data alone, or its integrity.
    pub lose: LoseCase,
    /// What must hold then.
    pub objective: Policy<Objective>,
}

/// What a tier loses.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoseCase {
    /// Only the live data.
    None,
    /// The live data went bad unnoticed.
    Corruption,
    /// Any one provider.
    Provider,
    /// Any one region.
    Region,
    /// Any one zone.
    Zone,
    /// Any one account.
    Account,
    /// Any one credential.
    Credential,
    /// Any one key.
    Key,
    /// Any one engine.
    Engine,
    /// Any one host.
    Host,
}

/// How often stored data is read again, and how much of it each time.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationCadence {
    /// The cadence.
    pub every: OrDefault<Duration>,
    /// The whole percent that one run reads.
    pub portion_percent: OrDefault<Percent>,
}

/// Who must approve an action, where, and for which tiers.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPolicy {
    /// Its id.
    pub approval_id: Id,
    /// The action.
    pub action: Action,
    /// The environments in which it applies.
    pub environments: SomeOf<EnvironmentId>,
    /// The tiers to which it applies.
    pub tiers: SomeOf<TierId>,
    /// How many persons must approve; 0 lets the action run unattended.
    pub approvals: OrDefault<Count>,
    /// Whose approval counts.
    pub roles: SetOf<RoleId>,
    /// A request that is not approved by then ends.
    pub request_expiry: OrDefault<Duration>,
    /// An approved request that is not run by then ends.
    pub execution_expiry: OrDefault<Duration>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// An action that may need approval.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Restore over the live data.
    RestoreInPlace,
    /// Restore beside the live data.
    RestoreSideBySide,
    /// Restore into an empty folder.
    RestoreExport,
    /// Delete recovery points before their time.
    Purge,
    /// Suspend a plan.
    Suspend,
    /// Fail over, switch over or fail back.
    Failover,
    /// Run a drill.
    Drill,
    /// Act without the usual approvals.
    BreakGlass,
}

/// A role of people; the persons are held by the trust root.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its id.
    pub role_id: Id,
    /// What people call it.
    pub name: Text,
    /// The actions that it may request or approve.
    pub may: SetOf<Action>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// An environment: one bundle is compiled for each.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its id.
    pub environment_id: Id,
    /// Whether real users depend on it; production overrides nothing.
    pub production: Flag,
    /// The planes that it runs.
    pub planes: SomeOf<Plane>,
    /// How long a bundle is fresh after it was issued.
    pub bundle_validity: OrDefault<Duration>,
    /// A waiver may have at most this long to go when it is judged; without it, only each waiver's own expiry counts.
    pub waiver_limit: Optional<Duration>,
    /// Times in which no scheduled backup starts; none of them may contain a slot of a plan.
    pub freeze_windows: Optional<Vec<FreezeWindow>>,
    /// Times in which heavy work that can wait is done, such as reading stored data again; any time where none is given. What would
    /// be overdue before the next one begins is done outside of them.
    pub maintenance_windows: Optional<Vec<MaintenanceWindow>>,
    /// How much may be deleted before a person looks; nothing where it is absent. Needs `delete_grace`.
    pub delete_budget: Optional<DeleteBudget>,
    /// How long what is to be deleted stays marked, and can be had back, before it is deleted: at least 23 hours, because a lock of
    /// restic, or a lease, may live that long. Nothing is deleted where it is absent. Needs `delete_budget`.
    pub delete_grace: Optional<Duration>,
    /// What this environment sets otherwise, in this order.
    pub overrides: Optional<Vec<Override>>,
}

/// A time in which no backup starts.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeWindow {
    /// Its first second.
    pub from: Instant,
    /// The first second after it.
    pub to: Instant,
    /// The planes that it freezes.
    pub planes: SomeOf<Plane>,
    /// Why.
    pub reason: Text,
}

/// A time that comes again and again, in which heavy work is done.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// When it begins.
    pub cron: CronExpression,
    /// The zone in which `cron` is read.
    pub timezone: TimeZone,
    /// How long it lasts.
    pub lasts: Duration,
}

/// How much may be deleted within a time.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteBudget {
    /// Recovery points.
    pub points: Count,
    /// Counted over this long.
    pub within: Duration,
}

/// One value that an environment sets otherwise.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// What is changed: a field or a whole document, `*` for every id.
    pub at: OverridePath,
    /// What stands there instead.
    pub value: Anything,
}

/// A finding that was accepted: exactly this one, up to a bound, until a date.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Its id.
    pub waiver_id: Id,
    /// The code of the findings that it accepts: of a rule, ours or your own.
    pub code: FindingCode,
    /// What suffers, each as an exact path of the model: what `seawall check --format json` tells as `about`, or as `at`
    /// where `about` is empty.
    pub targets: SomeOf<WaiverTarget>,
    /// The environments in which it holds; all of them where none is named.
    pub environments: Optional<SomeOf<EnvironmentId>>,
    /// The role that answers for it.
    pub owner: RoleId,
    /// Why the finding is accepted, and what ends it.
    pub reason: Text,
    /// From this instant on it accepts nothing, and its findings return.
    pub expiry: Instant,
    /// The largest length of time that it accepts, such as a worst-case loss; demanded where the finding has one.
    pub bound: Optional<Duration>,
    /// The largest number that it accepts, such as copies that are missing; demanded where the finding has one.
    pub bound_count: Optional<Count>,
}
