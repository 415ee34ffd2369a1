//! Owns the parts of the policy page about settings and scenarios, and how schedules, retention and sizes read in words.

use contract::model::{BackupPlan, Location, Model, Retention, Scenario, Schedule};
use contract::runbook::course;

use super::html::Html;
use super::policy::{Documented, word};
use super::{anchored, facts, id};

/// When a schedule runs.
pub(super) fn schedule(schedule: &Schedule) -> String {
    let id = &schedule.schedule_id;
    match (&schedule.cron, schedule.every_s, &schedule.continuous) {
        (Some(cron), _, _) => {
            let zone = schedule.timezone.as_deref().unwrap_or("UTC");
            format!("{cron} in {zone} ({id})")
        }
        (None, Some(period), _) => format!("every {} ({id})", period.human()),
        (None, None, Some(continuous)) => {
            let lag = continuous.max_lag_s.human();
            format!("continuously, at most {lag} behind ({id})")
        }
        (None, None, None) => id.to_string(),
    }
}

/// What is kept.
pub(super) fn retention(retention: &Retention) -> String {
    let keep = &retention.keep;
    let counts = [
        (keep.last, "last"),
        (keep.hourly, "hourly"),
        (keep.daily, "daily"),
        (keep.weekly, "weekly"),
        (keep.monthly, "monthly"),
        (keep.yearly, "yearly"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let longest = match retention.max_duration_s {
        Some(longest) => format!("nothing older than {}", longest.human()),
        None => "no upper limit".to_owned(),
    };
    format!(
        "{}; never fewer than {} or younger than {}; {longest}; locked for {} ({})",
        counts.join(", "),
        retention.min_versions,
        retention.min_duration_s.human(),
        retention.immutable_for_s.human(),
        retention.retention_id,
    )
}

/// `1 slot`, `2 slots`.
pub(super) fn count(number: u32, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}

/// A size in the largest unit that keeps it whole.
pub(super) fn bytes(size: u64) -> String {
    let units = [
        (1_u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (unit, name) in units {
        if size >= unit && size.is_multiple_of(unit) {
            return format!("{} {name}", size / unit);
        }
    }
    format!("{size} bytes")
}

/// Links to the locations of plans.
pub(super) fn locations_of(plans: &[&BackupPlan]) -> Html {
    let all: std::collections::BTreeSet<_> =
        plans.iter().flat_map(|plan| &plan.locations).collect();
    let links = all
        .into_iter()
        .map(|location| Html::link(&format!("location-{location}"), id(location)));
    Html::joined(links, ", ")
}

/// Scenarios with their runbooks.
pub(super) fn scenarios(documented: &Documented<'_>) -> Html {
    let mut out = Html::with("h2", &[("id", "scenarios")], "Scenarios");
    for (scenario_id, scenario) in &documented.model.scenarios {
        let declared = documented.declared(&["scenarios", scenario_id.as_str()]);
        out.push(Html::with(
            "section",
            &[
                ("class", "card"),
                ("id", &format!("scenario-{scenario_id}")),
            ],
            one_scenario(scenario, declared),
        ));
    }
    out
}

fn one_scenario(scenario: &Scenario, declared: Html) -> Html {
    let course = course(&scenario.runbook);
    let takes = if course.bounded {
        course.seconds.human()
    } else {
        "no bound: steps wait for each other".to_owned()
    };
    let losses: Vec<String> = scenario.losses.iter().map(ToString::to_string).collect();
    let lost = if losses.is_empty() {
        "the live data alone".to_owned()
    } else {
        losses.join(", ")
    };
    let datasets = scenario
        .datasets
        .iter()
        .map(|dataset| Html::link(&format!("dataset-{dataset}"), id(dataset)));
    let persons: Vec<String> = scenario.personnel.iter().map(ToString::to_string).collect();
    let mut card = Html::tag("h3", scenario.name.as_str());
    card.push(facts(vec![
        ("Id", id(&scenario.scenario_id)),
        ("Set off by", Html::text(&word(&scenario.trigger))),
        ("Lost", Html::text(&lost)),
        (
            "Noticed within",
            Html::text(&scenario.detected_within_s.human()),
        ),
        ("Strategy", Html::text(&word(&scenario.strategy))),
        (
            "Objective",
            Html::text(&format!(
                "RPO {}, RTO {}",
                scenario.objective.rpo_s.human(),
                scenario.objective.rto_s.human()
            )),
        ),
        (
            "Runbook takes",
            Html::text(&format!("{takes} when every step takes as long as it may")),
        ),
        ("Carried out by", Html::text(&persons.join(", "))),
        ("Datasets", Html::joined(datasets, ", ")),
        ("Rehearsed at", id(&scenario.drill_target)),
        ("Failback", Html::text(&scenario.failback)),
        ("Declared at", declared),
    ]));
    if !scenario.prerequisites.is_empty() {
        card.push(Html::tag("h4", "Before it starts"));
        let items = scenario.prerequisites.iter();
        let items = items.map(|text| Html::tag("li", text.as_str()));
        card.push(Html::tag("ul", Html::joined(items, "\n")));
    }
    card.push(Html::tag("h4", "Runbook"));
    let rows = scenario.runbook.iter().map(|step| {
        let after: Vec<&str> = step.depends_on.iter().map(String::as_str).collect();
        vec![
            id(&step.step),
            Html::text(&step.title),
            Html::text(&word(&step.action)),
            step.dataset.as_ref().map_or_else(
                || Html::text("-"),
                |dataset| Html::link(&format!("dataset-{dataset}"), id(dataset)),
            ),
            id(after.join(", ")),
            Html::text(&step.deadline_s.human()),
        ]
    });
    let heads = ["Step", "What", "Action", "Dataset", "After", "Within"];
    card.push(Html::table(&heads, rows.collect()));
    card
}

/// Sites and locations with their fault domains.
pub(super) fn places(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "places")], "Places");
    out.push(Html::tag("h3", "Sites, where live data runs"));
    let rows = model.settings.sites.values().map(|site| {
        let domains = &site.fault_domains;
        vec![
            id(&site.site_id),
            Html::text(&domains.provider),
            Html::text(&domains.region),
            Html::text(&domains.zone),
            Html::text(&domains.account),
            Html::text(&site.residency),
            id(&site.reconciler_id),
        ]
    });
    let heads = [
        "Site",
        "Provider",
        "Region",
        "Zone",
        "Account",
        "Resides in",
        "Reconciler",
    ];
    out.push(Html::table(&heads, rows.collect()));
    out.push(Html::tag("h3", "Locations, where recovery points are kept"));
    let rows = model.settings.locations.values().map(location);
    let heads = [
        "Location",
        "Site",
        "Provider",
        "Region",
        "Zone",
        "Account",
        "Credential",
        "Resides in",
        "Class",
        "Locked",
        "Capacity",
    ];
    out.push(Html::table(&heads, rows.collect()));
    out
}

fn location(location: &Location) -> Vec<Html> {
    let domains = &location.fault_domains;
    vec![
        anchored("location", &location.location_id),
        id(&location.site),
        Html::text(&domains.provider),
        Html::text(&domains.region),
        Html::text(&domains.zone),
        Html::text(&domains.account),
        Html::text(&domains.credential),
        Html::text(&location.residency),
        Html::text(&word(&location.class)),
        Html::text(if location.immutable { "yes" } else { "no" }),
        Html::text(&bytes(location.capacity_bytes)),
    ]
}

/// Keys and who loses them.
pub(super) fn keys(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "keys")], "Keys");
    let rows = model.settings.keys.values().map(|key| {
        let plans = model
            .plans
            .values()
            .filter(|plan| plan.encryption_key_ref == key.kid)
            .map(|plan| Html::link(&format!("plan-{}", plan.plan_id), id(&plan.plan_id)));
        vec![
            anchored("key", &key.kid),
            id(&key.custody),
            key.kept_in.as_ref().map_or(Html::text("-"), |dataset| {
                Html::link(&format!("dataset-{dataset}"), id(dataset))
            }),
            Html::text(&key.not_after.to_string()),
            Html::text(&key.rotation_period_s.human()),
            Html::joined(plans, ", "),
        ]
    });
    let heads = [
        "Key",
        "Lost with",
        "Kept in",
        "Seals until",
        "Rotated every",
        "Plans",
    ];
    out.push(Html::table(&heads, rows.collect()));
    out
}

