//! Owns the Prometheus alert rules that follow from a policy's AlertPolicy documents. Holds no threshold of its own. The
//! interesting function is [`rules`].

mod tests_of_rules;

use std::collections::{BTreeMap, BTreeSet};

use contract::code::{self, Code};
use contract::id::{AlertId, ChannelId, LocationId, TierId};
use contract::metric;
use contract::model::{AlertPolicy, Model, Threshold, Watch};
use serde::Serialize;

pub use tests_of_rules::{TestFile, tests_of};

/// A restart, an upgrade or some failed scrapes are not an outage of the daemon.
const ABSENT_FOR: &str = "10m";

/// A Prometheus rule file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleFile {
    /// A group for what no threshold concerns, and one for each AlertPolicy.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Unique in the file.
    pub name: String,
    /// In the order of the policy.
    pub rules: Vec<AlertRule>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertRule {
    /// Its name.
    pub alert: String,
    /// PromQL: it fires for each series that this gives.
    pub expr: String,
    /// How long the expression holds before it fires.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub holds_for: Option<String>,
    /// What routes and inhibits it.
    pub labels: BTreeMap<String, String>,
    /// What the notification says.
    pub annotations: BTreeMap<String, String>,
}

/// An AlertPolicy watches a share and does not say over which time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoWindow {
    /// Which one.
    pub alert_id: AlertId,
    /// The share.
    pub watch: Watch,
}

/// The alert rules of a policy.
pub fn rules(model: &Model) -> Result<RuleFile, NoWindow> {
    let mut groups = vec![Group {
        name: "seawall".to_owned(),
        rules: of_every_daemon(model),
    }];
    for policy in model.settings.alerts.values() {
        let mut rules = Vec::new();
        for threshold in &policy.thresholds {
            let measure = measure(model, policy, threshold)?;
            for severity in Severity::BOTH {
                rules.push(measure.rule(model, policy, threshold, severity));
            }
        }
        groups.push(Group {
            name: format!("seawall-{}", policy.alert_id),
            rules,
        });
    }
    Ok(RuleFile { groups })
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Warning,
    Critical,
}

impl Severity {
    const BOTH: [Self; 2] = [Self::Warning, Self::Critical];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    const fn percent(self, threshold: &Threshold) -> u32 {
        match self {
            Self::Warning => threshold.warning_percent,
            Self::Critical => threshold.critical_percent,
        }
    }
}

/// What is compared with a threshold.
struct Measure {
    alert: &'static str,
    /// PromQL that gives percents.
    percents: String,
    /// What the percents are, for the summary.
    says: &'static str,
    /// The code whose page says what to do.
    code: Code,
}

fn measure(
    model: &Model,
    policy: &AlertPolicy,
    threshold: &Threshold,
) -> Result<Measure, NoWindow> {
    let watch = threshold.watch;
    let tiers = any_of(policy.tiers.iter().map(TierId::as_str));
    let share = |metric: &str, of: &str, by: &str| {
        let window_s = policy.window_s.ok_or_else(|| NoWindow {
            alert_id: policy.alert_id.clone(),
            watch,
        })?;
        let counted = |matcher: &str| {
            let window = format!("{window_s}s", window_s = window_s.get());
            format!(
                "sum by (job, instance, {by}) (increase({metric}{{tier=~\"{tiers}\",{matcher}}}[{window}]))"
            )
        };
        let good = counted(&format!("{of}=\"success\""));
        let all = counted(&format!("{of}=~\"{}\"", watch.counted_ends().join("|")));
        Ok(format!("100 * ({good} / {all})"))
    };
    Ok(match watch {
        Watch::ObjectiveUsed => Measure {
            alert: "SeawallRecoveryPointAge",
            percents: format!(
                "100 * {}{{tier=~\"{tiers}\"}} / {}{{tier=~\"{tiers}\"}}",
                metric::RECOVERY_POINT_AGE,
                metric::RPO
            ),
            says: "the newest usable recovery point of {{ $labels.dataset }} has an age of {{ $value | printf \"%.1f\" }} % of its RPO",
            code: code::RPO_MISSED,
        },
        Watch::BackupSuccess => Measure {
            alert: "SeawallBackupSuccess",
            percents: share(metric::SLOTS, "outcome", "plan, dataset, tier")?,
            says: "{{ $value | printf \"%.1f\" }} % of the slots of plan {{ $labels.plan }} ended with a usable recovery point of {{ $labels.dataset }}",
            code: code::LAST_RUN_FAILED,
        },
        Watch::RestoreSuccess => Measure {
            alert: "SeawallRestoreSuccess",
            percents: share(metric::RESTORES, "result", "dataset, tier")?,
            says: "{{ $value | printf \"%.1f\" }} % of the restores of {{ $labels.dataset }} succeeded",
            code: code::RESTORE_FAILED,
        },
        Watch::Integrity => Measure {
            alert: "SeawallIntegrity",
            percents: share(metric::CHECKS, "result", "plan, dataset, tier")?,
            says: "{{ $value | printf \"%.1f\" }} % of the checks of plan {{ $labels.plan }} found its recovery points intact",
            code: code::POINT_SUSPECT,
        },
        Watch::Capacity => {
            let locations = any_of(locations_of(model, policy).iter().map(|id| id.as_str()));
            let size = format!("{}{{location=~\"{locations}\"}}", metric::LOCATION_SIZE);
            let free = format!("{}{{location=~\"{locations}\"}}", metric::LOCATION_FREE);
            Measure {
                alert: "SeawallCapacity",
                percents: format!("100 * ({size} - {free}) / {size}"),
                says: "{{ $value | printf \"%.1f\" }} % of location {{ $labels.location }} is used",
                code: code::VAULT_LOCATION_FULL,
            }
        }
    })
}

