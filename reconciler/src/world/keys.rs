//! Owns reading keys from where the configuration says they are. Never logs, stores or prints one. See [`load`].

use std::time::Duration;

use contract::code::{self, Code};
use contract::id::Kid;

use super::process::guard::{self, Limits};
use super::process::{self, Stderr};
use super::secret::{self, Secret};
use crate::config::KeySource;

/// A key store that answers slower than this is down; a person waits for the answer.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

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
            // A variable of the daemon may be another key, so the command gets none that it does not need.
            let mut command = guard::program(&program, Limits::default());
            command.args(argv.iter().skip(1));
            let answer = process::run(
                &mut command,
                process::Input::Nothing,
                Stderr::Collect,
                COMMAND_DEADLINE,
                &|| false,
            )
            .map_err(|error| error.to_string())
            .and_then(|ended| {
                if ended.status.success() {
                    Ok(Secret::from(ended.stdout))
                } else {
                    Err(ended.status.to_string())
                }
            });
            (format!("command `{program}`"), answer)
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
