//! Owns `seawalld.yaml`: what policy must not know, such as paths, keys and the pinned trust root. Never holds a policy
//! number, and never opens what it names. The interesting function is [`parse`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::duration::Seconds;
use contract::id::{ChannelId, DatasetId, EnvironmentId, Kid, LocationId, ReconcilerId};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::world::access::SOCKET;
use crate::world::bucket::BucketBinding;
use crate::world::channel::ChannelBinding;
use crate::world::connector::Binding;

use faults::Fault;

mod faults;
mod places;
pub mod schema;
pub mod starter;

/// A configuration is a few hundred lines; anything larger is not one.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A write that is silent for longer counts as abandoned, and another run removes what it left.
pub const MAX_PATIENCE: Seconds = Seconds::minutes(5);

/// Each worker is a process of some hundred MiB at most, and a source or location that hangs holds one: enough that a few of
/// those delay nobody, few enough for a small machine.
const WORKERS: u32 = 8;

/// Nobody has so many cores to spare; a mistyped number must not start as many processes.
const MAX_WORKERS: u32 = 256;

/// So many letters are a slip; more are another word.
const LIKELY_SLIP: usize = 3;

/// The configuration of `seawalld`: what policy must not know, such as paths, keys and the pinned trust root.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it was read from.
    #[serde(skip)]
    #[schemars(skip)]
    pub file: PathBuf,
    /// Who this process is; a bundle's audience must name it.
    #[schemars(with = "schema::Id")]
    pub reconciler_id: ReconcilerId,
    /// The environment whose bundle is followed.
    #[schemars(with = "schema::Id")]
    pub environment: EnvironmentId,
    /// How often `run` looks at git.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "schema::Duration")]
    pub interval: Seconds,
    /// How often `run` inspects the locations and lists what each plan has there, even when nothing is due; `interval` when absent.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(with = "Option<schema::Duration>")]
    pub look_interval: Option<Seconds>,
    /// How many plans `run` may work on at the same time; 8 when absent.
    #[serde(default)]
    pub workers: Option<u32>,
    /// Where policy comes from.
    pub git: Git,
    /// What is trusted from the start.
    pub trust: Trust,
    /// The folder of the store, the git mirror and the spool; made when missing.
    pub state: PathBuf,
    /// Where recovery points go, by the location's id.
    #[serde(default)]
    #[schemars(with = "BTreeMap<schema::Id, WrittenLocation>")]
    pub locations: BTreeMap<LocationId, LocationBinding>,
    /// Where keys come from, by kid.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, KeySource>")]
    pub keys: BTreeMap<Kid, KeySource>,
    /// Where live data is, by dataset.
    #[serde(default)]
    #[schemars(with = "BTreeMap<schema::Id, Binding>")]
    pub datasets: BTreeMap<DatasetId, Binding>,
    /// Where notifications go, by the channel's id in the policy.
    #[serde(default)]
    #[schemars(with = "BTreeMap<schema::Id, ChannelBinding>")]
    pub channels: BTreeMap<ChannelId, ChannelBinding>,
    /// Channels that are also sent every backup and restore that ended; not a pager.
    #[serde(default)]
    #[schemars(with = "BTreeSet<schema::Id>")]
    pub completions: BTreeSet<ChannelId>,
    /// Where strangers may ask; at the socket in the state folder alone when absent.
    #[serde(default)]
    pub tcp: Option<Tcp>,
    /// A PKCS#8 PEM file; the trust root must list its public half in the role `reconciler`.
    pub receipt_key: PathBuf,
}

/// Where policy comes from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// An absolute path, `file://`, `https://` or `ssh://`; never with credentials.
    pub url: String,
    /// The branch that is followed.
    pub branch: String,
    /// The folder of the repository that holds `trust/` and the environments; its root when absent.
    #[serde(default)]
    pub path: Option<String>,
    /// A fetch that takes longer is killed.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "schema::Duration")]
    pub deadline: Seconds,
    /// Who asks, for `https://`.
    #[serde(default)]
    pub credentials: Option<GitCredentials>,
    /// A PEM file of the authorities that vouch for the server's certificate; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Who asks, for `ssh://`; the daemon user's own SSH settings and keys when absent.
    #[serde(default)]
    pub ssh: Option<GitSsh>,
}

