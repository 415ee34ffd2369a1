//! Owns what becomes of recovery points that the plan's retention class lets go: they are marked, and deleted when they were marked for the
//! grace and still may go. Whatever is unknown, lags, is damaged or in doubt keeps all of them. Never decides which points go:
//! [`contract::retention`] does. The interesting function is [`judge`].

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Calendar;
use contract::duration::Seconds;
use contract::id::{BackupId, DatasetId, PlanId};
use contract::model::{BackupPlan, MIN_DELETE_GRACE};
use contract::retention::{self, Decision, Keep, Point, Trust, Verdict};
use contract::seal::Standing;
use jiff::Timestamp;
use serde::Serialize;

use super::checks::Upkeep;
use super::one::after;
use super::{ActivePolicy, Forget, Mark, Planned, Prune, Step, slots};
use crate::domain::{CopyState, Leaving, Observation, PlanObserved, Pruning, Run, Verification};

/// Points that are marked in one turn. Each is two receipts, and a turn has other work.
const MARKED_IN_A_TURN: usize = 100;

/// Points that are deleted in one prune: its receipt names all of them and is one line.
const DELETED_IN_A_PRUNE: usize = 200;

/// Bytes of their names in its receipt, which is one line of 64 KiB and says other things, too.
const NAMES_IN_A_RECEIPT: usize = 16 << 10;

/// One recovery point and what retention decided of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// The plan.
    pub plan_id: PlanId,
    /// What keeps everything of the plan that may go; nothing where it is deleted in its turn.
    pub held_back: Vec<String>,
    /// How many recovery points may still be deleted now, by the budget of the environment.
    pub budget_left: Option<u64>,
    /// Each point, oldest first.
    pub points: Vec<Verdicted>,
}

/// A recovery point with the rules that decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdicted {
    /// The recovery point.
    pub backup_id: BackupId,
    /// Its instant.
    pub at: Timestamp,
    /// Whether it stays.
    pub keeps: bool,
    /// The rules that keep it, or the one that lets it go.
    pub why: Vec<String>,
    /// Since when it is marked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked: Option<Timestamp>,
    /// When it is deleted at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes: Option<Timestamp>,
}

/// What retention says of one plan.
pub(super) struct Judged<'a> {
    decisions: Vec<Decision>,
    /// Points that no decision is made of, and why they stay.
    aside: Vec<(&'a Run, &'static str)>,
    held_back: Vec<String>,
}

/// Judges the recovery points of a plan.
pub(super) fn judge<'a>(
    active: &ActivePolicy,
    policy: &BackupPlan,
    seen: &'a PlanObserved,
    calendar: &Calendar,
    now: Timestamp,
) -> Judged<'a> {
    let mut aside = Vec::new();
    let (mut counted, mut others) = (Vec::new(), Vec::new());
    for run in seen.points() {
        if let Some(why) = stays(active, policy, run, now) {
            aside.push((run, why));
            continue;
        }
        let point = Point {
            backup_id: run.backup_id.clone(),
            at: run.instant(),
            trust: match &run.verification {
                Verification::Verified { .. } => Trust::Verified,
                Verification::Suspect { .. } => Trust::Suspect,
                Verification::Pending | Verification::Lost { .. } => Trust::Unknown,
            },
            base: run.base.clone(),
        };
        // One that holds a part, or what a restore replaced, takes no other's place.
        let is_whole = run.dataset_ids.is_superset(&policy.dataset_ids);
        if is_whole && !run.before_restore {
            counted.push(point);
        } else {
            others.push(point);
        }
    }
    let decide =
        |points: &[Point]| retention::decide(points, &policy.retention, calendar.zone(), now);
    let mut decisions = decide(&counted);
    if !others.is_empty() {
        // It goes as soon as it would if it counted, and enough that counts is newer.
        let ids: BTreeSet<BackupId> = others.iter().map(|point| point.backup_id.clone()).collect();
        let enough = usize::try_from(policy.retention.min_versions)
            .unwrap_or(usize::MAX)
            .max(1);
        let verified: Vec<Timestamp> = counted
            .iter()
            .filter(|point| point.trust == Trust::Verified)
            .map(|point| point.at)
            .collect();
        let all = decide(&[counted, others].concat());
        let own = all.into_iter().filter(|one| ids.contains(&one.backup_id));
        decisions.extend(own.map(|mut one| {
            let newer = verified.iter().filter(|at| **at > one.at).count();
            if newer < enough && !one.verdict.is_kept() {
                one.verdict = Verdict::Keep(BTreeSet::from([Keep::MinVersions]));
            }
            one
        }));
    }
    Judged {
        decisions,
        aside,
        held_back: held_back(active, policy, seen, now),
    }
}

