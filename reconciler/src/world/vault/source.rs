//! Owns what the engine reads: local folders, each under `/<dataset_id>/` of one snapshot. Every file is opened where it was
//! listed, below a held folder, and described by its open descriptor; the engine itself opens nothing. Failures are counted,
//! because the engine only warns about them and goes on. Never changes a source. The interesting type is [`CountedReader`].

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::id::DatasetId;
use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{ReadSource, ReadSourceEntry, ReadSourceOpen, RusticResult};
use rustix::fs::{FileType, Stat, fstat};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::mirror::lock;
use crate::progress::Gauge;
use crate::world::connector::{Excludes, Found, Item, Walk as Names};
use crate::world::folder::{self, Folder, FolderError, Identity};
use crate::world::owner::{Owner, working_as};

/// One folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its folder in the snapshot is `/<dataset_id>/`.
    pub dataset: DatasetId,
    /// The folder on this machine; what is in it is stored, not the folder's own path.
    pub folder: PathBuf,
    /// Which folder that was when the connector opened it. Another one in its place is refused.
    pub identity: Option<Identity>,
    /// Globs relative to the folder, as the binding has them.
    pub exclude: Vec<String>,
    /// True for a dump written for this run: its files share no history with those of the run before, so nothing is taken
    /// over from there without reading.
    pub fresh: bool,
    /// The user that reads; this process's own when there is none.
    pub run_as: Option<String>,
}

/// What was seen of the source, counted while the engine read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// Entries listed: files, folders, links.
    pub entries: u64,
    /// Files whose content was read; unchanged ones are not.
    pub files_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Entries that could not be read as they were listed.
    pub problems: u64,
    /// The first few of them, each with its reason.
    pub examples: Vec<String>,
    /// Names that went away between listing and opening.
    pub gone: Remarked,
    /// Files that were written to while they were read.
    pub changed: Remarked,
    /// Files that were cut while they were read.
    pub shrank: Remarked,
}

/// Entries of one kind: how many, and the first few by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarked {
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<String>,
}

impl Remarked {
    fn add(&mut self, path: &Path) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(path.display().to_string());
        }
    }

    fn note(&self, one: &str, many: &str) -> Option<String> {
        let names: Vec<String> = self.first.iter().map(|name| format!("`{name}`")).collect();
        let more = if self.count > self.first.len() as u64 {
            ", …"
        } else {
            ""
        };
        match self.count {
            0 => None,
            1 => Some(format!("1 {one}: {}", names.join(", "))),
            count => Some(format!("{count} {many}: {}{more}", names.join(", "))),
        }
    }
}

impl SourceCount {
    /// What a reader of the receipt should know; nothing here is a failure.
    pub fn notes(&self) -> Vec<String> {
        let gone = self.gone.note(
            "entry went away while it was listed",
            "entries went away while they were listed",
        );
        let changed = self.changed.note(
            "file was written to while it was read, and may mix two states",
            "files were written to while they were read, and may mix two states",
        );
        let shrank = self.shrank.note(
            "file shrank while it was read, and ends in zeros from there on",
            "files shrank while they were read, and end in zeros from there on",
        );
        gone.into_iter().chain(changed).chain(shrank).collect()
    }
}

/// How many problems are told one by one; the others are counted.
const EXAMPLES: usize = 20;

/// How many names a note holds; a receipt keeps 400 characters of it.
const NAMED: usize = 8;

/// Counters shared between the walk and the readers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    entries: AtomicU64,
    files_read: AtomicU64,
    bytes_read: AtomicU64,
    problems: AtomicU64,
    examples: Mutex<Vec<String>>,
    gone: Mutex<Remarked>,
    changed: Mutex<Remarked>,
    shrank: Mutex<Remarked>,
    gauge: Arc<Gauge>,
}

impl Tally {
    fn entry(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.gauge.add(1, 0);
    }

    fn problem(&self, what: String) {
        tracing::warn!(event = "source_unreadable", problem = %what, "source cannot be read");
        self.problems.fetch_add(1, Ordering::Relaxed);
        let mut examples = lock(&self.examples);
        if examples.len() < EXAMPLES {
            examples.push(what);
        }
    }

