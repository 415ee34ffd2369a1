//! Worst-case loss, survivors, cut sets and redundancy, against the worked examples of the design and against brute force.
//! BDR-F1.2, BDR-F2.1, RET-2, BDR-7.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::model::{
    BackupPlan, CatchUp, Connector, Consistency, Continuous, Dataset, Distinct, Eligibility,
    Environment, FaultDomain, FaultDomains, FreezeWindow, Keep, Key, Location, LoseCase, Model,
    Objective, Plane, Redundancy, Replication, Retention, Scenario, Schedule, Settings, Site,
    Sizing, Snapshot, Standby, StorageClass, Strategy as Way, Survival, Tier, Trigger,
    Verification, VerificationCadence,
};
use contract::recovery::{Condition, Coverage, Loss, LossCase, Recovery, Unbounded};
use proptest::prelude::*;

pub fn schedule_every(period: Seconds) -> Schedule {
    Schedule {
        schedule_id: "s".parse().unwrap(),
        cron: None,
        timezone: None,
        every_s: Some(period),
        continuous: None,
        jitter_s: Seconds::ZERO,
        start_window_s: Seconds::ZERO,
        completion_window_s: Seconds::ZERO,
        tolerated_misses: 0,
        catch_up: CatchUp::Latest,
    }
}

pub fn schedule_cron(expression: &str, zone: &str, completion: Seconds, misses: u32) -> Schedule {
    Schedule {
        cron: Some(expression.to_owned()),
        timezone: Some(zone.to_owned()),
        every_s: None,
        completion_window_s: completion,
        tolerated_misses: misses,
        ..schedule_every(Seconds::ZERO)
    }
}

/// A place of its own: provider `p1`, region `r1`, zone `z1`, account `a1`, credential `c1`.
fn place(number: usize) -> FaultDomains {
    FaultDomains {
        provider: format!("p{number}"),
        region: format!("r{number}"),
        zone: format!("z{number}"),
        account: format!("a{number}"),
        credential: format!("c{number}"),
    }
}

fn site(id: &str, domains: FaultDomains) -> Site {
    Site {
        site_id: id.parse().unwrap(),
        fault_domains: domains,
        host: "h0".to_owned(),
        residency: "eu".to_owned(),
        reconciler_id: "rec".parse().unwrap(),
    }
}

fn location(number: usize) -> Location {
    Location {
        location_id: format!("l{number}").parse().unwrap(),
        site: "live".parse().unwrap(),
        fault_domains: place(number),
        residency: "eu".to_owned(),
        class: StorageClass::Hot,
        immutable: false,
        capacity_bytes: 1,
        bandwidth_bytes_per_second: 1,
    }
}

fn objective(rpo: Seconds) -> Objective {
    Objective {
        objective_id: "o".parse().unwrap(),
        rpo_s: rpo,
        rto_s: Seconds::days(1),
    }
}

pub fn plan(schedule: Schedule, locations: usize, commit: u32) -> BackupPlan {
    BackupPlan {
        plan_id: "bp".parse().unwrap(),
        name: "plan".to_owned(),
        dataset_ids: BTreeSet::from(["ds".parse().unwrap()]),
        plane: Plane::ProductCloud,
        backup_frequency: schedule,
        full_frequency: None,
        target_rpo_s: None,
        target_rto_s: None,
        retention: Retention {
            retention_id: "r".parse().unwrap(),
            min_versions: 3,
            min_duration_s: Seconds::ZERO,
            keep: Keep {
                last: 10,
                hourly: 0,
                daily: 10,
                weekly: 0,
                monthly: 0,
                yearly: 0,
            },
            max_duration_s: None,
            immutable_for_s: Seconds::ZERO,
        },
        storage_profiles: BTreeSet::new(),
        locations: (1..=locations)
            .map(|number| format!("l{number}").parse().unwrap())
            .collect(),
        redundancy_profile: Redundancy {
            redundancy_id: "rp".parse().unwrap(),
            copies: 1,
            distinct: Distinct {
                provider: 1,
                region: 1,
                zone: 1,
                account: 1,
                credential: 1,
                engine: 1,
            },
            immutable_copies: 0,
            commit,
            copy_within_s: Seconds::hours(4),
        },
        encryption_key_ref: "k1".parse().unwrap(),
        verification: Verification {
            checksum_required: true,
            periodic_restore_test_required: false,
        },
        compression: 3,
        parallel_jobs: 1,
        retries: None,
        bandwidth_bytes_per_second: None,
    }
}