/// Why a point neither counts nor goes, whatever its class says; none where the class decides.
fn stays(
    active: &ActivePolicy,
    policy: &BackupPlan,
    run: &Run,
    now: Timestamp,
) -> Option<&'static str> {
    if run.is_lost() {
        // What is gone takes no other's place.
        Some("it is at no location")
    } else if !run.is_of_known_time(now) {
        // It takes no other's place, and nobody can say that it is old.
        Some("its time is not known")
    } else if !run.collapsed.is_empty() {
        Some("its source must be confirmed")
    } else if run.kid != policy.encryption_key_ref {
        Some("it has an earlier key")
    } else if run
        .storage_locations
        .keys()
        .any(|id| !policy.locations.contains(id))
    {
        Some("it is at a location that left the plan")
    } else if run.dataset_ids.iter().any(|id| is_held(active, id)) {
        Some("it is under a legal hold")
    } else {
        None
    }
}

/// Whether the law holds a dataset. One that policy does not name any more may be held.
fn is_held(active: &ActivePolicy, id: &DatasetId) -> bool {
    let Some(dataset) = active.model.datasets.get(id) else {
        return true;
    };
    let is = |wanted: &Option<String>, found: Option<&String>| {
        wanted.is_none() || wanted.as_ref() == found
    };
    let mut laws = active.model.settings.data_retention.values();
    laws.any(|law| {
        law.legal_hold
            && is(&law.data_classification, Some(&dataset.data_classification))
            && is(&law.layer, dataset.layer.as_ref())
    })
}

/// Everything that keeps all points of a plan.
fn held_back(
    active: &ActivePolicy,
    policy: &BackupPlan,
    seen: &PlanObserved,
    now: Timestamp,
) -> Vec<String> {
    let mut why = Vec::new();
    if active.standing == Standing::Stale {
        why.push("the active bundle is stale".to_owned());
    }
    if !active.clock.is_plausible() {
        why.push("the clock is not trusted".to_owned());
    }
    if seen.suspended.is_some() {
        why.push("the plan is suspended".to_owned());
    }
    if super::freeze(&active.model, policy, now).is_some() {
        why.push("the plane is in a freeze window".to_owned());
    }
    for location in &policy.locations {
        let is_in_sync = matches!(
            seen.copies.get(location),
            Some(Observation::Known {
                value: CopyState::InSync,
                ..
            })
        );
        if !is_in_sync {
            why.push(format!("location `{location}` is not known to be in sync"));
        }
    }
    if let Some(open) = seen.open.first() {
        why.push(format!("`{}` is in progress", open.operation_id));
    }
    // While a source is in doubt, its last good points may be all that there is.
    for (dataset, _) in seen.in_doubt(now) {
        why.push(format!("the source of `{dataset}` must be confirmed"));
    }
    let damaged = seen.repositories.get(&policy.encryption_key_ref);
    for location in damaged.iter().flat_map(|seen| seen.damaged.keys()) {
        why.push(format!("location `{location}` holds damaged objects"));
    }
    why
}

/// What policy says of deletion.
struct Terms {
    grace: Seconds,
    /// Points that may still go.
    left: u64,
}

/// None where policy wants nothing deleted, with what it lacks for that.
fn terms(active: &ActivePolicy, seen: &PlanObserved) -> Result<Terms, String> {
    let environment = &active.model.environment;
    let Some(budget) = &environment.delete_budget else {
        return Err("the environment has no `delete_budget`".to_owned());
    };
    match environment.delete_grace_s {
        None => Err("the environment has no `delete_grace`".to_owned()),
        Some(grace) if grace < MIN_DELETE_GRACE => Err(format!(
            "`delete_grace` is shorter than {}",
            MIN_DELETE_GRACE.human()
        )),
        Some(grace) => Ok(Terms {
            grace,
            left: u64::from(budget.points).saturating_sub(seen.deleted),
        }),
    }
}

