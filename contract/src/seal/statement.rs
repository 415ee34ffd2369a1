//! in-toto Statements v1: what a signature says, about which files.
//!
//! Every payload of ours is one, told apart by its exact predicate type. The interesting function is [`Statement::from_payload`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::payload::{CanonicalFault, from_canonical, instant};
use crate::canonical::{INTEGER_LIMIT, to_bytes};
use crate::digest::Digest;
use crate::id::{EnvironmentId, ReconcilerId};

/// The `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Name of the file that holds the signed statement.
pub const ENVELOPE_FILE: &str = "bundle.dsse.json";
/// Name of the first subject of a bundle statement.
pub const BUNDLE_FILE: &str = "bundle.json";
/// Name of the second subject of a bundle statement.
pub const PROVENANCE_FILE: &str = "provenance.json";

/// The exact predicate types. One is never taken for another.
pub mod predicate_type {
    /// A compiled policy for one environment.
    pub const PLAN_BUNDLE: &str = "https://seawall.dev/plan-bundle/v1";
    /// Persons, keys, roles and thresholds.
    pub const TRUST_ROOT: &str = "https://seawall.dev/trust-root/v1";
    /// One decision or action of a reconciler.
    pub const RECEIPT: &str = "https://seawall.dev/receipt/v1";
    /// The state of a receipt log after one of its lines.
    pub const FRONTIER: &str = "https://seawall.dev/frontier/v1";
    /// One person's approval of one request.
    pub const APPROVAL: &str = "https://seawall.dev/approval/v1";
}

/// Something that is signed as the predicate of a statement.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The exact type that payloads of this kind carry.
    const TYPE: &'static str;
    /// What the fields must satisfy together; the error is one lowercase line.
    fn check(&self) -> Result<(), String>;
}

/// A statement: subjects and a predicate about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    /// The files spoken of.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// What is said.
    pub predicate: P,
}

/// One file, or other thing, by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// File name without a folder.
    pub name: String,
    /// Its digests; always and only SHA-256.
    pub digest: SubjectDigest,
}

/// The digests of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
}

/// Why a payload is no statement of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    /// The bytes are not canonical JSON.
    #[error(transparent)]
    Canonical(#[from] CanonicalFault),
    /// A field is missing, unknown, or of the wrong shape.
    #[error("{0}")]
    Shape(String),
    /// Another kind of statement.
    #[error("predicate type is `{found}`, wanted `{wanted}`")]
    PredicateType {
        /// What it says.
        found: String,
        /// What this use takes.
        wanted: &'static str,
    },
}

impl<P: Predicate> Statement<P> {
    /// A statement about these subjects.
    pub fn new(subject: Vec<Subject>, predicate: P) -> Self {
        Self {
            kind: STATEMENT_TYPE.into(),
            subject,
            predicate_type: P::TYPE.into(),
            predicate,
        }
    }

    /// A statement whose only subject is its own predicate, for records that speak of no file.
    pub fn about_itself(name: &str, predicate: P) -> Result<Self, StatementFault> {
        let digest = Digest::of(&canonical_bytes(&predicate)?);
        Ok(Self::new(vec![Subject::new(name, digest)], predicate))
    }

    /// The canonical bytes that are signed. Fails where the predicate breaks its own rules.
    pub fn to_payload(&self) -> Result<Vec<u8>, StatementFault> {
        self.predicate.check().map_err(StatementFault::Shape)?;
        canonical_bytes(self)
    }

    /// Reads a payload whose signatures were verified: canonical, of exactly this predicate type, without unknown fields.
    pub fn from_payload(payload: &[u8]) -> Result<Self, StatementFault> {
        let value = from_canonical(payload)?;
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        if text("_type") != STATEMENT_TYPE {
            return Err(StatementFault::Shape(format!(
                "`_type` is `{}`, wanted `{STATEMENT_TYPE}`",
                text("_type")
            )));
        }
        if text("predicateType") != P::TYPE {
            let found = text("predicateType").to_owned();
            return Err(StatementFault::PredicateType {
                found,
                wanted: P::TYPE,
            });
        }
        let statement: Self =
            serde_json::from_value(value).map_err(|e| StatementFault::Shape(e.to_string()))?;
        statement.predicate.check().map_err(StatementFault::Shape)?;
        Ok(statement)
    }

    /// Checks that the statement speaks of nothing but its own predicate.
    pub(crate) fn check_about_itself(&self) -> Result<(), StatementFault> {
        let digest = Digest::of(&canonical_bytes(&self.predicate)?);
        match self.subject.as_slice() {
            [only] if only.digest.sha256 == digest => Ok(()),
            _ => Err(StatementFault::Shape(
                "subject is not the predicate itself".into(),
            )),
        }
    }
}

fn canonical_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, StatementFault> {
    to_bytes(value).map_err(|e| StatementFault::Shape(e.to_string()))
}

impl Subject {
    /// A subject by name and digest.
    pub fn new(name: &str, sha256: Digest) -> Self {
        Self {
            name: name.into(),
            digest: SubjectDigest { sha256 },
        }
    }
}

/// The position of a bundle in the history of its environment: 1, 2, 3 … below 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Serial(u64);

impl Serial {
    /// The first bundle of an environment.
    pub const FIRST: Self = Self(1);

    /// Zero and numbers of 2^53 or more are no serials.
    pub const fn new(number: u64) -> Option<Self> {
        if number >= 1 && number < INTEGER_LIMIT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The serial after this one; none after the last.
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| {
            serde::de::Error::custom(format!("`{number}` is no serial of 1 or more"))
        })
    }
}

