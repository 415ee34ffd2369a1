//! Owns when a location is read again. The cadence belongs to a repository and a location, never to a recovery point: every
//! part has its own due instants on a fixed grid, whatever was backed up since. Never decides what a check found. The
//! interesting function is [`due`].

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::{Calendar, Cron, Timing, offset};
use contract::duration::Seconds;
use contract::id::{Kid, LocationId};
use contract::model::BackupPlan;
use jiff::Timestamp;

use super::one::after;
use super::{ActivePolicy, Check, Overdue, Planned, Step, slots};
use crate::domain::{
    CopyState, Observation, PartRead, PlanObserved, RepositoryObserved, Run, Verification,
};

/// A reading makes way after this time, so that the next round can fetch policy, observe and take what became due; it goes on
/// there. Long enough that listing a repository before each piece costs little.
const PIECE: Seconds = Seconds::new(600);

/// How often each location is read, and in how many parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cadence {
    pub(super) every: Seconds,
    pub(super) parts: u32,
}

/// The shortest cadence and the largest portion among the tiers of the plan's datasets.
pub(super) fn cadence(active: &ActivePolicy, policy: &BackupPlan) -> Option<Cadence> {
    let wanted = || {
        policy
            .dataset_ids
            .iter()
            .filter_map(|id| active.model.datasets.get(id))
            .filter_map(|dataset| active.model.settings.tiers.get(&dataset.criticality))
            .map(|tier| &tier.verification)
            .filter(|verification| !verification.every_s.is_zero())
    };
    let portion = wanted().map(|wanted| wanted.portion_percent).max()?;
    Some(Cadence {
        every: wanted().map(|wanted| wanted.every_s).min()?,
        parts: 100_u32.div_ceil(portion.clamp(1, 100)),
    })
}

/// A part that was not read since it was last due.
struct Due<'a> {
    kid: &'a Kid,
    location: &'a LocationId,
    part: u32,
    of: u32,
    since: Timestamp,
}

/// What the checks of one plan come to.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) steps: Vec<(Timestamp, Planned)>,
    pub(super) overdue: Vec<(Timestamp, Planned)>,
    /// A check that is overdue, in words.
    pub(super) late: Option<String>,
    /// The maintenance window that a check waits for.
    pub(super) waits: Option<Timestamp>,
}

/// When heavy work that can wait is done.
pub(super) struct Upkeep {
    /// The end of the window that is open; the end of time where policy names none.
    open_until: Timestamp,
    /// When the next one begins, where none is open.
    next: Option<Timestamp>,
}

impl Upkeep {
    pub(super) fn of(active: &ActivePolicy, now: Timestamp) -> Self {
        let windows = &active.model.environment.maintenance_windows;
        let calendars = windows.iter().filter_map(|window| {
            let timing = Timing::Cron {
                cron: Cron::parse(&window.cron).ok()?,
                zone: window.timezone.clone(),
            };
            let calendar = Calendar::new(timing, &active.zones).ok()?;
            Some((calendar, window.lasts_s))
        });
        let mut upkeep = Self {
            open_until: Timestamp::MIN,
            next: None,
        };
        for (calendar, lasts) in calendars {
            let open = calendar
                .slot_at_or_before(now)
                .map(|begin| after(begin, lasts))
                .filter(|end| *end > now);
            upkeep.open_until = upkeep.open_until.max(open.unwrap_or(Timestamp::MIN));
            let next = calendar.next_after(now);
            upkeep.next = upkeep.next.into_iter().chain(next).min();
        }
        if upkeep.open_until > now {
            upkeep.next = None;
        } else {
            // Whatever must be read outside of a window is not bound by one.
            upkeep.open_until = Timestamp::MAX;
        }
        upkeep
    }

    /// Whether policy names windows and none is open.
    pub(super) const fn is_closed(&self) -> bool {
        self.next.is_some()
    }
}

