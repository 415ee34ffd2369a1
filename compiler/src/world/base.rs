//! Owns the tree as it was at another revision: read from the repository's objects, nothing is checked out or fetched.
//! What is refused in a folder is refused here too. The interesting function is [`read`].

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use contract::code;
use git2::{Commit, DiffOptions, ErrorCode, ObjectType, Oid, Patch, Repository, Tree};

use super::tree::{self, MAX_FILES};
use crate::diagnostic::Diagnostic;
use crate::rules::Files;
use crate::source::{MAX_FILE_BYTES, SourceFile, SourceSet};

/// Deeper folders than any tree of policy has; recursion must end.
const MAX_DEPTH: usize = 64;

/// A tree at a revision.
#[derive(Debug)]
pub struct Base {
    /// The commit whose tree was read.
    pub commit: String,
    /// Its documents.
    pub sources: SourceSet,
    /// What could not be taken.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the commit has the folder at all.
    pub present: bool,
}

/// Reads `folder` as it was where `HEAD` and `revision` parted: what was done since on the other side is not undone here.
/// Without such a commit it is `revision` itself. The finding says what is wrong with revision or repository.
pub fn read(folder: &Path, revision: &str) -> Result<Base, Box<Diagnostic>> {
    let (repository, inside) = locate(folder)?;
    let fault = |error: git2::Error| {
        let message = format!(
            "`{revision}` cannot be read as a revision: {}",
            error.message()
        );
        Box::new(Diagnostic::error(code::BASE_UNREADABLE, message).help(
            "name a branch, tag or commit that is here, such as `origin/main`; a shallow clone must fetch it first",
        ))
    };
    let commit = commit(&repository, revision).map_err(fault)?;
    let parted = repository
        .head()
        .and_then(|head| head.peel_to_commit())
        .and_then(|head| repository.merge_base(head.id(), commit.id()))
        .and_then(|parted| repository.find_commit(parted));
    at(&repository, &parted.unwrap_or(commit), &inside).map_err(fault)
}

/// Reads what git writes as `REVISION:FOLDER`: exactly that commit, of the repository around `folder`.
pub fn exactly(folder: &Path, revision: &str, inside: &str) -> Result<Base, Box<Diagnostic>> {
    let fault = |error: git2::Error| {
        let message = format!("`{revision}:{inside}` cannot be read: {}", error.message());
        let help = "name a commit that is here and a folder from the root of the repository, as git does: `main:policies`";
        Box::new(Diagnostic::error(code::BASE_UNREADABLE, message).help(help))
    };
    let repository = Repository::discover(folder).map_err(fault)?;
    let commit = commit(&repository, revision).map_err(fault)?;
    at(&repository, &commit, Path::new(inside)).map_err(fault)
}

fn commit<'r>(repository: &'r Repository, revision: &str) -> Result<Commit<'r>, git2::Error> {
    repository.revparse_single(revision)?.peel_to_commit()
}

/// The tree of a folder in a commit.
fn at(repository: &Repository, commit: &Commit<'_>, inside: &Path) -> Result<Base, git2::Error> {
    let whole = commit.tree()?;
    let mut base = Base {
        commit: commit.id().to_string(),
        sources: SourceSet::default(),
        diagnostics: Vec::new(),
        present: true,
    };
    let tree = if inside.as_os_str().is_empty() {
        whole
    } else {
        let entry = match whole.get_path(inside) {
            Ok(entry) => entry.to_object(repository)?,
            Err(error) if error.code() == ErrorCode::NotFound => {
                base.present = false;
                return Ok(base);
            }
            Err(error) => return Err(error),
        };
        let Ok(tree) = entry.into_tree() else {
            base.present = false;
            return Ok(base);
        };
        tree
    };
    let mut files = Files::new();
    let mut walk = Walk {
        repository,
        files: &mut files,
        diagnostics: &mut base.diagnostics,
    };
    walk.tree(&tree, "", 0)?;
    base.sources = SourceSet::new(
        files
            .into_iter()
            .map(|(path, text)| SourceFile { path, text })
            .collect(),
    );
    base.sources.incomplete = !base.diagnostics.is_empty();
    Ok(base)
}

/// The path of a folder from the root of its repository, with `/`; `None` outside of any.
pub fn inside(folder: &Path) -> Option<String> {
    let (_, inside) = locate(folder).ok()?;
    let parts: Option<Vec<&str>> = inside
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect();
    parts.map(|parts| parts.join("/"))
}

