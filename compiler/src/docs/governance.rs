//! Owns the parts of the policy page about what people decided: findings that they accepted, retention that the law asks
//! for, who hears of what, when nothing may run, and who must agree.

use std::collections::BTreeSet;

use contract::duration::Seconds;
use contract::model::{AlertPolicy, DataRetention, Environment, Model, Watch};

use super::html::Html;
use super::policy::word;
use super::{anchored, facts, id, settings};

/// Who must agree to what.
pub(super) fn approvals(model: &Model) -> Html {
    let environment = &model.environment.environment_id;
    let mut out = Html::with("h2", &[("id", "approvals")], "Approvals");
    let rows = model
        .settings
        .approvals
        .values()
        .filter(|approval| approval.environments.contains(environment))
        .map(|approval| {
            let tiers: Vec<String> = approval.tiers.iter().map(ToString::to_string).collect();
            let roles: Vec<String> = approval.roles.iter().map(ToString::to_string).collect();
            vec![
                Html::text(&word(&approval.action)),
                Html::text(&tiers.join(", ")),
                Html::text(&settings::count(approval.approvals, "person")),
                Html::text(&roles.join(", ")),
                Html::text(&approval.request_expiry_s.human()),
                Html::text(&approval.execution_expiry_s.human()),
            ]
        });
    let heads = [
        "Action",
        "Tiers",
        "Approved by",
        "Of the roles",
        "Asked within",
        "Run within",
    ];
    out.push(Html::table(&heads, rows.collect()));
    out
}

/// Findings that were accepted, for what and until when.
pub(super) fn waivers(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "waivers")], "Accepted findings");
    if model.waivers.is_empty() {
        out.push(Html::tag("p", "Nothing is waived."));
        return out;
    }
    let rows = model.waivers.values().map(|waiver| {
        let bound = match (waiver.bound_s, waiver.bound_count) {
            (Some(seconds), _) => seconds.human(),
            (None, Some(count)) => count.to_string(),
            (None, None) => "-".to_owned(),
        };
        vec![
            anchored("waiver", &waiver.waiver_id),
            id(&waiver.code),
            Html::joined(waiver.targets.iter().map(id), ", "),
            Html::text(&bound),
            Html::text(&waiver.expiry.to_string()),
            id(&waiver.owner),
            Html::text(&waiver.reason),
        ]
    });
    let heads = ["Waiver", "Finding", "Of", "Up to", "Until", "Owner", "Why"];
    out.push(Html::table(&heads, rows.collect()));
    out
}

/// How long the law and the organisation keep data.
pub(super) fn data_retention(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "data-retention")], "Data retention");
    if model.settings.data_retention.is_empty() {
        let none = "Nothing is said of how long data must or may be kept.";
        out.push(Html::tag("p", none));
        return out;
    }
    let rows = model.settings.data_retention.values().map(one_retention);
    let heads = [
        "Rule",
        "Classification",
        "Layer",
        "Points kept at least",
        "At most",
        "Live data archived after",
        "Purged after",
        "Held",
    ];
    out.push(Html::table(&heads, rows.collect()));
    out
}

fn one_retention(rule: &DataRetention) -> Vec<Html> {
    let any = |text: &Option<String>| Html::text(text.as_deref().unwrap_or("any"));
    let after =
        |length: Option<Seconds>| Html::text(&length.map_or("never".to_owned(), Seconds::human));
    let at_most = rule.max_duration_s;
    vec![
        anchored("data-retention", &rule.data_retention_id),
        any(&rule.data_classification),
        any(&rule.layer),
        Html::text(&rule.min_duration_s.human()),
        Html::text(&at_most.map_or("no limit".to_owned(), Seconds::human)),
        after(rule.archive_after_s),
        after(rule.purge_after_s),
        Html::text(if rule.legal_hold { "yes" } else { "no" }),
    ]
}

/// What is watched, and who hears of it.
pub(super) fn alerts(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "alerts")], "Alerts");
    if model.settings.alerts.is_empty() {
        out.push(Html::tag("p", "Nobody hears of anything."));
        return out;
    }
    for alert in model.settings.alerts.values() {
        let anchor = format!("alert-{}", alert.alert_id);
        let card = one_alert(model, alert);
        let attributes = [("class", "card"), ("id", anchor.as_str())];
        out.push(Html::with("section", &attributes, card));
    }
    out
}

