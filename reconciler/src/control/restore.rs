//! Owns bringing data back: the point is chosen, its content is read and checked in a staging folder, and only then handed
//! to the connector. Never runs what needs an approval. The interesting function is [`restore`].
//!
//! What exists is what the catalog says, whatever became of its plan or dataset; the active policy says who may.

mod safety;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::code;
use contract::duration::Seconds;
use contract::id::{BackupId, DatasetId};
use contract::model::Action;
use contract::receipt::{DecisionType, POINT_BEFORE, Phase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::execute::confused;
use super::policy::{self, Followed};
use super::spool::spool;
use super::{Daemon, SAYS_SO_WITHIN, copies, locations, recover};
use crate::domain::{Draft, Operation, OperationKind, Outcome, Restores, Run, State, has_come};
use crate::failure::Failure;
use crate::operation::{Details, Ending, result};
use crate::plan::stamp;
use crate::progress::Stage;
use crate::spans;
use crate::words::{bytes, count};
use crate::worker::Access;
use crate::worker::protocol::{Answer, ApplyOrder, Limit, Order};
use crate::worker::supervisor::NoAnswer;
use crate::world::connector::{self, Binding, Mode, RestoreSummary};
use crate::world::vault::{RestoreOutcome, RestoreRequest, VaultError};

pub use safety::Before;

/// A restore is never ended for being late: a person waits for it, and can stop it. This only gives its record a date.
const LONGEST_RESTORE: Duration = Duration::from_hours(366 * 24);

/// A receipt has room for this many points that were passed over.
const SKIPPED_TOLD: usize = 8;

/// Which state is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// The newest good one.
    Latest,
    /// The newest good one that shows a state at or before this instant.
    #[schema(value_type = String, format = DateTime)]
    LatestBefore(Timestamp),
    /// This one.
    #[schema(value_type = crate::schema::PointId)]
    BackupId(BackupId),
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The dataset.
    #[schema(value_type = crate::schema::Id)]
    pub dataset: DatasetId,
    /// Which state.
    pub point: Point,
    /// Where.
    pub mode: Wanted,
    /// A folder, a file, or the name of a new database; none in place.
    pub target: Option<String>,
    /// Go on in place without a recovery point of what is there, which the restore keeps aside.
    pub without_safety_point: bool,
}

/// What a restore did.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which one.
    pub backup_id: BackupId,
    /// Why.
    pub why: String,
}

/// The work that a request came to.
struct Admitted {
    restore_id: String,
    /// The newest matching point, with the id that the dataset has or had in it.
    newest: HeldPoint,
    /// Older ones, newest first, for when it turns out to be gone or damaged.
    older: Vec<HeldPoint>,
    mode: Mode,
}

/// A recovery point, and the id that it holds the dataset under.
type HeldPoint = (Run, DatasetId);

/// Restores one dataset, after a look at what may have changed.
pub fn restore(daemon: &Daemon, request: &Request) -> Result<Restored, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::follow(daemon, now)?;
    locations::confirm(daemon, now)?;
    recover::recover(daemon, &followed)?;
    let restored = restore_under(daemon, &followed, request, now);
    let _ = copies::copy_receipts(daemon);
    restored
}

/// The same under a policy that is known already.
pub fn restore_under(
    daemon: &Daemon,
    followed: &Followed,
    request: &Request,
    now: Timestamp,
) -> Result<Restored, Failure> {
    let restore_id = format!("rs.{}.{}", request.dataset, stamp(now));
    let admitted = match admit(daemon, followed, request, restore_id.clone(), now) {
        Ok(admitted) => admitted,
        Err(failure) => {
            refuse(daemon, request, &restore_id, &failure)?;
            return Err(failure);
        }
    };
    let before = match request.mode {
        Wanted::ExportOnly | Wanted::SideBySide => None,
        Wanted::InPlace => Some(safety::point_before(
            daemon, followed, request, &admitted, now,
        )?),
    };
    carry_out(daemon, followed, request, admitted, before.as_ref())
}

