//! Owns the JUnit form: one suite an environment, one case a rule, so that what passed is seen too. A rule that did not
//! run is skipped or in error, never passed. The interesting function is [`render`].

use std::fmt::Write as _;

use contract::code::Severity;
use contract::id::EnvironmentId;

use super::human::{self, Look};
use super::{Check, Finding, Report, count, group};
use crate::diagnostic::{Diagnostic, RuleCode};

const LOOK: Look = Look {
    styled: false,
    width: 100,
};

/// How a case ended.
enum Outcome<'a> {
    Passed,
    Warned(Vec<&'a Finding>),
    Failed(Vec<&'a Finding>),
    /// It did not run, and a finding says why.
    Broken(Vec<&'a Finding>),
    /// All that it found is accepted by waivers.
    Waived(Vec<&'a Finding>),
    Skipped,
}

/// One line of a suite.
struct Case<'a> {
    class: String,
    name: String,
    outcome: Outcome<'a>,
}

/// The report as a JUnit document.
pub fn render(report: &Report<'_>) -> String {
    let mut body = String::new();
    let mut totals = [0; 4];
    let suites: Vec<Option<&EnvironmentId>> = if report.environments.is_empty() {
        vec![None]
    } else {
        report.environments.iter().map(Some).collect()
    };
    for environment in suites {
        let cases = cases(report, environment);
        let counts = counts(&cases);
        for (total, number) in totals.iter_mut().zip(counts) {
            *total += number;
        }
        let name = environment.map_or("policy", EnvironmentId::as_str);
        // Writing to a string cannot fail.
        let _ = writeln!(
            body,
            "  <testsuite name=\"{}\" {}>",
            text(name),
            attributes(counts)
        );
        for case in &cases {
            write_case(&mut body, report, case);
        }
        body.push_str("  </testsuite>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"seawall check\" {}>\n{body}</testsuites>\n",
        attributes(totals)
    )
}

fn attributes([tests, failures, errors, skipped]: [usize; 4]) -> String {
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
}

/// Tests, failures, errors, skipped.
fn counts(cases: &[Case<'_>]) -> [usize; 4] {
    let number = |wanted: fn(&Outcome<'_>) -> bool| {
        cases.iter().filter(|case| wanted(&case.outcome)).count()
    };
    [
        cases.len(),
        number(|outcome| matches!(outcome, Outcome::Failed(_))),
        number(|outcome| matches!(outcome, Outcome::Broken(_))),
        number(|outcome| matches!(outcome, Outcome::Skipped | Outcome::Waived(_))),
    ]
}

/// First whether the tree compiles, then each rule in the order of the codes.
fn cases<'a>(report: &'a Report<'_>, environment: Option<&EnvironmentId>) -> Vec<Case<'a>> {
    let here = |finding: &&Finding| environment.is_none_or(|id| finding.holds_in(id));
    let findings: Vec<&Finding> = report.findings.iter().filter(here).collect();
    let unjudged = environment.is_none_or(|id| report.unjudged.contains(id));
    let own = |check: &Check, finding: &Finding| finding.diagnostic.code == check.code;
    let about = |check: &Check, diagnostic: &Diagnostic| match diagnostic.at.as_slice() {
        [rules, folder, ..] => rules == "rules" && *folder == check.folder,
        _ => false,
    };
    let mut rest = findings.clone();
    let mut cases = Vec::new();
    for check in &report.checks {
        let (found, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|finding| own(check, finding) || about(check, &finding.diagnostic));
        rest = others;
        let broken = found.iter().any(|finding| !own(check, finding));
        let outcome = if broken {
            Outcome::Broken(found)
        } else if unjudged {
            Outcome::Skipped
        } else {
            outcome(report, found)
        };
        cases.push(Case {
            class: format!("seawall.{}", check.category()),
            name: format!("{} {}", check.code, check.name),
            outcome,
        });
    }
    let compiles = Case {
        class: "seawall.compiler".to_owned(),
        name: "the tree compiles".to_owned(),
        outcome: outcome(report, rest),
    };
    cases.insert(0, compiles);
    cases
}

fn outcome<'a>(report: &Report<'_>, found: Vec<&'a Finding>) -> Outcome<'a> {
    if found.is_empty() {
        Outcome::Passed
    } else if found.iter().all(|finding| finding.is_waived()) {
        Outcome::Waived(found)
    } else if found.iter().any(|finding| report.gate.stops(finding)) {
        Outcome::Failed(found)
    } else {
        Outcome::Warned(found)
    }
}

fn write_case(out: &mut String, report: &Report<'_>, case: &Case<'_>) {
    let open = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        text(&case.class),
        text(&case.name)
    );
    // Writing to a string cannot fail.
    let _ = match &case.outcome {
        Outcome::Passed => writeln!(out, "{open}/>"),
        Outcome::Skipped => writeln!(
            out,
            "{open}>\n      <skipped message=\"the tree gives no model, so the rule did not run\"/>\n    </testcase>"
        ),
        Outcome::Waived(found) => writeln!(
            out,
            "{open}>\n      <skipped message=\"accepted by {}\"/>\n      <system-out>{}</system-out>\n    </testcase>",
            text(&waivers(found)),
            text(&frames(report, found))
        ),
        Outcome::Warned(found) => writeln!(
            out,
            "{open}>\n      <system-out>{}</system-out>\n    </testcase>",
            text(&frames(report, found))
        ),
        Outcome::Failed(found) => failed(out, &open, "failure", report, found),
        Outcome::Broken(found) => failed(out, &open, "error", report, found),
    };
}

fn failed(
    out: &mut String,
    open: &str,
    element: &str,
    report: &Report<'_>,
    found: &[&Finding],
) -> std::fmt::Result {
    let stopping = found.iter().find(|finding| report.gate.stops(finding));
    let Some(first) = stopping.or(found.first()) else {
        return Ok(());
    };
    let message = match found.len() - 1 {
        0 => first.diagnostic.message.clone(),
        more => format!(
            "{} (and {})",
            first.diagnostic.message,
            count(more, "more finding")
        ),
    };
    let kind = match (&first.diagnostic.code, first.diagnostic.severity) {
        (RuleCode::Seawall(code), _) => code.to_string(),
        (RuleCode::Organisation(code), Severity::Error | Severity::Warning) => code.clone(),
    };
    writeln!(
        out,
        "{open}>\n      <{element} type=\"{}\" message=\"{}\">{}</{element}>\n    </testcase>",
        text(&kind),
        text(&message),
        text(&frames(report, found))
    )
}

/// ``waiver `wv_a` until 2027-01-01T00:00:00Z``, each once.
fn waivers(found: &[&Finding]) -> String {
    let waived = found.iter().filter_map(|f| f.diagnostic.waived_by.as_ref());
    let told: std::collections::BTreeSet<String> = waived
        .map(|waived| format!("waiver `{}` until {}", waived.waiver, waived.expiry))
        .collect();
    told.into_iter().collect::<Vec<_>>().join(", ")
}

/// The frames of these findings, one a cause.
fn frames(report: &Report<'_>, found: &[&Finding]) -> String {
    let own: Vec<Finding> = found.iter().map(|finding| (*finding).clone()).collect();
    let frames: Vec<String> = group(&own)
        .iter()
        .map(|group| human::frame(report, group, LOOK))
        .collect();
    frames.join("\n\n")
}

/// Text for elements and attributes. Characters that XML 1.0 has no way to write become U+FFFD; line ends and tabs are
/// kept, and written so that attributes keep them too.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for character in raw.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push('\n'),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_has_no_way_to_write_is_replaced() {
        assert_eq!(
            text("a<b> & \"c\"\u{1b}[1m\u{0}\u{b}\u{fffe}\td\r\n𝄞\u{7f}"),
            "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}[1m\u{fffd}\u{fffd}\u{fffd}&#9;d&#13;\n𝄞\u{7f}"
        );
    }
}
