//! The calendar against an independent walk over every minute, against `croner`, and against the worked examples of the design.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use contract::calendar::{Calendar, CalendarError, Cron, Timing, Zones, offset};
use contract::duration::Seconds;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// Zones with odd rules first, then one or more for each usual rule of the world.
const ZONES: [&str; 36] = [
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Gaza",
    "Africa/Cairo",
    "America/Santiago",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Caracas",
    "America/Godthab",
    "Asia/Beirut",
    "Asia/Pyongyang",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Eucla",
    "Europe/Chisinau",
    "Europe/Istanbul",
    "Europe/Moscow",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Kiritimati",
    "Pacific/Norfolk",
    "Africa/Juba",
    "America/Los_Angeles",
    "UTC",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(expression: &str, zone: &str) -> Calendar {
    let timing = Timing::Cron {
        cron: Cron::parse(expression).unwrap(),
        zone: zone.to_owned(),
    };
    Calendar::new(timing, &Zones::bundled()).unwrap()
}

fn every(period: Seconds) -> Calendar {
    Calendar::new(Timing::Every { period }, &Zones::bundled()).unwrap()
}

fn told(calendar: &Calendar, from: &str, to: &str) -> Vec<String> {
    calendar
        .slots(at(from), at(to))
        .map(|slot| slot.to_string())
        .collect()
}

/// What an expression means, written down apart from the parser under test.
#[derive(Debug, Clone)]
struct Meaning {
    text: String,
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: BTreeSet<i8>,
    months: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    wildcard: bool,
    either: bool,
}

impl Meaning {
    fn names(&self, local: DateTime) -> bool {
        let day = self.days.contains(&local.day());
        let weekday = self
            .weekdays
            .contains(&local.weekday().to_sunday_zero_offset());
        local.second() == 0
            && self.minutes.contains(&local.minute())
            && self.hours.contains(&local.hour())
            && self.months.contains(&local.month())
            && if self.either {
                day || weekday
            } else {
                day && weekday
            }
    }

    /// Walks every minute of UTC and keeps the local times it has seen; slow and plain.
    fn slots(&self, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let minute = SignedDuration::from_mins(1);
        let mut now = from - SignedDuration::from_hours(48);
        let mut before = zone.to_datetime(now - minute);
        let mut seen = HashSet::new();
        let mut slots = BTreeSet::new();
        while now < to {
            let local = zone.to_datetime(now);
            let mut skipped = before + minute;
            while skipped < local {
                // These local times never were.
                if !self.wildcard && self.names(skipped) && seen.insert(skipped) {
                    slots.insert(now);
                }
                skipped += minute;
            }
            if self.names(local) && (seen.insert(local) || self.wildcard) {
                slots.insert(now);
            }
            before = local;
            now += minute;
        }
        slots.into_iter().filter(|slot| *slot >= from).collect()
    }
}

/// One field as text and as the set it stands for.
fn field(low: i8, high: i8, odds_of_star: u32) -> impl Strategy<Value = (String, BTreeSet<i8>)> {
    let single = (low..=high).prop_map(|n| (n.to_string(), BTreeSet::from([n])));
    let range = (low..=high, low..=high).prop_map(|(a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        (format!("{a}-{b}"), (a..=b).collect())
    });
    let stepped = (low..=high, low..=high, 1..=high).prop_map(|(a, b, step)| {
        let (a, b) = (a.min(b), a.max(b));
        (
            format!("{a}-{b}/{step}"),
            (a..=b).step_by(usize::try_from(step).unwrap()).collect(),
        )
    });
    let item = prop_oneof![single, range, stepped];
    let list = proptest::collection::vec(item, 1..4).prop_map(|items| {
        let texts: Vec<String> = items.iter().map(|(text, _)| text.clone()).collect();
        (
            texts.join(","),
            items.into_iter().flat_map(|(_, set)| set).collect(),
        )
    });
    let star = Just(("*".to_owned(), (low..=high).collect::<BTreeSet<i8>>()));
    let star_step = (1..=high.min(30)).prop_map(move |step| {
        (
            format!("*/{step}"),
            (low..=high)
                .step_by(usize::try_from(step).unwrap())
                .collect::<BTreeSet<i8>>(),
        )
    });
    prop_oneof![odds_of_star => star, 1 => star_step, 3 => list]
}

fn meaning() -> impl Strategy<Value = Meaning> {
    (
        field(0, 59, 1),
        field(0, 23, 2),
        field(1, 31, 6),
        field(1, 12, 8),
        field(0, 6, 6),
    )
        .prop_map(|(minute, hour, day, month, weekday)| Meaning {
            text: [&minute.0, &hour.0, &day.0, &month.0, &weekday.0]
                .map(String::as_str)
                .join(" "),
            wildcard: minute.0.starts_with('*') || hour.0.starts_with('*'),
            either: !day.0.starts_with('*') && !weekday.0.starts_with('*'),
            minutes: minute.1,
            hours: hour.1,
            days: day.1,
            months: month.1,
            weekdays: weekday.1,
        })
}

/// An interval of a few days around one of the zone's clock changes after 2004, or in 2026 where it has none.
fn around_a_change(zone: &TimeZone, which: usize) -> (Timestamp, Timestamp) {
    let changes: Vec<Timestamp> = zone
        .following(at("2004-01-01T00:00:00Z"))
        .take(60)
        .map(|change| change.timestamp())
        .collect();
    let middle = changes
        .get(which % changes.len().max(1))
        .copied()
        .unwrap_or(at("2026-03-29T01:00:00Z"));
    (
        middle - SignedDuration::from_hours(60),
        middle + SignedDuration::from_hours(60),
    )
}

/// Some expressions hit clock changes on purpose; they are walked through every zone, change by change.
#[test]
fn slots_equal_a_walk_over_every_minute_at_clock_changes() {
    let all = |low, high| (low..=high).collect::<BTreeSet<i8>>();
    let daily = |text: &str, minutes: &[i8], hours: &[i8], wildcard| Meaning {
        text: text.to_owned(),
        minutes: minutes.iter().copied().collect(),
        hours: hours.iter().copied().collect(),
        days: all(1, 31),
        months: all(1, 12),
        weekdays: all(0, 6),
        wildcard,
        either: false,
    };
    let every_hour: Vec<i8> = (0..24).collect();
    let odd_hours: Vec<i8> = (0..24).step_by(2).collect();
    let meanings = [
        daily("30 2 * * *", &[30], &[2], false),
        daily(
            "0,15,30,45 0-3 * * *",
            &[0, 15, 30, 45],
            &[0, 1, 2, 3],
            false,
        ),
        daily("30 2,14 * * *", &[30], &[2, 14], false),
        daily("0 0 * * *", &[0], &[0], false),
        daily("59 23 * * *", &[59], &[23], false),
        daily("0 */2 * * *", &[0], &odd_hours, true),
        daily("*/20 0-3 * * *", &[0, 20, 40], &[0, 1, 2, 3], true),
        daily("7 * * * *", &[7], &every_hour, true),
    ];
    let zones = Zones::bundled();
    let mut walked = 0;
    for name in ZONES {
        let zone = zones.get(name).unwrap();
        for which in 0..8 {
            let (from, to) = around_a_change(&zone, which);
            for meaning in &meanings {
                let found: Vec<Timestamp> = cron(&meaning.text, name).slots(from, to).collect();
                assert_eq!(
                    found,
                    meaning.slots(&zone, from, to),
                    "`{}` in {name} from {from}",
                    meaning.text
                );
                walked += found.len();
            }
        }
    }
    assert!(walked > 10_000, "the walk met only {walked} slots");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_equal_a_walk_over_every_minute(meaning in meaning(), zone in 0..ZONES.len(), which in 0..60_usize) {
        let name = ZONES[zone];
        let tz = Zones::bundled().get(name).unwrap();
        let (from, to) = around_a_change(&tz, which);
        let Ok(parsed) = Cron::parse(&meaning.text) else {
            // Only an expression without any date is refused.
            let none = !meaning.either && !meaning.months.iter().any(|month| {
                let last = match month { 2 => 29, 4 | 6 | 9 | 11 => 30, _ => 31 };
                meaning.days.iter().any(|day| *day <= last)
            });
            prop_assert!(none, "`{}` was refused", meaning.text);
            return Ok(());
        };
        let calendar = Calendar::new(Timing::Cron { cron: parsed, zone: name.to_owned() }, &Zones::bundled()).unwrap();
        let found: Vec<Timestamp> = calendar.slots(from, to).collect();
        let expected = meaning.slots(&tz, from, to);
        prop_assert_eq!(&found, &expected, "`{}` in {}", meaning.text, name);

        // The searches agree with the enumeration.
        let middle = from + SignedDuration::from_hours(61);
        let after = found.iter().find(|slot| **slot > middle);
        if let Some(after) = after {
            prop_assert_eq!(calendar.next_after(middle), Some(*after));
        }
        if let Some(before) = found.iter().rev().find(|slot| **slot <= middle) {
            prop_assert_eq!(calendar.slot_at_or_before(middle), Some(*before));
        } else if let Some(before) = calendar.slot_at_or_before(middle) {
            prop_assert!(before < from);
            prop_assert_eq!(calendar.next_after(before).filter(|next| *next < to), found.first().copied());
        }
    }

    #[test]
    fn slots_do_not_depend_on_where_the_interval_is_cut(meaning in meaning(), zone in 0..ZONES.len(), which in 0..60_usize, cut in 0..432_000_i64) {
        let name = ZONES[zone];
        let (from, to) = around_a_change(&Zones::bundled().get(name).unwrap(), which);
        let Ok(parsed) = Cron::parse(&meaning.text) else { return Ok(()) };
        let calendar = Calendar::new(Timing::Cron { cron: parsed, zone: name.to_owned() }, &Zones::bundled()).unwrap();
        let middle = from + SignedDuration::from_secs(cut);
        let whole: Vec<Timestamp> = calendar.slots(from, to).collect();
        let pieces: Vec<Timestamp> = calendar.slots(from, middle).chain(calendar.slots(middle, to)).collect();
        prop_assert!(whole.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(whole, pieces);
    }

    /// `croner` means the same where the time of day is one value, and where the hour or minute is a plain `*`;
    /// it differs on lists and on stepped day fields.
    #[test]
    fn slots_equal_croner_where_both_mean_the_same(
        minute in prop_oneof![3 => (0..60_u8).prop_map(|n| n.to_string()), 1 => Just("*/20".to_owned())],
        hour in 0..24_u8, day in field(1, 28, 4), weekday in field(0, 6, 4), zone in 0..ZONES.len(), which in 0..60_usize,
    ) {
        prop_assume!(!day.0.starts_with("*/") && !weekday.0.starts_with("*/"));
        let name = ZONES[zone];
        // The midnight gap of some zones moves the run to another day, and a gap of a day is longer than croner looks.
        prop_assume!(name != "Pacific/Apia");
        let wildcard = minute.starts_with('*');
        let hour = if wildcard { "*".to_owned() } else { hour.to_string() };
        let text = format!("{minute} {hour} {} * {}", day.0, weekday.0);
        let tz = Zones::bundled().get(name).unwrap();
        let (from, to) = around_a_change(&tz, which);
        let oracle: croner::Cron = text.parse().unwrap();
        let mut expected = BTreeSet::new();
        for slot in oracle.iter_from(from.to_zoned(tz.clone()), croner::Direction::Forward) {
            if slot.timestamp() >= to { break; }
            expected.insert(slot.timestamp());
        }
        let found: Vec<Timestamp> = cron(&text, name).slots(from, to).collect();
        let midnight_gap = found.iter().any(|slot| !expected.contains(slot)
            && tz.to_datetime(*slot).date() != tz.to_datetime(*slot - SignedDuration::from_secs(1)).date());
        prop_assume!(!midnight_gap);
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "`{}` in {}", text, name);
    }

    #[test]
    fn every_counts_from_the_epoch(period in 1..100_000_u64, start in -10_000_000..4_000_000_000_i64, misses in 0..4_u32) {
        let calendar = every(Seconds::new(period));
        let from = Timestamp::from_second(start).unwrap();
        let to = from + SignedDuration::from_secs(500_000);
        let slots: Vec<i64> = calendar.slots(from, to).take(50).map(Timestamp::as_second).collect();
        let step = i64::try_from(period).unwrap();
        let expected: Vec<i64> = (start..start + 500_000).filter(|second| second.rem_euclid(step) == 0).take(50).collect();
        prop_assert_eq!(&slots, &expected);
        let gaps = calendar.gaps(from, to, misses);
        prop_assert_eq!(gaps.slots, u64::try_from(calendar.slots(from, to).count()).unwrap());
        let enough = gaps.slots > u64::from(misses) + 1;
        prop_assert_eq!(gaps.widest.map(|gap| gap.length()), enough.then_some(Seconds::new(period * (u64::from(misses) + 1))));
        prop_assert_eq!(calendar.slot_at_or_before(from).unwrap().as_second(), start - start.rem_euclid(step));
        prop_assert!(calendar.next_after(from).unwrap() > from);
    }

    #[test]
    fn gaps_are_the_extremes_over_all_slots(meaning in meaning(), zone in 0..ZONES.len(), misses in 0..5_usize) {
        let Ok(parsed) = Cron::parse(&meaning.text) else { return Ok(()) };
        let timing = Timing::Cron { cron: parsed, zone: ZONES[zone].to_owned() };
        let calendar = Calendar::new(timing, &Zones::bundled()).unwrap();
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        let slots: Vec<i64> = calendar.slots(from, to).map(Timestamp::as_second).collect();
        let gaps = calendar.gaps(from, to, u32::try_from(misses).unwrap());
        let widest = slots.windows(misses + 2).map(|run| run[misses + 1] - run[0]).max();
        let narrowest = slots.windows(2).map(|run| run[1] - run[0]).min();
        prop_assert_eq!(gaps.widest.map(|gap| gap.length().signed()), widest);
        prop_assert_eq!(gaps.narrowest.map(|gap| gap.length().signed()), narrowest);
        prop_assert_eq!(gaps.slots, u64::try_from(slots.len()).unwrap());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[0-9*/,\\-a-zA-Z@#? é\t\n\u{0}]{0,40}") {
        match Cron::parse(&text) {
            Ok(cron) => prop_assert_eq!(Cron::parse(cron.as_str()).unwrap(), cron),
            Err(error) => {
                prop_assert!(text.get(error.offset..error.offset + error.len).is_some(), "{:?}", error);
                prop_assert!(!error.message.contains('\n') && !error.help.is_empty());
            }
        }
    }
}

/// BDR-F3.1: the worked examples of the design, to the second.
#[test]
fn a_fixed_expression_over_the_clock_changes_of_berlin() {
    let calendar = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        told(&calendar, "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"),
        [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z"
        ]
    );
    assert_eq!(
        told(&calendar, "2027-03-27T00:00:00Z", "2027-03-30T00:00:00Z"),
        [
            "2027-03-27T01:30:00Z",
            "2027-03-28T01:00:00Z",
            "2027-03-29T00:30:00Z"
        ]
    );
    assert_eq!(
        calendar.written(at("2026-10-25T00:30:00Z")),
        "2026-10-25T02:30:00+02:00"
    );
    let october = calendar.gaps(at("2026-10-24T00:00:00Z"), at("2026-10-27T00:00:00Z"), 1);
    assert_eq!(october.widest.unwrap().length(), Seconds::hours(49));
    let march = calendar.gaps(at("2027-03-27T00:00:00Z"), at("2027-03-30T00:00:00Z"), 1);
    assert_eq!(march.widest.unwrap().length(), Seconds::hours(47));
    let ordinary = calendar.gaps(at("2026-07-01T00:00:00Z"), at("2026-08-01T00:00:00Z"), 1);
    assert_eq!(ordinary.widest.unwrap().length(), Seconds::hours(48));
}

#[test]
fn a_wildcard_skips_what_the_clock_skips() {
    let calendar = cron("0 */2 * * *", "Europe/Berlin");
    assert_eq!(
        told(&calendar, "2027-03-27T23:00:00Z", "2027-03-28T04:00:00Z"),
        ["2027-03-27T23:00:00Z", "2027-03-28T02:00:00Z"]
    );
    let year = calendar.gaps(at("2026-11-01T00:00:00Z"), at("2027-10-01T00:00:00Z"), 0);
    let widest = year.widest.unwrap();
    assert_eq!(
        (widest.from, widest.to),
        (at("2027-03-27T23:00:00Z"), at("2027-03-28T02:00:00Z"))
    );
    // 02:00 runs twice in October.
    assert_eq!(
        told(&calendar, "2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z"),
        [
            "2026-10-24T22:00:00Z",
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T03:00:00Z"
        ]
    );
}

#[test]
fn equal_instants_are_one_slot() {
    // 02:00, 02:30 are skipped and 03:00 follows the gap: three local times, one instant.
    let calendar = cron("0,30 2,3 * * *", "Europe/Berlin");
    assert_eq!(
        told(&calendar, "2027-03-28T00:00:00Z", "2027-03-29T00:00:00Z"),
        ["2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"]
    );
}

#[test]
fn apia_lost_a_day() {
    let from = "2011-12-29T09:00:00Z";
    let to = "2012-01-01T00:00:00Z";
    // 30 December 2011 never was: its run happens at the first instant of the 31st, which has its own run at noon.
    assert_eq!(
        told(&cron("0 12 * * *", "Pacific/Apia"), from, to),
        [
            "2011-12-29T22:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-30T22:00:00Z",
            "2011-12-31T22:00:00Z"
        ]
    );
    assert_eq!(
        told(
            &cron("0 */12 * * *", "Pacific/Apia"),
            from,
            "2011-12-31T00:00:00Z"
        ),
        [
            "2011-12-29T10:00:00Z",
            "2011-12-29T22:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-30T22:00:00Z"
        ]
    );
}

#[test]
fn rare_expressions_are_found_in_both_directions() {
    // A 29 February that is a Sunday: 2004, 2032, 2060, 2088, then 2128.
    let calendar = cron("0 0 29 2 */7", "UTC");
    assert_eq!(
        calendar.next_after(at("2026-01-01T00:00:00Z")),
        Some(at("2032-02-29T00:00:00Z"))
    );
    assert_eq!(
        calendar.next_after(at("2088-03-01T00:00:00Z")),
        Some(at("2128-02-29T00:00:00Z"))
    );
    assert_eq!(
        calendar.slot_at_or_before(at("2128-02-28T00:00:00Z")),
        Some(at("2088-02-29T00:00:00Z"))
    );
}

#[test]
fn day_fields_follow_vixie() {
    let days = |expression: &str| -> Vec<String> {
        let calendar = cron(expression, "UTC");
        calendar
            .slots(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"))
            .map(|slot| slot.strftime("%d").to_string())
            .collect()
    };
    // Both restricted: either. 2026-11-13 is a Friday.
    assert_eq!(days("0 0 13 * fri"), ["06", "13", "20", "27"]);
    assert_eq!(days("0 0 14 * fri"), ["06", "13", "14", "20", "27"]);
    // A field that starts with `*` is unrestricted, so both must match.
    assert_eq!(days("0 0 */2 * fri"), ["13", "27"]);
    assert_eq!(days("0 0 1-8 * */7"), ["01", "08"]);
    assert_eq!(days("0 0 * * 7"), days("0 0 * * SUN"));
    assert_eq!(days("0 0 * * 5-7"), days("0 0 * * fri,sat,0"));
    assert_eq!(days("0 0 1-10/3 NOV-dec *"), ["01", "04", "07", "10"]);
}

#[test]
fn bad_expressions_are_refused_where_they_are_wrong() {
    let table: Vec<String> = [
        "",
        "* * * *",
        "0 30 2 * * *",
        "0 30 2 * * * 2027",
        "@daily",
        "@reboot",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "* * L * *",
        "* * 3L * *",
        "* * 15W * *",
        "* * LW * *",
        "* * * * 5#3",
        "* * * * 5L",
        "* * ? * *",
        "*/0 * * * *",
        "*/90 * * * *",
        "5/15 * * * *",
        "30-10 * * * *",
        "* * * * fri-sun",
        "* * * * sat-mon",
        "1,,2 * * * *",
        "1, * * * *",
        "* * * * monday",
        "* * * foo *",
        "1- * * * *",
        "*-5 * * * *",
        "** * * * *",
        "*/x * * * *",
        "+5 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "99999999999 * * * *",
        "* * *\n* *",
    ]
    .iter()
    .map(|text| match Cron::parse(text) {
        Ok(cron) => panic!("`{cron}` was read"),
        Err(error) => {
            format!(
                "{text:24} {}..{} {} | {}",
                error.offset,
                error.offset + error.len,
                error.message,
                error.help
            )
        }
    })
    .collect();
    insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("cron_refusals", table.join("\n"));
    });
}

