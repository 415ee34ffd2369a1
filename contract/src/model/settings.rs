//! Owns the settings kinds: the only documents that hold policy numbers. Never holds a URL, a path or a secret.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::domain::{DomainKind, FaultDomain, FaultDomains};
use super::inventory::Plane;
use super::lifecycle::DataRetention;
use super::watch::{AlertPolicy, NotificationChannel};
use crate::duration::Seconds;
use crate::id::{
    AlertId, ApprovalId, ChannelId, ConnectorId, DataRetentionId, DatasetId, EnvironmentId, Kid,
    LocationId, ObjectiveId, ReconcilerId, RedundancyId, RetentionId, RoleId, ScheduleId, SiteId,
    StorageId, TierId,
};

/// The shortest `delete_grace` that the compiler accepts. A lock of restic, or a lease, may live this long: its holder may still
/// rely on what was marked after it began, and a shorter grace could delete that first.
pub const MIN_DELETE_GRACE: Seconds = Seconds::hours(23);

/// All settings of the model, by collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Objectives by id.
    pub objectives: BTreeMap<ObjectiveId, Objective>,
    /// Schedules by id.
    pub schedules: BTreeMap<ScheduleId, Schedule>,
    /// Retention classes by id.
    pub retention: BTreeMap<RetentionId, Retention>,
    /// Redundancy profiles by id.
    pub redundancy: BTreeMap<RedundancyId, Redundancy>,
    /// Storage profiles by id.
    pub storage: BTreeMap<StorageId, StorageProfile>,
    /// Sites by id.
    pub sites: BTreeMap<SiteId, Site>,
    /// Locations by id.
    pub locations: BTreeMap<LocationId, Location>,
    /// Keys by kid.
    pub keys: BTreeMap<Kid, Key>,
    /// Connectors by id.
    pub connectors: BTreeMap<ConnectorId, Connector>,
    /// Tiers by id.
    pub tiers: BTreeMap<TierId, Tier>,
    /// Approval policies by id.
    pub approvals: BTreeMap<ApprovalId, ApprovalPolicy>,
    /// Roles by id.
    pub roles: BTreeMap<RoleId, Role>,
    /// What governance says of data, by id.
    #[serde(default)]
    pub data_retention: BTreeMap<DataRetentionId, DataRetention>,
    /// Alert policies by id.
    #[serde(default)]
    pub alerts: BTreeMap<AlertId, AlertPolicy>,
    /// Notification channels by id.
    #[serde(default)]
    pub channels: BTreeMap<ChannelId, NotificationChannel>,
}

impl Settings {
    /// The channels that some alert policy notifies.
    pub fn notified_channels(&self) -> BTreeSet<&ChannelId> {
        let policies = self.alerts.values();
        let steps = policies.flat_map(|policy| &policy.escalation);
        steps.flat_map(|step| &step.channels).collect()
    }
}

/// The header of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: String,
    /// The module that the settings are for.
    pub module_id: String,
    /// The version of the settings' schema.
    pub schema_version: String,
    /// The versions of policy that went into it; receipts name them.
    pub policy_version_ids: Vec<String>,
    /// The instant from which it holds; the calendar's horizon of proofs begins here.
    pub effective_from: Timestamp,
}

/// How much may be lost and how long recovery may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Its id.
    pub objective_id: ObjectiveId,
    /// Recovery point objective.
    pub rpo_s: Seconds,
    /// Recovery time objective.
    pub rto_s: Seconds,
}

/// When backups run. Exactly one of `cron` (with `timezone`), `every_s` and `continuous` is present;
/// `Schedule::timing` in [`crate::calendar`] reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its id.
    pub schedule_id: ScheduleId,
    /// A five-field cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA zone in which `cron` is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// A period, counted from 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<Seconds>,
    /// Continuous archiving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuous: Option<Continuous>,
    /// Runs are spread over this long after the slot.
    pub jitter_s: Seconds,
    /// A run begins at most this long after the slot.
    pub start_window_s: Seconds,
    /// A run, its verification included, ends at most this long after the slot.
    pub completion_window_s: Seconds,
    /// Slots in a row that may end without a usable point.
    pub tolerated_misses: u32,
    /// What happens to slots that were missed.
    pub catch_up: CatchUp,
}

/// Continuous archiving: there are no slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continuous {
    /// How far the archive may lag behind the source.
    pub max_lag_s: Seconds,
}

/// What happens to slots that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The latest missed slot runs, late; earlier ones are recorded as missed.
    Latest,
    /// Missed slots are recorded as missed.
    None,
}

