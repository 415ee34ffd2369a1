//! The command line as a person or a pipeline meets it: output, files and exit status of the real binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

/// As of when everything here is judged and signed, so that statements are the same every day.
const AT: &str = "2026-11-20T12:00:00Z";

pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Runs the binary as this prepared it, to its end, with no environment but this width and what `variables` say.
    pub fn of(command: &mut Command, columns: &str, variables: &[(&str, &Path)]) -> Self {
        let output = command
            .env_clear()
            .env("COLUMNS", columns)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub fn seawall(arguments: &[&str]) -> Ran {
    let mut command = Command::cargo_bin("seawall").unwrap();
    Ran::of(command.args(arguments), "110", &[])
}

/// A folder with the starter tree in `tree/`, keys in `keys/`, and a published trust root in `out/`.
pub struct World {
    folder: TempDir,
    pub pin: String,
}

const TRUST: &str = "\
valid_for: P365D
persons:
  alice: [keys/alice.pub]
  build: [keys/build.pub]
  reconciler-1: [keys/machine.pub]
root: { persons: [alice], threshold: 1 }
environments:
  production:
    compiler: { persons: [build], threshold: 1 }
    owner: { persons: [alice], threshold: 1, weakening_threshold: 1 }
    reconciler: { persons: [reconciler-1], threshold: 1 }
";

/// One key for everything, and names that are read as one, are no separation of duties.
#[rstest]
#[case::compiler_as_owner(
    "owner: { persons: [alice]",
    "owner: { persons: [build]",
    "`build` has the roles `compiler` and `owner`"
)]
#[case::compiler_as_root(
    "root: { persons: [alice]",
    "root: { persons: [build]",
    "`build` has the roles `compiler` and `root`"
)]
#[case::receipts_by_an_owner(
    "owner: { persons: [alice]",
    "owner: { persons: [reconciler-1]",
    "`reconciler-1` has the roles `reconciler` and `owner`"
)]
#[case::machines_as_one(
    "compiler: { persons: [build]",
    "compiler: { persons: [reconciler-1]",
    "`reconciler-1` has the roles `compiler` and `reconciler`"
)]
#[case::twice(
    "root: { persons: [alice]",
    "root: { persons: [alice, alice]",
    "role `root` names `alice` twice"
)]
#[case::case_of_letters(
    "  build: [keys/build.pub]",
    "  build: [keys/build.pub]\n  Alice: [keys/build.pub]",
    "`Alice` and `alice` look alike"
)]
#[case::like_letters(
    "  build: [keys/build.pub]",
    "  build: [keys/build.pub]\n  a1ice: [keys/build.pub]",
    "`a1ice` and `alice` look alike"
)]
#[case::hidden_letter(
    "  build: [keys/build.pub]",
    "  build: [keys/build.pub]\n  \"alice\\u200b\": [keys/build.pub]",
    "has other characters than"
)]
#[case::foreign_letter(
    "  build: [keys/build.pub]",
    "  build: [keys/build.pub]\n  \u{430}lice: [keys/build.pub]",
    "has other characters than"
)]
fn roles_and_names_are_apart(#[case] from: &str, #[case] to: &str, #[case] words: &str) {
    let world = World::new();
    assert!(TRUST.contains(from));
    fs::write(world.path("other.yaml"), TRUST.replace(from, to)).unwrap();
    let (description, out) = (world.path("other.yaml"), world.path("other"));
    let key = world.path("keys/alice.key");
    let ran = seawall(&[
        "trust",
        "init",
        &description,
        "--out",
        &out,
        "--key",
        &key,
        "--at",
        AT,
    ]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(
        ran.err.starts_with("error[SW0535]") && ran.err.contains(words),
        "{}",
        ran.err
    );
    assert!(!std::path::Path::new(&out).exists());
}

impl World {
    pub fn new() -> Self {
        Self::trusting(TRUST)
    }

    fn trusting(trust: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            folder,
            pin: String::new(),
        };
        assert_eq!(seawall(&["init", &world.path("tree")]).status, 0);
        let keys = world.path("keys");
        let made = seawall(&[
            "keys", "generate", "--out", &keys, "alice", "build", "machine",
        ]);
        assert_eq!(made.status, 0, "{}", made.err);
        fs::write(world.path("trust.yaml"), trust).unwrap();
        let root = seawall(&[
            "trust",
            "init",
            &world.path("trust.yaml"),
            "--out",
            &world.path("out"),
            "--key",
            &world.path("keys/alice.key"),
            "--at",
            AT,
        ]);
        assert_eq!(root.status, 0, "{}", root.err);
        Self {
            pin: root.out.trim().to_owned(),
            ..world
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn build(&self, keys: &[&str]) -> Ran {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| self.path(&format!("keys/{key}.key")))
            .collect();
        let (tree, out) = (self.path("tree"), self.path("out"));
        let mut arguments = vec![
            "build",
            &tree,
            "--env",
            "production",
            "--out",
            &out,
            "--at",
            AT,
        ];
        for key in &keys {
            arguments.extend(["--key", key]);
        }
        seawall(&arguments)
    }

    fn verify(&self) -> Ran {
        self.verify_at(AT)
    }

    fn verify_at(&self, at: &str) -> Ran {
        let folder = self.path("out/production");
        seawall(&["verify", &folder, "--root", &self.pin, "--at", at])
    }

    /// Compiles the tree again and compares; trusts nobody.
    fn rebuild(&self) -> Ran {
        let (folder, tree) = (self.path("out/production"), self.path("tree"));
        seawall(&["verify", &folder, "--at", AT, "--rebuild", &tree])
    }

    fn published(&self) -> Vec<(&'static str, Vec<u8>)> {
        ["bundle.json", "provenance.json", "bundle.dsse.json"]
            .into_iter()
            .map(|name| {
                (
                    name,
                    fs::read(self.path(&format!("out/production/{name}"))).unwrap(),
                )
            })
            .collect()
    }

    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path(&format!("tree/{file}"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{from}` is not in {path}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    /// Output without what differs between two runs.
    fn shown(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "FOLDER")
            .replace(&self.pin, "PIN")
    }
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

/// A waiver stands in the signed bundle and in its verdict; an error that nobody accepted still stops signing.
#[test]
fn a_waiver_lets_a_bundle_be_signed_and_stands_in_it() {
    let world = World::new();
    world.edit("settings.yaml", "rpo: PT4H", "rpo: PT2H");
    let refused = world.build(&["build", "alice"]);
    assert_eq!(refused.status, 1, "{}", refused.err);
    let role = "kind: Role\nrole_id: team\nname: Team\nmay: [restore_export]\n---\n";
    let waiver = "kind: Waiver\nwaiver_id: wv\ncode: SW0301\ntargets: [datasets/ds_documents]\nowner: team\n\
        reason: the second region is built until spring\nexpiry: 2027-03-01T00:00:00Z\nbound: PT4H\n";
    fs::write(world.path("tree/waivers.yaml"), format!("{role}{waiver}")).unwrap();
    let built = world.build(&["build", "alice"]);
    assert_eq!(built.status, 0, "{}", built.err);
    let [(_, bundle), _, (_, envelope)] = <[_; 3]>::try_from(world.published()).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    assert_eq!(bundle["waivers"]["wv"]["bound_s"], 14_400);
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    let payload: Value =
        serde_json::from_slice(&base64(envelope["payload"].as_str().unwrap())).unwrap();
    let verdict = &payload["predicate"]["verdict"];
    assert_eq!(
        verdict["findings"],
        serde_json::json!({ "errors": 0, "warnings": 0, "waived": 1 })
    );
    assert_eq!(verdict["waivers"], serde_json::json!(["wv"]));
    // The next bundle without the waiver's finding warns that it is unused, and is signed all the same.
    world.edit("settings.yaml", "rpo: PT2H", "rpo: PT4H");
    let mended = world.build(&["build", "alice"]);
    assert_eq!(mended.status, 0, "{}", mended.err);
    assert!(mended.err.contains("SW0605"), "{}", mended.err);
}

/// Ids stay whole where there is room for them.
#[rstest]
fn proofs_fit_the_terminal(
    #[values("80", "100", "140")] columns: &str,
    #[values(&[], &["ds_acme_configuration", "ds_orchestrator"])] datasets: &[&str],
) {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    let mut command = Command::cargo_bin("seawall").unwrap();
    command
        .args(["prove", policies, "--env", "production"])
        .args(datasets);
    let proven = Ran::of(&mut command, columns, &[]);
    assert_eq!(proven.status, 0, "{}", proven.err);
    let width: usize = columns.parse().unwrap();
    let too_long: Vec<&str> = proven
        .out
        .lines()
        .filter(|line| line.chars().count() > width)
        .collect();
    assert!(too_long.is_empty(), "{too_long:#?}");
    let whole = ["ds_acme_configuration", "credential:vault-nordic-writer"];
    for id in whole {
        assert!(proven.out.contains(id), "`{id}` is broken:\n{}", proven.out);
    }
}

/// What readers will refuse is said when it is signed, and not first by a daemon in production.
#[test]
fn a_bundle_that_readers_will_refuse_is_built_with_a_warning() {
    let world = World::trusting(&TRUST.replace(
        "threshold: 1, weakening_threshold: 1",
        "threshold: 0, weakening_threshold: 1",
    ));
    let first = world.build(&["build"]);
    assert_eq!(first.status, 0, "{}", first.err);
    assert!(first.err.contains("warning[SW0530]"), "{}", first.err);
    assert!(first.err.contains("seawall sign"), "{}", first.err);
    let verified = world.verify();
    assert_eq!(verified.status, 0, "{}", verified.err);
    assert!(
        verified.err.contains("0 of 1 owners signed"),
        "{}",
        verified.err
    );
    // The same again weakens nothing, and readers may have refused the first one.
    let again = world.build(&["build"]);
    assert_eq!(again.status, 0);
    assert!(!again.err.contains("SW0530"), "{}", again.err);
    assert!(again.err.contains("0 of 1 owners signed"), "{}", again.err);
    // A weaker one does, unless its owner signs.
    world.edit(
        "settings.yaml",
        "tolerated_misses: 1",
        "tolerated_misses: 2",
    );
    let weaker = world.build(&["build"]);
    assert!(
        weaker.err.contains("warning[SW0530]"),
        "{}{}",
        weaker.out,
        weaker.err
    );
    let (one, two) = ("tolerated_misses: 1", "tolerated_misses: 2");
    world.edit("settings.yaml", two, one);
    assert!(!world.build(&["build"]).err.contains("SW0530"));
    world.edit("settings.yaml", one, two);
    let signed = world.build(&["build", "alice"]);
    assert_eq!((signed.status, signed.err.as_str()), (0, ""));
}

#[test]
fn the_starter_tree_is_built_signed_and_verified() {
    let world = World::new();
    let check = seawall(&["check", &world.path("tree"), "--at", AT]);
    assert_eq!(check.status, 0, "{}{}", check.out, check.err);
    assert_eq!(check.out, "no findings in production\n");

    let built = world.build(&["build", "alice"]);
    assert_eq!(built.status, 0, "{}", built.err);
    assert!(built.out.contains("serial 1"), "{}", built.out);
    assert_eq!(built.err, "");

    let verified = world.verify();
    assert_eq!(verified.status, 0, "{}", verified.err);
    assert_eq!(
        verified.err,
        "ok: signatures, digests, form and dates; signed by compiler build; owner alice\n"
    );
    assert!(
        verified.out.contains("serial                1\n"),
        "{}",
        verified.out
    );

    let rebuilt = world.rebuild();
    assert_eq!(rebuilt.status, 0, "{}", rebuilt.err);
    assert!(
        rebuilt.err.contains("signatures were NOT checked"),
        "{}",
        rebuilt.err
    );
    world.edit("inventory.yaml", "name: Documents", "name: Papers");
    let other = world.rebuild();
    assert_eq!(other.status, 1);
    assert!(other.err.contains("SW0536"), "{}", other.err);
}

/// The bundle is good for 30 days, the root for 365; a reconciler would not take either after that.
#[rstest]
#[case::on_the_last_day("2026-12-20T11:59:59Z", "")]
#[case::past_the_bundle("2026-12-20T12:00:00Z", "SW0525")]
#[case::past_the_root("2027-11-20T12:00:00Z", "SW0508")]
#[case::before_it_was_made("2026-11-20T11:54:59Z", "SW0526")]
fn verify_holds_the_dates_of_bundle_and_root(#[case] at: &str, #[case] code: &str) {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let verified = world.verify_at(at);
    if code.is_empty() {
        assert_eq!(verified.status, 0, "{}", verified.err);
        return;
    }
    assert_eq!((verified.status, verified.out.as_str()), (3, ""));
    for part in [code, "`--at INSTANT` verifies it as of another day"] {
        assert!(verified.err.contains(part), "{}", verified.err);
    }
}

#[test]
fn without_a_root_dates_are_a_warning() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let folder = world.path("out/production");
    let late = seawall(&["verify", &folder, "--at", "2027-01-01T00:00:00Z"]);
    assert_eq!(late.status, 0, "{}", late.err);
    assert!(late.err.starts_with("warning[SW0525]"), "{}", late.err);
    let other = world.path("out/dev");
    fs::rename(folder, &other).unwrap();
    let refused = seawall(&["verify", &other, "--at", AT]);
    assert_eq!(refused.status, 3);
    assert!(refused.err.contains("SW0517"), "{}", refused.err);
}

#[test]
fn a_second_bundle_follows_the_first() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let first = world.published();
    let built = world.build(&["build", "alice"]);
    assert!(built.out.contains("serial 2"), "{}", built.out);
    let second = world.published();
    assert_eq!(first[0], second[0], "the same tree gives the same bundle");
    assert_eq!(first[1], second[1], "and the same provenance");
    let statement = |files: &[(&str, Vec<u8>)]| -> (Vec<u8>, Value) {
        let envelope: Value = serde_json::from_slice(&files[2].1).unwrap();
        let payload = base64(envelope["payload"].as_str().unwrap());
        let value = serde_json::from_slice(&payload).unwrap();
        (payload, value)
    };
    let (payload, _) = statement(&first);
    let (_, after) = statement(&second);
    assert_eq!(
        after["predicate"]["previous"],
        contract::digest::Digest::of(&payload).to_string()
    );
    assert_eq!(world.verify().status, 0);
}

/// Decodes standard base64, for the test alone.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("no base64: {other}"),
    };
    let digits: Vec<u32> = text.trim_end_matches('=').bytes().map(digit).collect();
    digits
        .chunks(4)
        .flat_map(|chunk| {
            let bits =
                chunk.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - chunk.len()));
            bits.to_be_bytes()[1..chunk.len()].to_vec()
        })
        .collect()
}

#[test]
fn two_folders_with_files_made_in_another_order_give_identical_bytes() {
    let (one, other) = (World::new(), World::new());
    let mut files: Vec<PathBuf> = fs::read_dir(one.path("tree"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    fs::remove_dir_all(other.path("tree")).unwrap();
    fs::create_dir(other.path("tree")).unwrap();
    for file in files.iter().rev() {
        fs::copy(
            file,
            Path::new(&other.path("tree")).join(file.file_name().unwrap()),
        )
        .unwrap();
    }
    assert_eq!(one.build(&["build", "alice"]).status, 0);
    assert_eq!(other.build(&["build", "alice"]).status, 0);
    assert_eq!(one.published()[..2], other.published()[..2]);
}

/// A key that others can change may be theirs; one that they can read is told.
#[test]
fn a_key_that_others_can_change_signs_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let key = world.path("keys/build.key");
    let set = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o666, 0o622, 0o660, 0o777] {
        set(mode);
        let built = world.build(&["build", "alice"]);
        assert_eq!(built.status, 3, "{mode:o}: {}", built.err);
        assert!(
            built.err.contains("SW0501") && built.err.contains("build.key"),
            "{}",
            built.err
        );
    }
    set(0o640);
    let built = world.build(&["build", "alice"]);
    assert_eq!(built.status, 0, "{}", built.err);
    let folder = world.path("out/production");
    set(0o666);
    let signed = seawall(&["sign", &folder, "--key", &key]);
    assert_eq!(signed.status, 3, "{}", signed.err);
    set(0o644);
    let signed = seawall(&["sign", &folder, "--key", &key]);
    assert_eq!(signed.status, 0, "{}", signed.err);
    assert!(
        signed.err.contains("SW0501") && signed.err.contains("0644"),
        "{}",
        signed.err
    );
}

#[test]
fn findings_stop_signing_and_leave_what_stands() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let before = world.published();
    world.edit("settings.yaml", "every: PT1H", "every: PT6H");
    let refused = world.build(&["build", "alice"]);
    assert_eq!(refused.status, 1);
    assert_eq!(refused.out, "");
    snapshot("build_refused", &world.shown(&refused.err));
    assert_eq!(world.published(), before);
    let mut names: Vec<_> = fs::read_dir(world.path("out/production"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["bundle.dsse.json", "bundle.json", "provenance.json"]
    );
}

#[test]
fn check_tells_all_problems_of_all_files_in_both_forms() {
    let world = World::new();
    world.edit("inventory.yaml", "site: main", "site: mian");
    world.edit("plans.yaml", "gsmd:retention/month", "gsmd:retention/moth");
    let human = seawall(&["check", &world.path("tree"), "--at", AT]);
    assert_eq!((human.status, human.err.as_str()), (1, ""));
    snapshot("check_human", &world.shown(&human.out));
    let json = seawall(&["check", &world.path("tree"), "--at", AT, "--format", "json"]);
    assert_eq!((json.status, json.err.as_str()), (1, ""));
    snapshot("check_json", &world.shown(&json.out));
}

#[rstest]
#[case::no_command(&[], 2)]
#[case::unknown_command(&["frobnicate"], 2)]
#[case::build_without_environment(&["build", "tree", "--out", "out", "--key", "keys/build.key"], 2)]
#[case::an_environment_that_is_no_id(&["check", "tree", "--env", "../x"], 2)]
#[case::an_instant_that_is_none(&["check", "tree", "--at", "yesterday"], 2)]
#[case::help(&["--help"], 0)]
#[case::help_of_a_command(&["build", "--help"], 0)]
#[case::version(&["--version"], 0)]
#[case::no_such_tree(&["check", "nowhere"], 4)]
#[case::no_such_rules(&["check", "tree", "--rules", "nowhere"], 4)]
#[case::no_such_key(&["build", "tree", "--env", "production", "--out", "out", "--key", "nowhere.key"], 4)]
#[case::no_published_folder(&["verify", "out/production"], 4)]
#[case::an_unknown_environment(&["check", "tree", "--env", "moon"], 1)]
#[case::a_file_that_is_no_key(&["keys", "show", "trust.yaml"], 3)]
#[case::a_key_is_never_replaced(&["keys", "generate", "--out", "keys", "alice"], 4)]
#[case::a_root_is_never_replaced(&["trust", "init", "trust.yaml", "--out", "out", "--key", "keys/alice.key"], 4)]
#[case::a_root_without_its_signers(&["trust", "init", "trust.yaml", "--out", "other", "--key", "keys/build.key"], 3)]
#[case::init_in_a_folder_with_something_in_it(&["init", "tree"], 1)]
#[case::an_interval_that_ends_before_it_begins(&["schedule", "PT1H", "--from", "2027-01-02", "--to", "2027-01-01"], 2)]
#[case::a_cron_expression_that_is_none(&["schedule", "61 * * * *", "--timezone", "UTC", "--from", "2027-01-01", "--to", "2027-01-02"], 2)]
fn exit_status(#[case] arguments: &[&str], #[case] status: i32) {
    let world = World::new();
    let output = Command::cargo_bin("seawall")
        .unwrap()
        .args(arguments)
        .current_dir(world.folder.path())
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{err}");
    if status >= 3 {
        assert!(err.starts_with("error[SW0"), "{err}");
        assert!(err.contains("help: "), "{err}");
    }
    if status != 0 && status != 1 {
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_exit_status_is_documented() {
    snapshot("help", &seawall(&["--help"]).out);
}

#[test]
fn every_changed_byte_is_refused() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let files = [
        "production/bundle.json",
        "production/provenance.json",
        "production/bundle.dsse.json",
        "trust/1.root.json",
    ];
    for name in files {
        let path = world.path(&format!("out/{name}"));
        let good = fs::read(&path).unwrap();
        // Ten places spread over the file, both ends included.
        for place in 0..10 {
            let mut bad = good.clone();
            let at = (good.len() - 1) * place / 9;
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let refused = world.verify();
            assert_eq!(
                refused.status, 3,
                "{name} byte {at}: {}{}",
                refused.out, refused.err
            );
            assert!(refused.err.starts_with("error[SW05"), "{}", refused.err);
            assert_eq!(refused.out, "");
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(world.verify().status, 0);
    }
}

#[test]
fn a_missing_owner_is_told_at_once_and_added_later() {
    let world = World::new();
    let built = world.build(&["build"]);
    assert_eq!(built.status, 0);
    assert!(built.err.contains("SW0513"), "{}", built.err);
    assert_eq!(world.verify().status, 3);
    let signed = seawall(&[
        "sign",
        &world.path("out/production"),
        "--key",
        &world.path("keys/alice.key"),
    ]);
    assert_eq!(signed.status, 0, "{}", signed.err);
    assert_eq!(world.verify().status, 0);
}

#[test]
fn a_damaged_predecessor_is_no_new_beginning() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    fs::write(world.path("out/production/bundle.dsse.json"), "{}").unwrap();
    let refused = world.build(&["build", "alice"]);
    assert_eq!(refused.status, 3);
    assert_eq!(
        fs::read(world.path("out/production/bundle.dsse.json")).unwrap(),
        b"{}"
    );
}

#[test]
fn keys_are_secret_and_openssl_reads_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    for (name, flags) in [("alice.key", vec![]), ("alice.pub", vec!["-pubin"])] {
        let path = world.path(&format!("keys/{name}"));
        if name == "alice.key" {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{mode:o}");
        }
        let read = std::process::Command::new("openssl")
            .args(["pkey", "-noout", "-text", "-in", &path])
            .args(flags)
            .output()
            .unwrap();
        assert!(
            read.status.success(),
            "{}",
            String::from_utf8_lossy(&read.stderr)
        );
        assert!(String::from_utf8_lossy(&read.stdout).contains("ED25519"));
    }
    let shown = seawall(&[
        "keys",
        "show",
        &world.path("keys/alice.key"),
        &world.path("keys/alice.pub"),
    ]);
    let ids: Vec<&str> = shown.out.lines().map(|line| &line[..64]).collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn what_cannot_be_taken_is_told_and_never_skipped() {
    let world = World::new();
    let tree = world.path("tree");
    std::os::unix::fs::symlink("settings.yaml", Path::new(&tree).join("link.yaml")).unwrap();
    fs::write(
        Path::new(&tree).join("latin.yaml"),
        b"kind: Site # caf\xe9\n",
    )
    .unwrap();
    fs::create_dir(Path::new(&tree).join("folder.yaml")).unwrap();
    let check = seawall(&["check", &tree, "--at", AT]);
    assert_eq!(check.status, 1);
    snapshot("unreadable_files", &world.shown(&check.out));
    assert_eq!(world.build(&["build", "alice"]).status, 1);
    assert!(!Path::new(&world.path("out/production")).exists());
}

/// What a file holds that was not read is not missing, and nothing is proven without it.
#[test]
fn a_file_that_was_not_read_is_the_only_finding() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let (file, elsewhere) = (world.path("tree/settings.yaml"), world.path("elsewhere"));
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let tree = world.path("tree");
    for (ran, out) in [
        (seawall(&["check", &tree]), true),
        (seawall(&["check", &tree, "--env", "production"]), true),
        (seawall(&["prove", &tree, "--env", "production"]), false),
        (world.rebuild(), false),
    ] {
        let told = if out { &ran.out } else { &ran.err };
        assert_eq!(ran.status, 1, "{told}");
        assert_eq!(told.matches("error[").count(), 1, "{told}");
        assert!(told.contains("error[SW0113]"), "{told}");
        assert!(out || ran.out.is_empty(), "{}", ran.out);
    }
    assert_eq!(world.build(&["build", "alice"]).status, 1);
}

#[test]
fn a_file_that_is_too_large_is_told_once() {
    let world = World::new();
    let path = world.path("tree/large.yaml");
    let large = compiler::source::MAX_FILE_BYTES + 1;
    fs::write(path, " ".repeat(large)).unwrap();
    let check = seawall(&["check", &world.path("tree"), "--at", AT]);
    assert_eq!(check.status, 1);
    assert_eq!(check.out.matches("error[").count(), 1, "{}", check.out);
    let told = format!(
        "error[SW0104]: `large.yaml` cannot be taken: it is larger than {} bytes",
        large - 1
    );
    assert!(check.out.contains(&told), "{}", check.out);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_of_the_environment() {
    let world = World::new();
    fs::write(
        world.path("out/production"),
        "a file where a folder must be",
    )
    .unwrap();
    let refused = world.build(&["build", "alice"]);
    assert_eq!(refused.status, 4, "{}", refused.err);
    assert!(refused.err.contains("error[SW05"), "{}", refused.err);
}

#[test]
fn the_commit_of_a_clean_tree_is_recorded_and_no_other() {
    let world = World::new();
    let repository = git2::Repository::init(world.path("tree")).unwrap();
    let uncommitted = world.build(&["build", "alice"]);
    assert!(
        uncommitted.err.contains("no source commit"),
        "{}",
        uncommitted.err
    );
    let mut index = repository.index().unwrap();
    index
        .add_all(["*"], git2::IndexAddOption::DEFAULT, None)
        .unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = git2::Signature::now("a", "a@example.org").unwrap();
    let commit = repository
        .commit(Some("HEAD"), &who, &who, "c", &tree, &[])
        .unwrap();
    let clean = world.build(&["build", "alice"]);
    assert_eq!(clean.err, "");
    assert!(world.verify().out.contains(&commit.to_string()));
    world.edit("inventory.yaml", "name: Documents", "name: Papers");
    world.build(&["build", "alice"]);
    assert!(world.verify().out.contains("source_commit         none\n"));
}

#[test]
fn schedule_shows_the_hole_of_a_clock_change() {
    let ran = seawall(&[
        "schedule",
        "0 */2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--from",
        "2027-03-28",
        "--to",
        "2027-03-29",
        "--format",
        "json",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["max_gap_seconds"], 10_800);
    assert_eq!(
        told["max_gap_pair"],
        serde_json::json!(["2027-03-27T23:00:00Z", "2027-03-28T02:00:00Z"])
    );
    let human = seawall(&[
        "schedule",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--from",
        "2026-10-24",
        "--to",
        "2026-10-27",
    ]);
    snapshot("schedule", &human.out);
}

#[test]
fn prove_shows_numbers_and_what_ifs() {
    let world = World::new();
    let tree = world.path("tree");
    let table = seawall(&["prove", &tree, "--env", "production"]);
    assert_eq!(table.status, 0, "{}", table.err);
    snapshot("prove", &table.out);
    let one = seawall(&["prove", &tree, "ds_documents", "--env", "production"]);
    snapshot("prove_one", &one.out);
    let page = seawall(&[
        "prove",
        &tree,
        "--env",
        "production",
        "--format",
        "markdown",
    ]);
    snapshot("prove_markdown", &page.out);
    let all = seawall(&["prove", &tree, "--env", "production", "--format", "json"]);
    let all: Value = serde_json::from_str(&all.out).unwrap();
    let sections: BTreeSet<&str> = all
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        sections,
        [
            "catalogue",
            "datasets",
            "environment",
            "format",
            "groups",
            "keys",
            "locations",
            "plans",
            "scenarios"
        ]
        .into()
    );
    let both = "region:west,region:east";
    let json = seawall(&[
        "prove",
        &tree,
        "ds_documents",
        "--env",
        "production",
        "--lose",
        both,
        "--format",
        "json",
    ]);
    let told: Value = serde_json::from_str(&json.out).unwrap();
    let loss = &told["datasets"]["ds_documents"]["loss"]["region:east,region:west"];
    assert_eq!(loss["bounded"], false);
    assert_eq!(loss["seconds"], 9_007_199_254_740_991_u64);
    assert_eq!(
        seawall(&["prove", &tree, "ds_nothing", "--env", "production"]).status,
        2
    );
}

#[test]
fn the_built_in_rules_pass_their_tests() {
    let ran = seawall(&["test", "--coverage"]);
    assert_eq!(ran.status, 0, "{}", ran.out);
}

#[test]
fn an_organisation_adds_a_rule() {
    let world = World::new();
    let folder = Path::new(&world.path("rules")).join("naming/no-documents");
    fs::create_dir_all(&folder).unwrap();
    let rule = "\
# METADATA
# title: nothing is called documents
# description: names say what a thing is
# custom: { code: ACME0101, severity: error }
package acme.rules.naming.no_documents

import rego.v1

deny contains finding if {
	some id, dataset in input.datasets
	dataset.name == \"Documents\"
	finding := {\"at\": [\"datasets\", id, \"name\"], \"msg\": sprintf(\"`%s` is called Documents\", [id])}
}
";
    fs::write(folder.join("rule.rego"), rule).unwrap();
    let (tree, rules) = (world.path("tree"), world.path("rules"));
    let check = seawall(&["check", &tree, "--rules", &rules, "--at", AT]);
    assert_eq!(check.status, 1);
    snapshot("organisation_rule", &world.shown(&check.out));
    let tests = seawall(&["test", "--rules", &rules]);
    assert_eq!(tests.status, 1, "a rule without tests fails");
    assert!(
        tests.out.contains("the rule has no `rule_test.rego`"),
        "{}",
        tests.out
    );

    // A rule that errs, says nothing sensible, speaks of nothing, or reads a misspelt path is never a pass.
    for (from, to, code) in [
        ("dataset.name ==", "to_number(id) ==", "SW0401"),
        ("\"msg\": ", "\"message\": ", "SW0404"),
        ("[\"datasets\", id, \"name\"]", "[\"nowhere\"]", "SW0404"),
        ("in input.datasets", "in input.dataset", "SW0402"),
        ("package acme", "package seawall", "SW0402"),
    ] {
        assert!(rule.contains(from), "{from}");
        fs::write(folder.join("rule.rego"), rule.replace(from, to)).unwrap();
        let failed = seawall(&["check", &tree, "--rules", &rules, "--at", AT]);
        assert_eq!(failed.status, 1);
        assert!(
            failed.out.contains(&format!("error[{code}]")),
            "{}",
            failed.out
        );
    }
}

#[test]
fn schemas_are_written_and_compared() {
    let world = World::new();
    let out = world.path("schemas");
    assert_eq!(seawall(&["schema", "--out", &out]).status, 0);
    assert_eq!(seawall(&["schema", "--out", &out, "--check"]).status, 0);
    fs::write(Path::new(&out).join("dataset.json"), "{}").unwrap();
    let stale = seawall(&["schema", "--out", &out, "--check"]);
    assert_eq!(stale.status, 1);
    assert!(stale.err.contains("SW0537"), "{}", stale.err);
}
