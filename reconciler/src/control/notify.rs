//! Owns what the daemon does about alerts: it derives those that are active, remembers them with what each channel was notified of, and
//! writes the messages. Never sends one. The interesting functions are [`follow`] and [`pending`].

pub mod completions;

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::duration::Seconds;
use contract::id::{AlertId, ChannelId, LocationId};
use contract::model::{AlertPolicy, Model};
use contract::receipt::{DecisionType, Phase};
use jiff::{SignedDuration, Timestamp};

use super::Daemon;
use super::policy::Followed;
use super::suspension::reason;
use crate::alert::escalation::{self, News};
use crate::alert::{self, ChannelProblem, Scene};
use crate::domain::{
    Alert, AlertRecord, AlertState, Change, Draft, MESSAGE_VERSION, Message, Notice, Outcome,
    Taken, Tallied,
};
use crate::failure::Failure;
use crate::operation::result;
use crate::plan::stamp;
use crate::status::Status;
use crate::world::channel::{self, ChannelBinding};

/// Channels that take no messages now, since when, how often they were tried, and why.
#[derive(Debug, Default)]
pub struct Silent(Mutex<BTreeMap<ChannelId, Trouble>>);

/// One channel that takes no messages.
#[derive(Debug, Clone)]
struct Trouble {
    since: Timestamp,
    tries: u32,
    why: String,
}

impl Silent {
    /// A channel did not take a message; gives how often in a row.
    pub fn failed(&self, channel: &ChannelId, why: &str, now: Timestamp) -> u32 {
        let mut all = self.lock();
        let trouble = all.entry(channel.clone()).or_insert_with(|| Trouble {
            since: now,
            tries: 0,
            why: String::new(),
        });
        trouble.tries = trouble.tries.saturating_add(1);
        why.clone_into(&mut trouble.why);
        trouble.tries
    }

