//! Attacks on what is published, each through the daemon itself: it ends with the status and the code that the attack deserves,
//! and the bundle that it follows stays the one that it was. `contract` tests the same doors one by one.

use std::collections::BTreeSet;

use contract::canonical;
use contract::digest::Digest;
use contract::model::Model;
use contract::seal::{
    BundlePredicate, Envelope, Person, PrivateKey, Serial, Signature, Statement, TrustRoot,
};
use jiff::SignedDuration;
use reconciler::store::Store as _;
use reconciler::world::store_sqlite::SqliteStore;
use serde_json::{Value, json};

use super::world::{self, World, key};

/// The published files, owned, so that an attack can change them.
#[derive(Clone)]
struct Files {
    roots: Vec<Vec<u8>>,
    envelope: Vec<u8>,
    bundle: Vec<u8>,
    provenance: Vec<u8>,
}

/// A daemon that follows bundle 2, and the bundle that would come next.
struct Stage {
    world: World,
    first: Files,
    second: Files,
    next: Files,
}

/// Everybody whose word counts for a bundle.
const ALL: &[&str] = &["ci", "olga", "omar"];

/// As the root of other tests, with two persons for the root and two owners who must agree to a weakening.
fn root() -> TrustRoot {
    let mut root = world::root();
    for name in ["abe", "omar"] {
        add(&mut root, name, name);
    }
    root.roles.root = role(&["ada", "abe"]);
    let owner = &mut root.roles.environments.get_mut("dev").unwrap().owner;
    owner.keyids = role(&["olga", "omar"]).keyids;
    owner.weakening_threshold = 2;
    root
}

/// These keys, each of whose holders must sign.
fn role(names: &[&str]) -> contract::seal::RoleKeys {
    let keyids: BTreeSet<_> = names
        .iter()
        .map(|name| key(name).public().key_id())
        .collect();
    let threshold = keyids.len() as u64;
    contract::seal::RoleKeys { keyids, threshold }
}

fn add(root: &mut TrustRoot, person: &str, name: &str) {
    let public = key(name).public();
    let person = Person {
        person: person.into(),
        public_key: public.to_pem().unwrap(),
    };
    root.persons.insert(public.key_id(), person);
}

fn signed(payload: Vec<u8>, names: &[&str]) -> Vec<u8> {
    let keys: Vec<PrivateKey> = names.iter().map(|name| key(name)).collect();
    let envelope = Envelope::sign(payload, &keys.iter().collect::<Vec<_>>());
    envelope.to_json().into_bytes()
}

fn sealed_root(root: &TrustRoot, names: &[&str]) -> Vec<u8> {
    let statement = Statement::about_itself("trust-root", root.clone()).unwrap();
    signed(statement.to_payload().unwrap(), names)
}

/// A root that breaks its own rules, which nothing of ours would sign.
fn unsound_root(root: &TrustRoot, names: &[&str]) -> Vec<u8> {
    let predicate = serde_json::to_value(root).unwrap();
    let digest = Digest::of(&canonical::to_bytes(&predicate).unwrap());
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "trust-root", "digest": {"sha256": digest}}],
        "predicateType": "https://seawall.dev/trust-root/v1",
        "predicate": predicate,
    });
    signed(canonical::to_bytes(&statement).unwrap(), names)
}

fn bundle_of(model: &Value) -> Vec<u8> {
    let model: Model = serde_json::from_value(model.clone()).unwrap();
    canonical::to_bytes(&model).unwrap()
}

impl Files {
    fn new(model: &Value, stated: BundlePredicate, names: &[&str]) -> Self {
        let mut files = Self {
            roots: vec![sealed_root(&root(), &["ada", "abe"])],
            envelope: Vec::new(),
            bundle: bundle_of(model),
            provenance: b"{\"values\":{}}".to_vec(),
        };
        files.state(stated, names);
        files
    }

    fn payload(&self) -> Vec<u8> {
        Envelope::from_json(&self.envelope).unwrap().payload
    }

    fn stated(&self) -> BundlePredicate {
        Statement::from_payload(&self.payload()).unwrap().predicate
    }

    /// Another statement about the files as they are.
    fn state(&mut self, stated: BundlePredicate, names: &[&str]) {
        let statement = Statement::about_bundle(stated, &self.bundle, &self.provenance);
        self.envelope = signed(statement.to_payload().unwrap(), names);
    }

