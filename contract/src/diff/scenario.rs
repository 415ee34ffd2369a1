//! Owns the comparison of scenarios and runbooks. A runbook is a text for people and machines: any change to what is done is incomparable.

use super::judge::Judge;
use super::settings::compare_objective;
use crate::model::{RunbookStep, Scenario};

pub(super) fn compare<'a>(judge: &mut Judge<'a>, old: &'a Scenario, new: &'a Scenario) {
    let Scenario {
        scenario_id,
        name,
        trigger,
        losses,
        detected_within_s,
        strategy,
        objective,
        datasets,
        prerequisites,
        personnel,
        runbook,
        failback,
        drill_target,
    } = old;
    judge.label("scenario_id", scenario_id, &new.scenario_id);
    judge.label("name", name, &new.name);
    judge.binding("trigger", trigger, &new.trigger);
    judge.more_is_stronger("losses", losses, &new.losses);
    judge.shorter(
        "detected_within_s",
        *detected_within_s,
        new.detected_within_s,
    );
    judge.binding("strategy", strategy, &new.strategy);
    judge.at("objective", |judge| {
        compare_objective(judge, objective, &new.objective);
    });
    let datasets = judge.present_ids(datasets);
    judge.more_is_stronger("datasets", &datasets, &new.datasets);
    judge.binding("prerequisites", prerequisites, &new.prerequisites);
    judge.binding("personnel", personnel, &new.personnel);
    compare_runbook(judge, runbook, &new.runbook);
    judge.label("failback", failback, &new.failback);
    judge.binding("drill_target", drill_target, &new.drill_target);
}

fn compare_runbook<'a>(judge: &mut Judge<'a>, old: &'a [RunbookStep], new: &'a [RunbookStep]) {
    let steps = |runbook: &[RunbookStep]| -> Vec<String> {
        runbook.iter().map(|step| step.step.clone()).collect()
    };
    if steps(old) != steps(new) {
        judge.binding("runbook", &steps(old), &steps(new));
        return;
    }
    for (before, after) in old.iter().zip(new) {
        let RunbookStep {
            step,
            title,
            action,
            dataset,
            depends_on,
            deadline_s,
            idempotent,
        } = before;
        judge.at("runbook", |judge| {
            judge.at(step, |judge| {
                judge.label("title", title, &after.title);
                judge.binding("action", action, &after.action);
                let dataset = dataset.as_ref().map(|id| judge.present_id(id).clone());
                judge.binding("dataset", &dataset, &after.dataset);
                judge.binding("depends_on", depends_on, &after.depends_on);
                judge.shorter("deadline_s", *deadline_s, after.deadline_s);
                judge.binding("idempotent", idempotent, &after.idempotent);
            });
        });
    }
}
