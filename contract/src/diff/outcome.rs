//! Owns the comparison of what is proven: for each dataset, what can be lost, how long reading it back takes, and what would
//! leave nothing, before and after a change. [`super::compare`] says what was changed; this says what it does.
//!
//! Never says why: [`reach`] names the objects whose changes can be the cause. The interesting function is [`outcomes`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::Effect;
use crate::duration::Seconds;
use crate::id::{DatasetId, TierId};
use crate::model::{Dataset, FaultDomain, Model};
use crate::recovery::{Coverage, CutSets, DatasetFacts, Kept, LossCase, MAX_CUT_SETS, Recovery};

/// Something that is proven of a dataset, in the order in which it matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// That it is there at all.
    Declared,
    /// Whether it is protected as its tier demands.
    Coverage,
    /// What is lost of it at most.
    Loss(LossCase),
    /// The smallest losses that leave nothing of it.
    LastCopies,
    /// How far back the oldest point reaches that can be counted on.
    ReachesBack,
    /// For how long nobody can delete a new point everywhere.
    Locked,
    /// How long reading it back takes.
    RecoveryTime,
    /// What may be lost of it at most.
    Rpo,
    /// How long its recovery may take.
    Rto,
    /// Copies at different locations.
    Copies,
    /// Copies at locations that refuse deletes.
    ImmutableCopies,
    /// Fault domains of one kind that its copies span.
    Span(&'static str),
}

impl Property {
    /// The same of any loss: what a reader calls one property.
    #[must_use]
    pub fn of_any_loss(&self) -> Self {
        match self {
            Property::Loss(_) => Property::Loss(LossCase::None),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Property::Declared => f.write_str("declared"),
            Property::Coverage => f.write_str("coverage"),
            Property::Loss(case) => write!(f, "loss/{case}"),
            Property::Rpo => f.write_str("rpo"),
            Property::RecoveryTime => f.write_str("recovery_time"),
            Property::Rto => f.write_str("rto"),
            Property::ReachesBack => f.write_str("reaches_back"),
            Property::Locked => f.write_str("locked"),
            Property::LastCopies => f.write_str("cut_sets"),
            Property::Copies => f.write_str("copies"),
            Property::ImmutableCopies => f.write_str("immutable_copies"),
            Property::Span(kind) => write!(f, "distinct/{kind}"),
        }
    }
}

impl Serialize for Property {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One property of one dataset that is no longer what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its id, the new one where it was renamed.
    pub dataset: DatasetId,
    /// Its tier, the new one where it has another.
    pub tier: TierId,
    /// What differs.
    pub property: Property,
    /// What it was; none for a dataset that was not there.
    pub from: Option<String>,
    /// What it is; none for a dataset that is gone.
    pub to: Option<String>,
    /// What that does to protection.
    pub effect: Effect,
}

/// A dataset before and after; at least one is there.
pub type Pair<'a> = (Option<&'a DatasetId>, Option<&'a DatasetId>);

/// All datasets of both models, in the order of their present ids. One that was renamed with `formerly` is one.
pub fn pairs<'a>(old: &'a Model, new: &'a Model) -> Vec<Pair<'a>> {
    let renamed = super::judge::renamed(old, new);
    let mut pairs: BTreeMap<&DatasetId, Pair<'a>> = BTreeMap::new();
    for id in old.datasets.keys() {
        let present = renamed.get(id).copied().unwrap_or(id);
        pairs.entry(present).or_default().0 = Some(id);
    }
    for id in new.datasets.keys() {
        pairs.entry(id).or_default().1 = Some(id);
    }
    pairs.into_values().collect()
}

/// What became of one dataset, in the order of properties; empty when all that is proven of it is as it was.
pub fn outcomes(old: &Recovery<'_>, new: &Recovery<'_>, (before, after): Pair<'_>) -> Vec<Outcome> {
    let side = |recovery: &Recovery<'_>, id: Option<&DatasetId>| {
        let id = id?;
        let known = recovery.model().datasets.get(id)?.clone();
        Some((id.clone(), known, recovery.facts(id)?))
    };
    let (was, is) = (side(old, before), side(new, after));
    let mut found = Vec::new();
    let mut tell = |(id, known): (&DatasetId, &Dataset), property, from, to, effect| {
        found.push(Outcome {
            dataset: id.clone(),
            tier: known.criticality.clone(),
            property,
            from,
            to,
            effect,
        });
    };
    match (was, is) {
        (None, None) => {}
        (None, Some((id, known, facts))) => {
            let to = Some(told(facts.coverage));
            tell(
                (&id, &known),
                Property::Declared,
                None,
                to,
                Effect::Stronger,
            );
        }
        (Some((id, known, facts)), None) => {
            let from = Some(told(facts.coverage));
            tell(
                (&id, &known),
                Property::Declared,
                from,
                None,
                Effect::Weaker,
            );
        }
        (Some((old_id, was, before)), Some((id, is, after))) => {
            let changed = properties((old, &old_id, &was, &before), (new, &id, &is, &after));
            for (property, from, to, effect) in changed {
                tell((&id, &is), property, Some(from), Some(to), effect);
            }
        }
    }
    found
}

