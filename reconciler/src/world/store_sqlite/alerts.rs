//! Owns the rows of alerts, of what channels were sent, and of the counts that alerts watch. Never decides who is notified.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite};

use contract::id::ChannelId;

use super::Texts;
use super::rows::{Tx, damaged, number, run, signed, to_json};
use crate::domain::AlertRecord;
use crate::store::StoreError;

pub(super) const SENT: &str = "SELECT channel_id, receipts FROM completions";

pub(super) fn all() -> Texts {
    sqlx::query_scalar::<Sqlite, String>("SELECT body FROM alerts ORDER BY alert_id")
}

pub(super) fn tallies_between(from: Timestamp, to: Timestamp) -> Texts {
    sqlx::query_scalar(
        "SELECT json_object('what', what, 'subject', subject, 'outcome', outcome, 'count', sum(count))
         FROM tallies_by_hour WHERE hour >= ? AND hour <= ? GROUP BY what, subject, outcome",
    )
    .bind(super::tally::hour(from))
    .bind(to.as_second())
}

pub(super) fn sent(row: &SqliteRow) -> Result<(ChannelId, u64), StoreError> {
    let id: String = row
        .try_get(0)
        .map_err(|error| damaged("completions", &error))?;
    let id = id.parse().map_err(|error| damaged("completions", &error))?;
    Ok((id, number(row, 1, "completions")?))
}

pub(super) async fn record(tx: &mut Tx<'_>, record: &AlertRecord) -> Result<(), StoreError> {
    let query = sqlx::query("INSERT OR REPLACE INTO alerts (alert_id, body) VALUES (?, ?)")
        .bind(record.alert.alert_id.clone())
        .bind(to_json(record)?);
    run(tx, "recording an alert", query).await
}

pub(super) async fn over(tx: &mut Tx<'_>, alert_id: &str) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM alerts WHERE alert_id = ?").bind(alert_id.to_owned());
    run(tx, "ending an alert", query).await
}

pub(super) async fn record_sent(
    tx: &mut Tx<'_>,
    channel: &ChannelId,
    receipts: u64,
) -> Result<(), StoreError> {
    let query =
        sqlx::query("INSERT OR REPLACE INTO completions (channel_id, receipts) VALUES (?, ?)")
            .bind(channel.to_string())
            .bind(signed(receipts));
    run(tx, "recording what a channel was sent", query).await
}
