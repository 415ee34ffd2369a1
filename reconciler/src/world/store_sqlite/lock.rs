//! Owns the lock by which one process holds the store: a file beside the database, with a random number in it. Never opens the
//! database. The interesting function is [`take_lock`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::rows::unusable;
use crate::store::StoreError;
use crate::world::random;

/// The lock is on a file of its own: SQLite replaces and removes files beside the database.
pub(super) fn take_lock(path: &Path) -> Result<Flock<File>, StoreError> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|error| unusable("making its folder", &error))?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(lock_path(path))
        .map_err(|error| unusable("opening its lock", &error))?;
    let mut file = file;
    for _ in 0..LOCK_TRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
            Err((_, other)) => return Err(unusable("taking its lock", &other)),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(StoreError::Locked {
        path: folder.display().to_string(),
    })
}

/// The file of the lock holds a number and no more.
const TOKEN: u64 = 32;

/// A `status` that asks whether the lock is held has it for an instant, which must not refuse a process that starts then. On a machine
/// under load that instant may last for most of a second.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

pub(super) fn lock_path(store: &Path) -> PathBuf {
    store.parent().unwrap_or(store).join("lock")
}

/// Whether some process holds the lock. What cannot be opened is held by nobody that could work here.
pub(super) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let asked = Flock::lock(file, FlockArg::LockSharedNonblock);
    matches!(asked, Err((_, nix::errno::Errno::EWOULDBLOCK)))
}

/// A random number that the file of the lock holds: a file that was removed and made anew has another one. A process that holds the old file
/// is not kept out by the new one.
pub(super) fn token_of(mut lock: &File) -> io::Result<i64> {
    let mut bytes = Vec::new();
    lock.take(TOKEN).read_to_end(&mut bytes)?;
    let known = std::str::from_utf8(&bytes).ok();
    if let Some(token) = known.and_then(|text| text.trim_end().parse().ok()) {
        return Ok(token);
    }
    let token = i64::from(random::number()?);
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{token}")?;
    lock.sync_all()?;
    Ok(token)
}
