//! One receipt: the record of a decision, or of an effect before and after it happened.
//!
//! An effect has an intent, then exactly one outcome; an unknown outcome is closed later by one resolution. Everything else
//! is a decision. Whether receipts fit together is the business of the ledger; see [`Receipt::seal`] and [`open_line`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical::INTEGER_LIMIT;
use crate::code::Code;
use crate::digest::Digest;
use crate::hidden;
use crate::id::{BackupId, DatasetId, EnvironmentId, PlanId, ReconcilerId, ScenarioId};
use crate::model::Plane;
use crate::seal::{
    Envelope, PAYLOAD_TYPE, Predicate, PrivateKey, Serial, Statement, instant, predicate_type,
};

use super::checkpoint::Origin;
use super::fault::ReceiptFault;
use super::ledger::Authority;
use super::tree::leaf_hash;

/// The detail that says what the clock was worth when the receipt was written; absent where nothing spoke against it.
pub const CLOCK: &str = "clock";
/// The clock was further ahead than anything vouched for: `created_at` proves nothing.
pub const CLOCK_IN_DOUBT: &str = "in doubt";
/// The detail of a point's receipts that says its source had collapsed or was another one; the point is not good until an adoption
/// receipt with the same detail accepts it.
pub const SOURCE_IN_DOUBT: &str = "source_in_doubt";

/// Detail of a restore in place: the recovery point of what it replaced, or why there is none.
pub const POINT_BEFORE: &str = "point_before";
/// A person confirmed the clock: the adoption receipt that carries this is the newest instant from then on, whatever came before.
pub const CLOCK_CONFIRMED: &str = "confirmed";

/// The longest line, without its LF: what tile-based logs store in two bytes of length.
pub const MAX_LINE_BYTES: usize = 65_535;

/// The longest summary of an error, in characters: whole chains belong in the log, not in a receipt.
const MAX_SUMMARY_CHARS: usize = 1_000;

/// What a receipt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionType {
    /// A bundle came into force.
    BundleAccepted,
    /// A bundle was refused.
    BundleRefused,
    /// A slot, or a run of missed ones, ended.
    SlotEnded,
    /// A recovery point is taken.
    Backup,
    /// Copies at a lagging location are completed.
    CatchUp,
    /// A recovery point is checked.
    Verification,
    /// Data is restored for use.
    Restore,
    /// What an operator asked for was refused before anything began.
    RequestRefused,
    /// Data is restored to see that it can be.
    RestoreTest,
    /// Recovery points are forgotten by policy.
    Retention,
    /// Data that nothing refers to is removed.
    Prune,
    /// A runbook is executed against an isolated target.
    Drill,
    /// A standby takes over.
    Failover,
    /// The primary takes over again.
    Failback,
    /// A person approved, denied or vetoed a request.
    Approval,
    /// The reconciler's own configuration changed.
    ConfigurationChange,
    /// A plan of a critical dataset is missing or invalid.
    ValidationError,
    /// An operator named the state to go on from.
    Adoption,
    /// A plan was suspended or resumed.
    Suspension,
    /// A channel took a message about alerts, or an operator acknowledged one.
    Notification,
}

impl DecisionType {
    /// Whether the world outside changes or is read at length: then an intent comes before.
    pub const fn is_effect(self) -> bool {
        match self {
            Self::Backup
            | Self::CatchUp
            | Self::Verification
            | Self::Restore
            | Self::RestoreTest
            | Self::Retention
            | Self::Prune
            | Self::Drill
            | Self::Failover
            | Self::Failback => true,
            Self::BundleAccepted
            | Self::BundleRefused
            | Self::RequestRefused
            | Self::SlotEnded
            | Self::Approval
            | Self::ConfigurationChange
            | Self::ValidationError
            | Self::Adoption
            | Self::Suspension
            | Self::Notification => false,
        }
    }
}

