//! Owns what fields of one document demand of each other: alternatives, orders, pairs. Never looks at another document.
//! The entry is [`check`].

use std::collections::BTreeMap;

use contract::code::{self, Code};
use contract::duration::{self, Seconds};
use contract::model::{MIN_DELETE_GRACE, Watch};

use super::graph;
use super::tree::{Doc, Tree};
use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::{Node, Value};
use crate::schema::did_you_mean;
use crate::source::Span;

/// Checks every sound document.
pub fn check(tree: &Tree, out: &mut Vec<Diagnostic>) {
    for doc in tree.all().filter(|doc| doc.sound) {
        let mut judge = Judge {
            doc,
            path: doc.at(),
            anchor: doc.id_span,
            out,
        };
        match doc.kind {
            Kind::Schedule => judge.schedule(&doc.root),
            Kind::RetentionClass => judge.retention(&doc.root),
            Kind::RedundancyProfile => judge.redundancy(),
            Kind::Tier => judge.tier(),
            Kind::Dataset => judge.dataset(),
            Kind::BackupPlan => judge.plan(),
            Kind::Scenario => judge.order(&STEPS),
            Kind::Waiver => judge.waiver(),
            Kind::Standby => judge.standby(),
            Kind::DatasetGroup => judge.order(&MEMBERS),
            Kind::DataRetention => judge.data_retention(),
            Kind::AlertPolicy => judge.alerts(),
            Kind::Environment => judge.environment(),
            Kind::Snapshot
            | Kind::Defaults
            | Kind::Objective
            | Kind::StorageProfile
            | Kind::Site
            | Kind::Location
            | Kind::Key
            | Kind::Connector
            | Kind::ApprovalPolicy
            | Kind::Role
            | Kind::NotificationChannel => {}
        }
    }
}

/// A list whose entries wait for each other.
struct Order {
    list: &'static str,
    id: &'static str,
    waits: &'static str,
    /// What an entry is called.
    entry: &'static str,
    /// What never begins when entries wait in a circle.
    whole: &'static str,
    /// Most entries.
    most: usize,
}

const STEPS: Order = Order {
    list: "runbook",
    id: "step",
    waits: "depends_on",
    entry: "step",
    whole: "the runbook",
    // Which steps may run at the same time is asked of each two of them; nobody carries out a longer runbook.
    most: 1_000,
};

const MEMBERS: Order = Order {
    list: "members",
    id: "dataset",
    waits: "after",
    entry: "member",
    whole: "the restore",
    most: usize::MAX,
};

struct Judge<'a> {
    doc: &'a Doc,
    path: Vec<String>,
    /// Where to point when a field is missing.
    anchor: Span,
    out: &'a mut Vec<Diagnostic>,
}

