//! The forms that other programs read: each is valid, complete, the same from any order of files, and bounded where its
//! reader is. And the comparison with another revision.

use std::fs;

use compiler::compare::{Base, Compared, Gate, Standing};
use compiler::diagnostic::Diagnostic;
use compiler::render::{Finding, Report, github, markdown, sarif};
use compiler::rules;
use compiler::source::{SourceFile, SourceSet, Span};
use contract::code;
use rstest::rstest;
use serde_json::Value;

use crate::repository::{AT, Repository};
use crate::trees::{repository, snapshot};

const FORMS: [&str; 6] = ["human", "json", "sarif", "junit", "github", "markdown"];
const PLAN: &str = "policies/plans/product_cloud.yaml";

/// The shipped tree with the plan of a tier 0 dataset slowed down.
fn weakened(backwards: bool) -> Repository {
    let world = Repository::of("policies", backwards);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    world
}

/// The smallest tree with all sorts of mistakes: text that is no YAML, a name that does not exist behind characters of
/// two UTF-16 units, and a file that cannot be taken.
fn broken(backwards: bool) -> Repository {
    let world = Repository::of("fixtures/valid/minimal", backwards);
    world.write(
        "policies/more/a ü#1.yaml",
        "# \r\n{ kind: Objective, objective_id: \"𝄞𝄞\", rpo: P1Y, rto: PT1H }\r\n",
    );
    world.write("policies/no.yaml", "a: [\n");
    fs::write(world.path("policies/latin.yaml"), b"a: caf\xe9\n").unwrap();
    world
}

