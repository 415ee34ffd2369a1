//! Ways back that must not be barred: by what policy has become since, by a precaution, or by a request that was refused before.

use std::path::Path;
use std::process::Command;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::{World, exporting, replacing, same};

/// The plan takes a second dataset, bound to a SQLite file.
fn with_two_datasets() -> World {
    let mut world = World::new();
    let mut more = world.model["datasets"]["ds_files"].clone();
    more["dataset_id"] = "ds_more".into();
    world.model["datasets"]["ds_more"] = more;
    world.model["plans"]["bp_files"]["dataset_ids"] = json!(["ds_files", "ds_more"]);
    world.publish();
    std::fs::create_dir(world.path("more")).unwrap();
    std::fs::write(world.path("more/more.txt"), "more\n").unwrap();
    let more = world.path("more");
    let bound = format!(
        "files: {{ path: {} }} }}, ds_more: {{ files: {{ path: {} }} }} }}",
        world.path("live").display(),
        more.display()
    );
    let from = format!("files: {{ path: {} }} }} }}", world.path("live").display());
    world.configure(&[(from.as_str(), bound.as_str())]);
    world
}

fn of_type(receipts: &Value, kind: &str) -> Vec<Value> {
    let all = receipts.as_array().unwrap().iter();
    all.filter(|it| it["decision_type"] == kind)
        .cloned()
        .collect()
}

/// Split from its plan, then removed with its plan: the catalog has the point, keys and locations are bound, so it comes back.
#[test]
fn old_points_outlive_what_policy_says_today() {
    let mut world = with_two_datasets();
    world.json(0, &["once"]);
    let point = world.json(0, &["catalog"])[0]["backup_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let out = world.path("out");
    let back = |world: &World| {
        let _ = std::fs::remove_dir_all(&out);
        world.expect(0, &exporting("ds_more", &["backup-id", &point], &out));
        same(&out, &world.path("more"));
    };
    // 1. The dataset is in another plan.
    let mut other = world.model["plans"]["bp_files"].clone();
    other["plan_id"] = "bp_more".into();
    other["dataset_ids"] = json!(["ds_more"]);
    world.model["plans"]["bp_files"]["dataset_ids"] = json!(["ds_files"]);
    world.model["plans"]["bp_more"] = other;
    world.publish();
    world.json(0, &["once"]);
    back(&world);
    // 2. The dataset and its plan are gone.
    world.model["plans"]
        .as_object_mut()
        .unwrap()
        .remove("bp_more");
    world.model["datasets"]
        .as_object_mut()
        .unwrap()
        .remove("ds_more");
    world.publish();
    world.json(0, &["once"]);
    back(&world);
    // 3. The plan that took the point is gone too; of another name than it had.
    let mut renamed = world.model["plans"]["bp_files"].clone();
    renamed["plan_id"] = "bp_new".into();
    world.model["plans"] = json!({"bp_new": renamed});
    world.publish();
    world.json(0, &["once"]);
    back(&world);
    // What nobody ever had is no dataset.
    let said = world.refused(2, &exporting("ds_typo", &["latest"], Path::new("/nowhere")));
    assert!(said.contains("SW1107"), "{said}");
}

/// Policy says who may: a dataset that left it has no tier, so the strictest approval policy of any counts.
#[test]
fn leaving_the_policy_evades_no_approval() {
    let mut world = World::new();
    world.json(0, &["once"]);
    world.model["settings"]["approvals"]["in_place"]["environments"] = json!(["dev"]);
    world.model["settings"]["approvals"]["in_place"]["action"] = "restore_export".into();
    world.model["plans"] = json!({});
    world.model["datasets"] = json!({});
    world.publish();
    world.json(1, &["once"]);
    let out = world.path("out");
    let said = world.refused(3, &exporting("ds_files", &["latest"], &out));
    assert!(said.contains("SW1601"), "{said}");
    assert!(!out.exists());
}

/// The folder was emptied: there is nothing to take a point of, and nothing that could be lost.
/// A second restore gives the same state again, and not the damage that the first one replaced.
#[test]
fn the_point_before_a_restore_is_never_the_latest() {
    let world = World::new();
    world.expect(0, &["once"]);
    std::fs::remove_dir_all(world.path("live/deep")).unwrap();
    for _ in 0..2 {
        world.restore_in_place("ds_files");
        assert!(world.path("live/deep/two.bin").exists());
    }
    world.export("ds_files", &world.path("out"));
    let is_whole = |folder: &str| {
        let files = walkdir::WalkDir::new(world.path(folder)).into_iter();
        files
            .map(Result::unwrap)
            .any(|it| it.file_name() == "two.bin")
    };
    assert!(is_whole("out"));
    let shown = world.expect(0, &["catalog"]);
    let before = shown.lines().find(|line| line.contains("before restore"));
    // Whoever reads the repository without Seawall tells it by its tag.
    let restic = |more: &[&str]| {
        let mut command = std::process::Command::new("restic");
        command
            .arg("--no-cache")
            .arg("-r")
            .arg(world.path("loc_a/dev/bp_files/k1"));
        command.arg("--password-file").arg(world.path("k1.key"));
        let said = command.args(more).output().unwrap();
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    let number = |snapshots: serde_json::Value| snapshots.as_array().unwrap().len();
    let all = number(restic(&["snapshots", "--json"]));
    let marked = number(restic(&["snapshots", "--json", "--tag", "before_restore"]));
    assert_eq!((all, marked), (3, 2));
    // It is there when it is named.
    let id = before.unwrap().split_whitespace().next().unwrap();
    let target = world.path("damaged");
    world.json(0, &exporting("ds_files", &["backup-id", id], &target));
    assert!(!is_whole("damaged"));
}

#[test]
fn an_emptied_source_needs_no_point_before() {
    let world = World::new();
    world.json(0, &["once"]);
    let kept = world.path("kept");
    std::fs::create_dir(&kept).unwrap();
    for entry in std::fs::read_dir(world.path("live")).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), kept.join(entry.file_name())).unwrap();
    }
    let restored = world.restore_in_place("ds_files");
    assert!(restored["before"].is_null(), "{restored}");
    same(&world.path("live"), &kept);
    let intents = of_type(&world.json(0, &["receipts"]), "restore");
    assert_eq!(
        intents[0]["details"]["point_before"],
        "none, the live data were empty"
    );
}

