//! Owns what a check of one location teaches: which objects are damaged there or sound again, which recovery points suffer, and
//! how far the reading came. Never looks at a location itself. The interesting function is [`learn`].

use std::collections::{BTreeMap, BTreeSet};

use contract::id::{BackupId, Kid, LocationId, PlanId};
use jiff::Timestamp;

use super::Daemon;
use crate::domain::{Change, DamagedObject, Run, Verification};
use crate::failure::Failure;
use crate::worker::Access;
use crate::worker::protocol::Limit;
use crate::world::vault::{Checked, Reading, VaultError};

/// What reading one location gave.
pub(super) enum Read {
    /// It was read.
    Checked(Box<Checked>),
    /// It is there, and the repository is not.
    Nothing,
    /// It could not be read: this says nothing about what it holds.
    Unread(Failure),
}

/// Reads one location in a worker.
pub(super) fn read(
    daemon: &Daemon,
    access: &Access,
    location: &LocationId,
    reading: impl Into<Reading>,
    limit: Limit,
) -> Read {
    let checked = match daemon.worker(limit) {
        Ok(worker) => daemon
            .effects
            .check(&worker, access, location, reading.into()),
        Err(silence) => Err(VaultError::from(silence).into()),
    };
    match checked {
        Ok(Some(checked)) => Read::Checked(Box::new(checked)),
        Ok(None) => Read::Nothing,
        Err(failure) => Read::Unread(failure),
    }
}

/// The repository and location that were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) plan_id: &'a PlanId,
    pub(super) kid: &'a Kid,
    pub(super) location: &'a LocationId,
}

/// What a check proves of a recovery point that it found whole.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proves<'a> {
    /// The packs of this one were read; the others only have all their packs.
    One(&'a BackupId),
    /// Everything was read that there was at this instant.
    AllUntil(Timestamp),
    /// Nothing more than that all packs are there.
    Structure,
}

impl Proves<'_> {
    fn of(self, run: &Run) -> bool {
        match self {
            Self::One(id) => run.backup_id == *id,
            Self::AllUntil(instant) => run.finished_at <= instant,
            Self::Structure => false,
        }
    }
}

/// What follows from a check, and what in it is news.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    pub(super) changes: Vec<Change>,
    /// Damage that was not known before, one line each.
    pub(super) news: Vec<String>,
}

/// Objects that are known to be damaged, of one repository, by location.
pub(super) fn damaged(
    daemon: &Daemon,
    plan_id: &PlanId,
    kid: &Kid,
) -> Result<BTreeMap<LocationId, BTreeSet<String>>, Failure> {
    let mut all: BTreeMap<LocationId, BTreeSet<String>> = BTreeMap::new();
    for one in daemon.store.damaged_objects(plan_id)? {
        if one.kid == *kid {
            all.entry(one.location_id).or_default().insert(one.object);
        }
    }
    Ok(all)
}

/// Derives what has to be remembered. A check that made way before its end says nothing about recovery points, unless it found
/// damage.
pub(super) fn learn(
    daemon: &Daemon,
    place: Place<'_>,
    checked: &Checked,
    proves: Proves<'_>,
    began: Timestamp,
    now: Timestamp,
) -> Result<Lesson, Failure> {
    let known = damaged(daemon, place.plan_id, place.kid)?
        .remove(place.location)
        .unwrap_or_default();
    let mut lesson = Lesson::default();
    for (object, why) in &checked.damaged {
        if !known.contains(object) {
            lesson
                .news
                .push(format!("location `{}`: `{object}` {why}", place.location));
        }
        lesson.changes.push(Change::ObjectDamaged(DamagedObject {
            plan_id: place.plan_id.clone(),
            kid: place.kid.clone(),
            location_id: place.location.clone(),
            object: object.clone(),
            found_at: now,
            why: why.clone(),
        }));
    }
    for object in &checked.repaired {
        lesson.changes.push(repaired(place, object));
    }
    if checked.through.is_some() && checked.damaged.is_empty() {
        return Ok(lesson);
    }
    let points = daemon.store.points(Some(place.plan_id))?;
    learn_of_points(&mut lesson, place, checked, proves, &points, (began, now));
    Ok(lesson)
}

/// What a reading between two instants shows of the recovery points.
fn learn_of_points(
    lesson: &mut Lesson,
    place: Place<'_>,
    checked: &Checked,
    proves: Proves<'_>,
    points: &[Run],
    (began, now): (Timestamp, Timestamp),
) {
    for run in points {
        // What was committed since the reading began may be missing from what it listed.
        if run.kid != *place.kid || run.finished_at > began {
            continue;
        }
        let mut after = run.clone();
        judge(&mut after, place.location, checked, proves.of(run), now);
        if let (Some(why), None) = (
            after.damaged_at.get(place.location),
            run.damaged_at.get(place.location),
        ) {
            let what = format!(
                "location `{}`: recovery point `{}` cannot be read whole: {why}",
                place.location, run.backup_id
            );
            lesson.news.push(what);
        }
        if after != *run {
            lesson.changes.push(Change::RunChanged(Box::new(after)));
        }
    }
}

