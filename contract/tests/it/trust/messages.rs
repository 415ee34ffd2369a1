//! One attack for each code of the seal and of receipts: the message and the advice that a person gets, reviewed as a snapshot.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::receipt::{
    Checkpoint, Ledger, LogFault, Phase, Receipt, ReceiptFault, open_line, verify_inclusion,
    verify_log,
};
use contract::seal::{
    Envelope, LastAccepted, PrivateKey, Refusal, Serial, TrustRoot, Weakening, accept, reopen,
};

use super::open::{chained, payload, pinned, rebundle, resign, restate, second};
use super::receipts::{authority, decision, intent, origin, story};
use super::{Files, at, environment, key, predicate, root, sealed};

const NOW: &str = "2026-11-21T00:00:00Z";

fn opened(attack: impl FnOnce(&mut Files)) -> Refusal {
    let mut files = sealed(predicate(1, None), &["ci"]);
    attack(&mut files);
    files.open().unwrap_err()
}

fn resigned(from: &str, to: &str) -> Refusal {
    opened(|files| restate(files, from, to))
}

fn contents(bundle: &[u8]) -> Refusal {
    opened(|files| rebundle(files, bundle))
}

fn accepted(serial: u64, last_serial: u64, weakening: &Weakening, now: &str) -> Refusal {
    let last = LastAccepted {
        serial: Serial::new(last_serial).unwrap(),
        payload: Digest::of(b"last"),
        root_version: 1,
    };
    let bundle = sealed(predicate(serial, Some(Digest::of(b"x"))), &["ci", "olga"])
        .open()
        .unwrap();
    accept(bundle, Some(&last), |_| weakening.clone(), at(now)).unwrap_err()
}

fn of_the_root() -> Vec<Refusal> {
    let mut expiring = root();
    expiring.expires_at = at("2026-11-20T12:00:00Z");
    let expired = super::sealed_under(&expiring, predicate(1, None), &["ci"])
        .open()
        .unwrap();
    let bundle = sealed(predicate(1, None), &["ci"]).open().unwrap();
    let seen = LastAccepted {
        serial: Serial::FIRST,
        payload: Digest::of(b"last"),
        root_version: 2,
    };
    let mut skipped: TrustRoot = second();
    skipped.version = 3;
    vec![
        opened(|files| files.pin.root_sha256 = Digest::of(b"other")),
        opened(|files| {
            files.pin.root_sha256 = Digest::of(&payload(files));
            files.roots = vec![files.envelope.clone()];
        }),
        chained(&skipped, &["ada", "abe"], "ci-2")
            .open()
            .unwrap_err(),
        opened(|files| pinned(files, &root(), &["ada"])),
        accept(expired, None, |_| Weakening::Nothing, at(NOW)).unwrap_err(),
        accept(bundle, Some(&seen), |_| Weakening::Nothing, at(NOW)).unwrap_err(),
        opened(|files| files.environment = "staging".parse().unwrap()),
        resigned("\"trust_root_version\":1", "\"trust_root_version\":2"),
    ]
}

fn of_the_bundle() -> Vec<Refusal> {
    let weaker = Weakening::Weaker(vec!["`bp_gold` keeps 7 d less".into()]);
    let first = sealed(predicate(1, None), &["ci"]).open().unwrap();
    let last = LastAccepted {
        serial: Serial::FIRST,
        payload: Digest::of(b"last"),
        root_version: 1,
    };
    vec![
        Refusal::from(PrivateKey::from_pem("-----BEGIN NOTHING-----").unwrap_err()),
        opened(|files| files.envelope = vec![b' '; (16 << 20) + 1]),
        opened(|files| files.envelope.truncate(200)),
        opened(|files| resign(files, payload(files), &[])),
        opened(|files| resign(files, payload(files), &["ci", "mallory"])),
        opened(|files| resign(files, payload(files), &["olga"])),
        opened(|files| {
            let mut envelope = Envelope {
                payload_type: "text/plain".into(),
                payload: payload(files),
                signatures: vec![],
            };
            envelope.add_signature(&key("ci"));
            files.envelope = envelope.to_json().into_bytes();
        }),
        resigned("\"serial\":1", "\"serial\":0"),
        resigned("plan-bundle/v1", "plan-bundle/v2"),
        resigned("\"environment\":\"production\"", "\"environment\":\"dev\""),
        opened(|files| files.reconciler = Some("rec-2".parse().unwrap())),
        resigned("\"name\":\"bundle.json\"", "\"name\":\"other.json\""),
        opened(|files| files.bundle.truncate(10)),
        opened(|files| files.bundle[0] ^= 1),
        contents(b"{} "),
        contents(b"{\"format\":2}"),
        accepted(5, 4, &Weakening::Nothing, "2026-12-20T00:00:00Z"),
        accepted(5, 4, &Weakening::Nothing, "2026-01-02T00:00:00Z"),
        accepted(3, 4, &Weakening::Nothing, NOW),
        accepted(4, 4, &Weakening::Nothing, NOW),
        accepted(5, 4, &Weakening::Nothing, NOW),
        accepted(6, 4, &weaker, NOW),
        accept(first.clone(), None, |_| Weakening::Nothing, at(NOW)).unwrap_err(),
        reopen(first, &last, at(NOW)).unwrap_err(),
    ]
}

