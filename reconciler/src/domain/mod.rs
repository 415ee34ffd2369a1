//! Values that the pure core, the store and the service speak of. No I/O, no clock, no adapter.

mod alert;
mod change;
mod condition;
mod message;
mod observed;
mod operation;
mod reading;
mod receipt;
mod retention;
mod run;
mod slot;
mod source;
mod suspension;
mod tally;

pub use alert::{Alert, AlertRecord, Notified, Severity, Taken};
pub use change::{
    Acknowledgement, Change, LocationIdentity, ReceiptCopy, RefusedBundle, StoredBundle,
};
pub use condition::StoredCondition;
pub use message::{AlertState, Completion, MESSAGE_VERSION, Message, Notice, message_schema};
pub use observed::{
    CopyState, Failing, Lack, Observation, Observed, PlanObserved, RepositoryObserved,
};
pub use operation::{InPlace, Operation, OperationKind, Outcome, Restores, State};
pub use reading::{DamagedObject, PartRead, PartReading};
pub use receipt::{Draft, ReceiptPolicy};
pub use retention::{Deletion, Leaving, Pruning};
pub use run::{BackupType, Run, RunStatus, Verification, has_come};
pub use slot::{SlotOutcome, SlotRecord};
pub use source::{FileSum, Manifest, SourceProfile, SourceReport};
pub use suspension::Suspension;
pub use tally::Tallied;
