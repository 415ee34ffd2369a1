//! Owns what a round will do and why, derived from the bundle in force, what was observed, and the time. Never looks at a
//! clock, a file or a random number, and leaves no choice to whoever carries it out. The interesting function is [`plan`].

mod checks;
mod one;
mod points;
mod retention;
mod slots;

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::code::{self, Code};
use contract::duration::Seconds;
use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId, ReconcilerId};
use contract::model::{BackupPlan, FreezeWindow, Model};
use contract::seal::Standing;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{BackupType, Observed, PartReading, PlanObserved, SlotOutcome};
use crate::doubt::Clock;

pub use one::after;
pub use retention::{Retained, Verdicted, retained};
pub use slots::{backup_id, first_slot, operator_backup_id, stamp};

/// What planning reads of the accepted bundle.
#[derive(Debug, Clone)]
pub struct ActivePolicy {
    /// The resolved model.
    pub model: Model,
    /// How far it may be followed.
    pub standing: Standing,
    /// What the clock is worth.
    pub clock: Clock,
    /// Who this process is.
    pub reconciler_id: ReconcilerId,
    /// The bundled time zones.
    pub zones: Zones,
}

/// What one round will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The instant that it was made for.
    pub now: Timestamp,
    /// In the order in which they are executed.
    pub steps: Vec<Planned>,
    /// Plans that have nothing to do yet, and until when.
    pub waits: Vec<Wait>,
    /// Plans that need a person.
    pub stalled: Vec<Stall>,
    /// What retention lets go: marked first, and deleted when its grace is over.
    pub would_forget: Vec<Forget>,
}

/// One step with everything that is needed to carry it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// `<kind>.<subject>.<attempt>`; the same plan always gives the same.
    pub operation_id: String,
    /// What is done.
    pub step: Step,
    /// Why, for a person.
    pub reason: String,
    /// The effect is ended then, finished or not.
    pub deadline: Timestamp,
    /// Where given, the effect goes on past its deadline while it makes progress, and is ended after this long without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_limit: Option<Seconds>,
}

impl Planned {
    /// What it is about, whichever attempt this is: its name without the last part.
    pub fn subject(&self) -> &str {
        let parts = self.operation_id.rsplit_once('.');
        parts.map_or(self.operation_id.as_str(), |(subject, _)| subject)
    }
}

/// What a step does. Each is idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Step {
    /// Record slots that did not run. Precondition: none of them has a record or an open operation.
    RecordMissed(Missed),
    /// Take the recovery point of a slot, check it, end the slot. Precondition: the slot is open and has no point.
    Backup(Backup),
    /// Read a recovery point again. Precondition: the catalog has it.
    Verify(Verify),
    /// Read a part of a repository again at one location. Precondition: the catalog has a point there.
    Check(Check),
    /// Record that a check was not done in time. Precondition: it is not recorded yet.
    RecordOverdue(Overdue),
    /// Record recovery points that are gone. Precondition: every location was listed and none has them.
    RecordLost(Points),
    /// Record lost recovery points that are there again. Precondition: a location has them.
    RecordFound(Points),
    /// Copy to a location what it misses. Precondition: it was seen lagging.
    CatchUp(CatchUp),
    /// Mark recovery points that are to be deleted, and take back marks. Precondition: everything was seen, and no floor holds them.
    Mark(Mark),
    /// Delete recovery points and what nothing needs. Precondition: they are marked for the grace, and may still go.
    Prune(Prune),
}

/// Slots that did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The plan.
    pub plan_id: PlanId,
    /// The first slot.
    pub first: Timestamp,
    /// The last slot.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

