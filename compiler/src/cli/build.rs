//! Owns `seawall build` and `seawall sign`: what stands in a published folder before and after. The statement itself is
//! made by `publish`. Writes nothing while there is an error finding, and the signed statement last.

use std::path::{Path, PathBuf};

use clap::Args;
use contract::calendar::Zones;
use contract::code::{self, Severity};
use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::seal::{
    self, BUNDLE_FILE, Bundle, BundlePredicate, ENVELOPE_FILE, Envelope, LastAccepted,
    PROVENANCE_FILE, PrivateKey, Refusal, Statement, TrustRoot, Verified, Weakening,
};
use jiff::Timestamp;

use super::failure::{self, Failure};
use super::published;
use super::{Tree, check, compiled, environment, keys};
use crate::alike::Alike;
use crate::compile;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::judge;
use crate::parse::parse;
use crate::publish::{self, Issue, Previous};
use crate::render::{self, human};
use crate::waivers;
use crate::world::clock;
use crate::world::files::{self, Mode};
use crate::world::git::{self, Commit};
use crate::world::terminal::{Stream, look, print};

/// No envelope that readers take is larger.
const MAX_ENVELOPE_BYTES: u64 = 16 << 20;

#[derive(Args)]
pub struct Build {
    #[command(flatten)]
    tree: Tree,
    /// The environment
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: EnvironmentId,
    /// Folder to publish into: writes <OUT>/<ENV>/bundle.json, provenance.json and bundle.dsse.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Private key to sign with; repeat for several signers, as the first bundle of an environment needs its owners
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
}

#[derive(Args)]
pub struct Sign {
    /// The published folder of one environment
    #[arg(value_name = "DIR/ENV")]
    folder: PathBuf,
    /// Private key to sign with; repeat for several
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
}

impl Build {
    pub fn run(self) -> Result<(), Failure> {
        let keys = private(&self.keys)?;
        let at = self.tree.at.unwrap_or_else(clock::now);
        let read = compiled::read(&self.tree.folder)?;
        let (rules, invalid) = compiled::rules(self.tree.rules.as_deref())?;
        let (sources, environment) = (&read.sources, &self.environment);
        let parsed = parse(sources);
        let alike = Alike::under(&rules, &parsed);
        // What happened never keeps a better policy from being published.
        let judged = judge::find(sources, &parsed, &alike, environment, &rules, (at, None));
        let findings = render::merge(vec![
            (None, read.diagnostics),
            (None, invalid),
            (Some(environment.clone()), judged.diagnostics),
        ]);
        let found: Vec<Diagnostic> = findings.iter().map(|f| f.diagnostic.clone()).collect();
        if !found.is_empty() {
            let environments = vec![environment.clone()];
            let report = check::report(&self.tree.folder, sources, environments, findings);
            print(Stream::Err, &human::render(&report, look(Stream::Err)));
        }
        if has_errors(&found) || judged.model.is_none() {
            return Err(nothing_written());
        }
        let compiled = compile::to_publish(parsed, sources, environment);
        let (Some(model), Some(sealed)) = (&compiled.model, &compiled.sealed) else {
            failure::tell(compiled.diagnostics);
            return Err(nothing_written());
        };
        let folder = self.out.join(self.environment.as_str());
        let roots = published::roots(&self.out)?;
        let count = |of: &dyn Fn(&&Diagnostic) -> bool| found.iter().filter(of).count() as u64;
        let issue = Issue {
            issued_at: at,
            previous: previous(&folder)?,
            trust_root_version: newest_version(&roots)?,
            source_commit: source_commit(&self.tree.folder),
            warnings: count(&|d| d.severity == Severity::Warning && d.waived_by.is_none()),
            waived: count(&|d| d.waived_by.is_some()),
            waivers: waivers::used(&found),
        };
        let predicate = publish::predicate(model, sealed, &rules, &issue)
            .map_err(|fault| *fault)
            .map_err(|fault| Failure::Failed(Box::new(fault)))?;
        let serial = predicate.serial;
        let statement = Statement::about_bundle(predicate, &sealed.bundle, &sealed.provenance);
        let payload = statement
            .to_payload()
            .map_err(|fault| Failure::from(Refusal::Statement(fault)))?;
        let identity = Digest::of(&payload);
        let envelope = Envelope::sign(payload, &keys.iter().collect::<Vec<_>>()).to_json();
        // What cannot be read says nothing of what its readers have.
        let before = opened(&self.out, &self.environment).ok();
        // The statement is written last: until then the folder speaks of the bundle before, and a reader that sees new
        // files under the old statement refuses them.
        put(&folder.join(BUNDLE_FILE), &sealed.bundle)?;
        put(&folder.join(PROVENANCE_FILE), &sealed.provenance)?;
        put(&folder.join(ENVELOPE_FILE), envelope.as_bytes())?;
        foretell(&self.out, &self.environment, before, at)?;
        print(
            Stream::Out,
            &format!(
                "{}  serial {serial}  statement {identity}\n",
                folder.display()
            ),
        );
        Ok(())
    }
}

impl Sign {
    pub fn run(self) -> Result<(), Failure> {
        let keys = private(&self.keys)?;
        let path = self.folder.join(ENVELOPE_FILE);
        let bytes = files::read(&path, MAX_ENVELOPE_BYTES)
            .map_err(|error| Failure::unreadable(&path, &error))?;
        let mut envelope = envelope(&bytes)?;
        Statement::<BundlePredicate>::from_payload(&envelope.payload)
            .map_err(|fault| Failure::from(Refusal::Statement(fault)))?;
        let before = envelope.verify(
            keys.iter()
                .map(PrivateKey::public)
                .collect::<Vec<_>>()
                .iter(),
        );
        for key in &keys {
            if !before.keys.contains(&key.public().key_id()) {
                envelope.add_signature(key);
            }
        }
        put(&path, envelope.to_json().as_bytes())?;
        print(
            Stream::Out,
            &format!(
                "{}  {} signatures\n",
                path.display(),
                envelope.signatures.len()
            ),
        );
        Ok(())
    }
}