    /// It took one; whether that is news.
    pub fn took(&self, channel: &ChannelId) -> bool {
        self.lock().remove(channel).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with the channels of a policy, in one line for each code.
pub fn problems(daemon: &Daemon, model: &Model) -> Vec<(Code, String)> {
    let mut by_code: BTreeMap<Code, Vec<String>> = BTreeMap::new();
    for problem in of_channels(daemon, model) {
        let why = format!("channel `{}` {}", problem.channel_id, problem.why);
        by_code.entry(problem.code).or_default().push(why);
    }
    let all = by_code.into_iter();
    all.map(|(code, whys)| (code, whys.join("; "))).collect()
}

/// What keeps messages from each channel that is used.
fn of_channels(daemon: &Daemon, model: &Model) -> Vec<ChannelProblem> {
    let (bound, channels) = (&daemon.config.channels, &model.settings.channels);
    let used = model.settings.notified_channels();
    let silent = daemon.silent.lock();
    let mut found = Vec::new();
    let mut add = |code, channel_id: &ChannelId, why| {
        found.push(ChannelProblem {
            code,
            channel_id: channel_id.clone(),
            why,
        });
    };
    for id in &used {
        match (bound.get(*id), channels.get(*id)) {
            (None, _) => add(code::CHANNEL_UNBOUND, id, "is not bound".to_owned()),
            (Some(binding), Some(channel)) if !binding.fits(channel.medium) => {
                let (kind, medium) = (binding.kind(), channel.medium.as_str());
                let why = format!("is bound as `{kind}`, policy says `medium: {medium}`");
                add(code::CHANNEL_UNBOUND, id, why);
            }
            (Some(_), _) => {}
        }
    }
    let is_used = |id: &ChannelId| used.contains(id) || daemon.config.completions.contains(id);
    for (id, it) in silent.iter().filter(|(id, _)| is_used(id)) {
        let tries = crate::words::count(u64::from(it.tries), "attempt");
        let why = format!("took no message in {tries} since {}: {}", it.since, it.why);
        add(code::NOTIFICATION_FAILED, id, why);
    }
    found
}

/// The channels that messages are sent to from here.
fn delivered(daemon: &Daemon, model: &Model) -> BTreeSet<ChannelId> {
    let bound = daemon.config.channels.iter();
    bound
        .filter(|(id, binding)| {
            let medium = model.settings.channels.get(*id).map(|it| it.medium);
            !matches!(binding, ChannelBinding::External(_))
                && medium.is_none_or(|medium| binding.fits(medium))
        })
        .map(|(id, _)| id.clone())
        .collect()
}

/// Derives the alerts that are active and remembers what changed; gives the instant at which something else falls due.
pub fn follow(
    daemon: &Daemon,
    followed: &Followed,
    status: &Status,
    capacities: &BTreeMap<LocationId, (u64, u64)>,
) -> Result<Option<Timestamp>, Failure> {
    let _alone = daemon.alone(&daemon.alerting);
    let now = daemon.now();
    let model = &followed.active.model;
    let known = daemon.store.alerts()?;
    let policies = &model.settings.alerts;
    if policies.is_empty() && known.is_empty() {
        return Ok(None);
    }
    let scene = Scene {
        model,
        status,
        ended: &ended(daemon, policies, now)?,
        capacities,
        channels: &of_channels(daemon, model),
    };
    let seen = alert::active(&scene, known.iter().map(|it| &it.alert));
    let hold = hold(daemon);
    let mut records: BTreeMap<String, AlertRecord> = known
        .into_iter()
        .map(|it| (it.alert.alert_id.clone(), it))
        .collect();
    let changed = escalation::follow(&records, &seen, hold, now);
    for record in &changed {
        log(&records, record);
    }
    let changes: Vec<Change> = changed
        .iter()
        .map(|it| Change::Alert(Box::new(it.clone())))
        .collect();
    records.extend(
        changed
            .into_iter()
            .map(|it| (it.alert.alert_id.clone(), it)),
    );
    let bound = delivered(daemon, model);
    let due = escalation::due(records.values(), policies, &bound, hold, now);
    for record in due.over.iter().filter_map(|id| records.get(id)) {
        let Alert {
            alert_id,
            subject,
            title,
            ..
        } = &record.alert;
        tracing::info!(
            event = "alert_cleared",
            alert = alert_id,
            subject,
            "{title}: it is over"
        );
    }
    let over = due.over.iter().map(|id| Change::AlertOver {
        alert_id: id.clone(),
    });
    let changes: Vec<Change> = changes.into_iter().chain(over).collect();
    if !changes.is_empty() {
        daemon.commit(&changes, Vec::new(), now)?;
    }
    Ok(due.next)
}

/// What ended within the window of each alert policy that has one, and when that was counted.
#[derive(Debug, Default)]
pub struct Windows(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    at: Timestamp,
    windows: BTreeMap<AlertId, Seconds>,
    ended: Ended,
}

type Ended = BTreeMap<AlertId, Vec<Tallied>>;

/// What ended within the window of each alert policy that has one. A window holds many hours: they are counted once in a look interval.
fn ended(
    daemon: &Daemon,
    policies: &BTreeMap<AlertId, AlertPolicy>,
    now: Timestamp,
) -> Result<Ended, Failure> {
    let watches_shares =
        |policy: &AlertPolicy| policy.thresholds.iter().any(|it| it.watch.is_share());
    let windows = policies
        .iter()
        .filter(|(_, policy)| watches_shares(policy))
        .filter_map(|(id, policy)| Some((id.clone(), policy.window_s?)));
    let windows: BTreeMap<AlertId, Seconds> = windows.collect();
    let mut known = daemon
        .windows
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let look = SignedDuration::from_secs(daemon.config.look_interval().signed());
    if let Some(counted) = known.as_ref().filter(|it| it.windows == windows)
        && (SignedDuration::ZERO..look).contains(&now.duration_since(counted.at))
    {
        return Ok(counted.ended.clone());
    }
    let mut by_window: BTreeMap<Seconds, Vec<Tallied>> = BTreeMap::new();
    let mut ended = Ended::new();
    for (id, window) in &windows {
        let tallies = match by_window.entry(*window) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let from = now.checked_sub(SignedDuration::from_secs(window.signed()));
                let from = from.unwrap_or(Timestamp::MIN);
                unknown.insert(daemon.store.tallies_between(from, now)?)
            }
        };
        ended.insert(id.clone(), tallies.clone());
    }
    *known = Some(Counted {
        at: now,
        windows,
        ended: ended.clone(),
    });
    Ok(ended)
}

/// An alert that is not seen for two looks is over: one look may come at a good moment.
fn hold(daemon: &Daemon) -> Seconds {
    let look = daemon.config.look_interval();
    Seconds::new(look.get().saturating_mul(2))
}

/// An alert begins, or becomes more urgent.
fn log(before: &BTreeMap<String, AlertRecord>, record: &AlertRecord) {
    let alert = &record.alert;
    let is_news = before
        .get(&alert.alert_id)
        .is_none_or(|known| known.since != record.since || known.alert.severity < alert.severity);
    if record.cleared_at.is_none() && is_news {
        tracing::warn!(event = "alert_active", alert = alert.alert_id, severity = alert.severity.as_str(), code = %alert.code, subject = alert.subject, "{}", alert.summary);
    }
}

