//! Owns which alerts are active, from the policy's AlertPolicy documents and what is known: a pure function. Never decides who is
//! notified; that is [`escalation`]. The interesting function is [`active`].

pub mod escalation;

use std::collections::{BTreeMap, BTreeSet};

use contract::code::{self, Code};
use contract::duration::Seconds;
use contract::id::{AlertId, ChannelId, LocationId, TierId};
use contract::model::{AlertPolicy, BackupPlan, Model, Threshold, Watch};

use crate::domain::{Alert, Severity, Tallied};
use crate::status::{DatasetStatus, PlanProblem, PlanStatus, Status, Word};

/// What an operator decided, or policy asks for and this version does not do: it is shown, and rings no pager at night.
const QUIET: [Code; 2] = [code::PLAN_SUSPENDED, code::POLICY_UNHEEDED];

/// These are alerts about their channels.
const OF_CHANNELS: [Code; 2] = [code::CHANNEL_UNBOUND, code::NOTIFICATION_FAILED];

/// A long reason is in the status; a message has this many characters of it.
const SUMMARY: usize = 600;

/// What alerts follow from.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The active policy.
    pub model: &'a Model,
    /// How everything stands.
    pub status: &'a Status,
    /// What ended within the window of each alert policy that has one.
    pub ended: &'a BTreeMap<AlertId, Vec<Tallied>>,
    /// Bytes in all and bytes free of each location that could be inspected.
    pub capacities: &'a BTreeMap<LocationId, (u64, u64)>,
    /// What is wrong with notification channels.
    pub channels: &'a [ChannelProblem],
}

/// Something that keeps messages from a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelProblem {
    /// Its code.
    pub code: Code,
    /// The channel.
    pub channel_id: ChannelId,
    /// In words.
    pub why: String,
}

/// What is known of alerts.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every alert that is active, by its id.
    pub active: BTreeMap<String, Alert>,
    /// Alerts that go on if they were active, and do not begin: work that may end them is under way.
    pub held: BTreeSet<String>,
    /// Alerts that no policy watches any more.
    pub unwatched: BTreeSet<String>,
    /// Subjects of which not everything could be seen: no alert about them ends.
    pub unknown: BTreeSet<String>,
}

/// The alerts of a policy; `known` are those that are remembered.
pub fn active<'k>(scene: &Scene<'_>, known: impl IntoIterator<Item = &'k Alert>) -> Seen {
    let mut seen = Seen::default();
    let unwatched = known
        .into_iter()
        .filter(|it| !is_watched_still(scene.model, it));
    seen.unwatched = unwatched.map(|it| it.alert_id.clone()).collect();
    for plan in &scene.status.plans {
        seen.of_unseen(scene.model, plan);
    }
    for policy in scene.model.settings.alerts.values() {
        for threshold in &policy.thresholds {
            seen.of_threshold(scene, policy, threshold);
        }
        seen.of_conditions(scene, policy);
    }
    seen
}

/// Whether a policy that watched an alert still watches its subject.
fn is_watched_still(model: &Model, alert: &Alert) -> bool {
    let policies = || {
        let ids = alert.policies.iter();
        ids.filter_map(|id| model.settings.alerts.get(id))
    };
    match alert.subject.split_once(' ') {
        Some(("plan", id)) => {
            let plan = model.plans.iter().find(|(known, _)| known.as_str() == id);
            plan.is_some_and(|(_, plan)| policies().any(|it| is_watched(model, it, plan)))
        }
        Some(("dataset", id)) => {
            let dataset = model
                .datasets
                .values()
                .find(|it| it.dataset_id.as_str() == id);
            dataset
                .is_some_and(|it| policies().any(|policy| policy.tiers.contains(&it.criticality)))
        }
        Some(("location", id)) => {
            let mut plans = model.plans.values();
            plans.any(|plan| {
                plan.locations.iter().any(|it| it.as_str() == id)
                    && policies().any(|policy| is_watched(model, policy, plan))
            })
        }
        _ => policies().next().is_some(),
    }
}

impl Seen {
    /// Two policies that watch one thing give one alert, and so do two problems with one code of one plan.
    fn add(&mut self, policy: &AlertPolicy, alert: Alert) {
        let (severity, summary) = (alert.severity, alert.summary.clone());
        let known = self.active.entry(alert.alert_id.clone()).or_insert(alert);
        known.policies.insert(policy.alert_id.clone());
        known.severity = known.severity.max(severity);
        if !known.summary.contains(&summary) {
            known.summary = shortened(&format!("{}; {summary}", known.summary));
        }
    }

