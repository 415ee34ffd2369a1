//! Owns reading a folder of text: the policy tree and folders of rules. What cannot be taken is a finding, never
//! skipped. Symlinks are refused: what they lead to is not part of what a signature names. See [`read`].

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use contract::code;

use crate::diagnostic::Diagnostic;
use crate::rules::Files;
use crate::source::{MAX_FILE_BYTES, MAX_TREE_BYTES, SourceFile, SourceSet, hidden};

/// More files than any inventory needs; a home folder given by mistake is noticed before it is read.
pub(super) const MAX_FILES: usize = 20_000;

/// The policy documents below a folder, sorted by the bytes of their paths, and what could not be taken.
/// The error is about the folder itself.
pub fn read(folder: &Path) -> io::Result<(SourceSet, Vec<Diagnostic>)> {
    let mut diagnostics = Vec::new();
    let files = walk(folder, &mut diagnostics, &|path| is_policy(Path::new(path)))?;
    let sources = SourceSet {
        files: files
            .into_iter()
            .map(|(path, text)| SourceFile { path, text })
            .collect(),
        incomplete: !diagnostics.is_empty(),
    };
    Ok((sources, diagnostics))
}

/// Whether a file is read as policy.
pub fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
    })
}

/// All text files of a folder of rules.
pub fn read_rules(folder: &Path) -> io::Result<(Files, Vec<Diagnostic>)> {
    let mut diagnostics = Vec::new();
    let files = walk(folder, &mut diagnostics, &|_| true)?;
    Ok((files, diagnostics))
}

fn walk(
    root: &Path,
    diagnostics: &mut Vec<Diagnostic>,
    wanted: &dyn Fn(&str) -> bool,
) -> io::Result<Files> {
    fs::read_dir(root)?;
    let mut files = Files::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut bytes = 0_usize;
    let entries = walkdir::WalkDir::new(root)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        // Hidden entries are the version control's and the editor's.
        .filter_entry(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                diagnostics.push(refused(root, &path, "it cannot be read"));
                continue;
            }
        };
        let path = entry.path();
        if entry.file_type().is_dir() {
            continue;
        }
        let Some(name) = relative(root, path) else {
            diagnostics.push(refused(root, path, "its name is not plain UTF-8"));
            continue;
        };
        if entry.file_type().is_symlink() {
            diagnostics.push(refused(root, path, "it is a symbolic link"));
            continue;
        }
        if !wanted(&name) {
            continue;
        }
        if !entry.file_type().is_file() {
            diagnostics.push(refused(root, path, "it is no regular file"));
            continue;
        }
        if files.len() == MAX_FILES {
            diagnostics.push(too_many());
            break;
        }
        if let Some(other) = known.insert(name.to_lowercase(), name.clone()) {
            let reason = format!("beside `{other}` it cannot stand where case does not count");
            diagnostics.push(refused(root, path, &reason));
            continue;
        }
        match text(path) {
            Ok(text) => {
                bytes = bytes.saturating_add(text.len());
                if bytes > MAX_TREE_BYTES {
                    diagnostics.push(too_much());
                    break;
                }
                files.insert(name, text);
            }
            Err(diagnostic) => diagnostics.push(diagnostic(&name)),
        }
    }
    Ok(files)
}

pub(super) fn too_many() -> Diagnostic {
    let message = format!("the folder holds more than {MAX_FILES} files");
    Diagnostic::error(code::INPUT_TOO_LARGE, message)
        .help("give the folder of the policy tree, not one above it")
}

fn too_much() -> Diagnostic {
    let message = format!("the files of the folder have more than {MAX_TREE_BYTES} bytes");
    Diagnostic::error(code::INPUT_TOO_LARGE, message)
        .help("keep data out of the folder, or split it into several")
}

pub(super) type Told = Box<dyn FnOnce(&str) -> Diagnostic>;

fn text(path: &Path) -> Result<String, Told> {
    let bytes = super::files::read(path, MAX_FILE_BYTES as u64).map_err(untaken)?;
    utf8(bytes)
}

/// A file that cannot be taken.
pub(super) fn untaken(error: io::Error) -> Told {
    Box::new(move |name| {
        let code = match error.kind() {
            io::ErrorKind::Other => code::INPUT_TOO_LARGE,
            _ => code::UNREADABLE_PATH,
        };
        Diagnostic::error(code, format!("`{name}` cannot be taken: {error}"))
            .at(["files", name])
            .help("make the file readable and keep it small, or move it out of the tree")
    })
}

pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, Told> {
    String::from_utf8(bytes).map_err(|error| -> Told {
        let at = error.utf8_error().valid_up_to();
        Box::new(move |name| {
            Diagnostic::error(
                code::NOT_UTF8,
                format!("`{name}` is not UTF-8 text: byte {at} begins no character"),
            )
            .at(["files", name])
            .help("save the file as UTF-8")
        })
    })
}

pub(super) fn refused(root: &Path, path: &Path, reason: &str) -> Diagnostic {
    let name = path.strip_prefix(root).unwrap_or(path);
    let name = name.to_string_lossy().replace(not_plain, "?");
    Diagnostic::error(
        code::UNREADABLE_PATH,
        format!("`{name}` cannot be taken: {reason}"),
    )
    .at(["files", name.as_str()])
    .help("a tree holds regular, readable files with UTF-8 names; move everything else out of it")
}

/// The path relative to the root with `/`, if it is UTF-8 and one line: paths are printed and listed line by line.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path
        .strip_prefix(root)
        .ok()?
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect();
    Some(parts?.join("/")).filter(|name| is_plain(name))
}

/// Whether a name shows as what it is, on one line.
pub(super) fn is_plain(name: &str) -> bool {
    !name.contains(not_plain)
}

fn not_plain(letter: char) -> bool {
    letter.is_control() || hidden::is_hidden(letter)
}

/// Whether a folder is absent or has nothing in it.
pub fn is_empty(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
