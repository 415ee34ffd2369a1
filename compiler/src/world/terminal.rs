//! Owns what goes to standard output and standard error, and what the terminal can do.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use terminal_size::terminal_size_of;

use crate::render::human::Look;

/// Width of what goes to files, pipes and terminals that do not tell.
const PLAIN_WIDTH: usize = 140;

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Data.
    Out,
    /// Everything else.
    Err,
}

/// How a text may look there: colours only on a terminal, and never with `NO_COLOR`.
pub fn look(stream: Stream) -> Look {
    let (terminal, size) = match stream {
        Stream::Out => (io::stdout().is_terminal(), terminal_size_of(io::stdout())),
        Stream::Err => (io::stderr().is_terminal(), terminal_size_of(io::stderr())),
    };
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .or_else(|| size.map(|(width, _)| usize::from(width.0)))
        .filter(|columns| *columns >= 40)
        .unwrap_or(PLAIN_WIDTH);
    Look {
        styled: terminal && !forbidden,
        width,
    }
}

/// Where a step of a GitHub workflow puts Markdown for people.
pub fn step_summary() -> Option<PathBuf> {
    let path = std::env::var_os("GITHUB_STEP_SUMMARY")?;
    (!path.is_empty()).then(|| PathBuf::from(path))
}

/// Writes a text. A reader that went away (`| head`) is no error of ours.
pub fn print(stream: Stream, text: &str) {
    let written = match stream {
        Stream::Out => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        }
        Stream::Err => io::stderr().lock().write_all(text.as_bytes()),
    };
    // Nothing sensible can be done when the streams themselves fail; the exit status still tells the result.
    drop(written);
}
