//! Owns the copies of the receipt log at the locations: which are too old, and that none is newer than the log. Each copy is
//! written by a child of its own, so that a location that hangs holds nobody. Never writes to a location that is set aside.
//! The interesting function is [`copy`].

use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use contract::code;
use contract::id::LocationId;

use super::Daemon;
use super::locations::{Standing, at, failed, private_folder};
use crate::failure::Failure;
use crate::world::folder::{Folder, PRIVATE_FILE};
use crate::world::location::{self, Order, Reply};
use crate::world::receipts::{self, CopyError};
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
            // Told when the copy is written; another location may know.
            Err(error) => tracing::warn!(location = %id, "{error}"),
        }
    }
    Ok(())
}

fn folder_of(daemon: &Daemon, id: &LocationId) -> PathBuf {
    let location = daemon.config.locations.get(id);
    location
        .map(|location| location.path.join(daemon.receipts_below()))
        .unwrap_or_default()
}

/// Copies the log to every location whose copy is older.
pub(super) fn copy(daemon: &Daemon) -> Result<Vec<Failure>, Failure> {
    let mut failures = Vec::new();
    let mut wanted: Vec<(LocationId, Standing)> = Vec::new();
    let (log, note, ours) = {
        let held = daemon.log();
        let (log, note) = receipts::rendered(&held, &daemon.store)?;
        (log, note, held.ledger().size())
    };
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
            Ok(_) => wanted.push((id, standing)),
            Err(error) => failures.push(error.into()),
        }
    }
    if wanted.is_empty() {
        return Ok(failures);
    }
    let from = private_folder(&daemon.config, OUTGOING)?;
    lay_out(&from, &log, note.as_bytes()).map_err(|why| {
        Failure::new(
            code::RECEIPT_COPY_FAILED,
            format!("the receipts to copy cannot be written: {why}"),
            "make room below the state folder",
        )
    })?;
    let replies = std::thread::scope(|scope| {
        let asked: Vec<_> = wanted
            .iter()
            .map(|(id, standing)| {
                let from = &from;
                scope.spawn(move || copy_to(daemon, id, standing, from))
            })
            .collect();
        let replies: Vec<_> = asked.into_iter().map(ScopedJoinHandle::join).collect();
        replies
    });
    for ((id, _), reply) in wanted.iter().zip(replies) {
        match reply {
            Ok(Ok(())) => daemon.receipts_copied(id, &note),
            Ok(Err(failure)) => failures.push(failure),
            Err(_) => failures.push(Failure::new(
                code::EFFECT_PANICKED,
                "copying receipts panicked",
                "report this as a bug",
            )),
        }
    }
    Ok(failures)
}

fn copy_to(
    daemon: &Daemon,
    id: &LocationId,
    standing: &Standing,
    from: &Path,
) -> Result<(), Failure> {
    let Place::Folder(folder) = &standing.place;
    let inspected = standing.inspected.as_ref();
    let order = Order::CopyReceipts {
        at: at(&daemon.config, id)?,
        expected: folder.mark.clone(),
        receipts: daemon.receipts_below(),
        from: from.to_owned(),
        replaces: inspected.and_then(|inspected| inspected.checkpoint.clone()),
    };
    match location::ask(&order, &|| daemon.stop.asked()) {
        Ok(Reply::Done) => Ok(()),
        other => {
            let failure = failed(id, other);
            Err(Failure::new(
                code::RECEIPT_COPY_FAILED,
                format!("receipts cannot be copied: {}", failure.message),
                failure.help,
            ))
        }
    }
}

fn lay_out(folder: &Path, log: &[u8], note: &[u8]) -> Result<(), String> {
    let held = Folder::open(folder).map_err(|error| error.to_string())?;
    held.write("receipts.jsonl".as_ref(), &[log], PRIVATE_FILE)
        .and_then(|()| held.write("checkpoint".as_ref(), &[note], PRIVATE_FILE))
        .map_err(|error| error.to_string())
}
