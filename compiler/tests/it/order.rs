//! The same tree gives the same output in every form, to the byte: whatever order its files were made in, wherever it
//! lies, and from wherever the program is run.

use std::fs;

use contract::digest::Digest;
use rstest::rstest;

use crate::repository::{AT, Repository};

const PLAN: &str = "policies/plans/product_cloud.yaml";

/// The shipped tree with findings of several rules, of which some share a place or a cause; or with several of reading
/// and resolving.
fn tree(below: &str, compiles: bool) -> Repository {
    let world = Repository::below(below, "policies", false);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/nightly");
    let tiers = fs::read_to_string(world.path("policies/settings/tiers.yaml")).unwrap();
    assert!(tiers.contains("drill_every: P"));
    let tiers = tiers.replace("drill_every: P", "drill_every: none # P");
    world.write("policies/settings/tiers.yaml", &tiers);
    let datasets = fs::read_to_string(world.path("policies/inventory/product_cloud.yaml")).unwrap();
    let datasets = datasets.replace("rto: gsmd:objectives/tier0_core/rto", "rto: PT5M");
    world.write("policies/inventory/product_cloud.yaml", &datasets);
    if !compiles {
        for file in ["z", "a/z", "B", "b0", "a"] {
            let text = "kind: Objective\nobjective_id: same\nrpo: P1Y\nrto: gsmd:objectives/non/rto\n---\n]\n";
            world.write(&format!("policies/more/{file}.yaml"), text);
        }
    }
    world
}

/// Makes all files anew, in an order that the seed gives, with files between them that are taken away again: neither the
/// order of making nor that of the numbers of files is what it was.
fn made_anew(world: &Repository, seed: u8) {
    let root = world.path("policies");
    let mut files: Vec<_> = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    fs::remove_dir_all(&root).unwrap();
    files.sort_by_key(|(path, _)| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        Digest::of(format!("{seed} {name}").as_bytes())
    });
    let hole = |number: usize| world.path(&format!("hole{number}"));
    for (number, (path, bytes)) in files.iter().enumerate() {
        fs::write(hole(number), "").unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        if number % 2 == usize::from(seed % 2) {
            fs::remove_file(hole(number)).unwrap();
        }
    }
    for number in 0..files.len() {
        let _ = fs::remove_file(hole(number));
    }
}

#[rstest]
fn one_tree_has_one_output(
    #[values("human", "json", "sarif", "junit", "github", "markdown")] form: &str,
    #[values(true, false)] compiles: bool,
) {
    let told = |world: &Repository| {
        let ran = world.check(&["--base", "main", "--env", "production", "--format", form]);
        assert_eq!((ran.status, ran.err.as_str()), (1, ""));
        ran.out
    };
    let world = tree("", compiles);
    let first = told(&world);
    let findings = world.check(&["--format", "json"]).out;
    assert!(
        findings.matches("\"fingerprint\"").count() > 5,
        "{findings}"
    );
    for seed in [1, 2] {
        made_anew(&world, seed);
        assert_eq!(told(&world), first, "{form}, made in order {seed}");
    }
    let deep = tree("some/where/quite/deep", compiles);
    made_anew(&deep, 3);
    assert_eq!(told(&deep), first, "{form}, from a deep folder");
}

/// What other programs read does not depend on where the program is run, either; people see paths as they typed them.
#[test]
fn the_way_to_the_folder_changes_no_form_for_programs() {
    let world = tree("", true);
    let absolute = world.path("policies");
    for form in ["json", "sarif", "junit", "github", "markdown"] {
        let told = |folder: &str| {
            let ran = world.run(
                &[
                    "check", folder, "--at", AT, "--env", "dev", "--format", form,
                ],
                &[],
            );
            assert_eq!((ran.status, ran.err.as_str()), (1, ""));
            ran.out
        };
        let first = told("policies");
        for folder in [
            "./policies/",
            "policies/../policies",
            absolute.to_str().unwrap(),
        ] {
            assert_eq!(told(folder), first, "{form} of {folder}");
        }
    }
}
