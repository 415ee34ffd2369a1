//! Owns what can go wrong in the vault, with the facts of each failure and its diagnostic code. Never recovers from anything.
//! The interesting function is [`VaultError::code`].

use contract::code::{self, Code};
use contract::id::LocationId;

use serde::{Deserialize, Serialize};

use super::store::StoreError;

/// A failure of the vault. Nothing that fails here leaves a visible recovery point, except [`VaultError::CommitIncomplete`],
/// which says where it is visible.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultError {
    /// A location cannot be reached or read.
    #[error("location `{location}` cannot be used")]
    Location {
        /// The location.
        location: LocationId,
        /// What its storage answered.
        source: StoreError,
    },
    /// The storage of whichever location was asked failed.
    #[error("the storage failed")]
    Storage {
        /// What it answered.
        source: StoreError,
    },
    /// The key opens none of the repository's key files.
    #[error("the key does not open the repository `{repository}`")]
    WrongKey {
        /// `<environment>/<plan_id>/<kid>`.
        repository: String,
    },
    /// The key's bytes cannot serve as the password of a restic repository.
    #[error("the key of the repository `{repository}` cannot be a password: {why}")]
    KeyUnusable {
        /// `<environment>/<plan_id>/<kid>`.
        repository: String,
        /// What is wrong with it.
        why: String,
    },
    /// No location holds the repository.
    #[error("no location holds the repository `{repository}`")]
    RepositoryAbsent {
        /// `<environment>/<plan_id>/<kid>`.
        repository: String,
    },
    /// The caller knows of recovery points, but no location that can be reached holds the repository.
    #[error("the repository `{repository}` is gone from every location that can be reached")]
    RepositoryLost {
        /// `<environment>/<plan_id>/<kid>`.
        repository: String,
    },
    /// Locations hold different repositories that the key opens.
    #[error("locations hold different repositories instead of `{repository}`")]
    RepositoryDisputed {
        /// `<environment>/<plan_id>/<kid>`.
        repository: String,
    },
    /// Fewer locations than `commit` can take the recovery point, so none gets it.
    #[error("{usable} of {wanted} locations can store a recovery point: {why}")]
    QuorumNotMet {
        /// Locations that hold everything so far.
        usable: usize,
        /// The plan's `commit`.
        wanted: usize,
        /// Each location that cannot, and why.
        why: String,
    },
    /// The point passed the gate, but its snapshot file reached fewer locations than `commit`.
    #[error("snapshot `{snapshot}` reached {} of {wanted} locations", .committed.len())]
    CommitIncomplete {
        /// The snapshot's id.
        snapshot: String,
        /// Where it is visible.
        committed: Vec<LocationId>,
        /// The plan's `commit`.
        wanted: usize,
    },
    /// Files of the source could not be read as they were listed.
    #[error("{count} entries of the source could not be read, first `{first}`")]
    SourceIncomplete {
        /// How many.
        count: u64,
        /// The first of them, with the reason.
        first: String,
    },
    /// A source folder is missing or no folder.
    #[error("source folder `{path}` cannot be read: {why}")]
    SourceMissing {
        /// The folder.
        path: String,
        /// The reason.
        why: String,
    },
    /// The caller's own verdict on the source was no.
    #[error("the source is not good: {why}")]
    SourceRefused {
        /// The verdict's reason.
        why: String,
    },
    /// The engine that chunks, packs and encrypts failed.
    #[error("the backup engine failed while {doing}: {why}")]
    Engine {
        /// What it was doing.
        doing: String,
        /// Its message.
        why: String,
    },
    /// Someone holds an exclusive lock on the repository, for example `restic prune` or `restic check`.
    #[error("location `{location}` is locked by `{holder}`")]
    Locked {
        /// The location.
        location: LocationId,
        /// Host, user and process of the holder.
        holder: String,
    },
    /// No usable location holds the snapshot.
    #[error("snapshot `{snapshot}` is at no location that can be used")]
    SnapshotAbsent {
        /// The snapshot's id.
        snapshot: String,
    },
    /// The snapshot has no such folder.
    #[error("snapshot `{snapshot}` holds no dataset `{dataset}`")]
    DatasetAbsent {
        /// The snapshot's id.
        snapshot: String,
        /// The folder asked for.
        dataset: String,
    },
    /// What was restored is not what was backed up.
    #[error("{count} restored files differ from the snapshot, first `{first}`")]
    RestoreDiffers {
        /// How many.
        count: u64,
        /// The first of them.
        first: String,
    },
    /// The target of a restore already has content.
    #[error("restore target `{path}` is not empty")]
    TargetNotEmpty {
        /// The target.
        path: String,
    },
    /// The target of a restore cannot be written.
    #[error("restore target `{path}` cannot be used: {why}")]
    Target {
        /// The target.
        path: String,
        /// The reason.
        why: String,
    },
    /// A folder of this machine has too little room for the restore.
    #[error(
        "no space for the restore in folder `{folder}`: {room} bytes are free, {lacks} more are needed"
    )]
    RoomLacking {
        /// The folder.
        folder: String,
        /// Bytes that it lacks.
        lacks: u64,
        /// Bytes that it has.
        room: u64,
    },
    /// The disk of this machine was full while a restore wrote to it.
    #[error("no space left in folder `{folder}` while the restore was written")]
    StagingFull {
        /// The folder.
        folder: String,
    },
    /// Every location was tried and none could serve.
    #[error("no location could serve the restore: {why}")]
    RestoreFailed {
        /// Each location with its failure.
        why: String,
    },
    /// The child process that restores and checks died or spoke nonsense.
    #[error("the vault's child process failed: {why}")]
    Child {
        /// How it ended.
        why: String,
    },
    /// The child process did not finish in time and was killed.
    #[error("the vault's child process was killed after {seconds} s")]
    Deadline {
        /// The deadline.
        seconds: u64,
    },
    /// The daemon was asked to end, and the child with it.
    #[error("it was stopped before its end")]
    Stopped,
    /// What may go was left, or not all of it removed.
    #[error("not everything that may go was deleted: {why}")]
    NotDeleted {
        /// What is not certain.
        why: String,
    },
    /// The caller asked for something the format cannot hold.
    #[error("a request to the vault is wrong: {why}")]
    Request {
        /// What is wrong.
        why: String,
    },
}