#[test]
fn zones_are_exact_names_of_the_bundled_database() {
    let refused = |zone: &str| {
        let timing = Timing::Cron {
            cron: Cron::parse("0 0 * * *").unwrap(),
            zone: zone.to_owned(),
        };
        let error = Calendar::new(timing, &Zones::bundled()).unwrap_err();
        (error.to_string(), error.help())
    };
    assert_eq!(
        refused("europe/berlin"),
        (
            "there is no time zone `europe/berlin`".to_owned(),
            "did you mean `Europe/Berlin`?".to_owned()
        )
    );
    assert_eq!(refused("Berlin").1, "did you mean `Europe/Berlin`?");
    assert_eq!(
        refused("").1,
        "write an IANA name as in `Europe/Berlin`, or `UTC`"
    );
    assert_eq!(
        refused("/etc/localtime").1,
        "write an IANA name as in `Europe/Berlin`, or `UTC`"
    );
    assert!(Zones::version().starts_with("20"), "{}", Zones::version());
}

#[test]
fn a_period_of_zero_is_refused() {
    let zero = Calendar::new(
        Timing::Every {
            period: Seconds::ZERO,
        },
        &Zones::bundled(),
    );
    assert_eq!(zero.unwrap_err(), CalendarError::ZeroPeriod);
}

