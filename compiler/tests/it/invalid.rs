//! `fixtures/invalid/<CODE>-<slug>/`: files laid over the smallest valid tree, each with its expected codes in comments
//! at the lines where they are found. Exactly those must be told. `ALONE` takes the valid tree away, `EXPECT` lists
//! codes of findings about no place, and a comment `# environment: x` on a first line names another environment than dev.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use compiler::diagnostic::Diagnostic;
use compiler::source::SourceSet;
use contract::code;

use crate::trees;

/// Families that reading and resolving find; the others have harnesses of their own.
const FAMILIES: [u16; 2] = [1, 2];

fn fixtures() -> Vec<String> {
    let folder = trees::repository().join("fixtures/invalid");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| code_of(name).is_some_and(|code| FAMILIES.contains(&code.family())))
        .collect();
    names.sort();
    names
}

pub fn code_of(name: &str) -> Option<code::Code> {
    code::Code::find(name.split('-').next()?)
}

/// The tree of a fixture, what it expects by `path:line` (or `-`), and its environment. The tree is laid out in a folder
/// and read as the program reads one, so that links and bytes that are no text are met as they are.
pub fn load(name: &str) -> (SourceSet, Vec<Diagnostic>, Placed, String) {
    let folder = trees::repository().join("fixtures/invalid").join(name);
    let tree = tempfile::tempdir().unwrap();
    if !folder.join("ALONE").exists() {
        for file in trees::read("fixtures/valid/minimal").files {
            std::fs::write(tree.path().join(file.path), file.text).unwrap();
        }
    }
    let mut expected = Vec::new();
    let mut environment = "dev".to_owned();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.file_name().into_string().unwrap();
        let to = tree.path().join(&path);
        if let Ok(target) = std::fs::read_link(entry.path()) {
            std::os::unix::fs::symlink(target, to).unwrap();
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if path == "EXPECT" {
            expected.extend(text.lines().map(|code| ("-".to_owned(), code.to_owned())));
        }
        if entry
            .path()
            .extension()
            .is_none_or(|extension| extension != "yaml")
        {
            continue;
        }
        if let Some(name) = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# environment: "))
        {
            name.clone_into(&mut environment);
        }
        for (number, line) in text.lines().enumerate() {
            let comment = line.rsplit_once('#').map_or("", |(_, comment)| comment);
            let codes = comment
                .split_whitespace()
                .filter(|word| code::Code::find(word).is_some());
            expected.extend(codes.map(|code| (format!("{path}:{}", number + 1), code.to_owned())));
        }
        std::fs::write(to, bytes).unwrap();
    }
    let (sources, findings) = compiler::world::tree::read(tree.path()).unwrap();
    expected.sort();
    (sources, findings, expected, environment)
}

/// `path:line` (or `-`) and code.
pub type Placed = Vec<(String, String)>;

/// What a fixture gives, what it expects, and the words.
fn found(name: &str) -> (Placed, Placed, String) {
    let (sources, findings, expected, environment) = load(name);
    let mut compilation = trees::compiled(&sources, &environment);
    compilation.diagnostics.extend(findings);
    let positions = sources.positions();
    let mut found: Vec<(String, String)> = compilation
        .diagnostics
        .iter()
        .map(|finding| {
            let place = finding.labels.first().map_or("-".to_owned(), |label| {
                format!(
                    "{}:{}",
                    sources.path(label.span.file),
                    positions.of(label.span).line
                )
            });
            (place, finding.code.to_string())
        })
        .collect();
    found.sort();
    let told = trees::told(&sources, &compilation);
    (found, expected, told)
}

#[test]
fn each_invalid_tree_gives_exactly_its_codes() {
    let mut wrong = String::new();
    for name in fixtures() {
        let (found, expected, told) = found(&name);
        let names_its_code = expected
            .iter()
            .any(|(_, code)| name.starts_with(code.as_str()));
        if found != expected || !names_its_code {
            writeln!(
                wrong,
                "== {name}\nexpected {expected:?}\nfound    {found:?}\n{told}"
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The words of every finding, reviewed.
#[test]
fn messages_of_invalid_trees() {
    let mut all = String::new();
    for name in fixtures() {
        write!(all, "== {name}\n{}", found(&name).2).unwrap();
    }
    trees::snapshot("compiler-invalid-trees", &all);
}

#[test]
fn messages_keep_the_house_style() {
    for name in fixtures() {
        let (sources, _, _, environment) = load(&name);
        for finding in trees::compiled(&sources, &environment).diagnostics {
            let message = &finding.message;
            assert!(
                !message.contains('\n') && !message.ends_with('.'),
                "{name}: {message}"
            );
            let outside: String = message.split('`').step_by(2).collect();
            let first = outside.trim_start().chars().next().unwrap_or('a');
            let kind = compiler::kinds::Kind::ALL
                .iter()
                .any(|kind| message.starts_with(kind.name()));
            assert!(!first.is_uppercase() || kind, "{name}: {message}");
            for leaked in ["Option<", "::", "serde", "jsonschema", "anyOf", "oneOf"] {
                assert!(!outside.contains(leaked), "{name}: {message}");
            }
            assert!(
                finding.help.as_deref().is_some_and(|help| !help.is_empty()),
                "{name}: {message}"
            );
            assert!(
                !finding.at.is_empty() || finding.labels.is_empty(),
                "{name}: {message}"
            );
        }
    }
}

#[test]
fn every_code_has_a_fixture() {
    let covered: BTreeSet<code::Code> =
        fixtures().iter().filter_map(|name| code_of(name)).collect();
    let missing: Vec<String> = code::ALL
        .iter()
        .filter(|code| FAMILIES.contains(&code.family()) && !covered.contains(code))
        .map(ToString::to_string)
        .collect();
    assert!(missing.is_empty(), "no fixture for {missing:?}");
}
