//! Owns the process in which recovery points are made: connector and vault run in a child that a deadline can kill, so that
//! a hung source or mount holds no other plan. Never records anything; the parent does. The interesting function is
//! [`take_backup`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use contract::code::{self, Code};
use contract::id::{DatasetId, LocationId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Access;
use crate::failure::Failure;
use crate::world::cancel::Cancel;
use crate::world::connector::{
    self, Binding, Bounds, Finished, Manifest, Prepared, SourceProfile, Verdict,
};
use crate::world::process::{self, Input, ProcessError, Stderr, guard, signals};
use crate::world::secret;
use crate::world::vault::{BackupOutcome, BackupRequest, Expect, LocationState, PointTags, Source};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__effect";

/// An order holds keys and bindings; none is longer.
const ORDER_LIMIT: usize = 64 << 20;

/// What the child is told, one line on its standard input. Holds the key, so it is never logged.
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
    /// Seconds until the parent kills.
    pub seconds: u64,
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

/// What a backup left.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackupReport {
    /// What the vault did.
    pub outcome: BackupOutcome,
    /// What the connectors said.
    pub judged: Judged,
}

/// What the connectors said of the sources that were read. It lies in the spool before the snapshot passes the gate, so that
/// a point whose process was killed is recorded as whole as any other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Judged {
    /// For the connectors' next run.
    pub states: BTreeMap<DatasetId, Option<Value>>,
    /// Checksums of what connectors made.
    pub manifests: BTreeMap<DatasetId, Manifest>,
    /// What each source was.
    #[serde(default)]
    pub profiles: BTreeMap<DatasetId, SourceProfile>,
    /// Datasets whose source a person must look at before a point of it is good, and why.
    #[serde(default)]
    pub doubts: BTreeMap<DatasetId, String>,
    /// What a reader of the receipt should know.
    pub notes: Vec<String>,
}

impl Judged {
    fn file(spool: &Path) -> PathBuf {
        spool.join("judged.json")
    }

    fn keep(&self, spool: &Path) -> std::io::Result<()> {
        let mut file = File::create(Self::file(spool))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()
    }

    /// What a killed run left in its spool. Without it the point is still good, but the next run reads more than it would
    /// have to, and a restore holds the content against the repository's checksums alone.
    pub fn left_in(spool: &Path) -> Self {
        std::fs::read(Self::file(spool))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }
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

/// The child's answer, one line on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A recovery point was made.
    Backup(Box<BackupReport>),
    /// Locations were brought forward.
    CatchUp(CatchUpReport),
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

/// How a child ended when it did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// It answered that it failed, and left nothing but what the code says.
    Failed(Failure),
    /// It was killed or died: what it left must be looked at.
    Lost(Failure),
    /// The daemon is asked to end.
    Stopped,
}

/// Runs an order in a child process of this program.
pub fn ask(order: &Order, deadline: Duration, stop: &Cancel) -> Result<Reply, NoAnswer> {
    let lost = |code: Code, message: String| {
        NoAnswer::Lost(Failure::new(
            code,
            message,
            "look at the log of this operation; the next round looks at what was left",
        ))
    };
    let line =
        secret::to_line(order).map_err(|error| lost(code::EFFECT_PANICKED, error.to_string()))?;
    let program =
        std::env::current_exe().map_err(|error| lost(code::EFFECT_PANICKED, error.to_string()))?;
    let mut command = guard::ours(&program);
    command.arg(SUBCOMMAND);
    let ended = process::run(
        &mut command,
        Input::Held(&line),
        Stderr::Pass,
        deadline,
        &|| stop.is_cancelled(),
    )
    .map_err(|error| match error {
        ProcessError::Stopped { .. } => NoAnswer::Stopped,
        ProcessError::Deadline { after, .. } => lost(
            code::DEADLINE_PASSED,
            format!("it was killed at its deadline, after {} s", after.as_secs()),
        ),
        ProcessError::Start { .. } | ProcessError::Wait { .. } => {
            lost(code::EFFECT_PANICKED, error.to_string())
        }
    })?;
    let reply = serde_json::from_slice::<Reply>(&ended.stdout).map_err(|_| {
        lost(
            code::EFFECT_PANICKED,
            format!(
                "the process of the effect ended without an answer: {}",
                ended.status
            ),
        )
    })?;
    match reply {
        Reply::Failed {
            code,
            message,
            help,
        } => {
            let code = Code::find(&code).unwrap_or(code::EFFECT_PANICKED);
            Err(NoAnswer::Failed(Failure::new(code, message, help)))
        }
        Reply::Backup(_) | Reply::CatchUp(_) => Ok(reply),
    }
}

