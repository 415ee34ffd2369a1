//! Owns the way from a folder of files to rules: layout, package, metadata, and that no two rules share a code.
//! Never runs one. The interesting function is [`load`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use contract::code;
use contract::digest::Digest;

use super::metadata::{self, Owner};
use super::{ALONE, Files, Rule, RuleSet, engine, reads};
use crate::diagnostic::Diagnostic;
use crate::source::hidden;

const RULE_FILE: &str = "rule.rego";

/// Reads the built-in rules and an organisation's own. What cannot be loaded is an error finding: a rule that is left
/// out silently would be a pass.
pub fn load(built_in: &Files, own: &Files) -> (RuleSet, Vec<Diagnostic>) {
    let mut set = RuleSet::default();
    let mut diagnostics = Vec::new();
    let mut listing = String::new();
    for (owner, files) in [(Owner::Seawall, built_in), (Owner::Organisation, own)] {
        for (path, text) in files.iter().filter(|(path, _)| loaded(path)) {
            let prefix = match owner {
                Owner::Seawall => "",
                Owner::Organisation => "organisation/",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(listing, "{}  {prefix}{path}", Digest::of(text.as_bytes()));
        }
        for (path, text) in libraries(files) {
            match check_library(path, text, owner) {
                Ok(()) => set.libraries.push((path.clone(), text.clone())),
                Err(reason) => diagnostics.push(invalid(path, &reason)),
            }
        }
        let support = files.iter().filter(|(path, _)| path.starts_with("lib/"));
        let support = support.map(|(path, text)| (path.clone(), text.clone()));
        set.support.insert(owner, support.collect());
        for folder in folders(files) {
            match rule(&folder, files, owner) {
                Ok(rule) => set.rules.push(rule),
                Err(reason) => diagnostics.push(invalid(&folder, &reason)),
            }
        }
    }
    set.digest = Some(Digest::of(listing.as_bytes()));
    diagnostics.extend(doubled(&set));
    let (faults, unreadable) = unparsable(&set);
    diagnostics.extend(unreadable);
    for (rule, fault) in set.rules.iter_mut().zip(faults) {
        rule.fault = fault;
    }
    (set, diagnostics)
}

fn invalid(what: &str, reason: &str) -> Diagnostic {
    Diagnostic::error(
        code::RULE_INVALID,
        format!("rule `{what}` cannot be loaded: {reason}"),
    )
    .at(["rules", what])
    .help(
        "a rule is `<category>/<kebab-rule>/rule.rego` with a `# METADATA` block and a set `deny`",
    )
}

/// Whether a file takes part in judging, rather than in testing or reading.
fn loaded(path: &str) -> bool {
    path.ends_with("/rule.rego") || is_library(path)
}

fn is_library(path: &str) -> bool {
    path.strip_prefix("lib/").is_some_and(|name| {
        name.strip_suffix(".rego")
            .is_some_and(|stem| !stem.ends_with("_test") && !stem.contains('/'))
    })
}

fn libraries(files: &Files) -> impl Iterator<Item = (&String, &String)> {
    files.iter().filter(|(path, _)| is_library(path))
}

/// Folders with a `rule.rego`, and folders at the place of a rule that lack one.
fn folders(files: &Files) -> Vec<String> {
    let mut folders: Vec<String> = files
        .keys()
        .filter_map(|path| {
            let mut parts = path.split('/');
            let (category, rule) = (parts.next()?, parts.next()?);
            let file = parts.next()?;
            (category != "lib" && !file.is_empty()).then(|| format!("{category}/{rule}"))
        })
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

fn rule(folder: &str, files: &Files, owner: Owner) -> Result<Rule, String> {
    let prefix = format!("{folder}/");
    let own: BTreeMap<String, String> = files
        .iter()
        .filter_map(|(path, text)| Some((path.strip_prefix(&prefix)?.to_owned(), text.clone())))
        .collect();
    let text = own
        .get(RULE_FILE)
        .ok_or("the folder has no `rule.rego`")?
        .clone();
    if let Some((_, letter)) = hidden::first(&text) {
        let letter = hidden::name(letter);
        return Err(format!("it holds {letter}, a character that does not show"));
    }
    let package = package(&text)?;
    check_package(
        &package,
        &folder.replace('-', "_").replace('/', "."),
        "rules",
        owner,
    )?;
    Ok(Rule {
        owner,
        folder: folder.to_owned(),
        package,
        metadata: metadata::parse(&text, owner)?,
        text,
        files: own,
        fault: None,
    })
}

fn check_library(path: &str, text: &str, owner: Owner) -> Result<(), String> {
    let stem = path
        .strip_prefix("lib/")
        .and_then(|name| name.strip_suffix(".rego"))
        .unwrap_or(path);
    check_package(&package(text)?, &stem.replace('-', "_"), "lib", owner)
}

/// The name after the word `package`, which must be plain: quoted parts could look like another package.
pub(super) fn package(text: &str) -> Result<String, String> {
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("package "))
        .map(str::trim)
        .ok_or("it has no line `package …`")?;
    let plain = name.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_')
    });
    if plain {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "its package `{name}` has other characters than `a`-`z`, `0`-`9`, `_` and `.`"
        ))
    }
}

