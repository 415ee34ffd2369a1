//! Owns the second opinion: it derives again, from the policy and what was observed, that no step of a plan destroys, repeats
//! or pretends anything. Shares no derivation with [`crate::plan`] but the calendar. The interesting function is [`review`].

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{CopyState, Observation, Observed, PlanObserved, Run};
use crate::plan::{
    ActivePolicy, Backup, CatchUp, Check, Forget, Mark, Missed, Overdue, Plan, Points, Prune, Step,
    Verify,
};
use contract::calendar::Calendar;
use contract::id::{BackupId, DatasetId, PlanId};
use contract::model::{BackupPlan, FreezeWindow, MIN_DELETE_GRACE, Model};
use contract::seal::Standing;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// A step that must not be executed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// The operation that it objects to; for a point that would be forgotten, `forget.<backup_id>`.
    pub operation_id: String,
    /// Its plan.
    pub plan_id: PlanId,
    /// Why.
    pub why: String,
}

/// The first word of an objection to forgetting a recovery point.
pub const FORGET: &str = "forget.";

impl Objection {
    /// Whether it stops a step; forgetting is only shown.
    pub fn is_about_a_step(&self) -> bool {
        !self.operation_id.starts_with(FORGET)
    }
}

impl std::fmt::Display for Objection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "the review stops `{}`: {}",
            self.operation_id, self.why
        )
    }
}

/// What the steps before have claimed, so that two steps of one plan cannot both.
#[derive(Default)]
struct Claims {
    operations: BTreeSet<String>,
    points: BTreeSet<BackupId>,
    slots: BTreeMap<PlanId, Timestamp>,
}

/// Every objection to a plan; an empty list lets it be executed.
pub fn review(
    plan: &Plan,
    observed: &Observed,
    active: &ActivePolicy,
    now: Timestamp,
) -> Vec<Objection> {
    let mut claims = Claims::default();
    let mut objections = Vec::new();
    for planned in &plan.steps {
        let plan_id = planned.step.plan_id();
        let mut object = |why: String| {
            objections.push(Objection {
                operation_id: planned.operation_id.clone(),
                plan_id: plan_id.clone(),
                why,
            });
        };
        if !claims.operations.insert(planned.operation_id.clone()) {
            object("two steps have the same operation id".to_owned());
        }
        if planned.deadline < now && !planned.step.is_record() {
            object("its deadline has passed already".to_owned());
        }
        let subject = match subject(active, observed, plan_id) {
            Ok(subject) => subject,
            Err(why) => {
                object(why);
                continue;
            }
        };
        let found = match &planned.step {
            Step::RecordMissed(_) | Step::Backup(Backup { slot: Some(_), .. })
                if active.clock.is_ahead() =>
            {
                Err("it ends a slot while the clock is not trusted".to_owned())
            }
            Step::Verify(Verify {
                ends_slot: Some(_), ..
            }) if active.clock.is_ahead() => {
                Err("it ends a slot while the clock is not trusted".to_owned())
            }
            Step::RecordMissed(missed) => missed_is_sound(missed, &subject, &mut claims, now),
            Step::Backup(backup) => backup_is_sound(backup, &subject, &mut claims, now),
            Step::Verify(verify) => verify_is_sound(verify, &subject, &mut claims),
            Step::Check(check) => check_is_sound(check, &subject, planned.deadline),
            Step::RecordOverdue(overdue) => overdue_is_sound(overdue, &subject, now),
            Step::RecordLost(points) => lost_are_gone(points, &subject),
            Step::RecordFound(points) => found_are_there(points, &subject),
            Step::CatchUp(catch_up) => catch_up_is_sound(catch_up, &subject),
            Step::Mark(mark) => mark_is_sound(mark, &subject, active.standing, now),
            Step::Prune(prune) => prune_is_sound(prune, &subject, active, now),
        };
        if let Err(why) = found {
            object(why);
        }
    }
    objections.extend(forgetting(plan, observed, active, now));
    objections
}

