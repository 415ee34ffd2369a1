//! The law of the tree: which crate may know which, what the daemon's trusted base must not contain, and the budgets of
//! size that keep files readable. Reads `Cargo.lock`, the manifests and the sources; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every package that the package reaches by ordinary (not build, not test) dependencies.
fn reached_from(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--package", package])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != package)
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_know_the_contract_and_nothing_of_each_other() {
    let ours = BTreeSet::from(["contract", "compiler", "reconciler", "traces"]);
    let expected = BTreeMap::from([
        ("contract", BTreeSet::new()),
        ("compiler", BTreeSet::from(["contract"])),
        ("reconciler", BTreeSet::from(["contract"])),
        ("traces", BTreeSet::new()),
    ]);
    for (package, allowed) in expected {
        let reached = reached_from(package);
        let known: BTreeSet<&str> = ours
            .iter()
            .copied()
            .filter(|name| reached.contains(*name))
            .collect();
        assert_eq!(known, allowed, "{package} knows other crates of ours");
    }
}

/// `annotate-snippets` is not in the list: the YAML parser that reads the daemon's own configuration brings it along.
#[test]
fn the_daemon_has_no_rego_no_schema_no_renderer() {
    let reached = reached_from("reconciler");
    assert!(
        reached.contains("rustic_core"),
        "the list is empty or wrong"
    );
    // `schemars` only writes the schema that `seawalld config schema` prints; it judges nothing.
    for forbidden in ["regorus", "jsonschema", "miette"] {
        assert!(
            !reached.contains(forbidden),
            "the daemon contains {forbidden}"
        );
    }
}

#[test]
fn the_contract_reaches_no_runtime_and_no_randomness() {
    let reached = reached_from("contract");
    assert!(reached.contains("sha2"), "the list is empty or wrong");
    for forbidden in ["tokio", "sqlx", "git2", "nix", "object_store", "walkdir"] {
        assert!(
            !reached.contains(forbidden),
            "the contract contains {forbidden}"
        );
    }
}

#[test]
fn files_stay_readable() {
    const LINES_BEFORE_TESTS: usize = 800;
    let mut seen = 0;
    for package in ["contract", "compiler", "reconciler"] {
        let mut folders = vec![root().join(package).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    assert!(
                        !["util", "utils", "common", "helpers", "misc"].contains(&name),
                        "{} says nothing about what it owns",
                        path.display()
                    );
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let lines = text
                        .lines()
                        .take_while(|line| *line != "#[cfg(test)]")
                        .count();
                    assert!(
                        lines <= LINES_BEFORE_TESTS,
                        "{} has {lines} lines",
                        path.display()
                    );
                    assert!(
                        text.starts_with("//! "),
                        "{} does not say what it owns",
                        path.display()
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} files were read");
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 200, "ARCHITECTURE.md is too long");
}
