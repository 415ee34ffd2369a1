//! Integration tests of the reconciler, one module a feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::type_complexity,
    clippy::unused_self,
    reason = "tests fail by panicking, and reach the world themselves"
)]

mod bucket_server;
mod connector;
mod daemon;
mod english;
mod law;
mod operation;
mod postgres_server;
mod simulate;
mod vault;
