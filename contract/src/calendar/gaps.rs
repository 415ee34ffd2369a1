//! Owns the distances between slots: the widest that a number of tolerated misses leaves, and the narrowest.
//!
//! Never adds windows or lags; that is `recovery`. The interesting function is [`Calendar::gaps`].

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{Calendar, Timing, ceiling, multiple_from};
use crate::duration::Seconds;

/// Two slots, the first before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The earlier slot.
    pub from: Timestamp,
    /// The later slot.
    pub to: Timestamp,
}

impl Gap {
    /// The time between the two slots, taken in UTC.
    pub fn length(&self) -> Seconds {
        Seconds::new(
            self.to
                .as_second()
                .saturating_sub(self.from.as_second())
                .max(0)
                .unsigned_abs(),
        )
    }
}

/// The distances between the slots of an interval. Of equal distances the earliest pair is the witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gaps {
    /// How many slots the interval has.
    pub slots: u64,
    /// The largest `t[i + misses + 1] - t[i]`; none when the interval has too few slots.
    pub widest: Option<Gap>,
    /// The smallest `t[i + 1] - t[i]`; none when the interval has fewer than two slots.
    pub narrowest: Option<Gap>,
}

impl Calendar {
    /// The distances between slots with `from <= slot < to`, where `misses` slots in a row may yield no usable point.
    pub fn gaps(&self, from: Timestamp, to: Timestamp, misses: u32) -> Gaps {
        match self.timing() {
            Timing::Every { period } => every(*period, ceiling(from), ceiling(to), misses),
            Timing::Cron { .. } | Timing::Continuous { .. } => {
                walk(self.slots(from, to).map(Timestamp::as_second), misses)
            }
        }
    }
}

/// All distances of a period are equal, so no slot is visited.
fn every(period: Seconds, from: i64, to: i64, misses: u32) -> Gaps {
    let first = multiple_from(from, period);
    let slots = if first < to {
        (to - 1 - first) / period.signed() + 1
    } else {
        0
    };
    let apart = |steps: i64| {
        let last = period
            .signed()
            .checked_mul(steps)
            .and_then(|length| first.checked_add(length));
        last.filter(|_| steps < slots)
            .and_then(|last| gap(first, last))
    };
    Gaps {
        slots: slots.unsigned_abs(),
        widest: apart(i64::from(misses) + 1),
        narrowest: apart(1),
    }
}

fn walk(slots: impl Iterator<Item = i64>, misses: u32) -> Gaps {
    let reach = usize::try_from(misses)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let mut window: VecDeque<i64> = VecDeque::new();
    let mut count = 0_u64;
    let mut widest: Option<(i64, i64)> = None;
    let mut narrowest: Option<(i64, i64)> = None;
    for slot in slots {
        count += 1;
        if let Some(previous) = window.back().copied()
            && narrowest.is_none_or(|(low, high)| slot - previous < high - low)
        {
            narrowest = Some((previous, slot));
        }
        if window.len() == reach
            && let Some(earliest) = window.pop_front()
            && widest.is_none_or(|(low, high)| slot - earliest > high - low)
        {
            widest = Some((earliest, slot));
        }
        window.push_back(slot);
    }
    let told = |pair: Option<(i64, i64)>| pair.and_then(|(low, high)| gap(low, high));
    Gaps {
        slots: count,
        widest: told(widest),
        narrowest: told(narrowest),
    }
}

fn gap(from: i64, to: i64) -> Option<Gap> {
    Some(Gap {
        from: Timestamp::from_second(from).ok()?,
        to: Timestamp::from_second(to).ok()?,
    })
}
