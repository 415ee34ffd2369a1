//! Owns `seawall diff`: reads two trees, revisions or published folders, and tells what the change between them does to
//! recovery. Judges nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use contract::code;
use contract::diff::Effect;
use contract::id::EnvironmentId;
use contract::model::Model;
use contract::seal::BUNDLE_FILE;
use serde::Deserialize;

use super::failure::Failure;
use super::{check, compiled, environment, published};
use crate::compile;
use crate::diagnostic::{Diagnostic, RuleCode};
use crate::difference::{self, Difference, Place, Presence, Side};
use crate::environments::environments;
use crate::lower::Provenance;
use crate::parse::{self, Parsed};
use crate::render::{self, human};
use crate::source::{Positions, SourceSet, Span};
use crate::world::base;
use crate::world::terminal::{Stream, look, print};

#[derive(Args)]
#[command(after_help = "\
Examples:
  seawall diff main                  what the tree here does beside that of main, where both parted
  seawall diff v1:policies v2:policies
  seawall diff published/production policies --env production --fail-on weaker")]
pub struct Diff {
    /// What was: a policy tree, a published folder, a git revision of NEW's folder, or REVISION:FOLDER
    #[arg(value_name = "OLD")]
    old: String,
    /// What is: a policy tree, a published folder, or REVISION:FOLDER
    #[arg(value_name = "NEW", default_value = ".")]
    new: String,
    /// Only this environment; can be repeated [default: all that either declares]
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environments: Vec<EnvironmentId>,
    /// Which changes make the command fail with status 1
    #[arg(long, value_name = "EFFECT", value_enum)]
    fail_on: Option<FailOn>,
    /// How to show it
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
}

/// How a difference is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Human,
    /// One JSON document with a `format`; its schema is `schemas/difference.json`.
    Json,
    /// A comment for a pull request.
    Markdown,
}

/// Which changes make the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Anything that got weaker.
    Weaker,
    /// Anything that owners must sign: weaker, or neither weaker nor stronger.
    Incomparable,
}

/// One of the two things that are compared.
enum Operand {
    /// A tree.
    Tree {
        /// What stands before its paths.
        prefix: String,
        sources: SourceSet,
        parsed: Parsed,
        /// What could not be taken of it.
        refused: Vec<Diagnostic>,
    },
    /// A published bundle.
    Bundle {
        environment: EnvironmentId,
        model: Box<Model>,
        places: BTreeMap<String, Vec<Place>>,
    },
}

impl Diff {
    pub fn run(self) -> Result<(), Failure> {
        let new = Operand::read(&self.new, None)?;
        let old = Operand::read(&self.old, Some(Path::new(&self.new)))?;
        let declared = [old.environments(), new.environments()];
        let all: BTreeSet<EnvironmentId> = if self.environments.is_empty() {
            let faults = old.too_many_environments().into_iter();
            if let Some(fault) = faults.chain(new.too_many_environments()).next() {
                return Err(Failure::Failed(Box::new(fault)));
            }
            declared.concat().into_iter().collect()
        } else {
            self.environments.iter().cloned().collect()
        };
        if all.is_empty() {
            return Err(no_environment("neither side declares an environment"));
        }
        let lines = changed_lines(&old, &new);
        let mut differences = Vec::new();
        for environment in &all {
            let [in_old, in_new] =
                [&declared[0], &declared[1]].map(|ids| ids.contains(environment));
            differences.push(match (in_old, in_new) {
                (true, true) => compared(environment, &old, &new, lines.as_ref())?,
                (true, false) => Difference::alone(environment, Presence::Gone),
                (false, true) => Difference::alone(environment, Presence::New),
                (false, false) => {
                    return Err(no_environment(&format!(
                        "neither side declares `{environment}`"
                    )));
                }
            });
        }
        let text = match self.format {
            Form::Human => difference::human::render(&differences, look(Stream::Out)),
            Form::Json => format!("{:#}\n", difference::json::render(&differences)),
            Form::Markdown => difference::markdown::render(&differences),
        };
        print(Stream::Out, &text);
        let stops = |effect: Effect| match self.fail_on {
            None => false,
            Some(FailOn::Weaker) => effect == Effect::Weaker,
            Some(FailOn::Incomparable) => matches!(effect, Effect::Weaker | Effect::Incomparable),
        };
        if differences.iter().any(|one| one.effects().any(stops)) {
            return Err(Failure::Told);
        }
        Ok(())
    }
}

