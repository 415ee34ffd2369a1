//! Owns the precaution of a restore in place: a recovery point of the one dataset that is about to be replaced. It never stands in
//! the way of the recovery that it protects. The interesting function is [`point_before`].

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use contract::code;
use contract::id::{BackupId, DatasetId, PlanId};
use jiff::Timestamp;

use super::super::policy::Followed;
use super::super::{Daemon, operate};
use super::{Admitted, Request};
use crate::domain::Observation;
use crate::failure::Failure;
use crate::plan::own_plans;
use crate::worker::protocol::{Answer, Order};

/// Live data that cannot be seen within this time are taken to be there.
const LOOK_DEADLINE: Duration = Duration::from_mins(1);

/// What stands for the data that a restore in place replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// A recovery point of them.
    Taken(BackupId),
    /// There was nothing to lose.
    NothingThere {
        /// What was seen.
        seen: &'static str,
    },
    /// A person went on without one; the restore keeps aside what it replaces.
    Waived,
}

impl Before {
    /// The recovery point, where one was taken.
    pub const fn taken(&self) -> Option<&BackupId> {
        match self {
            Self::Taken(id) => Some(id),
            Self::NothingThere { .. } | Self::Waived => None,
        }
    }
}

impl fmt::Display for Before {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(id) => id.fmt(formatter),
            Self::NothingThere { seen } => write!(formatter, "none, the live data were {seen}"),
            Self::Waived => write!(formatter, "none, the operator went on without one"),
        }
    }
}

/// Takes what is there now, of the one dataset. Nothing there needs no point; where one cannot be taken, only a person goes on.
pub(super) fn point_before(
    daemon: &Daemon,
    followed: &Followed,
    request: &Request,
    admitted: &Admitted,
    now: Timestamp,
) -> Result<Before, Failure> {
    if request.without_safety_point {
        return Ok(Before::Waived);
    }
    let dataset = &request.dataset;
    if is_absent(daemon, dataset) {
        return Ok(Before::NothingThere { seen: "absent" });
    }
    let Some(plan_id) = plan_of(followed, dataset, &admitted.newest.0.plan_id) else {
        return Err(Failure::new(
            code::SAFETY_POINT_FAILED,
            format!(
                "no backup plan takes `{dataset}` any more, so no recovery point of it can be taken before"
            ),
            GO_ON,
        ));
    };
    let only = BTreeSet::from([dataset.clone()]);
    let done = operate::backup_under(daemon, followed, plan_id, Some(&only), now)?;
    match (done.failure, done.backup_id) {
        (None, Some(id)) => Ok(Before::Taken(id)),
        // What a restore replaces is mostly not what it should be: the point of it is there all the same.
        (Some(failure), Some(id)) if failure.code == code::SOURCE_COLLAPSED => {
            Ok(Before::Taken(id))
        }
        (Some(failure), _) if failure.code == code::SOURCE_EMPTY => {
            Ok(Before::NothingThere { seen: "empty" })
        }
        (Some(failure), _) if failure.code == code::SOURCE_MISSING => {
            Ok(Before::NothingThere { seen: "absent" })
        }
        (Some(failure), _) => Err(Failure {
            message: format!(
                "no recovery point of `{dataset}` could be taken before: {}",
                failure.message
            ),
            help: format!("{}; or {GO_ON}", failure.help),
            ..failure
        }),
        (None, None) => Err(Failure::new(
            code::SAFETY_POINT_FAILED,
            format!("no recovery point of `{dataset}` could be taken before"),
            GO_ON,
        )),
    }
}

const GO_ON: &str = "go on with `--without-safety-point`: the restore keeps aside what it replaces";

/// The plan that takes the dataset now; the point's own where that still does.
fn plan_of<'f>(
    followed: &'f Followed,
    dataset: &DatasetId,
    of_point: &PlanId,
) -> Option<&'f PlanId> {
    let mut plans = own_plans(&followed.active)
        .filter(|(_, policy)| policy.dataset_ids.contains(dataset))
        .map(|(id, _)| id)
        .peekable();
    let first = plans.peek().copied();
    plans.find(|id| *id == of_point).or(first)
}

/// Whether it is certain that there is no live data to lose. Data that cannot be observed may be there.
fn is_absent(daemon: &Daemon, dataset: &DatasetId) -> bool {
    daemon.config.datasets.get(dataset).is_some_and(|binding| {
        let order = Order::Examine {
            binding: binding.clone(),
            within: LOOK_DEADLINE,
        };
        let Ok(Answer::Examined(examined)) = daemon.look_within(&order, LOOK_DEADLINE) else {
            return false;
        };
        matches!(examined.seen.fingerprint, Observation::Absent { .. })
    })
}
