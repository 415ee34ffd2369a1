//! The comparison of two models: no leaf is skipped, and every direction has its opposite. BDR-F8, DRR-6.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::diff::{Change, Comparison, Effect, compare};
use contract::duration::Seconds;
use contract::model::{
    Action, AlertPolicy, ApprovalPolicy, DataRetention, DatasetGroup, DeleteBudget, EscalationStep,
    FreezeWindow, GroupMember, MaintenanceWindow, Medium, Model, NotificationChannel, Plane, Role,
    RunbookStep, StepAction, StorageProfile, Threshold, Waiver, Watch,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::recovery::{corruption_scenario, model, plan, schedule_cron, schedule_every, standby};

/// A model with at least one entry of every collection and every optional leaf set.
fn full() -> Model {
    let mut model = model(plan(
        schedule_cron("30 2 * * *", "Europe/Berlin", Seconds::hours(2), 1),
        3,
        2,
    ));
    corruption_scenario(&mut model, Seconds::days(1));
    let scenario = model.scenarios.get_mut("rot").unwrap();
    scenario.losses.insert("region:r1".parse().unwrap());
    scenario
        .prerequisites
        .push("the vault is reachable".to_owned());
    scenario.personnel.insert("operator".parse().unwrap());
    scenario.runbook.push(RunbookStep {
        step: "restore".to_owned(),
        title: "restore".to_owned(),
        action: StepAction::Restore,
        dataset: Some("ds".parse().unwrap()),
        depends_on: BTreeSet::from(["fence".to_owned()]),
        deadline_s: Seconds::hours(1),
        idempotent: true,
    });
    let full = model.plans.get_mut("bp").unwrap();
    full.full_frequency = Some(schedule_cron("0 1 * * sun", "UTC", Seconds::hours(2), 0));
    full.target_rpo_s = Some(Seconds::hours(60));
    full.target_rto_s = Some(Seconds::hours(60));
    full.retention.max_duration_s = Some(Seconds::days(90));
    full.storage_profiles.insert("hot".parse().unwrap());
    full.retries = Some(2);
    full.bandwidth_bytes_per_second = Some(1 << 20);
    let settings = &mut model.settings;
    let used = model.plans.get("bp").unwrap();
    settings.schedules = BTreeMap::from([
        ("s".parse().unwrap(), schedule_every(Seconds::hours(6))),
        (
            "c".parse().unwrap(),
            schedule_cron("0 0 * * *", "UTC", Seconds::hours(1), 0),
        ),
    ]);
    settings.retention = BTreeMap::from([("r".parse().unwrap(), used.retention.clone())]);
    settings.redundancy =
        BTreeMap::from([("rp".parse().unwrap(), used.redundancy_profile.clone())]);
    settings.objectives = BTreeMap::from([(
        "o".parse().unwrap(),
        model.scenarios.get("rot").unwrap().objective.clone(),
    )]);
    let storage = StorageProfile {
        storage_id: "hot".parse().unwrap(),
        locations: BTreeSet::from(["l1".parse().unwrap()]),
        restore_throughput_bytes_per_second: 5,
        thaw_time_s: Seconds::hours(1),
    };
    settings.storage.insert("hot".parse().unwrap(), storage);
    let approval = ApprovalPolicy {
        approval_id: "ap".parse().unwrap(),
        action: Action::RestoreInPlace,
        environments: BTreeSet::from(["test".parse().unwrap()]),
        tiers: BTreeSet::from(["tier1".parse().unwrap()]),
        approvals: 2,
        roles: BTreeSet::from(["operator".parse().unwrap()]),
        request_expiry_s: Seconds::hours(4),
        execution_expiry_s: Seconds::hours(4),
    };
    settings.approvals.insert("ap".parse().unwrap(), approval);
    let role = Role {
        role_id: "operator".parse().unwrap(),
        name: "Operator".to_owned(),
        may: BTreeSet::from([Action::RestoreExport]),
    };
    settings.roles.insert("operator".parse().unwrap(), role);
    let tier = settings.tiers.get_mut("tier1").unwrap();
    tier.restore_test_every_s = Some(Seconds::days(30));
    tier.drill_every_s = Some(Seconds::days(90));
    model.environment.waiver_limit_s = Some(Seconds::days(90));
    model.environment.freeze_windows = vec![FreezeWindow {
        from: "2026-12-24T00:00:00Z".parse().unwrap(),
        to: "2026-12-27T00:00:00Z".parse().unwrap(),
        planes: BTreeSet::from([Plane::ProductCloud]),
        reason: "holidays".to_owned(),
    }];
    model.environment.maintenance_windows = vec![MaintenanceWindow {
        cron: "0 2 * * sun".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        lasts_s: Seconds::hours(4),
    }];
    model.environment.delete_budget = Some(DeleteBudget {
        points: 100,
        within_s: Seconds::days(1),
    });
    model.environment.delete_grace_s = Some(Seconds::days(1));
    continuity(&mut model);
    let waiver = waiver();
    model.waivers.insert(waiver.waiver_id.clone(), waiver);
    let dataset = model.datasets.get_mut("ds").unwrap();
    dataset.tenant = Some("acme".to_owned());
    dataset.layer = Some("gold".to_owned());
    dataset.justification = Some("because".to_owned());
    dataset.derived_from.insert("ds_other".parse().unwrap());
    dataset.formerly = Some("ds_before".parse().unwrap());
    model
}

/// A standby, a group, what governance says, an alert policy and a channel.
fn continuity(model: &mut Model) {
    model.standbys.insert("sb".parse().unwrap(), standby());
    let member = |id: &str, after: &[&str]| GroupMember {
        dataset: id.parse().unwrap(),
        after: after.iter().map(|id| id.parse().unwrap()).collect(),
    };
    let group = DatasetGroup {
        group_id: "g".parse().unwrap(),
        name: "Group".to_owned(),
        members: vec![member("ds", &[]), member("ds_other", &["ds"])],
    };
    model.groups.insert("g".parse().unwrap(), group);
    let law = DataRetention {
        data_retention_id: "law".parse().unwrap(),
        data_classification: Some("internal".to_owned()),
        layer: Some("gold".to_owned()),
        min_duration_s: Seconds::days(30),
        max_duration_s: Some(Seconds::days(400)),
        archive_after_s: Some(Seconds::days(90)),
        purge_after_s: Some(Seconds::days(400)),
        legal_hold: false,
    };
    let settings = &mut model.settings;
    settings.data_retention.insert("law".parse().unwrap(), law);
    let threshold = |watch| Threshold {
        watch,
        warning_percent: 80,
        critical_percent: 90,
    };
    let alerts = AlertPolicy {
        alert_id: "al".parse().unwrap(),
        tiers: BTreeSet::from(["tier1".parse().unwrap()]),
        thresholds: vec![threshold(Watch::Capacity), threshold(Watch::BackupSuccess)],
        window_s: None,
        escalation: vec![EscalationStep {
            after_s: Seconds::minutes(15),
            channels: BTreeSet::from(["pager".parse().unwrap()]),
        }],
    };
    settings.alerts.insert("al".parse().unwrap(), alerts);
    let channel = NotificationChannel {
        channel_id: "pager".parse().unwrap(),
        name: "Pager".to_owned(),
        medium: Medium::Paging,
    };
    settings.channels.insert("pager".parse().unwrap(), channel);
}

fn waiver() -> Waiver {
    Waiver {
        waiver_id: "wv".parse().unwrap(),
        code: "SW0301".to_owned(),
        targets: BTreeSet::from(["datasets/ds".to_owned()]),
        environments: BTreeSet::from(["test".parse().unwrap()]),
        owner: "operator".parse().unwrap(),
        reason: "a second region is built until spring".to_owned(),
        expiry: "2027-01-01T00:00:00Z".parse().unwrap(),
        bound_s: Some(Seconds::hours(70)),
        bound_count: Some(2),
    }
}

fn check(old: &Model, new: &Model) -> Comparison {
    let forward = compare(old, new, &Zones::bundled());
    let backward = compare(new, old, &Zones::bundled());
    let mirrored: BTreeSet<Change> = backward
        .changes
        .into_iter()
        .map(|change| Change {
            path: change.path,
            from: change.to,
            to: change.from,
            effect: match change.effect {
                Effect::Stronger => Effect::Weaker,
                Effect::Weaker => Effect::Stronger,
                same @ (Effect::Equal | Effect::Incomparable) => same,
            },
        })
        .collect();
    assert_eq!(
        forward.changes.iter().cloned().collect::<BTreeSet<_>>(),
        mirrored,
        "the way back is not the opposite"
    );
    forward
}

fn told(comparison: &Comparison) -> Vec<String> {
    comparison
        .changes
        .iter()
        .map(|change| format!("{:?}: {change}", change.effect))
        .collect()
}

/// All paths to scalars of a JSON document.
fn scalars(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (key, below) in fields {
                path.push(key.clone());
                scalars(below, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                path.push(index.to_string());
                scalars(below, path, found);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(path.clone());
        }
    }
}

/// Other values that a scalar may take: the first that the model accepts is used.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(known) => vec![Value::Bool(!known)],
        Value::Number(number) => vec![Value::from(number.as_u64().unwrap() + 1)],
        Value::String(text) => {
            let mut others: Vec<Value> = [
                "2041-01-01T00:00:00Z",
                "0 5 * * *",
                "Europe/Paris",
                "region:other",
                "edge",
                "hot",
                "warm",
                "archive",
                "file",
                "transaction",
                "none",
                "latest",
                "corruption",
                "region_loss",
                "failover_to_standby",
                "excluded",
                "purge",
                "fence",
                "synchronous",
                "mail",
                "integrity",
            ]
            .map(Value::from)
            .to_vec();
            if text.parse::<jiff::Timestamp>().is_err() {
                others.push(Value::from(format!("{text}x")));
            }
            others
        }
        Value::Null | Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

#[test]
fn every_leaf_of_the_model_is_judged() {
    let model = full();
    let json = serde_json::to_value(&model).unwrap();
    let mut paths = Vec::new();
    scalars(&json, &mut Vec::new(), &mut paths);
    let mut table = BTreeMap::new();
    for path in paths {
        let pointer = format!(
            "/{}",
            path.iter()
                .map(|s| s.replace('/', "~1"))
                .collect::<Vec<_>>()
                .join("/")
        );
        let value = json.pointer(&pointer).unwrap();
        let changed = others(value)
            .into_iter()
            .filter(|other| other != value)
            .find_map(|other| {
                let mut json = json.clone();
                *json.pointer_mut(&pointer).unwrap() = other;
                serde_json::from_value::<Model>(json)
                    .ok()
                    .filter(|changed| *changed != model)
            });
        let changed = changed.unwrap_or_else(|| panic!("nothing else fits at {pointer}"));
        let found = check(&model, &changed);
        assert!(
            !found.changes.is_empty(),
            "a change at {pointer} is not seen"
        );
        table.insert(pointer, found.effect());
    }
    let lines: Vec<String> = table
        .iter()
        .map(|(path, effect)| format!("{effect:?} {path}"))
        .collect();
    insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("diff_of_every_leaf", lines.join("\n"));
    });
}

