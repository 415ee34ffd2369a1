//! Owns the child process in which backups, restores and checks run: the protocol on both ends, the deadline, and the end of the whole
//! process group. Never puts a secret into arguments or the environment. The interesting function is [`ask`].
//!
//! The order goes over standard input, one line of JSON; words come back over standard output, one a line; the log goes to
//! standard error. The parent keeps standard input open: when it ends, the parent is dead and the child stops.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{ChildStdin, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::VaultError;
use super::job::{Answer, Order, Parent, Progress, Word, perform};
use super::source::SourceCount;
use crate::world::cancel::Cancel;
use crate::world::process::{Group, guard};
use crate::world::secret;

/// The hidden subcommand by which the daemon's program serves as its own child.
pub const SUBCOMMAND: &str = "__vault";

/// An order is a few paths, a password and at most the names of one run's packs; whatever is longer is none.
const ORDER_LIMIT: usize = 64 << 20;

/// A child that has said its last word leaves within this time: it only gives its memory back.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// After a child ended, its log is read to the end within this time.
const LOG_WITHIN: Duration = Duration::from_secs(2);

/// How often the parent looks whether it shall end.
const TICK: Duration = Duration::from_millis(100);

/// How much of the child's log is kept for the error message.
const LOG_TAIL: usize = 2000;

/// How much of it goes into the message.
const COMPLAINT: usize = 400;

/// How to start the child.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program, normally this one.
    pub program: PathBuf,
    /// Its arguments before the order arrives.
    pub arguments: Vec<OsString>,
    /// It is killed after this time.
    pub deadline: Duration,
    /// It is killed when this says so.
    pub cancel: Cancel,
}

impl Helper {
    /// This very program with its hidden subcommand.
    ///
    /// # Errors
    /// [`VaultError::Child`] when the program's own path is unknown.
    pub fn this_program(deadline: Duration, cancel: Cancel) -> Result<Self, VaultError> {
        let program = std::env::current_exe().map_err(|error| VaultError::Child {
            why: format!("its program cannot be found: {error}"),
        })?;
        Ok(Self {
            program,
            arguments: vec![SUBCOMMAND.into()],
            deadline,
            cancel,
        })
    }
}

/// The whole life of the child process: call it from the hidden subcommand and exit with what it returns.
pub fn run_child() -> ExitCode {
    // Not the library's standard input, which keeps a copy of what it read.
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::from(2);
    };
    let mut input = File::from(input);
    // The parent says nothing more before it is asked, so nothing of its next line is read here.
    let line = secret::read_line(&mut input, ORDER_LIMIT);
    let order = line
        .ok()
        .and_then(|line| secret::from_line::<Order>(&line).ok());
    let Some(order) = order else {
        // The line may hold the password, so nothing of it is shown.
        eprintln!("the order cannot be read");
        return ExitCode::from(2);
    };
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(input).lines().map_while(Result::ok) {
            if let Ok(answer) = serde_json::from_str::<Answer>(&line) {
                drop(sender.send(answer));
            }
        }
        // The parent is gone: whatever is under way must not become visible.
        std::process::exit(4);
    });
    let mut parent = Pipe { answers };
    let word = perform(&order, &mut parent);
    parent.tell(&word);
    ExitCode::SUCCESS
}

/// The parent at the other end of the pipes.
struct Pipe {
    answers: Receiver<Answer>,
}

impl Parent for Pipe {
    fn tell(&mut self, word: &Word) {
        let mut out = std::io::stdout().lock();
        // A parent that is gone hears nothing; the watcher of standard input ends this process.
        if let Ok(text) = serde_json::to_string(word) {
            drop(writeln!(out, "{text}").and_then(|()| out.flush()));
        }
    }

    fn verdict(&mut self, count: &SourceCount) -> Result<(), String> {
        self.tell(&Word::Verdict(count.clone()));
        match self.answers.recv() {
            Ok(Answer::Good) => Ok(()),
            Ok(Answer::Bad(why)) => Err(why),
            Err(_) => Err("nobody answered".to_owned()),
        }
    }
}

