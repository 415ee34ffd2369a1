//! The forecast of storage, against adding up point by point what every kept point holds. BDR-6.

use std::collections::BTreeSet;

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::model::{Continuous, Model, Sizing};
use contract::recovery::{Forecast, Kept, MAX_BYTES, Recovery};
use contract::retention::{Point, Trust, decide};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::kept::{brute, class, classes, schedules, with};
use super::recovery::{dataset, schedule_cron, schedule_every};

const DAY: i64 = 86_400;

fn sized(model: &mut Model, size: u64, change: u64) {
    model.datasets.get_mut("ds").unwrap().sizing = Sizing {
        size_bytes: size,
        change_per_day_bytes: change,
    };
}

fn forecast(model: &Model) -> Forecast {
    let recovery = Recovery::new(model, &Zones::bundled());
    recovery.forecast()["l1"].clone()
}

/// Seven daily points: all of 1,000 bytes once, and six times the ten that change in a day.
#[test]
fn older_points_hold_what_changed() {
    let mut model = with(
        schedule_every(Seconds::days(1)),
        class(7, [0; 5]),
        "2026-07-01T00:00:00Z",
    );
    sized(&mut model, 1_000, 10);
    model
        .settings
        .locations
        .get_mut("l1")
        .unwrap()
        .capacity_bytes = 1_060;
    let told = forecast(&model);
    assert_eq!(
        (told.needed_bytes, told.bounded, told.fits),
        (1_060, true, true)
    );
    let [largest] = &told.largest[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (
            largest.plan.as_str(),
            largest.dataset.as_str(),
            largest.bytes
        ),
        ("bp", "ds", 1_060)
    );
    model
        .settings
        .locations
        .get_mut("l1")
        .unwrap()
        .capacity_bytes = 1_059;
    assert!(!forecast(&model).fits);
    // What changes wholly between two points is held wholly by each; what never changes is held once.
    sized(&mut model, 1_000, 5_000);
    assert_eq!(forecast(&model).needed_bytes, 7_000);
    sized(&mut model, 1_000, 0);
    assert_eq!(forecast(&model).needed_bytes, 1_000);
    sized(&mut model, 0, 0);
    assert_eq!(forecast(&model).needed_bytes, 0);
    // A location that no plan uses needs nothing.
    let recovery = Recovery::new(&model, &Zones::bundled());
    let elsewhere = &recovery.forecast()["l5"];
    assert_eq!((elsewhere.needed_bytes, elsewhere.largest.len()), (0, 0));
    assert!(elsewhere.fits);
}

#[test]
fn plans_and_datasets_add_up_and_the_largest_is_named() {
    let mut model = with(
        schedule_every(Seconds::days(1)),
        class(2, [0; 5]),
        "2026-07-01T00:00:00Z",
    );
    sized(&mut model, 100, 1);
    let mut second = dataset("ds_large");
    second.sizing = Sizing {
        size_bytes: 500,
        change_per_day_bytes: 0,
    };
    model.datasets.insert(second.dataset_id.clone(), second);
    let mut other = model.plans["bp"].clone();
    model
        .plans
        .get_mut("bp")
        .unwrap()
        .dataset_ids
        .insert("ds_large".parse().unwrap());
    other.plan_id = "bp_other".parse().unwrap();
    model.plans.insert(other.plan_id.clone(), other);
    let told = forecast(&model);
    assert_eq!(told.needed_bytes, 101 + 500 + 101);
    let largest: Vec<_> = told
        .largest
        .iter()
        .map(|share| (share.plan.as_str(), share.dataset.as_str(), share.bytes))
        .collect();
    assert_eq!(
        largest,
        [
            ("bp", "ds_large", 500),
            ("bp", "ds", 101),
            ("bp_other", "ds", 101)
        ]
    );
    // The largest numbers there are neither wrap nor pass for something that fits.
    sized(&mut model, u64::MAX, u64::MAX);
    model
        .settings
        .locations
        .get_mut("l1")
        .unwrap()
        .capacity_bytes = u64::MAX - 1;
    let told = forecast(&model);
    assert_eq!(
        (told.needed_bytes, told.bounded, told.fits),
        (MAX_BYTES, true, false)
    );
}

