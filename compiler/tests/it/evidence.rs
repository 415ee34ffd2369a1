//! Receipts as a pipeline gives them to the compiler: what they show counts only when every signature holds, and changes what
//! is found, proven and reported. BDR-F6.4, RET-5, WS-3.

use std::fs;

use compiler::rules::receipts;
use contract::seal::PrivateKey;
use rstest::rstest;
use serde_json::Value;

use super::cli::{Ran, World, seawall};

/// As of when everything is judged.
const AT: &str = "2026-11-20T12:00:00Z";

/// Two points an hour apart, the first restored within ten minutes.
const WELL: &str = r#"[
  {
    "decision_type": "backup", "reconciler_id": "reconciler-1",
    "dataset_ids": ["ds_documents"], "backup_id": "bp_documents.20261120T090000Z",
    "began_at": "2026-11-20T09:00:00Z", "ended_at": "2026-11-20T09:05:00Z", "result": "success",
    "details": {"consistent_at": "2026-11-20T09:00:01Z"}
  },
  {
    "decision_type": "verification", "reconciler_id": "reconciler-1",
    "dataset_ids": ["ds_documents"], "backup_id": "bp_documents.20261120T090000Z",
    "began_at": "2026-11-20T09:05:00Z", "ended_at": "2026-11-20T09:06:00Z", "result": "success"
  },
  {
    "decision_type": "backup", "reconciler_id": "reconciler-1",
    "dataset_ids": ["ds_documents"], "backup_id": "bp_documents.20261120T100000Z",
    "began_at": "2026-11-20T10:00:00Z", "ended_at": "2026-11-20T10:05:00Z", "result": "success",
    "details": {"consistent_at": "2026-11-20T10:00:01Z"}
  },
  {
    "decision_type": "verification", "reconciler_id": "reconciler-1",
    "dataset_ids": ["ds_documents"], "backup_id": "bp_documents.20261120T100000Z",
    "began_at": "2026-11-20T10:05:00Z", "ended_at": "2026-11-20T10:06:00Z", "result": "success"
  },
  {
    "decision_type": "restore", "reconciler_id": "reconciler-1",
    "dataset_ids": ["ds_documents"], "backup_id": "bp_documents.20261120T090000Z",
    "began_at": "2026-11-20T11:00:00Z", "ended_at": "2026-11-20T11:10:00Z", "result": "success",
    "details": {"bytes": "10737418240", "location": "near"}
  }
]"#;

/// Publishes these receipts as the daemon exports them, signed with its key.
fn export(world: &World, name: &str, environment: &str, key: &str, lines: &str) -> String {
    let pem = fs::read_to_string(world.path(&format!("keys/{key}.key"))).unwrap();
    let key = PrivateKey::from_pem(&pem).unwrap();
    let logs = receipts::logs(lines, &environment.parse().unwrap(), &key).unwrap();
    let (log, note) = logs.into_values().next().unwrap();
    let folder = world.path(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/receipts.jsonl"), log).unwrap();
    fs::write(format!("{folder}/checkpoint"), note).unwrap();
    folder
}

/// Runs a command on the starter tree with these folders as evidence.
fn with(world: &World, command: &[&str], folders: &[&str], at: &str) -> Ran {
    let (tree, published) = (world.path("tree"), world.path("out"));
    let mut arguments = vec![command[0], &tree];
    arguments.extend(&command[1..]);
    arguments.extend(["--at", at, "--published", &published, "--root", &world.pin]);
    for folder in folders {
        arguments.extend(["--evidence", folder]);
    }
    seawall(&arguments)
}

fn check(world: &World, folders: &[&str], at: &str) -> Ran {
    with(world, &["check"], folders, at)
}

fn proven(world: &World, folder: &str, at: &str) -> Value {
    let command = ["prove", "--env", "production", "--format", "json"];
    let ran = with(world, &command, &[folder], at);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let proven: Value = serde_json::from_str(&ran.out).unwrap();
    let schema = super::trees::repository().join("schemas/proofs.json");
    let schema = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(&proven)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    proven["datasets"]["ds_documents"].clone()
}

#[test]
fn what_receipts_show_to_be_well_stays_well() {
    let world = World::new();
    let folder = export(&world, "log", "production", "machine", WELL);
    let ran = check(&world, &[&folder], AT);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.err
            .contains("ok: 10 receipts of `seawall/production/reconciler-1` hold"),
        "{}",
        ran.err
    );
    let proven = proven(&world, &folder, AT);
    assert_eq!(proven["coverage"], "protected");
    // Measured: 10 GiB in ten minutes. Settings say 200 MiB a second.
    assert_eq!(proven["recovery_from"], "evidence");
    assert_eq!(proven["recovery_seconds"], 600);
    assert_eq!(proven["evidence"]["largest_loss"]["seconds"], 70 * 60 - 1);
}

