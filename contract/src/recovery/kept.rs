//! Owns the proof of what retention keeps in the steady state: how many points stand at once, why, and how far back they reach.
//!
//! Never counts on what ran, and never decides what is kept; that is `retention`. The interesting function is [`Recovery::kept`].

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::Recovery;
use super::standing::{Standing, Stretch};
use crate::calendar::Timing;
use crate::duration::Seconds;
use crate::id::PlanId;
use crate::model::Retention;
use crate::retention::{Keep, floor_of_age};

/// What a plan's retention keeps in the steady state: the schedule has run since 1970-01-01T00:00:00Z (or since the horizon's
/// begin, if that is earlier), every slot yielded a verified point at once, and what retention lets go is gone at once. Ages are
/// taken from slots. Points whose removal waits for a lease come on top, and a schedule that is younger has fewer of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kept")]
pub enum Kept {
    /// Recovery points at slots.
    Points {
        /// The fewest points that stand in any second of the horizon's last year.
        least: u64,
        /// The most.
        most: u64,
        /// How many points each reason keeps in the horizon's last second; a point can have several.
        by_reason: BTreeMap<Keep, u64>,
        /// How far back the oldest point reaches in every second of that year, seconds: what can be counted on.
        oldest_seconds: Seconds,
        /// No point younger than this is ever forgotten.
        floor_seconds: Seconds,
    },
    /// A continuous archive has no slots: any instant is reachable that is younger than the floor of age, and no other number holds.
    Log {
        /// The floor of age.
        floor_seconds: Seconds,
    },
    /// So many slots would matter that they are not looked at one by one.
    TooManySlots {
        /// No point younger than this is ever forgotten.
        floor_seconds: Seconds,
    },
}

/// The numbers of a retention class: classes with equal ones keep the same.
pub(super) type Numbers = ([u32; 7], [Seconds; 2], Option<Seconds>);

/// What stands, by schedule and retention; none where too many slots would matter.
pub(super) type StandingBy = BTreeMap<(Timing, Numbers), Option<Standing>>;

impl Recovery<'_> {
    /// What a plan keeps in the steady state; none when the plan is not in the model or its schedule cannot be read. The first
    /// question does the work for all plans, once for each pair of schedule and retention.
    pub fn kept(&self, plan: &PlanId) -> Option<Kept> {
        let plan = self.model.plans.get(plan)?;
        let floor_seconds = floor_of_age(&plan.retention);
        let (timing, _) = self.schedule(plan)?;
        match timing {
            Timing::Continuous { .. } => return Some(Kept::Log { floor_seconds }),
            Timing::Cron { .. } | Timing::Every { .. } => {}
        }
        let Some(standing) = self.standing(timing, &plan.retention) else {
            return Some(Kept::TooManySlots { floor_seconds });
        };
        let extent = standing.extent;
        Some(Kept::Points {
            least: extent.least,
            most: extent.most,
            by_reason: standing.by_reason.clone(),
            oldest_seconds: Seconds::new(extent.nearest.max(0).unsigned_abs()),
            floor_seconds,
        })
    }

    /// The points that stand over the horizon's last year; for a continuous plan those of its full schedule.
    pub(super) fn standing(&self, timing: &Timing, class: &Retention) -> Option<&Standing> {
        let all = self.standing.get_or_init(|| self.find_standing());
        all.get(&(timing.clone(), numbers(class)))?.as_ref()
    }

    fn find_standing(&self) -> StandingBy {
        let mut found = StandingBy::new();
        for plan in self.model.plans.values() {
            let slotted = match self.schedule(plan) {
                Some((Timing::Continuous { .. }, _)) => self.full_schedule(plan),
                backups => backups,
            };
            let Some((timing, schedule)) = slotted else {
                continue;
            };
            let key = (timing.clone(), numbers(&plan.retention));
            found.entry(key).or_insert_with(|| {
                Standing::new(&schedule.calendar, &plan.retention, self.last_year())
            });
        }
        found
    }

    /// The last year of the horizon, behind it all time since 1970, where `every` begins to count.
    fn last_year(&self) -> Stretch {
        let begin = self.from.min(Timestamp::UNIX_EPOCH);
        let to = self.to.to_zoned(TimeZone::UTC);
        let from = to
            .checked_sub(1.year())
            .map_or(self.from, |from| from.timestamp());
        Stretch {
            begin: begin.as_second(),
            from: from.as_second(),
            until: self.to.as_second() - 1,
        }
    }
}

pub(super) fn numbers(class: &Retention) -> Numbers {
    let Retention {
        retention_id: _,
        min_versions,
        min_duration_s,
        keep,
        max_duration_s,
        immutable_for_s,
    } = class;
    (
        [
            *min_versions,
            keep.last,
            keep.hourly,
            keep.daily,
            keep.weekly,
            keep.monthly,
            keep.yearly,
        ],
        [*min_duration_s, *immutable_for_s],
        *max_duration_s,
    )
}