/// What the parent does with words that are not the last.
pub(super) trait Listener {
    /// The child is on its way.
    fn progress(&mut self, progress: &Progress);
    /// The child has read the source and asks whether it is good.
    fn verdict(&mut self, count: &SourceCount) -> Result<(), String>;
}

/// Starts a child, gives it the order and listens until it has said its last word.
pub(super) fn ask(
    helper: &Helper,
    order: &Order,
    listener: &mut dyn Listener,
) -> Result<Word, VaultError> {
    let broken = |why: String| VaultError::Child { why };
    let mut command = guard::ours(&helper.program);
    command
        .args(&helper.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::start(&mut command).map_err(|error| broken(error.to_string()))?;
    let (Some(mut input), Some(output), Some(log)) = (
        group.child.stdin.take(),
        group.child.stdout.take(),
        group.child.stderr.take(),
    ) else {
        return Err(broken("it has no pipes".to_owned()));
    };
    let words = listen(output);
    let (sender, tail) = channel();
    std::thread::spawn(move || sender.send(keep_tail(log)));
    let sent = send(&mut input, order);
    let last = hear(helper, &words, &mut input, listener);
    if !matches!(last, Ok(Some(_))) {
        group.kill();
    }
    drop(input);
    let status = group.finish(LEAVES_WITHIN);
    // A child that hangs in its storage keeps the pipe open; nobody waits for it.
    let log = tail.recv_timeout(LOG_WITHIN).unwrap_or_default();
    if let Some(word) = last? {
        return Ok(word);
    }
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let sent = sent
        .err()
        .map_or_else(String::new, |error| format!(", {error}"));
    Err(broken(format!("{status}{sent}: {}", complaint(&log))))
}

fn send(input: &mut ChildStdin, message: &impl Serialize) -> std::io::Result<()> {
    input.write_all(&secret::to_line(message)?)?;
    input.flush()
}

fn hear(
    helper: &Helper,
    words: &Receiver<Word>,
    input: &mut ChildStdin,
    listener: &mut dyn Listener,
) -> Result<Option<Word>, VaultError> {
    let begin = Instant::now();
    loop {
        let left = helper.deadline.saturating_sub(begin.elapsed());
        match words.recv_timeout(left.min(TICK)) {
            Ok(Word::Progress(at)) => listener.progress(&at),
            Ok(Word::Verdict(count)) => {
                let answer = match listener.verdict(&count) {
                    Ok(()) => Answer::Good,
                    Err(why) => Answer::Bad(why),
                };
                send(input, &answer).map_err(|error| VaultError::Child {
                    why: format!("it hears no answer: {error}"),
                })?;
            }
            Ok(
                word @ (Word::Stored(_) | Word::Restored(_) | Word::Checked(_) | Word::Failed(_)),
            ) => return Ok(Some(word)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if helper.cancel.is_cancelled() => {
                return Err(VaultError::Stopped);
            }
            Err(RecvTimeoutError::Timeout) if begin.elapsed() >= helper.deadline => {
                return Err(VaultError::Deadline {
                    seconds: helper.deadline.as_secs(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Lines that are no words are ignored: a library may print one.
fn listen(output: impl Read + Send + 'static) -> Receiver<Word> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Ok(word) = serde_json::from_str(&line)
                && sender.send(word).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn keep_tail(log: impl Read) -> String {
    let mut kept = String::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        kept.push_str(&line);
        kept.push('\n');
        if kept.len() > 2 * LOG_TAIL {
            kept = tail_of(&kept);
        }
    }
    tail_of(&kept)
}

/// What the log says about the end, in one line. A library's panic is for the log: it says nothing that its reader could act on.
fn complaint(log: &str) -> String {
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    if let Some(place) = lines.by_ref().find(|line| line.contains("panicked at")) {
        let message = lines.next().unwrap_or_default();
        tracing::error!(event = "engine_panicked", "{place} {message}");
        return "the engine stopped at something that it could not read".to_owned();
    }
    let told = log.lines().last().unwrap_or_default().trim();
    told.chars().take(COMPLAINT).collect()
}

fn tail_of(text: &str) -> String {
    let start = text
        .char_indices()
        .rev()
        .take(LOG_TAIL)
        .last()
        .map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or_default().to_owned()
}
