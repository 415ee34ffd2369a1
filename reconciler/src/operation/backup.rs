//! Owns what a backup comes to: the catalog entry of the point that it left, or of the run that left none, and the end of its slot.
//! The interesting functions are [`took`] and [`left_nothing`].

use std::collections::{BTreeMap, BTreeSet};

use contract::canonical;
use contract::code;
use contract::digest::Digest;
use contract::id::LocationId;
use contract::receipt::SOURCE_IN_DOUBT;
use jiff::Timestamp;

use super::{Details, Ending, Subject, late, slot_ended};
use crate::domain::{
    BackupType, Change, Operation, Outcome, Run, RunStatus, SourceReport, Verification,
};
use crate::failure::Failure;

/// A receipt has room for so many notes of connectors, each of so many characters.
const NOTES: usize = 8;
const NOTE: usize = 400;

/// A recovery point as the vault shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id in the repository.
    pub id: String,
    /// The earliest consistency point of its datasets.
    pub shows: Timestamp,
    /// Bytes of the datasets.
    pub bytes: u64,
    /// Bytes that it added to each location.
    pub added_bytes: u64,
    /// Where it is visible.
    pub locations: BTreeSet<LocationId>,
    /// `<environment>/<plan_id>/<kid>`.
    pub repository: String,
}

/// A receipt has room for so many characters about sources in doubt.
pub(super) const DOUBT_IN_RECEIPT: usize = 1_000;

/// What a point is marked with, besides what it holds.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// The policy snapshot that it was taken under.
    pub snapshot_hash: Digest,
    /// Whether the clock was in doubt.
    pub clock_in_doubt: bool,
    /// When its run ended.
    pub at: Timestamp,
}

/// The catalog entry of a run, without anything that it left.
fn run_of(operation: &Operation, subject: &Subject, at: Timestamp) -> Option<Run> {
    Some(Run {
        backup_id: operation.backup_id.clone()?,
        plan_id: operation.plan_id.clone(),
        // Empty in records of earlier versions.
        dataset_ids: if operation.dataset_ids.is_empty() {
            subject.dataset_ids.iter().cloned().collect()
        } else {
            operation.dataset_ids.clone()
        },
        slot: operation.slot,
        started_at: operation.started_at,
        finished_at: at,
        consistent_at: None,
        backup_type: operation.backup_type.unwrap_or(BackupType::Incremental),
        base: None,
        status: RunStatus::Failure,
        kid: operation.kid.clone(),
        snapshot_id: None,
        storage_locations: BTreeMap::new(),
        checksums: BTreeMap::new(),
        verification: Verification::Pending,
        damaged_at: BTreeMap::new(),
        bytes: 0,
        added_bytes: 0,
        policy_snapshot_hash: None,
        manifests: BTreeMap::new(),
        error: None,
        profiles: BTreeMap::new(),
        collapsed: BTreeMap::new(),
        clock_in_doubt: false,
        overran: false,
        before_restore: operation.before_restore,
        leaving: None,
    })
}

/// The catalog entry of a committed recovery point, not yet checked. It says what it holds, which is less than the plan's datasets
/// where only some were asked for.
pub fn point(
    operation: &Operation,
    subject: &Subject,
    snapshot: &Snapshot,
    report: &SourceReport,
    taken: Taken,
) -> Option<Run> {
    let held = snapshot.locations.iter();
    Some(Run {
        consistent_at: Some(snapshot.shows),
        status: RunStatus::Success,
        snapshot_id: Some(snapshot.id.clone()),
        storage_locations: held
            .map(|id| (id.clone(), format!("{id}:{}", snapshot.repository)))
            .collect(),
        checksums: checksums(&snapshot.id, report),
        bytes: snapshot.bytes,
        added_bytes: snapshot.added_bytes,
        policy_snapshot_hash: Some(taken.snapshot_hash),
        manifests: report.manifests.clone(),
        profiles: report.profiles.clone(),
        collapsed: report.doubts.clone(),
        clock_in_doubt: taken.clock_in_doubt,
        ..run_of(operation, subject, taken.at)?
    })
}

/// What a recovery point is held against, by name.
fn checksums(snapshot_id: &str, report: &SourceReport) -> BTreeMap<String, String> {
    let mut checksums = BTreeMap::from([("snapshot".to_owned(), snapshot_id.to_owned())]);
    for (dataset, manifest) in &report.manifests {
        if let Ok(bytes) = canonical::to_bytes(manifest) {
            let digest = Digest::of(&bytes).to_string();
            checksums.insert(format!("manifest:{dataset}"), digest);
        }
    }
    checksums
}

