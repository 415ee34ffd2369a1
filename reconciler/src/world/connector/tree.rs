//! Folders as a whole: the spool's, copied with metadata, made durable.
//!
//! Works on held folders alone: every name is made new where it is written, and metadata are applied to what is held open, so
//! that nothing outside is touched whatever its owner exchanges meanwhile. The interesting function is [`copy`].

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{FileType, Stat, fstat};

use super::manifest::key;
use super::selection::Excludes;
use super::walk::{Found, Walk};
use super::{Bounds, ConnectorError};
use crate::domain::Manifest;
use crate::world::folder::{
    self, Folder, FolderError, Identity, Ownership, PRIVATE_FILE, data_after, set_mode,
};
use crate::world::owner::{Owner, working_as};

/// Folders in a spool that are ours to remove.
const SPOOL_PREFIX: &str = "source-";

/// Copied between two looks at the deadline; the kernel copies a piece without passing it through this process.
const PIECE_BYTES: u64 = 64 * 1024 * 1024;

/// What a copy moved.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub items: u64,
    pub bytes: u64,
    pub notes: Vec<String>,
}

/// Creates a folder in the spool for the files of one source and removes what killed runs left beside it.
///
/// Its name is new each time: a dump program that outlived its killed parent still writes to the old name, and must not
/// find it again.
pub(super) fn make_spool(spool: &Path) -> Result<PathBuf, ConnectorError> {
    match private_folder(spool) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(ConnectorError::io("create", spool, error));
        }
        Ok(()) | Err(_) => {}
    }
    let failed = |error| ConnectorError::io("clear", spool, error);
    for entry in fs::read_dir(spool).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry
            .file_name()
            .as_bytes()
            .starts_with(SPOOL_PREFIX.as_bytes())
        {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    let source = spool.join(format!(
        "{SPOOL_PREFIX}{}-{}",
        std::process::id(),
        Timestamp::now().as_nanosecond()
    ));
    private_folder(&source).map_err(|error| ConnectorError::io("create", &source, error))?;
    Ok(source)
}

/// Dumps hold production data: nobody else may read them.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// The spool must hold the names and sizes that the connector wrote.
pub(super) fn same_spool(source: &Path, manifest: Option<&Manifest>) -> Result<(), ConnectorError> {
    let Some(manifest) = manifest else {
        return Ok(());
    };
    let changed = |detail: String| ConnectorError::SourceChanged {
        path: source.to_owned(),
        detail,
    };
    let odd = |error: FolderError| changed(error.to_string());
    let folder = Arc::new(Folder::open(source).map_err(odd)?);
    let mut files = 0;
    for item in Walk::new(folder, Arc::new(Excludes::none()), None).map_err(odd)? {
        match item.found {
            Found::File { stat, .. } => {
                files += 1;
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                if manifest
                    .get(&item.relative)
                    .is_none_or(|sum| sum.bytes != bytes)
                {
                    return Err(changed(format!(
                        "`{}` is not as it was dumped",
                        key(&item.relative)
                    )));
                }
            }
            Found::Folder { .. } | Found::Link { .. } | Found::Special => {}
            Found::Gone => return Err(changed(format!("`{}` went away", key(&item.relative)))),
            Found::Failed(why) => {
                return Err(changed(format!("`{}`: {why}", key(&item.relative))));
            }
        }
    }
    if files == manifest.files().len() {
        Ok(())
    } else {
        Err(changed(format!(
            "{files} of {} dumped files are there",
            manifest.files().len()
        )))
    }
}

/// Who writes a restore: the user of the binding, else this process, which gives files to their owners when it is root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub owner: Option<&'a Owner>,
}

