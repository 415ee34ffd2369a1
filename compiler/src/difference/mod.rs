//! Owns what a change of policy does to recovery: what is proven of each dataset before and after, the edits that are to
//! blame, and how many datasets of which tier it concerns. Pure; reads nothing and decides nothing. See [`between`].

pub mod human;
pub mod json;
pub mod markdown;

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt::Write as _;

use contract::calendar::Zones;
use contract::diff::outcome::{self, Outcome, Property};
use contract::diff::{Change, Effect, compare};
use contract::id::{DatasetId, EnvironmentId, TierId};
use contract::model::Model;
use contract::recovery::{Loss, LossCase, Recovery};
use rayon::prelude::*;

/// A model, and where its values were written.
pub struct Side<'a> {
    /// The model.
    pub model: &'a Model,
    /// What stands before the paths of its files.
    pub prefix: &'a str,
    /// The places that made the value at a path what it is: where it was written, then what led there, what stands nearest to
    /// its use last. Empty where nobody knows.
    pub places: &'a dyn Fn(&[String]) -> Vec<Place>,
}

impl Side<'_> {
    /// Whether a place of this side is that place of the other, wherever their files lie.
    fn is_same(&self, own: &Place, other: &Side<'_>, place: &Place) -> bool {
        let ours = own.file.strip_prefix(self.prefix);
        ours == place.file.strip_prefix(other.prefix) && own.line == place.line
    }
}

/// A line of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
}

/// What differs for one environment.
#[derive(Debug)]
pub struct Difference {
    /// The environment.
    pub environment: EnvironmentId,
    /// Whether both sides declare it.
    pub presence: Presence,
    /// All of it as one effect; what got weaker is not made good by what got stronger.
    pub effect: Effect,
    /// What became of what is proven, the worst first.
    pub groups: Vec<Group>,
    /// The lines that differ, in the order of files.
    pub edits: Vec<Edit>,
}

/// Which side declares an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Both.
    Both,
    /// The new one alone.
    New,
    /// The old one alone.
    Gone,
}

/// What happened to some datasets for the same reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// What it does to protection.
    pub effect: Effect,
    /// The datasets with their tiers.
    pub datasets: BTreeMap<DatasetId, TierId>,
    /// What differs, in the order in which it matters.
    pub outcomes: Vec<Happened>,
    /// The edits that are to blame, as indices; empty where none can be named.
    pub because: BTreeSet<usize>,
}

/// One thing that differs for all datasets of a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Happened {
    /// What; of losses, the first of the cases.
    pub property: Property,
    /// The losses in which it does, of any of the datasets; empty for what is no loss.
    pub cases: BTreeSet<LossCase>,
    /// What it was; none for a dataset that is new.
    pub from: Option<String>,
    /// What it is; none for a dataset that is gone.
    pub to: Option<String>,
    /// Instants that show it, for one of the datasets; only of a loss.
    pub witness: Option<String>,
}

/// What was changed on one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where; none where nobody knows.
    pub place: Option<Place>,
    /// Whether the place is one of the tree before, where it is no more.
    pub removed: bool,
    /// The values of the model that it changed.
    pub changes: Vec<Change>,
    /// The datasets of which it changed a value, or of whose plans, with their tiers.
    pub datasets: BTreeMap<DatasetId, TierId>,
}

impl Edit {
    /// What the line does as a whole.
    pub fn effect(&self) -> Effect {
        total(self.changes.iter().map(|change| change.effect))
    }
}

