//! Owns opening a repository with the engine: key, configuration, first initialisation. Never writes anything else.
//! The interesting function is [`initialise`], which survives being killed half way.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::repofile::{IndexFile, KeyFile, MasterKey, PackId};
use rustic_core::{
    ConfigOptions, Credentials, KeyOptions, OpenStatus, Repository, RepositoryBackends,
    RepositoryOptions, RusticError, WriteBackend,
};

use super::error::VaultError;
use super::store::{Kind, Object, Store};

/// An opened repository of the engine.
pub(super) type Opened = Repository<OpenStatus>;

/// Wraps a failure of the engine.
pub(super) fn engine(doing: &'static str) -> impl Fn(Box<RusticError>) -> VaultError {
    move |error| VaultError::Engine {
        doing: doing.to_owned(),
        why: one_line(&error.display_log()),
    }
}

/// The engine's messages have paragraphs; ours are one line.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.strip_prefix("Error: ").unwrap_or(&line).to_owned()
}

/// The password is the key's bytes without one trailing newline, so that `restic --password-file` reads the same.
/// restic trims all white space around it, so a key that has more of it would open nothing there.
pub(super) fn password(repository: &str, key: &[u8]) -> Result<String, VaultError> {
    let unusable = |why: &str| VaultError::KeyUnusable {
        repository: repository.to_owned(),
        why: why.to_owned(),
    };
    let text = std::str::from_utf8(key).map_err(|_| unusable("it is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(unusable("it is empty"));
    }
    if text.trim() != text || text.contains(['\n', '\r', '\0']) {
        return Err(unusable("it has white space around it or several lines"));
    }
    Ok(text.to_owned())
}

fn unopened(backend: &Arc<dyn WriteBackend>) -> Result<Repository<()>, VaultError> {
    let options = RepositoryOptions::default().no_cache(true);
    Repository::new(
        &options,
        &RepositoryBackends::new(Arc::clone(backend), None),
    )
    .map_err(engine("opening the repository"))
}

/// Opens with the master key.
pub(super) fn open(backend: &Arc<dyn WriteBackend>, key: &MasterKey) -> Result<Opened, VaultError> {
    unopened(backend)?
        .open(&Credentials::Masterkey(key.clone()))
        .map_err(engine("opening the repository"))
}

/// Writes key file and configuration, the configuration last: a repository without one does not exist. A key file that an
/// interrupted initialisation left is used again, or the password would open two master keys.
pub(super) fn initialise(
    backend: &Arc<dyn WriteBackend>,
    existing: Option<MasterKey>,
    password: &str,
) -> Result<MasterKey, VaultError> {
    let credentials =
        existing.map_or_else(|| Credentials::password(password), Credentials::Masterkey);
    let opened = unopened(backend)?
        .init(
            &credentials,
            &KeyOptions::default(),
            &ConfigOptions::default(),
        )
        .map_err(engine("making the repository"))?;
    Ok(opened.key())
}

/// Reads the master key from a location's key files; none when it has no key file at all.
pub(super) fn master_key(
    store: &dyn Store,
    password: &str,
    repository: &str,
) -> Result<Option<MasterKey>, VaultError> {
    let files = key_files(store)?;
    if files.is_empty() {
        return Ok(None);
    }
    for (object, content) in files {
        let file: KeyFile = serde_json::from_slice(&content)
            .map_err(|error| unreadable(format!("{}: {error}", object.path())))?;
        let Ok(key) = file.key_from_password(&password) else {
            continue;
        };
        let (encrypt, k, r) = key.to_keys();
        // The type of the middle part has no public name; its JSON form has.
        let mut master = MasterKey::new();
        master.encrypt = encrypt;
        master.mac.k = k;
        master.mac.r = r;
        return Ok(Some(master));
    }
    Err(VaultError::WrongKey {
        repository: repository.to_owned(),
    })
}

fn unreadable(why: String) -> VaultError {
    VaultError::Engine {
        doing: "reading key files".to_owned(),
        why,
    }
}

/// The key files of a location, with their content.
pub(super) fn key_files(store: &dyn Store) -> Result<Vec<(Object, Bytes)>, VaultError> {
    let storage = |source| VaultError::Storage { source };
    let names = store.list(Kind::Key).map_err(storage)?;
    names
        .into_keys()
        .map(|name| {
            let object = Object {
                kind: Kind::Key,
                name,
            };
            let content = store.read(&object).map_err(storage)?;
            Ok((object, content))
        })
        .collect()
}

/// The packs that index files name, and how many of them no location has. The engine's checked index also takes in packs that
/// no index file names, left by a run that was killed; data inside them would then be referenced and never indexed.
pub(super) fn known_packs(opened: &Opened) -> Result<(HashSet<String>, u64), VaultError> {
    let reading = engine("reading the index");
    let mut indexed = HashSet::new();
    for file in opened.stream_files::<IndexFile>().map_err(&reading)? {
        let (_, file) = file.map_err(&reading)?;
        indexed.extend(file.packs.iter().map(|pack| pack.id.to_hex().to_string()));
    }
    let present: HashSet<String> = opened
        .list::<PackId>()
        .map_err(&reading)?
        .map(|id| id.to_hex().to_string())
        .collect();
    let missing = indexed.difference(&present).count() as u64;
    Ok((indexed, missing))
}
