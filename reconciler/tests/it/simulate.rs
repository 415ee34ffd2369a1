//! The real daemon in a simulated world: stories from `fixtures/scripts`, kills at every border, and some seeds.

use std::collections::BTreeMap;
use std::path::Path;

use reconciler::simulate::{Report, Script, What, of_chance, play};

fn story(name: &str) -> Script {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scripts");
    let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn holds(script: &Script) -> Report {
    let report = play(script).unwrap();
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    report
}

#[test]
fn every_script_is_a_story_that_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scripts");
    let known = [
        "check-makes-way",
        "clock-set-back-before-the-first",
        "clock-set-back",
        "commit-fails-beside-a-run",
        "hung-for-three-hours",
        "killed-and-stopped",
        "killed-while-overdue",
        "locations-come-and-go",
        "look-panics",
        "taken-over",
    ];
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let named: Vec<String> = known.iter().map(|name| format!("{name}.yaml")).collect();
    assert_eq!(found, named, "each has a test here");
}

/// A plan that hangs for three hours costs a hundred others no slot, and a policy that is published meanwhile is in force within seconds.
#[test]
fn a_plan_that_hangs_for_three_hours_costs_a_hundred_others_nothing() {
    let report = holds(&story("hung-for-three-hours"));
    let (good, failed, missed) = report.slots;
    assert!(good >= 100 * (4 * 12 - 1), "{good} slots with a point");
    assert_eq!((failed, missed), (0, 0), "of the other plans, too");
}

#[test]
fn a_slot_that_had_its_run_has_one_record_when_the_clock_is_set_back() {
    holds(&story("clock-set-back"));
}

/// What has no effect is recorded at once: half of it could neither be ended nor begun again, and would end every later daemon.
#[test]
fn a_daemon_that_is_killed_while_it_records_an_overdue_check_goes_on() {
    let report = holds(&story("killed-while-overdue"));
    let lives = report.counts.lives;
    assert!(lives < 10, "{lives} lives");
}

/// What was seen before says nothing any more.
#[test]
fn a_plan_that_cannot_be_looked_at_is_not_ready() {
    let report = holds(&story("look-panics"));
    assert_eq!(report.counts.lives, 1, "the daemon lives on");
    assert_eq!((report.slots.1, report.slots.2), (0, 0), "{report:?}");
}

/// Found by a simulation (seed 54, 1 day): the store refused a record that every look asked for, and the daemon ended each time.
#[test]
fn a_slot_before_the_first_gets_its_record_beside_one_that_has_not_come_yet() {
    let report = holds(&story("clock-set-back-before-the-first"));
    assert_eq!(report.counts.lives, 1, "the daemon lives on");
    // Of both plans, from 22 h of the day before until 11 h.
    // The one that the corrected clock went past is missed.
    assert_eq!(report.slots, (26, 0, 2));
}

/// Found by a simulation: what was under way recorded its end by a log that had moved on, and no daemon could start on it any more.
#[test]
fn a_commit_of_unknown_outcome_is_the_last_of_its_process() {
    let script = story("commit-fails-beside-a-run");
    for number in (5..=COMMITS).step_by(4) {
        let mut script = script.clone();
        for event in &mut script.events {
            if let What::CommitFails { number: own, .. } = &mut event.what {
                *own = number;
            }
        }
        let report = play(&script).unwrap();
        assert!(report.broken.is_empty(), "{number}: {:#?}", report.broken);
        assert_eq!(report.struck.len(), 1, "{number} strikes");
    }
}

/// Found by a simulation: the receipt of a check that made way was refused, and the daemon ended with it.
#[test]
fn a_check_that_makes_way_comes_to_its_end() {
    let report = holds(&story("check-makes-way"));
    assert_eq!(report.counts.lives, 1, "the daemon lives on");
}

#[test]
fn locations_that_hang_fail_and_lie_cost_no_point() {
    let report = holds(&story("locations-come-and-go"));
    assert!(report.counts.catch_ups > 3, "{report:?}");
}

