//! Owns `seawalld.yaml`: what policy must not know, such as paths, keys and the pinned trust root. Never holds a policy
//! number, and never opens what it names. The interesting function is [`parse`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::duration::Seconds;
use contract::id::{DatasetId, EnvironmentId, Kid, LocationId, ReconcilerId};
use serde::{Deserialize, Deserializer};

use crate::world::connector::Binding;

/// A configuration is a few hundred lines; anything larger is not one.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A write that is silent for longer counts as abandoned, and another run removes what it left.
pub const MAX_PATIENCE: Seconds = Seconds::minutes(5);

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this process is; a bundle's audience must name it.
    pub reconciler_id: ReconcilerId,
    /// The environment whose bundle is followed.
    pub environment: EnvironmentId,
    /// How long `run` sleeps between rounds.
    #[serde(deserialize_with = "duration")]
    pub interval: Seconds,
    /// Where policy comes from.
    pub git: Git,
    /// What is trusted from the start.
    pub trust: Trust,
    /// The folder of the store, the git mirror and the spool; made when missing.
    pub state: PathBuf,
    /// Where recovery points go, by the location's id.
    #[serde(default)]
    pub locations: BTreeMap<LocationId, LocationBinding>,
    /// Where keys come from, by kid.
    #[serde(default)]
    pub keys: BTreeMap<Kid, KeySource>,
    /// Where live data is, by dataset.
    #[serde(default)]
    pub datasets: BTreeMap<DatasetId, Binding>,
    /// A PKCS#8 PEM file; the trust root must list its public half in the role `reconciler`.
    pub receipt_key: PathBuf,
}

/// Where policy comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// An absolute path, `file://`, `https://` or `ssh://`.
    pub url: String,
    /// The branch that is followed.
    pub branch: String,
    /// The folder of the repository that holds `trust/` and the environments; its root when absent.
    #[serde(default)]
    pub path: Option<String>,
    /// A fetch that takes longer is killed.
    #[serde(deserialize_with = "duration")]
    pub deadline: Seconds,
}

/// What is trusted from the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// SHA-256 of the payload of a root.
    pub root_sha256: Digest,
}

/// Where one location is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationBinding {
    /// An existing folder; it is never created here, because a missing one is what an unmounted disk looks like.
    pub path: PathBuf,
    /// How long a call at it may move nothing before it is left out of a run; 20 s when absent.
    #[serde(default, deserialize_with = "optional_duration")]
    pub patience: Option<Seconds>,
}

/// Where the bytes of one key come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// A file; one trailing newline is dropped.
    File(PathBuf),
    /// An environment variable of the daemon.
    Env(String),
    /// A program and its arguments; its standard output is the key.
    Command(Vec<String>),
}

impl Config {
    /// The SQLite database.
    pub fn store_path(&self) -> PathBuf {
        self.state.join("store.sqlite")
    }

    /// The bare mirror of the policy repository.
    pub fn mirror_path(&self) -> PathBuf {
        self.state.join("policy.git")
    }

