//! Changes each field of the shipped policies, one at a time, and says which changes nobody notices: no schema, reference,
//! fact or rule. `docs/mutations.md` gives the reason why each such kind of change is harmless, and is held against what
//! is found. Called by `scripts/mutate-policies [PER_CLASS]`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a tool for developers, at the command line"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use compiler::compile::compile;
use compiler::facts;
use compiler::kinds::Kind;
use compiler::parse::{Node, Value, parse};
use compiler::rules::{self, Files, Input, RuleSet};
use compiler::schema::{self, Need, Scalar, Shape, format};
use compiler::source::{SourceFile, SourceSet};
use contract::calendar::Zones;
use contract::diff::{Effect, compare};
use contract::id::EnvironmentId;
use contract::model::Model;
use jiff::Timestamp;

/// The day as of which the tree is judged, as in its own tests.
const AT: i64 = 1_795_132_800; // 2026-11-20T00:00:00Z
const ENVIRONMENT: &str = "production";
const REASONS: &str = "docs/mutations.md";

/// One change of one file.
struct Change {
    /// `Kind.field.field[] what`.
    class: String,
    file: usize,
    bytes: Range<usize>,
    text: String,
}

/// How the changes of one class ended.
#[derive(Default)]
struct Ended {
    /// How many changes the class has.
    all: usize,
    tried: usize,
    /// A finding tells it, or there is no bundle.
    found: usize,
    /// The comparison with what was in force calls it weaker or incomparable: owners must sign.
    weaker: usize,
    /// It calls it stronger.
    stronger: usize,
    /// It does not reach the model: what it changes plays no part in this environment, or means the same.
    unseen: usize,
}

/// What is written where, for one walk over the documents.
struct Walk<'a> {
    text: &'a str,
    file: usize,
    kind: Kind,
    ids: &'a BTreeMap<String, Vec<String>>,
    out: &'a mut Vec<Change>,
}

