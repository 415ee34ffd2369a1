//! Owns `seawall check`: all problems of all files in all environments, in one run, in the form that its reader needs.
//! With `--base` also what the change brought and mended. The interesting function is [`Check::run`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::{Args, ValueEnum};
use contract::code;
use contract::id::EnvironmentId;
use jiff::Timestamp;

use super::evidence::{Receipts, Shown};
use super::failure::Failure;
use super::{Tree, compiled, environment};
use crate::alike::Alike;
use crate::compare::{self, Gate};
use crate::diagnostic::{Diagnostic, RuleCode};
use crate::forecast::{self, Change};
use crate::judge;
use crate::parse::{self, Parsed};
use crate::render::{self, Finding, Report, github, human, json, junit, markdown, sarif};
use crate::rules::RuleSet;
use crate::source::{SourceSet, Span};
use crate::world::base::{self, Base};
use crate::world::terminal::{Stream, look, print, step_summary};
use crate::world::{clock, files};

const NOTES: &str = "\
With --base the tree is compared with what it was where HEAD and REV parted, judged by the same rules as of the same
instant. A finding is new, changed (the base tells it in other words) or old; those that are gone are fixed.
With --fail-on new the status is 0 while all errors are old; old ones of reading, resolving or of a rule that gave no
answer still count, for nobody knows what they hide.

With --until the status is 1 too when something will become an error by then.

With --evidence the policy is held against receipts too: what they do not show, or show to be otherwise, is found. They
count as of --at, and only by the keys that the trust root of --root lists.

Exit status: 0 nothing stops, warnings too; 1 findings that stop; 2 wrong usage; 3 receipts that
are refused; 4 files or git, such as a revision that is not here.";

#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Check {
    #[command(flatten)]
    tree: Tree,
    /// Only this environment; repeat for several [default: all that the tree declares]
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environments: Vec<EnvironmentId>,
    #[command(flatten)]
    receipts: Receipts,
    /// How to show findings
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
    /// Mark what is new, changed, old and fixed since this git revision, such as origin/main
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Which findings make the command fail
    #[arg(long, value_enum, default_value = "error", requires_if("new", "base"))]
    fail_on: FailOn,
    /// Tell too what changes by itself until this day or instant, such as 2027-03-01: waivers and keys that end, rules
    /// and settings that take effect; for --format human and json
    #[arg(long, value_name = "DATE", value_parser = day_or_instant)]
    until: Option<Timestamp>,
}

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Human,
    /// One JSON document with a `format`; its schema is `schemas/findings.json`.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, one suite an environment, one case a rule.
    Junit,
    /// GitHub annotations; what GitHub would not show goes to the file in GITHUB_STEP_SUMMARY.
    Github,
    /// A comment for a pull request.
    Markdown,
}

/// Which findings make the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Every error.
    Error,
    /// Errors that the base has not, or has in other words.
    New,
}

/// One look at one tree.
struct Run {
    environments: Vec<EnvironmentId>,
    unjudged: BTreeSet<EnvironmentId>,
    findings: Vec<Finding>,
    changes: Vec<Change>,
}

impl Check {
    pub fn run(self) -> Result<(), Failure> {
        let at = self.tree.at.unwrap_or_else(clock::now);
        self.check_until(at)?;
        let folder = &self.tree.folder;
        let read = compiled::read(folder)?;
        // A revision that is not here is told before any work is done.
        let base = match &self.base {
            Some(revision) => Some(base::read(folder, revision).map_err(Failure::Environment)?),
            None => None,
        };
        let (rules, invalid) = compiled::rules(self.tree.rules.as_deref())?;
        let (parsed, base_parsed) = rayon::join(
            || parse::parse(&read.sources),
            || base.as_ref().map(|base| parse::parse(&base.sources)),
        );
        let mut environments = self.environments;
        let mut whole = [read.diagnostics, invalid.clone()].concat();
        if environments.is_empty() {
            let (declared, diagnostics) = crate::environments::environments(&parsed);
            environments = declared;
            if environments.is_empty() {
                whole.extend(diagnostics);
            }
        }
        let shown = self.receipts.read(&environments, at)?;
        let of_base = base.as_ref().zip(base_parsed.as_ref());
        let judge_base = || {
            let as_of = (at, &shown);
            let before =
                |(base, parsed)| before(base, parsed, &environments, &invalid, &rules, as_of);
            of_base.map(before)
        };
        let judge_tree = || {
            let environments = environments.clone();
            let as_of = (at, self.until, &shown);
            look_at(&read.sources, &parsed, whole, environments, &rules, as_of)
        };
        let (mut run, judged_base) = rayon::join(judge_tree, judge_base);
        let revision = self.base.as_deref().zip(base.as_ref());
        let compared = revision
            .zip(judged_base)
            .map(|(of, before)| since(of, before, &mut run, &read.sources, &rules));
        let mut report = report(folder, &read.sources, run.environments, run.findings);
        report.root = root(folder);
        // What is read elsewhere must not depend on what was typed here.
        if self.format != Form::Human {
            report.prefix.clone_from(&report.root);
        }
        report.unjudged = run.unjudged;
        report.until = self.until.map(|until| (until, run.changes));
        report.checks = render::checks(&rules);
        report.base = compared;
        report.gate = match self.fail_on {
            FailOn::Error => Gate::Errors,
            FailOn::New => Gate::New,
        };
        show(&report, self.format)?;
        if report.stopping() > 0 || report.will_stop() {
            return Err(Failure::Told);
        }
        Ok(())
    }

