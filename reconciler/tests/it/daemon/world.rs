//! A scratch world: live data, locations, keys, a trust root, a policy repository and a configuration, all in one folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contract::digest::Digest;
use contract::model::Model;
use contract::seal::{
    BundlePredicate, Envelope, EnvironmentRoles, FindingCounts, Input, Lengths, OwnerRole, Person,
    PrivateKey, RoleKeys, RootRoles, Serial, Statement, TrustRoot, Verdict, policy_snapshot_hash,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// One plan `bp_files` of one dataset `ds_files`, daily, at two locations of which one must commit.
pub fn model() -> Value {
    let retention = json!({
        "retention_id": "short", "min_versions": 2, "min_duration_s": 0,
        "keep": {"last": 2, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0},
        "immutable_for_s": 0
    });
    let schedule = json!({
        "schedule_id": "daily", "every_s": 86_400, "jitter_s": 0, "start_window_s": 3_600,
        "completion_window_s": 7_200, "tolerated_misses": 1, "catch_up": "latest"
    });
    let redundancy = json!({
        "redundancy_id": "two", "copies": 2, "immutable_copies": 0, "commit": 1, "copy_within_s": 3_600,
        "distinct": {"provider": 1, "region": 1, "zone": 1, "account": 1, "credential": 1, "engine": 1}
    });
    let domains = json!({
        "provider": "p", "region": "r", "zone": "z", "account": "a", "credential": "c"
    });
    let location = |id: &str| {
        json!({
            "location_id": id, "site": "here", "fault_domains": domains, "residency": "eu",
            "class": "hot", "immutable": false, "capacity_bytes": 1_000_000_000_u64,
            "bandwidth_bytes_per_second": 100_000_000_u64
        })
    };
    json!({
        "format": 1,
        "environment": {
            "environment_id": "dev", "production": false, "planes": ["product_cloud"],
            "bundle_validity_s": 2_592_000
        },
        "snapshot": {
            "snapshot_id": "s1", "module_id": "bdr", "schema_version": "1",
            "policy_version_ids": ["v1"], "effective_from": "2026-01-01T00:00:00Z"
        },
        "settings": {
            "objectives": {}, "schedules": {"daily": schedule}, "retention": {"short": retention},
            "redundancy": {"two": redundancy}, "storage": {},
            "sites": {"here": {
                "site_id": "here", "fault_domains": domains, "host": "h", "residency": "eu",
                "reconciler_id": "rec"
            }},
            "locations": {"loc_a": location("loc_a"), "loc_b": location("loc_b")},
            "keys": {"k1": {
                "kid": "k1", "custody": "key:k1", "not_after": "2099-01-01T00:00:00Z",
                "rotation_period_s": 31_536_000
            }},
            "connectors": {"files": {
                "connector_id": "files", "capabilities": ["backup", "incremental"],
                "consistency": "file", "source_lag_s": 0, "engine": "rustic"
            }},
            "tiers": {"tier1": {
                "tier_id": "tier1", "rank": 1, "survives": [], "staleness_limit_s": 604_800,
                "verification": {"every_s": 604_800, "portion_percent": 100}
            }},
            "approvals": {"in_place": {
                "approval_id": "in_place", "action": "restore_in_place", "environments": ["production"],
                "tiers": ["tier1"], "approvals": 1, "roles": ["operator"], "request_expiry_s": 3_600,
                "execution_expiry_s": 3_600
            }},
            "roles": {}
        },
        "datasets": {"ds_files": {
            "dataset_id": "ds_files", "name": "files", "plane": "product_cloud", "site": "here",
            "store_type": "files", "criticality": "tier1", "data_classification": "internal",
            "residency": ["eu"], "rpo_s": 172_800, "rto_s": 3_600, "eligibility": "backed_up",
            "sizing": {"size_bytes": 1_000, "change_per_day_bytes": 10}, "connector": "files"
        }},
        "plans": {"bp_files": {
            "plan_id": "bp_files", "name": "files", "dataset_ids": ["ds_files"],
            "plane": "product_cloud", "backup_frequency": schedule, "retention": retention,
            "storage_profiles": [], "locations": ["loc_a", "loc_b"], "redundancy_profile": redundancy,
            "encryption_key_ref": "k1",
            "verification": {"checksum_required": true, "periodic_restore_test_required": false},
            "compression": 3, "parallel_jobs": 1
        }},
        "scenarios": {}
    })
}

/// The keys of the persons of the world, by name.
pub fn key(name: &str) -> PrivateKey {
    PrivateKey::from_seed(Digest::of(name.as_bytes()).as_bytes())
}

/// A tool that `scripts/setup` installs in the cache folder.
pub fn installed(tool: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("seawall").join(tool)
}

pub struct World {
    folder: tempfile::TempDir,
    pub model: Value,
    pub serial: u64,
    previous: Option<Digest>,
    before: Option<Digest>,
    pub signers: Vec<&'static str>,
    pub validity: SignedDuration,
    /// How long ago bundles were signed.
    pub age: SignedDuration,
}

impl World {
    /// A world with live data and a published policy.
    pub fn new() -> Self {
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            model: model(),
            serial: 0,
            previous: None,
            before: None,
            signers: vec!["ci", "olga"],
            validity: SignedDuration::from_hours(24),
            age: SignedDuration::ZERO,
        };
        for folder in ["live/deep", "loc_a", "loc_b", "policy/dev", "policy/trust"] {
            std::fs::create_dir_all(world.path(folder)).unwrap();
        }
        std::fs::write(world.path("live/one.txt"), "one\n").unwrap();
        std::fs::write(world.path("live/deep/two.bin"), vec![7_u8; 300_000]).unwrap();
        std::fs::write(world.path("k1.key"), "a backup key on one line\n").unwrap();
        std::fs::write(world.path("rec.key"), key("rec").to_pem().unwrap()).unwrap();
        for secret in ["k1.key", "rec.key"] {
            use std::os::unix::fs::PermissionsExt as _;
            let alone = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(world.path(secret), alone).unwrap();
        }
        world.git(&["init", "-q", "-b", "main"]);
        world.configure(&[]);
        world.publish();
        world
    }

    /// The same with `ds_files` of append-only files, and the one of them.
    pub fn with_log(lines: &str) -> (Self, PathBuf) {
        let mut world = Self::new();
        let file = world.path("audit/audit.jsonl");
        std::fs::create_dir_all(world.path("audit")).unwrap();
        std::fs::write(&file, lines).unwrap();
        world.model["datasets"]["ds_files"]["store_type"] = "jsonl".into();
        world.model["settings"]["connectors"]["files"]["capabilities"] = json!(["backup"]);
        let jsonl = format!("ds_files: {{ jsonl: {{ path: {} }} }}", file.display());
        let files = format!(
            "ds_files: {{ files: {{ path: {} }} }}",
            world.path("live").display()
        );
        world.configure(&[(&files, &jsonl)]);
        world.publish();
        (world, file)
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes the configuration, with texts replaced.
    pub fn configure(&self, replace: &[(&str, &str)]) {
        let root = root();
        let payload = root.seal(&[&key("ada")]).unwrap().payload;
        let mut text = format!(
            "reconciler_id: rec
environment: dev
interval: PT1S
git: {{ url: {policy}, branch: main, deadline: PT30S }}
trust: {{ root_sha256: {pin} }}
state: {state}
locations: {{ loc_a: {{ path: {a} }}, loc_b: {{ path: {b} }} }}
keys: {{ k1: {{ file: {k1} }} }}
datasets: {{ ds_files: {{ files: {{ path: {live} }} }} }}
receipt_key: {rec}
",
            policy = self.path("policy").display(),
            pin = Digest::of(&payload),
            state = self.path("state").display(),
            a = self.path("loc_a").display(),
            b = self.path("loc_b").display(),
            k1 = self.path("k1.key").display(),
            live = self.path("live").display(),
            rec = self.path("rec.key").display(),
        );
        for (from, to) in replace {
            assert!(text.contains(from), "{from} is not in {text}");
            text = text.replace(from, to);
        }
        std::fs::write(self.path("seawalld.yaml"), text).unwrap();
    }

    /// Signs the model as the next bundle and commits it.
    pub fn publish(&mut self) {
        self.serial += 1;
        let model: Model = serde_json::from_value(self.model.clone()).unwrap();
        let bundle = contract::canonical::to_bytes(&model).unwrap();
        let provenance = b"{\"values\":{}}".to_vec();
        let statement = Statement::about_bundle(self.predicate(), &bundle, &provenance);
        let payload = statement.to_payload().unwrap();
        self.before = self.previous.replace(Digest::of(&payload));
        let keys: Vec<PrivateKey> = self.signers.iter().map(|name| key(name)).collect();
        let envelope = Envelope::sign(payload, &keys.iter().collect::<Vec<_>>());
        self.put(
            "policy/trust/1.root.json",
            root().seal(&[&key("ada")]).unwrap().to_json().as_bytes(),
        );
        self.put("policy/dev/bundle.json", &bundle);
        self.put("policy/dev/provenance.json", &provenance);
        self.put("policy/dev/bundle.dsse.json", envelope.to_json().as_bytes());
        self.commit();
    }

    /// The next bundle follows the one before the last: that one was refused.
    pub fn forget_the_last(&mut self) {
        self.serial -= 1;
        self.previous = self.before;
    }

    pub fn put(&self, below: &str, bytes: &[u8]) {
        std::fs::write(self.path(below), bytes).unwrap();
    }

    pub fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "policy",
        ]);
    }

    /// What the next bundle says of itself.
    pub fn predicate(&self) -> BundlePredicate {
        let inputs = vec![Input {
            path: "plans/all.yaml".into(),
            sha256: Digest::of(self.model.to_string().as_bytes()),
        }];
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        BundlePredicate {
            environment: "dev".parse().unwrap(),
            audience: BTreeSet::from(["rec".parse().unwrap()]),
            lengths: Lengths {
                bundle: 0,
                provenance: 0,
            },
            serial: Serial::new(self.serial).unwrap(),
            issued_at: now.checked_sub(self.age).unwrap(),
            expires_at: now.checked_add(self.validity).unwrap(),
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
        }
    }

    pub fn git(&self, arguments: &[&str]) {
        let done = Command::new("git")
            .arg("-C")
            .arg(self.path("policy"))
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("seawalld"));
        command
            .arg("--config")
            .arg(self.path("seawalld.yaml"))
            .args(arguments)
            .env("NO_COLOR", "1");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must end with this status, and gives its standard output.
    pub fn expect(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}\n{out}\n{err}"
        );
        out
    }

    /// The same, with what was said on standard error.
    pub fn refused(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{err}");
        err
    }

    pub fn json(&self, status: i32, arguments: &[&str]) -> Value {
        let mut all = vec!["--format", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.expect(status, &all)).unwrap()
    }

    /// Exports the latest point of a dataset into a folder that is made anew, and gives the summary.
    pub fn export(&self, dataset: &str, target: &Path) -> Value {
        let _ = std::fs::remove_dir_all(target);
        self.json(0, &exporting(dataset, &["latest"], target))
    }

    /// Puts the latest point of a dataset over its live data, and gives the summary.
    pub fn restore_in_place(&self, dataset: &str) -> Value {
        self.json(0, &replacing(dataset, &["latest"]))
    }
}