#[test]
fn a_daemon_that_is_killed_and_stopped_leaves_nothing_open() {
    let report = holds(&story("killed-and-stopped"));
    assert!(report.counts.lives >= 5, "{report:?}");
}

/// Two daemons on one store: what the newer one does not know of is not recorded, and everything comes to its end.
#[test]
fn a_daemon_whose_store_was_taken_over_records_nothing_and_ends() {
    let report = holds(&story("taken-over"));
    let (good, failed, missed) = report.slots;
    assert_eq!((good, failed, missed), (28, 0, 0), "{report:?}");
}

/// One plan with checks at two locations, for half a day.
fn short(event: &str) -> Script {
    let text = format!(
        "begins: 2026-03-01T00:00:00Z
lasts: PT8H
interval: PT30M
look_interval: PT30M
workers: 2
plans:
  bp_a: {{ every: PT1H, window: PT30M, run: PT1M, locations: [loc_a, loc_b], commit: 1, checked: true, read_every: PT3H }}
events: [{{ at: PT0S, what: {event} }}]
"
    );
    serde_saphyr::from_str(&text).unwrap()
}

/// The commits of the first hours: acceptance, marks, intents, outcomes, points, checks, slots, conditions, copies of receipts.
const COMMITS: u32 = 40;

#[test]
fn a_kill_at_any_commit_loses_nothing() {
    let mut borders: BTreeMap<String, u32> = BTreeMap::new();
    for number in 1..=COMMITS {
        for durable in [false, true] {
            let event =
                format!("{{ killed_at_commit: {{ number: {number}, durable: {durable} }} }}");
            let report = play(&short(&event)).unwrap();
            assert!(report.broken.is_empty(), "{event}: {:#?}", report.broken);
            assert_eq!(report.counts.lives, 2, "{event} strikes");
            *borders.entry(report.struck.join("; ")).or_default() += 1;
        }
    }
    for (border, kills) in &borders {
        println!("| {border} | {kills} |");
    }
    // Every kind of commit that a plan with a check makes.
    for border in [
        "BundleAccepted",
        "LocationIdentity",
        "OperationBegun",
        "OperationEnded + RunEnded",
        "RunChanged",
        "OperationEnded + SlotEnded",
        "Conditions",
        "ReceiptsCopied",
    ] {
        let is_hit = borders.keys().any(|hit| hit.starts_with(border));
        assert!(is_hit, "no kill at `{border}`: {borders:?}");
    }
}

#[test]
fn a_commit_that_fails_loses_nothing_whether_it_is_durable_or_not() {
    for number in (1..=COMMITS).step_by(3) {
        for durable in [false, true] {
            let event = format!("{{ commit_fails: {{ number: {number}, durable: {durable} }} }}");
            let report = play(&short(&event)).unwrap();
            assert!(report.broken.is_empty(), "{event}: {:#?}", report.broken);
        }
    }
}

/// Within effects: while a source is read, between two locations, before the worker's word arrives.
#[test]
fn a_kill_within_any_effect_loses_nothing() {
    for number in 1..=60 {
        let event = format!("{{ killed_at_pause: {number} }}");
        let report = play(&short(&event)).unwrap();
        assert!(report.broken.is_empty(), "{event}: {:#?}", report.broken);
        assert_eq!(report.counts.lives, 2, "{event} strikes");
    }
}

#[test]
fn a_worker_that_dies_at_any_step_loses_nothing() {
    for step in 0..=8 {
        let event = format!("{{ worker_dies: {{ plan: bp_a, step: {step} }} }}");
        holds(&short(&event));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let script = of_chance(7, 1);
    let (one, other) = (play(&script).unwrap(), play(&script).unwrap());
    assert_eq!(one.run, other.run);
    assert_ne!(one.run, play(&of_chance(8, 1)).unwrap().run);
}

#[test]
fn seeds_hold() {
    for seed in 1..=8 {
        let report = play(&of_chance(seed, 1)).unwrap();
        assert!(
            report.broken.is_empty(),
            "seed {seed}: {:#?}",
            report.broken
        );
    }
}
