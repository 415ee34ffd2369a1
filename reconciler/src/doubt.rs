//! Owns whether the clock can be believed, from what is signed: the receipts of this reconciler and the bundle in force. Where it
//! cannot, recovery points are still taken, and nothing is written off. The interesting function is [`judge`].
//!
//! No number for this stands in code. Policy says how often plans run, how long evidence counts (`staleness_limit` of a tier), and
//! how long a bundle is fresh. A silence of more than two slots of every plan that outlasts either is a machine that was off or a
//! clock that jumped, and only a person can tell which. A shorter one is a machine that was off.

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::model::{BackupPlan, Model};
use contract::seal::CLOCK_SKEW;
use jiff::Timestamp;

/// What the clock is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Nothing speaks against it.
    Plausible,
    /// It is further ahead of everything that is signed than policy makes plausible.
    Ahead {
        /// The newest instant that is signed.
        vouched: Timestamp,
    },
    /// It is before the newest receipt.
    Behind {
        /// The newest receipt.
        newest: Timestamp,
    },
}

/// What vouches for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// The newest receipt whose clock was not in doubt; none before the first.
    pub newest_receipt: Option<Timestamp>,
    /// When the bundle in force was signed.
    pub issued_at: Timestamp,
    /// When it stops to be fresh.
    pub expires_at: Timestamp,
}

impl Clock {
    /// Whether it runs ahead of what anything vouches for.
    pub const fn is_ahead(self) -> bool {
        matches!(self, Self::Ahead { .. })
    }

    /// Whether nothing speaks against it.
    pub const fn is_plausible(self) -> bool {
        matches!(self, Self::Plausible)
    }
}

/// Judges the clock. `plans` are those of this reconciler.
pub fn judge(
    model: &Model,
    zones: &Zones,
    plans: &[&BackupPlan],
    witness: &Witness,
    now: Timestamp,
) -> Clock {
    // Before the first receipt nothing was recorded that a jump could write off.
    let Some(newest) = witness.newest_receipt else {
        return Clock::Plausible;
    };
    if newest.duration_since(now) > CLOCK_SKEW {
        return Clock::Behind { newest };
    }
    let vouched = newest.max(witness.issued_at);
    let silence = Seconds::new(u64::try_from(now.duration_since(vouched).as_secs()).unwrap_or(0));
    let stale = strictest_staleness(model, plans).is_some_and(|limit| silence > limit);
    let expired = now >= witness.expires_at;
    if now > silence_ends(zones, plans, vouched) && (stale || expired) {
        Clock::Ahead { vouched }
    } else {
        Clock::Plausible
    }
}

/// How long evidence counts for the strictest tier that a plan serves.
fn strictest_staleness(model: &Model, plans: &[&BackupPlan]) -> Option<Seconds> {
    plans
        .iter()
        .flat_map(|policy| &policy.dataset_ids)
        .filter_map(|id| model.datasets.get(id))
        .filter_map(|dataset| model.settings.tiers.get(&dataset.criticality))
        .map(|tier| tier.staleness_limit_s)
        .min()
}

/// When even the rarest plan would have written a receipt: at its second slot from the newest receipt on.
fn silence_ends(zones: &Zones, plans: &[&BackupPlan], vouched: Timestamp) -> Timestamp {
    plans
        .iter()
        .filter_map(|policy| policy.backup_frequency.calendar(zones).ok())
        .filter_map(|calendar| calendar.next_after(calendar.next_after(vouched)?))
        .max()
        .unwrap_or(vouched)
}
