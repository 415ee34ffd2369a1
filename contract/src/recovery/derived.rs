//! Owns the way along `derived_from`: what is proven of a dataset that is rebuilt from others, made of what is proven of those.
//! Each is looked at once for all that are rebuilt from it, so that a proof takes as long as there are edges, however many ways
//! they make, and without recursion, however long they are.
//!
//! Never knows what is proven. The interesting functions are [`fold`] and [`Needs::of`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::components::components;
use super::{LossCase, Recovery};
use crate::id::DatasetId;
use crate::model::{Eligibility, FaultDomain};

/// Most datasets without copies on which keys of their own sources may hang for each way to be looked at by itself. Where there
/// are more, the live data of all of them counts as gone.
const MAX_TURNS: usize = 6;

/// A dataset, and those on the way to it whose live data matters because it is gone.
pub(super) type State<'m> = (&'m DatasetId, BTreeSet<&'m DatasetId>);

/// What is known already, by loss case.
pub(super) type Known<'m, V> = Mutex<BTreeMap<LossCase, Arc<Mutex<BTreeMap<State<'m>, V>>>>>;

/// How a proof goes along `derived_from`.
pub(super) struct Fold<'f, 'm, V> {
    /// What a dataset is rebuilt from; none where the proof is about the dataset itself.
    pub(super) sources: &'f dyn Fn(&DatasetId) -> Option<&'m BTreeSet<DatasetId>>,
    /// The proof about a dataset itself, when the live data of these is gone.
    pub(super) itself: &'f dyn Fn(&'m DatasetId, &BTreeSet<&'m DatasetId>) -> V,
    /// The proof about a dataset that is rebuilt from itself.
    pub(super) circle: V,
    /// The proof about a dataset, made of those about its sources, in the order of their ids.
    pub(super) join: &'f dyn Fn(Vec<V>) -> V,
}

/// A dataset whose sources are looked at.
struct Visit<'m, V> {
    state: State<'m>,
    sources: Box<dyn Iterator<Item = &'m DatasetId> + 'm>,
    values: Vec<V>,
}

/// What datasets need, directly or through others: what they are rebuilt from, and what holds the keys of their copies.
#[derive(Debug, Default)]
pub(super) struct Needs<'m> {
    /// The fault domains of each dataset and of all that it needs.
    pub(super) near: BTreeMap<&'m DatasetId, Arc<BTreeSet<FaultDomain>>>,
    /// Those that need themselves, each with all that need each other with it.
    circles: BTreeMap<&'m DatasetId, Arc<BTreeSet<&'m DatasetId>>>,
    /// Those that need themselves and have no copies.
    pub(super) turns: BTreeSet<&'m DatasetId>,
}

impl<'m> Needs<'m> {
    /// Looks at all datasets of a model, once its plans and copies are known.
    pub(super) fn of(recovery: &Recovery<'m>) -> Needs<'m> {
        let ids: Vec<&'m DatasetId> = recovery.model.datasets.keys().collect();
        let places: BTreeMap<&DatasetId, usize> =
            ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let edges: Vec<Vec<usize>> = ids
            .iter()
            .map(|id| {
                let needed = recovery.may_need(id);
                needed
                    .filter_map(|id| places.get(id).copied())
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut needs = Needs::default();
        for component in components(&edges) {
            let members: BTreeSet<&'m DatasetId> = component
                .iter()
                .filter_map(|at| ids.get(*at).copied())
                .collect();
            let needed: BTreeSet<usize> = component
                .iter()
                .filter_map(|at| edges.get(*at))
                .flatten()
                .copied()
                .collect();
            let of_others = needed
                .iter()
                .filter_map(|at| needs.near.get(*ids.get(*at)?).cloned());
            // Most of what is near something is near what it needs, so that sets are shared along the way.
            let mut near = of_others
                .clone()
                .max_by_key(|near| near.len())
                .unwrap_or_default();
            let own = members.iter().flat_map(|id| recovery.domains_near(id));
            let others: Vec<Arc<BTreeSet<FaultDomain>>> = of_others.collect();
            let more = others
                .iter()
                .filter(|other| !Arc::ptr_eq(other, &near))
                .flat_map(|other| other.iter().cloned());
            let more: Vec<FaultDomain> = own.chain(more).collect();
            for domain in more {
                if !near.contains(&domain) {
                    Arc::make_mut(&mut near).insert(domain);
                }
            }
            let is_circle =
                component.len() > 1 || component.first().is_some_and(|at| needed.contains(at));
            let circle = Arc::new(members.clone());
            for id in members {
                needs.near.insert(id, Arc::clone(&near));
                if is_circle {
                    needs.circles.insert(id, Arc::clone(&circle));
                    if recovery.is_only_rebuilt(id) {
                        needs.turns.insert(id);
                    }
                }
            }
        }
        needs
    }

    /// All that need this dataset and are needed by it; none where it does not need itself.
    pub(super) fn circle(&self, id: &DatasetId) -> Option<&BTreeSet<&'m DatasetId>> {
        self.circles.get(id).map(Arc::as_ref)
    }
}

impl Recovery<'_> {
    /// Whether nothing but its sources brings a dataset back.
    pub(super) fn is_only_rebuilt(&self, id: &DatasetId) -> bool {
        let known = self.model.datasets.get(id);
        known.is_some_and(|known| known.eligibility == Eligibility::Reconstructed)
            && self.plans_of(id).is_empty()
    }
}

/// The proof about a dataset, made of proofs about what it is rebuilt from. `turns` are those whose live data matters to others
/// on the way.
pub(super) fn fold<'m, V: Clone>(
    dataset: &'m DatasetId,
    turns: &BTreeSet<&'m DatasetId>,
    known: &mut BTreeMap<State<'m>, V>,
    fold: &Fold<'_, 'm, V>,
) -> V {
    let Fold {
        sources,
        itself,
        circle,
        join,
    } = fold;
    let first = if turns.len() > MAX_TURNS {
        turns.clone()
    } else {
        BTreeSet::new()
    };
    let visit = |state: State<'m>, of: &'m BTreeSet<DatasetId>| Visit {
        state,
        sources: Box::new(of.iter()),
        values: Vec::new(),
    };
    let alone = |state: &State<'m>| {
        let mut gone = state.1.clone();
        gone.insert(state.0);
        itself(state.0, &gone)
    };
    let start = (dataset, first);
    let Some(of) = sources(dataset) else {
        return alone(&start);
    };
    if let Some(value) = known.get(&start) {
        return value.clone();
    }
    let mut on_way = BTreeSet::from([dataset]);
    let mut way = vec![visit(start, of)];
    while let Some(last) = way.last_mut() {
        let Some(source) = last.sources.next() else {
            let value = join(std::mem::take(&mut last.values));
            let state = last.state.clone();
            on_way.remove(state.0);
            known.insert(state, value.clone());
            way.pop();
            match way.last_mut() {
                Some(before) => before.values.push(value),
                None => return value,
            }
            continue;
        };
        let mut gone = last.state.1.clone();
        gone.extend(turns.get(last.state.0));
        let state = (source, gone);
        if on_way.contains(source) {
            last.values.push(circle.clone());
        } else if let Some(value) = known.get(&state) {
            last.values.push(value.clone());
        } else if let Some(of) = sources(source) {
            on_way.insert(source);
            way.push(visit(state, of));
        } else {
            let value = alone(&state);
            known.insert(state, value.clone());
            last.values.push(value);
        }
    }
    circle.clone()
}

