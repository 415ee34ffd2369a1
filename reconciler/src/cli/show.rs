//! Owns how results look: a table for people, JSON for programs. Never decides anything. One function a command.

use std::fmt::Write as _;

use contract::code;
use contract::id::{ChannelId, DatasetId};
use serde_json::json;

use super::meter;
use super::table::{Colour, Table, coloured};
use super::{Format, json, print};
use crate::api::resources::AlertView;
use crate::api::{Asked, OperationState, OperationView};
use crate::control::doctor::{Finding, Level};
use crate::control::execute::Done;
use crate::control::impact::Impact;
use crate::control::overview::Preview;
use crate::control::rebuild::Rebuilt;
use crate::control::restore::Restored;
use crate::control::source::Accepted;
use crate::control::timekeeping::ClockView;
use crate::domain::{AlertRecord, Outcome, Run, SlotRecord, Suspension, Verification};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::service::once::Round;
use crate::status::{Light, Status, Word};
use crate::words::{bytes, count};

type Shown = Result<(), Failure>;

/// What a round did.
pub fn round(round: &Round, format: Format) -> Shown {
    if format == Format::Json {
        return json(&json!({
            "at": round.now,
            "serial": round.followed.serial,
            "planned": round.due,
            "done": round.done,
            "objections": round.objections,
            "problem": round.followed.problem,
            "failures": round.failures,
            "copy_failures": round.copy_failures,
            "status": round.status,
        }));
    }
    if round.due.is_empty() && round.failures.is_empty() {
        print("nothing to do")?;
    } else {
        done(&round.done, format)?;
    }
    for objection in &round.objections {
        print(&format!(
            "stopped by review: {}: {}",
            objection.operation_id, objection.why
        ))?;
    }
    for failure in &round.copy_failures {
        print(&format!("warning{failure}"))?;
    }
    print("")?;
    status(&round.status, format)
}

/// The colour of a condition.
fn of_condition(word: &str) -> Option<Colour> {
    match word {
        "Ready" => Some(Colour::Green),
        "Stalled" => Some(Colour::Red),
        "Reconciling" | "Waiting" | "Unknown" => Some(Colour::Yellow),
        _ => None,
    }
}

/// The colour of how something ended, or is.
fn of_outcome(word: &str) -> Option<Colour> {
    match word {
        "success" | "succeeded" | "ok" => Some(Colour::Green),
        "failure" | "failed" | "FAIL" => Some(Colour::Red),
        "partial" | "unknown" | "missed" | "running" | "WARN" | "in doubt" => Some(Colour::Yellow),
        _ => None,
    }
}

/// The colour of how urgent an alert is.
fn of_severity(word: &str) -> Option<Colour> {
    match word {
        "critical" => Some(Colour::Red),
        "warning" => Some(Colour::Yellow),
        "resolved" => Some(Colour::Green),
        _ => None,
    }
}

/// Alerts, the most urgent first.
pub fn alerts(alerts: &[AlertRecord], format: Format) -> Shown {
    if format == Format::Json {
        let alerts: Vec<AlertView> = alerts.iter().cloned().map(Into::into).collect();
        return json(&alerts);
    }
    if alerts.is_empty() {
        return print("no alert is active");
    }
    let mut table =
        Table::new(&["severity", "alert", "since", "notified", "what"]).coloured(0, of_severity);
    for record in alerts {
        let severity = match record.cleared_at {
            Some(_) => "resolved",
            None => record.alert.severity.as_str(),
        };
        let channels: Vec<&str> = record.notified.keys().map(ChannelId::as_str).collect();
        let taken = record.taken.as_ref();
        let taken = taken.map(|it| format!("acknowledged by {}. ", it.actor));
        table.row(vec![
            severity.to_owned(),
            record.alert.alert_id.clone(),
            instant(record.since),
            channels.join(", "),
            format!("{}{}", taken.unwrap_or_default(), record.alert.summary),
        ]);
    }
    print(&table.text())
}

