//! Owns access to the objects of one repository in a location's folder: list, read, durable write. Never removes an object,
//! except lock files and what killed writes left, and never reads an object whole that is larger than its kind can be. The
//! interesting type is [`Objects`].
//!
//! Each call opens the location's folder, checks that it is the expected one, and works below the held folder. No link at a
//! location leads anywhere, and no call waits for a hung mount longer than the location's patience.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::FileType;

use super::patience::{self, NoResult, Pulse};
use super::store::{
    Kind, LocationFolder, MARK_FILE, MARK_LIMIT, Mark, Object, Store, StoreError, folder,
    mark_from, most_bytes, most_names, unlike,
};
use crate::world::folder::{Entry, Folder, FolderError, PRIVATE_FILE, PRIVATE_FOLDER};

/// A write that is under way touches its file at least once per patience, which is shorter. What is older was abandoned.
const ABANDONED: Duration = Duration::from_mins(10);

/// How much is read or written between two signs of life: even a slow line moves it within the patience.
const STRIDE: usize = 4 << 20;

/// How much may wait in the system's memory for the disk: the final synchronisation gives no signs of life.
const UNSYNCED: usize = 32 << 20;

/// [`Store`] over folders.
#[derive(Debug, Clone)]
pub struct Objects {
    site: LocationFolder,
    repository: String,
}

impl Objects {
    /// The repository `<environment>/<plan_id>/<kid>` at a place. Nothing is opened or created yet.
    pub fn new(site: LocationFolder, repository: String) -> Self {
        Self { site, repository }
    }

    /// Runs one call where it cannot hold us.
    fn call<T: Send + 'static>(
        &self,
        object: &str,
        work: impl FnOnce(&Opened, &Pulse) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let site = &self.site;
        let (ours, named) = (self.clone(), object.to_owned());
        let answer = patience::call(&site.path, site.patience, move |pulse| {
            work(&ours.open(&named)?, pulse)
        });
        match answer {
            Ok(result) => result,
            Err(NoResult::Silent(time)) => Err(StoreError::Silent {
                place: self.place(),
                seconds: time.as_secs(),
            }),
            Err(NoResult::Broken) => Err(StoreError::Failed {
                place: self.place(),
                object: object.to_owned(),
                why: "the call could not be run to its end".to_owned(),
            }),
        }
    }

    /// Opened for each call, so that a location which comes, goes or is exchanged is noticed: the folder itself is never
    /// created here.
    fn open(&self, object: &str) -> Result<Opened, StoreError> {
        let site = &self.site;
        let root = Folder::open(&site.path).map_err(|error| StoreError::Unreachable {
            place: self.place(),
            why: error.to_string(),
        })?;
        if let Some(expected) = &site.mark {
            require_mark(&root, expected).map_err(|why| StoreError::NotExpected {
                place: self.place(),
                why,
            })?;
        }
        Ok(Opened {
            root,
            repository: self.repository.clone(),
            place: self.place(),
            object: object.to_owned(),
        })
    }
}

