//! Owns the engine's view of one location for reading. Never writes: every attempt is an error.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};

use super::mirror::{backend_error, kind_of, listed, lock as guard, object_of};
use super::observe::is_content_of;
use super::store::{Kind, Store, StoreError};
use crate::progress::Gauge;

/// One location, read only.
pub(super) struct Reader {
    store: Arc<dyn Store>,
    /// Counts what is read of packs.
    gauge: Arc<Gauge>,
    /// When set, only these packs are shown.
    visible: Mutex<Option<HashSet<String>>>,
}

impl Reader {
    pub(super) fn new(store: Arc<dyn Store>, gauge: Arc<Gauge>) -> Self {
        Self {
            store,
            gauge,
            visible: Mutex::new(None),
        }
    }

    /// Shows the engine only these packs.
    pub(super) fn show_only(&self, packs: HashSet<String>) {
        *guard(&self.visible) = Some(packs);
    }
}

impl ReadBackend for Reader {
    fn location(&self) -> String {
        self.store.place()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let mut found = self.store.list(kind_of(kind)).map_err(backend_error)?;
        if let (FileType::Pack, Some(visible)) = (kind, guard(&self.visible).as_ref()) {
            found.retain(|name, _| visible.contains(name));
        }
        listed(found)
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let object = object_of(kind, id);
        let content = self.store.read(&object).map_err(backend_error)?;
        if is_content_of(&object, &content) {
            if object.kind == Kind::Pack {
                self.gauge.add(1, content.len() as u64);
            }
            return Ok(content);
        }
        Err(backend_error(StoreError::Damaged {
            place: self.store.place(),
            object: object.path(),
        }))
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        let content = self
            .store
            .read_range(&object_of(kind, id), range)
            .map_err(backend_error)?;
        self.gauge.add(0, content.len() as u64);
        Ok(content)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        object_of(kind, id).path()
    }
}

impl WriteBackend for Reader {
    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        _content: BytesList,
    ) -> RusticResult<()> {
        Err(read_only(kind, id))
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        Err(read_only(kind, id))
    }
}

fn read_only(kind: FileType, id: &Id) -> Box<RusticError> {
    RusticError::new(
        ErrorKind::Unsupported,
        "`{object}` is opened for reading only",
    )
    .attach_context("object", object_of(kind, id).path())
}
