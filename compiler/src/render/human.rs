//! Owns the form for people: one frame a finding, with the text that is wrong and the text that demanded otherwise.
//! Never wraps or cuts a message. The interesting function is [`render`].

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group as Frame, Level, Renderer, Snippet};
use contract::code::Severity;

use super::{Finding, Group, Report};
use crate::source::{SourceFile, Span};

/// How many other findings about the same object are told in full; the rest is counted.
const TOLD_OTHERS: usize = 3;
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
    let frames = frames(report, look);
    format!("{frames}{}\n", summary(report))
}

/// The frames alone, each followed by an empty line.
pub fn frames(report: &Report<'_>, look: Look) -> String {
    let renderer = if look.styled {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .decor_style(DecorStyle::Unicode)
    .term_width(look.width);
    let mut out = String::new();
    for group in super::group(&report.findings) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}\n", frame(report, &group, look, &renderer));
    }
    out
}

/// `3 errors, 1 warning in dev, staging, from 2 causes`.
fn summary(report: &Report<'_>) -> String {
    let errors = report.count(Severity::Error);
    let warnings = report.count(Severity::Warning);
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let told = match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    let told = if report.environments.is_empty() {
        told
    } else {
        format!("{told} in {}", super::names(&report.environments))
    };
    match super::group(&report.findings).len() {
        causes if causes == report.findings.len() => told,
        1 => format!("{told}, from one cause"),
        causes => format!("{told}, from {causes} causes"),
    }
}

fn frame(report: &Report<'_>, group: &Group<'_>, look: Look, renderer: &Renderer) -> String {
    let diagnostic = &group.first.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.to_string());
    let mut elements: Vec<Element<'_>> = snippets(report, group.first);
    for note in diagnostic
        .notes
        .iter()
        .cloned()
        .chain(environments(report, group))
        .chain(same_cause(group, look.width))
    {
        elements.push(Level::NOTE.no_name().message(note).into());
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(help.as_str()).into());
    }
    let frame = Frame::with_title(title).elements(elements);
    renderer.render(&[frame])
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
            let annotations = labels
                .iter()
                .enumerate()
                .filter(|(_, label)| label.span.file == file)
                .map(|(index, label)| {
                    let kind = if index == 0 {
                        AnnotationKind::Primary
                    } else {
                        AnnotationKind::Context
                    };
                    let text = (!label.text.is_empty()).then_some(label.text.as_str());
                    kind.span(range(source, label.span)).label(text)
                });
            Some(
                Snippet::source(source.text.as_str())
                    .path(format!("{}{}", report.prefix, source.path))
                    .annotations(annotations)
                    .into(),
            )
        })
        .collect()
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
        .and_then(|part| part.find('\n'))
        .map_or(end, |length| start + length);
    start..line_end
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
