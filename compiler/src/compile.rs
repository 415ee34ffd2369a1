//! Owns the first of the product's functions: a policy tree and an environment in, the resolved model out, with its
//! canonical bytes, the origin of every value, and every finding. Pure: the same tree gives the same bytes. See [`compile`].

use contract::calendar::Zones;
use contract::canonical;
use contract::code;
use contract::digest::Digest;
use contract::id::{EnvironmentId, PlanId};
use contract::model::Model;
use contract::recovery;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::diagnostic::{self, Diagnostic};
use crate::lower::{self, Provenance};
use crate::parse::{self, Parsed};
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
    /// The model as JSON, as rules read it; null exactly when the model is absent.
    pub json: Json,
    /// What is published; only of a tree that was compiled for that, and has a model.
    pub sealed: Option<Sealed>,
    /// Where each value came from; nothing without a model.
    pub provenance: Provenance,
    /// How each value was written, at the model's paths with the field names of the source.
    pub written: Json,
    /// Findings of reading and resolving, sorted.
    pub diagnostics: Vec<Diagnostic>,
}

/// The bytes of a model, and what they were made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The canonical bytes of the model, `bundle.json`.
    pub bundle: Vec<u8>,
    /// The canonical bytes of `provenance.json`.
    pub provenance: Vec<u8>,
    /// The policy snapshot hash.
    pub snapshot_hash: Digest,
    /// The files that it covers.
    pub inputs: Vec<Input>,
}

/// Compiles a tree for one environment, to be published. Judges nothing: rules, dates and evidence come later.
pub fn compile(sources: &SourceSet, environment: &EnvironmentId) -> Compilation {
    to_publish(parse::parse(sources), sources, environment)
}

/// The same of what was parsed already.
pub fn to_publish(parsed: Parsed, sources: &SourceSet, environment: &EnvironmentId) -> Compilation {
    let mut compilation = resolved(parsed, environment);
    if compilation.model.is_some() {
        match seal(&compilation, sources) {
            Ok(sealed) => compilation.sealed = Some(sealed),
            Err(finding) => compilation.refuse(*finding),
        }
    }
    compilation
}

/// Compiles what was parsed of a tree for one environment, without the bytes that would be published.
pub fn resolved(parsed: Parsed, environment: &EnvironmentId) -> Compilation {
    let mut diagnostics = Vec::new();
    let is_whole = !parsed.lost;
    let selection = resolve::resolve(parsed, environment, &mut diagnostics);
    let is_sound = is_whole && !diagnostic::has_errors(&diagnostics);
    let lowered = selection
        .filter(|_| is_sound)
        .map(|selection| lower::lower(&selection))
        .unwrap_or_default();
    let mut compilation = Compilation {
        environment: environment.clone(),
        model: None,
        json: Json::Null,
        sealed: None,
        provenance: lowered.provenance,
        written: lowered.written,
        diagnostics,
    };
    if is_sound {
        match Model::deserialize(&lowered.model) {
            Ok(model) => {
                let too_much = recovery::too_much(&model, &Zones::bundled()).cloned();
                compilation.model = Some(model);
                compilation.json = lowered.model;
                if let Some(plan) = too_much {
                    let finding = compilation.too_much(&plan);
                    compilation.refuse(finding);
                }
            }
            Err(error) => compilation.refuse(broken(&error.to_string())),
        }
    }
    diagnostic::sort(&mut compilation.diagnostics);
    diagnostic::cut(&mut compilation.diagnostics);
    compilation
}

impl Compilation {
    /// The proofs look at each slot of the horizon, once for all plans that have the same schedule, windows and retention.
    fn too_much(&self, plan: &PlanId) -> Diagnostic {
        let message = format!(
            "with `{plan}` the proofs would look at more than {} slots",
            recovery::MAX_EFFORT
        );
        let path = |field| ["plans", plan.as_str(), field];
        let place = |field| self.provenance.lookup(&path(field));
        let mut found = Diagnostic::error(code::EXPANSION_TOO_LARGE, message)
            .at(path("backup_frequency"))
            .help("let plans share their schedules and retention classes, run them less often, or keep fewer points");
        if let Some(schedule) = place("backup_frequency") {
            found = found.label(schedule.span, "its schedule");
        }
        if let Some(retention) = place("retention") {
            found = found.label(retention.span, "what it keeps");
        }
        found
    }

    /// Takes the model back.
    fn refuse(&mut self, finding: Diagnostic) {
        self.model = None;
        self.json = Json::Null;
        self.diagnostics.push(finding);
        diagnostic::sort(&mut self.diagnostics);
    }
}

/// The schemas let nothing through of which this is told.
fn broken(what: &str) -> Diagnostic {
    Diagnostic::error(
        code::WRONG_TYPE,
        format!("the resolved model cannot be written: {what}"),
    )
    .help("report this as a fault of the program, with the policy tree")
}

/// Writes the bytes of a model. A bundle that cannot be read back must never leave the compiler.
fn seal(compilation: &Compilation, sources: &SourceSet) -> Result<Sealed, Box<Diagnostic>> {
    let told = |error: &dyn std::fmt::Display| Box::new(broken(&error.to_string()));
    let bundle = canonical::to_bytes(&compilation.model).map_err(|error| told(&error))?;
    let provenance = compilation
        .provenance
        .to_bytes(sources)
        .map_err(|error| told(&error))?;
    // Provenance speaks of the lowered JSON; it is true of the bundle only when the two are the same.
    if canonical::to_bytes(&compilation.json).ok().as_ref() != Some(&bundle) {
        return Err(told(&"it changes when it is read back"));
    }
    let inputs = sources.inputs();
    Ok(Sealed {
        bundle,
        provenance,
        snapshot_hash: source::snapshot_hash(&inputs),
        inputs,
    })
}