/// The arguments that export a point of a dataset as files.
pub fn exporting<'a>(dataset: &'a str, point: &[&'a str], target: &'a Path) -> Vec<&'a str> {
    let mut all = vec!["restore", "--dataset", dataset, "--mode", "export-only"];
    all.extend(["--target", target.to_str().unwrap(), "--point"]);
    all.extend(point);
    all
}

/// The arguments that put a point of a dataset over its live data.
pub fn replacing<'a>(dataset: &'a str, point: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec![
        "restore",
        "--dataset",
        dataset,
        "--mode",
        "in-place",
        "--point",
    ];
    all.extend(point);
    all
}

/// One root: Ada holds it, `ci` compiles, Olga owns, `rec` reconciles with one key or another.
pub fn root() -> TrustRoot {
    let role = |name: &str| RoleKeys {
        keyids: BTreeSet::from([key(name).public().key_id()]),
        threshold: 1,
    };
    let persons = ["ada", "ci", "olga", "rec", "rec2"]
        .into_iter()
        .map(|name| {
            let public = key(name).public();
            let person = Person {
                // The key that replaces the reconciler's.
                person: if name == "rec2" { "rec" } else { name }.into(),
                public_key: public.to_pem().unwrap(),
            };
            (public.key_id(), person)
        })
        .collect();
    TrustRoot {
        version: 1,
        issued_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires_at: "2099-01-01T00:00:00Z".parse().unwrap(),
        persons,
        roles: RootRoles {
            root: role("ada"),
            environments: BTreeMap::from([(
                "dev".parse().unwrap(),
                EnvironmentRoles {
                    compiler: role("ci"),
                    owner: OwnerRole {
                        keyids: role("olga").keyids,
                        threshold: 0,
                        weakening_threshold: 1,
                    },
                    reconciler: RoleKeys {
                        keyids: ["rec", "rec2"]
                            .map(|name| key(name).public().key_id())
                            .into(),
                        threshold: 1,
                    },
                    approver: None,
                    break_glass: None,
                },
            )]),
        },
    }
}