    /// Where connectors write dumps and restores are staged.
    pub fn spool_path(&self) -> PathBuf {
        self.state.join("spool")
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration `{path}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// The reason.
        why: String,
    },
    /// The file is not what the daemon reads.
    #[error("configuration `{path}` is invalid: {why}")]
    Invalid {
        /// The file, with line and column where they are known.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl ConfigError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } => code::CONFIG_UNREADABLE,
            Self::Invalid { .. } => code::CONFIG_INVALID,
        }
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "name a readable file with `--config FILE`",
            Self::Invalid { .. } => "correct the line; `seawalld doctor` checks the rest",
        }
    }
}

/// Reads a configuration and refuses what no run could use. Touches nothing that the file names.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        with_snippet: false,
    };
    let config: Config = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = match error.location() {
            Some(at) => format!("{}:{}:{}", path.display(), at.line(), at.column()),
            None => path.display().to_string(),
        };
        invalid(place, &error.to_string())
    })?;
    check(&config).map_err(|why| invalid(path.display().to_string(), &why))?;
    Ok(config)
}

fn invalid(path: String, why: &str) -> ConfigError {
    let why = why.lines().next().unwrap_or("it cannot be read").to_owned();
    ConfigError::Invalid { path, why }
}

fn check(config: &Config) -> Result<(), String> {
    if config.interval.is_zero() {
        return Err("`interval` must be above zero".to_owned());
    }
    if config.git.deadline.is_zero() {
        return Err("`git.deadline` must be above zero".to_owned());
    }
    check_git(&config.git)?;
    absolute("state", &config.state)?;
    absolute("receipt_key", &config.receipt_key)?;
    for (id, location) in &config.locations {
        absolute(&format!("locations.{id}.path"), &location.path)?;
        if let Some(patience) = location.patience
            && (patience.is_zero() || patience > MAX_PATIENCE)
        {
            return Err(format!(
                "`locations.{id}.patience` must be above zero and at most {MAX_PATIENCE}"
            ));
        }
    }
    let mut folders: BTreeMap<&Path, &LocationId> = BTreeMap::new();
    for (id, location) in &config.locations {
        // Two locations in one folder would count as two copies and be one.
        if let Some(other) = folders.insert(&location.path, id) {
            return Err(format!(
                "locations `{other}` and `{id}` are the same folder"
            ));
        }
    }
    for (kid, source) in &config.keys {
        match source {
            KeySource::File(path) => absolute(&format!("keys.{kid}.file"), path)?,
            KeySource::Env(name) if name.is_empty() => {
                return Err(format!("`keys.{kid}.env` must name a variable"));
            }
            KeySource::Command(argv) if argv.is_empty() => {
                return Err(format!("`keys.{kid}.command` must name a program"));
            }
            KeySource::Env(_) | KeySource::Command(_) => {}
        }
    }
    for (id, binding) in &config.datasets {
        binding
            .check()
            .map_err(|error| format!("`datasets.{id}`: {error}"))?;
    }
    Ok(())
}

fn check_git(git: &Git) -> Result<(), String> {
    let known = ["file://", "https://", "ssh://"]
        .iter()
        .any(|scheme| git.url.starts_with(scheme));
    if !known && !Path::new(&git.url).is_absolute() {
        return Err(format!(
            "`git.url` must be an absolute path, `file://`, `https://` or `ssh://`, not `{}`",
            git.url.escape_debug()
        ));
    }
    let branch_is_plain = !git.branch.is_empty()
        && !git.branch.starts_with(['-', '/'])
        && !git.branch.contains("..")
        && git
            .branch
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    if !branch_is_plain {
        return Err(format!(
            "`git.branch` is no branch name: `{}`",
            git.branch.escape_debug()
        ));
    }
    if let Some(path) = &git.path
        && (path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part == ".."))
    {
        return Err(format!(
            "`git.path` must be a folder inside the repository, not `{}`",
            path.escape_debug()
        ));
    }
    Ok(())
}

fn absolute(field: &str, path: &Path) -> Result<(), String> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(format!(
            "`{field}` must be an absolute path, not `{}`",
            path.display()
        ))
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error: contract::duration::DurationError| {
            serde::de::Error::custom(format!("{error}; {}", error.help))
        })
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Seconds>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;

    const GOOD: &str = "
reconciler_id: dev
environment: dev
interval: PT1M
git: { url: /srv/policy.git, branch: main, deadline: PT1M }
trust: { root_sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }
state: /var/lib/seawalld
locations: { loc_a: { path: /mnt/a }, loc_b: { path: /mnt/b } }
keys: { k1: { file: /etc/seawall/k1 }, k2: { env: K2 }, k3: { command: [pass, k3] } }
datasets: { ds_a: { files: { path: /srv/a } } }
receipt_key: /etc/seawall/receipts.key
";

    #[test]
    fn a_full_example_is_read() {
        let config = parse(GOOD, Path::new("s.yaml")).unwrap();
        assert_eq!(config.interval, Seconds::minutes(1));
        assert_eq!(
            config.store_path(),
            Path::new("/var/lib/seawalld/store.sqlite")
        );
    }

    #[rstest::rstest]
    #[case("interval: PT1M", "interval: 1m", "1m")]
    #[case("interval: PT1M", "interval: PT0S", "above zero")]
    #[case("/mnt/b", "/mnt/a", "same folder")]
    #[case("/mnt/b }", "/mnt/b, patience: PT0S }", "patience")]
    #[case("/mnt/b }", "/mnt/b, patience: PT6M }", "patience")]
    #[case("/mnt/b", "mnt/b", "absolute")]
    #[case("/srv/policy.git", "ext::sh -c id", "git.url")]
    #[case("branch: main", "branch: --upload-pack=x", "git.branch")]
    #[case("reconciler_id: dev", "reconciler_id: Dev", "Dev")]
    #[case("ba78", "zz78", "digest")]
    #[case("state:", "states:", "states")]
    #[case("files: {", "file: {", "file")]
    #[case("interval: PT1M", "interval: PT1M\ninterval: PT2M", "uplicate")]
    fn bad_values_are_refused_with_their_name(
        #[case] good: &str,
        #[case] bad: &str,
        #[case] told: &str,
    ) {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD);
        let error = parse(&text, Path::new("s.yaml")).unwrap_err();
        assert_eq!(error.code(), code::CONFIG_INVALID);
        let message = error.to_string();
        assert!(
            message.contains(told) && !message.contains('\n'),
            "{message}"
        );
    }
}
