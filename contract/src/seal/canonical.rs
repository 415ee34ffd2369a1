//! Canonical JSON (RFC 8785): what is signed has exactly one spelling, so duplicate keys, spaces and rounded numbers
//! cannot hide in it. Never used for envelopes, whose bytes are not signed.

use serde::Serialize;
use serde_json::Value;

/// The largest integer that JSON readers keep exactly: 2^53 - 1.
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// Why bytes are no canonical JSON, or a value cannot become it.
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
    /// A number that is no integer below 2^53.
    #[error("number `{0}` is no integer below 2^53")]
    Number(String),
}

/// The canonical bytes of a value. Fractions and integers of 2^53 or more are refused, because they would be rounded silently.
pub fn to_canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalFault> {
    let value = serde_json::to_value(value).map_err(|e| CanonicalFault::Syntax(e.to_string()))?;
    numbers_are_exact(&value)?;
    serde_json_canonicalizer::to_vec(&value).map_err(|e| CanonicalFault::Syntax(e.to_string()))
}

/// Reads bytes that must be canonical already.
pub fn from_canonical(bytes: &[u8]) -> Result<Value, CanonicalFault> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| CanonicalFault::Syntax(e.to_string()))?;
    numbers_are_exact(&value)?;
    let canonical = serde_json_canonicalizer::to_vec(&value).map_err(|e| CanonicalFault::Syntax(e.to_string()))?;
    if canonical == bytes {
        return Ok(value);
    }
    let at = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    Err(CanonicalFault::NotCanonical { at })
}

fn numbers_are_exact(value: &Value) -> Result<(), CanonicalFault> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(magnitude) if magnitude <= MAX_INTEGER => Ok(()),
                Some(_) | None => Err(CanonicalFault::Number(number.to_string())),
            }
        }
        Value::Array(items) => items.iter().try_for_each(numbers_are_exact),
        Value::Object(fields) => fields.values().try_for_each(numbers_are_exact),
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
    fn refuses_to_round() {
        assert!(to_canonical(&MAX_INTEGER).is_ok());
        assert_eq!(to_canonical(&(MAX_INTEGER + 1)), Err(CanonicalFault::Number("9007199254740992".into())));
        assert!(to_canonical(&0.5).is_err());
    }
}
