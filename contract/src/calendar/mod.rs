//! Owns the calendar: which instants a schedule names, in which zone, how far apart they are, and a plan's offset from them.
//!
//! Never reads a clock or the system's time-zone database: zones come only from the database compiled into the binary.
//! The interesting functions are [`Calendar::slots`] and [`Calendar::gaps`]; clock changes are handled in `local`.

mod cron;
mod gaps;
mod local;
mod zones;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

pub use cron::{Cron, CronError};
pub use gaps::{Gap, Gaps};
pub use zones::{UnknownZone, Zones};

use crate::duration::Seconds;
use crate::model::Schedule;

/// When a schedule runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timing {
    /// At the local minutes that a cron expression names.
    Cron {
        /// The expression.
        cron: Cron,
        /// IANA name of the zone whose clock it reads.
        zone: String,
    },
    /// At every whole multiple of a period since 1970-01-01T00:00:00Z.
    Every {
        /// The period, above zero.
        period: Seconds,
    },
    /// All the time, without slots.
    Continuous {
        /// How far the copy may lag behind the source.
        max_lag: Seconds,
    },
}

/// Why a schedule has no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// A schedule says when it runs in no way, or in more than one.
    #[error("a schedule has exactly one of `cron`, `every` and `continuous`")]
    NotExactlyOne,
    /// The cron expression cannot be read.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// A cron expression means nothing without a zone.
    #[error("`cron` has no `timezone`")]
    MissingZone,
    /// Only a cron expression reads a zone's clock.
    #[error("`timezone` stands without `cron`")]
    UnusedZone,
    /// The bundled database has no such zone.
    #[error(transparent)]
    UnknownZone(#[from] UnknownZone),
    /// A period of zero names every instant.
    #[error("a period of `PT0S` has no slots")]
    ZeroPeriod,
}

impl CalendarError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            CalendarError::NotExactlyOne => {
                "write one of `cron` with `timezone`, `every`, `continuous`".to_owned()
            }
            CalendarError::Cron(error) => error.help.clone(),
            CalendarError::MissingZone => {
                "add the IANA zone whose clock it reads, as in `timezone: Europe/Berlin`".to_owned()
            }
            CalendarError::UnusedZone => {
                "leave it out: `every` and `continuous` are counted in UTC".to_owned()
            }
            CalendarError::UnknownZone(unknown) => unknown.help(),
            CalendarError::ZeroPeriod => "write a period above zero, as in `PT15M`".to_owned(),
        }
    }
}

impl Schedule {
    /// What the schedule's fields say, read and checked; the zone's name is checked by [`Calendar::new`].
    pub fn timing(&self) -> Result<Timing, CalendarError> {
        let timing = match (&self.cron, self.every_s, &self.continuous) {
            (Some(cron), None, None) => Timing::Cron {
                cron: Cron::parse(cron)?,
                zone: self.timezone.clone().ok_or(CalendarError::MissingZone)?,
            },
            (None, Some(period), None) => Timing::Every { period },
            (None, None, Some(continuous)) => Timing::Continuous {
                max_lag: continuous.max_lag_s,
            },
            _ => return Err(CalendarError::NotExactlyOne),
        };
        match (&timing, &self.timezone) {
            (Timing::Cron { .. }, _) | (_, None) => Ok(timing),
            (Timing::Every { .. } | Timing::Continuous { .. }, Some(_)) => {
                Err(CalendarError::UnusedZone)
            }
        }
    }

    /// The schedule's calendar.
    pub fn calendar(&self, zones: &Zones) -> Result<Calendar, CalendarError> {
        Calendar::new(self.timing()?, zones)
    }
}

/// A timing with its zone: a pure function from intervals of time to slots.
#[derive(Debug, Clone)]
pub struct Calendar {
    timing: Timing,
    zone: TimeZone,
    seconds_of_day: Vec<i64>,
}

impl Calendar {
    /// Binds a timing to its zone; `every` and `continuous` live in UTC.
    pub fn new(timing: Timing, zones: &Zones) -> Result<Calendar, CalendarError> {
        let (zone, seconds_of_day) = match &timing {
            Timing::Cron { cron, zone } => (zones.get(zone)?, cron.seconds_of_day()),
            Timing::Every { period } if period.is_zero() => return Err(CalendarError::ZeroPeriod),
            Timing::Every { .. } | Timing::Continuous { .. } => (TimeZone::UTC, Vec::new()),
        };
        Ok(Calendar {
            timing,
            zone,
            seconds_of_day,
        })
    }

    /// The timing this calendar was made of.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The zone in which days, weeks and months of this schedule are counted.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// An instant as RFC 3339 with the zone's UTC offset, as in `2026-10-25T02:30:00+02:00`; `Z` in UTC.
    pub fn written(&self, at: Timestamp) -> String {
        if self.zone == TimeZone::UTC {
            return at.to_string();
        }
        at.display_with_offset(self.zone.to_offset(at)).to_string()
    }