/// The whole life of the child.
pub fn run_child() -> ExitCode {
    // Whoever asks an effect to end must find everything that it started ended too, its server's work among it.
    let asked = signals::when_asked_to_end(&signals::ASKING_AN_EFFECT, || {
        process::end_all();
        std::process::exit(1);
    });
    // Not the library's standard input, which keeps a copy of what it read.
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let (Ok(()), Ok(input)) = (asked, input) else {
        return ExitCode::from(2);
    };
    let mut input = File::from(input);
    let line = secret::read_line(&mut input, ORDER_LIMIT);
    let order = line
        .ok()
        .and_then(|line| secret::from_line::<Order>(&line).ok());
    let Some(order) = order else {
        // The line may hold a key, so nothing of it is shown.
        return ExitCode::from(2);
    };
    // The parent holds the pipe open for as long as it lives. An effect without its parent would be recorded by nobody, and a
    // dump without us would load its server for nothing.
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = input.read_to_end(&mut rest);
        process::end_all();
        std::process::exit(1);
    });
    let done = match order {
        Order::Backup(order) => take_backup(&order).map(|report| Reply::Backup(Box::new(report))),
        Order::CatchUp { access } => catch_up(&access).map(Reply::CatchUp),
    };
    let reply = done.unwrap_or_else(|failure| Reply::Failed {
        code: failure.code.to_string(),
        message: failure.message,
        help: failure.help,
    });
    // A whole line is an answer, even when a location that hangs keeps this process from ending.
    let spoken = serde_json::to_vec(&reply)
        .map_err(std::io::Error::other)
        .and_then(|mut bytes| {
            bytes.push(b'\n');
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())
        });
    match spoken {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

/// Connectors prepare, the vault reads everything into one snapshot, connectors judge, and only then it becomes visible.
fn take_backup(order: &BackupOrder) -> Result<BackupReport, Failure> {
    let bounds =
        Bounds::within(Duration::from_secs(order.seconds), Cancel::new()).with_jobs(order.jobs);
    let mut prepared: BTreeMap<DatasetId, Prepared> = BTreeMap::new();
    let mut profiles = BTreeMap::new();
    for (dataset, binding) in &order.bindings {
        tracing::info!(%dataset, step = "prepare", "connector prepares the source");
        let spool = order.spool.join(dataset.as_str());
        let previous = order.previous.get(dataset);
        let one = connector::prepare(binding, previous, &spool, &bounds)
            .map_err(|error| about(dataset, error.into()))?;
        profiles.insert(dataset.clone(), connector::profile(binding, &one, &bounds));
        prepared.insert(dataset.clone(), one);
    }
    let sources = prepared
        .iter()
        .map(|(dataset, one)| Source {
            dataset: dataset.clone(),
            folder: one.source.clone(),
            identity: one.identity,
            exclude: one.excludes.globs(),
            fresh: order.full || !one.stable,
            run_as: one.run_as.clone(),
        })
        .collect();
    let consistency_point = prepared
        .values()
        .map(|one| one.consistency_point)
        .min()
        .unwrap_or(Timestamp::MAX);
    let manifests = prepared
        .iter()
        .filter_map(|(dataset, one)| Some((dataset.clone(), one.manifest.clone()?)))
        .collect();
    let request = BackupRequest {
        sources,
        consistency_point,
        tags: order.tags.clone(),
        commit: order.commit,
        compression: order.compression,
        repository: if order.existing {
            Expect::Existing
        } else {
            Expect::Maybe
        },
    };
    let mut judged = Judged {
        manifests,
        profiles,
        ..Judged::default()
    };
    let mut refused: Option<Failure> = None;
    let vault = order.access.vault()?;
    tracing::info!(step = "archive", "vault reads the sources");
    let outcome = vault.backup(&request, |count| {
        tracing::info!(step = "judge", "connectors judge what was read");
        judged.notes.extend(count.notes());
        for (dataset, one) in std::mem::take(&mut prepared) {
            let binding = order
                .bindings
                .get(&dataset)
                .ok_or_else(|| format!("dataset `{dataset}` lost its binding"))?;
            match judge(&dataset, binding, one, &bounds) {
                Ok(finished) => {
                    judged.notes.extend(finished.notes);
                    if let Some(doubt) = finished.doubt {
                        judged.doubts.insert(dataset.clone(), doubt);
                    }
                    judged.states.insert(dataset, finished.state);
                }
                Err(failure) => {
                    let why = failure.message.clone();
                    refused = Some(failure);
                    return Err(why);
                }
            }
        }
        judged
            .keep(&order.spool)
            .map_err(|error| format!("the spool cannot be written: {error}"))
    });
    match (outcome, refused) {
        // The connector's own code says more than the vault's "refused".
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(error.into()),
        (Ok(outcome), _) => {
            tracing::info!(step = "committed", snapshot = %outcome.snapshot_id, "recovery point is visible");
            Ok(BackupReport { outcome, judged })
        }
    }
}

/// The failure of one dataset of a plan, with its name.
fn about(dataset: &DatasetId, failure: Failure) -> Failure {
    let message = format!("dataset `{dataset}`: {}", failure.message);
    Failure::new(failure.code, message, failure.help)
}

fn judge(
    dataset: &DatasetId,
    binding: &Binding,
    prepared: Prepared,
    bounds: &Bounds,
) -> Result<Finished, Failure> {
    let finished = connector::finish(binding, prepared, bounds)
        .map_err(|error| about(dataset, error.into()))?;
    match &finished.verdict {
        Verdict::Complete => Ok(finished),
        Verdict::Partial { problems } => {
            let first = problems
                .first()
                .map(|problem| format!(", first `{}`: {}", problem.path, problem.why))
                .unwrap_or_default();
            Err(Failure::new(
                finished.verdict.code().unwrap_or(code::SOURCE_PARTIAL),
                format!(
                    "{} entries of dataset `{dataset}` could not be taken{first}",
                    problems.len()
                ),
                "make them readable, or exclude them in the binding; a partial backup is never kept",
            ))
        }
    }
}

fn catch_up(access: &Access) -> Result<CatchUpReport, Failure> {
    let done = access.vault()?.catch_up()?;
    let mut report = CatchUpReport {
        after: BTreeMap::new(),
        copied: (0, 0),
        repaired: BTreeMap::new(),
    };
    for location in done.locations {
        report.copied.0 += location.objects;
        report.copied.1 += location.bytes;
        if !location.repaired.is_empty() {
            let repaired = location.repaired;
            report.repaired.insert(location.location.clone(), repaired);
        }
        report.after.insert(location.location, location.after);
    }
    Ok(report)
}
