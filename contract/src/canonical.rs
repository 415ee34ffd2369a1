//! Owns the canonical form: RFC 8785 JSON whose integers are all below 2^53. Never pretty-prints. See [`to_bytes`].

use serde::Serialize;
use serde_json::Value;

/// Integers from here on cannot be told apart by readers that keep numbers as IEEE doubles, as RFC 8785 does.
pub const INTEGER_LIMIT: u64 = 1 << 53;

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// An integer at or above 2^53 would be rounded silently.
    #[error("the integer {value} at `{path}` is not below 2^53")]
    IntegerTooLarge {
        /// JSON pointer to the number.
        path: String,
        /// The number as written.
        value: String,
    },
    /// Fractions have no place in bundles, plans and reports.
    #[error("the number {value} at `{path}` is not a whole number")]
    Fraction {
        /// JSON pointer to the number.
        path: String,
        /// The number as written.
        value: String,
    },
    /// The value does not serialise.
    #[error("cannot serialise")]
    Serialise(#[from] serde_json::Error),
}

/// The canonical bytes of a value.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let tree = serde_json::to_value(value)?;
    check(&tree, &mut String::new())?;
    Ok(serde_json_canonicalizer::to_vec(&tree)?)
}

fn check(value: &Value, path: &mut String) -> Result<(), CanonicalError> {
    let length = path.len();
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {}
        Value::Number(number) => {
            if number.is_f64() {
                return Err(CanonicalError::Fraction {
                    path: path.clone(),
                    value: number.to_string(),
                });
            }
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_none_or(|magnitude| magnitude >= INTEGER_LIMIT) {
                return Err(CanonicalError::IntegerTooLarge {
                    path: path.clone(),
                    value: number.to_string(),
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push('/');
                path.push_str(&index.to_string());
                check(item, path)?;
                path.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push('/');
                path.push_str(name);
                check(field, path)?;
                path.truncate(length);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_large_integers_refused() {
        let bytes = to_bytes(&json!({"b": 1, "a": [true, "é"]})).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&bytes), r#"{"a":[true,"é"],"b":1}"#);
        assert!(matches!(
            to_bytes(&json!({"a": [INTEGER_LIMIT]})),
            Err(CanonicalError::IntegerTooLarge { path, .. }) if path == "/a/0"
        ));
        assert!(to_bytes(&json!(INTEGER_LIMIT - 1)).is_ok());
        assert!(matches!(
            to_bytes(&json!(0.5)),
            Err(CanonicalError::Fraction { .. })
        ));
    }
}
