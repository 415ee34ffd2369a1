//! Owns what monitors see of the service: its metrics, whether it lives, and whether it is ready. Inspects nothing. The interesting
//! function is [`metrics`].

use std::collections::BTreeMap;

use contract::code;
use contract::id::LocationId;

use crate::control::locations;
use crate::failure::Failure;
use crate::metrics::{self, Place, Scene};
use crate::plan::own_plans;
use crate::world::location::Inspected;

use super::{Service, view};

/// The metrics as Prometheus reads them.
pub(super) fn metrics(service: &Service) -> Result<String, Failure> {
    let daemon = &service.daemon;
    let followed = service.active.borrow().clone();
    let derived = followed
        .map(|followed| view::derive(service, &followed).map(|status| (followed, status)))
        .transpose()?;
    let mut running: BTreeMap<String, u64> = BTreeMap::new();
    for id in daemon.at_work().keys() {
        let kind = id.split('.').next().unwrap_or_default();
        *running.entry(kind.to_owned()).or_default() += 1;
    }
    let copies = daemon.store.receipt_copies()?.into_iter();
    let (due, lag) = service.view.backlog();
    let scene = Scene {
        reconciler: daemon.config.reconciler_id.as_str(),
        environment: daemon.config.environment.as_str(),
        followed: derived
            .as_ref()
            .map(|(followed, status)| (&followed.active.model, status, followed.accepted_at)),
        tallies: daemon.store.tallies()?,
        workers: u64::from(daemon.config.workers()),
        busy: service.admission.busy(),
        running,
        due,
        receipts: daemon.store.receipts_size()?,
        copied: copies.map(|(id, copy)| (id, copy.size)).collect(),
        locations: places(service),
        lag,
    };
    metrics::text(&daemon.last_runs, &scene).map_err(|error| {
        Failure::new(
            code::EFFECT_PANICKED,
            format!("the metrics cannot be written: {error}"),
            "report this as a bug",
        )
    })
}

/// Every location of the configuration. One that was not inspected yet, or is set aside, is not usable.
fn places(service: &Service) -> Vec<Place> {
    let seen = locations::last_seen(&service.daemon).unwrap_or_default();
    let configured = service.daemon.config.locations.keys();
    configured
        .map(|id| {
            let standing = seen.standings.get(id);
            let inspected = standing.and_then(|it| it.inspected.as_ref());
            let writes = |it: &Inspected| it.unwritable.is_none();
            Place {
                location_id: id.clone(),
                is_usable: standing.is_some_and(|it| it.aside.is_none())
                    && inspected.is_some_and(writes),
                size_and_free: inspected
                    .and_then(|it| it.capacity)
                    .map(|it| (it.size, it.free)),
            }
        })
        .collect()
}

/// Bytes in all and bytes free of the locations whose last inspection saw them.
pub(super) fn capacities(service: &Service) -> BTreeMap<LocationId, (u64, u64)> {
    let places = places(service).into_iter();
    places
        .filter_map(|it| Some((it.location_id, it.size_and_free?)))
        .collect()
}

/// Fails unless a policy is active and every plan of it was inspected. What is wrong with a plan does not count: the daemon does
/// its work then.
pub(super) fn ready(service: &Service) -> Result<(), Failure> {
    let unready = |why: String| {
        let help = "wait, or ask `seawalld status` what keeps it";
        Err(Failure::new(code::NO_POLICY, why, help))
    };
    let Some(followed) = service.active.borrow().clone() else {
        return unready("no policy is active yet".to_owned());
    };
    let plans = own_plans(&followed.active);
    match service.view.unseen(plans.map(|(id, _)| id)) {
        0 => Ok(()),
        _ => unready("a plan was not inspected yet".to_owned()),
    }
}

/// Fails when the store cannot be read, or belongs to a later process.
pub(super) fn alive(service: &Service) -> Result<(), Failure> {
    Ok(service.daemon.store.holds()?)
}
