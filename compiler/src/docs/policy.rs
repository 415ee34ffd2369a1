//! Owns the page about a policy: for each dataset its tier, plans, places, keys and runbooks, and what is lost of it in the
//! worst case of every loss. All numbers are those of the facts. The entry is [`page`].

use contract::duration::Seconds;
use contract::id::{DatasetId, PlanId};
use contract::model::{BackupPlan, Dataset, Eligibility, Model};
use contract::recovery::LossCase;
use serde_json::Value as Json;

use super::html::Html;
use super::{Entry, continuity, facts, governance, id, mark, settings};
use crate::compile::Compilation;
use crate::render::proofs::cut_sets;
use crate::source::{self, Position, Positions, SourceSet};

/// What the page is made of.
pub struct Documented<'a> {
    /// The compiled tree.
    pub compilation: &'a Compilation,
    /// Its model.
    pub model: &'a Model,
    /// What is proven of it.
    pub proven: &'a Json,
    /// The text that places lead into.
    pub sources: &'a SourceSet,
    /// Lines of that text.
    pub positions: Positions<'a>,
}

/// The page about the policy of one environment.
pub fn page(documented: &Documented<'_>) -> String {
    let model = documented.model;
    let mut body = documented.overview();
    body.push(Html::with("h2", &[("id", "datasets")], "Datasets"));
    for (dataset_id, dataset) in &model.datasets {
        body.push(documented.dataset(dataset_id, dataset));
    }
    body.push(Html::with("h2", &[("id", "plans")], "Plans"));
    for (plan_id, plan) in &model.plans {
        body.push(documented.plan(plan_id, plan));
    }
    body.push(continuity::groups(model));
    body.push(continuity::standbys(model));
    body.push(settings::scenarios(documented));
    body.push(settings::places(model));
    body.push(settings::keys(model));
    body.push(settings::tiers(model));
    body.push(governance::approvals(model));
    body.push(governance::waivers(model));
    body.push(governance::data_retention(model));
    body.push(governance::alerts(model));
    body.push(governance::windows(&model.environment));
    let names = |ids: Vec<String>, prefix: &str| -> Vec<(String, String)> {
        ids.into_iter()
            .map(|id| (format!("{prefix}-{id}"), id))
            .collect()
    };
    let entry = |anchor, words, below| Entry {
        anchor,
        words,
        below,
    };
    let datasets = model.datasets.keys().map(ToString::to_string).collect();
    let plans = model.plans.keys().map(ToString::to_string).collect();
    let scenarios = model.scenarios.keys().map(ToString::to_string).collect();
    let contents = [
        entry("overview", "Overview", Vec::new()),
        entry("datasets", "Datasets", names(datasets, "dataset")),
        entry("plans", "Plans", names(plans, "plan")),
        entry("groups", "Groups", Vec::new()),
        entry("standbys", "Standbys", Vec::new()),
        entry("scenarios", "Scenarios", names(scenarios, "scenario")),
        entry("places", "Places", Vec::new()),
        entry("keys", "Keys", Vec::new()),
        entry("tiers", "Tiers", Vec::new()),
        entry("approvals", "Approvals", Vec::new()),
        entry("waivers", "Accepted findings", Vec::new()),
        entry("data-retention", "Data retention", Vec::new()),
        entry("alerts", "Alerts", Vec::new()),
        entry("windows", "Windows and limits", Vec::new()),
    ];
    let environment = &model.environment.environment_id;
    let title = format!("Recovery policy of {environment}");
    super::page(&title, documented.lead(), &contents, body)
}

