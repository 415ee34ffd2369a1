//! Owns the layout of a published folder on disk: the files of one environment and the trust roots beside it. Checks nothing.

use std::path::{Path, PathBuf};

use contract::seal::{BUNDLE_FILE, PROVENANCE_FILE};

use super::failure::Failure;
use crate::world::files;

/// The signed statement.
pub const ENVELOPE_FILE: &str = "bundle.dsse.json";
/// Larger files are refused by `open`; this bound only keeps them out of memory.
const MAX_BYTES: u64 = 256 << 20;

/// The bytes of a published folder.
pub struct Published {
    /// `../trust/1.root.json`, `2.root.json` …
    pub roots: Vec<Vec<u8>>,
    /// `bundle.dsse.json`.
    pub envelope: Vec<u8>,
    /// `bundle.json`.
    pub bundle: Vec<u8>,
    /// `provenance.json`.
    pub provenance: Vec<u8>,
}

/// Reads a published folder; a missing file is an error of the environment, not of trust.
pub fn read(folder: &Path) -> Result<Published, Failure> {
    let file = |name: &str| {
        let path = folder.join(name);
        files::read(&path, MAX_BYTES).map_err(|error| Failure::unreadable(&path, &error))
    };
    Ok(Published {
        roots: roots(&above(folder))?,
        envelope: file(ENVELOPE_FILE)?,
        bundle: file(BUNDLE_FILE)?,
        provenance: file(PROVENANCE_FILE)?,
    })
}

/// The trust roots of a published repository, in order of version, up to the first that is missing.
pub fn roots(out: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut roots = Vec::new();
    loop {
        let path = out
            .join("trust")
            .join(format!("{}.root.json", roots.len() + 1));
        match files::read_if_present(&path, MAX_BYTES) {
            Ok(Some(bytes)) => roots.push(bytes),
            Ok(None) => return Ok(roots),
            Err(error) => return Err(Failure::unreadable(&path, &error)),
        }
    }
}

/// The folder that holds `trust` and the environments.
fn above(folder: &Path) -> PathBuf {
    folder
        .canonicalize()
        .ok()
        .and_then(|folder| folder.parent().map(Path::to_owned))
        .unwrap_or_else(|| folder.join(".."))
}
