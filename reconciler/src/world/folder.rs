//! Owns access to files that others may own: every step starts at a held folder and takes one name, so that nothing which
//! is exchanged meanwhile leads elsewhere. Never follows a link below a held folder, never waits for a pipe or a device, and
//! never trusts that what it opens is what it listed. The interesting type is [`Folder`].
//!
//! The path to the first folder comes from the operator's configuration. It may contain links, but only those that nobody
//! except root or this process's user can have placed: see [`Folder::open`].

mod content;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fchmod, fstat, fstatvfs,
    mkdirat, openat2, readlinkat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub use content::{Ownership, attributes, data_after, set_attribute, set_owner, set_times};

/// Folders that only this daemon uses.
pub const PRIVATE_FOLDER: u32 = 0o700;
/// Files that only this daemon uses.
pub const PRIVATE_FILE: u32 = 0o600;

/// Links on the way to a configured path; the kernel allows as many.
const LINKS_FOLLOWED: usize = 40;

/// Below a held folder no link leads anywhere, not even to a place inside.
const BELOW: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Flags of every folder that is listed or worked in.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Folders on the way to it need not be readable.
const WALK: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Flags of every opened file: a pipe or a device is opened without waiting, and recognised afterwards.
const OPEN: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Why a file or folder was not used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system refused.
    #[error("{doing} `{path}`: {source}")]
    Io {
        /// What was tried: `opening`, `writing` …
        doing: &'static str,
        /// The path, for messages only.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// It is a link, a pipe, a device, a socket, or a folder where a file was expected (or the reverse).
    #[error("`{path}` is {found}, not {expected}")]
    WrongKind {
        /// The path, for messages only.
        path: String,
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// It is not the file that was listed under this name before.
    #[error("`{path}` was exchanged between listing and opening")]
    Exchanged {
        /// The path, for messages only.
        path: String,
    },
    /// It is larger than is ever read.
    #[error("`{path}` has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// The path, for messages only.
        path: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The folder has more entries than are ever listed.
    #[error("`{path}` has more than {limit} entries")]
    TooMany {
        /// The path, for messages only.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// Another user could exchange what the path leads to.
    #[error("`{path}` is a link that another user can exchange")]
    UntrustedLink {
        /// The link, for messages only.
        path: String,
    },
}

impl FolderError {
    fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            doing,
            path: path.display().to_string(),
            source: source.into(),
        }
    }

    /// What the system refused about a file of a held folder.
    pub fn of(doing: &'static str, folder: &Folder, name: &str, source: io::Error) -> Self {
        Self::io(doing, &folder.shown.join(name), source)
    }

    /// Whether the name does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether there is no room left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// How large a file system is, and what is left of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// What this process could write to it were it empty.
    pub size: u64,
    /// What this process can still write to it.
    pub free: u64,
}

/// Which file or folder it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Number of the device.
    pub device: u64,
    /// Number of the inode.
    pub inode: u64,
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// One name in a folder, with what it was when it was listed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name; any bytes.
    pub name: OsString,
    /// What it was: kind, identity, size, owner, mode, times. Links are not followed.
    pub stat: Stat,
}

