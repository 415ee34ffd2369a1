//! Owns the only look at the clock: whole seconds in UTC. Never used by planning, which is handed its instant.

use jiff::Timestamp;

/// Now, cut to the whole second.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
