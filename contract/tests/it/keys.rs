//! Keys that hang on data: which can be had again, which losses take them along, against naive search and brute force.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::diff::{Effect, compare};
use contract::duration::Seconds;
use contract::id::{DatasetId, Kid};
use contract::model::{Eligibility, FaultDomain, Model, Replication, Standby};
use contract::recovery::{KeyProof, Link, Loss, LossCase, Recovery, Unbounded};
use proptest::prelude::*;

use super::recovery::{corruption_scenario, dataset, model, plan, schedule_every};

const NUMBER: usize = 4;

/// What one dataset, its plan and the key of the same number are.
#[derive(Debug, Clone, Default)]
pub struct One {
    /// The number of the key that seals it; none without a plan.
    pub key: Option<usize>,
    /// The number of the dataset that holds the key.
    pub kept_in: Option<usize>,
    /// The numbers of its copies' locations.
    pub locations: BTreeSet<usize>,
    /// What it is rebuilt from; empty for data that is backed up.
    pub rebuilt_from: BTreeSet<usize>,
    /// The number of the place of a standby.
    pub standby: Option<usize>,
}

/// Datasets `d1` …, each live at a site that stands where the location of its number does; plans `p1` …, keys `k1` ….
pub fn build(all: &[One]) -> Model {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 1, 1));
    let template = model.plans.remove("bp").unwrap();
    let key = model.settings.keys.remove("k1").unwrap();
    let live = model.settings.sites.remove("live").unwrap();
    model.datasets.clear();
    for number in 1..=5 {
        let mut site = live.clone();
        site.site_id = format!("s{number}").parse().unwrap();
        let at = model.settings.locations[format!("l{number}").as_str()].clone();
        site.fault_domains = at.fault_domains;
        site.host = format!("h{number}");
        model.settings.sites.insert(site.site_id.clone(), site);
    }
    for (place, one) in all.iter().enumerate() {
        let number = place + 1;
        let id = |number: &usize| format!("d{number}").parse::<DatasetId>().unwrap();
        let mut data = dataset(&format!("d{number}"));
        data.site = format!("s{number}").parse().unwrap();
        if !one.rebuilt_from.is_empty() {
            data.eligibility = Eligibility::Reconstructed;
            data.derived_from = one.rebuilt_from.iter().map(id).collect();
        }
        let mut key = key.clone();
        key.kid = format!("k{number}").parse().unwrap();
        key.custody = format!("host:hsm{number}").parse().unwrap();
        key.kept_in = one.kept_in.as_ref().map(id);
        model.settings.keys.insert(key.kid.clone(), key);
        if let Some(sealed) = one.key {
            let mut plan = template.clone();
            plan.plan_id = format!("p{number}").parse().unwrap();
            plan.dataset_ids = BTreeSet::from([data.dataset_id.clone()]);
            let locations = one.locations.iter();
            plan.locations = locations
                .map(|number| format!("l{number}").parse().unwrap())
                .collect();
            plan.encryption_key_ref = format!("k{sealed}").parse().unwrap();
            model.plans.insert(plan.plan_id.clone(), plan);
        }
        if let Some(at) = one.standby {
            let standby = Standby {
                standby_id: format!("sb{number}").parse().unwrap(),
                dataset: data.dataset_id.clone(),
                primary: data.site.clone(),
                standby: format!("s{at}").parse().unwrap(),
                replication: Replication::Asynchronous,
                lag_limit_s: Seconds::minutes(5),
                heartbeat_s: Seconds::minutes(1),
            };
            model.standbys.insert(standby.standby_id.clone(), standby);
        }
        model.datasets.insert(data.dataset_id.clone(), data);
    }
    corruption_scenario(&mut model, Seconds::days(1));
    model
}

/// A dataset with copies at these locations, and its key, if something holds it.
fn backed(key: usize, locations: &[usize], kept_in: Option<usize>) -> One {
    One {
        key: Some(key),
        kept_in,
        locations: locations.iter().copied().collect(),
        ..One::default()
    }
}

