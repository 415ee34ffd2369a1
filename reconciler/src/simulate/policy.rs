//! Owns the policy and the configuration of a simulation: a model for the script's plans, sealed with keys that no deployment has,
//! and accepted in the same way as any other. The interesting function is [`Policy::publish`].

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use contract::canonical;
use contract::code;
use contract::digest::Digest;
use contract::model::Model;
use contract::seal::{
    BundlePredicate, Envelope, EnvironmentRoles, FindingCounts, Input, Lengths, OwnerRole, Person,
    PrivateKey, RoleKeys, RootRoles, Serial, Statement, TrustRoot, Verdict, policy_snapshot_hash,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::script::{PlanScript, Script};
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::world::git::Published;

/// The environment of every simulation.
const ENVIRONMENT: &str = "simulation";
/// The reconciler.
const RECONCILER: &str = "rec";
/// The end of the trust root.
const END: &str = "2199-01-01T00:00:00Z";
/// The key of all repositories.
const KID: &str = "key";
/// Longer than any simulation: what expires is another matter.
const VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 3_650);

/// What is published, and what will be next.
#[derive(Debug)]
pub(super) struct Policy {
    bundle: Vec<u8>,
    root: Vec<u8>,
    pin: Digest,
    serial: u64,
    previous: Option<Digest>,
}

/// The key of a person of the simulation. Everybody can make it: it protects nothing.
fn key(name: &str) -> PrivateKey {
    let seed = Digest::of(format!("a key of Seawall's simulation: {name}").as_bytes());
    PrivateKey::from_seed(seed.as_bytes())
}

fn role(name: &str) -> RoleKeys {
    RoleKeys {
        keyids: BTreeSet::from([key(name).public().key_id()]),
        threshold: 1,
    }
}

fn unusable(what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        code::SIMULATION_UNUSABLE,
        format!("{what}: {why}"),
        "correct the script, or report this as a bug",
    )
}

fn root() -> Result<TrustRoot, Failure> {
    let mut persons = BTreeMap::new();
    for name in ["root", "compiler", "owner", RECONCILER] {
        let public = key(name).public();
        let public_key = public
            .to_pem()
            .map_err(|error| unusable("a key cannot be written", &error))?;
        let person = name.into();
        persons.insert(public.key_id(), Person { person, public_key });
    }
    let roles = EnvironmentRoles {
        compiler: role("compiler"),
        owner: OwnerRole {
            keyids: role("owner").keyids,
            threshold: 0,
            weakening_threshold: 1,
        },
        reconciler: role(RECONCILER),
        approver: None,
        break_glass: None,
    };
    let environment = ENVIRONMENT
        .parse()
        .map_err(|error| unusable("the environment has no name", &error))?;
    Ok(TrustRoot {
        version: 1,
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: END
            .parse()
            .map_err(|error| unusable("an instant cannot be read", &error))?,
        persons,
        roles: RootRoles {
            root: role("root"),
            environments: BTreeMap::from([(environment, roles)]),
        },
    })
}

fn plan_of(id: &str, plan: &PlanScript) -> (Value, Value) {
    let schedule = json!({
        "schedule_id": "every", "every_s": plan.every, "jitter_s": 0,
        "start_window_s": plan.window, "completion_window_s": plan.window,
        "tolerated_misses": 1, "catch_up": "latest"
    });
    let copies = plan.locations.len();
    let redundancy = json!({
        "redundancy_id": "all", "copies": copies, "immutable_copies": 0, "commit": plan.commit,
        "copy_within_s": plan.window,
        "distinct": {"provider": 1, "region": 1, "zone": 1, "account": 1, "credential": 1, "engine": 1}
    });
    let dataset_id = dataset_of(id);
    let dataset = json!({
        "dataset_id": dataset_id, "name": dataset_id, "plane": "product_cloud", "site": "here",
        "store_type": "files", "criticality": tier_of(plan), "data_classification": "internal",
        "residency": ["here"], "rpo_s": plan.every.get() * 3, "rto_s": 3_600, "eligibility": "backed_up",
        "sizing": {"size_bytes": 1_000, "change_per_day_bytes": 10}, "connector": "files"
    });
    let policy = json!({
        "plan_id": id, "name": id, "dataset_ids": [dataset_id], "plane": "product_cloud",
        "backup_frequency": schedule, "retention": retention(), "storage_profiles": [],
        "locations": plan.locations, "redundancy_profile": redundancy, "encryption_key_ref": KID,
        "verification": {
            "checksum_required": plan.checked, "periodic_restore_test_required": false
        },
        "compression": 3, "parallel_jobs": 1, "retries": plan.retries
    });
    (policy, dataset)
}

