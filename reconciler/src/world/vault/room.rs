//! Owns the room that a restore needs: how many bytes a snapshot's folder takes, and whether the folders that it goes to have
//! them. A full disk of this machine is never told as damage of a location. Writes nothing. The interesting function is
//! [`needed`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use contract::digest::Digest;
use rustic_core::repofile::{Node, NodeType};
use rustic_core::{IndexedFull, Repository};

use super::error::VaultError;
use crate::world::folder::{Folder, FolderError};

/// What the engine cuts at most into one chunk. A hole of a file is chunks of zeros of this size.
const LARGEST_CHUNK: usize = 8 << 20;

/// A write of one chunk that did not fit leaves less than this.
const FULL_BELOW: u64 = LARGEST_CHUNK as u64;

/// Bytes that a location holds for the files of a listing, each chunk once: what a restore reads.
pub(super) fn stored<'n, S: IndexedFull>(
    repository: &Repository<S>,
    nodes: impl Iterator<Item = &'n Node>,
) -> u64 {
    let mut counted = BTreeSet::new();
    nodes
        .flat_map(|node| node.content.iter().flatten())
        .filter(|chunk| counted.insert(**chunk))
        .filter_map(|chunk| repository.get_index_entry(chunk).ok())
        .map(|entry| u64::from(entry.location.length))
        .sum()
}

/// Bytes that the files of a listing take on a disk: several names of one file count once, holes count nothing.
pub(super) fn needed<'n, S: IndexedFull>(
    repository: &Repository<S>,
    nodes: impl Iterator<Item = &'n Node>,
) -> u64 {
    let hole = Digest::of(&vec![0; LARGEST_CHUNK]).to_string();
    let mut counted: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut bytes = 0_u64;
    for node in nodes {
        if node.node_type != NodeType::File {
            continue;
        }
        let meta = &node.meta;
        if meta.links > 1 && !counted.insert((meta.device_id, meta.inode)) {
            continue;
        }
        for chunk in node.content.iter().flatten() {
            if chunk.to_hex().as_str() == hole {
                continue;
            }
            let length = repository
                .get_index_entry(chunk)
                .map_or(0, |entry| u64::from(entry.location.data_length()));
            bytes = bytes.saturating_add(length);
        }
    }
    bytes
}

/// Refuses a restore for which a folder lacks room. Folders on one file system need the sum.
pub(super) fn require(folders: &[PathBuf], bytes: u64) -> Result<(), VaultError> {
    let mut asked: Vec<(u64, u64)> = Vec::new();
    for path in folders {
        let Ok((folder, device)) = nearest(path) else {
            // Whoever writes there says what is wrong with it.
            continue;
        };
        let before: u64 = asked
            .iter()
            .filter(|(other, _)| *other == device)
            .map(|(_, bytes)| *bytes)
            .sum();
        asked.push((device, bytes));
        let needed = bytes.saturating_add(before);
        let room = folder.room().unwrap_or(u64::MAX);
        if room < needed {
            return Err(VaultError::RoomLacking {
                folder: path.display().to_string(),
                lacks: needed - room,
                room,
            });
        }
    }
    Ok(())
}

/// Whether a folder's file system has so little room that a write may have failed for it.
pub(super) fn is_full(path: &Path) -> bool {
    nearest(path)
        .and_then(|(folder, _)| folder.room())
        .is_ok_and(|room| room < FULL_BELOW)
}

/// The folder itself or the nearest one above it that exists, with its device.
fn nearest(path: &Path) -> Result<(Folder, u64), FolderError> {
    let mut at = path;
    loop {
        match Folder::open(at) {
            Ok(folder) => {
                let device = folder.identity()?.device;
                return Ok((folder, device));
            }
            Err(error) => match at.parent() {
                Some(parent) => at = parent,
                None => return Err(error),
            },
        }
    }
}