    /// A plan that was not inspected, or of which something is unknown: it and its locations may be worse than they look.
    fn of_unseen(&mut self, model: &Model, plan: &PlanStatus) {
        let Some(plan_id) = &plan.condition.plan_id else {
            return;
        };
        let unknown = plan
            .problems
            .iter()
            .filter(|it| it.condition == Word::Unknown);
        for id in unknown.clone().filter_map(|it| it.location_id.as_ref()) {
            self.unknown.insert(format!("location {id}"));
        }
        if plan.is_observed && unknown.clone().all(|it| it.location_id.is_some()) {
            return;
        }
        self.unknown.insert(format!("plan {plan_id}"));
        if let Some(plan) = model.plans.get(plan_id) {
            let datasets = plan.dataset_ids.iter().map(|id| format!("dataset {id}"));
            let locations = plan.locations.iter().map(|id| format!("location {id}"));
            self.unknown.extend(datasets.chain(locations));
        }
    }

    /// What is wrong whatever the thresholds are: with the daemon, its channels, and the plans of the policy's tiers.
    fn of_conditions(&mut self, scene: &Scene<'_>, policy: &AlertPolicy) {
        for condition in &scene.status.overall {
            if let (Some(code), Some(severity)) = (condition.code, urgency(condition.condition))
                && !OF_CHANNELS.contains(&code)
            {
                self.add_condition(policy, code, severity, "daemon", &condition.why);
            }
        }
        for problem in scene.channels {
            let subject = format!("channel {}", problem.channel_id);
            let (code, severity) = (problem.code, Severity::Warning);
            self.add_condition(policy, code, severity, &subject, &problem.why);
        }
        for plan in &scene.status.plans {
            let Some(plan_id) = &plan.condition.plan_id else {
                continue;
            };
            let Some(planned) = scene.model.plans.get(plan_id) else {
                continue;
            };
            if !is_watched(scene.model, policy, planned) {
                continue;
            }
            for problem in &plan.problems {
                let Some(severity) = urgency(problem.condition) else {
                    continue;
                };
                // Before it was inspected, nothing is known of it.
                let is_unseen = !plan.is_observed && problem.condition == Word::Unknown;
                if is_unseen || self.says_the_same(policy, planned, problem) {
                    continue;
                }
                // A location that fails is one alert, however many plans use it.
                let subject = match (&problem.location_id, &problem.dataset_id) {
                    (Some(id), _) => format!("location {id}"),
                    (None, Some(id)) => format!("dataset {id}"),
                    (None, None) => format!("plan {plan_id}"),
                };
                if problem.is_worked_on {
                    self.held.insert(condition_id(problem.code, &subject));
                } else {
                    self.add_condition(policy, problem.code, severity, &subject, &problem.why);
                }
            }
        }
    }

    /// Whether a threshold on the age of recovery points says it already. A plan's own objective has no threshold.
    fn says_the_same(
        &self,
        policy: &AlertPolicy,
        plan: &BackupPlan,
        problem: &PlanProblem,
    ) -> bool {
        let watch = Watch::ObjectiveUsed.as_str();
        let mut datasets = plan.dataset_ids.iter();
        problem.code == code::RPO_MISSED
            && plan.target_rpo_s.is_none()
            && datasets.any(|id| {
                let alert = format!("{}.{watch}.dataset.{id}", policy.alert_id);
                self.active.contains_key(&alert)
            })
    }

    fn add_condition(
        &mut self,
        policy: &AlertPolicy,
        code: Code,
        severity: Severity,
        subject: &str,
        why: &str,
    ) {
        if QUIET.contains(&code) {
            return;
        }
        let alert = Alert {
            alert_id: condition_id(code, subject),
            severity,
            code,
            subject: subject.to_owned(),
            title: code.summary().to_owned(),
            summary: shortened(why),
            policies: BTreeSet::new(),
        };
        self.add(policy, alert);
    }

    fn of_threshold(&mut self, scene: &Scene<'_>, policy: &AlertPolicy, threshold: &Threshold) {
        match threshold.watch {
            Watch::ObjectiveUsed => self.of_objectives(scene, policy, threshold),
            Watch::Capacity => self.of_capacity(scene, policy, threshold),
            Watch::BackupSuccess => {
                let says = "of the slots ended with a usable recovery point";
                let what = ("slot", code::LAST_RUN_FAILED, says);
                self.of_shares(scene, policy, threshold, what, watched_plans);
            }
            Watch::Integrity => {
                let what = (
                    "verify",
                    code::POINT_SUSPECT,
                    "of the checks found stored data intact",
                );
                self.of_shares(scene, policy, threshold, what, watched_plans);
            }
            Watch::RestoreSuccess => {
                let what = ("restore", code::RESTORE_FAILED, "of the restores succeeded");
                self.of_shares(scene, policy, threshold, what, watched_datasets);
            }
        }
    }

