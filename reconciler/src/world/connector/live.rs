//! Live files as they are now: identity, size, newest change.
//!
//! Never fails where not knowing is an answer, and reads no content. The interesting function is [`observe`].

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{FileType, Stat};

use super::selection::Excludes;
use super::walk::{Found, Walk};
use super::{Bounds, ConnectorError, Fingerprint, Observation, SourceView, binding};
use crate::world::folder::{Folder, FolderError, Identity};

/// Where live data are: the folder itself, or the folder of a file.
pub(super) enum Live {
    Folder(Folder),
    File { stat: Stat },
}

impl Live {
    /// Looks at what a binding names. A link that another user can exchange is refused.
    pub(super) fn at(path: &Path) -> Result<Self, ConnectorError> {
        let failed = |error: FolderError| ConnectorError::live(path, error);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Folder::open(path).map(Self::Folder).map_err(failed);
        };
        let folder = Folder::open(parent).map_err(failed)?;
        let stat = folder.stat_of(name).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => folder.enter(name).map(Self::Folder).map_err(failed),
            FileType::RegularFile => Ok(Self::File { stat }),
            // A link, which leads to a folder when it is one that is followed.
            FileType::Symlink => Folder::open(path).map(Self::Folder).map_err(failed),
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Err(binding::invalid(format!(
                "`{}` is neither a folder nor a file",
                path.display()
            ))),
        }
    }

    fn identity(&self, path: &Path) -> Result<Identity, ConnectorError> {
        match self {
            Self::Folder(folder) => folder
                .identity()
                .map_err(|error| ConnectorError::live(path, error)),
            Self::File { stat } => Ok(Identity::from(stat)),
        }
    }
}

/// The folder above what a path names, held, and its name there. Where a trusted link leads to it, that is where it is. None
/// for the root.
pub(super) fn hold(path: &Path) -> Result<Option<(Folder, OsString)>, FolderError> {
    let mut path = path.to_owned();
    // A link to a link is found in the second round; more are left to the operator.
    for _ in 0..2 {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let held = Folder::open(parent)?;
        let is_link = held
            .stat_of(name)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
        if !is_link {
            return Ok(Some((held, name.to_owned())));
        }
        // Opening it refuses a link that another user can exchange.
        Folder::open(&path)?;
        path = parent.join(held.read_link(name)?);
    }
    Ok(None)
}

/// Device and inode of the live data: the same for every path that leads there.
pub(super) fn fingerprint(path: &Path) -> Result<Fingerprint, ConnectorError> {
    let identity = Live::at(path)?.identity(path)?;
    Ok(Fingerprint::new(format!(
        "inode:{}:{}",
        identity.device, identity.inode
    )))
}

/// Size and newest modification time of a file or of all files below a folder.
pub(super) fn observe(path: &Path, bounds: &Bounds) -> SourceView {
    let at = Timestamp::now();
    if let Err(ConnectorError::SourceMissing { .. }) = Live::at(path) {
        return SourceView {
            bytes: Observation::Absent { at },
            newest_change: Observation::Absent { at },
            fingerprint: Observation::Absent { at },
        };
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
    let folder = match Live::at(path)? {
        Live::File { stat } => return Ok((size(&stat), modified(&stat))),
        Live::Folder(folder) => folder,
    };
    let failed = |error: FolderError| ConnectorError::live(path, error);
    newest = newest.max(modified(&folder.stat().map_err(failed)?));
    let walk = Walk::new(Arc::new(folder), Arc::new(Excludes::none()), None).map_err(failed)?;
    for item in walk {
        bounds.check("measuring the source")?;
        match item.found {
            Found::File { stat, .. } => {
                bytes += size(&stat);
                newest = newest.max(modified(&stat));
            }
            Found::Folder { stat, .. } | Found::Link { stat, .. } => {
                newest = newest.max(modified(&stat));
            }
            Found::Special | Found::Gone => {}
            Found::Failed(why) => {
                return Err(ConnectorError::SourceUnreadable {
                    path: path.join(item.relative),
                    source: std::io::Error::other(why),
                });
            }
        }
    }
    Ok((bytes, newest))
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The modification time; a time outside the calendar counts as oldest.
pub(super) fn modified(stat: &Stat) -> Timestamp {
    i32::try_from(stat.st_mtime_nsec)
        .ok()
        .and_then(|nanos| Timestamp::new(stat.st_mtime, nanos).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
