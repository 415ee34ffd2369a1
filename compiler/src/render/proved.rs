//! Owns the shape of proofs as JSON, for the schema alone: the facts are written where they are proven, and a test holds that real
//! ones are of this shape. The interesting function is [`schema`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// What the schema is called in `schemas/`.
pub const SCHEMA_FILE: &str = "proofs.json";
/// Raised when a field changes its meaning or goes away; new fields do not raise it.
pub const FORMAT: u32 = 1;

/// What `seawall prove --format json` prints. Of single datasets, or of one loss, it has `datasets` alone. A number of seconds or
/// bytes that has no bound is 9007199254740991.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Proofs")]
pub struct Proofs {
    /// The version of this form; 1.
    pub format: u32,
    /// The environment.
    pub environment: String,
    /// By id.
    pub datasets: BTreeMap<String, Dataset>,
    /// By id.
    pub plans: Option<BTreeMap<String, Plan>>,
    /// By id.
    pub scenarios: Option<BTreeMap<String, Scenario>>,
    /// By id.
    pub locations: Option<BTreeMap<String, Location>>,
    /// By id.
    pub groups: Option<BTreeMap<String, Group>>,
    /// By id, each that seals a plan.
    pub keys: Option<BTreeMap<String, Key>>,
    /// What scenarios answer.
    pub catalogue: Option<Catalogue>,
    /// The receipts that were given; absent without.
    pub evidence: Option<Evidence>,
}

/// What a key hangs on.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Whether it can be had again when all live data is gone.
    pub recoverable: bool,
    /// `nothing`, `itself`, `lost_data` or `other_key`.
    pub hangs_on: String,
    /// The dataset that holds its bytes; null where none does.
    pub kept_in: Option<String>,
    /// The way to what it hangs on; empty where it can be had.
    pub chain: Vec<Link>,
    /// The same in words.
    pub told: String,
}

/// A step of a way.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// `key`, `dataset` or `plan`.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// Whether scenarios answer what they must.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The failures that every catalogue answers.
    pub failures: Vec<Failure>,
    /// By id, the critical data and what brings it back.
    pub datasets: BTreeMap<String, Critical>,
}

/// A failure that a catalogue answers.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What sets it off.
    pub trigger: String,
    /// The same in words.
    pub what: String,
    /// Whether the environment can meet with it.
    pub demanded: bool,
    /// Scenarios that answer it.
    pub scenarios: Vec<String>,
}

/// Critical data in scenarios.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Critical {
    /// Its tier.
    pub tier: String,
    /// Scenarios that name it.
    pub scenarios: Vec<String>,
    /// Those that bring it back.
    pub restored_by: Vec<String>,
}

/// The receipts that were given.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// By the reconciler that wrote them.
    pub logs: BTreeMap<String, Log>,
}

/// A log whose every line holds.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Receipts in it.
    pub receipts: u64,
    /// When the last of them was written; null without any.
    pub newest: Option<String>,
    /// How long ago that was.
    pub age_s: Option<u64>,
}

/// What receipts show of a dataset.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSeen {
    /// The newest recovery point whose last check found it sound.
    pub newest_point: Option<PointSeen>,
    /// Recovery points whose last check did not.
    pub unsound: Vec<Unsound>,
    /// The last restore or restore test.
    pub restore: Option<Attempt>,
    /// The last one that succeeded.
    pub restored: Option<Attempt>,
    /// The most that a failure would have taken.
    pub largest_loss: Option<LossSeen>,
    /// Why it is not known to be protected now.
    pub stale: Vec<Stale>,
}

/// A recovery point that a check found sound.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointSeen {
    /// Its id.
    pub backup_id: String,
    /// As of when its data is.
    pub consistent_at: String,
    /// When it was last checked.
    pub checked_at: String,
    /// How long ago that was.
    pub age_s: u64,
}

/// A recovery point that its last check did not find sound.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsound {
    /// Its id.
    pub backup_id: String,
    /// When that was found.
    pub at: String,
    /// The code of what was found.
    pub code: Option<String>,
}

