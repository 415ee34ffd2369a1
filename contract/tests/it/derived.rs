//! Data that is rebuilt from other data, and keys that hang on it: what is proven once for all ways is held against naive recursion
//! over each way.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::id::{DatasetId, Kid};
use contract::model::{Eligibility, FaultDomain, Model};
use contract::recovery::{KeyProof, Loss, LossCase, Recovery, Unbounded};
use proptest::prelude::*;

use super::keys::{One, build, domains};

/// The loss of a dataset by its meaning: along every way, each with its own live data gone.
fn naive<'a>(
    recovery: &Recovery<'a>,
    id: &'a DatasetId,
    case: &LossCase,
    way: &mut BTreeSet<&'a DatasetId>,
) -> Loss {
    let model = recovery.model();
    let unbounded = |why| Loss::Unbounded { why, plan: None };
    let Some(dataset) = model.datasets.get(id) else {
        return unbounded(Unbounded::UnknownDataset);
    };
    let mut gone = way.clone();
    gone.insert(id);
    let own = recovery.loss_by_copies(id, case, &gone);
    let is_copied = own != unbounded(Unbounded::NoSource);
    if dataset.eligibility != Eligibility::Reconstructed || is_copied {
        return own;
    }
    if !way.insert(id) {
        return unbounded(Unbounded::NoSource);
    }
    let sources: Vec<Loss> = dataset
        .derived_from
        .iter()
        .map(|source| naive(recovery, source, case, way))
        .collect();
    way.remove(id);
    let worst = sources.into_iter().max_by_key(Loss::seconds);
    worst.unwrap_or(unbounded(Unbounded::NoSource))
}

/// Whether data is there after a loss, followed step by step and never through what is on the way already.
struct Search<'a> {
    model: &'a Model,
    is_corruption: bool,
    lost: BTreeSet<FaultDomain>,
    gone: BTreeSet<&'a DatasetId>,
}

impl<'a> Search<'a> {
    fn site_is_left(&self, site: &str) -> bool {
        let site = &self.model.settings.sites[site];
        let host: FaultDomain = format!("host:{}", site.host).parse().unwrap();
        !self.lost.contains(&host)
            && site
                .fault_domains
                .iter()
                .all(|one| !self.lost.contains(&one))
    }

    fn key_is_left(&self, kid: &Kid, way: &mut Vec<&'a DatasetId>) -> bool {
        let key = &self.model.settings.keys[kid];
        let itself: FaultDomain = format!("key:{kid}").parse().unwrap();
        if self.lost.contains(&itself) || self.lost.contains(&key.custody) {
            return false;
        }
        let keeper = key.kept_in.as_ref();
        keeper.is_none_or(|keeper| {
            let keeper = self.model.datasets.get_key_value(keeper).unwrap().0;
            self.is_there(keeper, way)
        })
    }

    fn is_there(&self, id: &'a DatasetId, way: &mut Vec<&'a DatasetId>) -> bool {
        if way.contains(&id) {
            return false;
        }
        let Some(known) = self.model.datasets.get(id) else {
            return false;
        };
        let is_gone = self.gone.contains(id);
        let mut standbys = self
            .model
            .standbys
            .values()
            .filter(|one| one.dataset == *id);
        let is_standing = standbys
            .any(|one| !(self.is_corruption && is_gone) && self.site_is_left(one.standby.as_str()));
        if is_standing || (!is_gone && self.site_is_left(known.site.as_str())) {
            return true;
        }
        way.push(id);
        let plans = self.model.plans.values();
        let mut plans = plans.filter(|plan| plan.dataset_ids.contains(id));
        let host = &self.model.settings.sites[&known.site].host;
        let deletes: FaultDomain = format!("host:{host}").parse().unwrap();
        let engine: FaultDomain = "engine:restic".parse().unwrap();
        let is_readable = plans.any(|plan| {
            let everywhere = [&deletes, &engine]
                .iter()
                .any(|one| self.lost.contains(*one));
            let is_left = plan.locations.iter().any(|location| {
                let domains = &self.model.settings.locations[location].fault_domains;
                domains.iter().all(|one| !self.lost.contains(&one))
            });
            !everywhere && is_left && self.key_is_left(&plan.encryption_key_ref, way)
        });
        let is_rebuilt = known.eligibility == Eligibility::Reconstructed
            && !known.derived_from.is_empty()
            && known
                .derived_from
                .iter()
                .all(|source| self.is_there(source, way));
        way.pop();
        is_readable || is_rebuilt
    }
}

