//! Owns what must hold of every run, judged by the world and by what was recorded, and not by what the daemon believes. The interesting
//! function is [`hold`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::id::{BackupId, PlanId};
use contract::receipt::{Outcome as Result_, Phase, open_line};
use contract::seal::CLOCK_SKEW;
use jiff::Timestamp;
use serde::Serialize;

use super::script::{Event, PlanScript, What};
use super::storage::Answers;
use super::world::{Shared, World};
use crate::control::{Daemon, effects, overview};
use crate::domain::{Operation, OperationKind, Outcome, Run, SlotOutcome, SlotRecord, State};
use crate::failure::Failure;
use crate::status::{Condition, Status, Word};
use crate::store::Store;

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which one.
    pub property: &'static str,
    /// When it was seen, in virtual seconds.
    pub at: u64,
    /// What was seen.
    pub what: String,
}

/// What is judged at the end.
struct Judge<'a> {
    world: &'a World,
    daemon: &'a Daemon,
    points: Vec<Run>,
    happened: Vec<Event>,
    broken: Vec<Broken>,
}

/// A clock that was ahead is in doubt until time has caught up, or a person says that it is right; in seconds.
const CLOCK_IN_DOUBT_FOR: u64 = 2 * 86_400;

/// Everything that does not hold at the end of a run.
pub(super) fn hold(
    world: &World,
    daemon: &Daemon,
    last: Option<&Status>,
) -> Result<Vec<Broken>, Failure> {
    let mut judge = Judge {
        world,
        daemon,
        points: daemon.store.points(None)?,
        happened: world.happened(),
        broken: Vec::new(),
    };
    judge.slots()?;
    judge.intents()?;
    judge.points();
    judge.converged(last)?;
    Ok(judge.broken)
}

/// Records that count. That a clock missed slots which was ahead of the one of a later record says nothing.
fn counted(newest_first: impl Iterator<Item = SlotRecord>) -> Vec<SlotRecord> {
    let mut kept = Vec::new();
    let mut earliest = Timestamp::MAX;
    for slot in newest_first {
        let is_ahead = slot.ended_at.duration_since(earliest) > CLOCK_SKEW;
        if slot.outcome != SlotOutcome::Missed || !is_ahead {
            earliest = earliest.min(slot.ended_at);
            kept.push(slot);
        }
    }
    kept
}

pub(super) fn slots_by_outcome(store: &dyn Store) -> Result<(u64, u64, u64), Failure> {
    let mut all = (0, 0, 0);
    for slot in store.slots(None)? {
        match slot.outcome {
            SlotOutcome::Success => all.0 += slot.count,
            SlotOutcome::Failure => all.1 += slot.count,
            SlotOutcome::Missed => all.2 += slot.count,
        }
    }
    Ok(all)
}

