//! Owns a store whose commits can fail or be the last thing that a process does; everything else is the store's own. The interesting
//! function is [`Fated::commit`].

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::code::Code;
use contract::digest::Digest;
use contract::id::{BackupId, ChannelId, DatasetId, Kid, LocationId, PlanId};
use jiff::Timestamp;

use super::coroutine;
use super::world::World;
use crate::domain::{
    Acknowledgement, AlertRecord, Change, DamagedObject, LocationIdentity, Operation, PartRead,
    PartReading, Pruning, ReceiptCopy, RefusedBundle, Run, SlotRecord, StoredBundle,
    StoredCondition, Suspension, Tallied,
};
use crate::store::{ReceiptLine, Store, StoreError};

/// What a commit is about: the kinds of its changes, each once.
fn border(changes: &[Change]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for change in changes {
        let told = format!("{change:?}");
        let end = told.find(|letter: char| !letter.is_alphanumeric());
        let kind = told.get(..end.unwrap_or(told.len())).unwrap_or_default();
        if !kinds.iter().any(|known| known == kind) {
            kinds.push(kind.to_owned());
        }
    }
    if kinds.is_empty() {
        kinds.push("receipts alone".to_owned());
    }
    kinds.join(" + ")
}

/// A store in a world.
#[derive(Debug)]
pub(super) struct Fated<S> {
    pub(super) store: S,
    pub(super) world: Arc<World>,
}

impl<S: Store> Store for Fated<S> {
    fn commit(&self, changes: &[Change], receipts: &[ReceiptLine]) -> Result<(), StoreError> {
        let fate = self.world.next_commit(|| border(changes));
        if fate.is_none_or(|fate| fate.durable) {
            self.store.commit(changes, receipts)?;
            self.world.committed(self.store.epoch(), || border(changes));
        }
        let Some(fate) = fate else { return Ok(()) };
        if fate.dies {
            coroutine::die();
        }
        Err(StoreError::Unusable {
            doing: "committing",
            why: "the simulation lets it fail".to_owned(),
        })
    }

    fn accepted(&self) -> Result<Option<StoredBundle>, StoreError> {
        self.store.accepted()
    }

    fn last_refusal(&self) -> Result<Option<(Digest, String)>, StoreError> {
        self.store.last_refusal()
    }

    fn plans_since(
        &self,
        plan: Option<&PlanId>,
    ) -> Result<BTreeMap<PlanId, Timestamp>, StoreError> {
        self.store.plans_since(plan)
    }

    fn slots(&self, plan: Option<&PlanId>) -> Result<Vec<SlotRecord>, StoreError> {
        self.store.slots(plan)
    }

    fn slots_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<(u64, SlotRecord)>, StoreError> {
        self.store.slots_before(plan, before, most)
    }

    fn newest_slots(
        &self,
        plan: &PlanId,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<SlotRecord>, StoreError> {
        self.store.newest_slots(plan, now, most)
    }

    fn runs(&self) -> Result<Vec<Run>, StoreError> {
        self.store.runs()
    }

    fn points(&self, plan: Option<&PlanId>) -> Result<Vec<Run>, StoreError> {
        self.store.points(plan)
    }

    fn points_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<&BackupId>,
        most: u32,
    ) -> Result<Vec<Run>, StoreError> {
        self.store.points_before(plan, before, most)
    }

    fn newest_points(&self, plan: &PlanId, kid: &Kid, most: u32) -> Result<Vec<Run>, StoreError> {
        self.store.newest_points(plan, kid, most)
    }

    fn points_at(&self, location: &LocationId, most: u32) -> Result<Vec<Run>, StoreError> {
        self.store.points_at(location, most)
    }

    fn point(&self, id: &BackupId) -> Result<Option<Run>, StoreError> {
        self.store.point(id)
    }

    fn newest_run(&self, plan: &PlanId) -> Result<Option<Run>, StoreError> {
        self.store.newest_run(plan)
    }

    fn operations(&self) -> Result<Vec<Operation>, StoreError> {
        self.store.operations()
    }