impl Entry {
    /// The kind of file.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Its identity.
    pub fn identity(&self) -> Identity {
        Identity::from(&self.stat)
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

/// A folder that is held open. Whatever happens to its path, it stays the same folder.
#[derive(Debug)]
pub struct Folder {
    held: OwnedFd,
    // For messages; never opened again.
    shown: PathBuf,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}

impl Folder {
    /// Opens a configured absolute path. Links on the way are followed only where no other user can exchange them: the link
    /// belongs to root or to this process's user, and so does the folder that it is in, which others cannot write to (or
    /// where the sticky bit keeps them from replacing it).
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let mut at = Self::root()?;
        let mut left: VecDeque<OsString> = parts(path)?;
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            let stat = at.stat_of(&name)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                at = at.step(&name, WALK, resolve)?;
                continue;
            }
            let link = at.shown.join(&name);
            links += 1;
            if links > LINKS_FOLLOWED {
                return Err(FolderError::io("opening", &link, Errno::LOOP));
            }
            if !(is_ours(&stat) && at.keeps_names_from_others()?) {
                return Err(FolderError::UntrustedLink {
                    path: link.display().to_string(),
                });
            }
            let target = readlinkat(&at.held, &name, Vec::new())
                .map_err(|error| FolderError::io("reading", &link, error))?;
            let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
            if target.is_absolute() {
                at = Self::root()?;
            }
            for part in parts(&target)?.into_iter().rev() {
                left.push_front(part);
            }
        }
        // The way was only walked; the folder itself is listed.
        let here = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        let held = openat2(&at.held, ".", FOLDER, Mode::empty(), here)
            .map_err(|error| FolderError::io("opening", path, error))?;
        Ok(Self {
            held,
            shown: path.to_owned(),
        })
    }

    fn root() -> Result<Self, FolderError> {
        let shown = PathBuf::from("/");
        let held = rustix::fs::open("/", WALK, Mode::empty())
            .map_err(|error| FolderError::io("opening", &shown, error))?;
        Ok(Self { held, shown })
    }

    /// Another handle of the same folder.
    pub fn try_clone(&self) -> Result<Self, FolderError> {
        let held = self
            .held
            .try_clone()
            .map_err(|error| FolderError::io("opening", &self.shown, error))?;
        Ok(Self {
            held,
            shown: self.shown.clone(),
        })
    }

    /// The path by which it was opened, for messages only: it may lead elsewhere by now.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// A path that leads to exactly this folder as long as it is held, for libraries and programs of this process that take
    /// nothing but paths.
    pub fn held_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.held.as_raw_fd()))
    }

    /// What the folder is now.
    pub fn stat(&self) -> Result<Stat, FolderError> {
        fstat(&self.held).map_err(|error| FolderError::io("inspecting", &self.shown, error))
    }

    /// Which folder it is.
    pub fn identity(&self) -> Result<Identity, FolderError> {
        Ok(Identity::from(&self.stat()?))
    }

    /// What a name is now; a link is not followed.
    pub fn stat_of(&self, name: &OsStr) -> Result<Stat, FolderError> {
        statat(&self.held, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| FolderError::io("inspecting", &self.shown.join(name), error))
    }

    /// Bytes that this process may still write to the folder's file system.
    pub fn room(&self) -> Result<u64, FolderError> {
        Ok(self.capacity()?.free)
    }

    /// How large the folder's file system is for this process, and what is left of it.
    pub fn capacity(&self) -> Result<Capacity, FolderError> {
        let stat = fstatvfs(&self.held)
            .map_err(|error| FolderError::io("inspecting", &self.shown, error))?;
        // What is reserved for root counts for neither.
        let usable = stat.f_blocks.saturating_sub(stat.f_bfree);
        let blocks = usable.saturating_add(stat.f_bavail);
        Ok(Capacity {
            size: blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    /// Whether no other user can replace a name in it: it is ours, and others either cannot write to it or are kept from
    /// each other's names by the sticky bit.
    pub fn keeps_names_from_others(&self) -> Result<bool, FolderError> {
        let stat = self.stat()?;
        let sticky = stat.st_mode & 0o1000 != 0;
        Ok(is_ours(&stat) && (sticky || stat.st_mode & 0o022 == 0))
    }

    /// Whether other users can write to it.
    pub fn is_private(&self) -> Result<bool, FolderError> {
        let stat = self.stat()?;
        Ok(is_ours(&stat) && stat.st_mode & 0o022 == 0)
    }

    /// The folder of this name. A link is refused.
    pub fn enter(&self, name: &OsStr) -> Result<Self, FolderError> {
        one_name(&self.shown, name)?;
        self.step(name, FOLDER, BELOW)
    }

    /// The folder at a relative path of plain names. No part of it may be a link.
    pub fn enter_path(&self, below: &Path) -> Result<Self, FolderError> {
        let mut at = self.try_clone()?;
        for name in plain_names(&self.shown, below)? {
            at = at.enter(&name)?;
        }
        Ok(at)
    }

    fn step(
        &self,
        name: &OsStr,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<Self, FolderError> {
        let shown = self.shown.join(name);
        let held = openat2(&self.held, name, flags, Mode::empty(), resolve)
            .map_err(|error| self.explain("opening", name, error, "a folder"))?;
        Ok(Self { held, shown })
    }

    /// Makes the folder of this name with exactly this mode, whatever the umask; one that exists is entered as it is.
    pub fn make(&self, name: &OsStr, mode: u32) -> Result<Self, FolderError> {
        one_name(&self.shown, name)?;
        let made = match mkdirat(&self.held, name, Mode::from_raw_mode(PRIVATE_FOLDER)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(FolderError::io("making", &self.shown.join(name), error)),
        };
        let folder = self.enter(name)?;
        if made {
            set_mode(&folder, mode)
                .map_err(|error| FolderError::io("making", &folder.shown, error))?;
        }
        Ok(folder)
    }

    /// Makes every missing folder of a relative path of plain names.
    pub fn make_path(&self, below: &Path, mode: u32) -> Result<Self, FolderError> {
        let mut at = self.try_clone()?;
        for name in plain_names(&self.shown, below)? {
            at = at.make(&name, mode)?;
        }
        Ok(at)
    }

    /// Everything in the folder, in the order of the names' bytes. Names that vanish meanwhile are left out; more than
    /// `limit` names are an error.
    pub fn list(&self, limit: usize) -> Result<Vec<Entry>, FolderError> {
        let failed = |error: Errno| FolderError::io("listing", &self.shown, error);
        let mut entries = Vec::new();
        for found in Dir::read_from(&self.held).map_err(failed)? {
            let found = found.map_err(failed)?;
            let name = OsStr::from_bytes(found.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() >= limit {
                return Err(FolderError::TooMany {
                    path: self.shown.display().to_string(),
                    limit,
                });
            }
            match self.stat_of(name) {
                Ok(stat) => entries.push(Entry {
                    name: name.to_owned(),
                    stat,
                }),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|one, other| one.name.as_bytes().cmp(other.name.as_bytes()));
        Ok(entries)
    }

    /// Opens the regular file of this name for reading. A link, a pipe, a device or a folder is refused without waiting.
    pub fn open_file(&self, name: &OsStr) -> Result<(File, Stat), FolderError> {
        self.open_with(name, OFlags::RDONLY)
    }

    /// Opens the file that was listed: the same kind, device and inode, or [`FolderError::Exchanged`].
    pub fn open_listed(&self, listed: &Entry) -> Result<(File, Stat), FolderError> {
        let (file, stat) = self.open_file(&listed.name)?;
        if Identity::from(&stat) == listed.identity() {
            Ok((file, stat))
        } else {
            Err(FolderError::Exchanged {
                path: self.shown.join(&listed.name).display().to_string(),
            })
        }
    }

    /// Opens the regular file of this name with other access than reading: `OFlags::RDWR`, `OFlags::APPEND` …
    pub fn open_with(&self, name: &OsStr, access: OFlags) -> Result<(File, Stat), FolderError> {
        one_name(&self.shown, name)?;
        let opened = openat2(&self.held, name, OPEN | access, Mode::empty(), BELOW)
            .map_err(|error| self.explain("opening", name, error, "a file"))?;
        let stat = fstat(&opened)
            .map_err(|error| FolderError::io("inspecting", &self.shown.join(name), error))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::RegularFile {
            Ok((File::from(opened), stat))
        } else {
            Err(self.wrong_kind(name, kind, "a file"))
        }
    }

    /// The whole content of a file that may have at most `limit` bytes.
    pub fn read(&self, name: &OsStr, limit: u64) -> Result<Vec<u8>, FolderError> {
        let (file, stat) = self.open_file(name)?;
        let too_large = |size| FolderError::TooLarge {
            path: self.shown.join(name).display().to_string(),
            size,
            limit,
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > limit {
            return Err(too_large(size));
        }
        let mut content = Vec::new();
        // It may grow meanwhile.
        let read = file
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| FolderError::io("reading", &self.shown.join(name), error))?;
        if read as u64 > limit {
            return Err(too_large(read as u64));
        }
        Ok(content)
    }

    /// Makes a new file with exactly this mode, whatever the umask. A name that exists, even as a link, is refused.
    pub fn create(&self, name: &OsStr, mode: u32) -> Result<File, FolderError> {
        one_name(&self.shown, name)?;
        let failed = |error: Errno| FolderError::io("making", &self.shown.join(name), error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = openat2(
            &self.held,
            name,
            flags | OFlags::NOFOLLOW,
            Mode::from_raw_mode(PRIVATE_FILE),
            BELOW,
        )
        .map_err(failed)?;
        fchmod(&made, Mode::from_raw_mode(mode)).map_err(failed)?;
        Ok(File::from(made))
    }

    /// Puts a whole file under this name, in place of what is there. It is written under `<name>#<number>`, synchronised and
    /// renamed: when this returns, content and name are durable; when it fails, what was there before still is.
    pub fn write(&self, name: &OsStr, content: &[&[u8]], mode: u32) -> Result<(), FolderError> {
        let fill = |file: &mut File| content.iter().try_for_each(|part| file.write_all(part));
        self.write_from(name, mode, fill).map(drop)
    }

    /// The same for content that is not held at once; gives the file that was written, whatever has the name by now.
    pub fn write_from(
        &self,
        name: &OsStr,
        mode: u32,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<File, FolderError> {
        let beside =
            beside(name).map_err(|error| FolderError::io("writing", &self.shown, error))?;
        let mut file = self.create(&beside, mode)?;
        let written = fill(&mut file)
            .and_then(|()| file.sync_all())
            .map_err(|error| FolderError::io("writing", &self.shown.join(name), error))
            .and_then(|()| self.rename(&beside, self, name))
            .and_then(|()| self.sync());
        if written.is_err() {
            // What was begun is of no use; the name has no other owner, as this call made it.
            let _begun = unlinkat(&self.held, &beside, AtFlags::empty());
        }
        written.map(|()| file)
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> Result<(), FolderError> {
        rustix::fs::fsync(&self.held)
            .map_err(|error| FolderError::io("synchronising", &self.shown, error))
    }

    /// Moves a name to a name of another folder on the same file system, in place of what is there.
    pub fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> Result<(), FolderError> {
        one_name(&self.shown, from)?;
        one_name(&into.shown, to)?;
        renameat(&self.held, from, &into.held, to)
            .map_err(|error| FolderError::io("moving", &self.shown.join(from), error))
    }

    /// Moves a name to a name that must be free.
    pub fn rename_new(&self, from: &OsStr, into: &Self, to: &OsStr) -> Result<(), FolderError> {
        self.rename_with(from, into, to, RenameFlags::NOREPLACE)
    }

    /// Exchanges two names in one step.
    pub fn exchange(&self, one: &OsStr, with: &Self, other: &OsStr) -> Result<(), FolderError> {
        self.rename_with(one, with, other, RenameFlags::EXCHANGE)
    }

    fn rename_with(
        &self,
        from: &OsStr,
        into: &Self,
        to: &OsStr,
        flags: RenameFlags,
    ) -> Result<(), FolderError> {
        one_name(&self.shown, from)?;
        one_name(&into.shown, to)?;
        renameat_with(&self.held, from, &into.held, to, flags)
            .map_err(|error| FolderError::io("moving", &self.shown.join(from), error))
    }

    /// Removes a file, a link or another name that is no folder.
    pub fn remove_file(&self, name: &OsStr) -> Result<(), FolderError> {
        one_name(&self.shown, name)?;
        unlinkat(&self.held, name, AtFlags::empty())
            .map_err(|error| FolderError::io("removing", &self.shown.join(name), error))
    }

    /// Removes an empty folder.
    pub fn remove_folder(&self, name: &OsStr) -> Result<(), FolderError> {
        one_name(&self.shown, name)?;
        unlinkat(&self.held, name, AtFlags::REMOVEDIR)
            .map_err(|error| FolderError::io("removing", &self.shown.join(name), error))
    }

    /// Removes a name with everything below it. Links are removed, never followed.
    pub fn remove_tree(&self, name: &OsStr) -> Result<(), FolderError> {
        let stat = match self.stat_of(name) {
            Ok(stat) => stat,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.remove_file(name);
        }
        // A stack of held folders, each with the folders in it that are still to be emptied.
        let mut open = vec![self.emptied_of_files(name)?];
        while let Some((folder, emptied, left)) = open.last_mut() {
            if let Some(below) = left.pop() {
                let below = folder.emptied_of_files(&below)?;
                open.push(below);
                continue;
            }
            let emptied = emptied.clone();
            open.pop();
            open.last()
                .map_or(self, |(parent, ..)| parent)
                .remove_folder(&emptied)?;
        }
        Ok(())
    }

    fn emptied_of_files(
        &self,
        name: &OsStr,
    ) -> Result<(Self, OsString, Vec<OsString>), FolderError> {
        let folder = self.enter(name)?;
        let mut folders = Vec::new();
        for entry in folder.list(usize::MAX)? {
            if entry.kind() == FileType::Directory {
                folders.push(entry.name);
            } else {
                folder.remove_file(&entry.name)?;
            }
        }
        Ok((folder, name.to_owned(), folders))
    }

    fn explain(
        &self,
        doing: &'static str,
        name: &OsStr,
        error: Errno,
        expected: &'static str,
    ) -> FolderError {
        // What the kernel says of a link depends on the flags and on where it leads (`EXDEV`), and of a name that is exchanged
        // while it is opened (`EAGAIN`); the kind is asked for the message alone.
        if matches!(
            error,
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::ISDIR | Errno::XDEV | Errno::AGAIN
        ) && let Ok(stat) = self.stat_of(name)
        {
            return self.wrong_kind(name, FileType::from_raw_mode(stat.st_mode), expected);
        }
        FolderError::io(doing, &self.shown.join(name), error)
    }

    fn wrong_kind(&self, name: &OsStr, kind: FileType, expected: &'static str) -> FolderError {
        FolderError::WrongKind {
            path: self.shown.join(name).display().to_string(),
            found: kind_name(kind),
            expected,
        }
    }
}

/// Sets the mode of what is held open.
pub fn set_mode(held: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fchmod(held, Mode::from_raw_mode(mode & 0o7777))?)
}

/// A file kind for messages.
pub const fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

/// Whether it belongs to root or to this process's user.
pub fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
}

/// `<name>#<number>`: no reader of a repository takes it for an object, and what a killed write left is recognised by it.
fn beside(name: &OsStr) -> io::Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut beside = name.to_owned();
    beside.push(format!("#{}", u64::from_le_bytes(random)));
    Ok(beside)
}

/// The parts of an absolute path, or of a link's target.
fn parts(path: &Path) -> Result<VecDeque<OsString>, FolderError> {
    let mut names = VecDeque::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => names.push_back(OsString::from("..")),
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::Prefix(_) => return Err(not_plain(path)),
        }
    }
    Ok(names)
}

fn plain_names(folder: &Path, below: &Path) -> Result<Vec<OsString>, FolderError> {
    below
        .components()
        .map(|part| match part {
            Component::Normal(name) => Ok(name.to_owned()),
            _ => Err(not_plain(&folder.join(below))),
        })
        .collect()
}

fn one_name(folder: &Path, name: &OsStr) -> Result<(), FolderError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(not_plain(&folder.join(name)));
    }
    Ok(())
}

fn not_plain(path: &Path) -> FolderError {
    FolderError::io("opening", path, Errno::INVAL)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn scratch() -> (tempfile::TempDir, Folder) {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        (scratch, folder)
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn links_pipes_and_folders_are_not_files() {
        let (scratch, folder) = scratch();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("folder", at("link-to-folder")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        folder.open_file(name("file")).unwrap();
        for (other, found) in [
            ("link", "a link"),
            ("pipe", "a pipe"),
            ("folder", "a folder"),
        ] {
            let error = folder.open_file(name(other)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("is {found}, not a file")),
                "{error}"
            );
        }
        for (other, found) in [("link-to-folder", "a link"), ("file", "a file")] {
            let error = folder.enter(name(other)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("is {found}, not a folder")),
                "{error}"
            );
        }
        for odd in ["..", ".", "", "folder/..", "/etc"] {
            assert!(folder.enter(name(odd)).is_err(), "{odd}");
            assert!(folder.open_file(name(odd)).is_err(), "{odd}");
            assert!(folder.create(name(odd), 0o600).is_err(), "{odd}");
        }
        assert!(folder.enter_path(Path::new("folder/../folder")).is_err());
        folder.enter_path(Path::new("folder")).unwrap();
    }

    #[test]
    fn what_was_exchanged_after_the_listing_is_noticed() {
        let (scratch, folder) = scratch();
        std::fs::write(scratch.path().join("a"), "mine").unwrap();
        std::fs::write(scratch.path().join("b"), "foreign").unwrap();
        let listed = folder.list(10).unwrap();
        assert_eq!(listed.len(), 2);
        let first = listed.first().unwrap();
        folder.open_listed(first).unwrap();
        std::fs::rename(scratch.path().join("b"), scratch.path().join("a")).unwrap();
        let error = folder.open_listed(first).unwrap_err();
        assert!(matches!(error, FolderError::Exchanged { .. }), "{error}");
        assert!(matches!(
            folder.list(0).unwrap_err(),
            FolderError::TooMany { .. }
        ));
    }

    #[test]
    fn a_held_folder_stays_the_same_when_its_path_leads_elsewhere() {
        let (scratch, folder) = scratch();
        let held = folder.make(name("live"), PRIVATE_FOLDER).unwrap();
        std::fs::rename(scratch.path().join("live"), scratch.path().join("aside")).unwrap();
        std::fs::create_dir(scratch.path().join("elsewhere")).unwrap();
        symlink("elsewhere", scratch.path().join("live")).unwrap();
        held.write(name("x"), &[b"1", b"2"], PRIVATE_FILE).unwrap();
        assert_eq!(
            std::fs::read(scratch.path().join("aside/x")).unwrap(),
            b"12"
        );
        assert!(!scratch.path().join("elsewhere/x").exists());
        assert_eq!(held.held_path().join("x").metadata().unwrap().len(), 2);
    }

    #[test]
    fn modes_do_not_depend_on_the_umask_and_nothing_is_written_through_a_link() {
        let (scratch, folder) = scratch();
        folder.make_path(Path::new("a/b"), PRIVATE_FOLDER).unwrap();
        folder.write(name("x"), &[b"1"], 0o640).unwrap();
        let mode = |below: &str| {
            let found = std::fs::metadata(scratch.path().join(below)).unwrap();
            found.permissions().mode() & 0o7777
        };
        assert_eq!((mode("a"), mode("a/b"), mode("x")), (0o700, 0o700, 0o640));
        std::fs::write(scratch.path().join("precious"), "root's").unwrap();
        symlink("precious", scratch.path().join("y")).unwrap();
        assert!(folder.create(name("y"), PRIVATE_FILE).is_err());
        folder.write(name("y"), &[b"new"], PRIVATE_FILE).unwrap();
        assert_eq!(
            std::fs::read(scratch.path().join("precious")).unwrap(),
            b"root's"
        );
        assert_eq!(folder.read(name("y"), 3).unwrap(), b"new");
        let error = folder.read(name("y"), 2).unwrap_err();
        assert!(
            matches!(error, FolderError::TooLarge { size: 3, .. }),
            "{error}"
        );
        let left = folder.list(100).unwrap();
        assert!(
            left.iter()
                .all(|entry| !entry.name.as_bytes().contains(&b'#'))
        );
    }

    #[test]
    fn removing_a_tree_removes_links_and_not_what_they_lead_to() {
        let (scratch, folder) = scratch();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("precious"), "x").unwrap();
        folder
            .make_path(Path::new("t/u/v"), PRIVATE_FOLDER)
            .unwrap();
        symlink(outside.path(), scratch.path().join("t/u/out")).unwrap();
        folder.remove_tree(name("t")).unwrap();
        folder.remove_tree(name("t")).unwrap();
        assert!(!scratch.path().join("t").exists());
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn a_configured_path_follows_only_links_that_nobody_else_can_exchange() {
        let (scratch, _) = scratch();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::create_dir(at("open")).unwrap();
        symlink("real", at("link")).unwrap();
        symlink("../real", at("open/link")).unwrap();
        let inode = |path: &Path| Folder::open(path).unwrap().identity().unwrap().inode;
        let real = std::fs::metadata(at("real")).unwrap().ino();
        assert_eq!(inode(&at("real")), real);
        assert_eq!(inode(&at("link")), real);
        assert_eq!(inode(&at("open/link")), real);
        assert_eq!(inode(&at("open/../link/.")), real);
        std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = Folder::open(&at("open/link")).unwrap_err();
        assert!(
            matches!(error, FolderError::UntrustedLink { .. }),
            "{error}"
        );
        symlink("round", at("round")).unwrap();
        assert!(Folder::open(&at("round")).is_err());
    }
}
