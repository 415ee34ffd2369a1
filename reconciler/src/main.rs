//! The binary `seawalld`: hands its arguments to the command line, or lives the life of a child process.
#![expect(
    clippy::disallowed_methods,
    reason = "shell: the binary reads its arguments"
)]

use std::process::ExitCode;

use clap::Parser as _;
use reconciler::cli::{self, Arguments};
use reconciler::control::child;
use reconciler::world::{location, vault};

fn main() -> ExitCode {
    // Children are told apart before anything is parsed: their orders come on standard input.
    match std::env::args().nth(1).as_deref() {
        Some(vault::SUBCOMMAND) => vault::run_child(),
        Some(location::SUBCOMMAND) => location::run_child(),
        Some(child::SUBCOMMAND) => {
            cli::child_logs();
            child::run_child()
        }
        Some(_) | None => cli::run(&Arguments::parse()),
    }
}
