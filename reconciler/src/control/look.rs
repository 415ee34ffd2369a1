//! Owns the look at the world before a round plans: the store, the bindings, and every location of every plan, at the same
//! time and under a deadline. Reads only. The interesting function is [`look`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use contract::code;
use contract::id::{BackupId, Kid, LocationId, PlanId};
use contract::model::BackupPlan;
use jiff::Timestamp;

use super::Daemon;
use super::effects::Effects;
use super::policy::Followed;
use super::retention;
use crate::config::Config;
use crate::domain::{
    CopyState, Failing, Lack, Observation, Observed, Operation, PlanObserved, RepositoryObserved,
    Run, SlotOutcome, SlotRecord,
};
use crate::failure::Failure;
use crate::plan::own_plans;
use crate::worker::Access;
use crate::world::connector;
use crate::world::vault::LocationState;

/// A location that does not answer within this time is unknown for this round. Listing a repository takes seconds; this keeps
/// one hung mount from holding a round.
const LOOK_DEADLINE: Duration = Duration::from_mins(1);

/// Everything that a round knows.
pub fn look(daemon: &Daemon, followed: &Followed, now: Timestamp) -> Result<Observed, Failure> {
    look_at_plans(daemon, followed, None, now)
}

/// The same of one plan alone.
pub fn look_at_plan(
    daemon: &Daemon,
    followed: &Followed,
    plan_id: &PlanId,
    now: Timestamp,
) -> Result<Observed, Failure> {
    look_at_plans(daemon, followed, Some(plan_id), now)
}

fn look_at_plans(
    daemon: &Daemon,
    followed: &Followed,
    only: Option<&PlanId>,
    now: Timestamp,
) -> Result<Observed, Failure> {
    let since = daemon.store.plans_since(only)?;
    let mut runs: BTreeMap<PlanId, Vec<Run>> = BTreeMap::new();
    for run in daemon.store.points(only)? {
        runs.entry(run.plan_id.clone()).or_default().push(run);
    }
    let mut open: BTreeMap<PlanId, Vec<Operation>> = BTreeMap::new();
    for operation in daemon.store.open_operations(only)? {
        open.entry(operation.plan_id.clone())
            .or_default()
            .push(operation);
    }
    let mut suspended = daemon.store.suspensions(only)?;
    let acknowledged = acknowledged(daemon)?;
    let deleted = retention::deleted(daemon, followed, now)?;
    let mut copies = look_at_copies(daemon, followed, only, &runs, now);
    let mut observed = Observed {
        plans: BTreeMap::new(),
        former: Vec::new(),
        running: daemon.store.running(),
    };
    for (plan_id, policy) in wanted_plans(followed, only) {
        let mut looked = copies.remove(plan_id).unwrap_or_default();
        remembered(daemon, plan_id, &mut looked.repositories)?;
        let last = daemon.store.last_slot(plan_id, now)?;
        // A slot later than now never counts as ended.
        let ended_through = last.as_ref().map(|slot| slot.last.min(now));
        let mut runs = runs.remove(plan_id).unwrap_or_default();
        let newest = daemon.store.newest_run(plan_id)?;
        runs.extend(newest.filter(|run| !run.is_point()));
        let seen = PlanObserved {
            // A bundle that a wrong clock accepted in the future is accepted now, or the plan's slots would never begin.
            since: since
                .get(plan_id)
                .copied()
                .unwrap_or(followed.accepted_at)
                .min(now),
            unbound: lacks(&daemon.config, followed, policy),
            ended_through,
            failing: failing(daemon, plan_id, last.as_ref(), now)?,
            last_outcome: last.as_ref().map(|slot| slot.outcome),
            last_why: last.and_then(|slot| slot.why),
            runs,
            attempts: attempts(&daemon.store.operations_of_slots(plan_id, ended_through)?),
            recorded: recorded(daemon, plan_id)?,
            suspended: suspended.remove(plan_id).filter(|it| it.until > now),
            acknowledged: acknowledged.clone(),
            repositories: looked.repositories,
            restored: super::source::restored(daemon, &policy.dataset_ids)?,
            open: open.remove(plan_id).unwrap_or_default(),
            copies: looked.copies,
            deleted,
        };
        observed.plans.insert(plan_id.clone(), seen);
    }
    observed.former = runs.into_values().flatten().collect();
    Ok(observed)
}

