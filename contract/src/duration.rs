//! Owns lengths of time: whole seconds, written in YAML as ISO 8601 and in a bundle as an integer.
//!
//! Never holds an instant, a fraction or a negative length, and never accepts months or years, which are no length.
//! The interesting function is [`parse`]: it reads the text once, left to right, and every refusal says what to write.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
const WEEK: u64 = 604_800;

/// A length of time in whole seconds, 0 to 2^53 − 1, which canonical JSON holds without rounding.
///
/// `Display` writes ISO 8601 (`P1DT2H`), `FromStr` reads it, serde uses the plain integer, [`Seconds::human`] is for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(u64);

impl Seconds {
    /// No time at all.
    pub const ZERO: Seconds = Seconds(0);
    /// The largest length, 2^53 − 1; facts write it for "unbounded" beside `bounded: false`.
    pub const MAX: Seconds = Seconds(9_007_199_254_740_991);

    /// A number of seconds; larger ones than [`Seconds::MAX`] become [`Seconds::MAX`].
    pub const fn new(seconds: u64) -> Seconds {
        if seconds > Seconds::MAX.0 {
            Seconds::MAX
        } else {
            Seconds(seconds)
        }
    }

    /// A number of minutes, bounded by [`Seconds::MAX`].
    pub const fn minutes(minutes: u64) -> Seconds {
        Seconds::new(minutes.saturating_mul(MINUTE))
    }

    /// A number of hours, bounded by [`Seconds::MAX`].
    pub const fn hours(hours: u64) -> Seconds {
        Seconds::new(hours.saturating_mul(HOUR))
    }

    /// A number of days of 24 hours, bounded by [`Seconds::MAX`].
    pub const fn days(days: u64) -> Seconds {
        Seconds::new(days.saturating_mul(DAY))
    }

