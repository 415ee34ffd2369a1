//! Owns what a location is to the vault: the kinds of objects, how large each can be, what can go wrong, and the trait
//! [`Store`]: whatever fits it can be a location. Never touches one; [`super::objects`] does.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::code::{self, Code};
use contract::id::LocationId;
use serde::{Deserialize, Serialize};

use super::bucket::BucketObjects;
use super::objects::Objects;
use super::pace::Paced;
use crate::world::bucket::BucketBinding;
use crate::world::secret::Secret;

/// A call at a location that moves nothing for this long leaves the location out of the run, where the configuration says
/// nothing else. Disks that spin up and servers that fail over answer within it; a run's window is rarely shorter than some
/// of these.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// The kinds of objects in a restic repository, in the order in which they may become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Encrypted chunks of data and trees.
    Pack,
    /// Says in which pack a chunk is.
    Index,
    /// A key file: the master key, encrypted with the password.
    Key,
    /// The repository's own settings; there is one.
    Config,
    /// A recovery point.
    Snapshot,
    /// Says that a process works in the repository.
    Lock,
}

/// The kinds that live for ever and must be the same everywhere, in the order in which they are copied.
pub const LASTING: [Kind; 5] = [
    Kind::Pack,
    Kind::Key,
    Kind::Config,
    Kind::Index,
    Kind::Snapshot,
];

/// The name of one object in a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// 64 hex digits; empty for the configuration.
    pub name: String,
}

impl Object {
    /// The object at such a path; none when no object has it.
    pub fn at(path: &str) -> Option<Self> {
        let (first, name) = path.split_once('/').unwrap_or((path, ""));
        let (below, name) = name.rsplit_once('/').unwrap_or(("", name));
        let kind = [
            Kind::Config,
            Kind::Pack,
            Kind::Index,
            Kind::Key,
            Kind::Snapshot,
        ]
        .into_iter()
        .find(|kind| folder(*kind) == first)?;
        let name = name.to_owned();
        let object = Self { kind, name };
        let named = kind == Kind::Config || super::objects::is_object_name(&object.name);
        (named && (below.is_empty() || kind == Kind::Pack) && object.path() == path)
            .then_some(object)
    }

    /// The path below the repository, as stock restic lays it out.
    pub fn path(&self) -> String {
        match self.kind {
            Kind::Config => "config".to_owned(),
            Kind::Pack => format!("data/{}/{}", self.name.get(..2).unwrap_or("00"), self.name),
            Kind::Key | Kind::Index | Kind::Snapshot | Kind::Lock => {
                format!("{}/{}", folder(self.kind), self.name)
            }
        }
    }
}

/// The most bytes that an object of a kind can have. Anything larger is damage of its location and is never read: whoever
/// can write to one location must not decide how much memory we take.
pub(super) const fn most_bytes(kind: Kind) -> u64 {
    match kind {
        // A few hundred bytes each, whatever wrote them.
        Kind::Key | Kind::Config | Kind::Lock => 64 << 10,
        // A tree's id, paths, tags and a summary, compressed.
        Kind::Snapshot => 16 << 20,
        // 50,000 entries of about 150 bytes; older writers put more into one file.
        Kind::Index => 128 << 20,
        // The engine's packs grow with the repository and reach this at 250 TB.
        Kind::Pack => 512 << 20,
    }
}

/// The most names in one folder of a kind. Anything more is damage of its location.
pub(super) const fn most_names(kind: Kind) -> usize {
    match kind {
        Kind::Key | Kind::Config => 1 << 10,
        // Runs that were killed leave one each; a hundred thousand are known to have been left.
        Kind::Lock => 1 << 17,
        Kind::Snapshot | Kind::Index => 1 << 20,
        // In each of 256 folders: 4 million packs are 100 TB and more.
        Kind::Pack => 1 << 14,
    }
}

/// Says where a location is and which one it must be. Written at its first use, and never moved to another folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The location.
    pub location_id: LocationId,
    /// Random: two folders that show the same one are the same folder, or copies of each other.
    pub identity: String,
}

/// The name of the mark in a location's folder.
pub const MARK_FILE: &str = ".seawall-location.json";

pub(super) const fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::Pack => "data",
        Kind::Index => "index",
        Kind::Key => "keys",
        Kind::Config => "config",
        Kind::Snapshot => "snapshots",
        Kind::Lock => "locks",
    }
}

