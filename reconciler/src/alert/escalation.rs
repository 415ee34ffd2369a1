//! Owns the life of alerts and which channel is notified when: pure functions that compare what channels were notified of with what
//! is active. A message that fails is due again; one that arrived is not. The interesting function is [`due`].

use std::collections::{BTreeMap, BTreeSet};

use contract::duration::Seconds;
use contract::id::{AlertId, ChannelId};
use contract::model::AlertPolicy;
use jiff::Timestamp;

use super::Seen;
use crate::domain::{Alert, AlertRecord, Notified};
use crate::plan::after;

/// What a channel is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// The alert is active, or became more urgent.
    Active,
    /// It is over.
    Over,
}

/// What follows from the records.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// What each channel is notified of now, by alert.
    pub channels: BTreeMap<ChannelId, BTreeMap<String, News>>,
    /// Alerts that are over, and that no channel has to hear about any more.
    pub over: BTreeSet<String>,
    /// When something else falls due, if nothing changes.
    pub next: Option<Timestamp>,
}

/// The records as they are now: new alerts begin, others change or come to an end. Only those that differ from before.
pub fn follow(
    records: &BTreeMap<String, AlertRecord>,
    seen: &Seen,
    hold: Seconds,
    now: Timestamp,
) -> Vec<AlertRecord> {
    let begun = seen.active.iter().map(|(id, alert)| match records.get(id) {
        // What is over and comes back is another alert.
        Some(known) if !is_over(known, hold, now) => continued(known, alert, hold, now),
        Some(_) | None => AlertRecord {
            alert: alert.clone(),
            since: now,
            cleared_at: None,
            is_over: false,
            eased_at: None,
            taken: None,
            notified: BTreeMap::new(),
        },
    });
    let others = records
        .values()
        .filter(|it| !seen.active.contains_key(&it.alert.alert_id));
    let others = others.map(|known| {
        let is_unwatched = seen.unwatched.contains(&known.alert.alert_id);
        let is_held = seen.held.contains(&known.alert.alert_id)
            || seen.unknown.contains(&known.alert.subject);
        let is_known = is_unwatched || !is_held;
        let mut known = sane(known, now);
        if is_unwatched && known.cleared_at.is_none() {
            known.alert.title = format!("{}, which policy watches no more", known.alert.title);
        }
        match known.cleared_at {
            None if is_known => AlertRecord {
                cleared_at: Some(now),
                ..known
            },
            // It may be back: its subject cannot be inspected.
            Some(_) if !is_known && !is_over(&known, hold, now) => AlertRecord {
                cleared_at: None,
                ..known
            },
            _ => known,
        }
    });
    let all = begun.chain(others);
    all.filter(|it| records.get(&it.alert.alert_id) != Some(it))
        .collect()
}

/// A clock that was ahead must not keep an alert from its escalation or its end.
fn sane(record: &AlertRecord, now: Timestamp) -> AlertRecord {
    AlertRecord {
        since: record.since.min(now),
        cleared_at: record.cleared_at.map(|at| at.min(now)),
        eased_at: record.eased_at.map(|at| at.min(now)),
        ..record.clone()
    }
}

/// Whether it was inactive for `hold`, so that its channels are notified of the end, or one was already.
fn is_over(record: &AlertRecord, hold: Seconds, now: Timestamp) -> bool {
    let cleared = record.cleared_at.map(|at| at.min(now));
    record.is_over || cleared.is_some_and(|at| after(at, hold) <= now)
}

/// An alert that continues. One that has been less urgent for `hold` may become urgent again, and is notified of again then.
fn continued(known: &AlertRecord, alert: &Alert, hold: Seconds, now: Timestamp) -> AlertRecord {
    let mut record = sane(known, now);
    let was = record.notified.values().map(|it| it.severity);
    let was = was.chain(record.taken.as_ref().map(|it| it.severity)).max();
    record.cleared_at = None;
    record.alert = alert.clone();
    if was.is_none_or(|was| was <= alert.severity) {
        record.eased_at = None;
        return record;
    }
    let eased = *record.eased_at.get_or_insert(now);
    if after(eased, hold) <= now {
        record.eased_at = None;
        for notified in record.notified.values_mut() {
            notified.severity = notified.severity.min(alert.severity);
        }
        if let Some(taken) = &mut record.taken {
            taken.severity = taken.severity.min(alert.severity);
        }
    }
    record
}

