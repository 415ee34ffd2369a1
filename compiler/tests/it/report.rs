//! `seawall report`: which clause of a framework is met by which rule, for which data; and that no silence is taken for a
//! proof. RET-5.

use std::fs;

use rstest::rstest;
use serde_json::Value;

use crate::cli::{Ran, seawall};
use crate::repository::{AT, Repository};
use crate::trees;

const FORMS: [&str; 3] = ["human", "json", "markdown"];
const RETENTION: &str = "policies/settings/retention.yaml";
const PLAN: &str = "policies/plans/product_cloud.yaml";

fn report(world: &Repository, framework: &str, more: &[&str]) -> Ran {
    let arguments = [
        &["report", "policies", "--framework", framework],
        &["--env", "production", "--at", AT],
        more,
    ]
    .concat();
    world.run(&arguments, &[])
}

/// The JSON form, which must be what its schema says.
fn json(world: &Repository, framework: &str, more: &[&str]) -> (i32, Value) {
    let ran = report(world, framework, &[&["--format", "json"], more].concat());
    let document: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    let schema = fs::read_to_string(trees::repository().join("schemas/report.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let wrong: Vec<String> = schema
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(document["format"], 1);
    (ran.status, document)
}

fn clause<'a>(document: &'a Value, id: &str) -> &'a Value {
    let clauses = document["clauses"].as_array().unwrap();
    let mut found = clauses.iter().filter(|clause| clause["id"] == id);
    found.next().unwrap_or_else(|| panic!("no {id}"))
}

fn verdict<'a>(document: &'a Value, id: &str) -> &'a str {
    clause(document, id)["verdict"].as_str().unwrap()
}

/// The rule of a clause with this code.
fn proof<'a>(document: &'a Value, id: &str, code: &str) -> &'a Value {
    let proofs = clause(document, id)["proofs"].as_array().unwrap();
    let mut found = proofs.iter().filter(|proof| proof["code"] == code);
    found.next().unwrap_or_else(|| panic!("no {code}"))
}

fn frameworks() -> Vec<String> {
    let known = compiler::frameworks::known();
    known.into_iter().map(|framework| framework.id).collect()
}

/// Everything that can be shown of the shipped policy is met, in every environment and of every framework.
#[test]
fn the_shipped_policy_meets_what_can_be_shown() {
    let world = Repository::bare("policies", false);
    for framework in frameworks() {
        let (status, document) = json(&world, &framework, &[]);
        assert_eq!(status, 0, "{framework}");
        let summary = &document["summary"];
        assert_eq!(summary["not_met"], 0, "{framework}");
        assert_eq!(summary["unknown"], 0, "{framework}");
        assert!(summary["met"].as_u64().unwrap() >= 5, "{framework}");
        for clause in document["clauses"].as_array().unwrap() {
            let id = &clause["id"];
            match clause["verdict"].as_str().unwrap() {
                "met" => {
                    assert!(clause["reason"].is_null(), "{id}");
                    let proofs = clause["proofs"].as_array().unwrap();
                    assert!(!proofs.is_empty(), "{id}");
                    assert!(proofs.iter().all(|proof| proof["answered"] == true), "{id}");
                    let seen = clause["looked_at"].as_array();
                    assert!(seen.is_none_or(|seen| !seen.is_empty()), "{id}");
                }
                "not_shown_here" => assert!(clause["reason"].is_string(), "{id}"),
                other => panic!("{framework} {id}: {other}"),
            }
        }
    }
}

