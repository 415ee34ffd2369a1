//! Owns references: each is replaced by the value that it leads to, which keeps the way it came, or is a finding.
//! Never changes a document that others see before it is resolved. The entry is [`resolve`].

use std::collections::BTreeMap;

use contract::code;

use super::tree::{Doc, Tree};
use crate::diagnostic::Diagnostic;
use crate::kinds::{Kind, Place};
use crate::parse::{Node, Value};
use crate::schema::format::{Reference, split_reference};
use crate::schema::{self, Scalar, Shape, did_you_mean};

/// The longest honest chain has three steps; this bounds the stack.
const MAX_CHAIN: usize = 16;
/// Each suggestion reads all ids of a collection; a tree with more unknown references than this has one cause for them.
const MAX_SUGGESTIONS: usize = 50;

/// Documents by kind and id, with every reference replaced.
pub type Resolved = BTreeMap<(Kind, String), Doc>;

/// Replaces the references of every sound document.
pub fn resolve(tree: &Tree, out: &mut Vec<Diagnostic>) -> Resolved {
    let mut resolver = Resolver {
        tree,
        out,
        done: BTreeMap::new(),
        under_way: Vec::new(),
        suggestions: 0,
    };
    for doc in tree.all().filter(|doc| doc.sound) {
        resolver.document(doc);
    }
    resolver.done
}

struct Resolver<'a> {
    tree: &'a Tree,
    out: &'a mut Vec<Diagnostic>,
    done: Resolved,
    under_way: Vec<(Kind, String)>,
    suggestions: usize,
}

/// Where a reference stands: its document and its field path.
struct Spot<'a> {
    doc: &'a Doc,
    path: Vec<String>,
}

impl Spot<'_> {
    fn finding(&self, code: code::Code, message: String, node: &Node) -> Diagnostic {
        Diagnostic::error(code, message)
            .label(node.span, "")
            .at([self.doc.at(), self.path.clone()].concat())
    }

    fn field(&self) -> &str {
        self.path
            .iter()
            .rev()
            .find(|step| step.parse::<usize>().is_err())
            .map_or("", String::as_str)
    }
}

impl<'a> Resolver<'a> {
    fn document(&mut self, doc: &Doc) {
        let key = (doc.kind, doc.id.clone());
        if self.done.contains_key(&key) {
            return;
        }
        self.under_way.push(key.clone());
        let mut spot = Spot {
            doc,
            path: Vec::new(),
        };
        let root = self.node(&doc.root, schema::shape_of(doc.kind), &mut spot);
        self.under_way.pop();
        let sound = !root.has_refused();
        self.done.insert(
            key,
            Doc {
                root,
                sound,
                ..doc.clone()
            },
        );
    }

    fn node(&mut self, node: &Node, shape: &Shape, spot: &mut Spot<'_>) -> Node {
        let value = match (&node.value, shape) {
            (Value::Text(text), Shape::Policy { target, literal }) => {
                return match split_reference(text) {
                    Some(reference) => self.policy(node, text, &reference, target, spot),
                    None => self.node(node, literal, spot),
                };
            }
            (_, Shape::Policy { literal, .. }) => return self.node(node, literal, spot),
            (Value::Mapping(mapping), Shape::Mapping(_)) => {
                let mut mapping = mapping.clone();
                for entry in &mut mapping.entries {
                    if let Some(field) = shape.field(&entry.key) {
                        spot.path.push(entry.key.clone());
                        entry.node = self.node(&entry.node, &field.shape, spot);
                        spot.path.pop();
                    }
                }
                Value::Mapping(mapping)
            }
            (Value::List(list), Shape::List { items, .. }) => {
                let mut resolved = Vec::with_capacity(list.len());
                for (index, item) in list.iter().enumerate() {
                    spot.path.push(index.to_string());
                    resolved.push(self.node(item, items, spot));
                    spot.path.pop();
                }
                Value::List(resolved)
            }
            (Value::Text(text), Shape::Scalar(scalar)) => {
                return self.scalar(node, text, scalar, spot);
            }
            (value, _) => value.clone(),
        };
        Node {
            span: node.span,
            value,
            way: node.way.clone(),
        }
    }

