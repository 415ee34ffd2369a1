//! Owns the copies of the receipt log at the locations: which are too old, and that none is newer than the log. Each copy is
//! written by a child of its own, so that a location that hangs holds nobody. Never writes to a location that is set aside.
//! The interesting function is [`copy`].

use std::path::{Path, PathBuf};

use contract::code;
use contract::id::LocationId;
use contract::receipt::Checkpoint;

use super::Daemon;
use super::locations::{Standing, at, failed, private_folder};
use crate::domain::{Change, ReceiptCopy};
use crate::failure::Failure;
use crate::world::folder::{Folder, PRIVATE_FILE};
use crate::world::location::{self, NoReply, Order, Reply, Tail};
use crate::world::receipts::{self, CopyError, LinesError};
use crate::world::vault::Place;

/// Where the log is while children copy it, below the state folder.
const OUTGOING: &str = "outgoing";

/// The size of the copy at a location; none when there is no copy.
fn size_at(daemon: &Daemon, folder: &Path, standing: &Standing) -> Result<Option<u64>, CopyError> {
    let Some(inspected) = &standing.inspected else {
        return Ok(None);
    };
    if let Some(why) = &inspected.checkpoint_problem {
        return Err(CopyError::Unclear {
            folder: folder.display().to_string(),
            why: why.clone(),
        });
    }
    let Some(note) = &inspected.checkpoint else {
        return Ok(None);
    };
    receipts::size_of_copy(note.as_bytes(), daemon.log().authority(), folder).map(Some)
}

/// A log that is shorter than one of its copies has lost its end, and with it what must not be done twice.
pub(super) fn nothing_was_lost(daemon: &Daemon) -> Result<(), Failure> {
    let ours = daemon.log().ledger().size();
    for (id, standing) in &daemon.locations()?.standings {
        let folder = folder_of(daemon, id);
        match size_at(daemon, &folder, standing) {
            Ok(Some(found)) if found > ours => {
                return Err(Failure::from(CopyError::Ahead {
                    folder: folder.display().to_string(),
                    found,
                    ours,
                }));
            }
            Ok(_) => {}
            // A state that is empty has nothing to hold it against: what is there may be what was lost.
            Err(error) if ours == 0 => return Err(Failure::from(error)),
            // Told when the copy is written; another location may know.
            Err(error) => tracing::warn!(event = "receipts_not_copied", location = %id, "{error}"),
        }
    }
    Ok(())
}

pub(super) fn folder_of(daemon: &Daemon, id: &LocationId) -> PathBuf {
    let location = daemon.config.locations.get(id);
    location
        .map(|location| PathBuf::from(location.site.shown()).join(daemon.receipts_below()))
        .unwrap_or_default()
}

/// A location whose copy is older than the log.
struct Older {
    id: LocationId,
    standing: Standing,
    /// What it was when it was written, where only the lines after that are missing.
    left: Option<ReceiptCopy>,
}

impl Older {
    /// How many lines need not be sent.
    fn size(&self) -> u64 {
        let size = self.left.as_ref().map_or(0, |left| left.size);
        match &self.standing.place {
            Place::Folder(_) => size,
            // Nothing can be appended to an object: the last one is written again.
            Place::Bucket(_) => location::object_of(size),
        }
    }
}

/// Copies the log and its checkpoint to every location that can be used, and says which copies failed.
pub fn copy_receipts(daemon: &Daemon) -> Vec<Failure> {
    copy(daemon).unwrap_or_else(|failure| vec![failure])
}

/// Copies the log to every location whose copy is older: only what it misses, where it is as it was left.
fn copy(daemon: &Daemon) -> Result<Vec<Failure>, Failure> {
    if daemon.is_aside {
        return Ok(Vec::new());
    }
    // Children copy what lies in one folder, so that another copy must not lay out its own meanwhile.
    let _alone = daemon.alone(&daemon.copying);
    let mut failures = Vec::new();
    let (checkpoint, note) = daemon.log().checkpoint();
    let older = older(daemon, checkpoint.size, &mut failures)?;
    let (tails, mut whole): (Vec<_>, Vec<_>) =
        older.into_iter().partition(|older| older.left.is_some());
    for (older, reply) in send(daemon, &checkpoint, &note, tails)? {
        match reply {
            Ok(Reply::CopyChanged) => {
                tracing::info!(event = "receipts_copied_anew", location = %older.id, "the copy of the receipts was changed; it is written again");
                whole.push(Older {
                    left: None,
                    ..older
                });
            }
            reply => conclude(daemon, &older.id, &checkpoint, &note, reply, &mut failures)?,
        }
    }
    for (older, reply) in send(daemon, &checkpoint, &note, whole)? {
        conclude(daemon, &older.id, &checkpoint, &note, reply, &mut failures)?;
    }
    Ok(failures)
}

