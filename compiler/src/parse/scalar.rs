//! Owns the reading of plain scalars. Readers of YAML 1.1 and 1.2 disagree about many of them, and a policy must not mean
//! two things: whatever another reader could take for something else is refused. The function is [`read`].

use super::node::Value;

/// What is wrong with a plain scalar, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Odd {
    /// One lowercase line.
    pub message: String,
    /// Advice.
    pub help: String,
}

/// Reads a plain (unquoted) scalar.
pub fn read(text: &str) -> Result<Value, Odd> {
    match text {
        "" | "~" | "null" => return Ok(Value::Null),
        "true" => return Ok(Value::Flag(true)),
        "false" => return Ok(Value::Flag(false)),
        _ => {}
    }
    if let Some(meant) = odd_word(text) {
        return Err(Odd {
            message: format!("`{text}` means different things to different YAML readers"),
            help: format!("write `{meant}`, or `\"{text}\"` when text is meant"),
        });
    }
    if is_plain_integer(text) {
        return text.parse().map(Value::Integer).map_err(|_| Odd {
            message: format!("the number `{text}` is too large"),
            help: "write a smaller number, or quote it when text is meant".to_owned(),
        });
    }
    match odd_number(text) {
        Some(what) => Err(Odd {
            message: format!("`{text}` is {what}"),
            help: format!("write a whole decimal number, or `\"{text}\"` when text is meant"),
        }),
        None => Ok(Value::Text(text.to_owned())),
    }
}

fn odd_word(text: &str) -> Option<&'static str> {
    // Longer texts are no such word; this also bounds the copy.
    if text.len() > 5 {
        return None;
    }
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => Some("true"),
        "no" | "off" | "n" | "false" => Some("false"),
        "null" => Some("null"),
        _ => None,
    }
}

fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits == "0" && text == "0"
        || !digits.is_empty()
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What odd form of a number a text has, if any reader takes it for one.
fn odd_number(text: &str) -> Option<&'static str> {
    let signed = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = signed.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return Some("no number");
    }
    let first = lower.bytes().next()?;
    if !(first.is_ascii_digit() || first == b'.') {
        return None;
    }
    for (prefix, is_digit) in [
        ("0x", u8::is_ascii_hexdigit as fn(&u8) -> bool),
        ("0o", u8::is_ascii_digit),
        ("0b", u8::is_ascii_digit),
    ] {
        if let Some(rest) = lower.strip_prefix(prefix)
            && !rest.is_empty()
            && rest.bytes().all(|byte| is_digit(&byte) || byte == b'_')
        {
            return Some("a number that is not decimal");
        }
    }
    if lower
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_')
    {
        return Some(if text.contains('_') {
            "a number with underscores, which some YAML readers drop"
        } else if text.starts_with('+') {
            "a number with a sign that it does not need"
        } else {
            "a number with a leading zero, which some YAML readers take for octal"
        });
    }
    if is_sexagesimal(&lower) {
        return Some("a number in base 60 to some YAML readers");
    }
    is_float(&lower).then_some("no whole number")
}

/// `12:30` and `1:20:30` are integers in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(all_digits)
        && text.contains(':')
        && parts.all(|part| part.len() <= 2 && all_digits(part))
}

fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
    };
    let exponent_reads = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit())
    });
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_reads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    fn plain_values(
        #[values(
            "0day",
            "PT15M",
            "P1D",
            "40GiB",
            "2026-11-01T00:00:00Z",
            "2026-11-01",
            "30 2 * * *",
            "1.2.3",
            "a_b",
            "-",
            "kid:a",
            "10.0.0.1",
            "e3",
            ".",
            "..",
            "-a",
            "12:30Z",
            "none",
            "tier0"
        )]
        text: &str,
    ) {
        assert_eq!(read(text), Ok(Value::Text(text.to_owned())));
    }

    #[test]
    fn numbers_and_words() {
        assert_eq!(read("0"), Ok(Value::Integer(0)));
        assert_eq!(read("-7"), Ok(Value::Integer(-7)));
        assert_eq!(read("120"), Ok(Value::Integer(120)));
        assert_eq!(read("true"), Ok(Value::Flag(true)));
        assert_eq!(read(""), Ok(Value::Null));
        assert_eq!(read("~"), Ok(Value::Null));
    }

    #[rstest::rstest]
    fn odd_values(
        #[values(
            "012",
            "-012",
            "-0",
            "00",
            "1_000",
            "0x1F",
            "0o17",
            "0b11",
            "1e3",
            "1.5",
            ".5",
            "5.",
            "1.5e-3",
            "+5",
            ".inf",
            "-.INF",
            ".NaN",
            "12:30",
            "1:20:30",
            "yes",
            "No",
            "ON",
            "off",
            "y",
            "N",
            "True",
            "FALSE",
            "Null",
            "99999999999999999999"
        )]
        text: &str,
    ) {
        let odd = read(text);
        assert!(
            matches!(&odd, Err(odd) if odd.message.contains(text) && !odd.help.is_empty()),
            "{odd:?}"
        );
    }
}
