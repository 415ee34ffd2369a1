//! Owns the check that a rule reads only what `input` has: in Rego a misspelt path is silently undefined, and a rule
//! that reads nothing finds nothing. Follows names that a rule binds with `some … in` and `:=`; what comes in by a
//! function's argument is not followed. The interesting function is [`unknown`].

use std::collections::{BTreeMap, BTreeSet};

use regorus::Engine;
use regorus::unstable::{Expr, Literal, Query, Rule, RuleHead};
use serde_json::Value;

use crate::schema::UNIT_SUFFIXES;

/// A resolved model with every optional field present; a test holds that it is one. A text that names two steps stands
/// for what lies there.
const MODEL: &str = include_str!("shape_model.json");
/// The facts with every field that they can have; a test holds it against real ones.
const FACTS: &str = include_str!("shape_facts.json");

/// Fields that only the source has.
const SOURCE_ONLY: [&str; 4] = ["for_each", "overridable_in", "overrides", "kind"];
/// Mappings from ids to documents, or from loss cases to losses: any key is right.
const BY_ID: [&str; 23] = [
    "objectives",
    "schedules",
    "retention",
    "redundancy",
    "storage",
    "sites",
    "locations",
    "keys",
    "connectors",
    "tiers",
    "approvals",
    "roles",
    "datasets",
    "plans",
    "scenarios",
    "waivers",
    "groups",
    "standbys",
    "data_retention",
    "alerts",
    "channels",
    "loss",
    "x",
];

/// One step of a read path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A field or key that is written in the rule.
    Name(String),
    /// A variable.
    Any,
}

type Path = Vec<Step>;
type Bindings = BTreeMap<String, Vec<Path>>;

/// The reads of a rule's own module that `input` can never have, as they are written, each once.
pub fn unknown(engine: &mut Engine, module: &str) -> BTreeSet<String> {
    let shape = Shape::new();
    let mut found = BTreeSet::new();
    for parsed in engine.get_modules() {
        if parsed.package.span.source.get_path() != module {
            continue;
        }
        for rule in &parsed.policy {
            let mut walk = Walk {
                shape: &shape,
                bindings: Bindings::new(),
                found: BTreeSet::new(),
            };
            // A name may be used above the line that binds it; a second look knows all of them.
            walk.rule(rule);
            walk.found.clear();
            walk.rule(rule);
            found.append(&mut walk.found);
        }
    }
    found
}

struct Walk<'a> {
    shape: &'a Shape,
    bindings: Bindings,
    found: BTreeSet<String>,
}

impl Walk<'_> {
    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Spec { head, bodies, .. } => {
                match head {
                    RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
                        if let Some(assign) = assign {
                            self.expr(&assign.value);
                        }
                    }
                    RuleHead::Set { key, .. } => {
                        if let Some(key) = key {
                            self.expr(key);
                        }
                    }
                }
                for body in bodies {
                    if let Some(assign) = &body.assign {
                        self.expr(&assign.value);
                    }
                    self.query(&body.query);
                }
            }
            Rule::Default { value, .. } => self.expr(value),
        }
    }

    fn query(&mut self, query: &Query) {
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn {
                    value, collection, ..
                } => {
                    self.bind(value, collection, true);
                    self.expr(collection);
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr),
                Literal::Every {
                    value,
                    domain,
                    query,
                    ..
                } => {
                    let paths = extended(self.paths(domain), &Step::Any);
                    self.add(value.text(), paths);
                    self.expr(domain);
                    self.query(query);
                }
            }
        }
    }

    fn bind(&mut self, name: &Expr, to: &Expr, element: bool) {
        let Expr::Var { span, .. } = name else {
            return;
        };
        let paths = self.paths(to);
        let paths = if element {
            extended(paths, &Step::Any)
        } else {
            paths
        };
        self.add(span.text(), paths);
    }

    fn add(&mut self, name: &str, paths: Vec<Path>) {
        let known = self.bindings.entry(name.to_owned()).or_default();
        for path in paths {
            // What is told where it is bound is not told again wherever the name is used.
            if self.shape.has(&path) && !known.contains(&path) {
                known.push(path);
            }
        }
    }

    /// Where in `input` an expression may lead; empty when it leads elsewhere.
    fn paths(&self, expr: &Expr) -> Vec<Path> {
        match expr {
            Expr::Var { span, .. } if span.text() == "input" => vec![Path::new()],
            Expr::Var { span, .. } => self.bindings.get(span.text()).cloned().unwrap_or_default(),
            Expr::RefDot { refr, field, .. } => {
                extended(self.paths(refr), &Step::Name(text(&field.1)))
            }
            Expr::RefBrack { refr, index, .. } => extended(self.paths(refr), &step(index)),
            Expr::Call { fcn, params, .. } if is_object_get(fcn) => match params.as_slice() {
                [from, key, ..] => {
                    let keys: Vec<Step> = match &**key {
                        Expr::Array { items, .. } => items.iter().map(|item| step(item)).collect(),
                        other => vec![step(other)],
                    };
                    keys.iter().fold(self.paths(from), extended)
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn expr(&mut self, expr: &Expr) {
        let paths = self.paths(expr);
        if !paths.is_empty() && !paths.iter().any(|path| self.shape.has(path)) {
            self.found.insert(expr.span().text().to_owned());
            return;
        }
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::Var { .. } => {}
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                for item in items {
                    self.expr(item);
                }
            }
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.expr(key);
                    self.expr(value);
                }
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.query(query);
                self.expr(term);
            }
            Expr::ObjectCompr {
                key, value, query, ..
            } => {
                self.query(query);
                self.expr(key);
                self.expr(value);
            }
            Expr::Call { params, .. } => {
                for param in params {
                    self.expr(param);
                }
            }
            Expr::UnaryExpr { expr, .. } => self.expr(expr),
            Expr::RefDot { refr, .. } => self.expr(refr),
            Expr::RefBrack { refr, index, .. } => {
                self.expr(refr);
                self.expr(index);
            }
            Expr::AssignExpr { lhs, rhs, .. } => {
                self.bind(lhs, rhs, false);
                self.expr(rhs);
            }
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. } => {
                self.expr(lhs);
                self.expr(rhs);
            }
            Expr::Membership {
                value, collection, ..
            } => {
                self.expr(value);
                self.expr(collection);
            }
        }
    }
}

