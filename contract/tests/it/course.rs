//! The course of a scenario's runbook, against a simulation in which restores share what a location gives. BDR-F1.2, WS-6.

#![allow(
    clippy::cast_precision_loss,
    reason = "the simulation counts in floats what is small enough for them"
)]

use std::collections::BTreeSet;

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::model::{Eligibility, Model, RunbookStep, StepAction, StorageProfile};
use contract::recovery::{LossCase, Recovery, ScenarioCourse};
use proptest::prelude::*;

use super::recovery::{corruption_scenario, dataset, model, plan, schedule_every};

/// A restore: which location it reads from, its bytes, what its profile gives, its thaw.
#[derive(Debug, Clone)]
struct Restore {
    location: usize,
    bytes: u64,
    rate: u64,
    thaw: u64,
}

/// A step with the places of the steps that it waits for; without a restore it takes its deadline.
#[derive(Debug, Clone)]
struct Step {
    restore: Option<Restore>,
    deadline: u64,
    waits: BTreeSet<usize>,
}

fn restore(location: usize, bytes: u64, rate: u64, thaw: u64) -> Restore {
    Restore {
        location,
        bytes,
        rate,
        thaw,
    }
}

fn step(restore: Option<Restore>, deadline: u64, waits: &[usize]) -> Step {
    Step {
        restore,
        deadline,
        waits: waits.iter().copied().collect(),
    }
}

/// A model with a runbook of these steps `s0`, `s1` …, each restoring a dataset of its own; all locations have one bandwidth.
fn built(steps: &[Step], bandwidth: u64) -> Model {
    let mut model = model(plan(schedule_every(Seconds::hours(1)), 1, 1));
    corruption_scenario(&mut model, Seconds::ZERO);
    // Only its runbook is looked at.
    model.scenarios.get_mut("rot").unwrap().datasets.clear();
    for location in model.settings.locations.values_mut() {
        location.bandwidth_bytes_per_second = bandwidth;
    }
    for (number, step) in steps.iter().enumerate() {
        let id = format!("d{number}");
        if let Some(restore) = &step.restore {
            let location = format!("l{}", restore.location);
            let profile = StorageProfile {
                storage_id: id.parse().unwrap(),
                locations: BTreeSet::from([location.parse().unwrap()]),
                restore_throughput_bytes_per_second: restore.rate,
                thaw_time_s: Seconds::new(restore.thaw),
            };
            model.settings.storage.insert(id.parse().unwrap(), profile);
            let mut plan = plan(schedule_every(Seconds::hours(1)), 0, 1);
            plan.plan_id = id.parse().unwrap();
            plan.dataset_ids = BTreeSet::from([id.parse().unwrap()]);
            plan.storage_profiles = BTreeSet::from([id.parse().unwrap()]);
            plan.locations = BTreeSet::from([location.parse().unwrap()]);
            model.plans.insert(plan.plan_id.clone(), plan);
            let mut known = dataset(&id);
            known.sizing.size_bytes = restore.bytes;
            model.datasets.insert(id.parse().unwrap(), known);
        }
        let action = match step.restore {
            Some(_) => StepAction::Restore,
            None => StepAction::SqlCheck,
        };
        let scenario = model.scenarios.get_mut("rot").unwrap();
        scenario.runbook.push(RunbookStep {
            step: format!("s{number}"),
            title: String::new(),
            action,
            dataset: step.restore.as_ref().map(|_| id.parse().unwrap()),
            depends_on: step.waits.iter().map(|wait| format!("s{wait}")).collect(),
            deadline_s: Seconds::new(step.deadline),
            idempotent: true,
        });
    }
    model
}

fn course(model: &Model) -> ScenarioCourse {
    let recovery = Recovery::new(model, &Zones::bundled());
    recovery.course_of(&"rot".parse().unwrap()).unwrap()
}

fn seconds(model: &Model) -> u64 {
    let course = course(model).by_reading;
    assert!(course.bounded);
    course.seconds.get()
}

