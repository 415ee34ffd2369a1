//! Owns carrying out one step: the intent receipt before the effect, its outcome in the transaction of the state it made.
//! Decides nothing: a step holds every id, limit and deadline. The interesting function is [`execute`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::code;
use contract::id::{BackupId, Kid, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::care::{self, bring_forward, read_part, record_overdue, record_points};
use super::policy::Followed;
use super::recover;
use super::retention;
use super::spool::{give_back, spool};
use super::{Daemon, outlast};
use crate::domain::{
    BackupType, Change, Operation, OperationKind, Outcome, Run, SlotOutcome, SlotRecord,
    SourceReport, State,
};
use crate::failure::Failure;
use crate::operation::backup::{self, Snapshot};
use crate::operation::lost::Probe;
use crate::operation::{self, Details, Subject};
use crate::plan::{Backup, Missed, Planned, Step, Verify};
use crate::spans;
use crate::words::{bytes, count};
use crate::worker::Access;
use crate::worker::protocol::{Answer, BackupOrder, BackupReport, Limit, Order};
use crate::worker::supervisor::NoAnswer;
use crate::world::vault::{PointTags, Portion};

/// What failed for a moment is over after some seconds; each further try waits that much longer.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// A longer pause would only use up the completion window.
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);

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
    let _span = spans::operation(&planned.operation_id);
    tracing::info!(event = "operation_started", kind = planned.step.kind(), plan = %planned.step.plan_id(), "{}", planned.reason);
    let _at_work = daemon.works_on(&planned.operation_id)?;
    let done = match &planned.step {
        Step::RecordMissed(missed) => record_missed(daemon, followed, planned, missed),
        Step::Backup(backup) => take(daemon, followed, planned, backup),
        Step::Verify(verify) => care::check(daemon, followed, planned, verify, &Portion::All),
        Step::Check(step) => read_part(daemon, followed, planned, step),
        Step::RecordOverdue(overdue) => record_overdue(daemon, followed, planned, overdue),
        Step::RecordLost(points) => record_points(daemon, followed, planned, points, true),
        Step::RecordFound(points) => record_points(daemon, followed, planned, points, false),
        Step::CatchUp(catch_up) => bring_forward(daemon, followed, planned, catch_up),
        Step::Mark(mark) => retention::mark(daemon, followed, planned, mark),
        Step::Prune(prune) => retention::prune(daemon, followed, planned, prune),
    }?;
    match &done.failure {
        None => tracing::info!(
            event = "operation_ended",
            outcome = done.outcome.as_str(),
            "{}",
            done.summary
        ),
        Some(failure) => {
            tracing::error!(event = "operation_ended", outcome = done.outcome.as_str(), code = %failure.code, "{}", failure.message);
        }
    }
    Ok(done)
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
    let subject = followed.subject(&missed.plan_id);
    let draft = operation::slot_receipt(&subject, &planned.operation_id, &slot, Some(&failure));
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

/// What an intent says of the time that its operation has.
pub(super) fn until(deadline: Timestamp) -> Details {
    Details::from([("deadline".to_owned(), deadline.to_string())])
}

/// The operation of a step, before anything of it is recorded.
pub(super) fn operation_of(
    daemon: &Daemon,
    planned: &Planned,
    kind: OperationKind,
    kid: &Kid,
) -> Operation {
    Operation {
        operation_id: planned.operation_id.clone(),
        kind,
        plan_id: planned.step.plan_id().clone(),
        dataset_ids: BTreeSet::new(),
        backup_id: None,
        slot: None,
        backup_type: None,
        before_restore: false,
        restores: None,
        removes: BTreeSet::new(),
        kid: kid.clone(),
        started_at: daemon.now(),
        deadline: planned.deadline,
        epoch: daemon.store.epoch(),
        state: State::Ready,
        ended_at: None,
        error: None,
    }
}

/// A backup that is carried out.
struct Taking<'step> {
    daemon: &'step Daemon,
    followed: &'step Followed,
    planned: &'step Planned,
    backup: &'step Backup,
    subject: Subject,
    operation: Operation,
}

