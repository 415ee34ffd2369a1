//! Names of the metrics that `seawalld` exposes, which alert rules and dashboards depend on. Renaming one breaks its users.
//! Holds no value.

/// Seconds since the state that the newest usable recovery point of a dataset holds; since its plan began where there is none.
pub const RECOVERY_POINT_AGE: &str = "seawall_dataset_recovery_point_age_seconds";
/// The recovery point objective of a dataset, in seconds.
pub const RPO: &str = "seawall_dataset_rpo_seconds";
/// The recovery time objective of a dataset, in seconds.
pub const RTO: &str = "seawall_dataset_rto_seconds";
/// Slots of a plan that ended, by dataset and outcome.
pub const SLOTS: &str = "seawall_slots_total";
/// Restores that ended, by dataset and result.
pub const RESTORES: &str = "seawall_restores_total";
/// How long the last successful restore of a dataset took, in seconds.
pub const RESTORE_DURATION: &str = "seawall_restore_last_duration_seconds";
/// Checks of stored recovery points that ended, by plan, dataset and result.
pub const CHECKS: &str = "seawall_checks_total";
/// Size of the file system that holds a location, in bytes.
pub const LOCATION_SIZE: &str = "seawall_location_size_bytes";
/// Bytes that can still be written to a location.
pub const LOCATION_FREE: &str = "seawall_location_free_bytes";
/// Whether a location can be used: 1 or 0.
pub const LOCATION_USABLE: &str = "seawall_location_usable";
/// The conditions that hold, each with the value 1.
pub const CONDITION: &str = "seawall_condition";
/// When the active bundle expires, as a Unix timestamp.
pub const BUNDLE_EXPIRES: &str = "seawall_bundle_expires_timestamp_seconds";
/// The version of the running program, its reconciler and its environment, with the value 1.
pub const BUILD: &str = "seawall_build_info";
