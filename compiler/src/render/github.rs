//! Owns workflow commands, by which GitHub shows findings at the lines of a pull request: ranked, and no more than it
//! shows. What is left over is handed back as Markdown. The interesting function is [`render`].

use std::fmt::Write as _;

use super::place::primary;
use super::{Group, Report, count, human, markdown, name, ranked};
use crate::source::Positions;

/// GitHub shows this many annotations of one level from one step, and 50 from one run; both levels together stay below.
const SHOWN: usize = 10;
/// Annotations are shown in narrow boxes.
const WIDTH: usize = 100;

/// What goes to the log, and what to the step summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// One workflow command a line, then one line that counts.
    pub commands: String,
    /// Markdown for the findings that have no annotation; absent when all have one.
    pub rest: Option<String>,
}

/// The annotations of a report.
pub fn render(report: &Report<'_>) -> Annotations {
    let positions = report.sources.positions();
    let mut commands = String::new();
    let mut shown = [0_usize; 2];
    let mut rest = Vec::new();
    for group in ranked(report) {
        let stops = group.stops(report.gate);
        let [warnings, errors] = &mut shown;
        let number = if stops { errors } else { warnings };
        if *number == SHOWN {
            rest.push(group);
            continue;
        }
        *number += 1;
        commands.push_str(&command(report, &positions, &group, stops));
        commands.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = writeln!(commands, "{}", human::summary(report));
    if !rest.is_empty() {
        let _ = writeln!(
            commands,
            "{} not annotated: GitHub shows {SHOWN} errors and {SHOWN} warnings of a step",
            count(rest.len(), "more cause")
        );
    }
    Annotations {
        commands,
        rest: (!rest.is_empty()).then(|| markdown::rest(report, &rest)),
    }
}

/// What makes the command fail is an error, all else a warning.
fn command(
    report: &Report<'_>,
    positions: &Positions<'_>,
    group: &Group<'_>,
    stops: bool,
) -> String {
    let diagnostic = &group.first.diagnostic;
    let place = primary(report, positions, group.first);
    let mut properties = vec![("file", place.path)];
    if let Some((start, end)) = place.region {
        properties.push(("line", start.line.to_string()));
        properties.push(("endLine", end.line.to_string()));
        properties.push(("col", start.utf16.to_string()));
        properties.push(("endColumn", end.utf16.to_string()));
    }
    let standing = group
        .standing()
        .map_or(String::new(), |standing| format!(" ({})", standing.word()));
    let title = format!("{} {}", diagnostic.code, name(report, &diagnostic.code));
    properties.push(("title", format!("{}{standing}", title.trim_end())));
    let properties: Vec<String> = properties
        .iter()
        .map(|(key, value)| format!("{key}={}", property(value)))
        .collect();
    let mut lines = vec![diagnostic.message.clone()];
    lines.extend(report.notes(group, WIDTH));
    lines.extend(diagnostic.help.iter().map(|help| format!("help: {help}")));
    let word = if stops { "error" } else { "warning" };
    format!(
        "::{word} {}::{}",
        properties.join(","),
        data(&lines.join("\n"))
    )
}

/// The text of a command: what would end or fake a line is escaped, as the runner undoes it.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a command; it must not end the property either.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_command_or_a_property() {
        assert_eq!(data("50 %\r\n::error::x"), "50 %25%0D%0A::error::x");
        assert_eq!(property("a,b::c%2C\n"), "a%2Cb%3A%3Ac%252C%0A");
    }
}
