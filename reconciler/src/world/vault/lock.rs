//! Owns restic's lock files: one at each location while a run writes, so that `restic prune` or `restic check` beside it waits.
//! Never removes the lock of a live process. The interesting function is [`Locks::take`].
//!
//! A lock that `restic unlock` would remove is removed here too, before a run takes its own: it was not refreshed for 30
//! minutes, or it names this host and a process that does not exist. Both are restic's own rule, and only a lock that opens
//! with the repository's key counts as one. Each removal is logged with `event = "stale_lock_removed"` and its holder.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use aes256ctr_poly1305aes::aead::Aead as _;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use bytes::Bytes;
use contract::digest::Digest;
use contract::id::LocationId;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};

use super::mirror::lock as guard;
use super::store::{Kind, Object, Store, StoreError};

/// restic takes a lock for dead after 30 minutes without a new time; it refreshes its own every five, and so do we.
const REFRESH: Duration = Duration::from_mins(5);

/// What is decompressed at most. Only who has the key can make anything larger, and by mistake.
const UNPACKED_LIMIT: u64 = 512 << 20;

/// restic's own rule: a lock that was not refreshed for this long has nobody behind it.
const STALE_AFTER: Duration = Duration::from_mins(30);

/// A repository has a lock for each run under way and a few that dead ones left. Whoever puts more into a location would make every
/// run of all locations wait for the reading of them.
const MAX_LOCKS: usize = 1_000;

/// The file as restic writes it, and one field of ours that restic ignores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LockFile {
    time: String,
    #[serde(default)]
    pub(super) exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    /// Start of the process in clock ticks since boot, and the boot: a process id alone is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seawall_process: Option<String>,
}

impl LockFile {
    /// Who holds it, for messages.
    pub(super) fn holder(&self) -> String {
        format!("{}@{} process {}", self.username, self.hostname, self.pid)
    }

    /// True when this program wrote it on this machine and no run stands behind it any more: its process is gone, or it is
    /// this process, which could not remove the file when its run ended.
    fn is_our_dead(&self, name: &str, here: &Identity) -> bool {
        self.seawall_process.as_ref().is_some_and(|process| {
            let ended = match process_mark(self.pid) {
                Some(mark) => mark != *process,
                // A process that cannot be seen may be another user's, or hidden: only the kernel's word that there is none counts.
                None => is_gone(self.pid),
            };
            let left_behind = self.pid == std::process::id() && !guard(&LIVE).contains(name);
            self.hostname == here.hostname && (ended || left_behind)
        })
    }
}

impl LockFile {
    /// Why nobody stands behind it any more, by restic's rule.
    fn is_stale(&self, here: &Identity, now: Timestamp) -> Option<&'static str> {
        let written: Timestamp = self.time.parse().ok()?;
        let age = now.duration_since(written).as_secs();
        if u64::try_from(age).is_ok_and(|age| age > STALE_AFTER.as_secs()) {
            return Some("it was not refreshed for 30 minutes");
        }
        let gone = is_gone(self.pid);
        (self.hostname == here.hostname && gone).then_some("its process on this host is gone")
    }
}

/// Whether the kernel knows no process of this number. Without a number there is no process to look for.
fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}

/// Names of the lock files of this process that a run stands behind.
static LIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Who we are, as lock files and snapshots tell it.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) hostname: String,
    pub(super) username: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Identity {
    pub(super) fn of_this_process() -> Self {
        let uid = nix::unistd::getuid();
        let username = nix::unistd::User::from_uid(uid)
            .ok()
            .flatten()
            .map_or_else(|| uid.to_string(), |user| user.name);
        Self {
            hostname: fs::read_to_string("/proc/sys/kernel/hostname")
                .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned()),
            username,
            uid: uid.as_raw(),
            gid: nix::unistd::getgid().as_raw(),
        }
    }
}

/// Boot id and start time of a live process; nothing when there is no such process.
fn process_mark(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // The command name may hold spaces and parentheses; the fields after its last `)` may not.
    let start = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .to_owned();
    Some(format!("{}:{start}", boot.trim()))
}

/// Seals and opens the small files that the engine has no type for.
#[derive(Clone)]
pub(super) struct Sealer(Aes256CtrPoly1305Aes);

