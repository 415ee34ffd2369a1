//! Owns the facts of a model as JSON, for rules and for `seawall prove`: coverage, worst-case loss with witnesses,
//! redundancy as it is, gaps of plans, the course of runbooks, and what receipts show. Judges nothing; the proofs are in `contract`.
//!
//! `seconds` is always an integer: an unbounded one is 2^53 − 1 beside `bounded: false`. The entry is [`facts`].

mod catalogue;
mod keys;

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::{Calendar, Gaps, Zones};
use contract::duration::Seconds;
use contract::evidence::Evidence;
use contract::id::{DatasetId, LocationId, PlanId};
use contract::model::{BackupPlan, Dataset, Eligibility, LoseCase, Model};
use contract::recovery::{
    Condition, Coverage, DatasetFacts, Holding, Loss, LossCase, Recovery, holdings,
};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

/// Datasets whose facts are held at once while all of them are told, some 20 KiB each.
const DATASETS_AT_ONCE: usize = 256;

/// Everything that rules read of a model: `datasets`, `plans`, `scenarios`, `keys` and `locations`, each by id, and the `catalogue`
/// of scenarios. With evidence, what receipts show of them beside it, and the time that reading took in the place of the time
/// that settings promise.
pub fn facts(model: &Model, evidence: Option<&Evidence>) -> Value {
    of_part(model, evidence, Some(&holdings(model).collect::<Vec<_>>()))
}

/// The same of a part of a tree. What locations have to hold only the tree as a whole tells: where it is known, it is this.
pub fn of_part(
    model: &Model,
    evidence: Option<&Evidence>,
    holdings: Option<&[Holding<'_>]>,
) -> Value {
    let zones = Zones::bundled();
    let recovery = recovery(model, &zones, evidence);
    let (mut proven, locations) = rayon::join(
        || of_each(model, &recovery, &zones, evidence),
        || holdings.map(|holdings| json!(recovery.forecast_of(holdings))),
    );
    if let (Value::Object(fields), Some(locations)) = (&mut proven, locations) {
        fields.insert("locations".to_owned(), locations);
    }
    proven
}

/// What locations have to hold of these.
pub fn locations(model: &Model, holdings: &[Holding<'_>]) -> Value {
    json!(Recovery::new(model, &Zones::bundled()).forecast_of(holdings))
}

fn recovery<'m>(model: &'m Model, zones: &Zones, evidence: Option<&Evidence>) -> Recovery<'m> {
    let measured = evidence.map(|evidence| evidence.measured(model));
    Recovery::new(model, zones).with(measured.unwrap_or_default())
}

fn of_each(
    model: &Model,
    recovery: &Recovery<'_>,
    zones: &Zones,
    evidence: Option<&Evidence>,
) -> Value {
    let datasets = model.datasets.par_iter();
    let datasets: Vec<_> = datasets
        .filter_map(|(id, dataset)| {
            let fact = one(model, recovery, evidence, (id, dataset))?;
            Some((id.to_string(), fact))
        })
        .collect();
    let datasets: Map<String, Value> = datasets.into_iter().collect();
    let mut all = json!({
        "datasets": datasets,
        "plans": plans(model, recovery, zones),
        "scenarios": scenarios(model, recovery, evidence),
        "keys": keys::keys(recovery),
        "catalogue": catalogue::catalogue(model),
    });
    if let (Value::Object(fields), Some(evidence)) = (&mut all, evidence) {
        fields.insert("evidence".to_owned(), logs(model, evidence));
    }
    all
}

/// The logs that were given, by the reconciler that wrote them.
fn logs(model: &Model, evidence: &Evidence) -> Value {
    let sites = model.settings.sites.values();
    let given = sites.filter_map(|site| {
        let log = evidence.log(&site.reconciler_id)?;
        Some((site.reconciler_id.to_string(), json!(log)))
    });
    json!({ "logs": given.collect::<Map<String, Value>>() })
}

