//! What `status` and `doctor` say is true: nothing that a person must know is hidden by work that is due, by another fault, or by
//! having nothing to do.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use contract::code;
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reconciler::domain::{Observed, SlotOutcome, Verification};
use reconciler::plan::{ActivePolicy, plan};
use reconciler::review::review;
use reconciler::status::{Light, Source, Status, Word, status};

use super::plans::{at, backup_of, daily, id, mine, observed, open, run, usual};
use super::world::World;

/// What is said of a world at an instant.
fn judged(active: &ActivePolicy, observed: &Observed, now: Timestamp) -> Status {
    let planned = plan(active, observed, now);
    let objections = review(&planned, observed, active, now);
    let source = Source {
        serial: 1,
        accepted_at: at("2026-11-19T00:10:00Z"),
        expires_at: Timestamp::MAX,
        problem: None,
        receipt_key_listed: true,
        last_recorded_at: None,
        channels: Vec::new(),
    };
    status(active, observed, &planned, &objections, &source, &[], now)
}

fn says(status: &Status) -> (Word, Option<code::Code>, Light) {
    let condition = &status.plans[0].condition;
    (condition.condition, condition.code, status.light)
}

const RED: (Word, Option<code::Code>, Light) = (Word::Stalled, Some(code::RPO_MISSED), Light::Red);

/// The RPO is two days, a slot is due each midnight: neither the due slot nor the failed ones before it hide the other.
#[test]
fn a_missed_rpo_is_red_whatever_is_due() {
    let (active, mut observed, _) = usual();
    let in_time = judged(&active, &observed, at("2026-11-21T00:09:00Z"));
    assert_eq!(says(&in_time), (Word::Reconciling, None, Light::Yellow));
    mine(&mut observed).last_outcome = Some(SlotOutcome::Failure);
    mine(&mut observed).last_why = Some("[SW1503] the server is away".to_owned());
    let failed = judged(&active, &observed, at("2026-11-21T00:09:00Z"));
    let waiting = (Word::Waiting, Some(code::LAST_RUN_FAILED), Light::Yellow);
    assert_eq!(says(&failed), waiting, "{failed:?}");

    let late = judged(&active, &observed, at("2026-11-21T00:11:00Z"));
    assert_eq!(says(&late), RED);
    let why = &late.plans[0].condition.why;
    for part in ["48 h 1 min", "RPO is 48 h", "SW1503", "its slot is due"] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
}

/// A point that is damaged, was never verified, holds another dataset, or shows a time to come does not meet an RPO.
#[test]
fn only_usable_points_meet_an_rpo() {
    let now = at("2026-11-21T00:11:00Z");
    let with = |change: &dyn Fn(&mut reconciler::domain::Run)| {
        let (active, mut observed, mut planned) = usual();
        let mut newer = run(
            backup_of(&mut planned.steps[0]),
            at("2026-11-20T00:10:00Z"),
            true,
            true,
        );
        change(&mut newer);
        mine(&mut observed).runs.push(newer);
        says(&judged(&active, &observed, now)).1
    };
    assert_ne!(with(&|_| {}), Some(code::RPO_MISSED));
    assert_eq!(with(&|run| run.verification = Verification::Pending), RED.1);
    assert_eq!(with(&|run| run.dataset_ids.clear()), RED.1);
    assert_eq!(
        with(&|run| run.consistent_at = Some(at("2026-12-21T00:00:00Z"))),
        RED.1
    );
    let suspect = |run: &mut reconciler::domain::Run| {
        run.verification = Verification::Suspect {
            at: now,
            why: "it is damaged".to_owned(),
        };
    };
    assert!([RED.1, Some(code::POINT_SUSPECT)].contains(&with(&suspect)));
    // A point of a plan that is gone holds the dataset all the same.
    let (active, mut observed, mut planned) = usual();
    let mut former = run(
        backup_of(&mut planned.steps[0]),
        at("2026-11-20T00:10:00Z"),
        true,
        true,
    );
    former.plan_id = "bp_former".parse().unwrap();
    observed.former.push(former);
    assert_ne!(says(&judged(&active, &observed, now)).1, RED.1);
}

