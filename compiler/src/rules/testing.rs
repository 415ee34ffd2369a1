//! Owns the tests of rules: unit tests in Rego, and trees that are compiled for real, on which a rule must be silent or
//! fire. Pure. A rule without tests fails: nobody knows whether it would ever fire. The interesting function is [`run`].

use std::collections::BTreeSet;

use contract::code::Severity;

use super::{Files, Rule, RuleSet, TimeLeft, engine, receipts};
use crate::compile;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::environments::environments;
use crate::judge;
use crate::parse;
use crate::source::{SourceFile, SourceSet};

/// Folder of the documents under every tree of the same owner.
const BASE: &str = "lib/tree/";

/// One test and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `<category>/<rule> test_name`, or `<category>/<rule> bad/`.
    pub name: String,
    /// Nothing, or one line that says what was demanded and what came.
    pub result: Result<(), String>,
}

/// The lines of a rule that no unit test reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// `<category>/<rule>`.
    pub folder: String,
    /// Lines that ran.
    pub covered: BTreeSet<u32>,
    /// Lines that could have run.
    pub missed: BTreeSet<u32>,
}

/// Runs all tests of all rules and libraries, in a stable order.
pub fn run(rules: &RuleSet) -> (Vec<Outcome>, Vec<Coverage>) {
    let mut outcomes = Vec::new();
    let mut coverage = Vec::new();
    for files in rules.support.values() {
        outcomes.extend(libraries(rules, files));
    }
    for rule in &rules.rules {
        let (units, covered) = units(rules, rule);
        outcomes.extend(units);
        coverage.extend(covered);
        outcomes.extend(trees(rules, rule));
    }
    (outcomes, coverage)
}

fn libraries(rules: &RuleSet, files: &Files) -> Vec<Outcome> {
    let tests = files
        .iter()
        .filter(|(path, _)| path.starts_with("lib/") && path.ends_with("_test.rego"));
    tests
        .flat_map(|(path, text)| {
            let mut modules: Vec<(&str, &str)> = rules.library_modules();
            modules.push((path, text));
            module(path, text, &modules, rules.time).0
        })
        .collect()
}

fn units(rules: &RuleSet, rule: &Rule) -> (Vec<Outcome>, Option<Coverage>) {
    let missing = |what: &str| Outcome {
        name: format!("{} rule_test.rego", rule.folder),
        result: Err(what.to_owned()),
    };
    let Some(text) = rule.files.get("rule_test.rego") else {
        return (vec![missing("the rule has no `rule_test.rego`")], None);
    };
    let wanted = format!("package {}_test", rule.package);
    if !text.lines().any(|line| line.trim_end() == wanted) {
        return (vec![missing(&format!("it must say `{wanted}`"))], None);
    }
    let path = format!("{}/rule_test.rego", rule.folder);
    let mut modules = rule.modules(rules);
    modules.push((&path, text));
    let (outcomes, engine) = module(&rule.folder, text, &modules, rules.time);
    let report = engine.and_then(|engine| engine.get_coverage_report().ok());
    let coverage = report.and_then(|report| {
        let file = report
            .files
            .into_iter()
            .find(|file| file.path == rule.folder)?;
        Some(Coverage {
            folder: rule.folder.clone(),
            covered: file.covered,
            missed: file.not_covered,
        })
    });
    (outcomes, coverage)
}

/// Runs the rules named `test_…` of one module, the last of `modules`.
fn module(
    name: &str,
    text: &str,
    modules: &[(&str, &str)],
    time: TimeLeft,
) -> (Vec<Outcome>, Option<regorus::Engine>) {
    let failed = |reason: String| Outcome {
        name: name.to_owned(),
        result: Err(reason),
    };
    let package = match super::load::package(text) {
        Ok(package) => package,
        Err(reason) => return (vec![failed(reason)], None),
    };
    let mut engine = match engine::prepare_unseen(modules, time.get()) {
        Ok(engine) => engine,
        Err(reason) => return (vec![failed(reason)], None),
    };
    engine.set_enable_coverage(true);
    engine.set_input(regorus::Value::new_object());
    let tests = names(text);
    if tests.is_empty() {
        return (
            vec![failed("it has no rule named `test_…`".to_owned())],
            None,
        );
    }
    let outcomes = tests
        .into_iter()
        .map(|test| Outcome {
            name: format!("{name} {test}"),
            result: match engine::holds(&mut engine, &format!("data.{package}.{test}")) {
                Ok(true) => Ok(()),
                Ok(false) => Err("it is not true".to_owned()),
                Err(reason) => Err(reason),
            },
        })
        .collect();
    (outcomes, Some(engine))
}

