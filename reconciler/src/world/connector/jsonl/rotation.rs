//! Which file is which after a rotation. A file is known by its inode and by what was backed up of it: it may get another name,
//! its name may go to a new file, and it may be emptied once a copy holds what it held.
//!
//! A file that is still the same one and lost what was backed up, without a copy of it, is an alarm, and is taken as it is now.
//! Never copies anything.
//! The interesting function is [`follow`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Base, Known, Listed, Lost, hash_prefix, rewritten};
use crate::world::connector::manifest::key;
use crate::world::connector::{Bounds, ConnectorError, Excludes};

/// Finds for each file that was backed up the file that holds its content now. Returns the files to take, in order, each with
/// what must be found in it.
pub(super) fn follow(
    base: &Base,
    before: &BTreeMap<String, Known>,
    found: &[Listed],
    (notes, lost): (&mut Vec<String>, &mut Lost),
    bounds: &Bounds,
) -> Result<Vec<(Listed, Option<Known>)>, ConnectorError> {
    let mut chosen: BTreeMap<PathBuf, (Listed, Option<Known>)> = found
        .iter()
        .filter(|listed| listed.is_wanted)
        .map(|listed| (listed.relative.clone(), (listed.clone(), None)))
        .collect();
    for (name, known) in before {
        let Some(holder) = holder(base, name, known, found, bounds)? else {
            if let Some(same) = found.iter().find(|listed| is_same(name, known, listed)) {
                let why = format!(
                    "its first {} bytes differ from what was backed up before, and no other file holds them",
                    known.bytes
                );
                lost.raise(name, known, rewritten(&base.path(&same.relative), why));
                let stored = || (same.clone(), None);
                chosen.entry(same.relative.clone()).or_insert_with(stored);
                continue;
            }
            notes.push(format!(
                "`{name}` was backed up before and is gone, as rotation allows"
            ));
            continue;
        };
        let now = key(&holder.relative);
        if now != *name {
            notes.push(format!("what was backed up as `{name}` is in `{now}` now"));
        }
        let entry = chosen
            .entry(holder.relative.clone())
            .or_insert_with(|| (holder.clone(), None));
        // Of two that became one, the longer must be found.
        if entry
            .1
            .as_ref()
            .is_none_or(|other| other.bytes < known.bytes)
        {
            entry.1 = Some(known.clone());
        }
    }
    Ok(chosen.into_values().collect())
}

/// The file that begins with what was backed up: first the same file, then one of the same name, then one that could be its copy.
fn holder<'a>(
    base: &Base,
    name: &str,
    known: &Known,
    found: &'a [Listed],
    bounds: &Bounds,
) -> Result<Option<&'a Listed>, ConnectorError> {
    let rank = |listed: &Listed| {
        if is_same(name, known, listed) {
            Some(0)
        } else if key(&listed.relative) == name {
            Some(1)
        } else {
            is_beside(name, &listed.relative).then_some(2)
        }
    };
    let mut candidates: Vec<(u8, &Listed)> = found
        .iter()
        .filter(|listed| listed.size >= known.bytes)
        .filter_map(|listed| Some((rank(listed)?, listed)))
        .collect();
    candidates.sort_by_key(|(rank, _)| *rank);
    for (_, listed) in candidates {
        let held = base.open_file(&listed.relative).and_then(|(file, _)| {
            hash_prefix(file, &base.path(&listed.relative), known.bytes, bounds)
        });
        match held {
            Ok(digest) if digest == known.sha256 => return Ok(Some(listed)),
            Ok(_) | Err(ConnectorError::SourceMissing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether it is the very file, by inode; a state without inodes knows names alone.
fn is_same(name: &str, known: &Known, listed: &Listed) -> bool {
    match known.file {
        Some(id) => id.is(listed.id),
        None => key(&listed.relative) == name,
    }
}

/// Whether a name in the same folder begins as the known one does, up to its first dot.
fn is_beside(name: &str, relative: &Path) -> bool {
    let other = key(relative);
    let split = |path: &str| match path.rsplit_once('/') {
        Some((folder, file)) => (folder.to_owned(), file.to_owned()),
        None => (String::new(), path.to_owned()),
    };
    let ((folder, file), (other_folder, other_file)) = (split(name), split(&other));
    let stem = file.split('.').next().unwrap_or_default();
    folder == other_folder && other_file.starts_with(stem)
}

/// Whether it is the rotated name of a file that the globs want: `app.jsonl.1`, `app.jsonl-20261128`. Compressed files are no
/// lines.
pub(super) fn is_rotated(relative: &Path, include: &Excludes) -> bool {
    let Some(name) = relative.file_name().and_then(std::ffi::OsStr::to_str) else {
        return false;
    };
    name.char_indices()
        .filter(|(_, separator)| matches!(separator, '.' | '-'))
        .filter_map(|(at, _)| name.split_at_checked(at))
        .filter(|(_, number)| {
            number.chars().skip(1).any(|c| c.is_ascii_digit())
                && number
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | 'T' | 'Z'))
        })
        .any(|(base, _)| include.matches(&relative.with_file_name(base)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_belong_to_the_name_before_them() {
        let include = Excludes::new(&["*.jsonl".to_owned()]).unwrap();
        for name in [
            "app.jsonl.1",
            "a/app.jsonl.12",
            "app.jsonl-20261128",
            "app.jsonl-2026-11-28T10.1",
        ] {
            assert!(is_rotated(Path::new(name), &include), "{name}");
        }
        for name in [
            "app.jsonl.gz",
            "app.jsonl.1.gz",
            "app.jsonl~",
            "app.1",
            "app.jsonl.",
        ] {
            assert!(!is_rotated(Path::new(name), &include), "{name}");
        }
        assert!(is_beside("a/app.jsonl", Path::new("a/app-1.jsonl")));
        assert!(!is_beside("a/app.jsonl", Path::new("b/app.jsonl")));
    }
}
