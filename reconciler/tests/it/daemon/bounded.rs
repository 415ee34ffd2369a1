//! What a long history does not cost: a start reads the newest receipts, copies of the log are appended to, and the questions of
//! a round are answered by indexes, with the answers that reading everything would give.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use contract::code;
use contract::digest::Digest;
use contract::id::{BackupId, PlanId};
use contract::receipt::{Authority, DecisionType, Origin, Outcome, Phase};
use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use proptest::prelude::*;
use reconciler::domain::Outcome as Ended;
use reconciler::domain::{
    BackupType, Change, Draft, Operation, OperationKind, Restores, Run, RunStatus, SlotOutcome,
    SlotRecord, State, Verification,
};
use reconciler::plan::backup_id;
use reconciler::store::Store as _;
use reconciler::world::receipts::{LogError, ReceiptLog};
use reconciler::world::store_sqlite::SqliteStore;

use super::service::Service;
use super::world::{World, key};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn authority() -> Authority {
    Authority {
        origin: Origin {
            environment: "dev".parse().unwrap(),
            reconciler_id: "rec".parse().unwrap(),
        },
        keys: vec![key("rec").public()],
    }
}

fn reopened(path: &Path) -> Result<ReceiptLog, LogError> {
    let store = SqliteStore::open(path).unwrap();
    ReceiptLog::open(&store, key("rec"), authority())
}

/// Changes a row behind the daemon's back.
fn alter(path: &Path, sql: &str) {
    // The last one to use it may not have closed it yet.
    let waits = ["-cmd", ".timeout 10000"];
    let done = Command::new("sqlite3")
        .args(waits)
        .arg(path)
        .arg(sql)
        .status();
    assert!(done.unwrap().success(), "{sql}");
}

/// Writes so many decisions into the log, and gives its root.
fn decide(store: &SqliteStore, count: i64) -> Digest {
    let mut log = ReceiptLog::open(store, key("rec"), authority()).unwrap();
    for number in 0..count {
        let mut draft = Draft::new(DecisionType::Suspension, Phase::Decision, "one");
        draft.result = Some(Outcome::Success);
        log.commit(store, &[], vec![draft], at(number)).unwrap();
    }
    log.ledger().root()
}

const ALTERED: &str = "UPDATE receipts SET line = replace(line, 'e', 'f') WHERE position = ";

#[test]
fn a_start_reads_only_the_newest_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let root = decide(&SqliteStore::open(&path).unwrap(), 300);
    assert_eq!(reopened(&path).unwrap().ledger().root(), root);
    // What lies before the newest signed state is not read; what comes after it is.
    alter(&path, &format!("{ALTERED} 3"));
    let log = reopened(&path).unwrap();
    assert_eq!((log.ledger().size(), log.ledger().root()), (300, root));
    let of_a_person = log.ledger().frontier().seal(&key("olga")).unwrap();
    drop(log);
    let kept = folder.path().join("kept");
    fs::copy(&path, &kept).unwrap();
    alter(&path, &format!("{ALTERED} 299"));
    let told = reopened(&path).unwrap_err();
    assert!(matches!(told, LogError::Line { line: 300, .. }), "{told}");
    // A state that nobody signed, or that somebody else did, is worth nothing: every line is read again.
    for (instead, line) in [("{}", 4), (of_a_person.as_str(), 4)] {
        fs::copy(&kept, &path).unwrap();
        alter(&path, &format!("UPDATE frontier SET sealed = '{instead}'"));
        let told = reopened(&path).unwrap_err();
        assert!(
            matches!(told, LogError::Line { line: found, .. } if found == line),
            "{told}"
        );
    }
    // An end that was cut off behind a signed state is no state to go on from.
    fs::copy(&kept, &path).unwrap();
    alter(&path, "DELETE FROM receipts WHERE position >= 200");
    let told = reopened(&path).unwrap_err();
    assert_eq!(told.code(), code::LOG_TRUNCATED, "{told}");
}

