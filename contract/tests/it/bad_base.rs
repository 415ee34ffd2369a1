//! The loss when the newest base is bad, against walking over every slot and asking retention what is left. Design 5.

use std::collections::BTreeSet;

use contract::calendar::{Calendar, Zones};
use contract::duration::Seconds;
use contract::model::{Continuous, Model, Schedule};
use contract::recovery::{Loss, LossCase, Recovery, Unbounded};
use contract::retention::{Point, Trust, decide};
use jiff::Timestamp;
use proptest::prelude::*;

use super::kept::class;
use super::recovery::{model, plan, schedule_cron, schedule_every, standby};

fn chained(backups: Schedule, fulls: Option<Schedule>) -> Model {
    let mut model = model(plan(backups, 3, 2));
    let plan = model.plans.get_mut("bp").unwrap();
    plan.full_frequency = fulls;
    plan.retention = class(0, [0, 60, 0, 0, 0]);
    model
}

fn loss(model: &Model, case: &str) -> Option<Loss> {
    let recovery = Recovery::new(model, &Zones::bundled());
    recovery.loss_with_bad_base(&"ds".parse().unwrap(), &case.parse().unwrap())
}

fn hours(model: &Model, case: &str) -> u64 {
    let loss = loss(model, case).unwrap();
    assert!(loss.is_bounded(), "{loss}");
    assert_eq!(loss.seconds().get() % 3_600, 0, "{loss}");
    loss.seconds().get() / 3_600
}

fn why(model: &Model) -> Unbounded {
    match loss(model, "none").unwrap() {
        Loss::Bounded(bound) => panic!("bounded: {bound:?}"),
        Loss::Replicated { standby, .. } => panic!("on standby {standby}"),
        Loss::Unbounded { why, .. } => why,
    }
}

fn daily(misses: u32) -> Schedule {
    schedule_cron("0 2 * * *", "UTC", Seconds::hours(2), misses)
}

fn sundays(completion: u64, misses: u32) -> Schedule {
    schedule_cron("0 1 * * 0", "UTC", Seconds::hours(completion), misses)
}

#[test]
fn what_is_left_is_the_last_point_of_the_chain_before() {
    // From Saturday's point to the next but one Sunday's, which takes two hours.
    let weekly = chained(daily(0), Some(sundays(1, 0)));
    assert_eq!(hours(&weekly, "none"), 8 * 24 + 2);
    assert_eq!(hours(&weekly, "zone:z1,zone:z2"), 8 * 24 + 2 + 4);
    let Some(Loss::Bounded(bound)) = loss(&weekly, "none") else {
        panic!("unbounded")
    };
    assert_eq!(
        bound.witness.unwrap().to_string(),
        "point 2026-07-04T02:00:00Z, next usable 2026-07-12T04:00:00Z, failure just before it"
    );
    // A full may take longer; a slot may be missed before and after, a full between.
    assert_eq!(
        hours(&chained(daily(0), Some(sundays(5, 0))), "none"),
        8 * 24 + 5
    );
    assert_eq!(
        hours(&chained(daily(1), Some(sundays(1, 0))), "none"),
        10 * 24 + 2
    );
    assert_eq!(
        hours(&chained(daily(1), Some(sundays(1, 1))), "none"),
        17 * 24 + 2
    );
    let mut lagging = chained(daily(0), Some(sundays(1, 0)));
    let connector = lagging.settings.connectors.get_mut("files").unwrap();
    connector.source_lag_s = Seconds::hours(3);
    assert_eq!(hours(&lagging, "none"), 8 * 24 + 5);
}

#[test]
fn retention_must_reach_behind_the_newest_full() {
    let mut model = chained(daily(0), Some(sundays(1, 0)));
    let retention = |model: &mut Model, last, rules| {
        model.plans.get_mut("bp").unwrap().retention = class(last, rules);
    };
    retention(&mut model, 7, [0; 5]);
    assert_eq!(why(&model), Unbounded::NothingKept);
    retention(&mut model, 8, [0; 5]);
    assert_eq!(why(&model), Unbounded::NothingKept);
    retention(&mut model, 9, [0; 5]);
    assert_eq!(hours(&model, "none"), 8 * 24 + 2);
    // Only the last day of each month is left besides: a full on the second of a month pushes the first out.
    retention(&mut model, 3, [0, 0, 0, 3, 0]);
    assert!(hours(&model, "none") > 30 * 24);
}

