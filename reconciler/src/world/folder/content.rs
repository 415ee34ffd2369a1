//! Owns what files and folders carry besides their bytes, by descriptor: names with their kind, links, owner, times, extended
//! attributes, holes. Never takes a path apart from one name below a held folder. The interesting function is
//! [`Folder::make_private`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, ResolveFlags, SeekFrom, Stat, Timespec, Timestamps, Uid,
    XattrFlags, chownat, fchown, fgetxattr, flistxattr, fsetxattr, futimens, linkat, mkdirat,
    readlinkat, seek, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{Folder, FolderError, Identity, PRIVATE_FOLDER, WALK, is_ours, one_name};

/// The kernel's own limits of a list of names and of one value.
const ATTRIBUTE_BYTES: usize = 64 * 1024;

/// An owner to give; none leaves it as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ownership {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

impl Folder {
    /// The names in the folder in the order of their bytes, with the kind that the listing tells. What is behind a name by the
    /// time it is opened may differ. More than `limit` names are an error.
    pub fn names(&self, limit: usize) -> Result<Vec<(OsString, FileType)>, FolderError> {
        let failed = |error: Errno| FolderError::io("listing", &self.shown, error);
        let mut names = Vec::new();
        for found in Dir::read_from(&self.held).map_err(failed)? {
            let found = found.map_err(failed)?;
            let name = OsStr::from_bytes(found.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if names.len() >= limit {
                return Err(FolderError::TooMany {
                    path: self.shown.display().to_string(),
                    limit,
                });
            }
            names.push((name.to_owned(), found.file_type()));
        }
        names.sort_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
        Ok(names)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> Result<bool, FolderError> {
        match self.names(0) {
            Ok(_) => Ok(true),
            Err(FolderError::TooMany { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where a link leads, as text. Nothing is followed.
    pub fn read_link(&self, name: &OsStr) -> Result<PathBuf, FolderError> {
        one_name(&self.shown, name)?;
        let target = readlinkat(&self.held, name, Vec::new())
            .map_err(|error| FolderError::io("reading", &self.shown.join(name), error))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// This folder and every folder above it, up to the root, as they are now.
    pub fn chain(&self) -> Result<Vec<Identity>, FolderError> {
        let mut at = self.try_clone()?;
        let mut chain = vec![at.identity()?];
        loop {
            at = at.step(OsStr::new(".."), WALK, ResolveFlags::NO_SYMLINKS)?;
            let above = at.identity()?;
            if chain.last() == Some(&above) {
                return Ok(chain);
            }
            chain.push(above);
        }
    }

    /// Whether no other user can make the path to this folder lead elsewhere: it and every folder above keep their names from
    /// others.
    pub fn is_firm(&self) -> Result<bool, FolderError> {
        let mut at = self.try_clone()?;
        loop {
            if !at.keeps_names_from_others()? {
                return Ok(false);
            }
            let above = at.step(OsStr::new(".."), WALK, ResolveFlags::NO_SYMLINKS)?;
            if above.identity()? == at.identity()? {
                return Ok(true);
            }
            at = above;
        }
    }

    /// Makes a new folder that only `uid` can enter, and holds it. What was put in its place between making and opening is
    /// refused: it is not empty, not of this mode, or not of this user.
    pub fn make_private(&self, name: &OsStr, uid: u32) -> Result<Self, FolderError> {
        one_name(&self.shown, name)?;
        mkdirat(&self.held, name, Mode::from_raw_mode(PRIVATE_FOLDER))
            .map_err(|error| FolderError::io("making", &self.shown.join(name), error))?;
        let made = self.enter(name)?;
        let stat = made.stat()?;
        if stat.st_uid == uid && is_closed(&stat) && made.is_empty()? {
            Ok(made)
        } else {
            Err(FolderError::Exchanged {
                path: made.shown.display().to_string(),
            })
        }
    }

    /// The folder of this name, when only `uid` or root can have filled it.
    pub fn enter_private(&self, name: &OsStr, uid: u32) -> Result<Self, FolderError> {
        let folder = self.enter(name)?;
        let stat = folder.stat()?;
        let is_own = stat.st_uid == uid || is_ours(&stat);
        if is_own && is_closed(&stat) {
            Ok(folder)
        } else {
            Err(FolderError::Exchanged {
                path: folder.shown.display().to_string(),
            })
        }
    }

    /// Gives a file a second name.
    pub fn link(&self, name: &OsStr, into: &Self, to: &OsStr) -> Result<(), FolderError> {
        one_name(&self.shown, name)?;
        one_name(&into.shown, to)?;
        linkat(&self.held, name, &into.held, to, AtFlags::empty())
            .map_err(|error| FolderError::io("linking", &into.shown.join(to), error))
    }

    /// Makes a symbolic link with the owner and times of another.
    pub fn make_link(
        &self,
        target: &Path,
        name: &OsStr,
        owner: Ownership,
        times: &Stat,
    ) -> Result<(), FolderError> {
        one_name(&self.shown, name)?;
        let failed = |error: Errno| FolderError::io("making", &self.shown.join(name), error);
        symlinkat(target, &self.held, name).map_err(failed)?;
        let (uid, gid) = ids(owner);
        if uid.is_some() || gid.is_some() {
            chownat(&self.held, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        utimensat(
            &self.held,
            name,
            &timestamps(times),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(failed)
    }

    /// The extended attributes of a link in it. A folder that is held cannot be exchanged, and the last name is not followed.
    pub fn attributes_of_link(&self, name: &OsStr) -> io::Result<Vec<(OsString, Vec<u8>)>> {
        let path = self.held_path().join(name);
        let mut found = Vec::new();
        for attribute in none_when_unsupported(xattr::list(&path).map(Iterator::collect::<Vec<_>>))?
        {
            if let Some(value) = xattr::get(&path, &attribute)? {
                found.push((attribute, value));
            }
        }
        Ok(found)
    }
}

/// Whether no other user can enter a folder.
fn is_closed(stat: &Stat) -> bool {
    let of_others = Mode::RWXG.union(Mode::RWXO);
    !Mode::from_raw_mode(stat.st_mode).intersects(of_others)
}

/// The extended attributes of what is held open; none where the file system has no such thing.
pub fn attributes(held: impl AsFd) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let held = held.as_fd();
    // Most files have none: a small buffer spares the large one.
    let mut names = vec![0_u8; 512];
    let listed = match flistxattr(held, names.as_mut_slice()) {
        Err(Errno::RANGE) => {
            names.resize(ATTRIBUTE_BYTES, 0);
            flistxattr(held, names.as_mut_slice())
        }
        listed => listed,
    };
    let size = none_when_unsupported(listed.map_err(io::Error::from))?;
    names.truncate(size);
    let mut found = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0_u8; ATTRIBUTE_BYTES];
        match fgetxattr(held, name, value.as_mut_slice()) {
            Ok(size) => {
                value.truncate(size);
                found.push((OsStr::from_bytes(name).to_owned(), value));
            }
            // It was taken away meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn none_when_unsupported<T: Default>(answer: io::Result<T>) -> io::Result<T> {
    match answer {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(T::default()),
        answer => answer,
    }
}

/// Sets one extended attribute of what is held open.
pub fn set_attribute(held: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(
        held,
        name.as_bytes(),
        value,
        XattrFlags::empty(),
    )?)
}

/// Gives what is held open to another owner.
pub fn set_owner(held: impl AsFd, owner: Ownership) -> io::Result<()> {
    let (uid, gid) = ids(owner);
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    Ok(fchown(held, uid, gid)?)
}

/// Gives what is held open the times of another.
pub fn set_times(held: impl AsFd, of: &Stat) -> io::Result<()> {
    Ok(futimens(held, &timestamps(of))?)
}

/// The next range of bytes from `at` on that is not a hole; none when only a hole is left. A file system that knows no holes
/// has one range.
pub fn data_after(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let begin = match seek(file, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at < size).then_some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = seek(file, SeekFrom::Hole(begin))?;
    seek(file, SeekFrom::Start(begin))?;
    Ok(Some((begin, end)))
}

fn ids(owner: Ownership) -> (Option<Uid>, Option<Gid>) {
    (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw))
}

fn timestamps(of: &Stat) -> Timestamps {
    let at = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: at(of.st_atime, of.st_atime_nsec),
        last_modification: at(of.st_mtime, of.st_mtime_nsec),
    }
}
