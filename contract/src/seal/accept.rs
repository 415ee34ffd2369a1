//! The second door: may a verified bundle be followed now, and how far.
//!
//! Expiry, order and weakening are judged here against what was accepted last. Nothing here verifies signatures again, and
//! nothing forgets: a refusal leaves the last accepted bundle in force. The interesting function is [`accept`].

use jiff::{SignedDuration, Timestamp};

use super::open::{Bundle, Verified, environment_roles};
use super::refusal::Refusal;
use super::root::Role;
use super::statement::{BundlePredicate, Serial};
use crate::calendar::Zones;
use crate::diff::compare;
use crate::digest::Digest;
use crate::model::Model;

/// How far the signer's clock may run ahead of ours. Not policy: it only keeps two honest clocks from disagreeing.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What is remembered of the bundle that was accepted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAccepted {
    /// Its serial.
    pub serial: Serial,
    /// SHA-256 of its statement's payload.
    pub payload: Digest,
    /// Version of the newest trust root seen then.
    pub root_version: u64,
}

/// Whether the new bundle protects less than the one now applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weakening {
    /// Nothing became weaker.
    Nothing,
    /// These became weaker or incomparable; one line each.
    Weaker(Vec<String>),
}

impl Weakening {
    /// Compares a new model with the one now applied: weaker and incomparable leaves both weaken.
    pub fn between(applied: &Model, new: &Model, zones: &Zones) -> Self {
        let weaker: Vec<String> = compare(applied, new, zones)
            .weakening()
            .map(ToString::to_string)
            .collect();
        if weaker.is_empty() {
            Self::Nothing
        } else {
            Self::Weaker(weaker)
        }
    }

    /// What weakens, for a message of one line: the first few, and how many more.
    fn told(what: &[String]) -> String {
        const TOLD: usize = 3;
        let first: Vec<&str> = what.iter().take(TOLD).map(String::as_str).collect();
        let more = what.len().saturating_sub(TOLD);
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("weakens {}{rest}", first.join(", "))
    }
}

/// How far an accepted bundle may be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In all things.
    Fresh,
    /// Only in what protects: backups, verification, restore tests. Nothing is deleted, failed over or weakened.
    Stale,
}

/// What the accepted bundle is to the one accepted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// The first bundle here.
    First,
    /// A newer one.
    Next,
    /// The same once more.
    Same,
}

/// A bundle that is in force. Made only by [`accept`] and [`reopen`].
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    bundle: Verified<Bundle>,
    standing: Standing,
    novelty: Novelty,
}

impl Accepted {
    /// The bundle, with who signed it.
    pub const fn bundle(&self) -> &Verified<Bundle> {
        &self.bundle
    }

    /// How far it may be followed.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it is new.
    pub const fn novelty(&self) -> Novelty {
        self.novelty
    }

    /// The same, but stale where the clock stands below the newest receipt: then the clock, or the store, is wrong.
    #[must_use]
    pub fn doubting_the_clock(self, newest_receipt: Option<Timestamp>, now: Timestamp) -> Self {
        match newest_receipt {
            Some(newest) if newest.duration_since(now) > CLOCK_SKEW => Self {
                standing: Standing::Stale,
                ..self
            },
            Some(_) | None => self,
        }
    }

    /// What to remember of it.
    pub const fn remember(&self) -> LastAccepted {
        let stated = self.bundle.statement();
        LastAccepted {
            serial: stated.serial,
            payload: *self.bundle.identity(),
            root_version: self.bundle.root().version,
        }
    }
}

/// Accepts a verified bundle, or says why not. `weakening` judges it against the bundle now applied. It is asked last, because
/// it takes longest, and not at all when there is nothing applied: no baseline counts as weakening.
pub fn accept(
    bundle: Verified<Bundle>,
    last: Option<&LastAccepted>,
    weakening: impl FnOnce(&Verified<Bundle>) -> Weakening,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let stated = bundle.statement();
    // 1. No step back in the trust root: an older one may still list a revoked key.
    if let Some(last) = last {
        root_not_older(&bundle, last)?;
        // The bundle that is in force already: expiry makes it stale, it does not refuse it.
        if stated.serial == last.serial && *bundle.identity() == last.payload {
            let standing = standing(&bundle, now);
            return Ok(Accepted {
                bundle,
                standing,
                novelty: Novelty::Same,
            });
        }
    }
    // 2. Not expired, not from the future.
    in_time(&bundle, now)?;
    // 3. Serial above the last, on top of its payload.
    if let Some(last) = last {
        in_order(&bundle, last)?;
    }
    // 4. Weakening needs the owners.
    let (novelty, why) = match last {
        None => (Novelty::First, Some("is the first here".to_owned())),
        Some(_) => match weakening(&bundle) {
            Weakening::Nothing => (Novelty::Next, None),
            Weakening::Weaker(what) => (Novelty::Next, Some(Weakening::told(&what))),
        },
    };
    if let Some(why) = why {
        owners_agree(&bundle, why)?;
    }
    Ok(Accepted {
        bundle,
        standing: Standing::Fresh,
        novelty,
    })
}

