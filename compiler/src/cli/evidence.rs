//! Owns how receipts come to a command: exported logs, held against the keys that a pinned trust root lists. Decides nothing
//! about recovery; what receipts show is gathered in `contract::evidence`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use contract::code;
use contract::digest::Digest;
use contract::evidence::Evidence;
use contract::id::EnvironmentId;
use contract::receipt::{Authority, Checkpoint, LogFault, Origin, VerifiedLog};
use contract::seal::{self, Pin, Refusal, TrustRoot};
use jiff::Timestamp;

use super::failure::Failure;
use super::published;
use crate::diagnostic::Diagnostic;
use crate::render::count;
use crate::world::files;
use crate::world::terminal::{Stream, print};

/// Half a million receipts; a log is read whole, and more would not fit beside a policy.
const MAX_LOG_BYTES: u64 = 1 << 30;

/// A note of a few lines.
const MAX_NOTE_BYTES: u64 = 1 << 20;

/// Receipts that a policy is held against.
#[derive(Args)]
pub struct Receipts {
    /// Hold the policy against receipts: a folder that `seawalld receipts export` wrote; repeat for each reconciler
    #[arg(long = "evidence", value_name = "DIR", requires_all = ["published", "root"])]
    folders: Vec<PathBuf>,
    /// Folder of published bundles, whose `trust` lists the keys of reconcilers
    #[arg(long, value_name = "DIR", requires = "folders")]
    published: Option<PathBuf>,
    /// SHA-256 of the payload of a trust root, as `seawall trust init` printed it
    #[arg(long, value_name = "SHA256", requires = "folders")]
    root: Option<Digest>,
}

/// What verified receipts show, by environment.
pub type Shown = BTreeMap<EnvironmentId, Evidence>;

impl Receipts {
    /// Reads and verifies all logs. Each must be of one of these environments: what is given and not used would seem to be.
    pub fn read(&self, environments: &[EnvironmentId], at: Timestamp) -> Result<Shown, Failure> {
        let mut shown = Shown::new();
        let (Some(published), Some(root_sha256)) = (&self.published, self.root) else {
            return Ok(shown);
        };
        let root = seal::open_roots(&published::roots(published)?, &Pin { root_sha256 })?;
        if at >= root.expires_at {
            return Err(Failure::from(Refusal::RootExpired {
                version: root.version,
                expires_at: root.expires_at,
            }));
        }
        let mut seen = BTreeSet::new();
        for folder in &self.folders {
            let log = read(folder, "receipts.jsonl", MAX_LOG_BYTES)?;
            let note = read(folder, "checkpoint", MAX_NOTE_BYTES)?;
            let origin = Checkpoint::claimed_origin(&note)
                .map_err(|fault| refused(folder, &LogFault::Whole(fault)))?;
            if !environments.contains(&origin.environment) {
                return Err(other_environment(folder, &origin, environments));
            }
            if !seen.insert(origin.clone()) {
                return Err(Failure::Usage(Box::new(
                    Diagnostic::error(
                        code::ARGUMENTS_CONTRADICT,
                        format!("`{}` is a second log of `{origin}`", folder.display()),
                    )
                    .help("give the newest export of each reconciler, and no other"),
                )));
            }
            let of = shown
                .entry(origin.environment.clone())
                .or_insert_with(|| Evidence::new(at));
            let authority = authority(&root, origin);
            let verified = of
                .add(&log, &note, &authority)
                .map_err(|fault| refused(folder, &fault))?;
            tell(&authority.origin, &verified);
        }
        Ok(shown)
    }
}

fn authority(root: &TrustRoot, origin: Origin) -> Authority {
    Authority {
        keys: root.reconciler_keys(&origin.environment, &origin.reconciler_id),
        origin,
    }
}

fn read(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let path = folder.join(name);
    files::read(&path, limit).map_err(|error| {
        let told = Diagnostic::error(
            code::FILE_UNREADABLE,
            format!("`{}` cannot be read: {error}", path.display()),
        );
        Failure::Environment(Box::new(
            told.help("give a folder that `seawalld receipts export --out DIR` wrote"),
        ))
    })
}

fn refused(folder: &Path, fault: &LogFault) -> Failure {
    Failure::refused(
        fault.code(),
        format!("receipts in `{}`: {fault}", folder.display()),
        fault.help(),
    )
}

fn other_environment(folder: &Path, origin: &Origin, judged: &[EnvironmentId]) -> Failure {
    let judged: Vec<String> = judged.iter().map(|id| format!("`{id}`")).collect();
    let told = Diagnostic::error(
        code::ARGUMENTS_CONTRADICT,
        format!(
            "the receipts in `{}` are of `{origin}`, which is not judged here",
            folder.display()
        ),
    );
    let help = format!(
        "judged are {}: leave them out, or change `--env`",
        judged.join(", ")
    );
    Failure::Usage(Box::new(told.help(help)))
}

fn tell(origin: &Origin, verified: &VerifiedLog) {
    let ledger = &verified.ledger;
    let size = usize::try_from(ledger.size()).unwrap_or(usize::MAX);
    let newest = ledger
        .newest()
        .map_or_else(String::new, |newest| format!(", the newest of {newest}"));
    let told = format!(
        "ok: {} of `{origin}` hold{newest}; the checkpoint covers {}\n",
        count(size, "receipt"),
        verified.covered
    );
    print(Stream::Err, &told);
}
