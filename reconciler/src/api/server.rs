//! Owns the daemon's end of the socket: routes, sizes and who asks. Decides nothing; what is asked for goes to the service. The
//! interesting function is [`listen`].
#![expect(
    clippy::disallowed_methods,
    reason = "shell: the socket is a file of the state folder"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, Path as Named, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use contract::code;
use serde::Deserialize;
use tokio::net::UnixListener;

use super::{Ask, Operation, Problem};
use crate::failure::Failure;

/// A request names things; it is never long.
const MAX_REQUEST: usize = 64 << 10;

/// The longest poll. A client polls again after it, so that dropped connections are noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the socket is for.
pub trait Handler: Send + Sync + 'static {
    /// Begins what is asked for, once for each name.
    fn ask(self: Arc<Self>, ask: Ask, requested_by: String) -> Result<Operation, Failure>;
    /// Operations in progress, and those that finished recently.
    fn operations(&self) -> Vec<Operation>;
    /// One of them, as soon as it ended, or after a time.
    fn operation(
        self: Arc<Self>,
        id: String,
        within: Duration,
    ) -> impl Future<Output = Option<Operation>> + Send;
    /// Asks one to end; false when there is none of this name under way.
    fn cancel(&self, id: &str) -> bool;
}

/// The user at the other end.
#[derive(Debug, Clone)]
struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

/// Listens on a socket that is this user's alone. Whoever holds the store calls it, so that one which is there is a dead one's.
pub fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            code::API_UNREACHABLE,
            format!("the socket `{}` cannot be made: {error}", path.display()),
            "let the state folder be writable, and its path shorter than 90 bytes",
        )
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The state folder keeps everybody else out until then.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Answers until `end`.
pub async fn listen<H: Handler>(
    listener: UnixListener,
    handler: Arc<H>,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let router = Router::new()
        .route("/v1/operations", get(operations::<H>).post(ask::<H>))
        .route("/v1/operations/{id}", get(operation::<H>))
        .route("/v1/operations/{id}/cancel", post(cancel::<H>))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(handler)
        .into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, router)
        .with_graceful_shutdown(end)
        .await
        .map_err(|error| {
            Failure::new(
                code::API_UNREACHABLE,
                format!("the socket cannot be served any more: {error}"),
                "look at the limits of this process",
            )
        })
}

async fn operations<H: Handler>(State(handler): State<Arc<H>>) -> Json<Vec<Operation>> {
    Json(handler.operations())
}

async fn ask<H: Handler>(
    State(handler): State<Arc<H>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    let ask: Ask = match serde_json::from_slice(&body) {
        Ok(ask) => ask,
        Err(error) => {
            return refused(
                StatusCode::BAD_REQUEST,
                &refusal(format!("the request cannot be read: {error}")),
            );
        }
    };
    let Peer(Some(uid)) = peer else {
        let why = "the user who asks is not known".to_owned();
        return refused(StatusCode::FORBIDDEN, &refusal(why));
    };
    match handler.ask(ask, format!("uid:{uid}")) {
        Ok(operation) => (StatusCode::ACCEPTED, Json(operation)).into_response(),
        Err(failure) => refused(StatusCode::CONFLICT, &failure),
    }
}

/// How long a client waits for the end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    wait_s: u64,
}

async fn operation<H: Handler>(
    State(handler): State<Arc<H>>,
    Named(id): Named<String>,
    wait: Result<Query<Wait>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(wait)) = wait else {
        let why = "`wait_s` is a number of seconds".to_owned();
        return refused(StatusCode::BAD_REQUEST, &refusal(why));
    };
    let within = Duration::from_secs(wait.wait_s).min(LONGEST_WAIT);
    match handler.operation(id, within).await {
        Some(operation) => Json(operation).into_response(),
        None => absent(),
    }
}

async fn cancel<H: Handler>(State(handler): State<Arc<H>>, Named(id): Named<String>) -> Response {
    if handler.cancel(&id) {
        StatusCode::ACCEPTED.into_response()
    } else {
        absent()
    }
}

fn absent() -> Response {
    let failure = Failure::new(
        code::UNKNOWN_OBJECT,
        "no operation of this name is under way",
        "`seawalld operations` lists them",
    );
    refused(StatusCode::NOT_FOUND, &failure)
}

async fn unknown() -> Response {
    let why = "there is no such resource".to_owned();
    refused(StatusCode::NOT_FOUND, &refusal(why))
}

fn refusal(why: String) -> Failure {
    let help = "use the command and the daemon of one version";
    Failure::new(code::API_REFUSED, why, help)
}

fn refused(status: StatusCode, failure: &Failure) -> Response {
    let problem = Problem {
        kind: format!("urn:seawall:{}", failure.code),
        title: failure.code.summary().to_owned(),
        status: status.as_u16(),
        detail: failure.message.clone(),
        help: failure.help.clone(),
    };
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, Json(problem)).into_response()
}