/// Takes the last accepted bundle out of the store again: the same one, and stale when its time is over.
pub fn reopen(
    bundle: Verified<Bundle>,
    last: &LastAccepted,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    root_not_older(&bundle, last)?;
    let found = bundle.statement().serial;
    if found != last.serial || *bundle.identity() != last.payload {
        return Err(Refusal::NotLastAccepted {
            found,
            accepted: last.serial,
            payload: last.payload,
        });
    }
    let standing = standing(&bundle, now);
    Ok(Accepted {
        bundle,
        standing,
        novelty: Novelty::Same,
    })
}

/// Stale past the end of the bundle or its root, and when the clock stands before the bundle was made.
fn standing(bundle: &Verified<Bundle>, now: Timestamp) -> Standing {
    match in_time(bundle, now) {
        Ok(()) => Standing::Fresh,
        Err(_) => Standing::Stale,
    }
}

/// Whether a verified bundle may be taken as a new one at this instant: its trust root and it itself are in their time.
pub fn in_time(bundle: &Verified<Bundle>, now: Timestamp) -> Result<(), Refusal> {
    let root = bundle.root();
    if now >= root.expires_at {
        return Err(Refusal::RootExpired {
            version: root.version,
            expires_at: root.expires_at,
        });
    }
    stated_in_time(bundle.statement(), now)
}

/// Whether a bundle is in its time by its own word. Nothing here says who gave that word.
pub fn stated_in_time(stated: &BundlePredicate, now: Timestamp) -> Result<(), Refusal> {
    if now >= stated.expires_at {
        return Err(Refusal::Expired {
            serial: stated.serial,
            expires_at: stated.expires_at,
        });
    }
    if stated.issued_at.duration_since(now) > CLOCK_SKEW {
        return Err(Refusal::FromTheFuture {
            serial: stated.serial,
            issued_at: stated.issued_at,
            now,
        });
    }
    Ok(())
}

fn root_not_older(bundle: &Verified<Bundle>, last: &LastAccepted) -> Result<(), Refusal> {
    let found = bundle.root().version;
    if found < last.root_version {
        return Err(Refusal::RootRolledBack {
            found,
            seen: last.root_version,
        });
    }
    Ok(())
}

/// Only called for a bundle other than the last accepted one.
fn in_order(bundle: &Verified<Bundle>, last: &LastAccepted) -> Result<(), Refusal> {
    let stated = bundle.statement();
    let offered = stated.serial;
    if offered < last.serial {
        return Err(Refusal::Replayed {
            offered,
            accepted: last.serial,
        });
    }
    if offered == last.serial {
        return Err(Refusal::Forked {
            serial: offered,
            accepted: last.payload,
        });
    }
    // Further ahead than one, the history between is not known here, and the signatures vouch for it.
    if let (true, Some(previous)) = (last.serial.next() == Some(offered), stated.previous)
        && previous != last.payload
    {
        return Err(Refusal::Previous {
            serial: offered,
            stated: previous,
            accepted: last.payload,
        });
    }
    Ok(())
}

fn owners_agree(bundle: &Verified<Bundle>, why: String) -> Result<(), Refusal> {
    let stated = bundle.statement();
    let needed = environment_roles(bundle.root(), &stated.environment)?
        .owner
        .weakening_threshold;
    let signed = bundle.signed_by(Role::Owner);
    if signed.len() as u64 >= needed {
        return Ok(());
    }
    let environment = stated.environment.clone();
    Err(Refusal::Weakening {
        serial: stated.serial,
        why,
        environment,
        needed,
        signed,
    })
}