fn copy_of(world: &World, location: &str) -> std::path::PathBuf {
    world.path(&format!("{location}/dev/receipts/rec"))
}

/// Takes a backup, and sees that each copy is the log as it is exported.
fn backed_up(world: &World) -> Vec<u8> {
    world.json(0, &["backup", "bp_files"]);
    let out = world.path("exported");
    world.expect(0, &["receipts", "export", "--out", out.to_str().unwrap()]);
    let log = fs::read(out.join("receipts.jsonl")).unwrap();
    for location in ["loc_a", "loc_b"] {
        let copy = copy_of(world, location);
        assert!(
            fs::read(copy.join("receipts.jsonl")).unwrap() == log,
            "{location}"
        );
        world.json(0, &["receipts", "verify", "--dir", copy.to_str().unwrap()]);
    }
    log
}

fn inode(world: &World, location: &str) -> u64 {
    fs::metadata(copy_of(world, location).join("receipts.jsonl"))
        .unwrap()
        .ino()
}

#[test]
fn a_copy_of_the_receipts_is_appended_to() {
    let world = World::new();
    world.json(0, &["once"]);
    backed_up(&world);
    let before = (inode(&world, "loc_a"), inode(&world, "loc_b"));
    backed_up(&world);
    // One location misses a round, and gets more than the other afterwards.
    fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    world.run(&["backup", "bp_files"]);
    fs::rename(world.path("away"), world.path("loc_b")).unwrap();
    backed_up(&world);
    assert_eq!((inode(&world, "loc_a"), inode(&world, "loc_b")), before);
}

#[test]
fn a_copy_that_somebody_else_wrote_to_is_written_anew() {
    let world = World::new();
    world.json(0, &["once"]);
    let log = backed_up(&world);
    let file = copy_of(&world, "loc_b").join("receipts.jsonl");
    let victim = world.path("precious");
    type Deed<'d> = Box<dyn Fn() + 'd>;
    let deeds: [(&str, Deed<'_>); 5] = [
        (
            "a byte changed",
            Box::new(|| {
                let mut bytes = fs::read(&file).unwrap();
                bytes[40] ^= 1;
                fs::write(&file, bytes).unwrap();
            }),
        ),
        (
            "half a line appended",
            Box::new(|| {
                let mut end = fs::OpenOptions::new().append(true).open(&file).unwrap();
                end.write_all(b"{\"half").unwrap();
            }),
        ),
        (
            "cut",
            Box::new(|| fs::write(&file, &log[..log.len() / 2]).unwrap()),
        ),
        ("removed", Box::new(|| fs::remove_file(&file).unwrap())),
        (
            "another name of a file of root",
            Box::new(|| {
                fs::write(&victim, "root's").unwrap();
                fs::remove_file(&file).unwrap();
                fs::hard_link(&victim, &file).unwrap();
            }),
        ),
    ];
    for (deed, commit) in deeds {
        commit();
        let copied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| backed_up(&world)));
        assert!(copied.is_ok(), "{deed}");
    }
    assert_eq!(fs::read(&victim).unwrap(), b"root's");
}

/// A log that was altered in the store replaces no good copy.
#[test]
fn an_altered_log_is_never_copied() {
    let world = World::new();
    world.json(0, &["once"]);
    // Long enough that a start does not read what is altered.
    let store = SqliteStore::open(&world.path("state/store.sqlite")).unwrap();
    decide(&store, 150);
    drop(store);
    backed_up(&world);
    let copies: Vec<Vec<u8>> = ["loc_a", "loc_b"]
        .map(|location| fs::read(copy_of(&world, location).join("receipts.jsonl")).unwrap())
        .into();
    let appended = copy_of(&world, "loc_b").join("receipts.jsonl");
    fs::OpenOptions::new()
        .append(true)
        .open(&appended)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    let damaged = fs::read(&appended).unwrap();
    alter(&world.path("state/store.sqlite"), &format!("{ALTERED} 3"));
    let round = world.json(0, &["once"]);
    assert_eq!(
        round["copy_failures"].as_array().map(Vec::len),
        Some(0),
        "{round}"
    );
    world.run(&["backup", "bp_files"]);
    let said = world.refused(3, &["receipts", "verify"]);
    assert!(said.contains("SW17"), "{said}");
    let out = world.path("exported");
    world.refused(3, &["receipts", "export", "--out", out.to_str().unwrap()]);
    let now = fs::read(copy_of(&world, "loc_a").join("receipts.jsonl")).unwrap();
    assert!(now.starts_with(&copies[0]), "what was copied stays");
    assert_eq!(
        fs::read(&appended).unwrap(),
        damaged,
        "it is not replaced by what does not hold"
    );
}

