//! Owns how each change becomes rows and how rows become values again. Never opens or commits anything; what it cannot read
//! is damage, told with its table. The interesting function is [`apply`].

use std::collections::BTreeMap;
use std::str::FromStr;

use contract::digest::Digest;
use contract::id::{Kid, LocationId, PlanId};
use contract::seal::{CLOCK_SKEW, Serial};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{alerts, deletions, summary, tally};
use crate::domain::{
    Acknowledgement, Change, DamagedObject, LocationIdentity, Operation, Outcome, PartRead,
    PartReading, ReceiptCopy, RefusedBundle, Run, SlotRecord, State, StoredBundle, StoredCondition,
};
use crate::store::StoreError;

/// Whoever may push can have bundles refused without end. A forgotten one is only judged again.
const REFUSED_BUNDLES_KEPT: i64 = 1_000;

pub(super) type Tx<'t> = Transaction<'t, Sqlite>;

/// Applies one change inside a transaction.
pub(super) async fn apply(tx: &mut Tx<'_>, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::BundleAccepted(bundle) => accepted(tx, bundle).await,
        Change::BundleRefused { digest, code, at } => {
            let query = sqlx::query("INSERT INTO refusals (digest, code, at) VALUES (?, ?, ?)")
                .bind(digest.to_string())
                .bind(code)
                .bind(at.as_second());
            run(tx, "recording a refusal", query).await
        }
        Change::OperationBegun(operation) => begun(tx, operation).await,
        Change::OperationEnded {
            operation_id,
            outcome,
            error,
            at,
        } => ended(tx, operation_id, *outcome, error.as_deref(), *at).await,
        Change::RunEnded(ended) => run_ended(tx, ended).await,
        Change::RunChanged(changed) => run_changed(tx, changed).await,
        Change::PointRemoved(deletion) => deletions::removed(tx, deletion).await,
        Change::Pruned(pruning) => deletions::pruned(tx, pruning).await,
        Change::SlotEnded(slot) => slot_ended(tx, slot).await,
        Change::ConnectorState {
            plan_id,
            dataset_id,
            state,
        } => connector_state(tx, plan_id.as_str(), dataset_id.as_str(), state.as_deref()).await,
        Change::Conditions(conditions) => replace_conditions(tx, conditions).await,
        Change::PartRead(part) => record_part(tx, part).await,
        Change::PartReading(part) => record_reading(tx, part).await,
        Change::ObjectDamaged(damaged) => record_damage(tx, damaged).await,
        Change::ObjectRepaired {
            plan_id,
            kid,
            location_id,
            object,
        } => {
            let query = sqlx::query(
                "DELETE FROM damaged_object
                 WHERE plan_id = ? AND kid = ? AND location_id = ? AND object = ?",
            )
            .bind(plan_id.as_str().to_owned())
            .bind(kid.as_str().to_owned())
            .bind(location_id.as_str().to_owned())
            .bind(object.clone());
            run(tx, "recording a repair", query).await
        }
        Change::LocationIdentity(one) => {
            let query = sqlx::query(
                "INSERT INTO location_identity (location_id, identity, first_seen) VALUES (?, ?, ?)
                 ON CONFLICT (location_id) DO UPDATE
                 SET identity = excluded.identity, first_seen = excluded.first_seen",
            )
            .bind(one.location_id.as_str().to_owned())
            .bind(one.identity.clone())
            .bind(one.first_seen.as_second());
            run(tx, "recording the identity of a location", query).await
        }
        Change::BundleJudged(refused) => record_refused(tx, refused).await,
        Change::Suspended(one) => {
            let query =
                sqlx::query("INSERT OR REPLACE INTO suspensions (plan_id, body) VALUES (?, ?)")
                    .bind(one.plan_id.to_string())
                    .bind(to_json(one)?);
            run(tx, "recording a suspension", query).await
        }
        Change::Resumed(plan_id) => {
            let query =
                sqlx::query("DELETE FROM suspensions WHERE plan_id = ?").bind(plan_id.to_string());
            run(tx, "ending a suspension", query).await
        }
        Change::Acknowledged(one) => acknowledged(tx, one).await,
        Change::Frontier { size, sealed } => record_frontier(tx, *size, sealed).await,
        Change::ReceiptsCopied(copy) => {
            let query = sqlx::query(
                "INSERT INTO receipt_copy (location_id, size, seen) VALUES (?, ?, ?)
                 ON CONFLICT (location_id) DO UPDATE SET size = excluded.size, seen = excluded.seen",
            )
            .bind(copy.location_id.as_str().to_owned())
            .bind(signed(copy.size))
            .bind(copy.seen.clone());
            run(tx, "recording a copy of the receipts", query).await
        }
        Change::Alert(record) => alerts::record(tx, record).await,
        Change::AlertOver { alert_id } => alerts::over(tx, alert_id).await,
        Change::CompletionsSent {
            channel_id,
            receipts,
        } => alerts::record_sent(tx, channel_id, *receipts).await,
    }
}

