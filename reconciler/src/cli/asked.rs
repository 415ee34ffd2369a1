//! Owns the commands that change something: the running daemon carries them out where its socket answers; otherwise this process
//! is the daemon for as long as it takes. Both ways end and print alike. The interesting function is [`carry_out`].

use std::cell::OnceCell;
use std::io::Write as _;

use contract::code;
use serde::de::DeserializeOwned;

use super::meter::{Line, Shown};
use super::{Format, broken, ended, print, reading, show, stop_on_signal};
use crate::api::Asked;
use crate::api::client::Client;
use crate::config::Config;
use crate::control::source::Accepted;
use crate::control::{
    Daemon, acceptance, doctor, locations, notify, operate, rebuild, restore, source, suspension,
    timekeeping,
};
use crate::domain::{AlertRecord, Suspension};
use crate::failure::Failure;
use crate::world::cancel::Cancel;
use crate::world::clock;

/// Carries out what a person asks for, and prints what came of it.
pub(super) fn carry_out(config: Config, asked: Asked, format: Format) -> Result<u8, Failure> {
    let by = By {
        config,
        format,
        stop: OnceCell::new(),
    };
    match &asked {
        Asked::Backup { plan_id } => {
            let done = by.whoever(&asked, |daemon| operate::backup(daemon, plan_id))?;
            ended(&done, format)
        }
        Asked::Verify { backup_id } => {
            let done = by.whoever(&asked, |daemon| operate::verify(daemon, backup_id.as_ref()))?;
            ended(&done, format)
        }
        Asked::Restore { request } => {
            let restored = match by.whoever(&asked, |daemon| restore::restore(daemon, request)) {
                Err(behind) if is_behind(&behind) && request.mode != restore::Wanted::InPlace => {
                    without_state(&behind);
                    let aside = rebuild::aside(by.config.clone(), by.stop()?)?;
                    restore::restore(&aside.daemon, request)?
                }
                other => other?,
            };
            show::restored(&restored, format).map(|()| 0)
        }
        Asked::AcceptLoss { backup_id, note } => {
            let accepted = by.whoever(&asked, |daemon| {
                acceptance::accept(daemon, backup_id, note).map(|run| vec![run])
            })?;
            show::catalog(&accepted, format).map(|()| 0)
        }
        Asked::AdoptLocation { location_id } => {
            by.whoever(&asked, |daemon| {
                locations::adopt(daemon, location_id, &daemon.person(), clock::now())
            })?;
            print(&format!("location `{location_id}` is adopted")).map(|()| 0)
        }
        Asked::ConfirmClock {} => match by.whoever(&asked, timekeeping::confirm)? {
            Some(view) => show::clock_confirmed(&view, format).map(|()| 0),
            None => show::clock(&timekeeping::view(&reading(by.config)?)?, format).map(|()| 0),
        },
        Asked::AcceptSource { dataset_id, note } => {
            let accepted: Accepted =
                by.whoever(&asked, |daemon| source::accept(daemon, dataset_id, note))?;
            show::accepted(dataset_id, &accepted, format).map(|()| 0)
        }
        Asked::Suspend {
            plan_id,
            until,
            reason,
        } => {
            let suspended: Suspension = by.whoever(&asked, |daemon| {
                suspension::suspend(daemon, plan_id, *until, reason)
            })?;
            show::suspension(&suspended, true, format).map(|()| 0)
        }
        Asked::Resume { plan_id } => {
            let resumed: Suspension =
                by.whoever(&asked, |daemon| suspension::resume(daemon, plan_id))?;
            show::suspension(&resumed, false, format).map(|()| 0)
        }
        Asked::AcknowledgeAlert { alert_id, note } => {
            let alert: AlertRecord =
                by.whoever(&asked, |daemon| notify::acknowledge(daemon, alert_id, note))?;
            show::alerts(&[alert], format).map(|()| 0)
        }
        Asked::TestChannel { channel_id } => {
            by.whoever(&asked, |daemon| notify::test(daemon, channel_id))?;
            print(&format!("channel `{channel_id}` accepted a test message")).map(|()| 0)
        }
        Asked::Doctor {} => {
            let findings = by.whoever(&asked, |daemon| Ok(doctor::examine(daemon)))?;
            show::findings(&findings, format)?;
            Ok(u8::from(findings.iter().any(|finding| !finding.ok)))
        }
    }
}

/// Whether the state is older than the receipts at the locations, or lost.
pub(super) fn is_behind(failure: &Failure) -> bool {
    failure.code == code::RECEIPT_LOG_BEHIND
}

/// Whoever reads nevertheless is to know it.
pub(super) fn without_state(why: &Failure) {
    tracing::warn!(event = "state_behind", code = %why.code, "{}; this command reads what the locations hold, and nothing of it is recorded", why.message);
}

/// What a command runs with.
struct By {
    config: Config,
    format: Format,
    stop: OnceCell<Cancel>,
}

impl By {
    /// What a signal cancels: one for the whole command.
    fn stop(&self) -> Result<Cancel, Failure> {
        if let Some(stop) = self.stop.get() {
            return Ok(stop.clone());
        }
        let stop = stop_on_signal()?;
        Ok(self.stop.get_or_init(|| stop).clone())
    }

    /// Lets the running daemon do it, or does it as the daemon.
    fn whoever<T: DeserializeOwned>(
        &self,
        asked: &Asked,
        ours: impl FnOnce(&Daemon) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(client) = Client::reach(&self.config.socket_path()) else {
            let daemon = Daemon::open(self.config.clone(), self.stop()?)?;
            daemon.watch_hold();
            let _shown = Shown::of(daemon.meter.clone());
            return ours(&daemon);
        };
        let is_human = self.format == Format::Human;
        let mut line = Line::new();
        let begun = |id: &str| {
            if is_human {
                // For the person who waits, and no line of a log.
                let _ = writeln!(
                    std::io::stderr(),
                    "sent to the running daemon as `{id}`; Ctrl-C leaves it running, `seawalld cancel {id}` ends it"
                );
            }
        };
        let operation = client.carry_out(asked.clone(), begun, &mut |now| {
            if let (true, Some(pace)) = (is_human, &now.progress) {
                line.show(pace);
            }
        })?;
        drop(line);
        match (operation.result, operation.failure) {
            (None, Some(failure)) => Err(failure),
            // What was done tells its own failures.
            (result, _) => {
                serde_json::from_value(result.unwrap_or_default()).map_err(|error| broken(&error))
            }
        }
    }
}