    pub(super) fn count(&self) -> SourceCount {
        SourceCount {
            entries: self.entries.load(Ordering::Relaxed),
            files_read: self.files_read.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            problems: self.problems.load(Ordering::Relaxed),
            examples: lock(&self.examples).clone(),
            gone: lock(&self.gone).clone(),
            changed: lock(&self.changed).clone(),
            shrank: lock(&self.shrank).clone(),
        }
    }
}

/// Several folders as one source.
pub(super) struct Folders {
    folders: Vec<Root>,
    tally: Arc<Tally>,
}

struct Root {
    inside: PathBuf,
    held: Arc<Folder>,
    node: Node,
    excludes: Arc<Excludes>,
    owner: Option<Arc<Owner>>,
}

impl Folders {
    /// Opens the folders. Their datasets must differ; the engine wants entries in the order of their paths.
    pub(super) fn open(sources: &[Source], gauge: &Arc<Gauge>) -> Result<Self, VaultError> {
        let mut ordered: Vec<&Source> = sources.iter().collect();
        ordered.sort_by(|a, b| a.dataset.cmp(&b.dataset));
        if ordered.is_empty()
            || ordered
                .windows(2)
                .any(|pair| matches!(pair, [a, b] if a.dataset == b.dataset))
        {
            return Err(VaultError::Request {
                why: "a run needs one source or more, each of another dataset".to_owned(),
            });
        }
        let folders = ordered
            .into_iter()
            .map(open_root)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            folders,
            tally: Arc::new(Tally {
                gauge: Arc::clone(gauge),
                ..Tally::default()
            }),
        })
    }

    /// The counters, live.
    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// The folders inside the snapshot.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.inside.clone())
            .collect()
    }
}

fn open_root(source: &Source) -> Result<Root, VaultError> {
    let missing = |why: String| VaultError::SourceMissing {
        path: source.folder.display().to_string(),
        why,
    };
    let excludes = Excludes::new(&source.exclude).map_err(|error| VaultError::Request {
        why: format!("an exclude of `{}` is wrong: {error}", source.dataset),
    })?;
    let owner = match source.run_as.as_deref().map(Owner::find) {
        None => None,
        Some(found) => found.map_err(|error| missing(error.to_string()))?,
    };
    let open = || -> Result<(Folder, Stat), FolderError> {
        let held = Folder::open(&source.folder)?;
        // An unreadable folder must be an error here: below, it would be an empty walk with one problem.
        held.is_empty()?;
        let stat = held.stat()?;
        Ok((held, stat))
    };
    let (held, stat) = working_as(owner.as_ref(), open)
        .map_err(|error| missing(error.to_string()))?
        .map_err(|error| missing(error.to_string()))?;
    if source
        .identity
        .is_some_and(|identity| identity != Identity::from(&stat))
    {
        return Err(missing("it was replaced by another folder".to_owned()));
    }
    let node = Node::new_node(
        source.dataset.as_str().as_ref(),
        NodeType::Dir,
        Metadata {
            mode: Some(go_mode(stat.st_mode & !0o7000)),
            mtime: modified(&stat),
            atime: modified(&stat),
            ctime: modified(&stat),
            uid: Some(stat.st_uid),
            gid: Some(stat.st_gid),
            inode: stat.st_ino,
            ..Metadata::default()
        },
    );
    Ok(Root {
        inside: Path::new("/").join(source.dataset.as_str()),
        held: Arc::new(held),
        node,
        excludes: Arc::new(excludes),
        owner: owner.map(Arc::new),
    })
}

impl ReadSource for Folders {
    type Open = Opened;
    type Iter = Walk;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Walk {
        let roots: Vec<Pending> = self
            .folders
            .iter()
            .map(|root| Pending {
                inside: root.inside.clone(),
                held: Arc::clone(&root.held),
                node: root.node.clone(),
                excludes: Arc::clone(&root.excludes),
                owner: root.owner.clone(),
            })
            .collect();
        Walk {
            roots: roots.into_iter(),
            current: None,
            tally: Arc::clone(&self.tally),
            names: OwnerNames::default(),
        }
    }
}

struct Pending {
    inside: PathBuf,
    held: Arc<Folder>,
    node: Node,
    excludes: Arc<Excludes>,
    owner: Option<Arc<Owner>>,
}

