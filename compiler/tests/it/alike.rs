//! Documents that are alike are judged once, and nobody can tell: every tree has the findings that it has when each of
//! its documents is judged.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use compiler::alike::Alike;
use compiler::diagnostic::Diagnostic;
use compiler::environments::environments;
use compiler::judge::find;
use compiler::parse::parse;
use compiler::rules::{self, Files, RuleSet};
use compiler::source::{SourceFile, SourceSet};
use proptest::prelude::*;

use crate::trees;

fn rules() -> RuleSet {
    rules::load(&rules::built_in(), &Files::new()).0
}

/// Findings as one text each, so that a difference can be read.
fn told(findings: &[Diagnostic]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{finding:?}"))
        .collect()
}

/// Judges a tree both ways for one environment, and says how many documents were left out at first.
fn both_ways(sources: &SourceSet, environment: &str) -> (Vec<Diagnostic>, usize) {
    let (environment, at) = (
        environment.parse().unwrap(),
        "2026-11-21T12:00:00Z".parse().unwrap(),
    );
    let (parsed, rules) = (parse(sources), rules());
    let alike = Alike::under(&rules, &parsed);
    let of_each = find(
        sources,
        &parsed,
        &Alike::default(),
        &environment,
        &rules,
        (at, None),
    );
    let of_kinds = find(sources, &parsed, &alike, &environment, &rules, (at, None));
    assert_eq!(told(&of_kinds.diagnostics), told(&of_each.diagnostics));
    assert_eq!(of_kinds.model.is_some(), of_each.model.is_some());
    let kept: BTreeSet<usize> = alike
        .parts(&parsed, &BTreeSet::new())
        .concat()
        .into_iter()
        .collect();
    (of_each.diagnostics, parsed.documents.len() - kept.len())
}

fn with(extra: &str) -> SourceSet {
    with_room(extra, "7PiB")
}

/// The same with locations that hold so much.
fn with_room(extra: &str, capacity: &str) -> SourceSet {
    let mut files = trees::read("policies").files;
    for file in &mut files {
        let lines = file.text.lines().map(|line| {
            if line.starts_with("capacity: ") {
                format!("capacity: {capacity}\n")
            } else {
                format!("{line}\n")
            }
        });
        file.text = lines.collect();
    }
    files.push(SourceFile {
        path: "many.yaml".to_owned(),
        text: extra.to_owned(),
    });
    SourceSet::new(files)
}

/// Faults that datasets and plans can have, most of them found by rules, some by the compiler.
const DATASETS: [(&str, &str, &str); 9] = [
    ("", "", ""),
    ("size", "10GiB", "90TiB"),
    ("site", "product_eu_west", "product_eu_central"),
    ("rpo", "gsmd:objectives/tier2_standard/rpo", "PT1H"),
    ("tier", "criticality: tier2", "criticality: tier0"),
    ("plane", "product_cloud", "edge"),
    ("residency", "[eu]", "[us]"),
    ("excluded", "backed_up", "excluded, justification: short"),
    ("unknown", "connector: sqlite", "connector: sqlite_x"),
];
const PLANS: [(&str, &str, &str); 6] = [
    ("", "", ""),
    ("slow", "every_30m", "every_6h"),
    ("literal", "gsmd:schedules/every_30m", "{ every: PT30M }"),
    ("profile", "tier1_dual_provider", "tier2_dual_region"),
    ("plane", "product_cloud", "edge"),
    ("key", "backup-product-01", "backup-none-01"),
];

fn dataset(id: &str, name: &str, fault: (&str, &str, &str)) -> String {
    format!(
        "---\nkind: Dataset\ndataset_id: {id}\nname: {name}\nplane: product_cloud\nsite: product_eu_west\nstore_type: sqlite\n\
         criticality: tier2\ndata_classification: confidential\nresidency: [eu]\nrpo: gsmd:objectives/tier2_standard/rpo\n\
         rto: gsmd:objectives/tier2_standard/rto\neligibility: backed_up\nsizing: {{ size: 10GiB, change_per_day: 500MiB }}\n\
         connector: sqlite\n"
    )
    .replace(fault.1, fault.2)
    .replace(", justification", "\njustification")
}