/// What is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Its id.
    pub retention_id: RetentionId,
    /// Floor: never fewer points than this.
    pub min_versions: u32,
    /// Floor: no point younger than this is forgotten.
    pub min_duration_s: Seconds,
    /// Which points are kept beyond the floors.
    pub keep: Keep,
    /// No point older than this is kept, floors aside; absent where the policy says `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<Seconds>,
    /// Nobody may delete a point within this time of its slot.
    pub immutable_for_s: Seconds,
}

/// Retention rules; they are ORed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The newest points, counted.
    pub last: u32,
    /// The newest point of each of the last hours that have one.
    pub hourly: u32,
    /// The same for days.
    pub daily: u32,
    /// The same for ISO weeks.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
}

/// How many copies, how far apart, and when a point counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redundancy {
    /// Its id.
    pub redundancy_id: RedundancyId,
    /// Copies at different locations.
    pub copies: u32,
    /// Distinct fault domains that the copies must span, by kind.
    pub distinct: Distinct,
    /// Copies at locations that are immutable.
    pub immutable_copies: u32,
    /// Locations that must hold a point before it counts.
    pub commit: u32,
    /// By when the other locations hold it, counted from the commit.
    pub copy_within_s: Seconds,
}

/// Distinct fault domains that copies must span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distinct {
    /// Providers.
    pub provider: u32,
    /// Regions.
    pub region: u32,
    /// Zones.
    pub zone: u32,
    /// Accounts.
    pub account: u32,
    /// Credentials that can delete.
    pub credential: u32,
    /// Engines that write.
    pub engine: u32,
}

impl Distinct {
    /// The numbers with the names of their kinds.
    pub const fn kinds(&self) -> [(&'static str, u32); 6] {
        let Self {
            provider,
            region,
            zone,
            account,
            credential,
            engine,
        } = self;
        [
            ("provider", *provider),
            ("region", *region),
            ("zone", *zone),
            ("account", *account),
            ("credential", *credential),
            ("engine", *engine),
        ]
    }
}

/// A set of locations with what restoring from them takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageProfile {
    /// Its id.
    pub storage_id: StorageId,
    /// The locations.
    pub locations: BTreeSet<LocationId>,
    /// Bytes that a restore from here reads in a second.
    pub restore_throughput_bytes_per_second: u64,
    /// Time before the first byte of a cold copy can be read.
    pub thaw_time_s: Seconds,
}

/// Where live data or a standby runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its id.
    pub site_id: SiteId,
    /// The fault domains in which it stands.
    pub fault_domains: FaultDomains,
    /// The machine of its reconciler, a fault domain of kind `host`.
    pub host: String,
    /// Where data that stays here resides, by law.
    pub residency: String,
    /// The one reconciler that acts here.
    pub reconciler_id: ReconcilerId,
}

/// Where recovery points are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Its id.
    pub location_id: LocationId,
    /// The site it belongs to.
    pub site: SiteId,
    /// The fault domains in which it stands.
    pub fault_domains: FaultDomains,
    /// Where copies kept here reside, by law.
    pub residency: String,
    /// How quickly copies can be read.
    pub class: StorageClass,
    /// Whether the store refuses deletes for a time.
    pub immutable: bool,
    /// What fits.
    pub capacity_bytes: u64,
    /// What passes in a second.
    pub bandwidth_bytes_per_second: u64,
}

/// How quickly copies can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageClass {
    /// At once.
    Hot,
    /// At once, at a price.
    Warm,
    /// After a thaw.
    Archive,
}

/// A key that seals recovery points. Never the key's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its id, without the prefix `kid:`.
    pub kid: Kid,
    /// The fault domain that takes the key with it.
    pub custody: FaultDomain,
    /// The dataset that holds the key's bytes, such as the database of a secrets store: the key comes back only when that dataset
    /// does. Absent for a key that no data holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<DatasetId>,
    /// The key may seal nothing after this instant.
    pub not_after: Timestamp,
    /// A new key takes over after this long.
    pub rotation_period_s: Seconds,
}

/// What policy relies on when it names a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Its id.
    pub connector_id: ConnectorId,
    /// What policy relies on; a real connector that declares less is stalled.
    pub capabilities: BTreeSet<Capability>,
    /// What a recovery point of it is consistent with.
    pub consistency: Consistency,
    /// How old data may be when the connector reads it (a replica's lag).
    pub source_lag_s: Seconds,
    /// The software that writes the copies, a fault domain of kind `engine`.
    pub engine: String,
}

/// What a connector can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Take recovery points.
    Backup,
    /// Read only what changed.
    Incremental,
    /// Restore over the live data, with a pre-restore recovery point.
    RestoreInPlace,
    /// Restore beside the live data.
    RestoreSideBySide,
    /// Restore into an empty folder.
    RestoreExport,
    /// Check restored data.
    Validate,
    /// Tell size and freshness of the live data.
    Observe,
}