/// Locations whose copy is older than the log. Why another one gets none is a failure.
fn older(daemon: &Daemon, ours: u64, failures: &mut Vec<Failure>) -> Result<Vec<Older>, Failure> {
    let mut copies = daemon.store.receipt_copies()?;
    let mut all = Vec::new();
    for (id, standing) in daemon.locations()?.standings {
        if let Some(aside) = &standing.aside {
            failures.push(Failure::new(
                code::RECEIPT_COPY_FAILED,
                format!("receipts are not copied: {}", aside.failure.message),
                aside.failure.help.clone(),
            ));
            continue;
        }
        let folder = folder_of(daemon, &id);
        match size_at(daemon, &folder, &standing) {
            Ok(Some(found)) if found == ours => {}
            Ok(Some(found)) if found > ours => failures.push(
                CopyError::Ahead {
                    folder: folder.display().to_string(),
                    found,
                    ours,
                }
                .into(),
            ),
            Ok(found) => {
                let left = copies.remove(&id);
                let left = left.filter(|copy| copy.size > 0 && Some(copy.size) == found);
                all.push(Older { id, standing, left });
            }
            Err(error) => failures.push(error.into()),
        }
    }
    Ok(all)
}

/// A location, and what its child answered.
type Asked = (Older, Result<Reply, NoReply>);

/// Asks a child for each location, all at the same time.
fn send(
    daemon: &Daemon,
    checkpoint: &Checkpoint,
    note: &str,
    all: Vec<Older>,
) -> Result<Vec<Asked>, Failure> {
    let Some(first) = all.iter().map(Older::size).min() else {
        return Ok(Vec::new());
    };
    let from = private_folder(&daemon.config, OUTGOING)?;
    lay_out(daemon, &from, first, checkpoint, note)?;
    let begin = daemon.store.receipt_bytes(first)?;
    let bytes = daemon.store.receipt_bytes(checkpoint.size)?;
    let orders = all
        .iter()
        .map(|older| {
            let inspected = older.standing.inspected.as_ref();
            let tail = match &older.left {
                None => None,
                Some(left) => Some(Tail {
                    left: left.seen.clone(),
                    skip: daemon
                        .store
                        .receipt_bytes(older.size())?
                        .saturating_sub(begin),
                    line: older.size(),
                }),
            };
            Ok(Order::CopyReceipts {
                at: at(&daemon.config, &older.id)?,
                expected: older.standing.place.mark().cloned(),
                receipts: daemon.receipts_below(),
                from: from.clone(),
                bytes: bytes.saturating_sub(begin),
                tail,
                replaces: inspected.and_then(|inspected| inspected.checkpoint.clone()),
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let replies = daemon.effects.at_locations(&orders, &daemon.stop);
    Ok(all.into_iter().zip(replies).collect())
}

/// Remembers how far a copy is and how its file was left, or says why there is none.
fn conclude(
    daemon: &Daemon,
    id: &LocationId,
    checkpoint: &Checkpoint,
    note: &str,
    reply: Result<Reply, NoReply>,
    failures: &mut Vec<Failure>,
) -> Result<(), Failure> {
    let Ok(Reply::Copied(seen)) = reply else {
        let failure = failed(id, reply);
        failures.push(Failure::new(
            code::RECEIPT_COPY_FAILED,
            format!("receipts cannot be copied: {}", failure.message),
            failure.help,
        ));
        return Ok(());
    };
    daemon.receipts_copied(id, note);
    let copy = ReceiptCopy {
        location_id: id.clone(),
        size: checkpoint.size,
        seen,
    };
    daemon
        .store
        .commit(&[Change::ReceiptsCopied(copy)], &[])
        .map_err(Failure::from)
}

/// Lays out the lines from a place in the log on, and the checkpoint that covers them, for children to copy.
fn lay_out(
    daemon: &Daemon,
    folder: &Path,
    first: u64,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<(), Failure> {
    let authority = daemon.log().authority().clone();
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::new(
            code::RECEIPT_COPY_FAILED,
            format!("the receipts to copy cannot be written: {why}"),
            "make room below the state folder",
        )
    };
    let held = Folder::open(folder).map_err(|why| unusable(&why))?;
    match receipts::write_lines(&held, daemon.store.as_ref(), &authority, first, checkpoint) {
        Ok(()) => {}
        Err(LinesError::Write(why)) => return Err(unusable(&why)),
        Err(error) => return Err(error.into_copy_error(folder).into()),
    }
    held.write("checkpoint".as_ref(), &[note.as_bytes()], PRIVATE_FILE)
        .map_err(|why| unusable(&why))
}
