//! Owns what counts against the delete budget: a recovery point from the intent to remove it on. What an operation did not remove is
//! given back when it ends.

use contract::id::{Kid, PlanId};
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;

use super::Texts;
use super::rows::{Tx, id, instant, number, run, signed};
use crate::domain::{Deletion, Operation, Pruning, State};
use crate::store::StoreError;

/// How many recovery points were removed or reserved since an instant.
pub(super) fn since(at: Timestamp) -> Texts {
    sqlx::query_scalar("SELECT CAST(count(*) AS TEXT) FROM deletions WHERE at >= ?")
        .bind(at.as_second())
}

/// The newest prunes of a plan's repositories.
pub(super) const PRUNES: &str =
    "SELECT plan_id, kid, at, marked, is_good FROM prunes WHERE plan_id = ?";

/// Reserves what an operation is about to remove.
pub(super) async fn reserve(tx: &mut Tx<'_>, operation: &Operation) -> Result<(), StoreError> {
    for backup_id in &operation.removes {
        let query = sqlx::query(
            "INSERT INTO deletions (backup_id, operation_id, at, removed) VALUES (?, ?, ?, 0)
             ON CONFLICT (backup_id) DO UPDATE SET operation_id = excluded.operation_id, at = excluded.at",
        )
        .bind(backup_id.as_str().to_owned())
        .bind(operation.operation_id.clone())
        .bind(operation.started_at.as_second());
        run(tx, "reserving a deletion", query).await?;
    }
    Ok(())
}

/// Gives back what an operation that ended had reserved; what it removed is recorded after.
pub(super) async fn release(tx: &mut Tx<'_>, operation: &Operation) -> Result<(), StoreError> {
    if operation.state.is_open() || operation.state == State::Ready || operation.removes.is_empty()
    {
        return Ok(());
    }
    let query = sqlx::query("DELETE FROM deletions WHERE operation_id = ? AND removed = 0")
        .bind(operation.operation_id.clone());
    run(tx, "releasing deletions", query).await
}

/// A recovery point leaves the catalog, and counts.
pub(super) async fn removed(tx: &mut Tx<'_>, deletion: &Deletion) -> Result<(), StoreError> {
    let id = deletion.backup_id.as_str();
    let query = sqlx::query(
        "INSERT INTO deletions (backup_id, operation_id, at, removed, plan_id, kid, snapshot_id)
         VALUES (?, ?, ?, 1, ?, ?, ?)
         ON CONFLICT (backup_id) DO UPDATE
         SET operation_id = excluded.operation_id, at = excluded.at, removed = 1,
             plan_id = excluded.plan_id, kid = excluded.kid, snapshot_id = excluded.snapshot_id",
    )
    .bind(id.to_owned())
    .bind(deletion.operation_id.clone())
    .bind(deletion.at.as_second())
    .bind(deletion.plan_id.as_str().to_owned())
    .bind(deletion.kid.as_str().to_owned())
    .bind(deletion.snapshot_id.clone());
    run(tx, "recording a deletion", query).await?;
    let query =
        sqlx::query("DELETE FROM runs WHERE backup_id = ? AND is_point = 1").bind(id.to_owned());
    run(tx, "recording a deletion", query).await
}

/// The snapshots of a repository that were deleted last.
pub(super) fn snapshots(plan: &PlanId, kid: &Kid, most: u32) -> Texts {
    sqlx::query_scalar(
        "SELECT snapshot_id FROM deletions WHERE plan_id = ? AND kid = ? AND removed = 1
         ORDER BY at DESC LIMIT ?",
    )
    .bind(plan.as_str().to_owned())
    .bind(kid.as_str().to_owned())
    .bind(most)
}

/// Remembers a prune.
pub(super) async fn pruned(tx: &mut Tx<'_>, pruning: &Pruning) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO prunes (plan_id, kid, at, marked, is_good) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (plan_id, kid) DO UPDATE
         SET at = excluded.at, marked = excluded.marked, is_good = excluded.is_good",
    )
    .bind(pruning.plan_id.as_str().to_owned())
    .bind(pruning.kid.as_str().to_owned())
    .bind(pruning.at.as_second())
    .bind(signed(pruning.marked))
    .bind(i64::from(pruning.is_good));
    run(tx, "recording a prune", query).await
}

/// A prune from its row.
pub(super) fn pruning(row: &SqliteRow) -> Result<Pruning, StoreError> {
    const TABLE: &str = "prunes";
    Ok(Pruning {
        plan_id: id(row, "plan_id", TABLE)?,
        kid: id(row, "kid", TABLE)?,
        at: instant(row, "at")?,
        marked: number(row, 3, TABLE)?,
        is_good: number(row, 4, TABLE)? == 1,
    })
}