fn prove(model: &Model) -> BTreeMap<String, String> {
    let recovery = Recovery::new(model, &Zones::bundled());
    let keys = recovery.keys().into_iter();
    keys.map(|(kid, proof)| {
        let chain: Vec<String> = proof.chain().iter().map(ToString::to_string).collect();
        let what = match proof {
            KeyProof::Nothing => "nothing",
            KeyProof::Itself { .. } => "itself",
            KeyProof::LostData { .. } => "lost data",
            KeyProof::OtherKey { .. } => "another",
        };
        let told = format!("{what}: {}", chain.join(" "));
        (kid.to_string(), told.trim_end_matches(": ").to_owned())
    })
    .collect()
}

fn loss(model: &Model, id: &str, case: &str) -> Loss {
    Recovery::new(model, &Zones::bundled()).loss(&id.parse().unwrap(), &case.parse().unwrap())
}

fn is_key_lost(loss: &Loss) -> bool {
    matches!(
        loss,
        Loss::Unbounded {
            why: Unbounded::KeyLost,
            ..
        }
    )
}

#[test]
fn a_key_that_seals_what_holds_it_hangs_on_itself() {
    let told = prove(&build(&[backed(1, &[2], Some(1))]));
    assert_eq!(told["k1"], "itself: k1 d1 p1 k1");
    let told = prove(&build(&[backed(1, &[2], None)]));
    assert_eq!(told["k1"], "nothing");
    // Two that hold each other's; both tell the same way round.
    let two = [backed(2, &[3], Some(1)), backed(1, &[3], Some(2))];
    let told = prove(&build(&two));
    assert_eq!(told["k1"], "itself: k1 d1 p1 k2 d2 p2 k1");
    assert_eq!(told["k2"], told["k1"]);
    // A third that hangs on them, and one that nothing holds.
    let more = [&two[..], &[backed(3, &[4], Some(1)), backed(4, &[4], None)]].concat();
    let told = prove(&build(&more));
    assert_eq!(told["k3"], "another: k3 d1 p1 k2");
    assert_eq!(told["k4"], "nothing");
}

#[test]
fn of_two_ways_as_short_the_one_that_is_told_says_what_a_key_hangs_on() {
    // k1 is kept in d1. Two steps on is k2, which hangs on itself, and d2, which nothing brings back.
    let mut first = backed(2, &[1], Some(1));
    first.rebuilt_from = BTreeSet::from([3]);
    let lost = One {
        kept_in: Some(3),
        ..One::default()
    };
    let rebuilt = One {
        rebuilt_from: BTreeSet::from([1, 2]),
        ..One::default()
    };
    let told = prove(&build(&[first, lost, rebuilt, backed(1, &[1], None)]));
    assert_eq!(told["k2"], "itself: k2 d3 d1 p1 k2");
    assert_eq!(told["k1"], "another: k1 d1 p1 k2");
}

#[test]
fn one_plan_with_another_key_opens_the_circle() {
    let mut tree = build(&[backed(1, &[2], Some(1)), backed(2, &[3], None)]);
    let mut second = tree.plans["p1"].clone();
    second.plan_id = "p1b".parse().unwrap();
    second.encryption_key_ref = "k2".parse().unwrap();
    tree.plans.insert(second.plan_id.clone(), second);
    assert_eq!(prove(&tree)["k1"], "nothing");
    // Unless that plan has no copy anywhere.
    tree.plans.get_mut("p1b").unwrap().locations.clear();
    assert_eq!(prove(&tree)["k1"], "itself: k1 d1 p1 k1");
    // A standby does not open it: what corrupts the data corrupts it.
    let mut with_standby = backed(1, &[2], Some(1));
    with_standby.standby = Some(4);
    assert_eq!(prove(&build(&[with_standby]))["k1"], "itself: k1 d1 p1 k1");
}

