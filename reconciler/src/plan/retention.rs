//! Owns what becomes of recovery points that the plan's retention class lets go: they are marked, and deleted when they were marked for the
//! grace and still may go. Whatever is unknown, lags, is damaged or in doubt keeps all of them. Never decides which points go:
//! [`contract::retention`] does. The interesting function is [`judge`].

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Calendar;
use contract::duration::Seconds;
use contract::id::{BackupId, PlanId};
use contract::model::{BackupPlan, MIN_DELETE_GRACE};
use contract::retention::{self, Decision, Keep, Point, Trust, Verdict};
use contract::seal::Standing;
use jiff::Timestamp;
use serde::Serialize;

use super::checks::Upkeep;
use super::one::after;
use super::{ActivePolicy, Forget, Mark, Planned, Prune, Step, slots};
use crate::domain::{CopyState, Leaving, Observation, PlanObserved, Run, Verification};

/// Points that are marked in one turn. Each is two receipts, and a turn has other work.
const MARKED_IN_A_TURN: usize = 100;

/// Points that are deleted in one prune: its receipt names all of them and is one line.
const DELETED_IN_A_PRUNE: usize = 200;

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
    let mut points = Vec::new();
    for run in seen.points() {
        let trust = match &run.verification {
            Verification::Verified { .. } => Trust::Verified,
            Verification::Suspect { .. } => Trust::Suspect,
            Verification::Pending => Trust::Unknown,
            // What is gone takes no other's place.
            Verification::Lost { .. } => {
                aside.push((run, "it is at no location"));
                continue;
            }
        };
        // A point of an unknown time takes no other's place, and nobody can say that it is old. Neither does one that holds a part, or
        // shows a source in doubt.
        if !run.is_of_known_time(now) {
            aside.push((run, "its time is not known"));
        } else if !run.collapsed.is_empty() {
            aside.push((run, "its source must be confirmed"));
        } else if !run.dataset_ids.is_superset(&policy.dataset_ids) {
            aside.push((run, "it does not hold all datasets of the plan"));
        } else {
            points.push(Point {
                backup_id: run.backup_id.clone(),
                at: run.instant(),
                trust,
                base: run.base.clone(),
            });
        }
    }
    Judged {
        decisions: retention::decide(&points, &policy.retention, calendar.zone(), now),
        aside,
        held_back: held_back(active, policy, seen, now),
    }
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
    for (id, law) in &active.model.settings.data_retention {
        let about = |dataset: &contract::model::Dataset| {
            let is = |wanted: &Option<String>, found: Option<&String>| {
                wanted.is_none() || wanted.as_ref() == found
            };
            is(&law.data_classification, Some(&dataset.data_classification))
                && is(&law.layer, dataset.layer.as_ref())
        };
        let mut ours = policy.dataset_ids.iter();
        let holds = ours.any(|id| active.model.datasets.get(id).is_some_and(about));
        if law.legal_hold && holds {
            why.push(format!("`{id}` is a legal hold"));
        }
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

    /// The prune that is due: one in each grace, or more often where there is more to delete than one of them takes.
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
        let many = ripe.len();
        let left = usize::try_from(terms.left).unwrap_or(usize::MAX);
        ripe.truncate(left.min(DELETED_IN_A_PRUNE));
        let last = seen.repositories.get(kid).and_then(|it| it.pruned.as_ref());
        let rested = last.is_none_or(|last| after(last.at, terms.grace) <= now);
        let packs = last.is_some_and(|last| last.marked > 0);
        let is_due = if rested {
            packs || !ripe.is_empty()
        } else {
            many > DELETED_IN_A_PRUNE && ripe.len() == DELETED_IN_A_PRUNE
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
