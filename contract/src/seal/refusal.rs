//! Why sealed bytes were refused. Every refusal leaves the last accepted bundle as it was.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::dsse::EnvelopeFault;
use super::keys::KeyFault;
use super::payload::CanonicalFault;
use super::root::Role;
use super::statement::{Serial, StatementFault};
use crate::code::{self, Code};
use crate::digest::Digest;
use crate::id::{EnvironmentId, ReconcilerId};

/// One reason to refuse, with a code and advice. `Display` is one lowercase line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A key file that is none.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A file is larger, or there are more of them, than is ever read.
    #[error("{what}: {found}, at most {limit} are read")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// Bytes or number found.
        found: u64,
        /// Bytes or number allowed.
        limit: u64,
    },
    /// A file is no DSSE envelope.
    #[error("`{what}`: {fault}")]
    Envelope {
        /// Which file.
        what: String,
        /// What is wrong with it.
        fault: EnvelopeFault,
    },
    /// No root of the chain has the pinned digest.
    #[error("no trust root has the pinned digest `{pinned}`")]
    RootNotPinned {
        /// What the configuration pins.
        pinned: Digest,
    },
    /// A root is signed correctly or pinned, and makes no sense.
    #[error("trust root {position}: {fault}")]
    RootMalformed {
        /// Position in the chain, from 1.
        position: usize,
        /// What is wrong with it.
        fault: StatementFault,
    },
    /// A version is missing, doubled or out of order.
    #[error("trust root {found} follows {after}")]
    RootChainBroken {
        /// Version before.
        after: u64,
        /// Version that follows.
        found: u64,
    },
    /// A root lacks signatures that its own or the version before demands.
    #[error("trust root {version}: {} of {needed} persons in role `root` of version {by} signed{}", signed.len(), named(signed))]
    RootUnsigned {
        /// The version that lacks signatures.
        version: u64,
        /// The version that demands them.
        by: u64,
        /// Persons needed.
        needed: u64,
        /// Persons that signed.
        signed: BTreeSet<String>,
    },
    /// The newest root is past its end.
    #[error("trust root {version} expired at `{expires_at}`")]
    RootExpired {
        /// Its version.
        version: u64,
        /// Its end.
        expires_at: Timestamp,
    },
    /// The newest root is older than the one seen before.
    #[error("newest trust root is {found}, version {seen} was seen before")]
    RootRolledBack {
        /// Version offered.
        found: u64,
        /// Version seen before.
        seen: u64,
    },
    /// The root says nothing about the environment.
    #[error("trust root {version} has no roles for environment `{environment}`")]
    EnvironmentUnknown {
        /// Version of the root.
        version: u64,
        /// Environment wanted.
        environment: EnvironmentId,
    },
    /// No signature at all, or none by a key of the root.
    #[error("statement carries no signature by a key of the trust root")]
    Unsigned,
    /// A signature that no key of any root made, beside others that count.
    #[error(
        "signature {position} of `{what}` was made by no key of the trust root, or was altered"
    )]
    SignatureUnknown {
        /// Which file.
        what: String,
        /// Position from 1.
        position: usize,
    },
    /// Good signatures by too few persons with the role.
    #[error("{} of {needed} persons in role `{role}` of `{environment}` signed{}", signed.len(), named(signed))]
    Threshold {
        /// The role that counts.
        role: Role,
        /// The environment whose roles count.
        environment: EnvironmentId,
        /// Persons needed.
        needed: u64,
        /// Persons that signed in this role.
        signed: BTreeSet<String>,
    },
    /// Signed, but as another type of payload.
    #[error("payload type is `{0}`, wanted `application/vnd.in-toto+json`")]
    PayloadType(String),
    /// Signed, but no statement about a bundle that can be read.
    #[error("statement: {0}")]
    Statement(StatementFault),
    /// Signed, but as another kind of statement.
    #[error("statement: {0}")]
    PredicateType(StatementFault),
    /// For another environment.
    #[error("statement is for environment `{found}`, wanted `{wanted}`")]
    Environment {
        /// What it says.
        found: EnvironmentId,
        /// What was asked for.
        wanted: EnvironmentId,
    },
    /// For other reconcilers.
    #[error("statement is for {}, this reconciler is `{wanted}`", names(audience))]
    Audience {
        /// What it says.
        audience: BTreeSet<ReconcilerId>,
        /// Who asks.
        wanted: ReconcilerId,
    },
    /// The statement was sealed under a newer root than the chain shows.
    #[error("statement was sealed under trust root {stated}, the chain ends at {newest}")]
    RootMissing {
        /// Version that the statement names.
        stated: u64,
        /// Newest version of the chain.
        newest: u64,
    },
    /// The statement does not speak of exactly the two files.
    #[error("statement does not speak of exactly `bundle.json` and `provenance.json`")]
    Subjects,
    /// A file is shorter or longer than stated.
    #[error("`{file}` has {found} bytes, the statement says {stated}")]
    Length {
        /// Which file.
        file: &'static str,
        /// Bytes found.
        found: u64,
        /// Bytes stated.
        stated: u64,
    },
    /// A file has other bytes than stated.
    #[error("`{file}` has digest `{found}`, the statement says `{stated}`")]
    FileDigest {
        /// Which file.
        file: &'static str,
        /// Digest found.
        found: Digest,
        /// Digest stated.
        stated: Digest,
    },
    /// A file is signed for, but not canonical JSON.
    #[error("`{file}`: {fault}")]
    File {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        fault: CanonicalFault,
    },
    /// The bundle is signed for and canonical, but no bundle of this format.
    #[error("`bundle.json`: {0}")]
    Bundle(String),
    /// A new bundle that is past its end.
    #[error("bundle {serial} expired at `{expires_at}`")]
    Expired {
        /// Its serial.
        serial: Serial,
        /// Its end.
        expires_at: Timestamp,
    },
    /// A new bundle from the future: one of the clocks is wrong.
    #[error("bundle {serial} was issued at `{issued_at}`, it is `{now}` here")]
    FromTheFuture {
        /// Its serial.
        serial: Serial,
        /// Its stated instant.
        issued_at: Timestamp,
        /// The instant here.
        now: Timestamp,
    },
    /// An older bundle again.
    #[error("bundle {offered} is older than {accepted}, which was accepted before")]
    Replayed {
        /// Serial offered.
        offered: Serial,
        /// Serial accepted before.
        accepted: Serial,
    },
    /// Another bundle with the same serial.
    #[error("another bundle {serial} was accepted before, with payload `{accepted}`")]
    Forked {
        /// The serial of both.
        serial: Serial,
        /// Payload accepted before.
        accepted: Digest,
    },
    /// The next serial on top of another history.
    #[error("bundle {serial} follows payload `{stated}`, the accepted one is `{accepted}`")]
    Previous {
        /// Serial offered.
        serial: Serial,
        /// Previous payload that it names.
        stated: Digest,
        /// Payload accepted before.
        accepted: Digest,
    },
    /// Weaker protection without enough owners.
    #[error("bundle {serial} {why}, and {} of {needed} owners of `{environment}` signed{}", signed.len(), named(signed))]
    Weakening {
        /// Serial offered.
        serial: Serial,
        /// What weakens; one line.
        why: String,
        /// Environment whose owners count.
        environment: EnvironmentId,
        /// Persons needed.
        needed: u64,
        /// Owners that signed.
        signed: BTreeSet<String>,
    },
    /// The store holds another bundle than the one that was accepted last.
    #[error(
        "stored bundle {found} is not the last accepted one, {accepted} with payload `{payload}`"
    )]
    NotLastAccepted {
        /// Serial found in the store.
        found: Serial,
        /// Serial accepted last.
        accepted: Serial,
        /// Payload accepted last.
        payload: Digest,
    },
}