fn plan(id: &str, datasets: &[String], fault: (&str, &str, &str)) -> String {
    format!(
        "---\nkind: BackupPlan\nplan_id: {id}\nname: {id}\ndataset_ids: [{}]\nplane: product_cloud\n\
         backup_frequency: gsmd:schedules/every_30m\ntarget_rpo: gsmd:objectives/tier2_standard/rpo\n\
         retention: gsmd:retention/service_state\nstorage_profiles: [remote, vault]\n\
         redundancy_profile: tier1_dual_provider\nencryption_key_ref: kid:backup-product-01\n",
        datasets.join(", ")
    )
    .replace(fault.1, fault.2)
}

/// How much data there is: as it is, the same in other words, more, more of one and less of the other, and too much.
const SIZES: [&str; 6] = [
    "{ size: 10GiB, change_per_day: 500MiB }",
    "{ change_per_day: 500MiB, size: 10240MiB }",
    "{ size: 11GiB, change_per_day: 1MiB }",
    "{ size: 0B, change_per_day: 0B }",
    "{ size: 20GiB, change_per_day: 1GiB }",
    "{ size: 90TiB, change_per_day: 500MiB }",
];

/// One family: how many datasets, how many plans, which of them is faulty, and how; what is odd about its names; and how
/// large its datasets are, each by one more.
#[derive(Debug, Clone)]
struct Family {
    datasets: usize,
    plans: usize,
    dataset: usize,
    plan: usize,
    odd: u8,
    size: usize,
}

fn family() -> impl Strategy<Value = Family> {
    // Most are sound, or no two would be alike.
    let fault = |count: usize| prop_oneof![12 => Just(0), 1 => 0..count];
    let odd = prop_oneof![12 => Just(0_u8), 1 => 1..8_u8];
    (
        0..4_usize,
        0..3_usize,
        fault(DATASETS.len()),
        fault(PLANS.len()),
        odd,
        // The largest one is at fault, so it is rare.
        prop_oneof![12 => 0..2_usize, 1 => 0..SIZES.len()],
    )
        .prop_map(|(datasets, plans, dataset, plan, odd, size)| Family {
            datasets,
            plans,
            dataset,
            plan,
            odd,
            size,
        })
}

fn write(families: &[Family], each: bool) -> String {
    let mut text = String::new();
    for (number, family) in families.iter().enumerate() {
        let mut ids: Vec<String> = (0..family.datasets)
            .map(|one| format!("ds_m{number}_{one}"))
            .collect();
        let mut name = format!("Many {number}");
        match family.odd {
            1 => "\"\"".clone_into(&mut name),
            2 => ids.iter_mut().for_each(|id| id.push_str(&"x".repeat(110))),
            3 => ids.extend(ids.first().cloned()),
            4 => ids.push("ds_nobody".to_owned()),
            5 if !ids.is_empty() => "Ds Bad".clone_into(&mut ids[0]),
            6 if !ids.is_empty() => "ds_same".clone_into(&mut ids[0]),
            _ => {}
        }
        let written: BTreeSet<&String> = ids.iter().filter(|id| *id != "ds_nobody").collect();
        for (one, id) in written.into_iter().enumerate() {
            let fault = if one == 0 {
                DATASETS[family.dataset]
            } else {
                DATASETS[0]
            };
            let size = SIZES[(family.size + one) % SIZES.len()];
            text.push_str(&dataset(id, &name, fault).replace(SIZES[0], size));
        }
        for one in 0..family.plans {
            let fault = if one == 0 {
                PLANS[family.plan]
            } else {
                PLANS[0]
            };
            if !ids.is_empty() {
                text.push_str(&plan(&format!("bp_m{number}_{one}"), &ids, fault));
            }
        }
        if family.odd == 7 && !ids.is_empty() {
            let _ = writeln!(
                text,
                "{}derived_from: [{}]",
                dataset(&format!("ds_view_{number}"), "A view", DATASETS[0])
                    .replace("backed_up", "reconstructed"),
                ids[0]
            );
        }
    }
    if each {
        text.push_str(&plan("bp_each", &[], PLANS[0]).replace(
            "dataset_ids: []",
            "for_each: { store_type: sqlite, criticality: tier2 }",
        ));
    }
    text
}

