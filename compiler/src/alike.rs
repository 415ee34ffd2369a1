//! Owns which documents of a tree are alike: datasets and plans that differ in nothing but what they are called, and how much
//! data there is. A large inventory holds few different ones, so each is judged once; where something is found, all of its
//! kind are judged.
//!
//! What stands for others of different sizes is judged with the largest of them. More data is never found to be better, so
//! nothing is wrong with any of them when nothing is wrong with that.
//!
//! To keep a document is always right. One is left out only when nothing but its own plan, or its own datasets, speaks
//! of it, and another that is kept says the same. What is kept and spoken of by nothing else is judged in parts, so that
//! a tree in which all differ takes time and not memory. The interesting function is [`Alike::of`]; what is left out still
//! takes room, which [`Alike::holdings`] tells.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use contract::digest::Digest;
use contract::id;
use contract::model::Model;
use contract::recovery::{Holding, holdings};

use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::{Document, Node, Parsed, Value};
use crate::rules::RuleSet;
use crate::schema::format;

/// A plan and its datasets that are compared with others; larger families are kept as they are, because putting their
/// members into one order is no longer worth it.
const MAX_FAMILY: usize = 64;

/// Families that are judged at once: their facts take some 100 MiB, and what all of them share is compiled each time.
const FAMILIES_AT_ONCE: usize = 400;

/// What can be left out of a tree, and what of the rest can be judged apart. The default leaves out nothing.
#[derive(Debug, Default)]
pub struct Alike<'a> {
    /// By document.
    members: HashMap<usize, Part>,
    /// Ids of datasets that are left out, with their class.
    datasets: HashMap<&'a str, usize>,
    /// Ids of kept documents that stand for others, with their classes: a plan and a dataset may have one id.
    stands: HashMap<&'a str, Vec<usize>>,
    /// Kept datasets that stand for others of other sizes, by document: their class, and the largest sizes in it.
    largest: HashMap<usize, (usize, Sizing<'a>)>,
    /// The same datasets by id: their class, and how large they are themselves.
    own_sizes: HashMap<&'a str, (usize, Sizing<'a>)>,
    /// Datasets that are left out.
    twins: Vec<Twin<'a>>,
}

/// A dataset that is left out.
#[derive(Debug)]
struct Twin<'a> {
    class: usize,
    id: &'a str,
    /// The id of the dataset that stands for it.
    like: &'a str,
    /// How large it is; nothing where it is as large as what stands for it.
    sizing: Option<Sizing<'a>>,
    /// For each plan of what stands for it, its own.
    plans: Vec<(&'a str, &'a str)>,
}

/// How much data a dataset has and gains, as numbers and as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizing<'a> {
    size: (u64, &'a str),
    change: (u64, &'a str),
}

/// Where a document belongs of which nothing but its own family speaks.
#[derive(Debug)]
struct Part {
    family: usize,
    /// The class of which another one stands for it.
    left_out: Option<usize>,
}

/// A dataset or plan that could be left out.
struct Member<'a> {
    document: usize,
    kind: Kind,
    id: &'a str,
    /// What it says, without what it is called, whom it names, and what `sizing` says.
    content: Digest,
    sizing: Option<Sizing<'a>>,
    /// Something else speaks of it.
    fixed: bool,
    /// Places of its plans, or of its datasets.
    others: Vec<usize>,
}

impl<'a> Alike<'a> {
    /// Finds what is alike as far as these rules allow to judge it once.
    pub fn under(rules: &RuleSet, parsed: &'a Parsed) -> Self {
        if rules.judge_each() {
            Self::of(parsed, rules.find_more_data_worse())
        } else {
            Self::default()
        }
    }

