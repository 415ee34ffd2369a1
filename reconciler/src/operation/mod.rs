//! Owns the life of an operation: which state follows which, and what is recorded with each step of it. Pure: it reads no clock,
//! store or location. Whatever begins or ends an operation goes through [`transition`].

pub mod backup;
pub mod check;
pub mod lost;
pub mod replay;
mod slot;

use std::collections::BTreeMap;

use contract::code;
use contract::digest::Digest;
use contract::id::{DatasetId, PlanId};
use contract::model::Plane;
use contract::receipt::{DecisionType, Outcome as Result_, Phase};
use jiff::Timestamp;

use crate::domain::{
    Change, Draft, Operation, OperationKind, Outcome, ReceiptPolicy, Run, SlotRecord, State,
};
use crate::failure::Failure;

use slot::{late, slot_ended};

pub use slot::slot_receipt;

/// What else a receipt says, by name.
pub type Details = BTreeMap<String, String>;

/// What is the same in all receipts of one operation.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The policy that the operation was decided under; a newer one may be active when it ends.
    pub policy: ReceiptPolicy,
    /// The plane acted on.
    pub plane: Option<Plane>,
    /// The plan.
    pub plan_id: PlanId,
    /// The datasets.
    pub dataset_ids: Vec<DatasetId>,
}

impl Subject {
    /// A receipt of it that says nothing else yet.
    pub fn draft(&self, kind: DecisionType, phase: Phase, operation_id: &str) -> Draft {
        let mut draft = Draft::new(kind, phase, operation_id);
        draft.policy = Some(self.policy.clone());
        draft.plane = self.plane;
        draft.plan_id = Some(self.plan_id.clone());
        draft.dataset_ids.clone_from(&self.dataset_ids);
        draft
    }
}

/// What happens to an operation.
#[derive(Debug, Clone)]
pub enum Event {
    /// Its effect is about to begin; what its intent says besides.
    Begin(Details),
    /// Its effect ended, or was looked at after its outcome was lost.
    End(Box<Ending>),
}

/// How an operation ended, and everything that is remembered with it.
#[derive(Debug, Clone)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// What became known: recovery points, findings, what connectors want to be told.
    pub changes: Vec<Change>,
    /// What the receipt says besides.
    pub details: Details,
    /// Digests of what proves it.
    pub evidence: BTreeMap<String, Digest>,
    /// The slot that ends with it, and why not well.
    pub slot: Option<(SlotRecord, Option<Failure>)>,
}

impl Ending {
    /// An end of which nothing else is known.
    pub const fn new(outcome: Outcome, failure: Option<Failure>) -> Self {
        Self {
            outcome,
            failure,
            changes: Vec::new(),
            details: Details::new(),
            evidence: BTreeMap::new(),
            slot: None,
        }
    }

    /// The receipt describes this recovery point.
    #[must_use]
    pub fn describing(mut self, run: &Run) -> Self {
        backup::describe(run, &mut self.details, &mut self.evidence);
        self
    }

    /// The receipt says this, too.
    pub fn say(&mut self, name: &str, what: impl ToString) {
        self.details.insert(name.to_owned(), what.to_string());
    }
}

/// The next state of an operation, and what is committed with it: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The operation as it is then.
    pub operation: Operation,
    /// What is remembered.
    pub changes: Vec<Change>,
    /// What the receipts say.
    pub drafts: Vec<Draft>,
}

/// An event that cannot happen in this state. Nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// Its intent is recorded already.
    #[error("`{0}` has begun already")]
    Begun(String),
    /// An effect without an intent has no end.
    #[error("`{0}` did not begin, so it cannot end")]
    NotBegun(String),
    /// Exactly one outcome follows an intent.
    #[error("`{0}` has its outcome already")]
    Ended(String),
    /// An unknown outcome that stays unknown is nothing new.
    #[error("the outcome of `{0}` is as unknown as before")]
    StillUnknown(String),
}

