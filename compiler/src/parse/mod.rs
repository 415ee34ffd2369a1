//! Owns the reading of YAML: text to documents whose every value knows its place. Reads the events of the parser under
//! `serde-saphyr`, because only they show anchors, tags and quoting. Never knows a kind or a field, never stops at the
//! first problem: after a syntax error it goes on with the next document. The entry is [`parse`].

mod node;
mod scalar;
mod syntax;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use contract::code;
use rayon::prelude::*;
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span as Mark, options};

pub use node::{Entry, Mapping, Node, Value, Way};

use crate::diagnostic::Diagnostic;
use crate::source::hidden;
use crate::source::{MAX_FILE_BYTES, MAX_LINE_BYTES, MAX_TREE_BYTES, SourceFile, SourceSet, Span};

/// The deepest kind nests four levels; deeper input only wears down the stack of whoever walks it.
pub const MAX_DEPTH: usize = 24;
/// The longest honest value is a justification of some paragraphs.
pub const MAX_SCALAR_BYTES: usize = 64 << 10;
/// The longest honest key is a field name of some thirty letters.
pub const MAX_KEY_BYTES: usize = 256;
/// The widest kind has some thirty fields, and no field maps more than some hundred names.
pub const MAX_ENTRIES: usize = 1000;
/// A hundred thousand datasets and their plans have six million; each takes a hundred bytes and more of memory.
pub const MAX_VALUES: usize = 7_000_000;
/// So many faults of writing have few causes, which the first of them show.
const MAX_REFUSALS: usize = 1000;

/// One YAML document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Index of its file.
    pub file: u32,
    /// Its root.
    pub root: Node,
}

/// All that could be read, and what could not.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// The documents, in the order of files and of places in them.
    pub documents: Vec<Document>,
    /// At least one document or file was lost; it may have been the one that somebody misses.
    pub lost: bool,
    /// What was refused.
    pub diagnostics: Vec<Diagnostic>,
    /// A limit of the whole tree was met, and what comes after it is not read.
    full: bool,
}

impl Parsed {
    /// The same tree with other documents.
    #[must_use]
    pub fn with(&self, documents: Vec<Document>) -> Self {
        Self {
            documents,
            lost: self.lost,
            diagnostics: self.diagnostics.clone(),
            full: self.full,
        }
    }
}

/// Reads every document of every file, files side by side.
pub fn parse(sources: &SourceSet) -> Parsed {
    let mut bytes = 0_usize;
    let files: Vec<(u32, &SourceFile, usize)> = (0..)
        .zip(&sources.files)
        .map(|(index, file)| {
            bytes = bytes.saturating_add(file.text.len());
            (index, file, bytes)
        })
        .collect();
    let values = AtomicUsize::new(0);
    let read: Vec<Parsed> = files
        .par_iter()
        .map(|file| {
            let mut parsed = Parsed::default();
            one(*file, &values, &mut parsed);
            parsed
        })
        .collect();
    let refusals: usize = read.iter().map(|file| file.diagnostics.len()).sum();
    let mut parsed = Parsed {
        lost: sources.incomplete,
        ..Parsed::default()
    };
    if read.iter().any(|file| file.full) || refusals >= MAX_REFUSALS {
        // Where a limit of the tree is met must not depend on which file was quicker.
        drop(read);
        let values = AtomicUsize::new(0);
        for file in files {
            if parsed.full {
                break;
            }
            one(file, &values, &mut parsed);
        }
        return parsed;
    }
    for file in read {
        parsed.lost |= file.lost;
        parsed.documents.extend(file.documents);
        parsed.diagnostics.extend(file.diagnostics);
    }
    parsed
}

/// Reads a file; `tree` is the length of the tree up to its end, `values` counts those of the tree.
fn one((index, file, tree): (u32, &SourceFile, usize), values: &AtomicUsize, out: &mut Parsed) {
    if file.text.len() > MAX_FILE_BYTES || tree > MAX_TREE_BYTES {
        out.lost = true;
        out.diagnostics.push(too_large(index, file, tree));
    } else {
        Reader::new(index, file, values, out).read();
    }
}

fn too_large(index: u32, file: &SourceFile, tree: usize) -> Diagnostic {
    let message = if file.text.len() > MAX_FILE_BYTES {
        format!(
            "`{}` is {} bytes long, more than {MAX_FILE_BYTES}",
            file.path,
            file.text.len()
        )
    } else {
        format!(
            "with `{}` the tree is {tree} bytes long, more than {MAX_TREE_BYTES}",
            file.path
        )
    };
    Diagnostic::error(code::INPUT_TOO_LARGE, message)
        .label(
            Span {
                file: index,
                start: 0,
                end: 0,
            },
            "",
        )
        .help("split it, or keep data out of the policy tree")
        .at([file.path.as_str()])
}

