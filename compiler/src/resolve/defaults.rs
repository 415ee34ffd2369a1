//! Owns the only fallbacks there are: what Defaults give to documents that leave a field out, and the finding for a
//! field that nobody gives. The functions are [`apply`] and [`check_complete`].

use contract::code;

use super::tree::{Doc, Tree};
use crate::diagnostic::Diagnostic;
use crate::kinds::{Kind, Place};
use crate::parse::{Mapping, Value};
use crate::schema::{self, Need, Shape};
use crate::source::Span;

/// Merges Defaults deeply under every document.
pub fn apply(tree: &mut Tree) {
    let Some(defaults) = tree
        .of(Kind::Defaults)
        .next()
        .filter(|doc| doc.sound)
        .cloned()
    else {
        return;
    };
    for kind in Kind::ALL
        .iter()
        .filter(|kind| kind.place() != Place::Header)
    {
        let Some(given) = defaults
            .root
            .get(kind.collection())
            .and_then(|node| node.mapping())
        else {
            continue;
        };
        for doc in tree.of_mut(*kind).filter(|doc| doc.sound) {
            let text = format!("`{}` leaves it to Defaults", doc.id);
            if let Value::Mapping(root) = &mut doc.root.value {
                merge(root, given, doc.id_span, &text);
            }
        }
    }
}

fn merge(into: &mut Mapping, given: &Mapping, asked: Span, text: &str) {
    for entry in &given.entries {
        match into.get_mut(&entry.key).map(|node| &mut node.value) {
            None => {
                let mut entry = entry.clone();
                entry.node.came_by(asked, text);
                into.entries.push(entry);
            }
            Some(Value::Mapping(inner)) => {
                if let Value::Mapping(given) = &entry.node.value {
                    merge(inner, given, asked, text);
                }
            }
            Some(
                Value::Null
                | Value::Flag(_)
                | Value::Integer(_)
                | Value::Text(_)
                | Value::List(_)
                | Value::Refused,
            ) => {}
        }
    }
}

/// Finds fields that neither the document nor Defaults give.
pub fn check_complete(tree: &Tree, out: &mut Vec<Diagnostic>) {
    // Broken Defaults may be the ones that give it; their own finding is enough.
    if !tree.is_whole(Kind::Defaults) {
        return;
    }
    for doc in tree.all().filter(|doc| doc.sound) {
        if let Value::Mapping(root) = &doc.root.value {
            walk(doc, schema::shape_of(doc.kind), root, &mut Vec::new(), out);
        }
    }
}

fn walk<'a>(
    doc: &Doc,
    shape: &'a Shape,
    mapping: &Mapping,
    path: &mut Vec<&'a str>,
    out: &mut Vec<Diagnostic>,
) {
    let Shape::Mapping(fields) = shape else {
        return;
    };
    for field in fields {
        path.push(&field.name);
        match mapping.get(&field.name).map(|node| &node.value) {
            None if field.need == Need::OrDefault => out.push(missing(doc, path, &field.shape)),
            Some(Value::Mapping(inner)) => walk(doc, &field.shape, inner, path, out),
            None
            | Some(
                Value::Null
                | Value::Flag(_)
                | Value::Integer(_)
                | Value::Text(_)
                | Value::List(_)
                | Value::Refused,
            ) => {}
        }
        path.pop();
    }
}

fn missing(doc: &Doc, path: &[&str], shape: &Shape) -> Diagnostic {
    let field = path.join(".");
    Diagnostic::error(
        code::MISSING_FIELD,
        format!("`{}` has no `{field}`, and Defaults give none", doc.id),
    )
    .label(doc.id_span, "")
    .help(format!(
        "add `{field}`, {}, here or under `{}` in Defaults",
        shape.words(),
        doc.kind.collection()
    ))
    .at(doc
        .at()
        .iter()
        .map(String::as_str)
        .chain(path.iter().copied()))
}
