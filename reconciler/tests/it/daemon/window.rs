//! Backups that need longer than their completion window: the first ones protect nothing if they are ended there.

use std::fs;

use serde_json::{Value, json};

use super::service::{Service, slots, wait};
use super::world::World;

/// A hole of so many bytes takes seconds to read, and nothing to store.
pub(super) const LARGE: u64 = 24 << 30;

/// A plan whose runs have few seconds: enough to open a repository on a busy machine, which is no progress.
fn hurried() -> World {
    let mut world = World::new();
    for schedule in [
        "/plans/bp_files/backup_frequency",
        "/settings/schedules/daily",
    ] {
        let schedule = world.model.pointer_mut(schedule).unwrap();
        schedule["start_window_s"] = json!(1);
        schedule["completion_window_s"] = json!(5);
    }
    world.publish();
    world
}

fn grow(world: &World) {
    grow_to(world, LARGE);
}

fn grow_to(world: &World, bytes: u64) {
    let large = fs::File::create(world.path("live/large")).unwrap();
    large.set_len(bytes).unwrap();
}

fn codes(status: &Value) -> String {
    status["plans"][0]["condition"].to_string()
}

/// Daemon case 12: the first backup was ended at each window, and began from nothing each time.
#[test]
fn a_first_backup_that_outlasts_its_window_goes_on_and_counts_late() {
    let world = hurried();
    grow(&world);
    let round = world.json(0, &["once"]);
    assert_eq!(round["done"][0]["outcome"], "success", "{round}");
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[0]["status"], "success", "{catalog}");
    assert_eq!(catalog[0]["overran"], true, "{catalog}");
    assert_eq!(catalog[0]["verification"]["is"], "verified", "{catalog}");
    let receipts = world.json(0, &["receipts"]);
    let ended = receipts.as_array().unwrap().iter();
    let ended: Vec<&Value> = ended
        .filter(|it| it["decision_type"] == "slot_ended")
        .collect();
    assert_eq!(ended.len(), 1, "{receipts}");
    assert_eq!(ended[0]["result"], "success");
    assert!(ended[0]["details"]["late"].is_string(), "{receipts}");
    // A person hears that the data do not fit.
    let status = world.json(0, &["status"]);
    assert!(codes(&status).contains("SW1118"), "{status}");
    // What changed since fits, and nothing is left to be said.
    world.put("live/small", b"small");
    world.json(0, &["backup", "bp_files"]);
    let catalog = world.json(0, &["catalog"]);
    assert_eq!(catalog[1]["overran"], Value::Null, "{catalog}");
}

/// The same of data that outgrew their window: the first run is ended there, the one after it is not.
#[test]
fn a_backup_that_was_ended_at_its_window_goes_on_the_next_time() {
    let world = hurried();
    world.json(0, &["once"]);
    grow(&world);
    let ended = world.json(1, &["backup", "bp_files"]);
    assert_eq!(ended[0]["failure"]["code"], "SW1101", "{ended}");
    let done = world.json(0, &["backup", "bp_files"]);
    assert_eq!(done[0]["outcome"], "success", "{done}");
    let catalog = world.json(0, &["catalog"]);
    let overran: Vec<(&Value, &Value)> = catalog
        .as_array()
        .unwrap()
        .iter()
        .map(|run| (&run["status"], &run["overran"]))
        .collect();
    assert_eq!(
        overran,
        [
            (&json!("success"), &Value::Null),
            (&json!("failure"), &json!(true)),
            (&json!("success"), &json!(true)),
        ]
    );
}

/// A run that goes on past its deadline takes no worker from the others, not even the only one.
#[test]
fn a_run_that_outlasts_its_window_holds_no_worker() {
    let mut world = hurried();
    // Half a minute and more: the run ends long after the other plan has its point.
    grow_to(&world, 6 * LARGE);
    let files = format!(
        "ds_files: {{ files: {{ path: {} }} }}",
        world.path("live").display()
    );
    let both = format!(
        "{files}, ds_small: {{ files: {{ path: {} }} }}",
        world.path("small").display()
    );
    fs::create_dir(world.path("small")).unwrap();
    world.put("small/one", b"one");
    world.configure(&[
        ("interval: PT1S", "interval: PT1S\nworkers: 1"),
        (&files, &both),
    ]);
    let service = Service::start(&world);
    let log = || fs::read_to_string(world.path("run.log")).unwrap();
    wait("the first run does not begin", || {
        log().contains("operation_started")
    });
    let mut dataset = world.model["datasets"]["ds_files"].clone();
    dataset["dataset_id"] = "ds_small".into();
    world.model["datasets"]["ds_small"] = dataset;
    let mut plan = world.model["plans"]["bp_files"].clone();
    plan["plan_id"] = "bp_small".into();
    plan["dataset_ids"] = json!(["ds_small"]);
    // It may wait for a busy machine.
    plan["backup_frequency"]["start_window_s"] = json!(3_600);
    plan["backup_frequency"]["completion_window_s"] = json!(3_600);
    world.model["plans"]["bp_small"] = plan;
    world.publish();
    wait("the other plan waits for the run that is late", || {
        slots(&world, "bp_small", "success") == 1
    });
    assert_eq!(slots(&world, "bp_files", "success"), 0, "it has ended");
    assert_eq!(service.end().0, Some(0));
}
