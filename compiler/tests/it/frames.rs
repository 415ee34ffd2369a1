//! Each code that the compiler can tell has an input that gives it, with the line marked where it must point, and its
//! frame as a person sees it stands in a snapshot. Codes of rules have the `bad/` trees, of loading and running rules the
//! folders `fixtures/invalid/SW04…`, which hold a folder of rules.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use compiler::diagnostic::Diagnostic;
use compiler::environments::environments;
use compiler::facts;
use compiler::render::human::{self, Look};
use compiler::render::{Report, merge};
use compiler::rules::{self, Files, Input, RuleSet, receipts};
use compiler::source::{SourceFile, SourceSet};
use contract::code;

use crate::cli::seawall;
use crate::repository::AT;
use crate::{invalid, trees};

/// The families that `seawall` tells of a tree or of rules.
const FAMILIES: [u16; 5] = [1, 2, 3, 4, 6];

fn rule_set() -> RuleSet {
    let (rules, invalid) = rules::load(&rules::built_in(), &Files::new());
    assert_eq!(invalid, Vec::new());
    rules
}

fn frames(sources: &SourceSet, findings: Vec<Diagnostic>) -> String {
    let mut report = Report::new(sources, Vec::new(), merge(vec![(None, findings)]));
    "policies/".clone_into(&mut report.prefix);
    let look = Look {
        styled: false,
        width: 110,
    };
    human::frames(&report, look)
}

/// Codes without an input that gives them.
fn missing(family: u16, covered: &BTreeSet<code::Code>) -> Vec<String> {
    let codes = code::ALL.iter().filter(|code| code.family() == family);
    let missing = codes.filter(|code| !covered.contains(code));
    missing.map(ToString::to_string).collect()
}