#[test]
fn the_data_are_counted_by_tier_and_what_is_excluded_is_named() {
    let world = Repository::bare("policies", false);
    let (_, document) = json(&world, "nist-csf", &[]);
    let compilation = trees::compiled(&trees::read("policies"), "production");
    let model = compilation.model.unwrap();
    let sealed = compilation.sealed.unwrap();
    assert_eq!(
        document["policy_snapshot_hash"],
        sealed.snapshot_hash.to_string()
    );
    let tiers = document["data"]["tiers"].as_array().unwrap();
    let names: Vec<&str> = tiers.iter().map(|t| t["tier"].as_str().unwrap()).collect();
    assert_eq!(names, ["tier0", "tier1", "tier2", "tier3"]);
    for tier in tiers {
        let own = model.datasets.values();
        let own = own.filter(|d| d.criticality.as_str() == tier["tier"]);
        assert_eq!(tier["datasets"], own.count(), "{tier}");
        let parts = ["backed_up", "reconstructed", "excluded"];
        let parts = parts.map(|part| tier[part].as_u64().unwrap());
        assert_eq!(parts.iter().sum::<u64>(), tier["datasets"], "{tier}");
    }
    let excluded: Vec<&str> = document["data"]["excluded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["dataset"].as_str().unwrap())
        .collect();
    let wanted = model.datasets.values();
    let wanted = wanted.filter(|d| d.justification.is_some());
    let wanted: Vec<&str> = wanted.map(|d| d.dataset_id.as_str()).collect();
    assert!(!wanted.is_empty());
    assert_eq!(excluded, wanted);
}

/// A plan that loses too much breaks the clauses that rest on the proof, names the data, and leaves the other clauses alone.
#[test]
fn a_broken_clause_names_the_data() {
    let world = Repository::bare("policies", false);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    let (status, document) = json(&world, "cis-8", &[]);
    assert_eq!(status, 1);
    assert_eq!(verdict(&document, "11.2"), "not_met");
    let affected = &clause(&document, "11.2")["with_findings"];
    assert_eq!(affected[0]["tier"], "tier0", "{affected}");
    assert_eq!(affected[0]["datasets"][0], "ds_global_settings");
    assert_eq!(affected.as_array().unwrap().len(), 1);
    let proof = proof(&document, "11.2", "SW0301");
    let finding = &proof["findings"][0];
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["datasets"][0], "ds_global_settings");
    assert!(finding["waived_by"].is_null());
    assert_eq!(verdict(&document, "11.5"), "met");
    assert_eq!(document["stopping"], 1);
    let human = report(&world, "cis-8", &[]);
    assert_eq!(human.status, 1);
    for line in [
        "not met           11.2: backups run automatically",
        "1 finding about 1 dataset of tier0",
        "error[SW0301]: worst-case loss of `ds_global_settings`",
        "1 finding stops signing",
    ] {
        assert!(human.out.contains(line), "{line}\n{}", human.out);
    }
}

/// A finding of a rule that bears on several clauses touches those that it names alone.
#[test]
fn a_finding_touches_the_clauses_that_it_names() {
    let world = Repository::bare("policies", false);
    let locations = "policies/settings/locations.yaml";
    let text = fs::read_to_string(world.path(locations)).unwrap();
    world.write(
        locations,
        &text.replace("immutable: true", "immutable: false"),
    );
    let (status, document) = json(&world, "3-2-1-1-0", &[]);
    assert_eq!(status, 1);
    let verdicts = ["3", "2", "1-offsite", "1-locked", "0"].map(|id| verdict(&document, id));
    assert_eq!(verdicts, ["met", "met", "met", "not_met", "met"]);
    let found = proof(&document, "1-locked", "SW0320");
    assert!(found["findings"].as_array().unwrap().len() > 10, "{found}");
    let (_, document) = json(&world, "aws-backup-audit-manager", &[]);
    for (id, wanted) in [
        ("BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK", "not_met"),
        ("RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT", "not_met"),
        ("BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION", "met"),
        ("BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT", "met"),
        ("BACKUP_LAST_RECOVERY_POINT_CREATED", "not_shown_here"),
    ] {
        assert_eq!(verdict(&document, id), wanted, "{id}");
    }
}

const WAIVER: &str = "\
kind: Waiver
waiver_id: wv_settings
code: SW0301
targets: [datasets/ds_global_settings]
environments: [production]
owner: service_owner
reason: the faster store arrives in December
expiry: 2027-01-15T00:00:00Z
bound: P2D
";

#[test]
fn an_accepted_finding_is_met_with_waivers() {
    let world = Repository::bare("policies", false);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    world.write("policies/waivers.yaml", WAIVER);
    let (status, document) = json(&world, "cis-8", &[]);
    assert_eq!(status, 0);
    assert_eq!(verdict(&document, "11.2"), "met_with_waivers");
    assert_eq!(document["summary"]["met_with_waivers"], 1);
    let by = &proof(&document, "11.2", "SW0301")["findings"][0]["waived_by"];
    assert_eq!(by["waiver"], "wv_settings");
    assert_eq!(by["owner"], "service_owner");
    assert_eq!(by["expiry"], "2027-01-15T00:00:00Z");
    let none = &clause(&document, "11.2")["with_findings"];
    assert_eq!(none.as_array().unwrap().len(), 0);
    let human = report(&world, "cis-8", &[]).out;
    let markdown = report(&world, "cis-8", &["--format", "markdown"]).out;
    assert!(human.contains("met with waivers  11.2: "), "{human}");
    assert!(
        human.contains("by `wv_settings` of `service_owner` until"),
        "{human}"
    );
    assert!(
        markdown.contains("by `wv_settings` of `service_owner` until 2027-01-15T00:00:00Z"),
        "{markdown}"
    );
    // What waivers there are is judged too, and only then.
    assert_eq!(verdict(&json(&world, "soc-2", &[]).1, "CC3.2"), "met");
    world.edit("policies/waivers.yaml", "2027-01-15", "2026-11-19");
    let (status, document) = json(&world, "cis-8", &[]);
    assert_eq!((status, verdict(&document, "11.2")), (1, "not_met"));
}

