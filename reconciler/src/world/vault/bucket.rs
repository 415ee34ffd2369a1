//! Owns access to the objects of one repository in a bucket: list, read, write. Never removes an object but lock files, and never reads an
//! object whole that is larger than its kind can be. The interesting type is [`BucketObjects`].
//!
//! A bucket is no mount that can be exchanged between two calls, and every look costs a request: its mark is read at the first call and
//! again when [`TRUSTED`] has passed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::mirror::lock;
use super::objects::is_object_name;
use super::store::{
    Kind, LocationBucket, MARK_FILE, MARK_LIMIT, Mark, Object, Store, StoreError, folder,
    mark_from, most_bytes, most_names, unlike,
};
use crate::world::bucket::{Bucket, BucketError, Replaces};

/// For how long the mark that was read last stands for the bucket.
const TRUSTED: Duration = Duration::from_mins(1);

/// The folders that packs are in, by the first byte of their names.
const GROUPS: usize = 256;

/// [`Store`] over a bucket.
pub(super) struct BucketObjects {
    site: LocationBucket,
    repository: String,
    marked: Mutex<Option<Instant>>,
}

/// The mark of a bucket, if it has one.
pub fn read_mark_in(bucket: &Bucket) -> Result<Option<Mark>, String> {
    let content = match bucket.read(MARK_FILE, MARK_LIMIT) {
        Ok(content) => content,
        Err(BucketError::NotFound) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    mark_from(&content).map(Some)
}

impl BucketObjects {
    pub(super) fn new(site: LocationBucket, repository: String) -> Self {
        Self {
            site,
            repository,
            marked: Mutex::default(),
        }
    }

    fn explain(&self, object: &str, error: BucketError) -> StoreError {
        let (place, object) = (self.place(), object.to_owned());
        match error {
            BucketError::NotFound => StoreError::NotFound { place, object },
            BucketError::Unreachable(why) | BucketError::Denied(why) => {
                StoreError::Unreachable { place, why }
            }
            BucketError::Silent(time) => StoreError::Silent {
                place,
                seconds: time.as_secs(),
            },
            BucketError::Full => StoreError::Full { place },
            BucketError::TooLarge(size) => StoreError::Unfit {
                place,
                object,
                why: format!("has {size} bytes, which is more than such an object can have"),
            },
            BucketError::TooMany(most) => StoreError::Unfit {
                place,
                object,
                why: format!("has more than {most} names"),
            },
            BucketError::TooShort => StoreError::Damaged { place, object },
            BucketError::Exists => StoreError::Failed {
                place,
                object,
                why: "another writer has made it meanwhile".to_owned(),
            },
            BucketError::Failed(why) => StoreError::Failed { place, object, why },
        }
    }

    /// The bucket, once its mark is the expected one.
    fn bucket(&self) -> Result<Arc<Bucket>, StoreError> {
        let LocationBucket {
            binding,
            handed,
            mark,
            patience,
            ..
        } = &self.site;
        let bucket = Bucket::open(binding, handed.as_ref(), *patience)
            .map_err(|error| self.explain(MARK_FILE, error))?;
        let Some(expected) = mark else {
            return Ok(bucket);
        };
        let mut marked = lock(&self.marked);
        if marked.is_none_or(|since| since.elapsed() > TRUSTED) {
            let found = match bucket.read(MARK_FILE, MARK_LIMIT) {
                Ok(content) => mark_from(&content).ok(),
                Err(BucketError::NotFound) => None,
                Err(error) => return Err(self.explain(MARK_FILE, error)),
            };
            if let Some(why) = unlike(found.as_ref(), expected) {
                return Err(StoreError::NotExpected {
                    place: self.place(),
                    why,
                });
            }
            *marked = Some(Instant::now());
        }
        Ok(bucket)
    }

    fn key(&self, below: &str) -> String {
        format!("{}/{below}", self.repository)
    }

    fn sized(&self, kind: Kind, name: &str, size: u64) -> Result<u64, StoreError> {
        if size <= most_bytes(kind) {
            return Ok(size);
        }
        let name = name.to_owned();
        let path = Object { kind, name }.path();
        Err(self.explain(&path, BucketError::TooLarge(size)))
    }
}

impl Store for BucketObjects {
    fn place(&self) -> String {
        format!("{}/{}", self.site.binding.shown(), self.repository)
    }

    fn list(&self, kind: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
        let bucket = self.bucket()?;
        let below = folder(kind);
        if kind == Kind::Config {
            let head = bucket
                .head(&self.key(below))
                .map_err(|error| self.explain(below, error))?;
            let sized = head.map(|head| self.sized(kind, "", head.size));
            return Ok(sized
                .transpose()?
                .map(|size| (String::new(), size))
                .into_iter()
                .collect());
        }
        let groups = if kind == Kind::Pack { GROUPS } else { 1 };
        let listed = bucket
            .list(&self.key(below), groups * most_names(kind))
            .map_err(|error| self.explain(below, error))?;
        let mut found = BTreeMap::new();
        for (path, size) in listed {
            // What lies anywhere else is no object, as in a folder.
            if let Some(object) = named(kind, &path) {
                let size = self.sized(kind, &object, size)?;
                found.insert(object, size);
            }
        }
        Ok(found)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        let path = object.path();
        self.bucket()?
            .read(&self.key(&path), most_bytes(object.kind))
            .map_err(|error| self.explain(&path, error))
    }

    fn read_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, StoreError> {
        let path = object.path();
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(Bytes::new());
        }
        // An index may name what is not there; nothing is set aside for it in memory.
        if length > most_bytes(object.kind) {
            return Err(self.explain(&path, BucketError::TooShort));
        }
        self.bucket()?
            .read_range(&self.key(&path), range)
            .map_err(|error| self.explain(&path, error))
    }

    fn write(&self, object: &Object, content: &[Bytes]) -> Result<(), StoreError> {
        let (path, bucket) = (object.path(), self.bucket()?);
        let key = self.key(&path);
        // Every name but the configuration's says what the content is. Of two who make a repository at the same time, one is first.
        let replaces = if object.kind == Kind::Config {
            Replaces::Nothing
        } else {
            Replaces::Anything
        };
        match bucket.write(&key, content, &replaces, object.kind == Kind::Pack) {
            Ok(_) => Ok(()),
            // Its own first try may have arrived while the answer did not.
            Err(BucketError::Exists) => match bucket.read(&key, most_bytes(object.kind)) {
                Ok(found) if found == content.concat() => Ok(()),
                Ok(_) => Err(self.explain(&path, BucketError::Exists)),
                Err(error) => Err(self.explain(&path, error)),
            },
            Err(error) => Err(self.explain(&path, error)),
        }
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let path = object.path();
        self.bucket()?
            .delete(&self.key(&path))
            .map_err(|error| self.explain(&path, error))
    }

    /// A write that was killed leaves nothing under a name, and its parts to the bucket's rule for uploads that were never finished.
    fn remove_unfinished(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// The name of the object at a path below its kind's folder.
fn named(kind: Kind, path: &str) -> Option<String> {
    let name = match (kind, path.split_once('/')) {
        (Kind::Pack, Some((group, name))) if name.starts_with(group) && group.len() == 2 => name,
        (Kind::Pack, _) | (_, Some(_)) => return None,
        (_, None) => path,
    };
    is_object_name(name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_its_place_alone() {
        let name = "ab".repeat(32);
        assert_eq!(named(Kind::Pack, &format!("ab/{name}")), Some(name.clone()));
        assert_eq!(named(Kind::Index, &name), Some(name.clone()));
        for (kind, path) in [
            (Kind::Pack, name.clone()),
            (Kind::Pack, format!("cd/{name}")),
            (Kind::Pack, format!("ab/cd/{name}")),
            (Kind::Index, format!("ab/{name}")),
            (Kind::Index, name.to_uppercase()),
            (Kind::Snapshot, "temporary".to_owned()),
        ] {
            assert_eq!(named(kind, &path), None, "{path}");
        }
    }
}
