//! Owns the facts of the catalogue of scenarios: which failures it must answer and which scenarios do, and for each critical
//! dataset where it stands and what restores it. Judges nothing.

use contract::model::{Dataset, Eligibility, Model, Plane, Scenario, StepAction, Trigger};
use serde_json::{Map, Value, json};

/// The failures that every catalogue answers, in words to follow "no scenario is written for".
const FAILURES: [(Trigger, &str); 4] = [
    (Trigger::CoreServiceLoss, "the loss of a core service"),
    (
        Trigger::RegionLoss,
        "the loss of a region or of the primary deployment",
    ),
    (
        Trigger::TenantDeploymentLoss,
        "the loss of a tenant's deployment",
    ),
    (Trigger::Corruption, "the corruption of a critical dataset"),
];

/// `failures` and, by id, `datasets` of tier 0 and 1 that are backed up.
pub(super) fn catalogue(model: &Model) -> Value {
    let critical = model.datasets.iter();
    let critical = critical.filter(|(_, dataset)| is_critical(model, dataset));
    let datasets: Map<String, Value> = critical
        .map(|(id, dataset)| {
            let named = scenarios(model, &|one| one.datasets.contains(id));
            let restored = scenarios(model, &|one| {
                one.datasets.contains(id) && brings_back(one, dataset)
            });
            let fact = json!({
                "tier": dataset.criticality,
                "scenarios": named,
                "restored_by": restored,
            });
            (id.to_string(), fact)
        })
        .collect();
    let hosted = |dataset: &Dataset| dataset.plane == Plane::TenantCloud;
    let failures = FAILURES.map(|(trigger, what)| {
        let is_met_with = match trigger {
            Trigger::TenantDeploymentLoss => model.datasets.values().any(hosted),
            Trigger::CoreServiceLoss | Trigger::RegionLoss | Trigger::Corruption => true,
        };
        json!({
            "trigger": trigger,
            "what": what,
            "demanded": is_met_with && !datasets.is_empty(),
            "scenarios": scenarios(model, &|one| one.trigger == trigger),
        })
    });
    json!({ "failures": failures, "datasets": datasets })
}

fn scenarios<'m>(model: &'m Model, wanted: &dyn Fn(&Scenario) -> bool) -> Vec<&'m str> {
    let wanted = model.scenarios.iter().filter(|(_, one)| wanted(one));
    wanted.map(|(id, _)| id.as_str()).collect()
}

/// Tiers 0 and 1, as the requirements name them; a tier that is not known is no way out.
fn is_critical(model: &Model, dataset: &Dataset) -> bool {
    let rank = model.settings.tiers.get(&dataset.criticality);
    dataset.eligibility == Eligibility::BackedUp && rank.is_none_or(|tier| tier.rank <= 1)
}

/// Whether a step brings the dataset back; a restore without a dataset stands for all of the scenario.
fn brings_back(scenario: &Scenario, dataset: &Dataset) -> bool {
    let id = Some(&dataset.dataset_id);
    scenario.runbook.iter().any(|step| match step.action {
        StepAction::Restore => step.dataset.is_none() || step.dataset.as_ref() == id,
        StepAction::Promote | StepAction::Command => step.dataset.as_ref() == id,
        StepAction::Quiesce
        | StepAction::Resume
        | StepAction::Fence
        | StepAction::SwitchEndpoint
        | StepAction::SqlCheck
        | StepAction::HttpCheck
        | StepAction::WaitFor
        | StepAction::ManualConfirmation => false,
    })
}
