//! The program `seawalld`. Owns nothing but the entry.
#![expect(clippy::disallowed_methods, reason = "shell: arguments are read here")]

use std::process::ExitCode;

use reconciler::world::vault;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(vault::SUBCOMMAND) {
        return vault::run_child();
    }
    ExitCode::SUCCESS
}
