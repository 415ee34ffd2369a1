//! Owns the daemon's end of TCP: a webhook that wakes the source, and reading with a token. Whoever connects is a stranger: nothing
//! is answered without a secret, and what is sent is bounded in number, size and time. The interesting function is [`Remote::listen`].

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use contract::code;
use contract::digest::Digest;
use futures_util::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::server::{self, Handler};
use crate::config::Tcp;
use crate::failure::Failure;
use crate::world::secret::{self, Secret};

/// Connections at the same time: a git host and some dashboards need a few, and each holds a descriptor.
const MOST_CONNECTIONS: usize = 64;

/// The head of a request, and the body of a webhook, are sent within this time, or the connection is closed.
const SENT_WITHIN: Duration = Duration::from_secs(10);

/// One request and its answer take this long at most: a reader that stops reading holds no place for ever. Streams of events are begun
/// again by their readers.
const LONGEST_ANSWER: Duration = Duration::from_mins(1);

/// Answers that are on their way when the daemon ends get this time to arrive.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// GitHub caps its payloads at this size, and others send less.
const LARGEST_PAYLOAD: usize = 25 << 20;

/// The pause after a failure to accept, for example because all descriptors are in use.
const ACCEPTS_AGAIN: Duration = Duration::from_millis(100);

/// The signatures that git hosts send: a header, and what stands before the hexadecimal HMAC-SHA256 of the body.
const SIGNATURES: [(&str, &str); 4] = [
    ("x-hub-signature-256", "sha256="),
    ("x-forgejo-signature", ""),
    ("x-gitea-signature", ""),
    ("x-hub-signature", "sha256="),
];

/// GitLab sends the secret itself.
const GITLAB_TOKEN: &str = "x-gitlab-token";

/// What strangers prove that they know.
#[derive(Debug, Clone)]
struct Secrets {
    webhook: Option<Arc<Secret>>,
    reading: Option<Arc<Secret>>,
}

impl Secrets {
    fn read(config: &Tcp) -> Result<Self, Failure> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(secret::read_shared).transpose();
        Ok(Self {
            webhook: read(&config.webhook_secret_file)?.map(Arc::new),
            reading: read(&config.read_token_file)?.map(Arc::new),
        })
    }
}

/// The listener on TCP and what it answers.
#[derive(Debug)]
pub struct Remote {
    listener: TcpListener,
    secrets: Secrets,
}

/// What the webhook needs.
#[derive(Clone)]
struct Hook {
    handler: Arc<dyn Handler>,
    secret: Arc<Secret>,
}

impl Remote {
    /// Listens where the configuration says.
    pub async fn bind(config: &Tcp) -> Result<Self, Failure> {
        let files = config.clone();
        // A file may be on a mount that hangs.
        let secrets = tokio::task::spawn_blocking(move || Secrets::read(&files));
        let secrets = secrets.await.map_err(|error| {
            let help = "check the resource limits of this process";
            Failure::new(
                code::TCP_UNUSABLE,
                format!("a secret cannot be read: {error}"),
                help,
            )
        })??;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            Failure::new(
                code::TCP_UNUSABLE,
                format!("`tcp.listen: {}` cannot be served: {error}", config.listen),
                "name an address of this machine and a port that is free",
            )
        })?;
        Ok(Self { listener, secrets })
    }

    /// Answers until `end`.
    pub async fn listen(self, handler: Arc<dyn Handler>, end: impl Future<Output = ()> + Send) {
        let router = router(handler, &self.secrets);
        let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match (accepted, Arc::clone(&free).try_acquire_owned()) {
                (Ok((stream, _)), Ok(place)) => {
                    connections.spawn(answer(stream, router.clone(), place));
                }
                // Too many already: whoever it is asks again.
                (Ok(_), Err(_)) => {}
                (Err(error), _) => {
                    tracing::warn!(
                        event = "connection_refused",
                        "a connection cannot be accepted: {error}"
                    );
                    tokio::time::sleep(ACCEPTS_AGAIN).await;
                }
            }
        }
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_ANSWERS, all).await;
        connections.shutdown().await;
    }
}

