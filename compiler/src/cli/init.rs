//! Owns `seawall init`: a small working policy tree in an empty folder. Never touches a folder that has something in it.

use std::path::PathBuf;

use clap::Args;
use contract::code;
use include_dir::{Dir, include_dir};

use super::failure::Failure;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};
use crate::world::tree;

static STARTER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/starter");

#[derive(Args)]
pub struct Init {
    /// An empty or new folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl Init {
    pub fn run(self) -> Result<(), Failure> {
        let empty = tree::is_empty(&self.folder)
            .map_err(|error| Failure::unreadable(&self.folder, &error))?;
        if !empty {
            return Err(Failure::failed(
                code::FILE_EXISTS,
                format!("`{}` is not empty", self.folder.display()),
                "give a new or empty folder",
            ));
        }
        for file in STARTER.files() {
            let path = self.folder.join(file.path());
            files::create(&path, file.contents(), Mode::Public)
                .map_err(|error| Failure::unwritable(&path, &error))?;
            print(Stream::Out, &format!("{}\n", path.display()));
        }
        print(
            Stream::Err,
            &format!("next: seawall check {}\n", self.folder.display()),
        );
        Ok(())
    }
}
