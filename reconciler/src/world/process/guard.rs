//! Owns what surrounds every process of this program and every program that it starts: no core dump, no rights for others,
//! no foreign environment, no life after its parent. Never kills. The interesting functions are [`harden`] and [`run`].
//!
//! A program is started through this binary's hidden subcommand, which sets what only the process itself can set and then
//! becomes the program: `execve` keeps the parent-death signal and the limits.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use crate::world::bucket;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{AccessFlags, access, getpid, getppid};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__guard";

/// What a program may need to find its files and to speak the operator's language; nothing of it is secret.
const ALLOWED: [&str; 9] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
];

/// What decides how this program itself runs, for its own children: what is preloaded into the parent, a test's clock among
/// it, is preloaded into them.
const ALLOWED_TO_OURS: [&str; 7] = [
    "SEAWALLD_LOG",
    "NO_COLOR",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "FAKETIME",
    "FAKETIME_SHARED",
    "FAKETIME_DONT_FAKE_MONOTONIC",
];

/// This binary, once it serves as the guard of what it starts. In another binary, such as a test's, there is no guard.
static GUARD: OnceLock<PathBuf> = OnceLock::new();

/// Limits that the kernel holds a program to. None is a limit of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The largest file that it may write, in bytes.
    pub file: Option<u64>,
    /// The address space of each of its processes, in bytes.
    pub memory: Option<u64>,
}

/// Makes this process one whose memory no core dump and no other user's debugger shows, whose files are its user's alone,
/// and which inherits the orphans of what it starts.
///
/// # Errors
/// When the kernel refuses.
pub fn harden() -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o077));
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    super::strays::adopt()?;
    // Set once, at the start of `main`.
    let _ = GUARD.set(std::env::current_exe()?);
    Ok(())
}

/// A program with a clean environment that ends when the thread that starts it ends.
pub fn program(name: impl Into<OsString>, limits: Limits) -> Command {
    let name = name.into();
    let mut command = match GUARD.get() {
        None => Command::new(name),
        Some(guard) => {
            let limit = |limit: Option<u64>| limit.unwrap_or(0).to_string();
            let mut command = Command::new(guard);
            command
                .arg(SUBCOMMAND)
                .arg(getpid().to_string())
                .args([limit(limits.file), limit(limits.memory)])
                .arg(name);
            command
        }
    };
    clean(&mut command, &ALLOWED);
    command
}

/// A process of this program with a clean environment. It hardens itself.
pub fn ours(program: &Path) -> Command {
    let mut command = Command::new(program);
    clean(&mut command, &ALLOWED);
    command.envs(present(&ALLOWED_TO_OURS));
    command.envs(present(&bucket::ROLE_VARIABLES.map(|(name, _)| name)));
    command.env("RUST_BACKTRACE", "0");
    command
}

fn clean(command: &mut Command, allowed: &[&str]) {
    command.env_clear().envs(present(allowed));
}

fn present(names: &[&str]) -> Vec<(String, OsString)> {
    let value = |name: &&str| Some(((*name).to_owned(), std::env::var_os(name)?));
    names.iter().filter_map(value).collect()
}

/// What a command runs, for messages: behind a guard it is the guarded program.
pub(super) fn name(command: &Command) -> OsString {
    let program = command.get_program();
    let mut arguments = command.get_args();
    let is_guard = arguments.next().is_some_and(|first| first == SUBCOMMAND);
    match arguments.nth(3) {
        Some(guarded) if is_guard => guarded.to_owned(),
        Some(_) | None => program.to_owned(),
    }
}

/// A guard that cannot become its program could only say so by an exit status, so the program is looked for before.
pub(super) fn find(command: &Command) -> io::Result<()> {
    let name = name(command);
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let found = if Path::new(&name).components().count() > 1 {
        runs(Path::new(&name))
    } else {
        let own = command
            .get_envs()
            .find(|(key, _)| *key == "PATH")
            .and_then(|(_, value)| value.map(OsString::from));
        own.or_else(|| std::env::var_os("PATH"))
            .is_some_and(|path| {
                std::env::split_paths(&path).any(|folder| runs(&folder.join(&name)))
            })
    };
    if found {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no such program",
        ))
    }
}

fn prepare(file: u64, memory: u64) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    for (resource, limit) in [
        (Resource::RLIMIT_FSIZE, file),
        (Resource::RLIMIT_AS, memory),
    ] {
        if limit > 0 {
            setrlimit(resource, limit, limit)?;
        }
    }
    // Asked and not killed: a client of a database cancels its query on the server.
    prctl::set_pdeathsig(Signal::SIGTERM)
}

/// The whole life of a guard: `<parent> <file limit> <memory limit> <program> <argument> …`, a limit of 0 being none.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let (Some(parent), Some(file), Some(memory)) = (number(), number(), number()) else {
        return ExitCode::from(2);
    };
    let Some(program) = arguments.next() else {
        return ExitCode::from(2);
    };
    let prepared = prepare(file, memory);
    // A parent that died before the signal was set would not be noticed any more.
    let orphaned = u64::try_from(getppid().as_raw()).ok() != Some(parent);
    if orphaned {
        return ExitCode::from(1);
    }
    let why = match prepared {
        Ok(()) => Command::new(&program).args(arguments).exec().to_string(),
        Err(error) => error.to_string(),
    };
    eprintln!("`{}` cannot be started: {why}", program.display());
    ExitCode::from(126)
}