#[test]
fn a_model_equals_itself() {
    let found = check(&full(), &full());
    assert_eq!(
        (
            found.changes.len(),
            found.effect(),
            found.weakening().count()
        ),
        (0, Effect::Equal, 0)
    );
}

#[test]
fn removal_weakens_and_addition_strengthens() {
    let model = full();
    let mut less = model.clone();
    less.plans.clear();
    less.datasets.clear();
    less.scenarios.clear();
    less.settings.keys.clear();
    less.settings.roles.clear();
    let found = check(&model, &less);
    assert_eq!(
        told(&found),
        [
            "Weaker: `settings/keys` without `k1`",
            "Stronger: `settings/roles` without `operator`",
            "Weaker: `datasets/ds` without `ds`",
            "Weaker: `plans/bp` without `bp`",
            "Weaker: `scenarios/rot` without `rot`",
        ]
    );
}

#[test]
fn a_schedule_is_judged_by_its_widest_gap() {
    let effect = |expression: &str| {
        let model = full();
        let mut other = model.clone();
        other.plans.get_mut("bp").unwrap().backup_frequency.cron = Some(expression.to_owned());
        let found = check(&model, &other);
        assert_eq!(found.changes.len(), 1, "{found:?}");
        found.effect()
    };
    assert_eq!(effect("30 */6 * * *"), Effect::Stronger);
    assert_eq!(effect("30 2 * * mon-fri"), Effect::Weaker);
    assert_eq!(effect("30 4 * * *"), Effect::Incomparable);
}

