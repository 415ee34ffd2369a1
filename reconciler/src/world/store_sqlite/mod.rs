//! Owns the SQLite form of [`Store`]: one file, one process, write-ahead log, every commit synchronised to disk. Never
//! deletes history. The interesting function is `commit`: all changes and all receipts, or nothing.

mod alerts;
mod deletions;
mod lock;
mod migrations;
mod rows;
mod summary;
mod tally;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use jiff::Timestamp;
use nix::fcntl::Flock;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{SqlSafeStr as _, Sqlite, SqliteExecutor, Transaction};
use tokio::runtime::Runtime;

use contract::code::Code;
use contract::digest::Digest;
use contract::id::{BackupId, ChannelId, DatasetId, Kid, LocationId, PlanId};

use crate::domain::{
    Acknowledgement, AlertRecord, Change, DamagedObject, LocationIdentity, Operation, PartRead,
    PartReading, Pruning, ReceiptCopy, RefusedBundle, Run, SlotRecord, StoredBundle,
    StoredCondition, Suspension, Tallied,
};
use crate::store::{ReceiptLine, Store, StoreError};
use lock::{is_held, lock_path, take_lock, token_of};
use migrations::{MIGRATIONS, SCHEMA_VERSION};
use rows::{damaged, from_json, instant, number, unusable};

/// The store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    runtime: Runtime,
    pool: SqlitePool,
    epoch: u64,
    lock: Lock,
    /// What identifies the file that the lock is on.
    token: i64,
    took_over: bool,
}

/// Whose store it is.
#[derive(Debug)]
enum Lock {
    /// This process's. The lock ends with the process however it ends.
    Held(#[expect(dead_code, reason = "held, never read")] Flock<File>),
    /// Only read, beside whoever holds the lock on this file.
    Beside(PathBuf),
}

impl SqliteStore {
    /// Opens the store in the folder of `path`, which is made when missing, and takes the lock. A second process is refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = take_lock(path)?;
        let token = token_of(&lock).map_err(|error| unusable("reading its lock", &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable("starting its runtime", &error))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let (pool, epoch, took_over) = runtime.block_on(async {
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(options)
                .await
                .map_err(|error| rows::explain("opening it", error))?;
            migrate(&pool).await?;
            let epoch = next_epoch(&pool).await?;
            let took_over = is_another_lock(&pool, token).await?;
            Ok::<_, StoreError>((pool, epoch, took_over))
        })?;
        Ok(Self {
            runtime,
            pool,
            epoch,
            lock: Lock::Held(lock),
            token,
            took_over,
        })
    }

    /// Opens the store for reading, beside a process that holds it. Committing to it fails.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(unusable("opening it", &"it does not exist yet"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable("starting its runtime", &error))?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let (pool, epoch) = runtime.block_on(async {
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(options)
                .await
                .map_err(|error| rows::explain("opening it", error))?;
            let row = sqlx::query("SELECT max(version) FROM _sqlx_migrations")
                .fetch_one(&pool)
                .await
                .map_err(|error| rows::explain("reading its version", error))?;
            let version = number(&row, 0, "_sqlx_migrations")?;
            if version != SCHEMA_VERSION {
                return Err(StoreError::Migration {
                    why: format!("it has version {version}, this program {SCHEMA_VERSION}"),
                });
            }
            let row = sqlx::query("SELECT value FROM meta WHERE name = 'epoch'")
                .fetch_one(&pool)
                .await
                .map_err(|error| rows::explain("reading its epoch", error))?;
            Ok((pool, number(&row, 0, "meta")?))
        })?;
        Ok(Self {
            runtime,
            pool,
            epoch,
            lock: Lock::Beside(lock_path(path)),
            token: 0,
            took_over: false,
        })
    }

    /// Rows of one plan, or of a question that names none.
    fn rows<T>(
        &self,
        doing: &'static str,
        sql: &'static str,
        plan: Option<&PlanId>,
        read: impl Fn(&SqliteRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.runtime.block_on(async {
            let mut query = sqlx::query(sql);
            if let Some(plan) = plan {
                query = query.bind(plan.to_string());
            }
            let rows = query
                .fetch_all(&self.pool)
                .await
                .map_err(|error| rows::explain(doing, error))?;
            rows.iter().map(read).collect()
        })
    }

    fn texts(&self, doing: &'static str, query: Texts) -> Result<Vec<String>, StoreError> {
        self.runtime.block_on(async {
            query
                .fetch_all(&self.pool)
                .await
                .map_err(|error| rows::explain(doing, error))
        })
    }

    fn slots_of(&self, query: Texts) -> Result<Vec<SlotRecord>, StoreError> {
        from_json(&self.texts("reading slots", query)?, "slots")
    }

    fn runs_of(&self, query: Texts) -> Result<Vec<Run>, StoreError> {
        from_json(&self.texts("reading the catalog", query)?, "runs")
    }

    fn operations_of(&self, query: Texts) -> Result<Vec<Operation>, StoreError> {
        from_json(&self.texts("reading operations", query)?, "executions")
    }
}