/// A waiver for something about a plan or a dataset that is there, or is not.
fn waiver(number: usize, (family, what, days): (usize, usize, usize)) -> String {
    let (code, target) = [
        ("SW0303", format!("plans/bp_m{family}_0/backup_frequency")),
        ("SW0303", format!("datasets/ds_m{family}_0/rpo")),
        ("SW0305", format!("datasets/ds_m{family}_0")),
    ][what]
        .clone();
    format!(
        "---\nkind: Waiver\nwaiver_id: w{number}\ncode: {code}\ntargets: [{target}]\nenvironments: [production]\nowner: data_steward\n\
         reason: it is moved to the new platform this quarter\nexpiry: 2026-11-{:02}T00:00:00Z\n",
        20 + days
    )
}

/// A scenario that restores these one beside the other, each within so many seconds.
fn scenario(datasets: &[String], seconds: u32, losses: &str) -> String {
    let mut text = format!(
        "---\nkind: Scenario\nscenario_id: many\nname: Many\ntrigger: core_service_loss\nlosses: [{losses}]\ndetected_within: PT15M\n\
         strategy: backup_and_restore\nobjective: gsmd:objectives/tier2_standard\ndatasets: [{}]\nprerequisites: []\n\
         personnel: [service_owner]\nfailback: None is needed.\ndrill_target: drill\nrunbook:\n",
        datasets.join(", ")
    );
    for dataset in datasets {
        let _ = writeln!(
            text,
            "  - {{ step: r_{dataset}, title: Restore, action: restore, dataset: {dataset}, deadline: PT{seconds}S, idempotent: true }}"
        );
    }
    let _ = writeln!(
        text,
        "  - {{ step: look, title: Look, action: http_check, depends_on: [r_{}], deadline: PT1M, idempotent: true }}",
        datasets[0]
    );
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn judging_kinds_finds_what_judging_each_finds(
        families in proptest::collection::vec(family(), 0..30),
        each in proptest::bool::weighted(0.2),
        waivers in proptest::collection::vec((0..30_usize, 0..3_usize, 0..9_usize), 0..3),
        restored in proptest::collection::btree_set(0..30_usize, 0..3),
        seconds in 10..900_u32,
        capacity in prop_oneof![3 => Just("7PiB"), 1 => Just("1GiB"), 1 => Just("20TiB"), 1 => Just("2200GiB")],
    ) {
        let waivers = waivers.into_iter().enumerate();
        let mut beside: String = waivers.map(|(number, of)| waiver(number, of)).collect();
        let restored: Vec<String> = restored.iter().map(|family| format!("ds_m{family}_0")).collect();
        let text = write(&families, each);
        let restored: Vec<String> = restored.into_iter().filter(|id| text.contains(&format!("dataset_id: {id}\n"))).collect();
        if !restored.is_empty() {
            beside.push_str(&scenario(&restored, seconds, ""));
        }
        both_ways(&with_room(&format!("{text}{beside}"), capacity), "production");
    }
}

/// The same of the shipped policies and of the trees on which rules are tested, in all of their environments.
#[test]
fn no_tree_of_the_repository_tells_the_difference() {
    let mut layers: Vec<Vec<String>> = vec![vec!["policies".to_owned()]];
    for path in rules::built_in().keys() {
        if let Some(rule) = path.strip_suffix("/rule.rego") {
            let folder = |name: &str| format!("rules/{rule}/{name}");
            layers.push(vec![
                "rules/lib/tree".to_owned(),
                folder("good"),
                folder("bad"),
            ]);
        }
    }
    assert!(layers.len() > 15, "{layers:?}");
    let mut findings = 0;
    for folders in layers {
        let mut files = std::collections::BTreeMap::new();
        for file in folders.iter().flat_map(|folder| trees::read(folder).files) {
            files.insert(file.path.clone(), file);
        }
        let sources = SourceSet::new(files.into_values().collect());
        let declared = environments(&parse(&sources)).0;
        assert!(!declared.is_empty(), "{folders:?}");
        for environment in declared {
            findings += both_ways(&sources, environment.as_str()).0.len();
        }
    }
    assert!(findings > 40, "{findings}");
}