impl Judged<'_> {
    /// What may go, if nothing is held back.
    pub(super) fn would_forget(&self, policy: &BackupPlan) -> Vec<Forget> {
        if !self.held_back.is_empty() {
            return Vec::new();
        }
        let going = self.decisions.iter();
        going
            .filter_map(|decision| match &decision.verdict {
                Verdict::Keep(_) => None,
                Verdict::Forget(reason) => Some(Forget {
                    plan_id: policy.plan_id.clone(),
                    backup_id: decision.backup_id.clone(),
                    reason: reason.as_str().to_owned(),
                }),
            })
            .collect()
    }

    /// Marks that are due, and the prune that is.
    pub(super) fn steps(
        &self,
        active: &ActivePolicy,
        policy: &BackupPlan,
        seen: &PlanObserved,
        now: Timestamp,
    ) -> Vec<Planned> {
        let Ok(terms) = terms(active, seen) else {
            return Vec::new();
        };
        // Named after what it is about: what a check in the same turn lets go is another one.
        let named = |mark: &Mark| {
            let mut ids = mark.going.keys().chain(mark.staying.keys());
            let first = ids.next().map(BackupId::as_str).unwrap_or_default();
            format!("retention.{first}.{}", slots::stamp(now))
        };
        let mark = self.mark(policy, seen).map(|mark| Planned {
            operation_id: named(&mark),
            reason: "retention lets recovery points go, or keeps marked ones".to_owned(),
            step: Step::Mark(mark),
            deadline: now,
            stall_limit: None,
        });
        let prune = self.prune(active, policy, seen, &terms, now);
        let prune = prune.map(|prune| Planned {
            operation_id: format!("prune.{}.{}", policy.plan_id, slots::stamp(now)),
            reason: match prune.backup_ids.len() {
                0 => "the grace of packs that nothing needs is over".to_owned(),
                1 => "the grace of a recovery point is over".to_owned(),
                many => format!("the grace of {many} recovery points is over"),
            },
            step: Step::Prune(prune),
            deadline: after(now, policy.backup_frequency.completion_window_s),
            // One that is ended before its end has freed nothing, and the next one meets the same.
            stall_limit: Some(policy.backup_frequency.completion_window_s),
        });
        mark.into_iter().chain(prune).collect()
    }

    fn mark(&self, policy: &BackupPlan, seen: &PlanObserved) -> Option<Mark> {
        let marked: BTreeMap<&BackupId, &Leaving> = seen
            .points()
            .filter_map(|run| Some((&run.backup_id, run.leaving.as_ref()?)))
            .collect();
        let going = self.would_forget(policy).into_iter();
        let going = going
            .filter(|forget| !marked.contains_key(&forget.backup_id))
            .take(MARKED_IN_A_TURN)
            .map(|forget| (forget.backup_id, forget.reason));
        // What stays by a rule loses its mark even while everything is held back.
        let staying = self.decisions.iter().filter_map(|decision| {
            let Verdict::Keep(reasons) = &decision.verdict else {
                return None;
            };
            let why: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
            Some((decision.backup_id.clone(), why.join(", ")))
        });
        let aside = self.aside.iter();
        let aside = aside.map(|(run, why)| (run.backup_id.clone(), (*why).to_owned()));
        let staying = staying
            .chain(aside)
            .filter(|(id, _)| marked.contains_key(id))
            .take(MARKED_IN_A_TURN);
        let mark = Mark {
            plan_id: policy.plan_id.clone(),
            going: going.collect(),
            staying: staying.collect(),
        };
        (!mark.going.is_empty() || !mark.staying.is_empty()).then_some(mark)
    }

    /// The prune that is due: one in each grace, or more often where one of them left something over.
    fn prune(
        &self,
        active: &ActivePolicy,
        policy: &BackupPlan,
        seen: &PlanObserved,
        terms: &Terms,
        now: Timestamp,
    ) -> Option<Prune> {
        if !self.held_back.is_empty() || Upkeep::of(active, now).is_closed() {
            return None;
        }
        let kid = &policy.encryption_key_ref;
        let going: BTreeSet<BackupId> = self
            .would_forget(policy)
            .into_iter()
            .map(|forget| forget.backup_id)
            .collect();
        let is_ripe = |leaving: &Leaving| after(leaving.since, terms.grace) <= now;
        let mut ripe: Vec<&Run> = seen
            .points()
            .filter(|run| run.kid == *kid && going.contains(&run.backup_id))
            .filter(|run| run.leaving.as_ref().is_some_and(is_ripe))
            .collect();
        ripe.sort_by_key(|run| run.instant());
        let left = usize::try_from(terms.left).unwrap_or(usize::MAX);
        ripe.truncate(left.min(DELETED_IN_A_PRUNE));
        let mut room = NAMES_IN_A_RECEIPT;
        ripe.retain(|run| {
            let after = room.checked_sub(run.backup_id.as_str().len() + 1);
            room = after.unwrap_or(0);
            after.is_some()
        });
        let last = seen.repositories.get(kid).and_then(|it| it.pruned.as_ref());
        let rested = last.is_none_or(|last| after(last.at, terms.grace) <= now);
        let packs = last.is_some_and(|last| last.marked > 0);
        // What the last one left over waits for nothing but the budget.
        let was_ripe = |run: &&Run, last: &Pruning| {
            let leaving = run.leaving.as_ref();
            leaving.is_some_and(|leaving| after(leaving.since, terms.grace) <= last.at)
        };
        let is_due = match last {
            Some(last) if !rested => last.is_good && ripe.iter().any(|run| was_ripe(run, last)),
            Some(_) | None => packs || !ripe.is_empty(),
        };
        is_due.then(|| Prune {
            plan_id: policy.plan_id.clone(),
            kid: kid.clone(),
            locations: policy.locations.clone(),
            backup_ids: ripe.into_iter().map(|run| run.backup_id.clone()).collect(),
            grace: terms.grace,
        })
    }
}