impl Difference {
    /// An environment that one side alone declares: all that it protected is gone, or nothing was promised before.
    pub fn alone(environment: &EnvironmentId, presence: Presence) -> Self {
        Self {
            environment: environment.clone(),
            presence,
            effect: match presence {
                Presence::Both => Effect::Equal,
                Presence::New => Effect::Stronger,
                Presence::Gone => Effect::Weaker,
            },
            groups: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Each effect of which it is made, and the whole.
    pub fn effects(&self) -> impl Iterator<Item = Effect> {
        let outcomes = self.groups.iter().map(|group| group.effect);
        let changes = self.edits.iter().flat_map(|edit| &edit.changes);
        let changes = changes.map(|change| change.effect);
        outcomes.chain(changes).chain([self.effect])
    }

    /// Whether nothing changed that is proven or demanded, though texts did.
    pub fn is_refactor(&self) -> bool {
        self.effect == Effect::Equal
    }

    /// Edits that change protection and are to blame for nothing that is proven: approvals, alerts, waivers, promises.
    pub fn others(&self) -> impl Iterator<Item = &Edit> {
        let blamed: BTreeSet<usize> = self
            .groups
            .iter()
            .flat_map(|group| group.because.iter().copied())
            .collect();
        let edits = self.edits.iter().enumerate();
        edits
            .filter(move |(index, edit)| edit.effect() != Effect::Equal && !blamed.contains(index))
            .map(|(_, edit)| edit)
    }
}

/// Several effects as one.
pub fn total(effects: impl Iterator<Item = Effect>) -> Effect {
    effects.fold(Effect::Equal, |all, one| match (all, one) {
        (all, Effect::Equal) => all,
        (Effect::Equal, one) => one,
        (all, one) if all == one => all,
        _ => Effect::Incomparable,
    })
}

/// What differs between two models of one environment. `touched` says whether a line of the new tree is one that differs;
/// where nobody knows, the places of both sides are held against each other.
pub fn between(
    environment: &EnvironmentId,
    old: &Side<'_>,
    new: &Side<'_>,
    touched: Option<&dyn Fn(&Place) -> bool>,
) -> Difference {
    let zones = Zones::bundled();
    let changes = compare(old.model, new.model, &zones).changes;
    let edits = edits(changes, old, new, touched);
    let (before, after) = rayon::join(
        || Recovery::new(old.model, &zones),
        || Recovery::new(new.model, &zones),
    );
    let blame = Blame::new(&edits);
    let pairs = outcome::pairs(old.model, new.model);
    let blamed: Vec<(Outcome, BTreeSet<usize>)> = pairs
        .par_iter()
        .flat_map_iter(|pair| {
            let found = outcome::outcomes(&before, &after, *pair);
            let mut reached = BTreeSet::new();
            if !found.is_empty() {
                reached.extend(
                    pair.0
                        .map(|id| outcome::reach(&before, id))
                        .into_iter()
                        .flatten(),
                );
                reached.extend(
                    pair.1
                        .map(|id| outcome::reach(&after, id))
                        .into_iter()
                        .flatten(),
                );
            }
            let (blame, near) = (&blame, blame.near(&reached));
            found.into_iter().map(move |outcome| {
                let because = blame.of(&outcome, &near);
                (outcome, because)
            })
        })
        .collect();
    let groups = grouped(blamed, &after);
    let effects = groups.iter().map(|group| group.effect);
    let effects = effects.chain(edits.iter().map(Edit::effect));
    Difference {
        environment: environment.clone(),
        presence: Presence::Both,
        effect: total(effects),
        groups,
        edits,
    }
}

/// Changes by the line that made them.
fn edits(
    changes: Vec<Change>,
    old: &Side<'_>,
    new: &Side<'_>,
    touched: Option<&dyn Fn(&Place) -> bool>,
) -> Vec<Edit> {
    let mut placed = Vec::new();
    // Of an object, the first line that was edited.
    let mut of_object: BTreeMap<Vec<String>, Place> = BTreeMap::new();
    for change in changes {
        let subject = subject(&change);
        // What is gone whole has no line any more; a member of a list that is gone still has the list's.
        let removed = change.to.is_none() && is_object(&subject);
        if removed {
            let place = (old.places)(&subject).into_iter().next();
            placed.push((place, removed, change));
            continue;
        }
        let places = (new.places)(&subject);
        let edited = if let Some(touched) = touched {
            places.iter().find(|place| touched(place))
        } else {
            // Where the way of the value was the same before, only what stands at its end can be new.
            let before = (old.places)(&subject);
            let same = |place: &&Place| before.iter().any(|one| old.is_same(one, new, place));
            places.iter().find(same)
        };
        if let Some(edited) = edited {
            let known = of_object.entry(object(&subject));
            known.or_insert_with(|| edited.clone());
        }
        let place = edited.cloned();
        placed.push((place, removed, change));
    }
    let mut edits: BTreeMap<(Option<Place>, bool), Vec<Change>> = BTreeMap::new();
    for (place, removed, change) in placed {
        // A value that follows from another of its object was edited where that one was.
        let subject = subject(&change);
        let place = place
            .or_else(|| of_object.get(&object(&subject)).cloned())
            .or_else(|| (new.places)(&subject).into_iter().next());
        edits.entry((place, removed)).or_default().push(change);
    }
    let edits = edits.into_iter().map(|((place, removed), changes)| Edit {
        datasets: concerned(&changes, old.model, new.model),
        place,
        removed,
        changes,
    });
    edits.collect()
}

/// The datasets whose own values, or those of their plans, are among these.
fn concerned(changes: &[Change], old: &Model, new: &Model) -> BTreeMap<DatasetId, TierId> {
    let mut found = BTreeMap::new();
    let objects: BTreeSet<Vec<String>> = changes
        .iter()
        .map(|change| object(&subject(change)))
        .collect();
    for model in [old, new] {
        let mut add = |id: &DatasetId| {
            let known = model.datasets.get(id);
            found.extend(known.map(|dataset| (id.clone(), dataset.criticality.clone())));
        };
        for object in &objects {
            match object.as_slice() {
                [collection, id] if collection == "plans" => {
                    let plan = model.plans.get(id.as_str());
                    plan.into_iter()
                        .flat_map(|plan| &plan.dataset_ids)
                        .for_each(&mut add);
                }
                [collection, id] if collection == "datasets" => {
                    id.parse().iter().for_each(&mut add);
                }
                _ => {}
            }
        }
    }
    found
}

/// The path of what a change is about: an entry that came or went is told at its collection. A timing is several fields.
fn subject(change: &Change) -> Vec<String> {
    let mut path = change.path.clone();
    let collection = match path.as_slice() {
        [one] => one != "format",
        [first, _] => first == "settings",
        _ => false,
    };
    let entry = match (&change.from, &change.to) {
        (Some(id), None) | (None, Some(id)) if collection => Some(id.clone()),
        _ => None,
    };
    path.extend(entry);
    path
}

/// Whether a path is that of a whole document.
fn is_object(path: &[String]) -> bool {
    match path {
        [first, ..] if first == "settings" => path.len() == 3,
        [first, ..] if first == "environment" || first == "snapshot" => false,
        path => path.len() == 2,
    }
}

/// The path of the document that a path leads into.
fn object(path: &[String]) -> Vec<String> {
    let is_setting = path.first().is_some_and(|first| first == "settings");
    let length = if is_setting { 3 } else { 2 };
    path.iter().take(length).cloned().collect()
}

/// Which edits can be to blame for what.
struct Blame<'a> {
    edits: &'a [Edit],
    /// By the path of an object: the edits that changed something of it.
    of: BTreeMap<Vec<String>, BTreeSet<usize>>,
}

impl<'a> Blame<'a> {
    fn new(edits: &'a [Edit]) -> Self {
        let mut of: BTreeMap<Vec<String>, BTreeSet<usize>> = BTreeMap::new();
        for (index, edit) in edits.iter().enumerate() {
            for change in &edit.changes {
                let object = object(&subject(change));
                of.entry(object).or_default().insert(index);
            }
        }
        Self { edits, of }
    }

