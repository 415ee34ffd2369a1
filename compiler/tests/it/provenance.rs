//! Every value of the model knows where it came from.

use compiler::source::{Position, SourceFile, SourceSet};

use crate::trees;

fn places(sources: &SourceSet, environment: &str, path: &[&str]) -> Vec<String> {
    let compilation = trees::compiled(sources, environment);
    let origin = compilation
        .provenance
        .exact(path)
        .unwrap_or_else(|| panic!("no origin of {path:?}"));
    let positions = sources.positions();
    let place = |span| {
        let Position { line, column } = positions.of(span);
        format!(
            "{}:{line}:{column} `{}`",
            sources.path(span.file),
            sources.text(span)
        )
    };
    std::iter::once(place(origin.span))
        .chain(
            origin
                .chain
                .iter()
                .map(|link| format!("{} {}", place(link.span), link.text)),
        )
        .collect()
}

#[test]
fn a_value_behind_a_reference_is_told_with_its_chain() {
    let sources = trees::read("fixtures/valid/minimal");
    let told = places(
        &sources,
        "production",
        &["plans", "bp_documents", "backup_frequency", "jitter_s"],
    );
    assert_eq!(
        told,
        [
            "settings.yaml:11:22 `PT0S`",
            "plans.yaml:6:19 `gsmd:schedules/hourly` referred to here as `gsmd:schedules/hourly`",
            "settings.yaml:22:14 `hourly` `hourly` leaves it to Defaults",
        ]
    );
}

#[test]
fn an_overridden_value_names_the_override_and_what_it_replaced() {
    let sources = trees::read("fixtures/valid/minimal");
    let told = places(&sources, "dev", &["datasets", "ds_documents", "rpo_s"]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].ends_with("`P3D`"), "{told:?}");
    assert!(told[1].starts_with("inventory.yaml:10:6 "), "{told:?}");
    assert!(
        told[2].starts_with("settings.yaml:16:6 `PT3H` "),
        "{told:?}"
    );
}

/// For each single value of a bundle there is an origin, and for each origin a value.
#[rstest::rstest]
#[case("fixtures/valid/minimal", "dev")]
#[case("policies", "dev")]
#[case("policies", "production")]
fn provenance_covers_exactly_the_bundle(#[case] folder: &str, #[case] environment: &str) {
    let sources = trees::read(folder);
    let compilation = trees::compiled(&sources, environment);
    let sealed = compilation.sealed.as_ref().unwrap();
    let bundle: serde_json::Value = serde_json::from_slice(&sealed.bundle).unwrap();
    let mut missing = Vec::new();
    walk(&bundle, &mut Vec::new(), &mut |path, _| {
        if path != ["format"] && compilation.provenance.exact(path).is_none() {
            missing.push(path.join("/"));
        }
    });
    assert!(missing.is_empty(), "{missing:?}");
    for (path, origin) in compilation.provenance.scalars() {
        let pointer = format!("/{}", path.join("/"));
        match bundle.pointer(&pointer) {
            Some(value) => assert!(
                value.is_string() || value.is_number() || value.is_boolean(),
                "{pointer}"
            ),
            // `none` is the absence of a limit: the place that says so is kept under the field's name.
            None => assert_eq!(sources.text(origin.span), "none", "{pointer}"),
        }
    }
    let file: serde_json::Value = serde_json::from_slice(&sealed.provenance).unwrap();
    assert_eq!(file["format"], 1);
    let canonical = contract::canonical::to_bytes(&file).unwrap();
    assert!(canonical == sealed.provenance, "it is in canonical form");
    assert_eq!(
        file["values"].as_object().unwrap().len(),
        compilation.provenance.scalars().len()
    );
}

fn walk(
    value: &serde_json::Value,
    path: &mut Vec<String>,
    visit: &mut dyn FnMut(&[String], &serde_json::Value),
) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                walk(field, path, visit);
                path.pop();
            }
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                walk(item, path, visit);
                path.pop();
            }
        }
        single => visit(path, single),
    }
}

