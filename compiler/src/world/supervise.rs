//! Owns the bounds of a run: how long a command takes and how much memory it holds, whatever a tree, a rule or a bundle contains.
//! The work is done in a child process, which is this binary once more; the parent only watches it, so that no rule, no builtin
//! and no proof can evade the bounds, and an abort of the child becomes a finding.
//!
//! Never looks at what the child does, and passes its streams and its exit status on as they are. The entry is [`supervise`].

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getppid};

/// A pull request waits for the answer: half a minute, less what it takes to report that there is none.
const TIME: Duration = Duration::from_secs(28);
/// What a small CI machine has to spare.
const MEMORY: u64 = 2 << 30;
/// Sets another time limit, in seconds: for the operator of a very large tree, or of a slow machine.
const TIME_VARIABLE: &str = "SEAWALL_TIME_LIMIT";
/// Sets another memory limit, in MiB.
const MEMORY_VARIABLE: &str = "SEAWALL_MEMORY_LIMIT";
/// Holds the process id of the parent. A process whose parent is another one has not been started by [`supervise`].
const MARKER: &str = "SEAWALL_SUPERVISED_BY";

/// Often enough that little memory is taken meanwhile, seldom enough that it costs nothing.
const POLL: Duration = Duration::from_millis(10);
/// A process that gets no CPU time for so long waits for something else than itself: a pager, a terminal, a stopped job.
const WINDOW: Duration = Duration::from_millis(500);
/// Rules are written by others and may nest; the default of 2 MiB holds less than what `rules` accepts.
const STACK: usize = 32 << 20;
/// Address space that a thread takes beside its stack, mostly the segment of its allocator.
const THREAD: u64 = 64 << 20;

static STARTED: OnceLock<Instant> = OnceLock::new();

/// What a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// By the clock.
    pub time: Duration,
    /// Resident, bytes.
    pub memory: u64,
}

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With an exit status of its own.
    Status(u8),
    /// It took longer than it may, and was killed.
    TooLong,
    /// It took more memory than it may, and was killed.
    TooLarge,
    /// It panicked, aborted, or was killed by somebody else; how, in words.
    Crashed(String),
}

impl Limits {
    /// Those of this process: an operator may set others in the environment, which no pull request can.
    pub fn read() -> Limits {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let time = number(TIME_VARIABLE).filter(|seconds| *seconds > 0);
        let memory = number(MEMORY_VARIABLE).filter(|mebibytes| *mebibytes > 0);
        Limits {
            time: time.map_or(TIME, Duration::from_secs),
            memory: memory.map_or(MEMORY, |mebibytes| mebibytes.saturating_mul(1 << 20)),
        }
    }

    /// The rest is left for what comes after rules: their findings are put together and rendered.
    fn of_rules(self) -> Duration {
        self.time.mul_f32(0.75)
    }

    /// An eighth is left for what the child takes between two looks.
    fn watched_memory(self) -> u64 {
        self.memory / 8 * 7
    }
}

/// How much time is left for rules; all of it in a process that nobody supervises.
pub fn left_for_rules() -> Duration {
    let limit = Limits::read().of_rules();
    let spent = STARTED.get().map_or(Duration::ZERO, Instant::elapsed);
    limit.saturating_sub(spent)
}

/// Runs this command once more in a child process and tells how it ended; none in the child itself, which has to do the work.
pub fn supervise(limits: Limits) -> io::Result<Option<Ended>> {
    if let Some(parent) = env::var(MARKER).ok().and_then(|text| text.parse().ok()) {
        let parent = Pid::from_raw(parent);
        if parent == getppid() {
            bind(limits)?;
            return Ok(None);
        }
        // It ended before this process could ask to end with it. Whoever only set the variable is still there.
        if kill(parent, None) == Err(Errno::ESRCH) {
            return Err(io::Error::other("the process that watches it has ended"));
        }
    }
    let mut child = Command::new(own_binary()?)
        .arg0(env::args_os().next().unwrap_or_else(|| "seawall".into()))
        .args(env::args_os().skip(1))
        .env(MARKER, std::process::id().to_string())
        .spawn()?;
    let ended = watch(&child, limits);
    if !matches!(ended, Ok(None)) {
        // It may have ended meanwhile; then there is nothing to kill.
        let _ = child.kill();
    }
    let status = child.wait()?;
    Ok(Some(ended?.unwrap_or_else(|| told(status))))
}

/// On Linux the file that runs, even where its path leads to another one by now.
fn own_binary() -> io::Result<std::path::PathBuf> {
    let running = std::path::PathBuf::from("/proc/self/exe");
    if running.exists() {
        Ok(running)
    } else {
        env::current_exe()
    }
}

