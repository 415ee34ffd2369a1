//! Owns what `seawalld.yaml` binds for one notification channel: where its messages go. Holds no secret, only the files that do. The
//! interesting function is [`ChannelBinding::fault`].

use std::path::PathBuf;

use contract::model::Medium;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the messages of one channel go, written as `<kind>: { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelBinding {
    /// Any program: `POST` with the message as JSON, as `schemas/seawalld-notification.json` describes it.
    Webhook(Webhook),
    /// Slack, or a service that takes its incoming webhooks.
    Slack(Slack),
    /// PagerDuty, or a service that takes its Events API v2.
    Pagerduty(Pagerduty),
    /// Mail over SMTP.
    Mail(Box<Mail>),
    /// Another system delivers these alerts, such as Alertmanager with the rules of `seawall alerts`: its name.
    External(String),
}

/// Any program that takes a `POST`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `https://…`; `http://` only to a loopback address.
    pub url: String,
    /// A file that holds a shared secret. The header `X-Seawall-Signature` is then `sha256=` and the HMAC-SHA-256 of the body, as
    /// hexadecimal digits. One trailing newline is dropped.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A PEM file of the authorities that vouch for the server's certificate; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// An incoming webhook of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// A file that holds the webhook's URL, which is a secret. One trailing newline is dropped.
    pub url_file: PathBuf,
    /// A PEM file of the authorities that vouch for the server's certificate; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// An integration of PagerDuty's Events API v2.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pagerduty {
    /// A file that holds the integration's routing key. One trailing newline is dropped.
    pub routing_key_file: PathBuf,
    /// Where events go; PagerDuty's own endpoint when absent.
    #[serde(default)]
    pub url: Option<String>,
    /// A PEM file of the authorities that vouch for the server's certificate; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// A mail server that takes submissions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Its name or address.
    pub host: String,
    /// Its port; 465 when absent, with `tls: starttls` 587, with `tls: none` 25.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is encrypted; `implicit` when absent.
    #[serde(default)]
    pub tls: MailTls,
    /// Who submits; without authentication when absent.
    #[serde(default)]
    pub username: Option<String>,
    /// A file that holds the password. One trailing newline is dropped.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A PEM file of the authorities that vouch for the server's certificate; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The sender, such as `Seawall <seawall@example.org>`.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// From the first byte.
    #[default]
    Implicit,
    /// It begins in the clear and must become encrypted before anything else is said.
    Starttls,
    /// Not at all: to a loopback address only.
    None,
}

impl ChannelBinding {
    /// The word of its kind, as the configuration writes it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Pagerduty(_) => "pagerduty",
            Self::Mail(_) => "mail",
            Self::External(_) => "external",
        }
    }

    /// Whether it reaches people in the way that policy says.
    pub const fn fits(&self, medium: Medium) -> bool {
        match self {
            // A program may do anything with it.
            Self::Webhook(_) | Self::External(_) => true,
            Self::Slack(_) => matches!(medium, Medium::Chat),
            Self::Pagerduty(_) => matches!(medium, Medium::Paging),
            Self::Mail(_) => matches!(medium, Medium::Mail),
        }
    }

    /// The file that holds its secret.
    pub fn secret_file(&self) -> Option<&PathBuf> {
        match self {
            Self::Webhook(it) => it.secret_file.as_ref(),
            Self::Slack(it) => Some(&it.url_file),
            Self::Pagerduty(it) => Some(&it.routing_key_file),
            Self::Mail(it) => it.password_file.as_ref(),
            Self::External(_) => None,
        }
    }

    /// The file of the authorities that are trusted.
    pub const fn ca_file(&self) -> Option<&PathBuf> {
        match self {
            Self::Webhook(it) => it.ca_file.as_ref(),
            Self::Slack(it) => it.ca_file.as_ref(),
            Self::Pagerduty(it) => it.ca_file.as_ref(),
            Self::Mail(it) => it.ca_file.as_ref(),
            Self::External(_) => None,
        }
    }

    /// What no message could be sent with, by its field, and what to do.
    pub fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        match self {
            Self::Webhook(it) => url_fault(&it.url).map(|why| ("webhook.url", why, URL_HELP)),
            Self::Pagerduty(it) => {
                let why = it.url.as_deref().and_then(url_fault)?;
                Some(("pagerduty.url", why, URL_HELP))
            }
            Self::Mail(it) => it.fault(),
            Self::External(name) if name.trim().is_empty() => {
                let why = "must name the system that delivers the alerts".to_owned();
                Some(("external", why, "write its name, such as `Alertmanager`"))
            }
            Self::Slack(_) | Self::External(_) => None,
        }
    }
}

pub(super) const URL_HELP: &str = "write `https://…`; `http://` goes to a loopback address only, because others could read and change it";

/// What is wrong with the URL of a receiver; nothing of it is shown, because it may hold a secret.
pub(super) fn url_fault(text: &str) -> Option<String> {
    let Ok(url) = text.parse::<reqwest::Url>() else {
        return Some("is no URL".to_owned());
    };
    let is_loopback = || {
        let host = url.host_str().unwrap_or_default();
        is_loopback(host.trim_start_matches('[').trim_end_matches(']'))
    };
    match url.scheme() {
        "https" => None,
        "http" if is_loopback() => None,
        "http" => Some("is not encrypted".to_owned()),
        _ => Some("is no `https://` URL".to_owned()),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

impl Mail {
    /// Its port.
    pub const fn port(&self) -> u16 {
        match (self.port, self.tls) {
            (Some(port), _) => port,
            (None, MailTls::Starttls) => 587,
            (None, MailTls::Implicit) => 465,
            (None, MailTls::None) => 25,
        }
    }

    fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let address = |text: &String| text.parse::<lettre::message::Mailbox>().is_err();
        if self.tls == MailTls::None && !is_loopback(&self.host) {
            let why = "`none` goes to a loopback address only".to_owned();
            return Some(("mail.tls", why, "write `starttls` or `implicit`"));
        }
        if self.username.is_some() != self.password_file.is_some() {
            let why = "go together with `password_file`".to_owned();
            return Some(("mail.username", why, "write both, or none"));
        }
        if address(&self.from) {
            let why = "is no mail address".to_owned();
            return Some(("mail.from", why, "write `Seawall <seawall@example.org>`"));
        }
        if self.to.is_empty() || self.to.iter().any(address) {
            let why = "must be mail addresses".to_owned();
            return Some(("mail.to", why, "write `[on-call@example.org]`"));
        }
        None
    }
}