fn number_of_rules() -> usize {
    let (rules, _) = rules::load(&rules::built_in(), &rules::Files::new());
    rules.rules.len()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The problems that a schema finds.
fn problems(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap();
    let found = validator.iter_errors(instance);
    found
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn schema(path: &str) -> Value {
    let text = fs::read_to_string(repository().join(path)).unwrap();
    // One pattern of the official schema closes a bracket that it never opened, which is no regular expression.
    json(&text.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$"))
}

#[rstest]
#[case::weakened(weakened(false))]
#[case::broken(broken(false))]
#[case::clean(Repository::of("policies", false))]
fn sarif_and_json_are_what_their_schemas_say(#[case] world: Repository) {
    for (form, path) in [
        ("sarif", "fixtures/sarif/sarif-schema-2.1.0.json"),
        ("json", "schemas/findings.json"),
    ] {
        for base in [&[][..], &["--base", "main"]] {
            let ran = world.check(&[base, &["--format", form]].concat());
            let (schema, mut told) = (schema(path), json(&ran.out));
            assert_eq!(problems(&schema, &told), Vec::<String>::new(), "{form}");
            // The schema can say no.
            let place = match form {
                "sarif" => told.pointer_mut("/runs/0/columnKind"),
                _ => told.pointer_mut("/summary/errors"),
            };
            *place.unwrap() = "no".into();
            assert_eq!(problems(&schema, &told).len(), 1, "{form}");
        }
    }
}

#[test]
fn sarif_names_rules_places_and_fingerprints() {
    let log = json(&weakened(false).check(&["--format", "sarif"]).out);
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let result = &run["results"][0];
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], result["ruleId"]);
    assert_eq!(rules[index]["name"], "rpo-covered");
    let page = rules[index]["help"]["markdown"].as_str().unwrap();
    assert!(page.contains("## What to do"), "{page}");
    assert_eq!(
        rules.len(),
        number_of_rules(),
        "every rule that ran is there"
    );
    let mut shown = result.clone();
    shown["rule"] = rules[index].clone();
    snapshot("check_sarif_result", &format!("{shown:#}"));
}

/// Regions count UTF-16 units, paths are URIs from the root of the repository, and no result is without a place.
#[test]
fn sarif_counts_as_its_readers_do() {
    let world = broken(false);
    let log = json(&world.check(&["--format", "sarif"]).out);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let place = |index: usize| &results[index]["locations"][0]["physicalLocation"];
    let uri = |index: usize| place(index)["artifactLocation"]["uri"].as_str().unwrap();
    let all: Vec<&str> = (0..results.len()).map(uri).collect();
    assert!(all.contains(&"policies/latin.yaml"), "{all:?}");
    let odd = all
        .iter()
        .position(|uri| *uri == "policies/more/a%20%C3%BC%231.yaml");
    let line = "{ kind: Objective, objective_id: \"";
    let region = &place(odd.unwrap())["region"];
    assert_eq!(region["startLine"], 2);
    assert_eq!(region["startColumn"], line.len());
    // Two characters of two units each between the quotes.
    assert_eq!(region["endColumn"], line.len() + 6);
    // However the folder is named, the paths are the same.
    let detour = "policies/more/../../policies";
    let absolute = world.path("policies");
    for folder in [detour, absolute.to_str().unwrap()] {
        let ran = world.run(&["check", folder, "--at", AT, "--format", "sarif"], &[]);
        assert_eq!(json(&ran.out), log);
    }
}

/// Reads a document as strictly as its form demands: only the entities that exist, only characters that exist, all
/// elements closed. Gives back the opening tags.
fn xml(text: &str) -> Vec<String> {
    let body = text
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .unwrap();
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    assert!(body.chars().all(allowed));
    for entity in body.split('&').skip(1) {
        let name = entity.split(';').next().unwrap();
        assert!(
            ["amp", "lt", "gt", "quot", "#13", "#9"].contains(&name),
            "{name}"
        );
    }
    let (mut open, mut tags) = (Vec::new(), Vec::new());
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        tags.push(tag.to_owned());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    tags
}

#[test]
fn junit_shows_what_passed_failed_and_did_not_run() {
    let count =
        |tags: &[String], start: &str| tags.iter().filter(|tag| tag.starts_with(start)).count();
    let ran = weakened(false).check(&["--format", "junit", "--env", "production"]);
    assert_eq!(ran.status, 1);
    let tags = xml(&ran.out);
    assert_eq!(count(&tags, "testsuite "), 1);
    assert_eq!(count(&tags, "testcase"), number_of_rules() + 1);
    assert_eq!(count(&tags, "failure"), 1);
    snapshot("check_junit", &ran.out);

    let ran = broken(false).check(&["--format", "junit", "--env", "dev"]);
    let tags = xml(&ran.out);
    assert_eq!(count(&tags, "failure"), 1, "{}", ran.out);
    assert_eq!(
        count(&tags, "skipped"),
        number_of_rules(),
        "a rule that did not run is no pass"
    );
    let counts = format!(
        "tests=\"{}\" failures=\"1\" errors=\"0\" skipped=\"{}\"",
        number_of_rules() + 1,
        number_of_rules()
    );
    assert!(ran.out.contains(&counts), "{}", ran.out);
}

/// The same tree from two orders of files, and pipes that get plain text.
#[test]
fn no_form_depends_on_the_order_of_files() {
    for (one, other) in [
        (weakened(false), weakened(true)),
        (broken(false), broken(true)),
    ] {
        for form in FORMS {
            let arguments = ["--format", form, "--base", "main", "--env", "production"];
            let (one, other) = (one.check(&arguments), other.check(&arguments));
            assert_eq!((one.status, other.status), (1, 1), "{}", one.err);
            assert_eq!(one.out, other.out, "{form}");
            assert_eq!(one.err, "", "{form}");
            assert!(!one.out.contains('\u{1b}'), "{form}");
        }
    }
}

fn span(start: u32) -> Span {
    Span {
        file: 0,
        start,
        end: start + 1,
    }
}

/// A report with that many causes, each on a line of its own.
fn many(sources: &SourceSet, errors: u32, warnings: u32) -> Report<'_> {
    let finding = |line: u32| {
        let message = format!(
            "`value {line}` is | not <b>right</b>, @you: {}",
            "x".repeat(80)
        );
        let diagnostic = if line < errors {
            Diagnostic::error(code::RPO_COVERED, message)
        } else {
            Diagnostic::warning(code::THREE_TWO_ONE_ONE_ZERO, message)
        };
        let line_text = line.to_string();
        Finding::new(
            diagnostic
                .at(["plans", &line_text])
                .label(span(line * 2), "here"),
            vec![],
        )
    };
    let findings = (0..errors + warnings).map(finding).collect();
    Report::new(sources, vec!["dev".parse().unwrap()], findings)
}