/// Binds the child: it dies with its parent, leaves no core, and holds what the parent may see too late.
fn bind(limits: Limits) -> io::Result<()> {
    // The memory counts from here on; the parent's clock began a little earlier.
    let _ = STARTED.set(Instant::now());
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other("the process that watches it has ended"));
    }
    // A core of `seawall build` would hold a signing key.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let of_thread = THREAD + STACK as u64;
    // Allocators reserve more than they use, so that this is far above what may be resident: it holds while nobody looks.
    let space = limits
        .memory
        .saturating_mul(4)
        .saturating_add(of_thread.saturating_mul(threads as u64));
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    let space = space.min(hard);
    setrlimit(Resource::RLIMIT_AS, space, space)?;
    // The engine ends a rule between two steps, and names it.
    regorus::set_global_memory_limit(Some(limits.memory / 8 * 5));
    rayon::ThreadPoolBuilder::new()
        .stack_size(STACK)
        .build_global()
        .map_err(io::Error::other)
}

/// Waits for the end of the child, which is left to be reaped; tells what it took too much of.
fn watch(child: &Child, limits: Limits) -> io::Result<Option<Ended>> {
    let number = i32::try_from(child.id()).map_err(io::Error::other)?;
    let (end, ended) = mpsc::channel();
    let wait = move || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(Pid::from_raw(number)), flags) == Err(nix::errno::Errno::EINTR) {}
        // Nobody listens any more once the child is over its bounds.
        let _ = end.send(());
    };
    thread::Builder::new().name("wait".to_owned()).spawn(wait)?;
    let mut clock = Clock::new(number);
    loop {
        match ended.recv_timeout(POLL) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if resident(number).is_some_and(|bytes| bytes > limits.watched_memory()) {
            return Ok(Some(Ended::TooLarge));
        }
        if clock.worked() > limits.time {
            return Ok(Some(Ended::TooLong));
        }
    }
}

/// The time by the clock in which a process did something.
struct Clock {
    number: i32,
    worked: Duration,
    since: Instant,
    ticks: Option<u64>,
}

impl Clock {
    fn new(number: i32) -> Clock {
        Clock {
            number,
            worked: Duration::ZERO,
            since: Instant::now(),
            ticks: ticks(number),
        }
    }

    /// A window in which it got no CPU time does not count.
    fn worked(&mut self) -> Duration {
        let passed = self.since.elapsed();
        if passed < WINDOW {
            return self.worked + passed;
        }
        let ticks = ticks(self.number);
        if ticks.is_none() || ticks != self.ticks {
            self.worked += passed;
        }
        self.ticks = ticks;
        self.since = Instant::now();
        self.worked
    }
}

/// The CPU time of a process and all its threads, in ticks of the system.
fn ticks(number: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it is numbers.
    let (_, after) = stat.rsplit_once(')')?;
    let mut times = after.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(user + system)
}

/// The memory that a process holds, swapped out or not.
fn resident(number: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let swapped = kibibytes("VmSwap:").unwrap_or_default();
    Some(kibibytes("VmRSS:")?.saturating_add(swapped) << 10)
}

/// The exit status of a Rust program that panicked.
const PANICKED: i32 = 101;

fn told(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(PANICKED), _) => Ended::Crashed("it panicked".to_owned()),
        (Some(code), _) => Ended::Status(u8::try_from(code).unwrap_or(1)),
        (None, Some(signal)) => {
            let signal = Signal::try_from(signal);
            let name = signal.map_or("a signal", Signal::as_str);
            let why = match signal {
                Ok(Signal::SIGABRT) => ", as when stack or memory are used up",
                _ => "",
            };
            Ended::Crashed(format!("it was ended by {name}{why}"))
        }
        (None, None) => Ended::Crashed("it ended without a status".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_child_is_told_as_what_it_is() {
        let of = |status| told(ExitStatus::from_raw(status));
        assert_eq!(of(0), Ended::Status(0));
        assert_eq!(of(3 << 8), Ended::Status(3));
        assert_eq!(of(101 << 8), Ended::Crashed("it panicked".to_owned()));
        assert_eq!(
            of(6),
            Ended::Crashed(
                "it was ended by SIGABRT, as when stack or memory are used up".to_owned()
            )
        );
        assert_eq!(
            of(64),
            Ended::Crashed("it was ended by a signal".to_owned())
        );
    }

    #[test]
    fn what_is_left_is_shared() {
        let limits = Limits {
            time: TIME,
            memory: MEMORY,
        };
        assert!(limits.of_rules() < TIME);
        assert!(limits.watched_memory() < MEMORY);
        assert!(ticks(i32::try_from(std::process::id()).unwrap_or_default()).is_some());
        assert!(resident(i32::try_from(std::process::id()).unwrap_or_default()) > Some(1 << 20));
    }
}