/// The end of a backup that left a recovery point. Its slot ends here where the point counts without a check.
pub fn took(run: &Run, report: &SourceReport, counts_at_once: bool, now: Timestamp) -> Ending {
    let mut ending = Ending::new(Outcome::Success, None).describing(run);
    for note in report.notes.iter().take(NOTES) {
        let number = ending.details.len();
        let note: String = note.chars().take(NOTE).collect();
        ending.say(&format!("note_{number:02}"), note);
    }
    ending.changes.push(Change::RunEnded(Box::new(run.clone())));
    ending.changes.extend(connector_states(run, report));
    if let (true, Some(slot)) = (counts_at_once, run.slot) {
        let failure = in_doubt(run);
        let of_slot = (&run.plan_id, slot, &run.backup_id);
        let record = slot_ended(of_slot, failure.as_ref(), late(run), now);
        ending.slot = Some((record, failure));
    }
    ending
}

/// What each connector is to be told at its next run.
pub(super) fn connector_states(run: &Run, report: &SourceReport) -> Vec<Change> {
    let states = report.states.iter();
    states
        .map(|(dataset_id, state)| Change::ConnectorState {
            plan_id: run.plan_id.clone(),
            dataset_id: dataset_id.clone(),
            state: state.as_ref().map(ToString::to_string),
        })
        .collect()
}

/// The end of a backup that left nothing: it ends its slot, and the catalog shows it as what it is.
pub fn left_nothing(
    operation: &Operation,
    subject: &Subject,
    failure: &Failure,
    now: Timestamp,
) -> Ending {
    let is_partial = [code::VAULT_SOURCE_INCOMPLETE, code::SOURCE_PARTIAL].contains(&failure.code);
    let (outcome, status) = if is_partial {
        (Outcome::Partial, RunStatus::Partial)
    } else {
        (Outcome::Failure, RunStatus::Failure)
    };
    let mut ending = Ending::new(outcome, Some(failure.clone()));
    if let Some(run) = run_of(operation, subject, now) {
        if let Some(slot) = run.slot {
            let of_slot = (&run.plan_id, slot, &run.backup_id);
            let record = slot_ended(of_slot, Some(failure), None, now);
            ending.slot = Some((record, Some(failure.clone())));
        }
        ending.changes.push(Change::RunEnded(Box::new(Run {
            status,
            error: Some(failure.to_string()),
            overran: is_for_time(failure),
            ..run
        })));
    }
    ending
}

/// Whether it ended because its time was over: by the daemon, or by a connector that ends before that to say why.
pub fn is_for_time(failure: &Failure) -> bool {
    [code::DEADLINE_PASSED, code::CONNECTOR_DEADLINE].contains(&failure.code)
}

/// What a point of a source that collapsed is: kept, and no success.
pub fn in_doubt(run: &Run) -> Option<Failure> {
    let (dataset, why) = run.collapsed.first_key_value()?;
    Some(Failure::new(
        code::SOURCE_COLLAPSED,
        format!("the source of `{dataset}` must be confirmed: {why}"),
        format!(
            "if it has to be mounted or repaired, do that and run `seawalld backup {}`; only if it was as it should be, `seawalld source accept {dataset}` accepts this recovery point, and for an append-only file that was rewritten raise `append_only_epoch` in the binding",
            run.plan_id
        ),
    ))
}

/// What a receipt says about a recovery point.
pub(super) fn describe(run: &Run, details: &mut Details, evidence: &mut BTreeMap<String, Digest>) {
    let held: Vec<&str> = run
        .storage_locations
        .keys()
        .map(LocationId::as_str)
        .collect();
    let mut say = |name: &str, what: String| details.insert(name.to_owned(), what);
    say("backup_type", run.backup_type.as_str().to_owned());
    say("bytes", run.bytes.to_string());
    say("added_bytes", run.added_bytes.to_string());
    say("locations", held.join(" "));
    say("started_at", run.started_at.to_string());
    say("kid", run.kid.to_string());
    if !run.collapsed.is_empty() {
        let told: Vec<String> = run
            .collapsed
            .iter()
            .map(|(dataset, why)| format!("`{dataset}`: {why}"))
            .collect();
        say(
            SOURCE_IN_DOUBT,
            told.join("; ").chars().take(DOUBT_IN_RECEIPT).collect(),
        );
    }
    if let Some(consistent_at) = run.consistent_at {
        say("consistent_at", consistent_at.to_string());
    }
    for (name, sum) in &run.checksums {
        if let Ok(digest) = sum.parse() {
            evidence.insert(name.clone(), digest);
        }
    }
}