    fn sign(&mut self, names: &[&str]) {
        self.envelope = signed(self.payload(), names);
    }

    /// The statement with one text replaced, signed by all: what a compiler that errs would publish.
    fn restate(&mut self, from: &str, to: &str) {
        self.envelope = signed(altered(&self.payload(), from, to), ALL);
    }

    /// The envelope with one text replaced.
    fn rewrap(&mut self, from: &str, to: &str) {
        self.envelope = altered(&self.envelope, from, to);
    }

    /// Other bytes as `bundle.json`, under a statement that all have signed for them.
    fn rebundle(&mut self, bundle: Vec<u8>) {
        self.bundle = bundle;
        self.state(self.stated(), ALL);
    }

    fn remodel(&mut self, from: &str, to: &str) {
        self.rebundle(altered(&self.bundle, from, to));
    }
}

fn altered(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "`{from}` is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let stated = |serial: u64, before: Option<&Files>| {
            let mut stated = world.predicate();
            stated.serial = Serial::new(serial).unwrap();
            stated.previous = before.map(|files| Digest::of(&files.payload()));
            stated
        };
        let first = Files::new(&world.model, stated(1, None), ALL);
        let second = Files::new(&world.model, stated(2, Some(&first)), ALL);
        let next = Files::new(&world.model, stated(3, Some(&second)), &["ci"]);
        let pin = |root: &[u8]| Digest::of(&Envelope::from_json(root).unwrap().payload);
        let was = std::fs::read(world.path("policy/trust/1.root.json")).unwrap();
        world.configure(&[(&pin(&was).to_string(), &pin(&first.roots[0]).to_string())]);
        let stage = Self {
            world,
            first,
            second,
            next,
        };
        stage.publish(&stage.second);
        stage.world.expect(0, &["once"]);
        stage
    }

    fn publish(&self, files: &Files) {
        let trust = self.world.path("policy/trust");
        std::fs::remove_dir_all(&trust).unwrap();
        std::fs::create_dir(&trust).unwrap();
        for (index, root) in files.roots.iter().enumerate() {
            std::fs::write(trust.join(format!("{}.root.json", index + 1)), root).unwrap();
        }
        let put = |name: &str, bytes: &[u8]| self.world.put(&format!("policy/dev/{name}"), bytes);
        put("bundle.dsse.json", &files.envelope);
        put("bundle.json", &files.bundle);
        put("provenance.json", &files.provenance);
        self.world.commit();
    }

    /// What the daemon would follow if git were gone.
    fn active(&self) -> (Serial, Digest, u64, Vec<u8>) {
        let store = self.world.path("state/store.sqlite");
        let store = SqliteStore::open_read_only(&store).unwrap();
        let stored = store.accepted().unwrap().unwrap();
        let (serial, payload) = (stored.serial, stored.payload);
        (serial, payload, stored.root_version, stored.bundle)
    }

    /// Publishes each of these, and nothing changes.
    fn refuses(&self, attacks: &[Attack]) {
        let before = self.active();
        for (name, status, code, attack) in attacks {
            let mut files = self.next.clone();
            attack(&mut files, self);
            self.publish(&files);
            let done = self.world.run(&["once"]);
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(*status), "{name}: {said}");
            assert!(said.contains(code), "{name}: {said}");
            assert!(self.active() == before, "{name} changes what is followed");
        }
        let receipts = self.world.json(0, &["receipts"]);
        let refused = receipts.as_array().unwrap().iter();
        let refused = refused.filter(|it| it["decision_type"] == "bundle_refused");
        let by_seal = attacks.iter().filter(|attack| attack.1 == 3).count();
        assert_eq!(refused.count(), by_seal, "each refusal is a receipt");
    }
}

/// What is attacked, the exit status and the code, and how.
type Attack = (&'static str, i32, &'static str, fn(&mut Files, &Stage));

/// The order of the group of Ed25519, lowest byte first: a signature of `S + L` is another spelling of one of `S`.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn spelt_otherwise(signature: &mut [u8]) {
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}