/// A backup and, where policy wants it before the point counts, its check.
fn take(
    daemon: &Daemon,
    followed: &Followed,
    planned: &Planned,
    backup: &Backup,
) -> Result<Done, Failure> {
    let mut taking = Taking {
        daemon,
        followed,
        planned,
        backup,
        subject: followed.subject_of(&backup.plan_id, &backup.dataset_ids),
        operation: Operation {
            dataset_ids: backup.dataset_ids.clone(),
            backup_id: Some(backup.backup_id.clone()),
            slot: backup.slot,
            backup_type: Some(backup.backup_type),
            before_restore: backup.before_restore,
            ..operation_of(daemon, planned, OperationKind::Backup, &backup.kid)
        },
    };
    let details = until(planned.deadline);
    daemon.begin(&mut taking.operation, &taking.subject, details)?;
    let answer = ask_until_taken(daemon, followed, planned, backup);
    tracing::debug!(event = "effect_ended", "the effect has ended");
    let done = taking.conclude(answer);
    give_back(daemon, &taking.operation);
    done
}

impl Taking<'_> {
    fn conclude(&mut self, answer: Result<BackupReport, NoAnswer>) -> Result<Done, Failure> {
        match answer {
            Ok(report) => self.reported(&report),
            Err(NoAnswer::Failed(failure)) if failure.code != code::VAULT_COMMIT_INCOMPLETE => {
                self.left_nothing(failure)
            }
            Err(NoAnswer::Failed(failure) | NoAnswer::Lost(failure)) => self.after_loss(failure),
            Err(NoAnswer::Stopped) if !self.daemon.is_ending() => self.after_loss(cancelled()),
            Err(NoAnswer::Stopped) => {
                let failure = Failure::new(
                    code::RUN_INTERRUPTED,
                    "the daemon was asked to end while the effect ran",
                    "the next round inspects what was left and finishes the work",
                );
                let probe = self.probe();
                self.close(probe, &failure)?;
                Ok(self.done(Outcome::Failure, Some(failure), String::new()))
            }
        }
    }

    fn done(&self, outcome: Outcome, failure: Option<Failure>, summary: String) -> Done {
        Done {
            operation_id: self.planned.operation_id.clone(),
            kind: self.planned.step.kind().to_owned(),
            plan_id: self.backup.plan_id.clone(),
            backup_id: Some(self.backup.backup_id.clone()),
            outcome,
            failure,
            summary,
        }
    }

    fn probe(&self) -> Probe {
        let backup = self.backup;
        recover::probe(
            self.daemon,
            &self.operation,
            backup.commit,
            &backup.locations,
        )
    }

    fn close(&mut self, probe: Probe, failure: &Failure) -> Result<(), Failure> {
        let operation = &mut self.operation;
        recover::close(self.daemon, self.followed, operation, probe, failure)
    }

    fn reported(&mut self, report: &BackupReport) -> Result<Done, Failure> {
        let outcome = &report.outcome;
        let snapshot = Snapshot {
            id: outcome.snapshot_id.clone(),
            shows: outcome.consistency_point,
            bytes: outcome.bytes,
            added_bytes: outcome.added_bytes,
            locations: outcome.committed.iter().cloned().collect(),
            repository: format!(
                "{}/{}/{}",
                self.followed.active.model.environment.environment_id,
                self.backup.plan_id,
                self.backup.kid
            ),
        };
        let packs = Portion::Packs(outcome.packs.clone());
        self.took(&snapshot, &report.sources, &packs)
    }

    /// The child gave no answer: only a look at the locations shows what happened.
    fn after_loss(&mut self, failure: Failure) -> Result<Done, Failure> {
        match self.probe() {
            Probe::Absent => self.left_nothing(failure),
            Probe::Present(found) => {
                let report = recover::left_by(self.daemon, &self.operation);
                // Which packs the run wrote is not known.
                self.took(&found, &report, &Portion::All)
            }
            Probe::Unknown(why) => {
                self.close(Probe::Unknown(why), &failure)?;
                Ok(self.done(Outcome::Unknown, Some(failure), String::new()))
            }
        }
    }

    fn left_nothing(&mut self, failure: Failure) -> Result<Done, Failure> {
        let now = self.daemon.now();
        let ending = backup::left_nothing(&self.operation, &self.subject, &failure, now);
        let outcome = ending.outcome;
        self.daemon
            .end(&mut self.operation, &self.subject, ending, now)?;
        Ok(self.done(outcome, Some(failure), String::new()))
    }

    /// Records the recovery point, then checks it where policy wants that: the packs of earlier runs were read when they were
    /// written, and are read again at the tier's cadence.
    fn took(
        &mut self,
        snapshot: &Snapshot,
        report: &SourceReport,
        portion: &Portion,
    ) -> Result<Done, Failure> {
        let (daemon, followed, planned) = (self.daemon, self.followed, self.planned);
        let wanted = self.backup;
        let run = recover::point(daemon, followed, &self.operation, snapshot, report)?;
        let run = Run {
            overran: run.finished_at > planned.deadline,
            ..run
        };
        let in_doubt = backup::in_doubt(&run);
        let now = daemon.now();
        let ending = backup::took(&run, report, !wanted.checksum_required, now);
        daemon.end(&mut self.operation, &self.subject, ending, now)?;
        tracing::debug!(event = "point_recorded", "recovery point is in the catalog");
        let held = run.storage_locations.len();
        let summary = format!(
            "{} recovery point of {} at {}",
            run.backup_type.as_str(),
            bytes(run.bytes),
            count(held as u64, "location")
        );
        if !wanted.checksum_required {
            let outcome = outcome_of(in_doubt.as_ref(), Outcome::Success);
            return Ok(self.done(outcome, in_doubt, summary));
        }
        let verify = Verify {
            plan_id: wanted.plan_id.clone(),
            backup_id: wanted.backup_id.clone(),
            ends_slot: wanted.slot,
            locations: run.storage_locations.keys().cloned().collect(),
            enough: usize::try_from(wanted.commit).unwrap_or(usize::MAX).max(1),
        };
        let check = Planned {
            operation_id: planned.operation_id.replacen("backup.", "verify.", 1),
            step: Step::Verify(verify.clone()),
            reason: "it counts only after its check".to_owned(),
            deadline: planned.deadline,
            stall_limit: planned.stall_limit,
        };
        let _span = spans::operation(&check.operation_id);
        let _at_work = daemon.works_on(&check.operation_id)?;
        let checked = care::check(daemon, followed, &check, &verify, portion)?;
        let summary = format!("{summary}, {}", checked.summary);
        let outcome = outcome_of(in_doubt.as_ref(), checked.outcome);
        let failure = checked.failure.or(in_doubt);
        Ok(self.done(outcome, failure, summary))
    }
}

