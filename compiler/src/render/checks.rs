//! Owns the list of what is looked for, as machine-readable forms name it: rules of a run, and checks of the compiler.
//! The interesting function is [`checks`].

use contract::code::{Code, Severity};

use crate::diagnostic::RuleCode;
use crate::rules::RuleSet;

/// A rule, or a check of the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The code of its findings.
    pub code: RuleCode,
    /// Its kebab-case name.
    pub name: String,
    /// `<category>/<kebab-rule>` of a rule; empty for a check of the compiler.
    pub folder: String,
    /// One line.
    pub title: String,
    /// What it looks for and why.
    pub description: String,
    /// What its findings weigh.
    pub severity: Severity,
    /// Its page in Markdown, where it has one.
    pub page: Option<String>,
}

impl Check {
    /// What the compiler itself looks for under a code.
    pub fn of(code: Code) -> Self {
        Self {
            code: code.into(),
            name: code.name().to_owned(),
            folder: String::new(),
            title: code.summary().to_owned(),
            description: code.summary().to_owned(),
            severity: Severity::Error,
            page: None,
        }
    }

    /// The category of a rule.
    pub fn category(&self) -> &str {
        self.folder.split('/').next().unwrap_or_default()
    }
}

/// The rules of a run, in the order of their codes.
pub fn checks(rules: &RuleSet) -> Vec<Check> {
    let mut checks: Vec<Check> = rules
        .rules
        .iter()
        .map(|rule| {
            let folder = rule.folder.rsplit('/').next().unwrap_or(&rule.folder);
            Check {
                name: match &rule.metadata.code {
                    RuleCode::Seawall(code) => code.name().to_owned(),
                    RuleCode::Organisation(_) => folder.to_owned(),
                },
                code: rule.metadata.code.clone(),
                folder: rule.folder.clone(),
                title: rule.metadata.title.clone(),
                description: rule.metadata.description.trim().to_owned(),
                severity: rule.metadata.severity,
                page: rule.files.get("README.md").cloned(),
            }
        })
        .collect();
    checks.sort_by_cached_key(|check| (check.code.to_string(), check.folder.clone()));
    checks
}
