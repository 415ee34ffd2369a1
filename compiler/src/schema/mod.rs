//! Owns the JSON Schemas of the kinds, made from the Rust types, and what they say of a document. Never resolves a
//! reference. The entries are [`json_schema`] for the published files and [`check`] for a document.

mod explain;
pub mod format;
mod shape;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

pub use explain::did_you_mean;
pub use shape::{Field, Need, Scalar, Shape, UNIT_SUFFIXES};

use crate::diagnostic::Diagnostic;
use crate::kinds::text::{OPTIONAL, OR_DEFAULT};
use crate::kinds::{Kind, Place};
use crate::parse::Node;

/// What the compiler knows of one kind.
struct Entry {
    shape: Shape,
    validator: jsonschema::Validator,
}

/// Made once: the kinds are constants of the program.
static ENTRIES: LazyLock<BTreeMap<Kind, Entry>> = LazyLock::new(|| {
    Kind::ALL
        .iter()
        .filter_map(|kind| {
            let schema = json_schema(*kind);
            let mut options = jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .should_validate_formats(true);
            for format in format::ALL {
                options =
                    options.with_format(*format, |text: &str| format::check(format, text).is_ok());
            }
            // A schema that does not compile is a bug that a test of this module finds; `check` tells it at run time.
            let validator = options.build(&schema).ok()?;
            let shape = Shape::of(&schema);
            Some((*kind, Entry { shape, validator }))
        })
        .collect()
});

/// The shape of a kind; nothing at all for a kind whose schema is broken, which a test excludes.
pub fn shape_of(kind: Kind) -> &'static Shape {
    ENTRIES
        .get(&kind)
        .map_or(&Shape::Anything, |entry| &entry.shape)
}

/// The findings of a document of a kind against its schema.
///
/// `at` is the path of the document in the model, for fingerprints.
pub fn check(kind: Kind, root: &Node, at: &[String]) -> Vec<Diagnostic> {
    match ENTRIES.get(&kind) {
        Some(entry) => explain::findings(&entry.validator, &entry.shape, kind, root, at),
        None => vec![Diagnostic::error(
            contract::code::WRONG_TYPE,
            format!(
                "the schema of {} is broken; this is a fault of the program",
                kind.name()
            ),
        )],
    }
}

/// The JSON Schema of a kind: draft 2020-12, self-contained.
pub fn json_schema(kind: Kind) -> Json {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut schema = kind.raw_schema(&mut generator).to_value();
    finish(&mut schema);
    if kind == Kind::Defaults {
        add_defaults(&mut schema);
    }
    let mut root = Map::new();
    root.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    root.insert("title".to_owned(), json!(kind.name()));
    if let Json::Object(fields) = schema {
        root.extend(fields);
    }
    if let Some(Json::Object(properties)) = root.get_mut("properties") {
        let own = std::mem::take(properties);
        properties.insert(
            "kind".to_owned(),
            json!({ "const": kind.name(), "description": "The kind of this document." }),
        );
        properties.extend(own);
    }
    if let Some(Json::Array(required)) = root.get_mut("required") {
        required.insert(0, json!("kind"));
    }
    Json::Object(root)
}

/// Turns what the derive writes into what users read: fields that Defaults may give, or that may be absent, are not
/// required, and a choice of words is an `enum`.
fn finish(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            fields.values_mut().for_each(finish);
            merge_choices(fields);
            relax_required(fields);
        }
        Json::Array(items) => items.iter_mut().for_each(finish),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn merge_choices(fields: &mut Map<String, Json>) {
    let Some(Json::Array(variants)) = fields.get("oneOf") else {
        return;
    };
    let words: Vec<Json> = variants
        .iter()
        .filter_map(|variant| variant.get("const").cloned())
        .collect();
    if words.len() != variants.len() {
        return;
    }
    let told: Vec<Json> = variants
        .iter()
        .map(|variant| {
            variant
                .get("description")
                .cloned()
                .unwrap_or_else(|| json!(""))
        })
        .collect();
    fields.remove("oneOf");
    fields.insert("type".to_owned(), json!("string"));
    fields.insert("enum".to_owned(), Json::Array(words));
    fields.insert("enumDescriptions".to_owned(), Json::Array(told));
}

fn relax_required(fields: &mut Map<String, Json>) {
    let Some(Json::Object(properties)) = fields.get_mut("properties") else {
        return;
    };
    let mut relaxed = Vec::new();
    for (name, property) in properties.iter_mut() {
        if let Json::Object(property) = property {
            let optional = property.remove(OPTIONAL).is_some();
            if optional || property.contains_key(OR_DEFAULT) {
                relaxed.push(json!(name));
            }
        }
    }
    if let Some(Json::Array(required)) = fields.get_mut("required") {
        required.retain(|name| !relaxed.contains(name));
        if required.is_empty() {
            fields.remove("required");
        }
    }
}

/// Adds one property a collection to the schema of Defaults: the fields that its kind leaves to Defaults.
fn add_defaults(schema: &mut Json) {
    let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) else {
        return;
    };
    for kind in Kind::ALL
        .iter()
        .filter(|kind| kind.place() != Place::Header)
    {
        let mut own = json_schema(*kind);
        if let Some(fields) = own.as_object_mut().and_then(only_defaults) {
            let text = format!(
                "Values for the fields that documents of kind {} leave out.",
                kind.name()
            );
            let mut property = Map::new();
            property.insert("description".to_owned(), json!(text));
            property.insert("type".to_owned(), json!("object"));
            property.insert("properties".to_owned(), Json::Object(fields));
            property.insert("additionalProperties".to_owned(), json!(false));
            properties.insert(kind.collection().to_owned(), Json::Object(property));
        }
    }
}

/// The properties of an object that Defaults may give, if there are any.
fn only_defaults(object: &mut Map<String, Json>) -> Option<Map<String, Json>> {
    let properties = object.get_mut("properties")?.as_object_mut()?;
    let mut kept = Map::new();
    for (name, property) in std::mem::take(properties) {
        if let Json::Object(mut property) = property
            && property.remove(OR_DEFAULT).is_some()
        {
            strip_marks(&mut property);
            kept.insert(name, Json::Object(property));
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// Inside Defaults nothing is left to Defaults.
fn strip_marks(object: &mut Map<String, Json>) {
    object.remove(OR_DEFAULT);
    if let Some(Json::Object(properties)) = object.get_mut("properties") {
        for property in properties.values_mut() {
            if let Json::Object(property) = property {
                strip_marks(property);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_compiles_and_has_a_shape() {
        for kind in Kind::ALL {
            assert!(ENTRIES.contains_key(kind), "{kind:?}");
            let Shape::Mapping(fields) = shape_of(*kind) else {
                unreachable_shape(*kind)
            };
            assert!(
                fields.iter().any(|field| field.name == kind.id_field()),
                "{kind:?}"
            );
        }
    }

    fn unreachable_shape(kind: Kind) -> ! {
        #![allow(clippy::panic, reason = "tests fail by panicking")]
        panic!("{kind:?} is no mapping")
    }
}