    /// Shares of what ended, for each plan or dataset that the policy watches; one of which nothing ended has none.
    fn of_shares(
        &mut self,
        scene: &Scene<'_>,
        policy: &AlertPolicy,
        threshold: &Threshold,
        (what, code, says): (&str, Code, &str),
        watched: fn(&Model, &AlertPolicy) -> BTreeMap<String, String>,
    ) {
        let shares = share(scene, policy, what, threshold.watch.counted_ends());
        let window = policy.window_s.map(Seconds::human).unwrap_or_default();
        for (id, subject) in watched(scene.model, policy) {
            let Some(ratio) = shares.get(id.as_str()) else {
                continue;
            };
            if let Some(severity) = ratio.crosses(threshold) {
                let summary = format!("{} {says} within {window}", ratio.percent());
                self.add_threshold(policy, threshold.watch, severity, (subject, code), summary);
            }
        }
    }

    fn of_objectives(&mut self, scene: &Scene<'_>, policy: &AlertPolicy, threshold: &Threshold) {
        let is_ours = |it: &&DatasetStatus| policy.tiers.contains(&it.tier);
        for dataset in scene.status.datasets.iter().filter(is_ours) {
            let Some(age) = dataset.age_s else {
                self.unknown
                    .insert(format!("dataset {}", dataset.dataset_id));
                continue;
            };
            let ratio = Ratio {
                part: age.get(),
                whole: dataset.rpo_s.get(),
            };
            let Some(severity) = ratio.crosses(threshold) else {
                continue;
            };
            let what = match dataset.newest {
                Some(_) => "the newest usable recovery point shows its state of",
                None => "there was no usable recovery point for",
            };
            let ago = if dataset.newest.is_some() { " ago" } else { "" };
            let summary = format!(
                "{what} {}{ago}, {} of its RPO of {}",
                age.human(),
                ratio.percent(),
                dataset.rpo_s.human()
            );
            let subject = format!("dataset {}", dataset.dataset_id);
            let what = (subject, code::RPO_MISSED);
            self.add_threshold(policy, threshold.watch, severity, what, summary);
        }
    }

    fn of_capacity(&mut self, scene: &Scene<'_>, policy: &AlertPolicy, threshold: &Threshold) {
        let plans = scene.model.plans.values();
        let used: BTreeSet<&LocationId> = plans
            .filter(|plan| is_watched(scene.model, policy, plan))
            .flat_map(|plan| &plan.locations)
            .collect();
        for id in used {
            let Some((size, free)) = scene.capacities.get(id) else {
                self.unknown.insert(format!("location {id}"));
                continue;
            };
            let ratio = Ratio {
                part: size.saturating_sub(*free),
                whole: *size,
            };
            if let Some(severity) = ratio.crosses(threshold) {
                let summary = format!("{} of it is used", ratio.percent());
                let what = (format!("location {id}"), code::VAULT_LOCATION_FULL);
                self.add_threshold(policy, threshold.watch, severity, what, summary);
            }
        }
    }

    /// Policies may set different thresholds for one thing: each gives an alert of its own.
    fn add_threshold(
        &mut self,
        policy: &AlertPolicy,
        watch: Watch,
        severity: Severity,
        (subject, code): (String, Code),
        summary: String,
    ) {
        let about = subject.replace(' ', ".");
        let alert = Alert {
            alert_id: format!("{}.{}.{about}", policy.alert_id, watch.as_str()),
            severity,
            code,
            subject,
            title: title(watch).to_owned(),
            summary,
            policies: BTreeSet::new(),
        };
        self.add(policy, alert);
    }
}

/// The id of the alert of a condition.
fn condition_id(code: Code, subject: &str) -> String {
    format!("{code}.{}", subject.replace(' ', "."))
}

/// What a threshold watches, for people.
const fn title(watch: Watch) -> &'static str {
    match watch {
        Watch::BackupSuccess => "share of slots with a usable recovery point",
        Watch::RestoreSuccess => "share of restores that succeeded",
        Watch::Integrity => "share of checks that found stored data intact",
        Watch::Capacity => "used capacity",
        Watch::ObjectiveUsed => "age of the newest usable recovery point",
    }
}

/// Whether work that is due, or nothing, is behind a word; the others are warnings, and a person is needed for one.
const fn urgency(word: Word) -> Option<Severity> {
    match word {
        Word::Ready | Word::Reconciling => None,
        Word::Waiting | Word::Unknown => Some(Severity::Warning),
        Word::Stalled => Some(Severity::Critical),
    }
}

/// Whether a plan protects data of the policy's tiers.
fn is_watched(model: &Model, policy: &AlertPolicy, plan: &BackupPlan) -> bool {
    let tier = |id| Some(&model.datasets.get(id)?.criticality);
    let mut tiers = plan.dataset_ids.iter().filter_map(tier);
    tiers.any(|tier: &TierId| policy.tiers.contains(tier))
}

