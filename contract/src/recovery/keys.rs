//! Owns what keys hang on: a key whose bytes a dataset holds comes back only when that dataset does, and a copy is read only with
//! its key. Tells which keys hang on themselves, what comes back after a loss, and which losses take a key together.
//!
//! Never counts on live data when it asks whether a key hangs on itself. The interesting functions are [`Recovery::keys`] and
//! `come_back`, the least fixed point below everything here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;

use super::survivors::{Blow, CutSets, cut_sets};
use super::{Copies, LossCase, Recovery};
use crate::id::{DatasetId, Kid, PlanId};
use crate::model::{BackupPlan, Dataset, Eligibility, FaultDomain};

/// Something on the way from a key to what it hangs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Link {
    /// A key.
    Key(Kid),
    /// A dataset that holds a key, or from which such a dataset is rebuilt.
    Dataset(DatasetId),
    /// A plan of that dataset.
    Plan(PlanId),
}

/// Whether a key can be had again when all live data is gone and every location is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "hangs_on")]
pub enum KeyProof {
    /// On nothing that it seals: no data holds it, or that data comes back with a key that can be had.
    Nothing,
    /// On itself: the shortest way round, from the first of its keys back to it; of a very long one the beginning.
    Itself {
        /// The way.
        chain: Vec<Link>,
    },
    /// On data that nothing brings back: the shortest way there.
    LostData {
        /// The way.
        chain: Vec<Link>,
    },
    /// On a key that hangs on itself: the shortest way there.
    OtherKey {
        /// The way.
        chain: Vec<Link>,
    },
}

impl KeyProof {
    /// Whether the key can be had.
    pub fn is_recoverable(&self) -> bool {
        match self {
            KeyProof::Nothing => true,
            KeyProof::Itself { .. } | KeyProof::LostData { .. } | KeyProof::OtherKey { .. } => {
                false
            }
        }
    }

    /// The way to what it hangs on; empty for one that hangs on nothing.
    pub fn chain(&self) -> &[Link] {
        match self {
            KeyProof::Nothing => &[],
            KeyProof::Itself { chain }
            | KeyProof::LostData { chain }
            | KeyProof::OtherKey { chain } => chain,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Key(id) => id.fmt(f),
            Link::Dataset(id) => id.fmt(f),
            Link::Plan(id) => id.fmt(f),
        }
    }
}

/// Most links of a way that are told; nobody reads on.
const MAX_LINKS: usize = 64;

/// Most loss cases of which it is remembered what comes back: more than a model has, fewer than searches ask for.
const MAX_REMEMBERED: usize = 4_096;

/// What is known about the datasets on which keys hang.
#[derive(Debug, Default)]
pub(super) struct Kept<'m> {
    /// All of them.
    all: OnceLock<BTreeSet<&'m DatasetId>>,
    /// Which of them are there after a loss that takes no live data beside its domains.
    back: Mutex<BTreeMap<LossCase, Arc<BTreeSet<&'m DatasetId>>>>,
}

/// Most datasets on which one key may hang for its smallest losses to be told; above, it counts as lost.
const MAX_KEEPERS: usize = 32;

