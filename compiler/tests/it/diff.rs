//! `seawall diff`: what a change does to recovery, of trees, revisions and published bundles; and the page in `docs` that
//! shows five changes, which is written here from real runs and compared.

use std::fmt::Write as _;
use std::fs;

use rstest::rstest;
use serde_json::Value;

use crate::cli::Ran;
use crate::repository::Repository;
use crate::trees::repository;

/// What somebody changes: a title, why, the edits as file, before and after, and whether all places are edited.
struct Edited {
    title: &'static str,
    why: &'static str,
    edits: &'static [(&'static str, &'static str, &'static str)],
}

const FIVE: [Edited; 5] = [
    Edited {
        title: "Backups every 30 minutes instead of every 5",
        why: "The settings database of the product cloud is backed up less often, to save space.",
        edits: &[(
            "policies/plans/product_cloud.yaml",
            "backup_frequency: gsmd:schedules/every_5m",
            "backup_frequency: gsmd:schedules/every_30m",
        )],
    },
    Edited {
        title: "No copies in the vault any more",
        why: "Two plans of the product cloud keep their points in one place, because the vault is dear.",
        edits: &[
            (
                "policies/plans/product_cloud.yaml",
                "storage_profiles: [remote, vault]",
                "storage_profiles: [remote]",
            ),
            (
                "policies/plans/product_cloud.yaml",
                "storage_profiles: [remote, vault]",
                "storage_profiles: [remote]",
            ),
        ],
    },
    Edited {
        title: "The key is kept nearer",
        why: "The key of the core moves from the escrow machine into the region where it is used.",
        edits: &[(
            "policies/settings/keys.yaml",
            "custody: host:escrow-hsm",
            "custody: region:eu-west-1",
        )],
    },
    Edited {
        title: "Locks for a day, and one person to agree",
        why: "Nothing that is proven of a loss changes, and all the same anybody who steals one credential can do more.",
        edits: &[
            (
                "policies/settings/retention.yaml",
                "immutable_for: P7D",
                "immutable_for: P1D",
            ),
            (
                "policies/settings/approvals.yaml",
                "approvals: 2",
                "approvals: 1",
            ),
        ],
    },
    Edited {
        title: "A better name for a schedule",
        why: "Many lines differ, and nothing is weaker.",
        edits: &[
            (
                "policies/settings/schedules.yaml",
                "schedule_id: every_6h",
                "schedule_id: four_times_a_day",
            ),
            (
                "policies/plans",
                "gsmd:schedules/every_6h",
                "gsmd:schedules/four_times_a_day",
            ),
            (
                "policies/settings",
                "gsmd:schedules/every_6h",
                "gsmd:schedules/four_times_a_day",
            ),
        ],
    },
];

