//! Owns the conditions on which the proofs of a plan rest: windows that fit between slots and retention that keeps what is needed.
//!
//! Never repairs anything. The interesting function is [`Recovery::conditions`].

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::schedules::terms;
use super::{LossCase, Recovery};
use crate::calendar::{Calendar, Timing};
use crate::duration::Seconds;
use crate::id::PlanId;
use crate::model::BackupPlan;

/// A condition that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "condition")]
pub enum Condition {
    /// `jitter ≤ start_window ≤ completion_window` does not hold.
    WindowsOutOfOrder {
        /// The jitter.
        jitter_seconds: Seconds,
        /// The start window.
        start_window_seconds: Seconds,
        /// The completion window.
        completion_window_seconds: Seconds,
    },
    /// The completion window is longer than the smallest gap: a run may end after the next slot.
    WindowAboveGap {
        /// The completion window.
        window_seconds: Seconds,
        /// The smallest gap.
        gap_seconds: Seconds,
        /// The two slots, with their UTC offsets.
        pair: [String; 2],
    },
    /// Retention does not keep the newest points that tolerated misses may need.
    RetentionTooShallow {
        /// How many newest points must be kept: tolerated misses and one.
        needed: u32,
        /// The slot after which fewer are kept, with its UTC offset.
        after: String,
    },
    /// A freeze window removes slots that the proofs count on.
    SlotFrozen {
        /// The window, by its place in the environment's list.
        window: usize,
        /// The first slot in it, with its UTC offset; for a continuous plan, which never pauses, the window's begin.
        slot: String,
    },
    /// Points are removed by age before the next one is usable.
    MaxDurationWithinLoss {
        /// The maximum age.
        max_seconds: Seconds,
        /// The worst-case loss of the live data.
        loss_seconds: Seconds,
    },
}

impl Recovery<'_> {
    /// The conditions that a plan breaks; empty when its proofs rest on firm ground, or when it is not in the model.
    pub fn conditions(&self, plan: &PlanId) -> Vec<Condition> {
        let mut broken = Vec::new();
        let Some(plan) = self.model.plans.get(plan) else {
            return broken;
        };
        let schedule = &plan.backup_frequency;
        if schedule.jitter_s > schedule.start_window_s
            || schedule.start_window_s > schedule.completion_window_s
        {
            broken.push(Condition::WindowsOutOfOrder {
                jitter_seconds: schedule.jitter_s,
                start_window_seconds: schedule.start_window_s,
                completion_window_seconds: schedule.completion_window_s,
            });
        }
        let Some((timing, known)) = self.schedule(plan) else {
            return broken;
        };
        let written = |at: Timestamp| known.calendar.written(at);
        match timing {
            Timing::Continuous { .. } => {
                broken.extend(self.frozen(plan, None));
                return broken;
            }
            Timing::Cron { .. } | Timing::Every { .. } => {}
        }
        broken.extend(self.frozen(plan, Some(&known.calendar)));
        let gaps = known.gaps.get(&schedule.tolerated_misses);
        if let Some(narrowest) = gaps.and_then(|gaps| gaps.narrowest)
            && schedule.completion_window_s > narrowest.length()
        {
            broken.push(Condition::WindowAboveGap {
                window_seconds: schedule.completion_window_s,
                gap_seconds: narrowest.length(),
                pair: [written(narrowest.from), written(narrowest.to)],
            });
        }
        let shallow = known
            .shallow
            .get(&terms(plan, Seconds::ZERO))
            .copied()
            .flatten();
        if let Some(after) = shallow.and_then(|second| Timestamp::from_second(second).ok()) {
            broken.push(Condition::RetentionTooShallow {
                needed: schedule.tolerated_misses.saturating_add(1),
                after: written(after),
            });
        }
        let losses = plan.dataset_ids.iter().filter_map(|id| {
            let dataset = self.model.datasets.get(id)?;
            let gone = BTreeSet::from([id]);
            let loss = self.plan_loss(plan, (id, dataset), &LossCase::None, &gone);
            Some(loss).filter(super::Loss::is_bounded)
        });
        let worst = losses.map(|loss| loss.seconds()).max();
        if let (Some(max), Some(loss)) = (plan.retention.max_duration_s, worst)
            && max <= loss
        {
            broken.push(Condition::MaxDurationWithinLoss {
                max_seconds: max,
                loss_seconds: loss,
            });
        }
        broken
    }

    /// The freeze windows that remove a slot of a plan.
    fn frozen(&self, plan: &BackupPlan, calendar: Option<&Calendar>) -> Vec<Condition> {
        let windows = self.model.environment.freeze_windows.iter().enumerate();
        windows
            .filter(|(_, window)| window.planes.contains(&plan.plane))
            .filter_map(|(number, window)| {
                let slot = match calendar {
                    Some(calendar) => {
                        let first = calendar.slots(window.from, window.to).next()?;
                        calendar.written(first)
                    }
                    None => window.from.to_string(),
                };
                Some(Condition::SlotFrozen {
                    window: number,
                    slot,
                })
            })
            .collect()
    }
}
