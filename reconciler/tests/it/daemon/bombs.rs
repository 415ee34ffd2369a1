//! Bundles that are signed and cost more than they say: judging them is bounded, happens once, and delays no backup.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::World;

/// Schedules that nothing uses, each of another minute, every minute of the day.
fn schedules(count: usize, zone: &str) -> Vec<(String, Value)> {
    let one = |number: usize| {
        let id = format!("s{number}");
        // Every day of the month but one, so that no two say the same.
        let (month, day) = (1 + number % 12, 1 + number / 12 % 28);
        let cron = format!("* * {day}-31 {month}-12 *");
        let schedule = json!({
            "schedule_id": id, "cron": cron, "timezone": zone, "jitter_s": number / 336,
            "start_window_s": 3_600, "completion_window_s": 7_200, "tolerated_misses": 1,
            "catch_up": "latest"
        });
        (id, schedule)
    };
    (0..count).map(one).collect()
}

fn put(world: &mut World, all: Vec<(String, Value)>) {
    let target = world.model["settings"]["schedules"]
        .as_object_mut()
        .unwrap();
    target.extend(all);
}

fn judged(world: &World) -> (usize, String) {
    let done = world
        .command(&["once"])
        .env("SEAWALLD_LOG", "warn,reconciler=debug")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (said.matches("bundle_judged").count(), said)
}

#[test]
fn judging_a_bundle_is_bounded_and_a_refused_one_is_judged_once() {
    let mut world = World::new();
    world.json(0, &["once"]);
    world.signers = vec!["ci"];
    put(&mut world, schedules(1_000, "Europe/Berlin"));
    world.publish();
    assert_eq!(
        world.json(0, &["once"])["serial"],
        2,
        "one more schedule needs no owner"
    );
    put(&mut world, schedules(1_000, "America/New_York"));
    world.publish();

    let began = Instant::now();
    let (judgements, said) = judged(&world);
    let took = began.elapsed();
    assert!(said.contains("SW0530"), "{said}");
    assert_eq!(judgements, 1, "{said}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    for _ in 0..2 {
        let (judgements, said) = judged(&world);
        assert!(said.contains("SW0530"), "{said}");
        assert_eq!(judgements, 0, "{said}");
    }
    let plan = world.refused(3, &["plan"]);
    assert!(plan.contains("SW0530"), "{plan}");
    world.expect(0, &["backup", "bp_files"]);
    let receipts = world.json(0, &["receipts"]);
    let refused = receipts.as_array().unwrap().iter();
    let refused = refused.filter(|receipt| receipt["decision_type"] == "bundle_refused");
    assert_eq!(refused.count(), 1);

    // The same under the owners' signature is another file, and is taken.
    world.signers = vec!["ci", "olga"];
    world.forget_the_last();
    world.publish();
    assert_eq!(world.json(0, &["once"])["serial"], 3);
}

/// A bundle whose judging ends the process ends it a few times, not for ever.
#[test]
fn a_bundle_that_ends_the_process_is_given_up() {
    let mut world = World::new();
    world.json(0, &["once"]);
    world.signers = vec!["ci"];
    put(&mut world, schedules(1_000, "Europe/Berlin"));
    world.publish();
    world.json(0, &["once"]);
    put(&mut world, schedules(1_000, "America/New_York"));
    world.publish();
    for _ in 0..3 {
        // Killed while it judges.
        let mut once = world
            .command(&["once"])
            .env("SEAWALLD_LOG", "warn,reconciler=debug")
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        use std::io::BufRead as _;
        let lines = std::io::BufReader::new(once.stderr.take().unwrap()).lines();
        let judging = lines
            .map_while(Result::ok)
            .any(|line| line.contains("bundle_judged"));
        assert!(judging);
        once.kill().unwrap();
        once.wait().unwrap();
    }
    let (judgements, said) = judged(&world);
    assert_eq!(judgements, 0, "{said}");
    assert!(said.contains("SW1112"), "{said}");
    world.expect(0, &["backup", "bp_files"]);
    std::fs::remove_file(world.path("state/judged.json")).unwrap();
    let (judgements, said) = judged(&world);
    assert!(judgements == 1 && said.contains("SW0530"), "{said}");
}
