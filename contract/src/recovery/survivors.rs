//! Owns the question which copies of a dataset are left after a loss, and the smallest losses that leave none.
//!
//! Never measures time. The interesting functions are [`copies`], which says what can destroy each copy, and [`cut_sets`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::case::Parents;
use crate::duration::Seconds;
use crate::id::LocationId;
use crate::model::{Dataset, DomainKind, FaultDomain, Model, Plan};

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
    plan: &Plan,
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

/// The minimal sets that hit every copy. Domains that destroy the same copies are one choice until the end, which keeps the search small.
pub(super) fn cut_sets(copies: &[BTreeSet<FaultDomain>]) -> CutSets {
    if copies.is_empty() {
        // Nothing has to be lost for nothing to be left.
        return CutSets {
            sets: Vec::new(),
            more: false,
        };
    }
    // Which copies each domain destroys, and which domains destroy the same.
    let mut reach: BTreeMap<&FaultDomain, BTreeSet<usize>> = BTreeMap::new();
    for (index, killers) in copies.iter().enumerate() {
        for killer in killers {
            reach.entry(killer).or_default().insert(index);
        }
    }
    let mut classes: BTreeMap<BTreeSet<usize>, Vec<&FaultDomain>> = BTreeMap::new();
    for (killer, hit) in reach {
        classes.entry(hit).or_default().push(killer);
    }
    let classes: Vec<(BTreeSet<usize>, Vec<&FaultDomain>)> = classes.into_iter().collect();

    let mut minimal: BTreeSet<BTreeSet<usize>> = BTreeSet::from([BTreeSet::new()]);
    let mut more = false;
    for copy in 0..copies.len() {
        let hits = |class: &usize| {
            classes
                .get(*class)
                .is_some_and(|(hit, _)| hit.contains(&copy))
        };
        let (done, open): (BTreeSet<BTreeSet<usize>>, BTreeSet<BTreeSet<usize>>) =
            minimal.into_iter().partition(|set| set.iter().any(hits));
        let mut grown = done.clone();
        for set in &open {
            for class in (0..classes.len()).filter(hits) {
                let mut larger = set.clone();
                larger.insert(class);
                if done.iter().any(|small| small.is_subset(&larger)) {
                    continue;
                }
                if larger.len() > MAX_CUT_SIZE {
                    more = true;
                } else {
                    grown.insert(larger);
                }
            }
        }
        let all = grown.clone();
        grown.retain(|set| !all.iter().any(|other| other != set && other.is_subset(set)));
        minimal = grown;
    }
    let mut chosen: Vec<BTreeSet<usize>> = minimal.into_iter().collect();
    chosen.sort_by_key(BTreeSet::len);
    let mut sets = Vec::new();
    for choice in chosen {
        let members = choice
            .iter()
            .filter_map(|class| Some(&classes.get(*class)?.1));
        let mut spelled: Vec<BTreeSet<FaultDomain>> = vec![BTreeSet::new()];
        for domains in members {
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