    /// The edits of objects within reach of a dataset.
    fn near(&self, reached: &BTreeSet<Vec<String>>) -> BTreeSet<usize> {
        let of_each = reached.iter().filter_map(|object| self.of.get(object));
        of_each.flatten().copied().collect()
    }

    /// The edits near a dataset that can have done this: those of its direction first.
    fn of(&self, outcome: &Outcome, near: &BTreeSet<usize>) -> BTreeSet<usize> {
        let having = |fits: &dyn Fn(&Change) -> bool| -> BTreeSet<usize> {
            let fits = |index: &usize| {
                let edit = self.edits.get(*index);
                edit.is_some_and(|edit| edit.changes.iter().any(fits))
            };
            near.iter().copied().filter(fits).collect()
        };
        let bears = |change: &Change| bears_on(&outcome.property, &change.path);
        let same = |change: &Change| {
            change.effect == outcome.effect
                || change.effect == Effect::Incomparable
                || outcome.effect == Effect::Incomparable && change.effect != Effect::Equal
        };
        // More runs can mean that counts reach less far back: there direction says nothing.
        let either = outcome.property == Property::ReachesBack;
        let looks: [&dyn Fn(&Change) -> bool; 4] = [
            &|change| bears(change) && (same(change) || either) && change.effect != Effect::Equal,
            &|change| bears(change) && change.effect != Effect::Equal,
            &|change| bears(change),
            &same,
        ];
        let mut looks = looks.into_iter().map(having);
        looks.find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// Whether a value of the model has a part in a property at all.
fn bears_on(property: &Property, path: &[String]) -> bool {
    let has = |names: &[&str]| path.iter().any(|step| names.contains(&step.as_str()));
    let words = [
        "name",
        "verification",
        "compression",
        "parallel_jobs",
        "retries",
        "bandwidth_bytes_per_second",
        "justification",
        "dataset_id",
        "plan_id",
    ];
    match property {
        Property::Declared | Property::Coverage => true,
        Property::Loss(LossCase::Corruption) => !has(&words) && !has(&["sizing", "rpo_s", "rto_s"]),
        Property::Loss(_) => {
            let kept = has(&["retention"]) && !has(&["immutable_for_s"]);
            !kept && !has(&words) && !has(&["sizing", "rpo_s", "rto_s"])
        }
        Property::ReachesBack => has(&["retention", "backup_frequency"]) || is_membership(path),
        Property::Locked => {
            has(&["immutable_for_s", "immutable", "locations"]) || is_membership(path)
        }
        Property::LastCopies => {
            !has(&words) && !has(&["sizing", "rpo_s", "rto_s", "copy_within_s", "keep"])
        }
        Property::Rpo => has(&["rpo_s"]),
        Property::Rto => has(&["rto_s"]),
        Property::RecoveryTime => !has(&["backup_frequency", "retention", "rpo_s", "rto_s"]),
        Property::Copies | Property::ImmutableCopies | Property::Span(_) => {
            !has(&words) && !has(&["backup_frequency", "retention", "sizing", "rpo_s", "rto_s"])
        }
    }
}

/// Whether a path is that of a whole plan or of what it holds.
fn is_membership(path: &[String]) -> bool {
    let is_plan = path.first().is_some_and(|first| first == "plans");
    is_plan && (path.len() == 2 || path.last().is_some_and(|last| last == "dataset_ids"))
}

/// What is told of a dataset at once: effect and reason, then each property with what it was and is.
type Told = (
    Effect,
    BTreeSet<usize>,
    Vec<(Property, Option<String>, Option<String>)>,
);

/// What happened to several datasets for the same reason is one; the worst comes first.
fn grouped(blamed: Vec<(Outcome, BTreeSet<usize>)>, after: &Recovery<'_>) -> Vec<Group> {
    let mut of_dataset: BTreeMap<(DatasetId, Effect, BTreeSet<usize>), Vec<Outcome>> =
        BTreeMap::new();
    for (outcome, because) in blamed {
        let key = (outcome.dataset.clone(), outcome.effect, because);
        of_dataset.entry(key).or_default().push(outcome);
    }
    let mut groups: BTreeMap<Told, Group> = BTreeMap::new();
    for ((dataset, effect, because), outcomes) in of_dataset {
        let mut happened: BTreeMap<(Property, Option<String>, Option<String>), Happened> =
            BTreeMap::new();
        let mut tier = None;
        for outcome in outcomes {
            let Outcome {
                property, from, to, ..
            } = outcome;
            tier = Some(outcome.tier);
            let key = (property.of_any_loss(), from.clone(), to.clone());
            let one = happened.entry(key).or_insert_with(|| Happened {
                property: property.clone(),
                cases: BTreeSet::new(),
                from,
                to,
                witness: None,
            });
            if let Property::Loss(case) = property {
                one.cases.insert(case);
            }
        }
        let told = (effect, because.clone(), happened.keys().cloned().collect());
        match groups.entry(told) {
            btree_map::Entry::Vacant(entry) => {
                let mut outcomes: Vec<Happened> = happened.into_values().collect();
                for one in &mut outcomes {
                    one.witness = witness(one, &dataset, after);
                }
                entry.insert(Group {
                    effect,
                    datasets: tier.map(|tier| (dataset, tier)).into_iter().collect(),
                    outcomes,
                    because,
                });
            }
            btree_map::Entry::Occupied(entry) => {
                let group = entry.into_mut();
                for (known, one) in group.outcomes.iter_mut().zip(happened.into_values()) {
                    known.cases.extend(one.cases);
                }
                group.datasets.extend(tier.map(|tier| (dataset, tier)));
            }
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        let order = |one: &Happened| (one.property.of_any_loss(), one.cases.first().cloned());
        group.outcomes.sort_by_cached_key(order);
    }
    groups.sort_by_cached_key(|group| {
        let tier = group.datasets.values().min().cloned();
        (
            weight(group.effect),
            tier,
            group.datasets.keys().next().cloned(),
        )
    });
    groups
}

/// What a reader must see first.
const fn weight(effect: Effect) -> u8 {
    match effect {
        Effect::Weaker => 0,
        Effect::Incomparable => 1,
        Effect::Stronger => 2,
        Effect::Equal => 3,
    }
}

/// The witness of what is lost of a dataset now, in the first of the cases.
fn witness(happened: &Happened, dataset: &DatasetId, after: &Recovery<'_>) -> Option<String> {
    let case = happened.cases.first()?;
    match after.loss(dataset, case) {
        Loss::Bounded(bound) => {
            let shown = bound.witness?;
            Some(format!("`{dataset}`, lose `{case}`: {shown}"))
        }
        Loss::Replicated { .. } | Loss::Unbounded { .. } => None,
    }
}

/// What differs, in words.
fn title(property: &Property) -> String {
    match property {
        Property::Declared => "declared".to_owned(),
        Property::Coverage => "coverage".to_owned(),
        Property::Loss(_) => "worst-case loss".to_owned(),
        Property::Rpo => "RPO".to_owned(),
        Property::RecoveryTime => "reading back".to_owned(),
        Property::Rto => "RTO".to_owned(),
        Property::LastCopies => "losses that leave nothing".to_owned(),
        Property::ReachesBack => "oldest point".to_owned(),
        Property::Locked => "locked against deletes".to_owned(),
        Property::Copies => "copies".to_owned(),
        Property::ImmutableCopies => "immutable copies".to_owned(),
        Property::Span(kind) => format!("different {kind}s"),
    }
}

/// What differs, with its title; kinds of fault domains that differ alike are one.
fn rows(group: &Group) -> Vec<(String, &Happened)> {
    let mut rows: Vec<(String, &Happened)> = Vec::new();
    for happened in &group.outcomes {
        let is_span = |one: &Happened| matches!(one.property, Property::Span(_));
        match rows.last_mut() {
            Some((title, last))
                if is_span(happened)
                    && is_span(last)
                    && (&last.from, &last.to) == (&happened.from, &happened.to) =>
            {
                if let Property::Span(kind) = happened.property {
                    let _ = write!(title, ", {kind}s");
                }
            }
            _ => rows.push((title(&happened.property), happened)),
        }
    }
    rows
}

/// What it was and is.
fn from_to(happened: &Happened) -> String {
    match (&happened.from, &happened.to) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (None, Some(to)) => format!("new, {to}"),
        (Some(from), None) => format!("no longer, was {from}"),
        (None, None) => String::new(),
    }
}

/// The edits that are to blame for a group.
fn because<'a>(difference: &'a Difference, group: &'a Group) -> impl Iterator<Item = &'a Edit> {
    let indices = group.because.iter();
    indices.filter_map(|index| difference.edits.get(*index))
}

/// How many datasets of which tier: `2 of tier0, 3 of tier1`.
fn by_tier(datasets: &BTreeMap<DatasetId, TierId>) -> String {
    let mut tiers: BTreeMap<&TierId, usize> = BTreeMap::new();
    for tier in datasets.values() {
        *tiers.entry(tier).or_default() += 1;
    }
    let tiers: Vec<String> = tiers
        .into_iter()
        .map(|(tier, count)| format!("{count} of {tier}"))
        .collect();
    tiers.join(", ")
}

/// The different values that an edit changed, each once: plans repeat what a setting says.
fn values(edit: &Edit) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut changes: Vec<&Change> = edit.changes.iter().collect();
    // What stands nearest to the text: ids that were referred to, then a setting before the plans that take it over.
    changes.sort_by_key(|change| {
        let is_id = change.path.last().is_some_and(|name| name.ends_with("_id"));
        let is_setting = change.path.first().is_some_and(|first| first == "settings");
        (!is_id, !is_setting, change.path.len())
    });
    let mut out = Vec::new();
    for change in changes {
        let name = change.path.last().map_or("", String::as_str);
        let name = crate::object::source_name(name);
        if told.insert((name, change.from.as_deref(), change.to.as_deref())) {
            let text = match (&change.from, &change.to) {
                (Some(from), Some(to)) => format!("`{name}` from `{from}` to `{to}`"),
                (Some(from), None) => format!("`{name}` without `{from}`"),
                (None, Some(to)) => format!("`{name}` with `{to}`"),
                (None, None) => format!("`{name}`"),
            };
            out.push(text);
        }
    }
    out
}

/// What an effect is called.
const fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Stronger => "stronger",
        Effect::Equal => "equal",
        Effect::Weaker => "weaker",
        Effect::Incomparable => "incomparable",
    }
}

/// The first line about an environment.
fn summary(difference: &Difference) -> String {
    let environment = &difference.environment;
    let text = match (difference.effect, difference.edits.len()) {
        _ if difference.presence == Presence::New => "new: there is nothing to compare with",
        _ if difference.presence == Presence::Gone => "gone, with all that it protected",
        (_, 0) if difference.groups.is_empty() => "no difference",
        (Effect::Equal, _) => "refactor only: nothing that is proven or demanded changed",
        (Effect::Stronger, _) => "stronger",
        (Effect::Weaker, _) => "weaker: its owners must sign",
        (Effect::Incomparable, _) if difference.effects().any(|one| one == Effect::Weaker) => {
            "weaker in part: its owners must sign"
        }
        (Effect::Incomparable, _) => "neither weaker nor stronger: its owners must sign",
    };
    format!("`{environment}`: {text}")
}