/// A person ended it: its slot ends with it, or it would begin again at once.
fn cancelled() -> Failure {
    Failure::new(
        code::OPERATION_CANCELLED,
        "a person cancelled it",
        "`seawalld backup` takes a recovery point when it is needed again",
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
                if failure.code != code::VAULT_COMMIT_INCOMPLETE
                    && !backup::is_for_time(failure) =>
            {
                let pause = RETRY_PAUSE.saturating_mul(tries).min(RETRY_PAUSE_MAX);
                tracing::warn!(event = "operation_retried", tries, code = %failure.code, "{}; it is tried again", failure.message);
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
    outlast(daemon.effects.as_ref(), &daemon.stop, pause) && daemon.now() < deadline
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
            full: backup.backup_type == BackupType::Full,
            compression: backup.compression,
            jobs: backup.parallel_jobs,
            commit: usize::try_from(backup.commit).unwrap_or(usize::MAX),
            existing,
            tags: PointTags {
                backup_id: backup.backup_id.to_string(),
                plan_id: backup.plan_id.to_string(),
                slot: backup.slot.map(|slot| slot.to_string()),
                bundle: Some(followed.payload.to_string()),
                before_restore: backup.before_restore,
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

pub(super) fn confused() -> Failure {
    Failure::new(
        code::EFFECT_PANICKED,
        "the worker answered another question",
        "report this as a bug",
    )
}

/// A point of a source in doubt is kept, and is no success.
const fn outcome_of(in_doubt: Option<&Failure>, outcome: Outcome) -> Outcome {
    match (in_doubt, outcome) {
        (Some(_), Outcome::Success) => Outcome::Partial,
        (_, outcome) => outcome,
    }
}
