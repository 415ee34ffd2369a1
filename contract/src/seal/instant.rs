//! Instants as signed documents write them: UTC, whole seconds, ending in `Z`, one spelling for one instant.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

/// Reads `2026-11-20T17:00:00Z`; offsets, fractions and other spellings are refused.
pub fn parse_instant(text: &str) -> Result<Timestamp, String> {
    let fault = || format!("`{text}` is no instant in whole seconds, UTC, like `2026-11-20T17:00:00Z`");
    let instant: Timestamp = text.parse().map_err(|_| fault())?;
    if instant.to_string() != text || instant.subsec_nanosecond() != 0 {
        return Err(fault());
    }
    Ok(instant)
}

/// For `#[serde(with = "instant")]` on a [`Timestamp`].
pub mod instant {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, parse_instant};

    /// Writes the instant; a fraction of a second is an error, it would not be read back.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        if at.subsec_nanosecond() != 0 {
            return Err(serde::ser::Error::custom(format!("instant `{at}` has a fraction of a second")));
        }
        serializer.collect_str(at)
    }

    /// Reads the one spelling that [`serialize`] writes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        parse_instant(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// For `#[serde(with = "instant_option", default, skip_serializing_if = "Option::is_none")]`.
pub mod instant_option {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, instant, parse_instant};

    /// Writes the instant, or null.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => instant::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the instant, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| parse_instant(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_has_one_spelling() {
        assert!(parse_instant("2026-11-20T17:00:00Z").is_ok());
        for wrong in [
            "2026-11-20T17:00:00+00:00",
            "2026-11-20T17:00:00.5Z",
            "2026-11-20T17:00:00.000Z",
            "2026-11-20 17:00:00Z",
            "2026-11-20T17:00Z",
            "2026-11-20T18:00:00+01:00",
            "2026-11-20t17:00:00z",
            "",
        ] {
            assert!(parse_instant(wrong).is_err(), "{wrong}");
        }
    }
}