pub fn dataset(id: &str) -> Dataset {
    Dataset {
        dataset_id: id.parse().unwrap(),
        name: id.to_owned(),
        plane: Plane::ProductCloud,
        site: "live".parse().unwrap(),
        tenant: None,
        layer: None,
        store_type: "files".to_owned(),
        criticality: "tier1".parse().unwrap(),
        data_classification: "internal".to_owned(),
        residency: BTreeSet::from(["eu".to_owned()]),
        rpo_s: Seconds::hours(60),
        rto_s: Seconds::days(1),
        eligibility: Eligibility::BackedUp,
        derived_from: BTreeSet::new(),
        justification: None,
        sizing: Sizing {
            size_bytes: 1,
            change_per_day_bytes: 1,
        },
        connector: "files".parse().unwrap(),
        formerly: None,
    }
}

/// One dataset `ds` at place 0, one plan `bp`, five locations `l1` to `l5`, each a place of its own.
pub fn model(plan: BackupPlan) -> Model {
    let survival = |lose| Survival {
        lose,
        objective: objective(Seconds::hours(52)),
    };
    let tier = Tier {
        tier_id: "tier1".parse().unwrap(),
        rank: 1,
        survives: vec![survival(LoseCase::None), survival(LoseCase::Region)],
        restore_test_every_s: None,
        drill_every_s: None,
        staleness_limit_s: Seconds::days(30),
        verification: VerificationCadence {
            every_s: Seconds::days(1),
            portion_percent: 5,
        },
    };
    let key = Key {
        kid: "k1".parse().unwrap(),
        custody: "host:hsm".parse().unwrap(),
        kept_in: None,
        not_after: "2040-01-01T00:00:00Z".parse().unwrap(),
        rotation_period_s: Seconds::days(365),
    };
    let connector = Connector {
        connector_id: "files".parse().unwrap(),
        capabilities: BTreeSet::new(),
        consistency: Consistency::File,
        source_lag_s: Seconds::ZERO,
        engine: "restic".to_owned(),
    };
    Model {
        format: 1,
        environment: Environment {
            environment_id: "test".parse().unwrap(),
            production: false,
            planes: BTreeSet::from([Plane::ProductCloud]),
            bundle_validity_s: Seconds::days(7),
            waiver_limit_s: None,
            freeze_windows: Vec::new(),
            maintenance_windows: Vec::new(),
            delete_budget: None,
            delete_grace_s: None,
        },
        snapshot: Snapshot {
            snapshot_id: "s".to_owned(),
            module_id: "m".to_owned(),
            schema_version: "1".to_owned(),
            policy_version_ids: vec!["v1".to_owned()],
            effective_from: "2026-07-01T00:00:00Z".parse().unwrap(),
        },
        settings: Settings {
            sites: BTreeMap::from([("live".parse().unwrap(), site("live", place(0)))]),
            locations: (1..=5)
                .map(|number| (format!("l{number}").parse().unwrap(), location(number)))
                .collect(),
            keys: BTreeMap::from([("k1".parse().unwrap(), key)]),
            connectors: BTreeMap::from([("files".parse().unwrap(), connector)]),
            tiers: BTreeMap::from([("tier1".parse().unwrap(), tier)]),
            ..Settings::default()
        },
        datasets: BTreeMap::from([("ds".parse().unwrap(), dataset("ds"))]),
        plans: BTreeMap::from([(plan.plan_id.clone(), plan)]),
        scenarios: BTreeMap::new(),
        groups: BTreeMap::new(),
        standbys: BTreeMap::new(),
        waivers: BTreeMap::new(),
    }
}