/// How steps ended.
pub fn done(all: &[Done], format: Format) -> Shown {
    if format == Format::Json {
        return json(&all);
    }
    let mut table =
        Table::new(&["step", "plan", "recovery point", "outcome", "what"]).coloured(3, of_outcome);
    for done in all {
        let point = done
            .backup_id
            .as_ref()
            .map(|id| short(id.as_str(), done.plan_id.as_str()))
            .unwrap_or_default();
        let what = match &done.failure {
            Some(failure) => failure.to_string(),
            None => done.summary.clone(),
        };
        table.row(vec![
            done.kind.clone(),
            done.plan_id.to_string(),
            point,
            done.outcome.as_str().to_owned(),
            what,
        ]);
    }
    print(&table.text())?;
    let bad = all
        .iter()
        .filter(|done| done.outcome != Outcome::Success)
        .count();
    let colour = if bad == 0 { Colour::Green } else { Colour::Red };
    let told = format!("{}, {bad} not successful", count(all.len() as u64, "step"));
    print(&coloured(&told, colour, format))
}

/// A recovery point's id beside its plan: only what the plan does not say.
fn short(id: &str, plan: &str) -> String {
    id.strip_prefix(plan)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(id)
        .to_owned()
}

/// What a round would do.
pub fn preview(preview: &Preview, format: Format) -> Shown {
    let plan = &preview.plan;
    if format == Format::Json {
        return json(&json!({
            "serial": preview.followed.serial,
            "plan": plan,
            "objections": preview.objections,
        }));
    }
    print(&format!(
        "bundle {} · {} to do",
        preview.followed.serial,
        count(plan.steps.len() as u64, "step")
    ))?;
    steps(plan)?;
    for objection in &preview.objections {
        print(&format!(
            "review stops {}: {}",
            objection.operation_id, objection.why
        ))?;
    }
    if !plan.stalled.is_empty() {
        let mut table = Table::new(&["stalled plan", "code", "why"]);
        for stall in &plan.stalled {
            table.row(vec![
                stall.plan_id.to_string(),
                stall.code.to_string(),
                stall.why.clone(),
            ]);
        }
        print(&format!("\n{}", table.text()))?;
    }
    if !plan.waits.is_empty() {
        let mut table = Table::new(&["waiting plan", "until", "for"]);
        for wait in &plan.waits {
            table.row(vec![
                wait.plan_id.to_string(),
                wait.until.map(|at| at.to_string()).unwrap_or_default(),
                wait.on.clone(),
            ]);
        }
        print(&format!("\n{}", table.text()))?;
    }
    if plan.would_forget.is_empty() {
        return print("\nretention lets nothing go");
    }
    let mut table = Table::new(&["retention lets go", "why"]);
    for forget in &plan.would_forget {
        table.row(vec![forget.backup_id.to_string(), forget.reason.clone()]);
    }
    print(&format!(
        "\n{}\n`seawalld retention` shows when each is deleted",
        table.text()
    ))
}

fn steps(plan: &Plan) -> Shown {
    if plan.steps.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["step", "plan", "deadline", "why"]);
    for planned in &plan.steps {
        table.row(vec![
            planned.step.kind().to_owned(),
            planned.step.plan_id().to_string(),
            planned.deadline.to_string(),
            planned.reason.clone(),
        ]);
    }
    print(&table.text())
}

