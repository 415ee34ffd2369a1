//! Owns the question which environments a tree declares, which is asked before any of them is compiled. Checks nothing
//! else. The entry is [`environments`].

use std::collections::BTreeSet;

use contract::code;
use contract::id::EnvironmentId;

use crate::diagnostic::Diagnostic;
use crate::kinds::Kind;
use crate::parse::Parsed;

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
