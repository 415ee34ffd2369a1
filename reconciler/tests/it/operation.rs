//! The life of an operation: one intent, one outcome, and one resolution where the outcome was unknown; and what is recorded with
//! each, whatever is tried in between.

use std::collections::BTreeSet;

use contract::code;
use contract::receipt::{DecisionType, Outcome as Result_, Phase};
use jiff::Timestamp;
use proptest::prelude::*;
use reconciler::domain::{
    BackupType, Change, Operation, OperationKind, Outcome, ReceiptPolicy, Restores, Run,
    SlotOutcome, SourceReport, State, Verification,
};
use reconciler::failure::Failure;
use reconciler::operation::backup::{self, Snapshot, Taken};
use reconciler::operation::check::{self, Seen};
use reconciler::operation::lost::{self, Evidence, Left, Probe};
use reconciler::operation::{Details, Ending, Event, Illegal, Subject, transition};
use reconciler::plan::Verify;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn operation(kind: OperationKind) -> Operation {
    Operation {
        operation_id: "backup.bp.1.1".to_owned(),
        kind,
        plan_id: "bp".parse().unwrap(),
        dataset_ids: BTreeSet::from(["ds".parse().unwrap()]),
        backup_id: Some("bp.19700101T000010Z".parse().unwrap()),
        slot: (kind == OperationKind::Backup).then(|| at(10)),
        backup_type: Some(BackupType::Full),
        before_restore: false,
        removes: BTreeSet::new(),
        restores: (kind == OperationKind::Restore).then(|| Restores {
            restore_id: "rs.ds.1".to_owned(),
            dataset_id: "ds".parse().unwrap(),
            in_place: true,
        }),
        kid: "k1".parse().unwrap(),
        started_at: at(11),
        deadline: at(100),
        epoch: 1,
        state: State::Ready,
        ended_at: None,
        error: None,
    }
}

fn subject() -> Subject {
    Subject {
        policy: ReceiptPolicy::default(),
        plane: None,
        plan_id: "bp".parse().unwrap(),
        dataset_ids: vec!["ds".parse().unwrap()],
    }
}

fn failure() -> Failure {
    Failure::new(code::LOCATION_LAGGING, "it lags", "wait")
}

fn ending(outcome: Outcome) -> Event {
    let failed = (outcome != Outcome::Success).then(failure);
    Event::End(Box::new(Ending::new(outcome, failed)))
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: "ab".repeat(32),
        shows: at(12),
        bytes: 5,
        added_bytes: 3,
        locations: BTreeSet::from(["loc_a".parse().unwrap(), "loc_b".parse().unwrap()]),
        repository: "dev/bp/k1".to_owned(),
    }
}

fn taken() -> Taken {
    Taken {
        snapshot_hash: contract::digest::Digest::of(b"policy"),
        clock_in_doubt: false,
        at: at(20),
    }
}

fn verify(enough: usize) -> Verify {
    Verify {
        plan_id: "bp".parse().unwrap(),
        backup_id: operation(OperationKind::Backup).backup_id.unwrap(),
        ends_slot: Some(at(10)),
        locations: snapshot().locations,
        enough,
    }
}

/// What an ending says of runs.
fn runs(ending: &Ending) -> Vec<Run> {
    let all = ending.changes.iter();
    all.filter_map(|change| match change {
        Change::RunEnded(run) | Change::RunChanged(run) => Some((**run).clone()),
        _ => None,
    })
    .collect()
}

const OUTCOMES: [Outcome; 4] = [
    Outcome::Success,
    Outcome::Partial,
    Outcome::Failure,
    Outcome::Unknown,
];

const KINDS: [OperationKind; 4] = [
    OperationKind::Backup,
    OperationKind::Verify,
    OperationKind::CatchUp,
    OperationKind::Restore,
];

proptest! {
    /// Whatever is tried in whatever order: the receipts are an intent, then an outcome, then a resolution if that was unknown,
    /// and nothing else; and what was refused changed nothing.
    #[test]
    fn one_intent_one_outcome_one_resolution(
        kind in 0..4_usize,
        tries in prop::collection::vec(prop::option::of(0..4_usize), 0..12),
    ) {
        let mut now = operation(KINDS[kind]);
        let mut phases = Vec::new();
        let mut results = Vec::new();
        for (number, tried) in tries.into_iter().enumerate() {
            let event = tried.map_or_else(
                || Event::Begin(Details::new()),
                |outcome| ending(OUTCOMES[outcome]),
            );
            let second = at(20 + i64::try_from(number).unwrap());
            let Ok(next) = transition(&now, &subject(), event, second) else { continue };
            prop_assert_eq!(next.changes.len(), 1);
            prop_assert_eq!(next.drafts.len(), 1);
            prop_assert_eq!(&next.drafts[0].operation_id, &now.operation_id);
            let is_intent = matches!(next.changes[0], Change::OperationBegun(_));
            prop_assert_eq!(is_intent, now.state == State::Ready);
            phases.push(next.drafts[0].phase);
            results.push(next.drafts[0].result);
            now = next.operation;
        }
        let expected = [Phase::Intent, Phase::Outcome, Phase::Resolution];
        prop_assert!(phases.len() <= 3);
        prop_assert_eq!(&phases[..], &expected[..phases.len()]);
        prop_assert!(results.first().is_none_or(Option::is_none));
        if phases.len() == 3 {
            prop_assert_eq!(results[1], Some(Result_::Unknown));
            prop_assert_ne!(results[2], Some(Result_::Unknown));
        }
        prop_assert_eq!(now.state.is_open(), phases.len() == 1
            || (phases.len() == 2 && results[1] == Some(Result_::Unknown)));
    }
}