fn names(audience: &BTreeSet<ReconcilerId>) -> String {
    let names: Vec<String> = audience.iter().map(|id| format!("`{id}`")).collect();
    names.join(", ")
}

/// Who signed, for the end of a message: ` (`ada`, `abe`)`; nothing when nobody did.
fn named(signed: &BTreeSet<String>) -> String {
    if signed.is_empty() {
        return String::new();
    }
    let names: Vec<String> = signed.iter().map(|name| format!("`{name}`")).collect();
    format!(" ({})", names.join(", "))
}

impl Refusal {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Key(fault) => fault.code(),
            Self::TooLarge { .. } => code::SEAL_TOO_LARGE,
            Self::Envelope { .. } => code::ENVELOPE_INVALID,
            Self::RootNotPinned { .. } => code::ROOT_NOT_PINNED,
            Self::RootMalformed { .. } => code::ROOT_INVALID,
            Self::RootChainBroken { .. } => code::ROOT_CHAIN_BROKEN,
            Self::RootUnsigned { .. } => code::ROOT_UNSIGNED,
            Self::RootExpired { .. } => code::ROOT_EXPIRED,
            Self::RootRolledBack { .. } => code::ROOT_ROLLED_BACK,
            Self::EnvironmentUnknown { .. } => code::ENVIRONMENT_NOT_TRUSTED,
            Self::Unsigned => code::UNSIGNED,
            Self::SignatureUnknown { .. } => code::SIGNATURE_UNKNOWN,
            Self::Threshold { .. } => code::THRESHOLD_MISSED,
            Self::PayloadType(_) => code::PAYLOAD_TYPE,
            Self::Statement(_) => code::STATEMENT_INVALID,
            Self::PredicateType(_) => code::PREDICATE_TYPE,
            Self::Environment { .. } => code::OTHER_ENVIRONMENT,
            Self::Audience { .. } => code::OTHER_AUDIENCE,
            Self::RootMissing { .. } => code::ROOT_MISSING,
            Self::Subjects => code::WRONG_SUBJECTS,
            Self::Length { .. } => code::FILE_LENGTH,
            Self::FileDigest { .. } => code::FILE_DIGEST,
            Self::File { .. } => code::FILE_NOT_CANONICAL,
            Self::Bundle(_) => code::BUNDLE_INVALID,
            Self::Expired { .. } => code::BUNDLE_EXPIRED,
            Self::FromTheFuture { .. } => code::BUNDLE_FROM_THE_FUTURE,
            Self::Replayed { .. } => code::SERIAL_REPLAYED,
            Self::Forked { .. } => code::SERIAL_FORKED,
            Self::Previous { .. } => code::PREVIOUS_MISMATCH,
            Self::Weakening { .. } => code::WEAKENING_UNSIGNED,
            Self::NotLastAccepted { .. } => code::NOT_LAST_ACCEPTED,
        }
    }

    /// Whether the same files may be accepted at another time.
    pub const fn depends_on_time(&self) -> bool {
        matches!(
            self,
            Self::RootExpired { .. } | Self::Expired { .. } | Self::FromTheFuture { .. }
        )
    }

    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Key(_) => {
                "make a key with `seawall keys generate`, or check it with `openssl pkey`"
            }
            Self::TooLarge { .. } => {
                "publish a smaller policy, or check that the right file is published"
            }
            Self::Envelope { .. } => "publish the file again as `seawall build` wrote it",
            Self::RootNotPinned { .. } => {
                "compare the pin with `sha256sum` of the root's payload; publish the pinned root too"
            }
            Self::RootMalformed { .. } => {
                "make the trust root with `seawall trust` and have it signed again"
            }
            Self::RootChainBroken { .. } => {
                "publish every version of the trust root, without a gap"
            }
            Self::RootUnsigned { .. } => {
                "have the trust root signed by the persons of both versions"
            }
            Self::RootExpired { .. } => "publish a new version of the trust root",
            Self::RootRolledBack { .. } => {
                "publish the newest trust root; somebody may be replaying an old one"
            }
            Self::EnvironmentUnknown { .. } => {
                "add the environment to the trust root, or correct its name"
            }
            Self::Unsigned => "sign the bundle with a key that the trust root lists as compiler",
            Self::SignatureUnknown { .. } => {
                "publish the file again as it was signed; do not add signatures by unknown keys"
            }
            Self::Threshold { .. } => {
                "have as many distinct persons with this role sign; two keys of one person count once"
            }
            Self::PayloadType(_) | Self::PredicateType(_) => {
                "publish the statement that `seawall build` wrote under this name"
            }
            Self::Statement(_) => "build and sign the bundle again with this version of `seawall`",
            Self::Environment { .. } => "publish the bundle in the folder of its own environment",
            Self::Audience { .. } => {
                "name this reconciler in the sites of the policy, or correct its id"
            }
            Self::RootMissing { .. } => "publish the trust root that the bundle was sealed under",
            Self::Subjects | Self::Length { .. } | Self::FileDigest { .. } => {
                "publish the three files of one build together, unchanged"
            }
            Self::File { .. } | Self::Bundle(_) => {
                "build the bundle with a `seawall` of the same format as this program"
            }
            Self::Expired { .. } => {
                "build the bundle again, which gives it a new serial and new dates, or check the clock"
            }
            Self::FromTheFuture { .. } => "check the clocks of this host and of the signer",
            Self::Replayed { .. } => "to roll back, sign the old content under a new serial",
            Self::Forked { .. } => {
                "two signers used one serial: build again on top of the accepted bundle"
            }
            Self::Previous { .. } => "build again on top of the bundle that was accepted last",
            Self::Weakening { .. } => {
                "have as many owners sign it with `seawall sign`, or undo what weakens"
            }
            Self::NotLastAccepted { .. } => {
                "the state store was altered or replaced: restore it from its copy"
            }
        }
    }
}
