//! Owns `seawall explain`: the page of a code, or the resolved values of an object with where each came from. Decides
//! nothing; pages are in `pages`, values in `object`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use contract::code;
use contract::id::EnvironmentId;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{Format, check, compiled, environment};
use crate::compile::Compilation;
use crate::diagnostic::Diagnostic;
use crate::object::{self, NotFound, Object, Resolved};
use crate::pages::{self, Page, markdown::Block, plain};
use crate::parse::parse;

use crate::schema::did_you_mean;
use crate::source::{Position, Positions, SourceSet, Span};
use crate::world::terminal::{Stream, look, print};

const EXAMPLES: &str = "\
Examples:
  seawall explain                                   all codes, one a line
  seawall explain SW0301                            what a finding means and what to do
  seawall explain ds_orders policies --env dev      every value of an object, and where it comes from
  seawall explain plans/bp_orders/retention policies --env dev";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// A code or its name (SW0301, rpo-covered), or an object (datasets/ds_x, ds_x, schedules/every_5m)
    #[arg(value_name = "CODE | OBJECT")]
    what: Option<String>,
    /// Folder of the policy tree, for objects
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// The environment, for objects [default: the only one that the tree declares]
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: Option<EnvironmentId>,
    /// Folder with an organisation's own rules, whose codes have pages too
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// How to show it
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Explain {
    pub fn run(self) -> Result<(), Failure> {
        let pages = || -> Result<Vec<Page>, Failure> {
            let (rules, _) = compiled::rules(self.rules.as_deref())?;
            Ok(pages::all(&rules))
        };
        let text = match &self.what {
            None => list(&pages()?, self.format),
            Some(what) if is_code(what) => one(&pages()?, what, self.format)?,
            Some(what) => {
                let named = match &self.environment {
                    None => pages()?.into_iter().find(|page| page.name == *what),
                    Some(_) => None,
                };
                match named {
                    Some(page) => shown(&page, self.format),
                    None => self.object(what)?,
                }
            }
        };
        print(Stream::Out, &text);
        Ok(())
    }

    fn object(&self, what: &str) -> Result<String, Failure> {
        let environment = match &self.environment {
            Some(environment) => environment.clone(),
            None => only(&self.folder, what)?,
        };
        let (sources, compilation) = compiled::tree(&self.folder, &environment)?;
        let model = serde_json::to_value(&compilation.model).unwrap_or_default();
        let object = object::find(&model, what).map_err(|fault| missing(what, fault))?;
        let values = object::values(&compilation, &model, &object);
        if values.is_empty() {
            return Err(no_field(&compilation, &model, &object));
        }
        let telling = Telling {
            prefix: check::report(&self.folder, &sources, Vec::new(), Vec::new()).prefix,
            positions: sources.positions(),
            sources: &sources,
        };
        Ok(match self.format {
            Format::Json => telling.json(&environment, &object, &values),
            Format::Human => telling.human(&compilation, &environment, &object, &values),
        })
    }
}

/// `SW0301`, `sw0301`, `ACME0101`: letters, then four digits.
fn is_code(text: &str) -> bool {
    let letters = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let plain = letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    plain && letters.len() >= 2 && text.len() == letters.len() + 4
}

fn usage(message: String, help: impl Into<String>) -> Failure {
    Failure::Usage(Box::new(
        Diagnostic::error(code::UNKNOWN_REFERENCE, message).help(help),
    ))
}

fn list(pages: &[Page], format: Format) -> String {
    match format {
        Format::Json => {
            let codes = pages.iter().map(|page| {
                json!({ "code": page.code, "name": page.name, "summary": page.summary, "rule": page.rule })
            });
            format!(
                "{:#}\n",
                json!({ "version": 1, "codes": codes.collect::<Vec<_>>() })
            )
        }
        Format::Human => {
            let lines = pages.iter().map(|page| {
                let first = format!("{}  ", page.code);
                plain::wrap(&page.summary, plain::MAX_WIDTH, &first, "        ")
            });
            lines.collect::<Vec<_>>().join("\n") + "\n"
        }
    }
}

fn one(pages: &[Page], what: &str, format: Format) -> Result<String, Failure> {
    let wanted = what.to_ascii_uppercase();
    if let Some(page) = pages.iter().find(|page| page.code == wanted) {
        return Ok(shown(page, format));
    }
    let help = did_you_mean(&wanted, pages.iter().map(|page| page.code.as_str()))
        .unwrap_or_else(|| "`seawall explain` lists all codes".to_owned());
    Err(usage(format!("there is no code `{what}`"), help))
}

fn shown(page: &Page, format: Format) -> String {
    match format {
        Format::Human => plain::page(&page.blocks(), look(Stream::Out)),
        Format::Json => {
            let examples = page.examples();
            let of = |bad: bool| -> Vec<Value> {
                let wanted = examples.iter().filter(|example| example.bad == bad);
                wanted
                    .map(|example| json!({ "language": example.language, "text": example.text }))
                    .collect()
            };
            let value = json!({
                "version": 1,
                "code": page.code,
                "name": page.name,
                "summary": page.summary,
                "rule": page.rule,
                "sections": sections(&page.blocks()),
                "bad": of(true),
                "good": of(false),
            });
            format!("{value:#}\n")
        }
    }
}

