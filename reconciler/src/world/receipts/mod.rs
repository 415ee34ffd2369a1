//! Owns the receipt log of this process: sealing lines, committing them with the state they record, and copies of the log at
//! other places. Never writes a receipt outside the transaction of what it tells of. The interesting function is
//! [`ReceiptLog::commit`].

mod copies;

use std::path::Path;

use contract::code::{self, Code};
use contract::hidden;
use contract::receipt::{
    Authority, CLOCK, CLOCK_IN_DOUBT, Checkpoint, Frontier, Ledger, Phase, Receipt, ReceiptFault,
    open_line,
};
use contract::seal::{PrivateKey, PublicKey};
use jiff::Timestamp;

use crate::domain::{Change, Draft, ReceiptPolicy};
use crate::store::{ReceiptLine, Store, StoreError};
use crate::world::secret;

pub use copies::{
    CHECKPOINT_LIMIT, Copied, CopyError, LinesError, append, export, put, read_note, size_of_copy,
    write_lines,
};

/// Why the log does not take a receipt.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The key file cannot be used.
    #[error("receipt key `{path}` cannot be used: {why}")]
    Key {
        /// The file.
        path: String,
        /// The reason.
        why: String,
    },
    /// The receipt contradicts itself, the log, or its limits.
    #[error("receipt of `{operation_id}` is refused: {fault}")]
    Receipt {
        /// The operation.
        operation_id: String,
        /// The reason.
        fault: ReceiptFault,
    },
    /// A line that was committed earlier does not hold any more.
    #[error("line {line} of the receipt log does not hold: {fault}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// The reason.
        fault: ReceiptFault,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

crate::failure::coded!(LogError);

impl LogError {
    /// The diagnostic code.
    pub fn code(&self) -> Code {
        match self {
            Self::Key { .. } => code::RECEIPT_KEY_UNUSABLE,
            Self::Receipt { fault, .. } | Self::Line { fault, .. } => fault.code(),
            Self::Store(error) => error.code(),
        }
    }

    /// What a person can do.
    pub fn help(&self) -> String {
        match self {
            Self::Key { .. } => {
                "make one with `seawall keys generate`, and let the trust root list it as reconciler"
                    .to_owned()
            }
            Self::Receipt { fault, .. } | Self::Line { fault, .. } => fault.help().to_owned(),
            Self::Store(error) => error.help().to_owned(),
        }
    }
}

/// The log, its key and its state after the last line.
#[derive(Debug)]
pub struct ReceiptLog {
    key: PrivateKey,
    authority: Authority,
    ledger: Ledger,
    /// How many lines the newest state that is stored covers.
    stored: u64,
    /// Whether the next commit stores the state, however few lines there are.
    is_due: bool,
    policy: ReceiptPolicy,
    clock_in_doubt: bool,
}

/// A start reads at most so many lines, and those of one commit. Verifying them takes some milliseconds; a stored state is as long
/// as two lines.
const LINES_BETWEEN_FRONTIERS: u64 = 128;

/// Lines that are read from the store at a time, a few MiB at most for the usual ones.
pub(super) const PAGE: u64 = 4_096;

/// A PEM file of one key is a few lines.
const MAX_KEY_BYTES: usize = 64 << 10;

/// Reads the receipt key.
pub fn read_key(path: &Path) -> Result<PrivateKey, LogError> {
    let failed = |why: String| LogError::Key {
        path: path.display().to_string(),
        why,
    };
    let pem = secret::read_file(path, MAX_KEY_BYTES).map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(pem.bytes()).map_err(|_| failed("it is no text".to_owned()))?;
    PrivateKey::from_pem(text).map_err(|fault| failed(fault.to_string()))
}

/// Verifies every line after a state of the log.
fn read_on(
    store: &dyn Store,
    authority: &Authority,
    mut ledger: Ledger,
) -> Result<Ledger, LogError> {
    loop {
        let lines = store.receipts(ledger.size(), PAGE)?;
        if lines.is_empty() {
            return Ok(ledger);
        }
        for text in lines {
            let line = ledger.size() + 1;
            open_line(text.as_bytes(), authority)
                .and_then(|opened| ledger.push(&opened.receipt, opened.leaf))
                .map_err(|fault| LogError::Line { line, fault })?;
        }
    }
}

impl ReceiptLog {
    /// Goes on from the newest signed state of the log, and reads every line after it; a line that does not hold stops everything.
    /// `authority` must list the public half of `key`.
    pub fn open(
        store: &dyn Store,
        key: PrivateKey,
        authority: Authority,
    ) -> Result<Self, LogError> {
        let start = match store.frontier()? {
            None => Ledger::new(authority.origin.clone()),
            Some(sealed) => match Frontier::open(sealed.as_bytes(), &authority) {
                Ok(ledger) => ledger,
                Err(fault) => {
                    let all = Ledger::new(authority.origin.clone());
                    tracing::warn!(event = "receipts_read_anew", code = %fault.code(), "the stored state of the receipts does not hold: {fault}; every line is read");
                    all
                }
            },
        };
        let stored = start.size();
        let found = store.receipts_size()?;
        if found < stored {
            return Err(LogError::Line {
                line: found,
                fault: ReceiptFault::Truncated {
                    found,
                    covered: stored,
                },
            });
        }
        let ledger = read_on(store, &authority, start)?;
        Ok(Self {
            key,
            authority,
            ledger,
            stored,
            is_due: false,
            policy: ReceiptPolicy::default(),
            clock_in_doubt: false,
        })
    }

