//! Owns which nodes of a graph lead back to themselves: its strongly connected components, found without recursion and in
//! linear time.
//!
//! Never knows what the nodes stand for. The function is [`components`].

/// A node on the way.
struct Visit {
    node: usize,
    /// How many of its edges were followed.
    followed: usize,
}

/// The components of a graph given as edges by node; what a component leads to comes before it.
pub(super) fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut order = vec![NEW; edges.len()];
    // The earliest node on the way that is reached from each; nodes in finished components reach nothing any more.
    let mut low = vec![NEW; edges.len()];
    let mut is_open = vec![false; edges.len()];
    let (mut open, mut found, mut count) = (Vec::new(), Vec::new(), 0);
    for start in 0..edges.len() {
        if at(&order, start) != NEW {
            continue;
        }
        let mut way = vec![Visit {
            node: start,
            followed: 0,
        }];
        while let Some(Visit { node, followed }) = way.last_mut() {
            let node = *node;
            if *followed == 0 {
                set(&mut order, node, count);
                set(&mut low, node, count);
                set(&mut is_open, node, true);
                open.push(node);
                count += 1;
            }
            let next = edges.get(node).and_then(|next| next.get(*followed));
            *followed += 1;
            match next.copied() {
                Some(next) if at(&order, next) == NEW => way.push(Visit {
                    node: next,
                    followed: 0,
                }),
                Some(next) if is_open.get(next) == Some(&true) => {
                    let least = at(&low, node).min(at(&order, next));
                    set(&mut low, node, least);
                }
                Some(_) => {}
                None => {
                    way.pop();
                    if let Some(before) = way.last() {
                        let least = at(&low, before.node).min(at(&low, node));
                        set(&mut low, before.node, least);
                    }
                    if at(&low, node) == at(&order, node) {
                        let from = open.iter().rposition(|one| *one == node).unwrap_or(0);
                        let component = open.split_off(from);
                        for one in &component {
                            set(&mut is_open, *one, false);
                        }
                        found.push(component);
                    }
                }
            }
        }
    }
    found
}

fn at(all: &[usize], node: usize) -> usize {
    all.get(node).copied().unwrap_or(usize::MAX)
}

fn set<T>(all: &mut [T], node: usize, value: T) {
    if let Some(place) = all.get_mut(node) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn reach(edges: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(edges.get(node).into_iter().flatten());
            }
        }
        found
    }

    proptest! {
        #[test]
        fn those_that_reach_each_other_are_one_after_what_they_lead_to(
            edges in proptest::collection::vec(proptest::collection::vec(0..9_usize, 0..4), 9)
        ) {
            let found = components(&edges);
            let mut seen = BTreeSet::new();
            for component in found {
                let Some(first) = component.first() else {
                    return Err(TestCaseError::fail("an empty component"));
                };
                let reached = reach(&edges, *first);
                let together: BTreeSet<usize> = (0..9)
                    .filter(|node| reached.contains(node) && reach(&edges, *node).contains(first))
                    .collect();
                prop_assert_eq!(&together, &component.iter().copied().collect());
                seen.extend(component);
                prop_assert!(reached.is_subset(&seen));
            }
            prop_assert_eq!(seen.len(), 9);
        }
    }

    #[test]
    fn a_long_way_needs_no_stack() {
        let edges: Vec<Vec<usize>> = (1..=200_000).map(|next| vec![next % 200_000]).collect();
        assert_eq!(components(&edges).len(), 1);
    }
}