/// Whole seconds: consistency points carry more than a person can use.
fn instant(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How everything stands.
pub fn status(status: &Status, format: Format) -> Shown {
    if format == Format::Json {
        return json(status);
    }
    let colour = match status.light {
        Light::Green => Colour::Green,
        Light::Yellow => Colour::Yellow,
        Light::Red => Colour::Red,
    };
    print(&process(status))?;
    for condition in &status.overall {
        let code = condition
            .code
            .map(|code| format!(" [{code}]"))
            .unwrap_or_default();
        let word = coloured(condition.condition.as_str(), colour, format);
        print(&format!(
            "{word}{code} since {}: {} (bundle {}, fresh until {})",
            condition.since, condition.why, status.serial, status.expires_at
        ))?;
    }
    let header = [
        "plan",
        "condition",
        "code",
        "newest point",
        "age",
        "checked",
        "why",
    ];
    let mut table = Table::new(&header).coloured(1, of_condition);
    for plan in &status.plans {
        let (id, age, checked) = match &plan.newest {
            None => ("none".to_owned(), String::new(), String::new()),
            Some(newest) => (
                instant(newest.consistent_at),
                newest.age_s.human(),
                if newest.verified { "yes" } else { "no" }.to_owned(),
            ),
        };
        let condition = &plan.condition;
        table.row(vec![
            condition
                .plan_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            condition.condition.as_str().to_owned(),
            condition
                .code
                .map(|code| code.to_string())
                .unwrap_or_default(),
            id,
            age,
            checked,
            if condition.condition == Word::Ready {
                String::new()
            } else {
                condition.why.clone()
            },
        ]);
    }
    if table.is_empty() {
        return Ok(());
    }
    print(&table.text())
}

/// Whether the daemon runs, and what it did last.
fn process(status: &Status) -> String {
    let last = status.last_recorded_at.map_or_else(
        || "nothing recorded yet".to_owned(),
        |at| format!("last record {}", instant(at)),
    );
    match &status.daemon {
        Some(daemon) => format!(
            "seawalld {} (pid {}) runs since {}; {last}",
            daemon.version,
            daemon.pid,
            instant(daemon.since)
        ),
        None => format!("seawalld does not run; {last}"),
    }
}

/// What runs now, below a status.
pub fn under_way(all: &[OperationView]) -> Shown {
    let running: Vec<OperationView> = all
        .iter()
        .filter(|one| one.state == OperationState::Running)
        .cloned()
        .collect();
    if running.is_empty() {
        return Ok(());
    }
    print("")?;
    operations(&running, Format::Human)
}

/// What the clock is worth, and by what.
pub fn clock(view: &ClockView, format: Format) -> Shown {
    if format == Format::Json {
        return json(view);
    }
    print(&format!(
        "clock {}: {}\n  newest receipt    {}\n  bundle issued at  {}\n  bundle expires at {}",
        view.now,
        view.judgement,
        view.newest_receipt
            .map_or_else(|| "none".to_owned(), |at| at.to_string()),
        view.bundle_issued_at,
        view.bundle_expires_at
    ))
}

/// That a person's word is recorded.
pub fn clock_confirmed(before: &ClockView, format: Format) -> Shown {
    if format == Format::Json {
        return json(&json!({ "confirmed_at": before.now, "before": before }));
    }
    print(&format!(
        "confirmed: it is {}; the receipt is `clock.{}`",
        before.now,
        crate::plan::stamp(before.now)
    ))
}

fn verdict(run: &Run) -> &'static str {
    if !run.is_point() {
        return "";
    }
    match run.verification {
        Verification::Pending => "unchecked",
        Verification::Verified { .. } => "verified",
        Verification::Suspect { .. } => "suspect",
        Verification::Lost { .. } => "lost",
    }
}

