//! Watches a dump that waits for a lock, and ends it while there is time left to say what it waited for, and who holds it.
//!
//! Never ends a session of others. The interesting function is [`LockWatch::gives_up`].

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client::{APPLICATION, Login, literal, query};
use super::error::DatabaseError;
use crate::world::connector::{Bounds, Cancel, ConnectorError};

/// A dump that runs this long may be waiting; it is asked that often, so that a wait costs the server next to nothing.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// An answer about locks comes within milliseconds. A server that needs longer is not asked further.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What is kept of the time to say why a dump did not end: a tenth, at least enough to ask and to end the program, at most
/// half a minute, and never more than half of the whole.
const SHARE_KEPT: u32 = 10;
const LEAST_KEPT: Duration = Duration::from_secs(3);
const MOST_KEPT: Duration = Duration::from_secs(30);

/// One session that waits, and those that it waits for.
#[derive(Debug, Clone, Deserialize)]
struct Wait {
    relation: Option<String>,
    waited_s: Option<u64>,
    holders: Vec<Holder>,
}

/// A session that holds the lock, as far as our role may see it.
#[derive(Debug, Clone, Deserialize)]
struct Holder {
    pid: i64,
    role: Option<String>,
    application: Option<String>,
    state: Option<String>,
}

impl Holder {
    fn describe(&self) -> String {
        let mut text = format!("process {}", self.pid);
        if let Some(role) = &self.role {
            let _ = write!(text, " of role `{role}`");
        }
        let application = self.application.as_deref().filter(|name| !name.is_empty());
        let facts = [application, self.state.as_deref()];
        let facts: Vec<&str> = facts.into_iter().flatten().collect();
        if !facts.is_empty() {
            let _ = write!(text, " ({})", facts.join(", "));
        }
        text
    }
}

/// Asks from time to time what the sessions of a dump wait for.
pub(super) struct LockWatch<'w> {
    login: &'w Login<'w>,
    bounds: &'w Bounds,
    kept: Duration,
    asked: Cell<Instant>,
    last: RefCell<Option<Wait>>,
}

impl<'w> LockWatch<'w> {
    pub fn new(login: &'w Login<'w>, bounds: &'w Bounds) -> Self {
        let left = bounds.left();
        let kept = (left / SHARE_KEPT)
            .clamp(LEAST_KEPT, MOST_KEPT)
            .min(left / 2);
        Self {
            login,
            bounds,
            kept,
            asked: Cell::new(Instant::now()),
            last: RefCell::new(None),
        }
    }

    /// Whether the dump should end now, because what is left of its time is needed to say why.
    pub fn gives_up(&self) -> bool {
        let is_late = self.bounds.left() <= self.kept;
        if is_late || self.asked.get().elapsed() >= ASK_EVERY {
            let wait = self.ask().unwrap_or(None);
            self.last.replace(wait);
            self.asked.set(Instant::now());
        }
        is_late
    }

    /// The error of a dump that was ended: by us, with what it waited for, or by another.
    pub fn explain(&self, what: &str, error: ConnectorError) -> ConnectorError {
        let is_ours = matches!(
            error,
            ConnectorError::Cancelled { .. } | ConnectorError::DeadlinePassed { .. }
        ) && !self.bounds.is_cancelled();
        if !is_ours {
            return error;
        }
        match self.last.take() {
            None => ConnectorError::DeadlinePassed {
                what: what.to_owned(),
            },
            Some(wait) => ConnectorError::from(DatabaseError::DumpBlocked {
                what: what.to_owned(),
                relation: wait.relation.unwrap_or_else(|| "an object".to_owned()),
                waited_s: wait.waited_s.unwrap_or_default(),
                holders: holders(&wait.holders),
            }),
        }
    }

    fn ask(&self) -> Result<Option<Wait>, ConnectorError> {
        let sql = format!(
            "SELECT pg_catalog.json_build_object(
               'relation', l.relation::pg_catalog.regclass::pg_catalog.text,
               'waited_s', pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - l.waitstart))::pg_catalog.int8,
               'holders', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('pid', h.pid, 'role', b.usename,
                   'application', b.application_name, 'state', b.state)), '[]')
                 FROM (SELECT DISTINCT pg_catalog.unnest(pg_catalog.pg_blocking_pids(a.pid)) AS pid) h
                 LEFT JOIN pg_catalog.pg_stat_activity b ON b.pid = h.pid))
             FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
             WHERE NOT l.granted AND a.application_name = {} AND a.usename = session_user
               AND a.datname = pg_catalog.current_database() ORDER BY l.waitstart LIMIT 1;",
            literal(APPLICATION)
        );
        let bounds = Bounds::within(ANSWER_WITHIN, Cancel::new());
        let answer = query(self.login, &self.login.binding.database, &sql, &bounds)?;
        Ok(serde_json::from_str(answer.trim()).ok())
    }
}

fn holders(all: &[Holder]) -> String {
    if all.is_empty() {
        return "a session that cannot be seen".to_owned();
    }
    let described: Vec<String> = all.iter().map(Holder::describe).collect();
    described.join(" and ")
}