#[test]
fn continuous_has_no_slots() {
    let calendar = Calendar::new(
        Timing::Continuous {
            max_lag: Seconds::minutes(1),
        },
        &Zones::bundled(),
    )
    .unwrap();
    let (from, to) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    assert_eq!(calendar.slots(from, to).count(), 0);
    assert_eq!(
        (calendar.next_after(from), calendar.slot_at_or_before(from)),
        (None, None)
    );
    assert_eq!(calendar.gaps(from, to, 0).widest, None);
}

/// The digests were computed with `sha256sum`: the first 8 bytes of SHA-256 of the id, modulo the jitter.
#[test]
fn the_offset_of_a_plan_is_its_digest_modulo_the_jitter() {
    let expected = 0x2214_6138_9950_9629_u64;
    assert_eq!(
        offset("bp_core_policy_store", Seconds::minutes(10)),
        Seconds::new(expected % 600)
    );
    assert_eq!(
        offset("bp_core_policy_store", Seconds::MAX),
        Seconds::new(expected % Seconds::MAX.get())
    );
    assert_eq!(offset("bp_core_policy_store", Seconds::ZERO), Seconds::ZERO);
}

#[test]
fn fractions_of_a_second_do_not_move_slots() {
    let calendar = every(Seconds::minutes(1));
    assert_eq!(
        told(
            &calendar,
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:02:00.000000001Z"
        ),
        ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]
    );
    assert_eq!(
        calendar.slot_at_or_before(at("2026-01-01T00:00:59.9Z")),
        Some(at("2026-01-01T00:00:00Z"))
    );
    assert_eq!(
        calendar.slot_at_or_before(at("1969-12-31T23:59:59.5Z")),
        Some(at("1969-12-31T23:59:00Z"))
    );
    assert_eq!(
        calendar.next_after(at("1969-12-31T23:59:59.5Z")),
        Some(at("1970-01-01T00:00:00Z"))
    );
}

