//! Owns what a source was when it was read, so that the next run can be held against it. Never judges. The interesting function is
//! [`of`].

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::domain::SourceProfile;

use super::{Binding, Bounds, Prepared, live_path, postgres};

/// The profile of a source that is ready to be read.
pub fn of(binding: &Binding, prepared: &Prepared, bounds: &Bounds) -> SourceProfile {
    let identity = match binding {
        Binding::Files(_) | Binding::Jsonl(_) | Binding::Sqlite(_) => {
            live_path(binding).and_then(on_disk)
        }
        Binding::Postgres(postgres) => postgres::fingerprint(postgres, bounds)
            .ok()
            .map(|fingerprint| fingerprint.to_string()),
    };
    let comparable = !matches!(binding, Binding::Jsonl(_));
    SourceProfile {
        identity,
        bytes: comparable.then_some(prepared.expected_bytes),
        entries: comparable.then_some(prepared.expected_items),
    }
}

/// The file system's own id, which outlives a reboot where the number of its device may not, and the inode.
fn on_disk(path: &Path) -> Option<String> {
    let inode = fs::metadata(path).ok()?.ino();
    let file_system = statvfs(path).ok()?.filesystem_id();
    Some(format!("file system {file_system:x}, inode {inode}"))
}
