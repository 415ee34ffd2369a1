//! Owns which step is taken next: the earliest whose plan nobody works on. Steps of one plan keep their order; plans do not wait
//! for each other. The interesting function is [`Queue::take`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::id::PlanId;

use crate::plan::Planned;
use crate::world::cancel::Cancel;

/// How often a waiting worker looks whether it shall end.
const TICK: Duration = Duration::from_millis(100);

/// The steps that are left, shared by the workers of a round.
pub(super) struct Queue<'plan> {
    state: Mutex<State<'plan>>,
    changed: Condvar,
}

struct State<'plan> {
    left: VecDeque<(usize, &'plan Planned)>,
    busy: BTreeSet<&'plan PlanId>,
}

impl<'plan> Queue<'plan> {
    /// In the order of the plan.
    pub(super) fn of(steps: Vec<&'plan Planned>) -> Self {
        let state = State {
            left: steps.into_iter().enumerate().collect(),
            busy: BTreeSet::new(),
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// How many plans have steps.
    pub(super) fn plans(&self) -> usize {
        let state = self.lock();
        let plans: BTreeSet<_> = state
            .left
            .iter()
            .map(|(_, step)| step.step.plan_id())
            .collect();
        plans.len()
    }

    /// The next step and its place in the order; its plan is busy until [`Busy`] is dropped. None when nothing is left or
    /// everybody is asked to end.
    pub(super) fn take(&self, stop: &Cancel) -> Option<(usize, &'plan Planned)> {
        let mut state = self.lock();
        loop {
            if stop.is_cancelled() || state.left.is_empty() {
                return None;
            }
            let State { left, busy } = &mut *state;
            let free = left
                .iter()
                .position(|(_, step)| !busy.contains(step.step.plan_id()));
            if let Some(next) = free.and_then(|at| left.remove(at)) {
                busy.insert(next.1.step.plan_id());
                return Some(next);
            }
            (state, _) = self
                .changed
                .wait_timeout(state, TICK)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more is taken.
    pub(super) fn close(&self) {
        self.lock().left.clear();
        self.changed.notify_all();
    }

    /// A poisoned lock only means that a worker panicked elsewhere; the state inside stays true.
    fn lock(&self) -> MutexGuard<'_, State<'plan>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a plan as worked on.
pub(super) struct Busy<'queue, 'plan> {
    pub(super) queue: &'queue Queue<'plan>,
    pub(super) plan_id: &'plan PlanId,
}

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        self.queue.lock().busy.remove(self.plan_id);
        self.queue.changed.notify_all();
    }
}
