//! Owns what an environment runs: its planes decide which datasets, plans and scenarios stay; plans with `for_each`
//! become one plan a dataset; each plan learns its locations. The entry is [`select`].

use std::collections::{BTreeMap, BTreeSet};

use contract::{code, id};

use super::references::Resolved;
use super::tree::{Doc, Tree, at};
use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::kinds::inventory::SELECTOR_FIELDS;
use crate::parse::{Node, Parsed, Value};
use crate::source::Span;

/// Most plans that `for_each` makes in one environment: each takes some KiB, and the largest trees have one plan a dataset.
pub const MAX_MADE: usize = 100_000;

/// A document as the model will hold it: resolved, and beside it as it was written.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The document, references replaced.
    pub doc: Doc,
    /// The same fields as they were written, after Defaults and overrides.
    pub written: Node,
}

/// What one environment runs, by collection and id.
pub type Selection = BTreeMap<(Kind, String), Selected>;

/// Picks what the environment runs.
pub fn select(
    tree: &Tree,
    resolved: &Resolved,
    environment: &Doc,
    out: &mut Vec<Diagnostic>,
) -> Selection {
    let planes: BTreeSet<&str> = texts(&environment.root, "planes").collect();
    let runs = |doc: &Doc| {
        doc.root
            .get("plane")
            .and_then(Node::text)
            .is_some_and(|plane| planes.contains(plane))
    };
    let mut selection = Selection::new();
    let mut left_out = BTreeSet::new();
    for ((kind, id), doc) in resolved {
        if !doc.sound {
            continue;
        }
        let Some(source) = tree.get(*kind, id) else {
            continue;
        };
        let keep = match kind {
            Kind::Dataset if !runs(doc) => {
                left_out.insert(id.as_str());
                false
            }
            Kind::Environment => doc.id == environment.id,
            Kind::Waiver => {
                let mut named = texts(&doc.root, "environments").peekable();
                named.peek().is_none() || named.any(|id| id == environment.id)
            }
            Kind::BackupPlan
            | Kind::Scenario
            | Kind::DatasetGroup
            | Kind::Standby
            | Kind::Defaults => false,
            Kind::Dataset
            | Kind::Snapshot
            | Kind::Objective
            | Kind::Schedule
            | Kind::RetentionClass
            | Kind::RedundancyProfile
            | Kind::StorageProfile
            | Kind::Site
            | Kind::Location
            | Kind::Key
            | Kind::Connector
            | Kind::Tier
            | Kind::ApprovalPolicy
            | Kind::DataRetention
            | Kind::AlertPolicy
            | Kind::NotificationChannel
            | Kind::Role => true,
        };
        if keep {
            selection.insert(
                (*kind, id.clone()),
                Selected {
                    doc: doc.clone(),
                    written: source.root.clone(),
                },
            );
        }
    }
    let chosen = Chosen {
        tree,
        resolved,
        left_out,
        environment,
    };
    chosen.rebuilt(&selection, out);
    let too_many = chosen.too_many_made(&runs);
    let is_too_much = too_many.is_some();
    out.extend(too_many);
    let plans = of(resolved, Kind::BackupPlan).filter(|doc| doc.sound);
    // Where they are too many none of them is made.
    for doc in plans.filter(|doc| !is_too_much || doc.root.get("for_each").is_none()) {
        chosen.plan(doc, runs(doc), &mut selection, out);
    }
    for doc in of(resolved, Kind::Standby).filter(|doc| doc.sound) {
        chosen.standby(doc, &mut selection);
    }
    for doc in of(resolved, Kind::DatasetGroup).filter(|doc| doc.sound) {
        chosen.group(doc, &mut selection);
    }
    for doc in of(resolved, Kind::Scenario).filter(|doc| doc.sound) {
        chosen.scenario(doc, &mut selection);
    }
    chosen.kept(&selection, out);
    selection
}