/// The folders of `fixtures/invalid` of one family.
fn folders(family: u16) -> Vec<String> {
    let of = |name: &String| invalid::code_of(name).is_some_and(|code| code.family() == family);
    let names = std::fs::read_dir(trees::repository().join("fixtures/invalid")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(of).collect();
    names.sort();
    names
}

#[test]
fn each_code_has_an_input_that_gives_it() {
    let rules = rule_set();
    let mut without = Vec::new();
    for family in FAMILIES {
        let covered: BTreeSet<code::Code> = if family == 3 {
            let with_tree = rules
                .rules
                .iter()
                .filter(|rule| rule.files.keys().any(|path| path.starts_with("bad/")));
            let codes = with_tree.map(|rule| rule.metadata.code.to_string());
            codes.filter_map(|code| code::Code::find(&code)).collect()
        } else {
            let names = folders(family);
            names
                .iter()
                .filter_map(|name| invalid::code_of(name))
                .collect()
        };
        without.extend(missing(family, &covered));
    }
    assert!(without.is_empty(), "no input gives {without:?}");
}

#[test]
fn the_list_of_codes() {
    let lines = code::ALL
        .iter()
        .map(|code| format!("{code} {}: {}\n", code.name(), code.summary()));
    trees::snapshot("codes", &lines.collect::<String>());
}

/// Frames of reading and resolving.
#[test]
fn frames_of_invalid_trees() {
    for family in [1, 2] {
        let mut all = String::new();
        for name in folders(family) {
            let (sources, mut findings, _, environment) = invalid::load(&name);
            findings.extend(trees::compiled(&sources, &environment).diagnostics);
            write!(all, "== {name}\n{}", frames(&sources, findings)).unwrap();
        }
        trees::snapshot(&format!("frames_0{family}"), &all);
    }
}

/// The tree on which a rule must fire, as its tests lay it out.
fn bad(rules: &Files, folder: &str) -> SourceSet {
    let mut files = Files::new();
    for layer in [
        "lib/tree/",
        &format!("{folder}/good/"),
        &format!("{folder}/bad/"),
    ] {
        let layer = rules.iter().filter_map(|(path, text)| {
            let path = path
                .strip_prefix(layer)
                .filter(|path| path.contains(".yaml"))?;
            Some((path.to_owned(), text.clone()))
        });
        files.extend(layer);
    }
    let files = files
        .into_iter()
        .map(|(path, text)| SourceFile { path, text });
    SourceSet::new(files.collect())
}

/// Frames of the built-in rules on the trees that are bad for them; each points at exactly the marked lines.
#[test]
fn frames_of_rules() {
    let (rules, files) = (rule_set(), rules::built_in());
    let mut all = String::new();
    for rule in &rules.rules {
        let sources = bad(&files, &rule.folder);
        let alone = RuleSet {
            rules: vec![rule.clone()],
            ..rules.clone()
        };
        let mut findings = Vec::new();
        for environment in environments(&compiler::parse::parse(&sources)).0 {
            let compilation = compiler::compile::compile(&sources, &environment);
            let model = compilation.model.as_ref().unwrap();
            let json = serde_json::to_value(model).unwrap();
            let at = model.snapshot.effective_from;
            let receipts = format!("{}/bad/{}", rule.folder, receipts::FILE);
            let receipts = files.get(&receipts);
            let shown = receipts.map(|text| receipts::shown(text, &environment, at).unwrap());
            let facts = facts::facts(model, shown.as_ref());
            let input = Input::new(&json, &compilation.written, &facts, at.as_second());
            findings.extend(rules::judge(&input, &alone, &|path: &[String]| {
                rules::place(&compilation, &sources, path)
            }));
        }
        let code = rule.metadata.code.to_string();
        let positions = sources.positions();
        let found: BTreeSet<(String, usize)> = findings
            .iter()
            .map(|finding| {
                let span = finding.labels[0].span;
                (sources.path(span.file).to_owned(), positions.of(span).line)
            })
            .collect();
        let mut marked = BTreeSet::new();
        for file in &sources.files {
            for (number, line) in file.text.lines().enumerate() {
                let comment = line.rsplit_once('#').map_or("", |(_, comment)| comment);
                if comment.split_whitespace().any(|word| word == code) {
                    marked.insert((file.path.clone(), number + 1));
                }
            }
        }
        assert!(
            !found.is_empty() && found == marked,
            "{code}: {found:?}, marked {marked:?}"
        );
        write!(
            all,
            "== {code} {}\n{}",
            rule.folder,
            frames(&sources, findings)
        )
        .unwrap();
    }
    trees::snapshot("frames_03", &all);
}

/// What is told of waivers; that each points at the marked line is a test of theirs.
#[test]
fn frames_of_waivers() {
    let (rules, at) = (rule_set(), "2026-11-21T00:00:00Z".parse().unwrap());
    let mut all = String::new();
    for name in folders(6) {
        let (sources, _, _, environment) = invalid::load(&name);
        let environment = environment.parse().unwrap();
        let judged = compiler::judge::judge(&sources, &environment, &rules, at, None);
        write!(all, "== {name}\n{}", frames(&sources, judged.diagnostics)).unwrap();
    }
    trees::snapshot("frames_06", &all);
}

/// What is told of rules that cannot be loaded, run or tested, as the program tells it.
#[test]
fn frames_of_faulty_rules() {
    let mut all = String::new();
    for name in folders(4) {
        let folder = Path::new("fixtures/invalid").join(&name);
        let rules = trees::repository().join(&folder);
        let own = rules.to_str().unwrap();
        let tree = trees::repository().join("fixtures/valid/minimal");
        let code = invalid::code_of(&name).unwrap();
        let ran = if code == code::RULE_TEST_FAILED {
            seawall(&["test", "--rules", own])
        } else {
            let tree = tree.to_str().unwrap();
            seawall(&[
                "check",
                tree,
                "--at",
                AT,
                "--env",
                "production",
                "--rules",
                own,
            ])
        };
        assert_eq!(ran.status, 1, "{name}: {}", ran.err);
        let lines = ran.out.lines();
        // What stands beside the failures changes with every built-in rule.
        let told: Vec<&str> = lines
            .filter(|line| code != code::RULE_TEST_FAILED || line.starts_with("FAILED"))
            .collect();
        let told = told.join("\n");
        assert!(told.contains(&code.to_string()), "{name}: {told}");
        writeln!(all, "== {name}\n{told}").unwrap();
    }
    trees::snapshot("frames_04", &all);
}
