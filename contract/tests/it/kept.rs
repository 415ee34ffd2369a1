//! What retention keeps in the steady state, against `retention::decide` asked about every slot at every second that matters. BDR-6.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::{Calendar, Zones};
use contract::duration::Seconds;
use contract::model::{Continuous, Keep as Rules, Model, Retention, Schedule};
use contract::recovery::{Kept, Recovery};
use contract::retention::{Keep, Point, Trust, Verdict, decide};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::recovery::{model, plan, schedule_cron, schedule_every};

pub fn class(last: u32, [hourly, daily, weekly, monthly, yearly]: [u32; 5]) -> Retention {
    Retention {
        retention_id: "r".parse().unwrap(),
        min_versions: 0,
        min_duration_s: Seconds::ZERO,
        keep: Rules {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
        max_duration_s: None,
        immutable_for_s: Seconds::ZERO,
    }
}

pub fn with(schedule: Schedule, retention: Retention, from: &str) -> Model {
    let mut model = model(plan(schedule, 1, 1));
    model.plans.get_mut("bp").unwrap().retention = retention;
    model.snapshot.effective_from = from.parse().unwrap();
    model
}

fn kept(model: &Model) -> Kept {
    Recovery::new(model, &Zones::bundled())
        .kept(&"bp".parse().unwrap())
        .unwrap()
}

/// What `decide` keeps at an instant of all slots so far, each with its reasons.
fn stands(
    points: &[Point],
    model: &Model,
    calendar: &Calendar,
    now: Timestamp,
) -> Vec<(Timestamp, BTreeSet<Keep>)> {
    let taken = points.partition_point(|point| point.at <= now);
    let decisions = decide(
        &points[..taken],
        &model.plans["bp"].retention,
        calendar.zone(),
        now,
    );
    let kept = decisions
        .into_iter()
        .filter_map(|decision| match decision.verdict {
            Verdict::Keep(reasons) => Some((decision.at, reasons)),
            Verdict::Forget(_) => None,
        });
    kept.collect()
}

/// What stands, by second: points, oldest first, with their reasons.
pub type ByInstant = BTreeMap<i64, Vec<(Timestamp, BTreeSet<Keep>)>>;

/// Asks `decide` about all slots since 1970, at every second of the horizon's last year in which a point comes or a reason to keep
/// one ends, and at some more.
pub fn brute(model: &Model, more: &[i64]) -> ByInstant {
    let calendar = model.plans["bp"]
        .backup_frequency
        .calendar(&Zones::bundled())
        .unwrap();
    let retention = &model.plans["bp"].retention;
    let (_, to) = Recovery::new(model, &Zones::bundled()).horizon();
    let until = to.as_second() - 1;
    let last = to.to_zoned(TimeZone::UTC).datetime();
    let from = last.with().year(last.year() - 1).build().unwrap();
    let from = from
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_second();
    let point = |at: Timestamp| Point {
        backup_id: format!("bp.{}", at.strftime("%Y%m%dT%H%M%SZ"))
            .parse()
            .unwrap(),
        at,
        trust: Trust::Verified,
        base: None,
    };
    let points: Vec<Point> = calendar
        .slots(Timestamp::UNIX_EPOCH, to)
        .map(point)
        .collect();
    let mut instants: BTreeSet<i64> = more.iter().map(|offset| from + offset).collect();
    instants.extend([from, until]);
    for point in &points {
        let at = point.at.as_second();
        let max = retention.max_duration_s.map_or(0, |max| max.signed() + 1);
        let ages = [
            0,
            retention.min_duration_s.signed(),
            retention.immutable_for_s.signed(),
            max,
        ];
        instants.extend(ages.map(|age| at + age));
    }
    let instants = instants.range(from..=until);
    instants
        .map(|now| {
            let at = Timestamp::from_second(*now).unwrap();
            (*now, stands(&points, model, &calendar, at))
        })
        .collect()
}

fn told(model: &Model, found: &ByInstant) -> Kept {
    let counts = found
        .values()
        .map(|stand| u64::try_from(stand.len()).unwrap());
    let ages = found
        .iter()
        .map(|(now, stand)| stand.first().map_or(0, |(at, _)| now - at.as_second()));
    let mut by_reason = BTreeMap::new();
    for (_, reasons) in found.values().last().unwrap() {
        for reason in reasons {
            *by_reason.entry(*reason).or_default() += 1;
        }
    }
    let retention = &model.plans["bp"].retention;
    Kept::Points {
        least: counts.clone().min().unwrap(),
        most: counts.max().unwrap(),
        by_reason,
        oldest_seconds: Seconds::new(ages.min().unwrap().unsigned_abs()),
        floor_seconds: retention.min_duration_s.max(retention.immutable_for_s),
    }
}

/// Every hour: the newest 24 reach from one day into the next, except at 23:00, when they are today's.
#[test]
fn an_example_to_count_on_fingers() {
    let found = kept(&with(
        schedule_every(Seconds::hours(1)),
        class(24, [0, 7, 0, 0, 0]),
        "2026-07-01T00:00:00Z",
    ));
    let Kept::Points {
        least,
        most,
        by_reason,
        oldest_seconds,
        floor_seconds,
    } = found
    else {
        panic!("{found:?}")
    };
    assert_eq!((least, most), (29, 30));
    assert_eq!(
        by_reason,
        BTreeMap::from([
            (Keep::Last, 24),
            (Keep::Daily, 7),
            (Keep::NewestVerified, 1)
        ])
    );
    // Just after midnight the oldest is that of 23:00 six days before.
    assert_eq!(oldest_seconds, Seconds::hours(5 * 24 + 1));
    assert_eq!(floor_seconds, Seconds::ZERO);
}

/// A slot a minute for years: 60 newest, the last of 48 hours, 30 days, 12 months and 20 years, which began long before the horizon.
#[test]
fn a_slot_a_minute_is_no_trouble() {
    let found = kept(&with(
        schedule_cron("* * * * *", "Europe/Berlin", Seconds::ZERO, 0),
        class(60, [48, 30, 0, 12, 20]),
        "2026-07-01T00:00:00Z",
    ));
    let Kept::Points {
        by_reason,
        oldest_seconds,
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    let expected = [
        (Keep::Last, 60),
        (Keep::Hourly, 48),
        (Keep::Daily, 30),
        (Keep::Monthly, 12),
        (Keep::Yearly, 20),
        (Keep::NewestVerified, 1),
    ];
    assert_eq!(by_reason, BTreeMap::from(expected));
    // In the first minute of a year the oldest is the last minute of the year nineteen years before: 18 years, four or five of them leap.
    assert_eq!(
        oldest_seconds,
        Seconds::days(18 * 365 + 4).saturating_add(Seconds::minutes(1))
    );
}

/// In St John's the clock went back at a minute past midnight: that Sunday began, Saturday came back, and Sunday began again.
#[test]
fn a_day_that_begins_twice_is_one_day() {
    for daily in 1..5 {
        let schedule = schedule_cron("*/20 0,23 24-31 10 *", "America/St_Johns", Seconds::ZERO, 0);
        let model = with(
            schedule,
            class(1, [daily, daily, 0, 0, 0]),
            "1986-11-01T00:00:00Z",
        );
        assert_eq!(kept(&model), told(&model, &brute(&model, &[])));
    }
}

#[test]
fn what_cannot_be_counted_is_told() {
    let mut continuous = schedule_every(Seconds::ZERO);
    continuous.every_s = None;
    continuous.continuous = Some(Continuous {
        max_lag_s: Seconds::minutes(5),
    });
    let mut retention = class(3, [0; 5]);
    retention.min_duration_s = Seconds::days(14);
    retention.immutable_for_s = Seconds::days(21);
    let floor_seconds = Seconds::days(21);
    assert_eq!(
        kept(&with(continuous, retention.clone(), "2026-07-01T00:00:00Z")),
        Kept::Log { floor_seconds }
    );
    let every_second = with(
        schedule_every(Seconds::new(1)),
        retention,
        "2026-07-01T00:00:00Z",
    );
    assert_eq!(kept(&every_second), Kept::TooManySlots { floor_seconds });
    let recovery = Recovery::new(&every_second, &Zones::bundled());
    assert_eq!(recovery.kept(&"elsewhere".parse().unwrap()), None);
    let unreadable = with(
        schedule_cron("61 * * * *", "UTC", Seconds::ZERO, 0),
        class(1, [0; 5]),
        "2026-07-01T00:00:00Z",
    );
    assert_eq!(
        Recovery::new(&unreadable, &Zones::bundled()).kept(&"bp".parse().unwrap()),
        None
    );
}

pub fn schedules() -> impl Strategy<Value = Schedule> {
    let texts = [
        "0 0 * * 1,4",
        "30 2 1,2,15,31 * *",
        "15 1,23 9-11 * *",
        "5,35 0-3 28 * *",
        "0 0 1 1,2 *",
        "10 */6 25,26 * 1",
    ];
    let zones = [
        "America/New_York",
        "America/Havana",
        "UTC",
        "Asia/Kathmandu",
    ];
    prop_oneof![
        (
            proptest::sample::select(texts.to_vec()),
            proptest::sample::select(zones.to_vec())
        )
            .prop_map(|(text, zone)| schedule_cron(text, zone, Seconds::ZERO, 0)),
        (60..900_u64).prop_map(|hours| schedule_every(Seconds::hours(hours))),
    ]
}

pub fn classes() -> impl Strategy<Value = Retention> {
    let counts = (0..9_u32, [0..30_u32, 0..40, 0..30, 0..20, 0..9], 0..6_u32);
    let ages = (0..300_u64, proptest::option::of(1..900_u64), 0..300_u64);
    (counts, ages).prop_map(
        |((last, rules, min_versions), (floor, max, lock))| Retention {
            min_versions,
            min_duration_s: Seconds::hours(floor * 7),
            max_duration_s: max.map(|max| Seconds::hours(max * 7)),
            immutable_for_s: Seconds::hours(lock * 7),
            ..class(last, rules)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every number is that of retention itself, asked about every slot there ever was.
    #[test]
    fn what_is_told_is_what_retention_keeps(
        schedule in schedules(),
        class in classes(),
        begins in 0..700_i64,
        more in proptest::collection::vec(0..31_000_000_i64, 10),
    ) {
        let from: Timestamp = "1970-06-01T00:00:00Z".parse().unwrap();
        let from = from + SignedDuration::from_hours(begins * 24);
        let model = with(schedule, class, &from.to_string());
        prop_assert_eq!(kept(&model), told(&model, &brute(&model, &more)));
    }
}