#[test]
fn a_key_may_hang_on_what_a_dataset_is_rebuilt_from() {
    let rebuilt = |from: &[usize]| One {
        rebuilt_from: from.iter().copied().collect(),
        ..One::default()
    };
    // k1 is kept in d2, which is rebuilt from d1, which k1 seals.
    let mut first = backed(1, &[3], Some(2));
    let told = prove(&build(&[first.clone(), rebuilt(&[1])]));
    assert_eq!(told["k1"], "itself: k1 d2 d1 p1 k1");
    // All that it is rebuilt from is needed, not some of it.
    let third = backed(3, &[3], None);
    let told = prove(&build(&[first.clone(), rebuilt(&[1, 3]), third.clone()]));
    assert_eq!(told["k1"], "itself: k1 d2 d1 p1 k1");
    let told = prove(&build(&[first.clone(), rebuilt(&[3]), third]));
    assert_eq!(told["k1"], "nothing");
    // Nothing brings back what no plan holds, nor what does not exist.
    let told = prove(&build(&[first.clone(), One::default()]));
    assert_eq!(told["k1"], "lost data: k1 d2");
    first.kept_in = Some(4);
    assert_eq!(prove(&build(&[first]))["k1"], "lost data: k1 d4");
}

#[test]
fn a_loss_of_the_live_data_and_all_copies_of_what_holds_a_key_takes_the_key() {
    // d1 has a copy in place 3, sealed with k1, which d2 holds: live in place 2, with a copy in place 4.
    let tree = build(&[backed(1, &[3], Some(2)), backed(2, &[4], None)]);
    assert!(loss(&tree, "d1", "none").is_bounded());
    assert!(
        loss(&tree, "d1", "region:r1,region:r2").is_bounded(),
        "its copy is left"
    );
    assert!(
        loss(&tree, "d1", "region:r4").is_bounded(),
        "its live data is left"
    );
    assert!(is_key_lost(&loss(&tree, "d1", "region:r2,region:r4")));
    assert!(
        is_key_lost(&loss(&tree, "d1", "zone:z2,key:k2")),
        "its copy cannot be read"
    );
    let recovery = Recovery::new(&tree, &Zones::bundled());
    let id = "d1".parse().unwrap();
    let case: LossCase = "region:r2,region:r4".parse().unwrap();
    assert_eq!(recovery.survivors(&id, &case), BTreeSet::new());
    assert_eq!(recovery.recovery_time(&id, &case), None);
    let cuts = recovery.cut_sets(&id).sets;
    let told = |text: &str| {
        let set: BTreeSet<FaultDomain> = text.split('+').map(|one| one.parse().unwrap()).collect();
        cuts.contains(&set)
    };
    assert!(told("region:r2+region:r4") && told("zone:z2+key:k2") && told("region:r3"));
    assert!(!told("region:r2") && !told("region:r4"));
    // Every loss that can take the key is one of its cases.
    assert!(recovery.cases(&id).contains(&"region:r4".parse().unwrap()));
    // A standby of what holds it is as good as its live data.
    let mut holder = backed(2, &[4], None);
    holder.standby = Some(5);
    let tree = build(&[backed(1, &[3], Some(2)), holder]);
    assert!(loss(&tree, "d1", "region:r2,region:r4").is_bounded());
    assert!(is_key_lost(&loss(
        &tree,
        "d1",
        "region:r2,region:r4,region:r5"
    )));
}