async fn acknowledged(tx: &mut Tx<'_>, one: &Acknowledgement) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO acknowledgement (subject, kind, at, actor, note) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(one.subject.clone())
    .bind(one.kind.clone())
    .bind(one.at.as_second())
    .bind(one.actor.clone())
    .bind(one.note.clone());
    run(tx, "recording an acknowledgement", query).await
}

/// Bytes of `receipts.jsonl` up to the size ?1: counted up from the newest state that is not beyond it.
pub(super) const RECEIPT_BYTES: &str = "
    WITH before (size, bytes) AS (
        SELECT * FROM (SELECT size, bytes FROM frontier WHERE size <= ?1 ORDER BY size DESC LIMIT 1)
        UNION ALL SELECT 0, 0 ORDER BY size DESC LIMIT 1
    )
    SELECT before.bytes + coalesce((
        SELECT sum(length(CAST(line AS BLOB)) + 1) FROM receipts
        WHERE position >= before.size AND position < ?1
    ), 0) FROM before";

async fn record_frontier(tx: &mut Tx<'_>, size: u64, sealed: &str) -> Result<(), StoreError> {
    let row = sqlx::query(RECEIPT_BYTES)
        .bind(signed(size))
        .fetch_one(&mut **tx)
        .await
        .map_err(|error| explain("measuring receipts", error))?;
    let bytes = number(&row, 0, "receipts")?;
    let query = sqlx::query("INSERT INTO frontier (size, bytes, sealed) VALUES (?, ?, ?)")
        .bind(signed(size))
        .bind(signed(bytes))
        .bind(sealed.to_owned());
    run(tx, "recording the state of the receipts", query).await
}

async fn record_part(tx: &mut Tx<'_>, part: &PartRead) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO part_read
         (plan_id, kid, location_id, parts, part, at, is_sound, objects, bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (plan_id, kid, location_id, parts, part) DO UPDATE
         SET at = excluded.at, is_sound = excluded.is_sound, objects = excluded.objects,
             bytes = excluded.bytes",
    )
    .bind(part.plan_id.as_str().to_owned())
    .bind(part.kid.as_str().to_owned())
    .bind(part.location_id.as_str().to_owned())
    .bind(i64::from(part.of))
    .bind(i64::from(part.part))
    .bind(part.at.as_second())
    .bind(i64::from(part.is_sound))
    .bind(signed(part.objects))
    .bind(signed(part.bytes));
    run(tx, "recording what a check read", query).await?;
    let query = sqlx::query(
        "DELETE FROM part_reading
         WHERE plan_id = ? AND kid = ? AND location_id = ? AND parts = ? AND part = ?",
    )
    .bind(part.plan_id.as_str().to_owned())
    .bind(part.kid.as_str().to_owned())
    .bind(part.location_id.as_str().to_owned())
    .bind(i64::from(part.of))
    .bind(i64::from(part.part));
    run(tx, "recording what a check read", query).await
}

async fn record_reading(tx: &mut Tx<'_>, part: &PartReading) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO part_reading
         (plan_id, kid, location_id, parts, part, since, through, is_sound, objects, bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (plan_id, kid, location_id, parts, part) DO UPDATE
         SET since = excluded.since, through = excluded.through, is_sound = excluded.is_sound,
             objects = excluded.objects, bytes = excluded.bytes",
    )
    .bind(part.plan_id.as_str().to_owned())
    .bind(part.kid.as_str().to_owned())
    .bind(part.location_id.as_str().to_owned())
    .bind(i64::from(part.of))
    .bind(i64::from(part.part))
    .bind(part.since.as_second())
    .bind(part.through.clone())
    .bind(i64::from(part.is_sound))
    .bind(signed(part.objects))
    .bind(signed(part.bytes));
    run(tx, "recording how far a check came", query).await
}

