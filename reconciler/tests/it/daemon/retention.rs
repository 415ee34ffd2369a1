//! Retention that deletes: what policy lets go is marked, is deleted everywhere when its grace is over, and is in the receipts; and nothing
//! goes while anything is not known, too young, needed, or more than the budget allows.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use contract::duration::Seconds;
use contract::model::{DataRetention, DeleteBudget, MIN_DELETE_GRACE};
use contract::seal::Standing;
use jiff::SignedDuration;
use reconciler::domain::{Leaving, Observation, Observed, Pruning, Suspension, Verification};
use reconciler::plan::{ActivePolicy, Mark, Plan, Prune, Step, plan, retained};
use reconciler::review::review;
use serde_json::json;

use super::plans::{NOW, at, location, mine, with_points};
use super::world::{World, exporting, same_objects};

const DAY: Seconds = Seconds::days(1);

/// Four points of which two may go; those are marked since the day before, and policy lets ten go in a day.
fn ripe(change: impl FnOnce(&mut Observed, &mut ActivePolicy)) -> (ActivePolicy, Observed, Plan) {
    let (mut active, mut observed, _) = with_points(|_, _| {});
    active.model.environment.delete_grace_s = Some(DAY);
    active.model.environment.delete_budget = Some(DeleteBudget {
        points: 10,
        within_s: DAY,
    });
    for run in &mut mine(&mut observed).runs[..2] {
        run.leaving = Some(Leaving {
            since: at(NOW) - SignedDuration::from_hours(24),
            why: "no rule keeps it".to_owned(),
        });
    }
    change(&mut observed, &mut active);
    let planned = plan(&active, &observed, at(NOW));
    (active, observed, planned)
}

fn marks(plan: &Plan) -> Option<&Mark> {
    plan.steps.iter().find_map(|planned| match &planned.step {
        Step::Mark(mark) => Some(mark),
        _ => None,
    })
}

fn prunes(plan: &Plan) -> Option<&Prune> {
    plan.steps.iter().find_map(|planned| match &planned.step {
        Step::Prune(prune) => Some(prune),
        _ => None,
    })
}

#[test]
fn what_may_go_is_marked_and_goes_after_its_grace() {
    // Nothing is marked yet.
    let (active, observed, fresh) = ripe(|observed, _| {
        for run in &mut mine(observed).runs {
            run.leaving = None;
        }
    });
    assert_eq!(marks(&fresh).unwrap().going.len(), 2);
    assert_eq!(prunes(&fresh), None);
    assert!(review(&fresh, &observed, &active, at(NOW)).is_empty());
    // A second of the grace is left.
    let (.., early) = ripe(|observed, _| {
        for run in &mut mine(observed).runs {
            if let Some(leaving) = &mut run.leaving {
                leaving.since += SignedDuration::from_secs(1);
            }
        }
    });
    assert_eq!((marks(&early), prunes(&early)), (None, None));
    // It is over.
    let (active, observed, due) = ripe(|_, _| {});
    let prune = prunes(&due).unwrap();
    assert_eq!(prune.backup_ids.len(), 2);
    assert_eq!(prune.grace, DAY);
    assert!(review(&due, &observed, &active, at(NOW)).is_empty());
    let policy = active.model.plans.values().next().unwrap();
    let seen = observed.plans.values().next().unwrap();
    let said = retained(&active, policy, seen, at(NOW)).unwrap();
    assert_eq!(said.held_back, Vec::<String>::new());
    assert_eq!(said.points.iter().filter(|point| !point.keeps).count(), 2);
}

