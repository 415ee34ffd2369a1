//! Owns the words for what a schema refuses: the validator's errors become findings with places, one a cause. Never
//! shows a schema's own words. The function is [`findings`].

use std::collections::BTreeSet;

use contract::code::{self, Code};
use contract::duration::Seconds;
use jsonschema::error::ValidationErrorKind as Refused;
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde_json::Value as Json;

use super::format;
use super::shape::{Field, Scalar, Shape};
use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::{Mapping, Node, Value};
use crate::source::Span;

/// The findings of a document against its schema, in the order in which the validator met them.
pub fn findings(
    validator: &Validator,
    shape: &Shape,
    kind: Kind,
    root: &Node,
    at: &[String],
) -> Vec<Diagnostic> {
    let json = root.to_json();
    if !root.has_refused() && validator.is_valid(&json) {
        return Vec::new();
    }
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for error in validator.iter_errors(&json) {
        let path: Vec<String> = error
            .instance_path()
            .iter()
            .map(|segment| match segment {
                LocationSegment::Property(name) => name.into_owned(),
                LocationSegment::Index(index) => index.to_string(),
            })
            .collect();
        let Some(place) = Place::find(root, shape, &path) else {
            continue;
        };
        if place.node.value == Value::Refused {
            continue;
        }
        for finding in explain(&error, &place, kind, at) {
            // A bad id breaks its pattern and its format: one place, one finding.
            if told.insert((
                finding.labels.first().map(|label| label.span),
                finding.at.clone(),
            )) {
                found.push(finding);
            }
        }
    }
    found
}

/// Where in a document an error lies.
struct Place<'a> {
    node: &'a Node,
    shape: &'a Shape,
    path: Vec<String>,
}

impl<'a> Place<'a> {
    fn find(root: &'a Node, shape: &'a Shape, path: &[String]) -> Option<Self> {
        let mut place = Self {
            node: root,
            shape,
            path: path.to_vec(),
        };
        for step in path {
            (place.node, place.shape) = match &place.node.value {
                Value::Mapping(mapping) => (
                    mapping.get(step)?,
                    place
                        .shape
                        .field(step)
                        .map_or(&Shape::Anything, |field| &field.shape),
                ),
                Value::List(items) => {
                    let index: usize = step.parse().ok()?;
                    let shape = match place.shape {
                        Shape::List { items, .. } => items,
                        Shape::Mapping(_)
                        | Shape::Scalar(_)
                        | Shape::Policy { .. }
                        | Shape::Anything => &Shape::Anything,
                    };
                    (items.get(index)?, shape)
                }
                Value::Null
                | Value::Flag(_)
                | Value::Integer(_)
                | Value::Text(_)
                | Value::Refused => return None,
            };
        }
        Some(place)
    }

    /// The nearest field name on the path, for messages.
    fn name(&self) -> &str {
        self.path
            .iter()
            .rev()
            .find(|step| step.parse::<usize>().is_err())
            .map_or("document", String::as_str)
    }

    fn finding(&self, code: Code, message: String, span: Span, at: &[String]) -> Diagnostic {
        Diagnostic::error(code, message)
            .label(span, "")
            .at(at.iter().chain(&self.path).cloned())
    }
}

fn explain(
    error: &ValidationError<'_>,
    place: &Place<'_>,
    kind: Kind,
    at: &[String],
) -> Vec<Diagnostic> {
    let name = place.name();
    let span = place.node.span;
    let one = |code, message: String, help: String| {
        vec![place.finding(code, message, span, at).help(help)]
    };
    match error.kind() {
        Refused::AdditionalProperties { unexpected } => unknown_fields(unexpected, place, kind, at),
        Refused::Required { property } => missing_field(property, place, kind, at),
        Refused::Type { .. } => wrong_type(place, at),
        Refused::Enum { options } => wrong_word(options, place, at),
        Refused::Format { format } => {
            match place.node.text().map(|text| format::check(format, text)) {
                Some(Err(refusal)) => {
                    let help = match place.shape {
                        Shape::Policy { .. } if format != "reference" => {
                            let joint = if refusal.help.ends_with('?') {
                                " Or write"
                            } else {
                                ", or write"
                            };
                            format!("{}{joint} {}", refusal.help, place.shape.words())
                        }
                        Shape::Policy { .. }
                        | Shape::Mapping(_)
                        | Shape::List { .. }
                        | Shape::Scalar(_)
                        | Shape::Anything => refusal.help,
                    };
                    one(refusal.code, refusal.message, help)
                }
                Some(Ok(())) | None => Vec::new(),
            }
        }
        Refused::Pattern { .. } => match place.node.text().map(|text| format::check("id", text)) {
            Some(Err(refusal)) => one(refusal.code, refusal.message, refusal.help),
            Some(Ok(())) | None => one(
                code::WRONG_TYPE,
                format!("`{name}` has not the form it needs"),
                format!("write {}", place.shape.words()),
            ),
        },
        Refused::Minimum { limit } | Refused::ExclusiveMinimum { limit } => one(
            code::WRONG_TYPE,
            format!("`{name}` is below {limit}"),
            format!("write {limit} or more"),
        ),
        Refused::Maximum { limit } | Refused::ExclusiveMaximum { limit } => one(
            code::WRONG_TYPE,
            format!("`{name}` is above {limit}"),
            format!("write {limit} or less"),
        ),
        Refused::MinItems { .. } | Refused::MinProperties { .. } => one(
            code::WRONG_TYPE,
            format!("`{name}` is empty"),
            "name at least one".to_owned(),
        ),
        Refused::MinLength { .. } => one(
            code::WRONG_TYPE,
            format!("`{name}` is empty"),
            "write some text".to_owned(),
        ),
        Refused::UniqueItems => repeated(place, at),
        // No other keyword stands in our schemas; should one appear, the place is still told.
        _ => one(
            code::WRONG_TYPE,
            format!("`{name}` is not what belongs here"),
            format!("write {}", place.shape.words()),
        ),
    }
}

