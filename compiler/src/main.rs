//! The binary `seawall`: hands over to the command line and ends with its exit status.

fn main() -> std::process::ExitCode {
    compiler::cli::run()
}
