//! Checks over simulated weeks: the cadence belongs to a repository and a location, so that nothing which happens to recovery
//! points keeps a pack from being read again.

use std::collections::{BTreeMap, BTreeSet};

use contract::id::{Kid, LocationId};
use jiff::{SignedDuration, Timestamp};
use reconciler::domain::{
    Observation, Observed, PartRead, PartReading, PlanObserved, RepositoryObserved, Run,
    Verification,
};
use reconciler::plan::{ActivePolicy, Check, Step, plan};
use reconciler::review::review;

use super::plans::{active, id, observed};

const DAY: i64 = 86_400;

fn kid() -> Kid {
    "k1".parse().unwrap()
}

fn locations() -> [LocationId; 2] {
    ["loc_a", "loc_b"].map(|name| name.parse().unwrap())
}

/// One plan with a backup each day, whose tier wants a check each `every` days of `portion` percent.
struct Paper {
    active: ActivePolicy,
    observed: Observed,
    now: Timestamp,
    /// Every read of a part: location, part, when.
    reads: Vec<(LocationId, u32, Timestamp)>,
    overdue: Vec<String>,
}

impl Paper {
    fn new(every: i64, portion: u32) -> Self {
        let mut active = active(&serde_json::json!({}));
        for tier in active.model.settings.tiers.values_mut() {
            tier.verification.portion_percent = portion;
            tier.verification.every_s = serde_json::from_value((every * DAY).into()).unwrap();
        }
        let now: Timestamp = "2026-11-01T00:10:00Z".parse().unwrap();
        let mut paper = Self {
            active,
            observed: observed(now),
            now,
            reads: Vec::new(),
            overdue: Vec::new(),
        };
        paper.backup();
        paper
    }

    fn mine(&mut self) -> &mut PlanObserved {
        self.observed.plans.get_mut(&id()).unwrap()
    }

    /// The day's backup, at both locations and checked, and what the locations hold after it.
    fn backup(&mut self) {
        let now = self.now;
        let snapshot = format!("{:064x}", now.as_second());
        let run: Run = serde_json::from_value(serde_json::json!({
            "backup_id": format!("bp_files.{}", now.strftime("%Y%m%dT000000Z")),
            "plan_id": "bp_files", "dataset_ids": ["ds_files"],
            "slot": now.strftime("%Y-%m-%dT00:00:00Z").to_string(),
            "started_at": now, "finished_at": now, "consistent_at": now, "backup_type": "incremental",
            "status": "success", "kid": "k1", "snapshot_id": snapshot,
            "storage_locations": {"loc_a": "loc_a:x", "loc_b": "loc_b:x"}, "checksums": {},
            "verification": {"is": "verified", "at": now, "locations": ["loc_a", "loc_b"]},
            "bytes": 1, "added_bytes": 1
        }))
        .unwrap();
        let seen = self.mine();
        seen.ended_through = run.slot;
        seen.runs.push(run);
        let held: BTreeSet<String> = seen
            .points()
            .filter_map(|run| run.snapshot_id.clone())
            .collect();
        let repository = seen.repositories.entry(kid()).or_default();
        for location in locations() {
            let value = held.clone();
            let known = Observation::Known { value, at: now };
            repository.held.insert(location, known);
        }
    }

    fn hide(&mut self, location: &LocationId) {
        let why = "dark".to_owned();
        let repository = self.mine().repositories.get_mut(&kid()).unwrap();
        repository
            .held
            .insert(location.clone(), Observation::Unknown { why });
    }