type Side<'a, 'm> = (
    &'a Recovery<'m>,
    &'a DatasetId,
    &'a Dataset,
    &'a DatasetFacts,
);
type Changed = (Property, String, String, Effect);

fn properties(old: Side<'_, '_>, new: Side<'_, '_>) -> Vec<Changed> {
    let (old_proofs, old_id, was, before) = old;
    let (new_proofs, id, is, after) = new;
    let mut found = Vec::new();
    if before.coverage != after.coverage {
        let effect = by_order(rank(after.coverage), rank(before.coverage));
        let (from, to) = (told(before.coverage), told(after.coverage));
        found.push((Property::Coverage, from, to, effect));
    }
    let cases: BTreeSet<&LossCase> = before.loss.keys().chain(after.loss.keys()).collect();
    for case in cases {
        // A loss that only one side knows of is none of a place that the other side uses; it has an answer all the same.
        let was = before.loss.get(case).cloned();
        let was = was.unwrap_or_else(|| old_proofs.loss(old_id, case));
        let is = after.loss.get(case).cloned();
        let is = is.unwrap_or_else(|| new_proofs.loss(id, case));
        if was.seconds() != is.seconds() {
            let effect = by_order(was.seconds(), is.seconds());
            let property = Property::Loss(case.clone());
            found.push((property, was.to_string(), is.to_string(), effect));
        }
    }
    let mut length = |property, was: Seconds, is: Seconds| {
        if was != is {
            found.push((property, bounded(was), bounded(is), by_order(was, is)));
        }
    };
    length(Property::Rpo, was.rpo_s, is.rpo_s);
    let (read, reads) = (before.recovery_seconds, after.recovery_seconds);
    length(Property::RecoveryTime, read, reads);
    length(Property::Rto, was.rto_s, is.rto_s);
    let mut longer = |property, was: Option<Seconds>, is: Option<Seconds>| {
        if was != is {
            let told =
                |length: Option<Seconds>| length.map_or("nothing".to_owned(), Seconds::human);
            found.push((property, told(was), told(is), by_order(is, was)));
        }
    };
    let reaches = (
        reaches_back(old_proofs, old_id),
        reaches_back(new_proofs, id),
    );
    longer(Property::ReachesBack, reaches.0, reaches.1);
    let locked = (locked(old_proofs, old_id), locked(new_proofs, id));
    longer(Property::Locked, locked.0, locked.1);
    found.extend(last_copies(&before.cut_sets, &after.cut_sets));
    let mut count = |property, was: u32, is: u32| {
        if was != is {
            let (from, to) = (was.to_string(), is.to_string());
            found.push((property, from, to, by_order(is, was)));
        }
    };
    let (was, is) = (&before.redundancy, &after.redundancy);
    count(Property::Copies, was.copies, is.copies);
    count(
        Property::ImmutableCopies,
        was.immutable_copies,
        is.immutable_copies,
    );
    let spans = was.distinct.kinds().into_iter().zip(is.distinct.kinds());
    for ((kind, was), (_, is)) in spans {
        count(Property::Span(kind), was, is);
    }
    found
}

/// How far back the plan reaches that reaches furthest; of an archive without slots, and of slots too many to be looked at,
/// no more than the floor of age can be counted on.
fn reaches_back(recovery: &Recovery<'_>, dataset: &DatasetId) -> Option<Seconds> {
    let plans = recovery.plans_of(dataset).iter();
    let kept = plans.filter_map(|plan| recovery.kept(&plan.plan_id));
    kept.map(|kept| match kept {
        Kept::Points { oldest_seconds, .. } => oldest_seconds,
        Kept::Log { floor_seconds } | Kept::TooManySlots { floor_seconds } => floor_seconds,
    })
    .max()
}

/// The longest lock of a plan that has a location which refuses deletes.
fn locked(recovery: &Recovery<'_>, dataset: &DatasetId) -> Option<Seconds> {
    let locations = &recovery.model().settings.locations;
    let refuses = |id| locations.get(id).is_some_and(|known| known.immutable);
    let plans = recovery.plans_of(dataset).iter();
    let locked = plans.filter(|plan| plan.locations.iter().any(refuses));
    locked.map(|plan| plan.retention.immutable_for_s).max()
}