#[test]
fn live_data_that_is_gone_takes_the_key_that_it_holds() {
    let tree = build(&[backed(1, &[2], Some(1))]);
    assert!(is_key_lost(&loss(&tree, "d1", "none")));
    assert!(is_key_lost(&loss(&tree, "d1", "corruption")));
    let cuts = Recovery::new(&tree, &Zones::bundled()).cut_sets(&"d1".parse().unwrap());
    assert_eq!(cuts.sets, [BTreeSet::new()], "nothing has to be lost");
    // With a standby the live data can go, and corruption reaches both.
    let mut doubled = backed(1, &[2], Some(1));
    doubled.standby = Some(3);
    let tree = build(&[doubled]);
    let recovery = Recovery::new(&tree, &Zones::bundled());
    assert!(
        !recovery
            .survivors(&"d1".parse().unwrap(), &LossCase::None)
            .is_empty()
    );
    assert!(is_key_lost(&loss(&tree, "d1", "corruption")));
    // What is rebuilt is gone together with what it is rebuilt from: d2 holds the key of d1, from which it is rebuilt.
    let rebuilt = One {
        rebuilt_from: BTreeSet::from([1]),
        ..One::default()
    };
    let tree = build(&[backed(1, &[3], Some(2)), rebuilt]);
    assert!(is_key_lost(&loss(&tree, "d2", "region:r1")));
    assert!(loss(&tree, "d1", "region:r1").is_bounded(), "d2 is left");
}

#[test]
fn to_hang_a_key_on_data_weakens_and_to_hang_it_elsewhere_is_neither() {
    let kept = |in_: Option<usize>| {
        build(&[
            backed(1, &[3], in_),
            backed(2, &[4], None),
            backed(2, &[4], None),
        ])
    };
    let changes = |old: &Model, new: &Model| {
        let found = compare(old, new, &Zones::bundled()).changes;
        let found = found
            .into_iter()
            .map(|change| (change.path.join("/"), change.from, change.to, change.effect));
        found.collect::<Vec<_>>()
    };
    let path = "settings/keys/k1/kept_in".to_owned();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(changes(&kept(Some(2)), &kept(Some(2))), []);
    assert_eq!(
        changes(&kept(None), &kept(Some(2))),
        [(path.clone(), None, text("d2"), Effect::Weaker)]
    );
    assert_eq!(
        changes(&kept(Some(2)), &kept(None)),
        [(path.clone(), text("d2"), None, Effect::Incomparable)]
    );
    assert_eq!(
        changes(&kept(Some(2)), &kept(Some(3))),
        [(path, text("d2"), text("d3"), Effect::Incomparable)]
    );
    // A dataset that has another name is the same one.
    let mut renamed = kept(Some(2));
    let mut moved = renamed.datasets.remove("d2").unwrap();
    moved.formerly = Some(moved.dataset_id.clone());
    moved.dataset_id = "d9".parse().unwrap();
    renamed.plans.get_mut("p2").unwrap().dataset_ids = BTreeSet::from([moved.dataset_id.clone()]);
    renamed.settings.keys.get_mut("k1").unwrap().kept_in = Some(moved.dataset_id.clone());
    renamed.datasets.insert(moved.dataset_id.clone(), moved);
    let found = changes(&kept(Some(2)), &renamed);
    assert!(
        found.iter().all(|(path, ..)| !path.contains("kept_in")),
        "{found:?}"
    );
}

#[test]
fn many_keys_in_a_row_are_no_trouble() {
    let number = 200;
    for (last, told) in [
        (None, "nothing"),
        (Some(1), "itself"),
        (Some(number + 1), "lost data"),
    ] {
        let row = (1..=number).map(|place| {
            let next = (place < number).then_some(place + 1).or(last);
            backed(place, &[5], next)
        });
        let mut all: Vec<One> = row.collect();
        for one in &mut all {
            one.locations = BTreeSet::from([5]);
        }
        let mut tree = build(&[]);
        let template = build(&[backed(1, &[5], None)]);
        for (place, one) in all.iter().enumerate() {
            let number = place + 1;
            let mut data = template.datasets["d1"].clone();
            data.dataset_id = format!("d{number}").parse().unwrap();
            let mut key = template.settings.keys["k1"].clone();
            key.kid = format!("k{number}").parse().unwrap();
            key.kept_in = one
                .kept_in
                .map(|number| format!("d{number}").parse().unwrap());
            let mut plan = template.plans["p1"].clone();
            plan.plan_id = format!("p{number}").parse().unwrap();
            plan.dataset_ids = BTreeSet::from([data.dataset_id.clone()]);
            plan.encryption_key_ref = key.kid.clone();
            tree.datasets.insert(data.dataset_id.clone(), data);
            tree.settings.keys.insert(key.kid.clone(), key);
            tree.plans.insert(plan.plan_id.clone(), plan);
        }
        let proofs = prove(&tree);
        assert!(proofs["k1"].starts_with(told), "{}", proofs["k1"]);
        let cuts = Recovery::new(&tree, &Zones::bundled()).cut_sets(&"d1".parse().unwrap());
        assert!(cuts.more, "too many to tell counts as lost");
    }
}

