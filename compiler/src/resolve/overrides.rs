//! Owns what an environment sets otherwise: fields or whole settings documents, where those allow it, never in
//! production. Each value keeps the way it came. The function is [`apply`].

use std::collections::BTreeSet;

use contract::code;

use super::tree::{Doc, Tree};
use crate::diagnostic::Diagnostic;
use crate::kinds::{Kind, Place};
use crate::parse::{Mapping, Node, Value};
use crate::schema::format::split_reference;
use crate::schema::{self, Shape, did_you_mean};
use crate::source::Span;

/// One override, taken apart.
struct Override<'a> {
    at: &'a Node,
    text: &'a str,
    value: &'a Node,
    kind: Kind,
    id: &'a str,
    fields: Vec<&'a str>,
}

/// Applies the overrides of one environment, in the order in which it lists them, and checks every environment's right
/// to override at all. Changed documents are held against their schema again.
pub fn apply(tree: &mut Tree, environment: &str, out: &mut Vec<Diagnostic>) {
    for doc in tree.of(Kind::Environment).filter(|doc| doc.sound) {
        refuse_in_production(doc, out);
    }
    let Some(doc) = tree
        .get(Kind::Environment, environment)
        .filter(|doc| doc.sound)
        .cloned()
    else {
        return;
    };
    if is_production(&doc) {
        return;
    }
    let mut changed = BTreeSet::new();
    for (index, item) in overrides(&doc).iter().enumerate() {
        let path = [doc.at(), vec!["overrides".to_owned(), index.to_string()]].concat();
        let Some(item) = read(item, &path, out) else {
            continue;
        };
        for id in targets(tree, &doc, &item, &path, out) {
            if let Some(target) = tree.get_mut(item.kind, &id)
                && set(target, &item, environment, &path, out)
            {
                changed.insert((item.kind, id));
            }
        }
    }
    recheck(tree, &changed, out);
}

fn overrides(doc: &Doc) -> &[Node] {
    doc.root.get("overrides").map_or(&[], Node::items)
}

fn is_production(doc: &Doc) -> bool {
    doc.root
        .get("production")
        .is_some_and(|node| node.value == Value::Flag(true))
}

fn refuse_in_production(doc: &Doc, out: &mut Vec<Diagnostic>) {
    if is_production(doc)
        && let Some(first) = overrides(doc).first()
    {
        let mut finding = Diagnostic::error(
            code::OVERRIDE_REFUSED,
            format!(
                "`{}` is a production environment and overrides settings",
                doc.id
            ),
        )
        .label(first.span, "overridden here");
        if let Some(flag) = doc.root.get("production") {
            finding = finding.label(flag.span, "production overrides nothing");
        }
        out.push(
            finding
                .help("change the settings themselves, or take `production: true` away")
                .at([doc.at(), vec!["overrides".to_owned()]].concat()),
        );
    }
}