    /// Finds what is alike, whatever its size where `of_any_size`. Trees that were not read whole are left as they are:
    /// their findings count documents.
    pub fn of(parsed: &'a Parsed, of_any_size: bool) -> Self {
        let mut found = Self::default();
        let Some((mut members, each)) = members(parsed, of_any_size) else {
            return found;
        };
        fix_generated(&mut members, &each, parsed);
        let merged = merge_datasets(&members);
        let mut firsts: HashMap<Vec<u8>, (usize, Vec<usize>)> = HashMap::new();
        // By place, the place of what stands for it.
        let mut stands_for: HashMap<usize, usize> = HashMap::new();
        let mut classes = HashSet::new();
        let mut largest: HashMap<(usize, Digest), Sizing<'a>> = HashMap::new();
        let mut standing = Vec::new();
        let mut left_out_datasets = Vec::new();
        for (number, family) in families(&members).iter().enumerate() {
            let class = signature(&members, &merged, family).map_or(number, |(says, order)| {
                let (class, first) = firsts
                    .entry(says)
                    .or_insert_with(|| (number, order.clone()));
                if *class != number {
                    // Those that say the same name each other in the same order.
                    stands_for.extend(order.into_iter().zip(first.iter().copied()));
                }
                *class
            });
            let of_family = || family.iter().filter_map(|place| members.get(*place));
            let is_apart = !of_family().any(|member| member.fixed);
            for (place, member) in family.iter().zip(of_family()) {
                let left_out = (class != number || merged.contains_key(place)).then_some(class);
                match left_out {
                    Some(_) if member.kind == Kind::Dataset => {
                        found.datasets.insert(member.id, class);
                        left_out_datasets.push((class, *place));
                    }
                    Some(_) => {}
                    None => found.stands.entry(member.id).or_default().push(class),
                }
                // What something else speaks of is judged as it is.
                if let Some(sizing) = member.sizing.filter(|_| !member.fixed) {
                    let kind = (class, member.content);
                    let all = largest.entry(kind).or_insert(sizing);
                    *all = all.or_larger(sizing);
                    if left_out.is_none() {
                        standing.push((member, kind, sizing));
                    }
                }
                classes.extend(left_out);
                if is_apart || left_out.is_some() {
                    let part = Part {
                        family: number,
                        left_out,
                    };
                    found.members.insert(member.document, part);
                }
            }
        }
        for (member, kind, own) in standing {
            if let Some(all) = largest.get(&kind).filter(|all| **all != own) {
                found.largest.insert(member.document, (kind.0, *all));
                found.own_sizes.insert(member.id, (kind.0, own));
                classes.insert(kind.0);
            }
        }
        // One of several in a plan, and then that of another plan.
        let first_of = |place: usize| {
            let place = merged.get(&place).copied().unwrap_or(place);
            stands_for.get(&place).copied().unwrap_or(place)
        };
        for (class, place) in left_out_datasets {
            let (Some(own), Some(first)) = (members.get(place), members.get(first_of(place)))
            else {
                continue;
            };
            let plans = own.others.iter().filter_map(|plan| {
                let (own, first) = (members.get(*plan)?, members.get(first_of(*plan))?);
                Some((first.id, own.id))
            });
            found.twins.push(Twin {
                class,
                id: own.id,
                like: first.id,
                sizing: own.sizing,
                plans: plans.collect(),
            });
        }
        found.stands.retain(|_, of| {
            of.retain(|class| classes.contains(class));
            !of.is_empty()
        });
        found
    }

    /// All classes in which one stands for others.
    pub fn classes(&self) -> BTreeSet<usize> {
        let members = self.members.values();
        members.filter_map(|part| part.left_out).collect()
    }

    /// The classes of which a finding speaks, by the ids of those that stand for them.
    pub fn named(&self, findings: &[Diagnostic]) -> BTreeSet<usize> {
        let texts = findings.iter().flat_map(|finding| {
            let labels = finding.labels.iter().map(|label| &label.text);
            [&finding.message]
                .into_iter()
                .chain(labels)
                .chain(&finding.notes)
                .chain(&finding.help)
                .chain(&finding.at)
                .chain(&finding.about)
        });
        let mut named = BTreeSet::new();
        for text in texts {
            words(text, &mut |word| {
                named.extend(self.stands.get(word).into_iter().flatten());
            });
        }
        named
    }