/// Whether a request may be carried out, and what it comes to. Nothing has begun yet.
fn admit(
    daemon: &Daemon,
    followed: &Followed,
    request: &Request,
    restore_id: String,
    now: Timestamp,
) -> Result<Admitted, Failure> {
    let runs = daemon.store.points(None)?;
    approved(followed, request, &runs)?;
    let mode = mode(request, &restore_id)?;
    if let Some(binding) = daemon.config.datasets.get(&request.dataset) {
        connector::can_restore(binding.kind(), &mode)?;
    }
    let mut points = choose(followed, request, runs, now).into_iter();
    let newest = points.next().ok_or_else(|| no_point(request))?;
    Ok(Admitted {
        restore_id,
        newest,
        older: points.collect(),
        mode,
    })
}

/// A refused request is recorded as what it is: nothing was tried, so nothing failed.
fn refuse(
    daemon: &Daemon,
    request: &Request,
    restore_id: &str,
    failure: &Failure,
) -> Result<(), Failure> {
    let operation = format!("restore.{restore_id}");
    let mut draft = Draft::new(DecisionType::RequestRefused, Phase::Decision, &operation);
    draft.dataset_ids = vec![request.dataset.clone()];
    draft.restore_id = Some(restore_id.to_owned());
    draft.result = Some(result(Outcome::Failure));
    draft.error = Some(failure.note());
    draft.details = described(request);
    daemon.commit(&[], vec![draft], daemon.now())
}

fn carry_out(
    daemon: &Daemon,
    followed: &Followed,
    request: &Request,
    admitted: Admitted,
    before: Option<&Before>,
) -> Result<Restored, Failure> {
    let Admitted {
        restore_id,
        newest: (run, _),
        ..
    } = &admitted;
    let model = &followed.active.model;
    let policy = model.plans.get(&run.plan_id);
    let started_at = daemon.now();
    let mut operation = Operation {
        operation_id: format!("restore.{restore_id}"),
        kind: OperationKind::Restore,
        plan_id: run.plan_id.clone(),
        dataset_ids: BTreeSet::from([request.dataset.clone()]),
        backup_id: Some(run.backup_id.clone()),
        slot: None,
        backup_type: None,
        before_restore: false,
        restores: Some(Restores {
            restore_id: restore_id.clone(),
            dataset_id: request.dataset.clone(),
            in_place: request.mode == Wanted::InPlace,
        }),
        removes: BTreeSet::new(),
        kid: run.kid.clone(),
        started_at,
        deadline: started_at
            .checked_add(SignedDuration::try_from(LONGEST_RESTORE).unwrap_or(SignedDuration::MAX))
            .unwrap_or(Timestamp::MAX),
        epoch: daemon.store.epoch(),
        state: State::Ready,
        ended_at: None,
        error: None,
    };
    let subject = followed.subject_of(&run.plan_id, [&request.dataset]);
    let mut details = described(request);
    if let Some(before) = before {
        details.insert(POINT_BEFORE.to_owned(), before.to_string());
    }
    let _span = spans::operation(&operation.operation_id);
    let _at_work = daemon.works_on(&operation.operation_id)?;
    daemon.begin(&mut operation, &subject, details.clone())?;
    let jobs = policy.map_or(1, |policy| policy.parallel_jobs);
    let deadline = Instant::now() + LONGEST_RESTORE;
    let dataset = model.datasets.get(&request.dataset);
    let objective = dataset.map(|dataset| dataset.rto_s);
    let staging = spool(daemon, &operation.operation_id);
    let content = staging
        .as_ref()
        .map_err(Failure::clone)
        .and_then(|staging| read(daemon, request, &admitted, staging, deadline));
    let (ending, done) = match content {
        // Nothing was touched yet.
        Err(failure) => {
            let ending = Ending::new(Outcome::Failure, Some(failure.clone()));
            (Ending { details, ..ending }, Err(failure))
        }
        Ok(content) => {
            // A newer point may have been passed over.
            operation.backup_id = Some(content.run.backup_id.clone());
            describe(&content, &mut details);
            match apply(daemon, &content, &admitted.mode, jobs, deadline) {
                Ok(summary) => {
                    let ending = succeeded(&operation, &summary, details, objective, daemon.now());
                    (ending, Ok((content, summary)))
                }
                Err(why) => {
                    let (ending, failure) = unfinished(daemon, &operation, why, details);
                    (ending, Err(failure))
                }
            }
        }
    };
    if let Ok(staging) = &staging {
        let _ = std::fs::remove_dir_all(staging);
    }
    daemon.end(&mut operation, &subject, ending, daemon.now())?;
    let (content, summary) = done?;
    Ok(Restored {
        restore_id: admitted.restore_id,
        backup_id: content.run.backup_id,
        consistent_at: content.run.consistent_at,
        location: content.outcome.location.to_string(),
        skipped: content.skipped,
        before: before.and_then(Before::taken).cloned(),
        summary,
    })
}

