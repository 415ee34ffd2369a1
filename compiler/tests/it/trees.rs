//! Trees for tests: read from the repository, or written in place.

use std::path::{Path, PathBuf};

use compiler::compile::{Compilation, compile};
use compiler::source::{SourceFile, SourceSet};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The YAML files of a folder of the repository.
pub fn read(folder: &str) -> SourceSet {
    let root = repository().join(folder);
    let files = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| {
            entry.file_type().is_file()
                && entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "yaml")
        })
        .map(|entry| SourceFile {
            path: entry
                .path()
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
            text: std::fs::read_to_string(entry.path()).unwrap(),
        });
    let set = SourceSet::new(files.collect());
    assert!(!set.files.is_empty(), "{}", root.display());
    set
}

/// Compiles for an environment by name.
pub fn compiled(sources: &SourceSet, environment: &str) -> Compilation {
    compile(sources, &environment.parse().unwrap())
}

/// Findings as `path:line:column code message`, one a line.
pub fn told(sources: &SourceSet, compilation: &Compilation) -> String {
    let positions = sources.positions();
    let lines = compilation.diagnostics.iter().map(|finding| {
        let place = finding.labels.first().map_or("-".to_owned(), |label| {
            let at = positions.of(label.span);
            format!(
                "{}:{}:{}",
                sources.path(label.span.file),
                at.line,
                at.column
            )
        });
        let help = finding.help.as_deref().unwrap_or("");
        format!("{place} {} {} | {help}\n", finding.code, finding.message)
    });
    lines.collect()
}

/// Holds a text against its reviewed form in `snapshots/`.
pub fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => repository().join("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}
