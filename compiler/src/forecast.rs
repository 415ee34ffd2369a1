//! Owns what time alone will change: waivers and keys that end, rules and settings that take effect, and the errors that
//! each of these brings. Judges nothing itself and reads no clock. The interesting function is [`forecast`].

use std::collections::{BTreeMap, BTreeSet};

use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::model::Model;
use jiff::Timestamp;

use crate::diagnostic::Diagnostic;
use crate::rules::RuleSet;

/// Something that happens by itself. In the order in which things of one instant are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A waiver accepts nothing any more.
    WaiverExpires(String),
    /// A bundle that is made from then on outlives a key.
    KeyTooShort(String),
    /// A key may seal nothing any more.
    KeyEnds(String),
    /// The findings of a rule weigh what they will weigh for good.
    RuleTakesEffect(String),
    /// The settings hold.
    PolicyTakesEffect(String),
}

impl What {
    /// The kind, as a word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::WaiverExpires(_) => "waiver_expires",
            Self::KeyTooShort(_) => "key_too_short",
            Self::KeyEnds(_) => "key_ends",
            Self::RuleTakesEffect(_) => "rule_takes_effect",
            Self::PolicyTakesEffect(_) => "policy_takes_effect",
        }
    }

    /// The id of the waiver, key or snapshot, or the code of the rule.
    pub fn id(&self) -> &str {
        match self {
            Self::WaiverExpires(id)
            | Self::KeyTooShort(id)
            | Self::KeyEnds(id)
            | Self::RuleTakesEffect(id)
            | Self::PolicyTakesEffect(id) => id,
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WaiverExpires(id) => write!(f, "waiver `{id}` expires"),
            Self::KeyTooShort(id) => write!(f, "a bundle made now outlives key `{id}`"),
            Self::KeyEnds(id) => write!(f, "key `{id}` may seal nothing any more"),
            Self::RuleTakesEffect(code) => write!(f, "rule {code} takes effect"),
            Self::PolicyTakesEffect(id) => write!(f, "the settings `{id}` take effect"),
        }
    }
}

/// One instant at which something changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What happens.
    pub what: BTreeSet<What>,
    /// Where.
    pub environments: Vec<EnvironmentId>,
    /// Errors that stop from then on and did not before.
    pub errors: Vec<Diagnostic>,
}

/// What changes after `from`, up to and at `until`, in one environment. `judge` gives all findings as of an instant.
pub fn forecast(
    model: &Model,
    rules: &RuleSet,
    (from, until): (Timestamp, Timestamp),
    judge: &dyn Fn(Timestamp) -> Vec<Diagnostic>,
) -> Vec<Change> {
    let mut stopping = known(&judge(from));
    instants(model, rules)
        .into_iter()
        .filter(|(at, _)| *at > from && *at <= until)
        .map(|(at, what)| {
            let findings = judge(at);
            let now = known(&findings);
            let errors = findings
                .into_iter()
                .filter(|finding| finding.stops() && !stopping.contains(&key(finding)))
                .collect();
            stopping = now;
            Change {
                at,
                what,
                environments: vec![model.environment.environment_id.clone()],
                errors,
            }
        })
        .collect()
}

/// Changes of several environments in the order of dates; what is the same is told once.
pub fn merge(mut all: Vec<Change>) -> Vec<Change> {
    all.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
    let mut merged: Vec<Change> = Vec::new();
    for change in all {
        match merged.last_mut() {
            Some(last)
                if (last.at, &last.what, &last.errors)
                    == (change.at, &change.what, &change.errors) =>
            {
                last.environments.extend(change.environments);
            }
            _ => merged.push(change),
        }
    }
    merged
}

type Key = (Digest, Vec<String>);

fn key(finding: &Diagnostic) -> Key {
    (finding.fingerprint(), finding.about.clone())
}

fn known(findings: &[Diagnostic]) -> BTreeSet<Key> {
    let stopping = findings.iter().filter(|finding| finding.stops());
    stopping.map(key).collect()
}

/// Every instant at which a judgement may change, whatever it lies before or after.
fn instants(model: &Model, rules: &RuleSet) -> BTreeMap<Timestamp, BTreeSet<What>> {
    let mut found: BTreeMap<Timestamp, BTreeSet<What>> = BTreeMap::new();
    let mut add = |at: Option<Timestamp>, what: What| {
        if let Some(at) = at {
            found.entry(at).or_default().insert(what);
        }
    };
    for (id, waiver) in &model.waivers {
        add(Some(waiver.expiry), What::WaiverExpires(id.to_string()));
    }
    let validity = model.environment.bundle_validity_s.signed();
    for (kid, key) in &model.settings.keys {
        let last = key.not_after.as_second().checked_sub(validity);
        // A bundle that ends with its key is still in time; one second later it is not.
        let too_short = last.and_then(|last| last.checked_add(1));
        add(
            too_short.and_then(|second| Timestamp::from_second(second).ok()),
            What::KeyTooShort(kid.to_string()),
        );
        add(Some(key.not_after), What::KeyEnds(kid.to_string()));
    }
    for rule in &rules.rules {
        let from = rule.metadata.effective_from;
        add(
            from.and_then(|second| Timestamp::from_second(second).ok()),
            What::RuleTakesEffect(rule.metadata.code.to_string()),
        );
    }
    add(
        Some(model.snapshot.effective_from),
        What::PolicyTakesEffect(model.snapshot.snapshot_id.clone()),
    );
    found
}