async fn record_damage(tx: &mut Tx<'_>, damaged: &DamagedObject) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO damaged_object (plan_id, kid, location_id, object, found_at, why)
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(damaged.plan_id.as_str().to_owned())
    .bind(damaged.kid.as_str().to_owned())
    .bind(damaged.location_id.as_str().to_owned())
    .bind(damaged.object.clone())
    .bind(damaged.found_at.as_second())
    .bind(damaged.why.clone());
    run(tx, "recording damage", query).await
}

async fn record_refused(tx: &mut Tx<'_>, refused: &RefusedBundle) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO refused_bundle (payload, judged_by, at, failure) VALUES (?, ?, ?, ?)
         ON CONFLICT (payload, judged_by) DO UPDATE SET at = excluded.at, failure = excluded.failure",
    )
    .bind(refused.payload.clone())
    .bind(refused.judged_by.clone())
    .bind(refused.at.as_second())
    .bind(refused.failure.clone());
    run(tx, "recording a refused bundle", query).await?;
    let query = sqlx::query(
        "DELETE FROM refused_bundle WHERE rowid NOT IN
         (SELECT rowid FROM refused_bundle ORDER BY at DESC, rowid DESC LIMIT ?)",
    )
    .bind(REFUSED_BUNDLES_KEPT);
    run(tx, "forgetting old refused bundles", query).await
}

pub(super) type Query = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

pub(super) async fn run(
    tx: &mut Tx<'_>,
    doing: &'static str,
    query: Query,
) -> Result<(), StoreError> {
    query
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(|error| explain(doing, error))
}

async fn begun(tx: &mut Tx<'_>, operation: &Operation) -> Result<(), StoreError> {
    let query = sqlx::query("INSERT INTO executions (operation_id, body) VALUES (?, ?)")
        .bind(operation.operation_id.clone())
        .bind(to_json(operation)?);
    match query.execute(&mut **tx).await {
        Ok(_) => deletions::reserve(tx, operation).await,
        // One plan's operation that cannot be begun costs no other plan anything.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(StoreError::OperationKnown {
                operation_id: operation.operation_id.clone(),
            })
        }
        Err(error) => Err(explain("recording an intent", error)),
    }
}

async fn accepted(tx: &mut Tx<'_>, bundle: &StoredBundle) -> Result<(), StoreError> {
    let roots: Vec<String> = bundle
        .roots
        .iter()
        .map(|root| String::from_utf8_lossy(root).into_owned())
        .collect();
    let query = sqlx::query(
        "INSERT INTO bundles
         (serial, payload, root_version, accepted_at, envelope, bundle, provenance, roots, plans)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (serial) DO UPDATE SET root_version = excluded.root_version, roots = excluded.roots,
            envelope = excluded.envelope WHERE payload = excluded.payload",
    )
    .bind(signed(bundle.serial.get()))
    .bind(bundle.payload.to_string())
    .bind(signed(bundle.root_version))
    .bind(bundle.accepted_at.as_second())
    .bind(bundle.envelope.clone())
    .bind(bundle.bundle.clone())
    .bind(bundle.provenance.clone())
    .bind(to_json(&roots)?)
    .bind(to_json(&bundle.plans)?);
    run(tx, "recording a bundle", query).await?;
    for plan in &bundle.plans {
        let insert = if bundle.begins.contains(plan) {
            "INSERT INTO plans (plan_id, since) VALUES (?, ?)
             ON CONFLICT (plan_id) DO UPDATE SET since = excluded.since"
        } else {
            "INSERT INTO plans (plan_id, since) VALUES (?, ?) ON CONFLICT DO NOTHING"
        };
        let query = sqlx::query(insert)
            .bind(plan.as_str().to_owned())
            .bind(bundle.accepted_at.as_second());
        run(tx, "recording a plan", query).await?;
    }
    Ok(())
}

