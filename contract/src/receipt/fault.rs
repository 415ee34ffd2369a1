//! Why a receipt, a log, a checkpoint or a proof was refused.

use crate::code::{self, Code};
use crate::digest::Digest;
use crate::seal::{EnvelopeFault, StatementFault};

use super::checkpoint::Origin;

/// One reason, with a code and advice. `Display` is one lowercase line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// The line is no DSSE envelope.
    #[error("{0}")]
    Envelope(#[from] EnvelopeFault),
    /// The line ends the log without a line end: it was cut.
    #[error("last line of the log does not end in a line end")]
    NoLineEnd,
    /// Signed as another type of payload.
    #[error("payload type is `{0}`, wanted `application/vnd.in-toto+json`")]
    PayloadType(String),
    /// The payload is no receipt, or contradicts itself.
    #[error("{0}")]
    Statement(#[from] StatementFault),
    /// Longer than a line may be.
    #[error("receipt is {found} bytes long, at most {limit} fit in a line")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No signature, or one that no key of the reconciler made.
    #[error("receipt carries no good signature by `{0}`")]
    Unsigned(Origin),
    /// Written for another place in the log.
    #[error("receipt was written as number {stated} and stands as number {found}")]
    Order {
        /// Index it was signed with.
        stated: u64,
        /// Index where it stands.
        found: u64,
    },
    /// Of another environment or reconciler.
    #[error("receipt belongs to `{found}`, the log to `{wanted}`")]
    Foreign {
        /// Where it belongs.
        found: Origin,
        /// Whose log this is.
        wanted: Origin,
    },
    /// Follows nothing it may follow.
    #[error("{phase} of operation `{operation_id}` {why}")]
    Link {
        /// Its phase.
        phase: &'static str,
        /// Its operation.
        operation_id: String,
        /// What is wrong.
        why: &'static str,
    },
    /// No C2SP checkpoint of this log.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// A checkpoint without a good signature.
    #[error("checkpoint carries no good signature by `{0}`")]
    CheckpointUnsigned(Origin),
    /// Fewer lines than the checkpoint covers.
    #[error("receipt log has {found} lines, its checkpoint covers {covered}")]
    Truncated {
        /// Lines found.
        found: u64,
        /// Lines covered.
        covered: u64,
    },
    /// Other lines than the checkpoint covers.
    #[error("tree root over {size} lines is `{found}`, the checkpoint says `{stated}`")]
    RootMismatch {
        /// Lines covered.
        size: u64,
        /// Root of the lines found.
        found: Digest,
        /// Root in the checkpoint.
        stated: Digest,
    },
    /// A proof that does not hold.
    #[error("proof of {0} does not hold")]
    Proof(&'static str),
}

/// A fault at a line of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// One line is bad.
    #[error("line {line}: {fault}")]
    Line {
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        fault: ReceiptFault,
    },
    /// The log as a whole is bad.
    #[error(transparent)]
    Whole(#[from] ReceiptFault),
}

impl ReceiptFault {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Envelope(_) | Self::NoLineEnd | Self::PayloadType(_) | Self::Statement(_) => {
                code::RECEIPT_INVALID
            }
            Self::TooLong { .. } => code::RECEIPT_TOO_LONG,
            Self::Unsigned(_) => code::RECEIPT_UNSIGNED,
            Self::Order { .. } => code::RECEIPT_ORDER,
            Self::Foreign { .. } => code::RECEIPT_FOREIGN,
            Self::Link { .. } => code::RECEIPT_LINK,
            Self::Checkpoint(_) => code::CHECKPOINT_INVALID,
            Self::CheckpointUnsigned(_) => code::CHECKPOINT_UNSIGNED,
            Self::Truncated { .. } => code::LOG_TRUNCATED,
            Self::RootMismatch { .. } => code::LOG_ROOT_MISMATCH,
            Self::Proof(_) => code::PROOF_INVALID,
        }
    }

    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => {
                "split the plan: its receipts name too many datasets for one line"
            }
            Self::Unsigned(_) | Self::CheckpointUnsigned(_) => {
                "check that the trust root lists the key of this reconciler, under its id"
            }
            Self::Foreign { .. } => {
                "verify each log with the environment and the id of its own reconciler"
            }
            Self::Envelope(_)
            | Self::NoLineEnd
            | Self::PayloadType(_)
            | Self::Statement(_)
            | Self::Order { .. }
            | Self::Link { .. }
            | Self::Checkpoint(_)
            | Self::Truncated { .. }
            | Self::RootMismatch { .. } => {
                "the log was altered or cut: compare it with the copies at the locations"
            }
            Self::Proof(_) => {
                "take the proof again from the log and the checkpoint that it was made for"
            }
        }
    }
}

impl LogFault {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Line { fault, .. } | Self::Whole(fault) => fault.code(),
        }
    }

    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Line { fault, .. } | Self::Whole(fault) => fault.help(),
        }
    }
}