const NUMBER: usize = 6;

fn ones() -> impl Strategy<Value = Vec<One>> {
    // One more than there are: what is rebuilt from that has no source.
    let number = || 1..=NUMBER;
    let one = (
        proptest::option::weighted(0.5, 1..NUMBER),
        proptest::option::weighted(0.4, 1..NUMBER),
        proptest::collection::btree_set(1..=5_usize, 1..3),
        prop_oneof![1 => Just(BTreeSet::new()), 2 => proptest::collection::btree_set(number(), 1..4)],
        proptest::option::weighted(0.1, 1..=5_usize),
    );
    let one = one.prop_map(|(key, kept_in, locations, rebuilt_from, standby)| One {
        key,
        kept_in,
        locations,
        rebuilt_from,
        standby,
    });
    proptest::collection::vec(one, NUMBER - 1)
}

/// Whether anything is rebuilt from itself, by way of others or not.
fn has_circle(model: &Model) -> bool {
    let mut left: BTreeMap<_, _> = model.datasets.iter().collect();
    loop {
        let count = left.len();
        let ids: BTreeSet<DatasetId> = left.keys().map(|id| (*id).clone()).collect();
        left.retain(|_, one| one.derived_from.iter().any(|source| ids.contains(source)));
        if left.len() == count {
            return count > 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_loss_of_rebuilt_data_is_that_of_every_way(
        all in ones(),
        lost in proptest::collection::btree_set(0..40_usize, 0..4),
    ) {
        let model = build(&all);
        let recovery = Recovery::new(&model, &Zones::bundled());
        let domains = domains(&model);
        let lost: BTreeSet<FaultDomain> = lost.into_iter().map(|at| domains[at % domains.len()].clone()).collect();
        let is_round = has_circle(&model);
        for case in [LossCase::None, LossCase::Corruption, LossCase::of(lost)] {
            for id in model.datasets.keys() {
                let (found, wanted) = (recovery.loss(id, &case), naive(&recovery, id, &case, &mut BTreeSet::new()));
                prop_assert_eq!(found.seconds(), wanted.seconds(), "{} {}: {} for {}", id, case, found, wanted);
                if !is_round {
                    prop_assert_eq!(found, wanted, "{} {}", id, case);
                }
            }
        }
    }

    #[test]
    fn a_key_is_lost_when_a_search_does_not_find_it(
        all in ones(),
        lost in proptest::collection::btree_set(0..40_usize, 0..4),
        gone in proptest::collection::btree_set(1..NUMBER, 0..3),
    ) {
        let model = build(&all);
        let recovery = Recovery::new(&model, &Zones::bundled());
        let domains = domains(&model);
        let lost: BTreeSet<FaultDomain> = lost.into_iter().map(|at| domains[at % domains.len()].clone()).collect();
        for case in [LossCase::None, LossCase::Corruption, LossCase::of(lost.clone())] {
            for plan in model.plans.values() {
                let id = plan.dataset_ids.first().unwrap();
                // Only what needs the key is ever gone with the dataset that it seals.
                let needs_it = |one: &DatasetId| reaches(&model, one, id);
                let gone = gone.iter().map(|number| format!("d{number}").parse::<DatasetId>().unwrap());
                let gone: BTreeSet<DatasetId> = gone.filter(needs_it).chain([id.clone()]).collect();
                let gone: BTreeSet<&DatasetId> = gone.iter().collect();
                let found = recovery.loss_by_copies(id, &case, &gone);
                let search = Search {
                    model: &model,
                    is_corruption: case == LossCase::Corruption,
                    lost: case.domains(),
                    gone,
                };
                let is_lost = !search.key_is_left(&plan.encryption_key_ref, &mut Vec::new());
                let told = matches!(found, Loss::Unbounded { why: Unbounded::KeyLost, .. });
                let has_standby = model.standbys.values().any(|one| one.dataset == *id);
                if !has_standby {
                    prop_assert_eq!(told, is_lost, "{} {}: {}", id, case, found);
                }
            }
        }
    }
}

/// Whether one is rebuilt from the other, by way of others or not.
fn reaches(model: &Model, from: &DatasetId, to: &DatasetId) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        let known = model.datasets.get(id).filter(|_| seen.insert(id));
        let known = known.filter(|known| known.eligibility == Eligibility::Reconstructed);
        open.extend(known.into_iter().flat_map(|known| &known.derived_from));
    }
    false
}

