//! The vault with real folders, real child processes and stock restic as the independent reader.

mod copies;
mod damage;
mod faults;
mod flaky;
mod gate;
mod hostile;
mod known_damage;
mod lagging;
mod locks;
mod prune;
pub mod world;
