//! Locations in buckets, at a real server that speaks the protocol of S3: what is there is what is in a folder, and a bucket that is away,
//! another one or wrongly bound costs no other location anything.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::world::{World, certified, same};
use reconciler::world::bucket::Replaces;
use reconciler::world::location::{self, At, Order, Reply, Tail};
use reconciler::world::vault::{LocationBucket, Place};

use crate::bucket_server::{BUCKET, BucketServer, KEY_ID, SECRET, profile};

const REPOSITORY: &str = "dev/bp_files/k1";

/// A world whose location `loc_b` is a bucket.
pub struct Bucket {
    pub world: World,
    server: BucketServer,
}

fn secret_file(world: &World, name: &str, content: &str) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Bucket {
    pub fn new() -> Self {
        let world = World::new();
        let server = BucketServer::start(&world.path("server"), None);
        let it = Self { world, server };
        it.bind("");
        it
    }

    /// What `s3` says where a test changes nothing.
    fn binding(&self) -> String {
        format!(
            "endpoint: '{}', region: us-east-1, bucket: {BUCKET}, prefix: here/seawall, credentials: {{ file: {} }}",
            self.server.endpoint(),
            profile(&self.world.path("")).display()
        )
    }

    /// Writes the configuration, with more fields of the bucket.
    fn bind(&self, more: &str) {
        self.bind_as(&format!("{}{more}", self.binding()));
    }

    fn bind_as(&self, binding: &str) {
        let folder = format!("{{ path: {} }}", self.world.path("loc_b").display());
        let bucket = format!("{{ s3: {{ {binding} }}, patience: PT10S }}");
        self.world.configure(&[(&folder, &bucket)]);
    }

    /// Where the newest point is, by location.
    fn states(&self) -> Value {
        let points = self.world.json(0, &["catalog"]);
        let newest = points.as_array().unwrap().iter();
        let newest = newest.max_by_key(|it| it["consistency_point"].as_str().map(str::to_owned));
        newest.unwrap()["storage_locations"].clone()
    }

    fn repository() -> String {
        format!("here/seawall/{REPOSITORY}")
    }

    fn check(&self) {
        self.server
            .check(&Self::repository(), &self.world.path("k1.key"));
    }

    fn snapshots(&self) -> usize {
        let key = self.world.path("k1.key");
        let listed = self.server.restic(
            &Self::repository(),
            &[
                "snapshots",
                "--json",
                "--password-file",
                key.to_str().unwrap(),
            ],
        );
        let all: Value = serde_json::from_slice(&listed.stdout).unwrap();
        all.as_array().unwrap().len()
    }
}

/// Over TLS that only a private authority vouches for: stock restic finds the point whole, the receipts there hold, and when the folder is
/// lost the data come back from the bucket.
#[test]
fn a_bucket_is_a_location_like_any_other() {
    let world = World::new();
    certified(&world);
    let tls = (world.path("tls.pem"), world.path("tls.key"));
    let server = BucketServer::start(&world.path("server"), Some(tls));
    let it = Bucket { world, server };
    it.bind(&format!(", ca_file: {}", it.world.path("ca.pem").display()));
    // More than one request takes.
    let mut large = vec![0; 40 << 20];
    fastrand::Rng::with_seed(1).fill(&mut large);
    fs::write(it.world.path("live/large.bin"), &large).unwrap();
    it.world.json(0, &["once"]);
    let states = it.states();
    assert_eq!(states["loc_b"], format!("loc_b:{REPOSITORY}"), "{states}");
    it.check();
    assert_eq!(it.snapshots(), 1);
    // A year of receipts is many objects; one after the other they are the log.
    let copy = it.world.path("copy");
    fs::create_dir(&copy).unwrap();
    for (name, kept) in [
        ("receipts-000000000000.jsonl", "receipts.jsonl"),
        ("checkpoint", "checkpoint"),
    ] {
        let content = it
            .server
            .get(&format!("here/seawall/dev/receipts/rec/{name}"));
        fs::write(copy.join(kept), content).unwrap();
    }
    it.world
        .expect(0, &["receipts", "verify", "--dir", copy.to_str().unwrap()]);
    // The mark keeps another bucket from being taken for this one.
    let mark: Value =
        serde_json::from_slice(&it.server.get("here/seawall/.seawall-location.json")).unwrap();
    assert_eq!(mark["location_id"], "loc_b");
    fs::remove_dir_all(it.world.path("loc_a")).unwrap();
    let out = it.world.path("out");
    it.world.export("ds_files", &out);
    same(&out, &it.world.path("live"));
}