/// How a restore ended whose data were not put in place, as far as the worker said: of live data, they show it themselves.
fn unfinished(
    daemon: &Daemon,
    operation: &Operation,
    why: NoAnswer,
    details: Details,
) -> (Ending, Failure) {
    let is_over_live = operation.restores.as_ref().is_some_and(|it| it.in_place);
    let left = || recover::left_by_restore(daemon, operation);
    let mut ending = match why {
        NoAnswer::Failed(failure) => {
            let left = is_over_live.then(left);
            match left.filter(|left| left.outcome == Outcome::Partial) {
                // It failed after the restored data were live.
                Some(left) => {
                    let seen = left.failure.map(|seen| seen.message).unwrap_or_default();
                    let message = format!("{}; {seen}", failure.message);
                    let failure = Failure::new(failure.code, message, failure.help);
                    Ending::new(Outcome::Partial, Some(failure))
                }
                None => Ending::new(Outcome::Failure, Some(failure)),
            }
        }
        NoAnswer::Lost(lost) => {
            let mut ending = left();
            if let Some(failure) = &mut ending.failure {
                failure.message = format!("{} ({})", failure.message, lost.message);
            }
            ending.say("lost", lost.message);
            ending
        }
        NoAnswer::Stopped => left(),
    };
    ending.details.extend(details);
    let failure = ending.failure.clone().unwrap_or_else(confused);
    tracing::error!(event = "restore_failed", operation = %operation.operation_id, code = %failure.code, "{}", failure.message);
    (ending, failure)
}

/// Where any approval policy asks for one approval or more, the command is refused: it carries none. Of a dataset that left the
/// policy nobody knows the tier any more: the strictest counts.
fn approved(followed: &Followed, request: &Request, runs: &[Run]) -> Result<(), Failure> {
    let model = &followed.active.model;
    let dataset = model.datasets.get(&request.dataset);
    let held = |run: &Run| run.is_point() && run.dataset_ids.contains(&request.dataset);
    if dataset.is_none() && !runs.iter().any(held) {
        return Err(Failure::new(
            code::UNKNOWN_OBJECT,
            format!(
                "neither the active policy nor the catalog has a dataset `{}`",
                request.dataset
            ),
            "`seawalld catalog` shows the datasets of each recovery point",
        ));
    }
    let environment = &model.environment.environment_id;
    let asking = model
        .settings
        .approvals
        .values()
        .filter(|policy| {
            policy.action == request.mode.action()
                && policy.environments.contains(environment)
                && dataset.is_none_or(|dataset| policy.tiers.contains(&dataset.criticality))
                && policy.approvals > 0
        })
        .max_by_key(|policy| policy.approvals);
    match asking {
        None => Ok(()),
        Some(policy) => Err(Failure::new(
            code::APPROVAL_REQUIRED,
            format!(
                "restoring `{}` {} needs {} by approval policy `{}`",
                request.dataset,
                request.mode.as_str().replace('_', " "),
                count(u64::from(policy.approvals), "approval"),
                policy.approval_id
            ),
            "restore with `--mode export-only` or `side-by-side` where that needs none, or lower the policy by a signed bundle",
        )),
    }
}

