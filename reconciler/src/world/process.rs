//! Owns child processes that may hang: each gets its own process group, a deadline and bounded output, and is killed with
//! everything it started. Never runs a shell. The interesting function is [`run`].

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// More output than this is dropped: nothing that we read from a child is long.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// How often a child is looked at. Short, because commands that take milliseconds are the common case.
const TICK: Duration = Duration::from_millis(5);

/// After a child ended, a grandchild may hold its pipes open; its output is waited for this long.
const PIPE_GRACE: Duration = Duration::from_secs(2);

/// How a child ended in time.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error; empty when it was passed on.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// The last line that says something, for a message.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        text.lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .map_or_else(
                || self.status.to_string(),
                |line| line.chars().take(300).collect(),
            )
    }
}

/// Why a child gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("`{program}` cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// The reason.
        source: std::io::Error,
    },
    /// It was killed.
    #[error("`{program}` was killed after {} s", .after.as_secs())]
    Deadline {
        /// The program.
        program: String,
        /// The deadline.
        after: Duration,
    },
    /// It was asked to stop.
    #[error("`{program}` was stopped")]
    Stopped {
        /// The program.
        program: String,
    },
    /// It could not be waited for.
    #[error("`{program}` cannot be waited for: {source}")]
    Wait {
        /// The program.
        program: String,
        /// The reason.
        source: std::io::Error,
    },
}

/// Whether the child's standard error is collected or goes where ours goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stderr {
    /// Collected.
    Collect,
    /// Passed on.
    Pass,
}

/// Runs a command to its end, its deadline, or until `stop` says so.
pub fn run(
    command: &mut Command,
    input: Option<&[u8]>,
    stderr: Stderr,
    deadline: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<Ended, ProcessError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let began = Instant::now();
    let mut child = command
        .process_group(0)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(match stderr {
            Stderr::Collect => Stdio::piped(),
            Stderr::Pass => Stdio::inherit(),
        })
        .spawn()
        .map_err(|source| ProcessError::Start {
            program: program.clone(),
            source,
        })?;
    // The pipe stays open until the child has ended: a child of ours takes its end for ours.
    let (hold, until_ended) = channel::<()>();
    if let (Some(bytes), Some(mut pipe)) = (input, child.stdin.take()) {
        let bytes = bytes.to_vec();
        // A child that does not read must not block us.
        std::thread::spawn(move || {
            let _ = pipe.write_all(&bytes).and_then(|()| pipe.flush());
            let _ = until_ended.recv();
        });
    }
    let stdout = collect(child.stdout.take());
    let errors = collect(child.stderr.take());
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if stop() => {
                kill(&mut child);
                return Err(ProcessError::Stopped { program });
            }
            Ok(None) if began.elapsed() >= deadline => {
                kill(&mut child);
                return Err(ProcessError::Deadline {
                    program,
                    after: deadline,
                });
            }
            Ok(None) => std::thread::sleep(TICK),
            Err(source) => {
                kill(&mut child);
                return Err(ProcessError::Wait { program, source });
            }
        }
    };
    let ended = Ended {
        status,
        stdout: stdout.recv_timeout(PIPE_GRACE).unwrap_or_default(),
        stderr: errors.recv_timeout(PIPE_GRACE).unwrap_or_default(),
    };
    drop(hold);
    // Whoever the child left behind would work on unseen.
    let _ = killpg(group(&child), Signal::SIGKILL);
    Ok(ended)
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let mut limited = pipe.take(OUTPUT_LIMIT);
            let _ = limited.read_to_end(&mut bytes);
            // Reading on lets a talkative child end by itself.
            let _ = std::io::copy(&mut limited.into_inner(), &mut std::io::sink());
        }
        sender.send(bytes)
    });
    receiver
}

fn kill(child: &mut Child) {
    let _ = killpg(group(child), Signal::SIGKILL);
    let _ = child.kill();
    let _ = child.wait();
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}
