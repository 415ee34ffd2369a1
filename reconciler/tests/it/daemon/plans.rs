//! Planning and reviewing as functions: plan, carry out on paper, plan again; and a second opinion on plans that lie.

use std::collections::{BTreeMap, BTreeSet};

use contract::calendar::Zones;
use contract::duration::Seconds;
use contract::id::{BackupId, LocationId, PlanId};
use contract::model::Model;
use contract::seal::Standing;
use jiff::Timestamp;
use proptest::prelude::*;
use reconciler::domain::{
    BackupType, CopyState, Observation, Observed, Operation, OperationKind, PlanObserved, Run,
    RunStatus, SlotOutcome, State, Suspension, Verification,
};
use reconciler::doubt::Clock;
use reconciler::plan::{ActivePolicy, Forget, Plan, Planned, Step, plan};
use reconciler::review::review;
use serde_json::{Value, json};

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn active(schedule: &Value) -> ActivePolicy {
    let mut model = super::world::model();
    let target = &mut model["plans"]["bp_files"]["backup_frequency"];
    for (name, value) in schedule.as_object().unwrap() {
        target[name] = value.clone();
    }
    if schedule.get("cron").is_some() {
        target.as_object_mut().unwrap().remove("every_s");
    }
    let model: Model = serde_json::from_value(model).unwrap();
    ActivePolicy {
        model,
        standing: Standing::Fresh,
        clock: Clock::Plausible,
        reconciler_id: "rec".parse().unwrap(),
        zones: Zones::bundled(),
    }
}

pub fn id() -> PlanId {
    "bp_files".parse().unwrap()
}

pub(super) fn location(name: &str) -> LocationId {
    name.parse().unwrap()
}

pub fn observed(since: Timestamp) -> Observed {
    let seen = PlanObserved {
        since,
        unbound: vec![],
        ended_through: None,
        last_outcome: None,
        last_why: None,
        failing: None,
        runs: vec![],
        open: vec![],
        attempts: BTreeMap::new(),
        recorded: BTreeSet::new(),
        suspended: None,
        acknowledged: BTreeSet::new(),
        repositories: BTreeMap::new(),
        restored: BTreeMap::new(),
        copies: ["loc_a", "loc_b"]
            .map(|name| (location(name), Observation::Absent { at: since }))
            .into(),
        deleted: 0,
    };
    Observed {
        plans: BTreeMap::from([(id(), seen)]),
        ..Observed::default()
    }
}

pub(super) fn mine(observed: &mut Observed) -> &mut PlanObserved {
    observed.plans.get_mut(&id()).unwrap()
}

/// How the paper world carries out a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Good,
    Fails,
    CommittedThenKilled,
    Unknown,
}

pub(super) fn run(
    backup: &reconciler::plan::Backup,
    now: Timestamp,
    good: bool,
    checked: bool,
) -> Run {
    Run {
        backup_id: backup.backup_id.clone(),
        plan_id: backup.plan_id.clone(),
        dataset_ids: backup.dataset_ids.clone(),
        slot: backup.slot,
        started_at: now,
        finished_at: now,
        consistent_at: good.then_some(now),
        backup_type: backup.backup_type,
        base: None,
        status: if good {
            RunStatus::Success
        } else {
            RunStatus::Failure
        },
        kid: backup.kid.clone(),
        snapshot_id: good.then(|| "s".repeat(64)),
        storage_locations: BTreeMap::new(),
        checksums: BTreeMap::new(),
        verification: if checked {
            Verification::Verified {
                at: now,
                locations: BTreeSet::new(),
            }
        } else {
            Verification::Pending
        },
        bytes: 1,
        added_bytes: 1,
        policy_snapshot_hash: None,
        damaged_at: BTreeMap::new(),
        manifests: BTreeMap::new(),
        error: None,
        profiles: BTreeMap::new(),
        collapsed: BTreeMap::new(),
        clock_in_doubt: false,
        overran: false,
        leaving: None,
        before_restore: false,
    }
}

