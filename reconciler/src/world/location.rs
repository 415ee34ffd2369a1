//! Owns what is done at a location as a whole: a first inspection, its mark, and the copy of the receipt log. Each is done by a
//! child process of its own, because a hung mount can keep a process that touches it from ending. Never reads a repository.
//! The interesting functions are [`ask`] on the parent's side and [`inspect`] on the child's.
//!
//! A child holds the location's lock file in the state folder while it works. One that hangs keeps it, so that no later
//! process, of this daemon or of another one, waits for the same location more than once.

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking"
)]
mod races;

mod bucket;

pub use bucket::object_of;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use contract::id::{DatasetId, LocationId};
use contract::receipt::MAX_LINE_BYTES;
use rustix::fs::{FileType, FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::folder::{Capacity, Folder, FolderError, PRIVATE_FILE, PRIVATE_FOLDER};
use super::process::{self, Input, ProcessError, Stderr, guard};
use super::receipts;
use super::secret;
use super::vault::{MARK_FILE, Mark, Place, read_mark};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__location";

/// An order is a few paths and names.
const ORDER_LIMIT: usize = 16 << 20;

/// What starting a child and ending it takes, on a busy machine too.
const OVERHEAD: Duration = Duration::from_secs(5);

/// Whether a location takes a write is seen by this file. It is removed again.
const PROBE: &str = ".seawall-probe";

/// Bytes a second that a location takes at the least; a copy is given up that would be slower.
const SLOWEST: u64 = 1 << 20;

/// Bytes of a receipt, of those that have many: by them a deadline is reckoned, and by nothing else.
const LONG_LINE: u64 = 8 << 10;

/// Lines that a process which was killed may have left behind the checkpoint's.
const UNCOVERED: u64 = 1_000;

/// Between two tries for the lock file.
const TICK: Duration = Duration::from_millis(20);

/// What a child is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Look at a location.
    Inspect {
        /// Which one.
        at: At,
        /// What must mark it, where that is known.
        expected: Option<Mark>,
        /// Whether a write is tried; only where the mark is the expected one.
        tries_write: bool,
        /// Where below it the copy of the receipt log is.
        receipts: PathBuf,
        /// Recovery points that the catalog names there: their repositories and snapshots.
        known: Vec<(String, String)>,
    },
    /// Mark a location that has no mark.
    Mark {
        /// Which one.
        at: At,
        /// With what.
        mark: Mark,
    },
    /// Copy the receipt log.
    CopyReceipts {
        /// Which one.
        at: At,
        /// What must mark it.
        expected: Option<Mark>,
        /// Where below it the copy goes.
        receipts: PathBuf,
        /// A folder that holds lines of the log up to its end, and its checkpoint.
        from: PathBuf,
        /// Bytes of these lines.
        bytes: u64,
        /// Where the copy is to be appended to; without, the lines are the whole log.
        tail: Option<Tail>,
        /// The checkpoint that was there when the copy was decided.
        replaces: Option<String>,
    },
    /// Bring a copy of the receipt log here.
    ReadReceipts {
        /// From which location.
        at: At,
        /// Where below it the copy is.
        receipts: PathBuf,
        /// The folder that it is put into.
        into: PathBuf,
        /// How many lines its checkpoint covers.
        lines: u64,
    },
    /// Find out where live data are.
    Resolve {
        /// Their paths.
        sources: Vec<(DatasetId, PathBuf)>,
    },
}

/// What a copy of the receipts is to be continued with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// What the copy's file looked like when it was left.
    pub left: String,
    /// Bytes of the lines before those that are sent, in the folder that holds them.
    pub skip: u64,
    /// How many lines of the log come before those that are sent.
    pub line: u64,
}

/// A location for a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// The location.
    pub location_id: LocationId,
    /// Where it is.
    pub place: Place,
    /// The lock file of this location.
    pub lock: PathBuf,
}

