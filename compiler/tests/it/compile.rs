//! Valid trees become models.

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
            serde_json::from_slice(&compilation.bundle.unwrap()).unwrap();
        assert_eq!(read, model);
    }
}