/// A large inventory is thinned to one of each kind, and a fault in one of many is told of exactly that one.
#[test]
fn one_of_many_is_judged_and_a_fault_in_one_is_found() {
    let sound = Family {
        datasets: 2,
        plans: 1,
        dataset: 0,
        plan: 0,
        odd: 0,
        size: 0,
    };
    let mut families = vec![sound; 200];
    let (found, left_out) = both_ways(&with(&write(&families, false)), "production");
    assert_eq!((found.len(), left_out), (0, 200 * 3 - 2));
    families[77].plan = 2;
    let (found, left_out) = both_ways(&with(&write(&families, false)), "production");
    assert_eq!(left_out, 200 * 3 - 4);
    assert!(!found.is_empty());
    for finding in found {
        assert_eq!(finding.at[..2], ["plans", "bp_m77_0"], "{finding:?}");
    }
    // All of them at fault: all are told.
    for family in &mut families {
        family.plan = 2;
    }
    let (found, _) = both_ways(&with(&write(&families, false)), "production");
    let plans: BTreeSet<_> = found.iter().map(|finding| &finding.at[1]).collect();
    assert_eq!(plans.len(), 200);
    // The same of what only rules find: a compiler's error is told of the whole tree anyhow.
    for family in &mut families {
        (family.plan, family.dataset) = (0, 4);
    }
    let (found, left_out) = both_ways(&with(&write(&families, false)), "production");
    let plans: BTreeSet<_> = found.iter().map(|finding| &finding.at[1]).collect();
    assert!(
        plans.len() >= 200 && left_out > 500,
        "{} {left_out}",
        plans.len()
    );
}

/// What policy says alike of is not alike in what became of it: with receipts each dataset is judged.
#[test]
fn with_receipts_nothing_is_alike() {
    let sound = Family {
        datasets: 1,
        plans: 1,
        dataset: 0,
        plan: 0,
        odd: 0,
        size: 0,
    };
    let sources = with(&write(&vec![sound; 5], false));
    let environment = "production".parse().unwrap();
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let (parsed, rules) = (parse(&sources), rules());
    let alike = Alike::under(&rules, &parsed);
    assert!(!alike.classes().is_empty());
    let seen = ["ds_m0_0", "ds_m1_0", "ds_m2_0", "ds_m4_0"];
    let effects = seen.map(|dataset| {
        let effect = |kind: &str| {
            serde_json::json!({
                "decision_type": kind,
                "reconciler_id": "product",
                "dataset_ids": [dataset],
                "backup_id": format!("bp_{dataset}.20261121T110000Z"),
                "began_at": "2026-11-21T11:00:00Z",
                "ended_at": "2026-11-21T11:10:00Z",
                "result": "success",
                "details": { "consistent_at": "2026-11-21T11:00:00Z" },
            })
        };
        [effect("backup"), effect("verification")]
    });
    let effects = serde_json::to_string(&effects.concat()).unwrap();
    let shown = compiler::rules::receipts::shown(&effects, &environment, at).unwrap();
    let as_of = (at, Some(&shown));
    let found = find(&sources, &parsed, &alike, &environment, &rules, as_of);
    let found = found.diagnostics.iter().map(|found| found.at.join("/"));
    let found: Vec<String> = found.filter(|at| at.contains("/ds_m")).collect();
    assert_eq!(found, ["datasets/ds_m3_0/dataset_id"]);
}