/// The matching points that hold the dataset, newest first, under the id that it has or had. Points that are known to be damaged or
/// gone, or whose source is in doubt, are never chosen automatically, and a point of an unknown time only where there is no other.
fn choose(
    followed: &Followed,
    request: &Request,
    runs: Vec<Run>,
    now: Timestamp,
) -> Vec<HeldPoint> {
    let dataset = followed.active.model.datasets.get(&request.dataset);
    let former = dataset.and_then(|dataset| dataset.formerly.as_ref());
    let names = [Some(&request.dataset), former];
    let held_as = |run: &Run| {
        let mut names = names.into_iter().flatten();
        names.find(|id| run.dataset_ids.contains(*id)).cloned()
    };
    let mut points: Vec<HeldPoint> = runs
        .into_iter()
        .filter(Run::is_point)
        .filter(|run| match &request.point {
            Point::Latest => run.may_serve(),
            Point::LatestBefore(at) => {
                run.may_serve() && run.consistent_at.is_some_and(|shown| shown <= *at)
            }
            Point::BackupId(id) => run.backup_id == *id,
        })
        .filter_map(|run| held_as(&run).map(|held_as| (run, held_as)))
        .collect();
    // While the clock is in doubt, points that were taken meanwhile are as old as they say; by a clock that is right they may be
    // of any time, and come last, as do points of a time to come.
    let in_doubt = followed.active.clock.is_ahead();
    points.sort_by_key(|(run, _)| {
        let has_come = run.consistent_at.is_some_and(|at| has_come(at, now));
        Reverse((
            has_come && (in_doubt || !run.clock_in_doubt),
            run.consistent_at,
        ))
    });
    points
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
    if request.without_safety_point && request.mode != Wanted::InPlace {
        return unfit(
            "nothing is replaced, so there is no recovery point to go without",
            "leave out `--without-safety-point`",
        );
    }
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

/// Content that was read and checked, and what was passed over for it.
struct Content {
    run: Run,
    held_as: DatasetId,
    binding: Binding,
    folder: PathBuf,
    outcome: RestoreOutcome,
    skipped: Vec<Skipped>,
}

/// Reads the content of the dataset into the spool.
fn read(
    daemon: &Daemon,
    request: &Request,
    admitted: &Admitted,
    staging: &Path,
    deadline: Instant,
) -> Result<Content, Failure> {
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
    let goes_to = written_below(binding, &admitted.mode);
    let ((run, held_as), outcome, skipped) =
        stage(daemon, request, admitted, &folder, goes_to, deadline)?;
    if daemon.stop.is_cancelled() {
        return Err(VaultError::Stopped.into());
    }
    Ok(Content {
        run: run.clone(),
        held_as: held_as.clone(),
        binding: binding.clone(),
        folder,
        outcome,
        skipped,
    })
}

/// Has the connector put the content in place, in a worker.
fn apply(
    daemon: &Daemon,
    content: &Content,
    mode: &Mode,
    jobs: u32,
    deadline: Instant,
) -> Result<RestoreSummary, NoAnswer> {
    let order = ApplyOrder {
        binding: content.binding.clone(),
        folder: content.folder.clone(),
        manifest: content.run.manifests.get(&content.held_as).cloned(),
        mode: mode.clone(),
        jobs,
        within: deadline.saturating_duration_since(Instant::now()),
    };
    daemon.meter.begin(Stage::Applying);
    let limit = Limit::Within(order.within.saturating_add(SAYS_SO_WITHIN));
    let summary = match daemon.effect(limit, &Order::Apply(Box::new(order)))? {
        Answer::Applied(summary) => *summary,
        _ => return Err(NoAnswer::Lost(confused())),
    };
    match summary.checks.iter().find(|check| !check.has_passed()) {
        None => Ok(summary),
        Some(bad) => Err(NoAnswer::Failed(Failure::new(
            code::VALIDATION_FAILED,
            format!("check `{}` of the restored data failed", bad.name),
            "inspect the target before it is used, or restore another point",
        ))),
    }
}

type Staged<'point> = (&'point HeldPoint, RestoreOutcome, Vec<Skipped>);