impl Walk<'_> {
    fn change(&mut self, path: &str, what: &str, bytes: Range<usize>, text: String) {
        if self.text.get(bytes.clone()) != Some(text.as_str()) {
            let class = format!("{}{path} {what}", self.kind.name());
            let file = self.file;
            self.out.push(Change {
                class,
                file,
                bytes,
                text,
            });
        }
    }

    fn node(&mut self, node: &Node, shape: &Shape, path: &str) {
        let bytes = range(node);
        match (&node.value, shape) {
            (Value::Mapping(_), Shape::Mapping(_)) => self.mapping(node, shape, path),
            (Value::List(items), Shape::List { items: shape, .. }) => {
                for index in 0..items.len() {
                    if let Some((bytes, text)) = self.without(node, items, index) {
                        self.change(path, "one less", bytes, text);
                    }
                }
                for item in items {
                    self.node(item, shape, &format!("{path}[]"));
                }
            }
            (Value::Flag(flag), _) => self.change(path, "inverted", bytes, (!flag).to_string()),
            (Value::Integer(number), _) => {
                let doubled = if *number == 0 { 1 } else { number * 2 };
                self.change(path, "doubled", bytes.clone(), doubled.to_string());
                self.change(path, "halved", bytes, (number / 2).to_string());
            }
            (Value::Text(text), Shape::Policy { literal, .. }) => {
                match format::split_reference(text) {
                    Some(reference) => {
                        let rest = [&[""], reference.fields.as_slice()].concat().join("/");
                        for other in self.others(reference.collection, reference.id) {
                            let to = format!("gsmd:{}/{other}{rest}", reference.collection);
                            self.change(path, "another", bytes.clone(), to);
                        }
                    }
                    None => self.node(node, literal, path),
                }
            }
            (Value::Text(text), Shape::Scalar(scalar)) => self.scalar(text, scalar, path, &bytes),
            _ => {}
        }
    }

    fn scalar(&mut self, text: &str, scalar: &Scalar, path: &str, bytes: &Range<usize>) {
        let to = |text: String| text;
        let changes: Vec<(&str, String)> = match scalar {
            Scalar::Duration | Scalar::DurationOrNone => match contract::duration::parse(text) {
                Ok(length) => vec![
                    ("longer", format!("PT{}S", (length.get() * 2).max(1))),
                    ("shorter", format!("PT{}S", length.get() / 2)),
                ],
                Err(_) => vec![("limited", "P90D".to_owned())],
            },
            Scalar::Size | Scalar::Rate => {
                let digits = text
                    .find(|letter: char| !letter.is_ascii_digit())
                    .unwrap_or(0);
                let (number, unit) = text.split_at(digits);
                let number: u64 = number.parse().unwrap_or(1);
                vec![
                    ("doubled", format!("{}{unit}", number * 2)),
                    ("halved", format!("{}{unit}", number.div_ceil(2))),
                ]
            }
            Scalar::Choice(words) => words
                .iter()
                .filter(|word| *word != text)
                .map(|word| ("another", word.clone()))
                .collect(),
            Scalar::Reference(collection) | Scalar::Inline(collection) => self
                .others(collection, text)
                .into_iter()
                .map(|id| ("another", id))
                .collect(),
            Scalar::KeyReference => self
                .others("keys", text.trim_start_matches("kid:"))
                .into_iter()
                .map(|id| ("another", format!("kid:{id}")))
                .collect(),
            Scalar::Domain => vec![("another", "host:elsewhere".to_owned())],
            Scalar::Text => match text.parse::<Timestamp>() {
                Ok(at) => {
                    let year = jiff::SignedDuration::from_hours(365 * 24);
                    vec![
                        ("later", (at + year).to_string()),
                        ("earlier", (at - year).to_string()),
                    ]
                }
                Err(_) if text.contains(' ') => {
                    vec![("other words", format!("\"{} x\"", text.replace('"', "'")))]
                }
                Err(_) => vec![("other words", to(format!("{text}-x")))],
            },
            Scalar::Integer | Scalar::Flag => Vec::new(),
        };
        for (what, text) in changes {
            self.change(path, what, bytes.clone(), text);
        }
    }

    fn mapping(&mut self, node: &Node, shape: &Shape, path: &str) {
        let Some(mapping) = node.mapping() else {
            return;
        };
        for entry in &mapping.entries {
            let Some(field) = shape.field(&entry.key) else {
                continue;
            };
            let path = format!("{path}.{}", entry.key);
            if field.need != Need::Required {
                let whole = entry.key_span.start as usize..entry.node.span.end as usize;
                let (bytes, text) = self.cut(node, whole);
                self.change(&path, "left out", bytes, text);
            }
            self.node(&entry.node, &field.shape, &path);
        }
    }

    /// Other documents of a collection.
    fn others(&self, collection: &str, id: &str) -> Vec<String> {
        let ids = self.ids.get(collection).map_or(&[][..], Vec::as_slice);
        ids.iter().filter(|other| *other != id).cloned().collect()
    }

    /// What takes a part out of a collection in brackets with its comma, or out of a block with its lines.
    fn cut(&self, collection: &Node, part: Range<usize>) -> (Range<usize>, String) {
        let whole = range(collection);
        let in_brackets = matches!(self.text.as_bytes().get(whole.start), Some(b'[' | b'{'));
        if in_brackets {
            let after = self.text[part.end..whole.end].trim_start();
            if after.starts_with(',') {
                let end = whole.end - after.len() + 1;
                return (part.start..end, String::new());
            }
            let before = self.text[whole.start..part.start].trim_end();
            let start = whole.start + before.trim_end_matches(',').len();
            return (start..part.end, String::new());
        }
        let start = self.text[..part.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[part.end..]
            .find('\n')
            .map_or(self.text.len(), |at| part.end + at + 1);
        (start..end, String::new())
    }

    /// What takes one element out of a list; the first mapping of a block list begins on its dash.
    fn without(&self, list: &Node, items: &[Node], index: usize) -> Option<(Range<usize>, String)> {
        if items.len() == 1 {
            return Some((range(list), "[]".to_owned()))
                .filter(|(bytes, _)| self.text[bytes.clone()].starts_with('['));
        }
        Some(self.cut(list, range(items.get(index)?)))
    }
}

