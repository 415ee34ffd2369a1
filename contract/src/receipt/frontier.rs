//! The state of a log after one of its lines, signed: whoever trusts it goes on from there and need not read what came before.
//!
//! What was left out stays verifiable: [`verify_log`](super::verify_log) reads every line. The interesting function is
//! [`Frontier::open`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{EnvironmentId, ReconcilerId};
use crate::seal::{Envelope, Predicate, PrivateKey, Statement, predicate_type};

use super::checkpoint::Origin;
use super::fault::ReceiptFault;
use super::ledger::{AcceptedBundle, Authority, Ledger, OpenIntent};
use super::record::{DecisionType, Outcome, open_signed};

/// What a ledger knows after `size` lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontier {
    /// The environment of the log.
    pub environment: EnvironmentId,
    /// The reconciler that writes it.
    pub reconciler_id: ReconcilerId,
    /// Number of lines.
    pub size: u64,
    /// Roots of the perfect subtrees, from left to right: one for each bit of the size.
    pub peaks: Vec<Digest>,
    /// What waits for an outcome or a resolution, in the order of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenIntent>,
    /// How many lines of each type and result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<(DecisionType, Outcome, u64)>,
    /// The newest instant that can be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// The bundle accepted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedBundle>,
}

impl Frontier {
    /// As one signed line.
    pub fn seal(self, key: &PrivateKey) -> Result<String, ReceiptFault> {
        let name = format!("frontier.{}", self.size);
        let statement = Statement::about_itself(&name, self)?;
        Ok(Envelope::sign(statement.to_payload()?, &[key]).to_json())
    }

    /// The ledger to go on from: signed by a key of the log, and of this log.
    pub fn open(sealed: &[u8], authority: &Authority) -> Result<Ledger, ReceiptFault> {
        let frontier: Self = open_signed(sealed, authority)?;
        let found = Origin {
            environment: frontier.environment.clone(),
            reconciler_id: frontier.reconciler_id.clone(),
        };
        if found != authority.origin {
            return Err(ReceiptFault::Foreign {
                found,
                wanted: authority.origin.clone(),
            });
        }
        Ok(Ledger::after(frontier))
    }
}

impl Predicate for Frontier {
    const TYPE: &'static str = predicate_type::FRONTIER;

    fn check(&self) -> Result<(), String> {
        if self.peaks.len() != self.size.count_ones() as usize {
            return Err("there are not as many subtrees as the size has bits".into());
        }
        if self.open.iter().any(|open| open.log_index >= self.size) {
            return Err("a line waits that the log does not have yet".into());
        }
        Ok(())
    }
}
