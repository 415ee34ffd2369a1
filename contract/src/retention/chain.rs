//! Owns what recovery points need of each other: each may name a base, which may name another, and so on.
//!
//! Trusts no chain that it is handed: bases may be missing, twice there, or lead round in a circle. The interesting function is
//! [`Chains::of`], which looks at each point once however long the chains are.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Point, Trust};
use crate::id::BackupId;

/// The chains of the points of one repository.
pub(super) struct Chains<'a> {
    /// What is known of each point together with all that it needs.
    trust: BTreeMap<&'a BackupId, Trust>,
    /// The bases that are named, by point.
    bases: BTreeMap<&'a BackupId, BTreeSet<&'a BackupId>>,
}

impl<'a> Chains<'a> {
    pub(super) fn of(points: &'a [Point], now: Timestamp) -> Chains<'a> {
        let mut by_id: BTreeMap<&BackupId, Vec<&Point>> = BTreeMap::new();
        for point in points {
            by_id.entry(&point.backup_id).or_default().push(point);
        }
        let mut trust: BTreeMap<&BackupId, Trust> = BTreeMap::new();
        for start in by_id.keys() {
            let mut way = Vec::new();
            let mut on_way = BTreeSet::new();
            let mut next = Some(*start);
            // What is known of the base that the way ends at; of one that is not there, or that the way has met, nothing.
            let mut found = Trust::Verified;
            while let Some(id) = next.take() {
                if let Some(known) = trust.get(id) {
                    found = *known;
                } else if let Some(same) = by_id.get(id).filter(|_| on_way.insert(id)) {
                    way.push((id, own(same, now)));
                    next = same.iter().find_map(|point| point.base.as_ref());
                } else {
                    found = Trust::Unknown;
                }
            }
            for (id, own) in way.into_iter().rev() {
                found = worse(found, own);
                trust.insert(id, found);
            }
        }
        let mut bases: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for point in points {
            let named = bases.entry(&point.backup_id).or_default();
            named.extend(&point.base);
        }
        Chains { trust, bases }
    }

    /// What is known of a point together with all that it needs.
    pub(super) fn trust(&self, point: &Point) -> Trust {
        let known = self.trust.get(&point.backup_id).copied();
        known.unwrap_or(Trust::Unknown)
    }

    /// All that these points need, the points of whole chains.
    pub(super) fn needed<'b>(
        &self,
        kept: impl Iterator<Item = &'b BackupId>,
    ) -> BTreeSet<BackupId> {
        let mut needed = BTreeSet::new();
        let bases = |id: &BackupId| self.bases.get(id).into_iter().flatten().copied();
        let mut open: Vec<&BackupId> = kept.flat_map(bases).collect();
        while let Some(id) = open.pop() {
            if !needed.contains(id) {
                needed.insert(id.clone());
                open.extend(bases(id));
            }
        }
        needed
    }
}

/// What is known of the points of one id alone; of several nobody knows which one it is.
fn own(same: &[&Point], now: Timestamp) -> Trust {
    match same {
        [point] if point.at <= now => point.trust,
        [..] => Trust::Unknown,
    }
}

/// What is not known is worse than what is bad: it is never forgotten.
fn worse(one: Trust, other: Trust) -> Trust {
    match (one, other) {
        (Trust::Unknown, _) | (_, Trust::Unknown) => Trust::Unknown,
        (Trust::Suspect, _) | (_, Trust::Suspect) => Trust::Suspect,
        (Trust::Verified, Trust::Verified) => Trust::Verified,
    }
}
