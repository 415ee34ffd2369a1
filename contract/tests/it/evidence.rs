//! What receipts show: against histories written down by hand, and against a walk over every minute. BDR-F6.4, BDR-7, WS-3.

use std::collections::BTreeMap;

use contract::calendar::Zones;
use contract::code;
use contract::digest::Digest;
use contract::duration::Seconds;
use contract::evidence::{DatasetEvidence, Evidence, Stale};
use contract::id::{BackupId, DatasetId};
use contract::model::{Model, StorageProfile};
use contract::receipt::{
    Authority, DecisionType, ErrorNote, Ledger, Origin, Outcome, Phase, Receipt,
};
use contract::recovery::{LossCase, Recovery, Seen};
use contract::seal::PrivateKey;
use jiff::Timestamp;
use proptest::prelude::*;

use super::recovery::{corruption_scenario, model as policy, plan, schedule_every};

/// Minutes of the tests begin here.
const START: i64 = 1_790_000_000;

fn minute(number: i64) -> Timestamp {
    Timestamp::from_second(START + number * 60).unwrap()
}

fn minutes(number: u64) -> Seconds {
    Seconds::minutes(number)
}

/// One dataset in one plan; evidence counts for ten hours.
fn model() -> Model {
    let mut model = policy(plan(schedule_every(Seconds::hours(1)), 2, 1));
    let tier = model.settings.tiers.get_mut("tier1").unwrap();
    tier.staleness_limit_s = Seconds::hours(10);
    model
}

fn key() -> PrivateKey {
    PrivateKey::from_seed(Digest::of(b"reconciler").as_bytes())
}

fn origin(reconciler: &str) -> Origin {
    Origin {
        environment: "test".parse().unwrap(),
        reconciler_id: reconciler.parse().unwrap(),
    }
}

fn authority(reconciler: &str) -> Authority {
    Authority {
        origin: origin(reconciler),
        keys: vec![key().public()],
    }
}

/// `p3` as the id of a recovery point.
fn backup_id(point: &str) -> BackupId {
    let number: u32 = point.trim_start_matches('p').parse().unwrap();
    let id = format!("bp.20260101T0000{number:02}Z");
    id.parse().unwrap()
}

/// A log that is being written.
struct Log {
    ledger: Ledger,
    bytes: Vec<u8>,
    dataset: &'static str,
}

impl Log {
    fn of(reconciler: &str) -> Self {
        Self {
            ledger: Ledger::new(origin(reconciler)),
            bytes: Vec::new(),
            dataset: "ds",
        }
    }

    fn append(
        &mut self,
        (decision_type, phase, closes): (DecisionType, Phase, Option<Digest>),
        result: Option<Outcome>,
        at: i64,
        (point, details): (Option<&str>, &[(&str, String)]),
    ) -> Digest {
        let bad = result.filter(|result| *result != Outcome::Success);
        let drill = decision_type == DecisionType::Drill;
        let receipt = Receipt {
            log_index: 0,
            decision_type,
            phase,
            closes,
            operation_id: "op".into(),
            actor: "rec".into(),
            reconciler_id: self.ledger.checkpoint().origin.reconciler_id,
            environment: "test".parse().unwrap(),
            plane: None,
            plan_id: None,
            dataset_ids: vec![self.dataset.parse().unwrap()],
            backup_id: point.map(backup_id),
            restore_id: None,
            scenario_id: drill.then(|| "rot".parse().unwrap()),
            slots: None,
            result,
            bundle: None,
            policy_snapshot_hash: None,
            policy_version_ids: vec![],
            error: bad.map(|_| ErrorNote::new(code::CHECK_FAILED, "bad")),
            evidence: BTreeMap::new(),
            details: details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            created_at: minute(at),
        };
        let line = self.ledger.append(receipt, &key()).unwrap();
        self.bytes.extend(line.text.bytes().chain([b'\n']));
        line.leaf
    }

