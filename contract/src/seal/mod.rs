//! Seal and trust: keys, signed envelopes, statements, the trust root, and the two doors of the reconciler.
//!
//! `open` turns sealed bytes into a [`Verified`] bundle, `accept` turns that into something the reconciler may follow.
//! Nothing here reads a file, a clock or randomness: bytes, seeds and instants are arguments. Start at [`open`].

mod accept;
mod dsse;
mod keys;
pub mod limits;
mod open;
mod payload;
mod refusal;
mod root;
mod statement;

pub use accept::{
    Accepted, CLOCK_SKEW, LastAccepted, Novelty, Standing, Weakening, accept, in_time, reopen,
    stated_in_time,
};
pub use dsse::{Envelope, EnvelopeFault, PAYLOAD_TYPE, Signature, Signers, pae};
pub use keys::{KeyFault, KeyId, PrivateKey, PublicKey};
pub use open::{Bundle, Expect, Inspected, Pin, Sealed, Verified, inspect, open, open_roots};
pub use payload::{CanonicalFault, from_canonical, instant, parse_instant};
pub use refusal::Refusal;
pub use root::{EnvironmentRoles, OwnerRole, Person, Role, RoleKeys, RootRoles, TrustRoot};
pub use statement::{
    BUNDLE_FILE, BundlePredicate, ENVELOPE_FILE, FindingCounts, Input, Lengths, PROVENANCE_FILE,
    Predicate, STATEMENT_TYPE, Serial, Statement, StatementFault, Subject, Verdict,
    policy_snapshot_hash, predicate_type,
};