struct Subject<'a> {
    policy: &'a BackupPlan,
    seen: &'a PlanObserved,
    calendar: Calendar,
    frozen: &'a [FreezeWindow],
    model: &'a Model,
}

fn subject<'a>(
    active: &'a ActivePolicy,
    observed: &'a Observed,
    plan_id: &PlanId,
) -> Result<Subject<'a>, String> {
    let policy = active
        .model
        .plans
        .get(plan_id)
        .ok_or_else(|| "the active bundle has no such plan".to_owned())?;
    if active.model.reconciler_of(policy) != Some(&active.reconciler_id) {
        return Err("the plan belongs to another reconciler".to_owned());
    }
    let seen = observed
        .plans
        .get(plan_id)
        .ok_or_else(|| "the plan was never observed".to_owned())?;
    if !seen.unbound.is_empty() {
        return Err("the plan is not bound".to_owned());
    }
    let calendar = policy
        .backup_frequency
        .calendar(&active.zones)
        .map_err(|error| error.to_string())?;
    Ok(Subject {
        policy,
        seen,
        calendar,
        frozen: &active.model.environment.freeze_windows,
        model: &active.model,
    })
}

impl Subject<'_> {
    fn may_begin(&self, now: Timestamp) -> bool {
        let plane = &self.policy.plane;
        let frozen = |window: &FreezeWindow| {
            window.planes.contains(plane) && (window.from..window.to).contains(&now)
        };
        self.seen.suspended.is_none() && !self.frozen.iter().any(frozen)
    }

    fn is_slot(&self, at: Timestamp) -> bool {
        self.calendar.slot_at_or_before(at) == Some(at)
    }

    /// The slot after the newest recorded or claimed one, which is the only one that may end next.
    fn next_open(&self, claims: &Claims) -> Option<Timestamp> {
        let claimed = claims.slots.get(&self.policy.plan_id).copied();
        match claimed.max(self.seen.ended_through) {
            // Slots of before the plan was asked for them are no slots of it.
            Some(ended) => match crate::plan::first_slot(&self.calendar, self.seen.since) {
                Some(first) if ended < first => Some(first),
                Some(_) | None => self.calendar.next_after(ended),
            },
            None => crate::plan::first_slot(&self.calendar, self.seen.since),
        }
    }

    /// Claims the slots from `first` to `last`, which must follow the claimed ones without a hole.
    fn claim(&self, first: Timestamp, last: Timestamp, claims: &mut Claims) -> Result<(), String> {
        if !self.is_slot(first) || !self.is_slot(last) {
            return Err("it names an instant that is no slot of the schedule".to_owned());
        }
        if self.next_open(claims) != Some(first) {
            return Err(format!(
                "slot `{first}` is not the next one without a record"
            ));
        }
        let unknown = self.seen.open.iter().filter_map(|operation| operation.slot);
        if unknown
            .into_iter()
            .any(|slot| slot >= first && slot <= last)
        {
            return Err("the outcome of an earlier run of its slot is unknown".to_owned());
        }
        claims.slots.insert(self.policy.plan_id.clone(), last);
        Ok(())
    }
}

