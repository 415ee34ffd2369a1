//! Owns what a receipt will say, before the log gives it a place, a link and a signature.

use std::collections::BTreeMap;

use contract::digest::Digest;
use contract::id::{BackupId, DatasetId, PlanId};
use contract::model::Plane;
use contract::receipt::{Bundle, DecisionType, ErrorNote, Outcome, Phase, Slots};

/// The policy that receipts are written under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptPolicy {
    /// The active bundle.
    pub bundle: Option<Bundle>,
    /// Identity of its input files.
    pub snapshot_hash: Option<Digest>,
    /// Its versions.
    pub version_ids: Vec<String>,
}

/// What a receipt will say; the log adds its place, its link and its signature.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it is about.
    pub decision_type: DecisionType,
    /// Where in the life of an effect it stands.
    pub phase: Phase,
    /// The operation.
    pub operation_id: String,
    /// How it ended; none on an intent.
    pub result: Option<Outcome>,
    /// Who acted.
    pub actor: String,
    /// The plane acted on.
    pub plane: Option<Plane>,
    /// The plan.
    pub plan_id: Option<PlanId>,
    /// The datasets.
    pub dataset_ids: Vec<DatasetId>,
    /// The recovery point.
    pub backup_id: Option<BackupId>,
    /// The restore.
    pub restore_id: Option<String>,
    /// The slots that ended.
    pub slots: Option<Slots>,
    /// What went wrong.
    pub error: Option<ErrorNote>,
    /// Digests of what proves it.
    pub evidence: BTreeMap<String, Digest>,
    /// What else a reader wants to know.
    pub details: BTreeMap<String, String>,
    /// The policy that was decided under; the active one where nothing is said.
    pub policy: Option<ReceiptPolicy>,
}

impl Draft {
    /// A receipt with nothing but its kind, phase and operation.
    pub fn new(decision_type: DecisionType, phase: Phase, operation_id: &str) -> Self {
        Self {
            decision_type,
            phase,
            operation_id: operation_id.to_owned(),
            result: None,
            actor: String::new(),
            plane: None,
            plan_id: None,
            dataset_ids: Vec::new(),
            backup_id: None,
            restore_id: None,
            slots: None,
            error: None,
            evidence: BTreeMap::new(),
            details: BTreeMap::new(),
            policy: None,
        }
    }
}