    /// The slots of an interval in ascending order, whole seconds, `from` included and `to` not; none for continuous timings.
    pub fn slots(&self, from: Timestamp, to: Timestamp) -> Slots<'_> {
        let (from, to) = (ceiling(from), ceiling(to));
        Slots(match &self.timing {
            Timing::Cron { cron, .. } => Kind::Cron(Box::new(local::CronSlots::new(
                cron,
                &self.seconds_of_day,
                &self.zone,
                from,
                to,
            ))),
            Timing::Every { period } => Kind::Every {
                next: multiple_from(from, *period),
                period: *period,
                to,
            },
            Timing::Continuous { .. } => Kind::None,
        })
    }

    /// No fewer slots than an interval has, and hardly more, without walking them.
    pub fn slots_at_most(&self, from: Timestamp, to: Timestamp) -> u64 {
        match &self.timing {
            Timing::Continuous { .. } => 0,
            Timing::Every { .. } => self.gaps(from, to, 0).slots,
            Timing::Cron { cron, .. } => {
                // A day more at each end, whatever the zone, and a day that a clock change repeats.
                let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
                let first = day(from).yesterday().unwrap_or(day(from));
                let last = day(to).tomorrow().unwrap_or(day(to));
                let days = first.series(jiff::Span::new().days(1));
                let days = days.take_while(|date| *date <= last);
                let named = days.filter(|date| cron.names_date(*date)).count();
                let times = self.seconds_of_day.len().saturating_mul(named + 1);
                u64::try_from(times).unwrap_or(u64::MAX)
            }
        }
    }

    /// How many steps at most it takes to visit all slots of an interval: each local day, and each time of day on it.
    pub fn steps(&self, from: Timestamp, to: Timestamp) -> u64 {
        const DAY: u64 = 86_400;
        match &self.timing {
            Timing::Cron { .. } => {
                let length = to.as_second().saturating_sub(from.as_second()).max(0);
                let days = length.unsigned_abs() / DAY + 1;
                days.saturating_mul(self.seconds_of_day.len() as u64 + 1)
            }
            // Distances of a period are computed, and a continuous timing has no slots.
            Timing::Every { .. } | Timing::Continuous { .. } => 1,
        }
    }

    /// The newest slot at or before an instant. None for continuous timings and before the calendar of `jiff` begins.
    pub fn slot_at_or_before(&self, at: Timestamp) -> Option<Timestamp> {
        // Looks back in disjoint pieces, each twice as long as the one before, so that frequent and rare schedules are both
        // quick. The rarest expression, a weekday on 29 February, waits 40 years.
        const FIRST_PIECE: i64 = 3_600;
        const PIECES: u32 = 21;
        match &self.timing {
            Timing::Continuous { .. } => None,
            Timing::Every { period } => {
                let at = floor(at);
                Timestamp::from_second(at - at.rem_euclid(period.signed())).ok()
            }
            Timing::Cron { cron, .. } => {
                let mut to = floor(at).saturating_add(1);
                for piece in 0..PIECES {
                    let from = to.saturating_sub(FIRST_PIECE << piece);
                    let found =
                        local::CronSlots::new(cron, &self.seconds_of_day, &self.zone, from, to)
                            .last();
                    if found.is_some() {
                        return found.and_then(|second| Timestamp::from_second(second).ok());
                    }
                    to = from;
                }
                None
            }
        }
    }

    /// The first slot after an instant. None for continuous timings and after the calendar of `jiff` ends.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let from = Timestamp::from_second(floor(at).saturating_add(1)).ok()?;
        self.slots(from, Timestamp::MAX).next()
    }
}

/// How long after each slot a plan starts: the first 8 bytes, big-endian, of SHA-256 of its id, modulo the jitter; zero without jitter.
pub fn offset(plan_id: &str, jitter: Seconds) -> Seconds {
    let digest = Sha256::digest(plan_id.as_bytes());
    let first = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Seconds::new(first.checked_rem(jitter.get()).unwrap_or(0))
}

/// The slots of an interval; see [`Calendar::slots`].
pub struct Slots<'a>(Kind<'a>);

enum Kind<'a> {
    None,
    Every { next: i64, period: Seconds, to: i64 },
    Cron(Box<local::CronSlots<'a>>),
}

impl Iterator for Slots<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let second = match &mut self.0 {
            Kind::None => return None,
            Kind::Every { next, period, to } => {
                let second = *next;
                *next = next.saturating_add(period.signed());
                (second < *to).then_some(second)?
            }
            Kind::Cron(slots) => slots.next()?,
        };
        Timestamp::from_second(second).ok()
    }
}

/// The first whole second at or after an instant. `jiff` cuts towards zero, so only a positive rest moves it up.
fn ceiling(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

/// The last whole second at or before an instant.
fn floor(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

/// The first multiple of the period at or after `from`.
fn multiple_from(from: i64, period: Seconds) -> i64 {
    // Instants of `jiff` end in the year 9999, far below the range of i64; a period reaches 2^53.
    from.saturating_add((-from).rem_euclid(period.signed()))
}
