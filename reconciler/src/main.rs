//! The binary `seawalld`: hands its arguments to the command line, or lives the life of a child process.
use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser as _;
use reconciler::cli::{self, Arguments};
use reconciler::worker;
use reconciler::world::git::credential;
use reconciler::world::location;
use reconciler::world::process::guard;

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
        Some(location::SUBCOMMAND) => location::run_child(),
        Some(credential::SUBCOMMAND) => credential::answer(),
        Some(worker::SUBCOMMAND) => {
            cli::child_logs();
            worker::run()
        }
        Some(_) | None => cli::run(&Arguments::parse()),
    }
}
