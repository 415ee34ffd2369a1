//! Owns how everything stands, in a few words with codes, as a pure function of what is known. Never green while anything is
//! unknown, and no fault is hidden by another or by work that is due. The interesting function is [`status`].

mod objective;
mod own;

use std::collections::BTreeMap;

use contract::code::{self, Code};
use contract::duration::Seconds;
use contract::id::{BackupId, DatasetId, LocationId, PlanId, TierId};
use contract::model::BackupPlan;
use contract::seal::Standing;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{
    CopyState, Observation, Observed, Operation, OperationKind, PlanObserved, Run, SlotOutcome,
    State, StoredCondition,
};
use crate::doubt::Clock;
use crate::failure::Failure;
use crate::plan::{ActivePolicy, Plan};
use crate::review::Objection;
use crate::words::count;

pub use own::unheeded;

/// The word of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Word {
    /// Everything is as policy wants it.
    Ready,
    /// Work is due and will be done by the next round.
    Reconciling,
    /// Something outside must change first, and probably will.
    Waiting,
    /// It cannot be told.
    Unknown,
    /// A person is needed.
    Stalled,
}

impl Word {
    /// The word as it is printed and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Waiting => "Waiting",
            Self::Unknown => "Unknown",
            Self::Stalled => "Stalled",
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// The plan; absent for the whole.
    #[schema(value_type = Option<crate::schema::Id>)]
    pub plan_id: Option<PlanId>,
    /// The word.
    pub condition: Word,
    /// Its code, where something is wrong.
    #[schema(value_type = Option<String>)]
    pub code: Option<Code>,
    /// In words.
    pub why: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// How one plan stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanStatus {
    /// Its condition.
    pub condition: Condition,
    /// The newest recovery point that may be used.
    pub newest: Option<Newest>,
    /// The strictest RPO of its datasets.
    #[schema(value_type = Option<u64>)]
    pub rpo_s: Option<Seconds>,
    /// When its next run is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_due: Option<Timestamp>,
    /// Whether it was inspected since the daemon started.
    #[serde(default)]
    pub is_observed: bool,
    /// Everything that is wrong with it, the worst first; `condition` shows the first of them.
    #[serde(default)]
    pub problems: Vec<PlanProblem>,
}

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanProblem {
    /// How it counts.
    pub condition: Word,
    /// Its code.
    #[schema(value_type = String)]
    pub code: Code,
    /// In words.
    pub why: String,
    /// The location, where it is about one.
    #[schema(value_type = Option<crate::schema::Id>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The dataset, where it is about one.
    #[schema(value_type = Option<crate::schema::Id>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_id: Option<DatasetId>,
    /// Whether work that is due or under way may end it; `condition` leaves it out meanwhile.
    #[serde(default)]
    pub is_worked_on: bool,
}

/// How well one dataset is protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetStatus {
    /// The dataset.
    #[schema(value_type = crate::schema::Id)]
    pub dataset_id: DatasetId,
    /// Its tier.
    #[schema(value_type = crate::schema::Id)]
    pub tier: TierId,
    /// Its RPO.
    #[schema(value_type = u64)]
    pub rpo_s: Seconds,
    /// Its RTO.
    #[schema(value_type = u64)]
    pub rto_s: Seconds,
    /// The newest recovery point that may be used, of any plan.
    pub newest: Option<Newest>,
    /// Seconds of work that a disaster would lose now: since the state of the newest usable recovery point, or since its plan
    /// began where there is none. Absent while no plan of it was observed.
    #[schema(value_type = Option<u64>)]
    pub age_s: Option<Seconds>,
}

/// The newest usable recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Newest {
    /// Its id.
    #[schema(value_type = crate::schema::PointId)]
    pub backup_id: BackupId,
    /// The state it shows.
    #[schema(value_type = String, format = DateTime)]
    pub consistent_at: Timestamp,
    /// Seconds since then.
    #[schema(value_type = u64)]
    pub age_s: Seconds,
    /// Whether it was checked.
    pub verified: bool,
    /// Locations that hold it.
    pub locations: usize,
}

