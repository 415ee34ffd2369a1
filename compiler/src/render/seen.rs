//! Owns how receipts read: beside the proofs of a policy, what was seen of each dataset and scenario. Decides nothing; the
//! numbers are those of the facts. The entries are [`tables`] and [`lines`].

use std::fmt::Write as _;

use contract::duration::Seconds;
use serde_json::Value;

use super::proofs::{Table, both, entries, length, rounded_up, text};

/// What was seen of datasets, and of scenarios; without rows where no receipts were given.
pub(super) fn tables(proven: &Value) -> [Table; 2] {
    [datasets(proven), scenarios(proven)]
}

fn datasets(proven: &Value) -> Table {
    let rows = entries(proven, "datasets").filter_map(|(id, fact)| {
        let seen = fact.get("evidence")?;
        let point = seen.get("newest_point");
        Some(vec![
            id.clone(),
            text(point.and_then(|point| point.get("consistent_at"))),
            ago(point),
            length(seen.pointer("/largest_loss/seconds")),
            ended(seen.get("restore")),
            doubts(seen),
        ])
    });
    Table {
        title: "What receipts show of datasets",
        heads: vec![
            "DATASET",
            "NEWEST SOUND POINT",
            "CHECKED",
            "LARGEST LOSS",
            "LAST RESTORE",
            "IN DOUBT",
        ],
        rows: rows.collect(),
    }
}

fn scenarios(proven: &Value) -> Table {
    let rows = entries(proven, "scenarios").filter_map(|(id, fact)| {
        let seen = fact.get("evidence")?;
        let drill = seen.get("drill");
        Some(vec![id.clone(), ended(drill), ago(drill), doubts(seen)])
    });
    Table {
        title: "What receipts show of scenarios",
        heads: vec!["SCENARIO", "LAST DRILL", "ENDED", "IN DOUBT"],
        rows: rows.collect(),
    }
}

/// What was seen of one dataset, a line each.
pub(super) fn lines(seen: &Value) -> String {
    let mut out = String::from("\nreceipts show\n");
    let instant =
        |of: &Value, name: &str| both(of.get(name).and_then(Value::as_str).unwrap_or("-"));
    if let Some(point) = there(seen.get("newest_point")) {
        let at = instant(point, "consistent_at");
        let _ = writeln!(
            out,
            "  {at}  the newest sound point, checked {}",
            ago(Some(point))
        );
    }
    if let Some(loss) = there(seen.get("largest_loss")) {
        let at = instant(loss, "failure_before");
        let seconds = length(loss.get("seconds"));
        let point = text(loss.get("point"));
        let _ = writeln!(
            out,
            "  {at}  a failure just before would have taken the most: {seconds}, since {point}"
        );
    }
    if let Some(restore) = there(seen.get("restore")) {
        let at = instant(restore, "at");
        let bytes = restore.get("bytes").and_then(Value::as_u64);
        let of = bytes.map_or_else(String::new, |bytes| format!(", {}", rounded_up(bytes)));
        let from = restore.get("location").and_then(Value::as_str);
        let from = from.map_or_else(String::new, |from| format!(" from {from}"));
        let _ = writeln!(
            out,
            "  {at}  the last restore: {}{of}{from}",
            ended(Some(restore))
        );
    }
    for doubt in stale(seen) {
        let _ = writeln!(out, "  in doubt: {}", doubted(doubt));
    }
    out
}

fn there(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn ago(of: Option<&Value>) -> String {
    match length(of.and_then(|of| of.get("age_s"))).as_str() {
        "-" => "never".to_owned(),
        age => format!("{age} ago"),
    }
}

/// How long it took where it went well, else how it ended.
fn ended(attempt: Option<&Value>) -> String {
    let Some(attempt) = there(attempt) else {
        return "never".to_owned();
    };
    match attempt.get("result").and_then(Value::as_str) {
        Some("success") => match attempt.get("seconds") {
            Some(seconds) => length(Some(seconds)),
            None => "success".to_owned(),
        },
        other => other.unwrap_or("-").to_owned(),
    }
}

fn stale(seen: &Value) -> impl Iterator<Item = &Value> {
    let stale = seen.get("stale").and_then(Value::as_array);
    stale.into_iter().flatten()
}

fn doubts(seen: &Value) -> String {
    let told: Vec<&str> = stale(seen)
        .map(|doubt| match doubt.get("why").and_then(Value::as_str) {
            Some("no_point") => "no sound point",
            Some("unchecked") => "check too old",
            Some("unsound") => "a check failed",
            Some("unrestored") => "restore overdue",
            Some("restore_failed") => "restore failed",
            Some("undrilled") => "drill overdue",
            Some("drill_failed") => "drill failed",
            _ => "-",
        })
        .collect();
    if told.is_empty() {
        "-".to_owned()
    } else {
        told.join(", ")
    }
}

/// A doubt with its numbers.
fn doubted(doubt: &Value) -> String {
    let seconds = |name: &str| {
        let seconds = doubt.get(name).and_then(Value::as_u64);
        Seconds::new(seconds.unwrap_or_default()).human()
    };
    let (age, limit) = (seconds("seconds"), seconds("limit_s"));
    let ever = doubt.get("ever").and_then(Value::as_bool) == Some(true);
    match doubt.get("why").and_then(Value::as_str) {
        Some("no_point") => "no check found a recovery point sound".to_owned(),
        Some("unchecked") => {
            format!("the newest sound point was checked {age} ago, {limit} allowed")
        }
        Some("unsound") => format!(
            "{} did not pass its last check",
            text(doubt.get("backup_id"))
        ),
        Some("unrestored") if ever => {
            format!("the last good restore was {age} ago, {limit} allowed")
        }
        Some("unrestored") => format!("no restore in {age}, {limit} allowed"),
        Some("restore_failed") => "the last restore did not succeed".to_owned(),
        _ => "-".to_owned(),
    }
}