/// A question that is answered by one text a row.
type Texts = sqlx::query::QueryScalar<'static, Sqlite, String, SqliteArguments>;

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let all = MIGRATIONS
        .into_iter()
        .map(|(version, name, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        })
        .collect();
    Migrator::with_migrations(all)
        .run(pool)
        .await
        .map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) => rows::explain("preparing it", error),
            other => StoreError::Migration {
                why: other.to_string(),
            },
        })
}

async fn next_epoch(pool: &SqlitePool) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('epoch', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
    )
    .fetch_one(pool)
    .await
    .map_err(|error| rows::explain("counting its openings", error))?;
    number(&row, 0, "meta")
}

/// Whether the lock was on another file before.
async fn is_another_lock(pool: &SqlitePool, token: i64) -> Result<bool, StoreError> {
    let explain = |error| rows::explain("looking at its lock", error);
    let before: Option<i64> = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'lock'")
        .fetch_optional(pool)
        .await
        .map_err(explain)?;
    Ok(before.is_some_and(|before| before != token))
}

/// Whether this life is still the newest.
async fn newest(
    connection: impl sqlx::Executor<'_, Database = Sqlite>,
    epoch: u64,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'epoch'")
        .fetch_one(connection)
        .await
        .map_err(|error| rows::explain("reading its epoch", error))?;
    match number(&row, 0, "meta")? {
        newest if newest == epoch => Ok(()),
        newest => Err(StoreError::TakenOver { epoch, newest }),
    }
}

impl Store for SqliteStore {
    fn commit(&self, changes: &[Change], receipts: &[ReceiptLine]) -> Result<(), StoreError> {
        self.runtime.block_on(async {
            // Another process writes nothing between the look at its epoch and the end.
            let mut transaction = self
                .pool
                .begin_with("BEGIN IMMEDIATE")
                .await
                .map_err(|error| rows::explain("beginning a transaction", error))?;
            newest(&mut *transaction, self.epoch).await?;
            // Receipts first: a state of the log is counted over them.
            append(&mut transaction, receipts).await?;
            for change in changes {
                rows::apply(&mut transaction, change).await?;
            }
            transaction
                .commit()
                .await
                .map_err(|error| rows::explain("committing", error))
        })
    }

