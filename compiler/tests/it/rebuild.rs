//! What a statement says of its sources can be verified where the sources are.

use std::fs;

use contract::digest::Digest;
use contract::seal::{
    BundlePredicate, Envelope, Input, PrivateKey, Statement, policy_snapshot_hash,
};

use super::cli::{World, seawall};

const AT: &str = "2026-11-20T12:00:00Z";

fn rebuild(world: &World) -> super::cli::Ran {
    let (folder, tree) = (world.path("out/production"), world.path("tree"));
    seawall(&[
        "verify",
        &folder,
        "--root",
        &world.pin,
        "--at",
        AT,
        "--rebuild",
        &tree,
    ])
}

#[test]
fn inputs_that_no_tree_has_are_found_by_compiling_it_again() {
    let world = World::new();
    assert_eq!(world.build(&["build", "alice"]).status, 0);
    let rebuilt = rebuild(&world);
    assert_eq!(rebuilt.status, 0, "{}", rebuilt.err);
    let path = world.path("out/production/bundle.dsse.json");
    let signed = Envelope::from_json(&fs::read(&path).unwrap()).unwrap();
    let mut stated = Statement::<BundlePredicate>::from_payload(&signed.payload)
        .unwrap()
        .predicate;
    stated.inputs.push(Input {
        path: "zz-invented.yaml".to_owned(),
        sha256: Digest::of(b"invented"),
    });
    stated.policy_snapshot_hash = policy_snapshot_hash(&stated.inputs);
    let file = |name: &str| fs::read(world.path(&format!("out/production/{name}"))).unwrap();
    let (bundle, provenance) = (file("bundle.json"), file("provenance.json"));
    let statement = Statement::about_bundle(stated, &bundle, &provenance);
    let keys = ["build", "alice"].map(|name| {
        let pem = fs::read_to_string(world.path(&format!("keys/{name}.key"))).unwrap();
        PrivateKey::from_pem(&pem).unwrap()
    });
    let envelope = Envelope::sign(
        statement.to_payload().unwrap(),
        &keys.iter().collect::<Vec<_>>(),
    );
    fs::write(&path, envelope.to_json()).unwrap();
    let rebuilt = rebuild(&world);
    assert_eq!(rebuilt.status, 1, "{}", rebuilt.err);
    assert!(rebuilt.err.contains("error[SW0536]"), "{}", rebuilt.err);
    assert!(rebuilt.err.contains("inputs"), "{}", rebuilt.err);
    assert_eq!(rebuilt.out, "");
}
