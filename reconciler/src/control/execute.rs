//! Owns carrying out one step: the intent receipt before the effect, its outcome in the transaction of the state it made.
//! Decides nothing: a step holds every id, limit and deadline. The interesting function is [`execute`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::canonical;
use contract::code;
use contract::digest::Digest;
use contract::id::{BackupId, DatasetId, LocationId, PlanId};
use contract::model::Plane;
use contract::receipt::{DecisionType, Outcome as Result_, Phase, SOURCE_IN_DOUBT};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::care::{bring_forward, check, read_part, record_overdue, record_points};
use super::policy::Followed;
use super::recover::{self, Probe};
pub(super) use super::slot_end::{ended, late, slot_operation, slot_receipt};
use super::spool::spool;
use super::{Daemon, source};
use crate::domain::{
    Execution, ExecutionKind, Outcome, Run, RunStatus, SlotOutcome, SlotRecord, Verification,
};
use crate::failure::Failure;
use crate::plan::{Backup, Missed, Planned, Step, Verify};
use crate::store::Change;
use crate::worker::Access;
use crate::worker::protocol::{Answer, BackupOrder, BackupReport, Judged, Limit, Order};
use crate::worker::supervisor::NoAnswer;
use crate::world::receipts::{self, Draft};
use crate::world::vault::{PointTags, Portion};

/// What failed for a moment is over after some seconds; each further try waits that much longer.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// A longer pause would only use up the completion window.
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);
/// How soon a pause ends when the daemon is asked to.
const LOOK: Duration = Duration::from_millis(100);

/// How a step ended, for the person who watches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// The operation.
    pub operation_id: String,
    /// The step's kind.
    pub kind: String,
    /// Its plan.
    pub plan_id: PlanId,
    /// The recovery point, where there is one.
    pub backup_id: Option<BackupId>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// What was done, in words.
    pub summary: String,
}

/// Carries out one step. An error means that it could not be recorded, and ends the round.
pub fn execute(daemon: &Daemon, followed: &Followed, planned: &Planned) -> Result<Done, Failure> {
    let span = tracing::info_span!("operation", id = %planned.operation_id);
    let _entered = span.enter();
    tracing::info!(kind = planned.step.kind(), reason = %planned.reason, "step begins");
    let _at_work = daemon.works_on(&planned.operation_id)?;
    let done = match &planned.step {
        Step::RecordMissed(missed) => record_missed(daemon, followed, planned, missed),
        Step::Backup(backup) => take(daemon, followed, planned, backup),
        Step::Verify(verify) => check(daemon, followed, planned, verify, &Portion::All),
        Step::Check(step) => read_part(daemon, followed, planned, step),
        Step::RecordOverdue(overdue) => record_overdue(daemon, followed, planned, overdue),
        Step::RecordLost(points) => record_points(daemon, followed, planned, points, true),
        Step::RecordFound(points) => record_points(daemon, followed, planned, points, false),
        Step::CatchUp(catch_up) => bring_forward(daemon, followed, planned, catch_up),
    }?;
    match &done.failure {
        None => tracing::info!(outcome = done.outcome.as_str(), "{}", done.summary),
        Some(failure) => {
            tracing::error!(outcome = done.outcome.as_str(), code = %failure.code, "{}", failure.message);
        }
    }
    Ok(done)
}

/// What is the same in all receipts of one step.
pub(super) struct Subject {
    /// The policy that the step was decided under; a newer one may be in force when it ends.
    pub(super) policy: receipts::Policy,
    pub(super) plane: Option<Plane>,
    pub(super) plan_id: PlanId,
    pub(super) dataset_ids: Vec<DatasetId>,
}

impl Subject {
    pub(super) fn of(followed: &Followed, plan_id: &PlanId) -> Self {
        let policy = followed.active.model.plans.get(plan_id);
        Self {
            policy: followed.receipts.clone(),
            plane: policy.map(|policy| policy.plane),
            plan_id: plan_id.clone(),
            dataset_ids: policy
                .map(|policy| policy.dataset_ids.iter().cloned().collect())
                .unwrap_or_default(),
        }
    }

