//! Owns what an operation whose outcome was lost turns out to be, from what the locations and the live data show. Nothing is run
//! again. The interesting functions are [`judge`] and [`restore`].

use contract::code;
use contract::id::LocationId;

use super::Ending;
use super::backup::{self, Snapshot};
use crate::domain::{Change, InPlace, Observation, Operation, Outcome, Run, SourceReport};
use crate::failure::Failure;

/// What the locations show of a recovery point that may have been taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Its snapshot, and where it is visible.
    pub found: Option<Snapshot>,
    /// Locations that could not be read, and may hold it.
    pub unreadable: Vec<LocationId>,
    /// Locations with snapshot files that are damaged, of which one may be its own.
    pub damaged: usize,
}

/// What that comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Enough of them hold it.
    Present(Box<Snapshot>),
    /// It is nowhere, and it cannot be committed out of sight.
    Absent,
    /// That cannot be known yet.
    Unknown(String),
}

/// Whether a point that `commit` locations must hold was taken.
pub fn judge(commit: u32, evidence: Evidence) -> Probe {
    let commit = usize::try_from(commit).unwrap_or(usize::MAX);
    match evidence.found {
        Some(found) if found.locations.len() >= commit => Probe::Present(Box::new(found)),
        Some(found) => Probe::Unknown(format!(
            "it is visible at {} of {commit} locations and waits for catching up",
            found.locations.len()
        )),
        // Fewer unknown locations than `commit` cannot have committed it among themselves. With a commit of 1 any location that
        // is away may hold it alone, so the outcome stays unknown until that one answers; the plan takes points without a slot
        // meanwhile, where enough other locations answer.
        None if evidence.unreadable.len() + evidence.damaged >= commit.max(1) => {
            let names: Vec<&str> = evidence.unreadable.iter().map(LocationId::as_str).collect();
            Probe::Unknown(format!("locations cannot be read: {}", names.join(", ")))
        }
        None => Probe::Absent,
    }
}

/// What a lost operation left.
#[derive(Debug)]
pub enum Left<'run> {
    /// A recovery point, and what the connectors had reported of its sources.
    Point(&'run Run, &'run SourceReport),
    /// Nothing that counts.
    Nothing,
    /// That cannot be known yet.
    Unknown(String),
}

/// The end of an operation of which that is known. Its slot stays open: a point that was found ends it by its check, and a slot
/// without one is run again.
pub fn closed(left: Left<'_>, failure: &Failure) -> Ending {
    let mut ending = match left {
        Left::Point(run, report) => {
            let mut ending = Ending::new(Outcome::Success, None).describing(run);
            ending.changes = backup::connector_states(run, report);
            ending.changes.push(Change::RunEnded(Box::new(run.clone())));
            ending
        }
        Left::Nothing => Ending::new(Outcome::Failure, Some(failure.clone())),
        Left::Unknown(why) => {
            let told = format!("{}: {why}", failure.message);
            let unknown = Failure::new(code::OUTCOME_UNKNOWN, told, failure.help.clone());
            Ending::new(Outcome::Unknown, Some(unknown))
        }
    };
    ending.say("probed", "after a lost outcome");
    ending
}

/// How far an interrupted restore got. What it left at a target beside the live data is not to be used; over the live data, the
/// connector can tell which of the two is there now. None of `seen`: the dataset is not bound any more.
pub fn restore(operation: &Operation, seen: Option<Observation<InPlace>>) -> Ending {
    let told = |outcome, code, what: String, help: &str| {
        let message = format!("`{}` was interrupted: {what}", operation.operation_id);
        let mut ending = Ending::new(outcome, Some(Failure::new(code, message, help)));
        ending.say("probed", "after a lost outcome");
        ending
    };
    let interrupted = code::RUN_INTERRUPTED;
    let Some(restores) = operation.restores.as_ref().filter(|it| it.in_place) else {
        let what = "nothing at its target is to be used".to_owned();
        let help = "inspect the target, remove what this restore left there, and restore again";
        return told(Outcome::Failure, interrupted, what, help);
    };
    match seen {
        None => {
            let what = format!("dataset `{}` is not bound any more", restores.dataset_id);
            let help = "bind it again, so that the next round can look";
            told(Outcome::Unknown, code::OUTCOME_UNKNOWN, what, help)
        }
        Some(Observation::Known { value, .. }) => match value {
            InPlace::Done { kept } => {
                let what = format!("the restored data are live, the old ones are kept as `{kept}`");
                let help = "the restored data were not checked afterwards: run `seawalld doctor` and your own checks";
                told(Outcome::Partial, interrupted, what, help)
            }
            InPlace::Exchanged => {
                let what = "the restored data are live, the old ones are still in the staging folder next to them";
                let help =
                    "inspect the live data; move the old ones to where you want to keep them";
                told(Outcome::Partial, interrupted, what.to_owned(), help)
            }
            InPlace::NotDone { left } => {
                let what = format!("the live data are the old ones, `{left}` was left");
                told(Outcome::Failure, interrupted, what, "restore again")
            }
        },
        Some(Observation::Absent { .. }) => {
            let what = "it left no trace, so it changed nothing, or filled a place that was empty";
            let help = "inspect the live data, then restore again if they are missing";
            told(Outcome::Failure, interrupted, what.to_owned(), help)
        }
        Some(Observation::Unknown { why }) => {
            let help = "make the dataset reachable; the next round looks again";
            told(Outcome::Unknown, code::OUTCOME_UNKNOWN, why, help)
        }
    }
}
