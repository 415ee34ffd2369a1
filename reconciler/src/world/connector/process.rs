//! Child processes in a group of their own, ended with everything they started when the deadline passes.
//!
//! Never leaves a child behind and never takes a killed one for a finished one. The interesting function is [`run`].

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::{Bounds, ConnectorError};

/// Between asking a group to end and ending it: enough for a client to cancel its query on the server.
const GRACE: Duration = Duration::from_secs(3);

/// Between two looks at a child. Short beside any dump, long beside a system call.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The list of a dump with some hundred thousand objects stays below; more is no answer that a person would read.
const OUTPUT_BYTES: u64 = 128 * 1024 * 1024;

/// A program, its arguments and all of its environment.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(&'static str, OsString)>,
    pub stdin: Option<String>,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// One line for a person: how it ended, and its first error or else its last word.
    pub fn reason(&self) -> String {
        let said = self
            .stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let word = said
            .clone()
            .find(|line| is_error(line))
            .or_else(|| said.clone().next_back())
            .unwrap_or("it said nothing");
        format!("{}: {word}", how(self.status))
    }

    /// Whether it ended well and reported no error on the way.
    pub fn is_clean(&self) -> bool {
        self.status.success() && !self.stderr.lines().any(is_error)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.stderr
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("warning:") || line.contains("WARNING:"))
    }
}

fn is_error(line: &str) -> bool {
    ["error:", "fatal:", "ERROR:", "FATAL:", "PANIC:"]
        .iter()
        .any(|mark| line.contains(mark))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "it ended in an unknown way".to_owned(),
    }
}

/// Runs a program to its end. A deadline or a cancel ends its whole group; a status other than 0 is the caller's to judge.
pub(super) fn run(program: &Program, what: &str, bounds: &Bounds) -> Result<Ended, ConnectorError> {
    bounds.check(what)?;
    let mut group = Group::start(program)?;
    let stdin = group.child.stdin.take();
    let stdout = group.child.stdout.take().map(collect);
    let stderr = group.child.stderr.take().map(collect);
    // Written from a thread, because a program that does not read would hold this one beyond its deadline.
    let text = program.stdin.clone().unwrap_or_default();
    let writer = stdin.map(|mut pipe| thread::spawn(move || pipe.write_all(text.as_bytes())));
    let ended = loop {
        if group.has_ended() {
            break Ok(());
        }
        if let Err(over) = bounds.check(what) {
            break Err(over);
        }
        thread::sleep(LOOK_EVERY);
    };
    let status = group
        .end()
        .map_err(|error| ConnectorError::io("wait for", &program.path, error))?;
    // A program that ended without reading all of its input tells so by its status; the broken pipe adds nothing.
    drop(writer.map(JoinHandle::join));
    let (stdout, stderr) = (text_of(stdout), text_of(stderr));
    ended.map(|()| Ended {
        status,
        stdout,
        stderr,
    })
}

/// A started program that is killed with its group when the value is dropped.
#[derive(Debug)]
pub(super) struct Group {
    pub child: Child,
    reaped: Option<ExitStatus>,
}

impl Group {
    pub fn start(program: &Program) -> Result<Self, ConnectorError> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .env_clear()
            .envs(program.env.iter().map(|(key, value)| (key, value)));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        match command.spawn() {
            Ok(child) => Ok(Self {
                child,
                reaped: None,
            }),
            Err(source) => Err(ConnectorError::ToolMissing {
                program: program.path.display().to_string(),
                source,
            }),
        }
    }

    /// Looks without reaping, so that the group's number cannot go to a stranger before the rest of it is ended.
    pub fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid()), flags) {
            Ok(WaitStatus::StillAlive) => false,
            Ok(_) | Err(_) => true,
        }
    }

    /// Ends what still runs, first asking and then not asking, and tells how the program itself ended.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.reaped {
            return Ok(status);
        }
        if !self.has_ended() {
            let _ = killpg(self.pid(), Signal::SIGTERM);
            let asked = Instant::now();
            while asked.elapsed() < GRACE && !self.has_ended() {
                thread::sleep(LOOK_EVERY);
            }
        }
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let status = self.child.wait()?;
        self.reaped = Some(status);
        Ok(status)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Drains a pipe to its end and keeps what fits.
pub(super) fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = pipe.by_ref().take(OUTPUT_BYTES).read_to_end(&mut kept);
        let _ = io::copy(&mut pipe, &mut io::sink());
        kept
    })
}

pub(super) fn text_of(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The program in its folder, or by name for the search path.
pub(super) fn locate(folder: Option<&Path>, name: &str) -> PathBuf {
    folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

pub(super) fn args<const N: usize>(args: [&OsStr; N]) -> Vec<OsString> {
    args.into_iter().map(OsStr::to_owned).collect()
}