    /// An effect that began and ended.
    fn effect(
        &mut self,
        kind: DecisionType,
        (from, to): (i64, i64),
        result: Outcome,
        about: (Option<&str>, &[(&str, String)]),
    ) {
        let intent = self.append((kind, Phase::Intent, None), None, from, (about.0, &[]));
        self.append(
            (kind, Phase::Outcome, Some(intent)),
            Some(result),
            to,
            about,
        );
    }

    /// A backup of data as of `consistent`, and the first check of it.
    fn point(&mut self, id: &str, consistent: i64, checked: i64, result: Outcome) {
        let details = [("consistent_at", minute(consistent).to_string())];
        self.effect(
            DecisionType::Backup,
            (consistent, checked),
            Outcome::Success,
            (Some(id), &details),
        );
        self.check(id, checked, result);
    }

    fn check(&mut self, id: &str, at: i64, result: Outcome) {
        let kind = DecisionType::Verification;
        self.effect(kind, (at, at), result, (Some(id), &[]));
    }

    fn restore(&mut self, from: i64, to: i64, result: Outcome, bytes: u64) {
        let details = [("bytes", bytes.to_string()), ("location", "l1".to_owned())];
        let kind = DecisionType::Restore;
        self.effect(kind, (from, to), result, (None, &details));
    }

    fn note(&self) -> String {
        self.ledger.checkpoint().sign(&key())
    }

    fn shown(&self, at: i64) -> Evidence {
        let mut evidence = Evidence::new(minute(at));
        let authority = Authority {
            origin: self.ledger.checkpoint().origin,
            keys: vec![key().public()],
        };
        evidence
            .add(&self.bytes, self.note().as_bytes(), &authority)
            .unwrap();
        evidence
    }

    fn of_dataset(&self, at: i64) -> DatasetEvidence {
        self.shown(at).of(&model(), &ds()).unwrap()
    }
}

fn ds() -> DatasetId {
    "ds".parse().unwrap()
}

#[test]
fn a_point_counts_from_the_check_that_found_it_sound() {
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    log.point("p2", 60, 75, Outcome::Failure);
    log.point("p3", 120, 130, Outcome::Success);
    let shown = log.of_dataset(140);
    assert_eq!(shown.newest_point.unwrap().backup_id, backup_id("p3"));
    // Just before p3 was usable the newest data was that of p1.
    let loss = shown.largest_loss.unwrap();
    assert_eq!(loss.seconds, minutes(130));
    assert_eq!((loss.point, loss.failure_before), (minute(0), minute(130)));
    assert_eq!(shown.unsound.len(), 1);
    assert!(
        matches!(shown.stale.as_slice(), [Stale::Unsound { backup_id: id }] if *id == backup_id("p2"))
    );
    // A check that passes later ends it.
    log.check("p2", 135, Outcome::Success);
    assert_eq!(log.of_dataset(140).stale, []);
}

#[test]
fn a_fraction_of_a_second_never_makes_data_newer() {
    let mut log = Log::of("rec");
    let at = minute(0)
        .checked_add(jiff::SignedDuration::from_millis(999))
        .unwrap();
    let details = [("consistent_at", at.to_string())];
    let about = (Some("p1"), details.as_slice());
    log.effect(DecisionType::Backup, (0, 1), Outcome::Success, about);
    log.check("p1", 1, Outcome::Success);
    let point = log.of_dataset(2).newest_point.unwrap();
    assert_eq!(point.consistent_at, minute(0));
}

#[test]
fn a_point_that_was_never_checked_or_has_no_instant_does_not_count() {
    let mut log = Log::of("rec");
    let details = [("consistent_at", minute(0).to_string())];
    log.effect(
        DecisionType::Backup,
        (0, 5),
        Outcome::Success,
        (Some("p1"), &details),
    );
    let shown = log.of_dataset(10);
    assert_eq!(shown.newest_point, None);
    assert_eq!(shown.stale, [Stale::NoPoint]);
    // A check alone does not say as of when the data is.
    log.check("p2", 8, Outcome::Success);
    assert_eq!(log.of_dataset(10).stale, [Stale::NoPoint]);
    log.check("p1", 9, Outcome::Unknown);
    assert_eq!(log.of_dataset(10).newest_point, None);
}

