//! Owns the comparison of two runs: which findings a change brought, altered, left and took away, and which of them stop.
//! Findings are known by fingerprint, object and environment, never by lines. Pure. See [`compare`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code::Code;
use contract::digest::Digest;
use contract::id::EnvironmentId;

use crate::diagnostic::{Diagnostic, RuleCode};
use crate::render::Finding;
use crate::source::{SourceSet, Span};

/// How a finding stands to the base. In the order in which a reader must see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The base has no such finding.
    New,
    /// The base has it in other words: other numbers, for better or worse.
    Changed,
    /// The base has the same.
    Old,
}

impl Standing {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Old => "old",
        }
    }
}

/// What a comparison says of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// How it stands.
    pub standing: Standing,
    /// Whether the change touched a line that it points at.
    pub in_diff: bool,
    /// What the base says instead, where that is changed.
    pub before: Option<String>,
}

/// What a tree was compared with.
#[derive(Debug, Clone)]
pub struct Base<'a> {
    /// The revision as it was given.
    pub revision: String,
    /// The commit whose tree was read.
    pub commit: String,
    /// The text of that tree.
    pub sources: &'a SourceSet,
    /// What was found there and is found no more.
    pub fixed: Vec<Finding>,
}

impl Base<'_> {
    /// The commit as people write it.
    pub fn short(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }
}

/// Which findings make a command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Every error.
    Errors,
    /// Errors that the base has not, or has in other words; and old ones that keep others from being seen.
    New,
}

impl Gate {
    /// Whether a finding makes the command fail.
    pub fn stops(self, finding: &Finding) -> bool {
        let excused = match self {
            Self::Errors => false,
            Self::New => {
                finding.standing() == Some(Standing::Old) && !hides(&finding.diagnostic.code)
            }
        };
        finding.diagnostic.stops() && !excused
    }
}

/// Whether an error of this code keeps rules from running or from answering: what they would have found is unknown, and
/// unknown is never a pass.
fn hides(code: &RuleCode) -> bool {
    match code {
        RuleCode::Seawall(code) => matches!(Code::family(*code), 1 | 2 | 4),
        RuleCode::Organisation(_) => false,
    }
}

/// What a finding is known by; the last is whether a waiver accepts it.
type Key<'a> = (Digest, &'a [String], Option<&'a EnvironmentId>, bool);

