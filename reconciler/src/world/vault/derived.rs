//! Owns master keys that were derived from passwords, in memory alone: a derivation costs a third of a second on purpose, and the same
//! key file and password always give the same key. A daemon hands what one worker derived to the next. The interesting function
//! is [`judged`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::digest::Digest;
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::world::secret::{self, Secret};

/// Key files that are remembered, of some hundred bytes each: more than a daemon has repositories. Strangers can plant key files at a
/// location; when there are too many, all are forgotten and derived again.
const REMEMBERED: usize = 50_000;

/// The master key of a repository, and what it was derived from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Derived {
    repository: String,
    from: Digest,
    key: Secret,
}

#[derive(Default)]
struct Known {
    /// By key file and password; none where the password does not open the file.
    keys: BTreeMap<Digest, Option<Secret>>,
    of: BTreeMap<String, BTreeSet<Digest>>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known {
    keys: BTreeMap::new(),
    of: BTreeMap::new(),
});

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a key file and a password are to each other, derived at most once.
pub(super) fn judged(
    content: &[u8],
    password: &str,
    derive: impl FnOnce() -> Option<MasterKey>,
) -> Option<MasterKey> {
    let from = source(content, password);
    if let Some(key) = known().keys.get(&from) {
        return key.as_ref().and_then(read);
    }
    let key = derive();
    let mut known = known();
    if known.keys.len() >= REMEMBERED {
        *known = Known::default();
    }
    match key.as_ref().map(secret::to_line) {
        Some(Ok(line)) => known.keys.insert(from, Some(Secret::from(line.to_vec()))),
        Some(Err(_)) => None,
        None => known.keys.insert(from, None),
    };
    key
}

/// Says that the key of a file belongs to a repository.
pub(super) fn belongs(repository: &str, content: &[u8], password: &str) {
    let from = source(content, password);
    let mut known = known();
    known
        .of
        .entry(repository.to_owned())
        .or_default()
        .insert(from);
}

/// What was derived for a repository.
pub fn derived(repository: &str) -> Vec<Derived> {
    let known = known();
    let from = known.of.get(repository).into_iter().flatten();
    from.filter_map(|from| {
        Some(Derived {
            repository: repository.to_owned(),
            from: *from,
            key: known.keys.get(from)?.clone()?,
        })
    })
    .collect()
}

/// Everything that was derived.
pub fn all_derived() -> Vec<Derived> {
    let repositories: Vec<String> = known().of.keys().cloned().collect();
    repositories.iter().flat_map(|it| derived(it)).collect()
}

/// Takes over what another process derived.
pub fn learn(all: Vec<Derived>) {
    let mut known = known();
    if known.keys.len() >= REMEMBERED {
        *known = Known::default();
    }
    for Derived {
        repository,
        from,
        key,
    } in all
    {
        known.keys.insert(from, Some(key));
        known.of.entry(repository).or_default().insert(from);
    }
}

fn read(key: &Secret) -> Option<MasterKey> {
    serde_json::from_slice(key.bytes()).ok()
}

fn source(content: &[u8], password: &str) -> Digest {
    let mut text = Zeroizing::new(Vec::with_capacity(8 + content.len() + password.len()));
    text.extend(content.len().to_be_bytes());
    text.extend(content);
    text.extend(password.as_bytes());
    Digest::of(&text)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_once_for_each_file_and_password() {
        let mut times = 0;
        let mut derive = |content: &[u8], password: &str| {
            judged(content, password, || {
                times += 1;
                Some(MasterKey::new())
            })
            .unwrap()
            .encrypt
        };
        let first = derive(b"file", "word");
        assert_eq!(derive(b"file", "word"), first);
        assert_ne!(derive(b"file", "other"), first);
        assert_ne!(derive(b"file2", "word"), first);
        // The border between the two counts.
        assert_ne!(derive(b"filew", "ord"), first);
        assert_eq!(times, 4);
        let none = || judged(b"foreign", "word", || None);
        assert!(none().is_none() && none().is_none());
    }

    #[test]
    fn what_one_process_derived_another_takes_over() {
        let key = judged(b"theirs", "word", || Some(MasterKey::new())).unwrap();
        belongs("dev/bp/k1", b"theirs", "word");
        let handed = derived("dev/bp/k1");
        assert_eq!(handed.len(), 1);
        assert!(derived("dev/bp/k2").is_empty());
        known().keys.clear();
        learn(handed);
        let again = judged(b"theirs", "word", || None).unwrap();
        assert_eq!(again.encrypt, key.encrypt);
        assert_eq!(again.mac.k, key.mac.k);
    }
}
