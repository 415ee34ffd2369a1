//! Owns the daemon's end of the socket: it accepts connections of its own user alone, bounds what they send, and hands requests to
//! the service. Decides nothing. The interesting function is [`listen`].
#![expect(
    clippy::disallowed_methods,
    reason = "shell: a socket is a file that is made and removed"
)]

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path as Named, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use contract::code;
use contract::id::{BackupId, PlanId};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use utoipa::IntoParams;

use super::resources::{
    AlertView, OperationEvent, Page, PlanView, ReceiptView, RecoveryPoint, SlotView,
};
use super::{Ask, OperationState, OperationView, Problem, openapi};
use crate::failure::Failure;
use crate::schema::Id;
use crate::status::Status;

/// A request names things; it is never long.
const MAX_REQUEST: usize = 64 << 10;

/// The longest poll, in seconds. A client polls again after it, so that dropped connections are noticed.
const LONGEST_WAIT: u64 = 30;

/// What a page holds when its reader says nothing, and at most: an answer is built in memory.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;

/// The version of the text format that Prometheus expects.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A disk that needs longer for one row hangs.
const STORE_ANSWERS: Duration = Duration::from_secs(10);

/// How often an event stream looks for progress.
const EVENT_EACH: Duration = Duration::from_millis(500);

/// What the socket is for.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Begins what is asked for, once for each name.
    fn ask(self: Arc<Self>, ask: Ask, requested_by: String) -> Result<OperationView, Failure>;
    /// Operations in progress, and those that finished recently.
    fn operations(&self) -> Vec<OperationView>;
    /// One of them as it is now.
    fn operation_now(&self, id: &str) -> Option<OperationView>;
    /// One of them, as soon as it ended, or after a time.
    async fn operation(self: Arc<Self>, id: String, within: Duration) -> Option<OperationView>;
    /// Asks one to end; false when there is none of this name in progress.
    fn cancel(&self, id: &str) -> bool;
    /// How everything stands.
    async fn status(self: Arc<Self>) -> Result<Status, Failure>;
    /// The plans that this reconciler attends to, in the order of their names.
    async fn plans(self: Arc<Self>) -> Result<Vec<PlanView>, Failure>;
    /// How slots ended, newest first, each with its number.
    async fn slots(
        self: Arc<Self>,
        plan: Option<PlanId>,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<(u64, SlotView)>, Failure>;
    /// At most so many recovery points, newest first: of all plans or one, those before one of them alone; none where there is no such one.
    async fn points(
        self: Arc<Self>,
        plan: Option<PlanId>,
        before: Option<BackupId>,
        most: u32,
    ) -> Result<Option<Vec<RecoveryPoint>>, Failure>;
    /// One recovery point.
    async fn point(self: Arc<Self>, id: BackupId) -> Result<Option<RecoveryPoint>, Failure>;
    /// Receipts from a number on.
    async fn receipts(self: Arc<Self>, from: u64, most: u32) -> Result<Vec<ReceiptView>, Failure>;
    /// Alerts that are active, or of which a channel has to hear that they are over.
    async fn alerts(self: Arc<Self>) -> Result<Vec<AlertView>, Failure>;
    /// The metrics in Prometheus' text format.
    async fn metrics(self: Arc<Self>) -> Result<String, Failure>;
    /// Fails when the store cannot be read any more.
    async fn alive(self: Arc<Self>) -> Result<(), Failure>;
    /// Fails until a policy is active and every plan was inspected.
    fn ready(&self) -> Result<(), Failure>;
    /// Looks at the published policy now.
    fn look_at_source(&self);
}

type Shared = Arc<dyn Handler>;

/// The user at the other end.
#[derive(Debug, Clone)]
pub(super) struct Peer(Option<u32>);

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