async fn ended(
    tx: &mut Tx<'_>,
    operation_id: &str,
    outcome: Outcome,
    error: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT body FROM executions WHERE operation_id = ?")
        .bind(operation_id.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(|error| explain("reading an operation", error))?
        .ok_or_else(|| damaged("executions", &format!("`{operation_id}` has no intent")))?;
    let body: String = get(&row, "body")?;
    let mut operation: Operation = one(&body, "executions")?;
    // Exactly one outcome follows an intent; only an unknown one is closed later, once.
    if !operation.state.is_open() {
        return Err(damaged(
            "executions",
            &format!("`{operation_id}` has its outcome already"),
        ));
    }
    operation.state = State::Ended(outcome);
    operation.ended_at = Some(at);
    operation.error = error.map(str::to_owned);
    let query = sqlx::query("UPDATE executions SET body = ? WHERE operation_id = ?")
        .bind(to_json(&operation)?)
        .bind(operation_id.to_owned());
    run(tx, "recording an outcome", query).await?;
    deletions::release(tx, &operation).await?;
    tally::operation(tx, &operation).await?;
    summary::condense_operations(tx, &operation.plan_id).await
}

async fn run_ended(tx: &mut Tx<'_>, ended: &Run) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO runs (backup_id, started_at, is_point, body) VALUES (?, ?, ?, ?)
         ON CONFLICT (backup_id) DO UPDATE
         SET started_at = excluded.started_at, is_point = excluded.is_point, body = excluded.body
         WHERE runs.is_point = 0",
    )
    .bind(ended.backup_id.as_str().to_owned())
    .bind(ended.started_at.as_second())
    .bind(i64::from(ended.is_point()))
    .bind(to_json(ended)?);
    let done = query
        .execute(&mut **tx)
        .await
        .map_err(|error| explain("recording a run", error))?;
    if done.rows_affected() == 1 {
        tally::backup(tx, ended).await?;
        summary::condense_runs(tx, &ended.plan_id).await
    } else {
        Err(damaged(
            "runs",
            &format!("`{}` has its recovery point already", ended.backup_id),
        ))
    }
}

async fn run_changed(tx: &mut Tx<'_>, changed: &Run) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE runs SET body = ? WHERE backup_id = ? AND is_point = 1")
        .bind(to_json(changed)?)
        .bind(changed.backup_id.as_str().to_owned());
    run(tx, "recording a check", query).await
}

/// The newest record of a plan as of ?1; ?2 is the second after which a clock was ahead of that. That such a clock missed a slot does not
/// count: the slot's own record is yet to come. A run counts by whichever clock, and slots that are yet to begin do not. What a turn
/// plans by and what a commit is refused by is this one query.
macro_rules! newest_slot {
    ($column:literal, $plan:literal, $most:literal) => {
        concat!(
            "SELECT ",
            $column,
            " FROM slots WHERE plan_id = ",
            $plan,
            " AND first <= ?1 AND (ended_at <= ?2 OR body ->> 'outcome' <> 'missed')
             ORDER BY first DESC, sequence DESC LIMIT ",
            $most
        )
    };
}
pub(super) use newest_slot;

