//! The receipt log: what was written verifies, and every change is refused with its own code.

use std::collections::BTreeMap;

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::receipt::{
    Authority, Bundle, Checkpoint, DecisionType, ErrorNote, Frontier, Ledger, LogFault,
    MAX_LINE_BYTES, Origin, Outcome, Phase, Receipt, Slots, VerifiedLog, open_line,
    prove_consistency, prove_inclusion, verify_consistency, verify_inclusion, verify_log,
};
use contract::seal::{Envelope, Serial, Statement};
use proptest::prelude::*;

use super::{at, environment, key, reconciler, root};

pub fn origin() -> Origin {
    Origin {
        environment: environment(),
        reconciler_id: reconciler(),
    }
}

pub fn authority() -> Authority {
    Authority {
        origin: origin(),
        keys: root().reconciler_keys(&environment(), &reconciler()),
    }
}

fn receipt(decision_type: DecisionType, phase: Phase) -> Receipt {
    Receipt {
        log_index: 0,
        decision_type,
        phase,
        closes: None,
        operation_id: "bp_core.20261120T000000Z".into(),
        actor: "rec-1".into(),
        reconciler_id: reconciler(),
        environment: environment(),
        plane: None,
        plan_id: Some("bp_core".parse().unwrap()),
        dataset_ids: vec!["ds_core".parse().unwrap()],
        backup_id: None,
        restore_id: None,
        scenario_id: None,
        slots: None,
        result: None,
        bundle: None,
        policy_snapshot_hash: None,
        policy_version_ids: vec![],
        error: None,
        evidence: BTreeMap::new(),
        details: BTreeMap::new(),
        created_at: at("2026-11-20T00:00:00Z"),
    }
}

pub fn decision() -> Receipt {
    let bundle = Bundle {
        serial: Serial::FIRST,
        payload: Digest::of(b"bundle"),
    };
    let mut accepted = receipt(DecisionType::BundleAccepted, Phase::Decision);
    accepted.operation_id = "bundle.1".into();
    accepted.bundle = Some(bundle);
    accepted.result = Some(Outcome::Success);
    accepted
}

pub fn intent() -> Receipt {
    receipt(DecisionType::Backup, Phase::Intent)
}

fn closing(phase: Phase, closes: Digest, result: Outcome) -> Receipt {
    let mut receipt = receipt(DecisionType::Backup, phase);
    receipt.closes = Some(closes);
    receipt.result = Some(result);
    receipt.error = match result {
        Outcome::Success => None,
        Outcome::Partial | Outcome::Failure | Outcome::Unknown => Some(ErrorNote::new(
            code::RECEIPT_INVALID,
            "connection lost\nwhile writing",
        )),
    };
    receipt
}

/// A log that is written as a reconciler does it.
pub struct Writer {
    pub ledger: Ledger,
    pub lines: Vec<String>,
    pub leaves: Vec<Digest>,
}

impl Writer {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(origin()),
            lines: vec![],
            leaves: vec![],
        }
    }

    fn write(&mut self, receipt: Receipt) -> Digest {
        let line = self.ledger.append(receipt, &key("rec-1")).unwrap();
        self.lines.push(line.text);
        self.leaves.push(line.leaf);
        line.leaf
    }

    /// Writes without asking the ledger, as a reconciler with a fault would.
    fn force(&mut self, receipt: &Receipt, by: &str) {
        let line = receipt.seal(&key(by)).unwrap();
        self.lines.push(line.text);
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.lines
            .iter()
            .flat_map(|line| [line.as_bytes(), b"\n"].concat())
            .collect()
    }

    pub fn checkpoint(&self) -> String {
        self.ledger.checkpoint().sign(&key("rec-1"))
    }

    fn verify(&self) -> Result<VerifiedLog, LogFault> {
        verify_log(
            &self.bytes(),
            Some(self.checkpoint().as_bytes()),
            &authority(),
        )
    }
}

/// A bundle, a good backup, one of unknown outcome that was resolved, and one that still runs.
pub fn story() -> Writer {
    let mut log = Writer::new();
    log.write(decision());
    let first = log.write(intent());
    log.write(closing(Phase::Outcome, first, Outcome::Success));
    let second = log.write(intent());
    let unknown = log.write(closing(Phase::Outcome, second, Outcome::Unknown));
    log.write(closing(Phase::Resolution, unknown, Outcome::Failure));
    log.write(intent());
    log
}