fn no_environment(message: &str) -> Failure {
    let told = Diagnostic::error(code::UNKNOWN_ENVIRONMENT, message);
    Failure::Usage(Box::new(told.help(
        "name one that a document `kind: Environment` declares, or the folder of a published one",
    )))
}

/// The changed lines of each file of two trees, and what stands before its path.
type Lines<'a> = (&'a str, BTreeMap<&'a str, Vec<RangeInclusive<usize>>>);

/// The lines that differ; none where one side has no text.
fn changed_lines<'a>(old: &Operand, new: &'a Operand) -> Option<Lines<'a>> {
    match (old, new) {
        (
            Operand::Tree { sources: was, .. },
            Operand::Tree {
                sources: is,
                prefix,
                ..
            },
        ) => Some((prefix, check::changed(was, is))),
        (Operand::Bundle { .. }, _) | (_, Operand::Bundle { .. }) => None,
    }
}

/// What differs for an environment that both declare.
fn compared(
    environment: &EnvironmentId,
    old: &Operand,
    new: &Operand,
    lines: Option<&Lines<'_>>,
) -> Result<Difference, Failure> {
    let touched = lines.map(|(prefix, lines)| {
        move |place: &Place| {
            let file = place.file.strip_prefix(prefix);
            let ranges = file.and_then(|file| lines.get(file));
            ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&place.line)))
        }
    });
    let touched = touched
        .as_ref()
        .map(|touched| touched as &dyn Fn(&Place) -> bool);
    old.resolved(environment, |old| {
        new.resolved(environment, |new| {
            difference::between(environment, old, new, touched)
        })
    })?
}

impl Operand {
    /// Reads what was named. A revision alone is one of the folder that it is compared with.
    fn read(named: &str, beside: Option<&Path>) -> Result<Self, Failure> {
        let path = Path::new(named);
        if path.join(BUNDLE_FILE).is_file() {
            return Self::bundle(path);
        }
        if path.exists() {
            let read = compiled::read(path)?;
            return Ok(Self::tree(
                check::root(path),
                read.sources,
                read.diagnostics,
            ));
        }
        let found = match (named.split_once(':'), beside) {
            (Some((revision, folder)), _) => {
                let folder = folder.trim_end_matches('/');
                let prefix = PathBuf::from(folder).display().to_string();
                base::exactly(Path::new("."), revision, folder).map(|base| (prefix, base))
            }
            (None, Some(folder)) if folder.is_dir() => {
                let prefix = check::root(folder);
                base::read(folder, named).map(|base| (prefix, base))
            }
            (None, _) => {
                let message = format!("`{named}` is no folder, and no revision of one");
                let told = Diagnostic::error(code::FILE_UNREADABLE, message);
                Err(Box::new(told.help(
                    "name a policy tree, a published folder, or REVISION:FOLDER such as `main:policies`",
                )))
            }
        };
        let (prefix, base) = found.map_err(Failure::Environment)?;
        if !base.present {
            let message = format!("`{named}` has no such folder at commit {}", base.commit);
            let told = Diagnostic::error(code::BASE_UNREADABLE, message);
            return Err(Failure::Environment(Box::new(told.help(
                "compare with a revision that has the folder, or name it: `REVISION:FOLDER`",
            ))));
        }
        let prefix = match prefix.as_str() {
            "" => prefix,
            some if some.ends_with('/') => prefix,
            some => format!("{some}/"),
        };
        Ok(Self::tree(prefix, base.sources, base.diagnostics))
    }

    fn tree(prefix: String, sources: SourceSet, refused: Vec<Diagnostic>) -> Self {
        let parsed = parse::parse(&sources);
        Self::Tree {
            prefix,
            sources,
            parsed,
            refused,
        }
    }

    /// A published bundle whose files belong together; who signed it is for `verify` to say.
    fn bundle(folder: &Path) -> Result<Self, Failure> {
        let environment = super::verify::environment(folder)?;
        let published = published::read(folder)?;
        let inspected = published.inspect(&environment)?;
        Ok(Self::Bundle {
            environment,
            model: Box::new(inspected.bundle.model),
            places: places(&published.provenance),
        })
    }

    fn environments(&self) -> Vec<EnvironmentId> {
        match self {
            Self::Tree { parsed, .. } => environments(parsed).0,
            Self::Bundle { environment, .. } => vec![environment.clone()],
        }
    }

    /// What is said of a tree that declares more environments than one run judges; it has no place among two trees.
    fn too_many_environments(&self) -> Option<Diagnostic> {
        let Self::Tree { parsed, .. } = self else {
            return None;
        };
        let too_large: RuleCode = code::EXPANSION_TOO_LARGE.into();
        let (_, faults) = environments(parsed);
        let mut fault = faults.into_iter().find(|fault| fault.code == too_large)?;
        fault.labels.clear();
        Some(fault)
    }