/// Nobody needs to know the number of failures in a row more exactly; a run of missed slots is one record.
const FAILURES_COUNTED: u32 = 100;

/// The slots in a row that ended without success.
fn failing(
    daemon: &Daemon,
    plan_id: &PlanId,
    last: Option<&SlotRecord>,
    now: Timestamp,
) -> Result<Option<Failing>, Failure> {
    if last.is_none_or(|slot| slot.outcome == SlotOutcome::Success) {
        return Ok(None);
    }
    let newest = daemon.store.newest_slots(plan_id, now, FAILURES_COUNTED)?;
    let failed = || {
        let slots = newest.iter();
        slots.take_while(|slot| slot.outcome != SlotOutcome::Success)
    };
    Ok(failed().last().map(|oldest| Failing {
        since: oldest.first,
        slots: failed().map(|slot| slot.count).sum(),
        at_least: failed().count() == FAILURES_COUNTED as usize,
    }))
}

/// Those of our plans that are looked at.
fn wanted_plans<'a>(
    followed: &'a Followed,
    only: Option<&'a PlanId>,
) -> impl Iterator<Item = (&'a PlanId, &'a BackupPlan)> {
    let wanted = move |id: &PlanId| only.is_none_or(|only| only == id);
    own_plans(&followed.active).filter(move |(id, _)| wanted(id))
}

fn attempts(operations: &[Operation]) -> BTreeMap<contract::id::BackupId, u32> {
    let mut attempts = BTreeMap::new();
    for operation in operations {
        if let Some(id) = &operation.backup_id {
            *attempts.entry(id.clone()).or_insert(0) += 1;
        }
    }
    attempts
}

/// One overdue check of each location and key is asked about at a time; no plan has so many of both.
const OVERDUE_LOOKED_AT: u32 = 1_000;

/// The newest overdue checks that were recorded, by their operations.
fn recorded(daemon: &Daemon, plan_id: &PlanId) -> Result<BTreeSet<String>, Failure> {
    let recorded =
        daemon
            .store
            .operations_with_error(plan_id, code::CHECK_OVERDUE, OVERDUE_LOOKED_AT)?;
    Ok(recorded.into_iter().collect())
}

/// The word under which a person accepts that a recovery point is lost or damaged.
pub const POINT_GONE: &str = "point_gone";

/// Recovery points whose loss or damage a person has accepted.
pub(super) fn acknowledged(daemon: &Daemon) -> Result<BTreeSet<BackupId>, Failure> {
    let all = daemon.store.acknowledgements()?;
    Ok(all
        .into_iter()
        .filter(|one| one.kind == POINT_GONE)
        .filter_map(|one| one.subject.parse().ok())
        .collect())
}

/// What the store remembers of each repository.
fn remembered(
    daemon: &Daemon,
    plan_id: &PlanId,
    repositories: &mut BTreeMap<Kid, RepositoryObserved>,
) -> Result<(), Failure> {
    for read in daemon.store.parts_read(plan_id)? {
        if let Some(seen) = repositories.get_mut(&read.kid) {
            seen.read.push(read);
        }
    }
    for reading in daemon.store.parts_reading(plan_id)? {
        if let Some(seen) = repositories.get_mut(&reading.kid) {
            seen.reading.push(reading);
        }
    }
    for pruning in daemon.store.prunes(plan_id)? {
        if let Some(seen) = repositories.get_mut(&pruning.kid) {
            seen.pruned = Some(pruning);
        }
    }
    for one in daemon.store.damaged_objects(plan_id)? {
        if let Some(seen) = repositories.get_mut(&one.kid) {
            let damaged = seen.damaged.entry(one.location_id).or_default();
            damaged.insert(one.object);
        }
    }
    Ok(())
}

