//! `seawall explain`: every code has a page whose examples are true, and every value of an object is told with its way.

use std::collections::BTreeSet;

use assert_cmd::Command;
use compiler::compile::compile;
use compiler::environments::environments;
use compiler::pages::markdown::Block;
use compiler::pages::{self, Example, Page};
use compiler::render::human::Look;
use compiler::rules::{self, Files, Input, RuleSet, testing};
use compiler::source::{SourceFile, SourceSet};
use contract::code::{self, Code};
use rstest::rstest;
use serde_json::Value;

use crate::cli::Ran;
use crate::trees;

/// Runs the binary at the root of the repository, so that paths are the same on every machine.
fn seawall(arguments: &[&str]) -> Ran {
    let mut command = Command::cargo_bin("seawall").unwrap();
    let command = command.args(arguments).current_dir(trees::repository());
    Ran::of(command, "100", &[])
}

fn built_in() -> RuleSet {
    rules::load(&rules::built_in(), &Files::new()).0
}

fn page(code: Code) -> Page {
    pages::page(code, &built_in()).unwrap_or_else(|| panic!("no page of {code}"))
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let rules = built_in();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for code in code::ALL {
        let page = page(*code);
        if page.rule.is_none() {
            wanted.insert(format!("{code}.md"));
        }
        let blocks = page.blocks();
        let title = Block::Heading(1, format!("{code} {}", code.name()));
        assert_eq!(blocks.first(), Some(&title), "{code}");
        let headings: Vec<&str> = blocks
            .iter()
            .filter_map(|block| match block {
                Block::Heading(2, words) => Some(words.as_str()),
                _ => None,
            })
            .collect();
        for names in [
            ["What it means", "What it checks"],
            ["Why it matters", "Why"],
            ["What to do", "What to do"],
        ] {
            assert!(
                names.iter().any(|name| headings.contains(name)),
                "{code}: {headings:?}"
            );
        }
        if page.rule.is_none() {
            let Block::Paragraph(first) = &blocks[1] else {
                panic!("{code} has no first sentence")
            };
            let summary = code.summary().to_lowercase();
            assert_eq!(
                first.trim_end_matches('.').to_lowercase(),
                summary,
                "{code}"
            );
        }
        if code.family() < 10 {
            let examples = page.examples();
            assert!(
                examples.iter().any(|example| example.bad),
                "{code} has no bad example"
            );
            assert!(
                examples.iter().any(|example| !example.bad),
                "{code} has no good example"
            );
        }
    }
    assert_eq!(pages::files().into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(pages::all(&rules).len(), code::ALL.len());
}

#[test]
fn pages_fit_a_terminal() {
    let look = Look {
        styled: false,
        width: 140,
    };
    for code in code::ALL {
        for line in pages::plain::page(&page(*code).blocks(), look).lines() {
            assert!(line.chars().count() <= 100, "{code}: {line}");
        }
    }
}

/// Codes about sizes, bytes, links, folders and arguments: their fixtures show them, a page can only describe them.
const NO_TREE: [Code; 5] = [
    code::EXPANSION_TOO_LARGE,
    code::NOT_UTF8,
    code::UNREADABLE_PATH,
    code::EMPTY_TREE,
    code::UNKNOWN_ENVIRONMENT,
];

/// The smallest valid tree with an example beside it; without its header where the example brings one.
fn with_example(example: &str) -> SourceSet {
    let mut files = trees::read("fixtures/valid/minimal").files;
    if example.contains("kind: Snapshot") {
        for file in &mut files {
            let documents: Vec<&str> = file.text.split("---\n").collect();
            let kept = documents
                .into_iter()
                .filter(|text| !text.contains("kind: Snapshot"));
            file.text = kept.collect::<Vec<_>>().join("---\n");
        }
    }
    files.push(SourceFile {
        path: "example.yaml".to_owned(),
        text: format!("{example}\n"),
    });
    SourceSet::new(files)
}

/// The codes of all findings in all environments.
fn codes_of(example: &str) -> BTreeSet<String> {
    let sources = with_example(example);
    let (declared, findings) = environments(&compiler::parse::parse(&sources));
    let compiled = declared
        .iter()
        .flat_map(|environment| compile(&sources, environment).diagnostics);
    compiled
        .chain(findings)
        .map(|finding| finding.code.to_string())
        .collect()
}

#[test]
fn examples_of_trees_are_true() {
    for code in code::ALL
        .iter()
        .filter(|code| [1, 2].contains(&code.family()))
    {
        for Example {
            bad,
            language,
            text,
        } in page(*code).examples()
        {
            assert_eq!(language != "yaml", NO_TREE.contains(code), "{code}");
            if language != "yaml" {
                continue;
            }
            let found = codes_of(&text);
            if bad {
                assert_eq!(found, BTreeSet::from([code.to_string()]), "{code}:\n{text}");
            } else {
                assert_eq!(found, BTreeSet::new(), "{code}:\n{text}");
            }
        }
    }
}

/// The codes that a rule of an organisation gives when it is loaded, tested and run on the smallest valid tree.
fn codes_of_rule(rule: &str, test: Option<&str>) -> BTreeSet<String> {
    let mut files = Files::new();
    files.insert("naming/example/rule.rego".to_owned(), rule.to_owned());
    if let Some(test) = test {
        files.insert("naming/example/rule_test.rego".to_owned(), test.to_owned());
    }
    let (set, invalid) = rules::load(&Files::new(), &files);
    let mut found: BTreeSet<String> = invalid
        .iter()
        .map(|finding| finding.code.to_string())
        .collect();
    if test.is_some() {
        let (outcomes, _) = testing::run(&set);
        let units: Vec<_> = outcomes
            .iter()
            .filter(|outcome| outcome.name.contains(" test_"))
            .collect();
        assert_eq!(units.len(), 1, "{outcomes:?}");
        if units[0].result.is_err() {
            found.insert(code::RULE_TEST_FAILED.to_string());
        }
    }
    let sources = trees::read("fixtures/valid/minimal");
    let compilation = trees::compiled(&sources, "dev");
    let model = serde_json::to_value(compilation.model.as_ref().unwrap()).unwrap();
    let input = Input::new(&model, &compilation.written, &serde_json::json!({}), 0);
    let place = |path: &[String]| rules::place(&compilation, &sources, path);
    found.extend(
        rules::judge(&input, &set, &place)
            .iter()
            .map(|finding| finding.code.to_string()),
    );
    found
}

#[test]
fn examples_of_rules_are_true() {
    let good_rule = page(code::RULE_FAILED)
        .examples()
        .into_iter()
        .find(|example| !example.bad)
        .unwrap()
        .text;
    for code in code::ALL.iter().filter(|code| code.family() == 4) {
        for Example {
            bad,
            language,
            text,
        } in page(*code).examples()
        {
            assert_eq!(language, "rego", "{code}");
            let found = if *code == code::RULE_TEST_FAILED {
                codes_of_rule(&good_rule, Some(&text))
            } else {
                codes_of_rule(&text, None)
            };
            // What the example rule itself finds is its own business.
            let found: BTreeSet<String> = found
                .into_iter()
                .filter(|code| code.starts_with("SW"))
                .collect();
            let wanted: BTreeSet<String> = bad.then(|| code.to_string()).into_iter().collect();
            assert_eq!(found, wanted, "{code}:\n{text}");
        }
    }
}

#[test]
fn the_page_of_a_rule_shows_the_trees_of_its_tests() {
    let shown = seawall(&["explain", "SW0303"]);
    assert_eq!((shown.status, shown.err.as_str()), (0, ""));
    trees::snapshot("explain_rule", &shown.out);
}

#[test]
fn a_page_as_text_and_for_programs() {
    let text = seawall(&["explain", "sw0207"]);
    assert_eq!((text.status, text.err.as_str()), (0, ""));
    trees::snapshot("explain_code", &text.out);
    assert_eq!(seawall(&["explain", "override-refused"]).out, text.out);
    let json = seawall(&["explain", "SW0207", "--format", "json"]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["version"], 1);
    assert_eq!(value["name"], "override-refused");
    assert_eq!(value["sections"].as_array().unwrap().len(), 3);
    assert!(
        value["bad"][0]["text"]
            .as_str()
            .unwrap()
            .contains("gsmd:objectives/short/rpo")
    );
}

#[test]
fn all_codes_are_listed() {
    let listed = seawall(&["explain"]);
    let codes = listed
        .out
        .lines()
        .filter(|line| line.starts_with("SW"))
        .count();
    assert_eq!(codes, code::ALL.len());
    assert!(listed.out.lines().all(|line| line.chars().count() <= 100));
    let json: Value = serde_json::from_str(&seawall(&["explain", "--format", "json"]).out).unwrap();
    assert_eq!(json["codes"].as_array().unwrap().len(), code::ALL.len());
}

#[test]
fn an_object_is_told_with_every_value_and_its_way() {
    let plan = seawall(&[
        "explain",
        "bp_documents",
        "fixtures/valid/minimal",
        "--env",
        "dev",
    ]);
    assert_eq!((plan.status, plan.err.as_str()), (0, ""));
    trees::snapshot("explain_object", &plan.out);
    let whole = seawall(&[
        "explain",
        "plans/bp_core_policy",
        "policies",
        "--env",
        "production",
    ]);
    assert_eq!(whole.status, 0, "{}", whole.err);
    assert!(
        whole.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        whole.out
    );
}

#[test]
fn an_object_for_programs() {
    let told = seawall(&[
        "explain",
        "gsmd:objectives/working/rpo",
        "fixtures/valid/minimal",
        "--env",
        "dev",
        "--format",
        "json",
    ]);
    assert_eq!((told.status, told.err.as_str()), (0, ""));
    trees::snapshot("explain_object_json", &told.out);
}

/// One value of a bundle, one value told: nothing is left out, whatever the object.
#[test]
fn every_value_of_every_object_is_told() {
    let sources = trees::read("policies");
    let compilation = trees::compiled(&sources, "production");
    let model = serde_json::to_value(compilation.model.as_ref().unwrap()).unwrap();
    let collections = [
        "datasets",
        "plans",
        "groups",
        "standbys",
        "scenarios",
        "waivers",
    ]
    .map(|name| (name.to_owned(), &model[name]));
    let settings = model["settings"].as_object().unwrap();
    let settings = settings.iter().map(|(name, value)| (name.clone(), value));
    let mut told = 0;
    for (collection, objects) in collections.into_iter().chain(settings) {
        for id in objects.as_object().unwrap().keys() {
            let name = format!("{collection}/{id}");
            let object = compiler::object::find(&model, &name).unwrap();
            assert_eq!(object.name, name);
            told += compiler::object::values(&compilation, &model, &object).len();
        }
    }
    for name in ["environment", "snapshot"] {
        let object = compiler::object::find(&model, name).unwrap();
        told += compiler::object::values(&compilation, &model, &object).len();
    }
    assert_eq!(told, compilation.provenance.scalars().len());
}

#[rstest]
#[case::code(&["explain", "SW0031"], "there is no code `SW0031`", "did you mean `SW0301`?")]
#[case::far(&["explain", "ACME0001"], "there is no code `ACME0001`", "`seawall explain` lists all codes")]
#[case::object(&["explain", "ds_document", "fixtures/valid/minimal", "--env", "dev"], "no object `ds_document`", "did you mean `datasets/ds_documents`?")]
#[case::ambiguous(&["explain", "core", "TREE", "--env", "dev"], "`core` is the id of several objects", "`objectives/core`, `schedules/core`")]
#[case::field(&["explain", "bp_documents/retentoin", "fixtures/valid/minimal", "--env", "dev"], "`plans/bp_documents` has no field `retentoin`", "did you mean `retention`?")]
#[case::environment(&["explain", "bp_documents", "fixtures/valid/minimal"], "needs an environment", "give one of `--env dev`, `--env production`")]
fn what_is_unknown_gets_a_suggestion(
    #[case] arguments: &[&str],
    #[case] message: &str,
    #[case] help: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    for file in trees::read("fixtures/valid/minimal").files {
        let text = file
            .text
            .replace("working", "core")
            .replace("schedule_id: hourly", "schedule_id: core");
        let text = text.replace("schedules/hourly", "schedules/core");
        std::fs::write(folder.path().join(file.path), text).unwrap();
    }
    let tree = folder.path().to_str().unwrap();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| if *argument == "TREE" { tree } else { argument })
        .collect();
    let refused = seawall(&arguments);
    assert_eq!(
        (refused.status, refused.out.as_str()),
        (2, ""),
        "{}",
        refused.err
    );
    assert!(refused.err.contains(message), "{}", refused.err);
    assert!(refused.err.contains(help), "{}", refused.err);
}

#[test]
fn an_organisations_rule_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let rule = folder.path().join("naming/example");
    std::fs::create_dir_all(&rule).unwrap();
    let text = page(code::RULE_FAILED).examples()[1].text.clone();
    std::fs::write(rule.join("rule.rego"), text).unwrap();
    let rules = folder.path().to_str().unwrap();
    let shown = seawall(&["explain", "ACME0101", "--rules", rules]);
    assert_eq!(
        shown.out,
        "ACME0101 example\n\n  a name fits a column of a table\n"
    );
}
