//! Owns the documents of a tree by kind and id: what they are called, and whether their shape is sound. Finds unknown
//! kinds, duplicate ids and a missing or repeated header. The entry is [`Tree::read`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code;

use crate::diagnostic::Diagnostic;
use crate::kinds::{Kind, Place};
use crate::parse::{Document, Node, Value};
use crate::schema;
use crate::source::{MAX_FINDINGS, Span};

/// So many faults of one document have few causes.
const MAX_OF_DOCUMENT: usize = 100;

/// A document of a known kind with an id.
#[derive(Debug, Clone)]
pub struct Doc {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Where the id was written.
    pub id_span: Span,
    /// Its root, always a mapping.
    pub root: Node,
    /// Its shape is right; others are known by id only, so that references to them find them and say nothing more.
    pub sound: bool,
}

impl Doc {
    /// Its path in the model.
    pub fn at(&self) -> Vec<String> {
        at(self.kind, &self.id)
    }
}

/// The path of a document in the model.
pub fn at(kind: Kind, id: &str) -> Vec<String> {
    match kind.place() {
        Place::Settings => vec![
            "settings".to_owned(),
            kind.collection().to_owned(),
            id.to_owned(),
        ],
        Place::Top | Place::Environment => vec![kind.collection().to_owned(), id.to_owned()],
        Place::Header => vec![kind.collection().to_owned()],
    }
}

/// The documents of a tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    docs: BTreeMap<Kind, BTreeMap<String, Doc>>,
    /// Kinds of which a document was lost: an unknown reference into them may be the reader's fault, not the author's.
    lost: BTreeSet<Kind>,
}

impl Tree {
    /// Sorts documents by kind and id, and holds each against the schema of its kind.
    pub fn read(documents: Vec<Document>, lost: bool, out: &mut Vec<Diagnostic>) -> Self {
        let mut tree = Self::default();
        if lost {
            tree.lost.extend(Kind::ALL);
        }
        let mut numbers: BTreeMap<u32, usize> = BTreeMap::new();
        for document in documents {
            if out.len() > MAX_FINDINGS {
                tree.lost.extend(Kind::ALL);
                break;
            }
            let number = numbers.entry(document.file).or_default();
            *number += 1;
            tree.add(document, *number, out);
        }
        tree
    }

    fn add(&mut self, document: Document, number: usize, out: &mut Vec<Diagnostic>) {
        let nowhere = || {
            vec![
                format!("file {}", document.file),
                format!("document {number}"),
            ]
        };
        let Some(kind) = kind_of(&document.root, &nowhere(), out) else {
            self.lost.extend(Kind::ALL);
            return;
        };
        let id_node = document.root.get(kind.id_field());
        let id = id_node.and_then(Node::text).map(str::to_owned);
        let path = id.as_deref().map_or_else(nowhere, |id| at(kind, id));
        let mut findings = schema::check(kind, &document.root, &path);
        let more = findings.len().saturating_sub(MAX_OF_DOCUMENT);
        findings.truncate(MAX_OF_DOCUMENT);
        if let Some(last) = findings.last_mut().filter(|_| more > 0) {
            last.notes.push(format!(
                "{more} more findings of this document are not told"
            ));
        }
        let sound = findings.is_empty() && !document.root.has_refused();
        out.extend(findings);
        let (Some(id), Some(id_span)) = (id, id_node.map(|node| node.span)) else {
            self.lost.insert(kind);
            return;
        };
        let doc = Doc {
            kind,
            id,
            id_span,
            root: document.root,
            sound,
        };
        match self.docs.entry(kind).or_default().entry(doc.id.clone()) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(doc);
            }
            std::collections::btree_map::Entry::Occupied(first) => out.push(
                Diagnostic::error(
                    code::DUPLICATE_ID,
                    format!("{} `{}` is declared twice", kind.name(), doc.id),
                )
                .label(doc.id_span, "declared again")
                .label(first.get().id_span, "declared first")
                .help("rename one of the two, or delete it")
                .at(doc.at()),
            ),
        }
    }

    /// A document.
    pub fn get(&self, kind: Kind, id: &str) -> Option<&Doc> {
        self.docs.get(&kind)?.get(id)
    }

    /// The documents of a kind, by id.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Doc> {
        self.docs.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// The documents of a kind, to change them.
    pub fn of_mut(&mut self, kind: Kind) -> impl Iterator<Item = &mut Doc> {
        self.docs
            .get_mut(&kind)
            .into_iter()
            .flat_map(BTreeMap::values_mut)
    }

    /// A document, to change it.
    pub fn get_mut(&mut self, kind: Kind, id: &str) -> Option<&mut Doc> {
        self.docs.get_mut(&kind)?.get_mut(id)
    }

    /// All documents, by kind and id.
    pub fn all(&self) -> impl Iterator<Item = &Doc> {
        self.docs.values().flat_map(BTreeMap::values)
    }

    /// Whether a document of the kind could not be read.
    pub fn has_lost(&self, kind: Kind) -> bool {
        self.lost.contains(&kind)
    }

    /// Whether all documents of the kind are there and sound, so that what is missing among them is missing.
    pub fn is_whole(&self, kind: Kind) -> bool {
        !self.has_lost(kind) && self.of(kind).all(|doc| doc.sound)
    }

    /// Finds a missing or repeated header, and a tree without any document.
    pub fn check_header(&self, out: &mut Vec<Diagnostic>) {
        if self.docs.is_empty() {
            if self.lost.is_empty() {
                out.push(
                    Diagnostic::error(code::EMPTY_TREE, "the folder holds no policy document")
                        .help("name the folder of a policy tree, or make one with `seawall init`"),
                );
            }
            return;
        }
        if self.of(Kind::Snapshot).next().is_none() && !self.has_lost(Kind::Snapshot) {
            out.push(
                Diagnostic::error(code::MISSING_HEADER, "the tree has no Snapshot")
                    .help("add one document of kind Snapshot: it says from when the policy holds")
                    .at(["snapshot"]),
            );
        }
        for kind in [Kind::Snapshot, Kind::Defaults] {
            let mut docs = self.of(kind);
            let Some(first) = docs.next() else {
                continue;
            };
            for again in docs {
                out.push(
                    Diagnostic::error(
                        code::MISSING_HEADER,
                        format!("the tree has more than one {}", kind.name()),
                    )
                    .label(again.id_span, "one more")
                    .label(first.id_span, "the first")
                    .help(format!("keep one {}", kind.name()))
                    .at([kind.collection(), again.id.as_str()]),
                );
            }
        }
    }
}