    /// The documents that are judged, in parts: what is left out stays out but for the opened classes, and what is not
    /// apart is in every part.
    pub fn parts(&self, parsed: &Parsed, opened: &BTreeSet<usize>) -> Vec<Vec<usize>> {
        let mut shared = Vec::new();
        let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for place in 0..parsed.documents.len() {
            match self.members.get(&place) {
                None => shared.push(place),
                Some(part) if part.left_out.is_none_or(|class| opened.contains(&class)) => {
                    families.entry(part.family).or_default().push(place);
                }
                Some(_) => {}
            }
        }
        let families: Vec<Vec<usize>> = families.into_values().collect();
        let apart = families.chunks(FAMILIES_AT_ONCE).map(|some| {
            let mut places = [shared.clone(), some.concat()].concat();
            places.sort_unstable();
            places
        });
        let parts: Vec<Vec<usize>> = apart.collect();
        if parts.is_empty() {
            vec![shared]
        } else {
            parts
        }
    }

    /// What all plans of the tree keep, told by a model of what is judged of it.
    pub fn holdings<'m>(&self, model: &'m Model, opened: &BTreeSet<usize>) -> Vec<Holding<'m>> {
        let is_closed = |class: usize| !opened.contains(&class);
        let mut holdings: Vec<Holding<'_>> = holdings(model).collect();
        for holding in &mut holdings {
            let own = self.own_sizes.get(holding.dataset.as_str());
            if let Some((_, own)) = own.filter(|(class, _)| is_closed(*class)) {
                holding.sizing = own.read();
            }
        }
        let mut of_dataset: HashMap<&str, Vec<&Holding<'m>>> = HashMap::new();
        for holding in &holdings {
            let known = of_dataset.entry(holding.dataset.as_str());
            known.or_default().push(holding);
        }
        let mut more = Vec::new();
        for twin in self.twins.iter().filter(|twin| is_closed(twin.class)) {
            for like in of_dataset.get(twin.like).into_iter().flatten() {
                more.extend(twin.holding(like));
            }
        }
        holdings.extend(more);
        holdings
    }

    /// The tree with these documents alone.
    pub fn only(&self, parsed: &Parsed, places: &[usize], opened: &BTreeSet<usize>) -> Parsed {
        let is_gone = |id: &Node| {
            let class = id.text().and_then(|id| self.datasets.get(id));
            class.is_some_and(|class| !opened.contains(class))
        };
        let documents = places
            .iter()
            .filter_map(|place| Some((place, parsed.documents.get(*place)?.clone())));
        let documents = documents.map(|(place, mut document)| {
            if let Some((class, all)) = self.largest.get(place)
                && !opened.contains(class)
            {
                all.put(&mut document);
            }
            if let Value::Mapping(root) = &mut document.root.value
                && let Some(ids) = root.get_mut("dataset_ids")
                && let Value::List(ids) = &mut ids.value
            {
                ids.retain(|id| !is_gone(id));
            }
            document
        });
        parsed.with(documents.collect())
    }
}

impl Twin<'_> {
    /// What its own plan keeps of it, as a plan keeps what stands for it; nothing where that has no such plan.
    fn holding<'m>(&self, like: &Holding<'m>) -> Option<Holding<'m>> {
        let plan = like.plan.as_str();
        let own = self.plans.iter().find(|(first, _)| *first == plan);
        let plan = match own {
            Some((_, own)) => (*own).to_owned(),
            // One that a plan with `for_each` makes.
            None => format!("{}{}", plan.strip_suffix(self.like)?, self.id),
        };
        Some(Holding {
            kept_by: like.kept_by,
            plan: plan.parse().ok()?,
            dataset: self.id.parse().ok()?,
            sizing: self
                .sizing
                .map_or_else(|| like.sizing.clone(), |own| own.read()),
        })
    }
}

