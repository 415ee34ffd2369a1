//! What goes wrong in a connector: one enum with the facts, each variant with its code, its name and what to do.
//!
//! Never decides what follows from an error; the caller turns it into a verdict. The interesting function is [`ConnectorError::code`].

use std::io;
use std::path::{Path, PathBuf};

use contract::code::{self, Code};

use super::Kind;
use super::postgres::DatabaseError;
use crate::world::folder::FolderError;
use crate::world::owner::OwnerError;

/// A connector could not do what was asked. The message is one line in the words of the domain; [`ConnectorError::help`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("source `{}` does not exist", path.display())]
    SourceMissing { path: PathBuf },
    #[error("source `{}` cannot be read", path.display())]
    SourceUnreadable { path: PathBuf, source: io::Error },
    #[error("database server `{server}` cannot be reached: {detail}")]
    SourceUnreachable { server: String, detail: String },
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("database `{}` stayed locked for {waited_s} s", path.display())]
    SourceLocked { path: PathBuf, waited_s: u64 },
    #[error("source `{}` is damaged: {detail}", path.display())]
    SourceDamaged { path: PathBuf, detail: String },
    #[error("source `{}` is empty", path.display())]
    SourceEmpty { path: PathBuf },
    #[error("source `{}` changed while it was read: {detail}", path.display())]
    SourceChanged { path: PathBuf, detail: String },
    #[error("source `{}` is not one that only its owner can exchange: {detail}", path.display())]
    SourceUntrusted { path: PathBuf, detail: String },
    #[error("dataset cannot be read or restored as its owner: {detail}")]
    OwnerUnusable { detail: String },
    #[error("append-only file `{}` lost or rewrote what was backed up before: {detail}", path.display())]
    PrefixRewritten { path: PathBuf, detail: String },
    #[error("dump of database `{database}` is incomplete: {detail}")]
    DumpIncomplete { database: String, detail: String },
    #[error("{what} took longer than its deadline allows")]
    DeadlinePassed { what: String },
    #[error("{what} was cancelled")]
    Cancelled { what: String },
    #[error("no space left to write `{}`", path.display())]
    DiskFull { path: PathBuf },
    #[error("connector binding is invalid: {detail}")]
    BindingInvalid { detail: String },
    #[error("program `{program}` cannot be started")]
    ToolMissing { program: String, source: io::Error },
    #[error("connector `{connector}` cannot restore {mode}")]
    ModeUnsupported { connector: Kind, mode: &'static str },
    #[error("restore target `{target}` is not empty")]
    TargetNotEmpty { target: String },
    #[error("restore target `{target}` is the production source")]
    TargetIsProduction { target: String },
    #[error("restore target `{target}` was exchanged while it was written: {detail}")]
    TargetExchanged { target: String, detail: String },
    #[error("restore target `{target}` is invalid: {detail}")]
    TargetInvalid { target: String, detail: String },
    #[error("what the vault restored at `{}` is not what connector `{connector}` wrote: {detail}", folder.display())]
    MaterialInvalid {
        connector: Kind,
        folder: PathBuf,
        detail: String,
    },
    #[error("restore into `{target}` failed: {detail}")]
    RestoreFailed { target: String, detail: String },
    #[error("`{target}` failed validation: {detail}")]
    ValidationFailed { target: String, detail: String },
    #[error("`{}` cannot be exchanged for the restored folder in one step", path.display())]
    SwapRefused { path: PathBuf, source: io::Error },
    #[error("state of the last run is unreadable: {detail}")]
    StateInvalid { detail: String },
    #[error("cannot {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

crate::failure::coded!(ConnectorError);

impl ConnectorError {
    /// The code in the one list.
    pub fn code(&self) -> Code {
        self.entry().0
    }

    /// What a person should do now.
    pub fn help(&self) -> &'static str {
        self.entry().1
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a table with one row for each variant"
    )]
    fn entry(&self) -> (Code, &'static str) {
        match self {
            Self::SourceMissing { .. } => (
                code::SOURCE_MISSING,
                "check the path in the binding, and that its file system is mounted",
            ),
            Self::SourceUnreadable { .. } => (
                code::SOURCE_UNREADABLE,
                "let the user that runs `seawalld` read it",
            ),
            Self::SourceUnreachable { .. } => (
                code::SOURCE_UNREACHABLE,
                "check host and port of the binding, and that the server runs and listens there",
            ),
            Self::Database(error) => error.entry(),
            Self::SourceLocked { .. } => (
                code::SOURCE_LOCKED,
                "find the process that holds a write transaction open; the next run tries again",
            ),
            Self::SourceDamaged { .. } => (
                code::SOURCE_DAMAGED,
                "restore the newest good recovery point side by side and compare before anything is repaired",
            ),
            Self::SourceEmpty { .. } => (
                code::SOURCE_EMPTY,
                "mount the file system, or set `allow_empty: true` in the binding if an empty source is right",
            ),
            Self::SourceChanged { .. } => (
                code::SOURCE_CHANGED,
                "nothing was kept of this run; the next run reads the source again",
            ),
            Self::SourceUntrusted { .. } => (
                code::SOURCE_UNTRUSTED,
                "bind the folder itself instead of a link, or let root own the link and the folder that it is in",
            ),
            Self::OwnerUnusable { .. } => (
                code::OWNER_UNUSABLE,
                "name an existing user as `run_as` in the binding, and run the daemon as root or as that user",
            ),
            Self::PrefixRewritten { .. } => (
                code::PREFIX_REWRITTEN,
                "treat it as tampering until explained; when the change was meant, raise `append_only_epoch` in the binding",
            ),
            Self::DumpIncomplete { .. } => (
                code::DUMP_INCOMPLETE,
                "nothing of this dump counts as a recovery point; check disk and memory of this host, then run again",
            ),
            Self::DeadlinePassed { .. } => (
                code::CONNECTOR_DEADLINE,
                "widen the completion window in policy, or make the source faster to read",
            ),
            Self::Cancelled { .. } => (code::CONNECTOR_CANCELLED, "run it again when it is needed"),
            Self::DiskFull { .. } => (
                code::SPOOL_FULL,
                "free space there, or bind a larger spool folder",
            ),
            Self::BindingInvalid { .. } => (
                code::BINDING_INVALID,
                "correct the dataset's binding in `seawalld.yaml`",
            ),
            Self::ToolMissing { .. } => (
                code::TOOL_MISSING,
                "install the PostgreSQL client programs, or name their folder as `bin_dir` in the binding",
            ),
            Self::ModeUnsupported { .. } => (
                code::MODE_UNSUPPORTED,
                "restore side by side, check the copy, and put it in place yourself",
            ),
            Self::TargetNotEmpty { .. } => (
                code::TARGET_NOT_EMPTY,
                "name a target that does not exist yet or is an empty folder",
            ),
            Self::TargetIsProduction { .. } => (
                code::TARGET_IS_PRODUCTION,
                "name another target, or request an in-place restore",
            ),
            Self::TargetExchanged { .. } => (
                code::TARGET_EXCHANGED,
                "name a target in a folder that only root or the data's owner can write to, and restore again",
            ),
            Self::TargetInvalid { .. } => (
                code::TARGET_INVALID,
                "name a target as the connector expects it",
            ),
            Self::MaterialInvalid { .. } => (
                code::MATERIAL_INVALID,
                "verify the recovery point, and restore another one if it is suspect",
            ),
            Self::RestoreFailed { .. } => (
                code::RESTORE_FAILED,
                "production is as it was; read the message, correct the cause, restore again",
            ),
            Self::ValidationFailed { .. } => (
                code::VALIDATION_FAILED,
                "do not use this target; try the recovery point before it",
            ),
            Self::SwapRefused { .. } => (
                code::SWAP_REFUSED,
                "production is as it was; a mount point or a file system without atomic exchange needs a restore side by side",
            ),
            Self::StateInvalid { .. } => (
                code::STATE_INVALID,
                "raise `append_only_epoch` in the binding to restart the append-only check",
            ),
            Self::Io { .. } => (
                code::CONNECTOR_IO,
                "check the file system's health and permissions, then run again",
            ),
        }
    }

    /// Names the path and action of an I/O error; a full disk gets its own code, because another action helps.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
            },
            _ => Self::Io {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// What stood in the way of live data. Links and special files where data are expected are never read.
    pub(crate) fn live(path: &Path, error: FolderError) -> Self {
        match error {
            FolderError::Io { source, .. } => Self::source(path, source),
            FolderError::UntrustedLink { .. } | FolderError::WrongKind { .. } => {
                Self::SourceUntrusted {
                    path: path.to_owned(),
                    detail: error.to_string(),
                }
            }
            FolderError::Exchanged { .. } => Self::SourceChanged {
                path: path.to_owned(),
                detail: error.to_string(),
            },
            FolderError::TooLarge { .. } | FolderError::TooMany { .. } => Self::SourceUnreadable {
                path: path.to_owned(),
                source: io::Error::other(error),
            },
        }
    }

    /// What stood in the way of writing, or of reading what a restore writes.
    pub(crate) fn written(action: &'static str, path: &Path, error: FolderError) -> Self {
        match error {
            FolderError::Io { source, .. } => Self::io(action, path, source),
            FolderError::UntrustedLink { .. }
            | FolderError::WrongKind { .. }
            | FolderError::Exchanged { .. } => Self::TargetExchanged {
                target: path.display().to_string(),
                detail: error.to_string(),
            },
            FolderError::TooLarge { .. } | FolderError::TooMany { .. } => Self::Io {
                action,
                path: path.to_owned(),
                source: io::Error::other(error),
            },
        }
    }

    /// An I/O error met while reading live data.
    pub(crate) fn source(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::SourceMissing {
                path: path.to_owned(),
            },
            _ => Self::SourceUnreadable {
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl From<OwnerError> for ConnectorError {
    fn from(error: OwnerError) -> Self {
        Self::OwnerUnusable {
            detail: error.to_string(),
        }
    }
}