fn locate(folder: &Path) -> Result<(Repository, PathBuf), Box<Diagnostic>> {
    let told =
        |reason: &str| {
            let message = format!("`{}` {reason}", folder.display());
            Box::new(Diagnostic::error(code::BASE_UNREADABLE, message).help(
                "`--base` compares with a revision of the git repository that holds the tree",
            ))
        };
    let repository = Repository::discover(folder).map_err(|error| match error.code() {
        ErrorCode::NotFound => told("lies in no git repository"),
        _ => told(&format!(
            "lies in a repository that cannot be opened: {}",
            error.message()
        )),
    })?;
    let inside = repository
        .workdir()
        .and_then(|root| root.canonicalize().ok())
        .zip(folder.canonicalize().ok())
        .and_then(|(root, folder)| folder.strip_prefix(root).map(Path::to_owned).ok())
        .ok_or_else(|| told("lies outside of its repository's work tree"))?;
    Ok((repository, inside))
}

struct Walk<'a> {
    repository: &'a Repository,
    files: &'a mut Files,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &Tree<'_>, prefix: &str, depth: usize) -> Result<(), git2::Error> {
        for entry in tree {
            let bytes = entry.name_bytes();
            if bytes.starts_with(b".") {
                continue;
            }
            let lossy = format!("{prefix}{}", String::from_utf8_lossy(bytes));
            let refuse = |reason| tree::refused(Path::new(""), Path::new(&lossy), reason);
            let plain = std::str::from_utf8(bytes)
                .ok()
                .filter(|name| tree::is_plain(name));
            if entry.kind() == Some(ObjectType::Tree) {
                if depth == MAX_DEPTH {
                    self.diagnostics.push(refuse("it lies too deep"));
                    continue;
                }
                let below = self.repository.find_tree(entry.id())?;
                self.tree(&below, &format!("{lossy}/"), depth + 1)?;
                continue;
            }
            let symlink = entry.filemode() == 0o120_000;
            match (plain, entry.kind()) {
                (None, _) => self.diagnostics.push(refuse("its name is not plain UTF-8")),
                (_, _) if symlink => self.diagnostics.push(refuse("it is a symbolic link")),
                (_, _) if !tree::is_policy(Path::new(&lossy)) => {}
                (Some(_), Some(ObjectType::Blob)) => self.blob(entry.id(), &lossy)?,
                (Some(_), _) => self.diagnostics.push(refuse("it is no regular file")),
            }
        }
        Ok(())
    }

    fn blob(&mut self, id: Oid, path: &str) -> Result<(), git2::Error> {
        if self.files.len() == MAX_FILES {
            // Once is enough: the tree is incomplete from here on.
            if !self
                .diagnostics
                .iter()
                .any(|told| told.code == code::INPUT_TOO_LARGE.into())
            {
                self.diagnostics.push(tree::too_many());
            }
            return Ok(());
        }
        let (size, _) = self.repository.odb()?.read_header(id)?;
        let taken = if size > MAX_FILE_BYTES {
            Err(tree::untaken(super::files::too_large(
                MAX_FILE_BYTES as u64,
            )))
        } else {
            tree::utf8(self.repository.find_blob(id)?.content().to_vec())
        };
        match taken {
            Ok(text) => {
                self.files.insert(path.to_owned(), text);
            }
            Err(told) => self.diagnostics.push(told(path)),
        }
        Ok(())
    }
}

/// The lines of `new`, from 1, that `old` has not. Of texts that cannot be compared it is all of them.
pub fn changed_lines(old: &str, new: &str) -> Vec<RangeInclusive<usize>> {
    if old == new {
        return Vec::new();
    }
    let mut options = DiffOptions::new();
    options.context_lines(0).force_text(true);
    let hunks = || -> Result<Vec<RangeInclusive<usize>>, git2::Error> {
        let patch = Patch::from_buffers(
            old.as_bytes(),
            None,
            new.as_bytes(),
            None,
            Some(&mut options),
        )?;
        let mut lines = Vec::new();
        for index in 0..patch.num_hunks() {
            let (hunk, _) = patch.hunk(index)?;
            let (start, count) = (hunk.new_start() as usize, hunk.new_lines() as usize);
            if count > 0 {
                lines.push(start..=start + count - 1);
            }
        }
        Ok(lines)
    };
    let mut hunks = hunks;
    hunks().unwrap_or_else(|_| vec![1..=usize::MAX])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_are_those_of_the_new_text() {
        assert_eq!(changed_lines("a\nb\nc\n", "a\nb\nc\n"), []);
        assert_eq!(changed_lines("a\nb\nc\n", "a\nB\nc\nd\n"), [2..=2, 4..=4]);
        assert_eq!(changed_lines("a\nb\nc\n", "a\nc\n"), []);
        assert_eq!(changed_lines("", "a\nb\n"), [1..=2]);
    }
}