/// The kind that a document names.
fn kind_of(root: &Node, at: &[String], out: &mut Vec<Diagnostic>) -> Option<Kind> {
    let names = || Kind::ALL.iter().map(|kind| kind.name());
    let tell = |message: String, span: Span, help: String| {
        Diagnostic::error(code::UNKNOWN_KIND, message)
            .label(span, "")
            .help(help)
            .at(at.iter().cloned())
    };
    let Value::Mapping(mapping) = &root.value else {
        if root.value != Value::Refused {
            let help = "begin it with `kind: …` and the fields of that kind".to_owned();
            out.push(tell(
                "the document is no mapping of fields".to_owned(),
                root.span,
                help,
            ));
        }
        return None;
    };
    let Some(node) = mapping.get("kind") else {
        if !mapping.incomplete {
            let span = mapping
                .entries
                .first()
                .map_or(root.span, |entry| entry.key_span);
            let help = mapping
                .entries
                .iter()
                .find_map(|entry| guess(&entry.key))
                .map_or_else(
                    || {
                        format!(
                            "add `kind: …`, one of {}",
                            names().collect::<Vec<_>>().join(", ")
                        )
                    },
                    |kind| format!("add `kind: {}`", kind.name()),
                );
            out.push(tell("the document has no `kind`".to_owned(), span, help));
        }
        return None;
    };
    if node.value == Value::Refused {
        return None;
    }
    let Some(written) = node.text() else {
        let help = format!("write one of {}", names().collect::<Vec<_>>().join(", "));
        out.push(tell(
            "`kind` must be the name of a kind".to_owned(),
            node.span,
            help,
        ));
        return None;
    };
    let kind = Kind::named(written);
    if kind.is_none() {
        let text: String = written
            .chars()
            .take(60)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let near = names()
            .find(|name| name.eq_ignore_ascii_case(written))
            .map(|name| format!("did you mean `{name}`?"));
        let help = near
            .or_else(|| schema::did_you_mean(written, names()))
            .unwrap_or_else(|| format!("the kinds are {}", names().collect::<Vec<_>>().join(", ")));
        out.push(tell(format!("there is no kind `{text}`"), node.span, help));
    }
    kind
}

/// The kind whose id field this is.
fn guess(field: &str) -> Option<Kind> {
    Kind::ALL
        .iter()
        .copied()
        .find(|kind| kind.id_field() == field)
}