fn operation(number: usize, kind: OperationKind, slot: Option<i64>, plan: &str) -> Operation {
    Operation {
        operation_id: format!("op.{number}"),
        kind,
        plan_id: plan.parse().unwrap(),
        dataset_ids: BTreeSet::new(),
        backup_id: Some(format!("{plan}.20261120T000000Z").parse().unwrap()),
        slot: slot.map(at),
        backup_type: None,
        before_restore: false,
        removes: BTreeSet::new(),
        restores: (kind == OperationKind::Restore).then(|| Restores {
            restore_id: "rs".to_owned(),
            dataset_id: ["ds_a", "ds_b"][number % 2].parse().unwrap(),
            in_place: !number.is_multiple_of(3),
        }),
        kid: "k".parse().unwrap(),
        started_at: at(1_000 + i64::try_from(number).unwrap()),
        deadline: at(9_000),
        epoch: 1,
        state: State::Running,
        ended_at: None,
        error: None,
    }
}

fn run(number: usize, plan: &str, is_point: bool, second: i64) -> Run {
    Run {
        backup_id: format!("{plan}.20261120T{number:06}Z").parse().unwrap(),
        plan_id: plan.parse().unwrap(),
        dataset_ids: BTreeSet::new(),
        slot: None,
        started_at: at(second),
        finished_at: at(second + 1),
        consistent_at: None,
        backup_type: BackupType::Full,
        base: None,
        status: if is_point {
            RunStatus::Success
        } else {
            RunStatus::Failure
        },
        kid: "k".parse().unwrap(),
        snapshot_id: is_point.then(|| "ab".repeat(32)),
        storage_locations: std::collections::BTreeMap::new(),
        checksums: std::collections::BTreeMap::new(),
        verification: Verification::Pending,
        damaged_at: std::collections::BTreeMap::new(),
        bytes: 1,
        added_bytes: 0,
        policy_snapshot_hash: None,
        manifests: std::collections::BTreeMap::new(),
        error: None,
        profiles: std::collections::BTreeMap::new(),
        collapsed: std::collections::BTreeMap::new(),
        clock_in_doubt: false,
        overran: false,
        leaving: None,
        before_restore: false,
    }
}

/// One entry of a history: what it is about, and how it ended.
type Entry = (bool, u8, Option<i64>, u8, u8);

const PLANS: [&str; 3] = ["bp_a", "bp_b", "bp_c"];

fn remember(store: &SqliteStore, number: usize, (second_plan, kind, slot, outcome, code): Entry) {
    let plan = PLANS[usize::from(second_plan)];
    let kind = [
        OperationKind::Backup,
        OperationKind::Verify,
        OperationKind::CatchUp,
        OperationKind::Restore,
    ][usize::from(kind % 4)];
    let one = operation(number, kind, slot, plan);
    store.commit(&[Change::OperationBegun(one)], &[]).unwrap();
    let outcomes = [
        Ended::Success,
        Ended::Partial,
        Ended::Failure,
        Ended::Unknown,
    ];
    if let Some(outcome) = outcomes.get(usize::from(outcome % 5)) {
        let error = [None, Some("SW1016"), Some("SW1401")][usize::from(code % 3)];
        let ended = Change::OperationEnded {
            operation_id: format!("op.{number}"),
            outcome: *outcome,
            error: error.map(str::to_owned),
            at: at(5_000),
        };
        store.commit(&[ended], &[]).unwrap();
    }
    let second = 100 + i64::from(code) % 7;
    let run = run(number, plan, outcome % 2 == 0, second);
    store
        .commit(&[Change::RunEnded(Box::new(run))], &[])
        .unwrap();
}

