//! The compiler's tests at its border: sources in, findings and bytes out; and the binary as people meet it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "tests fail by panicking, and reach the world themselves"
)]

mod alerts;
mod alike;
mod bounds;
mod ci_kit;
mod cli;
mod compile;
mod continuity;
mod diff;
mod diff_published;
mod documentation;
mod evidence;
mod evolution;
mod explain;
mod frames;
mod hostile;
mod invalid;
mod order;
mod outputs;
mod policies;
mod proofs;
mod properties;
mod provenance;
mod pull_request;
mod rebuild;
mod render;
mod report;
mod repository;
mod schemas;
mod starter;
mod trees;
mod waivers;