#[test]
fn a_backup_that_stopped_is_found() {
    let world = World::new();
    let folder = export(&world, "log", "production", "machine", WELL);
    let later = "2027-02-20T12:00:00Z";
    let ran = check(&world, &[&folder], later);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("error[SW0327]"), "{}", ran.out);
    assert!(
        ran.out
            .contains("the newest sound recovery point of `ds_documents` was checked 92 d"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("the last restore of `ds_documents` that succeeded is 92 d"),
        "{}",
        ran.out
    );
    assert_eq!(proven(&world, &folder, later)["coverage"], "stale");
    // As of the day on which all was well it still is.
    assert_eq!(check(&world, &[&folder], AT).status, 0);
}

#[test]
fn a_run_that_was_missed_is_a_loss_above_the_objective() {
    let world = World::new();
    // The second point came five hours later.
    let late = WELL
        .replace("T10:0", "T14:0")
        .replace("T100000Z", "T140000Z")
        .replace("T11:", "T15:");
    let folder = export(&world, "log", "production", "machine", &late);
    let ran = check(&world, &[&folder], "2026-11-20T16:00:00Z");
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("error[SW0328]"), "{}", ran.out);
    assert!(
        ran.out.contains(
            "a failure would have taken 5 h 5 min 59 s of `ds_documents`, the dataset allows 4 h"
        ),
        "{}",
        ran.out
    );
}

#[test]
fn slow_restores_break_the_recovery_time() {
    let world = World::new();
    let slow = WELL.replace("T11:10", "T16:10");
    let folder = export(&world, "log", "production", "machine", &slow);
    let ran = check(&world, &[&folder], "2026-11-20T17:00:00Z");
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("error[SW0315]"), "{}", ran.out);
    assert!(ran.out.contains("takes 5 h 10 min"), "{}", ran.out);
}

#[test]
fn without_the_log_of_a_reconciler_nothing_is_known_of_what_it_does() {
    let world = World::new();
    let other = WELL.replace("reconciler-1", "reconciler-2");
    // A person who may sign for another reconciler does not sign for this one.
    let trust = fs::read_to_string(world.path("trust.yaml")).unwrap();
    assert!(!trust.contains("reconciler-2"));
    let folder = export(&world, "log", "production", "machine", &other);
    let ran = check(&world, &[&folder], AT);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(
        ran.err.contains("error[SW1706]") || ran.err.contains("no good signature"),
        "{}",
        ran.err
    );
}

#[test]
fn an_empty_log_shows_nothing_and_that_is_found() {
    let world = World::new();
    let effects: Vec<Value> = serde_json::from_str(WELL).unwrap();
    let first = serde_json::to_string(&effects[..1]).unwrap();
    let folder = export(&world, "log", "production", "machine", &first);
    let ran = check(&world, &[&folder], AT);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out
            .contains("no receipt shows a recovery point of `ds_documents`"),
        "{}",
        ran.out
    );
}

fn altered(log: String, note: String) -> (String, String) {
    (log.replacen('A', "B", 1), note)
}

fn cut(log: String, note: String) -> (String, String) {
    let first = log.lines().take(4).map(|line| format!("{line}\n"));
    (first.collect(), note)
}

fn no_checkpoint(log: String, _: String) -> (String, String) {
    (log, "nothing\n".to_owned())
}