/// Where in the life of an effect the receipt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before an effect.
    Intent,
    /// After it, as far as known then.
    Outcome,
    /// What an unknown outcome turned out to be.
    Resolution,
    /// A decision without an effect outside.
    Decision,
}

impl Phase {
    /// The word that stands in a receipt.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Resolution => "resolution",
            Self::Decision => "decision",
        }
    }
}

/// How it ended. `Unknown` is never good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of it.
    Success,
    /// Some of it; never counts as good.
    Partial,
    /// None of it.
    Failure,
    /// Nobody knows yet.
    Unknown,
}

/// A slot, or a run of missed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// Nominal instant of the first.
    #[serde(with = "instant")]
    pub first: Timestamp,
    /// Nominal instant of the last; the same for one slot.
    #[serde(with = "instant")]
    pub last: Timestamp,
    /// How many, 1 or more.
    pub count: u64,
}

/// The bundle that a receipt was written under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Its serial.
    pub serial: Serial,
    /// SHA-256 of its statement's payload.
    pub payload: Digest,
}

/// What went wrong, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorNote {
    /// Diagnostic code, like `SW1402`.
    pub code: String,
    /// The part of the system that the code's family names.
    pub category: String,
    /// One line.
    pub summary: String,
}

impl ErrorNote {
    /// A note under a code. The summary becomes one line and is cut to 1000 characters.
    pub fn new(code: Code, summary: &str) -> Self {
        let category = match code.family() {
            5 => "trust",
            10 => "plan",
            11 => "execution",
            12 => "source",
            13 => "store",
            14 => "vault",
            15 => "connector",
            16 => "approval",
            17 => "receipts",
            _ => "policy",
        };
        let one_line = hidden::one_line(summary);
        Self {
            code: code.to_string(),
            category: category.into(),
            summary: one_line.chars().take(MAX_SUMMARY_CHARS).collect(),
        }
    }
}

/// The predicate of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Its number in the log, from 0. Signed, so that no line can be moved or left out.
    pub log_index: u64,
    /// What it is about.
    pub decision_type: DecisionType,
    /// Where in the life of an effect it stands.
    pub phase: Phase,
    /// Leaf hash of the receipt that this one closes: the intent of an outcome, the unknown outcome of a resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<Digest>,
    /// The operation; all receipts of one effect share it.
    pub operation_id: String,
    /// Who acted: the reconciler itself, or a person.
    pub actor: String,
    /// The reconciler that writes.
    pub reconciler_id: ReconcilerId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// The plane of what was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plane: Option<Plane>,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<PlanId>,
    /// The datasets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dataset_ids: Vec<DatasetId>,
    /// The recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// The restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_id: Option<String>,
    /// The scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario_id: Option<ScenarioId>,
    /// The slots that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// How it ended; absent on an intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
    /// The bundle in force; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// The policy in force; absent before the first bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_snapshot_hash: Option<Digest>,
    /// The versions of the policy in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_version_ids: Vec<String>,
    /// What went wrong; present whenever the result is not success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorNote>,
    /// Digests of what proves it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, Digest>,
    /// What else a reader wants to know: target, mode, bytes, summary of checks. Nothing secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// When it was written.
    #[serde(with = "instant")]
    pub created_at: Timestamp,
}

/// A receipt as a line of the log, without its LF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// Its leaf hash, by which later receipts refer to it.
    pub leaf: Digest,
}

/// A receipt that was read from a line whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The record.
    pub receipt: Receipt,
    /// The leaf hash of its line.
    pub leaf: Digest,
}

impl Receipt {
    /// The log that it belongs to.
    pub fn origin(&self) -> Origin {
        Origin {
            environment: self.environment.clone(),
            reconciler_id: self.reconciler_id.clone(),
        }
    }