/// What is known of where policy comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Serial of the bundle in force.
    pub serial: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it stops to be fresh.
    pub expires_at: Timestamp,
    /// Why a newer one is not in force.
    pub problem: Option<Failure>,
    /// Whether the trust root lists the receipt key.
    pub receipt_key_listed: bool,
    /// When the newest receipt was made.
    pub last_recorded_at: Option<Timestamp>,
    /// What is wrong with notification channels: the code and why.
    pub channels: Vec<(Code, String)>,
}

/// The version of the names in the JSON that commands print and the API answers: names are added to it, and none is altered.
pub const JSON_VERSION: u32 = 1;

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of these names and of those of the other JSON.
    pub schema_version: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Serial of the bundle in force.
    pub serial: u64,
    /// When it stops to be fresh.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The process that answers; absent when none runs, and the state folder was read.
    pub daemon: Option<DaemonStatus>,
    /// When the newest receipt was made: what the daemon did last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_recorded_at: Option<Timestamp>,
    /// What is true of no single plan.
    pub overall: Vec<Condition>,
    /// By plan.
    pub plans: Vec<PlanStatus>,
    /// By dataset of these plans.
    pub datasets: Vec<DatasetStatus>,
    /// Green, yellow or red.
    pub light: Light,
}

/// A running daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DaemonStatus {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// One colour for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// Ready.
    Green,
    /// Not everything is ready or known.
    Yellow,
    /// A person is needed.
    Red,
}

impl Status {
    /// Whether a person is needed anywhere.
    pub fn is_stalled(&self) -> bool {
        self.light == Light::Red
    }
}

/// The colour of a word. Unknown is never green.
pub const fn light(word: Word) -> Light {
    match word {
        Word::Ready => Light::Green,
        Word::Reconciling | Word::Waiting | Word::Unknown => Light::Yellow,
        Word::Stalled => Light::Red,
    }
}

/// How everything stands.
pub fn status(
    active: &ActivePolicy,
    observed: &Observed,
    plan: &Plan,
    objections: &[Objection],
    source: &Source,
    before: &[StoredCondition],
    now: Timestamp,
) -> Status {
    let judging = Judging {
        active,
        observed,
        plan,
        objections,
        newest: objective::Newest::of(active, observed, now),
        now,
    };
    let plans: Vec<PlanStatus> = own::plans(active)
        .map(|(plan_id, policy)| {
            let judged = judging.of_plan(plan_id, policy);
            let (condition, code, why) = headline(&judged);
            PlanStatus {
                condition: condition_of(Some(plan_id), condition, code, why, before, now),
                problems: problems(judged),
                is_observed: observed.plans.contains_key(plan_id),
                newest: judging.newest.of_plan(policy).map(|run| told(run, now)),
                rpo_s: objective::strictest(active, policy),
                next_due: plan
                    .waits
                    .iter()
                    .find(|wait| wait.plan_id == *plan_id)
                    .and_then(|wait| wait.until),
            }
        })
        .collect();
    let mut whole = whole_of(&judging, source, before);
    let worst = plans
        .iter()
        .map(|plan| plan.condition.condition)
        .max_by_key(|word| light(*word))
        .unwrap_or(Word::Ready);
    if whole.is_empty() {
        let (word, why) = match worst {
            Word::Ready => (Word::Ready, "every plan is ready".to_owned()),
            word => {
                let unready = plans
                    .iter()
                    .filter(|plan| plan.condition.condition != Word::Ready)
                    .count();
                let is = if unready == 1 { "is" } else { "are" };
                let all = count(plans.len() as u64, "plan");
                (word, format!("{unready} of {all} {is} not ready"))
            }
        };
        whole.push(condition_of(None, word, None, why, before, now));
    }
    let datasets = judging.datasets();
    let light = whole
        .iter()
        .chain(plans.iter().map(|plan| &plan.condition))
        .map(|condition| light(condition.condition))
        .max()
        .unwrap_or(Light::Yellow);
    Status {
        schema_version: JSON_VERSION,
        at: now,
        serial: source.serial,
        expires_at: source.expires_at,
        daemon: None,
        last_recorded_at: source.last_recorded_at,
        overall: whole,
        plans,
        datasets,
        light,
    }
}