/// Takes an override apart and holds its path against the kinds.
fn read<'a>(item: &'a Node, path: &[String], out: &mut Vec<Diagnostic>) -> Option<Override<'a>> {
    let (at, value) = (item.get("at")?, item.get("value")?);
    let text = at.text()?;
    let reference = split_reference(text)?;
    let settings = || {
        Kind::ALL
            .iter()
            .filter(|kind| kind.place() == Place::Settings)
            .map(|kind| kind.collection())
    };
    let mut tell = |code, message: String, help: String| {
        out.push(
            Diagnostic::error(code, message)
                .label(at.span, "")
                .help(help)
                .at(path.iter().cloned()),
        );
        None
    };
    let Some(kind) = Kind::of_collection(reference.collection) else {
        let help = did_you_mean(reference.collection, settings()).unwrap_or_else(|| {
            format!(
                "the collections are {}",
                settings().collect::<Vec<_>>().join(", ")
            )
        });
        return tell(
            code::UNKNOWN_REFERENCE,
            format!("there is no collection `{}`", reference.collection),
            help,
        );
    };
    if kind.place() != Place::Settings {
        let help = "override the settings that it refers to".to_owned();
        return tell(
            code::OVERRIDE_REFUSED,
            format!(
                "`{}` is no settings collection, only settings can be overridden",
                reference.collection
            ),
            help,
        );
    }
    let mut shape = schema::shape_of(kind);
    for field in &reference.fields {
        let Some(found) = shape.field(field) else {
            let known = match shape {
                Shape::Mapping(fields) => fields.iter().map(|field| field.name.as_str()).collect(),
                Shape::List { .. } | Shape::Scalar(_) | Shape::Policy { .. } | Shape::Anything => {
                    Vec::new()
                }
            };
            let help = did_you_mean(field, known).unwrap_or_else(|| {
                "name a field of the kind, or leave the field out to replace the whole document"
                    .to_owned()
            });
            return tell(
                code::UNKNOWN_REFERENCE,
                format!(
                    "{} has no field `{}`",
                    kind.name(),
                    reference.fields.join("/")
                ),
                help,
            );
        };
        shape = &found.shape;
    }
    if reference
        .fields
        .first()
        .is_some_and(|field| is_fixed(kind, field))
    {
        let help = "override the fields that hold policy".to_owned();
        return tell(
            code::OVERRIDE_REFUSED,
            format!("`{}` cannot be overridden", reference.fields.join("/")),
            help,
        );
    }
    Some(Override {
        at,
        text,
        value,
        kind,
        id: reference.id,
        fields: reference.fields,
    })
}

/// Fields that say what a document is and who may change it.
fn is_fixed(kind: Kind, field: &str) -> bool {
    field == "kind" || field == "overridable_in" || field == kind.id_field()
}

/// The ids that an override reaches; a document that does not allow it is told once an override, not once a document.
fn targets(
    tree: &Tree,
    environment: &Doc,
    item: &Override<'_>,
    path: &[String],
    out: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let reached: Vec<&Doc> = if item.id == "*" {
        tree.of(item.kind).collect()
    } else {
        tree.get(item.kind, item.id).into_iter().collect()
    };
    if reached.is_empty() {
        if !tree.has_lost(item.kind) {
            let help = did_you_mean(item.id, tree.of(item.kind).map(|doc| doc.id.as_str()))
                .unwrap_or_else(|| {
                    format!(
                        "declare a {} with this id, or take the override away",
                        item.kind.name()
                    )
                });
            out.push(
                Diagnostic::error(
                    code::UNKNOWN_REFERENCE,
                    format!("`{}` names no {}", item.text, item.kind.name()),
                )
                .label(item.at.span, "")
                .help(help)
                .at(path.iter().cloned()),
            );
        }
        return Vec::new();
    }
    let allows = |doc: &Doc| {
        doc.root.get("overridable_in").is_some_and(|list| {
            list.items()
                .iter()
                .any(|node| node.text() == Some(&environment.id))
        })
    };
    let refusing: Vec<&Doc> = reached
        .iter()
        .copied()
        .filter(|doc| doc.sound && !allows(doc))
        .collect();
    if let Some(first) = refusing.first() {
        let more = refusing.len() - 1;
        let mut finding = Diagnostic::error(
            code::OVERRIDE_REFUSED,
            format!(
                "`{}` may not be overridden in `{}`",
                first.id, environment.id
            ),
        )
        .label(item.at.span, "overridden here")
        .label(
            first.id_span,
            format!("does not list `{}` in `overridable_in`", environment.id),
        )
        .help(format!(
            "add `overridable_in: [{}]` to the document, or take the override away",
            environment.id
        ))
        .at(path.iter().cloned());
        if more > 0 {
            finding = finding.note(format!(
                "{more} more documents that `{}` reaches refuse it too",
                item.text
            ));
        }
        out.push(finding);
    }
    reached
        .iter()
        .filter(|doc| doc.sound && allows(doc))
        .map(|doc| doc.id.clone())
        .collect()
}

