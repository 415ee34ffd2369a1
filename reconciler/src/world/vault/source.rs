//! Owns what the engine reads: local folders, each under `/<dataset_id>/` of one snapshot, with every failure counted. The
//! engine only warns about unreadable files and goes on; this module is why such a run leaves no recovery point.
//! Never changes a source. The interesting type is [`CountedReader`].

use std::fs::{File, Metadata as FileMetadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::id::DatasetId;
use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{
    LocalSource, LocalSourceFilterOptions, LocalSourceSaveOptions, ReadSource, ReadSourceEntry,
    ReadSourceOpen, RusticResult,
};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::mirror::lock;
use super::repository::one_line;
use crate::world::connector::Excludes;

/// The engine's own reader of local folders.
type Opener = <LocalSource as ReadSource>::Open;

/// One folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its folder in the snapshot is `/<dataset_id>/`.
    pub dataset: DatasetId,
    /// The folder on this machine; what is in it is stored, not the folder's own path.
    pub folder: PathBuf,
    /// Globs relative to the folder, as [`Excludes::globs`] gives them.
    pub exclude: Vec<String>,
    /// True for a dump written for this run: its files share no history with those of the run before, so nothing is taken
    /// over from there without reading.
    pub fresh: bool,
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
}

/// How many problems are told one by one; the others are counted.
const EXAMPLES: usize = 20;

/// Counters shared between the walk and the readers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    entries: AtomicU64,
    files_read: AtomicU64,
    bytes_read: AtomicU64,
    problems: AtomicU64,
    examples: Mutex<Vec<String>>,
}

impl Tally {
    fn problem(&self, what: String) {
        tracing::warn!(problem = %what, "source cannot be read");
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
        }
    }
}

/// Several folders as one source.
pub(super) struct Folders {
    folders: Vec<Folder>,
    tally: Arc<Tally>,
}

struct Folder {
    inside: PathBuf,
    outside: PathBuf,
    node: Node,
    local: LocalSource,
    /// Decides what is left out, as it did for the connector. The engine is told the same globs, so that it does not descend
    /// into excluded folders.
    filter: Arc<Excludes>,
}

