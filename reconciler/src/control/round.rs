//! Owns one round: follow, close what was lost, look, plan, review, execute, record, copy. Decides nothing of these itself.
//! The interesting function is [`round`].

use std::thread::ScopedJoinHandle;

use contract::code;
use jiff::Timestamp;

use super::execute::{self, Done};
use super::policy::{self, Followed};
use super::queue::{Busy, Queue};
use super::{Daemon, copies, locations, look, recover};
use crate::domain::{Change, Observed};
use crate::failure::Failure;
use crate::plan::{self, Plan, Planned};
use crate::review::{self, Objection};
use crate::status::{self, Status};

/// At least this many plans are worked on at the same time, on the smallest machine too: one of them may hang.
const WORKERS: usize = 2;

/// What a round did.
#[derive(Debug)]
pub struct Round {
    /// When it began.
    pub now: Timestamp,
    /// The policy it followed.
    pub followed: Followed,
    /// What it planned.
    pub plan: Plan,
    /// Steps that the review stopped.
    pub objections: Vec<Objection>,
    /// Steps that were executed.
    pub done: Vec<Done>,
    /// How everything stands afterwards.
    pub status: Status,
    /// Copies of the receipts that could not be written.
    pub copy_failures: Vec<Failure>,
}

/// What a round would do.
#[derive(Debug)]
pub struct Preview {
    /// The policy that it would follow.
    pub followed: Followed,
    /// What was seen.
    pub observed: Observed,
    /// What it would do.
    pub plan: Plan,
    /// Steps that the review would stop.
    pub objections: Vec<Objection>,
}

/// One whole round.
pub fn round(daemon: &Daemon) -> Result<Round, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::follow(daemon, now)?;
    locations::confirm(daemon, now)?;
    recover::recover(daemon, &followed)?;
    let observed = look::look(daemon, &followed, now)?;
    let planned = plan::plan(&followed.active, &observed, now);
    let objections = review::review(&planned, &observed, &followed.active, now);
    for objection in &objections {
        tracing::error!(code = %code::PLAN_OBJECTION, operation = %objection.operation_id, "{}", objection.why);
    }
    let done = carry_out(daemon, &followed, &planned, &objections)?;
    let status = settle(daemon, &followed, daemon.now())?;
    let copy_failures = copy_receipts(daemon);
    Ok(Round {
        now,
        followed,
        plan: planned,
        objections,
        done,
        status,
        copy_failures,
    })
}

