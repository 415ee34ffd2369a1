//! Owns the tree that a YAML document becomes: values with the place where each was written, and the way it came there.
//! Never knows what a field means. The type is [`Node`].

use std::sync::Arc;

use serde_json::Value as Json;

use crate::source::Span;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The text of the value. Of a collection, from its first byte to the end of its last entry.
    pub span: Span,
    /// The value.
    pub value: Value,
    /// How the value came to where it stands now; children that have no way of their own share their parent's.
    pub way: Option<Arc<Way>>,
}

/// One step on the way of a value from where it was written to where it stands, the step nearest to the value first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The place that demanded, replaced or allowed the value.
    pub span: Span,
    /// What that place did, one short lowercase line.
    pub text: String,
    /// The steps further away.
    pub next: Option<Arc<Way>>,
}

/// What a document can hold. There are no fractions and no timestamps: both are refused or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Mapping(Mapping),
    /// Something that was refused with a finding; whoever meets it says nothing more about it.
    Refused,
}

/// A mapping in the order in which it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// The entries, keys unique.
    pub entries: Vec<Entry>,
    /// An entry was refused with a finding, so that a missing field may be that one.
    pub incomplete: bool,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

impl Mapping {
    /// The value of a key. Searches: mappings of documents have at most some twenty fields that anybody asks for.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries
            .iter_mut()
            .find(|entry| entry.key == key)
            .map(|entry| &mut entry.node)
    }

    /// Sets a key, in place where it exists, else at the end.
    pub fn set(&mut self, key: &str, key_span: Span, node: Node) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.node = node,
            None => self.entries.push(Entry {
                key: key.to_owned(),
                key_span,
                node,
            }),
        }
    }
}

impl Node {
    /// A value as it was written.
    pub fn new(span: Span, value: Value) -> Self {
        Self {
            span,
            value,
            way: None,
        }
    }

    /// The mapping, if it is one.
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            Value::Null
            | Value::Flag(_)
            | Value::Integer(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Refused => None,
        }
    }

    /// The field of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.mapping().and_then(|mapping| mapping.get(key))
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null
            | Value::Flag(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Mapping(_)
            | Value::Refused => None,
        }
    }

    /// The entries of a list; none where it is no list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null
            | Value::Flag(_)
            | Value::Integer(_)
            | Value::Text(_)
            | Value::Mapping(_)
            | Value::Refused => &[],
        }
    }

    /// Whether it, or anything in it, was refused.
    pub fn has_refused(&self) -> bool {
        match &self.value {
            Value::Refused => true,
            Value::Null | Value::Flag(_) | Value::Integer(_) | Value::Text(_) => false,
            Value::List(items) => items.iter().any(Self::has_refused),
            Value::Mapping(mapping) => {
                mapping.incomplete || mapping.entries.iter().any(|entry| entry.node.has_refused())
            }
        }
    }

    /// Adds a step to its way.
    pub fn came_by(&mut self, span: Span, text: impl Into<String>) {
        let text = text.into();
        self.way = Some(Arc::new(Way {
            span,
            text,
            next: self.way.take(),
        }));
    }

    /// The same value as JSON, without places.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Refused => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Integer(number) => Json::from(*number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Mapping(mapping) => Json::Object(
                mapping
                    .entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }
}