fn some() -> impl Strategy<Value = BTreeSet<usize>> {
    proptest::collection::btree_set(1..=5_usize, 1..4)
}

fn ones() -> impl Strategy<Value = Vec<One>> {
    let number = || 1..=NUMBER;
    let one = (
        proptest::option::weighted(0.8, number()),
        proptest::option::weighted(0.6, number()),
        some(),
        prop_oneof![3 => Just(BTreeSet::new()), 1 => proptest::collection::btree_set(number(), 1..3)],
        proptest::option::weighted(0.2, 1..=5_usize),
    );
    let one = one.prop_map(|(key, kept_in, locations, rebuilt_from, standby)| One {
        key,
        kept_in,
        locations,
        rebuilt_from,
        standby,
    });
    proptest::collection::vec(one, NUMBER)
}

pub fn domains(model: &Model) -> Vec<FaultDomain> {
    let sites = model.settings.sites.values();
    let mut all: BTreeSet<FaultDomain> = sites
        .clone()
        .flat_map(|site| site.fault_domains.iter())
        .collect();
    all.extend(sites.map(|site| format!("host:{}", site.host).parse().unwrap()));
    for kid in model.settings.keys.keys() {
        all.insert(format!("key:{kid}").parse().unwrap());
        all.insert(format!("host:hsm{}", &kid.as_str()[1..]).parse().unwrap());
    }
    all.insert("engine:restic".parse().unwrap());
    all.into_iter().collect()
}

/// Whether a key can be had, by its meaning: followed step by step, never through what is on the way already.
fn can_be_had(model: &Model, kid: &Kid, way: &mut Vec<DatasetId>) -> bool {
    let Some(keeper) = &model.settings.keys[kid].kept_in else {
        return true;
    };
    comes_back(model, keeper, way)
}

