//! Owns the daemon's end of a worker: gives it its order, hears how far it is, and ends it with everything that it started when it
//! is asked to stop, when its time is over, or when it comes no further. Never puts a secret into arguments or the environment.
//! The interesting function is [`Helper::ask`].

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use contract::code::{self, Code};
use zeroize::Zeroizing;

use super::meter::Meter;
use super::protocol::{Answer, Limit, Order, Word};
use super::{SUBCOMMAND, relay};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::spans::TARGET;
use crate::world::cancel::Cancel;
use crate::world::process::{Group, guard};
use crate::world::secret;
use crate::world::vault::{Done, Hands, Order as Job, VaultError, learn};

/// A worker that has said its last word leaves within this time: it only gives its memory back.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// A worker that was asked to end undoes within this time what it has half done: it drops a database that it has begun to load. With
/// the look of a running process at its hold, this is over before a process that took the store over begins.
const CLEANS_UP_WITHIN: Duration = Duration::from_secs(10);

/// After a worker ended, its log is read to the end within this time.
const LOG_WITHIN: Duration = Duration::from_secs(2);

/// How often the daemon looks whether it shall end.
const TICK: Duration = Duration::from_millis(100);

/// How much of the worker's log is kept for the error message.
const LOG_TAIL: usize = 2000;

/// How much of it goes into the message.
const COMPLAINT: usize = 400;

/// A word that is longer than any answer is none: what was read of it so far is all that is kept.
const LONGEST_WORD: u64 = 256 << 20;

/// How to start a worker, and when to end it.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program, normally this one.
    pub program: PathBuf,
    /// Its arguments before the order arrives.
    pub arguments: Vec<OsString>,
    /// It is ended then.
    pub limit: Limit,
    /// It is ended when this says so.
    pub cancel: Cancel,
    /// Hears how far it is.
    pub meter: Meter,
}

/// Why a worker gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// It was asked to stop.
    Stopped,
    /// Its time was over.
    Deadline(Duration),
    /// It came no further for this long.
    Still(Duration),
    /// It could not be started or died.
    Died(String),
}

/// How an effect ended that gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// It answered that it failed, and left nothing but what the code says.
    Failed(Failure),
    /// It was ended or died: what it left must be looked at.
    Lost(Failure),
    /// It was asked to stop.
    Stopped,
}

impl Helper {
    /// This very program.
    ///
    /// # Errors
    /// When the program's own path is unknown.
    pub fn this_program(limit: Limit, cancel: Cancel, meter: Meter) -> Result<Self, Silence> {
        let program = std::env::current_exe()
            .map_err(|error| Silence::Died(format!("its program cannot be found: {error}")))?;
        Ok(Self {
            program,
            arguments: vec![SUBCOMMAND.into()],
            limit,
            cancel,
            meter,
        })
    }