/// What channels are notified of now.
pub fn due<'r>(
    records: impl IntoIterator<Item = &'r AlertRecord>,
    policies: &BTreeMap<AlertId, AlertPolicy>,
    bound: &BTreeSet<ChannelId>,
    hold: Seconds,
    now: Timestamp,
) -> Due {
    let mut due = Due::default();
    for record in records {
        let id = &record.alert.alert_id;
        match record.cleared_at {
            None => due.active(record, policies, bound, now),
            Some(cleared) if !is_over(record, hold, now) => due.wait(after(cleared, hold)),
            Some(_) => {
                let notified = record.notified.keys().filter(|it| bound.contains(*it));
                let notified: Vec<&ChannelId> = notified.collect();
                if notified.is_empty() {
                    due.over.insert(id.clone());
                }
                for channel in notified {
                    due.add(channel, id, News::Over);
                }
            }
        }
    }
    due
}

impl Due {
    fn active(
        &mut self,
        record: &AlertRecord,
        policies: &BTreeMap<AlertId, AlertPolicy>,
        bound: &BTreeSet<ChannelId>,
        now: Timestamp,
    ) {
        let id = &record.alert.alert_id;
        let watching = record.alert.policies.iter();
        let steps = watching
            .filter_map(|id| policies.get(id))
            .flat_map(|policy| &policy.escalation);
        for step in steps {
            let at = after(record.since, step.after_s);
            for channel in step.channels.iter().filter(|it| bound.contains(*it)) {
                let known = record.notified.get(channel);
                let knows = known.is_some_and(|it| it.severity >= record.alert.severity);
                // Once an operator took it on, no channel is notified again.
                if knows || record.is_taken() {
                    continue;
                }
                if at <= now {
                    self.add(channel, id, News::Active);
                } else {
                    self.wait(at);
                }
            }
        }
    }

    fn add(&mut self, channel: &ChannelId, alert_id: &str, news: News) {
        let channel = self.channels.entry(channel.clone()).or_default();
        channel.insert(alert_id.to_owned(), news);
    }

    fn wait(&mut self, until: Timestamp) {
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
    }
}