/// A recovery point to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The plan.
    pub plan_id: PlanId,
    /// The recovery point's id.
    pub backup_id: BackupId,
    /// The slot; absent for an operator's backup.
    pub slot: Option<Timestamp>,
    /// When it should have begun: slot and offset.
    pub due: Timestamp,
    /// What it holds.
    pub dataset_ids: BTreeSet<DatasetId>,
    /// Full or incremental.
    pub backup_type: BackupType,
    /// Where it goes.
    pub locations: BTreeSet<LocationId>,
    /// How many of them must hold it before it counts.
    pub commit: u32,
    /// The key that seals it.
    pub kid: Kid,
    /// Zstandard level; 0 stores without compression.
    pub compression: u32,
    /// Jobs that a dump may run side by side.
    pub parallel_jobs: u32,
    /// How often a run that failed is tried again.
    pub retries: u32,
    /// Bytes that it may send to each location in a second; as many as it can where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// Whether it counts only after its check.
    pub checksum_required: bool,
    /// Whether it takes what a restore is about to replace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub before_restore: bool,
}

/// A recovery point to read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verify {
    /// The plan.
    pub plan_id: PlanId,
    /// The recovery point.
    pub backup_id: BackupId,
    /// The slot that ends with this check, where its run could not end it.
    pub ends_slot: Option<Timestamp>,
    /// Where it is read.
    pub locations: BTreeSet<LocationId>,
    /// At how many of them it must be sound for the check to be a success.
    pub enough: usize,
}

/// A part of a repository to read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it is read.
    pub location: LocationId,
    /// From 1 to `of`.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
    /// What an earlier piece of this reading came to; it continues there.
    pub begun: Option<PartReading>,
    /// When it makes way for backups and for the next round.
    pub makes_way: Timestamp,
}

/// A check that was not done before the next one was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overdue {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where nothing was read.
    pub location: LocationId,
    /// Since when a check is due.
    pub since: Timestamp,
}

/// Recovery points of which the catalog must say something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Points {
    /// The plan.
    pub plan_id: PlanId,
    /// Which ones.
    pub backup_ids: BTreeSet<BackupId>,
}

/// A location that lags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatchUp {
    /// The plan whose repository it is.
    pub plan_id: PlanId,
    /// The location.
    pub location: LocationId,
    /// The repository's key.
    pub kid: Kid,
}

/// What retention decided anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The plan.
    pub plan_id: PlanId,
    /// Recovery points to mark, and why each may go.
    pub going: BTreeMap<BackupId, String>,
    /// Those whose mark is taken back, and why each stays.
    pub staying: BTreeMap<BackupId, String>,
}

/// Recovery points to delete, and the repository to prune.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prune {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// All locations of it.
    pub locations: BTreeSet<LocationId>,
    /// What goes; none where only packs are removed whose grace is over.
    pub backup_ids: BTreeSet<BackupId>,
    /// How long packs stay marked.
    pub grace: Seconds,
}

/// A plan that has nothing to do yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The plan.
    pub plan_id: PlanId,
    /// What it waits for.
    pub on: String,
    /// The code of what it waits for, where that is a fault.
    pub code: Option<Code>,
    /// Until when; absent when nobody can tell.
    pub until: Option<Timestamp>,
}

/// A plan that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// The plan.
    pub plan_id: PlanId,
    /// Why.
    pub code: Code,
    /// In words.
    pub why: String,
}

/// A recovery point that retention names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forget {
    /// The plan.
    pub plan_id: PlanId,
    /// The recovery point.
    pub backup_id: BackupId,
    /// Why it may go.
    pub reason: String,
}

impl Step {
    /// The plan that the step serves.
    pub const fn plan_id(&self) -> &PlanId {
        match self {
            Self::RecordMissed(missed) => &missed.plan_id,
            Self::Backup(backup) => &backup.plan_id,
            Self::Verify(verify) => &verify.plan_id,
            Self::Check(check) => &check.plan_id,
            Self::RecordOverdue(overdue) => &overdue.plan_id,
            Self::RecordLost(points) | Self::RecordFound(points) => &points.plan_id,
            Self::CatchUp(catch_up) => &catch_up.plan_id,
            Self::Mark(mark) => &mark.plan_id,
            Self::Prune(prune) => &prune.plan_id,
        }
    }

    /// Whether it only records what is so already, and has no deadline.
    pub const fn is_record(&self) -> bool {
        match self {
            Self::RecordMissed(_)
            | Self::RecordOverdue(_)
            | Self::RecordLost(_)
            | Self::RecordFound(_)
            | Self::Mark(_) => true,
            Self::Backup(_)
            | Self::Verify(_)
            | Self::Check(_)
            | Self::CatchUp(_)
            | Self::Prune(_) => false,
        }
    }

