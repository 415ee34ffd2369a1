//! Owns the counts of what ended, which a monitor reads: they are kept in the transaction of what they count, and outlive the records.
//! The interesting functions are the ones that are called where something ends.

use jiff::Timestamp;

use super::rows::{Tx, run};
use crate::domain::{Operation, OperationKind, Outcome, Run, SlotRecord};
use crate::store::StoreError;

const HOUR: i64 = 3_600;

/// The beginning of the hour of an instant, in seconds.
pub(super) fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR) * HOUR
}

/// Slots that ended.
pub(super) async fn slots(tx: &mut Tx<'_>, slot: &SlotRecord) -> Result<(), StoreError> {
    let (plan, outcome) = (slot.plan_id.as_str(), slot.outcome.as_str());
    add_at(tx, "slot", plan, outcome, slot.count, slot.ended_at).await
}

/// A backup that ended, and what it added to its locations.
pub(super) async fn backup(tx: &mut Tx<'_>, ended: &Run) -> Result<(), StoreError> {
    let plan = ended.plan_id.as_str();
    add(tx, "backup", plan, ended.status.as_str(), 1).await?;
    add(tx, "added_bytes", plan, "", ended.added_bytes).await
}

/// Another operation that ended. One whose outcome is unknown is counted when that is resolved.
pub(super) async fn operation(tx: &mut Tx<'_>, ended: &Operation) -> Result<(), StoreError> {
    let Some(outcome @ (Outcome::Success | Outcome::Partial | Outcome::Failure)) =
        ended.state.outcome()
    else {
        return Ok(());
    };
    // They have the form of a check, and nothing was read: a check was late, or a recovery point is there again.
    let is_note = ["overdue.", "found."]
        .iter()
        .any(|kind| ended.operation_id.starts_with(kind));
    let plan = ended.plan_id.as_str();
    let at = ended.ended_at.unwrap_or(ended.started_at);
    match ended.kind {
        OperationKind::Verify if !is_note => {
            add_at(tx, "verify", plan, outcome.as_str(), 1, at).await
        }
        OperationKind::CatchUp => add(tx, "catch_up", plan, outcome.as_str(), 1).await,
        OperationKind::Restore => {
            for id in &ended.dataset_ids {
                add_at(tx, "restore", id.as_str(), outcome.as_str(), 1, at).await?;
            }
            Ok(())
        }
        OperationKind::Prune => add(tx, "prune", plan, outcome.as_str(), 1).await,
        // Runs are counted, not their operations; nothing happened where a mark was set.
        OperationKind::Verify | OperationKind::Backup | OperationKind::Retention => Ok(()),
    }
}

/// Counts for good, and for the hour in which it was recorded.
async fn add_at(
    tx: &mut Tx<'_>,
    what: &'static str,
    subject: &str,
    outcome: &str,
    count: u64,
    at: Timestamp,
) -> Result<(), StoreError> {
    add(tx, what, subject, outcome, count).await?;
    let query = sqlx::query(
        "INSERT INTO tallies_by_hour (hour, what, subject, outcome, count) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (hour, what, subject, outcome) DO UPDATE SET count = count + excluded.count",
    )
    .bind(hour(at))
    .bind(what)
    .bind(subject.to_owned())
    .bind(outcome.to_owned())
    .bind(i64::try_from(count).unwrap_or(i64::MAX));
    run(tx, "counting", query).await
}

async fn add(
    tx: &mut Tx<'_>,
    what: &'static str,
    subject: &str,
    outcome: &str,
    count: u64,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO tallies (what, subject, outcome, count) VALUES (?, ?, ?, ?)
         ON CONFLICT (what, subject, outcome) DO UPDATE SET count = count + excluded.count",
    )
    .bind(what)
    .bind(subject.to_owned())
    .bind(outcome.to_owned())
    .bind(i64::try_from(count).unwrap_or(i64::MAX));
    run(tx, "counting", query).await
}
