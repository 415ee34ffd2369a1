//! Connectors: one border behind which files, JSON lines, SQLite and PostgreSQL are read for a backup and written in a restore.
//!
//! A backup is [`prepare`], then the vault reads [`Prepared::source`], then [`finish`] judges, and only a
//! [`Verdict::Complete`] may pass the snapshot gate as a whole recovery point. Connectors decide no policy, keep no state
//! and never delete live data: an in-place restore keeps what it replaced. All calls block; call them from a thread of
//! their own. The interesting functions are [`prepare`], [`finish`] and [`restore`].

mod binding;
mod bounds;
mod error;
mod files;
mod jsonl;
mod live;
mod manifest;
mod postgres;
mod profile;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail by panicking"
)]
mod races;
mod selection;
mod sqlite;
mod target;
mod tree;
mod walk;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::{InPlace, Manifest, Observation};
pub use crate::world::cancel::Cancel;
use crate::world::folder::Identity;
pub use binding::{
    Binding, FilesBinding, JsonlBinding, PostgresBinding, SqliteBinding, SuperuserWork,
    ValidationQuery,
};
pub use bounds::Bounds;
use contract::code::{self, Code};
use contract::model::{Capability, Consistency};
pub use error::ConnectorError;
use jiff::Timestamp;
pub use profile::of as profile;
pub use selection::Excludes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub(crate) use walk::{Found, Item, Walk};

/// A connector that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Files,
    Jsonl,
    Sqlite,
    Postgres,
}

impl Kind {
    /// Every connector of this version.
    pub const ALL: [Self; 4] = [Self::Files, Self::Jsonl, Self::Sqlite, Self::Postgres];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "files",
            Self::Jsonl => "jsonl",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// The ways back that a connector knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RestoreModes {
    pub in_place: bool,
    pub side_by_side: bool,
    pub export_only: bool,
}

/// What a connector can do; policy that relies on more is `Stalled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    pub connector: Kind,
    pub backup: bool,
    pub restore: RestoreModes,
    pub validate: bool,
    pub observe: bool,
    pub quiesce: bool,
    pub resume: bool,
    pub expire: bool,
    pub promote: bool,
    pub fence: bool,
    pub rewind: bool,
    pub switch: bool,
    /// Whether a run reads only what changed since the recovery point before.
    pub incremental: bool,
    pub consistency: Consistency,
    /// The instant that one recovery point shows, in words.
    pub consistency_point: &'static str,
}

impl Capabilities {
    /// What policy may rely on, in the words of the model.
    pub fn declared(&self) -> BTreeSet<Capability> {
        let all = [
            (Capability::Backup, self.backup),
            (Capability::Incremental, self.incremental),
            (Capability::RestoreInPlace, self.restore.in_place),
            (Capability::RestoreSideBySide, self.restore.side_by_side),
            (Capability::RestoreExport, self.restore.export_only),
            (Capability::Validate, self.validate),
            (Capability::Observe, self.observe),
        ];
        all.into_iter()
            .filter_map(|(capability, can)| can.then_some(capability))
            .collect()
    }
}

/// One entry of the source that could not be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Relative to the source, non-UTF-8 bytes as `%XX`.
    pub path: String,
    pub why: String,
}

/// A source that is ready to be read by the vault.
#[derive(Debug)]
pub struct Prepared {
    /// The folder to read: the live one, or one in the spool that holds a fresh dump.
    pub source: PathBuf,
    /// Which folder that was when it was opened; none for one in the spool.
    pub identity: Option<Identity>,
    /// The user that reads it; none for this process's own.
    pub run_as: Option<String>,
    /// Whether names, sizes and times of unchanged files stay from run to run. When false, the vault must not match
    /// files with an earlier recovery point by their metadata.
    pub stable: bool,
    /// Everything committed at the source before this instant is in the backup.
    pub consistency_point: Timestamp,
    /// Bytes and regular files counted in `source`; live files may have grown when they are read.
    pub expected_bytes: u64,
    pub expected_items: u64,
    /// Present when the connector made the files.
    pub manifest: Option<Manifest>,
    /// What the vault's walk leaves out.
    pub excludes: Excludes,
    /// What is already known to be missing; any makes the verdict partial.
    pub problems: Vec<Problem>,
    /// Why a person must look, although everything is stored: the point is kept and not good until then.
    pub doubts: Vec<ConnectorError>,
    /// What a reader of the receipt should know; nothing here is a failure.
    pub notes: Vec<String>,
    pub(crate) after: After,
}