fn whole_of(judging: &Judging<'_>, source: &Source, before: &[StoredCondition]) -> Vec<Condition> {
    let Judging {
        active,
        objections,
        now,
        ..
    } = *judging;
    let mut whole = Vec::new();
    let mut add = |word, code, why| {
        whole.push(condition_of(None, word, Some(code), why, before, now));
    };
    if let Some(problem) = &source.problem {
        let word = if problem.exit_status() == 3 {
            Word::Stalled
        } else {
            Word::Waiting
        };
        add(word, problem.code, problem.message.clone());
    }
    match active.standing {
        Standing::Fresh => {}
        // A clock that cannot be trusted makes it stale as well, and is told below.
        Standing::Stale if now < source.expires_at => {}
        Standing::Stale => add(
            Word::Stalled,
            code::SOURCE_STALE,
            format!("bundle {} is past {}", source.serial, source.expires_at),
        ),
    }
    if !source.receipt_key_listed {
        let why = "the trust root does not list the receipt key for this reconciler".to_owned();
        add(Word::Stalled, code::RECEIPT_KEY_UNUSABLE, why);
    }
    match active.clock {
        Clock::Plausible => {}
        Clock::Ahead { vouched } => {
            let why = format!(
                "the clock says {now}, nothing signed is newer than {vouched}: no slot is written off until it is corrected or `seawalld clock confirm` confirms it"
            );
            add(Word::Stalled, code::CLOCK_WRONG, why);
        }
        Clock::Behind { newest } => {
            let why = format!(
                "the clock says {now}, the newest receipt is of {newest}: correct it, or confirm it by `seawalld clock confirm`"
            );
            add(Word::Stalled, code::CLOCK_WRONG, why);
        }
    }
    // No person is needed, and what nothing keeps is not green.
    if let Some(why) = own::unheeded(&active.model) {
        add(Word::Waiting, code::POLICY_UNHEEDED, why);
    }
    for (code, why) in &source.channels {
        add(Word::Waiting, *code, why.clone());
    }
    for (code, why) in own::unprotected(active) {
        add(Word::Stalled, code, why);
    }
    // What the review stops for a plan that is not shown has no other place.
    let foreign =
        |objection: &&Objection| own::plans(active).all(|(id, _)| *id != objection.plan_id);
    for objection in objections
        .iter()
        .filter(|it| it.is_about_a_step())
        .filter(foreign)
    {
        add(Word::Stalled, code::PLAN_OBJECTION, objection.to_string());
    }
    whole
}

fn condition_of(
    plan_id: Option<&PlanId>,
    condition: Word,
    code: Option<Code>,
    why: String,
    before: &[StoredCondition],
    now: Timestamp,
) -> Condition {
    let subject = plan_id.map_or("", PlanId::as_str);
    let told = code.map(|code| code.to_string()).unwrap_or_default();
    let since = before
        .iter()
        .find(|stored| {
            (stored.subject == subject || (subject.is_empty() && stored.is_of_the_whole()))
                && stored.condition == condition.as_str()
                && stored.code == told
        })
        .map_or(now, |stored| stored.since);
    Condition {
        plan_id: plan_id.cloned(),
        condition,
        code,
        why,
        since,
    }
}

/// The conditions as they are remembered: the first of the whole under no subject, further ones under their code.
pub fn stored(status: &Status) -> Vec<StoredCondition> {
    let mut all: Vec<StoredCondition> = Vec::new();
    for condition in status
        .overall
        .iter()
        .chain(status.plans.iter().map(|plan| &plan.condition))
    {
        let code = condition
            .code
            .map(|code| code.to_string())
            .unwrap_or_default();
        let subject = match &condition.plan_id {
            Some(plan_id) => plan_id.to_string(),
            None if all.is_empty() => String::new(),
            None => format!("{}{code}", StoredCondition::FURTHER),
        };
        if all.iter().all(|stored| stored.subject != subject) {
            all.push(StoredCondition {
                subject,
                condition: condition.condition.as_str().to_owned(),
                code,
                since: condition.since,
            });
        }
    }
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    all
}

