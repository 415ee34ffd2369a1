//! Owns what a signed statement says of a compiled bundle. Pure: the date, the bundle before and the commit are
//! arguments. Signs and writes nothing. The interesting function is [`predicate`].

use contract::calendar::Zones;
use contract::code;
use contract::digest::Digest;
use contract::model::Model;
use contract::seal::{BundlePredicate, FindingCounts, Input, Lengths, Serial, Verdict};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::compile::Sealed;
use crate::diagnostic::Diagnostic;
use crate::rules::{self, RuleSet};

/// The statement before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// Its serial.
    pub serial: Serial,
    /// SHA-256 of its payload.
    pub digest: Digest,
}

/// What the shell knows of this issue.
#[derive(Debug, Clone)]
pub struct Issue {
    /// When it is signed.
    pub issued_at: Timestamp,
    /// The statement that it follows.
    pub previous: Option<Previous>,
    /// Version of the newest trust root; 0 when there is none yet.
    pub trust_root_version: u64,
    /// Commit that holds exactly this tree.
    pub source_commit: Option<String>,
    /// Findings that stop nothing.
    pub warnings: u64,
    /// Findings that waivers accept.
    pub waived: u64,
    /// The ids of those waivers.
    pub waivers: Vec<String>,
}

/// What is said about a bundle. Lengths are set when the statement is made.
pub fn predicate(
    model: &Model,
    sealed: &Sealed,
    rules: &RuleSet,
    facts: &Value,
    issue: &Issue,
) -> Result<BundlePredicate, Box<Diagnostic>> {
    let impossible = |message: &str| Box::new(Diagnostic::error(code::STATEMENT_INVALID, message));
    let serial = match issue.previous {
        None => Serial::FIRST,
        Some(previous) => previous
            .serial
            .next()
            .ok_or_else(|| impossible("the serial before is the last one that there is"))?,
    };
    let expires_at = issue
        .issued_at
        .as_second()
        .checked_add(model.environment.bundle_validity_s.signed())
        .and_then(|second| Timestamp::from_second(second).ok())
        .ok_or_else(|| {
            impossible("`bundle_validity` ends after the last instant of the calendar")
        })?;
    let rules_digest = rules
        .digest
        .ok_or_else(|| impossible("no rules were loaded"))?;
    Ok(BundlePredicate {
        environment: model.environment.environment_id.clone(),
        audience: model.audience(),
        lengths: Lengths {
            bundle: 0,
            provenance: 0,
        },
        serial,
        issued_at: issue.issued_at,
        expires_at,
        previous: issue.previous.map(|previous| previous.digest),
        trust_root_version: issue.trust_root_version,
        policy_snapshot_hash: sealed.snapshot_hash,
        inputs: inputs(sealed),
        rules_digest,
        policy_version_ids: model.snapshot.policy_version_ids.clone(),
        source_commit: issue.source_commit.clone(),
        compiler_version: env!("CARGO_PKG_VERSION").to_owned(),
        tzdb_version: Zones::version().to_owned(),
        verdict: Verdict {
            rules: rules.rules.iter().map(rules::name).collect(),
            findings: FindingCounts {
                errors: 0,
                warnings: issue.warnings,
                waived: issue.waived,
            },
            waivers: issue.waivers.clone(),
        },
        properties: properties(facts),
    })
}

fn inputs(sealed: &Sealed) -> Vec<Input> {
    let inputs = sealed.inputs.iter();
    inputs
        .map(|input| Input {
            path: input.path.clone(),
            sha256: input.sha256,
        })
        .collect()
}

/// The proven numbers without their witnesses, which `seawall prove` shows.
fn properties(facts: &Value) -> Value {
    let mut datasets = Map::new();
    let proven = facts.get("datasets").and_then(Value::as_object);
    for (id, fact) in proven.into_iter().flatten() {
        let cases = fact.get("loss").and_then(Value::as_object);
        let loss: Map<String, Value> = cases
            .into_iter()
            .flatten()
            .map(|(case, loss)| {
                (
                    case.clone(),
                    loss.get("seconds").cloned().unwrap_or_default(),
                )
            })
            .collect();
        let coverage = fact.get("coverage").cloned().unwrap_or_default();
        datasets.insert(
            id.clone(),
            json!({ "coverage": coverage, "loss_seconds": loss }),
        );
    }
    json!({ "datasets": datasets })
}
