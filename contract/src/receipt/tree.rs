//! The Merkle tree of RFC 6962 over the lines of a log: appended to, proven from, verified against.
//!
//! Written here and not taken from a crate: it is the daemon's trusted base, the crates bring a second signature library, and
//! the whole is this page. The verification functions follow the steps of RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use crate::digest::Digest;

use super::fault::ReceiptFault;

/// The hash of a line as a leaf: SHA-256(0x00 ‖ line without LF).
pub fn leaf_hash(line: &[u8]) -> Digest {
    Digest::of(&[&[0], line].concat())
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    let (_, children) = bytes.split_at_mut(1);
    let (left_half, right_half) = children.split_at_mut(32);
    left_half.copy_from_slice(left.as_bytes());
    right_half.copy_from_slice(right.as_bytes());
    Digest::of(&bytes)
}

/// A tree that only grows. Holds one hash for each perfect subtree, so that appending costs O(log n).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Perfect subtrees from left to right, each smaller than the one before: (leaves, root).
    peaks: Vec<(u64, Digest)>,
}

impl Tree {
    /// The empty tree.
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// The tree over these leaf hashes.
    pub fn over<'d>(leaves: impl IntoIterator<Item = &'d Digest>) -> Self {
        let mut tree = Self::default();
        for leaf in leaves {
            tree.append(*leaf);
        }
        tree
    }

    /// The tree of this size whose perfect subtrees have these roots, from left to right: one for each bit of the size.
    pub(super) fn of_peaks(size: u64, roots: &[Digest]) -> Self {
        let bits = (0..u64::BITS).rev().map(|bit| 1 << bit);
        let leaves = bits.filter(|leaves| size & leaves != 0);
        Self {
            size,
            peaks: leaves.zip(roots.iter().copied()).collect(),
        }
    }

    /// Roots of the perfect subtrees, from left to right.
    pub(super) fn peaks(&self) -> impl Iterator<Item = Digest> {
        self.peaks.iter().map(|(_, root)| *root)
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds one leaf hash.
    pub fn append(&mut self, leaf: Digest) {
        self.size += 1;
        let mut peak = (1, leaf);
        while let Some((leaves, left)) = self.peaks.pop_if(|(leaves, _)| *leaves == peak.0) {
            peak = (leaves * 2, node_hash(&left, &peak.1));
        }
        self.peaks.push(peak);
    }

    /// The root hash; for no leaves at all, the hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev().map(|(_, root)| *root);
        let Some(last) = peaks.next() else {
            return Digest::of(b"");
        };
        peaks.fold(last, |right, left| node_hash(&left, &right))
    }
}

/// The largest power of two below `size`, for `size` of 2 or more.
const fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// The proof that leaf number `index` (from 0) is in the tree over `leaves`; none where there is no such leaf.
pub fn prove_inclusion(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index, mut proof) = (leaves, index, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            proof.push(Tree::over(right).root());
            leaves = left;
        } else {
            proof.push(Tree::over(left).root());
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The proof that the tree over `leaves` extends the one over the first `old_size` of them; none where that is longer.
pub fn prove_consistency(leaves: &[Digest], old_size: usize) -> Option<Vec<Digest>> {
    if old_size > leaves.len() {
        return None;
    }
    if old_size == 0 || old_size == leaves.len() {
        return Some(Vec::new());
    }
    let (mut leaves, mut old, mut whole, mut proof) = (leaves, old_size, true, Vec::new());
    while old < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            proof.push(Tree::over(right).root());
            leaves = left;
        } else {
            proof.push(Tree::over(left).root());
            old -= left.len();
            leaves = right;
            whole = false;
        }
    }
    // The verifier knows the old root already; it is told only where the old tree is no subtree of the new one.
    if !whole {
        proof.push(Tree::over(leaves).root());
    }
    proof.reverse();
    Some(proof)
}

/// Checks that `leaf` is number `index` of the tree with this size and root.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    root: &Digest,
    proof: &[Digest],
) -> Result<(), ReceiptFault> {
    let fault = ReceiptFault::Proof("inclusion");
    if index >= size {
        return Err(fault);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(fault);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(fault)
    }
}

