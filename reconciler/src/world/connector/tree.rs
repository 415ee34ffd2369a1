//! Folders as a whole: the spool's, copied with metadata, made durable.
//!
//! Never follows a link and never overwrites a file. The interesting function is [`copy`].

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use walkdir::WalkDir;

use super::manifest::{Manifest, key, walk_error};
use super::{Bounds, ConnectorError};

/// Folders in a spool that are ours to remove.
const SPOOL_PREFIX: &str = "source-";

/// Copied between two looks at the deadline; the kernel copies a piece without passing it through this process.
const PIECE_BYTES: u64 = 64 * 1024 * 1024;

/// What a file or folder is, whatever path leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    pub(super) fn text(&self) -> String {
        format!("{}:{}", self.device, self.inode)
    }
}

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
    let mut files = 0;
    for entry in WalkDir::new(source).follow_links(false) {
        let entry = entry.map_err(|error| changed(error.to_string()))?;
        if !entry.file_type().is_file() {
            continue;
        }
        files += 1;
        let relative = entry.path().strip_prefix(source).unwrap_or(entry.path());
        let bytes = entry
            .metadata()
            .map_err(|error| changed(error.to_string()))?
            .len();
        if manifest.get(relative).is_none_or(|sum| sum.bytes != bytes) {
            return Err(changed(format!(
                "`{}` is not as it was dumped",
                key(relative)
            )));
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

/// Copies what is in `from` into the existing folder `to`: content, links, hard links, modes, times, and owners where allowed.
pub(super) fn copy(from: &Path, to: &Path, bounds: &Bounds) -> Result<Copied, ConnectorError> {
    let mut copied = Copied::default();
    let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut folders = Vec::new();
    let mut lost_attributes = 0;
    for entry in WalkDir::new(from)
        .min_depth(1)
        .follow_links(false)
        .sort_by_file_name()
    {
        bounds.check("copying files")?;
        let entry = entry.map_err(|error| walk_error(from, error))?;
        let source = entry.path();
        let target = to.join(source.strip_prefix(from).unwrap_or(source));
        let metadata = entry.metadata().map_err(|error| walk_error(from, error))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            private_folder(&target)
                .map_err(|error| ConnectorError::io("create", &target, error))?;
            folders.push((source.to_owned(), target, metadata));
            continue;
        }
        if kind.is_symlink() {
            let link =
                fs::read_link(source).map_err(|error| ConnectorError::io("read", source, error))?;
            symlink(link, &target).map_err(|error| ConnectorError::io("create", &target, error))?;
            metadata_of_link(&target, &metadata)?;
        } else if !kind.is_file() {
            copied
                .notes
                .push(format!("special file `{}` was left out", source.display()));
            continue;
        } else if let Some(first) = linked.get(&(metadata.dev(), metadata.ino())) {
            fs::hard_link(first, &target)
                .map_err(|error| ConnectorError::io("create", &target, error))?;
        } else {
            let (bytes, lost) = copy_file(source, &target, &metadata, bounds)?;
            copied.bytes += bytes;
            lost_attributes += lost;
            if metadata.nlink() > 1 {
                linked.insert((metadata.dev(), metadata.ino()), target);
            }
        }
        copied.items += 1;
    }
    // Children first, because writing into a folder changes its time and a read-only folder takes no children.
    for (source, target, metadata) in folders.iter().rev() {
        lost_attributes += carry(source, target, metadata)?;
    }
    if lost_attributes > 0 {
        copied.notes.push(format!(
            "{lost_attributes} extended attributes were refused by the target and are lost"
        ));
    }
    Ok(copied)
}

/// Copies one regular file with its metadata and returns its bytes and its lost attributes. The target must not exist.
pub(super) fn copy_file(
    from: &Path,
    to: &Path,
    metadata: &Metadata,
    bounds: &Bounds,
) -> Result<(u64, u64), ConnectorError> {
    let source = File::open(from).map_err(|error| ConnectorError::io("read", from, error))?;
    let mut target = create_new(to)?;
    let mut bytes = 0;
    loop {
        bounds.check("copying files")?;
        let count = io::copy(&mut (&source).take(PIECE_BYTES), &mut target)
            .map_err(|error| ConnectorError::io("write", to, error))?;
        if count == 0 {
            break;
        }
        bytes += count;
    }
    drop(target);
    let lost = carry(from, to, metadata)?;
    Ok((bytes, lost))
}

/// A new file that only its owner reads until its metadata are applied.
pub(super) fn create_new(path: &Path) -> Result<File, ConnectorError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| ConnectorError::io("create", path, error))
}

