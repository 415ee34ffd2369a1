//! Owns the comparison of two resolved models: every leaf is stronger, equal, weaker or incomparable than it was.
//!
//! Never decides who must sign, and never skips a leaf: every struct is taken apart field by field, so a new field does not
//! compile before it is judged. The interesting function is [`compare`]; `judge` holds the vocabulary, the other files the model.

mod continuity;
mod governance;
mod inventory;
mod judge;
pub mod outcome;
mod plan;
mod scenario;
mod settings;
mod watch;

use std::fmt;

use serde::Serialize;

use crate::calendar::Zones;
use crate::duration::Seconds;
use crate::model::{DeleteBudget, Environment, FreezeWindow, Model, Snapshot};
use judge::Judge;

/// What a change does to protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// More is protected, or better.
    Stronger,
    /// The text differs and protection does not: names, descriptions, sizes.
    Equal,
    /// Less is protected, or worse; also what lets more people do more.
    Weaker,
    /// Neither can be said: a binding, a place, an order of steps.
    Incomparable,
}

/// One leaf that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Where it stands in the model, as in bundle.json.
    pub path: Vec<String>,
    /// What it was; none when it was added.
    pub from: Option<String>,
    /// What it is; none when it was removed.
    pub to: Option<String>,
    /// What that does to protection.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.join("/");
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "`{path}` from `{from}` to `{to}`"),
            (Some(from), None) => write!(f, "`{path}` without `{from}`"),
            (None, Some(to)) => write!(f, "`{path}` with `{to}`"),
            (None, None) => write!(f, "`{path}`"),
        }
    }
}

/// All leaves that differ, in the order of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The changes; empty when nothing differs but the order of what a tier survives.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// The changes that need owners: weaker and incomparable ones.
    pub fn weakening(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| match change.effect {
            Effect::Weaker | Effect::Incomparable => true,
            Effect::Stronger | Effect::Equal => false,
        })
    }

    /// The whole change as one effect: weaker or incomparable leaves are not made good by stronger ones.
    pub fn effect(&self) -> Effect {
        let has = |wanted: Effect| self.changes.iter().any(|change| change.effect == wanted);
        match (
            has(Effect::Incomparable),
            has(Effect::Weaker),
            has(Effect::Stronger),
        ) {
            (true, _, _) | (false, true, true) => Effect::Incomparable,
            (false, true, false) => Effect::Weaker,
            (false, false, true) => Effect::Stronger,
            (false, false, false) => Effect::Equal,
        }
    }
}

/// Compares a model with the one before it. A dataset that was renamed with `formerly` is the same dataset.
pub fn compare(old: &Model, new: &Model, zones: &Zones) -> Comparison {
    let mut judge = Judge::new(zones, old, new);
    let Model {
        format,
        environment,
        snapshot,
        settings,
        datasets,
        plans,
        groups,
        standbys,
        scenarios,
        waivers,
    } = old;
    judge.binding("format", format, &new.format);
    judge.at("environment", |judge| {
        compare_environment(judge, environment, &new.environment);
    });
    judge.at("snapshot", |judge| {
        compare_snapshot(judge, snapshot, &new.snapshot);
    });
    judge.at("settings", |judge| {
        settings::compare(judge, settings, &new.settings);
    });
    judge.at("datasets", |judge| {
        judge.each(
            datasets,
            &new.datasets,
            Judge::present_id,
            inventory::compare,
        );
    });
    judge.at("plans", |judge| {
        judge.each(plans, &new.plans, |_, id| id, plan::compare);
    });
    judge.at("groups", |judge| {
        judge.each(groups, &new.groups, |_, id| id, continuity::compare_group);
    });
    judge.at("standbys", |judge| {
        judge.each(
            standbys,
            &new.standbys,
            |_, id| id,
            continuity::compare_standby,
        );
    });
    judge.at("scenarios", |judge| {
        judge.each(scenarios, &new.scenarios, |_, id| id, scenario::compare);
    });
    judge.entries(
        "waivers",
        waivers,
        &new.waivers,
        |_| Effect::Weaker,
        governance::compare,
    );
    judge.finish()
}

