//! Owns the way from documents to findings: compile, prove, let the rules judge. Pure. The entries are [`judge`] for one
//! environment as a whole, and [`find`] for its findings alone.

use std::collections::BTreeSet;

use contract::calendar::Zones;
use contract::code;
use contract::evidence::Evidence;
use contract::id::EnvironmentId;
use contract::model::Model;
use contract::recovery;
use jiff::Timestamp;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::alike::Alike;
use crate::compile::{self, Compilation};
use crate::diagnostic::{self, Diagnostic, RuleCode, has_errors};
use crate::facts;
use crate::parse::Parsed;
use crate::resolve;
use crate::rules::{self, Input, RuleSet};
use crate::source::SourceSet;
use crate::waivers;

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
    evidence: Option<&Evidence>,
) -> Judged {
    let compilation = compile::compile(sources, environment);
    findings(compilation, sources, rules, at, evidence)
}

fn findings(
    compilation: Compilation,
    sources: &SourceSet,
    rules: &RuleSet,
    at: Timestamp,
    evidence: Option<&Evidence>,
) -> Judged {
    let (facts, mut found) = ruled(&compilation, sources, rules, at, evidence);
    accept(&compilation, sources, rules, at, &mut found);
    let mut diagnostics = [compilation.diagnostics.as_slice(), &found].concat();
    diagnostic::sort(&mut diagnostics);
    Judged {
        compilation,
        facts,
        diagnostics,
    }
}

/// What is proven of a model, and what the rules find in it before any waiver; nothing without a model.
pub fn ruled(
    compilation: &Compilation,
    sources: &SourceSet,
    rules: &RuleSet,
    at: Timestamp,
    evidence: Option<&Evidence>,
) -> (Value, Vec<Diagnostic>) {
    let Some(model) = &compilation.model else {
        return (Value::Null, Vec::new());
    };
    let facts = facts::facts(model, evidence);
    let found = by_rules(compilation, sources, &[rules], at, &facts).concat();
    (facts, found)
}

/// What each of these sets of rules finds.
fn by_rules(
    compilation: &Compilation,
    sources: &SourceSet,
    sets: &[&RuleSet],
    at: Timestamp,
    facts: &Value,
) -> Vec<Vec<Diagnostic>> {
    let at = at.as_second();
    let input = Input::new(&compilation.json, &compilation.written, facts, at);
    let place = |path: &[String]| rules::place(compilation, sources, path);
    let found = sets.iter().map(|rules| rules::judge(&input, rules, &place));
    found.collect()
}

/// Lets the waivers of a model take what they accept.
fn accept(
    compilation: &Compilation,
    sources: &SourceSet,
    rules: &RuleSet,
    at: Timestamp,
    found: &mut Vec<Diagnostic>,
) {
    if let Some(model) = &compilation.model {
        let place = |path: &[String]| rules::place(compilation, sources, path);
        waivers::apply(model, &compilation.json, rules, at, &place, found);
    }
}

/// The model of two parts of a tree.
fn joined(whole: Option<Model>, part: Option<Model>) -> Option<Model> {
    match (whole, part) {
        (Some(mut whole), Some(part)) => {
            whole.datasets.extend(part.datasets);
            whole.plans.extend(part.plans);
            Some(whole)
        }
        (whole, part) => whole.or(part),
    }
}

