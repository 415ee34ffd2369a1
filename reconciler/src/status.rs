//! Owns how everything stands, in a few words with codes, as a pure function of what is known. Never green while anything is
//! unknown. The interesting function is [`status`].

use contract::code::{self, Code};
use contract::duration::Seconds;
use contract::id::{BackupId, PlanId};
use contract::seal::Standing;
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Failure;
use crate::observed::{CopyState, Observation, Observed, PlanObserved, SlotOutcome};
use crate::plan::{InForce, Plan, own_plans};
use crate::store::StoredCondition;

/// The word of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The plan; absent for the whole.
    pub plan_id: Option<PlanId>,
    /// The word.
    pub condition: Word,
    /// Its code, where something is wrong.
    pub code: Option<Code>,
    /// In words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// How one plan stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanStatus {
    /// Its condition.
    pub condition: Condition,
    /// The newest recovery point that may be used.
    pub newest: Option<Newest>,
    /// The strictest RPO of its datasets.
    pub rpo_s: Option<Seconds>,
    /// When its next run is due.
    pub next_due: Option<Timestamp>,
}

/// The newest usable recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// Its id.
    pub backup_id: BackupId,
    /// The state it shows.
    pub consistent_at: Timestamp,
    /// Seconds since then.
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
}

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When.
    pub at: Timestamp,
    /// Serial of the bundle in force.
    pub serial: u64,
    /// When it stops to be fresh.
    pub expires_at: Timestamp,
    /// The whole.
    pub whole: Vec<Condition>,
    /// By plan.
    pub plans: Vec<PlanStatus>,
    /// Green, yellow or red.
    pub light: Light,
}

/// One colour for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    in_force: &InForce,
    observed: &Observed,
    plan: &Plan,
    source: &Source,
    before: &[StoredCondition],
    now: Timestamp,
) -> Status {
    let plans: Vec<PlanStatus> = own_plans(in_force)
        .map(|(plan_id, policy)| {
            let seen = observed.plans.get(plan_id);
            let (condition, code, why) = judge(plan_id, seen, plan);
            PlanStatus {
                condition: condition_of(Some(plan_id), condition, code, why, before, now),
                newest: seen.and_then(|seen| newest(seen, now)),
                rpo_s: policy
                    .dataset_ids
                    .iter()
                    .filter_map(|id| in_force.model.datasets.get(id))
                    .map(|dataset| dataset.rpo_s)
                    .min(),
                next_due: plan
                    .waits
                    .iter()
                    .find(|wait| wait.plan_id == *plan_id)
                    .and_then(|wait| wait.until),
            }
        })
        .collect();
    let mut whole = whole_of(in_force, observed, source, before, now);
    let worst = plans
        .iter()
        .map(|plan| plan.condition.condition)
        .max_by_key(|word| light(*word))
        .unwrap_or(Word::Ready);
    if whole.is_empty() {
        let (word, why) = match worst {
            Word::Ready => (Word::Ready, "every plan is ready".to_owned()),
            word => {
                let count = plans
                    .iter()
                    .filter(|plan| plan.condition.condition != Word::Ready)
                    .count();
                (
                    word,
                    format!("{count} of {} plans are not ready", plans.len()),
                )
            }
        };
        whole.push(condition_of(None, word, None, why, before, now));
    }
    let light = whole
        .iter()
        .chain(plans.iter().map(|plan| &plan.condition))
        .map(|condition| light(condition.condition))
        .max()
        .unwrap_or(Light::Yellow);
    Status {
        at: now,
        serial: source.serial,
        expires_at: source.expires_at,
        whole,
        plans,
        light,
    }
}

fn whole_of(
    in_force: &InForce,
    observed: &Observed,
    source: &Source,
    before: &[StoredCondition],
    now: Timestamp,
) -> Vec<Condition> {
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
    match in_force.standing {
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
    if let Some(newest) = observed.newest_receipt
        && now < newest
    {
        let why = format!("the clock stands before the newest receipt, {newest}");
        add(Word::Stalled, code::CLOCK_WRONG, why);
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
            stored.subject == subject
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

/// The conditions as they are remembered.
pub fn stored(status: &Status) -> Vec<StoredCondition> {
    let first = status.whole.first();
    let mut all: Vec<StoredCondition> = first
        .into_iter()
        .chain(status.plans.iter().map(|plan| &plan.condition))
        .map(|condition| StoredCondition {
            subject: condition
                .plan_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            condition: condition.condition.as_str().to_owned(),
            code: condition
                .code
                .map(|code| code.to_string())
                .unwrap_or_default(),
            since: condition.since,
        })
        .collect();
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    all
}

type Judgement = (Word, Option<Code>, String);

fn judge(plan_id: &PlanId, seen: Option<&PlanObserved>, plan: &Plan) -> Judgement {
    let says = |word, code, why: &str| (word, Some(code), why.to_owned());
    if let Some(stall) = plan.stalled.iter().find(|stall| stall.plan_id == *plan_id) {
        return (Word::Stalled, Some(stall.code), stall.why.clone());
    }
    let Some(seen) = seen else {
        return says(
            Word::Unknown,
            code::NEVER_PROTECTED,
            "it was never looked at",
        );
    };
    for (location, state) in &seen.copies {
        if let Observation::Known {
            value: CopyState::Quarantined { why },
            ..
        } = state
        {
            let why = format!("location `{location}`: {why}");
            return (Word::Stalled, Some(code::LOCATION_QUARANTINED), why);
        }
    }
    let newest = seen.points().max_by_key(|run| run.instant());
    if newest.is_some_and(crate::store::Run::is_suspect) {
        let why = "the newest recovery point is damaged";
        return says(Word::Stalled, code::POINT_SUSPECT, why);
    }
    if !seen.open.is_empty() {
        let why = "an effect has no known outcome yet";
        return says(Word::Unknown, code::OUTCOME_UNKNOWN, why);
    }
    for (location, state) in &seen.copies {
        if let Observation::Unknown { why } = state {
            let why = format!("location `{location}`: {why}");
            return (Word::Unknown, Some(code::LOCATION_UNKNOWN), why);
        }
    }
    if let Some((location, count)) = seen.irreparable().next() {
        let why = format!(
            "location `{location}` holds {count} damaged objects that no other location can replace"
        );
        return (Word::Waiting, Some(code::LOCATION_DAMAGED), why);
    }
    if let Some(step) = plan
        .steps
        .iter()
        .find(|planned| planned.step.plan_id() == plan_id)
    {
        return (Word::Reconciling, None, step.reason.clone());
    }
    if newest.is_none() {
        return says(
            Word::Waiting,
            code::NEVER_PROTECTED,
            "it has no recovery point yet",
        );
    }
    match seen.last_outcome {
        Some(SlotOutcome::Failure | SlotOutcome::Missed) => says(
            Word::Waiting,
            code::LAST_RUN_FAILED,
            "its last slot ended without a usable recovery point",
        ),
        Some(SlotOutcome::Success) | None => (Word::Ready, None, "as policy wants it".to_owned()),
    }
}

fn newest(seen: &PlanObserved, now: Timestamp) -> Option<Newest> {
    let run = seen
        .points()
        .filter(|run| !run.is_suspect())
        .max_by_key(|run| run.consistent_at)?;
    let consistent_at = run.consistent_at?;
    let age = now.duration_since(consistent_at).as_secs();
    Some(Newest {
        backup_id: run.backup_id.clone(),
        consistent_at,
        age_s: Seconds::new(u64::try_from(age).unwrap_or(0)),
        verified: run.is_verified(),
        locations: run.storage_locations.len(),
    })
}
