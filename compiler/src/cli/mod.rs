//! Owns the command line of `seawall`: what each command is called, what it takes, and the exit status it ends with.
//! Never decides about policy or trust; commands call the pure parts and `world`. The interesting function is [`run`].

mod alerts;
mod build;
mod check;
mod compiled;
mod diff;
mod docs;
mod evidence;
mod explain;
mod failure;
mod init;
mod keys;
mod manual;
mod prove;
mod published;
mod report;
mod schedule;
mod schema;
mod test;
mod trust;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use contract::id::EnvironmentId;
use jiff::Timestamp;

use crate::world::supervise::{self, Ended, Limits};

const EXIT_STATUS: &str = "\
Exit status:
  0    ok; warnings too
  1    findings, or something failed
  2    wrong usage
  3    trust refused
  4    environment: files, git, storage
  101  a bug in seawall

Data goes to standard output, everything else to standard error. NO_COLOR turns colours off.
A command that reads a tree, rules, a bundle or receipts ends after 28 s of work or at 2 GiB of memory;
SEAWALL_TIME_LIMIT (seconds) and SEAWALL_MEMORY_LIMIT (MiB) set other limits.";

/// Recovery as code: proves that declared recovery holds together, and signs it.
#[derive(Parser)]
#[command(name = "seawall", version, after_help = EXIT_STATUS, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a small working policy tree into an empty folder
    Init(init::Init),
    /// Compile, prove and judge a policy tree, without writing anything
    Check(check::Check),
    /// Compile, judge, sign and write the bundle of one environment
    Build(build::Build),
    /// Add signatures to a published bundle
    Sign(build::Sign),
    /// Verify a published bundle offline
    Verify(verify::Verify),
    /// Make and show signing keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Make the trust root
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Show what is proven of datasets: coverage, worst-case loss, what survives
    Prove(prove::Prove),
    /// Show what a change does to recovery, for which data, and which line is to blame
    Diff(diff::Diff),
    /// Explain a code, or the values of an object and where each comes from
    Explain(explain::Explain),
    /// Show which clauses of a framework the policy meets, by which rules, for which data
    Report(report::Report),
    /// Write Prometheus alert rules, their unit tests and a Grafana dashboard
    Alerts(alerts::Alerts),
    /// Write the documentation of a policy and of the rules as HTML
    Docs(docs::Docs),
    /// List the slots of a schedule and its largest gap
    Schedule(schedule::Schedule),
    /// Run the tests of rules: unit tests, and trees on which a rule must or must not fire
    Test(test::Test),
    /// Write the JSON Schemas of the source documents, or check written ones
    Schema(schema::Schema),
    /// Print the completions of a shell
    Completions(manual::Completions),
    /// Write manual pages
    Man(manual::Man),
}

impl Command {
    /// Whether it reads what others wrote: a tree, rules, a bundle, receipts. Its time and memory have bounds.
    const fn is_bounded(&self) -> bool {
        match self {
            Self::Check(_)
            | Self::Build(_)
            | Self::Verify(_)
            | Self::Prove(_)
            | Self::Diff(_)
            | Self::Explain(_)
            | Self::Report(_)
            | Self::Docs(_)
            | Self::Alerts(_)
            | Self::Schedule(_)
            | Self::Test(_) => true,
            Self::Init(_)
            | Self::Sign(_)
            | Self::Keys(_)
            | Self::Trust(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// How findings and data are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// One JSON document with a `format`.
    Json,
}

/// The tree and the rules that judge it; shared by several commands.
#[derive(clap::Args)]
struct Tree {
    /// Folder of the policy tree
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Folder with an organisation's own rules, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Judge as of this instant, such as 2026-11-20T17:00:00Z [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = contract::seal::parse_instant)]
    at: Option<Timestamp>,
}

/// Runs the command line and tells the exit status.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.command.is_bounded() {
        let limits = Limits::read();
        let failure = match supervise::supervise(limits) {
            Ok(None) => None,
            Ok(Some(Ended::Status(status))) => return ExitCode::from(status),
            Ok(Some(ended)) => Some(failure::over_bounds(&ended, limits)),
            Err(error) => Some(failure::unsupervised(&error)),
        };
        if let Some(failure) = failure {
            failure.tell();
            return ExitCode::from(failure.status());
        }
    }
    let done = match arguments.command {
        Command::Init(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Sign(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Keys(command) => command.run(),
        Command::Trust(command) => command.run(),
        Command::Prove(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Docs(command) => command.run(),
        Command::Alerts(command) => command.run(),
        Command::Schedule(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => {
            command.run();
            Ok(())
        }
        Command::Man(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.status())
        }
    }
}

/// Reads an environment's id from the command line.
fn environment(text: &str) -> Result<EnvironmentId, String> {
    text.parse()
        .map_err(|error: contract::id::InvalidId| error.to_string())
}
