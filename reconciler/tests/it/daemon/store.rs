//! The store: one holder, all or nothing, and no slot or point twice.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use reconciler::observed::SlotOutcome;
use reconciler::store::{
    BackupType, Change, Execution, ExecutionKind, Outcome, ReceiptLine, Run, RunStatus, SlotRecord,
    Store as _, StoreError, Verification,
};
use reconciler::world::store_sqlite::SqliteStore;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
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
        bytes,
        added_bytes: 0,
        policy_snapshot_hash: None,
        manifests: BTreeMap::new(),
        error: None,
    }))
}

fn line(text: &str) -> ReceiptLine {
    ReceiptLine {
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
    store.commit(&[slot(1, 1)], &[line("one")]).unwrap();
    let path = folder.path().join("state/store.sqlite");
    assert!(matches!(
        SqliteStore::open(&path),
        Err(StoreError::Locked { .. })
    ));
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.receipts().unwrap(), ["one"]);
    assert!(reader.commit(&[slot(2, 2)], &[]).is_err());
    drop(store);
    let again = SqliteStore::open(&path).unwrap();
    assert_eq!((again.epoch(), again.slots(None).unwrap().len()), (2, 1));
}

#[test]
fn a_slot_ends_once_and_what_fails_leaves_nothing() {
    let (_folder, store) = scratch();
    store.commit(&[slot(10, 30)], &[]).unwrap();
    for (first, last) in [(10, 10), (20, 40), (30, 30), (5, 5)] {
        let refused = store.commit(
            &[run(RunStatus::Success, 1), slot(first, last)],
            &[line("x")],
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
    assert_eq!(store.receipts_end().unwrap(), (0, None));
    store.commit(&[slot(31, 31)], &[line("y")]).unwrap();
    assert_eq!(store.receipts_end().unwrap(), (1, Some(at(5))));
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
    let started = Change::ExecutionStarted(Execution {
        operation_id: "backup.bp.1".to_owned(),
        kind: ExecutionKind::Backup,
        plan_id: "bp".parse().unwrap(),
        backup_id: None,
        slot: None,
        backup_type: None,
        restores: None,
        kid: "k".parse().unwrap(),
        started_at: at(1),
        deadline: at(2),
        epoch: 1,
        outcome: None,
        ended_at: None,
        error: None,
    });
    let ended = |outcome| Change::ExecutionEnded {
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
    assert!(
        store.commit(&[started], &[]).is_err(),
        "the same intent again"
    );
    store.commit(&[ended(Outcome::Unknown)], &[]).unwrap();
    store.commit(&[ended(Outcome::Success)], &[]).unwrap();
    assert!(
        store.commit(&[ended(Outcome::Failure)], &[]).is_err(),
        "a second outcome"
    );
}

#[test]
fn a_damaged_file_is_told_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    std::fs::write(&path, vec![7_u8; 8_192]).unwrap();
    let told = SqliteStore::open(&path).err();
    assert!(matches!(told, Some(StoreError::Damaged { .. })), "{told:?}");
}
