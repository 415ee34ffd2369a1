//! Owns the folder in which dumps and restores of one operation lie. Never gives one that another user could exchange.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use contract::code;

use super::Daemon;
use crate::domain::Operation;
use crate::failure::Failure;
use crate::worker::protocol::REPORT;
use crate::world::folder::{Folder, PRIVATE_FOLDER};

/// A folder of this operation alone, readable for nobody else: dumps and restores lie in it. Root refuses one that another
/// user could exchange for a link.
pub(super) fn spool(daemon: &Daemon, operation_id: &str) -> Result<PathBuf, Failure> {
    let folder = daemon.config.spool_path().join(operation_id);
    let unusable = |why: String| {
        Failure::new(
            code::SPOOL_UNUSABLE,
            format!("spool folder `{}` cannot be used: {why}", folder.display()),
            "let the state folder and those above it belong to root, closed to the writes of others, and make room there",
        )
    };
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_FOLDER)
        .create(&folder)
        .map_err(|error| unusable(error.to_string()))?;
    let is_firm = Folder::open(&folder)
        .and_then(|held| held.is_firm())
        .map_err(|error| unusable(error.to_string()))?;
    if is_firm || !nix::unistd::geteuid().is_root() {
        Ok(folder)
    } else {
        Err(unusable(
            "another user can exchange it, or a folder above it".to_owned(),
        ))
    }
}

/// Gives back what an operation has in its folder. While its outcome is open, what the connectors reported is kept for whoever closes it.
pub(super) fn give_back(daemon: &Daemon, operation: &Operation) {
    let folder = daemon.config.spool_path().join(&operation.operation_id);
    if !operation.state.is_open() {
        let _ = std::fs::remove_dir_all(folder);
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = std::fs::remove_dir_all(path);
        } else if entry.file_name() != REPORT {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes the folders of operations that are not open any more: their process was killed before it could.
pub(super) fn sweep(daemon: &Daemon) -> Result<(), Failure> {
    let open = daemon.store.open_operations(None)?;
    let path = daemon.config.spool_path();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if open.iter().all(|it| name != it.operation_id.as_str()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
