//! Owns the way from documents to what one environment runs: overrides, Defaults, checks within and between documents,
//! references, selection. Every stage goes on with what is sound, so that one run tells all. The entry is [`resolve`].

mod defaults;
mod domains;
mod fields;
pub(crate) mod graph;
mod overrides;
mod references;
mod relations;
mod select;
mod tree;

use contract::code;
use contract::id::EnvironmentId;

pub use select::{MAX_MADE, Selected, Selection, made_at_most};
pub use tree::Doc;

use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::Parsed;
use crate::schema::did_you_mean;
use tree::Tree;

/// Resolves a tree for one environment. Findings of reading and of every stage are added to `out`; the selection is
/// complete only when none of them is an error, and absent when the environment is unknown.
pub fn resolve(
    parsed: Parsed,
    environment: &EnvironmentId,
    out: &mut Vec<Diagnostic>,
) -> Option<Selection> {
    let Parsed {
        documents,
        lost,
        diagnostics,
        ..
    } = parsed;
    out.extend(diagnostics);
    let mut tree = Tree::read(documents, lost, out);
    tree.check_header(out);
    overrides::apply(&mut tree, environment.as_str(), out);
    defaults::apply(&mut tree);
    defaults::check_complete(&tree, out);
    fields::check(&tree, out);
    domains::check(&tree, out);
    relations::check_cycles(&tree, out);
    let resolved = references::resolve(&tree, out);
    let found = resolved.get(&(Kind::Environment, environment.as_str().to_owned()));
    match found {
        Some(doc) if doc.sound => {
            let selection = select::select(&tree, &resolved, doc, out);
            relations::check_reconcilers(&selection, out);
            Some(selection)
        }
        Some(_) => None,
        None => {
            unknown_environment(&tree, environment, out);
            None
        }
    }
}

fn unknown_environment(tree: &Tree, environment: &EnvironmentId, out: &mut Vec<Diagnostic>) {
    // A document that is there but not sound, or that was lost, has its own finding; so has an empty tree.
    let is_there = tree.get(Kind::Environment, environment.as_str()).is_some();
    if is_there || tree.has_lost(Kind::Environment) || tree.all().next().is_none() {
        return;
    }
    let known: Vec<&str> = tree
        .of(Kind::Environment)
        .map(|doc| doc.id.as_str())
        .collect();
    let help = did_you_mean(environment.as_str(), known.iter().copied()).unwrap_or_else(|| {
        if known.is_empty() {
            "add a document of kind Environment".to_owned()
        } else {
            format!("the tree declares {}", known.join(", "))
        }
    });
    out.push(
        Diagnostic::error(
            code::UNKNOWN_ENVIRONMENT,
            format!("the tree declares no environment `{environment}`"),
        )
        .help(help)
        .at(["environment"]),
    );
}
