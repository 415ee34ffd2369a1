//! Owns the walk from local minutes to instants: what clock changes do to a cron expression.
//!
//! Never looks a zone up slot by slot: it walks the stretches of constant offset, and within them local day by local day.
//! The interesting function is [`CronSlots::enter`], where a clock change is decided.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use super::Cron;

const DAY: i64 = 86_400;

/// How far before the interval the walk begins: longer than any clock change, which is a day at most.
const RUN_UP: i64 = 3 * DAY;

/// The slots of a cron expression as seconds since the epoch, ascending and distinct.
pub(super) struct CronSlots<'a> {
    cron: &'a Cron,
    seconds_of_day: &'a [i64],
    zone: &'a TimeZone,
    from: i64,
    to: i64,
    /// Where the stretch of constant offset ends, in UTC.
    end: i64,
    /// What to add to UTC for local time within the stretch.
    offset: i64,
    /// Local times before this one have had their turn (fixed expressions), or lie before the stretch (wildcards).
    reached: i64,
    /// The local day under the walk and its midnight in local seconds; none at the end of the calendar.
    day: Option<(Date, i64)>,
    /// What a clock change or a day yielded and the caller has not yet taken.
    gap_run: Option<i64>,
    ready: std::ops::Range<usize>,
    last: Option<i64>,
}

impl<'a> CronSlots<'a> {
    /// The slots of `cron` with `from <= slot < to`.
    pub(super) fn new(
        cron: &'a Cron,
        seconds_of_day: &'a [i64],
        zone: &'a TimeZone,
        from: i64,
        to: i64,
    ) -> CronSlots<'a> {
        let start = from.saturating_sub(RUN_UP).max(Timestamp::MIN.as_second());
        let mut slots = CronSlots {
            cron,
            seconds_of_day,
            zone,
            from,
            to,
            end: start,
            offset: 0,
            reached: i64::MIN,
            day: None,
            gap_run: None,
            ready: 0..0,
            last: None,
        };
        slots.enter(start);
        slots
    }

    /// Steps into the stretch of constant offset that begins at, or contains, the instant `at`.
    fn enter(&mut self, at: i64) {
        self.day = None;
        let Ok(instant) = Timestamp::from_second(at) else {
            return;
        };
        self.offset = i64::from(self.zone.to_offset(instant).seconds());
        self.end = self
            .zone
            .following(instant)
            .next()
            .map_or(Timestamp::MAX.as_second(), |change| {
                change.timestamp().as_second()
            });
        let begin = at + self.offset;
        if self.cron.is_wildcard() || self.reached == i64::MIN {
            // Skipped local times are not walked, repeated ones are walked again.
            self.reached = begin;
        } else if self.reached < begin {
            // The clock sprang forward: what it skipped runs once, at the first instant after the gap.
            if self.any_between(self.reached, begin) {
                self.gap_run = Some(at);
            }
            self.reached = begin;
        }
        // Otherwise the clock fell back, and the walk waits until local time is new again.
        self.open_day(self.reached);
    }

    /// Puts the walk on the local day of a local time and makes its remaining times ready.
    fn open_day(&mut self, local: i64) {
        self.day = local_date(local).map(|date| (date, local - local.rem_euclid(DAY)));
        self.make_ready();
    }

    fn make_ready(&mut self) {
        self.ready = 0..0;
        let Some((date, midnight)) = self.day else {
            return;
        };
        if !self.cron.names_date(date) {
            return;
        }
        let first = self.reached - midnight;
        let beyond = self.end + self.offset - midnight;
        let start = self
            .seconds_of_day
            .partition_point(|second| *second < first);
        let stop = self
            .seconds_of_day
            .partition_point(|second| *second < beyond);
        self.ready = start..stop.max(start);
    }

    /// Whether the expression names a local time with `low <= time < high`.
    fn any_between(&self, low: i64, high: i64) -> bool {
        let mut midnight = low - low.rem_euclid(DAY);
        while midnight < high {
            let in_day = |second: &i64| (low..high).contains(&(midnight + second));
            if local_date(midnight).is_some_and(|date| self.cron.names_date(date))
                && self.seconds_of_day.iter().any(in_day)
            {
                return true;
            }
            midnight += DAY;
        }
        false
    }

    /// Moves to the next local day of the stretch, or to the next stretch; false at the end.
    fn advance(&mut self) -> bool {
        let Some((date, midnight)) = self.day else {
            return false;
        };
        let tomorrow = midnight + DAY;
        if tomorrow < self.end + self.offset {
            if tomorrow - self.offset >= self.to {
                return false;
            }
            self.reached = self.reached.max(tomorrow);
            self.day = date.tomorrow().ok().map(|date| (date, tomorrow));
            self.make_ready();
        } else {
            if self.end >= self.to || self.end >= Timestamp::MAX.as_second() {
                return false;
            }
            self.reached = self.reached.max(self.end + self.offset);
            self.enter(self.end);
        }
        true
    }

    fn next_raw(&mut self) -> Option<i64> {
        loop {
            if let Some(run) = self.gap_run.take() {
                return Some(run);
            }
            if let (Some(index), Some((_, midnight))) = (self.ready.next(), self.day)
                && let Some(second) = self.seconds_of_day.get(index)
            {
                return Some(midnight + second - self.offset);
            }
            if !self.advance() {
                return None;
            }
        }
    }
}

impl Iterator for CronSlots<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        loop {
            let slot = self.next_raw()?;
            if slot >= self.to {
                return None;
            }
            // A time right after a gap and a skipped one can fall on the same instant: one slot.
            if slot >= self.from && self.last != Some(slot) {
                self.last = Some(slot);
                return Some(slot);
            }
        }
    }
}

fn local_date(local: i64) -> Option<Date> {
    let as_if_utc = Timestamp::from_second(local).ok()?;
    Some(Offset::UTC.to_datetime(as_if_utc).date())
}