fn one_alert(model: &Model, alert: &AlertPolicy) -> Html {
    let mut card = Html::tag("h3", alert.alert_id.as_str());
    let tiers = alert.tiers.iter();
    let tiers = tiers.map(|tier| Html::link(&format!("tier-{tier}"), id(tier)));
    let steps = alert.escalation.iter().map(|step| {
        let channels = step.channels.iter().map(|channel| {
            let known = model.settings.channels.get(channel);
            Html::text(&known.map_or_else(
                || channel.to_string(),
                |known| format!("{} ({})", known.name, word(&known.medium)),
            ))
        });
        let mut item = Html::text(&if step.after_s.get() == 0 {
            "at once: ".to_owned()
        } else {
            format!("when nobody took it on for {}: ", step.after_s.human())
        });
        item.push(Html::joined(channels, ", "));
        Html::tag("li", item)
    });
    let steps = Html::tag("ol", Html::joined(steps, "\n"));
    let mut known = vec![("Tiers", Html::joined(tiers, ", ")), ("Notifies", steps)];
    if let Some(window) = alert.window_s {
        known.push(("Shares counted over", Html::text(&window.human())));
    }
    card.push(facts(known));
    let rows = alert.thresholds.iter().map(|threshold| {
        let side = if threshold.watch.more_is_worse() {
            "from"
        } else {
            "below"
        };
        let bound = |percent: u32| Html::text(&format!("{side} {percent} %"));
        vec![
            Html::text(watched(threshold.watch)),
            bound(threshold.warning_percent),
            bound(threshold.critical_percent),
        ]
    });
    card.push(Html::table(
        &["Watched", "Warning", "Critical"],
        rows.collect(),
    ));
    card
}

const fn watched(watch: Watch) -> &'static str {
    match watch {
        Watch::BackupSuccess => "Slots that ended with a usable point",
        Watch::RestoreSuccess => "Restore tests that brought the data back",
        Watch::Integrity => "Checks that found stored data whole",
        Watch::Capacity => "Capacity of a location that is used",
        Watch::ObjectiveUsed => "Age of the newest usable point, of the objective",
    }
}

/// When nothing starts, when heavy work is done, and how much may be deleted.
pub(super) fn windows(environment: &Environment) -> Html {
    let mut out = Html::with("h2", &[("id", "windows")], "Windows and limits");
    let frozen = environment.freeze_windows.iter().map(|window| {
        let planes: BTreeSet<String> = window.planes.iter().map(word).collect();
        let planes = planes.into_iter().collect::<Vec<_>>().join(", ");
        let (from, to, reason) = (window.from, window.to, &window.reason);
        format!("{from} until {to}, in {planes}: {reason}")
    });
    let maintained = environment.maintenance_windows.iter().map(|window| {
        let (cron, zone, lasts) = (&window.cron, &window.timezone, window.lasts_s.human());
        format!("{cron} in {zone}, for {lasts}")
    });
    let list = |items: Vec<String>, none: &str| {
        if items.is_empty() {
            return Html::text(none);
        }
        let items = items.into_iter().map(|item| Html::tag("li", item));
        Html::tag("ul", Html::joined(items, "\n"))
    };
    let budget = environment.delete_budget.as_ref().map_or_else(
        || "nothing".to_owned(),
        |budget| {
            let points = settings::count(budget.points, "recovery point");
            format!("{points} within {}", budget.within_s.human())
        },
    );
    let grace = environment.delete_grace_s;
    let grace = grace.map_or("nothing is deleted".to_owned(), Seconds::human);
    let waived = environment.waiver_limit_s;
    let waived = waived.map_or("no limit".to_owned(), Seconds::human);
    out.push(facts(vec![
        ("No backup starts", list(frozen.collect(), "no freeze")),
        (
            "Heavy work is done",
            list(maintained.collect(), "at any time"),
        ),
        ("May be deleted at most", Html::text(&budget)),
        ("Stays marked before it is deleted", Html::text(&grace)),
        ("A finding may be accepted for", Html::text(&waived)),
        (
            "A bundle is fresh for",
            Html::text(&environment.bundle_validity_s.human()),
        ),
    ]));
    out
}
