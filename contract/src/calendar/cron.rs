//! Owns the five-field cron expression: what it says, where it is wrong, and which local minutes it names.
//!
//! Never knows a zone or an instant. The interesting function is [`Cron::parse`]; fields are read by `field` and items by `item`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

/// Longest expression read, in bytes: a list of all 60 minutes fits five times over.
const MAX_BYTES: usize = 1_024;

/// A cron expression with Vixie's meaning: five fields, names, lists, ranges and steps; `Display` writes its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    wildcard: bool,
    either_day: bool,
}

/// Why a text is no cron expression, and where: a byte range of the text that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// First byte of what is wrong.
    pub offset: usize,
    /// Bytes that are wrong; zero at the end of the text.
    pub len: usize,
    /// One lowercase line with the user's text in backticks.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// One of the five fields: its name in messages, its bounds, and the names its values may have.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MINUTE: Field = Field {
    name: "minute",
    low: 0,
    high: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    low: 0,
    high: 23,
    names: &[],
};
const DAY: Field = Field {
    name: "day of month",
    low: 1,
    high: 31,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: MONTHS,
};
const WEEKDAY: Field = Field {
    name: "day of week",
    low: 0,
    high: 7,
    names: WEEKDAYS,
};

/// A piece of the expression and the byte where it begins.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    offset: usize,
}

impl Part<'_> {
    fn wrong(self, message: String, help: impl Into<String>) -> CronError {
        CronError {
            offset: self.offset,
            len: self.text.len(),
            message,
            help: help.into(),
        }
    }
}

impl Cron {
    /// Reads an expression of five fields separated by spaces or tabs: minute, hour, day of month, month, day of week.
    ///
    /// Refuses seconds, years, `L`, `W`, `#`, `?`, `@names`, and expressions that name no date at all.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        let whole = Part { text, offset: 0 };
        if text.len() > MAX_BYTES {
            let message = format!("the cron expression is longer than {MAX_BYTES} bytes");
            return Err(whole.wrong(message, "write a shorter expression"));
        }
        if let Some((offset, found)) = text
            .char_indices()
            .find(|(_, letter)| letter.is_control() && *letter != '\t')
        {
            let control = Part {
                text: text.get(offset..offset + found.len_utf8()).unwrap_or(""),
                offset,
            };
            let message = "the cron expression has a line break or control character".to_owned();
            return Err(control.wrong(message, "write the five fields on one line"));
        }
        let parts = split(text);
        let (minute, hour, day, month, weekday) = match parts.as_slice() {
            [first, ..] if first.text.starts_with('@') => return Err(nickname(*first)),
            [m, h, d, month, w] => (*m, *h, *d, *month, *w),
            [] => {
                return Err(whole.wrong("the cron expression is empty".to_owned(), FIVE_FIELDS));
            }
            other => return Err(wrong_count(whole, other)),
        };
        let cron = Cron {
            text: [minute, hour, day, month, weekday]
                .map(|part| part.text)
                .join(" "),
            minutes: field(&MINUTE, minute)?,
            hours: field(&HOUR, hour)?,
            days: field(&DAY, day)?,
            months: field(&MONTH, month)?,
            weekdays: field(&WEEKDAY, weekday)?,
            wildcard: minute.text.starts_with('*') || hour.text.starts_with('*'),
            either_day: !day.text.starts_with('*') && !weekday.text.starts_with('*'),
        };
        if !cron.either_day && !cron.names_a_date() {
            let message = format!("no month of `{}` has a day `{}`", month.text, day.text);
            return Err(day.wrong(message, "name a day that one of the months has"));
        }
        Ok(cron)
    }

    /// The expression with single spaces between its fields.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the minute or hour field starts with `*`: then clock changes skip and repeat runs.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether the expression runs on this local date.
    pub fn names_date(&self, date: Date) -> bool {
        // Month, day and weekday are small non-negative numbers by jiff's own bounds.
        let in_days = has(self.days, u32::from(date.day().unsigned_abs()));
        let weekday = u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
        let in_weekdays = has(self.weekdays, weekday);
        let on_day = if self.either_day {
            in_days || in_weekdays
        } else {
            in_days && in_weekdays
        };
        on_day && has(self.months, u32::from(date.month().unsigned_abs()))
    }

    /// The times of day at which it runs, in seconds from local midnight, ascending, never empty.
    pub fn seconds_of_day(&self) -> Vec<i64> {
        let minutes: Vec<i64> = (0_u32..60)
            .filter(|m| has(self.minutes, *m))
            .map(i64::from)
            .collect();
        (0_u32..24)
            .filter(|hour| has(self.hours, *hour))
            .flat_map(|hour| {
                minutes
                    .iter()
                    .map(move |m| i64::from(hour) * 3_600 + m * 60)
            })
            .collect()
    }

    /// Whether some month has one of the days; February counts 29 and weekdays fall everywhere in time.
    fn names_a_date(&self) -> bool {
        (1_u32..=12)
            .filter(|month| has(self.months, *month))
            .any(|month| {
                let last = match month {
                    2 => 29,
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                (1..=last).any(|day| has(self.days, day))
            })
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Cron, CronError> {
        Cron::parse(text)
    }
}

fn has(set: u64, value: u32) -> bool {
    set & (1 << value) != 0
}

fn split(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut offset = 0;
    for piece in text.split([' ', '\t']) {
        if !piece.is_empty() {
            parts.push(Part {
                text: piece,
                offset,
            });
        }
        offset += piece.len() + 1;
    }
    parts
}

const FIVE_FIELDS: &str =
    "write five fields: minute, hour, day of month, month, day of week, as in `30 2 * * *`";

fn wrong_count(whole: Part<'_>, parts: &[Part<'_>]) -> CronError {
    let count = parts.len();
    let extra = match (count, parts.last()) {
        (6.., Some(last)) => *last,
        _ => Part {
            text: "",
            offset: whole.text.len(),
        },
    };
    let (why, help) = match count {
        6 | 7 => (
            ", seconds and years are not read",
            "write five fields: leave out the seconds in front and the year at the end",
        ),
        _ => ("", FIVE_FIELDS),
    };
    let noun = if count == 1 { "field" } else { "fields" };
    extra.wrong(
        format!("the cron expression has {count} {noun} instead of five{why}"),
        help,
    )
}