/// Edits a file once, or every place of a folder.
fn edit(world: &Repository, (place, from, to): (&str, &str, &str)) {
    let path = world.path(place);
    if path.is_file() {
        world.edit(place, from, to);
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

fn edited(which: usize) -> Repository {
    let world = Repository::of("policies", false);
    for change in FIVE[which].edits {
        edit(&world, *change);
    }
    world
}

fn diff(world: &Repository, arguments: &[&str]) -> Ran {
    world.run(&[&["diff"], arguments].concat(), &[])
}

fn json(world: &Repository, arguments: &[&str]) -> Value {
    let ran = diff(world, &[arguments, &["--format", "json"]].concat());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let schema = fs::read_to_string(repository().join("schemas/difference.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let faults: Vec<String> = schema
        .iter_errors(&document)
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
    document
}

fn page() -> String {
    let mut page = "\
# What five changes do to recovery

`seawall diff main policies` tells what a change does to what is proven, which line is to blame, and how many datasets of
which tier it concerns. `--fail-on weaker` lets a pipeline stop there. A test writes this page from real runs and compares.
".to_owned();
    for (number, change) in FIVE.iter().enumerate() {
        let world = edited(number);
        let human = diff(&world, &["main", "policies", "--env", "production"]);
        let markdown = diff(
            &world,
            &[
                "main",
                "policies",
                "--env",
                "production",
                "--format",
                "markdown",
            ],
        );
        assert_eq!(
            (human.status, markdown.status),
            (0, 0),
            "{}{}",
            human.err,
            markdown.err
        );
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n```text\n{}```\n\nAs a comment:\n\n````markdown\n{}````\n",
            change.title, change.why, human.out, markdown.out
        );
    }
    page
}

#[test]
fn the_page_of_five_changes_is_what_the_program_prints() {
    let path = repository().join("docs/diff.md");
    let page = page();
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|stands| stands == page),
        "docs/diff.md is not what the program prints; write it with: \
         SEAWALL_WRITE_DOCS=1 cargo nextest run --workspace --release -E 'test(page_of_five_changes)'"
    );
}

/// The groups of an environment as `effect property from to datasets line`.
fn told(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = Vec::new();
    for environment in document["environments"].as_array().unwrap() {
        let edits = environment["edits"].as_array().unwrap();
        for group in environment["groups"].as_array().unwrap() {
            let because: Vec<String> = group["because"]
                .as_array()
                .unwrap()
                .iter()
                .map(|index| {
                    let edit = &edits[usize::try_from(index.as_u64().unwrap()).unwrap()];
                    format!("{}:{}", text(&edit["file"]), edit["line"])
                })
                .collect();
            for outcome in group["outcomes"].as_array().unwrap() {
                lines.push(format!(
                    "{} {} {} → {} {} {}",
                    text(&group["effect"]),
                    text(&outcome["property"]),
                    text(&outcome["from"]),
                    text(&outcome["to"]),
                    group["datasets"].as_array().unwrap().len(),
                    because.join(" ")
                ));
            }
        }
    }
    lines
}

/// The line that was edited is to blame, not the setting that it newly refers to.
#[test]
fn the_line_that_differs_is_to_blame() {
    let lines = told(&json(
        &edited(0),
        &["main", "policies", "--env", "production"],
    ));
    assert!(
        lines.contains(
            &"weaker loss 14 min → 1 h 25 min 1 policies/plans/product_cloud.yaml:8".to_owned()
        ),
        "{lines:?}"
    );
    let lines = told(&json(
        &edited(2),
        &["main", "policies", "--env", "production"],
    ));
    assert!(
        lines.contains(
            &"weaker loss 14 min → unbounded: the key is lost 5 policies/settings/keys.yaml:8"
                .to_owned()
        ),
        "{lines:?}"
    );
}

/// Old and new exchanged: what was weaker is stronger, with from and to exchanged, and nothing else is told.
#[rstest]
#[case(0)]
#[case(1)]
#[case(2)]
fn the_other_way_round_it_is_the_opposite(#[case] which: usize) {
    let world = edited(which);
    let before = world.path("before");
    fs::create_dir(&before).unwrap();
    copy(&repository().join("policies"), &before);
    let outcomes = |arguments: &[&str], back: bool| -> Vec<String> {
        let document = json(&world, &[arguments, &["--env", "production"]].concat());
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let mut found = Vec::new();
        for group in document["environments"][0]["groups"].as_array().unwrap() {
            for outcome in group["outcomes"].as_array().unwrap() {
                for dataset in group["datasets"].as_array().unwrap() {
                    let (effect, from, to) = (
                        text(&group["effect"]),
                        text(&outcome["from"]),
                        text(&outcome["to"]),
                    );
                    let (effect, from, to) = match (back, effect.as_str()) {
                        (false, _) => (effect, from, to),
                        (true, "weaker") => ("stronger".to_owned(), to, from),
                        (true, "stronger") => ("weaker".to_owned(), to, from),
                        (true, _) => (effect, to, from),
                    };
                    found.push(format!(
                        "{dataset} {effect} {} {from} {to}",
                        text(&outcome["property"])
                    ));
                }
            }
        }
        found.sort();
        found
    };
    let there = outcomes(&["before", "policies"], false);
    assert!(!there.is_empty());
    assert_eq!(there, outcomes(&["policies", "before"], true));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[rstest]
#[case(0, "weaker", 1)]
#[case(0, "incomparable", 1)]
#[case(3, "weaker", 1)]
#[case(4, "weaker", 0)]
#[case(4, "incomparable", 0)]
fn a_pipeline_can_stop_at_what_is_weaker(
    #[case] which: usize,
    #[case] fail_on: &str,
    #[case] status: i32,
) {
    let world = edited(which);
    let ran = diff(&world, &["main", "policies", "--fail-on", fail_on]);
    assert_eq!((ran.status, ran.err.as_str()), (status, ""), "{}", ran.out);
    assert_eq!(diff(&world, &["main", "policies"]).status, 0);
}

#[test]
fn nothing_differs_from_itself() {
    let world = Repository::of("policies", false);
    let ran = diff(&world, &["main", "policies", "--fail-on", "incomparable"]);
    assert_eq!(ran.status, 0);
    assert_eq!(
        ran.out,
        "dev: no difference\n\nproduction: no difference\n\nstaging: no difference\n"
    );
}

/// Two commits are compared as they are, by the names that git gives them.
#[test]
fn two_revisions_are_compared() {
    let world = edited(0);
    world.commit();
    let of_commits = diff(
        &world,
        &["main~1:policies", "main:policies", "--env", "production"],
    );
    assert_eq!((of_commits.status, of_commits.err.as_str()), (0, ""));
    assert!(
        of_commits
            .out
            .contains("worst-case loss: 14 min → 1 h 25 min"),
        "{}",
        of_commits.out
    );
    assert!(
        of_commits
            .out
            .contains("policies/plans/product_cloud.yaml:8"),
        "{}",
        of_commits.out
    );
}

#[test]
fn an_environment_that_one_side_has_alone_is_told() {
    let world = Repository::of("policies", false);
    let path = "policies/settings/environments.yaml";
    let text = fs::read_to_string(world.path(path)).unwrap();
    let documents: Vec<&str> = text
        .split("\n---\n")
        .filter(|one| !one.contains("environment_id: staging"))
        .collect();
    world.write(path, &documents.join("\n---\n"));
    for overridden in fs::read_dir(world.path("policies/settings"))
        .unwrap()
        .chain(fs::read_dir(world.path("policies/plans")).unwrap())
    {
        let file = overridden.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            text.replace("[dev, staging]", "[dev]")
                .replace(", staging", "")
                .replace("staging, ", ""),
        )
        .unwrap();
    }
    let ran = diff(
        &world,
        &[
            "main",
            "policies",
            "--env",
            "staging",
            "--fail-on",
            "weaker",
        ],
    );
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (1, "staging: gone, with all that it protected\n"),
        "{}",
        ran.err
    );
    let ran = diff(&world, &["policies", "main:policies", "--env", "staging"]);
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (0, "staging: new: there is nothing to compare with\n")
    );
}

