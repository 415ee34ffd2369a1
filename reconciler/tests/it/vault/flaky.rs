//! Storage that fails when a test says so, around the real one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use reconciler::world::vault::{Kind, Object, Objects, Store, StoreError};

/// Writes that still succeed, shared between locations so that a test can stop them all at one moment.
#[derive(Debug, Clone)]
pub struct Fuse(Arc<AtomicU64>);

impl Fuse {
    pub fn after(writes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(writes)))
    }

    /// True while there is something left.
    fn burn(&self) -> bool {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }

    /// True when the fault struck.
    pub fn is_blown(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// A store whose writes fail once the fuse is blown; with `dead`, everything fails then, as after a power cut.
pub struct Flaky {
    pub inner: Objects,
    pub fuse: Fuse,
    pub dead: bool,
}

impl Flaky {
    fn fault(&self, object: &str) -> StoreError {
        StoreError::Failed {
            place: self.inner.place(),
            object: object.to_owned(),
            why: "injected fault".to_owned(),
        }
    }

    fn alive(&self, object: &str) -> Result<(), StoreError> {
        if self.dead && self.fuse.is_blown() {
            return Err(self.fault(object));
        }
        Ok(())
    }
}

impl Store for Flaky {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        self.alive("a listing")?;
        self.inner.list(kind)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.alive(&object.path())?;
        self.inner.read(object)
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.alive(&object.path())?;
        self.inner.read_range(object, range)
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        if self.fuse.burn() {
            return self.inner.write(object, content);
        }
        Err(self.fault(&object.path()))
    }

    fn remove_lock(&self, name: &str) -> Result<(), StoreError> {
        self.alive("a lock")?;
        self.inner.remove_lock(name)
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.alive("unfinished writes")?;
        self.inner.remove_unfinished()
    }
}
