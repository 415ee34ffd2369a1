//! Owns reading one location again: every name against its content, and every recovery point against the packs that are
//! there. Never writes. The interesting function is [`check`]: it says which objects are damaged and which recovery points
//! need one of them, because damage belongs to a location and an object, not to the point that was looked at.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustic_core::repofile::{BlobType, IndexFile, NodeType};
use rustic_core::{CheckOptions, IndexedFull, Repository, TreeId};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::error::VaultError;
use super::job::{Order, Portion, open};
use super::observe::is_content_of;
use super::repository::{self, engine};
use super::store::{Kind, Object, Store};
use super::trust::Doubted;
use crate::progress::{Gauge, Stage};

/// How many oddities and faults are told one by one.
const EXAMPLES: usize = 50;

/// What a check reads. Structure, index and snapshots are always read whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Which packs.
    pub portion: Portion,
    /// The last pack that an earlier reading of the same portion reached.
    pub after: Option<String>,
    /// The reading makes way after this time, whatever is left; at least one pack is read, so that it always comes forward.
    pub within: Option<Duration>,
}

impl From<Portion> for Reading {
    fn from(portion: Portion) -> Self {
        Self {
            portion,
            after: None,
            within: None,
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Packs read and hashed.
    pub packs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The recovery points whose snapshot files are there.
    pub held: BTreeSet<String>,
    /// Objects that are not what their names say, or that an index names and nothing holds: path and what was found.
    pub damaged: BTreeMap<String, String>,
    /// Objects that were known to be damaged and are not.
    pub repaired: BTreeSet<String>,
    /// Recovery points that cannot be read whole here, and the first thing that they miss.
    pub broken: BTreeMap<String, String>,
    /// The last pack that was read, where the reading made way before its end. Nothing is said of recovery points then.
    pub through: Option<String>,
    /// Objects that were listed and gone when they were read, by their paths.
    #[serde(skip)]
    pub vanished: BTreeSet<String>,
    /// Faults that name no object.
    pub faults: Vec<String>,
    /// Oddities that endanger nothing, for example packs that an interrupted run left.
    pub oddities: Vec<String>,
}

impl Checked {
    /// True when nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.broken.is_empty() && self.faults.is_empty()
    }

    /// Everything that was found to be wrong, one line each.
    pub fn damage(&self) -> Vec<String> {
        let objects = self
            .damaged
            .iter()
            .map(|(path, why)| format!("`{path}` {why}"));
        objects.chain(self.faults.iter().cloned()).collect()
    }
}

/// Reads a location again. `known` are objects that were damaged before.
pub(super) fn check(
    order: &Order,
    store: &Arc<dyn Store>,
    reading: &Reading,
    known: &BTreeSet<String>,
    gauge: &Arc<Gauge>,
) -> Result<Checked, VaultError> {
    let mut checked = Checked::default();
    let mut packs = hash_all(store.as_ref(), reading, known, &mut checked, gauge)?;
    vanished(store.as_ref(), &mut checked)?;
    // Where no list can be made, no engine can work, and nothing can be said of single objects.
    if let Some(fault) = checked.faults.first().cloned() {
        let all = checked.held.iter();
        checked.broken = all.map(|id| (id.clone(), fault.clone())).collect();
        return Ok(checked);
    }
    if checked.through.is_some() && checked.damaged.is_empty() {
        return Ok(checked);
    }
    let mut doubted: BTreeSet<String> = known.difference(&checked.repaired).cloned().collect();
    doubted.extend(checked.damaged.keys().cloned());
    let believed = |doubted: &BTreeSet<String>| -> Arc<dyn Store> {
        Arc::new(Doubted::new(Arc::clone(store), doubted))
    };
    let opened = match open(order, &believed(&doubted), gauge) {
        Ok((opened, _)) => opened,
        // Its key file is damaged: nothing can be read here before that is repaired.
        Err(error) if !doubted.is_empty() => {
            let all = checked.held.iter();
            checked.broken = all.map(|id| (id.clone(), error.to_string())).collect();
            return Ok(checked);
        }
        Err(error) => return Err(error),
    };
    let mut of_trees = BTreeSet::new();
    let mut named = BTreeSet::new();
    for file in opened
        .stream_files::<IndexFile>()
        .map_err(engine("checking"))?
    {
        let (_, file) = file.map_err(engine("checking"))?;
        for pack in &file.packs {
            let name = pack.id.to_hex().to_string();
            if !packs.remove(&name) && pack.blob_type() == BlobType::Tree {
                of_trees.insert(name.clone());
            }
            named.insert(name);
        }
    }
    // Listed after the indexes: a backup beside this check makes packs durable before it names them.
    let there = listed(store.as_ref(), Kind::Pack, &mut checked)?;
    for name in named.iter().filter(|name| !there.contains_key(*name)) {
        let path = path(Kind::Pack, name);
        doubted.insert(path.clone());
        let why = "is named by an index and is not there";
        checked.damaged.insert(path, why.to_owned());
    }
    // What is neither there nor named any more was removed on purpose: nothing misses it.
    let gone = known.iter().filter(|path| {
        Object::at(path).is_some_and(|object| {
            object.kind == Kind::Pack
                && !there.contains_key(&object.name)
                && !named.contains(&object.name)
        })
    });
    for path in gone {
        checked.repaired.insert(path.clone());
        doubted.remove(path);
    }
    checked.oddities.extend(
        packs.into_iter().map(|pack| {
            format!("pack `{pack}` is in no index: a run that was interrupted left it")
        }),
    );
    gauge.begin(Stage::Checking, None);
    if doubted.is_empty() && checked.faults.is_empty() {
        ask_engine(&opened, &reading.portion, &mut checked)?;
    }
    drop(opened);
    if !checked.faults.is_empty() {
        // A tree that does not decrypt lies in a pack that was not read yet: which one is worth knowing.
        for name in of_trees {
            hash(store.as_ref(), Kind::Pack, &name, known, &mut checked)?;
        }
        vanished(store.as_ref(), &mut checked)?;
        doubted.extend(checked.damaged.keys().cloned());
    }
    if !doubted.is_empty() || !checked.faults.is_empty() {
        checked.broken = broken(order, &believed(&doubted), &checked.held, gauge)?;
    }
    // The engine found a fault that the walk does not: nothing there can be called whole.
    if let (Some(fault), true) = (checked.faults.first(), checked.broken.is_empty()) {
        let all = checked.held.iter();
        checked.broken = all.map(|id| (id.clone(), fault.clone())).collect();
    }
    checked.oddities.truncate(EXAMPLES);
    checked.faults.truncate(EXAMPLES);
    Ok(checked)
}

/// The engine decrypted every chunk before it handed a pack over, so a pack whose name is its content's hash is proof enough;
/// only a check of everything decrypts again.
fn ask_engine(
    opened: &repository::Opened,
    portion: &Portion,
    checked: &mut Checked,
) -> Result<(), VaultError> {
    let options = match portion {
        Portion::All => CheckOptions::default().read_data(true),
        Portion::Part { .. } | Portion::Packs(_) => CheckOptions::default(),
    };
    for (level, error) in opened.check(options).map_err(engine("checking"))?.0 {
        // The level's type has no public name; its two values do.
        if format!("{level:?}") == "Warn" {
            checked.oddities.push(error.to_string());
        } else {
            checked
                .faults
                .push(repository::one_line(&error.to_string()));
        }
    }
    Ok(())
}

/// What is gone from the list, too, was removed meanwhile by a prune, and nothing needs it: what something needs is named by an index that
/// is there. What is listed all the same is damaged.
fn vanished(store: &dyn Store, checked: &mut Checked) -> Result<(), VaultError> {
    let vanished = std::mem::take(&mut checked.vanished);
    let objects: Vec<Object> = vanished
        .iter()
        .filter_map(|path| Object::at(path))
        .collect();
    for kind in [Kind::Key, Kind::Index, Kind::Snapshot, Kind::Pack] {
        if !objects.iter().any(|object| object.kind == kind) {
            continue;
        }
        let there = listed(store, kind, checked)?;
        for object in objects.iter().filter(|object| object.kind == kind) {
            if there.contains_key(&object.name) {
                let why = "is not there".to_owned();
                checked.damaged.insert(object.path(), why);
            }
        }
    }
    Ok(())
}

fn path(kind: Kind, name: &str) -> String {
    let name = name.to_owned();
    Object { kind, name }.path()
}

/// Names that no list can be made of are a fault of the location.
fn listed(
    store: &dyn Store,
    kind: Kind,
    checked: &mut Checked,
) -> Result<BTreeMap<String, u64>, VaultError> {
    match store.list(kind) {
        Err(error) if error.is_damage() => {
            checked.faults.push(error.to_string());
            Ok(BTreeMap::new())
        }
        other => other.map_err(|source| VaultError::Storage { source }),
    }
}

/// Hashes every key, index and snapshot file and the portion's packs against their names, packs in the order of their names.
/// Returns the packs that it read.
fn hash_all(
    store: &dyn Store,
    reading: &Reading,
    known: &BTreeSet<String>,
    checked: &mut Checked,
    gauge: &Arc<Gauge>,
) -> Result<BTreeSet<String>, VaultError> {
    for kind in [Kind::Key, Kind::Index, Kind::Snapshot] {
        for name in listed(store, kind, checked)?.into_keys() {
            let sound = hash(store, kind, &name, known, checked)?;
            if kind == Kind::Snapshot && sound {
                checked.held.insert(name);
            }
        }
    }
    let started = Instant::now();
    let mut packs = BTreeSet::new();
    let after = reading.after.as_ref();
    let mut left = listed(store, Kind::Pack, checked)?;
    left.retain(|name, _| reading.portion.holds(name) && after.is_none_or(|after| name > after));
    gauge.begin(Stage::Reading, Some(left.values().sum()));
    let mut left = left.into_iter().peekable();
    while let Some((name, size)) = left.next() {
        hash(store, Kind::Pack, &name, known, checked)?;
        checked.packs += 1;
        gauge.add(1, size);
        let late = reading
            .within
            .is_some_and(|within| started.elapsed() >= within);
        if late && left.peek().is_some() {
            checked.through = Some(name);
            return Ok(packs);
        }
        packs.insert(name);
    }
    Ok(packs)
}

/// Reads one object. What cannot be read while the location answers is damaged; a location that is gone is an error.
fn hash(
    store: &dyn Store,
    kind: Kind,
    name: &str,
    known: &BTreeSet<String>,
    checked: &mut Checked,
) -> Result<bool, VaultError> {
    let object = Object {
        kind,
        name: name.to_owned(),
    };
    let path = object.path();
    let why = match store.read(&object) {
        Ok(content) => {
            checked.bytes += content.len() as u64;
            if is_content_of(&object, &content) {
                if known.contains(&path) {
                    checked.repaired.insert(path);
                }
                return Ok(true);
            }
            "is not what its name says".to_owned()
        }
        Err(StoreError::NotFound { .. }) => {
            checked.vanished.insert(path);
            return Ok(false);
        }
        Err(error) if error.is_damage() => format!("is no such object: {error}"),
        Err(error @ StoreError::Failed { .. }) if store.list(Kind::Config).is_ok() => {
            format!("cannot be read: {error}")
        }
        Err(source) => return Err(VaultError::Storage { source }),
    };
    checked.damaged.insert(path, why);
    Ok(false)
}

/// The recovery points that cannot be read whole from what is to be believed: every tree and every chunk must be in a pack
/// that is there.
fn broken(
    order: &Order,
    store: &Arc<dyn Store>,
    held: &BTreeSet<String>,
    gauge: &Arc<Gauge>,
) -> Result<BTreeMap<String, String>, VaultError> {
    let (opened, reader) = open(order, store, gauge)?;
    reader.show_only(repository::known_packs(&opened)?.0);
    let indexed = opened.to_indexed_checked().map_err(engine("checking"))?;
    let mut whole = HashSet::new();
    let mut broken = BTreeMap::new();
    for id in held {
        let found = match indexed.get_snapshot_from_str(id, |_| true) {
            Ok(snapshot) => walk(&indexed, snapshot.tree, &mut whole),
            Err(error) => Err(repository::one_line(&error.to_string())),
        };
        if let Err(why) = found {
            broken.insert(id.clone(), why);
        }
    }
    Ok(broken)
}

/// Which recovery points cannot be read whole without these objects. Reads no pack but those of trees.
pub(super) fn impact(
    order: &Order,
    store: &Arc<dyn Store>,
    objects: &BTreeSet<String>,
    gauge: &Arc<Gauge>,
) -> Result<Checked, VaultError> {
    let mut checked = Checked::default();
    checked.held = listed(store.as_ref(), Kind::Snapshot, &mut checked)?
        .into_keys()
        .collect();
    let without: Arc<dyn Store> = Arc::new(Doubted::new(Arc::clone(store), objects));
    let opens_all = objects.iter().find(|path| {
        let kind = Object::at(path).map(|object| object.kind);
        matches!(kind, Some(Kind::Key | Kind::Config))
    });
    checked.broken = match (broken(order, &without, &checked.held, gauge), opens_all) {
        (Ok(broken), _) => broken,
        // Another key file may open it.
        (Err(_), Some(path)) => {
            let why = format!("`{path}` opens the repository");
            let all = checked.held.iter();
            all.map(|id| (id.clone(), why.clone())).collect()
        }
        (Err(error), None) => return Err(error),
    };
    Ok(checked)
}

/// Visits every tree below one, but those that were found whole before.
fn walk<S: IndexedFull>(
    indexed: &Repository<S>,
    root: TreeId,
    whole: &mut HashSet<TreeId>,
) -> Result<(), String> {
    let mut visited = HashSet::new();
    let mut left = vec![root];
    while let Some(id) = left.pop() {
        if whole.contains(&id) || !visited.insert(id) {
            continue;
        }
        let tree = indexed
            .get_tree(&id)
            .map_err(|_| format!("tree `{id}` cannot be read"))?;
        for node in tree.nodes {
            for chunk in node.content.iter().flatten() {
                indexed
                    .get_index_entry(chunk)
                    .map_err(|_| format!("chunk `{chunk}` is in no readable pack"))?;
            }
            if matches!(node.node_type, NodeType::Dir)
                && let Some(below) = node.subtree
            {
                left.push(below);
            }
        }
    }
    whole.extend(visited);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::ops::Range;

    use bytes::Bytes;

    use super::*;

    /// A location that only lists.
    struct Lists(BTreeMap<String, u64>);

    impl Store for Lists {
        fn place(&self) -> String {
            "here".to_owned()
        }

        fn list(&self, _: Kind) -> Result<BTreeMap<String, u64>, StoreError> {
            Ok(self.0.clone())
        }

        fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
            Err(StoreError::NotFound {
                place: self.place(),
                object: object.path(),
            })
        }

        fn read_range(&self, object: &Object, _: Range<u64>) -> Result<Bytes, StoreError> {
            self.read(object)
        }

        fn write(&self, object: &Object, _: &[Bytes]) -> Result<(), StoreError> {
            self.read(object).map(drop)
        }

        fn remove(&self, object: &Object) -> Result<(), StoreError> {
            self.read(object).map(drop)
        }

        fn remove_unfinished(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    /// A prune beside a check that a person asked for removes what the check has listed.
    #[test]
    fn what_is_gone_from_the_list_too_is_no_damage() {
        let name = "ab".repeat(32);
        for (there, damaged) in [(false, 0), (true, 1)] {
            let store = Lists(there.then(|| (name.clone(), 1)).into_iter().collect());
            let mut checked = Checked::default();
            let known = BTreeSet::new();
            assert!(!hash(&store, Kind::Pack, &name, &known, &mut checked).unwrap());
            vanished(&store, &mut checked).unwrap();
            assert_eq!(checked.damaged.len(), damaged, "{there}");
        }
    }
}
