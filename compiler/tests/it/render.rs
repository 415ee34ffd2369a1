//! How findings look: one frame with both files, the same cause told once.

use compiler::diagnostic::Diagnostic;
use compiler::render::human::{Look, render};
use compiler::render::{Finding, Report, merge};
use compiler::source::{SourceFile, SourceSet, Span};
use contract::code;

fn sources() -> SourceSet {
    let file = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    SourceSet::new(vec![
        file(
            "plans/gold.yaml",
            "kind: BackupPlan\nplan_id: bp_gold\nbackup_frequency: gsmd:schedules/every_6h\n",
        ),
        file(
            "settings/tiers.yaml",
            "kind: Tier\nsurvives:\n  - { lose: region, objective: gsmd:objectives/tier1 }\n",
        ),
    ])
}

fn span(sources: &SourceSet, file: u32, part: &str) -> Span {
    let start = sources.files[file as usize].text.find(part).unwrap();
    Span {
        file,
        start: u32::try_from(start).unwrap(),
        end: u32::try_from(start + part.len()).unwrap(),
    }
}

fn finding(sources: &SourceSet, dataset: &str) -> Diagnostic {
    Diagnostic::error(
        code::RPO_COVERED,
        format!("worst-case loss of `{dataset}` without region `eu-west-1` is 6 h 20 min, tier1 allows 1 h"),
    )
    .at(["datasets", dataset])
    .label(span(sources, 0, "gsmd:schedules/every_6h"), "slots are 6 h apart, usable 20 min later")
    .label(span(sources, 1, "gsmd:objectives/tier1"), "demanded here")
    .note("witness: point 2027-03-08T00:00+01:00, next usable 06:20+01:00, failure just before it")
    .help("schedule `every_30m` meets it")
}

fn report(sources: &SourceSet, findings: Vec<Finding>) -> Report<'_> {
    let environments = vec!["dev".parse().unwrap(), "production".parse().unwrap()];
    let mut report = Report::new(sources, environments, findings);
    "policies/".clone_into(&mut report.prefix);
    report
}

#[test]
fn one_frame_shows_both_files_and_counts_the_same_cause() {
    let sources = sources();
    let both = ["ds_a", "ds_b", "ds_c", "ds_d", "ds_e"].map(|dataset| finding(&sources, dataset));
    let only = Diagnostic::warning(code::UNKNOWN_REFERENCE, "only a warning, about no file");
    let runs = vec![
        (Some("dev".parse().unwrap()), both.to_vec()),
        (
            Some("production".parse().unwrap()),
            [both.to_vec(), vec![only]].concat(),
        ),
    ];
    let report = report(&sources, merge(runs));
    let look = |styled| Look { styled, width: 100 };
    let plain = render(&report, look(false));
    for part in [
        "policies/plans/gold.yaml:3:19",
        "policies/settings/tiers.yaml:3:32",
        "slots are 6 h apart, usable 20 min later",
        "demanded here",
        "4 more datasets have the same cause: `ds_b`, `ds_c`, `ds_d`, `ds_e`",
        "help: schedule `every_30m` meets it",
        "in production only",
    ] {
        assert_eq!(plain.matches(part).count(), 1, "`{part}` in:\n{plain}");
    }
    assert!(
        plain.ends_with("\n5 errors, 1 warning in dev, production, from 2 causes\n"),
        "{plain}"
    );
    assert!(!plain.contains('\u{1b}'));
    assert!(render(&report, look(true)).contains('\u{1b}'));

    let json = compiler::render::json::render(&report);
    assert_eq!(json["format"], 1);
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 6, "a program is told each finding");
    assert_eq!(
        findings[0]["environments"],
        serde_json::json!(["production"])
    );
    let first = &findings[1];
    assert_eq!(first["code"], "SW0301");
    assert_eq!(
        first["environments"],
        serde_json::json!(["dev", "production"])
    );
    let place = &first["labels"][1];
    assert_eq!(place["path"], "settings/tiers.yaml");
    assert_eq!(place["start"]["line"], 3);
    assert_eq!(place["start"]["column"], 32);
}

/// Two plans that took over one schedule: other places, other numbers in another environment, the same cause.
#[test]
fn a_setting_behind_several_places_is_one_cause() {
    let sources = sources();
    let because = |dataset: &str, part: &str, message: &str| {
        let mut finding = Diagnostic::error(code::RPO_COVERED, message)
            .at(["plans", "bp_gold", "backup_frequency"])
            .label(span(&sources, 0, part), "");
        finding.about = vec!["datasets".to_owned(), dataset.to_owned()];
        finding.cause = Some(span(&sources, 1, "kind: Tier"));
        finding
    };
    let one = because("ds_a", "kind", "one");
    let same = because("ds_a", "kind", "the same dataset");
    let other = because("ds_b", "plan_id", "other");
    let foreign = because("ds_a", "backup_frequency", "in dev");
    let runs = vec![
        (Some("dev".parse().unwrap()), vec![foreign.clone()]),
        (
            Some("production".parse().unwrap()),
            vec![one.clone(), same, other],
        ),
    ];
    let report = report(&sources, merge(runs));
    let look = Look {
        styled: false,
        width: 100,
    };
    let plain = render(&report, look);
    assert_eq!(plain.matches("error[").count(), 1, "{plain}");
    for part in [
        "error[SW0301]: one\n",
        "as it is in production; found in dev, production\n",
        "also: the same dataset\n",
        "1 more dataset has the same cause: `ds_b`\n",
        "4 errors in dev, production, from one cause\n",
    ] {
        assert_eq!(plain.matches(part).count(), 1, "`{part}` in:\n{plain}");
    }
    assert!(!plain.contains("in dev\n"), "{plain}");

    // Without the common cause each place is one.
    let alone = [one, foreign].map(|finding| Diagnostic {
        cause: None,
        ..finding
    });
    let findings = merge(vec![(Some("dev".parse().unwrap()), alone.to_vec())]);
    let plain = render(&self::report(&sources, findings), look);
    assert_eq!(plain.matches("error[").count(), 2, "{plain}");
}