impl Documented<'_> {
    /// Where a document is declared, as `file:line`.
    pub(super) fn declared(&self, path: &[&str]) -> Html {
        let Some(origin) = self.compilation.provenance.exact(path) else {
            return Html::text("-");
        };
        let Position { line, .. } = self.positions.of(origin.span);
        id(format!("{}:{line}", self.sources.path(origin.span.file)))
    }

    fn fact(&self, dataset: &DatasetId) -> Option<&Json> {
        self.proven.get("datasets")?.get(dataset.as_str())
    }

    fn lead(&self) -> Html {
        let snapshot = &self.model.snapshot;
        let versions = snapshot.policy_version_ids.join(", ");
        facts(vec![
            ("Snapshot", id(&snapshot.snapshot_id)),
            ("Policy versions", Html::text(&versions)),
            (
                "In force from",
                Html::text(&snapshot.effective_from.to_string()),
            ),
            (
                "Policy snapshot hash",
                id(source::snapshot_hash(&self.sources.inputs())),
            ),
            (
                "Proven for",
                Html::text(
                    "five years from then, by the calendar of each schedule, for every fault domain",
                ),
            ),
        ])
    }

    fn overview(&self) -> Html {
        let rows = self.model.datasets.iter().map(|(dataset_id, dataset)| {
            let fact = self.fact(dataset_id);
            vec![
                Html::link(&format!("dataset-{dataset_id}"), id(dataset_id)),
                Html::text(&word(&dataset.plane)),
                Html::link(
                    &format!("tier-{}", dataset.criticality),
                    id(&dataset.criticality),
                ),
                coverage(fact),
                loss_in(fact, &LossCase::None),
                Html::text(&dataset.rpo_s.human()),
                Html::text(&recovery(fact)),
                Html::text(&dataset.rto_s.human()),
            ]
        });
        let heads = [
            "Dataset",
            "Plane",
            "Tier",
            "Coverage",
            "Worst loss",
            "RPO",
            "Reading back",
            "RTO",
        ];
        let mut out = Html::with("h2", &[("id", "overview")], "Overview");
        out.push(Html::tag("p", "Worst loss is what is lost at most when only the live data is gone; each dataset below has the same for every other loss that its tier survives."));
        out.push(Html::table(&heads, rows.collect()));
        out
    }

    fn dataset(&self, dataset_id: &DatasetId, dataset: &Dataset) -> Html {
        let fact = self.fact(dataset_id);
        let mut card = Html::tag("h3", dataset.name.as_str());
        let tier = Html::link(
            &format!("tier-{}", dataset.criticality),
            id(&dataset.criticality),
        );
        let mut told = vec![
            ("Id", id(dataset_id)),
            ("Coverage", coverage(fact)),
            ("Tier", tier),
            (
                "Plane and site",
                Html::joined([Html::text(&word(&dataset.plane)), id(&dataset.site)], ", "),
            ),
            (
                "Objectives",
                Html::text(&format!(
                    "RPO {}, RTO {}",
                    dataset.rpo_s.human(),
                    dataset.rto_s.human()
                )),
            ),
            ("Reading back", Html::text(&recovery(fact))),
            ("Classification", Html::text(&dataset.data_classification)),
            (
                "May reside in",
                Html::joined(
                    dataset.residency.iter().map(|place| Html::text(place)),
                    ", ",
                ),
            ),
            (
                "Store",
                Html::joined(
                    [Html::text(&dataset.store_type), id(&dataset.connector)],
                    ", by connector ",
                ),
            ),
            (
                "Size",
                Html::text(&settings::bytes(dataset.sizing.size_bytes)),
            ),
            (
                "Declared at",
                self.declared(&["datasets", dataset_id.as_str()]),
            ),
        ];
        if let Some(tenant) = &dataset.tenant {
            told.push(("Tenant", Html::text(tenant)));
        }
        match dataset.eligibility {
            Eligibility::BackedUp => {}
            Eligibility::Reconstructed => {
                let from = dataset.derived_from.iter();
                let from = from.map(|id_| Html::link(&format!("dataset-{id_}"), id(id_)));
                told.push(("Rebuilt from", Html::joined(from, ", ")));
            }
            Eligibility::Excluded => {
                let why = dataset.justification.as_deref().unwrap_or("-");
                told.push(("Not backed up", Html::text(why)));
            }
        }
        let plans: Vec<&BackupPlan> = self
            .model
            .plans
            .values()
            .filter(|plan| plan.dataset_ids.contains(dataset_id))
            .collect();
        let link =
            |plan: &&BackupPlan| Html::link(&format!("plan-{}", plan.plan_id), id(&plan.plan_id));
        if !plans.is_empty() {
            told.push(("Plans", Html::joined(plans.iter().map(link), ", ")));
            told.push(("Places", settings::locations_of(&plans)));
            let keys: std::collections::BTreeSet<_> =
                plans.iter().map(|plan| &plan.encryption_key_ref).collect();
            let keys = keys
                .into_iter()
                .map(|kid| Html::link(&format!("key-{kid}"), id(kid)));
            told.push(("Keys", Html::joined(keys, ", ")));
        }
        told.extend(self.beside(dataset_id));
        let runbooks: Vec<Html> = self
            .model
            .scenarios
            .iter()
            .filter(|(_, scenario)| scenario.datasets.contains(dataset_id))
            .map(|(scenario_id, scenario)| {
                Html::link(&format!("scenario-{scenario_id}"), scenario.name.as_str())
            })
            .collect();
        if !runbooks.is_empty() {
            told.push(("Runbooks", Html::joined(runbooks, ", ")));
        }
        card.push(facts(told));
        card.push(self.losses(dataset_id));
        Html::with(
            "section",
            &[("class", "card"), ("id", &format!("dataset-{dataset_id}"))],
            card,
        )
    }

    /// Groups, standbys and waivers that name a dataset.
    fn beside(&self, dataset: &DatasetId) -> Vec<(&'static str, Html)> {
        let link = |prefix: &str, of: &dyn std::fmt::Display| {
            Html::link(&format!("{prefix}-{of}"), id(of))
        };
        let model = self.model;
        let groups = model.groups.values().filter(|group| {
            let mut members = group.members.iter();
            members.any(|member| member.dataset == *dataset)
        });
        let standbys = model.standbys.values();
        let standbys = standbys.filter(|standby| standby.dataset == *dataset);
        let target = format!("datasets/{dataset}");
        let waivers = model.waivers.values();
        let waivers = waivers.filter(|waiver| waiver.targets.contains(&target));
        let told: [(&str, Vec<Html>); 3] = [
            (
                "Groups",
                groups.map(|group| link("group", &group.group_id)).collect(),
            ),
            (
                "Standbys",
                standbys
                    .map(|standby| link("standby", &standby.standby_id))
                    .collect(),
            ),
            (
                "Accepted findings",
                waivers
                    .map(|waiver| link("waiver", &waiver.waiver_id))
                    .collect(),
            ),
        ];
        let told = told.into_iter().filter(|(_, links)| !links.is_empty());
        told.map(|(name, links)| (name, Html::joined(links, ", ")))
            .collect()
    }

    /// What is lost in every loss that is known of, and what the tier demands there.
    fn losses(&self, dataset: &DatasetId) -> Html {
        let Some(fact) = self.fact(dataset) else {
            return Html::default();
        };
        let demands = fact.get("survives").and_then(Json::as_array);
        let demanded = |case: &str| -> Option<u64> {
            let demands = demands?.iter();
            demands
                .filter(|demand| demand.get("case").and_then(Json::as_str) == Some(case))
                .filter_map(|demand| demand.get("rpo_s")?.as_u64())
                .min()
        };
        let cases = fact.get("loss").and_then(Json::as_object);
        let rows: Vec<Vec<Html>> = cases
            .into_iter()
            .flatten()
            .map(|(case, loss)| {
                let allowed = demanded(case);
                let lost = loss.get("seconds").and_then(Json::as_u64);
                let bounded = loss.get("bounded").and_then(Json::as_bool) == Some(true);
                let told = loss.get("told").and_then(Json::as_str).unwrap_or("-");
                let class = match (allowed, lost) {
                    (Some(allowed), Some(lost)) if bounded && lost <= allowed => "good",
                    (Some(_), _) => "bad",
                    (None, _) => "",
                };
                let survivors = loss.get("survivors").and_then(Json::as_array);
                vec![
                    id(case),
                    mark(class, told),
                    Html::text(&allowed.map_or("-".to_owned(), |s| Seconds::new(s).human())),
                    Html::text(&survivors.map_or(0, Vec::len).to_string()),
                    id(loss.get("plan").and_then(Json::as_str).unwrap_or("-")),
                    Html::text(&witness(loss)),
                ]
            })
            .collect();
        if rows.is_empty() {
            return Html::default();
        }
        let mut out = Html::tag("h4", "Worst case of each loss");
        let heads = [
            "Lost",
            "Worst loss",
            "Allowed",
            "Copies left",
            "Plan",
            "Witness",
        ];
        out.push(Html::table(&heads, rows));
        let (sets, more) = cut_sets(fact);
        if !sets.is_empty() {
            out.push(Html::tag("h4", "Smallest losses that leave nothing"));
            let told = sets.iter().map(|set| Html::tag("li", id(set)));
            let mut list = Html::joined(told, "\n");
            if more > 0 {
                list.push(Html::tag("li", format!("and {more} more")));
            }
            out.push(Html::tag("ul", list));
        }
        out
    }

    fn plan(&self, plan_id: &PlanId, plan: &BackupPlan) -> Html {
        let mut card = Html::tag("h3", plan.name.as_str());
        let datasets = plan
            .dataset_ids
            .iter()
            .map(|dataset| Html::link(&format!("dataset-{dataset}"), id(dataset)));
        let schedule = &plan.backup_frequency;
        let redundancy = &plan.redundancy_profile;
        let checked = match (
            plan.verification.checksum_required,
            plan.verification.periodic_restore_test_required,
        ) {
            (true, true) => "every run by checksum, and by restore tests",
            (true, false) => "every run by checksum",
            (false, true) => "by restore tests",
            (false, false) => "not at all",
        };
        let mut told = vec![
            ("Id", id(plan_id)),
            ("Datasets", Html::joined(datasets, ", ")),
            ("Runs", Html::text(&settings::schedule(schedule))),
            (
                "Windows",
                Html::text(&format!(
                    "starts within {}, is complete and checked within {}; {} in a row may fail",
                    schedule.start_window_s.human(),
                    schedule.completion_window_s.human(),
                    settings::count(schedule.tolerated_misses, "slot"),
                )),
            ),
            ("Keeps", Html::text(&settings::retention(&plan.retention))),
            ("Places", settings::locations_of(&[plan])),
            (
                "Counts when",
                Html::text(&format!(
                    "{} of {} copies hold it; the others follow within {}",
                    redundancy.commit,
                    redundancy.copies,
                    redundancy.copy_within_s.human()
                )),
            ),
            (
                "Key",
                Html::link(
                    &format!("key-{}", plan.encryption_key_ref),
                    id(&plan.encryption_key_ref),
                ),
            ),
            ("Checked", Html::text(checked)),
        ];
        if let (Some(rpo), Some(rto)) = (plan.target_rpo_s, plan.target_rto_s) {
            let promised = format!("RPO {}, RTO {}", rpo.human(), rto.human());
            told.push(("Promises", Html::text(&promised)));
        }
        if let Some(full) = &plan.full_frequency {
            told.push(("Full runs", Html::text(&settings::schedule(full))));
        }
        told.push(("Declared at", self.declared(&["plans", plan_id.as_str()])));
        card.push(facts(told));
        Html::with(
            "section",
            &[("class", "card"), ("id", &format!("plan-{plan_id}"))],
            card,
        )
    }
}

