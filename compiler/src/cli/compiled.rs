//! Owns the way from folders to findings that the commands share: read, compile.
//! Decides nothing itself.

use std::path::Path;

use contract::id::EnvironmentId;

use super::check;
use super::failure::Failure;
use crate::compile::{self, Compilation, compile};
use crate::diagnostic::Diagnostic;
use crate::parse::parse;
use crate::render::{self, human};
use crate::rules::{self, Files, RuleSet, TimeLeft};
use crate::source::SourceSet;
use crate::world::terminal::{Stream, look, print};
use crate::world::{supervise, tree};

/// A tree that was read, and what could not be taken of it.
pub struct Read {
    /// The documents.
    pub sources: SourceSet,
    /// What could not be taken.
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
    let (mut rules, invalid) = rules::load(&rules::built_in(), &files);
    rules.time = TimeLeft(supervise::left_for_rules);
    diagnostics.extend(invalid);
    Ok((rules, diagnostics))
}

/// Compiles a folder for one environment, to be published, without judging it. Findings that leave no model are told.
pub fn to_publish(folder: &Path, environment: &EnvironmentId) -> Result<Compilation, Failure> {
    tree_by(compile, folder, environment).map(|(_, compilation)| compilation)
}

/// Compiles a folder for one environment, without judging it. Findings that leave no model are told.
pub fn tree(
    folder: &Path,
    environment: &EnvironmentId,
) -> Result<(SourceSet, Compilation), Failure> {
    let resolved = |sources: &SourceSet, environment: &EnvironmentId| {
        compile::resolved(parse(sources), environment)
    };
    tree_by(resolved, folder, environment)
}

fn tree_by(
    compile: impl Fn(&SourceSet, &EnvironmentId) -> Compilation,
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