impl Writer<'_> {
    /// Does something at the target.
    pub(super) fn at_target<T>(
        self,
        action: &'static str,
        path: &Path,
        work: impl FnOnce() -> Result<T, FolderError>,
    ) -> Result<T, ConnectorError> {
        working_as(self.owner, work)
            .map_err(|error| ConnectorError::io(action, path, error))?
            .map_err(|error| ConnectorError::written(action, path, error))
    }

    /// The number of the user that what it makes belongs to.
    pub(super) fn uid(self) -> u32 {
        self.owner
            .map_or_else(|| rustix::process::geteuid().as_raw(), Owner::uid)
    }

    /// The owner that a restored entry gets. Only root may give files away; for everybody else the restored files are their
    /// own.
    fn ownership(self, stat: &Stat) -> (Ownership, bool) {
        match self.owner {
            None if rustix::process::geteuid().is_root() => (
                Ownership {
                    uid: Some(stat.st_uid),
                    gid: Some(stat.st_gid),
                },
                true,
            ),
            None => (Ownership::default(), true),
            Some(owner) => (
                Ownership {
                    uid: None,
                    gid: owner.has_group(stat.st_gid).then_some(stat.st_gid),
                },
                owner.uid() == stat.st_uid && owner.has_group(stat.st_gid),
            ),
        }
    }
}

/// What could not be kept, counted.
#[derive(Debug, Default)]
struct Lost {
    attributes: u64,
    owners: u64,
}

struct Level {
    from: Folder,
    to: Folder,
    stat: Stat,
    names: std::vec::IntoIter<(OsString, FileType)>,
    relative: PathBuf,
}

/// One copy on its way.
struct Copying<'a> {
    writer: Writer<'a>,
    bounds: &'a Bounds,
    root: &'a Folder,
    shown: PathBuf,
    linked: HashMap<Identity, PathBuf>,
    copied: Copied,
    lost: Lost,
}

/// Copies what is in `from` into the folder `to`, which is empty and of which only the writer knows the inside: content with its
/// holes, links, hard links, modes, times, and owners where allowed.
pub(super) fn copy(
    from: &Path,
    to: &Folder,
    writer: Writer<'_>,
    bounds: &Bounds,
) -> Result<Copied, ConnectorError> {
    let source = Folder::open(from).map_err(|error| ConnectorError::live(from, error))?;
    let mut copying = Copying {
        writer,
        bounds,
        root: to,
        shown: to.shown().to_owned(),
        linked: HashMap::new(),
        copied: Copied::default(),
        lost: Lost::default(),
    };
    copying.run(source)?;
    let Copying {
        mut copied, lost, ..
    } = copying;
    if lost.attributes > 0 {
        copied.notes.push(format!(
            "{} extended attributes were refused by the target and are lost",
            lost.attributes
        ));
    }
    if let (owners @ 1.., Some(owner)) = (lost.owners, writer.owner) {
        copied.notes.push(format!(
            "{owners} entries belonged to another user or group and belong to `{}` now",
            owner.name()
        ));
    }
    Ok(copied)
}

