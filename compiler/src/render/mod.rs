//! Owns how findings leave the compiler: which of them have one cause, and in which form they are shown.
//! Never decides what a finding weighs. The interesting function is [`group`]; each form has a file of its own.

mod checks;
pub mod github;
pub mod human;
pub mod json;
pub mod junit;
pub mod markdown;
mod place;
pub mod proofs;
pub mod proved;
pub mod sarif;
mod seen;

use std::collections::BTreeSet;
use std::ops::Range;

use contract::code::Severity;
use contract::id::EnvironmentId;
use jiff::Timestamp;

pub use checks::{Check, checks};

use crate::compare::{Base, Compared, Gate, Standing};
use crate::diagnostic::{Diagnostic, RuleCode, Waived};
use crate::forecast::Change;
use crate::source::{SourceFile, SourceSet, Span};

/// A finding and the environments in which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The finding.
    pub diagnostic: Diagnostic,
    /// Where it holds; empty when it does not depend on the environment.
    pub environments: Vec<EnvironmentId>,
    /// How it stands to the base; absent when nothing was compared.
    pub compared: Option<Compared>,
}

impl Finding {
    /// A finding of a run that is compared with nothing.
    pub const fn new(diagnostic: Diagnostic, environments: Vec<EnvironmentId>) -> Self {
        Self {
            diagnostic,
            environments,
            compared: None,
        }
    }

    /// How it stands to the base.
    pub fn standing(&self) -> Option<Standing> {
        self.compared.as_ref().map(|compared| compared.standing)
    }

    /// Whether a waiver accepts it.
    pub const fn is_waived(&self) -> bool {
        self.diagnostic.waived_by.is_some()
    }

    /// Whether it speaks of this environment, or of none in particular.
    fn holds_in(&self, environment: &EnvironmentId) -> bool {
        self.environments.is_empty() || self.environments.contains(environment)
    }
}

/// What a renderer needs.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The text that findings point into.
    pub sources: &'a SourceSet,
    /// What stands before the paths of the tree when they are shown to a person, with a trailing `/`; may be empty.
    pub prefix: String,
    /// The same, from the root of the repository: what other programs find files by.
    pub root: String,
    /// The environments that were looked at.
    pub environments: Vec<EnvironmentId>,
    /// Those of them that gave no model, so that no rule ran.
    pub unjudged: BTreeSet<EnvironmentId>,
    /// The findings in their order.
    pub findings: Vec<Finding>,
    /// What was looked for.
    pub checks: Vec<Check>,
    /// What the tree was compared with.
    pub base: Option<Base<'a>>,
    /// Which findings stop.
    pub gate: Gate,
    /// What changes by itself until an instant, in the order of dates, where that was asked for.
    pub until: Option<(Timestamp, Vec<Change>)>,
}

impl<'a> Report<'a> {
    /// A report that was compared with nothing and tells no more than its findings.
    pub fn new(
        sources: &'a SourceSet,
        environments: Vec<EnvironmentId>,
        findings: Vec<Finding>,
    ) -> Self {
        Self {
            sources,
            prefix: String::new(),
            root: String::new(),
            environments,
            unjudged: BTreeSet::new(),
            findings,
            checks: Vec::new(),
            base: None,
            gate: Gate::Errors,
            until: None,
        }
    }

    /// How many findings make the command fail.
    pub fn stopping(&self) -> usize {
        let stops = |finding: &&Finding| self.gate.stops(finding);
        self.findings.iter().filter(stops).count()
    }

    /// What else a reader of this group should know: its notes, where it holds, what it was before, what else has its cause.
    fn notes(&self, group: &Group<'_>, width: usize) -> Vec<String> {
        human::notes(self, group, width)
    }

