//! Owns `seawall keys`: Ed25519 keys as files that `openssl` reads too. Never replaces a key.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use contract::code;
use contract::seal::{PrivateKey, PublicKey};

use super::failure::{self, Failure};
use crate::diagnostic::Diagnostic;
use crate::world::clock;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

/// No key file is larger.
const MAX_KEY_BYTES: u64 = 65_536;

#[derive(Subcommand)]
pub enum Keys {
    /// Write <NAME>.key (PKCS#8 PEM, mode 0600) and <NAME>.pub (SPKI PEM) for each name; print the key ids
    Generate {
        /// Folder for the keys
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Names of the keys, such as the persons who will hold them
        #[arg(required = true, value_name = "NAME", value_parser = name)]
        names: Vec<String>,
    },
    /// Print the key ids of key files, private or public
    Show {
        /// Key files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl Keys {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate { out, names } => names.iter().try_for_each(|name| generate(&out, name)),
            Self::Show { files } => files.iter().try_for_each(|path| show(path)),
        }
    }
}

/// A key's name is a file name.
fn name(text: &str) -> Result<String, String> {
    contract::id::check(text)
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

fn generate(out: &Path, name: &str) -> Result<(), Failure> {
    let seed =
        clock::seed().map_err(|error| Failure::unreadable(Path::new("/dev/urandom"), &error))?;
    let key = PrivateKey::from_seed(&seed);
    let pem = key.to_pem().map_err(refused)?;
    let public = key.public().to_pem().map_err(refused)?;
    let secret_path = out.join(format!("{name}.key"));
    let public_path = out.join(format!("{name}.pub"));
    files::create(&secret_path, pem.as_bytes(), Mode::Secret)
        .map_err(|error| Failure::unwritable(&secret_path, &error))?;
    files::create(&public_path, public.as_bytes(), Mode::Public)
        .map_err(|error| Failure::unwritable(&public_path, &error))?;
    print(
        Stream::Out,
        &format!("{}  {}\n", key.public().key_id(), public_path.display()),
    );
    Ok(())
}

fn show(path: &Path) -> Result<(), Failure> {
    let public = match unguarded(path) {
        Ok(key) => key.public(),
        Err(_) => public(path)?,
    };
    print(
        Stream::Out,
        &format!("{}  {}\n", public.key_id(), path.display()),
    );
    Ok(())
}

/// Reads a private key to sign with. One that others can change may be theirs, and one that they can read is not secret.
pub fn private(path: &Path) -> Result<PrivateKey, Failure> {
    let mode = files::mode(path).map_err(|error| Failure::unreadable(path, &error))?;
    let exposed = |what: &str| {
        format!(
            "key `{}` can be {what} by other users, its mode is {mode:04o}",
            path.display()
        )
    };
    let help = "let its owner alone read it, with mode 0600; replace a key that others could read";
    if mode & 0o022 != 0 {
        return Err(Failure::refused(
            code::KEY_UNREADABLE,
            exposed("changed"),
            help,
        ));
    }
    if mode & 0o004 != 0 {
        failure::tell(vec![
            Diagnostic::warning(code::KEY_UNREADABLE, exposed("read")).help(help),
        ]);
    }
    unguarded(path)
}

fn unguarded(path: &Path) -> Result<PrivateKey, Failure> {
    PrivateKey::from_pem(&text(path)?).map_err(|fault| named(path, fault))
}

/// Reads a public key.
pub fn public(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&text(path)?).map_err(|fault| named(path, fault))
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes =
        files::read(path, MAX_KEY_BYTES).map_err(|error| Failure::unreadable(path, &error))?;
    // A file that is no text is no key either; what is left of it says so when it is parsed.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(fault: contract::seal::KeyFault) -> Failure {
    Failure::from(contract::seal::Refusal::from(fault))
}

fn named(path: &Path, fault: contract::seal::KeyFault) -> Failure {
    Failure::Refused(Box::new(
        Diagnostic::error(
            code::KEY_UNREADABLE,
            format!("`{}`: {fault}", path.display()),
        )
        .help("make a key with `seawall keys generate --out DIR NAME`"),
    ))
}
