//! Owns the way to published policy: the network by the `git` command under a deadline, the objects by `git2` from a bare
//! mirror. Never checks anything out, runs a hook, or trusts what it reads. See [`fetch`] and [`read`].

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use contract::code::{self, Code};
use contract::id::EnvironmentId;
use git2::{ObjectType, Oid, Repository, Tree};

use super::process::{self, ProcessError, Stderr};
use crate::config::Git;

/// Where the mirror keeps what it fetched.
const MIRROR_REF: &str = "refs/seawall/head";

/// Larger files are not read; the limits of opening are stricter, this one only protects memory before them.
const MAX_FILE_BYTES: usize = 256 << 20;

/// More root files than this are not read.
const MAX_ROOTS: usize = 1_024;

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
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The mirror cannot be used.
    #[error("the mirror of the policy repository cannot be used: {why}")]
    Mirror {
        /// The reason.
        why: String,
    },
}

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
            Self::Mirror { .. } => code::GIT_MIRROR,
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "install git, or put it into the daemon's `PATH`",
            Self::Unreachable { .. } => {
                "check `git.url`, the network and who owns the repository; the last good bundle stays in force"
            }
            Self::Deadline { .. } => "check the network, or raise `git.deadline`",
            Self::BranchAbsent { .. } => "correct `git.branch`, or publish the branch",
            Self::Layout { .. } => {
                "publish with `seawall build --out`, and point `git.path` at the folder that holds `trust/`"
            }
            Self::TooLarge { .. } => "publish a smaller policy",
            Self::Mirror { .. } => {
                "check the state folder; the mirror may be deleted, the next round makes it again"
            }
        }
    }
}

/// Fetches the branch into the mirror, which is made when missing.
pub fn fetch(git: &Git, mirror: &Path) -> Result<(), GitError> {
    if Repository::open_bare(mirror).is_err() {
        let mut init = command(mirror);
        init.args(["init", "--quiet", "--bare", "--template="])
            .arg(mirror);
        run(&mut init, git)?;
    }
    let mut fetch = command(mirror);
    fetch
        .arg("--git-dir")
        .arg(mirror)
        .args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ])
        .args([
            "--no-write-fetch-head",
            "--force",
            "--end-of-options",
            &git.url,
        ])
        .arg(format!("+refs/heads/{}:{MIRROR_REF}", git.branch));
    run(&mut fetch, git)
}

/// Nothing of the machine's or the user's configuration reaches git, and git reaches nothing but the wanted transports.
fn command(mirror: &Path) -> Command {
    let mut command = Command::new("git");
    let kept = [
        "PATH",
        "SSH_AUTH_SOCK",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
    ];
    let kept: Vec<_> = kept
        .iter()
        .filter_map(|name| std::env::var_os(name).map(|value| (name, value)))
        .collect();
    command.env_clear().envs(kept);
    command
        .env("LC_ALL", "C")
        .env("HOME", mirror.parent().unwrap_or(mirror))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        .env("GIT_ALLOW_PROTOCOL", "file:https:ssh")
        .env("GIT_OPTIONAL_LOCKS", "0");
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "credential.helper=",
        "gc.auto=0",
        "maintenance.auto=false",
        "fetch.fsckObjects=true",
        "transfer.fsckObjects=true",
        "http.followRedirects=false",
        "submodule.recurse=false",
        "protocol.allow=never",
        "protocol.file.allow=always",
        "protocol.https.allow=always",
        "protocol.ssh.allow=always",
    ] {
        command.args(["-c", setting]);
    }
    command
}

fn run(command: &mut Command, git: &Git) -> Result<(), GitError> {
    let deadline = Duration::from_secs(git.deadline.get());
    let ended = process::run(
        command,
        process::Input::Nothing,
        Stderr::Collect,
        deadline,
        &|| false,
    )
    .map_err(|error| match error {
        ProcessError::Start { source, .. } => GitError::Missing {
            why: source.to_string(),
        },
        ProcessError::Deadline { after, .. } => GitError::Deadline {
            url: git.url.clone(),
            seconds: after.as_secs(),
        },
        ProcessError::Stopped { .. } | ProcessError::Wait { .. } => GitError::Unreachable {
            url: git.url.clone(),
            why: error.to_string(),
        },
    })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    if said.contains("couldn't find remote ref") {
        return Err(GitError::BranchAbsent {
            url: git.url.clone(),
            branch: git.branch.clone(),
        });
    }
    // Git ends with advice; the cause is its first fatal line.
    let cause = said
        .lines()
        .find(|line| line.starts_with("fatal:"))
        .map(|line| line.trim_start_matches("fatal:").trim().to_owned());
    Err(GitError::Unreachable {
        url: git.url.clone(),
        why: cause.unwrap_or_else(|| ended.complaint()),
    })
}

/// Reads the published files of an environment out of the mirror.
pub fn read(git: &Git, mirror: &Path, environment: &EnvironmentId) -> Result<Published, GitError> {
    let repository = Repository::open_bare(mirror).map_err(|error| broken(&error))?;
    let commit = repository
        .find_reference(MIRROR_REF)
        .and_then(|reference| reference.peel_to_commit())
        .map_err(|error| broken(&error))?;
    let files = Files {
        repository: &repository,
        tree: commit.tree().map_err(|error| broken(&error))?,
        commit: commit.id(),
        below: git.path.as_deref().unwrap_or("."),
    };
    Ok(Published {
        commit: commit.id().to_string(),
        roots: files.roots()?,
        envelope: files.read(&format!("{environment}/bundle.dsse.json"))?,
        bundle: files.read(&format!("{environment}/bundle.json"))?,
        provenance: files.read(&format!("{environment}/provenance.json"))?,
    })
}

struct Files<'r> {
    repository: &'r Repository,
    tree: Tree<'r>,
    commit: Oid,
    below: &'r str,
}

impl Files<'_> {
    fn path(&self, name: &str) -> String {
        match self.below {
            "." | "./" => name.to_owned(),
            below => format!("{}/{name}", below.trim_end_matches('/')),
        }
    }

    /// Roots are taken by number from 1 on; a gap ends the chain, and opening refuses what is missing.
    fn roots(&self) -> Result<Vec<Vec<u8>>, GitError> {
        let mut roots = Vec::new();
        for version in 1..=MAX_ROOTS {
            match self.read(&format!("trust/{version}.root.json")) {
                Ok(root) => roots.push(root),
                Err(GitError::Layout { .. }) if version > 1 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(roots)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, GitError> {
        let path = self.path(name);
        let absent = || GitError::Layout {
            commit: self.commit.to_string(),
            path: path.clone(),
        };
        let entry = self.tree.get_path(Path::new(&path)).map_err(|_| absent())?;
        // A symbolic link is a blob too; its content would be taken for the file.
        const LINK: i32 = 0o120_000;
        if entry.kind() != Some(ObjectType::Blob) || entry.filemode() == LINK {
            return Err(absent());
        }
        let objects = self.repository.odb().map_err(|error| broken(&error))?;
        let (bytes, _) = objects
            .read_header(entry.id())
            .map_err(|error| broken(&error))?;
        if bytes > MAX_FILE_BYTES {
            return Err(GitError::TooLarge {
                path,
                bytes,
                limit: MAX_FILE_BYTES,
            });
        }
        let blob = self
            .repository
            .find_blob(entry.id())
            .map_err(|error| broken(&error))?;
        Ok(blob.content().to_vec())
    }
}

fn broken(error: &git2::Error) -> GitError {
    GitError::Mirror {
        why: error.message().to_owned(),
    }
}