    /// How many findings weigh this much, those apart that a waiver accepts.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.diagnostic.severity == severity && !finding.is_waived())
            .count()
    }

    /// Whether anything will stop by the instant that was asked about.
    pub fn will_stop(&self) -> bool {
        let changes = self.until.iter().flat_map(|(_, changes)| changes);
        changes.into_iter().any(|change| !change.errors.is_empty())
    }

    /// How many findings waivers accept.
    pub fn waived(&self) -> usize {
        let waived = |finding: &&Finding| finding.is_waived();
        self.findings.iter().filter(waived).count()
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
            let environments = environment.iter().cloned().collect();
            findings.push(Finding::new(diagnostic, environments));
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

impl<'a> Group<'a> {
    /// All findings of the group.
    fn all(&self) -> impl Iterator<Item = &'a Finding> {
        [self.first].into_iter().chain(self.others.iter().copied())
    }

    /// How the group stands to the base: as the worst of its findings does.
    pub fn standing(&self) -> Option<Standing> {
        self.all().filter_map(Finding::standing).min()
    }

    /// Whether any of it makes the command fail.
    fn stops(&self, gate: Gate) -> bool {
        self.all().any(|finding| gate.stops(finding))
    }

    /// Before others: what the change touched, what it brought, what stops, what weighs more.
    fn rank(&self, gate: Gate) -> (bool, Option<Standing>, bool, Severity) {
        let touched = |finding: &Finding| finding.compared.as_ref().is_some_and(|at| at.in_diff);
        (
            !self.all().any(touched),
            self.standing(),
            !self.stops(gate),
            self.first.diagnostic.severity,
        )
    }

    /// The environments in which any of them holds; empty when one does not depend on the environment.
    pub fn environments(&self) -> BTreeSet<&EnvironmentId> {
        if self.all().any(|finding| finding.environments.is_empty()) {
            return BTreeSet::new();
        }
        self.all()
            .flat_map(|finding| &finding.environments)
            .collect()
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
            let waiver = diagnostic.waived_by.as_ref().map(|waived| &waived.waiver);
            let key = (diagnostic.code.clone(), diagnostic.severity, waiver, cause);
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

/// The groups that nobody accepted, in the order of their first.
fn open<'a>(report: &'a Report<'_>) -> Vec<Group<'a>> {
    let mut groups = group(&report.findings);
    groups.retain(|group| !group.first.is_waived());
    groups
}

/// The groups that waivers accept, as lines: code, who until when, message.
fn waived<'a>(report: &'a Report<'_>) -> Vec<(Group<'a>, &'a Waived)> {
    let groups = group(&report.findings).into_iter();
    groups
        .filter_map(|group| {
            let waived = group.first.diagnostic.waived_by.as_ref()?;
            Some((group, waived))
        })
        .collect()
}

/// The open groups with what a reader must see first in front.
fn ranked<'a>(report: &'a Report<'_>) -> Vec<Group<'a>> {
    let mut groups = open(report);
    groups.sort_by_key(|group| group.rank(report.gate));
    groups
}

/// The name that stands beside a code: ours, or that of an organisation's rule.
fn name<'a>(report: &'a Report<'_>, of: &RuleCode) -> &'a str {
    let check = report.checks.iter().find(|check| check.code == *of);
    match (check, of) {
        (Some(check), _) => &check.name,
        (None, RuleCode::Seawall(code)) => code.name(),
        (None, RuleCode::Organisation(_)) => "",
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}

/// The first of some names, and how many there are beside them.
pub(crate) fn some<T: ToString>(names: impl ExactSizeIterator<Item = T>, told: usize) -> String {
    let more = names.len().saturating_sub(told);
    let first: Vec<String> = names.take(told).map(|name| name.to_string()).collect();
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The span as a range that lies in the text, on character borders, and not on more than one line: a finding about a
/// whole document points at its first line.
fn range(source: &SourceFile, span: Span) -> Range<usize> {
    let text = &source.text;
    let border = |byte: u32| {
        let mut byte = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    };
    let start = border(span.start);
    let end = border(span.end).max(start);
    let line_end = text
        .get(start..end)
        .and_then(|part| part.find(['\r', '\n']))
        .map_or(end, |length| start + length);
    start..line_end
}

/// Environments as people list them: `dev, staging`.
fn names<'a>(environments: impl IntoIterator<Item = &'a EnvironmentId>) -> String {
    let names: Vec<&str> = environments
        .into_iter()
        .map(EnvironmentId::as_str)
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_to_its_first_line_and_never_leaves_the_text() {
        let file = SourceFile {
            path: "a".to_owned(),
            text: "für\nzwei\n".to_owned(),
        };
        let whole = Span {
            file: 0,
            start: 0,
            end: 900,
        };
        assert_eq!(range(&file, whole), 0..4);
        let inside_ue = Span {
            file: 0,
            start: 2,
            end: 2,
        };
        assert_eq!(range(&file, inside_ue), 1..1);
    }
}