crate::failure::coded!(VaultError);

impl VaultError {
    /// The diagnostic code of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Location { source, .. } | Self::Storage { source } => source.code(),
            Self::WrongKey { .. } => code::VAULT_WRONG_KEY,
            Self::KeyUnusable { .. } => code::VAULT_KEY_UNUSABLE,
            Self::RepositoryAbsent { .. } => code::VAULT_REPOSITORY_ABSENT,
            Self::RepositoryLost { .. } => code::VAULT_REPOSITORY_LOST,
            Self::RepositoryDisputed { .. } => code::VAULT_REPOSITORY_DISPUTED,
            Self::QuorumNotMet { .. } => code::VAULT_QUORUM_NOT_MET,
            Self::CommitIncomplete { .. } => code::VAULT_COMMIT_INCOMPLETE,
            Self::SourceIncomplete { .. } | Self::SourceMissing { .. } => {
                code::VAULT_SOURCE_INCOMPLETE
            }
            Self::SourceRefused { .. } => code::VAULT_SOURCE_REFUSED,
            Self::Engine { .. } => code::VAULT_ENGINE_FAILED,
            Self::Locked { .. } => code::VAULT_LOCKED,
            Self::SnapshotAbsent { .. } | Self::DatasetAbsent { .. } => code::VAULT_POINT_ABSENT,
            Self::RestoreDiffers { .. } => code::VAULT_RESTORE_DIFFERS,
            Self::TargetNotEmpty { .. } | Self::Target { .. } => code::VAULT_TARGET_UNUSABLE,
            Self::RoomLacking { .. } | Self::StagingFull { .. } => code::RESTORE_ROOM_LACKING,
            Self::RestoreFailed { .. } => code::VAULT_RESTORE_FAILED,
            Self::Child { .. } => code::VAULT_CHILD_FAILED,
            Self::Deadline { .. } => code::VAULT_DEADLINE,
            Self::Stopped => code::RUN_INTERRUPTED,
            Self::NotDeleted { .. } => code::VAULT_NOT_DELETED,
            Self::Request { .. } => code::VAULT_BAD_REQUEST,
        }
    }

    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Location { source, .. } | Self::Storage { source } => source.help(),
            Self::WrongKey { .. } => {
                "bind the key that the repository was made with; a new key needs a new kid"
            }
            Self::KeyUnusable { .. } => {
                "use a key of printable text on one line, for example 32 random bytes in base64"
            }
            Self::RepositoryAbsent { .. } => "take a backup first, or bind the right locations",
            Self::RepositoryLost { .. } => {
                "bring back a location that holds it; nothing new is written in its place"
            }
            Self::RepositoryDisputed { .. } => {
                "remove the repository that does not belong there; `restic snapshots` shows what each of them holds"
            }
            Self::QuorumNotMet { .. } => {
                "repair the locations named above, then let them catch up; the slot is tried again"
            }
            Self::CommitIncomplete { .. } => {
                "repair the other locations; catching up copies the recovery point to them"
            }
            Self::SourceIncomplete { .. } => {
                "make the files readable, or exclude them in the binding; a partial backup is never kept"
            }
            Self::SourceMissing { .. } => "bind a folder that exists and can be read",
            Self::SourceRefused { .. } => "check the connector's message; nothing was kept",
            Self::Engine { .. } => "check the log of this operation; nothing was kept",
            Self::Locked { .. } => {
                "wait for that program to end; a lock without a process is removed 30 minutes after its last refresh"
            }
            Self::SnapshotAbsent { .. } => "`seawalld catalog` lists the recovery points there are",
            Self::DatasetAbsent { .. } => "name a dataset of the plan that made the point",
            Self::RestoreDiffers { .. } => {
                "restore again from another location and check this one: its data is damaged"
            }
            Self::TargetNotEmpty { .. } => "name an empty folder, or one that does not exist yet",
            Self::Target { .. } => "name a folder that this process may write",
            Self::RoomLacking { .. } | Self::StagingFull { .. } => {
                "free the bytes that the restore needs there, or move the folder to a larger file system"
            }
            Self::RestoreFailed { .. } => "repair a location; `seawalld verify` shows the damage",
            Self::Child { .. } => "check the log of this operation and try again",
            Self::Deadline { .. } => "check the storage's speed, or give it more time",
            Self::Stopped => "run it again when it is needed",
            Self::NotDeleted { .. } => {
                "repair the location that is named; every other recovery point is kept, and deletion is tried again in its turn"
            }
            Self::Request { .. } => "correct the request",
        }
    }
}
