//! Owns the form for people: one frame a finding, with the text that is wrong and the text that demanded otherwise.
//! Never wraps or cuts a message. The interesting function is [`render`].

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group as Frame, Level, Renderer, Snippet};
use contract::code::Severity;

use super::{Finding, Group, Report, count, range};
use crate::compare::Standing;
use crate::forecast::Change;
use crate::source::{SourceFile, Span, hidden};

/// How many other findings about the same object are told in full; the rest is counted.
const TOLD_OTHERS: usize = 3;
/// How many causes have a frame; nobody reads more of them, and the rest is counted.
const SHOWN: usize = 200;
/// How many findings that the base had are told to be gone; the rest is counted.
const TOLD_FIXED: usize = 20;
/// How many causes that waivers accept are told; the rest is counted.
const TOLD_WAIVED: usize = 20;
/// What stands before a note: the margin, the bar and its space.
const MARGIN: usize = 6;

/// What the terminal can do.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colours and weights; off for files, pipes and `NO_COLOR`.
    pub styled: bool,
    /// Columns; long source lines are cut to it.
    pub width: usize,
}

/// The whole report, ending with one line that counts errors and warnings.
pub fn render(report: &Report<'_>, look: Look) -> String {
    format!(
        "{}{}{}{}\n{}",
        frames(report, look),
        fixed(report),
        waived(report),
        summary(report),
        until(report)
    )
}

/// What the change mended, a line each.
fn fixed(report: &Report<'_>) -> String {
    let fixed = report.base.iter().flat_map(|base| &base.fixed);
    let mut lines: Vec<String> = fixed
        .clone()
        .take(TOLD_FIXED)
        .map(|finding| {
            let diagnostic = &finding.diagnostic;
            format!("fixed[{}]: {}\n", diagnostic.code, diagnostic.message)
        })
        .collect();
    let more = fixed.count().saturating_sub(TOLD_FIXED);
    if more > 0 {
        lines.push(format!("and {more} more fixed\n"));
    }
    if !lines.is_empty() {
        lines.push("\n".to_owned());
    }
    lines.concat()
}

/// What changes by itself, in the order of dates; below each date the errors that it brings.
fn until(report: &Report<'_>) -> String {
    let Some((until, changes)) = &report.until else {
        return String::new();
    };
    let mut out = format!("\nuntil {until}:\n");
    for Change {
        at,
        what,
        environments,
        errors,
    } in changes
    {
        let names = super::names(environments);
        for what in what {
            let _ = writeln!(out, "{at}  {what} in {names}");
        }
        for error in errors {
            let _ = writeln!(out, "    error[{}]: {}", error.code, error.message);
        }
    }
    let number = |changes: &[Change]| changes.iter().map(|change| change.errors.len()).sum();
    match (changes.len(), number(changes)) {
        (0, _) => out.push_str("nothing changes by itself\n"),
        (_, 0) => out.push_str("nothing becomes an error\n"),
        (_, errors) => {
            let _ = writeln!(out, "{} to come", count(errors, "error"));
        }
    }
    out
}

/// What waivers accept, a line each.
fn waived(report: &Report<'_>) -> String {
    let groups = super::waived(report);
    let mut lines: Vec<String> = groups
        .iter()
        .take(TOLD_WAIVED)
        .map(|(group, waived)| {
            let diagnostic = &group.first.diagnostic;
            let others = match group.others.len() {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            format!(
                "waived[{}]: {}{others}; by `{}` until {}\n",
                diagnostic.code, diagnostic.message, waived.waiver, waived.expiry
            )
        })
        .collect();
    let more = groups.len().saturating_sub(TOLD_WAIVED);
    if more > 0 {
        lines.push(format!("and {more} more waived\n"));
    }
    if !lines.is_empty() {
        lines.push("\n".to_owned());
    }
    lines.concat()
}

/// The frames alone, each followed by an empty line.
pub fn frames(report: &Report<'_>, look: Look) -> String {
    let mut out = String::new();
    let groups = super::open(report);
    for group in groups.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}\n", frame(report, group, look));
    }
    let more = groups.len().saturating_sub(SHOWN);
    if more > 0 {
        let more = count(more, "more cause");
        let _ = writeln!(
            out,
            "{more} not shown: mend these first, or see all with `--format json`\n"
        );
    }
    out
}

