//! Owns scripts that chance makes. Whatever chance decides is in the script, so that a seed can be printed, cut down and kept as a story.

use std::collections::{BTreeMap, BTreeSet};

use contract::duration::Seconds;
use contract::id::{LocationId, PlanId};
use fastrand::Rng;
use jiff::Timestamp;

use super::script::{Event, Jump, PlanScript, Script, What};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A script of so many days.
pub fn of_chance(seed: u64, days: u32) -> Script {
    let mut random = Rng::with_seed(seed);
    let lasts = u64::from(days.max(1)) * DAY;
    let all = ["loc_a", "loc_b", "loc_c"];
    let locations: Vec<LocationId> = all.iter().filter_map(|id| id.parse().ok()).collect();
    let mut plans = BTreeMap::new();
    for name in ["bp_a", "bp_b", "bp_c"].iter().take(random.usize(1..=3)) {
        if let Ok(id) = name.parse::<PlanId>() {
            plans.insert(id, plan(&mut random, lasts, &locations));
        }
    }
    let mut script = Script {
        about: String::new(),
        seed,
        // A Sunday, so that days and weeks begin with it.
        begins: Timestamp::from_second(1_772_323_200).unwrap_or(Timestamp::UNIX_EPOCH),
        lasts: Seconds::new(lasts),
        interval: Seconds::new(900),
        look_interval: Seconds::new(1_800),
        workers: 8,
        plans,
        events: Vec::new(),
    };
    let quiet = script.quiet_from();
    for _ in 0..random.u32(1..=4 * days.max(1)) {
        let what = what(&mut random, &script);
        let lasts = if what.is_lasting() {
            random.u64(1..=21_600)
        } else {
            0
        };
        let at = random.u64(0..quiet);
        script.events.push(Event {
            at: Seconds::new(at),
            lasts: Seconds::new(lasts.min(quiet - at)),
            what,
        });
    }
    script.events.sort_by_key(|event| event.at);
    script
}

fn plan(random: &mut Rng, lasts: u64, locations: &[LocationId]) -> PlanScript {
    let every = pick(random, &[900, 3_600, 3_600, 10_800])
        .copied()
        .unwrap_or(3_600);
    let mut chosen: BTreeSet<LocationId> = BTreeSet::new();
    let wanted = random.usize(1..=3);
    while chosen.len() < wanted {
        chosen.extend(pick(random, locations).cloned());
    }
    let most = u32::try_from(chosen.len()).unwrap_or(1);
    PlanScript {
        times: None,
        every: Seconds::new(every),
        window: Seconds::new(every / 2),
        run: Seconds::new(random.u64(1..=every / 8)),
        commit: random.u32(1..=most),
        locations: chosen,
        checked: random.bool(),
        retries: random.u32(0..=2),
        // Within half of the quiet time, so that what rotted before is found and repaired before the end is judged.
        read_every: Seconds::new(lasts / 12),
    }
}

fn pick<'a, T>(random: &mut Rng, from: &'a [T]) -> Option<&'a T> {
    from.get(random.usize(0..from.len().max(1)))
}

fn what(random: &mut Rng, script: &Script) -> What {
    let plans: Vec<PlanId> = script.plans.keys().cloned().collect();
    let locations: Vec<LocationId> = script.locations().into_iter().collect();
    // Both hold at least one.
    let (Some(plan), Some(location)) = (
        pick(random, &plans).cloned(),
        pick(random, &locations).cloned(),
    ) else {
        return What::PolicyPublished;
    };
    // What rots at the only place where it is stays so.
    let can_rot = script.plans.values().all(|plan| plan.locations.len() > 1);
    let (number, durable) = (random.u32(1..=30), random.bool());
    match random.u32(0..23) {
        0 => What::GitHangs,
        1 => What::GitRewinds,
        2 => What::PolicyPublished,
        3 | 4 => What::LocationHangs(location),
        5 => What::LocationFails(location),
        6 => What::LocationIsStale(location),
        7 => What::LocationSeemsEmpty(location),
        8 if can_rot => What::ObjectRots(location),
        8 | 9 => What::SourceHangs(plan),
        10 => What::SourceFails(plan),
        11 => What::WorkerDies {
            plan,
            step: random.u32(0..8),
        },
        12 => What::WorkerRepeats(plan),
        13 => What::Killed,
        14 => What::KilledAtCommit { number, durable },
        15 => What::KilledAtPause(number),
        16 => What::CommitFails { number, durable },
        17 => What::Stopped,
        18 => What::SecondDaemon,
        19 => What::ClockJumps(Jump {
            seconds: random.i64(-7_200..=7_200),
        }),
        20 => pick(
            random,
            &[What::Backup(plan.clone()), What::Verify, What::Cancel(plan)],
        )
        .cloned()
        .unwrap_or(What::Verify),
        21 => What::TakenOver,
        _ => What::Suspend(plan),
    }
}
