//! The talk with the server: how the client programs are started, one-shot queries, and a session that holds a snapshot.
//!
//! Passwords go through the environment only. Never retries. The interesting type is [`Session`].

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::world::connector::{Bounds, ConnectorError, PostgresBinding};
use crate::world::process::{self, Group, Input, ProcessError, Stderr};

/// What is under way while a session opens, for messages.
const OPENING: &str = "opening a session";

/// Between the columns of an answer: a character that no value of ours holds.
pub(super) const SEPARATOR: char = '\u{1f}';

/// Seconds to connect; a server that needs longer is as good as away, and the deadline of the whole still holds.
const CONNECT_SECONDS: &str = "15";

/// A cancel is noticed within this time while a session is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a client program ended, and what it said.
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
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("status {code}: {word}"),
            (None, Some(signal)) => format!("killed by signal {signal}: {word}"),
            (None, None) => format!("it ended in an unknown way: {word}"),
        }
    }

    /// Whether it ended well and reported no error on the way.
    pub fn is_clean(&self) -> bool {
        self.status.success() && !self.stderr.lines().any(is_error)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let is_warning = |line: &&str| line.contains("warning:") || line.contains("WARNING:");
        self.stderr.lines().map(str::trim).filter(is_warning)
    }
}

fn is_error(line: &str) -> bool {
    ["error:", "fatal:", "ERROR:", "FATAL:", "PANIC:"]
        .iter()
        .any(|mark| line.contains(mark))
}

/// A client program bound to one database of the binding's server, with nothing of our own environment but the search path.
pub(super) fn program(
    binding: &PostgresBinding,
    name: &str,
    database: &str,
) -> Result<Command, ConnectorError> {
    let path = binding
        .bin_dir
        .as_ref()
        .map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PGHOST", &binding.host)
        .env("PGPORT", binding.port.to_string())
        .env("PGUSER", &binding.user)
        .env("PGDATABASE", database)
        .env("PGAPPNAME", "seawalld")
        .env("PGCONNECT_TIMEOUT", CONNECT_SECONDS)
        .env("PGCLIENTENCODING", "UTF8")
        // Messages are read by this program, so their language must not depend on the host.
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    if let Some(mode) = &binding.sslmode {
        command.env("PGSSLMODE", mode);
    }
    if let Some(root) = &binding.sslrootcert {
        command.env("PGSSLROOTCERT", root);
    }
    if let Some(file) = &binding.password_file {
        command.env("PGPASSWORD", password(file)?);
    }
    Ok(command)
}

/// Runs a client program to its end. A status other than 0 is the caller's to judge; `what` names the work.
pub(super) fn run(
    command: &mut Command,
    input: Option<&str>,
    what: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    bounds.check(what)?;
    let ended = process::run(
        command,
        input.map_or(Input::Nothing, |text| Input::Whole(text.as_bytes())),
        Stderr::Collect,
        bounds.left(),
        &|| bounds.is_cancelled(),
    );
    let ended = ended.map_err(|error| failure(error, what))?;
    Ok(Ended {
        status: ended.status,
        stdout: text(&ended.stdout),
        stderr: text(&ended.stderr),
    })
}

