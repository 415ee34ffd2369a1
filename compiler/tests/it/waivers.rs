//! Accepted findings: exactly what a waiver names, within its bound, until its end; in every form of output; in the signed
//! statement; and what `--until` tells of the days to come.

use std::collections::BTreeSet;
use std::fs;

use compiler::pages;
use compiler::rules::{self, Files};
use contract::code;
use rstest::rstest;
use serde_json::Value;

use crate::cli::Ran;
use crate::repository::Repository;
use crate::trees::{repository, snapshot};

const WAIVER: &str = "\
kind: Waiver
waiver_id: wv_documents
code: SW0301
targets: [datasets/ds_documents]
environments: [production]
owner: operator
reason: the second region is built until spring
expiry: 2027-03-01T00:00:00Z
bound: PT4H
";

/// The smallest tree whose only plan is too slow in production by a little: 2 h 50 min, and 2 h are allowed.
fn slow() -> Repository {
    let world = Repository::of("fixtures/valid/minimal", false);
    world.edit("policies/settings.yaml", "rpo: PT3H", "rpo: PT2H");
    world
}

/// The same with a waiver.
fn waived(waiver: &str) -> Repository {
    let world = slow();
    world.write("policies/waivers.yaml", waiver);
    world
}

fn check(world: &Repository, more: &[&str]) -> Ran {
    world.check(&[&["--env", "production"], more].concat())
}

/// `code severity`, with `waived` behind it where it is, for all findings.
fn told(ran: &Ran) -> Vec<String> {
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let mut lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let waived = match &finding["waived_by"] {
                Value::Null => String::new(),
                by => format!(" by {}", by["waiver"].as_str().unwrap()),
            };
            let text = |name: &str| finding[name].as_str().unwrap().to_owned();
            format!("{} {}{waived}", text("code"), text("severity"))
        })
        .collect();
    lines.sort();
    lines
}

fn json(world: &Repository, more: &[&str]) -> (i32, Vec<String>) {
    let ran = check(world, &[&["--format", "json"], more].concat());
    (ran.status, told(&ran))
}

#[test]
fn a_waiver_accepts_exactly_what_it_names() {
    assert_eq!(json(&slow(), &[]), (1, vec!["SW0301 error".to_owned()]));
    assert_eq!(
        json(&waived(WAIVER), &[]),
        (0, vec!["SW0301 error by wv_documents".to_owned()])
    );
}

/// What a waiver does not take stands, and what is wrong with the waiver is told beside it.
#[rstest]
#[case::another_code("code: SW0301", "code: SW0315", &["SW0301 error", "SW0605 warning"])]
#[case::a_lower_bound("bound: PT4H", "bound: PT2H30M", &["SW0301 error"])]
#[case::no_bound("bound: PT4H\n", "", &["SW0301 error", "SW0604 error"])]
#[case::a_number_for_a_length("bound: PT4H", "bound_count: 9", &["SW0301 error", "SW0604 error"])]
#[case::its_plan_is_another_target("datasets/ds_documents", "plans/bp_documents/backup_frequency", &["SW0301 error", "SW0605 warning"])]
#[case::misspelt("datasets/ds_documents", "datasets/ds_dokuments", &["SW0301 error", "SW0601 error"])]
#[case::another_collection("datasets/ds_documents", "dataset/ds_documents", &["SW0301 error", "SW0601 error"])]
#[case::never_waivable("code: SW0301", "code: SW0401", &["SW0301 error", "SW0602 error"])]
#[case::not_even_itself("code: SW0301", "code: SW0606", &["SW0301 error", "SW0602 error"])]
#[case::no_such_code("code: SW0301", "code: SW0399", &["SW0301 error", "SW0602 error"])]
#[case::a_code_of_nobody("code: SW0301", "code: ACME0101", &["SW0301 error", "SW0605 warning"])]
#[case::at_its_end("2027-03-01T00:00:00Z", "2026-11-20T12:00:00Z", &["SW0301 error", "SW0603 warning"])]
#[case::one_second_before("2027-03-01T00:00:00Z", "2026-11-20T12:00:01Z", &["SW0301 error by wv_documents"])]
#[case::another_environment("[production]", "[dev]", &["SW0301 error"])]
#[case::no_reason("the second region is built until spring", "known issue", &["SW0301 error by wv_documents", "SW0606 error"])]
fn other_findings_stand(#[case] from: &str, #[case] to: &str, #[case] wanted: &[&str]) {
    let world = waived(WAIVER);
    world.edit("policies/waivers.yaml", from, to);
    assert_eq!(json(&world, &[]).1, wanted);
}

