//! Owns the objects: what is published, out of the mirror. Every object's size is read from its header and checked before it
//! is unpacked, and so is the sum over a chain. Never reaches the network. The interesting function is [`read`].

use std::path::Path;

use contract::id::EnvironmentId;
use contract::seal::limits;
use git2::{Commit, ObjectType, Odb, Oid, Repository, Tree};

use super::{GitError, MIRROR_REF, Published};
use crate::config::Git;

/// Opening refuses what is above its limits and names them, so a little more than those is read; the rest is only counted.
const MAX_ROOT: u64 = 2 * limits::ROOT_BYTES;
/// One root more than opening takes, all of them of a size that it takes.
const MAX_ALL_ROOTS: u64 = (limits::ROOTS + 1) * limits::ROOT_BYTES;
const MAX_ENVELOPE: u64 = 2 * limits::ENVELOPE_BYTES;
const MAX_BUNDLE: u64 = 2 * limits::BUNDLE_BYTES;
const MAX_PROVENANCE: u64 = limits::PROVENANCE_BYTES;

/// No file that is read is larger.
pub(super) const MAX_BLOB: u64 = MAX_PROVENANCE;

/// A folder of a million entries is read; a larger one is no folder of policy.
const MAX_TREE: u64 = 64 << 20;

/// A commit is a few lines and a signature.
const MAX_COMMIT: u64 = 1 << 20;

/// Reads the published files of an environment out of the mirror; none where they are those of a known commit.
pub(super) fn read(
    git: &Git,
    mirror: &Path,
    environment: &EnvironmentId,
    known: Option<&str>,
) -> Result<Option<Published>, GitError> {
    let repository = Repository::open_bare(mirror).map_err(|error| broken(&error))?;
    let head = repository
        .find_reference(MIRROR_REF)
        .map_err(|error| broken(&error))?
        .target()
        .ok_or_else(|| GitError::Mirror {
            why: "its reference names no commit".to_owned(),
        })?;
    if known.is_some_and(|known| known == head.to_string()) {
        return Ok(None);
    }
    let objects = repository.odb().map_err(|error| broken(&error))?;
    let files = Files {
        repository: &repository,
        objects: &objects,
        head,
        below: git.path.as_deref().unwrap_or("."),
    };
    let tree = files.top()?;
    Ok(Some(Published {
        commit: head.to_string(),
        roots: files.roots(&tree)?,
        envelope: files.read(
            &tree,
            &format!("{environment}/bundle.dsse.json"),
            MAX_ENVELOPE,
        )?,
        bundle: files.read(&tree, &format!("{environment}/bundle.json"), MAX_BUNDLE)?,
        provenance: files.read(
            &tree,
            &format!("{environment}/provenance.json"),
            MAX_PROVENANCE,
        )?,
    }))
}

struct Files<'r> {
    repository: &'r Repository,
    objects: &'r Odb<'r>,
    head: Oid,
    below: &'r str,
}

impl<'r> Files<'r> {
    fn top(&self) -> Result<Tree<'r>, GitError> {
        self.fits(self.head, "the commit", MAX_COMMIT)?;
        let commit: Commit<'r> = self
            .repository
            .find_commit(self.head)
            .map_err(|error| broken(&error))?;
        self.tree(commit.tree_id(), "the top folder")
    }

    fn tree(&self, id: Oid, path: &str) -> Result<Tree<'r>, GitError> {
        self.fits(id, path, MAX_TREE)?;
        self.repository
            .find_tree(id)
            .map_err(|error| broken(&error))
    }

    /// The size of an object, without unpacking it.
    fn fits(&self, id: Oid, path: &str, limit: u64) -> Result<(), GitError> {
        let (bytes, _) = self
            .objects
            .read_header(id)
            .map_err(|error| broken(&error))?;
        let bytes = bytes as u64;
        if bytes > limit {
            return Err(GitError::TooLarge {
                path: path.to_owned(),
                bytes,
                limit,
            });
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        match self.below {
            "." | "./" => name.to_owned(),
            below => format!("{}/{name}", below.trim_end_matches('/')),
        }
    }

    /// Roots are taken by number from 1 on; a gap ends the chain, and opening refuses what is missing.
    fn roots(&self, top: &Tree<'r>) -> Result<Vec<Vec<u8>>, GitError> {
        let mut roots = Vec::new();
        let mut left = MAX_ALL_ROOTS;
        for version in 1..=limits::ROOTS + 1 {
            let name = format!("trust/{version}.root.json");
            match self.read(top, &name, MAX_ROOT.min(left)) {
                Ok(root) => {
                    left = left.saturating_sub(root.len() as u64);
                    roots.push(root);
                }
                Err(GitError::Layout { .. }) if version > 1 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(roots)
    }

    fn read(&self, top: &Tree<'r>, name: &str, limit: u64) -> Result<Vec<u8>, GitError> {
        let path = self.path(name);
        let id = self.find(top, &path)?;
        if !self.objects.exists(id) {
            // The server was asked to leave out what is larger than any file that is read.
            return Err(GitError::TooLarge {
                path,
                bytes: MAX_BLOB + 1,
                limit,
            });
        }
        self.fits(id, &path, limit)?;
        let blob = self
            .repository
            .find_blob(id)
            .map_err(|error| broken(&error))?;
        Ok(blob.content().to_vec())
    }

    /// The file under a path. `Tree::get_path` would unpack the folders on the way, whatever their size.
    fn find(&self, top: &Tree<'r>, path: &str) -> Result<Oid, GitError> {
        let absent = || GitError::Layout {
            commit: self.head.to_string(),
            path: path.to_owned(),
        };
        let mut parts = path.split('/').filter(|part| *part != ".").peekable();
        let mut tree = top.clone();
        while let Some(part) = parts.next() {
            let entry = tree.get_name(part).ok_or_else(absent)?;
            match (entry.kind(), parts.peek()) {
                (Some(ObjectType::Tree), Some(_)) => {
                    let id = entry.id();
                    drop(entry);
                    tree = self.tree(id, path)?;
                }
                // A symbolic link is a blob too; its content would be taken for the file.
                (Some(ObjectType::Blob), None) if entry.filemode() != LINK => {
                    return Ok(entry.id());
                }
                _ => return Err(absent()),
            }
        }
        Err(absent())
    }
}

const LINK: i32 = 0o120_000;

fn broken(error: &git2::Error) -> GitError {
    GitError::Mirror {
        why: error.message().to_owned(),
    }
}
