//! Owns copies of the receipt log in folders: the file `receipts.jsonl` and the note `checkpoint`, written under a new name and
//! renamed. Never shortens a copy, follows no link, and does not take a note that it cannot read for one that is missing.
//! The interesting functions are [`export`] and [`put`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;

use contract::code::{self, Code};
use contract::receipt::{Authority, Checkpoint};

use super::ReceiptLog;
use crate::store::{Store, StoreError};
use crate::world::folder::{Entry, Folder, FolderError, PRIVATE_FILE};

/// Name of the log in a copy.
const LOG: &str = "receipts.jsonl";
/// Name of the checkpoint in a copy.
const CHECKPOINT: &str = "checkpoint";

/// A checkpoint is an origin, a size, a root and some signatures.
const CHECKPOINT_LIMIT: u64 = 64 << 10;

/// A copy's folder holds two files and what killed writes left.
const NAMES: usize = 1 << 10;

/// No write of a copy is under way for longer.
const ABANDONED: Duration = Duration::from_hours(1);

/// A copy that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its folder.
    pub folder: PathBuf,
    /// Lines in it.
    pub size: u64,
}

/// Why a copy was not written.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The folder cannot be written.
    #[error("receipts cannot be copied to `{folder}`: {why}")]
    Write {
        /// The folder.
        folder: String,
        /// The reason.
        why: String,
    },
    /// The checkpoint there cannot be read, or is not one of this log: the copy may be newer than the log.
    #[error("the checkpoint of the receipts at `{folder}` does not hold: {why}")]
    Unclear {
        /// The folder.
        folder: String,
        /// The reason.
        why: String,
    },
    /// The copy there is longer than our log: the store went back in time, and nothing may be appended to it.
    #[error(
        "the copy of the receipt log at `{folder}` has {found} lines, the state store only {ours}"
    )]
    Ahead {
        /// The folder.
        folder: String,
        /// Lines that the copy's checkpoint covers.
        found: u64,
        /// Lines here.
        ours: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CopyError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Write { .. } | Self::Unclear { .. } => code::RECEIPT_COPY_FAILED,
            Self::Ahead { .. } => code::RECEIPT_LOG_BEHIND,
            Self::Store(error) => error.code(),
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Write { .. } => "make the folder writable; the next round copies again",
            Self::Unclear { .. } => {
                "check the copy with `seawalld receipts verify --dir DIR`, then move it away; the next round copies again"
            }
            Self::Ahead { .. } => {
                "bring back the newest state folder: a log that lost its end is never extended"
            }
            Self::Store(error) => error.help(),
        }
    }
}

/// The checkpoint of a copy as it is; none when there is no copy.
pub fn read_note(folder: &Folder) -> Result<Option<Vec<u8>>, FolderError> {
    match folder.read(OsStr::new(CHECKPOINT), CHECKPOINT_LIMIT) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The size that a copy's checkpoint vouches for.
pub fn size_of_copy(note: &[u8], authority: &Authority, folder: &Path) -> Result<u64, CopyError> {
    Checkpoint::open(note, authority)
        .map(|checkpoint| checkpoint.size)
        .map_err(|fault| CopyError::Unclear {
            folder: folder.display().to_string(),
            why: fault.to_string(),
        })
}

/// The log as the bytes of its file, and its checkpoint.
pub fn rendered(log: &ReceiptLog, store: &dyn Store) -> Result<(Vec<u8>, String), CopyError> {
    let mut bytes = Vec::new();
    for line in store.receipts()? {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    let (_, note) = log.checkpoint();
    Ok((bytes, note))
}

/// Writes a log and its checkpoint into a held folder. The log before its checkpoint: a reader between the two sees lines that
/// are not covered yet, never too few.
pub fn put(folder: &Folder, log: &[u8], note: &[u8]) -> Result<(), FolderError> {
    clear(folder)?;
    folder.write(OsStr::new(LOG), &[log], PRIVATE_FILE)?;
    folder.write(OsStr::new(CHECKPOINT), &[note], PRIVATE_FILE)
}

/// Removes what killed writes left, or a location would fill up.
fn clear(folder: &Folder) -> Result<(), FolderError> {
    for entry in folder.list(NAMES)? {
        if is_abandoned(&entry) {
            folder.remove_file(&entry.name)?;
        }
    }
    Ok(())
}

fn is_abandoned(entry: &Entry) -> bool {
    let name = entry.name.to_string_lossy();
    let begun = name
        .split_once('#')
        .is_some_and(|(name, _)| name == LOG || name == CHECKPOINT);
    let age = || {
        let since = u64::try_from(entry.stat.st_mtime).ok()?;
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))?;
        written.elapsed().ok()
    };
    begun && entry.kind() == FileType::RegularFile && age().is_some_and(|age| age > ABANDONED)
}

/// Writes the whole log and its checkpoint into a folder, which is made when missing.
pub fn export(log: &ReceiptLog, store: &dyn Store, folder: &Path) -> Result<Copied, CopyError> {
    let failed = |why: String| CopyError::Write {
        folder: folder.display().to_string(),
        why,
    };
    let path = std::path::absolute(folder).map_err(|error| failed(error.to_string()))?;
    std::fs::create_dir_all(&path).map_err(|error| failed(error.to_string()))?;
    let held = Folder::open(&path).map_err(|error| failed(error.to_string()))?;
    let ours = log.ledger().size();
    if let Some(note) = read_note(&held).map_err(|error| failed(error.to_string()))? {
        let found = size_of_copy(&note, log.authority(), folder)?;
        if found > ours {
            let folder = folder.display().to_string();
            return Err(CopyError::Ahead {
                folder,
                found,
                ours,
            });
        }
    }
    let (bytes, note) = rendered(log, store)?;
    put(&held, &bytes, note.as_bytes()).map_err(|error| failed(error.to_string()))?;
    Ok(Copied {
        folder: folder.to_owned(),
        size: ours,
    })
}
