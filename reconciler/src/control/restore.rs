//! Owns bringing data back: the point is chosen, its content is read and checked in a staging folder, and only then handed
//! to the connector. Never runs what needs an approval. The interesting function is [`restore`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::code;
use contract::id::{BackupId, DatasetId, PlanId};
use contract::model::Action;
use contract::receipt::{DecisionType, Phase};
use jiff::Timestamp;
use serde::Serialize;

use super::execute::{self, Subject, bytes, result};
use super::policy::{self, Followed};
use super::{Access, Daemon, locations, operate, recover, round};
use crate::failure::Failure;
use crate::plan::{own_plans, stamp};
use crate::store::{Change, Execution, ExecutionKind, Outcome, Restores, Run, Store as _};
use crate::world::clock;
use crate::world::connector::{
    self, Binding, Bounds, Cancel, Material, Mode, Observation, RestoreSummary,
};
use crate::world::vault::{Helper, RestoreOutcome, RestoreRequest, VaultError};

/// Live data that cannot be seen within this time are taken to be there.
const LOOK_DEADLINE: Duration = Duration::from_mins(1);

/// A receipt has room for this many points that were passed over.
const SKIPPED_TOLD: usize = 8;

/// Which state is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// The newest good one.
    Latest,
    /// The newest good one that shows a state at or before this instant.
    LatestBefore(Timestamp),
    /// This one.
    BackupId(BackupId),
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// As files, into an empty folder.
    ExportOnly,
    /// Usable, beside the original.
    SideBySide,
    /// Over the original.
    InPlace,
}

impl Wanted {
    /// The word in receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExportOnly => "export_only",
            Self::SideBySide => "side_by_side",
            Self::InPlace => "in_place",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::ExportOnly => Action::RestoreExport,
            Self::SideBySide => Action::RestoreSideBySide,
            Self::InPlace => Action::RestoreInPlace,
        }
    }
}

/// What an operator asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The dataset.
    pub dataset: DatasetId,
    /// Which state.
    pub point: Point,
    /// Where.
    pub mode: Wanted,
    /// A folder, a file, or the name of a new database; none in place.
    pub target: Option<String>,
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// `rs.<dataset_id>.<instant>`.
    pub restore_id: String,
    /// The recovery point.
    pub backup_id: BackupId,
    /// The state that is back.
    pub consistent_at: Option<Timestamp>,
    /// The location that served it.
    pub location: String,
    /// Newer points that were passed over, and why.
    pub skipped: Vec<Skipped>,
    /// The recovery point that was taken before, in place.
    pub before: Option<BackupId>,
    /// What the connector did and checked.
    pub summary: RestoreSummary,
}

/// A newer point that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Which one.
    pub backup_id: BackupId,
    /// Why.
    pub why: String,
}

/// Restores one dataset.
pub fn restore(daemon: &Daemon, request: &Request) -> Result<Restored, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::follow(daemon, now)?;
    locations::confirm(daemon, now)?;
    recover::recover(daemon, &followed)?;
    approved(&followed, request)?;
    let points = choose(daemon, &followed, request)?;
    let Some(run) = points.first() else {
        return Err(no_point(request));
    };
    let plan_id = run.plan_id.clone();
    let restore_id = format!("rs.{}.{}", request.dataset, stamp(now));
    let mode = mode(request, &restore_id)?;
    let nothing_there = request.mode == Wanted::InPlace && is_absent(daemon, &request.dataset);
    let before = match request.mode {
        Wanted::ExportOnly | Wanted::SideBySide => None,
        Wanted::InPlace if nothing_there => None,
        Wanted::InPlace => Some(point_before(daemon, &followed, &plan_id, now)?),
    };
    let policy = operate::policy_of(&followed, &plan_id)?;
    let deadline = operate::deadline(policy, clock::now());
    let execution = Execution {
        operation_id: format!("restore.{restore_id}"),
        kind: ExecutionKind::Restore,
        plan_id: plan_id.clone(),
        backup_id: Some(run.backup_id.clone()),
        slot: None,
        backup_type: None,
        restores: Some(Restores {
            restore_id: restore_id.clone(),
            dataset_id: request.dataset.clone(),
            in_place: request.mode == Wanted::InPlace,
        }),
        kid: run.kid.clone(),
        started_at: clock::now(),
        deadline,
        epoch: daemon.store.epoch(),
        outcome: None,
        ended_at: None,
        error: None,
    };
    let receipts = Receipts {
        subject: Subject {
            plane: Some(policy.plane),
            plan_id,
            dataset_ids: vec![request.dataset.clone()],
        },
        restore_id: &restore_id,
        request,
        before: before.as_ref(),
        nothing_there,
    };
    begin(daemon, &receipts, &execution)?;
    let within = Duration::from_secs(policy.backup_frequency.completion_window_s.get().max(1));
    let staging = execute::spool(daemon, &execution.operation_id);
    let worked = staging.and_then(|staging| {
        let bounds = Bounds::within(within, Cancel::new()).with_jobs(policy.parallel_jobs);
        let worked = stage_and_apply(daemon, request, &points, &mode, &staging, &bounds);
        let _ = std::fs::remove_dir_all(&staging);
        worked
    });
    end(daemon, &receipts, &execution, &worked)?;
    let _ = round::copy_receipts(daemon);
    let worked = worked?;
    Ok(Restored {
        restore_id,
        backup_id: worked.run.backup_id,
        consistent_at: worked.run.consistent_at,
        location: worked.outcome.location.to_string(),
        skipped: worked.skipped,
        before,
        summary: worked.summary,
    })
}

