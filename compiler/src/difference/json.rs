//! Owns a difference for programs: one JSON document whose `format` changes when a reader must change. Its schema is
//! generated from the types here.

use std::collections::BTreeMap;

use contract::diff::Effect;
use contract::id::DatasetId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Difference, Edit, Group, total, word};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const FORMAT: u32 = 1;
/// What the schema is called in `schemas/`.
pub const SCHEMA_FILE: &str = "difference.json";

/// What `seawall diff --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Difference")]
struct Document<'a> {
    /// The version of this form; 1.
    format: u32,
    /// All environments as one: `stronger`, `equal`, `weaker` or `incomparable`.
    effect: &'static str,
    /// One entry for each environment.
    environments: Vec<One<'a>>,
}

/// What differs for one environment.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One<'a> {
    /// The environment.
    environment: &'a str,
    /// All of it as one.
    effect: &'static str,
    /// Whether lines changed and nothing that is proven or demanded did.
    refactor_only: bool,
    /// What became of what is proven, the worst first.
    groups: Vec<Affected<'a>>,
    /// The lines that differ.
    edits: Vec<Touched<'a>>,
}

/// What happened to some datasets for the same reason.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Affected<'a> {
    /// What it does to protection.
    effect: &'static str,
    /// The datasets.
    datasets: Vec<&'a str>,
    /// How many of them are of which tier.
    tiers: BTreeMap<&'a str, usize>,
    /// What differs, in the order in which it matters.
    outcomes: Vec<Happened<'a>>,
    /// The edits that are to blame, as indices into `edits`.
    because: Vec<usize>,
}

/// One thing that differs for all datasets of a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Happened<'a> {
    /// `declared`, `coverage`, `loss`, `rpo`, `recovery_time`, `rto`, `reaches_back`, `locked`, `cut_sets`, `copies`,
    /// `immutable_copies` or `distinct/KIND`.
    property: String,
    /// The losses in which it differs, of any of the datasets; empty for what is no loss.
    cases: Vec<String>,
    /// What it was; null for a dataset that is new.
    from: Option<&'a str>,
    /// What it is; null for a dataset that is gone.
    to: Option<&'a str>,
    /// Instants that show it, for the first of the datasets; null for what is no loss.
    witness: Option<&'a str>,
}

/// A line that differs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Touched<'a> {
    /// Its file; null where nobody knows.
    file: Option<&'a str>,
    /// Its number, from 1.
    line: Option<usize>,
    /// Whether it is one of the tree before, where it is no more.
    removed: bool,
    /// What it does to protection.
    effect: &'static str,
    /// The datasets of which it changed a value, or of whose plans.
    datasets: Vec<&'a str>,
    /// The values of the model that it changed.
    changes: Vec<Leaf<'a>>,
}

/// One value of the model.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Leaf<'a> {
    /// Where it stands in the model, as in bundle.json.
    path: &'a [String],
    /// What it was; null when it was added.
    from: Option<&'a str>,
    /// What it is; null when it was removed.
    to: Option<&'a str>,
    /// What that does to protection.
    effect: &'static str,
}

/// All differences as one document.
pub fn render(differences: &[Difference]) -> Value {
    let document = Document {
        format: FORMAT,
        effect: word(total(differences.iter().map(|one| one.effect))),
        environments: differences.iter().map(one).collect(),
    };
    serde_json::to_value(document).unwrap_or_default()
}

/// The schema of the document.
pub fn schema() -> Value {
    schemars::schema_for!(Document<'static>).to_value()
}

fn one(difference: &Difference) -> One<'_> {
    One {
        environment: difference.environment.as_str(),
        effect: word(difference.effect),
        refactor_only: difference.effect == Effect::Equal && !difference.edits.is_empty(),
        groups: difference.groups.iter().map(affected).collect(),
        edits: difference.edits.iter().map(line).collect(),
    }
}

fn affected(group: &Group) -> Affected<'_> {
    let mut tiers = BTreeMap::new();
    for tier in group.datasets.values() {
        *tiers.entry(tier.as_str()).or_default() += 1;
    }
    let outcomes = group.outcomes.iter().map(|one| Happened {
        property: if one.cases.is_empty() {
            one.property.to_string()
        } else {
            "loss".to_owned()
        },
        cases: one.cases.iter().map(ToString::to_string).collect(),
        from: one.from.as_deref(),
        to: one.to.as_deref(),
        witness: one.witness.as_deref(),
    });
    Affected {
        effect: word(group.effect),
        datasets: group.datasets.keys().map(DatasetId::as_str).collect(),
        tiers,
        outcomes: outcomes.collect(),
        because: group.because.iter().copied().collect(),
    }
}

fn line(edit: &Edit) -> Touched<'_> {
    let changes = edit.changes.iter().map(|change| Leaf {
        path: &change.path,
        from: change.from.as_deref(),
        to: change.to.as_deref(),
        effect: word(change.effect),
    });
    Touched {
        file: edit.place.as_ref().map(|place| place.file.as_str()),
        line: edit.place.as_ref().map(|place| place.line),
        removed: edit.removed,
        effect: word(edit.effect()),
        datasets: edit.datasets.keys().map(DatasetId::as_str).collect(),
        changes: changes.collect(),
    }
}