#[test]
fn a_bucket_that_was_away_catches_up() {
    let mut it = Bucket::new();
    it.world.json(0, &["once"]);
    it.server.kill();
    fs::write(it.world.path("live/one.txt"), "another one\n").unwrap();
    let said = it.world.refused(0, &["backup", "bp_files"]);
    assert!(
        said.contains("SW1401") && said.contains("location `loc_b` is not there"),
        "{said}"
    );
    let points = it.world.json(0, &["catalog"]);
    let kept: Vec<bool> = points
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["storage_locations"]["loc_b"].is_string())
        .collect();
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1, "{points}");
    it.server.resume();
    it.world.json(0, &["once"]);
    it.check();
    assert_eq!(it.snapshots(), 2);
    let points = it.world.json(0, &["catalog"]);
    for point in points.as_array().unwrap() {
        assert!(point["storage_locations"]["loc_b"].is_string(), "{points}");
    }
}

/// Each way to give credentials, and each way to give wrong ones: the other location has its point, and no message has the secret.
#[test]
fn credentials_come_from_where_the_binding_says() {
    let it = Bucket::new();
    it.world.json(0, &["once"]);
    let good = it.binding();
    let file = format!("file: {}", profile(&it.world.path("")).display());
    let printed = format!(
        "#!/bin/sh\necho '{{\"Version\": 1, \"AccessKeyId\": \"{KEY_ID}\", \"SecretAccessKey\": \"{SECRET}\", \"Expiration\": \"2999-01-01T00:00:00Z\"}}'\n"
    );
    let command = secret_file(&it.world, "give", &printed);
    fs::set_permissions(&command, fs::Permissions::from_mode(0o700)).unwrap();
    let silent = secret_file(&it.world, "give-nothing", "#!/bin/sh\nexit 3\n");
    fs::set_permissions(&silent, fs::Permissions::from_mode(0o700)).unwrap();
    let wrong = secret_file(
        &it.world,
        "wrong",
        &format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = x{SECRET}\n"),
    );
    let env = "env: { access_key_id: SEAWALL_TEST_ID, secret_access_key: SEAWALL_TEST_SECRET }";
    for (credentials, accepted) in [
        (format!("command: [{}]", command.display()), true),
        (env.to_owned(), true),
        (env.replace("TEST_SECRET", "TEST_NOTHING"), false),
        (format!("command: [{}]", silent.display()), false),
        (format!("file: {}", wrong.display()), false),
        ("file: /nowhere".to_owned(), false),
    ] {
        it.bind_as(&good.replace(&file, &credentials));
        // The name of a point has its second.
        std::thread::sleep(Duration::from_secs(1));
        let done = it
            .world
            .command(&["backup", "bp_files"])
            .env("SEAWALL_TEST_ID", KEY_ID)
            .env("SEAWALL_TEST_SECRET", SECRET)
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        assert_eq!(done.status.code(), Some(0), "{credentials}\n{said}");
        assert_eq!(said.contains("credentials"), !accepted, "{said}");
        assert!(!said.contains(SECRET), "{said}");
        let newest = it.states();
        assert_eq!(
            newest["loc_b"].is_string(),
            accepted,
            "{credentials} {newest}"
        );
        assert!(newest["loc_a"].is_string(), "{newest}");
    }
    it.bind("");
    it.world.json(0, &["once"]);
    it.check();
}

/// A bucket that is not the expected one is not written to, and what is wrong with a binding is found before anything runs.
#[test]
fn a_bucket_that_is_another_one_gets_nothing() {
    let it = Bucket::new();
    it.world.json(0, &["once"]);
    // Its objects, with a mark of another location.
    let before = it.snapshots();
    let mark = r#"{"location_id":"loc_b","identity":"of another bucket"}"#;
    let bucket = it.server.bucket(&it.world.path(""));
    let key = "here/seawall/.seawall-location.json";
    bucket
        .write(key, &[mark.into()], &Replaces::Anything, false)
        .unwrap();
    let said = it.world.refused(0, &["backup", "bp_files"]);
    assert!(
        said.contains("SW1422") && said.contains("another one than at its first use"),
        "{said}"
    );
    assert_eq!(it.snapshots(), before);
    // The folder of another location, and a part of it.
    for (prefix, other) in [
        ("here/seawall", "the same folder"),
        ("here", "one is inside the other"),
    ] {
        let both = format!("{{ s3: {{ {} }} }}", it.binding());
        let inside = both.replace("prefix: here/seawall", &format!("prefix: {prefix}"));
        let a = format!("loc_a: {{ path: {} }}", it.world.path("loc_a").display());
        let b = format!("{{ path: {} }}", it.world.path("loc_b").display());
        it.world
            .configure(&[(&a, &format!("loc_a: {inside}")), (&b, &both)]);
        let done = it.world.run(&["doctor"]);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(said.contains(other), "{said}");
    }
    // No such bucket.
    it.bind_as(
        &it.binding()
            .replace(&format!("bucket: {BUCKET}"), "bucket: nowhere"),
    );
    let said = it.world.refused(0, &["backup", "bp_files"]);
    assert!(said.contains("bucket `nowhere` does not exist"), "{said}");
    for (from, to, field) in [
        ("us-east-1", "'US East'", "locations.loc_b.s3.region"),
        ("prefix: here", "prefix: /here", "locations.loc_b.s3.prefix"),
    ] {
        it.bind_as(&it.binding().replacen(from, to, 1));
        let said = it.world.refused(2, &["config", "check"]);
        assert!(said.contains(field), "{said}");
    }
}