/// Never protected is as bad as protected too long ago, from the moment when the plan is as old as its RPO.
#[test]
fn a_plan_without_a_point_misses_its_rpo_too() {
    let observed = observed(at("2026-11-18T00:00:00Z"));
    let young = judged(&daily(), &observed, at("2026-11-19T23:00:00Z"));
    assert_eq!(says(&young), (Word::Reconciling, None, Light::Yellow));
    assert_eq!(
        says(&judged(&daily(), &observed, at("2026-11-20T00:00:01Z"))),
        RED
    );
}

/// No plan, a plan that nobody can run, a dataset that no plan has, steps that the review stops: all red.
#[test]
fn what_nobody_backs_up_is_red() {
    let now = at("2026-11-19T00:20:00Z");
    let (usual, seen, _) = usual();
    assert_eq!(judged(&usual, &seen, now).light, Light::Green);
    let red = |change: &dyn Fn(&mut ActivePolicy), code: code::Code| {
        let mut active = usual.clone();
        change(&mut active);
        let said = judged(&active, &seen, now);
        let plans = said.plans.iter().map(|plan| &plan.condition);
        let codes: Vec<_> = said
            .overall
            .iter()
            .chain(plans)
            .filter_map(|it| it.code)
            .collect();
        assert!(codes.contains(&code), "{said:?}");
        assert_eq!(said.light, Light::Red, "{said:?}");
        assert!(said.overall[0].why != "every plan is ready", "{said:?}");
    };
    red(&|it| it.model.plans.clear(), code::NO_PLAN);
    red(&|it| it.model.plans.clear(), code::DATASET_UNCOVERED);
    red(
        &|it| it.reconciler_id = "other".parse().unwrap(),
        code::NO_PLAN,
    );
    red(
        &|it| {
            let mut more = it.model.datasets.first_key_value().unwrap().1.clone();
            more.dataset_id = "ds_more".parse().unwrap();
            it.model.datasets.insert(more.dataset_id.clone(), more);
        },
        code::DATASET_UNCOVERED,
    );
    red(
        &|it| {
            let mut site = it.model.settings.sites.first_key_value().unwrap().1.clone();
            site.site_id = "there".parse().unwrap();
            site.reconciler_id = "other".parse().unwrap();
            let mut more = it.model.datasets.first_key_value().unwrap().1.clone();
            more.dataset_id = "ds_more".parse().unwrap();
            more.site = site.site_id.clone();
            it.model.settings.sites.insert(site.site_id.clone(), site);
            it.model
                .plans
                .get_mut(&id())
                .unwrap()
                .dataset_ids
                .insert(more.dataset_id.clone());
            it.model.datasets.insert(more.dataset_id.clone(), more);
        },
        code::PLAN_SPLIT,
    );
    // The id inside is not the name that the plan goes by: its steps belong to no plan, and the review stops them.
    let mut misnamed = usual.clone();
    misnamed.model.plans.get_mut(&id()).unwrap().plan_id = "bp_other".parse().unwrap();
    let said = judged(&misnamed, &seen, at("2026-11-20T00:10:00Z"));
    assert_eq!(said.light, Light::Red, "{said:?}");
    assert_eq!(said.overall[0].code, Some(code::PLAN_OBJECTION), "{said:?}");
}

