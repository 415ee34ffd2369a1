//! A clock that is wrong, in both directions: nothing is written off by it, what was written ahead of the time stands in no slot's
//! way, and a person's word about it is a receipt.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::code;
use contract::receipt::{
    Authority, CLOCK, CLOCK_CONFIRMED, CLOCK_IN_DOUBT, DecisionType, Origin, Outcome, Phase,
};
use jiff::{SignedDuration, Timestamp};
use reconciler::control::Daemon;
use reconciler::domain::{Change, Draft, SlotOutcome, SlotRecord};
use reconciler::doubt::{Clock, Witness, judge};
use reconciler::plan::{ActivePolicy, plan};
use reconciler::review::review;
use reconciler::store::Store as _;
use reconciler::world::cancel::Cancel;
use reconciler::world::receipts::ReceiptLog;
use reconciler::world::store_sqlite::SqliteStore;

use super::plans::{at, backup_of, daily, id, mine, run, usual};
use super::world::{World, key};

/// Receipts until the 20th, a bundle of the 19th that is fresh until the 30th, a daily plan, a tier whose evidence counts a week.
fn clock(active: &ActivePolicy, now: &str) -> Clock {
    let witness = Witness {
        newest_receipt: Some(at("2026-11-20T00:10:00Z")),
        issued_at: at("2026-11-19T00:00:00Z"),
        expires_at: at("2026-11-30T00:00:00Z"),
    };
    let plans: Vec<_> = active.model.plans.values().collect();
    judge(&active.model, &Zones::bundled(), &plans, &witness, at(now))
}

#[test]
fn policy_says_which_silence_is_plausible() {
    let daily = daily();
    let ahead = Clock::Ahead {
        vouched: at("2026-11-20T00:10:00Z"),
    };
    // A machine that was off for days asks nobody.
    assert_eq!(clock(&daily, "2026-11-20T00:09:00Z"), Clock::Plausible);
    assert_eq!(clock(&daily, "2026-11-26T00:00:00Z"), Clock::Plausible);
    // Evidence of more than a week ago is stale, and what comes after it is told by nobody.
    assert_eq!(clock(&daily, "2026-11-27T00:11:00Z"), ahead);
    assert_eq!(clock(&daily, "2036-11-20T00:00:00Z"), ahead);
    // Where evidence counts for years, the end of the bundle asks.
    let mut patient = daily.clone();
    for tier in patient.model.settings.tiers.values_mut() {
        tier.staleness_limit_s = serde_json::from_str("315360000").unwrap();
    }
    assert_eq!(clock(&patient, "2026-11-29T23:00:00Z"), Clock::Plausible);
    assert_eq!(clock(&patient, "2026-11-30T00:00:00Z"), ahead);
    // A plan that runs rarely is silent for as long.
    let mut rare = daily.clone();
    for plan in rare.model.plans.values_mut() {
        plan.backup_frequency.every_s = serde_json::from_str("8640000").unwrap();
    }
    assert_eq!(clock(&rare, "2026-12-20T00:00:00Z"), Clock::Plausible);
    assert_eq!(clock(&rare, "2027-12-20T00:00:00Z"), ahead);
    let behind = Clock::Behind {
        newest: at("2026-11-20T00:10:00Z"),
    };
    assert_eq!(clock(&daily, "2026-11-20T00:00:00Z"), behind);
}

