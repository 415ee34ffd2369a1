//! Owns `seawall verify`: the same `open` that the reconciler runs, on files, offline. Never trusts a root that was not
//! pinned: without one it says that only integrity was checked.

use std::path::{Path, PathBuf};

use clap::Args;
use contract::code;
use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::seal::{self, BUNDLE_FILE, BundlePredicate, PROVENANCE_FILE, Refusal, Role};
use jiff::Timestamp;

use super::failure::{self, Failure};
use super::published::{self, Published};
use crate::diagnostic::Diagnostic;
use crate::world::clock;
use crate::world::terminal::{Stream, print};

#[derive(Args)]
pub struct Verify {
    /// The published folder of one environment, beside the folder `trust`
    #[arg(value_name = "DIR/ENV")]
    folder: PathBuf,
    /// SHA-256 of the payload of a trust root, as `seawall trust init` printed it
    #[arg(long, value_name = "SHA256")]
    root: Option<Digest>,
    /// Compile this policy tree and compare bytes
    #[arg(long, value_name = "DIR")]
    rebuild: Option<PathBuf>,
    /// Verify as of this instant, such as 2026-11-20T17:00:00Z [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = contract::seal::parse_instant)]
    at: Option<Timestamp>,
}

impl Verify {
    pub fn run(self) -> Result<(), Failure> {
        let environment = environment(&self.folder)?;
        let published = published::read(&self.folder)?;
        let at = self.at.unwrap_or_else(clock::now);
        let (stated, identity) = match self.root {
            Some(root_sha256) => trusted(&published, &environment, root_sha256, at)?,
            None => integrity(&published, &environment, at)?,
        };
        if let Some(tree) = &self.rebuild {
            rebuild(tree, &environment, &published, &stated)?;
        }
        print(Stream::Out, &told(&stated, &identity));
        Ok(())
    }
}

/// Opens the bundle as a reconciler would and refuses what it would not take today; tells who signed it, in which role.
fn trusted(
    published: &Published,
    environment: &EnvironmentId,
    root_sha256: Digest,
    at: Timestamp,
) -> Result<(BundlePredicate, Digest), Failure> {
    let verified = published.open(environment, root_sha256)?;
    seal::in_time(&verified, at).map_err(|refusal| Failure::Refused(Box::new(late(&refusal))))?;
    let signed: Vec<String> = [Role::Compiler, Role::Owner]
        .into_iter()
        .map(|role| (role, verified.signed_by(role)))
        .filter(|(_, persons)| !persons.is_empty())
        .map(|(role, persons)| {
            let persons: Vec<String> = persons.into_iter().collect();
            format!("{role} {}", persons.join(", "))
        })
        .collect();
    let signed = signed.join("; ");
    print(
        Stream::Err,
        &format!("ok: signatures, digests, form and dates; signed by {signed}\n"),
    );
    if let Some(note) = published::lacks_owners(&verified) {
        print(Stream::Err, &note);
    }
    Ok((verified.statement().clone(), *verified.identity()))
}

/// What can be checked without trust. Dates are then no more than somebody's word, and only a warning.
fn integrity(
    published: &Published,
    environment: &EnvironmentId,
    at: Timestamp,
) -> Result<(BundlePredicate, Digest), Failure> {
    let inspected = published.inspect(environment)?;
    if let Err(refusal) = seal::stated_in_time(&inspected.statement, at) {
        let warning = Diagnostic {
            severity: code::Severity::Warning,
            ..late(&refusal)
        };
        failure::tell(vec![warning]);
    }
    print(
        Stream::Err,
        "ok: digests and form; signatures were NOT checked: give `--root SHA256`\n",
    );
    Ok((inspected.statement, inspected.identity))
}

/// A bundle out of its time is what it was: as of a day on which it was in force it can still be verified.
fn late(refusal: &Refusal) -> Diagnostic {
    Diagnostic::error(refusal.code(), refusal.to_string())
        .help(refusal.help())
        .note("`--at INSTANT` verifies it as of another day")
}

/// The environment is the name of the folder: that is what a reader asks for.
pub fn environment(folder: &Path) -> Result<EnvironmentId, Failure> {
    let absolute = folder
        .canonicalize()
        .map_err(|error| Failure::unreadable(folder, &error))?;
    absolute
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| {
            Failure::refused(
                code::OTHER_ENVIRONMENT,
                format!("`{}` is not named like an environment", folder.display()),
                "give the published folder of one environment, such as `published/dev`",
            )
        })
}

/// Compares what is published with what a tree compiles to, and the input files that the statement lists with those of the tree.
fn rebuild(
    tree: &Path,
    environment: &EnvironmentId,
    published: &Published,
    stated: &BundlePredicate,
) -> Result<(), Failure> {
    let compiled = super::compiled::to_publish(tree, environment)?;
    let pairs = [
        (
            BUNDLE_FILE,
            Some(&published.bundle),
            compiled.sealed.as_ref().map(|sealed| &sealed.bundle),
        ),
        (
            PROVENANCE_FILE,
            Some(&published.provenance),
            compiled.sealed.as_ref().map(|sealed| &sealed.provenance),
        ),
    ];
    for (name, stands, made) in pairs {
        if stands != made {
            return Err(Failure::failed(
                code::REBUILD_DIFFERS,
                format!(
                    "`{}` does not compile to the published `{name}`",
                    tree.display()
                ),
                "the tree, or the compiler, is another than the one that was published: see `source_commit` and `compiler_version`",
            ));
        }
    }
    // The hash was compared with the list of inputs when the statement was read.
    if compiled.sealed.map(|sealed| sealed.snapshot_hash) != Some(stated.policy_snapshot_hash) {
        return Err(Failure::failed(
            code::REBUILD_DIFFERS,
            format!(
                "the files of `{}` are not the inputs that the statement lists",
                tree.display()
            ),
            "compile the commit that the statement names as `source_commit`; if it is that one, the inputs are invented",
        ));
    }
    print(Stream::Err, "ok: the tree compiles to the same bytes\n");
    Ok(())
}

/// What the statement says, one fact a line.
fn told(stated: &BundlePredicate, identity: &Digest) -> String {
    let commit = stated.source_commit.as_deref().unwrap_or("none");
    format!(
        "environment           {}\nserial                {}\nissued_at             {}\nexpires_at            {}\nstatement             {identity}\npolicy_snapshot_hash  {}\nsource_commit         {commit}\ncompiler_version      {}\n",
        stated.environment,
        stated.serial,
        stated.issued_at,
        stated.expires_at,
        stated.policy_snapshot_hash,
        stated.compiler_version,
    )
}