fn check(code: Code, log: &[u8], checkpoint: Option<&str>) {
    let fault = verify_log(log, checkpoint.map(str::as_bytes), &authority())
        .expect_err("the log is refused");
    assert_eq!(fault.code(), code, "{fault}");
    assert!(!fault.to_string().contains('\n') && !fault.help().is_empty());
}

#[test]
fn a_written_log_verifies() {
    let log = story();
    let verified = log.verify().unwrap();
    assert_eq!(verified.ledger, log.ledger);
    assert_eq!((verified.covered, verified.ledger.size()), (7, 7));
    assert_eq!(verified.ledger.accepted().unwrap().serial, Serial::FIRST);
    assert_eq!(verified.ledger.newest(), Some(at("2026-11-20T00:00:00Z")));
    let open = verified.ledger.open();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].log_index, open[0].phase), (6, Phase::Intent));
    assert_eq!(
        verified.ledger.results()[&(DecisionType::Backup, Outcome::Success)],
        1
    );
    // An empty log is a log; one that has grown since its checkpoint is too, and says how far it is covered.
    assert_eq!(verify_log(b"", None, &authority()).unwrap().covered, 0);
    let mut grown = story();
    let checkpoint = grown.checkpoint();
    grown.write(decision());
    let verified = verify_log(&grown.bytes(), Some(checkpoint.as_bytes()), &authority()).unwrap();
    assert_eq!((verified.covered, verified.ledger.size()), (7, 8));
}

#[test]
fn a_checkpoint_reads_as_c2sp_says() {
    let note = story().checkpoint();
    let lines: Vec<&str> = note.lines().collect();
    assert_eq!(lines[0], "seawall/production/rec-1");
    assert_eq!(lines[1], "7");
    assert_eq!(lines[3], "");
    assert!(
        lines[4].starts_with("\u{2014} seawall/production/rec-1 "),
        "{note}"
    );
    // A witness may sign too; its signature is not ours to judge.
    let witnessed = format!("{note}\u{2014} witness.example {}\n", "AAAA".repeat(23));
    assert_eq!(
        Checkpoint::open(witnessed.as_bytes(), &authority())
            .unwrap()
            .size,
        7
    );
}

#[test]
fn attacks_on_the_lines() {
    let log = story();
    let checkpoint = log.checkpoint();
    let joined = |lines: &[String]| {
        lines
            .iter()
            .flat_map(|line| [line.as_bytes(), b"\n"].concat())
            .collect::<Vec<u8>>()
    };
    // Left out, swapped, doubled, cut at the end, cut within a line.
    let mut lines = log.lines.clone();
    lines.remove(2);
    check(code::RECEIPT_ORDER, &joined(&lines), Some(&checkpoint));
    let mut lines = log.lines.clone();
    lines.swap(1, 2);
    check(code::RECEIPT_ORDER, &joined(&lines), Some(&checkpoint));
    let mut lines = log.lines.clone();
    lines.insert(3, lines[2].clone());
    check(code::RECEIPT_ORDER, &joined(&lines), Some(&checkpoint));
    check(
        code::LOG_TRUNCATED,
        &joined(&log.lines[..6]),
        Some(&checkpoint),
    );
    check(code::LOG_TRUNCATED, b"", Some(&checkpoint));
    let bytes = log.bytes();
    check(
        code::RECEIPT_INVALID,
        &bytes[..bytes.len() - 1],
        Some(&checkpoint),
    );
    check(
        code::RECEIPT_INVALID,
        &bytes[..bytes.len() - 40],
        Some(&checkpoint),
    );
    check(code::RECEIPT_INVALID, b"\n", None);
    check(
        code::RECEIPT_TOO_LONG,
        &[vec![b' '; MAX_LINE_BYTES + 1], b"\n".to_vec()].concat(),
        None,
    );
    // A history rewritten by the reconciler itself after the checkpoint was taken.
    let mut rewritten = Writer::new();
    for _ in 0..7 {
        rewritten.write(decision());
    }
    check(
        code::LOG_ROOT_MISMATCH,
        &rewritten.bytes(),
        Some(&checkpoint),
    );
}