/// The point before holds the one dataset: what is broken beside it bars nothing. What is broken itself needs a person's word.
#[test]
fn a_precaution_bars_no_way_back() {
    let world = with_two_datasets();
    world.json(0, &["once"]);
    std::fs::remove_dir_all(world.path("more")).unwrap();
    std::fs::write(world.path("live/one.txt"), "vandal\n").unwrap();
    let restored = world.restore_in_place("ds_files");
    let before = restored["before"].as_str().unwrap();
    let catalog = world.json(0, &["catalog"]);
    let run = catalog
        .as_array()
        .unwrap()
        .iter()
        .find(|run| run["backup_id"] == before);
    assert_eq!(
        run.unwrap()["dataset_ids"],
        json!(["ds_files"]),
        "{catalog}"
    );
    assert_eq!(
        std::fs::read_to_string(world.path("live/one.txt")).unwrap(),
        "one\n"
    );
    let receipts = world.json(0, &["receipts"]);
    for receipt in receipts.as_array().unwrap() {
        if receipt["backup_id"] == before && receipt["decision_type"] != "restore" {
            assert_eq!(receipt["dataset_ids"], json!(["ds_files"]), "{receipt}");
        }
    }
    // A point cannot be taken of what is there: refused with the way on, and the way on leaves a receipt.
    std::fs::remove_dir_all(world.path("loc_a")).unwrap();
    std::fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    let in_place = replacing("ds_files", &["latest"]);
    let said = world.refused(1, &in_place);
    assert!(said.contains("--without-safety-point"), "{said}");
    std::fs::rename(world.path("away"), world.path("loc_b")).unwrap();
    let mut on = in_place;
    on.push("--without-safety-point");
    let restored = world.json(0, &on);
    assert!(restored["before"].is_null(), "{restored}");
    assert!(restored["summary"]["kept"].is_string(), "{restored}");
    let restores = of_type(&world.json(0, &["receipts"]), "restore");
    let told = &restores.last().unwrap()["details"]["point_before"];
    assert_eq!(*told, "none, the operator went on without one");
    // Beside the live data nothing is replaced, and the word makes no sense.
    let out = world.path("out");
    let mut odd = exporting("ds_files", &["latest"], &out);
    odd.push("--without-safety-point");
    world.refused(2, &odd);
}

/// Nothing was tried, so no restore failed: the receipt says what was refused and why.
#[test]
fn a_refused_request_is_no_failed_restore() {
    let world = World::new();
    world.json(0, &["once"]);
    let nowhere = [
        "restore",
        "--dataset",
        "ds_files",
        "--point",
        "latest",
        "--mode",
        "side-by-side",
    ];
    let said = world.refused(2, &nowhere);
    assert!(said.contains("SW1108"), "{said}");
    let receipts = world.json(0, &["receipts"]);
    assert!(of_type(&receipts, "restore").is_empty(), "{receipts}");
    let refused = of_type(&receipts, "request_refused");
    assert_eq!(refused[0]["error"]["code"], "SW1108", "{receipts}");
    assert_eq!(refused[0]["phase"], "decision", "{receipts}");
    world.expect(0, &["receipts", "verify"]);
}

/// A name that nothing has is an error, not an empty list.
#[test]
fn a_plan_of_no_name_is_told() {
    let mut world = World::new();
    world.json(0, &["once"]);
    for command in ["catalog", "slots"] {
        let said = world.refused(2, &[command, "--plan", "bp_typo"]);
        assert!(said.contains("SW1107"), "{said}");
        world.expect(0, &[command, "--plan", "bp_files"]);
    }
    // A plan that left the policy is known by what it did.
    world.model["plans"] = json!({});
    world.publish();
    world.json(1, &["once"]);
    world.expect(0, &["catalog", "--plan", "bp_files"]);
    world.expect(0, &["slots", "--plan", "bp_files"]);
}

/// A schedule that runs more often began when it was accepted: nothing was missed before.
#[test]
fn a_new_schedule_invents_no_missed_slots() {
    let mut world = World::new();
    world.age = SignedDuration::from_hours(4);
    world.forget_the_last();
    world.publish();
    // The plan is three hours old when its schedule changes.
    let now = world.command(&["once"]);
    let then = Command::new("faketime")
        .args(["-f", "-3h"])
        .arg(now.get_program())
        .args(now.get_args())
        .output()
        .unwrap();
    assert!(then.status.success(), "{then:?}");
    world.age = SignedDuration::ZERO;
    world.model["plans"]["bp_files"]["backup_frequency"]["every_s"] = 300.into();
    world.model["settings"]["schedules"]["daily"]["every_s"] = 300.into();
    world.publish();
    world.json(0, &["once"]);
    let slots = world.json(0, &["slots"]);
    let outcomes: Vec<&str> = slots
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot["outcome"].as_str().unwrap())
        .collect();
    assert!(
        outcomes.len() <= 2 && outcomes.iter().all(|it| *it == "success"),
        "{slots}"
    );
}