/// Each fault that the random trees hold by chance, for certain: in one of three that are alike but for it.
#[test]
fn a_fault_of_any_kind_in_one_of_three_is_found() {
    let sound = Family {
        datasets: 1,
        plans: 1,
        dataset: 0,
        plan: 0,
        odd: 0,
        size: 0,
    };
    let faults = 1..DATASETS.len() + PLANS.len() - 1;
    let mut silent = Vec::new();
    for fault in faults.clone() {
        let mut families = vec![sound.clone(); 3];
        if fault < DATASETS.len() {
            families[2].dataset = fault;
        } else {
            families[2].plan = fault + 1 - DATASETS.len();
        }
        let (found, _) = both_ways(&with(&write(&families, false)), "production");
        if found.is_empty() {
            silent.push(fault);
        }
    }
    // Another site, rarer backups and a laxer profile are allowed to tier 2.
    assert_eq!(silent, [2, 9, 11], "of {faults:?}");
}

/// One of each kind is judged with the largest sizes of its kind; one that is too large is found, and no other.
#[test]
fn of_many_sizes_the_largest_is_judged() {
    let sized = |sizes: &[String]| {
        let mut text = String::new();
        for (number, size) in sizes.iter().enumerate() {
            let id = format!("ds_s{number}");
            text.push_str(&dataset(&id, "Sized", DATASETS[0]).replace(SIZES[0], size));
            text.push_str(&plan(&format!("bp_s{number}"), &[id], PLANS[0]));
        }
        both_ways(&with(&text), "production")
    };
    let mut sizes: Vec<String> = (0..50)
        .map(|number| {
            let (size, change) = (1 + number * 7 % 50, 1 + number);
            format!("{{ size: {size}GiB, change_per_day: {change}MiB }}")
        })
        .collect();
    let (found, left_out) = sized(&sizes);
    assert_eq!((found.len(), left_out), (0, 98));
    SIZES[5].clone_into(&mut sizes[31]);
    let (found, left_out) = sized(&sizes);
    assert_eq!((found.len(), left_out), (1, 98));
    assert_eq!(found[0].at[..2], ["datasets", "ds_s31"], "{found:?}");
    // What says no size is left to the compiler's own findings.
    "{ size: 10G, change_per_day: 1MiB }".clone_into(&mut sizes[3]);
    assert_eq!(sized(&sizes).1, 96);
}

/// What is restored is as large as it is, though others that are like it are larger.
#[test]
fn a_restore_is_held_against_the_size_of_its_own_dataset() {
    let mut text = String::new();
    for (number, size) in [20, 900, 30, 40].iter().enumerate() {
        let sizing = format!("{{ size: {size}GiB, change_per_day: 500MiB }}");
        let id = format!("ds_s{number}");
        text.push_str(&dataset(&id, "Sized", DATASETS[0]).replace(SIZES[0], &sizing));
    }
    let ids: Vec<String> = (0..4).map(|number| format!("ds_s{number}")).collect();
    text.push_str(&plan("bp_s", &ids, PLANS[0]));
    let about = |found: &[Diagnostic], code: &str| {
        let of = |finding: &&Diagnostic| finding.code.to_string() == code;
        let told = found.iter().filter(of).map(|finding| finding.at.join("/"));
        told.collect::<Vec<_>>()
    };
    // What nothing else speaks of stands for larger ones of its kind, also where none of them is left out.
    let (found, left_out) = both_ways(&with(&text), "production");
    assert_eq!(left_out, 3);
    assert_eq!(about(&found, "SW0310"), Vec::<String>::new());
    let restored = ["ds_s0".to_owned(), "ds_s2".to_owned()];
    let enough = format!("{text}{}", scenario(&restored, 1800, ""));
    let (found, left_out) = both_ways(&with(&enough), "production");
    assert_eq!(left_out, 1);
    assert_eq!(about(&found, "SW0310"), Vec::<String>::new());
    // Nor is what it is rebuilt from, which no message names.
    let view = dataset("ds_view", "A view", DATASETS[0]).replace("backed_up", "reconstructed");
    let rebuilt = scenario(&["ds_view".to_owned()], 1800, "");
    let rebuilt = format!("{text}{view}derived_from: [ds_s0]\n{rebuilt}");
    let (found, left_out) = both_ways(&with(&rebuilt), "production");
    assert_eq!(left_out, 2);
    assert_eq!(about(&found, "SW0310"), Vec::<String>::new());
    let short = format!("{text}{}", scenario(&restored, 60, ""));
    let (found, _) = both_ways(&with(&short), "production");
    assert_eq!(
        about(&found, "SW0310"),
        [
            "scenarios/many/runbook/0/deadline_s",
            "scenarios/many/runbook/1/deadline_s"
        ]
    );
    let lost = "region:eu-west-1, region:eu-central-1, region:eu-nordic-1";
    let gone = format!("{text}{}", scenario(&restored, 1800, lost));
    let (found, _) = both_ways(&with(&gone), "production");
    let nothing = about(&found, "SW0310");
    assert_eq!(
        nothing,
        [
            "scenarios/many/runbook/0/dataset",
            "scenarios/many/runbook/1/dataset"
        ]
    );
}