#[test]
fn a_break_in_an_archive_goes_back_to_the_full_before_the_next() {
    let mut continuous = schedule_every(Seconds::ZERO);
    continuous.every_s = None;
    continuous.continuous = Some(Continuous {
        max_lag_s: Seconds::minutes(5),
    });
    continuous.completion_window_s = Seconds::hours(9);
    assert_eq!(why(&chained(continuous.clone(), None)), Unbounded::NoFull);
    let mut model = chained(continuous.clone(), Some(sundays(2, 0)));
    assert_eq!(hours(&model, "none"), 7 * 24 + 2);
    model.plans.get_mut("bp").unwrap().retention = class(1, [0; 5]);
    assert_eq!(why(&model), Unbounded::NothingKept);
    model.plans.get_mut("bp").unwrap().retention = class(3, [0; 5]);
    assert_eq!(hours(&model, "none"), 7 * 24 + 2);
    let missed = chained(continuous, Some(sundays(2, 1)));
    assert_eq!(hours(&missed, "zone:z1,zone:z2"), 14 * 24 + 2 + 4);
}

#[test]
fn nothing_is_told_where_points_are_independent_and_they_help_others() {
    assert_eq!(loss(&chained(daily(0), None), "none"), None);
    let mut model = chained(daily(0), Some(sundays(1, 0)));
    assert_eq!(loss(&model, "corruption"), None);
    let recovery = Recovery::new(&model, &Zones::bundled());
    let elsewhere = "elsewhere".parse().unwrap();
    assert_eq!(
        recovery.loss_with_bad_base(&elsewhere, &LossCase::None),
        None
    );
    let mut second = plan(schedule_every(Seconds::days(3)), 2, 1);
    second.plan_id = "bp_far".parse().unwrap();
    model.plans.insert(second.plan_id.clone(), second);
    assert_eq!(hours(&model, "none"), 3 * 24);
    let mut site = model.settings.sites["live"].clone();
    site.site_id = "second".parse().unwrap();
    model.settings.sites.insert("second".parse().unwrap(), site);
    model.standbys.insert("sb".parse().unwrap(), standby());
    assert_eq!(loss(&model, "none").unwrap().seconds(), Seconds::minutes(1));
}

#[test]
fn what_cannot_be_walked_is_unbounded() {
    let unreadable = schedule_cron("61 * * * *", "UTC", Seconds::ZERO, 0);
    assert_eq!(
        why(&chained(daily(0), Some(unreadable.clone()))),
        Unbounded::NoCalendar
    );
    assert_eq!(
        why(&chained(unreadable, Some(daily(0)))),
        Unbounded::NoCalendar
    );
    let leap = schedule_cron("0 0 29 2 *", "UTC", Seconds::ZERO, 0);
    assert_eq!(why(&chained(daily(0), Some(leap))), Unbounded::TooFewSlots);
    assert_eq!(
        why(&chained(
            schedule_every(Seconds::new(30)),
            Some(sundays(1, 0))
        )),
        Unbounded::TooManySlots
    );
    assert_eq!(
        why(&chained(daily(0), Some(schedule_every(Seconds::new(30))))),
        Unbounded::TooManySlots
    );
}

/// The slots of a model's two schedules over its horizon.
struct Walk<'m> {
    model: &'m Model,
    calendar: Calendar,
    slots: Vec<i64>,
    fulls: Vec<i64>,
    end: i64,
}