crate::failure::coded!(Illegal);

impl Illegal {
    /// The diagnostic code.
    pub const fn code(&self) -> code::Code {
        code::PRECONDITION_FAILED
    }

    /// What a person can do.
    pub const fn help(&self) -> &'static str {
        "report this as a bug; nothing was recorded"
    }
}

/// What an event makes of an operation.
pub fn transition(
    operation: &Operation,
    subject: &Subject,
    event: Event,
    now: Timestamp,
) -> Result<Transition, Illegal> {
    let id = || operation.operation_id.clone();
    let kind = decision(operation.kind);
    let draft = |phase| {
        let mut draft = subject.draft(kind, phase, &operation.operation_id);
        draft.backup_id.clone_from(&operation.backup_id);
        let restores = operation.restores.as_ref();
        draft.restore_id = restores.map(|restores| restores.restore_id.clone());
        draft
    };
    let mut next = operation.clone();
    match (operation.state, event) {
        (State::Ready, Event::Begin(details)) => {
            next.state = State::Running;
            let mut intent = draft(Phase::Intent);
            intent.details = details;
            Ok(Transition {
                changes: vec![Change::OperationBegun(next.clone())],
                drafts: vec![intent],
                operation: next,
            })
        }
        (State::Running | State::Ended(_), Event::Begin(_)) => Err(Illegal::Begun(id())),
        (State::Ready, Event::End(_)) => Err(Illegal::NotBegun(id())),
        (State::Running, Event::End(ending)) => {
            Ok(end(next, subject, draft(Phase::Outcome), *ending, now))
        }
        (State::Ended(Outcome::Unknown), Event::End(ending)) => match ending.outcome {
            Outcome::Unknown => Err(Illegal::StillUnknown(id())),
            Outcome::Success | Outcome::Partial | Outcome::Failure => {
                Ok(end(next, subject, draft(Phase::Resolution), *ending, now))
            }
        },
        (State::Ended(Outcome::Success | Outcome::Partial | Outcome::Failure), Event::End(_)) => {
            Err(Illegal::Ended(id()))
        }
    }
}

fn end(
    mut operation: Operation,
    subject: &Subject,
    mut draft: Draft,
    ending: Ending,
    now: Timestamp,
) -> Transition {
    let error = ending.failure.as_ref();
    operation.state = State::Ended(ending.outcome);
    operation.ended_at = Some(now);
    operation.error = error.map(|failure| failure.code.to_string());
    draft.result = Some(result(ending.outcome));
    draft.error = error.map(Failure::note);
    draft.details = ending.details;
    draft.evidence = ending.evidence;
    let mut changes = vec![Change::OperationEnded {
        operation_id: operation.operation_id.clone(),
        outcome: ending.outcome,
        error: operation.error.clone(),
        at: now,
    }];
    changes.extend(ending.changes);
    let mut drafts = vec![draft];
    if let Some((record, failure)) = ending.slot {
        let id = slot::slot_operation(&record);
        drafts.push(slot_receipt(subject, &id, &record, failure.as_ref()));
        changes.push(Change::SlotEnded(record));
    }
    Transition {
        operation,
        changes,
        drafts,
    }
}

/// The word of receipts for what an operation does.
const fn decision(kind: OperationKind) -> DecisionType {
    match kind {
        OperationKind::Backup => DecisionType::Backup,
        OperationKind::Verify => DecisionType::Verification,
        OperationKind::CatchUp => DecisionType::CatchUp,
        OperationKind::Restore => DecisionType::Restore,
        OperationKind::Retention => DecisionType::Retention,
        OperationKind::Prune => DecisionType::Prune,
    }
}

/// The result word of receipts for an outcome.
pub const fn result(outcome: Outcome) -> Result_ {
    match outcome {
        Outcome::Success => Result_::Success,
        Outcome::Partial => Result_::Partial,
        Outcome::Failure => Result_::Failure,
        Outcome::Unknown => Result_::Unknown,
    }
}
