//! Owns what the child process does: restore one folder of a snapshot from one location, or check one location. The engine
//! unwraps I/O errors inside its worker threads, so none of this runs in the daemon itself. Never writes to a location.
//! The interesting function is [`verify`]: what was restored is read again and hashed against the snapshot.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::digest::Digest;
use rustic_core::repofile::{IndexFile, Node, NodeType};
use rustic_core::{
    CheckOptions, IndexedFull, LocalDestination, LsOptions, ReadSubsetOption, Repository,
    RestoreOptions, WriteBackend,
};
use serde::{Deserialize, Serialize};

use super::observe::is_content_of;
use super::reader::Reader;
use super::repository;
use super::store::{Kind, Object, Objects, Place, Store};

/// What the parent asks for, one JSON object on standard input; the password travels with it and nowhere else.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Where the location is.
    pub place: Place,
    /// `<environment>/<plan_id>/<kid>`.
    pub repository: String,
    /// Opens the repository.
    pub password: String,
    /// What to do.
    pub job: Job,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Order")
            .field("place", &self.place)
            .field("repository", &self.repository)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

/// The work of a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// Restore `/<dataset>/` of a snapshot into a folder, then read everything again and compare.
    Restore {
        /// 64 hex digits.
        snapshot: String,
        /// Folder in the snapshot.
        dataset: String,
        /// Folder on this machine; made when missing.
        target: PathBuf,
        /// True when an earlier attempt may have left content: nothing there is trusted by size and time.
        again: bool,
    },
    /// Check structure and a portion of the packs.
    Check {
        /// Which packs are read.
        portion: Portion,
    },
}

/// Part `part` of `of` of all packs, by their names: over `of` runs every pack is read once. `1` of `1` is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portion {
    /// From 1 to `of`.
    pub part: u32,
    /// Number of parts, 1 or more.
    pub of: u32,
}

impl Portion {
    /// Everything.
    pub const ALL: Self = Self { part: 1, of: 1 };

    /// True when a pack belongs to this part. The engine divides by the same rule.
    pub fn holds(self, pack: &str) -> bool {
        let byte = |at: usize| {
            pack.get(at..at + 2)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                .unwrap_or(0)
        };
        let number = u32::from_le_bytes([byte(0), byte(2), byte(4), byte(6)]);
        number % self.of.max(1) == self.part % self.of.max(1)
    }
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Which packs were read.
    pub portion: Portion,
    /// Packs read and hashed.
    pub packs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Damage: the location must not serve or receive anything before it is repaired.
    pub damage: Vec<String>,
    /// Oddities that endanger nothing, for example packs that an interrupted run left.
    pub oddities: Vec<String>,
}

impl Checked {
    /// True when no damage was found.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// One line on the child's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// On the way.
    Progress(Progress),
    /// The restore ended.
    Restored(Restored),
    /// The check ended.
    Checked(Checked),
    /// The key opens nothing here.
    WrongKey,
    /// The location has no such snapshot.
    SnapshotAbsent,
    /// The snapshot has no such folder.
    DatasetAbsent,
    /// Anything else.
    Failed(String),
}

/// How far a child is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// `restoring`, `verifying`, `hashing`, `checking`.
    pub stage: String,
    /// Bytes done in this stage.
    pub done: u64,
}

/// How many differing files or damages are told one by one.
const EXAMPLES: usize = 50;

/// Progress is told after this many bytes.
const PROGRESS_STEP: u64 = 64 << 20;

/// Does the work. The last word is the result.
pub(super) fn perform(order: &Order, say: &mut dyn FnMut(Word)) -> Word {
    let store: Arc<dyn Store> =
        Arc::new(Objects::new(order.place.clone(), order.repository.clone()));
    let done = match &order.job {
        Job::Restore { .. } => restore(order, &store, say),
        Job::Check { portion } => check(order, &store, *portion, say),
    };
    done.unwrap_or_else(|word| word)
}

fn failed(error: impl std::fmt::Display) -> Word {
    Word::Failed(error.to_string())
}

#[expect(
    clippy::boxed_local,
    reason = "the engine's errors come boxed, and this is handed to map_err"
)]
fn engine(error: Box<rustic_core::RusticError>) -> Word {
    Word::Failed(error.display_log())
}

fn open(order: &Order, store: &Arc<dyn Store>) -> Result<repository::Opened, Word> {
    let key = repository::master_key(store.as_ref(), &order.password, &order.repository)
        .map_err(|error| match error {
            super::VaultError::WrongKey { .. } => Word::WrongKey,
            other => failed(other),
        })?
        .ok_or_else(|| failed("the location holds no repository"))?;
    let backend: Arc<dyn WriteBackend> = Arc::new(Reader(Arc::clone(store)));
    repository::open(&backend, &key).map_err(failed)
}