/// Without a model no rule ran: everything that rules could show is unknown, and why is told beside the report.
#[test]
fn without_a_model_nothing_is_known() {
    let world = Repository::bare("policies", false);
    world.edit(RETENTION, "min_duration: P7D", "min_duration: P1Y");
    let (status, document) = json(&world, "nist-csf", &[]);
    assert_eq!(status, 1);
    assert_eq!(document["judged"], false);
    assert_eq!(document["summary"]["met"], 0);
    assert_eq!(verdict(&document, "PR.DS-11"), "unknown");
    assert_eq!(verdict(&document, "RC.RP-01"), "not_shown_here");
    assert!(clause(&document, "PR.DS-11")["reason"].is_string());
    let human = report(&world, "nist-csf", &[]);
    assert_eq!(human.status, 1);
    assert!(human.err.contains("error[SW0110]"), "{}", human.err);
    assert!(
        human.out.contains("unknown           PR.DS-11: "),
        "{}",
        human.out
    );
    let markdown = report(&world, "nist-csf", &["--format", "markdown"]);
    assert!(markdown.out.contains("| unknown |"), "{}", markdown.out);
    let elsewhere = world.run(
        &[
            "report",
            "policies",
            "--framework",
            "nist-csf",
            "--env",
            "nowhere",
            "--at",
            AT,
        ],
        &[],
    );
    assert_eq!(elsewhere.status, 1);
    assert!(elsewhere.out.contains("unknown           PR.DS-11: "));
}

/// Rules that look at critical data alone show nothing where there is none.
#[test]
fn silence_about_no_data_is_no_proof() {
    let world = Repository::bare("fixtures/valid/minimal", false);
    let (status, document) = json(&world, "aws-backup-audit-manager", &[]);
    assert_eq!(status, 0);
    for (id, wanted) in [
        ("BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN", "met"),
        ("BACKUP_RECOVERY_POINT_ENCRYPTED", "met"),
        ("RESTORE_TIME_FOR_RESOURCES_MEET_TARGET", "met"),
        (
            "BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED",
            "not_shown_here",
        ),
        (
            "BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK",
            "not_shown_here",
        ),
        (
            "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK",
            "not_shown_here",
        ),
        (
            "BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT",
            "not_shown_here",
        ),
        ("RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT", "not_shown_here"),
    ] {
        assert_eq!(verdict(&document, id), wanted, "{id}");
    }
    for (framework, ids) in [
        (
            "nist-800-53",
            "CP-2 CP-4 CP-6 CP-7 CP-9(7) SI-4 PM-4 RA-3 SI-12",
        ),
        ("dora", "12(1)(b) 12(2) 12(3) 12(7)"),
        ("3-2-1-1-0", "3 2 1-offsite 1-locked 0"),
        ("soc-2", "A1.3 CC3.2 CC7.2 C1.2"),
    ] {
        let (_, document) = json(&world, framework, &[]);
        for id in ids.split(' ') {
            assert_eq!(verdict(&document, id), "not_shown_here", "{framework} {id}");
        }
    }
}

/// A rule of an organisation, with this body, that says it bears on these clauses.
fn rule(world: &Repository, controls: &str, body: &str) {
    let text = format!(
        "# METADATA\n# title: t\n# description: d\n# custom:\n#   code: ACME0101\n#   severity: warning\n\
         #   controls: [{controls}]\npackage acme.rules.own.one\n\nimport rego.v1\n\n{body}\n"
    );
    world.write("own/own/one/rule.rego", &text);
}

const FINDS: &str = "deny contains {\"at\": [\"plans\", id, \"name\"], \"msg\": \"a name\"} if some id, _ in input.plans";

