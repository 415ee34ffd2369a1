//! Owns copies of the receipt log in folders: the file `receipts.jsonl` and the note `checkpoint`, written beside and renamed.
//! Never shortens a copy. The interesting function is [`export`].

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use contract::code::{self, Code};
use contract::receipt::{Authority, Checkpoint};

use super::ReceiptLog;
use crate::store::{Store, StoreError};

/// Name of the log in a copy.
const LOG: &str = "receipts.jsonl";
/// Name of the checkpoint in a copy.
const CHECKPOINT: &str = "checkpoint";

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
            Self::Write { .. } => code::RECEIPT_COPY_FAILED,
            Self::Ahead { .. } => code::RECEIPT_LOG_BEHIND,
            Self::Store(error) => error.code(),
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Write { .. } => "make the folder writable; the next round copies again",
            Self::Ahead { .. } => {
                "bring back the newest state folder: a log that lost its end is never extended"
            }
            Self::Store(error) => error.help(),
        }
    }
}

/// The newest size that a copy's checkpoint vouches for; none when there is no copy or its checkpoint is not ours.
pub fn newest_copy(folder: &Path, authority: &Authority) -> Option<u64> {
    let note = fs::read(folder.join(CHECKPOINT)).ok()?;
    Checkpoint::open(&note, authority)
        .ok()
        .map(|checkpoint| checkpoint.size)
}

/// Writes the whole log and its checkpoint into a folder, which is made when missing.
pub fn export(log: &ReceiptLog, store: &dyn Store, folder: &Path) -> Result<Copied, CopyError> {
    let ours = log.ledger().size();
    if let Some(found) = newest_copy(folder, log.authority())
        && found > ours
    {
        return Err(CopyError::Ahead {
            folder: folder.display().to_string(),
            found,
            ours,
        });
    }
    let mut bytes = Vec::new();
    for line in store.receipts()? {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    let (checkpoint, note) = log.checkpoint();
    // The log before its checkpoint: a reader between the two sees lines that are not covered yet, never too few.
    fs::create_dir_all(folder)
        .and_then(|()| replace(folder, LOG, &bytes))
        .and_then(|()| replace(folder, CHECKPOINT, note.as_bytes()))
        .map_err(|error| CopyError::Write {
            folder: folder.display().to_string(),
            why: error.to_string(),
        })?;
    Ok(Copied {
        folder: folder.to_owned(),
        size: checkpoint.size,
    })
}

fn replace(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let beside = folder.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(name))?;
    File::open(folder)?.sync_all()
}