impl<'a> Sizing<'a> {
    /// What a dataset says of its size; nothing where it says anything that is no size, so that it stands for itself.
    fn of(document: &'a Document) -> Option<Self> {
        let sizing = document.root.get("sizing")?;
        let Value::Mapping(fields) = &sizing.value else {
            return None;
        };
        let read = |name: &str| {
            let text = sizing.get(name)?.text()?;
            Some((format::bytes(text).ok()?, text))
        };
        let known = Self {
            size: read("size")?,
            change: read("change_per_day")?,
        };
        (fields.entries.len() == 2).then_some(known)
    }

    /// The numbers, as the model has them.
    const fn read(&self) -> contract::model::Sizing {
        contract::model::Sizing {
            size_bytes: self.size.0,
            change_per_day_bytes: self.change.0,
        }
    }

    /// The larger of both, field by field.
    fn or_larger(self, other: Self) -> Self {
        let larger = |one: (u64, &'a str), two: (u64, &'a str)| {
            // Of two that are written differently, the same one whatever the order of files.
            if one.0 == two.0 {
                one.min(two)
            } else {
                one.max(two)
            }
        };
        Self {
            size: larger(self.size, other.size),
            change: larger(self.change, other.change),
        }
    }

    fn put(&self, document: &mut Document) {
        let Value::Mapping(root) = &mut document.root.value else {
            return;
        };
        let Some(Value::Mapping(fields)) = root.get_mut("sizing").map(|node| &mut node.value)
        else {
            return;
        };
        for (name, (_, text)) in [("size", self.size), ("change_per_day", self.change)] {
            if let Some(node) = fields.get_mut(name) {
                node.value = Value::Text(text.to_owned());
            }
        }
    }
}

/// The datasets and plans that could be left out, and the ids of the plans with `for_each`.
fn members(parsed: &Parsed, of_any_size: bool) -> Option<(Vec<Member<'_>>, Vec<&str>)> {
    if parsed.lost || !parsed.diagnostics.is_empty() {
        return None;
    }
    let mut members = Vec::new();
    let mut each = Vec::new();
    let mut named: HashSet<&str> = HashSet::new();
    let mut known: HashMap<(Kind, &str), usize> = HashMap::new();
    let mut contents: HashSet<Digest> = HashSet::new();
    let mut plans: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut bytes = Vec::new();
    for (place, document) in parsed.documents.iter().enumerate() {
        let (kind, id) = called(document)?;
        *known.entry((kind, id)).or_default() += 1;
        let Some(own) = own_fields(kind, document) else {
            if kind == Kind::BackupPlan {
                each.push(id);
            }
            names(&document.root, &[], &mut named);
            continue;
        };
        let of_its_size = of_any_size && kind == Kind::Dataset;
        let sizing = of_its_size.then(|| Sizing::of(document)).flatten();
        let own = if sizing.is_some() { &SIZED[..] } else { own };
        bytes.clear();
        bytes.extend(kind.name().bytes());
        content(&document.root, own, &mut bytes);
        let content = Digest::of(&bytes);
        if contents.insert(content) {
            names(&document.root, own, &mut named);
        }
        if kind == Kind::BackupPlan {
            let ids = document
                .root
                .get("dataset_ids")
                .map_or(&[][..], Node::items);
            plans.push((members.len(), ids.iter().filter_map(Node::text).collect()));
        }
        members.push(Member {
            document: place,
            kind,
            id,
            content,
            sizing,
            fixed: false,
            others: Vec::new(),
        });
    }
    let mut datasets: HashMap<&str, usize> = HashMap::new();
    for (place, member) in members.iter_mut().enumerate() {
        member.fixed =
            known.get(&(member.kind, member.id)) != Some(&1) || named.contains(member.id);
        if member.kind == Kind::Dataset {
            datasets.insert(member.id, place);
        }
    }
    for (plan, ids) in plans {
        for id in ids {
            match datasets.get(id) {
                Some(dataset) => {
                    link(&mut members, plan, *dataset);
                    link(&mut members, *dataset, plan);
                }
                // It names something that is no candidate: the plan is judged for itself.
                None => fix(&mut members, plan),
            }
        }
    }
    Some((members, each))
}

