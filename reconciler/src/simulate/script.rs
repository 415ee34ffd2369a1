//! Owns what a simulation is asked for: plans, for how long, and what goes wrong when. Decides nothing by chance; what chance makes
//! is a [`Script`], too.

use std::collections::{BTreeMap, BTreeSet};

use contract::duration::Seconds;
use contract::id::{LocationId, PlanId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

/// One simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Decides the little that the script leaves open: how long a step takes, the names of objects.
    #[serde(default)]
    pub seed: u64,
    /// When virtual time begins.
    pub begins: Timestamp,
    /// How long it lasts. No fault begins in its last quarter, in which everything must settle.
    #[serde(with = "iso")]
    pub lasts: Seconds,
    /// `interval` of the configuration.
    #[serde(with = "iso")]
    pub interval: Seconds,
    /// `look_interval` of the configuration.
    #[serde(with = "iso")]
    pub look_interval: Seconds,
    /// `workers` of the configuration.
    pub workers: u32,
    /// The plans, each with a dataset of its own.
    pub plans: BTreeMap<PlanId, PlanScript>,
    /// What happens besides.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// One plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanScript {
    /// So many plans like it: their names get a number each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The schedule.
    #[serde(with = "iso")]
    pub every: Seconds,
    /// The window in which a run begins and ends.
    #[serde(with = "iso")]
    pub window: Seconds,
    /// How long a run takes.
    #[serde(with = "iso")]
    pub run: Seconds,
    /// Where its points go.
    pub locations: BTreeSet<LocationId>,
    /// So many must hold a point.
    pub commit: u32,
    /// Whether a point counts only after its check.
    #[serde(default)]
    pub checked: bool,
    /// Further tries of a run that failed.
    #[serde(default)]
    pub retries: u32,
    /// How often everything is read again.
    #[serde(with = "iso")]
    pub read_every: Seconds,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, from the beginning.
    #[serde(with = "iso")]
    pub at: Seconds,
    /// For how long, where it lasts.
    #[serde(default, rename = "for", with = "iso", skip_serializing_if = "is_zero")]
    pub lasts: Seconds,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Git answers nothing until its deadline.
    GitHangs,
    /// Git shows the policy before the newest.
    GitRewinds,
    /// The next policy is published: the same plans under a new serial.
    PolicyPublished,
    /// A location answers nothing.
    LocationHangs(LocationId),
    /// A location answers with errors.
    LocationFails(LocationId),
    /// A location lists what it held when this began.
    LocationIsStale(LocationId),
    /// A location lists nothing, and is there.
    LocationSeemsEmpty(LocationId),
    /// One object at a location rots.
    ObjectRots(LocationId),
    /// The source of a plan answers nothing, as one does that waits for a lock.
    SourceHangs(PlanId),
    /// The source of a plan answers with errors.
    SourceFails(PlanId),
    /// Every look at what a plan has at its locations ends in a panic.
    LookPanics(PlanId),
    /// The worker of a plan's next run dies at one of its steps.
    WorkerDies {
        /// The plan.
        plan: PlanId,
        /// After so many steps.
        step: u32,
    },
    /// The worker of a plan's next run does its work twice, and says so once.
    WorkerRepeats(PlanId),
    /// The daemon is killed, and is away meanwhile.
    Killed,
    /// The daemon is killed at its commit with this number, counted from here.
    KilledAtCommit {
        /// 1 is the next one.
        number: u32,
        /// Whether what it commits is durable.
        durable: bool,
    },
    /// The daemon is killed while it waits the time with this number, counted from here: within an effect.
    KilledAtPause(u32),
    /// A commit of the store fails, counted from here.
    CommitFails {
        /// 1 is the next one.
        number: u32,
        /// Whether what it commits is durable all the same.
        durable: bool,
    },
    /// The daemon is asked to end, and is away meanwhile.
    Stopped,
    /// A second daemon is started on the same state folder.
    SecondDaemon,
    /// The lock of the state folder is lost, and a second daemon takes it over beside this one.
    TakenOver,
    /// The clock jumps.
    ClockJumps(Jump),
    /// A person asks for a backup.
    Backup(PlanId),
    /// A person asks for a check of the newest point of each plan.
    Verify,
    /// A person cancels whatever a plan has under way.
    Cancel(PlanId),
    /// A person suspends a plan for the time that this lasts.
    Suspend(PlanId),
}

/// Seconds forward, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// Below zero is back.
    pub seconds: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(length: &Seconds) -> bool {
    length.is_zero()
}

impl What {
    /// The location that it is about, where it is about one.
    const fn location(&self) -> Option<&LocationId> {
        match self {
            Self::LocationHangs(id)
            | Self::LocationFails(id)
            | Self::LocationIsStale(id)
            | Self::LocationSeemsEmpty(id)
            | Self::ObjectRots(id) => Some(id),
            _ => None,
        }
    }