/// The envelope of the next bundle with what this makes of its one signature.
fn with_signature(files: &mut Files, change: impl FnOnce(&[u8], &mut Vec<u8>)) {
    let mut envelope = Envelope::from_json(&files.envelope).unwrap();
    change(&envelope.payload, &mut envelope.signatures[0].sig);
    files.envelope = envelope.to_json().into_bytes();
}

const SIGNATURES: &[Attack] = &[
    ("a stranger's signature", 3, "SW0511", |f, _| {
        f.sign(&["mallory"]);
    }),
    ("no signature", 3, "SW0511", |f, _| f.sign(&[])),
    ("a signature over the payload alone", 3, "SW0511", |f, _| {
        with_signature(f, |payload, sig| *sig = key("ci").sign(payload).to_vec());
    }),
    ("a second spelling of a signature", 3, "SW0511", |f, _| {
        with_signature(f, |_, sig| spelt_otherwise(sig));
    }),
    ("63 bytes", 3, "SW0511", |f, _| {
        with_signature(f, |_, sig| sig.truncate(63));
    }),
    ("zeros", 3, "SW0511", |f, _| {
        with_signature(f, |_, sig| sig.fill(0));
    }),
    ("another payload type after signing", 3, "SW0511", |f, _| {
        f.rewrap("application/vnd.in-toto+json", "application/json");
    }),
    ("owners without the compiler", 3, "SW0513", |f, _| {
        f.sign(&["olga", "omar"]);
    }),
    ("the receipt key as compiler", 3, "SW0513", |f, _| {
        f.sign(&["rec"]);
    }),
    ("a trust root as bundle", 3, "SW0513", |f, _| {
        f.envelope.clone_from(&f.roots[0]);
    }),
    (
        "a stranger's signature beside good ones",
        3,
        "SW0512",
        |f, _| {
            f.sign(&["ci", "olga", "omar", "mallory"]);
        },
    ),
    ("weakening by one owner of two", 3, "SW0530", |f, stage| {
        weaken(f, stage, &["ci", "olga"]);
    }),
    ("weakening by one owner twice", 3, "SW0530", |f, stage| {
        weaken(f, stage, &["ci", "olga", "olga"]);
    }),
    (
        "weakening by the compiler alone",
        3,
        "SW0530",
        |f, stage| {
            weaken(f, stage, &["ci"]);
        },
    ),
    ("payload type `application/json`", 3, "SW0514", |f, _| {
        let mut envelope = Envelope {
            payload_type: "application/json".into(),
            payload: f.payload(),
            signatures: Vec::new(),
        };
        envelope.add_signature(&key("ci"));
        f.envelope = envelope.to_json().into_bytes();
    }),
    (
        "the type of a receipt, signed by all",
        3,
        "SW0516",
        |f, _| {
            f.restate("/plan-bundle/v1", "/receipt/v1");
        },
    ),
];

fn weaken(files: &mut Files, stage: &Stage, names: &[&str]) {
    let mut model = stage.world.model.clone();
    for retention in ["/plans/bp_files/retention", "/settings/retention/short"] {
        model.pointer_mut(retention).unwrap()["min_versions"] = 1.into();
    }
    files.bundle = bundle_of(&model);
    files.state(files.stated(), names);
}

const ENVELOPES: &[Attack] = &[
    ("33 signatures", 3, "SW0503", |f, _| f.sign(&["ci"; 33])),
    ("a line end in base64", 3, "SW0503", |f, _| {
        f.rewrap("\"payload\":\"", "\"payload\":\"\\n");
    }),
    ("base64 without padding", 3, "SW0503", |f, _| {
        f.rewrap("==\"}]", "\"}]");
    }),
    ("a key twice", 3, "SW0503", |f, _| {
        f.rewrap("{\"payload\":", "{\"payload\":\"\",\"payload\":");
    }),
    ("an unknown key", 3, "SW0503", |f, _| {
        f.rewrap("{\"payload\":", "{\"x\":1,\"payload\":");
    }),
    ("bytes after the end", 3, "SW0503", |f, _| {
        f.envelope.push(b'x');
    }),
    ("100,000 deep", 3, "SW0503", |f, _| {
        f.envelope = vec![b'['; 100_000];
    }),
    ("an envelope of 17 MiB", 3, "SW0502", |f, _| {
        f.envelope = vec![b' '; 17 << 20];
    }),
    ("a bundle of 65 MiB", 3, "SW0502", |f, _| {
        f.bundle = vec![b' '; 65 << 20];
    }),
    ("65 roots", 3, "SW0502", |f, _| {
        f.roots.resize(65, f.roots[0].clone());
    }),
];