/// A silence that lasts longer puts the clock in doubt. Scripts of chance let the daemon be away, and set its clock, for less.
const STALENESS_S: u64 = 43_200;

fn dataset_of(plan: &str) -> String {
    format!("ds_{plan}")
}

/// Plans with another cadence of checks are of another tier.
fn tier_of(plan: &PlanScript) -> String {
    format!("every_{}", plan.read_every.get())
}

/// What retention keeps whatever its age.
pub(super) const MIN_VERSIONS: usize = 2;

fn retention() -> Value {
    json!({
        "retention_id": "some", "min_versions": MIN_VERSIONS, "min_duration_s": 0,
        "keep": {"last": 4, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0},
        "immutable_for_s": 0
    })
}

fn model(script: &Script) -> Result<Model, Failure> {
    let domains = json!({
        "provider": "p", "region": "r", "zone": "z", "account": "a", "credential": "c"
    });
    let (mut plans, mut datasets, mut tiers) = (Map::new(), Map::new(), Map::new());
    for (id, plan) in &script.all_plans() {
        let (policy, dataset) = plan_of(id.as_str(), plan);
        plans.insert(id.to_string(), policy);
        datasets.insert(dataset_of(id.as_str()), dataset);
        let tier_id = tier_of(plan);
        let tier = json!({
            "tier_id": tier_id, "rank": 1, "survives": [], "staleness_limit_s": STALENESS_S.max(plan.read_every.get()),
            "verification": {"every_s": plan.read_every, "portion_percent": 100}
        });
        tiers.insert(tier_id, tier);
    }
    let mut locations = Map::new();
    for id in script.locations() {
        let location = json!({
            "location_id": id, "site": "here", "fault_domains": domains, "residency": "here",
            "class": "hot", "immutable": false, "capacity_bytes": 1_000_000_000_u64,
            "bandwidth_bytes_per_second": 100_000_000_u64
        });
        locations.insert(id.to_string(), location);
    }
    let model = json!({
        "format": 1,
        "environment": {
            "environment_id": ENVIRONMENT, "production": false, "planes": ["product_cloud"],
            "bundle_validity_s": 2_592_000,
            "delete_budget": {"points": 500, "within_s": 86_400}, "delete_grace_s": 82_800
        },
        "snapshot": {
            "snapshot_id": "s1", "module_id": "bdr", "schema_version": "1",
            "policy_version_ids": ["v1"], "effective_from": "2026-01-01T00:00:00Z"
        },
        "settings": {
            "objectives": {}, "schedules": {}, "retention": {}, "redundancy": {}, "storage": {},
            "sites": {"here": {
                "site_id": "here", "fault_domains": domains, "host": "h", "residency": "here",
                "reconciler_id": RECONCILER
            }},
            "locations": locations,
            "keys": {KID: {
                "kid": KID, "custody": "key:simulation", "not_after": END,
                "rotation_period_s": 31_536_000
            }},
            "connectors": {"files": {
                "connector_id": "files", "capabilities": ["backup", "incremental"],
                "consistency": "file", "source_lag_s": 0, "engine": "rustic"
            }},
            "tiers": tiers, "approvals": {}, "roles": {}
        },
        "datasets": datasets, "plans": plans, "scenarios": {}
    });
    serde_json::from_value(model).map_err(|error| unusable("the script makes no policy", &error))
}

