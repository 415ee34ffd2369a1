//! SHA-256 of every file below a folder, and the comparison of a folder with it.
//!
//! Never changes a file. The interesting function is [`Manifest::compare`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use contract::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::selection::Excludes;
use super::walk::{Found, Walk};
use super::{Bounds, ConnectorError};
use crate::domain::{FileSum, Manifest};
use crate::world::folder::Folder;

/// Large enough that the system calls do not count, small enough for one buffer a worker.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

impl Manifest {
    /// Reads and hashes every regular file below `folder`, links not followed.
    pub fn of(folder: &Path, bounds: &Bounds) -> Result<Self, ConnectorError> {
        let held = Folder::open(folder).map_err(|error| ConnectorError::live(folder, error))?;
        Self::of_held(held, bounds)
    }

    pub(super) fn of_held(folder: Folder, bounds: &Bounds) -> Result<Self, ConnectorError> {
        let shown = folder.shown().to_owned();
        let mut files = BTreeMap::new();
        let walk = Walk::new(Arc::new(folder), Arc::new(Excludes::none()), None)
            .map_err(|error| ConnectorError::live(&shown, error))?;
        for item in walk {
            bounds.check("hashing files")?;
            let path = shown.join(&item.relative);
            match item.found {
                Found::File { file, .. } => {
                    let sum = hash_open(file, &path, bounds)?;
                    files.insert(key(&item.relative), sum);
                }
                Found::Folder { .. } | Found::Link { .. } | Found::Special => {}
                Found::Gone => return Err(ConnectorError::SourceMissing { path }),
                Found::Failed(why) => {
                    let source = std::io::Error::other(why);
                    return Err(ConnectorError::SourceUnreadable { path, source });
                }
            }
        }
        Ok(Self(files))
    }

    pub fn files(&self) -> &BTreeMap<String, FileSum> {
        &self.0
    }

    pub fn get(&self, relative: &Path) -> Option<&FileSum> {
        self.0.get(&key(relative))
    }

    pub fn bytes(&self) -> u64 {
        self.0.values().map(|file| file.bytes).sum()
    }

    pub(super) fn insert(&mut self, relative: &Path, sum: FileSum) {
        self.0.insert(key(relative), sum);
    }

    /// Hashes `folder` and names each file that is missing, extra or different, in order; empty when all agree.
    pub fn compare(&self, folder: &Path, bounds: &Bounds) -> Result<Vec<String>, ConnectorError> {
        Ok(self.differences(&Self::of(folder, bounds)?))
    }

    pub(super) fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (path, wanted) in &self.0 {
            match found.0.get(path) {
                None => differences.push(format!("`{path}` is missing")),
                Some(sum) if sum != wanted => differences.push(format!("`{path}` differs")),
                Some(_) => {}
            }
        }
        differences.extend(
            found
                .0
                .keys()
                .filter(|path| !self.0.contains_key(*path))
                .map(|path| format!("`{path}` is extra")),
        );
        differences
    }
}

/// SHA-256 and length of an open file, read to its end. The path is for messages.
pub(super) fn hash_open(
    mut file: File,
    path: &Path,
    bounds: &Bounds,
) -> Result<FileSum, ConnectorError> {
    let mut hasher = Sha256::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    loop {
        bounds.check("hashing files")?;
        let count = file
            .read(&mut buffer)
            .map_err(|error| ConnectorError::source(path, error))?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            return Ok(FileSum {
                bytes,
                sha256: Digest::from_bytes(hasher.finalize().into()),
            });
        };
        hasher.update(chunk);
        bytes += chunk.len() as u64;
    }
}

/// A path as text that no two paths share.
pub(super) fn key(relative: &Path) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for chunk in relative.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
