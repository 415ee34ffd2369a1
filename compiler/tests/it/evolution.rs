//! What was right yesterday is right today: the schemas accept all that the schemas published last accept.

use std::fs;

use jsonschema::Validator;
use rstest::rstest;
use serde_json::{Value, json};

use crate::trees;

const BEFORE: &str = "fixtures/schemas-before";

fn read(folder: &str) -> Vec<(String, Value)> {
    let entries = fs::read_dir(trees::repository().join(folder)).unwrap();
    let mut schemas: Vec<(String, Value)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(path).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    schemas.sort_by(|one, other| one.0.cmp(&other.0));
    schemas
}

/// Where `new` refuses what `old` accepts, told by path; `new` may know more fields and words.
fn narrowed(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            found.push(format!("{path}: {old} became {new}"));
        }
        return;
    };
    let list = |schema: &serde_json::Map<String, Value>, key: &str| -> Vec<Value> {
        let values = schema.get(key).and_then(Value::as_array);
        values.cloned().unwrap_or_default()
    };
    for name in list(after, "required") {
        if !list(before, "required").contains(&name) {
            found.push(format!("{path}: {name} is required now"));
        }
    }
    if after.contains_key("enum") {
        for word in list(before, "enum") {
            if !list(after, "enum").contains(&word) {
                found.push(format!("{path}: {word} is no word any more"));
            }
        }
        if !before.contains_key("enum") {
            found.push(format!("{path}: only some words now"));
        }
    }
    let fields = |schema: &serde_json::Map<String, Value>| -> serde_json::Map<String, Value> {
        let fields = schema.get("properties").and_then(Value::as_object);
        fields.cloned().unwrap_or_default()
    };
    for (name, property) in fields(before) {
        match fields(after).get(&name) {
            Some(now) => narrowed(&property, now, &format!("{path}/{name}"), found),
            None => found.push(format!("{path}/{name} is gone")),
        }
    }
    // Whatever else restricts must be as it was or gone; a field that Defaults may give stays one.
    let words = [
        "title",
        "description",
        "enumDescriptions",
        "$schema",
        "required",
        "enum",
        "properties",
    ];
    for (key, now) in after
        .iter()
        .filter(|(key, _)| !words.contains(&key.as_str()))
    {
        match before.get(key) {
            Some(was) if ["items", "if", "then", "else"].contains(&key.as_str()) => {
                narrowed(was, now, &format!("{path}/{key}"), found);
            }
            Some(was) if was == now => {}
            Some(was) => found.push(format!("{path}: `{key}` was {was} and is {now}")),
            None => found.push(format!("{path}: `{key}` is new")),
        }
    }
    if before.contains_key("x-or-default") && !after.contains_key("x-or-default") {
        let name = path.rsplit('/').next().unwrap_or_default();
        if !before.contains_key("x-optional") && list(after, "required").contains(&json!(name)) {
            found.push(format!("{path}: Defaults cannot give it any more"));
        }
    }
}

#[test]
fn no_schema_became_narrower() {
    let now = read("schemas");
    let before = read(BEFORE);
    assert!(before.len() > 15, "{}", before.len());
    let mut found = Vec::new();
    for (name, old) in &before {
        match now.iter().find(|(known, _)| known == name) {
            Some((_, new)) => narrowed(old, new, name, &mut found),
            None => found.push(format!("{name} is gone")),
        }
    }
    assert!(
        found.is_empty(),
        "mark it with ★ in CHANGELOG.md and copy schemas/ to {BEFORE}: {found:#?}"
    );
}

/// The comparison finds what it is there for.
#[rstest]
#[case("/properties/production", Value::Null, "is gone")]
#[case("/required", json!(["kind", "environment_id", "production", "planes", "overrides"]), "is required now")]
#[case("/properties/planes/items/enum", json!(["edge"]), "is no word any more")]
#[case("/properties/planes/minItems", json!(2), "was 1 and is 2")]
#[case("/properties/bundle_validity/maxLength", json!(5), "is new")]
#[case("/properties/bundle_validity/format", json!("date"), "was")]
fn a_narrower_schema_is_found(#[case] place: &str, #[case] value: Value, #[case] words: &str) {
    let (_, old) = read(BEFORE)
        .into_iter()
        .find(|(name, _)| name == "environment.json")
        .unwrap();
    let mut new = old.clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = new.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.to_owned(), value);
    }
    let mut found = Vec::new();
    narrowed(&old, &new, "", &mut found);
    assert!(found.iter().any(|line| line.contains(words)), "{found:?}");
    found.clear();
    narrowed(&old, &old, "", &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// Every shipped document that the schemas before know is accepted by both.
#[rstest]
#[case("policies")]
#[case("fixtures/valid/minimal")]
fn shipped_documents_fit_the_schemas(#[case] folder: &str) {
    let (before, now) = (read(BEFORE), read("schemas"));
    let validator = |schemas: &[(String, Value)], kind: &str| -> Option<Validator> {
        let titled = schemas.iter().find(|(_, schema)| schema["title"] == kind);
        titled.map(|(_, schema)| jsonschema::validator_for(schema).unwrap())
    };
    let mut documents = 0;
    let sources = trees::read(folder);
    for document in compiler::parse::parse(&sources).documents {
        let file = sources.path(document.file);
        let document = document.root.to_json();
        let kind = document["kind"].as_str().unwrap().to_owned();
        let new = validator(&now, &kind).unwrap();
        assert!(new.is_valid(&document), "{file}: {document:#}");
        documents += 1;
        let Some(old) = validator(&before, &kind) else {
            continue;
        };
        // What a document uses that is new, the schema before names as such and nothing else.
        for error in old.iter_errors(&document) {
            let told = error.to_string();
            assert!(told.contains("Additional properties"), "{file}: {told}");
        }
    }
    assert!(documents > 4, "{documents}");
}