/// One thing that holds for a plan.
struct Judgement {
    word: Word,
    code: Option<Code>,
    why: String,
    location: Option<LocationId>,
    dataset: Option<DatasetId>,
    is_worked_on: bool,
}

impl Judgement {
    fn new(word: Word, code: Code, why: String) -> Self {
        Self {
            word,
            code: Some(code),
            why,
            location: None,
            dataset: None,
            is_worked_on: false,
        }
    }

    /// Work that is due or under way.
    fn work(why: String) -> Self {
        Self {
            word: Word::Reconciling,
            code: None,
            why,
            location: None,
            dataset: None,
            is_worked_on: false,
        }
    }

    fn at(self, location: &LocationId) -> Self {
        Self {
            location: Some(location.clone()),
            ..self
        }
    }

    fn of(self, dataset: &DatasetId) -> Self {
        Self {
            dataset: Some(dataset.clone()),
            ..self
        }
    }
}

/// The worst of what holds for a plan, and the others after it.
fn headline(judged: &[Judgement]) -> (Word, Option<Code>, String) {
    let mut shown = judged.iter().filter(|it| !it.is_worked_on);
    let Some(worst) = shown.next() else {
        return (Word::Ready, None, "as policy requires".to_owned());
    };
    let others = shown.map(|it| {
        let code = it.code.map(|code| format!("[{code}] ")).unwrap_or_default();
        format!("; {code}{}", it.why)
    });
    let why = std::iter::once(worst.why.clone()).chain(others).collect();
    (worst.word, worst.code, why)
}

fn problems(judged: Vec<Judgement>) -> Vec<PlanProblem> {
    let judged = judged.into_iter();
    judged
        .filter_map(|it| {
            Some(PlanProblem {
                condition: it.word,
                code: it.code?,
                why: it.why,
                location_id: it.location,
                dataset_id: it.dataset,
                is_worked_on: it.is_worked_on,
            })
        })
        .collect()
}

/// What the conditions are derived from.
struct Judging<'a> {
    active: &'a ActivePolicy,
    observed: &'a Observed,
    plan: &'a Plan,
    objections: &'a [Objection],
    newest: objective::Newest<'a>,
    now: Timestamp,
}

/// How much a word needs a person; the worst of a plan is shown, and the others after it.
const fn severity(word: Word) -> u8 {
    match word {
        Word::Ready => 0,
        Word::Reconciling => 1,
        Word::Waiting => 2,
        Word::Unknown => 3,
        Word::Stalled => 4,
    }
}