#[test]
fn attacks_on_the_signature() {
    for by in ["mallory", "ci", "rec-2"] {
        let mut log = Writer::new();
        log.force(&decision(), by);
        check(code::RECEIPT_UNSIGNED, &log.bytes(), None);
    }
    // A good signature over something that is no receipt.
    let statement = Statement::about_itself("trust-root", root())
        .unwrap()
        .to_payload()
        .unwrap();
    let line = Envelope::sign(statement, &[&key("rec-1")]).to_json() + "\n";
    check(code::RECEIPT_INVALID, line.as_bytes(), None);
    let mut envelope = Envelope {
        payload_type: "text/plain".into(),
        payload: b"x".to_vec(),
        signatures: vec![],
    };
    envelope.add_signature(&key("rec-1"));
    check(
        code::RECEIPT_INVALID,
        (envelope.to_json() + "\n").as_bytes(),
        None,
    );
}

#[test]
fn a_receipt_of_another_log_is_refused() {
    let mut dev = decision();
    dev.environment = "dev".parse().unwrap();
    let mut log = Writer::new();
    log.force(&dev, "rec-1");
    check(code::RECEIPT_FOREIGN, &log.bytes(), None);
    let fault = Ledger::new(origin())
        .push(&dev, Digest::of(b"leaf"))
        .unwrap_err();
    assert_eq!(fault.code(), code::RECEIPT_FOREIGN);
}

#[test]
fn attacks_on_the_links() {
    let refused = |receipts: &dyn Fn(&mut Writer) -> Receipt| {
        let mut log = story();
        let mut bad = receipts(&mut log);
        bad.log_index = log.ledger.size();
        assert_eq!(
            log.ledger.check(&bad).unwrap_err().code(),
            code::RECEIPT_LINK
        );
        log.force(&bad, "rec-1");
        check(code::RECEIPT_LINK, &log.bytes(), None);
    };
    // Leaves of the story: 1 intent with 2 its outcome, 3 with unknown 4 resolved by 5, 6 an open intent.
    refused(&|log| closing(Phase::Outcome, log.leaves[1], Outcome::Success));
    refused(&|log| closing(Phase::Outcome, log.leaves[1], Outcome::Failure));
    refused(&|log| closing(Phase::Resolution, log.leaves[4], Outcome::Success));
    refused(&|log| closing(Phase::Resolution, log.leaves[2], Outcome::Success));
    refused(&|log| closing(Phase::Resolution, log.leaves[6], Outcome::Success));
    refused(&|log| closing(Phase::Outcome, log.leaves[0], Outcome::Success));
    refused(&|_| closing(Phase::Outcome, Digest::of(b"nothing"), Outcome::Success));
    refused(&|log| {
        let mut other = closing(Phase::Outcome, log.leaves[6], Outcome::Success);
        other.operation_id = "another".into();
        other
    });
    refused(&|log| {
        let mut other = closing(Phase::Outcome, log.leaves[6], Outcome::Success);
        other.decision_type = DecisionType::Verification;
        other
    });
    refused(&|log| {
        let unknown = log.write(closing(Phase::Outcome, log.leaves[6], Outcome::Unknown));
        closing(Phase::Outcome, unknown, Outcome::Success)
    });
}