/// What [`finish`] has to look at again.
#[derive(Debug)]
pub(crate) enum After {
    /// The live folder must still be the one that was walked.
    Folder { path: PathBuf, identity: Identity },
    /// The live files must still begin with what was copied.
    Prefixes { copied: jsonl::Copied },
    /// The spool must still hold what the connector wrote.
    Spool,
}

/// The judgement on what the vault has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that belongs to the dataset was offered to the vault.
    Complete,
    /// Something was left out; never a good recovery point.
    Partial { problems: Vec<Problem> },
}

impl Verdict {
    /// The code of a verdict that is not good.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Complete => None,
            Self::Partial { .. } => Some(code::SOURCE_PARTIAL),
        }
    }
}

/// The end of a backup's source side.
#[derive(Debug)]
pub struct Finished {
    pub verdict: Verdict,
    /// To be stored with the recovery point once it is committed, and handed to the next [`prepare`].
    pub state: Option<Value>,
    /// Why the point of this source is not good until a person has looked, although the verdict is.
    pub doubt: Option<String>,
    pub notes: Vec<String>,
}

/// What the vault restored and verified.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The dataset's folder of the recovery point.
    pub folder: &'a Path,
    /// The manifest of the backup, where there is one.
    pub manifest: Option<&'a Manifest>,
}

/// Where a restore goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What the backup holds, as files, into a folder that is empty or does not exist.
    ExportOnly { folder: PathBuf },
    /// Usable beside the original: a folder, a database file, or the name of a new database on the same server.
    SideBySide { target: String },
    /// Over the original, which is kept aside under a name with `restore_id`. Only for approved operations.
    InPlace { restore_id: String },
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSummary {
    /// Where the data are now.
    pub target: String,
    /// Files, or tables of a database.
    pub items: u64,
    pub bytes: u64,
    pub checks: Vec<Check>,
    /// Where an in-place restore kept what it replaced.
    pub kept: Option<String>,
    pub notes: Vec<String>,
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed { detail: String },
    Failed { detail: String },
}

impl Outcome {
    /// What was found, either way.
    pub fn detail(&self) -> &str {
        match self {
            Self::Passed { detail } | Self::Failed { detail } => detail,
        }
    }
}

impl Check {
    pub(crate) fn passed(name: &str, detail: String) -> Self {
        Self {
            name: name.to_owned(),
            outcome: Outcome::Passed { detail },
        }
    }

    pub(crate) fn failed(name: &str, detail: String) -> Self {
        Self {
            name: name.to_owned(),
            outcome: Outcome::Failed { detail },
        }
    }

    pub fn has_passed(&self) -> bool {
        match self.outcome {
            Outcome::Passed { .. } => true,
            Outcome::Failed { .. } => false,
        }
    }
}

/// What [`validate`] looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The live data of the binding.
    Live,
    /// A restored folder; for SQLite also the database file itself, for PostgreSQL a dump.
    Path(PathBuf),
    /// A restored database on the binding's server.
    Database(String),
}

/// How a source looks now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// Live bytes.
    pub bytes: Observation<u64>,
    /// When it last changed, as far as the platform tells.
    pub newest_change: Observation<Timestamp>,
    pub fingerprint: Observation<Fingerprint>,
}

/// The identity of live data. A restore target with the same one is production.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the built-in connector of this kind can do.
pub fn capabilities(kind: Kind) -> Capabilities {
    let (in_place, consistency, consistency_point) = match kind {
        Kind::Files => (true, Consistency::File, "start of the walk"),
        Kind::Jsonl => (false, Consistency::Record, "offset of the last whole line"),
        Kind::Sqlite => (
            false,
            Consistency::Transaction,
            "start of the read transaction",
        ),
        Kind::Postgres => (
            true,
            Consistency::Transaction,
            "start of the dump's snapshot",
        ),
    };
    Capabilities {
        connector: kind,
        backup: true,
        restore: RestoreModes {
            in_place,
            side_by_side: true,
            export_only: true,
        },
        validate: true,
        observe: true,
        quiesce: false,
        resume: false,
        expire: false,
        promote: false,
        fence: false,
        rewind: false,
        switch: false,
        incremental: kind == Kind::Files,
        consistency,
        consistency_point,
    }
}

