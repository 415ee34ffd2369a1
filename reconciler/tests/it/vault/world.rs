//! A scratch world for vault tests: some locations, a source, a vault, and restic beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use contract::id::LocationId;
use jiff::Timestamp;
use reconciler::worker::Access;
use reconciler::worker::meter::Meter;
use reconciler::worker::protocol::{BackupOrder, Limit, Order};
use reconciler::worker::supervisor::Helper;
use reconciler::world::cancel::Cancel;
use reconciler::world::vault::{
    BackupOutcome, BackupRequest, Expect, LocationState, Place, PointTags, RepositoryName,
    RestoreRequest, Source, Vault, VaultError,
};
use tempfile::TempDir;

use super::flaky::{Flaky, Fuse};

pub const KEY: &str = "correct horse battery staple";

/// Locations `a`, `b`, … with one repository, and a source folder `src`.
pub struct World {
    pub dir: TempDir,
    pub locations: Vec<LocationId>,
    pub vault: Vault,
    pub round: i64,
    elsewhere: BTreeMap<LocationId, Place>,
}

impl World {
    pub fn new(locations: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let locations: Vec<LocationId> = ["a", "b", "c", "d"][..locations]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        for location in &locations {
            fs::create_dir(dir.path().join(location.as_str())).unwrap();
        }
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("key"), format!("{KEY}\n")).unwrap();
        let vault = open(dir.path(), folders(dir.path(), &locations));
        Self {
            dir,
            locations,
            vault,
            round: 0,
            elsewhere: BTreeMap::new(),
        }
    }

    /// A location that is no folder of this world.
    pub fn elsewhere(&mut self, location: &str, place: Place) {
        self.elsewhere.insert(location.parse().unwrap(), place);
        self.reopen();
    }

    /// Where each location is.
    pub fn places(&self) -> BTreeMap<LocationId, Place> {
        let mut places = folders(self.dir.path(), &self.locations);
        places.extend(self.elsewhere.clone());
        places
    }

    /// A vault as a new process would open it.
    pub fn reopen(&mut self) {
        self.vault = open(self.dir.path(), self.places());
    }

    /// Puts storage that fails after some writes in front of a location.
    pub fn make_flaky(&mut self, location: &str, fuse: &Fuse, dead: bool) {
        let inner = Place::folder(self.path(location)).store(&name().to_string());
        let flaky = Flaky {
            inner,
            fuse: fuse.clone(),
            dead,
        };
        self.vault
            .set_store(location.parse().unwrap(), Arc::new(flaky));
    }

    /// Files of one kind at a location.
    pub fn objects(&self, location: &str, kind: &str) -> BTreeSet<PathBuf> {
        walkdir::WalkDir::new(self.repository(location).join(kind))
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect()
    }

    /// Bytes of the whole repository at a location.
    pub fn size(&self, location: &str) -> u64 {
        self.objects(location, "")
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum()
    }

    pub fn state(&self, location: &str) -> LocationState {
        let id: LocationId = location.parse().unwrap();
        let seen = self.vault.observe().locations;
        seen.into_iter()
            .find(|seen| seen.location == id)
            .unwrap()
            .state
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Folder of the repository at a location.
    pub fn repository(&self, location: &str) -> PathBuf {
        self.path(location).join("dev/bp_test/backup-test-01")
    }

    /// Writes a source file of pseudo-random bytes, which neither compress nor repeat.
    pub fn file(&self, below: &str, seed: u64, bytes: usize) {
        let path = self.path("src").join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(seed, bytes)).unwrap();
    }

    pub fn sources(&self) -> Vec<Source> {
        vec![Source {
            dataset: "ds_files".parse().unwrap(),
            folder: self.path("src"),
            identity: None,
            exclude: vec![],
            fresh: false,
            run_as: None,
        }]
    }

    pub fn request(&mut self, commit: usize) -> BackupRequest {
        self.round += 1;
        let second = 1_792_000_000 + self.round * 3600;
        let slot = Timestamp::from_second(second).unwrap();
        BackupRequest {
            sources: self.sources(),
            consistency_point: slot,
            tags: PointTags {
                backup_id: format!("bp_test.{second}"),
                plan_id: "bp_test".to_owned(),
                slot: Some(slot.to_string()),
                bundle: Some("b".repeat(64)),
                before_restore: false,
            },
            commit,
            compression: 3,
            repository: Expect::Maybe,
        }
    }

    /// What a worker is told that takes a recovery point of `src`.
    pub fn order(&mut self, commit: usize) -> Order {
        let request = self.request(commit);
        fs::create_dir_all(self.path("spool")).unwrap();
        let binding = serde_json::json!({ "files": { "path": self.path("src") } });
        Order::Backup(Box::new(BackupOrder {
            access: Access {
                environment: name().environment,
                plan: name().plan,
                kid: name().kid,
                places: self.places(),
                aside: BTreeMap::new(),
                known: BTreeSet::new(),
                damaged: BTreeMap::new(),
                key: KEY.as_bytes().to_vec().into(),
                derived: Vec::new(),
            },
            bindings: [(
                "ds_files".parse().unwrap(),
                serde_json::from_value(binding).unwrap(),
            )]
            .into(),
            previous: BTreeMap::new(),
            spool: self.path("spool"),
            limit: Limit::Within(Duration::from_mins(10)),
            full: false,
            compression: request.compression,
            jobs: 1,
            commit,
            existing: false,
            tags: request.tags,
        }))
    }

    /// Brings `ds_files` back to `out`, from any location.
    pub fn restore_request(&self, snapshot_id: &str) -> RestoreRequest {
        RestoreRequest {
            snapshot_id: snapshot_id.to_owned(),
            dataset: "ds_files".parse().unwrap(),
            target: self.path("out"),
            goes_to: None,
            location: None,
        }
    }

    pub fn backup(&mut self, commit: usize) -> Result<BackupOutcome, VaultError> {
        let request = self.request(commit);
        self.vault.backup(&request, |_| Ok(()))
    }

    pub fn restic(&self, location: &str, arguments: &[&str]) -> Output {
        Command::new("restic")
            .arg("--no-cache")
            .arg("--repo")
            .arg(self.repository(location))
            .arg("--password-file")
            .arg(self.path("key"))
            .args(arguments)
            .env("HOME", self.path("home"))
            .output()
            .unwrap()
    }

    /// Runs restic, wants success, and gives its standard output.
    pub fn restic_ok(&self, location: &str, arguments: &[&str]) -> String {
        let output = self.restic(location, arguments);
        assert!(
            output.status.success(),
            "restic {arguments:?} at {location}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The repositories of all locations are the same tree of the same bytes.
    pub fn assert_identical(&self) {
        let first = self.repository("a");
        for location in &self.locations[1..] {
            assert_same(&first, &self.repository(location.as_str()));
        }
    }
}

fn folders(dir: &Path, locations: &[LocationId]) -> BTreeMap<LocationId, Place> {
    locations
        .iter()
        .map(|location| (location.clone(), Place::folder(dir.join(location.as_str()))))
        .collect()
}

fn open(dir: &Path, places: BTreeMap<LocationId, Place>) -> Vault {
    let key = fs::read(dir.join("key")).unwrap();
    Vault::new(&name(), places, &key).unwrap()
}

pub fn name() -> RepositoryName {
    RepositoryName {
        environment: "dev".parse().unwrap(),
        plan: "bp_test".parse().unwrap(),
        kid: "backup-test-01".parse().unwrap(),
    }
}

/// The real program as its own worker.
pub fn helper() -> Helper {
    Helper {
        program: env!("CARGO_BIN_EXE_seawalld").into(),
        arguments: vec![reconciler::worker::SUBCOMMAND.into()],
        limit: Limit::Within(Duration::from_mins(2)),
        cancel: Cancel::new(),
        meter: Meter::default(),
    }
}

pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// `diff -r` finds nothing.
pub fn assert_same(one: &Path, other: &Path) {
    let output = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(one)
        .arg(other)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
