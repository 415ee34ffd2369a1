//! Owns messages by mail. Never sends a password, or a message, over a connection that is not encrypted as the configuration says. The
//! interesting function is [`mail`].

use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncTransport as _, Tokio1Executor};

use super::binding::{Mail, MailTls};
use super::{failed, line, said, text};
use crate::domain::Message;
use crate::failure::{Failure, chain};
use crate::world::secret::read_regular;
use crate::world::tls::LARGEST_AUTHORITIES;

/// A server that looks for viruses first answers late, and a mail that was taken but not answered for is sent twice.
const ANSWERS_WITHIN: Duration = Duration::from_mins(2);

/// A few recipients, one after the other.
pub(super) const DEADLINE: Duration = Duration::from_mins(10);

/// A longer subject is cut by those who show it.
const SUBJECT: usize = 200;

/// Submits the message to the mail server, for each recipient alone: a refused one keeps it from none of the others.
pub(super) async fn mail(to: &Mail, message: &Message) -> Result<(), Failure> {
    let letter = letter(to, message)?;
    let (server, text) = (server(to)?, letter.formatted());
    let from = letter.envelope().from().cloned();
    let mut refused = Vec::new();
    for recipient in letter.envelope().to() {
        let envelope = Envelope::new(from.clone(), vec![recipient.clone()]);
        let sent = match envelope {
            Ok(envelope) => server
                .send_raw(&envelope, &text)
                .await
                .map_err(|it| said(&chain(&it))),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = sent {
            refused.push((recipient, why));
        }
    }
    let Some((_, why)) = refused.first() else {
        return Ok(());
    };
    if refused.len() == letter.envelope().to().len() {
        let help = "check the mail server, the user and the password; alerts are sent again";
        return Err(failed(
            format!("the mail server did not take it: {why}"),
            help,
        ));
    }
    // Those who have it must not get it again and again.
    for (recipient, why) in &refused {
        tracing::warn!(event = "recipient_refused", %recipient, "the mail server does not take mail for one of the recipients: {why}");
    }
    Ok(())
}

fn letter(to: &Mail, message: &Message) -> Result<lettre::Message, Failure> {
    let unfit = |error: &dyn std::error::Error| {
        failed(
            format!("the mail cannot be written: {}", chain(error)),
            "check the addresses in `mail.from` and `mail.to`",
        )
    };
    let mailbox = |text: &String| text.parse::<Mailbox>().map_err(|error| unfit(&error));
    let place = format!("{}/{}", message.environment, message.reconciler_id);
    let subject = format!("[seawall {place}] {}", message.headline());
    let subject: String = subject.chars().take(SUBJECT).collect();
    // The same news has the same id, by which mail programs recognize one that comes twice.
    let id = format!("<{}@{}.seawall>", message.message_id, message.reconciler_id);
    let mut builder: MessageBuilder = lettre::Message::builder()
        .from(mailbox(&to.from)?)
        .subject(subject)
        .message_id(Some(id))
        .header(ContentType::TEXT_PLAIN);
    for recipient in &to.to {
        builder = builder.to(mailbox(recipient)?);
    }
    let body = format!("{}\n", message.text());
    builder.body(body).map_err(|error| unfit(&error))
}

fn server(to: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let tls = match to.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters(to)?),
        MailTls::Implicit => Tls::Wrapper(parameters(to)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(to.host.clone())
        .port(to.port())
        .timeout(Some(ANSWERS_WITHIN))
        .tls(tls);
    if let (Some(user), Some(path)) = (&to.username, &to.password_file) {
        let password = line(path)?;
        builder = builder.credentials(Credentials::new(user.clone(), text(&password).to_owned()));
    }
    Ok(builder.build())
}

fn parameters(to: &Mail) -> Result<TlsParameters, Failure> {
    let unusable = |error: &dyn std::error::Error| {
        failed(
            format!("the connection cannot be encrypted: {}", chain(error)),
            "check `mail.ca_file` and the certificates of this machine",
        )
    };
    let mut builder = TlsParameters::builder(to.host.clone());
    if let Some(path) = &to.ca_file {
        let pem = read_regular(path, LARGEST_AUTHORITIES).map_err(|error| unusable(&error))?;
        let certificate = Certificate::from_pem(pem.bytes()).map_err(|error| unusable(&error))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| unusable(&error))
}
