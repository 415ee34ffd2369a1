//! Owns the facts of keys: which can be had again when all live data is gone, and what the others hang on. Judges nothing.

use contract::recovery::{KeyProof, Recovery};
use serde_json::{Map, Value, json};

/// By kid, each key that seals a plan.
pub(super) fn keys(recovery: &Recovery<'_>) -> Map<String, Value> {
    let settings = &recovery.model().settings;
    let keys = recovery.keys().into_iter();
    keys.map(|(kid, proof)| {
        let keeper = settings.keys.get(kid).and_then(|key| key.kept_in.as_ref());
        let mut fact = serde_json::to_value(&proof).unwrap_or_default();
        if let Value::Object(fields) = &mut fact {
            fields.insert("recoverable".to_owned(), json!(proof.is_recoverable()));
            fields.insert("kept_in".to_owned(), json!(keeper));
            fields.insert("chain".to_owned(), json!(proof.chain()));
            fields.insert("told".to_owned(), json!(told(&proof)));
        }
        (kid.to_string(), fact)
    })
    .collect()
}

/// The way in words: each step needs the next.
fn told(proof: &KeyProof) -> String {
    let steps = proof.chain().iter().map(ToString::to_string);
    steps.collect::<Vec<String>>().join(" → ")
}