/// What retention says of every point of a plan, and which rule decides; none where the plan has no calendar.
pub fn retained(
    active: &ActivePolicy,
    policy: &BackupPlan,
    seen: &PlanObserved,
    now: Timestamp,
) -> Option<Retained> {
    let calendar = policy.backup_frequency.calendar(&active.zones).ok()?;
    let judged = judge(active, policy, seen, &calendar, now);
    let terms = terms(active, seen);
    let marks: BTreeMap<&BackupId, &Leaving> = seen
        .points()
        .filter_map(|run| Some((&run.backup_id, run.leaving.as_ref()?)))
        .collect();
    let verdicted = |id: &BackupId, at, keeps: bool, why: Vec<String>| {
        let marked = marks.get(id).map(|leaving| leaving.since);
        let grace = terms.as_ref().ok().map(|terms| terms.grace);
        let begins = if keeps {
            None
        } else {
            Some(marked.unwrap_or(now))
        };
        Verdicted {
            backup_id: id.clone(),
            at,
            keeps,
            why,
            marked,
            goes: begins.zip(grace).map(|(since, grace)| after(since, grace)),
        }
    };
    let decided = judged.decisions.iter().map(|decision| {
        let (keeps, why) = match &decision.verdict {
            Verdict::Keep(reasons) => (true, words(reasons)),
            Verdict::Forget(reason) => (false, vec![reason.as_str().to_owned()]),
        };
        verdicted(&decision.backup_id, decision.at, keeps, why)
    });
    let aside = judged.aside.iter().map(|(run, why)| {
        let why = vec![(*why).to_owned()];
        verdicted(&run.backup_id, run.instant(), true, why)
    });
    let mut points: Vec<Verdicted> = decided.chain(aside).collect();
    points.sort_by(|a, b| (a.at, &a.backup_id).cmp(&(b.at, &b.backup_id)));
    let mut held_back = judged.held_back;
    let budget_left = match terms {
        Ok(terms) if terms.left == 0 => {
            held_back.push("the delete budget is used up".to_owned());
            Some(0)
        }
        Ok(terms) => Some(terms.left),
        Err(why) => {
            held_back.push(why);
            None
        }
    };
    Some(Retained {
        plan_id: policy.plan_id.clone(),
        held_back,
        budget_left,
        points,
    })
}

fn words(reasons: &BTreeSet<Keep>) -> Vec<String> {
    let reasons = reasons.iter();
    reasons.map(|reason| reason.as_str().to_owned()).collect()
}
