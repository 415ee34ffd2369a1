//! The limits of one call: a hard deadline, a flag by which a person or a shutdown ends it, and how much it does at a time.
//!
//! Never waits. The interesting function is [`Bounds::check`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ConnectorError;
use crate::progress::{Gauge, Progress};
use crate::world::cancel::Cancel;

/// How long a call may take, who may end it, and how many jobs it may run side by side.
#[derive(Debug, Clone)]
pub struct Bounds {
    deadline: Instant,
    moves: Option<Moves>,
    cancel: Cancel,
    jobs: u32,
}

/// Ends what stands still, however long it takes.
#[derive(Debug, Clone)]
struct Moves {
    limit: Duration,
    gauge: Arc<Gauge>,
    last: Arc<Mutex<(Progress, Instant)>>,
}

impl Moves {
    fn left(&self) -> Duration {
        let now = Instant::now();
        let progress = self.gauge.progress();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != progress {
            *last = (progress, now);
        }
        self.limit
            .saturating_sub(now.saturating_duration_since(last.1))
    }
}

/// Stands for times beyond what the clock can hold.
const CENTURY: Duration = Duration::from_hours(876_600);

impl Bounds {
    /// The call ends at most `within` from now. Measured on the monotonic clock, so that a set clock changes nothing.
    pub fn within(within: Duration, cancel: Cancel) -> Self {
        let now = Instant::now();
        let deadline = now.checked_add(within.min(CENTURY)).unwrap_or(now);
        Self {
            deadline,
            moves: None,
            cancel,
            jobs: 1,
        }
    }

    /// The call goes on for as long as `gauge` moves, and ends after `limit` without that.
    pub fn while_moving(limit: Duration, gauge: &Arc<Gauge>, cancel: Cancel) -> Self {
        let last = (gauge.progress(), Instant::now());
        Self {
            moves: Some(Moves {
                limit,
                gauge: Arc::clone(gauge),
                last: Arc::new(Mutex::new(last)),
            }),
            ..Self::within(CENTURY, cancel)
        }
    }

    /// The same, with this many jobs side by side, as the plan says.
    #[must_use]
    pub fn with_jobs(self, jobs: u32) -> Self {
        Self {
            jobs: jobs.max(1),
            ..self
        }
    }

    pub(super) fn jobs(&self) -> u32 {
        self.jobs
    }

    /// Time left, zero when the deadline has passed. Where progress gives more of it, this is what is left without any.
    pub fn left(&self) -> Duration {
        match &self.moves {
            Some(moves) => moves.left(),
            None => self.at_most(),
        }
    }

    /// The time after which nothing may go on, whatever progress it makes.
    pub(super) fn at_most(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Says that a piece of work was done, so that whoever watches sees it going on.
    pub(super) fn step(&self) {
        if let Some(moves) = &self.moves {
            moves.gauge.step();
        }
    }

    /// An error once the deadline has passed or the call was cancelled; `what` names the work of which a piece was done. Who only
    /// waits asks [`Bounds::is_over`].
    pub fn check(&self, what: &str) -> Result<(), ConnectorError> {
        self.step();
        self.may_go_on(what)
    }

    /// The same of a wait: it is no progress.
    pub(super) fn may_go_on(&self, what: &str) -> Result<(), ConnectorError> {
        if self.cancel.is_cancelled() {
            Err(ConnectorError::Cancelled {
                what: what.to_owned(),
            })
        } else if self.left().is_zero() {
            Err(ConnectorError::DeadlinePassed {
                what: what.to_owned(),
            })
        } else {
            Ok(())
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(super) fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.left().is_zero()
    }
}
