//! Owns the comparison of what the law says of data, and of who hears of what.

use std::collections::BTreeMap;

use super::Effect;
use super::judge::{Judge, told};
use super::settings::protects;
use crate::model::{
    AlertPolicy, DataRetention, EscalationStep, NotificationChannel, Settings, Threshold, Watch,
};

pub(super) fn compare<'a>(judge: &mut Judge<'a>, old: &'a Settings, new: &'a Settings) {
    judge.entries(
        "data_retention",
        &old.data_retention,
        &new.data_retention,
        protects,
        compare_data_retention,
    );
    judge.entries("alerts", &old.alerts, &new.alerts, protects, compare_alert);
    judge.entries(
        "channels",
        &old.channels,
        &new.channels,
        protects,
        compare_channel,
    );
}

fn compare_data_retention(judge: &mut Judge<'_>, old: &DataRetention, new: &DataRetention) {
    let DataRetention {
        data_retention_id,
        data_classification,
        layer,
        min_duration_s,
        max_duration_s,
        archive_after_s,
        purge_after_s,
        legal_hold,
    } = old;
    judge.label(
        "data_retention_id",
        data_retention_id,
        &new.data_retention_id,
    );
    judge.binding(
        "data_classification",
        data_classification,
        &new.data_classification,
    );
    judge.binding("layer", layer, &new.layer);
    judge.longer("min_duration_s", *min_duration_s, new.min_duration_s);
    judge.longer_if_any("max_duration_s", *max_duration_s, new.max_duration_s);
    // What is archived is still there, only slower to read.
    judge.label("archive_after_s", archive_after_s, &new.archive_after_s);
    judge.longer_if_any("purge_after_s", *purge_after_s, new.purge_after_s);
    judge.demand("legal_hold", *legal_hold, new.legal_hold);
}

fn compare_alert<'a>(judge: &mut Judge<'a>, old: &'a AlertPolicy, new: &'a AlertPolicy) {
    let AlertPolicy {
        alert_id,
        tiers,
        thresholds,
        window_s,
        escalation,
    } = old;
    judge.label("alert_id", alert_id, &new.alert_id);
    judge.more_is_stronger("tiers", tiers, &new.tiers);
    let by_watch = |thresholds: &'a [Threshold]| -> BTreeMap<Watch, &'a Threshold> {
        thresholds.iter().map(|one| (one.watch, one)).collect()
    };
    let (before, after) = (by_watch(thresholds), by_watch(&new.thresholds));
    judge.at("thresholds", |judge| {
        for (watch, was) in &before {
            let Some(is) = after.get(watch) else {
                judge.change(told(watch), Some(told(watch)), None, Effect::Weaker);
                continue;
            };
            let Threshold {
                watch: _,
                warning_percent,
                critical_percent,
            } = was;
            judge.at(told(watch), |judge| {
                for (key, was, is) in [
                    ("warning_percent", warning_percent, &is.warning_percent),
                    ("critical_percent", critical_percent, &is.critical_percent),
                ] {
                    // Heard of earlier is better.
                    if watch.more_is_worse() {
                        judge.fewer(key, was, is);
                    } else {
                        judge.more(key, was, is);
                    }
                }
            });
        }
        for watch in after.keys().filter(|watch| !before.contains_key(watch)) {
            judge.change(told(watch), None, Some(told(watch)), Effect::Stronger);
        }
    });
    // A longer window hears of a bad day later, and of a bad month for longer.
    judge.binding("window_s", window_s, &new.window_s);
    compare_escalation(judge, escalation, &new.escalation);
}

/// Steps are compared one by one; another number of them is neither better nor worse.
fn compare_escalation(judge: &mut Judge<'_>, old: &[EscalationStep], new: &[EscalationStep]) {
    if old.len() != new.len() {
        judge.binding("escalation", &old, &new);
        return;
    }
    judge.at("escalation", |judge| {
        for (index, (before, after)) in old.iter().zip(new).enumerate() {
            let EscalationStep { after_s, channels } = before;
            judge.at(index, |judge| {
                judge.shorter("after_s", *after_s, after.after_s);
                judge.more_is_stronger("channels", channels, &after.channels);
            });
        }
    });
}

fn compare_channel(judge: &mut Judge<'_>, old: &NotificationChannel, new: &NotificationChannel) {
    let NotificationChannel {
        channel_id,
        name,
        medium,
    } = old;
    judge.label("channel_id", channel_id, &new.channel_id);
    judge.label("name", name, &new.name);
    judge.binding("medium", medium, &new.medium);
}