/// Brings the newest point that can be read into the staging folder. Whoever asks for the latest state wants data back: a point
/// that turns out to be gone or damaged is passed over, and reported.
fn stage<'point>(
    daemon: &Daemon,
    request: &Request,
    admitted: &'point Admitted,
    folder: &Path,
    goes_to: Option<PathBuf>,
    deadline: Instant,
) -> Result<Staged<'point>, Failure> {
    let mut skipped = Vec::new();
    let points = std::iter::once(&admitted.newest).chain(&admitted.older);
    for (index, point) in points.enumerate() {
        let (run, held_as) = point;
        let access = Access::new(
            daemon,
            &run.plan_id,
            &run.kid,
            run.storage_locations.keys().cloned(),
        )?;
        let wanted = RestoreRequest {
            snapshot_id: run.snapshot_id.clone().unwrap_or_default(),
            dataset: held_as.clone(),
            target: folder.to_owned(),
            goes_to: goes_to.clone(),
            location: None,
        };
        // Everything is read again and hashed in a child before the connector sees it.
        let helper = daemon
            .worker(Limit::Within(
                deadline.saturating_duration_since(Instant::now()),
            ))
            .map_err(VaultError::from)?;
        match access.vault()?.restore(&wanted, &helper) {
            Ok(outcome) => {
                tracing::info!(event = "restore_checked", location = %outcome.location, files = outcome.restored.files, "content is checked");
                return Ok((point, outcome, skipped));
            }
            Err(
                error @ (VaultError::SnapshotAbsent { .. }
                | VaultError::RepositoryAbsent { .. }
                | VaultError::RestoreFailed { .. }),
            ) if index < admitted.older.len() => {
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

/// What a receipt says of a request.
fn described(request: &Request) -> Details {
    let mut details = Details::new();
    let mut say = |name: &str, value: String| details.insert(name.to_owned(), value);
    say("mode", request.mode.as_str().to_owned());
    say(
        "point",
        match &request.point {
            Point::Latest => "latest".to_owned(),
            Point::LatestBefore(at) => format!("latest before {at}"),
            Point::BackupId(id) => id.to_string(),
        },
    );
    if let Some(target) = &request.target {
        say("target", target.chars().take(1_000).collect());
    }
    details
}

/// What the receipt says of the content, however the restore ends.
fn describe(content: &Content, details: &mut Details) {
    for (index, one) in content.skipped.iter().take(SKIPPED_TOLD).enumerate() {
        let why: String = one.why.chars().take(400).collect();
        let told = format!("{}: {why}", one.backup_id);
        details.insert(format!("skipped_{index:02}"), told);
    }
    let location = content.outcome.location.to_string();
    details.insert("location".to_owned(), location);
}

/// What a restore did, and whether it met the dataset's recovery time objective.
fn succeeded(
    operation: &Operation,
    summary: &RestoreSummary,
    details: Details,
    objective: Option<Seconds>,
    now: Timestamp,
) -> Ending {
    let mut ending = Ending {
        details,
        ..Ending::new(Outcome::Success, None)
    };
    let passed: Vec<&str> = summary
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    let said = [
        ("restored_to", summary.target.clone()),
        ("items", summary.items.to_string()),
        ("bytes", summary.bytes.to_string()),
        ("checks_passed", passed.join(", ")),
    ];
    for (name, value) in said {
        ending.say(name, value.chars().take(1_000).collect::<String>());
    }
    let took = now.duration_since(operation.started_at).as_secs();
    let took = Seconds::new(u64::try_from(took).unwrap_or(0));
    if let Some(objective) = objective.filter(|objective| took > *objective) {
        let missed = format!("it took {took}, the recovery time objective is {objective}");
        tracing::warn!(event = "rto_missed", "{missed}");
        ending.say("rto_missed", missed);
    }
    if let Some(kept) = &summary.kept {
        ending.say("kept", kept);
    }
    tracing::info!(event = "restored", items = summary.items, size = %bytes(summary.bytes), "restored");
    ending
}