/// What is said about a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundlePredicate {
    /// The one environment that it is for.
    pub environment: EnvironmentId,
    /// Ids of the reconcilers that may follow it.
    pub audience: BTreeSet<ReconcilerId>,
    /// Lengths of the two subjects.
    pub lengths: Lengths,
    /// Previous serial + 1.
    pub serial: Serial,
    /// When it was signed.
    #[serde(with = "instant")]
    pub issued_at: Timestamp,
    /// From then on it is not accepted as new.
    #[serde(with = "instant")]
    pub expires_at: Timestamp,
    /// SHA-256 of the payload of the statement before; absent on the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Version of the newest trust root that the signer knew.
    pub trust_root_version: u64,
    /// Identity of the input files; see [`policy_snapshot_hash`].
    pub policy_snapshot_hash: Digest,
    /// The input files, by path.
    pub inputs: Vec<Input>,
    /// Digest of the rules that judged the policy.
    pub rules_digest: Digest,
    /// As the Snapshot document lists them.
    pub policy_version_ids: Vec<String>,
    /// Commit of the policy tree, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// Version of the compiler.
    pub compiler_version: String,
    /// Version of the time-zone database of the proofs.
    pub tzdb_version: String,
    /// What the rules found. Informative.
    pub verdict: Verdict,
    /// What was proven. Informative; no decision reads it.
    pub properties: Value,
}

/// Lengths in bytes of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// Length of `bundle.json`.
    pub bundle: u64,
    /// Length of `provenance.json`.
    pub provenance: u64,
}

/// One input file of a compilation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Path relative to the policy tree, with `/`.
    pub path: String,
    /// Digest of the file's bytes.
    pub sha256: Digest,
}

/// What the rules found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Names of the rules that ran.
    pub rules: Vec<String>,
    /// How many findings of each weight remained.
    pub findings: FindingCounts,
    /// Ids of the waivers that were used.
    pub waivers: Vec<String>,
}

/// Findings by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingCounts {
    /// Stop signing; always 0 in a signed bundle.
    pub errors: u64,
    /// Told, but signed all the same.
    pub warnings: u64,
    /// Accepted by a waiver.
    pub waived: u64,
}

impl Predicate for BundlePredicate {
    const TYPE: &'static str = predicate_type::PLAN_BUNDLE;

    fn check(&self) -> Result<(), String> {
        if self.audience.is_empty() {
            return Err("audience names no reconciler".into());
        }
        if self.expires_at <= self.issued_at {
            return Err(format!(
                "expires_at `{}` is not after issued_at `{}`",
                self.expires_at, self.issued_at
            ));
        }
        match (self.serial == Serial::FIRST, self.previous.is_some()) {
            (true, true) => return Err("serial 1 names a previous statement".into()),
            (false, false) => {
                return Err(format!(
                    "serial {} names no previous statement",
                    self.serial
                ));
            }
            (true, false) | (false, true) => {}
        }
        if self.verdict.findings.errors > 0 {
            return Err(format!(
                "the verdict has {} errors, and an error stops signing",
                self.verdict.findings.errors
            ));
        }
        if self.policy_snapshot_hash != policy_snapshot_hash(&self.inputs) {
            return Err("policy_snapshot_hash is not the hash of the listed inputs".into());
        }
        Ok(())
    }
}

impl Statement<BundlePredicate> {
    /// The statement about these two files. Lengths in the predicate are set from the bytes.
    pub fn about_bundle(mut predicate: BundlePredicate, bundle: &[u8], provenance: &[u8]) -> Self {
        predicate.lengths = Lengths {
            bundle: bundle.len() as u64,
            provenance: provenance.len() as u64,
        };
        let subject = vec![
            Subject::new(BUNDLE_FILE, Digest::of(bundle)),
            Subject::new(PROVENANCE_FILE, Digest::of(provenance)),
        ];
        Self::new(subject, predicate)
    }

    /// The digest of one subject, if exactly the two files are spoken of.
    pub(crate) fn file_digest(&self, name: &str) -> Option<Digest> {
        let by_name: BTreeMap<&str, Digest> = self
            .subject
            .iter()
            .map(|s| (s.name.as_str(), s.digest.sha256))
            .collect();
        if self.subject.len() != 2 || by_name.len() != 2 {
            return None;
        }
        by_name.get(name).copied()
    }
}

/// The identity of a policy: SHA-256 over `<hex>  <path>\n` for each input, sorted by the bytes of the path.
pub fn policy_snapshot_hash(inputs: &[Input]) -> Digest {
    let mut lines: Vec<(&[u8], String)> = inputs
        .iter()
        .map(|i| (i.path.as_bytes(), format!("{}  {}\n", i.sha256, i.path)))
        .collect();
    lines.sort();
    let list: String = lines.into_iter().map(|(_, line)| line).collect();
    Digest::of(list.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_hash_is_that_of_sha256sum() {
        // printf 'a' > b.yaml; printf '' > a/c.yaml; sha256sum a/c.yaml b.yaml | sha256sum
        let inputs = [
            Input {
                path: "b.yaml".into(),
                sha256: Digest::of(b"a"),
            },
            Input {
                path: "a/c.yaml".into(),
                sha256: Digest::of(b""),
            },
        ];
        assert_eq!(policy_snapshot_hash(&inputs).to_string(), SHA256SUM);
    }

    const SHA256SUM: &str = "3d11ba5bda856a4843c15a237069a0767756c6d29c9844992e4bb57f6ad1c7cc";

    #[test]
    fn serials_start_at_one_and_end_below_two_to_the_53() {
        assert_eq!(Serial::new(0), None);
        assert_eq!(Serial::new(INTEGER_LIMIT), None);
        assert_eq!(Serial::new(INTEGER_LIMIT - 1).and_then(Serial::next), None);
        assert_eq!(Serial::FIRST.next().map(Serial::get), Some(2));
    }
}
