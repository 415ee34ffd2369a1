//! The store: one holder, all or nothing, and no slot or point twice.

use std::collections::{BTreeMap, BTreeSet};

use contract::id::PlanId;
use jiff::Timestamp;
use reconciler::domain::{
    Acknowledgement, BackupType, Change, DamagedObject, Deletion, LocationIdentity, Operation,
    OperationKind, Outcome, PartRead, PartReading, RefusedBundle, Run, RunStatus, SlotOutcome,
    SlotRecord, State, Verification,
};
use reconciler::store::{ReceiptLine, Store as _, StoreError};
use reconciler::world::store_sqlite::SqliteStore;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn bp() -> PlanId {
    "bp".parse().unwrap()
}

fn slot(first: i64, last: i64) -> Change {
    Change::SlotEnded(SlotRecord {
        plan_id: "bp".parse().unwrap(),
        first: at(first),
        last: at(last),
        count: 1,
        outcome: SlotOutcome::Missed,
        backup_id: None,
        why: None,
        ended_at: at(last),
    })
}

fn run(status: RunStatus, bytes: u64) -> Change {
    Change::RunEnded(Box::new(Run {
        backup_id: "bp.20261120T000000Z".parse().unwrap(),
        plan_id: "bp".parse().unwrap(),
        dataset_ids: BTreeSet::new(),
        slot: None,
        started_at: at(0),
        finished_at: at(1),
        consistent_at: None,
        backup_type: BackupType::Full,
        base: None,
        status,
        kid: "k".parse().unwrap(),
        snapshot_id: (status == RunStatus::Success).then(|| "ab".repeat(32)),
        storage_locations: BTreeMap::new(),
        checksums: BTreeMap::new(),
        verification: Verification::Pending,
        damaged_at: BTreeMap::new(),
        bytes,
        added_bytes: 0,
        policy_snapshot_hash: None,
        manifests: BTreeMap::new(),
        error: None,
        profiles: BTreeMap::new(),
        collapsed: BTreeMap::new(),
        clock_in_doubt: false,
        overran: false,
        leaving: None,
        before_restore: false,
    }))
}

fn line(position: u64, text: &str) -> ReceiptLine {
    ReceiptLine {
        position,
        line: text.to_owned(),
        at: at(5),
    }
}

fn scratch() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state/store.sqlite")).unwrap();
    (folder, store)
}

#[test]
fn a_second_holder_is_refused_and_a_reader_is_let_in() {
    let (folder, store) = scratch();
    store.commit(&[slot(1, 1)], &[line(0, "one")]).unwrap();
    let path = folder.path().join("state/store.sqlite");
    assert!(matches!(
        SqliteStore::open(&path),
        Err(StoreError::Locked { .. })
    ));
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.receipts(0, 9).unwrap(), ["one"]);
    assert!(reader.commit(&[slot(2, 2)], &[]).is_err());
    drop(store);
    let again = SqliteStore::open(&path).unwrap();
    assert_eq!((again.epoch(), again.slots(None).unwrap().len()), (2, 1));
}

#[test]
fn a_slot_ends_once_and_what_fails_leaves_nothing() {
    let (_folder, store) = scratch();
    store.commit(&[slot(10, 30)], &[]).unwrap();
    for (first, last) in [(10, 10), (20, 40), (30, 30), (5, 15)] {
        let refused = store.commit(
            &[run(RunStatus::Success, 1), slot(first, last)],
            &[line(0, "x")],
        );
        assert!(
            matches!(refused, Err(StoreError::SlotRecorded { .. })),
            "{first}"
        );
    }
    assert!(
        store.runs().unwrap().is_empty(),
        "the run of a failed commit is not there"
    );
    assert!(store.receipts(0, 9).unwrap().is_empty());
    store.commit(&[slot(31, 31)], &[line(0, "y")]).unwrap();
    assert_eq!(store.receipts(0, 9).unwrap(), ["y"]);
}