fn check_package(package: &str, wanted: &str, kind: &str, owner: Owner) -> Result<(), String> {
    let (head, rest) = package.split_once('.').unwrap_or((package, ""));
    let owned = match owner {
        Owner::Seawall => head == "seawall",
        Owner::Organisation => head != "seawall",
    };
    if owned && rest == format!("{kind}.{wanted}") {
        return Ok(());
    }
    let org = match owner {
        Owner::Seawall => "seawall",
        Owner::Organisation => "<org>",
    };
    Err(format!(
        "its package is `{package}`, its place demands `{org}.{kind}.{wanted}`"
    ))
}

fn doubled(set: &RuleSet) -> Vec<Diagnostic> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    set.rules
        .iter()
        .filter_map(|rule| {
            let code = rule.metadata.code.to_string();
            let other = first.get(&code).copied();
            first.entry(code.clone()).or_insert(&rule.folder);
            other.map(|other| {
                invalid(
                    &rule.folder,
                    &format!("`{other}` has the code `{code}` too"),
                )
            })
        })
        .collect()
}

/// Rules that the engine cannot parse are told when they are loaded, with place and words, not once an evaluation. Of each rule
/// why it cannot run, and all findings.
fn unparsable(set: &RuleSet) -> (Vec<Option<String>>, Vec<Diagnostic>) {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for rule in &set.rules {
        match engine::prepare_unseen(&rule.modules(set), ALONE) {
            Err(reason) => {
                found.push(invalid(&rule.folder, &reason));
                faults.push(Some(reason));
            }
            Ok(mut engine) => {
                faults.push(None);
                for path in reads::unknown(&mut engine, &rule.folder) {
                    let reason = format!("it reads `{path}`, which is never in `input`");
                    found.push(invalid(&rule.folder, &reason).help(
                        "a misspelt path is silently undefined in Rego: write it as the resolved model spells it",
                    ));
                }
            }
        }
    }
    (faults, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "\
# METADATA
# title: t
# description: d
# custom: { code: ACME0101, severity: error }
package acme.rules.naming.no_legacy

import rego.v1

deny contains {\"at\": [\"plans\"], \"msg\": \"m\"} if { count(input.plans) > 0 }
";

    fn own(files: &[(&str, &str)]) -> (RuleSet, Vec<String>) {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        let (set, diagnostics) = load(&Files::new(), &files);
        (set, diagnostics.into_iter().map(|d| d.message).collect())
    }

    #[test]
    fn an_organisation_adds_rules_under_its_own_name() {
        let (set, diagnostics) = own(&[("naming/no-legacy/rule.rego", RULE)]);
        assert_eq!(diagnostics, Vec::<String>::new());
        assert_eq!(set.rules.len(), 1);
    }

    #[rstest::rstest]
    #[case("naming/other/rule.rego", RULE.to_owned(), "its place demands `<org>.rules.naming.other`")]
    #[case("naming/no-legacy/rule.rego", RULE.replace("package acme", "package seawall"), "its place demands")]
    #[case("naming/no-legacy/rules.rego", RULE.to_owned(), "no `rule.rego`")]
    #[case("naming/no-legacy/rule.rego", RULE.replace("count(input", "count((input"), "cannot be loaded")]
    #[case("lib/x.rego", "package acme.rules.x\n".to_owned(), "its place demands `<org>.lib.x`")]
    fn what_cannot_be_loaded_is_told(#[case] path: &str, #[case] text: String, #[case] word: &str) {
        let (_, diagnostics) = own(&[(path, &text)]);
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert!(diagnostics[0].contains(word), "{diagnostics:?}");
    }

    #[test]
    fn two_rules_never_share_a_code() {
        let other = RULE.replace("no_legacy", "other");
        let (_, diagnostics) = own(&[
            ("naming/no-legacy/rule.rego", RULE),
            ("naming/other/rule.rego", &other),
        ]);
        assert_eq!(diagnostics.len(), 1);
        assert!(diagnostics[0].contains("ACME0101"));
    }

    #[test]
    fn the_digest_speaks_of_rules_and_libraries_only() {
        let plain = own(&[("naming/no-legacy/rule.rego", RULE)]).0.digest;
        let page = own(&[
            ("naming/no-legacy/rule.rego", RULE),
            ("naming/no-legacy/README.md", "x"),
        ]);
        assert_eq!(plain, page.0.digest);
        let changed = RULE.replace("> 0", "> 1");
        assert_ne!(
            plain,
            own(&[("naming/no-legacy/rule.rego", &changed)]).0.digest
        );
    }

    #[test]
    fn the_built_in_rules_load() {
        let (_, diagnostics) = load(&super::super::built_in(), &Files::new());
        assert_eq!(diagnostics, Vec::new());
    }
}
