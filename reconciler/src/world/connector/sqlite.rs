//! The `sqlite` connector: a page-exact copy, taken while a read transaction of SQLite keeps writers from the pages, then an
//! integrity check of the copy. Consistency point: the start of the read transaction.
//!
//! Never writes to the live database. SQLite opens it by its path as the user that reads the data and only holds the lock; what
//! is copied are the files that were opened below a held folder. The interesting function is [`copy_under_lock`].

mod session;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::Stat;
use sqlx::{Connection, Row};

use self::session::{Integrity, LOCK_WAIT, blocking, failure, integrity, open};
use super::manifest::hash_open;
use super::selection::Excludes;
use super::target::{Place, is_taken};
use super::tree::Writer;
use super::{
    After, Binding, Bounds, Check, ConnectorError, Kind, Material, Observation, Prepared,
    RestoreSummary, SourceView, SqliteBinding, live, tree,
};
use crate::domain::{FileSum, Manifest};
use crate::world::folder::{Folder, FolderError, PRIVATE_FILE};
use crate::world::owner::{Owner, working_as};

/// The live database: its folder and file, held, and the user that SQLite works as.
struct Database {
    folder: Folder,
    name: OsString,
    file: File,
    reader: Option<Owner>,
}

impl Database {
    fn open(path: &Path, owner: Option<Owner>) -> Result<Self, ConnectorError> {
        let open = || -> Result<_, FolderError> {
            let Some((folder, name)) = live::hold(path)? else {
                return Ok(None);
            };
            let (file, stat) = folder.open_file(&name)?;
            let is_firm = folder.is_firm()?;
            Ok(Some((folder, name, file, stat, is_firm)))
        };
        let opened = working_as(owner.as_ref(), open)
            .map_err(|error| ConnectorError::source(path, error))?
            .map_err(|error| match error {
                FolderError::WrongKind { found, .. } if found != "a link" => {
                    super::binding::invalid(format!("`{}` is not a database file", path.display()))
                }
                error => ConnectorError::live(path, error),
            })?;
        let Some((folder, name, file, stat, is_firm)) = opened else {
            return Err(super::binding::invalid(format!(
                "`{}` has no file name",
                path.display()
            )));
        };
        // SQLite takes paths. Where others can exchange names on the way, it works as the file's owner, who gains nothing.
        let reader = match owner {
            Some(owner) => Some(owner),
            None if is_firm => None,
            None => Owner::of_file(stat.st_uid, stat.st_gid),
        };
        Ok(Self {
            folder,
            name,
            file,
            reader,
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.shown().join(&self.name)
    }
}

pub(super) fn prepare(
    binding: &SqliteBinding,
    spool: &Path,
    bounds: &Bounds,
) -> Result<Prepared, ConnectorError> {
    let owner = Binding::Sqlite(binding.clone()).owner()?;
    let database = Database::open(&binding.path, owner)?;
    let empty = || ConnectorError::SourceEmpty {
        path: binding.path.clone(),
    };
    let stat = tree::stat_open(&database.file, &binding.path)?;
    if stat.st_size == 0 && !binding.allow_empty {
        return Err(empty());
    }
    let source = tree::make_spool(spool)?;
    let copy = source.join(&database.name);
    let consistency_point = Timestamp::now();
    let objects = copy_under_lock(&database, &copy, bounds)?;
    if objects == 0 && !binding.allow_empty {
        return Err(empty());
    }
    settle(&copy, &binding.path, bounds)?;
    let found = check(&copy, None, bounds)?;
    if let Some(first) = found.messages.first() {
        return Err(ConnectorError::SourceDamaged {
            path: binding.path.clone(),
            detail: first.clone(),
        });
    }
    let (file, _) = open_plain(&copy)?;
    tree::carry(&database.file, &file, &stat, Writer { owner: None }, &copy)?;
    let sum = hash_open(file, &copy, bounds)?;
    let expected_bytes = sum.bytes;
    let mut manifest = Manifest::default();
    manifest.insert(Path::new(&database.name), sum);
    let mut notes = vec!["integrity check of the copy: ok".to_owned()];
    notes.extend(found.unchecked);
    Ok(Prepared {
        source,
        identity: None,
        run_as: None,
        stable: false,
        consistency_point,
        expected_bytes,
        expected_items: 1,
        manifest: Some(manifest),
        excludes: Excludes::none(),
        problems: Vec::new(),
        doubts: Vec::new(),
        notes,
        after: After::Spool,
    })
}

/// Copies the database's file and its write-ahead log while a read transaction is open. In rollback mode nobody writes to the
/// file meanwhile. In write-ahead mode a checkpoint may, but only what the log holds too, and the log is not begun anew: the
/// copy of both, file first, is a state that was committed. Returns the number of tables, indexes, views and triggers.
fn copy_under_lock(
    database: &Database,
    copy: &Path,
    bounds: &Bounds,
) -> Result<i64, ConnectorError> {
    let live = database.path();
    let wait = LOCK_WAIT.min(bounds.left());
    // Made before the thread works as the reader, who cannot enter the spool.
    let target = tree::create_new(copy)?;
    let log_target = tree::create_new(&with_suffix(copy, "-wal"))?;
    let taken = blocking(database.reader.as_ref(), async {
        let fail = |error| failure(&live, copy, wait, bounds, error);
        let mut connection = open(&live, wait, bounds, &[]).await.map_err(fail)?;
        sqlx::query("BEGIN")
            .execute(&mut connection)
            .await
            .map_err(fail)?;
        let objects: i64 = sqlx::query("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(fail)?;
        let stat = tree::stat_open(&database.file, &live)?;
        tree::copy_content(&database.file, &target, &stat, copy, bounds)?;
        match database.folder.open_file(&suffixed(&database.name, "-wal")) {
            Ok((log, stat)) => {
                tree::copy_content(&log, &log_target, &stat, copy, bounds)?;
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(ConnectorError::live(&live, error)),
        }
        // The database's file stays open: closing any descriptor of it would end SQLite's locks.
        let _ = connection.close().await;
        Ok(objects)
    });
    drop(log_target);
    taken
}

/// Makes one file of the copy and its log.
fn settle(copy: &Path, live: &Path, bounds: &Bounds) -> Result<(), ConnectorError> {
    let log = with_suffix(copy, "-wal");
    let failed = |error| ConnectorError::io("write", copy, error);
    let log_bytes = std::fs::metadata(&log).map_err(failed)?.len();
    let most = std::fs::metadata(copy).map_err(failed)?.len() + log_bytes;
    if log_bytes == 0 {
        std::fs::remove_file(&log).map_err(failed)?;
    }
    let wait = LOCK_WAIT.min(bounds.left());
    blocking(None, async {
        let fail = |error| failure(live, copy, wait, bounds, error);
        let mut connection = session::open_to_write(copy, wait, bounds)
            .await
            .map_err(fail)?;
        sqlx::query("PRAGMA journal_mode = DELETE")
            .execute(&mut connection)
            .await
            .map_err(fail)?;
        connection.close().await.map_err(fail)
    })?;
    // A log may say any size; more than both files held is not what was copied.
    let bytes = std::fs::metadata(copy).map_err(failed)?.len();
    if bytes <= most {
        return Ok(());
    }
    Err(ConnectorError::SourceDamaged {
        path: live.to_owned(),
        detail: format!("its write-ahead log makes {bytes} bytes of {most}"),
    })
}

fn check(
    path: &Path,
    reader: Option<&Owner>,
    bounds: &Bounds,
) -> Result<Integrity, ConnectorError> {
    blocking(reader, integrity(path, bounds))
}

/// Puts the database beside the original, as a file that does not exist yet.
pub(super) fn restore(
    binding: &SqliteBinding,
    material: Material<'_>,
    target: &Path,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let owner = Binding::Sqlite(binding.clone()).owner()?;
    let writer = Writer {
        owner: owner.as_ref(),
    };
    let (folder, name) = Place::for_file(target, Some(&binding.path))?;
    for taken in companions(&name) {
        if is_taken(&folder, &taken) {
            return Err(ConnectorError::TargetNotEmpty {
                target: folder.shown().join(taken).display().to_string(),
            });
        }
    }
    let database = only_file(material)?;
    let (checks, notes) = hold_against(&database, material, target, bounds)?;
    let mut staging = OsString::from(".");
    staging.push(&name);
    staging.push(".seawall-restore");
    let held = writer.at_target("create", target, || {
        folder.make_private(&staging, writer.uid())
    })?;
    let filled = fill(&database, &held, target, writer, bounds).and_then(|bytes| {
        writer.at_target("move", target, || {
            held.rename_new(OsStr::new(CONTENT), &folder, &name)?;
            folder.sync()
        })?;
        Ok(bytes)
    });
    let cleared = writer.at_target("clear", target, || {
        let is_ours = folder.enter(&staging)?.identity()? == held.identity()?;
        if is_ours {
            folder.remove_tree(&staging)?;
        }
        Ok(())
    });
    let bytes = filled?;
    cleared?;
    Ok(RestoreSummary {
        target: target.display().to_string(),
        items: 1,
        bytes,
        checks,
        kept: None,
        notes,
    })
}

/// The name of the database while it is written.
const CONTENT: &str = "content";

/// What the vault restored is held against the backup where only this process can reach it: SQLite takes paths.
fn hold_against(
    database: &Path,
    material: Material<'_>,
    target: &Path,
    bounds: &Bounds,
) -> Result<(Vec<Check>, Vec<String>), ConnectorError> {
    let failed = |detail: String| ConnectorError::ValidationFailed {
        target: target.display().to_string(),
        detail,
    };
    let mut checks = Vec::new();
    let wanted = database
        .file_name()
        .and_then(|name| material.manifest?.get(Path::new(name)));
    if let Some(wanted) = wanted {
        let (file, _) = open_plain(database)?;
        if hash_open(file, database, bounds)? != *wanted {
            return Err(failed("its checksum is not that of the backup".to_owned()));
        }
        checks.push(Check::passed(
            "checksums",
            format!("sha256 {} as in the backup", wanted.sha256),
        ));
    }
    let found = check(database, None, bounds)?;
    if let Some(first) = found.messages.first() {
        return Err(failed(first.clone()));
    }
    checks.push(Check::passed("integrity", "integrity check: ok".to_owned()));
    Ok((checks, found.unchecked))
}

fn fill(
    database: &Path,
    held: &Folder,
    target: &Path,
    writer: Writer<'_>,
    bounds: &Bounds,
) -> Result<u64, ConnectorError> {
    let (source, stat) = open_plain(database)?;
    let written = writer.at_target("create", target, || {
        held.create(OsStr::new(CONTENT), PRIVATE_FILE)
    })?;
    let bytes = tree::copy_content(&source, &written, &stat, target, bounds)?;
    let before = hash_again(&source, database, bounds)?;
    if hash_again(&written, target, bounds)? != before {
        return Err(ConnectorError::ValidationFailed {
            target: target.display().to_string(),
            detail: "what was written is not what the vault restored".to_owned(),
        });
    }
    tree::carry(&source, &written, &stat, writer, target)?;
    written
        .sync_all()
        .map_err(|error| ConnectorError::io("make durable", target, error))?;
    Ok(bytes)
}

fn hash_again(file: &File, path: &Path, bounds: &Bounds) -> Result<FileSum, ConnectorError> {
    use std::io::{Seek as _, SeekFrom};
    let failed = |error| ConnectorError::io("read", path, error);
    let mut file = file.try_clone().map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    hash_open(file, path, bounds)
}

/// The integrity check of the file, or of the only file in a restored folder.
pub(super) fn validate(
    binding: &SqliteBinding,
    path: &Path,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let database = if path.is_dir() {
        only_file(Material {
            folder: path,
            manifest: None,
        })?
    } else {
        path.to_owned()
    };
    let owner = Binding::Sqlite(binding.clone()).owner()?;
    let database = Database::open(&database, owner)?;
    let found = check(&database.path(), database.reader.as_ref(), bounds)?;
    Ok(vec![match found.messages.first() {
        None => Check::passed(
            "integrity",
            std::iter::once("integrity check: ok".to_owned())
                .chain(found.unchecked)
                .collect::<Vec<_>>()
                .join("; "),
        ),
        Some(first) => Check::failed("integrity", first.clone()),
    }])
}

/// Bytes and newest change of the database and its write-ahead log.
pub(super) fn observe(binding: &SqliteBinding, bounds: &Bounds) -> SourceView {
    let mut view = live::observe(&binding.path, bounds);
    let log = live::hold(&binding.path)
        .ok()
        .flatten()
        .and_then(|(folder, name)| folder.stat_of(&suffixed(&name, "-wal")).ok());
    if let Some(stat) = log {
        if let Observation::Known { value, .. } = &mut view.bytes {
            *value += u64::try_from(stat.st_size).unwrap_or(0);
        }
        if let Observation::Known { value, .. } = &mut view.newest_change {
            *value = (*value).max(live::modified(&stat));
        }
    }
    view
}

/// A file of ours: in the spool, or in what the vault restored.
fn open_plain(path: &Path) -> Result<(File, Stat), ConnectorError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        let error = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        return Err(ConnectorError::io("read", path, error));
    };
    Folder::open(parent)
        .and_then(|folder| folder.open_file(name))
        .map_err(|error| ConnectorError::written("read", path, error))
}

fn only_file(material: Material<'_>) -> Result<PathBuf, ConnectorError> {
    let invalid = |detail: String| ConnectorError::MaterialInvalid {
        connector: Kind::Sqlite,
        folder: material.folder.to_owned(),
        detail,
    };
    let entries = std::fs::read_dir(material.folder).map_err(|error| invalid(error.to_string()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file),
        (_, more) => Err(invalid(format!(
            "exactly one database file is expected, not {more} next to it or none"
        ))),
    }
}

/// A database is its file and the journals beside it; a leftover journal would be played into a fresh file.
fn companions(name: &OsStr) -> [OsString; 4] {
    [
        name.to_owned(),
        suffixed(name, "-wal"),
        suffixed(name, "-shm"),
        suffixed(name, "-journal"),
    ]
}

fn suffixed(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(suffixed(path.as_os_str(), suffix))
}
