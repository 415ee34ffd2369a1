//! Owns what is wrong with a configuration of the right shape: values that no run could use. Touches nothing that they name. The
//! interesting function is [`faults`].

use std::collections::BTreeMap;
use std::path::Path;

use contract::duration::Seconds;
use contract::id::LocationId;

use crate::world::channel::ChannelBinding;

use super::{Config, Git, KeySource, MAX_PATIENCE, MAX_WORKERS, Site};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, as in `locations.loc_a.path`.
    pub at: String,
    /// What is wrong.
    pub why: String,
    /// What a person can do.
    pub help: String,
}

/// Everything that is wrong.
pub fn faults(config: &Config) -> Vec<Fault> {
    let mut found = Found::default();
    found.check_service(config);
    found.check_git(&config.git);
    found.check_locations(config);
    found.check_keys(config);
    found.check_channels(config);
    for (id, binding) in &config.datasets {
        let at = format!("datasets.{id}");
        if let Err(error) = binding.check() {
            found.add(&at, format!("`{at}`: {error}"), error.help());
        }
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Fault>);

impl Found {
    fn add(&mut self, at: &str, why: String, help: &str) {
        self.0.push(Fault {
            at: at.to_owned(),
            why,
            help: help.to_owned(),
        });
    }

    fn above_zero(&mut self, at: &str, is_zero: bool) {
        if is_zero {
            let help = "write a duration such as `PT1M`";
            self.add(at, format!("`{at}` must be above zero"), help);
        }
    }

    fn absolute(&mut self, at: &str, path: &Path) {
        if !path.is_absolute() {
            let help = "begin it with `/`: a service has no working folder of yours";
            self.add(at, format!("`{at}` must be an absolute path"), help);
        }
    }

    fn check_service(&mut self, config: &Config) {
        self.above_zero("interval", config.interval.is_zero());
        let look = config.look_interval;
        self.above_zero("look_interval", look.is_some_and(Seconds::is_zero));
        if config.workers() == 0 || config.workers() > MAX_WORKERS {
            let why = format!("`workers` must be above zero and at most {MAX_WORKERS}");
            self.add("workers", why, "leave it out for 8");
        }
        self.absolute("state", &config.state);
        self.absolute("receipt_key", &config.receipt_key);
        let Some(tcp) = &config.tcp else { return };
        for (at, file) in [
            ("tcp.webhook_secret_file", &tcp.webhook_secret_file),
            ("tcp.read_token_file", &tcp.read_token_file),
        ] {
            if let Some(file) = file {
                self.absolute(at, file);
            }
        }
    }

    fn check_git(&mut self, git: &Git) {
        self.above_zero("git.deadline", git.deadline.is_zero());
        let known = ["file://", "https://", "ssh://"]
            .iter()
            .any(|scheme| git.url.starts_with(scheme));
        if !known && !Path::new(&git.url).is_absolute() {
            let why = "`git.url` must begin with `/`, `file://`, `https://` or `ssh://`";
            let help = "write `ssh://git@host/path` for what git shows as `git@host:path`";
            self.add("git.url", why.to_owned(), help);
        }
        if git.credentials.is_some() && !git.url.starts_with("https://") {
            let why = "`git.credentials` go with an `https://` URL alone";
            let help = "remove them, or use `git.ssh` with an `ssh://` URL";
            self.add("git.credentials", why.to_owned(), help);
        }
        if git.ssh.is_some() && !git.url.starts_with("ssh://") {
            let why = "`git.ssh` goes with an `ssh://` URL alone";
            let help = "remove it, or use `git.credentials` with an `https://` URL";
            self.add("git.ssh", why.to_owned(), help);
        }
        if let Some(credentials) = &git.credentials {
            self.absolute("git.credentials.password_file", &credentials.password_file);
            let name = &credentials.username;
            if name.is_empty() || name.chars().any(char::is_control) {
                let why = "`git.credentials.username` must be a name".to_owned();
                let help = "the git host says which name goes with a token";
                self.add("git.credentials.username", why, help);
            }
        }
        if let Some(ssh) = &git.ssh {
            self.absolute("git.ssh.key", &ssh.key);
            if let Some(file) = &ssh.known_hosts {
                self.absolute("git.ssh.known_hosts", file);
            }
        }
        if let Some(file) = &git.ca_file {
            self.absolute("git.ca_file", file);
        }
        let branch_is_plain = !git.branch.is_empty()
            && !git.branch.starts_with(['-', '/'])
            && !git.branch.contains("..")
            && git
                .branch
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        if !branch_is_plain {
            let why = "`git.branch` is not a branch name".to_owned();
            self.add("git.branch", why, "write its short name, such as `main`");
        }
        if let Some(path) = &git.path
            && (path.starts_with('/')
                || path.split('/').any(|part| part.is_empty() || part == ".."))
        {
            let why = "`git.path` must be a folder inside the repository".to_owned();
            let help = "write it from the root of the repository on, without `/` at its ends";
            self.add("git.path", why, help);
        }
    }

    fn check_locations(&mut self, config: &Config) {
        let mut folders: BTreeMap<String, &LocationId> = BTreeMap::new();
        for (id, location) in &config.locations {
            let (field, one) = match &location.site {
                Site::Folder(path) => {
                    self.absolute(&format!("locations.{id}.path"), path);
                    ("path", path.display().to_string())
                }
                Site::Bucket(bucket) => {
                    if let Some((field, why, help)) = bucket.fault() {
                        let at = format!("locations.{id}.s3.{field}");
                        self.add(&at, format!("`{at}` {why}"), help);
                    }
                    if let Some(file) = &bucket.ca_file {
                        self.absolute(&format!("locations.{id}.s3.ca_file"), file);
                    }
                    let prefix = bucket.prefix.as_deref().unwrap_or_default();
                    ("s3", format!("{} {prefix}", bucket.server()))
                }
            };
            if let Some(patience) = location.patience
                && (patience.is_zero() || patience > MAX_PATIENCE)
            {
                let at = format!("locations.{id}.patience");
                let why = format!("`{at}` must be above zero and at most {MAX_PATIENCE}");
                self.add(&at, why, "leave it out for 20 s");
            }
            // Two locations in one folder would count as two copies and be one.
            if let Some(other) = folders.insert(one, id) {
                let why = format!("locations `{other}` and `{id}` are the same folder");
                let help = "give each its own folder, on storage of its own";
                self.add(&format!("locations.{id}.{field}"), why, help);
            }
        }
    }

    fn check_channels(&mut self, config: &Config) {
        for (id, channel) in &config.channels {
            if let Some((field, why, help)) = channel.fault() {
                let at = format!("channels.{id}.{field}");
                self.add(&at, format!("`{at}` {why}"), help);
            }
            let files = channel.secret_file().into_iter().chain(channel.ca_file());
            for file in files {
                self.absolute(&format!("channels.{id}.{}", channel.kind()), file);
            }
        }
        for id in &config.completions {
            let help = "name a channel of `channels` that is `webhook`, `slack` or `mail`";
            let why = match config.channels.get(id) {
                None => "is not bound in `channels`",
                Some(ChannelBinding::Pagerduty(_)) => {
                    "is a pager: a finished backup is no reason to page"
                }
                Some(ChannelBinding::External(_)) => "is delivered by another system",
                Some(_) => continue,
            };
            self.add(
                "completions",
                format!("`completions`: channel `{id}` {why}"),
                help,
            );
        }
    }

    fn check_keys(&mut self, config: &Config) {
        for (kid, source) in &config.keys {
            match source {
                KeySource::File(path) => self.absolute(&format!("keys.{kid}.file"), path),
                KeySource::Env(name) if name.is_empty() => {
                    let at = format!("keys.{kid}.env");
                    let why = format!("`{at}` must name a variable");
                    self.add(
                        &at,
                        why,
                        "write the name of a variable of the daemon's environment",
                    );
                }
                KeySource::Command(argv) if argv.is_empty() => {
                    let at = format!("keys.{kid}.command");
                    let why = format!("`{at}` must name a program");
                    self.add(&at, why, "write the program and its arguments as a list");
                }
                KeySource::Env(_) | KeySource::Command(_) => {}
            }
        }
    }
}