/// Where any approval policy asks for one approval or more, the command is refused: it carries none.
fn approved(followed: &Followed, request: &Request) -> Result<(), Failure> {
    let model = &followed.in_force.model;
    let dataset = model.datasets.get(&request.dataset).ok_or_else(|| {
        Failure::new(
            code::UNKNOWN_OBJECT,
            format!("the policy in force has no dataset `{}`", request.dataset),
            "`seawalld catalog` shows the datasets of each recovery point",
        )
    })?;
    let environment = &model.environment.environment_id;
    let asking = model.settings.approvals.values().find(|policy| {
        policy.action == request.mode.action()
            && policy.environments.contains(environment)
            && policy.tiers.contains(&dataset.criticality)
            && policy.approvals > 0
    });
    match asking {
        None => Ok(()),
        Some(policy) => Err(Failure::new(
            code::APPROVAL_REQUIRED,
            format!(
                "restoring `{}` {} needs {} by approval policy `{}`",
                request.dataset,
                request.mode.as_str().replace('_', " "),
                execute::count(u64::from(policy.approvals), "approval"),
                policy.approval_id
            ),
            "restore with `--mode export-only` or `side-by-side` where that needs none, or lower the policy by a signed bundle",
        )),
    }
}

/// The matching points of all plans that hold the dataset, newest first. Points that are known to be damaged or gone are never
/// chosen automatically.
fn choose(daemon: &Daemon, followed: &Followed, request: &Request) -> Result<Vec<Run>, Failure> {
    let plans: BTreeSet<PlanId> = own_plans(&followed.in_force)
        .filter(|(_, policy)| policy.dataset_ids.contains(&request.dataset))
        .map(|(id, _)| id.clone())
        .collect();
    let mut points: Vec<Run> = daemon
        .store
        .runs()?
        .into_iter()
        .filter(|run| run.is_point() && run.dataset_ids.contains(&request.dataset))
        .filter(|run| plans.contains(&run.plan_id))
        .filter(|run| match &request.point {
            Point::Latest => run.may_serve(),
            Point::LatestBefore(at) => {
                run.may_serve() && run.consistent_at.is_some_and(|shown| shown <= *at)
            }
            Point::BackupId(id) => run.backup_id == *id,
        })
        .collect();
    points.sort_by_key(|run| std::cmp::Reverse(run.consistent_at));
    Ok(points)
}

fn no_point(request: &Request) -> Failure {
    let wanted = match &request.point {
        Point::Latest => String::new(),
        Point::LatestBefore(at) => format!(" at or before {at}"),
        Point::BackupId(id) => format!(" `{id}`"),
    };
    Failure::new(
        code::POINT_NOT_FOUND,
        format!(
            "dataset `{}` has no good recovery point{wanted}",
            request.dataset
        ),
        "`seawalld catalog` lists what there is",
    )
}