/// What the configuration lacks for a plan.
pub fn lacks(config: &Config, followed: &Followed, policy: &BackupPlan) -> Vec<Lack> {
    let model = &followed.active.model;
    let mut lacks = Vec::new();
    for id in &policy.dataset_ids {
        let Some(binding) = config.datasets.get(id) else {
            lacks.push(Lack::Dataset(id.clone()));
            continue;
        };
        let relied_on = model
            .datasets
            .get(id)
            .and_then(|dataset| model.settings.connectors.get(&dataset.connector));
        let Some(relied_on) = relied_on else { continue };
        let built_in = connector::capabilities(binding.kind());
        // A database that is copied file by file may not open.
        if built_in.consistency.rank() < relied_on.consistency.rank() {
            let what = format!(
                "`{}` gives `{}` consistency, policy relies on `{}`",
                binding.kind(),
                built_in.consistency.as_str(),
                relied_on.consistency.as_str()
            );
            lacks.push(Lack::Capability(id.clone(), what));
        }
        let declared = built_in.declared();
        let missing: Vec<String> = relied_on
            .capabilities
            .difference(&declared)
            .filter_map(|capability| serde_json::to_value(capability).ok())
            // A JSON string, as policy writes it.
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect();
        if !missing.is_empty() {
            let what = format!("`{}` lacks {}", binding.kind(), missing.join(", "));
            lacks.push(Lack::Capability(id.clone(), what));
        }
    }
    for id in &policy.locations {
        if !config.locations.contains_key(id) {
            lacks.push(Lack::Location(id.clone()));
        }
    }
    if !config.keys.contains_key(&policy.encryption_key_ref) {
        lacks.push(Lack::Key(policy.encryption_key_ref.clone()));
    }
    lacks.sort();
    lacks
}

/// What the locations of one plan show.
#[derive(Default)]
struct Looked {
    copies: BTreeMap<LocationId, Observation<CopyState>>,
    repositories: BTreeMap<Kid, RepositoryObserved>,
}

/// The repositories of a plan, each with the locations where it should be: those of the policy, and those where the catalog
/// knows recovery points.
fn wanted(policy: &BackupPlan, runs: &[Run]) -> BTreeMap<Kid, BTreeSet<LocationId>> {
    let mut wanted =
        BTreeMap::from([(policy.encryption_key_ref.clone(), policy.locations.clone())]);
    for run in runs.iter().filter(|run| run.is_point()) {
        let locations = wanted
            .entry(run.kid.clone())
            .or_insert_with(|| policy.locations.clone());
        locations.extend(run.storage_locations.keys().cloned());
    }
    wanted
}

/// Each plan is looked at in a thread of its own. One that does not come back in time is left behind: it only reads.
fn look_at_copies(
    daemon: &Daemon,
    followed: &Followed,
    only: Option<&PlanId>,
    runs: &BTreeMap<PlanId, Vec<Run>>,
    now: Timestamp,
) -> BTreeMap<PlanId, Looked> {
    let mut all: BTreeMap<PlanId, Looked> = BTreeMap::new();
    let (sender, receiver) = channel();
    let mut waiting = 0_usize;
    for (plan_id, policy) in wanted_plans(followed, only) {
        let wanted = wanted(policy, runs.get(plan_id).map_or(&[], Vec::as_slice));
        if !lacks(&daemon.config, followed, policy).is_empty() {
            all.insert(
                plan_id.clone(),
                unknown(&wanted, policy, "the plan is not bound"),
            );
            continue;
        }
        all.insert(
            plan_id.clone(),
            unknown(&wanted, policy, "it did not answer in time"),
        );
        let mut repositories = Vec::new();
        for (kid, locations) in wanted {
            // The copies of the policy's locations are compared with each other; another location is only listed.
            let (compared, listed): (BTreeSet<_>, BTreeSet<_>) = locations
                .into_iter()
                .partition(|location| policy.locations.contains(location));
            let current = kid == policy.encryption_key_ref;
            let opened = open(daemon, policy, &kid, &compared);
            repositories.push((kid.clone(), current, opened));
            if !listed.is_empty() {
                let opened = open(daemon, policy, &kid, &listed);
                repositories.push((kid.clone(), false, opened));
            }
        }
        let (sender, plan_id) = (sender.clone(), plan_id.clone());
        waiting += 1;
        let effects = Arc::clone(&daemon.effects);
        daemon.effects.beside(Box::new(move || {
            let looked = look_at(effects.as_ref(), repositories, now);
            let _ = sender.send((plan_id, looked));
        }));
    }
    drop(sender);
    let until = Instant::now() + LOOK_DEADLINE;
    while waiting > 0 {
        let left = until.saturating_duration_since(Instant::now());
        let Ok((plan_id, looked)) = receiver.recv_timeout(left) else {
            break;
        };
        waiting -= 1;
        all.insert(plan_id, looked);
    }
    all
}

