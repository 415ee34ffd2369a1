//! Owns the command line of `seawalld`: arguments in, one command, an exit status out. Data goes to standard output,
//! everything else to standard error. The interesting function is [`run`].
#![expect(
    clippy::disallowed_methods,
    reason = "shell: the command line reads its files and the environment"
)]

mod asked;
mod catalog;
mod manual;
mod meter;
mod receipts;
mod retention;
mod setup;
mod show;
mod simulate;
mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use contract::duration::Seconds;
use contract::hidden;
use contract::id::{BackupId, ChannelId, DatasetId, LocationId, PlanId};
use jiff::Timestamp;
use serde::Serialize;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::api::client::Client;
use crate::api::{Asked, OperationView};
use crate::config::{self, Config, ConfigError};
use crate::control::execute::Done;
use crate::control::restore::{Point, Request, Wanted};
use crate::control::{Daemon, impact, notify, operate, overview, timekeeping};
use crate::failure::Failure;
use crate::service;
use crate::spans;
use crate::world::cancel::Cancel;
use crate::world::clock;
use crate::world::process::signals;

/// Makes reality match the accepted recovery policy, and keeps the evidence.
#[derive(Debug, Parser)]
#[command(name = "seawalld", version, about, max_term_width = 100)]
pub struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        env = "SEAWALLD_CONFIG",
        default_value = "/etc/seawall/seawalld.yaml"
    )]
    config: PathBuf,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value = "human")]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for people
    Human,
    /// JSON for programs
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run as a service: follow the policy and attend to every plan until asked to end
    Run,
    /// Run one round: fetch, accept, plan, execute, record
    Once,
    /// Show what a round would do and why, and what retention lets go; changes nothing
    Plan,
    /// Play the daemon in a simulated world where git, locations, workers and clocks fail, and check what must hold of every run
    Simulate(simulate::Arguments),
    /// Show how everything stands
    Status,
    /// List recovery points and failed runs, or rebuild the catalog after the state was lost
    Catalog {
        /// Only this plan
        #[arg(long)]
        plan: Option<PlanId>,
        #[command(subcommand)]
        command: Option<catalog::Command>,
    },
    /// List how slots ended
    Slots {
        /// Only this plan
        #[arg(long)]
        plan: Option<PlanId>,
    },
    /// Show which recovery points stay and which are to be deleted, by which rule and when, and what holds deletion back
    Retention {
        /// Only this plan
        #[arg(long)]
        plan: Option<PlanId>,
    },
    /// List alerts that are active, acknowledge one, or test a notification channel
    Alerts {
        #[command(subcommand)]
        command: Option<AlertsCommand>,
    },
    /// Take a recovery point of a plan now
    Backup {
        /// The plan
        plan: PlanId,
    },
    /// Read recovery points again at every location: one, or the newest of each plan
    Verify {
        /// The recovery point
        backup_id: Option<BackupId>,
    },
    /// List the operations of the running daemon that are in progress, and those that finished recently
    Operations,
    /// Follow an operation of the running daemon: how far it is, its rate and the time left. Ctrl-C ends only the watching
    Watch {
        /// Its name, as `operations` lists it
        operation: String,
    },
    /// Ask an operation of the running daemon to end
    Cancel {
        /// Its name, as `operations` lists it
        operation: String,
    },
    /// Begin no scheduled backup of a plan for a time; what is stored is checked and copied meanwhile
    Suspend(SuspendArguments),
    /// Let the schedule of a suspended plan count again
    Resume {
        /// The plan
        plan: PlanId,
    },
    /// Accept that a recovery point is lost (SW1018) or damaged (SW1008), so that it is not reported any more
    AcceptLoss {
        /// The recovery point
        backup_id: BackupId,
        /// What happened, for the receipt
        #[arg(long)]
        note: String,
    },
    /// Bring a dataset back
    Restore(RestoreArguments),
    /// Show, verify or export the receipt log
    Receipts {
        #[command(subcommand)]
        command: Option<receipts::Command>,
    },
    /// Accept a location whose folder is not the one that was used before
    Location {
        #[command(subcommand)]
        command: LocationCommand,
    },
    /// Show which recovery points need an object of a repository, and where else they are. Changes nothing
    Impact {
        /// The location
        location: LocationId,
        /// The object, as messages name it: `data/ab/<64 digits>`, or its path below the location
        object: String,
    },
    /// Show what vouches for the clock, or confirm that it is right
    Clock {
        #[command(subcommand)]
        command: Option<ClockCommand>,
    },
    /// Say that a source is what it should be
    Source {
        #[command(subcommand)]
        command: SourceCommand,
    },
    /// Check configuration, git, trust, locations, keys, sources and store, each with advice
    Doctor,
    /// Write a first configuration from the published policy: every id that has to be bound, with the bindings that fit
    Init(setup::Init),
    /// Check the configuration file, or print its JSON Schema
    Config {
        #[command(subcommand)]
        command: setup::ConfigCommand,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write manual pages: seawalld.1 and a page for each command
    Man {
        /// Folder to write into
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum LocationCommand {
    /// Accept the folder of a location as it is now. Marks it where it has no mark, and leaves a receipt
    Adopt {
        /// The location
        location: LocationId,
    },
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// Take an alert on: no further channel is notified of it, unless it becomes worse. Leaves a receipt
    Ack {
        /// The alert, as `alerts` and its notifications name it
        alert: String,
        /// What is done about it, for the receipt
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Send a test message to a channel, and wait until its receiver has taken it
    Test {
        /// The channel
        channel: ChannelId,
    },
}

#[derive(Debug, Subcommand)]
enum ClockCommand {
    /// Record in a receipt that the clock is right, although receipts and bundle speak against it (SW1012)
    Confirm,
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// Record in a receipt that the source of a dataset is as it should be, although it collapsed or changed (SW1028)
    Accept {
        /// The dataset
        dataset: DatasetId,
        /// Why, for the receipt
        #[arg(long, default_value = "")]
        note: String,
    },
}

#[derive(Debug, Args)]
struct SuspendArguments {
    /// The plan
    plan: PlanId,
    /// How long, such as `PT2H` or `P1D`
    #[arg(
        long = "for",
        value_name = "DURATION",
        required_unless_present = "until"
    )]
    length: Option<Seconds>,
    /// Until when, such as `2026-10-25T06:00:00Z`
    #[arg(long, value_name = "INSTANT", conflicts_with = "length")]
    until: Option<Timestamp>,
    /// Why, for the receipt and the status
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
struct RestoreArguments {
    /// The dataset
    #[arg(long)]
    dataset: DatasetId,
    /// Which state: `latest`, `latest-before INSTANT` or `backup-id ID`
    #[arg(long, num_args = 1..=2, required = true, value_names = ["WHICH", "VALUE"])]
    point: Vec<String>,
    /// Where it goes
    #[arg(long, value_enum)]
    mode: RestoreMode,
    /// A folder, a file, or the name of a new database; not in place
    #[arg(long)]
    target: Option<String>,
    /// In place, go on without a recovery point of what is there, where none can be taken; it is kept aside
    #[arg(long)]
    without_safety_point: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RestoreMode {
    /// As files, into an empty folder
    ExportOnly,
    /// Usable, next to the original
    SideBySide,
    /// Over the original, after a recovery point of it was taken
    InPlace,
}

/// Runs one command and says how it ended.
pub fn run(arguments: &Arguments) -> ExitCode {
    let wanted = match arguments.command {
        // A million lines of a daemon that is made to fail.
        Command::Simulate(_) => "off",
        _ => LOGGED,
    };
    let is_daemon = matches!(arguments.command, Command::Run | Command::Once);
    // The last spans are sent when it is dropped.
    let _traces = logs(arguments.format, wanted, is_daemon);
    let status = match carry_out(arguments) {
        Ok(status) => status,
        Err(failure) => {
            tell(&failure, arguments.format);
            failure.exit_status()
        }
    };
    ExitCode::from(status)
}

/// What is logged where `SEAWALLD_LOG` says nothing else.
const LOGGED: &str = "warn,reconciler=info";

/// Logs go to standard error: plain lines for people, JSON for programs; `SEAWALLD_LOG` chooses what is logged.
fn logs(format: Format, wanted: &str, is_traced: bool) -> Option<spans::Sender> {
    let filter = EnvFilter::try_from_env("SEAWALLD_LOG").unwrap_or_else(|_| EnvFilter::new(wanted));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Plain(std::io::stderr()))
        // Whoever read our log may have gone; that is no reason to end.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(table::colours(&std::io::stderr()));
    let lines = match format {
        Format::Human => lines.compact().boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let mut layers = vec![lines.with_filter(filter).boxed()];
    let traced = if is_traced {
        spans::layer(|name| std::env::var(name).ok())
    } else {
        Ok(None)
    };
    let traced = traced.map(|found| {
        let (layer, sender) = found?;
        layers.push(layer);
        Some(sender)
    });
    let _ = tracing_subscriber::registry().with(layers).try_init();
    traced.unwrap_or_else(|why| {
        tracing::warn!(event = "traces_off", "no traces are sent: {why}");
        None
    })
}

/// Standard error without hidden characters: what is logged may quote the name of a stranger's file. Escape sequences are
/// the log's own colours; it replaces those of messages.
struct Plain(std::io::Stderr);

impl std::io::Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let plain: String = text
            .chars()
            .map(|letter| match letter {
                '\u{1b}' => letter,
                _ if hidden::is_hidden(letter) => '\u{fffd}',
                _ => letter,
            })
            .collect();
        self.0.write_all(plain.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A worker logs for its parent, which reads the lines and logs them as its own.
pub fn child_logs() {
    let _none = logs(Format::Json, LOGGED, false);
}

fn tell(failure: &Failure, format: Format) {
    let mut out = std::io::stderr().lock();
    let _ = match format {
        Format::Human => writeln!(out, "error{failure}\n  help: {}", failure.help),
        Format::Json => {
            let text = serde_json::json!({ "error": failure }).to_string();
            writeln!(out, "{}", escaped(&text))
        }
    };
}

fn carry_out(arguments: &Arguments) -> Result<u8, Failure> {
    let format = arguments.format;
    let config = || read(&arguments.config);
    match &arguments.command {
        Command::Simulate(arguments) => simulate::carry_out(arguments, format),
        Command::Run => forever(config()?),
        Command::Once => {
            let daemon = Daemon::open(config()?, stop_on_signal()?)?;
            daemon.watch_hold();
            let round = service::once::once(daemon)?;
            for failure in round.followed.problem.iter().chain(&round.failures) {
                tell(failure, format);
            }
            show::round(&round, format)?;
            Ok(round.exit_status())
        }
        Command::Plan => planned(config()?, format),
        Command::Status => standing(config()?, format),
        Command::Catalog { plan, command } => {
            catalog::carry_out(&config()?, plan.as_ref(), command.as_ref(), format).map(|()| 0)
        }
        Command::Slots { plan } => {
            let daemon = reading(config()?)?;
            operate::known(&daemon, plan.as_ref())?;
            let slots = daemon.store.slots(plan.as_ref())?;
            show::slots(&slots, format).map(|()| 0)
        }
        Command::Retention { plan } => {
            retention::show(config()?, plan.as_ref(), format).map(|()| 0)
        }
        Command::Alerts { command } => alerts(config()?, command.as_ref(), format),
        Command::Backup { plan } => {
            let plan_id = plan.clone();
            asked::carry_out(config()?, Asked::Backup { plan_id }, format)
        }
        Command::Verify { backup_id } => {
            let backup_id = backup_id.clone();
            asked::carry_out(config()?, Asked::Verify { backup_id }, format)
        }
        Command::AcceptLoss { backup_id, note } => {
            let (backup_id, note) = (backup_id.clone(), note.clone());
            asked::carry_out(config()?, Asked::AcceptLoss { backup_id, note }, format)
        }
        Command::Suspend(arguments) => asked::carry_out(config()?, suspension(arguments), format),
        Command::Resume { plan } => {
            let plan_id = plan.clone();
            asked::carry_out(config()?, Asked::Resume { plan_id }, format)
        }
        Command::Restore(arguments) => {
            let request = request(arguments)?;
            asked::carry_out(config()?, Asked::Restore { request }, format)
        }
        Command::Operations => {
            // Without a daemon nothing is under way.
            let all = Client::reach(&config()?.socket_path())
                .map_or(Ok(Vec::new()), |client| client.operations())?;
            show::operations(&all, format).map(|()| 0)
        }
        Command::Watch { operation } => watch(&config()?, operation, format),
        Command::Cancel { operation } => cancel(&config()?, operation),
        Command::Receipts { command } => receipts::carry_out(config()?, command.as_ref(), format),
        Command::Location {
            command: LocationCommand::Adopt { location },
        } => {
            let location_id = location.clone();
            asked::carry_out(config()?, Asked::AdoptLocation { location_id }, format)
        }
        Command::Impact { location, object } => {
            let found = impact::impact(&reading(config()?)?, location, object)?;
            show::impact(&found, format).map(|()| 0)
        }
        Command::Clock { command: None } => {
            let view = timekeeping::view(&reading(config()?)?)?;
            show::clock(&view, format).map(|()| 0)
        }
        Command::Clock {
            command: Some(ClockCommand::Confirm),
        } => asked::carry_out(config()?, Asked::ConfirmClock {}, format),
        Command::Source {
            command: SourceCommand::Accept { dataset, note },
        } => {
            let (dataset_id, note) = (dataset.clone(), note.clone());
            asked::carry_out(config()?, Asked::AcceptSource { dataset_id, note }, format)
        }
        Command::Init(arguments) => setup::init(arguments),
        Command::Config { command } => setup::config(command, &arguments.config, format),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { out } => manual::man(out),
        Command::Doctor => asked::carry_out(config()?, Asked::Doctor {}, format),
    }
}

/// Lists alerts, or does something about one.
fn alerts(config: Config, command: Option<&AlertsCommand>, format: Format) -> Result<u8, Failure> {
    let asked = match command {
        None => {
            let alerts = notify::shown(&reading(config)?)?;
            return show::alerts(&alerts, format).map(|()| 0);
        }
        Some(AlertsCommand::Ack { alert, note }) => Asked::AcknowledgeAlert {
            alert_id: alert.clone(),
            note: note.clone(),
        },
        Some(AlertsCommand::Test { channel }) => Asked::TestChannel {
            channel_id: channel.clone(),
        },
    };
    asked::carry_out(config, asked, format)
}

/// The status, by the daemon if one runs. One that cannot answer is no reason to show nothing.
fn standing(config: Config, format: Format) -> Result<u8, Failure> {
    let answer = Client::reach(&config.socket_path()).and_then(|client| {
        let status = client.status().ok()?;
        Some((status, client.operations().unwrap_or_default()))
    });
    if let Some((status, operations)) = answer {
        show::status(&status, format)?;
        if format == Format::Human {
            show::under_way(&operations)?;
        }
        return Ok(u8::from(status.is_stalled()));
    }
    let daemon = reading(config)?;
    let preview = overview::stand(&daemon)?;
    let status = overview::status_of(&daemon, &preview, clock::now())?;
    show::status(&status, format)?;
    Ok(u8::from(status.is_stalled()))
}

/// The running daemon, for commands that mean nothing without it.
fn running(config: &Config) -> Result<Client, Failure> {
    Client::reach(&config.socket_path()).ok_or_else(|| {
        Failure::new(
            contract::code::API_UNREACHABLE,
            "no daemon runs here, so nothing is in progress",
            "a command that works without a daemon shows its own progress, and ends by Ctrl-C",
        )
    })
}

fn watch(config: &Config, operation: &str, format: Format) -> Result<u8, Failure> {
    let mut line = meter::Line::new();
    let mut unprinted = None;
    let ended = running(config)?.watch(operation, &mut |now| match format {
        Format::Human => {
            if let Some(pace) = &now.progress {
                line.show(pace);
            }
        }
        Format::Json => {
            let text = serde_json::to_string(now).unwrap_or_default();
            if let Err(failure) = print_as(&escaped(&text)) {
                unprinted = Some(failure);
            }
        }
    })?;
    drop(line);
    if let Some(failure) = unprinted {
        return Err(failure);
    }
    match (ended, format) {
        (
            Some(OperationView {
                failure: Some(failure),
                ..
            }),
            _,
        ) => Err(failure),
        (_, Format::Json) => Ok(0),
        (Some(_), Format::Human) => print(&format!("`{operation}` succeeded")).map(|()| 0),
        (None, Format::Human) => print(&format!(
            "`{operation}` is in progress no more; `seawalld receipts` shows how it ended"
        ))
        .map(|()| 0),
    }
}

fn cancel(config: &Config, operation: &str) -> Result<u8, Failure> {
    let client = running(config)?;
    client.cancel(operation)?;
    print(&format!("`{operation}` is asked to end")).map(|()| 0)
}

fn planned(config: Config, format: Format) -> Result<u8, Failure> {
    let daemon = reading(config)?;
    let preview = overview::preview(&daemon)?;
    show::preview(&preview, format)?;
    Ok(match &preview.followed.problem {
        Some(problem) => {
            tell(problem, format);
            problem.exit_status()
        }
        None => u8::from(!preview.objections.is_empty()),
    })
}

fn reading(config: Config) -> Result<Daemon, Failure> {
    // Without a store there is nothing to read beside: the first look makes it.
    if config.store_path().exists() {
        Daemon::open_read_only(config)
    } else {
        Daemon::open(config, Cancel::new())
    }
}

fn ended(done: &[Done], format: Format) -> Result<u8, Failure> {
    show::done(done, format)?;
    let worst = done
        .iter()
        .filter_map(|done| done.failure.as_ref())
        .map(|failure| {
            tell(failure, format);
            1
        })
        .max();
    Ok(worst.unwrap_or(0))
}

fn read(path: &Path) -> Result<Config, Failure> {
    Ok(config::parse(&text_of(path)?, path)?)
}

/// The text of the configuration file.
fn text_of(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| ConfigError::Unreadable {
        path: path.display().to_string(),
        why,
    };
    let size = std::fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > config::MAX_CONFIG_BYTES {
        return Err(unreadable(format!(
            "it is longer than {} bytes",
            config::MAX_CONFIG_BYTES
        ))
        .into());
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()).into())
}

fn suspension(arguments: &SuspendArguments) -> Asked {
    let now = clock::now();
    let after = |length: Seconds| crate::plan::after(now, length);
    Asked::Suspend {
        plan_id: arguments.plan.clone(),
        until: arguments
            .until
            .or(arguments.length.map(after))
            .unwrap_or(now),
        reason: arguments.reason.clone(),
    }
}

fn request(arguments: &RestoreArguments) -> Result<Request, Failure> {
    let unfit = |why: String| {
        Failure::new(
            contract::code::RESTORE_UNFIT,
            why,
            "write `--point latest`, `--point latest-before 2026-10-25T00:30:00Z` or `--point backup-id ID`",
        )
    };
    let words: Vec<&str> = arguments.point.iter().map(String::as_str).collect();
    let point = match words.as_slice() {
        ["latest"] => Point::Latest,
        ["latest-before", at] => Point::LatestBefore(at.parse::<Timestamp>().map_err(|_| {
            unfit(format!(
                "`{at}` is not a timestamp with a UTC offset, such as `2026-10-25T00:30:00Z`"
            ))
        })?),
        ["backup-id", id] => {
            Point::BackupId(id.parse().map_err(|error| unfit(format!("{error}")))?)
        }
        _ => return Err(unfit(format!("`{}` names no point", words.join(" ")))),
    };
    Ok(Request {
        dataset: arguments.dataset.clone(),
        point,
        mode: match arguments.mode {
            RestoreMode::ExportOnly => Wanted::ExportOnly,
            RestoreMode::SideBySide => Wanted::SideBySide,
            RestoreMode::InPlace => Wanted::InPlace,
        },
        target: arguments.target.clone(),
        without_safety_point: arguments.without_safety_point,
    })
}

/// SIGTERM and SIGINT ask everything to end: effects are stopped, their intents are closed, and the process leaves.
fn stop_on_signal() -> Result<Cancel, Failure> {
    let stop = Cancel::new();
    let asked = stop.clone();
    let failed = |error: std::io::Error| {
        Failure::new(
            contract::code::EFFECT_PANICKED,
            format!("signals cannot be waited for: {error}"),
            "check the limits of this process",
        )
    };
    signals::when_asked_to_end(&signals::ASKING, move || {
        tracing::info!(event = "stopping", "stopping");
        asked.cancel();
    })
    .map_err(failed)?;
    Ok(stop)
}

fn forever(config: Config) -> Result<u8, Failure> {
    let daemon = Daemon::open(config, stop_on_signal()?)?;
    let (environment, reconciler) = (&daemon.config.environment, &daemon.config.reconciler_id);
    tracing::info!(event = "started", version = env!("CARGO_PKG_VERSION"), %environment, %reconciler, config = %daemon.config.file.display(), "seawalld runs");
    service::run(daemon)?;
    tracing::info!(event = "stopped", "stopped");
    Ok(0)
}

/// JSON of one value on standard output.
fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| broken(&error))?;
    print_as(&escaped(&text))
}

/// Hidden characters of JSON as escapes: the same value to a program, and visible to a person.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if hidden::is_hidden(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = std::fmt::Write::write_fmt(&mut text, format_args!("\\u{unit:04x}"));
            }
        } else {
            text.push(letter);
        }
    }
    text
}

/// One text on standard output, without hidden characters but those of our own colours.
fn print(text: &str) -> Result<(), Failure> {
    let mut parts = text.split('\u{1b}');
    let mut plain = hidden::shown(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let is_ours = table::SEQUENCES.iter().any(|ours| part.starts_with(ours));
        plain.push(if is_ours { '\u{1b}' } else { '\u{fffd}' });
        plain.push_str(&hidden::shown(part));
    }
    print_as(&plain)
}

/// One text on standard output; a reader that went away is no failure of ours.
fn print_as(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(broken(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        contract::code::EFFECT_PANICKED,
        format!("the result cannot be printed: {error}"),
        "check where standard output goes",
    )
}