impl Measure {
    fn rule(
        &self,
        model: &Model,
        policy: &AlertPolicy,
        threshold: &Threshold,
        severity: Severity,
    ) -> AlertRule {
        let percent = severity.percent(threshold);
        let side = if threshold.watch.more_is_worse() {
            ">"
        } else {
            "<"
        };
        AlertRule {
            alert: self.alert.to_owned(),
            expr: of_environment(model, &format!("{} {side} {percent}", self.percents)),
            holds_for: None,
            labels: labels(severity, Some(&policy.alert_id)),
            annotations: annotations(self.says, &explained(&self.code), Some(policy)),
        }
    }
}

/// What is wrong whatever the thresholds are.
fn of_every_daemon(model: &Model) -> Vec<AlertRule> {
    let environment = &model.environment.environment_id;
    let sites = &model.settings.sites;
    let used = model.datasets.values().map(|dataset| &dataset.site);
    let reconcilers: BTreeSet<&str> = used
        .filter_map(|site| Some(sites.get(site)?.reconciler_id.as_str()))
        .collect();
    let absent = reconcilers.into_iter().map(|reconciler| AlertRule {
        alert: "SeawallAbsent".to_owned(),
        expr: format!(
            "absent({}{{environment=\"{environment}\",reconciler=\"{reconciler}\"}})",
            metric::BUILD
        ),
        holds_for: Some(ABSENT_FOR.to_owned()),
        labels: labels(Severity::Critical, None),
        annotations: annotations(
            "no metrics of reconciler {{ $labels.reconciler }}: seawalld does not run, or cannot be scraped",
            "docs/operate.md, The daemon does not run",
            None,
        ),
    });
    let stalled = AlertRule {
        alert: "SeawallStalled".to_owned(),
        expr: of_environment(
            model,
            &format!("{}{{condition=\"Stalled\"}} == 1", metric::CONDITION),
        ),
        holds_for: None,
        labels: labels(Severity::Critical, None),
        annotations: annotations(
            "{{ if $labels.plan }}plan {{ $labels.plan }}{{ else }}seawalld{{ end }} needs an operator: {{ $labels.code }}",
            &explained(&"{{ $labels.code }}"),
            None,
        ),
    };
    let unusable = AlertRule {
        alert: "SeawallLocationUnusable".to_owned(),
        expr: of_environment(model, &format!("{} == 0", metric::LOCATION_USABLE)),
        holds_for: Some(ABSENT_FOR.to_owned()),
        labels: labels(Severity::Warning, None),
        annotations: annotations(
            "location {{ $labels.location }} cannot be used",
            &explained(&code::VAULT_LOCATION_UNREACHABLE),
            None,
        ),
    };
    absent.chain([stalled, unusable]).collect()
}

/// One Prometheus may scrape the daemons of several environments.
fn of_environment(model: &Model, expression: &str) -> String {
    format!(
        "{expression} and on (job, instance) {}{{environment=\"{}\"}}",
        metric::BUILD,
        model.environment.environment_id
    )
}

/// The locations that hold recovery points of a policy's tiers.
fn locations_of<'m>(model: &'m Model, policy: &AlertPolicy) -> BTreeSet<&'m LocationId> {
    let is_watched = |id| {
        let dataset = model.datasets.get(id);
        dataset.is_some_and(|it| policy.tiers.contains(&it.criticality))
    };
    let plans = model.plans.values();
    plans
        .filter(|plan| plan.dataset_ids.iter().any(is_watched))
        .flat_map(|plan| &plan.locations)
        .collect()
}

fn labels(severity: Severity, policy: Option<&AlertId>) -> BTreeMap<String, String> {
    let severity = ("severity".to_owned(), severity.as_str().to_owned());
    let policy = policy.map(|id| ("alert_policy".to_owned(), id.to_string()));
    std::iter::once(severity).chain(policy).collect()
}

fn explained(code: &dyn std::fmt::Display) -> String {
    format!("seawall explain {code}")
}

fn annotations(
    says: &str,
    runbook: &str,
    policy: Option<&AlertPolicy>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("summary".to_owned(), says.to_owned()),
        ("runbook".to_owned(), runbook.to_owned()),
    ]);
    if let Some(policy) = policy {
        let steps = policy.escalation.iter().map(|step| {
            let channels: Vec<&str> = step.channels.iter().map(ChannelId::as_str).collect();
            let when = match step.after_s.get() {
                0 => "immediately".to_owned(),
                _ => format!("after {}", step.after_s.human()),
            };
            format!("{} {when}", channels.join(", "))
        });
        let steps: Vec<String> = steps.collect();
        all.insert("escalation".to_owned(), steps.join("; "));
    }
    all
}

/// A regular expression, within a PromQL string, that matches these ids alone. Of the letters of ids only the dot means something
/// there.
fn any_of<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let escaped: Vec<String> = ids.map(|id| id.replace('.', "\\\\.")).collect();
    escaped.join("|")
}