fn comes_back(model: &Model, id: &DatasetId, way: &mut Vec<DatasetId>) -> bool {
    if way.contains(id) {
        return false;
    }
    way.push(id.clone());
    let known = &model.datasets[id];
    let mut plans = model
        .plans
        .values()
        .filter(|plan| plan.dataset_ids.contains(id));
    let by_plan = plans.any(|plan| can_be_had(model, &plan.encryption_key_ref, way));
    let by_sources = known.eligibility == Eligibility::Reconstructed
        && known
            .derived_from
            .iter()
            .all(|source| comes_back(model, source, way));
    way.pop();
    by_plan || by_sources
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_can_be_had_is_what_a_search_finds(all in ones()) {
        let model = build(&all);
        let recovery = Recovery::new(&model, &Zones::bundled());
        for (kid, proof) in recovery.keys() {
            prop_assert_eq!(proof.is_recoverable(), can_be_had(&model, kid, &mut Vec::new()), "{}", kid);
            // Each step of the way is one, and it leads where it is said to.
            for pair in proof.chain().windows(2) {
                let is_step = match (&pair[0], &pair[1]) {
                    (Link::Key(kid), Link::Dataset(id)) => model.settings.keys[kid].kept_in.as_ref() == Some(id),
                    (Link::Dataset(id), Link::Plan(plan)) => model.plans[plan].dataset_ids.contains(id),
                    (Link::Dataset(id), Link::Dataset(source)) => model.datasets[id].derived_from.contains(source),
                    (Link::Plan(plan), Link::Key(kid)) => model.plans[plan].encryption_key_ref == *kid,
                    _ => false,
                };
                prop_assert!(is_step, "{:?}", pair);
            }
            let chain = proof.chain();
            match &proof {
                KeyProof::Nothing => prop_assert!(chain.is_empty()),
                KeyProof::Itself { .. } => {
                    prop_assert_eq!(chain.first(), chain.last());
                    prop_assert!(chain.contains(&Link::Key(kid.clone())));
                }
                KeyProof::LostData { .. } => {
                    prop_assert_eq!(chain.first(), Some(&Link::Key(kid.clone())));
                    prop_assert!(!matches!(chain.last(), Some(Link::Key(_))));
                }
                KeyProof::OtherKey { .. } => {
                    prop_assert_eq!(chain.first(), Some(&Link::Key(kid.clone())));
                    let Some(Link::Key(end)) = chain.last() else { panic!("{chain:?}") };
                    let proofs = recovery.keys();
                    let is_circle = matches!(proofs[end], KeyProof::Itself { .. });
                    prop_assert!(is_circle);
                }
            }
        }
    }

    #[test]
    fn to_hang_a_key_on_data_never_makes_a_loss_smaller(
        all in ones(),
        which in 0..NUMBER,
        keeper in 1..=NUMBER,
        lost in proptest::collection::btree_set(0..40_usize, 0..4),
    ) {
        let mut free = all.clone();
        free[which].kept_in = None;
        let mut hung = all;
        hung[which].kept_in = Some(keeper);
        let (free, hung) = (build(&free), build(&hung));
        let (before, after) = (Recovery::new(&free, &Zones::bundled()), Recovery::new(&hung, &Zones::bundled()));
        let domains = domains(&free);
        let lost = lost.into_iter().map(|at| domains[at % domains.len()].clone()).collect();
        for id in free.datasets.keys() {
            for case in [LossCase::None, LossCase::Corruption, LossCase::of(BTreeSet::clone(&lost))] {
                let (was, is) = (before.loss(id, &case), after.loss(id, &case));
                prop_assert!(was.seconds() <= is.seconds(), "{} {}: {} then {}", id, case, was, is);
                prop_assert!(after.survivors(id, &case).is_subset(&before.survivors(id, &case)));
                let time = |recovery: &Recovery<'_>| recovery.recovery_time(id, &case).unwrap_or(Seconds::MAX);
                prop_assert!(time(&before) <= time(&after));
            }
            prop_assert!(before.cases(id).is_subset(&after.cases(id)));
        }
    }

    /// Every told set leaves nothing, none of its parts does, and brute force over pairs finds no other.
    #[test]
    fn cut_sets_count_what_takes_a_key(all in ones()) {
        let model = build(&all);
        let recovery = Recovery::new(&model, &Zones::bundled());
        let domains = domains(&model);
        for id in model.datasets.keys().filter(|id| !recovery.plans_of(id).is_empty()) {
            let cuts = recovery.cut_sets(id);
            let lethal = |set: &BTreeSet<FaultDomain>| recovery.survivors(id, &LossCase::of(set.clone())).is_empty();
            for set in &cuts.sets {
                prop_assert!(lethal(set), "{} {:?}", id, set);
                for one in set {
                    let mut less = set.clone();
                    less.remove(one);
                    prop_assert!(!lethal(&less), "{} {:?} without {}", id, set, one);
                }
            }
            prop_assert_eq!(lethal(&BTreeSet::new()), cuts.sets == [BTreeSet::new()]);
            if cuts.more || lethal(&BTreeSet::new()) {
                continue;
            }
            for one in &domains {
                for other in &domains {
                    let pair = BTreeSet::from([one.clone(), other.clone()]);
                    let told = cuts.sets.iter().any(|set| set.is_subset(&pair));
                    prop_assert_eq!(lethal(&pair), told, "{} {:?}", id, pair);
                }
            }
        }
    }
}