    /// The number of seconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of seconds as a signed integer, for arithmetic with instants; never negative.
    pub const fn signed(self) -> i64 {
        // MAX is below 2^53, so the conversion loses nothing.
        self.0.cast_signed()
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, bounded by [`Seconds::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Seconds) -> Seconds {
        Seconds::new(self.0.saturating_add(other.0))
    }

    /// The difference, bounded by zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Seconds) -> Seconds {
        Seconds(self.0.saturating_sub(other.0))
    }

    /// The product, bounded by [`Seconds::MAX`].
    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Seconds {
        Seconds::new(self.0.saturating_mul(factor))
    }

    /// The length for people: `6 h 20 min`, `45 s`, `30 d`. Days are used from one week on, because losses read better in hours.
    pub fn human(self) -> String {
        let (days, rest) = if self.0 >= WEEK {
            (self.0 / DAY, self.0 % DAY)
        } else {
            (0, self.0)
        };
        let parts = [
            (days, "d"),
            (rest / HOUR, "h"),
            (rest % HOUR / MINUTE, "min"),
            (rest % MINUTE, "s"),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count} {unit}"))
            .collect();
        if told.is_empty() {
            "0 s".to_owned()
        } else {
            told.join(" ")
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / DAY, self.0 % DAY);
        f.write_str("P")?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if rest == 0 && days > 0 {
            return Ok(());
        }
        f.write_str("T")?;
        for (count, unit) in [(rest / HOUR, "H"), (rest % HOUR / MINUTE, "M")] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        if rest % MINUTE > 0 || rest == 0 {
            write!(f, "{}S", rest % MINUTE)?;
        }
        Ok(())
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        let seconds = u64::deserialize(deserializer)?;
        if seconds > Seconds::MAX.0 {
            return Err(D::Error::custom(format!(
                "`{seconds}` seconds is more than 2^53 - 1"
            )));
        }
        Ok(Seconds(seconds))
    }
}

/// Why a text is no duration: a one-line message, advice, and the byte offset in the text where reading stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DurationError {
    /// Byte offset in the text, 0 to its length.
    pub offset: usize,
    /// One lowercase line with the user's text in backticks.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl FromStr for Seconds {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Seconds, DurationError> {
        parse(text)
    }
}

const EXAMPLES: &str =
    "write weeks, days, hours, minutes and seconds as in `P30D`, `PT15M` or `P1DT12H`";

/// Reads an ISO 8601 duration of weeks, days, hours, minutes and seconds, whole numbers only,
/// each unit at most once and in this order.
///
/// Zero is accepted here; whether a field may be zero is its schema's business.
pub fn parse(text: &str) -> Result<Seconds, DurationError> {
    let fail = |offset: usize, what: &str| refusal(text, offset, what, EXAMPLES);
    let Some(body) = text.strip_prefix('P') else {
        return Err(fail(0, "it does not start with `P`"));
    };
    let mut total: u64 = 0;
    let mut digits_from: Option<usize> = None;
    let mut in_time = false;
    let mut last_rank = 0;
    let mut complete = false;
    for (offset, letter) in body
        .char_indices()
        .map(|(offset, letter)| (offset + 1, letter))
    {
        if letter.is_ascii_digit() {
            digits_from.get_or_insert(offset);
            continue;
        }
        let number = digits_from.take().and_then(|from| text.get(from..offset));
        if letter == 'T' && !in_time && number.is_none() {
            (in_time, complete) = (true, false);
            continue;
        }
        let (rank, unit) = unit_of(text, offset, letter, in_time, number)?;
        if rank <= last_rank {
            return Err(fail(
                offset,
                &format!("`{letter}` is repeated or out of order"),
            ));
        }
        (last_rank, complete) = (rank, true);
        total = number
            .and_then(|digits| digits.parse::<u64>().ok())
            .and_then(|count| count.checked_mul(unit))
            .and_then(|length| total.checked_add(length))
            .filter(|sum| *sum <= Seconds::MAX.0)
            .ok_or_else(|| {
                refusal(
                    text,
                    offset,
                    "it is too long",
                    "write at most 2^53 - 1 seconds",
                )
            })?;
    }
    if digits_from.is_some() {
        return Err(fail(text.len(), "its last number has no unit"));
    }
    if !complete {
        return Err(fail(text.len(), "it ends without a number and a unit"));
    }
    Ok(Seconds(total))
}

fn refusal(text: &str, offset: usize, what: &str, help: &str) -> DurationError {
    DurationError {
        offset,
        // A message is one line whatever the user wrote.
        message: format!(
            "`{}` is not a duration: {what}",
            text.replace(char::is_control, " ")
        ),
        help: help.to_owned(),
    }
}

/// The rank (larger is smaller a unit) and the seconds of the unit that `letter` names at this place.
fn unit_of(
    text: &str,
    offset: usize,
    letter: char,
    in_time: bool,
    number: Option<&str>,
) -> Result<(u8, u64), DurationError> {
    let what = match (letter, in_time, number) {
        ('W', false, Some(_)) => return Ok((1, WEEK)),
        ('D', false, Some(_)) => return Ok((2, DAY)),
        ('H', true, Some(_)) => return Ok((3, HOUR)),
        ('M', true, Some(_)) => return Ok((4, MINUTE)),
        ('S', true, Some(_)) => return Ok((5, 1)),
        ('Y' | 'M', false, Some(number)) => {
            return Err(calendar_unit(text, offset, letter, number));
        }
        ('.' | ',', _, _) => {
            let help = "write whole numbers, in a smaller unit where needed";
            return Err(refusal(text, offset, "it has a fraction", help));
        }
        ('-' | '+', _, _) => "it has a sign".to_owned(),
        ('H' | 'S', false, Some(_)) => format!("`{letter}` needs a `T` before it"),
        ('W' | 'D', true, Some(_)) => format!("`{letter}` stands after the `T`"),
        ('W' | 'D' | 'H' | 'M' | 'S' | 'Y', _, None) => {
            format!("`{letter}` has no number before it")
        }
        (other, _, _) => format!("`{}` is no unit here", other.escape_debug()),
    };
    Err(refusal(text, offset, &what, EXAMPLES))
}

/// Months and years differ in length; the help names the days that cover the longest reading, rounded up.
fn calendar_unit(text: &str, offset: usize, letter: char, number: &str) -> DurationError {
    // A Gregorian year is at most 365.25 days on average over four years, a month a twelfth of that: 487/16 days.
    let (name, numerator, denominator) = if letter == 'Y' {
        ("years", 1461, 4)
    } else {
        ("months", 487, 16)
    };
    let days = number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(numerator))
        .map(|n| n.div_ceil(denominator));
    DurationError {
        offset,
        message: format!("`{text}` is not a duration: {name} have no fixed length"),
        help: match days {
            Some(days) => format!("write days: `{number}{letter}` is at most `P{days}D`"),
            None => "write days".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[rstest::rstest]
    #[case("PT15M", 900, "PT15M", "15 min")]
    #[case("P30D", 2_592_000, "P30D", "30 d")]
    #[case("P2W", 1_209_600, "P14D", "14 d")]
    #[case("P1DT2H", 93_600, "P1DT2H", "26 h")]
    #[case("PT6H20M", 22_800, "PT6H20M", "6 h 20 min")]
    #[case("PT0S", 0, "PT0S", "0 s")]
    #[case("PT3600S", 3_600, "PT1H", "1 h")]
    #[case("P1W1DT1H1M1S", 694_861, "P8DT1H1M1S", "8 d 1 h 1 min 1 s")]
    fn reads_and_writes(
        #[case] text: &str,
        #[case] seconds: u64,
        #[case] iso: &str,
        #[case] human: &str,
    ) {
        let read: Seconds = text.parse().unwrap();
        assert_eq!(
            (read.get(), read.to_string().as_str(), read.human().as_str()),
            (seconds, iso, human)
        );
    }

    #[rstest::rstest]
    #[case("P7Y", "P2557D")]
    #[case("P1Y", "P366D")]
    #[case("P1M", "P31D")]
    #[case("P6M", "P183D")]
    fn months_and_years_name_the_days(#[case] text: &str, #[case] days: &str) {
        let refused = parse(text).unwrap_err();
        assert!(refused.help.contains(days), "{refused:?}");
        assert_eq!(refused.offset, 2);
    }

    #[rstest::rstest]
    #[case("", 0)]
    #[case("15m", 0)]
    #[case("P", 1)]
    #[case("PT", 2)]
    #[case("P1DT", 4)]
    #[case("PT15", 4)]
    #[case("P15M1D", 3)]
    #[case("PT1.5H", 3)]
    #[case("P-1D", 1)]
    #[case("P1H", 2)]
    #[case("PT1D", 3)]
    #[case("PT1M1H", 5)]
    #[case("P1D1D", 4)]
    #[case("PD", 1)]
    #[case("pt15m", 0)]
    #[case(" PT15M", 0)]
    #[case("PT15M ", 5)]
    #[case("PTT1H", 2)]
    #[case("PT9007199254740992S", 18)]
    #[case("P99999999999999999999D", 21)]
    #[case("PT１H", 2)]
    fn refuses(#[case] text: &str, #[case] offset: usize) {
        let refused = parse(text).unwrap_err();
        assert_eq!(refused.offset, offset, "{refused:?}");
        assert!(
            refused.message.starts_with('`')
                && !refused.help.is_empty()
                && !refused.message.contains('\n')
        );
    }

    proptest! {
        #[test]
        fn display_round_trips(seconds in 0..=Seconds::MAX.get()) {
            let length = Seconds::new(seconds);
            prop_assert_eq!(length.to_string().parse::<Seconds>().unwrap(), length);
            prop_assert_eq!(serde_json::from_str::<Seconds>(&serde_json::to_string(&length).unwrap()).unwrap(), length);
        }

        #[test]
        fn never_panics(text in "P?[0-9TWDHMSY.,+ é-]{0,12}") {
            if let Err(refused) = parse(&text) {
                prop_assert!(text.is_char_boundary(refused.offset));
            }
        }
    }
}