fn link(members: &mut [Member<'_>], from: usize, to: usize) {
    if let Some(member) = members.get_mut(from) {
        member.others.push(to);
    }
}

fn fix(members: &mut [Member<'_>], place: usize) {
    if let Some(member) = members.get_mut(place) {
        member.fixed = true;
    }
}

/// The kind and id of a document; nothing where either is in doubt.
fn called(document: &Document) -> Option<(Kind, &str)> {
    let kind = Kind::named(document.root.get("kind")?.text()?)?;
    let id = document.root.get(kind.id_field())?.text()?;
    Some((kind, id))
}

/// The fields by which datasets may differ whose sizes are known.
const SIZED: [&str; 3] = ["dataset_id", "name", "sizing"];

/// The fields by which documents may differ and still be alike; nothing for a document that is always kept.
fn own_fields(kind: Kind, document: &Document) -> Option<&'static [&'static str]> {
    let root = &document.root;
    let fields: &[&str] = match kind {
        Kind::Dataset => &["dataset_id", "name"],
        Kind::BackupPlan => &["plan_id", "name", "dataset_ids"],
        _ => return None,
    };
    let is_called = root
        .get("name")?
        .text()
        .is_some_and(|name| !name.is_empty());
    let is_sound = is_called && !root.has_refused() && id::check(called(document)?.1).is_ok();
    if !is_sound {
        return None;
    }
    if kind == Kind::BackupPlan {
        let ids = root.get("dataset_ids")?;
        let Value::List(items) = &ids.value else {
            return None;
        };
        let different: HashSet<&str> = items.iter().filter_map(Node::text).collect();
        if items.is_empty() || different.len() != items.len() {
            return None;
        }
    }
    Some(fields)
}

/// Everything that a document says but its own fields, in a form that tells different ones apart.
fn content(root: &Node, own: &[&str], out: &mut Vec<u8>) {
    fn text(text: &str, out: &mut Vec<u8>) {
        out.extend(text.len().to_be_bytes());
        out.extend(text.bytes());
    }
    fn value(node: &Node, own: &[&str], out: &mut Vec<u8>) {
        match &node.value {
            Value::Null => out.push(0),
            Value::Refused => out.push(1),
            Value::Flag(flag) => out.extend([2, u8::from(*flag)]),
            Value::Integer(number) => {
                out.push(3);
                out.extend(number.to_be_bytes());
            }
            Value::Text(written) => {
                out.push(4);
                text(written, out);
            }
            Value::List(items) => {
                out.push(5);
                for item in items {
                    value(item, &[], out);
                }
                out.push(6);
            }
            Value::Mapping(mapping) => {
                out.push(7);
                for entry in &mapping.entries {
                    if !own.contains(&entry.key.as_str()) {
                        text(&entry.key, out);
                        value(&entry.node, &[], out);
                    }
                }
                out.push(8);
            }
        }
    }
    value(root, own, out);
}

/// Every word of a document that could be an id, but for its own fields.
fn names<'a>(root: &'a Node, own: &[&str], out: &mut HashSet<&'a str>) {
    match &root.value {
        Value::Null | Value::Flag(_) | Value::Integer(_) | Value::Refused => {}
        Value::Text(text) => words(text, &mut |word| {
            out.insert(word);
        }),
        Value::List(items) => {
            for item in items {
                names(item, &[], out);
            }
        }
        Value::Mapping(mapping) => {
            for entry in &mapping.entries {
                if !own.contains(&entry.key.as_str()) {
                    out.insert(&entry.key);
                    names(&entry.node, &[], out);
                }
            }
        }
    }
}

/// The words of a text that could be ids; of one with dots also its parts, as in `<plan_id>.<dataset_id>`.
fn words<'a>(text: &'a str, take: &mut dyn FnMut(&'a str)) {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    for word in text.split(|c| !is_part(c)) {
        take(word);
        for (dot, _) in word.match_indices('.') {
            take(word.get(..dot).unwrap_or_default());
            take(word.get(dot + 1..).unwrap_or_default());
        }
    }
}

