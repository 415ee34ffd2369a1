//! Values that the pure core, the store and the service speak of. No I/O, no clock, no adapter.

mod condition;
mod execution;
mod observed;
mod reading;
mod run;
mod slot;
mod source;
mod suspension;

pub use condition::StoredCondition;
pub use execution::{Execution, ExecutionKind, Outcome, Restores};
pub use observed::{CopyState, Lack, Observation, Observed, PlanObserved, RepositoryObserved};
pub use reading::{DamagedObject, PartRead, PartReading};
pub use run::{BackupType, Run, RunStatus, Verification};
pub use slot::{SlotOutcome, SlotRecord};
pub use source::{FileSum, Manifest, SourceProfile};
pub use suspension::Suspension;
