//! What the compiler promises and the reconciler keeps. Pure: no I/O, no clock, no randomness.

pub mod calendar;
pub mod canonical;
pub mod code;
pub mod diff;
pub mod digest;
pub mod duration;
pub mod evidence;
pub mod hidden;
pub mod id;
pub mod metric;
pub mod model;
pub mod receipt;
pub mod recovery;
pub mod retention;
pub mod runbook;
pub mod seal;
