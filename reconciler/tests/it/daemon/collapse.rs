//! A source that is another one, or nearly gone: the point is kept, is not good, retention waits, and a person's word is a receipt.

use contract::code;
use contract::model::Sizing;
use reconciler::collapse::judge;
use reconciler::domain::SourceProfile;
use reconciler::plan::plan;
use reconciler::review::review;

use super::plans::{at, mine, with_points};
use super::world::{World, exporting, same};

fn profile(identity: &str, bytes: u64, entries: u64) -> SourceProfile {
    SourceProfile {
        identity: (!identity.is_empty()).then(|| identity.to_owned()),
        bytes: Some(bytes),
        entries: Some(entries),
    }
}

/// 1 % of the dataset changes in a day, says policy.
#[test]
fn the_bound_is_the_policys() {
    let sizing = |change| Sizing {
        size_bytes: 1_000_000,
        change_per_day_bytes: change,
    };
    let judged = |now: SourceProfile, change, days: u64| {
        let before = profile("a", 10_000, 500);
        let since = serde_json::from_str(&(days * 86_400).to_string()).unwrap();
        judge(&before, &now, &sizing(change), since).is_some()
    };
    // Everyday life: it grows, or less goes than stays, or no more than policy says.
    assert!(!judged(profile("a", 50_000, 900), 10, 1));
    assert!(!judged(profile("a", 6_000, 300), 10, 1));
    assert!(!judged(profile("a", 4_000, 200), 10_000, 1));
    // More than that.
    assert!(judged(profile("a", 4_000, 200), 10, 1));
    assert!(!judged(profile("a", 4_000, 200), 10, 600));
    // Nearly everything, in bytes or entries, or another source.
    assert!(judged(profile("a", 100, 490), 10_000, 1));
    assert!(judged(profile("a", 10_000, 1), 10_000, 1));
    assert!(judged(profile("b", 10_000, 500), 10_000, 1));
    assert!(
        !judged(profile("", 10_000, 500), 10_000, 1),
        "an identity that was not seen"
    );
    // Policy says that nearly everything changes in a day, or in ninety.
    assert!(judged(profile("a", 100, 50), 800_000, 1));
    assert!(!judged(profile("a", 100, 50), 900_000, 1));
    assert!(!judged(profile("a", 100, 50), 10_000, 90));
    // Nothing at all is never what changes.
    assert!(judged(profile("a", 0, 500), 2_000_000, 900));
    assert!(judged(profile("a", 10_000, 0), 2_000_000, 900));
}

/// While the newest point is in doubt nothing is forgotten, and the review says so by itself.
#[test]
fn retention_waits_for_a_source_in_doubt() {
    let doubt = |observed: &mut reconciler::domain::Observed| {
        let newest = mine(observed).runs.last_mut().unwrap();
        let dataset = newest.dataset_ids.first().unwrap().clone();
        newest.collapsed.insert(dataset, "it fell".to_owned());
    };
    let now = at("2026-11-20T00:10:00Z");
    let (active, mut observed, sure) = with_points(|_, _| {});
    assert_eq!(sure.would_forget.len(), 2);
    assert!(review(&sure, &observed, &active, now).is_empty());
    doubt(&mut observed);
    assert!(plan(&active, &observed, now).would_forget.is_empty());
    assert_eq!(review(&sure, &observed, &active, now).len(), 2);
}

/// The program: an exchanged folder of a few bytes is kept as what it is, and counts once a person says so.
#[test]
fn a_collapsed_source_counts_once_a_person_says_so() {
    let world = World::new();
    world.json(0, &["once"]);
    let good = world.path("good");
    std::fs::rename(world.path("live"), &good).unwrap();
    std::fs::create_dir(world.path("live")).unwrap();
    std::fs::write(world.path("live/README"), "a mount point\n").unwrap();
    let said = world.refused(1, &["backup", "bp_files"]);
    let in_doubt = code::SOURCE_COLLAPSED.to_string();
    assert!(
        said.contains(&in_doubt) && said.contains("source accept ds_files"),
        "{said}"
    );
    let status = world.json(1, &["status"]);
    assert_eq!(
        status["plans"][0]["condition"]["code"], in_doubt,
        "{status}"
    );
    let latest = |name: &str| {
        world.export("ds_files", &world.path(name));
        world.path(name)
    };
    same(&latest("one"), &good);
    // Another run does not make it good either.
    world.refused(1, &["backup", "bp_files"]);
    same(&latest("two"), &good);

    world.expect(
        0,
        &[
            "source",
            "accept",
            "ds_files",
            "--note",
            "moved to a new disk",
        ],
    );
    same(&latest("three"), &world.path("live"));
    assert_eq!(world.json(0, &["status"])["light"], "green");
    world.expect(0, &["backup", "bp_files"]);
    let receipts = world.json(0, &["receipts"]);
    let accepted: Vec<_> = receipts
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["decision_type"] == "adoption" && it["details"]["note"].is_string())
        .collect();
    assert_eq!(accepted.len(), 1, "for the newest point: {receipts}");
    assert_eq!(accepted[0]["details"]["note"], "moved to a new disk");
    world.refused(2, &["source", "accept", "ds_files"]);
    world.expect(0, &["receipts", "verify"]);
}

