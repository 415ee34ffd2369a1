//! The `jsonl` connector: append-only files of JSON lines, copied up to their last whole line. Consistency point: that offset.
//!
//! What an earlier run backed up must still be there, byte for byte: a shrunk or rewritten prefix is an alarm. The file is stored
//! as it is now all the same, in a point that is in doubt, while the points before keep what it was; each run raises the alarm
//! again until a person raises `append_only_epoch`. Where files are rotated, [`rotation`] finds them again under other names.
//! Never waits for a writer. The interesting function is [`copy_whole_lines`].

mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::digest::Digest;
use jiff::Timestamp;
use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::manifest::{CHUNK_BYTES, key};
use super::selection::Excludes;
use super::walk::{Found, Walk};
use super::{After, Binding, Bounds, Check, ConnectorError, JsonlBinding, Prepared, live, tree};
use crate::domain::{FileSum, Manifest};
use crate::world::folder::{self, Folder, FolderError};
use crate::world::owner::{Owner, working_as};

/// A line beyond this is no record, and reading it whole could exhaust the memory.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// What a later run must find again, as it is stored between runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: u32,
    epoch: u32,
    files: BTreeMap<String, Known>,
}

/// Format 1 had no inodes.
const STATE_FORMATS: std::ops::RangeInclusive<u32> = 1..=2;
const STATE_FORMAT: u32 = 2;

/// What was backed up of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    bytes: u64,
    sha256: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileId>,
}

/// Which file it was, whatever its name. Numbers of inodes are given again; the time at which it was made tells them apart
/// where the file system keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileId {
    inode: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<Timestamp>,
}

impl FileId {
    fn is(self, other: Self) -> bool {
        let same_birth = match (self.born, other.born) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.inode == other.inode && same_birth
    }
}

/// The live files with the prefix of each that was copied.
#[derive(Debug)]
pub(crate) struct Copied {
    files: Vec<(PathBuf, Known)>,
    /// What was backed up before and is not there any more, by name: later runs ask for it again.
    lost: BTreeMap<String, Known>,
}

/// What was backed up before and is gone or another content by now.
#[derive(Debug, Default)]
struct Lost {
    files: BTreeMap<String, Known>,
    alarms: Vec<ConnectorError>,
}

impl Lost {
    fn raise(&mut self, name: &str, known: &Known, alarm: ConnectorError) {
        self.files.insert(name.to_owned(), known.clone());
        self.alarms.push(alarm);
    }
}

/// A regular file of the source, as it was listed.
#[derive(Debug, Clone)]
struct Listed {
    relative: PathBuf,
    id: FileId,
    size: u64,
    /// Whether the binding's globs want it.
    is_wanted: bool,
}

/// Where the live files are, held.
struct Base {
    folder: Arc<Folder>,
    /// The one file, when the binding names a file.
    only: Option<OsString>,
    owner: Option<Arc<Owner>>,
}

impl Base {
    fn open(path: &Path, owner: Option<Owner>) -> Result<Self, ConnectorError> {
        let open = || -> Result<(Folder, Option<OsString>), FolderError> {
            let Some((parent, name)) = live::hold(path)? else {
                return Ok((Folder::open(path)?, None));
            };
            match parent.enter(&name) {
                Ok(folder) => Ok((folder, None)),
                Err(FolderError::WrongKind {
                    found: "a file", ..
                }) => Ok((parent, Some(name))),
                Err(error) => Err(error),
            }
        };
        let (folder, only) = working_as(owner.as_ref(), open)
            .map_err(|error| ConnectorError::source(path, error))?
            .map_err(|error| ConnectorError::live(path, error))?;
        Ok(Self {
            folder: Arc::new(folder),
            only,
            owner: owner.map(Arc::new),
        })
    }

    /// For messages.
    fn path(&self, relative: &Path) -> PathBuf {
        self.folder.shown().join(relative)
    }