const STATEMENTS: &[Attack] = &[
    ("serial 0", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":0");
    }),
    ("serial 2^53", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":9007199254740992");
    }),
    ("serial 2^64", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":18446744073709551616");
    }),
    ("serial 3.0", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":3.0");
    }),
    ("serial 1e400", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":1e400");
    }),
    ("a key twice", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":3,\"serial\":3");
    }),
    ("a space", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\": 3");
    }),
    ("an escape", 3, "SW0515", |f, _| {
        f.restate("\"dev\"", "\"\\u0064ev\"");
    }),
    ("an unknown key", 3, "SW0515", |f, _| {
        f.restate(SERIAL, "\"serial\":3,\"surprise\":1");
    }),
    ("100,000 deep", 3, "SW0515", |f, _| {
        let deep = format!("\"serial\":{}3{}", "[".repeat(100_000), "]".repeat(100_000));
        f.restate(SERIAL, &deep);
    }),
    ("another environment", 3, "SW0517", |f, _| {
        f.restate("\"environment\":\"dev\"", "\"environment\":\"staging\"");
    }),
    ("another reconciler", 3, "SW0518", |f, _| {
        f.restate("\"audience\":[\"rec\"]", "\"audience\":[\"other\"]");
    }),
    ("a root that is not published", 3, "SW0519", |f, _| {
        f.restate("\"trust_root_version\":1", "\"trust_root_version\":3");
    }),
    ("an hour ahead", 3, "SW0526", |f, _| {
        let mut stated = f.stated();
        stated.issued_at += SignedDuration::from_hours(1);
        f.state(stated, ALL);
    }),
    ("expired", 3, "SW0525", |f, _| {
        let mut stated = f.stated();
        stated.issued_at -= SignedDuration::from_hours(48);
        stated.expires_at -= SignedDuration::from_hours(25);
        f.state(stated, ALL);
    }),
    ("rollback to serial 1", 3, "SW0527", |f, stage| {
        f.clone_from(&stage.first);
    }),
    ("another serial 2", 3, "SW0528", |f, stage| {
        f.clone_from(&stage.second);
        let mut stated = f.stated();
        stated.compiler_version = "0.2.0".into();
        f.state(stated, ALL);
    }),
    ("another history", 3, "SW0529", |f, _| {
        let mut stated = f.stated();
        stated.previous = Some(Digest::of(b"another history"));
        f.state(stated, ALL);
    }),
];

const SERIAL: &str = "\"serial\":3";

const FILES: &[Attack] = &[
    ("the bundle of another build", 3, "SW0521", |f, stage| {
        let mut model = stage.world.model.clone();
        model["plans"]["bp_files"]["name"] = "another name".into();
        f.bundle = bundle_of(&model);
    }),
    ("the provenance of another build", 3, "SW0521", |f, _| {
        f.provenance = b"{\"values\":{\"a\":1}}".to_vec();
    }),
    ("a bundle that is cut", 3, "SW0521", |f, _| {
        f.bundle.truncate(100);
    }),
    ("one bit", 3, "SW0522", |f, _| f.bundle[50] ^= 1),
    ("a third subject", 3, "SW0520", |f, _| {
        with_subject(f, |subject| {
            let mut third = subject[0].clone();
            third["name"] = "third.json".into();
            subject.push(third);
        });
    }),
    ("a subject twice", 3, "SW0520", |f, _| {
        with_subject(f, |subject| subject[1] = subject[0].clone());
    }),
    ("a model of another environment", 3, "SW0524", |f, _| {
        f.remodel(
            "\"environment_id\":\"dev\"",
            "\"environment_id\":\"staging\"",
        );
    }),
    ("format 2", 3, "SW0524", |f, _| {
        f.remodel("\"format\":1", "\"format\":2");
    }),
    ("an unknown field", 3, "SW0524", |f, _| {
        f.remodel("\"format\":1", "\"format\":1,\"fromat\":1");
    }),
    ("a plan that leads elsewhere", 3, "SW0524", |f, _| {
        f.remodel("\"plan_id\":\"bp_files\"", "\"plan_id\":\"../../etc\"");
    }),
    ("a key that leads elsewhere", 3, "SW0524", |f, _| {
        f.remodel("\"kid\":\"k1\"", "\"kid\":\"../x\"");
    }),
    ("a byte order mark", 3, "SW0523", |f, _| {
        f.rebundle([&b"\xef\xbb\xbf"[..], &f.bundle].concat());
    }),
    ("bytes that are no UTF-8", 3, "SW0523", |f, _| {
        f.rebundle([&f.bundle[..], b"\xff"].concat());
    }),
    ("half of a surrogate pair", 3, "SW0523", |f, _| {
        f.remodel("\"name\":\"files\"", "\"name\":\"\\ud800\"");
    }),
    ("pinned root missing", 4, "SW1206", |f, _| f.roots.clear()),
];