/// What is signed may ask for any amount of calendars. What is not walked any more needs the owners, and never passes.
#[test]
fn more_calendars_than_one_comparison_walks_are_incomparable() {
    let with = |minutes: &str| {
        let mut model = full();
        for number in 0..100 {
            // All hours of all months, and no two schedules say it in the same way.
            let (zone, hour) = (["UTC", "Europe/Berlin"][number % 2], 1 + number / 2 % 20);
            let months = ["1-12", "1-6,7-12", "1-5,6-12"][number / 40];
            let cron = format!("{minutes} 0-{hour},{}-23 * {months} *", hour + 1);
            let schedule = schedule_cron(&cron, zone, Seconds::hours(1), 0);
            model
                .settings
                .schedules
                .insert(format!("x{number}").parse().unwrap(), schedule);
        }
        model
    };
    let (often, rarely) = (with("*"), with("*/2"));
    // Every second minute instead of every minute weakens; the other way round strengthens.
    for (old, new, walked) in [
        (&often, &rarely, Effect::Weaker),
        (&rarely, &often, Effect::Stronger),
    ] {
        let comparison = compare(old, new, &Zones::bundled());
        let timings = comparison
            .changes
            .iter()
            .filter(|change| change.path.last().is_some_and(|leaf| leaf == "timing"));
        let effects: Vec<Effect> = timings.map(|change| change.effect).collect();
        assert_eq!(effects.len(), 100);
        let known = effects
            .iter()
            .take_while(|effect| **effect == walked)
            .count();
        assert!((10..90).contains(&known), "{effects:?}");
        assert!(
            effects
                .iter()
                .skip(known)
                .all(|effect| *effect == Effect::Incomparable)
        );
        assert!(comparison.weakening().count() >= 100 - known);
    }
}