    /// Of a recovery point: what it holds, which may be less than its plan has.
    pub(super) fn of_point(
        followed: &Followed,
        plan_id: &PlanId,
        dataset_ids: &BTreeSet<DatasetId>,
    ) -> Self {
        Self {
            dataset_ids: dataset_ids.iter().cloned().collect(),
            ..Self::of(followed, plan_id)
        }
    }

    pub(super) fn draft(&self, kind: DecisionType, phase: Phase, operation_id: &str) -> Draft {
        let mut draft = Draft::new(kind, phase, operation_id);
        draft.policy = Some(self.policy.clone());
        draft.plane = self.plane;
        draft.plan_id = Some(self.plan_id.clone());
        draft.dataset_ids.clone_from(&self.dataset_ids);
        draft
    }
}

/// The result word of receipts for a stored outcome.
pub(super) const fn result(outcome: Outcome) -> Result_ {
    match outcome {
        Outcome::Success => Result_::Success,
        Outcome::Partial => Result_::Partial,
        Outcome::Failure => Result_::Failure,
        Outcome::Unknown => Result_::Unknown,
    }
}

/// When the worker of a step is ended.
pub(super) fn limit(daemon: &Daemon, planned: &Planned) -> Limit {
    match planned.stall_limit {
        Some(limit) => Limit::Still(Duration::from_secs(limit.get())),
        None => Limit::Within(Duration::from_secs(seconds_until(daemon, planned.deadline))),
    }
}

pub(super) fn seconds_until(daemon: &Daemon, deadline: Timestamp) -> u64 {
    let left = deadline.duration_since(daemon.now()).as_secs();
    u64::try_from(left).unwrap_or(0).max(1)
}

fn record_missed(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    missed: &Missed,
) -> Result<Done, Failure> {
    let now = daemon.now();
    let why = format!("{} without a run", count(missed.count, "slot"));
    let slot = SlotRecord {
        plan_id: missed.plan_id.clone(),
        first: missed.first,
        last: missed.last,
        count: missed.count,
        outcome: SlotOutcome::Missed,
        backup_id: None,
        why: Some(why.clone()),
        ended_at: now,
    };
    let failure = Failure::new(
        code::LAST_RUN_FAILED,
        &why,
        "keep `seawalld run` running, or widen the start window",
    );
    let subject = Subject::of(followed, &missed.plan_id);
    let draft = slot_receipt(&subject, &planned.operation_id, &slot, Some(&failure));
    daemon.commit(&[Change::SlotEnded(slot)], vec![draft], now)?;
    Ok(Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: missed.plan_id.clone(),
        backup_id: None,
        outcome: Outcome::Success,
        failure: None,
        summary: format!("recorded {why}"),
    })
}