/// Carries out the steps that the review let pass, those of different plans side by side: a plan that hangs delays no other.
fn carry_out(
    daemon: &Daemon,
    followed: &Followed,
    plan: &Plan,
    objections: &[Objection],
) -> Result<Vec<Done>, Failure> {
    let objected = |step: &Planned| {
        let id = &step.operation_id;
        objections
            .iter()
            .any(|objection| objection.operation_id == *id)
    };
    let passed: Vec<&Planned> = plan.steps.iter().filter(|step| !objected(step)).collect();
    let queue = Queue::of(passed);
    let workers = std::thread::available_parallelism().map_or(WORKERS, usize::from);
    let ended = std::thread::scope(|scope| {
        let all: Vec<_> = (0..workers.clamp(WORKERS, queue.plans().max(WORKERS)))
            .map(|_| scope.spawn(|| work(daemon, followed, &queue)))
            .collect();
        let joined: Vec<_> = all.into_iter().map(ScopedJoinHandle::join).collect();
        joined
    });
    let mut done = Vec::new();
    for worker in ended {
        done.extend(worker.map_err(|_| {
            let help = "report this as a bug; the next round looks at what was left";
            Failure::new(code::EFFECT_PANICKED, "carrying out a step panicked", help)
        })??);
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

/// Takes steps until none is left. A step that could not be recorded ends the round for everybody.
fn work(
    daemon: &Daemon,
    followed: &Followed,
    queue: &Queue<'_>,
) -> Result<Vec<(usize, Done)>, Failure> {
    let mut done = Vec::new();
    while let Some((place, step)) = queue.take(&daemon.stop) {
        // Given back even when the step panics, or the other workers would wait for this plan for ever.
        let _busy = Busy {
            queue,
            plan_id: step.step.plan_id(),
        };
        match execute::execute(daemon, followed, step) {
            Ok(one) => done.push((place, one)),
            Err(failure) => {
                queue.close();
                return Err(failure);
            }
        }
    }
    Ok(done)
}

/// Looks and plans without doing or recording anything.
pub fn preview(daemon: &Daemon) -> Result<Preview, Failure> {
    let now = daemon.now();
    let followed = policy::peek(daemon, now)?;
    observe_and_plan(daemon, followed, now)
}

/// Looks and plans under the bundle in force, without a look at git.
pub fn stand(daemon: &Daemon) -> Result<Preview, Failure> {
    let now = daemon.now();
    let problem = last_problem(daemon)?;
    let followed = policy::active(daemon, now, problem)?;
    observe_and_plan(daemon, followed, now)
}

/// What kept newer policy away when the last round looked.
fn last_problem(daemon: &Daemon) -> Result<Option<Failure>, Failure> {
    let conditions = daemon.store.conditions()?;
    let whole = conditions
        .iter()
        .filter(|condition| condition.is_of_the_whole());
    Ok(whole
        .filter_map(|condition| code::Code::find(&condition.code))
        .find(|code| matches!(code.family(), 5 | 12))
        .map(|code| {
            let told = format!("the last round found: {}", code.summary());
            Failure::new(code, told, "`seawalld once` looks again and says more")
        }))
}

/// What would be done under a policy, and what was seen.
pub fn observe_and_plan(
    daemon: &Daemon,
    followed: Followed,
    now: Timestamp,
) -> Result<Preview, Failure> {
    let observed = look::look(daemon, &followed, now)?;
    let plan = plan::plan(&followed.active, &observed, now);
    let objections = review::review(&plan, &observed, &followed.active, now);
    Ok(Preview {
        followed,
        observed,
        plan,
        objections,
    })
}

/// How everything stands, with conditions that remember since when.
pub fn status_of(daemon: &Daemon, preview: &Preview, now: Timestamp) -> Result<Status, Failure> {
    let Preview {
        followed,
        observed,
        plan,
        objections,
    } = preview;
    judged(daemon, followed, observed, plan, objections, now)
}

/// What is known of where policy comes from.
pub fn source_of(daemon: &Daemon, followed: &Followed) -> status::Source {
    status::Source {
        serial: followed.serial,
        accepted_at: followed.accepted_at,
        expires_at: followed.expires_at,
        problem: followed.problem.clone(),
        receipt_key_listed: receipt_key_listed(daemon, followed),
    }
}

fn judged(
    daemon: &Daemon,
    followed: &Followed,
    observed: &Observed,
    plan: &Plan,
    objections: &[Objection],
    now: Timestamp,
) -> Result<Status, Failure> {
    let before = daemon.store.conditions()?;
    let source = source_of(daemon, followed);
    let active = &followed.active;
    Ok(status::status(
        active, observed, plan, objections, &source, &before, now,
    ))
}

/// Looks again after the work, and remembers the conditions.
fn settle(daemon: &Daemon, followed: &Followed, now: Timestamp) -> Result<Status, Failure> {
    let observed = look::look(daemon, followed, now)?;
    let plan = plan::plan(&followed.active, &observed, now);
    let objections = review::review(&plan, &observed, &followed.active, now);
    let status = judged(daemon, followed, &observed, &plan, &objections, now)?;
    remember(daemon, &status)?;
    Ok(status)
}

/// Remembers the conditions of a status.
pub fn remember(daemon: &Daemon, status: &Status) -> Result<(), Failure> {
    let conditions = status::stored(status);
    if conditions != daemon.store.conditions()? {
        daemon
            .store
            .commit(&[Change::Conditions(conditions)], &[])?;
    }
    Ok(())
}

/// Receipts by a key that the trust root does not list convince nobody.
pub fn receipt_key_listed(daemon: &Daemon, followed: &Followed) -> bool {
    let config = &daemon.config;
    let listed = followed
        .root
        .reconciler_keys(&config.environment, &config.reconciler_id);
    daemon
        .log()
        .authority()
        .keys
        .first()
        .is_some_and(|ours| listed.contains(ours))
}

/// Copies the log and its checkpoint to every location that can be used.
pub fn copy_receipts(daemon: &Daemon) -> Vec<Failure> {
    copies::copy(daemon).unwrap_or_else(|failure| vec![failure])
}

impl Round {
    /// 3 when trust was refused, 4 when policy could not be looked at, 1 when something failed or is stalled, else 0.
    pub fn exit_status(&self) -> u8 {
        if let Some(problem) = &self.followed.problem {
            return problem.exit_status();
        }
        let failed = self.done.iter().any(|done| done.failure.is_some());
        if failed || !self.objections.is_empty() || self.status.is_stalled() {
            return 1;
        }
        0
    }
}