/// Makes the source ready to be read, dumping it into `spool` where needed.
///
/// `spool` is private to this run: it is created when missing, and the caller removes it afterwards. `previous` is the
/// state of the last committed recovery point, as [`Finished::state`] gave it.
pub fn prepare(
    binding: &Binding,
    previous: Option<&Value>,
    spool: &Path,
    bounds: &Bounds,
) -> Result<Prepared, ConnectorError> {
    binding.check()?;
    match binding {
        Binding::Files(files) => files::prepare(files, bounds),
        Binding::Jsonl(jsonl) => jsonl::prepare(jsonl, previous, spool, bounds),
        Binding::Sqlite(sqlite) => sqlite::prepare(sqlite, spool, bounds),
        Binding::Postgres(postgres) => postgres::prepare(postgres, spool, bounds),
    }
}

/// Judges the source after the vault has read everything and before the snapshot passes the gate.
pub fn finish(
    binding: &Binding,
    prepared: Prepared,
    bounds: &Bounds,
) -> Result<Finished, ConnectorError> {
    let mut notes = prepared.notes;
    let state = match prepared.after {
        After::Folder { path, identity } => {
            files::same_folder(&path, &identity, binding.owner()?.as_ref())?;
            None
        }
        After::Prefixes { copied } => {
            tree::same_spool(&prepared.source, prepared.manifest.as_ref())?;
            Some(jsonl::finish(binding, &copied, &mut notes, bounds)?)
        }
        After::Spool => {
            tree::same_spool(&prepared.source, prepared.manifest.as_ref())?;
            None
        }
    };
    let verdict = if prepared.problems.is_empty() {
        Verdict::Complete
    } else {
        Verdict::Partial {
            problems: prepared.problems,
        }
    };
    let doubt = prepared
        .doubts
        .first()
        .map(|first| match prepared.doubts.len() {
            1 => format!("{} {first}", first.code()),
            count => format!("{} {first}, the first of {count}", first.code()),
        });
    Ok(Finished {
        verdict,
        state,
        doubt,
        notes,
    })
}

/// Whether a connector of this kind restores in a mode at all; asked before anything begins.
pub fn can_restore(kind: Kind, mode: &Mode) -> Result<(), ConnectorError> {
    let can = capabilities(kind).restore;
    let (fits, mode) = match mode {
        Mode::ExportOnly { .. } => (can.export_only, "as an export"),
        Mode::SideBySide { .. } => (can.side_by_side, "side by side"),
        Mode::InPlace { .. } => (can.in_place, "in place"),
    };
    if fits {
        Ok(())
    } else {
        Err(ConnectorError::ModeUnsupported {
            connector: kind,
            mode,
        })
    }
}

/// Brings back what the vault restored. On an error production is as it was, and nothing half-made is left to be taken for good.
pub fn restore(
    binding: &Binding,
    material: Material<'_>,
    mode: &Mode,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    binding.check()?;
    match mode {
        Mode::ExportOnly { folder } => target::export(binding, material, folder, bounds),
        Mode::SideBySide { target: to } => match binding {
            Binding::Files(_) | Binding::Jsonl(_) => {
                target::export(binding, material, Path::new(to), bounds)
            }
            Binding::Sqlite(sqlite) => sqlite::restore(sqlite, material, Path::new(to), bounds),
            Binding::Postgres(postgres) => postgres::side_by_side(postgres, material, to, bounds),
        },
        Mode::InPlace { restore_id } => match binding {
            Binding::Files(files) => files::restore_in_place(files, material, restore_id, bounds),
            Binding::Jsonl(_) | Binding::Sqlite(_) => Err(ConnectorError::ModeUnsupported {
                connector: binding.kind(),
                mode: "in place",
            }),
            Binding::Postgres(postgres) => {
                postgres::in_place(postgres, material, restore_id, bounds)
            }
        },
    }
}