fn missed_is_sound(
    missed: &Missed,
    subject: &Subject<'_>,
    claims: &mut Claims,
    now: Timestamp,
) -> Result<(), String> {
    let (first, last) = (missed.first, missed.last);
    if last < first || last > now {
        return Err("its slots lie in the future or stand upside down".to_owned());
    }
    subject.claim(first, last, claims)?;
    let after_last = last
        .checked_add(SignedDuration::from_secs(1))
        .unwrap_or(Timestamp::MAX);
    let counted = subject.calendar.slots(first, after_last).count();
    if u64::try_from(counted) != Ok(missed.count) {
        return Err(format!(
            "it counts {} slots where there are {counted}",
            missed.count
        ));
    }
    let holds_point = subject
        .seen
        .points()
        .filter_map(|run| run.slot)
        .any(|slot| slot >= first && slot <= last);
    if holds_point {
        return Err("one of its slots has a recovery point".to_owned());
    }
    // Only a slot that may no longer begin is missed: a newer one has begun, or its window is over.
    let window = SignedDuration::from_secs(subject.policy.backup_frequency.start_window_s.signed());
    let newer = subject
        .calendar
        .next_after(last)
        .is_some_and(|next| next <= now);
    if !newer && now.duration_since(last) <= window {
        return Err("its last slot may still begin in time".to_owned());
    }
    Ok(())
}

fn backup_is_sound(
    backup: &Backup,
    subject: &Subject<'_>,
    claims: &mut Claims,
    now: Timestamp,
) -> Result<(), String> {
    let policy = subject.policy;
    let named = match backup.slot {
        Some(slot) => format!("{}.{}", policy.plan_id, slot.strftime("%Y%m%dT%H%M%SZ")),
        None => format!("{}.op-{}", policy.plan_id, now.strftime("%Y%m%dT%H%M%SZ")),
    };
    if backup.backup_id.as_str() != named {
        return Err(format!("its recovery point should be named `{named}`"));
    }
    if !claims.points.insert(backup.backup_id.clone())
        || subject.seen.point(&backup.backup_id).is_some()
    {
        return Err("its recovery point exists already".to_owned());
    }
    let running = |operation: &crate::domain::Operation| {
        operation.backup_id.as_ref() == Some(&backup.backup_id)
    };
    if subject.seen.open.iter().any(running) {
        return Err("the outcome of an earlier run of it is unknown".to_owned());
    }
    // Only what a slot must hold is fixed; a person may take a part, which then counts for no more than that.
    let datasets_fit = match backup.slot {
        Some(_) => backup.dataset_ids == policy.dataset_ids,
        None => !backup.dataset_ids.is_empty() && backup.dataset_ids.is_subset(&policy.dataset_ids),
    };
    if !datasets_fit || backup.locations != policy.locations {
        return Err("it takes other datasets or locations than policy says".to_owned());
    }
    if backup.commit != policy.redundancy_profile.commit || backup.commit == 0 {
        return Err("its commit is not what policy says".to_owned());
    }
    if backup.kid != policy.encryption_key_ref
        || backup.checksum_required != policy.verification.checksum_required
    {
        return Err("its key or its check is not what policy says".to_owned());
    }
    match backup.slot {
        None => Ok(()),
        Some(_) if !subject.may_begin(now) => {
            Err("its plan is suspended, or in a freeze window".to_owned())
        }
        Some(slot) if slot > now => Err("its slot is in the future".to_owned()),
        Some(slot) => subject.claim(slot, slot, claims),
    }
}

fn verify_is_sound(
    verify: &Verify,
    subject: &Subject<'_>,
    claims: &mut Claims,
) -> Result<(), String> {
    let point = subject
        .seen
        .point(&verify.backup_id)
        .ok_or_else(|| "the catalog has no such recovery point".to_owned())?;
    match verify.ends_slot {
        None => Ok(()),
        Some(slot) if point.slot != Some(slot) => {
            Err("the recovery point is not the one of its slot".to_owned())
        }
        Some(slot) => subject.claim(slot, slot, claims),
    }
}

fn check_is_sound(check: &Check, subject: &Subject<'_>, deadline: Timestamp) -> Result<(), String> {
    if check.part < 1 || check.part > check.of {
        return Err("it names a part that there is not".to_owned());
    }
    if check.makes_way > deadline {
        return Err("it would not make way before it is ended".to_owned());
    }
    let holds = |run: &crate::domain::Run| {
        run.kid == check.kid && run.storage_locations.contains_key(&check.location)
    };
    if subject.seen.points().any(holds) {
        Ok(())
    } else {
        Err("the catalog has no recovery point there".to_owned())
    }
}

