//! Owns the network: what the branch points at, and one shallow fetch of it into a mirror that is made new whenever the branch
//! moved. Nothing of an earlier fetch is kept, so that nothing piles up and nobody's settings survive in it. Never reads an
//! object. The interesting function is [`fetch`].

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use git2::Repository;
use nix::fcntl::{Flock, FlockArg};

use super::{GitError, MIRROR_REF, credential};
use crate::config::Git;
use crate::world::process::guard::{self, Limits};
use crate::world::process::{self, Ended, Input, ProcessError, Stderr};

/// A fetch that brings more is stopped. The largest policy that opening takes is text of 400 MiB, which packs to a tenth.
const MAX_FETCHED: u64 = 256 << 20;

/// The kernel stops a single file a little later: between two looks at the folder a fast server fills a disk.
const MAX_FILE: u64 = MAX_FETCHED + (16 << 20);

/// What a process of git may ask for. A small pack can hold an object of any size.
const MAX_MEMORY: u64 = 2 << 30;

/// How often a growing mirror is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(50);

/// How often another process's lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// The mirror's settings. Whatever else stood there is gone before git or `git2` opens it.
const SETTINGS: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";

/// Keeps other commands away from the mirror for as long as it lives.
pub(super) fn lock(
    git: &Git,
    mirror: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Flock<File>, GitError> {
    let began = Instant::now();
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(mirror.with_extension("lock"))
        .map_err(|error| unusable(&error))?;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => file,
            Err((_, error)) => return Err(unusable(&error)),
        };
        if stop() {
            return Err(GitError::Stopped);
        }
        if began.elapsed().as_secs() >= git.deadline.get() {
            return Err(GitError::Mirror {
                why: "another process uses it".to_owned(),
            });
        }
        std::thread::sleep(TRY_EVERY);
    }
}

/// Makes the mirror hold what the branch points at, and nothing else.
pub(super) fn fetch(git: &Git, mirror: &Path, stop: &dyn Fn() -> bool) -> Result<(), GitError> {
    let fresh = mirror.with_extension("new");
    // What a killed fetch left.
    forget(&fresh)?;
    blank(&fresh).map_err(|error| unusable(&error))?;
    let done = update(git, mirror, &fresh, stop);
    match done {
        Ok(true) => {
            settle(&fresh)?;
            forget(mirror)?;
            std::fs::rename(&fresh, mirror).map_err(|error| unusable(&error))
        }
        Ok(false) => forget(&fresh),
        Err(error) => {
            forget(&fresh)?;
            Err(error)
        }
    }
}