fn range(node: &Node) -> Range<usize> {
    node.span.start as usize..node.span.end as usize
}

/// Every change of every document.
fn changes(sources: &SourceSet) -> Vec<Change> {
    let documents = parse(sources).documents;
    let kind = |root: &Node| Kind::named(root.get("kind")?.text()?);
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for document in &documents {
        if let Some(kind) = kind(&document.root)
            && let Some(id) = document.root.get(kind.id_field()).and_then(Node::text)
        {
            ids.entry(kind.collection().to_owned())
                .or_default()
                .push(id.to_owned());
        }
    }
    let mut out = Vec::new();
    for document in &documents {
        let Some(kind) = kind(&document.root) else {
            continue;
        };
        let mut walk = Walk {
            text: &sources.files[document.file as usize].text,
            file: document.file as usize,
            kind,
            ids: &ids,
            out: &mut out,
        };
        walk.mapping(&document.root, schema::shape_of(kind), "");
    }
    // What a document is called is its identity: renamed it is another one, and references to the old are refused.
    let names: BTreeSet<String> = Kind::ALL
        .iter()
        .map(|kind| format!("{}.{} ", kind.name(), kind.id_field()))
        .collect();
    out.retain(|change| {
        !names
            .iter()
            .any(|name| change.class.starts_with(name.as_str()))
    });
    out
}

/// The model of a tree, and whether anything is found.
fn judge(sources: &SourceSet, rules: &RuleSet) -> (Option<Model>, bool) {
    let environment: EnvironmentId = ENVIRONMENT.parse().unwrap();
    let compilation = compile(sources, &environment);
    let mut findings = compilation.diagnostics.clone();
    if let Some(model) = &compilation.model {
        let json = serde_json::to_value(model).unwrap();
        let input = Input::new(&json, &compilation.written, &facts::facts(model, None), AT);
        findings.extend(rules::judge(&input, rules, &|_| None));
    }
    (compilation.model, !findings.is_empty())
}

fn read(folder: &Path) -> SourceSet {
    let files = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap);
    let files = files.filter(|entry| entry.path().extension().is_some_and(|end| end == "yaml"));
    let file = |entry: walkdir::DirEntry| SourceFile {
        path: entry
            .path()
            .strip_prefix(folder)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned(),
        text: std::fs::read_to_string(entry.path()).unwrap(),
    };
    SourceSet::new(files.map(file).collect())
}

/// The reasons on the page: a pattern (`*` for any letters) in backticks in the first cell of a row, and the last cell.
fn reasons(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (pattern, rest) = row.split_once('`')?;
        let reason = rest.trim_end_matches('|').rsplit('|').next()?.trim();
        Some((pattern.to_owned(), reason.to_owned()))
    })
    .collect()
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|left| {
            let ends = (0..=left.len()).filter(|at| left.is_char_boundary(*at));
            ends.into_iter().any(|at| matches(rest, &left[at..]))
        }),
    }
}

