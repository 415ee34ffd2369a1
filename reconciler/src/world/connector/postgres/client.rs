//! The talk with the server: how the client programs are started, one-shot queries, and a session that holds a snapshot.
//!
//! Passwords go through the environment only. Never retries. The interesting type is [`Session`].

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::world::connector::process::{self, Ended, Group, Program};
use crate::world::connector::{Bounds, ConnectorError, PostgresBinding};

/// Between the columns of an answer: a character that no value of ours holds.
pub(super) const SEPARATOR: char = '\u{1f}';

/// Seconds to connect; a server that needs longer is as good as away, and the deadline of the whole still holds.
const CONNECT_SECONDS: &str = "15";

/// A cancel is noticed within this time while a session is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A client program bound to one database of the binding's server.
pub(super) fn program(
    binding: &PostgresBinding,
    name: &str,
    database: &str,
    args: Vec<OsString>,
) -> Result<Program, ConnectorError> {
    let mut env: Vec<(&'static str, OsString)> = vec![
        ("PGHOST", binding.host.clone().into()),
        ("PGPORT", binding.port.to_string().into()),
        ("PGUSER", binding.user.clone().into()),
        ("PGDATABASE", database.into()),
        ("PGAPPNAME", "seawalld".into()),
        ("PGCONNECT_TIMEOUT", CONNECT_SECONDS.into()),
        ("PGCLIENTENCODING", "UTF8".into()),
        // Messages are read by this program, so their language must not depend on the host.
        ("LC_ALL", "C".into()),
        ("TZ", "UTC".into()),
    ];
    if let Some(path) = std::env::var_os("PATH") {
        env.push(("PATH", path));
    }
    if let Some(mode) = &binding.sslmode {
        env.push(("PGSSLMODE", mode.clone().into()));
    }
    if let Some(root) = &binding.sslrootcert {
        env.push(("PGSSLROOTCERT", root.clone().into()));
    }
    if let Some(file) = &binding.password_file {
        env.push(("PGPASSWORD", password(file)?.into()));
    }
    Ok(Program {
        path: process::locate(binding.bin_dir.as_deref(), name),
        args,
        env,
        stdin: None,
    })
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
    let mut psql = program(binding, "psql", database, psql_args())?;
    psql.stdin = Some(sql.to_owned());
    process::run(&psql, "a query", bounds)
}

/// Runs one statement that must not write. It goes as an argument, where `psql` reads no commands of its own within SQL.
pub(super) fn read_only(
    binding: &PostgresBinding,
    database: &str,
    sql: &str,
    bounds: &Bounds,
) -> Result<Ended, ConnectorError> {
    let timeout = format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {};",
        bounds
            .left()
            .as_millis()
            .min(i32::MAX.cast_unsigned().into())
    );
    let mut args = psql_args();
    args.extend(process::args([
        OsStr::new("-c"),
        OsStr::new(&timeout),
        OsStr::new("-c"),
        OsStr::new(sql),
    ]));
    process::run(
        &program(binding, "psql", database, args)?,
        "a validation query",
        bounds,
    )
}

fn psql_args() -> Vec<OsString> {
    [
        "--no-psqlrc",
        "--no-align",
        "--tuples-only",
        "--quiet",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
        "--field-separator=\u{1f}",
    ]
    .map(OsString::from)
    .to_vec()
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
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Session {
    /// Opens a session, sends `sql` and waits for the first line of the answer.
    pub fn open(
        binding: &PostgresBinding,
        sql: &str,
        bounds: &Bounds,
    ) -> Result<(Self, String), ConnectorError> {
        let psql = program(binding, "psql", &binding.database, psql_args())?;
        let mut group = Group::start(&psql)?;
        let (sender, lines) = channel();
        if let Some(stdout) = group.child.stdout.take() {
            thread::spawn(move || {
                BufReader::new(stdout)
                    .lines()
                    .map_while(Result::ok)
                    .try_for_each(|line| sender.send(line))
            });
        }
        let stderr = group.child.stderr.take().map(process::collect);
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
                Err(RecvTimeoutError::Timeout) => bounds.check("opening a session")?,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.group.end().map_err(|error| {
                        ConnectorError::io("wait for", Path::new("psql"), error)
                    })?;
                    let ended = Ended {
                        status,
                        stdout: String::new(),
                        stderr: process::text_of(self.stderr.take()),
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