/// Tiers and what they survive.
pub(super) fn tiers(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "tiers")], "Tiers");
    for tier in model.settings.tiers.values() {
        let mut card = Html::tag("h3", tier.tier_id.as_str());
        let cadence = |every: Option<contract::duration::Seconds>| {
            every.map_or("never".to_owned(), |every| {
                format!("every {}", every.human())
            })
        };
        card.push(facts(vec![
            (
                "Restore test",
                Html::text(&cadence(tier.restore_test_every_s)),
            ),
            ("Drill", Html::text(&cadence(tier.drill_every_s))),
            (
                "Evidence stale after",
                Html::text(&tier.staleness_limit_s.human()),
            ),
            (
                "Stored data read again",
                Html::text(&format!(
                    "{} % every {}",
                    tier.verification.portion_percent,
                    tier.verification.every_s.human()
                )),
            ),
        ]));
        let rows = tier.survives.iter().map(|survival| {
            vec![
                id(word(&survival.lose)),
                Html::text(&survival.objective.rpo_s.human()),
                Html::text(&survival.objective.rto_s.human()),
                id(&survival.objective.objective_id),
            ]
        });
        card.push(Html::table(
            &["Survives the loss of", "RPO", "RTO", "Objective"],
            rows.collect(),
        ));
        let anchor = format!("tier-{}", tier.tier_id);
        out.push(Html::with(
            "section",
            &[("class", "card"), ("id", &anchor)],
            card,
        ));
    }
    out
}
