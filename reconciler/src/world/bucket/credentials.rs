//! Owns how the credentials of a bucket are had, and for how long they are kept. Never logs or prints one, and never passes one by
//! argument. The interesting functions are [`handed`], which the daemon calls, and [`Provider::get_credential`], which each request does.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroize;

use super::binding::{CredentialVariables, Credentials};
use crate::world::secret::{self, Secret};

/// How long what a file or a command gave is used: a key that was replaced is noticed within it.
const FRESH: Duration = Duration::from_mins(1);

/// Temporary credentials are asked for anew so long before they expire: a request that is under way outlives them otherwise.
const AHEAD: Duration = Duration::from_mins(5);

/// A file of credentials has a few lines for each profile.
const LARGEST: usize = 64 << 10;

/// What an error is about that says why there are none.
pub(super) const NONE: &str = "no credentials";

/// Credentials as the daemon hands them to its children.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Handed {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    session_token: Option<String>,
    #[serde(default)]
    expiration: Option<Timestamp>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.secret_access_key.zeroize();
        self.session_token.zeroize();
    }
}

/// What children cannot read themselves, because their environment is empty: the variables of the daemon. None where there is nothing of
/// the kind, or a variable is missing.
pub fn handed(credentials: &Credentials) -> Option<Secret> {
    let Credentials::Env(CredentialVariables {
        access_key_id,
        secret_access_key,
        session_token,
    }) = credentials
    else {
        return None;
    };
    let handed = Handed {
        access_key_id: std::env::var(access_key_id).ok()?,
        secret_access_key: std::env::var(secret_access_key).ok()?,
        session_token: match session_token {
            Some(name) => Some(std::env::var(name).ok()?),
            None => None,
        },
        expiration: None,
    };
    let line = secret::to_line(&handed).ok()?;
    Some(Secret::from(line.to_vec()))
}

/// What was had last.
struct Kept {
    credential: Arc<AwsCredential>,
    until: Instant,
}

/// Gives credentials for each request.
pub(super) struct Provider {
    credentials: Credentials,
    handed: Option<Secret>,
    kept: Mutex<Option<Kept>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Provider")
    }
}

impl Provider {
    pub(super) fn new(credentials: Credentials, handed: Option<Secret>) -> Self {
        Self {
            credentials,
            handed,
            kept: Mutex::default(),
        }
    }
}

#[async_trait]
impl CredentialProvider for Provider {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
            return Ok(Arc::clone(&kept.credential));
        }
        let (credentials, handed) = (self.credentials.clone(), self.handed.clone());
        // A file on a mount that hangs, or a command, holds up no other request.
        let had = tokio::task::spawn_blocking(move || have(&credentials, handed.as_ref()))
            .await
            .map_err(|error| error.to_string())
            .and_then(|had| had);
        let had = had.map_err(|why| object_store::Error::Unauthenticated {
            path: NONE.to_owned(),
            source: why.into(),
        })?;
        let fresh = match had.expiration {
            Some(expires) => {
                let left = expires.duration_since(Timestamp::now());
                Duration::try_from(left)
                    .unwrap_or_default()
                    .saturating_sub(AHEAD)
            }
            None => FRESH,
        };
        let credential = Arc::new(AwsCredential {
            key_id: had.access_key_id.clone(),
            secret_key: had.secret_access_key.clone(),
            token: had.session_token.clone(),
        });
        *kept = Some(Kept {
            credential: Arc::clone(&credential),
            until: Instant::now() + fresh,
        });
        Ok(credential)
    }
}

fn have(credentials: &Credentials, handed: Option<&Secret>) -> Result<Handed, String> {
    match credentials {
        Credentials::File(path) => from_file(path),
        Credentials::Env(names) => {
            let handed = handed.ok_or_else(|| {
                format!(
                    "the daemon's environment lacks `{}`, `{}` or the session token's variable",
                    names.access_key_id, names.secret_access_key
                )
            })?;
            secret::from_line(handed.bytes()).map_err(|error| error.to_string())
        }
        Credentials::Command(argv) => from_command(argv),
        // The library asks the machine itself.
        Credentials::InstanceRole => {
            Err("the role of the machine is asked for elsewhere".to_owned())
        }
    }
}

fn from_file(path: &Path) -> Result<Handed, String> {
    let unusable = |why: String| format!("`{}` cannot be used: {why}", path.display());
    let found = secret::read_regular(path, LARGEST).map_err(|error| unusable(error.to_string()))?;
    let text =
        std::str::from_utf8(found.bytes()).map_err(|_| unusable("it is not text".to_owned()))?;
    profile(text).map_err(unusable)
}

/// The profile `default`, or the only one.
fn profile(text: &str) -> Result<Handed, String> {
    let mut profiles: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            profiles.push((name.trim(), Vec::new()));
        } else if let (Some((_, fields)), Some((name, value))) =
            (profiles.last_mut(), line.split_once('='))
        {
            fields.push((name.trim(), value.trim()));
        } else {
            // The line itself may be a secret.
            return Err("it has a line that is neither `[profile]` nor `name = value`".to_owned());
        }
    }
    let default = profiles.iter().find(|(name, _)| *name == "default");
    let (_, fields) = match (default, profiles.as_slice()) {
        (Some(default), _) => default,
        (None, [only]) => only,
        (None, _) => return Err("it has no profile `default`".to_owned()),
    };
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| *name == wanted);
        found
            .map(|(_, value)| (*value).to_owned())
            .filter(|value| !value.is_empty())
    };
    let lacks = |name: &str| format!("its profile lacks `{name}`");
    Ok(Handed {
        access_key_id: field("aws_access_key_id").ok_or_else(|| lacks("aws_access_key_id"))?,
        secret_access_key: field("aws_secret_access_key")
            .ok_or_else(|| lacks("aws_secret_access_key"))?,
        session_token: field("aws_session_token"),
        expiration: None,
    })
}

fn from_command(argv: &[String]) -> Result<Handed, String> {
    let program = argv.first().cloned().unwrap_or_default();
    let failed = |why: String| format!("command `{program}` gave no credentials: {why}");
    let printed = secret::printed(argv).map_err(failed)?;
    secret::from_line(printed.bytes()).map_err(|_| {
        failed("it printed no JSON with `AccessKeyId` and `SecretAccessKey`".to_owned())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_file_has_a_default_profile_or_one() {
        let read = |text: &str| profile(text).map(|it| it.access_key_id.clone());
        let fields = |id: &str| format!("aws_access_key_id = {id}\naws_secret_access_key=s\n");
        let one = format!("# a comment\n[backup]\n{}", fields("A"));
        assert_eq!(read(&one).unwrap(), "A");
        let two = format!("{one}\n[default]\n{}", fields("B"));
        assert_eq!(read(&two).unwrap(), "B");
        assert!(read(&two.replace("default", "other")).is_err());
        assert!(read("[default]\naws_access_key_id = A\n").is_err());
        let error = profile("hunter2").err().unwrap();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
