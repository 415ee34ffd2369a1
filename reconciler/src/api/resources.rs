//! Owns what the API shows of plans, slots, recovery points and receipts: values of its own, so that what is stored can change and
//! what clients read stays. Holds nothing.

use std::collections::{BTreeMap, BTreeSet};

use contract::code::Code;
use contract::duration::Seconds;
use contract::id::{AlertId, BackupId, ChannelId, DatasetId, LocationId, PlanId};
use contract::model;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{AlertRecord, Run, RunStatus, Severity, SlotRecord, Verification};
use crate::schema::{Id, PointId};
use crate::status::PlanStatus;

/// One server-sent event.
#[derive(Debug, ToSchema)]
pub struct OperationEvent {
    /// `progress`, and `end` on the last one.
    #[expect(dead_code, reason = "described, never made")]
    event: String,
    /// The operation, as `GET /v1/operations/{id}` gives it.
    #[expect(dead_code, reason = "described, never made")]
    data: String,
}

/// One page of a list. `next` is the cursor of the page after it; absent on the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A plan of the active policy that this reconciler attends to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// Its id.
    #[schema(value_type = Id)]
    pub plan_id: PlanId,
    /// What people call it.
    pub name: String,
    /// What it protects.
    #[schema(value_type = Vec<Id>)]
    pub dataset_ids: BTreeSet<DatasetId>,
    /// Where its recovery points go.
    #[schema(value_type = Vec<Id>)]
    pub locations: BTreeSet<LocationId>,
    /// When it runs.
    pub schedule: ScheduleView,
    /// How it stands.
    pub status: PlanStatus,
}

/// When a plan runs. Exactly one of `cron`, `every_s` and `max_lag_s` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// Its id.
    pub schedule_id: String,
    /// A five-field cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA zone in which `cron` is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// A period in seconds, counted from 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<u64>,
    /// Continuous archiving, with the longest lag in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lag_s: Option<u64>,
    /// A run begins at most this many seconds after its slot.
    pub start_window_s: u64,
    /// A run ends at most this many seconds after its slot, its check included.
    pub completion_window_s: u64,
}

impl From<&model::Schedule> for ScheduleView {
    fn from(schedule: &model::Schedule) -> Self {
        Self {
            schedule_id: schedule.schedule_id.to_string(),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            every_s: schedule.every_s.map(Seconds::get),
            max_lag_s: schedule.continuous.as_ref().map(|it| it.max_lag_s.get()),
            start_window_s: schedule.start_window_s.get(),
            completion_window_s: schedule.completion_window_s.get(),
        }
    }
}

/// How a slot ended, or a run of slots that were missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotView {
    /// The plan.
    #[schema(value_type = Id)]
    pub plan_id: PlanId,
    /// The first slot.
    #[schema(value_type = String, format = DateTime)]
    pub first: Timestamp,
    /// The last slot; the same as the first, missed ones aside.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
    /// How many slots.
    pub count: u64,
    /// `success`, `failure` or `missed`.
    pub outcome: String,
    /// The recovery point or the failed run.
    #[schema(value_type = Option<PointId>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// Why it is no success, or why it was late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When that was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: Timestamp,
}

impl From<SlotRecord> for SlotView {
    fn from(slot: SlotRecord) -> Self {
        Self {
            plan_id: slot.plan_id,
            first: slot.first,
            last: slot.last,
            count: slot.count,
            outcome: slot.outcome.as_str().to_owned(),
            backup_id: slot.backup_id,
            why: slot.why,
            ended_at: slot.ended_at,
        }
    }
}

/// A recovery point, or a run that left none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveryPoint {
    /// Its id.
    #[schema(value_type = PointId)]
    pub backup_id: BackupId,
    /// The plan that made it.
    #[schema(value_type = Id)]
    pub plan_id: PlanId,
    /// What it holds.
    #[schema(value_type = Vec<Id>)]
    pub dataset_ids: BTreeSet<DatasetId>,
    /// The slot it was for; absent when a person asked for it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// When its run began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When its run ended.
    #[schema(value_type = String, format = DateTime)]
    pub finished_at: Timestamp,
    /// The state that it shows.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_at: Option<Timestamp>,
    /// `full` or `incremental`.
    pub backup_type: String,
    /// `success`, `partial` or `failure`; only a success left a recovery point.
    pub status: String,
    /// `pending`, `verified`, `suspect` or `lost`.
    pub verification: String,
    /// Where it is.
    #[schema(value_type = Vec<Id>)]
    pub locations: BTreeSet<LocationId>,
    /// Bytes of its datasets.
    pub bytes: u64,
    /// Bytes that its run added to each location.
    pub added_bytes: u64,
    /// Whether its run needed longer than the completion window.
    pub overran: bool,
    /// Why its run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<Run> for RecoveryPoint {
    fn from(run: Run) -> Self {
        let verification = match &run.verification {
            Verification::Pending => "pending",
            Verification::Verified { .. } => "verified",
            Verification::Suspect { .. } => "suspect",
            Verification::Lost { .. } => "lost",
        };
        Self {
            backup_id: run.backup_id,
            plan_id: run.plan_id,
            dataset_ids: run.dataset_ids,
            slot: run.slot,
            started_at: run.started_at,
            finished_at: run.finished_at,
            consistent_at: run.consistent_at,
            backup_type: run.backup_type.as_str().to_owned(),
            status: RunStatus::as_str(run.status).to_owned(),
            verification: verification.to_owned(),
            locations: run.storage_locations.into_keys().collect(),
            bytes: run.bytes,
            added_bytes: run.added_bytes,
            overran: run.overran,
            error: run.error,
        }
    }
}

/// An alert that is active, or of which a channel has to hear that it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    /// The same problem has the same id.
    pub alert_id: String,
    /// How urgent it is.
    pub severity: Severity,
    /// Its code.
    #[schema(value_type = String)]
    pub code: Code,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub summary: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Since when it does not hold any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cleared_at: Option<Timestamp>,
    /// Who took it on.
    pub acknowledged_by: Option<String>,
    /// In that person's words.
    pub note: Option<String>,
    /// The alert policies that watch it.
    #[schema(value_type = Vec<Id>)]
    pub alert_policies: BTreeSet<AlertId>,
    /// The channels that were notified, and when.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub notified: BTreeMap<ChannelId, Timestamp>,
}

impl From<AlertRecord> for AlertView {
    fn from(record: AlertRecord) -> Self {
        let (acknowledged_by, note) = match record.taken {
            Some(taken) => (Some(taken.actor), Some(taken.note)),
            None => (None, None),
        };
        let alert = record.alert;
        let notified = record.notified.into_iter();
        Self {
            alert_id: alert.alert_id,
            severity: alert.severity,
            code: alert.code,
            subject: alert.subject,
            summary: alert.summary,
            since: record.since,
            cleared_at: record.cleared_at,
            acknowledged_by,
            note,
            alert_policies: alert.policies,
            notified: notified.map(|(id, it)| (id, it.at)).collect(),
        }
    }
}

/// One receipt of the log: its sequence number, and its signed envelope as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// From 0.
    pub sequence: u64,
    /// The DSSE envelope.
    #[schema(value_type = Object)]
    pub envelope: serde_json::Value,
}
