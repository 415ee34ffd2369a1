//! Owns `seawall completions` and `seawall man`: what shells and `man` know of the command line, made from its one
//! description in the parent module.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;
use super::failure::Failure;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

const INSTALL: &str = "\
Install:
  bash  seawall completions bash > ~/.local/share/bash-completion/completions/seawall
  zsh   seawall completions zsh > ~/.zfunc/_seawall      with `fpath+=~/.zfunc` before compinit
  fish  seawall completions fish > ~/.config/fish/completions/seawall.fish";

#[derive(Args)]
#[command(after_help = INSTALL)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args)]
pub struct Man {
    /// Folder to write into: seawall.1 and a page for each command
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Completions {
    pub fn run(self) {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "seawall", &mut text);
        print(Stream::Out, &String::from_utf8_lossy(&text));
    }
}

impl Man {
    pub fn run(self) -> Result<(), Failure> {
        let mut command = Arguments::command();
        command.build();
        let mut open = vec![command];
        while let Some(command) = open.pop() {
            let path = self.out.join(format!("{}.1", name(&command)));
            let mut page = Vec::new();
            let manual = clap_mangen::Man::new(command.clone()).title(name(&command));
            manual
                .render(&mut page)
                .map_err(|error| Failure::unwritable(&path, &error))?;
            files::write(&path, &page, Mode::Public)
                .map_err(|error| Failure::unwritable(&path, &error))?;
            print(Stream::Out, &format!("{}\n", path.display()));
            let below = command.get_subcommands();
            open.extend(below.filter(|below| below.get_name() != "help").cloned());
        }
        Ok(())
    }
}

/// `seawall-trust-init` for `seawall trust init`.
fn name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}
