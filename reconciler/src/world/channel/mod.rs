//! Owns how a message reaches a channel: by a webhook, a chat, a pager or mail. Never decides who is notified or when; never shows a
//! secret. The interesting function is [`send`].

mod binding;
mod mail;
mod web;

use std::path::Path;
use std::time::Duration;

use contract::code;

use crate::domain::Message;
use crate::failure::Failure;
use crate::world::secret::{Secret, read_regular};

pub use binding::{ChannelBinding, Mail, MailTls, Pagerduty, Slack, Webhook};

/// A receiver that takes longer is tried again later: other channels do not wait for it, and an operator may.
const DEADLINE: Duration = Duration::from_secs(20);

/// A URL, a key or a password is a line.
const LONGEST_SECRET: usize = 4 << 10;

/// What a mail server says when it refuses; more of it helps no reader.
const ANSWER: usize = 200;

/// Alerts in one message to people. A pager takes one at a time: each is taken on and resolved for itself.
const MOST_AT_ONCE: usize = 20;

/// How many alerts go into one message.
pub const fn most_at_once(binding: &ChannelBinding) -> usize {
    match binding {
        ChannelBinding::Pagerduty(_) => 1,
        ChannelBinding::Webhook(_)
        | ChannelBinding::Slack(_)
        | ChannelBinding::Mail(_)
        | ChannelBinding::External(_) => MOST_AT_ONCE,
    }
}

/// Sends a message; returns once the receiver has taken it.
pub async fn send(binding: &ChannelBinding, message: &Message) -> Result<(), Failure> {
    let deadline = match binding {
        ChannelBinding::Mail(_) => mail::DEADLINE,
        _ => DEADLINE,
    };
    let sent = async {
        match binding {
            ChannelBinding::Webhook(it) => web::webhook(it, message).await,
            ChannelBinding::Slack(it) => web::slack(it, message).await,
            ChannelBinding::Pagerduty(it) => web::pagerduty(it, message).await,
            ChannelBinding::Mail(it) => mail::mail(it, message).await,
            ChannelBinding::External(_) => Ok(()),
        }
    };
    let within = tokio::time::timeout(deadline, sent).await;
    within.unwrap_or_else(|_| {
        let seconds = deadline.as_secs();
        Err(failed(
            format!("the receiver did not answer within {seconds} s"),
            "check the receiver and the network",
        ))
    })
}

/// Whether everything that a message needs can be read.
pub fn readable(binding: &ChannelBinding) -> Result<(), Failure> {
    if let Some(path) = binding.secret_file() {
        line(path)?;
    }
    if let ChannelBinding::Slack(it) = binding {
        web::url_of(&it.url_file)?;
    }
    if let Some(path) = binding.ca_file() {
        web::authorities(path)?;
    }
    Ok(())
}

fn failed(why: impl std::fmt::Display, help: &str) -> Failure {
    Failure::new(code::NOTIFICATION_FAILED, why, help)
}

/// The one line of a file that holds a secret.
fn line(path: &Path) -> Result<Secret, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        failed(
            format!("`{}` cannot be used: {why}", path.display()),
            "let the daemon's user read it; it holds one line",
        )
    };
    let secret = read_regular(path, LONGEST_SECRET)
        .map_err(|error| unusable(&error))?
        .without_newline();
    let text = std::str::from_utf8(secret.bytes());
    if text.is_ok_and(|text| !text.is_empty() && !text.contains(char::is_control)) {
        Ok(secret)
    } else {
        Err(unusable(&"it is not one line of text"))
    }
}

/// A checked line as text.
fn text(secret: &Secret) -> &str {
    std::str::from_utf8(secret.bytes()).unwrap_or_default()
}

/// What a receiver said, made short and plain.
fn said(answer: &str) -> String {
    contract::hidden::one_line(answer)
        .trim()
        .chars()
        .take(ANSWER)
        .collect()
}