/// What a clock that was ahead missed is superseded by what came after it, even once time has come so far.
#[test]
fn what_a_clock_missed_that_was_ahead_stands_in_no_slots_way() {
    let (_folder, store) = scratch();
    let hour = |hour: i64| hour * 3_600;
    let ended = |first: i64, last: i64, outcome, ended_at: i64| {
        Change::SlotEnded(SlotRecord {
            plan_id: "bp".parse().unwrap(),
            first: at(hour(first)),
            last: at(hour(last)),
            count: u64::try_from(last - first + 1).unwrap(),
            outcome,
            backup_id: None,
            why: None,
            ended_at: at(ended_at),
        })
    };
    let (missed, failed) = (SlotOutcome::Missed, SlotOutcome::Failure);
    store
        .commit(&[ended(11, 16, missed, hour(16) + 1_800)], &[])
        .unwrap();
    // The clock is set back, the slot has its run, and the daemon is away until the time of the record.
    store
        .commit(&[ended(11, 11, failed, hour(11) + 60)], &[])
        .unwrap();
    let now = hour(16) + 2_400;
    let newest = store.last_slot(&bp(), at(now)).unwrap();
    assert_eq!(newest.unwrap().last, at(hour(11)));
    store.commit(&[ended(12, 16, missed, now)], &[]).unwrap();
    let again = store.commit(&[ended(16, 16, failed, now)], &[]);
    assert!(matches!(again, Err(StoreError::SlotRecorded { .. })));
}

