//! Owns the one look at the clock and the one use of randomness.

use jiff::Timestamp;

/// The present instant in whole seconds: that is all that statements hold.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Thirty-two bytes from the operating system, for a new key.
pub fn seed() -> Result<[u8; 32], std::io::Error> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(seed)
}