/// Checks that the tree of size `new` with root `new_root` begins with the one of size `old` with root `old_root`.
pub fn verify_consistency(
    (old, old_root): (u64, &Digest),
    (new, new_root): (u64, &Digest),
    proof: &[Digest],
) -> Result<(), ReceiptFault> {
    let fault = ReceiptFault::Proof("consistency");
    if old == new {
        return if proof.is_empty() && old_root == new_root {
            Ok(())
        } else {
            Err(fault)
        };
    }
    if old == 0 {
        return if proof.is_empty() && *old_root == Tree::default().root() {
            Ok(())
        } else {
            Err(fault)
        };
    }
    if old > new {
        return Err(fault);
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // Where the old tree is one perfect subtree, its root is the first step and is not in the proof.
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        steps.next()
    };
    let Some(first) = first else {
        return Err(fault);
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in steps {
        if last == 0 {
            return Err(fault);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && old_hash == *old_root && new_hash == *new_root {
        Ok(())
    } else {
        Err(fault)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The published test leaves of Certificate Transparency, and the roots over the first 0 to 8 of them.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// The definition of RFC 6962, section 2.1, word by word.
    fn defined(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node_hash(&defined(&leaves[..k]), &defined(&leaves[k..]))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count)
            .map(|i| leaf_hash(i.to_string().as_bytes()))
            .collect()
    }

    #[test]
    fn roots_are_the_published_ones() {
        let leaves: Vec<Digest> = LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect();
        for (size, root) in ROOTS.iter().enumerate() {
            assert_eq!(
                Tree::over(&leaves[..size]).root().to_string(),
                *root,
                "{size}"
            );
        }
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_other() {
        for size in 0..=33_usize {
            let leaves = leaves(size);
            let root = Tree::over(&leaves).root();
            assert_eq!(root, defined(&leaves));
            for index in 0..size {
                let proof = prove_inclusion(&leaves, index).unwrap();
                let holds = |index, size, proof: &[Digest]| {
                    verify_inclusion(&leaves[index], index as u64, size as u64, &root, proof)
                        .is_ok()
                };
                assert!(holds(index, size, &proof), "{index} of {size}");
                for other in (0..size).filter(|other| *other != index) {
                    assert!(
                        !holds(other, size, &proof),
                        "{other} by the proof of {index} of {size}"
                    );
                }
                assert!(!holds(index, size, &[&proof[..], &[root]].concat()));
                assert!(proof.is_empty() || !holds(index, size, &proof[1..]));
                assert!(verify_inclusion(&root, index as u64, 0, &root, &proof).is_err());
            }
            assert_eq!(prove_inclusion(&leaves, size), None);
            let other = leaf_hash(b"other");
            for old in 0..=size {
                let old_root = Tree::over(&leaves[..old]).root();
                let proof = prove_consistency(&leaves, old).unwrap();
                let holds = |old: usize, old_root, proof: &[Digest]| {
                    verify_consistency((old as u64, old_root), (size as u64, &root), proof).is_ok()
                };
                assert!(holds(old, &old_root, &proof), "{old} to {size}");
                assert!(!holds(old, &other, &proof));
                assert!(!holds(old, &old_root, &[&proof[..], &[root]].concat()));
                assert!(proof.is_empty() || !holds(old, &old_root, &proof[1..]));
                assert!(!holds(size + 1, &old_root, &proof));
            }
            assert_eq!(prove_consistency(&leaves, size + 1), None);
        }
    }

    proptest! {
        #[test]
        fn proofs_of_larger_trees_hold(size in 1..600_usize, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let leaves = leaves(size);
            let root = Tree::over(&leaves).root();
            let (index, old) = (a.index(size), b.index(size + 1));
            let proof = prove_inclusion(&leaves, index).unwrap();
            prop_assert!(verify_inclusion(&leaves[index], index as u64, size as u64, &root, &proof).is_ok());
            let old_root = Tree::over(&leaves[..old]).root();
            let proof = prove_consistency(&leaves, old).unwrap();
            prop_assert!(verify_consistency((old as u64, &old_root), (size as u64, &root), &proof).is_ok());
        }

        #[test]
        fn verification_never_panics(index: u64, size: u64, count in 0..70_usize) {
            let proof = leaves(count);
            let root = leaf_hash(b"x");
            prop_assert!(verify_inclusion(&root, index, size, &root, &proof).is_err() || (size == 1 && count == 0));
            let _ = verify_consistency((index, &root), (size, &root), &proof);
        }
    }
}
