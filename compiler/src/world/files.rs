//! Owns single files: bounded reads, and writes of which a reader sees all or nothing. See [`fn@write`].

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The owner alone: 0600.
    Secret,
    /// As the process' umask says.
    Public,
}

/// Reads a whole file of at most `limit` bytes; a larger one is an error before its rest is read.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// The permission bits of a file.
pub fn mode(path: &Path) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// What is said of a file with more bytes than that.
pub(super) fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it is larger than {limit} bytes"))
}

/// Reads a file if it is there.
pub fn read_if_present(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that whoever looks sees the old bytes or the new ones: a neighbour is written, synced and renamed,
/// and the folder is synced. Folders above it are made.
pub fn write(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let temporary = neighbour(path, bytes, mode)?;
    fs::rename(&temporary, path).inspect_err(|_| forget(&temporary))?;
    sync_folder(path)
}

/// Adds to the end of a file, which is made if it is not there.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?
        .write_all(bytes)
}

/// Writes a file that must not exist yet.
pub fn create(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let temporary = neighbour(path, bytes, mode)?;
    // A link fails where the name is taken, which a rename would silently replace.
    let linked = fs::hard_link(&temporary, path);
    forget(&temporary);
    linked?;
    sync_folder(path)
}

fn neighbour(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<PathBuf> {
    let folder = parent(path);
    fs::create_dir_all(folder)?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(hidden);
    let written = fill(&temporary, bytes, mode);
    if written.is_err() {
        forget(&temporary);
    }
    written.map(|()| temporary)
}

fn fill(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let permissions = match mode {
        Mode::Secret => 0o600,
        Mode::Public => 0o666,
    };
    // A neighbour left by a killed process of the same number would keep its own permissions.
    forget(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(permissions)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn forget(path: &Path) {
    // What cannot be removed is a hidden file without meaning; the error that matters is already on its way.
    let _ = fs::remove_file(path);
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(parent(path))?.sync_all()
}