#[test]
fn receipts_that_contradict_themselves_are_not_sealed() {
    let slots = |first: &str, last: &str, count| {
        Some(Slots {
            first: at(first),
            last: at(last),
            count,
        })
    };
    let broken: Vec<(&str, Receipt)> = vec![
        (
            "intent with a result",
            Receipt {
                result: Some(Outcome::Success),
                ..intent()
            },
        ),
        (
            "intent that closes",
            Receipt {
                closes: Some(Digest::of(b"x")),
                ..intent()
            },
        ),
        (
            "outcome without its intent",
            Receipt {
                closes: None,
                ..closing(Phase::Outcome, Digest::of(b"x"), Outcome::Success)
            },
        ),
        (
            "outcome without a result",
            Receipt {
                result: None,
                ..closing(Phase::Outcome, Digest::of(b"x"), Outcome::Success)
            },
        ),
        (
            "unknown resolution",
            closing(Phase::Resolution, Digest::of(b"x"), Outcome::Unknown),
        ),
        (
            "failure without an error",
            Receipt {
                error: None,
                ..closing(Phase::Outcome, Digest::of(b"x"), Outcome::Failure)
            },
        ),
        (
            "partial without an error",
            Receipt {
                error: None,
                ..closing(Phase::Outcome, Digest::of(b"x"), Outcome::Partial)
            },
        ),
        (
            "success with an error",
            Receipt {
                error: Some(ErrorNote::new(code::RECEIPT_INVALID, "x")),
                ..decision()
            },
        ),
        (
            "an effect as a decision",
            Receipt {
                decision_type: DecisionType::Backup,
                ..decision()
            },
        ),
        (
            "a decision with an intent",
            Receipt {
                decision_type: DecisionType::SlotEnded,
                ..intent()
            },
        ),
        (
            "bundle accepted, but none",
            Receipt {
                bundle: None,
                ..decision()
            },
        ),
        (
            "slot ended, but none",
            Receipt {
                decision_type: DecisionType::SlotEnded,
                ..decision()
            },
        ),
        (
            "slots backwards",
            Receipt {
                slots: slots("2026-11-20T01:00:00Z", "2026-11-20T00:00:00Z", 2),
                ..decision()
            },
        ),
        (
            "no slots",
            Receipt {
                slots: slots("2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", 0),
                ..decision()
            },
        ),
        (
            "half a second",
            Receipt {
                created_at: at("2026-11-20T00:00:00.5Z"),
                ..decision()
            },
        ),
        (
            "nobody",
            Receipt {
                actor: String::new(),
                ..decision()
            },
        ),
        (
            "index too large",
            Receipt {
                log_index: u64::MAX,
                ..decision()
            },
        ),
    ];
    for (name, receipt) in broken {
        let fault = receipt.seal(&key("rec-1")).expect_err(name);
        assert_eq!(fault.code(), code::RECEIPT_INVALID, "{name}");
    }
    let mut long = decision();
    long.details
        .insert("log".into(), "x".repeat(MAX_LINE_BYTES));
    assert_eq!(
        long.seal(&key("rec-1")).unwrap_err().code(),
        code::RECEIPT_TOO_LONG
    );
}

#[test]
fn an_error_note_is_one_line_of_bounded_length() {
    let note = ErrorNote::new(code::RECEIPT_INVALID, &"ü\n".repeat(5_000));
    assert_eq!(
        (note.summary.chars().count(), note.summary.contains('\n')),
        (1_000, false)
    );
    assert_eq!(
        (note.code.as_str(), note.category.as_str()),
        ("SW1701", "receipts")
    );
}

#[test]
fn attacks_on_the_checkpoint() {
    let log = story();
    let bytes = log.bytes();
    let good = log.checkpoint();
    let unsigned = |note: &str| check(code::CHECKPOINT_UNSIGNED, &bytes, Some(note));
    unsigned(&good.replacen("\n7\n", "\n6\n", 1));
    unsigned(&log.ledger.checkpoint().sign(&key("rec-2")));
    unsigned(&log.ledger.checkpoint().sign(&key("ci")));
    let other = Checkpoint {
        origin: Origin {
            environment: "dev".parse().unwrap(),
            ..origin()
        },
        ..log.ledger.checkpoint()
    };
    unsigned(&other.sign(&key("rec-1")));
    let invalid = |note: &str| check(code::CHECKPOINT_INVALID, &bytes, Some(note));
    invalid("");
    invalid(good.trim_end());
    invalid(&good.replacen("\n\n", "\n", 1));
    invalid(&good.replacen("\u{2014} ", "- ", 1));
    invalid(&good.replacen('\n', "\r\n", 1));
    invalid(&format!("{good}{}", "x".repeat(20_000)));
    // Signed by the reconciler, but about another tree.
    let wrong = Checkpoint {
        root: Digest::of(b"other"),
        ..log.ledger.checkpoint()
    };
    check(
        code::LOG_ROOT_MISMATCH,
        &bytes,
        Some(&wrong.sign(&key("rec-1"))),
    );
    let larger = Checkpoint {
        size: 8,
        ..log.ledger.checkpoint()
    };
    check(
        code::LOG_TRUNCATED,
        &bytes,
        Some(&larger.sign(&key("rec-1"))),
    );
    let empty = Checkpoint {
        size: 0,
        ..log.ledger.checkpoint()
    };
    check(
        code::LOG_ROOT_MISMATCH,
        &bytes,
        Some(&empty.sign(&key("rec-1"))),
    );
}

