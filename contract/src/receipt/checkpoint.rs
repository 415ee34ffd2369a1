//! Checkpoints: the signed size and root of a receipt log, as a C2SP note (tlog-checkpoint over signed-note).
//!
//! ```text
//! seawall/production/rec-1
//! 4
//! 037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=
//!
//! — seawall/production/rec-1 <base64 of key hash and signature>
//! ```
//!
//! Signatures by other names, for example of witnesses, are ignored. The interesting function is [`Checkpoint::open`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::canonical::INTEGER_LIMIT;
use crate::digest::Digest;
use crate::id::{EnvironmentId, ReconcilerId};
use crate::seal::{PrivateKey, PublicKey};

use super::fault::ReceiptFault;
use super::ledger::Authority;

/// A checkpoint is a few hundred bytes; more is something else.
const MAX_CHECKPOINT_BYTES: usize = 16 << 10;

/// C2SP's number for Ed25519 signatures.
const ED25519: u8 = 1;

/// The name of a log: `seawall/<environment>/<reconciler_id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The environment.
    pub environment: EnvironmentId,
    /// The reconciler that writes the log.
    pub reconciler_id: ReconcilerId,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seawall/{}/{}", self.environment, self.reconciler_id)
    }
}

/// The size and the root of a log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub origin: Origin,
    /// Number of lines covered.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
}

impl Checkpoint {
    fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root.as_bytes())
        )
    }

    /// The signed note, ready to be written.
    pub fn sign(&self, key: &PrivateKey) -> String {
        let text = self.text();
        let name = self.origin.to_string();
        let mut signature = key_hash(&name, &key.public()).to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()));
        format!("{text}\n\u{2014} {name} {}\n", STANDARD.encode(signature))
    }

    /// Whose log a note says it is, by which its keys are looked up. Nothing is known before [`open`](Self::open).
    pub fn claimed_origin(note: &[u8]) -> Result<Origin, ReceiptFault> {
        let named = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let parts: Option<Origin> = std::str::from_utf8(named).ok().and_then(|named| {
            let (environment, reconciler) = named.strip_prefix("seawall/")?.split_once('/')?;
            Some(Origin {
                environment: environment.parse().ok()?,
                reconciler_id: reconciler.parse().ok()?,
            })
        });
        parts.ok_or_else(|| {
            ReceiptFault::Checkpoint("does not begin with the name of a log".to_owned())
        })
    }

    /// Reads a signed note: of this log, and signed by one of its reconciler's keys.
    pub fn open(note: &[u8], authority: &Authority) -> Result<Self, ReceiptFault> {
        let invalid = |why: &str| ReceiptFault::Checkpoint(why.to_owned());
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(invalid("longer than a checkpoint can be"));
        }
        let note = std::str::from_utf8(note).map_err(|_| invalid("not UTF-8"))?;
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(invalid("holds control characters"));
        }
        let (body, signatures) = note
            .rsplit_once("\n\n")
            .ok_or_else(|| invalid("has no signatures"))?;
        let text = format!("{body}\n");
        let signatures = signatures
            .strip_suffix('\n')
            .ok_or_else(|| invalid("does not end in a line end"))?;
        let name = authority.origin.to_string();
        let mut signed = false;
        for line in signatures.split('\n') {
            let (by, blob) = line
                .strip_prefix("\u{2014} ")
                .and_then(|rest| rest.split_once(' '))
                .ok_or_else(|| invalid("has a line that is no signature"))?;
            let blob = STANDARD
                .decode(blob)
                .map_err(|_| invalid("has a signature that is no base64"))?;
            if by == name {
                signed |= authority
                    .keys
                    .iter()
                    .any(|key| signs(key, &name, &blob, text.as_bytes()));
            }
        }
        if !signed {
            return Err(ReceiptFault::CheckpointUnsigned(authority.origin.clone()));
        }
        Self::parse(body, authority)
    }

    /// Only reached with text that was signed.
    fn parse(body: &str, authority: &Authority) -> Result<Self, ReceiptFault> {
        let invalid = |why: &str| ReceiptFault::Checkpoint(why.to_owned());
        let lines: Vec<&str> = body.split('\n').collect();
        let [origin, size_text, root] = lines.as_slice() else {
            return Err(invalid("has other lines than origin, size and root"));
        };
        if *origin != authority.origin.to_string() {
            return Err(invalid("is of another log"));
        }
        let size = size_text
            .parse::<u64>()
            .ok()
            .filter(|size| *size < INTEGER_LIMIT && size.to_string() == *size_text);
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match (size, root) {
            (Some(size), Some(root)) => Ok(Self {
                origin: authority.origin.clone(),
                size,
                root: Digest::from_bytes(root),
            }),
            _ => Err(invalid("has a size or a root that cannot be read")),
        }
    }
}

/// The first four bytes of SHA-256(name ‖ LF ‖ algorithm ‖ public key).
fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let named = [
        name.as_bytes(),
        b"\n",
        &[ED25519],
        key.as_bytes().as_slice(),
    ]
    .concat();
    let [a, b, c, d, ..] = *Digest::of(&named).as_bytes();
    [a, b, c, d]
}

fn signs(key: &PublicKey, name: &str, blob: &[u8], text: &[u8]) -> bool {
    blob.strip_prefix(key_hash(name, key).as_slice())
        .is_some_and(|signature| key.verify(text, signature))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn key_hash_and_signature_are_those_of_the_published_note() {
        // The example of the signed-note package of Go: key and signature of PeterNeumann.
        let name = "PeterNeumann";
        let key = STANDARD
            .decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
            .unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(
                [
                    &[
                        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00
                    ],
                    &key[1..]
                ]
                .concat()
            )
        );
        let key = PublicKey::from_pem(&pem).unwrap();
        assert_eq!(key_hash(name, &key), [0xc7, 0x4f, 0x20, 0xa3]);
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let blob = STANDARD
            .decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
            .unwrap();
        assert!(signs(&key, name, &blob, text.as_bytes()));
        assert!(!signs(&key, name, &blob, b"other"));
    }
}