fn extended(paths: Vec<Path>, step: &Step) -> Vec<Path> {
    paths
        .into_iter()
        .map(|mut path| {
            path.push(step.clone());
            path
        })
        .collect()
}

fn step(index: &Expr) -> Step {
    match index {
        Expr::String { value, .. } | Expr::RawString { value, .. } => Step::Name(text(value)),
        _ => Step::Any,
    }
}

fn text(value: &regorus::Value) -> String {
    value
        .as_string()
        .map_or_else(|_| String::new(), ToString::to_string)
}

fn is_object_get(fcn: &Expr) -> bool {
    fcn.span().text() == "object.get"
}

/// What `input` can have.
struct Shape {
    model: Value,
    facts: Value,
}

impl Shape {
    fn new() -> Self {
        Self {
            model: serde_json::from_str(MODEL).unwrap_or_default(),
            facts: serde_json::from_str(FACTS).unwrap_or_default(),
        }
    }

    fn has(&self, path: &[Step]) -> bool {
        match path.split_first() {
            None | Some((Step::Any, _)) => true,
            Some((Step::Name(first), rest)) => match first.as_str() {
                "at" => rest.is_empty(),
                "facts" => self.holds(&self.facts, false, rest, false),
                "written" => self.holds(&self.model, false, rest, true),
                _ => self.holds(&self.model, false, path, false),
            },
        }
    }

