//! Owns the bounds on the memory of a run. Rules are the one part whose need nothing in the tree bounds: the engine counts
//! what is allocated and ends a rule between two steps; what one step allocates is noticed here. See [`watch`].

use std::process::exit;
use std::time::Duration;
use std::{io, thread};

use regorus::LimitError;

use super::terminal::{Stream, print};

/// A tree of ten thousand documents, with all rules on it, stays below two thirds of it; a small CI machine has twice as much.
const RULES: u64 = 3 << 30;
/// What a rule may take in one step before the process ends: there is no way to end the step alone.
const PROCESS: u64 = 4 << 30;
/// Often enough that little more is taken meanwhile; a look costs nothing.
const LOOK: Duration = Duration::from_millis(20);

/// Told in plain words of which none is allocated.
const TOLD: &str = "\
error[SW0401]: the run needs more than 4 GiB of memory and was ended: what it would have found is not known
  help: a rule builds a value without end, or the tree is far too large: leave `--rules` out to learn which
";

/// Sets the bounds for the rest of the process. The error says why nobody can watch.
pub fn watch() -> io::Result<()> {
    regorus::set_global_memory_limit(Some(RULES));
    let look = || {
        loop {
            thread::sleep(LOOK);
            match regorus::check_global_memory_limit() {
                Err(LimitError::MemoryLimitExceeded { usage, .. }) if usage > PROCESS => {
                    print(Stream::Err, TOLD);
                    exit(1);
                }
                Ok(()) | Err(_) => {}
            }
        }
    };
    thread::Builder::new()
        .name("memory".to_owned())
        .spawn(look)
        .map(drop)
}
