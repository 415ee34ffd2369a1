//! Owns `seawalld init` and `seawalld config`: the configuration file before there is a daemon. Starts nothing. The interesting
//! function is [`init`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use contract::code;
use contract::digest::Digest;
use contract::duration::Seconds;
use contract::id::{EnvironmentId, ReconcilerId};

use super::{Format, json, print, text_of};
use crate::config::starter::{Known, quoted, starter};
use crate::config::{self, Config, ConfigError, Git, GitCredentials, GitSsh, Trust, schema};
use crate::control::effects::Machine;
use crate::control::policy;
use crate::failure::Failure;
use crate::world::cancel::Cancel;

/// A fetch of the policy that takes longer is ended: a person waits for it.
const FETCH: Seconds = Seconds::minutes(1);

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration file: every fault with its line and what to do. Opens nothing that the file names
    Check,
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
}

/// Where the policy is published and who this machine is.
#[derive(Debug, Args)]
pub struct Init {
    /// The repository with the published bundles, as in `git.url`: a path, `file://`, `https://` or `ssh://`
    #[arg(long, value_name = "URL")]
    git: String,
    /// Its branch
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    branch: String,
    /// The folder in it that holds `trust/` and the environments; its root when absent
    #[arg(long, value_name = "FOLDER")]
    path: Option<String>,
    /// For `https://`: the name that goes with the password or token
    #[arg(long, value_name = "NAME", requires = "git_password_file")]
    git_username: Option<String>,
    /// For `https://`: a file with the password or token
    #[arg(long, value_name = "FILE", requires = "git_username")]
    git_password_file: Option<PathBuf>,
    /// For `ssh://`: a private key
    #[arg(long, value_name = "FILE")]
    git_ssh_key: Option<PathBuf>,
    /// The environment
    #[arg(long = "env", value_name = "ENV")]
    environment: EnvironmentId,
    /// The id of this reconciler, as the sites of the policy name it
    #[arg(long, value_name = "ID")]
    reconciler: ReconcilerId,
    /// The pin of the trust root, as `seawall trust init` printed it
    #[arg(long, value_name = "SHA256")]
    root_sha256: Digest,
    /// The folder for the daemon's state
    #[arg(long, value_name = "DIR", default_value = "/var/lib/seawall")]
    state: PathBuf,
    /// The file to write; standard output when absent. An existing file is never replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Fetches and verifies the published policy, and writes a configuration with everything that has to be bound.
pub fn init(arguments: &Init) -> Result<u8, Failure> {
    if config::has_credentials(&arguments.git) {
        let path = "--git".to_owned();
        return Err(ConfigError::CredentialsInUrl { path }.into());
    }
    let scratch = tempfile::tempdir().map_err(|error| {
        Failure::new(
            code::CONFIG_UNREADABLE,
            format!("a temporary folder cannot be made: {error}"),
            "check free space and TMPDIR",
        )
    })?;
    let config = seeing(arguments, scratch.path());
    let model = policy::published(&config, &Machine, &Cancel::new())?;
    let known = Known {
        reconciler: arguments.reconciler.clone(),
        environment: arguments.environment.to_string(),
        url: arguments.git.clone(),
        branch: arguments.branch.clone(),
        folder: arguments.path.clone(),
        access: access(arguments),
        root_sha256: arguments.root_sha256.to_string(),
        state: arguments.state.display().to_string(),
    };
    let text = starter(&model, &known);
    let Some(out) = &arguments.out else {
        return print(text.trim_end()).map(|()| 0);
    };
    write_new(out, &text)?;
    print(&format!(
        "wrote {}: fill in each `TODO`, then run `seawalld --config {} config check`",
        out.display(),
        out.display()
    ))
    .map(|()| 0)
}

/// The lines by which the daemon opens the repository as this command did.
fn access(arguments: &Init) -> Option<String> {
    let shown = |path: &Path| quoted(&path.display().to_string());
    let password = arguments.git_password_file.as_deref().map(shown);
    let credentials = arguments.git_username.as_deref().zip(password);
    let credentials = credentials.map(|(name, file)| {
        let name = quoted(name);
        format!("  credentials: {{ username: {name}, password_file: {file} }}")
    });
    let ssh = arguments.git_ssh_key.as_deref().map(shown);
    credentials.or(ssh.map(|key| format!("  ssh: {{ key: {key} }}")))
}

/// A file of its own name and of the daemon's user alone.
fn write_new(out: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        Failure::new(
            code::CONFIG_UNREADABLE,
            format!("`{}` cannot be written: {error}", out.display()),
            "name a file that does not exist yet, in a folder that you can write to",
        )
    })
}

/// A configuration that can look at the policy and do nothing else.
fn seeing(arguments: &Init, state: &Path) -> Config {
    let credentials = arguments
        .git_username
        .clone()
        .zip(arguments.git_password_file.clone());
    Config {
        file: PathBuf::new(),
        reconciler_id: arguments.reconciler.clone(),
        environment: arguments.environment.clone(),
        interval: FETCH,
        look_interval: None,
        workers: None,
        git: Git {
            url: arguments.git.clone(),
            branch: arguments.branch.clone(),
            path: arguments.path.clone(),
            deadline: FETCH,
            credentials: credentials.map(|(username, password_file)| GitCredentials {
                username,
                password_file,
            }),
            ca_file: None,
            ssh: arguments.git_ssh_key.clone().map(|key| GitSsh {
                key,
                known_hosts: None,
            }),
        },
        trust: Trust {
            root_sha256: arguments.root_sha256,
        },
        state: state.to_owned(),
        locations: BTreeMap::new(),
        keys: BTreeMap::new(),
        datasets: BTreeMap::new(),
        channels: BTreeMap::new(),
        completions: BTreeSet::new(),
        tcp: None,
        receipt_key: PathBuf::new(),
    }
}

/// Checks the file, or prints its schema.
pub fn config(command: &ConfigCommand, path: &Path, format: Format) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Schema => json(&schema::document()).map(|()| 0),
        ConfigCommand::Check => {
            let text = text_of(path)?;
            let faults: Vec<Failure> = config::check(&text, path)
                .into_iter()
                .map(Failure::from)
                .collect();
            if format == Format::Json {
                json(&faults)?;
            } else if faults.is_empty() {
                let shown = path.display();
                print(&format!(
                    "{shown} is well-formed; `seawalld doctor` checks what it names"
                ))?;
            } else {
                for fault in &faults {
                    super::tell(fault, format);
                }
            }
            Ok(faults.iter().map(Failure::exit_status).max().unwrap_or(0))
        }
    }
}
