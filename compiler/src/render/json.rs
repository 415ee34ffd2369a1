//! Owns the form for programs: one JSON document whose `format` changes when a reader must change. Its schema is
//! generated from the types here. Never groups findings; every one stands for itself. The interesting function is [`render`].

use contract::code::Severity;
use contract::digest::Digest;
use contract::id::EnvironmentId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Finding, Report};
use crate::compare::Standing;
use crate::diagnostic::{Diagnostic, Label, Measure, RuleCode};
use crate::source::{Exact, Positions, SourceSet};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
pub const FORMAT: u32 = 1;
/// What the schema is called in `schemas/`.
pub const SCHEMA_FILE: &str = "findings.json";

/// The findings of `seawall check --format json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Findings")]
struct Document<'a> {
    /// The version of this form; 1.
    format: u32,
    /// The environments that were looked at.
    #[schemars(with = "Vec<String>")]
    environments: &'a [EnvironmentId],
    /// All findings, by file and line; those about no file first.
    findings: Vec<One<'a>>,
    /// What the tree was compared with; null without `--base`.
    base: Option<Base<'a>>,
    /// How many there are.
    summary: Summary,
    /// What changes by itself; null without `--until`.
    until: Option<Until<'a>>,
}

/// What changes by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Until<'a> {
    /// The instant up to which changes are told, RFC 3339 in UTC.
    until: String,
    /// The changes in the order of dates.
    changes: Vec<Change<'a>>,
}

/// One instant at which something changes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Change<'a> {
    /// When, RFC 3339 in UTC.
    at: String,
    /// What happens then.
    what: Vec<Happening<'a>>,
    /// Where.
    #[schemars(with = "Vec<String>")]
    environments: &'a [EnvironmentId],
    /// Errors that stop from then on and did not before.
    errors: Vec<One<'a>>,
}

/// One thing that happens.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Happening<'a> {
    /// `waiver_expires`, `key_too_short`, `key_ends`, `rule_takes_effect` or `policy_takes_effect`.
    kind: &'static str,
    /// The id of the waiver, key or snapshot, or the code of the rule.
    id: &'a str,
    /// One line for people.
    message: String,
}

/// How many findings there are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Summary {
    /// Errors.
    errors: usize,
    /// Warnings.
    warnings: usize,
    /// Findings that waivers accept; they are no errors and no warnings.
    waived: usize,
    /// Findings that make the command fail.
    stopping: usize,
    /// Findings that the base has not; null without `--base`.
    new: Option<usize>,
    /// Findings that the base has in other words; null without `--base`.
    changed: Option<usize>,
    /// Findings that the base has too; null without `--base`.
    old: Option<usize>,
    /// Findings of the base that are gone; null without `--base`.
    fixed: Option<usize>,
}

/// What the tree was compared with.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Base<'a> {
    /// The revision as it was given.
    revision: &'a str,
    /// The commit whose tree was read.
    commit: &'a str,
    /// What was found there and is found no more; places are those of that tree.
    fixed: Vec<One<'a>>,
}

/// One finding.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One<'a> {
    /// Such as `SW0301`, or the code of an organisation's rule.
    code: String,
    /// The code's name; null for an organisation's rule.
    name: Option<&'static str>,
    /// How much it weighs.
    severity: Weight,
    /// One lowercase line, user values in backticks.
    message: &'a str,
    /// SHA-256 of code and `at`: stays the same when lines move or words change.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    fingerprint: Digest,
    /// How it stands to the base; null without `--base`.
    standing: Option<Stands>,
    /// The path in the model that it is about.
    at: &'a [String],
    /// The path of the object that suffers, where that is another; else empty.
    about: &'a [String],
    /// Where it holds; empty when it does not depend on the environment.
    #[schemars(with = "Vec<String>")]
    environments: &'a [EnvironmentId],
    /// Places; the first is the primary one. Empty when the finding is about no file.
    labels: Vec<Place<'a>>,
    /// Further lines: witnesses, chains, numbers.
    notes: &'a [String],
    /// What to do.
    help: Option<&'a str>,
    /// The number that it is about, a larger one is worse; null where it has none.
    measure: Option<Number>,
    /// Who accepted it; null where nobody did.
    waived_by: Option<Accepted<'a>>,
}

/// The number that a finding is about.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Number {
    /// A length of time.
    Seconds(u64),
    /// How many there are of something.
    Count(u64),
}

/// Who accepted a finding.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Accepted<'a> {
    /// The id of the waiver.
    waiver: &'a str,
    /// Until when, RFC 3339 in UTC.
    expiry: String,
    /// Why.
    reason: &'a str,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Weight {
    /// Stops signing.
    Error,
    /// Told, stops nothing.
    Warning,
}

/// How a finding stands to the base.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Stands {
    /// The base has no such finding.
    New,
    /// The base has it in other words.
    Changed,
    /// The base has the same.
    Old,
}

