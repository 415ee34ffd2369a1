//! Owns how far an effect is: what its worker counts, and what is told of it. Knows no clock, and nothing of what is counted. The
//! interesting type is [`Gauge`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an effect does at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits for other work, or has not begun.
    #[default]
    Waiting,
    /// A connector dumps its source.
    Dumping,
    /// The source is read and stored.
    Storing,
    /// Objects are copied between locations.
    Copying,
    /// Content is read from a location.
    Restoring,
    /// What was restored is read again and compared.
    Comparing,
    /// Restored data are put in place.
    Applying,
    /// Stored objects are read again.
    Reading,
    /// The structure of a repository is checked.
    Checking,
    /// What nothing needs is removed.
    Pruning,
}

impl Stage {
    /// For a person.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dumping => "dumping",
            Self::Storing => "storing",
            Self::Copying => "copying",
            Self::Restoring => "restoring",
            Self::Comparing => "comparing",
            Self::Applying => "putting in place",
            Self::Reading => "reading",
            Self::Checking => "checking",
            Self::Pruning => "pruning",
        }
    }
}

/// How far the current stage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Files, folders or objects done in it.
    pub entries: u64,
    /// Bytes done in it.
    pub bytes: u64,
    /// Bytes that it will come to, where that is known.
    pub of_bytes: Option<u64>,
    /// Work that is neither: files looked at, chunks hashed, objects made durable. Only whether it grows says something.
    #[serde(default)]
    pub steps: u64,
}

/// Counts in the process of an effect. Whoever works adds to it; a thread beside tells the parent.
#[derive(Debug, Default)]
pub struct Gauge {
    begun: Mutex<(Stage, Option<u64>)>,
    entries: AtomicU64,
    bytes: AtomicU64,
    steps: AtomicU64,
}

impl Gauge {
    /// A new stage begins, at zero.
    pub fn begin(&self, stage: Stage, of_bytes: Option<u64>) {
        let mut begun = self.lock();
        *begun = (stage, of_bytes);
        self.entries.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// More is done.
    pub fn add(&self, entries: u64, bytes: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much is done, counted by somebody else.
    pub fn set(&self, entries: u64, bytes: u64) {
        self.entries.store(entries, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Work was done that is counted in no other way.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let begun = self.lock();
        let (stage, of_bytes) = *begun;
        Progress {
            stage,
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            of_bytes,
            steps: self.steps.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Stage, Option<u64>)> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Progress with its rate, as it is told to people and clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pace {
    /// How far the stage is.
    #[serde(flatten)]
    pub progress: Progress,
    /// Bytes a second since the stage began.
    pub rate: u64,
    /// Seconds that the stage will take at that rate, where its size is known.
    pub left_s: Option<u64>,
    /// Seconds since anything was done.
    pub still_s: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashing a dump or walking a tree stores nothing for a long time, and is no standstill.
    #[test]
    fn work_of_any_kind_is_progress() {
        let gauge = Gauge::default();
        gauge.begin(Stage::Dumping, None);
        gauge.set(3, 7);
        let before = gauge.progress();
        // Whoever looks at the dump's size again finds it as it was.
        gauge.set(3, 7);
        assert_eq!(gauge.progress(), before);
        gauge.step();
        assert_ne!(gauge.progress(), before);
        gauge.begin(Stage::Storing, Some(9));
        gauge.add(1, 2);
        let progress = gauge.progress();
        assert_eq!((progress.entries, progress.bytes), (1, 2));
    }
}