/// What a channel is sent next.
#[derive(Debug)]
pub struct Letter {
    /// The message.
    pub message: Message,
    /// The alerts in it, as they were then.
    pub alerts: Vec<(AlertRecord, News)>,
    /// The place in the receipt log up to which it tells what ended.
    pub receipts: Option<u64>,
}

/// The message that a channel is sent next, if one is due, and the instant at which another one may be.
pub fn pending(
    daemon: &Daemon,
    followed: &Followed,
    channel_id: &ChannelId,
) -> Result<(Option<Letter>, Option<Timestamp>), Failure> {
    let model = &followed.active.model;
    let Some(binding) = daemon.config.channels.get(channel_id) else {
        return Ok((None, None));
    };
    let mut only = delivered(daemon, model);
    only.retain(|id| id == channel_id);
    let records = daemon.store.alerts()?;
    let policies = &model.settings.alerts;
    let mut due = escalation::due(&records, policies, &only, hold(daemon), daemon.now());
    let news = due.channels.remove(channel_id).unwrap_or_default();
    let mut chosen: Vec<(&AlertRecord, News)> = records
        .iter()
        .filter_map(|record| Some((record, *news.get(&record.alert.alert_id)?)))
        .collect();
    // The most urgent first; what is over last.
    chosen.sort_by_key(|(record, news)| (*news, Reverse(record.alert.severity)));
    chosen.truncate(channel::most_at_once(binding));
    let mut message = blank(daemon, channel_id);
    if chosen.is_empty() {
        if !daemon.config.completions.contains(channel_id) {
            return Ok((None, due.next));
        }
        let ended = completions::next(daemon, channel_id, channel::most_at_once(binding))?;
        let letter = ended.map(|(completed, receipts)| {
            message.completed = completed;
            message.message_id = identity(channel_id, &message);
            Letter {
                message,
                alerts: Vec::new(),
                receipts: Some(receipts),
            }
        });
        return Ok((letter, due.next));
    }
    message.alerts = chosen
        .iter()
        .map(|(record, news)| notice(record, *news))
        .collect();
    message.message_id = identity(channel_id, &message);
    let alerts = chosen
        .into_iter()
        .map(|(record, news)| (record.clone(), news))
        .collect();
    let letter = Letter {
        message,
        alerts,
        receipts: None,
    };
    Ok((Some(letter), due.next))
}

/// A message without news.
fn blank(daemon: &Daemon, channel_id: &ChannelId) -> Message {
    let now = daemon.now();
    Message {
        schema_version: MESSAGE_VERSION,
        message_id: format!("test.{channel_id}.{}", stamp(now)),
        environment: daemon.config.environment.clone(),
        reconciler_id: daemon.config.reconciler_id.clone(),
        sent_at: now,
        is_test: false,
        alerts: Vec::new(),
        completed: Vec::new(),
    }
}

/// Sends a message that says that nothing is wrong.
pub fn test(daemon: &Daemon, channel_id: &ChannelId) -> Result<(), Failure> {
    let unfit = |why: String, help: &str| Err(Failure::new(code::UNKNOWN_OBJECT, why, help));
    match daemon.config.channels.get(channel_id) {
        None => unfit(
            format!("the configuration binds no channel `{channel_id}`"),
            "`channels` in the configuration lists them",
        ),
        Some(ChannelBinding::External(system)) => unfit(
            format!("channel `{channel_id}` is delivered by {system}"),
            "test it there",
        ),
        Some(binding) => {
            let message = Message {
                is_test: true,
                ..blank(daemon, channel_id)
            };
            daemon.effects.notify(binding, &message)?;
            daemon.silent.took(channel_id);
            Ok(())
        }
    }
}