/// The entries of all folders, one folder after the other.
pub(super) struct Walk {
    roots: std::vec::IntoIter<Pending>,
    current: Option<(PathBuf, Names)>,
    tally: Arc<Tally>,
    names: OwnerNames,
}

impl Iterator for Walk {
    type Item = RusticResult<ReadSourceEntry<Opened>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((inside, walk)) = self.current.as_mut() else {
                let root = self.roots.next()?;
                let names = Names::new(root.held, root.excludes, root.owner);
                match names {
                    Ok(names) => self.current = Some((root.inside.clone(), names)),
                    Err(error) => {
                        self.tally.problem(error.to_string());
                        continue;
                    }
                }
                self.tally.entry();
                return Some(Ok(ReadSourceEntry {
                    path: root.inside,
                    node: root.node,
                    open: None,
                }));
            };
            let Some(item) = walk.next() else {
                self.current = None;
                continue;
            };
            let path = inside.join(&item.relative);
            if let Some((node, open)) = describe(item, &path, &self.tally, &mut self.names) {
                self.tally.entry();
                return Some(Ok(ReadSourceEntry { path, node, open }));
            }
        }
    }
}

/// The entry as the engine stores it; none when there is nothing to store.
fn describe(
    item: Item,
    path: &Path,
    tally: &Arc<Tally>,
    names: &mut OwnerNames,
) -> Option<(Node, Option<Opened>)> {
    let shown = path.strip_prefix("/").unwrap_or(path);
    let attributes = |found: io::Result<Vec<(OsString, Vec<u8>)>>| {
        found.unwrap_or_else(|error| {
            tally.problem(format!(
                "{}: its extended attributes: {error}",
                shown.display()
            ));
            Vec::new()
        })
    };
    let name = item.name().to_owned();
    match item.found {
        Found::File { file, stat } => {
            let meta = names.metadata(&stat, attributes(folder::attributes(&file)));
            let opened = Opened {
                file,
                listed: stat,
                path: shown.to_owned(),
                tally: Arc::clone(tally),
            };
            Some((Node::new_node(&name, NodeType::File, meta), Some(opened)))
        }
        Found::Folder { folder: held, stat } => {
            let meta = names.metadata(&stat, attributes(folder::attributes(&*held)));
            Some((Node::new_node(&name, NodeType::Dir, meta), None))
        }
        Found::Link { target, stat } => {
            let found = attributes(item.parent.attributes_of_link(&name));
            let meta = names.metadata(&stat, found);
            Some((
                Node::new_node(&name, NodeType::from_link(&target), meta),
                None,
            ))
        }
        // The connector counts them, each time.
        Found::Special => None,
        Found::Gone => {
            lock(&tally.gone).add(shown);
            None
        }
        Found::Failed(why) => {
            tally.problem(format!("{}: {why}", shown.display()));
            None
        }
    }
}

/// The format keeps modes as Go does.
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => GO_DIR,
        FileType::Symlink => GO_SYMLINK,
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => 0,
    };
    let bits = [
        (0o4000, GO_SETUID),
        (0o2000, GO_SETGID),
        (0o1000, GO_STICKY),
    ];
    bits.into_iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(kind | (mode & 0o777), |all, (_, bit)| all | bit)
}

fn modified(stat: &Stat) -> Option<Timestamp> {
    instant(stat.st_mtime, stat.st_mtime_nsec)
}

