//! Owns how fast a location is written to, where the configuration or a plan bounds it. The interesting type is [`Paced`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::mirror::lock;
use super::store::{Kind, Object, Store, StoreError};

/// A location that takes so many bytes a second and no more.
pub(super) struct Paced {
    inner: Arc<dyn Store>,
    limit: u64,
    pace: Mutex<Pace>,
}

/// When the next byte may be sent.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

impl Pace {
    /// How long to wait after so many bytes, so that no second has more than `limit`.
    fn after(&mut self, bytes: u64, limit: u64) -> Duration {
        let now = Instant::now();
        let free = self.0.map_or(now, |free| free.max(now));
        let nanoseconds =
            u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(limit.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let next = free.checked_add(takes).unwrap_or(free);
        self.0 = Some(next);
        next.saturating_duration_since(now)
    }
}

impl Paced {
    pub(super) fn new(inner: Arc<dyn Store>, limit: u64) -> Self {
        let pace = Mutex::default();
        Self { inner, limit, pace }
    }
}

impl Store for Paced {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        self.inner.list(kind)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.inner.read(object)
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.read_range(object, range)
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        self.inner.write(object, content)?;
        // Packs are nearly all of it, and a lock that waits behind them would look like a dead one.
        if object.kind == Kind::Pack {
            let bytes = content.iter().map(|part| part.len() as u64).sum();
            let rest = lock(&self.pace).after(bytes, self.limit);
            std::thread::sleep(rest);
        }
        Ok(())
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.inner.remove(object)
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.inner.remove_unfinished()
    }
}
