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
    SourceSet {
        files: vec![
            file(
                "plans/gold.yaml",
                "kind: BackupPlan\nplan_id: bp_gold\nbackup_frequency: gsmd:schedules/every_6h\n",
            ),
            file(
                "settings/tiers.yaml",
                "kind: Tier\nsurvives:\n  - { lose: region, objective: gsmd:objectives/tier1 }\n",
            ),
        ],
    }
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
    Report {
        sources,
        prefix: "policies/".to_owned(),
        environments: vec!["dev".parse().unwrap(), "production".parse().unwrap()],
        findings,
    }
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
    insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("findings_human", render(&report, look(false)));
        insta::assert_json_snapshot!("findings_json", compiler::render::json::render(&report));
    });
    let styled = render(&report, look(true));
    assert!(styled.contains('\u{1b}'));
    assert!(!render(&report, look(false)).contains('\u{1b}'));
}
