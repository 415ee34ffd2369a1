//! What `doctor` finds before it hurts: a failure is what does not work, a warning what will not for long.

use jiff::SignedDuration;
use serde_json::Value;

use super::world::World;

/// The findings of one subject.
fn about<'v>(all: &'v Value, subject: &str) -> Vec<&'v Value> {
    let all = all.as_array().unwrap().iter();
    all.filter(|it| it["subject"] == subject).collect()
}

#[test]
fn what_expires_soon_is_a_warning_and_no_failure() {
    let mut world = World::new();
    let fresh = world.json(0, &["doctor"]);
    let bundle = about(&fresh, "bundle");
    assert_eq!(bundle[0]["level"], "ok", "{fresh}");
    assert!(
        bundle[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("valid until 20"),
        "{fresh}"
    );
    // An hour is left of a day.
    world.age = SignedDuration::from_hours(23);
    world.validity = SignedDuration::from_hours(1);
    world.publish();
    let old = world.json(0, &["doctor"]);
    let bundle = about(&old, "bundle");
    assert_eq!(
        (&bundle[0]["level"], &bundle[0]["ok"]),
        (&"warn".into(), &true.into()),
        "{old}"
    );
    let said = world.expect(0, &["doctor"]);
    assert!(
        said.contains("WARN  bundle") && said.contains("help: bundle: build, sign"),
        "{said}"
    );
}

/// A key that was replaced, or mixed up with another one, is found before the next backup or restore needs it.
#[test]
fn a_key_that_does_not_open_its_repository_is_a_failure() {
    let world = World::new();
    let before = world.json(0, &["doctor"]);
    let repository = about(&before, "repository of bp_files");
    assert_eq!(
        repository[0]["message"], "the first backup makes it",
        "{before}"
    );
    world.expect(0, &["once"]);
    let good = world.json(0, &["doctor"]);
    let repository = about(&good, "repository of bp_files");
    assert_eq!(repository[0]["message"], "key `k1` opens it", "{good}");
    std::fs::write(world.path("k1.key"), "another key of one line\n").unwrap();
    let bad = world.json(1, &["doctor"]);
    let repository = about(&bad, "repository of bp_files");
    assert_eq!(repository[0]["code"], "SW1405", "{bad}");
    // What cannot be read is not green either.
    std::fs::remove_file(world.path("k1.key")).unwrap();
    let gone = world.json(1, &["doctor"]);
    let repository = about(&gone, "repository of bp_files");
    assert_eq!(repository[0]["code"], "SW1111", "{gone}");
}

/// A dump or a restore of the dataset would fill the state folder.
#[test]
fn a_spool_that_is_too_small_is_a_warning() {
    let world = World::new();
    world.expect(0, &["once"]);
    let fits = world.json(0, &["doctor"]);
    assert_eq!(about(&fits, "spool")[0]["level"], "ok", "{fits}");
    // A sparse file: the room of no disk that a test may use is smaller.
    let huge = std::fs::File::create(world.path("live/huge")).unwrap();
    huge.set_len(1 << 43).unwrap();
    let found = world.json(0, &["doctor"]);
    let spool = about(&found, "spool");
    assert_eq!(spool[0]["level"], "warn", "{found}");
    assert!(
        spool[0]["message"]
            .as_str()
            .unwrap()
            .contains("`ds_files` may need 8.0 TiB"),
        "{found}"
    );
}