pub fn corruption_scenario(model: &mut Model, detected: Seconds) {
    let scenario = Scenario {
        scenario_id: "rot".parse().unwrap(),
        name: "rot".to_owned(),
        trigger: Trigger::Corruption,
        losses: BTreeSet::new(),
        detected_within_s: detected,
        strategy: Way::BackupAndRestore,
        objective: objective(Seconds::days(9)),
        datasets: model.datasets.keys().cloned().collect(),
        prerequisites: Vec::new(),
        personnel: BTreeSet::new(),
        runbook: Vec::new(),
        failback: String::new(),
        drill_target: String::new(),
    };
    model
        .scenarios
        .insert(scenario.scenario_id.clone(), scenario);
}

fn loss(model: &Model, case: &str) -> Loss {
    Recovery::new(model, &Zones::bundled()).loss(&"ds".parse().unwrap(), &case.parse().unwrap())
}

fn hours(model: &Model, case: &str) -> u64 {
    let loss = loss(model, case);
    assert!(loss.is_bounded(), "{loss}");
    assert_eq!(loss.seconds().get() % 3_600, 0, "{loss}");
    loss.seconds().get() / 3_600
}

fn why(model: &Model, case: &str) -> Unbounded {
    match loss(model, case) {
        Loss::Bounded(bound) => panic!("bounded: {bound:?}"),
        Loss::Replicated { standby, .. } => panic!("on standby {standby}"),
        Loss::Unbounded { why, .. } => why,
    }
}

/// The design's worked example: Berlin nights, one tolerated miss, three locations of which two commit.
#[test]
fn the_worked_example_of_the_design() {
    let nightly = |zone| {
        model(plan(
            schedule_cron("30 2 * * *", zone, Seconds::hours(2), 1),
            3,
            2,
        ))
    };
    // A zone without clock changes has only ordinary days.
    let ordinary = nightly("Africa/Lagos");
    assert_eq!(
        (
            hours(&ordinary, "region:r1"),
            hours(&ordinary, "region:r1,region:r2")
        ),
        (50, 54)
    );
    let berlin = nightly("Europe/Berlin");
    assert_eq!(
        (
            hours(&berlin, "none"),
            hours(&berlin, "region:r3"),
            hours(&berlin, "region:r1,region:r2")
        ),
        (51, 51, 55)
    );
    let Loss::Bounded(bound) = loss(&berlin, "region:r1,region:r2") else {
        panic!("unbounded")
    };
    let witness = bound.witness.unwrap();
    assert_eq!(
        witness.to_string(),
        "point 2026-10-24T02:30:00+02:00, next usable 2026-10-26T08:30:00+01:00, failure just before it"
    );
    assert_eq!(witness.next_slot, "2026-10-26T02:30:00+01:00");
    assert_eq!(
        why(&berlin, "region:r1,region:r2,region:r3"),
        Unbounded::NoSurvivor
    );
}

#[test]
fn a_wildcard_loses_an_hour_more_when_the_clock_springs_forward() {
    let model = model(plan(
        schedule_cron("0 */2 * * *", "Europe/Berlin", Seconds::minutes(20), 0),
        1,
        1,
    ));
    let Loss::Bounded(bound) = loss(&model, "none") else {
        panic!("unbounded")
    };
    assert_eq!(bound.total(), Seconds::minutes(200));
    assert_eq!(bound.witness.unwrap().point, "2027-03-28T00:00:00+01:00");
}

#[test]
fn source_lag_counts_and_copies_that_lag_count_only_when_needed() {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 3, 1));
    assert_eq!(hours(&model, "none"), 6);
    // Any lost location may have been the only one that committed.
    assert_eq!(hours(&model, "zone:z2"), 10);
    model
        .settings
        .connectors
        .get_mut("files")
        .unwrap()
        .source_lag_s = Seconds::hours(1);
    assert_eq!(hours(&model, "zone:z2"), 11);
    assert_eq!(hours(&model, "provider:elsewhere"), 7);
}

#[test]
fn the_key_falls_with_what_holds_it() {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 3, 2));
    assert_eq!(why(&model, "key:k1"), Unbounded::KeyLost);
    assert_eq!(why(&model, "host:hsm"), Unbounded::KeyLost);
    // Custody in a zone: its region and its provider take the key along.
    model.settings.keys.get_mut("k1").unwrap().custody = "zone:z4".parse().unwrap();
    for lost in ["zone:z4", "region:r4", "provider:p4"] {
        assert_eq!(why(&model, lost), Unbounded::KeyLost, "{lost}");
    }
    assert_eq!(hours(&model, "account:a4"), 6);
}