#[test]
fn what_cannot_happen_says_why() {
    let ready = operation(OperationKind::Backup);
    let refused = |operation: &Operation, event| {
        let next = transition(operation, &subject(), event, at(20));
        next.map(|_| ()).unwrap_err()
    };
    let id = || ready.operation_id.clone();
    let end = || ending(Outcome::Success);
    assert_eq!(refused(&ready, end()), Illegal::NotBegun(id()));
    let begin = || Event::Begin(Details::new());
    let running = transition(&ready, &subject(), begin(), at(20)).unwrap();
    let running = running.operation;
    assert_eq!(refused(&running, begin()), Illegal::Begun(id()));
    let next = transition(&running, &subject(), ending(Outcome::Unknown), at(21)).unwrap();
    let unknown = next.operation;
    assert_eq!(refused(&unknown, begin()), Illegal::Begun(id()));
    let still = ending(Outcome::Unknown);
    assert_eq!(refused(&unknown, still), Illegal::StillUnknown(id()));
    let ended = transition(&unknown, &subject(), end(), at(22)).unwrap();
    assert_eq!(ended.operation.ended_at, Some(at(22)));
    assert_eq!(refused(&ended.operation, end()), Illegal::Ended(id()));
}

/// The stored form is that of earlier versions: an operation that runs has no outcome.
#[test]
fn a_state_is_stored_as_the_outcome() {
    let mut one = operation(OperationKind::Verify);
    one.state = State::Running;
    let stored = serde_json::to_value(&one).unwrap();
    assert!(stored.get("outcome").is_none(), "{stored}");
    assert_eq!(serde_json::from_value::<Operation>(stored).unwrap(), one);
    for (outcome, word) in OUTCOMES
        .into_iter()
        .zip(["success", "partial", "failure", "unknown"])
    {
        one.state = State::Ended(outcome);
        let stored = serde_json::to_value(&one).unwrap();
        assert_eq!(stored["outcome"], word);
        assert_eq!(serde_json::from_value::<Operation>(stored).unwrap(), one);
    }
    one.state = State::Ready;
    assert!(
        serde_json::to_value(&one).is_err(),
        "what did not begin is not stored"
    );
}

#[test]
fn the_restore_that_ends_is_the_one_that_was_asked_for() {
    let ready = operation(OperationKind::Restore);
    let begun = transition(&ready, &subject(), Event::Begin(Details::new()), at(20)).unwrap();
    let ended = transition(
        &begun.operation,
        &subject(),
        ending(Outcome::Failure),
        at(21),
    )
    .unwrap();
    for draft in begun.drafts.iter().chain(&ended.drafts) {
        assert_eq!(draft.restore_id.as_deref(), Some("rs.ds.1"));
        assert_eq!(draft.decision_type, DecisionType::Restore);
    }
    let note = ended.drafts[0].error.as_ref().unwrap();
    assert_eq!(note.code, code::LOCATION_LAGGING.to_string());
}

/// A backup that left nothing ends its slot and shows in the catalog, and has no point.
#[test]
fn a_backup_without_a_point_is_no_point() {
    let running = Operation {
        state: State::Running,
        ..operation(OperationKind::Backup)
    };
    let ending = backup::left_nothing(&running, &subject(), &failure(), at(30));
    assert_eq!(ending.outcome, Outcome::Failure);
    let (slot, why) = ending.slot.as_ref().unwrap();
    assert_eq!((slot.first, slot.outcome), (at(10), SlotOutcome::Failure));
    assert_eq!(why.as_ref(), Some(&failure()));
    let runs = runs(&ending);
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert!(!run.is_point() && run.storage_locations.is_empty());
    let next = transition(&running, &subject(), Event::End(Box::new(ending)), at(30)).unwrap();
    let phases: Vec<Phase> = next.drafts.iter().map(|draft| draft.phase).collect();
    assert_eq!(phases, [Phase::Outcome, Phase::Decision]);
    assert_eq!(next.drafts[1].operation_id, "slot.bp.19700101T000010Z");
}

