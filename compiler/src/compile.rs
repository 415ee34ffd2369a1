//! Owns the first of the product's functions: a policy tree and an environment in, the resolved model out, with its
//! canonical bytes, the origin of every value, and every finding. Pure: the same tree gives the same bytes. See [`compile`].

use contract::code;
use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::model::Model;
use contract::{canonical, model};
use serde_json::Value as Json;

use crate::diagnostic::{self, Diagnostic};
use crate::lower::{self, Lowered, Provenance};
use crate::parse;
use crate::resolve;
use crate::source::{self, Input, SourceSet};

/// What a tree says for one environment.
#[derive(Debug)]
pub struct Compilation {
    /// The environment that was asked for.
    pub environment: EnvironmentId,
    /// The model; absent when a finding of reading or resolving is an error, or when the tree is incomplete: a model of a
    /// part of it would prove the loss of what the rest protects.
    pub model: Option<Model>,
    /// The canonical bytes of the model, `bundle.json`; present exactly when the model is.
    pub bundle: Option<Vec<u8>>,
    /// Where each value came from; as far as resolution got.
    pub provenance: Provenance,
    /// The canonical bytes of `provenance.json`; present exactly when the model is.
    pub provenance_bytes: Option<Vec<u8>>,
    /// How each value was written, at the model's paths with the field names of the source.
    pub written: Json,
    /// The policy snapshot hash.
    pub snapshot_hash: Digest,
    /// The files that it covers.
    pub inputs: Vec<Input>,
    /// Findings of reading and resolving, sorted.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles a tree for one environment. Judges nothing: rules, dates and evidence come later.
pub fn compile(sources: &SourceSet, environment: &EnvironmentId) -> Compilation {
    let mut diagnostics = Vec::new();
    let parsed = parse::parse(sources);
    let selection = resolve::resolve(parsed, environment, &mut diagnostics);
    let lowered = selection
        .map(|selection| lower::lower(&selection))
        .unwrap_or_default();
    let sealed = if sources.incomplete || diagnostic::has_errors(&diagnostics) {
        None
    } else {
        finish(&lowered, sources)
            .map_err(|finding| diagnostics.push(*finding))
            .ok()
    };
    diagnostic::sort(&mut diagnostics);
    diagnostic::cut(&mut diagnostics);
    let inputs = sources.inputs();
    let (model, bundle, provenance_bytes) = match sealed {
        Some((model, bundle, provenance)) => (Some(model), Some(bundle), Some(provenance)),
        None => (None, None, None),
    };
    Compilation {
        environment: environment.clone(),
        model,
        bundle,
        provenance: lowered.provenance,
        provenance_bytes,
        written: lowered.written,
        snapshot_hash: source::snapshot_hash(&inputs),
        inputs,
        diagnostics,
    }
}

/// Reads the lowered JSON as the model and writes the bytes. The schemas let nothing through that fails here, but a
/// bundle that cannot be read back must never leave the compiler.
fn finish(
    lowered: &Lowered,
    sources: &SourceSet,
) -> Result<(Model, Vec<u8>, Vec<u8>), Box<Diagnostic>> {
    let broken = |what: String| {
        Box::new(
            Diagnostic::error(
                code::WRONG_TYPE,
                format!("the resolved model cannot be written: {what}"),
            )
            .help("report this as a fault of the program, with the policy tree"),
        )
    };
    let model: model::Model =
        serde_json::from_value(lowered.model.clone()).map_err(|error| broken(error.to_string()))?;
    let bundle = canonical::to_bytes(&model).map_err(|error| broken(error.to_string()))?;
    let provenance = lowered
        .provenance
        .to_bytes(sources)
        .map_err(|error| broken(error.to_string()))?;
    // Provenance speaks of the lowered JSON; it is true of the bundle only when the two are the same.
    if serde_json::to_value(&model).ok() != Some(lowered.model.clone()) {
        return Err(broken("it changes when it is read back".to_owned()));
    }
    Ok((model, bundle, provenance))
}
