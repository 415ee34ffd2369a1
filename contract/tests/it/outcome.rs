//! What a change does to what is proven: nothing when nothing changed, the opposite when it is undone, and what an independent
//! look at losses and survivors says.

use std::collections::BTreeSet;

use contract::calendar::Zones;
use contract::diff::Effect;
use contract::diff::outcome::{Outcome, Property, outcomes, pairs, reach};
use contract::duration::Seconds;
use contract::model::{FaultDomain, Model};
use contract::recovery::{LossCase, Recovery};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::recovery::{domains, models};

fn told(old: &Model, new: &Model) -> Vec<Outcome> {
    let zones = Zones::bundled();
    let (before, after) = (Recovery::new(old, &zones), Recovery::new(new, &zones));
    let pairs = pairs(old, new).into_iter();
    pairs
        .flat_map(|pair| outcomes(&before, &after, pair))
        .collect()
}

fn opposite(effect: Effect) -> Effect {
    match effect {
        Effect::Stronger => Effect::Weaker,
        Effect::Weaker => Effect::Stronger,
        same @ (Effect::Equal | Effect::Incomparable) => same,
    }
}

/// A model and one that a single change made of it: two at random share nothing that could be called a change.
fn changed() -> impl Strategy<Value = (Model, Model)> {
    (models(), 0..7_usize, 1..30_u64).prop_map(|(old, what, number)| {
        let mut new = old.clone();
        let plan = new.plans.get_mut("bp").unwrap();
        match what {
            0 => plan.backup_frequency.every_s = Some(Seconds::hours(number)),
            1 => {
                let gone = plan.locations.first().unwrap().clone();
                plan.locations.remove(&gone);
            }
            2 => {
                plan.locations.insert("l5".parse().unwrap());
            }
            3 => plan.redundancy_profile.copy_within_s = Seconds::hours(number),
            4 => plan.retention.immutable_for_s = Seconds::hours(number * 10),
            5 => {
                let place = format!("zone:z{}", number % 4).parse().unwrap();
                new.settings.keys.get_mut("k1").unwrap().custody = place;
            }
            _ => {
                let (id, mut dataset) = new.datasets.pop_first().unwrap();
                dataset.formerly = Some(id);
                dataset.dataset_id = "ds_b".parse().unwrap();
                dataset.sizing.size_bytes = number << 33;
                plan.dataset_ids = [dataset.dataset_id.clone()].into();
                new.datasets.insert(dataset.dataset_id.clone(), dataset);
            }
        }
        (old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changes_where_nothing_was_changed(model in models()) {
        prop_assert_eq!(told(&model, &model), []);
    }

    #[test]
    fn undoing_a_change_undoes_what_it_did((old, new) in changed()) {
        let there: BTreeSet<_> = told(&old, &new).into_iter()
            .map(|one| (one.property, one.from, one.to, one.effect)).collect();
        let mut back = new.clone();
        // What was renamed there is renamed back here.
        let mut undone = old.clone();
        if let Some(dataset) = undone.datasets.values_mut().next() && !back.datasets.contains_key(&dataset.dataset_id) {
            dataset.formerly = back.datasets.first_key_value().map(|(id, _)| id.clone());
            back.datasets.values_mut().for_each(|dataset| dataset.formerly = None);
        }
        let again: BTreeSet<_> = told(&back, &undone).into_iter()
            .map(|one| (one.property, one.to, one.from, opposite(one.effect))).collect();
        prop_assert_eq!(there, again);
    }

    /// Weaker exactly where more is lost, in every loss that was asked for, and where something new leaves nothing.
    #[test]
    fn losses_and_last_copies_say_what_the_proofs_say((old, new) in changed(), lost in domains()) {
        let zones = Zones::bundled();
        let (before, after) = (Recovery::new(&old, &zones), Recovery::new(&new, &zones));
        let told = told(&old, &new);
        let (was, is) = (old.datasets.first_key_value().unwrap().0, new.datasets.first_key_value().unwrap().0);
        for case in before.cases(was).union(&after.cases(is)) {
            let (was, is) = (before.loss(was, case).seconds(), after.loss(is, case).seconds());
            let found = told.iter().find(|one| one.property == Property::Loss(case.clone())).map(|one| one.effect);
            let wanted = match was.cmp(&is) {
                std::cmp::Ordering::Less => Some(Effect::Weaker),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => Some(Effect::Stronger),
            };
            prop_assert_eq!(found, wanted, "{}", case);
        }
        let effect = told.iter().find(|one| one.property == Property::LastCopies).map(|one| one.effect);
        let small: BTreeSet<FaultDomain> = lost.into_iter().take(2).collect();
        let case = LossCase::of(small);
        let (left, leaves) = (before.survivors(was, &case), after.survivors(is, &case));
        if !left.is_empty() && leaves.is_empty() {
            prop_assert!(matches!(effect, Some(Effect::Weaker | Effect::Incomparable)), "{} {:?}", case, effect);
        }
        if left.is_empty() && !leaves.is_empty() {
            prop_assert!(matches!(effect, Some(Effect::Stronger | Effect::Incomparable)), "{} {:?}", case, effect);
        }
    }
}

/// A dataset that comes or goes is one change, whatever is proven of it.
#[test]
fn a_dataset_more_is_stronger_and_one_less_weaker() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let old = models().new_tree(&mut runner).unwrap().current();
    let mut new = old.clone();
    let mut other = old.datasets.first_key_value().unwrap().1.clone();
    other.dataset_id = "ds_other".parse().unwrap();
    new.datasets.insert(other.dataset_id.clone(), other);
    let come = told(&old, &new);
    assert_eq!(come.len(), 1, "{come:?}");
    assert_eq!(
        (
            &come[0].property,
            come[0].effect,
            come[0].from.as_deref(),
            come[0].to.as_deref()
        ),
        (
            &Property::Declared,
            Effect::Stronger,
            None,
            Some("unprotected")
        )
    );
    let gone = told(&new, &old);
    assert_eq!((gone.len(), gone[0].effect), (1, Effect::Weaker));
}

/// Whatever changes a proof of a dataset lies within its reach.
#[test]
fn the_reach_of_a_dataset_names_all_that_it_rests_on() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let model = models().new_tree(&mut runner).unwrap().current();
    let zones = Zones::bundled();
    let recovery = Recovery::new(&model, &zones);
    let reached = reach(&recovery, model.datasets.first_key_value().unwrap().0);
    let reached: Vec<String> = reached.iter().map(|path| path.join("/")).collect();
    for wanted in [
        "datasets/ds",
        "plans/bp",
        "settings/keys/k1",
        "settings/locations/l1",
        "settings/sites/",
    ] {
        assert!(
            reached.iter().any(|path| path.starts_with(wanted)),
            "{wanted} in {reached:?}"
        );
    }
}
