//! Owns what a worker does at a source beside taking it: restored content is put in place, the source is looked at, and how far a
//! restore got is looked for. The daemon bounds the time; nothing but [`apply`] changes anything.

use std::sync::Arc;
use std::time::Duration;

use super::protocol::{ApplyOrder, Examined};
use crate::domain::{InPlace, Observation};
use crate::failure::Failure;
use crate::progress::{Gauge, Stage};
use crate::world::cancel::Cancel;
use crate::world::connector::{self, Binding, Bounds, Material, RestoreSummary};

/// Puts restored content in place. Once `stop` says so, what is half done is undone.
pub(super) fn apply(
    order: &ApplyOrder,
    gauge: &Arc<Gauge>,
    stop: Cancel,
) -> Result<RestoreSummary, Failure> {
    gauge.begin(Stage::Applying, None);
    tracing::info!(
        event = "restore_applied",
        "restored content is put in place"
    );
    let bounds = Bounds::within(order.within, stop).with_jobs(order.jobs);
    let material = Material {
        folder: &order.folder,
        manifest: order.manifest.as_ref(),
    };
    let summary = connector::restore(&order.binding, material, &order.mode, &bounds)?;
    Ok(summary)
}

pub(super) fn examine(binding: &Binding, within: Duration) -> Examined {
    let bounds = Bounds::within(within, Cancel::new());
    Examined {
        seen: connector::observe(binding, &bounds),
        rights: connector::rights(binding, &bounds)
            .into_iter()
            .map(|right| right.map_err(Failure::from))
            .collect(),
    }
}

pub(super) fn probe(binding: &Binding, restore_id: &str, within: Duration) -> Observation<InPlace> {
    let bounds = Bounds::within(within, Cancel::new());
    connector::probe_in_place(binding, restore_id, &bounds)
}
