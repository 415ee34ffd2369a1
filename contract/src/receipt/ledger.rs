//! The log as a whole: every line in its place, every intent with at most one outcome, the tree under the checkpoint.
//!
//! A [`Ledger`] is the state that appending and verifying share, so that a reconciler cannot write what [`verify_log`] would
//! refuse. The interesting function is [`Ledger::check`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::seal::{PrivateKey, PublicKey, Serial};

use super::checkpoint::{Checkpoint, Origin};
use super::fault::{LogFault, ReceiptFault};
use super::frontier::Frontier;
use super::record::{
    CLOCK, CLOCK_CONFIRMED, CLOCK_IN_DOUBT, DecisionType, Line, Opened, Outcome, Phase, Receipt,
    open_line,
};
use super::tree::Tree;

/// Whose log it is, and the keys that may sign in it. The trust root gives the keys: role reconciler, under this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The log.
    pub origin: Origin,
    /// Its keys, past ones included.
    pub keys: Vec<PublicKey>,
}

/// An intent without an outcome, or an unknown outcome without a resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIntent {
    /// Leaf hash of the receipt that waits to be closed.
    pub leaf: Digest,
    /// Its number in the log.
    pub log_index: u64,
    /// What it is about.
    pub decision_type: DecisionType,
    /// Its operation.
    pub operation_id: String,
    /// Whether an intent waits for its outcome, or an unknown outcome for its resolution.
    pub phase: Phase,
}

/// A bundle as the log remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedBundle {
    /// Its serial.
    pub serial: Serial,
    /// SHA-256 of its statement's payload.
    pub payload: Digest,
}

/// The state of a log after its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    origin: Origin,
    tree: Tree,
    open: BTreeMap<Digest, OpenIntent>,
    results: BTreeMap<(DecisionType, Outcome), u64>,
    newest: Option<Timestamp>,
    accepted: Option<AcceptedBundle>,
}

impl Ledger {
    /// The state of an empty log.
    pub const fn new(origin: Origin) -> Self {
        Self {
            origin,
            tree: Tree::new(),
            open: BTreeMap::new(),
            results: BTreeMap::new(),
            newest: None,
            accepted: None,
        }
    }

    /// The state to go on from later, ready to be signed.
    pub fn frontier(&self) -> Frontier {
        let results = self.results.iter();
        Frontier {
            environment: self.origin.environment.clone(),
            reconciler_id: self.origin.reconciler_id.clone(),
            size: self.size(),
            peaks: self.tree.peaks().collect(),
            open: self.open().into_iter().cloned().collect(),
            results: results
                .map(|((kind, outcome), count)| (*kind, *outcome, *count))
                .collect(),
            newest: self.newest,
            accepted: self.accepted,
        }
    }

    /// The state that a frontier holds. Only called after its signature and fields were checked.
    pub(super) fn after(frontier: Frontier) -> Self {
        let results = frontier.results.into_iter();
        let open = frontier.open.into_iter();
        Self {
            origin: Origin {
                environment: frontier.environment,
                reconciler_id: frontier.reconciler_id,
            },
            tree: Tree::of_peaks(frontier.size, &frontier.peaks),
            open: open.map(|open| (open.leaf, open)).collect(),
            results: results
                .map(|(kind, outcome, count)| ((kind, outcome), count))
                .collect(),
            newest: frontier.newest,
            accepted: frontier.accepted,
        }
    }

