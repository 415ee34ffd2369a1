//! Owns the shapes of Site, Location, Key and Connector: where data and copies are, and what reads and seals them.

use schemars::JsonSchema;

use super::text::{
    DatasetId, Domain, Duration, DurationOrZero, EnvironmentId, Flag, Id, Instant, Optional,
    OrDefault, Rate, SetOf, SiteId, Size, SomeOf,
};

/// Where live data or a standby runs.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its id.
    pub site_id: Id,
    /// The fault domains in which it stands.
    pub fault_domains: FaultDomains,
    /// The machine of its reconciler, a fault domain of kind `host`.
    pub host: Id,
    /// Where data that stays here resides, by law.
    pub residency: Id,
    /// The one reconciler that acts here.
    pub reconciler_id: Id,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// The fault domains in which a site or a location stands.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultDomains {
    /// The company that runs it.
    pub provider: Id,
    /// Its region.
    pub region: Id,
    /// Its zone.
    pub zone: Id,
    /// The account that owns it.
    pub account: Id,
    /// The credential that can delete there.
    pub credential: Id,
}

/// Where recovery points are kept.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Its id.
    pub location_id: Id,
    /// The site it belongs to.
    pub site: SiteId,
    /// The fault domains in which it stands.
    pub fault_domains: FaultDomains,
    /// Where copies kept here reside, by law.
    pub residency: Id,
    /// How quickly copies can be read.
    pub class: OrDefault<StorageClass>,
    /// Whether the store refuses deletes for a time.
    pub immutable: OrDefault<Flag>,
    /// What fits.
    pub capacity: OrDefault<Size>,
    /// What passes in a second.
    pub bandwidth: OrDefault<Rate>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// How quickly copies can be read.
#[derive(Debug, JsonSchema)]
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
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its id, without the prefix `kid:`.
    pub kid: Id,
    /// The fault domain that takes the key with it.
    pub custody: Domain,
    /// The dataset that holds this key's bytes, such as the database of a secrets store; the key comes back only when
    /// that dataset does. None for a key that no data holds.
    pub kept_in: Optional<DatasetId>,
    /// The key may seal nothing after this instant.
    pub not_after: Instant,
    /// A new key takes over after this long.
    pub rotation_period: OrDefault<Duration>,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// What policy relies on when it names a connector.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Its id.
    pub connector_id: Id,
    /// What policy relies on; a real connector that declares less is stalled.
    pub capabilities: SomeOf<Capability>,
    /// What a recovery point of it is consistent with.
    pub consistency: Consistency,
    /// How old data may be when the connector reads it.
    pub source_lag: OrDefault<DurationOrZero>,
    /// The software that writes the copies, a fault domain of kind `engine`.
    pub engine: Id,
    /// The environments that may override it.
    pub overridable_in: Optional<SetOf<EnvironmentId>>,
}

/// What a connector can do.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Take recovery points.
    Backup,
    /// Read only what changed.
    Incremental,
    /// Restore over the live data.
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
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// One transaction's view.
    Transaction,
    /// Whole records up to an offset.
    Record,
    /// Each file for itself.
    File,
}
