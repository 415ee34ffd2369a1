//! Owns names that nobody else draws. Never used where a secret is needed.

use std::io;

use contract::digest::Digest;

/// 32 hexadecimal digits.
pub fn name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(Digest::of(&random).to_string().chars().take(32).collect())
}

/// A number above zero.
pub fn number() -> io::Result<u32> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(u32::from_ne_bytes(random).max(1))
}
