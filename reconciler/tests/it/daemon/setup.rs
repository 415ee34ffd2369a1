//! The configuration before there is a daemon: the first one from the published policy, and what is wrong with one.

use std::path::{Path, PathBuf};
use std::process::Command;

use contract::digest::Digest;
use rstest::rstest;
use serde_json::Value;

use super::world::{World, installed, key, root};

/// `SEAWALL_WRITE_DOCS=1` writes it anew.
#[test]
fn the_schema_of_the_configuration_is_checked_in() {
    let path = schema();
    let text =
        serde_json::to_string_pretty(&reconciler::config::schema::document()).unwrap() + "\n";
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{} is not what `seawalld config schema` prints",
        path.display()
    );
}

fn schema() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/seawalld-config.json")
}

/// What an editor finds with the schema: an independent implementation reads it.
fn found_by_the_schema(configuration: &Path) -> usize {
    let program = "import json, sys, yaml, jsonschema_rs
schema = json.load(open(sys.argv[1]))
jsonschema_rs.meta.validate(schema)
value = yaml.load(open(sys.argv[2]), Loader=yaml.BaseLoader)
def read(value):
    if isinstance(value, dict): return {name: read(one) for name, one in value.items()}
    if isinstance(value, list): return [read(one) for one in value]
    return int(value) if value.isdigit() else {'true': True, 'false': False}.get(value, value)
print(len(list(jsonschema_rs.Draft202012Validator(schema).iter_errors(read(value)))))";
    let ran = Command::new(installed("schemathesis/bin/python"))
        .args(["-c", program])
        .arg(schema())
        .arg(configuration)
        .output()
        .expect("scripts/setup installs it");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    String::from_utf8(ran.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn a_good_configuration_passes_the_check_and_the_schema() {
    let world = World::new();
    let said = world.expect(0, &["config", "check"]);
    assert!(said.contains("well-formed"), "{said}");
    assert_eq!(found_by_the_schema(&world.path("seawalld.yaml")), 0);
    assert_eq!(world.json(0, &["config", "check"]), serde_json::json!([]));
}

/// Each with its line, what to do, and, where the shape is wrong, a finding of the schema as well.
#[rstest]
#[case::field(
    "interval: PT1S",
    "intervall: PT1S",
    3,
    "did you mean `interval`?",
    true
)]
#[case::missing("environment: dev\n", "", 1, "docs/operate.md", true)]
#[case::duration("interval: PT1S", "interval: 1s", 3, "PT15M", true)]
#[case::zero(
    "interval: PT1S",
    "interval: PT0S",
    3,
    "write a duration such as",
    false
)]
#[case::path("loc_b: { path: /", "loc_b: { path: ", 7, "begin it with `/`", false)]
#[case::connector("files: {", "folder: {", 9, "files", true)]
#[case::number(
    "interval: PT1S",
    "interval: PT1S\nworkers: many",
    4,
    "docs/operate.md",
    true
)]
#[case::too_many(
    "interval: PT1S",
    "interval: PT1S\nworkers: 999",
    4,
    "leave it out for 8",
    false
)]
#[case::pin("root_sha256: ", "root_sha256: x", 5, "docs/operate.md", true)]
#[case::url(
    "git: { url: /",
    "git: { url: git@host:",
    4,
    "ssh://git@host/path",
    false
)]
#[case::placeholder(
    "branch: main",
    "branch: TODO",
    4,
    "write the value of this machine",
    false
)]
#[case::twice(
    "interval: PT1S",
    "interval: PT1S\ninterval: PT2S",
    4,
    "docs/operate.md",
    false
)]
fn a_mistake_is_found_with_its_line_and_what_to_do(
    #[case] good: &str,
    #[case] bad: &str,
    #[case] line: usize,
    #[case] help: &str,
    #[case] is_of_shape: bool,
) {
    let world = World::new();
    world.configure(&[(good, bad)]);
    let said = world.refused(2, &["config", "check"]);
    let place = format!("seawalld.yaml:{line}:");
    assert!(
        said.contains(&place) || (line == 1 && said.contains("SW1202")),
        "{said}"
    );
    assert!(said.contains(help), "{said}");
    if is_of_shape {
        assert!(
            found_by_the_schema(&world.path("seawalld.yaml")) > 0,
            "{bad}"
        );
    }
}