impl<'m> Recovery<'m> {
    /// What each key that seals a plan hangs on. A standby does not count: what corrupts the data corrupts it.
    pub fn keys(&self) -> BTreeMap<&'m Kid, KeyProof> {
        let plans = self.model.plans.values();
        let used: BTreeSet<&'m Kid> = plans.map(|plan| &plan.encryption_key_ref).collect();
        let keepers = used.iter().filter_map(|kid| self.keeper(kid));
        let all = self.closure(keepers.collect());
        let back = self.come_back(&all, &BTreeSet::new(), &|_, _| false);
        let mut told = BTreeMap::new();
        let mut left = Vec::new();
        for kid in used {
            if self.keeper(kid).is_none_or(|keeper| back.contains(keeper)) {
                told.insert(kid, KeyProof::Nothing);
            } else if !told.contains_key(kid) {
                let start = Node::Key(kid);
                let may_come_round = self
                    .keeper(kid)
                    .is_some_and(|keeper| self.needs.circle(keeper).is_some());
                let way = may_come_round.then(|| self.way(start, &back, |node| node == start));
                match way.flatten() {
                    Some(way) => circle(&way, &mut told),
                    None => left.push(kid),
                }
            }
        }
        let ends = self.ends(&left, &back, &told);
        for kid in left {
            let proof = self.end_of(kid, &back, &ends);
            told.insert(kid, proof);
        }
        told
    }

    /// The dataset that holds a key.
    pub(super) fn keeper(&self, kid: &Kid) -> Option<&'m DatasetId> {
        self.model.settings.keys.get(kid)?.kept_in.as_ref()
    }

    /// What may have to be there before a dataset is, beside its copies.
    fn needs(&self, id: &DatasetId) -> impl Iterator<Item = &'m DatasetId> {
        let plans = self.plans.get(id).into_iter().flatten();
        let keepers = plans.filter_map(|plan| self.keeper(&plan.encryption_key_ref));
        keepers.chain(self.sources(id))
    }

    /// What a dataset is rebuilt from.
    fn sources(&self, id: &DatasetId) -> impl Iterator<Item = &'m DatasetId> {
        let known = self.model.datasets.get(id).into_iter();
        let known = known.filter(|known| known.eligibility == Eligibility::Reconstructed);
        known.flat_map(|known| &known.derived_from)
    }

    /// These datasets and all that they may need.
    fn closure(&self, open: Vec<&'m DatasetId>) -> BTreeSet<&'m DatasetId> {
        self.closure_up_to(usize::MAX, open)
    }

    /// The same, no more of it than is needed to know that it is larger than this.
    fn closure_up_to(&self, most: usize, open: Vec<&'m DatasetId>) -> BTreeSet<&'m DatasetId> {
        let mut found: BTreeSet<&'m DatasetId> = open.iter().copied().collect();
        let mut open = open;
        while let Some(id) = open.pop() {
            for needed in self.needs(id) {
                if found.insert(needed) {
                    open.push(needed);
                }
            }
            if found.len() > most {
                break;
            }
        }
        found
    }

    /// Which of these datasets are there after a loss: the live data is left, or a copy with a key that can be had, or all from
    /// which it is rebuilt. The least such set: what needs itself is not in it.
    fn come_back(
        &self,
        among: &BTreeSet<&'m DatasetId>,
        lost: &BTreeSet<FaultDomain>,
        is_live: &dyn Fn(&DatasetId, &Dataset) -> bool,
    ) -> BTreeSet<&'m DatasetId> {
        let mut waiting: BTreeMap<&DatasetId, Vec<&DatasetId>> = BTreeMap::new();
        for id in among {
            for needed in self.needs(id) {
                waiting.entry(needed).or_default().push(id);
            }
        }
        let mut back = BTreeSet::new();
        let mut open: Vec<&DatasetId> = among.iter().copied().collect();
        while let Some(id) = open.pop() {
            let known = self.model.datasets.get(id);
            let is_back = known.is_some_and(|known| {
                let mut sources = self.sources(id).peekable();
                is_live(id, known)
                    || self.is_readable(id, lost, &back)
                    || (sources.peek().is_some() && sources.all(|source| back.contains(source)))
            });
            if is_back && back.insert(id) {
                open.extend(waiting.get(id).into_iter().flatten());
            }
        }
        back
    }

    fn is_readable(
        &self,
        id: &DatasetId,
        lost: &BTreeSet<FaultDomain>,
        back: &BTreeSet<&DatasetId>,
    ) -> bool {
        self.plans_of(id).iter().any(|plan| {
            let keeper = self.keeper(&plan.encryption_key_ref);
            keeper.is_none_or(|keeper| back.contains(keeper))
                && self
                    .copies
                    .get(&(id, &plan.plan_id))
                    .is_some_and(|copies| !copies.key_is_lost(lost) && copies.has_survivor(lost))
        })
    }

    /// Whether a loss takes the key of a plan's copies, when the live data of these datasets is gone as well.
    pub(super) fn key_is_lost(
        &self,
        plan: &BackupPlan,
        copies: &Copies,
        case: &LossCase,
        gone: &BTreeSet<&DatasetId>,
    ) -> bool {
        let lost = case.domains();
        if copies.key_is_lost(&lost) {
            return true;
        }
        let Some(keeper) = self.keeper(&plan.encryption_key_ref) else {
            return false;
        };
        // What does not come back with more live data left does not come back with less.
        if !self.back_with_live_data(case).contains(keeper) {
            return true;
        }
        // All that is gone needs the keeper; the keeper needs only those of them with which it stands in a circle.
        let circle = self.needs.circle(keeper);
        if circle.is_none_or(|circle| circle.is_disjoint(gone)) {
            return false;
        }
        let known = self.model.datasets.get(keeper);
        if known.is_some_and(|known| self.is_live((keeper, known), case, &lost, gone)) {
            return false;
        }
        let all = self.closure(vec![keeper]);
        let back = self.come_back(&all, &lost, &|id, known| {
            self.is_live((id, known), case, &lost, gone)
        });
        !back.contains(keeper)
    }

    /// Whether live data is left, at its site or at that of a standby.
    fn is_live(
        &self,
        (id, known): (&DatasetId, &Dataset),
        case: &LossCase,
        lost: &BTreeSet<FaultDomain>,
        gone: &BTreeSet<&DatasetId>,
    ) -> bool {
        let standbys = self.standbys.get(id).into_iter().flatten();
        // Corruption reaches a standby as it reaches the primary.
        let is_copied_on = *case == LossCase::Corruption && gone.contains(id);
        let mut standbys = standbys.filter(|_| !is_copied_on);
        let primary = !gone.contains(id) && !self.site_is_lost(&known.site, lost);
        primary || standbys.any(|standby| !self.site_is_lost(&standby.standby, lost))
    }

    /// The datasets on which keys hang that are there after a loss when it takes no other live data.
    fn back_with_live_data(&self, case: &LossCase) -> Arc<BTreeSet<&'m DatasetId>> {
        let known = || {
            let back = self.kept_keys.back.lock();
            back.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(back) = known().get(case) {
            return Arc::clone(back);
        }
        let all = self.kept_keys.all.get_or_init(|| {
            let plans = self.model.plans.values();
            let used: BTreeSet<&Kid> = plans.map(|plan| &plan.encryption_key_ref).collect();
            self.closure(used.iter().filter_map(|kid| self.keeper(kid)).collect())
        });
        let lost = case.domains();
        let nothing = BTreeSet::new();
        let back = Arc::new(self.come_back(all, &lost, &|id, known| {
            self.is_live((id, known), case, &lost, &nothing)
        }));
        let mut known = known();
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(case.clone(), Arc::clone(&back));
        back
    }

    /// For each dataset on which keys of this one's copies hang, the smallest losses that leave nothing of it, live data included,
    /// when that of this one is gone anyway.
    pub(super) fn keeper_cuts(&self, gone: &DatasetId) -> BTreeMap<&'m DatasetId, CutSets> {
        let plans = self.plans_of(gone).iter();
        let keepers = plans.filter_map(|plan| self.keeper(&plan.encryption_key_ref));
        let all = self.closure_up_to(MAX_KEEPERS, keepers.collect());
        let too_many = all.len() > MAX_KEEPERS;
        let lost = || CutSets {
            sets: vec![Blow::new()],
            more: too_many,
        };
        // At first nothing is there; each round finds what is there by what was found before, as deep as there are datasets.
        let mut cuts: BTreeMap<_, _> = all.iter().map(|id| (*id, lost())).collect();
        for _ in all.iter().filter(|_| !too_many) {
            let mut is_done = true;
            for id in &all {
                let found = self.cuts_of_keeper(id, gone, &cuts);
                is_done &= cuts.get(id) == Some(&found);
                cuts.insert(*id, found);
            }
            if is_done {
                break;
            }
        }
        cuts
    }

    fn cuts_of_keeper(
        &self,
        id: &'m DatasetId,
        gone: &DatasetId,
        cuts: &BTreeMap<&DatasetId, CutSets>,
    ) -> CutSets {
        let Some(known) = self.model.datasets.get(id) else {
            return CutSets {
                sets: vec![Blow::new()],
                more: false,
            };
        };
        let standbys = self.standbys.get(id).into_iter().flatten();
        let sites = standbys.map(|standby| &standby.standby);
        let sites = sites.chain((id != gone).then_some(&known.site));
        let mut places: Vec<BTreeSet<Blow>> = sites
            .map(|site| self.domains_of(site))
            .filter(|domains| !domains.is_empty())
            .map(|domains| domains.into_iter().map(|one| Blow::from([one])).collect())
            .collect();
        let (copies, mut more) = self.threats(id, cuts);
        places.extend(copies);
        let sources: Vec<&CutSets> = self.sources(id).filter_map(|id| cuts.get(id)).collect();
        if !sources.is_empty() {
            more |= sources.iter().any(|cuts| cuts.more);
            places.push(sources.iter().flat_map(|cuts| cuts.sets.clone()).collect());
        }
        if places.is_empty() {
            places.push(BTreeSet::from([Blow::new()]));
        }
        let mut found = cut_sets(&places);
        found.more |= more;
        found
    }

    /// For each copy of a dataset, what destroys it or makes it unreadable; and whether there is more than is told.
    pub(super) fn threats(
        &self,
        dataset: &DatasetId,
        cuts: &BTreeMap<&DatasetId, CutSets>,
    ) -> (Vec<BTreeSet<Blow>>, bool) {
        let mut more = false;
        let mut threats = Vec::new();
        for plan in self.plans_of(dataset) {
            let Some(copies) = self.copies.get(&(dataset, &plan.plan_id)) else {
                continue;
            };
            let keeper = self.keeper(&plan.encryption_key_ref);
            let keeper = keeper.and_then(|keeper| cuts.get(keeper));
            more |= keeper.is_some_and(|keeper| keeper.more);
            for killers in copies.at.values() {
                let alone = killers.iter().chain(&copies.key);
                let alone = alone.map(|domain| Blow::from([domain.clone()]));
                let together = keeper.iter().flat_map(|keeper| keeper.sets.iter().cloned());
                threats.push(alone.chain(together).collect());
            }
        }
        (threats, more)
    }

    /// Where the ways of keys end that are not back and stand in no circle: at a key that hangs on itself, or at data that nothing
    /// brings back. How far each node on them is from the nearest such end.
    fn ends(
        &self,
        left: &[&'m Kid],
        back: &BTreeSet<&DatasetId>,
        told: &BTreeMap<&'m Kid, KeyProof>,
    ) -> BTreeMap<Name<'m>, usize> {
        let mut before: BTreeMap<Name<'m>, Vec<Node<'m>>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<Node<'m>> = left.iter().map(|kid| Node::Key(kid)).collect();
        let mut ends = BTreeMap::new();
        let mut reached = Vec::new();
        while let Some(node) = open.pop() {
            if !seen.insert(node.name()) {
                continue;
            }
            let is_told = matches!(node, Node::Key(kid) if told.contains_key(kid));
            let next = self.next(node, back);
            if is_told || next.is_empty() {
                ends.insert(node.name(), 0);
                reached.push(node);
                continue;
            }
            for next in next {
                before.entry(next.name()).or_default().push(node);
                open.push(next);
            }
        }
        while !reached.is_empty() {
            let mut farther = Vec::new();
            for node in reached {
                let far = ends.get(&node.name()).copied().unwrap_or_default();
                for before in before.get(&node.name()).into_iter().flatten() {
                    ends.entry(before.name()).or_insert_with(|| {
                        farther.push(*before);
                        far + 1
                    });
                }
            }
            reached = farther;
        }
        ends
    }

    /// The shortest way of a key to such an end. What the key hangs on is where this way ends: another may be as short.
    fn end_of(
        &self,
        kid: &'m Kid,
        back: &BTreeSet<&DatasetId>,
        ends: &BTreeMap<Name<'m>, usize>,
    ) -> KeyProof {
        let mut at = Node::Key(kid);
        let mut chain = vec![at.link()];
        let far = |node: &Node<'m>| ends.get(&node.name()).copied();
        while far(&at) != Some(0) {
            // Where no end is near it goes round and round without a key: data that is rebuilt from itself. One step tells that.
            let nearest = self
                .next(at, back)
                .into_iter()
                .min_by_key(|next| far(next).unwrap_or(usize::MAX));
            let is_near = far(&at).is_some();
            let Some(next) = nearest else {
                break;
            };
            if chain.len() < MAX_LINKS {
                chain.push(next.link());
            }
            at = next;
            if !is_near {
                break;
            }
        }
        match at {
            Node::Key(_) => KeyProof::OtherKey { chain },
            Node::Dataset(_) | Node::Plan(_) => KeyProof::LostData { chain },
        }
    }

    /// What has to come back before a node does, of what does not; in the order of ids.
    fn next(&self, node: Node<'m>, back: &BTreeSet<&DatasetId>) -> Vec<Node<'m>> {
        match node {
            Node::Key(kid) => {
                let keeper = self.keeper(kid).filter(|keeper| !back.contains(keeper));
                keeper.map(Node::Dataset).into_iter().collect()
            }
            Node::Dataset(id) => {
                let plans = self.plans.get(id).into_iter().flatten();
                let sources = self.sources(id).filter(|id| !back.contains(id));
                let plans = plans.map(|plan| Node::Plan(plan));
                plans.chain(sources.map(Node::Dataset)).collect()
            }
            Node::Plan(plan) => {
                let kid = &plan.encryption_key_ref;
                let keeper = self.keeper(kid).filter(|keeper| !back.contains(keeper));
                keeper.map(|_| Node::Key(kid)).into_iter().collect()
            }
        }
    }

    /// The shortest way of at least one step to a node that is wanted, both ends included.
    fn way(
        &self,
        start: Node<'m>,
        back: &BTreeSet<&DatasetId>,
        is_wanted: impl Fn(Node<'m>) -> bool,
    ) -> Option<Vec<Node<'m>>> {
        let mut from: BTreeMap<Name<'m>, Node<'m>> = BTreeMap::new();
        let mut open = vec![start];
        while !open.is_empty() {
            let mut farther = Vec::new();
            for node in open {
                for next in self.next(node, back) {
                    if from.contains_key(&next.name()) {
                        continue;
                    }
                    from.insert(next.name(), node);
                    if is_wanted(next) {
                        let mut way = vec![next];
                        let mut at = next;
                        while let Some(before) = from.get(&at.name()) {
                            way.push(*before);
                            at = *before;
                            if at == start {
                                break;
                            }
                        }
                        way.reverse();
                        return Some(way);
                    }
                    farther.push(next);
                }
            }
            open = farther;
        }
        None
    }
}