    fn open_file(&self, relative: &Path) -> Result<(File, Stat), ConnectorError> {
        let parent = relative.parent().unwrap_or_else(|| Path::new(""));
        let name = relative.file_name().unwrap_or_default();
        let path = self.path(relative);
        working_as(self.owner.as_deref(), || {
            self.folder.enter_path(parent)?.open_file(name)
        })
        .map_err(|error| ConnectorError::source(&path, error))?
        .map_err(|error| ConnectorError::live(&path, error))
    }
}

/// Copies every file up to its last line feed into the spool, and holds each against the state of the last run.
pub(super) fn prepare(
    binding: &JsonlBinding,
    previous: Option<&Value>,
    spool: &Path,
    bounds: &Bounds,
) -> Result<Prepared, ConnectorError> {
    let consistency_point = Timestamp::now();
    let mut notes = Vec::new();
    let before = read_state(binding, previous, &mut notes)?;
    let owner = Binding::Jsonl(binding.clone()).owner()?;
    let base = Base::open(&binding.path, owner)?;
    let found = find(binding, &base, bounds)?;
    if before.is_empty() && !found.iter().any(|listed| listed.is_wanted) {
        return Err(ConnectorError::SourceEmpty {
            path: binding.path.clone(),
        });
    }
    let mut lost = Lost::default();
    let chosen = if binding.rotates {
        rotation::follow(&base, &before, &found, (&mut notes, &mut lost), bounds)?
    } else {
        hold_names(&base, &before, &found, &mut lost)
    };
    let source = tree::make_spool(spool)?;
    let mut manifest = Manifest::default();
    let mut files = Vec::new();
    for (listed, known) in chosen {
        let relative = listed.relative;
        let target = source.join(&relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| ConnectorError::io("create", parent, error))?;
        }
        let copied = copy_whole_lines(&base, &relative, &target, known.as_ref(), bounds);
        let copied = match (copied, &known) {
            (Err(alarm @ ConnectorError::PrefixRewritten { .. }), Some(known)) => {
                lost.raise(&key(&relative), known, alarm);
                discard(&target)?;
                copy_whole_lines(&base, &relative, &target, None, bounds)
            }
            (copied, _) => copied,
        };
        let copy = match copied {
            Ok(copy) => copy,
            // It was rotated away or deleted since it was listed; when it was backed up before, the next run judges.
            Err(ConnectorError::SourceMissing { .. }) if known.is_none() || binding.rotates => {
                notes.push(format!("`{}` went away during the run", key(&relative)));
                continue;
            }
            Err(error) => return Err(error),
        };
        if copy.unfinished > 0 {
            notes.push(format!(
                "`{}` ends in {} bytes of an unfinished line, left for the next run",
                key(&relative),
                copy.unfinished
            ));
        }
        manifest.insert(&relative, copy.sum.clone());
        let known = Known {
            bytes: copy.sum.bytes,
            sha256: copy.sum.sha256,
            file: Some(copy.id),
        };
        files.push((relative, known));
    }
    Ok(Prepared {
        source,
        identity: None,
        run_as: None,
        stable: false,
        consistency_point,
        expected_bytes: manifest.bytes(),
        expected_items: manifest.files().len() as u64,
        manifest: Some(manifest),
        excludes: Excludes::none(),
        problems: Vec::new(),
        doubts: lost.alarms,
        notes,
        after: After::Prefixes {
            copied: Copied {
                files,
                lost: lost.files,
            },
        },
    })
}

