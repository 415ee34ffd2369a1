//! Owns how findings leave the compiler: which of them have one cause, and in which form they are shown.
//! Never decides what a finding weighs. The interesting function is [`group`]; the forms are [`human`] and [`json`].

pub mod human;
pub mod json;

use std::collections::BTreeSet;

use contract::code::Severity;
use contract::id::EnvironmentId;

use crate::diagnostic::Diagnostic;
use crate::source::{SourceSet, Span};

/// A finding and the environments in which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The finding.
    pub diagnostic: Diagnostic,
    /// Where it holds; empty when it does not depend on the environment.
    pub environments: Vec<EnvironmentId>,
}

/// What a renderer needs.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The text that findings point into.
    pub sources: &'a SourceSet,
    /// What stands before the paths of the tree when they are shown to a person, with a trailing `/`; may be empty.
    pub prefix: String,
    /// The environments that were looked at.
    pub environments: Vec<EnvironmentId>,
    /// The findings in their order.
    pub findings: Vec<Finding>,
}

impl Report<'_> {
    /// How many findings weigh this much.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.diagnostic.severity == severity)
            .count()
    }
}

/// Merges the findings of several environments: equal ones are told once, with the environments in which they hold.
/// Findings of a run without environment (`None`) hold everywhere.
pub fn merge(runs: Vec<(Option<EnvironmentId>, Vec<Diagnostic>)>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut known: std::collections::BTreeMap<_, Vec<usize>> = std::collections::BTreeMap::new();
    for (environment, diagnostics) in runs {
        for diagnostic in diagnostics {
            let places = known.entry(diagnostic.order()).or_default();
            let same = places.iter().copied().find(|place| {
                findings
                    .get(*place)
                    .is_some_and(|finding| finding.diagnostic == diagnostic)
            });
            if let Some(finding) = same.and_then(|place| findings.get_mut(place)) {
                finding.environments.extend(environment.clone());
                continue;
            }
            places.push(findings.len());
            findings.push(Finding {
                diagnostic,
                environments: environment.iter().cloned().collect(),
            });
        }
    }
    findings.sort_by_cached_key(|finding| finding.diagnostic.order());
    findings
}

/// Findings with one cause: the first of them and the others, which repeat it for other objects or environments.
#[derive(Debug)]
pub struct Group<'a> {
    /// The one that is shown in full.
    pub first: &'a Finding,
    /// The others, in order.
    pub others: Vec<&'a Finding>,
}

impl Group<'_> {
    /// The environments in which any of them holds; empty when one does not depend on the environment.
    pub fn environments(&self) -> BTreeSet<&EnvironmentId> {
        let all = || [self.first].into_iter().chain(self.others.iter().copied());
        if all().any(|finding| finding.environments.is_empty()) {
            return BTreeSet::new();
        }
        all().flat_map(|finding| &finding.environments).collect()
    }
}

/// Puts findings of one code and one cause together, in the order of their first: a schedule that is too slow for a
/// hundred datasets must not fill the screen. Where a finding names no cause, its places are it.
pub fn group(findings: &[Finding]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for finding in findings {
        let diagnostic = &finding.diagnostic;
        let cause: Vec<Span> = match diagnostic.cause {
            Some(cause) => vec![cause],
            None => diagnostic.labels.iter().map(|label| label.span).collect(),
        };
        let place = if cause.is_empty() {
            groups.len()
        } else {
            let key = (diagnostic.code.clone(), diagnostic.severity, cause);
            *known.entry(key).or_insert(groups.len())
        };
        match groups.get_mut(place) {
            Some(group) => group.others.push(finding),
            None => groups.push(Group {
                first: finding,
                others: Vec::new(),
            }),
        }
    }
    groups
}

/// Line and column (both from 1, columns in characters) of a byte of a text.
pub fn position(text: &str, byte: u32) -> (usize, usize) {
    let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = before.split(|byte| *byte == b'\n').count();
    let column = String::from_utf8_lossy(before.get(line_start..).unwrap_or_default())
        .chars()
        .count()
        + 1;
    (line, column)
}

/// Environments as people list them: `dev, staging`.
fn names<'a>(environments: impl IntoIterator<Item = &'a EnvironmentId>) -> String {
    let names: Vec<&str> = environments
        .into_iter()
        .map(EnvironmentId::as_str)
        .collect();
    names.join(", ")
}
