//! Owns `seawall verify`: the same `open` that the reconciler runs, on files, offline. Never trusts a root that was not
//! pinned: without one it says that only integrity was checked.

use std::path::{Path, PathBuf};

use clap::Args;
use contract::code;
use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::seal::{
    self, BUNDLE_FILE, BundlePredicate, Envelope, Expect, PROVENANCE_FILE, Pin, Refusal, Role,
    Sealed, Statement,
};

use super::failure::Failure;
use super::published::{self, Published};
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
}

impl Verify {
    pub fn run(self) -> Result<(), Failure> {
        let environment = environment(&self.folder)?;
        let published = published::read(&self.folder)?;
        let checked = if let Some(root_sha256) = self.root {
            let signed = trusted(&published, &environment, root_sha256)?;
            format!("ok: signatures, digests and form; signed by {signed}\n")
        } else {
            integrity(&published, &environment)?;
            "ok: digests and form; signatures were NOT checked: give `--root SHA256`\n".to_owned()
        };
        print(Stream::Err, &checked);
        if let Some(tree) = &self.rebuild {
            rebuild(tree, &environment, &published)?;
        }
        let told = told(&published)?;
        print(Stream::Out, &told);
        Ok(())
    }
}

/// Opens the bundle as a reconciler would; tells who signed it, in which role.
fn trusted(
    published: &Published,
    environment: &EnvironmentId,
    root_sha256: Digest,
) -> Result<String, Failure> {
    let sealed = Sealed {
        root_chain: &published.roots,
        envelope: &published.envelope,
        bundle: &published.bundle,
        provenance: &published.provenance,
    };
    let expect = Expect {
        environment,
        reconciler_id: None,
    };
    let verified = seal::open(&sealed, &Pin { root_sha256 }, &expect)?;
    let signed: Vec<String> = [Role::Compiler, Role::Owner]
        .into_iter()
        .map(|role| (role, verified.signed_by(role)))
        .filter(|(_, persons)| !persons.is_empty())
        .map(|(role, persons)| {
            let persons: Vec<String> = persons.into_iter().collect();
            format!("{role} {}", persons.join(", "))
        })
        .collect();
    Ok(signed.join("; "))
}

/// The environment is the name of the folder: that is what a reader asks for.
fn environment(folder: &Path) -> Result<EnvironmentId, Failure> {
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

fn statement(published: &Published) -> Result<(Statement<BundlePredicate>, Digest), Refusal> {
    let envelope = Envelope::from_json(&published.envelope).map_err(|fault| Refusal::Envelope {
        what: published::ENVELOPE_FILE.to_owned(),
        fault,
    })?;
    let statement = Statement::from_payload(&envelope.payload).map_err(Refusal::Statement)?;
    Ok((statement, Digest::of(&envelope.payload)))
}

/// What can be checked without trust: that the files are those the statement speaks of.
fn integrity(published: &Published, environment: &EnvironmentId) -> Result<(), Failure> {
    let (statement, _) = statement(published)?;
    let found = &statement.predicate.environment;
    if found != environment {
        return Err(Failure::from(Refusal::Environment {
            found: found.clone(),
            wanted: environment.clone(),
        }));
    }
    for (name, bytes) in [
        (BUNDLE_FILE, &published.bundle),
        (PROVENANCE_FILE, &published.provenance),
    ] {
        let stated = statement
            .subject
            .iter()
            .find(|subject| subject.name == name);
        if stated.is_none_or(|subject| subject.digest.sha256 != Digest::of(bytes)) {
            return Err(Failure::refused(
                code::FILE_DIGEST,
                format!("`{name}` is not the file that the statement speaks of"),
                "fetch the published folder again; if it stays so, somebody changed it",
            ));
        }
    }
    Ok(())
}

fn rebuild(tree: &Path, environment: &EnvironmentId, published: &Published) -> Result<(), Failure> {
    let compiled = super::compiled::tree(tree, environment)?;
    let pairs = [
        (
            BUNDLE_FILE,
            Some(&published.bundle),
            compiled.bundle.as_ref(),
        ),
        (
            PROVENANCE_FILE,
            Some(&published.provenance),
            compiled.provenance_bytes.as_ref(),
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
    print(Stream::Err, "ok: the tree compiles to the same bytes\n");
    Ok(())
}

/// What the statement says, one fact a line.
fn told(published: &Published) -> Result<String, Failure> {
    let (statement, identity) = statement(published)?;
    let stated = statement.predicate;
    let commit = stated.source_commit.as_deref().unwrap_or("none");
    Ok(format!(
        "environment           {}\nserial                {}\nissued_at             {}\nexpires_at            {}\nstatement             {identity}\npolicy_snapshot_hash  {}\nsource_commit         {commit}\ncompiler_version      {}\n",
        stated.environment,
        stated.serial,
        stated.issued_at,
        stated.expires_at,
        stated.policy_snapshot_hash,
        stated.compiler_version,
    ))
}
