//! Owns the life of alerts and which channel is notified when: pure functions that compare what channels were notified of with what
//! is active. A message that fails is due again; one that arrived is not. The interesting function is [`due`].

use std::collections::{BTreeMap, BTreeSet};

use contract::duration::Seconds;
use contract::id::{AlertId, ChannelId};
use contract::model::AlertPolicy;
use jiff::Timestamp;

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
    active: &BTreeMap<String, Alert>,
    now: Timestamp,
) -> Vec<AlertRecord> {
    let mut changed = Vec::new();
    for (id, alert) in active {
        let record = match records.get(id) {
            Some(known) if known.alert == *alert && known.cleared_at.is_none() => continue,
            Some(known) => AlertRecord {
                alert: alert.clone(),
                cleared_at: None,
                ..known.clone()
            },
            None => AlertRecord {
                alert: alert.clone(),
                since: now,
                cleared_at: None,
                taken: None,
                notified: BTreeMap::new(),
            },
        };
        changed.push(record);
    }
    let gone = records
        .values()
        .filter(|it| !active.contains_key(&it.alert.alert_id));
    changed.extend(
        gone.filter(|it| it.cleared_at.is_none())
            .map(|it| AlertRecord {
                cleared_at: Some(now),
                ..it.clone()
            }),
    );
    changed
}

/// What channels are notified of now. An alert that is over for `hold` is: one that comes back sooner was never away.
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
            Some(cleared) if after(cleared, hold) > now => due.wait(after(cleared, hold)),
            Some(_) => {
                let mut notified = record.notified.keys().filter(|it| bound.contains(*it));
                match notified.next() {
                    None => {
                        due.over.insert(id.clone());
                    }
                    Some(first) => {
                        for channel in std::iter::once(first).chain(notified) {
                            due.add(channel, id, News::Over);
                        }
                    }
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
                // An operator who took it on is not called again, and neither is anybody else.
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

/// A record after a channel took a message about it.
#[must_use]
pub fn notified(
    record: &AlertRecord,
    channel: &ChannelId,
    news: News,
    at: Timestamp,
) -> AlertRecord {
    let mut record = record.clone();
    match news {
        News::Active => {
            let severity = record.alert.severity;
            let notified = Notified { severity, at };
            record.notified.insert(channel.clone(), notified);
        }
        News::Over => {
            record.notified.remove(channel);
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

    /// Plays a life second by second; every message arrives. Gives what each channel was notified of, and when.
    fn played(
        seconds: i64,
        active: impl Fn(i64) -> Option<Severity>,
        taken: Option<i64>,
    ) -> Vec<(i64, String, News)> {
        let bound = BTreeSet::from([channel("room"), channel("pager")]);
        let mut records: BTreeMap<String, AlertRecord> = BTreeMap::new();
        let mut heard = Vec::new();
        for second in 0..seconds {
            let now = at(second);
            let active: BTreeMap<String, Alert> = active(second)
                .map(|severity| ("SW1010.plan.bp".to_owned(), alert(severity)))
                .into_iter()
                .collect();
            for record in follow(&records, &active, now) {
                records.insert(record.alert.alert_id.clone(), record);
            }
            if taken == Some(second) {
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
                for (id, news) in all {
                    heard.push((second, channel.to_string(), news));
                    let record = notified(&records[&id], &channel, news, now);
                    records.insert(id, record);
                }
            }
            for id in due.over {
                records.remove(&id);
            }
        }
        heard
    }

    fn told(second: i64, channel: &str, news: News) -> (i64, String, News) {
        (second, channel.to_owned(), news)
    }

    #[test]
    fn a_channel_is_notified_once_and_the_next_one_when_its_time_has_come() {
        let heard = played(2_000, |_| Some(Severity::Warning), None);
        let expected = [
            told(0, "room", News::Active),
            told(900, "pager", News::Active),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn what_is_over_is_told_to_those_who_were_notified_and_to_no_other() {
        let heard = played(
            2_000,
            |second| (second < 100).then_some(Severity::Critical),
            None,
        );
        let expected = [told(0, "room", News::Active), told(160, "room", News::Over)];
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_alert_that_comes_and_goes_is_one_alert() {
        let flaps = |second: i64| (second % 50 < 25 && second < 500).then_some(Severity::Warning);
        let heard = played(2_000, flaps, None);
        let expected = [told(0, "room", News::Active), told(535, "room", News::Over)];
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_alert_that_was_taken_on_wakes_no_other_channel_until_it_becomes_worse() {
        let heard = played(2_000, |_| Some(Severity::Warning), Some(10));
        assert_eq!(heard, [told(0, "room", News::Active)]);
        let worse = |second: i64| {
            let severity = if second < 1_000 {
                Severity::Warning
            } else {
                Severity::Critical
            };
            Some(severity)
        };
        let heard = played(2_000, worse, Some(10));
        let expected = [
            told(0, "room", News::Active),
            told(1_000, "pager", News::Active),
            told(1_000, "room", News::Active),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn the_next_instant_is_named() {
        let record = follow(
            &BTreeMap::new(),
            &BTreeMap::from([("SW1010.plan.bp".to_owned(), alert(Severity::Warning))]),
            at(0),
        );
        let bound = BTreeSet::from([channel("pager")]);
        let due = due(&record, &policies(), &bound, HOLD, at(1));
        assert_eq!((due.channels.len(), due.next), (0, Some(at(900))));
    }
}