#[test]
fn a_location_without_one_more_to_commit_may_cost_the_copy_lag() {
    let model = full();
    let mut wider = model.clone();
    wider
        .plans
        .get_mut("bp")
        .unwrap()
        .locations
        .insert("l4".parse().unwrap());
    assert_eq!(
        told(&check(&model, &wider)),
        [
            "Stronger: `plans/bp/locations` with `l4`",
            "Weaker: `plans/bp/redundancy_profile/commit` from `2 of 3` to `2 of 4`",
        ]
    );
    wider.plans.get_mut("bp").unwrap().redundancy_profile.commit = 3;
    assert_eq!(check(&model, &wider).effect(), Effect::Stronger);
}

#[test]
fn a_renamed_dataset_is_the_same_dataset() {
    let model = full();
    let mut renamed = model.clone();
    let mut dataset = renamed.datasets.remove("ds").unwrap();
    dataset.dataset_id = "ds_new".parse().unwrap();
    dataset.formerly = Some("ds".parse().unwrap());
    renamed.datasets.insert("ds_new".parse().unwrap(), dataset);
    renamed.plans.get_mut("bp").unwrap().dataset_ids = BTreeSet::from(["ds_new".parse().unwrap()]);
    let scenario = renamed.scenarios.get_mut("rot").unwrap();
    scenario.datasets = BTreeSet::from(["ds_new".parse().unwrap()]);
    scenario.runbook[0].dataset = Some("ds_new".parse().unwrap());
    renamed.standbys.get_mut("sb").unwrap().dataset = "ds_new".parse().unwrap();
    let group = renamed.groups.get_mut("g").unwrap();
    group.members[0].dataset = "ds_new".parse().unwrap();
    group.members[1].after = BTreeSet::from(["ds_new".parse().unwrap()]);
    let found = compare(&model, &renamed, &Zones::bundled());
    assert_eq!(found.weakening().count(), 0, "{:?}", told(&found));
    // Without the former name one dataset is gone and another has come.
    renamed.datasets.get_mut("ds_new").unwrap().formerly = None;
    let found = compare(&model, &renamed, &Zones::bundled());
    assert!(
        told(&found).contains(&"Weaker: `datasets/ds` without `ds`".to_owned()),
        "{:?}",
        told(&found)
    );
}