async fn slot_ended(tx: &mut Tx<'_>, slot: &SlotRecord) -> Result<(), StoreError> {
    let newest: Option<i64> = sqlx::query_scalar(newest_slot!("last", "?3", "1"))
        .bind(slot.ended_at.as_second())
        .bind(ahead_of(slot.ended_at))
        .bind(slot.plan_id.as_str().to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(|error| explain("reading slots", error))?;
    if newest.is_some_and(|newest| slot.first.as_second() <= newest) {
        return Err(StoreError::SlotRecorded {
            plan: slot.plan_id.clone(),
            slot: slot.first,
        });
    }
    let insert = "INSERT INTO slots (plan_id, first, last, ended_at, body) VALUES (?, ?, ?, ?, ?)";
    let query = sqlx::query(insert)
        .bind(slot.plan_id.as_str().to_owned())
        .bind(slot.first.as_second())
        .bind(slot.last.as_second())
        .bind(slot.ended_at.as_second())
        .bind(to_json(slot)?);
    run(tx, "recording a slot", query).await?;
    tally::slots(tx, slot).await?;
    summary::join_slots(tx, &slot.plan_id).await
}

/// The second after which a record was written by a clock that was ahead.
pub(super) fn ahead_of(now: Timestamp) -> i64 {
    now.as_second().saturating_add(CLOCK_SKEW.as_secs())
}

async fn connector_state(
    tx: &mut Tx<'_>,
    plan: &str,
    dataset: &str,
    state: Option<&str>,
) -> Result<(), StoreError> {
    let query = match state {
        Some(state) => sqlx::query(
            "INSERT INTO connector_states (plan_id, dataset_id, state) VALUES (?, ?, ?)
             ON CONFLICT (plan_id, dataset_id) DO UPDATE SET state = excluded.state",
        )
        .bind(plan.to_owned())
        .bind(dataset.to_owned())
        .bind(state.to_owned()),
        None => sqlx::query("DELETE FROM connector_states WHERE plan_id = ? AND dataset_id = ?")
            .bind(plan.to_owned())
            .bind(dataset.to_owned()),
    };
    run(tx, "recording a connector's state", query).await
}

async fn replace_conditions(
    tx: &mut Tx<'_>,
    conditions: &[StoredCondition],
) -> Result<(), StoreError> {
    let doing = "recording conditions";
    let known: Vec<(String, String)> = sqlx::query_as("SELECT subject, body FROM conditions")
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| explain(doing, error))?;
    let mut gone: BTreeMap<String, String> = known.into_iter().collect();
    // Of a thousand plans one or two change at a time.
    for condition in conditions {
        let body = to_json(condition)?;
        if gone.remove(&condition.subject).as_ref() == Some(&body) {
            continue;
        }
        let query = sqlx::query(
            "INSERT INTO conditions (subject, body) VALUES (?1, ?2)
             ON CONFLICT (subject) DO UPDATE SET body = ?2",
        );
        let query = query.bind(condition.subject.clone()).bind(body);
        run(tx, doing, query).await?;
    }
    for subject in gone.into_keys() {
        let query = sqlx::query("DELETE FROM conditions WHERE subject = ?").bind(subject);
        run(tx, doing, query).await?;
    }
    Ok(())
}

/// A bundle out of its row.
pub(super) fn bundle(row: &SqliteRow) -> Result<StoredBundle, StoreError> {
    let payload: String = get(row, "payload")?;
    let roots: String = get(row, "roots")?;
    let roots: Vec<String> = one(&roots, "bundles")?;
    let plans: String = get(row, "plans")?;
    Ok(StoredBundle {
        serial: Serial::new(unsigned(get(row, "serial")?, "bundles")?)
            .ok_or_else(|| damaged("bundles", &"its serial is none"))?,
        payload: Digest::from_str(&payload).map_err(|error| damaged("bundles", &error))?,
        root_version: unsigned(get(row, "root_version")?, "bundles")?,
        accepted_at: instant(row, "accepted_at")?,
        envelope: get(row, "envelope")?,
        bundle: get(row, "bundle")?,
        provenance: get(row, "provenance")?,
        roots: roots.into_iter().map(String::into_bytes).collect(),
        plans: one::<std::collections::BTreeSet<PlanId>>(&plans, "bundles")?,
        begins: std::collections::BTreeSet::new(),
    })
}

/// When and how a part of a repository was last read.
pub(super) fn part_read(row: &SqliteRow) -> Result<PartRead, StoreError> {
    const TABLE: &str = "part_read";
    Ok(PartRead {
        plan_id: id::<PlanId>(row, "plan_id", TABLE)?,
        kid: id::<Kid>(row, "kid", TABLE)?,
        location_id: id::<LocationId>(row, "location_id", TABLE)?,
        part: get(row, "part")?,
        of: get(row, "parts")?,
        at: instant(row, "at")?,
        is_sound: get(row, "is_sound")?,
        objects: unsigned(get(row, "objects")?, TABLE)?,
        bytes: unsigned(get(row, "bytes")?, TABLE)?,
    })
}

/// How far the reading of a part came.
pub(super) fn part_reading(row: &SqliteRow) -> Result<PartReading, StoreError> {
    const TABLE: &str = "part_reading";
    Ok(PartReading {
        plan_id: id::<PlanId>(row, "plan_id", TABLE)?,
        kid: id::<Kid>(row, "kid", TABLE)?,
        location_id: id::<LocationId>(row, "location_id", TABLE)?,
        part: get(row, "part")?,
        of: get(row, "parts")?,
        since: instant(row, "since")?,
        through: get(row, "through")?,
        is_sound: get(row, "is_sound")?,
        objects: unsigned(get(row, "objects")?, TABLE)?,
        bytes: unsigned(get(row, "bytes")?, TABLE)?,
    })
}

