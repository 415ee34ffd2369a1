//! Owns how proofs read: tables of a whole policy, and of single datasets every number with its parts and its witness, which
//! a person checks with a calendar. Decides nothing; the numbers are those of the facts.

use std::fmt::Write as _;

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};
use contract::duration::Seconds;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::temporal::Pieces};
use serde_json::{Map, Value};

use super::human::Look;
use super::markdown::{cell, code, inline};
use super::{count, seen};
use crate::pages::plain::wrap;

/// Cut sets that are told of one dataset.
const TOLD_CUT_SETS: usize = 12;

/// A title, the heads of its columns, and rows.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// All proofs as tables.
pub fn human(proven: &Value, look: Look) -> String {
    let tables = tables(proven).into_iter();
    let told: Vec<String> = tables
        .enumerate()
        .map(|(index, table)| {
            // The datasets need no title: that is what was asked for.
            let title = if index == 0 {
                String::new()
            } else {
                format!("{}\n", table.title)
            };
            format!("{title}{}", columns(&table, look))
        })
        .collect();
    told.join("\n")
}

/// All proofs for a pull request or a report.
pub fn markdown(environment: &str, proven: &Value) -> String {
    let mut out = format!("# What is proven of {}\n", code(environment));
    for table in tables(proven) {
        let _ = write!(
            out,
            "\n## {}\n\n| {} |\n|",
            table.title,
            table.heads.join(" | ")
        );
        out.push_str(&"---|".repeat(table.heads.len()));
        out.push('\n');
        for row in &table.rows {
            let cells: Vec<String> = row.iter().map(|text| cell(&inline(text))).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    out
}

fn tables(proven: &Value) -> Vec<Table> {
    let all = [
        datasets(proven),
        plans(proven),
        orphans(proven),
        locations(proven),
        keys(proven),
        scenarios(proven),
        failures(proven),
        critical(proven),
        groups(proven),
    ];
    let all = all.into_iter().chain(seen::tables(proven));
    all.filter(|table| !table.rows.is_empty()).collect()
}

pub(super) fn entries<'a>(
    proven: &'a Value,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found = proven.get(name).and_then(Value::as_object);
    found.into_iter().flatten()
}

pub(super) fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or("-").to_owned()
}

pub(super) fn length(value: Option<&Value>) -> String {
    match value.and_then(Value::as_u64).map(Seconds::new) {
        Some(Seconds::MAX) => "unbounded".to_owned(),
        Some(seconds) => seconds.human(),
        None => "-".to_owned(),
    }
}

/// One line a dataset and loss case.
fn datasets(proven: &Value) -> Table {
    let mut rows = Vec::new();
    for (id, fact) in entries(proven, "datasets") {
        let coverage = text(fact.get("coverage"));
        let cases = fact.get("loss").and_then(Value::as_object);
        for (index, (case, loss)) in cases.into_iter().flatten().enumerate() {
            let first = |cell: &str| {
                if index == 0 {
                    cell.to_owned()
                } else {
                    String::new()
                }
            };
            let left = loss.get("survivors").and_then(Value::as_array);
            rows.push(vec![
                first(id),
                first(&coverage),
                case.clone(),
                worst(loss),
                left.map_or(0, Vec::len).to_string(),
                text(loss.get("plan")),
            ]);
        }
    }
    Table {
        title: "Datasets",
        heads: vec![
            "DATASET",
            "COVERAGE",
            "LOSE",
            "WORST-CASE LOSS",
            "LEFT",
            "PLAN",
        ],
        rows,
    }
}

/// A number, or why there is none.
fn worst(loss: &Value) -> String {
    match loss.get("bounded").and_then(Value::as_bool) {
        Some(true) => length(loss.get("seconds")),
        _ => text(loss.get("told")),
    }
}

