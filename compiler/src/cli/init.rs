//! Owns `seawall init`: a small working policy tree in an empty folder, with the schemas that its documents name. Never
//! touches a folder that has something in it.

use std::path::PathBuf;

use clap::Args;
use contract::code;
use include_dir::{Dir, include_dir};

use super::failure::Failure;
use crate::kinds::Kind;
use crate::schema::json_schema;
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
        let put = |path: PathBuf, bytes: &[u8]| {
            let path = self.folder.join(path);
            files::create(&path, bytes, Mode::Public)
                .map_err(|error| Failure::unwritable(&path, &error))?;
            Ok::<_, Failure>(path)
        };
        let mut written = Vec::new();
        for file in STARTER.files() {
            written.push(put(file.path().to_owned(), file.contents())?);
        }
        for kind in Kind::ALL {
            let text = format!("{:#}\n", json_schema(*kind));
            let path = PathBuf::from("schemas").join(kind.file_name());
            written.push(put(path, text.as_bytes())?);
        }
        for path in written {
            print(Stream::Out, &format!("{}\n", path.display()));
        }
        print(Stream::Err, &next(&self.folder.display().to_string()));
        Ok(())
    }
}

/// What to do now, from reading to a failing check and its proof.
fn next(folder: &str) -> String {
    format!(
        "\
next:
  read {folder}/settings.yaml, then places, inventory and plans: their comments are a tour
  seawall check {folder}
  make a run every 8 hours instead of every hour in {folder}/settings.yaml, and check again
  seawall explain ds_documents {folder}
  seawall prove {folder} --env production
  seawall docs {folder} --env production --out site
"
    )
}
