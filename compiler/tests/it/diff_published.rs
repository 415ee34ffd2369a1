//! `seawall diff` of published bundles: they tell what their trees tell, and are refused when their files do not belong together.

use std::fs;
use std::path::Path;

use rstest::rstest;
use serde_json::Value;

use crate::cli::{World, seawall};

fn copy(from: &str, to: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let to = format!("{to}/{name}");
        if path.is_dir() {
            copy(path.to_str().unwrap(), &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// The starter tree as `was`, published in `before`, and the same with rarer backups as `tree`, published in `out`.
fn changed() -> World {
    let world = World::new();
    let built = world.build(&["build", "alice"]);
    assert_eq!(built.status, 0, "{}", built.err);
    copy(&world.path("out"), &world.path("before"));
    copy(&world.path("tree"), &world.path("was"));
    fs::remove_dir_all(world.path("out/production")).unwrap();
    world.edit("settings.yaml", "every: PT1H", "every: PT1H30M");
    let built = world.build(&["build", "alice"]);
    assert_eq!(built.status, 0, "{}", built.err);
    world
}

#[rstest]
#[case::two_bundles("before/production", "out/production")]
#[case::a_bundle_and_a_tree("before/production", "tree")]
#[case::a_tree_and_a_bundle("was", "out/production")]
fn bundles_tell_what_their_trees_tell(#[case] old: &str, #[case] new: &str) {
    let world = changed();
    let diff = |old: &str, new: &str| -> Value {
        let (old, new) = (world.path(old), world.path(new));
        let ran = seawall(&["diff", &old, &new, "--format", "json"]);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        serde_json::from_str(&ran.out).unwrap()
    };
    // The lines of a bundle are those of the tree that it was made of, from that tree's folder.
    let without_folders = |mut told: Value| {
        for edit in told["environments"][0]["edits"].as_array_mut().unwrap() {
            let file = edit["file"].as_str().unwrap();
            let name = Path::new(file).file_name().unwrap().to_str().unwrap();
            edit["file"] = name.into();
        }
        told
    };
    let of_trees = without_folders(diff("was", "tree"));
    let told = without_folders(diff(old, new));
    assert_eq!(told, of_trees);
    let loss = &told["environments"][0]["groups"][0]["outcomes"][0];
    assert_eq!(
        [
            &told["effect"],
            &loss["property"],
            &loss["from"],
            &loss["to"]
        ],
        ["incomparable", "loss", "2 h 20 min", "3 h 20 min"]
    );
    let (old, new) = (world.path(old), world.path(new));
    let ran = seawall(&["diff", &old, &new, "--fail-on", "weaker"]);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    let ran = seawall(&["diff", &new, &new, "--fail-on", "weaker"]);
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (0, "production: no difference\n")
    );
}

/// Whatever does not belong to the statement is refused on either side, and nothing is told of it.
#[rstest]
#[case::a_model_that_was_edited("bundle.json", 3600, "SW0522", "`bundle.json` has digest")]
#[case::places_that_were_edited("provenance.json", 46, "SW0522", "`provenance.json` has digest")]
fn a_bundle_that_was_edited_is_refused(
    #[case] file: &str,
    #[case] number: u32,
    #[case] code: &str,
    #[case] wanted: &str,
) {
    let world = changed();
    let path = world.path(&format!("before/production/{file}"));
    let text = fs::read_to_string(&path).unwrap();
    let (from, to) = (format!(":{number}"), format!(":{}", number + 1));
    assert!(text.contains(&from), "{text}");
    fs::write(&path, text.replacen(&from, &to, 1)).unwrap();
    let (edited, tree) = (world.path("before/production"), world.path("tree"));
    for sides in [[&edited, &tree], [&tree, &edited]] {
        let ran = seawall(&["diff", sides[0], sides[1]]);
        assert_eq!((ran.status, ran.out.as_str()), (3, ""));
        assert!(
            ran.err.contains(code) && ran.err.contains(wanted),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_bundle_speaks_of_one_environment() {
    let world = changed();
    let (bundle, tree) = (world.path("before/production"), world.path("tree"));
    let ran = seawall(&["diff", &bundle, &tree, "--env", "staging"]);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.contains("neither side declares `staging`"),
        "{}",
        ran.err
    );
    // One that lies where another environment's should is no bundle of that.
    let moved = world.path("before/staging");
    copy(&bundle, &moved);
    for sides in [[&moved, &tree], [&tree, &moved]] {
        let ran = seawall(&["diff", sides[0], sides[1]]);
        assert_eq!((ran.status, ran.out.as_str()), (3, ""));
        assert!(ran.err.contains("SW0517"), "{}", ran.err);
    }
}