/// One run of `config check` shows all of them, in the order of the file.
#[test]
fn all_mistakes_are_shown_at_once() {
    let world = World::new();
    world.configure(&[
        ("interval: PT1S", "interval: PT0S\nworkers: 0"),
        ("loc_b: { path: /", "loc_b: { path: "),
        ("branch: main", "branch: '..'"),
    ]);
    let found = world.json(2, &["config", "check"]);
    let messages: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    for (message, field) in messages
        .iter()
        .zip(["interval", "workers", "git.branch", "loc_b"])
    {
        assert!(message.contains(field), "{messages:?}");
    }
}

/// Runs `init` for the world's policy, trusting a root by its pin; gives what was said.
fn init(world: &World, status: i32, pin: &str) -> String {
    let (policy, out) = (world.path("policy"), world.path("first.yaml"));
    let mut arguments = vec!["init", "--env", "dev", "--reconciler", "rec", "--git"];
    arguments.push(policy.to_str().unwrap());
    arguments.extend(["--root-sha256", pin, "--out", out.to_str().unwrap()]);
    if status == 0 {
        world.expect(0, &arguments)
    } else {
        world.refused(status, &arguments)
    }
}

/// The pin of the world's root.
fn pin() -> String {
    Digest::of(&root().seal(&[&key("ada")]).unwrap().payload).to_string()
}

#[test]
fn init_writes_what_has_to_be_bound_and_replaces_nothing() {
    let world = World::new();
    let out = world.path("first.yaml");
    let said = init(&world, 0, &pin());
    assert!(said.contains("fill in each `TODO`"), "{said}");
    let text = std::fs::read_to_string(&out).unwrap();
    for id in ["loc_a:", "loc_b:", "k1:", "ds_files:", "files:"] {
        assert!(text.contains(id), "{id}: {text}");
    }
    assert!(init(&world, 4, &pin()).contains("cannot be written"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), text);
    // Every gap is a finding with its line, and what is filled in is a configuration.
    let checked = ["config", "check"];
    std::fs::copy(&out, world.path("seawalld.yaml")).unwrap();
    let gaps = world.json(2, &checked);
    assert_eq!(
        gaps.as_array().unwrap().len(),
        text.lines().filter(|line| line.contains(": TODO")).count(),
        "{gaps}"
    );
    let filled: String = text
        .lines()
        .enumerate()
        .map(|(number, line)| line.replace(": TODO", &format!(": /srv/{number}")) + "\n")
        .collect();
    std::fs::write(world.path("seawalld.yaml"), filled).unwrap();
    world.expect(0, &checked);
    assert_eq!(found_by_the_schema(&world.path("seawalld.yaml")), 0);
}