/// A log reaches back to the oldest of three weekly fulls, or to the one before it.
#[test]
fn a_continuous_archive_holds_its_fulls_and_its_log() {
    let mut continuous = schedule_every(Seconds::ZERO);
    continuous.every_s = None;
    continuous.continuous = Some(Continuous {
        max_lag_s: Seconds::minutes(5),
    });
    let mut model = with(continuous, class(3, [0; 5]), "2026-07-01T00:00:00Z");
    sized(&mut model, 1_000, 10);
    let told = forecast(&model);
    assert_eq!(
        (told.bounded, told.fits, told.needed_bytes),
        (false, false, MAX_BYTES)
    );
    assert_eq!(told.unbounded, BTreeSet::from(["bp".parse().unwrap()]));
    model.plans.get_mut("bp").unwrap().full_frequency = Some(schedule_every(Seconds::days(7)));
    let told = forecast(&model);
    // Just before a full the oldest is three weeks old, less a second.
    assert_eq!(
        (told.bounded, told.needed_bytes),
        (true, 4 * 1_000 + 4 * 7 * 10)
    );
    let mut unreadable = schedule_cron("61 * * * *", "UTC", Seconds::ZERO, 0);
    model.plans.get_mut("bp").unwrap().full_frequency = Some(unreadable.clone());
    assert!(!forecast(&model).bounded);
    unreadable.completion_window_s = Seconds::hours(1);
    let plan = model.plans.get_mut("bp").unwrap();
    (plan.backup_frequency, plan.full_frequency) = (unreadable, None);
    assert!(!forecast(&model).bounded);
}

