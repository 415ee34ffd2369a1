//! Owns the last step: what an environment runs, as the model's JSON with the origin of each value. Decides nothing;
//! spells fields as the model does. The entry is [`lower`].

mod provenance;

use std::sync::Arc;

use contract::duration;
use contract::model::{FORMAT, FaultDomain};
use serde_json::{Map, Value as Json, json};

use provenance::Branch;
pub use provenance::{Link, Origin, Provenance};

use crate::kinds::{Kind, Place};
use crate::parse::{Node, Value};
use crate::resolve::{Doc, Selection};
use crate::schema::{self, Scalar, Shape, format};

/// Fields of source documents that the model does not have.
const SOURCE_ONLY: [&str; 4] = ["kind", "overridable_in", "overrides", "for_each"];

/// The model as JSON, how it was written, and where it came from.
#[derive(Debug, Default)]
pub struct Lowered {
    /// The model's JSON.
    pub model: Json,
    /// The same paths in source spelling, with what was written.
    pub written: Json,
    /// The origin of each value.
    pub provenance: Provenance,
}

/// Lowers a selection.
pub fn lower(selection: &Selection) -> Lowered {
    let mut lowered = Lowered {
        model: json!({ "format": FORMAT }),
        written: json!({}),
        provenance: Provenance::default(),
    };
    for kind in Kind::ALL {
        let collection = match kind.place() {
            Place::Settings => &["settings", kind.collection()][..],
            Place::Top => &[kind.collection()],
            Place::Header | Place::Environment => continue,
        };
        for root in [&mut lowered.model, &mut lowered.written] {
            put(root, collection, json!({}));
        }
    }
    for ((kind, id), selected) in selection {
        let place: Vec<&str> = match kind.place() {
            Place::Settings => vec!["settings", kind.collection(), id],
            Place::Top => vec![kind.collection(), id],
            Place::Header => vec![kind.collection()],
            Place::Environment => vec!["environment"],
        };
        let branch = lowered.provenance.branch(&place);
        let value = document(&selected.doc, branch);
        put(&mut lowered.model, &place, value);
        let mut written = selected.written.to_json();
        if let Json::Object(fields) = &mut written {
            fields.remove("kind");
        }
        put(&mut lowered.written, &place, written);
    }
    lowered
}

fn put(root: &mut Json, place: &[&str], value: Json) {
    let Some((last, parents)) = place.split_last() else {
        return;
    };
    let mut node = root;
    for name in parents {
        let Json::Object(fields) = node else {
            return;
        };
        node = fields.entry(*name).or_insert_with(|| json!({}));
    }
    if let Json::Object(fields) = node {
        fields.insert((*last).to_owned(), value);
    }
}

fn document(doc: &Doc, branch: &mut Branch) -> Json {
    let no_chain: Arc<[Link]> = Arc::new([]);
    let lowered = value(&doc.root, schema::shape_of(doc.kind), &no_chain, branch);
    // A document as a whole is found at its id, not over all its lines.
    branch.origin = Some(Origin {
        span: doc.id_span,
        chain: Arc::new([]),
    });
    lowered.unwrap_or(Json::Null)
}

/// Lowers a value; nothing where the model has nothing, as for `none`.
fn value(node: &Node, shape: &Shape, chain: &Arc<[Link]>, branch: &mut Branch) -> Option<Json> {
    let chain = &provenance::extend(chain, node);
    branch.origin = Some(Origin {
        span: node.span,
        chain: Arc::clone(chain),
    });
    match (&node.value, what_stands(shape)) {
        (Value::Null | Value::Refused, _) => None,
        (Value::Mapping(mapping), shape) => {
            let mut fields = Map::new();
            for entry in mapping
                .entries
                .iter()
                .filter(|entry| !SOURCE_ONLY.contains(&entry.key.as_str()))
            {
                let inner = shape
                    .field(&entry.key)
                    .map_or(&Shape::Anything, |field| &field.shape);
                let name = format!("{}{}", entry.key, inner.suffix());
                if let Some(lowered) = value(&entry.node, inner, chain, branch.child(&name)) {
                    fields.insert(name, lowered);
                }
            }
            Some(Json::Object(fields))
        }
        (Value::List(list), Shape::List { items, set }) => {
            Some(sequence(list, items, *set, chain, branch))
        }
        // The one list that no kind has is the locations of a plan, which selection adds: a set of ids.
        (Value::List(list), _) => Some(sequence(list, &Shape::Anything, true, chain, branch)),
        (Value::Text(text), Shape::Scalar(scalar)) => {
            branch.is_scalar = true;
            single(text, scalar)
        }
        (Value::Flag(_) | Value::Integer(_) | Value::Text(_), _) => {
            branch.is_scalar = true;
            Some(node.to_json())
        }
    }
}

/// The shape of what stands in the model: behind a reference or an id, the document that it led to.
fn what_stands(shape: &Shape) -> &Shape {
    match shape {
        Shape::Policy { literal, .. } => literal,
        Shape::Scalar(Scalar::Inline(collection)) => match Kind::of_collection(collection) {
            Some(kind) => schema::shape_of(kind),
            None => shape,
        },
        Shape::Mapping(_) | Shape::List { .. } | Shape::Scalar(_) | Shape::Anything => shape,
    }
}

/// Lowers a list; the model keeps sets in its own order, and so does provenance.
fn sequence(
    list: &[Node],
    items: &Shape,
    set: bool,
    chain: &Arc<[Link]>,
    branch: &mut Branch,
) -> Json {
    let mut ordered: Vec<&Node> = list.iter().collect();
    if set {
        ordered.sort_by_cached_key(|node| rank(node, items));
    }
    let lowered = ordered
        .into_iter()
        .enumerate()
        .filter_map(|(index, node)| value(node, items, chain, branch.child(&index.to_string())))
        .collect();
    Json::Array(lowered)
}

/// The order of the model's sets: words in the order in which their kind declares them, fault domains by kind and id,
/// all else by its bytes.
fn rank(node: &Node, shape: &Shape) -> (usize, Option<FaultDomain>, String) {
    let text = node.text().unwrap_or_default();
    match shape {
        Shape::Scalar(Scalar::Choice(words)) => {
            let place = words
                .iter()
                .position(|word| word == text)
                .unwrap_or(words.len());
            (place, None, String::new())
        }
        Shape::Scalar(Scalar::Domain) => (0, text.parse().ok(), String::new()),
        Shape::Scalar(_)
        | Shape::Mapping(_)
        | Shape::List { .. }
        | Shape::Policy { .. }
        | Shape::Anything => (0, None, text.to_owned()),
    }
}

/// A text in the model's units. The schema has read each of these texts before, so none of them fails here.
fn single(text: &str, scalar: &Scalar) -> Option<Json> {
    match scalar {
        Scalar::DurationOrNone if text == "none" => None,
        Scalar::Duration | Scalar::DurationOrNone => {
            duration::parse(text).ok().map(|length| json!(length))
        }
        Scalar::Size => format::bytes(text).ok().map(Json::from),
        Scalar::Rate => format::rate(text).ok().map(Json::from),
        Scalar::Text
        | Scalar::Domain
        | Scalar::Integer
        | Scalar::Flag
        | Scalar::Choice(_)
        | Scalar::Reference(_)
        | Scalar::Inline(_)
        | Scalar::KeyReference => Some(json!(text)),
    }
}