/// Stronger when the first is larger: pass what it was where smaller is better, and what it is where larger is.
fn by_order<T: Ord>(one: T, other: T) -> Effect {
    match one.cmp(&other) {
        std::cmp::Ordering::Greater => Effect::Stronger,
        std::cmp::Ordering::Equal => Effect::Incomparable,
        std::cmp::Ordering::Less => Effect::Weaker,
    }
}

/// Excluded and unprotected leave the same: nothing.
fn rank(coverage: Coverage) -> u8 {
    match coverage {
        Coverage::Protected => 2,
        Coverage::PlannedButUnmet => 1,
        Coverage::Excluded | Coverage::Unprotected => 0,
    }
}

fn told(coverage: Coverage) -> String {
    super::judge::told(&coverage).replace('_', " ")
}

fn bounded(length: Seconds) -> String {
    if length == Seconds::MAX {
        "unbounded".to_owned()
    } else {
        length.human()
    }
}

/// A new loss that leaves nothing, of which no part did before, is weaker; one that no longer suffices is stronger.
fn last_copies(old: &CutSets, new: &CutSets) -> Option<Changed> {
    if old == new {
        return None;
    }
    // Without a copy nothing has to be lost for nothing to be left.
    let without = [BTreeSet::new()];
    let is_empty = |cut: &CutSets| cut.sets.is_empty() && !cut.more;
    let was = if is_empty(old) {
        &without[..]
    } else {
        &old.sets
    };
    let is = if is_empty(new) {
        &without[..]
    } else {
        &new.sets
    };
    let (gone, come) = (alone(was, is), alone(is, was));
    let cut_short = [old, new].iter().any(|cut| cut.sets.len() == MAX_CUT_SETS);
    let effect = match (gone.is_empty(), come.is_empty()) {
        (true, true) => return None,
        _ if cut_short => Effect::Incomparable,
        (true, false) => Effect::Weaker,
        (false, true) => Effect::Stronger,
        (false, false) => Effect::Incomparable,
    };
    let (from, to) = (listed(&gone, was), listed(&come, is));
    Some((Property::LastCopies, from, to, effect))
}

/// The sets of which no other is a part.
fn alone(sets: &[BTreeSet<FaultDomain>], others: &[BTreeSet<FaultDomain>]) -> Vec<String> {
    let alone = sets
        .iter()
        .filter(|set| !others.iter().any(|other| other.is_subset(set)));
    let named = alone.map(|set| {
        let names: Vec<String> = set.iter().map(ToString::to_string).collect();
        names.join(" + ")
    });
    named.collect()
}

/// The sets that one side has alone.
fn listed(alone: &[String], all: &[BTreeSet<FaultDomain>]) -> String {
    let smallest = all.iter().map(BTreeSet::len).min();
    match (alone, smallest) {
        (_, Some(0)) => "nothing has to be lost".to_owned(),
        ([], _) => "not these".to_owned(),
        (alone, _) => {
            let first = alone.get(..TOLD_SETS).unwrap_or(alone).join(", ");
            match alone.len().saturating_sub(TOLD_SETS) {
                0 => first,
                more => format!("{first} and {more} more"),
            }
        }
    }
}

/// Losses that are named in one text.
const TOLD_SETS: usize = 3;

/// The paths of the objects of a model on which the proofs of a dataset rest.
pub fn reach(recovery: &Recovery<'_>, dataset: &DatasetId) -> BTreeSet<Vec<String>> {
    let model = recovery.model();
    let mut paths = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![dataset];
    while let Some(id) = open.pop() {
        let Some(known) = model.datasets.get(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        let mut add = |path: &[&str]| {
            paths.insert(path.iter().map(|step| (*step).to_owned()).collect());
        };
        add(&["datasets", id.as_str()]);
        add(&["settings", "sites", known.site.as_str()]);
        add(&["settings", "connectors", known.connector.as_str()]);
        add(&["settings", "tiers", known.criticality.as_str()]);
        for plan in recovery.plans_of(id) {
            add(&["plans", plan.plan_id.as_str()]);
            let kid = &plan.encryption_key_ref;
            add(&["settings", "keys", kid.as_str()]);
            let key = model.settings.keys.get(kid);
            open.extend(key.and_then(|key| key.kept_in.as_ref()));
            for location in &plan.locations {
                add(&["settings", "locations", location.as_str()]);
            }
            for profile in &plan.storage_profiles {
                add(&["settings", "storage", profile.as_str()]);
            }
        }
        for standby in model.standbys.values().filter(|one| one.dataset == *id) {
            add(&["standbys", standby.standby_id.as_str()]);
            add(&["settings", "sites", standby.standby.as_str()]);
        }
        for (scenario, known) in &model.scenarios {
            if known.datasets.contains(id) {
                add(&["scenarios", scenario.as_str()]);
            }
        }
        open.extend(&known.derived_from);
    }
    paths
}