fn mode(request: &Request, restore_id: &str) -> Result<Mode, Failure> {
    let unfit = |why: &str, help: &str| Err(Failure::new(code::RESTORE_UNFIT, why, help));
    match (request.mode, &request.target) {
        (Wanted::InPlace, Some(_)) => unfit(
            "a restore in place has no target: it goes over the live data",
            "leave out `--target`",
        ),
        (Wanted::InPlace, None) => Ok(Mode::InPlace {
            restore_id: restore_id.to_owned(),
        }),
        (Wanted::ExportOnly | Wanted::SideBySide, None) => unfit(
            "the restore has no target",
            "name a folder, a file, or a new database with `--target`",
        ),
        (Wanted::ExportOnly, Some(target)) if !Path::new(target).is_absolute() => unfit(
            "the target must be an absolute path",
            "write it from `/` on",
        ),
        (Wanted::ExportOnly, Some(target)) => Ok(Mode::ExportOnly {
            folder: PathBuf::from(target),
        }),
        (Wanted::SideBySide, Some(target)) => Ok(Mode::SideBySide {
            target: target.clone(),
        }),
    }
}

/// In place, what is there now is taken first: without a good recovery point of it nothing is replaced.
fn point_before(
    daemon: &Daemon,
    followed: &Followed,
    plan_id: &PlanId,
    now: Timestamp,
) -> Result<BackupId, Failure> {
    let done = operate::backup_under(daemon, followed, plan_id, now)?;
    match (done.failure, done.backup_id) {
        (None, Some(id)) => Ok(id),
        (failure, _) => Err(failure.unwrap_or_else(|| {
            Failure::new(
                code::PRECONDITION_FAILED,
                "no recovery point could be taken before the restore",
                "restore side by side instead",
            )
        })),
    }
}

/// Whether it is certain that there is no live data to lose. Data that cannot be looked at may be there.
fn is_absent(daemon: &Daemon, dataset: &DatasetId) -> bool {
    let bounds = Bounds::within(LOOK_DEADLINE, Cancel::new());
    daemon.config.datasets.get(dataset).is_some_and(|binding| {
        let seen = connector::observe(binding, &bounds);
        matches!(seen.fingerprint, Observation::Absent { .. })
    })
}

/// What was restored, and what was passed over for it.
struct Worked {
    run: Run,
    outcome: RestoreOutcome,
    skipped: Vec<Skipped>,
    summary: RestoreSummary,
}

fn stage_and_apply(
    daemon: &Daemon,
    request: &Request,
    points: &[Run],
    mode: &Mode,
    staging: &Path,
    bounds: &Bounds,
) -> Result<Worked, Failure> {
    let binding = daemon
        .config
        .datasets
        .get(&request.dataset)
        .ok_or_else(|| {
            Failure::new(
                code::PLAN_UNBOUND,
                format!("dataset `{}` is not bound", request.dataset),
                format!("bind it under `datasets.{}`", request.dataset),
            )
        })?;
    let folder = staging.join("content");
    let goes_to = written_below(binding, mode);
    let (run, outcome, skipped) = stage(daemon, request, points, &folder, goes_to, bounds)?;
    let material = Material {
        folder: &folder,
        manifest: run.manifests.get(&request.dataset),
    };
    let summary = connector::restore(binding, material, mode, bounds)?;
    if let Some(bad) = summary.checks.iter().find(|check| !check.has_passed()) {
        return Err(Failure::new(
            code::VALIDATION_FAILED,
            format!("check `{}` of the restored data failed", bad.name),
            "look at the target before anybody uses it, or restore another point",
        ));
    }
    Ok(Worked {
        run: run.clone(),
        outcome,
        skipped,
        summary,
    })
}

type Staged<'run> = (&'run Run, RestoreOutcome, Vec<Skipped>);