/// What a recovery point is consistent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// One transaction's view.
    Transaction,
    /// Whole records up to an offset.
    Record,
    /// Each file for itself.
    File,
}

impl Consistency {
    /// More is stronger.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Transaction => 2,
            Self::Record => 1,
            Self::File => 0,
        }
    }

    /// As policy writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Record => "record",
            Self::File => "file",
        }
    }
}

/// How critical a dataset is, and what it must survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Its id.
    pub tier_id: TierId,
    /// Order of criticality: 0 is the most critical.
    pub rank: u32,
    /// The losses that it must survive, each with its objective.
    pub survives: Vec<Survival>,
    /// A restore is tested at least this often; absent where the policy says `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_test_every_s: Option<Seconds>,
    /// A drill runs at least this often; absent where the policy says `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_every_s: Option<Seconds>,
    /// Evidence older than this is stale.
    pub staleness_limit_s: Seconds,
    /// How often stored data is read again.
    pub verification: VerificationCadence,
}

/// One loss that a tier must survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survival {
    /// What is lost: any single fault domain of this kind, or the live data alone, or its integrity.
    pub lose: LoseCase,
    /// What must hold then.
    pub objective: Objective,
}

/// What a tier loses: `none` is the live data alone, `corruption` its integrity, else one domain of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

impl LoseCase {
    /// The kind of fault domain that is lost, if one is.
    pub const fn domain_kind(self) -> Option<DomainKind> {
        match self {
            Self::None | Self::Corruption => None,
            Self::Provider => Some(DomainKind::Provider),
            Self::Region => Some(DomainKind::Region),
            Self::Zone => Some(DomainKind::Zone),
            Self::Account => Some(DomainKind::Account),
            Self::Credential => Some(DomainKind::Credential),
            Self::Key => Some(DomainKind::Key),
            Self::Engine => Some(DomainKind::Engine),
            Self::Host => Some(DomainKind::Host),
        }
    }
}

/// How often stored data is read again, and how much of it each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationCadence {
    /// The cadence.
    pub every_s: Seconds,
    /// The whole percent that one run reads; 100/portion runs cover everything.
    pub portion_percent: u32,
}

/// Who must approve an action, where, and for which tiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPolicy {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The action.
    pub action: Action,
    /// The environments in which it applies.
    pub environments: BTreeSet<EnvironmentId>,
    /// The tiers to which it applies.
    pub tiers: BTreeSet<TierId>,
    /// How many persons must approve; 0 lets the action run unattended.
    pub approvals: u32,
    /// Whose approval counts.
    pub roles: BTreeSet<RoleId>,
    /// A request that is not approved by then ends.
    pub request_expiry_s: Seconds,
    /// An approved request that is not run by then ends.
    pub execution_expiry_s: Seconds,
}

/// An action that may need approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its id.
    pub role_id: RoleId,
    /// What people call it.
    pub name: String,
    /// The actions that it may request or approve.
    pub may: BTreeSet<Action>,
}

/// An environment: one bundle is compiled for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its id.
    pub environment_id: EnvironmentId,
    /// Whether real users depend on it; production overrides nothing.
    pub production: bool,
    /// The planes that it runs.
    pub planes: BTreeSet<Plane>,
    /// How long a bundle is fresh after it was issued.
    pub bundle_validity_s: Seconds,
    /// A waiver may have at most this long to go; absent where policy sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver_limit_s: Option<Seconds>,
    /// Times in which no backup starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze_windows: Vec<FreezeWindow>,
    /// Times in which heavy work that can wait is done; any time where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// How much may be deleted; absent where nothing may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_budget: Option<DeleteBudget>,
    /// How long what is to be deleted stays marked before it is, at least [`MIN_DELETE_GRACE`]; nothing is deleted where it is
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_grace_s: Option<Seconds>,
}

/// A time in which no backup starts. It must not contain a slot of a plan: policy that counts on a slot is not frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeWindow {
    /// Its first second.
    pub from: Timestamp,
    /// The first second after it.
    pub to: Timestamp,
    /// The planes that it freezes.
    pub planes: BTreeSet<Plane>,
    /// Why.
    pub reason: String,
}

/// A time that comes again and again, in which heavy work is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// When it begins, as five cron fields.
    pub cron: String,
    /// The IANA zone in which `cron` is read.
    pub timezone: String,
    /// How long it lasts.
    pub lasts_s: Seconds,
}

/// How much may be deleted within a time, before a person looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteBudget {
    /// Recovery points.
    pub points: u32,
    /// Counted over this long.
    pub within_s: Seconds,
}
