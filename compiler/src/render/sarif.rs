//! Owns SARIF 2.1.0, the form that code scanning reads: one result a cause, and every rule that was looked for.
//! Never holds a path of the machine or the time of the run. The interesting function is [`render`].

use contract::code::Severity;
use serde_json::{Value, json};

use super::place::{Place, place, primary, uri};
use super::{Check, Finding, Group, Report, group};
use crate::compare::Standing;
use crate::diagnostic::{RuleCode, Waived};
use crate::source::Positions;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// What relative paths start from, in the name that SARIF's own examples use.
const ROOT: &str = "%SRCROOT%";
/// Raised when the same finding gets another fingerprint.
const FINGERPRINT: &str = "seawall/v1";
/// Messages are shown in narrow columns beside code.
const WIDTH: usize = 100;

/// The report as a SARIF log. What a change mended is not in it: readers show every result as a problem that stands.
pub fn render(report: &Report<'_>) -> Value {
    let positions = report.sources.positions();
    let rules = rules(report);
    let mut results: Vec<Value> = Vec::new();
    let mut seen: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for group in &group(&report.findings) {
        let state = group.standing().map(|standing| match standing {
            Standing::New => "new",
            Standing::Changed => "updated",
            Standing::Old => "unchanged",
        });
        results.push(result(report, &positions, &rules, group, state));
    }
    // Two causes can stand at one path of the model; a reader takes one fingerprint for one alert.
    for result in &mut results {
        let Some(Value::String(text)) = result.pointer_mut("/partialFingerprints/seawall~1v1")
        else {
            continue;
        };
        let times = seen.entry(text.clone()).or_default();
        *times += 1;
        if *times > 1 {
            text.push(':');
            text.push_str(&times.to_string());
        }
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "seawall",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            }},
            "automationDetails": { "id": "seawall/check/" },
            "originalUriBaseIds": {
                ROOT: { "description": { "text": "the root of the repository" } },
            },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

/// The rules of the run, and what of the compiler itself was found; in the order of their codes.
fn rules(report: &Report<'_>) -> Vec<Check> {
    let mut rules = report.checks.clone();
    for finding in &report.findings {
        let code = &finding.diagnostic.code;
        if rules.iter().any(|rule| rule.code == *code) {
            continue;
        }
        rules.push(match code {
            RuleCode::Seawall(code) => Check::of(*code),
            RuleCode::Organisation(text) => Check {
                code: code.clone(),
                name: text.clone(),
                folder: String::new(),
                title: text.clone(),
                description: text.clone(),
                severity: finding.diagnostic.severity,
                page: None,
            },
        });
    }
    rules.sort_by_cached_key(|rule| (rule.code.to_string(), rule.folder.clone()));
    rules.dedup_by(|one, other| one.code == other.code);
    rules
}

fn rule(check: &Check) -> Value {
    let page = check.page.as_deref().unwrap_or(&check.description);
    json!({
        "id": check.code.to_string(),
        "name": check.name,
        "shortDescription": { "text": check.title },
        "fullDescription": { "text": check.description },
        "help": { "text": check.description, "markdown": page },
        "defaultConfiguration": { "level": level(check.severity) },
        "properties": { "tags": tags(check) },
    })
}

fn tags(check: &Check) -> Vec<&str> {
    let category = check.category();
    ["recovery"]
        .into_iter()
        .chain((!category.is_empty() && category != "recovery").then_some(category))
        .collect()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn result(
    report: &Report<'_>,
    positions: &Positions<'_>,
    rules: &[Check],
    group: &Group<'_>,
    state: Option<&str>,
) -> Value {
    let diagnostic = &group.first.diagnostic;
    let index = rules.iter().position(|rule| rule.code == diagnostic.code);
    let mut result = json!({
        "ruleId": diagnostic.code.to_string(),
        "ruleIndex": index,
        "level": level(diagnostic.severity),
        "message": { "text": message(report, group) },
        "locations": [location(&primary(report, positions, group.first))],
        "partialFingerprints": { FINGERPRINT: diagnostic.fingerprint() },
        "properties": { "environments": group.environments() },
    });
    let related = related(report, positions, group.first);
    if let Some(fields) = result.as_object_mut() {
        if !related.is_empty() {
            fields.insert("relatedLocations".to_owned(), Value::Array(related));
        }
        if let Some(waived) = &diagnostic.waived_by {
            fields.insert(
                "suppressions".to_owned(),
                json!([suppression(report, positions, waived)]),
            );
        }
        if let Some(state) = state {
            fields.insert("baselineState".to_owned(), state.into());
        }
    }
    result
}

/// A waiver: a decision that stands elsewhere than the place, signed with the bundle.
fn suppression(report: &Report<'_>, positions: &Positions<'_>, waived: &Waived) -> Value {
    let mut suppression = json!({
        "kind": "external",
        "status": "accepted",
        "justification": waived.reason,
        "properties": { "waiver": waived.waiver, "expiry": waived.expiry.to_string() },
    });
    let place = waived.span.and_then(|span| place(report, positions, span));
    if let (Some(place), Some(fields)) = (place, suppression.as_object_mut()) {
        fields.insert("location".to_owned(), location(&place));
    }
    suppression
}

/// The message, what else is known, and what to do, a line each.
fn message(report: &Report<'_>, group: &Group<'_>) -> String {
    let diagnostic = &group.first.diagnostic;
    let mut lines = vec![diagnostic.message.clone()];
    lines.extend(report.notes(group, WIDTH));
    lines.extend(diagnostic.help.iter().map(|help| format!("help: {help}")));
    lines.join("\n")
}

/// The second place and those after it, each with what it has to do with the finding.
fn related(report: &Report<'_>, positions: &Positions<'_>, finding: &Finding) -> Vec<Value> {
    let others = finding.diagnostic.labels.iter().skip(1);
    others
        .filter_map(|label| Some((label, place(report, positions, label.span)?)))
        .enumerate()
        .map(|(index, (label, place))| {
            let mut related = location(&place);
            if let Some(fields) = related.as_object_mut() {
                fields.insert("id".to_owned(), (index + 1).into());
                if !label.text.is_empty() {
                    fields.insert("message".to_owned(), json!({ "text": label.text }));
                }
            }
            related
        })
        .collect()
}

fn location(place: &Place) -> Value {
    let mut physical = json!({
        "artifactLocation": { "uri": uri(&place.path), "uriBaseId": ROOT },
    });
    if let (Some((start, end)), Some(fields)) = (place.region, physical.as_object_mut()) {
        let region = json!({
            "startLine": start.line,
            "startColumn": start.utf16,
            "endLine": end.line,
            "endColumn": end.utf16,
        });
        fields.insert("region".to_owned(), region);
    }
    json!({ "physicalLocation": physical })
}