fn failure(error: ProcessError, what: &str) -> ConnectorError {
    match error {
        ProcessError::Start { program, source } => ConnectorError::ToolMissing { program, source },
        ProcessError::Deadline { .. } => ConnectorError::DeadlinePassed {
            what: what.to_owned(),
        },
        ProcessError::Stopped { .. } => ConnectorError::Cancelled {
            what: what.to_owned(),
        },
        ProcessError::Wait { program, source } => {
            ConnectorError::io("wait for", Path::new(&program), source)
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn password(file: &Path) -> Result<String, ConnectorError> {
    let text = fs::read_to_string(file)
        .map_err(|error| ConnectorError::io("read the password file", file, error))?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// Runs SQL in a fresh session and returns what it printed. A refusal of the server is an error.
pub(super) fn query(
    binding: &PostgresBinding,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<String, ConnectorError> {
    let ended = attempt(binding, database, sql, bounds)?;
    if ended.is_clean() {
        Ok(ended.stdout)
    } else {
        Err(unreachable(binding, ended.reason()))
    }
}

/// Like [`query`], but how it ended is the caller's to judge.
pub(super) fn attempt(
    binding: &PostgresBinding,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    run(&mut psql(binding, database)?, Some(sql), "a query", bounds)
}

/// Runs one statement that must not write. It goes as an argument, where `psql` reads no commands of its own within SQL.
pub(super) fn read_only(
    binding: &PostgresBinding,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    let timeout = bounds
        .left()
        .as_millis()
        .min(i32::MAX.cast_unsigned().into());
    let guard =
        format!("SET default_transaction_read_only = on; SET statement_timeout = {timeout};");
    let mut command = psql(binding, database)?;
    command.args(["-c", &guard, "-c", sql]);
    run(&mut command, None, "a validation query", bounds)
}

fn psql(binding: &PostgresBinding, database: &str) -> Result<Command, ConnectorError> {
    let mut command = program(binding, "psql", database)?;
    command.args([
        "--no-psqlrc",
        "--no-align",
        "--tuples-only",
        "--quiet",
        "--no-password",
    ]);
    command.args(["--set=ON_ERROR_STOP=1", "--field-separator=\u{1f}"]);
    Ok(command)
}

pub(super) fn unreachable(binding: &PostgresBinding, detail: String) -> ConnectorError {
    ConnectorError::SourceUnreachable {
        server: binding.server(),
        detail,
    }
}

/// A session that stays open; its transaction ends with it.
pub(super) struct Session {
    group: Group,
    lines: Receiver<String>,
    stderr: Receiver<Vec<u8>>,
}

impl Session {
    /// Opens a session, sends `sql` and waits for the first line of the answer.
    pub fn open(
        binding: &PostgresBinding,
        sql: &str,
        bounds: &Bounds,
    ) -> Result<(Self, String), ConnectorError> {
        let mut command = psql(binding, &binding.database)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut group = Group::start(&mut command).map_err(|error| failure(error, OPENING))?;
        let (sender, lines) = channel();
        if let Some(stdout) = group.child.stdout.take() {
            let mut read = BufReader::new(stdout).lines().map_while(Result::ok);
            thread::spawn(move || read.try_for_each(|line| sender.send(line)));
        }
        let stderr = process::collect(group.child.stderr.take());
        if let Some(stdin) = &mut group.child.stdin {
            // When psql is gone already, its status and message below tell more than the broken pipe.
            let _ = stdin.write_all(sql.as_bytes()).and_then(|()| stdin.flush());
        }
        let mut session = Self {
            group,
            lines,
            stderr,
        };
        let line = session.line(binding, bounds)?;
        Ok((session, line))
    }

    fn line(
        &mut self,
        binding: &PostgresBinding,
        bounds: &Bounds,
    ) -> Result<String, ConnectorError> {
        loop {
            match self.lines.recv_timeout(LOOK_EVERY) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) => bounds.check(OPENING)?,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.group.end().map_err(|error| failure(error, OPENING))?;
                    let stderr = self.stderr.recv_timeout(LOOK_EVERY).unwrap_or_default();
                    let ended = Ended {
                        status,
                        stdout: String::new(),
                        stderr: text(&stderr),
                    };
                    return Err(unreachable(binding, ended.reason()));
                }
            }
        }
    }
}

/// A name as SQL reads it back unchanged.
pub(super) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A text as an SQL literal, whatever the server's setting for backslashes.
pub(super) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A database as libpq reads it from an argument; a bare name with `=` in it would be read as a connection string.
pub(super) fn conninfo(database: &str) -> String {
    format!(
        "dbname='{}'",
        database.replace('\\', "\\\\").replace('\'', "\\'")
    )
}
