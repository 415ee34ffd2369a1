//! Owns one run: lock, observe, read the source once, write everywhere, judge, and only then let the snapshot file pass.
//! Never removes a recovery point. The interesting function is [`gate`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use contract::id::LocationId;
use jiff::{Timestamp, tz::TimeZone};
use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, FileType, Id, ParentOptions, WriteBackend};
use serde::{Deserialize, Serialize};

use super::Vault;
use super::error::VaultError;
use super::lock::{Beside, Identity, Locks, Refused};
use super::mirror::{Ledger, Mirror};
use super::observe::LocationState;
use super::repository::{self, engine};
use super::source::{Folders, Source, SourceCount};
use super::store::{Kind, Store};
use crate::progress::Stage;

/// What a run shall do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// One folder for each dataset; all go into one snapshot.
    pub sources: Vec<Source>,
    /// The earliest consistency point of the sources; it becomes the snapshot's time.
    pub consistency_point: Timestamp,
    /// Written as tags, from which a catalog can be rebuilt.
    pub tags: PointTags,
    /// Locations that must hold the point before it counts.
    pub commit: usize,
    /// Zstandard level of what this run adds; 0 stores it as it is.
    pub compression: u32,
    /// Whether the repository may be made when no location has it.
    pub repository: Expect,
}

/// What the caller knows of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// No recovery point is known, so a missing repository is made.
    Maybe,
    /// Recovery points are known: a repository that no location has is lost, and nothing takes its place.
    Existing,
}

/// The tags of a recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointTags {
    /// `<plan_id>.<slot>` or `<plan_id>.op-<instant>`.
    pub backup_id: String,
    /// The plan.
    pub plan_id: String,
    /// The slot's nominal instant, `2026-10-25T00:30:00Z`; none for an operator's backup.
    pub slot: Option<String>,
    /// Identity of the bundle that demanded the run.
    pub bundle: Option<String>,
    /// Whether it shows what a restore was about to replace, for whoever reads the repository without Seawall.
    pub before_restore: bool,
}

/// The tag of a point that shows what a restore was about to replace.
const BEFORE_RESTORE: &str = "before_restore";

impl PointTags {
    /// As they are written; the first says in which version of this scheme.
    pub(super) fn to_tags(&self) -> Result<Vec<String>, VaultError> {
        let mut tags = vec![
            "seawall.v=1".to_owned(),
            format!("backup_id={}", self.backup_id),
            format!("plan_id={}", self.plan_id),
        ];
        tags.extend(self.slot.iter().map(|slot| format!("slot={slot}")));
        tags.extend(self.bundle.iter().map(|bundle| format!("bundle={bundle}")));
        if self.before_restore {
            tags.push(BEFORE_RESTORE.to_owned());
        }
        match tags.iter().find(|tag| tag.contains([',', '\n'])) {
            Some(tag) => Err(VaultError::Request {
                why: format!("the tag `{tag}` holds a comma or a line break"),
            }),
            None => Ok(tags),
        }
    }

    /// Reads them back; none when the snapshot is not ours or of another scheme.
    pub(super) fn from_tags<'tag>(tags: impl Iterator<Item = &'tag str>) -> Option<Self> {
        let tags: BTreeSet<&str> = tags.collect();
        let pairs: BTreeMap<&str, &str> =
            tags.iter().filter_map(|tag| tag.split_once('=')).collect();
        let get = |name: &str| pairs.get(name).map(|value| (*value).to_owned());
        (pairs.get("seawall.v") == Some(&"1")).then_some(())?;
        Some(Self {
            backup_id: get("backup_id")?,
            plan_id: get("plan_id")?,
            slot: get("slot"),
            bundle: get("bundle"),
            before_restore: tags.contains(BEFORE_RESTORE),
        })
    }
}

/// What a run that left a recovery point did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupOutcome {
    /// The snapshot's id, 64 hex digits.
    pub snapshot_id: String,
    /// The snapshot that unchanged files were taken from.
    pub parent: Option<String>,
    /// The snapshot's time.
    pub consistency_point: Timestamp,
    /// Files, links and special files in the snapshot.
    pub files: u64,
    /// Folders in the snapshot.
    pub folders: u64,
    /// Bytes of all files in the snapshot.
    pub bytes: u64,
    /// Bytes that each location newly holds, compressed and encrypted.
    pub added_bytes: u64,
    /// What was seen of the source.
    pub source: SourceCount,
    /// Packs that the index promised and no location had; their data was stored again where the source still has it.
    pub missing_packs: u64,
    /// Packs that this run wrote.
    pub packs: BTreeSet<String>,
    /// Every location of the plan.
    pub locations: Vec<LocationOutcome>,
    /// The locations that hold the point.
    pub committed: Vec<LocationId>,
    /// How long the run took.
    pub milliseconds: u64,
}