/// Where none of them is left out, a large one still stands for no other that is fine.
#[test]
fn a_fault_of_size_is_that_of_the_large_one() {
    let mut text = String::new();
    for (id, size) in [("ds_s0", SIZES[0]), ("ds_s1", SIZES[5])] {
        text.push_str(&dataset(id, "Sized", DATASETS[0]).replace(SIZES[0], size));
    }
    let both = ["ds_s0".to_owned(), "ds_s1".to_owned()];
    text.push_str(&plan("bp_s", &both, PLANS[0]));
    let of_one = plan("bp_one", &both[..1], PLANS[0]);
    let named = scenario(&both[..1], 1800, "");
    for beside in [of_one, named] {
        let (found, left_out) = both_ways(&with(&format!("{text}{beside}")), "production");
        assert_eq!(left_out, 0);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].at[..2], ["datasets", "ds_s1"]);
    }
}

/// What is left out takes as much room as what stands for it, each as large as it is and under its own name.
#[test]
fn locations_have_to_hold_what_is_left_out() {
    let mut text = String::new();
    for number in 0..60 {
        let id = format!("ds_s{number:02}");
        let sizing = format!(
            "{{ size: {}GiB, change_per_day: 500MiB }}",
            5300 + number * 7 % 60
        );
        text.push_str(&dataset(&id, "Sized", DATASETS[0]).replace(SIZES[0], &sizing));
        if number % 2 == 1 {
            let other = format!("ds_s{:02}", number - 1);
            text.push_str(&plan(&format!("bp_s{number:02}"), &[other, id], PLANS[0]));
        }
    }
    text.push_str(&plan("bp_each", &[], PLANS[0]).replace(
        "dataset_ids: []",
        "for_each: { store_type: sqlite, criticality: tier2 }",
    ));
    let full = |found: &[Diagnostic]| {
        let of = |finding: &&Diagnostic| finding.code.to_string() == "SW0329";
        found.iter().filter(of).count()
    };
    let (found, left_out) = both_ways(&with(&text), "production");
    assert_eq!((full(&found), left_out), (0, 88));
    let (found, left_out) = both_ways(&with_room(&text, "10TiB"), "production");
    assert_eq!(full(&found), 3);
    assert_eq!(left_out, 88);
    let hot = found
        .iter()
        .find(|finding| finding.at[2] == "hot_eu_central")
        .unwrap();
    assert_eq!(hot.code.to_string(), "SW0329");
    // Neither of the largest is one that is judged.
    for name in ["ds_s17", "bp_s17", "bp_each.ds_s17"] {
        assert!(hot.notes[0].contains(name), "{hot:?}");
    }
}

/// A rule of an organisation may find that there is too little data, whatever else it promises.
#[test]
fn an_organisations_rule_sees_every_size() {
    let mut files = Files::new();
    let rule = "# METADATA\n# title: not too small\n# description: x\n# custom:\n#   code: ORG0001\n#   severity: error\n\
                #   judges_each: true\npackage org.rules.a.small\n\nimport rego.v1\n\ndeny contains finding if {\n\
                \tsome id, dataset in input.datasets\n\tdataset.sizing.size_bytes < 1000\n\
                \tfinding := {\"at\": [\"datasets\", id], \"msg\": \"small\"}\n}\n";
    files.insert("a/small/rule.rego".to_owned(), rule.to_owned());
    let (rules, refused) = rules::load(&rules::built_in(), &files);
    assert!(
        rules.judge_each() && !rules.find_more_data_worse(),
        "{refused:?}"
    );
}