    fn check_until(&self, at: Timestamp) -> Result<(), Failure> {
        let Some(until) = self.until else {
            return Ok(());
        };
        let wrong = |message: String, help: &str| {
            let told = Diagnostic::error(code::ARGUMENTS_CONTRADICT, message);
            Err(Failure::Usage(Box::new(told.help(help))))
        };
        if until <= at {
            return wrong(
                format!("`--until` {until} is not after {at}, as of when the tree is judged"),
                "give a later date, or an earlier `--at`",
            );
        }
        match self.format {
            Form::Human | Form::Json => Ok(()),
            Form::Sarif | Form::Junit | Form::Github | Form::Markdown => wrong(
                "`--until` has no place in this format".to_owned(),
                "use `--format human` or `--format json`",
            ),
        }
    }
}

/// A day in UTC, which stands for its first second, or an instant.
fn day_or_instant(text: &str) -> Result<Timestamp, String> {
    let day = format!("{text}T00:00:00Z");
    contract::seal::parse_instant(text)
        .or_else(|fault| contract::seal::parse_instant(&day).map_err(|_| fault))
}

/// Judges a tree for these environments; `whole` holds what was found of the tree before.
fn look_at(
    sources: &SourceSet,
    parsed: &Parsed,
    whole: Vec<Diagnostic>,
    environments: Vec<EnvironmentId>,
    rules: &RuleSet,
    (at, until, shown): (Timestamp, Option<Timestamp>, &Shown),
) -> Run {
    let mut runs = vec![(None, whole)];
    let mut changes = Vec::new();
    let mut unjudged = BTreeSet::new();
    let alike = Alike::under(rules, parsed);
    for environment in &environments {
        let as_of = (at, shown.get(environment));
        let found = judge::find(sources, parsed, &alike, environment, rules, as_of);
        if found.model.is_none() {
            unjudged.insert(environment.clone());
        }
        if let (Some(model), Some(until)) = (&found.model, until) {
            // What will happen until then no receipt shows.
            let as_of = |at| {
                judge::find(sources, parsed, &alike, environment, rules, (at, None)).diagnostics
            };
            changes.extend(forecast::forecast(model, rules, (at, until), &as_of));
        }
        runs.push((Some(environment.clone()), found.diagnostics));
    }
    Run {
        environments,
        unjudged,
        findings: render::merge(runs),
        changes: forecast::merge(changes),
    }
}

/// The base, looked at as the tree is: in those of these environments that it declares. Beside it, whether it declares any.
fn before(
    base: &Base,
    parsed: &Parsed,
    environments: &[EnvironmentId],
    invalid: &[Diagnostic],
    rules: &RuleSet,
    (at, shown): (Timestamp, &Shown),
) -> (Run, bool) {
    let (mut declared, _) = crate::environments::environments(parsed);
    let declares = !declared.is_empty();
    declared.retain(|environment| environments.contains(environment));
    let whole = [base.diagnostics.as_slice(), invalid].concat();
    let as_of = (at, None, shown);
    let run = look_at(&base.sources, parsed, whole, declared, rules, as_of);
    (run, declares)
}

