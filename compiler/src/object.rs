//! Owns what is told of one object of a compiled tree: every resolved value, the place that set it, and the steps that led
//! there. Pure. The interesting functions are [`find`] and [`values`].

use contract::duration::Seconds;
use serde_json::Value as Json;

use crate::compile::Compilation;
use crate::kinds::{Kind, Place};
use crate::lower::Origin;
use crate::schema::UNIT_SUFFIXES;

/// An object of the model, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// As people name it: `plans/bp_core`.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its path in the model.
    pub path: Vec<String>,
    /// The fields that were asked for, from the object inwards; empty for all of it.
    pub inner: Vec<String>,
}

/// Why no object was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// No object has this name; these are the nearest.
    Unknown(Vec<String>),
    /// Several objects have this id.
    Ambiguous(Vec<String>),
}

/// One value with where it came from.
#[derive(Debug, Clone)]
pub struct Resolved<'a> {
    /// Its path in the model, from the object on.
    pub path: Vec<&'a str>,
    /// The value; nothing where policy says `none`.
    pub value: Option<&'a Json>,
    /// Where it was set, and the way there.
    pub origin: &'a Origin,
}

/// Suggestions that are told.
const MAX_NEAR: usize = 5;

/// Finds an object by what a person writes: `datasets/ds_x`, `ds_x`, `gsmd:schedules/every_5m`, `kid:backup-01`,
/// `plans/bp_x/retention`.
pub fn find(model: &Json, written: &str) -> Result<Object, NotFound> {
    let all = objects(model);
    let word = written.strip_prefix("gsmd:").unwrap_or(written);
    let word = word.strip_prefix("settings/").unwrap_or(word);
    let word = match word.strip_prefix("kid:") {
        Some(kid) => format!("{}/{kid}", Kind::Key.collection()),
        None => word.trim_matches('/').to_owned(),
    };
    let whole = |object: &&Object| {
        word.strip_prefix(&object.name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // The longest name wins: no id has a `/`, so that no two of them can fit with different lengths by accident.
    if let Some(object) = all
        .iter()
        .filter(whole)
        .max_by_key(|object| object.name.len())
    {
        return Ok(object.with_inner(word.strip_prefix(&object.name).unwrap_or_default()));
    }
    let (id, rest) = word.split_once('/').unwrap_or((&word, ""));
    let same: Vec<&Object> = all.iter().filter(|object| object.id() == id).collect();
    match same.as_slice() {
        [one] => Ok(one.with_inner(rest)),
        [] => Err(NotFound::Unknown(near(&all, &word))),
        several => Err(NotFound::Ambiguous(
            several.iter().map(|object| object.name.clone()).collect(),
        )),
    }
}

impl Object {
    fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// The same object, asked for the fields of a path such as `retention/keep`.
    fn with_inner(&self, fields: &str) -> Self {
        let inner = fields.split('/').filter(|name| !name.is_empty());
        Self {
            inner: inner.map(str::to_owned).collect(),
            ..self.clone()
        }
    }
}

/// Every object of a model.
fn objects(model: &Json) -> Vec<Object> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let collection = kind.collection();
        let (pointer, path) = match kind.place() {
            Place::Settings => (
                format!("/settings/{collection}"),
                vec!["settings", collection],
            ),
            Place::Top => (format!("/{collection}"), vec![collection]),
            Place::Header | Place::Environment => {
                let (name, place) = match kind.place() {
                    Place::Environment => ("environment", "environment"),
                    Place::Settings | Place::Top | Place::Header => (collection, collection),
                };
                if model.get(place).is_some() {
                    found.push(Object {
                        name: name.to_owned(),
                        kind: *kind,
                        path: vec![place.to_owned()],
                        inner: Vec::new(),
                    });
                }
                continue;
            }
        };
        let ids = model.pointer(&pointer).and_then(Json::as_object);
        found.extend(ids.into_iter().flatten().map(|(id, _)| {
            Object {
                name: format!("{collection}/{id}"),
                kind: *kind,
                path: path
                    .iter()
                    .map(|name| (*name).to_owned())
                    .chain([id.clone()])
                    .collect(),
                inner: Vec::new(),
            }
        }));
    }
    found
}

/// The names that are nearest to a word: those that a slip of the finger away, and those that it is a part of.
fn near(all: &[Object], word: &str) -> Vec<String> {
    let mut ranked: Vec<(usize, String)> = all
        .iter()
        .filter_map(|object| {
            let against = if word.contains('/') {
                object.name.as_str()
            } else {
                object.id()
            };
            let bound = 1 + word.len().min(against.len()) / 4;
            let distance = strsim::osa_distance(word, against);
            let part = word.len() > 2 && (against.contains(word) || object.id().contains(word));
            (distance <= bound || part).then(|| (distance, object.name.clone()))
        })
        .collect();
    ranked.sort();
    // Beside a near one, names that are much further away are noise.
    let best = ranked.first().map_or(0, |(distance, _)| *distance);
    ranked.retain(|(distance, name)| *distance <= best + 1 || name.contains(word));
    ranked.truncate(MAX_NEAR);
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// The values of an object, in the order of their paths. Fields are found by their name in the source and in the model.
pub fn values<'a>(
    compilation: &'a Compilation,
    model: &'a Json,
    object: &Object,
) -> Vec<Resolved<'a>> {
    compilation
        .provenance
        .scalars()
        .into_iter()
        .filter_map(|(path, origin)| {
            let own = path
                .iter()
                .zip(&object.path)
                .all(|(name, own)| *name == own.as_str());
            let inside = path.get(object.path.len()..).filter(|_| own)?;
            let wanted = object.inner.len() <= inside.len()
                && object
                    .inner
                    .iter()
                    .zip(inside)
                    .all(|(wanted, name)| wanted == name || wanted == source_name(name));
            wanted.then(|| Resolved {
                path: inside.to_vec(),
                value: model.pointer(&format!("/{}", path.join("/"))),
                origin,
            })
        })
        .collect()
}

/// The name of a field in source documents.
pub fn source_name(name: &str) -> &str {
    UNIT_SUFFIXES
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

/// A value in the words of people: `5 min` for 300 seconds.
pub fn told(name: &str, value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => "none".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(value) => match value.as_u64().filter(|_| name.ends_with("_s")) {
            Some(seconds) => Seconds::new(seconds).human(),
            None => value.to_string(),
        },
    }
}