/// `3 errors, 1 warning in dev, staging, from 2 causes; 1 new, 3 old, 2 fixed since main (1a2b3c4)`.
pub(super) fn summary(report: &Report<'_>) -> String {
    let errors = report.count(Severity::Error);
    let warnings = report.count(Severity::Warning);
    let told = match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    let told = match report.waived() {
        0 => told,
        waived => format!("{told}, {waived} waived"),
    };
    let told = if report.environments.is_empty() {
        told
    } else {
        format!("{told} in {}", super::names(&report.environments))
    };
    let told = match super::open(report).len() {
        causes if causes == report.findings.len() - report.waived() => told,
        1 => format!("{told}, from one cause"),
        causes => format!("{told}, from {causes} causes"),
    };
    match &report.base {
        None => told,
        Some(base) => format!(
            "{told}; {} since {} ({})",
            standings(report),
            base.revision,
            base.short()
        ),
    }
}

/// `1 new, 3 old, 2 fixed`.
fn standings(report: &Report<'_>) -> String {
    let number = |standing| {
        let stands = |finding: &&Finding| finding.standing() == Some(standing);
        report.findings.iter().filter(stands).count()
    };
    let fixed = report.base.as_ref().map_or(0, |base| base.fixed.len());
    let counts = [
        (number(Standing::New), "new"),
        (number(Standing::Changed), "changed"),
        (number(Standing::Old), "old"),
        (fixed, "fixed"),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(number, word)| *number > 0 || *word != "changed")
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    told.join(", ")
}

/// The frame of one group.
pub(super) fn frame(report: &Report<'_>, group: &Group<'_>, look: Look) -> String {
    let renderer = if look.styled {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .decor_style(DecorStyle::Unicode)
    .term_width(look.width);
    let diagnostic = &group.first.diagnostic;
    let (level, word) = match diagnostic.severity {
        Severity::Error => (Level::ERROR, "error"),
        Severity::Warning => (Level::WARNING, "warning"),
    };
    let level = match group.standing() {
        _ if group.first.is_waived() => Level::NOTE.with_name(format!("waived {word}")),
        Some(standing @ (Standing::New | Standing::Changed)) => {
            level.with_name(format!("{} {word}", standing.word()))
        }
        Some(Standing::Old) | None => level,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.to_string());
    let mut elements: Vec<Element<'_>> = snippets(report, group.first);
    for note in notes(report, group, look.width) {
        elements.push(Level::NOTE.no_name().message(note).into());
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(help.as_str()).into());
    }
    let frame = Frame::with_title(title).elements(elements);
    renderer.render(&[frame])
}

/// All lines below a frame but the help.
pub(super) fn notes(report: &Report<'_>, group: &Group<'_>, width: usize) -> Vec<String> {
    let diagnostic = &group.first.diagnostic;
    diagnostic
        .notes
        .iter()
        .cloned()
        .chain(accepted(group))
        .chain(environments(report, group))
        .chain(before(group))
        .chain(same_cause(group, width))
        .collect()
}

/// Who accepted it, until when and why.
fn accepted(group: &Group<'_>) -> Option<String> {
    let waived = group.first.diagnostic.waived_by.as_ref()?;
    Some(format!(
        "accepted by waiver `{}` until {}: {}",
        waived.waiver, waived.expiry, waived.reason
    ))
}

/// What the base says instead; and how many of several findings the change brought, where it is not all of them.
fn before(group: &Group<'_>) -> Vec<String> {
    let compared = group.first.compared.as_ref();
    let mut notes: Vec<String> = compared
        .and_then(|compared| compared.before.as_ref())
        .map(|before| format!("before: {before}"))
        .into_iter()
        .collect();
    let all = group.all().count();
    let new = |finding: &&Finding| finding.standing() == Some(Standing::New);
    let new = group.all().filter(new).count();
    if new > 0 && new < all {
        notes.push(format!("{new} of the {all} findings of this cause are new"));
    }
    notes
}

/// One snippet a file, in the order in which the labels name files; the first label is the primary one.
fn snippets<'a>(report: &'a Report<'_>, finding: &'a Finding) -> Vec<Element<'a>> {
    let labels = &finding.diagnostic.labels;
    let mut files: Vec<u32> = Vec::new();
    for label in labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
        .into_iter()
        .filter_map(|file| {
            let source = report.sources.files.get(usize::try_from(file).ok()?)?;
            let here = || {
                let labels = labels.iter().enumerate();
                labels.filter(move |(_, label)| label.span.file == file)
            };
            let window = window(source, here().map(|(_, label)| label.span));
            let annotations = here().map(|(index, label)| {
                let kind = if index == 0 {
                    AnnotationKind::Primary
                } else {
                    AnnotationKind::Context
                };
                let text = (!label.text.is_empty()).then_some(label.text.as_str());
                let range = range(source, label.span);
                let range = range.start - window.start..range.end - window.start;
                kind.span(range).label(text)
            });
            let text = source.text.get(window.clone()).unwrap_or_default();
            let above = source.text.get(..window.start).unwrap_or_default();
            Some(
                Snippet::source(hidden::shown(text))
                    .line_start(above.matches('\n').count() + 1)
                    .path(format!("{}{}", report.prefix, source.path))
                    .annotations(annotations)
                    .into(),
            )
        })
        .collect()
}