/// A place and what it has to do with the finding.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Place<'a> {
    /// The file, relative to the tree.
    path: &'a str,
    /// Where it begins.
    start: Point,
    /// The place after the last character.
    end: Point,
    /// One short lowercase line; may be empty.
    text: &'a str,
}

/// A place in a file.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Point {
    /// The line, from 1.
    line: usize,
    /// The column in characters, from 1.
    column: usize,
    /// The byte in the file, from 0.
    byte: usize,
}

/// The report as a JSON document.
pub fn render(report: &Report<'_>) -> Value {
    let number = |standing: Standing| {
        let stands = |finding: &&Finding| finding.standing() == Some(standing);
        let base = report.base.as_ref();
        base.map(|_| report.findings.iter().filter(stands).count())
    };
    let document = Document {
        format: FORMAT,
        environments: &report.environments,
        findings: all(report.sources, &report.findings),
        base: report.base.as_ref().map(|base| Base {
            revision: &base.revision,
            commit: &base.commit,
            fixed: all(base.sources, &base.fixed),
        }),
        summary: Summary {
            errors: report.count(Severity::Error),
            warnings: report.count(Severity::Warning),
            waived: report.waived(),
            stopping: report.stopping(),
            new: number(Standing::New),
            changed: number(Standing::Changed),
            old: number(Standing::Old),
            fixed: report.base.as_ref().map(|base| base.fixed.len()),
        },
        until: until(report),
    };
    // Texts and whole numbers alone: nothing in it can fail to be written.
    serde_json::to_value(document).unwrap_or_default()
}

fn until<'a>(report: &'a Report<'_>) -> Option<Until<'a>> {
    let (until, changes) = report.until.as_ref()?;
    let positions = report.sources.positions();
    let changes = changes.iter().map(|change| Change {
        at: change.at.to_string(),
        what: change
            .what
            .iter()
            .map(|what| Happening {
                kind: what.word(),
                id: what.id(),
                message: what.to_string(),
            })
            .collect(),
        environments: &change.environments,
        errors: change
            .errors
            .iter()
            .map(|error| {
                told(
                    report.sources,
                    &positions,
                    error,
                    &change.environments,
                    None,
                )
            })
            .collect(),
    });
    Some(Until {
        until: until.to_string(),
        changes: changes.collect(),
    })
}

/// The JSON Schema of that document.
pub fn schema() -> Value {
    schemars::schema_for!(Document<'static>).to_value()
}

fn all<'a>(sources: &'a SourceSet, findings: &'a [Finding]) -> Vec<One<'a>> {
    let positions = sources.positions();
    findings
        .iter()
        .map(|finding| one(sources, &positions, finding))
        .collect()
}

fn one<'a>(sources: &'a SourceSet, positions: &Positions<'_>, finding: &'a Finding) -> One<'a> {
    let standing = finding.standing();
    told(
        sources,
        positions,
        &finding.diagnostic,
        &finding.environments,
        standing,
    )
}

fn told<'a>(
    sources: &'a SourceSet,
    positions: &Positions<'_>,
    diagnostic: &'a Diagnostic,
    environments: &'a [EnvironmentId],
    standing: Option<Standing>,
) -> One<'a> {
    One {
        code: diagnostic.code.to_string(),
        name: match &diagnostic.code {
            RuleCode::Seawall(code) => Some(code.name()),
            RuleCode::Organisation(_) => None,
        },
        severity: match diagnostic.severity {
            Severity::Error => Weight::Error,
            Severity::Warning => Weight::Warning,
        },
        message: &diagnostic.message,
        fingerprint: diagnostic.fingerprint(),
        standing: standing.map(|standing| match standing {
            Standing::New => Stands::New,
            Standing::Changed => Stands::Changed,
            Standing::Old => Stands::Old,
        }),
        at: &diagnostic.at,
        about: &diagnostic.about,
        environments,
        labels: diagnostic
            .labels
            .iter()
            .map(|label| place(sources, positions, label))
            .collect(),
        notes: &diagnostic.notes,
        help: diagnostic.help.as_deref(),
        measure: diagnostic.measure.map(|measure| match measure {
            Measure::Seconds(seconds) => Number::Seconds(seconds),
            Measure::Count(count) => Number::Count(count),
        }),
        waived_by: diagnostic.waived_by.as_ref().map(|waived| Accepted {
            waiver: &waived.waiver,
            expiry: waived.expiry.to_string(),
            reason: &waived.reason,
        }),
    }
}

fn place<'a>(sources: &'a SourceSet, positions: &Positions<'_>, label: &'a Label) -> Place<'a> {
    let point = |byte: u32| {
        let Exact {
            line, column, byte, ..
        } = positions.at(label.span.file, byte);
        Point { line, column, byte }
    };
    Place {
        path: sources.path(label.span.file),
        start: point(label.span.start),
        end: point(label.span.end),
        text: &label.text,
    }
}
