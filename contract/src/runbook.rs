//! Owns the course of a runbook: how long its longest chain of steps takes, and whether steps wait for each other in a circle.
//!
//! Never runs a step and never judges the time against an objective. The interesting function is [`course`].

use std::collections::BTreeMap;

use serde::Serialize;

use crate::duration::Seconds;
use crate::model::RunbookStep;

/// How a runbook goes when every step takes as long as it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Course {
    /// From the first step's start to the last one's end, in seconds; [`Seconds::MAX`] where steps wait in a circle.
    pub seconds: Seconds,
    /// Whether a number holds.
    pub bounded: bool,
    /// The steps that decide the time, in their order; empty where there is no bound.
    pub chain: Vec<String>,
    /// Steps that wait for each other, each for the next and the last for the first; empty in a sound runbook.
    pub circle: Vec<String>,
}

/// The course of these steps. Steps that wait for nothing begin at once; a dependency that names no step is no wait, and a
/// name that two steps bear is a wait for both: that they are wrong is told by whoever checks names.
pub fn course(steps: &[RunbookStep]) -> Course {
    let deadlines: Vec<Seconds> = steps.iter().map(|step| step.deadline_s).collect();
    course_of(steps, &waits(steps), &deadlines)
}

/// For each step the places of those that it waits for.
pub(crate) fn waits(steps: &[RunbookStep]) -> Vec<Vec<usize>> {
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        named.entry(&step.step).or_default().push(index);
    }
    let places = |step: &RunbookStep| {
        let needed = step.depends_on.iter();
        needed
            .filter_map(|name| named.get(name.as_str()))
            .flatten()
            .copied()
            .collect()
    };
    steps.iter().map(places).collect()
}

/// The course of steps that take so long each, in the order of the steps.
pub(crate) fn course_of(
    steps: &[RunbookStep],
    waits: &[Vec<usize>],
    lengths: &[Seconds],
) -> Course {
    // A step ends when all that it waits for have ended; what is left when no step can end any more stands in a circle.
    let mut ends: BTreeMap<usize, (Seconds, Option<usize>)> = BTreeMap::new();
    let mut open: Vec<usize> = waits.iter().map(Vec::len).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (index, waits) in waits.iter().enumerate() {
        for wait in waits {
            if let Some(after) = after.get_mut(*wait) {
                after.push(index);
            }
        }
    }
    let begins = open.iter().enumerate().filter(|(_, waits)| **waits == 0);
    let mut ready: Vec<usize> = begins.map(|(index, _)| index).collect();
    while let Some(index) = ready.pop() {
        let waits = waits.get(index).into_iter().flatten();
        let last = waits
            .filter_map(|wait| ends.get(wait).map(|(end, _)| (*end, *wait)))
            .max();
        let start = last.map_or(Seconds::ZERO, |(end, _)| end);
        let length = lengths.get(index).copied().unwrap_or(Seconds::ZERO);
        let end = start.saturating_add(length);
        ends.insert(index, (end, last.map(|(_, wait)| wait)));
        for next in after.get(index).into_iter().flatten() {
            if let Some(waits) = open.get_mut(*next) {
                *waits = waits.saturating_sub(1);
                if *waits == 0 {
                    ready.push(*next);
                }
            }
        }
    }
    if ends.len() < steps.len() {
        return Course {
            seconds: Seconds::MAX,
            bounded: false,
            chain: Vec::new(),
            circle: names(steps, &circle(waits, &ends)),
        };
    }

    let last = ends.iter().max_by_key(|(index, (end, _))| (*end, *index));
    let mut chain = Vec::new();
    let mut next = last.map(|(index, _)| *index);
    while let Some(index) = next {
        chain.push(index);
        next = ends.get(&index).and_then(|(_, wait)| *wait);
    }
    chain.reverse();
    Course {
        seconds: last.map_or(Seconds::ZERO, |(_, (end, _))| *end),
        bounded: true,
        chain: names(steps, &chain),
        circle: Vec::new(),
    }
}

/// One circle among the steps that never end: from any of them, each next wait leads to one that never ends either.
fn circle<T>(waits: &[Vec<usize>], ends: &BTreeMap<usize, T>) -> Vec<usize> {
    let never = |index: &usize| !ends.contains_key(index);
    let mut walked = Vec::new();
    let mut places = BTreeMap::new();
    let mut next = (0..waits.len()).find(never);
    while let Some(index) = next {
        if let Some(start) = places.insert(index, walked.len()) {
            return walked.split_off(start);
        }
        walked.push(index);
        next = waits
            .get(index)
            .and_then(|waits| waits.iter().copied().find(never));
    }
    Vec::new()
}

fn names(steps: &[RunbookStep], indices: &[usize]) -> Vec<String> {
    indices
        .iter()
        .filter_map(|index| steps.get(*index))
        .map(|step| step.step.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StepAction;

    /// Steps as `name minutes waits…`.
    fn steps(lines: &[&str]) -> Vec<RunbookStep> {
        lines
            .iter()
            .map(|line| {
                let mut words = line.split(' ').map(str::to_owned);
                let (name, minutes) = (words.next(), words.next());
                RunbookStep {
                    step: name.unwrap_or_default(),
                    title: String::new(),
                    action: StepAction::Command,
                    dataset: None,
                    depends_on: words.collect(),
                    deadline_s: Seconds::minutes(
                        minutes.and_then(|m| m.parse().ok()).unwrap_or_default(),
                    ),
                    idempotent: true,
                }
            })
            .collect()
    }

    #[test]
    fn steps_beside_each_other_cost_the_longest() {
        let course = course(&steps(&["a 5", "b 10 a", "c 20 a", "d 1 b c"]));
        assert_eq!(course.seconds, Seconds::minutes(26));
        assert!(course.bounded);
        assert_eq!(course.chain, ["a", "c", "d"]);
    }

    #[test]
    fn the_order_in_which_steps_are_written_does_not_matter() {
        let course = course(&steps(&["d 1 b c", "c 20 a", "b 10 a", "a 5"]));
        assert_eq!(course.seconds, Seconds::minutes(26));
        assert_eq!(course.chain, ["a", "c", "d"]);
    }

    #[test]
    fn a_circle_has_no_bound_and_is_shown() {
        let course = course(&steps(&["a 5", "b 10 a d", "c 20 b", "d 1 c", "e 1 d"]));
        assert!(!course.bounded);
        assert_eq!(course.seconds, Seconds::MAX);
        assert_eq!(course.circle, ["b", "d", "c"]);
    }

    #[test]
    fn a_step_that_waits_for_itself_is_a_circle() {
        assert_eq!(course(&steps(&["a 5 a"])).circle, ["a"]);
    }

    #[test]
    fn unknown_names_are_no_wait_and_doubled_ones_are_two() {
        assert_eq!(course(&steps(&["a 5 gone"])).seconds, Seconds::minutes(5));
        let doubled = course(&steps(&["a 5", "a 7", "b 1 a"]));
        assert_eq!(doubled.seconds, Seconds::minutes(8));
    }

    #[test]
    fn no_steps_take_no_time() {
        let empty = course(&[]);
        assert_eq!((empty.seconds, empty.bounded), (Seconds::ZERO, true));
    }
}
