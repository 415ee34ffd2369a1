//! Owns the way from documents to findings: compile, prove, let the rules judge. Pure. The entries are [`judge`] for one
//! environment as a whole, and [`find`] for its findings alone.

use std::collections::BTreeSet;

use contract::id::EnvironmentId;
use jiff::Timestamp;
use rayon::prelude::*;
use serde_json::Value;

use crate::alike::Alike;
use crate::compile::{self, Compilation};
use crate::diagnostic::{self, Diagnostic};
use crate::facts;
use crate::parse::Parsed;
use crate::rules::{self, Input, RuleSet};
use crate::source::SourceSet;

/// A compiled tree with everything that is known of it for one environment.
pub struct Judged {
    /// What was compiled.
    pub compilation: Compilation,
    /// What was proven; null when there is no model.
    pub facts: Value,
    /// The findings of the compiler and of the rules, in their order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles and judges. Without a model no rule runs: the compiler's own errors say why.
pub fn judge(
    sources: &SourceSet,
    environment: &EnvironmentId,
    rules: &RuleSet,
    at: Timestamp,
) -> Judged {
    findings(compile::compile(sources, environment), sources, rules, at)
}

fn findings(
    compilation: Compilation,
    sources: &SourceSet,
    rules: &RuleSet,
    at: Timestamp,
) -> Judged {
    let (facts, found) = ruled(&compilation, sources, rules, at);
    let mut diagnostics = [compilation.diagnostics.as_slice(), &found].concat();
    diagnostic::sort(&mut diagnostics);
    Judged {
        compilation,
        facts,
        diagnostics,
    }
}

/// What is proven of a model, and what the rules find in it; nothing without a model.
fn ruled(
    compilation: &Compilation,
    sources: &SourceSet,
    rules: &RuleSet,
    at: Timestamp,
) -> (Value, Vec<Diagnostic>) {
    let Some(model) = &compilation.model else {
        return (Value::Null, Vec::new());
    };
    let facts = facts::facts(model);
    let at = at.as_second();
    let input = Input::new(&compilation.json, &compilation.written, &facts, at);
    let place = |path: &[String]| rules::place(compilation, sources, path);
    let found = rules::judge(&input, rules, &place);
    (facts, found)
}

/// What was found in a tree for one environment.
pub struct Found {
    /// Whether there is a model, so that rules ran.
    pub judged: bool,
    /// The findings of the compiler and of the rules, in their order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Finds what [`judge`] finds. Documents that are alike are judged once; of what has a finding, all are judged.
pub fn find(
    sources: &SourceSet,
    parsed: &Parsed,
    alike: &Alike<'_>,
    environment: &EnvironmentId,
    rules: &RuleSet,
    at: Timestamp,
) -> Found {
    let compile = |parsed: Parsed| compile::resolved(parsed, environment);
    let mut opened = BTreeSet::new();
    loop {
        let parts = alike.parts(parsed, &opened);
        let judged = parts.par_iter().map(|places| {
            let compilation = compile(alike.only(parsed, places, &opened));
            let found = ruled(&compilation, sources, rules, at).1;
            (compilation.model.is_some(), compilation.diagnostics, found)
        });
        let judged: Vec<_> = judged.collect();
        if judged.iter().any(|(has_model, ..)| !has_model) {
            break;
        }
        let (mut compiled, found): (Vec<_>, Vec<_>) = judged
            .into_iter()
            .map(|(_, compiled, found)| (compiled, found))
            .unzip();
        if parts.len() > 1 && compiled.iter().any(|part| !part.is_empty()) {
            // What the compiler finds may depend on the tree as a whole.
            compiled = vec![compile(parsed.clone()).diagnostics];
        }
        let mut diagnostics: Vec<Diagnostic> =
            compiled.into_iter().chain(found).flatten().collect();
        diagnostic::sort(&mut diagnostics);
        let named = alike.named(&diagnostics);
        if named.is_subset(&opened) {
            return Found {
                judged: true,
                diagnostics,
            };
        }
        opened.extend(named);
    }
    let whole = findings(compile(parsed.clone()), sources, rules, at);
    Found {
        judged: whole.compilation.model.is_some(),
        diagnostics: whole.diagnostics,
    }
}
