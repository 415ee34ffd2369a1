//! Folders as a whole: copied with metadata, made durable, held against production, exported to a target, observed.
//!
//! Never follows a link and never writes into a folder that holds something. The interesting function is [`copy`].

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use walkdir::WalkDir;

use super::manifest::{Manifest, key, walk_error};
use super::{
    Binding, Bounds, Check, ConnectorError, Fingerprint, Material, Observation, RestoreSummary,
    SourceView, live_path,
};

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

/// Creates the spool's folder for the files of one source, free of leftovers from a run that was killed.
pub(super) fn make_spool(spool: &Path) -> Result<PathBuf, ConnectorError> {
    let source = spool.join("source");
    let made = private_folder(spool);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(ConnectorError::io("create", spool, error));
        }
        Ok(()) | Err(_) => {}
    }
    match fs::remove_dir_all(&source) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ConnectorError::io("clear", &source, error));
        }
        Ok(()) | Err(_) => {}
    }
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
            folders.push((target, metadata));
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
            copied.bytes += copy_file(source, &target, &metadata, bounds)?;
            if metadata.nlink() > 1 {
                linked.insert((metadata.dev(), metadata.ino()), target);
            }
        }
        copied.items += 1;
    }
    // Children first, because writing into a folder changes its time and a read-only folder takes no children.
    for (folder, metadata) in folders.iter().rev() {
        apply_metadata(folder, metadata)?;
    }
    Ok(copied)
}