#[test]
fn the_writing_engine_and_the_deleting_host_take_every_copy() {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 3, 2));
    assert_eq!(why(&model, "engine:restic"), Unbounded::NoSurvivor);
    assert_eq!(why(&model, "host:h0"), Unbounded::NoSurvivor);
    // A lock that outlasts the newest usable point protects from whoever may delete, not from the loss of the place.
    model.settings.locations.get_mut("l2").unwrap().immutable = true;
    assert_eq!(why(&model, "host:h0"), Unbounded::NoSurvivor);
    model.plans.get_mut("bp").unwrap().retention.immutable_for_s = Seconds::hours(10);
    assert_eq!(hours(&model, "host:h0"), 10);
    // What is survived thanks to a lock is still a case that a tier can name.
    for location in model.settings.locations.values_mut() {
        location.immutable = true;
    }
    let zones = Zones::bundled();
    let hosts = Recovery::new(&model, &zones).cases_of(&"ds".parse().unwrap(), LoseCase::Host);
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["host:h0", "host:hsm"]);
    assert_eq!(hours(&model, "host:h0"), 6);
    for (id, location) in &mut model.settings.locations {
        location.immutable = id.as_str() == "l2";
    }
    assert_eq!(hours(&model, "host:h0,credential:c2"), 10);
    assert_eq!(why(&model, "host:h0,zone:z2"), Unbounded::NoSurvivor);
}

#[test]
fn the_least_over_all_plans_counts() {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 2, 1));
    let mut second = plan(schedule_every(Seconds::hours(24)), 0, 1);
    second.plan_id = "bp_far".parse().unwrap();
    second.locations = BTreeSet::from(["l5".parse().unwrap()]);
    model.plans.insert(second.plan_id.clone(), second);
    assert_eq!(hours(&model, "none"), 6);
    let far = loss(&model, "region:r1,region:r2");
    assert_eq!(
        (far.seconds(), far.plan().unwrap().as_str()),
        (Seconds::hours(24), "bp_far")
    );
}

#[test]
fn without_plan_schedule_or_enough_locations_there_is_no_bound() {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 1, 2));
    assert_eq!(why(&model, "none"), Unbounded::CommitAboveLocations);
    model.plans.get_mut("bp").unwrap().backup_frequency =
        schedule_cron("61 * * * *", "UTC", Seconds::ZERO, 0);
    assert_eq!(why(&model, "none"), Unbounded::NoCalendar);
    model.plans.get_mut("bp").unwrap().backup_frequency =
        schedule_cron("0 0 29 2 *", "UTC", Seconds::ZERO, 3);
    model.plans.get_mut("bp").unwrap().redundancy_profile.commit = 1;
    assert_eq!(why(&model, "none"), Unbounded::TooFewSlots);
    assert_eq!(why(&model, "corruption"), Unbounded::DetectionUnknown);
    model.plans.clear();
    assert_eq!(why(&model, "none"), Unbounded::NoPlan);
    model.datasets.get_mut("ds").unwrap().eligibility = Eligibility::Excluded;
    assert_eq!(why(&model, "none"), Unbounded::Excluded);
    let json = serde_json::to_value(loss(&model, "none")).unwrap();
    assert_eq!(
        (json["seconds"].as_u64(), json["bounded"].as_bool()),
        (Some(9_007_199_254_740_991), Some(false))
    );
}

#[test]
fn what_is_reconstructed_is_as_old_as_its_oldest_source() {
    let mut model = model(plan(schedule_every(Seconds::hours(6)), 3, 2));
    let mut slow = plan(schedule_every(Seconds::hours(24)), 3, 2);
    slow.plan_id = "bp_slow".parse().unwrap();
    slow.dataset_ids = BTreeSet::from(["ds_slow".parse().unwrap()]);
    model.plans.insert(slow.plan_id.clone(), slow);
    model
        .datasets
        .insert("ds_slow".parse().unwrap(), dataset("ds_slow"));
    let mut derived = dataset("ds_derived");
    derived.eligibility = Eligibility::Reconstructed;
    derived.derived_from = BTreeSet::from(["ds".parse().unwrap(), "ds_slow".parse().unwrap()]);
    model
        .datasets
        .insert("ds_derived".parse().unwrap(), derived.clone());
    let zones = Zones::bundled();
    let of_derived = |model: &Model| {
        Recovery::new(model, &zones).loss(&"ds_derived".parse().unwrap(), &LossCase::None)
    };
    assert_eq!(of_derived(&model).seconds(), Seconds::hours(24));
    assert_eq!(
        Recovery::new(&model, &zones).coverage(&"ds_derived".parse().unwrap()),
        Coverage::Protected
    );
    // A circle leads nowhere.
    derived.derived_from.insert("ds_derived".parse().unwrap());
    model
        .datasets
        .insert("ds_derived".parse().unwrap(), derived);
    assert!(!of_derived(&model).is_bounded());
}