/// What is known of one loss case, for whoever asks next.
pub(super) fn of_case<'m, V>(
    known: &Known<'m, V>,
    case: &LossCase,
) -> Arc<Mutex<BTreeMap<State<'m>, V>>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(of) = known.get(case) {
        return Arc::clone(of);
    }
    let of = Arc::new(Mutex::new(BTreeMap::new()));
    known.insert(case.clone(), Arc::clone(&of));
    of
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::cell::Cell;

    use super::*;

    type Graph = BTreeMap<DatasetId, BTreeSet<DatasetId>>;

    fn id(number: usize) -> DatasetId {
        format!("d{number}").parse().unwrap()
    }

    /// How many ways lead from the first to datasets without sources, and how often anything was looked at.
    fn ways(graph: &Graph) -> (Option<u128>, usize) {
        let looks = Cell::new(0);
        let look = || looks.set(looks.get() + 1);
        let sources = |id: &DatasetId| graph.get(id).filter(|sources| !sources.is_empty());
        let itself = |_: &DatasetId, _: &BTreeSet<&DatasetId>| {
            look();
            Some(1)
        };
        let join = |values: Vec<Option<u128>>| {
            for _ in &values {
                look();
            }
            values
                .into_iter()
                .try_fold(0_u128, |sum, value| Some(sum + value?))
        };
        let (first, _) = graph.get_key_value(&id(0)).unwrap();
        let fold_all = Fold {
            sources: &sources,
            itself: &itself,
            circle: None,
            join: &join,
        };
        let found = fold(first, &BTreeSet::new(), &mut BTreeMap::new(), &fold_all);
        (found, looks.get())
    }

    #[test]
    fn a_diamond_of_sixty_layers_is_looked_at_once() {
        // Two datasets a layer, each rebuilt from both of the next. Few layers first: what looks at each way ends there.
        let layer = |number: usize| BTreeSet::from([id(2 * number), id(2 * number + 1)]);
        for layers in [12, 60] {
            let mut graph = Graph::new();
            for number in 0..layers {
                for one in layer(number) {
                    graph.insert(one, layer(number + 1));
                }
            }
            let (found, looks) = ways(&graph);
            assert_eq!(found, Some(1 << layers));
            assert!(looks <= 4 * layers + 2, "{looks}");
        }
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_needs_no_stack() {
        let chain = (0..100_000).map(|number| (id(number), BTreeSet::from([id(number + 1)])));
        let (found, looks) = ways(&chain.collect());
        assert_eq!((found, looks), (Some(1), 100_001));
    }

    #[test]
    fn what_is_rebuilt_from_itself_has_no_proof() {
        let graph = Graph::from([
            (id(0), BTreeSet::from([id(1), id(2)])),
            (id(1), BTreeSet::from([id(3)])),
            (id(2), BTreeSet::from([id(0)])),
        ]);
        assert_eq!(ways(&graph).0, None);
    }
}