#[test]
fn a_receipt_gets_the_next_place_or_none() {
    let (_folder, store) = scratch();
    store.commit(&[], &[line(0, "a"), line(1, "b")]).unwrap();
    for places in [[1, 2], [3, 4], [2, 2], [2, 4]] {
        let refused = store.commit(&[slot(1, 1)], &places.map(|place| line(place, "x")));
        assert!(
            matches!(refused, Err(StoreError::NotNext { size: 2 | 3, .. })),
            "{places:?}: {refused:?}"
        );
    }
    assert!(store.slots(None).unwrap().is_empty());
    store.commit(&[slot(1, 1)], &[line(2, "c")]).unwrap();
    assert_eq!(store.receipts(0, 9).unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_recovery_point_is_never_replaced_and_a_failed_run_is() {
    let (_folder, store) = scratch();
    store.commit(&[run(RunStatus::Failure, 1)], &[]).unwrap();
    store.commit(&[run(RunStatus::Success, 2)], &[]).unwrap();
    for status in [RunStatus::Success, RunStatus::Failure] {
        assert!(store.commit(&[run(status, 3)], &[]).is_err());
    }
    assert_eq!(store.runs().unwrap()[0].bytes, 2);
}

#[test]
fn an_intent_has_one_outcome_and_only_an_unknown_one_is_resolved() {
    let (_folder, store) = scratch();
    let started = Change::OperationBegun(Operation {
        operation_id: "backup.bp.1".to_owned(),
        kind: OperationKind::Backup,
        plan_id: "bp".parse().unwrap(),
        dataset_ids: BTreeSet::new(),
        backup_id: None,
        slot: None,
        backup_type: None,
        before_restore: false,
        restores: None,
        removes: BTreeSet::new(),
        kid: "k".parse().unwrap(),
        started_at: at(1),
        deadline: at(2),
        epoch: 1,
        state: State::Running,
        ended_at: None,
        error: None,
    });
    let ended = |outcome| Change::OperationEnded {
        operation_id: "backup.bp.1".to_owned(),
        outcome,
        error: None,
        at: at(3),
    };
    assert!(
        store.commit(&[ended(Outcome::Success)], &[]).is_err(),
        "no intent"
    );
    store.commit(std::slice::from_ref(&started), &[]).unwrap();
    // Refused with a code that ends nothing else: one operation that cannot be begun costs the others nothing.
    let again = store.commit(&[started], &[]).unwrap_err();
    assert!(
        matches!(again, StoreError::OperationKnown { .. }),
        "{again}"
    );
    assert_eq!(again.code(), contract::code::PRECONDITION_FAILED);
    store.commit(&[ended(Outcome::Unknown)], &[]).unwrap();
    store.commit(&[ended(Outcome::Success)], &[]).unwrap();
    assert!(
        store.commit(&[ended(Outcome::Failure)], &[]).is_err(),
        "a second outcome"
    );
}

/// What an operation is about to delete counts against the budget from its intent on; what it did not delete is given back.
#[test]
fn deletions_are_reserved_and_given_back() {
    let (_folder, store) = scratch();
    store.commit(&[run(RunStatus::Success, 1)], &[]).unwrap();
    let begun = |number: u32| {
        let point = |id: &str| id.parse().unwrap();
        Change::OperationBegun(Operation {
            operation_id: format!("prune.{number}"),
            kind: OperationKind::Prune,
            plan_id: "bp".parse().unwrap(),
            dataset_ids: BTreeSet::new(),
            backup_id: None,
            slot: None,
            backup_type: None,
            before_restore: false,
            restores: None,
            removes: BTreeSet::from([
                point("bp.20261120T000000Z"),
                point("bp.20261121T000000Z"),
                point("bp.20261122T000000Z"),
            ]),
            kid: "k".parse().unwrap(),
            started_at: at(i64::from(number)),
            deadline: at(100),
            epoch: 1,
            state: State::Running,
            ended_at: None,
            error: None,
        })
    };
    let ended = |number: u32, outcome| Change::OperationEnded {
        operation_id: format!("prune.{number}"),
        outcome,
        error: None,
        at: at(50),
    };
    store.commit(&[begun(10)], &[]).unwrap();
    assert_eq!(store.deletions_since(at(0)).unwrap(), 3);
    // Whoever does not know what went gives nothing back.
    store.commit(&[ended(10, Outcome::Unknown)], &[]).unwrap();
    assert_eq!(store.deletions_since(at(0)).unwrap(), 3);
    store.commit(&[ended(10, Outcome::Failure)], &[]).unwrap();
    assert_eq!(store.deletions_since(at(0)).unwrap(), 0);
    store.commit(&[begun(20)], &[]).unwrap();
    let removed = Change::PointRemoved(Deletion {
        backup_id: "bp.20261120T000000Z".parse().unwrap(),
        plan_id: "bp".parse().unwrap(),
        kid: "k".parse().unwrap(),
        snapshot_id: "ab".repeat(32),
        operation_id: "prune.20".to_owned(),
        at: at(40),
    });
    store
        .commit(&[ended(20, Outcome::Failure), removed], &[])
        .unwrap();
    assert_eq!(store.deletions_since(at(0)).unwrap(), 1);
    assert_eq!(store.deletions_since(at(41)).unwrap(), 0);
    assert!(store.points(None).unwrap().is_empty());
    let of = |kid: &str| {
        let (plan, kid) = ("bp".parse().unwrap(), kid.parse().unwrap());
        store.deleted_snapshots(&plan, &kid, 9).unwrap()
    };
    assert_eq!(of("k"), ["ab".repeat(32)]);
    assert!(of("other").is_empty());
}

#[test]
fn a_damaged_file_is_told_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    std::fs::write(&path, vec![7_u8; 8_192]).unwrap();
    let told = SqliteStore::open(&path).err();
    assert!(matches!(told, Some(StoreError::Damaged { .. })), "{told:?}");
}

fn part(part: u32, of: u32, second: i64, is_sound: bool) -> PartRead {
    PartRead {
        plan_id: "bp".parse().unwrap(),
        kid: "k".parse().unwrap(),
        location_id: "near".parse().unwrap(),
        part,
        of,
        at: at(second),
        is_sound,
        objects: 2,
        bytes: 3,
    }
}

#[test]
fn a_part_keeps_its_newest_check_and_damage_its_first_finding() {
    let (_folder, store) = scratch();
    let reads = [
        part(1, 2, 5, false),
        part(2, 2, 6, true),
        part(1, 2, 9, true),
    ];
    let reading = PartReading {
        plan_id: "bp".parse().unwrap(),
        kid: "k".parse().unwrap(),
        location_id: "near".parse().unwrap(),
        part: 1,
        of: 2,
        since: at(4),
        through: "ab".to_owned(),
        is_sound: true,
        objects: 1,
        bytes: 2,
    };
    let begun = Change::PartReading(reading.clone());
    store.commit(&[begun], &[]).unwrap();
    assert_eq!(store.parts_reading(&bp()).unwrap(), [reading]);
    let changes: Vec<Change> = reads.iter().cloned().map(Change::PartRead).collect();
    store.commit(&changes, &[]).unwrap();
    assert_eq!(
        store.parts_read(&bp()).unwrap(),
        [reads[2].clone(), reads[1].clone()]
    );
    let other = "bp_other".parse().unwrap();
    assert!(store.parts_read(&other).unwrap().is_empty());
    assert!(
        store.parts_reading(&bp()).unwrap().is_empty(),
        "it came to its end"
    );
    assert!(
        store
            .commit(&[Change::PartRead(part(3, 2, 9, true))], &[])
            .is_err()
    );

    let damaged = |second, why: &str| DamagedObject {
        plan_id: "bp".parse().unwrap(),
        kid: "k".parse().unwrap(),
        location_id: "near".parse().unwrap(),
        object: "data/ab".to_owned(),
        found_at: at(second),
        why: why.to_owned(),
    };
    let first = damaged(4, "rotten");
    let again = Change::ObjectDamaged(damaged(8, "still"));
    store
        .commit(&[Change::ObjectDamaged(first.clone()), again], &[])
        .unwrap();
    assert_eq!(
        store.damaged_objects(&bp()).unwrap(),
        std::slice::from_ref(&first)
    );
    assert!(store.damaged_objects(&other).unwrap().is_empty());
    let repaired = Change::ObjectRepaired {
        plan_id: first.plan_id,
        kid: first.kid,
        location_id: first.location_id,
        object: first.object,
    };
    store.commit(&[repaired], &[]).unwrap();
    assert!(store.damaged_objects(&bp()).unwrap().is_empty());
}

#[test]
fn identities_refusals_and_acknowledgements_are_remembered() {
    let (folder, store) = scratch();
    let identity = |identity: &str| LocationIdentity {
        location_id: "near".parse().unwrap(),
        identity: identity.to_owned(),
        first_seen: at(3),
    };
    let refused = |number: i64| RefusedBundle {
        payload: format!("p{number}"),
        judged_by: "root 1".to_owned(),
        at: at(number),
        failure: "{}".to_owned(),
    };
    let acknowledged = Acknowledgement {
        subject: "ds_a".to_owned(),
        kind: "source_collapse".to_owned(),
        at: at(7),
        actor: "anna".to_owned(),
        note: "moved".to_owned(),
    };
    let mut changes = vec![
        Change::LocationIdentity(identity("a")),
        Change::LocationIdentity(identity("b")),
        Change::Acknowledged(acknowledged.clone()),
    ];
    changes.extend((0..1_002).map(|number| Change::BundleJudged(refused(number))));
    store.commit(&changes, &[]).unwrap();
    drop(store);
    let path = folder.path().join("state/store.sqlite");
    let store = SqliteStore::open_read_only(&path).unwrap();
    let near: contract::id::LocationId = "near".parse().unwrap();
    assert_eq!(store.location_identities().unwrap()[&near], identity("b"));
    assert_eq!(store.acknowledgements().unwrap(), [acknowledged]);
    let found = |payload: &str, judged_by: &str| store.refused_bundle(payload, judged_by).unwrap();
    assert_eq!(found("p2", "root 1"), Some(refused(2)));
    assert_eq!(found("p2", "root 2"), None, "another judgement");
    assert_eq!(found("p1", "root 1"), None, "the oldest are forgotten");
}

/// The file was made by the program of version 1: one recovery point, one slot, two receipts.
#[test]
fn a_state_of_version_1_is_upgraded_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let dump = include_bytes!("store_version_1.sqlite");
    std::fs::write(&path, dump).unwrap();
    let refused = SqliteStore::open_read_only(&path);
    assert!(
        matches!(refused, Err(StoreError::Migration { .. })),
        "a reader changes nothing"
    );
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.receipts(0, 9).unwrap(), ["one", "two"]);
    assert_eq!(store.slots(None).unwrap().len(), 1);
    assert_eq!(store.runs().unwrap()[0].bytes, 2);
    assert_eq!(store.epoch(), 2);
    assert!(store.parts_read(&bp()).unwrap().is_empty());
    store
        .commit(&[Change::PartRead(part(1, 1, 1, true))], &[])
        .unwrap();
    drop(store);
    let again = SqliteStore::open(&path).unwrap();
    assert_eq!(again.parts_read(&bp()).unwrap().len(), 1);
}
