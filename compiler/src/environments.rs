//! Owns the question which environments a tree declares, which is asked before any of them is compiled. Checks nothing
//! else. The entry is [`environments`].

use std::collections::BTreeSet;

use contract::code;
use contract::id::EnvironmentId;

use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::Parsed;

/// Each environment is compiled and judged by itself; nobody runs as many.
const MAX_ENVIRONMENTS: usize = 100;

/// Said at the first that is too much, in the order of files.
fn too_many(parsed: &Parsed, declared: usize) -> Diagnostic {
    let mut seen = BTreeSet::new();
    let ids = parsed.documents.iter().filter_map(|document| {
        let kind = document.root.get("kind")?.text();
        let id = document.root.get(Kind::Environment.id_field())?;
        (kind == Some(Kind::Environment.name())).then_some(id)
    });
    let first = ids.filter_map(|id| Some((id, id.text()?)));
    let first = first
        .filter(|(_, id)| seen.insert(*id))
        .nth(MAX_ENVIRONMENTS);
    let message = format!(
        "the tree declares {declared} environments, more than the {MAX_ENVIRONMENTS} that one run judges"
    );
    let mut found = Diagnostic::error(code::EXPANSION_TOO_LARGE, message)
        .at(["environments"])
        .help("delete environments that nobody runs, or judge some at a time: `seawall check --env ENV`");
    if let Some((id, _)) = first {
        found = found.label(id.span, "one too many");
    }
    found
}

/// The environments of a tree, sorted; when there is none, the findings that say why.
pub fn environments(parsed: &Parsed) -> (Vec<EnvironmentId>, Vec<Diagnostic>) {
    let declared: BTreeSet<EnvironmentId> = parsed
        .documents
        .iter()
        .filter(|document| {
            document.root.get("kind").and_then(|kind| kind.text()) == Some(Kind::Environment.name())
        })
        .filter_map(|document| document.root.get(Kind::Environment.id_field())?.text())
        .filter_map(|id| id.parse().ok())
        .collect();
    if declared.len() > MAX_ENVIRONMENTS {
        return (Vec::new(), vec![too_many(parsed, declared.len())]);
    }
    if !declared.is_empty() {
        return (declared.into_iter().collect(), Vec::new());
    }
    let mut diagnostics = parsed.diagnostics.clone();
    // What was lost has a finding of its own, and may have been the environment.
    if diagnostics.is_empty() && !parsed.lost {
        diagnostics.push(if parsed.documents.is_empty() {
            Diagnostic::error(code::EMPTY_TREE, "the folder holds no policy document")
                .help("name the folder of a policy tree, or make one with `seawall init`")
        } else {
            Diagnostic::error(
                code::UNKNOWN_ENVIRONMENT,
                "the tree declares no environment",
            )
            .help("add a document `kind: Environment` with an `environment_id`")
        });
    }
    (Vec::new(), diagnostics)
}