/// An organisation's own rule counts as much as a built-in one, also for a clause that no built-in rule shows.
#[test]
fn own_rules_bear_on_clauses() {
    let world = Repository::bare("fixtures/valid/minimal", false);
    let own = ["--rules", "own"];
    rule(&world, "SOC 2 A1.1, SOC 2 A1.2, SOC 2 A9.9, ACME 1", FINDS);
    let (status, document) = json(&world, "soc-2", &own);
    assert_eq!(status, 1);
    assert_eq!(verdict(&document, "A1.1"), "not_met");
    assert_eq!(verdict(&document, "A1.2"), "not_met");
    assert_eq!(verdict(&document, "CC6.1"), "met");
    let affected = &clause(&document, "A1.1")["with_findings"];
    assert_eq!(affected[0]["datasets"][0], "ds_documents");
    let unplaced = &document["unplaced"];
    assert_eq!(unplaced[0]["control"], "SOC 2 A9.9");
    assert_eq!(unplaced.as_array().unwrap().len(), 1);
    assert_eq!(document["rules"]["organisation"], 1);
    for form in ["human", "markdown"] {
        let ran = report(&world, "soc-2", &[&own[..], &["--format", form]].concat());
        assert!(ran.out.contains("names `SOC 2 A9.9`"), "{}", ran.out);
    }
    rule(&world, "SOC 2 A1.1", "deny contains {} if false");
    let (status, document) = json(&world, "soc-2", &own);
    assert_eq!((status, verdict(&document, "A1.1")), (0, "met"));
}

/// A rule that errs, or finds something about a clause that it does not name, is never a pass.
#[rstest]
#[case::errs(
    "deny contains {\"at\": [\"plans\"], \"msg\": \"m\"} if {\n\tsome _, dataset in input.datasets\n\t\
     to_number(dataset.name) < 1\n}"
)]
#[case::finds_what_it_does_not_name(
    "deny contains {\"at\": [\"plans\"], \"msg\": \"m\", \"controls\": [\"SOC 2 C1.1\"]} if true"
)]
fn a_rule_without_an_answer_leaves_its_clause_unknown(#[case] body: &str) {
    let world = Repository::bare("fixtures/valid/minimal", false);
    rule(&world, "SOC 2 A1.1, SOC 2 A1.2", body);
    let (status, document) = json(&world, "soc-2", &["--rules", "own"]);
    assert_eq!(status, 1);
    assert_eq!(verdict(&document, "A1.1"), "unknown");
    assert_eq!(verdict(&document, "A1.2"), "unknown");
    assert_eq!(verdict(&document, "CC6.1"), "met");
    let reason = clause(&document, "A1.2")["reason"].as_str().unwrap();
    assert_eq!(reason, "no answer from rule `own/one`");
    assert_eq!(proof(&document, "A1.2", "ACME0101")["answered"], false);
}

