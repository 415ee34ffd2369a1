//! Retention: rules ORed, buckets in the schedule's zone, floors last. WS-4, P81-1.7, BDR-6.

use std::collections::BTreeSet;

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::model::Retention;
use contract::retention::{Decision, Forget, Keep, Point, Trust, Verdict, decide};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::kept::class;

fn point(at: Timestamp, trust: Trust) -> Point {
    let backup_id = format!("bp.{}", at.strftime("%Y%m%dT%H%M%SZ"))
        .parse()
        .unwrap();
    Point {
        backup_id,
        at,
        trust,
        base: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn verified(instants: &[&str]) -> Vec<Point> {
    instants
        .iter()
        .map(|text| point(at(text), Trust::Verified))
        .collect()
}

fn kept(decisions: &[Decision]) -> Vec<String> {
    let kept = decisions
        .iter()
        .filter(|decision| decision.verdict.is_kept());
    kept.map(|decision| decision.at.to_string()).collect()
}

fn reasons(decision: &Decision) -> BTreeSet<Keep> {
    match &decision.verdict {
        Verdict::Keep(reasons) => reasons.clone(),
        Verdict::Forget(_) => BTreeSet::new(),
    }
}

fn berlin() -> TimeZone {
    Zones::bundled().get("Europe/Berlin").unwrap()
}

#[test]
fn days_are_those_of_the_zone_and_the_newest_point_stands_for_each() {
    // 22:30Z is the next day in Berlin's summer.
    let points = verified(&[
        "2026-07-01T08:00:00Z",
        "2026-07-01T21:30:00Z",
        "2026-07-01T22:30:00Z",
        "2026-07-02T21:00:00Z",
        "2026-07-03T08:00:00Z",
    ]);
    let now = at("2026-07-03T09:00:00Z");
    let decisions = decide(&points, &class(0, [0, 2, 0, 0, 0]), &berlin(), now);
    assert_eq!(
        kept(&decisions),
        ["2026-07-02T21:00:00Z", "2026-07-03T08:00:00Z"]
    );
    let decisions = decide(&points, &class(0, [0, 3, 0, 0, 0]), &TimeZone::UTC, now);
    assert_eq!(
        kept(&decisions),
        [
            "2026-07-01T22:30:00Z",
            "2026-07-02T21:00:00Z",
            "2026-07-03T08:00:00Z"
        ]
    );
}

#[test]
fn a_repeated_hour_is_two_hours() {
    let points = verified(&[
        "2026-10-25T00:10:00Z",
        "2026-10-25T00:50:00Z",
        "2026-10-25T01:10:00Z",
        "2026-10-25T02:10:00Z",
    ]);
    let decisions = decide(
        &points,
        &class(0, [3, 0, 0, 0, 0]),
        &berlin(),
        at("2026-10-25T03:00:00Z"),
    );
    assert_eq!(
        kept(&decisions),
        [
            "2026-10-25T00:50:00Z",
            "2026-10-25T01:10:00Z",
            "2026-10-25T02:10:00Z"
        ]
    );
}

#[test]
fn weeks_begin_on_monday_and_cross_years() {
    // 2026-12-28 is a Monday; 2027-01-03 is the Sunday of the same week.
    let points = verified(&[
        "2026-12-27T12:00:00Z",
        "2026-12-28T12:00:00Z",
        "2027-01-03T12:00:00Z",
        "2027-01-04T12:00:00Z",
    ]);
    let decisions = decide(
        &points,
        &class(0, [0, 0, 9, 0, 0]),
        &TimeZone::UTC,
        at("2027-01-05T00:00:00Z"),
    );
    assert_eq!(
        kept(&decisions),
        [
            "2026-12-27T12:00:00Z",
            "2027-01-03T12:00:00Z",
            "2027-01-04T12:00:00Z"
        ]
    );
    let decisions = decide(
        &points,
        &class(0, [0, 0, 0, 0, 9]),
        &TimeZone::UTC,
        at("2027-01-05T00:00:00Z"),
    );
    assert_eq!(
        kept(&decisions),
        ["2026-12-28T12:00:00Z", "2027-01-04T12:00:00Z"]
    );
}

#[test]
fn floors_come_back_after_the_maximum_and_the_conflict_is_told() {
    let points = verified(&[
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "2026-01-03T00:00:00Z",
    ]);
    let mut policy = class(3, [0; 5]);
    policy.max_duration_s = Some(Seconds::days(10));
    policy.min_versions = 2;
    let decisions = decide(&points, &policy, &TimeZone::UTC, at("2026-06-01T00:00:00Z"));
    assert_eq!(decisions[0].verdict, Verdict::Forget(Forget::MaxDuration));
    assert_eq!(reasons(&decisions[1]), BTreeSet::from([Keep::MinVersions]));
    assert_eq!(decisions[1].conflict, Some(Keep::MinVersions));
    assert_eq!(
        reasons(&decisions[2]),
        BTreeSet::from([Keep::MinVersions, Keep::NewestVerified])
    );
    assert_eq!(decisions[0].conflict, None);
}

#[test]
fn ages_are_exact_at_their_bounds() {
    let points = verified(&["2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z"]);
    let forgets = |policy: &Retention, now: &str| {
        !decide(&points, policy, &TimeZone::UTC, at(now))[0]
            .verdict
            .is_kept()
    };
    let mut floor = class(0, [0; 5]);
    floor.min_duration_s = Seconds::days(30);
    assert!(!forgets(&floor, "2026-01-30T23:59:59Z"));
    assert!(forgets(&floor, "2026-01-31T00:00:00Z"));
    let mut limit = class(5, [0; 5]);
    limit.max_duration_s = Some(Seconds::days(30));
    assert!(!forgets(&limit, "2026-01-31T00:00:00Z"));
    assert!(forgets(&limit, "2026-01-31T00:00:01Z"));
}

#[test]
fn points_that_are_not_verified_do_not_push_good_ones_out() {
    let now = at("2026-01-09T00:00:00Z");
    let mut points = verified(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]);
    points.push(point(at("2026-01-01T12:00:00Z"), Trust::Suspect));
    points.push(point(at("2026-01-03T00:00:00Z"), Trust::Suspect));
    points.push(point(at("2026-01-04T00:00:00Z"), Trust::Unknown));
    points.push(point(at("2027-01-01T00:00:00Z"), Trust::Verified));
    let decisions = decide(&points, &class(1, [0; 5]), &TimeZone::UTC, now);
    let told: Vec<String> = decisions.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "forget `bp.20260101T000000Z`: no rule keeps it",
            "forget `bp.20260101T120000Z`: its check failed and a newer point is verified",
            "keep `bp.20260102T000000Z`: last, newest verified",
            "keep `bp.20260103T000000Z`: no newer verified point",
            "keep `bp.20260104T000000Z`: not known to be bad",
            "keep `bp.20270101T000000Z`: lies in the future",
        ]
    );
}