/// All points, oldest first, read page by page from the newest on.
fn pages(store: &SqliteStore, plan: Option<&PlanId>) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    loop {
        let before = all.last().map(|run| run.backup_id.clone());
        let page = store.points_before(plan, before.as_ref(), 2).unwrap();
        if page.is_empty() {
            all.reverse();
            return all;
        }
        all.extend(page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Each bounded question against its definition over the whole history.
    #[test]
    fn bounded_questions_have_the_answers_of_the_whole_history(
        entries in prop::collection::vec((any::<bool>(), any::<u8>(), prop::option::of(0..9_i64), any::<u8>(), any::<u8>()), 0..24),
        after in prop::option::of(0..9_i64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
        for (number, entry) in entries.into_iter().enumerate() {
            remember(&store, number, entry);
        }
        let (operations, runs) = (store.operations().unwrap(), store.runs().unwrap());
        let all = |keep: &dyn Fn(&Operation) -> bool| -> Vec<Operation> {
            operations.iter().filter(|it| keep(it)).cloned().collect()
        };
        let is_open = |it: &Operation| it.state.is_open();
        prop_assert_eq!(store.open_operations(None).unwrap(), all(&is_open));
        for dataset in ["ds_a", "ds_b"] {
            let dataset = dataset.parse().unwrap();
            let mut restores = all(&|it| {
                let over = it.restores.as_ref().is_some_and(|it| it.in_place && it.dataset_id == dataset);
                over && it.state != State::Ended(Ended::Failure)
            });
            prop_assert_eq!(store.last_restore(&dataset).unwrap(), restores.pop());
        }
        let newest = operations.iter().map(|it| it.started_at).max();
        prop_assert_eq!(store.newest_start().unwrap(), newest);
        for plan in PLANS {
            let plan = plan.parse().unwrap();
            prop_assert_eq!(store.open_operations(Some(&plan)).unwrap(), all(&|it| it.plan_id == plan && is_open(it)));
            let mut slots = all(&|it| {
                it.plan_id == plan
                    && it.kind == OperationKind::Backup
                    && it.slot.is_some_and(|slot| after.is_none_or(|after| slot > at(after)))
            });
            slots.sort_by_key(|it| it.slot);
            prop_assert_eq!(store.operations_of_slots(&plan, after.map(at)).unwrap(), slots);
            let code = code::Code::find("SW1016").unwrap();
            let mut wanted = all(&|it| it.plan_id == plan && it.error.as_deref() == Some("SW1016"));
            wanted.reverse();
            wanted.truncate(2);
            let ids: Vec<String> = wanted.into_iter().map(|it| it.operation_id).collect();
            prop_assert_eq!(store.operations_with_error(&plan, code, 2).unwrap(), ids);
            let own: Vec<Run> = runs.iter().filter(|run| run.plan_id == plan).cloned().collect();
            prop_assert_eq!(store.newest_run(&plan).unwrap(), own.last().cloned());
            let points: Vec<Run> = own.into_iter().filter(Run::is_point).collect();
            prop_assert_eq!(store.points(Some(&plan)).unwrap(), points.clone());
            prop_assert_eq!(pages(&store, Some(&plan)), points);
        }
        let points: Vec<Run> = runs.iter().filter(|run| run.is_point()).cloned().collect();
        prop_assert_eq!(store.points(None).unwrap(), points.clone());
        prop_assert_eq!(pages(&store, None), points);
        for run in runs {
            let point = run.is_point().then(|| run.clone());
            prop_assert_eq!(store.point(&run.backup_id).unwrap(), point);
        }
    }
}

/// The newest record of each plan, of two plans of which one has many.
#[test]
fn the_newest_slot_of_each_plan_is_found_beside_many() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
    let ended = |plan: &str, second: i64| {
        Change::SlotEnded(SlotRecord {
            plan_id: plan.parse().unwrap(),
            first: at(second),
            last: at(second),
            count: 1,
            outcome: SlotOutcome::Missed,
            backup_id: None,
            why: None,
            ended_at: at(second),
        })
    };
    let many: Vec<Change> = (1..500).map(|second| ended("bp_b", second)).collect();
    store.commit(&many, &[]).unwrap();
    let others = [ended("bp_a", 7), ended("bp_c", 9)];
    store.commit(&others, &[]).unwrap();
    let newest = |now: Timestamp| -> Vec<(String, i64)> {
        let plans = ["bp_a", "bp_b", "bp_c"].into_iter();
        plans
            .filter_map(|plan| {
                let last = store.last_slot(&plan.parse().unwrap(), now).unwrap();
                last.map(|slot| (plan.to_owned(), slot.last.as_second()))
            })
            .collect()
    };
    let named = |a, b, c| {
        [
            ("bp_a".to_owned(), a),
            ("bp_b".to_owned(), b),
            ("bp_c".to_owned(), c),
        ]
    };
    assert_eq!(newest(at(1_000)), named(7, 499, 9));
    assert_eq!(
        newest(at(8)),
        [("bp_a".to_owned(), 7), ("bp_b".to_owned(), 8)]
    );
    assert!(newest(at(0)).is_empty());
}

/// What an inspection and each look ask about the catalog: the newest points of one repository, and those at one location.
#[test]
fn the_newest_points_of_a_repository_and_of_a_location_are_found_beside_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
    let named = |number: usize, plan: &str, kid: &str, location: &str, is_point: bool| Run {
        kid: kid.parse().unwrap(),
        storage_locations: [(
            location.parse().unwrap(),
            format!("{location}:dev/{plan}/{kid}"),
        )]
        .into(),
        ..run(number, plan, is_point, i64::try_from(number).unwrap())
    };
    let mut all = Vec::new();
    for number in 0..40 {
        let plan = if number % 2 == 0 { "bp_a" } else { "bp_b" };
        let kid = if number < 20 { "k1" } else { "k2" };
        let location = if number < 4 { "loc_old" } else { "loc_new" };
        all.push(named(number, plan, kid, location, number % 5 != 0));
    }
    let changes: Vec<Change> = all
        .iter()
        .cloned()
        .map(Box::new)
        .map(Change::RunEnded)
        .collect();
    store.commit(&changes, &[]).unwrap();
    let ids =
        |runs: Vec<Run>| -> Vec<BackupId> { runs.into_iter().map(|run| run.backup_id).collect() };
    let expected = |is_wanted: &dyn Fn(&Run) -> bool, most: usize| -> Vec<BackupId> {
        let found = all
            .iter()
            .rev()
            .filter(|run| run.is_point() && is_wanted(run));
        found.take(most).map(|run| run.backup_id.clone()).collect()
    };
    for (plan, kid, most) in [
        ("bp_a", "k1", 3),
        ("bp_a", "k2", 100),
        ("bp_b", "k1", 1),
        ("bp_b", "k3", 5),
    ] {
        let found = store.newest_points(&plan.parse().unwrap(), &kid.parse().unwrap(), most);
        let wanted = |run: &Run| run.plan_id.as_str() == plan && run.kid.as_str() == kid;
        assert_eq!(
            ids(found.unwrap()),
            expected(&wanted, most as usize),
            "{plan} {kid}"
        );
    }
    for (location, most) in [
        ("loc_old", 2),
        ("loc_old", 100),
        ("loc_new", 8),
        ("loc_none", 8),
    ] {
        let found = store.points_at(&location.parse().unwrap(), most);
        let at_it = |run: &Run| {
            run.storage_locations
                .keys()
                .any(|id| id.as_str() == location)
        };
        assert_eq!(
            ids(found.unwrap()),
            expected(&at_it, most as usize),
            "{location}"
        );
    }
}

