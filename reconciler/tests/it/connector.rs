//! Connectors against real things: what is taken, what is refused, what comes back.

mod files;
mod jsonl;
mod limits;
mod postgres;
mod postgres_hostile;
mod postgres_partial;
mod sqlite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reconciler::world::connector::{
    self, Binding, Bounds, Cancel, ConnectorError, FilesBinding, Finished, JsonlBinding, Material,
    Mode, Prepared, SqliteBinding,
};
use serde_json::Value;
use tempfile::TempDir;

pub fn bounds() -> Bounds {
    Bounds::within(Duration::from_mins(2), Cancel::new())
}

fn files_at(path: &Path) -> FilesBinding {
    FilesBinding {
        path: path.to_owned(),
        exclude: vec![],
        checksums: None,
        allow_empty: false,
        run_as: None,
    }
}

fn jsonl_at(path: &Path) -> JsonlBinding {
    JsonlBinding {
        path: path.to_owned(),
        include: vec![],
        rotates: false,
        append_only_epoch: 0,
        run_as: None,
    }
}

fn sqlite_at(path: &Path) -> Binding {
    Binding::Sqlite(SqliteBinding {
        path: path.to_owned(),
        allow_empty: false,
        run_as: None,
    })
}

/// A scratch folder with an empty `live` folder in it.
struct Scratch {
    root: TempDir,
    live: PathBuf,
    spools: AtomicU64,
}

impl Scratch {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let live = root.path().join("live");
        fs::create_dir(&live).unwrap();
        Self {
            root,
            live,
            spools: AtomicU64::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn prepare(
        &self,
        binding: &Binding,
        previous: Option<&Value>,
    ) -> Result<Prepared, ConnectorError> {
        let spool = self.path(&format!(
            "spool-{}",
            self.spools.fetch_add(1, Ordering::SeqCst)
        ));
        connector::prepare(binding, previous, &spool, &bounds())
    }

    fn backup(
        &self,
        binding: &Binding,
        previous: Option<&Value>,
    ) -> Result<Finished, ConnectorError> {
        let prepared = self.prepare(binding, previous)?;
        connector::finish(binding, prepared, &bounds())
    }
}

fn restore(
    binding: &Binding,
    from: &Path,
    mode: &Mode,
) -> Result<connector::RestoreSummary, ConnectorError> {
    connector::restore(
        binding,
        Material {
            folder: from,
            manifest: None,
        },
        mode,
        &bounds(),
    )
}

fn side_by_side(target: &Path) -> Mode {
    Mode::SideBySide {
        target: target.to_str().unwrap().to_owned(),
    }
}

fn same_tree(left: &Path, right: &Path) {
    let output = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(left)
        .arg(right)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