fn instant(seconds: i64, nanoseconds: u64) -> Option<Timestamp> {
    Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Names of users and groups by number; the user database is asked once for each.
#[derive(Default)]
struct OwnerNames {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl OwnerNames {
    /// As restic keeps them: the access time is the modification time, so that reading a file changes nothing.
    fn metadata(&mut self, stat: &Stat, attributes: Vec<(OsString, Vec<u8>)>) -> Metadata {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let links = stat.st_nlink;
        let user = self.users.entry(stat.st_uid).or_insert_with(|| {
            let found = User::from_uid(Uid::from_raw(stat.st_uid)).ok().flatten();
            found.map(|user| user.name)
        });
        let group = self.groups.entry(stat.st_gid).or_insert_with(|| {
            let found = Group::from_gid(Gid::from_raw(stat.st_gid)).ok().flatten();
            found.map(|group| group.name)
        });
        let mut meta = Metadata {
            mode: Some(go_mode(stat.st_mode)),
            mtime: modified(stat),
            atime: modified(stat),
            ctime: instant(stat.st_ctime, stat.st_ctime_nsec),
            uid: Some(stat.st_uid),
            gid: Some(stat.st_gid),
            user: user.clone(),
            group: group.clone(),
            inode: stat.st_ino,
            // Only files with several names need it, to become one again.
            device_id: if links > 1 && !is_folder {
                stat.st_dev
            } else {
                0
            },
            size: if is_folder { 0 } else { size(stat) },
            links: if is_folder { 0 } else { links },
            ..Metadata::default()
        };
        carry_attributes(&mut meta, attributes);
        meta
    }
}

/// The engine's type of an attribute has no public name; its JSON form has.
fn carry_attributes(meta: &mut Metadata, attributes: Vec<(OsString, Vec<u8>)>) {
    if attributes.is_empty() {
        return;
    }
    let empty = attributes
        .iter()
        .map(|(name, _)| serde_json::json!({ "name": text(name), "value": null }))
        .collect();
    meta.extended_attributes =
        serde_json::from_value(serde_json::Value::Array(empty)).unwrap_or_default();
    for (kept, (_, value)) in meta.extended_attributes.iter_mut().zip(attributes) {
        kept.value = Some(value);
    }
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// A file that the engine may read. It is open since it was listed.
pub(super) struct Opened {
    file: File,
    listed: Stat,
    path: PathBuf,
    tally: Arc<Tally>,
}

impl ReadSourceOpen for Opened {
    type Reader = CountedReader;

    fn open(self) -> RusticResult<CountedReader> {
        self.tally.files_read.fetch_add(1, Ordering::Relaxed);
        Ok(CountedReader {
            left: size(&self.listed),
            has_shrunk: false,
            opened: self,
        })
    }
}

/// Reads exactly as many bytes as the listing promised, because the engine has recorded that size and a restore holds the
/// content against it. A file that has grown since then gives its state at the listing. One that has shrunk, as a log does
/// that is emptied after it was copied, gives what could be read and then zeros, as `tar` does, and is named.
pub(super) struct CountedReader {
    opened: Opened,
    left: u64,
    has_shrunk: bool,
}

impl CountedReader {
    /// Once all is read: was it written to meanwhile?
    fn look_again(&self) {
        let listed = &self.opened.listed;
        let is_same = fstat(&self.opened.file).is_ok_and(|now| {
            (now.st_size, now.st_mtime, now.st_mtime_nsec)
                == (listed.st_size, listed.st_mtime, listed.st_mtime_nsec)
        });
        if !is_same {
            lock(&self.opened.tally.changed).add(&self.opened.path);
        }
    }
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let got = if self.has_shrunk {
            Ok(0)
        } else {
            self.opened.file.read(part)
        };
        let tally = &self.opened.tally;
        match got {
            Ok(0) => {
                // What is written there from now on belongs to another state of the file.
                if !self.has_shrunk {
                    self.has_shrunk = true;
                    lock(&tally.shrank).add(&self.opened.path);
                }
                part.fill(0);
                tally.gauge.step();
                self.left -= part.len() as u64;
                Ok(part.len())
            }
            Ok(count) => {
                self.left -= count as u64;
                tally.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
                tally.gauge.add(0, count as u64);
                if self.left == 0 {
                    self.look_again();
                }
                Ok(count)
            }
            // The engine's own reader tries again after an interruption.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                tally.problem(format!("{}: {error}", self.opened.path.display()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn read(content: &[u8], listed: i64) -> (io::Result<Vec<u8>>, SourceCount) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), content).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (file, mut stat) = folder.open_file(OsStr::new("file")).unwrap();
        stat.st_size = listed;
        let tally = Arc::new(Tally::default());
        let opened = Opened {
            file,
            listed: stat,
            path: "file".into(),
            tally: Arc::clone(&tally),
        };
        let mut got = Vec::new();
        let result = opened.open().unwrap().read_to_end(&mut got).map(|_| got);
        (result, tally.count())
    }

    #[test]
    fn a_file_that_grew_gives_its_state_at_the_listing_and_is_named() {
        let (got, count) = read(b"0123456789", 4);
        assert_eq!(got.unwrap(), b"0123");
        assert_eq!((count.problems, count.bytes_read), (0, 4));
        assert_eq!(count.changed.first, ["file"]);
        let notes = count.notes();
        assert!(
            notes.iter().all(|note| note.contains("`file`")),
            "{notes:?}"
        );
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn a_file_that_shrank_gives_what_was_read_and_zeros_and_is_named() {
        let (got, count) = read(b"0123", 10);
        assert_eq!(got.unwrap(), b"0123\0\0\0\0\0\0");
        assert_eq!((count.problems, count.bytes_read), (0, 4));
        assert_eq!(count.shrank.first, ["file"]);
        let notes = count.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes.iter().all(|note| note.contains("`file`")),
            "{notes:?}"
        );
    }

    /// Between the listing of a folder and its turn, a file is removed.
    #[test]
    fn a_name_that_went_away_is_named_and_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a"), "a").unwrap();
        std::fs::write(file("b"), "b").unwrap();
        let source = Source {
            dataset: "ds_files".parse().unwrap(),
            folder: folder.path().to_owned(),
            identity: None,
            exclude: vec![],
            fresh: true,
            run_as: None,
        };
        let folders = Folders::open(std::slice::from_ref(&source), &Arc::default()).unwrap();
        let mut entries = folders.entries().map(Result::unwrap);
        let root = entries.next().unwrap();
        std::fs::remove_file(file("b")).unwrap();
        let rest: Vec<PathBuf> = entries.map(|entry| entry.path).collect();
        assert_eq!(rest, [root.path.join("a")]);
        let count = folders.tally().count();
        assert_eq!(count.problems, 0, "{:?}", count.examples);
        assert_eq!(count.gone.first.len(), 1, "{:?}", count.gone);
    }

    /// The owner of files exchanges them with a link to root's file, a pipe and a folder, while root reads them.
    #[test]
    fn files_of_others_are_read_where_they_were_listed() {
        use crate::world::attack::{Attacker, Ground, ROUNDS, SECRET, exchange};
        let ground = Ground::new();
        let live = ground.theirs.join("live");
        std::fs::create_dir(&live).unwrap();
        let mut pairs = Vec::new();
        for number in 0..9 {
            let (name, decoy) = (
                live.join(format!("f{number}")),
                ground.theirs.join(format!("decoy{number}")),
            );
            std::fs::write(&name, "x".repeat(SECRET.len())).unwrap();
            match number % 3 {
                0 => std::os::unix::fs::symlink(ground.ours.join("secret"), &decoy).unwrap(),
                1 => nix::unistd::mkfifo(&decoy, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                _ => std::os::unix::fs::symlink(ground.ours.join("inside"), &decoy).unwrap(),
            }
            Ground::give(&name);
            Ground::give(&decoy);
            pairs.push((name, decoy));
        }
        Ground::give(&live);
        let source = Source {
            dataset: "ds_files".parse().unwrap(),
            folder: live,
            identity: None,
            exclude: vec![],
            fresh: true,
            run_as: None,
        };
        let attacker = Attacker::start(move || {
            for (name, decoy) in &pairs {
                exchange(name, decoy);
            }
        });
        let (mut read, mut round) = (0, 0);
        while attacker.goes_on(round, read > ROUNDS) {
            round += 1;
            let folders = Folders::open(std::slice::from_ref(&source), &Arc::default()).unwrap();
            for entry in folders.entries().map(Result::unwrap) {
                let Some(opened) = entry.open else { continue };
                let mut content = String::new();
                if opened.open().unwrap().read_to_string(&mut content).is_ok() {
                    read += 1;
                    assert!(!content.contains("secret"), "root's file was read");
                }
            }
            let count = folders.tally().count();
            assert_eq!(count.problems, 0, "{:?}", count.examples);
        }
        assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
        assert!(read > ROUNDS, "{read} files were read");
        ground.assert_untouched();
    }

    #[test]
    fn modes_are_kept_as_restic_keeps_them() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), GO_DIR | GO_STICKY | 0o777);
        assert_eq!(go_mode(0o104_755), GO_SETUID | 0o755);
        assert_eq!(go_mode(0o102_755), GO_SETGID | 0o755);
        assert_eq!(go_mode(0o120_777), GO_SYMLINK | 0o777);
    }
}