#[test]
fn a_point_that_is_found_damaged_is_the_newest_no_more() {
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    log.point("p2", 60, 70, Outcome::Success);
    log.check("p2", 200, Outcome::Failure);
    let shown = log.of_dataset(200);
    assert_eq!(shown.newest_point.unwrap().backup_id, backup_id("p1"));
    assert_eq!(shown.largest_loss.unwrap().seconds, minutes(200));
}

/// A source that collapsed leaves a point in doubt; a restore in place answers that, whatever the id of the point.
#[test]
fn what_a_restore_in_place_replaced_is_judged_no_more() {
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    let doubted = [
        ("consistent_at", minute(60).to_string()),
        ("source_in_doubt", "it is another source".to_owned()),
    ];
    for kind in [DecisionType::Backup, DecisionType::Verification] {
        log.effect(kind, (60, 70), Outcome::Success, (Some("p2"), &doubted));
    }
    let stale = log.of_dataset(75).stale;
    assert!(
        matches!(stale.as_slice(), [Stale::Unsound { backup_id: id }] if *id == backup_id("p2")),
        "{stale:?}"
    );
    let before = [("point_before", backup_id("p2").to_string())];
    let restored = |log: &mut Log, result| {
        let kind = DecisionType::Restore;
        log.effect(kind, (80, 81), result, (Some("p1"), &before));
    };
    restored(&mut log, Outcome::Failure);
    assert!(!log.of_dataset(82).stale.is_empty());
    restored(&mut log, Outcome::Success);
    let shown = log.of_dataset(82);
    assert_eq!(shown.stale, []);
    assert_eq!(shown.newest_point.unwrap().backup_id, backup_id("p1"));
}

#[test]
fn evidence_ages() {
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    assert_eq!(log.of_dataset(10 + 600).stale, []);
    let stale = log.of_dataset(10 + 601).stale;
    let [Stale::Unchecked { seconds, limit_s }] = stale.as_slice() else {
        panic!("{stale:?}");
    };
    assert_eq!((*seconds, *limit_s), (minutes(601), minutes(600)));
    // What nobody knew then is not held against then.
    log.point("p2", 700, 710, Outcome::Failure);
    assert_eq!(log.of_dataset(600).stale, []);
    assert_eq!(
        log.shown(600)
            .log(&"rec".parse().unwrap())
            .unwrap()
            .receipts,
        4
    );
}

#[test]
fn a_restore_counts_as_the_test_of_one() {
    let mut tested = model();
    let tier = tested.settings.tiers.get_mut("tier1").unwrap();
    tier.restore_test_every_s = Some(minutes(100));
    let stale = |log: &Log, at| log.shown(at).of(&tested, &ds()).unwrap().stale;
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    assert_eq!(stale(&log, 110), []);
    let never = Stale::Unrestored {
        seconds: minutes(101),
        limit_s: minutes(100),
        ever: false,
    };
    assert_eq!(stale(&log, 111), [never]);
    log.restore(120, 130, Outcome::Success, 1);
    assert_eq!(stale(&log, 230), []);
    log.restore(200, 201, Outcome::Failure, 1);
    let long_ago = Stale::Unrestored {
        seconds: minutes(101),
        limit_s: minutes(100),
        ever: true,
    };
    assert_eq!(stale(&log, 231), [long_ago, Stale::RestoreFailed]);
}

#[test]
fn drills_are_counted_for_their_scenario() {
    let mut drilled = model();
    corruption_scenario(&mut drilled, Seconds::hours(1));
    let tier = drilled.settings.tiers.get_mut("tier1").unwrap();
    tier.drill_every_s = Some(minutes(100));
    let shown = |log: &Log, at| {
        let rot = "rot".parse().unwrap();
        log.shown(at).of_scenario(&drilled, &rot).unwrap()
    };
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    assert_eq!(shown(&log, 100).stale, []);
    assert_eq!(shown(&log, 101).stale.len(), 1);
    let kind = DecisionType::Drill;
    log.effect(kind, (100, 145), Outcome::Success, (None, &[]));
    let drill = shown(&log, 150);
    assert_eq!(drill.stale, []);
    assert_eq!(drill.drilled.unwrap().seconds, Some(minutes(45)));
    log.effect(kind, (200, 201), Outcome::Failure, (None, &[]));
    assert_eq!(shown(&log, 202).stale, [Stale::DrillFailed]);
}

