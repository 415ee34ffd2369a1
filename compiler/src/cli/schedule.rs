//! Owns `seawall schedule`: the slots of any expression in an interval, in local time and UTC, and the largest gap.
//! The calendar itself is in `contract`.

use clap::Args;
use contract::calendar::{Calendar, Cron, Timing, Zones};
use contract::code;
use contract::duration::Seconds;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use super::Format;
use super::failure::Failure;
use crate::diagnostic::Diagnostic;
use crate::world::terminal::{Stream, print};

/// More slots than anyone lists; a year of minutes is below it.
const MAX_SLOTS: u64 = 1_000_000;

#[derive(Args)]
pub struct Schedule {
    /// A cron expression of five fields, or a period such as PT15M
    #[arg(value_name = "EXPR")]
    expression: String,
    /// IANA zone whose clock a cron expression reads; a period is counted in UTC
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// First day or instant, included: 2027-03-01 (midnight in the zone) or 2027-03-01T00:00:00Z
    #[arg(long, value_name = "D")]
    from: String,
    /// Last day or instant, not included
    #[arg(long, value_name = "D")]
    to: String,
    /// How to show it
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Schedule {
    pub fn run(self) -> Result<(), Failure> {
        let calendar = self.calendar()?;
        let from = instant(&calendar, "--from", &self.from)?;
        let to = instant(&calendar, "--to", &self.to)?;
        if to <= from {
            return Err(usage(
                format!("`--to {}` is not after `--from {}`", self.to, self.from),
                "the interval includes `--from` and ends before `--to`",
            ));
        }
        let gaps = calendar.gaps(from, to, 0);
        if gaps.slots > MAX_SLOTS {
            return Err(usage(
                format!(
                    "the interval has {} slots, at most {MAX_SLOTS} are listed",
                    gaps.slots
                ),
                "choose a shorter interval",
            ));
        }
        let slots: Vec<Timestamp> = calendar.slots(from, to).collect();
        match self.format {
            Format::Json => {
                let pair: Vec<String> = gaps
                    .widest
                    .iter()
                    .flat_map(|gap| [gap.from.to_string(), gap.to.to_string()])
                    .collect();
                let value = json!({
                    "format": 1,
                    "slots": slots.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "max_gap_seconds": gaps.widest.map(|gap| gap.length()),
                    "max_gap_pair": pair,
                });
                print(Stream::Out, &format!("{value}\n"));
            }
            Format::Human => {
                let mut lines: Vec<String> =
                    slots.iter().map(|slot| both(&calendar, *slot)).collect();
                lines.push(match gaps.widest {
                    Some(gap) => format!(
                        "{} slots; largest gap {} from {} to {}",
                        slots.len(),
                        gap.length().human(),
                        calendar.written(gap.from),
                        calendar.written(gap.to)
                    ),
                    None => format!("{} slots; no gap between two of them", slots.len()),
                });
                print(Stream::Out, &format!("{}\n", lines.join("\n")));
            }
        }
        Ok(())
    }

    fn calendar(&self) -> Result<Calendar, Failure> {
        let refused =
            |error: contract::calendar::CalendarError| usage(error.to_string(), &error.help());
        let timing = if self.expression.starts_with('P') {
            if self.timezone.is_some() {
                return Err(refused(contract::calendar::CalendarError::UnusedZone));
            }
            let period: Seconds =
                self.expression
                    .parse()
                    .map_err(|error: contract::duration::DurationError| {
                        usage(error.to_string(), &error.help)
                    })?;
            Timing::Every { period }
        } else {
            let cron = Cron::parse(&self.expression)
                .map_err(|error| refused(contract::calendar::CalendarError::Cron(error)))?;
            let zone = self.timezone.clone().ok_or_else(|| {
                usage(
                    format!("cron expression `{}` has no zone", self.expression),
                    "add `--timezone`, as in `--timezone Europe/Berlin`",
                )
            })?;
            Timing::Cron { cron, zone }
        };
        Calendar::new(timing, &Zones::bundled()).map_err(refused)
    }
}

fn usage(message: String, help: &str) -> Failure {
    Failure::Usage(Box::new(
        Diagnostic::error(code::INVALID_SCHEDULE, message).help(help),
    ))
}

/// Local time and UTC; once where they are the same.
fn both(calendar: &Calendar, at: Timestamp) -> String {
    let (local, utc) = (calendar.written(at), at.to_string());
    if local == utc {
        utc
    } else {
        format!("{local}  {utc}")
    }
}

/// A day begins at its first instant in the schedule's zone.
fn instant(calendar: &Calendar, flag: &str, text: &str) -> Result<Timestamp, Failure> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    text.parse::<Date>()
        .ok()
        .and_then(|date| date.to_zoned(calendar.zone().clone()).ok())
        .map(|start| start.timestamp())
        .ok_or_else(|| {
            usage(
                format!("`{flag} {text}` is neither a day nor an instant"),
                "write `2027-03-01` or `2027-03-01T00:00:00Z`",
            )
        })
}