/// Plans with `for_each` make ids of those of datasets; one that is no id, or is taken, is a finding about that dataset.
fn fix_generated(members: &mut [Member<'_>], each: &[&str], parsed: &Parsed) {
    if each.is_empty() {
        return;
    }
    let declared: HashSet<&str> = parsed
        .documents
        .iter()
        .filter_map(called)
        .filter(|(kind, _)| *kind == Kind::BackupPlan)
        .map(|(_, id)| id)
        .collect();
    for member in members {
        let clashes = |plan: &&str| {
            let made = format!("{plan}.{}", member.id);
            id::check(&made).is_err() || declared.contains(made.as_str())
        };
        member.fixed |= each.iter().any(clashes);
    }
}

/// Datasets that are alike and stand in the same plans: those that another one stands for, with that one.
fn merge_datasets(members: &[Member<'_>]) -> HashMap<usize, usize> {
    let mut firsts = HashMap::new();
    let mut merged = HashMap::new();
    for place in in_order(members) {
        let Some(member) = members.get(place) else {
            continue;
        };
        let could = member.kind == Kind::Dataset && !member.fixed && !member.others.is_empty();
        if could {
            let says = (member.content, member.others.as_slice());
            let first = *firsts.entry(says).or_insert(place);
            if first != place {
                merged.insert(place, first);
            }
        }
    }
    merged
}

/// Places by id, so that what stands for others does not depend on the order of files.
fn in_order(members: &[Member<'_>]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..members.len()).collect();
    places.sort_by_key(|place| members.get(*place).map(|member| (member.id, member.kind)));
    places
}

/// Members that name each other, directly or through others.
fn families(members: &[Member<'_>]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; members.len()];
    let mut families = Vec::new();
    for start in in_order(members) {
        let mut family = Vec::new();
        let mut open = vec![start];
        while let Some(place) = open.pop() {
            let (Some(seen), Some(member)) = (seen.get_mut(place), members.get(place)) else {
                continue;
            };
            if !std::mem::replace(seen, true) {
                family.push(place);
                open.extend(&member.others);
            }
        }
        if !family.is_empty() {
            families.push(family);
        }
    }
    families
}

/// What a family says, in a form that two families share only when one can stand for the other, with the order in which its
/// members say it; nothing for one that is too large to be told.
fn signature(
    members: &[Member<'_>],
    merged: &HashMap<usize, usize>,
    family: &[usize],
) -> Option<(Vec<u8>, Vec<usize>)> {
    let mut kept: Vec<(usize, &Member<'_>)> = family
        .iter()
        .filter(|place| !merged.contains_key(place))
        .filter_map(|place| Some((*place, members.get(*place)?)))
        .collect();
    if kept.len() > MAX_FAMILY {
        return None;
    }
    kept.sort_by_cached_key(|(_, member)| {
        let others = member
            .others
            .iter()
            .filter(|place| !merged.contains_key(place));
        let mut around: Vec<Digest> = others
            .filter_map(|place| Some(members.get(*place)?.content))
            .collect();
        around.sort();
        (member.content, around)
    });
    let order: HashMap<usize, usize> = kept
        .iter()
        .enumerate()
        .map(|(at, (place, _))| (*place, at))
        .collect();
    let mut bytes = Vec::new();
    for (_, member) in &kept {
        bytes.extend(member.content.to_string().bytes());
        // Nothing stands for one that something else speaks of.
        if member.fixed {
            bytes.extend(member.id.bytes());
        }
        bytes.push(b':');
        let mut edges: Vec<usize> = member
            .others
            .iter()
            .filter_map(|place| order.get(place).copied())
            .collect();
        edges.sort_unstable();
        for edge in edges {
            bytes.extend(edge.to_be_bytes());
        }
        bytes.push(b';');
    }
    let order = kept.iter().map(|(place, _)| *place).collect();
    Some((bytes, order))
}
