//! Owns what becomes of old terminal records of a plan: the newest stand as they are, older slots of one outcome are joined, and
//! older operations and failed runs are left out. The rule knows no policy. Recovery points, restores and whatever is open stay, and
//! so do the receipts of everything. The interesting functions are
//! [`condense_operations`] and [`join_slots`].

use contract::id::PlanId;
use sqlx::Row as _;

use super::rows::{Tx, explain, one, run, to_json};
use crate::domain::{SlotOutcome, SlotRecord};
use crate::store::StoreError;

/// Records of a plan that stand as they are: those of a month of a plan that runs every five minutes.
const KEPT: i64 = 10_000;

/// Operations or failed runs that the end of one leaves out at most: a backlog shrinks, and no commit takes long.
const AT_ONCE: i64 = 16;

/// Leaves out the oldest operations of a plan. A record of an overdue check (SW1016) stands for it as long as it is overdue.
pub(super) async fn condense_operations(tx: &mut Tx<'_>, plan: &PlanId) -> Result<(), StoreError> {
    let query = sqlx::query(
        "DELETE FROM executions WHERE sequence IN (
             SELECT sequence FROM executions
             WHERE plan_id = ?1 AND kind <> 'restore'
                 AND outcome IN ('success', 'partial', 'failure') AND error IS NOT 'SW1016'
                 AND sequence <= (
                     SELECT sequence FROM executions
                     WHERE plan_id = ?1 AND kind <> 'restore'
                         AND outcome IN ('success', 'partial', 'failure')
                         AND error IS NOT 'SW1016'
                     ORDER BY sequence DESC LIMIT 1 OFFSET ?2)
             ORDER BY sequence LIMIT ?3)",
    );
    let query = query.bind(plan.to_string()).bind(KEPT).bind(AT_ONCE);
    run(tx, "leaving out old operations", query).await
}

/// Leaves out the oldest runs of a plan that left no recovery point.
pub(super) async fn condense_runs(tx: &mut Tx<'_>, plan: &PlanId) -> Result<(), StoreError> {
    let query = sqlx::query(
        "DELETE FROM runs WHERE backup_id IN (
             SELECT backup_id FROM runs WHERE plan_id = ?1 AND is_point = 0
                 AND (started_at, backup_id) <= (
                     SELECT started_at, backup_id FROM runs WHERE plan_id = ?1 AND is_point = 0
                     ORDER BY started_at DESC, backup_id DESC LIMIT 1 OFFSET ?2)
             ORDER BY started_at, backup_id LIMIT ?3)",
    );
    let query = query.bind(plan.to_string()).bind(KEPT).bind(AT_ONCE);
    run(tx, "leaving out old failed runs", query).await
}

/// Joins the newest record that is too old with the one before it, which may be a join already.
pub(super) async fn join_slots(tx: &mut Tx<'_>, plan: &PlanId) -> Result<(), StoreError> {
    let query = sqlx::query(
        "SELECT sequence, body FROM slots WHERE plan_id = ? ORDER BY first DESC LIMIT 2 OFFSET ?",
    );
    let rows = query
        .bind(plan.to_string())
        .bind(KEPT)
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| explain("reading old slots", error))?;
    let mut found = Vec::new();
    for row in &rows {
        let (number, body): (i64, String) = (row.get(0), row.get(1));
        found.push((number, one::<SlotRecord>(&body, "slots")?));
    }
    let [(newer_number, newer), (older_number, older)] = found.as_slice() else {
        return Ok(());
    };
    let Some(joined) = join(older, newer) else {
        return Ok(());
    };
    let update =
        sqlx::query("UPDATE slots SET last = ?, ended_at = ?, body = ? WHERE sequence = ?")
            .bind(joined.last.as_second())
            .bind(joined.ended_at.as_second())
            .bind(to_json(&joined)?)
            .bind(*older_number);
    run(tx, "joining old slots", update).await?;
    let delete = sqlx::query("DELETE FROM slots WHERE sequence = ?").bind(*newer_number);
    run(tx, "joining old slots", delete).await
}

/// One record of two that follow each other and ended alike, with the reason of the newer. Missed slots are one record as they are, and
/// what a clock wrote that was ahead or set back stays as it is.
fn join(older: &SlotRecord, newer: &SlotRecord) -> Option<SlotRecord> {
    let follows = older.last < newer.first && older.ended_at <= newer.ended_at;
    let is_alike = older.outcome == newer.outcome && newer.outcome != SlotOutcome::Missed;
    let was_right = |one: &SlotRecord| one.last <= one.ended_at;
    (follows && is_alike && was_right(older) && was_right(newer)).then(|| SlotRecord {
        plan_id: older.plan_id.clone(),
        first: older.first,
        last: newer.last,
        count: older.count.saturating_add(newer.count),
        outcome: older.outcome,
        backup_id: None,
        why: newer.why.clone(),
        ended_at: newer.ended_at,
    })
}
