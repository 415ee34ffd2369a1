//! Owns how a difference reads in a terminal.

use std::fmt::Write as _;

use contract::diff::Effect;

use super::{Difference, Edit, Group, because, by_tier, from_to, rows, summary, values, word};
use crate::pages::plain::{bold, wrap};
use crate::render::human::Look;
use crate::render::some;

/// Datasets and values that are named one by one.
const TOLD: usize = 6;
/// Losses that are.
const TOLD_CASES: usize = 3;
/// Things that are told of one environment; more are in the JSON.
const GROUPS: usize = 60;
const INDENT: &str = "              ";

/// All differences, one environment after the other.
pub fn render(differences: &[Difference], look: Look) -> String {
    let parts: Vec<String> = differences
        .iter()
        .map(|one| environment(one, look))
        .collect();
    parts.join("\n")
}

fn environment(difference: &Difference, look: Look) -> String {
    let mut out = format!("{}\n", bold(&summary(difference).replace('`', ""), look));
    for group in difference.groups.iter().take(GROUPS) {
        out.push('\n');
        out.push_str(&one(difference, group, look));
    }
    let more = difference.groups.len().saturating_sub(GROUPS);
    if more > 0 {
        let _ = writeln!(out, "\nand {more} more; `--format json` tells all");
    }
    let others: Vec<&Edit> = difference.others().collect();
    if !others.is_empty() {
        out.push_str("\nchanged beside what is proven:\n");
        for edit in &others {
            let first = format!("{:<14}", word(edit.effect()));
            out.push_str(&line(&told(edit), &first, look));
            if !edit.datasets.is_empty() {
                let names = some(edit.datasets.keys(), TOLD);
                let datasets = format!("{}: {names}", by_tier(&edit.datasets));
                out.push_str(&line(&datasets, INDENT, look));
            }
        }
    }
    let equal = difference
        .edits
        .iter()
        .filter(|edit| edit.effect() == Effect::Equal)
        .count();
    if equal > 0 && !difference.is_refactor() {
        let _ = writeln!(out, "\n{equal} more lines changed in words alone");
    }
    out
}

fn one(difference: &Difference, group: &Group, look: Look) -> String {
    let names = some(group.datasets.keys(), TOLD);
    let datasets = format!("{}: {names}", by_tier(&group.datasets));
    let mut out = line(&datasets, &format!("{:<14}", word(group.effect)), look);
    for (title, happened) in rows(group) {
        let mut text = format!("{title}: {}", from_to(happened));
        if !happened.cases.is_empty() {
            let cases = some(happened.cases.iter(), TOLD_CASES);
            let _ = write!(text, ", lose {cases}");
        }
        out.push_str(&line(&text, INDENT, look));
    }
    let witness = group.outcomes.iter().find_map(|one| one.witness.as_ref());
    if let Some(witness) = witness.filter(|_| group.effect != Effect::Stronger) {
        out.push_str(&line(&format!("witness: {witness}"), INDENT, look));
    }
    for edit in because(difference, group) {
        out.push_str(&line(&format!("because {}", told(edit)), INDENT, look));
    }
    out
}

fn told(edit: &Edit) -> String {
    let values = some(values(edit).into_iter(), TOLD);
    match &edit.place {
        Some(place) if edit.removed => {
            format!("{}:{} is gone: {values}", place.file, place.line)
        }
        Some(place) => format!("{}:{}: {values}", place.file, place.line),
        None => values,
    }
}

fn line(text: &str, first: &str, look: Look) -> String {
    let mut out = wrap(&text.replace('`', ""), look.width, first, INDENT);
    out.push('\n');
    out
}