/// A year ahead: one recovery point without a slot for each slot that passes, and no slot ends; the review says so too.
#[test]
fn while_the_clock_is_in_doubt_points_are_taken_and_nothing_is_written_off() {
    let (mut active, mut observed, planned) = usual();
    let now = at("2027-11-20T00:10:00Z");
    let sure = plan(&active, &observed, now);
    active.clock = Clock::Ahead {
        vouched: at("2026-11-20T00:10:00Z"),
    };
    let objections = review(&sure, &observed, &active, now);
    assert_eq!(objections.len(), 2, "{objections:?}");
    let mut doubting = plan(&active, &observed, now);
    let steps: Vec<_> = doubting.steps.iter().map(|it| it.step.kind()).collect();
    assert_eq!(steps.iter().filter(|kind| **kind == "backup").count(), 1);
    assert!(!steps.contains(&"record_missed"), "{doubting:?}");
    assert_eq!(review(&doubting, &observed, &active, now), []);
    let index = steps.iter().position(|kind| *kind == "backup").unwrap();
    let backup = backup_of(&mut doubting.steps[index]);
    assert_eq!(backup.slot, None);
    let mut taken = run(backup, now, true, true);
    taken.clock_in_doubt = true;
    mine(&mut observed).runs.push(taken.clone());
    let again = plan(&active, &observed, now);
    assert!(
        again.steps.iter().all(|it| it.step.kind() != "backup"),
        "{again:?}"
    );
    // The clock is right again: the slot of then runs as if nothing had been.
    active.clock = Clock::Plausible;
    let right = at("2026-11-20T00:10:00Z");
    let healed = plan(&active, &observed, right);
    assert_eq!(healed.steps[0].operation_id, planned.steps[0].operation_id);
    assert_eq!(review(&healed, &observed, &active, right), []);
    // And the point of the future is not the newest, not even when its time has come.
    for when in [right, at("2027-12-20T00:00:00Z")] {
        let newest = mine(&mut observed)
            .newest_point(when)
            .unwrap()
            .backup_id
            .clone();
        assert_ne!(newest, taken.backup_id);
    }
}

/// The clock tells whole seconds and points show fractions of them: a point of this second is the newest already.
#[test]
fn a_point_of_this_second_is_no_point_of_the_future() {
    let (active, mut observed, mut planned) = usual();
    let now = at("2026-11-20T00:10:00Z");
    let before = run(backup_of(&mut planned.steps[0]), now, true, true);
    let mut newer = before.clone();
    newer.backup_id = "bp_files.op-20261120T001000Z".parse().unwrap();
    newer.slot = None;
    for (shown, is_newest) in [
        ("2026-11-20T00:10:00.9Z", true),
        ("2026-11-20T00:10:01Z", false),
    ] {
        newer.consistent_at = Some(at(shown));
        mine(&mut observed).runs = vec![before.clone(), newer.clone()];
        let newest = mine(&mut observed).newest_point(now).unwrap();
        assert_eq!(newest.backup_id == newer.backup_id, is_newest, "{shown}");
    }
    drop(active);
}

fn record(first: &str, last: &str, ended_at: &str, outcome: SlotOutcome) -> Change {
    Change::SlotEnded(SlotRecord {
        plan_id: id(),
        first: at(first),
        last: at(last),
        count: 1 + u64::from(first != last),
        outcome,
        backup_id: None,
        why: None,
        ended_at: at(ended_at),
    })
}

/// A jump that policy finds plausible writes slots off; with the clock right again they do not count, and get their own records.
#[test]
fn a_slot_later_than_now_never_counts_as_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.sqlite")).unwrap();
    let ended = |now: &str| {
        let last = store.last_slot(&id(), at(now)).unwrap();
        last.map(|slot| (slot.first, slot.outcome))
    };
    let (missed, success) = (SlotOutcome::Missed, SlotOutcome::Success);
    let first = record(
        "2026-11-20T00:00:00Z",
        "2026-11-20T00:00:00Z",
        "2026-11-20T00:01:00Z",
        success,
    );
    let ahead = record(
        "2026-11-21T00:00:00Z",
        "2026-11-24T00:00:00Z",
        "2026-11-25T00:00:00Z",
        missed,
    );
    store.commit(&[first, ahead.clone()], &[]).unwrap();
    assert_eq!(
        ended("2026-11-25T00:00:00Z"),
        Some((at("2026-11-21T00:00:00Z"), missed))
    );
    assert_eq!(
        ended("2026-11-21T00:10:00Z"),
        Some((at("2026-11-20T00:00:00Z"), success))
    );
    // By the same clock no slot ends twice; by the right one it ends for the first time.
    store.commit(&[ahead], &[]).unwrap_err();
    let own = record(
        "2026-11-21T00:00:00Z",
        "2026-11-21T00:00:00Z",
        "2026-11-21T00:10:00Z",
        success,
    );
    store.commit(std::slice::from_ref(&own), &[]).unwrap();
    store.commit(&[own], &[]).unwrap_err();
    assert_eq!(
        ended("2026-11-21T00:11:00Z"),
        Some((at("2026-11-21T00:00:00Z"), success))
    );
}