/// Operations of the running daemon.
pub fn operations(all: &[OperationView], format: Format) -> Shown {
    if format == Format::Json {
        return json(&all);
    }
    let header = [
        "operation",
        "what",
        "state",
        "since",
        "by",
        "progress or failure",
    ];
    let mut table = Table::new(&header).coloured(2, of_outcome);
    for one in all {
        let state = match one.state {
            OperationState::Running => "running",
            OperationState::Succeeded => "succeeded",
            OperationState::Failed => "failed",
        };
        let failure = one.failure.as_ref().map(ToString::to_string);
        let progress = one.progress.as_ref().map(meter::text);
        table.row(vec![
            one.id.clone(),
            one.asked.as_ref().map(Asked::words).unwrap_or_default(),
            state.to_owned(),
            one.asked_at.map(instant).unwrap_or_default(),
            one.requested_by
                .clone()
                .unwrap_or_else(|| "policy".to_owned()),
            failure.or(progress).unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return print("nothing is in progress, and nothing finished recently");
    }
    print(&table.text())
}

/// A suspension that began or ended.
pub fn suspension(suspension: &Suspension, is_on: bool, format: Format) -> Shown {
    if format == Format::Json {
        return json(suspension);
    }
    let plan = &suspension.plan_id;
    if is_on {
        print(&format!(
            "plan `{plan}` is suspended until {}; `seawalld resume {plan}` ends that before",
            suspension.until
        ))
    } else {
        print(&format!("plan `{plan}` is resumed"))
    }
}

/// The catalog.
pub fn catalog(runs: &[Run], format: Format) -> Shown {
    if format == Format::Json {
        return json(&runs);
    }
    if runs.is_empty() {
        return print("the catalog is empty");
    }
    print(&points(runs).text())
}

fn points(runs: &[Run]) -> Table {
    let header = [
        "recovery point",
        "type",
        "status",
        "check",
        "size",
        "at",
        "error",
    ];
    // Most have none, and an empty column takes the room of another.
    let troubles: Vec<String> = runs.iter().map(trouble).collect();
    let columns = header.len() - usize::from(troubles.iter().all(String::is_empty));
    let mut table = Table::new(&header[..columns]).coloured(2, of_outcome);
    for (run, trouble) in runs.iter().zip(troubles) {
        let mut row = vec![
            run.backup_id.to_string(),
            kind(run).to_owned(),
            state(run).to_owned(),
            verdict(run).to_owned(),
            bytes(run.bytes),
            count(run.storage_locations.len() as u64, "location"),
            trouble,
        ];
        row.truncate(columns);
        table.row(row);
    }
    table
}

/// What depends on an object.
pub fn impact(found: &[Impact], format: Format) -> Shown {
    if format == Format::Json {
        return json(&found);
    }
    let mut text = String::new();
    for one in found {
        if !one.affected.is_empty() {
            let mut table = Table::new(&["recovery point", "shows", "also at", "what is missing"]);
            for point in &one.affected {
                let short = point.snapshot_id.chars().take(8).collect();
                table.row(vec![
                    point.backup_id.clone().unwrap_or(short),
                    point.shows.clone().unwrap_or_default(),
                    point.elsewhere.join(", "),
                    point.why.clone(),
                ]);
            }
            text.push_str(&table.text());
            text.push('\n');
        }
        let needs = count(one.affected.len() as u64, "recovery point");
        let there = if one.is_there {
            ""
        } else {
            ", which is not there"
        };
        let _ = writeln!(
            text,
            "{needs} at location `{}` cannot be read without `{}`{there}; {} can",
            one.location, one.object, one.unaffected
        );
    }
    print(text.trim_end())
}

/// What was rebuilt after the state was lost.
pub fn rebuilt(rebuilt: &Rebuilt, format: Format) -> Shown {
    if format == Format::Json {
        return json(rebuilt);
    }
    let verb = if rebuilt.is_dry_run {
        "would be rebuilt"
    } else {
        "rebuilt"
    };
    let mut text = String::new();
    if !rebuilt.points.is_empty() {
        let header = ["recovery point", "shows", "check", "locations"];
        let mut table = Table::new(&header);
        for point in &rebuilt.points {
            table.row(vec![
                point.backup_id.clone(),
                point.shows.clone().unwrap_or_default(),
                point.standing.clone(),
                point.locations.join(", "),
            ]);
        }
        text = table.text();
    }
    let from = match &rebuilt.from {
        Some(location) => format!(" from the copy at location `{location}`"),
        None => String::new(),
    };
    let _ = writeln!(
        text,
        "{} {verb}; {} in the log, {} of them new{from}",
        count(rebuilt.points.len() as u64, "recovery point"),
        count(rebuilt.receipts, "receipt"),
        rebuilt.new_receipts,
    );
    if rebuilt.open_operations > 0 {
        let open = count(rebuilt.open_operations, "operation");
        let _ = writeln!(text, "{open} had not ended; the next round finds out how");
    }
    for (location, why) in &rebuilt.not_read {
        let _ = writeln!(text, "location `{location}` was not read: {why}");
    }
    for (repository, why) in &rebuilt.not_listed {
        let _ = writeln!(
            text,
            "repository `{repository}` was not listed whole: {why}"
        );
    }
    print(text.trim_end())
}

/// Shows which points of a source count now that it was accepted, and which do not.
pub fn accepted(dataset: &DatasetId, accepted: &Accepted, format: Format) -> Shown {
    if format == Format::Json {
        return json(accepted);
    }
    let Accepted { accepted, in_doubt } = accepted;
    let number = |runs: &[Run]| count(runs.len() as u64, "recovery point");
    let mut text = format!(
        "the source of `{dataset}` is accepted; {} of it now {}:\n{}",
        number(accepted),
        if accepted.len() == 1 {
            "counts"
        } else {
            "count"
        },
        points(accepted).text()
    );
    if !in_doubt.is_empty() {
        let _ = write!(
            text,
            "\nstill unconfirmed, because older: {}\n{}",
            number(in_doubt),
            points(in_doubt).text()
        );
    }
    print(text.trim_end())
}

fn kind(run: &Run) -> &'static str {
    if run.before_restore {
        "before restore"
    } else {
        run.backup_type.as_str()
    }
}

/// A point whose source had collapsed is whole and not good.
fn state(run: &Run) -> &'static str {
    if run.is_point() && !run.collapsed.is_empty() {
        "in doubt"
    } else {
        run.status.as_str()
    }
}

