//! The daemon's hands: each module below reaches one part of the outside world. Nothing here decides about policy.
#![expect(
    clippy::disallowed_methods,
    reason = "shell: this is where the daemon touches the world"
)]

pub mod connector;
pub mod store_sqlite;