/// Has a child do an order, as the daemon does.
fn ask(order: &Order) -> Reply {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("seawalld"))
        .arg(location::SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = serde_json::to_vec(order).unwrap();
    line.push(b'\n');
    child.stdin.as_mut().unwrap().write_all(&line).unwrap();
    let ended = child.wait_with_output().unwrap();
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// A long log is a row of objects: what is added goes into the last one, what is missing is written again, and what is read is the log.
#[test]
fn a_copy_of_the_receipts_is_a_row_of_objects() {
    let scratch = tempfile::tempdir().unwrap();
    let server = BucketServer::start(&scratch.path().join("server"), None);
    let (from, into) = (scratch.path().join("from"), scratch.path().join("into"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&into).unwrap();
    let at = At {
        location_id: "loc_b".parse().unwrap(),
        place: Place::Bucket(Box::new(LocationBucket {
            binding: server.binding(scratch.path()),
            handed: None,
            mark: None,
            patience: Duration::from_secs(10),
            bandwidth: None,
        })),
        lock: scratch.path().join("lock"),
    };
    let lines = |range: std::ops::Range<u64>| -> String {
        range.map(|number| format!("line {number}\n")).collect()
    };
    let copy =
        |range: std::ops::Range<u64>, tail: Option<Tail>, replaces: Option<&str>, note: &str| {
            fs::write(from.join("receipts.jsonl"), lines(range)).unwrap();
            fs::write(from.join("checkpoint"), note).unwrap();
            ask(&Order::CopyReceipts {
                at: at.clone(),
                expected: None,
                receipts: "receipts".into(),
                from: from.clone(),
                bytes: 1,
                tail,
                replaces: replaces.map(str::to_owned),
            })
        };
    let read = |count: u64| {
        let receipts = "receipts".into();
        let (at, into) = (at.clone(), into.clone());
        let lines = count;
        assert_eq!(
            ask(&Order::ReadReceipts {
                at,
                receipts,
                into,
                lines
            }),
            Reply::Done
        );
        fs::read_to_string(scratch.path().join("into/receipts.jsonl")).unwrap()
    };
    let Reply::Copied(left) = copy(0..2_500, None, None, "one") else {
        panic!()
    };
    assert_eq!(read(2_500), lines(0..2_500));
    // What was laid out begins before what this location lacks.
    let skip = lines(1_900..2_000).len() as u64;
    let tail = |left: &str| {
        Some(Tail {
            left: left.to_owned(),
            skip,
            line: 2_000,
        })
    };
    let Reply::Copied(left) = copy(1_900..3_000, tail(&left), Some("one"), "two") else {
        panic!()
    };
    assert_eq!(read(3_000), lines(0..3_000));
    // Somebody else wrote the checkpoint.
    let refused = copy(1_900..3_100, tail(&left), Some("one"), "three");
    assert!(matches!(refused, Reply::Failed(_)), "{refused:?}");
    let tail = |left: &str, line: u64| {
        Some(Tail {
            left: left.to_owned(),
            skip: 0,
            line,
        })
    };
    let Reply::Copied(left) = copy(3_000..3_100, tail(&left, 3_000), Some("two"), "three") else {
        panic!()
    };
    assert_eq!(read(3_100), lines(0..3_100));
    // A log that was cut back is read as far as it goes.
    assert_eq!(read(2_999), lines(0..3_000));
    let bucket = server.bucket(scratch.path());
    bucket
        .delete("receipts/receipts-000000001000.jsonl")
        .unwrap();
    let changed = copy(3_000..3_200, tail(&left, 3_000), Some("three"), "four");
    assert_eq!(changed, Reply::CopyChanged);
    let Reply::Copied(_) = copy(0..3_200, None, Some("three"), "four") else {
        panic!()
    };
    assert_eq!(read(3_200), lines(0..3_200));
}