/// What a child answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// The location was inspected.
    Inspected(Box<Inspected>),
    /// It was done.
    Done,
    /// The receipts were copied; what the file looks like now.
    Copied(String),
    /// The copy of the receipts is not as it was left, and nothing was written.
    CopyChanged,
    /// Where live data are; what cannot be found is left out.
    Resolved(Vec<(DatasetId, InFileSystem)>),
    /// The location's folder cannot be opened.
    Absent(String),
    /// It was not done.
    Failed(String),
    /// Another process still waits for the location.
    Silent,
}

/// What an inspection found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspected {
    /// Device and inode of its folder; none for a bucket.
    pub folder: Option<(u64, u64)>,
    /// Where it is in its file system.
    pub in_file_system: Option<InFileSystem>,
    /// Its mark.
    pub mark: Option<Mark>,
    /// Why its mark cannot be read.
    pub mark_problem: Option<String>,
    /// The checkpoint of the receipts there, as text.
    pub checkpoint: Option<String>,
    /// Why that cannot be read.
    pub checkpoint_problem: Option<String>,
    /// Whether any of the known recovery points is there.
    pub holds_known: bool,
    /// Why a write failed, where one was tried.
    pub unwritable: Option<String>,
    /// How large its file system is, and what is left of it; absent where that cannot be seen.
    pub capacity: Option<Capacity>,
}

/// A folder without regard to where its file system is mounted: a link or a bind mount gives the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFileSystem {
    /// `major:minor` of the file system.
    pub device: String,
    /// The path from the file system's own root.
    pub path: PathBuf,
}

impl InFileSystem {
    /// Whether the other folder is this one or below it.
    pub fn contains(&self, other: &Self) -> bool {
        self.device == other.device && other.path.starts_with(&self.path)
    }
}

/// Why a child gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoReply {
    /// The location is silent.
    Silent,
    /// The child was asked to stop: nothing became known of the location.
    Stopped,
    /// The child failed.
    Broken(String),
}

impl At {
    /// Bytes a second that it takes or gives at the least.
    const fn slowest(&self) -> u64 {
        match &self.place {
            Place::Folder(_) => SLOWEST,
            Place::Bucket(_) => crate::world::bucket::SLOWEST,
        }
    }

    /// How long a child may take: each request to a bucket may take the patience, and an inspection has several of them.
    const fn longest(&self) -> Duration {
        match &self.place {
            Place::Folder(folder) => folder.patience,
            Place::Bucket(bucket) => bucket.patience.saturating_mul(2),
        }
    }
}

impl Order {
    /// The location that it is about; none for live data.
    pub const fn at(&self) -> Option<&At> {
        match self {
            Self::Inspect { at, .. }
            | Self::Mark { at, .. }
            | Self::CopyReceipts { at, .. }
            | Self::ReadReceipts { at, .. } => Some(at),
            Self::Resolve { .. } => None,
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Self::Inspect { at, .. } | Self::Mark { at, .. } => at.longest(),
            Self::CopyReceipts { at, bytes, .. } => at
                .longest()
                .saturating_add(Duration::from_secs(bytes / at.slowest())),
            Self::ReadReceipts { at, lines, .. } => at.longest().saturating_add(
                Duration::from_secs(lines.saturating_mul(LONG_LINE) / at.slowest()),
            ),
            Self::Resolve { .. } => super::vault::DEFAULT_PATIENCE,
        }
    }
}