/// What happened at one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationOutcome {
    /// The location.
    pub location: LocationId,
    /// How it stands now.
    pub state: LocationState,
    /// What was written and what failed.
    pub ledger: Ledger,
}

/// One run on its way.
struct Run<'run> {
    vault: &'run Vault,
    request: &'run BackupRequest,
    mirror: Arc<Mirror>,
    /// Locations that take no part, and why.
    outside: BTreeMap<LocationId, LocationState>,
}

/// See [`Vault::backup`].
pub(super) fn run(
    vault: &Vault,
    request: &BackupRequest,
    verdict: &mut dyn FnMut(&SourceCount) -> Result<(), String>,
) -> Result<BackupOutcome, VaultError> {
    let started = Instant::now();
    let tags = request.tags.to_tags()?;
    let folders = Folders::open(&request.sources, &vault.gauge)?;
    let here = Identity::of_this_process();
    prepare(vault, request)?;
    vault.gauge.step();
    let (_locks, refused) = lock_all(vault, &here)?;
    vault.gauge.step();
    clear_unfinished(vault);
    let (run, snapshot_template) = enlist(vault, request, refused, &here, tags)?;
    vault.gauge.begin(Stage::Storing, None);
    let result = archive(&run, &folders, snapshot_template, verdict);
    let ledgers = run.mirror.finish();
    let (snapshot, committed, missing_packs) = result?;
    if committed.len() < request.commit {
        return Err(VaultError::CommitIncomplete {
            snapshot: snapshot.id.to_hex().to_string(),
            committed,
            wanted: request.commit,
        });
    }
    // The engine always fills the summary in; an absent one reads as zeros.
    let summary = snapshot.summary.clone().unwrap_or_default();
    Ok(BackupOutcome {
        snapshot_id: snapshot.id.to_hex().to_string(),
        parent: snapshot.parent.map(|id| id.to_hex().to_string()),
        consistency_point: request.consistency_point,
        files: summary.total_files_processed,
        folders: summary.total_dirs_processed,
        bytes: summary.total_bytes_processed,
        added_bytes: summary.data_added_packed,
        source: folders.tally().count(),
        missing_packs,
        packs: run.mirror.packs(),
        locations: outcomes(run.outside, ledgers),
        committed,
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Makes the repository where none exists yet.
fn prepare(vault: &Vault, request: &BackupRequest) -> Result<(), VaultError> {
    let look = vault.compare();
    let blank: Vec<_> = look
        .iter()
        .filter(|(location, _)| vault.may_initialise(location, &look))
        .map(|(location, _)| location.clone())
        .collect();
    let exists = look.values().any(|seen| {
        matches!(
            seen.state,
            LocationState::InSync | LocationState::Lagging { .. }
        )
    });
    if exists && blank.is_empty() {
        return Ok(());
    }
    // Locations that cannot be read say nothing about what they hold.
    if request.repository == Expect::Existing && !blank.is_empty() {
        return Err(VaultError::RepositoryLost {
            repository: vault.repository.clone(),
        });
    }
    if blank.len() < request.commit.max(1) {
        let others = look
            .into_iter()
            .filter(|(location, _)| !blank.contains(location))
            .map(|(location, seen)| (location, seen.state))
            .collect();
        return Err(VaultError::QuorumNotMet {
            usable: blank.len(),
            wanted: request.commit.max(1),
            why: reasons(&others),
        });
    }
    vault.initialise(&blank, request.commit)
}

/// A run that was killed may have left content without a name; it would fill the location for ever.
fn clear_unfinished(vault: &Vault) {
    for (location, store) in vault.usable_stores() {
        match store.remove_unfinished() {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(event = "leftovers_removed", %location, count, "removed what killed writes had left");
            }
            Err(error) => {
                tracing::warn!(event = "leftovers_stay", %location, %error, "what killed writes left stays");
            }
        }
    }
}

/// Locations that are out of the run before it begins, and who holds those that are locked.
struct Outside {
    states: BTreeMap<LocationId, LocationState>,
    held: Vec<(LocationId, String)>,
}

/// Locks every location that can be locked. One that another program holds is left out like one that is full.
fn lock_all(vault: &Vault, here: &Identity) -> Result<(Locks, Outside), VaultError> {
    let sealer = vault.sealer()?;
    let (locks, refused) = Locks::take(&vault.usable_stores(), &sealer, here, Beside::Others);
    let mut outside = Outside {
        states: vault.aside.clone(),
        held: Vec::new(),
    };
    for (location, why) in refused {
        let why = match why {
            Refused::Held(holder) => {
                let why = format!("it is locked by `{holder}`");
                tracing::warn!(event = "location_locked", %location, %holder, "location is locked; it is left out of this run");
                outside.held.push((location.clone(), holder));
                why
            }
            Refused::Store(error) => error.to_string(),
        };
        outside
            .states
            .insert(location, LocationState::Unknown { why });
    }
    Ok((locks, outside))
}

/// Chooses the locations that take part: those in sync, for the engine leaves out of the new packs what the index says is
/// there already. A location that misses objects would get a snapshot with holes.
fn enlist<'run>(
    vault: &'run Vault,
    request: &'run BackupRequest,
    refused: Outside,
    here: &Identity,
    tags: Vec<String>,
) -> Result<(Run<'run>, SnapshotFile), VaultError> {
    let mut outside = refused.states;
    let mut inside = Vec::new();
    for (location, seen) in vault.compare() {
        if outside.contains_key(&location) {
            continue;
        }
        if let (LocationState::InSync, Some(store)) = (&seen.state, vault.stores.get(&location)) {
            inside.push((location, Arc::clone(store)));
        } else {
            outside.insert(location, seen.state);
        }
    }
    if inside.len() < request.commit.max(1) {
        // Waiting for the holder may be all that is needed.
        if let Some((location, holder)) = refused.held.into_iter().next() {
            return Err(VaultError::Locked { location, holder });
        }
        return Err(VaultError::QuorumNotMet {
            usable: inside.len(),
            wanted: request.commit.max(1),
            why: reasons(&outside),
        });
    }
    let mut snapshot = SnapshotFile {
        time: request.consistency_point.to_zoned(TimeZone::UTC),
        program_version: concat!("seawall ", env!("CARGO_PKG_VERSION")).to_owned(),
        hostname: here.hostname.clone(),
        username: here.username.clone(),
        uid: here.uid,
        gid: here.gid,
        ..SnapshotFile::default()
    };
    for tag in tags {
        snapshot.tags.add(tag);
    }
    let run = Run {
        vault,
        request,
        mirror: Mirror::start(inside, request.commit, &vault.gauge),
        outside,
    };
    Ok((run, snapshot))
}

fn reasons(states: &BTreeMap<LocationId, LocationState>) -> String {
    states
        .iter()
        .map(|(location, state)| format!("`{location}` {}", describe(state)))
        .collect::<Vec<_>>()
        .join("; ")
}

pub(super) fn describe(state: &LocationState) -> String {
    match state {
        LocationState::InSync => "is in sync".to_owned(),
        LocationState::Lagging { missing, why, .. } => format!("lags by {missing} objects: {why}"),
        LocationState::CatchingUp => "is catching up".to_owned(),
        LocationState::Quarantined { why } => format!("is quarantined: {why}"),
        LocationState::Absent => "holds nothing yet".to_owned(),
        LocationState::Unknown { why } => format!("cannot be read: {why}"),
    }
}

/// The engine's part. Whatever it returns, the snapshot stays held until [`gate`].
fn archive(
    run: &Run<'_>,
    folders: &Folders,
    snapshot: SnapshotFile,
    verdict: &mut dyn FnMut(&SourceCount) -> Result<(), String>,
) -> Result<(SnapshotFile, Vec<LocationId>, u64), VaultError> {
    let backend: Arc<dyn WriteBackend> = Arc::<Mirror>::clone(&run.mirror);
    show_config(run, &backend)?;
    let opened = repository::open(&backend, &run.vault.key()?)?;
    let (indexed, missing_packs) = repository::known_packs(&opened)?;
    // Only indexed packs are shown, see there.
    run.mirror.show_only(indexed);
    let ready = opened
        .to_indexed_ids_checked()
        .map_err(engine("reading the index"))?;
    let options = BackupOptions::default().no_scan(true).parent_opts(
        ParentOptions::default().force(run.request.sources.iter().any(|source| source.fresh)),
    );
    let paths: Vec<PathBuf> = folders.paths();
    let result = ready
        .archive(&options, folders, snapshot, &paths)
        .map_err(engine("storing the source"));
    let count = folders.tally().count();
    match result.and_then(|snapshot| {
        gate(run, &count, verdict).map(|committed| (snapshot, committed, missing_packs))
    }) {
        Ok(done) => Ok(done),
        Err(error) => {
            run.mirror.discard();
            Err(quorum_or(run, &count, error))
        }
    }
}

/// The engine takes the compression level from the repository's configuration, and policy may change it from run to run. The
/// configuration at the locations is never rewritten: the engine is shown one that says what policy says.
fn show_config(run: &Run<'_>, backend: &Arc<dyn WriteBackend>) -> Result<(), VaultError> {
    let reading = engine("reading the repository's configuration");
    let unreadable = || VaultError::Engine {
        doing: "reading the repository's configuration".to_owned(),
        why: "it does not open with the key".to_owned(),
    };
    let sealer = run.vault.sealer()?;
    let sealed = backend
        .read_full(FileType::Config, &Id::default())
        .map_err(reading)?;
    let mut config: serde_json::Value = sealer
        .open(&sealed)
        .and_then(|content| serde_json::from_slice(&content).ok())
        .ok_or_else(unreadable)?;
    if let Some(fields) = config.as_object_mut() {
        fields.insert("compression".to_owned(), run.request.compression.into());
    }
    let shown = sealer
        .seal(config.to_string().as_bytes())
        .ok_or_else(unreadable)?;
    run.mirror.show_config(shown.into());
    Ok(())
}

/// Lets the snapshot pass, or not. In this order: every entry of the source was read; the caller's own verdict; everything
/// before the snapshot is durable at `commit` locations.
fn gate(
    run: &Run<'_>,
    count: &SourceCount,
    verdict: &mut dyn FnMut(&SourceCount) -> Result<(), String>,
) -> Result<Vec<LocationId>, VaultError> {
    if count.problems > 0 {
        return Err(incomplete(count));
    }
    verdict(count).map_err(|why| VaultError::SourceRefused { why })?;
    run.mirror.release().map_err(|error| VaultError::Engine {
        doing: "waiting for the locations".to_owned(),
        why: error.to_string(),
    })
}

fn incomplete(count: &SourceCount) -> VaultError {
    VaultError::SourceIncomplete {
        count: count.problems,
        first: count.examples.first().cloned().unwrap_or_default(),
    }
}

/// The engine tells a lost quorum and an unreadable source in its own words, or hides them behind a broken channel; the
/// ledgers and the counters know better.
fn quorum_or(run: &Run<'_>, count: &SourceCount, error: VaultError) -> VaultError {
    let usable = run.mirror.usable();
    if usable < run.request.commit.max(1) {
        let mut why: Vec<String> = run
            .mirror
            .faults()
            .into_iter()
            .map(|(location, why)| format!("`{location}` failed: {why}"))
            .collect();
        if !run.outside.is_empty() {
            why.push(reasons(&run.outside));
        }
        return VaultError::QuorumNotMet {
            usable,
            wanted: run.request.commit.max(1),
            why: why.join("; "),
        };
    }
    if count.problems > 0 {
        return incomplete(count);
    }
    error
}

fn outcomes(
    outside: BTreeMap<LocationId, LocationState>,
    ledgers: Vec<(LocationId, Ledger)>,
) -> Vec<LocationOutcome> {
    let mut all: Vec<LocationOutcome> = outside
        .into_iter()
        .map(|(location, state)| LocationOutcome {
            location,
            state,
            ledger: Ledger::default(),
        })
        .chain(ledgers.into_iter().map(|(location, ledger)| {
            let state = match &ledger.failed {
                None => LocationState::InSync,
                Some(why) => LocationState::Lagging {
                    missing: 0,
                    bytes: 0,
                    why: why.clone(),
                },
            };
            LocationOutcome {
                location,
                state,
                ledger,
            }
        }))
        .collect();
    all.sort_by(|a, b| a.location.cmp(&b.location));
    all
}

/// Used by the first initialisation: a location without any lasting object, or with key files only.
pub(super) fn only_keys(store: &dyn Store) -> bool {
    [Kind::Config, Kind::Pack, Kind::Index, Kind::Snapshot]
        .into_iter()
        .all(|kind| store.list(kind).is_ok_and(|found| found.is_empty()))
}
