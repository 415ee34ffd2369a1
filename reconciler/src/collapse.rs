//! Owns whether a source is still what the recovery point before showed: the same one, and not nearly gone. A run is never judged
//! alone. The interesting function is [`judge`].
//!
//! The bound is the policy's: `sizing` says how much of a dataset changes in a day. A fall by more bytes than that, and by more than
//! what is left, is no everyday deletion. Neither is one that leaves nearly nothing of a small source, which may be smaller than the
//! change that policy speaks of.

use crate::domain::SourceProfile;
use contract::duration::Seconds;
use contract::model::Sizing;

/// What is wrong with a source, held against the point before; none where it is as it should be. `since` is the time between
/// the two.
pub fn judge(
    before: &SourceProfile,
    now: &SourceProfile,
    sizing: &Sizing,
    since: Seconds,
) -> Option<String> {
    if let (Some(old), Some(new)) = (&before.identity, &now.identity)
        && old != new
    {
        return Some(format!("it is another source: `{new}`, before `{old}`"));
    }
    let days = since.get().div_ceil(DAY).max(1);
    let changes = u128::from(sizing.change_per_day_bytes) * u128::from(days);
    let told = |what: &str, before: u64, now: u64| {
        format!("it fell from {before} {what} to {now}, more than policy says changes")
    };
    if let (Some(before), Some(now)) = (before.bytes, now.bytes) {
        let lost = before.saturating_sub(now);
        if (lost > now && u128::from(lost) > changes) || nearly_gone(before, now, sizing, changes) {
            return Some(told("bytes", before, now));
        }
    }
    match (before.entries, now.entries) {
        (Some(before), Some(now)) if nearly_gone(before, now, sizing, changes) => {
            Some(told("entries", before, now))
        }
        (_, _) => None,
    }
}

const DAY: u64 = 86_400;

/// What leaves less than a tenth of a source has taken nearly all of it. That is what the words mean, and no policy.
const NEARLY_ALL: u64 = 10;

/// Whether nearly all of a measure is gone, where policy does not say that as much changes. All of it is always too much.
fn nearly_gone(before: u64, now: u64, sizing: &Sizing, changes: u128) -> bool {
    let rest = NEARLY_ALL - 1;
    let expected =
        changes * u128::from(NEARLY_ALL) >= u128::from(sizing.size_bytes) * u128::from(rest);
    (now == 0 && before > 0) || (now.saturating_mul(NEARLY_ALL) < before && !expected)
}