/// An object that is damaged.
pub(super) fn damaged_object(row: &SqliteRow) -> Result<DamagedObject, StoreError> {
    const TABLE: &str = "damaged_object";
    Ok(DamagedObject {
        plan_id: id::<PlanId>(row, "plan_id", TABLE)?,
        kid: id::<Kid>(row, "kid", TABLE)?,
        location_id: id::<LocationId>(row, "location_id", TABLE)?,
        object: get(row, "object")?,
        found_at: instant(row, "found_at")?,
        why: get(row, "why")?,
    })
}

/// What marks a location.
pub(super) fn identity(row: &SqliteRow) -> Result<LocationIdentity, StoreError> {
    Ok(LocationIdentity {
        location_id: id::<LocationId>(row, "location_id", "location_identity")?,
        identity: get(row, "identity")?,
        first_seen: instant(row, "first_seen")?,
    })
}

/// The copy of the receipts at a location.
pub(super) fn receipt_copy(row: &SqliteRow) -> Result<ReceiptCopy, StoreError> {
    Ok(ReceiptCopy {
        location_id: id::<LocationId>(row, "location_id", "receipt_copy")?,
        size: unsigned(get(row, "size")?, "receipt_copy")?,
        seen: get(row, "seen")?,
    })
}

/// A bundle that was refused.
pub(super) fn refused(row: &SqliteRow) -> Result<RefusedBundle, StoreError> {
    Ok(RefusedBundle {
        payload: get(row, "payload")?,
        judged_by: get(row, "judged_by")?,
        at: instant(row, "at")?,
        failure: get(row, "failure")?,
    })
}

/// What a person cleared.
pub(super) fn acknowledgement(row: &SqliteRow) -> Result<Acknowledgement, StoreError> {
    Ok(Acknowledgement {
        subject: get(row, "subject")?,
        kind: get(row, "kind")?,
        at: instant(row, "at")?,
        actor: get(row, "actor")?,
        note: get(row, "note")?,
    })
}

pub(super) fn id<T>(row: &SqliteRow, column: &'static str, table: &str) -> Result<T, StoreError>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let text: String = get(row, column)?;
    T::from_str(&text).map_err(|error| damaged(table, &error))
}

pub(super) fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(column)
        .map_err(|error| explain("reading a column", error))
}

pub(super) fn instant(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    let second: i64 = get(row, column)?;
    Timestamp::from_second(second).map_err(|error| damaged(column, &error))
}

pub(super) fn number(row: &SqliteRow, column: usize, table: &str) -> Result<u64, StoreError> {
    let value: i64 = row
        .try_get(column)
        .map_err(|error| explain("reading a number", error))?;
    unsigned(value, table)
}

fn unsigned(value: i64, table: &str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|error| damaged(table, &error))
}

/// Serials and versions stay below 2^53, so nothing is cut off.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| unusable("writing a value as JSON", &error))
}

pub(super) fn one<T: DeserializeOwned>(body: &str, table: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|error| damaged(table, &error))
}

pub(super) fn from_json<T: DeserializeOwned>(
    bodies: &[String],
    table: &str,
) -> Result<Vec<T>, StoreError> {
    bodies.iter().map(|body| one(body, table)).collect()
}

pub(super) fn unusable(doing: &'static str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unusable {
        doing,
        why: why.to_string(),
    }
}

pub(super) fn damaged(what: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

/// SQLite's own words for damage are two codes; everything else is the environment's fault.
pub(super) fn explain(doing: &'static str, error: sqlx::Error) -> StoreError {
    const CORRUPT: &str = "11";
    const NOT_A_DATABASE: &str = "26";
    if let sqlx::Error::Database(database) = &error
        && database
            .code()
            .is_some_and(|code| code == CORRUPT || code == NOT_A_DATABASE)
    {
        return damaged("the database file", &database.message());
    }
    match error {
        sqlx::Error::ColumnDecode { index, source } => damaged(&index, &source),
        sqlx::Error::Database(database) => unusable(doing, &database.message()),
        other => unusable(doing, &other),
    }
}