/// Slots that failed, four receipts each, as far as they are history: nothing of them is open and no recovery point is left.
fn failed_slots(store: &SqliteStore, log: &mut ReceiptLog, first: usize, count: usize) {
    let (changes, drafts) = failures(first, count);
    log.commit(store, &changes, drafts, at(0)).unwrap();
}

fn failures(first: usize, count: usize) -> (Vec<Change>, Vec<Draft>) {
    let (mut changes, mut drafts) = (Vec::new(), Vec::new());
    for number in first..first + count {
        let second = i64::try_from(number).unwrap() * 300;
        let slot = at(second);
        let one = Operation {
            backup_id: Some(backup_id(&"bp_files".parse().unwrap(), slot).unwrap()),
            ..operation(number, OperationKind::Backup, Some(second), "bp_files")
        };
        let id = one.operation_id.clone();
        let verify = operation(number, OperationKind::Verify, None, "bp_files");
        let verify = Operation {
            operation_id: format!("verify.{number}"),
            ..verify
        };
        changes.push(Change::OperationBegun(Operation {
            started_at: slot,
            ..one.clone()
        }));
        changes.push(Change::OperationBegun(Operation {
            started_at: slot,
            ..verify.clone()
        }));
        for ended in [&id, &verify.operation_id] {
            changes.push(Change::OperationEnded {
                operation_id: ended.clone(),
                outcome: Ended::Failure,
                error: Some("SW1401".to_owned()),
                at: slot,
            });
        }
        changes.push(Change::RunEnded(Box::new(Run {
            backup_id: one.backup_id.clone().unwrap(),
            ..run(number, "bp_files", false, second)
        })));
        changes.push(Change::SlotEnded(SlotRecord {
            plan_id: "bp_files".parse().unwrap(),
            first: slot,
            last: slot,
            count: 1,
            outcome: SlotOutcome::Failure,
            backup_id: one.backup_id,
            why: Some("its source could not be read".to_owned()),
            ended_at: slot,
        }));
        for (kind, operation) in [
            (DecisionType::Backup, id),
            (DecisionType::Verification, verify.operation_id),
        ] {
            drafts.push(Draft::new(kind, Phase::Intent, &operation));
            let mut outcome = Draft::new(kind, Phase::Outcome, &operation);
            outcome.result = Some(Outcome::Failure);
            let note = "its source could not be read";
            outcome.error = Some(contract::receipt::ErrorNote::new(
                code::VAULT_SOURCE_INCOMPLETE,
                note,
            ));
            drafts.push(outcome);
        }
    }
    (changes, drafts)
}