/// Why a run is not good: its failure, or what its source looked like.
fn trouble(run: &Run) -> String {
    let collapsed = run.collapsed.iter();
    let collapsed =
        collapsed.map(|(id, why)| format!("[{}] `{id}`: {why}", code::SOURCE_COLLAPSED));
    let all: Vec<String> = run.error.iter().cloned().chain(collapsed).collect();
    all.join("; ")
}

/// Terminal records of slots.
pub fn slots(slots: &[SlotRecord], format: Format) -> Shown {
    if format == Format::Json {
        return json(&slots);
    }
    let mut table =
        Table::new(&["plan", "slot", "slots", "outcome", "why"]).coloured(3, of_outcome);
    for slot in slots {
        let span = if slot.count == 1 {
            slot.first.to_string()
        } else {
            format!("{} to {}", slot.first, slot.last)
        };
        table.row(vec![
            slot.plan_id.to_string(),
            span,
            slot.count.to_string(),
            slot.outcome.as_str().to_owned(),
            slot.why.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return print("no slot has ended yet");
    }
    print(&table.text())
}

/// What a restore did.
pub fn restored(restored: &Restored, format: Format) -> Shown {
    if format == Format::Json {
        return json(restored);
    }
    let shown = restored
        .consistent_at
        .map(|at| format!(", the state of {}", instant(at)))
        .unwrap_or_default();
    print(&format!(
        "restored `{}`{shown}\n  to       {}\n  from     location {}\n  content  {}, {}",
        restored.backup_id,
        restored.summary.target,
        restored.location,
        count(restored.summary.items, "item"),
        bytes(restored.summary.bytes)
    ))?;
    for skipped in &restored.skipped {
        print(&format!(
            "  skipped  `{}`: {}",
            skipped.backup_id, skipped.why
        ))?;
    }
    for check in &restored.summary.checks {
        print(&format!("  check    {}: passed", check.name))?;
    }
    if let Some(before) = &restored.before {
        print(&format!("  before   `{before}` holds what was replaced"))?;
    }
    if let Some(kept) = &restored.summary.kept {
        print(&format!("  kept     {kept}"))?;
    }
    for note in &restored.summary.notes {
        print(&format!("  note     {note}"))?;
    }
    print(&format!("  receipt  restore.{}", restored.restore_id))
}

/// What a check-up found.
pub fn findings(findings: &[Finding], format: Format) -> Shown {
    if format == Format::Json {
        return json(&findings);
    }
    let mut table = Table::new(&["", "subject", "code", "found"]).coloured(0, of_outcome);
    for finding in findings {
        table.row(vec![
            finding.level.as_str().to_owned(),
            finding.subject.clone(),
            finding
                .code
                .map(|code| code.to_string())
                .unwrap_or_default(),
            finding.message.clone(),
        ]);
    }
    print(&table.text())?;
    let unwell = |finding: &&Finding| finding.level != Level::Ok;
    for finding in findings.iter().filter(unwell) {
        print(&format!("help: {}: {}", finding.subject, finding.help))?;
    }
    Ok(())
}