/// Marks the tree's findings by those of the base.
fn since<'a>(
    (revision, base): (&str, &'a Base),
    (before, declares): (Run, bool),
    run: &mut Run,
    sources: &SourceSet,
    rules: &RuleSet,
) -> compare::Base<'a> {
    let nothing_declared = !declares && base.present;
    let changed = changed(&base.sources, sources);
    let positions = sources.positions();
    let touched = |span: Span| {
        let line = positions.of(span).line;
        let ranges = changed.get(sources.path(span.file));
        ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&line)))
    };
    let gone = compare::compare(&mut run.findings, &before.findings, &touched);
    let fixed = compare::certain(gone, &run.unjudged, &silent(&run.findings, rules));
    let unknown: Vec<EnvironmentId> = if nothing_declared {
        run.environments.clone()
    } else {
        before.unjudged.into_iter().collect()
    };
    if !base.present {
        let note = "the revision does not have the folder: every finding is new\n";
        print(Stream::Err, note);
    } else if !unknown.is_empty() {
        let told = unjudged(revision, &run.unjudged, unknown);
        run.findings.insert(0, told);
    }
    compare::Base {
        revision: revision.to_owned(),
        commit: base.commit.clone(),
        sources: &base.sources,
        fixed,
    }
}

/// The codes of rules that gave no answer.
fn silent(findings: &[Finding], rules: &RuleSet) -> BTreeSet<RuleCode> {
    let failed = |folder: &str| {
        let about = |finding: &Finding| matches!(finding.diagnostic.at.as_slice(), [rules, named] if rules == "rules" && named == folder);
        findings.iter().any(about)
    };
    rules
        .rules
        .iter()
        .filter(|rule| failed(&rule.folder))
        .map(|rule| rule.metadata.code.clone())
        .collect()
}

/// What rules would have found in a base without a model is not known, so nothing of theirs is taken for old.
fn unjudged(
    revision: &str,
    now: &BTreeSet<EnvironmentId>,
    environments: Vec<EnvironmentId>,
) -> Finding {
    let message =
        format!("the tree at `{revision}` does not compile: what rules find now counts as new");
    let help = if environments.iter().any(|id| now.contains(id)) {
        "correct the tree; its own errors say where"
    } else {
        "nothing is to be done here: it is told because old findings may be shown as new"
    };
    let told = Diagnostic::warning(code::BASE_UNJUDGED, message)
        .at(["base"])
        .help(help);
    Finding::new(told, environments)
}

/// The changed lines of each file.
pub fn changed<'a>(
    old: &SourceSet,
    new: &'a SourceSet,
) -> BTreeMap<&'a str, Vec<std::ops::RangeInclusive<usize>>> {
    let before: BTreeMap<&str, &str> = old
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    new.files
        .iter()
        .map(|file| {
            let old = before.get(file.path.as_str()).copied().unwrap_or_default();
            (file.path.as_str(), base::changed_lines(old, &file.text))
        })
        .collect()
}

fn show(report: &Report<'_>, form: Form) -> Result<(), Failure> {
    let text = match form {
        Form::Human => human::render(report, look(Stream::Out)),
        Form::Json => format!("{:#}\n", json::render(report)),
        Form::Sarif => format!("{:#}\n", sarif::render(report)),
        Form::Junit => junit::render(report),
        Form::Markdown => markdown::render(report),
        Form::Github => {
            let annotations = github::render(report);
            print(Stream::Out, &annotations.commands);
            if let (Some(rest), Some(path)) = (annotations.rest, step_summary()) {
                files::append(&path, rest.as_bytes())
                    .map_err(|error| Failure::unwritable(&path, &error))?;
            }
            return Ok(());
        }
    };
    print(Stream::Out, &text);
    Ok(())
}

/// A report whose paths lead from where the user stands into the tree.
pub fn report<'a>(
    folder: &Path,
    sources: &'a SourceSet,
    environments: Vec<EnvironmentId>,
    findings: Vec<Finding>,
) -> Report<'a> {
    let mut report = Report::new(sources, environments, findings);
    report.prefix = typed(folder);
    report
}

/// A folder as it was typed, as what stands before the paths of its files.
fn typed(folder: &Path) -> String {
    let shown = folder.to_string_lossy();
    let shown = shown
        .strip_prefix("./")
        .unwrap_or(&shown)
        .trim_end_matches('/');
    match shown {
        "" if folder.has_root() => "/".to_owned(),
        "" | "." => String::new(),
        folder => format!("{folder}/"),
    }
}

/// What stands before the paths of the tree from the root of the repository. Outside of one it is the folder as typed,
/// unless that leads from somewhere else: no path of a machine stands in what other machines read.
pub fn root(folder: &Path) -> String {
    match base::inside(folder) {
        Some(inside) if inside.is_empty() => String::new(),
        Some(inside) => format!("{inside}/"),
        None => Some(typed(folder))
            .filter(|typed| !folder.has_root() && !typed.split('/').any(|part| part == ".."))
            .unwrap_or_default(),
    }
}