/// What a restore replaced is never accepted, out of habit or otherwise.
#[test]
fn after_a_restore_there_is_nothing_to_accept() {
    let world = World::new();
    world.json(0, &["once"]);
    let good = world.path("good");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(world.path("live"))
        .arg(&good)
        .status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(world.path("live/deep")).unwrap();
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(said.contains("run `seawalld backup bp_files`"), "{said}");
    world.restore_in_place("ds_files");
    let said = world.refused(2, &["source", "accept", "ds_files"]);
    assert!(said.contains("nothing has to be accepted"), "{said}");
    world.export("ds_files", &world.path("out"));
    same(&world.path("out"), &good);
}

/// The same without the program: who cancels says nothing of the source, and no point before a restore hides what failed.
#[test]
fn a_request_that_was_cancelled_is_no_failure() {
    let now = at("2026-11-20T00:10:00Z");
    let (_, mut observed, _) = with_points(|_, _| {});
    let plan = mine(&mut observed);
    let mut run = plan.runs.last().unwrap().clone();
    run.slot = None;
    run.snapshot_id = None;
    run.consistent_at = None;
    run.status = reconciler::domain::RunStatus::Failure;
    run.started_at = at("2026-11-20T00:05:00Z");
    run.error = Some("[SW1505] it is damaged".to_owned());
    plan.runs.push(run.clone());
    assert!(plan.failed_request(now).is_some());
    let mut before = plan.runs[0].clone();
    before.before_restore = true;
    before.started_at = at("2026-11-20T00:06:00Z");
    plan.runs.push(before);
    assert!(plan.failed_request(now).is_some());
    run.error = Some("[SW1117] a person cancelled it".to_owned());
    run.started_at = at("2026-11-20T00:07:00Z");
    plan.runs.push(run);
    assert!(plan.failed_request(now).is_none());
}

/// What an operator's backup found out is shown until a later one succeeds.
#[test]
fn a_request_that_failed_is_a_condition() {
    let world = World::new();
    world.json(0, &["once"]);
    let away = world.path("away");
    std::fs::rename(world.path("live"), &away).unwrap();
    world.refused(1, &["backup", "bp_files"]);
    let status = world.json(0, &["status"]);
    assert_eq!(status["light"], "yellow", "{status}");
    let condition = &status["plans"][0]["condition"];
    assert_eq!(
        condition["code"],
        code::LAST_RUN_FAILED.to_string(),
        "{status}"
    );
    let why = condition["why"].as_str().unwrap();
    assert!(
        why.contains("an operator requested") && why.contains("SW1501"),
        "{why}"
    );
    std::fs::rename(&away, world.path("live")).unwrap();
    world.expect(0, &["backup", "bp_files"]);
    assert_eq!(world.json(0, &["status"])["light"], "green");
}