/// What happened since the checkpoint counts by its own signatures, and the command says how far the checkpoint reaches.
#[test]
fn receipts_beyond_the_checkpoint_count_by_their_own_signatures() {
    let world = World::new();
    let effects: Vec<Value> = serde_json::from_str(WELL).unwrap();
    let first = serde_json::to_string(&effects[..4]).unwrap();
    let before = export(&world, "before", "production", "machine", &first);
    let folder = export(&world, "log", "production", "machine", WELL);
    let [log, covered] = [&folder, &before]
        .map(|folder| fs::read_to_string(format!("{folder}/receipts.jsonl")).unwrap());
    assert!(log.starts_with(&covered) && log.len() > covered.len());
    fs::copy(
        format!("{before}/checkpoint"),
        format!("{folder}/checkpoint"),
    )
    .unwrap();
    let ran = check(&world, &[&folder], AT);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let told = "ok: 10 receipts of `seawall/production/reconciler-1` hold";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert!(ran.err.contains("the checkpoint covers 8\n"), "{}", ran.err);
    // The restore is beyond the checkpoint, and is measured.
    assert_eq!(
        proven(&world, &folder, AT)["recovery_from"],
        "evidence",
        "{}",
        ran.err
    );

    // The same lines, the last of them of another key, or changed.
    let stranger = export(&world, "stranger", "production", "build", WELL);
    let stranger = fs::read_to_string(format!("{stranger}/receipts.jsonl")).unwrap();
    let kept: Vec<&str> = log.lines().take(9).collect();
    let forged = stranger.lines().last().unwrap().to_owned();
    let changed = log.lines().last().unwrap().replacen('A', "B", 1);
    for last in [forged, changed] {
        fs::write(
            format!("{folder}/receipts.jsonl"),
            format!("{}\n{last}\n", kept.join("\n")),
        )
        .unwrap();
        let ran = check(&world, &[&folder], AT);
        assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("error[SW1703]"), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
}

fn other_size(log: String, note: String) -> (String, String) {
    (log, note.replacen("10", "12", 1))
}

#[rstest]
#[case("SW17", altered)]
#[case("SW1709", cut)]
#[case("SW17", no_checkpoint)]
#[case("SW17", other_size)]
fn a_log_that_does_not_hold_is_refused(
    #[case] code: &str,
    #[case] alter: fn(String, String) -> (String, String),
) {
    let world = World::new();
    let folder = export(&world, "log", "production", "machine", WELL);
    let [log, note] = ["receipts.jsonl", "checkpoint"].map(|name| format!("{folder}/{name}"));
    let (lines, signed) = alter(
        fs::read_to_string(&log).unwrap(),
        fs::read_to_string(&note).unwrap(),
    );
    fs::write(&log, lines).unwrap();
    fs::write(&note, signed).unwrap();
    for command in [
        &["check"][..],
        &["prove", "--env", "production"],
        &["report", "--env", "production", "--framework", "soc-2"],
    ] {
        let ran = with(&world, command, &[&folder], AT);
        assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains(&format!("error[{code}")), "{}", ran.err);
        assert!(ran.err.contains("help: "), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn arguments_that_make_no_sense_are_told() {
    let world = World::new();
    let folder = export(&world, "log", "production", "machine", WELL);
    // Without a pinned root nobody says whose keys count.
    let tree = world.path("tree");
    let ran = seawall(&["check", &tree, "--evidence", &folder]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("--root"), "{}", ran.err);
    // Receipts of another environment, and the same log twice.
    let elsewhere = export(&world, "elsewhere", "dev", "machine", WELL);
    let ran = check(&world, &[&elsewhere], AT);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(
        ran.err
            .contains("`seawall/dev/reconciler-1`, which is not judged here"),
        "{}",
        ran.err
    );
    let ran = check(&world, &[&folder, &folder], AT);
    assert_eq!(ran.status, 2, "{}", ran.err);
    // A folder that is not there.
    let ran = check(&world, &[&world.path("nowhere")], AT);
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(ran.err.contains("seawalld receipts export"), "{}", ran.err);
    // A root that is over.
    let ran = check(&world, &[&folder], "2027-11-21T12:00:00Z");
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert!(ran.err.contains("error[SW0508]"), "{}", ran.err);
}

#[test]
fn a_key_that_the_root_gives_to_somebody_else_signs_no_receipts() {
    let world = World::new();
    let folder = export(&world, "log", "production", "build", WELL);
    let ran = check(&world, &[&folder], AT);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
}

#[test]
fn a_clause_about_what_happened_is_shown_by_receipts_alone() {
    let world = World::new();
    let clause = |folders: &[&str], at: &str| {
        let command = [
            "report",
            "--env",
            "production",
            "--framework",
            "aws-backup-audit-manager",
            "--format",
            "json",
        ];
        let ran = if folders.is_empty() {
            let tree = world.path("tree");
            let mut arguments = vec![command[0], &tree];
            arguments.extend(&command[1..]);
            arguments.extend(["--at", at]);
            seawall(&arguments)
        } else {
            with(&world, &command, folders, at)
        };
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let clauses = report["clauses"].as_array().unwrap().clone();
        let last = "BACKUP_LAST_RECOVERY_POINT_CREATED";
        clauses
            .into_iter()
            .find(|clause| clause["id"] == last)
            .unwrap()
    };
    let none = clause(&[], AT);
    assert_eq!(none["verdict"], "not_shown_here");
    assert!(
        none["reason"].as_str().unwrap().contains("--evidence"),
        "{none}"
    );
    let folder = export(&world, "log", "production", "machine", WELL);
    assert_eq!(clause(&[&folder], AT)["verdict"], "met");
    assert_eq!(
        clause(&[&folder], "2027-02-20T12:00:00Z")["verdict"],
        "not_met"
    );
}

#[test]
fn a_person_reads_what_receipts_show() {
    let world = World::new();
    let folder = export(&world, "log", "production", "machine", WELL);
    let command = ["prove", "ds_documents", "--env", "production"];
    let ran = with(&world, &command, &[&folder], AT);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let ran_all = with(&world, &["prove", "--env", "production"], &[&folder], AT);
    let from = ran.out.find("receipts show").unwrap();
    let to = ran.out.find("smallest losses").unwrap();
    let from_all = ran_all.out.find("What receipts show of datasets").unwrap();
    let told = format!("{}{}", &ran.out[from..to], &ran_all.out[from_all..]);
    super::trees::snapshot("evidence", &told);
}