/// A standby of `ds` at place 7, a minute behind.
pub fn standby() -> Standby {
    Standby {
        standby_id: "sb".parse().unwrap(),
        dataset: "ds".parse().unwrap(),
        primary: "live".parse().unwrap(),
        standby: "second".parse().unwrap(),
        replication: Replication::Asynchronous,
        lag_limit_s: Seconds::minutes(1),
        heartbeat_s: Seconds::new(10),
    }
}

/// The lag limit counts while the standby's site is left, and never against corruption.
#[test]
fn a_standby_counts_while_its_site_is_left() {
    let mut model = model(plan(
        schedule_cron("30 2 * * *", "UTC", Seconds::hours(2), 1),
        3,
        2,
    ));
    corruption_scenario(&mut model, Seconds::hours(6));
    let without = |case: &str| loss(&model, case);
    let (none, corruption) = (without("none"), without("corruption"));
    let mut site = site("second", place(7));
    site.host = "h7".to_owned();
    let mut with = model.clone();
    with.settings.sites.insert("second".parse().unwrap(), site);
    with.standbys.insert("sb".parse().unwrap(), standby());
    for case in ["none", "region:r0", "account:a1,region:r0"] {
        let loss = loss(&with, case);
        assert_eq!(loss.seconds(), Seconds::minutes(1), "{case}");
        assert_eq!(loss.plan(), None);
        assert_eq!(loss.to_string(), "1 min on standby `sb`");
    }
    // Everything that takes the site takes the standby: its chain, its account, and the machine that can delete there.
    for case in [
        "zone:z7",
        "region:r7",
        "provider:p7",
        "account:a7",
        "credential:c7",
        "host:h7",
    ] {
        assert_eq!(loss(&with, case), none, "{case}");
    }
    assert_eq!(loss(&with, "corruption"), corruption);
    // Its site is near: losing any one region means losing that one too.
    let cases =
        Recovery::new(&with, &Zones::bundled()).cases_of(&"ds".parse().unwrap(), LoseCase::Region);
    assert!(cases.contains(&"region:r7".parse().unwrap()), "{cases:?}");
    // A site that nobody declared is no standby, and one that lies further behind than the plan does not help.
    with.settings.sites.remove("second");
    assert_eq!(loss(&with, "none"), none);
    // Without any plan a standby is what is left.
    model.plans.clear();
    assert_eq!(why(&model, "none"), Unbounded::NoPlan);
}

/// A freeze window with a slot in it removes that slot; one between slots, or of another plane, removes none.
#[test]
fn a_freeze_window_must_not_contain_a_slot() {
    let mut model = model(plan(
        schedule_cron("30 2 * * *", "Europe/Berlin", Seconds::hours(2), 1),
        3,
        2,
    ));
    let mut found = |from: &str, to: &str, plane: Plane| {
        model.environment.freeze_windows = vec![FreezeWindow {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            planes: BTreeSet::from([plane]),
            reason: "r".to_owned(),
        }];
        Recovery::new(&model, &Zones::bundled()).conditions(&"bp".parse().unwrap())
    };
    let slot = Condition::SlotFrozen {
        window: 0,
        slot: "2026-12-24T02:30:00+01:00".to_owned(),
    };
    let cloud = Plane::ProductCloud;
    assert_eq!(
        found("2026-12-24T00:00:00Z", "2026-12-24T01:30:01Z", cloud),
        std::slice::from_ref(&slot)
    );
    assert_eq!(
        found("2026-12-24T00:00:00Z", "2026-12-24T01:30:00Z", cloud),
        []
    );
    assert_eq!(
        found("2026-12-24T01:30:00Z", "2026-12-24T01:30:01Z", cloud),
        [slot]
    );
    assert_eq!(
        found("2026-12-24T01:30:01Z", "2026-12-25T01:30:00Z", cloud),
        []
    );
    assert_eq!(
        found("2026-12-24T00:00:00Z", "2027-12-24T00:00:00Z", Plane::Edge),
        []
    );
}