/// What rules read, and beside it how far retention reaches, how far apart groups come back, and what a bad base costs.
pub fn proofs(model: &Model, evidence: Option<&Evidence>) -> Value {
    let zones = Zones::bundled();
    let recovery = recovery(model, &zones, evidence);
    let mut proven = of_each(model, &recovery, &zones, evidence);
    if let Value::Object(fields) = &mut proven {
        fields.insert("locations".to_owned(), json!(recovery.forecast()));
    }
    for id in model.datasets.keys() {
        if let Some(fact) = proven.pointer_mut(&format!("/datasets/{id}")) {
            with_bad_base(&recovery, id, fact);
        }
    }
    for id in model.plans.keys() {
        if let Some(Value::Object(fields)) = proven.pointer_mut(&format!("/plans/{id}")) {
            fields.insert("kept".to_owned(), json!(recovery.kept(id)));
        }
    }
    if let Value::Object(fields) = &mut proven {
        fields.insert("groups".to_owned(), json!(groups(model, &recovery)));
    }
    proven
}

/// How far apart the members of a group can come back: between the best and the worst loss of its members, with all copies
/// left; and the strictest objective among them.
fn groups(model: &Model, recovery: &Recovery<'_>) -> Map<String, Value> {
    let groups = model.groups.iter().map(|(id, group)| {
        let members = group.members.iter().map(|member| &member.dataset);
        let losses: Vec<Seconds> = members
            .clone()
            .map(|dataset| recovery.loss(dataset, &LossCase::None).seconds())
            .collect();
        let worst = losses.iter().max().copied().unwrap_or(Seconds::MAX);
        let objectives = members.filter_map(|dataset| model.datasets.get(dataset));
        let fact = json!({
            // Each member comes back as of some instant within its own loss: so far apart can two of them be.
            "window_seconds": worst,
            "bounded": worst < Seconds::MAX,
            "rpo_s": objectives.map(|dataset| dataset.rpo_s).min(),
        });
        (id.to_string(), fact)
    });
    groups.collect()
}

/// What is proven of one dataset after the other, some at a time, so that nobody has to hold all of it.
pub fn of_datasets(model: &Model, take: &mut dyn FnMut(&DatasetId, Value)) {
    let recovery = Recovery::new(model, &Zones::bundled());
    let ids: Vec<_> = model.datasets.iter().collect();
    for some in ids.chunks(DATASETS_AT_ONCE) {
        let proven: Vec<_> = some
            .par_iter()
            .map(|(id, dataset)| one(model, &recovery, None, (id, dataset)))
            .collect();
        for ((id, _), fact) in some.iter().zip(proven) {
            if let Some(fact) = fact {
                take(id, fact);
            }
        }
    }
}

/// What [`proofs`] says of some datasets, and nothing else; with a case, declared or not, their loss in it is all that is told of
/// losses.
pub fn proofs_of<'a>(
    model: &Model,
    datasets: impl Iterator<Item = &'a DatasetId>,
    lose: Option<&LossCase>,
    evidence: Option<&Evidence>,
) -> Value {
    let recovery = recovery(model, &Zones::bundled(), evidence);
    let datasets = datasets.filter_map(|id| {
        let mut fact = one(model, &recovery, evidence, (id, model.datasets.get(id)?))?;
        match (lose, &mut fact) {
            (Some(case), Value::Object(fields)) => {
                let found = recovery.loss(id, case);
                let left = recovery.survivors(id, case);
                let told = json!({ case.to_string(): loss(&found, Some(&left)) });
                fields.insert("loss".to_owned(), told);
            }
            (_, fact) => with_bad_base(&recovery, id, fact),
        }
        Some((id.to_string(), fact))
    });
    json!({ "datasets": datasets.collect::<Map<String, Value>>() })
}

/// Adds the loss when the newest base turns out to be bad, where there is one.
fn with_bad_base(recovery: &Recovery<'_>, id: &DatasetId, fact: &mut Value) {
    let found = recovery.loss_with_bad_base(id, &LossCase::None);
    if let (Some(found), Value::Object(fields)) = (found, fact) {
        let left = recovery.survivors(id, &LossCase::None);
        fields.insert("bad_base".to_owned(), loss(&found, Some(&left)));
    }
}

