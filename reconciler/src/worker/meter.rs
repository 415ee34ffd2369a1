//! Owns what the daemon heard of one operation's progress, and the rate that follows. The interesting function is [`Meter::pace`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::progress::{Pace, Progress, Stage};

/// What is known of one operation's progress. Clones show the same operation.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Option<Seen>>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    progress: Progress,
    began: Instant,
    /// What the stage had done when it was first heard of.
    at_first: u64,
    changed: Instant,
}

impl Meter {
    /// The effect says how far it is.
    pub fn hear(&self, progress: Progress) {
        let now = Instant::now();
        let mut seen = self.lock();
        match seen.as_mut() {
            Some(known) if known.progress == progress => {}
            Some(known) if known.progress.stage == progress.stage => {
                known.progress = progress;
                known.changed = now;
            }
            Some(_) | None => {
                *seen = Some(Seen {
                    progress,
                    began: now,
                    at_first: progress.bytes,
                    changed: now,
                });
            }
        }
    }

    /// A stage that counts nothing begins.
    pub fn begin(&self, stage: Stage) {
        self.hear(Progress {
            stage,
            ..Progress::default()
        });
    }

    /// How far it is now; none before the effect said anything.
    pub fn pace(&self) -> Option<Pace> {
        let seen = (*self.lock())?;
        Some(pace(&seen, Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pace(seen: &Seen, now: Instant) -> Pace {
    let ran = now.saturating_duration_since(seen.began);
    let done = seen.progress.bytes.saturating_sub(seen.at_first);
    let rate = per_second(done, ran);
    let left = seen
        .progress
        .of_bytes
        .map(|of| of.saturating_sub(seen.progress.bytes));
    Pace {
        progress: seen.progress,
        rate,
        left_s: left.and_then(|left| left.checked_div(rate)),
        still_s: now.saturating_duration_since(seen.changed).as_secs(),
    }
}

fn per_second(bytes: u64, ran: Duration) -> u64 {
    let milliseconds = ran.as_millis().max(1);
    u64::try_from(
        u128::from(bytes)
            .saturating_mul(1000)
            .div_euclid(milliseconds),
    )
    .unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn seen(bytes: u64, of_bytes: Option<u64>, ago: Duration) -> (Seen, Instant) {
        let began = Instant::now();
        let progress = Progress {
            stage: Stage::Storing,
            entries: 1,
            bytes,
            of_bytes,
            steps: 0,
        };
        let seen = Seen {
            progress,
            began,
            at_first: 0,
            changed: began,
        };
        (seen, began + ago)
    }

    #[test]
    fn rate_and_time_left_follow_from_what_was_done() {
        let (seen, now) = seen(3_000, Some(9_000), Duration::from_secs(3));
        let pace = pace(&seen, now);
        assert_eq!((pace.rate, pace.left_s, pace.still_s), (1_000, Some(6), 3));
    }

    #[test]
    fn nothing_is_promised_of_a_size_that_is_not_known_or_a_rate_of_zero() {
        let (unknown, now) = seen(3_000, None, Duration::from_secs(3));
        assert_eq!(pace(&unknown, now).left_s, None);
        let (idle, now) = seen(0, Some(9_000), Duration::from_secs(3));
        assert_eq!(pace(&idle, now).left_s, None);
    }

    #[test]
    fn a_meter_measures_a_stage_from_its_own_beginning() {
        let meter = Meter::default();
        assert_eq!(meter.pace(), None);
        meter.begin(Stage::Dumping);
        let of = |bytes| Progress {
            stage: Stage::Storing,
            bytes,
            ..Progress::default()
        };
        meter.hear(of(1 << 40));
        let pace = meter.pace().unwrap();
        assert_eq!(pace.progress.bytes, 1 << 40);
        // What was done before the first word says nothing about the rate.
        assert_eq!(pace.rate, 0);
    }
}