impl Judge<'_> {
    fn broke(&mut self, property: &'static str, what: String) {
        let at = self.world.elapsed().as_secs();
        self.broken.push(Broken { property, at, what });
    }

    fn seconds(&self, at: Timestamp) -> i64 {
        at.duration_since(self.world.script.begins).as_secs()
    }

    /// Every slot has exactly one terminal record, and none was missed or failed that nothing stood in the way of.
    fn slots(&mut self) -> Result<(), Failure> {
        for (id, plan) in &self.world.plans.clone() {
            let recorded = self.daemon.store.slots_before(Some(id), None, u32::MAX)?;
            let mut slots = counted(recorded.into_iter().map(|(_, slot)| slot));
            slots.sort_by_key(|slot| slot.first);
            let every = i64::try_from(plan.every.get()).unwrap_or(i64::MAX);
            let mut next: Option<i64> = None;
            for slot in &slots {
                let (first, last) = (slot.first.as_second(), slot.last.as_second());
                if first % every != 0 || last % every != 0 {
                    self.broke("slots", format!("{id}: {} is no slot", slot.first));
                }
                if next.is_some_and(|next| next != first) {
                    let what = format!(
                        "{id}: the slot of {} is recorded twice or not at all",
                        slot.first
                    );
                    self.broke("slots", what);
                }
                if i64::try_from(slot.count) != Ok((last - first) / every + 1) {
                    let what =
                        format!("{id}: {} slots are counted from {}", slot.count, slot.first);
                    self.broke("slots", what);
                }
                next = Some(last + every);
                self.one_slot(id, plan, slot);
            }
            let end = self.world.script.instant(self.world.script.lasts.get());
            let window = i64::try_from(plan.window.get()).unwrap_or(i64::MAX);
            if next.is_none_or(|next| next + window + every < end.as_second()) {
                self.broke("slots", format!("{id}: the newest slots have no record"));
            }
        }
        Ok(())
    }

    fn one_slot(&mut self, id: &PlanId, plan: &PlanScript, slot: &SlotRecord) {
        match slot.outcome {
            SlotOutcome::Success => {
                let point = slot.backup_id.as_ref();
                let is_deleted = point.is_some_and(|id| self.world.deleted().contains(id.as_str()));
                let is_there = self.points.iter().any(|run| Some(&run.backup_id) == point);
                if !is_there && !is_deleted {
                    let what = format!("{id}: the slot of {} has no point", slot.first);
                    self.broke("slots", what);
                }
            }
            SlotOutcome::Failure | SlotOutcome::Missed => {
                let every = i64::try_from(plan.every.get()).unwrap_or(i64::MAX);
                let mut at = self.seconds(slot.first);
                while at <= self.seconds(slot.last) {
                    if !self.is_excused(id, plan, at) {
                        let what = format!(
                            "{id}: the slot at {at} s ended as {} without a cause: {}",
                            slot.outcome.as_str(),
                            slot.why.as_deref().unwrap_or_default()
                        );
                        self.broke("no plan held up by another", what);
                    }
                    at += every;
                }
            }
        }
    }

    /// Whether something of this plan, or of the whole daemon, stood in the way of a slot.
    fn is_excused(&self, id: &PlanId, plan: &PlanScript, at: i64) -> bool {
        let (every, window) = (plan.every.get(), plan.window.get());
        let reach = i64::try_from(every + 2 * window).unwrap_or(i64::MAX);
        // The first slot begins with the daemon, and may be over before.
        at < i64::try_from(every).unwrap_or(0)
            || self.happened.iter().any(|event| {
                let doubted = match event.what {
                    What::ClockJumps(_) => CLOCK_IN_DOUBT_FOR,
                    _ => 0,
                };
                let from = i64::try_from(event.at.get()).unwrap_or(i64::MAX);
                let until = event.until().get().saturating_add(doubted);
                let until = i64::try_from(until).unwrap_or(i64::MAX);
                event.concerns(id, plan) && at + reach >= from && at <= until.saturating_add(reach)
            })
    }

    /// Every intent has exactly one outcome, and an unknown one exactly one resolution.
    fn intents(&mut self) -> Result<(), Failure> {
        let authority = self.daemon.log().authority().clone();
        let size = self.daemon.store.receipts_size()?;
        let mut open: BTreeMap<String, bool> = BTreeMap::new();
        let mut begun: BTreeSet<String> = BTreeSet::new();
        for line in self.daemon.store.receipts(0, size)? {
            let receipt = match open_line(line.as_bytes(), &authority) {
                Ok(opened) => opened.receipt,
                Err(fault) => {
                    self.broke("receipts", format!("a line cannot be opened: {fault}"));
                    continue;
                }
            };
            let id = receipt.operation_id.clone();
            let is_unknown = receipt.result == Some(Result_::Unknown);
            let fault = match receipt.phase {
                Phase::Intent if !begun.insert(id.clone()) => Some("two intents"),
                Phase::Intent => {
                    open.insert(id.clone(), false);
                    None
                }
                Phase::Outcome => match open.get_mut(&id) {
                    Some(unknown) if !*unknown && is_unknown => {
                        *unknown = true;
                        None
                    }
                    Some(unknown) if !*unknown => {
                        open.remove(&id);
                        None
                    }
                    Some(_) | None if receipt.slots.is_some() => None,
                    Some(_) | None => Some("an outcome without an open intent"),
                },
                Phase::Resolution => match open.get(&id) {
                    Some(true) => {
                        if !is_unknown {
                            open.remove(&id);
                        }
                        None
                    }
                    Some(false) | None => Some("a resolution of what was not unknown"),
                },
                Phase::Decision => None,
            };
            if let Some(fault) = fault {
                self.broke("intents", format!("`{id}` has {fault}"));
            }
        }
        for id in open.into_keys() {
            self.broke("intents", format!("`{id}` has no outcome"));
        }
        Ok(())
    }

    /// No committed point is lost: what a worker reported is in the catalog, and can be read whole somewhere.
    fn points(&mut self) {
        let deleted = self.world.deleted();
        let broken = self.world.with_storage(|storage, told| {
            let mut broken = Vec::new();
            let known: BTreeMap<&str, &Run> = self
                .points
                .iter()
                .map(|run| (run.backup_id.as_str(), run))
                .collect();
            for (plan, made) in &storage.snapshots {
                for (id, snapshot) in made.iter().filter(|(id, _)| told.contains(*id)) {
                    let tags = snapshot.info.tags.as_ref();
                    let backup_id = tags.map(|tags| tags.backup_id.as_str()).unwrap_or_default();
                    if storage.sound_at(plan, snapshot).is_empty() {
                        broken.push(format!("snapshot {id} of `{backup_id}` is gone"));
                    }
                    match known.get(backup_id) {
                        // Of two snapshots of one point, the catalog had one.
                        None if deleted.contains(backup_id) => {}
                        None => broken.push(format!("`{backup_id}` is not in the catalog")),
                        Some(run) if run.is_lost() || run.is_suspect() => {
                            broken.push(format!(
                                "`{backup_id}` is there, and the catalog says: {:?}",
                                run.verification
                            ));
                        }
                        Some(_) => {}
                    }
                }
            }
            for run in known.values() {
                let made = storage.snapshots.get(&run.plan_id);
                let snapshot = run.snapshot_id.as_ref();
                let found = snapshot.and_then(|id| made?.get(id));
                if found.is_none_or(|found| storage.sound_at(&run.plan_id, found).is_empty()) {
                    broken.push(format!(
                        "`{}` is in the catalog and nowhere else",
                        run.backup_id
                    ));
                }
            }
            broken
        });
        for what in broken {
            self.broke("no point lost", what);
        }
    }

    /// Once nothing goes wrong any more, everything becomes as policy wants it, and stays so.
    fn converged(&mut self, last: Option<&Status>) -> Result<(), Failure> {
        let Some(status) = last else {
            self.broke(
                "convergence",
                "the daemon did not live to the end".to_owned(),
            );
            return Ok(());
        };
        // A prune takes as long as there is to delete. The end may come in the middle of one, as of any work.
        let end = self.world.script.instant(self.world.script.lasts.get());
        let operations = self.daemon.store.operations()?;
        let is_cut = |one: &&Operation| {
            one.kind == OperationKind::Prune && one.ended_at.is_none_or(|at| at >= end)
        };
        let cut: BTreeSet<&PlanId> = operations
            .iter()
            .filter(is_cut)
            .map(|one| &one.plan_id)
            .collect();
        let at_work = |condition: &Condition| {
            let is_of_one = condition.plan_id.as_ref().is_none_or(|id| cut.contains(id));
            condition.condition == Word::Reconciling && !cut.is_empty() && is_of_one
        };
        let plans = status.plans.iter().map(|plan| &plan.condition);
        for condition in status.overall.iter().chain(plans) {
            if condition.condition != Word::Ready && !at_work(condition) {
                let subject = condition.plan_id.as_ref().map(ToString::to_string);
                let what = format!(
                    "{}: {} since {}: {}",
                    subject.unwrap_or_else(|| "the whole".to_owned()),
                    condition.condition.as_str(),
                    condition.since,
                    condition.why
                );
                self.broke("convergence", what);
            }
        }
        for one in self.daemon.store.open_operations(None)? {
            let what = format!("`{}` is open at the end", one.operation_id);
            self.broke("convergence", what);
        }
        let rotten: Vec<String> = self.world.with_storage(|storage, _| {
            storage
                .rotten_at()
                .into_iter()
                .map(ToString::to_string)
                .collect()
        });
        for location in rotten {
            self.broke("convergence", format!("`{location}` holds damaged objects"));
        }
        // The first half of the quiet time is for settling.
        let script = &self.world.script;
        let settled = script.quiet_from() + (script.lasts.get() - script.quiet_from()) / 2;
        let settled = script.instant(settled);
        for one in operations {
            // The end of the simulation ends what is under way.
            if one.ended_at.is_none_or(|at| at >= end) {
                continue;
            }
            let is_good = one.state == State::Ended(Outcome::Success);
            if one.started_at >= settled && !is_good {
                let what = format!(
                    "`{}` ended as {} after everything had settled: {}",
                    one.operation_id,
                    one.state.outcome().map_or("", Outcome::as_str),
                    one.error.as_deref().unwrap_or_default()
                );
                self.broke("convergence", what);
            }
            if one.started_at >= settled && one.kind == OperationKind::CatchUp {
                let what = format!(
                    "`{}` was needed after everything had settled",
                    one.operation_id
                );
                self.broke("no effects after convergence", what);
            }
        }
        Ok(())
    }
}