/// A name and a password or token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitCredentials {
    /// The name; servers that take a token say which they want with it.
    pub username: String,
    /// A file that holds the password or token and nothing else; one trailing newline is dropped.
    pub password_file: PathBuf,
}

/// A key for SSH.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitSsh {
    /// The private key, without a passphrase.
    pub key: PathBuf,
    /// The server's host keys, as `ssh-keyscan` prints them; the daemon user's own file when absent.
    #[serde(default)]
    pub known_hosts: Option<PathBuf>,
}

/// What is answered on TCP: `/healthz` and `/readyz` to anyone, the rest with a secret. Without encryption: put a proxy that
/// terminates TLS before it, or listen on loopback.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// An address and a port, such as `127.0.0.1:8437`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// A file that holds the secret of the git host's webhook; `POST /v1/webhook` wakes the source. One trailing newline is dropped.
    #[serde(default)]
    pub webhook_secret_file: Option<PathBuf>,
    /// A file that holds a token; whoever sends it may read what the API gives. One trailing newline is dropped.
    #[serde(default)]
    pub read_token_file: Option<PathBuf>,
}

impl Tcp {
    /// The files that hold secrets.
    pub fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        let token = self.read_token_file.iter();
        self.webhook_secret_file.iter().chain(token)
    }
}

/// What is trusted from the start.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// SHA-256 of the payload of a root.
    #[schemars(with = "schema::Sha256")]
    pub root_sha256: Digest,
}

/// Where one location is, and how it is used.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "WrittenLocation")]
pub struct LocationBinding {
    /// Where it is.
    pub site: Site,
    /// How long it may be silent.
    pub patience: Option<Seconds>,
    /// How many workers may use it at the same time.
    pub workers: Option<NonZeroU32>,
    /// Bytes that may be written to it in a second.
    pub bandwidth_bytes_per_second: Option<NonZeroU64>,
}

/// Where a location is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// A folder on a local or mounted file system.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Box<BucketBinding>),
}

impl Site {
    /// Its path or URL, for messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Bucket(bucket) => bucket.shown(),
        }
    }
}

/// Where one location is, with either `path` or `s3`, and how it is used.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LocationBinding", extend("oneOf" = [{ "required": ["path"] }, { "required": ["s3"] }]))]
struct WrittenLocation {
    /// An existing folder; it is never created here, because a missing one is what an unmounted disk looks like.
    #[serde(default)]
    path: Option<PathBuf>,
    /// A bucket of S3, or of a server that speaks its protocol.
    #[serde(default)]
    s3: Option<Box<BucketBinding>>,
    /// How long a call at it may move nothing before it is left out of a run; 20 s when absent.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(with = "Option<schema::Duration>")]
    patience: Option<Seconds>,
    /// How many of `workers` may back up or copy to it, or check it, at the same time; all of them when absent. What persons ask for is
    /// not bounded.
    #[serde(default)]
    workers: Option<NonZeroU32>,
    /// Bytes that one backup or copy may write to it in a second; as many as it takes when absent. Restores are never slowed down.
    #[serde(default)]
    bandwidth_bytes_per_second: Option<NonZeroU64>,
}

impl TryFrom<WrittenLocation> for LocationBinding {
    type Error = &'static str;

    fn try_from(written: WrittenLocation) -> Result<Self, Self::Error> {
        let site = match (written.path, written.s3) {
            (Some(path), None) => Site::Folder(path),
            (None, Some(bucket)) => Site::Bucket(bucket),
            (Some(_), Some(_)) => return Err("a location has either path or s3, not both"),
            (None, None) => return Err("a location lacks its path or s3"),
        };
        Ok(Self {
            site,
            patience: written.patience,
            workers: written.workers,
            bandwidth_bytes_per_second: written.bandwidth_bytes_per_second,
        })
    }
}