/// A word of the model, such as `product_cloud`, as people write it.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Json::String(text)) => text.replace('_', " "),
        _ => "-".to_owned(),
    }
}

fn coverage(fact: Option<&Json>) -> Html {
    let told = fact.and_then(|fact| fact.get("coverage")?.as_str());
    let class = match told {
        Some("protected" | "reconstructed") => "good",
        Some("excluded") => "",
        _ => "bad",
    };
    mark(class, &told.unwrap_or("unknown").replace('_', " "))
}

fn loss_in(fact: Option<&Json>, case: &LossCase) -> Html {
    let told = fact.and_then(|fact| {
        fact.get("loss")?
            .get(case.to_string())?
            .get("told")?
            .as_str()
    });
    Html::text(told.unwrap_or("-"))
}

fn recovery(fact: Option<&Json>) -> String {
    match fact.and_then(|fact| fact.get("recovery_seconds")?.as_u64()) {
        Some(seconds) if Seconds::new(seconds) < Seconds::MAX => Seconds::new(seconds).human(),
        _ => "-".to_owned(),
    }
}

/// The instants that show a loss.
fn witness(loss: &Json) -> String {
    let instant = |name: &str| loss.get("witness")?.get(name)?.as_str();
    match (instant("point"), instant("failure_before")) {
        (Some(point), Some(failure)) => match instant("noticed_before") {
            Some(noticed) => format!("last good point {point}, next {failure}, noticed {noticed}"),
            None => format!("point {point}, failure just before {failure}"),
        },
        _ => String::new(),
    }
}
