//! Owns the Markdown form: a comment on a pull request with a summary, a table and a frame for each cause, never longer
//! than GitHub takes. Values of users are text, never markup. The interesting function is [`render`].

use std::fmt::Write as _;

use super::human::{self, Look};
use super::{Group, Report, count, name, ranked};
use crate::compare::Standing;
use crate::diagnostic::RuleCode;

/// By this first line a later run finds its own comment.
pub const MARKER: &str = "<!-- seawall check -->";
/// GitHub takes 65,536 characters; this leaves room for the lines that say what was left out.
const MAX: usize = 64_000;
/// The table gets less than half, so that frames have room too.
const MAX_TABLE: usize = 24_000;
/// Findings of the base that are gone, told by name.
const TOLD_FIXED: usize = 50;
const LOOK: Look = Look {
    styled: false,
    width: 110,
};

/// The whole comment.
pub fn render(report: &Report<'_>) -> String {
    let groups = ranked(report);
    let icon = match (report.stopping(), report.findings.len() - report.waived()) {
        (0, 0) => "✅",
        (0, _) => "⚠️",
        _ => "❌",
    };
    let mut out = format!(
        "{MARKER}\n### {icon} seawall check\n\n{}\n",
        inline(&human::summary(report))
    );
    let fixed = fixed(report);
    let (old, shown): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|group| group.standing() == Some(Standing::Old));
    body(&mut out, report, &shown, fixed.len());
    if !old.is_empty() {
        let room = MAX.saturating_sub(size(&out) + size(&fixed));
        let rows = table(report, &old, room.min(MAX_TABLE));
        let title = format!("{} that stood before", count(old.len(), "cause"));
        let _ = write!(
            out,
            "\n<details><summary>{title}</summary>\n\n{rows}\n</details>\n"
        );
    }
    out.push_str(&waived(
        report,
        MAX.saturating_sub(size(&out) + size(&fixed)),
    ));
    out.push_str(&fixed);
    out
}

/// What waivers accept, as many lines as there is room for.
fn waived(report: &Report<'_>, room: usize) -> String {
    let groups = super::waived(report);
    if groups.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "\n<details><summary>{} waived</summary>\n\n",
        count(report.waived(), "finding")
    );
    let mut left_out = 0;
    for (group, waived) in groups {
        let diagnostic = &group.first.diagnostic;
        let row = format!(
            "- {} {}; by {} until {}: {}\n",
            code_name(&diagnostic.code),
            inline(&diagnostic.message),
            code(&waived.waiver),
            waived.expiry,
            inline(&waived.reason),
        );
        if size(&out) + size(&row) + 100 > room {
            left_out += 1;
            continue;
        }
        out.push_str(&row);
    }
    if left_out > 0 {
        let _ = writeln!(out, "- and {left_out} more");
    }
    out.push_str("\n</details>\n");
    out
}

/// What a step's annotations had no room for.
pub fn rest(report: &Report<'_>, groups: &[Group<'_>]) -> String {
    let mut out = format!(
        "### seawall check: {} without annotation\n",
        count(groups.len(), "cause")
    );
    body(&mut out, report, groups, 0);
    out
}

/// A table of all groups, then a frame for each, as many as there is room for beside `reserved` characters.
fn body(out: &mut String, report: &Report<'_>, groups: &[Group<'_>], reserved: usize) {
    if groups.is_empty() {
        return;
    }
    let _ = write!(out, "\n{}", table(report, groups, MAX_TABLE));
    let mut left_out = 0;
    for group in groups {
        let details = details(report, group);
        if left_out > 0 || size(out) + size(&details) + reserved > MAX {
            left_out += 1;
            continue;
        }
        out.push_str(&details);
    }
    if left_out > 0 {
        let _ = write!(
            out,
            "\n{} left out here for want of room: `seawall check` shows all\n",
            count(left_out, "frame")
        );
    }
}

fn table(report: &Report<'_>, groups: &[Group<'_>], room: usize) -> String {
    let base = report.base.is_some();
    let mut out = if base {
        "| | | code | finding | where |\n|---|---|---|---|---|\n".to_owned()
    } else {
        "| | code | finding | where |\n|---|---|---|---|\n".to_owned()
    };
    let positions = report.sources.positions();
    let mut left_out = 0;
    for group in groups {
        let diagnostic = &group.first.diagnostic;
        let place = diagnostic.labels.first().map_or(String::new(), |label| {
            let path = report.sources.path(label.span.file);
            let line = positions.at(label.span.file, label.span.start).line;
            code(&format!("{}{path}:{line}", report.root))
        });
        let standing = match group.standing() {
            Some(standing) if base => format!("{} | ", standing.word()),
            Some(_) | None => String::new(),
        };
        let icon = if group.stops(report.gate) {
            "❌"
        } else {
            "⚠️"
        };
        let others = match group.others.len() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let row = format!(
            "| {icon} | {standing}{} | {}{others} | {} |\n",
            code_name(&diagnostic.code),
            cell(&inline(&diagnostic.message)),
            cell(&place),
        );
        if left_out > 0 || size(&out) + size(&row) > room {
            left_out += 1;
            continue;
        }
        out.push_str(&row);
    }
    if left_out > 0 {
        let _ = write!(
            out,
            "\n{} left out of the table for want of room\n",
            count(left_out, "row")
        );
    }
    out
}

