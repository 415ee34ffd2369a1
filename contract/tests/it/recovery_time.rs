//! How long reading a dataset back takes, from sizing and storage. BDR-F1.2.

use std::collections::BTreeSet;

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::model::{Model, StorageProfile};
use contract::recovery::Recovery;

use super::recovery::{model, schedule_every};

/// Two locations, near and quick, far and slow with an hour of thaw; 1,001 bytes of data.
fn two_places() -> Model {
    let mut model = model(super::recovery::plan(
        schedule_every(Seconds::hours(1)),
        2,
        1,
    ));
    for (id, rate, thaw) in [("l1", 100, Seconds::ZERO), ("l2", 10, Seconds::hours(1))] {
        let profile = StorageProfile {
            storage_id: id.parse().unwrap(),
            locations: BTreeSet::from([id.parse().unwrap()]),
            restore_throughput_bytes_per_second: rate,
            thaw_time_s: thaw,
        };
        model.settings.storage.insert(id.parse().unwrap(), profile);
        let location = model.settings.locations.get_mut(id).unwrap();
        location.bandwidth_bytes_per_second = 1_000;
    }
    let plan = model.plans.get_mut("bp").unwrap();
    plan.storage_profiles = BTreeSet::from(["l1".parse().unwrap(), "l2".parse().unwrap()]);
    model.datasets.get_mut("ds").unwrap().sizing.size_bytes = 1_001;
    model
}

fn check(model: &Model, case: &str, seconds: Option<u64>) {
    let recovery = Recovery::new(model, &Zones::bundled());
    let time = recovery.recovery_time(&"ds".parse().unwrap(), &case.parse().unwrap());
    assert_eq!(time.map(Seconds::get), seconds, "{case}");
}

#[test]
fn the_best_copy_that_is_left_is_read() {
    let model = two_places();
    check(&model, "none", Some(11));
    check(&model, "region:r1", Some(3_600 + 101));
    check(&model, "region:r1,region:r2", None);
    check(&model, "host:hsm", None);
}

#[test]
fn a_location_gives_no_more_than_its_bandwidth() {
    let mut model = two_places();
    let near = model.settings.locations.get_mut("l1").unwrap();
    near.bandwidth_bytes_per_second = 7;
    check(&model, "none", Some(143));
}

#[test]
fn a_throughput_of_zero_gives_nothing() {
    let mut model = two_places();
    for profile in model.settings.storage.values_mut() {
        profile.restore_throughput_bytes_per_second = 0;
    }
    check(&model, "none", None);
}
