//! Compiles a policy tree into a proven, signed bundle. Pure but for `cli` and `world`.

pub mod compile;
pub mod diagnostic;
pub mod kinds;
pub mod lower;
pub mod parse;
pub mod resolve;
pub mod schema;
pub mod source;
