//! The first door: sealed bytes become a [`Verified`] bundle, or a [`Refusal`].
//!
//! The steps are numbered as in the design and run in this order; nothing is parsed before who signed it is known. Whether
//! the bundle may be followed now is decided by the second door, `accept`. The interesting function is [`open`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::dsse::{Envelope, PAYLOAD_TYPE, Signers};
use super::keys::{KeyId, PublicKey};
use super::limits;
use super::payload::from_canonical;
use super::refusal::Refusal;
use super::root::{EnvironmentRoles, Role, TrustRoot};
use super::statement::{
    BUNDLE_FILE, BundlePredicate, ENVELOPE_FILE, PROVENANCE_FILE, Predicate, Statement,
    StatementFault,
};
use crate::digest::Digest;
use crate::id::{EnvironmentId, ReconcilerId};
use crate::model::{self, Model};

/// The published files, as read. Nothing in them is trusted.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// `trust/1.root.json`, `2.root.json` … in order of version.
    pub root_chain: &'a [Vec<u8>],
    /// `<environment>/bundle.dsse.json`.
    pub envelope: &'a [u8],
    /// `<environment>/bundle.json`.
    pub bundle: &'a [u8],
    /// `<environment>/provenance.json`.
    pub provenance: &'a [u8],
}

/// What the reader trusts from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// SHA-256 of the payload of a root.
    pub root_sha256: Digest,
}

/// What the reader asks for.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The environment.
    pub environment: &'a EnvironmentId,
    /// The reconciler that asks; none when somebody only verifies.
    pub reconciler_id: Option<&'a ReconcilerId>,
}

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The resolved model.
    pub model: Model,
}

/// Something that came out of [`open`], with the proof of who signed it. There is no other way to make one.
#[derive(Clone, PartialEq)]
pub struct Verified<T> {
    inner: T,
    statement: Statement<BundlePredicate>,
    identity: Digest,
    signed: BTreeSet<KeyId>,
    root: TrustRoot,
    bundle: Vec<u8>,
    provenance: Vec<u8>,
}

/// Short on purpose: a whole bundle in a log line helps nobody.
impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("environment", &self.statement.predicate.environment)
            .field("serial", &self.statement.predicate.serial)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl<T> Verified<T> {
    /// What was verified.
    pub const fn get(&self) -> &T {
        &self.inner
    }

    /// What was said about it.
    pub const fn statement(&self) -> &BundlePredicate {
        &self.statement.predicate
    }

    /// SHA-256 of the statement's payload: the identity of the bundle.
    pub const fn identity(&self) -> &Digest {
        &self.identity
    }

    /// The persons that signed in a role of the bundle's environment.
    pub fn signed_by(&self, role: Role) -> BTreeSet<String> {
        self.root
            .persons(&self.signed, role, &self.statement.predicate.environment)
    }

    /// The newest trust root of the chain, by which the signatures were counted.
    pub const fn root(&self) -> &TrustRoot {
        &self.root
    }

    /// The bytes of `bundle.json` that were verified and parsed.
    pub fn bundle_bytes(&self) -> &[u8] {
        &self.bundle
    }

    /// The bytes of `provenance.json` that were verified.
    pub fn provenance_bytes(&self) -> &[u8] {
        &self.provenance
    }
}

/// Opens a sealed bundle, or says why not.
pub fn open(
    sealed: &Sealed<'_>,
    pin: &Pin,
    expect: &Expect<'_>,
) -> Result<Verified<Bundle>, Refusal> {
    // 1. Limits on size and count, before anything else is looked at.
    within_limits(sealed)?;
    // 2. The root chain, from the pinned root to the newest.
    let roots = open_chain(sealed.root_chain, pin)?;
    // 3. Signatures of the statement, counted in persons by the newest root.
    let (payload_type, payload, signed) = signatures(sealed.envelope, &roots, expect.environment)?;
    // 4. Payload type and predicate type, exactly.
    let statement = statement(&payload_type, &payload)?;
    // 5. Environment and audience.
    addressed_to_us(&statement.predicate, &roots.newest, expect)?;
    // 6. Files by length and digest. 7. Only then parse, and the same bytes.
    let inner = files(&statement, sealed)?;
    Ok(Verified {
        inner,
        statement,
        identity: Digest::of(&payload),
        signed,
        root: roots.newest,
        bundle: sealed.bundle.to_vec(),
        provenance: sealed.provenance.to_vec(),
    })
}

/// What the files say when nobody vouches for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// What is said about the bundle.
    pub statement: BundlePredicate,
    /// SHA-256 of the statement's payload.
    pub identity: Digest,
    /// The number of signatures; none was verified.
    pub signatures: usize,
    /// What is in it.
    pub bundle: Bundle,
}