/// Each of these alone keeps every point, and the review says no to a prune that was planned without it.
#[test]
fn nothing_goes_while_anything_speaks_against_it() {
    let (.., due) = ripe(|_, _| {});
    type Case = (&'static str, fn(&mut Observed, &mut ActivePolicy));
    let cases: [Case; 14] = [
        ("no budget", |_, active| {
            active.model.environment.delete_budget = None;
        }),
        ("no grace", |_, active| {
            active.model.environment.delete_grace_s = None;
        }),
        ("a grace that is too short", |_, active| {
            active.model.environment.delete_grace_s =
                Some(Seconds::new(MIN_DELETE_GRACE.get() - 1));
        }),
        ("a longer grace", |_, active| {
            active.model.environment.delete_grace_s = Some(Seconds::days(2));
        }),
        ("the budget is used up", |observed, _| {
            mine(observed).deleted = 10;
        }),
        ("marks that are fresh", |observed, _| {
            for run in &mut mine(observed).runs {
                if let Some(leaving) = &mut run.leaving {
                    leaving.since = at(NOW);
                }
            }
        }),
        ("a stale bundle", |_, active| {
            active.standing = Standing::Stale;
        }),
        ("a location that is away", |observed, _| {
            let why = "dark".to_owned();
            let unknown = Observation::Unknown { why };
            mine(observed).copies.insert(location("loc_b"), unknown);
        }),
        ("a location that nobody looked at", |observed, _| {
            mine(observed).copies.remove(&location("loc_b"));
        }),
        ("a source that must be confirmed", |observed, _| {
            let newest = mine(observed).runs.last_mut().unwrap();
            let id = newest.dataset_ids.first().unwrap().clone();
            newest.collapsed.insert(id, "empty".to_owned());
        }),
        ("a suspended plan", |observed, _| {
            mine(observed).suspended = Some(Suspension {
                plan_id: super::plans::id(),
                until: at("2026-12-01T00:00:00Z"),
                reason: "an incident".to_owned(),
                actor: "olga".to_owned(),
                at: at(NOW),
            });
        }),
        ("a longer floor", |_, active| {
            for policy in active.model.plans.values_mut() {
                policy.retention.min_duration_s = Seconds::days(30);
            }
        }),
        ("more versions", |_, active| {
            for policy in active.model.plans.values_mut() {
                policy.retention.min_versions = 4;
            }
        }),
        ("nothing newer is verified", |observed, _| {
            for run in &mut mine(observed).runs[2..] {
                run.verification = Verification::Pending;
            }
        }),
    ];
    for (case, change) in cases {
        let (active, observed, planned) = ripe(change);
        assert_eq!(prunes(&planned), None, "{case}");
        let mut forced = planned.clone();
        forced.steps = due.steps.clone();
        let objections = review(&forced, &observed, &active, at(NOW));
        let is_stopped = |operation_id: &str| operation_id.starts_with("prune.");
        assert!(
            objections.iter().any(|it| is_stopped(&it.operation_id)),
            "{case}"
        );
    }
    // What the review cannot know better, the planner does.
    let held = |_: &mut Observed, active: &mut ActivePolicy| {
        let law = DataRetention {
            data_retention_id: "law".parse().unwrap(),
            data_classification: None,
            layer: None,
            min_duration_s: Seconds::new(0),
            max_duration_s: None,
            archive_after_s: None,
            purge_after_s: None,
            legal_hold: true,
        };
        let laws = &mut active.model.settings.data_retention;
        laws.insert(law.data_retention_id.clone(), law);
    };
    assert_eq!(prunes(&ripe(held).2), None);
    let damaged = |observed: &mut Observed, _: &mut ActivePolicy| {
        let repository = mine(observed).repositories.entry("k1".parse().unwrap());
        let damaged = BTreeSet::from(["data/00/0".to_owned()]);
        repository
            .or_default()
            .damaged
            .insert(location("loc_a"), damaged);
    };
    assert_eq!(prunes(&ripe(damaged).2), None);
}

/// A hold is about the data in a point, whatever the plan takes today.
#[test]
fn a_hold_keeps_points_of_a_dataset_that_left_the_plan() {
    let other = |observed: &mut Observed, _: &mut ActivePolicy| {
        for run in &mut mine(observed).runs {
            run.dataset_ids.insert("ds_other".parse().unwrap());
        }
    };
    let (active, observed, planned) = ripe(other);
    assert_eq!(prunes(&planned), None);
    let mut forced = planned.clone();
    forced.steps = ripe(|_, _| {}).2.steps;
    assert!(!review(&forced, &observed, &active, at(NOW)).is_empty());
}

/// What a restore replaced, and what holds a part, pushes no good point out, and goes when it would if it counted.
#[test]
fn what_does_not_count_takes_no_place() {
    // The two newest show what a restore replaced.
    let replaced = |observed: &mut Observed, _: &mut ActivePolicy| {
        for run in &mut mine(observed).runs[2..] {
            run.before_restore = true;
        }
    };
    assert_eq!(prunes(&ripe(replaced).2), None);
    // The two oldest do.
    let (active, observed, planned) = ripe(|observed, _| {
        for run in &mut mine(observed).runs[..2] {
            run.before_restore = true;
        }
    });
    assert_eq!(prunes(&planned).unwrap().backup_ids.len(), 2);
    assert!(review(&planned, &observed, &active, at(NOW)).is_empty());
}

#[test]
fn points_elsewhere_and_of_another_key_stay() {
    let elsewhere = |observed: &mut Observed, _: &mut ActivePolicy| {
        for run in &mut mine(observed).runs[..2] {
            let at = (location("loc_gone"), "loc_gone:dev/bp_files/k1".to_owned());
            run.storage_locations.extend([at]);
        }
    };
    let rotated = |observed: &mut Observed, _: &mut ActivePolicy| {
        for run in &mut mine(observed).runs[..2] {
            run.kid = "k0".parse().unwrap();
        }
    };
    assert_eq!(prunes(&ripe(elsewhere).2), None);
    let (.., planned) = ripe(rotated);
    assert_eq!(prunes(&planned), None);
    assert!(planned.would_forget.is_empty());
    // They lose their marks, which promise what is not done.
    assert_eq!(marks(&planned).unwrap().staying.len(), 2);
}

/// What a prune left over, because the budget allowed no more, does not wait for another grace; what failed does.
#[test]
fn what_the_budget_left_over_goes_when_it_allows_more() {
    let last = |is_good| {
        move |observed: &mut Observed, _: &mut ActivePolicy| {
            let repository = mine(observed).repositories.entry("k1".parse().unwrap());
            repository.or_default().pruned = Some(Pruning {
                plan_id: super::plans::id(),
                kid: "k1".parse().unwrap(),
                at: at(NOW) - SignedDuration::from_hours(1),
                marked: 0,
                is_good,
            });
            for run in &mut mine(observed).runs {
                if let Some(leaving) = &mut run.leaving {
                    leaving.since -= SignedDuration::from_hours(1);
                }
            }
        }
    };
    assert_eq!(prunes(&ripe(last(true)).2).unwrap().backup_ids.len(), 2);
    assert_eq!(prunes(&ripe(last(false)).2), None);
}

#[test]
fn a_point_that_stays_after_all_loses_its_mark() {
    let (active, observed, planned) = ripe(|_, active| {
        for policy in active.model.plans.values_mut() {
            policy.retention.keep.last = 4;
        }
    });
    assert_eq!(marks(&planned).unwrap().staying.len(), 2);
    assert_eq!(prunes(&planned), None);
    assert!(review(&planned, &observed, &active, at(NOW)).is_empty());
}

#[test]
fn a_repository_is_pruned_once_in_a_grace_and_the_budget_bounds_it() {
    let last = |hours: i64, marked: u64| Pruning {
        plan_id: super::plans::id(),
        kid: "k1".parse().unwrap(),
        at: at(NOW) - SignedDuration::from_hours(hours),
        marked,
        is_good: true,
    };
    let pruned = |observed: &mut Observed, pruning| {
        let repository = mine(observed).repositories.entry("k1".parse().unwrap());
        repository.or_default().pruned = Some(pruning);
    };
    assert_eq!(
        prunes(&ripe(|observed, _| pruned(observed, last(23, 9))).2),
        None
    );
    let (.., rested) = ripe(|observed, _| pruned(observed, last(24, 9)));
    assert_eq!(prunes(&rested).unwrap().backup_ids.len(), 2);
    // Packs whose grace is over go, too, when there is no point to delete.
    let alone = |observed: &mut Observed, marked| {
        for run in &mut mine(observed).runs {
            run.leaving = None;
        }
        pruned(observed, last(24, marked));
    };
    let (active, observed, packs) = ripe(|observed, _| alone(observed, 9));
    assert!(prunes(&packs).unwrap().backup_ids.is_empty());
    assert!(review(&packs, &observed, &active, at(NOW)).is_empty());
    assert_eq!(prunes(&ripe(|observed, _| alone(observed, 0)).2), None);
    // One may still go: the oldest.
    let (active, observed, one) = ripe(|observed, _| mine(observed).deleted = 9);
    let ids = &prunes(&one).unwrap().backup_ids;
    assert_eq!(ids.len(), 1);
    assert_eq!(
        ids.first(),
        Some(&mine(&mut observed.clone()).runs[0].backup_id)
    );
    assert!(review(&one, &observed, &active, at(NOW)).is_empty());
}

/// A world whose policy was published twelve days ago and lets points be deleted after a day.
fn deleting() -> World {
    let mut world = World::new();
    world.age = SignedDuration::from_hours(24 * 12);
    world.validity = SignedDuration::from_hours(24 * 30);
    world.model["environment"]["delete_budget"] = json!({ "points": 100, "within_s": 86_400 });
    world.model["environment"]["delete_grace_s"] = 86_400.into();
    world.forget_the_last();
    world.publish();
    world
}

/// A command of the daemon as it is some days ago.
fn then(world: &World, days: u32, arguments: &[&str]) -> Output {
    let now = world.command(arguments);
    Command::new("faketime")
        .args(["-f", &format!("-{days}d")])
        .arg(now.get_program())
        .args(now.get_args())
        .output()
        .unwrap()
}

fn days_ago(world: &World, days: u32) {
    let output = then(world, days, &["once"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{days}: {said}");
}

fn points(world: &World) -> BTreeSet<String> {
    let catalog = world.json(0, &["catalog"]);
    let all = catalog.as_array().unwrap().iter();
    all.map(|run| run["backup_id"].as_str().unwrap().to_owned())
        .collect()
}

fn bytes(world: &World, location: &str) -> u64 {
    walkdir::WalkDir::new(world.path(location).join("dev"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.metadata().unwrap().len())
        .sum()
}

#[test]
fn what_policy_lets_go_is_deleted_at_all_locations_and_stays_so() {
    let world = deleting();
    let mut at_most = 0;
    for days in (0..=9).rev() {
        world.put(
            "live/own",
            &crate::vault::world::noise(days.into(), 1 << 20),
        );
        days_ago(&world, days);
        at_most = at_most.max(points(&world).len());
        // What is there is whole at both, whatever the phase is.
        let (a, b) = (world.path("loc_a"), world.path("loc_b"));
        same_objects(&a.join("dev"), &b.join("dev"));
    }
    // Two that are kept, one that is marked, and one whose turn comes.
    assert!((3..=4).contains(&at_most), "{at_most}");
    let left = points(&world);
    assert!((3..=4).contains(&left.len()), "{left:?}");
    // Ten runs stored a mebibyte each.
    assert!(
        bytes(&world, "loc_a") < 7 << 20,
        "{}",
        bytes(&world, "loc_a")
    );
    for location in ["loc_a", "loc_b"] {
        let check = Command::new("restic")
            .args(["--no-cache", "check", "--read-data", "--repo"])
            .arg(world.path(location).join("dev/bp_files/k1"))
            .arg("--password-file")
            .arg(world.path("k1.key"))
            .output()
            .unwrap();
        assert!(check.status.success(), "{check:?}");
    }
    // The ones that stay come back.
    for (number, point) in left.iter().enumerate() {
        let target = world.path(&format!("back{number}"));
        world.expect(0, &exporting("ds_files", &["backup-id", point], &target));
        assert_eq!(
            std::fs::metadata(target.join("own")).unwrap().len(),
            1 << 20
        );
    }
    // Which rule decides of each, and when it goes.
    let said = world.json(0, &["retention", "--plan", "bp_files"]);
    let of_plan = said[0]["points"].as_array().unwrap();
    assert_eq!(of_plan.len(), left.len());
    assert!(
        of_plan
            .iter()
            .any(|point| point["keeps"] == false && !point["goes"].is_null())
    );
    assert!(of_plan.iter().any(|point| point["why"][0] == "last"));
    // The catalog that receipts and locations tell is the same: what was deleted does not come back.
    std::fs::rename(world.path("state"), world.path("lost")).unwrap();
    world.expect(0, &["catalog", "rebuild"]);
    assert_eq!(points(&world), left);
}

/// Nothing is deleted, and everything is told, while a location is away.
#[test]
fn a_location_that_is_away_keeps_every_point() {
    let world = deleting();
    for days in (6..=9).rev() {
        days_ago(&world, days);
    }
    let before = points(&world);
    std::fs::rename(world.path("loc_b"), world.path("away")).unwrap();
    // It ends with an error, and its other location has a new point.
    then(&world, 5, &["once"]);
    assert!(points(&world).is_superset(&before));
    let said = world.json(0, &["retention"]);
    let held = said[0]["held_back"].to_string();
    assert!(held.contains("loc_b"), "{held}");
    let shown = world.expect(0, &["retention"]);
    assert!(
        shown.contains("nothing is deleted: location `loc_b`"),
        "{shown}"
    );
}

/// A location that is replaced by an older copy of itself brings back what was deleted since; it goes again.
#[test]
fn what_an_older_copy_of_a_location_brings_back_goes_again() {
    let world = deleting();
    let copy = |from: &str, to: &str| {
        let done = Command::new("cp")
            .arg("-a")
            .args([world.path(from), world.path(to)])
            .status()
            .unwrap();
        assert!(done.success());
    };
    for days in (6..=9).rev() {
        days_ago(&world, days);
    }
    copy("loc_b/dev", "older");
    for days in (4..=5).rev() {
        days_ago(&world, days);
    }
    std::fs::remove_dir_all(world.path("loc_b/dev")).unwrap();
    copy("older", "loc_b/dev");
    for days in (0..=3).rev() {
        then(&world, days, &["once"]);
    }
    let left = points(&world);
    for location in ["loc_a", "loc_b"] {
        let below = world.path(location).join("dev/bp_files/k1/snapshots");
        let held = std::fs::read_dir(below).unwrap().count();
        assert_eq!(held, left.len(), "{location}");
    }
}

/// Who makes room at one location by hand hears that the others fill it again.
#[test]
fn what_a_person_removed_at_one_location_is_brought_back_and_told() {
    let mut world = World::new();
    world.publish();
    world.json(0, &["once"]);
    for number in 0..2 {
        world.put("live/own", &crate::vault::world::noise(number, 1 << 20));
        std::thread::sleep(std::time::Duration::from_secs(1));
        world.expect(0, &["backup", "bp_files"]);
    }
    let forget = Command::new("restic")
        .args([
            "--no-cache",
            "forget",
            "--keep-last",
            "1",
            "--prune",
            "--repo",
        ])
        .arg(world.path("loc_a/dev/bp_files/k1"))
        .arg("--password-file")
        .arg(world.path("k1.key"))
        .output()
        .unwrap();
    assert!(forget.status.success(), "{forget:?}");
    let round = world.json(0, &["once"]);
    let summary = round["done"].to_string();
    assert!(
        summary.contains("brought back 2 recovery points that the location had lost"),
        "{summary}"
    );
}
