//! The contract's tests at its boundary: one file a feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and reach the world themselves"
)]

mod bad_base;
mod calendar;
mod course;
mod derived;
mod diff;
mod evidence;
mod kept;
mod keys;
mod law;
mod outcome;
mod recovery;
mod recovery_time;
mod retention;
mod storage;
mod trust;