/// When the last step ends in a world where readers of one location share its bandwidth fairly, moment by moment.
fn simulated(steps: &[Step], bandwidth: f64) -> f64 {
    let mut ends: Vec<Option<f64>> = vec![None; steps.len()];
    let mut begun: Vec<Option<f64>> = vec![None; steps.len()];
    let mut left: Vec<f64> = steps
        .iter()
        .map(|step| {
            step.restore
                .as_ref()
                .map_or(0.0, |restore| restore.bytes as f64)
        })
        .collect();
    let mut now = 0.0_f64;
    loop {
        for (number, step) in steps.iter().enumerate() {
            if begun[number].is_none() && step.waits.iter().all(|wait| ends[*wait].is_some()) {
                begun[number] = Some(now);
            }
        }
        // When what a step waits for without reading is over: its thaw, or all of it.
        let ready = |number: usize| {
            let quiet = steps[number]
                .restore
                .as_ref()
                .map_or(steps[number].deadline, |restore| restore.thaw);
            begun[number].map(|begin| begin + quiet as f64)
        };
        let mut rates = vec![0.0; steps.len()];
        for location in 1..=5 {
            let mut readers: Vec<(u64, usize)> = steps
                .iter()
                .enumerate()
                .filter(|(number, _)| {
                    ends[*number].is_none()
                        && ready(*number).is_some_and(|ready| ready <= now + 1e-9)
                })
                .filter_map(|(number, step)| {
                    Some((
                        step.restore
                            .as_ref()
                            .filter(|restore| restore.location == location)?
                            .rate,
                        number,
                    ))
                })
                .collect();
            readers.sort_unstable();
            let mut rest = bandwidth;
            for (place, (rate, number)) in readers.iter().enumerate() {
                let part = rest / (readers.len() - place) as f64;
                rates[*number] = part.min(*rate as f64);
                rest -= rates[*number];
            }
        }
        let next = (0..steps.len())
            .filter(|number| ends[*number].is_none())
            .filter_map(|number| {
                let ready = ready(number)?;
                if ready > now + 1e-9 || steps[number].restore.is_none() {
                    return Some(ready);
                }
                Some(now + left[number] / rates[number])
            })
            .min_by(f64::total_cmp);
        let Some(next) = next else { return now };
        for number in 0..steps.len() {
            left[number] -= rates[number] * (next - now);
        }
        now = next;
        for number in 0..steps.len() {
            if ends[number].is_none()
                && ready(number).is_some_and(|ready| ready <= now + 1e-9)
                && left[number] <= 1e-6
            {
                ends[number] = Some(now);
            }
        }
    }
}

#[test]
fn restores_beside_each_other_share_what_the_location_gives() {
    let pair = |first: Restore, second: Restore, waits: &[usize]| {
        seconds(&built(
            &[step(Some(first), 1, &[]), step(Some(second), 1, waits)],
            100,
        ))
    };
    let thousand = |location, rate| restore(location, 1_000, rate, 0);
    assert_eq!(pair(thousand(1, 100), thousand(2, 100), &[]), 10);
    assert_eq!(pair(thousand(1, 100), thousand(1, 100), &[]), 20);
    // One after the other, or slow enough to leave room, they do not hinder each other.
    assert_eq!(pair(thousand(1, 100), thousand(1, 100), &[0]), 20);
    assert_eq!(pair(thousand(1, 50), thousand(1, 50), &[]), 20);
    // A small one hinders a large one only by its own bytes.
    assert_eq!(pair(thousand(1, 100), restore(1, 100, 100, 0), &[]), 11);
    assert_eq!(
        pair(restore(1, 1_000, 100, 60), thousand(2, 1_000), &[]),
        70
    );
}

#[test]
fn both_courses_are_told_and_deadlines_that_reading_breaks() {
    let steps = [
        step(Some(restore(1, 1_000, 100, 0)), 15, &[]),
        step(Some(restore(1, 1_000, 100, 0)), 20, &[]),
        step(Some(restore(2, 1_000, 100, 0)), 9, &[]),
        step(None, 7, &[0, 1]),
    ];
    let model = built(&steps, 100);
    let told = course(&model);
    assert_eq!(
        (told.by_deadlines.seconds, told.by_reading.seconds),
        (Seconds::new(27), Seconds::new(27))
    );
    assert_eq!(told.by_reading.chain, ["s1", "s3"]);
    let slow: Vec<(&str, u64, u64, u64)> = told
        .slow
        .iter()
        .map(|slow| {
            (
                slow.step.as_str(),
                slow.deadline_seconds.get(),
                slow.alone_seconds.get(),
                slow.shared_seconds.get(),
            )
        })
        .collect();
    assert_eq!(slow, [("s0", 15, 10, 20), ("s2", 9, 10, 10)]);
    assert!(told.unreadable.is_empty());
    let recovery = Recovery::new(&model, &Zones::bundled());
    assert_eq!(recovery.course_of(&"elsewhere".parse().unwrap()), None);
}