    /// Whether a path leads to something in `shape`; `by_id` when any key of it is right.
    fn holds(&self, shape: &Value, by_id: bool, path: &[Step], written: bool) -> bool {
        let Some((step, rest)) = path.split_first() else {
            return true;
        };
        match shape {
            Value::Object(fields) if by_id => fields
                .values()
                .any(|inner| self.holds(inner, false, rest, written)),
            Value::Object(fields) => match step {
                Step::Any => true,
                Step::Name(name) => {
                    if written && SOURCE_ONLY.contains(&name.as_str()) {
                        return true;
                    }
                    let found = fields
                        .iter()
                        .find(|(field, _)| *field == name || (written && spelt(field, name)));
                    found.is_some_and(|(field, inner)| {
                        let by_id = BY_ID.contains(&field.as_str()) && is_collection(inner);
                        self.holds(inner, by_id, rest, written)
                    })
                }
            },
            Value::Array(items) => items
                .first()
                .is_none_or(|item| self.holds(item, false, rest, written)),
            Value::String(place) => match place.split_once('.') {
                Some((settings, collection)) => self
                    .model
                    .get(settings)
                    .and_then(|settings| settings.get(collection))
                    .and_then(|documents| documents.get("x"))
                    .is_none_or(|document| self.holds(document, false, path, written)),
                None => false,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

/// Whether a source field is written so: without the suffix of the model's field.
fn spelt(field: &str, name: &str) -> bool {
    UNIT_SUFFIXES
        .iter()
        .any(|suffix| field.strip_suffix(suffix) == Some(name))
}

/// A mapping by id has one example, called `x`.
fn is_collection(shape: &Value) -> bool {
    shape
        .as_object()
        .is_some_and(|fields| fields.len() == 1 && fields.contains_key("x"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn reads(body: &str) -> Vec<String> {
        let text = format!("package t.rules.a.b\n\nimport rego.v1\n\n{body}\n");
        let mut engine =
            super::super::engine::prepare(&[("a/b", &text)], std::time::Duration::from_secs(30))
                .unwrap();
        unknown(&mut engine, "a/b").into_iter().collect()
    }

    #[rstest::rstest]
    #[case("x if input.plans[_].backup_frequency.every_s > 1")]
    #[case(
        "x if { some id, plan in input.plans; plan.retention.keep.last > 1; input.written.plans[id].target_rpo }"
    )]
    #[case("x if input.settings.tiers.t.survives[0].objective.rpo_s == input.at")]
    #[case("x if input.facts.datasets[id].loss[case].witness.point")]
    #[case("x if object.get(input, [\"settings\", \"keys\", \"k\", \"custody\"], null)")]
    #[case("f(plan) := plan.anything")]
    #[case("x if { some step in input.scenarios[id].runbook; step.deadline_s > 1 }")]
    fn right_paths_pass(#[case] body: &str) {
        assert_eq!(reads(body), Vec::<String>::new());
    }

    #[rstest::rstest]
    #[case("x if input.plan[_].name", "input.plan[_].name")]
    #[case(
        "x if input.plans[_].backup_freqency.every_s > 1",
        "input.plans[_].backup_freqency.every_s"
    )]
    #[case(
        "x if { some id, plan in input.plans; plan.retension }",
        "plan.retension"
    )]
    #[case("x if { every d in input.datasets { d.rpo } }", "d.rpo")]
    #[case(
        "x contains d if { plan := input.plans.p; some d in plan.datasets }",
        "plan.datasets"
    )]
    #[case(
        "x if input.facts.datasets[id].losses",
        "input.facts.datasets[id].losses"
    )]
    #[case("x if input.at.year", "input.at.year")]
    #[case(
        "x if object.get(input, [\"settings\", \"keyz\"], null)",
        "object.get(input, [\"settings\", \"keyz\"], null)"
    )]
    fn misspelt_paths_are_told(#[case] body: &str, #[case] path: &str) {
        assert_eq!(reads(body), [path]);
    }

    /// The shape is a model: it reads back unchanged, and no optional field of it is absent.
    #[test]
    fn the_shape_is_that_of_the_model() {
        let mut shape: Value = serde_json::from_str(MODEL).unwrap();
        let settings = shape["settings"].clone();
        for (collection, fields) in [
            (
                "plans",
                [
                    ("backup_frequency", "schedules"),
                    ("full_frequency", "schedules"),
                ]
                .as_slice(),
            ),
            (
                "plans",
                &[
                    ("retention", "retention"),
                    ("redundancy_profile", "redundancy"),
                ],
            ),
            ("scenarios", &[("objective", "objectives")]),
        ] {
            for (field, from) in fields {
                shape[collection]["x"][field] = settings[from]["x"].clone();
            }
        }
        let model: contract::model::Model = serde_json::from_value(shape.clone()).unwrap();
        assert_eq!(serde_json::to_value(&model).unwrap(), shape);
        // `lose: none` is a value, not an absent one.
        let told = format!("{model:?}").replace("lose: None", "");
        assert!(
            !told.contains(": None"),
            "a field of the model is not in the shape: {told}"
        );
    }

    /// What is proven of a real tree has no field that the shape lacks.
    #[test]
    fn the_shape_is_that_of_the_facts() {
        let files = super::super::built_in();
        let files = files.into_iter().filter_map(|(path, text)| {
            let path = path.strip_prefix("lib/tree/")?.to_owned();
            Some(crate::source::SourceFile { path, text })
        });
        let sources = crate::source::SourceSet::new(files.collect());
        let compilation = crate::compile::compile(&sources, &"production".parse().unwrap());
        let facts = crate::facts::facts(&compilation.model.unwrap(), None);
        let shape = Shape::new();
        let mut open = vec![(Path::new(), &facts)];
        let mut leaves = 0;
        while let Some((path, value)) = open.pop() {
            assert!(shape.holds(&shape.facts, false, &path, false), "{path:?}");
            match value {
                Value::Object(fields) => open.extend(fields.iter().map(|(name, inner)| {
                    (
                        [path.as_slice(), &[Step::Name(name.clone())]].concat(),
                        inner,
                    )
                })),
                Value::Array(items) => open.extend(
                    items
                        .iter()
                        .map(|inner| ([path.as_slice(), &[Step::Any]].concat(), inner)),
                ),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => leaves += 1,
            }
        }
        assert!(leaves > 50, "{leaves}");
    }
}
