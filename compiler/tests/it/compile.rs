//! Valid trees become models.

use std::fmt::Write as _;

use compiler::source::{SourceFile, SourceSet};

use crate::trees;

#[rstest::rstest]
#[case("fixtures/valid/minimal", &["dev", "production"])]
#[case("policies", &["dev", "staging", "production"])]
fn a_valid_tree_becomes_a_model(#[case] folder: &str, #[case] environments: &[&str]) {
    let sources = trees::read(folder);
    for environment in environments {
        let compilation = trees::compiled(&sources, environment);
        assert_eq!(
            trees::told(&sources, &compilation),
            "",
            "{folder} for {environment}"
        );
        let model = compilation.model.unwrap();
        assert_eq!(model.environment.environment_id.as_str(), *environment);
        assert!(!model.plans.is_empty());
        let read: contract::model::Model =
            serde_json::from_slice(&compilation.sealed.unwrap().bundle).unwrap();
        assert_eq!(read, model);
    }
}

/// The same tree gives the same bytes, in one process and from one call to the next.
#[test]
fn compiling_twice_gives_the_same_bytes() {
    let sources = trees::read("policies");
    let [one, two] = [(); 2].map(|()| trees::compiled(&sources, "staging"));
    assert!(one.sealed.is_some());
    assert_eq!(one.sealed, two.sealed);
}

/// The hash is that of the listing which `sha256sum` prints for the files.
#[test]
fn the_snapshot_hash_has_the_layout_of_sha256sum() {
    let file = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let sources = SourceSet::new(vec![file("b.yaml", "abc"), file("a/z.yaml", "")]);
    let listing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a/z.yaml\n\
                   ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b.yaml\n";
    assert_eq!(
        compiler::source::snapshot_hash(&sources.inputs()),
        contract::digest::Digest::of(listing.as_bytes())
    );
}

/// Work grows with the tree, not with its square: eight times the datasets may take no more than some twenty times the
/// time of the processor, which a busy machine does not lengthen. A search through all documents for each takes 64 times.
#[test]
fn the_cost_is_linear_in_the_number_of_datasets() {
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        // Behind the name of the program, which may hold anything: user and system time are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    };
    let cost = |count: usize, times: u64| {
        let sources = many(count);
        let before = ticks();
        for _ in 0..times {
            let compilation = trees::compiled(&sources, "production");
            assert_eq!(trees::told(&sources, &compilation), "");
            assert_eq!(compilation.model.unwrap().plans.len(), 2 * count + 1);
        }
        ticks() - before
    };
    cost(100, 1);
    let (eight, large) = (cost(250, 8), cost(2_000, 1));
    println!("8 times 250 datasets {eight} ticks, 2,000 datasets {large} ticks");
    assert!(large <= 3 * eight.max(10), "{eight} and {large} ticks");
}

/// The smallest tree with many datasets more, each with a plan of its own and one made by `for_each`.
fn many(count: usize) -> SourceSet {
    let mut files = trees::read("fixtures/valid/minimal").files;
    let inventory = files
        .iter()
        .find(|file| file.path == "inventory.yaml")
        .unwrap()
        .text
        .clone();
    let plans = files
        .iter()
        .find(|file| file.path == "plans.yaml")
        .unwrap()
        .text
        .clone();
    let mut text = String::new();
    for number in 0..count {
        let dataset = inventory
            .replace("ds_documents", &format!("ds_{number}"))
            .replace("store_type: files", "store_type: jsonl");
        let plan = plans
            .replace("ds_documents", &format!("ds_{number}"))
            .replace("bp_documents", &format!("bp_{number}"));
        write!(text, "---\n{dataset}---\n{plan}").unwrap();
    }
    let each = plans.replace("bp_documents", "bp_each").replace(
        "dataset_ids: [ds_documents]",
        "for_each: { store_type: jsonl }",
    );
    write!(text, "---\n{each}").unwrap();
    files.push(SourceFile {
        path: "many.yaml".to_owned(),
        text,
    });
    SourceSet::new(files)
}