/// Fields are found by both spellings, and what is absent is found at what it is absent from.
#[test]
fn lookup_takes_both_spellings_and_walks_up() {
    let sources = trees::read("fixtures/valid/minimal");
    let compilation = trees::compiled(&sources, "production");
    let text = |path: &[&str]| {
        compilation
            .provenance
            .lookup(path)
            .map(|origin| sources.text(origin.span).to_owned())
    };
    assert_eq!(
        text(&["settings", "schedules", "hourly", "every_s"]).as_deref(),
        Some("PT1H")
    );
    assert_eq!(
        text(&["settings", "schedules", "hourly", "every"]).as_deref(),
        Some("PT1H")
    );
    assert_eq!(
        text(&["settings", "retention", "month", "max_duration"]).as_deref(),
        Some("none")
    );
    assert_eq!(
        text(&["settings", "locations", "near", "capacity"]).as_deref(),
        Some("1TiB")
    );
    assert_eq!(
        text(&["plans", "bp_documents", "full_frequency"]).as_deref(),
        Some("bp_documents")
    );
    assert_eq!(
        text(&["plans", "bp_documents", "full_frequency", "cron"]).as_deref(),
        Some("bp_documents")
    );
    assert_eq!(text(&["plans", "nothing"]), None);
}

/// Removing a settings field is a finding, or the value then comes from Defaults and says so.
#[test]
fn each_settings_field_of_the_policies_is_needed_or_given_by_defaults() {
    let sources = trees::read("policies");
    let mut tried = 0;
    let mut silent = Vec::new();
    for (file, at) in settings_fields(&sources) {
        let (changed, line) = without(&sources, file, at);
        // `production` shows every setting as it is written; no override stands in for a removed field.
        let compilation = trees::compiled(&changed, "production");
        tried += 1;
        let told = !compilation.diagnostics.is_empty();
        let by_defaults = || {
            let document = document_of(&changed.files[file].text, at);
            let key = line
                .trim_start()
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            compilation
                .provenance
                .scalars()
                .iter()
                .any(|(path, origin)| {
                    path.contains(&document.as_str())
                        && path.iter().any(|name| name.starts_with(key.as_str()))
                        && origin
                            .chain
                            .iter()
                            .any(|link| link.text.ends_with("leaves it to Defaults"))
                })
        };
        if !told && !by_defaults() {
            silent.push(format!("{}:{at} {line}", sources.files[file].path));
        }
    }
    assert!(tried > 300, "only {tried} fields");
    assert!(
        silent.is_empty(),
        "nothing tells that these are gone:\n{}",
        silent.join("\n")
    );
}

/// The lines of settings files that hold a field of a document, but the ones that may be absent for good.
fn settings_fields(sources: &SourceSet) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (file, source) in sources
        .files
        .iter()
        .enumerate()
        .filter(|(_, source)| source.path.starts_with("settings/"))
    {
        for (number, line) in source.text.lines().enumerate() {
            let is_field = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(':');
            let free = [
                "kind:",
                "overridable_in:",
                "overrides:",
                "waiver_limit:",
                "maintenance_windows:",
                // `seawall alerts` asks for it, and nothing else uses it.
                "window:",
            ]
            .iter()
            .any(|name| line.starts_with(name));
            if is_field && !free && !source.path.ends_with("defaults.yaml") {
                found.push((file, number));
            }
        }
    }
    found
}

/// The tree without one field: its line and the deeper lines that follow it.
fn without(sources: &SourceSet, file: usize, at: usize) -> (SourceSet, String) {
    let lines: Vec<&str> = sources.files[file].text.lines().collect();
    let end = (at + 1..lines.len())
        .find(|number| {
            !lines[*number].starts_with([' ', '-', ']', '}']) || lines[*number].starts_with("---")
        })
        .unwrap_or(lines.len());
    let text: Vec<&str> = lines
        .iter()
        .enumerate()
        .filter(|(number, _)| !(at..end).contains(number))
        .map(|(_, line)| *line)
        .collect();
    let mut changed = sources.clone();
    changed.files[file] = SourceFile {
        path: sources.files[file].path.clone(),
        text: text.join("\n") + "\n",
    };
    (changed, lines[at].to_owned())
}

/// The id of the document around a line.
fn document_of(text: &str, at: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let at = at.min(lines.len() - 1);
    let from = (0..at)
        .rev()
        .find(|number| lines[*number] == "---")
        .map_or(0, |number| number + 1);
    lines[from..]
        .iter()
        .take_while(|line| **line != "---")
        .find_map(|line| {
            line.split_once("_id: ")
                .or_else(|| line.split_once("kid: "))
                .map(|(_, id)| id.split('#').next().unwrap_or_default().trim().to_owned())
        })
        .unwrap_or_default()
}
