//! Owns reading keys from where the configuration says they are. Never logs, stores or prints one. See [`load`].

use contract::code::{self, Code};
use contract::id::Kid;

use super::secret::{self, Secret};
use crate::config::KeySource;

/// No key is longer.
const MAX_KEY_BYTES: usize = 64 << 10;

/// Why a key is not there.
#[derive(Debug, thiserror::Error)]
#[error("key `{kid}` is not available from {place}: {why}")]
pub struct KeyError {
    /// The key.
    pub kid: Kid,
    /// Where it was looked for.
    pub place: String,
    /// The reason.
    pub why: String,
}

crate::failure::coded!(KeyError);

impl KeyError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        code::KEY_UNAVAILABLE
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        "make the key's source readable for the daemon, or bind another one under `keys`"
    }
}

/// The bytes of a key, without one trailing newline.
pub fn load(kid: &Kid, source: &KeySource) -> Result<Secret, KeyError> {
    let (place, found) = match source {
        KeySource::File(path) => (
            format!("file `{}`", path.display()),
            secret::read_file(path, MAX_KEY_BYTES).map_err(|error| error.to_string()),
        ),
        KeySource::Env(name) => (
            format!("variable `{name}`"),
            std::env::var(name)
                .map(|text| Secret::from(text.into_bytes()))
                .map_err(|error| error.to_string()),
        ),
        KeySource::Command(argv) => {
            let program = argv.first().cloned().unwrap_or_default();
            (format!("command `{program}`"), secret::printed(argv))
        }
    };
    let failed = |why: String| KeyError {
        kid: kid.clone(),
        place: place.clone(),
        why,
    };
    let key = found.map_err(failed)?.without_newline();
    if key.bytes().is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    if key.bytes().len() > MAX_KEY_BYTES {
        return Err(failed(format!("it is longer than {MAX_KEY_BYTES} bytes")));
    }
    Ok(key)
}
