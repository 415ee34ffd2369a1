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
use zeroize::Zeroizing;

use super::derived;
use super::error::VaultError;
use super::store::{Kind, Object, Store, StoreError};

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
pub(super) fn password(repository: &str, key: &[u8]) -> Result<Zeroizing<String>, VaultError> {
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
    Ok(Zeroizing::new(text.to_owned()))
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

/// Memory that opening one key file may take: `128 * N * r` bytes. What restic and the engine write takes 32 MiB.
const SCRYPT_MEMORY: u64 = 256 << 20;

/// Work that opening one key file may take: `N * r * p`. A fast machine calibrates itself to a tenth of it; this is seconds.
const SCRYPT_WORK: u64 = 1 << 24;

/// Key files of one location that are tried. Persons have a handful; whoever plants more only hides his own location.
const KEYS_TRIED: usize = 16;

/// What a key file is to us.
pub(super) enum KeyFileIs {
    /// It opens with our password.
    Ours(MasterKey),
    /// A key file for another password.
    Foreign,
    /// No key file, or one that would cost more to open than any that a program writes.
    Junk,
}

/// Opens a key file.
pub(super) fn judge_key(content: &[u8], password: &str) -> KeyFileIs {
    let Ok(file) = serde_json::from_slice::<KeyFile>(content) else {
        return KeyFileIs::Junk;
    };
    let (n, r, p) = (u64::from(file.n), u64::from(file.r), u64::from(file.p));
    let memory = n.saturating_mul(r).saturating_mul(128);
    let work = n.saturating_mul(r).saturating_mul(p);
    if memory > SCRYPT_MEMORY || work > SCRYPT_WORK || work == 0 {
        return KeyFileIs::Junk;
    }
    let derive = || {
        let key = file.key_from_password(&password).ok()?;
        let (encrypt, k, r) = key.to_keys();
        // The type of the middle part has no public name; its JSON form has.
        let mut master = MasterKey::new();
        master.encrypt = encrypt;
        master.mac.k = k;
        master.mac.r = r;
        Some(master)
    };
    derived::judged(content, password, derive).map_or(KeyFileIs::Foreign, KeyFileIs::Ours)
}

/// The key file that opened.
pub(super) struct KeyFound {
    pub(super) object: Object,
    pub(super) content: Bytes,
    pub(super) key: MasterKey,
}

/// Finds the key file at a location that our password opens; none when it has no key file at all. What is no key file is
/// passed over: it must not keep the right one from being found.
pub(super) fn master_key(
    store: &dyn Store,
    password: &str,
    repository: &str,
) -> Result<Option<KeyFound>, VaultError> {
    let storage = |source| VaultError::Storage { source };
    let names = store.list(Kind::Key).map_err(storage)?;
    if names.is_empty() {
        return Ok(None);
    }
    let mut foreign = false;
    for name in names.into_keys().take(KEYS_TRIED) {
        let object = Object {
            kind: Kind::Key,
            name,
        };
        let content = match store.read(&object) {
            Ok(content) => content,
            Err(error) if error.is_damage() || matches!(error, StoreError::NotFound { .. }) => {
                continue;
            }
            Err(error) => return Err(storage(error)),
        };
        match judge_key(&content, password) {
            KeyFileIs::Ours(key) => {
                derived::belongs(repository, &content, password);
                return Ok(Some(KeyFound {
                    object,
                    content,
                    key,
                }));
            }
            KeyFileIs::Foreign => foreign = true,
            KeyFileIs::Junk => {}
        }
    }
    if foreign {
        return Err(VaultError::WrongKey {
            repository: repository.to_owned(),
        });
    }
    Err(storage(StoreError::Damaged {
        place: store.place(),
        object: "keys".to_owned(),
    }))
}

/// Whether a location may hold a repository: it has a key file, ours or not, or nobody can tell. What has none opens for
/// nobody.
pub(super) fn may_be_at(store: &dyn Store, password: &str, repository: &str) -> bool {
    match master_key(store, password, repository) {
        Ok(found) => found.is_some(),
        Err(VaultError::Storage { source }) => !source.is_damage(),
        Err(_) => true,
    }
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
