//! Owns the way from folders to findings that `check`, `build`, `prove` and `verify` share: read, compile, prove, judge.
//! Decides nothing itself.

use std::path::Path;

use contract::id::EnvironmentId;
use jiff::Timestamp;
use serde_json::Value;

use super::check;
use super::failure::Failure;
use crate::compile::{Compilation, compile};
use crate::diagnostic::Diagnostic;
use crate::facts;
use crate::render::{self, human};
use crate::rules::{self, Files, Input, RuleSet};
use crate::source::SourceSet;
use crate::waivers;
use crate::world::terminal::{Stream, look, print};
use crate::world::tree;

/// A tree that was read, and what could not be taken of it.
pub struct Read {
    /// The documents.
    pub sources: SourceSet,
    /// What could not be taken.
    pub diagnostics: Vec<Diagnostic>,
}

/// A compiled tree with everything that is known of it for one environment.
pub struct Judged {
    /// What was compiled.
    pub compilation: Compilation,
    /// What was proven; null when there is no model.
    pub facts: Value,
    /// The findings of the compiler and of the rules, in their order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a policy tree.
pub fn read(folder: &Path) -> Result<Read, Failure> {
    let (sources, diagnostics) =
        tree::read(folder).map_err(|error| Failure::unreadable(folder, &error))?;
    Ok(Read {
        sources,
        diagnostics,
    })
}

/// Loads the built-in rules and those of a folder.
pub fn rules(own: Option<&Path>) -> Result<(RuleSet, Vec<Diagnostic>), Failure> {
    let (files, mut diagnostics) = match own {
        None => (Files::new(), Vec::new()),
        Some(folder) => {
            tree::read_rules(folder).map_err(|error| Failure::unreadable(folder, &error))?
        }
    };
    let (rules, invalid) = rules::load(&rules::built_in(), &files);
    diagnostics.extend(invalid);
    Ok((rules, diagnostics))
}

/// Compiles and judges. Without a model no rule runs: the compiler's own errors say why.
pub fn judge(
    sources: &SourceSet,
    environment: &EnvironmentId,
    rules: &RuleSet,
    at: Timestamp,
) -> Judged {
    let compilation = compile(sources, environment);
    let proven = compilation.model.as_ref().map(facts::facts);
    let mut judged = Judged {
        compilation,
        facts: proven.unwrap_or_default(),
        diagnostics: Vec::new(),
    };
    judged.diagnostics = judged.as_of(sources, rules, at);
    judged
}

impl Judged {
    /// The findings of the same tree as of another instant.
    pub fn as_of(&self, sources: &SourceSet, rules: &RuleSet, at: Timestamp) -> Vec<Diagnostic> {
        let compilation = &self.compilation;
        let mut diagnostics = compilation.diagnostics.clone();
        if let Some(model) = &compilation.model {
            let json = serde_json::to_value(model).unwrap_or_default();
            let input = Input::new(&json, &compilation.written, &self.facts, at.as_second());
            let place = |path: &[String]| rules::place(compilation, sources, path);
            let mut found = rules::judge(&input, rules, &place);
            waivers::apply(model, &json, rules, at, &place, &mut found);
            diagnostics.extend(found);
        }
        crate::diagnostic::sort(&mut diagnostics);
        diagnostics
    }
}

/// Compiles a folder for one environment, without judging it. Findings that leave no model are told.
pub fn tree(folder: &Path, environment: &EnvironmentId) -> Result<Compilation, Failure> {
    tree_with_sources(folder, environment).map(|(_, compilation)| compilation)
}

/// The same, with the text that places lead into.
pub fn tree_with_sources(
    folder: &Path,
    environment: &EnvironmentId,
) -> Result<(SourceSet, Compilation), Failure> {
    let read = read(folder)?;
    let compilation = compile(&read.sources, environment);
    if compilation.model.is_some() {
        return Ok((read.sources, compilation));
    }
    let findings = render::merge(vec![
        (None, read.diagnostics),
        (Some(environment.clone()), compilation.diagnostics),
    ]);
    let environments = vec![environment.clone()];
    let report = check::report(folder, &read.sources, environments, findings);
    print(Stream::Err, &human::render(&report, look(Stream::Err)));
    Err(Failure::Told)
}
