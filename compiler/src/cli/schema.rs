//! Owns `seawall schema`: the JSON Schemas of the source documents and of what commands print as JSON, as files, generated and
//! compared. The schemas themselves come from the types in `kinds`, `render::json`, `render::proved`, `difference::json` and
//! `attest::json`.

use std::path::PathBuf;

use clap::Args;
use contract::code;

use super::failure::Failure;
use crate::attest;
use crate::difference;
use crate::kinds::Kind;
use crate::render::{json, proved};
use crate::schema::json_schema;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

/// No schema is larger.
const MAX_SCHEMA_BYTES: u64 = 16 << 20;

#[derive(Args)]
pub struct Schema {
    /// Kinds of documents, such as BackupPlan; Findings, Difference, Report and Proofs for what `check`, `diff`, `report` and
    /// `prove` print as JSON [default: all]
    #[arg(value_name = "KIND", value_parser = subject)]
    subjects: Vec<Subject>,
    /// Write a file for each kind into this folder, such as backup-plan.json, instead of printing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; fail when a file in the folder is not what would be written
    #[arg(long, requires = "out")]
    check: bool,
}

/// What a schema is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Document(Kind),
    Findings,
    Difference,
    Report,
    Proofs,
}

impl Subject {
    fn all() -> Vec<Self> {
        let documents = Kind::ALL.iter().copied().map(Self::Document);
        documents
            .chain([Self::Findings, Self::Difference, Self::Report, Self::Proofs])
            .collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Document(kind) => kind.name(),
            Self::Findings => "Findings",
            Self::Difference => "Difference",
            Self::Report => "Report",
            Self::Proofs => "Proofs",
        }
    }

    fn file_name(self) -> String {
        match self {
            Self::Document(kind) => kind.file_name(),
            Self::Findings => json::SCHEMA_FILE.to_owned(),
            Self::Difference => difference::json::SCHEMA_FILE.to_owned(),
            Self::Report => attest::json::SCHEMA_FILE.to_owned(),
            Self::Proofs => proved::SCHEMA_FILE.to_owned(),
        }
    }

    fn schema(self) -> serde_json::Value {
        match self {
            Self::Document(kind) => json_schema(kind),
            Self::Findings => json::schema(),
            Self::Difference => difference::json::schema(),
            Self::Report => attest::json::schema(),
            Self::Proofs => proved::schema(),
        }
    }
}

fn subject(text: &str) -> Result<Subject, String> {
    let all = Subject::all();
    let known = all.iter().copied().find(|subject| subject.name() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|subject| subject.name()).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

impl Schema {
    pub fn run(self) -> Result<(), Failure> {
        let subjects = if self.subjects.is_empty() {
            Subject::all()
        } else {
            self.subjects
        };
        let mut stale = Vec::new();
        for subject in subjects {
            let text = format!("{:#}\n", subject.schema());
            let Some(out) = &self.out else {
                print(Stream::Out, &text);
                continue;
            };
            let path = out.join(subject.file_name());
            let stands = files::read_if_present(&path, MAX_SCHEMA_BYTES)
                .map_err(|error| Failure::unreadable(&path, &error))?;
            if stands.as_deref() == Some(text.as_bytes()) {
                continue;
            }
            if self.check {
                stale.push(format!("`{}`", path.display()));
            } else {
                files::write(&path, text.as_bytes(), Mode::Public)
                    .map_err(|error| Failure::unwritable(&path, &error))?;
            }
        }
        if !stale.is_empty() {
            return Err(Failure::failed(
                code::SCHEMA_STALE,
                format!("not what the types say: {}", stale.join(", ")),
                "run `seawall schema --out schemas` and commit the result",
            ));
        }
        Ok(())
    }
}
