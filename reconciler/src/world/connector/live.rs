//! Live files as they are now: identity, size, newest change.
//!
//! Never fails where not knowing is an answer. The interesting function is [`observe`].

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use walkdir::WalkDir;

use super::manifest::walk_error;
use super::tree::Identity;
use super::{Bounds, ConnectorError, Fingerprint, Observation, SourceView};

/// Device and inode of the live data: the same for every path that leads there.
pub(super) fn fingerprint(path: &Path) -> Result<Fingerprint, ConnectorError> {
    let metadata = fs::metadata(path).map_err(|error| ConnectorError::source(path, error))?;
    Ok(Fingerprint::new(format!(
        "inode:{}",
        Identity::of(&metadata).text()
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