fn plans(proven: &Value) -> Table {
    let rows = entries(proven, "plans").map(|(id, fact)| {
        let kept = fact.get("kept");
        let number = |name: &str| kept.and_then(|kept| kept.get(name)).and_then(Value::as_u64);
        let points = match (number("least"), number("most")) {
            (Some(least), Some(most)) if least == most => least.to_string(),
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "-".to_owned(),
        };
        let broken = fact.get("conditions").and_then(Value::as_array);
        vec![
            id.clone(),
            length(fact.get("smallest_gap_s")),
            length(fact.get("largest_gap_s")),
            points,
            length(kept.and_then(|kept| kept.get("oldest_seconds"))),
            length(kept.and_then(|kept| kept.get("floor_seconds"))),
            broken.map_or(0, Vec::len).to_string(),
        ]
    });
    Table {
        title: "Plans",
        heads: vec![
            "PLAN",
            "LEAST GAP",
            "LARGEST GAP",
            "POINTS KEPT",
            "REACHES BACK",
            "FLOOR",
            "NOT MET",
        ],
        rows: rows.collect(),
    }
}

/// Plans that protect nothing that needs it.
fn orphans(proven: &Value) -> Table {
    let orphans = entries(proven, "plans")
        .filter(|(_, fact)| fact.get("orphan").and_then(Value::as_bool) != Some(false));
    let why = "each of its datasets is excluded from backup";
    Table {
        title: "Plans that protect nothing",
        heads: vec!["PLAN", "WHY"],
        rows: orphans
            .map(|(id, _)| vec![id.clone(), why.to_owned()])
            .collect(),
    }
}

fn locations(proven: &Value) -> Table {
    let rows = entries(proven, "locations").map(|(id, fact)| {
        let bytes = |name: &str| {
            let bytes = fact.get(name).and_then(Value::as_u64);
            bytes.map_or("-".to_owned(), rounded_up)
        };
        let bounded = fact.get("bounded").and_then(Value::as_bool) == Some(true);
        let largest = fact.pointer("/largest/0");
        let largest = largest.map_or("-".to_owned(), |largest| {
            format!(
                "{} of {}",
                text(largest.get("dataset")),
                text(largest.get("plan"))
            )
        });
        let fits = fact.get("fits").and_then(Value::as_bool) == Some(true);
        vec![
            id.clone(),
            if bounded {
                bytes("needed_bytes")
            } else {
                "no bound".to_owned()
            },
            bytes("capacity_bytes"),
            if fits { "yes" } else { "no" }.to_owned(),
            largest,
        ]
    });
    Table {
        title: "Locations, before compression and deduplication",
        heads: vec!["LOCATION", "NEEDED", "CAPACITY", "FITS", "MOST BY"],
        rows: rows.collect(),
    }
}

/// Bytes in the largest unit that fits, rounded up to a tenth: what is needed is never told as less.
pub(super) fn rounded_up(bytes: u64) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("PiB", 1 << 50),
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let unit = UNITS.iter().find(|(_, unit)| bytes >= *unit);
    let Some((name, unit)) = unit else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(*unit));
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

fn scenarios(proven: &Value) -> Table {
    let names = |value: Option<&Value>, field: Option<&str>| {
        let list = value.and_then(Value::as_array);
        let names: Vec<String> = list
            .into_iter()
            .flatten()
            .map(|one| text(field.map_or(Some(one), |field| one.get(field))))
            .collect();
        if names.is_empty() {
            "-".to_owned()
        } else {
            names.join(", ")
        }
    };
    let rows = entries(proven, "scenarios").map(|(id, fact)| {
        let by_reading = fact.get("by_reading");
        vec![
            id.clone(),
            length(fact.get("seconds")),
            length(by_reading.and_then(|course| course.get("seconds"))),
            names(fact.get("slow"), Some("step")),
            names(fact.get("unreadable"), None),
        ]
    });
    Table {
        title: "Scenarios",
        heads: vec![
            "SCENARIO",
            "BY DEADLINES",
            "BY READING",
            "DEADLINE TOO SHORT",
            "UNREADABLE",
        ],
        rows: rows.collect(),
    }
}