impl LocationBinding {
    /// Its folder, where it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.site {
            Site::Folder(path) => Some(path),
            Site::Bucket(_) => None,
        }
    }

    /// Its bucket, where it is one.
    pub fn bucket(&self) -> Option<&BucketBinding> {
        match &self.site {
            Site::Folder(_) => None,
            Site::Bucket(bucket) => Some(bucket),
        }
    }
}

/// Where the bytes of one key come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
    /// How often locations and plans are looked at when nothing is due.
    pub fn look_interval(&self) -> Seconds {
        self.look_interval.unwrap_or(self.interval)
    }

    /// How many plans may be worked on at the same time.
    pub fn workers(&self) -> u32 {
        self.workers.unwrap_or(WORKERS)
    }

    /// The SQLite database.
    pub fn store_path(&self) -> PathBuf {
        self.state.join("store.sqlite")
    }

    /// Where the running daemon listens.
    pub fn socket_path(&self) -> PathBuf {
        self.state.join(SOCKET)
    }

    /// The bare mirror of the policy repository.
    pub fn mirror_path(&self) -> PathBuf {
        self.state.join("policy.git")
    }

    /// What published files were refused, so that they are judged once.
    pub fn judged_path(&self) -> PathBuf {
        self.state.join("judged.json")
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
        /// What a person can do.
        help: String,
    },
    /// The URL of the policy repository holds credentials.
    #[error("configuration `{path}`: `git.url` holds a password or token")]
    CredentialsInUrl {
        /// The file.
        path: String,
    },
}

crate::failure::coded!(ConfigError);

impl ConfigError {
    /// The diagnostic code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } => code::CONFIG_UNREADABLE,
            Self::Invalid { .. } => code::CONFIG_INVALID,
            Self::CredentialsInUrl { .. } => code::CREDENTIALS_IN_URL,
        }
    }

    /// What a person can do.
    pub fn help(&self) -> &str {
        match self {
            Self::Unreadable { .. } => "name a readable file with `--config FILE`",
            Self::Invalid { help, .. } => help,
            Self::CredentialsInUrl { .. } => {
                "write `git.credentials: { username, password_file }`, and replace the password: it was readable here"
            }
        }
    }
}

/// Reads a configuration and refuses what no run could use. Touches nothing that the file names.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let mut config = read(text, path)?;
    if let Some(fault) = faults_of(&config, text, path).into_iter().next() {
        return Err(fault);
    }
    path.clone_into(&mut config.file);
    Ok(config)
}

/// Everything that is wrong with a configuration. A file that is not of the right shape has one fault: the first.
pub fn check(text: &str, path: &Path) -> Vec<ConfigError> {
    match read(text, path) {
        Ok(config) => faults_of(&config, text, path),
        Err(error) => vec![error],
    }
}

fn read(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = match error.location() {
            Some(at) => format!("{}:{}:{}", path.display(), at.line(), at.column()),
            None => path.display().to_string(),
        };
        let said = without_values(&error.to_string());
        let why = said
            .lines()
            .next()
            .unwrap_or("it cannot be read")
            .to_owned();
        let help = match meant(&why) {
            Some(field) => format!("did you mean `{field}`? docs/operate.md lists all fields"),
            None => "correct the line; docs/operate.md lists all fields".to_owned(),
        };
        ConfigError::Invalid {
            path: place,
            why,
            help,
        }
    })
}

/// The field that is spelled most like an unknown one, of those that the message lists.
fn meant(message: &str) -> Option<&str> {
    let (unknown, known) = message
        .strip_prefix("unknown field ")?
        .split_once(", expected ")?;
    let known = known.strip_prefix("one of ").unwrap_or(known);
    known
        .split(',')
        .map(|known| known.trim_matches(['`', ' ']))
        .map(|known| {
            let distance = strsim::damerau_levenshtein(unknown.trim_matches('`'), known);
            (distance, known)
        })
        .filter(|(distance, _)| *distance <= LIKELY_SLIP)
        .min()
        .map(|(_, known)| known)
}