fn compare_environment(judge: &mut Judge, old: &Environment, new: &Environment) {
    let Environment {
        environment_id,
        production,
        planes,
        bundle_validity_s,
        waiver_limit_s,
        freeze_windows,
        maintenance_windows,
        delete_budget,
        delete_grace_s,
    } = old;
    judge.binding("environment_id", environment_id, &new.environment_id);
    judge.demand("production", *production, new.production);
    judge.more_is_stronger("planes", planes, &new.planes);
    judge.shorter(
        "bundle_validity_s",
        *bundle_validity_s,
        new.bundle_validity_s,
    );
    judge.shorter_if_any("waiver_limit_s", *waiver_limit_s, new.waiver_limit_s);
    compare_freeze(judge, freeze_windows, &new.freeze_windows);
    judge.binding(
        "maintenance_windows",
        maintenance_windows,
        &new.maintenance_windows,
    );
    match (delete_budget, &new.delete_budget) {
        (Some(was), Some(is)) => judge.at("delete_budget", |judge| {
            let DeleteBudget { points, within_s } = was;
            judge.fewer("points", points, &is.points);
            judge.longer("within_s", *within_s, is.within_s);
        }),
        (None, None) => {}
        // Without a budget nothing may be deleted.
        (was, is) => {
            let says =
                |budget: &Option<DeleteBudget>| budget.as_ref().map(|b| b.points.to_string());
            let effect = if is.is_none() {
                Effect::Stronger
            } else {
                Effect::Weaker
            };
            judge.change("delete_budget", says(was), says(is), effect);
        }
    }
    match (delete_grace_s, &new.delete_grace_s) {
        (Some(was), Some(is)) => judge.longer("delete_grace_s", *was, *is),
        (None, None) => {}
        // Without a grace nothing is deleted.
        (was, is) => {
            let says = |grace: &Option<Seconds>| grace.map(|grace| grace.to_string());
            let effect = if is.is_none() {
                Effect::Stronger
            } else {
                Effect::Weaker
            };
            judge.change("delete_grace_s", says(was), says(is), effect);
        }
    }
}

/// A frozen time is one in which nothing is taken: what no window before held is weaker, however many windows there are.
fn compare_freeze(judge: &mut Judge, old: &[FreezeWindow], new: &[FreezeWindow]) {
    let holds = |windows: &[FreezeWindow], one: &FreezeWindow| {
        windows.iter().any(|window| {
            let FreezeWindow {
                from,
                to,
                planes,
                reason: _,
            } = window;
            *from <= one.from && one.to <= *to && one.planes.is_subset(planes)
        })
    };
    let key = "freeze_windows";
    let mut is_told = false;
    for gone in old.iter().filter(|window| !holds(new, window)) {
        judge.change(key, Some(judge::told(gone)), None, Effect::Stronger);
        is_told = true;
    }
    for come in new.iter().filter(|window| !holds(old, window)) {
        judge.change(key, None, Some(judge::told(come)), Effect::Weaker);
        is_told = true;
    }
    if !is_told {
        judge.label(key, &old, &new);
    }
}

fn compare_snapshot(judge: &mut Judge, old: &Snapshot, new: &Snapshot) {
    let Snapshot {
        snapshot_id,
        module_id,
        schema_version,
        policy_version_ids,
        effective_from,
    } = old;
    judge.label("snapshot_id", snapshot_id, &new.snapshot_id);
    judge.label("module_id", module_id, &new.module_id);
    judge.label("schema_version", schema_version, &new.schema_version);
    judge.label(
        "policy_version_ids",
        policy_version_ids,
        &new.policy_version_ids,
    );
    judge.label("effective_from", effective_from, &new.effective_from);
}
