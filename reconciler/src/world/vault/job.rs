//! Owns what a worker process does with one location: restore one folder of a snapshot from it, or check it. The engine unwraps I/O errors inside its worker threads, so none of this runs in the daemon itself.
//! Restores and checks never write to a location. The interesting function is [`verify`]: what was restored is read again
//! and hashed against the snapshot.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::digest::Digest;
use rustic_core::repofile::{Node, NodeType};
use rustic_core::{
    IndexedFull, LocalDestination, LsOptions, Repository, RestoreOptions, WriteBackend,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::check::{self, Checked, Reading};
use super::derived::Derived;
use super::error::VaultError;
use super::reader::Reader;
use super::repository::{self, engine};
use super::store::{Kind, Place, Store};
use super::trust::Doubted;
use crate::progress::{Gauge, Stage};

/// What is to be done. The password travels with it and nowhere else.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `<environment>/<plan_id>/<kid>`.
    pub repository: String,
    /// Opens the repository.
    pub password: String,
    /// What it opens, as far as that was derived before.
    pub derived: Vec<Derived>,
    /// What to do.
    pub job: Job,
}

impl Drop for Order {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Order")
            .field("repository", &self.repository)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

/// The work of one worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// Restore one dataset into a folder, then read everything again and compare.
    Restore(Restore),
    /// Check structure and a portion of the packs.
    Check {
        /// The location.
        place: Place,
        /// What is read.
        reading: Reading,
        /// Paths of objects that are known to be damaged there.
        damaged: BTreeSet<String>,
    },
    /// Find out which recovery points need one of these objects.
    Impact {
        /// The location.
        place: Place,
        /// Their paths.
        objects: BTreeSet<String>,
    },
}

/// One attempt to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The location that shall serve.
    pub place: Place,
    /// Paths of objects that are known to be damaged there.
    pub damaged: BTreeSet<String>,
    /// 64 hex digits.
    pub snapshot: String,
    /// Folder in the snapshot.
    pub dataset: String,
    /// Folder on this machine; made when missing.
    pub target: PathBuf,
    /// The folder that the content is copied to afterwards, on a disk that may have less room.
    pub goes_to: Option<PathBuf>,
    /// True when an earlier attempt may have left content: nothing there is trusted by size and time.
    pub again: bool,
}

/// Which packs a check reads to their last byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Portion {
    /// All of them.
    All,
    /// Part `part` of `of`, by their names: over `of` checks every pack is read once.
    Part {
        /// From 1 to `of`.
        part: u32,
        /// Number of parts, 1 or more.
        of: u32,
    },
    /// These. One that is missing is damage in any check, for the index names it.
    Packs(BTreeSet<String>),
}