fn of(resolved: &Resolved, kind: Kind) -> impl Iterator<Item = &Doc> {
    resolved
        .range((kind, String::new())..)
        .take_while(move |((found, _), _)| *found == kind)
        .map(|(_, doc)| doc)
}

fn of_kind(selection: &Selection, kind: Kind) -> impl Iterator<Item = &Doc> {
    let all = selection.range((kind, String::new())..);
    all.take_while(move |((found, _), _)| *found == kind)
        .map(|(_, selected)| &selected.doc)
}

fn texts<'a>(root: &'a Node, field: &str) -> impl Iterator<Item = &'a str> {
    root.get(field)
        .map_or(&[][..], Node::items)
        .iter()
        .filter_map(Node::text)
}

struct Chosen<'a> {
    tree: &'a Tree,
    resolved: &'a Resolved,
    left_out: BTreeSet<&'a str>,
    environment: &'a Doc,
}

impl Chosen<'_> {
    /// What plans with `for_each` make is counted before any of it is made.
    fn too_many_made(&self, runs: &dyn Fn(&Doc) -> bool) -> Option<Diagnostic> {
        let mut made = 0_usize;
        let plans = of(self.resolved, Kind::BackupPlan).filter(|doc| doc.sound && runs(doc));
        for plan in plans {
            let entry = plan.root.mapping().and_then(|root| root.entry("for_each"));
            let Some(each) = entry else {
                continue;
            };
            let datasets = of(self.resolved, Kind::Dataset);
            let selected = datasets.filter(|dataset| {
                !self.left_out.contains(dataset.id.as_str()) && matches(dataset, &each.node)
            });
            made += selected.count();
            if made > MAX_MADE {
                return Some(too_many_made(plan, each.key_span));
            }
        }
        None
    }

    /// A dataset that stays can only be rebuilt from datasets that stay.
    fn rebuilt(&self, selection: &Selection, out: &mut Vec<Diagnostic>) {
        for (_, selected) in selection
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::Dataset)
        {
            let doc = &selected.doc;
            for node in doc.root.get("derived_from").map_or(&[][..], Node::items) {
                if let Some(id) = node.text().filter(|id| self.left_out.contains(id)) {
                    out.push(
                        Diagnostic::error(
                            code::UNKNOWN_REFERENCE,
                            format!("`{}` is rebuilt from `{id}`, whose plane `{}` does not run", doc.id, self.environment.id),
                        )
                        .label(node.span, "")
                        .label(self.environment.id_span, "this environment")
                        .help("add the plane to the environment, or rebuild from something that it runs")
                        .at([doc.at(), vec!["derived_from".to_owned()]].concat()),
                    );
                }
            }
        }
    }

    /// A key that seals a plan that stays can only be kept in a dataset that stays: nothing could be proven of it.
    fn kept(&self, selection: &Selection, out: &mut Vec<Diagnostic>) {
        let plans = of_kind(selection, Kind::BackupPlan);
        let used: BTreeSet<&str> = plans
            .filter_map(|plan| plan.root.get("encryption_key_ref")?.text())
            .collect();
        for doc in of_kind(selection, Kind::Key).filter(|doc| used.contains(doc.id.as_str())) {
            let Some(node) = doc.root.get("kept_in") else {
                continue;
            };
            if let Some(id) = node.text().filter(|id| self.left_out.contains(id)) {
                out.push(
                    Diagnostic::error(
                        code::UNKNOWN_REFERENCE,
                        format!("key `{}` is kept in `{id}`, whose plane `{}` does not run", doc.id, self.environment.id),
                    )
                    .label(node.span, "")
                    .label(self.environment.id_span, "this environment")
                    .help("add the plane to the environment, or give its plans a key that is kept in what it runs")
                    .at([doc.at(), vec!["kept_in".to_owned()]].concat()),
                );
            }
        }
    }

    fn plan(&self, doc: &Doc, runs: bool, selection: &mut Selection, out: &mut Vec<Diagnostic>) {
        let Some(source) = self.tree.get(Kind::BackupPlan, &doc.id) else {
            return;
        };
        let mut plan = doc.clone();
        self.add_locations(&mut plan.root);
        if let Some(each) = doc.root.get("for_each") {
            let each_span = doc
                .root
                .mapping()
                .and_then(|root| root.entry("for_each"))
                .map_or(each.span, |entry| entry.key_span);
            self.expand(&plan, &source.root, each, each_span, runs, selection, out);
            return;
        }
        let named = doc
            .root
            .get("dataset_ids")
            .filter(|ids| !ids.items().is_empty());
        keep_only(&mut plan.root, "dataset_ids", &self.left_out);
        let is_left = plan
            .root
            .get("dataset_ids")
            .is_some_and(|ids| !ids.items().is_empty());
        if let Some(named) = named.filter(|_| runs && !is_left) {
            out.push(
                Diagnostic::warning(
                    code::EMPTY_SELECTION,
                    format!(
                        "`{}` acts in a plane that `{}` runs, and none of its datasets does",
                        plan.id, self.environment.id
                    ),
                )
                .label(named.span, "")
                .help("give the plan the plane of its datasets, or delete it")
                .at([doc.at(), vec!["dataset_ids".to_owned()]].concat()),
            );
        }
        if runs && is_left {
            let key = (Kind::BackupPlan, plan.id.clone());
            selection.insert(
                key,
                Selected {
                    doc: plan,
                    written: source.root.clone(),
                },
            );
        }
    }

    /// The union of the locations of the plan's storage profiles, each with the way it came.
    fn add_locations(&self, root: &mut Node) {
        let mut locations: BTreeMap<String, Node> = BTreeMap::new();
        let profiles = root.get("storage_profiles").map_or(&[][..], Node::items);
        for (node, profile) in profiles
            .iter()
            .filter_map(|node| Some((node, node.text()?)))
        {
            let Some(storage) = self
                .resolved
                .get(&(Kind::StorageProfile, profile.to_owned()))
            else {
                continue;
            };
            for location in storage.root.get("locations").map_or(&[][..], Node::items) {
                if let Some(id) = location.text() {
                    locations.entry(id.to_owned()).or_insert_with(|| {
                        let mut location = location.clone();
                        location.came_by(
                            node.span,
                            format!("through the storage profile `{profile}`"),
                        );
                        location
                    });
                }
            }
        }
        let span = root
            .get("storage_profiles")
            .map_or(root.span, |node| node.span);
        if let Value::Mapping(root) = &mut root.value {
            root.set(
                "locations",
                span,
                Node::new(span, Value::List(locations.into_values().collect())),
            );
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one call, all of it needed")]
    fn expand(
        &self,
        plan: &Doc,
        written: &Node,
        each: &Node,
        each_span: Span,
        runs: bool,
        selection: &mut Selection,
        out: &mut Vec<Diagnostic>,
    ) {
        let mut matched = false;
        for dataset in of(self.resolved, Kind::Dataset).filter(|dataset| matches(dataset, each)) {
            matched = true;
            if !runs || self.left_out.contains(dataset.id.as_str()) {
                continue;
            }
            let plan_id = format!("{}.{}", plan.id, dataset.id);
            if let Err(invalid) = id::check(&plan_id) {
                out.push(
                    Diagnostic::error(code::INVALID_ID, invalid.to_string())
                        .label(plan.id_span, "the plan")
                        .label(dataset.id_span, "the dataset")
                        .help("shorten one of the two ids; their plan is called `<plan_id>.<dataset_id>`")
                        .at(plan.at()),
                );
                continue;
            }
            if let Some(taken) = self.tree.get(Kind::BackupPlan, &plan_id) {
                out.push(
                    Diagnostic::error(
                        code::DUPLICATE_ID,
                        format!(
                            "BackupPlan `{plan_id}` is declared, and `{}` makes one of that id",
                            plan.id
                        ),
                    )
                    .label(taken.id_span, "declared here")
                    .label(each_span, "made here")
                    .help("rename the declared one")
                    .at(taken.at()),
                );
                continue;
            }
            let mut doc = Doc {
                id: plan_id.clone(),
                ..plan.clone()
            };
            specialise(&mut doc.root, plan, dataset, each_span, &plan_id);
            let mut written = written.clone();
            specialise(&mut written, plan, dataset, each_span, &plan_id);
            selection.insert((Kind::BackupPlan, plan_id), Selected { doc, written });
        }
        if !matched && self.tree.is_whole(Kind::Dataset) {
            out.push(
                Diagnostic::warning(
                    code::EMPTY_SELECTION,
                    format!(
                        "`for_each` of `{}` selects no dataset that is backed up",
                        plan.id
                    ),
                )
                .label(each.span, "")
                .help("correct the selector, or delete the plan")
                .at(at(Kind::BackupPlan, &plan.id)
                    .into_iter()
                    .chain(["for_each".to_owned()])),
            );
        }
    }

    /// A standby goes with its dataset.
    fn standby(&self, doc: &Doc, selection: &mut Selection) {
        let dataset = doc.root.get("dataset").and_then(Node::text);
        if dataset.is_some_and(|id| !self.left_out.contains(id)) {
            self.put(doc.clone(), selection);
        }
    }

    /// A group loses the members that the environment does not run; what waited for them waits for what they waited for.
    fn group(&self, doc: &Doc, selection: &mut Selection) {
        let mut group = doc.clone();
        let members = group.root.get("members").map_or(&[][..], Node::items);
        let goes = |member: &Node| {
            let dataset = member.get("dataset").and_then(Node::text);
            dataset.is_some_and(|id| self.left_out.contains(id))
        };
        if members.iter().any(goes) {
            let left = bridge(members, ("dataset", "after"), &goes);
            if left.is_empty() {
                return;
            }
            if let Value::Mapping(root) = &mut group.root.value
                && let Some(node) = root.get_mut("members")
            {
                node.value = Value::List(left);
            }
        }
        self.put(group, selection);
    }

    fn put(&self, doc: Doc, selection: &mut Selection) {
        if let Some(source) = self.tree.get(doc.kind, &doc.id) {
            let written = source.root.clone();
            selection.insert((doc.kind, doc.id.clone()), Selected { doc, written });
        }
    }

    /// A scenario loses the datasets that the environment does not run, and the steps that act on them; what depended
    /// on such a step depends on what that step depended on.
    fn scenario(&self, doc: &Doc, selection: &mut Selection) {
        let Some(source) = self.tree.get(Kind::Scenario, &doc.id) else {
            return;
        };
        let mut scenario = doc.clone();
        keep_only(&mut scenario.root, "datasets", &self.left_out);
        if scenario
            .root
            .get("datasets")
            .is_none_or(|datasets| datasets.items().is_empty())
        {
            return;
        }
        let steps = scenario.root.get("runbook").map_or(&[][..], Node::items);
        let goes = |step: &Node| {
            step.get("dataset")
                .and_then(Node::text)
                .is_some_and(|id| self.left_out.contains(id))
        };
        if steps.iter().any(goes) {
            let runbook = bridge(steps, ("step", "depends_on"), &goes);
            if let Value::Mapping(root) = &mut scenario.root.value
                && let Some(node) = root.get_mut("runbook")
            {
                node.value = Value::List(runbook);
            }
        }
        let key = (Kind::Scenario, scenario.id.clone());
        selection.insert(
            key,
            Selected {
                doc: scenario,
                written: source.root.clone(),
            },
        );
    }
}

fn too_many_made(plan: &Doc, each: Span) -> Diagnostic {
    let message = format!(
        "with `{}` the plans with `for_each` make more than {MAX_MADE} plans",
        plan.id
    );
    Diagnostic::error(code::EXPANSION_TOO_LARGE, message)
        .label(each, "one plan for each dataset that this selects")
        .help("select fewer datasets, or name several in `dataset_ids` of one plan")
        .at(at(Kind::BackupPlan, &plan.id)
            .into_iter()
            .chain(["for_each".to_owned()]))
}

/// Takes entries out of a set of ids.
fn keep_only(root: &mut Node, field: &str, left_out: &BTreeSet<&str>) {
    if let Value::Mapping(root) = &mut root.value
        && let Some(Node {
            value: Value::List(items),
            ..
        }) = root.get_mut(field)
    {
        items.retain(|node| node.text().is_none_or(|id| !left_out.contains(id)));
    }
}

/// The steps that stay, with dependencies led past those that go. Runbooks are acyclic by now, and short.
fn bridge(steps: &[Node], (id, waits): (&str, &str), goes: &dyn Fn(&Node) -> bool) -> Vec<Node> {
    let by_id: BTreeMap<&str, &Node> = steps
        .iter()
        .filter_map(|step| Some((step.get(id)?.text()?, step)))
        .collect();
    steps
        .iter()
        .filter(|step| !goes(step))
        .map(|step| {
            let mut reached: BTreeMap<String, Node> = BTreeMap::new();
            let mut seen = BTreeSet::new();
            let mut open: Vec<&Node> = step
                .get(waits)
                .map_or(&[][..], Node::items)
                .iter()
                .collect();
            while let Some(node) = open.pop() {
                let Some(id) = node.text().filter(|id| seen.insert(id.to_owned())) else {
                    continue;
                };
                match by_id.get(id).filter(|step| goes(step)) {
                    Some(gone) => open.extend(gone.get(waits).map_or(&[][..], Node::items)),
                    None => {
                        reached.insert(id.to_owned(), node.clone());
                    }
                }
            }
            let mut step = step.clone();
            if let Value::Mapping(fields) = &mut step.value
                && let Some(node) = fields.get_mut(waits)
            {
                node.value = Value::List(reached.into_values().collect());
            }
            step
        })
        .collect()
}

/// No fewer plans than `for_each` makes in any environment, told by the documents as they are written.
pub fn made_at_most(parsed: &Parsed) -> usize {
    let of = |kind: Kind| {
        let documents = parsed.documents.iter().map(|document| &document.root);
        documents.filter(move |root| root.get("kind").and_then(Node::text) == Some(kind.name()))
    };
    let each = of(Kind::BackupPlan).filter_map(|plan| plan.get("for_each"));
    let made = each.map(|each| {
        let datasets = of(Kind::Dataset);
        datasets.filter(|dataset| selects(each, dataset)).count()
    });
    made.sum()
}

/// Whether a selector takes a dataset.
fn matches(dataset: &Doc, each: &Node) -> bool {
    dataset.sound && selects(each, &dataset.root)
}

/// Only datasets that are backed up have plans.
fn selects(each: &Node, dataset: &Node) -> bool {
    let field = |name: &str| dataset.get(name).and_then(Node::text);
    field("eligibility") == Some("backed_up")
        && SELECTOR_FIELDS
            .iter()
            .all(|name| match each.get(name).and_then(Node::text) {
                Some(wanted) => field(name) == Some(wanted),
                None => true,
            })
}

/// Turns a plan with `for_each` into the plan of one dataset.
fn specialise(root: &mut Node, plan: &Doc, dataset: &Doc, each: Span, plan_id: &str) {
    let text = format!("selected by `for_each` of `{}`", plan.id);
    let Value::Mapping(fields) = &mut root.value else {
        return;
    };
    fields.entries.retain(|entry| entry.key != "for_each");
    let mut id = Node::new(plan.id_span, Value::Text(plan_id.to_owned()));
    id.came_by(each, text.clone());
    fields.set(Kind::BackupPlan.id_field(), plan.id_span, id);
    let mut item = Node::new(dataset.id_span, Value::Text(dataset.id.clone()));
    item.came_by(each, text);
    fields.set(
        "dataset_ids",
        each,
        Node::new(each, Value::List(vec![item])),
    );
}