/// A chain of so many datasets, each rebuilt from the next, the last one backed up.
fn chain(length: usize) -> Model {
    let last = One {
        key: Some(1),
        locations: BTreeSet::from([1, 2]),
        ..One::default()
    };
    let mut model = build(&[last]);
    let template = model.datasets["d1"].clone();
    for number in 2..=length {
        let mut data = template.clone();
        data.dataset_id = format!("d{number}").parse().unwrap();
        data.eligibility = Eligibility::Reconstructed;
        data.derived_from = BTreeSet::from([format!("d{}", number - 1).parse().unwrap()]);
        model.datasets.insert(data.dataset_id.clone(), data);
    }
    model
}

#[test]
fn a_chain_of_eight_thousand_is_proven_with_all_facts() {
    let model = chain(8_000);
    let recovery = Recovery::new(&model, &Zones::bundled());
    let first = recovery.facts(&"d1".parse().unwrap()).unwrap();
    let loss = |facts: &contract::recovery::DatasetFacts| facts.loss[&LossCase::None].seconds();
    for id in model.datasets.keys() {
        let facts = recovery.facts(id).unwrap();
        assert_eq!(loss(&facts), loss(&first));
        assert_eq!(facts.recovery_seconds, first.recovery_seconds);
        assert_eq!(recovery.cases(id), recovery.cases(&"d1".parse().unwrap()));
    }
}

/// Datasets whose keys lie in the next one each; the last key lies nowhere, or in the last dataset itself.
fn keys_in_keys(length: usize, is_circle: bool) -> Model {
    let last = One {
        key: Some(1),
        kept_in: is_circle.then_some(1),
        locations: BTreeSet::from([1, 2]),
        ..One::default()
    };
    let mut model = build(&[last]);
    let (data, plan) = (model.datasets["d1"].clone(), model.plans["p1"].clone());
    let key = model.settings.keys["k1"].clone();
    for number in 2..=length {
        let mut data = data.clone();
        data.dataset_id = format!("d{number}").parse().unwrap();
        let mut plan = plan.clone();
        plan.plan_id = format!("p{number}").parse().unwrap();
        plan.dataset_ids = BTreeSet::from([data.dataset_id.clone()]);
        plan.encryption_key_ref = format!("k{number}").parse().unwrap();
        let mut key = key.clone();
        key.kid = format!("k{number}").parse().unwrap();
        key.kept_in = Some(format!("d{}", number - 1).parse().unwrap());
        model.datasets.insert(data.dataset_id.clone(), data);
        model.plans.insert(plan.plan_id.clone(), plan);
        model.settings.keys.insert(key.kid.clone(), key);
    }
    model
}

#[test]
fn keys_two_thousand_deep_are_proven() {
    for is_circle in [false, true] {
        let model = keys_in_keys(2_000, is_circle);
        let recovery = Recovery::new(&model, &Zones::bundled());
        let proofs = recovery.keys();
        assert_eq!(proofs.len(), 2_000);
        for (kid, proof) in proofs {
            let is_itself = matches!(proof, KeyProof::Itself { .. });
            assert_eq!(proof.is_recoverable(), !is_circle, "{kid}");
            assert_eq!(is_itself, is_circle && kid.as_str() == "k1", "{kid}");
            assert!(proof.chain().len() <= 64, "{kid}");
        }
        // The loss of each key on the way is a case of its own, so that all facts of all of them are a square.
        for id in model.datasets.keys() {
            let is_bounded = recovery.loss(id, &LossCase::None).is_bounded();
            assert_eq!(is_bounded, !is_circle || id.as_str() != "d1");
            assert!(recovery.cut_sets(id).more || id.as_str().len() < 4);
        }
    }
}
