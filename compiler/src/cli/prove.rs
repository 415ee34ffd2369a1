//! Owns `seawall prove`: the facts as a table or as JSON, and what-ifs. Judges nothing.

use clap::Args;
use contract::code;
use contract::duration::Seconds;
use contract::id::{DatasetId, EnvironmentId};
use contract::recovery::LossCase;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::{Format, compiled, environment};
use crate::diagnostic::Diagnostic;
use crate::facts;
use crate::world::terminal::{Stream, print};

#[derive(Args)]
pub struct Prove {
    /// Folder of the policy tree
    #[arg(value_name = "DIR", default_value = ".")]
    folder: std::path::PathBuf,
    /// Only these datasets [default: all]
    #[arg(value_name = "DATASET")]
    datasets: Vec<DatasetId>,
    /// The environment
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: EnvironmentId,
    /// Only this loss, declared or not: none, corruption, or domains such as region:eu-west-1,account:prod
    #[arg(long, value_name = "CASE")]
    lose: Option<LossCase>,
    /// How to show it
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Prove {
    pub fn run(self) -> Result<(), Failure> {
        let (_, compilation) = compiled::tree(&self.folder, &self.environment)?;
        let Some(model) = &compilation.model else {
            return Err(Failure::Told);
        };
        for id in &self.datasets {
            if !model.datasets.contains_key(id) {
                return Err(Failure::Usage(Box::new(
                    Diagnostic::error(
                        code::UNKNOWN_REFERENCE,
                        format!("no dataset `{id}` in environment `{}`", self.environment),
                    )
                    .help("`seawall prove --env ENV DIR` without datasets lists all"),
                )));
            }
        }
        let mut proven = match facts::facts(model).get("datasets") {
            Some(Value::Object(datasets)) => datasets.clone(),
            _ => Map::new(),
        };
        if !self.datasets.is_empty() {
            proven.retain(|id, _| self.datasets.iter().any(|wanted| wanted.as_str() == id));
        }
        if let Some(case) = &self.lose {
            let mut losses = facts::what_if(model, case);
            for (id, fact) in &mut proven {
                let loss = losses.remove(id).unwrap_or_default();
                if let Value::Object(fields) = fact {
                    fields.insert("loss".to_owned(), json!({ case.to_string(): loss }));
                }
            }
        }
        let text = match self.format {
            Format::Json => format!(
                "{:#}\n",
                json!({ "format": 1, "environment": self.environment, "datasets": proven })
            ),
            Format::Human => table(&proven),
        };
        print(Stream::Out, &text);
        Ok(())
    }
}

/// One line a dataset and loss case, columns as wide as their widest cell.
fn table(proven: &Map<String, Value>) -> String {
    let mut rows = vec![
        [
            "DATASET",
            "COVERAGE",
            "LOSE",
            "WORST-CASE LOSS",
            "LEFT",
            "PLAN",
        ]
        .map(String::from),
    ];
    for (id, fact) in proven {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("-").to_owned();
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
            let seconds = loss.get("seconds").and_then(Value::as_u64);
            let bounded = loss.get("bounded").and_then(Value::as_bool) == Some(true);
            let worst = match seconds {
                Some(seconds) if bounded => Seconds::new(seconds).human(),
                _ => text(loss.get("told")),
            };
            let left = loss
                .get("survivors")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            rows.push([
                first(id),
                first(&coverage),
                case.clone(),
                worst,
                left.to_string(),
                text(loss.get("plan")),
            ]);
        }
    }
    columns(&rows)
}

/// Aligns cells by their number of characters; no spaces at the end of a line.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