/// Reads every copied prefix again: it must not have been rewritten while the vault was reading. Returns the state to store.
pub(super) fn finish(
    binding: &Binding,
    copied: &Copied,
    notes: &mut Vec<String>,
    bounds: &Bounds,
) -> Result<Value, ConnectorError> {
    let owner = binding.owner()?;
    let Binding::Jsonl(binding) = binding else {
        return Err(super::binding::invalid(
            "it changed its connector during the run".to_owned(),
        ));
    };
    let base = Base::open(&binding.path, owner)?;
    let mut files = BTreeMap::new();
    for (relative, known) in &copied.files {
        let seen = base
            .open_file(relative)
            .and_then(|(file, _)| hash_prefix(file, &base.path(relative), known.bytes, bounds));
        match seen {
            Ok(digest) if digest == known.sha256 => {}
            // Under this name is another file by now, or it was emptied after a copy: the next run finds out.
            Ok(_) | Err(ConnectorError::SourceMissing { .. }) if binding.rotates => {
                notes.push(format!("`{}` was rotated during the run", key(relative)));
            }
            Ok(_) => {
                return Err(rewritten(
                    &base.path(relative),
                    format!(
                        "its first {} bytes changed while they were backed up",
                        known.bytes
                    ),
                ));
            }
            Err(ConnectorError::SourceMissing { .. }) => {
                return Err(rewritten(
                    &base.path(relative),
                    "it vanished while it was backed up".to_owned(),
                ));
            }
            Err(error) => return Err(error),
        }
        files.insert(key(relative), known.clone());
    }
    files.extend(copied.lost.clone());
    let state = State {
        format: STATE_FORMAT,
        epoch: binding.append_only_epoch,
        files,
    };
    serde_json::to_value(state).map_err(|error| ConnectorError::StateInvalid {
        detail: error.to_string(),
    })
}

/// Every line must be one JSON value. With a manifest the files are held against it first.
pub(super) fn validate(
    binding: &JsonlBinding,
    path: &Path,
    manifest: Option<&Manifest>,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let mut checks = match manifest {
        Some(_) if path.is_dir() => super::files::validate(path, manifest, bounds)?,
        Some(_) | None => Vec::new(),
    };
    let at = JsonlBinding {
        path: path.to_owned(),
        ..binding.clone()
    };
    let (mut lines, mut broken, mut first) = (0_u64, 0_u64, None);
    let base = Base::open(path, None)?;
    let mut files = find(&at, &base, bounds)?;
    files.retain(|listed| listed.is_wanted);
    for Listed { relative, .. } in &files {
        let mut number = 0_u64;
        let (file, _) = base.open_file(relative)?;
        let live = &base.path(relative);
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
        let mut line = Vec::new();
        loop {
            bounds.check("reading lines")?;
            line.clear();
            let count = reader
                .by_ref()
                .take(LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(|error| ConnectorError::source(live, error))?;
            if count == 0 {
                break;
            }
            number += 1;
            lines += 1;
            if serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_err() {
                broken += 1;
                first.get_or_insert_with(|| format!("line {number} of `{}`", key(relative)));
            }
        }
    }
    checks.push(match first {
        None => Check::passed(
            "lines",
            format!("{lines} lines of {} files parse", files.len()),
        ),
        Some(first) => Check::failed(
            "lines",
            format!("{broken} of {lines} lines do not parse, the first is {first}"),
        ),
    });
    Ok(checks)
}

struct Copy {
    sum: FileSum,
    id: FileId,
    unfinished: u64,
}

/// Copies up to the last line feed while hashing, and compares the hash at the offset of the last run on the way.
fn copy_whole_lines(
    base: &Base,
    relative: &Path,
    target: &Path,
    before: Option<&Known>,
    bounds: &Bounds,
) -> Result<Copy, ConnectorError> {
    let live = &base.path(relative);
    let (mut file, stat) = base.open_file(relative)?;
    let size = size(&stat);
    let whole = last_line_end(&file, size).map_err(|error| ConnectorError::source(live, error))?;
    let known = before.map_or(0, |known| known.bytes);
    if whole < known {
        return Err(rewritten(
            live,
            format!("it had {known} bytes of whole lines, now it has {whole}"),
        ));
    }
    file.seek(SeekFrom::Start(0))
        .map_err(|error| ConnectorError::source(live, error))?;
    let mut out = tree::create_new(target)?;
    let mut hasher = Sha256::new();
    copy_part(
        &mut file,
        &mut out,
        &mut hasher,
        known,
        (live, target),
        bounds,
    )?;
    if let Some(before) = before
        && digest_of(hasher.clone()) != before.sha256
    {
        return Err(rewritten(
            live,
            format!("its first {known} bytes differ from what was backed up before"),
        ));
    }
    copy_part(
        &mut file,
        &mut out,
        &mut hasher,
        whole - known,
        (live, target),
        bounds,
    )?;
    folder::set_mode(&out, stat.st_mode & 0o777)
        .map_err(|error| ConnectorError::io("set the mode of", target, error))?;
    folder::set_times(&out, &stat)
        .map_err(|error| ConnectorError::io("set the times of", target, error))?;
    let sum = FileSum {
        bytes: whole,
        sha256: digest_of(hasher),
    };
    Ok(Copy {
        sum,
        id: id_of(&file, &stat),
        unfinished: size.saturating_sub(whole),
    })
}

fn copy_part(
    file: &mut File,
    out: &mut File,
    hasher: &mut Sha256,
    bytes: u64,
    (live, target): (&Path, &Path),
    bounds: &Bounds,
) -> Result<(), ConnectorError> {
    let mut left = bytes;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    while left > 0 {
        bounds.check("copying lines")?;
        let want = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = match buffer.get_mut(..want) {
            Some(part) => file
                .read(part)
                .map_err(|error| ConnectorError::source(live, error))?,
            None => 0,
        };
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            return Err(rewritten(live, "it shrank while it was copied".to_owned()));
        };
        hasher.update(part);
        out.write_all(part)
            .map_err(|error| ConnectorError::io("write", target, error))?;
        left = left.saturating_sub(part.len() as u64);
    }
    Ok(())
}