/// Points of these instants, each hanging on the one before but for the fulls.
fn chained(points: &[(&str, Trust, bool)]) -> Vec<Point> {
    let mut found: Vec<Point> = Vec::new();
    for (text, trust, is_full) in points {
        let before = found.last().map(|point| point.backup_id.clone());
        found.push(Point {
            base: before.filter(|_| !is_full),
            ..point(at(text), *trust)
        });
    }
    found
}

fn told(points: &[Point], class: &Retention, now: &str) -> Vec<String> {
    let decisions = decide(points, class, &TimeZone::UTC, at(now));
    decisions.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_kept_point_needs_stays_with_it() {
    let good = Trust::Verified;
    let points = chained(&[
        ("2026-01-01T00:00:00Z", good, true),
        ("2026-01-02T00:00:00Z", good, false),
        ("2026-01-03T00:00:00Z", good, true),
        ("2026-01-04T00:00:00Z", good, false),
        ("2026-01-05T00:00:00Z", good, false),
        ("2026-01-06T00:00:00Z", good, false),
    ]);
    assert_eq!(
        told(&points[..5], &class(1, [0; 5]), "2026-01-09T00:00:00Z"),
        [
            "forget `bp.20260101T000000Z`: no rule keeps it",
            "forget `bp.20260102T000000Z`: no rule keeps it",
            "keep `bp.20260103T000000Z`: kept points need it",
            "keep `bp.20260104T000000Z`: kept points need it",
            "keep `bp.20260105T000000Z`: last, newest verified",
        ]
    );
    // A maximum age does not break a chain either, and is no contradiction.
    let mut limited = class(1, [0; 5]);
    limited.max_duration_s = Some(Seconds::days(4));
    let decisions = decide(
        &points,
        &limited,
        &TimeZone::UTC,
        at("2026-01-09T00:00:00Z"),
    );
    assert_eq!(reasons(&decisions[2]), BTreeSet::from([Keep::Needed]));
    assert_eq!(decisions[2].conflict, None);
    // What is kept for itself as well says both.
    assert_eq!(
        reasons(
            &decide(
                &points,
                &class(2, [0; 5]),
                &TimeZone::UTC,
                at("2026-01-09T00:00:00Z")
            )[4]
        ),
        BTreeSet::from([Keep::Last, Keep::Needed])
    );
}

#[test]
fn a_point_counts_only_with_all_that_it_needs() {
    let good = Trust::Verified;
    let one = class(1, [0; 5]);
    let now = "2026-01-09T00:00:00Z";
    let chain = |of_full: Trust| {
        chained(&[
            ("2026-01-01T00:00:00Z", good, true),
            ("2026-01-02T00:00:00Z", of_full, true),
            ("2026-01-03T00:00:00Z", good, false),
        ])
    };
    // Its full failed a check: the older one is the newest that can be restored, and nothing better than the failed ones stands.
    assert_eq!(
        told(&chain(Trust::Suspect), &one, now),
        [
            "keep `bp.20260101T000000Z`: last, newest verified",
            "keep `bp.20260102T000000Z`: no newer verified point, kept points need it",
            "keep `bp.20260103T000000Z`: no newer verified point",
        ]
    );
    // Once a newer one stands both go.
    let mut newer = chain(Trust::Suspect);
    newer.push(point(at("2026-01-04T00:00:00Z"), good));
    let left: Vec<String> = told(&newer, &one, now);
    assert_eq!(
        left.iter()
            .filter(|line| line.starts_with("forget"))
            .count(),
        3,
        "{left:?}"
    );
    let stay = [
        "keep `bp.20260101T000000Z`: last, newest verified",
        "keep `bp.20260103T000000Z`: not known to be bad",
    ];
    assert_eq!(told(&chain(Trust::Unknown), &one, now)[0], stay[0]);
    // The full is not there at all.
    let mut missing = chain(good);
    missing.remove(1);
    assert_eq!(told(&missing, &one, now), stay);
    // Two points have its id: nobody knows which one it needs.
    let mut twice = chain(good);
    twice.push(twice[1].clone());
    assert_eq!(told(&twice, &one, now)[3], stay[1]);
    // It lies in the future.
    let mut future = chain(good);
    future[2].base = Some("bp.20270101T000000Z".parse().unwrap());
    future.push(point(at("2027-01-01T00:00:00Z"), good));
    assert_eq!(told(&future, &one, now)[2], stay[1]);
    // It hangs on itself, alone or with another.
    let mut circle = chain(good);
    circle[1].base = Some(circle[2].backup_id.clone());
    assert_eq!(told(&circle, &one, now)[0], stay[0]);
    circle[2].base = Some(circle[2].backup_id.clone());
    assert_eq!(told(&circle, &one, now)[0], stay[0]);
}

#[test]
fn a_chain_may_be_as_long_as_it_likes() {
    let from = at("2025-01-01T00:00:00Z");
    let mut points: Vec<Point> = Vec::new();
    for hour in 0..20_000 {
        let base = points.last().map(|point: &Point| point.backup_id.clone());
        points.push(Point {
            base,
            ..point(from + SignedDuration::from_hours(hour), Trust::Verified)
        });
    }
    points.reverse();
    let decisions = decide(
        &points,
        &class(1, [0; 5]),
        &TimeZone::UTC,
        at("2030-01-01T00:00:00Z"),
    );
    assert!(decisions.iter().all(|decision| decision.verdict.is_kept()));
}

fn trust() -> impl Strategy<Value = Trust> {
    prop_oneof![6 => Just(Trust::Verified), 1 => Just(Trust::Suspect), 1 => Just(Trust::Unknown)]
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    proptest::collection::btree_map(0..90_000_000_i64, trust(), 0..60).prop_map(|instants| {
        let from = at("2025-01-01T00:00:00Z");
        instants
            .into_iter()
            .map(|(second, trust)| point(from + SignedDuration::from_secs(second), trust))
            .collect()
    })
}

/// The same, each with any other, itself, one that is not there, or none for its base.
fn hanging() -> impl Strategy<Value = Vec<Point>> {
    let bases = proptest::collection::vec(proptest::option::of(0..70_usize), 60);
    (points(), bases).prop_map(|(mut points, bases)| {
        let ids: Vec<_> = points.iter().map(|point| point.backup_id.clone()).collect();
        for (place, (point, base)) in points.iter_mut().zip(bases).enumerate() {
            // Mostly one that is older, as honest data has it; some lead anywhere.
            let honest = |base: usize| !base.is_multiple_of(8) && place > 0;
            point.base = base.and_then(|base| {
                let of = if honest(base) { base % place } else { base };
                let missing = || (of > 65).then(|| "bp.20200101T000000Z".parse().unwrap());
                ids.get(of).cloned().or_else(missing)
            });
        }
        points
    })
}

/// A point and all that it needs, as far as that is there; the second says whether the chain ends with a point that stands alone.
fn chain<'a>(points: &'a [Point], of: &'a Point) -> (Vec<&'a Point>, bool) {
    let mut found = vec![of];
    while let Some(base) = &found[found.len() - 1].base {
        match points.iter().find(|point| point.backup_id == *base) {
            Some(next) if !found.contains(&next) => found.push(next),
            _ => return (found, false),
        }
    }
    (found, true)
}