/// One request and its answer.
async fn answer(stream: TcpStream, router: Router, place: OwnedSemaphorePermit) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SENT_WITHIN)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A connection that fails is its client's concern: it asks again.
    let _ = tokio::time::timeout(LONGEST_ANSWER, served).await;
    drop(place);
}

fn router(handler: Arc<dyn Handler>, secrets: &Secrets) -> Router {
    let mut router = Router::new();
    router = router.merge(server::probes().with_state(Arc::clone(&handler)));
    if let Some(token) = &secrets.reading {
        let reads = server::reads()
            .route_layer(from_fn_with_state(Arc::clone(token), knows_the_token))
            .with_state(Arc::clone(&handler));
        router = router.merge(reads);
    }
    if let Some(secret) = &secrets.webhook {
        let secret = Arc::clone(secret);
        let hook = post(webhook).with_state(Hook { handler, secret });
        router = router.route("/v1/webhook", hook);
    }
    server::refusing(router)
}

async fn knows_the_token(
    State(token): State<Arc<Secret>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| is_same(given, &token)) {
        return next.run(request).await;
    }
    let mut refused = refusal(
        StatusCode::UNAUTHORIZED,
        "reading needs the token of this daemon",
        "send `Authorization: Bearer TOKEN` with the content of `tcp.read_token_file`",
    );
    let challenge = HeaderValue::from_static("Bearer");
    refused
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    refused
}

/// Wakes the source for a git host that knows the secret. What the payload says is not read: the repository is looked at in any case.
async fn webhook(State(hook): State<Hook>, headers: HeaderMap, body: Body) -> Response {
    let help = "give the webhook the content of `tcp.webhook_secret_file` as its secret";
    let read = is_vouched_for(&headers, body, &hook.secret);
    match tokio::time::timeout(SENT_WITHIN, read).await {
        Ok(Some(true)) => {
            hook.handler.look_at_source();
            StatusCode::ACCEPTED.into_response()
        }
        Ok(Some(false)) => {
            let why = "the request is not signed with the secret of this webhook";
            refusal(StatusCode::UNAUTHORIZED, why, help)
        }
        Ok(None) => {
            let why = "the payload is larger than 25 MiB, or ended early";
            refusal(StatusCode::PAYLOAD_TOO_LARGE, why, "send push events alone")
        }
        Err(_) => {
            let why = "the payload did not arrive within 10 s";
            refusal(StatusCode::REQUEST_TIMEOUT, why, "send it again")
        }
    }
}

/// Whether the sender knows the secret; none when the body cannot be read. It is kept nowhere.
async fn is_vouched_for(headers: &HeaderMap, body: Body, secret: &Secret) -> Option<bool> {
    // Nothing is read for one who proves nothing.
    if let Some(given) = headers.get(GITLAB_TOKEN) {
        return Some(is_same(given.as_bytes(), secret));
    }
    let signed = SIGNATURES.iter().find_map(|(name, before)| {
        let value = headers.get(*name)?.to_str().ok()?;
        value.strip_prefix(before)?.parse::<Digest>().ok()
    });
    let Some(signed) = signed else {
        return Some(false);
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
    let mut read = 0_usize;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.ok()?;
        read = read.saturating_add(frame.len());
        if read > LARGEST_PAYLOAD {
            return None;
        }
        mac.update(&frame);
    }
    Some(mac.verify_slice(signed.as_bytes()).is_ok())
}

/// Compares digests: how long that takes says nothing about the secret.
fn is_same(given: &[u8], secret: &Secret) -> bool {
    Digest::of(given) == Digest::of(secret.bytes())
}

fn refusal(status: StatusCode, why: &str, help: &str) -> Response {
    server::refused(status, &Failure::new(code::API_REFUSED, why, help))
}