fn details(report: &Report<'_>, group: &Group<'_>) -> String {
    let diagnostic = &group.first.diagnostic;
    let frame = human::frame(report, group, LOOK);
    let fence = "`".repeat(longest_run(&frame).max(2) + 1);
    let title = format!("{} {}", diagnostic.code, name(report, &diagnostic.code));
    format!(
        "\n<details><summary><code>{}</code> {}</summary>\n\n{fence}text\n{}\n{fence}\n\n</details>\n",
        html(title.trim_end()),
        summary(&diagnostic.message),
        frame.trim_end()
    )
}

/// Findings of the base that are gone.
fn fixed(report: &Report<'_>) -> String {
    let Some(base) = report.base.as_ref().filter(|base| !base.fixed.is_empty()) else {
        return String::new();
    };
    let mut out = format!(
        "\n<details><summary>{} fixed</summary>\n\n",
        count(base.fixed.len(), "finding")
    );
    for finding in base.fixed.iter().take(TOLD_FIXED) {
        let diagnostic = &finding.diagnostic;
        let message: String = diagnostic.message.chars().take(300).collect();
        let _ = writeln!(
            out,
            "- {} {}",
            code_name(&diagnostic.code),
            inline(&message)
        );
    }
    if base.fixed.len() > TOLD_FIXED {
        let _ = writeln!(out, "- and {} more", base.fixed.len() - TOLD_FIXED);
    }
    out.push_str("\n</details>\n");
    out
}

fn code_name(of: &RuleCode) -> String {
    code(&of.to_string())
}

/// In UTF-16 code units: never fewer than whatever GitHub counts.
fn size(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0)
}

/// A code span around any text.
pub fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    match longest_run(&text) {
        0 => format!("`{text}`"),
        run => {
            let fence = "`".repeat(run + 1);
            format!("{fence} {text} {fence}")
        }
    }
}

/// The parts of a message in turn: text, what stands in backticks, text … A message with a stray backtick is all text.
fn parts(message: &str) -> Vec<(bool, &str)> {
    let parts: Vec<&str> = message.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return vec![(false, message)];
    }
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| (index % 2 == 1, part))
        .collect()
}

/// A message as Markdown of one line. Its backticks are kept; whatever else could be markup, a mention or a reference is
/// plain text.
pub fn inline(message: &str) -> String {
    let mut out = String::new();
    for (is_code, part) in parts(message) {
        if is_code && !part.trim().is_empty() {
            out.push_str(&code(part));
        } else {
            plain(&mut out, part);
        }
    }
    out
}

fn plain(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '@' | '#' => {
                out.push(character);
                // Nobody is called and nothing is linked across this.
                out.push('\u{200b}');
            }
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '!' | '|' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
}

/// A message inside of HTML.
fn summary(message: &str) -> String {
    let mut out = String::new();
    for (is_code, part) in parts(message) {
        if is_code {
            let _ = write!(out, "<code>{}</code>", html(part));
        } else {
            let part = part.replace('@', "@\u{200b}").replace('#', "#\u{200b}");
            out.push_str(&html(&part));
        }
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace(['\n', '\r'], " ")
}

/// A cell of a table: a bar ends it even inside of code.
pub fn cell(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut before = ' ';
    for character in markdown.chars() {
        if character == '|' && before != '\\' {
            out.push('\\');
        }
        out.push(character);
        before = character;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_and_never_markup() {
        assert_eq!(
            inline("`ds_a` is <img src=x> **b** @you #1 [x](y) a|b\n"),
            "`ds_a` is &lt;img src=x&gt; \\*\\*b\\*\\* @\u{200b}you #\u{200b}1 \\[x\\](y) a\\|b "
        );
        assert_eq!(inline("a ` stray @x"), "a \\` stray @\u{200b}x");
        assert_eq!(cell(&inline("`a|b` c|d")), "`a\\|b` c\\|d");
        assert_eq!(code("a``b"), "``` a``b ```");
        assert_eq!(
            summary("`<b>` & @you"),
            "<code>&lt;b&gt;</code> &amp; @\u{200b}you"
        );
    }
}
