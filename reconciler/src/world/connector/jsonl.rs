//! The `jsonl` connector: append-only files of JSON lines, copied up to their last whole line. Consistency point: that offset.
//!
//! What an earlier run backed up must still be there, byte for byte: a shrunk or rewritten prefix is an alarm. Never
//! waits for a writer. The interesting function is [`copy_whole_lines`].

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use contract::digest::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use super::manifest::{CHUNK_BYTES, FileSum, Manifest, key, walk_error};
use super::selection::Excludes;
use super::{After, Binding, Bounds, Check, ConnectorError, JsonlBinding, Prepared, tree};

/// A line beyond this is no record, and reading it whole could exhaust the memory.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// What a later run must find again, as it is stored between runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: u32,
    epoch: u32,
    files: Manifest,
}

const STATE_FORMAT: u32 = 1;

/// The live files with the prefix of each that was copied.
#[derive(Debug)]
pub(crate) struct Copied {
    files: Vec<(PathBuf, PathBuf, FileSum)>,
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
    let found = find(binding, bounds)?;
    if found.is_empty() && before.files().is_empty() {
        return Err(ConnectorError::SourceEmpty {
            path: binding.path.clone(),
        });
    }
    hold_names(binding, &before, &found, &mut notes)?;
    let source = tree::make_spool(spool)?;
    let mut manifest = Manifest::default();
    let mut files = Vec::new();
    for (live, relative) in found {
        let target = source.join(&relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| ConnectorError::io("create", parent, error))?;
        }
        let copy = copy_whole_lines(&live, &target, before.get(&relative), bounds)?;
        if copy.unfinished > 0 {
            notes.push(format!(
                "`{}` ends in {} bytes of an unfinished line, left for the next run",
                key(&relative),
                copy.unfinished
            ));
        }
        manifest.insert(&relative, copy.sum.clone());
        files.push((live, relative, copy.sum));
    }
    Ok(Prepared {
        source,
        stable: false,
        consistency_point,
        expected_bytes: manifest.bytes(),
        expected_items: manifest.files().len() as u64,
        manifest: Some(manifest),
        excludes: Excludes::none(),
        problems: Vec::new(),
        notes,
        after: After::Prefixes {
            copied: Copied { files },
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
    let Binding::Jsonl(binding) = binding else {
        return Err(super::binding::invalid(
            "it changed its connector during the run".to_owned(),
        ));
    };
    let mut files = Manifest::default();
    for (live, relative, sum) in &copied.files {
        match hash_prefix(live, sum.bytes, bounds) {
            Ok(digest) if digest == sum.sha256 => {}
            Ok(_) => {
                return Err(rewritten(
                    live,
                    format!(
                        "its first {} bytes changed while they were backed up",
                        sum.bytes
                    ),
                ));
            }
            Err(ConnectorError::SourceMissing { .. }) if binding.rotates => {
                notes.push(format!(
                    "`{}` was rotated away during the run",
                    key(relative)
                ));
            }
            Err(ConnectorError::SourceMissing { .. }) => {
                return Err(rewritten(
                    live,
                    "it vanished while it was backed up".to_owned(),
                ));
            }
            Err(error) => return Err(error),
        }
        files.insert(relative, sum.clone());
    }
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
    let files = find(&at, bounds)?;
    for (live, relative) in &files {
        let mut number = 0_u64;
        let file = File::open(live).map_err(|error| ConnectorError::source(live, error))?;
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
    unfinished: u64,
}

/// Copies up to the last line feed while hashing, and compares the hash at the offset of the last run on the way.
fn copy_whole_lines(
    live: &Path,
    target: &Path,
    before: Option<&FileSum>,
    bounds: &Bounds,
) -> Result<Copy, ConnectorError> {
    let mut file = File::open(live).map_err(|error| ConnectorError::source(live, error))?;
    let metadata = file
        .metadata()
        .map_err(|error| ConnectorError::source(live, error))?;
    let whole = last_line_end(&file, metadata.len())
        .map_err(|error| ConnectorError::source(live, error))?;
    let known = before.map_or(0, |sum| sum.bytes);
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
    tree::keep_mtime(&out, target, &metadata)?;
    fs::set_permissions(target, metadata.permissions())
        .map_err(|error| ConnectorError::io("set the mode of", target, error))?;
    let sum = FileSum {
        bytes: whole,
        sha256: digest_of(hasher),
    };
    Ok(Copy {
        sum,
        unfinished: metadata.len().saturating_sub(whole),
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

fn hash_prefix(path: &Path, bytes: u64, bounds: &Bounds) -> Result<Digest, ConnectorError> {
    let file = File::open(path).map_err(|error| ConnectorError::source(path, error))?;
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

/// The live files with their paths relative to the dataset, sorted.
fn find(
    binding: &JsonlBinding,
    bounds: &Bounds,
) -> Result<Vec<(PathBuf, PathBuf)>, ConnectorError> {
    let root = fs::canonicalize(&binding.path)
        .map_err(|error| ConnectorError::source(&binding.path, error))?;
    if root.is_file() {
        let name = root.file_name().map(PathBuf::from).unwrap_or_default();
        return Ok(vec![(root, name)]);
    }
    let include = if binding.include.is_empty() {
        Excludes::new(&["*.jsonl".to_owned()])?
    } else {
        Excludes::new(&binding.include)?
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(&root).follow_links(false).sort_by_file_name() {
        bounds.check("walking the source")?;
        let entry = entry.map_err(|error| walk_error(&root, error))?;
        let relative = entry
            .path()
            .strip_prefix(&root)
            .unwrap_or(entry.path())
            .to_owned();
        if entry.file_type().is_file() && include.matches(&relative) {
            files.push((entry.path().to_owned(), relative));
        }
    }
    Ok(files)
}

fn read_state(
    binding: &JsonlBinding,
    previous: Option<&Value>,
    notes: &mut Vec<String>,
) -> Result<Manifest, ConnectorError> {
    let Some(value) = previous else {
        return Ok(Manifest::default());
    };
    // A raised epoch is also the way out of a state that cannot be read, so it is looked at first.
    let epoch = value.get("epoch").and_then(Value::as_u64);
    if epoch.is_some_and(|epoch| epoch < u64::from(binding.append_only_epoch)) {
        notes.push(format!(
            "the append-only check begins anew with epoch {}",
            binding.append_only_epoch
        ));
        return Ok(Manifest::default());
    }
    let state: State =
        serde_json::from_value(value.clone()).map_err(|error| ConnectorError::StateInvalid {
            detail: error.to_string(),
        })?;
    if state.format != STATE_FORMAT || state.epoch != binding.append_only_epoch {
        return Err(ConnectorError::StateInvalid {
            detail: format!(
                "format {} and epoch {} are not those of the binding",
                state.format, state.epoch
            ),
        });
    }
    Ok(state.files)
}

fn hold_names(
    binding: &JsonlBinding,
    before: &Manifest,
    found: &[(PathBuf, PathBuf)],
    notes: &mut Vec<String>,
) -> Result<(), ConnectorError> {
    let names: std::collections::BTreeSet<String> =
        found.iter().map(|(_, relative)| key(relative)).collect();
    for gone in before.files().keys().filter(|name| !names.contains(*name)) {
        if !binding.rotates {
            return Err(rewritten(
                &binding.path.join(gone),
                "it was backed up before and is gone".to_owned(),
            ));
        }
        notes.push(format!(
            "`{gone}` was backed up before and is gone, as rotation allows"
        ));
    }
    Ok(())
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