#[test]
fn corruption_reaches_back_to_what_retention_still_keeps() {
    let mut model = model(plan(schedule_every(Seconds::hours(1)), 3, 2));
    model
        .plans
        .get_mut("bp")
        .unwrap()
        .backup_frequency
        .completion_window_s = Seconds::hours(1);
    let keep = Keep {
        last: 12,
        hourly: 0,
        daily: 30,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };
    model.plans.get_mut("bp").unwrap().retention.keep = keep;
    // Noticed at once it costs what losing the live data costs.
    corruption_scenario(&mut model, Seconds::ZERO);
    assert_eq!((hours(&model, "corruption"), hours(&model, "none")), (2, 2));
    corruption_scenario(&mut model, Seconds::hours(6));
    assert_eq!(hours(&model, "corruption"), 6 + 2);
    // After two days only the last point of each day is left: 23:00 of the day before, bad just before 23:00 and an hour.
    corruption_scenario(&mut model, Seconds::hours(48));
    assert_eq!(hours(&model, "corruption"), 48 + 25);
    let Loss::Bounded(bound) = loss(&model, "corruption") else {
        panic!("unbounded")
    };
    let witness = bound.witness.unwrap();
    assert_eq!(
        witness.to_string(),
        "newest good point kept 2026-07-01T23:00:00Z, corrupted just before 2026-07-03T00:00:00Z, noticed 2026-07-05T00:00:00Z"
    );
    // After more days than are kept, nothing good is left.
    corruption_scenario(&mut model, Seconds::days(31));
    assert_eq!(why(&model, "corruption"), Unbounded::NothingKept);
    model.plans.get_mut("bp").unwrap().retention.min_duration_s = Seconds::days(40);
    assert_eq!(hours(&model, "corruption"), 31 * 24 + 2);
}

#[test]
fn continuous_loses_its_lag() {
    let mut schedule = schedule_every(Seconds::ZERO);
    schedule.every_s = None;
    schedule.continuous = Some(Continuous {
        max_lag_s: Seconds::hours(1),
    });
    schedule.completion_window_s = Seconds::hours(9);
    let mut model = model(plan(schedule, 3, 2));
    assert_eq!(
        (hours(&model, "none"), hours(&model, "zone:z1,zone:z2")),
        (1, 5)
    );
    corruption_scenario(&mut model, Seconds::hours(10));
    assert_eq!(why(&model, "corruption"), Unbounded::NothingKept);
    model.plans.get_mut("bp").unwrap().retention.min_duration_s = Seconds::hours(11);
    assert_eq!(hours(&model, "corruption"), 11);
}

#[test]
fn coverage_asks_every_loss_of_the_tier_and_real_fault_domains() {
    let zones = Zones::bundled();
    let id = "ds".parse().unwrap();
    let mut model = model(plan(
        schedule_cron("30 2 * * *", "Europe/Berlin", Seconds::hours(2), 1),
        3,
        2,
    ));
    assert_eq!(
        Recovery::new(&model, &zones).coverage(&id),
        Coverage::Protected
    );
    let cases = Recovery::new(&model, &zones).cases_of(&id, LoseCase::Region);
    let cases: Vec<String> = cases.iter().map(ToString::to_string).collect();
    assert_eq!(cases, ["region:r0", "region:r1", "region:r2", "region:r3"]);
    // The second location moves into the region of the first: two fall at once.
    model
        .settings
        .locations
        .get_mut("l2")
        .unwrap()
        .fault_domains
        .region = "r1".to_owned();
    assert_eq!(
        Recovery::new(&model, &zones).coverage(&id),
        Coverage::PlannedButUnmet
    );
    model
        .settings
        .locations
        .get_mut("l2")
        .unwrap()
        .fault_domains
        .region = "r2".to_owned();
    model
        .plans
        .get_mut("bp")
        .unwrap()
        .redundancy_profile
        .distinct
        .provider = 4;
    let recovery = Recovery::new(&model, &zones);
    assert_eq!(recovery.coverage(&id), Coverage::PlannedButUnmet);
    let redundancy = recovery.redundancy(&id).unwrap();
    let short: Vec<(&str, u32, u32)> = redundancy
        .shortfalls
        .iter()
        .map(|s| (s.what, s.required, s.actual))
        .collect();
    assert_eq!(short, [("provider", 4, 3)]);
    model.plans.clear();
    assert_eq!(
        Recovery::new(&model, &zones).coverage(&id),
        Coverage::Unprotected
    );
}

