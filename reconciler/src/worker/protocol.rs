//! Owns what a daemon and its worker say to each other: one order, a line on standard input; then lines on standard output, of
//! which the last is the answer. The daemon keeps standard input open: its end is the daemon's death, and the worker's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::id::{DatasetId, LocationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Access;
use crate::domain::{InPlace, Manifest, Observation, SourceReport};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::world::connector::{Binding, Mode, RestoreSummary, SourceView};
use crate::world::vault::{
    BackupOutcome, Derived, Done, LocationState, Order as Job, PointTags, PruneRequest, Pruned,
    VaultError,
};

/// An order is a few paths, keys, bindings, the names of one run's packs, and what an answer said of one run's files; none is
/// longer.
pub const ORDER_LIMIT: usize = 256 << 20;

/// What the worker is told. Holds keys, so it is never logged.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Take a recovery point.
    Backup(Box<BackupOrder>),
    /// Copy to lagging locations what they miss.
    CatchUp {
        /// The repository.
        access: Access,
    },
    /// Remove recovery points, and what nothing needs.
    Prune {
        /// The repository.
        access: Access,
        /// What goes.
        request: PruneRequest,
    },
    /// Read a recovery point from one location into the spool, or check the location.
    Location(Box<Job>),
    /// Put what was read where it is wanted.
    Apply(Box<ApplyOrder>),
    /// Look at a source, and at the rights there.
    Examine {
        /// The source.
        binding: Binding,
        /// A source that does not answer within this time is unknown.
        within: Duration,
    },
    /// See whether the key opens the repository.
    Open {
        /// The repository.
        access: Access,
    },
    /// Look how far a restore over live data got.
    Probe {
        /// The live data.
        binding: Binding,
        /// The restore.
        restore_id: String,
        /// Live data that cannot be inspected within this time are unknown.
        within: Duration,
    },
}

impl Order {
    /// The word in traces.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Backup(_) => "backup",
            Self::CatchUp { .. } => "catch_up",
            Self::Prune { .. } => "prune",
            Self::Location(_) => "location",
            Self::Apply(_) => "apply",
            Self::Examine { .. } => "examine",
            Self::Open { .. } => "open",
            Self::Probe { .. } => "probe",
        }
    }

    /// Whether it undoes by itself what it has half done when it is asked to end, and says so.
    pub const fn cleans_up(&self) -> bool {
        match self {
            Self::Apply(_) => true,
            Self::Backup(_)
            | Self::CatchUp { .. }
            | Self::Prune { .. }
            | Self::Location(_)
            | Self::Open { .. }
            | Self::Examine { .. }
            | Self::Probe { .. } => false,
        }
    }
}

/// When work is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// After this time.
    Within(Duration),
    /// After this time without any progress, however long it takes.
    Still(Duration),
}

/// A recovery point to take.
#[derive(Serialize, Deserialize)]
pub struct BackupOrder {
    /// The repository.
    pub access: Access,
    /// Where each dataset lives.
    pub bindings: BTreeMap<DatasetId, Binding>,
    /// What each connector said after the last committed run.
    pub previous: BTreeMap<DatasetId, Value>,
    /// A folder of this run alone; made when missing, removed by the parent.
    pub spool: PathBuf,
    /// When the daemon ends it: connectors end by themselves before that, and say why.
    pub limit: Limit,
    /// Read everything again.
    pub full: bool,
    /// Zstandard level.
    pub compression: u32,
    /// Jobs that a dump may run side by side.
    pub jobs: u32,
    /// Locations that must hold the point.
    pub commit: usize,
    /// Whether recovery points are known, so that a missing repository is lost and not new.
    pub existing: bool,
    /// Tags of the snapshot.
    pub tags: PointTags,
}

/// Restored content to put in place.
#[derive(Serialize, Deserialize)]
pub struct ApplyOrder {
    /// What the live data are.
    pub binding: Binding,
    /// The content, read and checked.
    pub folder: PathBuf,
    /// What the backup said of it.
    pub manifest: Option<Manifest>,
    /// Where it goes.
    pub mode: Mode,
    /// Jobs that may load it side by side.
    pub jobs: u32,
    /// When it is ended.
    pub within: Duration,
}

/// How a source looks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Examined {
    /// Its live data.
    pub seen: SourceView,
    /// The rights that a backup and a restore need, or what their absence will be.
    pub rights: Vec<Result<String, Failure>>,
}

/// What a backup left.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackupReport {
    /// What the vault did.
    pub outcome: BackupOutcome,
    /// What the connectors said.
    pub sources: SourceReport,
}

/// The file in a run's spool that keeps what the connectors reported.
pub const REPORT: &str = "judged.json";

fn report_in(spool: &Path) -> PathBuf {
    spool.join(REPORT)
}

/// Keeps it before the snapshot passes the gate.
pub(super) fn keep_report(report: &SourceReport, spool: &Path) -> std::io::Result<()> {
    let mut file = File::create(report_in(spool))?;
    file.write_all(&serde_json::to_vec(report)?)?;
    file.sync_all()
}

/// What a killed run left in its spool. Without it the point is still good, but the next run reads more than it would have to,
/// and a restore holds the content against the repository's checksums alone.
pub fn report_left_in(spool: &Path) -> SourceReport {
    std::fs::read(report_in(spool))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// What catching up did.
#[derive(Debug, Serialize, Deserialize)]
pub struct CatchUpReport {
    /// How each location that lagged stands now.
    pub after: BTreeMap<LocationId, LocationState>,
    /// Objects and bytes copied.
    pub copied: (u64, u64),
    /// Paths of objects that were damaged before, by location.
    pub repaired: BTreeMap<LocationId, BTreeSet<String>>,
}

/// One line of the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// How far it is.
    Progress(Progress),
    /// Keys that it derived, so that the next worker of the repository need not.
    Derived(Vec<Derived>),
    /// The end of its work, and its last word.
    Answer(Answer),
}

/// What the work came to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A recovery point was made.
    Backup(Box<BackupReport>),
    /// Locations were brought forward.
    CatchUp(CatchUpReport),
    /// What nothing needs was removed.
    Pruned(Pruned),
    /// A location was restored from, or checked.
    Location(Box<Done>),
    /// A location could not be restored from, or checked.
    LocationFailed(Box<VaultError>),
    /// Data were put in place.
    Applied(Box<RestoreSummary>),
    /// A source was looked at.
    Examined(Box<Examined>),
    /// The key opens the repository at some location, or no location has the repository yet.
    Opened {
        /// Whether there is one.
        exists: bool,
    },
    /// A restore was looked for.
    Probed(Observation<InPlace>),
    /// It failed.
    Failed {
        /// `SW1409` …
        code: String,
        /// One line.
        message: String,
        /// What to do.
        help: String,
    },
}