/// A loss that grows beyond what was accepted comes back, and says how far the waiver went.
#[test]
fn a_worse_regression_is_not_hidden() {
    let world = waived(WAIVER);
    world.edit("policies/settings.yaml", "every: PT1H", "every: PT3H");
    let ran = check(&world, &[]);
    assert_eq!(ran.status, 1);
    let note = "waiver `wv_documents` accepts up to 4 h, this is 6 h 50 min";
    assert!(ran.out.contains(note), "{}", ran.out);
    // Without any bound there is no number that a waiver could accept.
    world.edit("policies/settings.yaml", "lose: region,", "lose: host,");
    world.edit("policies/waivers.yaml", "bound: PT4H", "bound: P9999D");
    let ran = check(&world, &[]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("this is without bound"), "{}", ran.out);
}

/// After its end the finding is back and names the waiver and the day.
#[test]
fn an_expired_waiver_gives_its_finding_back() {
    let ran = waived(WAIVER).run(
        &[
            "check",
            "policies",
            "--env",
            "production",
            "--at",
            "2027-03-01T00:00:00Z",
        ],
        &[],
    );
    assert_eq!(ran.status, 1);
    snapshot("waiver_expired", &ran.out);
}

/// A rule that gives no answer is told, whatever is waived, and its waivers are not called unused.
#[test]
fn a_silent_rule_makes_no_waiver_unused() {
    let world = waived(
        &WAIVER
            .replace("SW0301", "ACME0101")
            .replace("bound: PT4H\n", ""),
    );
    let rule = "# METADATA\n# title: t\n# description: d\n# custom: { code: ACME0101, severity: error }\n\
        package acme.rules.naming.example\n\nimport rego.v1\n\n\
        deny contains finding if {\n    some id, dataset in input.datasets\n    BODY\n    \
        finding := {\"at\": [\"datasets\", id], \"msg\": \"no\"}\n}\n";
    let found = |body: &str| {
        world.write(
            "rules/naming/example/rule.rego",
            &rule.replace("BODY", body),
        );
        json(&world, &["--rules", "rules"]).1
    };
    assert_eq!(
        found("true"),
        ["ACME0101 error by wv_documents", "SW0301 error"]
    );
    assert_eq!(found("false"), ["SW0301 error", "SW0605 warning"]);
    assert_eq!(
        found("to_number(dataset.name) > 1"),
        ["SW0301 error", "SW0401 error"]
    );
}

/// A finding that two waivers could take is taken by one that holds.
#[test]
fn one_waiver_that_holds_is_enough() {
    let expired = WAIVER
        .replace("wv_documents", "wv_a")
        .replace("2027-03-01", "2026-10-01");
    let world = waived(&format!("{expired}---\n{WAIVER}"));
    let (status, found) = json(&world, &[]);
    assert_eq!(
        (status, found),
        (
            1,
            vec![
                "SW0301 error by wv_documents".to_owned(),
                "SW0603 warning".to_owned(),
                "SW0606 error".to_owned()
            ]
        )
    );
}

/// `waiver_limit` of the environment counts from the instant of the judgement.
#[test]
fn an_environment_limits_how_long_a_waiver_may_last() {
    let world = waived(WAIVER);
    world.edit(
        "policies/settings.yaml",
        "bundle_validity: P30D",
        "bundle_validity: P30D\nwaiver_limit: P90D",
    );
    assert_eq!(
        json(&world, &[]).1,
        ["SW0301 error by wv_documents", "SW0606 error"]
    );
    world.edit("policies/waivers.yaml", "2027-03-01", "2027-02-01");
    assert_eq!(
        json(&world, &[]),
        (0, vec!["SW0301 error by wv_documents".to_owned()])
    );
}

