//! Owns the frameworks that `seawall report` knows: data files that come with the binary, each with its clauses in our own
//! words, and why policy cannot show what no rule shows. Never says whether a clause is met. The interesting function is
//! [`all`].

use include_dir::{Dir, include_dir};
use serde::Deserialize;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/frameworks");

/// A framework.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// What it is called on the command line.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What stands before the ids of its clauses where rules name them.
    pub named: String,
    /// Where it is written.
    pub source: String,
    /// Which part of it is here.
    pub covers: String,
    /// Its clauses, in its order.
    pub clauses: Vec<Clause>,
}

/// A clause of a framework.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// Its id within the framework.
    pub id: String,
    /// What it demands, one lowercase line.
    pub title: String,
    /// What stays open even where its rules find nothing.
    #[serde(default)]
    pub beyond: Option<String>,
    /// Why policy cannot show it; present where no built-in rule bears on it.
    #[serde(default)]
    pub not_shown_here: Option<String>,
}

/// All frameworks, in the order of their ids; a file that cannot be read is an error, which a test excludes.
pub fn all() -> Vec<Result<Framework, String>> {
    let mut files: Vec<_> = FILES.files().collect();
    files.sort_by_key(|file| file.path());
    let read = |file: &include_dir::File<'_>| {
        let text = file.contents_utf8().unwrap_or_default();
        serde_saphyr::from_str(text).map_err(|error| format!("{}: {error}", file.path().display()))
    };
    files.into_iter().map(read).collect()
}

/// The frameworks that can be read.
pub fn known() -> Vec<Framework> {
    all().into_iter().filter_map(Result::ok).collect()
}

impl Framework {
    /// How rules name a clause.
    pub fn control(&self, clause: &Clause) -> String {
        format!("{} {}", self.named, clause.id)
    }

    /// Whether this is how rules name one of its clauses, or one that it does not have.
    pub fn is_meant_by(&self, control: &str) -> bool {
        let rest = control.strip_prefix(self.named.as_str());
        rest.is_some_and(|rest| rest.starts_with(' '))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests fail by panicking")]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::rules::{self, Files};

    #[test]
    fn every_file_is_a_framework_of_its_name_with_clauses_of_their_own() {
        let files: Vec<String> = FILES
            .files()
            .map(|file| file.path().display().to_string())
            .collect();
        assert!(files.len() >= 10, "{files:?}");
        for framework in all() {
            let framework = framework.unwrap_or_else(|error| panic!("{error}"));
            assert!(files.contains(&format!("{}.yaml", framework.id)));
            let ids: BTreeSet<&str> = framework.clauses.iter().map(|c| c.id.as_str()).collect();
            assert_eq!(ids.len(), framework.clauses.len(), "{}", framework.id);
            for clause in &framework.clauses {
                let lines = [
                    &Some(clause.title.clone()),
                    &clause.beyond,
                    &clause.not_shown_here,
                ];
                for line in lines.into_iter().flatten() {
                    assert!(!line.is_empty() && !line.ends_with('.'), "{line}");
                    assert!(!line.contains('\n'), "{line}");
                }
                assert!(
                    clause.beyond.is_none() || clause.not_shown_here.is_none(),
                    "{}",
                    clause.id
                );
            }
        }
    }

    /// Every control that a built-in rule names is a clause of one framework, and every clause has a rule or a reason.
    #[test]
    fn rules_name_clauses_and_clauses_have_a_rule_or_a_reason() {
        let (set, invalid) = rules::load(&rules::built_in(), &Files::new());
        assert_eq!(invalid, Vec::new());
        let mut clauses: BTreeMap<String, Clause> = BTreeMap::new();
        for framework in known() {
            for clause in &framework.clauses {
                let twice = clauses.insert(framework.control(clause), clause.clone());
                assert_eq!(twice, None, "{}", clause.id);
            }
        }
        let mut wrong = Vec::new();
        let mut named = BTreeSet::new();
        for rule in &set.rules {
            let controls = &rule.metadata.controls;
            assert!(!controls.is_empty(), "{}", rule.folder);
            for control in controls {
                named.insert(control.clone());
                if !clauses.contains_key(control) {
                    wrong.push(format!("{} names {control}", rule.folder));
                }
            }
        }
        for (control, clause) in &clauses {
            if named.contains(control) == clause.not_shown_here.is_some() {
                wrong.push(format!(
                    "{control} has both a rule and a reason, or neither"
                ));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// The page of a rule lists what its METADATA list.
    #[test]
    fn pages_of_rules_name_the_same_clauses() {
        let (set, _) = rules::load(&rules::built_in(), &Files::new());
        for rule in &set.rules {
            let page = rule.files.get("README.md").map(String::as_str);
            let (_, listed) = page
                .and_then(|page| page.split_once("\n## Controls\n\n"))
                .unwrap_or_else(|| panic!("{}", rule.folder));
            let listed: Vec<&str> = listed
                .lines()
                .filter_map(|line| line.strip_prefix("- "))
                .collect();
            assert_eq!(listed, rule.metadata.controls, "{}", rule.folder);
        }
    }
}
