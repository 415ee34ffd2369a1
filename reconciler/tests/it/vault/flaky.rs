//! Storage that fails or holds back when a test says so, around the real one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reconciler::world::vault::{Kind, Object, Store, StoreError};

/// Writes that still succeed, shared between locations so that a test can stop them all at one moment.
#[derive(Debug, Clone)]
pub struct Fuse {
    left: Arc<AtomicU64>,
    heals: bool,
}

impl Fuse {
    pub fn after(writes: u64) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(writes)),
            heals: false,
        }
    }

    /// One write fails, and the ones after it succeed again.
    pub fn once_after(writes: u64) -> Self {
        Self {
            heals: true,
            ..Self::after(writes)
        }
    }

    /// True while there is something left.
    fn burn(&self) -> bool {
        let burnt = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        if !burnt && self.heals {
            self.left.store(u64::MAX, Ordering::SeqCst);
        }
        burnt
    }

    /// True when the fault struck.
    pub fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// A store whose writes fail once the fuse is blown; with `dead`, everything fails then, as after a power cut.
pub struct Flaky {
    pub inner: Arc<dyn Store>,
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

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.alive(&object.path())?;
        self.inner.remove(object)
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.alive("unfinished writes")?;
        self.inner.remove_unfinished()
    }
}

/// What a slow disk saw: whether an index arrived while a pack was still on its way.
#[derive(Debug, Default)]
pub struct Order {
    packs_under_way: AtomicU64,
    pub packs: AtomicU64,
    pub index_came_early: AtomicBool,
}

/// A store that holds each pack back for a moment in which no index may arrive.
pub struct Slow {
    pub inner: Arc<dyn Store>,
    pub order: Arc<Order>,
}

impl Slow {
    const MOMENT: Duration = Duration::from_millis(200);
}

impl Store for Slow {
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
        let order = &self.order;
        if object.kind == Kind::Index && order.packs_under_way.load(Ordering::SeqCst) > 0 {
            order.index_came_early.store(true, Ordering::SeqCst);
        }
        if object.kind != Kind::Pack {
            return self.inner.write(object, content);
        }
        order.packs.fetch_add(1, Ordering::SeqCst);
        order.packs_under_way.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Self::MOMENT);
        let written = self.inner.write(object, content);
        order.packs_under_way.fetch_sub(1, Ordering::SeqCst);
        written
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.inner.remove(object)
    }
    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.inner.remove_unfinished()
    }
}