#[test]
fn more_power_is_weaker() {
    let model = full();
    let mut open = model.clone();
    open.settings
        .roles
        .get_mut("operator")
        .unwrap()
        .may
        .insert(Action::Purge);
    open.settings
        .approvals
        .get_mut("ap")
        .unwrap()
        .roles
        .insert("intern".parse().unwrap());
    open.settings.approvals.get_mut("ap").unwrap().approvals = 1;
    assert_eq!(
        told(&check(&model, &open)),
        [
            "Weaker: `settings/approvals/ap/approvals` from `2` to `1`",
            "Weaker: `settings/approvals/ap/roles` with `intern`",
            "Weaker: `settings/roles/operator/may` with `purge`",
        ]
    );
}

/// A frozen time is judged by what it holds, not by how many windows write it down.
#[test]
fn freeze_windows_are_compared_by_content() {
    let window = |from: &str, to: &str| FreezeWindow {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        planes: BTreeSet::from([Plane::ProductCloud]),
        reason: "holidays".to_owned(),
    };
    let december = window("2026-12-24T00:00:00Z", "2026-12-27T00:00:00Z");
    let may = window("2027-05-01T00:00:00Z", "2027-05-02T00:00:00Z");
    let for_ever = window("2026-12-24T00:00:00Z", "2096-12-27T00:00:00Z");
    let effect = |was: &[&FreezeWindow], is: &[&FreezeWindow]| {
        let mut model = full();
        model.environment.freeze_windows = was.iter().map(|one| (*one).clone()).collect();
        let mut other = model.clone();
        other.environment.freeze_windows = is.iter().map(|one| (*one).clone()).collect();
        let found = check(&model, &other);
        (found.effect(), found.weakening().count())
    };
    assert_eq!(
        effect(&[&december, &may], &[&may, &december]),
        (Effect::Equal, 0)
    );
    assert_eq!(effect(&[&december, &may], &[&may]), (Effect::Stronger, 0));
    assert_eq!(
        effect(&[&december], &[&december, &may]),
        (Effect::Weaker, 1)
    );
    // Two become one of seventy years.
    assert_eq!(
        effect(&[&december, &may], &[&for_ever]),
        (Effect::Weaker, 1)
    );
    assert_eq!(
        effect(&[&for_ever], &[&december, &may]),
        (Effect::Stronger, 0)
    );
    assert_eq!(effect(&[&december], &[&may]), (Effect::Incomparable, 1));
    let mut wider = december.clone();
    wider.planes.insert(Plane::Edge);
    assert_eq!(effect(&[&december], &[&wider]), (Effect::Weaker, 1));
    let mut renamed = december.clone();
    renamed.reason = "feast".to_owned();
    assert_eq!(effect(&[&december], &[&renamed]), (Effect::Equal, 0));
}

/// Less data makes every promise about time and room look better, and nothing shows that there is less.
#[test]
fn a_smaller_size_is_a_claim_that_owners_sign() {
    let effect = |size: u64, change: u64| {
        let mut model = full();
        let sizing = &mut model.datasets.get_mut("ds").unwrap().sizing;
        (sizing.size_bytes, sizing.change_per_day_bytes) = (1_000, 100);
        let mut other = model.clone();
        let sizing = &mut other.datasets.get_mut("ds").unwrap().sizing;
        (sizing.size_bytes, sizing.change_per_day_bytes) = (size, change);
        let found = check(&model, &other);
        (found.effect(), found.weakening().count())
    };
    assert_eq!(effect(1, 100), (Effect::Weaker, 1));
    assert_eq!(effect(1_000, 99), (Effect::Weaker, 1));
    assert_eq!(effect(1_001, 101), (Effect::Stronger, 0));
}

