//! Sessions with the server: who logs in, under which settings, one-shot queries, and a session that holds a snapshot.
//!
//! Passwords go through the environment only. Never retries, and never lets a database or a role decide what a statement
//! of ours means: see [`SETTINGS`]. The interesting type is [`Session`].

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::error::DatabaseError;
use crate::world::connector::{Bounds, ConnectorError, PostgresBinding};
use crate::world::process::guard::{self, Limits};
use crate::world::process::{self, Group, Input, ProcessError, Stderr};

/// What is under way while a session opens, for messages.
const OPENING: &str = "opening a session";

/// What the server lists our sessions as.
pub(super) const APPLICATION: &str = "seawalld";

/// Between the columns of an answer: a character that no value of ours holds.
pub(super) const SEPARATOR: char = '\u{1f}';

/// Seconds to connect; a server that needs longer is as good as away, and the deadline of the whole still holds.
const CONNECT_SECONDS: &str = "15";

/// A cancel is noticed within this time while a session is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Settings of every session, sent in the startup packet: they are active before the first statement, and the client's
/// beat those that an owner stored with `ALTER DATABASE … SET` or `ALTER ROLE … SET`. Without them, the owner of a
/// database decides which functions and operators our statements call and what our literals mean.
const SETTINGS: [(&str, &str); 27] = [
    // Nothing but `pg_catalog`: names of our own statements resolve to nothing that an owner can make.
    ("search_path", ""),
    // The session stays the role that logged in.
    ("role", "none"),
    ("local_preload_libraries", ""),
    ("default_transaction_isolation", "read\\ committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("temp_tablespaces", ""),
    // Deadlines are ours: a timeout of the database would end a dump or a restore at a time that the plan does not name.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    // A server process whose client was killed ends within this time, also while it waits for a lock.
    ("client_connection_check_interval", "1s"),
    ("client_min_messages", "warning"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("array_nulls", "on"),
    ("xmloption", "content"),
    ("row_security", "on"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// The server of a binding as one of its roles. Whoever holds it can open sessions.
#[derive(Debug, Clone)]
pub(super) struct Login<'b> {
    pub binding: &'b PostgresBinding,
    pub role: String,
    password: Password<'b>,
}

#[derive(Clone)]
enum Password<'b> {
    None,
    File(&'b Path),
    /// Of a role that this run made.
    Made(String),
}

impl std::fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl<'b> Login<'b> {
    /// The role that reads: observations and dumps.
    pub fn reader(binding: &'b PostgresBinding) -> Self {
        Self {
            binding,
            role: binding.user.clone(),
            password: binding
                .password_file
                .as_deref()
                .map_or(Password::None, Password::File),
        }
    }

    /// The role that creates, fills and checks databases. Without one of its own it is the reader.
    pub fn restorer(binding: &'b PostgresBinding) -> Self {
        let Some(role) = &binding.restore_user else {
            return Self::reader(binding);
        };
        Self {
            binding,
            role: role.clone(),
            password: binding
                .restore_password_file
                .as_deref()
                .map_or(Password::None, Password::File),
        }
    }

    /// The same server as a role that this run made.
    pub fn as_made(&self, role: String, password: String) -> Self {
        Self {
            binding: self.binding,
            role,
            password: Password::Made(password),
        }
    }

    pub fn maintenance(&self) -> &'b str {
        self.binding.maintenance()
    }
}

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
    login: &Login<'_>,
    name: &str,
    database: &str,
) -> Result<Command, ConnectorError> {
    let binding = login.binding;
    let path = binding
        .bin_dir
        .as_ref()
        .map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    let mut command = guard::program(path, Limits::default());
    command
        .env_clear()
        .env("PGHOST", &binding.host)
        .env("PGPORT", binding.port.to_string())
        .env("PGUSER", &login.role)
        .env("PGDATABASE", database)
        .env("PGAPPNAME", APPLICATION)
        .env("PGOPTIONS", options())
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
    match &login.password {
        Password::None => {}
        Password::File(file) => {
            command.env("PGPASSWORD", password(file)?);
        }
        Password::Made(text) => {
            command.env("PGPASSWORD", text);
        }
    }
    Ok(command)
}

fn options() -> String {
    SETTINGS
        .map(|(name, value)| format!("-c {name}={value}"))
        .join(" ")
}

/// Runs a client program to its end. A status other than 0 is the caller's to judge; `what` names the work.
pub(super) fn run(
    command: &mut Command,
    input: Option<&str>,
    what: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    run_until(command, input, what, bounds, &|| false)
}

/// Like [`run`], and cancelled as soon as `gives_up` says so. It is asked often.
pub(super) fn run_until(
    command: &mut Command,
    input: Option<&str>,
    what: &str,
    bounds: &Bounds,
    gives_up: &dyn Fn() -> bool,
) -> Result<Ended, ConnectorError> {
    bounds.check(what)?;
    let ended = process::run(
        command,
        input.map_or(Input::Nothing, |text| Input::Whole(text.as_bytes())),
        Stderr::Collect,
        bounds.at_most(),
        &|| bounds.is_over() || gives_up(),
    );
    let ended = ended.map_err(|error| match error {
        ProcessError::Stopped { .. } if !bounds.is_cancelled() && bounds.is_over() => {
            ConnectorError::DeadlinePassed {
                what: what.to_owned(),
            }
        }
        error => failure(error, what),
    })?;
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
    login: &Login<'_>,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<String, ConnectorError> {
    let ended = attempt(login, database, sql, bounds)?;
    if ended.is_clean() {
        Ok(ended.stdout)
    } else {
        Err(refused(login, database, &ended))
    }
}

/// Like [`query`], but how it ended is the caller's to judge.
pub(super) fn attempt(
    login: &Login<'_>,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    run(&mut psql(login, database)?, Some(sql), "a query", bounds)
}

/// Runs one statement that must not write. It goes as an argument, where `psql` reads no commands of its own within SQL.
///
/// Once the transaction has a snapshot, nothing that the statement calls can make it writable again; a default that is
/// set for the session could be set back.
pub(super) fn read_only(
    login: &Login<'_>,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    let timeout = bounds
        .left()
        .as_millis()
        .min(i32::MAX.cast_unsigned().into());
    let timeout = format!("SET statement_timeout = {timeout}");
    let mut command = psql(login, database)?;
    command.args(["-c", &timeout, "-c", "BEGIN READ ONLY"]);
    command.args(["-c", "SELECT 1 WHERE false", "-c", sql]);
    run(&mut command, None, "a validation query", bounds)
}

fn psql(login: &Login<'_>, database: &str) -> Result<Command, ConnectorError> {
    let mut command = program(login, "psql", database)?;
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

/// The status of `psql` when there is no session, or none any more.
const NO_SESSION: i32 = 2;

/// Why there is no answer. A server that answered with a refusal was reached, and other advice helps.
pub(super) fn refused(login: &Login<'_>, database: &str, ended: &Ended) -> ConnectorError {
    let detail = ended.reason();
    if ended.status.code() == Some(NO_SESSION) && !detail.contains("FATAL:") {
        ConnectorError::SourceUnreachable {
            server: login.binding.server(),
            detail,
        }
    } else {
        ConnectorError::from(DatabaseError::SessionRefused {
            role: login.role.clone(),
            database: database.to_owned(),
            detail,
        })
    }
}

/// An answer that is not what the statement gives.
pub(super) fn unreadable(
    login: &Login<'_>,
    database: &str,
    error: &dyn std::fmt::Display,
) -> ConnectorError {
    ConnectorError::from(DatabaseError::SessionRefused {
        role: login.role.clone(),
        database: database.to_owned(),
        detail: format!("its answer is unreadable: {error}"),
    })
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
        login: &Login<'_>,
        sql: &str,
        bounds: &Bounds,
    ) -> Result<(Self, String), ConnectorError> {
        let mut command = psql(login, &login.binding.database)?;
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
        let line = session.line(login, bounds)?;
        Ok((session, line))
    }

    fn line(&mut self, login: &Login<'_>, bounds: &Bounds) -> Result<String, ConnectorError> {
        loop {
            match self.lines.recv_timeout(LOOK_EVERY) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) => bounds.may_go_on(OPENING)?,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.group.end().map_err(|error| failure(error, OPENING))?;
                    let stderr = self.stderr.recv_timeout(LOOK_EVERY).unwrap_or_default();
                    let ended = Ended {
                        status,
                        stdout: String::new(),
                        stderr: text(&stderr),
                    };
                    return Err(refused(login, &login.binding.database, &ended));
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