impl Copying<'_> {
    fn run(&mut self, source: Folder) -> Result<(), ConnectorError> {
        let to = self
            .root
            .try_clone()
            .map_err(|error| ConnectorError::written("open", &self.shown, error))?;
        let mut levels = vec![level(source, to, PathBuf::new())?];
        while let Some(at) = levels.last_mut() {
            self.bounds.check("copying files")?;
            let Some((name, _)) = at.names.next() else {
                // Children first, because writing into a folder changes its time and a read-only folder takes no children.
                if let Some(done) = levels.pop().filter(|_| !levels.is_empty()) {
                    self.carry(&done.from, &done.to, &done.stat, &done.relative)?;
                }
                continue;
            };
            if let Some(below) = self.entry(at, &name)? {
                levels.push(below);
            }
        }
        Ok(())
    }

    /// Copies one entry; a folder is made and returned to be filled.
    fn entry(&mut self, at: &Level, name: &OsStr) -> Result<Option<Level>, ConnectorError> {
        let relative = at.relative.join(name);
        let path = self.shown.join(&relative);
        let read = |error: FolderError| ConnectorError::live(&at.from.shown().join(name), error);
        let stat = at.from.stat_of(name).map_err(read)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let from = at.from.enter(name).map_err(read)?;
                let to = self.writer.at_target("create", &path, || {
                    at.to.make_private(name, self.writer.uid())
                })?;
                return level(from, to, relative).map(Some);
            }
            FileType::Symlink => {
                let target = at.from.read_link(name).map_err(read)?;
                let (owner, is_kept) = self.writer.ownership(&stat);
                self.lost.owners += u64::from(!is_kept);
                self.writer.at_target("create", &path, || {
                    at.to.make_link(&target, name, owner, &stat)
                })?;
            }
            FileType::RegularFile => self.file(at, name, relative)?,
            kind @ (FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown) => {
                self.copied.notes.push(format!(
                    "`{}` was left out: it is {}",
                    key(&relative),
                    folder::kind_name(kind)
                ));
                return Ok(None);
            }
        }
        self.copied.items += 1;
        Ok(None)
    }

    fn file(&mut self, at: &Level, name: &OsStr, relative: PathBuf) -> Result<(), ConnectorError> {
        let path = self.shown.join(&relative);
        let (source, stat) = at
            .from
            .open_file(name)
            .map_err(|error| ConnectorError::live(&at.from.shown().join(name), error))?;
        let identity = Identity::from(&stat);
        if let Some(first) = self.linked.get(&identity) {
            return self.writer.at_target("link", &path, || {
                let parent = first.parent().unwrap_or_else(|| Path::new(""));
                let folder = self.root.enter_path(parent)?;
                folder.link(first.file_name().unwrap_or_default(), &at.to, name)
            });
        }
        let target = self
            .writer
            .at_target("create", &path, || at.to.create(name, PRIVATE_FILE))?;
        self.copied.bytes += copy_content(&source, &target, &stat, &path, self.bounds)?;
        self.carry(&source, &target, &stat, &relative)?;
        if stat.st_nlink > 1 {
            self.linked.insert(identity, relative);
        }
        Ok(())
    }

    fn carry(
        &mut self,
        from: impl AsFd,
        to: impl AsFd,
        stat: &Stat,
        relative: &Path,
    ) -> Result<(), ConnectorError> {
        let path = self.shown.join(relative);
        let (attributes, owner_is_kept) = carry(from, to, stat, self.writer, &path)?;
        self.lost.attributes += attributes;
        self.lost.owners += u64::from(!owner_is_kept);
        Ok(())
    }
}

fn level(from: Folder, to: Folder, relative: PathBuf) -> Result<Level, ConnectorError> {
    let shown = from.shown().to_owned();
    let failed = |error: FolderError| ConnectorError::live(&shown, error);
    let names = from.names(usize::MAX).map_err(failed)?;
    let stat = from.stat().map_err(failed)?;
    Ok(Level {
        from,
        to,
        stat,
        names: names.into_iter(),
        relative,
    })
}

/// Copies an open file into a new one, and only the parts of it that are no holes. Returns its size.
pub(super) fn copy_content(
    source: &File,
    target: &File,
    stat: &Stat,
    path: &Path,
    bounds: &Bounds,
) -> Result<u64, ConnectorError> {
    let failed = |error: io::Error| ConnectorError::io("write", path, error);
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut at = 0;
    while at < size {
        bounds.check("copying files")?;
        let Some((begin, end)) = data_after(source, at, size).map_err(failed)? else {
            break;
        };
        let end = end.min(size).min(begin.saturating_add(PIECE_BYTES));
        let mut target = target;
        target.seek(SeekFrom::Start(begin)).map_err(failed)?;
        let count =
            io::copy(&mut source.take(end.saturating_sub(begin)), &mut target).map_err(failed)?;
        if count == 0 {
            break;
        }
        at = begin + count;
    }
    // A hole at the end is only a size.
    target.set_len(size).map_err(failed)?;
    Ok(size)
}

