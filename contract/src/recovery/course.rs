//! Owns the course of a scenario's runbook: what policy allows it to take, and what reading back takes when restores share a location.
//!
//! Never runs a step, and never counts what a restore does beside reading. The interesting function is [`shared`], the bound on a
//! reading that others may run beside.

use std::collections::BTreeSet;

use serde::Serialize;

use super::time::{Reading, transfer};
use super::{LossCase, Recovery};
use crate::duration::Seconds;
use crate::id::{DatasetId, ScenarioId};
use crate::model::{RunbookStep, StepAction};
use crate::runbook::{Course, course_of, waits};

/// The two courses of a scenario's runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScenarioCourse {
    /// When every step takes as long as its deadline allows.
    pub by_deadlines: Course,
    /// When every restore takes as long as reading back takes from what the scenario leaves, beside all restores that may read from
    /// the same location at the same time; other steps take their deadline. Unbounded where something cannot be read back.
    pub by_reading: Course,
    /// Restores whose deadline is shorter than their reading, in the runbook's order.
    pub slow: Vec<SlowStep>,
    /// Restores of what nothing readable is left of, in the runbook's order.
    pub unreadable: Vec<String>,
}

/// A restore that its deadline does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlowStep {
    /// The step.
    pub step: String,
    /// What policy allows it.
    pub deadline_seconds: Seconds,
    /// How long reading takes when nobody else reads: above the deadline, the step cannot be done in time.
    pub alone_seconds: Seconds,
    /// How long it takes at most beside all restores that may run at the same time.
    pub shared_seconds: Seconds,
}

impl Recovery<'_> {
    /// How a scenario's runbook goes; none when the model does not have the scenario.
    ///
    /// Two steps may run at the same time when neither waits for the other, directly or through others.
    pub fn course_of(&self, scenario: &ScenarioId) -> Option<ScenarioCourse> {
        let scenario = self.model.scenarios.get(scenario)?;
        let steps = &scenario.runbook;
        let case = LossCase::of(scenario.losses.clone());
        let readings: Vec<Option<Vec<Reading>>> = steps
            .iter()
            .map(|step| match restores(self, step) {
                // Steps that read nothing have no readings, which is not the same as nothing to read.
                None => Some(Vec::new()),
                Some(dataset) => self.readings(dataset, &case),
            })
            .collect();
        let waits = waits(steps);
        let before = all_before(&waits);
        let mut lengths = Vec::new();
        let mut slow = Vec::new();
        let mut unreadable = Vec::new();
        for (index, (step, own)) in steps.iter().zip(&readings).enumerate() {
            let Some(own) = own else {
                unreadable.push(step.step.clone());
                lengths.push(Seconds::MAX);
                continue;
            };
            let beside = beside(index, &before, &readings);
            let together = own
                .iter()
                .enumerate()
                .map(|(place, reading)| {
                    let others = own.iter().enumerate().filter(|(other, _)| *other != place);
                    shared(
                        reading,
                        others.map(|(_, other)| other).chain(beside.clone()),
                    )
                })
                .max();
            let alone = own.iter().map(|reading| reading.alone).max();
            lengths.push(together.unwrap_or(step.deadline_s));
            if let (Some(alone), Some(together)) = (alone, together)
                && together > step.deadline_s
            {
                slow.push(SlowStep {
                    step: step.step.clone(),
                    deadline_seconds: step.deadline_s,
                    alone_seconds: alone,
                    shared_seconds: together,
                });
            }
        }
        let deadlines: Vec<Seconds> = steps.iter().map(|step| step.deadline_s).collect();
        let mut by_reading = course_of(steps, &waits, &lengths);
        if !unreadable.is_empty() {
            by_reading.bounded = false;
            by_reading.seconds = Seconds::MAX;
            by_reading.chain.clear();
        }
        Some(ScenarioCourse {
            by_deadlines: course_of(steps, &waits, &deadlines),
            by_reading,
            slow,
            unreadable,
        })
    }
}

/// The dataset that a step restores; none for other steps, and where the model does not know what is meant.
fn restores<'a>(recovery: &Recovery<'_>, step: &'a RunbookStep) -> Option<&'a DatasetId> {
    match step.action {
        StepAction::Restore => step
            .dataset
            .as_ref()
            .filter(|dataset| recovery.model.datasets.contains_key(*dataset)),
        StepAction::Quiesce
        | StepAction::Resume
        | StepAction::Promote
        | StepAction::Fence
        | StepAction::SwitchEndpoint
        | StepAction::SqlCheck
        | StepAction::HttpCheck
        | StepAction::Command
        | StepAction::WaitFor
        | StepAction::ManualConfirmation => None,
    }
}

/// For each step all that have ended before it begins.
fn all_before(waits: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    let reach = |step: usize| {
        let mut found = BTreeSet::new();
        let mut open = vec![step];
        while let Some(next) = open.pop() {
            let waits = waits.get(next).into_iter().flatten();
            open.extend(waits.filter(|wait| found.insert(**wait)));
        }
        found
    };
    (0..waits.len()).map(reach).collect()
}

/// What the steps read that may run at the same time as one step.
fn beside<'a>(
    step: usize,
    before: &'a [BTreeSet<usize>],
    readings: &'a [Option<Vec<Reading>>],
) -> impl Iterator<Item = &'a Reading> + Clone {
    let ordered = move |one: usize, other: usize| {
        before
            .get(one)
            .is_some_and(|before| before.contains(&other))
    };
    let steps = readings.iter().enumerate();
    steps
        .filter(move |(other, _)| {
            *other != step && !ordered(step, *other) && !ordered(*other, step)
        })
        .flat_map(|(_, readings)| readings.iter().flatten())
}

/// The longest that a reading takes beside others, when a location's bandwidth is shared fairly: nobody gets less than an equal
/// part unless it can take no more, and nothing lies idle while somebody could take it. The less of two bounds:
///
/// - It always has at least an equal part among all of them, or all that it can take.
/// - Whenever it has less than it can take, the bandwidth is used up, by its own bytes or by those of the others, which pass once.
fn shared<'a>(reading: &Reading, others: impl Iterator<Item = &'a Reading>) -> Seconds {
    let (mut readers, mut foreign) = (1_u128, 0_u128);
    for other in others.filter(|other| other.location == reading.location && other.bytes > 0) {
        readers += 1;
        foreign = foreign.saturating_add(other.bytes.into());
    }
    let bytes = u128::from(reading.bytes);
    let alone = transfer(bytes, reading.rate).unwrap_or(Seconds::MAX);
    let at = |bytes: u128| transfer(bytes, reading.bandwidth).unwrap_or(Seconds::MAX);
    let equal_part = alone.max(at(bytes.saturating_mul(readers)));
    let all_bytes = alone.saturating_add(at(foreign));
    reading.thaw.saturating_add(equal_part.min(all_bytes))
}
