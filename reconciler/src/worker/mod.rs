//! The worker: a process of this program that reads sources, repositories and targets, so that whatever hangs or dies in it can be
//! ended, and costs nobody else anything. It opens no store and signs no receipt; the daemon opens no repository.
//!
//! [`protocol`] is what both ends say, [`supervisor`] the daemon's end, [`run`] the worker's.

#![expect(
    clippy::disallowed_methods,
    reason = "shell: a process of its own, and the watch over it"
)]

pub mod access;
mod backup;
pub mod meter;
pub mod protocol;
mod relay;
mod run;
mod source;
pub mod supervisor;

pub use access::Access;
pub use run::run;

/// The hidden subcommand by which the program serves as its own worker.
pub const SUBCOMMAND: &str = "__worker";