/// A record after a channel took a message that was written when the alert was as in `sent`.
#[must_use]
pub fn notified(
    known: Option<&AlertRecord>,
    sent: &AlertRecord,
    channel: &ChannelId,
    news: News,
    at: Timestamp,
) -> AlertRecord {
    // If it ended on the way, the channel is still notified of the end.
    let cleared = || AlertRecord {
        cleared_at: Some(at),
        ..sent.clone()
    };
    let mut record = known.cloned().unwrap_or_else(cleared);
    // What came back meanwhile is another alert, of which the channel does not know yet.
    if record.since != sent.since {
        return record;
    }
    match news {
        News::Active => {
            let severity = sent.alert.severity;
            let notified = Notified { severity, at };
            record.notified.insert(channel.clone(), notified);
        }
        News::Over => {
            record.notified.remove(channel);
            record.is_over = record.cleared_at.is_some();
        }
    }
    record
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use contract::code;
    use contract::model::EscalationStep;

    use super::*;
    use crate::domain::{Severity, Taken};

    const HOLD: Seconds = Seconds::new(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn channel(id: &str) -> ChannelId {
        id.parse().unwrap()
    }

    fn alert(severity: Severity) -> Alert {
        Alert {
            alert_id: "SW1010.plan.bp".to_owned(),
            severity,
            code: code::LAST_RUN_FAILED,
            subject: "plan bp".to_owned(),
            title: "the last run failed".to_owned(),
            summary: "it failed".to_owned(),
            policies: BTreeSet::from(["critical".parse().unwrap()]),
        }
    }

    fn policies() -> BTreeMap<AlertId, AlertPolicy> {
        let step = |after, id| EscalationStep {
            after_s: Seconds::new(after),
            channels: BTreeSet::from([channel(id)]),
        };
        let policy = AlertPolicy {
            alert_id: "critical".parse().unwrap(),
            tiers: BTreeSet::new(),
            thresholds: Vec::new(),
            window_s: None,
            escalation: vec![step(0, "room"), step(900, "pager")],
        };
        BTreeMap::from([(policy.alert_id.clone(), policy)])
    }

    /// What happens to an alert, second by second.
    struct Life<'l> {
        active: &'l dyn Fn(i64) -> Option<Severity>,
        /// While its subject cannot be inspected.
        unknown: std::ops::Range<i64>,
        /// When an operator takes it on.
        taken: Option<i64>,
        /// Channels that take no messages, and until when.
        silent: Option<(&'l str, i64)>,
    }

    fn life(active: &dyn Fn(i64) -> Option<Severity>) -> Life<'_> {
        Life {
            active,
            unknown: 0..0,
            taken: None,
            silent: None,
        }
    }

    /// Plays a life. Gives what each channel was notified of, and when.
    fn played(seconds: i64, life: &Life<'_>) -> Vec<(i64, String, News)> {
        let bound = BTreeSet::from([channel("room"), channel("pager")]);
        let mut records: BTreeMap<String, AlertRecord> = BTreeMap::new();
        let mut heard = Vec::new();
        for second in 0..seconds {
            let now = at(second);
            let is_unknown = life.unknown.contains(&second);
            let active = (life.active)(second).filter(|_| !is_unknown);
            let active = active.map(|severity| ("SW1010.plan.bp".to_owned(), alert(severity)));
            let seen = Seen {
                active: active.into_iter().collect(),
                unknown: is_unknown
                    .then(|| "plan bp".to_owned())
                    .into_iter()
                    .collect(),
                ..Seen::default()
            };
            for record in follow(&records, &seen, HOLD, now) {
                records.insert(record.alert.alert_id.clone(), record);
            }
            if life.taken == Some(second) {
                for record in records.values_mut() {
                    record.taken = Some(Taken {
                        at: now,
                        actor: "uid:1".to_owned(),
                        note: String::new(),
                        severity: record.alert.severity,
                    });
                }
            }
            let due = due(records.values(), &policies(), &bound, HOLD, now);
            for (channel, all) in due.channels {
                let is_silent = |(id, until): (&str, i64)| channel.as_str() == id && second < until;
                if life.silent.is_some_and(is_silent) {
                    continue;
                }
                for (id, news) in all {
                    heard.push((second, channel.to_string(), news));
                    let sent = records[&id].clone();
                    let record = notified(records.get(&id), &sent, &channel, news, now);
                    records.insert(id, record);
                }
            }
            for id in due.over {
                records.remove(&id);
            }
        }
        heard
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of the lives that are played")]
    const fn warning(_: i64) -> Option<Severity> {
        Some(Severity::Warning)
    }

    fn notice(second: i64, channel: &str, news: News) -> (i64, String, News) {
        (second, channel.to_owned(), news)
    }

    #[test]
    fn a_channel_is_notified_once_and_the_next_one_when_its_time_has_come() {
        let heard = played(2_000, &life(&warning));
        let expected = [
            notice(0, "room", News::Active),
            notice(900, "pager", News::Active),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn what_is_over_is_told_to_those_who_were_notified_and_to_no_other() {
        let critical = |second| (second < 100).then_some(Severity::Critical);
        let heard = played(2_000, &life(&critical));
        let expected = [
            notice(0, "room", News::Active),
            notice(160, "room", News::Over),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_alert_that_comes_and_goes_is_one_alert() {
        let flaps = |second: i64| (second % 50 < 25 && second < 500).then_some(Severity::Warning);
        let heard = played(2_000, &life(&flaps));
        let expected = [
            notice(0, "room", News::Active),
            notice(535, "room", News::Over),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_alert_that_was_taken_on_wakes_no_other_channel_until_it_becomes_worse() {
        let taken = |active| Life {
            taken: Some(10),
            ..life(active)
        };
        assert_eq!(
            played(2_000, &taken(&warning)),
            [notice(0, "room", News::Active)]
        );
        let worse = |second: i64| match second {
            ..1_000 => Some(Severity::Warning),
            _ => Some(Severity::Critical),
        };
        let expected = [
            notice(0, "room", News::Active),
            notice(1_000, "pager", News::Active),
            notice(1_000, "room", News::Active),
        ];
        assert_eq!(played(2_000, &taken(&worse)), expected);
    }

    #[test]
    fn what_nobody_can_see_is_not_over() {
        let all = Life {
            unknown: 100..1_500,
            ..life(&warning)
        };
        let expected = [
            notice(0, "room", News::Active),
            notice(900, "pager", News::Active),
        ];
        assert_eq!(played(2_000, &all), expected);
    }

    /// The record of an alert that is over stays while one channel takes no messages; the next alert is a new one all the same.
    #[test]
    fn an_alert_that_comes_back_after_its_end_is_a_new_one_that_nobody_has_taken_on() {
        let twice = |second: i64| (!(100..1_000).contains(&second)).then_some(Severity::Warning);
        let all = Life {
            taken: Some(10),
            silent: Some(("pager", 500)),
            ..life(&twice)
        };
        let expected = [
            notice(0, "room", News::Active),
            notice(160, "room", News::Over),
            notice(1_000, "room", News::Active),
            notice(1_900, "pager", News::Active),
        ];
        assert_eq!(played(2_000, &all), expected);
    }

    #[test]
    fn what_becomes_critical_again_is_told_again() {
        let swings = |second: i64| match second {
            ..100 | 1_000.. => Some(Severity::Critical),
            _ => Some(Severity::Warning),
        };
        let all = Life {
            taken: Some(10),
            ..life(&swings)
        };
        let heard = played(1_800, &all);
        let expected = [
            notice(0, "room", News::Active),
            notice(1_000, "pager", News::Active),
            notice(1_000, "room", News::Active),
        ];
        assert_eq!(heard, expected);
    }

    /// A message takes its time: what it says counts, and not what has become of the alert meanwhile.
    #[test]
    fn a_message_that_was_on_its_way_says_what_it_said() {
        let record = |severity| AlertRecord {
            alert: alert(severity),
            since: at(0),
            cleared_at: None,
            is_over: false,
            eased_at: None,
            taken: None,
            notified: BTreeMap::new(),
        };
        let (sent, now) = (record(Severity::Warning), record(Severity::Critical));
        let room = channel("room");
        let after = notified(Some(&now), &sent, &room, News::Active, at(20));
        assert_eq!(after.notified[&room].severity, Severity::Warning);
        // It ended on the way: the channel is notified of that.
        let gone = notified(None, &sent, &room, News::Active, at(20));
        assert_eq!(gone.cleared_at, Some(at(20)));
        let due = due(
            [&gone],
            &policies(),
            &BTreeSet::from([room.clone()]),
            HOLD,
            at(100),
        );
        assert_eq!(due.channels[&room]["SW1010.plan.bp"], News::Over);
    }

    #[test]
    fn a_clock_that_was_ahead_delays_no_escalation() {
        let mut known = follow(&BTreeMap::new(), &seen(), HOLD, at(86_400));
        let known = BTreeMap::from([("SW1010.plan.bp".to_owned(), known.remove(0))]);
        let corrected = follow(&known, &seen(), HOLD, at(0));
        assert_eq!(corrected[0].since, at(0));
    }

    fn seen() -> Seen {
        Seen {
            active: BTreeMap::from([("SW1010.plan.bp".to_owned(), alert(Severity::Warning))]),
            ..Seen::default()
        }
    }

    #[test]
    fn the_next_instant_is_named() {
        let record = follow(&BTreeMap::new(), &seen(), HOLD, at(0));
        let bound = BTreeSet::from([channel("pager")]);
        let due = due(&record, &policies(), &bound, HOLD, at(1));
        assert_eq!((due.channels.len(), due.next), (0, Some(at(900))));
    }
}
