//! Owns which backups and restores a channel is sent as they end: those of the receipt log after the place up to which it was sent them.
//! The interesting function is [`next`].

use contract::id::ChannelId;
use contract::receipt::{DecisionType, Outcome, Phase, Receipt, open_line};

use super::super::Daemon;
use crate::domain::{Change, Completion};
use crate::failure::Failure;

/// Receipts that are read at a time: three for each backup, and a message holds some of those.
const PAGE: u64 = 100;

/// After an outage a channel is sent the newest ones: the catalog has all of them.
const MOST_BEHIND: u64 = 3_000;

/// What a channel is sent next, and the place in the log up to which that goes.
pub(super) fn next(
    daemon: &Daemon,
    channel_id: &ChannelId,
    most: usize,
) -> Result<Option<(Vec<Completion>, u64)>, Failure> {
    let sent = daemon.store.completions_sent()?;
    let Some(from) = sent.get(channel_id).copied() else {
        return Ok(None);
    };
    let newest = daemon.store.receipts_size()?;
    let mut from = from.max(newest.saturating_sub(MOST_BEHIND));
    loop {
        let lines = daemon.store.receipts(from, PAGE)?;
        let is_last = (lines.len() as u64) < PAGE;
        let mut found = Vec::new();
        for line in lines {
            from += 1;
            // A receipt by a key that the trust root no longer lists is left out.
            let opened = open_line(line.as_bytes(), daemon.log().authority());
            found.extend(opened.ok().and_then(|it| completion(it.receipt)));
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
    let is_known = daemon.store.completions_sent()?.contains_key(channel_id);
    // One that is not wanted begins anew when it is wanted again.
    if is_wanted != is_known {
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