fn policy() -> impl Strategy<Value = Retention> {
    let counts = proptest::array::uniform5(0..6_u32);
    (
        0..5_u32,
        counts,
        0..4_u32,
        0..100_u64,
        proptest::option::of(0..900_u64),
        0..50_u64,
    )
        .prop_map(
            |(last, counts, min_versions, min_days, max_days, immutable_days)| Retention {
                min_versions,
                min_duration_s: Seconds::days(min_days),
                max_duration_s: max_days.map(Seconds::days),
                immutable_for_s: Seconds::days(immutable_days),
                ..class(last, counts)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_verified_point_is_never_forgotten(points in points(), policy in policy(), now in 0..100_000_000_i64) {
        let now = at("2025-01-01T00:00:00Z") + SignedDuration::from_secs(now);
        let decisions = decide(&points, &policy, &berlin(), now);
        prop_assert_eq!(decisions.len(), points.len());
        let good: Vec<&Point> = points.iter().filter(|point| point.trust == Trust::Verified && point.at <= now).collect();
        let newest = good.iter().max_by_key(|point| point.at);
        for decision in &decisions {
            let point = points.iter().find(|point| point.backup_id == decision.backup_id).unwrap();
            if Some(&point) == newest || point.trust == Trust::Unknown || point.at > now {
                prop_assert!(decision.verdict.is_kept(), "{}", decision);
            }
            let age = now.duration_since(point.at).as_secs();
            if age < policy.min_duration_s.signed() || age < policy.immutable_for_s.signed() {
                prop_assert!(decision.verdict.is_kept(), "{}", decision);
            }
        }
        let kept = decisions.iter().filter(|decision| decision.verdict.is_kept());
        let kept_good = kept.filter(|decision| good.iter().any(|point| point.backup_id == decision.backup_id)).count();
        prop_assert!(kept_good >= good.len().min(usize::try_from(policy.min_versions).unwrap()));
    }

    #[test]
    fn a_more_generous_class_keeps_whatever_the_class_kept(points in points(), policy in policy(), which in 0..10_usize, now in 0..100_000_000_i64) {
        let now = at("2025-01-01T00:00:00Z") + SignedDuration::from_secs(now);
        let mut generous = policy.clone();
        match which {
            0 => generous.keep.last += 1,
            1 => generous.keep.hourly += 1,
            2 => generous.keep.daily += 1,
            3 => generous.keep.weekly += 1,
            4 => generous.keep.monthly += 1,
            5 => generous.keep.yearly += 1,
            6 => generous.min_versions += 1,
            7 => generous.min_duration_s = generous.min_duration_s.saturating_add(Seconds::days(7)),
            8 => generous.immutable_for_s = generous.immutable_for_s.saturating_add(Seconds::days(7)),
            _ => generous.max_duration_s = None,
        }
        let before: BTreeSet<String> = kept(&decide(&points, &policy, &berlin(), now)).into_iter().collect();
        let after: BTreeSet<String> = kept(&decide(&points, &generous, &berlin(), now)).into_iter().collect();
        prop_assert!(before.is_subset(&after));
    }

    /// Forgetting at once or bit by bit ends with the same points, as long as nothing is missing in between.
    #[test]
    fn deciding_again_on_what_was_kept_forgets_nothing(points in points(), policy in policy(), now in 0..100_000_000_i64) {
        let now = at("2025-01-01T00:00:00Z") + SignedDuration::from_secs(now);
        let decisions = decide(&points, &policy, &berlin(), now);
        let stays = |point: &&Point| decisions.iter().any(|d| d.backup_id == point.backup_id && d.verdict.is_kept());
        let left: Vec<Point> = points.iter().filter(stays).cloned().collect();
        prop_assert!(decide(&left, &policy, &berlin(), now).iter().all(|decision| decision.verdict.is_kept()));
    }

    /// Whatever is kept can be read as well as before, and what cannot be read pushes nothing out.
    #[test]
    fn the_whole_chain_of_what_is_kept_is_kept(points in hanging(), policy in policy(), now in 0..100_000_000_i64) {
        let now = at("2025-01-01T00:00:00Z") + SignedDuration::from_secs(now);
        let decisions = decide(&points, &policy, &berlin(), now);
        let verdict = |point: &Point| &decisions.iter().find(|one| one.backup_id == point.backup_id).unwrap().verdict;
        prop_assert_eq!(decisions.len(), points.len());
        let mut restorable = Vec::new();
        for point in &points {
            let (chain, is_whole) = chain(&points, point);
            if verdict(point).is_kept() {
                for needed in &chain {
                    prop_assert!(verdict(needed).is_kept(), "{} needs {}", point.backup_id, needed.backup_id);
                }
            }
            if is_whole && chain.iter().all(|one| one.trust == Trust::Verified && one.at <= now) {
                restorable.push(point);
            } else if !is_whole || chain.iter().any(|one| one.trust == Trust::Unknown || one.at > now) {
                prop_assert!(verdict(point).is_kept(), "unknown never deletes");
            }
        }
        // As many as the floor asks for can be restored, the newest of them always.
        let newest = restorable.iter().max_by_key(|point| point.at);
        prop_assert!(newest.is_none_or(|point| verdict(point).is_kept()));
        let kept = restorable.iter().filter(|point| verdict(point).is_kept()).count();
        prop_assert!(kept >= restorable.len().min(usize::try_from(policy.min_versions).unwrap()));
    }

    /// What is decided of chains is what is decided of points that stand alone, each as good as its chain, and what they need.
    #[test]
    fn bases_add_what_is_needed_and_nothing_else(points in hanging(), policy in policy(), now in 0..100_000_000_i64) {
        let now = at("2025-01-01T00:00:00Z") + SignedDuration::from_secs(now);
        let alone: Vec<Point> = points.iter().map(|point| {
            let (chain, is_whole) = chain(&points, point);
            let any = |trust| chain.iter().any(|one| one.trust == trust);
            let trust = if !is_whole || any(Trust::Unknown) || chain.iter().any(|one| one.at > now) {
                Trust::Unknown
            } else if any(Trust::Suspect) {
                Trust::Suspect
            } else {
                Trust::Verified
            };
            Point { base: None, trust, ..point.clone() }
        }).collect();
        let without = decide(&alone, &policy, &berlin(), now);
        let mut needed = BTreeSet::new();
        for decision in without.iter().filter(|one| one.verdict.is_kept()) {
            let point = points.iter().find(|point| point.backup_id == decision.backup_id).unwrap();
            let (chain, _) = chain(&points, point);
            needed.extend(chain.iter().filter_map(|one| one.base.as_ref()));
        }
        for (mut before, after) in without.into_iter().zip(decide(&points, &policy, &berlin(), now)) {
            if needed.contains(&before.backup_id) {
                let reasons = reasons(&before).into_iter().chain([Keep::Needed]).collect();
                before.verdict = Verdict::Keep(reasons);
            }
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn deciding_again_on_what_was_kept_of_chains_forgets_nothing(points in hanging(), policy in policy(), now in 0..100_000_000_i64) {
        let now = at("2025-01-01T00:00:00Z") + SignedDuration::from_secs(now);
        let decisions = decide(&points, &policy, &berlin(), now);
        let stays = |point: &&Point| decisions.iter().any(|d| d.backup_id == point.backup_id && d.verdict.is_kept());
        let left: Vec<Point> = points.iter().filter(stays).cloned().collect();
        prop_assert!(decide(&left, &policy, &berlin(), now).iter().all(|decision| decision.verdict.is_kept()));
    }
}