#[test]
fn lines_are_proven_offline() {
    let log = story();
    let checkpoint = Checkpoint::open(log.checkpoint().as_bytes(), &authority()).unwrap();
    let proof = prove_inclusion(&log.leaves, 4).unwrap();
    verify_inclusion(&log.leaves[4], 4, checkpoint.size, &checkpoint.root, &proof).unwrap();
    let fault =
        verify_inclusion(&log.leaves[3], 4, checkpoint.size, &checkpoint.root, &proof).unwrap_err();
    assert_eq!(fault.code(), code::PROOF_INVALID);
    let mut grown = story();
    grown.write(decision());
    let proof = prove_consistency(&grown.leaves, 7).unwrap();
    verify_consistency((7, &checkpoint.root), (8, &grown.ledger.root()), &proof).unwrap();
}

/// Reads the lines from a place on, as a start does.
fn go_on(mut ledger: Ledger, lines: &[String]) -> Ledger {
    for line in lines {
        let opened = open_line(line.as_bytes(), &authority()).unwrap();
        ledger.push(&opened.receipt, opened.leaf).unwrap();
    }
    ledger
}

#[test]
fn a_frontier_is_signed_by_the_reconciler_and_is_nothing_else() {
    let log = story();
    let sealed = |by: &str| log.ledger.frontier().seal(&key(by)).unwrap();
    let open = |text: &str| Frontier::open(text.as_bytes(), &authority()).map_err(|it| it.code());
    assert_eq!(open(&sealed("rec-1")), Ok(log.ledger.clone()));
    assert_eq!(open(&sealed("ci")), Err(code::RECEIPT_UNSIGNED));
    // Of the same key, and something else: neither stands for the other.
    let line = log.lines.last().unwrap();
    assert_eq!(open(line), Err(code::RECEIPT_INVALID));
    let as_line = open_line(sealed("rec-1").as_bytes(), &authority()).unwrap_err();
    assert_eq!(as_line.code(), code::RECEIPT_INVALID);
    // Of another log.
    let mut other = log.ledger.frontier();
    other.reconciler_id = "rec-2".parse().unwrap();
    let other = other.seal(&key("rec-1")).unwrap();
    assert_eq!(open(&other), Err(code::RECEIPT_FOREIGN));
    // One that cannot be is never signed.
    let mut short = log.ledger.frontier();
    short.peaks.pop();
    assert!(short.seal(&key("rec-1")).is_err());
    let mut ahead = log.ledger.frontier();
    ahead.open[0].log_index = ahead.size;
    assert!(ahead.seal(&key("rec-1")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whoever goes on from a frontier comes to the same state as whoever read everything.
    #[test]
    fn going_on_from_a_frontier_is_reading_everything(stories in 1..5_usize, place in any::<prop::sample::Index>()) {
        let mut log = Writer::new();
        for _ in 0..stories {
            log.write(decision());
            let intent = log.write(intent());
            let unknown = log.write(closing(Phase::Outcome, intent, Outcome::Unknown));
            log.write(closing(Phase::Resolution, unknown, Outcome::Failure));
            log.write(super::receipts::intent());
        }
        let place = place.index(log.lines.len() + 1);
        let before = go_on(Ledger::new(origin()), &log.lines[..place]);
        let sealed = before.frontier().seal(&key("rec-1")).unwrap();
        let resumed = Frontier::open(sealed.as_bytes(), &authority()).unwrap();
        prop_assert_eq!(&resumed, &before);
        prop_assert_eq!(go_on(resumed, &log.lines[place..]), log.ledger);
    }
}

proptest! {
    /// Any other byte at any place of the log or its checkpoint is refused.
    #[test]
    fn one_changed_byte_is_refused(in_log: bool, place in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let log = story();
        let (mut bytes, mut note) = (log.bytes(), log.checkpoint().into_bytes());
        let changed = if in_log { &mut bytes } else { &mut note };
        let place = place.index(changed.len());
        changed[place] ^= with;
        prop_assert!(verify_log(&bytes, Some(&note), &authority()).is_err(), "byte {place}");
    }
}
