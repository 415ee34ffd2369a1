//! What people and programs read beside findings: HTML pages, completions, manuals; and how much of a rule is tested.

use std::collections::BTreeSet;
use std::path::PathBuf;

use compiler::docs::policy;
use compiler::facts;
use compiler::source::{SourceFile, SourceSet};
use rstest::rstest;

use crate::cli::{Ran, seawall};
use crate::trees;

fn page_of(sources: &SourceSet, environment: &str) -> String {
    let compilation = trees::compiled(sources, environment);
    let model = compilation.model.as_ref().unwrap();
    policy::page(&policy::Documented {
        compilation: &compilation,
        model,
        proven: &facts::facts(model, None),
        sources,
        positions: sources.positions(),
    })
}

#[test]
fn the_page_of_a_policy() {
    let sources = trees::read("fixtures/valid/minimal");
    trees::snapshot("docs_policy", &page_of(&sources, "production"));
}

#[test]
fn the_shipped_policy_is_documented_whole() {
    let sources = trees::read("policies");
    let page = page_of(&sources, "production");
    let compilation = trees::compiled(&sources, "production");
    let model = compilation.model.unwrap();
    let ids = |prefix: &str, ids: Vec<String>| -> Vec<String> {
        ids.into_iter()
            .map(|id| format!("id=\"{prefix}-{id}\""))
            .collect()
    };
    let wanted = [
        ids(
            "dataset",
            model.datasets.keys().map(ToString::to_string).collect(),
        ),
        ids(
            "plan",
            model.plans.keys().map(ToString::to_string).collect(),
        ),
        ids(
            "scenario",
            model.scenarios.keys().map(ToString::to_string).collect(),
        ),
        ids(
            "location",
            model
                .settings
                .locations
                .keys()
                .map(ToString::to_string)
                .collect(),
        ),
        ids(
            "key",
            model
                .settings
                .keys
                .keys()
                .map(ToString::to_string)
                .collect(),
        ),
        ids(
            "tier",
            model
                .settings
                .tiers
                .keys()
                .map(ToString::to_string)
                .collect(),
        ),
        ids(
            "group",
            model.groups.keys().map(ToString::to_string).collect(),
        ),
        ids(
            "standby",
            model.standbys.keys().map(ToString::to_string).collect(),
        ),
        ids(
            "alert",
            model
                .settings
                .alerts
                .keys()
                .map(ToString::to_string)
                .collect(),
        ),
        ids(
            "data-retention",
            model
                .settings
                .data_retention
                .keys()
                .map(ToString::to_string)
                .collect(),
        ),
    ]
    .concat();
    for anchor in &wanted {
        assert_eq!(page.matches(anchor.as_str()).count(), 1, "{anchor}");
    }
    let known: BTreeSet<&str> = values_of(&page, "id=\"");
    for link in values_of(&page, "href=\"") {
        assert!(
            known.contains(link.trim_start_matches('#')),
            "{link} leads nowhere"
        );
    }
    let facts = facts::facts(
        trees::compiled(&sources, "production")
            .model
            .as_ref()
            .unwrap(),
        None,
    );
    let witnesses: usize = facts["datasets"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|fact| fact["loss"].as_object().unwrap().values())
        .filter(|loss| !loss["witness"].is_null())
        .count();
    let told = page.matches("failure just before").count() + page.matches(", noticed ").count();
    assert!(
        witnesses > 100 && told == witnesses,
        "{told} of {witnesses}"
    );
    for absent in [
        "<script", "<link", "<img", "src=", "http://", "https://", "url(", "@import",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_page_tells_what_was_accepted_for_whom_and_until_when() {
    let mut files = trees::read("fixtures/valid/minimal").files;
    let waiver = "kind: Waiver\nwaiver_id: wv_documents\ncode: SW0301\ntargets: [datasets/ds_documents]\n\
                  owner: operator\nreason: until <spring>\nexpiry: 2027-03-01T00:00:00Z\nbound: PT4H\n";
    files.push(SourceFile {
        path: "waivers.yaml".to_owned(),
        text: waiver.to_owned(),
    });
    let sources = SourceSet::new(files);
    let page = page_of(&sources, "production");
    assert_eq!(page.matches("id=\"waiver-wv_documents\"").count(), 1);
    assert_eq!(page.matches("href=\"#waiver-wv_documents\"").count(), 1);
    let row = "<td>2027-03-01T00:00:00Z</td><td><span class=\"id\">operator</span></td><td>until &lt;spring&gt;</td>";
    assert!(page.replace(" class=\"short\"", "").contains(row), "{page}");
    assert!(!page.contains("Nothing is waived"));
}

/// What stands behind each `before`, up to the next quote.
fn values_of<'a>(page: &'a str, before: &str) -> BTreeSet<&'a str> {
    page.split(before)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn no_text_of_a_policy_becomes_markup() {
    let mut sources = trees::read("fixtures/valid/minimal");
    let hostile = "<script>alert(1)</script><b title='x'>";
    for file in &mut sources.files {
        file.text = file
            .text
            .replace("name: Documents\n", &format!("name: \"{hostile}\"\n"))
            .replace("name: Documents, hourly", "name: '<i>&amp;'");
    }
    let page = page_of(&sources, "production");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&lt;b title=&#39;x&#39;&gt;"));
    assert!(page.contains("&lt;i&gt;&amp;amp;"));
    for markup in ["<script", "<b ", "<i>"] {
        assert!(!page.contains(markup), "{markup}");
    }
}

#[test]
fn both_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let policies = trees::repository().join("policies");
    let out = folder.path().join("site");
    let written = seawall(&[
        "docs",
        policies.to_str().unwrap(),
        "--env",
        "staging",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!((written.status, written.err.as_str()), (0, ""));
    let paths: Vec<PathBuf> = written.out.lines().map(PathBuf::from).collect();
    assert_eq!(paths, [out.join("staging.html"), out.join("rules.html")]);
    let rules = std::fs::read_to_string(&paths[1]).unwrap();
    for code in ["SW0301", "SW0320"] {
        assert!(rules.contains(&format!("id=\"{code}\"")), "{code}");
    }
    assert!(!rules.contains("<script") && !rules.contains("https://"));
}

#[rstest]
#[case("bash", "complete -F _seawall")]
#[case("zsh", "#compdef seawall")]
#[case("fish", "complete -c seawall")]
#[case("elvish", "edit:completion:arg-completer[seawall]")]
#[case("powershell", "Register-ArgumentCompleter")]
fn completions(#[case] shell: &str, #[case] wanted: &str) {
    let Ran { status, out, err } = seawall(&["completions", shell]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains(wanted), "{out}");
    for command in ["check", "explain", "coverage-min"] {
        assert!(out.contains(command), "{command}");
    }
}

/// The shell itself reads what was made for it.
#[test]
fn bash_completes_commands() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seawall.bash");
    std::fs::write(&file, seawall(&["completions", "bash"]).out).unwrap();
    let script = format!(
        "source {} && COMP_WORDS=(seawall exp) && COMP_CWORD=1 && _seawall seawall exp seawall && echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let ran = std::process::Command::new("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(ran.stdout).unwrap(),
        "explain\n",
        "{:?}",
        ran.stderr
    );
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man");
    let written = seawall(&["man", "--out", out.to_str().unwrap()]);
    assert_eq!((written.status, written.err.as_str()), (0, ""));
    let names: BTreeSet<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in [
        "seawall.1",
        "seawall-check.1",
        "seawall-trust-init.1",
        "seawall-explain.1",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.contains("seawall-help.1"));
    let help = seawall(&["--help"]).out;
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    for command in commands {
        assert!(names.contains(&format!("seawall-{command}.1")), "{command}");
    }
    let page = std::fs::read_to_string(out.join("seawall-check.1")).unwrap();
    assert!(page.contains(".TH seawall-check 1"), "{page}");
    assert!(
        page.contains("Exit status") || page.contains("\\-\\-env"),
        "{page}"
    );
}

#[test]
fn a_rule_that_is_tested_too_little_fails() {
    let folder = tempfile::tempdir().unwrap();
    let rule = folder.path().join("naming/example");
    std::fs::create_dir_all(&rule).unwrap();
    let text = "# METADATA\n# title: t\n# description: d\n# custom: { code: ACME0101, severity: error }\n\
        package acme.rules.naming.example\n\nimport rego.v1\n\n\
        deny contains finding if {\n    some id, dataset in input.datasets\n    count(dataset.name) > 60\n    \
        finding := {\"at\": [\"datasets\", id, \"name\"], \"msg\": \"long\"}\n}\n";
    std::fs::write(rule.join("rule.rego"), text).unwrap();
    let test = "package acme.rules.naming.example_test\n\nimport rego.v1\n\nimport data.acme.rules.naming.example\n\n\
        test_nothing if { count(example.deny) == 0 with input as {\"datasets\": {}} }\n";
    std::fs::write(rule.join("rule_test.rego"), test).unwrap();
    let rules = folder.path().to_str().unwrap();
    let ran = seawall(&["test", "--rules", rules, "--coverage-min", "60"]);
    assert_eq!(ran.status, 1);
    let line = ran
        .out
        .lines()
        .find(|line| line.starts_with("FAILED  naming/example: SW0403"))
        .unwrap_or_else(|| panic!("{}", ran.out));
    assert!(
        line.ends_with("% of its lines are reached by unit tests, 60 % are asked for"),
        "{line}"
    );
    let built_in = seawall(&["test", "--coverage-min", "80"]);
    assert_eq!(built_in.status, 0, "{}", built_in.out);
    assert_eq!(seawall(&["test", "--coverage-min", "101"]).status, 2);
}