#[rstest]
#[case::no_such_thing(&["nothing", "policies"], 4, "`nothing` cannot be read as a revision")]
#[case::no_such_new(&["policies", "nothing"], 4, "`nothing` is no folder, and no revision of one")]
#[case::no_such_commit(&["nobody:policies", "policies"], 4, "`nobody:policies` cannot be read")]
#[case::no_such_folder(&["main:elsewhere", "policies"], 4, "`main:elsewhere` has no such folder")]
#[case::no_such_environment(&["main", "policies", "--env", "nowhere"], 2, "neither side declares `nowhere`")]
#[case::a_tree_that_does_not_compile(&["main", "broken"], 1, "error[SW")]
fn what_cannot_be_compared_is_refused(
    #[case] arguments: &[&str],
    #[case] status: i32,
    #[case] wanted: &str,
) {
    let world = Repository::of("policies", false);
    let broken = world.path("broken");
    fs::create_dir(&broken).unwrap();
    copy(&repository().join("policies"), &broken);
    fs::write(
        broken.join("more.yaml"),
        "kind: Dataset\ndataset_id: ds_x\n",
    )
    .unwrap();
    world.commit();
    let ran = diff(&world, arguments);
    assert_eq!((ran.status, ran.out.as_str()), (status, ""));
    assert!(ran.err.contains(wanted), "{}", ran.err);
}

/// In any order of files the same bytes, in all forms.
#[test]
fn the_order_of_files_does_not_matter() {
    for form in ["human", "json", "markdown"] {
        let told = |backwards: bool| {
            let world = Repository::of("policies", backwards);
            for change in FIVE[1].edits {
                edit(&world, *change);
            }
            diff(&world, &["main", "policies", "--format", form]).out
        };
        assert_eq!(told(false), told(true), "{form}");
    }
}