/// One thing or several, in words.
pub fn count(number: u64, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

/// The intent: recorded and signed before anything happens.
pub(super) fn begin(
    daemon: &Daemon,
    subject: &Subject,
    kind: ExecutionKind,
    execution: Execution,
) -> Result<(), Failure> {
    let now = execution.started_at;
    let mut draft = subject.draft(decision(kind), Phase::Intent, &execution.operation_id);
    draft.backup_id.clone_from(&execution.backup_id);
    draft
        .details
        .insert("deadline".to_owned(), execution.deadline.to_string());
    if let Some(who) = &daemon.requested_by {
        draft.details.insert("requested_by".to_owned(), who.clone());
    }
    daemon.commit(&[Change::ExecutionStarted(execution)], vec![draft], now)?;
    tracing::info!(point = "intent", "intent is recorded");
    Ok(())
}

pub(super) const fn decision(kind: ExecutionKind) -> DecisionType {
    match kind {
        ExecutionKind::Backup => DecisionType::Backup,
        ExecutionKind::Verify => DecisionType::Verification,
        ExecutionKind::CatchUp => DecisionType::CatchUp,
        ExecutionKind::Restore => DecisionType::Restore,
    }
}

/// A backup and, where policy wants it before the point counts, its check.
fn take(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
) -> Result<Done, Failure> {
    let subject = Subject::of_point(followed, &backup.plan_id, &backup.dataset_ids);
    let started_at = daemon.now();
    let execution = Execution {
        operation_id: planned.operation_id.clone(),
        kind: ExecutionKind::Backup,
        plan_id: backup.plan_id.clone(),
        dataset_ids: backup.dataset_ids.clone(),
        backup_id: Some(backup.backup_id.clone()),
        slot: backup.slot,
        backup_type: Some(backup.backup_type),
        restores: None,
        kid: backup.kid.clone(),
        started_at,
        deadline: planned.deadline,
        epoch: daemon.store.epoch(),
        outcome: None,
        ended_at: None,
        error: None,
    };
    begin(daemon, &subject, ExecutionKind::Backup, execution.clone())?;
    let answer = ask_until_taken(daemon, followed, planned, backup);
    tracing::info!(point = "effect", "the effect has ended");
    let done = conclude(daemon, followed, planned, backup, &execution, answer);
    // Kept until its end is recorded: a process that dies before needs what lies in it.
    let _ = std::fs::remove_dir_all(daemon.config.spool_path().join(&planned.operation_id));
    done
}

fn conclude(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
    execution: &Execution,
    answer: Result<BackupReport, NoAnswer>,
) -> Result<Done, Failure> {
    let started_at = execution.started_at;
    match answer {
        Ok(report) => {
            let mut run = point(backup, followed, started_at, &report, daemon.now());
            run.overran = run.finished_at > planned.deadline;
            let packs = Portion::Packs(report.outcome.packs);
            took(
                daemon,
                followed,
                planned,
                backup,
                run,
                &report.judged,
                &packs,
            )
        }
        Err(NoAnswer::Failed(failure)) if failure.code != code::VAULT_COMMIT_INCOMPLETE => {
            let subject = Subject::of_point(followed, &backup.plan_id, &backup.dataset_ids);
            failed(daemon, &subject, planned, backup, started_at, failure)
        }
        Err(NoAnswer::Failed(failure) | NoAnswer::Lost(failure)) => {
            after_loss(daemon, followed, planned, backup, execution, failure)
        }
        Err(NoAnswer::Stopped) if !daemon.is_ending() => {
            after_loss(daemon, followed, planned, backup, execution, cancelled())
        }
        Err(NoAnswer::Stopped) => {
            let failure = Failure::new(
                code::RUN_INTERRUPTED,
                "the daemon was asked to end while the effect ran",
                "the next round looks at what was left and finishes the work",
            );
            let probe = recover::probe(daemon, execution, backup.commit, &backup.locations);
            recover::close(daemon, followed, execution, probe, &failure)?;
            Ok(done(
                planned,
                backup,
                Outcome::Failure,
                Some(failure),
                String::new(),
            ))
        }
    }
}

/// A person ended it: its slot ends with it, or it would begin again at once.
fn cancelled() -> Failure {
    Failure::new(
        code::OPERATION_CANCELLED,
        "a person cancelled it",
        "`seawalld backup` takes a recovery point when it is wanted again",
    )
}

/// Asks again as often as the plan says, while there is time and the run certainly left no recovery point.
fn ask_until_taken(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
) -> Result<BackupReport, NoAnswer> {
    let mut answer = ask_for_backup(daemon, followed, planned, backup);
    for tries in 1..=backup.retries {
        match &answer {
            Err(NoAnswer::Failed(failure))
                if failure.code != code::VAULT_COMMIT_INCOMPLETE && !is_for_time(failure) =>
            {
                let pause = RETRY_PAUSE.saturating_mul(tries).min(RETRY_PAUSE_MAX);
                tracing::warn!(tries, code = %failure.code, "{}; it is tried again", failure.message);
                if !rest(daemon, planned.deadline, pause) {
                    break;
                }
            }
            Ok(_) | Err(NoAnswer::Failed(_) | NoAnswer::Lost(_) | NoAnswer::Stopped) => break,
        }
        answer = ask_for_backup(daemon, followed, planned, backup);
        if let Err(NoAnswer::Failed(failure)) = &mut answer {
            failure.message = format!("{} (tried {} times)", failure.message, tries + 1);
        }
    }
    answer
}

/// Waits, unless the daemon is asked to end or no time is left for another try.
fn rest(daemon: &Daemon, deadline: Timestamp, pause: Duration) -> bool {
    let mut rested = Duration::ZERO;
    while rested < pause {
        if daemon.stop.is_cancelled() {
            return false;
        }
        daemon.effects.pause(LOOK);
        rested += LOOK;
    }
    !daemon.stop.is_cancelled() && daemon.now() < deadline
}

fn ask_for_backup(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
) -> Result<BackupReport, NoAnswer> {
    let ready = || -> Result<Order, Failure> {
        let mut access = Access::new(
            daemon,
            &backup.plan_id,
            &backup.kid,
            backup.locations.iter().cloned(),
        )?;
        if let Some(bandwidth) = backup.bandwidth {
            for place in access.places.values_mut() {
                place.slow_down(bandwidth);
            }
        }
        let mut bindings = BTreeMap::new();
        let mut previous = BTreeMap::new();
        for dataset in &backup.dataset_ids {
            if let Some(binding) = daemon.config.datasets.get(dataset) {
                bindings.insert(dataset.clone(), binding.clone());
            }
            let state = daemon.store.connector_state(&backup.plan_id, dataset)?;
            if let Some(state) = state.and_then(|state| serde_json::from_str(&state).ok()) {
                previous.insert(dataset.clone(), state);
            }
        }
        // Points that a person gave up do not keep a lost repository from being begun again.
        let given_up = super::look::acknowledged(daemon)?;
        let points = daemon.store.points(Some(&backup.plan_id))?;
        let existing = points.iter().any(|run| {
            let gone = run.is_lost() && given_up.contains(&run.backup_id);
            run.kid == backup.kid && !gone
        });
        let order = BackupOrder {
            access,
            bindings,
            previous,
            spool: spool(daemon, &planned.operation_id)?,
            limit: limit(daemon, planned),
            full: backup.backup_type == crate::domain::BackupType::Full,
            compression: backup.compression,
            jobs: backup.parallel_jobs,
            commit: usize::try_from(backup.commit).unwrap_or(usize::MAX),
            existing,
            tags: PointTags {
                backup_id: backup.backup_id.to_string(),
                plan_id: backup.plan_id.to_string(),
                slot: backup.slot.map(|slot| slot.to_string()),
                bundle: Some(followed.payload.to_string()),
            },
        };
        Ok(Order::Backup(Box::new(order)))
    };
    let order = ready().map_err(NoAnswer::Failed)?;
    match daemon.effect(limit(daemon, planned), &order)? {
        Answer::Backup(report) => Ok(*report),
        _ => Err(NoAnswer::Lost(confused())),
    }
}

/// Whether it ended because its time was over: by the daemon, or by a connector that ends before that to say why.
fn is_for_time(failure: &Failure) -> bool {
    [code::DEADLINE_PASSED, code::CONNECTOR_DEADLINE].contains(&failure.code)
}

pub(super) fn confused() -> Failure {
    Failure::new(
        code::EFFECT_PANICKED,
        "the worker answered another question",
        "report this as a bug",
    )
}

pub(super) fn done(
    planned: &Planned,
    backup: &Backup,
    outcome: Outcome,
    failure: Option<Failure>,
    summary: String,
) -> Done {
    Done {
        operation_id: planned.operation_id.clone(),
        kind: planned.step.kind().to_owned(),
        plan_id: backup.plan_id.clone(),
        backup_id: Some(backup.backup_id.clone()),
        outcome,
        failure,
        summary,
    }
}

/// The catalog entry of a committed recovery point, not yet checked.
pub(super) fn point(
    backup: &Backup,
    followed: &Followed,
    started_at: Timestamp,
    report: &BackupReport,
    now: Timestamp,
) -> Run {
    let outcome = &report.outcome;
    let repository = format!(
        "{}/{}/{}",
        followed.active.model.environment.environment_id, backup.plan_id, backup.kid
    );
    Run {
        backup_id: backup.backup_id.clone(),
        plan_id: backup.plan_id.clone(),
        dataset_ids: backup.dataset_ids.clone(),
        slot: backup.slot,
        started_at,
        finished_at: now,
        consistent_at: Some(outcome.consistency_point),
        backup_type: backup.backup_type,
        base: None,
        status: RunStatus::Success,
        kid: backup.kid.clone(),
        snapshot_id: Some(outcome.snapshot_id.clone()),
        storage_locations: outcome
            .committed
            .iter()
            .map(|id| (id.clone(), format!("{id}:{repository}")))
            .collect(),
        checksums: checksums(&outcome.snapshot_id, &report.judged),
        verification: Verification::Pending,
        damaged_at: BTreeMap::new(),
        bytes: outcome.bytes,
        added_bytes: outcome.added_bytes,
        policy_snapshot_hash: Some(followed.snapshot_hash),
        manifests: report.judged.manifests.clone(),
        error: None,
        profiles: report.judged.profiles.clone(),
        collapsed: report.judged.doubts.clone(),
        clock_in_doubt: followed.active.clock.is_ahead(),
        overran: false,
    }
}

/// What a recovery point is held against, by name.
pub(super) fn checksums(snapshot_id: &str, judged: &Judged) -> BTreeMap<String, String> {
    let mut checksums = BTreeMap::from([("snapshot".to_owned(), snapshot_id.to_owned())]);
    for (dataset, manifest) in &judged.manifests {
        if let Ok(bytes) = canonical::to_bytes(manifest) {
            let digest = Digest::of(&bytes).to_string();
            checksums.insert(format!("manifest:{dataset}"), digest);
        }
    }
    checksums
}

/// Records the recovery point, then checks it where policy wants that: the packs of earlier runs were read when they were
/// written, and are read again at the tier's cadence.
pub(super) fn took(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
    run: Run,
    judged: &Judged,
    portion: &Portion,
) -> Result<Done, Failure> {
    let run = source::hold_against_before(daemon, followed, run)?;
    let in_doubt = source::failure_of(&run);
    let subject = Subject::of_point(followed, &backup.plan_id, &backup.dataset_ids);
    let now = daemon.now();
    let mut changes = vec![
        Change::ExecutionEnded {
            operation_id: planned.operation_id.clone(),
            outcome: Outcome::Success,
            error: None,
            at: now,
        },
        Change::RunEnded(Box::new(run.clone())),
    ];
    changes.extend(connector_states(&backup.plan_id, judged));
    let mut draft = subject.draft(DecisionType::Backup, Phase::Outcome, &planned.operation_id);
    describe_point(&mut draft, &run);
    for note in judged.notes.iter().take(8) {
        let number = draft.details.len();
        draft.details.insert(
            format!("note_{number:02}"),
            note.chars().take(400).collect(),
        );
    }
    let mut drafts = vec![draft];
    if let (false, Some(slot)) = (backup.checksum_required, backup.slot) {
        let of_slot = (&backup.plan_id, slot, &backup.backup_id);
        let record = ended(of_slot, in_doubt.as_ref(), late(&run), now);
        let id = slot_operation(&backup.plan_id, slot);
        drafts.push(slot_receipt(&subject, &id, &record, in_doubt.as_ref()));
        changes.push(Change::SlotEnded(record));
    }
    daemon.commit(&changes, drafts, now)?;
    tracing::info!(point = "recorded", "recovery point is in the catalog");
    let held = run.storage_locations.len();
    let summary = format!(
        "{} recovery point of {} at {}",
        run.backup_type.as_str(),
        bytes(run.bytes),
        count(held as u64, "location")
    );
    if !backup.checksum_required {
        let outcome = outcome_of(in_doubt.as_ref(), Outcome::Success);
        return Ok(done(planned, backup, outcome, in_doubt, summary));
    }
    let verify = Planned {
        operation_id: planned.operation_id.replacen("backup.", "verify.", 1),
        step: Step::Verify(Verify {
            plan_id: backup.plan_id.clone(),
            backup_id: backup.backup_id.clone(),
            ends_slot: backup.slot,
            locations: run.storage_locations.keys().cloned().collect(),
            enough: usize::try_from(backup.commit).unwrap_or(usize::MAX).max(1),
        }),
        reason: "it counts only after its check".to_owned(),
        deadline: planned.deadline,
        stall_limit: planned.stall_limit,
    };
    let _at_work = daemon.works_on(&verify.operation_id)?;
    let checked = match &verify.step {
        Step::Verify(step) => check(daemon, followed, &verify, step, portion)?,
        Step::RecordMissed(_)
        | Step::Backup(_)
        | Step::Check(_)
        | Step::RecordOverdue(_)
        | Step::RecordLost(_)
        | Step::RecordFound(_)
        | Step::CatchUp(_) => {
            return Ok(done(planned, backup, Outcome::Success, None, summary));
        }
    };
    let summary = format!("{summary}, {}", checked.summary);
    let outcome = outcome_of(in_doubt.as_ref(), checked.outcome);
    let failure = checked.failure.or(in_doubt);
    Ok(done(planned, backup, outcome, failure, summary))
}

/// A point of a source in doubt is kept, and is no success.
const fn outcome_of(in_doubt: Option<&Failure>, outcome: Outcome) -> Outcome {
    match (in_doubt, outcome) {
        (Some(_), Outcome::Success) => Outcome::Partial,
        (_, outcome) => outcome,
    }
}

/// What each connector is to be told at its next run.
pub(super) fn connector_states(plan_id: &PlanId, judged: &Judged) -> Vec<Change> {
    let states = judged.states.iter();
    states
        .map(|(dataset_id, state)| Change::ConnectorState {
            plan_id: plan_id.clone(),
            dataset_id: dataset_id.clone(),
            state: state.as_ref().map(ToString::to_string),
        })
        .collect()
}

/// What a receipt says about a recovery point.
pub(super) fn describe_point(draft: &mut Draft, run: &Run) {
    draft.backup_id = Some(run.backup_id.clone());
    draft.result = Some(Result_::Success);
    let held: Vec<&str> = run
        .storage_locations
        .keys()
        .map(LocationId::as_str)
        .collect();
    let details = [
        ("backup_type", run.backup_type.as_str().to_owned()),
        ("bytes", run.bytes.to_string()),
        ("added_bytes", run.added_bytes.to_string()),
        ("locations", held.join(" ")),
        ("started_at", run.started_at.to_string()),
    ];
    for (name, value) in details {
        draft.details.insert(name.to_owned(), value);
    }
    if !run.collapsed.is_empty() {
        let told: Vec<String> = run
            .collapsed
            .iter()
            .map(|(dataset, why)| format!("`{dataset}`: {why}"))
            .collect();
        let told = told.join("; ").chars().take(1_000).collect();
        draft.details.insert(SOURCE_IN_DOUBT.to_owned(), told);
    }
    if let Some(consistent_at) = run.consistent_at {
        draft
            .details
            .insert("consistent_at".to_owned(), consistent_at.to_string());
    }
    for (name, sum) in &run.checksums {
        if let Ok(digest) = sum.parse() {
            draft.evidence.insert(name.clone(), digest);
        }
    }
}

/// A run that left nothing: it ends its slot, and the catalog shows it as what it is.
pub(super) fn failed(
    daemon: &Daemon,
    subject: &Subject,
    planned: &Planned,
    backup: &Backup,
    started_at: Timestamp,
    failure: Failure,
) -> Result<Done, Failure> {
    let now = daemon.now();
    let partial = [code::VAULT_SOURCE_INCOMPLETE, code::SOURCE_PARTIAL].contains(&failure.code);
    let run = Run {
        backup_id: backup.backup_id.clone(),
        plan_id: backup.plan_id.clone(),
        dataset_ids: backup.dataset_ids.clone(),
        slot: backup.slot,
        started_at,
        finished_at: now,
        consistent_at: None,
        backup_type: backup.backup_type,
        base: None,
        status: if partial {
            RunStatus::Partial
        } else {
            RunStatus::Failure
        },
        kid: backup.kid.clone(),
        snapshot_id: None,
        storage_locations: BTreeMap::new(),
        checksums: BTreeMap::new(),
        verification: Verification::Pending,
        damaged_at: BTreeMap::new(),
        bytes: 0,
        added_bytes: 0,
        policy_snapshot_hash: None,
        manifests: BTreeMap::new(),
        error: Some(failure.to_string()),
        profiles: BTreeMap::new(),
        collapsed: BTreeMap::new(),
        clock_in_doubt: false,
        overran: is_for_time(&failure),
    };
    let outcome = if partial {
        Outcome::Partial
    } else {
        Outcome::Failure
    };
    let mut changes = vec![
        Change::ExecutionEnded {
            operation_id: planned.operation_id.clone(),
            outcome,
            error: Some(failure.code.to_string()),
            at: now,
        },
        Change::RunEnded(Box::new(run)),
    ];
    let mut draft = subject.draft(DecisionType::Backup, Phase::Outcome, &planned.operation_id);
    draft.backup_id = Some(backup.backup_id.clone());
    draft.result = Some(result(outcome));
    draft.error = Some(failure.note());
    let mut drafts = vec![draft];
    if let Some(slot) = backup.slot {
        let of_slot = (&backup.plan_id, slot, &backup.backup_id);
        let record = ended(of_slot, Some(&failure), None, now);
        let id = slot_operation(&backup.plan_id, slot);
        drafts.push(slot_receipt(subject, &id, &record, Some(&failure)));
        changes.push(Change::SlotEnded(record));
    }
    daemon.commit(&changes, drafts, now)?;
    Ok(done(planned, backup, outcome, Some(failure), String::new()))
}

/// The child gave no answer: only a look at the locations tells what happened.
pub(super) fn after_loss(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
    execution: &Execution,
    failure: Failure,
) -> Result<Done, Failure> {
    let subject = Subject::of_point(followed, &backup.plan_id, &backup.dataset_ids);
    match recover::probe(daemon, execution, backup.commit, &backup.locations) {
        Probe::Absent => failed(
            daemon,
            &subject,
            planned,
            backup,
            execution.started_at,
            failure,
        ),
        Probe::Present(found) => {
            let judged = recover::left_by(daemon, execution);
            let mut run = recover::run_of(followed, execution, &found, &judged, daemon.now());
            run.overran = daemon.now() > execution.deadline;
            // Which packs the run wrote is not known.
            let all = Portion::All;
            took(daemon, followed, planned, backup, run, &judged, &all)
        }
        Probe::Unknown(why) => {
            recover::close(daemon, followed, execution, Probe::Unknown(why), &failure)?;
            Ok(done(
                planned,
                backup,
                Outcome::Unknown,
                Some(failure),
                String::new(),
            ))
        }
    }
}

/// Bytes for people.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = number.saturating_mul(10);
    while tenths >= 10_240 && unit < UNITS.len() - 1 {
        tenths /= 1_024;
        unit += 1;
    }
    let name = UNITS.get(unit).unwrap_or(&"B");
    if unit == 0 {
        format!("{number} {name}")
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}