fn overdue_is_sound(
    overdue: &Overdue,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Result<(), String> {
    if overdue.since >= now {
        return Err("the check is not due yet".to_owned());
    }
    let read = subject
        .seen
        .repositories
        .get(&overdue.kid)
        .into_iter()
        .flat_map(|repository| &repository.read)
        .any(|read| {
            read.location_id == overdue.location && read.of == 1 && read.at >= overdue.since
        });
    if read {
        return Err("everything there was read since".to_owned());
    }
    Ok(())
}

/// No location may be left out, and none that was not listed may be taken for empty.
fn lost_are_gone(points: &Points, subject: &Subject<'_>) -> Result<(), String> {
    for id in &points.backup_ids {
        let run = subject
            .seen
            .point(id)
            .ok_or_else(|| format!("the catalog has no recovery point `{id}`"))?;
        let held = subject
            .seen
            .repositories
            .get(&run.kid)
            .map(|seen| &seen.held);
        let mut wanted: BTreeSet<_> = subject.policy.locations.iter().collect();
        wanted.extend(run.storage_locations.keys());
        for location in wanted {
            match held.and_then(|held| held.get(location)) {
                Some(Observation::Absent { .. }) => {}
                Some(Observation::Known { value, .. })
                    if run
                        .snapshot_id
                        .as_ref()
                        .is_some_and(|id| !value.contains(id)) => {}
                Some(Observation::Known { .. } | Observation::Unknown { .. }) | None => {
                    return Err(format!("`{id}` may be at location `{location}`"));
                }
            }
        }
    }
    Ok(())
}

fn found_are_there(points: &Points, subject: &Subject<'_>) -> Result<(), String> {
    for id in &points.backup_ids {
        let there = subject
            .seen
            .point(id)
            .filter(|run| run.is_lost())
            .and_then(|run| {
                let snapshot = run.snapshot_id.as_ref()?;
                let held = &subject.seen.repositories.get(&run.kid)?.held;
                held.values().find(|held| {
                matches!(held, Observation::Known { value, .. } if value.contains(snapshot))
            })
            });
        if there.is_none() {
            return Err(format!("`{id}` is not lost, or at no location"));
        }
    }
    Ok(())
}

fn catch_up_is_sound(catch_up: &CatchUp, subject: &Subject<'_>) -> Result<(), String> {
    if !subject.policy.locations.contains(&catch_up.location) {
        return Err("the location is none of the plan".to_owned());
    }
    match subject.seen.copies.get(&catch_up.location) {
        Some(Observation::Known {
            value: CopyState::Lagging { .. },
            ..
        }) => Ok(()),
        Some(
            Observation::Known { .. } | Observation::Absent { .. } | Observation::Unknown { .. },
        )
        | None => Err("the location was not seen lagging".to_owned()),
    }
}

/// Forgetting is judged by its own arithmetic: floors, the newest verified point, what points that stay cannot be read without, the
/// standing, and that everything was seen.
fn forgetting(
    plan: &Plan,
    observed: &Observed,
    active: &ActivePolicy,
    now: Timestamp,
) -> Vec<Objection> {
    let mut objections = Vec::new();
    let mut by_plan: BTreeMap<&PlanId, Vec<&Forget>> = BTreeMap::new();
    for forget in &plan.would_forget {
        by_plan.entry(&forget.plan_id).or_default().push(forget);
    }
    for (plan_id, forgets) in by_plan {
        let mut object = |forget: &Forget, why: String| {
            objections.push(Objection {
                operation_id: format!("{FORGET}{}", forget.backup_id),
                plan_id: plan_id.clone(),
                why,
            });
        };
        let judged = subject(active, observed, plan_id).and_then(|subject| {
            points_may_go(&subject, active.standing, now)?;
            Ok(subject)
        });
        let subject = match judged {
            Ok(subject) => subject,
            Err(why) => {
                for forget in forgets {
                    object(forget, why.clone());
                }
                continue;
            }
        };
        let gone = forgets.iter().map(|forget| &forget.backup_id).collect();
        let staying = Staying::of(subject.seen, &gone, now);
        for forget in forgets {
            if let Some(why) = may_go(&forget.backup_id, &staying, &subject, now) {
                object(forget, why);
            }
        }
    }
    objections
}

/// Whether points of a plan may be forgotten at all.
fn points_may_go(subject: &Subject<'_>, standing: Standing, now: Timestamp) -> Result<(), String> {
    let Subject { policy, seen, .. } = subject;
    if standing == Standing::Stale {
        return Err("the active bundle is stale".to_owned());
    }
    if !subject.may_begin(now) {
        return Err("its plan is suspended, or in a freeze window".to_owned());
    }
    for location in &policy.locations {
        match seen.copies.get(location) {
            Some(Observation::Known {
                value: CopyState::InSync,
                ..
            }) => {}
            Some(
                Observation::Known { .. }
                | Observation::Absent { .. }
                | Observation::Unknown { .. },
            )
            | None => return Err(format!("location `{location}` is not known to be in sync")),
        }
    }
    let in_doubt = seen.in_doubt(now);
    match in_doubt.first_key_value() {
        None => Ok(()),
        Some((dataset, _)) => Err(format!("the source of `{dataset}` must be confirmed")),
    }
}

/// A mark says that a point goes: it has to be true of all that are marked together. Taking one back destroys nothing.
fn mark_is_sound(
    mark: &Mark,
    subject: &Subject<'_>,
    standing: Standing,
    now: Timestamp,
) -> Result<(), String> {
    if mark.going.is_empty() {
        return Ok(());
    }
    points_may_go(subject, standing, now)?;
    let seen = subject.seen.points();
    let marked = seen
        .filter(|run| run.leaving.is_some() && !mark.staying.contains_key(&run.backup_id))
        .map(|run| &run.backup_id);
    all_may_go(mark.going.keys().collect(), marked.collect(), subject, now)
}

/// Deleting is judged by the policy's own words: what it allows, how long each point was marked, and that nothing changed since.
fn prune_is_sound(
    prune: &Prune,
    subject: &Subject<'_>,
    active: &ActivePolicy,
    now: Timestamp,
) -> Result<(), String> {
    let Subject { policy, seen, .. } = subject;
    let environment = &active.model.environment;
    if !active.clock.is_plausible() {
        return Err("the clock is not trusted".to_owned());
    }
    if prune.locations != policy.locations || prune.kid != policy.encryption_key_ref {
        return Err("it is about another repository than policy says".to_owned());
    }
    if environment.delete_grace_s != Some(prune.grace) || prune.grace < MIN_DELETE_GRACE {
        return Err("its grace is not what policy says".to_owned());
    }
    let allowed = environment.delete_budget.as_ref();
    let allowed = allowed.map_or(0, |budget| u64::from(budget.points));
    if seen.deleted.saturating_add(prune.backup_ids.len() as u64) > allowed.max(seen.deleted) {
        return Err("the delete budget does not allow it".to_owned());
    }
    points_may_go(subject, active.standing, now)?;
    for id in &prune.backup_ids {
        let point = seen.point(id);
        let leaving = point.and_then(|point| point.leaving.as_ref());
        let marked = leaving.map(|leaving| now.duration_since(leaving.since).as_secs());
        if marked.is_none_or(|marked| marked < prune.grace.signed()) {
            return Err(format!("`{id}` is not marked for the grace"));
        }
    }
    let marked = seen.points().filter(|run| run.leaving.is_some());
    let marked = marked.map(|run| &run.backup_id).collect();
    all_may_go(prune.backup_ids.iter().collect(), marked, subject, now)
}

/// Whether some points may go together with others that are marked.
fn all_may_go<'p>(
    going: BTreeSet<&'p BackupId>,
    mut gone: BTreeSet<&'p BackupId>,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Result<(), String> {
    gone.extend(going.iter().copied());
    let staying = Staying::of(subject.seen, &gone, now);
    for id in going {
        if let Some(why) = may_go(id, &staying, subject, now) {
            return Err(format!("`{id}`: {why}"));
        }
    }
    Ok(())
}

