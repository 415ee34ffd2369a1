//! Reading what was signed: canonical JSON and instants, in exactly one spelling each.
//!
//! Signed bytes with a second spelling could hide duplicate keys, spaces or rounded numbers; they are refused. Never used for
//! envelopes, whose own bytes are not signed. The interesting function is [`from_canonical`].

use jiff::Timestamp;
use serde_json::Value;

use crate::canonical;

/// Why bytes are no canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalFault {
    /// No JSON at all.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// JSON, but other bytes than the canonical form: duplicate keys, spaces, another order or spelling.
    #[error("not canonical JSON: the bytes differ from the RFC 8785 form at byte {at}")]
    NotCanonical {
        /// Offset of the first difference.
        at: usize,
    },
    /// A value that has no canonical form.
    #[error("{0}")]
    Value(String),
}

/// Reads bytes that must be canonical already.
pub fn from_canonical(bytes: &[u8]) -> Result<Value, CanonicalFault> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| CanonicalFault::Syntax(e.to_string()))?;
    let canonical =
        canonical::to_bytes(&value).map_err(|e| CanonicalFault::Value(e.to_string()))?;
    if canonical == bytes {
        return Ok(value);
    }
    let at = canonical
        .iter()
        .zip(bytes)
        .take_while(|(a, b)| a == b)
        .count();
    Err(CanonicalFault::NotCanonical { at })
}

/// Reads `2026-11-20T17:00:00Z`; offsets, fractions and other spellings are refused.
pub fn parse_instant(text: &str) -> Result<Timestamp, String> {
    let fault =
        || format!("`{text}` is no instant in whole seconds, UTC, like `2026-11-20T17:00:00Z`");
    let instant: Timestamp = text.parse().map_err(|_| fault())?;
    if instant.to_string() != text || instant.subsec_nanosecond() != 0 {
        return Err(fault());
    }
    Ok(instant)
}

/// For `#[serde(with = "instant")]` on a [`Timestamp`].
pub mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the instant; a fraction of a second is an error, it would not be read back.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        if at.subsec_nanosecond() != 0 {
            return Err(serde::ser::Error::custom(format!(
                "instant `{at}` has a fraction of a second"
            )));
        }
        serializer.collect_str(at)
    }

    /// Reads the one spelling that [`serialize`] writes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        super::parse_instant(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_every_second_spelling() {
        assert!(from_canonical(br#"{"a":1,"b":[true,null,"x"]}"#).is_ok());
        for other in [
            r#"{"a":1,"a":1}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a": 1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e2}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":-9007199254740992}"#,
            "{\"a\":1}\n",
            r#"{"a":1}{"#,
            "",
        ] {
            assert!(from_canonical(other.as_bytes()).is_err(), "{other}");
        }
        assert!(from_canonical("[".repeat(100_000).as_bytes()).is_err());
    }

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
