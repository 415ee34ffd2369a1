//! Git trees that no person makes: as wide, as deep or with as many paths as objects can spell, with names that no folder may
//! have, and a repository of another user.

use std::process::Command;
use std::time::{Duration, Instant};

use git2::{ObjectType, Oid, Repository};

use super::world::World;

/// An entry of a tree: mode, name, and what it names.
type Entry<'a> = (&'a str, &'a str, Oid);

/// Writes objects as they are given: what git's own commands would refuse is taken here.
struct Objects(Repository);

impl Objects {
    fn of(world: &World) -> Self {
        Self(Repository::open(world.path("policy")).unwrap())
    }

    fn write(&self, kind: ObjectType, bytes: &[u8]) -> Oid {
        self.0.odb().unwrap().write(kind, bytes).unwrap()
    }

    fn tree(&self, entries: &[Entry<'_>]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend(format!("{mode} {name}\0").into_bytes());
            bytes.extend(id.as_bytes());
        }
        self.write(ObjectType::Tree, &bytes)
    }

    /// Points the branch at the published folders with more entries between them.
    fn publish(&self, more: &[Entry<'_>]) {
        let head = self.0.head().unwrap().peel_to_tree().unwrap();
        let id = |name: &str| head.get_name(name).unwrap().id();
        let mut entries = more.to_vec();
        entries.push(("40000", "dev", id("dev")));
        entries.push(("40000", "trust", id("trust")));
        // Git sorts a folder as if its name ended with a slash.
        let key = |(mode, name, _): &Entry<'_>| match *mode {
            "40000" => format!("{name}/"),
            _ => (*name).to_owned(),
        };
        entries.sort_by_key(key);
        let tree = self.tree(&entries);
        let by = "t <t@example.org> 0 +0000";
        let text = format!("tree {tree}\nauthor {by}\ncommitter {by}\n\ntrees\n");
        let commit = self.write(ObjectType::Commit, text.as_bytes());
        let branch = "refs/heads/main";
        self.0.reference(branch, commit, true, "").unwrap();
    }
}

fn wide(objects: &Objects) {
    let blob = objects.write(ObjectType::Blob, b"x");
    let names: Vec<String> = (0..1_000_000).map(|n| format!("f{n:06}")).collect();
    let entries: Vec<Entry<'_>> = names
        .iter()
        .map(|name| ("100644", name.as_str(), blob))
        .collect();
    objects.publish(&entries);
}

/// Each folder is in the one before.
fn deep(objects: &Objects) {
    let mut inner = objects.write(ObjectType::Blob, b"x");
    let mut mode = "100644";
    for _ in 0..1_900 {
        inner = objects.tree(&[(mode, "d", inner)]);
        mode = "40000";
    }
    objects.publish(&[("40000", "deep", inner)]);
}

/// Each folder names the one before twice.
fn doubling(objects: &Objects) {
    let mut inner = objects.write(ObjectType::Blob, b"x");
    let mut mode = "100644";
    for _ in 0..40 {
        inner = objects.tree(&[(mode, "a", inner), (mode, "b", inner)]);
        mode = "40000";
    }
    objects.publish(&[("40000", "paths", inner)]);
}

#[rstest::rstest]
#[case::a_million_entries(wide)]
#[case::nineteen_hundred_deep(deep)]
#[case::two_to_the_fortieth_paths(doubling)]
fn trees_of_any_shape_are_fetched_in_bounded_time_and_memory(#[case] plant: fn(&Objects)) {
    let world = World::new();
    plant(&Objects::of(&world));
    let began = Instant::now();
    let round = world.json(0, &["once"]);
    assert_eq!(round["serial"], 1, "{round}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Of all processes below this test, the largest.
    let usage = nix::sys::resource::UsageWho::RUSAGE_CHILDREN;
    let largest = nix::sys::resource::getrusage(usage).unwrap().max_rss();
    assert!(largest < 400 << 10, "{largest} KiB");
}

/// Names that would lead out of a folder, or into git's own, do not even come into the mirror.
#[test]
fn names_that_no_folder_may_have_are_refused() {
    let world = World::new();
    world.json(0, &["once"]);
    let objects = Objects::of(&world);
    let blob = objects.write(ObjectType::Blob, b"x");
    for name in [".git", ".GIT", "..", ".", "a/b"] {
        let folder = objects.tree(&[("100644", name, blob)]);
        objects.publish(&[("40000", "hostile", folder)]);
        let said = world.refused(4, &["once"]);
        assert!(said.contains("SW1203"), "{name}: {said}");
    }
    let status = world.json(0, &["status"]);
    assert_eq!(status["serial"], 1, "{status}");
    world.expect(0, &["backup", "bp_files"]);
}

/// Whose repository it is could be whose commands it runs: git refuses, and no setting of a user says otherwise.
#[test]
fn a_repository_of_another_user_is_refused() {
    let world = World::new();
    let home = world.path("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join(".gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    let policy = world.path("policy");
    let chown = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(&policy)
        .status();
    assert!(chown.unwrap().success());
    let done = world
        .command(&["once"])
        .env("HOME", &home)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(
        said.contains("SW1203") && said.contains("ownership"),
        "{said}"
    );
}