#[rstest]
#[case("human")]
#[case("markdown")]
#[case("junit")]
#[case("github")]
fn each_form_for_people_tells_what_is_waived(#[case] form: &str) {
    let ran = check(&waived(WAIVER), &["--format", form]);
    assert_eq!(ran.status, 0, "{}", ran.out);
    let told = ran.out.replace("&quot;", "\"");
    match form {
        "github" => assert!(
            !told.contains("::error") && !told.contains("::warning"),
            "{told}"
        ),
        "junit" => {
            assert!(told.contains("<skipped message=\"accepted by waiver `wv_documents` until 2027-03-01T00:00:00Z\"/>"), "{told}");
            assert!(told.contains("failures=\"0\""), "{told}");
        }
        "human" => snapshot("waived_human", &told),
        _ => snapshot("waived_markdown", &told),
    }
    assert!(told.contains("1 waived") || form == "junit", "{told}");
}

#[test]
fn sarif_and_json_say_who_accepted_it() {
    let world = waived(WAIVER);
    let sarif: Value = serde_json::from_str(&check(&world, &["--format", "sarif"]).out).unwrap();
    let schema =
        fs::read_to_string(repository().join("fixtures/sarif/sarif-schema-2.1.0.json")).unwrap();
    let schema: Value =
        serde_json::from_str(&schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$")).unwrap();
    assert!(jsonschema::is_valid(&schema, &sarif), "{sarif:#}");
    let suppression = &sarif["runs"][0]["results"][0]["suppressions"][0];
    assert_eq!(suppression["status"], "accepted");
    assert_eq!(
        suppression["justification"],
        "the second region is built until spring"
    );
    assert_eq!(
        suppression["location"]["physicalLocation"]["artifactLocation"]["uri"],
        "policies/waivers.yaml"
    );
    let ran = check(&world, &["--format", "json", "--until", "2027-06-01"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let schema: Value = serde_json::from_str(
        &fs::read_to_string(repository().join("schemas/findings.json")).unwrap(),
    )
    .unwrap();
    assert!(jsonschema::is_valid(&schema, &told), "{told:#}");
    assert_eq!(told["findings"][0]["measure"]["seconds"], 10_200);
    assert_eq!(
        told["findings"][0]["waived_by"]["expiry"],
        "2027-03-01T00:00:00Z"
    );
    let counted =
        ["errors", "warnings", "waived", "stopping"].map(|name| told["summary"][name].clone());
    assert_eq!(counted, [0, 0, 1, 0].map(Value::from));
    assert_eq!(
        told["until"]["changes"][0]["what"][0]["kind"],
        "waiver_expires"
    );
    assert_eq!(told["until"]["changes"][0]["errors"][0]["code"], "SW0301");
}

/// What a change takes out of a waiver's hands is new, and `--fail-on new` does not excuse it.
#[test]
fn a_waiver_that_is_taken_away_makes_its_finding_new() {
    let world = waived(WAIVER);
    world.commit();
    fs::remove_file(world.path("policies/waivers.yaml")).unwrap();
    let ran = check(&world, &["--base", "main", "--fail-on", "new"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("new error[SW0301]"), "{}", ran.out);
    assert!(ran.out.contains("1 new, 0 old, 0 fixed"), "{}", ran.out);
}

/// Waivers, keys and settings by date; nothing that has passed, and nothing after the day.
#[test]
fn the_days_to_come_are_told_in_order() {
    let world = waived(WAIVER);
    world.edit(
        "policies/settings.yaml",
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
    );
    world.edit(
        "policies/settings.yaml",
        "2032-01-01T00:00:00Z",
        "2027-05-01T00:00:00Z",
    );
    let ran = world.check(&["--until", "2027-05-01"]);
    assert_eq!(ran.status, 1);
    snapshot("until", &ran.out);
    let short = world.check(&["--until", "2027-02-28", "--env", "production"]);
    assert_eq!(short.status, 0);
    assert!(
        short.out.contains("nothing becomes an error"),
        "{}",
        short.out
    );
    let none = world.check(&["--until", "2026-11-20T12:00:01Z", "--env", "production"]);
    assert_eq!(none.status, 0);
    assert!(
        none.out.contains("nothing changes by itself"),
        "{}",
        none.out
    );
}

#[rstest]
#[case(&["--until", "2026-11-20T12:00:00Z"], "SW0543")]
#[case(&["--until", "2027-01-01", "--format", "sarif"], "SW0543")]
#[case(&["--until", "tomorrow"], "is no instant")]
fn until_makes_sense_or_is_refused(#[case] arguments: &[&str], #[case] words: &str) {
    let ran = slow().check(arguments);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains(words), "{}", ran.err);
}

/// The date from which a rule weighs is one of the days to come.
#[test]
fn a_rule_that_takes_effect_is_told() {
    let world = Repository::of("fixtures/valid/minimal", false);
    let rule = "# METADATA\n# title: t\n# description: d\n\
        # custom: { code: ACME0101, severity: error, effective_from: \"2027-01-01\" }\n\
        package acme.rules.naming.example\n\nimport rego.v1\n\n\
        deny contains finding if {\n    some id, dataset in input.datasets\n    count(dataset.name) > 1\n    \
        finding := {\"at\": [\"datasets\", id], \"msg\": \"too long\"}\n}\n";
    world.write("rules/naming/example/rule.rego", rule);
    let ran = check(&world, &["--rules", "rules", "--until", "2027-02-01"]);
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert!(ran.out.contains("2027-01-01T00:00:00Z  rule ACME0101 takes effect in production\n    error[ACME0101]: too long"), "{}", ran.out);
}

/// The pages' examples on the tree that is a little too slow: the bad one gives the code, the good one accepts.
#[test]
fn examples_of_pages_are_true() {
    let (set, _) = rules::load(&rules::built_in(), &Files::new());
    let family = code::ALL.iter().filter(|code| code.family() == 6);
    for code in family.filter(|code| **code != code::WAIVER_HYGIENE) {
        for example in pages::page(*code, &set).unwrap().examples() {
            let (_, found) = json(&waived(&example.text), &[]);
            let named = |code: &str| found.iter().any(|line| line.starts_with(code));
            assert_eq!(named(&code.to_string()), example.bad, "{code}: {found:?}");
            if !example.bad {
                assert_eq!(found, ["SW0301 error by wv_documents"], "{code}");
            }
        }
    }
}

/// Each fixture of the family gives exactly the codes that its comments mark, at their lines.
#[test]
fn fixtures_give_their_codes_at_their_lines() {
    let folder = repository().join("fixtures/invalid");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let prefixes = ["SW06", "SW0307", "SW0321", "SW0322", "SW0323", "SW0324"];
        if !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let world = Repository::of("fixtures/valid/minimal", false);
        let mut expected = Vec::new();
        for file in fs::read_dir(entry.path()).unwrap() {
            let file = file.unwrap();
            let path = file.file_name().into_string().unwrap();
            let text = fs::read_to_string(file.path()).unwrap();
            for (number, line) in text.lines().enumerate() {
                let comment = line.rsplit_once('#').map_or("", |(_, comment)| comment);
                let codes = comment
                    .split_whitespace()
                    .filter(|word| code::Code::find(word).is_some());
                expected.extend(codes.map(|code| format!("{path}:{} {code}", number + 1)));
            }
            world.write(&format!("policies/{path}"), &text);
        }
        let ran = check(&world, &["--format", "json"]);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        let mut found: Vec<String> = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let label = &finding["labels"][0];
                format!(
                    "{}:{} {}",
                    label["path"].as_str().unwrap(),
                    label["start"]["line"],
                    finding["code"].as_str().unwrap()
                )
            })
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{name}");
        seen.insert(name.split('-').next().unwrap().to_owned());
    }
    let family = code::ALL.iter().filter(|code| code.family() == 6);
    let wanted: BTreeSet<String> = family.map(ToString::to_string).collect();
    assert!(wanted.is_subset(&seen), "{seen:?}");
}
