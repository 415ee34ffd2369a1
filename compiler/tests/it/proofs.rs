//! `docs/proofs.md` shows four proofs with their witnesses: it is written here, from real runs, and compared.

use std::fmt::Write as _;
use std::fs;

use crate::cli::Ran;
use crate::repository::Repository;
use crate::trees::repository;

const SETTINGS: &str = "policies/settings.yaml";
const THIRD: &str = "\
kind: Location
location_id: third
site: backup
fault_domains: { provider: other, region: south, zone: south-1, account: vault, credential: vault-writer }
residency: eu
class: hot
immutable: false
capacity: 1TiB
bandwidth: 100MiB/s
---
# The key is kept";

type Edits = &'static [(&'static str, &'static str)];

type Texts = &'static [&'static str];

/// A title and what is asked, the edits of the smallest tree that make it, the commands, and what they must say.
const FOUR: [(&str, &str, Edits, Texts, Texts); 4] = [
    (
        "A daily backup, three locations, two to commit",
        "`30 2 * * *` in Berlin, complete within 2 h, one miss tolerated, copied within 4 h. On ordinary days two days lie between \
         the slots that count: 50 h, and 54 h where only the copy is left that came later. When summer time ends there is an hour more.",
        &[
            (
                "effective_from: 2026-11-01T00:00:00Z",
                "effective_from: 2026-10-01T00:00:00Z",
            ),
            ("every: PT1H", "cron: 30 2 * * *\ntimezone: Europe/Berlin"),
            ("completion_window: PT20M", "completion_window: PT2H"),
            ("- { at: gsmd:schedules/hourly/every, value: P1D }", ""),
            ("# The key is kept", THIRD),
            ("locations: [near, far]", "locations: [near, far, third]"),
            ("copies: 2", "copies: 3"),
            ("commit: 1", "commit: 2"),
            ("copy_within: PT30M", "copy_within: PT4H"),
        ],
        &["prove"],
        &[
            "51 h",
            "55 h",
            "2026-10-24T02:30:00+02:00",
            "2026-10-24T00:30:00Z",
        ],
    ),
    (
        "Every two hours, and one night in spring",
        "`0 */2 * * *` in Berlin, complete within 20 min, no miss tolerated, an RPO of 2 h 30 min. It holds every night but one: on \
         2027-03-28 there is no two o'clock.",
        &[
            ("every: PT1H", "cron: 0 */2 * * *\ntimezone: Europe/Berlin"),
            ("tolerated_misses: 1", "tolerated_misses: 0"),
            ("rpo: PT3H", "rpo: PT2H30M"),
            ("- { at: gsmd:schedules/hourly/every, value: P1D }", ""),
        ],
        &["check", "prove"],
        &["SW0301", "3 h 20 min", "2027-03-28T00:00:00+01:00"],
    ),
    (
        "Hourly increments and an RPO of 15 minutes",
        "The numbers of a design document that nobody had multiplied: WAL and increments every hour, an RPO of 15 minutes.",
        &[
            ("rpo: PT3H", "rpo: PT15M"),
            ("tolerated_misses: 1", "tolerated_misses: 0"),
        ],
        &["check"],
        &["SW0301", "1 h 20 min", "15 min"],
    ),
    (
        "Every dataset looks covered, and one region takes data and key",
        "Two copies in two regions, a plan that runs, no loss above the objective while everything stands. The key is kept in the \
         region of the live data: when that goes, the copy that is left is of no use.",
        &[("custody: host:offline-safe", "custody: region:west")],
        &["check", "prove"],
        &["SW0316", "the key is lost", "  region:west\n"],
    ),
];

fn world(edits: Edits) -> Repository {
    let world = Repository::of("fixtures/valid/minimal", false);
    for (from, to) in edits {
        world.edit(SETTINGS, from, to);
    }
    world
}

fn ran(world: &Repository, command: &str) -> Ran {
    match command {
        "check" => world.check(&["--env", "production"]),
        _ => world.run(
            &["prove", "policies", "ds_documents", "--env", "production"],
            &[],
        ),
    }
}

fn page() -> String {
    let mut page = "\
# Four proofs

Each is the smallest tree of policy (`fixtures/valid/minimal`) with the edits that are shown, and what the program says of it. A
test writes this page from real runs, and holds that the numbers are those that a person gets with a calendar.
"
    .to_owned();
    for (title, why, edits, commands, wanted) in FOUR {
        let world = world(edits);
        let mut told = String::new();
        let _ = write!(page, "\n## {title}\n\n{why}\n\n```diff\n");
        for (from, to) in edits.iter().filter(|(from, _)| !from.starts_with('#')) {
            let _ = writeln!(page, "-{from}");
            for line in to.lines() {
                let _ = writeln!(page, "+{line}");
            }
        }
        page.push_str("```\n");
        for command in commands {
            let Ran { status, out, err } = ran(&world, command);
            assert_eq!(
                (status, err.as_str()),
                (i32::from(*command == "check"), ""),
                "{title}"
            );
            let typed = match *command {
                "check" => "seawall check policies --env production".to_owned(),
                _ => "seawall prove policies ds_documents --env production".to_owned(),
            };
            let _ = write!(page, "\n`{typed}`\n\n```text\n{out}```\n");
            told.push_str(&out);
        }
        for text in wanted {
            assert!(told.contains(text), "{title}: {text} is not in\n{told}");
        }
    }
    page
}

