//! Compiles a policy tree into a proven, signed bundle. Pure but for `cli` and `world`.

pub mod alerts;
pub mod alike;
pub mod attest;
pub mod cli;
pub mod compare;
pub mod compile;
pub mod diagnostic;
pub mod difference;
pub mod docs;
pub mod environments;
pub mod facts;
pub mod forecast;
pub mod frameworks;
pub mod judge;
pub mod kinds;
pub mod lower;
pub mod object;
pub mod pages;
pub mod parse;
pub mod publish;
pub mod render;
pub mod resolve;
pub mod rules;
pub mod schema;
pub mod source;
pub mod waivers;
#[expect(
    clippy::disallowed_methods,
    reason = "shell: files, git, clock, terminal"
)]
pub mod world;