/// The forecast counts a full and every increment on it for each kept point; `decide` keeps exactly those when it is told of bases.
/// So what really stands of a plan with fulls never needs more than the forecast says.
#[test]
fn chains_that_are_kept_are_those_that_the_forecast_counts() {
    let from = "2026-07-01T00:00:00Z";
    for (class, full_every) in [
        (class(3, [0; 5]), 7),
        (class(1, [0, 4, 2, 6, 0]), 7),
        (class(0, [0, 0, 0, 5, 2]), 10),
        (class(20, [0; 5]), 3),
    ] {
        let mut model = with(schedule_every(Seconds::days(1)), class, from);
        sized(&mut model, 1_000, 10);
        let plan = model.plans.get_mut("bp").unwrap();
        plan.full_frequency = Some(schedule_every(Seconds::days(full_every)));
        let zones = Zones::bundled();
        let (_, to) = Recovery::new(&model, &zones).horizon();
        let calendar = model.plans["bp"].backup_frequency.calendar(&zones).unwrap();
        let is_full =
            |at: Timestamp| at.as_second().div_euclid(DAY) % full_every.cast_signed() == 0;
        let begin = to - SignedDuration::from_hours(24 * 3_000);
        let mut points: Vec<Point> = Vec::new();
        for at in calendar.slots(begin, to) {
            let before = points.last().map(|point: &Point| point.backup_id.clone());
            points.push(Point {
                backup_id: format!("bp.{}", at.strftime("%Y%m%dT%H%M%SZ"))
                    .parse()
                    .unwrap(),
                at,
                trust: Trust::Verified,
                base: before.filter(|_| !is_full(at)),
            });
        }
        let alone: Vec<Point> = points
            .iter()
            .cloned()
            .map(|point| Point {
                base: None,
                ..point
            })
            .collect();
        let kept = |points: &[Point], now: Timestamp| -> BTreeSet<Timestamp> {
            let taken = points.partition_point(|point| point.at <= now);
            let retention = &model.plans["bp"].retention;
            let decisions = decide(&points[..taken], retention, calendar.zone(), now);
            let kept = decisions.into_iter().filter(|one| one.verdict.is_kept());
            kept.map(|one| one.at).collect()
        };
        let (mut most, mut reach) = (0, 0);
        for day in 0..400 {
            let now = to - SignedDuration::from_hours(24 * day + 1);
            let (stands, counted) = (kept(&points, now), kept(&alone, now));
            // Each point that retention counts, back to its full.
            let counted = counted.into_iter().flat_map(|at| {
                let back = (0..).map(move |days| at - SignedDuration::from_hours(24 * days));
                let mut is_past = false;
                back.take_while(move |at| !std::mem::replace(&mut is_past, is_full(*at)))
            });
            assert_eq!(stands, counted.collect());
            let bytes: u64 = stands
                .iter()
                .map(|at| if is_full(*at) { 1_000 } else { 10 })
                .sum();
            most = most.max(bytes);
            reach = reach.max(now.duration_since(*stands.first().unwrap()).as_hours());
        }
        let told = forecast(&model);
        assert!(
            told.bounded && told.needed_bytes >= most,
            "{told:?} below {most}"
        );
        // And the oldest that can be counted on is there with all that it needs.
        match Recovery::new(&model, &zones).kept(&"bp".parse().unwrap()) {
            Some(Kept::Points { oldest_seconds, .. }) => {
                assert!(oldest_seconds <= Seconds::hours(reach.unsigned_abs()));
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// At every second the kept points need no more than what is told, and at some second not much less.
    #[test]
    fn what_kept_points_hold_is_never_above_the_forecast(
        schedule in schedules(),
        class in classes(),
        begins in 0..700_i64,
        size in 1..10_000_000_u64,
        change in 0..1_000_000_u64,
        fulls in proptest::option::of(1..90_u64),
    ) {
        let from: Timestamp = "1970-06-01T00:00:00Z".parse().unwrap();
        let from = from + SignedDuration::from_hours(begins * 24);
        let mut model = with(schedule, class, &from.to_string());
        sized(&mut model, size, change);
        let fulls = fulls.map(|days| schedule_every(Seconds::days(days)));
        model.plans.get_mut("bp").unwrap().full_frequency.clone_from(&fulls);
        let changed = |from: i64, to: i64| (u128::from(change) * u128::from((to - from).unsigned_abs()) / 86_400).min(size.into());
        let zones = Zones::bundled();
        let (_, to) = Recovery::new(&model, &zones).horizon();
        let calendar = model.plans["bp"].backup_frequency.calendar(&zones).unwrap();
        let slots: Vec<i64> = calendar.slots(Timestamp::UNIX_EPOCH, to).map(Timestamp::as_second).collect();
        let mut most = 0_u128;
        for stand in brute(&model, &[]).values() {
            let stand: Vec<i64> = stand.iter().map(|(at, _)| at.as_second()).collect();
            let bytes = if let Some(fulls) = &fulls {
                let period = fulls.every_s.unwrap().signed();
                // The runs that take fulls: the first at or after each slot of a full.
                let is_full = |place: usize| place == 0 || slots[place].div_euclid(period) > (slots[place - 1]).div_euclid(period);
                let needed: BTreeSet<usize> = stand.iter().flat_map(|at| {
                    let place = slots.partition_point(|slot| slot < at);
                    let base = (0..=place).rev().find(|place| is_full(*place)).unwrap();
                    base..=place
                }).collect();
                let held = |place: &usize| if is_full(*place) { size.into() } else { changed(slots[*place - 1], slots[*place]) };
                needed.iter().map(held).sum()
            } else {
                stand.windows(2).map(|pair| changed(pair[0], pair[1])).sum::<u128>() + u128::from(if stand.is_empty() { 0 } else { size })
            };
            most = most.max(bytes);
        }
        let told = forecast(&model);
        prop_assert!(told.bounded);
        prop_assert!(u128::from(told.needed_bytes) >= most, "{} below {most}", told.needed_bytes);
        if fulls.is_none() {
            // An eighth of rounding, and a byte or a second's change for each of at most so many points.
            let slack = most / 8 + 500 + u128::from(change) / u128::try_from(DAY / 500).unwrap();
            prop_assert!(u128::from(told.needed_bytes) <= most + slack, "{} far above {most}", told.needed_bytes);
        }
    }
}
