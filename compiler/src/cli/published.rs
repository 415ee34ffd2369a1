//! Owns the layout of a published folder on disk: the files of one environment and the trust roots beside it. Checks
//! nothing itself: who opens one goes through the doors of `contract::seal`.

use std::path::{Path, PathBuf};

use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::seal::{
    self, BUNDLE_FILE, Bundle, ENVELOPE_FILE, Expect, Inspected, PROVENANCE_FILE, Pin, Refusal,
    Role, Sealed, Verified,
};

use super::failure::Failure;
use crate::world::files;

/// Larger files are refused by `open`; this bound only keeps them out of memory.
const MAX_BYTES: u64 = 256 << 20;

/// The bytes of a published folder.
pub struct Published {
    /// `../trust/1.root.json`, `2.root.json` …
    pub roots: Vec<Vec<u8>>,
    /// `bundle.dsse.json`.
    pub envelope: Vec<u8>,
    /// `bundle.json`.
    pub bundle: Vec<u8>,
    /// `provenance.json`.
    pub provenance: Vec<u8>,
}

impl Published {
    /// Opens the bundle as a reconciler would that pinned this root.
    pub fn open(
        &self,
        environment: &EnvironmentId,
        root_sha256: Digest,
    ) -> Result<Verified<Bundle>, Refusal> {
        let sealed = Sealed {
            root_chain: &self.roots,
            envelope: &self.envelope,
            bundle: &self.bundle,
            provenance: &self.provenance,
        };
        let expect = Expect {
            environment,
            reconciler_id: None,
        };
        seal::open(&sealed, &Pin { root_sha256 }, &expect)
    }

    /// Checks what can be checked without trust: that the files belong together and speak of this environment.
    pub fn inspect(&self, environment: &EnvironmentId) -> Result<Inspected, Refusal> {
        let inspected = seal::inspect(&self.envelope, &self.bundle, &self.provenance)?;
        let found = &inspected.statement.environment;
        if found == environment {
            return Ok(inspected);
        }
        Err(Refusal::Environment {
            found: found.clone(),
            wanted: environment.clone(),
        })
    }
}

/// What to tell of a bundle that too few owners signed to weaken anything. Whether its readers take it depends on the bundle that they have.
pub fn lacks_owners(verified: &Verified<Bundle>) -> Option<String> {
    let environments = &verified.root().roles.environments;
    let roles = environments.get(&verified.statement().environment)?;
    let needed = roles.owner.weakening_threshold;
    let signed = verified.signed_by(Role::Owner).len() as u64;
    (signed < needed).then(|| {
        format!(
            "note: {signed} of {needed} owners signed: readers refuse it as their first bundle, and where it weakens what they have\n"
        )
    })
}

/// Reads a published folder; a missing file is an error of the environment, not of trust.
pub fn read(folder: &Path) -> Result<Published, Failure> {
    let file = |name: &str| {
        let path = folder.join(name);
        files::read(&path, MAX_BYTES).map_err(|error| Failure::unreadable(&path, &error))
    };
    Ok(Published {
        roots: roots(&above(folder))?,
        envelope: file(ENVELOPE_FILE)?,
        bundle: file(BUNDLE_FILE)?,
        provenance: file(PROVENANCE_FILE)?,
    })
}

/// The trust roots of a published repository, in order of version, up to the first that is missing.
pub fn roots(out: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut roots = Vec::new();
    loop {
        let path = out
            .join("trust")
            .join(format!("{}.root.json", roots.len() + 1));
        match files::read_if_present(&path, MAX_BYTES) {
            Ok(Some(bytes)) => roots.push(bytes),
            Ok(None) => return Ok(roots),
            Err(error) => return Err(Failure::unreadable(&path, &error)),
        }
    }
}

/// The folder that holds `trust` and the environments.
fn above(folder: &Path) -> PathBuf {
    folder
        .canonicalize()
        .ok()
        .and_then(|folder| folder.parent().map(Path::to_owned))
        .unwrap_or_else(|| folder.join(".."))
}