impl Policy {
    pub(super) fn of(script: &Script) -> Result<Self, Failure> {
        let bundle = canonical::to_bytes(&model(script)?)
            .map_err(|error| unusable("the policy cannot be written", &error))?;
        let envelope = root()?
            .seal(&[&key("root")])
            .map_err(|error| unusable("the trust root cannot be sealed", &error))?;
        Ok(Self {
            bundle,
            pin: Digest::of(&envelope.payload),
            root: envelope.to_json().into_bytes(),
            serial: 0,
            previous: None,
        })
    }

    /// Seals the policy as the next bundle.
    pub(super) fn publish(&mut self, now: Timestamp) -> Result<Published, Failure> {
        self.serial += 1;
        let failed = |error: &dyn std::fmt::Display| unusable("the policy cannot be sealed", error);
        let provenance = b"{\"values\":{}}".to_vec();
        let inputs = vec![Input {
            path: "script.yaml".into(),
            sha256: Digest::of(&self.bundle),
        }];
        let predicate = BundlePredicate {
            environment: ENVIRONMENT.parse().map_err(|error| failed(&error))?,
            audience: BTreeSet::from([RECONCILER.parse().map_err(|error| failed(&error))?]),
            lengths: Lengths {
                bundle: 0,
                provenance: 0,
            },
            serial: Serial::new(self.serial).ok_or_else(|| failed(&"too many serials"))?,
            issued_at: now,
            expires_at: now.checked_add(VALIDITY).map_err(|error| failed(&error))?,
            previous: self.previous,
            trust_root_version: 1,
            policy_snapshot_hash: policy_snapshot_hash(&inputs),
            inputs,
            rules_digest: Digest::of(b"rules"),
            policy_version_ids: vec!["v1".into()],
            source_commit: None,
            compiler_version: "0.1.0".into(),
            tzdb_version: "2026a".into(),
            verdict: Verdict {
                rules: vec![],
                findings: FindingCounts {
                    errors: 0,
                    warnings: 0,
                    waived: 0,
                },
                waivers: vec![],
            },
            properties: json!({}),
        };
        let statement = Statement::about_bundle(predicate, &self.bundle, &provenance);
        let payload = statement.to_payload().map_err(|error| failed(&error))?;
        self.previous = Some(Digest::of(&payload));
        let envelope = Envelope::sign(payload, &[&key("compiler"), &key("owner")]);
        Ok(Published {
            commit: format!("simulated-{}", self.serial),
            roots: vec![self.root.clone()],
            envelope: envelope.to_json().into_bytes(),
            bundle: self.bundle.clone(),
            provenance,
        })
    }

    /// The serial of the newest bundle.
    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    /// The configuration that follows it, with its files in a folder.
    pub(super) fn configure(&self, script: &Script, folder: &Path) -> Result<Config, Failure> {
        let receipt_key = key(RECONCILER)
            .to_pem()
            .map_err(|error| unusable("a key cannot be written", &error))?;
        write_secret(&folder.join("receipt.key"), receipt_key.as_bytes())?;
        write_secret(
            &folder.join("backup.key"),
            b"a key of Seawall's simulation\n",
        )?;
        let mut locations = Map::new();
        for id in script.locations() {
            locations.insert(id.to_string(), json!({"path": folder.join(id.as_str())}));
        }
        let mut datasets = Map::new();
        for id in script.all_plans().keys() {
            let binding = json!({"files": {"path": folder.join("live").join(id.as_str())}});
            datasets.insert(dataset_of(id.as_str()), binding);
        }
        let config = json!({
            "reconciler_id": RECONCILER, "environment": ENVIRONMENT,
            "interval": script.interval.to_string(), "look_interval": script.look_interval.to_string(),
            "workers": script.workers,
            "git": {"url": folder.join("policy"), "branch": "main", "deadline": "PT30S"},
            "trust": {"root_sha256": self.pin}, "state": folder.join("state"),
            "locations": locations, "keys": {KID: {"file": folder.join("backup.key")}},
            "datasets": datasets, "receipt_key": folder.join("receipt.key")
        });
        Ok(config::parse(
            &config.to_string(),
            &folder.join("seawalld.yaml"),
        )?)
    }
}

fn write_secret(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| unusable("its folder cannot be written", &error))
}