#[test]
fn conditions_name_what_proofs_rest_on() {
    let zones = Zones::bundled();
    let broken = |model: &Model| Recovery::new(model, &zones).conditions(&"bp".parse().unwrap());
    let mut model = model(plan(
        schedule_cron("0 2,3 * * *", "Europe/Berlin", Seconds::minutes(60), 1),
        3,
        2,
    ));
    assert_eq!(broken(&model), []);
    let plan = model.plans.get_mut("bp").unwrap();
    plan.backup_frequency.completion_window_s = Seconds::minutes(61);
    plan.retention.keep = Keep {
        last: 0,
        hourly: 0,
        daily: 9,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };
    plan.retention.min_versions = 1;
    plan.retention.max_duration_s = Some(Seconds::hours(24));
    let found = broken(&model);
    assert_eq!(
        found[0],
        Condition::WindowAboveGap {
            window_seconds: Seconds::minutes(61),
            gap_seconds: Seconds::hours(1),
            pair: [
                "2026-07-01T02:00:00+02:00".to_owned(),
                "2026-07-01T03:00:00+02:00".to_owned()
            ],
        }
    );
    assert_eq!(
        found[1],
        Condition::RetentionTooShallow {
            needed: 2,
            after: "2026-07-01T03:00:00+02:00".to_owned()
        }
    );
    assert!(
        matches!(found[2], Condition::MaxDurationWithinLoss { .. }),
        "{found:?}"
    );
    assert_eq!(found.len(), 3);
}

#[test]
fn the_facts_of_a_dataset_have_a_stable_form() {
    let mut model = model(plan(
        schedule_cron("30 2 * * *", "Europe/Berlin", Seconds::hours(2), 1),
        2,
        1,
    ));
    corruption_scenario(&mut model, Seconds::days(1));
    let facts = Recovery::new(&model, &Zones::bundled())
        .facts(&"ds".parse().unwrap())
        .unwrap();
    insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("recovery_facts", facts);
    });
}

pub fn domains() -> impl Strategy<Value = BTreeSet<FaultDomain>> {
    let all: Vec<FaultDomain> = (0..=5)
        .flat_map(|number| place(number).iter().collect::<Vec<_>>())
        .chain(["key:k1", "host:hsm", "host:h0", "engine:restic"].map(|text| text.parse().unwrap()))
        .collect();
    proptest::collection::btree_set(proptest::sample::select(all), 0..5)
}