/// Keys that data holds, and what they hang on.
fn keys(proven: &Value) -> Table {
    let kept = entries(proven, "keys")
        .filter(|(_, fact)| fact.get("kept_in").is_some_and(Value::is_string));
    let rows = kept.map(|(kid, fact)| {
        let hangs_on = match text(fact.get("hangs_on")).as_str() {
            "nothing" => "nothing that it seals",
            "itself" => "itself",
            "lost_data" => "data that nothing brings back",
            _ => "a key that hangs on itself",
        };
        vec![
            kid.clone(),
            text(fact.get("kept_in")),
            hangs_on.to_owned(),
            text(fact.get("told")),
        ]
    });
    Table {
        title: "Keys that data holds",
        heads: vec!["KEY", "KEPT IN", "HANGS ON", "WAY"],
        rows: rows.collect(),
    }
}

/// The failures that a catalogue of scenarios has to answer, and which scenarios do; nothing where it has to answer none.
fn failures(proven: &Value) -> Table {
    let all = proven
        .pointer("/catalogue/failures")
        .and_then(Value::as_array);
    let is_demanded =
        |failure: &Value| failure.get("demanded").and_then(Value::as_bool) != Some(false);
    let all = all.filter(|all| all.iter().any(is_demanded));
    let rows = all.into_iter().flatten().map(|failure| {
        let demanded = if is_demanded(failure) { "yes" } else { "no" };
        vec![
            text(failure.get("what")),
            demanded.to_owned(),
            answers(failure.get("scenarios")),
        ]
    });
    Table {
        title: "Failures and the scenarios for them",
        heads: vec!["FAILURE", "DEMANDED", "SCENARIOS"],
        rows: rows.collect(),
    }
}

/// Datasets of tier 0 and 1, and which scenarios bring them back.
fn critical(proven: &Value) -> Table {
    let all = proven
        .pointer("/catalogue/datasets")
        .and_then(Value::as_object);
    let rows = all.into_iter().flatten().map(|(id, fact)| {
        vec![
            id.clone(),
            text(fact.get("tier")),
            answers(fact.get("restored_by")),
        ]
    });
    Table {
        title: "Critical datasets and the scenarios that bring them back",
        heads: vec!["DATASET", "TIER", "SCENARIOS"],
        rows: rows.collect(),
    }
}

fn answers(scenarios: Option<&Value>) -> String {
    let names = scenarios.and_then(Value::as_array).into_iter().flatten();
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn groups(proven: &Value) -> Table {
    let rows = entries(proven, "groups").map(|(id, fact)| {
        vec![
            id.clone(),
            length(fact.get("window_seconds")),
            length(fact.get("rpo_s")),
        ]
    });
    Table {
        title: "Groups",
        heads: vec!["GROUP", "COMPOSITE WINDOW", "STRICTEST RPO"],
        rows: rows.collect(),
    }
}

/// Aligns cells; those that do not fit into the line go on below, broken between words: an id stays whole. No spaces at the end of a line.
fn columns(table: &Table, look: Look) -> String {
    let folded = (longest_words(&table.heads, &table.rows)
        .iter()
        .sum::<usize>()
        > look.width)
        .then(|| folded(table))
        .flatten();
    let (heads, rows) = match &folded {
        Some((heads, rows)) => (heads, rows),
        None => (&table.heads, &table.rows),
    };
    let mut drawn = comfy_table::Table::new();
    drawn
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(look.width).unwrap_or(u16::MAX))
        .set_header(heads)
        .add_rows(rows);
    let words = longest_words(heads, rows);
    let is_too_wide = words.iter().sum::<usize>() > look.width;
    let last = words.len().saturating_sub(1);
    for (index, (column, word)) in drawn.column_iter_mut().zip(words).enumerate() {
        column.set_padding((0, GAP));
        // Where nothing else helps, words of the last column are broken.
        if !(is_too_wide && index == last) {
            let least = Width::Fixed(u16::try_from(word).unwrap_or(u16::MAX));
            column.set_constraint(ColumnConstraint::LowerBoundary(least));
        }
    }
    let lines = drawn.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// The space between columns.
const GAP: u16 = 2;

/// The room that each column needs so that no word is broken, with the space after it.
fn longest_words(heads: &[impl AsRef<str>], rows: &[Vec<String>]) -> Vec<usize> {
    let longest = |text: &str| {
        let words = text.split(' ').map(|word| word.chars().count());
        words.max().unwrap_or(0) + usize::from(GAP)
    };
    let widest = |(column, head): (usize, &_)| {
        let head: &str = AsRef::as_ref(head);
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| longest(cell))
            .max()
            .unwrap_or(0)
            .max(longest(head))
    };
    heads.iter().enumerate().map(widest).collect()
}

