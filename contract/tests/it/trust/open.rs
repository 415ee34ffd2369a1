//! The first door: what is untouched opens, and every attack is refused with its own code.

use std::collections::BTreeSet;

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::seal::{Envelope, Person, Role, Statement, TrustRoot};
use proptest::prelude::*;

use super::{Files, at, environment, key, predicate, root, sealed, sealed_under};

fn good() -> Files {
    sealed(predicate(1, None), &["ci"])
}

pub fn resign(files: &mut Files, payload: Vec<u8>, keys: &[&str]) {
    let keys: Vec<_> = keys.iter().map(|name| key(name)).collect();
    files.envelope = Envelope::sign(payload, &keys.iter().collect::<Vec<_>>())
        .to_json()
        .into_bytes();
}

pub fn payload(files: &Files) -> Vec<u8> {
    Envelope::from_json(&files.envelope).unwrap().payload
}

pub fn altered(payload: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(payload).unwrap();
    assert!(text.contains(from), "`{from}` is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// The statement with one text replaced, signed again by the compiler: what a compiler that errs would publish.
pub fn restate(files: &mut Files, from: &str, to: &str) {
    let payload = altered(&payload(files), from, to);
    resign(files, payload, &["ci"]);
}

/// Other bytes as `bundle.json`, under a statement that the compiler signed for them.
pub fn rebundle(files: &mut Files, bundle: &[u8]) {
    files.bundle = bundle.to_vec();
    let statement = Statement::about_bundle(predicate(1, None), bundle, &files.provenance);
    resign(files, statement.to_payload().unwrap(), &["ci"]);
}

pub fn pinned(files: &mut Files, root: &TrustRoot, keys: &[&str]) {
    let keys: Vec<_> = keys.iter().map(|name| key(name)).collect();
    let envelope = root.seal(&keys.iter().collect::<Vec<_>>()).unwrap();
    files.pin.root_sha256 = Digest::of(&envelope.payload);
    files.roots = vec![envelope.to_json().into_bytes()];
}

fn check(code: Code, attack: impl FnOnce(&mut Files)) {
    let mut files = good();
    files.open().expect("the untouched files open");
    attack(&mut files);
    let refusal = files.open().expect_err("the attack is refused");
    assert_eq!(refusal.code(), code, "{refusal}");
    let message = refusal.to_string();
    assert!(
        !message.contains('\n') && !message.ends_with('.'),
        "{message}"
    );
    assert!(
        message.starts_with(|c: char| !c.is_uppercase()),
        "{message}"
    );
    assert!(!refusal.help().is_empty());
}

#[test]
fn untouched_files_open() {
    let files = sealed(predicate(1, None), &["ci", "olga", "olga-2"]);
    let verified = files.open().unwrap();
    assert_eq!(verified.get().model, super::model());
    assert_eq!(*verified.identity(), Digest::of(&payload(&files)));
    assert_eq!(
        verified.signed_by(Role::Compiler),
        BTreeSet::from(["ci".to_owned()])
    );
    assert_eq!(
        verified.signed_by(Role::Owner),
        BTreeSet::from(["olga".to_owned()])
    );
    assert_eq!(verified.bundle_bytes(), files.bundle);
    assert_eq!(verified.provenance_bytes(), files.provenance);
}

#[test]
fn the_url_safe_alphabet_and_a_wrong_hint_change_nothing() {
    let mut files = good();
    let mut envelope = Envelope::from_json(&files.envelope).unwrap();
    envelope.signatures[0].keyid = Some(key("olga").public().key_id().to_string());
    let mut wire: serde_json::Value = serde_json::from_str(&envelope.to_json()).unwrap();
    for pointer in ["/payload", "/signatures/0/sig"] {
        let value = wire.pointer_mut(pointer).unwrap();
        *value = value
            .as_str()
            .unwrap()
            .replace('+', "-")
            .replace('/', "_")
            .into();
    }
    files.envelope = wire.to_string().into_bytes();
    files.open().unwrap();
}

#[test]
fn attacks_on_size() {
    check(code::SEAL_TOO_LARGE, |f| f.roots = vec![vec![]; 65]);
    check(code::SEAL_TOO_LARGE, |f| {
        f.roots[0] = vec![b' '; (1 << 20) + 1];
    });
    check(code::SEAL_TOO_LARGE, |f| {
        f.envelope = vec![b' '; (16 << 20) + 1];
    });
    check(code::SEAL_TOO_LARGE, |f| {
        f.bundle = vec![b' '; (64 << 20) + 1];
    });
}

#[test]
fn attacks_on_the_root() {
    check(code::ROOT_NOT_PINNED, |f| {
        f.pin.root_sha256 = Digest::of(b"other");
    });
    check(code::ROOT_NOT_PINNED, |f| f.roots.clear());
    check(code::ENVELOPE_INVALID, |f| f.roots[0].truncate(100));
    // A root of the attacker's own making under the name of the real one.
    check(code::ROOT_NOT_PINNED, |f| {
        let mut other = root();
        other
            .roles
            .environments
            .get_mut(&environment())
            .unwrap()
            .compiler
            .keyids = [key("dev-ci").public().key_id()].into();
        f.roots = vec![
            other
                .seal(&[&key("ada"), &key("abe")])
                .unwrap()
                .to_json()
                .into_bytes(),
        ];
    });
    check(code::ROOT_UNSIGNED, |f| pinned(f, &root(), &["ada"]));
    check(code::ROOT_UNSIGNED, |f| pinned(f, &root(), &["ada", "ada"]));
    check(code::ROOT_UNSIGNED, |f| {
        pinned(f, &root(), &["ci", "olga", "omar"]);
    });
    check(code::SIGNATURE_UNKNOWN, |f| {
        pinned(f, &root(), &["ada", "abe", "mallory"]);
    });
    // One person with two keys where two persons are asked for.
    check(code::ROOT_UNSIGNED, |f| {
        let mut root = root();
        root.persons
            .get_mut(&key("omar").public().key_id())
            .unwrap()
            .person = "ada".into();
        root.roles.root.keyids.insert(key("omar").public().key_id());
        pinned(f, &root, &["ada", "omar"]);
    });
    // A payload of another kind as the root.
    check(code::ROOT_INVALID, |f| {
        f.pin.root_sha256 = Digest::of(&payload(f));
        f.roots = vec![f.envelope.clone()];
    });
    check(code::ENVIRONMENT_NOT_TRUSTED, |f| {
        f.environment = "staging".parse().unwrap();
    });
}

#[test]
fn roots_that_contradict_themselves_are_not_sealed() {
    let broken: [fn(&mut TrustRoot); 8] = [
        |r| r.version = 0,
        |r| r.expires_at = r.issued_at,
        |r| r.roles.root.threshold = 0,
        |r| r.roles.root.threshold = 3,
        |r| {
            r.roles.root.keyids.insert(key("mallory").public().key_id());
        },
        |r| {
            let pem = key("mallory").public().to_pem().unwrap();
            r.persons.insert(
                key("ada").public().key_id(),
                Person {
                    person: "ada".into(),
                    public_key: pem,
                },
            );
        },
        |r| {
            r.roles
                .environments
                .get_mut(&environment())
                .unwrap()
                .owner
                .weakening_threshold = 0;
        },
        // Three keys, but only two persons.
        |r| {
            r.roles
                .environments
                .get_mut(&environment())
                .unwrap()
                .owner
                .weakening_threshold = 3;
        },
    ];
    for (index, break_it) in broken.iter().enumerate() {
        let mut root = root();
        break_it(&mut root);
        assert!(root.seal(&[&key("ada"), &key("abe")]).is_err(), "{index}");
    }
}

#[test]
fn attacks_on_the_signatures() {
    check(code::UNSIGNED, |f| resign(f, payload(f), &[]));
    check(code::UNSIGNED, |f| resign(f, payload(f), &["mallory"]));
    check(code::SIGNATURE_UNKNOWN, |f| {
        resign(f, payload(f), &["ci", "mallory"]);
    });
    // Keys of the root, but in no or another role, or only in another environment.
    for name in ["rec-1", "olga", "ada", "dev-ci"] {
        check(code::THRESHOLD_MISSED, |f| resign(f, payload(f), &[name]));
    }
    // A hint at a key does not stand for its signature.
    check(code::UNSIGNED, |f| {
        resign(f, payload(f), &["mallory"]);
        let mut envelope = Envelope::from_json(&f.envelope).unwrap();
        envelope.signatures[0].keyid = Some(key("ci").public().key_id().to_string());
        f.envelope = envelope.to_json().into_bytes();
    });
    // The signature belongs to other content.
    check(code::UNSIGNED, |f| {
        let mut envelope = Envelope::from_json(&f.envelope).unwrap();
        envelope.payload = altered(&envelope.payload, "\"serial\":1", "\"serial\":2");
        f.envelope = envelope.to_json().into_bytes();
    });
    check(code::ENVELOPE_INVALID, |f| f.envelope.truncate(200));
    check(code::ENVELOPE_INVALID, |f| f.envelope = b"{}".to_vec());
    check(code::ENVELOPE_INVALID, |f| f.envelope.clear());
}

#[test]
fn two_keys_of_one_person_count_once() {
    let mut two_compilers = root();
    let roles = two_compilers
        .roles
        .environments
        .get_mut(&environment())
        .unwrap();
    roles.compiler.keyids = roles.owner.keyids.clone();
    roles.compiler.threshold = 2;
    let refusal = sealed_under(&two_compilers, predicate(1, None), &["olga", "olga-2"])
        .open()
        .unwrap_err();
    assert_eq!(refusal.code(), code::THRESHOLD_MISSED);
    sealed_under(&two_compilers, predicate(1, None), &["olga", "omar"])
        .open()
        .unwrap();
}

#[test]
fn owners_on_every_bundle_where_the_root_says_so() {
    let mut strict = root();
    strict
        .roles
        .environments
        .get_mut(&environment())
        .unwrap()
        .owner
        .threshold = 1;
    let refusal = sealed_under(&strict, predicate(1, None), &["ci"])
        .open()
        .unwrap_err();
    assert_eq!(refusal.code(), code::THRESHOLD_MISSED);
    sealed_under(&strict, predicate(1, None), &["ci", "omar"])
        .open()
        .unwrap();
}

#[test]
fn attacks_on_the_type() {
    check(code::PAYLOAD_TYPE, |f| {
        let mut envelope = Envelope {
            payload_type: "application/json".into(),
            payload: payload(f),
            signatures: vec![],
        };
        envelope.add_signature(&key("ci"));
        f.envelope = envelope.to_json().into_bytes();
    });
    // The compiler's own signature over a root, and over a statement of a later version.
    check(code::PREDICATE_TYPE, |f| {
        let root = Statement::about_itself("trust-root", root())
            .unwrap()
            .to_payload()
            .unwrap();
        resign(f, root, &["ci"]);
    });
    check(code::PREDICATE_TYPE, |f| {
        restate(f, "plan-bundle/v1", "plan-bundle/v2");
    });
}

#[test]
fn attacks_on_the_statement() {
    let attacks = [
        ("\"serial\":1", "\"serial\":1,\"serial\":1"),
        ("\"serial\":1", "\"serial\":0"),
        ("\"serial\":1", "\"serial\":9007199254740992"),
        ("\"serial\":1", "\"serial\":1.5"),
        ("\"serial\":1", "\"serial\":-1"),
        ("\"serial\":1", "\"serial\":2"),
        ("\"serial\":1", "\"serial\": 1"),
        ("\"serial\":1", "\"serial\":1,\"surprise\":1"),
        (
            "\"issued_at\":\"2026-11-20T00:00:00Z\"",
            "\"issued_at\":\"2026-12-20T00:00:00Z\"",
        ),
        (
            "\"issued_at\":\"2026-11-20T00:00:00Z\"",
            "\"issued_at\":\"2026-11-20T01:00:00+01:00\"",
        ),
        ("\"audience\":[\"rec-1\"]", "\"audience\":[]"),
        ("plans/gold.yaml", "plans/iron.yaml"),
        (
            "https://in-toto.io/Statement/v1",
            "https://in-toto.io/Statement/v0.1",
        ),
        (
            "\"environment\":\"production\"",
            "\"environment\":\"../dev\"",
        ),
    ];
    for (from, to) in attacks {
        check(code::STATEMENT_INVALID, |f| {
            restate(f, from, to);
        });
    }
    check(code::STATEMENT_INVALID, |f| {
        resign(f, b"not json".to_vec(), &["ci"]);
    });
    check(code::WRONG_SUBJECTS, |f| {
        let name = "\"name\":\"provenance.json\"";
        restate(f, "\"name\":\"bundle.json\"", name);
    });
}

#[test]
fn attacks_on_the_address() {
    // A bundle for dev, signed by production's compiler, in the folder of production.
    check(code::OTHER_ENVIRONMENT, |f| {
        let dev = "\"environment\":\"dev\"";
        restate(f, "\"environment\":\"production\"", dev);
    });
    check(code::OTHER_AUDIENCE, |f| {
        f.reconciler = Some("rec-2".parse().unwrap());
    });
    check(code::ROOT_MISSING, |f| {
        let newer = "\"trust_root_version\":2";
        restate(f, "\"trust_root_version\":1", newer);
    });
}

#[test]
fn attacks_on_the_files() {
    check(code::FILE_LENGTH, |f| f.bundle.truncate(10));
    check(code::FILE_LENGTH, |f| f.bundle.push(b'\n'));
    check(code::FILE_LENGTH, |f| f.provenance.clear());
    check(code::FILE_DIGEST, |f| f.bundle[0] ^= 1);
    check(code::FILE_DIGEST, |f| f.provenance[3] ^= 1);
    check(code::FILE_LENGTH, |f| {
        std::mem::swap(&mut f.bundle, &mut f.provenance);
    });
}

fn check_bundle(code: Code, bundle: &[u8]) {
    let mut files = good();
    rebundle(&mut files, bundle);
    let refusal = files.open().unwrap_err();
    assert_eq!(refusal.code(), code, "{refusal}");
}

#[test]
fn what_the_compiler_signed_must_still_be_a_bundle() {
    let bundle = good().bundle;
    let format = "\"format\":1";
    check_bundle(code::FILE_NOT_CANONICAL, b"");
    check_bundle(code::FILE_NOT_CANONICAL, b"{} ");
    check_bundle(
        code::FILE_NOT_CANONICAL,
        &altered(&bundle, format, "\"format\":1,\"format\":1"),
    );
    check_bundle(code::BUNDLE_INVALID, b"{}");
    check_bundle(
        code::BUNDLE_INVALID,
        &altered(&bundle, format, "\"format\":2"),
    );
    check_bundle(
        code::BUNDLE_INVALID,
        &altered(&bundle, format, "\"format\":1,\"fromat\":1"),
    );
    let id = "\"environment_id\":\"production\"";
    check_bundle(
        code::BUNDLE_INVALID,
        &altered(&bundle, id, "\"environment_id\":\"dev\""),
    );
}

/// A policy with errors is not published, and a model that names a thing twice is none.
#[test]
fn what_no_compiler_makes_is_no_bundle() {
    let mut files = good();
    let mut stated = predicate(1, None);
    stated.verdict.findings.errors = 99;
    let statement = Statement::about_bundle(stated, &files.bundle, &files.provenance);
    assert!(statement.to_payload().is_err());
    let payload = contract::canonical::to_bytes(&statement).unwrap();
    resign(&mut files, payload, &["ci"]);
    let refusal = files.open().unwrap_err();
    assert_eq!(refusal.code(), code::STATEMENT_INVALID, "{refusal}");
    assert!(refusal.to_string().contains("99 errors"), "{refusal}");

    let mut doubled = super::model();
    let member = contract::model::GroupMember {
        dataset: "ds".parse().unwrap(),
        after: BTreeSet::new(),
    };
    let group = contract::model::DatasetGroup {
        group_id: "g".parse().unwrap(),
        name: "g".to_owned(),
        members: vec![member.clone(), member],
    };
    doubled.groups.insert("g".parse().unwrap(), group);
    let bytes = contract::canonical::to_bytes(&doubled).unwrap();
    check_bundle(code::BUNDLE_INVALID, &bytes);
}

/// A second root that replaces the compiler's key.
pub fn second() -> TrustRoot {
    let mut second = root();
    second.version = 2;
    second.persons.remove(&key("ci").public().key_id());
    let public = key("ci-2").public();
    second.persons.insert(
        public.key_id(),
        Person {
            person: "ci".into(),
            public_key: public.to_pem().unwrap(),
        },
    );
    second
        .roles
        .environments
        .get_mut(&environment())
        .unwrap()
        .compiler
        .keyids = [public.key_id()].into();
    second.expires_at = at("2028-01-01T00:00:00Z");
    second
}

pub fn chained(second: &TrustRoot, keys: &[&str], compiler: &str) -> Files {
    let mut files = good();
    let keys: Vec<_> = keys.iter().map(|name| key(name)).collect();
    files.roots.push(
        second
            .seal(&keys.iter().collect::<Vec<_>>())
            .unwrap()
            .to_json()
            .into_bytes(),
    );
    let payload = payload(&files);
    resign(&mut files, payload, &[compiler]);
    files
}

#[test]
fn a_chain_of_roots_replaces_keys() {
    let files = chained(&second(), &["ada", "abe"], "ci-2");
    assert_eq!(files.open().unwrap().root().version, 2);
    // A reader that pins the newest root does not need the older one.
    let mut pinned_later = files.clone();
    pinned_later.pin.root_sha256 =
        Digest::of(&Envelope::from_json(&files.roots[1]).unwrap().payload);
    pinned_later.open().unwrap();
    pinned_later.roots.remove(0);
    pinned_later.open().unwrap();
    // The key that was replaced is known, and counts no more.
    let refusal = chained(&second(), &["ada", "abe"], "ci")
        .open()
        .unwrap_err();
    assert_eq!(refusal.code(), code::THRESHOLD_MISSED);
    // With the second root hidden, the new key is unknown.
    let mut hidden = files.clone();
    hidden.roots.pop();
    assert_eq!(hidden.open().unwrap_err().code(), code::UNSIGNED);
}

#[test]
fn a_chain_needs_the_thresholds_of_both_versions() {
    let code_of = |files: Files| files.open().unwrap_err().code();
    assert_eq!(
        code_of(chained(&second(), &["ada"], "ci-2")),
        code::ROOT_UNSIGNED
    );
    let mut taken_over = second();
    for name in ["mallory", "marvin"] {
        let public = key(name).public();
        let person = Person {
            person: name.into(),
            public_key: public.to_pem().unwrap(),
        };
        taken_over.persons.insert(public.key_id(), person);
    }
    taken_over.roles.root.keyids = ["mallory", "marvin"]
        .map(|name| key(name).public().key_id())
        .into();
    assert_eq!(
        code_of(chained(&taken_over, &["mallory", "marvin"], "ci-2")),
        code::ROOT_UNSIGNED
    );
    assert_eq!(
        code_of(chained(&taken_over, &["ada", "abe"], "ci-2")),
        code::ROOT_UNSIGNED
    );
    chained(&taken_over, &["ada", "abe", "mallory", "marvin"], "ci-2")
        .open()
        .unwrap();
    let mut skipped = second();
    skipped.version = 3;
    assert_eq!(
        code_of(chained(&skipped, &["ada", "abe"], "ci-2")),
        code::ROOT_CHAIN_BROKEN
    );
}

proptest! {
    /// Any other byte at any place of any of the four files is refused.
    #[test]
    fn one_changed_byte_is_refused(file in 0..4_usize, place in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let mut files = sealed(predicate(1, None), &["ci", "olga", "omar"]);
        let bytes = match file {
            0 => &mut files.roots[0],
            1 => &mut files.envelope,
            2 => &mut files.bundle,
            _ => &mut files.provenance,
        };
        let place = place.index(bytes.len());
        let before = bytes[place];
        bytes[place] ^= with;
        // The two alphabets of base64 spell the same bytes; where one digit is all that tells them apart, both are right.
        prop_assume!(!matches!((before, bytes[place]), (b'+', b'-') | (b'/', b'_')));
        prop_assert!(files.open().is_err(), "byte {place} of file {file}");
    }
}

#[test]
fn every_third_byte_of_the_envelope_with_one_bit_flipped_is_refused() {
    let files = sealed(predicate(1, None), &["ci", "olga", "omar"]);
    files.open().unwrap();
    for place in (0..files.envelope.len()).step_by(3) {
        let mut flipped = files.clone();
        flipped.envelope[place] ^= 1 << (place % 8);
        assert!(flipped.open().is_err(), "byte {place}");
    }
}

#[test]
fn without_a_root_only_integrity_is_told() {
    let files = good();
    let inspect =
        |files: &Files| contract::seal::inspect(&files.envelope, &files.bundle, &files.provenance);
    let inspected = inspect(&files).unwrap();
    assert_eq!(inspected.identity, *files.open().unwrap().identity());
    assert_eq!(
        (inspected.statement.serial.get(), inspected.signatures),
        (1, 1)
    );
    let mut flipped = files.clone();
    flipped.bundle[5] ^= 1;
    assert_eq!(inspect(&flipped).unwrap_err().code(), code::FILE_DIGEST);
    let mut cut = files.clone();
    cut.envelope.truncate(50);
    assert_eq!(inspect(&cut).unwrap_err().code(), code::ENVELOPE_INVALID);
}