/// A collection that is not yet closed.
enum Open {
    List {
        start: Span,
        items: Vec<Node>,
    },
    Mapping {
        start: Span,
        mapping: Mapping,
        seen: BTreeSet<String>,
        key: Option<Key>,
    },
}

/// A key that waits for its value.
enum Key {
    Usable(String, Span),
    /// The key was refused, so its value goes nowhere.
    Refused,
}

struct Reader<'a> {
    index: u32,
    file: &'a SourceFile,
    values: &'a AtomicUsize,
    out: &'a mut Parsed,
    open: Vec<Open>,
    root: Option<Node>,
    /// What was refused last.
    refused: Option<Span>,
}

impl<'a> Reader<'a> {
    fn new(index: u32, file: &'a SourceFile, values: &'a AtomicUsize, out: &'a mut Parsed) -> Self {
        Self {
            index,
            file,
            values,
            out,
            open: Vec::new(),
            root: None,
            refused: None,
        }
    }

    fn read(mut self) {
        if self.file.text.starts_with('\u{feff}') {
            let span = Span {
                file: self.index,
                start: 0,
                end: 3,
            };
            let finding = Diagnostic::error(
                code::UNSUPPORTED_YAML,
                "the file begins with a byte order mark",
            )
            .label(span, "")
            .help("save the file as UTF-8 without a byte order mark");
            self.tell(finding);
        }
        if let Some(finding) = self.unfit() {
            self.tell(finding);
            self.out.lost = true;
            return;
        }
        let mut parser = Parser::new_from_str_with_options(&self.file.text, parser_options());
        while let Some(event) = parser.next_event() {
            if self.out.full {
                self.out.lost = true;
                break;
            }
            match event {
                Ok((Event::StreamEnd, _)) => break,
                Ok((event, mark)) => self.take(event, mark),
                Err(error) => {
                    let finding = syntax::describe(&error, self.index, &self.file.text);
                    if !self.follows_from_refusal(&finding) {
                        self.tell(finding);
                    }
                    self.open.clear();
                    self.root = None;
                    self.out.lost = true;
                    // A syntax error costs one document; the others of the file are still read.
                    if !matches!(parser.proceed_next_document(), Ok(true)) {
                        break;
                    }
                }
            }
        }
    }

    fn tell(&mut self, finding: Diagnostic) {
        if self.out.full {
            return;
        }
        let path = self.file.path.as_str();
        self.out.diagnostics.push(finding.at([path]));
        if self.out.diagnostics.len() == MAX_REFUSALS {
            let message =
                format!("`{path}` is read no further: {MAX_REFUSALS} findings are enough");
            self.stop(message, None, "mend these first; then the others are told");
        }
    }

    /// Ends the reading of the whole tree.
    fn stop(&mut self, message: String, place: Option<Span>, help: &str) {
        let mut finding = Diagnostic::error(code::INPUT_TOO_LARGE, message).help(help);
        if let Some(span) = place {
            finding = finding.label(span, "");
        }
        self.out.full = true;
        self.out
            .diagnostics
            .push(finding.at([self.file.path.as_str()]));
    }

    /// Why the text as a whole is not read: what a reviewer sees of it is not what it says, or nobody reviews it.
    fn unfit(&self) -> Option<Diagnostic> {
        let text = self.file.text.as_str();
        let place = |start: usize, length: usize| Span {
            file: self.index,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(start.saturating_add(length)).unwrap_or(u32::MAX),
        };
        let mark = if text.starts_with('\u{feff}') { 3 } else { 0 };
        if let Some((at, letter)) = text.get(mark..).and_then(hidden::first) {
            let message = format!(
                "the character {} does not show, or changes how others are shown",
                hidden::name(letter)
            );
            return Some(
                Diagnostic::error(code::UNSUPPORTED_YAML, message)
                    .label(place(mark + at, letter.len_utf8()), "")
                    .help("remove it: a reviewer must see what is read"),
            );
        }
        let mut start = 0;
        let long = text.split_inclusive('\n').find(|line| {
            let long = line.len() > MAX_LINE_BYTES;
            start += if long { 0 } else { line.len() };
            long
        })?;
        let message = format!(
            "a line is {} bytes long, more than {MAX_LINE_BYTES}",
            long.len()
        );
        Some(
            Diagnostic::error(code::INPUT_TOO_LARGE, message)
                .label(place(start, 0), "")
                .help("break it into lines, or keep data out of the policy tree"),
        )
    }

    /// Counts a value.
    fn count(&mut self, span: Span) {
        let before = self.values.fetch_add(1, Ordering::Relaxed);
        if before >= MAX_VALUES && !self.out.full {
            let message = format!("here the tree has more than {MAX_VALUES} values");
            let help = "keep data out of the policy tree, or split it into several trees";
            self.stop(message, Some(span), help);
        }
    }

