//! The one walk over live data, for connectors and vault: everything below a held folder, each name opened where it was
//! listed. What a name is by then decides, and is told by the open descriptor, so that nothing which is exchanged meanwhile
//! is read. Never follows a link, never waits for a pipe, never reads content. The interesting function is [`Walk::classify`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use super::selection::Excludes;
use crate::world::folder::{Folder, FolderError};
use crate::world::owner::{Owner, working_as};

/// Names in one folder; more would not fit into memory beside each other.
const NAMES_IN_A_FOLDER: usize = 16 << 20;

/// Restores need room for the staging folder before a path; the system takes 4,096 bytes.
const PATH_BYTES: usize = 3_800;

/// A name that is another kind each time it is opened is being exchanged on purpose.
const TRIES: usize = 3;

/// What is behind a name.
#[derive(Debug)]
pub(crate) enum Found {
    /// A regular file, open for reading.
    File { file: File, stat: Stat },
    /// A folder, held.
    Folder { folder: Arc<Folder>, stat: Stat },
    /// A link, not followed.
    Link { target: PathBuf, stat: Stat },
    /// A pipe, socket or device: it has no content to restore, and reading one can block for ever.
    Special,
    /// It was there when its folder was listed, and is no longer, or is something else each time.
    Gone,
    /// It cannot be read.
    Failed(String),
}

/// One name below the root.
#[derive(Debug)]
pub(crate) struct Item {
    /// Relative to the root.
    pub relative: PathBuf,
    /// The folder that it is in.
    pub parent: Arc<Folder>,
    /// What it is.
    pub found: Found,
}

impl Item {
    /// Its name in its folder.
    pub fn name(&self) -> &OsStr {
        self.relative.file_name().unwrap_or_default()
    }
}

struct Level {
    folder: Arc<Folder>,
    names: std::vec::IntoIter<(OsString, FileType)>,
    relative: PathBuf,
}

/// Depth first, in the order of the names' bytes, a folder before what is in it.
pub(crate) struct Walk {
    levels: Vec<Level>,
    excludes: Arc<Excludes>,
    owner: Option<Arc<Owner>>,
    /// Names that the globs left out.
    pub excluded: u64,
}

impl Walk {
    /// Lists the root. A root that cannot be listed is an error, not an empty walk.
    pub fn new(
        root: Arc<Folder>,
        excludes: Arc<Excludes>,
        owner: Option<Arc<Owner>>,
    ) -> Result<Self, FolderError> {
        let names = root.names(NAMES_IN_A_FOLDER)?;
        let level = Level {
            folder: root,
            names: names.into_iter(),
            relative: PathBuf::new(),
        };
        Ok(Self {
            levels: vec![level],
            excludes,
            owner,
            excluded: 0,
        })
    }

    /// Opens what is behind a name. When it is another kind than its folder listed, it is looked at again, a few times.
    fn classify(&mut self, folder: &Arc<Folder>, relative: &Path, listed: FileType) -> Found {
        if relative.as_os_str().len() > PATH_BYTES {
            return Found::Failed(format!("its path is longer than {PATH_BYTES} bytes"));
        }
        let name = relative.file_name().unwrap_or_default();
        let mut kind = listed;
        for _ in 0..TRIES {
            let tried = match kind {
                FileType::RegularFile => folder
                    .open_file(name)
                    .map(|(file, stat)| Some(Found::File { file, stat })),
                FileType::Directory => self.descend(folder, relative).map(Some),
                FileType::Symlink => read_link(folder, name),
                FileType::Unknown => Ok(None),
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice => return Found::Special,
            };
            match tried {
                Ok(Some(found)) => return found,
                Ok(None) | Err(FolderError::WrongKind { .. }) => {}
                Err(error) if error.is_not_found() => return Found::Gone,
                Err(error) => return Found::Failed(reason(error)),
            }
            kind = match folder.stat_of(name) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(error) if error.is_not_found() => return Found::Gone,
                Err(error) => return Found::Failed(reason(error)),
            };
        }
        Found::Gone
    }

    fn descend(&mut self, folder: &Folder, relative: &Path) -> Result<Found, FolderError> {
        let name = relative.file_name().unwrap_or_default();
        let below = Arc::new(folder.enter(name)?);
        let stat = below.stat()?;
        let names = below.names(NAMES_IN_A_FOLDER)?;
        self.levels.push(Level {
            folder: Arc::clone(&below),
            names: names.into_iter(),
            relative: relative.to_owned(),
        });
        Ok(Found::Folder {
            folder: below,
            stat,
        })
    }
}

impl Iterator for Walk {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, kind)) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let relative = level.relative.join(&name);
            let parent = Arc::clone(&level.folder);
            if self.excludes.matches(&relative) {
                self.excluded += 1;
                continue;
            }
            let owner = self.owner.clone();
            let found = working_as(owner.as_deref(), || self.classify(&parent, &relative, kind))
                .unwrap_or_else(|error| Found::Failed(error.to_string()));
            return Some(Item {
                relative,
                parent,
                found,
            });
        }
    }
}

/// None when it is no link any more.
fn read_link(folder: &Folder, name: &OsStr) -> Result<Option<Found>, FolderError> {
    let stat = folder.stat_of(name)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    match folder.read_link(name) {
        Ok(target) => Ok(Some(Found::Link { target, stat })),
        Err(FolderError::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The system's reason without the path, which the caller names.
fn reason(error: FolderError) -> String {
    match error {
        FolderError::Io { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}