/// The names of test rules: they begin a line.
fn names(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| line.starts_with("test_"))
        .filter_map(|line| {
            line.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
                .next()
        })
        .collect()
}

/// `good/` lies over the owner's base, `bad/` over `good/`: a tree shows only what its rule is about.
fn trees(rules: &RuleSet, rule: &Rule) -> Vec<Outcome> {
    let own = |folder: &str| -> Files {
        rule.files
            .iter()
            .filter_map(|(path, text)| {
                let name = path.strip_prefix(folder)?;
                (name.contains(".yaml") || name == receipts::FILE)
                    .then(|| (name.to_owned(), text.clone()))
            })
            .collect()
    };
    let base = rules.support.get(&rule.owner);
    let mut files: Files = base
        .into_iter()
        .flatten()
        .filter_map(|(path, text)| Some((path.strip_prefix(BASE)?.to_owned(), text.clone())))
        .collect();
    let mut outcomes = Vec::new();
    for (folder, fires) in [("good/", false), ("bad/", true)] {
        let own = own(folder);
        let result = if own.is_empty() {
            Err(format!("the rule has no tree `{folder}`"))
        } else {
            files.extend(own);
            tree(rules, rule, &files, fires)
        };
        let name = format!("{} {folder}", rule.folder);
        outcomes.push(Outcome { name, result });
    }
    outcomes
}

/// Compiles the tree for each of its environments as of the day from which its settings hold, and runs the one rule.
fn tree(rules: &RuleSet, rule: &Rule, files: &Files, fires: bool) -> Result<(), String> {
    let receipts = files.get(receipts::FILE);
    let documents = files.iter().filter(|(path, _)| *path != receipts::FILE);
    let files = documents.map(|(path, text)| SourceFile {
        path: path.clone(),
        text: text.clone(),
    });
    let sources = SourceSet::new(files.collect());
    let parsed = parse::parse(&sources);
    let (environments, diagnostics) = environments(&parsed);
    if environments.is_empty() {
        return Err(told(&diagnostics));
    }
    let alone = RuleSet {
        rules: vec![rule.clone()],
        ..rules.clone()
    };
    let mut found = Vec::new();
    for environment in &environments {
        let compilation = compile::resolved(parsed.clone(), environment);
        let Some(model) = &compilation.model else {
            return Err(format!(
                "the tree does not compile: {}",
                told(&compilation.diagnostics)
            ));
        };
        let at = model.snapshot.effective_from;
        let shown = receipts.map(|text| receipts::shown(text, environment, at));
        let shown = shown.transpose()?;
        found.extend(judge::ruled(&compilation, &sources, &alone, at, shown.as_ref()).1);
    }
    let own = found
        .iter()
        .filter(|finding| finding.code == rule.metadata.code);
    let (own, foreign): (usize, bool) = (
        own.count(),
        found.iter().any(|f| f.code != rule.metadata.code),
    );
    match (fires, own) {
        _ if foreign => Err(format!("the rule did not run: {}", told(&found))),
        (true, 0) => Err("the rule must fire on this tree, and is silent".to_owned()),
        (false, 1..) => Err(format!(
            "the rule must be silent on this tree: {}",
            told(&found)
        )),
        (true, 1..) | (false, 0) => Ok(()),
    }
}

fn told(diagnostics: &[Diagnostic]) -> String {
    let first = diagnostics
        .iter()
        .find(|diagnostic| !has_errors(diagnostics) || diagnostic.severity == Severity::Error);
    first.map_or_else(String::new, |diagnostic| {
        format!("{} {}", diagnostic.code, diagnostic.message)
    })
}
