//! Owns the question which copies of a dataset are left after a loss, and the smallest losses that leave none.
//!
//! Never measures time. The interesting functions are [`copies`], which says what can destroy each copy, and [`cut_sets`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::case::Parents;
use crate::duration::Seconds;
use crate::id::LocationId;
use crate::model::{BackupPlan, Dataset, DomainKind, FaultDomain, Model};

/// The copies of one dataset by one plan, each with the fault domains of which any one destroys it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copies {
    /// By location. A location that the model does not know has no entry and holds nothing.
    pub(super) at: BTreeMap<LocationId, BTreeSet<FaultDomain>>,
    /// What takes the key, and with it every copy.
    pub(super) key: BTreeSet<FaultDomain>,
}

impl Copies {
    /// The locations whose copies are left, whether or not the key is.
    pub(super) fn survivors(&self, lost: &BTreeSet<FaultDomain>) -> BTreeSet<LocationId> {
        let left = self
            .at
            .iter()
            .filter(|(_, killers)| killers.is_disjoint(lost));
        left.map(|(location, _)| location.clone()).collect()
    }

    /// Whether any location's copy is left, whether or not the key is.
    pub(super) fn has_survivor(&self, lost: &BTreeSet<FaultDomain>) -> bool {
        self.at.values().any(|killers| killers.is_disjoint(lost))
    }

    /// Whether the key is gone.
    pub(super) fn key_is_lost(&self, lost: &BTreeSet<FaultDomain>) -> bool {
        !self.key.is_disjoint(lost)
    }
}

/// What destroys each copy that `plan` keeps of `dataset`. `lock_needed` is how old the newest usable point can become: a lock that
/// lasts longer protects it from whoever may delete.
pub(super) fn copies(
    model: &Model,
    parents: &Parents,
    plan: &BackupPlan,
    dataset: &Dataset,
    lock_needed: Option<Seconds>,
) -> Copies {
    let mut key = BTreeSet::from([domain(DomainKind::Key, plan.encryption_key_ref.as_str())]);
    if let Some(known) = model.settings.keys.get(&plan.encryption_key_ref) {
        key.extend(parents.killers(&known.custody));
    }
    let mut everywhere = BTreeSet::new();
    if let Some(connector) = model.settings.connectors.get(&dataset.connector) {
        everywhere.insert(domain(DomainKind::Engine, &connector.engine));
    }
    let host = model
        .settings
        .sites
        .get(&dataset.site)
        .map(|site| domain(DomainKind::Host, &site.host));
    let lock_holds = lock_needed.is_some_and(|needed| plan.retention.immutable_for_s >= needed);
    let known = plan
        .locations
        .iter()
        .filter_map(|id| Some((id, model.settings.locations.get(id)?)));
    let at = known.map(|(id, location)| {
        // A lock refuses deletes, also those of the credential and of the machine that hold the right to delete.
        let locked = location.immutable && lock_holds;
        let mut killers = everywhere.clone();
        killers.extend(
            location
                .fault_domains
                .iter()
                .filter(|d| !(locked && d.kind == DomainKind::Credential)),
        );
        killers.extend(host.clone().filter(|_| !locked));
        (id.clone(), killers)
    });
    Copies {
        at: at.collect(),
        key,
    }
}

fn domain(kind: DomainKind, id: &str) -> FaultDomain {
    FaultDomain {
        kind,
        id: id.to_owned(),
    }
}

/// What takes a copy: one fault domain, or several that are lost together.
pub(super) type Blow = BTreeSet<FaultDomain>;

/// Largest cut set that is searched for.
pub const MAX_CUT_SIZE: usize = 4;

/// Most cut sets that are told for one dataset; the smallest come first.
pub const MAX_CUT_SETS: usize = 256;

/// The smallest sets of fault domains whose loss leaves no readable copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutSets {
    /// Minimal sets, smaller ones first, then in order of their domains.
    pub sets: Vec<BTreeSet<FaultDomain>>,
    /// Whether there are larger ones, or more than are told.
    pub more: bool,
}

/// Most sets that the search holds at once; above, the rest is not told.
const MAX_OPEN: usize = 4_096;

/// The minimal sets that hit every copy. Domains that can stand for each other are one until the end, which keeps the search small.
pub(super) fn cut_sets(copies: &[BTreeSet<Blow>]) -> CutSets {
    if copies.is_empty() {
        // Nothing has to be lost for nothing to be left.
        return CutSets {
            sets: Vec::new(),
            more: false,
        };
    }
    let classes = classes(copies);
    let stands = |blow: &&Blow| blow.iter().all(|domain| classes.contains_key(domain));
    let mut minimal: BTreeSet<Blow> = BTreeSet::from([Blow::new()]);
    let mut more = false;
    for blows in copies {
        let is_hit = |set: &Blow| blows.iter().any(|blow| blow.is_subset(set));
        let (done, open): (BTreeSet<Blow>, BTreeSet<Blow>) = minimal.into_iter().partition(is_hit);
        let mut grown = done.clone();
        for set in &open {
            for blow in blows.iter().filter(stands) {
                let larger = set | blow;
                if larger.len() > MAX_CUT_SIZE || grown.len() > MAX_OPEN {
                    more = true;
                } else if !done.iter().any(|small| small.is_subset(&larger)) {
                    grown.insert(larger);
                }
            }
        }
        let all = grown.clone();
        grown.retain(|set| !all.iter().any(|other| other != set && other.is_subset(set)));
        minimal = grown;
    }
    let mut sets = Vec::new();
    for choice in &minimal {
        let mut spelled: Vec<Blow> = vec![Blow::new()];
        for domains in choice.iter().filter_map(|domain| classes.get(domain)) {
            let longer = spelled.iter().flat_map(|set| {
                domains.iter().map(move |domain| {
                    let mut set = set.clone();
                    set.insert((*domain).clone());
                    set
                })
            });
            // One more than the bound, so that the cut is noticed.
            spelled = longer.take(MAX_CUT_SETS + 1).collect();
        }
        sets.extend(spelled);
    }
    sets.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    more |= sets.len() > MAX_CUT_SETS;
    sets.truncate(MAX_CUT_SETS);
    CutSets { sets, more }
}

/// Domains that are in the same blows to the same copies, each beside the same others, by the first of them: any of them can stand
/// for the first.
fn classes(copies: &[BTreeSet<Blow>]) -> BTreeMap<&FaultDomain, Vec<&FaultDomain>> {
    let mut beside: BTreeMap<&FaultDomain, BTreeSet<(usize, BTreeSet<&FaultDomain>)>> =
        BTreeMap::new();
    for (index, blows) in copies.iter().enumerate() {
        for blow in blows {
            for domain in blow {
                let others = blow.iter().filter(|other| *other != domain).collect();
                beside.entry(domain).or_default().insert((index, others));
            }
        }
    }
    let mut alike: BTreeMap<_, Vec<&FaultDomain>> = BTreeMap::new();
    for (domain, found) in beside {
        alike.entry(found).or_default().push(domain);
    }
    let classes = alike.into_values();
    classes
        .filter_map(|domains| Some((*domains.first()?, domains)))
        .collect()
}