/// Checks only that the three files belong together and can be read: steps 1, 4, 6 and 7 of [`open`]. Without a pinned root
/// nothing says who made them, so what comes out is not [`Verified`].
pub fn inspect(envelope: &[u8], bundle: &[u8], provenance: &[u8]) -> Result<Inspected, Refusal> {
    let sealed = Sealed {
        root_chain: &[],
        envelope,
        bundle,
        provenance,
    };
    within_limits(&sealed)?;
    let envelope = Envelope::from_json(envelope).map_err(|fault| Refusal::Envelope {
        what: ENVELOPE_FILE.into(),
        fault,
    })?;
    let statement = statement(&envelope.payload_type, &envelope.payload)?;
    let bundle = files(&statement, &sealed)?;
    Ok(Inspected {
        identity: Digest::of(&envelope.payload),
        signatures: envelope.signatures.len(),
        statement: statement.predicate,
        bundle,
    })
}

/// Verifies a root chain alone, from the pinned root to the newest one, which is returned.
pub fn open_roots(root_chain: &[Vec<u8>], pin: &Pin) -> Result<TrustRoot, Refusal> {
    root_limits(root_chain)?;
    Ok(open_chain(root_chain, pin)?.newest)
}

/// The newest root, and every key that any root of the chain has named.
struct Roots {
    newest: TrustRoot,
    known: BTreeMap<KeyId, PublicKey>,
}

fn within_limits(sealed: &Sealed<'_>) -> Result<(), Refusal> {
    root_limits(sealed.root_chain)?;
    within(
        "bytes of `bundle.dsse.json`",
        sealed.envelope.len(),
        limits::ENVELOPE_BYTES,
    )?;
    within(
        "bytes of `bundle.json`",
        sealed.bundle.len(),
        limits::BUNDLE_BYTES,
    )?;
    within(
        "bytes of `provenance.json`",
        sealed.provenance.len(),
        limits::PROVENANCE_BYTES,
    )
}

fn root_limits(chain: &[Vec<u8>]) -> Result<(), Refusal> {
    within("trust roots", chain.len(), limits::ROOTS)?;
    chain
        .iter()
        .try_for_each(|root| within("bytes of a trust root", root.len(), limits::ROOT_BYTES))
}

const fn within(what: &'static str, found: usize, limit: u64) -> Result<(), Refusal> {
    let found = found as u64;
    if found > limit {
        Err(Refusal::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

fn open_chain(chain: &[Vec<u8>], pin: &Pin) -> Result<Roots, Refusal> {
    let mut trusted: Option<Roots> = None;
    for (index, bytes) in chain.iter().enumerate() {
        let position = index + 1;
        let what = format!("trust root {position}");
        let envelope = Envelope::from_json(bytes).map_err(|fault| Refusal::Envelope {
            what: what.clone(),
            fault,
        })?;
        let before = match trusted.take() {
            // What comes before the pinned root is not needed, and never parsed.
            None if Digest::of(&envelope.payload) != pin.root_sha256 => continue,
            None => None,
            Some(before) => Some(before),
        };
        trusted = Some(next_root(&envelope, before, position)?);
    }
    trusted.ok_or(Refusal::RootNotPinned {
        pinned: pin.root_sha256,
    })
}

/// One step of the chain: the pinned root (`before` is none), or the one after `before`.
fn next_root(
    envelope: &Envelope,
    before: Option<Roots>,
    position: usize,
) -> Result<Roots, Refusal> {
    // The bytes are pinned, or become trusted only by the signatures that are counted below.
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Refusal::PayloadType(envelope.payload_type.clone()));
    }
    // The keys of the version before decide first, so that a stranger's document is not even parsed.
    if let Some(before) = &before {
        let signers = envelope.verify(before.known.values());
        root_threshold(
            &before.newest,
            &signers,
            before.newest.version.saturating_add(1),
        )?;
    }
    let malformed = |fault| Refusal::RootMalformed { position, fault };
    let statement = Statement::<TrustRoot>::from_payload(&envelope.payload).map_err(malformed)?;
    statement.check_about_itself().map_err(malformed)?;
    let root = statement.predicate;
    let mut known = BTreeMap::new();
    if let Some(before) = before {
        if root.version != before.newest.version.saturating_add(1) {
            return Err(Refusal::RootChainBroken {
                after: before.newest.version,
                found: root.version,
            });
        }
        known = before.known;
    }
    known.extend(root.public_keys());
    let signers = envelope.verify(known.values());
    root_threshold(&root, &signers, root.version)?;
    all_known(&signers, &format!("trust root {position}"))?;
    Ok(Roots {
        newest: root,
        known,
    })
}

fn root_threshold(by: &TrustRoot, signers: &Signers, version: u64) -> Result<(), Refusal> {
    let signed = by.root_persons(&signers.keys);
    let needed = by.roles.root.threshold;
    if signed.len() as u64 >= needed {
        return Ok(());
    }
    Err(Refusal::RootUnsigned {
        version,
        by: by.version,
        needed,
        signed,
    })
}

/// A signature that nobody known made is either altered or none of ours; neither belongs in a published file.
fn all_known(signers: &Signers, what: &str) -> Result<(), Refusal> {
    match signers.unknown.first() {
        None => Ok(()),
        Some(index) => Err(Refusal::SignatureUnknown {
            what: what.into(),
            position: index + 1,
        }),
    }
}

fn signatures(
    envelope: &[u8],
    roots: &Roots,
    environment: &EnvironmentId,
) -> Result<(String, Vec<u8>, BTreeSet<KeyId>), Refusal> {
    let envelope = Envelope::from_json(envelope).map_err(|fault| Refusal::Envelope {
        what: ENVELOPE_FILE.into(),
        fault,
    })?;
    let roles = environment_roles(&roots.newest, environment)?;
    let signers = envelope.verify(roots.known.values());
    if signers.keys.is_empty() {
        return Err(Refusal::Unsigned);
    }
    all_known(&signers, ENVELOPE_FILE)?;
    for (role, needed) in [
        (Role::Compiler, roles.compiler.threshold),
        (Role::Owner, roles.owner.threshold),
    ] {
        let signed = roots.newest.persons(&signers.keys, role, environment);
        if (signed.len() as u64) < needed {
            return Err(Refusal::Threshold {
                role,
                environment: environment.clone(),
                needed,
                signed,
            });
        }
    }
    Ok((envelope.payload_type, envelope.payload, signers.keys))
}

pub(super) fn environment_roles<'r>(
    root: &'r TrustRoot,
    environment: &EnvironmentId,
) -> Result<&'r EnvironmentRoles, Refusal> {
    root.roles
        .environments
        .get(environment)
        .ok_or_else(|| Refusal::EnvironmentUnknown {
            version: root.version,
            environment: environment.clone(),
        })
}

