//! The daemon's hands: each module below reaches one part of the outside world. Nothing here decides about policy.
#![expect(
    clippy::disallowed_methods,
    reason = "shell: this is where the daemon touches the world"
)]

pub mod access;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
pub(crate) mod attack;
pub mod bucket;
pub mod cancel;
pub mod channel;
pub mod clock;
pub mod connector;
pub mod folder;
pub mod git;
pub mod keys;
pub mod location;
pub mod owner;
pub mod process;
pub mod random;
pub mod receipts;
pub mod secret;
pub mod store_sqlite;
pub mod tls;
pub mod vault;
