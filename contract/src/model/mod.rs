//! Owns the resolved model: what a bundle says for one environment, every reference replaced by its value.
//! Never reads YAML and never decides anything. The root is [`Model`]; its canonical JSON is `bundle.json`.
//!
//! Field names are those of the source documents; durations gain the suffix `_s` and are whole seconds, instants are
//! RFC 3339 in UTC. A value that a reference led to stands in place of the reference, with its own id.

mod continuity;
mod domain;
mod governance;
mod inventory;
mod lifecycle;
mod plan;
mod scenario;
mod settings;
mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use continuity::{DatasetGroup, GroupMember, Replication, Standby};
pub use domain::{DomainKind, FaultDomain, FaultDomains, InvalidDomain};
pub use governance::Waiver;
pub use inventory::{Dataset, Eligibility, Plane, Sizing};
pub use lifecycle::DataRetention;
pub use plan::{BackupPlan, Verification};
pub use scenario::{RunbookStep, Scenario, StepAction, Strategy, Trigger};
pub use settings::{
    Action, ApprovalPolicy, Capability, CatchUp, Connector, Consistency, Continuous, DeleteBudget,
    Distinct, Environment, FreezeWindow, Keep, Key, Location, LoseCase, MIN_DELETE_GRACE,
    MaintenanceWindow, Objective, Redundancy, Retention, Role, Schedule, Settings, Site, Snapshot,
    StorageClass, StorageProfile, Survival, Tier, VerificationCadence,
};
pub use watch::{AlertPolicy, EscalationStep, Medium, NotificationChannel, Threshold, Watch};

use crate::id::{DatasetId, GroupId, PlanId, ReconcilerId, ScenarioId, StandbyId, WaiverId};

/// The only bundle format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// The resolved model of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// [`FORMAT`]; any other is refused.
    pub format: u32,
    /// The environment that this model was resolved for.
    pub environment: Environment,
    /// The header of the settings.
    pub snapshot: Snapshot,
    /// All settings, by collection and id.
    pub settings: Settings,
    /// What is protected.
    pub datasets: BTreeMap<DatasetId, Dataset>,
    /// How it is protected.
    pub plans: BTreeMap<PlanId, BackupPlan>,
    /// Datasets that come back together.
    #[serde(default)]
    pub groups: BTreeMap<GroupId, DatasetGroup>,
    /// Second running copies.
    #[serde(default)]
    pub standbys: BTreeMap<StandbyId, Standby>,
    /// What happens in a disaster.
    pub scenarios: BTreeMap<ScenarioId, Scenario>,
    /// Findings that were accepted.
    #[serde(default)]
    pub waivers: BTreeMap<WaiverId, Waiver>,
}

impl Model {
    /// What the types let through and no tree compiles to: lists that name a thing twice, and approvals that nobody can give.
    pub fn check(&self) -> Result<(), String> {
        for (id, group) in &self.groups {
            let members = group.members.iter().map(|member| &member.dataset);
            if let Some(dataset) = doubled(members) {
                return Err(format!("group `{id}` names dataset `{dataset}` twice"));
            }
        }
        for (id, alert) in &self.settings.alerts {
            if doubled(alert.thresholds.iter().map(|one| one.watch)).is_some() {
                return Err(format!(
                    "alert policy `{id}` has two thresholds for one thing"
                ));
            }
        }
        for (id, scenario) in &self.scenarios {
            if let Some(step) = doubled(scenario.runbook.iter().map(|step| &step.step)) {
                return Err(format!("scenario `{id}` has two steps `{step}`"));
            }
        }
        for (id, approval) in &self.settings.approvals {
            if approval.approvals > 0 && approval.roles.is_empty() {
                return Err(format!(
                    "approval policy `{id}` asks for approvals and names no role"
                ));
            }
        }
        Ok(())
    }

    /// The reconcilers that act for this model: those that the sites of its datasets name.
    pub fn audience(&self) -> std::collections::BTreeSet<ReconcilerId> {
        self.datasets
            .values()
            .filter_map(|dataset| self.settings.sites.get(&dataset.site))
            .map(|site| site.reconciler_id.clone())
            .collect()
    }

    /// The reconciler of a plan: that of the site of its datasets, which all share one. `None` when they do not.
    pub fn reconciler_of(&self, plan: &BackupPlan) -> Option<&ReconcilerId> {
        let mut reconcilers = plan.dataset_ids.iter().map(|id| {
            self.datasets
                .get(id)
                .and_then(|dataset| self.settings.sites.get(&dataset.site))
        });
        let first = &reconcilers.next()??.reconciler_id;
        reconcilers
            .all(|site| site.is_some_and(|site| site.reconciler_id == *first))
            .then_some(first)
    }
}

/// The first thing that comes a second time.
fn doubled<T: Ord + Copy>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = std::collections::BTreeSet::new();
    all.find(|one| !seen.insert(*one))
}
