//! The daemon's hands: each module below reaches one part of the outside world. Nothing here decides about policy.

pub mod connector;
pub mod store_sqlite;
