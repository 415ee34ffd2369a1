//! Owns listing recovery points from their snapshot files, one location at a time, without the engine: a damaged file is told
//! and hides no other. Never writes. The interesting function is [`read`].

use std::collections::BTreeMap;

use contract::id::LocationId;
use jiff::Timestamp;
use rustic_core::repofile::SnapshotFile;
use serde::{Deserialize, Serialize};

use super::backup::PointTags;
use super::lock::Sealer;
use super::observe::is_content_of;
use super::store::{Kind, Object, Store, StoreError};

/// One snapshot as its file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// 64 hex digits.
    pub snapshot_id: String,
    /// The consistency point.
    pub time: Timestamp,
    /// Machine that took it.
    pub hostname: String,
    /// The folders in it, `/<dataset_id>`.
    pub paths: Vec<String>,
    /// What we wrote about it; none when another program made the snapshot.
    pub tags: Option<PointTags>,
    /// Files in it, where the writer told.
    pub files: u64,
    /// Bytes in it, where the writer told.
    pub bytes: u64,
    /// Bytes it added, where the writer told.
    pub added_bytes: u64,
}

/// The snapshots of one location.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotList {
    /// By time, oldest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// Snapshot files that cannot be read, each with the reason.
    pub damaged: Vec<String>,
}

/// The snapshots of all locations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllSnapshots {
    /// Each snapshot with the locations that have its file, by time.
    pub points: Vec<(SnapshotInfo, Vec<LocationId>)>,
    /// Snapshot files that cannot be read.
    pub damaged: BTreeMap<LocationId, Vec<String>>,
    /// Locations that could not be listed; what they hold is not known.
    pub unknown: BTreeMap<LocationId, String>,
}

pub(super) fn list(store: &dyn Store, sealer: &Sealer) -> Result<SnapshotList, StoreError> {
    let mut list = SnapshotList::default();
    for name in store.list(Kind::Snapshot)?.into_keys() {
        match read(store, sealer, &name) {
            Ok(info) => list.snapshots.push(info),
            Err(why) => list.damaged.push(why),
        }
    }
    list.snapshots
        .sort_by(|a, b| (a.time, &a.snapshot_id).cmp(&(b.time, &b.snapshot_id)));
    Ok(list)
}

fn read(store: &dyn Store, sealer: &Sealer, name: &str) -> Result<SnapshotInfo, String> {
    let object = Object {
        kind: Kind::Snapshot,
        name: name.to_owned(),
    };
    let sealed = store.read(&object).map_err(|error| error.to_string())?;
    if !is_content_of(&object, &sealed) {
        return Err(StoreError::Damaged {
            place: store.place(),
            object: object.path(),
        }
        .to_string());
    }
    let file: SnapshotFile = sealer
        .open(&sealed)
        .ok_or_else(|| format!("`{}` does not open with the key", object.path()))
        .and_then(|text| {
            serde_json::from_slice(&text)
                .map_err(|error| format!("`{}` is no snapshot: {error}", object.path()))
        })?;
    let summary = file.summary.clone().unwrap_or_default();
    Ok(SnapshotInfo {
        snapshot_id: name.to_owned(),
        time: file.time.timestamp(),
        hostname: file.hostname,
        paths: file.paths.iter().cloned().collect(),
        tags: PointTags::from_tags(file.tags.iter().map(String::as_str)),
        files: summary.total_files_processed,
        bytes: summary.total_bytes_processed,
        added_bytes: summary.data_added_packed,
    })
}