/// Whether a legal hold is about one of the datasets of a point, or may be: nobody knows of a dataset that left the policy.
fn is_held(run: &Run, model: &Model) -> bool {
    let held = |id: &DatasetId| {
        let Some(dataset) = model.datasets.get(id) else {
            return true;
        };
        let mut holds = model
            .settings
            .data_retention
            .values()
            .filter(|law| law.legal_hold);
        holds.any(|law| {
            let classification = law.data_classification.as_deref();
            let layer = law.layer.as_deref();
            classification.is_none_or(|it| it == dataset.data_classification)
                && (layer.is_none() || layer == dataset.layer.as_deref())
        })
    };
    run.dataset_ids.iter().any(held)
}

/// What would stay when some points went, counted once for all of them.
struct Staying<'a> {
    points: BTreeMap<&'a BackupId, &'a Run>,
    /// How many verified ones, and the instant of the newest.
    verified: usize,
    newest_verified: Option<Timestamp>,
    /// What those that stay cannot be read without, through however many others, those that would go among them; and one of those
    /// that need it.
    needed: BTreeMap<&'a BackupId, &'a BackupId>,
}

impl<'a> Staying<'a> {
    fn of(seen: &'a PlanObserved, gone: &BTreeSet<&BackupId>, now: Timestamp) -> Self {
        let points: BTreeMap<&BackupId, &Run> =
            seen.points().map(|run| (&run.backup_id, run)).collect();
        let (mut verified, mut newest_verified, mut needed) = (0, None, BTreeMap::new());
        for run in seen.points().filter(|run| !gone.contains(&run.backup_id)) {
            if run.is_verified() && run.may_serve() && run.is_of_known_time(now) {
                verified += 1;
                newest_verified = newest_verified.max(Some(run.instant()));
            }
            let mut at = Some(run);
            // What is known to be needed has had its own bases looked at.
            while let Some(base) = at.and_then(|run| run.base.as_ref()) {
                if needed.contains_key(base) {
                    break;
                }
                needed.insert(base, &run.backup_id);
                at = points.get(base).copied();
            }
        }
        Self {
            points,
            verified,
            newest_verified,
            needed,
        }
    }
}

/// Why a point must stay; none when nothing speaks for it.
fn may_go(
    id: &BackupId,
    staying: &Staying<'_>,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Option<String> {
    let policy = subject.policy;
    let told = |why: &str| Some(why.to_owned());
    let Some(point) = staying.points.get(id) else {
        return told("the catalog has no such recovery point");
    };
    if is_held(point, subject.model) {
        return told("it is under a legal hold");
    }
    let class = &policy.retention;
    let age = now.duration_since(point.instant()).as_secs();
    if age < class.min_duration_s.signed() || age < class.immutable_for_s.signed() {
        return told("it is younger than a floor allows");
    }
    if let Some(other) = staying.needed.get(id) {
        return Some(format!("`{other}` cannot be read without it"));
    }
    if staying.newest_verified <= Some(point.instant()) {
        return told("no newer verified recovery point would stay");
    }
    if point.is_verified() {
        let floor = usize::try_from(class.min_versions).unwrap_or(usize::MAX);
        if staying.verified < floor {
            return told("fewer verified recovery points than `min_versions` would stay");
        }
    } else if !point.is_suspect() {
        return told("it is unknown whether it is good");
    }
    None
}
