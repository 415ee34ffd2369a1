//! Owns what reading a repository again left: parts that were read, and objects that are damaged.

use contract::id::{Kid, LocationId, PlanId};
use jiff::Timestamp;
use serde::Serialize;

/// One part of a repository at one location, as it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRead {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it was read.
    pub location_id: LocationId,
    /// Which part, from 1 to `of`.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
    /// When the reading began.
    pub at: Timestamp,
    /// Whether everything in it was what its name says.
    pub is_sound: bool,
    /// Objects read.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// A reading of a part that has not come to its end, because it made way for a backup or was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReading {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it is read.
    pub location_id: LocationId,
    /// Which part, from 1 to `of`.
    pub part: u32,
    /// How many parts there are.
    pub of: u32,
    /// When it began.
    pub since: Timestamp,
    /// The name of the last pack that was read; the next one in order is next.
    pub through: String,
    /// Whether everything so far was what its name says.
    pub is_sound: bool,
    /// Objects read so far.
    pub objects: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// An object that a location holds damaged, or does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedObject {
    /// The plan.
    pub plan_id: PlanId,
    /// The repository's key.
    pub kid: Kid,
    /// Where it is damaged.
    pub location_id: LocationId,
    /// Its path in the repository: `data/…`, `index/…`, `snapshots/…`.
    pub object: String,
    /// When that was found.
    pub found_at: Timestamp,
    /// What was found.
    pub why: String,
}
