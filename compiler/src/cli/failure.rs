//! Owns why a command ends without success, how that is told, and the exit status that belongs to it.

use std::path::Path;

use contract::code::{self, Code};
use contract::seal::Refusal;

use crate::diagnostic::Diagnostic;
use crate::render::{Finding, Report, human};
use crate::source::SourceSet;
use crate::world::supervise::{Ended, Limits};
use crate::world::terminal::{self, Stream};

/// Why a command ended without success.
#[derive(Debug)]
pub enum Failure {
    /// Findings that were told already; status 1.
    Told,
    /// Something did not hold; status 1.
    Failed(Box<Diagnostic>),
    /// The arguments make no sense together; status 2.
    Usage(Box<Diagnostic>),
    /// Signatures, digests or roots; status 3.
    Refused(Box<Diagnostic>),
    /// Files, git, storage; status 4.
    Environment(Box<Diagnostic>),
}

impl Failure {
    /// The exit status, as `--help` lists it.
    pub const fn status(&self) -> u8 {
        match self {
            Self::Told | Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Environment(_) => 4,
        }
    }

    /// Writes the reason to standard error.
    pub fn tell(&self) {
        match self {
            Self::Told => {}
            Self::Failed(diagnostic)
            | Self::Usage(diagnostic)
            | Self::Refused(diagnostic)
            | Self::Environment(diagnostic) => tell(vec![(**diagnostic).clone()]),
        }
    }

    /// A failure of a command's own work.
    pub fn failed(code: Code, message: impl Into<String>, help: &str) -> Self {
        Self::Failed(Box::new(Diagnostic::error(code, message).help(help)))
    }

    /// Trust is refused.
    pub fn refused(code: Code, message: impl Into<String>, help: &str) -> Self {
        Self::Refused(Box::new(Diagnostic::error(code, message).help(help)))
    }

    /// A file or folder that cannot be read.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Environment(Box::new(
            Diagnostic::error(
                code::FILE_UNREADABLE,
                format!("`{}` cannot be read: {error}", path.display()),
            )
            .help("check that the path is right and readable"),
        ))
    }

    /// A file that cannot be written; what stood there before still stands.
    pub fn unwritable(path: &Path, error: &std::io::Error) -> Self {
        let (code, help) = if error.kind() == std::io::ErrorKind::AlreadyExists {
            (
                code::FILE_EXISTS,
                "it is never replaced: remove it yourself, or choose another name",
            )
        } else {
            (
                code::PUBLISH_FAILED,
                "what stood there before is unchanged: check space and permissions, then run the command again",
            )
        };
        Self::Environment(Box::new(
            Diagnostic::error(
                code,
                format!("`{}` cannot be written: {error}", path.display()),
            )
            .help(help),
        ))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.code(), refusal.to_string(), refusal.help())
    }
}

/// The work that a supervised child did not finish.
pub fn over_bounds(ended: &Ended, limits: Limits) -> Failure {
    let limit = match ended {
        Ended::TooLarge => format!("{} MiB of memory", limits.memory >> 20),
        Ended::TooLong | Ended::Crashed(_) | Ended::Status(_) => {
            format!("{} s", limits.time.as_secs())
        }
    };
    let smaller = "look for the rule or document that multiplies: leave out `--rules`, or check a part of the tree";
    let (code, message, help) = match ended {
        Ended::TooLong => (
            code::RUN_TOO_LONG,
            format!(
                "the run took longer than {limit} and was ended: what it would have found is not known"
            ),
            format!("{smaller}; if the tree is that large, set SEAWALL_TIME_LIMIT to more seconds"),
        ),
        Ended::TooLarge => (
            code::RUN_TOO_LARGE,
            format!(
                "the run took more than {limit} and was ended: what it would have found is not known"
            ),
            format!("{smaller}; if the tree is that large, set SEAWALL_MEMORY_LIMIT to more MiB"),
        ),
        Ended::Crashed(how) => (
            code::RUN_CRASHED,
            format!("the run crashed, {how}: what it would have found is not known"),
            format!("{smaller}; report this as a fault of the program"),
        ),
        Ended::Status(_) => return Failure::Told,
    };
    Failure::failed(code, message, &help)
}

/// The process that does the work cannot be started or bound.
pub fn unsupervised(error: &std::io::Error) -> Failure {
    let message = format!("the process that does the work cannot be started: {error}");
    let help = "let this process start another one, and let `/proc` be readable";
    Failure::Environment(Box::new(
        Diagnostic::error(code::RUN_CRASHED, message).help(help),
    ))
}

/// Writes findings without places to standard error.
pub fn tell(diagnostics: Vec<Diagnostic>) {
    let sources = SourceSet::default();
    let findings = diagnostics
        .into_iter()
        .map(|diagnostic| Finding::new(diagnostic, Vec::new()));
    let report = Report::new(&sources, Vec::new(), findings.collect());
    let text = human::frames(&report, terminal::look(Stream::Err));
    terminal::print(Stream::Err, &text);
}