/// Faster storage makes every recovery time look better, and nothing shows that it is faster.
#[test]
fn a_faster_location_is_a_claim_that_owners_sign() {
    let effect = |change: &dyn Fn(&mut Model)| {
        let model = full();
        let mut other = model.clone();
        change(&mut other);
        let found = check(&model, &other);
        (found.effect(), found.weakening().count())
    };
    let bandwidth = |by: i64| {
        effect(&move |model: &mut Model| {
            let location = model.settings.locations.get_mut("l1").unwrap();
            let speed = &mut location.bandwidth_bytes_per_second;
            *speed = speed.saturating_add_signed(by);
        })
    };
    let throughput = |by: i64| {
        effect(&move |model: &mut Model| {
            let profile = model.settings.storage.get_mut("hot").unwrap();
            let speed = &mut profile.restore_throughput_bytes_per_second;
            *speed = speed.saturating_add_signed(by);
        })
    };
    assert_eq!(bandwidth(1), (Effect::Weaker, 1));
    assert_eq!(bandwidth(-1), (Effect::Stronger, 0));
    assert_eq!(throughput(1), (Effect::Weaker, 1));
    assert_eq!(throughput(-1), (Effect::Stronger, 0));
}

/// What no tree compiles to is in no bundle either.
#[test]
fn a_model_names_nothing_twice_and_its_approvals_can_be_given() {
    let refused = |change: &dyn Fn(&mut Model)| {
        let mut model = full();
        assert_eq!(model.check(), Ok(()));
        change(&mut model);
        model.check().unwrap_err()
    };
    let group = refused(&|model| {
        let members = &mut model.groups.get_mut("g").unwrap().members;
        members.push(members[0].clone());
    });
    assert_eq!(group, "group `g` names dataset `ds` twice");
    let alert = refused(&|model| {
        let thresholds = &mut model.settings.alerts.get_mut("al").unwrap().thresholds;
        thresholds.push(thresholds[0].clone());
    });
    assert_eq!(alert, "alert policy `al` has two thresholds for one thing");
    let roles = refused(&|model| {
        model
            .settings
            .approvals
            .get_mut("ap")
            .unwrap()
            .roles
            .clear();
    });
    assert_eq!(
        roles,
        "approval policy `ap` asks for approvals and names no role"
    );
    let steps = refused(&|model| {
        let runbook = &mut model.scenarios.get_mut("rot").unwrap().runbook;
        let step = runbook.first().cloned().unwrap();
        runbook.push(step);
    });
    assert!(steps.starts_with("scenario `rot` has two steps"), "{steps}");
}

/// What is watched is heard of earlier or later, a standby lies further behind, and law is stricter or not.
#[test]
fn standbys_alerts_and_windows_have_a_direction() {
    let model = full();
    let changed = |change: &dyn Fn(&mut Model)| {
        let mut other = model.clone();
        change(&mut other);
        told(&check(&model, &other))
    };
    assert_eq!(
        changed(&|model| model.standbys.clear()),
        ["Weaker: `standbys/sb` without `sb`"]
    );
    assert_eq!(
        changed(&|model| model.standbys.get_mut("sb").unwrap().lag_limit_s = Seconds::hours(1)),
        ["Weaker: `standbys/sb/lag_limit_s` from `PT1M` to `PT1H`"]
    );
    let threshold = |index: usize| {
        changed(&move |model: &mut Model| {
            let alerts = model.settings.alerts.get_mut("al").unwrap();
            alerts.thresholds[index].warning_percent = 85;
        })
    };
    assert_eq!(
        threshold(0),
        ["Weaker: `settings/alerts/al/thresholds/capacity/warning_percent` from `80` to `85`"]
    );
    assert_eq!(
        threshold(1),
        [
            "Stronger: `settings/alerts/al/thresholds/backup_success/warning_percent` from `80` to `85`"
        ]
    );
    assert_eq!(
        changed(&|model| {
            model.groups.get_mut("g").unwrap().members.pop();
        }),
        ["Weaker: `groups/g/members/ds_other` without `ds_other`"]
    );
    assert_eq!(
        changed(&|model| model.environment.delete_budget = None),
        ["Stronger: `environment/delete_budget` without `100`"]
    );
    let law = |model: &mut Model| {
        model
            .settings
            .data_retention
            .get_mut("law")
            .unwrap()
            .legal_hold = true;
    };
    assert_eq!(
        changed(&law),
        ["Stronger: `settings/data_retention/law/legal_hold` from `false` to `true`"]
    );
}

