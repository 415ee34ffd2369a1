//! Owns that a person accepts the loss of a recovery point: it is not reported any more, and a repository that is gone may begin
//! again. Never deletes the point from the catalog. The interesting function is [`accept`].

use contract::code;
use contract::id::BackupId;
use contract::receipt::{DecisionType, Phase};

use super::look::POINT_GONE;
use super::{Daemon, copies};
use crate::domain::{Acknowledgement, Change, Draft, Outcome, Run};
use crate::failure::Failure;
use crate::operation::result;
use crate::plan::stamp;

/// A note longer than this has no place in a receipt.
const NOTE: usize = 1_000;

/// Records that a person knows that a point is lost or damaged, and why. Only for a point that is.
pub fn accept(daemon: &Daemon, backup_id: &BackupId, note: &str) -> Result<Run, Failure> {
    let now = daemon.fresh_now()?;
    let Some(run) = daemon.store.point(backup_id)? else {
        return Err(Failure::new(
            code::POINT_NOT_FOUND,
            format!("there is no recovery point `{backup_id}`"),
            "`seawalld catalog` lists what there is",
        ));
    };
    if !run.is_lost() && !run.is_suspect() {
        return Err(Failure::new(
            code::PRECONDITION_FAILED,
            format!("recovery point `{backup_id}` is neither lost nor damaged"),
            "`seawalld verify` checks it; `seawalld once` records what is lost",
        ));
    }
    let actor = format!("operator:{}", daemon.person());
    let note: String = note.chars().take(NOTE).collect();
    let operation = format!("accept.{backup_id}.{}", stamp(now));
    let mut draft = Draft::new(DecisionType::Adoption, Phase::Decision, &operation);
    draft.result = Some(result(Outcome::Success));
    draft.plan_id = Some(run.plan_id.clone());
    draft.dataset_ids = run.dataset_ids.iter().cloned().collect();
    draft.backup_id = Some(backup_id.clone());
    actor.clone_into(&mut draft.actor);
    draft
        .details
        .insert("accepted".to_owned(), POINT_GONE.to_owned());
    draft.details.insert("note".to_owned(), note.clone());
    let change = Change::Acknowledged(Acknowledgement {
        subject: backup_id.to_string(),
        kind: POINT_GONE.to_owned(),
        at: now,
        actor,
        note,
    });
    daemon.commit(&[change], vec![draft], now)?;
    let _ = copies::copy_receipts(daemon);
    Ok(run)
}