/// A node of the graph of what hangs on what.
#[derive(Debug, Clone, Copy)]
enum Node<'m> {
    Key(&'m Kid),
    Dataset(&'m DatasetId),
    Plan(&'m BackupPlan),
}

/// What tells nodes apart: their kinds and ids.
type Name<'m> = (u8, &'m str);

impl<'m> Node<'m> {
    fn name(&self) -> Name<'m> {
        match *self {
            Node::Key(id) => (0, id.as_str()),
            Node::Dataset(id) => (1, id.as_str()),
            Node::Plan(plan) => (2, plan.plan_id.as_str()),
        }
    }

    fn link(&self) -> Link {
        match self {
            Node::Key(id) => Link::Key((*id).clone()),
            Node::Dataset(id) => Link::Dataset((*id).clone()),
            Node::Plan(plan) => Link::Plan(plan.plan_id.clone()),
        }
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// Tells a way that ends where it begins of each key on it of which no other is told, begun at the first of them.
fn circle<'m>(way: &[Node<'m>], told: &mut BTreeMap<&'m Kid, KeyProof>) {
    let mut nodes: Vec<Node<'m>> = way.to_vec();
    nodes.pop();
    let keys = nodes
        .iter()
        .enumerate()
        .filter_map(|(at, node)| match node {
            Node::Key(kid) => Some((*kid, at)),
            Node::Dataset(_) | Node::Plan(_) => None,
        });
    let keys: Vec<(&Kid, usize)> = keys.collect();
    let first = keys.iter().min().map_or(0, |(_, at)| *at);
    nodes.rotate_left(first);
    nodes.extend(nodes.first().copied());
    let chain: Vec<Link> = nodes.iter().take(MAX_LINKS).map(Node::link).collect();
    for (kid, _) in keys {
        let chain = chain.clone();
        told.entry(kid).or_insert(KeyProof::Itself { chain });
    }
}
