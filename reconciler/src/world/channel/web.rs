//! Owns messages over HTTP: generic webhooks, Slack's incoming webhooks and PagerDuty's events. Follows no redirect: what is sent is for
//! one receiver. The interesting functions are [`webhook`], [`slack`] and [`pagerduty`].

use std::path::Path;

use contract::digest::Digest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};
use sha2::Sha256;

use super::binding::{Pagerduty, Slack, URL_HELP, Webhook, url_fault};
use super::{failed, line, text};
use crate::domain::{AlertState, Message, Notice};
use crate::failure::{Failure, chain};
use crate::world::secret::{Secret, read_regular};
use crate::world::tls::{self, LARGEST_AUTHORITIES};

/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// PagerDuty cuts a summary here, and refuses a longer key.
const PAGER_SUMMARY: usize = 1_024;
const PAGER_KEY: usize = 255;

/// Slack cuts a text here.
const CHAT_TEXT: usize = 35_000;

/// Sends the message as JSON.
pub(super) async fn webhook(to: &Webhook, message: &Message) -> Result<(), Failure> {
    let body =
        serde_json::to_vec(message).map_err(|error| failed(error, "report this as a bug"))?;
    let mut request = client(to.ca_file.as_deref(), &to.url)?
        .post(&to.url)
        .header("content-type", "application/json")
        .header("x-seawall-message-id", &message.message_id);
    if let Some(path) = &to.secret_file {
        let signature = signature(&line(path)?, &body);
        request = request.header("x-seawall-signature", signature);
    }
    accepted(request.body(body).send().await)
}

/// `sha256=` and the HMAC of the body.
fn signature(secret: &Secret, body: &[u8]) -> String {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else {
        return String::new();
    };
    mac.update(body);
    let digest = Digest::from_bytes(mac.finalize().into_bytes().into());
    format!("sha256={digest}")
}

/// Posts the message into a chat.
pub(super) async fn slack(to: &Slack, message: &Message) -> Result<(), Failure> {
    let url = url_of(&to.url_file)?;
    let text = format!(
        "*{}*\n{}",
        escaped(&message.headline()),
        escaped(&message.text())
    );
    let text: String = text.chars().take(CHAT_TEXT).collect();
    let request = client(to.ca_file.as_deref(), super::text(&url))?.post(super::text(&url));
    accepted(json_body(request, &json!({ "text": text })).send().await)
}

/// The URL that a file holds.
pub(super) fn url_of(path: &Path) -> Result<Secret, Failure> {
    let url = line(path)?;
    match url_fault(text(&url)) {
        None => Ok(url),
        Some(why) => Err(failed(
            format!("what `{}` holds {why}", path.display()),
            URL_HELP,
        )),
    }
}

/// In Slack's form these letters begin links and mentions; a name in a message begins none.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

/// Sends an event for each alert: one that is active triggers an incident or changes its urgency, one that is over resolves it.
pub(super) async fn pagerduty(to: &Pagerduty, message: &Message) -> Result<(), Failure> {
    let key = line(&to.routing_key_file)?;
    let url = to.url.as_deref().unwrap_or(PAGERDUTY);
    let client = client(to.ca_file.as_deref(), url)?;
    for event in events(message, text(&key)) {
        let request = client.post(url);
        accepted(json_body(request, &event).send().await)?;
    }
    Ok(())
}

fn events(message: &Message, routing_key: &str) -> Vec<Value> {
    let source = format!("seawalld {} {}", message.environment, message.reconciler_id);
    if message.is_test {
        let key = format!("{source} test");
        let payload = json!({
            "summary": "Seawall: test of this channel, nothing is wrong", "source": source, "severity": "info",
        });
        return vec![
            json!({ "routing_key": routing_key, "event_action": "trigger", "dedup_key": key, "payload": payload }),
            json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": key }),
        ];
    }
    let alerts = message.alerts.iter();
    alerts
        .map(|notice| {
            let key = dedup_key(&format!("{source} {}", notice.alert_id));
            match notice.state {
                AlertState::Resolved => json!({
                    "routing_key": routing_key, "event_action": "resolve", "dedup_key": key,
                }),
                AlertState::Active => json!({
                    "routing_key": routing_key,
                    "event_action": "trigger",
                    "dedup_key": key,
                    "client": "seawalld",
                    "payload": payload(notice, &source),
                }),
            }
        })
        .collect()
}

fn payload(notice: &Notice, source: &str) -> Value {
    let summary = format!("{}: {}", notice.subject, notice.summary);
    let summary: String = summary.chars().take(PAGER_SUMMARY).collect();
    json!({
        "summary": summary,
        "source": source,
        "severity": notice.severity.as_str(),
        "timestamp": notice.since.to_string(),
        "component": notice.subject,
        "class": notice.code.to_string(),
        "custom_details": { "alert_id": notice.alert_id, "remedy": notice.remedy, "alert_policies": notice.alert_policies },
    })
}

fn dedup_key(key: &str) -> String {
    if key.len() <= PAGER_KEY {
        key.to_owned()
    } else {
        Digest::of(key.as_bytes()).to_string()
    }
}

fn json_body(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// A client for one message: files are read again with each, so that a certificate can be replaced while the daemon runs.
fn client(ca_file: Option<&Path>, url: &str) -> Result<Client, Failure> {
    tls::install();
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .user_agent(concat!("seawalld/", env!("CARGO_PKG_VERSION")));
    // Unencrypted messages stay on this machine, whatever the environment says of proxies.
    if url.starts_with("http:") {
        builder = builder.no_proxy();
    }
    if let Some(path) = ca_file {
        builder = builder.tls_certs_only(authorities(path)?);
    }
    builder
        .build()
        .map_err(|error| failed(chain(&error), "check the certificates of this machine"))
}

/// The certificates of a file.
pub(super) fn authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        failed(
            format!("`{}` cannot be used: {why}", path.display()),
            "name a PEM file of certificates that the daemon's user can read",
        )
    };
    let bytes = read_regular(path, LARGEST_AUTHORITIES).map_err(|error| unusable(&error))?;
    match Certificate::from_pem_bundle(bytes.bytes()) {
        Ok(all) if all.is_empty() => Err(unusable(&"it holds no certificate")),
        Ok(all) => Ok(all),
        Err(error) => Err(unusable(&chain(&error))),
    }
}

/// Whether the receiver took it. What it answers may repeat its URL or its key, which are secrets: only its status is shown.
fn accepted(answer: reqwest::Result<Response>) -> Result<(), Failure> {
    let help = "check the receiver, its URL and its key; alerts are sent again";
    let response = answer.map_err(|error| failed(chain(&error.without_url()), help))?;
    let status = response.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(failed(format!("the receiver answers {status}"), help))
    }
}
