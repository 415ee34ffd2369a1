//! Owns what the running daemon and its clients say to each other: HTTP with JSON on a Unix socket in the state folder, which
//! only the daemon's own user can open. Holds no state. The types are [`Asked`], [`OperationView`] and [`Problem`].

pub mod client;
mod openapi;
pub mod remote;
pub mod resources;
pub mod server;

pub use openapi::document;

use contract::id::{BackupId, ChannelId, DatasetId, LocationId, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::control::restore;
use crate::failure::Failure;
use crate::progress::Pace;

/// What a person can ask of the running daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Asked {
    /// Take a recovery point of a plan now.
    Backup {
        /// The plan.
        #[schema(value_type = crate::schema::Id)]
        plan_id: PlanId,
    },
    /// Read recovery points again.
    Verify {
        /// Which one; the newest of each plan when absent.
        #[schema(value_type = Option<crate::schema::PointId>)]
        backup_id: Option<BackupId>,
    },
    /// Bring a dataset back.
    Restore {
        /// Which state, and where to.
        request: restore::Request,
    },
    /// Accept that a recovery point is gone.
    AcceptLoss {
        /// The recovery point.
        #[schema(value_type = crate::schema::PointId)]
        backup_id: BackupId,
        /// What happened.
        note: String,
    },
    /// Accept a location's folder as it is.
    AdoptLocation {
        /// The location.
        #[schema(value_type = crate::schema::Id)]
        location_id: LocationId,
    },
    /// Say that the clock is right.
    ConfirmClock {},
    /// Say that a source is what it should be.
    AcceptSource {
        /// The dataset.
        #[schema(value_type = crate::schema::Id)]
        dataset_id: DatasetId,
        /// Why.
        note: String,
    },
    /// Begin no scheduled backup of a plan for a time.
    Suspend {
        /// The plan.
        #[schema(value_type = crate::schema::Id)]
        plan_id: PlanId,
        /// Until when.
        #[schema(value_type = String, format = DateTime)]
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// Let the schedule of a plan count again.
    Resume {
        /// The plan.
        #[schema(value_type = crate::schema::Id)]
        plan_id: PlanId,
    },
    /// Take an alert on: no further channel is notified of it, unless it becomes worse.
    AcknowledgeAlert {
        /// Which one.
        #[schema(min_length = 1, max_length = 600)]
        alert_id: String,
        /// Why, or who does something about it.
        note: String,
    },
    /// Send a test message to a notification channel.
    TestChannel {
        /// The channel.
        #[schema(value_type = crate::schema::Id)]
        channel_id: ChannelId,
    },
    /// Check configuration, git, trust, locations, keys, sources and store.
    Doctor {},
}

impl Asked {
    /// What is asked for, in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Backup { plan_id } => format!("backup {plan_id}"),
            Self::Verify { backup_id: None } => "verify".to_owned(),
            Self::Verify {
                backup_id: Some(id),
            } => format!("verify {id}"),
            Self::Restore { request } => format!("restore {}", request.dataset),
            Self::AcceptLoss { backup_id, .. } => format!("accept-loss {backup_id}"),
            Self::AdoptLocation { location_id } => format!("location adopt {location_id}"),
            Self::ConfirmClock {} => "clock confirm".to_owned(),
            Self::AcceptSource { dataset_id, .. } => format!("source accept {dataset_id}"),
            Self::Suspend { plan_id, .. } => format!("suspend {plan_id}"),
            Self::Resume { plan_id } => format!("resume {plan_id}"),
            Self::AcknowledgeAlert { alert_id, .. } => format!("alerts ack {alert_id}"),
            Self::TestChannel { channel_id } => format!("alerts test {channel_id}"),
            Self::Doctor {} => "doctor".to_owned(),
        }
    }
}

/// A request and its name, which the client makes: the same name twice is one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Letters, digits, `-`, `_` and `.`; see [`is_name`].
    #[schema(min_length = 1, max_length = 256, pattern = "^[A-Za-z0-9._-]+$")]
    pub id: String,
    /// What is wanted.
    pub asked: Asked,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = State)]
pub enum OperationState {
    /// It waits for what must not run beside it, or works.
    Running,
    /// It ended, and its result is there.
    Succeeded,
    /// It ended, and its failure is there.
    Failed,
}

impl OperationState {
    /// Of an operation that ended.
    pub const fn of(failure: Option<&Failure>) -> Self {
        match failure {
            None => Self::Succeeded,
            Some(_) => Self::Failed,
        }
    }
}

/// One operation of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    /// Its name.
    pub id: String,
    /// What was asked for; absent for what policy wants.
    pub asked: Option<Asked>,
    /// How far it is.
    pub state: OperationState,
    /// When it was asked for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub asked_at: Option<Timestamp>,
    /// Who asked.
    pub requested_by: Option<String>,
    /// What it came to; the JSON that the command prints.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How far it is, while it works.
    #[serde(default)]
    pub progress: Option<Pace>,
}

/// Why a request is not taken, as RFC 9457 has it, with our code and help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:seawall:SW1217` …
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's own line.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here.
    pub detail: String,
    /// What to do.
    pub help: String,
}

/// Whether a text is a valid operation name: names appear in URLs and logs.
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits)
}

/// Names of operations hold a kind, a dataset or plan, an instant and a number; ids have 64 letters at most each.
const MAX_NAME: usize = 256;
