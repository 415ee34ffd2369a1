//! Owns `seawalld completions` and `seawalld man`: what shells and `man` know of the command line, made from its one description in
//! the parent module.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use contract::code;

use super::{Arguments, print, print_as};
use crate::failure::Failure;

/// The completions of one shell on standard output.
pub fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "seawalld", &mut text);
    print_as(String::from_utf8_lossy(&text).trim_end()).map(|()| 0)
}

/// A page for each command.
pub fn man(out: &Path) -> Result<u8, Failure> {
    let mut command = Arguments::command();
    command.build();
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        let path = out.join(format!("{}.1", name(&command)));
        write(&command, &path).map_err(|error| {
            Failure::new(
                code::CONFIG_UNREADABLE,
                format!("`{}` cannot be written: {error}", path.display()),
                "name a folder that exists and that you can write to",
            )
        })?;
        print(&path.display().to_string())?;
        let below = command.get_subcommands();
        open.extend(below.filter(|below| below.get_name() != "help").cloned());
    }
    Ok(0)
}

fn write(command: &Command, path: &PathBuf) -> std::io::Result<()> {
    let mut page = Vec::new();
    let manual = clap_mangen::Man::new(command.clone()).title(name(command));
    manual.render(&mut page)?;
    std::fs::write(path, page)
}

/// `seawalld-receipts-verify` for `seawalld receipts verify`.
fn name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}
