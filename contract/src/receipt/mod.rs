//! Receipts: what a reconciler decided and did, signed line by line in a log that only grows.
//!
//! A [`Receipt`] becomes a [`Line`], a line becomes a leaf of the [`Tree`], a [`Checkpoint`] signs the tree. [`verify_log`]
//! reads all of it back without trusting any of it. Nothing here writes a file or knows the time.

mod checkpoint;
mod fault;
mod frontier;
mod ledger;
mod record;
mod tree;

pub use checkpoint::{Checkpoint, Origin};
pub use fault::{LogFault, ReceiptFault};
pub use frontier::Frontier;
pub use ledger::{
    AcceptedBundle, Authority, Ledger, OpenIntent, VerifiedLog, verify_log, verify_log_seeing,
};
pub use record::{
    Bundle, CLOCK, CLOCK_CONFIRMED, CLOCK_IN_DOUBT, DecisionType, ErrorNote, Line, MAX_LINE_BYTES,
    Opened, Outcome, POINT_BEFORE, Phase, Receipt, SOURCE_IN_DOUBT, Slots, open_line,
};
pub use tree::{
    Tree, leaf_hash, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
