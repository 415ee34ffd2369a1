//! Owns access to the objects of one repository at one location: list, read, durable write. Never removes an object, except
//! this process's own lock file. The interesting part is the trait [`Store`]: whatever fits it can be a location.
//!
//! [`Objects`] carries it over `object_store`. Its local file system writes beside the target, syncs the file, renames, and
//! syncs the folder, so a write that returned is on disk; S3 fits behind the same calls.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use contract::code::{self, Code};
use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use serde::{Deserialize, Serialize};

/// One object must move within this time, or its location counts as failed: a hung mount must not hold a whole run.
/// Packs are tens of megabytes, so even a slow line stays far below it.
const OBJECT_DEADLINE: Duration = Duration::from_mins(10);

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

const fn folder(kind: Kind) -> &'static str {
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
            Self::NotFound { .. } | Self::Damaged { .. } => code::VAULT_OBJECT_DAMAGED,
            Self::Failed { .. } => code::VAULT_LOCATION_FAILED,
        }
    }

    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "mount the disk or create the folder; a location's own folder is never created by itself"
            }
            Self::Full { .. } => "make room at the location; it catches up by itself afterwards",
            Self::NotFound { .. } | Self::Damaged { .. } => {
                "repair the location from another one; `seawalld verify` shows the damage"
            }
            Self::Failed { .. } => {
                "repair the storage; the location catches up by itself afterwards"
            }
        }
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
    /// Removes a lock file of this process.
    fn remove_lock(&self, name: &str) -> Result<(), StoreError>;
    /// Removes what writes that were killed left: content without a name, which no reader sees. Only where it is older than
    /// any write that may still be under way. Says how many there were.
    fn remove_unfinished(&self) -> Result<u64, StoreError>;
}

/// Where a location is. Serialisable, because the child process opens it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A folder on a local or mounted file system. It must exist.
    Folder(PathBuf),
}

/// [`Store`] over `object_store`.
#[derive(Debug, Clone)]
pub struct Objects {
    place: Place,
    repository: String,
}

impl Objects {
    /// The repository `<environment>/<plan_id>/<kid>` at a place. Nothing is opened or created yet.
    pub fn new(place: Place, repository: String) -> Self {
        Self { place, repository }
    }

    /// Opened for each call, so that a location which comes or goes is noticed: the folder itself is never created here.
    fn open(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match &self.place {
            Place::Folder(root) => {
                if !root.is_dir() {
                    return Err(StoreError::Unreachable {
                        place: self.place(),
                        why: "the location's folder does not exist".to_owned(),
                    });
                }
                LocalFileSystem::new_with_prefix(root)
                    .map(|system| Arc::new(system.with_fsync(true)) as Arc<dyn ObjectStore>)
                    .map_err(|error| StoreError::Unreachable {
                        place: self.place(),
                        why: error.to_string(),
                    })
            }
        }
    }

    fn path(&self, below: &str) -> Path {
        Path::from(format!("{}/{below}", self.repository))
    }

    fn call<T>(
        &self,
        object: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        runtime()?.block_on(async {
            match tokio::time::timeout(OBJECT_DEADLINE, work).await {
                Ok(result) => result.map_err(|error| self.explain(object, &error)),
                Err(_) => Err(StoreError::Failed {
                    place: self.place(),
                    object: object.to_owned(),
                    why: format!("no answer within {} s", OBJECT_DEADLINE.as_secs()),
                }),
            }
        })
    }

    fn explain(&self, object: &str, error: &object_store::Error) -> StoreError {
        let place = self.place();
        let object = object.to_owned();
        if matches!(error, object_store::Error::NotFound { .. }) {
            return StoreError::NotFound { place, object };
        }
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        let mut last = error.to_string();
        while let Some(at) = cause {
            if let Some(io) = at.downcast_ref::<io::Error>() {
                if matches!(
                    io.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) {
                    return StoreError::Full { place };
                }
                last = io.to_string();
            }
            cause = at.source();
        }
        StoreError::Failed {
            place,
            object,
            why: last,
        }
    }
}

impl Store for Objects {
    fn place(&self) -> String {
        match &self.place {
            Place::Folder(root) => root.join(&self.repository).display().to_string(),
        }
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        let store = self.open()?;
        let below = folder(kind);
        if kind == Kind::Config {
            return match self.call(below, store.head(&self.path(below))) {
                Ok(meta) => Ok(BTreeMap::from([(String::new(), meta.size)])),
                Err(StoreError::NotFound { .. }) => Ok(BTreeMap::new()),
                Err(error) => Err(error),
            };
        }
        let all: Vec<_> = self.call(below, store.list(Some(&self.path(below))).try_collect())?;
        Ok(all
            .into_iter()
            .filter_map(|meta| {
                let name = meta.location.filename()?.to_owned();
                is_object_name(&name).then_some((name, meta.size))
            })
            .collect())
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        let store = self.open()?;
        let below = object.path();
        self.call(&below, async {
            store.get(&self.path(&below)).await?.bytes().await
        })
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        let store = self.open()?;
        let below = object.path();
        self.call(&below, store.get_range(&self.path(&below), range))
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        let store = self.open()?;
        let below = object.path();
        let payload: PutPayload = content.iter().cloned().collect();
        self.call(&below, store.put(&self.path(&below), payload))
            .map(drop)
    }

    fn remove_lock(&self, name: &str) -> Result<(), StoreError> {
        let store = self.open()?;
        let below = Object {
            kind: Kind::Lock,
            name: name.to_owned(),
        }
        .path();
        self.call(&below, store.delete(&self.path(&below)))
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        let Place::Folder(root) = &self.place;
        let mut removed = 0;
        for entry in walkdir::WalkDir::new(root.join(&self.repository)) {
            let Ok(entry) = entry else { continue };
            if is_unfinished(&entry) {
                std::fs::remove_file(entry.path()).map_err(|error| StoreError::Failed {
                    place: self.place(),
                    object: entry.file_name().to_string_lossy().into_owned(),
                    why: error.to_string(),
                })?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// `<name>#<number>` is where `object_store` writes before it renames.
fn is_unfinished(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let (object, number) = name.split_once('#').unwrap_or((&name, ""));
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let old = || {
        let written = entry.metadata().ok()?.modified().ok()?;
        written.elapsed().ok()
    };
    entry.file_type().is_file()
        && numbered
        && (object == folder(Kind::Config) || is_object_name(object))
        && old().is_some_and(|age| age > OBJECT_DEADLINE)
}

/// Names other than 64 hex digits are left-overs of other programs; restic ignores them too.
fn is_object_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One small runtime serves all locations: `object_store` is asynchronous, the engine above it is not.
fn runtime() -> Result<&'static tokio::runtime::Runtime, StoreError> {
    static RUNTIME: OnceLock<Result<tokio::runtime::Runtime, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("vault-io")
                .enable_all()
                .build()
                .map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|why| StoreError::Failed {
            place: "this machine".to_owned(),
            object: "a thread for storage".to_owned(),
            why: why.clone(),
        })
}