    /// Hands over the model of an environment, and where its values were written. Findings that leave no model are told.
    fn resolved<T>(
        &self,
        environment: &EnvironmentId,
        take: impl FnOnce(&Side<'_>) -> T,
    ) -> Result<T, Failure> {
        match self {
            Self::Bundle { model, places, .. } => Ok(take(&Side {
                model,
                prefix: "",
                places: &|path| nearest(places, path),
            })),
            Self::Tree {
                prefix,
                sources,
                parsed,
                refused,
            } => {
                let compilation = compile::resolved(parsed.clone(), environment);
                let positions = sources.positions();
                let provenance = &compilation.provenance;
                match &compilation.model {
                    Some(model) if refused.is_empty() => Ok(take(&Side {
                        model,
                        prefix,
                        places: &|path| lines_of(prefix, sources, &positions, provenance, path),
                    })),
                    Some(_) | None => {
                        let findings = render::merge(vec![
                            (None, refused.clone()),
                            (Some(environment.clone()), compilation.diagnostics),
                        ]);
                        let mut report =
                            render::Report::new(sources, vec![environment.clone()], findings);
                        report.prefix.clone_from(prefix);
                        print(Stream::Err, &human::render(&report, look(Stream::Err)));
                        Err(Failure::Told)
                    }
                }
            }
        }
    }
}

/// The fields of a schedule that say when it runs: its timing is one of them.
const TIMING: [&str; 3] = ["cron", "every_s", "continuous"];

/// The lines that made the value at a path; a schedule's timing is what says when it runs.
fn lines_of(
    prefix: &str,
    sources: &SourceSet,
    positions: &Positions<'_>,
    provenance: &Provenance,
    path: &[String],
) -> Vec<Place> {
    let origin = match path.split_last() {
        Some((last, schedule)) if last == "timing" => TIMING
            .iter()
            .find_map(|field| provenance.exact(&[schedule, &[(*field).to_owned()]].concat()))
            .or_else(|| provenance.lookup(schedule)),
        _ => provenance.lookup(path),
    };
    let place = |span: Span| Place {
        file: format!("{prefix}{}", sources.path(span.file)),
        line: positions.of(span).line,
    };
    let steps = origin.iter().flat_map(|origin| {
        let led = origin.chain.iter().rev().map(|link| link.span);
        [origin.span].into_iter().chain(led)
    });
    steps.map(place).collect()
}

/// The places of `provenance.json` by JSON pointer; none where it cannot be read: a difference is one without places too.
fn places(provenance: &[u8]) -> BTreeMap<String, Vec<Place>> {
    #[derive(Deserialize)]
    struct Written {
        values: BTreeMap<String, Value>,
    }
    #[derive(Deserialize)]
    struct Value {
        file: String,
        line: usize,
        #[serde(default)]
        chain: Vec<Step>,
    }
    #[derive(Deserialize)]
    struct Step {
        file: String,
        line: usize,
    }
    let Ok(written) = serde_json::from_slice::<Written>(provenance) else {
        return BTreeMap::new();
    };
    let places = written.values.into_iter().map(|(pointer, value)| {
        let Value { file, line, chain } = value;
        let led = chain.into_iter().rev();
        let led = led.map(|Step { file, line }| Place { file, line });
        let all = [Place { file, line }].into_iter().chain(led);
        (pointer, all.collect())
    });
    places.collect()
}

/// The places of the first value at or below a path, else of the nearest thing around it.
fn nearest(places: &BTreeMap<String, Vec<Place>>, path: &[String]) -> Vec<Place> {
    let first = |path: &[String]| {
        let pointer = format!("/{}", path.join("/"));
        let (found, places) = places.range(pointer.clone()..).next()?;
        let below = found.strip_prefix(&pointer)?;
        (below.is_empty() || below.starts_with('/')).then(|| places.clone())
    };
    let (own, path) = match path.split_last() {
        Some((last, schedule)) if last == "timing" => {
            let mut own = TIMING
                .iter()
                .map(|field| [schedule, &[(*field).to_owned()]].concat());
            (own.find_map(|field| first(&field)), schedule)
        }
        _ => (None, path),
    };
    let around = || {
        let mut lengths = (1..=path.len()).rev();
        lengths.find_map(|length| first(path.get(..length)?))
    };
    own.or_else(around).unwrap_or_default()
}
