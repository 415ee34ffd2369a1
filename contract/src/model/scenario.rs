//! Owns disaster-recovery scenarios and their runbooks. Never runs one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::domain::FaultDomain;
use super::settings::Objective;
use crate::duration::Seconds;
use crate::id::{DatasetId, RoleId, ScenarioId};

/// What happens in a disaster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its id.
    pub scenario_id: ScenarioId,
    /// What people call it.
    pub name: String,
    /// What sets it off.
    pub trigger: Trigger,
    /// What is lost; empty when only live data is.
    pub losses: BTreeSet<FaultDomain>,
    /// How long the loss may stay unnoticed.
    pub detected_within_s: Seconds,
    /// How service comes back.
    pub strategy: Strategy,
    /// What must hold.
    pub objective: Objective,
    /// The datasets that it concerns.
    pub datasets: BTreeSet<DatasetId>,
    /// What must be true before the runbook starts.
    pub prerequisites: Vec<String>,
    /// Who carries it out.
    pub personnel: BTreeSet<RoleId>,
    /// The steps.
    pub runbook: Vec<RunbookStep>,
    /// How the platform returns to normal.
    pub failback: String,
    /// Where it is rehearsed, by the id of an isolated target bound in the reconciler.
    pub drill_target: String,
}

/// What sets a scenario off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A core service is lost.
    CoreServiceLoss,
    /// A region or the primary deployment is lost.
    RegionLoss,
    /// A tenant's deployment is lost.
    TenantDeploymentLoss,
    /// A critical dataset is corrupt.
    Corruption,
}

/// How service comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// From recovery points.
    BackupAndRestore,
    /// On a standby.
    FailoverToStandby,
}

/// One step of a runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunbookStep {
    /// Its id within the runbook.
    pub step: String,
    /// What a person reads.
    pub title: String,
    /// What is done.
    pub action: StepAction,
    /// The dataset it acts on, where it acts on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
    /// Steps that must have ended well before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<String>,
    /// The longest it may take.
    pub deadline_s: Seconds,
    /// Whether it may run again after an unknown outcome.
    pub idempotent: bool,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// Restore a dataset.
    Restore,
    /// Stop writes to a dataset.
    Quiesce,
    /// Allow writes again.
    Resume,
    /// Make a standby the primary.
    Promote,
    /// Keep the old primary from writing.
    Fence,
    /// Point clients elsewhere.
    SwitchEndpoint,
    /// Run a query against the restored target.
    SqlCheck,
    /// Ask a health endpoint.
    HttpCheck,
    /// Run a command bound in the reconciler.
    Command,
    /// Wait for a condition.
    WaitFor,
    /// A person confirms.
    ManualConfirmation,
}
