//! Owns what a worker does for a recovery point: connectors prepare and judge, the vault stores; and how lagging locations are
//! brought forward. Never records anything; the daemon does. The interesting function is [`take_backup`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::code;
use contract::id::DatasetId;
use jiff::Timestamp;

use super::Access;
use super::protocol::{BackupOrder, BackupReport, CatchUpReport, Limit, keep_report};
use crate::domain::SourceReport;
use crate::failure::Failure;
use crate::progress::{Gauge, Stage};
use crate::world::cancel::Cancel;
use crate::world::connector::{self, Binding, Bounds, Finished, Prepared, Verdict};
use crate::world::vault::{BackupRequest, Expect, PruneRequest, Pruned, Source};

/// How often the size of what connectors dump is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Connectors prepare, the vault reads everything into one snapshot, connectors judge, and only then it becomes visible.
pub(super) fn take_backup(
    order: &BackupOrder,
    gauge: &Arc<Gauge>,
) -> Result<BackupReport, Failure> {
    let bounds = match order.limit {
        Limit::Within(time) => Bounds::within(time, Cancel::new()),
        Limit::Still(time) => Bounds::while_moving(time, gauge, Cancel::new()),
    }
    .with_jobs(order.jobs);
    let mut prepared: BTreeMap<DatasetId, Prepared> = BTreeMap::new();
    let mut profiles = BTreeMap::new();
    gauge.begin(Stage::Dumping, None);
    let dumps = Dumps::measure(&order.spool, gauge);
    for (dataset, binding) in &order.bindings {
        tracing::debug!(event = "source_prepared", %dataset, "connector prepares the source");
        let spool = order.spool.join(dataset.as_str());
        let previous = order.previous.get(dataset);
        let one = connector::prepare(binding, previous, &spool, &bounds)
            .map_err(|error| about(dataset, error.into()))?;
        profiles.insert(dataset.clone(), connector::profile(binding, &one, &bounds));
        prepared.insert(dataset.clone(), one);
    }
    drop(dumps);
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
    let mut sources = SourceReport {
        manifests,
        profiles,
        ..SourceReport::default()
    };
    let mut refused: Option<Failure> = None;
    let mut vault = order.access.vault()?;
    vault.count_with(Arc::clone(gauge));
    tracing::debug!(event = "sources_read", "vault reads the sources");
    let outcome = vault.backup(&request, |count| {
        tracing::debug!(event = "sources_judged", "connectors judge what was read");
        sources.notes.extend(count.notes());
        for (dataset, one) in std::mem::take(&mut prepared) {
            let binding = order
                .bindings
                .get(&dataset)
                .ok_or_else(|| format!("dataset `{dataset}` lost its binding"))?;
            match judge(&dataset, binding, one, &bounds) {
                Ok(finished) => {
                    sources.notes.extend(finished.notes);
                    if let Some(doubt) = finished.doubt {
                        sources.doubts.insert(dataset.clone(), doubt);
                    }
                    sources.states.insert(dataset, finished.state);
                }
                Err(failure) => {
                    let why = failure.message.clone();
                    refused = Some(failure);
                    return Err(why);
                }
            }
        }
        keep_report(&sources, &order.spool)
            .map_err(|error| format!("the spool cannot be written: {error}"))
    });
    match (outcome, refused) {
        // The connector's own code says more than the vault's "refused".
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(error.into()),
        (Ok(outcome), _) => {
            tracing::debug!(event = "point_committed", snapshot = %outcome.snapshot_id, "recovery point is visible");
            Ok(BackupReport { outcome, sources })
        }
    }
}

/// Counts what the connectors have dumped so far, until it is dropped. They call other programs, which say nothing meanwhile.
struct Dumps {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Dumps {
    fn measure(spool: &Path, gauge: &Arc<Gauge>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (spool, counted, over) = (spool.to_owned(), Arc::clone(gauge), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let files = walkdir::WalkDir::new(&spool).into_iter();
                let sizes = files
                    .filter_map(Result::ok)
                    .filter_map(|entry| entry.metadata().ok())
                    .filter(std::fs::Metadata::is_file)
                    .map(|file| file.len());
                let (count, bytes) =
                    sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
                counted.set(count, bytes);
                std::thread::park_timeout(LOOK);
            }
        });
        Self {
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for Dumps {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
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

pub(super) fn catch_up(access: &Access, gauge: &Arc<Gauge>) -> Result<CatchUpReport, Failure> {
    let mut vault = access.vault()?;
    vault.count_with(Arc::clone(gauge));
    let done = vault.catch_up()?;
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

/// Removes recovery points, and what nothing needs, at all locations.
pub(super) fn prune(
    access: &Access,
    request: &PruneRequest,
    gauge: &Arc<Gauge>,
) -> Result<Pruned, Failure> {
    let mut vault = access.vault()?;
    vault.count_with(Arc::clone(gauge));
    Ok(vault.prune(request)?)
}