/// The same table with a line of its own for what stands once for several rows; none where nothing does.
fn folded(table: &Table) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
    let is_once = |column: &usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(*column));
        cells.any(String::is_empty)
    };
    let once = (0..table.heads.len()).take_while(is_once).count();
    let below = table.heads.get(once)?;
    if once == 0 {
        return None;
    }
    let mut rows = Vec::new();
    for row in &table.rows {
        let (of_all, own) = row.split_at_checked(once)?;
        if of_all.iter().any(|cell| !cell.is_empty()) {
            let mut line = vec![of_all.join(", ")];
            line.resize(own.len(), String::new());
            rows.push(line);
        }
        let mut own = own.to_vec();
        if let Some(first) = own.first_mut() {
            first.insert_str(0, "  ");
        }
        rows.push(own);
    }
    let mut heads = vec![*below];
    heads.extend(table.heads.get(once + 1..)?);
    Some((heads, rows))
}

/// Datasets one by one, each number with its parts.
pub fn details(datasets: &Map<String, Value>, look: Look) -> String {
    let told = datasets.iter().map(|(id, fact)| one(id, fact, look));
    let told: Vec<String> = told.collect();
    let lines = told.join("\n");
    let lines = lines.split('\n').map(|line| fitted(line, look.width));
    lines.collect::<Vec<_>>().join("\n")
}

/// A line that is too long goes on below, further to the right; one of two columns below its second.
fn fitted(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let text = line.trim_start();
    let indent = " ".repeat(line.len() - text.len());
    match text.split_once("  ") {
        Some((_, rest)) => {
            let rest = rest.trim_start();
            let first = line.strip_suffix(rest).unwrap_or_default();
            wrap(rest, width, first, &" ".repeat(first.chars().count()))
        }
        None => wrap(text, width, &indent, &format!("{indent}  ")),
    }
}

fn one(id: &str, fact: &Value, look: Look) -> String {
    let mut out = format!("{id}: {}\n", text(fact.get("coverage")).replace('_', " "));
    let seen = match text(fact.get("recovery_from")).as_str() {
        "evidence" => ", as long as it last took",
        "evidence and sizing" => ", a part of it as long as the last restore took",
        _ => "",
    };
    let _ = writeln!(
        out,
        "reading it back takes {}{seen}",
        length(fact.get("recovery_seconds"))
    );
    let cases = fact.get("loss").and_then(Value::as_object);
    // Losses of one number and one witness are one.
    let mut known: Vec<(&Value, Vec<&str>)> = Vec::new();
    for (case, loss) in cases.into_iter().flatten() {
        let same = known.iter_mut().find(|(other, _)| alike(other, loss));
        match same {
            Some((_, cases)) => cases.push(case),
            None => known.push((loss, vec![case])),
        }
    }
    for (loss, cases) in known {
        out.push('\n');
        out.push_str(&wrap(&cases.join(", "), look.width, "lose ", "     "));
        out.push('\n');
        out.push_str(&sum(loss));
    }
    if let Some(loss) = fact.get("bad_base") {
        out.push_str("\nlose none, and the newest base is bad\n");
        out.push_str(&sum(loss));
    }
    if let Some(shown) = fact.get("evidence") {
        out.push_str(&seen::lines(shown));
    }
    let (sets, more) = cut_sets(fact);
    if !sets.is_empty() {
        out.push_str("\nsmallest losses that leave nothing\n");
    }
    for set in sets {
        let _ = writeln!(out, "  {set}");
    }
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
    out
}

