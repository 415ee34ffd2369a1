//! Owns which backups and restores a channel is sent as they end: those of the receipt log after the place up to which it was sent them.
//! The interesting function is [`next`].

use contract::id::ChannelId;
use contract::receipt::{DecisionType, Outcome, Phase, Receipt, open_line};

use super::super::Daemon;
use crate::domain::{Change, Completion};
use crate::failure::Failure;

/// Receipts that are read at a time: three for each backup, and a message holds some of those.
const PAGE: u64 = 100;

/// What a channel is sent next, and the place in the log up to which that goes.
pub(super) fn next(
    daemon: &Daemon,
    channel_id: &ChannelId,
    most: usize,
) -> Result<Option<(Vec<Completion>, u64)>, Failure> {
    let sent = daemon.store.completions_sent()?;
    let Some(mut from) = sent.get(channel_id).copied() else {
        return Ok(None);
    };
    loop {
        let lines = daemon.store.receipts(from, PAGE)?;
        let is_last = (lines.len() as u64) < PAGE;
        let mut found = Vec::new();
        for line in lines {
            let receipt = open_line(line.as_bytes(), daemon.log().authority())?.receipt;
            from += 1;
            found.extend(completion(receipt));
            if found.len() == most {
                break;
            }
        }
        if !found.is_empty() {
            return Ok(Some((found, from)));
        }
        if is_last {
            return Ok(None);
        }
        skip(daemon, channel_id, from)?;
    }
}

/// A channel that was sent nothing yet is sent what ends from now on, and not the past.
pub fn begin(daemon: &Daemon, channel_id: &ChannelId) -> Result<(), Failure> {
    let is_wanted = daemon.config.completions.contains(channel_id);
    if is_wanted && !daemon.store.completions_sent()?.contains_key(channel_id) {
        skip(daemon, channel_id, daemon.store.receipts_size()?)?;
    }
    Ok(())
}

fn skip(daemon: &Daemon, channel_id: &ChannelId, receipts: u64) -> Result<(), Failure> {
    daemon.commit(&[up_to(channel_id, receipts)], Vec::new(), daemon.now())
}

/// A channel was sent what ended up to a place in the log.
pub(super) fn up_to(channel_id: &ChannelId, receipts: u64) -> Change {
    Change::CompletionsSent {
        channel_id: channel_id.clone(),
        receipts,
    }
}

/// A backup or a restore that ended; an outcome that is not known yet is sent when it is.
fn completion(receipt: Receipt) -> Option<Completion> {
    let kind = match receipt.decision_type {
        DecisionType::Backup => "backup",
        DecisionType::Restore => "restore",
        _ => return None,
    };
    let result = match (receipt.phase, receipt.result?) {
        (Phase::Outcome | Phase::Resolution, Outcome::Success) => "success",
        (Phase::Outcome | Phase::Resolution, Outcome::Partial) => "partial",
        (Phase::Outcome | Phase::Resolution, Outcome::Failure) => "failure",
        _ => return None,
    };
    Some(Completion {
        operation_id: receipt.operation_id,
        kind: kind.to_owned(),
        plan_id: receipt.plan_id,
        dataset_ids: receipt.dataset_ids,
        result: result.to_owned(),
        error: receipt
            .error
            .map(|it| format!("[{}] {}", it.code, it.summary)),
        ended_at: receipt.created_at,
        receipt: receipt.log_index,
    })
}