#[test]
fn a_log_speaks_for_its_own_reconciler_alone() {
    let mut log = Log::of("other");
    log.point("p1", 0, 10, Outcome::Success);
    let evidence = log.shown(20);
    assert!(evidence.log(&"other".parse().unwrap()).is_some());
    assert_eq!(evidence.of(&model(), &ds()), None);
}

#[test]
fn a_renamed_dataset_keeps_its_receipts() {
    let mut log = Log::of("rec");
    log.dataset = "old_name";
    log.point("p1", 0, 10, Outcome::Success);
    log.restore(11, 12, Outcome::Success, 5);
    let mut renamed = model();
    assert_eq!(
        log.shown(20).of(&renamed, &ds()).unwrap().newest_point,
        None
    );
    let dataset = renamed.datasets.get_mut("ds").unwrap();
    dataset.formerly = Some("old_name".parse().unwrap());
    let shown = log.shown(20).of(&renamed, &ds()).unwrap();
    assert!(shown.newest_point.is_some() && shown.restored.is_some());
}

#[test]
fn nothing_is_taken_of_a_log_that_does_not_hold() {
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    let note = log.note();
    let mut altered = log.bytes.clone();
    *altered.last_mut().unwrap() = b' ';
    let half = log.bytes.len() / 2;
    let end = half
        + log.bytes[half..]
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap()
        + 1;
    let cut = &log.bytes[..end];
    for bytes in [altered.as_slice(), cut] {
        let mut evidence = Evidence::new(minute(20));
        let refused = evidence.add(bytes, note.as_bytes(), &authority("rec"));
        assert!(refused.is_err());
        assert_eq!(evidence, Evidence::new(minute(20)));
    }
    let mut evidence = Evidence::new(minute(20));
    let stranger = Authority {
        keys: vec![PrivateKey::from_seed(&[7; 32]).public()],
        ..authority("rec")
    };
    let refused = evidence.add(&log.bytes, note.as_bytes(), &stranger);
    assert_eq!(refused.unwrap_err().code(), code::CHECKPOINT_UNSIGNED);
    assert_eq!(evidence, Evidence::new(minute(20)));
}

/// A model whose dataset of 6,000 bytes is read at 100 bytes a second from `l1`, and at 10 from `l2`.
fn sized() -> Model {
    let mut model = model();
    for (id, rate) in [("l1", 100), ("l2", 10)] {
        let profile = StorageProfile {
            storage_id: id.parse().unwrap(),
            locations: [id.parse().unwrap()].into(),
            restore_throughput_bytes_per_second: rate,
            thaw_time_s: Seconds::ZERO,
        };
        model.settings.storage.insert(id.parse().unwrap(), profile);
        let location = model.settings.locations.get_mut(id).unwrap();
        location.bandwidth_bytes_per_second = 1_000;
    }
    let plan = model.plans.get_mut("bp").unwrap();
    plan.storage_profiles = ["l1".parse().unwrap(), "l2".parse().unwrap()].into();
    model.datasets.get_mut("ds").unwrap().sizing.size_bytes = 6_000;
    model
}