fn of_receipts() -> Vec<ReceiptFault> {
    let log = story();
    let line = log.lines[0].as_bytes();
    let mut dev = decision();
    dev.environment = "dev".parse().unwrap();
    let mut long = decision();
    long.details.insert("log".into(), "x".repeat(70_000));
    let mut dangling = intent();
    dangling.phase = Phase::Outcome;
    dangling.closes = Some(Digest::of(b"nothing"));
    let whole = |checkpoint: Checkpoint| {
        let note = checkpoint.sign(&key("rec-1"));
        match verify_log(&log.bytes(), Some(note.as_bytes()), &authority()).unwrap_err() {
            LogFault::Whole(fault) => fault,
            LogFault::Line { line, fault } => panic!("line {line}: {fault}"),
        }
    };
    let mut other = authority();
    other.keys = root().reconciler_keys(&environment(), &"rec-2".parse().unwrap());
    vec![
        open_line(&line[..line.len() - 1], &authority()).unwrap_err(),
        without_result().seal(&key("rec-1")).unwrap_err(),
        long.seal(&key("rec-1")).unwrap_err(),
        open_line(line, &other).unwrap_err(),
        Ledger::new(origin())
            .check(&{
                let mut moved = decision();
                moved.log_index = 3;
                moved
            })
            .unwrap_err(),
        Ledger::new(origin()).check(&dev).unwrap_err(),
        Ledger::new(origin()).check(&dangling).unwrap_err(),
        Checkpoint::open(b"seawall/production/rec-1\n", &authority()).unwrap_err(),
        Checkpoint::open(log.checkpoint().as_bytes(), &other).unwrap_err(),
        whole(Checkpoint {
            size: 8,
            ..log.ledger.checkpoint()
        }),
        whole(Checkpoint {
            root: Digest::of(b"other"),
            ..log.ledger.checkpoint()
        }),
        verify_inclusion(&log.leaves[0], 1, 7, &log.ledger.root(), &[]).unwrap_err(),
    ]
}

fn without_result() -> Receipt {
    Receipt {
        result: None,
        ..decision()
    }
}

fn tell(
    told: &mut String,
    met: &mut BTreeSet<Code>,
    code: Code,
    message: &impl Display,
    help: &str,
) {
    met.insert(code);
    writeln!(told, "{code} {}\n  {message}\n  help: {help}", code.name()).unwrap();
}

#[test]
fn every_refusal_says_what_is_wrong_and_what_to_do() {
    let (mut told, mut met) = (String::new(), BTreeSet::new());
    let mut refusals: Vec<Refusal> = [of_the_root(), of_the_bundle()].concat();
    refusals.sort_by_key(Refusal::code);
    for refusal in &refusals {
        tell(&mut told, &mut met, refusal.code(), refusal, refusal.help());
    }
    for fault in of_receipts() {
        tell(&mut told, &mut met, fault.code(), &fault, fault.help());
    }
    let ours = [
        code::KEY_UNREADABLE..=code::NOT_LAST_ACCEPTED,
        code::RECEIPT_INVALID..=code::PROOF_INVALID,
    ];
    for code in code::ALL
        .iter()
        .filter(|code| ours.iter().any(|range| range.contains(code)))
    {
        assert!(met.contains(code), "no test meets {code} {}", code.name());
    }
    insta::with_settings!({ snapshot_path => "../../../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("refusals", told);
    });
}