/// What can be read.
pub(super) fn reads() -> Router<Shared> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/openapi.json", get(description))
        .route("/v1/status", get(status))
        .route("/v1/plans", get(plans))
        .route("/v1/plans/{plan_id}", get(plan))
        .route("/v1/slots", get(slots))
        .route("/v1/recovery-points", get(points))
        .route("/v1/recovery-points/{backup_id}", get(point))
        .route("/v1/receipts", get(receipts))
        .route("/v1/alerts", get(alerts))
        .route("/v1/operations", get(operations))
        .route("/v1/operations/{id}", get(operation))
        .route("/v1/operations/{id}/events", get(events))
}

/// What probes ask. It says nothing about anything that is protected, and needs no secret.
pub(super) fn probes() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

/// Refuses whatever else is asked for.
pub(super) fn refusing(router: Router) -> Router {
    router
        .fallback(unknown)
        .method_not_allowed_fallback(no_such_method)
}

/// Answers until `end`.
pub async fn listen(
    listener: UnixListener,
    handler: Arc<dyn Handler>,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let all = reads()
        .merge(probes())
        .route("/v1/source/look", post(look_at_source))
        .route("/v1/operations", post(ask))
        .route("/v1/operations/{id}/cancel", post(cancel))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(handler);
    let router = refusing(all).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, router)
        .with_graceful_shutdown(end)
        .await
        .map_err(|error| {
            Failure::new(
                code::API_UNREACHABLE,
                format!("the socket cannot be served any more: {error}"),
                "check the resource limits of this process",
            )
        })
}

/// The metrics, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "monitoring",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn metrics(State(handler): State<Shared>) -> Response {
    match handler.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS)], text).into_response(),
        Err(failure) => refused(StatusCode::SERVICE_UNAVAILABLE, &failure),
    }
}

/// Whether the daemon lives: it answers, and its store can be read. A monitor restarts it when this fails for long.
#[utoipa::path(get, path = "/healthz", tag = "monitoring",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn healthz(State(handler): State<Shared>) -> Response {
    let late = || {
        let why = format!(
            "the store did not answer within {} s",
            STORE_ANSWERS.as_secs()
        );
        let help = "check the disk of the state folder";
        Failure::new(code::STORE_UNUSABLE, why, help)
    };
    let alive = tokio::time::timeout(STORE_ANSWERS, handler.alive());
    // What is wrong with the store is in the log: whoever asks may be a stranger.
    let alive = alive.await.unwrap_or_else(|_| Err(late()));
    probed(alive.map_err(|failure| {
        let summary = failure.code.summary();
        Failure::new(failure.code, summary, failure.help)
    }))
}

/// Whether the daemon does its work: a policy is active, and every plan was inspected. What fails is in the status and the metrics.
#[utoipa::path(get, path = "/readyz", tag = "monitoring",
    responses((status = 200, description = "It does its work", body = String, content_type = "text/plain"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn readyz(State(handler): State<Shared>) -> Response {
    probed(handler.ready())
}

fn probed(result: Result<(), Failure>) -> Response {
    match result {
        Ok(()) => "ok\n".into_response(),
        Err(failure) => refused(StatusCode::SERVICE_UNAVAILABLE, &failure),
    }
}

/// The OpenAPI document of this API.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "status",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value)))]
pub(super) async fn description() -> Response {
    Json(openapi::document()).into_response()
}

/// How everything stands: conditions of the whole and of each plan.
#[utoipa::path(get, path = "/v1/status", tag = "status",
    responses((status = 200, body = Status), (status = 503, description = "No policy is active yet", body = Problem,
        content_type = "application/problem+json")))]
pub(super) async fn status(State(handler): State<Shared>) -> Response {
    shown(handler.status().await)
}

/// Which page of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// The `next` of the page before; the first page when absent.
    cursor: Option<String>,
    /// Entries on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Which page of which plan's list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PagingOfPlan {
    /// Only what belongs to this plan.
    #[param(value_type = Option<Id>)]
    plan_id: Option<PlanId>,
    /// The `next` of the page before; the first page when absent.
    cursor: Option<String>,
    /// Entries on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

