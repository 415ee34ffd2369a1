//! Compiles a policy tree into a proven, signed bundle. Pure but for `cli` and `world`.

pub mod diagnostic;
pub mod kinds;
pub mod parse;
pub mod schema;
pub mod source;
