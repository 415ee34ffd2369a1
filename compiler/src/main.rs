//! The binary `seawall`: hands over to the command line and ends with its exit status.

/// Rules allocate millions of small values and free them all; the C library's allocator spends half of a check on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    compiler::cli::run()
}
