//! The vault with real folders, real child processes and stock restic as the independent reader.

mod copies;
pub mod world;