impl Judging<'_> {
    /// How well each dataset of the plans is protected.
    fn datasets(&self) -> Vec<DatasetStatus> {
        let mut since: BTreeMap<&DatasetId, Option<Timestamp>> = BTreeMap::new();
        for (plan_id, policy) in own::plans(self.active) {
            let begun = self.observed.plans.get(plan_id).map(|seen| seen.since);
            for id in &policy.dataset_ids {
                let known = since.entry(id).or_insert(begun);
                *known = [*known, begun].into_iter().flatten().min();
            }
        }
        let models = &self.active.model.datasets;
        let datasets = since
            .into_iter()
            .filter_map(|(id, since)| Some((id, since, models.get(id)?)));
        datasets
            .map(|(id, since, dataset)| {
                let newest = self.newest.of_dataset(id);
                let from = newest.and_then(|run| run.consistent_at).or(since);
                DatasetStatus {
                    dataset_id: id.clone(),
                    tier: dataset.criticality.clone(),
                    rpo_s: dataset.rpo_s,
                    rto_s: dataset.rto_s,
                    newest: newest.map(|run| told(run, self.now)),
                    age_s: from.map(|from| objective::age(from, self.now)),
                }
            })
            .collect()
    }

    /// Everything that holds for a plan, the worst first.
    fn of_plan(&self, plan_id: &PlanId, policy: &BackupPlan) -> Vec<Judgement> {
        let mut all = self.stalls(plan_id, policy);
        match self.observed.plans.get(plan_id) {
            // What stalls a plan may be why it was never observed.
            None if !all.is_empty() => {}
            None => {
                let why = "it was never observed".to_owned();
                all.push(Judgement::new(Word::Unknown, code::NEVER_PROTECTED, why));
            }
            Some(seen) => all.extend(self.seen(plan_id, policy, seen)),
        }
        // Of equal words the first is shown first.
        all.sort_by_key(|it| std::cmp::Reverse(severity(it.word)));
        all
    }

    /// What needs a person whatever was seen.
    fn stalls(&self, plan_id: &PlanId, policy: &BackupPlan) -> Vec<Judgement> {
        let planned = self.plan.stalled.iter();
        let mut all: Vec<Judgement> = planned
            .filter(|stall| stall.plan_id == *plan_id)
            .map(|stall| Judgement::new(Word::Stalled, stall.code, stall.why.clone()))
            .collect();
        for objection in self.objections {
            if objection.plan_id == *plan_id && objection.is_about_a_step() {
                let why = objection.to_string();
                all.push(Judgement::new(Word::Stalled, code::PLAN_OBJECTION, why));
            }
        }
        let missed = self
            .newest
            .missed(self.active, self.observed, policy, self.now);
        if let Some(why) = missed {
            all.push(Judgement::new(Word::Stalled, code::RPO_MISSED, why));
        }
        all
    }

    /// What the plan's points, runs and copies say.
    fn seen(&self, plan_id: &PlanId, policy: &BackupPlan, seen: &PlanObserved) -> Vec<Judgement> {
        let mut all: Vec<Judgement> = seen.copies.iter().filter_map(of_copy).collect();
        // A plan that is not bound has a condition of its own, which says nothing of its locations.
        if !seen.unbound.is_empty() {
            all.clear();
        }
        let copies = |open: &Operation| {
            let writes = matches!(open.kind, OperationKind::CatchUp | OperationKind::Backup);
            writes && self.is_running(open)
        };
        // What is copied now is work like any other.
        let is_copied = seen.open.iter().any(copies);
        for judged in &mut all {
            judged.is_worked_on = is_copied && judged.code == Some(code::LOCATION_LAGGING);
        }
        let newest = seen.newest_point(self.now);
        if let Some((location, damaged)) = seen.irreparable().next() {
            let why = format!(
                "location `{location}` holds {} that no other location can replace",
                count(damaged as u64, "damaged object")
            );
            let damaged = Judgement::new(Word::Waiting, code::LOCATION_DAMAGED, why);
            all.push(damaged.at(location));
        }
        if newest.is_some_and(Run::is_suspect) {
            let why = "the newest recovery point is damaged".to_owned();
            all.push(Judgement::new(Word::Stalled, code::POINT_SUSPECT, why));
        }
        for (dataset, run) in seen.in_doubt(self.now) {
            let found = run.collapsed.get(dataset).map_or("", String::as_str);
            let why = format!(
                "the source of `{dataset}` must be confirmed: {found}; `seawalld source accept {dataset}` accepts what `{}` shows",
                run.backup_id
            );
            let collapsed = Judgement::new(Word::Stalled, code::SOURCE_COLLAPSED, why);
            all.push(collapsed.of(dataset));
        }
        let mut add = |word, code, why: String| all.push(Judgement::new(word, code, why));
        if let Some(it) = &seen.suspended {
            let why = format!(
                "suspended until {} by {}: {}",
                it.until, it.actor, it.reason
            );
            add(Word::Waiting, code::PLAN_SUSPENDED, why);
        }
        if seen.open.iter().any(|open| !self.is_running(open)) {
            let why = "a run was interrupted; the next round checks what it left".to_owned();
            add(Word::Unknown, code::OUTCOME_UNKNOWN, why);
        }
        if let Some(SlotOutcome::Failure | SlotOutcome::Missed) = seen.last_outcome
            && !seen.is_made_good()
        {
            add(Word::Waiting, code::LAST_RUN_FAILED, failed(seen));
        } else if let Some(run) = seen.failed_request(self.now) {
            let error = run.error.as_deref().unwrap_or("no recovery point");
            let why = format!(
                "the backup that an operator requested at {} failed: {error}",
                run.started_at
            );
            add(Word::Waiting, code::LAST_RUN_FAILED, why);
        }
        if let (Some(SlotOutcome::Success), Some(late)) = (seen.last_outcome, &seen.last_why) {
            let why = format!("its last slot was late: {late}");
            add(Word::Waiting, code::RUN_OVERRAN, why);
        }
        let running = || seen.open.iter().filter(move |open| self.is_running(open));
        let due = || {
            let steps = self.plan.steps.iter();
            let begun = |id: &str| seen.open.iter().any(|open| open.operation_id == id);
            steps
                .filter(move |planned| planned.step.plan_id() == plan_id)
                .filter(move |planned| !begun(&planned.operation_id))
        };
        // A plan's first run is work like any other; an RPO that is missed meanwhile is told above.
        let is_worked_on = running().next().is_some() || due().next().is_some();
        for dataset in self.newest.lacking(policy) {
            let why = format!("`{dataset}` has no usable recovery point yet");
            let lacking = Judgement::new(Word::Waiting, code::NEVER_PROTECTED, why).of(dataset);
            all.push(Judgement {
                is_worked_on,
                ..lacking
            });
        }
        for open in running().filter(|open| self.overruns(open)) {
            let why = format!(
                "{} running since {} needs longer than its completion window, which ended at {}; it continues while it makes progress",
                open.kind.as_str(),
                open.started_at,
                open.deadline
            );
            all.push(Judgement::new(Word::Waiting, code::RUN_OVERRAN, why));
        }
        for open in running().filter(|open| !self.overruns(open)) {
            let why = format!("{} running since {}", open.kind.as_str(), open.started_at);
            all.push(Judgement::work(why));
        }
        all.extend(due().map(|due| Judgement::work(due.reason.clone())));
        all
    }

    /// Whether a run goes on past its window. What had to end there is about to.
    fn overruns(&self, open: &Operation) -> bool {
        open.kind == OperationKind::Backup && open.deadline < self.now
    }

    /// Whether the process that began an effect is still there to end it.
    fn is_running(&self, open: &Operation) -> bool {
        open.state == State::Running && self.observed.running == Some(open.epoch)
    }
}

