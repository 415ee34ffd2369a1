//! Owns who else on this machine can change or read what the daemon trusts: its configuration, its keys and its state. Never
//! opens a file for its content. The interesting functions are [`fault`] and [`take_state`].

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::Path;

use contract::code;
use nix::unistd::geteuid;

use crate::failure::Failure;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const READABLE_BY_OTHERS: u32 = 0o004;
const STICKY: u32 = 0o1000;
const OURS_ALONE: u32 = 0o700;
const MODE: u32 = 0o7777;

/// Where in the state folder the running daemon listens.
pub const SOCKET: &str = "seawalld.sock";

/// What a file is to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trusted {
    /// Nobody else may change it.
    Settings,
    /// Nobody else may change or read it. A group may: that is how a key is given to a service.
    Secret,
}

/// Why a file cannot be trusted, in one line; none when it can, or is not there.
pub fn fault(path: &Path, trusted: Trusted) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let told = |why: String| Some(format!("`{}` {why}", path.display()));
    if is_strange(&found) {
        return told(format!("belongs to user {}", found.uid()));
    }
    let mode = found.mode() & MODE;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return told(format!(
            "can be changed by other users, its mode is {mode:04o}"
        ));
    }
    if trusted == Trusted::Secret && mode & READABLE_BY_OTHERS != 0 {
        return told(format!(
            "can be read by other users, its mode is {mode:04o}"
        ));
    }
    let folder = fs::metadata(path.parent()?).ok()?;
    let mode = folder.mode() & MODE;
    if is_strange(&folder) {
        return told(format!("is in a folder of user {}", folder.uid()));
    }
    (mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0).then(|| {
        format!(
            "`{}` can be replaced by other users, the mode of its folder is {mode:04o}",
            path.display()
        )
    })
}

/// The same as a failure.
pub fn failure(path: &Path, trusted: Trusted) -> Option<Failure> {
    let help = match trusted {
        Trusted::Settings => "make it and its folder writable for the daemon's user or root alone",
        Trusted::Secret => {
            "give it to the daemon's user with mode 0600; if others could read it, replace what it holds"
        }
    };
    Some(Failure::new(
        code::FILE_OPEN_TO_OTHERS,
        fault(path, trusted)?,
        help,
    ))
}

/// Neither ours nor root's: its owner can change it, whatever its mode.
fn is_strange(found: &Metadata) -> bool {
    found.uid() != geteuid().as_raw() && found.uid() != 0
}

/// Makes the state folder, or takes the one that is there: it and what is in it must be ours, and from now on nobody else's
/// to read or change. Says what others could change or read until now.
///
/// # Errors
/// When it belongs to somebody else, or holds a link or something of somebody else's.
pub fn take_state(folder: &Path) -> Result<Option<Failure>, Failure> {
    let unusable = |error: io::Error| {
        let help = "make the state folder usable for the daemon's user";
        let why = format!(
            "state folder `{}` cannot be used: {error}",
            folder.display()
        );
        Failure::new(code::STORE_UNUSABLE, why, help)
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(OURS_ALONE)
        .create(folder)
        .map_err(unusable)?;
    let found = fs::metadata(folder).map_err(unusable)?;
    ours(folder, &found)?;
    // First the folder: after it nobody else changes what is in it.
    let mode = found.mode() & MODE;
    close(folder, &found, OURS_ALONE).map_err(unusable)?;
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            // SQLite and a running fetch remove files of their own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unusable(error)),
        };
        ours(&path, &found)?;
        // The daemon listens on a socket of its own, and one that was killed leaves it.
        let is_socket = found.file_type().is_socket() && path.ends_with(SOCKET);
        if !found.is_dir() && !found.is_file() && !is_socket {
            return Err(unsafe_state(format!(
                "`{}` is no file and no folder",
                path.display()
            )));
        }
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        close(&path, &found, wanted).map_err(unusable)?;
    }
    Ok((mode & WRITABLE_BY_OTHERS != 0).then(|| {
        let why = format!(
            "state folder `{}` could be changed by other users until now, its mode was {mode:04o}",
            folder.display()
        );
        let help = "the mode is 0700 now; find out why it was open";
        Failure::new(code::FILE_OPEN_TO_OTHERS, why, help)
    }))
}

fn ours(path: &Path, found: &Metadata) -> Result<(), Failure> {
    if found.uid() == geteuid().as_raw() {
        Ok(())
    } else {
        Err(unsafe_state(format!(
            "`{}` belongs to user {}",
            path.display(),
            found.uid()
        )))
    }
}

fn unsafe_state(what: String) -> Failure {
    let help =
        "run the daemon as the user that owns its state folder, or remove what is not its own";
    Failure::new(
        code::STATE_UNSAFE,
        format!("the state cannot be trusted: {what}"),
        help,
    )
}

/// A path of our own in a folder of our own: nobody can exchange it under our hands.
fn close(path: &Path, found: &Metadata, wanted: u32) -> io::Result<()> {
    let mode = found.mode() & MODE;
    if mode & !wanted & MODE == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode & wanted)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