fn statement<P: Predicate>(payload_type: &str, payload: &[u8]) -> Result<Statement<P>, Refusal> {
    if payload_type != PAYLOAD_TYPE {
        return Err(Refusal::PayloadType(payload_type.into()));
    }
    Statement::from_payload(payload).map_err(|fault| match fault {
        StatementFault::PredicateType { .. } => Refusal::PredicateType(fault),
        StatementFault::Canonical(_) | StatementFault::Shape(_) => Refusal::Statement(fault),
    })
}

fn addressed_to_us(
    stated: &BundlePredicate,
    root: &TrustRoot,
    expect: &Expect<'_>,
) -> Result<(), Refusal> {
    if stated.environment != *expect.environment {
        let (found, wanted) = (stated.environment.clone(), expect.environment.clone());
        return Err(Refusal::Environment { found, wanted });
    }
    if let Some(wanted) = expect.reconciler_id
        && !stated.audience.contains(wanted)
    {
        return Err(Refusal::Audience {
            audience: stated.audience.clone(),
            wanted: wanted.clone(),
        });
    }
    // A statement from a newer root than we see: the chain was cut, perhaps to hide a revoked key.
    if stated.trust_root_version > root.version {
        return Err(Refusal::RootMissing {
            stated: stated.trust_root_version,
            newest: root.version,
        });
    }
    Ok(())
}

fn file(
    statement: &Statement<BundlePredicate>,
    file: &'static str,
    bytes: &[u8],
    stated_length: u64,
) -> Result<(), Refusal> {
    let stated = statement.file_digest(file).ok_or(Refusal::Subjects)?;
    if bytes.len() as u64 != stated_length {
        return Err(Refusal::Length {
            file,
            found: bytes.len() as u64,
            stated: stated_length,
        });
    }
    let found = Digest::of(bytes);
    if found != stated {
        return Err(Refusal::FileDigest {
            file,
            found,
            stated,
        });
    }
    Ok(())
}

/// Steps 6 and 7: what is parsed are the bytes that were compared.
fn files(statement: &Statement<BundlePredicate>, sealed: &Sealed<'_>) -> Result<Bundle, Refusal> {
    let lengths = statement.predicate.lengths;
    file(statement, BUNDLE_FILE, sealed.bundle, lengths.bundle)?;
    file(
        statement,
        PROVENANCE_FILE,
        sealed.provenance,
        lengths.provenance,
    )?;
    let bundle = parse(sealed.bundle, &statement.predicate.environment)?;
    from_canonical(sealed.provenance).map_err(|fault| Refusal::File {
        file: PROVENANCE_FILE,
        fault,
    })?;
    Ok(bundle)
}

fn parse(bytes: &[u8], environment: &EnvironmentId) -> Result<Bundle, Refusal> {
    let value = from_canonical(bytes).map_err(|fault| Refusal::File {
        file: BUNDLE_FILE,
        fault,
    })?;
    // The format first: of another format, the names of unknown fields would tell the reader nothing.
    let format = value.get("format").and_then(Value::as_u64);
    if format != Some(u64::from(model::FORMAT)) {
        let found = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
        let read = model::FORMAT;
        return Err(Refusal::Bundle(format!(
            "format is `{found}`, this program reads format {read}"
        )));
    }
    let model: Model = serde_json::from_value(value).map_err(|e| Refusal::Bundle(e.to_string()))?;
    if model.environment.environment_id != *environment {
        let found = &model.environment.environment_id;
        return Err(Refusal::Bundle(format!(
            "it is resolved for environment `{found}`"
        )));
    }
    model.check().map_err(Refusal::Bundle)?;
    Ok(Bundle { model })
}