/// Puts the value into a document; tells whether it changed.
fn set(
    target: &mut Doc,
    item: &Override<'_>,
    environment: &str,
    path: &[String],
    out: &mut Vec<Diagnostic>,
) -> bool {
    let kind = target.kind;
    let id = target.id.clone();
    let id_span = target.id_span;
    let Value::Mapping(root) = &mut target.root.value else {
        return false;
    };
    if item.fields.is_empty() {
        return replace(root, item, kind, &id, id_span, environment, path, out);
    }
    let mut value = item.value.clone();
    let old = find(root, &item.fields);
    let text = format!("`{environment}` overrides `{id}`, which sets it here");
    value.came_by(old.unwrap_or(id_span), text);
    put(root, &item.fields, item.at.span, value)
}

fn find(root: &Mapping, fields: &[&str]) -> Option<Span> {
    let (first, rest) = fields.split_first()?;
    let mut node = root.get(first)?;
    for field in rest {
        node = node.get(field)?;
    }
    Some(node.span)
}

/// Sets a field; mappings on the way that the document leaves out are made.
fn put(root: &mut Mapping, fields: &[&str], at: Span, value: Node) -> bool {
    let Some((first, rest)) = fields.split_first() else {
        return false;
    };
    if rest.is_empty() {
        root.set(first, at, value);
        return true;
    }
    if root.get(first).is_none() {
        root.set(first, at, Node::new(at, Value::Mapping(Mapping::default())));
    }
    match root.get_mut(first).map(|node| &mut node.value) {
        Some(Value::Mapping(inner)) => put(inner, rest, at, value),
        Some(
            Value::Null
            | Value::Flag(_)
            | Value::Integer(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Refused,
        )
        | None => false,
    }
}

/// Replaces all fields but those that say what the document is.
#[allow(
    clippy::too_many_arguments,
    reason = "the parts of one replacement; a struct for one call would hide them"
)]
fn replace(
    root: &mut Mapping,
    item: &Override<'_>,
    kind: Kind,
    id: &str,
    id_span: Span,
    environment: &str,
    path: &[String],
    out: &mut Vec<Diagnostic>,
) -> bool {
    let Value::Mapping(new) = &item.value.value else {
        out.push(
            Diagnostic::error(code::WRONG_TYPE, format!("the override of `{}` must be a mapping of fields", item.text))
                .label(item.value.span, "")
                .help("name a field after the id to replace one value, as in `gsmd:schedules/every_5m/every`")
                .at(path.iter().cloned()),
        );
        return false;
    };
    if let Some(entry) = new.entries.iter().find(|entry| is_fixed(kind, &entry.key)) {
        out.push(
            Diagnostic::error(
                code::OVERRIDE_REFUSED,
                format!("an override cannot change `{}`", entry.key),
            )
            .label(entry.key_span, "")
            .help("leave it out; the document keeps its own")
            .at(path.iter().cloned()),
        );
        return false;
    }
    root.entries.retain(|entry| is_fixed(kind, &entry.key));
    for entry in &new.entries {
        let mut entry = entry.clone();
        entry
            .node
            .came_by(id_span, format!("`{environment}` replaces `{id}`"));
        root.entries.push(entry);
    }
    true
}

/// Holds changed documents against their schema; an override of many documents is told once.
fn recheck(tree: &mut Tree, changed: &BTreeSet<(Kind, String)>, out: &mut Vec<Diagnostic>) {
    let mut told = BTreeSet::new();
    for (kind, id) in changed {
        let Some(doc) = tree.get_mut(*kind, id) else {
            continue;
        };
        let findings = schema::check(*kind, &doc.root, &doc.at());
        doc.sound = findings.is_empty();
        for finding in findings {
            if told.insert((
                finding.labels.first().map(|label| label.span),
                finding.message.clone(),
            )) {
                out.push(finding);
            }
        }
    }
}
