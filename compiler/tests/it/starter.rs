//! The tree that `seawall init` writes, and that every shipped document names the schema by which editors check it.

use std::path::Path;

use compiler::kinds::Kind;

use crate::cli::seawall;
use crate::trees;

const MODELINE: &str = "# yaml-language-server: $schema=";

/// Each document names the schema of its own kind, because editors read the line for each document alone.
#[test]
fn every_shipped_document_names_the_schema_of_its_kind() {
    let starter = tempfile::tempdir().unwrap();
    let tree = starter.path().join("tree");
    assert_eq!(seawall(&["init", tree.to_str().unwrap()]).status, 0);
    let mut documents = 0;
    for root in [trees::repository().join("policies"), tree] {
        for entry in walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap) {
            if entry
                .path()
                .extension()
                .is_none_or(|extension| extension != "yaml")
            {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for line in text.lines().filter(|line| line.starts_with("kind: ")) {
                documents += 1;
                let (kind, schema) = line["kind: ".len()..]
                    .split_once(&format!(" {MODELINE}"))
                    .unwrap_or_else(|| panic!("{}: {line}", entry.path().display()));
                let path = entry.path().parent().unwrap().join(schema);
                let kind = Kind::named(kind).unwrap();
                assert_eq!(path.file_name().unwrap(), kind.file_name().as_str());
                let stands: serde_json::Value =
                    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                assert_eq!(
                    stands,
                    compiler::schema::json_schema(kind),
                    "{}",
                    path.display()
                );
            }
            let named = text.matches(MODELINE).count();
            let all = text
                .lines()
                .filter(|line| line.starts_with("kind: "))
                .count();
            assert_eq!(named, all, "{}", entry.path().display());
        }
    }
    assert!(documents > 100, "{documents}");
}

#[test]
fn the_starter_tree_is_clean_and_says_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    let tree = tree.to_str().unwrap();
    let made = seawall(&["init", tree]);
    assert_eq!(made.status, 0, "{}", made.err);
    assert_eq!(
        made.out.lines().count(),
        4 + Kind::ALL.len(),
        "{}",
        made.out
    );
    trees::snapshot("init", &made.err.replace(tree, "tree"));
    let checked = seawall(&["check", tree, "--at", "2026-11-20T12:00:00Z"]);
    assert_eq!(
        (checked.status, checked.out.as_str()),
        (0, "no findings in production\n")
    );
    // The tour says what happens, so it has to.
    let settings = Path::new(tree).join("settings.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let slower = text.replace("every: PT1H", "every: PT8H");
    assert_ne!(slower, text);
    std::fs::write(&settings, slower).unwrap();
    let found = seawall(&["check", tree, "--at", "2026-11-20T12:00:00Z"]);
    assert_eq!(found.status, 1);
    assert!(found.out.contains("error[SW0301]"), "{}", found.out);
    let stricter = text.replace(
        "  - { lose: region,",
        "  - { lose: account, objective: gsmd:objectives/standard }\n  - { lose: region,",
    );
    assert_ne!(stricter, text);
    std::fs::write(&settings, stricter).unwrap();
    let found = seawall(&["check", tree, "--at", "2026-11-20T12:00:00Z"]);
    assert_eq!(found.status, 1);
    assert!(
        found.out.contains("without account `platform`"),
        "{}",
        found.out
    );
}