/// An object is sound again.
pub(super) fn repaired(place: Place<'_>, object: &str) -> Change {
    Change::ObjectRepaired {
        plan_id: place.plan_id.clone(),
        kid: place.kid.clone(),
        location_id: place.location.clone(),
        object: object.to_owned(),
    }
}

/// A point is verified where it was read whole, damaged where it was not, and suspect when no location is left.
fn judge(run: &mut Run, location: &LocationId, checked: &Checked, proven: bool, now: Timestamp) {
    let Some(snapshot) = &run.snapshot_id else {
        return;
    };
    if !checked.held.contains(snapshot) {
        unverify(run, location);
    } else if let Some(why) = checked.broken.get(snapshot) {
        run.damaged_at.insert(location.clone(), why.clone());
        unverify(run, location);
    } else {
        run.damaged_at.remove(location);
        if proven {
            verify(run, location, now);
        } else if run.is_suspect() {
            // It can be read again, and nobody has read all of it since.
            run.verification = Verification::Pending;
        }
    }
    let is_left = |at: &LocationId| !run.damaged_at.contains_key(at);
    if !run.is_lost() && !run.damaged_at.is_empty() && !run.storage_locations.keys().any(is_left) {
        let why: Vec<String> = run
            .damaged_at
            .iter()
            .map(|(location, why)| format!("location `{location}`: {why}"))
            .collect();
        run.verification = Verification::Suspect {
            at: now,
            why: why.join("; "),
        };
    }
}

fn verify(run: &mut Run, location: &LocationId, now: Timestamp) {
    let mut all = match &run.verification {
        Verification::Verified { locations, .. } => locations.clone(),
        Verification::Pending | Verification::Suspect { .. } | Verification::Lost { .. } => {
            BTreeSet::new()
        }
    };
    all.insert(location.clone());
    run.verification = Verification::Verified {
        at: now,
        locations: all,
    };
}

fn unverify(run: &mut Run, location: &LocationId) {
    if let Verification::Verified { locations, .. } = &mut run.verification {
        locations.remove(location);
        if locations.is_empty() {
            run.verification = Verification::Pending;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    /// A verified recovery point that was finished at a second.
    fn finished_at(second: i64) -> Run {
        let at = Timestamp::from_second(second).unwrap();
        let run = json!({
            "backup_id": "bp_files.20260101T000000Z",
            "plan_id": "bp_files",
            "dataset_ids": ["ds_files"],
            "started_at": at,
            "finished_at": at,
            "backup_type": "full",
            "status": "success",
            "kid": "key_files",
            "snapshot_id": "5d41",
            "storage_locations": {"loc_a": "loc_a:test/bp_files/key_files"},
            "checksums": {},
            "verification": {"is": "verified", "at": at, "locations": ["loc_a"]},
            "bytes": 1,
            "added_bytes": 1,
        });
        serde_json::from_value(run).unwrap()
    }

    fn after_a_reading(run: &Run, checked: &Checked) -> Lesson {
        let location: LocationId = "loc_a".parse().unwrap();
        let place = Place {
            plan_id: &run.plan_id,
            kid: &run.kid,
            location: &location,
        };
        let span = (
            Timestamp::from_second(100).unwrap(),
            Timestamp::from_second(200).unwrap(),
        );
        let points = std::slice::from_ref(run);
        let mut lesson = Lesson::default();
        learn_of_points(&mut lesson, place, checked, Proves::Structure, points, span);
        lesson
    }

    /// A reading lists what there is when it begins: what a backup beside it commits later is not missing.
    #[test]
    fn a_point_that_was_committed_beside_a_reading_is_not_missing() {
        let listed_nothing = Checked::default();
        let beside = after_a_reading(&finished_at(150), &listed_nothing);
        assert_eq!(beside.changes, []);
        let before = after_a_reading(&finished_at(100), &listed_nothing);
        let after: Vec<&Verification> = before
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::RunChanged(run) => Some(&run.verification),
                _ => None,
            })
            .collect();
        assert_eq!(after, [&Verification::Pending]);
    }

    /// The same of one that looks broken, because its packs were written after the listing.
    #[test]
    fn a_point_that_was_committed_beside_a_reading_is_not_damaged() {
        let mut checked = Checked::default();
        checked.held.insert("5d41".to_owned());
        checked
            .broken
            .insert("5d41".to_owned(), "a pack is missing".to_owned());
        let beside = after_a_reading(&finished_at(150), &checked);
        assert_eq!((beside.changes, beside.news), (Vec::new(), Vec::new()));
        let before = after_a_reading(&finished_at(100), &checked);
        assert_eq!(before.news.len(), 1, "{before:?}");
    }
}