/// Carries out a plan on paper and counts how often each slot ended.
fn carry_out(
    observed: &mut Observed,
    plan: &Plan,
    luck: Luck,
    ended: &mut BTreeMap<i64, u32>,
    calendar: &contract::calendar::Calendar,
) {
    let now = plan.now;
    for planned in &plan.steps {
        let seen = mine(observed);
        let mut end = |seen: &mut PlanObserved, slot: Timestamp, outcome| {
            *ended.entry(slot.as_second()).or_default() += 1;
            assert!(seen.ended_through.is_none_or(|before| before < slot));
            seen.ended_through = Some(slot);
            seen.last_outcome = Some(outcome);
        };
        match &planned.step {
            Step::RecordMissed(missed) => {
                let after = second(missed.last.as_second() + 1);
                for slot in calendar.slots(missed.first, after) {
                    end(seen, slot, SlotOutcome::Missed);
                }
            }
            Step::Backup(backup) => {
                *seen.attempts.entry(backup.backup_id.clone()).or_default() += 1;
                let slot = backup.slot.unwrap();
                match luck {
                    Luck::Good => {
                        seen.runs.push(run(backup, now, true, true));
                        end(seen, slot, SlotOutcome::Success);
                    }
                    Luck::Fails => {
                        seen.runs.push(run(backup, now, false, false));
                        end(seen, slot, SlotOutcome::Failure);
                    }
                    Luck::CommittedThenKilled => seen.runs.push(run(backup, now, true, false)),
                    Luck::Unknown => seen.open.push(open(&backup.backup_id, slot)),
                }
            }
            Step::Verify(verify) => {
                let locations = BTreeSet::new();
                for run in &mut seen.runs {
                    if run.backup_id == verify.backup_id {
                        run.verification = Verification::Verified {
                            at: now,
                            locations: locations.clone(),
                        };
                    }
                }
                if let Some(slot) = verify.ends_slot {
                    end(seen, slot, SlotOutcome::Success);
                }
            }
            Step::Check(_)
            | Step::RecordOverdue(_)
            | Step::RecordLost(_)
            | Step::RecordFound(_)
            | Step::Mark(_)
            | Step::Prune(_) => {
                panic!("no repository was seen")
            }
            Step::CatchUp(catch_up) => {
                let state = Observation::Known {
                    value: CopyState::InSync,
                    at: now,
                };
                seen.copies.insert(catch_up.location.clone(), state);
            }
        }
    }
}

pub(super) fn open(backup_id: &BackupId, slot: Timestamp) -> Operation {
    Operation {
        operation_id: format!("backup.{backup_id}.1"),
        kind: OperationKind::Backup,
        plan_id: id(),
        dataset_ids: BTreeSet::new(),
        backup_id: Some(backup_id.clone()),
        slot: Some(slot),
        backup_type: None,
        before_restore: false,
        restores: None,
        removes: BTreeSet::new(),
        kid: "k1".parse().unwrap(),
        started_at: slot,
        deadline: slot,
        epoch: 1,
        state: State::Running,
        ended_at: None,
        error: None,
    }
}

fn schedules() -> impl Strategy<Value = Value> {
    let when = prop_oneof![
        (300_u64..200_000).prop_map(|every| json!({"every_s": every})),
        prop_oneof![
            Just("30 2 * * *"),
            Just("0 */2 * * *"),
            Just("15 3,15 * * 1-5"),
            Just("0 0 1 * *")
        ]
        .prop_map(|cron| json!({"cron": cron, "timezone": "Europe/Berlin"})),
    ];
    (when, 0_u64..100, 1_u64..200, prop::bool::ANY).prop_map(|(mut when, jitter, more, latest)| {
        when["jitter_s"] = json!(jitter);
        when["start_window_s"] = json!(jitter + more);
        when["completion_window_s"] = json!(jitter + more + 60);
        when["catch_up"] = json!(if latest { "latest" } else { "none" });
        when
    })
}