/// The machine's time-zone files are a lie here: `Europe/Berlin` is UTC in the folder that `TZDIR` names.
/// The child is this test binary; it prints what it sees, and shows that the lie is in force for those who ask the system.
#[test]
fn a_false_system_database_changes_nothing() {
    const CHILD: &str = "SEAWALL_TEST_PRINT_SLOTS";
    let calendar = cron("30 2 * * *", "Europe/Berlin");
    let slots = told(&calendar, "2026-10-24T00:00:00Z", "2027-04-01T00:00:00Z").join(" ");
    if std::env::var_os(CHILD).is_some() {
        let system = jiff::tz::TimeZoneDatabase::from_env()
            .get("Europe/Berlin")
            .unwrap();
        let summer = system.to_offset(at("2026-07-01T00:00:00Z"));
        println!("\nsystem offset {} slots {slots}", summer.seconds());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("Europe")).unwrap();
    std::fs::write(folder.path().join("Europe/Berlin"), utc_as_tzif()).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "calendar::a_false_system_database_changes_nothing",
            "--nocapture",
        ])
        .env("TZDIR", folder.path())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    // The workspace's build turns the system database on, so the lie must have struck.
    assert!(
        printed.contains(&format!("system offset 0 slots {slots}\n")),
        "{printed}"
    );
}