impl Folders {
    /// Opens the folders. Their datasets must differ; the engine wants entries in the order of their paths.
    pub(super) fn open(sources: &[Source]) -> Result<Self, VaultError> {
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
            .map(open_folder)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            folders,
            tally: Arc::default(),
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

fn open_folder(source: &Source) -> Result<Folder, VaultError> {
    let missing = |error: io::Error| VaultError::SourceMissing {
        path: source.folder.display().to_string(),
        why: error.to_string(),
    };
    let outside = std::fs::canonicalize(&source.folder).map_err(missing)?;
    let metadata = std::fs::metadata(&outside).map_err(missing)?;
    if !metadata.is_dir() {
        return Err(missing(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    // An unreadable folder must be an error here: below, it would be an empty walk with one warning.
    drop(std::fs::read_dir(&outside).map_err(missing)?);
    let engine = |error: Box<rustic_core::RusticError>| VaultError::Request {
        why: format!(
            "an exclude of `{}` is wrong: {}",
            source.dataset,
            one_line(&error.display_log())
        ),
    };
    let text = outside.to_str().ok_or_else(|| VaultError::Request {
        why: format!("the path `{}` is not UTF-8", outside.display()),
    })?;
    let globs: Vec<String> = source
        .exclude
        .iter()
        .map(|glob| below(text, glob))
        .collect();
    let filter = Excludes::new(&source.exclude).map_err(|error| VaultError::Request {
        why: format!("an exclude of `{}` is wrong: {error}", source.dataset),
    })?;
    let local = LocalSource::new(
        LocalSourceSaveOptions::default(),
        &rustic_core::Excludes::default().globs(globs),
        &LocalSourceFilterOptions::default(),
        &[&outside],
    )
    .map_err(engine)?;
    let node = Node::new_node(
        source.dataset.as_str().as_ref(),
        NodeType::Dir,
        folder_metadata(&metadata),
    );
    Ok(Folder {
        inside: Path::new("/").join(source.dataset.as_str()),
        outside,
        node,
        local,
        filter: Arc::new(filter),
    })
}

/// An exclude as the engine's overrides want it: a leading `!` excludes, and paths are absolute.
fn below(folder: &str, glob: &str) -> String {
    let folder = globset::escape(folder.trim_end_matches('/'));
    let glob = glob.trim_end_matches('/');
    let anchored = glob.contains('/');
    let glob = glob.trim_start_matches('/');
    if anchored {
        format!("!{folder}/{glob}")
    } else {
        format!("!{folder}/**/{glob}")
    }
}

/// The format keeps modes as Go does: the folder bit is the highest one.
const GO_MODE_DIR: u32 = 1 << 31;

fn folder_metadata(found: &FileMetadata) -> Metadata {
    let mtime = found
        .modified()
        .ok()
        .and_then(|time| Timestamp::try_from(time).ok());
    Metadata {
        mode: Some(GO_MODE_DIR | (found.mode() & 0o777)),
        mtime,
        atime: mtime,
        ctime: mtime,
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        inode: found.ino(),
        ..Metadata::default()
    }
}

impl ReadSource for Folders {
    type Open = Counted;
    type Iter = Walk;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Walk {
        let walks = self
            .folders
            .iter()
            .map(|folder| FolderWalk {
                inside: folder.inside.clone(),
                outside: folder.outside.clone(),
                head: Some(folder.node.clone()),
                rest: folder.local.entries(),
                filter: Arc::clone(&folder.filter),
            })
            .collect::<Vec<_>>();
        Walk {
            walks: walks.into_iter(),
            current: None,
            tally: Arc::clone(&self.tally),
        }
    }
}

struct FolderWalk {
    inside: PathBuf,
    outside: PathBuf,
    head: Option<Node>,
    rest: <LocalSource as ReadSource>::Iter,
    filter: Arc<Excludes>,
}

/// The entries of all folders, one folder after the other.
pub(super) struct Walk {
    walks: std::vec::IntoIter<FolderWalk>,
    current: Option<FolderWalk>,
    tally: Arc<Tally>,
}

impl Iterator for Walk {
    type Item = RusticResult<ReadSourceEntry<Counted>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.current.is_none() {
                self.current = Some(self.walks.next()?);
            }
            let walk = self.current.as_mut()?;
            if let Some(node) = walk.head.take() {
                self.tally.entries.fetch_add(1, Ordering::Relaxed);
                let path = walk.inside.clone();
                return Some(Ok(ReadSourceEntry {
                    path,
                    node,
                    open: None,
                }));
            }
            match walk.rest.next() {
                None => self.current = None,
                Some(Err(error)) => {
                    self.tally.problem(one_line(&error.display_log()));
                    return Some(Err(error));
                }
                Some(Ok(entry)) => match entry.path.strip_prefix(&walk.outside) {
                    Ok(relative) if walk.filter.matches(relative) => {}
                    Ok(relative) => {
                        let path = walk.inside.join(relative);
                        self.tally.entries.fetch_add(1, Ordering::Relaxed);
                        return Some(Ok(counted(entry, path, &self.tally)));
                    }
                    Err(_) => self
                        .tally
                        .problem(format!("{} is outside of its folder", entry.path.display())),
                },
            }
        }
    }
}

fn counted(
    entry: ReadSourceEntry<Opener>,
    inside: PathBuf,
    tally: &Arc<Tally>,
) -> ReadSourceEntry<Counted> {
    let ReadSourceEntry { path, node, open } = entry;
    let size = node.meta.size;
    let open = open.map(|opener| Counted {
        opener,
        size,
        path,
        tally: Arc::clone(tally),
    });
    ReadSourceEntry {
        path: inside,
        node,
        open,
    }
}

/// A file that the engine may open.
pub(super) struct Counted {
    opener: Opener,
    size: u64,
    path: PathBuf,
    tally: Arc<Tally>,
}

impl ReadSourceOpen for Counted {
    type Reader = CountedReader;

    fn open(self) -> RusticResult<CountedReader> {
        match self.opener.open() {
            Ok(file) => {
                self.tally.files_read.fetch_add(1, Ordering::Relaxed);
                Ok(CountedReader {
                    file,
                    left: self.size,
                    path: self.path,
                    tally: self.tally,
                })
            }
            Err(error) => {
                self.tally.problem(one_line(&error.display_log()));
                Err(error)
            }
        }
    }
}

/// Reads exactly as many bytes as the listing promised. A file that has grown since then gives its state at the listing,
/// which is what its recorded size and time say; one that has shrunk is a problem.
pub(super) struct CountedReader {
    file: File,
    left: u64,
    path: PathBuf,
    tally: Arc<Tally>,
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let got = buffer
            .get_mut(..most)
            .map_or(Ok(0), |part| self.file.read(part));
        match got {
            Ok(0) => {
                let message = format!(
                    "{} shrank by {} bytes while it was read",
                    self.path.display(),
                    self.left
                );
                self.tally.problem(message.clone());
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
            }
            Ok(count) => {
                self.left -= count as u64;
                self.tally
                    .bytes_read
                    .fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            // The engine's own reader tries again after an interruption.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.tally
                    .problem(format!("{}: {error}", self.path.display()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn read(content: &[u8], listed: u64) -> (io::Result<Vec<u8>>, SourceCount) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, content).unwrap();
        let tally = Arc::new(Tally::default());
        let mut reader = CountedReader {
            file: File::open(&path).unwrap(),
            left: listed,
            path,
            tally: Arc::clone(&tally),
        };
        let mut got = Vec::new();
        let result = reader.read_to_end(&mut got).map(|_| got);
        (result, tally.count())
    }

    #[test]
    fn a_file_that_grew_gives_its_state_at_the_listing() {
        let (got, count) = read(b"0123456789", 4);
        assert_eq!(got.unwrap(), b"0123");
        assert_eq!((count.problems, count.bytes_read), (0, 4));
    }

    #[test]
    fn a_file_that_shrank_is_a_problem() {
        let (got, count) = read(b"0123", 10);
        assert!(got.is_err());
        assert_eq!(count.problems, 1);
        assert!(
            count
                .examples
                .iter()
                .any(|text| text.contains("shrank by 6 bytes"))
        );
    }

    #[test]
    fn excludes_become_overrides_below_the_folder() {
        assert_eq!(below("/srv/a[1]", "*.tmp"), "!/srv/a[[]1[]]/**/*.tmp");
        assert_eq!(below("/srv", "cache/"), "!/srv/**/cache");
        assert_eq!(below("/srv", "/top"), "!/srv/top");
        assert_eq!(below("/srv", "a/*/z"), "!/srv/a/*/z");
    }
}