/// Brings the newest point that can be read into the staging folder. Whoever asks for the latest state wants data back: a point
/// that turns out to be gone or damaged is passed over, and reported.
fn stage<'run>(
    daemon: &Daemon,
    request: &Request,
    points: &'run [Run],
    folder: &Path,
    goes_to: Option<PathBuf>,
    bounds: &Bounds,
) -> Result<Staged<'run>, Failure> {
    let mut skipped = Vec::new();
    for (index, run) in points.iter().enumerate() {
        let access = Access::new(
            daemon,
            &run.plan_id,
            &run.kid,
            run.storage_locations.keys().cloned(),
        )?;
        let wanted = RestoreRequest {
            snapshot_id: run.snapshot_id.clone().unwrap_or_default(),
            dataset: request.dataset.clone(),
            target: folder.to_owned(),
            goes_to: goes_to.clone(),
            location: None,
        };
        // Everything is read again and hashed in a child before the connector sees it.
        let helper = Helper::this_program(bounds.left())?;
        match access.vault()?.restore(&wanted, &helper, &mut |_| {}) {
            Ok(outcome) => {
                tracing::info!(location = %outcome.location, files = outcome.restored.files, "content is checked");
                return Ok((run, outcome, skipped));
            }
            Err(
                error @ (VaultError::SnapshotAbsent { .. }
                | VaultError::RepositoryAbsent { .. }
                | VaultError::RestoreFailed { .. }),
            ) if index + 1 < points.len() => {
                let why = crate::failure::chain(&error);
                tracing::warn!(event = "point_skipped", point = %run.backup_id, "{why}");
                skipped.push(Skipped {
                    backup_id: run.backup_id.clone(),
                    why,
                });
                let _ = std::fs::remove_dir_all(folder);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(no_point(request))
}

/// The folder that the content is copied to; none for a database server, whose disks are not seen from here.
fn written_below(binding: &Binding, mode: &Mode) -> Option<PathBuf> {
    match (binding, mode) {
        (_, Mode::ExportOnly { folder }) => Some(folder.clone()),
        (Binding::Postgres(_), Mode::SideBySide { .. } | Mode::InPlace { .. }) => None,
        (_, Mode::SideBySide { target }) => Some(PathBuf::from(target)),
        (_, Mode::InPlace { .. }) => connector::live_path(binding).map(Path::to_owned),
    }
}

struct Receipts<'r> {
    subject: Subject,
    restore_id: &'r str,
    request: &'r Request,
    before: Option<&'r BackupId>,
    nothing_there: bool,
}

impl Receipts<'_> {
    fn draft(&self, phase: Phase, execution: &Execution) -> crate::world::receipts::Draft {
        let mut draft = self
            .subject
            .draft(DecisionType::Restore, phase, &execution.operation_id);
        draft.restore_id = Some(self.restore_id.to_owned());
        draft.backup_id.clone_from(&execution.backup_id);
        let mut tell = |name: &str, value: String| {
            draft.details.insert(name.to_owned(), value);
        };
        tell("mode", self.request.mode.as_str().to_owned());
        if let Some(target) = &self.request.target {
            tell("target", target.chars().take(1_000).collect());
        }
        if let Some(before) = self.before {
            tell("point_before", before.to_string());
        }
        if self.nothing_there {
            tell("point_before", "none, the live data were absent".to_owned());
        }
        draft
    }
}

fn begin(daemon: &Daemon, receipts: &Receipts<'_>, execution: &Execution) -> Result<(), Failure> {
    let draft = receipts.draft(Phase::Intent, execution);
    let changes = [Change::ExecutionStarted(execution.clone())];
    let at = execution.started_at;
    daemon.commit(&changes, vec![draft], at)
}

fn end(
    daemon: &Daemon,
    receipts: &Receipts<'_>,
    execution: &Execution,
    worked: &Result<Worked, Failure>,
) -> Result<(), Failure> {
    let now = clock::now();
    let mut draft = receipts.draft(Phase::Outcome, execution);
    let failure = worked.as_ref().err();
    let outcome = match failure {
        None => Outcome::Success,
        Some(_) => Outcome::Failure,
    };
    if let Ok(Worked {
        run,
        outcome: served,
        skipped,
        summary,
    }) = worked
    {
        draft.backup_id = Some(run.backup_id.clone());
        for (index, one) in skipped.iter().take(SKIPPED_TOLD).enumerate() {
            let why: String = one.why.chars().take(400).collect();
            let told = format!("{}: {why}", one.backup_id);
            draft.details.insert(format!("skipped_{index:02}"), told);
        }
        let passed: Vec<&str> = summary
            .checks
            .iter()
            .map(|check| check.name.as_str())
            .collect();
        let details = [
            ("location", served.location.to_string()),
            ("restored_to", summary.target.clone()),
            ("items", summary.items.to_string()),
            ("bytes", summary.bytes.to_string()),
            ("checks_passed", passed.join(", ")),
        ];
        for (name, value) in details {
            draft
                .details
                .insert(name.to_owned(), value.chars().take(1_000).collect());
        }
        if let Some(kept) = &summary.kept {
            draft.details.insert("kept".to_owned(), kept.clone());
        }
        tracing::info!(items = summary.items, size = %bytes(summary.bytes), "restored");
    }
    draft.result = Some(result(outcome));
    draft.error = failure.map(Failure::note);
    let changes = [Change::ExecutionEnded {
        operation_id: execution.operation_id.clone(),
        outcome,
        error: failure.map(|failure| failure.code.to_string()),
        at: now,
    }];
    daemon.commit(&changes, vec![draft], now)
}
