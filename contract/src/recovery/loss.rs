//! Owns the result of the proof of worst-case loss: a number made of its parts with a witness, or the reason why there is none.
//!
//! Never computes it; that is [`super::Recovery::loss`]. The JSON of a [`Loss`] is what `seawall prove` prints and rules read.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::duration::Seconds;
use crate::id::{PlanId, StandbyId};

/// The worst-case loss of a dataset in one loss case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// At most this much.
    Bounded(Bound),
    /// At most how far a standby may lie behind: its site is left.
    Replicated {
        /// The standby.
        standby: StandbyId,
        /// Its lag limit.
        lag: Seconds,
    },
    /// No number holds.
    Unbounded {
        /// Why.
        why: Unbounded,
        /// The plan that comes closest; none when there is no plan.
        plan: Option<PlanId>,
    },
}

/// A proven bound: the sum of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The plan that gives it.
    pub plan: PlanId,
    /// The widest distance between a slot and the one that stands in after the tolerated misses; for continuous plans the lag.
    pub gap: Seconds,
    /// The completion window of the slot that comes too late.
    pub completion_window: Seconds,
    /// The time until the locations that are left hold the point; zero when they held it at the commit.
    pub copy_within: Seconds,
    /// How old data is when it is read.
    pub source_lag: Seconds,
    /// How long the loss stays unnoticed; zero except for corruption.
    pub detected_within: Seconds,
    /// The instants that show it; none for continuous plans, which have no slots.
    pub witness: Option<Witness>,
}

/// Instants that a person can check with a calendar, RFC 3339 with the UTC offset of the schedule's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// The slot of the newest point that is left.
    pub point: String,
    /// The slot of the next point, which comes too late.
    pub next_slot: String,
    /// The instant just before which the failure strikes: the next point would then be usable, or would have read bad data.
    pub failure_before: String,
    /// When corruption is noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed_before: Option<String>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Witness {
            point,
            next_slot: _,
            failure_before,
            noticed_before,
        } = self;
        match noticed_before {
            None => write!(
                f,
                "point {point}, next usable {failure_before}, failure just before it"
            ),
            Some(noticed) => {
                write!(
                    f,
                    "newest good point kept {point}, corrupted just before {failure_before}, noticed {noticed}"
                )
            }
        }
    }
}

/// Why a loss has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbounded {
    /// The dataset is not in the model.
    UnknownDataset,
    /// No plan protects it.
    NoPlan,
    /// It is excluded from backup.
    Excluded,
    /// It is rebuilt from itself, or from nothing.
    NoSource,
    /// Nothing is left at any location.
    NoSurvivor,
    /// The key or its custody is lost.
    KeyLost,
    /// A point must be at more locations than the plan has.
    CommitAboveLocations,
    /// The schedule cannot be read.
    NoCalendar,
    /// The horizon has fewer slots than the tolerated misses need, or ends before corruption would be noticed.
    TooFewSlots,
    /// The schedule has more slots than the proof looks at.
    TooManySlots,
    /// When corruption is noticed, no older point is kept.
    NothingKept,
    /// No scenario says by when corruption is noticed.
    DetectionUnknown,
    /// A continuous archive has no schedule of fulls: after a gap no new base comes.
    NoFull,
}

impl Unbounded {
    /// The reason in words, to follow "unbounded: ".
    pub const fn as_str(self) -> &'static str {
        match self {
            Unbounded::UnknownDataset => "the dataset is not in the model",
            Unbounded::NoPlan => "no plan protects it",
            Unbounded::Excluded => "it is excluded from backup",
            Unbounded::NoSource => "what it is rebuilt from leads nowhere",
            Unbounded::NoSurvivor => "no location with a copy is left",
            Unbounded::KeyLost => "the key is lost",
            Unbounded::CommitAboveLocations => {
                "a point must be at more locations than the plan has"
            }
            Unbounded::NoCalendar => "the schedule cannot be read",
            Unbounded::TooFewSlots => "the horizon has too few slots",
            Unbounded::TooManySlots => "the schedule has too many slots to look at each",
            Unbounded::NothingKept => {
                "no point from before the corruption is kept until it is noticed"
            }
            Unbounded::DetectionUnknown => "no scenario says by when corruption is noticed",
            Unbounded::NoFull => "after a gap in the archive no new full comes",
        }
    }
}

impl Bound {
    /// The loss: the sum of its parts.
    pub fn total(&self) -> Seconds {
        self.gap
            .saturating_add(self.completion_window)
            .saturating_add(self.copy_within)
            .saturating_add(self.source_lag)
            .saturating_add(self.detected_within)
    }
}

impl Loss {
    pub(super) fn unbounded(why: Unbounded) -> Loss {
        Loss::Unbounded { why, plan: None }
    }

    /// The loss in seconds; [`Seconds::MAX`] when it is unbounded, so that no comparison passes by accident.
    pub fn seconds(&self) -> Seconds {
        match self {
            Loss::Bounded(bound) => bound.total(),
            Loss::Replicated { lag, .. } => *lag,
            Loss::Unbounded { .. } => Seconds::MAX,
        }
    }

    /// Whether a number holds.
    pub fn is_bounded(&self) -> bool {
        match self {
            Loss::Bounded(_) | Loss::Replicated { .. } => true,
            Loss::Unbounded { .. } => false,
        }
    }

    /// The plan that gives the loss; none where a standby does.
    pub fn plan(&self) -> Option<&PlanId> {
        match self {
            Loss::Bounded(bound) => Some(&bound.plan),
            Loss::Replicated { .. } => None,
            Loss::Unbounded { plan, .. } => plan.as_ref(),
        }
    }

    /// The smaller loss; a bound before none, then the plan that comes first by its id.
    #[must_use]
    pub fn least(self, other: Loss) -> Loss {
        if (other.seconds(), other.plan()) < (self.seconds(), self.plan()) {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Bounded(bound) => f.write_str(&bound.total().human()),
            Loss::Replicated { standby, lag } => {
                write!(f, "{} on standby `{standby}`", lag.human())
            }
            Loss::Unbounded { why, .. } => write!(f, "unbounded: {}", why.as_str()),
        }
    }
}

impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fact = serializer.serialize_struct("Loss", 11)?;
        fact.serialize_field("seconds", &self.seconds())?;
        fact.serialize_field("bounded", &self.is_bounded())?;
        fact.serialize_field("plan", &self.plan())?;
        fact.serialize_field("told", &self.to_string())?;
        match self {
            Loss::Bounded(bound) => {
                fact.serialize_field("gap_seconds", &bound.gap)?;
                fact.serialize_field("completion_window_seconds", &bound.completion_window)?;
                fact.serialize_field("copy_within_seconds", &bound.copy_within)?;
                fact.serialize_field("source_lag_seconds", &bound.source_lag)?;
                fact.serialize_field("detected_within_seconds", &bound.detected_within)?;
                fact.serialize_field("witness", &bound.witness)?;
            }
            Loss::Replicated { standby, lag } => {
                fact.serialize_field("gap_seconds", lag)?;
                fact.serialize_field("witness", &None::<Witness>)?;
                fact.serialize_field("standby", standby)?;
            }
            Loss::Unbounded { why, .. } => {
                fact.serialize_field("gap_seconds", &Seconds::MAX)?;
                fact.serialize_field("witness", &None::<Witness>)?;
                fact.serialize_field("why", why)?;
            }
        }
        fact.end()
    }
}