    /// Whether a syntax error stands right behind something on the same line that was refused: `*/5 * * * *` is first
    /// an alias and then nonsense, and the first is the cause.
    fn follows_from_refusal(&self, finding: &Diagnostic) -> bool {
        let (Some(refused), Some(place)) = (self.refused, finding.labels.first()) else {
            return false;
        };
        self.file
            .text
            .get(refused.start as usize..place.span.start as usize)
            .is_some_and(|between| !between.contains('\n'))
    }

    fn refuse(&mut self, span: Span, message: String, help: &str) {
        self.refused = Some(span);
        self.tell(
            Diagnostic::error(code::UNSUPPORTED_YAML, message)
                .label(span, "")
                .help(help),
        );
    }

    fn span(&self, mark: Mark) -> Span {
        let range = mark.byte_range().unwrap_or(0..0);
        let clamp = |at: usize| at.min(self.file.text.len());
        let (start, end) = (clamp(range.start), clamp(range.end));
        // Block scalars and open collections reach to the next token; trailing blanks are no part of a value.
        let text = self.file.text.get(start..end).unwrap_or_default();
        Span {
            file: self.index,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(start + text.trim_end().len()).unwrap_or(u32::MAX),
        }
    }

    fn take(&mut self, event: Event<'_>, mark: Mark) {
        let span = self.span(mark);
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) => {}
            Event::DocumentEnd => self.finish_document(),
            Event::Scalar(text, style, _, tag) => {
                self.count(span);
                let node = self.scalar(&text, style, span);
                let refused = tag.is_some();
                if refused {
                    self.refuse_tag(mark, span);
                }
                self.place(if refused {
                    Node::new(span, Value::Refused)
                } else {
                    node
                });
            }
            Event::SequenceStart(_, _, tag) => {
                self.count(span);
                if tag.is_some() {
                    self.refuse_tag(mark, span);
                }
                self.open.push(Open::List {
                    start: span,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(_, _, tag) => {
                self.count(span);
                if tag.is_some() {
                    self.refuse_tag(mark, span);
                }
                self.open.push(Open::Mapping {
                    start: span,
                    mapping: Mapping::default(),
                    seen: BTreeSet::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Anchor(_, name) => {
                let message = format!("the anchor `&{name}` is not supported");
                self.refuse(span, message, "write the value where it is used, or move it into a settings document and refer to that");
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let text = self.slice(span).to_owned();
                let help = if text.starts_with("*/") || text == "*" {
                    "quote text that begins with `*`, for example `\"*/5 * * * *\"`"
                } else {
                    "write the value itself, or quote it when text is meant"
                };
                self.refuse(span, format!("the alias `{text}` is not supported"), help);
                self.place(Node::new(span, Value::Refused));
            }
            // The library may learn new events; a thing that nobody here knows is refused, never skipped.
            _ => {
                let help = "write plain mappings, lists and values";
                self.refuse(span, "this construct is not supported".to_owned(), help);
            }
        }
    }

    fn slice(&self, span: Span) -> &str {
        self.file
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    fn refuse_tag(&mut self, mark: Mark, value: Span) {
        let start = mark
            .tag_start()
            .and_then(|tag| tag.byte_offset())
            .unwrap_or(value.start as usize);
        let rest = self.file.text.get(start..).unwrap_or_default();
        let text = rest
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
            .next()
            .unwrap_or_default();
        let text: String = text.chars().take(MAX_KEY_BYTES).collect();
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let span = Span {
            file: self.index,
            start,
            end: start.saturating_add(u32::try_from(text.len()).unwrap_or(0)),
        };
        self.refuse(
            span,
            format!("the tag `{text}` is not supported"),
            "leave the tag out; quote a value that must be text",
        );
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Node {
        if text.len() > MAX_SCALAR_BYTES {
            let message = format!(
                "a value is {} bytes long, more than {MAX_SCALAR_BYTES}",
                text.len()
            );
            self.tell(
                Diagnostic::error(code::INPUT_TOO_LARGE, message)
                    .label(span, "")
                    .help("shorten it"),
            );
            return Node::new(span, Value::Refused);
        }
        // Raw ones are refused with the whole file; these come from escapes in quoted text.
        if let Some((_, letter)) = hidden::first(text) {
            let message = format!(
                "the value holds {}, a character that does not show, or changes how others are shown",
                hidden::name(letter)
            );
            self.refuse(
                span,
                message,
                "leave it out: messages and evidence show this value to people",
            );
            return Node::new(span, Value::Refused);
        }
        let value = match style {
            ScalarStyle::Plain => match scalar::read(text) {
                Ok(value) => value,
                // A key such as `on` or `12` is a field that no kind has, which the schema tells better.
                Err(_) if self.awaits_key() => Value::Text(text.to_owned()),
                Err(odd) => {
                    self.refuse(span, odd.message, &odd.help);
                    Value::Refused
                }
            },
            ScalarStyle::SingleQuoted
            | ScalarStyle::DoubleQuoted
            | ScalarStyle::Literal
            | ScalarStyle::Folded => Value::Text(text.to_owned()),
        };
        Node::new(span, value)
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Mapping { key: None, .. }))
    }

    /// Puts a finished value where it belongs: into the open collection, or at the root.
    fn place(&mut self, node: Node) {
        if self.awaits_key() {
            let key = self.key(&node);
            if let Some(Open::Mapping { key: waiting, .. }) = self.open.last_mut() {
                *waiting = Some(key);
            }
            return;
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Mapping { mapping, key, .. }) => match key.take() {
                Some(Key::Usable(key, key_span)) => {
                    mapping.entries.push(Entry {
                        key,
                        key_span,
                        node,
                    });
                }
                Some(Key::Refused) | None => mapping.incomplete = true,
            },
        }
    }

    /// Judges a key: it is text, not a merge key, not too long, and new in its mapping.
    fn key(&mut self, node: &Node) -> Key {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Null | Value::Flag(_) | Value::Integer(_) => self.slice(node.span).to_owned(),
            Value::List(_) | Value::Mapping(_) => {
                self.refuse(
                    node.span,
                    "a key is a list or a mapping".to_owned(),
                    "write a field name before the colon; quote text that begins with `[` or `{`",
                );
                return Key::Refused;
            }
            Value::Refused => return Key::Refused,
        };
        if text == "<<" {
            self.refuse(
                node.span,
                "the merge key `<<` is not supported".to_owned(),
                "write the fields here, or give shared values in Defaults",
            );
            return Key::Refused;
        }
        if text.len() > MAX_KEY_BYTES {
            let message = format!(
                "a key is {} bytes long, more than {MAX_KEY_BYTES}",
                text.len()
            );
            self.tell(
                Diagnostic::error(code::INPUT_TOO_LARGE, message)
                    .label(node.span, "")
                    .help("a key is the name of a field"),
            );
            return Key::Refused;
        }
        let Some(Open::Mapping { mapping, seen, .. }) = self.open.last_mut() else {
            return Key::Refused;
        };
        if mapping.entries.len() == MAX_ENTRIES {
            let told = std::mem::replace(&mut mapping.incomplete, true);
            if !told {
                let message = format!("a mapping has more than {MAX_ENTRIES} keys");
                let finding = Diagnostic::error(code::INPUT_TOO_LARGE, message)
                    .label(node.span, "the first one too many")
                    .help("no field takes so many; look for a wrong indentation");
                self.tell(finding);
            }
            return Key::Refused;
        }
        if seen.insert(text.clone()) {
            return Key::Usable(text, node.span);
        }
        let first = mapping.entry(&text).map(|entry| entry.key_span);
        let mut finding = Diagnostic::error(
            code::DUPLICATE_KEY,
            format!("the key `{text}` is given twice"),
        )
        .label(node.span, "given again")
        .help("keep one of the two");
        if let Some(first) = first {
            finding = finding.label(first, "given first");
        }
        self.tell(finding);
        Key::Refused
    }

    fn close(&mut self, end: Span) {
        let bracket = matches!(self.slice(end), "]" | "}").then_some(end.end);
        let node = match self.open.pop() {
            Some(Open::List { start, items }) => {
                let last = items.last().map(|node| node.span.end);
                Node::new(reach(start, bracket, last), Value::List(items))
            }
            Some(Open::Mapping { start, mapping, .. }) => {
                let last = mapping
                    .entries
                    .last()
                    .map(|entry| entry.node.span.end.max(entry.key_span.end));
                Node::new(reach(start, bracket, last), Value::Mapping(mapping))
            }
            None => return,
        };
        self.place(node);
    }

    fn finish_document(&mut self) {
        let Some(root) = self.root.take() else {
            return;
        };
        // A document of comments alone says nothing.
        if root.value != Value::Null {
            self.out.documents.push(Document {
                file: self.index,
                root,
            });
        }
    }
}

/// From the first byte of a collection to its closing bracket, or to the end of its last entry where it has none: the
/// parser ends a block collection only where the next thing begins.
fn reach(start: Span, bracket: Option<u32>, last: Option<u32>) -> Span {
    let end = bracket.or(last).unwrap_or(start.end);
    Span {
        end: end.max(start.end),
        ..start
    }
}

fn parser_options() -> Options {
    options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}
