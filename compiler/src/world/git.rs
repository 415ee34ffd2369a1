//! Owns the question which commit a policy tree is at. Reads the repository only; the network is never used.

use std::path::Path;

use git2::{ErrorCode, Repository, Status, StatusOptions};

/// The commit of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// The tree is that of the commit.
    At(String),
    /// The tree lies in a repository and has changes that no commit holds, or the repository has no commit.
    Uncommitted,
    /// The tree lies in no repository.
    NoRepository,
}

/// Finds the commit that holds exactly what is in `folder`.
pub fn commit(folder: &Path) -> Result<Commit, git2::Error> {
    let repository = match Repository::discover(folder) {
        Ok(repository) => repository,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(Commit::NoRepository),
        Err(error) => return Err(error),
    };
    let Some(root) = repository.workdir() else {
        return Ok(Commit::NoRepository);
    };
    let head = match repository.head() {
        Ok(head) => head.peel_to_commit()?.id().to_string(),
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
            return Ok(Commit::Uncommitted);
        }
        Err(error) => return Err(error),
    };
    let inside = folder
        .canonicalize()
        .ok()
        .zip(root.canonicalize().ok())
        .and_then(|(folder, root)| folder.strip_prefix(root).map(Path::to_owned).ok())
        .unwrap_or_default();
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(true)
        .recurse_ignored_dirs(true)
        .disable_pathspec_match(true);
    if !inside.as_os_str().is_empty() {
        options.pathspec(&inside);
    }
    let statuses = repository.statuses(Some(&mut options))?;
    let changed = statuses.iter().any(|entry| {
        // An ignored file that is no policy changes nothing; an ignored policy file is in no commit.
        let policy = entry
            .path()
            .is_ok_and(|path| super::tree::is_policy(Path::new(path)));
        policy && entry.status() != Status::CURRENT
    });
    Ok(if changed {
        Commit::Uncommitted
    } else {
        Commit::At(head)
    })
}