    fn open_operations(&self, plan: Option<&PlanId>) -> Result<Vec<Operation>, StoreError> {
        self.store.open_operations(plan)
    }

    fn operations_of_slots(
        &self,
        plan: &PlanId,
        after: Option<Timestamp>,
    ) -> Result<Vec<Operation>, StoreError> {
        self.store.operations_of_slots(plan, after)
    }

    fn operations_with_error(
        &self,
        plan: &PlanId,
        error: Code,
        most: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.store.operations_with_error(plan, error, most)
    }

    fn last_restore(&self, dataset: &DatasetId) -> Result<Option<Operation>, StoreError> {
        self.store.last_restore(dataset)
    }

    fn newest_start(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.newest_start()
    }

    fn connector_state(
        &self,
        plan: &PlanId,
        dataset: &DatasetId,
    ) -> Result<Option<String>, StoreError> {
        self.store.connector_state(plan, dataset)
    }

    fn receipts(&self, from: u64, most: u64) -> Result<Vec<String>, StoreError> {
        self.store.receipts(from, most)
    }

    fn receipts_size(&self) -> Result<u64, StoreError> {
        self.store.receipts_size()
    }

    fn receipt_bytes(&self, size: u64) -> Result<u64, StoreError> {
        self.store.receipt_bytes(size)
    }

    fn frontier(&self) -> Result<Option<String>, StoreError> {
        self.store.frontier()
    }

    fn receipt_copies(&self) -> Result<BTreeMap<LocationId, ReceiptCopy>, StoreError> {
        self.store.receipt_copies()
    }

    fn tallies(&self) -> Result<Vec<Tallied>, StoreError> {
        self.store.tallies()
    }

    fn tallies_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Tallied>, StoreError> {
        self.store.tallies_between(from, to)
    }

    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        self.store.alerts()
    }

    fn completions_sent(&self) -> Result<BTreeMap<ChannelId, u64>, StoreError> {
        self.store.completions_sent()
    }

    fn conditions(&self) -> Result<Vec<StoredCondition>, StoreError> {
        self.store.conditions()
    }

    fn location_identities(&self) -> Result<BTreeMap<LocationId, LocationIdentity>, StoreError> {
        self.store.location_identities()
    }

    fn refused_bundle(
        &self,
        payload: &str,
        judged_by: &str,
    ) -> Result<Option<RefusedBundle>, StoreError> {
        self.store.refused_bundle(payload, judged_by)
    }

    fn acknowledgements(&self) -> Result<Vec<Acknowledgement>, StoreError> {
        self.store.acknowledgements()
    }

    fn suspensions(
        &self,
        plan: Option<&PlanId>,
    ) -> Result<BTreeMap<PlanId, Suspension>, StoreError> {
        self.store.suspensions(plan)
    }

    fn parts_read(&self, plan: &PlanId) -> Result<Vec<PartRead>, StoreError> {
        self.store.parts_read(plan)
    }

    fn parts_reading(&self, plan: &PlanId) -> Result<Vec<PartReading>, StoreError> {
        self.store.parts_reading(plan)
    }

    fn deletions_since(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.store.deletions_since(at)
    }

    fn deleted_snapshots(
        &self,
        plan: &PlanId,
        kid: &Kid,
        most: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.store.deleted_snapshots(plan, kid, most)
    }

    fn prunes(&self, plan: &PlanId) -> Result<Vec<Pruning>, StoreError> {
        self.store.prunes(plan)
    }

    fn damaged_objects(&self, plan: &PlanId) -> Result<Vec<DamagedObject>, StoreError> {
        self.store.damaged_objects(plan)
    }

    fn epoch(&self) -> u64 {
        self.store.epoch()
    }

    fn holds(&self) -> Result<(), StoreError> {
        self.store.holds()
    }

    fn took_over(&self) -> bool {
        self.store.took_over()
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.store.settle()
    }

    fn running(&self) -> Option<u64> {
        self.store.running()
    }
}