fn limit(wanted: Option<u32>) -> Result<u32, Failure> {
    match wanted {
        None => Ok(PAGE),
        Some(limit @ 1..=LARGEST_PAGE) => Ok(limit),
        Some(_) => Err(refusal(format!(
            "`limit` is a number from 1 to {LARGEST_PAGE}"
        ))),
    }
}

/// A page of what was found, each with its cursor: one more than the page shows says that there is another.
fn page<T>(found: impl IntoIterator<Item = (String, T)>, limit: u32) -> Page<T> {
    let mut found = found.into_iter();
    let mut last = None;
    let items = found
        .by_ref()
        .take(limit as usize)
        .map(|(cursor, one)| {
            last = Some(cursor);
            one
        })
        .collect();
    Page {
        items,
        next: last.filter(|_| found.next().is_some()),
    }
}

/// A cursor that is the number of an entry.
fn number(cursor: Option<String>) -> Result<Option<u64>, Failure> {
    let number = cursor.map(|cursor| cursor.parse().map_err(|_| unknown_cursor()));
    number.transpose()
}

fn unknown_cursor() -> Failure {
    absent("page", "take `cursor` from the `next` of the page before")
}

/// The plans that this reconciler attends to.
#[utoipa::path(get, path = "/v1/plans", tag = "plans", params(Paging),
    responses((status = 200, body = Page<PlanView>), (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn plans(
    State(handler): State<Shared>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Response {
    let paged = async {
        let Query(paging) = query.map_err(unread)?;
        let limit = limit(paging.limit)?;
        let all = handler.plans().await?;
        // They are in the order of their ids. One that left the policy between two pages is no reason to refuse the second.
        let after = paging.cursor.unwrap_or_default();
        let rest = all
            .into_iter()
            .map(|plan| (plan.plan_id.to_string(), plan))
            .filter(|(id, _)| *id > after);
        Ok(page(rest, limit))
    };
    shown(paged.await)
}

/// One plan.
#[utoipa::path(get, path = "/v1/plans/{plan_id}", tag = "plans", params(("plan_id" = String, Path, description = "Its id")),
    responses((status = 200, body = PlanView), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn plan(State(handler): State<Shared>, Named(plan_id): Named<String>) -> Response {
    let found = handler.plans().await.and_then(|all| {
        all.into_iter()
            .find(|plan| plan.plan_id.as_str() == plan_id)
            .ok_or_else(|| absent("plan", "`GET /v1/plans` lists them"))
    });
    shown(found)
}

/// How slots ended, newest first.
#[utoipa::path(get, path = "/v1/slots", tag = "plans", params(PagingOfPlan),
    responses((status = 200, body = Page<SlotView>), (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn slots(
    State(handler): State<Shared>,
    query: Result<Query<PagingOfPlan>, QueryRejection>,
) -> Response {
    let paged = async {
        let Query(paging) = query.map_err(unread)?;
        let limit = limit(paging.limit)?;
        let before = number(paging.cursor)?;
        let found = handler.slots(paging.plan_id, before, limit + 1).await?;
        let found = found.into_iter();
        Ok(page(
            found.map(|(number, slot)| (number.to_string(), slot)),
            limit,
        ))
    };
    shown(paged.await)
}

/// Recovery points, newest first.
#[utoipa::path(get, path = "/v1/recovery-points", tag = "recovery points", params(PagingOfPlan),
    responses((status = 200, body = Page<RecoveryPoint>), (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn points(
    State(handler): State<Shared>,
    query: Result<Query<PagingOfPlan>, QueryRejection>,
) -> Response {
    let paged = async {
        let Query(paging) = query.map_err(unread)?;
        let limit = limit(paging.limit)?;
        let before = paging.cursor.map(|cursor| cursor.parse());
        let before = before.transpose().map_err(|_| unknown_cursor())?;
        let found = handler.points(paging.plan_id, before, limit + 1).await?;
        let found = found.ok_or_else(unknown_cursor)?.into_iter();
        Ok(page(
            found.map(|point| (point.backup_id.to_string(), point)),
            limit,
        ))
    };
    shown(paged.await)
}

/// One recovery point.
#[utoipa::path(get, path = "/v1/recovery-points/{backup_id}", tag = "recovery points",
    params(("backup_id" = String, Path, description = "Its id")),
    responses((status = 200, body = RecoveryPoint), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn point(
    State(handler): State<Shared>,
    Named(backup_id): Named<String>,
) -> Response {
    let none = || absent("recovery point", "`GET /v1/recovery-points` lists them");
    let found = async {
        let id: BackupId = backup_id.parse().map_err(|_| none())?;
        handler.point(id).await?.ok_or_else(none)
    };
    shown(found.await)
}

/// The signed receipts, oldest first. The cursor is the number of the first one on the page.
#[utoipa::path(get, path = "/v1/receipts", tag = "receipts", params(Paging),
    responses((status = 200, body = Page<ReceiptView>), (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn receipts(
    State(handler): State<Shared>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Response {
    let paged = async {
        let Query(paging) = query.map_err(unread)?;
        let limit = limit(paging.limit)?;
        let from = number(paging.cursor)?.unwrap_or(0);
        let found = handler.receipts(from, limit + 1).await?;
        let found = found.into_iter();
        Ok(page(
            found.map(|line| ((line.sequence + 1).to_string(), line)),
            limit,
        ))
    };
    shown(paged.await)
}

/// Alerts that are active, the most urgent first, and those of which a channel has to hear that they are over.
#[utoipa::path(get, path = "/v1/alerts", tag = "monitoring",
    responses((status = 200, body = Vec<AlertView>), (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn alerts(State(handler): State<Shared>) -> Response {
    shown(handler.alerts().await)
}

/// Looks at the published policy now, and not at the next interval.
#[utoipa::path(post, path = "/v1/source/look", tag = "status",
    responses((status = 202, description = "The source is inspected")))]
pub(super) async fn look_at_source(State(handler): State<Shared>) -> Response {
    handler.look_at_source();
    StatusCode::ACCEPTED.into_response()
}

/// Operations in progress, and those that finished recently.
#[utoipa::path(get, path = "/v1/operations", tag = "operations", responses((status = 200, body = Vec<OperationView>)))]
pub(super) async fn operations(State(handler): State<Shared>) -> Json<Vec<OperationView>> {
    Json(handler.operations())
}

/// Begins an operation. The same `id` with the same content is the same operation: it is begun once.
#[utoipa::path(post, path = "/v1/operations", tag = "operations", request_body = Ask,
    responses((status = 202, body = OperationView), (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is longer than 64 KiB")))]
pub(super) async fn ask(
    State(handler): State<Shared>,
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
    if !super::is_name(&ask.id) {
        let help = "use 1 to 256 letters, digits, `-`, `_` and `.`";
        let failure = Failure::new(code::API_REFUSED, "the request's `id` is no name", help);
        return refused(StatusCode::BAD_REQUEST, &failure);
    }
    let Peer(Some(uid)) = peer else {
        let why = "the user of the connection is unknown".to_owned();
        return refused(StatusCode::FORBIDDEN, &refusal(why));
    };
    match handler.ask(ask, format!("uid:{uid}")) {
        Ok(operation) => (StatusCode::ACCEPTED, Json(operation)).into_response(),
        Err(failure) => refused(StatusCode::CONFLICT, &failure),
    }
}

/// How long a client waits for the end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Seconds; the answer comes earlier when the operation ends.
    #[serde(default)]
    #[param(minimum = 0, maximum = 30)]
    wait_s: u64,
}

/// One operation, as soon as it ended or after `wait_s`.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations",
    params(("id" = String, Path, description = "Its name"), Wait),
    responses((status = 200, body = OperationView), (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn operation(
    State(handler): State<Shared>,
    Named(id): Named<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Response {
    let wait_s = match wait {
        Ok(Query(Wait { wait_s })) if wait_s <= LONGEST_WAIT => wait_s,
        Ok(_) | Err(_) => {
            let why = format!("`wait_s` is a number of seconds, {LONGEST_WAIT} at most");
            return refused(StatusCode::BAD_REQUEST, &refusal(why));
        }
    };
    let found = handler.operation(id, Duration::from_secs(wait_s)).await;
    shown(found.ok_or_else(no_operation))
}

/// The operation whenever it changes, until it ended: server-sent events named `progress`, and one named `end`. Each holds the
/// operation.
#[utoipa::path(get, path = "/v1/operations/{id}/events", tag = "operations",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "Events, each with an operation", body = OperationEvent, content_type = "text/event-stream"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn events(State(handler): State<Shared>, Named(id): Named<String>) -> Response {
    let Some(first) = handler.operation_now(&id) else {
        return refused(StatusCode::NOT_FOUND, &no_operation());
    };
    let sent: Option<OperationView> = None;
    let begin = (handler, Some(first), sent);
    let all = futures_util::stream::unfold(begin, |(handler, now, sent)| async move {
        let mut now = now?;
        while sent.as_ref() == Some(&now) {
            tokio::time::sleep(EVENT_EACH).await;
            let id = now.id.clone();
            // A part of another operation is in progress no more: its end is in the slots and receipts.
            now = handler.operation_now(&id)?;
        }
        let is_over = now.state != OperationState::Running;
        let event = Event::default()
            .event(if is_over { "end" } else { "progress" })
            .json_data(&now)
            .unwrap_or_default();
        let next = (!is_over).then(|| now.clone());
        Some((Ok::<_, Infallible>(event), (handler, next, Some(now))))
    });
    Sse::new(all)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// Asks an operation to end. What it did is recorded before it ends.
#[utoipa::path(post, path = "/v1/operations/{id}/cancel", tag = "operations",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 202, description = "It is asked to end"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(State(handler): State<Shared>, Named(id): Named<String>) -> Response {
    if handler.cancel(&id) {
        StatusCode::ACCEPTED.into_response()
    } else {
        refused(StatusCode::NOT_FOUND, &no_operation())
    }
}

fn no_operation() -> Failure {
    Failure::new(
        code::UNKNOWN_OBJECT,
        "no operation of this name is in progress, or finished recently",
        "`seawalld operations` lists them",
    )
}

fn absent(what: &str, help: &str) -> Failure {
    let why = format!("there is no such {what}");
    Failure::new(code::UNKNOWN_OBJECT, why, help)
}

async fn unknown() -> Response {
    let why = "there is no such resource".to_owned();
    refused(StatusCode::NOT_FOUND, &refusal(why))
}

async fn no_such_method() -> Response {
    let why = "this resource has no such method".to_owned();
    refused(StatusCode::METHOD_NOT_ALLOWED, &refusal(why))
}

fn unread(rejection: QueryRejection) -> Failure {
    refusal(format!(
        "the query cannot be read: {}",
        rejection.body_text()
    ))
}

fn refusal(why: String) -> Failure {
    let help = "use the command and the daemon of one version";
    Failure::new(code::API_REFUSED, why, help)
}

fn shown<T: Serialize>(result: Result<T, Failure>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(failure) => {
            let status = match failure.code {
                code::UNKNOWN_OBJECT => StatusCode::NOT_FOUND,
                code::API_REFUSED => StatusCode::BAD_REQUEST,
                // The store, the policy or the shutdown: another time it may be answered.
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refused(status, &failure)
        }
    }
}

pub(super) fn refused(status: StatusCode, failure: &Failure) -> Response {
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