    /// Signs it as a line. Refused when it contradicts itself or does not fit in a line.
    pub fn seal(&self, key: &PrivateKey) -> Result<Line, ReceiptFault> {
        let statement = Statement::about_itself(&self.operation_id, self.clone())?;
        let text = Envelope::sign(statement.to_payload()?, &[key]).to_json();
        if text.len() > MAX_LINE_BYTES {
            return Err(ReceiptFault::TooLong {
                found: text.len(),
                limit: MAX_LINE_BYTES,
            });
        }
        let leaf = leaf_hash(text.as_bytes());
        Ok(Line { text, leaf })
    }

    fn check_phase(&self) -> Result<(), String> {
        let (closes, result) = (self.closes.is_some(), self.result);
        let fits = match self.phase {
            Phase::Intent => !closes && result.is_none(),
            Phase::Outcome => closes && result.is_some(),
            Phase::Resolution => closes && result.is_some_and(|result| result != Outcome::Unknown),
            Phase::Decision => !closes && result.is_some_and(|result| result != Outcome::Unknown),
        };
        if !fits {
            return Err(format!(
                "`closes` and `result` do not fit phase `{}`",
                self.phase.name()
            ));
        }
        if (self.phase == Phase::Decision) == self.decision_type.is_effect() {
            return Err(format!(
                "phase `{}` does not fit the decision type",
                self.phase.name()
            ));
        }
        Ok(())
    }
}

impl Predicate for Receipt {
    const TYPE: &'static str = predicate_type::RECEIPT;

    fn check(&self) -> Result<(), String> {
        self.check_phase()?;
        if self.log_index >= INTEGER_LIMIT {
            return Err("log index is not below 2^53".into());
        }
        if self.operation_id.is_empty() || self.actor.is_empty() {
            return Err("operation or actor is empty".into());
        }
        match (self.result, self.error.is_some()) {
            (None | Some(Outcome::Success), true) => {
                return Err("an error without a bad result".into());
            }
            (Some(Outcome::Partial | Outcome::Failure | Outcome::Unknown), false) => {
                return Err("a bad result without an error".into());
            }
            (None | Some(Outcome::Success), false)
            | (Some(Outcome::Partial | Outcome::Failure | Outcome::Unknown), true) => {}
        }
        if let Some(slots) = &self.slots
            && (slots.count == 0
                || slots.first > slots.last
                || (slots.count == 1 && slots.first != slots.last))
        {
            return Err("slots are out of order or none".into());
        }
        if self.decision_type == DecisionType::SlotEnded && self.slots.is_none() {
            return Err("a slot ended, but none is named".into());
        }
        if self.decision_type == DecisionType::BundleAccepted && self.bundle.is_none() {
            return Err("a bundle was accepted, but none is named".into());
        }
        Ok(())
    }
}

/// Reads one line without its LF: signed by the log's reconciler, of exactly the receipt type, and sound in itself.
pub fn open_line(line: &[u8], authority: &Authority) -> Result<Opened, ReceiptFault> {
    if line.len() > MAX_LINE_BYTES {
        return Err(ReceiptFault::TooLong {
            found: line.len(),
            limit: MAX_LINE_BYTES,
        });
    }
    let receipt: Receipt = open_signed(line, authority)?;
    if receipt.origin() != authority.origin {
        return Err(ReceiptFault::Foreign {
            found: receipt.origin(),
            wanted: authority.origin.clone(),
        });
    }
    Ok(Opened {
        receipt,
        leaf: leaf_hash(line),
    })
}

/// Reads what a reconciler of the log signed: of exactly this type, and about nothing but itself.
pub(super) fn open_signed<P: Predicate>(
    bytes: &[u8],
    authority: &Authority,
) -> Result<P, ReceiptFault> {
    let envelope = Envelope::from_json(bytes)?;
    let signers = envelope.verify(&authority.keys);
    if signers.keys.is_empty() || !signers.unknown.is_empty() {
        return Err(ReceiptFault::Unsigned(authority.origin.clone()));
    }
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(ReceiptFault::PayloadType(envelope.payload_type));
    }
    let statement = Statement::<P>::from_payload(&envelope.payload)?;
    statement.check_about_itself()?;
    Ok(statement.predicate)
}