/// What retention would forget now, held against the world: while a location does not answer truly, nothing of its plans; and never the
/// newest point that can be read.
pub(super) async fn retention(world: &Shared, daemon: &Daemon) -> Vec<Broken> {
    let (beside, looked) = (Arc::clone(world), daemon.clone());
    let work = move || {
        let mut broken = Vec::new();
        let began = answers(&beside);
        let Ok(preview) = overview::stand(&looked) else {
            return broken;
        };
        // A fault that began or ended during the look says nothing.
        if answers(&beside) != began {
            return broken;
        }
        let objected: BTreeSet<&str> = preview
            .objections
            .iter()
            .map(|it| it.operation_id.as_str())
            .collect();
        for forget in &preview.plan.would_forget {
            let name = format!("{}{}", crate::review::FORGET, forget.backup_id);
            if objected.contains(name.as_str()) {
                continue;
            }
            let seen = preview.observed.plans.get(&forget.plan_id);
            let points = seen.map_or(&[] as &[Run], |seen| seen.runs.as_slice());
            if let Some(what) = must_stay(&beside, points, &forget.plan_id, &forget.backup_id) {
                let (property, at) = ("unknown never deletes", beside.elapsed().as_secs());
                broken.push(Broken { property, at, what });
            }
        }
        broken
    };
    let broken = effects::answer(daemon.effects.as_ref(), work).await;
    broken.unwrap_or_default()
}

fn answers(world: &World) -> Vec<Answers> {
    let locations = world.script.locations();
    locations.iter().map(|id| world.answers(id)).collect()
}

fn must_stay(
    world: &World,
    points: &[Run],
    plan_id: &PlanId,
    backup_id: &BackupId,
) -> Option<String> {
    let plan = world.plans.get(plan_id)?;
    let mut locations = plan.locations.iter();
    if let Some(away) = locations.find(|id| !world.answers(id).is_reachable()) {
        return Some(format!(
            "`{backup_id}` would go while `{away}` does not answer"
        ));
    }
    let newest = points
        .iter()
        .filter(|run| run.is_verified())
        .max_by_key(|run| run.started_at)?;
    (newest.backup_id == *backup_id)
        .then(|| format!("`{backup_id}` would go, and is the newest verified point"))
}
