//! The policy tree that is shipped, and the built-in rules on it. BDR-F1.1, BDR-F1.2, BDR-F1.3, BDR-F2.1, BDR-F2.2,
//! BDR-F5.1, RET-1, RET-2.

use std::collections::{BTreeMap, BTreeSet};

use compiler::compile::compile;
use compiler::diagnostic::Diagnostic;
use compiler::facts;
use compiler::render::human::{self, Look};
use compiler::render::{Report, merge};
use compiler::rules::{self, Files, Input};
use compiler::source::SourceSet;
use contract::id::EnvironmentId;
use contract::model::{Action, Eligibility, Model, Plane, Trigger};
use rstest::rstest;
use serde_json::Value;

use super::trees;

/// The day as of which the tree is judged; keys and bundles are measured against it.
const AT: i64 = 1_795_132_800; // 2026-11-20T00:00:00Z

const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "production"];

struct Judged {
    model: Model,
    facts: Value,
    findings: Vec<Diagnostic>,
}

/// Compiles, proves and judges with all built-in rules.
fn judge(sources: &SourceSet, environment: &str) -> Judged {
    let environment: EnvironmentId = environment.parse().unwrap();
    let compilation = compile(sources, &environment);
    let mut findings = compilation.diagnostics.clone();
    let model = compilation
        .model
        .clone()
        .unwrap_or_else(|| panic!("{}", trees::told(sources, &compilation)));
    let facts = facts::facts(&model, None);
    let (rules, invalid) = rules::load(&rules::built_in(), &Files::new());
    assert!(invalid.is_empty(), "{invalid:#?}");
    let json = serde_json::to_value(&model).unwrap();
    let input = Input::new(&json, &compilation.written, &facts, AT);
    findings.extend(rules::judge(&input, &rules, &|path: &[String]| {
        rules::place(&compilation, sources, path)
    }));
    Judged {
        model,
        facts,
        findings,
    }
}

fn told(findings: &[Diagnostic]) -> Vec<String> {
    let lines = findings.iter().map(|finding| {
        let help = finding.help.as_deref().unwrap_or("-");
        format!("{} {} | {help}", finding.code, finding.message)
    });
    lines.collect()
}

/// The platform's tree and the smallest one have no finding at all, not even a warning.
#[rstest]
#[case("policies", "dev")]
#[case("policies", "staging")]
#[case("policies", "production")]
#[case("fixtures/valid/minimal", "dev")]
#[case("fixtures/valid/minimal", "production")]
fn shipped_trees_are_clean(#[case] folder: &str, #[case] environment: &str) {
    let judged = judge(&trees::read(folder), environment);
    assert_eq!(told(&judged.findings), Vec::<String>::new());
}

/// What the requirements list as scope, each with the datasets that stand for it and must have recovery points.
#[rstest]
#[case::configuration_and_policy_state("ds_policy_registry ds_gsmd_snapshots ds_global_settings")]
#[case::iam_and_key_metadata("ds_iam_directory ds_key_metadata ds_trust_roots")]
#[case::receipts_and_evidence_logs("ds_receipts_ledger ds_evidence_log")]
#[case::service_databases("ds_orchestrator ds_usage_metering")]
#[case::tenant_metadata("ds_tenant_registry ds_acme_metadata ds_globex_metadata")]
#[case::audit_logs("ds_platform_audit_log ds_product_audit_log")]
#[case::observability("ds_incident_telemetry")]
#[case::edge_configuration_and_receipts("ds_edge_configuration ds_edge_receipts")]
#[case::recovery_itself("ds_backup_catalog ds_recovery_configuration")]
fn every_category_of_data_is_protected(#[case] datasets: &str) {
    let judged = judge(&trees::read("policies"), "production");
    for id in datasets.split(' ') {
        assert_eq!(
            judged.facts["datasets"][id]["coverage"],
            Value::from("protected"),
            "{id}"
        );
    }
}

#[test]
fn the_inventory_is_a_platform_of_four_planes() {
    let model = judge(&trees::read("policies"), "production").model;
    let datasets: Vec<_> = model.datasets.values().collect();
    let backed_up = datasets
        .iter()
        .filter(|dataset| dataset.eligibility == Eligibility::BackedUp)
        .count();
    assert!(backed_up >= 20, "{backed_up}");
    let planes: BTreeSet<Plane> = datasets.iter().map(|dataset| dataset.plane).collect();
    assert_eq!(planes.len(), 4);
    assert_eq!(
        model
            .plans
            .values()
            .map(|plan| plan.plane)
            .collect::<BTreeSet<_>>(),
        planes
    );
    let stores: BTreeSet<&str> = datasets
        .iter()
        .map(|dataset| dataset.store_type.as_str())
        .collect();
    for store in ["files", "jsonl", "sqlite", "postgres"] {
        assert!(stores.contains(store), "{store}");
    }
    for eligibility in [Eligibility::Reconstructed, Eligibility::Excluded] {
        assert!(
            datasets
                .iter()
                .any(|dataset| dataset.eligibility == eligibility)
        );
    }
    let triggers: BTreeSet<Trigger> = model.scenarios.values().map(|one| one.trigger).collect();
    assert_eq!(triggers.len(), 4);
}

