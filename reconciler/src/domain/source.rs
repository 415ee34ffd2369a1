//! Owns what is remembered of a source: the files that a connector made of it, and what it was.

use std::collections::BTreeMap;

use contract::digest::Digest;
use contract::id::DatasetId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Size and SHA-256 of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    pub bytes: u64,
    pub sha256: Digest,
}

/// The regular files below a folder by relative path. Bytes that are not UTF-8, and `%`, are written as `%XX`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub(crate) BTreeMap<String, FileSum>);

/// What a source was when a recovery point of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceProfile {
    /// What it was, whatever it held: file system and inode, or server and database. Absent where that could not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Bytes that were read. Absent for logs: they are rotated, and their connector holds each file against what it read before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Files that were read; of a database, files of its dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
}

/// What the connectors reported of the sources that were read. It lies in the spool before the snapshot passes the gate, so that
/// a point whose process was killed is recorded as whole as any other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// For the connectors' next run.
    pub states: BTreeMap<DatasetId, Option<Value>>,
    /// Checksums of what connectors made.
    pub manifests: BTreeMap<DatasetId, Manifest>,
    /// What each source was.
    #[serde(default)]
    pub profiles: BTreeMap<DatasetId, SourceProfile>,
    /// Datasets whose source a person must look at before a point of it is good, and why.
    #[serde(default)]
    pub doubts: BTreeMap<DatasetId, String>,
    /// What a reader of the receipt should know.
    pub notes: Vec<String>,
}
