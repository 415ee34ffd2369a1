//! Owns what is known of one run of a backup plan, and of the recovery point that it left. Never looks at one.

use std::collections::{BTreeMap, BTreeSet};

use contract::digest::Digest;
use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Leaving, Manifest, SourceProfile};

/// Whether a run read everything again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupType {
    /// It read everything and stands on no earlier run.
    Full,
    /// It took over what had not changed since an earlier run.
    Incremental,
}

impl BackupType {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// A whole recovery point is committed.
    Success,
    /// The source could not be read whole; no recovery point was kept.
    Partial,
    /// It failed; no recovery point was kept.
    Failure,
}

impl RunStatus {
    /// The word in tables and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failure => "failure",
        }
    }
}

/// Whether a recovery point was read again and found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Verification {
    /// Not looked at since it was taken.
    Pending,
    /// Every byte of it was read and is what it was.
    Verified {
        /// When.
        at: Timestamp,
        /// Where.
        locations: BTreeSet<LocationId>,
    },
    /// Something in it is damaged or missing, at every location that holds it.
    Suspect {
        /// When that was found.
        at: Timestamp,
        /// What was found.
        why: String,
    },
    /// Every location where it should be was listed, and none has it.
    Lost {
        /// When that was seen.
        at: Timestamp,
    },
}

/// One run in the catalog: a backup that ended, with or without a recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its id.
    pub backup_id: BackupId,
    /// The plan that made it.
    pub plan_id: PlanId,
    /// What it holds.
    pub dataset_ids: BTreeSet<DatasetId>,
    /// The slot it was for; absent for an operator's backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The earliest consistency point of its datasets; absent without a recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_at: Option<Timestamp>,
    /// Full or incremental.
    pub backup_type: BackupType,
    /// The recovery point without which this one cannot be read. Absent for a snapshot, which needs no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BackupId>,
    /// How it ended.
    pub status: RunStatus,
    /// The kid of the repository that it is in.
    pub kid: Kid,
    /// The snapshot in that repository; absent without a recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Locations that hold it, as descriptors `<location_id>:<environment>/<plan_id>/<kid>`.
    pub storage_locations: BTreeMap<LocationId, String>,
    /// SHA-256 of the snapshot's tree and of other payloads, by name.
    pub checksums: BTreeMap<String, String>,
    /// Whether it was checked.
    pub verification: Verification,
    /// Locations at which it is known to be damaged, and what was found there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub damaged_at: BTreeMap<LocationId, String>,
    /// Bytes of the datasets.
    pub bytes: u64,
    /// Bytes that the run added to each location.
    pub added_bytes: u64,
    /// The policy that it was taken under; absent for a run that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_snapshot_hash: Option<Digest>,
    /// Checksums of the files that connectors made, for the restore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manifests: BTreeMap<DatasetId, Manifest>,
    /// Its failure, with the code before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What each source was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<DatasetId, SourceProfile>,
    /// Datasets whose source had collapsed or was another one, and what was seen; a person may accept it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collapsed: BTreeMap<DatasetId, String>,
    /// Whether the clock that its times are by was in doubt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_in_doubt: bool,
    /// Whether it needed longer than its completion window, or was ended for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overran: bool,
    /// Since when it is to be deleted, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// Whether it shows what a restore was about to replace: that is mostly damaged, and never the latest good state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_restore: bool,
}

/// Whether an instant is past. The clock has whole seconds: an instant within the current second is.
pub fn has_come(at: Timestamp, now: Timestamp) -> bool {
    at.as_second() <= now.as_second()
}

impl Run {
    /// Whether it left a recovery point.
    pub fn is_point(&self) -> bool {
        self.status == RunStatus::Success && self.snapshot_id.is_some()
    }

    /// Whether its point passed its check.
    pub fn is_verified(&self) -> bool {
        matches!(self.verification, Verification::Verified { .. })
    }

    /// Whether its point is known to be gone from every location.
    pub fn is_lost(&self) -> bool {
        matches!(self.verification, Verification::Lost { .. })
    }

    /// Whether its point is known to be damaged everywhere.
    pub fn is_suspect(&self) -> bool {
        matches!(self.verification, Verification::Suspect { .. })
    }

    /// Whether a restore may choose its point automatically: as far as is known, some location has it sound, and it shows what its
    /// sources should be.
    pub fn may_serve(&self) -> bool {
        self.is_point() && self.is_good() && !self.before_restore
    }

    /// Whether it is not damaged, not lost, and no source of it had collapsed.
    pub fn is_good(&self) -> bool {
        !self.is_suspect() && !self.is_lost() && self.collapsed.is_empty()
    }

    /// Whether its instant can be believed: no clock in doubt wrote it, and it has come.
    pub fn is_of_known_time(&self, now: Timestamp) -> bool {
        !self.clock_in_doubt && has_come(self.instant(), now)
    }

    /// What makes one run newer than another: an instant that can be believed before any that cannot.
    pub fn rank(&self, now: Timestamp) -> (bool, Timestamp) {
        (self.is_of_known_time(now), self.instant())
    }

    /// The instant that it is ordered by.
    pub fn instant(&self) -> Timestamp {
        self.slot.or(self.consistent_at).unwrap_or(self.started_at)
    }
}