/// One reconciler acts for all sites in dev; elsewhere each plane has its own.
#[test]
fn dev_has_one_reconciler() {
    let sources = trees::read("policies");
    let audience = |environment: &str| -> Vec<String> {
        let model = judge(&sources, environment).model;
        model.audience().iter().map(ToString::to_string).collect()
    };
    assert_eq!(audience("dev"), ["dev"]);
    assert!(audience("production").len() > 3);
}

/// Production asks two persons before live data is overwritten, staging one, dev nobody; and the three bundles differ in
/// nothing that would make a rehearsal another play: same datasets, plans and locations.
#[test]
fn environments_differ_in_approvals_and_not_in_shape() {
    let sources = trees::read("policies");
    let mut shapes = BTreeSet::new();
    for (environment, demanded) in ENVIRONMENTS.into_iter().zip([0, 1, 2]) {
        let model = judge(&sources, environment).model;
        for tier in model.settings.tiers.keys() {
            let asked = model.settings.approvals.values().filter(|policy| {
                policy.action == Action::RestoreInPlace
                    && policy.tiers.contains(tier)
                    && policy
                        .environments
                        .iter()
                        .any(|id| id.as_str() == environment)
            });
            let most = asked.map(|policy| policy.approvals).max();
            assert_eq!(most, Some(demanded), "{environment} {tier}");
        }
        let locations: BTreeMap<_, _> = model
            .plans
            .iter()
            .map(|(id, plan)| {
                (
                    id.clone(),
                    (plan.dataset_ids.clone(), plan.locations.clone()),
                )
            })
            .collect();
        shapes.insert(locations);
    }
    assert_eq!(shapes.len(), 1);
}

/// The sums that stand in `settings/schedules.yaml`, proven: minutes of loss by dataset and case.
#[rstest]
#[case("ds_policy_registry", "none", 14)]
#[case("ds_policy_registry", "region:eu-west-1", 14)]
#[case("ds_policy_registry", "account:vault-nordic", 14)]
#[case("ds_policy_registry", "provider:northcloud", 29)]
#[case("ds_policy_registry", "corruption", 24 * 60 + 14)]
#[case("ds_evidence_log", "none", 42)]
#[case("ds_evidence_log", "provider:northcloud", 102)]
#[case("ds_orchestrator", "none", 85)]
#[case("ds_orchestrator", "region:eu-central-1", 145)]
#[case("ds_incident_telemetry", "none", 14 * 60)]
#[case("ds_incident_telemetry", "region:eu-west-1", 18 * 60)]
#[case("ds_integration_catalogue", "none", 51 * 60)]
#[case("ds_integration_catalogue", "zone:eu-west-1c", 63 * 60)]
#[case("ds_release_artifacts", "none", 7 * 24 * 60 + 7 * 60)]
#[case("ds_release_artifacts", "zone:eu-west-1a", 7 * 24 * 60 + 19 * 60)]
fn the_sums_beside_the_schedules_are_true(
    #[case] dataset: &str,
    #[case] case: &str,
    #[case] minutes: u64,
) {
    let judged = judge(&trees::read("policies"), "production");
    let loss = &judged.facts["datasets"][dataset]["loss"][case];
    assert_eq!(loss["bounded"], Value::from(true), "{loss}");
    assert_eq!(loss["seconds"], Value::from(minutes * 60), "{loss}");
}