/// The statement with other subjects, signed by all.
fn with_subject(files: &mut Files, change: impl FnOnce(&mut Vec<Value>)) {
    let mut statement: Value = serde_json::from_slice(&files.payload()).unwrap();
    change(statement["subject"].as_array_mut().unwrap());
    files.envelope = signed(canonical::to_bytes(&statement).unwrap(), ALL);
}

/// The second root of a chain: the same with one more change.
fn second_root(change: impl FnOnce(&mut TrustRoot)) -> TrustRoot {
    let mut root = root();
    root.version = 2;
    change(&mut root);
    root
}

const ROOTS: &[Attack] = &[
    ("root 1 exchanged", 3, "SW0504", |f, _| {
        let mut other = root();
        other.expires_at = "2098-01-01T00:00:00Z".parse().unwrap();
        f.roots[0] = sealed_root(&other, &["ada", "abe"]);
    }),
    ("a bundle statement as root 2", 3, "SW0505", |f, _| {
        f.roots.push(signed(f.payload(), &["ada", "abe"]));
    }),
    ("a threshold of 0", 3, "SW0505", |f, _| {
        let root = second_root(|root| root.roles.root.threshold = 0);
        f.roots.push(unsound_root(&root, &["ada", "abe"]));
    }),
    ("a key under another's id", 3, "SW0505", |f, _| {
        let root = second_root(|root| {
            let id = key("omar").public().key_id();
            root.persons.get_mut(&id).unwrap().public_key = key("olga").public().to_pem().unwrap();
        });
        f.roots.push(unsound_root(&root, &["ada", "abe"]));
    }),
    ("root 2 by one of two", 3, "SW0507", |f, _| {
        f.roots.push(sealed_root(&second_root(|_| ()), &["ada"]));
    }),
    ("root 2 by one key twice", 3, "SW0507", |f, _| {
        let root = second_root(|_| ());
        f.roots.push(sealed_root(&root, &["ada", "ada"]));
    }),
    ("root 2 by old persons alone", 3, "SW0507", |f, _| {
        f.roots.push(sealed_root(&taken_over(), &["ada", "abe"]));
    }),
    ("root 2 by new persons alone", 3, "SW0507", |f, _| {
        f.roots.push(sealed_root(&taken_over(), &["zoe", "zed"]));
    }),
    ("a root that is skipped", 3, "SW0506", |f, _| {
        let root = second_root(|root| root.version = 3);
        f.roots.push(sealed_root(&root, &["ada", "abe"]));
    }),
    ("a stranger's signature on root 2", 3, "SW0512", |f, _| {
        let root = second_root(|_| ());
        let names = ["ada", "abe", "mallory"];
        f.roots.push(sealed_root(&root, &names));
    }),
];

fn taken_over() -> TrustRoot {
    second_root(|root| {
        for name in ["zoe", "zed"] {
            add(root, name, name);
        }
        root.roles.root = role(&["zoe", "zed"]);
    })
}

#[rstest::rstest]
#[case::signatures(SIGNATURES)]
#[case::envelopes(ENVELOPES)]
#[case::statements(STATEMENTS)]
#[case::files(FILES)]
#[case::roots(ROOTS)]
fn what_is_refused_leaves_the_bundle_that_it_was(#[case] attacks: &[Attack]) {
    let stage = Stage::new();
    stage.refuses(attacks);
    // What comes next is taken as if nothing had been.
    stage.publish(&stage.next);
    stage.world.expect(0, &["once"]);
    let (serial, payload, ..) = stage.active();
    assert_eq!(serial.get(), 3);
    assert_eq!(payload, Digest::of(&stage.next.payload()));
}