/// A time-zone file, version 1, with a single type of local time: offset 0, no daylight saving, named UTC.
fn utc_as_tzif() -> Vec<u8> {
    let mut file = b"TZif".to_vec();
    file.extend([0; 16]);
    for count in [0_u32, 0, 0, 0, 1, 4] {
        file.extend(count.to_be_bytes());
    }
    file.extend([0, 0, 0, 0, 0, 0]);
    file.extend(b"UTC\0");
    file
}

/// Twenty schedules with what they mean, each field as `low-high/step` or a list, written down apart from the parser. The third
/// of each says whether it is a wildcard, the fourth whether either day field suffices.
const TWENTY: [(&str, &str, [&str; 5], bool, bool); 20] = [
    (
        "30 2 * * *",
        "Europe/Berlin",
        ["30", "2", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "0 */2 * * *",
        "Europe/Berlin",
        ["0", "0-23/2", "1-31", "1-12", "0-6"],
        true,
        false,
    ),
    (
        "*/5 * * * *",
        "Europe/Berlin",
        ["0-59/5", "0-23", "1-31", "1-12", "0-6"],
        true,
        false,
    ),
    (
        "0 0-23/2 * * *",
        "Europe/Berlin",
        ["0", "0-23/2", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "30 2 * * *",
        "America/New_York",
        ["30", "2", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "30 1 * * *",
        "America/New_York",
        ["30", "1", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "0 2 * * 0",
        "America/New_York",
        ["0", "2", "1-31", "1-12", "0"],
        false,
        false,
    ),
    (
        "*/15 * * * *",
        "America/New_York",
        ["0-59/15", "0-23", "1-31", "1-12", "0-6"],
        true,
        false,
    ),
    (
        "15 2 * * *",
        "Australia/Lord_Howe",
        ["15", "2", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "45 1 * * *",
        "Australia/Lord_Howe",
        ["45", "1", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "*/30 * * * *",
        "Australia/Lord_Howe",
        ["0-59/30", "0-23", "1-31", "1-12", "0-6"],
        true,
        false,
    ),
    (
        "30 1 * * *",
        "Antarctica/Troll",
        ["30", "1", "1-31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "0 */3 * * *",
        "Antarctica/Troll",
        ["0", "0-23/3", "1-31", "1-12", "0-6"],
        true,
        false,
    ),
    (
        "30 2 * * 1-5",
        "Antarctica/Troll",
        ["30", "2", "1-31", "1-12", "1-5"],
        false,
        false,
    ),
    (
        "0 3 1 * *",
        "UTC",
        ["0", "3", "1", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "0 3 31 * *",
        "UTC",
        ["0", "3", "31", "1-12", "0-6"],
        false,
        false,
    ),
    (
        "0 4 1,15 * 1",
        "Europe/Berlin",
        ["0", "4", "1,15", "1-12", "1"],
        false,
        true,
    ),
    (
        "0 4 */2 * 1",
        "Europe/Berlin",
        ["0", "4", "1-31/2", "1-12", "1"],
        false,
        false,
    ),
    (
        "0 6 * 3,9 *",
        "America/Santiago",
        ["0", "6", "1-31", "3,9", "0-6"],
        false,
        false,
    ),
    (
        "0 0 * * 6",
        "Africa/Cairo",
        ["0", "0", "1-31", "1-12", "6"],
        false,
        false,
    ),
];

/// The numbers of `low-high/step` or of a list.
fn numbers(field: &str) -> BTreeSet<i8> {
    let (range, step) = field.split_once('/').unwrap_or((field, "1"));
    let Some((low, high)) = range.split_once('-') else {
        return range
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect();
    };
    let numbers = low.parse::<i8>().unwrap()..=high.parse().unwrap();
    numbers.step_by(step.parse().unwrap()).collect()
}

/// `docs/schedules.md`: the exact gaps of twenty schedules over a year with both clock changes, each proved by the walk over
/// every minute of that year.
#[test]
fn the_gaps_of_twenty_schedules_are_those_of_a_walk_over_every_minute() {
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2027-10-01T00:00:00Z"));
    let mut page = "\
# Exact gaps of twenty schedules

From 2026-10-01 to 2027-10-01 UTC, clock changes included. A test computes each slot of the year twice, by the calendar of the
proofs and by a walk over every minute of the year that shares no code with it, compares them, and writes this page. Where the
clock skips or repeats local times, a pattern whose minute or hour begins with `*` follows the clock, and any other runs once
for each of its days.

| schedule | zone | slots | smallest gap | largest gap | from | to |
|---|---|---|---|---|---|---|
"
    .to_owned();
    for (text, zone, [minutes, hours, days, months, weekdays], wildcard, either) in TWENTY {
        let meaning = Meaning {
            text: text.to_owned(),
            minutes: numbers(minutes),
            hours: numbers(hours),
            days: numbers(days),
            months: numbers(months),
            weekdays: numbers(weekdays),
            wildcard,
            either,
        };
        let calendar = cron(text, zone);
        let walked = meaning.slots(calendar.zone(), from, to);
        let slots: Vec<Timestamp> = calendar.slots(from, to).collect();
        assert_eq!(slots, walked, "{text} {zone}");
        let pairs = || walked.iter().zip(walked.iter().skip(1));
        let length = |(one, two): &(&Timestamp, &Timestamp)| two.as_second() - one.as_second();
        let widest = pairs()
            .max_by_key(|pair| (length(pair), std::cmp::Reverse(*pair.0)))
            .unwrap();
        let narrowest = pairs().min_by_key(length).unwrap();
        let gaps = calendar.gaps(from, to, 0);
        let (told, small) = (gaps.widest.unwrap(), gaps.narrowest.unwrap());
        assert_eq!(
            (told.from, told.to),
            (*widest.0, *widest.1),
            "{text} {zone}"
        );
        assert_eq!(small.length().signed(), length(&narrowest), "{text} {zone}");
        let human = |seconds: i64| Seconds::new(seconds.unsigned_abs()).human();
        let _ = writeln!(
            page,
            "| `{text}` | {zone} | {} | {} | {} | {} | {} |",
            walked.len(),
            human(length(&narrowest)),
            human(length(&widest)),
            calendar.written(*widest.0),
            calendar.written(*widest.1),
        );
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schedules.md");
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).is_ok_and(|stands| stands == page),
        "docs/schedules.md is not what the walk says; write it with: \
         SEAWALL_WRITE_DOCS=1 cargo nextest run --workspace --release -E 'test(gaps_of_twenty_schedules)'"
    );
}