/// Receipts of a clock in doubt move nothing, a confirmed clock is the newest instant whatever was before, and all is in the log.
#[test]
fn the_log_knows_what_its_clock_was_worth() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.sqlite")).unwrap();
    let open = || {
        let origin = Origin {
            environment: "dev".parse().unwrap(),
            reconciler_id: "rec".parse().unwrap(),
        };
        let keys = vec![key("rec").public()];
        ReceiptLog::open(&store, key("rec"), Authority { origin, keys }).unwrap()
    };
    let decision = |kind, details: &[(&str, &str)]| {
        let mut draft = Draft::new(kind, Phase::Decision, "one");
        draft.result = Some(Outcome::Success);
        draft.details = details
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>();
        draft
    };
    let mut log = open();
    let write = |log: &mut ReceiptLog, kind, details: &[(&str, &str)], when: &str| {
        log.commit(&store, &[], vec![decision(kind, details)], at(when))
            .unwrap();
        log.ledger().newest()
    };
    let suspension = DecisionType::Suspension;
    let right = Some(at("2026-11-20T00:00:00Z"));
    assert_eq!(
        write(&mut log, suspension, &[], "2026-11-20T00:00:00Z"),
        right
    );
    log.doubt_the_clock(true);
    assert_eq!(
        write(&mut log, suspension, &[], "2036-11-20T00:00:00Z"),
        right
    );
    log.doubt_the_clock(false);
    let future: Option<Timestamp> = Some(at("2027-11-20T00:00:00Z"));
    assert_eq!(
        write(&mut log, suspension, &[], "2027-11-20T00:00:00Z"),
        future
    );
    // Only the receipt of a confirmation brings it back.
    let confirmed = [(CLOCK, CLOCK_CONFIRMED)];
    assert_eq!(
        write(&mut log, suspension, &confirmed, "2026-11-21T00:00:00Z"),
        future
    );
    let back = Some(at("2026-11-21T00:00:00Z"));
    assert_eq!(
        write(
            &mut log,
            DecisionType::Adoption,
            &confirmed,
            "2026-11-21T00:00:00Z"
        ),
        back
    );
    drop(log);
    assert_eq!(open().ledger().newest(), back);
    let lines = store.receipts(0, u64::MAX).unwrap();
    assert_eq!(lines.len(), 5);
    assert!(CLOCK_IN_DOUBT != CLOCK_CONFIRMED);
}

/// Puts one receipt into the log of a world, by a clock of the test's choice.
fn write_receipt(world: &World, kind: DecisionType, detail: Option<(&str, &str)>, when: Timestamp) {
    let store = SqliteStore::open(&world.path("state/store.sqlite")).unwrap();
    let origin = Origin {
        environment: "dev".parse().unwrap(),
        reconciler_id: "rec".parse().unwrap(),
    };
    let keys = vec![key("rec").public()];
    let mut log = ReceiptLog::open(&store, key("rec"), Authority { origin, keys }).unwrap();
    let mut draft = Draft::new(kind, Phase::Decision, "by.a.test");
    draft.result = Some(Outcome::Success);
    draft.details = detail
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    log.commit(&store, &[], vec![draft], when).unwrap();
}

fn days_from_now(days: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_add(SignedDuration::from_hours(24 * days))
        .unwrap()
}