fn lucks() -> impl Strategy<Value = Luck> {
    prop_oneof![
        Just(Luck::Good),
        Just(Luck::Fails),
        Just(Luck::CommittedThenKilled),
        Just(Luck::Unknown)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the schedule, the pauses and the luck: the review agrees, every slot ends once and in order, and planning
    /// again on what was reached gives nothing.
    #[test]
    fn plan_and_execution_reach_a_fixed_point(
        schedule in schedules(),
        since in 1_760_000_000_i64..1_800_000_000,
        pauses in prop::collection::vec((1_i64..400_000, lucks()), 1..12),
    ) {
        let active = active(&schedule);
        let policy = &active.model.plans[&id()];
        let calendar = policy.backup_frequency.calendar(&active.zones).unwrap();
        let mut observed = observed(second(since));
        let mut ended = BTreeMap::new();
        let mut now = since;
        for (pause, luck) in pauses {
            let planned = plan(&active, &observed, second(now));
            prop_assert_eq!(&review(&planned, &observed, &active, second(now)), &vec![]);
            carry_out(&mut observed, &planned, luck, &mut ended, &calendar);
            // What was killed is resolved by its check; what is unknown blocks, and is then found absent.
            let blocked = !mine(&mut observed).open.is_empty();
            let again = plan(&active, &observed, second(now));
            if blocked {
                let runs_again = again.steps.iter().any(|planned| matches!(planned.step, Step::Backup(_)));
                prop_assert!(!runs_again, "an unknown outcome is never run again");
                mine(&mut observed).open.clear();
            }
            let again = plan(&active, &observed, second(now));
            carry_out(&mut observed, &again, Luck::Good, &mut ended, &calendar);
            let last = plan(&active, &observed, second(now));
            prop_assert_eq!(&last.steps, &vec![]);
            now += pause;
        }
        prop_assert!(ended.values().all(|times| *times == 1), "{:?}", ended);
        if let (Some(first), Some(last)) = (ended.keys().next(), ended.keys().next_back()) {
            let wanted: Vec<i64> = calendar.slots(second(*first), second(last + 1)).map(Timestamp::as_second).collect();
            let found: Vec<i64> = ended.keys().copied().collect();
            prop_assert_eq!(found, wanted, "a hole in the slots");
        }
    }
}

pub(super) fn daily() -> ActivePolicy {
    active(&json!({}))
}

pub(super) const NOW: &str = "2026-11-20T00:10:00Z";

/// A world in which one good point of yesterday exists and today's slot is due, with its plan.
pub(super) fn usual() -> (ActivePolicy, Observed, Plan) {
    let active = daily();
    let yesterday = at("2026-11-19T00:10:00Z");
    let mut observed = observed(yesterday);
    let calendar = active.model.plans[&id()]
        .backup_frequency
        .calendar(&active.zones)
        .unwrap();
    let first = plan(&active, &observed, yesterday);
    carry_out(
        &mut observed,
        &first,
        Luck::Good,
        &mut BTreeMap::new(),
        &calendar,
    );
    let planned = plan(&active, &observed, at(NOW));
    assert_eq!(planned.steps.len(), 1);
    assert!(review(&planned, &observed, &active, at(NOW)).is_empty());
    (active, observed, planned)
}

fn objects(change: impl FnOnce(&mut Plan, &mut Observed, &mut ActivePolicy)) -> bool {
    let (mut active, mut observed, mut planned) = usual();
    change(&mut planned, &mut observed, &mut active);
    !review(&planned, &observed, &active, at(NOW)).is_empty()
}

pub(super) fn backup_of(planned: &mut Planned) -> &mut reconciler::plan::Backup {
    match &mut planned.step {
        Step::Backup(backup) => backup,
        other => panic!("{other:?}"),
    }
}

#[test]
fn review_objects_to_what_repeats_or_pretends() {
    assert!(
        objects(|plan, _, _| plan.steps.push(plan.steps[0].clone())),
        "the same twice"
    );
    assert!(
        objects(|plan, _, _| {
            let mut twin = plan.steps[0].clone();
            twin.operation_id.push('x');
            plan.steps.push(twin);
        }),
        "the same slot under another name"
    );
    assert!(
        objects(|plan, _, _| backup_of(&mut plan.steps[0]).commit = 0),
        "no quorum"
    );
    assert!(
        objects(|plan, _, _| {
            backup_of(&mut plan.steps[0])
                .locations
                .remove(&location("loc_b"));
        }),
        "fewer locations"
    );
    assert!(
        objects(|plan, _, _| backup_of(&mut plan.steps[0]).checksum_required = false),
        "no check"
    );
    assert!(
        objects(|plan, _, _| backup_of(&mut plan.steps[0]).slot = Some(at("2026-11-20T00:05:00Z"))),
        "no slot of the schedule"
    );
    assert!(
        objects(|plan, observed, _| {
            let backup = backup_of(&mut plan.steps[0]).clone();
            mine(observed).runs.push(run(&backup, at(NOW), true, true));
        }),
        "it exists already"
    );
    assert!(
        objects(|plan, observed, _| {
            let backup = backup_of(&mut plan.steps[0]).clone();
            mine(observed)
                .open
                .push(open(&backup.backup_id, backup.slot.unwrap()));
        }),
        "an outcome is unknown"
    );
    assert!(
        objects(|_, observed, _| mine(observed).ended_through = Some(at("2026-11-20T00:00:00Z"))),
        "the slot has its record"
    );
    assert!(
        objects(|_, observed, _| observed.plans.clear()),
        "nothing was seen"
    );
    assert!(
        objects(|_, _, active| active.reconciler_id = "other".parse().unwrap()),
        "another reconciler's plan"
    );
}

/// Four verified points, all in sync: the class keeps two and lets the oldest two go.
pub(super) fn with_points(
    retire: impl FnOnce(&mut Observed, &mut ActivePolicy),
) -> (ActivePolicy, Observed, Plan) {
    let (mut active, mut observed, planned) = usual();
    let template = mine(&mut observed).runs[0].clone();
    mine(&mut observed).runs = (16..20)
        .map(|day| {
            let slot = at(&format!("2026-11-{day}T00:00:00Z"));
            Run {
                backup_id: reconciler::plan::backup_id(&id(), slot).unwrap(),
                slot: Some(slot),
                consistent_at: Some(slot),
                ..template.clone()
            }
        })
        .collect();
    for state in mine(&mut observed).copies.values_mut() {
        *state = Observation::Known {
            value: CopyState::InSync,
            at: at(NOW),
        };
    }
    retire(&mut observed, &mut active);
    let mut again = plan(&active, &observed, at(NOW));
    again.steps = planned.steps;
    (active, observed, again)
}

fn forget(day: u32) -> Forget {
    let slot = at(&format!("2026-11-{day}T00:00:00Z"));
    Forget {
        plan_id: id(),
        backup_id: reconciler::plan::backup_id(&id(), slot).unwrap(),
        reason: "a test says so".to_owned(),
    }
}

#[test]
fn retention_is_shown_and_the_review_agrees() {
    let (active, observed, plan) = with_points(|_, _| {});
    let names: Vec<&str> = plan
        .would_forget
        .iter()
        .map(|forget| forget.backup_id.as_str())
        .collect();
    assert_eq!(
        names,
        ["bp_files.20261116T000000Z", "bp_files.20261117T000000Z"]
    );
    assert!(review(&plan, &observed, &active, at(NOW)).is_empty());
}

#[test]
fn nothing_is_forgotten_while_anything_is_unknown_or_stale() {
    let (.., plan) = with_points(|_, active| active.standing = Standing::Stale);
    assert!(plan.would_forget.is_empty());
    let (.., plan) = with_points(|observed, _| {
        let why = "dark".to_owned();
        mine(observed)
            .copies
            .insert(location("loc_b"), Observation::Unknown { why });
    });
    assert!(plan.would_forget.is_empty());
}

#[test]
fn review_objects_to_what_destroys() {
    let objects = |days: &[u32], change: &dyn Fn(&mut Observed, &mut ActivePolicy)| {
        let (mut active, mut observed, mut plan) = with_points(|_, _| {});
        change(&mut observed, &mut active);
        plan.would_forget = days.iter().map(|day| forget(*day)).collect();
        let found = review(&plan, &observed, &active, at(NOW));
        found
            .iter()
            .any(|objection| objection.operation_id.starts_with("forget."))
    };
    let nothing = |_: &mut Observed, _: &mut ActivePolicy| {};
    assert!(!objects(&[16, 17], &nothing), "what the class lets go");
    assert!(objects(&[19], &nothing), "the newest verified");
    assert!(
        objects(&[16, 17, 18], &nothing),
        "below the floor of versions"
    );
    assert!(objects(&[16, 17, 18, 19], &nothing), "everything");
    assert!(objects(&[15], &nothing), "what the catalog does not have");
    assert!(
        objects(&[16], &|_, active| active.standing = Standing::Stale),
        "stale policy"
    );
    assert!(
        objects(&[16], &|observed, _| {
            mine(observed).copies.remove(&location("loc_b"));
        }),
        "a location was not seen"
    );
    assert!(
        objects(&[16], &|observed, _| mine(observed).runs[0].verification =
            Verification::Pending),
        "it is unknown whether it is good"
    );
}

/// Tries to lose data through a base: the point of the 19th stays and hangs on that of the 18th, and so on.
#[test]
fn review_objects_to_forgetting_what_a_point_that_stays_needs() {
    let id_of = |day: u32| forget(day).backup_id;
    let objects = |days: &[u32], bases: &[(usize, u32)]| {
        let (active, mut observed, mut plan) = with_points(|_, _| {});
        for (run, day) in bases {
            mine(&mut observed).runs[*run].base = Some(id_of(*day));
        }
        plan.would_forget = days.iter().map(|day| forget(*day)).collect();
        let found = review(&plan, &observed, &active, at(NOW));
        found
            .into_iter()
            .filter(|objection| objection.operation_id.starts_with("forget."))
            .map(|objection| objection.why)
            .collect::<Vec<String>>()
    };
    let needed = "`bp_files.20261119T000000Z` cannot be read without it";
    assert_eq!(objects(&[17], &[]), Vec::<String>::new());
    assert_eq!(objects(&[17], &[(3, 17)]), [needed]);
    // Through one that would go itself, and through one that stays.
    assert_eq!(objects(&[16, 17], &[(3, 17), (1, 16)]), [needed, needed]);
    assert_eq!(
        objects(&[16], &[(3, 18), (2, 16)]),
        ["`bp_files.20261118T000000Z` cannot be read without it"]
    );
    // Nobody who stays needs them; and a circle or a base that is not there ends the search.
    assert_eq!(objects(&[16, 17], &[(1, 16)]), Vec::<String>::new());
    assert_eq!(objects(&[16], &[(3, 18), (2, 19)]), Vec::<String>::new());
    assert_eq!(objects(&[16], &[(3, 12)]), Vec::<String>::new());
}

/// What the reconciler would forget leaves whole chains, and its review agrees.
#[test]
fn what_a_kept_point_needs_is_not_among_what_would_be_forgotten() {
    let (active, observed, plan) = with_points(|observed, _| {
        let base = Some(forget(17).backup_id);
        mine(observed).runs[3].base = base;
    });
    let names: Vec<&str> = plan
        .would_forget
        .iter()
        .map(|forget| forget.backup_id.as_str())
        .collect();
    assert_eq!(names, ["bp_files.20261116T000000Z"]);
    assert!(review(&plan, &observed, &active, at(NOW)).is_empty());
}

#[test]
fn first_slots_late_slots_and_missed_ones() {
    // Accepted at noon: the slot of midnight is due at once, though its window is over.
    let active = daily();
    let mut observed = observed(at("2026-11-18T12:00:00Z"));
    let first = plan(&active, &observed, at("2026-11-18T12:00:00Z"));
    assert_eq!(
        first.steps[0].operation_id,
        "backup.bp_files.20261118T000000Z.1"
    );
    let calendar = active.model.plans[&id()]
        .backup_frequency
        .calendar(&active.zones)
        .unwrap();
    carry_out(
        &mut observed,
        &first,
        Luck::Good,
        &mut BTreeMap::new(),
        &calendar,
    );
    // Asleep for days: one record for the older ones, the newest runs late.
    let late = plan(&active, &observed, at("2026-11-22T05:00:00Z"));
    let Step::RecordMissed(missed) = &late.steps[0].step else {
        panic!("{late:?}");
    };
    assert_eq!(
        (missed.first, missed.last, missed.count),
        (at("2026-11-19T00:00:00Z"), at("2026-11-21T00:00:00Z"), 3)
    );
    assert_eq!(
        late.steps[1].operation_id,
        "backup.bp_files.20261122T000000Z.1"
    );
    assert_eq!(late.steps[1].deadline, at("2026-11-22T07:00:00Z"));
    // Without catching up it is missed too.
    let strict = self::active(&json!({"catch_up": "none"}));
    let none = plan(&strict, &observed, at("2026-11-22T05:00:00Z"));
    let Step::RecordMissed(missed) = &none.steps[0].step else {
        panic!("{none:?}");
    };
    assert_eq!((missed.count, none.steps.len()), (4, 1));
}

/// The first run in a repository is full, and then the first one at or after each slot of the full schedule.
#[test]
fn a_run_is_full_when_the_full_schedule_says_so() {
    let mut active = daily();
    let policy = active.model.plans.get_mut(&id()).unwrap();
    let mut weekly = policy.backup_frequency.clone();
    // Counted from 1970, a Thursday.
    weekly.every_s = serde_json::from_value(json!(604_800)).unwrap();
    policy.full_frequency = Some(weekly);
    let calendar = policy.backup_frequency.calendar(&active.zones).unwrap();
    let thursday = at("2026-11-19T00:10:00Z");
    let mut observed = observed(thursday);
    let mut attempts = BTreeMap::new();
    let mut full = Vec::new();
    for day in 0..16 {
        let now = thursday
            .checked_add(jiff::SignedDuration::from_hours(24 * day))
            .unwrap();
        let mut planned = plan(&active, &observed, now);
        planned
            .steps
            .retain(|step| matches!(step.step, Step::Backup(_)));
        assert_eq!(planned.steps.len(), 1, "{planned:?}");
        if backup_of(&mut planned.steps[0]).backup_type == BackupType::Full {
            full.push(day);
        }
        carry_out(
            &mut observed,
            &planned,
            Luck::Good,
            &mut attempts,
            &calendar,
        );
    }
    assert_eq!(full, [0, 7, 14]);
}

/// Policy froze the plane, or a person suspended the plan: the slot waits, and counts again afterwards.
#[test]
fn no_scheduled_backup_begins_while_a_plan_is_held_back() {
    let now = at("2026-11-20T00:10:00Z");
    let until = at("2026-11-20T03:00:00Z");
    let before = || observed(at("2026-11-19T12:00:00Z"));
    let backups = |planned: &Plan| {
        let steps = planned.steps.iter();
        steps.filter(|it| it.step.kind() == "backup").count()
    };
    let mut frozen = daily();
    assert_eq!(backups(&plan(&frozen, &before(), now)), 1);
    let usual = plan(&frozen, &before(), now);
    let window = json!([{
        "from": "2026-11-19T23:00:00Z", "to": until.to_string(), "planes": ["product_cloud"], "reason": "release"
    }]);
    frozen.model.environment.freeze_windows = serde_json::from_value(window).unwrap();
    let waits = plan(&frozen, &before(), now);
    assert_eq!(backups(&waits), 0, "{waits:?}");
    assert_eq!(waits.waits[0].until, Some(until), "{waits:?}");
    assert!(waits.waits[0].on.contains("release"), "{waits:?}");
    // Another plane's window holds nothing back, and neither does one that is over.
    assert_eq!(backups(&plan(&frozen, &before(), until)), 1);
    let mut other = frozen.clone();
    other.model.environment.freeze_windows[0].planes = BTreeSet::new();
    assert_eq!(backups(&plan(&other, &before(), now)), 1);
    let mut suspended = before();
    mine(&mut suspended).suspended = Some(Suspension {
        plan_id: id(),
        until,
        reason: "the disk is replaced".to_owned(),
        actor: "uid:0".to_owned(),
        at: now,
    });
    let waits = plan(&daily(), &suspended, now);
    assert_eq!(backups(&waits), 0, "{waits:?}");
    assert!(
        waits.waits[0].on.contains("the disk is replaced"),
        "{waits:?}"
    );
    // The second derivation stops what the first one let pass.
    for (active, seen) in [(&frozen, before()), (&daily(), suspended)] {
        let objections = review(&usual, &seen, active, now);
        assert_eq!(objections.len(), 1, "{objections:?}");
    }
}

/// A run that was ended at its window would be ended there the next time as well.
#[test]
fn what_did_not_fit_its_window_may_go_on() {
    let active = daily();
    let now = at("2026-11-20T00:10:00Z");
    let limit = |seen: &Observed| {
        let planned = plan(&active, seen, now);
        let mut steps = planned.steps.into_iter();
        let backup = steps.find(|it| it.step.kind() == "backup").unwrap();
        (backup.stall_limit.map(Seconds::get), backup)
    };
    let mut seen = observed(at("2026-11-19T12:00:00Z"));
    // The first one has nothing to lose.
    let (first, mut backup) = limit(&seen);
    assert_eq!(first, Some(7_200));
    let earlier = at("2026-11-19T00:00:00Z");
    let mut done = backup_of(&mut backup).clone();
    done.backup_id = "bp_files.20261119T000000Z".parse().unwrap();
    done.slot = Some(earlier);
    mine(&mut seen).runs.push(run(&done, earlier, true, true));
    assert_eq!(limit(&seen).0, None);
    mine(&mut seen).runs[0].overran = true;
    assert_eq!(limit(&seen).0, Some(7_200));
}
