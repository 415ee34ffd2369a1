//! Which module may know which: read from the sources, so that the house stays as ARCHITECTURE.md draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each part may name. Nothing else, and a part that is not listed may not exist.
const LAW: &[(&str, &[&str])] = &[
    // Values.
    ("domain", &[]),
    ("failure", &[]),
    ("progress", &[]),
    ("schema", &[]),
    ("words", &[]),
    ("spans", &["domain"]),
    // The pure core.
    ("collapse", &["domain"]),
    ("doubt", &[]),
    ("plan", &["domain", "doubt"]),
    ("review", &["domain", "plan"]),
    ("operation", &["domain", "failure", "plan", "words"]),
    ("metrics", &["domain", "status"]),
    ("alert", &["domain", "plan", "status"]),
    (
        "status",
        &[
            "domain", "doubt", "failure", "plan", "review", "schema", "words",
        ],
    ),
    // Borders and what is behind them.
    ("store", &["domain", "failure"]),
    ("config", &["failure", "words", "world"]),
    (
        "world",
        &["config", "domain", "failure", "progress", "store"],
    ),
    (
        "worker",
        &["domain", "failure", "progress", "spans", "world"],
    ),
    // The shell.
    (
        "control",
        &[
            "alert",
            "collapse",
            "config",
            "domain",
            "doubt",
            "failure",
            "metrics",
            "operation",
            "plan",
            "progress",
            "review",
            "schema",
            "spans",
            "status",
            "store",
            "words",
            "worker",
            "world",
        ],
    ),
    (
        "api",
        &[
            "config", "control", "domain", "failure", "progress", "schema", "status", "world",
        ],
    ),
    (
        "service",
        &[
            "api", "config", "control", "domain", "failure", "metrics", "plan", "review", "status",
            "store", "worker", "world",
        ],
    ),
    (
        "simulate",
        &[
            "api", "config", "control", "domain", "failure", "progress", "review", "service",
            "status", "store", "worker", "world",
        ],
    ),
    (
        "cli",
        &[
            "api", "config", "control", "domain", "failure", "plan", "progress", "service",
            "simulate", "spans", "status", "store", "words", "worker", "world",
        ],
    ),
];

/// Finer than whole parts: no file of the first may name anything that begins with the second.
const BORDERS: &[(&str, &str)] = &[
    // The service knows how workers are watched over, and neither sources nor repositories.
    ("service", "world::vault"),
    ("service", "world::store_sqlite"),
    ("service", "worker::backup"),
    ("service", "worker::run"),
    // Whoever calls a connector bounds it: that is the worker's work.
    ("control", "world::connector::Bounds"),
    ("service", "world::connector::Bounds"),
    ("cli", "world::connector::Bounds"),
    // The worker opens no store and signs no receipt.
    ("worker", "world::store_sqlite"),
    ("worker", "world::receipts"),
    // The vault knows its repositories alone, and connectors their sources.
    ("world/vault", "store"),
    ("world/connector", "store"),
    ("world/connector", "world::vault"),
    // The socket shows what it is handed.
    ("api", "world::vault"),
    ("api", "world::store_sqlite"),
];

/// Every `crate::…` path of each file below `src`, comments and tests of the file left out.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "rs"));
    files
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let code: String = text
                .split("#[cfg(test)]")
                .next()
                .unwrap()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let name = entry.path().strip_prefix(&root).unwrap();
            let name = name.display().to_string();
            (name.trim_end_matches(".rs").to_owned(), paths(&code))
        })
        .collect()
}

/// `crate::a::b::{c, d}` names `a::b`, and `crate::a::{b, c}` names `a::b` and `a::c`.
fn paths(code: &str) -> BTreeSet<String> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let mut all = BTreeSet::new();
    for (_, rest) in code
        .match_indices("crate::")
        .map(|(at, it)| (it, &code[at + it.len()..]))
    {
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        let path = path.trim_end_matches("::");
        match after
            .strip_prefix('{')
            .and_then(|group| group.split('}').next())
        {
            Some(group) => all.extend(
                group
                    .split(',')
                    .map(|one| format!("{path}::{}", one.trim())),
            ),
            None => {
                all.insert(path.to_owned());
            }
        }
    }
    all
}