fn confirmations(world: &World) -> usize {
    let receipts = world.json(0, &["receipts"]);
    let all = receipts.as_array().unwrap().iter();
    all.filter(|it| it["details"]["confirmed_at"].is_string())
        .count()
}

/// More than a year after everything that is signed: red, points are taken and say so, no slot ends, and a person's word ends it.
#[test]
fn a_jump_ahead_is_asked_about() {
    let mut world = World::new();
    world.age = SignedDuration::from_hours(24 * 400);
    world.publish();
    world.json(0, &["once"]);
    assert_eq!(world.json(0, &["clock"])["judgement"], "plausible");
    let then = days_from_now(-399);
    write_receipt(
        &world,
        DecisionType::Adoption,
        Some((CLOCK, CLOCK_CONFIRMED)),
        then,
    );

    assert_eq!(world.json(0, &["clock"])["judgement"], "ahead");
    let wrong = code::CLOCK_WRONG.to_string();
    let status = world.json(1, &["status"]);
    assert_eq!(status["overall"][0]["code"], wrong, "{status}");
    let slots = world.json(0, &["slots"]);
    world.json(1, &["once"]);
    world.expect(0, &["backup", "bp_files"]);
    assert_eq!(world.json(0, &["slots"]), slots, "no slot ended meanwhile");
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[1]["clock_in_doubt"], true, "{catalog}");
    let receipts = world.json(0, &["receipts"]);
    let last = receipts.as_array().unwrap().last().unwrap();
    assert_eq!(last["details"][CLOCK], CLOCK_IN_DOUBT, "{last}");
    assert_eq!(
        world.json(0, &["clock"])["judgement"],
        "ahead",
        "by no word but a person's"
    );

    world.expect(0, &["clock", "confirm"]);
    assert_eq!(world.json(0, &["status"])["light"], "green");
    assert_eq!(confirmations(&world), 1);
    world.expect(0, &["clock", "confirm"]);
    assert_eq!(confirmations(&world), 1, "there was nothing to confirm");
    world.expect(0, &["receipts", "verify"]);
}

/// A bundle that was signed a moment ago vouches for the time: nobody is asked.
#[test]
fn a_fresh_bundle_vouches_for_the_time() {
    let mut world = World::new();
    world.age = SignedDuration::from_hours(24 * 400);
    world.publish();
    world.json(0, &["once"]);
    let then = days_from_now(-399);
    write_receipt(
        &world,
        DecisionType::Adoption,
        Some((CLOCK, CLOCK_CONFIRMED)),
        then,
    );
    world.json(1, &["status"]);
    world.age = SignedDuration::ZERO;
    world.publish();
    world.json(0, &["once"]);
    assert_eq!(world.json(0, &["clock"])["judgement"], "plausible");
}

/// A month before the newest receipt: red until a person confirms it, and work goes on.
#[test]
fn a_jump_back_is_asked_about() {
    let world = World::new();
    world.json(0, &["once"]);
    write_receipt(&world, DecisionType::Suspension, None, days_from_now(30));
    let status = world.json(1, &["status"]);
    assert_eq!(
        status["overall"][0]["code"],
        code::CLOCK_WRONG.to_string(),
        "{status}"
    );
    world.expect(0, &["backup", "bp_files"]);
    world.expect(0, &["clock", "confirm"]);
    assert_eq!(world.json(0, &["status"])["light"], "green");
    assert_eq!(confirmations(&world), 1);
    world.json(0, &["once"]);
}

/// Operations are named after their instants: none is given twice, however many ask in the same second.
#[test]
fn whoever_asks_at_the_same_time_gets_an_instant_of_their_own() {
    let world = World::new();
    let path = world.path("seawalld.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let config = reconciler::config::parse(&text, &path).unwrap();
    let daemon = Daemon::open(config, Cancel::new()).unwrap();
    let given: BTreeSet<Timestamp> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| daemon.fresh_now().unwrap()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(given.len(), 4, "{given:?}");
}