/// Copies one regular file with its metadata and returns its bytes. The target must not exist.
pub(super) fn copy_file(
    from: &Path,
    to: &Path,
    metadata: &Metadata,
    bounds: &Bounds,
) -> Result<u64, ConnectorError> {
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
    apply_metadata(to, metadata)?;
    Ok(bytes)
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

/// Owner, mode and times, in this order: a change of owner clears set-id bits, a change of mode leaves times alone.
pub(super) fn apply_metadata(path: &Path, metadata: &Metadata) -> Result<(), ConnectorError> {
    apply_owner(path, metadata)?;
    fs::set_permissions(path, metadata.permissions())
        .map_err(|error| ConnectorError::io("set the mode of", path, error))?;
    utimens(path, metadata)
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

/// Export-only for every connector, and side by side for those whose backup is the data itself.
pub(super) fn export(
    binding: &Binding,
    material: Material<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let created = take_target_folder(folder, live_path(binding))?;
    let filled = fill(material, folder, bounds);
    if filled.is_err() {
        // What is half-made must not be taken for good. The target was empty, so everything in it is ours.
        clear(folder, created);
    }
    let (copied, checks) = filled?;
    Ok(RestoreSummary {
        target: folder.display().to_string(),
        items: copied.items,
        bytes: copied.bytes,
        checks,
        kept: None,
        notes: copied.notes,
    })
}

fn fill(
    material: Material<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<(Copied, Vec<Check>), ConnectorError> {
    let copied = copy(material.folder, folder, bounds)?;
    let check = hold_against(folder, material, &copied, bounds)?;
    sync(folder, bounds)?;
    Ok((copied, vec![check]))
}

/// The copy must have what was copied, by checksum where there is a manifest and by count and size where there is none.
pub(super) fn hold_against(
    folder: &Path,
    material: Material<'_>,
    copied: &Copied,
    bounds: &Bounds,
) -> Result<Check, ConnectorError> {
    let failed = |detail: String| ConnectorError::ValidationFailed {
        target: folder.display().to_string(),
        detail,
    };
    if let Some(manifest) = material.manifest {
        let differences = manifest.compare(folder, bounds)?;
        return match differences.first() {
            None => Ok(Check::passed(
                "checksums",
                format!(
                    "{} files equal the backup's manifest",
                    manifest.files().len()
                ),
            )),
            Some(first) => Err(failed(format!(
                "{first}, one of {} differences from the backup's manifest",
                differences.len()
            ))),
        };
    }
    let mut items = 0_u64;
    for entry in WalkDir::new(folder).min_depth(1).follow_links(false) {
        let entry = entry.map_err(|error| walk_error(folder, error))?;
        items += u64::from(!entry.file_type().is_dir());
    }
    if items == copied.items {
        Ok(Check::passed(
            "copied",
            format!("{items} files and links, {} bytes", copied.bytes),
        ))
    } else {
        Err(failed(format!(
            "{items} of {} files and links are there",
            copied.items
        )))
    }
}

fn clear(folder: &Path, created: bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let removed = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove what a failed restore left");
        }
    }
    if created {
        let _ = fs::remove_dir(folder);
    }
}

/// Refuses production and anything that holds something; creates the folder when it is missing and tells whether it did.
fn take_target_folder(folder: &Path, live: Option<&Path>) -> Result<bool, ConnectorError> {
    refuse_production(folder, live)?;
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(ConnectorError::TargetNotEmpty {
                target: folder.display().to_string(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private_folder(folder).map_err(|error| ConnectorError::io("create", folder, error))?;
            Ok(true)
        }
        Err(error) => Err(target_invalid(folder, &error.to_string())),
    }
}

/// A target that is the live data, lies in them or holds them is refused, whatever links lead there.
pub(super) fn refuse_production(target: &Path, live: Option<&Path>) -> Result<(), ConnectorError> {
    if !target.is_absolute() {
        return Err(target_invalid(target, "not an absolute path"));
    }
    let Some(live) = live else { return Ok(()) };
    let (Some(target_real), Some(live_real)) = (resolve(target), resolve(live)) else {
        return Err(target_invalid(target, "its parent folder does not exist"));
    };
    let same_file = match (fs::metadata(target), fs::metadata(live)) {
        (Ok(target), Ok(live)) => Identity::of(&target) == Identity::of(&live),
        (Ok(_) | Err(_), _) => false,
    };
    if same_file || target_real.starts_with(&live_real) || live_real.starts_with(&target_real) {
        return Err(ConnectorError::TargetIsProduction {
            target: target.display().to_string(),
        });
    }
    Ok(())
}

/// The path without links. What does not exist yet is named below its nearest existing ancestor.
fn resolve(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|ancestor| {
        let real = fs::canonicalize(ancestor).ok()?;
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(if rest.as_os_str().is_empty() {
            real
        } else {
            real.join(rest)
        })
    })
}

pub(super) fn target_invalid(target: &Path, detail: &str) -> ConnectorError {
    ConnectorError::TargetInvalid {
        target: target.display().to_string(),
        detail: detail.to_owned(),
    }
}

/// Device and inode of the live data together with the path that binds them.
pub(super) fn fingerprint(path: &Path) -> Result<Fingerprint, ConnectorError> {
    let real = fs::canonicalize(path).map_err(|error| ConnectorError::source(path, error))?;
    let metadata = fs::metadata(&real).map_err(|error| ConnectorError::source(path, error))?;
    Ok(Fingerprint::new(format!(
        "path:{}:{}",
        Identity::of(&metadata).text(),
        key(&real)
    )))
}

/// Size and newest modification time of a file or of all files below a folder.
pub(super) fn observe(path: &Path, bounds: &Bounds) -> SourceView {
    let at = Timestamp::now();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return SourceView {
                bytes: Observation::Absent { at },
                newest_change: Observation::Absent { at },
                fingerprint: Observation::Absent { at },
            };
        }
        Ok(_) | Err(_) => {}
    }
    let (bytes, newest_change) = match measure(path, bounds) {
        Ok((bytes, newest)) => (
            Observation::Known { value: bytes, at },
            Observation::Known { value: newest, at },
        ),
        Err(error) => (
            Observation::Unknown {
                why: error.to_string(),
            },
            Observation::Unknown {
                why: error.to_string(),
            },
        ),
    };
    let fingerprint = match fingerprint(path) {
        Ok(value) => Observation::Known { value, at },
        Err(error) => Observation::Unknown {
            why: error.to_string(),
        },
    };
    SourceView {
        bytes,
        newest_change,
        fingerprint,
    }
}

fn measure(path: &Path, bounds: &Bounds) -> Result<(u64, Timestamp), ConnectorError> {
    let mut bytes = 0_u64;
    let mut newest = Timestamp::UNIX_EPOCH;
    let real = fs::canonicalize(path).map_err(|error| ConnectorError::source(path, error))?;
    for entry in WalkDir::new(&real).follow_links(false) {
        bounds.check("measuring the source")?;
        let entry = entry.map_err(|error| walk_error(path, error))?;
        let metadata = entry.metadata().map_err(|error| walk_error(path, error))?;
        if metadata.is_file() {
            bytes += metadata.len();
        }
        newest = newest.max(modified(&metadata));
    }
    Ok((bytes, newest))
}

/// The modification time; a time outside the calendar counts as oldest.
pub(super) fn modified(metadata: &Metadata) -> Timestamp {
    i32::try_from(metadata.mtime_nsec())
        .ok()
        .and_then(|nanos| Timestamp::new(metadata.mtime(), nanos).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