/// Nothing is deleted without a grace: one where none was is weaker, and what stays marked longer can be had back longer.
#[test]
fn a_delete_grace_has_a_direction() {
    let grace = |days: Option<u64>| {
        let mut model = full();
        model.environment.delete_grace_s = days.map(Seconds::days);
        model
    };
    let changed = |old, new| told(&check(&grace(old), &grace(new)));
    assert_eq!(
        changed(None, Some(1)),
        ["Weaker: `environment/delete_grace_s` with `P1D`"]
    );
    assert_eq!(
        changed(Some(1), None),
        ["Stronger: `environment/delete_grace_s` without `P1D`"]
    );
    assert_eq!(
        changed(Some(1), Some(2)),
        ["Stronger: `environment/delete_grace_s` from `P1D` to `P2D`"]
    );
    assert_eq!(
        changed(Some(2), Some(1)),
        ["Weaker: `environment/delete_grace_s` from `P2D` to `P1D`"]
    );
    assert_eq!(changed(None, None), [""; 0]);
    assert_eq!(changed(Some(1), Some(1)), [""; 0]);
}

/// A waiver is a hole: one more, a longer, a wider one or one with a higher bound needs owners.
#[test]
fn more_waived_is_weaker() {
    let model = full();
    let mut less = model.clone();
    less.waivers.clear();
    assert_eq!(told(&check(&less, &model)), ["Weaker: `waivers` with `wv`"]);
    let changed = |change: &dyn Fn(&mut Waiver)| {
        let mut other = model.clone();
        change(other.waivers.get_mut("wv").unwrap());
        told(&check(&model, &other))
    };
    assert_eq!(
        changed(&|waiver| waiver.expiry = "2027-06-01T00:00:00Z".parse().unwrap()),
        ["Weaker: `waivers/wv/expiry` from `2027-01-01T00:00:00Z` to `2027-06-01T00:00:00Z`"]
    );
    assert_eq!(
        changed(&|waiver| waiver.bound_s = Some(Seconds::hours(71))),
        ["Weaker: `waivers/wv/bound_s` from `252000` to `255600`"]
    );
    assert_eq!(
        changed(&|waiver| waiver.bound_count = Some(1)),
        ["Stronger: `waivers/wv/bound_count` from `2` to `1`"]
    );
    assert_eq!(
        changed(&|waiver| {
            waiver.targets.insert("datasets/ds_other".to_owned());
        }),
        ["Weaker: `waivers/wv/targets` with `datasets/ds_other`"]
    );
    assert_eq!(
        changed(&|waiver| waiver.bound_s = None),
        ["Incomparable: `waivers/wv/bound_s` without `252000`"]
    );
    assert_eq!(
        changed(&|waiver| waiver.reason = "other words for the same".to_owned()),
        [
            "Equal: `waivers/wv/reason` from `a second region is built until spring` to `other words for the same`"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// A chain of changes: what never weakens on the way does not weaken from end to end.
    #[test]
    fn strengthening_adds_up(steps in proptest::collection::vec((0..6_usize, 1..5_u32), 1..6)) {
        let first = full();
        let mut last = first.clone();
        for (which, amount) in steps {
            let plan = last.plans.get_mut("bp").unwrap();
            match which {
                0 => plan.retention.keep.daily += amount,
                1 => plan.retention.min_versions += amount,
                2 => plan.redundancy_profile.copies += amount,
                3 => plan.backup_frequency.completion_window_s = plan.backup_frequency.completion_window_s.saturating_sub(Seconds::new(u64::from(amount))),
                4 => last.datasets.get_mut("ds").unwrap().rpo_s = Seconds::hours(20 - u64::from(amount)),
                _ => plan.retention.max_duration_s = None,
            }
        }
        let found = check(&first, &last);
        prop_assert_eq!(found.weakening().count(), 0);
    }
}
