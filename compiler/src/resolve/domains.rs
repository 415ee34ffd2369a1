//! Owns the consistency of fault domains: a zone stands in one region, a region at one provider, and a domain that a
//! document names exists. The entry is [`check`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code;
use contract::model::{DomainKind, FaultDomain};

use super::tree::{Doc, Tree};
use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::Node;
use crate::schema::did_you_mean;
use crate::source::Span;

/// Checks the fault domains of sites, locations, keys and scenarios.
pub fn check(tree: &Tree, out: &mut Vec<Diagnostic>) {
    parents(tree, out);
    let known = known_domains(tree);
    if ![Kind::Site, Kind::Location, Kind::Connector, Kind::Key]
        .iter()
        .all(|kind| tree.is_whole(*kind))
    {
        return;
    }
    let mut tell = |finding: Diagnostic, doc: &Doc, field: &str, node: &Node| {
        let at = [doc.at(), vec![field.to_owned()]].concat();
        out.push(finding.label(node.span, "").at(at));
    };
    for doc in tree.of(Kind::Key).filter(|doc| doc.sound) {
        if let Some(node) = doc.root.get("custody")
            && let Some((domain, near)) = unknown(node, &known)
            && let Some(finding) = custody(doc, &domain, near)
        {
            tell(finding, doc, "custody", node);
        }
    }
    for doc in tree.of(Kind::Scenario).filter(|doc| doc.sound) {
        for node in doc.root.get("losses").map_or(&[][..], Node::items) {
            if let Some((domain, near)) = unknown(node, &known) {
                tell(loss(doc, &domain, near), doc, "losses", node);
            }
        }
    }
}

/// The chain of parents, as field names of `fault_domains`.
const CHAIN: [(&str, &str); 2] = [("zone", "region"), ("region", "provider")];

fn parents(tree: &Tree, out: &mut Vec<Diagnostic>) {
    let mut placed: BTreeMap<(&str, &str), (&str, Span)> = BTreeMap::new();
    for doc in tree
        .of(Kind::Site)
        .chain(tree.of(Kind::Location))
        .filter(|doc| doc.sound)
    {
        let Some(domains) = doc.root.get("fault_domains") else {
            continue;
        };
        for (child, parent) in CHAIN {
            let (Some(child_node), Some(parent_node)) = (domains.get(child), domains.get(parent))
            else {
                continue;
            };
            let (Some(child_id), Some(parent_id)) = (child_node.text(), parent_node.text()) else {
                continue;
            };
            match placed.get(&(child, child_id)) {
                None => {
                    placed.insert((child, child_id), (parent_id, parent_node.span));
                }
                Some((first, at)) if *first != parent_id => out.push(
                    Diagnostic::error(
                        code::INCONSISTENT_DOMAIN,
                        format!("the {child} `{child_id}` stands in the {parent} `{parent_id}` here and in `{first}` elsewhere"),
                    )
                    .label(parent_node.span, format!("`{child_id}` in `{parent_id}`"))
                    .label(*at, format!("`{child_id}` in `{first}`"))
                    .help(format!("give one of them another {child} or the same {parent}"))
                    .at([doc.at(), vec!["fault_domains".to_owned(), parent.to_owned()]].concat()),
                ),
                Some(_) => {}
            }
        }
    }
}

/// Every domain that something of the tree stands in, is run by, or is.
fn known_domains(tree: &Tree) -> BTreeMap<DomainKind, BTreeSet<String>> {
    let mut known: BTreeMap<DomainKind, BTreeSet<String>> = BTreeMap::new();
    let mut add = |kind: DomainKind, id: Option<&str>| {
        if let Some(id) = id {
            known.entry(kind).or_default().insert(id.to_owned());
        }
    };
    let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
    for doc in tree.of(Kind::Site).chain(tree.of(Kind::Location)) {
        for kind in [
            DomainKind::Provider,
            DomainKind::Region,
            DomainKind::Zone,
            DomainKind::Account,
            DomainKind::Credential,
        ] {
            let id = text(
                doc.root
                    .get("fault_domains")
                    .and_then(|domains| domains.get(kind.as_str())),
            );
            add(kind, id.as_deref());
        }
        add(DomainKind::Host, text(doc.root.get("host")).as_deref());
    }
    for doc in tree.of(Kind::Connector) {
        add(DomainKind::Engine, text(doc.root.get("engine")).as_deref());
    }
    for doc in tree.of(Kind::Key) {
        add(DomainKind::Key, Some(&doc.id));
    }
    known
}

/// A domain that is written here and in which nothing stands, with the known one that it may be a misspelling of.
fn unknown(
    node: &Node,
    known: &BTreeMap<DomainKind, BTreeSet<String>>,
) -> Option<(FaultDomain, Option<String>)> {
    let domain: FaultDomain = node.text()?.parse().ok()?;
    let ids = known.get(&domain.kind);
    if ids.is_some_and(|ids| ids.contains(&domain.id)) {
        return None;
    }
    let written: Vec<String> = ids
        .into_iter()
        .flatten()
        .map(|id| format!("{}:{id}", domain.kind.as_str()))
        .collect();
    let near = did_you_mean(&domain.to_string(), written.iter().map(String::as_str));
    Some((domain, near))
}

/// A key may be kept where nothing else is; but a name that is almost a known one is a misspelling, and the loss of the
/// real domain would then seem not to take the key.
fn custody(doc: &Doc, domain: &FaultDomain, near: Option<String>) -> Option<Diagnostic> {
    let kid = &doc.id;
    if domain.kind == DomainKind::Key {
        let message = format!("`{kid}` is kept under `{domain}`, which does not exist");
        let help = near.unwrap_or_else(|| "name the kid of a Key document".to_owned());
        return Some(Diagnostic::error(code::UNKNOWN_REFERENCE, message).help(help));
    }
    let message = format!("`{kid}` is kept in `{domain}`, where nothing else of the tree stands");
    near.map(|help| Diagnostic::warning(code::UNKNOWN_REFERENCE, message).help(help))
}

/// A scenario that loses something unknown loses nothing, and would prove nothing.
fn loss(doc: &Doc, domain: &FaultDomain, near: Option<String>) -> Diagnostic {
    let message = format!(
        "scenario `{}` loses `{domain}`, in which nothing stands",
        doc.id
    );
    let help = near.unwrap_or_else(|| {
        format!(
            "name a {} that a site, location, connector or key has",
            domain.kind.as_str()
        )
    });
    Diagnostic::error(code::UNKNOWN_REFERENCE, message).help(help)
}