#[test]
fn an_open_effect_is_running_or_interrupted() {
    let (active, mut seen, mut planned) = usual();
    let backup = backup_of(&mut planned.steps[0]).clone();
    let mut begun = open(&backup.backup_id, backup.slot.unwrap());
    begun.deadline = at("2026-11-20T00:30:00Z");
    mine(&mut seen).open.push(begun);
    let now = at("2026-11-20T00:10:00Z");
    let lost = judged(&active, &seen, now);
    assert_eq!(says(&lost).1, Some(code::OUTCOME_UNKNOWN));
    seen.running = Some(2);
    assert_eq!(
        says(&judged(&active, &seen, now)).1,
        Some(code::OUTCOME_UNKNOWN)
    );
    seen.running = Some(1);
    let runs = judged(&active, &seen, now);
    assert_eq!(
        says(&runs),
        (Word::Reconciling, None, Light::Yellow),
        "{runs:?}"
    );
    let why = &runs.plans[0].condition.why;
    assert!(
        why.contains("backup running since 2026-11-20T00:00:00Z"),
        "{why}"
    );
    // What goes on past its window says so.
    let late = judged(&active, &seen, at("2026-11-20T00:31:00Z"));
    assert_eq!(
        says(&late),
        (Word::Waiting, Some(code::RUN_OVERRAN), Light::Yellow),
        "{late:?}"
    );
}

/// The same by the program: beside a daemon that works, and after it was killed.
#[test]
fn status_tells_a_run_from_what_a_crash_left() {
    let world = World::new();
    let mut once = world
        .command(&["once"])
        .env("SEAWALLD_LOG", "warn,reconciler=debug")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(once.stderr.take().unwrap()).lines();
    let begun = |line: std::io::Result<String>| line.unwrap().contains("intent is recorded");
    assert!(lines.by_ref().any(begun));
    kill(Pid::from_raw(once.id().cast_signed()), Signal::SIGSTOP).unwrap();
    let running = world.json(0, &["status"])["plans"][0]["condition"].clone();
    once.kill().unwrap();
    once.wait().unwrap();
    let lost = world.json(0, &["status"])["plans"][0]["condition"].clone();
    assert_eq!(running["condition"], "Reconciling", "{running}");
    assert!(
        running["why"].as_str().unwrap().contains("running since"),
        "{running}"
    );
    assert_eq!(lost["code"], "SW1103", "{lost}");
    assert!(
        lost["why"].as_str().unwrap().contains("interrupted"),
        "{lost}"
    );
}

/// A bundle that takes the plan away: `once`, `status` and `doctor` all end with 1.
#[test]
fn a_policy_without_a_plan_is_red_everywhere() {
    let mut world = World::new();
    world.json(0, &["once"]);
    world.expect(0, &["doctor"]);
    world.model["plans"] = serde_json::json!({});
    world.publish();
    let doctor = world.expect(1, &["doctor"]);
    assert!(
        doctor.contains("FAIL") && doctor.contains("SW1026"),
        "{doctor}"
    );
    let round = world.json(1, &["once"]);
    assert_eq!(round["status"]["light"], "red", "{round}");
    let status = world.json(1, &["status"]);
    assert_eq!(status["overall"][0]["code"], "SW1026", "{status}");
    assert_eq!(status["overall"][1]["code"], "SW1027", "{status}");
}

/// What policy promises and this machine cannot keep is a failure before the disaster, not in it.
#[test]
fn doctor_fails_what_will_hurt() {
    let mut world = World::new();
    world.expect(0, &["doctor"]);
    let mut fails = |change: &dyn Fn(&mut serde_json::Value), code: &str| {
        let sound = world.model.clone();
        change(&mut world.model["settings"]);
        world.publish();
        let said = world.expect(1, &["doctor"]);
        assert!(
            said.contains("FAIL") && said.contains(code),
            "{code}: {said}"
        );
        world.model = sound;
    };
    fails(
        &|it| it["locations"]["loc_b"]["fault_domains"]["region"] = "far".into(),
        "SW1029",
    );
    fails(
        &|it| it["locations"]["loc_a"]["immutable"] = true.into(),
        "SW1030",
    );
    fails(
        &|it| it["approvals"]["in_place"]["environments"] = serde_json::json!(["dev"]),
        "SW1601",
    );
}