/// Asks a child. Waits no longer than the location's patience, whatever becomes of the child.
pub fn ask(order: &Order, stop: &dyn Fn() -> bool) -> Result<Reply, NoReply> {
    let broken = |why: String| NoReply::Broken(why);
    // It may carry credentials.
    let line = secret::to_line(order).map_err(|error| broken(error.to_string()))?;
    let program = std::env::current_exe().map_err(|error| broken(error.to_string()))?;
    let mut command = guard::ours(&program);
    command.arg(SUBCOMMAND);
    let deadline = order.patience().saturating_add(OVERHEAD);
    let ended = process::run(
        &mut command,
        Input::Held(&line),
        Stderr::Collect,
        deadline,
        stop,
    );
    match ended {
        Ok(ended) => match serde_json::from_slice(&ended.stdout) {
            Ok(Reply::Silent) => Err(NoReply::Silent),
            Ok(reply) => Ok(reply),
            Err(_) => Err(broken(ended.complaint())),
        },
        Err(ProcessError::Deadline { .. }) => Err(NoReply::Silent),
        Err(ProcessError::Stopped { .. }) => Err(NoReply::Stopped),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// The whole life of the child.
pub fn run_child() -> ExitCode {
    // Not the library's standard input, which keeps a copy of what it read.
    let order = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|input| secret::read_line(&mut File::from(input), ORDER_LIMIT))
        .ok()
        .and_then(|line| secret::from_line::<Order>(&line).ok());
    let Some(order) = order else {
        eprintln!("the order cannot be read");
        return ExitCode::from(2);
    };
    let reply = match &order {
        Order::Resolve { sources } => Reply::Resolved(
            sources
                .iter()
                .filter_map(|(dataset, path)| Some((dataset.clone(), resolve(path)?)))
                .collect(),
        ),
        Order::Inspect { at, .. }
        | Order::Mark { at, .. }
        | Order::CopyReceipts { at, .. }
        | Order::ReadReceipts { at, .. } => alone(at, || match &at.place {
            Place::Folder(folder) => match Folder::open(&folder.path) {
                Ok(root) => perform(&root, &order),
                Err(error) => Reply::Absent(error.to_string()),
            },
            Place::Bucket(site) => bucket::perform(site, &order),
        }),
    };
    let mut out = std::io::stdout().lock();
    let spoken = serde_json::to_string(&reply)
        .map_err(std::io::Error::other)
        .and_then(|text| writeln!(out, "{text}").and_then(|()| out.flush()));
    match spoken {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

fn told(done: Result<(), String>) -> Reply {
    match done {
        Ok(()) => Reply::Done,
        Err(why) => Reply::Failed(why),
    }
}

/// Does what an order says in a folder.
fn perform(root: &Folder, order: &Order) -> Reply {
    match order {
        Order::Inspect {
            expected,
            tries_write,
            receipts,
            known,
            ..
        } => {
            let expected = expected.as_ref().filter(|_| *tries_write);
            inspect(root, expected, receipts, known)
        }
        Order::Mark { mark, .. } => told(write_mark(root, mark)),
        Order::CopyReceipts {
            expected,
            receipts,
            from,
            tail,
            replaces,
            ..
        } => {
            if let Err(why) = may_copy(root, expected.as_ref(), receipts, replaces.as_deref()) {
                return Reply::Failed(why);
            }
            copy_receipts(root, receipts, from, tail.as_ref())
                .unwrap_or_else(|error| Reply::Failed(error.to_string()))
        }
        Order::ReadReceipts {
            receipts,
            into,
            lines,
            ..
        } => told(read_receipts(root, receipts, into, *lines).map_err(|error| error.to_string())),
        Order::Resolve { .. } => Reply::Failed("no location holds live data".to_owned()),
    }
}

/// Holds the location's lock file while it works.
fn alone(at: &At, work: impl FnOnce() -> Reply) -> Reply {
    let lock = match hold(&at.lock, at.place.patience()) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Reply::Silent,
        Err(why) => return Reply::Failed(why),
    };
    let reply = work();
    drop(lock);
    reply
}

/// The lock file, held; none when another process holds it for longer than the patience.
fn hold(lock: &Path, patience: Duration) -> Result<Option<File>, String> {
    let failed = |why: String| format!("lock file `{}` cannot be used: {why}", lock.display());
    let (Some(folder), Some(name)) = (lock.parent(), lock.file_name()) else {
        return Err(failed("it is no file".to_owned()));
    };
    let folder = Folder::open(folder).map_err(|error| failed(error.to_string()))?;
    let file = match folder.create(name, PRIVATE_FILE) {
        Ok(file) => file,
        Err(_) => {
            folder
                .open_file(name)
                .map_err(|error| failed(error.to_string()))?
                .0
        }
    };
    let until = Instant::now() + patience;
    // Its time says since when it is held: whoever holds it for longer than the patience hangs.
    let held_too_long = || {
        let since = file.metadata().and_then(|file| file.modified()).ok();
        since.and_then(|since| since.elapsed().ok()) > Some(patience)
    };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Others would only wait a little longer without it.
                drop(file.set_modified(SystemTime::now()));
                return Ok(Some(file));
            }
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until && !held_too_long() => {
                std::thread::sleep(TICK);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

/// Looks at a location. Nothing is written unless it is the expected one.
fn inspect(
    root: &Folder,
    expected: Option<&Mark>,
    receipts: &Path,
    known: &[(String, String)],
) -> Reply {
    let folder = match root.identity() {
        Ok(identity) => Some((identity.device, identity.inode)),
        Err(error) => return Reply::Absent(error.to_string()),
    };
    let (mark, mark_problem) = match read_mark(root) {
        Ok(mark) => (mark, None),
        Err(why) => (None, Some(why)),
    };
    let (checkpoint, checkpoint_problem) = match checkpoint(root, receipts) {
        Ok(note) => (note, None),
        Err(why) => (None, Some(why)),
    };
    let holds_known = known.iter().any(|(repository, snapshot)| {
        root.enter_path(&Path::new(repository).join("snapshots"))
            .and_then(|folder| folder.stat_of(OsStr::new(snapshot)))
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    });
    let is_expected = expected.is_some() && mark.as_ref() == expected;
    let unwritable = if is_expected {
        probe(root).err().map(|error| error.to_string())
    } else {
        None
    };
    Reply::Inspected(Box::new(Inspected {
        folder,
        in_file_system: in_file_system(root),
        mark,
        mark_problem,
        checkpoint,
        checkpoint_problem,
        holds_known,
        unwritable,
        capacity: root.capacity().ok(),
    }))
}

fn checkpoint(root: &Folder, receipts: &Path) -> Result<Option<String>, String> {
    let folder = match root.enter_path(receipts) {
        Ok(folder) => folder,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let note = receipts::read_note(&folder).map_err(|error| error.to_string())?;
    note.map(|note| String::from_utf8(note).map_err(|_| "it is not text".to_owned()))
        .transpose()
}

/// A file system that takes no write now would hang the next run.
fn probe(root: &Folder) -> Result<(), FolderError> {
    let name = OsStr::new(PROBE);
    match root.remove_file(name) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    root.write(name, &[b"seawall"], PRIVATE_FILE)?;
    root.remove_file(name)
}

/// Never replaces a mark.
fn write_mark(root: &Folder, mark: &Mark) -> Result<(), String> {
    let text = serde_json::to_vec(mark).map_err(|error| error.to_string())?;
    let name = OsStr::new(MARK_FILE);
    match root.stat_of(name) {
        Ok(_) => return Err(format!("`{MARK_FILE}` is there already")),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.to_string()),
    }
    // Not every network file system renames to a name that must be free; the lock file keeps others away.
    root.write(name, &[&text, b"\n"], PRIVATE_FILE)
        .map_err(|error| error.to_string())
}

/// Whether a location is the expected one, and its copy the one that was decided about.
fn may_copy(
    root: &Folder,
    expected: Option<&Mark>,
    receipts: &Path,
    replaces: Option<&str>,
) -> Result<(), String> {
    if expected.is_some() && read_mark(root)?.as_ref() != expected {
        return Err("the location is not the expected one any more".to_owned());
    }
    if checkpoint(root, receipts)?.as_deref() != replaces {
        return Err("the copy there was changed meanwhile".to_owned());
    }
    Ok(())
}

fn copy_receipts(
    root: &Folder,
    receipts: &Path,
    from: &Path,
    tail: Option<&Tail>,
) -> Result<Reply, FolderError> {
    let from = Folder::open(from)?;
    let note = from.read(OsStr::new("checkpoint"), receipts::CHECKPOINT_LIMIT)?;
    let (mut lines, _) = from.open_file(OsStr::new("receipts.jsonl"))?;
    let folder = root.make_path(receipts, PRIVATE_FOLDER)?;
    let Some(tail) = tail else {
        let fill = |file: &mut File| std::io::copy(&mut lines, file).map(drop);
        return receipts::put(&folder, fill, &note).map(Reply::Copied);
    };
    lines
        .seek(SeekFrom::Start(tail.skip))
        .map_err(|error| FolderError::of("reading", &from, "receipts.jsonl", error))?;
    let left = receipts::append(&folder, &tail.left, lines, &note)?;
    Ok(left.map_or(Reply::CopyChanged, Reply::Copied))
}

/// What is longer than so many lines can be, and those that no checkpoint covers yet, is left there: the caller misses it.
fn read_receipts(
    root: &Folder,
    receipts: &Path,
    into: &Path,
    lines: u64,
) -> Result<(), FolderError> {
    let most = lines
        .saturating_add(UNCOVERED)
        .saturating_mul(MAX_LINE_BYTES as u64 + 1);
    let folder = root.enter_path(receipts)?;
    let (lines, _) = folder.open_file(OsStr::new("receipts.jsonl"))?;
    let fill = |file: &mut File| std::io::copy(&mut lines.take(most), file).map(drop);
    let into = Folder::open(into)?;
    into.write_from(OsStr::new("receipts.jsonl"), PRIVATE_FILE, fill)?;
    Ok(())
}

/// Where live data are: their folder, or the folder that their file is in.
fn resolve(path: &Path) -> Option<InFileSystem> {
    if let Ok(folder) = Folder::open(path) {
        return in_file_system(&folder);
    }
    let folder = Folder::open(path.parent()?).ok()?;
    let mut found = in_file_system(&folder)?;
    found.path.push(path.file_name()?);
    Some(found)
}

/// The kernel names the mount of a held folder, and each mount with the part of its file system that it shows.
fn in_file_system(folder: &Folder) -> Option<InFileSystem> {
    let fd = folder.as_fd().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))?
        .trim();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&id))?;
    let [_, _, device, root, point, ..] = mount.as_slice() else {
        return None;
    };
    let path = std::fs::read_link(folder.held_path()).ok()?;
    let below = path.strip_prefix(unescaped(point)).ok()?;
    Some(InFileSystem {
        device: (*device).to_owned(),
        path: Path::new(&unescaped(root)).join(below),
    })
}