impl Sealer {
    pub(super) fn new(key: &MasterKey) -> Option<Self> {
        let mut raw = Key::default();
        let parts = key.encrypt.iter().chain(&key.mac.k).chain(&key.mac.r);
        if key.encrypt.len() + key.mac.k.len() + key.mac.r.len() != raw.len() {
            return None;
        }
        raw.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        Some(Self(Aes256CtrPoly1305Aes::new(&raw)))
    }

    pub(super) fn seal(&self, content: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = nonce.to_vec();
        sealed.extend(self.0.encrypt(&nonce, content).ok()?);
        Some(sealed)
    }

    /// Decrypts: nothing unless it was sealed with this key.
    pub(super) fn unseal(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(16)?;
        self.0.decrypt(Nonce::from_slice(nonce), body).ok()
    }

    /// Decrypts and, where the first byte says so, decompresses.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let open = self.unseal(sealed)?;
        match open.split_first() {
            Some((2, packed)) => {
                let mut unpacked = Vec::new();
                let mut reader = zstd::Decoder::new(packed).ok()?.take(UNPACKED_LIMIT);
                reader.read_to_end(&mut unpacked).ok()?;
                Some(unpacked)
            }
            Some((b'{' | b'[', _)) => Some(open),
            Some(_) | None => None,
        }
    }
}

/// Who may be beside the holder of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Others that only add.
    Others,
    /// Nobody: something is removed.
    Nobody,
}

/// Why a location could not be locked.
pub(super) enum Refused {
    /// Its storage failed.
    Store(StoreError),
    /// Another program holds it exclusively.
    Held(String),
}

/// Our locks; they are refreshed while this lives and removed when it ends.
pub(super) struct Locks {
    held: Arc<Mutex<Vec<Held>>>,
    stop: Option<Sender<()>>,
    refresher: Option<JoinHandle<()>>,
}

struct Held {
    store: Arc<dyn Store>,
    name: String,
}

impl Locks {
    /// Locks each location that can be locked and says why the others cannot.
    pub(super) fn take(
        stores: &[(LocationId, Arc<dyn Store>)],
        sealer: &Sealer,
        here: &Identity,
        beside: Beside,
    ) -> (Self, Vec<(LocationId, Refused)>) {
        let mut held = Vec::new();
        let mut refused = Vec::new();
        for (location, store) in stores {
            match take_one(store.as_ref(), sealer, here, beside) {
                Ok(name) => {
                    tracing::debug!(%location, "location is locked");
                    held.push(Held {
                        store: Arc::clone(store),
                        name,
                    });
                }
                Err(why) => refused.push((location.clone(), why)),
            }
        }
        let held = Arc::new(Mutex::new(held));
        let (stop, stopped) = channel();
        let (ours, sealer, here) = (Arc::clone(&held), sealer.clone(), here.clone());
        let refresher = std::thread::spawn(move || {
            while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                for one in guard(&ours).iter_mut() {
                    refresh(one, &sealer, &here, beside);
                }
            }
        });
        let locks = Self {
            held,
            stop: Some(stop),
            refresher: Some(refresher),
        };
        (locks, refused)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(refresher) = self.refresher.take() {
            drop(refresher.join());
        }
        for one in guard(&self.held).drain(..) {
            guard(&LIVE).remove(&one.name);
            if let Err(error) = one.store.remove(&lock_named(&one.name)) {
                tracing::warn!(event = "lock_not_removed", %error, "own lock file stays behind");
            }
        }
    }
}

/// Writes first and looks afterwards, as restic does: of two that start together, at least one sees the other.
fn take_one(
    store: &dyn Store,
    sealer: &Sealer,
    here: &Identity,
    beside: Beside,
) -> Result<String, Refused> {
    remove_dead(store, sealer, here).map_err(Refused::Store)?;
    let name = write(store, sealer, here, beside).map_err(Refused::Store)?;
    let in_the_way = |file: &LockFile| file.exclusive || beside == Beside::Nobody;
    let exclusive = others(store, sealer, &name).map(|others| {
        others
            .into_iter()
            .find(|(_, file)| file.as_ref().is_some_and(in_the_way))
    });
    if !matches!(exclusive, Ok(None)) {
        guard(&LIVE).remove(&name);
    }
    let refused = match exclusive {
        Ok(None) => return Ok(name),
        Ok(Some((_, file))) => {
            Refused::Held(file.map_or_else(|| "unknown".to_owned(), |file| file.holder()))
        }
        Err(error) => Refused::Store(error),
    };
    if let Err(error) = store.remove(&lock_named(&name)) {
        tracing::warn!(event = "lock_not_removed", %error, "own lock file stays behind");
    }
    Err(refused)
}

