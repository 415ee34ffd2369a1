//! Owns `seawall check`: all problems of all files in all environments, in one run.

use std::path::Path;

use clap::Args;
use contract::code::Severity;
use contract::id::EnvironmentId;

use super::failure::Failure;
use super::{Format, Tree, compiled, environment};
use crate::render::{self, Finding, Report, human, json};
use crate::source::SourceSet;
use crate::world::clock;
use crate::world::terminal::{Stream, look, print};

#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    tree: Tree,
    /// Only this environment; repeat for several [default: all that the tree declares]
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environments: Vec<EnvironmentId>,
    /// How to show findings
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Check {
    pub fn run(self) -> Result<(), Failure> {
        let at = self.tree.at.unwrap_or_else(clock::now);
        let read = compiled::read(&self.tree.folder)?;
        let (rules, invalid) = compiled::rules(self.tree.rules.as_deref())?;
        let mut environments = self.environments;
        let mut runs = vec![(None, read.diagnostics), (None, invalid)];
        if environments.is_empty() {
            let (declared, diagnostics) = crate::environments::environments(&read.sources);
            environments = declared;
            if environments.is_empty() {
                runs.push((None, diagnostics));
            }
        }
        for environment in &environments {
            let judged = compiled::judge(&read.sources, environment, &rules, at);
            runs.push((Some(environment.clone()), judged.diagnostics));
        }
        let report = report(
            &self.tree.folder,
            &read.sources,
            environments,
            render::merge(runs),
        );
        let text = match self.format {
            Format::Human => human::render(&report, look(Stream::Out)),
            Format::Json => format!("{:#}\n", json::render(&report)),
        };
        print(Stream::Out, &text);
        if report.count(Severity::Error) > 0 {
            return Err(Failure::Told);
        }
        Ok(())
    }
}

/// A report whose paths lead from where the user stands into the tree.
pub fn report<'a>(
    folder: &Path,
    sources: &'a SourceSet,
    environments: Vec<EnvironmentId>,
    findings: Vec<Finding>,
) -> Report<'a> {
    let shown = folder.to_string_lossy();
    let shown = shown
        .strip_prefix("./")
        .unwrap_or(&shown)
        .trim_end_matches('/');
    let prefix = match shown {
        "" if folder.has_root() => "/".to_owned(),
        "" | "." => String::new(),
        folder => format!("{folder}/"),
    };
    Report {
        sources,
        prefix,
        environments,
        findings,
    }
}