/// The checks that are due, and those that are overdue: not done when the next one of the same location is due.
pub(super) fn checks(
    active: &ActivePolicy,
    policy: &BackupPlan,
    seen: &PlanObserved,
    makes_way: Timestamp,
    now: Timestamp,
) -> Checks {
    let cadence = cadence(active, policy);
    let upkeep = Upkeep::of(active, now);
    let makes_way = makes_way.min(after(now, PIECE)).min(upkeep.open_until);
    let mut checks = Checks::default();
    let whole = never_verified(policy, seen);
    let mut latest: BTreeMap<(&Kid, &LocationId), Timestamp> = BTreeMap::new();
    for due in cadence
        .iter()
        .flat_map(|cadence| due(policy, seen, *cadence, now))
    {
        let every = cadence.map_or(PIECE, |cadence| cadence.every);
        if after(due.since, every) <= now {
            let oldest = latest.entry((due.kid, due.location)).or_insert(due.since);
            *oldest = due.since.min(*oldest);
        }
        let readable =
            !whole.contains(&(due.kid, due.location)) && is_readable(seen, due.kid, due.location);
        let waits = upkeep.next.filter(|next| *next < after(due.since, every));
        if let (true, Some(next)) = (readable, waits) {
            let earliest = checks.waits.get_or_insert(next);
            *earliest = next.min(*earliest);
        } else if readable {
            let reason = format!(
                "part {} of {} at location `{}` is due since {}",
                due.part, due.of, due.location, due.since
            );
            let step = step(policy, seen, &due, "recheck", reason, makes_way, every, now);
            checks.steps.push((due.since, step));
        }
    }
    for (kid, location) in whole {
        let due = Due {
            kid,
            location,
            part: 1,
            of: 1,
            since: Timestamp::MIN,
        };
        let reason = format!("a recovery point was never checked at location `{location}`");
        let window = policy.backup_frequency.completion_window_s;
        let every = cadence.map_or(window, |cadence| cadence.every.max(window));
        let step = step(policy, seen, &due, "check", reason, makes_way, every, now);
        checks.steps.push((now, step));
    }
    for ((kid, location), since) in latest {
        checks.late.get_or_insert_with(|| {
            format!("location `{location}` was not read again since a check was due at {since}")
        });
        let operation_id = format!(
            "overdue.{}.{kid}.{location}.{}",
            policy.plan_id,
            slots::stamp(since)
        );
        if !seen.recorded.contains(&operation_id) {
            let planned = Planned {
                operation_id,
                reason: format!("the check of location `{location}` is overdue"),
                step: Step::RecordOverdue(Overdue {
                    plan_id: policy.plan_id.clone(),
                    kid: kid.clone(),
                    location: location.clone(),
                    since,
                }),
                deadline: now,
                stall_limit: None,
            };
            checks.overdue.push((since, planned));
        }
    }
    checks
}

#[expect(clippy::too_many_arguments, reason = "a step holds all of it")]
fn step(
    policy: &BackupPlan,
    seen: &PlanObserved,
    due: &Due<'_>,
    kind: &str,
    reason: String,
    makes_way: Timestamp,
    every: Seconds,
    now: Timestamp,
) -> Planned {
    // Half of the window is left for what follows the last pack: index, trees, and the next piece.
    let half = after(now, Seconds::new(every.get().div_euclid(2)));
    let begun = seen.repositories.get(due.kid).and_then(|repository| {
        repository.reading.iter().find(|reading| {
            reading.location_id == *due.location && (reading.part, reading.of) == (due.part, due.of)
        })
    });
    Planned {
        operation_id: format!(
            "{kind}.{}.{}.{}.{}of{}.{}",
            policy.plan_id,
            due.kid,
            due.location,
            due.part,
            due.of,
            slots::stamp(now)
        ),
        reason,
        step: Step::Check(Check {
            plan_id: policy.plan_id.clone(),
            kid: due.kid.clone(),
            location: due.location.clone(),
            part: due.part,
            of: due.of,
            begun: begun.cloned(),
            makes_way: makes_way.min(half),
        }),
        // A window of its own: it is over when the next check of this location is due.
        deadline: after(now, every),
        stall_limit: None,
    }
}

