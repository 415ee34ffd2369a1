//! What runs on other people's machines: the action, the hook and the workflows are well-formed, trust no moving name,
//! and do what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use crate::repository::Repository;
use crate::trees::repository;

const PLAN: &str = "policies/plans/product_cloud.yaml";

fn yaml(path: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn workflows() -> Vec<PathBuf> {
    let folder = fs::read_dir(repository().join(".github/workflows")).unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

/// A tag can be moved to other code; a commit cannot.
#[test]
fn every_action_is_pinned_to_a_commit() {
    let mut files = workflows();
    files.push(repository().join(".github/action/action.yml"));
    files.push(repository().join("docs/ci.md"));
    let mut seen = 0;
    for file in files {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some((_, uses)) = line.split_once("uses: ") else {
                continue;
            };
            let (name, version) = uses.split_once('@').unwrap();
            // The page cannot know who publishes this repository, nor at which commit.
            if name == "<owner>/seawall/.github/action" && version == "<commit>" {
                continue;
            }
            let (commit, tag) = version.split_once(" # v").unwrap();
            assert!(
                commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()),
                "{line}"
            );
            assert!(!tag.is_empty(), "{line}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn workflows_may_only_read_but_for_the_job_that_publishes() {
    let publishing =
        serde_json::json!({"contents": "write", "id-token": "write", "attestations": "write"});
    let mut published = 0;
    for path in workflows() {
        let workflow = yaml(&path);
        assert_eq!(
            workflow["permissions"],
            serde_json::json!({"contents": "read"})
        );
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            assert!(job["timeout-minutes"].is_u64(), "{name}");
            if job["permissions"].is_null() {
                continue;
            }
            // It runs nothing of the repository: what it publishes was built and tested by jobs that only read.
            assert!(path.ends_with("release.yml") && name == "publish", "{name}");
            assert_eq!(job["permissions"], publishing);
            let steps = job["steps"].as_array().unwrap();
            let uses = steps.iter().filter_map(|step| step["uses"].as_str());
            let is_checkout = |uses: &str| uses.starts_with("actions/checkout");
            assert!(!uses.into_iter().any(is_checkout), "{name}");
            published += 1;
        }
    }
    assert_eq!(published, 1);
}

/// Text of inputs reaches shells through the environment alone, where it is no program.
#[test]
fn no_input_is_pasted_into_a_script() {
    let action = yaml(&repository().join(".github/action/action.yml"));
    let steps = action["runs"]["steps"].as_array().unwrap();
    assert!(steps.len() >= 5);
    for step in steps {
        for script in [&step["run"], &step["with"]["script"]] {
            assert!(!script.as_str().unwrap_or("").contains("${{"), "{script}");
        }
    }
    // What the steps hand to each other is there.
    let text = fs::read_to_string(repository().join(".github/action/action.yml")).unwrap();
    let inputs = action["inputs"].as_object().unwrap();
    for part in text.split("inputs.").skip(1) {
        let name: String = part
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect();
        assert!(inputs.contains_key(&name), "{name}");
    }
}

struct Ran {
    status: Option<i32>,
    log: String,
    err: String,
    told: String,
}

fn action(world: &Repository, variables: &[(&str, &str)]) -> Ran {
    let outputs = world.path("outputs.txt");
    fs::write(&outputs, "").unwrap();
    let output = Command::new("bash")
        .arg(repository().join(".github/action/check.sh"))
        .current_dir(world.path(""))
        .env("SEAWALL", assert_cmd::cargo::cargo_bin("seawall"))
        .env("OUT", world.path("out"))
        .env("GITHUB_OUTPUT", &outputs)
        .env_remove("GITHUB_STEP_SUMMARY")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Ran {
        status: output.status.code(),
        log: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        told: fs::read_to_string(outputs).unwrap(),
    }
}

#[test]
fn the_action_annotates_comments_and_writes_sarif() {
    let world = Repository::of("policies", false);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    let ran = action(
        &world,
        &[("BASE", "main"), ("ENVIRONMENTS", "production staging")],
    );
    assert_eq!(
        (ran.status, ran.told.as_str()),
        (Some(0), "status=1\n"),
        "{}",
        ran.err
    );
    assert!(
        ran.log.starts_with(&format!("::error file={PLAN},line=8,")),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("in production, staging"), "{}", ran.log);
    let comment = fs::read_to_string(world.path("out/comment.md")).unwrap();
    assert!(comment.starts_with("<!-- seawall check -->\n"), "{comment}");
    let difference = fs::read_to_string(world.path("out/diff.md")).unwrap();
    assert!(
        difference.starts_with("<!-- seawall diff -->\n") && difference.contains("weaker"),
        "{difference}"
    );
    let sarif = fs::read_to_string(world.path("out/seawall.sarif")).unwrap();
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 1);

    world.commit();
    let old = action(&world, &[("BASE", "HEAD"), ("FAIL_ON", "new")]);
    assert_eq!(
        (old.status, old.told.as_str()),
        (Some(0), "status=0\n"),
        "{}",
        old.err
    );
}

/// A change without a finding can still weaken recovery; whether that fails is for the caller to say.
#[test]
fn the_action_stops_what_gets_weaker_where_it_is_asked_to() {
    let world = Repository::of("policies", false);
    world.edit(PLAN, "gsmd:retention/standard", "gsmd:retention/economy");
    let mut told = Vec::new();
    for effect in ["", "weaker"] {
        let ran = action(&world, &[("BASE", "main"), ("FAIL_ON_EFFECT", effect)]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        told.push((ran.told, ran.log.contains("::error::recovery gets weaker")));
    }
    let wanted = [
        ("status=0\n".to_owned(), false),
        ("status=1\n".to_owned(), true),
    ];
    assert_eq!(told, wanted);
    let ran = action(&world, &[("BASE", "main"), ("FAIL_ON_EFFECT", "sometimes")]);
    assert_eq!((ran.status, ran.told.as_str()), (Some(2), ""));
    // A tree that gives no model has no difference, and no comment that says so.
    world.edit(PLAN, "plan_id:", "plan_id_:");
    let ran = action(&world, &[("BASE", "main")]);
    assert_eq!((ran.status, ran.told.as_str()), (Some(0), "status=1\n"));
    assert!(!world.path("out/diff.md").exists());
}

#[rstest]
#[case::no_such_revision(&[("BASE", "nowhere")], 4)]
#[case::no_such_tree(&[("TREE", "nowhere")], 4)]
#[case::no_base_to_gate_on(&[("FAIL_ON", "new")], 2)]
#[case::text_that_is_no_option(&[("ENVIRONMENTS", "$(touch x) ;")], 2)]
fn the_action_fails_where_nothing_was_judged(
    #[case] variables: &[(&str, &str)],
    #[case] status: i32,
) {
    let world = Repository::of("fixtures/valid/minimal", false);
    let ran = action(&world, variables);
    assert_eq!(ran.status, Some(status), "{}", ran.err);
    assert_eq!(ran.told, "");
    assert!(!world.path("x").exists());
}

#[test]
fn the_hook_is_a_command_that_runs() {
    let hooks = yaml(&repository().join(".pre-commit-hooks.yaml"));
    let hook = &hooks[0];
    assert_eq!(hook["pass_filenames"], false);
    let words = hook["entry"].as_str().unwrap().split(' ');
    let given = hook["args"].as_array().unwrap().iter();
    let arguments: Vec<&str> = words
        .skip(1)
        .chain(given.map(|word| word.as_str().unwrap()))
        .collect();
    let world = Repository::of("fixtures/valid/minimal", false);
    assert_eq!(world.run(&arguments, &[]).status, 0);
    world.edit("policies/plans.yaml", "retention:", "retentoin:");
    assert_eq!(world.run(&arguments, &[]).status, 1);
}