fn write(
    store: &dyn Store,
    sealer: &Sealer,
    here: &Identity,
    beside: Beside,
) -> Result<String, StoreError> {
    let failed = |why: &str| StoreError::Failed {
        place: store.place(),
        object: "locks".to_owned(),
        why: why.to_owned(),
    };
    let pid = std::process::id();
    let file = LockFile {
        time: Timestamp::now().to_string(),
        exclusive: beside == Beside::Nobody,
        hostname: here.hostname.clone(),
        username: here.username.clone(),
        pid,
        uid: here.uid,
        gid: here.gid,
        seawall_process: process_mark(pid),
    };
    let content = serde_json::to_vec(&file).map_err(|error| failed(&error.to_string()))?;
    let sealed = sealer
        .seal(&content)
        .ok_or_else(|| failed("the lock cannot be encrypted"))?;
    let name = Digest::of(&sealed).to_string();
    let object = lock_named(&name);
    guard(&LIVE).insert(name.clone());
    match store.write(&object, &[Bytes::from(sealed)]) {
        Ok(()) => Ok(name),
        Err(error) => {
            guard(&LIVE).remove(&name);
            Err(error)
        }
    }
}

/// The new file first, so that there is no moment without a lock.
fn refresh(held: &mut Held, sealer: &Sealer, here: &Identity, beside: Beside) {
    match write(held.store.as_ref(), sealer, here, beside) {
        Ok(name) => {
            let old = std::mem::replace(&mut held.name, name);
            guard(&LIVE).remove(&old);
            if let Err(error) = held.store.remove(&lock_named(&old)) {
                tracing::warn!(event = "lock_not_removed", %error, "an older lock file of this run stays behind");
            }
        }
        Err(error) => {
            tracing::warn!(event = "lock_not_refreshed", %error, "lock file cannot be refreshed");
        }
    }
}

fn lock_named(name: &str) -> Object {
    Object {
        kind: Kind::Lock,
        name: name.to_owned(),
    }
}

type Found = Vec<(String, Option<LockFile>)>;

/// All lock files but ours; one that cannot be read or opened has no content.
pub(super) fn others(store: &dyn Store, sealer: &Sealer, own: &str) -> Result<Found, StoreError> {
    let listed = store.list(Kind::Lock)?;
    if listed.len() > MAX_LOCKS {
        return Err(StoreError::Failed {
            place: store.place(),
            object: "locks".to_owned(),
            why: format!(
                "it has {} lock files, at most {MAX_LOCKS} are read",
                listed.len()
            ),
        });
    }
    let mut found = Vec::new();
    for name in listed.into_keys().filter(|name| name != own) {
        match store.read(&lock_named(&name)) {
            Ok(sealed) => {
                let file = sealer
                    .open(&sealed)
                    .and_then(|content| serde_json::from_slice(&content).ok());
                found.push((name, file));
            }
            // Its holder ended between the listing and the reading.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn remove_dead(store: &dyn Store, sealer: &Sealer, here: &Identity) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for (name, file) in others(store, sealer, "")? {
        let Some(file) = file else { continue };
        if file.is_our_dead(&name, here) {
            tracing::info!(event = "stale_lock_removed", place = %store.place(), "removes the lock of an own run that died");
        } else if let Some(why) = file.is_stale(here, now) {
            let (place, holder) = (store.place(), file.holder());
            tracing::warn!(event = "stale_lock_removed", %place, %holder, "removes a stale lock: {why}");
        } else {
            continue;
        }
        match store.remove(&lock_named(&name)) {
            // Another run may have removed it first.
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
