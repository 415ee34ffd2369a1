//! A small trust domain for tests: persons, keys, a root, and bundles sealed under it.

mod accept;
mod keys;
mod messages;
mod open;
mod receipts;

use std::collections::{BTreeMap, BTreeSet};

use contract::digest::Digest;
use contract::id::{EnvironmentId, ReconcilerId};
use contract::model::{Environment, Model, Settings, Snapshot};
use contract::seal::{
    BundlePredicate, EnvironmentRoles, Expect, FindingCounts, Input, Lengths, OwnerRole, Person,
    Pin, PrivateKey, Refusal, RoleKeys, RootRoles, Sealed, Serial, Statement, TrustRoot, Verdict,
    Verified, policy_snapshot_hash,
};
use jiff::Timestamp;

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn environment() -> EnvironmentId {
    "production".parse().unwrap()
}

pub fn reconciler() -> ReconcilerId {
    "rec-1".parse().unwrap()
}

/// One key a name, always the same.
pub fn key(name: &str) -> PrivateKey {
    PrivateKey::from_seed(Digest::of(name.as_bytes()).as_bytes())
}

fn role(names: &[&str], threshold: u64) -> RoleKeys {
    RoleKeys {
        keyids: names
            .iter()
            .map(|name| key(name).public().key_id())
            .collect(),
        threshold,
    }
}

/// Root version 1. Olga holds two keys; production asks for two owners where protection weakens; dev has keys of its own.
pub fn root() -> TrustRoot {
    let holders = [
        ("ada", "ada"),
        ("abe", "abe"),
        ("ci", "ci"),
        ("dev-ci", "dev-ci"),
        ("olga", "olga"),
        ("olga-2", "olga"),
        ("omar", "omar"),
        ("rec-1", "rec-1"),
        ("rec-2", "rec-2"),
    ];
    let persons = holders
        .iter()
        .map(|(name, person)| {
            let public = key(name).public();
            (
                public.key_id(),
                Person {
                    person: (*person).into(),
                    public_key: public.to_pem().unwrap(),
                },
            )
        })
        .collect();
    let roles = |compiler: &str| EnvironmentRoles {
        compiler: role(&[compiler], 1),
        owner: OwnerRole {
            keyids: role(&["olga", "olga-2", "omar"], 1).keyids,
            threshold: 0,
            weakening_threshold: 2,
        },
        reconciler: role(&["rec-1", "rec-2"], 1),
        approver: None,
        break_glass: None,
    };
    TrustRoot {
        version: 1,
        issued_at: at("2026-01-01T00:00:00Z"),
        expires_at: at("2027-01-01T00:00:00Z"),
        persons,
        roles: RootRoles {
            root: role(&["ada", "abe"], 2),
            environments: BTreeMap::from([
                (environment(), roles("ci")),
                ("dev".parse().unwrap(), roles("dev-ci")),
            ]),
        },
    }
}

pub fn model() -> Model {
    Model {
        format: contract::model::FORMAT,
        environment: Environment {
            environment_id: environment(),
            production: true,
            planes: BTreeSet::new(),
            bundle_validity_s: contract::duration::Seconds::days(30),
            waiver_limit_s: None,
            freeze_windows: Vec::new(),
            maintenance_windows: Vec::new(),
            delete_budget: None,
            delete_grace_s: None,
        },
        snapshot: Snapshot {
            snapshot_id: "s1".into(),
            module_id: "bdr".into(),
            schema_version: "1".into(),
            policy_version_ids: vec!["v1".into()],
            effective_from: at("2026-01-01T00:00:00Z"),
        },
        settings: Settings::default(),
        datasets: BTreeMap::new(),
        plans: BTreeMap::new(),
        scenarios: BTreeMap::new(),
        groups: BTreeMap::new(),
        standbys: BTreeMap::new(),
        waivers: BTreeMap::new(),
    }
}

pub fn predicate(serial: u64, previous: Option<Digest>) -> BundlePredicate {
    let inputs = vec![Input {
        path: "plans/gold.yaml".into(),
        sha256: Digest::of(b"plan"),
    }];
    BundlePredicate {
        environment: environment(),
        audience: BTreeSet::from([reconciler()]),
        lengths: Lengths {
            bundle: 0,
            provenance: 0,
        },
        serial: Serial::new(serial).unwrap(),
        issued_at: at("2026-11-20T00:00:00Z"),
        expires_at: at("2026-12-20T00:00:00Z"),
        previous,
        trust_root_version: 1,
        policy_snapshot_hash: policy_snapshot_hash(&inputs),
        inputs,
        rules_digest: Digest::of(b"rules"),
        policy_version_ids: vec!["v1".into()],
        source_commit: None,
        compiler_version: "0.1.0".into(),
        tzdb_version: "2026a".into(),
        verdict: Verdict {
            rules: vec!["rpo-covered".into()],
            findings: FindingCounts {
                errors: 0,
                warnings: 1,
                waived: 0,
            },
            waivers: vec![],
        },
        properties: serde_json::json!({"datasets": {}}),
    }
}

/// Sealed files, owned, so that an attack can change them.
#[derive(Clone)]
pub struct Files {
    pub roots: Vec<Vec<u8>>,
    pub envelope: Vec<u8>,
    pub bundle: Vec<u8>,
    pub provenance: Vec<u8>,
    pub pin: Pin,
    pub environment: EnvironmentId,
    pub reconciler: Option<ReconcilerId>,
}

impl Files {
    pub fn open(&self) -> Result<Verified<contract::seal::Bundle>, Refusal> {
        contract::seal::open(
            &Sealed {
                root_chain: &self.roots,
                envelope: &self.envelope,
                bundle: &self.bundle,
                provenance: &self.provenance,
            },
            &self.pin,
            &Expect {
                environment: &self.environment,
                reconciler_id: self.reconciler.as_ref(),
            },
        )
    }
}

/// Seals this root, and a bundle under it with these keys.
pub fn sealed_under(root: &TrustRoot, predicate: BundlePredicate, keys: &[&str]) -> Files {
    let root = root.seal(&[&key("ada"), &key("abe")]).unwrap();
    let bundle = contract::canonical::to_bytes(&model()).unwrap();
    let provenance = b"{\"values\":{}}".to_vec();
    let payload = Statement::about_bundle(predicate, &bundle, &provenance)
        .to_payload()
        .unwrap();
    let keys: Vec<PrivateKey> = keys.iter().map(|name| key(name)).collect();
    let envelope = contract::seal::Envelope::sign(payload, &keys.iter().collect::<Vec<_>>());
    Files {
        pin: Pin {
            root_sha256: Digest::of(&root.payload),
        },
        roots: vec![root.to_json().into_bytes()],
        envelope: envelope.to_json().into_bytes(),
        bundle,
        provenance,
        environment: environment(),
        reconciler: Some(reconciler()),
    }
}

pub fn sealed(predicate: BundlePredicate, keys: &[&str]) -> Files {
    sealed_under(&root(), predicate, keys)
}