    /// The locations that its worker takes backups or copies to, or checks; none where nothing but the store changes.
    pub fn locations(&self) -> BTreeSet<LocationId> {
        match self {
            Self::Backup(backup) => backup.locations.clone(),
            Self::Verify(verify) => verify.locations.clone(),
            Self::Check(check) => BTreeSet::from([check.location.clone()]),
            Self::CatchUp(catch_up) => BTreeSet::from([catch_up.location.clone()]),
            Self::Prune(prune) => prune.locations.clone(),
            Self::RecordMissed(_)
            | Self::RecordOverdue(_)
            | Self::RecordLost(_)
            | Self::RecordFound(_)
            | Self::Mark(_) => BTreeSet::new(),
        }
    }

    /// The word in tables and receipts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RecordMissed(_) => "record_missed",
            Self::Backup(_) => "backup",
            Self::Verify(_) => "verify",
            Self::Check(_) => "check",
            Self::RecordOverdue(_) => "record_overdue",
            Self::RecordLost(_) => "record_lost",
            Self::RecordFound(_) => "record_found",
            Self::CatchUp(_) => "catch_up",
            Self::Mark(_) => "mark",
            Self::Prune(_) => "prune",
        }
    }
}

impl Plan {
    /// Nothing to do.
    pub const fn empty(now: Timestamp) -> Self {
        Self {
            now,
            steps: Vec::new(),
            waits: Vec::new(),
            stalled: Vec::new(),
            would_forget: Vec::new(),
        }
    }

    /// Adds what another one says of other plans, after what this one says.
    pub fn extend(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.waits.extend(other.waits);
        self.stalled.extend(other.stalled);
        self.would_forget.extend(other.would_forget);
    }
}

/// Derives what one plan needs, whatever other plans do. Its checks make way for its own backups alone.
pub fn plan_alone(
    active: &ActivePolicy,
    plan_id: &PlanId,
    seen: &PlanObserved,
    now: Timestamp,
) -> Plan {
    let mut alone = Plan::empty(now);
    let Some((_, policy)) = own_plans(active).find(|(id, _)| *id == plan_id) else {
        return alone;
    };
    let makes_way = one::next_start(active, policy, now).unwrap_or(Timestamp::MAX);
    let mine = one::plan_one(active, policy, seen, makes_way, now);
    let mut ranked = mine.steps;
    ranked.sort_by_key(|(rank, due, _)| (*rank, *due));
    alone.steps = ranked.into_iter().map(|(_, _, step)| step).collect();
    alone.waits = mine.waits;
    alone.stalled = mine.stalled;
    alone.would_forget = mine.would_forget;
    alone
}

/// Plans that nobody can take points of, because their datasets belong to different reconcilers.
pub fn split(active: &ActivePolicy) -> Vec<Stall> {
    split_plans(active)
        .map(|(plan_id, _)| Stall {
            plan_id: plan_id.clone(),
            code: code::PLAN_SPLIT,
            why: "its datasets belong to different reconcilers".to_owned(),
        })
        .collect()
}

/// Derives what this round does. Planning again on the state that it leads to gives no step.
pub fn plan(active: &ActivePolicy, observed: &Observed, now: Timestamp) -> Plan {
    let mut all = Plan::empty(now);
    // A check yields to whichever backup of ours starts next.
    let makes_way = own_plans(active)
        .filter_map(|(_, policy)| one::next_start(active, policy, now))
        .min()
        .unwrap_or(Timestamp::MAX);
    let mut ranked: BTreeMap<(u8, Timestamp, PlanId, usize), Planned> = BTreeMap::new();
    all.stalled = split(active);
    for (plan_id, policy) in own_plans(active) {
        let Some(seen) = observed.plans.get(plan_id) else {
            all.waits.push(Wait {
                plan_id: plan_id.clone(),
                on: "its first inspection".to_owned(),
                code: None,
                until: None,
            });
            continue;
        };
        let mine = one::plan_one(active, policy, seen, makes_way, now);
        for (index, (rank, due, step)) in mine.steps.into_iter().enumerate() {
            ranked.insert((rank, due, plan_id.clone(), index), step);
        }
        all.waits.extend(mine.waits);
        all.stalled.extend(mine.stalled);
        all.would_forget.extend(mine.would_forget);
    }
    all.steps = ranked.into_values().collect();
    all
}