/// Every part that was due since it was last read, and since when. Part `p` of `n` is due at each `n`th instant of the grid, so
/// that a full turn reads everything once, one part a cadence. Where a location starts is derived from names, so that they are
/// spread.
fn due<'a>(
    policy: &BackupPlan,
    seen: &'a PlanObserved,
    cadence: Cadence,
    now: Timestamp,
) -> Vec<Due<'a>> {
    let mut all = Vec::new();
    for (kid, repository) in &seen.repositories {
        for (location, since) in first_held(seen, kid) {
            let name = format!("{}/{kid}/{location}", policy.plan_id);
            let start = offset(&name, cadence.every).signed();
            let every = cadence.every.signed().max(1);
            let turn = i64::from(cadence.parts);
            for part in 1..=cadence.parts {
                let read = last_read(repository, location, part, cadence.parts)
                    .map_or(since, |read| read.max(since));
                let next = (read.as_second() - start).div_euclid(every) + 1;
                let wait = (i64::from(part - 1) - next).rem_euclid(turn);
                let at = start.saturating_add((next + wait).saturating_mul(every));
                if let Ok(due) = Timestamp::from_second(at)
                    && due <= now
                {
                    all.push(Due {
                        kid,
                        location,
                        part,
                        of: cadence.parts,
                        since: due,
                    });
                }
            }
        }
    }
    all
}

/// Since when each location holds something of a repository. What a run writes is read after it, so this counts as read.
fn first_held<'a>(seen: &'a PlanObserved, kid: &Kid) -> BTreeMap<&'a LocationId, Timestamp> {
    let mut first: BTreeMap<&LocationId, Timestamp> = BTreeMap::new();
    for run in seen.points().filter(|run| run.kid == *kid) {
        for location in run.storage_locations.keys() {
            let since = first.entry(location).or_insert(run.finished_at);
            *since = run.finished_at.min(*since);
        }
    }
    first
}

/// When a part was last read: by itself, or by parts of another size that together covered everything.
fn last_read(
    repository: &RepositoryObserved,
    location: &LocationId,
    part: u32,
    of: u32,
) -> Option<Timestamp> {
    let here = |read: &&PartRead| read.location_id == *location;
    let own = repository
        .read
        .iter()
        .filter(here)
        .filter(|read| (read.part, read.of) == (part, of))
        .map(|read| read.at)
        .max();
    let mut turns: BTreeMap<u32, Vec<&PartRead>> = BTreeMap::new();
    for read in repository.read.iter().filter(here) {
        turns.entry(read.of).or_default().push(read);
    }
    let covered = turns
        .into_iter()
        .filter(|(of, reads)| u32::try_from(reads.len()) == Ok(*of))
        .filter_map(|(_, reads)| reads.iter().map(|read| read.at).min())
        .max();
    own.max(covered)
}

/// Locations at which a point waits for its check. The point's run could not do it, and nobody knows which packs are its own.
fn never_verified<'a>(
    policy: &BackupPlan,
    seen: &'a PlanObserved,
) -> BTreeSet<(&'a Kid, &'a LocationId)> {
    if !policy.verification.checksum_required {
        return BTreeSet::new();
    }
    // A slot that waits for its point's check gets it before anything else.
    let ends_slot = |run: &Run| run.slot.is_some_and(|slot| seen.ended_through < Some(slot));
    seen.points()
        .filter(|run| run.verification == Verification::Pending && !ends_slot(run))
        .flat_map(|run| run.storage_locations.keys().map(move |at| (run, at)))
        .filter(|(run, location)| {
            !run.damaged_at.contains_key(*location) && is_held(seen, run, location)
        })
        .map(|(run, location)| (&run.kid, location))
        .collect()
}

fn is_held(seen: &PlanObserved, run: &Run, location: &LocationId) -> bool {
    let held = seen
        .repositories
        .get(&run.kid)
        .and_then(|repository| repository.held.get(location));
    match (held, &run.snapshot_id) {
        (Some(Observation::Known { value, .. }), Some(id)) => value.contains(id),
        (Some(_) | None, _) => false,
    }
}

/// A quarantined location is read too: only reading tells what is wrong with it.
fn is_readable(seen: &PlanObserved, kid: &Kid, location: &LocationId) -> bool {
    let held = seen
        .repositories
        .get(kid)
        .and_then(|repository| repository.held.get(location));
    let quarantined = matches!(
        seen.copies.get(location),
        Some(Observation::Known {
            value: CopyState::Quarantined { .. },
            ..
        })
    );
    matches!(held, Some(Observation::Known { .. })) || quarantined
}