/// The plans that a policy watches, and the subject of an alert about each.
fn watched_plans(model: &Model, policy: &AlertPolicy) -> BTreeMap<String, String> {
    let plans = model.plans.iter();
    plans
        .filter(|(_, plan)| is_watched(model, policy, plan))
        .map(|(id, _)| (id.to_string(), format!("plan {id}")))
        .collect()
}

/// The same of datasets.
fn watched_datasets(model: &Model, policy: &AlertPolicy) -> BTreeMap<String, String> {
    let all = model.plans.values().flat_map(|plan| &plan.dataset_ids);
    all.filter(|id| {
        let dataset = model.datasets.get(*id);
        dataset.is_some_and(|it| policy.tiers.contains(&it.criticality))
    })
    .map(|id| (id.to_string(), format!("dataset {id}")))
    .collect()
}

/// A part of a whole, compared without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ratio {
    part: u64,
    whole: u64,
}

impl Ratio {
    /// How urgent it is by a threshold; the same comparison as in the rules of `seawall alerts`.
    fn crosses(self, threshold: &Threshold) -> Option<Severity> {
        let crosses = |percent: u32| {
            let (part, limit) = (
                u128::from(self.part) * 100,
                u128::from(self.whole) * u128::from(percent),
            );
            if threshold.watch.more_is_worse() {
                part > limit
            } else {
                part < limit
            }
        };
        let all = [
            (threshold.critical_percent, Severity::Critical),
            (threshold.warning_percent, Severity::Warning),
        ];
        let mut all = all.into_iter();
        all.find(|(percent, _)| self.whole > 0 && crosses(*percent))
            .map(|(_, severity)| severity)
    }

    fn percent(self) -> String {
        let tenths = u128::from(self.part) * 1_000 / u128::from(self.whole.max(1));
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

/// How much of what ended within the policy's window ended well, by subject.
fn share<'s>(
    scene: &Scene<'s>,
    policy: &AlertPolicy,
    what: &str,
    ends: &[&str],
) -> BTreeMap<&'s str, Ratio> {
    let mut shares: BTreeMap<&str, Ratio> = BTreeMap::new();
    let ended = scene.ended.get(&policy.alert_id).into_iter().flatten();
    for tallied in ended.filter(|it| it.what == what && ends.contains(&&*it.outcome)) {
        let share = shares.entry(&tallied.subject);
        let share = share.or_insert(Ratio { part: 0, whole: 0 });
        share.whole += tallied.count;
        if tallied.outcome == "success" {
            share.part += tallied.count;
        }
    }
    shares
}

fn shortened(text: &str) -> String {
    let line = contract::hidden::one_line(text);
    match line.char_indices().nth(SUMMARY) {
        None => line,
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn threshold(watch: Watch, warning: u32, critical: u32) -> Threshold {
        Threshold {
            watch,
            warning_percent: warning,
            critical_percent: critical,
        }
    }

    #[test]
    fn a_threshold_is_crossed_beyond_it_and_not_at_it() {
        let crosses = |part, whole, watch, warning, critical| {
            Ratio { part, whole }.crosses(&threshold(watch, warning, critical))
        };
        let (warning, critical) = (Some(Severity::Warning), Some(Severity::Critical));
        for (part, expected) in [
            (70, None),
            (71, warning),
            (90, warning),
            (91, critical),
            (300, critical),
        ] {
            assert_eq!(
                crosses(part, 100, Watch::ObjectiveUsed, 70, 90),
                expected,
                "{part}"
            );
        }
        for (part, expected) in [
            (990, None),
            (989, warning),
            (950, warning),
            (949, critical),
            (0, critical),
        ] {
            assert_eq!(
                crosses(part, 1_000, Watch::BackupSuccess, 99, 95),
                expected,
                "{part}"
            );
        }
        assert_eq!(crosses(0, 0, Watch::BackupSuccess, 99, 95), None);
    }

    proptest! {
        /// The same as exact fractions, whatever the sizes: bytes of a location times a hundred are more than a `u64` holds.
        #[test]
        fn no_size_is_too_large(part: u64, whole: u64, warning in 0_u32..=100) {
            let found = Ratio { part, whole }.crosses(&threshold(Watch::Capacity, warning, 100));
            let is_beyond = |percent: u32| whole > 0 && part / 100 > whole / 10_000 * u64::from(percent) + 100;
            if is_beyond(100) {
                prop_assert_eq!(found, Some(Severity::Critical));
            } else if is_beyond(warning) {
                prop_assert!(found.is_some());
            }
        }
    }
}