/// A restore or a drill that ended.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// `restore`, `restore_test` or `drill`.
    pub kind: String,
    /// When it ended.
    pub at: String,
    /// How long ago that is.
    pub age_s: u64,
    /// `success`, `partial`, `failure` or `unknown`.
    pub result: String,
    /// The code of what went wrong.
    pub code: Option<String>,
    /// How long it took.
    pub seconds: Option<u64>,
    /// Bytes that came back.
    pub bytes: Option<u64>,
    /// From where.
    pub location: Option<String>,
}

/// What a failure would have taken just before an instant.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossSeen {
    /// How much.
    pub seconds: u64,
    /// As of when the newest usable point was.
    pub point: String,
    /// The instant.
    pub failure_before: String,
}

/// A doubt.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stale {
    /// `no_point`, `unchecked`, `unsound`, `unrestored`, `restore_failed`, `undrilled` or `drill_failed`.
    pub why: String,
    /// How long ago.
    pub seconds: Option<u64>,
    /// How long ago it may be.
    pub limit_s: Option<u64>,
    /// Whether it ever was.
    pub ever: Option<bool>,
    /// The recovery point.
    pub backup_id: Option<String>,
}

/// What receipts show of a scenario.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioSeen {
    /// The last drill.
    pub drill: Option<Attempt>,
    /// The last one that succeeded.
    pub drilled: Option<Attempt>,
    /// Why nobody knows whether its runbook works.
    pub stale: Vec<Stale>,
}

/// What is proven of a dataset.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// `protected`, `stale`, `planned_but_unmet`, `excluded`, `unprotected` or `reconstructed`.
    pub coverage: String,
    /// Its plans.
    pub plans: Vec<String>,
    /// Its copies over all plans.
    pub redundancy: Redundancy,
    /// Worst-case loss, by what is lost: `none`, `corruption`, or fault domains.
    pub loss: BTreeMap<String, Loss>,
    /// What its tier survives, one entry for each fault domain.
    pub survives: Vec<Survival>,
    /// The smallest losses that leave nothing.
    pub cut_sets: CutSets,
    /// How long reading it back takes with all copies left.
    pub recovery_seconds: u64,
    /// `sizing`, `evidence` or `evidence and sizing`: how much of that time was seen.
    pub recovery_from: String,
    /// What receipts show; absent without those of its reconciler.
    pub evidence: Option<DatasetSeen>,
    /// The loss when the newest base turns out to be bad; absent where no point hangs on another.
    pub bad_base: Option<Loss>,
}

/// The copies of a dataset.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redundancy {
    /// Different locations.
    pub copies: u32,
    /// Those among them that refuse deletes.
    pub immutable_copies: u32,
    /// Different providers.
    pub provider: u32,
    /// Different regions.
    pub region: u32,
    /// Different zones.
    pub zone: u32,
    /// Different accounts.
    pub account: u32,
    /// Different credentials.
    pub credential: u32,
    /// Different engines.
    pub engine: u32,
    /// What profiles demand beyond that.
    pub shortfalls: Vec<Shortfall>,
}

/// A demand that is not met.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// The plan whose profile demands it.
    pub plan: String,
    /// The field of the profile.
    pub what: String,
    /// What is demanded.
    pub required: u32,
    /// What there is.
    pub actual: u32,
}

/// A worst-case loss. Its parts are told where a plan gives it.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// All parts together.
    pub seconds: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// The plan that gives it; null where a standby does, or nothing.
    pub plan: Option<String>,
    /// The same in words.
    pub told: String,
    /// Between the slots that count, or the lag of a standby.
    pub gap_seconds: u64,
    /// Until the later slot is complete.
    pub completion_window_seconds: Option<u64>,
    /// Until the copies that are left have it.
    pub copy_within_seconds: Option<u64>,
    /// How old data are when they are read.
    pub source_lag_seconds: Option<u64>,
    /// Until corruption is noticed.
    pub detected_within_seconds: Option<u64>,
    /// Instants that show it; null where nothing has slots.
    pub witness: Option<Witness>,
    /// The standby that gives it.
    pub standby: Option<String>,
    /// Why there is no number.
    pub why: Option<String>,
    /// Locations that are left.
    pub survivors: Option<Vec<String>>,
}