impl Walk<'_> {
    fn new(model: &Model) -> Walk<'_> {
        let zones = Zones::bundled();
        let (from, to) = Recovery::new(model, &zones).horizon();
        let plan = &model.plans["bp"];
        let slots = |schedule: &Schedule| {
            let calendar = schedule.calendar(&zones).unwrap();
            calendar.slots(from, to).map(Timestamp::as_second).collect()
        };
        Walk {
            model,
            calendar: plan.backup_frequency.calendar(&zones).unwrap(),
            slots: slots(&plan.backup_frequency),
            fulls: slots(plan.full_frequency.as_ref().unwrap()),
            end: to.as_second(),
        }
    }

    fn late(&self) -> i64 {
        let plan = &self.model.plans["bp"];
        let fulls = plan.full_frequency.as_ref().unwrap();
        let window = plan.backup_frequency.completion_window_s;
        window.max(fulls.completion_window_s).signed()
    }

    /// For the failure just before each point of `taken` would be usable: when it strikes, and the newest point that retention keeps
    /// from before the newest full; `fulls` are the slots of fulls for which one was taken.
    fn left(&self, taken: &[i64], fulls: &[i64], only: Option<i64>) -> Vec<(i64, Option<i64>)> {
        let bases: BTreeSet<i64> = fulls
            .iter()
            .filter_map(|full| taken.iter().copied().find(|slot| slot >= full))
            .collect();
        let strikes = taken.iter().map(|slot| slot + self.late());
        let strikes = strikes.filter(|at| *at < self.end && only.is_none_or(|only| only == *at));
        strikes
            .filter_map(|at| {
                let mut usable = taken.iter().filter(|slot| *slot + self.late() < at);
                let base = usable.rfind(|slot| bases.contains(slot))?;
                let points: Vec<Point> = taken
                    .iter()
                    .filter(|slot| **slot < at)
                    .map(|slot| {
                        let at = Timestamp::from_second(*slot).unwrap();
                        Point {
                            backup_id: format!("bp.{}", at.strftime("%Y%m%dT%H%M%SZ"))
                                .parse()
                                .unwrap(),
                            at,
                            trust: Trust::Verified,
                            base: None,
                        }
                    })
                    .collect();
                let now = Timestamp::from_second(at - 1).unwrap();
                let retention = &self.model.plans["bp"].retention;
                let decisions = decide(&points, retention, self.calendar.zone(), now);
                let kept = decisions
                    .iter()
                    .filter(|decision| decision.verdict.is_kept());
                let left = kept
                    .map(|decision| decision.at.as_second())
                    .filter(|slot| slot < base);
                Some((at, left.max()))
            })
            .collect()
    }
}

fn backups() -> impl Strategy<Value = Schedule> {
    let cron = proptest::sample::select(vec![
        "30 2 * * 1,4",
        "0 0 */5 * *",
        "30 23 1,10,20 * *",
        "15 2 * * 0,3,5",
    ]);
    let zone = proptest::sample::select(vec!["Europe/Berlin", "America/Havana", "UTC"]);
    prop_oneof![
        (cron, zone).prop_map(|(cron, zone)| schedule_cron(cron, zone, Seconds::ZERO, 0)),
        (60..200_u64).prop_map(|hours| schedule_every(Seconds::hours(hours))),
    ]
}