/// Of a rule that cannot be loaded nobody knows on which clauses it bears: there is no report.
#[test]
fn a_rule_that_cannot_be_loaded_leaves_no_report() {
    let world = Repository::bare("fixtures/valid/minimal", false);
    rule(&world, "SOC 2 A1.1", "deny contains");
    let ran = report(&world, "soc-2", &["--rules", "own"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("SW0402"), "{}", ran.err);
}

/// The same tree gives the same bytes in every form, whatever order its files were made in.
#[test]
fn one_tree_has_one_report() {
    let worlds = [false, true].map(|backwards| {
        let world = Repository::bare("policies", backwards);
        world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/nightly");
        world
    });
    for framework in ["nist-800-53", "aws-backup-audit-manager"] {
        for form in FORMS {
            let told = worlds.each_ref().map(|world| {
                let ran = report(world, framework, &["--format", form]);
                assert_eq!((ran.status, ran.err.as_str()), (1, ""));
                ran.out
            });
            assert!(told[0].contains("ds_global_settings"), "{form}");
            assert_eq!(told[0], told[1], "{form}");
        }
    }
}

#[test]
fn people_read_a_hundred_columns() {
    let world = Repository::bare("policies", false);
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/nightly");
    for framework in frameworks() {
        let ran = report(&world, &framework, &[]);
        for line in ran.out.lines() {
            assert!(line.chars().count() <= 100, "{line}");
            assert_eq!(line, line.trim_end());
        }
        assert!(!ran.out.contains('\u{1b}'));
    }
}

/// The document for auditors stands alone: head, data, clauses, details, and nothing of the policy becomes markup.
#[test]
fn markdown_stands_alone() {
    let world = Repository::bare("policies", false);
    world.edit(
        "policies/inventory/edge.yaml",
        "An agent fetches its cache again",
        "An <b>agent</b> fetches *its* cache again",
    );
    let ran = report(&world, "dora", &["--format", "markdown"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let hash = json(&world, "dora", &[]).1["policy_snapshot_hash"].clone();
    let hash = format!("| Policy snapshot | `{}` |", hash.as_str().unwrap());
    for text in [
        "# DORA, Article 12: production\n",
        "| As of | 2026-11-20T12:00:00Z |\n",
        &hash,
        "| `tier0` | 0 |",
        "An &lt;b&gt;agent&lt;/b&gt; fetches \\*its\\* cache again",
        "| `12(3)` |",
        "\n### 12(5): not shown here\n",
        "\n- `SW0325` ",
    ] {
        assert!(ran.out.contains(text), "{text}\n{}", ran.out);
    }
}

#[test]
fn frameworks_are_listed_and_misspelt_ones_are_guessed() {
    let world = Repository::bare("fixtures/valid/minimal", false);
    let missing = world.run(&["report", "policies", "--env", "production"], &[]);
    let empty = world.run(&["report", "policies", "--framework"], &[]);
    let wrong = report(&world, "nist-cfs", &[]);
    for ran in [&missing, &empty, &wrong] {
        assert_eq!((ran.status, ran.out.as_str()), (2, ""));
        for framework in frameworks() {
            assert!(ran.err.contains(&format!(" {framework}: ")), "{}", ran.err);
        }
    }
    assert!(
        wrong.err.contains("did you mean `nist-csf`"),
        "{}",
        wrong.err
    );
    let nowhere = world.run(&["report", "policies", "--framework", "dora"], &[]);
    assert_eq!((nowhere.status, nowhere.out.as_str()), (2, ""));
    assert!(
        nowhere.err.contains("`--env production`"),
        "{}",
        nowhere.err
    );
    let absent = seawall(&[
        "report",
        "/nowhere",
        "--framework",
        "dora",
        "--env",
        "production",
    ]);
    assert_eq!(absent.status, 4);
}

/// `docs/report.md` shows what the program prints for the shipped policy.
#[test]
fn the_report_page_is_what_the_program_prints() {
    let world = Repository::bare("policies", false);
    let shown = |framework: &str, form: &str| {
        let ran = report(&world, framework, &["--format", form]);
        // Digests change with every word of a policy or a rule.
        let digits = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut out = ran.out;
        let found: Vec<String> = out
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| digits(word))
            .map(str::to_owned)
            .collect();
        for digest in found {
            out = out.replace(&digest, "1a2b3c4…");
        }
        (ran.status, out)
    };
    let human = shown("nist-csf", "human");
    let markdown = shown("3-2-1-1-0", "markdown");
    world.edit(PLAN, "gsmd:schedules/every_5m", "gsmd:schedules/every_30m");
    let broken = shown("dora", "human");
    assert_eq!((human.0, markdown.0, broken.0), (0, 0, 1));
    let list: String = compiler::frameworks::known()
        .iter()
        .map(|one| format!("| `{}` | {} | {} |\n", one.id, one.title, one.covers))
        .collect();
    let page = format!(
        "\
# What a policy shows of a framework

`seawall report policies --framework nist-csf --env production` tells for each clause of a framework whether the policy meets
it, by which rules, and for which data. It proves nothing new: it puts what `seawall check` finds in the order of an auditor.

| framework | is | covers |
|---|---|---|
{list}
| verdict | means |
|---|---|
| met | every rule that bears on the clause ran, had data to look at, and found nothing, not even a warning |
| met with waivers | the same, but for what waivers accept; each with its owner and its end |
| not met | a rule found something that nobody accepted |
| unknown | a rule gave no answer, or the tree gives no model; that is never a pass |
| not shown here | policy cannot show it, or there is nothing at which its rules look; the reason is told |

The exit status is 0 when every clause that can be shown is met or accepted, 1 when one is not met or unknown. `--format json` has a
schema, `schemas/report.json`; `--format markdown` is a document to hand on. `--at` says as of when.

Clauses are told in our own words; `left open` says what stays open where a clause is met. What happened, backups that ran,
restore tests, drills, stands in the receipts of `seawalld`, not here. An organisation's rules take part when they name clauses
in `custom.controls`, also such that no built-in rule shows. Frameworks are data: `compiler/frameworks/`.

What follows is what the program prints for the shipped policy, digests cut short; a test writes this page anew and compares.

## In the terminal

`seawall report policies --framework nist-csf --env production`, exit status 0:

```text
{}```

## A plan that is too slow

The plan of `docs/pull-request.md`, every 30 minutes instead of every 5: `seawall report policies --framework dora --env production`,
exit status 1:

```text
{}```

## To hand on

`seawall report policies --framework 3-2-1-1-0 --env production --format markdown`:

````markdown
{}````
",
        human.1, broken.1, markdown.1
    );
    let path = trees::repository().join("docs/report.md");
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|stands| stands == page),
        "docs/report.md is not what the program prints; write it with: \
         SEAWALL_WRITE_DOCS=1 cargo nextest run --workspace --release -E 'test(report_page)'"
    );
}
