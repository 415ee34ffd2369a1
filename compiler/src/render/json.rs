//! Owns the form for programs: one JSON document whose `version` changes when a reader must change.
//! Never groups findings; every one stands for itself. The interesting function is [`render`].

use contract::code::Severity;
use serde_json::{Value, json};

use super::{Finding, Report, position};
use crate::diagnostic::{Label, RuleCode};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
pub const VERSION: u32 = 1;

/// The report as a JSON document: `version`, `environments`, `findings` in their order, `summary`.
pub fn render(report: &Report<'_>) -> Value {
    json!({
        "version": VERSION,
        "environments": report.environments,
        "findings": report.findings.iter().map(|finding| one(report, finding)).collect::<Vec<_>>(),
        "summary": {
            "errors": report.count(Severity::Error),
            "warnings": report.count(Severity::Warning),
        },
    })
}

fn one(report: &Report<'_>, finding: &Finding) -> Value {
    let diagnostic = &finding.diagnostic;
    let name = match &diagnostic.code {
        RuleCode::Seawall(code) => Some(code.name()),
        RuleCode::Organisation(_) => None,
    };
    json!({
        "code": diagnostic.code.to_string(),
        "name": name,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "fingerprint": diagnostic.fingerprint(),
        "at": diagnostic.at,
        "environments": finding.environments,
        "labels": diagnostic.labels.iter().map(|place| label(report, place)).collect::<Vec<_>>(),
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    })
}

/// Lines and columns count from 1, columns in characters; bytes count from 0; `end` is the place after the last one.
fn label(report: &Report<'_>, label: &Label) -> Value {
    let file = usize::try_from(label.span.file)
        .ok()
        .and_then(|index| report.sources.files.get(index));
    let place = |byte: u32| {
        let (line, column) = position(file.map_or("", |file| file.text.as_str()), byte);
        json!({ "line": line, "column": column, "byte": byte })
    };
    json!({
        "path": file.map(|file| file.path.as_str()),
        "start": place(label.span.start),
        "end": place(label.span.end),
        "text": label.text,
    })
}