/// For each rule the one field of the shipped tree whose change makes it fire: rule, document, the field's line before and
/// after. Where the change cannot but break another promise too, the other codes are told.
const CHANGES: &[(&str, &str, &str, &str, &[&str])] = &[
    (
        "SW0301",
        "objective_id: tier0_core",
        "rpo: PT15M",
        "rpo: PT13M",
        &[],
    ),
    (
        "SW0302",
        "location_id: vault_eu_nordic",
        "immutable: true",
        "immutable: false",
        &["SW0320", "SW0325"],
    ),
    (
        "SW0303",
        "dataset_id: ds_policy_registry",
        "rpo: gsmd:objectives/tier0_core/rpo",
        "rpo: PT15M",
        &[],
    ),
    (
        "SW0304",
        "plan_id: bp_recovery",
        "dataset_ids: [ds_backup_catalog, ds_recovery_configuration]",
        "dataset_ids: [ds_backup_catalog]",
        &["SW0301", "SW0310", "SW0315"],
    ),
    (
        "SW0305",
        "plan_id: bp_feature_flags",
        "plane: product_cloud",
        "plane: shared_services",
        &[],
    ),
    (
        "SW0306",
        "kid: backup-edge-01",
        "not_after: 2031-12-31T00:00:00Z",
        "not_after: 2026-12-01T00:00:00Z",
        &[],
    ),
    (
        "SW0307",
        "schedule_id: every_6h",
        "completion_window: PT2H",
        "completion_window: PT7H",
        &[],
    ),
    (
        "SW0308",
        "retention_id: economy",
        "max_duration: P90D",
        "max_duration: P7D",
        &["SW0323"],
    ),
    (
        "SW0309",
        "plan_id: bp_global_settings",
        "target_rpo: gsmd:objectives/tier0_core/rpo",
        "target_rpo: gsmd:objectives/tier1_log/rpo",
        &[],
    ),
    (
        "SW0310",
        "scenario_id: core_service_loss",
        "dataset: ds_receipts_ledger, depends_on: [fence], deadline: PT15M",
        "dataset: ds_receipts_ledger, depends_on: [fence], deadline: PT1H",
        &[],
    ),
    (
        "SW0311",
        "scenario_id: region_loss",
        "trigger: region_loss",
        "trigger: core_service_loss",
        &[],
    ),
    (
        "SW0312",
        "dataset_id: ds_globex_receipts",
        "residency: [us]",
        "residency: [eu]",
        &[],
    ),
    (
        "SW0313",
        "dataset_id: ds_edge_cache",
        "justification: An agent fetches its cache again when it starts; a laptop is never restored.",
        "justification: a cache",
        &[],
    ),
    (
        "SW0314",
        "approval_id: production_purge",
        "approvals: 2",
        "approvals: 0",
        &[],
    ),
    (
        "SW0315",
        "dataset_id: ds_orchestrator",
        "size: 40GiB",
        "size: 4TiB",
        &["SW0310", "SW0329"],
    ),
    (
        "SW0316",
        "kid: backup-product-01",
        "custody: host:escrow-hsm",
        "custody: region:eu-west-1",
        &["SW0301", "SW0310"],
    ),
    (
        "SW0317",
        "retention_id: service_state",
        "immutable_for: P14D",
        "immutable_for: PT0S",
        &["SW0320", "SW0325"],
    ),
    (
        "SW0318",
        "tier_id: tier1",
        "drill_every: P180D",
        "drill_every: none",
        &[],
    ),
    (
        "SW0319",
        "location_id: acme_store",
        "region: acme-munich, zone: acme-munich-2",
        "region: acme-berlin, zone: acme-berlin-1",
        &[],
    ),
    (
        "SW0320",
        "location_id: hot_eu_central",
        "account: backup-central",
        "account: vault-nordic",
        &["SW0301", "SW0302", "SW0325"],
    ),
    (
        "SW0321",
        "standby_id: sb_tenant_registry",
        "lag_limit: PT1M",
        "lag_limit: P1D",
        &[],
    ),
    (
        "SW0322",
        "scenario_id: core_service_loss",
        "dataset: ds_policy_registry, depends_on: [restore_trust]",
        "dataset: ds_policy_registry, depends_on: [fence]",
        &[],
    ),
    (
        "SW0323",
        "data_retention_id: restricted_data",
        "max_duration: P400D",
        "max_duration: P300D",
        &[],
    ),
    (
        "SW0324",
        "channel_id: on_call",
        "medium: paging",
        "medium: chat",
        &[],
    ),
    (
        "SW0325",
        "location_id: vault_us_central",
        "credential: vault-us-writer",
        "credential: globex-runtime",
        &[],
    ),
    (
        "SW0326",
        "dataset_id: ds_release_artifacts",
        "data_classification: public",
        "data_classification: published",
        &[],
    ),
    (
        "SW0329",
        "location_id: hot_eu_west",
        "capacity: 20TiB",
        "capacity: 2TiB",
        &[],
    ),
    (
        "SW0330",
        "kid: backup-core-01",
        "custody: host:escrow-hsm",
        "custody: host:escrow-hsm\nkept_in: ds_key_metadata",
        &["SW0301", "SW0310", "SW0315"],
    ),
    (
        "SW0606",
        "environment_id: production",
        "overrides: []",
        "overrides: []\n---\nkind: Waiver\nwaiver_id: wv\ncode: SW0315\ntargets: [datasets/ds_orchestrator]\n\
         owner: service_owner\nreason: known issue\nexpiry: 2026-12-01T00:00:00Z",
        &[],
    ),
];