    /// Plans as it is, and carries out what is about checks.
    fn round(&mut self) {
        let planned = plan(&self.active, &self.observed, self.now);
        let objections = review(&planned, &self.observed, &self.active, self.now);
        assert_eq!(objections, vec![]);
        for step in planned.steps {
            match step.step {
                Step::Check(check) => self.read(&check),
                Step::RecordOverdue(_) => {
                    self.overdue.push(step.operation_id.clone());
                    self.mine().recorded.insert(step.operation_id);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn read(&mut self, check: &Check) {
        let read = PartRead {
            plan_id: check.plan_id.clone(),
            kid: check.kid.clone(),
            location_id: check.location.clone(),
            part: check.part,
            of: check.of,
            at: self.now,
            is_sound: true,
            objects: 1,
            bytes: 1,
        };
        self.reads
            .push((check.location.clone(), check.part, self.now));
        let repository = self.mine().repositories.get_mut(&kid()).unwrap();
        repository.read.retain(|old| {
            (&old.location_id, old.part, old.of) != (&read.location_id, read.part, read.of)
        });
        repository.read.push(read);
    }

    fn pass(&mut self, hours: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_hours(hours))
            .unwrap();
    }

    /// The longest time in which a part of a location was not read, over all of them.
    fn longest_gap(&self, parts: u32) -> i64 {
        let begin = self.mine_ref().runs[0].finished_at;
        let mut longest = 0;
        for location in locations() {
            for part in 1..=parts {
                let mut at: Vec<i64> = self
                    .reads
                    .iter()
                    .filter(|read| (&read.0, read.1) == (&location, part))
                    .map(|read| read.2.as_second())
                    .collect();
                at.insert(0, begin.as_second());
                at.push(self.now.as_second());
                longest = at
                    .windows(2)
                    .map(|two| two[1] - two[0])
                    .chain([longest])
                    .max()
                    .unwrap();
            }
        }
        longest
    }

    fn mine_ref(&self) -> &PlanObserved {
        &self.observed.plans[&id()]
    }
}

/// However often there are backups: after one cadence for each part everything was read, at every location, again and again.
#[test]
fn every_part_of_every_location_is_read_within_its_turn() {
    for (every, portion, parts) in [(7, 100, 1), (1, 30, 4), (2, 10, 10), (3, 50, 2)] {
        let mut paper = Paper::new(every, portion);
        for _ in 0..45 {
            paper.pass(24);
            paper.backup();
            paper.round();
            let planned = plan(&paper.active, &paper.observed, paper.now);
            assert_eq!(planned.steps, vec![], "nothing is due twice");
        }
        let turn = every * i64::from(parts) * DAY;
        let gap = paper.longest_gap(parts);
        assert!(
            gap <= turn + DAY,
            "{parts} parts each {every} days: {gap} s"
        );
        assert!(paper.overdue.is_empty(), "{:?}", paper.overdue);
        let wanted = 45 / usize::try_from(every).unwrap();
        assert!(
            paper.reads.len() <= 2 * (wanted + 1),
            "not more often than policy says"
        );
    }
}

/// Rounds may be late or rare: what was due meanwhile is made up for, once.
#[test]
fn what_was_due_while_nothing_ran_is_read_afterwards() {
    let mut paper = Paper::new(1, 25);
    paper.pass(24 * 30);
    paper.backup();
    paper.round();
    let read: BTreeSet<(LocationId, u32)> = paper
        .reads
        .iter()
        .map(|read| (read.0.clone(), read.1))
        .collect();
    assert_eq!((read.len(), paper.reads.len()), (8, 8));
    let planned = plan(&paper.active, &paper.observed, paper.now);
    assert_eq!((planned.steps, planned.stalled), (vec![], vec![]));
}

/// A location that cannot be read is not checked; when its next check is due, that is a condition and one record.
#[test]
fn a_check_that_is_not_done_in_time_is_recorded_and_stalls() {
    let mut paper = Paper::new(2, 100);
    let dark = locations()[1].clone();
    let mut stalled = None;
    for day in 0..9 {
        paper.pass(24);
        paper.backup();
        paper.hide(&dark);
        paper.round();
        let planned = plan(&paper.active, &paper.observed, paper.now);
        assert!(planned.steps.is_empty(), "{planned:?}");
        if let Some(stall) = planned.stalled.first() {
            assert_eq!(stall.code.to_string(), "SW1019");
            assert!(stall.why.contains("loc_b"), "{stall:?}");
            stalled.get_or_insert(day);
        } else {
            assert_eq!(stalled, None, "it stays so");
        }
    }
    assert!(
        stalled.is_some_and(|day| (2..=4).contains(&day)),
        "{stalled:?}"
    );
    assert_eq!(paper.overdue.len(), 1, "once: {:?}", paper.overdue);
    paper.backup_seen_again();
    paper.round();
    let planned = plan(&paper.active, &paper.observed, paper.now);
    assert_eq!((planned.steps, planned.stalled), (vec![], vec![]));
}

impl Paper {
    fn backup_seen_again(&mut self) {
        self.pass(24);
        self.backup();
    }
}

/// Another portion in the policy is no excuse to read everything again, nor to read nothing.
#[test]
fn parts_of_another_size_count_when_they_covered_everything() {
    let mut paper = Paper::new(1, 50);
    for _ in 0..6 {
        paper.pass(24);
        paper.backup();
        paper.round();
    }
    let before = paper.reads.len();
    for tier in paper.active.model.settings.tiers.values_mut() {
        tier.verification.portion_percent = 10;
    }
    paper.round();
    // The last whole turn is two days old; eight of ten parts were due before it.
    let now = paper.reads.len() - before;
    assert!(now <= 2 * 3, "{now}");
    for _ in 0..10 {
        paper.pass(24);
        paper.backup();
        paper.round();
    }
    let tenths: BTreeSet<u32> = paper.reads[before..].iter().map(|read| read.1).collect();
    assert_eq!(tenths.len(), 10);
}

/// Reading again can wait for a maintenance window, but not until it would be overdue.
#[test]
fn a_check_waits_for_a_maintenance_window_in_time() {
    let mut paper = Paper::new(1, 100);
    paper.pass(20);
    let now = paper.now;
    let checks = |paper: &Paper| {
        let planned = plan(&paper.active, &paper.observed, now);
        let steps = planned.steps.iter();
        let read = steps.filter(|it| matches!(it.step, Step::Check(_))).count();
        let windows = planned.waits.into_iter();
        let mut windows = windows.filter(|it| it.on.contains("maintenance"));
        (read, windows.next().and_then(|it| it.until))
    };
    let (due, _) = checks(&paper);
    assert!(due > 0);
    let window = |cron: String, hours: u64| {
        let window =
            serde_json::json!([{ "cron": cron, "timezone": "UTC", "lasts_s": hours * 3_600 }]);
        serde_json::from_value(window).unwrap()
    };
    let hour = |after: i64| {
        let then = now.checked_add(SignedDuration::from_hours(after)).unwrap();
        then.to_zoned(jiff::tz::TimeZone::UTC).hour()
    };
    // One that begins in an hour is waited for.
    let cron = format!("0 {} * * *", hour(1));
    paper.active.model.environment.maintenance_windows = window(cron, 1);
    let (read, until) = checks(&paper);
    assert_eq!(read, 0);
    assert!(
        until.is_some_and(|until| until.duration_since(now).as_hours() <= 1),
        "{until:?}"
    );
    // In one that is open it is read, and makes way at its end.
    let cron = format!("0 {} * * *", hour(0));
    paper.active.model.environment.maintenance_windows = window(cron, 2);
    assert_eq!(checks(&paper).0, due);
    // One that comes too late is not waited for.
    let day = now.checked_sub(SignedDuration::from_hours(48)).unwrap();
    let day = day.to_zoned(jiff::tz::TimeZone::UTC);
    let cron = format!("0 0 {} {} *", day.day(), day.month());
    paper.active.model.environment.maintenance_windows = window(cron, 1);
    assert_eq!(checks(&paper), (due, None));
}

/// A check makes way for whichever backup is next, and its next piece begins where it stopped.
#[test]
fn a_check_makes_way_and_continues_where_it_stopped() {
    let mut paper = Paper::new(1, 100);
    paper.pass(24 + 23);
    paper.backup();
    let checks = |paper: &Paper| -> Vec<(Check, Timestamp)> {
        let planned = plan(&paper.active, &paper.observed, paper.now);
        let steps = planned.steps.into_iter();
        steps
            .filter_map(|step| match step.step {
                Step::Check(check) => Some((check, step.deadline)),
                _ => None,
            })
            .collect()
    };
    let slot: Timestamp = "2026-11-03T00:00:00Z".parse().unwrap();
    paper.now = slot.checked_sub(SignedDuration::from_mins(2)).unwrap();
    let (check, deadline) = checks(&paper)[0].clone();
    assert_eq!((check.makes_way, check.begun.clone()), (slot, None));
    assert_eq!(
        deadline,
        paper
            .now
            .checked_add(SignedDuration::from_hours(24))
            .unwrap()
    );
    let reading = PartReading {
        plan_id: check.plan_id,
        kid: check.kid,
        location_id: check.location,
        part: check.part,
        of: check.of,
        since: paper.now,
        through: "ab".to_owned(),
        is_sound: true,
        objects: 7,
        bytes: 8,
    };
    let repository: &mut RepositoryObserved = paper.mine().repositories.get_mut(&kid()).unwrap();
    repository.reading.push(reading.clone());
    let again = checks(&paper);
    assert!(
        again
            .iter()
            .any(|(check, _)| check.begun.as_ref() == Some(&reading)),
        "{again:?}"
    );
    // However long it was away: what was read counts from when the reading began.
    paper.pass(24 * 3);
    paper.backup();
    let again = checks(&paper);
    assert!(
        again
            .iter()
            .any(|(check, _)| check.begun.as_ref() == Some(&reading))
    );
}

/// A point is lost when every location was listed and none has it; one that could not be listed may have it.
#[test]
fn only_what_was_looked_for_everywhere_is_lost() {
    let lost = |change: &dyn Fn(&mut BTreeMap<LocationId, Observation<BTreeSet<String>>>)| {
        let mut paper = Paper::new(7, 100);
        let at = paper.now;
        let repository = paper.mine().repositories.get_mut(&kid()).unwrap();
        for held in repository.held.values_mut() {
            let value = BTreeSet::from(["another".to_owned()]);
            *held = Observation::Known { value, at };
        }
        change(&mut repository.held);
        let planned = plan(&paper.active, &paper.observed, paper.now);
        assert_eq!(
            review(&planned, &paper.observed, &paper.active, paper.now),
            vec![]
        );
        let recorded = planned
            .steps
            .iter()
            .any(|step| matches!(step.step, Step::RecordLost(_)));
        let stalled = planned
            .stalled
            .iter()
            .any(|stall| stall.code.to_string() == "SW1018");
        assert_eq!(recorded, stalled);
        // The review comes to the same on its own, and objects where it does not.
        let mut forced = planned.clone();
        if !recorded {
            let all = BTreeSet::from([paper.mine_ref().runs[0].backup_id.clone()]);
            let points = reconciler::plan::Points {
                plan_id: id(),
                backup_ids: all,
            };
            forced.steps = vec![reconciler::plan::Planned {
                operation_id: "lost.x".to_owned(),
                step: Step::RecordLost(points),
                reason: String::new(),
                deadline: paper.now,
                stall_limit: None,
            }];
            assert!(!review(&forced, &paper.observed, &paper.active, paper.now).is_empty());
        }
        recorded
    };
    let [a, b] = locations();
    let at = "2026-11-01T00:10:00Z".parse().unwrap();
    assert!(lost(&|_| {}));
    assert!(lost(
        &|held| *held.get_mut(&b).unwrap() = Observation::Absent { at }
    ));
    let why = || Observation::Unknown {
        why: "dark".to_owned(),
    };
    assert!(!lost(&|held| *held.get_mut(&a).unwrap() = why()));
    assert!(!lost(&|held| drop(held.remove(&a))));
}

/// What is lost is told until it is there again or a person has accepted it, and takes no other point's place in retention.
#[test]
fn a_lost_point_is_told_until_it_is_found_or_accepted() {
    let mut paper = Paper::new(7, 100);
    let at = paper.now;
    paper.mine().runs[0].verification = Verification::Lost { at };
    let snapshot = paper.mine_ref().runs[0].snapshot_id.clone().unwrap();
    let planned = plan(&paper.active, &paper.observed, at);
    let found = planned
        .steps
        .iter()
        .any(|step| matches!(step.step, Step::RecordFound(_)));
    assert!(found && planned.stalled.is_empty(), "{planned:?}");
    let repository = paper.mine().repositories.get_mut(&kid()).unwrap();
    for held in repository.held.values_mut() {
        let Observation::Known { value, .. } = held else {
            panic!()
        };
        value.remove(&snapshot);
    }
    let planned = plan(&paper.active, &paper.observed, at);
    assert_eq!(planned.steps, vec![]);
    assert_eq!(planned.stalled[0].code.to_string(), "SW1018");
    let gone = paper.mine_ref().runs[0].backup_id.clone();
    paper.mine().acknowledged.insert(gone);
    assert_eq!(plan(&paper.active, &paper.observed, at).stalled, vec![]);
}