/// The keys of the base that a finding may stand at. What was accepted there and is not any more is new: nobody excuses it.
fn stands((print, about, environment, waived): Key<'_>) -> impl Iterator<Item = Key<'_>> {
    [true, false]
        .into_iter()
        .filter(move |base| waived || !base)
        .map(move |base| (print, about, environment, base))
}

/// Marks findings and gives back those of the base that are gone. `touched` says whether the change altered a line of a
/// span.
///
/// A finding counts once for each of its environments, and as often as it is told: a second one of the same kind at the
/// same place is new. One that is new in any environment is new.
pub fn compare(
    findings: &mut [Finding],
    base: &[Finding],
    touched: &dyn Fn(Span) -> bool,
) -> Vec<Finding> {
    let mut left: BTreeMap<Key<'_>, Vec<usize>> = BTreeMap::new();
    for (index, finding) in base.iter().enumerate() {
        for key in keys(&finding.diagnostic, &finding.environments) {
            left.entry(key).or_default().push(index);
        }
    }
    let message = |index: usize| {
        base.get(index)
            .map_or("", |finding| finding.diagnostic.message.as_str())
    };
    // The same words first: only what is left over can be the same finding in other words.
    let mut open = Vec::new();
    let mut matched: Vec<Vec<Option<usize>>> = vec![Vec::new(); findings.len()];
    for (index, finding) in findings.iter().enumerate() {
        let diagnostic = &finding.diagnostic;
        for key in keys(diagnostic, &finding.environments) {
            let taken = stands(key).find_map(|key| {
                let known = left.get_mut(&key)?;
                let same = known
                    .iter()
                    .position(|index| message(*index) == diagnostic.message)?;
                Some(known.remove(same))
            });
            if taken.is_none() {
                open.push((index, key));
            }
        }
    }
    for (index, key) in open {
        let taken = stands(key).find_map(|key| {
            let known = left.get_mut(&key).filter(|known| !known.is_empty());
            known.map(|known| known.remove(0))
        });
        if let Some(matched) = matched.get_mut(index) {
            matched.push(taken);
        }
    }
    let fixed = gone(base, &left);
    drop(left);
    for (finding, matched) in findings.iter_mut().zip(matched) {
        let standing = match matched.iter().min() {
            None => Standing::Old,
            Some(None) => Standing::New,
            Some(Some(_)) => Standing::Changed,
        };
        let labels = &finding.diagnostic.labels;
        finding.compared = Some(Compared {
            standing,
            in_diff: labels.iter().any(|label| touched(label.span)),
            before: matched
                .into_iter()
                .flatten()
                .next()
                .filter(|_| standing == Standing::Changed)
                .map(|index| message(index).to_owned()),
        });
    }
    fixed
}

/// Leaves of what is gone only what is known to be gone: not what a rule would find in an environment that gave no
/// model now, nor what a rule that gave no answer now had found.
pub fn certain(
    fixed: Vec<Finding>,
    unjudged: &BTreeSet<EnvironmentId>,
    silent: &BTreeSet<RuleCode>,
) -> Vec<Finding> {
    fixed
        .into_iter()
        .filter_map(|mut finding| {
            let everywhere = finding.environments.is_empty();
            finding.environments.retain(|id| !unjudged.contains(id));
            let answered = !silent.contains(&finding.diagnostic.code);
            (answered && (everywhere || !finding.environments.is_empty())).then_some(finding)
        })
        .collect()
}

/// A finding's keys, one for each environment; one without environment has one.
fn keys<'a>(
    diagnostic: &'a Diagnostic,
    environments: &'a [EnvironmentId],
) -> impl Iterator<Item = Key<'a>> {
    let fingerprint = diagnostic.fingerprint();
    let waived = diagnostic.waived_by.is_some();
    let everywhere = environments.is_empty().then_some(None);
    everywhere
        .into_iter()
        .chain(environments.iter().map(Some))
        .map(move |environment| {
            (
                fingerprint,
                diagnostic.about.as_slice(),
                environment,
                waived,
            )
        })
}