/// What was found in a tree for one environment.
pub struct Found {
    /// The model, in which documents that are alike may be missing; absent when no rule ran.
    pub model: Option<Model>,
    /// The findings of the compiler and of the rules, in their order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Finds what [`judge`] finds. Documents that are alike are judged once; of what has a finding, all are judged, and with
/// evidence every one.
pub fn find(
    sources: &SourceSet,
    parsed: &Parsed,
    alike: &Alike<'_>,
    environment: &EnvironmentId,
    rules: &RuleSet,
    (at, evidence): (Timestamp, Option<&Evidence>),
) -> Found {
    let compile = |parsed: Parsed| compile::resolved(parsed, environment);
    let as_of = (at, evidence);
    // What is refused as a whole is not judged in parts before.
    let is_made_whole = resolve::made_at_most(parsed) > resolve::MAX_MADE;
    let in_parts = || find_in_parts(sources, parsed, alike, rules, as_of, &compile);
    let found = (!is_made_whole).then(in_parts).flatten();
    found.unwrap_or_else(|| {
        let whole = findings(compile(parsed.clone()), sources, rules, at, evidence);
        Found {
            model: whole.compilation.model,
            diagnostics: whole.diagnostics,
        }
    })
}

/// The same, as long as nothing is found that depends on the tree as a whole.
fn find_in_parts(
    sources: &SourceSet,
    parsed: &Parsed,
    alike: &Alike<'_>,
    rules: &RuleSet,
    (at, evidence): (Timestamp, Option<&Evidence>),
    compile: &(dyn Fn(Parsed) -> Compilation + Sync),
) -> Option<Found> {
    let (of_all, of_each) = rules.split(|rule| rule.metadata.judges_all);
    // What policy says alike of is not alike in what became of it.
    let mut opened = if evidence.is_some() {
        alike.classes()
    } else {
        BTreeSet::new()
    };
    loop {
        let parts = alike.parts(parsed, &opened);
        // One part is all there is: what is asked of the whole is asked of it.
        let is_whole = parts.len() == 1;
        let judged = parts.par_iter().enumerate().map(|(number, places)| {
            let mut compilation = compile(alike.only(parsed, places, &opened));
            let model = compilation.model.as_ref();
            let holdings = model
                .filter(|_| is_whole)
                .map(|model| alike.holdings(model, &opened));
            let part = model.map(|model| facts::of_part(model, evidence, holdings.as_deref()));
            let part = part.unwrap_or_default();
            let asked = if is_whole {
                &[&of_each, &of_all][..]
            } else {
                &[&of_each]
            };
            let found = by_rules(&compilation, sources, asked, at, &part);
            let warned = std::mem::take(&mut compilation.diagnostics);
            // Only parts have to be put together.
            let model = if is_whole {
                None
            } else {
                compilation.model.clone()
            };
            let first = (number == 0).then_some(compilation);
            Some((first, model, warned, found)).filter(|(.., warned, _)| !has_errors(warned))
        });
        let judged: Vec<_> = judged.collect::<Option<_>>()?;
        let (mut shared, mut whole) = (None, None);
        let (mut warned, mut found, mut of_whole) = (Vec::new(), Vec::new(), None);
        for (first, model, of_part, of_rules) in judged {
            shared = shared.or(first);
            whole = joined(whole, model);
            warned.extend(of_part);
            let mut of_rules = of_rules.into_iter();
            found.extend(of_rules.next().unwrap_or_default());
            of_whole = of_rules.next();
        }
        if parts.len() > 1 && !warned.is_empty() {
            // It may be missing from a part and not from the tree.
            warned = compile(parsed.clone()).diagnostics;
        }
        diagnostic::sort(&mut found);
        let named = alike.named([warned.as_slice(), &found].concat().as_slice());
        if !named.is_subset(&opened) {
            opened.extend(named);
            continue;
        }
        // Settings, waivers and what they name are in every part.
        let shared = shared.filter(|shared| shared.model.is_some())?;
        if let Some(of_whole) = of_whole {
            found.extend(of_whole);
        } else {
            let whole = whole?;
            let holdings = alike.holdings(&whole, &opened);
            // What each part has room for, the tree as a whole may not have.
            let is_too_much = recovery::too_much(&whole, &Zones::bundled()).is_some();
            if is_too_much {
                return None;
            }
            let facts = json!({ "locations": facts::locations(&whole, &holdings) });
            found.extend(by_rules(&shared, sources, &[&of_all], at, &facts).concat());
        }
        accept(&shared, sources, rules, at, &mut found);
        let unknown: RuleCode = code::WAIVER_TARGET_UNKNOWN.into();
        if found.iter().any(|finding| finding.code == unknown) {
            return None;
        }
        found.extend(warned);
        diagnostic::sort(&mut found);
        return Some(Found {
            model: shared.model,
            diagnostics: found,
        });
    }
}
