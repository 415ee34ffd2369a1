//! Owns rules: which there are, who they belong to, and what they find in a compiled tree. Never reads a file: rules
//! come as text, the built-in ones with the binary. The interesting function is [`judge`].

mod bounded;
pub mod engine;
pub mod finding;
mod load;
pub mod metadata;
mod reads;
pub mod receipts;
pub mod testing;
mod unsound;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use contract::code::{self, Severity};
use contract::digest::Digest;
use include_dir::{Dir, include_dir};
use rayon::prelude::*;
use serde_json::Value;

pub use load::load;
use metadata::Metadata;
pub use metadata::Owner;

use crate::compile::Compilation;
use crate::diagnostic::{Diagnostic, RuleCode, sort};
use crate::source::{SourceSet, Span};

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../rules");

/// The files of a folder of rules: path with `/` → text.
pub type Files = BTreeMap<String, String>;

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Who it belongs to.
    pub owner: Owner,
    /// `<category>/<kebab-rule>`.
    pub folder: String,
    /// Its Rego package.
    pub package: String,
    /// What it says of itself.
    pub metadata: Metadata,
    /// The text of `rule.rego`.
    pub text: String,
    /// The other files of its folder: tests, page and trees; paths relative to the folder.
    pub files: Files,
    /// Why it cannot run, as found when it was loaded.
    pub fault: Option<String>,
}

/// The rules of one run.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// Built-in rules first, then an organisation's; each in the order of the folders.
    pub rules: Vec<Rule>,
    /// Modules that are loaded beside every rule: path, text.
    pub libraries: Vec<(String, String)>,
    /// All files below `lib/`, by owner: libraries, their tests, and the documents under the trees of tests.
    pub support: BTreeMap<Owner, Files>,
    /// Identity of all rules and libraries, in the layout of the policy snapshot hash.
    pub digest: Option<Digest>,
    /// How long they may still take.
    pub time: TimeLeft,
}

/// How much time is left for the rules of a run.
#[derive(Debug, Clone, Copy)]
pub struct TimeLeft(pub fn() -> Duration);

/// What one rule may take where the run as a whole has no bound: a rule over a very large tree needs seconds.
const ALONE: Duration = Duration::from_secs(30);

impl Default for TimeLeft {
    fn default() -> Self {
        Self(|| ALONE)
    }
}

impl TimeLeft {
    fn get(self) -> Duration {
        (self.0)()
    }
}

/// The files of the built-in rules.
pub fn built_in() -> Files {
    let mut files = Files::new();
    let mut folders = vec![&BUILT_IN];
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        for file in folder.files() {
            let path = file.path().to_str().map(|path| path.replace('\\', "/"));
            if let (Some(path), Some(text)) = (path, file.contents_utf8()) {
                files.insert(path, text.to_owned());
            }
        }
    }
    files
}

impl RuleSet {
    /// Whether all rules judge each dataset and plan by what it says, or none at all, so that documents that are alike can be
    /// judged once.
    pub fn judge_each(&self) -> bool {
        let by_each = |rule: &Rule| {
            let said = rule.metadata.judges_each || rule.metadata.judges_all;
            rule.owner == Owner::Seawall || said
        };
        self.rules.iter().all(by_each)
    }

    /// Whether no rule finds less in a dataset that has more data. Seawall's own are held to it by tests.
    pub fn find_more_data_worse(&self) -> bool {
        self.rules.iter().all(|rule| rule.owner == Owner::Seawall)
    }

    /// The rules for which this holds, and the others.
    pub fn split(&self, holds: impl Fn(&Rule) -> bool) -> (Self, Self) {
        let (these, others) = self.rules.iter().cloned().partition(holds);
        let of = |rules| Self {
            rules,
            ..self.clone()
        };
        (of(these), of(others))
    }

    /// Path and text of the libraries.
    pub fn library_modules(&self) -> Vec<(&str, &str)> {
        let libraries = self.libraries.iter();
        libraries
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect()
    }
}