    /// Goes on from a copy, of which the store has every line before these already: they and a receipt that says so are committed
    /// together.
    pub fn go_on_from(
        &mut self,
        store: &dyn Store,
        authority: Authority,
        last: Vec<ReceiptLine>,
        draft: Draft,
        at: Timestamp,
    ) -> Result<(), LogError> {
        let mut ledger = read_on(store, &authority, Ledger::new(authority.origin.clone()))?;
        for text in &last {
            let line = ledger.size() + 1;
            open_line(text.line.as_bytes(), &authority)
                .and_then(|opened| ledger.push(&opened.receipt, opened.leaf))
                .map_err(|fault| LogError::Line { line, fault })?;
        }
        self.is_due = true;
        self.authority = authority;
        self.commit_on(store, (ledger, last), &[], vec![draft], at)
    }

    /// Lines by these keys count as well from now on.
    pub fn trust(&mut self, keys: Vec<PublicKey>) {
        for key in keys {
            if !self.authority.keys.contains(&key) {
                self.authority.keys.push(key);
            }
        }
    }

    /// Receipts from now on are written under this policy.
    pub fn follow(&mut self, policy: ReceiptPolicy) {
        self.policy = policy;
    }

    /// Receipts from now on say that their clock is in doubt, or no longer do.
    pub fn doubt_the_clock(&mut self, in_doubt: bool) {
        self.clock_in_doubt = in_doubt;
    }

    /// The state of the log.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whose log it is.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The log as it stands, signed.
    pub fn checkpoint(&self) -> (Checkpoint, String) {
        let checkpoint = self.ledger.checkpoint();
        let note = checkpoint.sign(&self.key);
        (checkpoint, note)
    }

    /// Seals the drafts in order and commits them with the changes: all of it or nothing. After a commit that failed and is stored all
    /// the same, the store takes no more: each line says its place, and that is taken.
    pub fn commit(
        &mut self,
        store: &dyn Store,
        changes: &[Change],
        drafts: Vec<Draft>,
        at: Timestamp,
    ) -> Result<(), LogError> {
        let ledger = self.ledger.clone();
        self.commit_on(store, (ledger, Vec::new()), changes, drafts, at)
    }

    /// The same on top of lines that are committed with them.
    fn commit_on(
        &mut self,
        store: &dyn Store,
        (mut ledger, mut lines): (Ledger, Vec<ReceiptLine>),
        changes: &[Change],
        drafts: Vec<Draft>,
        at: Timestamp,
    ) -> Result<(), LogError> {
        for draft in drafts {
            let operation_id = draft.operation_id.clone();
            let refused = |fault| LogError::Receipt {
                operation_id: operation_id.clone(),
                fault,
            };
            let receipt = self.receipt(&ledger, draft, at);
            let line = receipt.seal(&self.key).map_err(refused)?;
            ledger.push(&receipt, line.leaf).map_err(refused)?;
            lines.push(ReceiptLine {
                position: receipt.log_index,
                line: line.text,
                at,
            });
        }
        let size = ledger.size();
        let is_due = self.is_due || size >= self.stored.saturating_add(LINES_BETWEEN_FRONTIERS);
        if is_due {
            let sealed = ledger.frontier().seal(&self.key);
            let sealed = sealed.map_err(|fault| LogError::Line { line: size, fault })?;
            let frontier = Change::Frontier { size, sealed };
            store.commit(&[changes, &[frontier]].concat(), &lines)?;
        } else {
            store.commit(changes, &lines)?;
        }
        self.ledger = ledger;
        if is_due {
            self.stored = size;
            self.is_due = false;
        }
        Ok(())
    }

    fn receipt(&self, ledger: &Ledger, mut draft: Draft, at: Timestamp) -> Receipt {
        if self.clock_in_doubt {
            let details = &mut draft.details;
            details
                .entry(CLOCK.to_owned())
                .or_insert_with(|| CLOCK_IN_DOUBT.to_owned());
        }
        let waits_for = match draft.phase {
            Phase::Intent | Phase::Decision => None,
            Phase::Outcome => Some(Phase::Intent),
            Phase::Resolution => Some(Phase::Outcome),
        };
        let closes = waits_for.and_then(|phase| {
            ledger
                .open()
                .into_iter()
                .find(|open| {
                    open.phase == phase
                        && open.operation_id == draft.operation_id
                        && open.decision_type == draft.decision_type
                })
                .map(|open| open.leaf)
        });
        let origin = &self.authority.origin;
        let policy = draft.policy.as_ref().unwrap_or(&self.policy);
        Receipt {
            log_index: ledger.size(),
            decision_type: draft.decision_type,
            phase: draft.phase,
            closes,
            operation_id: draft.operation_id,
            actor: if draft.actor.is_empty() {
                format!("reconciler:{}", origin.reconciler_id)
            } else {
                draft.actor
            },
            reconciler_id: origin.reconciler_id.clone(),
            environment: origin.environment.clone(),
            plane: draft.plane,
            plan_id: draft.plan_id,
            dataset_ids: draft.dataset_ids,
            backup_id: draft.backup_id,
            restore_id: draft.restore_id,
            scenario_id: None,
            slots: draft.slots,
            result: draft.result,
            bundle: policy.bundle.clone(),
            policy_snapshot_hash: policy.snapshot_hash,
            policy_version_ids: policy.version_ids.clone(),
            error: draft.error,
            evidence: draft.evidence,
            details: draft
                .details
                .into_iter()
                .map(|(name, text)| (name, hidden::shown(&text).into_owned()))
                .collect(),
            created_at: at,
        }
    }
}