fn restore(order: &Order, store: &Arc<dyn Store>, say: &mut dyn FnMut(Word)) -> Result<Word, Word> {
    let Job::Restore {
        snapshot,
        dataset,
        target,
        again,
    } = &order.job
    else {
        return Err(failed("no restore was asked for"));
    };
    let opened = open(order, store)?;
    let object = Object {
        kind: Kind::Snapshot,
        name: snapshot.clone(),
    };
    if !store
        .list(Kind::Snapshot)
        .map_err(failed)?
        .contains_key(&object.name)
    {
        return Err(Word::SnapshotAbsent);
    }
    let file = opened
        .get_snapshot_from_str(snapshot, |_| true)
        .map_err(engine)?;
    let indexed = opened.to_indexed().map_err(engine)?;
    let node = indexed
        .node_from_snapshot_and_path(&file, dataset)
        .map_err(|_| Word::DatasetAbsent)?;
    let text = target
        .to_str()
        .ok_or_else(|| failed("the target's path is not UTF-8"))?;
    say(progress("restoring", 0));
    let list = indexed.ls(&node, &LsOptions::default()).map_err(engine)?;
    let options = RestoreOptions::default().verify_existing(*again);
    let destination = LocalDestination::new(text, true, false).map_err(engine)?;
    let plan = indexed
        .prepare_restore(&options, list.clone(), &destination, false)
        .map_err(engine)?;
    say(progress("restoring", plan.matched_size));
    indexed
        .restore(plan, &options, list.clone(), &destination)
        .map_err(engine)?;
    let mut restored = Restored {
        files: 0,
        folders: 0,
        others: 0,
        bytes: 0,
        differing: 0,
        examples: Vec::new(),
    };
    let mut told = 0;
    for item in list {
        let (path, node) = item.map_err(engine)?;
        verify(&indexed, target, &path, &node, &mut restored);
        if restored.bytes - told >= PROGRESS_STEP {
            told = restored.bytes;
            say(progress("verifying", told));
        }
    }
    Ok(Word::Restored(restored))
}

fn progress(stage: &str, done: u64) -> Word {
    Word::Progress(Progress {
        stage: stage.to_owned(),
        done,
    })
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

fn check(
    order: &Order,
    store: &Arc<dyn Store>,
    portion: Portion,
    say: &mut dyn FnMut(Word),
) -> Result<Word, Word> {
    let mut checked = Checked {
        portion,
        packs: 0,
        bytes: 0,
        snapshots: 0,
        damage: Vec::new(),
        oddities: Vec::new(),
    };
    let mut hashed = hash_all(store.as_ref(), portion, &mut checked, say).map_err(failed)?;
    if !checked.damage.is_empty() {
        // The engine would stop at the first file that does not decrypt; the names alone are proof enough.
        return Ok(Word::Checked(checked));
    }
    let opened = open(order, store)?;
    for file in opened.stream_files::<IndexFile>().map_err(engine)? {
        let (_, file) = file.map_err(engine)?;
        for pack in &file.packs {
            hashed.remove(&pack.id.to_hex().to_string());
        }
    }
    checked.oddities.extend(
        hashed.into_iter().map(|pack| {
            format!("pack `{pack}` is in no index: a run that was interrupted left it")
        }),
    );
    say(progress("checking", checked.bytes));
    let options =
        CheckOptions::default()
            .read_data(true)
            .read_data_subset(ReadSubsetOption::IdSubSet((
                portion.part,
                portion.of.max(1),
            )));
    for (level, error) in opened.check(options).map_err(engine)?.0 {
        // The level's type has no public name; its two values do.
        if format!("{level:?}") == "Warn" {
            checked.oddities.push(error.to_string());
        } else {
            checked.damage.push(error.to_string());
        }
    }
    checked.oddities.truncate(EXAMPLES);
    Ok(Word::Checked(checked))
}

/// Hashes every index, snapshot and key file and the portion's packs against their names. Returns the packs read.
fn hash_all(
    store: &dyn Store,
    portion: Portion,
    checked: &mut Checked,
    say: &mut dyn FnMut(Word),
) -> Result<BTreeSet<String>, super::StoreError> {
    let mut packs = BTreeSet::new();
    let mut told = 0;
    for kind in [Kind::Key, Kind::Index, Kind::Snapshot, Kind::Pack] {
        for name in store.list(kind)?.into_keys() {
            if kind == Kind::Pack && !portion.holds(&name) {
                continue;
            }
            let object = Object { kind, name };
            match store.read(&object) {
                Ok(content) => {
                    checked.bytes += content.len() as u64;
                    if !is_content_of(&object, &content) {
                        checked
                            .damage
                            .push(format!("`{}` is not what its name says", object.path()));
                    }
                }
                Err(error) => checked.damage.push(error.to_string()),
            }
            match kind {
                Kind::Snapshot => checked.snapshots += 1,
                Kind::Pack => {
                    checked.packs += 1;
                    packs.insert(object.name);
                }
                Kind::Key | Kind::Index | Kind::Config | Kind::Lock => {}
            }
            if checked.bytes - told >= PROGRESS_STEP {
                told = checked.bytes;
                say(progress("hashing", told));
            }
        }
    }
    Ok(packs)
}