impl Rule {
    /// The modules that an engine for this rule needs: the libraries and the rule.
    pub fn modules<'a>(&'a self, rules: &'a RuleSet) -> Vec<(&'a str, &'a str)> {
        let mut modules = rules.library_modules();
        modules.push((&self.folder, &self.text));
        modules
    }

    /// The same, even where the engine itself has a bug that the rule meets.
    fn answer(
        &self,
        rules: &RuleSet,
        input: &regorus::Value,
    ) -> Result<Vec<finding::RawFinding>, Box<Diagnostic>> {
        let run = AssertUnwindSafe(|| self.run(rules, input));
        catch_unwind(run).unwrap_or_else(|_| {
            let message = format!(
                "rule `{}` gave no answer: the engine broke on it",
                self.folder
            );
            let failed = Diagnostic::error(code::RULE_FAILED, message)
                .at(["rules", self.folder.as_str()])
                .help(
                    "write what it says in another way, and report this as a fault of the program",
                );
            Err(Box::new(failed))
        })
    }

    /// Runs the rule alone. Whatever keeps it from answering becomes an error finding, never a pass.
    fn run(
        &self,
        rules: &RuleSet,
        input: &regorus::Value,
    ) -> Result<Vec<finding::RawFinding>, Box<Diagnostic>> {
        let failed = |code, reason: String| {
            let message = format!("rule `{}` gave no answer: {reason}", self.folder);
            Diagnostic::error(code, message).at(["rules", self.folder.as_str()])
        };
        let time = rules.time.get();
        if time.is_zero() {
            let reason = "the time of the run was used up before it ran".to_owned();
            let help = "correct the rules that take long, or the document that makes them: each of them is reported as well";
            return Err(Box::new(failed(code::RULE_FAILED, reason).help(help)));
        }
        let unloaded = |reason: String| {
            let help = "correct the rule: the finding about its loading says the same";
            Box::new(failed(code::RULE_FAILED, reason).help(help))
        };
        if let Some(reason) = &self.fault {
            return Err(unloaded(reason.clone()));
        }
        let mut engine = engine::prepare(&self.modules(rules), time).map_err(unloaded)?;
        engine::evaluate(&mut engine, &self.package, input).map_err(|fault| {
            Box::new(match fault {
                engine::RuleFault::Failed(reason) => failed(code::RULE_FAILED, reason).help(
                    "a rule that does not run is never a pass: correct it, or give input for which it is defined",
                ),
                engine::RuleFault::Finding(reason) => failed(code::FINDING_INVALID, reason).help(
                    "a finding has `at`, `msg`, and optional `about`, `cause`, `label`, `because`, `notes`, `help`, `measure`, `controls`",
                ),
            })
        })
    }
}

/// What the rules read: the resolved model by id, how scalars were written, what was proven, and the date.
#[derive(Debug, Clone)]
pub struct Input(Value);

impl Input {
    /// Assembles `input` from the model's JSON. `at` is in unix seconds.
    pub fn new(model: &Value, written: &Value, facts: &Value, at: i64) -> Self {
        let mut input = model.clone();
        if let Value::Object(fields) = &mut input {
            fields.insert("written".to_owned(), written.clone());
            fields.insert("facts".to_owned(), facts.clone());
            fields.insert("at".to_owned(), Value::from(at));
        }
        Self(input)
    }

    /// The JSON itself.
    pub const fn json(&self) -> &Value {
        &self.0
    }
}

/// The text that a path in `input` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where it is shown. A value that was taken over as a whole (a schedule into a plan) is shown where it was referred
    /// to: that line is what its reader would change. A single value is shown where it was set.
    pub shown: Span,
    /// Where it was set: the same text for all who took it over.
    pub set: Span,
}

/// The text that a path in `input` stands for.
pub fn place(compilation: &Compilation, sources: &SourceSet, path: &[String]) -> Option<Place> {
    let origin = compilation.provenance.lookup(path)?;
    let whole = sources.text(origin.span).contains('\n');
    let referred = origin.chain.first().filter(|_| whole);
    Some(Place {
        shown: referred.map_or(origin.span, |link| link.span),
        set: origin.span,
    })
}