/// The same news to the same channel has the same name, whenever it is sent.
fn identity(channel_id: &ChannelId, message: &Message) -> String {
    let mut text = format!(
        "{}\n{}\n{channel_id}\n",
        message.environment, message.reconciler_id
    );
    for notice in &message.alerts {
        let Notice {
            alert_id,
            state,
            severity,
            since,
            resolved_at,
            ..
        } = notice;
        let over = resolved_at.map(|at| at.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{alert_id} {state:?} {severity:?} {since} {over}");
    }
    for completed in &message.completed {
        let _ = writeln!(text, "{}", completed.receipt);
    }
    Digest::of(text.as_bytes()).to_string()
}

fn notice(record: &AlertRecord, news: News) -> Notice {
    let alert = &record.alert;
    Notice {
        alert_id: alert.alert_id.clone(),
        state: match news {
            News::Active => AlertState::Active,
            News::Over => AlertState::Resolved,
        },
        severity: alert.severity,
        code: alert.code,
        subject: alert.subject.clone(),
        title: alert.title.clone(),
        summary: alert.summary.clone(),
        remedy: remedy(alert),
        since: record.since,
        resolved_at: record.cleared_at.filter(|_| news == News::Over),
        alert_policies: alert.policies.clone(),
    }
}

/// The pages that say what to do: of the reason first, where the summary names one.
fn remedy(alert: &Alert) -> String {
    let is_end = |letter: char| !letter.is_ascii_alphanumeric();
    let named = alert.summary.split(is_end).filter_map(Code::find);
    let mut codes: Vec<Code> = Vec::new();
    for code in named.chain([alert.code]) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let pages = codes.iter().map(|code| format!("`seawall explain {code}`"));
    let pages: Vec<String> = pages.collect();
    format!("{}; docs/operate.md, At 3 a.m.", pages.join(", "))
}

/// A channel took a message: it is remembered with a receipt, so that it is not sent again and an auditor sees when people were notified.
pub fn delivered_to(
    daemon: &Daemon,
    channel_id: &ChannelId,
    letter: &Letter,
) -> Result<(), Failure> {
    let Letter {
        message,
        alerts,
        receipts,
    } = letter;
    if let Some(receipts) = receipts {
        // What ended has its receipts already.
        return daemon.commit(
            &[completions::up_to(channel_id, *receipts)],
            Vec::new(),
            daemon.now(),
        );
    }
    let _alone = daemon.alone(&daemon.alerting);
    let now = daemon.now();
    let known = daemon.store.alerts()?;
    let changes: Vec<Change> = alerts
        .iter()
        .map(|(sent, news)| {
            let id = &sent.alert.alert_id;
            let known = known.iter().find(|it| it.alert.alert_id == *id);
            let record = escalation::notified(known, sent, channel_id, *news, now);
            Change::Alert(Box::new(record))
        })
        .collect();
    let operation = format!("notification.{channel_id}.{}", message.message_id);
    let mut draft = Draft::new(DecisionType::Notification, Phase::Decision, &operation);
    draft.result = Some(result(Outcome::Success));
    draft.actor = format!("reconciler:{}", daemon.config.reconciler_id);
    for (name, news) in [("active", News::Active), ("resolved", News::Over)] {
        let ids: Vec<&str> = alerts
            .iter()
            .filter(|(_, it)| *it == news)
            .map(|(sent, _)| sent.alert.alert_id.as_str())
            .collect();
        if !ids.is_empty() {
            draft.details.insert(name.to_owned(), ids.join(" "));
        }
    }
    draft
        .details
        .insert("channel".to_owned(), channel_id.to_string());
    daemon.commit(&changes, vec![draft], now)?;
    Ok(())
}

/// Alerts as they are remembered, the most urgent first.
pub fn shown(daemon: &Daemon) -> Result<Vec<AlertRecord>, Failure> {
    let mut all = daemon.store.alerts()?;
    all.sort_by_key(|it| {
        (
            it.cleared_at.is_some(),
            Reverse(it.alert.severity),
            it.since,
        )
    });
    Ok(all)
}

/// An operator takes an alert on: no further channel is notified of it, unless it becomes worse.
pub fn acknowledge(daemon: &Daemon, alert_id: &str, note: &str) -> Result<AlertRecord, Failure> {
    let now = daemon.fresh_now()?;
    let _alone = daemon.alone(&daemon.alerting);
    let known = daemon.store.alerts()?;
    let record = known.into_iter().find(|it| it.alert.alert_id == alert_id);
    let Some(mut record) = record.filter(|it| it.cleared_at.is_none()) else {
        return Err(Failure::new(
            code::UNKNOWN_OBJECT,
            format!("no alert `{alert_id}` is active"),
            "`seawalld alerts` lists those that are",
        ));
    };
    let actor = format!("operator:{}", daemon.person());
    let note = reason(note);
    record.taken = Some(Taken {
        at: now,
        actor: actor.clone(),
        note: note.clone(),
        severity: record.alert.severity,
    });
    let operation = format!("notification.ack.{alert_id}.{}", stamp(now));
    let mut draft = Draft::new(DecisionType::Notification, Phase::Decision, &operation);
    draft.result = Some(result(Outcome::Success));
    draft.actor = actor;
    draft
        .details
        .insert("acknowledged".to_owned(), alert_id.to_owned());
    draft.details.insert("note".to_owned(), note);
    daemon.commit(&[Change::Alert(Box::new(record.clone()))], vec![draft], now)?;
    Ok(record)
}