/// The offset just after the last line feed within the first `len` bytes, 0 when there is none.
fn last_line_end(file: &File, len: u64) -> io::Result<u64> {
    let mut end = len;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let size = usize::try_from(end - start).unwrap_or(0);
        let Some(part) = buffer.get_mut(..size) else {
            return Ok(0);
        };
        file.read_exact_at(part, start)?;
        if let Some(found) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn hash_prefix(
    file: File,
    path: &Path,
    bytes: u64,
    bounds: &Bounds,
) -> Result<Digest, ConnectorError> {
    let mut reader = file.take(bytes);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    loop {
        bounds.check("reading lines again")?;
        let count = reader
            .read(&mut buffer)
            .map_err(|error| ConnectorError::source(path, error))?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            return Ok(digest_of(hasher));
        };
        hasher.update(part);
    }
}

/// The regular files, sorted. With rotation all of them, because a known one may have any name by now.
fn find(
    binding: &JsonlBinding,
    base: &Base,
    bounds: &Bounds,
) -> Result<Vec<Listed>, ConnectorError> {
    if let Some(name) = &base.only {
        return find_one(name, binding.rotates, base, bounds);
    }
    let include = if binding.include.is_empty() {
        Excludes::new(&["*.jsonl".to_owned()])?
    } else {
        Excludes::new(&binding.include)?
    };
    let walk = Walk::new(
        Arc::clone(&base.folder),
        Arc::new(Excludes::none()),
        base.owner.clone(),
    )
    .map_err(|error| ConnectorError::live(base.folder.shown(), error))?;
    let mut files = Vec::new();
    for item in walk {
        bounds.check("walking the source")?;
        let relative = item.relative;
        match item.found {
            Found::File { file, stat } => files.push(Listed {
                id: id_of(&file, &stat),
                size: size(&stat),
                is_wanted: include.matches(&relative)
                    || (binding.rotates && rotation::is_rotated(&relative, &include)),
                relative,
            }),
            Found::Failed(why) => {
                return Err(ConnectorError::SourceUnreadable {
                    path: base.path(&relative),
                    source: io::Error::other(why),
                });
            }
            Found::Folder { .. } | Found::Link { .. } | Found::Special | Found::Gone => {}
        }
    }
    files.retain(|listed| listed.is_wanted || binding.rotates);
    Ok(files)
}