/// The lines from the first of these places to the last: what is drawn must not cost more the longer the file is.
fn window(source: &SourceFile, spans: impl Iterator<Item = Span>) -> Range<usize> {
    let text = source.text.as_str();
    let (first, last) = spans
        .map(|span| range(source, span))
        .fold((text.len(), 0), |(first, last), range| {
            (first.min(range.start), last.max(range.end))
        });
    let start = text.get(..first).and_then(|above| above.rfind('\n'));
    let end = text.get(last..).and_then(|below| below.find('\n'));
    let start = start.map_or(0, |at| at + 1);
    start..end.map_or(text.len(), |at| last + at).max(start)
}

/// Where the finding holds, unless that is everywhere; and whose numbers are shown where environments differ.
fn environments(report: &Report<'_>, group: &Group<'_>) -> Option<String> {
    let all = group.environments();
    let shown = &group.first.environments;
    if !shown.is_empty() && shown.len() < all.len() {
        return Some(format!(
            "as it is in {}; found in {}",
            super::names(shown),
            super::names(all)
        ));
    }
    let everywhere = all.is_empty() || all.len() == report.environments.len();
    (!everywhere).then(|| format!("in {} only", super::names(all)))
}

/// What else has this cause: other findings about the same object by their message, other objects by their ids. What is
/// said of an object in another environment is the same in other numbers.
fn same_cause(group: &Group<'_>, width: usize) -> Vec<String> {
    let first = object(group.first);
    let (same, others): (Vec<&Finding>, Vec<&Finding>) = group
        .others
        .iter()
        .copied()
        .partition(|other| object(other) == first);
    let mut also: Vec<&str> = Vec::new();
    let here = |finding: &&Finding| {
        let environments = &group.first.environments;
        let shared = |id| environments.contains(id);
        environments.is_empty() || finding.environments.iter().any(shared)
    };
    for other in same.into_iter().filter(here) {
        let message = other.diagnostic.message.as_str();
        if !also.contains(&message) && message != group.first.diagnostic.message {
            also.push(message);
        }
    }
    let mut notes: Vec<String> = also
        .iter()
        .take(TOLD_OTHERS)
        .map(|message| format!("also: {message}"))
        .collect();
    if also.len() > TOLD_OTHERS {
        notes.push(format!("and {} more about it", also.len() - TOLD_OTHERS));
    }
    notes.extend(counted(first, &others, width));
    notes
}

/// The collection and the id of what a finding is about, such as `datasets` and `ds_orders`.
fn object(finding: &Finding) -> (Option<&str>, Option<&str>) {
    let diagnostic = &finding.diagnostic;
    let path = match diagnostic.about.as_slice() {
        [] => diagnostic.at.as_slice(),
        about => about,
    };
    let path = match path {
        [settings, inner @ ..] if settings == "settings" => inner,
        path => path,
    };
    let step = |index: usize| path.get(index).map(String::as_str);
    (step(0), step(1))
}

/// `213 more plans have the same cause: …`, with as many names as fit one line.
fn counted(
    (collection, _): (Option<&str>, Option<&str>),
    others: &[&Finding],
    width: usize,
) -> Option<String> {
    let mut named: Vec<String> = Vec::new();
    for other in others {
        let name = match object(other) {
            (_, Some(id)) => format!("`{id}`"),
            (_, None) => other.diagnostic.message.clone(),
        };
        if !named.contains(&name) {
            named.push(name);
        }
    }
    let foreign = others.iter().any(|other| object(other).0 != collection);
    let word = collection.filter(|_| !foreign).unwrap_or("findings");
    let (word, verb) = match (named.len(), word.strip_suffix('s')) {
        (0, _) => return None,
        (1, Some(singular)) => (singular, "has"),
        (1, None) => (word, "has"),
        _ => (word, "have"),
    };
    let mut line = format!("{} more {word} {verb} the same cause:", named.len());
    for (index, name) in named.iter().enumerate() {
        let comma = if index + 1 < named.len() { "," } else { "" };
        let length = MARGIN + line.chars().count() + name.chars().count() + " , …".len();
        if index > 0 && length > width {
            line.push_str(" …");
            break;
        }
        line.push(' ');
        line.push_str(name);
        line.push_str(comma);
    }
    Some(line)
}
