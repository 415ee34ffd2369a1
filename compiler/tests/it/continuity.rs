//! Standbys, groups and freeze windows from the source to what is proven of them, in environments that run a part alone.

use compiler::facts;
use compiler::source::{SourceFile, SourceSet};
use rstest::rstest;

use crate::trees;

const STANDBY: &str = "\
kind: Standby
standby_id: sb_documents
dataset: ds_documents
primary: main
standby: backup
replication: synchronous
lag_limit: PT1M
heartbeat: PT10S
";

/// The smallest tree with a document beside it.
fn with(text: &str) -> SourceSet {
    let mut files = trees::read("fixtures/valid/minimal").files;
    files.push(SourceFile {
        path: "more.yaml".to_owned(),
        text: text.to_owned(),
    });
    SourceSet::new(files)
}

fn loss(sources: &SourceSet, case: &str) -> serde_json::Value {
    let compilation = trees::compiled(sources, "production");
    let model = compilation
        .model
        .as_ref()
        .unwrap_or_else(|| panic!("{}", trees::told(sources, &compilation)));
    facts::facts(model, None)["datasets"]["ds_documents"]["loss"][case].clone()
}

/// `seawall prove` and rules see which standby gives the number.
#[rstest]
#[case("none", "sb_documents")]
#[case("region:west", "sb_documents")]
#[case("region:east", "")]
#[case("provider:acme", "")]
#[case("host:reconciler-west", "")]
fn what_is_proven_names_the_standby(#[case] case: &str, #[case] standby: &str) {
    let found = loss(&with(STANDBY), case);
    if standby.is_empty() {
        assert_eq!(found, loss(&trees::read("fixtures/valid/minimal"), case));
        return;
    }
    assert_eq!(found["standby"], standby);
    assert_eq!(
        (found["seconds"].as_u64(), found["bounded"].as_bool()),
        (Some(60), Some(true))
    );
    assert!(found["plan"].is_null());
}

#[test]
fn a_standby_and_a_group_go_with_their_datasets() {
    let inventory = "kind: Dataset\ndataset_id: ds_edge\nname: Edge\nplane: edge\nsite: main\nstore_type: files\n\
        criticality: tier2\ndata_classification: internal\nresidency: [eu]\nrpo: gsmd:objectives/working/rpo\n\
        rto: gsmd:objectives/working/rto\neligibility: excluded\njustification: an agent fetches it again\n\
        sizing: { size: 1GiB, change_per_day: 1GiB }\nconnector: files\n";
    let group = "kind: DatasetGroup\ngroup_id: g\nname: G\nmembers:\n  - { dataset: ds_first }\n\
        \u{20} - { dataset: ds_edge, after: [ds_first] }\n  - { dataset: ds_documents, after: [ds_edge] }\n";
    let first = inventory
        .replace("ds_edge", "ds_first")
        .replace("plane: edge", "plane: product_cloud");
    let standby = STANDBY.replace("ds_documents", "ds_edge");
    let sources = with(&[inventory, group, &first, &standby].join("---\n"));
    let compilation = trees::compiled(&sources, "production");
    let told = trees::told(&sources, &compilation);
    let model = compilation.model.unwrap_or_else(|| panic!("{told}"));
    assert!(model.standbys.is_empty());
    let members: Vec<String> = model.groups["g"]
        .members
        .iter()
        .map(|member| {
            let after: Vec<&str> = member
                .after
                .iter()
                .map(contract::id::DatasetId::as_str)
                .collect();
            format!("{} after {}", member.dataset, after.join(","))
        })
        .collect();
    // What waited for the dataset that is left out waits for what that one waited for.
    assert_eq!(members, ["ds_first after ", "ds_documents after ds_first"]);
}