/// The words that are near enough to be what was meant.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Long texts would make the distance costly and are no misspelling of a short name.
    if written.len() > 128 {
        return None;
    }
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(written, word), word))
        .filter(|(distance, word)| {
            *distance <= 1 + word.len().min(written.len()) / 4
                || extends(written, word)
                || extends(word, written)
        })
        .min()
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

/// Whether a name is another one with words before or behind it, as `backup_frequency` is of `frequency`.
fn extends(long: &str, short: &str) -> bool {
    let behind = long
        .strip_prefix(short)
        .and_then(|rest| rest.chars().next());
    let before = long
        .strip_suffix(short)
        .and_then(|rest| rest.chars().next_back());
    let seams = behind.into_iter().chain(before);
    !short.is_empty() && seams.into_iter().any(|seam| "_-.".contains(seam))
}

fn unknown_fields(
    unexpected: &[String],
    place: &Place<'_>,
    kind: Kind,
    at: &[String],
) -> Vec<Diagnostic> {
    let Value::Mapping(mapping) = &place.node.value else {
        return Vec::new();
    };
    let fields: &[Field] = match place.shape {
        Shape::Mapping(fields) => fields,
        Shape::Policy { literal, .. } => match literal.as_ref() {
            Shape::Mapping(fields) => fields,
            Shape::List { .. } | Shape::Scalar(_) | Shape::Policy { .. } | Shape::Anything => &[],
        },
        Shape::List { .. } | Shape::Scalar(_) | Shape::Anything => &[],
    };
    let owner = match place.path.last() {
        None => kind.name().to_owned(),
        Some(_) => format!("`{}`", place.name()),
    };
    unexpected
        .iter()
        .filter_map(|name| mapping.entry(name))
        .map(|entry| {
            let known = fields
                .iter()
                .map(|field| field.name.as_str())
                .filter(|field| mapping.get(field).is_none());
            let help = did_you_mean(&entry.key, known).unwrap_or_else(|| {
                let names: Vec<String> = fields
                    .iter()
                    .filter(|field| field.name != "kind")
                    .map(|field| format!("`{}`", field.name))
                    .collect();
                format!("the fields are {}", names.join(", "))
            });
            place
                .finding(
                    code::UNKNOWN_FIELD,
                    format!("{owner} has no field `{}`", entry.key),
                    entry.key_span,
                    at,
                )
                .help(help)
                .at(at.iter().chain(&place.path).chain([&entry.key]).cloned())
        })
        .collect()
}

fn missing_field(property: &Json, place: &Place<'_>, kind: Kind, at: &[String]) -> Vec<Diagnostic> {
    let Value::Mapping(mapping) = &place.node.value else {
        return Vec::new();
    };
    let name = property.as_str().unwrap_or_default();
    // The refused entry may be the missing one; a misspelt one surely is, and is told as an unknown field.
    if mapping.incomplete || misspelt(name, mapping, place.shape) {
        return Vec::new();
    }
    let owner = match place.path.last() {
        None => kind.name().to_owned(),
        Some(_) => format!("`{}`", place.name()),
    };
    let words = place
        .shape
        .field(name)
        .map_or_else(|| "a value".to_owned(), |field| field.shape.words());
    vec![
        place
            .finding(
                code::MISSING_FIELD,
                format!("{owner} has no `{name}`"),
                anchor(place.node, kind),
                at,
            )
            .help(format!("add `{name}: …`, {words}"))
            .at(at
                .iter()
                .chain(&place.path)
                .map(String::as_str)
                .chain([name])),
    ]
}

fn misspelt(name: &str, mapping: &Mapping, shape: &Shape) -> bool {
    mapping
        .entries
        .iter()
        .filter(|entry| shape.field(&entry.key).is_none())
        .any(|entry| did_you_mean(&entry.key, [name]).is_some())
}

