//! Owns what retention would forget, shown and never done. Points that are not seen everywhere, and everything under a stale
//! bundle, stay. The interesting function is [`would_forget`].

use contract::calendar::Calendar;
use contract::model::BackupPlan;
use contract::retention::{self, Point, Trust, Verdict};
use contract::seal::Standing;
use jiff::Timestamp;

use super::{ActivePolicy, Forget};
use crate::domain::{CopyState, Observation, PlanObserved, Verification};

/// The points that the plan's retention class would let go.
pub(super) fn would_forget(
    active: &ActivePolicy,
    policy: &BackupPlan,
    seen: &PlanObserved,
    calendar: &Calendar,
    now: Timestamp,
) -> Vec<Forget> {
    match active.standing {
        Standing::Stale => return Vec::new(),
        Standing::Fresh => {}
    }
    let seen_everywhere = policy.locations.iter().all(|location| {
        matches!(
            seen.copies.get(location),
            Some(Observation::Known {
                value: CopyState::InSync,
                ..
            })
        )
    });
    // While a source is in doubt, its last good points may be all that there is.
    if !seen_everywhere || !seen.open.is_empty() || !seen.in_doubt(now).is_empty() {
        return Vec::new();
    }
    let points: Vec<Point> = seen
        .points()
        // A point of an unknown time takes no other's place, and nobody can say that it is old.
        .filter(|run| run.is_of_known_time(now))
        // Neither does one that holds a part, or shows a source in doubt.
        .filter(|run| run.collapsed.is_empty() && run.dataset_ids.is_superset(&policy.dataset_ids))
        .filter_map(|run| {
            let trust = match &run.verification {
                Verification::Verified { .. } => Trust::Verified,
                Verification::Suspect { .. } => Trust::Suspect,
                Verification::Pending => Trust::Unknown,
                // What is gone takes no other's place.
                Verification::Lost { .. } => return None,
            };
            Some((run, trust))
        })
        .map(|(run, trust)| Point {
            backup_id: run.backup_id.clone(),
            at: run.instant(),
            trust,
            base: run.base.clone(),
        })
        .collect();
    retention::decide(&points, &policy.retention, calendar.zone(), now)
        .into_iter()
        .filter_map(|decision| match decision.verdict {
            Verdict::Keep(_) => None,
            Verdict::Forget(reason) => Some(Forget {
                plan_id: policy.plan_id.clone(),
                backup_id: decision.backup_id,
                reason: reason.as_str().to_owned(),
            }),
        })
        .collect()
}
