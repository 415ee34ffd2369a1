//! Owns `seawall docs`: the documentation of a policy and of the rules as files. What they say is in `docs`.

use std::path::PathBuf;

use clap::Args;
use contract::id::EnvironmentId;

use super::failure::{self, Failure};
use super::{compiled, environment};
use crate::diagnostic::has_errors;
use crate::docs::{policy, rules};
use crate::facts;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

#[derive(Args)]
pub struct Docs {
    /// Folder of the policy tree
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// The environment
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: EnvironmentId,
    /// Folder to write into: <OUT>/<ENV>.html about the policy, <OUT>/rules.html about the rules
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder with an organisation's own rules, documented beside the built-in ones
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
}

impl Docs {
    pub fn run(self) -> Result<(), Failure> {
        let (known, invalid) = compiled::rules(self.rules.as_deref())?;
        if has_errors(&invalid) {
            failure::tell(invalid);
            return Err(Failure::Told);
        }
        let (sources, compilation) = compiled::tree(&self.folder, &self.environment)?;
        let Some(model) = &compilation.model else {
            return Err(Failure::Told);
        };
        let page = policy::page(&policy::Documented {
            compilation: &compilation,
            model,
            proven: &facts::facts(model, None),
            sources: &sources,
            positions: sources.positions(),
        });
        // An environment named `rules` would overwrite the other page.
        let name = format!("{}.html", self.environment);
        let other = if name == "rules.html" {
            "built-in-rules.html"
        } else {
            "rules.html"
        };
        for (name, text) in [(name.as_str(), page), (other, rules::page(&known))] {
            let path = self.out.join(name);
            files::write(&path, text.as_bytes(), Mode::Public)
                .map_err(|error| Failure::unwritable(&path, &error))?;
            print(Stream::Out, &format!("{}\n", path.display()));
        }
        Ok(())
    }
}