    fn scalar(&mut self, node: &Node, text: &str, scalar: &Scalar, spot: &Spot<'_>) -> Node {
        match scalar {
            Scalar::Reference(collection) => self
                .bare(node, text, collection, spot)
                .map_or_else(|| refused(node), |_| node.clone()),
            Scalar::Inline(collection) => match self.bare(node, text, collection, spot) {
                Some(target) if target.sound => {
                    let mut value = target.root.clone();
                    value.came_by(node.span, format!("named here as `{text}`"));
                    value
                }
                Some(_) | None => refused(node),
            },
            Scalar::KeyReference => {
                let kid = text.strip_prefix("kid:").unwrap_or(text);
                match self.bare(node, kid, Kind::Key.collection(), spot) {
                    Some(_) => Node {
                        value: Value::Text(kid.to_owned()),
                        ..node.clone()
                    },
                    None => refused(node),
                }
            }
            Scalar::Text
            | Scalar::Domain
            | Scalar::Duration
            | Scalar::DurationOrNone
            | Scalar::Size
            | Scalar::Rate
            | Scalar::Integer
            | Scalar::Flag
            | Scalar::Choice(_) => node.clone(),
        }
    }

    /// The document that a bare id names.
    fn bare(
        &mut self,
        node: &Node,
        id: &str,
        collection: &str,
        spot: &Spot<'_>,
    ) -> Option<&'a Doc> {
        let kind = Kind::of_collection(collection)?;
        if self.tree.get(kind, id).is_none() {
            self.unknown(node, kind, id, spot);
        }
        self.tree.get(kind, id)
    }

    fn unknown(&mut self, node: &Node, kind: Kind, id: &str, spot: &Spot<'_>) {
        if self.tree.has_lost(kind) {
            return;
        }
        self.suggestions += 1;
        let near = if self.suggestions <= MAX_SUGGESTIONS {
            did_you_mean(id, self.tree.of(kind).map(|doc| doc.id.as_str()))
        } else {
            None
        };
        let help = near.unwrap_or_else(|| {
            // A short list is better advice than none; a long one is no advice.
            let known: Vec<String> = self
                .tree
                .of(kind)
                .take(7)
                .map(|doc| format!("`{}`", doc.id))
                .collect();
            let choice = match known.as_slice() {
                [only] => format!("name {only}, or "),
                [_, ..] if known.len() < 7 => format!("name one of {}, or ", known.join(", ")),
                _ => String::new(),
            };
            format!(
                "{choice}declare a document `kind: {}` with `{}: {id}`",
                kind.name(),
                kind.id_field()
            )
        });
        let message = format!(
            "`{}` names {} `{id}`, which does not exist",
            spot.field(),
            kind.name()
        );
        self.out.push(
            spot.finding(code::UNKNOWN_REFERENCE, message, node)
                .help(help),
        );
    }

    /// The value that a `gsmd:` reference leads to.
    fn policy(
        &mut self,
        node: &Node,
        text: &str,
        reference: &Reference<'_>,
        target: &str,
        spot: &Spot<'_>,
    ) -> Node {
        let (collection, field) = match target.split_once('/') {
            Some((collection, field)) => (collection, Some(field)),
            None => (target, None),
        };
        if reference.collection != collection {
            self.wrong_collection(node, text, reference, target, spot);
            return refused(node);
        }
        let Some(kind) = Kind::of_collection(collection) else {
            return refused(node);
        };
        let Some(doc) = self.tree.get(kind, reference.id) else {
            self.unknown(node, kind, reference.id, spot);
            return refused(node);
        };
        if !self.has_right_field(node, text, reference, kind, field, spot) || !doc.sound {
            return refused(node);
        }
        let key = (kind, doc.id.clone());
        if self.under_way.contains(&key) {
            self.cycle(node, text, &key, spot);
            return refused(node);
        }
        if self.under_way.len() > MAX_CHAIN {
            let message = format!("`{text}` is step {MAX_CHAIN} of a chain of references");
            self.out.push(
                spot.finding(code::REFERENCE_CYCLE, message, node)
                    .help("refer to the document that holds the value"),
            );
            return refused(node);
        }
        self.document(doc);
        let found = self
            .done
            .get(&key)
            .filter(|doc| doc.sound)
            .map(|doc| &doc.root);
        let found = match field {
            Some(field) => found.and_then(|root| root.get(field)),
            None => found,
        };
        match found {
            Some(found) => {
                let mut value = found.clone();
                value.came_by(node.span, format!("referred to here as `{text}`"));
                value
            }
            None => refused(node),
        }
    }

    fn wrong_collection(
        &mut self,
        node: &Node,
        text: &str,
        reference: &Reference<'_>,
        target: &str,
        spot: &Spot<'_>,
    ) {
        let field = spot.field();
        let (wanted, example) = match target.split_once('/') {
            Some((wanted, inner)) => (wanted, format!("write `gsmd:{wanted}/<id>/{inner}`")),
            None => (target, format!("write `gsmd:{target}/<id>`")),
        };
        let finding = match Kind::of_collection(reference.collection) {
            Some(kind) if kind.place() == Place::Settings => spot
                .finding(
                    code::WRONG_UNIT,
                    format!(
                        "`{field}` takes a reference into `{wanted}`, and `{text}` leads to a {}",
                        kind.name()
                    ),
                    node,
                )
                .help(example),
            Some(_) | None => {
                let known = Kind::ALL
                    .iter()
                    .filter(|kind| kind.place() == Place::Settings)
                    .map(|kind| kind.collection());
                let help = did_you_mean(reference.collection, known).unwrap_or(example);
                spot.finding(
                    code::UNKNOWN_REFERENCE,
                    format!("there is no settings collection `{}`", reference.collection),
                    node,
                )
                .help(help)
            }
        };
        self.out.push(finding);
    }

    fn has_right_field(
        &mut self,
        node: &Node,
        text: &str,
        reference: &Reference<'_>,
        kind: Kind,
        field: Option<&str>,
        spot: &Spot<'_>,
    ) -> bool {
        let head = format!("gsmd:{}/{}", reference.collection, reference.id);
        let name = spot.field();
        let finding = match (field, reference.fields.as_slice()) {
            (None, []) => return true,
            (Some(wanted), [given]) if wanted == *given => return true,
            (None, [..]) => spot
                .finding(
                    code::WRONG_UNIT,
                    format!(
                        "`{name}` takes a whole {}, and `{text}` leads to a field of one",
                        kind.name()
                    ),
                    node,
                )
                .help(format!("write `{head}`")),
            (Some(wanted), []) => spot
                .finding(
                    code::WRONG_UNIT,
                    format!(
                        "`{name}` takes one value, and `{text}` leads to a whole {}",
                        kind.name()
                    ),
                    node,
                )
                .help(format!("write `{head}/{wanted}`")),
            (Some(wanted), [given]) if schema::shape_of(kind).field(given).is_some() => spot
                .finding(
                    code::WRONG_UNIT,
                    format!(
                        "`{name}` takes the `{wanted}` of one, and `{text}` leads to its `{given}`"
                    ),
                    node,
                )
                .help(format!("write `{head}/{wanted}`")),
            (Some(wanted), [..]) => spot
                .finding(
                    code::UNKNOWN_REFERENCE,
                    format!(
                        "{} has no field `{}`",
                        kind.name(),
                        reference.fields.join("/")
                    ),
                    node,
                )
                .help(format!("write `{head}/{wanted}`")),
        };
        self.out.push(finding);
        false
    }

    fn cycle(&mut self, node: &Node, text: &str, key: &(Kind, String), spot: &Spot<'_>) {
        let from = self
            .under_way
            .iter()
            .position(|step| step == key)
            .unwrap_or(0);
        let names: Vec<String> = self
            .under_way
            .iter()
            .skip(from)
            .chain([key])
            .map(|(_, id)| format!("`{id}`"))
            .collect();
        self.out.push(
            spot.finding(
                code::REFERENCE_CYCLE,
                format!("`{text}` leads back to where it began"),
                node,
            )
            .note(names.join(" → "))
            .help("write the value in one of them"),
        );
    }
}

/// A value that a finding has already been told about.
fn refused(node: &Node) -> Node {
    Node {
        span: node.span,
        value: Value::Refused,
        way: node.way.clone(),
    }
}
