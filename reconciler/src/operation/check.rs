//! Owns what the check of a recovery point comes to, from what each location showed. The interesting functions are [`judge`] and
//! [`checked`].

use std::collections::{BTreeMap, BTreeSet};

use contract::code;
use contract::id::LocationId;
use jiff::Timestamp;

use super::{Ending, backup, late, slot_ended};
use crate::domain::{Change, Outcome, Run, Verification};
use crate::failure::Failure;
use crate::plan::Verify;
use crate::words::count;

/// A receipt has room for this much about each location.
const DETAIL: usize = 400;

/// What a recovery point is at each location.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// It was read whole, and is what it was.
    pub sound: BTreeSet<LocationId>,
    /// Something of it is damaged or missing.
    pub damaged: BTreeMap<LocationId, String>,
    /// The location does not hold it.
    pub absent: BTreeSet<LocationId>,
    /// The location was not read.
    pub unread: BTreeMap<LocationId, Failure>,
    /// Damage that was not known before, the point's own and other.
    pub news: Vec<String>,
}

impl Seen {
    /// One word for each location, for receipts and people.
    fn by_location(&self) -> BTreeMap<&LocationId, String> {
        let sound = self.sound.iter().map(|id| (id, "sound".to_owned()));
        let absent = self
            .absent
            .iter()
            .map(|id| (id, "does not hold it".to_owned()));
        let damaged = self
            .damaged
            .iter()
            .map(|(id, why)| (id, format!("damaged: {why}")));
        let unread = self
            .unread
            .iter()
            .map(|(id, why)| (id, format!("not read: {} {}", why.code, why.message)));
        sound.chain(absent).chain(damaged).chain(unread).collect()
    }

    /// What the operator reads of it.
    pub fn summary(&self, outcome: Outcome) -> String {
        match outcome {
            Outcome::Success => {
                format!("checked at {}", count(self.sound.len() as u64, "location"))
            }
            Outcome::Partial | Outcome::Failure | Outcome::Unknown => {
                "check is no success".to_owned()
            }
        }
    }
}

/// Damage is a failure, wherever it is; a location that was not read, or does not hold the point, makes it partial; a point
/// that every location lacks is lost.
pub fn judge(verify: &Verify, seen: &Seen) -> (Outcome, Option<Failure>) {
    let id = &verify.backup_id;
    let told = |outcome, code, message: String, help: &str| {
        (outcome, Some(Failure::new(code, message, help)))
    };
    if let Some((location, why)) = seen.damaged.first_key_value() {
        let message = format!("recovery point `{id}` is damaged: location `{location}`: {why}");
        let help = "restore from another location or point; `seawalld once` repairs the location from a sound one, and a new backup stores again what no location has";
        return told(Outcome::Failure, code::CHECK_FAILED, message, help);
    }
    if let Some(first) = seen.news.first() {
        let help = "`seawalld once` repairs the location from an intact one; `seawalld catalog` shows the affected recovery points";
        let message = format!("the check found damage: {first}");
        return told(Outcome::Failure, code::CHECK_FAILED, message, help);
    }
    if seen.sound.len() >= verify.enough {
        return (Outcome::Success, None);
    }
    if seen.sound.is_empty() && seen.unread.is_empty() {
        let message = format!("recovery point `{id}` is at no location any more");
        let help = "find out how it was removed and restore it, or restore another point; a new backup protects the data again";
        return told(Outcome::Failure, code::POINT_LOST, message, help);
    }
    let missing: Vec<String> = seen
        .by_location()
        .into_iter()
        .filter(|(location, _)| !seen.sound.contains(*location))
        .map(|(location, what)| format!("location `{location}` {what}"))
        .collect();
    let outcome = if seen.sound.is_empty() {
        Outcome::Failure
    } else {
        Outcome::Partial
    };
    let message = format!(
        "recovery point `{id}` was checked at {} of {}: {}",
        seen.sound.len(),
        count(verify.locations.len() as u64, "location"),
        missing.join("; ")
    );
    let help = "repair the locations that are named, let them catch up, and verify again";
    told(outcome, code::CHECK_INCOMPLETE, message, help)
}

/// The end of a check. A slot that waited for it ends with it.
pub fn checked(
    verify: &Verify,
    seen: &Seen,
    run: Option<Run>,
    deadline: Timestamp,
    now: Timestamp,
) -> Ending {
    let (outcome, failure) = judge(verify, seen);
    let mut ending = Ending::new(outcome, failure);
    let before = run.clone();
    let mut run = run;
    if let Some(run) = &mut run {
        ending = ending.describing(run);
        let failure = ending.failure.as_ref();
        let is_lost = failure.is_some_and(|failure| failure.code == code::POINT_LOST);
        if is_lost && !run.is_lost() && covers(verify, run) {
            run.verification = Verification::Lost { at: now };
        }
    }
    for (location, what) in seen.by_location() {
        let what: String = what.chars().take(DETAIL).collect();
        ending.say(&format!("location_{location}"), what);
    }
    if let Some(slot) = verify.ends_slot {
        // Whatever else was found: the slot has its point where enough locations hold it sound.
        let missing = ending.failure.clone();
        let missing = missing.filter(|_| seen.sound.len() < verify.enough);
        if let Some(run) = &mut run {
            run.overran |= now > deadline;
        }
        // A point of a source in doubt ends its slot, and not well.
        let failure = missing.or_else(|| run.as_ref().and_then(backup::in_doubt));
        let of_slot = (&verify.plan_id, slot, &verify.backup_id);
        let is_late = run.as_ref().and_then(late);
        let record = slot_ended(of_slot, failure.as_ref(), is_late, now);
        ending.slot = Some((record, failure));
    }
    if let Some(run) = run.filter(|run| before.as_ref() != Some(run)) {
        ending.changes.push(Change::RunChanged(Box::new(run)));
    }
    ending
}

/// Whether the check read every location that the catalog names: only then is a point lost that it did not find.
fn covers(verify: &Verify, run: &Run) -> bool {
    let held = &run.storage_locations;
    held.keys()
        .all(|location| verify.locations.contains(location))
}
