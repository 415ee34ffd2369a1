//! Owns the unit tests of the generated alert rules, in the format of `promtool test rules`: for each threshold, series on either side
//! of it, and the alerts that fire. They let a team change labels or expressions and see what still fires. The interesting function
//! is [`tests_of`].

use std::collections::BTreeMap;

use contract::id::{LocationId, TierId};
use contract::metric;
use contract::model::{AlertPolicy, Model, Threshold, Watch};
use serde::Serialize;

use super::{AlertRule, NoWindow, Severity, locations_of, measure};

/// Labels of the series in tests.
const JOB: &str = "job=\"seawall\",instance=\"test\"";
/// Samples of the shortest window. Each holds the exact share, so that a few are enough.
const SAMPLES: u64 = 20;
/// Seconds between samples where no share is watched.
const MINUTE: u64 = 60;

/// A file for `promtool test rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestFile {
    rule_files: Vec<String>,
    evaluation_interval: String,
    tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Test {
    name: String,
    interval: String,
    input_series: Vec<Series>,
    #[serde(rename = "alert_rule_test")]
    expected: Vec<Expected>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Series {
    series: String,
    values: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Expected {
    eval_time: String,
    alertname: String,
    exp_alerts: Vec<Fires>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Fires {
    exp_labels: BTreeMap<String, String>,
    exp_annotations: BTreeMap<String, String>,
}

/// The tests of the rules in a file of this name.
pub fn tests_of(model: &Model, rule_file: &str) -> Result<TestFile, NoWindow> {
    let mut tests = Vec::new();
    let alerts = || model.settings.alerts.values();
    let windows = alerts().filter_map(|policy| policy.window_s);
    let shortest = windows.min();
    // One for the whole file. Every series has samples at every evaluation, or it would be stale there.
    let interval_s = shortest.map_or(MINUTE, |window| (window.get() / SAMPLES).max(1));
    for policy in alerts() {
        for threshold in &policy.thresholds {
            for per_mille in levels(threshold) {
                let test = test(model, policy, threshold, per_mille, interval_s)?;
                tests.extend(test);
            }
        }
    }
    Ok(TestFile {
        rule_files: vec![rule_file.to_owned()],
        evaluation_interval: format!("{interval_s}s"),
        tests,
    })
}

/// Half a percent on either side of both thresholds, as far as there are such numbers.
fn levels(threshold: &Threshold) -> Vec<u64> {
    let mut all = Vec::new();
    for percent in [threshold.warning_percent, threshold.critical_percent] {
        let exact = u64::from(percent) * 10;
        all.extend(exact.checked_sub(5));
        // More than everything is possible of an age alone.
        let above = exact + 5;
        all.push(if threshold.watch == Watch::ObjectiveUsed {
            above
        } else {
            above.min(1_000)
        });
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn test(
    model: &Model,
    policy: &AlertPolicy,
    threshold: &Threshold,
    per_mille: u64,
    interval_s: u64,
) -> Result<Option<Test>, NoWindow> {
    let Some(subject) = subject(model, policy, threshold.watch) else {
        return Ok(None);
    };
    let (samples, kind) = match policy.window_s {
        Some(window) if threshold.watch.is_share() => (window.get() / interval_s, "share"),
        Some(_) | None => (SAMPLES, "level"),
    };
    let environment = &model.environment.environment_id;
    let build = format!("{JOB},environment=\"{environment}\"");
    let mut input_series = vec![level(metric::BUILD, &build, 1, samples)];
    input_series.extend(series(threshold.watch, &subject.labels, per_mille, samples));
    let percents = format!("{}.{}", per_mille / 10, per_mille % 10);
    let alert = measure(model, policy, threshold)?.alert;
    Ok(Some(Test {
        name: format!("{}: {alert} at {percents} % ({kind})", policy.alert_id),
        interval: format!("{interval_s}s"),
        input_series,
        expected: vec![Expected {
            eval_time: format!("{}s", interval_s * samples),
            alertname: alert.to_owned(),
            exp_alerts: expected(model, threshold.watch, &subject, per_mille, &percents)?,
        }],
    }))
}

/// What the series of a test are about.
struct Subject<'m> {
    labels: String,
    tier: &'m TierId,
    location: Option<&'m LocationId>,
}

fn subject<'m>(model: &'m Model, policy: &'m AlertPolicy, watch: Watch) -> Option<Subject<'m>> {
    let tier = policy.tiers.first()?;
    let of_dataset = format!("{JOB},dataset=\"ds_test\",tier=\"{tier}\"");
    let location = locations_of(model, policy).into_iter().next();
    let labels = match watch {
        Watch::ObjectiveUsed | Watch::RestoreSuccess => of_dataset,
        Watch::BackupSuccess | Watch::Integrity => format!("{of_dataset},plan=\"bp_test\""),
        Watch::Capacity => format!("{JOB},location=\"{}\"", location?),
    };
    Some(Subject {
        labels,
        tier,
        location,
    })
}

fn series(watch: Watch, labels: &str, per_mille: u64, samples: u64) -> [Series; 2] {
    let bad = 1_000_u64.saturating_sub(per_mille);
    let level = |name: &str, value: u64| level(name, labels, value, samples);
    // Both rise evenly, so that their shares are the same over any time.
    let counter = |name: &str, kind: &str, each: u64| Series {
        series: format!("{name}{{{labels},{kind}}}"),
        values: format!("0+{each}x{samples}"),
    };
    match watch {
        Watch::ObjectiveUsed => [
            level(metric::RECOVERY_POINT_AGE, per_mille),
            level(metric::RPO, 1_000),
        ],
        Watch::Capacity => [
            level(metric::LOCATION_SIZE, 1_000),
            level(metric::LOCATION_FREE, bad),
        ],
        Watch::BackupSuccess => [
            counter(metric::SLOTS, "outcome=\"success\"", per_mille),
            counter(metric::SLOTS, "outcome=\"missed\"", bad),
        ],
        Watch::Integrity => [
            counter(metric::CHECKS, "result=\"success\"", per_mille),
            counter(metric::CHECKS, "result=\"failure\"", bad),
        ],
        Watch::RestoreSuccess => [
            counter(metric::RESTORES, "result=\"success\"", per_mille),
            counter(metric::RESTORES, "result=\"failure\"", bad),
        ],
    }
}

/// A gauge that stays where it is.
fn level(name: &str, labels: &str, value: u64, samples: u64) -> Series {
    Series {
        series: format!("{name}{{{labels}}}"),
        values: format!("{value}x{samples}"),
    }
}

/// What fires: other policies may watch the same series.
fn expected(
    model: &Model,
    watch: Watch,
    subject: &Subject<'_>,
    per_mille: u64,
    percents: &str,
) -> Result<Vec<Fires>, NoWindow> {
    let mut all = Vec::new();
    for policy in model.settings.alerts.values() {
        let is_watched = match (watch, subject.location) {
            (Watch::Capacity, Some(location)) => locations_of(model, policy).contains(location),
            _ => policy.tiers.contains(subject.tier),
        };
        let thresholds = policy.thresholds.iter();
        for threshold in thresholds.filter(|it| is_watched && it.watch == watch) {
            let measure = measure(model, policy, threshold)?;
            for severity in Severity::BOTH {
                let bound = u64::from(severity.percent(threshold)) * 10;
                let fires = if watch.more_is_worse() {
                    per_mille > bound
                } else {
                    per_mille < bound
                };
                if fires {
                    let rule = measure.rule(model, policy, threshold, severity);
                    all.push(fired(rule, &subject.labels, percents));
                }
            }
        }
    }
    Ok(all)
}

fn fired(rule: AlertRule, labels: &str, percents: &str) -> Fires {
    let annotations = rule.annotations.into_iter();
    Fires {
        exp_labels: pairs(labels).into_iter().chain(rule.labels).collect(),
        exp_annotations: annotations
            .map(|(name, text)| (name, rendered(&text, labels, percents)))
            .collect(),
    }
}

fn pairs(labels: &str) -> BTreeMap<String, String> {
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// An annotation as Prometheus renders its template.
fn rendered(text: &str, labels: &str, percents: &str) -> String {
    let value = "{{ $value | printf \"%.1f\" }}";
    let text = text.replace(value, percents);
    pairs(labels).iter().fold(text, |text, (name, value)| {
        text.replace(&format!("{{{{ $labels.{name} }}}}"), value)
    })
}