/// Whatever is asked, of trees with every sort of fault, what is printed is of the published shape.
#[test]
fn proofs_as_json_are_what_their_schema_says() {
    let schema = fs::read_to_string(repository().join("schemas/proofs.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let policies = Repository::of("policies", false);
    let mut asked: Vec<(&Repository, Vec<&str>)> = vec![
        (&policies, vec![]),
        (&policies, vec!["ds_trust_roots"]),
        (&policies, vec!["--lose", "region:eu-west-1"]),
    ];
    let worlds: Vec<Repository> = FOUR.iter().map(|(_, _, edits, ..)| world(edits)).collect();
    asked.extend(worlds.iter().map(|world| (world, vec![])));
    // A condition that does not hold, and a plan without slots.
    let late = world(&[("completion_window: PT20M", "completion_window: PT2H")]);
    let continuous = world(&[("every: PT1H", "continuous: { max_lag: PT5M }")]);
    asked.extend([(&late, vec![]), (&continuous, vec![])]);
    let mut whole = 0;
    for (world, more) in asked {
        let arguments = [
            "prove",
            "policies",
            "--env",
            "production",
            "--format",
            "json",
        ];
        let ran = world.run(&[&arguments[..], &more].concat(), &[]);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let faults: Vec<String> = schema
            .iter_errors(&told)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{more:?}: {faults:?}");
        assert_eq!(told["locations"].is_object(), more.is_empty());
        whole += usize::from(more.is_empty());
    }
    assert_eq!(whole, 7);
}

#[test]
fn the_page_of_four_proofs_is_what_the_program_prints() {
    let path = repository().join("docs/proofs.md");
    let page = page();
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|stands| stands == page),
        "docs/proofs.md is not what the program prints; write it with: \
         SEAWALL_WRITE_DOCS=1 cargo nextest run --workspace --release -E 'test(page_of_four_proofs)'"
    );
}

/// Runs `seawall prove` on everything, as people and as programs read it.
fn proven(world: &Repository) -> (String, serde_json::Value) {
    let human = world.run(&["prove", "policies", "--env", "production"], &[]);
    let arguments = [
        "prove",
        "policies",
        "--env",
        "production",
        "--format",
        "json",
    ];
    let json = world.run(&arguments, &[]);
    assert_eq!(
        (human.status, json.status),
        (0, 0),
        "{} {}",
        human.err,
        json.err
    );
    (human.out, serde_json::from_str(&json.out).unwrap())
}

#[test]
fn a_key_that_hangs_on_itself_is_found_and_shown() {
    let world = world(&[(
        "custody: host:offline-safe",
        "custody: host:offline-safe\nkept_in: ds_documents",
    )]);
    let found = world.check(&["--env", "production"]);
    assert_eq!(found.status, 1);
    let way = "backup-01 → ds_documents → bp_documents → backup-01";
    for text in ["SW0330", "key `backup-01` hangs on itself", way] {
        assert!(found.out.contains(text), "{}", found.out);
    }
    let (human, json) = proven(&world);
    assert!(
        human.contains("Keys that data holds") && human.contains(way),
        "{human}"
    );
    let key = &json["keys"]["backup-01"];
    assert_eq!(
        (&key["recoverable"], &key["hangs_on"]),
        (&false.into(), &"itself".into())
    );
    // To lose the live data alone is to lose the key with it.
    assert_eq!(
        json["datasets"]["ds_documents"]["loss"]["none"]["why"],
        "key_lost"
    );
    let one = ran(&world, "prove").out;
    assert!(
        one.contains("  nothing: what is left cannot be read\n"),
        "{one}"
    );
}

#[test]
fn a_plan_that_protects_nothing_is_shown() {
    let plain = world(&[]);
    let (human, json) = proven(&plain);
    assert!(!human.contains("Plans that protect nothing"), "{human}");
    assert_eq!(json["plans"]["bp_documents"]["orphan"], false);
    plain.edit(
        "policies/inventory.yaml",
        "eligibility: backed_up",
        "eligibility: excluded\njustification: made anew each day",
    );
    let (human, json) = proven(&plain);
    assert!(human.contains("Plans that protect nothing"), "{human}");
    assert_eq!(json["plans"]["bp_documents"]["orphan"], true);
    let found = plain.check(&["--env", "production"]);
    assert!(found.out.contains("SW0305"), "{}", found.out);
}