impl Portion {
    /// True when a pack belongs to it.
    pub fn holds(&self, pack: &str) -> bool {
        match self {
            Self::All => true,
            Self::Part { part, of } => {
                let byte = |at: usize| {
                    pack.get(at..at + 2)
                        .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                        .unwrap_or(0)
                };
                let number = u32::from_le_bytes([byte(0), byte(2), byte(4), byte(6)]);
                number % (*of).max(1) == part % (*of).max(1)
            }
            Self::Packs(packs) => packs.contains(pack),
        }
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Files written and verified.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Links and special files.
    pub others: u64,
    /// Bytes read again and hashed.
    pub bytes: u64,
    /// Files that differ from the snapshot.
    pub differing: u64,
    /// The first few of them, with the reason.
    pub examples: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// The restore ended.
    Restored(Restored),
    /// The check ended.
    Checked(Checked),
}

/// Has work done in another process, which may hang or die.
pub trait Hands {
    /// Does one job to its end.
    ///
    /// # Errors
    /// What the job says, or how its process ended without an answer.
    fn perform(&self, order: Order) -> Result<Done, VaultError>;
}

/// How many differing files or damages are told one by one.
const EXAMPLES: usize = 50;

/// Does the work.
pub(super) fn perform(order: &Order, gauge: &Arc<Gauge>) -> Result<Done, VaultError> {
    match &order.job {
        Job::Restore(restore) => restore_one(order, restore, gauge).map(Done::Restored),
        Job::Check {
            place,
            reading,
            damaged,
        } => {
            check::check(order, &store_at(order, place), reading, damaged, gauge).map(Done::Checked)
        }
        Job::Impact { place, objects } => {
            check::impact(order, &store_at(order, place), objects, gauge).map(Done::Checked)
        }
    }
}

fn store_at(order: &Order, place: &Place) -> Arc<dyn Store> {
    place.store(&order.repository)
}

pub(super) fn open(
    order: &Order,
    store: &Arc<dyn Store>,
    gauge: &Arc<Gauge>,
) -> Result<(repository::Opened, Arc<Reader>), VaultError> {
    let key = repository::master_key(store.as_ref(), &order.password, &order.repository)?
        .ok_or_else(|| VaultError::RepositoryAbsent {
            repository: order.repository.clone(),
        })?;
    let reader = Arc::new(Reader::new(Arc::clone(store), Arc::clone(gauge)));
    let backend: Arc<dyn WriteBackend> = Arc::<Reader>::clone(&reader);
    Ok((repository::open(&backend, &key.key)?, reader))
}

fn restore_one(
    order: &Order,
    restore: &Restore,
    gauge: &Arc<Gauge>,
) -> Result<Restored, VaultError> {
    let restoring = engine("restoring");
    let store: Arc<dyn Store> = Arc::new(Doubted::new(
        store_at(order, &restore.place),
        &restore.damaged,
    ));
    let (opened, reader) = open(order, &store, gauge)?;
    let snapshot = restore.snapshot.clone();
    let held = store
        .list(Kind::Snapshot)
        .map_err(|source| VaultError::Storage { source })?;
    if !held.contains_key(&snapshot) {
        return Err(VaultError::SnapshotAbsent { snapshot });
    }
    let file = opened
        .get_snapshot_from_str(&snapshot, |_| true)
        .map_err(&restoring)?;
    // A pack that is gone may have been stored again: only packs that are there may serve.
    reader.show_only(repository::known_packs(&opened)?.0);
    let indexed = opened.to_indexed_checked().map_err(&restoring)?;
    let node = indexed
        .node_from_snapshot_and_path(&file, &restore.dataset)
        .map_err(|_| VaultError::DatasetAbsent {
            snapshot,
            dataset: restore.dataset.clone(),
        })?;
    let text = restore.target.to_str().ok_or_else(|| VaultError::Target {
        path: restore.target.display().to_string(),
        why: "its path is not UTF-8".to_owned(),
    })?;
    let list = indexed
        .ls(&node, &LsOptions::default())
        .map_err(&restoring)?;
    let nodes: Vec<(PathBuf, Node)> = list.clone().collect::<Result<_, _>>().map_err(&restoring)?;
    let nodes = || nodes.iter().map(|(_, node)| node);
    if !restore.again {
        let needed = super::room::needed(&indexed, nodes());
        let folders: Vec<PathBuf> = std::iter::once(restore.target.clone())
            .chain(restore.goes_to.clone())
            .collect();
        super::room::require(&folders, needed)?;
    }
    let mut options = RestoreOptions::default().verify_existing(restore.again);
    // Chunks of zeros are left as the holes that they were, or as good as. The engine's type has no public name.
    options.sparse = serde_json::from_str("\"ByContent\"").unwrap_or_default();
    let destination = LocalDestination::new(text, true, false).map_err(&restoring)?;
    let stored = super::room::stored(&indexed, nodes());
    gauge.begin(Stage::Restoring, Some(stored));
    let plan = indexed
        .prepare_restore(&options, list.clone(), &destination, false)
        .map_err(&restoring)?;
    indexed
        .restore(plan, &options, list.clone(), &destination)
        .map_err(&restoring)?;
    let mut restored = Restored::default();
    let size = nodes().map(|node| node.meta.size).sum();
    gauge.begin(Stage::Comparing, Some(size));
    for item in list {
        let (path, node) = item.map_err(&restoring)?;
        verify(&indexed, &restore.target, &path, &node, &mut restored);
        let entries = restored.files + restored.folders + restored.others;
        gauge.set(entries, restored.bytes);
    }
    Ok(restored)
}

/// Reads one restored entry again and compares it with what the snapshot says: kind, size, and the SHA-256 of every chunk.
fn verify<S: IndexedFull>(
    repository: &Repository<S>,
    target: &Path,
    path: &Path,
    node: &Node,
    restored: &mut Restored,
) {
    let at = target.join(path);
    let result = match &node.node_type {
        NodeType::File => {
            restored.files += 1;
            verify_file(repository, &at, node).map(|bytes| restored.bytes += bytes)
        }
        NodeType::Dir => {
            restored.folders += 1;
            match std::fs::symlink_metadata(&at) {
                Ok(found) if found.is_dir() => Ok(()),
                Ok(_) => Err("it is no folder".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
        NodeType::Symlink { .. } => {
            restored.others += 1;
            match std::fs::read_link(&at) {
                Ok(found) if found == node.node_type.to_link() => Ok(()),
                Ok(_) => Err("it leads elsewhere".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
        NodeType::Dev { .. } | NodeType::Chardev { .. } | NodeType::Fifo | NodeType::Socket => {
            restored.others += 1;
            Ok(())
        }
    };
    if let Err(why) = result {
        restored.differing += 1;
        if restored.examples.len() < EXAMPLES {
            restored.examples.push(format!("{}: {why}", path.display()));
        }
    }
}

fn verify_file<S: IndexedFull>(
    repository: &Repository<S>,
    at: &Path,
    node: &Node,
) -> Result<u64, String> {
    let found = std::fs::symlink_metadata(at).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    if found.len() != node.meta.size {
        return Err(format!(
            "{} bytes instead of {}",
            found.len(),
            node.meta.size
        ));
    }
    let mut reader = BufReader::new(File::open(at).map_err(|error| error.to_string())?);
    let mut chunk = Vec::new();
    let mut read = 0;
    for id in node.content.iter().flatten() {
        let entry = repository
            .get_index_entry(id)
            .map_err(|error| error.display_log())?;
        chunk.resize(entry.location.data_length() as usize, 0);
        reader
            .read_exact(&mut chunk)
            .map_err(|error| error.to_string())?;
        if Digest::of(&chunk).to_string() != id.to_hex().as_str() {
            return Err(format!("the content at byte {read} differs"));
        }
        read += chunk.len() as u64;
    }
    if read == node.meta.size {
        Ok(read)
    } else {
        Err(format!(
            "its chunks hold {read} bytes instead of {}",
            node.meta.size
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_portion_cover_every_pack_once() {
        for number in 0..=255_u8 {
            let pack = Digest::of(&[number]).to_string();
            let parts = (1..=7).filter(|&part| Portion::Part { part, of: 7 }.holds(&pack));
            assert_eq!(parts.count(), 1, "{pack}");
            assert!(Portion::All.holds(&pack));
        }
    }
}
