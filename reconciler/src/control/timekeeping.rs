//! Owns what a person can ask and say about the clock: what vouches for it, and that it is right after all. Never sets a clock.
//! The interesting function is [`confirm`].

use contract::receipt::{CLOCK, CLOCK_CONFIRMED, DecisionType, Outcome, Phase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::{self, Followed};
use super::{Daemon, copies};
use crate::domain::Draft;
use crate::doubt::Clock;
use crate::failure::Failure;
use crate::plan::stamp;

/// The clock and what vouches for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClockView {
    /// What it says.
    pub now: Timestamp,
    /// `plausible`, `ahead` or `behind`.
    pub judgement: String,
    /// The newest receipt whose clock was not in doubt.
    pub newest_receipt: Option<Timestamp>,
    /// When the active bundle was signed.
    pub bundle_issued_at: Timestamp,
    /// When it expires.
    pub bundle_expires_at: Timestamp,
}

/// What the clock is worth now.
pub fn view(daemon: &Daemon) -> Result<ClockView, Failure> {
    let now = daemon.now();
    let followed = policy::active(daemon, now, None)?;
    Ok(viewed(daemon, &followed, now))
}

fn viewed(daemon: &Daemon, followed: &Followed, now: Timestamp) -> ClockView {
    ClockView {
        now,
        judgement: match followed.active.clock {
            Clock::Plausible => "plausible",
            Clock::Ahead { .. } => "ahead",
            Clock::Behind { .. } => "behind",
        }
        .to_owned(),
        newest_receipt: daemon.log().ledger().newest(),
        bundle_issued_at: followed.issued_at,
        bundle_expires_at: followed.expires_at,
    }
}

/// Records that a person says the clock is right; none when nothing speaks against it. The receipt holds the instants, and is the
/// newest instant from then on.
pub fn confirm(daemon: &Daemon) -> Result<Option<ClockView>, Failure> {
    let now = daemon.fresh_now()?;
    let followed = policy::active(daemon, now, None)?;
    if followed.active.clock == Clock::Plausible {
        return Ok(None);
    }
    let before = viewed(daemon, &followed, now);
    let operation = format!("clock.{}", stamp(now));
    let mut draft = Draft::new(DecisionType::Adoption, Phase::Decision, &operation);
    draft.result = Some(Outcome::Success);
    draft.actor = daemon.person();
    let newest = before.newest_receipt.map(|at| at.to_string());
    let details = [
        (CLOCK, CLOCK_CONFIRMED.to_owned()),
        ("confirmed_at", now.to_string()),
        ("judgement_before", before.judgement.clone()),
        ("newest_receipt_before", newest.unwrap_or_default()),
        ("bundle_issued_at", before.bundle_issued_at.to_string()),
        ("bundle_expires_at", before.bundle_expires_at.to_string()),
    ];
    let details = details.map(|(name, value)| (name.to_owned(), value));
    draft.details.extend(details);
    daemon.commit(&[], vec![draft], now)?;
    let _ = copies::copy_receipts(daemon);
    Ok(Some(before))
}