/// The one file that a binding names, and with rotation the files beside it. What else is in its folder belongs to others.
fn find_one(
    name: &OsStr,
    rotates: bool,
    base: &Base,
    bounds: &Bounds,
) -> Result<Vec<Listed>, ConnectorError> {
    let names: Vec<OsString> = if rotates {
        let listed = base
            .folder
            .names(usize::MAX)
            .map_err(|error| ConnectorError::live(base.folder.shown(), error))?;
        listed
            .into_iter()
            .filter(|(_, kind)| *kind == FileType::RegularFile)
            .map(|(name, _)| name)
            .collect()
    } else {
        vec![name.to_owned()]
    };
    let only = Excludes::new(&[globset::escape(&name.to_string_lossy())])?;
    let mut files = Vec::new();
    for other in names {
        bounds.check("walking the source")?;
        let relative = PathBuf::from(&other);
        let is_wanted = other == name || (rotates && rotation::is_rotated(&relative, &only));
        match base.open_file(&relative) {
            Ok((file, stat)) => files.push(Listed {
                id: id_of(&file, &stat),
                size: size(&stat),
                relative,
                is_wanted,
            }),
            Err(error) if other == name && !rotates => return Err(error),
            // Files of others may be closed to us.
            Err(_) => {}
        }
    }
    Ok(files)
}

fn id_of(file: &File, stat: &Stat) -> FileId {
    let born = file.metadata().and_then(|metadata| metadata.created());
    FileId {
        inode: stat.st_ino,
        born: born.ok().and_then(|at| Timestamp::try_from(at).ok()),
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn read_state(
    binding: &JsonlBinding,
    previous: Option<&Value>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Known>, ConnectorError> {
    let Some(value) = previous else {
        return Ok(BTreeMap::new());
    };
    // A raised epoch is also the way out of a state that cannot be read, so it is looked at first.
    let epoch = value.get("epoch").and_then(Value::as_u64);
    if epoch.is_some_and(|epoch| epoch < u64::from(binding.append_only_epoch)) {
        notes.push(format!(
            "the append-only check restarts with epoch {}",
            binding.append_only_epoch
        ));
        return Ok(BTreeMap::new());
    }
    let state: State =
        serde_json::from_value(value.clone()).map_err(|error| ConnectorError::StateInvalid {
            detail: error.to_string(),
        })?;
    if !STATE_FORMATS.contains(&state.format) || state.epoch != binding.append_only_epoch {
        return Err(ConnectorError::StateInvalid {
            detail: format!(
                "format {} and epoch {} are not those of the binding",
                state.format, state.epoch
            ),
        });
    }
    Ok(state.files)
}

/// Without rotation a name is a file for ever.
fn hold_names(
    base: &Base,
    before: &BTreeMap<String, Known>,
    found: &[Listed],
    lost: &mut Lost,
) -> Vec<(Listed, Option<Known>)> {
    let names: BTreeSet<String> = found.iter().map(|listed| key(&listed.relative)).collect();
    for (gone, known) in before.iter().filter(|(name, _)| !names.contains(*name)) {
        let why = "it was backed up before and is gone".to_owned();
        lost.raise(gone, known, rewritten(&base.path(Path::new(gone)), why));
    }
    found
        .iter()
        .map(|listed| {
            let known = before.get(&key(&listed.relative)).cloned();
            (listed.clone(), known)
        })
        .collect()
}

/// What was begun of a copy.
fn discard(target: &Path) -> Result<(), ConnectorError> {
    match fs::remove_file(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ConnectorError::io("remove", target, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn digest_of(hasher: Sha256) -> Digest {
    Digest::from_bytes(hasher.finalize().into())
}

fn rewritten(path: &Path, detail: String) -> ConnectorError {
    ConnectorError::PrefixRewritten {
        path: path.to_owned(),
        detail,
    }
}