/// What is wrong with a copy at a location.
fn of_copy((location, state): (&LocationId, &Observation<CopyState>)) -> Option<Judgement> {
    let (word, code, why) = match state {
        Observation::Known {
            value: CopyState::Quarantined { why },
            ..
        } => (Word::Stalled, code::LOCATION_QUARANTINED, why.clone()),
        Observation::Known {
            value: CopyState::Lagging { missing, bytes },
            ..
        } => {
            let objects = count(*missing, "object");
            let why = format!(
                "{objects} ({}) that other locations hold are missing; the log says why the copy fails",
                crate::words::bytes(*bytes)
            );
            (Word::Waiting, code::LOCATION_LAGGING, why)
        }
        Observation::Unknown { why } => (Word::Unknown, code::LOCATION_UNKNOWN, why.clone()),
        Observation::Known { .. } | Observation::Absent { .. } => return None,
    };
    let why = format!("location `{location}`: {why}");
    Some(Judgement::new(word, code, why).at(location))
}

/// Since when, how often and why slots end without success.
fn failed(seen: &PlanObserved) -> String {
    let why = seen
        .last_why
        .as_deref()
        .unwrap_or("it left no usable recovery point");
    let Some(it) = seen.failing else {
        return format!("its last slot failed: {why}");
    };
    let least = if it.at_least { "at least " } else { "" };
    if it.slots == 1 {
        return format!("the last slot failed, {}: {why}", it.since);
    }
    let slots = count(it.slots, "slot");
    format!("{least}{slots} in a row failed, since {}: {why}", it.since)
}

fn told(run: &Run, now: Timestamp) -> Newest {
    let consistent_at = run.consistent_at.unwrap_or(run.started_at);
    Newest {
        backup_id: run.backup_id.clone(),
        consistent_at,
        age_s: objective::age(consistent_at, now),
        verified: run.is_verified(),
        locations: run.storage_locations.len(),
    }
}
