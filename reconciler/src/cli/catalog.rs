//! Owns `seawalld catalog`: what is in it, and the way on after the state was lost. The interesting function is [`carry_out`].

use clap::Subcommand;
use contract::id::{LocationId, PlanId};

use super::{Format, asked, reading, show};
use crate::config::Config;
use crate::control::{Daemon, operate, rebuild};
use crate::failure::Failure;
use crate::world::cancel::Cancel;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Rebuild the receipt log and the catalog from the locations, where the state folder is lost or older than what happened. Leaves a
    /// receipt; the service must not run
    Rebuild {
        /// Take the copy of the receipts at this location, although others cannot be read or differ
        #[arg(long, value_name = "LOCATION")]
        from: Option<LocationId>,
        /// Only show what would be rebuilt
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn carry_out(
    config: &Config,
    plan: Option<&PlanId>,
    command: Option<&Command>,
    format: Format,
) -> Result<(), Failure> {
    match command {
        None => list(config, plan, format),
        Some(Command::Rebuild { from, dry_run }) => {
            let daemon = Daemon::open_behind(config.clone(), Cancel::new())?;
            let wanted = rebuild::Wanted {
                from: from.clone(),
                dry_run: *dry_run,
                reads_only: false,
            };
            show::rebuilt(&rebuild::rebuild(&daemon, &wanted)?, format)
        }
    }
}

/// The catalog of the state, or where that is behind, of the locations.
fn list(config: &Config, plan: Option<&PlanId>, format: Format) -> Result<(), Failure> {
    let mut read = reading(config.clone());
    // One that is empty may have been lost: only who holds it can tell.
    if let Ok(daemon) = &read
        && daemon.store.receipts_size()? == 0
        && let Err(behind) = Daemon::open(config.clone(), Cancel::new())
        && asked::is_behind(&behind)
    {
        read = Err(behind);
    }
    match read {
        Ok(daemon) => listed(&daemon, plan, format),
        Err(behind) if asked::is_behind(&behind) => {
            asked::without_state(&behind);
            let aside = rebuild::aside(config.clone(), Cancel::new())?;
            listed(&aside.daemon, plan, format)
        }
        Err(failure) => Err(failure),
    }
}

fn listed(daemon: &Daemon, plan: Option<&PlanId>, format: Format) -> Result<(), Failure> {
    let mut runs = daemon.store.runs()?;
    operate::known(daemon, plan)?;
    runs.retain(|run| plan.is_none_or(|plan| run.plan_id == *plan));
    show::catalog(&runs, format)
}