    /// Number of lines; the `log_index` of the next receipt.
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Root of the tree over all lines.
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// What a checkpoint of the log as it stands says.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: self.origin.clone(),
            size: self.size(),
            root: self.root(),
        }
    }

    /// Everything that waits for an outcome or a resolution, in the order of the log.
    pub fn open(&self) -> Vec<&OpenIntent> {
        let mut open: Vec<&OpenIntent> = self.open.values().collect();
        open.sort_by_key(|intent| intent.log_index);
        open
    }

    /// Latest `created_at` since a person confirmed the clock last, receipts of a clock in doubt left out: a clock below it is wrong.
    pub const fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// The bundle accepted last, by which serials survive the loss of the store.
    pub const fn accepted(&self) -> Option<AcceptedBundle> {
        self.accepted
    }

    /// How many outcomes, resolutions and decisions of each type and result.
    pub const fn results(&self) -> &BTreeMap<(DecisionType, Outcome), u64> {
        &self.results
    }

    /// Whether this receipt may stand next in the log.
    pub fn check(&self, receipt: &Receipt) -> Result<(), ReceiptFault> {
        if receipt.origin() != self.origin {
            return Err(ReceiptFault::Foreign {
                found: receipt.origin(),
                wanted: self.origin.clone(),
            });
        }
        if receipt.log_index != self.size() {
            return Err(ReceiptFault::Order {
                stated: receipt.log_index,
                found: self.size(),
            });
        }
        let link = |why| ReceiptFault::Link {
            phase: receipt.phase.name(),
            operation_id: receipt.operation_id.clone(),
            why,
        };
        let waits_for = match receipt.phase {
            Phase::Intent | Phase::Decision => return Ok(()),
            Phase::Outcome => Phase::Intent,
            Phase::Resolution => Phase::Outcome,
        };
        let Some(closes) = receipt.closes else {
            return Err(link("closes nothing"));
        };
        let Some(open) = self.open.get(&closes) else {
            return Err(link("closes what is closed already, or not in the log"));
        };
        if open.phase != waits_for {
            return Err(link("closes a receipt of another phase"));
        }
        if open.operation_id != receipt.operation_id || open.decision_type != receipt.decision_type
        {
            return Err(link("closes a receipt of another operation"));
        }
        Ok(())
    }

    /// Writes the next receipt: gives it its place, checks it, signs it, adds it. On a fault the ledger is as before.
    ///
    /// The line counts only once it is stored. Append to a clone of the ledger, commit the lines, then keep the clone.
    pub fn append(&mut self, receipt: Receipt, key: &PrivateKey) -> Result<Line, ReceiptFault> {
        let receipt = Receipt {
            log_index: self.size(),
            ..receipt
        };
        self.check(&receipt)?;
        let line = receipt.seal(key)?;
        self.push(&receipt, line.leaf)?;
        Ok(line)
    }

    /// Adds a receipt after [`check`](Self::check); on a fault the ledger is as before.
    pub fn push(&mut self, receipt: &Receipt, leaf: Digest) -> Result<(), ReceiptFault> {
        self.check(receipt)?;
        self.tree.append(leaf);
        if let Some(closes) = receipt.closes {
            self.open.remove(&closes);
        }
        let waits = receipt.phase == Phase::Intent
            || (receipt.phase == Phase::Outcome && receipt.result == Some(Outcome::Unknown));
        if waits {
            let open = OpenIntent {
                leaf,
                log_index: receipt.log_index,
                decision_type: receipt.decision_type,
                operation_id: receipt.operation_id.clone(),
                phase: receipt.phase,
            };
            self.open.insert(leaf, open);
        }
        if let Some(result) = receipt.result {
            *self
                .results
                .entry((receipt.decision_type, result))
                .or_default() += 1;
        }
        if let (DecisionType::BundleAccepted, Some(bundle)) =
            (receipt.decision_type, &receipt.bundle)
        {
            self.accepted = Some(AcceptedBundle {
                serial: bundle.serial,
                payload: bundle.payload,
            });
        }
        let clock = receipt.details.get(CLOCK).map(String::as_str);
        self.newest = match (clock, receipt.decision_type) {
            (Some(CLOCK_IN_DOUBT), _) => self.newest,
            (Some(CLOCK_CONFIRMED), DecisionType::Adoption) => Some(receipt.created_at),
            _ => self.newest.max(Some(receipt.created_at)),
        };
        Ok(())
    }
}

/// A log that was verified line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLog {
    /// Its state after the last line; append on top of it.
    pub ledger: Ledger,
    /// How many lines the checkpoint covers; what comes after is signed, but could be cut off unnoticed. 0 without one.
    pub covered: u64,
}

/// Verifies a whole log, the bytes of `receipts.jsonl`, against its checkpoint.
pub fn verify_log(
    log: &[u8],
    checkpoint: Option<&[u8]>,
    authority: &Authority,
) -> Result<VerifiedLog, LogFault> {
    verify_log_seeing(log, checkpoint, authority, &mut |_| {})
}

/// The same, showing each receipt on the way. Until the log as a whole is verified, what was seen is no more than somebody's word.
pub fn verify_log_seeing(
    log: &[u8],
    checkpoint: Option<&[u8]>,
    authority: &Authority,
    see: &mut dyn FnMut(&Opened),
) -> Result<VerifiedLog, LogFault> {
    // 1. The checkpoint, so that a forged one is told before hours of reading.
    let checkpoint = checkpoint
        .map(|note| Checkpoint::open(note, authority))
        .transpose()?;
    let covered = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    // 2. Every line: signature, type, place, link.
    let mut ledger = Ledger::new(authority.origin.clone());
    let mut root_at_checkpoint = (covered == 0).then(|| ledger.root());
    for line in lines(log)? {
        let number = ledger.size() + 1;
        let at_line = |fault| LogFault::Line {
            line: number,
            fault,
        };
        let opened = open_line(line, authority).map_err(at_line)?;
        ledger.push(&opened.receipt, opened.leaf).map_err(at_line)?;
        see(&opened);
        if ledger.size() == covered {
            root_at_checkpoint = Some(ledger.root());
        }
    }
    // 3. The tree under the checkpoint.
    if let Some(checkpoint) = checkpoint {
        let Some(found) = root_at_checkpoint else {
            return Err(ReceiptFault::Truncated {
                found: ledger.size(),
                covered,
            }
            .into());
        };
        if found != checkpoint.root {
            return Err(ReceiptFault::RootMismatch {
                size: covered,
                found,
                stated: checkpoint.root,
            }
            .into());
        }
    }
    Ok(VerifiedLog { ledger, covered })
}

/// The lines of a log; every one, also the last, ends in LF.
fn lines(log: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ReceiptFault> {
    let body = match log.strip_suffix(b"\n") {
        Some(body) => Some(body),
        None if log.is_empty() => None,
        None => return Err(ReceiptFault::NoLineEnd),
    };
    Ok(body
        .into_iter()
        .flat_map(|body| body.split(|byte| *byte == b'\n')))
}