/// Why storage did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreError {
    /// The location itself is not there: an unmounted disk, a missing folder.
    #[error("`{place}` is not there: {why}")]
    Unreachable {
        /// Folder or URL.
        place: String,
        /// The reason.
        why: String,
    },
    /// There is no room left.
    #[error("`{place}` is full")]
    Full {
        /// Folder or URL.
        place: String,
    },
    /// The object does not exist.
    #[error("`{place}` has no `{object}`")]
    NotFound {
        /// Folder or URL.
        place: String,
        /// Path of the object.
        object: String,
    },
    /// The object's content is not what its name promises.
    #[error("`{place}` holds a damaged `{object}`")]
    Damaged {
        /// Folder or URL.
        place: String,
        /// Path of the object.
        object: String,
    },
    /// Something has the name of an object and cannot be one.
    #[error("`{place}` holds `{object}`, which {why}")]
    Unfit {
        /// Folder or URL.
        place: String,
        /// Path of the object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder is not the location that was used before.
    #[error("`{place}` is not the expected location: {why}")]
    NotExpected {
        /// Folder or URL.
        place: String,
        /// What was found.
        why: String,
    },
    /// It gave no sign of life.
    #[error("`{place}` did not answer for {seconds} s")]
    Silent {
        /// Folder or URL.
        place: String,
        /// For how long.
        seconds: u64,
    },
    /// Anything else.
    #[error("`{place}` failed at `{object}`: {why}")]
    Failed {
        /// Folder or URL.
        place: String,
        /// Path of the object.
        object: String,
        /// The reason.
        why: String,
    },
}

impl StoreError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => code::VAULT_LOCATION_UNREACHABLE,
            Self::Full { .. } => code::VAULT_LOCATION_FULL,
            Self::NotFound { .. } | Self::Damaged { .. } | Self::Unfit { .. } => {
                code::VAULT_OBJECT_DAMAGED
            }
            Self::NotExpected { .. } => code::VAULT_LOCATION_NOT_EXPECTED,
            Self::Silent { .. } => code::VAULT_LOCATION_SILENT,
            Self::Failed { .. } => code::VAULT_LOCATION_FAILED,
        }
    }

    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "mount the disk or create the folder, or check endpoint, name and credentials of the bucket; neither is ever created automatically"
            }
            Self::Full { .. } => {
                "make room at the location; it catches up automatically afterwards"
            }
            Self::NotFound { .. } | Self::Damaged { .. } | Self::Unfit { .. } => {
                "repair the location from another one; `seawalld verify` shows the damage"
            }
            Self::NotExpected { .. } => {
                "mount the location's disk; if the folder is right, `seawalld location adopt ID` accepts it"
            }
            Self::Silent { .. } => {
                "repair the storage; the location catches up automatically when it answers again"
            }
            Self::Failed { .. } => {
                "repair the storage; the location catches up automatically afterwards"
            }
        }
    }

    /// Whether the location holds what it must not hold, as opposed to what cannot be reached.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unfit { .. })
    }
}

/// One repository at one location.
pub trait Store: Send + Sync + 'static {
    /// Folder or URL of the repository, for messages.
    fn place(&self) -> String;
    /// Names and sizes in bytes of all objects of a kind; the configuration has the empty name. A repository that does not
    /// exist yet is an empty list; a location that is not there is an error.
    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError>;
    /// A whole object.
    fn read(&self, object: &Object) -> Result<Bytes, StoreError>;
    /// Bytes of an object.
    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError>;
    /// Writes an object. When this returns, content and name are durable; when it fails, no part is visible under the name.
    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError>;
    /// Removes an object. When this returns, it stays removed after a power cut, lock files excepted. Only [`super::lock`] calls it for
    /// lock files, and [`super::prune`] for anything else.
    fn remove(&self, object: &Object) -> Result<(), StoreError>;
    /// Removes what writes that were killed left: content without a name, which no reader sees. Only where it is older than
    /// any write that may still be under way. Says how many there were.
    fn remove_unfinished(&self) -> Result<u64, StoreError>;
}

/// The mark of a location is a few hundred bytes.
pub(super) const MARK_LIMIT: u64 = 4 << 10;

