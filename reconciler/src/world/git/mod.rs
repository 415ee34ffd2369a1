//! Owns the way to published policy: the network by the `git` command under a deadline and bounds, the objects by `git2` from
//! a bare mirror that nothing outlives. Never checks anything out, runs a hook, or trusts what it reads. See [`published`].

pub mod credential;
mod fetch;
mod read;

use std::path::Path;

use contract::code::{self, Code};
use contract::id::EnvironmentId;

use crate::config::Git;

/// Where the mirror keeps what it fetched.
const MIRROR_REF: &str = "refs/seawall/head";

/// The published files of one environment, untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The commit they were read from; a hint for people, no identity.
    pub commit: String,
    /// `trust/1.root.json` … in order of version.
    pub roots: Vec<Vec<u8>>,
    /// `bundle.dsse.json`.
    pub envelope: Vec<u8>,
    /// `bundle.json`.
    pub bundle: Vec<u8>,
    /// `provenance.json`.
    pub provenance: Vec<u8>,
}

/// Why there is no published policy to look at.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The command is not there.
    #[error("the `git` command cannot be started: {why}")]
    Missing {
        /// The reason.
        why: String,
    },
    /// The repository did not answer as one.
    #[error("policy repository `{url}` cannot be fetched: {why}")]
    Unreachable {
        /// The repository.
        url: String,
        /// Git's last words.
        why: String,
    },
    /// It took too long.
    #[error("fetching policy from `{url}` was killed after {seconds} s")]
    Deadline {
        /// The repository.
        url: String,
        /// The deadline.
        seconds: u64,
    },
    /// It has no such branch.
    #[error("policy repository `{url}` has no branch `{branch}`")]
    BranchAbsent {
        /// The repository.
        url: String,
        /// The branch.
        branch: String,
    },
    /// A file is missing.
    #[error("commit `{commit}` of the policy repository has no `{path}`")]
    Layout {
        /// The commit.
        commit: String,
        /// The path.
        path: String,
    },
    /// A file is too large.
    #[error("`{path}` of the policy repository has {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// The path.
        path: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The fetch brings more than is ever kept.
    #[error("fetching policy from `{url}` was stopped: it brings more than {limit} bytes")]
    Endless {
        /// The repository.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The credentials cannot be used.
    #[error("the credentials of the policy repository cannot be used: `{path}` {why}")]
    Credentials {
        /// The file.
        path: String,
        /// The reason.
        why: String,
    },
    /// The process was asked to end.
    #[error("fetching policy was stopped: this process was asked to end")]
    Stopped,
    /// The mirror cannot be used.
    #[error("the mirror of the policy repository cannot be used: {why}")]
    Mirror {
        /// The reason.
        why: String,
    },
}

crate::failure::coded!(GitError);

impl GitError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => code::GIT_MISSING,
            Self::Unreachable { .. } => code::GIT_UNREACHABLE,
            Self::Deadline { .. } => code::GIT_DEADLINE,
            Self::BranchAbsent { .. } => code::GIT_BRANCH_ABSENT,
            Self::Layout { .. } => code::GIT_LAYOUT,
            Self::TooLarge { .. } => code::GIT_TOO_LARGE,
            Self::Endless { .. } => code::GIT_ENDLESS,
            Self::Credentials { .. } => code::GIT_CREDENTIALS_UNUSABLE,
            Self::Stopped => code::GIT_UNREACHABLE,
            Self::Mirror { .. } => code::GIT_MIRROR,
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "install git, or put it into the daemon's `PATH`",
            Self::Unreachable { .. } => {
                "check `git.url`, the network and the owner of the repository; the last good bundle stays active"
            }
            Self::Deadline { .. } => "check the network, or raise `git.deadline`",
            Self::BranchAbsent { .. } => "correct `git.branch`, or publish the branch",
            Self::Layout { .. } => {
                "publish with `seawall build --out`, and point `git.path` at the folder that holds `trust/`"
            }
            Self::TooLarge { .. } => "publish a smaller policy",
            Self::Endless { .. } => {
                "publish policy on a branch without other files; the last good bundle stays active"
            }
            Self::Credentials { .. } => {
                "correct `git.credentials` or `git.ssh`, and let the daemon's user alone read the file"
            }
            Self::Stopped => "start the daemon again; the last good bundle stays active",
            Self::Mirror { .. } => {
                "check the state folder; the mirror may be deleted, the next round makes it again"
            }
        }
    }
}

/// Fetches the branch and reads the published files of an environment; none where the branch still shows a known commit. A mirror
/// that is broken is made again once.
///
/// # Errors
/// When nothing can be fetched or read. The mirror then holds what it held, or nothing.
pub fn published(
    git: &Git,
    mirror: &Path,
    environment: &EnvironmentId,
    known: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Published>, GitError> {
    let _lock = fetch::lock(git, mirror, stop)?;
    let once = || {
        fetch::fetch(git, mirror, stop)?;
        read::read(git, mirror, environment, known)
    };
    match once() {
        Err(GitError::Mirror { why }) => {
            tracing::warn!(event = "mirror_made_anew", code = %code::GIT_MIRROR, "the mirror is made again: {why}");
            fetch::forget(mirror)?;
            once()
        }
        other => other,
    }
}