/// The prose of a page by heading; examples stand apart.
fn sections(blocks: &[Block]) -> Vec<Value> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for block in blocks {
        match (block, sections.last_mut()) {
            (Block::Heading(1, _) | Block::Code { .. }, _) => {}
            (Block::Heading(_, words), _) => sections.push((words.clone(), Vec::new())),
            (Block::Paragraph(words) | Block::Item(words), Some((_, texts))) => {
                texts.push(words.clone());
            }
            (Block::Paragraph(_) | Block::Item(_), None) => {}
        }
    }
    let told = sections.into_iter().filter(|(_, texts)| !texts.is_empty());
    told.map(|(title, texts)| json!({ "title": title, "text": texts }))
        .collect()
}

/// The environment of a tree that declares exactly one.
fn only(folder: &Path, what: &str) -> Result<EnvironmentId, Failure> {
    let read = compiled::read(folder)?;
    let (declared, _) = crate::environments::environments(&parse(&read.sources));
    if let [one] = declared.as_slice() {
        return Ok(one.clone());
    }
    let names: Vec<String> = declared.iter().map(|id| format!("`--env {id}`")).collect();
    let message = format!("`{what}` is no code, and as an object it needs an environment");
    let help = match names.as_slice() {
        [] => format!(
            "`{}` declares no environment: give the folder of a policy tree after the object",
            folder.display()
        ),
        names => format!("give one of {}", names.join(", ")),
    };
    Err(usage(message, help))
}

fn missing(what: &str, fault: NotFound) -> Failure {
    let list = |names: Vec<String>| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    match fault {
        NotFound::Ambiguous(names) => usage(
            format!("`{what}` is the id of several objects"),
            format!("name one of them: {}", list(names)),
        ),
        NotFound::Unknown(near) if near.is_empty() => usage(
            format!("the environment has no object `{what}`"),
            "write an id, or `<collection>/<id>` as in `datasets/ds_orders`",
        ),
        NotFound::Unknown(near) => usage(
            format!("the environment has no object `{what}`"),
            format!("did you mean {}?", list(near)),
        ),
    }
}

fn no_field(compilation: &Compilation, model: &Value, object: &Object) -> Failure {
    let whole = Object {
        inner: Vec::new(),
        ..object.clone()
    };
    let values = object::values(compilation, model, &whole);
    let mut fields: Vec<&str> = values
        .iter()
        .filter_map(|value| value.path.first().copied())
        .map(object::source_name)
        .collect();
    fields.dedup();
    let wanted = object.inner.join("/");
    let help = did_you_mean(&wanted, fields.iter().copied())
        .unwrap_or_else(|| format!("it has {}", fields.join(", ")));
    usage(format!("`{}` has no field `{wanted}`", object.name), help)
}

/// What is needed to tell places.
struct Telling<'a> {
    prefix: String,
    positions: Positions<'a>,
    sources: &'a SourceSet,
}

impl Telling<'_> {
    fn place(&self, span: Span) -> String {
        let Position { line, column } = self.positions.of(span);
        format!(
            "{}{}:{line}:{column}",
            self.prefix,
            self.sources.path(span.file)
        )
    }

    /// The text of a span on one line.
    fn text(&self, span: Span) -> String {
        let text = self.sources.text(span);
        match text.split_once('\n') {
            Some((first, _)) => format!("{} …", first.trim_end()),
            None => text.to_owned(),
        }
    }

    fn human(
        &self,
        compilation: &Compilation,
        environment: &EnvironmentId,
        object: &Object,
        values: &[Resolved<'_>],
    ) -> String {
        let look = look(Stream::Out);
        let width = look.width.min(plain::MAX_WIDTH);
        let declared = compilation.provenance.exact(&object.path);
        let at = declared.map_or_else(String::new, |origin| {
            format!(", declared at {}", self.place(origin.span))
        });
        let title = format!("{} in {environment}", object.name);
        let head = format!("{title}: {}{at}", object.kind.name());
        let mut out =
            plain::wrap(&head, width, "", "  ").replacen(&title, &plain::bold(&title, look), 1);
        out.push('\n');
        for value in values {
            let last = value.path.last().copied().unwrap_or_default();
            let names: Vec<&str> = value
                .path
                .iter()
                .map(|name| object::source_name(name))
                .collect();
            let told = object::told(last, value.value);
            let line = format!("{}: {told}", names.join("/"));
            // Writing to a string cannot fail.
            let _ = writeln!(out, "\n{}", plain::wrap(&line, width, "", "  "));
            for link in value.origin.chain.iter() {
                let step = format!("{} {}", self.place(link.span), link.text);
                let _ = writeln!(out, "{}", plain::wrap(&step, width, "    ", "      "));
            }
            let written = self.text(value.origin.span);
            let set = format!("{} set to `{written}`", self.place(value.origin.span));
            let _ = writeln!(out, "{}", plain::wrap(&set, width, "    ", "      "));
        }
        out
    }

    fn json(
        &self,
        environment: &EnvironmentId,
        object: &Object,
        values: &[Resolved<'_>],
    ) -> String {
        let place = |span: Span| {
            let Position { line, column } = self.positions.of(span);
            json!({
                "path": self.sources.path(span.file),
                "line": line,
                "column": column,
                "text": self.sources.text(span),
            })
        };
        let values: Vec<Value> = values
            .iter()
            .map(|value| {
                let chain = value.origin.chain.iter().map(|link| {
                    let mut step = place(link.span);
                    if let Value::Object(fields) = &mut step {
                        fields.insert("step".to_owned(), json!(link.text));
                    }
                    step
                });
                json!({
                    "path": value.path,
                    "value": value.value,
                    "set": place(value.origin.span),
                    "chain": chain.collect::<Vec<_>>(),
                })
            })
            .collect();
        let value = json!({
            "version": 1,
            "environment": environment,
            "object": object.name,
            "kind": object.kind.name(),
            "values": values,
        });
        format!("{value:#}\n")
    }
}
