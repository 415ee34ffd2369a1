//! Owns the shape of a kind: its JSON Schema, read once into a form that resolution and lowering walk beside a document.
//! The interesting function is [`Shape::of`].

use serde_json::Value as Json;

use crate::kinds::text::{OR_DEFAULT, REFERS_TO};

/// What fields of lengths and sizes gain in the model, longer ones first; see [`Shape::suffix`].
pub const UNIT_SUFFIXES: [&str; 3] = ["_bytes_per_second", "_bytes", "_s"];

/// What may stand at a place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Named fields.
    Mapping(Vec<Field>),
    /// Many of one shape; in a set, order means nothing.
    List {
        /// The shape of each.
        items: Box<Shape>,
        /// Whether it is a set.
        set: bool,
    },
    /// A single value.
    Scalar(Scalar),
    /// A `gsmd:` reference to `target`, or a literal.
    Policy {
        /// `<collection>` or `<collection>/<field>`.
        target: String,
        /// The shape of what stands there after resolution.
        literal: Box<Shape>,
    },
    /// Whatever fits the place that it is put into.
    Anything,
}

/// A field of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in source documents.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Whether it may be left out.
    pub need: Need,
}

/// Whether a field may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The document gives it.
    Required,
    /// The document or Defaults give it.
    OrDefault,
    /// It may be absent for good.
    Optional,
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// Text without further meaning to the front of the compiler.
    Text,
    /// A fault domain, `kind:id`.
    Domain,
    /// A length of time.
    Duration,
    /// A length of time or `none`.
    DurationOrNone,
    /// A number of bytes.
    Size,
    /// A number of bytes in a second.
    Rate,
    /// A whole number.
    Integer,
    /// Yes or no.
    Flag,
    /// One of these words.
    Choice(Vec<String>),
    /// The bare id of a document of this collection.
    Reference(String),
    /// The same; the document stands in place of its id in the model.
    Inline(String),
    /// `kid:` and the id of a key.
    KeyReference,
}

impl Shape {
    /// Reads the schema of a kind, or a part of one.
    pub fn of(schema: &Json) -> Self {
        if let Some(literal) = schema.get("else") {
            return Self::Policy {
                target: text(schema, REFERS_TO).unwrap_or_default().to_owned(),
                literal: Box::new(Self::of(literal)),
            };
        }
        match text(schema, "type") {
            Some("object") => Self::Mapping(fields(schema)),
            Some("array") => Self::List {
                items: Box::new(schema.get("items").map_or(Self::Anything, Self::of)),
                set: schema.get("uniqueItems") == Some(&Json::Bool(true)),
            },
            Some("string") => Self::Scalar(string(schema)),
            Some("integer") => Self::Scalar(Scalar::Integer),
            Some("boolean") => Self::Scalar(Scalar::Flag),
            Some(_) => Self::Anything,
            None if schema.get("const").is_some() => Self::Scalar(Scalar::Text),
            None => Self::Anything,
        }
    }

    /// The field of a mapping.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match self {
            Self::Mapping(fields) => fields.iter().find(|field| field.name == name),
            Self::Policy { literal, .. } => literal.field(name),
            Self::List { .. } | Self::Scalar(_) | Self::Anything => None,
        }
    }

    /// The words for what belongs here, as in "must be …".
    pub fn words(&self) -> String {
        match self {
            Self::Mapping(_) => "a mapping of fields".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Scalar(scalar) => scalar.words().to_owned(),
            Self::Policy { target, .. } => match target.split_once('/') {
                Some((collection, field)) => {
                    format!("a reference `gsmd:{collection}/<id>/{field}`")
                }
                None => format!("a reference `gsmd:{target}/<id>`"),
            },
            Self::Anything => "a value".to_owned(),
        }
    }

    /// The suffix that the field's name gains in the model.
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Scalar(Scalar::Duration | Scalar::DurationOrNone) => "_s",
            Self::Scalar(Scalar::Size) => "_bytes",
            Self::Scalar(Scalar::Rate) => "_bytes_per_second",
            Self::Policy { literal, .. } => literal.suffix(),
            Self::Scalar(
                Scalar::Text
                | Scalar::Domain
                | Scalar::Integer
                | Scalar::Flag
                | Scalar::Choice(_)
                | Scalar::Reference(_)
                | Scalar::Inline(_)
                | Scalar::KeyReference,
            )
            | Self::Mapping(_)
            | Self::List { .. }
            | Self::Anything => "",
        }
    }
}

impl Scalar {
    fn words(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Domain => "a fault domain such as `region:eu-west-1`",
            Self::Duration => "a duration such as `PT15M`",
            Self::DurationOrNone => "a duration such as `P30D`, or `none`",
            Self::Size => "a size such as `40GiB`",
            Self::Rate => "a rate such as `200MiB/s`",
            Self::Integer => "a whole number",
            Self::Flag => "`true` or `false`",
            Self::Choice(_) => "one of the known words",
            Self::Reference(_) | Self::Inline(_) => "the id of another document",
            Self::KeyReference => "a key reference such as `kid:backup-01`",
        }
    }
}

fn text<'a>(schema: &'a Json, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Json::as_str)
}

fn fields(schema: &Json) -> Vec<Field> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .map(|names| names.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
        return Vec::new();
    };
    properties
        .iter()
        .map(|(name, property)| Field {
            name: name.clone(),
            shape: Shape::of(property),
            need: if required.contains(&name.as_str()) {
                Need::Required
            } else if property.get(OR_DEFAULT).is_some() {
                Need::OrDefault
            } else {
                Need::Optional
            },
        })
        .collect()
}

fn string(schema: &Json) -> Scalar {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return Scalar::Choice(
            words
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect(),
        );
    }
    match (text(schema, "format"), text(schema, REFERS_TO)) {
        (Some("duration" | "duration-or-zero"), _) => Scalar::Duration,
        (Some("duration-or-none"), _) => Scalar::DurationOrNone,
        (Some("fault-domain"), _) => Scalar::Domain,
        (Some("size"), _) => Scalar::Size,
        (Some("rate"), _) => Scalar::Rate,
        (Some("key-reference"), _) => Scalar::KeyReference,
        // A plan names its redundancy profile by the bare id, and the model holds the profile itself.
        (Some("id"), Some("redundancy")) => Scalar::Inline("redundancy".to_owned()),
        (Some("id"), Some(collection)) => Scalar::Reference(collection.to_owned()),
        _ => Scalar::Text,
    }
}