fn main() {
    let per_class: usize = std::env::args()
        .nth(1)
        .map_or(4, |text| text.parse().unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources = read(&root.join("policies"));
    let (rules, invalid) = rules::load(&rules::built_in(), &Files::new());
    assert_eq!(invalid, Vec::new());
    let (Some(original), false) = judge(&sources, &rules) else {
        panic!("the policies are not clean");
    };
    let zones = Zones::bundled();
    let mut ended: BTreeMap<String, Ended> = BTreeMap::new();
    let mut classes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    let mut all = 0;
    for change in changes(&sources) {
        all += 1;
        classes
            .entry(change.class.clone())
            .or_default()
            .push(change);
    }
    for (class, changes) in classes {
        // Spread over the class: the first ones all lie in one file.
        let step = changes.len().div_ceil(per_class).max(1);
        let counted = ended.entry(class).or_default();
        counted.all = changes.len();
        for change in changes.iter().step_by(step) {
            let mut sources = sources.clone();
            sources.files[change.file]
                .text
                .replace_range(change.bytes.clone(), &change.text);
            let (model, found) = judge(&sources, &rules);
            counted.tried += 1;
            match model {
                _ if found => counted.found += 1,
                None => counted.found += 1,
                Some(model) => match compare(&original, &model, &zones).effect() {
                    Effect::Weaker | Effect::Incomparable => counted.weaker += 1,
                    Effect::Stronger => counted.stronger += 1,
                    Effect::Equal => counted.unseen += 1,
                },
            }
            if std::env::var_os("SEAWALL_MUTATE_VERBOSE").is_some() {
                let path = &sources.files[change.file].path;
                println!("{} {path}:{} {found}", change.class, change.bytes.start);
            }
        }
    }
    report(&ended, all);
    let page = std::fs::read_to_string(root.join(REASONS)).unwrap_or_default();
    std::process::exit(i32::from(!reviewed(&ended, &reasons(&page))));
}

fn report(ended: &BTreeMap<String, Ended>, all: usize) {
    let sum = |of: fn(&Ended) -> usize| ended.values().map(of).sum::<usize>();
    let tried = sum(|ended| ended.tried);
    let (found, weaker) = (sum(|ended| ended.found), sum(|ended| ended.weaker));
    let (stronger, unseen) = (sum(|ended| ended.stronger), sum(|ended| ended.unseen));
    let percent = |number: usize| number * 100 / tried.max(1);
    println!("{tried} of {all} changes tried, in {} classes", ended.len());
    println!("{found} ({} %) are found or refused", percent(found));
    println!(
        "{weaker} ({} %) more need owners' signatures as weaker or incomparable",
        percent(weaker)
    );
    println!("{stronger} ({} %) more are stronger", percent(stronger));
    println!(
        "{unseen} ({} %) more change words alone, or nothing in {ENVIRONMENT}",
        percent(unseen)
    );
    println!("\nclass: tried, found, weaker, stronger, unseen");
    for (class, ended) in ended.iter().filter(|(_, ended)| ended.found < ended.tried) {
        let Ended {
            tried,
            found,
            weaker,
            stronger,
            unseen,
            all: _,
        } = ended;
        println!("{class}: {tried}, {found}, {weaker}, {stronger}, {unseen}");
    }
}

/// Whether every class of which anything is not found has a reason, and every reason a class.
fn reviewed(ended: &BTreeMap<String, Ended>, reasons: &[(String, String)]) -> bool {
    let open: Vec<(&String, &Ended)> = ended
        .iter()
        .filter(|(_, ended)| ended.unseen + ended.weaker > 0)
        .collect();
    let of = |class: &str| reasons.iter().find(|(pattern, _)| matches(pattern, class));
    let without: Vec<&String> = open
        .iter()
        .map(|(class, _)| *class)
        .filter(|class| of(class).is_none_or(|(_, reason)| reason.is_empty()))
        .collect();
    let stale: Vec<&String> = reasons
        .iter()
        .map(|(pattern, _)| pattern)
        .filter(|pattern| {
            // Of what was not tried nobody knows whether it is found.
            let may_be = |ended: &Ended| ended.unseen + ended.weaker > 0 || ended.tried < ended.all;
            let of = |(class, ended): (&String, &Ended)| matches(pattern, class) && may_be(ended);
            !ended.iter().any(of)
        })
        .collect();
    for class in &without {
        println!("{REASONS} gives no reason for `{class}`");
    }
    for pattern in &stale {
        println!("{REASONS}: nothing unnoticed is `{pattern}`");
    }
    without.is_empty() && stale.is_empty()
}