/// Old records are joined or left out, whatever policy says; what is a recovery point, open or a restore stays, and so does every receipt.
#[test]
fn old_records_are_condensed_and_every_receipt_is_kept() {
    let world = World::new();
    world.json(0, &["once"]);
    let store = SqliteStore::open(&world.path("state/store.sqlite")).unwrap();
    let mut log = ReceiptLog::open(&store, key("rec"), authority()).unwrap();
    let point = store.points(None).unwrap();
    let real = store.slots(None).unwrap();
    let before = store.receipts_size().unwrap();
    let left = [
        Operation {
            operation_id: "restore.old".to_owned(),
            ..operation(0, OperationKind::Restore, None, "bp_files")
        },
        Operation {
            operation_id: "verify.open".to_owned(),
            ..operation(0, OperationKind::Verify, None, "bp_files")
        },
    ];
    let begun = left.clone().map(Change::OperationBegun);
    store.commit(&begun, &[]).unwrap();
    let ended = Change::OperationEnded {
        operation_id: "restore.old".to_owned(),
        outcome: Ended::Success,
        error: None,
        at: at(0),
    };
    store.commit(&[ended], &[]).unwrap();
    let count = 10_500;
    failed_slots(&store, &mut log, 0, 500);
    for first in (500..count).step_by(500) {
        store.commit(&failures(first, 500).0, &[]).unwrap();
    }
    let slots = store.slots(None).unwrap();
    let told: u64 = slots.iter().map(|slot| slot.count).sum();
    assert_eq!(told, count as u64 + 1, "no slot is lost");
    assert!((10_000..10_010).contains(&slots.len()), "{}", slots.len());
    let joined = slots.iter().find(|slot| slot.count > 1).unwrap();
    assert_eq!(joined.outcome, SlotOutcome::Failure);
    assert_eq!(joined.why.as_deref(), Some("its source could not be read"));
    let ordered = slots.windows(2).all(|two| two[0].last < two[1].first);
    assert!(ordered, "they follow each other");
    assert!(slots.contains(&real[0]));
    let operations = store.operations().unwrap();
    assert!(
        (10_000..10_020).contains(&operations.len()),
        "{}",
        operations.len()
    );
    for kept in &left {
        let id = &kept.operation_id;
        assert!(operations.iter().any(|it| it.operation_id == *id), "{id}");
    }
    let open = store.open_operations(None).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(store.points(None).unwrap(), point);
    let runs = store.runs().unwrap().len();
    assert!((10_000..10_002).contains(&runs), "{runs}");
    assert_eq!(store.receipts_size().unwrap(), before + 4 * 500);
    drop((log, store));
    world.expect(0, &["receipts", "verify"]);
}

