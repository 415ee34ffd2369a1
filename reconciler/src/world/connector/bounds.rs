//! The limits of one call: a hard deadline, a flag by which a person or a shutdown ends it, and how much it does at a time.
//!
//! Never waits. The interesting function is [`Bounds::check`].

use std::time::{Duration, Instant};

use super::ConnectorError;
use crate::world::cancel::Cancel;

/// How long a call may take, who may end it, and how many jobs it may run side by side.
#[derive(Debug, Clone)]
pub struct Bounds {
    deadline: Instant,
    cancel: Cancel,
    jobs: u32,
}

impl Bounds {
    /// The call ends at most `within` from now. Measured on the monotonic clock, so that a set clock changes nothing.
    pub fn within(within: Duration, cancel: Cancel) -> Self {
        // A century stands for durations beyond what the clock can hold.
        const CENTURY: Duration = Duration::from_hours(876_600);
        let now = Instant::now();
        let deadline = now.checked_add(within.min(CENTURY)).unwrap_or(now);
        Self {
            deadline,
            cancel,
            jobs: 1,
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

    /// Time left, zero when the deadline has passed.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// An error once the deadline has passed or the call was cancelled; `what` names what was under way.
    pub fn check(&self, what: &str) -> Result<(), ConnectorError> {
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
