//! Owns how many effects of turns run side by side: in all, and at each location that bounds it. Who waits holds nothing meanwhile,
//! so that a location that hangs delays no work at another one. The interesting function is [`Admission::enter`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contract::id::LocationId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::failure::Failure;

use super::ended;

/// The workers that there may be.
#[derive(Debug)]
pub(super) struct Admission {
    all: Arc<Semaphore>,
    workers: u64,
    at: BTreeMap<LocationId, Arc<Semaphore>>,
}

/// The right to run one effect, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    /// One of all workers.
    pub(super) worker: OwnedSemaphorePermit,
    /// One of those of each location.
    pub(super) places: Vec<OwnedSemaphorePermit>,
}

impl Admission {
    pub(super) fn new(config: &Config) -> Self {
        let permits = |count: u32| Arc::new(Semaphore::new(count as usize));
        let bounded = config.locations.iter();
        let bounded = bounded.filter_map(|(id, it)| Some((id.clone(), permits(it.workers?.get()))));
        Self {
            all: permits(config.workers()),
            workers: u64::from(config.workers()),
            at: bounded.collect(),
        }
    }

    /// How many effects run now.
    pub(super) fn busy(&self) -> u64 {
        self.workers
            .saturating_sub(self.all.available_permits() as u64)
    }

    /// The right to run an effect that uses these locations, when nothing has to be waited for; with a worker that is held already.
    pub(super) fn try_enter(
        &self,
        locations: &BTreeSet<LocationId>,
        worker: Option<OwnedSemaphorePermit>,
    ) -> Option<Admitted> {
        Self::fill(&self.gates(locations), worker.map(|worker| (0, worker)))
            .ok()
            .and_then(admitted)
    }

    /// Waits for it; where a location is bounded, no longer than the patience.
    pub(super) async fn enter(
        &self,
        locations: &BTreeSet<LocationId>,
        patience: Duration,
    ) -> Result<Option<Admitted>, Failure> {
        let gates = self.gates(locations);
        let waits = Self::wait_for(&gates);
        if gates.len() == 1 {
            return waits.await.map(Some);
        }
        tokio::time::timeout(patience, waits).await.ok().transpose()
    }

    async fn wait_for(gates: &[Arc<Semaphore>]) -> Result<Admitted, Failure> {
        let mut held = None;
        loop {
            match Self::fill(gates, held) {
                Ok(permits) => return admitted(permits).ok_or_else(ended),
                Err(full) => {
                    let gate = gates.get(full).ok_or_else(ended)?;
                    let permit = Arc::clone(gate).acquire_owned().await;
                    held = Some((full, permit.map_err(|_| ended())?));
                }
            }
        }
    }

    fn gates(&self, locations: &BTreeSet<LocationId>) -> Vec<Arc<Semaphore>> {
        let bounded = locations.iter().filter_map(|id| self.at.get(id));
        std::iter::once(&self.all).chain(bounded).cloned().collect()
    }

    /// A permit of each gate, of which one may be held already; or a gate that is full, and none.
    fn fill(
        gates: &[Arc<Semaphore>],
        held: Option<(usize, OwnedSemaphorePermit)>,
    ) -> Result<Vec<OwnedSemaphorePermit>, usize> {
        let (place, mut held) =
            held.map_or((None, None), |(place, held)| (Some(place), Some(held)));
        let mut permits = Vec::with_capacity(gates.len());
        for (number, gate) in gates.iter().enumerate() {
            let own = held.take_if(|_| place == Some(number));
            let permit = own.or_else(|| Arc::clone(gate).try_acquire_owned().ok());
            permits.push(permit.ok_or(number)?);
        }
        Ok(permits)
    }
}

fn admitted(mut permits: Vec<OwnedSemaphorePermit>) -> Option<Admitted> {
    if permits.is_empty() {
        return None;
    }
    let worker = permits.remove(0);
    Some(Admitted {
        worker,
        places: permits,
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn places(ids: &[&str]) -> BTreeSet<LocationId> {
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }

    fn admission(workers: usize, bounded: &[(&str, usize)]) -> Admission {
        let permits = |count| Arc::new(Semaphore::new(count));
        Admission {
            all: permits(workers),
            workers: workers as u64,
            at: bounded
                .iter()
                .map(|(id, count)| (id.parse().unwrap(), permits(*count)))
                .collect(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_location_holds_no_worker() {
        let admission = Arc::new(admission(2, &[("loc_a", 1), ("loc_b", 1)]));
        let hung = admission.try_enter(&places(&["loc_a"]), None).unwrap();
        let waits: Vec<_> = (0..8)
            .map(|_| {
                let admission = Arc::clone(&admission);
                tokio::spawn(
                    async move { admission.enter(&places(&["loc_a", "loc_b"]), HOUR).await },
                )
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let late = places(&["loc_a"]);
        let late = admission.enter(&late, Duration::from_secs(5)).await;
        assert!(late.unwrap().is_none(), "no plan waits for ever");
        // Neither the second worker nor the place at the other location is taken by one that waits.
        let other = admission
            .try_enter(&places(&["loc_b", "loc_c"]), None)
            .unwrap();
        assert!(admission.try_enter(&places(&["loc_c"]), None).is_none());
        drop((other, hung));
        for wait in waits {
            drop(wait.await.unwrap().unwrap().unwrap());
        }
        assert!(
            admission
                .try_enter(&places(&["loc_a", "loc_b"]), None)
                .is_some()
        );
        assert_eq!(admission.all.available_permits(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_gets_in_and_never_too_many() {
        let admission = Arc::new(admission(3, &[("loc_a", 2), ("loc_b", 1)]));
        let at_work = Arc::new([const { std::sync::atomic::AtomicUsize::new(0) }; 3]);
        let tasks: Vec<_> = (0..60)
            .map(|number| {
                let (admission, at_work) = (Arc::clone(&admission), Arc::clone(&at_work));
                tokio::spawn(async move {
                    let ids = [&["loc_a"][..], &["loc_b"], &["loc_a", "loc_b"], &[]][number % 4];
                    let admitted = admission.enter(&places(ids), HOUR).await.unwrap().unwrap();
                    let mut gates = vec![(0, 3)];
                    gates.extend(ids.contains(&"loc_a").then_some((1, 2)));
                    gates.extend(ids.contains(&"loc_b").then_some((2, 1)));
                    for (gate, most) in &gates {
                        let now = at_work[*gate].fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert!(now < *most, "{ids:?}");
                    }
                    tokio::time::sleep(Duration::from_millis(7)).await;
                    for (gate, _) in &gates {
                        at_work[*gate].fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                    drop(admitted);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