/// Runs all rules over `input`; `place` leads a path in `input` to the text that set it.
pub fn judge(
    input: &Input,
    rules: &RuleSet,
    place: &dyn Fn(&[String]) -> Option<Place>,
) -> Vec<Diagnostic> {
    let at = input
        .0
        .get("at")
        .and_then(Value::as_i64)
        .unwrap_or(i64::MAX);
    let value = regorus::Value::from(input.0.clone());
    // Each rule has an engine of its own, so they run side by side.
    let rules_aside = rules.rules.par_iter();
    let answers: Vec<_> = rules_aside.map(|rule| rule.answer(rules, &value)).collect();
    let mut diagnostics = Vec::new();
    for (rule, answer) in rules.rules.iter().zip(answers) {
        match answer {
            Err(failed) => diagnostics.push(*failed),
            Ok(findings) => diagnostics.extend(
                findings
                    .into_iter()
                    .map(|raw| told(rule, raw, &input.0, at, place)),
            ),
        }
    }
    sort(&mut diagnostics);
    diagnostics
}

/// A finding of a rule with its places. One that speaks of nothing in `input` is itself an error.
fn told(
    rule: &Rule,
    raw: finding::RawFinding,
    input: &Value,
    at: i64,
    place: &dyn Fn(&[String]) -> Option<Place>,
) -> Diagnostic {
    let lost = [&raw.at, &raw.about, &raw.cause]
        .into_iter()
        .chain(raw.because.iter().map(|(path, _)| path))
        .find(|path| path.first().is_none_or(|key| input.get(key).is_none()));
    if let Some(path) = lost {
        return Diagnostic::error(
            code::FINDING_INVALID,
            format!(
                "rule `{}` speaks of `{}`, which is not in `input`",
                rule.folder,
                path.join("/")
            ),
        )
        .at(["rules", rule.folder.as_str()])
        .note(format!("it says: {}", raw.msg))
        .help(
            "paths begin as `input` does: `datasets`, `plans`, `scenarios`, `settings`, `facts` …",
        );
    }
    let own = &rule.metadata.controls;
    if let Some(foreign) = raw.controls.iter().find(|named| !own.contains(named)) {
        let message = format!(
            "rule `{}` finds something about `{foreign}`, which its METADATA do not name",
            rule.folder
        );
        return Diagnostic::error(code::FINDING_INVALID, message)
            .at(["rules", rule.folder.as_str()])
            .note(format!("it says: {}", raw.msg))
            .help("name the clause in `custom.controls`, or leave it out of the finding");
    }
    let early = rule.metadata.effective_from.is_some_and(|from| at < from);
    let severity = if early {
        Severity::Warning
    } else {
        rule.metadata.severity
    };
    let mut diagnostic = Diagnostic::new(rule.metadata.code.clone(), severity, raw.msg);
    if let Some(place) = place(&raw.at) {
        diagnostic = diagnostic.label(place.shown, raw.label);
    }
    for (path, label) in raw.because {
        let label = if label.is_empty() {
            "demanded here".to_owned()
        } else {
            label
        };
        if let Some(place) = place(&path) {
            diagnostic = diagnostic.label(place.shown, label);
        }
    }
    diagnostic.notes = raw.notes;
    diagnostic.help = raw.help;
    diagnostic.cause = place(&raw.cause).map(|place| place.set);
    diagnostic.measure = raw.measure;
    diagnostic.controls = raw.controls;
    if raw.about != raw.at {
        diagnostic.about = raw.about;
    }
    diagnostic.at(raw.at)
}

/// The name by which a verdict lists the rule: its code and folder.
pub fn name(rule: &Rule) -> String {
    let code: &RuleCode = &rule.metadata.code;
    format!("{code} {}", rule.folder)
}