/// Whether one field is the other, or a part of it.
fn is_same_place(one: &str, other: &str) -> bool {
    let is_part = |part: &str, whole: &str| {
        let rest = part.strip_prefix(whole);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_part(one, other) || is_part(other, one)
}

fn faults_of(config: &Config, text: &str, path: &Path) -> Vec<ConfigError> {
    if has_credentials(&config.git.url) {
        let path = path.display().to_string();
        return vec![ConfigError::CredentialsInUrl { path }];
    }
    let places = places::places(text);
    let placeholders = places.placeholders.iter().map(|at| Fault {
        at: at.clone(),
        why: format!("`{at}` still says `{}`", places::PLACEHOLDER),
        help: "write the value of this machine".to_owned(),
    });
    let unfilled: Vec<Fault> = placeholders.collect();
    let wrong = faults::faults(config)
        .into_iter()
        // One message says it.
        .filter(|fault| {
            unfilled
                .iter()
                .all(|gap| !is_same_place(&gap.at, &fault.at))
        });
    let mut all: Vec<Fault> = wrong.collect();
    all.extend(unfilled);
    let mut placed: Vec<_> = all
        .into_iter()
        .map(|fault| (places.of(&fault.at), fault))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed
        .into_iter()
        .map(|(place, fault)| {
            let path = path.display();
            ConfigError::Invalid {
                path: match place {
                    Some((line, column)) => format!("{path}:{line}:{column}"),
                    None => path.to_string(),
                },
                why: fault.why,
                help: fault.help,
            }
        })
        .collect()
}

/// The message without what the file says: a value in the wrong place may be a password. Names of fields stay, which the
/// message of an unknown or missing field is about.
fn without_values(message: &str) -> String {
    let names = ["unknown field", "missing field", "duplicate field"];
    if names.iter().any(|about| message.starts_with(about)) {
        return message.to_owned();
    }
    // What such a message expects is the program's own word, and its last part. A value may hold quotes and this word, too.
    let expects = ["invalid ", "unknown variant", "not a duration"];
    let expects = expects.iter().any(|kind| message.starts_with(kind));
    let (said, expected) = match message.rfind(", expected").filter(|_| expects) {
        Some(at) => message.split_at(at),
        None => (message, ""),
    };
    let is_quote = |letter| matches!(letter, '`' | '"');
    match (said.find(is_quote), said.rfind(is_quote)) {
        (Some(first), Some(last)) => {
            let (before, after) = (said.get(..first), said.get(last + 1..));
            format!(
                "{}`…`{}{expected}",
                before.unwrap_or_default(),
                after.unwrap_or_default()
            )
        }
        _ => said.to_owned() + expected,
    }
}

/// A name before the host of `ssh://` is an account; anywhere else it is a token, or has a password after it.
pub fn has_credentials(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => scheme != "ssh" || user.contains(':'),
        // Git knows neither part, so whatever stands there was meant for the server.
        None => scheme != "file" && rest.contains(['?', '#']),
    }
}