fn lines(number: usize) -> SourceSet {
    SourceSet::new(vec![SourceFile {
        path: "a,b.yaml".to_owned(),
        text: "x\n".repeat(number),
    }])
}

#[test]
fn annotations_are_ranked_and_no_more_than_github_shows() {
    let sources = lines(40);
    let mut report = many(&sources, 15, 12);
    for finding in &mut report.findings {
        let line = finding.diagnostic.labels[0].span.start / 2;
        finding.compared = Some(Compared {
            standing: if line < 3 {
                Standing::Old
            } else {
                Standing::New
            },
            in_diff: line == 14,
            before: None,
        });
    }
    let shown = github::render(&report);
    let commands: Vec<&str> = shown.commands.lines().collect();
    let number = |start: &str| {
        commands
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!((number("::error "), number("::warning ")), (10, 10));
    assert!(
        commands[0].starts_with("::error file=a%2Cb.yaml,line=15,endLine=15,col=1,endColumn=2,title=SW0301 rpo-covered (new)::`value 14`"),
        "{}",
        commands[0]
    );
    assert!(commands[1].contains("`value 3`"), "{}", commands[1]);
    assert!(shown.commands.contains("7 more causes not annotated"));
    let rest = shown.rest.unwrap();
    for value in [
        "value 0", "value 1", "value 2", "value 12", "value 13", "value 25",
    ] {
        assert!(rest.contains(&format!("`{value}`")), "{value}");
    }
    assert!(!rest.contains("`value 3`"));

    // With the gate open for old ones they are warnings, after all that stops.
    report.gate = Gate::New;
    let commands = github::render(&report).commands;
    assert!(!commands.contains("::error file=a%2Cb.yaml,line=1,"));
    assert_eq!(github::render(&many(&sources, 2, 0)).rest, None);
}

#[test]
fn what_is_not_annotated_is_in_the_step_summary() {
    let world = Repository::of("fixtures/valid/minimal", false);
    let documents: Vec<String> = (0..14)
        .map(|number| format!("kind: Objective\nobjective_id: o{number}\nrpo: PT1H\nrto: P1Y\n"))
        .collect();
    world.write("policies/more.yaml", &documents.join("---\n"));
    let summary = world.path("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let arguments = ["check", "policies", "--at", AT, "--format", "github"];
    let ran = world.run(&arguments, &[("GITHUB_STEP_SUMMARY", &summary)]);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    assert_eq!(ran.out.matches("::error ").count(), 10);
    let told = fs::read_to_string(&summary).unwrap();
    assert!(
        told.starts_with("before\n### seawall check: 4 causes without annotation\n"),
        "{told}"
    );
    assert_eq!(told.matches("<details>").count(), 4);
    let nowhere = world.path("nowhere/summary.md");
    let ran = world.run(&arguments, &[("GITHUB_STEP_SUMMARY", &nowhere)]);
    assert_eq!(ran.status, 4);
    assert!(ran.err.contains("SW0532"), "{}", ran.err);
}

#[test]
fn a_comment_is_never_longer_than_github_takes() {
    let sources = lines(5000);
    for number in [5_u32, 300, 4000] {
        let mut report = many(&sources, number, 7);
        let fixed = report.findings.clone();
        report.base = Some(Base {
            revision: "main".to_owned(),
            commit: "0123456789".to_owned(),
            sources: &sources,
            fixed,
        });
        let comment = markdown::render(&report);
        assert!(comment.encode_utf16().count() < 65_536, "{}", comment.len());
        assert!(comment.starts_with(markdown::MARKER));
        let frames = comment.matches("\n```text\n").count();
        if number == 5 {
            assert_eq!(frames, 12);
            assert!(!comment.contains("left out"));
            assert!(comment.contains("is \\| not &lt;b&gt;right&lt;/b&gt;, @\u{200b}you"));
        } else {
            let told = format!("{} frames left out", number as usize + 7 - frames);
            assert!(frames > 20 && comment.contains(&told), "{told}");
        }
        for (open, close) in [("<details>", "</details>"), ("\n```text\n", "\n```\n")] {
            assert_eq!(
                comment.matches(open).count(),
                comment.matches(close).count()
            );
        }
    }
}

#[test]
fn two_alerts_never_share_a_fingerprint() {
    let sources = lines(9);
    let mut report = many(&sources, 2, 0);
    for finding in &mut report.findings {
        finding.diagnostic.at = vec!["plans".to_owned()];
    }
    let log = sarif::render(&report);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let name = |index: usize| results[index]["partialFingerprints"]["seawall/v1"].as_str();
    assert_eq!(name(1), Some(format!("{}:2", name(0).unwrap()).as_str()));
}

#[test]
fn a_change_is_told_from_what_stood_before() {
    let world = Repository::of("policies", false);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    let first = world.commit();
    let same = world.check(&["--base", "HEAD"]);
    assert_eq!(same.status, 1, "an old error still stops");
    assert!(
        same.out.ends_with(&format!(
            "2 errors in dev, production, staging, from one cause; 0 new, 2 old, 0 fixed since HEAD ({})\n",
            &first[..7]
        )),
        "{}",
        same.out
    );
    assert!(!same.out.contains("new error"), "{}", same.out);
    let gate = ["--base", "HEAD", "--fail-on", "new"];
    assert_eq!(world.check(&gate).status, 0);

    // Worse than before is never old.
    world.edit(PLAN, "gsmd:schedules/every_30m", "gsmd:schedules/nightly");
    let worse = world.check(&gate);
    assert_eq!(worse.status, 1);
    assert!(
        worse.out.starts_with("changed error[SW0301]"),
        "{}",
        worse.out
    );
    assert!(
        worse
            .out
            .contains("before: worst-case loss of `ds_global_settings`"),
        "{}",
        worse.out
    );

    // One mended, another brought.
    world.edit(PLAN, "gsmd:schedules/nightly", "gsmd:schedules/every_5m");
    let mended = world.check(&gate);
    assert_eq!(mended.status, 0);
    assert!(mended.out.starts_with("fixed[SW0301]: "), "{}", mended.out);
    assert!(
        mended.out.contains("0 new, 0 old, 2 fixed since HEAD"),
        "{}",
        mended.out
    );
    world.edit(
        PLAN,
        "redundancy_profile: tier0_multi_site",
        "redundancy_profile: nowhere",
    );
    let brought = world.check(&gate);
    assert_eq!(brought.status, 1);
    assert!(brought.out.contains("new error[SW0202]"), "{}", brought.out);
    let told = json(&world.check(&["--base", "HEAD", "--format", "json"]).out);
    assert_eq!(told["base"]["commit"], first);
    let fixed = told["base"]["fixed"].as_array().unwrap().len();
    assert_eq!(
        fixed, 0,
        "no rule ran, so nobody knows whether anything is mended"
    );
    assert_eq!(told["findings"][0]["standing"], "new");
}

/// What the other side did since is neither new nor fixed here.
#[test]
fn the_base_is_where_the_branches_parted() {
    let world = weakened(false);
    let parted = world.commit();
    let git = git2::Repository::open(world.path("")).unwrap();
    let commit = git
        .find_commit(git2::Oid::from_str(&parted).unwrap())
        .unwrap();
    git.branch("topic", &commit, false).unwrap();
    world.edit(PLAN, "gsmd:schedules/every_30m", "gsmd:schedules/every_5m");
    world.commit();
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    git.set_head("refs/heads/topic").unwrap();
    let ran = world.check(&["--base", "main"]);
    assert!(
        ran.out.contains(&format!(
            "0 new, 2 old, 0 fixed since main ({})",
            &parted[..7]
        )),
        "{}",
        ran.out
    );
}

/// What rules would have found in a tree without a model is not known, so nothing of it excuses.
#[test]
fn a_base_that_does_not_compile_excuses_nothing() {
    let world = weakened(false);
    world.edit(PLAN, "plan_id: bp_databases", "plan_id: [");
    world.commit();
    let gate = ["--base", "HEAD", "--fail-on", "new"];
    let still = world.check(&gate);
    assert_eq!(
        still.status, 1,
        "an old error that hides others is no pass: {}",
        still.out
    );
    assert!(still.out.contains("warning[SW0542]"), "{}", still.out);
    world.edit(PLAN, "plan_id: [", "plan_id: bp_databases");
    let compiles = world.check(&gate);
    assert_eq!(compiles.status, 1);
    for part in [
        "new error[SW0301]",
        "warning[SW0542]",
        "does not compile",
        "fixed[",
    ] {
        assert!(compiles.out.contains(part), "`{part}` in {}", compiles.out);
    }
}

/// The repository's objects are held to the same rules as a folder.
#[test]
fn a_base_is_read_as_a_folder_is() {
    let world = Repository::of("fixtures/valid/minimal", false);
    std::os::unix::fs::symlink("x", world.path("policies/link.yaml")).unwrap();
    fs::write(world.path("policies/latin.yaml"), b"a: caf\xe9\n").unwrap();
    let large = compiler::source::MAX_FILE_BYTES + 1;
    fs::write(world.path("policies/large.yaml"), " ".repeat(large)).unwrap();
    world.write("policies/.hidden/bad.yaml", "a: [\n");
    world.write("policies/notes.txt", "no policy\n");
    world.commit();
    let ran = world.check(&["--base", "HEAD", "--format", "json"]);
    let told = json(&ran.out);
    let standings: Vec<&str> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["standing"].as_str().unwrap_or("none"))
        .collect();
    assert_eq!(standings, ["none", "old", "old", "old"], "{}", ran.out);
    assert_eq!(told["findings"][0]["code"], "SW0542");
    assert_eq!(told["base"]["fixed"], serde_json::json!([]));
}

#[test]
fn a_revision_before_the_tree_makes_everything_new() {
    let world = weakened(false);
    fs::rename(world.path("policies"), world.path("elsewhere")).unwrap();
    world.commit();
    fs::rename(world.path("elsewhere"), world.path("policies")).unwrap();
    let ran = world.check(&["--base", "HEAD", "--fail-on", "new"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("2 new, 0 old, 0 fixed"), "{}", ran.out);
    assert!(ran.err.contains("does not have the folder"), "{}", ran.err);
}

#[rstest]
#[case::no_such_revision(&["--base", "nowhere"], 4, "`nowhere` cannot be read as a revision")]
#[case::no_commit(&["--base", "HEAD:policies"], 4, "cannot be read as a revision")]
#[case::new_without_base(&["--fail-on", "new"], 2, "--base")]
fn a_base_that_cannot_be_read_is_told(
    #[case] arguments: &[&str],
    #[case] status: i32,
    #[case] told: &str,
) {
    let ran = Repository::of("fixtures/valid/minimal", false).check(arguments);
    assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{}", ran.err);
    assert!(ran.err.contains(told), "{}", ran.err);
    assert_eq!(ran.err.contains("error[SW0541]"), status == 4);
}

#[test]
fn a_tree_in_no_repository_has_no_base() {
    let world = Repository::bare("fixtures/valid/minimal", false);
    let ran = world.check(&["--base", "main"]);
    assert_eq!((ran.status, ran.out.as_str()), (4, ""));
    assert!(
        ran.err
            .contains("error[SW0541]: `policies` lies in no git repository"),
        "{}",
        ran.err
    );
}