/// A database that is bound as a file is copied while it is written, and no check of the copy notices.
#[test]
fn init_proposes_the_connector_of_the_store_type_and_a_weaker_one_is_refused() {
    let mut world = World::new();
    world.model["datasets"]["ds_files"]["store_type"] = "sqlite".into();
    let connector = &mut world.model["settings"]["connectors"]["files"];
    connector["consistency"] = "transaction".into();
    connector["capabilities"] = serde_json::json!(["backup", "restore_in_place"]);
    let channel = |id: &str, medium: &str| serde_json::json!({ "channel_id": id, "name": "n\r  evil: 1", "medium": medium });
    world.model["settings"]["channels"] = serde_json::json!({
        "c": channel("c", "chat"), "m": channel("m", "mail"), "p": channel("p", "paging"), "w": channel("w", "webhook"),
    });
    world.model["settings"]["alerts"] = serde_json::json!({ "all": {
        "alert_id": "all", "tiers": ["tier1"], "thresholds": [],
        "escalation": [{ "after_s": 0, "channels": ["c", "m", "p", "w"] }],
    }});
    world.publish();
    let out = world.path("first.yaml");
    init(&world, 0, &pin());
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("\n    sqlite:\n      path: TODO"), "{text}");
    assert!(
        text.contains("`sqlite` does less than policy relies on"),
        "{text}"
    );
    assert!(!text.contains("\n    files:"), "{text}");
    assert!(
        !text
            .lines()
            .any(|line| line.trim_start().starts_with("evil")),
        "{text}"
    );
    // Every gap of the channels is found, whatever its place on the line.
    let bound = std::fs::read(world.path("seawalld.yaml")).unwrap();
    std::fs::copy(&out, world.path("seawalld.yaml")).unwrap();
    let gaps = world.json(2, &["config", "check"]).to_string();
    for gap in [
        "channels.c.slack.url_file",
        "channels.m.mail.host",
        "channels.m.mail.to",
        "channels.p.pagerduty",
        "channels.w.webhook.url",
    ] {
        assert!(gaps.contains(gap), "{gap}: {gaps}");
    }
    // The world binds it as files.
    std::fs::write(world.path("seawalld.yaml"), bound).unwrap();
    let found = world.json(1, &["doctor"]).to_string();
    assert!(
        found.contains("`files` gives `file` consistency, policy relies on `transaction`"),
        "{found}"
    );
}

/// Nothing is written from a policy that is not the pinned one's.
#[test]
fn init_trusts_the_pin_alone() {
    let world = World::new();
    let out = world.path("first.yaml");
    let refused = init(&world, 3, &"00".repeat(32));
    assert!(refused.contains("error[SW05"), "{refused}");
    assert!(!out.exists());
}

#[test]
fn every_command_has_completions_and_a_manual_page() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = world.expect(0, &["completions", shell]);
        assert!(text.contains("accept-loss"), "{shell}");
    }
    let folder = world.path("man");
    std::fs::create_dir(&folder).unwrap();
    world.expect(0, &["man", "--out", folder.to_str().unwrap()]);
    for page in [
        "seawalld.1",
        "seawalld-restore.1",
        "seawalld-config-check.1",
    ] {
        assert!(folder.join(page).exists(), "{page}");
    }
    let help: Value = world.expect(0, &["--help"]).into();
    let help = help.as_str().unwrap().to_owned();
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|name| *name != "help") {
        let page = folder.join(format!("seawalld-{command}.1"));
        assert!(page.exists(), "{command}");
    }
}

/// The page for the worst hour knows every condition that a status can show, and names no code that there is not.
#[test]
fn the_manual_knows_every_condition() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manual = std::fs::read_to_string(root.join("docs/operate.md")).unwrap();
    let codes: Vec<&str> = manual
        .match_indices("SW")
        .filter_map(|(at, _)| manual.get(at..at + 6))
        .filter(|code| code[2..].chars().all(|it| it.is_ascii_digit()))
        .collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in &codes {
        assert!(
            root.join(format!("docs/codes/{code}.md")).exists(),
            "{code}"
        );
    }
    let status = std::fs::read_to_string(root.join("reconciler/src/status.rs")).unwrap()
        + &std::fs::read_to_string(root.join("reconciler/src/status/own.rs")).unwrap();
    let list = std::fs::read_to_string(root.join("contract/src/code.rs")).unwrap();
    for (at, _) in status.match_indices("code::") {
        let name: String = status[at + 6..]
            .chars()
            .take_while(|it| it.is_ascii_uppercase() || *it == '_')
            .collect();
        let number = list.lines().find_map(|line| {
            line.trim()
                .strip_prefix(&format!("{name} = "))?
                .split(' ')
                .next()
        });
        let Some(number) = number else { continue };
        let code = format!("SW{number:0>4}");
        assert!(
            codes.contains(&code.as_str()),
            "docs/operate.md says nothing of {code} ({name})"
        );
    }
}