fn unknown(wanted: &BTreeMap<Kid, BTreeSet<LocationId>>, policy: &BackupPlan, why: &str) -> Looked {
    let held = |locations: &BTreeSet<LocationId>| RepositoryObserved {
        held: each(locations, why),
        ..RepositoryObserved::default()
    };
    Looked {
        copies: each(&policy.locations, why),
        repositories: wanted
            .iter()
            .map(|(kid, locations)| (kid.clone(), held(locations)))
            .collect(),
    }
}

fn each<T>(locations: &BTreeSet<LocationId>, why: &str) -> BTreeMap<LocationId, Observation<T>> {
    let unknown = |id: &LocationId| {
        let why = why.to_owned();
        (id.clone(), Observation::Unknown { why })
    };
    locations.iter().map(unknown).collect()
}

/// A repository that cannot be opened is unknown at each of its locations.
type Opened = Result<Access, BTreeMap<LocationId, String>>;

fn open(
    daemon: &Daemon,
    policy: &BackupPlan,
    kid: &Kid,
    locations: &BTreeSet<LocationId>,
) -> Opened {
    let all = |why: &str| everywhere(locations.iter(), why);
    let unbound = locations
        .iter()
        .find(|id| !daemon.config.locations.contains_key(*id));
    if let Some(unbound) = unbound {
        return Err(all(&format!("location `{unbound}` is not bound")));
    }
    Access::new(daemon, &policy.plan_id, kid, locations.iter().cloned())
        .map_err(|failure| all(&failure.message))
}

fn everywhere<'a>(
    locations: impl Iterator<Item = &'a LocationId>,
    why: &str,
) -> BTreeMap<LocationId, String> {
    locations.map(|id| (id.clone(), why.to_owned())).collect()
}

fn look_at(effects: &dyn Effects, repositories: Vec<(Kid, bool, Opened)>, at: Timestamp) -> Looked {
    let mut looked = Looked::default();
    for (kid, is_current, opened) in repositories {
        let seen = looked.repositories.entry(kid).or_default();
        let listed = opened.and_then(|access| {
            let unknown = |failure: Failure| everywhere(access.places.keys(), &failure.message);
            effects.observe(&access).map_err(unknown)
        });
        let locations = match listed {
            Ok(locations) => locations,
            Err(unknown) => {
                for (location, why) in unknown {
                    let unknown = Observation::Unknown { why: why.clone() };
                    seen.held.insert(location.clone(), unknown);
                    if is_current {
                        looked.copies.insert(location, Observation::Unknown { why });
                    }
                }
                continue;
            }
        };
        for one in locations {
            let snapshots = one.snapshots;
            let (state, held) = states(one.state, snapshots, at);
            seen.held.insert(one.location.clone(), held);
            if is_current {
                looked.copies.insert(one.location, state);
            }
        }
    }
    looked
}

/// How a location stands, and which recovery points it holds. One that is set aside proves nothing about what it lacks.
fn states(
    state: LocationState,
    snapshots: BTreeSet<String>,
    at: Timestamp,
) -> (Observation<CopyState>, Observation<BTreeSet<String>>) {
    let copy = |value| Observation::Known { value, at };
    let held = Observation::Known {
        value: snapshots,
        at,
    };
    match state {
        LocationState::InSync => (copy(CopyState::InSync), held),
        LocationState::Lagging { missing, bytes, .. } => {
            (copy(CopyState::Lagging { missing, bytes }), held)
        }
        LocationState::CatchingUp => {
            let (missing, bytes) = (0, 0);
            (copy(CopyState::Lagging { missing, bytes }), held)
        }
        LocationState::Quarantined { why } => (
            copy(CopyState::Quarantined { why: why.clone() }),
            Observation::Unknown { why },
        ),
        LocationState::Absent => (Observation::Absent { at }, Observation::Absent { at }),
        LocationState::Unknown { why } => (
            Observation::Unknown { why: why.clone() },
            Observation::Unknown { why },
        ),
    }
}
