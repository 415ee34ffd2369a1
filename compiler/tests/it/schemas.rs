//! `schemas/` is generated from the kinds, and the kinds agree with the model.

use compiler::attest;
use compiler::difference;
use compiler::kinds::Kind;
use compiler::render::{json, proved};
use compiler::schema::{self, Scalar, Shape};

use crate::trees;

#[test]
fn published_schemas_are_the_kinds() {
    let folder = trees::repository().join("schemas");
    let kinds = Kind::ALL
        .iter()
        .map(|kind| (kind.file_name(), schema::json_schema(*kind)));
    let findings = (json::SCHEMA_FILE.to_owned(), json::schema());
    let difference = difference::json::SCHEMA_FILE.to_owned();
    let difference = (difference, difference::json::schema());
    let report = (attest::json::SCHEMA_FILE.to_owned(), attest::json::schema());
    let proofs = (proved::SCHEMA_FILE.to_owned(), proved::schema());
    let printed = [findings, difference, report, proofs];
    let all: Vec<(String, serde_json::Value)> = kinds.chain(printed).collect();
    let mut stale: Vec<String> = all
        .iter()
        .filter(|(name, schema)| {
            let text = format!("{schema:#}\n");
            std::fs::read_to_string(folder.join(name)).ok() != Some(text)
        })
        .map(|(name, _)| name.clone())
        .collect();
    let own: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
    let files = std::fs::read_dir(&folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    // The daemon's API and configuration are described by the daemon, whose own tests hold them.
    stale.extend(names.filter(|name| !own.contains(name) && !name.starts_with("seawalld-")));
    assert!(
        stale.is_empty(),
        "{stale:?} differ or belong to no kind; remove those, build, and run: target/release/seawall schema --out schemas"
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