/// Fetches into `fresh` unless the mirror holds the commit already; says whether it did.
fn update(
    git: &Git,
    mirror: &Path,
    fresh: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<bool, GitError> {
    let began = Instant::now();
    let call = Call {
        git,
        fresh,
        stop,
        began,
    };
    let tip = call.tip()?;
    if held(mirror).as_deref() == Some(tip.as_str()) {
        return Ok(false);
    }
    call.fetch(true)?;
    Ok(true)
}

/// Removes a mirror.
pub(super) fn forget(mirror: &Path) -> Result<(), GitError> {
    let gone = match std::fs::symlink_metadata(mirror) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(mirror),
        Ok(_) => std::fs::remove_file(mirror),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An empty bare repository: no template, no hook, no setting but [`SETTINGS`].
fn blank(folder: &Path) -> std::io::Result<()> {
    for below in ["objects", "refs"] {
        std::fs::create_dir_all(folder.join(below))?;
    }
    std::fs::write(folder.join("HEAD"), format!("ref: {MIRROR_REF}\n"))?;
    std::fs::write(folder.join("config"), SETTINGS)
}

/// Git notes in the mirror's settings what it left out; that is of no use here, and `git2` refuses to open it.
fn settle(mirror: &Path) -> Result<(), GitError> {
    let config = mirror.join("config");
    // A link would be followed by writing.
    forget(&config)?;
    std::fs::write(&config, SETTINGS).map_err(|error| unusable(&error))
}

/// The commit that a mirror holds; none when there is no mirror that can be opened.
fn held(mirror: &Path) -> Option<String> {
    settle(mirror).ok()?;
    let repository = Repository::open_bare(mirror).ok()?;
    let head = repository.find_reference(MIRROR_REF).ok()?;
    Some(head.target()?.to_string())
}

/// One conversation with the server.
struct Call<'a> {
    git: &'a Git,
    fresh: &'a Path,
    stop: &'a dyn Fn() -> bool,
    began: Instant,
}

impl Call<'_> {
    /// What the branch points at.
    fn tip(&self) -> Result<String, GitError> {
        let branch = format!("refs/heads/{}", self.git.branch);
        let absent = || GitError::BranchAbsent {
            url: self.git.url.clone(),
            branch: self.git.branch.clone(),
        };
        let mut command = self.command()?;
        command
            .args(["ls-remote", "--quiet", "--exit-code", "--end-of-options"])
            .args([&self.git.url, &branch]);
        let ended = self.run(&mut command)?;
        // By `--exit-code`: the server answered, and has no such reference.
        if ended.status.code() == Some(2) {
            return Err(absent());
        }
        let answer = String::from_utf8_lossy(&self.good(ended)?.stdout).into_owned();
        let mut lines = answer.lines().filter_map(|line| line.split_once('\t'));
        lines
            .find(|(_, name)| *name == branch)
            .map(|(id, _)| id.to_owned())
            .ok_or_else(absent)
    }

    /// The commit alone, without its history, and without files that are too large to be read anyway. A server that cannot
    /// leave files out sends them, and one that cannot cut history off is asked once more for all of it, within the bounds.
    fn fetch(&self, shallow: bool) -> Result<(), GitError> {
        let mut command = self.command()?;
        command.args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
            "--force",
        ]);
        if shallow {
            command.arg("--depth=1");
            command.arg(format!("--filter=blob:limit={}", super::read::MAX_BLOB + 1));
        }
        command
            .args(["--end-of-options", &self.git.url])
            .arg(format!("+refs/heads/{}:{MIRROR_REF}", self.git.branch));
        let ended = self.run(&mut command)?;
        let said = String::from_utf8_lossy(&ended.stderr);
        if shallow
            && !ended.status.success()
            && ["not support shallow", "not support --depth"]
                .iter()
                .any(|refusal| said.contains(refusal))
        {
            return self.fetch(false);
        }
        self.good(ended).map(drop)
    }

    fn run(&self, command: &mut Command) -> Result<Ended, GitError> {
        let url = || self.git.url.clone();
        let deadline = Duration::from_secs(self.git.deadline.get());
        let measured = Cell::new(Instant::now());
        let grown = Cell::new(false);
        let watch = || {
            if measured.get().elapsed() >= MEASURE_EVERY {
                grown.set(size(self.fresh) > MAX_FETCHED);
                measured.set(Instant::now());
            }
            grown.get() || (self.stop)()
        };
        let ended = process::run(
            command,
            Input::Nothing,
            Stderr::Collect,
            deadline.saturating_sub(self.began.elapsed()),
            &watch,
        );
        // The kernel's own limit may have been first.
        if size(self.fresh) > MAX_FETCHED {
            return Err(GitError::Endless {
                url: url(),
                limit: MAX_FETCHED,
            });
        }
        ended.map_err(|error| match error {
            ProcessError::Start { source, .. } => GitError::Missing {
                why: source.to_string(),
            },
            ProcessError::Deadline { .. } => GitError::Deadline {
                url: url(),
                seconds: deadline.as_secs(),
            },
            ProcessError::Stopped { .. } => GitError::Stopped,
            ProcessError::Wait { .. } => GitError::Unreachable {
                url: url(),
                why: error.to_string(),
            },
        })
    }

    fn good(&self, ended: Ended) -> Result<Ended, GitError> {
        if ended.status.success() {
            return Ok(ended);
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        // Git ends with advice; the cause is its first fatal line.
        let cause = said
            .lines()
            .find(|line| line.starts_with("fatal:"))
            .map(|line| line.trim_start_matches("fatal:").trim().to_owned());
        Err(GitError::Unreachable {
            url: self.git.url.clone(),
            why: cause.unwrap_or_else(|| ended.complaint()),
        })
    }

    /// Nothing of the machine's, the user's or the mirror's configuration reaches git, and git reaches nothing but the wanted
    /// transports.
    fn command(&self) -> Result<Command, GitError> {
        let limits = Limits {
            file: Some(MAX_FILE),
            memory: Some(MAX_MEMORY),
        };
        let mut command = guard::program("git", limits);
        for name in [
            "SSH_AUTH_SOCK",
            "HTTPS_PROXY",
            "https_proxy",
            "NO_PROXY",
            "no_proxy",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let home = self.fresh.parent().unwrap_or(self.fresh);
        command
            .env("LC_ALL", "C")
            .env("HOME", home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("GIT_SSH_COMMAND", credential::ssh_command(self.git))
            .env("GIT_ALLOW_PROTOCOL", "file:https:ssh")
            .env("GIT_OPTIONAL_LOCKS", "0");
        if let Some(file) = &self.git.ca_file {
            command.env("GIT_SSL_CAINFO", file);
        }
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "credential.helper=",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.fsckObjects=true",
            "transfer.fsckObjects=true",
            // One file for all objects: what a server sends must not become a million files.
            "fetch.unpackLimit=1",
            "pack.threads=1",
            "http.followRedirects=false",
            "submodule.recurse=false",
            "protocol.allow=never",
            "protocol.file.allow=always",
            "protocol.https.allow=always",
            "protocol.ssh.allow=always",
        ] {
            command.args(["-c", setting]);
        }
        credential::give(self.git, &mut command)?;
        command.arg("--git-dir").arg(self.fresh);
        Ok(command)
    }
}

/// The bytes below a folder, as far as they can be seen.
fn size(folder: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes = bytes.saturating_add(found.len()),
                Err(_) => {}
            }
        }
    }
    bytes
}

fn unusable(error: &dyn std::fmt::Display) -> GitError {
    GitError::Mirror {
        why: error.to_string(),
    }
}
