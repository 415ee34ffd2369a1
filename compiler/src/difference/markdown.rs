//! Owns a difference as a comment on a pull request, never longer than GitHub takes. Values of users are text, never markup.

use std::fmt::Write as _;

use contract::diff::Effect;

use super::{Difference, Edit, Group, because, by_tier, rows, summary, values, word};
use crate::render::markdown::{cell, code, inline, size};
use crate::render::some;

/// By this first line a later run finds its own comment.
pub const MARKER: &str = "<!-- seawall diff -->";
/// GitHub takes 65,536 characters; this leaves room for the lines that say what was left out.
const MAX: usize = 62_000;
/// Datasets and values that are named one by one.
const TOLD: usize = 8;
/// Losses that are.
const TOLD_CASES: usize = 4;

/// The whole comment.
pub fn render(differences: &[Difference]) -> String {
    let has = |wanted: Effect| {
        differences
            .iter()
            .any(|one| one.effects().any(|one| one == wanted))
    };
    let icon = match (has(Effect::Weaker), has(Effect::Incomparable)) {
        (true, _) => "❌",
        (false, true) => "⚠️",
        (false, false) => "✅",
    };
    let mut out = format!("{MARKER}\n### {icon} What this change does to recovery\n");
    let mut left_out = 0;
    for difference in differences {
        for part in parts(difference) {
            if size(&out) + size(&part) > MAX {
                left_out += 1;
            } else {
                out.push_str(&part);
            }
        }
    }
    if left_out > 0 {
        let _ = writeln!(
            out,
            "\n{left_out} more parts have no room here; `--format json` tells all."
        );
    }
    out
}

/// The parts of an environment, each of which can be left out.
fn parts(difference: &Difference) -> Vec<String> {
    let mut parts = vec![format!("\n#### {}\n", inline(&summary(difference)))];
    parts.extend(difference.groups.iter().map(|group| one(difference, group)));
    let others: Vec<&Edit> = difference.others().collect();
    if !others.is_empty() {
        parts.push("\nChanged beside what is proven:\n\n".to_owned());
        parts.extend(others.iter().map(|edit| {
            let datasets = if edit.datasets.is_empty() {
                String::new()
            } else {
                let names = some(edit.datasets.keys().map(|id| code(id.as_str())), TOLD);
                format!("; {}: {names}", inline(&by_tier(&edit.datasets)))
            };
            format!("- **{}**: {}{datasets}\n", word(edit.effect()), told(edit))
        }));
    }
    let equal = difference
        .edits
        .iter()
        .filter(|edit| edit.effect() == Effect::Equal)
        .count();
    if equal > 0 && !difference.is_refactor() {
        parts.push(format!("\n{equal} more lines changed in words alone.\n"));
    }
    parts
}

fn one(difference: &Difference, group: &Group) -> String {
    let names = some(group.datasets.keys().map(|id| code(id.as_str())), TOLD);
    let mut out = format!(
        "\n**{}**, {}: {names}\n\n",
        word(group.effect),
        inline(&by_tier(&group.datasets))
    );
    for edit in because(difference, group) {
        let _ = writeln!(out, "because {}  ", told(edit));
    }
    out.push_str("\n| | was | is | lose |\n|---|---|---|---|\n");
    for (title, happened) in rows(group) {
        let side = |text: &Option<String>| text.as_deref().map_or("–".to_owned(), inline);
        let cases = happened.cases.iter().map(|case| code(&case.to_string()));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell(&title),
            cell(&side(&happened.from)),
            cell(&side(&happened.to)),
            cell(&some(cases, TOLD_CASES)),
        );
    }
    let witness = group.outcomes.iter().find_map(|one| one.witness.as_ref());
    if let Some(witness) = witness.filter(|_| group.effect != Effect::Stronger) {
        let _ = writeln!(out, "\nWitness: {}", inline(witness));
    }
    out
}

fn told(edit: &Edit) -> String {
    let values = some(values(edit).iter().map(|value| cell(&inline(value))), TOLD);
    match &edit.place {
        Some(place) => {
            let place = code(&format!("{}:{}", place.file, place.line));
            let gone = if edit.removed { " is gone" } else { "" };
            format!("{place}{gone}: {values}")
        }
        None => values,
    }
}