/// Where policy wants a check before a point counts, the backup leaves its slot open.
#[test]
fn a_point_that_waits_for_its_check_ends_no_slot() {
    let running = operation(OperationKind::Backup);
    let report = SourceReport {
        notes: vec!["x".repeat(500)],
        ..SourceReport::default()
    };
    let run = backup::point(&running, &subject(), &snapshot(), &report, taken()).unwrap();
    assert!(run.is_point());
    assert_eq!(run.verification, Verification::Pending);
    let counts = |at_once| backup::took(&run, &report, at_once, at(30));
    assert!(counts(false).slot.is_none());
    let (slot, why) = counts(true).slot.unwrap();
    assert_eq!((slot.outcome, why), (SlotOutcome::Success, None));
    let notes: Vec<usize> = counts(true)
        .details
        .iter()
        .filter(|(name, _)| name.starts_with("note_"))
        .map(|(_, note)| note.len())
        .collect();
    assert_eq!(notes, [400]);
    // A point of a source that collapsed ends its slot, and not well.
    let mut collapsed = run.clone();
    collapsed
        .collapsed
        .insert("ds".parse().unwrap(), "it is empty".to_owned());
    let (slot, why) = backup::took(&collapsed, &report, true, at(30))
        .slot
        .unwrap();
    assert_eq!(slot.outcome, SlotOutcome::Failure);
    assert_eq!(why.unwrap().code, code::SOURCE_COLLAPSED);
}

#[test]
fn a_check_that_finds_the_point_nowhere_and_late_says_both() {
    let running = operation(OperationKind::Backup);
    let report = SourceReport::default();
    let run = backup::point(&running, &subject(), &snapshot(), &report, taken()).unwrap();
    let seen = Seen {
        absent: snapshot().locations,
        ..Seen::default()
    };
    let ending = check::checked(&verify(2), &seen, Some(run.clone()), at(25), at(30));
    assert_eq!(ending.failure.as_ref().unwrap().code, code::POINT_LOST);
    let runs = runs(&ending);
    assert_eq!(runs.len(), 1);
    let after = &runs[0];
    assert!(after.is_lost() && after.overran, "{after:?}");
    // Sound where enough hold it, in time: nothing of the run changes, and its slot ends well.
    let seen = Seen {
        sound: snapshot().locations,
        ..Seen::default()
    };
    let ending = check::checked(&verify(2), &seen, Some(run.clone()), at(40), at(30));
    assert_eq!(ending.outcome, Outcome::Success);
    assert!(ending.changes.is_empty());
    assert_eq!(ending.slot.unwrap().0.outcome, SlotOutcome::Success);
    // One location that was not read is one too few.
    let mut unread = Seen {
        sound: snapshot().locations,
        ..Seen::default()
    };
    let away = unread.sound.pop_first().unwrap();
    unread.unread.insert(away, failure());
    let ending = check::checked(&verify(2), &unread, Some(run), at(40), at(30));
    assert_eq!(ending.outcome, Outcome::Partial);
    assert_eq!(ending.slot.unwrap().0.outcome, SlotOutcome::Failure);
}

proptest! {
    /// A point is taken for absent only where the locations that could not be read are too few to hold it among themselves, and
    /// for present only where enough show it.
    #[test]
    fn what_cannot_be_seen_is_neither_there_nor_gone(
        commit in 0..5_u32,
        visible in prop::option::of(0..5_usize),
        unreadable in 0..5_usize,
        damaged in 0..3_usize,
    ) {
        let locations = |from: usize, many: usize| {
            (from..from + many).map(|number| format!("loc_{number}").parse().unwrap())
        };
        let evidence = Evidence {
            found: visible.map(|many| Snapshot { locations: locations(0, many).collect(), ..snapshot() }),
            unreadable: locations(10, unreadable).collect(),
            damaged,
        };
        let needed = usize::try_from(commit).unwrap();
        match lost::judge(commit, evidence) {
            Probe::Present(found) => prop_assert!(found.locations.len() >= needed),
            Probe::Absent => {
                prop_assert!(visible.is_none());
                prop_assert!(unreadable + damaged < needed.max(1));
            }
            Probe::Unknown(_) => prop_assert!(
                visible.is_some_and(|many| many < needed)
                    || (visible.is_none() && unreadable + damaged >= needed.max(1))
            ),
        }
    }
}

#[test]
fn a_lost_operation_that_cannot_be_seen_stays_open() {
    let running = Operation {
        state: State::Running,
        ..operation(OperationKind::Backup)
    };
    let ending = lost::closed(Left::Unknown("loc_a is away".to_owned()), &failure());
    assert_eq!(ending.failure.as_ref().unwrap().code, code::OUTCOME_UNKNOWN);
    let next = transition(&running, &subject(), Event::End(Box::new(ending)), at(30)).unwrap();
    assert!(next.operation.state.is_open());
    assert!(
        next.changes
            .iter()
            .all(|it| !matches!(it, Change::RunEnded(_) | Change::SlotEnded(_)))
    );
    let ending = lost::closed(Left::Nothing, &failure());
    let next = transition(
        &next.operation,
        &subject(),
        Event::End(Box::new(ending)),
        at(31),
    )
    .unwrap();
    assert_eq!(next.drafts[0].phase, Phase::Resolution);
    assert_eq!(next.operation.state, State::Ended(Outcome::Failure));
}
