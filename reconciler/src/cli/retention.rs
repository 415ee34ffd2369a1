//! Owns `seawalld retention`: which recovery points stay and which go, by which rule and when, and what keeps them. Changes nothing.

use contract::id::PlanId;

use super::table::{Colour, Table, coloured};
use super::{Format, json, print, reading};
use crate::config::Config;
use crate::control::{operate, overview};
use crate::failure::Failure;
use crate::plan::{self, Retained, Verdicted};
use crate::words::count;

/// Shows what retention says of every plan, or of one.
pub(super) fn show(config: Config, only: Option<&PlanId>, format: Format) -> Result<(), Failure> {
    let daemon = reading(config)?;
    operate::known(&daemon, only)?;
    let preview = overview::stand(&daemon)?;
    let active = &preview.followed.active;
    let mut all = Vec::new();
    for (id, policy) in plan::own_plans(active) {
        let seen = preview.observed.plans.get(id);
        let (Some(seen), true) = (seen, only.is_none_or(|only| only == id)) else {
            continue;
        };
        all.extend(plan::retained(active, policy, seen, preview.plan.now));
    }
    if format == Format::Json {
        return json(&all);
    }
    if all.is_empty() {
        return print("no plan of this reconciler");
    }
    for (number, retained) in all.iter().enumerate() {
        if number > 0 {
            print("")?;
        }
        one(retained, format)?;
    }
    Ok(())
}

fn one(retained: &Retained, format: Format) -> Result<(), Failure> {
    let going = retained.points.iter().filter(|point| !point.keeps).count() as u64;
    print(&format!(
        "{}: {}, {going} to delete",
        retained.plan_id,
        count(retained.points.len() as u64, "recovery point")
    ))?;
    let mut table =
        Table::new(&["recovery point", "of", "stays", "why", "deleted from"]).coloured(2, |word| {
            match word {
                "yes" => Some(Colour::Green),
                _ => Some(Colour::Yellow),
            }
        });
    for point in &retained.points {
        table.row(row(retained, point));
    }
    if !table.is_empty() {
        print(&table.text())?;
    }
    for why in &retained.held_back {
        let line = format!("nothing is deleted: {why}");
        print(&coloured(&line, Colour::Yellow, format))?;
    }
    Ok(())
}

fn row(retained: &Retained, point: &Verdicted) -> Vec<String> {
    let id = point.backup_id.as_str();
    let short = id.strip_prefix(retained.plan_id.as_str());
    let short = short.and_then(|rest| rest.strip_prefix('.')).unwrap_or(id);
    vec![
        short.to_owned(),
        point.at.to_string(),
        if point.keeps { "yes" } else { "no" }.to_owned(),
        point.why.join(", "),
        point.goes.map(|at| at.to_string()).unwrap_or_default(),
    ]
}
