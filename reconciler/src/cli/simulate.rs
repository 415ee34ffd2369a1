//! Owns the command that plays simulations: which scripts, and how their reports read. The interesting function is [`carry_out`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use clap::Args;
use contract::code;
use serde_json::json;

use super::{Format, json, print, print_as, tell};
use crate::failure::Failure;
use crate::simulate::{Report, Script, of_chance, play};

/// A script is written by a person.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// What is played.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A script (YAML): plans, and what goes wrong when. Without one, chance makes it from `--seed`
    script: Option<PathBuf>,
    /// The first seed
    #[arg(long, default_value_t = 1, conflicts_with = "script")]
    seed: u64,
    /// So many seeds, from the first one on
    #[arg(long, default_value_t = 1, conflicts_with = "script")]
    seeds: u64,
    /// Virtual days of each seed
    #[arg(long, default_value_t = 2, conflicts_with = "script")]
    days: u32,
    /// Print the script of the seed instead of playing it
    #[arg(long, conflicts_with = "script")]
    print: bool,
}

/// Plays what is asked for; 1 when a property does not hold.
pub(super) fn carry_out(arguments: &Arguments, format: Format) -> Result<u8, Failure> {
    if arguments.print {
        let script = of_chance(arguments.seed, arguments.days);
        let text = serde_json::to_string_pretty(&script).map_err(|error| unusable(&error))?;
        return print_as(&text).map(|()| 0);
    }
    if let Some(path) = &arguments.script {
        let report = play(&read(path)?)?;
        return shown(&[report], 1, format);
    }
    if arguments.seeds == 1 {
        let report = play(&of_chance(arguments.seed, arguments.days))?;
        return shown(&[report], 1, format);
    }
    let broken = seeds(arguments)?;
    let status = shown(&broken, arguments.seeds, format)?;
    if format == Format::Human {
        let (seeds, failed) = (arguments.seeds, broken.len());
        let days = seeds.saturating_mul(u64::from(arguments.days));
        print(&format!(
            "{seeds} seeds, {days} virtual days: {failed} with a property that does not hold"
        ))?;
    }
    Ok(status)
}

/// Plays many seeds side by side, and gives the reports of those with a property that does not hold.
fn seeds(arguments: &Arguments) -> Result<Vec<Report>, Failure> {
    let last = arguments.seed.saturating_add(arguments.seeds);
    let next = AtomicU64::new(arguments.seed);
    let own = || -> Result<Vec<Report>, Failure> {
        let mut broken = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return Ok(broken);
            }
            let report = play(&of_chance(seed, arguments.days))?;
            if !report.broken.is_empty() {
                broken.push(report);
            }
        }
    };
    let side_by_side = std::thread::available_parallelism().map_or(1, usize::from);
    let ended = std::thread::scope(|scope| {
        let all: Vec<_> = (0..side_by_side).map(|_| scope.spawn(own)).collect();
        let joined: Vec<_> = all.into_iter().map(ScopedJoinHandle::join).collect();
        joined
    });
    let mut broken = Vec::new();
    for one in ended {
        broken.extend(one.map_err(|_| unusable(&"a simulation panicked"))??);
    }
    broken.sort_by_key(|report| report.seed);
    Ok(broken)
}

fn shown(reports: &[Report], seeds: u64, format: Format) -> Result<u8, Failure> {
    if format == Format::Json {
        json(&json!({"seeds": seeds, "reports": reports}))?;
    } else {
        for report in reports {
            one(report)?;
        }
    }
    for broken in reports.iter().flat_map(|report| &report.broken).take(1) {
        let message = format!("{}: {}", broken.property, broken.what);
        let help = "`SEAWALLD_LOG=info` shows the run; `--print` shows the script of a seed, to be cut down";
        tell(
            &Failure::new(code::SIMULATION_BROKEN, message, help),
            format,
        );
    }
    Ok(u8::from(
        reports.iter().any(|report| !report.broken.is_empty()),
    ))
}

fn one(report: &Report) -> Result<(), Failure> {
    let (good, failed, missed) = report.slots;
    let counts = report.counts;
    print(&format!(
        "seed {}: {} virtual hours, {} lives of the daemon\n  slots     {good} with a point, {failed} failed, {missed} missed\n  work      {} backups, {} checks, {} copies, {} looks at locations\n  recorded  {} receipts in {} commits\n  run       {}",
        report.seed,
        report.seconds / 3_600,
        counts.lives,
        counts.backups,
        counts.checks,
        counts.catch_ups,
        counts.looks,
        report.receipts,
        counts.commits,
        report.run,
    ))?;
    for broken in &report.broken {
        print(&format!(
            "  BROKEN    {} at {} s: {}",
            broken.property, broken.at, broken.what
        ))?;
    }
    Ok(())
}

fn unusable(why: &dyn std::fmt::Display) -> Failure {
    let help = "name a script; `seawalld simulate --print` shows one";
    let message = format!("the script cannot be read: {why}");
    Failure::new(code::SIMULATION_UNUSABLE, message, help)
}

fn read(path: &Path) -> Result<Script, Failure> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| unusable(&error))?;
    let mut text = String::new();
    file.take(LONGEST_SCRIPT + 1)
        .read_to_string(&mut text)
        .map_err(|error| unusable(&error))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > LONGEST_SCRIPT) {
        return Err(unusable(&"it is longer than 1 MiB"));
    }
    serde_saphyr::from_str(&text).map_err(|error| unusable(&error))
}