/// The freeze window that a plan is in.
pub fn freeze<'m>(
    model: &'m Model,
    policy: &BackupPlan,
    now: Timestamp,
) -> Option<&'m FreezeWindow> {
    let mut windows = model.environment.freeze_windows.iter();
    windows.find(|window| {
        window.planes.contains(&policy.plane) && window.from <= now && now < window.to
    })
}

enum Owner {
    Us,
    Other,
    Split,
}

fn owner(active: &ActivePolicy, policy: &BackupPlan) -> Owner {
    let model = &active.model;
    match model.reconciler_of(policy) {
        Some(id) if *id == active.reconciler_id => Owner::Us,
        Some(_) => Owner::Other,
        None => {
            let concerns_us = policy.dataset_ids.iter().any(|id| {
                model
                    .datasets
                    .get(id)
                    .and_then(|dataset| model.settings.sites.get(&dataset.site))
                    .is_none_or(|site| site.reconciler_id == active.reconciler_id)
            });
            if concerns_us {
                Owner::Split
            } else {
                Owner::Other
            }
        }
    }
}

/// The plans of the model that this reconciler acts for.
pub fn own_plans(active: &ActivePolicy) -> impl Iterator<Item = (&PlanId, &BackupPlan)> {
    active
        .model
        .plans
        .iter()
        .filter(|(_, policy)| matches!(owner(active, policy), Owner::Us))
}

/// Plans whose slots begin anew with a bundle: it has them where the one before had not, or with other slots, or with datasets
/// that no slot took so far. Slots of a time when nobody had asked for them are not missed.
pub fn beginning(before: Option<&Model>, active: &ActivePolicy) -> BTreeSet<PlanId> {
    own_plans(active)
        .filter(|(id, policy)| {
            let known = before.and_then(|before| before.plans.get(*id));
            known.is_none_or(|known| {
                known.backup_frequency.timing() != policy.backup_frequency.timing()
                    || !policy.dataset_ids.is_subset(&known.dataset_ids)
            })
        })
        .map(|(id, _)| id.clone())
        .collect()
}

/// Plans that have a dataset of this reconciler and one of another: nobody can take their recovery points.
pub fn split_plans(active: &ActivePolicy) -> impl Iterator<Item = (&PlanId, &BackupPlan)> {
    active
        .model
        .plans
        .iter()
        .filter(|(_, policy)| matches!(owner(active, policy), Owner::Split))
}

/// A backup that an operator asks for: it has no slot, and is full only when nothing can carry it.
pub fn operator_backup(
    policy: &BackupPlan,
    dataset_ids: &BTreeSet<DatasetId>,
    seen: &PlanObserved,
    now: Timestamp,
    completion: Timestamp,
) -> Result<Planned, contract::id::InvalidId> {
    let id = operator_backup_id(&policy.plan_id, now)?;
    let carried = seen
        .points()
        .any(|run| run.kid == policy.encryption_key_ref);
    let backup_type = if carried {
        BackupType::Incremental
    } else {
        BackupType::Full
    };
    let step = Backup {
        dataset_ids: dataset_ids.clone(),
        ..one::backup_of(policy, id, None, now, backup_type)
    };
    Ok(Planned {
        operation_id: format!("backup.{}.1", step.backup_id),
        step: Step::Backup(step),
        reason: "an operator asked for it".to_owned(),
        deadline: completion,
        stall_limit: one::stall_limit(policy, seen),
    })
}

/// How a slot ends by a run that left a point, given its check.
pub const fn outcome_of_check(passed: bool) -> SlotOutcome {
    if passed {
        SlotOutcome::Success
    } else {
        SlotOutcome::Failure
    }
}
