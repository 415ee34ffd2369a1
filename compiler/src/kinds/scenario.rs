//! Owns the shape of Scenario: what happens in a disaster, with its runbook.

use schemars::JsonSchema;

use super::text::{
    DatasetId, Domain, Duration, DurationOrZero, Flag, Id, Optional, OrDefault, Policy, RoleId,
    SetOf, SomeOf, Text,
};
use super::time::Objective;

/// What happens in a disaster.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its id.
    pub scenario_id: Id,
    /// What people call it.
    pub name: Text,
    /// What sets it off.
    pub trigger: Trigger,
    /// What is lost; empty when only live data is.
    pub losses: SetOf<Domain>,
    /// How long the loss may stay unnoticed.
    pub detected_within: OrDefault<DurationOrZero>,
    /// How service comes back.
    pub strategy: Strategy,
    /// What must hold.
    pub objective: Policy<Objective>,
    /// The datasets that it concerns.
    pub datasets: SomeOf<DatasetId>,
    /// What must be true before the runbook starts.
    pub prerequisites: Vec<Text>,
    /// Who carries it out.
    pub personnel: SomeOf<RoleId>,
    /// The steps.
    pub runbook: Vec<RunbookStep>,
    /// How the platform returns to normal.
    pub failback: Text,
    /// Where it is rehearsed: the id of an isolated target bound in the reconciler.
    pub drill_target: Id,
}

/// What sets a scenario off.
#[derive(Debug, JsonSchema)]
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
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// From recovery points.
    BackupAndRestore,
    /// On a standby.
    FailoverToStandby,
}

/// One step of a runbook.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunbookStep {
    /// Its id within the runbook.
    pub step: Id,
    /// What a person reads.
    pub title: Text,
    /// What is done.
    pub action: StepAction,
    /// The dataset it acts on, where it acts on one.
    pub dataset: Optional<DatasetId>,
    /// Steps that must have ended well before.
    pub depends_on: Optional<SetOf<Id>>,
    /// The longest it may take.
    pub deadline: Duration,
    /// Whether it may run again after an unknown outcome.
    pub idempotent: Flag,
}

/// What a step does.
#[derive(Debug, JsonSchema)]
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
