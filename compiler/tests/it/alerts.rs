//! Alert rules as Prometheus reads them: `promtool` judges the files, and fires every alert on either side of its threshold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Ran, seawall};

fn policies() -> String {
    format!("{}/../policies", env!("CARGO_MANIFEST_DIR"))
}

/// Where `scripts/setup` puts it.
fn promtool() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("seawall/promtool/usr/bin/promtool")
}

fn check(arguments: &[&str], folder: &Path) {
    let ran = Command::new(promtool())
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("scripts/setup unpacks promtool");
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "promtool {arguments:?}: {said}");
}

fn written(folder: &Path, environment: &str) -> Ran {
    let out = folder.to_str().unwrap();
    let tree = policies();
    seawall(&["alerts", &tree, "--env", environment, "--out", out])
}

#[test]
fn promtool_accepts_the_rules_and_every_threshold_fires_on_its_side_alone() {
    for environment in ["dev", "production"] {
        let folder = TempDir::new().unwrap();
        let ran = written(folder.path(), environment);
        assert_eq!(ran.status, 0, "{}", ran.err);
        check(&["check", "rules", "seawall.rules.yaml"], folder.path());
        check(&["test", "rules", "seawall.rules.test.yaml"], folder.path());
    }
}

#[test]
fn the_tests_of_the_rules_notice_a_threshold_that_was_moved() {
    let folder = TempDir::new().unwrap();
    assert_eq!(written(folder.path(), "dev").status, 0);
    let rules = folder.path().join("seawall.rules.yaml");
    let text = fs::read_to_string(&rules).unwrap();
    let moved = text.replace(" > 70 and", " > 71 and");
    assert_ne!(text, moved);
    fs::write(&rules, moved).unwrap();
    let tested = Command::new(promtool())
        .args(["test", "rules", "seawall.rules.test.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(!tested.status.success());
}

#[test]
fn the_rules_of_the_shipped_policy() {
    let ran = seawall(&["alerts", &policies(), "--env", "production"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../../../snapshots" }, {
        insta::assert_snapshot!("alerts", ran.out);
    });
}

/// A share without the time that it is counted over is no number.
#[test]
fn a_share_that_is_counted_over_no_time_is_refused() {
    let tree = TempDir::new().unwrap();
    let copied = Command::new("cp")
        .args(["-a", &format!("{}/.", policies())])
        .arg(tree.path())
        .status();
    assert!(copied.unwrap().success());
    let alerts = tree.path().join("settings/alerts.yaml");
    let text = fs::read_to_string(&alerts).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("window:"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&alerts, without).unwrap();
    let folder = tree.path().to_str().unwrap();
    let ran = seawall(&["alerts", folder, "--env", "production"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(
        ran.err.contains("SW0108") && ran.err.contains("window: P30D"),
        "{}",
        ran.err
    );
    // `check` stays green: the policy says all that it promises.
    assert_eq!(seawall(&["check", folder]).status, 0);
}

/// Every expression of the dashboard is PromQL, and its panels neither share an id nor overlap.
#[test]
fn the_dashboard_is_well_formed() {
    let folder = TempDir::new().unwrap();
    assert_eq!(written(folder.path(), "production").status, 0);
    let text = fs::read_to_string(folder.path().join("seawall.dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut rules = Vec::new();
    let mut taken = std::collections::BTreeSet::new();
    let mut ids = std::collections::BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{}", panel["title"]);
            }
        }
        for target in panel["targets"].as_array().unwrap() {
            let mut expression = target["expr"].as_str().unwrap().to_owned();
            for (variable, value) in [
                ("$__rate_interval", "5m"),
                ("$__interval", "5m"),
                ("$job", ".+"),
                ("$instance", ".+"),
            ] {
                expression = expression.replace(variable, value);
            }
            assert!(!expression.contains('$'), "{expression}");
            rules.push(json!({ "record": format!("a:{}", rules.len()), "expr": expression }));
        }
    }
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    fs::write(folder.path().join("all.json"), file.to_string()).unwrap();
    check(&["check", "rules", "all.json"], folder.path());
}