fn nothing_written() -> Failure {
    print(Stream::Err, "nothing was written: errors stop signing\n");
    Failure::Told
}

fn private(paths: &[PathBuf]) -> Result<Vec<PrivateKey>, Failure> {
    paths.iter().map(|path| keys::private(path)).collect()
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    files::write(path, bytes, Mode::Public).map_err(|error| Failure::unwritable(path, &error))
}

fn envelope(bytes: &[u8]) -> Result<Envelope, Failure> {
    Envelope::from_json(bytes).map_err(|fault| {
        Failure::from(Refusal::Envelope {
            what: ENVELOPE_FILE.to_owned(),
            fault,
        })
    })
}

/// The statement that stands in the folder. One that cannot be read is no beginning of a new history: it is refused.
fn previous(folder: &Path) -> Result<Option<Previous>, Failure> {
    let path = folder.join(ENVELOPE_FILE);
    let Some(bytes) = files::read_if_present(&path, MAX_ENVELOPE_BYTES)
        .map_err(|error| Failure::unreadable(&path, &error))?
    else {
        return Ok(None);
    };
    let envelope = envelope(&bytes)?;
    let statement = Statement::<BundlePredicate>::from_payload(&envelope.payload)
        .map_err(|fault| Failure::from(Refusal::Statement(fault)))?;
    Ok(Some(Previous {
        serial: statement.predicate.serial,
        digest: Digest::of(&envelope.payload),
    }))
}

/// The version of the newest root that stands beside; 0 when there is none yet.
fn newest_version(roots: &[Vec<u8>]) -> Result<u64, Failure> {
    let Some(newest) = roots.last() else {
        failure::tell(vec![
            Diagnostic::warning(code::ROOT_MISSING, "no trust root stands beside the bundle").help(
                "make one with `seawall trust init`: without it no reader can open the bundle",
            ),
        ]);
        return Ok(0);
    };
    let malformed = |fault| {
        Failure::from(Refusal::RootMalformed {
            position: roots.len(),
            fault,
        })
    };
    let root =
        Statement::<TrustRoot>::from_payload(&envelope(newest)?.payload).map_err(malformed)?;
    Ok(root.predicate.version)
}

fn source_commit(folder: &Path) -> Option<String> {
    let note = |reason: &str| {
        print(
            Stream::Err,
            &format!("no source commit is recorded: {reason}\n"),
        );
        None
    };
    match git::commit(folder) {
        Ok(Commit::At(commit)) => Some(commit),
        Ok(Commit::NoRepository) => None,
        Ok(Commit::Uncommitted) => note("the tree has changes that no commit holds"),
        Err(error) => note(error.message()),
    }
}

/// What a folder holds for a reader that pinned its first root.
enum Found {
    /// No bundle yet, or no root that one could be opened with.
    Nothing,
    /// A bundle that readers take.
    Open(Box<Verified<Bundle>>),
    /// One that they refuse.
    Refused(Refusal),
}

fn opened(out: &Path, environment: &EnvironmentId) -> Result<Found, Failure> {
    let folder = out.join(environment.as_str());
    if !folder.join(ENVELOPE_FILE).exists() {
        return Ok(Found::Nothing);
    }
    let published = published::read(&folder)?;
    let Some(first) = published.roots.first() else {
        return Ok(Found::Nothing);
    };
    let pin = Digest::of(&envelope(first)?.payload);
    Ok(match published.open(environment, pin) {
        Ok(verified) => Found::Open(Box::new(verified)),
        Err(refusal) => Found::Refused(refusal),
    })
}

/// Opens what was written as a reader would that follows the bundle before, and says so now when it would be refused.
fn foretell(
    out: &Path,
    environment: &EnvironmentId,
    before: Option<Found>,
    at: Timestamp,
) -> Result<(), Failure> {
    let (new, last, old) = match (opened(out, environment)?, before) {
        // Whom it was written over refused is compared with nothing.
        (Found::Nothing, _) | (Found::Open(_), None | Some(Found::Refused(_))) => return Ok(()),
        (Found::Refused(refusal), _) => {
            warn(&refusal);
            return Ok(());
        }
        (Found::Open(new), Some(Found::Nothing)) => (new, None, None),
        (Found::Open(new), Some(Found::Open(old))) => {
            let last = LastAccepted {
                serial: old.statement().serial,
                payload: *old.identity(),
                root_version: old.root().version,
            };
            (new, Some(last), Some(old))
        }
    };
    let note = published::lacks_owners(&new);
    // Not asked of a first bundle.
    let weakening = |new: &Verified<Bundle>| match &old {
        Some(old) => Weakening::between(&old.get().model, &new.get().model, &Zones::bundled()),
        None => Weakening::Nothing,
    };
    match seal::accept(*new, last.as_ref(), weakening, at) {
        Err(refusal) => warn(&refusal),
        // It weakens nothing in the bundle before; readers may have an older one, where they refused that.
        Ok(_) => print(Stream::Err, &note.unwrap_or_default()),
    }
    Ok(())
}

fn warn(refusal: &Refusal) {
    failure::tell(vec![
        Diagnostic::warning(
            refusal.code(),
            format!("readers will refuse this bundle as it stands: {refusal}"),
        )
        .help(refusal.help()),
    ]);
}