/// The mark in a location's folder, if it has one.
pub fn read_mark(root: &Folder) -> Result<Option<Mark>, String> {
    let content = match root.read(OsStr::new(MARK_FILE), MARK_LIMIT) {
        Ok(content) => content,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    mark_from(&content).map(Some)
}

fn require_mark(root: &Folder, expected: &Mark) -> Result<(), String> {
    match unlike(read_mark(root)?.as_ref(), expected) {
        None => Ok(()),
        Some(why) => Err(why),
    }
}

/// A location's folder, held for one call.
struct Opened {
    root: Folder,
    repository: String,
    place: String,
    /// What the call is about, for messages.
    object: String,
}

impl Opened {
    fn explain(&self, error: FolderError) -> StoreError {
        let (place, object) = (self.place.clone(), self.object.clone());
        match error {
            error if error.is_not_found() => StoreError::NotFound { place, object },
            error if error.is_full() => StoreError::Full { place },
            FolderError::WrongKind { found, .. } => StoreError::Unfit {
                place,
                object,
                why: format!("is {found}"),
            },
            FolderError::TooLarge { size, limit, .. } => StoreError::Unfit {
                place,
                object,
                why: format!("has {size} bytes, and no such object has more than {limit}"),
            },
            FolderError::TooMany { limit, .. } => StoreError::Unfit {
                place,
                object,
                why: format!("has more than {limit} names"),
            },
            FolderError::Io { .. }
            | FolderError::Exchanged { .. }
            | FolderError::UntrustedLink { .. } => StoreError::Failed {
                place,
                object,
                why: error.to_string(),
            },
        }
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        let (place, object) = (self.place.clone(), self.object.clone());
        if matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        ) {
            return StoreError::Full { place };
        }
        StoreError::Failed {
            place,
            object,
            why: error.to_string(),
        }
    }

    /// The folder below the repository; none when it or the repository does not exist.
    fn below(&self, path: &str) -> Result<Option<Folder>, StoreError> {
        let path = Path::new(&self.repository).join(path);
        match self.root.enter_path(&path) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// The folder that an object is in, and its name there.
    fn folder_of(&self, object: &Object) -> Result<(Folder, OsString), StoreError> {
        let (folder, name) = parent_and_name(object);
        match self.below(&folder)? {
            Some(folder) => Ok((folder, name)),
            None => Err(StoreError::NotFound {
                place: self.place.clone(),
                object: object.path(),
            }),
        }
    }

    /// Makes each missing folder on the way and lets its name survive a power cut.
    fn make(&self, below: &Path) -> Result<Folder, FolderError> {
        let mut at = self.root.try_clone()?;
        for name in &Path::new(&self.repository).join(below) {
            at = match at.enter(name) {
                Ok(folder) => folder,
                Err(error) if error.is_not_found() => {
                    let made = at.make(name, PRIVATE_FOLDER)?;
                    at.sync()?;
                    made
                }
                Err(error) => return Err(error),
            };
        }
        Ok(at)
    }

    fn list(&self, kind: Kind, pulse: &Pulse) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut found = BTreeMap::new();
        let Some(at) = self.below(match kind {
            Kind::Config => "",
            Kind::Pack | Kind::Index | Kind::Key | Kind::Snapshot | Kind::Lock => folder(kind),
        })?
        else {
            return Ok(found);
        };
        match kind {
            Kind::Config => match at.stat_of(OsStr::new(folder(kind))) {
                Ok(stat) => {
                    let entry = Entry {
                        name: OsString::new(),
                        stat,
                    };
                    let size = self.size(&entry, kind, String::new())?;
                    found.insert(String::new(), size);
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(self.explain(error)),
            },
            Kind::Pack => {
                for group in at
                    .list(most_names(kind))
                    .map_err(|error| self.explain(error))?
                {
                    pulse.beat();
                    let name = group.name.to_string_lossy().into_owned();
                    if name.len() != 2 || !is_hex(&name) || group.kind() != FileType::Directory {
                        continue;
                    }
                    let below = match at.enter(&group.name) {
                        Ok(below) => below,
                        Err(error) if error.is_not_found() => continue,
                        Err(error) => return Err(self.explain(error)),
                    };
                    self.names(&below, kind, &name, &mut found)?;
                }
            }
            Kind::Index | Kind::Key | Kind::Snapshot | Kind::Lock => {
                self.names(&at, kind, "", &mut found)?;
            }
        }
        Ok(found)
    }

    /// Adds the objects in one folder, whose names begin with `prefix`.
    fn names(
        &self,
        at: &Folder,
        kind: Kind,
        prefix: &str,
        found: &mut BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        for entry in at
            .list(most_names(kind))
            .map_err(|error| self.explain(error))?
        {
            let Some(name) = entry.name.to_str().filter(|name| is_object_name(name)) else {
                continue;
            };
            if !name.starts_with(prefix) {
                continue;
            }
            let size = self.size(&entry, kind, name.to_owned())?;
            found.insert(name.to_owned(), size);
        }
        Ok(())
    }

    /// The size of an entry that can be an object.
    fn size(&self, entry: &Entry, kind: Kind, name: String) -> Result<u64, StoreError> {
        let unfit = |why: String| StoreError::Unfit {
            place: self.place.clone(),
            object: Object { kind, name }.path(),
            why,
        };
        if entry.kind() != FileType::RegularFile {
            let found = crate::world::folder::kind_name(entry.kind());
            return Err(unfit(format!("is {found}")));
        }
        let (size, most) = (entry.size(), most_bytes(kind));
        if size > most {
            return Err(unfit(format!(
                "has {size} bytes, and no such object has more than {most}"
            )));
        }
        Ok(size)
    }

    fn read(&self, object: &Object, pulse: &Pulse) -> Result<Bytes, StoreError> {
        let (folder, name) = self.folder_of(object)?;
        let (mut file, stat) = folder
            .open_file(&name)
            .map_err(|error| self.explain(error))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let most = most_bytes(object.kind);
        let mut content = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or(0));
        loop {
            if size > most || content.len() as u64 > most {
                let path = object.path();
                let size = size.max(content.len() as u64);
                let limit = most;
                return Err(self.explain(FolderError::TooLarge { path, size, limit }));
            }
            let read = (&mut file)
                .take(STRIDE as u64)
                .read_to_end(&mut content)
                .map_err(|error| self.failed(&error))?;
            pulse.beat();
            if read == 0 {
                return Ok(content.into());
            }
        }
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (folder, name) = self.folder_of(object)?;
        let (file, stat) = folder
            .open_file(&name)
            .map_err(|error| self.explain(error))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let length = range.end.saturating_sub(range.start);
        // An index may name what is not there; nothing is set aside for it in memory.
        if range.end > size || length > most_bytes(object.kind) {
            return Err(StoreError::Damaged {
                place: self.place.clone(),
                object: object.path(),
            });
        }
        let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut content, range.start)
            .map_err(|error| self.failed(&error))?;
        Ok(content.into())
    }

    fn write(&self, object: &Object, content: &[Bytes], pulse: &Pulse) -> Result<(), StoreError> {
        let (below, name) = parent_and_name(object);
        let folder = self
            .make(Path::new(&below))
            .map_err(|error| self.explain(error))?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| self.failed(&std::io::Error::other(error)))?;
        let mut beside = name.clone();
        beside.push(format!("#{}", u64::from_le_bytes(random)));
        let mut file = folder
            .create(&beside, PRIVATE_FILE)
            .map_err(|error| self.explain(error))?;
        let written = fill(&mut file, content, pulse)
            .map_err(|error| self.failed(&error))
            .and_then(|()| {
                folder
                    .rename(&beside, &folder, &name)
                    .and_then(|()| folder.sync())
                    .map_err(|error| self.explain(error))
            });
        if written.is_err() {
            // What was begun is of no use. If this fails too, the next run removes it.
            drop(folder.remove_file(&beside));
        }
        written
    }

    /// Removes abandoned writes in one folder.
    fn clear(&self, at: &Folder, limit: usize) -> Result<u64, StoreError> {
        let mut removed = 0;
        for entry in at.list(limit).map_err(|error| self.explain(error))? {
            if is_abandoned(&entry) {
                at.remove_file(&entry.name)
                    .map_err(|error| self.explain(error))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Writes with signs of life, and makes it durable.
fn fill(file: &mut File, content: &[Bytes], pulse: &Pulse) -> std::io::Result<()> {
    let mut unsynced = 0;
    for piece in content.iter().flat_map(|part| part.chunks(STRIDE)) {
        file.write_all(piece)?;
        pulse.beat();
        unsynced += piece.len();
        if unsynced >= UNSYNCED {
            file.sync_data()?;
            pulse.beat();
            unsynced = 0;
        }
    }
    file.sync_all()
}

/// The folder below the repository that an object is in, and its name there.
fn parent_and_name(object: &Object) -> (String, OsString) {
    let path = object.path();
    match path.rsplit_once('/') {
        Some((folder, name)) => (folder.to_owned(), name.into()),
        None => (String::new(), path.into()),
    }
}

impl Store for Objects {
    fn place(&self) -> String {
        self.site.path.join(&self.repository).display().to_string()
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        self.call(folder(kind), move |at, pulse| at.list(kind, pulse))
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        let wanted = object.clone();
        self.call(&object.path(), move |at, pulse| at.read(&wanted, pulse))
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        let wanted = object.clone();
        self.call(&object.path(), move |at, _| at.read_range(&wanted, range))
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        let (wanted, content) = (object.clone(), content.to_vec());
        self.call(&object.path(), move |at, pulse| {
            at.write(&wanted, &content, pulse)
        })
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let object = object.clone();
        self.call(&object.path(), move |at, _| {
            let (folder, name) = at.folder_of(&object)?;
            folder.remove_file(&name).map_err(|error| {
                if error.is_not_found() {
                    return StoreError::NotFound {
                        place: at.place.clone(),
                        object: object.path(),
                    };
                }
                at.explain(error)
            })?;
            if object.kind == Kind::Lock {
                return Ok(());
            }
            // A snapshot that came back after its packs were removed would be a point with holes.
            folder.sync().map_err(|error| at.explain(error))
        })
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.call("what killed writes left", |at, pulse| {
            let mut removed = 0;
            for (kind, path) in [
                (Kind::Config, ""),
                (Kind::Key, folder(Kind::Key)),
                (Kind::Index, folder(Kind::Index)),
                (Kind::Snapshot, folder(Kind::Snapshot)),
                (Kind::Lock, folder(Kind::Lock)),
            ] {
                if let Some(folder) = at.below(path)? {
                    removed += at.clear(&folder, most_names(kind))?;
                    pulse.beat();
                }
            }
            let Some(data) = at.below(folder(Kind::Pack))? else {
                return Ok(removed);
            };
            let groups = data
                .list(most_names(Kind::Pack))
                .map_err(|error| at.explain(error))?;
            for group in groups {
                if group.kind() != FileType::Directory {
                    continue;
                }
                let below = data.enter(&group.name).map_err(|error| at.explain(error))?;
                removed += at.clear(&below, most_names(Kind::Pack))?;
                pulse.beat();
            }
            Ok(removed)
        })
    }
}

/// `<name>#<number>` is where a write begins before it is renamed.
fn is_abandoned(entry: &Entry) -> bool {
    let name = entry.name.to_string_lossy();
    let (object, number) = name.split_once('#').unwrap_or((&name, ""));
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let old = || {
        let since = u64::try_from(entry.stat.st_mtime).ok()?;
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))?;
        written.elapsed().ok()
    };
    entry.kind() == FileType::RegularFile
        && numbered
        && (object == folder(Kind::Config) || is_object_name(object))
        && old().is_some_and(|age| age > ABANDONED)
}

/// Names other than 64 hex digits are left-overs of other programs; restic ignores them too.
pub(super) fn is_object_name(name: &str) -> bool {
    name.len() == 64 && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
