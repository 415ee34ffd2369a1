//! `schemas/` is generated from the kinds, and the kinds agree with the model.

use compiler::kinds::Kind;
use compiler::schema::{self, Scalar, Shape};

use crate::trees;

fn file_name(kind: Kind) -> String {
    let mut name = String::new();
    for letter in kind.name().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    format!("{name}.json")
}

/// Set `SEAWALL_REGENERATE=1` to write the files.
#[test]
fn published_schemas_are_the_kinds() {
    let folder = trees::repository().join("schemas");
    let regenerate = std::env::var_os("SEAWALL_REGENERATE").is_some();
    let mut stale = Vec::new();
    for kind in Kind::ALL {
        let path = folder.join(file_name(*kind));
        let text = serde_json::to_string_pretty(&schema::json_schema(*kind)).unwrap() + "\n";
        if regenerate {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            stale.push(path.file_name().unwrap().to_owned());
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} differ; run: SEAWALL_REGENERATE=1 cargo nextest run --workspace --release -E 'test(published_schemas)'"
    );
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        files,
        Kind::ALL.len(),
        "a file in schemas/ belongs to no kind"
    );
}

#[test]
fn schemas_are_valid_and_leave_nothing_open() {
    for kind in Kind::ALL {
        let json = schema::json_schema(*kind);
        jsonschema::meta::validate(&json).unwrap();
        assert_eq!(json["additionalProperties"], false, "{kind:?}");
        let text = json.to_string();
        assert!(
            !text.contains("\"null\"") && !text.contains("$ref") && !text.contains("x-optional"),
            "{kind:?}"
        );
    }
}

/// The words of each choice are those of the model's enum, in its order: the order of sets in a bundle.
#[test]
fn words_of_the_source_are_words_of_the_model() {
    use contract::model as m;
    fn same<T: serde::de::DeserializeOwned + PartialOrd + std::fmt::Debug>(
        words: &[String],
        set: bool,
    ) {
        let read: Vec<T> = words
            .iter()
            .map(|word| serde_json::from_value(serde_json::json!(word)).unwrap())
            .collect();
        if set {
            assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "{read:?}");
        }
    }
    fn words(kind: Kind, path: &[&str]) -> Vec<String> {
        let mut shape = schema::shape_of(kind);
        for name in path {
            shape = &shape.field(name).unwrap().shape;
        }
        if let Shape::List { items, .. } = shape {
            shape = items;
        }
        match shape {
            Shape::Scalar(Scalar::Choice(words)) => words.clone(),
            other => panic!("{other:?}"),
        }
    }
    same::<m::Plane>(&words(Kind::Environment, &["planes"]), true);
    same::<m::Action>(&words(Kind::Role, &["may"]), true);
    same::<m::Capability>(&words(Kind::Connector, &["capabilities"]), true);
}
