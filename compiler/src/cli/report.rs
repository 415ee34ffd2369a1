//! Owns `seawall report`: which clauses of a framework the policy shows to be met, in one environment. What is shown is
//! decided in `attest`.

use clap::{Args, ValueEnum};
use contract::code;
use contract::id::EnvironmentId;

use super::evidence::Receipts;
use super::failure::{self, Failure};
use super::{Tree, check, compiled, environment};
use crate::alike::Alike;
use crate::attest::{self, Subject, human, json, markdown};
use crate::compile;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::environments::environments;
use crate::frameworks::{self, Framework};
use crate::judge;
use crate::parse::{Parsed, parse};
use crate::render;
use crate::schema::did_you_mean;
use crate::source;
use crate::world::clock;
use crate::world::terminal::{Stream, look, print};

const NOTES: &str = "\
A clause is met when every rule that bears on it ran, had data to look at, and found nothing; a warning counts as much as an
error. A rule that gave no answer is never a pass. What policy cannot show says why; some of it receipts show, with --evidence.

--framework without a value lists the frameworks. Rules name the clauses they bear on in `custom.controls`, an organisation's
own too.

Exit status: 0 every clause that can be shown is met or accepted by waivers; 1 one is not met or unknown; 2 wrong usage;
3 receipts that are refused; 4 files.";

#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Report {
    #[command(flatten)]
    tree: Tree,
    /// The framework, such as nist-csf or soc-2
    #[arg(long, value_name = "FRAMEWORK", num_args = 0..=1, default_missing_value = "")]
    framework: Option<String>,
    /// The environment
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: Option<EnvironmentId>,
    #[command(flatten)]
    receipts: Receipts,
    /// How to show it
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
}

/// How the report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Human,
    /// One JSON document with a `format`; its schema is `schemas/report.json`.
    Json,
    /// A document to hand on.
    Markdown,
}

impl Report {
    pub fn run(self) -> Result<(), Failure> {
        let framework = wanted(self.framework.as_deref().unwrap_or_default())?;
        let (rules, invalid) = compiled::rules(self.tree.rules.as_deref())?;
        // Of a rule that cannot be loaded nobody knows on which clauses it bears.
        if has_errors(&invalid) {
            failure::tell(invalid);
            return Err(Failure::Told);
        }
        let at = self.tree.at.unwrap_or_else(clock::now);
        let read = compiled::read(&self.tree.folder)?;
        let sources = &read.sources;
        let parsed = parse(sources);
        let Some(environment) = self.environment else {
            return Err(no_environment(&parsed));
        };
        let alike = Alike::under(&rules, &parsed);
        let environments = [environment.clone()];
        let shown = self.receipts.read(&environments, at)?;
        let evidence = shown.get(&environment);
        let found = judge::find(
            sources,
            &parsed,
            &alike,
            &environment,
            &rules,
            (at, evidence),
        );
        // Documents that are alike were judged once; here they are counted.
        let whole = found
            .model
            .is_some()
            .then(|| compile::resolved(parsed, &environment));
        let model = whole.and_then(|compilation| compilation.model);
        if model.is_none() {
            let findings = render::merge(vec![
                (None, read.diagnostics),
                (Some(environment.clone()), found.diagnostics.clone()),
            ]);
            let environments = environments.to_vec();
            let report = check::report(&self.tree.folder, sources, environments, findings);
            let frames = render::human::render(&report, look(Stream::Err));
            print(Stream::Err, &frames);
        }
        let shown = attest::attest(Subject {
            framework: &framework,
            environment: &environment,
            model: model.as_ref(),
            findings: &found.diagnostics,
            rules: &rules,
            at,
            evidence,
            snapshot_hash: source::snapshot_hash(&sources.inputs()),
        });
        let text = match self.format {
            Form::Human => human::render(&shown, look(Stream::Out)),
            Form::Json => format!("{:#}\n", json::render(&shown)),
            Form::Markdown => markdown::render(&shown),
        };
        print(Stream::Out, &text);
        if shown.holds() {
            Ok(())
        } else {
            Err(Failure::Told)
        }
    }
}

/// The framework of this name. Without one, and with an unknown one, all are listed; nothing was shown, so that is never a
/// success.
fn wanted(name: &str) -> Result<Framework, Failure> {
    let known = frameworks::known();
    if let Some(found) = known.iter().find(|one| one.id == name) {
        return Ok(found.clone());
    }
    let ids = || known.iter().map(|framework| framework.id.as_str());
    let (message, help) = match name {
        "" => (
            "`--framework` wants one of the frameworks below".to_owned(),
            None,
        ),
        name => (
            format!("there is no framework `{name}`"),
            did_you_mean(name, ids()),
        ),
    };
    let help = help.unwrap_or_else(|| "name one, as in `--framework nist-csf`".to_owned());
    let mut told = Diagnostic::error(code::UNKNOWN_REFERENCE, message).help(help);
    for framework in &known {
        told = told.note(format!("{}: {}", framework.id, framework.title));
    }
    Err(Failure::Usage(Box::new(told)))
}

fn no_environment(parsed: &Parsed) -> Failure {
    let (declared, _) = environments(parsed);
    let names: Vec<String> = declared.iter().map(|id| format!("`--env {id}`")).collect();
    let help = match names.as_slice() {
        [] => "the tree declares none: give the folder of a policy tree".to_owned(),
        names => format!("give one of {}", names.join(", ")),
    };
    let message = "a report is about one environment";
    let told = Diagnostic::error(code::UNKNOWN_ENVIRONMENT, message).help(help);
    Failure::Usage(Box::new(told))
}
