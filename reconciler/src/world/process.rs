//! Owns child processes that may hang: each gets its own process group, a deadline and bounded output, and is killed with
//! everything it started, what left its group among it. Never runs a shell. The interesting function is [`run`].

pub mod guard;
pub mod signals;
mod strays;

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use zeroize::Zeroizing;

/// More output than this is dropped: nothing that we read from a child is long.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// How often a child is looked at. Short, because commands that take milliseconds are the common case.
const TICK: Duration = Duration::from_millis(5);

/// Between asking a group to end and ending it: enough for a database client to cancel its query on the server.
const GRACE: Duration = Duration::from_secs(3);

/// Between asking all groups to end and ending them. Shorter than [`GRACE`]: the parent of an effect waits for it that long.
const GRACE_OF_ALL: Duration = Duration::from_secs(2);

/// After a child ended, a grandchild may hold its pipes open; its output is waited for this long.
const PIPE_GRACE: Duration = Duration::from_secs(2);

/// A child of ours that has answered leaves within this time, unless its storage hangs.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

/// A killed process is gone within this time, unless the kernel itself waits for a device. Then nobody can end it, and
/// nobody waits for it.
const GONE_WITHIN: Duration = Duration::from_secs(2);

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

/// What the child reads from its standard input.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Nothing.
    Nothing,
    /// These bytes and the end, as programs expect it.
    Whole(&'a [u8]),
    /// These bytes, and no end while we live: a child of ours takes the end of its input for our death.
    Held(&'a [u8]),
}

/// Runs a command to its end, its deadline, or until `stop` says so.
pub fn run(
    command: &mut Command,
    input: Input<'_>,
    stderr: Stderr,
    deadline: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<Ended, ProcessError> {
    let began = Instant::now();
    let mut group = Group::start(
        command
            .stdin(match input {
                Input::Nothing => Stdio::null(),
                Input::Whole(_) | Input::Held(_) => Stdio::piped(),
            })
            .stdout(Stdio::piped())
            .stderr(match stderr {
                Stderr::Collect => Stdio::piped(),
                Stderr::Pass => Stdio::inherit(),
            }),
    )?;
    let (hold, until_ended) = channel::<()>();
    let (bytes, held) = match input {
        Input::Nothing => (&[][..], false),
        Input::Whole(bytes) => (bytes, false),
        Input::Held(bytes) => (bytes, true),
    };
    if let Some(mut pipe) = group.child.stdin.take() {
        // An order holds a key.
        let bytes = Zeroizing::new(bytes.to_vec());
        // A child that does not read must not block us.
        std::thread::spawn(move || {
            let _ = pipe.write_all(&bytes).and_then(|()| pipe.flush());
            if held {
                let _ = until_ended.recv();
            }
        });
    }
    let stdout = Output::of(group.child.stdout.take());
    let errors = Output::of(group.child.stderr.take());
    let mut answered: Option<Instant> = None;
    while !group.has_ended() {
        // A child of ours says one line. What keeps it afterwards is a location that hangs.
        if held && answered.is_none() && stdout.has_line() {
            answered = Some(Instant::now());
        }
        if answered.is_some_and(|answered| answered.elapsed() > LEAVES_WITHIN) {
            break;
        }
        if stop() {
            let program = group.program.clone();
            group.end()?;
            return Err(ProcessError::Stopped { program });
        }
        if began.elapsed() >= deadline {
            let program = group.program.clone();
            group.end()?;
            return Err(ProcessError::Deadline {
                program,
                after: deadline,
            });
        }
        std::thread::sleep(TICK);
    }
    let ended = Ok(Ended {
        status: group.end()?,
        stdout: stdout.bytes(PIPE_GRACE),
        stderr: errors.bytes(PIPE_GRACE),
    });
    drop(hold);
    ended
}

/// The groups that run now, so that a process that must end at once leaves none behind.
#[derive(Debug, Default)]
struct Live {
    leaders: BTreeSet<i32>,
    /// Whether this process is ending: nothing is started any more.
    closed: bool,
}

static LIVE: Mutex<Live> = Mutex::new(Live {
    leaders: BTreeSet::new(),
    closed: false,
});

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every group that this process started and that still runs, first asking and then not asking, and whatever left its
/// group. Only for a process that ends right afterwards: nothing can be started any more.
pub fn end_all() {
    let mut live = live();
    live.closed = true;
    for leader in &live.leaders {
        // The only failure is that the group is gone already.
        let _ = killpg(Pid::from_raw(*leader), Signal::SIGTERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < GRACE_OF_ALL && !live.leaders.iter().all(|leader| has_ended(*leader)) {
        std::thread::sleep(TICK);
    }
    for leader in &live.leaders {
        let _ = killpg(Pid::from_raw(*leader), Signal::SIGKILL);
    }
    strays::end(&BTreeSet::new());
}

/// Looks without reaping: once reaped, the number of the group could belong to a stranger.
fn has_ended(leader: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(leader)), flags) {
        Ok(WaitStatus::StillAlive) => false,
        Ok(_) | Err(_) => true,
    }
}

/// A started child that leads a process group of its own. The whole group is ended when the value is dropped.
#[derive(Debug)]
pub struct Group {
    /// The child, with those of its pipes that nobody took.
    pub child: Child,
    program: String,
    reaped: Option<ExitStatus>,
}

impl Group {
    /// Starts the command at the head of a new group.
    pub fn start(command: &mut Command) -> Result<Self, ProcessError> {
        let program = guard::name(command).to_string_lossy().into_owned();
        // Held while it starts, so that no child is missing from the list.
        let mut live = live();
        let started = if live.closed {
            Err(std::io::Error::other("this process is ending"))
        } else {
            guard::find(command).and_then(|()| command.process_group(0).spawn())
        };
        match started {
            Ok(child) => {
                live.leaders.insert(child.id().cast_signed());
                Ok(Self {
                    child,
                    program,
                    reaped: None,
                })
            }
            Err(source) => Err(ProcessError::Start { program, source }),
        }
    }

    /// Whether the child has ended. Its group may still run.
    pub fn has_ended(&self) -> bool {
        self.reaped.is_some() || has_ended(self.pid().as_raw())
    }

    /// Asks the child alone to end: it ends what it started.
    pub fn ask_to_end(&self) {
        if self.reaped.is_none() {
            // The only failure is that it is gone already.
            let _ = kill(self.pid(), Signal::SIGTERM);
        }
    }

    /// Kills the whole group without asking.
    pub fn kill(&mut self) {
        if self.reaped.is_none() {
            // The only failure is that the group is gone already.
            let _ = killpg(self.pid(), Signal::SIGKILL);
        }
    }

    /// Lets the child end in its own time, but not longer than this, and ends what is left of the group.
    pub fn finish(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        let began = Instant::now();
        while began.elapsed() < within && !self.has_ended() {
            std::thread::sleep(TICK);
        }
        self.end()
    }

    /// Ends whatever of the group still runs, first asking and then not asking, and tells how the child itself ended.
    pub fn end(&mut self) -> Result<ExitStatus, ProcessError> {
        if let Some(status) = self.reaped {
            return Ok(status);
        }
        if !self.has_ended() {
            let _ = killpg(self.pid(), Signal::SIGTERM);
            let asked = Instant::now();
            while asked.elapsed() < GRACE && !self.has_ended() {
                std::thread::sleep(TICK);
            }
        }
        // Whoever the child left behind would work on unseen.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let killed = Instant::now();
        while !self.has_ended() {
            if killed.elapsed() > GONE_WITHIN {
                let status = self.leave_behind();
                self.reaped = Some(status);
                return Ok(status);
            }
            std::thread::sleep(TICK);
        }
        let status = self.child.wait();
        {
            let mut live = live();
            live.leaders.remove(&self.pid().as_raw());
            strays::end(&live.leaders);
        }
        let status = status.map_err(|source| ProcessError::Wait {
            program: self.program.clone(),
            source,
        })?;
        self.reaped = Some(status);
        Ok(status)
    }

    /// It ends when what it waits for does. A thread reaps it then.
    fn leave_behind(&self) -> ExitStatus {
        let pid = self.pid();
        tracing::warn!(event = "process_left_behind", pid = pid.as_raw(), program = %self.program, "a killed process does not end: its storage hangs");
        std::thread::spawn(move || {
            let _ = waitpid(pid, None);
            live().leaders.remove(&pid.as_raw());
        });
        ExitStatus::from_raw(Signal::SIGKILL as i32)
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

/// What comes out of a pipe, read on a thread.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = channel();
        let kept = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut pipe = pipe;
            while let Some(Ok(read)) = pipe.as_mut().map(|pipe| pipe.read(&mut buffer))
                && read > 0
            {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                // Reading on lets a talkative child end by itself.
                if ((kept.len() + read) as u64) <= OUTPUT_LIMIT {
                    kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
                }
            }
            sender.send(())
        });
        Self { bytes, ended }
    }

    fn held(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_line(&self) -> bool {
        self.held().last() == Some(&b'\n')
    }

    /// Everything, or what came in time.
    fn bytes(&self, within: Duration) -> Vec<u8> {
        let _ = self.ended.recv_timeout(within);
        std::mem::take(&mut *self.held())
    }
}

/// Reads a pipe to its end on a thread and keeps what fits.
pub fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
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