/// Processor time of all processes that this one has waited for.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let all = [usage.user_time(), usage.system_time()];
    all.iter()
        .map(|time| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap()))
        .sum()
}

/// The middle of five runs of a command, in milliseconds: by the clock, and of processor time.
fn measured(world: &World, arguments: &[&str]) -> (u128, u128) {
    let (mut clock, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (begin, before) = (Instant::now(), spent());
        let output = world.run(arguments);
        assert!(output.status.code() < Some(2), "{output:?}");
        clock.push(begin.elapsed().as_millis());
        processor.push(spent().saturating_sub(before).as_millis());
    }
    clock.sort_unstable();
    processor.sort_unstable();
    (clock[2], processor[2])
}

/// How long a daemon takes until it answers, the middle of three, and `status` beside it.
fn served(world: &World) -> (u128, u128) {
    let mut all = Vec::new();
    let mut beside = 0;
    for _ in 0..3 {
        let begin = Instant::now();
        let service = Service::start(world);
        all.push(begin.elapsed().as_millis());
        beside = measured(world, &["status"]).0;
        service.end();
    }
    all.sort_unstable();
    (all[1], beside)
}

#[test]
#[ignore = "a benchmark: scripts/bench-state runs it"]
fn what_a_long_history_costs() {
    println!(
        "{:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  [ms]",
        "receipts", "start", "beside", "status", "plan", "once", "backup", "cpu"
    );
    for receipts in [0, 1_000, 100_000, 1_000_000] {
        let world = World::new();
        world.json(0, &["once"]);
        let store = SqliteStore::open(&world.path("state/store.sqlite")).unwrap();
        let mut log = ReceiptLog::open(&store, key("rec"), authority()).unwrap();
        for first in (0..receipts / 4).step_by(250) {
            failed_slots(&store, &mut log, first, 250);
        }
        drop((log, store));
        world.run(&["backup", "bp_files"]);
        let (start, beside) = served(&world);
        let [(status, _), (plan, _), (once, _), (backup, processor)] = [
            measured(&world, &["status"]),
            measured(&world, &["plan"]),
            measured(&world, &["once"]),
            measured(&world, &["backup", "bp_files"]),
        ];
        println!(
            "{receipts:>10} {start:>8} {beside:>8} {status:>8} {plan:>8} {once:>8} {backup:>8} {processor:>8}"
        );
    }
}