impl Judge<'_> {
    fn finding(&self, code: Code, message: String, field: &str, span: Span) -> Diagnostic {
        Diagnostic::error(code, message).label(span, "").at(self
            .path
            .iter()
            .map(String::as_str)
            .chain([field]))
    }

    fn tell(&mut self, message: String, field: &str, span: Span, help: &str) {
        let finding = self
            .finding(code::CONTRADICTING_FIELDS, message, field, span)
            .help(help);
        self.out.push(finding);
    }

    /// `small` may not exceed `large`; both are lengths of time.
    fn ordered(&mut self, root: &Node, small: &str, large: &str) {
        let (Some(one), Some(two)) = (root.get(small), root.get(large)) else {
            return;
        };
        if let (Some(first), Some(second)) = (seconds(one), seconds(two))
            && first > second
        {
            let message = format!(
                "`{small}` ({}) is longer than `{large}` ({})",
                first.human(),
                second.human()
            );
            let finding = self
                .finding(code::CONTRADICTING_FIELDS, message, small, one.span)
                .label(two.span, "the bound")
                .help(format!("write a shorter `{small}` or a longer `{large}`"));
            self.out.push(finding);
        }
    }

    /// `small` may not exceed `large`; both are counts.
    fn at_most(&mut self, name: &str, small: Option<&Node>, large: &str) {
        let (Some(one), Some(two)) = (small, self.doc.root.get(large)) else {
            return;
        };
        if let (Value::Integer(first), Value::Integer(second)) = (&one.value, &two.value)
            && first > second
        {
            let message = format!("`{name}` is {first}, more than the {second} of `{large}`");
            let finding = self
                .finding(code::CONTRADICTING_FIELDS, message, name, one.span)
                .label(two.span, "the bound")
                .help(format!("write a smaller `{name}` or more `{large}`"));
            self.out.push(finding);
        }
    }

    fn schedule(&mut self, root: &Node) {
        let given: Vec<(&str, Span)> = ["cron", "every", "continuous"]
            .into_iter()
            .filter_map(|name| key_span(root, name).map(|span| (name, span)))
            .collect();
        match given.as_slice() {
            [] => self.tell(
                format!("schedule `{}` says nothing about when it runs", self.doc.id),
                "cron",
                self.anchor,
                "give one of `cron` with `timezone`, `every` and `continuous`",
            ),
            [(first, at), (second, again), ..] => {
                let finding = self
                    .finding(
                        code::CONTRADICTING_FIELDS,
                        format!("`{first}` and `{second}` exclude each other"),
                        second,
                        *again,
                    )
                    .label(*at, "given here too")
                    .help("keep one of `cron`, `every` and `continuous`");
                self.out.push(finding);
            }
            [_] => {}
        }
        match (key_span(root, "cron"), key_span(root, "timezone")) {
            (Some(cron), None) => self.tell("`cron` has no `timezone`".to_owned(), "timezone", cron, "add the IANA zone in which the expression is read, for example `timezone: Europe/Berlin`"),
            (None, Some(zone)) if !given.is_empty() => self.tell("`timezone` belongs to `cron` alone".to_owned(), "timezone", zone, "take it away; `every` and `continuous` know no zone"),
            (Some(_), Some(_)) | (None, Some(_) | None) => {}
        }
        self.ordered(root, "jitter", "start_window");
        self.ordered(root, "start_window", "completion_window");
    }

    fn retention(&mut self, root: &Node) {
        self.ordered(root, "min_duration", "max_duration");
        self.ordered(root, "immutable_for", "max_duration");
    }

    fn redundancy(&mut self) {
        let root = &self.doc.root;
        self.at_most("commit", root.get("commit"), "copies");
        self.at_most("immutable_copies", root.get("immutable_copies"), "copies");
        let distinct = root.get("distinct").and_then(Node::mapping);
        for entry in distinct.into_iter().flat_map(|mapping| &mapping.entries) {
            self.at_most(
                &format!("distinct.{}", entry.key),
                Some(&entry.node),
                "copies",
            );
        }
    }

    fn tier(&mut self) {
        let mut firsts: BTreeMap<&str, Span> = BTreeMap::new();
        let losses = self
            .doc
            .root
            .get("survives")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(|item| item.get("lose"));
        for node in losses {
            let Some(lose) = node.text() else {
                continue;
            };
            if let Some(first) = firsts.insert(lose, node.span) {
                let finding = self
                    .finding(
                        code::CONTRADICTING_FIELDS,
                        format!("the loss `{lose}` stands twice in `survives`"),
                        "survives",
                        node.span,
                    )
                    .label(first, "first here")
                    .help("keep the stricter objective");
                self.out.push(finding);
            }
        }
    }

    fn dataset(&mut self) {
        let root = &self.doc.root;
        let Some(eligibility) = root.get("eligibility") else {
            return;
        };
        let word = eligibility.text().unwrap_or_default();
        for (field, owner, what) in [
            (
                "derived_from",
                "reconstructed",
                "name the datasets that it is rebuilt from",
            ),
            ("justification", "excluded", "say why it is not backed up"),
        ] {
            match key_span(root, field) {
                None if word == owner => self.tell(
                    format!("`{}` is {owner} and has no `{field}`", self.doc.id),
                    field,
                    eligibility.span,
                    what,
                ),
                Some(given) if word != owner => {
                    let finding = self
                        .finding(
                            code::CONTRADICTING_FIELDS,
                            format!(
                                "`{field}` belongs to datasets that are {owner}, `{}` is {word}",
                                self.doc.id
                            ),
                            field,
                            given,
                        )
                        .label(eligibility.span, "stated here")
                        .help(format!(
                            "take `{field}` away, or write `eligibility: {owner}`"
                        ));
                    self.out.push(finding);
                }
                None | Some(_) => {}
            }
        }
    }

    fn plan(&mut self) {
        let root = &self.doc.root;
        match (key_span(root, "dataset_ids"), key_span(root, "for_each")) {
            (None, None) => self.tell(
                format!("plan `{}` names no datasets", self.doc.id),
                "dataset_ids",
                self.anchor,
                "give `dataset_ids`, or `for_each` with what to select",
            ),
            (Some(ids), Some(each)) => {
                let finding = self
                    .finding(
                        code::CONTRADICTING_FIELDS,
                        "`dataset_ids` and `for_each` exclude each other".to_owned(),
                        "for_each",
                        each,
                    )
                    .label(ids, "given here too")
                    .help("keep one of the two");
                self.out.push(finding);
            }
            (None, Some(each))
                if root
                    .get("for_each")
                    .and_then(Node::mapping)
                    .is_some_and(|mapping| mapping.entries.is_empty()) =>
            {
                self.tell("`for_each` selects by nothing".to_owned(), "for_each", each, "give at least one of plane, store_type, criticality, data_classification, site and tenant");
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        for field in ["backup_frequency", "full_frequency", "retention"] {
            // A literal is another document in this one; a rule judges that it is one, its own fields are judged here.
            if let Some(node) = root.get(field).filter(|node| node.mapping().is_some()) {
                self.path.push(field.to_owned());
                self.anchor = node.span;
                if field == "retention" {
                    self.retention(node);
                } else {
                    self.schedule(node);
                }
                self.path.pop();
            }
        }
    }

    fn waiver(&mut self) {
        let root = &self.doc.root;
        if let (Some(length), Some(number)) =
            (key_span(root, "bound"), key_span(root, "bound_count"))
        {
            let finding = self
                .finding(
                    code::CONTRADICTING_FIELDS,
                    "`bound` and `bound_count` exclude each other".to_owned(),
                    "bound_count",
                    number,
                )
                .label(length, "given here too")
                .help("keep the one that the finding has: a length of time, or a number");
            self.out.push(finding);
        }
    }

    fn standby(&mut self) {
        let root = &self.doc.root;
        self.ordered(root, "heartbeat", "lag_limit");
        let (Some(primary), Some(standby)) = (root.get("primary"), root.get("standby")) else {
            return;
        };
        if primary.text() == standby.text() {
            let finding = self
                .finding(
                    code::CONTRADICTING_FIELDS,
                    format!("standby `{}` runs where its primary runs", self.doc.id),
                    "standby",
                    standby.span,
                )
                .label(primary.span, "the same site")
                .help("name the site that is left when the primary's is lost");
            self.out.push(finding);
        }
    }

    fn data_retention(&mut self) {
        let root = &self.doc.root;
        if root.get("data_classification").is_none() && root.get("layer").is_none() {
            self.tell(
                format!("`{}` is about no data in particular", self.doc.id),
                "data_classification",
                self.anchor,
                "give `data_classification`, `layer` or both",
            );
        }
        self.ordered(root, "min_duration", "max_duration");
        self.ordered(root, "archive_after", "purge_after");
        let held = root
            .get("legal_hold")
            .filter(|hold| hold.value == Value::Flag(true));
        let purged = root
            .get("purge_after")
            .filter(|after| after.text() != Some("none"));
        if let (Some(held), Some(purged)) = (held, purged) {
            let finding = self
                .finding(
                    code::CONTRADICTING_FIELDS,
                    format!("`{}` is held and purged", self.doc.id),
                    "purge_after",
                    purged.span,
                )
                .label(held.span, "held here")
                .help("write `purge_after: none` as long as the hold lasts");
            self.out.push(finding);
        }
    }

    fn alerts(&mut self) {
        let root = &self.doc.root;
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for one in root.get("thresholds").map_or(&[][..], Node::items) {
            let Some((watch, node)) = one.get("watch").and_then(|node| Some((node.text()?, node)))
            else {
                continue;
            };
            if let Some(first) = seen.insert(watch, node.span) {
                let message = format!("`{watch}` is watched twice in `{}`", self.doc.id);
                let finding = self
                    .finding(code::CONTRADICTING_FIELDS, message, "thresholds", node.span)
                    .label(first, "first here")
                    .help("keep the one that is heard of earlier");
                self.out.push(finding);
            }
            let more_is_worse =
                serde_json::from_value::<Watch>(watch.into()).is_ok_and(Watch::more_is_worse);
            let (first, then) = if more_is_worse {
                ("warning_percent", "critical_percent")
            } else {
                ("critical_percent", "warning_percent")
            };
            if let (Some(small), Some(large)) = (one.get(first), one.get(then))
                && let (Value::Integer(less), Value::Integer(more)) = (&small.value, &large.value)
                && less > more
            {
                let message = format!("`{watch}` is critical before it is a warning");
                let finding = self
                    .finding(
                        code::CONTRADICTING_FIELDS,
                        message,
                        "thresholds",
                        small.span,
                    )
                    .label(large.span, "the bound")
                    .help(format!("write at most {more} in `{first}`"));
                self.out.push(finding);
            }
        }
        let mut before: Option<(Seconds, Span)> = None;
        for step in root.get("escalation").map_or(&[][..], Node::items) {
            let Some((after, node)) = step
                .get("after")
                .and_then(|node| Some((seconds(node)?, node)))
            else {
                continue;
            };
            if let Some((earlier, span)) = before
                && after <= earlier
            {
                let finding = self
                    .finding(
                        code::CONTRADICTING_FIELDS,
                        format!(
                            "a step of the escalation of `{}` is not later than the one before",
                            self.doc.id
                        ),
                        "escalation",
                        node.span,
                    )
                    .label(span, "the one before")
                    .help("write the steps in the order in which they come");
                self.out.push(finding);
            }
            before = Some((after, node.span));
        }
    }

    fn environment(&mut self) {
        self.windows();
        self.deletion();
    }

    fn windows(&mut self) {
        let windows = self.doc.root.get("freeze_windows");
        for window in windows.map_or(&[][..], Node::items) {
            let (Some(from), Some(to)) = (window.get("from"), window.get("to")) else {
                continue;
            };
            let instant = |node: &Node| node.text()?.parse::<jiff::Timestamp>().ok();
            if let (Some(first), Some(last)) = (instant(from), instant(to))
                && first >= last
            {
                let finding = self
                    .finding(
                        code::CONTRADICTING_FIELDS,
                        format!("a freeze window of `{}` ends before it begins", self.doc.id),
                        "freeze_windows",
                        to.span,
                    )
                    .label(from.span, "it begins here")
                    .help("write a later `to`");
                self.out.push(finding);
            }
        }
    }

    /// How much may be deleted and how late are both needed: either alone deletes nothing.
    fn deletion(&mut self) {
        let root = &self.doc.root;
        let id = &self.doc.id;
        match (key_span(root, "delete_budget"), key_span(root, "delete_grace")) {
            (Some(budget), None) => self.tell(
                format!("`{id}` has a `delete_budget` and no `delete_grace`"),
                "delete_grace",
                budget,
                "add `delete_grace: P1D`, how long recovery points and packs stay marked before they are deleted; without it nothing is \
                 deleted",
            ),
            (None, Some(grace)) => self.tell(
                format!("`{id}` has a `delete_grace` and no `delete_budget`"),
                "delete_budget",
                grace,
                "add `delete_budget: { points: 200, within: P1D }`, how many recovery points may be deleted within a time; without it \
                 nothing is deleted",
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if let Some((length, grace)) = root
            .get("delete_grace")
            .and_then(|grace| Some((seconds(grace)?, grace)))
            && length < MIN_DELETE_GRACE
        {
            let message = format!(
                "the `delete_grace` of `{id}` ({}) is shorter than {}",
                length.human(),
                MIN_DELETE_GRACE.human()
            );
            let finding = self
                .finding(code::WRONG_TYPE, message, "delete_grace", grace.span)
                .help(format!("write `{MIN_DELETE_GRACE}` or longer: a lock of restic, or a lease, may live that long"));
            self.out.push(finding);
        }
    }

    fn order(&mut self, order: &Order) {
        let Order {
            list,
            id: name,
            waits,
            entry,
            whole,
            most,
        } = order;
        let steps = self.doc.root.get(list).map_or(&[][..], Node::items);
        if let Some(one) = steps.get(*most) {
            let message = format!(
                "`{}` has {} {entry}s, more than the {most} that can be put into an order",
                self.doc.id,
                steps.len()
            );
            let finding = self
                .finding(code::EXPANSION_TOO_LARGE, message, list, one.span)
                .help(format!("make several of it, each with fewer {entry}s"));
            self.out.push(finding);
            return;
        }
        let mut index: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let Some((id, node)) = step
                .get(name)
                .and_then(|node| node.text().map(|id| (id, node)))
            else {
                continue;
            };
            if let Some(first) = index.insert(id, number) {
                let mut finding = self
                    .finding(
                        code::DUPLICATE_ID,
                        format!("the {entry} `{id}` is declared twice in `{}`", self.doc.id),
                        list,
                        node.span,
                    )
                    .help(if *entry == "step" {
                        "rename one of the two"
                    } else {
                        "keep one of the two"
                    });
                if let Some(first) = steps.get(first).and_then(|step| step.get(name)) {
                    finding = finding.label(first.span, "declared first");
                }
                self.out.push(finding);
            }
        }
        let mut edges = vec![Vec::new(); steps.len()];
        for (step, out_edges) in steps.iter().zip(&mut edges) {
            for node in step.get(waits).map_or(&[][..], Node::items) {
                let Some(id) = node.text() else {
                    continue;
                };
                if let Some(target) = index.get(id) {
                    out_edges.push(*target);
                    continue;
                }
                let help = did_you_mean(id, index.keys().copied())
                    .unwrap_or_else(|| format!("name a {entry} of `{}`", self.doc.id));
                let message = format!(
                    "`{waits}` names the {entry} `{id}`, which `{}` does not have",
                    self.doc.id
                );
                let finding = self
                    .finding(code::UNKNOWN_REFERENCE, message, list, node.span)
                    .help(help);
                self.out.push(finding);
            }
        }
        for cycle in graph::cycles(&edges) {
            let named: Vec<&Node> = cycle
                .iter()
                .filter_map(|step| steps.get(*step)?.get(name))
                .collect();
            let Some(first) = named.first() else {
                continue;
            };
            let words: Vec<String> = named
                .iter()
                .chain([first])
                .filter_map(|node| node.text())
                .map(|id| format!("`{id}`"))
                .collect();
            let finding = self
                .finding(
                    code::REFERENCE_CYCLE,
                    format!(
                        "{whole} of `{}` never begins: {}",
                        self.doc.id,
                        words.join(" → ")
                    ),
                    list,
                    first.span,
                )
                .help(format!("take one of these `{waits}` away"));
            self.out.push(finding);
        }
    }
}

fn seconds(node: &Node) -> Option<Seconds> {
    duration::parse(node.text()?).ok()
}

/// Where a field of a mapping is named, if it is given.
fn key_span(root: &Node, name: &str) -> Option<Span> {
    root.mapping()?.entry(name).map(|entry| entry.key_span)
}