fn models() -> impl Strategy<Value = Model> {
    let fulls = prop_oneof![
        (25..70_u64).prop_map(|days| schedule_every(Seconds::days(days))),
        Just(schedule_cron("0 12 1 * *", "UTC", Seconds::ZERO, 0)),
    ];
    let numbers = (0..3_u32, 0..2_u32, 0..100_u64, 0..100_u64);
    let keeps = (
        0..12_u32,
        [0..1_u32, 0..30, 0..12, 0..1, 0..1],
        0..900_u64,
        proptest::option::of(1..3_000_u64),
        any::<bool>(),
    );
    (backups(), fulls, numbers, keeps).prop_map(
        |(
            mut backups,
            mut fulls,
            (misses, full_misses, window, full_window),
            (last, rules, floor, max, all),
        )| {
            backups.tolerated_misses = misses;
            backups.completion_window_s = Seconds::hours(window);
            fulls.tolerated_misses = full_misses;
            fulls.completion_window_s = Seconds::hours(full_window);
            let mut model = chained(backups, Some(fulls));
            let plan = model.plans.get_mut("bp").unwrap();
            if all {
                plan.retention = class(5_000, [0; 5]);
            } else {
                plan.retention = class(last, rules);
                plan.retention.min_duration_s = Seconds::hours(floor);
                plan.retention.max_duration_s = max.map(Seconds::hours);
            }
            model
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// When no slot is missed, what is told is the worst that happens at any slot.
    #[test]
    fn without_misses_the_proof_is_the_walk(mut model in models()) {
        let plan = model.plans.get_mut("bp").unwrap();
        plan.backup_frequency.tolerated_misses = 0;
        plan.full_frequency.as_mut().unwrap().tolerated_misses = 0;
        let walk = Walk::new(&model);
        let left = walk.left(&walk.slots, &walk.fulls, None);
        let worst = left.iter().filter_map(|(at, left)| Some(at - (*left)?)).max();
        match loss(&model, "none").unwrap() {
            Loss::Bounded(bound) => prop_assert_eq!(Some(bound.total().signed()), worst),
            Loss::Unbounded { why, .. } => {
                prop_assert_eq!(why, Unbounded::NothingKept);
                prop_assert!(left.iter().any(|(_, left)| left.is_none()));
            }
            Loss::Replicated { .. } => prop_assert!(false),
        }
    }

    /// Whatever is missed, as long as no more than tolerated in a row: reality is never worse than the proof.
    #[test]
    fn misses_never_beat_the_proof(model in models(), draws in proptest::collection::vec((any::<bool>(), any::<bool>()), 1_000)) {
        let walk = Walk::new(&model);
        let plan = &model.plans["bp"];
        let thinned = |slots: &[i64], misses: u32, missed: &dyn Fn(usize) -> bool| {
            let mut run = 0;
            let kept = slots.iter().enumerate().filter(|(place, _)| {
                run = if missed(*place) && run < misses { run + 1 } else { 0 };
                run == 0
            });
            kept.map(|(_, slot)| *slot).collect::<Vec<i64>>()
        };
        let taken = thinned(&walk.slots, plan.backup_frequency.tolerated_misses, &|place| draws[place].0);
        let fulls = thinned(&walk.fulls, plan.full_frequency.as_ref().unwrap().tolerated_misses, &|place| draws[place].1);
        let proof = loss(&model, "none").unwrap();
        // The first slots have too little past to tell.
        let left = walk.left(&taken, &fulls, None);
        for (at, left) in left.iter().skip(left.len() / 2) {
            match left {
                Some(left) => prop_assert!(at - left <= proof.seconds().signed(), "{left} at {at} against {proof}"),
                None => prop_assert!(!proof.is_bounded(), "nothing left at {at} against {proof}"),
            }
        }
    }

    /// The worst misses that are tolerated make it as bad as the proof says.
    #[test]
    fn the_worst_misses_reach_the_proof(mut model in models()) {
        model.plans.get_mut("bp").unwrap().retention = class(5_000, [0; 5]);
        let walk = Walk::new(&model);
        let plan = &model.plans["bp"];
        let misses = usize::try_from(plan.backup_frequency.tolerated_misses).unwrap();
        let apart = 1 + usize::try_from(plan.full_frequency.as_ref().unwrap().tolerated_misses).unwrap();
        let run = |full: i64| walk.slots.partition_point(|slot| *slot < full);
        let mut worst = None;
        for (number, full) in walk.fulls.iter().enumerate() {
            let (base, Some(next)) = (run(*full), walk.fulls.get(number + apart).map(|next| run(*next))) else { break };
            if base < misses + 1 || next + misses >= walk.slots.len() { continue }
            let missed: BTreeSet<usize> = (base - misses..base).chain(next..next + misses).collect();
            let taken: Vec<i64> = (0..walk.slots.len()).filter(|slot| !missed.contains(slot)).map(|slot| walk.slots[slot]).collect();
            let fulls: Vec<i64> = walk.fulls.iter().enumerate().filter(|(place, _)| *place <= number || *place >= number + apart).map(|(_, full)| *full).collect();
            let strike = walk.slots[next + misses] + walk.late();
            let left = walk.left(&taken, &fulls, Some(strike));
            worst = worst.max(left.iter().filter_map(|(at, left)| Some(at - (*left)?)).max());
        }
        prop_assert_eq!(loss(&model, "none").unwrap().seconds().signed(), worst.unwrap());
    }
}