    /// Starts a worker, gives it the order and listens until it has said its last word.
    ///
    /// # Errors
    /// When it said none.
    pub fn ask(&self, order: &Order) -> Result<Answer, Silence> {
        // What a worker says belongs to the operation that it works for.
        let operation = tracing::Span::current();
        let _span =
            tracing::debug_span!(target: TARGET, "worker", order = order.as_str()).entered();
        let mut command = guard::ours(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut group =
            Group::start(&mut command).map_err(|error| Silence::Died(error.to_string()))?;
        let (Some(input), Some(output), Some(log)) = (
            group.child.stdin.take(),
            group.child.stdout.take(),
            group.child.stderr.take(),
        ) else {
            return Err(Silence::Died("it has no pipes".to_owned()));
        };
        let words = listen(output);
        let (sender, tail) = channel();
        std::thread::spawn(move || sender.send(operation.in_scope(|| pass_on(log))));
        let held = send(input, order);
        let mut last = self.hear(&words);
        if order.cleans_up() && last.is_err() {
            group.ask_to_end();
            // What it says in the end is known, and needs no look.
            if let Some(answer) = last_word(&words) {
                last = Ok(Some(answer));
            }
        }
        // Everything that it started is ended with it, first asking: a dump cancels its query on the server.
        let status = match &last {
            Ok(Some(_)) => group.finish(LEAVES_WITHIN),
            Ok(None) | Err(_) => group.end(),
        };
        drop(held);
        if let Some(answer) = last? {
            return Ok(answer);
        }
        // A worker that hangs in its storage keeps the pipe open; nobody waits for it.
        let log = tail.recv_timeout(LOG_WITHIN).unwrap_or_default();
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(Silence::Died(format!("{status}: {}", complaint(&log))))
    }

    fn hear(&self, words: &Receiver<Word>) -> Result<Option<Answer>, Silence> {
        let began = Instant::now();
        let mut moved = began;
        let mut last = Progress::default();
        loop {
            match words.recv_timeout(TICK) {
                Ok(Word::Progress(progress)) => {
                    if progress != last {
                        moved = Instant::now();
                    }
                    last = progress;
                    self.meter.hear(progress);
                }
                Ok(Word::Derived(keys)) => learn(keys),
                Ok(Word::Answer(answer)) => return Ok(Some(answer)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.cancel.is_cancelled() {
                return Err(Silence::Stopped);
            }
            match self.limit {
                Limit::Within(time) if began.elapsed() >= time => {
                    return Err(Silence::Deadline(time));
                }
                Limit::Still(time) if moved.elapsed() >= time => return Err(Silence::Still(time)),
                Limit::Within(_) | Limit::Still(_) => {}
            }
        }
    }
}

/// What a worker says after it was asked to end, if it does so in time.
fn last_word(words: &Receiver<Word>) -> Option<Answer> {
    let asked = Instant::now();
    loop {
        let left = CLEANS_UP_WITHIN.saturating_sub(asked.elapsed());
        match words.recv_timeout(left) {
            Ok(Word::Progress(_) | Word::Derived(_)) => {}
            Ok(Word::Answer(answer)) => return Some(answer),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return None,
        }
    }
}

/// What a worker that changes something or looks at a source came to.
///
/// # Errors
/// As the worker answered, or ended.
pub fn effect(asked: Result<Answer, Silence>) -> Result<Answer, NoAnswer> {
    match asked {
        Ok(Answer::Failed {
            code,
            message,
            help,
        }) => {
            let code = Code::find(&code).unwrap_or(code::EFFECT_PANICKED);
            Err(NoAnswer::Failed(Failure::new(code, message, help)))
        }
        Ok(answer) => Ok(answer),
        Err(silence) => Err(silence.into()),
    }
}

impl From<Silence> for NoAnswer {
    fn from(silence: Silence) -> Self {
        let lost = |code: Code, message: String| {
            Self::Lost(Failure::new(
                code,
                message,
                "check the log of this operation; the next round inspects what was left",
            ))
        };
        match silence {
            Silence::Stopped => Self::Stopped,
            Silence::Deadline(after) => lost(
                code::DEADLINE_PASSED,
                format!("it was killed at its deadline, after {} s", after.as_secs()),
            ),
            Silence::Still(after) => lost(
                code::NO_PROGRESS,
                format!(
                    "it was killed because it made no progress for {} s",
                    after.as_secs()
                ),
            ),
            Silence::Died(why) => lost(
                code::EFFECT_PANICKED,
                format!("its process ended without an answer: {why}"),
            ),
        }
    }
}

impl From<Silence> for VaultError {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Stopped => Self::Stopped,
            Silence::Deadline(after) | Silence::Still(after) => Self::Deadline {
                seconds: after.as_secs(),
            },
            Silence::Died(why) => Self::Child { why },
        }
    }
}

impl Hands for Helper {
    fn perform(&self, order: Job) -> Result<Done, VaultError> {
        match self.ask(&Order::Location(Box::new(order)))? {
            Answer::Location(done) => Ok(*done),
            Answer::LocationFailed(error) => Err(*error),
            Answer::Backup(_)
            | Answer::CatchUp(_)
            | Answer::Pruned(_)
            | Answer::Applied(_)
            | Answer::Examined(_)
            | Answer::Opened { .. }
            | Answer::Probed(_)
            | Answer::Failed { .. } => Err(VaultError::Child {
                why: "it answered another question".to_owned(),
            }),
        }
    }
}

/// Holds the worker's standard input open until it is dropped; its end is our death. A worker that does not read blocks nobody.
struct Held(
    #[expect(dead_code, reason = "dropping it ends the thread")] std::sync::mpsc::Sender<()>,
);

fn send(mut input: ChildStdin, order: &Order) -> Held {
    let (held, until_dropped) = channel();
    let line: Option<Zeroizing<Vec<u8>>> = secret::to_line(order).ok();
    std::thread::spawn(move || {
        // Without an order the worker ends by itself, and says so.
        if let Some(line) = line {
            let _ = input.write_all(&line).and_then(|()| input.flush());
            let _ = until_dropped.recv();
        }
    });
    Held(held)
}

/// Lines that are no words are ignored: a library may print one.
fn listen(output: impl Read + Send + 'static) -> Receiver<Word> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        // It may hold keys.
        let mut line = Zeroizing::new(Vec::new());
        loop {
            line.clear();
            let read = output
                .by_ref()
                .take(LONGEST_WORD)
                .read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                return;
            }
            if let Ok(word) = serde_json::from_slice(&line)
                && sender.send(word).is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// Passes the worker's log on to ours, and keeps its end.
fn pass_on(log: impl Read) -> String {
    let mut kept = String::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        kept.push_str(&relay::relay(&line));
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