#[test]
fn the_time_that_reading_took_counts_before_what_settings_promise() {
    let time = |log: &Log, at: i64, case: &str| {
        let model = sized();
        let recovery = Recovery::new(&model, &Zones::bundled());
        let recovery = recovery.with(log.shown(at).measured(&model));
        let case: LossCase = case.parse().unwrap();
        let seconds = recovery.recovery_time(&ds(), &case).unwrap().get();
        (seconds, recovery.seen(&ds(), &case))
    };
    let mut log = Log::of("rec");
    log.point("p1", 0, 10, Outcome::Success);
    assert_eq!(time(&log, 20, "none"), (60, Seen::Nothing));
    // 3,000 bytes took five minutes; the other 3,000 take half of what all are promised to take.
    log.restore(20, 25, Outcome::Success, 3_000);
    assert_eq!(time(&log, 30, "none"), (300 + 30, Seen::Part));
    // Where that location is lost nobody measured.
    assert_eq!(time(&log, 30, "region:r1"), (600, Seen::Nothing));
    // More came back than the policy says that there is: that counts.
    log.restore(30, 35, Outcome::Success, 30_000);
    assert_eq!(time(&log, 40, "none"), (300, Seen::All));
    // What failed says nothing of how long it takes, and what is too old says nothing any more.
    log.restore(40, 41, Outcome::Failure, 30_000);
    assert_eq!(time(&log, 50, "none"), (300, Seen::All));
    assert_eq!(time(&log, 35 + 601, "none"), (60, Seen::Nothing));
}

/// One point, as `histories` makes it.
type Made = (i64, i64, bool, Option<(i64, bool)>);

/// Histories: for each point how long after the one before its data is, how long until it was checked, what the check said, and
/// what a second one said, if any.
fn histories() -> impl Strategy<Value = Vec<Made>> {
    let second = proptest::option::weighted(0.3, (0..40_i64, any::<bool>()));
    let point = (1..120_i64, 0..60_i64, proptest::bool::weighted(0.8), second);
    proptest::collection::vec(point, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The largest loss is what a walk over every minute finds, each as somebody would have seen it who had to recover then.
    #[test]
    fn the_largest_loss_is_that_of_a_walk(history in histories(), later in 0..400_i64) {
        let said = |sound| if sound { Outcome::Success } else { Outcome::Failure };
        let mut events = Vec::new();
        let mut at = 0;
        for (number, (gap, delay, sound, second)) in history.iter().enumerate() {
            at += gap;
            events.push((at + delay, number, at, *sound));
            if let Some((wait, sound)) = second {
                events.push((at + delay + wait, number, at, *sound));
            }
        }
        events.sort_unstable_by_key(|(checked, number, ..)| (*checked, *number));
        let mut log = Log::of("rec");
        let mut seen = Vec::new();
        for (checked, number, consistent, sound) in &events {
            let id = format!("p{number}");
            if seen.contains(number) {
                log.check(&id, *checked, said(*sound));
            } else {
                log.append(
                    (DecisionType::Backup, Phase::Intent, None),
                    None,
                    *checked,
                    (Some(&id), &[("consistent_at", minute(*consistent).to_string())]),
                );
                log.check(&id, *checked, said(*sound));
                seen.push(*number);
            }
        }
        let end = events.last().unwrap().0;
        let now = end + later;
        let mut largest = None;
        let from = (now - 600).max(0);
        for failure in from..=end {
            let known = |upto: &dyn Fn(i64) -> bool| {
                let checks = events.iter().filter(|event| upto(event.0));
                checks.fold(BTreeMap::new(), |mut known, (_, number, consistent, sound)| {
                    let entry = known.entry(*number).or_insert((*consistent, false, false));
                    entry.1 |= *sound;
                    entry.2 = *sound;
                    known
                })
            };
            // Just before the failure, what a check had found sound by then; at the end, what still is.
            let before = known(&|at| at < failure);
            let before = before.values().filter(|point| point.1).map(|point| point.0).max();
            let left = (failure == end).then(|| {
                let all = known(&|_| true);
                all.values().filter(|point| point.2).map(|point| point.0).max()
            });
            for point in [before, left.flatten()].into_iter().flatten() {
                largest = largest.max(Some(failure - point));
            }
        }
        let found = log.of_dataset(now).largest_loss.map(|loss| loss.seconds.get());
        prop_assert_eq!(found, largest.map(|minutes| u64::try_from(minutes * 60).unwrap()));
    }
}