    /// The plan that it is about, where it is about one.
    const fn plan(&self) -> Option<&PlanId> {
        match self {
            Self::SourceHangs(id)
            | Self::SourceFails(id)
            | Self::LookPanics(id)
            | Self::WorkerRepeats(id)
            | Self::WorkerDies { plan: id, .. }
            | Self::Backup(id)
            | Self::Cancel(id)
            | Self::Suspend(id) => Some(id),
            _ => None,
        }
    }

    /// Whether it goes on for a time.
    pub(super) const fn is_lasting(&self) -> bool {
        self.is_outside() || matches!(self, Self::Killed | Self::Stopped | Self::Suspend(_))
    }

    /// Whether it goes on outside of the daemon, and so whether or not one runs.
    pub(super) const fn is_outside(&self) -> bool {
        matches!(
            self,
            Self::GitHangs
                | Self::GitRewinds
                | Self::LocationHangs(_)
                | Self::LocationFails(_)
                | Self::LocationIsStale(_)
                | Self::LocationSeemsEmpty(_)
                | Self::SourceHangs(_)
                | Self::SourceFails(_)
                | Self::LookPanics(_)
        )
    }

    /// Whether it waits for a commit, a pause or a run, and strikes then.
    pub(super) const fn is_fate(&self) -> bool {
        matches!(
            self,
            Self::KilledAtCommit { .. }
                | Self::KilledAtPause(_)
                | Self::CommitFails { .. }
                | Self::WorkerDies { .. }
                | Self::WorkerRepeats(_)
        )
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
mod iso {
    use super::{Seconds, Serializer};

    pub(super) use crate::config::duration as deserialize;

    pub(super) fn serialize<S: Serializer>(
        length: &Seconds,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(length)
    }
}

impl Event {
    /// When it is over.
    pub(super) fn until(&self) -> Seconds {
        Seconds::new(self.at.get().saturating_add(self.lasts.get()))
    }

    pub(super) fn is_at(&self, elapsed: u64) -> bool {
        (self.at.get()..self.until().get()).contains(&elapsed)
    }

    /// What of it concerns a plan: all of it, where it names no other plan and none of the plan's locations.
    pub(super) fn concerns(&self, plan_id: &PlanId, plan: &PlanScript) -> bool {
        if let Some(location) = self.what.location() {
            return plan.locations.contains(location);
        }
        if let Some(named) = self.what.plan() {
            return named == plan_id;
        }
        matches!(
            self.what,
            What::Killed | What::Stopped | What::ClockJumps(_)
        )
    }
}

impl Script {
    /// An instant of virtual time, by a clock that does not jump.
    pub(super) fn instant(&self, elapsed: u64) -> Timestamp {
        let elapsed = SignedDuration::from_secs(i64::try_from(elapsed).unwrap_or(i64::MAX));
        self.begins.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The plans by their own names.
    pub(super) fn all_plans(&self) -> BTreeMap<PlanId, PlanScript> {
        let mut all = BTreeMap::new();
        for (id, plan) in &self.plans {
            match plan.times {
                None => {
                    all.insert(id.clone(), plan.clone());
                }
                Some(times) => {
                    let named = (1..=times).filter_map(|n| format!("{id}_{n:03}").parse().ok());
                    all.extend(named.map(|name: PlanId| (name, plan.clone())));
                }
            }
        }
        all
    }

    pub(super) fn locations(&self) -> BTreeSet<LocationId> {
        let all = self.plans.values().flat_map(|plan| &plan.locations);
        all.cloned().collect()
    }

    /// When the last quarter begins.
    pub(super) fn quiet_from(&self) -> u64 {
        self.lasts.get() / 4 * 3
    }

    /// Why it cannot be played; none when it can.
    pub fn fault(&self) -> Option<String> {
        if self.plans.is_empty() || self.lasts.is_zero() {
            return Some("it needs a plan, and a length above zero".to_owned());
        }
        if self.workers == 0 || self.interval.is_zero() || self.look_interval.is_zero() {
            return Some("`workers`, `interval` and `look_interval` must be above zero".to_owned());
        }
        let plans = self.all_plans();
        let locations = self.locations();
        for (id, plan) in &plans {
            let most = plan.locations.len() as u64;
            if u64::from(plan.commit) > most || plan.commit == 0 {
                return Some(format!("plan `{id}`: `commit` is not within 1 and {most}"));
            }
            if [plan.every, plan.window, plan.read_every]
                .iter()
                .any(|it| it.is_zero())
            {
                return Some(format!("plan `{id}`: a duration is zero"));
            }
        }
        for event in &self.events {
            let location = event.what.location();
            let plan = event.what.plan();
            if location.is_some_and(|id| !locations.contains(id))
                || plan.is_some_and(|id| !plans.contains_key(id))
            {
                return Some(format!(
                    "{:?} names what the script does not have",
                    event.what
                ));
            }
            if event.until().get() > self.quiet_from() {
                return Some(format!(
                    "{:?} is not over when the last quarter begins, in which everything must settle",
                    event.what
                ));
            }
        }
        None
    }
}