fn one(
    model: &Model,
    recovery: &Recovery<'_>,
    evidence: Option<&Evidence>,
    (id, dataset): (&DatasetId, &Dataset),
) -> Option<Value> {
    let proven = recovery.facts(id)?;
    let losses: Map<String, Value> = proven
        .loss
        .iter()
        .map(|(case, found)| {
            let left = proven.survivors.get(case);
            (case.to_string(), loss(found, left))
        })
        .collect();
    let plans: Vec<&PlanId> = recovery
        .plans_of(id)
        .iter()
        .map(|plan| &plan.plan_id)
        .collect();
    // What has no points of its own leaves no receipts of its own.
    let seen = evidence.filter(|_| !plans.is_empty());
    let seen = seen.and_then(|evidence| evidence.of(model, id));
    let stale = seen.as_ref().is_some_and(|seen| !seen.stale.is_empty());
    let mut fact = json!({
        "coverage": coverage(proven.coverage, dataset, &plans, stale),
        "plans": plans,
        "redundancy": redundancy(&proven),
        "loss": losses,
        "survives": survives(model, recovery, id, dataset, &proven),
        "cut_sets": proven.cut_sets,
        "recovery_seconds": proven.recovery_seconds,
        "recovery_from": recovery.seen(id, &LossCase::None),
    });
    if let (Value::Object(fields), Some(seen)) = (&mut fact, seen) {
        fields.insert("evidence".to_owned(), json!(seen));
    }
    Some(fact)
}

/// A reconstructed dataset without plans of its own says so, once what it is rebuilt from holds. What policy protects and
/// receipts do not show to be so is stale.
fn coverage(proven: Coverage, dataset: &Dataset, plans: &[&PlanId], stale: bool) -> Value {
    match (proven, dataset.eligibility) {
        (Coverage::Protected, _) if stale => Value::from("stale"),
        (Coverage::Protected, Eligibility::Reconstructed) if plans.is_empty() => {
            Value::from("reconstructed")
        }
        (
            Coverage::Protected
            | Coverage::PlannedButUnmet
            | Coverage::Excluded
            | Coverage::Unprotected,
            Eligibility::BackedUp | Eligibility::Reconstructed | Eligibility::Excluded,
        ) => serde_json::to_value(proven).unwrap_or_default(),
    }
}

fn redundancy(proven: &DatasetFacts) -> Value {
    let found = &proven.redundancy;
    let distinct = &found.distinct;
    json!({
        "copies": found.copies,
        "immutable_copies": found.immutable_copies,
        "provider": distinct.provider,
        "region": distinct.region,
        "zone": distinct.zone,
        "account": distinct.account,
        "credential": distinct.credential,
        "engine": distinct.engine,
        "shortfalls": found.shortfalls,
    })
}

/// One loss with the copies that are left and, where it is bounded, the witness.
fn loss(found: &Loss, left: Option<&BTreeSet<LocationId>>) -> Value {
    let mut fact = serde_json::to_value(found).unwrap_or_default();
    if let Value::Object(fields) = &mut fact {
        fields.insert("survivors".to_owned(), json!(left));
        if let Some(Value::Object(witness)) = fields.get_mut("witness") {
            // The next usable point comes at the instant just before which the failure was assumed.
            let next = witness.get("failure_before").cloned().unwrap_or_default();
            witness.insert("next".to_owned(), next);
        }
    }
    fact
}

/// What the dataset's tier survives, one entry for each concrete fault domain that could be lost.
fn survives(
    model: &Model,
    recovery: &Recovery<'_>,
    id: &DatasetId,
    dataset: &Dataset,
    proven: &DatasetFacts,
) -> Vec<Value> {
    let Some(tier) = model.settings.tiers.get(&dataset.criticality) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for survival in &tier.survives {
        let cases = recovery.cases_of(id, survival.lose);
        for case in &cases {
            let Some(found) = proven.loss.get(case) else {
                continue;
            };
            entries.push(json!({
                "lose": lose(survival.lose),
                "domain": case.to_string(),
                "case": case.to_string(),
                "seconds": found.seconds(),
                "bounded": found.is_bounded(),
                "rpo_s": survival.objective.rpo_s,
                "rto_s": survival.objective.rto_s,
                "objective_id": survival.objective.objective_id,
            }));
        }
    }
    entries
}

fn lose(case: LoseCase) -> Value {
    serde_json::to_value(case).unwrap_or_default()
}