fn nickname(part: Part<'_>) -> CronError {
    let same = match part.text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Some("0 0 1 1 *"),
        "@monthly" => Some("0 0 1 * *"),
        "@weekly" => Some("0 0 * * 0"),
        "@daily" | "@midnight" => Some("0 0 * * *"),
        "@hourly" => Some("0 * * * *"),
        _ => None,
    };
    let help = same.map_or_else(|| FIVE_FIELDS.to_owned(), |same| format!("write `{same}`"));
    part.wrong(
        format!("`{}` is a nickname, which is not read", part.text),
        help,
    )
}

/// Reads one field, a comma-separated list of items, as the set of its values.
fn field(field: &Field, part: Part<'_>) -> Result<u64, CronError> {
    let mut set = 0;
    let mut offset = part.offset;
    for text in part.text.split(',') {
        set |= item(field, Part { text, offset })?;
        offset += text.len() + 1;
    }
    Ok(set)
}

/// Reads `*`, `*/n`, `a`, `a-b` or `a-b/n`.
fn item(field: &Field, part: Part<'_>) -> Result<u64, CronError> {
    if part.text.is_empty() {
        let message = format!("the {} field has an empty item", field.name);
        return Err(part.wrong(
            message,
            "write a number between the commas, or leave the comma out",
        ));
    }
    let (range, step) = match part.text.split_once('/') {
        Some((range, step)) => {
            let step = Part {
                text: step,
                offset: part.offset + range.len() + 1,
            };
            (
                Part {
                    text: range,
                    offset: part.offset,
                },
                Some(step),
            )
        }
        None => (part, None),
    };
    let (low, high) = match range.text.split_once('-') {
        _ if range.text == "*" => (field.low, field.high),
        Some((low, high)) => {
            let end = Part {
                text: high,
                offset: range.offset + low.len() + 1,
            };
            let low = value(
                field,
                Part {
                    text: low,
                    offset: range.offset,
                },
            )?;
            let high = value(field, end)?;
            if high < low {
                return Err(backwards(field, range, low, high));
            }
            (low, high)
        }
        None => {
            let single = value(field, range)?;
            if let Some(step) = step {
                let message = format!("`{}` has a step but no range", part.text);
                let help = format!("write `{}-{}/{}`", range.text, last(field), step.text);
                return Err(part.wrong(message, help));
            }
            (single, single)
        }
    };
    let step = step.map_or(Ok(1), |step| step_of(field, range, step))?;
    Ok((low..=high).step_by(step).fold(0, |set, value| {
        // Both 0 and 7 are Sunday.
        let value = if field.high == WEEKDAY.high {
            value % 7
        } else {
            value
        };
        set | (1 << value)
    }))
}

