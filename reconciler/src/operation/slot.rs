//! Owns how the end of a slot is recorded: the terminal record and its receipt. Never decides how a slot ended.

use contract::id::{BackupId, PlanId};
use contract::receipt::{DecisionType, Outcome as Result_, Phase, Slots};
use jiff::Timestamp;

use super::Subject;
use crate::domain::{Draft, Run, SlotOutcome, SlotRecord};
use crate::failure::Failure;

/// A slot that a run ended. One that ended well and late says so.
pub(super) fn slot_ended(
    (plan_id, slot, backup_id): (&PlanId, Timestamp, &BackupId),
    failure: Option<&Failure>,
    late: Option<String>,
    at: Timestamp,
) -> SlotRecord {
    SlotRecord {
        plan_id: plan_id.clone(),
        first: slot,
        last: slot,
        count: 1,
        outcome: if failure.is_none() {
            SlotOutcome::Success
        } else {
            SlotOutcome::Failure
        },
        backup_id: Some(backup_id.clone()),
        why: failure.map(ToString::to_string).or(late),
        ended_at: at,
    }
}

/// The operation that the end of a slot is recorded under.
pub(super) fn slot_operation(slot: &SlotRecord) -> String {
    format!("slot.{}.{}", slot.plan_id, crate::plan::stamp(slot.first))
}

/// What is said of a run that did not fit its window.
pub(super) fn late(run: &Run) -> Option<String> {
    run.overran.then(|| {
        format!(
            "its run ended at {}, after its completion window",
            run.finished_at
        )
    })
}

/// The receipt of one slot that a run ended, or of several that were missed.
pub fn slot_receipt(
    subject: &Subject,
    operation_id: &str,
    slot: &SlotRecord,
    failure: Option<&Failure>,
) -> Draft {
    let mut draft = subject.draft(DecisionType::SlotEnded, Phase::Decision, operation_id);
    draft.slots = Some(Slots {
        first: slot.first,
        last: slot.last,
        count: slot.count,
    });
    draft.backup_id.clone_from(&slot.backup_id);
    draft.result = Some(match slot.outcome {
        SlotOutcome::Success => Result_::Success,
        SlotOutcome::Failure | SlotOutcome::Missed => Result_::Failure,
    });
    draft.error = failure.map(Failure::note);
    draft
        .details
        .insert("outcome".to_owned(), slot.outcome.as_str().to_owned());
    if let (SlotOutcome::Success, Some(late)) = (slot.outcome, &slot.why) {
        draft.details.insert("late".to_owned(), late.clone());
    }
    draft
}