/// Where to point when something is missing: the id of a document, else its kind, else the first field.
pub fn anchor(node: &Node, kind: Kind) -> Span {
    let Value::Mapping(mapping) = &node.value else {
        return node.span;
    };
    mapping
        .get(kind.id_field())
        .or_else(|| mapping.get("kind"))
        .map(|node| node.span)
        .or_else(|| mapping.entries.first().map(|entry| entry.key_span))
        .unwrap_or(node.span)
}

fn wrong_type(place: &Place<'_>, at: &[String]) -> Vec<Diagnostic> {
    let name = place.name();
    let words = place.shape.words();
    let found = match &place.node.value {
        Value::Null => {
            let finding = place.finding(
                code::WRONG_TYPE,
                format!("`{name}` has no value"),
                place.node.span,
                at,
            );
            return vec![finding.help(format!("write {words}"))];
        }
        Value::Flag(flag) => format!("`{flag}`"),
        Value::Integer(number) => format!("the number `{number}`"),
        Value::Text(text) => format!("the text `{}`", short(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Refused => return Vec::new(),
    };
    let message = format!("`{name}` must be {words}, not {found}");
    vec![
        place
            .finding(code::WRONG_TYPE, message, place.node.span, at)
            .help(advice(place, &words)),
    ]
}

fn advice(place: &Place<'_>, words: &str) -> String {
    if let (Shape::Policy { target, .. }, Some(text)) = (place.shape, place.node.text())
        && !target.contains('/')
    {
        return format!("write `gsmd:{target}/{}`", short(text));
    }
    let shape = match place.shape {
        Shape::Policy { literal, .. } => literal,
        other => other,
    };
    match (&place.node.value, shape) {
        (Value::Integer(number), Shape::Scalar(Scalar::Duration | Scalar::DurationOrNone)) => {
            match u64::try_from(*number) {
                Ok(seconds) => format!(
                    "write the unit: `{}` if seconds are meant",
                    Seconds::new(seconds)
                ),
                Err(_) => format!("write {words}"),
            }
        }
        (Value::Integer(number), Shape::Scalar(Scalar::Size)) => {
            format!("write the unit: `{number}B` if bytes are meant")
        }
        (Value::Integer(number), Shape::Scalar(Scalar::Rate)) => {
            format!("write the unit: `{number}B/s` if bytes in a second are meant")
        }
        (
            Value::Integer(number),
            Shape::Scalar(Scalar::Text | Scalar::Reference(_) | Scalar::Inline(_)),
        ) => format!("quote it: `\"{number}\"`"),
        (Value::Text(text), Shape::List { .. }) => {
            format!("put it in brackets: `[{}]`", short(text))
        }
        (Value::Text(text), Shape::Scalar(Scalar::Integer | Scalar::Flag)) => format!(
            "write {words}, without quotes if `{}` is meant",
            short(text)
        ),
        _ => format!("write {words}"),
    }
}

/// User text in a message: one line, bounded.
fn short(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn wrong_word(options: &Json, place: &Place<'_>, at: &[String]) -> Vec<Diagnostic> {
    let Some(text) = place.node.text() else {
        return wrong_type(place, at);
    };
    let words: Vec<&str> = options
        .as_array()
        .map(|words| words.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let help = did_you_mean(text, words.iter().copied())
        .unwrap_or_else(|| format!("write one of {}", list.join(", ")));
    let message = format!("`{}` is no value of `{}`", short(text), place.name());
    vec![
        place
            .finding(code::WRONG_TYPE, message, place.node.span, at)
            .help(help),
    ]
}

fn repeated(place: &Place<'_>, at: &[String]) -> Vec<Diagnostic> {
    let mut firsts = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for item in place.node.items() {
        let written = item.to_json().to_string();
        match firsts.get(&written) {
            None => {
                firsts.insert(written, item.span);
            }
            Some(first) => {
                let text = item.text().map_or_else(
                    || "an entry".to_owned(),
                    |text| format!("`{}`", short(text)),
                );
                found.push(
                    place
                        .finding(
                            code::WRONG_TYPE,
                            format!("{text} stands twice in `{}`", place.name()),
                            item.span,
                            at,
                        )
                        .label(*first, "first here")
                        .help("leave one out"),
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("retantion", Some("retention"))]
    #[case("retention_class", Some("retention"))]
    #[case("frequency", Some("backup_frequency"))]
    #[case("backup", Some("backup_frequency"))]
    #[case("ret", None)]
    #[case("frequenc", None)]
    #[case("", None)]
    fn what_is_near_is_suggested(#[case] written: &str, #[case] meant: Option<&str>) {
        let known = ["plan_id", "backup_frequency", "retention"];
        let meant = meant.map(|word| format!("did you mean `{word}`?"));
        assert_eq!(did_you_mean(written, known), meant);
    }
}
