//! Owns the receipts under the trees of rules' tests: a list of effects, written down by hand, signed here with a key that is no
//! secret and opened like any other log. Never touches real receipts. See [`shown`].

use std::collections::BTreeMap;

use contract::evidence::Evidence;
use contract::id::{BackupId, DatasetId, EnvironmentId, ReconcilerId, ScenarioId};
use contract::receipt::{
    Authority, DecisionType, ErrorNote, Ledger, Origin, Outcome, Phase, Receipt, ReceiptFault,
};
use contract::seal::{PrivateKey, instant};
use jiff::Timestamp;
use serde::Deserialize;

/// Name of the file beside the documents.
pub const FILE: &str = "receipts.json";

/// TEST KEY: it signs what stands in a test, and opens nothing else.
const TEST_KEY: [u8; 32] = *b"seawall rule tests: no secret!!!";

/// An effect from its intent to its end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Effect {
    decision_type: DecisionType,
    reconciler_id: ReconcilerId,
    #[serde(default)]
    dataset_ids: Vec<DatasetId>,
    #[serde(default)]
    backup_id: Option<BackupId>,
    #[serde(default)]
    scenario_id: Option<ScenarioId>,
    #[serde(with = "instant")]
    began_at: Timestamp,
    #[serde(with = "instant")]
    ended_at: Timestamp,
    result: Outcome,
    #[serde(default)]
    details: BTreeMap<String, String>,
}

/// What these effects show of an environment as of an instant. The error is one lowercase line.
pub fn shown(text: &str, environment: &EnvironmentId, at: Timestamp) -> Result<Evidence, String> {
    let key = PrivateKey::from_seed(&TEST_KEY);
    let mut evidence = Evidence::new(at);
    for (origin, (log, note)) in logs(text, environment, &key)? {
        let authority = Authority {
            origin,
            keys: vec![key.public()],
        };
        let added = evidence.add(&log, note.as_bytes(), &authority);
        added.map_err(|fault| format!("{FILE}: {fault}"))?;
    }
    Ok(evidence)
}

/// A log for each reconciler of these effects, signed with this key: its bytes and its checkpoint.
pub fn logs(
    text: &str,
    environment: &EnvironmentId,
    key: &PrivateKey,
) -> Result<BTreeMap<Origin, (Vec<u8>, String)>, String> {
    let mut logs: BTreeMap<ReconcilerId, (Ledger, Vec<u8>)> = BTreeMap::new();
    let effects: Vec<Effect> =
        serde_json::from_str(text).map_err(|error| format!("{FILE}: {error}"))?;
    for (number, effect) in effects.into_iter().enumerate() {
        let told = |error: ReceiptFault| format!("{FILE}: effect {}: {error}", number + 1);
        let reconciler = effect.reconciler_id.clone();
        let (ledger, log) = logs.entry(reconciler).or_insert_with_key(|reconciler| {
            let origin = origin(environment, reconciler);
            (Ledger::new(origin), Vec::new())
        });
        let mut begun = None;
        for phase in [Phase::Intent, Phase::Outcome] {
            let mut receipt = receipt(&effect, environment, phase);
            receipt.closes = begun;
            receipt.operation_id = format!("{}", number + 1);
            let line = ledger.append(receipt, key).map_err(told)?;
            log.extend(line.text.bytes().chain([b'\n']));
            begun = Some(line.leaf);
        }
    }
    let signed = logs.into_iter().map(|(reconciler, (ledger, log))| {
        let note = ledger.checkpoint().sign(key);
        (origin(environment, &reconciler), (log, note))
    });
    Ok(signed.collect())
}

fn origin(environment: &EnvironmentId, reconciler: &ReconcilerId) -> Origin {
    Origin {
        environment: environment.clone(),
        reconciler_id: reconciler.clone(),
    }
}

fn receipt(effect: &Effect, environment: &EnvironmentId, phase: Phase) -> Receipt {
    let ended = phase == Phase::Outcome;
    let bad = ended && effect.result != Outcome::Success;
    Receipt {
        log_index: 0,
        decision_type: effect.decision_type,
        phase,
        closes: None,
        operation_id: String::new(),
        actor: effect.reconciler_id.to_string(),
        reconciler_id: effect.reconciler_id.clone(),
        environment: environment.clone(),
        plane: None,
        plan_id: None,
        dataset_ids: effect.dataset_ids.clone(),
        backup_id: effect.backup_id.clone(),
        restore_id: None,
        scenario_id: effect.scenario_id.clone(),
        slots: None,
        result: ended.then_some(effect.result),
        bundle: None,
        policy_snapshot_hash: None,
        policy_version_ids: Vec::new(),
        error: bad.then(|| ErrorNote::new(contract::code::CHECK_FAILED, "as the test says")),
        evidence: BTreeMap::new(),
        details: if ended {
            effect.details.clone()
        } else {
            BTreeMap::new()
        },
        created_at: if ended {
            effect.ended_at
        } else {
            effect.began_at
        },
    }
}