/// The findings of the base that nothing took, in their order, each with the environments where it is gone.
fn gone(base: &[Finding], left: &BTreeMap<Key<'_>, Vec<usize>>) -> Vec<Finding> {
    let mut places: BTreeMap<usize, Vec<EnvironmentId>> = BTreeMap::new();
    // What was accepted stood in nobody's way.
    for ((_, _, environment, _), indices) in left.iter().filter(|((.., waived), _)| !waived) {
        for index in indices {
            let environments = places.entry(*index).or_default();
            environments.extend(environment.cloned());
        }
    }
    places
        .into_iter()
        .filter_map(|(index, environments)| {
            let diagnostic = base.get(index)?.diagnostic.clone();
            Some(Finding::new(diagnostic, environments))
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use contract::code;

    use super::*;

    fn finding(at: &str, message: &str, environments: &[&str]) -> Finding {
        let environments = environments.iter().map(|id| id.parse().unwrap());
        let diagnostic = Diagnostic::error(code::RPO_COVERED, message).at([at]);
        Finding::new(diagnostic, environments.collect())
    }

    fn told(findings: &[Finding]) -> Vec<(&str, &str)> {
        let standing = |finding: &Finding| finding.standing().map_or("", Standing::word);
        findings
            .iter()
            .map(|finding| (standing(finding), finding.diagnostic.message.as_str()))
            .collect()
    }

    #[test]
    fn each_finding_is_new_changed_old_or_fixed() {
        let base = [
            finding("a", "same", &["dev", "production"]),
            finding("b", "1 h", &["dev"]),
            finding("c", "gone", &["dev"]),
            finding("d", "in dev alone", &["dev"]),
            finding("e", "twice", &[]),
        ];
        let mut now = [
            finding("a", "same", &["dev", "production"]),
            finding("b", "20 h", &["dev"]),
            finding("d", "in dev alone", &["dev", "production"]),
            finding("e", "once more", &[]),
            finding("e", "twice", &[]),
            finding("f", "never seen", &["dev"]),
        ];
        let fixed = compare(&mut now, &base, &|_| false);
        assert_eq!(
            told(&now),
            [
                ("old", "same"),
                ("changed", "20 h"),
                ("new", "in dev alone"),
                ("new", "once more"),
                ("old", "twice"),
                ("new", "never seen"),
            ]
        );
        assert_eq!(
            now[1].compared.as_ref().unwrap().before.as_deref(),
            Some("1 h")
        );
        assert_eq!(told(&fixed), [("", "gone")]);
    }

    #[test]
    fn what_nobody_looked_at_is_not_mended() {
        let fixed = vec![
            finding("a", "in both", &["dev", "production"]),
            finding("b", "there alone", &["dev"]),
            finding("c", "everywhere", &[]),
        ];
        let unjudged = BTreeSet::from(["dev".parse().unwrap()]);
        let left = certain(fixed.clone(), &unjudged, &BTreeSet::new());
        assert_eq!(told(&left), [("", "in both"), ("", "everywhere")]);
        assert_eq!(left[0].environments.len(), 1);
        let silent = BTreeSet::from([code::RPO_COVERED.into()]);
        assert_eq!(certain(fixed, &BTreeSet::new(), &silent), []);
    }

    /// A waiver that is taken away or expires gives back what it took, and nobody excuses it as old.
    #[test]
    fn what_was_accepted_and_is_not_any_more_is_new() {
        let waived = |finding: Finding| {
            let mut waived = finding;
            waived.diagnostic.waived_by = Some(crate::diagnostic::Waived {
                waiver: "wv".to_owned(),
                expiry: jiff::Timestamp::UNIX_EPOCH,
                reason: "r".to_owned(),
                span: None,
            });
            waived
        };
        let (open, taken) = (finding("a", "same", &[]), waived(finding("a", "same", &[])));
        let mut now = [open.clone()];
        let fixed = compare(&mut now, std::slice::from_ref(&taken), &|_| false);
        assert_eq!((told(&now), fixed), (vec![("new", "same")], vec![]));
        assert!(Gate::New.stops(&now[0]));
        let mut now = [taken];
        let fixed = compare(&mut now, &[open], &|_| false);
        assert_eq!((told(&now), fixed), (vec![("old", "same")], vec![]));
        assert!(!Gate::New.stops(&now[0]) && !Gate::Errors.stops(&now[0]));
    }

    /// Nothing that is worse than before, or that hides what is worse, gets through.
    #[test]
    fn only_an_old_finding_that_hides_nothing_is_excused() {
        let base = [finding("a", "same", &[]), finding("b", "1 h", &[])];
        let hiding = Finding::new(Diagnostic::error(code::RULE_FAILED, "no answer"), vec![]);
        let base = [base.to_vec(), vec![hiding.clone()]].concat();
        let mut now = [
            finding("a", "same", &[]),
            finding("b", "20 h", &[]),
            hiding,
            finding("c", "never seen", &[]),
        ];
        compare(&mut now, &base, &|_| false);
        let stops = |gate: Gate| now.each_ref().map(|finding| gate.stops(finding));
        assert_eq!(stops(Gate::Errors), [true; 4]);
        assert_eq!(stops(Gate::New), [false, true, true, true]);
    }
}