/// Gives `to` the owner, extended attributes, mode and times of `from`, in this order: a change of owner clears set-id bits
/// and capabilities, a read-only mode keeps others out, times come last. Returns how many attributes could not be kept.
pub(super) fn carry(from: &Path, to: &Path, metadata: &Metadata) -> Result<u64, ConnectorError> {
    apply_owner(to, metadata)?;
    let lost = carry_attributes(from, to)?;
    fs::set_permissions(to, metadata.permissions())
        .map_err(|error| ConnectorError::io("set the mode of", to, error))?;
    utimens(to, metadata)?;
    Ok(lost)
}

/// File systems and namespaces differ in the attributes that they take; the rest of a file is worth more than these.
fn carry_attributes(from: &Path, to: &Path) -> Result<u64, ConnectorError> {
    let names = match xattr::list(from) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(0),
        Err(error) => return Err(ConnectorError::io("read the attributes of", from, error)),
    };
    let mut lost = 0;
    for name in names {
        let value = xattr::get(from, &name)
            .map_err(|error| ConnectorError::io("read the attributes of", from, error))?;
        match xattr::set(to, &name, &value.unwrap_or_default()) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
                ) =>
            {
                lost += 1;
            }
            Err(error) => return Err(ConnectorError::io("set the attributes of", to, error)),
        }
    }
    Ok(lost)
}

fn apply_owner(path: &Path, metadata: &Metadata) -> Result<(), ConnectorError> {
    // Only root may give files away; for everybody else the restored files are their own.
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    lchown(path, Some(metadata.uid()), Some(metadata.gid()))
        .map_err(|error| ConnectorError::io("set the owner of", path, error))
}

fn metadata_of_link(path: &Path, metadata: &Metadata) -> Result<(), ConnectorError> {
    apply_owner(path, metadata)?;
    utimens(path, metadata)
}

fn utimens(path: &Path, metadata: &Metadata) -> Result<(), ConnectorError> {
    let accessed = TimeSpec::new(metadata.atime(), metadata.atime_nsec());
    let modified = TimeSpec::new(metadata.mtime(), metadata.mtime_nsec());
    utimensat(
        nix::fcntl::AT_FDCWD,
        path,
        &accessed,
        &modified,
        UtimensatFlags::NoFollowSymlink,
    )
    .map_err(|error| ConnectorError::io("set the times of", path, error.into()))
}

/// Gives `path` the modification time of its origin, so that an unchanged origin looks unchanged.
pub(super) fn keep_mtime(
    file: &File,
    path: &Path,
    origin: &Metadata,
) -> Result<(), ConnectorError> {
    let modified = origin
        .modified()
        .map_err(|error| ConnectorError::io("read the time of", path, error))?;
    file.set_times(FileTimes::new().set_modified(modified))
        .map_err(|error| ConnectorError::io("set the times of", path, error))
}

/// Makes every file and folder below and including `folder` survive a power loss.
pub(super) fn sync(folder: &Path, bounds: &Bounds) -> Result<(), ConnectorError> {
    for entry in WalkDir::new(folder)
        .follow_links(false)
        .contents_first(true)
    {
        bounds.check("making files durable")?;
        let entry = entry.map_err(|error| walk_error(folder, error))?;
        if entry.file_type().is_file() || entry.file_type().is_dir() {
            sync_one(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn sync_one(path: &Path) -> Result<(), ConnectorError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| ConnectorError::io("make durable", path, error))
}
