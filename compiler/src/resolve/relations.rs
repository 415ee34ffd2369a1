//! Owns what documents demand of each other beyond that references exist: no cycles among datasets and keys, and one
//! reconciler for each plan. The entries are [`check_cycles`] and [`check_reconcilers`].

use std::collections::BTreeMap;

use contract::code;

use super::graph;
use super::select::Selection;
use super::tree::{Doc, Tree};
use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::Node;

/// Finds datasets that are rebuilt from themselves, and keys that lock themselves away.
pub fn check_cycles(tree: &Tree, out: &mut Vec<Diagnostic>) {
    let datasets: Vec<&Doc> = tree.of(Kind::Dataset).filter(|doc| doc.sound).collect();
    let derived = |doc: &Doc| -> Vec<String> {
        doc.root
            .get("derived_from")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(Node::text)
            .map(str::to_owned)
            .collect()
    };
    cycles(
        &datasets,
        &derived,
        "derived_from",
        "is rebuilt from itself",
        "back one of them up",
        out,
    );
    let keys: Vec<&Doc> = tree.of(Kind::Key).filter(|doc| doc.sound).collect();
    let custody = |doc: &Doc| -> Vec<String> {
        doc.root
            .get("custody")
            .and_then(Node::text)
            .and_then(|text| text.strip_prefix("key:"))
            .map(str::to_owned)
            .into_iter()
            .collect()
    };
    cycles(
        &keys,
        &custody,
        "custody",
        "is locked away with itself",
        "keep one of them elsewhere",
        out,
    );
}

/// Most names of one cycle that are told; nobody reads on.
const MAX_NAMES: usize = 32;

fn cycles(
    docs: &[&Doc],
    needs: &dyn Fn(&Doc) -> Vec<String>,
    field: &str,
    what: &str,
    help: &str,
    out: &mut Vec<Diagnostic>,
) {
    let index: BTreeMap<&str, usize> = docs
        .iter()
        .enumerate()
        .map(|(at, doc)| (doc.id.as_str(), at))
        .collect();
    let edges: Vec<Vec<usize>> = docs
        .iter()
        .map(|doc| {
            needs(doc)
                .iter()
                .filter_map(|id| index.get(id.as_str()).copied())
                .collect()
        })
        .collect();
    for cycle in graph::cycles(&edges) {
        let members: Vec<&Doc> = cycle
            .iter()
            .filter_map(|at| docs.get(*at).copied())
            .collect();
        let Some(first) = members.first() else {
            continue;
        };
        let span = first
            .root
            .get(field)
            .map_or(first.id_span, |node| node.span);
        let beginning = members.iter().take(MAX_NAMES);
        let mut names: Vec<String> = beginning.map(|doc| format!("`{}`", doc.id)).collect();
        if members.len() > MAX_NAMES {
            names.push(format!("{} more", members.len() - MAX_NAMES));
        }
        names.push(format!("`{}`", first.id));
        out.push(
            Diagnostic::error(code::REFERENCE_CYCLE, format!("`{}` {what}", first.id))
                .label(span, "")
                .note(names.join(" → "))
                .help(help)
                .at([first.at(), vec![field.to_owned()]].concat()),
        );
    }
}

/// Finds plans whose datasets live at sites of different reconcilers: no process could take them in one run.
pub fn check_reconcilers(selection: &Selection, out: &mut Vec<Diagnostic>) {
    let get = |kind: Kind, id: &str| {
        selection
            .get(&(kind, id.to_owned()))
            .map(|selected| &selected.doc)
    };
    for (_, selected) in selection
        .iter()
        .filter(|((kind, _), _)| *kind == Kind::BackupPlan)
    {
        let plan = &selected.doc;
        let mut first: Option<(&str, &Node)> = None;
        for dataset in plan.root.get("dataset_ids").map_or(&[][..], Node::items) {
            let Some((reconciler, named)) = dataset
                .text()
                .and_then(|id| get(Kind::Dataset, id)?.root.get("site")?.text())
                .and_then(|site| get(Kind::Site, site)?.root.get("reconciler_id")?.text())
                .map(|reconciler| (reconciler, dataset))
            else {
                continue;
            };
            match first {
                None => first = Some((reconciler, named)),
                Some((other, at)) if other != reconciler => {
                    out.push(
                        Diagnostic::error(
                            code::SPLIT_PLAN,
                            format!("the datasets of plan `{}` belong to the reconcilers `{other}` and `{reconciler}`", plan.id),
                        )
                        .label(named.span, format!("acted on by `{reconciler}`"))
                        .label(at.span, format!("acted on by `{other}`"))
                        .help("make one plan for each reconciler")
                        .at([plan.at(), vec!["dataset_ids".to_owned()]].concat()),
                    );
                    break;
                }
                Some(_) => {}
            }
        }
    }
}
