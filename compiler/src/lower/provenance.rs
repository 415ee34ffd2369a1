//! Owns where each value of the model came from: the place that set it and the chain that led there. The interesting
//! function is [`Provenance::lookup`]; [`Provenance::to_bytes`] makes `provenance.json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::parse::Node;
use crate::schema::UNIT_SUFFIXES;
use crate::source::{Position, SourceSet, Span};

/// Where a value was set, and the steps that led from where it stands to that place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The text that set it.
    pub span: Span,
    /// The steps, the one nearest to where the value stands first; empty for a value that was written where it stands.
    pub chain: Arc<[Link]>,
}

/// One step: a place and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where.
    pub span: Span,
    /// One short lowercase line.
    pub text: String,
}

/// The origins of a model, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    root: Branch,
}

/// One place of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) origin: Option<Origin>,
    pub(super) is_scalar: bool,
    children: BTreeMap<String, Branch>,
}

impl Branch {
    pub(super) fn child(&mut self, name: &str) -> &mut Self {
        // Asked first, so that the common case of a known child copies no name.
        if !self.children.contains_key(name) {
            self.children.insert(name.to_owned(), Self::default());
        }
        self.children.entry(name.to_owned()).or_default()
    }

    /// A child by its name in the model or in the source.
    fn find(&self, name: &str) -> Option<&Self> {
        self.children
            .get(name)
            .or_else(|| {
                UNIT_SUFFIXES
                    .iter()
                    .find_map(|suffix| self.children.get(&format!("{name}{suffix}")))
            })
            .or_else(|| {
                UNIT_SUFFIXES
                    .iter()
                    .find_map(|suffix| self.children.get(name.strip_suffix(suffix)?))
            })
    }
}

impl Provenance {
    pub(super) fn branch(&mut self, path: &[&str]) -> &mut Branch {
        path.iter()
            .fold(&mut self.root, |branch, name| branch.child(name))
    }

    /// The origin of the value at a path, or of the nearest thing around it that has one. Fields are found by their name
    /// in the model (`every_s`) and in the source (`every`).
    pub fn lookup<S: AsRef<str>>(&self, path: &[S]) -> Option<&Origin> {
        let mut branch = &self.root;
        let mut nearest = None;
        for name in path {
            let Some(next) = branch.find(name.as_ref()) else {
                break;
            };
            branch = next;
            nearest = branch.origin.as_ref().or(nearest);
        }
        nearest
    }

    /// The origin of exactly the value at a path of the model.
    pub fn exact<S: AsRef<str>>(&self, path: &[S]) -> Option<&Origin> {
        let mut branch = &self.root;
        for name in path {
            branch = branch.children.get(name.as_ref())?;
        }
        branch.origin.as_ref()
    }

    /// Every single value with its path, in the order of paths.
    pub fn scalars(&self) -> Vec<(Vec<&str>, &Origin)> {
        let mut found = Vec::new();
        let mut open = vec![(Vec::new(), &self.root)];
        while let Some((path, branch)) = open.pop() {
            if let Some(origin) = branch.origin.as_ref().filter(|_| branch.is_scalar) {
                found.push((path.clone(), origin));
            }
            for (name, child) in branch.children.iter().rev() {
                open.push(([path.as_slice(), &[name.as_str()]].concat(), child));
            }
        }
        found
    }

    /// The bytes of `provenance.json`: canonical JSON, `values` by JSON pointer into the bundle. They are written one after
    /// the other, for there are a hundred of each document: fields and values stand in the order of the canonical form.
    pub fn to_bytes(&self, sources: &SourceSet) -> Result<Vec<u8>, serde_json::Error> {
        let positions = sources.positions();
        let place = |span: Span| {
            let Position { line, column } = positions.of(span);
            (sources.path(span.file), line, column)
        };
        // Ids and field names have neither `/` nor `~`, so a pointer needs no escapes, and they are ASCII, so bytes order them.
        let mut origins: Vec<(String, &Origin)> = self
            .scalars()
            .into_iter()
            .map(|(path, origin)| (format!("/{}", path.join("/")), origin))
            .collect();
        origins.sort_by(|one, other| one.0.cmp(&other.0));
        let values = Entries(origins.iter().map(|(pointer, origin)| {
            let (file, line, column) = place(origin.span);
            let chain = origin.chain.iter().map(|link| {
                let (file, line, column) = place(link.span);
                Step {
                    column,
                    file,
                    line,
                    text: &link.text,
                }
            });
            let entry = Entry {
                chain: chain.collect(),
                column,
                file,
                line,
            };
            (pointer, entry)
        }));
        serde_json::to_vec(&Written { format: 1, values })
    }
}

#[derive(Serialize)]
struct Written<V> {
    format: u8,
    values: V,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chain: Vec<Step<'a>>,
    column: usize,
    file: &'a str,
    line: usize,
}

#[derive(Serialize)]
struct Step<'a> {
    column: usize,
    file: &'a str,
    line: usize,
    text: &'a str,
}

/// A mapping that is made while it is written.
struct Entries<I>(I);

impl<'a, I: Iterator<Item = (&'a String, Entry<'a>)> + Clone> Serialize for Entries<I> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

/// The chain of a value: that of what it stands in, and its own.
pub(super) fn extend(chain: &Arc<[Link]>, node: &Node) -> Arc<[Link]> {
    let Some(way) = &node.way else {
        return Arc::clone(chain);
    };
    let steps = std::iter::successors(Some(way), |step| step.next.as_ref());
    chain
        .iter()
        .cloned()
        .chain(steps.map(|step| Link {
            span: step.span,
            text: step.text.clone(),
        }))
        .collect()
}