/// Reads ISO 8601.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
    let text = String::deserialize(deserializer)?;
    // The text itself is not shown: it may be a secret in the wrong line.
    text.parse().map_err(|_| {
        serde::de::Error::custom("not a duration, expected one as in `PT15M` or `P1D`")
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
    #[case("interval: PT1M", "interval: 1m", "PT15M")]
    #[case("interval: PT1M", "interval: PT0S", "above zero")]
    #[case(
        "interval: PT1M",
        "interval: PT1M\nlook_interval: PT0S",
        "`look_interval`"
    )]
    #[case("interval: PT1M", "interval: PT1M\nworkers: 0", "above zero")]
    #[case("interval: PT1M", "interval: PT1M\nworkers: 257", "at most 256")]
    #[case("/mnt/b", "/mnt/a", "same folder")]
    #[case("/mnt/b }", "/mnt/b, patience: PT0S }", "patience")]
    #[case("/mnt/b }", "/mnt/b, patience: PT6M }", "patience")]
    #[case("/mnt/b", "mnt/b", "absolute")]
    #[case("/srv/policy.git", "ext::sh -c id", "git.url")]
    #[case("branch: main", "branch: --upload-pack=x", "git.branch")]
    #[case("reconciler_id: dev", "reconciler_id: Dev", "s.yaml:2:")]
    #[case("ba78", "zz78", "digest")]
    #[case("env: K2", "text: K2", "expected")]
    #[case(
        "{ url: /srv/policy.git,",
        "{ url: /srv/policy.git, ssh: { key: /k },",
        "git.ssh"
    )]
    #[case(
        "{ url: /srv/policy.git,",
        "{ url: /srv/policy.git, credentials: { username: a, password_file: /p },",
        "git.credentials"
    )]
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

    #[rstest::rstest]
    #[case("interval: PT1M", "interval: hunter2")]
    #[case("/srv/policy.git", "https://hunter2@git.example.org/p.git")]
    #[case("/srv/policy.git", "https://bot:hunter2@git.example.org/p.git")]
    #[case("/srv/policy.git", "https://git.example.org/p.git?token=hunter2")]
    #[case("/srv/policy.git", "ssh://git:hunter2@git.example.org/p.git")]
    #[case("/srv/policy.git", "http://hunter2@git.example.org/p.git")]
    #[case("/srv/policy.git", "hunter2@git.example.org:p.git")]
    #[case(
        "{ url: /srv/policy.git, branch: main, deadline: PT1M }",
        "https://hunter2@h/p.git"
    )]
    #[case("branch: main", "branch: hunter2..")]
    #[case("{ file: /etc/seawall/k1 }", "hunter2")]
    #[case("{ file: /etc/seawall/k1 }", "{ file: hunter2 }")]
    #[case("{ file: /etc/seawall/k1 }", "{ file: [hunter2] }")]
    #[case("{ root_sha256: ba78", "{ root_sha256: hunter2ba78")]
    #[case("state: /var", "state: hunter2/var")]
    #[case("reconciler_id: dev", "reconciler_id: '`\"hunter2'")]
    #[case("reconciler_id: dev", "reconciler_id: 'a`hunter2'")]
    #[case("reconciler_id: dev", "reconciler_id: 'a, expected hunter2'")]
    #[case("{ root_sha256: ba78", "{ root_sha256: 'x`hunter2', a: ba78")]
    #[case("{ file: /etc/seawall/k1 }", "\"a\\\"hunter2\"")]
    #[case("files: { path: /srv/a }", "files: { path: hunter2 }")]
    #[case(
        "files: { path: /srv/a }",
        "files: { path: /srv/a, exclude: ['hunter2['] }"
    )]
    #[case(
        "files: { path: /srv/a }",
        "postgres: { host: h, port: 1, database: d, user: \"hunter2\\n\" }"
    )]
    #[case(
        "files: { path: /srv/a }",
        "files: { path: /srv/a, run_as: \"hunter2\\n\" }"
    )]
    #[case(
        "files: { path: /srv/a }",
        "postgres: { host: h, port: 1, database: d, user: u, validation: [{ name: hunter2, sql: '' }] }"
    )]
    fn no_message_shows_a_value(#[case] good: &str, #[case] bad: &str) {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD);
        let error = parse(&text, Path::new("s.yaml")).unwrap_err();
        let message = format!("{error} {}", error.help());
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn an_account_of_ssh_is_no_secret() {
        let url = "ssh://git@git.example.org/p.git, ssh: { key: /k, known_hosts: /h }";
        let text = GOOD.replacen("/srv/policy.git", url, 1);
        assert!(parse(&text, Path::new("s.yaml")).is_ok());
    }
}