#[test]
fn what_cannot_be_read_has_no_end() {
    let steps = [
        step(Some(restore(1, 1_000, 100, 0)), 15, &[]),
        step(Some(restore(2, 1, 1, 0)), 20, &[]),
    ];
    let mut model = built(&steps, 100);
    model.scenarios.get_mut("rot").unwrap().losses = BTreeSet::from(["region:r1".parse().unwrap()]);
    let told = course(&model);
    assert_eq!(told.unreadable, ["s0"]);
    assert_eq!(
        (told.by_reading.bounded, told.by_reading.seconds),
        (false, Seconds::MAX)
    );
    assert!(told.by_deadlines.bounded);
    // A restore that names nothing known takes its deadline; who checks names tells that it is wrong.
    let unknown = &mut model.scenarios.get_mut("rot").unwrap().runbook[0];
    unknown.dataset = Some("elsewhere".parse().unwrap());
    assert_eq!(seconds(&model), 15);
}

/// `a` from `b` and `c`, `b` from `c`, `c` from what is kept at two places: as slow as the slowest, and circles never end.
#[test]
fn what_is_reconstructed_of_what_is_reconstructed_takes_its_sources_time() {
    let mut model = built(
        &[
            step(Some(restore(1, 1_000, 100, 0)), 1, &[]),
            step(Some(restore(1, 2_000, 100, 0)), 1, &[]),
        ],
        100,
    );
    for (id, sources) in [("a", ["b", "c"]), ("b", ["c", "c"]), ("c", ["d0", "d1"])] {
        let mut derived = dataset(id);
        derived.eligibility = Eligibility::Reconstructed;
        derived.derived_from = sources.map(|source| source.parse().unwrap()).into();
        model.datasets.insert(id.parse().unwrap(), derived);
    }
    let time = |model: &Model| {
        Recovery::new(model, &Zones::bundled())
            .recovery_time(&"a".parse().unwrap(), &LossCase::None)
    };
    assert_eq!(time(&model), Some(Seconds::new(20)));
    // A step that restores it reads both, and they share the location: the larger passes beside the smaller.
    let runbook = &mut model.scenarios.get_mut("rot").unwrap().runbook;
    runbook.truncate(1);
    runbook[0].dataset = Some("a".parse().unwrap());
    assert_eq!(seconds(&model), 30);
    let c = model.datasets.get_mut("c").unwrap();
    c.derived_from.insert("b".parse().unwrap());
    assert_eq!(time(&model), None);
    model.datasets.get_mut("c").unwrap().derived_from = BTreeSet::new();
    assert_eq!(time(&model), None);
}

fn steps(many: usize, sharing: bool) -> impl Strategy<Value = Vec<Step>> {
    let one = (
        proptest::option::weighted(0.8, (1..=2_usize, 0..60_u64, 1..=130_u64, 0..20_u64)),
        0..30_u64,
        any::<u8>(),
    );
    proptest::collection::vec(one, 1..many).prop_map(move |drawn| {
        let steps = drawn.into_iter().enumerate();
        steps
            .map(|(number, (found, deadline, waits))| {
                let waits: Vec<usize> = if sharing {
                    // Each of the steps before with a chance of one in four.
                    (0..number)
                        .filter(|other| waits.rotate_left(u32::try_from(*other).unwrap()) % 4 == 0)
                        .collect()
                } else {
                    number.checked_sub(1).into_iter().collect()
                };
                // Whole seconds when read alone, so that rounding hides nothing.
                let found = found.map(|(location, seconds, rate, thaw)| {
                    restore(location, seconds * rate.min(100), rate, thaw)
                });
                step(found, deadline, &waits)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fair sharing never takes longer than what is told.
    #[test]
    fn the_bound_is_never_below_a_simulation(steps in steps(8, true)) {
        let told = seconds(&built(&steps, 100));
        let found = simulated(&steps, 100.0);
        prop_assert!(told as f64 + 1e-6 >= found, "{told} below {found}");
    }

    /// Where no two steps run at the same time, what is told is what happens.
    #[test]
    fn without_sharing_the_bound_is_the_simulation(steps in steps(8, false)) {
        let told = seconds(&built(&steps, 100));
        let found = simulated(&steps, 100.0);
        prop_assert!((told as f64 - found).abs() < 1e-6, "{told} against {found}");
    }
}
