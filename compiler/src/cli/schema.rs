//! Owns `seawall schema`: the JSON Schemas of the source documents as files, generated and compared. The schemas
//! themselves come from the types in `kinds`.

use std::path::PathBuf;

use clap::Args;
use contract::code;

use super::failure::Failure;
use crate::kinds::Kind;
use crate::schema::json_schema;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

/// No schema is larger.
const MAX_SCHEMA_BYTES: u64 = 16 << 20;

#[derive(Args)]
pub struct Schema {
    /// Kinds of documents, such as BackupPlan [default: all]
    #[arg(value_name = "KIND", value_parser = kind)]
    kinds: Vec<Kind>,
    /// Write a file for each kind into this folder, such as backup-plan.json, instead of printing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; fail when a file in the folder is not what would be written
    #[arg(long, requires = "out")]
    check: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.iter().copied().find(|kind| kind.name() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

impl Schema {
    pub fn run(self) -> Result<(), Failure> {
        let kinds = if self.kinds.is_empty() {
            Kind::ALL.to_vec()
        } else {
            self.kinds
        };
        let mut stale = Vec::new();
        for kind in kinds {
            let text = format!("{:#}\n", json_schema(kind));
            let Some(out) = &self.out else {
                print(Stream::Out, &text);
                continue;
            };
            let path = out.join(kind.file_name());
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
