//! Owns what a channel is sent: alerts, and operations that ended. Its JSON is what webhooks receive. Never knows how it travels.

use std::collections::BTreeSet;

use contract::code::Code;
use contract::id::{AlertId, DatasetId, EnvironmentId, PlanId, ReconcilerId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Severity;

/// The version of the message format. A reader ignores fields that it does not know; a field is removed or changes its meaning only with
/// a new version.
pub const MESSAGE_VERSION: u32 = 1;

/// One message to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The version of this format: 1.
    pub schema_version: u32,
    /// The same news has the same id: a receiver that sees one again has it already.
    pub message_id: String,
    /// The environment.
    #[schemars(with = "String")]
    pub environment: EnvironmentId,
    /// The reconciler that sends it.
    #[schemars(with = "String")]
    pub reconciler_id: ReconcilerId,
    /// When it was written.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub sent_at: Timestamp,
    /// Whether an operator asked for it to test the channel: nothing is wrong then.
    pub is_test: bool,
    /// Alerts that became active or more urgent, and those that are over.
    pub alerts: Vec<Notice>,
    /// Backups and restores that ended.
    pub completed: Vec<Completion>,
}

/// Whether an alert is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Something is wrong.
    Active,
    /// It is well again.
    Resolved,
}

/// What a message says of one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// The same problem has the same id.
    pub alert_id: String,
    /// Whether it is active.
    pub state: AlertState,
    /// `warning` or `critical`.
    #[schemars(with = "String")]
    pub severity: Severity,
    /// Its code; `seawall explain` shows the page.
    #[schemars(with = "String")]
    pub code: Code,
    /// What it is about: `plan bp_shop`, `location loc_a`, `dataset ds_shop` or `daemon`.
    pub subject: String,
    /// What is watched, in a few words.
    pub title: String,
    /// What is wrong.
    pub summary: String,
    /// What to do.
    pub remedy: String,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Since when it is over.
    #[schemars(with = "Option<String>")]
    pub resolved_at: Option<Timestamp>,
    /// The alert policies that watch it.
    #[schemars(with = "BTreeSet<String>")]
    pub alert_policies: BTreeSet<AlertId>,
}

/// A backup or a restore that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// The operation, as logs and receipts name it.
    pub operation_id: String,
    /// `backup` or `restore`.
    pub kind: String,
    /// The plan.
    #[schemars(with = "Option<String>")]
    pub plan_id: Option<PlanId>,
    /// The datasets.
    #[schemars(with = "Vec<String>")]
    pub dataset_ids: Vec<DatasetId>,
    /// `success`, `partial` or `failure`.
    pub result: String,
    /// Why it is no success.
    pub error: Option<String>,
    /// When it ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended_at: Timestamp,
    /// The number of its receipt in the log.
    pub receipt: u64,
}

/// The JSON Schema of a message.
pub fn message_schema() -> serde_json::Value {
    schemars::schema_for!(Message).to_value()
}

impl Message {
    /// What it is about, in one line.
    pub fn headline(&self) -> String {
        let active = |it: &&Notice| it.state == AlertState::Active;
        let worst = self
            .alerts
            .iter()
            .filter(active)
            .max_by_key(|it| it.severity);
        let more = |all: usize| match all {
            0 | 1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        if self.is_test {
            return "test message".to_owned();
        }
        if let Some(worst) = worst {
            let all = self.alerts.iter().filter(active).count();
            return format!(
                "{}: {}, {}{}",
                worst.severity.as_str().to_uppercase(),
                worst.subject,
                worst.title,
                more(all)
            );
        }
        if let Some(over) = self.alerts.first() {
            return format!(
                "resolved: {}, {}{}",
                over.subject,
                over.title,
                more(self.alerts.len())
            );
        }
        match self.completed.first() {
            Some(first) => format!(
                "{} of {}: {}{}",
                first.kind,
                first.plan_id.as_ref().map_or("a dataset", PlanId::as_str),
                first.result,
                more(self.completed.len())
            ),
            None => "nothing".to_owned(),
        }
    }

    /// All of it, a paragraph for each alert.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.is_test {
            parts.push("An operator tests this channel. Nothing is wrong.".to_owned());
        }
        parts.extend(self.alerts.iter().map(Notice::text));
        let completed: Vec<String> = self.completed.iter().map(Completion::text).collect();
        if !completed.is_empty() {
            parts.push(completed.join("\n"));
        }
        parts.push(format!(
            "seawalld {}, environment {}, {}",
            self.reconciler_id, self.environment, self.sent_at
        ));
        parts.join("\n\n")
    }
}

impl Notice {
    fn text(&self) -> String {
        match (self.state, self.resolved_at) {
            (AlertState::Active, _) => format!(
                "{} {} [{}]: {}\nactive since {}\nto do: {}\nacknowledge: seawalld alerts ack {}",
                self.severity.as_str().to_uppercase(),
                self.subject,
                self.code,
                self.summary,
                self.since,
                self.remedy,
                self.alert_id
            ),
            (AlertState::Resolved, at) => format!(
                "resolved {} [{}], {}\nactive from {} to {}",
                self.subject,
                self.code,
                self.title,
                self.since,
                at.unwrap_or(self.since)
            ),
        }
    }
}

impl Completion {
    fn text(&self) -> String {
        let datasets: Vec<&str> = self.dataset_ids.iter().map(DatasetId::as_str).collect();
        let error = self.error.as_ref().map(|why| format!(": {why}"));
        format!(
            "{} {} of {} at {}{} (receipt {})",
            self.kind,
            self.result,
            datasets.join(", "),
            self.ended_at,
            error.unwrap_or_default(),
            self.receipt
        )
    }
}
