//! Owns the look at everything at once, for commands that only show it: what would be done, and how everything stands. Carries out
//! nothing. The interesting function is [`observe_and_plan`].

use contract::code;
use jiff::Timestamp;

use super::policy::{self, Followed};
use super::{Daemon, look, notify};
use crate::domain::{Change, Observed};
use crate::failure::Failure;
use crate::plan::{self, Plan};
use crate::review::{self, Objection};
use crate::status::{self, Status};

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

/// Looks and plans without doing or recording anything.
pub fn preview(daemon: &Daemon) -> Result<Preview, Failure> {
    let now = daemon.now();
    let followed = policy::peek(daemon, now)?;
    observe_and_plan(daemon, followed, now)
}

/// Looks and plans under the active bundle, without a look at git.
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
            let found = format!("the last round found: {}", code.summary());
            Failure::new(code, found, "`seawalld once` looks again and says more")
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
    let before = daemon.store.conditions()?;
    let source = source_of(daemon, followed);
    let active = &followed.active;
    Ok(status::status(
        active, observed, plan, objections, &source, &before, now,
    ))
}

/// What is known of where policy comes from.
pub fn source_of(daemon: &Daemon, followed: &Followed) -> status::Source {
    status::Source {
        serial: followed.serial,
        accepted_at: followed.accepted_at,
        expires_at: followed.expires_at,
        problem: followed.problem.clone(),
        receipt_key_listed: receipt_key_listed(daemon, followed),
        last_recorded_at: daemon.log().ledger().newest(),
        channels: notify::problems(daemon, &followed.active.model),
    }
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

/// Whether the trust root lists the key that this process signs receipts with.
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