    fn accepted(&self) -> Result<Option<StoredBundle>, StoreError> {
        self.runtime.block_on(async {
            let row = sqlx::query("SELECT * FROM bundles ORDER BY serial DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| rows::explain("reading the active bundle", error))?;
            row.as_ref().map(rows::bundle).transpose()
        })
    }

    fn last_refusal(&self) -> Result<Option<(Digest, String)>, StoreError> {
        self.runtime.block_on(async {
            let row = sqlx::query("SELECT digest, code FROM refusals ORDER BY id DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| rows::explain("reading refusals", error))?;
            row.map(|row| {
                let digest: String = rows::get(&row, "digest")?;
                let digest =
                    Digest::from_str(&digest).map_err(|error| damaged("refusals", &error))?;
                Ok((digest, rows::get(&row, "code")?))
            })
            .transpose()
        })
    }

    fn plans_since(
        &self,
        plan: Option<&PlanId>,
    ) -> Result<BTreeMap<PlanId, Timestamp>, StoreError> {
        let query = match plan {
            None => sqlx::query("SELECT plan_id, since FROM plans"),
            Some(plan) => sqlx::query("SELECT plan_id, since FROM plans WHERE plan_id = ?")
                .bind(plan.to_string()),
        };
        self.runtime.block_on(async {
            let rows = query
                .fetch_all(&self.pool)
                .await
                .map_err(|error| rows::explain("reading plans", error))?;
            rows.iter()
                .map(|row| {
                    let id: String = rows::get(row, "plan_id")?;
                    let id = PlanId::from_str(&id).map_err(|error| damaged("plans", &error))?;
                    Ok((id, instant(row, "since")?))
                })
                .collect()
        })
    }

    fn slots(&self, plan: Option<&PlanId>) -> Result<Vec<SlotRecord>, StoreError> {
        self.slots_of(match plan {
            None => sqlx::query_scalar("SELECT body FROM slots ORDER BY first, plan_id"),
            Some(plan) => {
                sqlx::query_scalar("SELECT body FROM slots WHERE plan_id = ? ORDER BY first")
                    .bind(plan.to_string())
            }
        })
    }

    fn slots_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<(u64, SlotRecord)>, StoreError> {
        // Numbers are read backwards until enough are found: no other index gives them in this order.
        let query = sqlx::query_scalar(
            "SELECT json_array(sequence, json(body)) FROM slots
             WHERE sequence < ?1 AND (?2 IS NULL OR +plan_id = ?2)
             ORDER BY sequence DESC LIMIT ?3",
        );
        let before = before
            .and_then(|before| i64::try_from(before).ok())
            .unwrap_or(i64::MAX);
        let query = query
            .bind(before)
            .bind(plan.map(ToString::to_string))
            .bind(most);
        from_json(&self.texts("reading slots", query)?, "slots")
    }

    fn newest_slots(
        &self,
        plan: &PlanId,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<SlotRecord>, StoreError> {
        let query = sqlx::query_scalar(rows::newest_slot!("body", "?3", "?4"))
            .bind(now.as_second())
            .bind(rows::ahead_of(now))
            .bind(plan.to_string())
            .bind(most);
        self.slots_of(query)
    }

    fn runs(&self) -> Result<Vec<Run>, StoreError> {
        self.runs_of(sqlx::query_scalar(
            "SELECT body FROM runs ORDER BY started_at, backup_id",
        ))
    }

    fn points(&self, plan: Option<&PlanId>) -> Result<Vec<Run>, StoreError> {
        self.runs_of(match plan {
            None => sqlx::query_scalar(
                "SELECT body FROM runs WHERE is_point = 1 ORDER BY started_at, backup_id",
            ),
            Some(plan) => sqlx::query_scalar(
                "SELECT body FROM runs WHERE is_point = 1 AND plan_id = ?
                 ORDER BY started_at, backup_id",
            )
            .bind(plan.to_string()),
        })
    }

    fn newest_points(&self, plan: &PlanId, kid: &Kid, most: u32) -> Result<Vec<Run>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT body FROM runs WHERE is_point = 1 AND plan_id = ?
                 AND json_extract(body, '$.kid') = ?
             ORDER BY started_at DESC, backup_id DESC LIMIT ?",
        );
        self.runs_of(
            query
                .bind(plan.to_string())
                .bind(kid.to_string())
                .bind(most),
        )
    }

    fn points_at(&self, location: &LocationId, most: u32) -> Result<Vec<Run>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT body FROM runs WHERE is_point = 1 AND EXISTS
                 (SELECT 1 FROM json_each(body, '$.storage_locations') AS held WHERE held.key = ?)
             ORDER BY started_at DESC, backup_id DESC LIMIT ?",
        );
        self.runs_of(query.bind(location.to_string()).bind(most))
    }

    fn points_before(
        &self,
        plan: Option<&PlanId>,
        before: Option<&BackupId>,
        most: u32,
    ) -> Result<Vec<Run>, StoreError> {
        // Each has an index that it reads as far as the page goes.
        let query = match (plan, before) {
            (None, None) => sqlx::query_scalar(
                "SELECT body FROM runs WHERE is_point = 1
                 ORDER BY started_at DESC, backup_id DESC LIMIT ?",
            ),
            (None, Some(before)) => sqlx::query_scalar(
                "SELECT body FROM runs WHERE is_point = 1 AND (started_at, backup_id) <
                     (SELECT started_at, backup_id FROM runs WHERE backup_id = ?)
                 ORDER BY started_at DESC, backup_id DESC LIMIT ?",
            )
            .bind(before.to_string()),
            (Some(plan), None) => sqlx::query_scalar(
                "SELECT body FROM runs WHERE is_point = 1 AND plan_id = ?
                 ORDER BY started_at DESC, backup_id DESC LIMIT ?",
            )
            .bind(plan.to_string()),
            (Some(plan), Some(before)) => sqlx::query_scalar(
                "SELECT body FROM runs WHERE is_point = 1 AND plan_id = ? AND (started_at, backup_id) <
                     (SELECT started_at, backup_id FROM runs WHERE backup_id = ?)
                 ORDER BY started_at DESC, backup_id DESC LIMIT ?",
            )
            .bind(plan.to_string())
            .bind(before.to_string()),
        };
        let query = query.bind(most);
        self.runs_of(query)
    }

    fn point(&self, id: &BackupId) -> Result<Option<Run>, StoreError> {
        let query =
            sqlx::query_scalar("SELECT body FROM runs WHERE is_point = 1 AND backup_id = ?");
        Ok(self.runs_of(query.bind(id.to_string()))?.pop())
    }

    fn newest_run(&self, plan: &PlanId) -> Result<Option<Run>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT body FROM runs WHERE plan_id = ?
             ORDER BY started_at DESC, backup_id DESC LIMIT 1",
        );
        Ok(self.runs_of(query.bind(plan.to_string()))?.pop())
    }

    fn operations(&self) -> Result<Vec<Operation>, StoreError> {
        self.operations_of(sqlx::query_scalar(
            "SELECT body FROM executions ORDER BY sequence",
        ))
    }

    fn open_operations(&self, plan: Option<&PlanId>) -> Result<Vec<Operation>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT body FROM executions WHERE (outcome IS NULL OR outcome = 'unknown')
                 AND (?1 IS NULL OR +plan_id = ?1)
             ORDER BY sequence",
        );
        self.operations_of(query.bind(plan.map(ToString::to_string)))
    }

    fn operations_of_slots(
        &self,
        plan: &PlanId,
        after: Option<Timestamp>,
    ) -> Result<Vec<Operation>, StoreError> {
        // Instants are written in one form, in which they sort as text.
        let after = after.map_or_else(String::new, |after| after.to_string());
        let query = sqlx::query_scalar(
            "SELECT body FROM executions
             WHERE kind = 'backup' AND slot IS NOT NULL AND plan_id = ? AND slot > ?
             ORDER BY slot, sequence",
        );
        self.operations_of(query.bind(plan.to_string()).bind(after))
    }

    fn operations_with_error(
        &self,
        plan: &PlanId,
        error: Code,
        most: u32,
    ) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT operation_id FROM executions WHERE plan_id = ? AND error = ?
             ORDER BY sequence DESC LIMIT ?",
        );
        let query = query.bind(plan.to_string()).bind(error.to_string());
        self.texts("reading operations", query.bind(i64::from(most)))
    }

    fn last_restore(&self, dataset: &DatasetId) -> Result<Option<Operation>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT body FROM executions
             WHERE kind = 'restore' AND json_extract(body, '$.restores.in_place') = 1
                 AND json_extract(body, '$.restores.dataset_id') = ?
                 AND outcome IS NOT 'failure'
             ORDER BY sequence DESC LIMIT 1",
        );
        Ok(self.operations_of(query.bind(dataset.to_string()))?.pop())
    }

    fn newest_start(&self) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT started_at FROM executions ORDER BY started_at DESC LIMIT 1",
        );
        let newest = self.texts("reading operations", query)?.pop();
        newest
            .map(|at| at.parse().map_err(|error| damaged("executions", &error)))
            .transpose()
    }

    fn connector_state(
        &self,
        plan: &PlanId,
        dataset: &DatasetId,
    ) -> Result<Option<String>, StoreError> {
        self.runtime.block_on(async {
            let row = sqlx::query(
                "SELECT state FROM connector_states WHERE plan_id = ? AND dataset_id = ?",
            )
            .bind(plan.as_str())
            .bind(dataset.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| rows::explain("reading a connector's state", error))?;
            row.as_ref().map(|row| rows::get(row, "state")).transpose()
        })
    }

    fn receipts(&self, from: u64, most: u64) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT line FROM receipts WHERE position >= ? ORDER BY position LIMIT ?",
        );
        let query = query.bind(rows::signed(from)).bind(rows::signed(most));
        self.texts("reading receipts", query)
    }

    fn receipts_size(&self) -> Result<u64, StoreError> {
        self.runtime.block_on(next_place(&self.pool))
    }

    fn receipt_bytes(&self, size: u64) -> Result<u64, StoreError> {
        self.runtime.block_on(async {
            let row = sqlx::query(rows::RECEIPT_BYTES)
                .bind(rows::signed(size))
                .fetch_one(&self.pool)
                .await
                .map_err(|error| rows::explain("measuring receipts", error))?;
            number(&row, 0, "receipts")
        })
    }

    fn frontier(&self) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_scalar("SELECT sealed FROM frontier ORDER BY size DESC LIMIT 1");
        Ok(self
            .texts("reading the state of the receipts", query)?
            .pop())
    }

    fn receipt_copies(&self) -> Result<BTreeMap<LocationId, ReceiptCopy>, StoreError> {
        self.rows(
            "reading copies of receipts",
            "SELECT location_id, size, seen FROM receipt_copy",
            None,
            rows::receipt_copy,
        )
        .map(|all| {
            all.into_iter()
                .map(|one| (one.location_id.clone(), one))
                .collect()
        })
    }

    fn tallies(&self) -> Result<Vec<Tallied>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT json_object('what', what, 'subject', subject, 'outcome', outcome, 'count', count) FROM tallies",
        );
        from_json(&self.texts("reading counts", query)?, "tallies")
    }

    fn tallies_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Tallied>, StoreError> {
        let query = alerts::tallies_between(from, to);
        from_json(
            &self.texts("reading counts of a window", query)?,
            "tallies_by_hour",
        )
    }

    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        from_json(&self.texts("reading alerts", alerts::all())?, "alerts")
    }

    fn completions_sent(&self) -> Result<BTreeMap<ChannelId, u64>, StoreError> {
        self.rows(
            "reading what channels were sent",
            alerts::SENT,
            None,
            alerts::sent,
        )
        .map(|all| all.into_iter().collect())
    }

    fn conditions(&self) -> Result<Vec<StoredCondition>, StoreError> {
        let query = sqlx::query_scalar("SELECT body FROM conditions ORDER BY subject");
        from_json(&self.texts("reading conditions", query)?, "conditions")
    }

    fn location_identities(&self) -> Result<BTreeMap<LocationId, LocationIdentity>, StoreError> {
        self.rows(
            "reading identities of locations",
            "SELECT location_id, identity, first_seen FROM location_identity",
            None,
            rows::identity,
        )
        .map(|all| {
            all.into_iter()
                .map(|one| (one.location_id.clone(), one))
                .collect()
        })
    }

    fn refused_bundle(
        &self,
        payload: &str,
        judged_by: &str,
    ) -> Result<Option<RefusedBundle>, StoreError> {
        self.runtime.block_on(async {
            let row = sqlx::query(
                "SELECT payload, judged_by, at, failure FROM refused_bundle
                 WHERE payload = ? AND judged_by = ?",
            )
            .bind(payload)
            .bind(judged_by)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| rows::explain("reading refused bundles", error))?;
            row.as_ref().map(rows::refused).transpose()
        })
    }

    fn acknowledgements(&self) -> Result<Vec<Acknowledgement>, StoreError> {
        self.rows(
            "reading acknowledgements",
            "SELECT subject, kind, at, actor, note FROM acknowledgement ORDER BY id",
            None,
            rows::acknowledgement,
        )
    }

    fn suspensions(
        &self,
        plan: Option<&PlanId>,
    ) -> Result<BTreeMap<PlanId, Suspension>, StoreError> {
        let query = match plan {
            None => sqlx::query_scalar("SELECT body FROM suspensions ORDER BY plan_id"),
            Some(plan) => sqlx::query_scalar("SELECT body FROM suspensions WHERE plan_id = ?")
                .bind(plan.to_string()),
        };
        let all: Vec<Suspension> =
            from_json(&self.texts("reading suspensions", query)?, "suspensions")?;
        Ok(all.into_iter().map(|it| (it.plan_id.clone(), it)).collect())
    }

    fn parts_read(&self, plan: &PlanId) -> Result<Vec<PartRead>, StoreError> {
        self.rows(
            "reading checks",
            "SELECT * FROM part_read WHERE plan_id = ? ORDER BY kid, location_id, parts, part",
            Some(plan),
            rows::part_read,
        )
    }

    fn parts_reading(&self, plan: &PlanId) -> Result<Vec<PartReading>, StoreError> {
        self.rows(
            "reading checks",
            "SELECT * FROM part_reading WHERE plan_id = ? ORDER BY kid, location_id, parts, part",
            Some(plan),
            rows::part_reading,
        )
    }

    fn deletions_since(&self, at: Timestamp) -> Result<u64, StoreError> {
        let counted = self.texts("counting deletions", deletions::since(at))?;
        let many = counted.first().map_or("0", String::as_str);
        many.parse().map_err(|error| damaged("deletions", &error))
    }

    fn deleted_snapshots(
        &self,
        plan: &PlanId,
        kid: &Kid,
        most: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.texts("reading deletions", deletions::snapshots(plan, kid, most))
    }

    fn prunes(&self, plan: &PlanId) -> Result<Vec<Pruning>, StoreError> {
        let read = deletions::pruning;
        self.rows("reading prunes", deletions::PRUNES, Some(plan), read)
    }

    fn damaged_objects(&self, plan: &PlanId) -> Result<Vec<DamagedObject>, StoreError> {
        self.rows(
            "reading damaged objects",
            "SELECT * FROM damaged_object WHERE plan_id = ? ORDER BY kid, location_id, object",
            Some(plan),
            rows::damaged_object,
        )
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn holds(&self) -> Result<(), StoreError> {
        self.runtime.block_on(newest(&self.pool, self.epoch))
    }

    fn took_over(&self) -> bool {
        self.took_over
    }

    fn settle(&self) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('lock', ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        );
        let settled = query.bind(self.token).execute(&self.pool);
        self.runtime
            .block_on(settled)
            .map(drop)
            .map_err(|error| rows::explain("remembering its lock", error))
    }

    fn running(&self) -> Option<u64> {
        match &self.lock {
            Lock::Held(_) => None,
            Lock::Beside(path) => is_held(path).then_some(self.epoch),
        }
    }
}

/// The place of the next receipt.
async fn next_place(stored: impl SqliteExecutor<'_>) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT coalesce(max(position) + 1, 0) FROM receipts")
        .fetch_one(stored)
        .await
        .map_err(|error| rows::explain("counting receipts", error))?;
    number(&row, 0, "receipts")
}

async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    receipts: &[ReceiptLine],
) -> Result<(), StoreError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let mut size = next_place(&mut **transaction).await?;
    for receipt in receipts {
        let position = receipt.position;
        if position != size {
            return Err(StoreError::NotNext { position, size });
        }
        sqlx::query("INSERT INTO receipts (position, at, line) VALUES (?, ?, ?)")
            .bind(rows::signed(position))
            .bind(receipt.at.as_second())
            .bind(&receipt.line)
            .execute(&mut **transaction)
            .await
            .map_err(|error| rows::explain("appending a receipt", error))?;
        size += 1;
    }
    Ok(())
}