/// The kernel writes space, tab, line end and backslash as `\040` and so on.
fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            text.push(char::from(code));
            rest = after.get(3..).unwrap_or_default();
        } else {
            text.push('\\');
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_same_place_and_a_folder_below_is_contained() {
        let scratch = tempfile::tempdir().unwrap();
        let near = scratch.path().join("with space");
        std::fs::create_dir_all(near.join("below")).unwrap();
        std::fs::create_dir(scratch.path().join("with")).unwrap();
        std::os::unix::fs::symlink(&near, scratch.path().join("far")).unwrap();
        let at = |name: &str| resolve(&scratch.path().join(name)).unwrap();
        assert_eq!(at("with space"), at("far"));
        assert!(at("far").contains(&at("with space/below")));
        assert!(!at("with space/below").contains(&at("far")));
        assert!(!at("with").contains(&at("far")));
        assert!(at("far").contains(&at("with space/database.sqlite")));
    }

    #[test]
    fn a_mark_is_never_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Folder::open(scratch.path()).unwrap();
        let mark = |identity: &str| Mark {
            location_id: "near".parse().unwrap(),
            identity: identity.to_owned(),
        };
        write_mark(&root, &mark("one")).unwrap();
        assert!(write_mark(&root, &mark("two")).is_err());
        assert_eq!(read_mark(&root).unwrap(), Some(mark("one")));
    }

    #[test]
    fn whoever_hangs_keeps_others_from_waiting() {
        let scratch = tempfile::tempdir().unwrap();
        let lock = scratch.path().join("near");
        let held = hold(&lock, Duration::ZERO).unwrap();
        assert!(held.is_some());
        assert!(hold(&lock, Duration::from_millis(50)).unwrap().is_none());
        drop(held);
        assert!(hold(&lock, Duration::ZERO).unwrap().is_some());
    }
}