/// Asserts that two folders are the same tree of the same bytes.
pub fn same(a: &Path, b: &Path) {
    let done = Command::new("diff")
        .arg("-r")
        .args([a, b])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

/// Asserts that two repositories hold the same objects. What a killed run leaves is no object: its lock, which the next
/// backup clears, and uploads that never got their name (`<name>#<n>`), with the folder made for them.
pub fn same_objects(a: &Path, b: &Path) {
    let (a, b) = (objects(a), objects(b));
    let names = |all: &BTreeMap<PathBuf, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    assert!(!a.is_empty() && a == b, "the same names hold other bytes");
}

fn objects(repository: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![repository.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() && name != "locks" {
                folders.push(path);
            } else if path.is_file() && !name.contains('#') {
                let below = path.strip_prefix(repository).unwrap().to_owned();
                found.insert(below, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The processes that a process started, and theirs.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            all.push(child);
            all.extend(descendants(child));
        }
    }
    all
}

/// An authority and a certificate by it: rustls takes no authority's own certificate for a server's.
pub fn certified(world: &World) {
    for (name, more) in [
        ("ca", &["-subj", "/CN=an authority of the tests"][..]),
        (
            "tls",
            &[
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ],
        ),
    ] {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(more)
            .arg("-keyout")
            .arg(world.path(&format!("{name}.key")))
            .arg("-out")
            .arg(world.path(&format!("{name}.pem")));
        if name == "tls" {
            command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
            command.arg("-CA").arg(world.path("ca.pem"));
            command.arg("-CAkey").arg(world.path("ca.key"));
        }
        let done = command.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}
