//! Owns the kinds of source documents: their names, collections, ids and shapes. The Rust types of the submodules are
//! the one source of the JSON Schemas and, through them, of what the compiler reads; no value of these types ever
//! exists, a document stays a tree with spans until it is the model. The list is [`Kind`].

pub mod continuity;
pub mod governance;
pub mod header;
pub mod inventory;
pub mod keeping;
pub mod lifecycle;
pub mod places;
pub mod plan;
pub mod scenario;
pub mod text;
pub mod time;
pub mod watch;

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Where the documents of a kind stand in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `settings.<collection>.<id>`: may hold policy numbers, may be overridden.
    Settings,
    /// `<collection>.<id>`: inventory, plans, scenarios and waivers.
    Top,
    /// The one header of the tree.
    Header,
    /// The environment that is compiled.
    Environment,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $collection:literal, $id:literal, $place:ident;)*) => {
        /// The kinds of source documents.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name),*
        }

        impl Kind {
            /// All kinds, in the order in which the documentation lists them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word after `kind:`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The collection in the model and in references.
            pub const fn collection(self) -> &'static str {
                match self { $(Self::$name => $collection),* }
            }

            /// The field that holds the document's own id.
            pub const fn id_field(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }

            /// Where its documents stand in the model.
            pub const fn place(self) -> Place {
                match self { $(Self::$name => Place::$place),* }
            }

            /// The schema as the Rust type gives it, before `schema` finishes it.
            pub fn raw_schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self { $(Self::$name => <$type as JsonSchema>::json_schema(generator)),* }
            }
        }
    };
}

kinds! {
    /// The header of the settings.
    Snapshot: header::Snapshot, "snapshot", "snapshot_id", Header;
    /// Values for policy fields that documents leave out.
    Defaults: header::Defaults, "defaults", "defaults_id", Header;
    /// RPO and RTO.
    Objective: time::Objective, "objectives", "objective_id", Settings;
    /// When backups run.
    Schedule: time::Schedule, "schedules", "schedule_id", Settings;
    /// What is kept.
    RetentionClass: keeping::RetentionClass, "retention", "retention_id", Settings;
    /// How many copies, how far apart.
    RedundancyProfile: keeping::RedundancyProfile, "redundancy", "redundancy_id", Settings;
    /// A set of locations.
    StorageProfile: keeping::StorageProfile, "storage", "storage_id", Settings;
    /// Where live data runs.
    Site: places::Site, "sites", "site_id", Settings;
    /// Where recovery points are kept.
    Location: places::Location, "locations", "location_id", Settings;
    /// A key that seals recovery points.
    Key: places::Key, "keys", "kid", Settings;
    /// What policy relies on in a connector.
    Connector: places::Connector, "connectors", "connector_id", Settings;
    /// What must be survived.
    Tier: governance::Tier, "tiers", "tier_id", Settings;
    /// Who must approve what.
    ApprovalPolicy: governance::ApprovalPolicy, "approvals", "approval_id", Settings;
    /// A role of people.
    Role: governance::Role, "roles", "role_id", Settings;
    /// What governance says of data.
    DataRetention: lifecycle::DataRetention, "data_retention", "data_retention_id", Settings;
    /// What is watched, and who hears of it.
    AlertPolicy: watch::AlertPolicy, "alerts", "alert_id", Settings;
    /// A channel by which people hear of something.
    NotificationChannel: watch::NotificationChannel, "channels", "channel_id", Settings;
    /// An environment.
    Environment: governance::Environment, "environments", "environment_id", Environment;
    /// What is protected.
    Dataset: inventory::Dataset, "datasets", "dataset_id", Top;
    /// How it is protected.
    BackupPlan: plan::BackupPlan, "plans", "plan_id", Top;
    /// Datasets that come back together.
    DatasetGroup: continuity::DatasetGroup, "groups", "group_id", Top;
    /// A second running copy of a dataset.
    Standby: continuity::Standby, "standbys", "standby_id", Top;
    /// What happens in a disaster.
    Scenario: scenario::Scenario, "scenarios", "scenario_id", Top;
    /// A finding that was accepted.
    Waiver: governance::Waiver, "waivers", "waiver_id", Top;
}

impl Kind {
    /// The file in `schemas/` that holds its schema: the name in kebab case, as in `backup-plan.json`.
    pub fn file_name(self) -> String {
        let mut name = String::new();
        for letter in self.name().chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name + ".json"
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind of this collection.
    pub fn of_collection(collection: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.collection() == collection)
    }
}