/// How far an in-place restore has got whose outcome was lost. `Absent` means no trace: it never began, or it filled a place
/// that was empty. Changes nothing; running the same restore again ends one that is not done.
pub fn probe_in_place(
    binding: &Binding,
    restore_id: &str,
    bounds: &Bounds,
) -> Observation<InPlace> {
    let seen = match binding {
        Binding::Files(files) => files::probe(files, restore_id),
        Binding::Postgres(postgres) => postgres::probe(postgres, restore_id, bounds),
        Binding::Jsonl(_) | Binding::Sqlite(_) => Err(ConnectorError::ModeUnsupported {
            connector: binding.kind(),
            mode: "in place",
        }),
    };
    match seen {
        Ok(Some(value)) => Observation::Known {
            value,
            at: Timestamp::now(),
        },
        Ok(None) => Observation::Absent {
            at: Timestamp::now(),
        },
        Err(error) => Observation::Unknown {
            why: error.to_string(),
        },
    }
}

/// Looks whether a target holds what it should: checksums, integrity, whole lines, validation queries.
pub fn validate(
    binding: &Binding,
    target: &Target,
    manifest: Option<&Manifest>,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    binding.check()?;
    match binding {
        Binding::Files(files) => files::validate(&path_of(target, &files.path)?, manifest, bounds),
        Binding::Jsonl(jsonl) => {
            jsonl::validate(jsonl, &path_of(target, &jsonl.path)?, manifest, bounds)
        }
        Binding::Sqlite(sqlite) => {
            sqlite::validate(sqlite, &path_of(target, &sqlite.path)?, bounds)
        }
        Binding::Postgres(postgres) => postgres::validate(postgres, target, manifest, bounds),
    }
}

/// How the source looks now. Never fails: what cannot be seen is `Unknown` with its reason.
pub fn observe(binding: &Binding, bounds: &Bounds) -> SourceView {
    match binding {
        Binding::Files(files) => live::observe(&files.path, bounds),
        Binding::Jsonl(jsonl) => live::observe(&jsonl.path, bounds),
        Binding::Sqlite(sqlite) => sqlite::observe(sqlite, bounds),
        Binding::Postgres(postgres) => postgres::observe(postgres, bounds),
    }
}

/// The rights at the source that a backup and a restore will need, found ahead of time: what is there, or the error that its
/// absence will be. Changes nothing.
pub fn rights(binding: &Binding, bounds: &Bounds) -> Vec<Result<String, ConnectorError>> {
    match binding {
        Binding::Files(_) | Binding::Jsonl(_) | Binding::Sqlite(_) => Vec::new(),
        Binding::Postgres(postgres) => postgres::rights(postgres, bounds),
    }
}

/// The identity of the live data.
pub fn fingerprint(binding: &Binding, bounds: &Bounds) -> Result<Fingerprint, ConnectorError> {
    match binding {
        Binding::Files(files) => live::fingerprint(&files.path),
        Binding::Jsonl(jsonl) => live::fingerprint(&jsonl.path),
        Binding::Sqlite(sqlite) => live::fingerprint(&sqlite.path),
        Binding::Postgres(postgres) => postgres::fingerprint(postgres, bounds),
    }
}

/// The path of a binding's live data, where it has one.
pub fn live_path(binding: &Binding) -> Option<&Path> {
    match binding {
        Binding::Files(files) => Some(&files.path),
        Binding::Jsonl(jsonl) => Some(&jsonl.path),
        Binding::Sqlite(sqlite) => Some(&sqlite.path),
        Binding::Postgres(_) => None,
    }
}

fn path_of(target: &Target, live: &Path) -> Result<PathBuf, ConnectorError> {
    match target {
        Target::Live => Ok(live.to_owned()),
        Target::Path(path) => Ok(path.clone()),
        Target::Database(name) => Err(ConnectorError::TargetInvalid {
            target: name.clone(),
            detail: "this connector restores to a path, not to a database".to_owned(),
        }),
    }
}

fn unknown_view(why: &str) -> SourceView {
    SourceView {
        bytes: Observation::Unknown {
            why: why.to_owned(),
        },
        newest_change: Observation::Unknown {
            why: why.to_owned(),
        },
        fingerprint: Observation::Unknown {
            why: why.to_owned(),
        },
    }
}
