//! What holds for every tree: the same bytes whatever the order of files, and no panic whatever the bytes.

use compiler::source::{SourceFile, SourceSet};
use proptest::prelude::*;

use crate::trees;

/// Every document of a tree in a file of its own, so that there is much to reorder.
fn documents() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for file in trees::read("policies").files {
        for (number, text) in file.text.split("\n---\n").enumerate() {
            let path = format!("{}-{number}.yaml", file.path.trim_end_matches(".yaml"));
            files.push(SourceFile {
                path,
                text: format!("{text}\n"),
            });
        }
    }
    files
}

/// Pieces from which YAML of all sorts is made, much of it wrong.
fn yaml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("kind: ".to_owned()),
        Just("Schedule\n".to_owned()),
        Just("Dataset\n".to_owned()),
        Just("Environment\n".to_owned()),
        Just("Defaults\n".to_owned()),
        Just("BackupPlan\n".to_owned()),
        Just("Scenario\n".to_owned()),
        Just("Objective\n".to_owned()),
        Just("schedule_id: a\n".to_owned()),
        Just("objective_id: a\n".to_owned()),
        Just("environment_id: dev\n".to_owned()),
        Just("plan_id: p\n".to_owned()),
        Just("planes: [edge]\n".to_owned()),
        Just("production: false\n".to_owned()),
        Just("rpo: gsmd:objectives/a/rpo\n".to_owned()),
        Just("every: PT1H\n".to_owned()),
        Just("for_each: { plane: edge }\n".to_owned()),
        Just("overrides: [{ at: 'gsmd:schedules/*', value: { every: 1 } }]\n".to_owned()),
        Just("schedules: { jitter: PT0S }\n".to_owned()),
        Just("---\n".to_owned()),
        Just("- ".to_owned()),
        Just("  ".to_owned()),
        Just("[".to_owned()),
        Just("{".to_owned()),
        Just("]".to_owned()),
        Just("}".to_owned()),
        Just(": ".to_owned()),
        Just("? ".to_owned()),
        Just("&a ".to_owned()),
        Just("*a ".to_owned()),
        Just("<<: ".to_owned()),
        Just("!!str ".to_owned()),
        Just("|\n".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\t".to_owned()),
        Just("\r\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("#".to_owned()),
        Just("%".to_owned()),
        "[ -~]{0,8}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_order_of_files_changes_nothing(shuffled in Just(documents()).prop_shuffle()) {
        let sorted = SourceSet::new(documents());
        let shuffled = SourceSet::new(shuffled);
        for environment in ["dev", "production"] {
            let one = trees::compiled(&sorted, environment);
            let two = trees::compiled(&shuffled, environment);
            prop_assert!(one.sealed.is_some());
            prop_assert_eq!(&one.sealed, &two.sealed);
            prop_assert_eq!(one.written, two.written);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_text_makes_it_panic(text in yaml()) {
        let files = vec![SourceFile { path: "a.yaml".to_owned(), text }];
        let sources = SourceSet::new(files);
        let compilation = trees::compiled(&sources, "dev");
        prop_assert!(compilation.sealed.is_none());
        prop_assert!(!compilation.diagnostics.is_empty());
        for label in compilation.diagnostics.iter().flat_map(|finding| &finding.labels) {
            let text = &sources.files[label.span.file as usize].text;
            prop_assert!(text.get(label.span.start as usize..label.span.end as usize).is_some(), "{label:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let sources = SourceSet::new(vec![SourceFile { path: "a.yaml".to_owned(), text }]);
        prop_assert!(trees::compiled(&sources, "dev").sealed.is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A tree with one byte changed compiles or tells what is wrong; it never does both or neither.
    #[test]
    fn a_changed_byte_is_told_or_harmless(at in 0_usize..60_000, byte in any::<u8>()) {
        let files = trees::read("policies").files;
        let mut files: Vec<(String, Vec<u8>)> = files.into_iter().map(|file| (file.path, file.text.into_bytes())).collect();
        let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut at = at % total;
        for (_, bytes) in &mut files {
            if at < bytes.len() {
                bytes[at] = byte;
                break;
            }
            at -= bytes.len();
        }
        let files = files.into_iter().map(|(path, bytes)| SourceFile { path, text: String::from_utf8_lossy(&bytes).into_owned() });
        let sources = SourceSet::new(files.collect());
        let compilation = trees::compiled(&sources, "production");
        let errors = compiler::diagnostic::has_errors(&compilation.diagnostics);
        prop_assert!(compilation.sealed.is_some() != errors);
    }
}
