//! Owns `seawall prove`: what is proven of a policy, of single datasets, and what-ifs. Judges nothing.

use clap::{Args, ValueEnum};
use contract::code;
use contract::id::{DatasetId, EnvironmentId};
use contract::recovery::LossCase;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::evidence::Receipts;
use super::failure::Failure;
use super::{compiled, environment};
use crate::diagnostic::Diagnostic;
use crate::facts;
use crate::render::{proofs, proved};
use crate::world::clock;
use crate::world::terminal::{Stream, look, print};

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
    #[command(flatten)]
    receipts: Receipts,
    /// Tell how old receipts are as of this instant, such as 2026-11-20T17:00:00Z [default: now]
    #[arg(long, value_name = "INSTANT", requires = "folders", value_parser = contract::seal::parse_instant)]
    at: Option<Timestamp>,
    /// How to show it
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
}

/// How proofs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people: tables, and of datasets that are named every number with its parts and its witness.
    Human,
    /// One JSON document with a `format`; its schema is `schemas/proofs.json`.
    Json,
    /// The tables, for a pull request or a report.
    Markdown,
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
        let at = self.at.unwrap_or_else(clock::now);
        let environments = [self.environment.clone()];
        let shown = self.receipts.read(&environments, at)?;
        let evidence = shown.get(&self.environment);
        // What was asked for is what is told: single datasets, or a loss, or everything.
        let mut proven = match (self.datasets.as_slice(), &self.lose) {
            ([], None) => facts::proofs(model, evidence),
            ([], lose) => facts::proofs_of(model, model.datasets.keys(), lose.as_ref(), evidence),
            (some, lose) => facts::proofs_of(model, some.iter(), lose.as_ref(), evidence),
        };
        let text = match self.format {
            Form::Json => {
                if let Value::Object(fields) = &mut proven {
                    fields.insert("format".to_owned(), json!(proved::FORMAT));
                    fields.insert("environment".to_owned(), json!(self.environment));
                }
                format!("{proven:#}\n")
            }
            Form::Human => match proven.get("datasets") {
                Some(Value::Object(datasets)) if !self.datasets.is_empty() => {
                    proofs::details(datasets, look(Stream::Out))
                }
                _ => proofs::human(&proven, look(Stream::Out)),
            },
            Form::Markdown => proofs::markdown(self.environment.as_str(), &proven),
        };
        print(Stream::Out, &text);
        Ok(())
    }
}
