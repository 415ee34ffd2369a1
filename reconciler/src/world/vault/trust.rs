//! Owns a location without the objects that are known to be damaged there: they count as absent, so that the location lags by
//! them, a sound copy replaces them, no restore reads them, and the engine stores again what no location holds sound. Never
//! decides what is damaged. The interesting function is [`Doubted::holds`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::mirror::lock as guard;
use super::store::{Kind, Object, Store, StoreError};

/// One location as far as it is to be believed.
pub(super) struct Doubted {
    store: Arc<dyn Store>,
    damaged: Mutex<BTreeSet<Object>>,
}

impl Doubted {
    /// Paths that name no object are ignored: nothing of that name is ever read.
    pub(super) fn new<'path>(
        store: Arc<dyn Store>,
        damaged: impl IntoIterator<Item = &'path String>,
    ) -> Self {
        let damaged = damaged
            .into_iter()
            .filter_map(|path| Object::at(path))
            .collect();
        Self {
            store,
            damaged: Mutex::new(damaged),
        }
    }

    fn holds(&self, object: &Object) -> Result<(), StoreError> {
        if guard(&self.damaged).contains(object) {
            return Err(StoreError::Damaged {
                place: self.store.place(),
                object: object.path(),
            });
        }
        Ok(())
    }
}

impl Store for Doubted {
    fn place(&self) -> String {
        self.store.place()
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut found = self.store.list(kind)?;
        for object in guard(&self.damaged).iter() {
            if object.kind == kind {
                found.remove(&object.name);
            }
        }
        Ok(found)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.holds(object)?;
        self.store.read(object)
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.holds(object)?;
        self.store.read_range(object, range)
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        self.store.write(object, content)?;
        // Whoever writes has the content from a sound copy or from the source, and the write replaced all of it.
        guard(&self.damaged).remove(object);
        Ok(())
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.store.remove(object)
    }

    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        self.store.remove_unfinished()
    }
}