/// The mark in the content of its file.
pub(super) fn mark_from(content: &[u8]) -> Result<Mark, String> {
    serde_json::from_slice(content)
        .map_err(|error| format!("its mark `{MARK_FILE}` cannot be read: {error}"))
}

/// Why what was found is not the expected mark; none when it is.
pub(super) fn unlike(found: Option<&Mark>, expected: &Mark) -> Option<String> {
    match found {
        Some(found) if found == expected => None,
        Some(found) if found.location_id != expected.location_id => Some(format!(
            "its mark says that it is location `{}`",
            found.location_id
        )),
        Some(_) => Some("its mark is another one than at its first use".to_owned()),
        None => Some(format!(
            "it lacks its mark `{MARK_FILE}`, as an unmounted disk does"
        )),
    }
}

/// Where a location is. Serialisable, because the child process opens it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A folder on a local or mounted file system.
    Folder(LocationFolder),
    /// A bucket of S3, or of a server that speaks its protocol.
    Bucket(Box<LocationBucket>),
}

/// A bucket that is a location. It must exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationBucket {
    /// Where it is.
    pub binding: BucketBinding,
    /// Credentials that a child cannot read itself.
    pub handed: Option<Secret>,
    /// What must stand in it; nothing is asked for before the location's first use.
    pub mark: Option<Mark>,
    /// How long a request may go without an answer.
    pub patience: Duration,
    /// Bytes that may be written to it in a second; as many as it takes where absent.
    #[serde(default)]
    pub bandwidth: Option<u64>,
}

/// A folder that is a location. It must exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationFolder {
    /// The configured path.
    pub path: PathBuf,
    /// What must stand in it; nothing is asked for before the location's first use.
    pub mark: Option<Mark>,
    /// How long a call may move nothing.
    pub patience: Duration,
    /// Bytes that may be written to it in a second; as many as it takes where absent.
    #[serde(default)]
    pub bandwidth: Option<u64>,
}

impl Place {
    /// A folder without a mark, with the usual patience.
    pub fn folder(path: PathBuf) -> Self {
        Self::Folder(LocationFolder {
            path,
            mark: None,
            patience: DEFAULT_PATIENCE,
            bandwidth: None,
        })
    }

    /// The same with no more than so many bytes a second, where that is less.
    pub fn slow_down(&mut self, bandwidth: u64) {
        let known = match self {
            Self::Folder(folder) => &mut folder.bandwidth,
            Self::Bucket(bucket) => &mut bucket.bandwidth,
        };
        *known = Some(known.unwrap_or(bandwidth).min(bandwidth));
    }

    /// What must mark it.
    pub const fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Folder(folder) => folder.mark.as_ref(),
            Self::Bucket(bucket) => bucket.mark.as_ref(),
        }
    }

    /// The same with this mark.
    pub fn expect(&mut self, mark: Mark) {
        match self {
            Self::Folder(folder) => folder.mark = Some(mark),
            Self::Bucket(bucket) => bucket.mark = Some(mark),
        }
    }

    /// How long it may be silent.
    pub const fn patience(&self) -> Duration {
        match self {
            Self::Folder(folder) => folder.patience,
            Self::Bucket(bucket) => bucket.patience,
        }
    }

    /// A repository at it.
    pub fn store(&self, repository: &str) -> Arc<dyn Store> {
        let repository = repository.to_owned();
        let (store, bandwidth): (Arc<dyn Store>, _) = match self {
            Self::Folder(folder) => (
                Arc::new(Objects::new(folder.clone(), repository)),
                folder.bandwidth,
            ),
            Self::Bucket(bucket) => (
                Arc::new(BucketObjects::new((**bucket).clone(), repository)),
                bucket.bandwidth,
            ),
        };
        match bandwidth {
            Some(limit) => Arc::new(Paced::new(store, limit)),
            None => store,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_object_whose_path_it_is() {
        for kind in LASTING {
            let name = if kind == Kind::Config {
                String::new()
            } else {
                "ab".repeat(32)
            };
            let object = Object { kind, name };
            assert_eq!(Object::at(&object.path()), Some(object));
        }
        for path in [
            "",
            "data",
            "data/ab",
            "index/../config",
            "data/ab/cd/ef",
            "/config",
        ] {
            assert_eq!(Object::at(path), None, "{path}");
        }
    }
}