/// The instants of a loss, with their UTC offsets.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The slot of the newest point that counts.
    pub point: String,
    /// The slot whose point comes too late.
    pub next_slot: String,
    /// Just before it the failure was assumed.
    pub failure_before: String,
    /// Just before it corruption is noticed.
    pub noticed_before: Option<String>,
    /// When the next point is usable: the same as `failure_before`.
    pub next: String,
}

/// A loss that the tier survives.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Survival {
    /// The kind of loss.
    pub lose: String,
    /// What is lost.
    pub domain: String,
    /// The same, as a key of `loss`.
    pub case: String,
    /// The worst-case loss.
    pub seconds: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// What the tier allows.
    pub rpo_s: u64,
    /// How long the tier allows recovery to take.
    pub rto_s: u64,
    /// The objective that says so.
    pub objective_id: String,
}

/// The smallest losses that leave nothing.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutSets {
    /// Fault domains that are lost together.
    pub sets: Vec<Vec<String>>,
    /// Whether there are more than are told.
    pub more: bool,
}

/// What is proven of a plan.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Between two slots at least; absent without slots.
    pub smallest_gap_s: Option<u64>,
    /// Between two slots at most; absent without slots.
    pub largest_gap_s: Option<u64>,
    /// Conditions that do not hold.
    pub conditions: Vec<Condition>,
    /// Whether it protects nothing that needs it.
    pub orphan: bool,
    /// What retention keeps; null where the schedule cannot be read.
    pub kept: Option<Kept>,
}

/// A condition of a proof that does not hold; its other fields are numbers and instants that show it.
#[derive(Debug, JsonSchema)]
pub struct Condition {
    /// Which.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// The field of the model to change.
    pub at: Vec<String>,
}

/// What retention keeps in the steady state.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// `points`, `log` of a continuous archive, or `too_many_slots` to look at each.
    pub kept: String,
    /// The fewest points.
    pub least: Option<u64>,
    /// The most points.
    pub most: Option<u64>,
    /// How many points each reason keeps.
    pub by_reason: Option<BTreeMap<String, u64>>,
    /// How far back the oldest point reaches at any time.
    pub oldest_seconds: Option<u64>,
    /// No point younger than this is forgotten.
    pub floor_seconds: u64,
}

/// How a runbook goes: by deadlines, and beside it by reading.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// When every step takes as long as it may.
    pub seconds: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// The steps that decide the time.
    pub chain: Vec<String>,
    /// Steps that wait for each other.
    pub circle: Vec<String>,
    /// When restores take as long as reading does.
    pub by_reading: Course,
    /// Restores whose deadline is shorter than their reading.
    pub slow: Vec<Slow>,
    /// Restores of what nothing readable is left of.
    pub unreadable: Vec<String>,
    /// What receipts show of drills; absent without.
    pub evidence: Option<ScenarioSeen>,
}

/// How long a runbook takes.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// From the first start to the last end.
    pub seconds: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// The steps that decide the time.
    pub chain: Vec<String>,
    /// Steps that wait for each other.
    pub circle: Vec<String>,
}

/// A restore that its deadline does not hold.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// The step.
    pub step: String,
    /// What it is allowed.
    pub deadline_seconds: u64,
    /// How long reading takes when nobody else reads.
    pub alone_seconds: u64,
    /// The same beside all restores that may run at the same time.
    pub shared_seconds: u64,
}

/// What a location has to hold, before compression and deduplication.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// The most that its plans need together.
    pub needed_bytes: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// What fits.
    pub capacity_bytes: u64,
    /// Whether it fits.
    pub fits: bool,
    /// What takes most, at most three.
    pub largest: Vec<Share>,
    /// Plans of which no number is known.
    pub unbounded: Vec<String>,
}

/// What a plan keeps of a dataset.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The plan.
    pub plan: String,
    /// The dataset.
    pub dataset: String,
    /// What it takes.
    pub bytes: u64,
}

/// How far apart the members of a group can come back.
#[derive(Debug, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The worst loss of a member.
    pub window_seconds: u64,
    /// Whether a number holds.
    pub bounded: bool,
    /// The strictest objective of a member; null where no member is known.
    pub rpo_s: Option<u64>,
}

/// The schema of the document.
pub fn schema() -> Value {
    schemars::schema_for!(Proofs).to_value()
}