/// The largest value that a person would write at the end of a range.
fn last(field: &Field) -> u32 {
    if field.high == WEEKDAY.high {
        6
    } else {
        field.high
    }
}

fn step_of(field: &Field, range: Part<'_>, step: Part<'_>) -> Result<usize, CronError> {
    let number = step
        .text
        .parse::<usize>()
        .ok()
        .filter(|_| is_digits(step.text));
    match number {
        None => Err(step.wrong(
            format!("`{}` is no step", step.text),
            "write a whole number after the `/`, as in `*/15`",
        )),
        Some(0) => Err(step.wrong(
            "a step of `0` never moves on".to_owned(),
            "write a step of 1 or more",
        )),
        Some(number)
            if range.text == "*"
                && u32::try_from(number).is_ok_and(|n| n <= last(field) - field.low + 1) =>
        {
            Ok(number)
        }
        Some(number) if range.text == "*" => {
            // A step over the whole field starts again at each turn of the field, so it cannot reach past it.
            let message = format!(
                "a step of `{number}` does not fit into the {} field",
                field.name
            );
            Err(step.wrong(
                message,
                "use `every` with a duration for a period that crosses the field",
            ))
        }
        Some(number) => Ok(number),
    }
}

fn backwards(field: &Field, range: Part<'_>, low: u32, high: u32) -> CronError {
    let help = if field.high == WEEKDAY.high && high == 0 {
        format!("Sunday at the end of a range is 7: write `{low}-7`")
    } else {
        format!("write `{low}-{},{}-{high}`", last(field), field.low)
    };
    range.wrong(format!("the range `{}` runs backwards", range.text), help)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads one number or name of a field.
fn value(field: &Field, part: Part<'_>) -> Result<u32, CronError> {
    let shown = last(field).max(field.high);
    let bounds = format!("write a number from {} to {shown}", field.low);
    if is_digits(part.text) {
        return part
            .text
            .parse::<u32>()
            .ok()
            .filter(|number| (field.low..=field.high).contains(number))
            .ok_or_else(|| {
                let message = format!("`{}` is outside the {} field", part.text, field.name);
                part.wrong(message, bounds)
            });
    }
    let lower = part.text.to_ascii_lowercase();
    let named = field
        .names
        .iter()
        .zip(field.low..)
        .find(|(name, _)| **name == lower);
    if let Some((_, number)) = named {
        return Ok(number);
    }
    let message = match lower.as_str() {
        "" => format!("a number is missing in the {} field", field.name),
        "?" => "`?` is not read".to_owned(),
        "*" => "`*` cannot be part of a range".to_owned(),
        text if text.contains('#') => {
            format!("`{}` asks for the n-th weekday, `#` is not read", part.text)
        }
        text if text == "l" || text.ends_with('l') && is_digits(text.trim_end_matches('l')) => {
            format!("`{}` asks for the last day, `L` is not read", part.text)
        }
        text if text == "lw" || text.ends_with('w') && is_digits(text.trim_end_matches('w')) => {
            format!(
                "`{}` asks for the nearest working day, `W` is not read",
                part.text
            )
        }
        _ => format!("`{}` is no value of the {} field", part.text, field.name),
    };
    let full = field
        .names
        .iter()
        .find(|name| lower.len() > 3 && lower.starts_with(**name));
    let help = match (
        lower.as_str(),
        full,
        field.names.first(),
        field.names.last(),
    ) {
        ("?", _, _, _) => "write `*`".to_owned(),
        (_, Some(name), _, _) => format!("write `{name}`"),
        (_, None, Some(first), Some(end)) => {
            format!("{bounds}, or a name from `{first}` to `{end}`")
        }
        _ => bounds,
    };
    Err(part.wrong(message, help))
}