#[test]
fn every_part_knows_what_the_law_allows() {
    let mut broken = Vec::new();
    for (file, paths) in named() {
        let part = file.split('/').next().unwrap();
        if ["lib", "main"].contains(&part) {
            continue;
        }
        let Some((_, allowed)) = LAW.iter().find(|(name, _)| *name == part) else {
            broken.push(format!("`{file}` belongs to no part"));
            continue;
        };
        for path in paths {
            let named = path.split("::").next().unwrap();
            if named != part && !allowed.contains(&named) {
                broken.push(format!("`{file}` names `{path}`"));
            }
            for (from, to) in BORDERS {
                if (file == *from || file.starts_with(&format!("{from}/")))
                    && (path == *to || path.starts_with(&format!("{to}::")))
                {
                    broken.push(format!("`{file}` names `{path}`"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Nothing begins or ends an operation but its transition, so that nothing acts without an intent or ends twice.
#[test]
fn operations_begin_and_end_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap);
    let made: BTreeSet<String> = files
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "rs"))
        .filter(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            text.contains("Change::OperationBegun") || text.contains("Change::OperationEnded")
        })
        .map(|entry| {
            entry
                .path()
                .strip_prefix(&root)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    // What receipts say is taken over after the store was lost.
    let expected = [
        "operation/mod.rs",
        "operation/replay.rs",
        "world/store_sqlite/rows.rs",
    ];
    assert_eq!(
        made.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

/// Circles between parts: `config` holds the values that `world` is set up with, and names those of its connectors.
#[test]
fn parts_know_each_other_in_one_direction() {
    let mut circles = BTreeSet::new();
    for (one, knows) in LAW {
        for other in *knows {
            let back = LAW.iter().find(|(name, _)| name == other);
            if back.is_some_and(|(_, knows)| knows.contains(one)) {
                circles.insert(BTreeSet::from([*one, *other]));
            }
        }
    }
    assert_eq!(
        circles,
        BTreeSet::from([BTreeSet::from(["config", "world"])])
    );
}

/// Programs select log lines by their event: each line that is logged by default has one, and the manual names it.
#[test]
fn every_line_of_the_log_has_an_event_that_the_manual_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = std::fs::read_to_string(root.join("../docs/operate.md")).unwrap();
    let mut missing = Vec::new();
    let mut events = BTreeSet::new();
    let files = walkdir::WalkDir::new(root.join("src")).into_iter();
    for entry in files
        .map(Result::unwrap)
        .filter(|it| it.file_type().is_file())
    {
        let name = entry.path().display().to_string();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for (at, _) in text.match_indices("tracing::") {
            let call = &text[at + "tracing::".len()..];
            let is_logged = ["info!(", "warn!(", "error!("]
                .iter()
                .any(|it| call.starts_with(it));
            if !is_logged || name.contains("/simulate/") {
                continue;
            }
            let arguments = call.split_once('(').unwrap().1.trim_start();
            let event = arguments
                .strip_prefix("event = \"")
                .and_then(|it| it.split('"').next());
            match event {
                Some(event) => {
                    events.insert(event.to_owned());
                }
                // The words of a worker have the event that it gave them.
                None if arguments.starts_with("event,") => {}
                None => missing.push(format!("{name}: {}", &call[..60])),
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(events.len() > 40, "{events:?}");
    let unnamed: Vec<&String> = events
        .iter()
        .filter(|it| !manual.contains(&format!("`{it}`")))
        .collect();
    assert!(
        unnamed.is_empty(),
        "docs/operate.md does not name {unnamed:?}"
    );
}

#[test]
fn paths_are_read_from_code() {
    let code = "use crate::a::{b, c::d};let x = crate::e::F::new(); pub(crate) use g;";
    let found: Vec<String> = paths(code).into_iter().collect();
    assert_eq!(found, ["a::b", "a::c::d", "e::F::new"]);
}
