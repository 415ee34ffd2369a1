//! Owns the form for people: one frame a finding, with the text that is wrong and the text that demanded otherwise.
//! Never wraps or cuts a message. The interesting function is [`render`].

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group as Frame, Level, Renderer, Snippet};
use contract::code::Severity;

use super::{Finding, Group, Report};
use crate::source::{SourceFile, Span};

/// How many other objects with the same cause are named; the rest is counted.
const NAMED_OTHERS: usize = 3;

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
        let _ = writeln!(out, "{}\n", frame(report, &group, &renderer));
    }
    out
}

/// `2 errors, 1 warning in dev, staging`.
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
    if report.environments.is_empty() {
        told
    } else {
        format!("{told} in {}", super::names(&report.environments))
    }
}

fn frame(report: &Report<'_>, group: &Group<'_>, renderer: &Renderer) -> String {
    let diagnostic = &group.first.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.to_string());
    let mut elements: Vec<Element<'_>> = snippets(report, group.first);
    let environment = (group.first.environments.len() < report.environments.len()
        && !group.first.environments.is_empty())
    .then(|| format!("in {} only", super::names(&group.first.environments)));
    for note in diagnostic
        .notes
        .iter()
        .cloned()
        .chain(environment)
        .chain(same_cause(group))
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

/// What else has this cause: other findings about the same object by their message, other objects by their ids.
fn same_cause(group: &Group<'_>) -> Vec<String> {
    let first = &group.first.diagnostic;
    let (same, others): (Vec<&Finding>, Vec<&Finding>) = group
        .others
        .iter()
        .copied()
        .partition(|other| other.diagnostic.at == first.at);
    let mut notes: Vec<String> = same
        .iter()
        .take(NAMED_OTHERS)
        .map(|other| format!("also: {}", other.diagnostic.message))
        .collect();
    if same.len() > NAMED_OTHERS {
        notes.push(format!("and {} more about it", same.len() - NAMED_OTHERS));
    }
    notes.extend(counted(first.at.first(), &others));
    notes
}

/// `213 more plans have the same cause: …`
fn counted(collection: Option<&String>, others: &[&Finding]) -> Option<String> {
    let mut ids: Vec<String> = Vec::new();
    for other in others {
        let diagnostic = &other.diagnostic;
        let named = match diagnostic.at.get(1) {
            Some(id) => format!("`{id}`"),
            None => diagnostic.message.clone(),
        };
        if !ids.contains(&named) {
            ids.push(named);
        }
    }
    let foreign = others
        .iter()
        .any(|other| other.diagnostic.at.first() != collection);
    let word = collection
        .filter(|_| !foreign)
        .map_or("findings", String::as_str);
    let (word, verb) = match (ids.len(), word.strip_suffix('s')) {
        (0, _) => return None,
        (1, Some(singular)) => (singular, "has"),
        (1, None) => (word, "has"),
        _ => (word, "have"),
    };
    let rest = if ids.len() > NAMED_OTHERS { " …" } else { "" };
    let named = ids.get(..NAMED_OTHERS).unwrap_or(&ids).join(", ");
    let count = ids.len();
    Some(format!(
        "{count} more {word} {verb} the same cause: {named}{rest}"
    ))
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