/// What is missing from the tree as a whole is told in the same words, however many miss it.
#[test]
fn a_finding_about_the_whole_tree_does_not_count() {
    let mut text = String::new();
    for number in 0..5 {
        let id = format!("ds_many_{number}");
        text.push_str(&dataset(&id, "Many", DATASETS[4]));
    }
    let mut sources = with(&text);
    for file in &mut sources.files {
        file.text = file
            .text
            .replace("trigger: corruption", "trigger: region_loss");
    }
    let (found, left_out) = both_ways(&sources, "production");
    assert_eq!(left_out, 4);
    let about = |id: &str| found.iter().any(|finding| finding.at[0] == id);
    assert!(about("snapshot") && about("datasets"), "{found:?}");
}

/// Where no two are alike they are judged in parts, with what all of them share; nobody can tell that either.
#[test]
fn what_differs_is_judged_in_parts() {
    let mut text = String::new();
    for number in 0..900 {
        let id = format!("ds_d{number}");
        let store = format!("store_type: sqlite_{number}");
        // What rules find: an error of the compiler would be told of the tree as a whole.
        let fault = DATASETS[if number % 300 == 7 { 4 } else { 0 }];
        let written = dataset(&id, "Different", fault);
        text.push_str(&written.replace("store_type: sqlite", &store));
        text.push_str(&plan(&format!("bp_d{number}"), &[id], PLANS[0]));
    }
    let each =
        plan("bp_each", &[], PLANS[0]).replace("dataset_ids: []", "for_each: { tenant: nobody }");
    let restored = ["ds_d3".to_owned(), "ds_d603".to_owned()];
    let beside = format!("{each}{}", scenario(&restored, 30, ""));
    let sources = with_room(&format!("{text}{beside}"), "10TiB");
    let parsed = parse(&sources);
    let parts = Alike::under(&rules(), &parsed).parts(&parsed, &BTreeSet::new());
    assert_eq!(parts.len(), 3);
    let (found, left_out) = both_ways(&sources, "production");
    assert_eq!(left_out, 0);
    let about = |id: &str| {
        found
            .iter()
            .filter(|finding| finding.at.contains(&id.to_owned()))
            .count()
    };
    let of_each = [about("ds_d7"), about("ds_d307"), about("ds_d607")];
    assert!(of_each[0] > 0 && of_each == [of_each[0]; 3], "{of_each:?}");
    assert_eq!((about("bp_each"), about("ds_d8")), (1, 0));
    // What a scenario restores is in every part, and told once; what all of them need is added up.
    let told = |code: &str| {
        let of = |finding: &&Diagnostic| finding.code.to_string() == code;
        found.iter().filter(of).count()
    };
    assert_eq!((told("SW0310"), told("SW0329")), (2, 3));
}

/// What anything else speaks of is never left out, nor is what a plan would make a bad id of.
#[test]
fn what_something_else_speaks_of_is_kept() {
    let mut text = String::new();
    for id in ["ds_a", "ds_b", "ds_c"] {
        text.push_str(&dataset(id, id, DATASETS[0]));
        text.push_str(&plan(&id.replace("ds", "bp"), &[id.to_owned()], PLANS[0]));
    }
    let count = |extra: &str| both_ways(&with(&format!("{text}{extra}")), "production").1;
    assert_eq!(count(""), 4);
    let view = dataset("ds_view", "A view", DATASETS[0]).replace("backed_up", "reconstructed");
    assert_eq!(count(&format!("{view}derived_from: [ds_c]\n")), 2);
    let each =
        plan("bp_each", &[], PLANS[0]).replace("dataset_ids: []", "for_each: { tenant: nobody }");
    assert_eq!(count(&each), 4);
    let taken = plan("bp_each.ds_b", &["ds_view".to_owned()], PLANS[0]);
    assert_eq!(
        count(&format!(
            "{each}{taken}{}",
            dataset("ds_view", "v", DATASETS[3])
        )),
        2
    );
}