/// The first of the smallest losses that leave nothing of a dataset, and how many there are beside them.
pub(crate) fn cut_sets(fact: &Value) -> (Vec<String>, usize) {
    let sets = fact.pointer("/cut_sets/sets").and_then(Value::as_array);
    let sets = sets.into_iter().flatten().filter_map(Value::as_array);
    let mut told: Vec<String> = sets
        .map(|set| {
            let names: Vec<&str> = set.iter().filter_map(Value::as_str).collect();
            if names.is_empty() {
                "nothing: what is left cannot be read".to_owned()
            } else {
                names.join(" + ")
            }
        })
        .collect();
    let more = told.len().saturating_sub(TOLD_CUT_SETS);
    told.truncate(TOLD_CUT_SETS);
    (told, more)
}

fn alike(one: &Value, other: &Value) -> bool {
    [
        "seconds",
        "told",
        "plan",
        "standby",
        "witness",
        "copy_within_seconds",
    ]
    .iter()
    .all(|field| one.get(field) == other.get(field))
}

/// The number, what it is the sum of, and the instants that show it.
fn sum(loss: &Value) -> String {
    let left = loss.get("survivors").and_then(Value::as_array);
    let mut out = format!("  {}", worst(loss));
    let parts: Vec<String> = [
        ("gap_seconds", "gap"),
        ("completion_window_seconds", "completion window"),
        ("copy_within_seconds", "copy lag"),
        ("source_lag_seconds", "source lag"),
        ("detected_within_seconds", "until it is noticed"),
    ]
    .iter()
    .filter_map(|(field, name)| {
        let seconds = loss.get(field)?.as_u64().filter(|seconds| *seconds > 0)?;
        Some(format!("{} {name}", Seconds::new(seconds).human()))
    })
    .collect();
    if loss.get("plan").is_some_and(Value::is_string) && parts.len() > 1 {
        let _ = write!(out, " = {}", parts.join(" + "));
    }
    let by = match (loss.get("plan"), loss.get("standby")) {
        (Some(Value::String(plan)), _) => format!(", plan {plan}"),
        (_, Some(Value::String(standby))) => format!(", standby {standby}"),
        _ => String::new(),
    };
    let left = count(left.map_or(0, Vec::len), "location");
    let _ = writeln!(out, "{by}, {left} left");
    if let Some(witness) = loss.get("witness").filter(|witness| witness.is_object()) {
        for (field, name) in [
            ("point", "the newest point that counts"),
            ("next_slot", "the slot whose point comes too late"),
            (
                "failure_before",
                "the failure, just before that point is usable",
            ),
            ("noticed_before", "it is noticed"),
        ] {
            if let Some(at) = witness.get(field).and_then(Value::as_str) {
                let _ = writeln!(out, "    {}  {name}", both(at));
            }
        }
    }
    out
}

/// An instant as it is written, and in UTC where that is another text.
pub(super) fn both(written: &str) -> String {
    let Ok(at) = written.parse::<Timestamp>() else {
        return written.to_owned();
    };
    let is_utc = Pieces::parse(written).is_ok_and(|pieces| {
        pieces
            .to_numeric_offset()
            .is_none_or(jiff::tz::Offset::is_zero)
    });
    if is_utc {
        return format!("{written:<25}");
    }
    let utc = at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("{written:<25}  {utc}")
}
