//! The binary `seawalld`: hands its arguments to the command line, or lives the life of a child process.
use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser as _;
use reconciler::cli::{self, Arguments};
use reconciler::control::child;
use reconciler::world::git::credential;
use reconciler::world::process::guard;
use reconciler::world::{location, vault};

fn main() -> ExitCode {
    // Children are told apart before anything is parsed: their orders come on standard input.
    let subcommand = std::env::args_os().nth(1);
    let subcommand = subcommand.as_deref().and_then(OsStr::to_str);
    if subcommand == Some(guard::SUBCOMMAND) {
        return guard::run(std::env::args_os().skip(2));
    }
    if let Err(error) = guard::harden() {
        eprintln!("error: this process cannot be hardened: {error}");
        return ExitCode::from(4);
    }
    match subcommand {
        Some(vault::SUBCOMMAND) => vault::run_child(),
        Some(location::SUBCOMMAND) => location::run_child(),
        Some(credential::SUBCOMMAND) => credential::answer(),
        Some(child::SUBCOMMAND) => {
            cli::child_logs();
            child::run_child()
        }
        Some(_) | None => cli::run(&Arguments::parse()),
    }
}
