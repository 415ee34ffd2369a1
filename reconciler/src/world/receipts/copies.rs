//! Owns copies of the receipt log in folders: the file `receipts.jsonl` and the note `checkpoint`. A copy that is as it was left is
//! appended to; another is written anew, under a new name, and renamed. Never shortens a copy, follows no link, and does not take
//! a note that it cannot read for one that is missing. The interesting functions are [`append`] and [`put`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, OFlags};

use contract::code::{self, Code};
use contract::receipt::{
    Authority, Checkpoint, LogFault, ReceiptFault, Tree, leaf_hash, open_line,
};

use super::{PAGE, ReceiptLog};
use crate::store::{Store, StoreError};
use crate::world::folder::{Entry, Folder, FolderError, PRIVATE_FILE};

/// Name of the log in a copy.
const LOG: &str = "receipts.jsonl";
/// Name of the checkpoint in a copy.
const CHECKPOINT: &str = "checkpoint";

/// A checkpoint is an origin, a size, a root and some signatures.
pub const CHECKPOINT_LIMIT: u64 = 64 << 10;

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
    /// The log in the store does not hold, and no copy of it is made.
    #[error(transparent)]
    Fault(LogFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

crate::failure::coded!(CopyError);

impl CopyError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Write { .. } | Self::Unclear { .. } => code::RECEIPT_COPY_FAILED,
            Self::Ahead { .. } => code::RECEIPT_LOG_BEHIND,
            Self::Fault(fault) => fault.code(),
            Self::Store(error) => error.code(),
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Write { .. } => "make the folder writable; the next round copies again",
            Self::Unclear { .. } => {
                "if the state folder was lost, run `seawalld catalog rebuild`; otherwise check the copy with `seawalld receipts verify --dir DIR`, then move it away; the next round copies again"
            }
            Self::Ahead { .. } => {
                "bring back the newest state folder; if it is lost, `seawalld catalog rebuild` builds it again from the locations"
            }
            Self::Fault(fault) => fault.help(),
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

/// Why lines were not laid out.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line in the store does not hold, or is not there.
    #[error(transparent)]
    Fault(#[from] LogFault),
    /// They cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

impl LinesError {
    /// As the failure of a copy into a folder.
    pub fn into_copy_error(self, folder: &Path) -> CopyError {
        match self {
            Self::Store(error) => CopyError::Store(error),
            Self::Fault(fault) => CopyError::Fault(fault),
            Self::Write(error) => CopyError::Write {
                folder: folder.display().to_string(),
                why: error.to_string(),
            },
        }
    }
}

/// Puts the lines from a place in the log up to what a checkpoint covers into a held folder, as its log.
pub fn write_lines(
    held: &Folder,
    store: &dyn Store,
    authority: &Authority,
    from: u64,
    checkpoint: &Checkpoint,
) -> Result<(), LinesError> {
    let mut broken = None;
    let fill = |file: &mut File| {
        let mut out = BufWriter::new(file);
        lay_lines(store, authority, from, checkpoint, &mut out).map_err(|error| {
            let shown = io::Error::other(error.to_string());
            broken = Some(error);
            shown
        })?;
        out.flush()
    };
    let written = held.write_from(OsStr::new(LOG), PRIVATE_FILE, fill);
    match broken {
        Some(error) => Err(error),
        None => Ok(written.map(drop).map_err(io::Error::other)?),
    }
}

/// Writes the lines from a place in the log up to what a checkpoint covers. They are what the log attests: all of them by the root
/// of their tree, and those after a place by their signatures.
fn lay_lines(
    store: &dyn Store,
    authority: &Authority,
    from: u64,
    checkpoint: &Checkpoint,
    out: &mut dyn Write,
) -> Result<(), LinesError> {
    let (mut at, mut tree) = (from, Tree::new());
    while at < checkpoint.size {
        let lines = store.receipts(at, PAGE.min(checkpoint.size - at))?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            if from == 0 {
                tree.append(leaf_hash(line.as_bytes()));
            } else {
                signed_in_place(line.as_bytes(), authority, at)?;
            }
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            at += 1;
        }
    }
    if at < checkpoint.size {
        let (found, covered) = (at, checkpoint.size);
        return Err(LogFault::from(ReceiptFault::Truncated { found, covered }).into());
    }
    if from == 0 && tree.root() != checkpoint.root {
        let fault = ReceiptFault::RootMismatch {
            size: checkpoint.size,
            found: tree.root(),
            stated: checkpoint.root,
        };
        return Err(LogFault::from(fault).into());
    }
    Ok(())
}

fn signed_in_place(line: &[u8], authority: &Authority, at: u64) -> Result<(), LogFault> {
    let fault = match open_line(line, authority) {
        Ok(opened) if opened.receipt.log_index == at => return Ok(()),
        Ok(opened) => ReceiptFault::Order {
            stated: opened.receipt.log_index,
            found: at,
        },
        Err(fault) => fault,
    };
    let line = at + 1;
    Err(LogFault::Line { line, fault })
}

/// What identifies a file and its state: whoever else writes to it changes this.
fn seen(file: &File) -> io::Result<String> {
    let stat = rustix::fs::fstat(file)?;
    Ok(format!(
        "{}:{}:{}:{}:{}.{:09}",
        stat.st_dev, stat.st_ino, stat.st_nlink, stat.st_size, stat.st_ctime, stat.st_ctime_nsec
    ))
}

/// Writes a log and its checkpoint into a held folder, in place of what is there, and gives what the log's file then looks like. The
/// log before its checkpoint: a reader between the two sees lines that are not covered yet, never too few.
pub fn put(
    folder: &Folder,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
    note: &[u8],
) -> Result<String, FolderError> {
    clear(folder)?;
    let log = folder.write_from(OsStr::new(LOG), PRIVATE_FILE, fill)?;
    folder.write(OsStr::new(CHECKPOINT), &[note], PRIVATE_FILE)?;
    seen(&log).map_err(|error| FolderError::of("inspecting", folder, LOG, error))
}

/// Appends to the log in a held folder, where its file is as it was left, and replaces its checkpoint. None when it is not: somebody
/// else wrote to it, or a write was cut off.
pub fn append(
    folder: &Folder,
    left: &str,
    mut tail: impl Read,
    note: &[u8],
) -> Result<Option<String>, FolderError> {
    let failed =
        |doing: &'static str| move |error: io::Error| FolderError::of(doing, folder, LOG, error);
    // Whatever stands there instead of the file is not appended to; a location that fails does so again when it is written anew.
    let access = OFlags::WRONLY | OFlags::APPEND;
    let Ok((mut log, _)) = folder.open_with(OsStr::new(LOG), access) else {
        return Ok(None);
    };
    if seen(&log).map_err(failed("inspecting"))? != left {
        return Ok(None);
    }
    io::copy(&mut tail, &mut log)
        .and_then(|_| log.sync_all())
        .map_err(failed("writing"))?;
    let left = seen(&log).map_err(failed("inspecting"))?;
    folder.write(OsStr::new(CHECKPOINT), &[note], PRIVATE_FILE)?;
    Ok(Some(left))
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
    let (checkpoint, note) = log.checkpoint();
    clear(&held).map_err(|error| failed(error.to_string()))?;
    write_lines(&held, store, log.authority(), 0, &checkpoint)
        .map_err(|error| error.into_copy_error(folder))?;
    held.write(OsStr::new(CHECKPOINT), &[note.as_bytes()], PRIVATE_FILE)
        .map_err(|error| failed(error.to_string()))?;
    Ok(Copied {
        folder: folder.to_owned(),
        size: ours,
    })
}