/// The tree with one text of one document changed; both must be there exactly once.
fn changed(sources: &SourceSet, document: &str, from: &str, to: &str) -> SourceSet {
    let mut files = sources.files.clone();
    let mut changes = 0;
    for file in &mut files {
        let documents: Vec<String> = file
            .text
            .split("\n---\n")
            .map(|text| {
                if text.lines().any(|line| line.starts_with(document)) {
                    assert_eq!(text.matches(from).count(), 1, "{from}");
                    changes += 1;
                    text.replace(from, to)
                } else {
                    text.to_owned()
                }
            })
            .collect();
        file.text = documents.join("\n---\n");
    }
    assert_eq!(changes, 1, "{document}");
    SourceSet::new(files)
}

#[test]
fn for_each_rule_one_field_makes_it_fire() {
    let sources = trees::read("policies");
    let mut wrong = Vec::new();
    for (rule, document, from, to, others) in CHANGES {
        let found: BTreeSet<String> = judge(&changed(&sources, document, from, to), "production")
            .findings
            .iter()
            .map(|finding| finding.code.to_string())
            .collect();
        let expected: BTreeSet<String> = others
            .iter()
            .chain([rule])
            .map(|code| (*code).to_owned())
            .collect();
        if found != expected {
            wrong.push(format!(
                "{document}, {from} → {to}: {expected:?}, not {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A schedule that is too slow for a whole plan of tier 0, in all that the tier survives and in two environments, is one
/// mistake; so is one of a schedule that four plans take over.
#[rstest]
#[case("plan_id: bp_core_policy", "every_5m", "nightly")]
#[case("schedule_id: every_5m", "every: PT5M", "every: PT1H")]
fn one_mistake_is_one_frame(#[case] document: &str, #[case] from: &str, #[case] to: &str) {
    let sources = changed(&trees::read("policies"), document, from, to);
    let runs = ENVIRONMENTS.map(|environment| {
        let findings = judge(&sources, environment).findings;
        (Some(environment.parse().unwrap()), findings)
    });
    let environments = ENVIRONMENTS.map(|id| id.parse().unwrap()).to_vec();
    let report = Report::new(&sources, environments, merge(runs.to_vec()));
    let look = Look {
        styled: false,
        width: 100,
    };
    let plain = human::render(&report, look);
    assert_eq!(plain.matches("error[").count(), 1, "{plain}");
    for line in plain.lines().filter(|line| !line.starts_with("error[")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    let name = document.split(' ').next_back().unwrap();
    trees::snapshot(&format!("one_mistake_{name}"), &plain);
}

#[test]
fn every_rule_has_its_change() {
    let (rules, _) = rules::load(&rules::built_in(), &Files::new());
    let known: BTreeSet<String> = rules
        .rules
        .iter()
        .map(|rule| rule.metadata.code.to_string())
        .collect();
    let shown = CHANGES.iter().map(|change| change.0);
    // What happened is no field of a policy; `evidence.rs` shows these.
    let by_receipts = ["SW0327", "SW0328", "SW0332"];
    let shown: BTreeSet<String> = shown.chain(by_receipts).map(str::to_owned).collect();
    assert_eq!(known, shown);
}

/// `seawall prove` tells which scenario answers each failure that the requirements name, and what brings critical data back.
#[test]
fn the_catalogue_answers_each_failure_and_brings_critical_data_back() {
    let judged = judge(&trees::read("policies"), "production");
    let catalogue = &judged.facts["catalogue"];
    let failures = catalogue["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 4);
    for failure in failures {
        assert_eq!(failure["demanded"], true, "{failure}");
        assert!(
            !failure["scenarios"].as_array().unwrap().is_empty(),
            "{failure}"
        );
    }
    let critical = catalogue["datasets"].as_object().unwrap();
    let known = &judged.model.datasets;
    let rank = |tier| judged.model.settings.tiers[tier].rank;
    let wanted = known
        .values()
        .filter(|one| one.eligibility == Eligibility::BackedUp && rank(&one.criticality) <= 1);
    let wanted: BTreeSet<&str> = wanted.map(|one| one.dataset_id.as_str()).collect();
    assert_eq!(
        critical.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        wanted
    );
    for (id, fact) in critical {
        assert_eq!(fact["scenarios"], fact["restored_by"], "{id}");
        assert!(!fact["scenarios"].as_array().unwrap().is_empty(), "{id}");
    }
}