/// Gives `to` the owner, extended attributes, mode and times of `from`, in this order: a change of owner clears set-id bits
/// and capabilities, a read-only mode keeps others out, times come last. Returns how many attributes could not be kept, and
/// whether the owner could.
pub(super) fn carry(
    from: impl AsFd,
    to: impl AsFd,
    stat: &Stat,
    writer: Writer<'_>,
    path: &Path,
) -> Result<(u64, bool), ConnectorError> {
    let to = to.as_fd();
    let read = |error| ConnectorError::io("read the attributes of", path, error);
    let attributes = folder::attributes(from).map_err(read)?;
    let (owner, owner_is_kept) = writer.ownership(stat);
    // Bits that let others act as the owner belong to that owner alone.
    let mode = if owner_is_kept {
        stat.st_mode & 0o7777
    } else {
        stat.st_mode & 0o1777
    };
    let failed = |action| move |error| ConnectorError::io(action, path, error);
    let lost = working_as(writer.owner, || {
        folder::set_owner(to, owner).map_err(failed("set the owner of"))?;
        let mut lost = 0;
        for (name, value) in &attributes {
            match folder::set_attribute(to, name, value) {
                Ok(()) => {}
                // File systems and namespaces differ in the attributes that they take; the rest of a file is worth more.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
                    ) =>
                {
                    lost += 1;
                }
                Err(error) => return Err(failed("set the attributes of")(error)),
            }
        }
        set_mode(to, mode).map_err(failed("set the mode of"))?;
        folder::set_times(to, stat).map_err(failed("set the times of"))?;
        Ok(lost)
    })
    .map_err(failed("open"))??;
    Ok((lost, owner_is_kept))
}

/// A new file in our spool that only its owner reads until its metadata are applied.
pub(super) fn create_new(path: &Path) -> Result<File, ConnectorError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        let error = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(ConnectorError::io("create", path, error));
    };
    Folder::open(parent)
        .and_then(|folder| folder.create(name, PRIVATE_FILE))
        .map_err(|error| ConnectorError::written("create", path, error))
}

/// Makes every file and folder below and including `folder` survive a power loss.
pub(super) fn sync(folder: &Folder, bounds: &Bounds) -> Result<(), ConnectorError> {
    let shown = folder.shown().to_owned();
    let failed = |error: FolderError| ConnectorError::written("make durable", &shown, error);
    let root = Arc::new(folder.try_clone().map_err(failed)?);
    for item in Walk::new(Arc::clone(&root), Arc::new(Excludes::none()), None).map_err(failed)? {
        bounds.check("making files durable")?;
        let path = shown.join(&item.relative);
        match item.found {
            Found::File { file, .. } => file
                .sync_all()
                .map_err(|error| ConnectorError::io("make durable", &path, error))?,
            Found::Folder { folder, .. } => folder.sync().map_err(failed)?,
            Found::Link { .. } | Found::Special => {}
            Found::Gone | Found::Failed(_) => {
                return Err(ConnectorError::TargetExchanged {
                    target: path.display().to_string(),
                    detail: "it is not what was written".to_owned(),
                });
            }
        }
    }
    root.sync().map_err(failed)
}

/// The number of entries below a folder that are no folders.
pub(super) fn count(folder: &Folder) -> Result<u64, ConnectorError> {
    let shown = folder.shown().to_owned();
    let failed = |error: FolderError| ConnectorError::live(&shown, error);
    let root = Arc::new(folder.try_clone().map_err(failed)?);
    let walk = Walk::new(root, Arc::new(Excludes::none()), None).map_err(failed)?;
    Ok(walk
        .filter(|item| !matches!(item.found, Found::Folder { .. } | Found::Gone))
        .count() as u64)
}

/// What is held open now, for the path that it was opened by.
pub(super) fn stat_open(held: impl AsFd, path: &Path) -> Result<Stat, ConnectorError> {
    fstat(held).map_err(|error| ConnectorError::io("read", path, error.into()))
}