/// A model with shared fault domains, random locks, commit and copies.
pub fn models() -> impl Strategy<Value = Model> {
    let shared = proptest::collection::vec((0..4_usize, 0..4_usize, any::<bool>()), 5);
    (
        shared,
        1..=4_usize,
        1..=4_u32,
        1..48_u64,
        0..3_u32,
        0..200_u64,
        0..3_usize,
    )
        .prop_map(
            |(shared, locations, commit, period, misses, lock, custody)| {
                let commit = commit.min(u32::try_from(locations).unwrap());
                let mut schedule = schedule_every(Seconds::hours(period));
                schedule.tolerated_misses = misses;
                schedule.completion_window_s = Seconds::minutes(30);
                let mut model = model(plan(schedule, locations, commit));
                model.plans.get_mut("bp").unwrap().retention.immutable_for_s = Seconds::hours(lock);
                for (location, (region, account, immutable)) in
                    model.settings.locations.values_mut().zip(shared)
                {
                    location.fault_domains.region = format!("r{region}");
                    location.fault_domains.provider = format!("p{}", region / 2);
                    location.fault_domains.account = format!("a{account}");
                    location.immutable = immutable;
                }
                if custody > 0 {
                    model.settings.keys.get_mut("k1").unwrap().custody =
                        format!("zone:z{custody}").parse().unwrap();
                }
                model
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_larger_loss_never_improves(model in models(), small in domains(), more in domains()) {
        let recovery = Recovery::new(&model, &Zones::bundled());
        let id = "ds".parse().unwrap();
        let large = &small | &more;
        let (before, after) = (recovery.loss(&id, &LossCase::of(small.clone())), recovery.loss(&id, &LossCase::of(large.clone())));
        prop_assert!(before.seconds() <= after.seconds());
        let (before, after) = (recovery.survivors(&id, &LossCase::of(small)), recovery.survivors(&id, &LossCase::of(large)));
        prop_assert!(after.is_subset(&before));
    }

    #[test]
    fn a_location_more_and_one_more_to_commit_never_worsens(model in models(), lost in domains()) {
        let mut more = model.clone();
        let plan = more.plans.get_mut("bp").unwrap();
        let added = (1..=5).map(|n| format!("l{n}").parse().unwrap()).find(|id| !plan.locations.contains(id)).unwrap();
        plan.locations.insert(added);
        plan.redundancy_profile.commit += 1;
        let case = LossCase::of(lost);
        let id = "ds".parse().unwrap();
        let before = Recovery::new(&model, &Zones::bundled()).loss(&id, &case);
        let after = Recovery::new(&more, &Zones::bundled()).loss(&id, &case);
        prop_assert!(after.seconds() <= before.seconds(), "{after} after {before}");
    }

    #[test]
    fn a_shorter_gap_never_worsens(model in models(), lost in domains()) {
        let mut quicker = model.clone();
        let schedule = &mut quicker.plans.get_mut("bp").unwrap().backup_frequency;
        schedule.every_s = schedule.every_s.map(|period| Seconds::new(period.get() / 2));
        let case = LossCase::of(lost);
        let id = "ds".parse().unwrap();
        let before = Recovery::new(&model, &Zones::bundled()).loss(&id, &case);
        let after = Recovery::new(&quicker, &Zones::bundled()).loss(&id, &case);
        prop_assert!(after.seconds() <= before.seconds());
    }

    /// Every told set leaves nothing, none of its parts does, and brute force over pairs finds no other.
    #[test]
    fn cut_sets_are_minimal_and_complete(model in models()) {
        let recovery = Recovery::new(&model, &Zones::bundled());
        let id = "ds".parse().unwrap();
        let cuts = recovery.cut_sets(&id);
        let lethal = |set: &BTreeSet<FaultDomain>| recovery.survivors(&id, &LossCase::of(set.clone())).is_empty();
        for set in &cuts.sets {
            prop_assert!(lethal(set));
            for one in set {
                let mut less = set.clone();
                less.remove(one);
                prop_assert!(less.is_empty() || !lethal(&less));
            }
        }
        let mut near: Vec<FaultDomain> = (0..=5).flat_map(|number| place(number).iter().collect::<Vec<_>>()).collect();
        near.extend(model.settings.locations.values().flat_map(|location| location.fault_domains.iter()));
        near.extend(["key:k1", "host:hsm", "host:h0", "engine:restic"].map(|text| text.parse().unwrap()));
        let near: BTreeSet<FaultDomain> = near.into_iter().collect();
        let told: BTreeSet<&BTreeSet<FaultDomain>> = cuts.sets.iter().collect();
        let singles: BTreeSet<&FaultDomain> = near.iter().filter(|d| lethal(&BTreeSet::from([(*d).clone()]))).collect();
        for one in &singles {
            prop_assert!(told.contains(&BTreeSet::from([(*one).clone()])));
        }
        if !cuts.more {
            for one in near.iter().filter(|domain| !singles.contains(domain)) {
                for other in near.iter().filter(|domain| *domain > one && !singles.contains(domain)) {
                    let pair = BTreeSet::from([one.clone(), other.clone()]);
                    prop_assert_eq!(lethal(&pair), told.contains(&pair), "{:?}", pair);
                }
            }
        }
    }
}