/// Whoever accepts a source that was put right says nothing good of the point that shows it damaged.
#[test]
fn only_points_that_show_what_is_accepted_are_accepted() {
    let world = World::new();
    world.json(0, &["once"]);
    let good = world.path("good");
    std::fs::rename(world.path("live"), &good).unwrap();
    std::fs::create_dir(world.path("live")).unwrap();
    std::fs::write(world.path("live/left"), "nearly nothing\n").unwrap();
    world.refused(1, &["backup", "bp_files"]);
    // It is put right by hand, in another folder than before.
    std::fs::remove_dir_all(world.path("live")).unwrap();
    let put = std::process::Command::new("cp")
        .arg("-a")
        .arg(&good)
        .arg(world.path("live"))
        .status();
    assert!(put.unwrap().success());
    world.refused(1, &["backup", "bp_files"]);
    let catalog = world.json(0, &["catalog"]);
    let in_doubt = |catalog: &serde_json::Value| {
        let points = catalog.as_array().unwrap().iter();
        let points = points.filter(|it| it["collapsed"].is_object());
        points
            .map(|it| it["backup_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut doubted = in_doubt(&catalog);
    doubted.sort();
    assert_eq!(doubted.len(), 2, "{catalog}");
    let said = world.expect(0, &["source", "accept", "ds_files", "--note", "put right"]);
    assert!(said.contains("1 recovery point of it now counts"), "{said}");
    assert!(said.contains("still unconfirmed, because older"), "{said}");
    assert_eq!(
        in_doubt(&world.json(0, &["catalog"])),
        doubted[..1],
        "the damaged one stays in doubt"
    );
    assert_eq!(world.json(0, &["status"])["light"], "green");
    world.export("ds_files", &world.path("out"));
    same(&world.path("out"), &good);
    let said = world.refused(2, &["source", "accept", "ds_files"]);
    assert!(said.contains("nothing has to be accepted"), "{said}");
}

/// The disk is mounted again, or its content came back in place: nobody has to say anything.
#[test]
fn a_source_that_is_back_is_good_by_itself() {
    let world = World::new();
    world.json(0, &["once"]);
    let good = world.path("good");
    std::fs::rename(world.path("live"), &good).unwrap();
    std::fs::create_dir(world.path("live")).unwrap();
    std::fs::write(world.path("live/README"), "a mount point\n").unwrap();
    world.refused(1, &["backup", "bp_files"]);
    std::fs::remove_dir_all(world.path("live")).unwrap();
    std::fs::rename(&good, world.path("live")).unwrap();
    world.expect(0, &["backup", "bp_files"]);
    assert_eq!(world.json(0, &["status"])["light"], "green");

    std::fs::remove_file(world.path("live/deep/two.bin")).unwrap();
    world.refused(1, &["backup", "bp_files"]);
    world.restore_in_place("ds_files");
    assert_eq!(world.json(0, &["status"])["light"], "green");
    world.expect(0, &["backup", "bp_files"]);
}

/// A log that lost lines: it is stored as it is, the point from before keeps them, and a person decides what counts.
#[test]
fn a_log_that_was_rewritten_is_stored_and_the_alarm_stays() {
    let (before, after) = (
        "{\"a\":1}\n{\"a\":2}\n",
        "{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n",
    );
    let (world, file) = World::with_log(before);
    world.json(0, &["once"]);
    std::fs::write(&file, after).unwrap();
    for _ in 0..2 {
        let said = world.refused(1, &["backup", "bp_files"]);
        assert!(said.contains("SW1508"), "{said}");
        let status = world.json(1, &["status"]);
        let condition = &status["plans"][0]["condition"];
        assert_eq!(condition["code"], code::SOURCE_COLLAPSED.to_string());
        let why = condition["why"].as_str().unwrap();
        assert!(why.contains("SW1508"), "{why}");
    }
    let exported = |name: &str, point: &[&str]| {
        let out = world.path(name);
        world.expect(0, &exporting("ds_files", point, &out));
        std::fs::read_to_string(out.join("audit.jsonl")).unwrap()
    };
    assert_eq!(exported("good", &["latest"]), before);
    let catalog = world.json(0, &["catalog"]);
    let newest = catalog.as_array().unwrap().last().unwrap();
    let newest = newest["backup_id"].as_str().unwrap();
    assert_eq!(exported("now", &["backup-id", newest]), after);

    let bound = format!("path: {} ", file.display());
    let text = std::fs::read_to_string(world.path("seawalld.yaml")).unwrap();
    assert!(text.contains(&bound));
    let raised = text.replace(
        &bound,
        &format!("{bound}, append_only_epoch: 1 ").replace(" ,", ","),
    );
    std::fs::write(world.path("seawalld.yaml"), raised).unwrap();
    world.expect(0, &["backup", "bp_files"]);
    assert_eq!(exported("accepted", &["latest"]), after);
    assert_eq!(world.json(0, &["status"])["light"], "green");
}