/// Roots that are good in themselves. They may be remembered, so each has a world of its own.
const TAKE_AWAY: &[Attack] = &[
    ("a revoked key", 3, "SW0513", |f, _| {
        let root = second_root(|root| {
            root.persons.remove(&key("ci").public().key_id());
            add(root, "ci", "ci-2");
            let dev = root.roles.environments.get_mut("dev").unwrap();
            dev.compiler = role(&["ci-2"]);
        });
        f.roots.push(sealed_root(&root, &["ada", "abe"]));
    }),
    ("a root that is over", 3, "SW0508", |f, _| {
        let root = second_root(|root| root.expires_at = "2026-01-02T00:00:00Z".parse().unwrap());
        f.roots.push(sealed_root(&root, &["ada", "abe"]));
    }),
    ("a root without the environment", 3, "SW0510", |f, _| {
        let root = second_root(|root| root.roles.environments.clear());
        f.roots.push(sealed_root(&root, &["ada", "abe"]));
    }),
];

#[rstest::rstest]
#[case::revoked(0)]
#[case::expired(1)]
#[case::without_us(2)]
fn a_second_root_that_takes_trust_away_is_obeyed(#[case] which: usize) {
    Stage::new().refuses(&TAKE_AWAY[which..=which]);
}

#[test]
fn a_root_that_was_followed_is_not_given_up_for_an_older_one() {
    let stage = Stage::new();
    let mut newer = stage.next.clone();
    newer
        .roots
        .push(sealed_root(&second_root(|_| ()), &["ada", "abe"]));
    stage.publish(&newer);
    stage.world.expect(0, &["once"]);
    assert_eq!(stage.active().2, 2);
    stage.refuses(&[("an older root", 3, "SW0509", |f, _| {
        let mut stated = f.stated();
        stated.serial = Serial::new(4).unwrap();
        stated.previous = Some(Digest::of(&f.payload()));
        f.state(stated, ALL);
    })]);
}

/// What is spelt otherwise and says the same is the same bundle, and no reason to stop.
#[test]
fn other_spellings_of_the_same_bundle_are_taken() {
    let stage = Stage::new();
    let changes: [(&str, fn(&mut Files)); 5] = [
        ("32 signatures of one key", |f| f.sign(&["ci"; 32])),
        ("a hint at another key", |f| {
            let mut envelope = Envelope::from_json(&f.envelope).unwrap();
            let sig = envelope.signatures[0].sig.clone();
            let keyid = Some(key("olga").public().key_id().to_string());
            envelope.signatures = vec![Signature { keyid, sig }];
            f.envelope = envelope.to_json().into_bytes();
        }),
        ("the URL-safe alphabet", |f| {
            let mut wire: Value = serde_json::from_slice(&f.envelope).unwrap();
            for pointer in ["/payload", "/signatures/0/sig"] {
                let value = wire.pointer_mut(pointer).unwrap();
                let text = value.as_str().unwrap().replace('+', "-").replace('/', "_");
                *value = text.into();
            }
            f.envelope = wire.to_string().into_bytes();
        }),
        ("spaces after root 1", |f| f.roots[0].extend(b"  \n")),
        ("64 roots", |f| {
            for version in 2..=64 {
                let mut root = root();
                root.version = version;
                f.roots.push(sealed_root(&root, &["ada", "abe"]));
            }
        }),
    ];
    for (name, change) in changes {
        let mut files = stage.next.clone();
        change(&mut files);
        stage.publish(&files);
        let done = stage.world.run(&["once"]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{name}: {said}");
        let (serial, payload, ..) = stage.active();
        assert_eq!(serial.get(), 3, "{name}");
        assert_eq!(payload, Digest::of(&files.payload()), "{name}");
    }
    // A history that has nothing in common with the one before decides nothing either.
    stage.world.git(&["checkout", "-q", "--orphan", "other"]);
    stage.world.commit();
    stage.world.git(&["branch", "-q", "-M", "main"]);
    stage.world.expect(0, &["once"]);
}