fn plans(model: &Model, recovery: &Recovery<'_>, zones: &Zones) -> Map<String, Value> {
    let (from, to) = recovery.horizon();
    let mut known: BTreeMap<_, Option<Gaps>> = BTreeMap::new();
    model
        .plans
        .iter()
        .map(|(id, plan)| {
            let gaps = plan.backup_frequency.timing().ok().and_then(|timing| {
                *known.entry(timing.clone()).or_insert_with(|| {
                    let calendar = Calendar::new(timing, zones).ok()?;
                    Some(calendar.gaps(from, to, 0))
                })
            });
            let conditions: Vec<Value> = recovery
                .conditions(id)
                .iter()
                .map(|broken| condition(id, broken))
                .collect();
            let mut fact = json!({ "conditions": conditions, "orphan": is_orphan(model, plan) });
            // A continuous plan has no slots, hence no gaps; a rule that asks for them finds nothing, not zero.
            if let (Value::Object(fields), Some(gaps)) = (&mut fact, gaps) {
                for (name, gap) in [
                    ("smallest_gap_s", gaps.narrowest),
                    ("largest_gap_s", gaps.widest),
                ] {
                    if let Some(gap) = gap {
                        fields.insert(name.to_owned(), json!(gap.length()));
                    }
                }
            }
            (id.to_string(), fact)
        })
        .collect()
}

/// Whether a plan protects nothing that needs it: each of its datasets is excluded from backup.
fn is_orphan(model: &Model, plan: &BackupPlan) -> bool {
    let datasets = plan.dataset_ids.iter();
    let mut known = datasets.filter_map(|id| model.datasets.get(id));
    known.all(|dataset| dataset.eligibility == Eligibility::Excluded)
}

fn condition(plan: &PlanId, broken: &Condition) -> Value {
    let schedule = ["plans", plan.as_str(), "backup_frequency"];
    let (at, message) = match broken {
        Condition::WindowsOutOfOrder { .. } => (
            [&schedule[..], &["completion_window_s"]].concat(),
            "jitter, start window and completion window are not in ascending order".to_owned(),
        ),
        Condition::WindowAboveGap {
            window_seconds,
            gap_seconds,
            pair: [first, second],
        } => (
            [&schedule[..], &["completion_window_s"]].concat(),
            format!(
                "the completion window of {} is longer than the smallest gap of {}, from {first} to {second}",
                window_seconds.human(),
                gap_seconds.human()
            ),
        ),
        Condition::RetentionTooShallow { needed, after } => (
            vec!["plans", plan.as_str(), "retention"],
            format!("retention keeps fewer than the newest {needed} points after the slot {after}"),
        ),
        Condition::SlotFrozen { window, slot } => {
            let place = vec![
                "environment".to_owned(),
                "freeze_windows".to_owned(),
                window.to_string(),
            ];
            return told(
                broken,
                &json!(place),
                format!("a freeze window removes the slot {slot}"),
            );
        }
        Condition::MaxDurationWithinLoss {
            max_seconds,
            loss_seconds,
        } => (
            vec!["plans", plan.as_str(), "retention", "max_duration_s"],
            format!(
                "points are removed after {}, within the worst-case loss of {}",
                max_seconds.human(),
                loss_seconds.human()
            ),
        ),
    };
    told(broken, &json!(at), message)
}

fn told(broken: &Condition, at: &Value, message: String) -> Value {
    let mut fact = serde_json::to_value(broken).unwrap_or_default();
    if let Value::Object(fields) = &mut fact {
        let code = fields.remove("condition").unwrap_or_default();
        fields.insert("code".to_owned(), code);
        fields.insert("message".to_owned(), Value::from(message));
        fields.insert("at".to_owned(), at.clone());
    }
    fact
}

/// How long each runbook takes when every step takes as long as it may, and beside it when restores take as long as reading; and
/// what receipts show of its drills.
fn scenarios(
    model: &Model,
    recovery: &Recovery<'_>,
    evidence: Option<&Evidence>,
) -> Map<String, Value> {
    let courses = model.scenarios.keys().filter_map(|id| {
        let course = recovery.course_of(id)?;
        let seen = evidence.and_then(|evidence| evidence.of_scenario(model, id));
        let mut fact = json!(course.by_deadlines);
        if let Value::Object(fields) = &mut fact {
            fields.insert("by_reading".to_owned(), json!(course.by_reading));
            fields.insert("slow".to_owned(), json!(course.slow));
            fields.insert("unreadable".to_owned(), json!(course.unreadable));
            fields.extend(seen.map(|seen| ("evidence".to_owned(), json!(seen))));
        }
        Some((id.to_string(), fact))
    });
    courses.collect()
}
